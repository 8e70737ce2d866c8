# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Decoding of transcripts, for recordings and streams alike: settings, bounds, hints and verdicts.

[`EntropyASRPipeline`] and [`StreamingBatch`] differ in how speech gets into the model. What is asked of the model and
what is said of its answer is decided here, once: which arguments can be honoured, how long a transcript may be, which
hotwords are hints, whether there is speech, and how far the phoneme head supports the text.
"""

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from transformers import GenerationConfig
from transformers.generation import LogitsProcessor, LogitsProcessorList, StoppingCriteriaList
from transformers.modeling_utils import PreTrainedModel
from transformers.processing_utils import ProcessorMixin

from .adapters_entropy_asr import adapters_beside
from .generation_entropy_asr import (
    NUM_WRITTEN,
    RowEndProcessor,
    RowLengthCriteria,
    beams_for_hypotheses,
    check_encoder_token_settings,
    rows_at_bound,
    transcript_tokens,
)
from .guards_entropy_asr import LENGTH_LIMIT, NO_SPEECH, GuardSettings, is_speech_absent, judge_transcript
from .hotwords_entropy_asr import HotwordIndex, as_index, is_index
from .hypotheses_entropy_asr import RESCORING_WEIGHT, Hypothesis, distinct
from .languages_entropy_asr import language_code
from .letters_entropy_asr import LettersProcessor
from .optional_parts_entropy_asr import needed_for
from .phoneme_head_entropy_asr import check_phoneme_head


if TYPE_CHECKING:
    from .spoken_language_entropy_asr import SpokenLanguages

# An audio token is 160 ms with the paper's encoder and stacking: 4 a token are 25 a second. Speech of 6 English words
# or 7 Chinese characters a second stays below with a vocabulary of a few thousand; a repetition loop is cut early.
NEW_TOKENS_PER_AUDIO_TOKEN = 4
# For clips so short that their few audio tokens promise less than one word.
MIN_NEW_TOKENS = 8
TIMED_UNITS = ("word", "phoneme")
# Arguments that decide on the prompt and what is generated at all: they stand beside `generate_kwargs`.
OWN_ARGUMENTS = (
    "language",
    "hotwords",
    "hotword_tolerance",
    "guards",
    "rescoring_weight",
    "return_language",
    "adapter",
)
# Ways of `generate` to be faster that look at token ids, where a prompt with speech has embeddings: some of them give
# another text than greedy search, some fail.
UNSUPPORTED_GENERATION = (
    "assistant_model",
    "assistant_early_exit",
    "prompt_lookup_num_tokens",
    "prefill_chunk_size",
    "token_healing",
)
# What `generate` gives beside tokens, and a pipeline has no place for.
RAW_OUTPUTS = (
    "return_dict_in_generate",
    "output_scores",
    "output_logits",
    "output_attentions",
    "output_hidden_states",
)
DEFAULT_GUARDS = GuardSettings()


@dataclass(frozen=True)
class DecodingRequest:
    """What is asked of the model: of a call, of a stream, or as the defaults of a pipeline.

    Args:
        language: code of the language; the model decides where it is `None` or "auto".
        hotwords: words to listen for.
        hotword_tolerance: see [`HotwordIndex.search`].
        guards: guards against hallucination.
        rescoring_weight: share of the phoneme head in the score by which hypotheses are ranked, 0 to 1.
        return_language: whether to listen for which language is spoken.
        adapter: name of the adapter that the model has meanwhile; none by default.
        generate_kwargs: further arguments of `generate`.
    """

    language: str | None = None
    hotwords: HotwordIndex | None = None
    hotword_tolerance: float = 0.0
    guards: GuardSettings = DEFAULT_GUARDS
    rescoring_weight: float = RESCORING_WEIGHT
    return_language: bool = False
    adapter: str | None = None
    generate_kwargs: Mapping[str, Any] = field(default_factory=dict)


class GenerationSettings(NamedTuple):
    """What transcripts are generated with: the configuration, and arguments of `generate` that are no part of it."""

    config: GenerationConfig
    others: dict[str, Any]

    @property
    def wants_hypotheses(self) -> bool:
        """Whether hypotheses with scores are asked for, if only one."""
        return self.config.num_return_sequences is not None

    @property
    def own_processors(self) -> LogitsProcessorList:
        """Logits processors that the caller gave."""
        return LogitsProcessorList(_listed(self.others.get("logits_processor")))

    def with_processor(self, processor: LogitsProcessor) -> "GenerationSettings":
        """The settings with one more logits processor, before those that were given."""
        processors = [processor, *self.own_processors]
        return GenerationSettings(self.config, {**self.others, "logits_processor": processors})


class Transcript(NamedTuple):
    """A text without surrounding white space, in which nothing is repaired, its flags, and all that it may be."""

    text: str = ""
    flags: tuple[str, ...] = ()
    hypotheses: tuple[Hypothesis, ...] = ()
    token_ids: tuple[int, ...] = ()  # without the one that ends it


class TranscriptDecoder:
    """Decodes speech that is in the language model's prompt, and judges what comes out.

    Args:
        model ([`EntropyASRForConditionalGeneration`]): the model.
        processor ([`EntropyASRProcessor`]): its processor.
    """

    def __init__(self, model: PreTrainedModel, processor: ProcessorMixin):
        self.model = model
        self.processor = processor
        self.adapters = adapters_beside(model)
        self._last_hotwords: tuple[tuple[str, ...], HotwordIndex] | None = None

    # arguments

    def index_hotwords(self, hotwords: list[str] | HotwordIndex) -> HotwordIndex:
        """Index of hotwords; that of a list is kept for the next call with the same list.

        Raises:
            ValueError: no list of words, or the phoneme head was never trained.
            ImportError: a list of words without the extra `g2p`.
        """
        if isinstance(hotwords, (list, tuple)) and not hotwords:
            return HotwordIndex()  # nothing to listen for, so that neither head nor extra is needed
        check_phoneme_head(self.model.config, "`hotwords`")
        if is_index(hotwords):
            return hotwords
        if not isinstance(hotwords, (list, tuple)) or not all(isinstance(word, str) for word in hotwords):
            raise ValueError(f"`hotwords` must be a list of words or a `HotwordIndex`, not {hotwords!r}.")
        last = self._last_hotwords  # read once: another thread may replace it meanwhile
        if last is None or last[0] != tuple(hotwords):
            last = tuple(hotwords), as_index(hotwords, self.processor.phoneme_tokenizer)
            self._last_hotwords = last
        return last[1]

    def check_outputs(self, return_timestamps: str | bool | None, return_confidence: bool | None) -> None:
        """Refuse times of unknown units, and what needs phonemes of text where they cannot be had.

        Raises:
            ValueError: an unknown unit, or the phoneme head was never trained.
            ImportError: the extra `g2p` is needed and not installed.
        """
        if return_timestamps not in (None, False, *TIMED_UNITS):
            units = ", ".join(map(repr, TIMED_UNITS))
            raise ValueError(
                f"`return_timestamps` must be one of {units}, or True for segments, not {return_timestamps!r}."
            )
        if return_timestamps or return_confidence:
            self._check_phonemes_of_text("`return_timestamps`" if return_timestamps else "`return_confidence`")

    def check_rescoring(self, settings: GenerationSettings, weight: float) -> None:
        """Refuse hypotheses whose phonemes cannot be scored.

        Raises:
            ValueError: the phoneme head was never trained.
            ImportError: the extra `g2p` is needed and not installed.
        """
        if settings.wants_hypotheses and weight:
            self._check_phonemes_of_text("`num_return_sequences` (but with `rescoring_weight=0`)")

    def check_language(self, return_language: bool, language: str | None) -> None:
        """Refuse to tell a language where nobody could: the model was told which, and its phoneme head knows none.

        Raises:
            ValueError: the phoneme head was never trained.
        """
        if return_language and language_code(language, optional=True) is not None:
            check_phoneme_head(self.model.config, "`return_language` beside a `language`")

    def _check_phonemes_of_text(self, argument: str) -> None:
        check_phoneme_head(self.model.config, argument)
        self.processor.phoneme_tokenizer.phonemize("a 一")  # an ImportError that names the extra, before the work

    def generation_settings(self, generate_kwargs: Mapping[str, Any]) -> GenerationSettings:
        """What transcripts are generated with: greedily and unbounded unless the arguments say otherwise.

        Args:
            generate_kwargs: arguments of `generate`.

        Raises:
            ValueError: an argument that cannot be honoured.
        """
        settings = dict(generate_kwargs)
        config = copy.deepcopy(settings.pop("generation_config", None))
        if config is None:
            config = copy.deepcopy(self.model.generation_config)
            config.do_sample, config.max_new_tokens, config.max_length = False, None, None
        others = config.update(**settings, **beams_for_hypotheses(settings, config))
        _check_supported(config, others)
        _check_transcript_lengths(config)
        if "num_return_sequences" not in settings and config.num_return_sequences == 1:
            config.num_return_sequences = None  # as configurations have it that ask for nothing
        if config.eos_token_id is None:
            config.eos_token_id = self.processor.end_of_text_id
        if config.pad_token_id is None:
            config.pad_token_id = self.processor.tokenizer.pad_token_id
        return GenerationSettings(config, others)

    # bounds

    def max_audio_tokens(self, num_text: int, max_new_tokens: int | None) -> float:
        """Audio tokens for which the encoder and, beside prompt and transcript, the language model have positions.

        Args:
            num_text: tokens of the prompt that are not audio.
            max_new_tokens: longest transcript in tokens; by default it grows with the audio.
        """
        config = self.model.config
        # Encoders without absolute positions state no limit.
        frames = getattr(config.audio_config, "max_position_embeddings", math.inf)
        room = getattr(config.text_config, "max_position_embeddings", math.inf) - num_text
        if max_new_tokens is None:
            room = (room - MIN_NEW_TOKENS) / (1 + NEW_TOKENS_PER_AUDIO_TOKEN)
        else:
            room -= max_new_tokens
        return max(0, min(frames / config.adaptor_stacking, room))

    def length_error(self, seconds: float, num_audio: int, num_text: int, max_new_tokens: int | None) -> str | None:
        """Why an utterance is longer or shorter than features, encoder and language model take; nothing is cut.

        Args:
            seconds: its length.
            num_audio: audio tokens in its prompt.
            num_text: other tokens in its prompt.
            max_new_tokens: as in `max_audio_tokens`.
        """
        if num_audio < 1:
            return f"lasts {1000 * seconds:.1f} ms, and the encoder takes nothing so short"
        # Extractors of a fixed window (Whisper's) drop what is behind it.
        window = getattr(self.processor.feature_extractor, "chunk_length", math.inf)
        max_seconds = min(window, seconds * self.max_audio_tokens(num_text, max_new_tokens) / num_audio)
        if seconds <= max_seconds:
            return None
        return (
            f"lasts {seconds:.1f} s, and this model takes at most {max_seconds:.1f} s with this "
            "prompt and transcript length; transcribe it in shorter pieces"
        )

    def max_new_tokens(
        self, audio_tokens: torch.Tensor, prompt_tokens: torch.Tensor, config: GenerationConfig, guards: GuardSettings
    ) -> torch.Tensor:
        """Longest transcript of each row in tokens, `(B,)`: as asked for, by the length of the audio, or by the model.

        Args:
            audio_tokens: audio tokens in the prompt of each row, `(B,)`.
            prompt_tokens: all tokens in it, `(B,)`.
            config: what they are generated with.
            guards: whether the length of the audio is a bound.

        Raises:
            ValueError: nothing bounds the transcript.
        """
        if config.max_new_tokens is not None:
            return torch.full_like(audio_tokens, config.max_new_tokens)
        positions = getattr(self.model.config.text_config, "max_position_embeddings", None)
        if guards.length_bound:
            bounds = MIN_NEW_TOKENS + NEW_TOKENS_PER_AUDIO_TOKEN * audio_tokens
            if guards.length_factor != 1:  # there are positions for one such bound, not for any multiple
                room = math.inf if positions is None else positions - prompt_tokens
                bounds = torch.minimum(bounds * guards.length_factor, torch.as_tensor(room)).long()
            return bounds.clamp(min=config.min_new_tokens or 0)
        if positions is None:
            raise ValueError("Without the length bound, this language model needs `max_new_tokens`.")
        return positions - prompt_tokens

    def _bounded(self, settings: GenerationSettings, new_tokens: torch.Tensor, num_written: int) -> GenerationSettings:
        """Settings under which each row ends where it would alone: at its longest transcript of `(B,)` tokens."""
        config, others = copy.copy(settings.config), settings.others
        config.max_new_tokens = int(new_tokens.max()) - num_written
        # `generate` counts what it adds, and what is asked for is the transcript.
        if config.min_new_tokens is not None:
            config.min_new_tokens = max(0, config.min_new_tokens - num_written)
        setattr(config, NUM_WRITTEN, num_written)
        criteria = [RowLengthCriteria(new_tokens), *_listed(others.get("stopping_criteria"))]
        processors = _listed(others.get("logits_processor"))
        if config.forced_eos_token_id is not None:
            processors.append(RowEndProcessor(new_tokens, config.forced_eos_token_id))
        needed = {"tokenizer": self.processor.tokenizer} if config.stop_strings is not None else {}
        bounds = {
            "stopping_criteria": StoppingCriteriaList(criteria),
            "logits_processor": LogitsProcessorList(processors),
        }
        return GenerationSettings(config, {**needed, **others, **bounds})

    # transcripts

    def listening(
        self,
        settings: GenerationSettings,
        request: DecodingRequest,
        languages: Sequence[str | None],
        hints: Sequence[Sequence[str]],
        frames: Sequence[torch.Tensor],
        first_tokens: torch.Tensor | None = None,
    ) -> "tuple[GenerationSettings, SpokenLanguages | None]":
        """Settings by which each of B utterances is written in its letters, and what hears its language, if asked for.

        Args:
            settings: from `generation_settings`.
            request: guards, and whether the language is asked for.
            languages: code of the language that each prompt names, `None` where the model decides.
            hints: hotwords in each prompt.
            frames: log-probabilities `(T, V)` of the phoneme head for each utterance.
            first_tokens: what an earlier listener heard at the first tokens, where these are written already.
        """
        spoken, written = None, languages
        if request.return_language or request.guards.one_language:
            with needed_for("`return_language` (or `one_language` of the guards)"):
                from .spoken_language_entropy_asr import SpokenLanguages
            heard = frames if self.model.config.phoneme_head_trained else None
            spoken = SpokenLanguages(
                self.processor.tokenizer, self.processor.phoneme_tokenizer, languages, heard, first_tokens
            )
            written = spoken.codes if request.guards.one_language else languages
        if request.guards.letters and (callable(written) or any(written)):
            settings = settings.with_processor(LettersProcessor(self.processor.tokenizer, written, hints))
        return settings if spoken is None else settings.with_processor(spoken.listener), spoken

    def generate(
        self,
        inputs: Mapping[str, Any],
        audio_tokens: torch.Tensor,
        settings: GenerationSettings,
        guards: GuardSettings,
        num_written: int = 0,
    ) -> list[Transcript]:
        """Transcripts of a batch.

        Args:
            inputs: arguments of `generate`: `input_ids` and `attention_mask`, both `(B, L)` and padded on the left,
                and the speech, as embeddings of the prompt or in keys and values.
            audio_tokens: audio tokens of each row, `(B,)`.
            settings: from `generation_settings`.
            guards: whether the length of the audio bounds that of the text.
            num_written: how many tokens at the end of `input_ids` are the beginning of each transcript, which is kept.

        Returns:
            A transcript for each row, flagged "length_limit" where it was cut at its bound. Where hypotheses are asked
            for it has them too, without scores.
        """
        audio_tokens = audio_tokens.to(self.model.device)
        prompt_tokens = inputs["attention_mask"].sum(-1) - num_written
        new_tokens = self.max_new_tokens(audio_tokens, prompt_tokens, settings.config, guards)
        config, others = self._bounded(settings, new_tokens, num_written)
        sequences = self.model.generate(**inputs, generation_config=config, **others)
        sequences = sequences[:, inputs["input_ids"].shape[1] - num_written :]
        copies = len(sequences) // len(new_tokens)
        bounds = new_tokens.repeat_interleave(copies)
        at_bound = rows_at_bound(sequences, bounds, config).tolist()
        tokens = transcript_tokens(sequences, bounds, config)
        found = [
            Hypothesis(self.processor.decode(row).strip(), tuple(ids), (LENGTH_LIMIT,) if is_cut else ())
            for row, ids, is_cut in zip(sequences.tolist(), tokens, at_bound, strict=True)
        ]
        groups = [found[start : start + copies] for start in range(0, len(found), copies)]
        ends = set(torch.tensor(config.eos_token_id).reshape(-1).tolist())
        return [_transcript(group, settings.wants_hypotheses, ends) for group in groups]

    # verdicts

    def is_speech_absent(self, log_probs: torch.Tensor, waveform: np.ndarray, guards: GuardSettings) -> bool:
        """Whether the guard against silence is on and finds no speech, see [`is_speech_absent`].

        Args:
            log_probs: of the phoneme head, `(T, V)`; left aside where it was never trained.
            waveform: samples of the same utterance, `(num_samples,)` at the processor's rate.
            guards: the guards.
        """
        if not guards.no_speech:
            return False
        config, rate = self.model.config, self.processor.sampling_rate
        witness = log_probs if config.phoneme_head_trained else None
        return is_speech_absent(witness, waveform, rate, guards, config.phoneme_blank_token_id)

    def judge(
        self, log_probs: torch.Tensor, transcript: Transcript, guards: GuardSettings, language: str | None
    ) -> tuple[float, tuple[str, ...]]:
        """Confidence in a transcript, in [0, 1], and all its flags; 1 for audio without speech.

        Args:
            log_probs: of the phoneme head, `(T, V)`.
            transcript: the transcript.
            guards: when confidence counts as low.
            language: which language reads digits.
        """
        if NO_SPEECH in transcript.flags:
            return 1.0, transcript.flags
        tokenizer = self.processor.phoneme_tokenizer
        confidence, found = judge_transcript(log_probs, transcript.text, tokenizer, guards, language)
        return confidence, (*transcript.flags, *found)


def _transcript(hypotheses: Sequence[Hypothesis], keeps_all: bool, ends: set[int]) -> Transcript:
    """The best of one row's hypotheses, with all of them where they are asked for; `ends` are tokens that end one."""
    best = hypotheses[0]
    tokens = tuple(token for token in best.token_ids if token not in ends)
    return Transcript(best.text, best.flags, distinct(hypotheses) if keeps_all else (), tokens)


def check_generate_kwargs(generate_kwargs: Mapping[str, Any], elsewhere: str = "") -> None:
    """Refuse arguments of the pipeline among those of `generate`.

    Args:
        generate_kwargs: arguments of `generate`.
        elsewhere: where else they may be given, for the message.

    Raises:
        ValueError: names the first of them.
    """
    if misplaced := [name for name in OWN_ARGUMENTS if name in generate_kwargs]:
        raise ValueError(
            f"`{misplaced[0]}` is no argument of `generate`: give it beside `generate_kwargs`{elsewhere}."
        )


def _listed(value: Any) -> list[Any]:
    """Logits processors or stopping criteria, of which one may be given as it is."""
    if value is None:
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _check_supported(config: GenerationConfig, others: Mapping[str, Any]) -> None:
    """Refuse what `generate` can do and pipelines cannot; `others` are arguments that are no part of `config`."""
    for name in UNSUPPORTED_GENERATION:
        if name in others or getattr(config, name, None) not in (None, False):
            raise ValueError(f"`{name}` is not supported: it looks at token ids, and speech has none.")
    check_encoder_token_settings(config)
    if asked := [name for name in RAW_OUTPUTS if getattr(config, name)]:
        raise ValueError(
            "The pipeline returns texts, and those of `num_return_sequences` with their scores: "
            f"`{asked[0]}` needs the model's `generate`."
        )


def _check_transcript_lengths(config: GenerationConfig) -> None:
    """Let the shortest transcript be `min_new_tokens`, and refuse lengths that cannot be honoured."""
    if config.max_length is not None:
        raise ValueError("`max_length` counts the prompt and its padding: use `max_new_tokens`.")
    # `generate` would count the prompt and its padding, which no caller knows: what is meant is the transcript.
    if config.min_length:
        config.min_new_tokens, config.min_length = max(config.min_new_tokens or 0, config.min_length), 0
    if None not in (config.min_new_tokens, config.max_new_tokens) and config.min_new_tokens > config.max_new_tokens:
        raise ValueError(
            f"`min_new_tokens` ({config.min_new_tokens}) must not be above `max_new_tokens` ({config.max_new_tokens})."
        )


__all__ = ["DecodingRequest", "GenerationSettings", "Transcript", "TranscriptDecoder", "check_generate_kwargs"]
