# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Guards against hallucination: what the phoneme head and the voice activity detector say about a transcript.

Encoder and phoneme head never see text, so they are an independent witness of what was said. Four guards, each of
which can be switched off; the first three change no transcript but by leaving it empty:

- no speech: where the phoneme head finds nothing, or little of which it is not certain, or little and the voice
  activity detector no speech, the text is empty;
- length bound: a transcript has at most so many tokens as the audio has room for; one that reaches the bound (a
  repetition loop does) is flagged, and stands as it is;
- agreement: how probable the phoneme head finds the transcript, as a confidence, and a flag where that is low;
- letters: where a language is asked for, its letters and those of hints alone are written, see
  [`~letters_entropy_asr`].

The agreement is not the joint score by which hypotheses are ranked: a part of that is the language model's own word,
which is no witness against what the language model made up, and it is known only where hypotheses are scored. How well
either tells transcripts with errors from those without is measured by `tests/benchmarks/benchmark_rescoring.py`.
"""

import math
from dataclasses import dataclass, fields

import numpy as np
import torch

from .alignment_entropy_asr import frames_needed
from .audio import load_audio
from .ctc_entropy_asr import ctc_log_probs, greedy_spans
from .languages_entropy_asr import LANGUAGES, language_code, language_of_text
from .tokenization_entropy_asr_phoneme import EntropyASRPhonemeTokenizer
from .vad_entropy_asr import HYSTERESIS


NO_SPEECH, LENGTH_LIMIT, LOW_AGREEMENT = "no_speech", "length_limit", "low_agreement"
VAD_SAMPLING_RATE = 16000


@dataclass(frozen=True)
class GuardSettings:
    """Which guards are on, and their thresholds.

    Those of the guard against silence were chosen on training and development splits, for recordings as they are and
    for segments as streams cut them: the fewest sounds taken for speech among those that lose at most half a percent
    of speech more than the most lenient (`python tests/benchmarks/calibrate_guards.py --data_dir D` repeats it).

    Args:
        no_speech: Leave the text of audio without speech empty.
        length_bound: Bound the transcript by the length of the audio (where no `max_new_tokens` is given).
        agreement: Flag transcripts that the phoneme head does not support (where confidence is asked for).
        letters: Write a language that is asked for in its own letters; hints may have others.
        one_language: Where no language is asked for, take each utterance to be in the one that is most probable; off
            by default, since people speak several in one sentence.
        min_blank_mass: Mean probability of the blank below which there is speech.
        max_phonemes_per_second: As many phonemes in a second are speech, fewer leave the decision to the next two.
            Speech has about ten.
        min_phoneme_probability: Of the most certain of these few phonemes; below, they are not speech.
        vad_threshold: Probability from which the voice activity detector takes what is left for speech.
        min_confidence: Confidence below which a transcript is flagged; None for what its language has (0.1).
        length_factor: The length bound as a multiple of what the audio has room for; from 1 on.
    """

    no_speech: bool = True
    length_bound: bool = True
    agreement: bool = True
    letters: bool = True
    one_language: bool = False
    min_blank_mass: float = 0.75
    max_phonemes_per_second: float = 5.0
    min_phoneme_probability: float = 0.3
    vad_threshold: float = 0.8
    min_confidence: float | None = None
    length_factor: float = 1.0

    def __post_init__(self):
        for name in ("min_blank_mass", "min_phoneme_probability", "min_confidence"):
            value = getattr(self, name)
            if not (name == "min_confidence" and value is None) and not 0 <= value <= 1:
                raise ValueError(f"`{name}` must be between 0 and 1, not {value}.")
        if not HYSTERESIS < self.vad_threshold < 1:
            raise ValueError(f"`vad_threshold` must be between {HYSTERESIS} and 1, not {self.vad_threshold}.")
        if not 1 <= self.length_factor < math.inf:
            raise ValueError(f"`length_factor` must be a number from 1 on, not {self.length_factor}.")
        if self.length_factor != 1 and not self.length_bound:
            raise ValueError("`length_factor` widens the length bound, and `length_bound` is off.")
        if self.one_language and not self.letters:
            raise ValueError("`one_language` says in which letters to write, and `letters` is off.")
        if not self.max_phonemes_per_second >= 0:
            raise ValueError(f"`max_phonemes_per_second` must not be negative: {self.max_phonemes_per_second}.")

    @classmethod
    def of(cls, guards: "GuardSettings | dict | bool | None") -> "GuardSettings":
        """Settings of an argument: `None` or True for the default, False for none, a dict for some of the fields.

        Raises:
            ValueError: anything else, or an unknown field.
        """
        if isinstance(guards, cls):
            return guards
        if guards is None or isinstance(guards, bool):
            on = guards is None or guards
            return cls(no_speech=on, length_bound=on, agreement=on, letters=on)
        names = [field.name for field in fields(cls)]
        if not isinstance(guards, dict) or set(guards) - set(names):
            raise ValueError(f"`guards` must be True, False or a dict of {', '.join(names)}, not {guards!r}.")
        return cls(**guards)


def is_speech_absent(
    log_probs: torch.Tensor | None,
    waveform: np.ndarray,
    sampling_rate: int,
    settings: GuardSettings,
    blank: int = 0,
) -> bool:
    """Whether an utterance has no speech in it.

    Nearly all frames have to be blanks. Then the phoneme head decides alone where it finds no phoneme at all, or none
    with some certainty; where it finds a few, the voice activity detector has to find no speech either. Alone, the
    detector takes some noises for speech, and misses some words that were cut out closely. In a stream it has spoken
    already: what it took for speech it takes for speech again, and the phoneme head is the only other witness.

    Args:
        log_probs: Log-probabilities `(T, V)` of the valid frames; `None` where the phoneme head was never trained: the
            detector decides alone.
        waveform: Samples `(num_samples,)` of the same utterance.
        sampling_rate: Of the waveform, in Hz.
        settings: Thresholds.
        blank: Id of the CTC blank.

    Raises:
        ImportError: the detector is needed and its packages are missing.
    """
    if log_probs is not None:
        if blank_mass(log_probs, blank) < settings.min_blank_mass:
            return False
        spans = greedy_spans(log_probs, blank)
        if not spans:
            return True
        if len(spans) >= settings.max_phonemes_per_second * len(waveform) / sampling_rate:
            return False
        if max(span.score for span in spans) < settings.min_phoneme_probability:
            return True
    from .vad_entropy_asr import EndpointSettings, detect_speech

    endpoints = EndpointSettings(threshold=settings.vad_threshold)
    return not detect_speech(load_audio(waveform, sampling_rate, VAD_SAMPLING_RATE), settings=endpoints)


def blank_mass(log_probs: torch.Tensor, blank: int = 0) -> float:
    """Mean posterior probability of the CTC blank over frames `(T, V)`; 1 for no frames."""
    return log_probs[:, blank].float().exp().mean().item() if len(log_probs) else 1.0


def transcript_confidence(log_probs: torch.Tensor, phoneme_ids: list[int], blank: int = 0) -> float:
    """How probable the phoneme head finds a transcript, against its own best path, for each phoneme; in [0, 1].

    exp((log P(phonemes) - log P(best path)) / number of phonemes), with the CTC sum over alignments as P(phonemes).
    Substituted, missing and superfluous phonemes all lower it, near sounds less than far ones.

    Args:
        log_probs: Log-probabilities `(T, V)` of the valid frames.
        phoneme_ids: Phonemes of the transcript, without blanks; none for an empty one.
        blank: Id of the CTC blank.

    Returns:
        The confidence; 0 where the audio has fewer frames than the phonemes need.
    """
    if frames_needed(phoneme_ids) > len(log_probs):
        return 0.0
    if not len(log_probs):
        return 1.0
    log_probs = log_probs.detach().cpu().float()
    (log_likelihood,) = ctc_log_probs([log_probs], [phoneme_ids], blank)
    best = log_probs.max(-1).values.sum().item()
    return math.exp(min(0.0, log_likelihood - best) / max(1, len(phoneme_ids)))


def judge_transcript(
    log_probs: torch.Tensor,
    text: str,
    phoneme_tokenizer: EntropyASRPhonemeTokenizer,
    settings: GuardSettings,
    language: str | None = None,
) -> tuple[float, list[str]]:
    """Confidence of a transcript and its flags (`"low_agreement"` or none). The extra `g2p` gives its phonemes.

    Args:
        log_probs: Log-probabilities `(T, V)` of the valid frames.
        text: The transcript.
        phoneme_tokenizer: Vocabulary of the phoneme head.
        settings: Thresholds.
        language: Which language the text is in; see the tokenizer.
    """
    unknown = phoneme_tokenizer.unk_token_id
    ids = [i for i in phoneme_tokenizer(text, language)["input_ids"] if i != unknown] if text else []
    confidence = transcript_confidence(log_probs, ids, phoneme_tokenizer.blank_token_id)
    code = language_code(language, optional=True)
    entry = language_of_text(text) if code is None else LANGUAGES[code]
    least = entry.min_confidence if settings.min_confidence is None else settings.min_confidence
    flagged = settings.agreement and confidence < least
    return confidence, [LOW_AGREEMENT] if flagged else []


__all__ = ["GuardSettings", "is_speech_absent", "judge_transcript", "transcript_confidence"]
