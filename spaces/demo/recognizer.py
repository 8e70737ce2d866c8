# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What the demo does with a recording, without any page: checks, recognition, the ledger."""

import re
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from entropy_asr.modeling.languages_entropy_asr import is_other_script, language_code, written_languages

from .settings import DemoSettings


if TYPE_CHECKING:
    import torch

    from entropy_asr.modeling import EntropyASRPipeline, HotwordIndex
    from entropy_asr.modeling.ledger_entropy_asr import UtteranceLedger

SAMPLING_RATE = 16000
MAX_TRANSCRIPT_CHARACTERS = 1000
MAX_HOTWORD_CHARACTERS = 50_000
# A flag of the demo's own: the text is not in the script of the language that was asked for.
OTHER_SCRIPT = "other_script"


class DemoError(ValueError):
    """What a visitor did that cannot be done, in words for the visitor."""


@dataclass
class Explanation:
    """What each module makes of one utterance.

    Attributes:
        waveform: Samples `(num_samples,)` at 16 kHz.
        log_probs: Log-probabilities `(T, V)` of the phoneme head, natural logarithm.
        phonemes: `(symbol, start, end)` that the head found, in seconds.
        seconds_per_frame: Of the encoder.
        ledger: Surprisal of each token of the transcript.
        text: The transcript.
        language: Its code where it was asked for, or "auto".
        is_recognized: Whether the model wrote the transcript; else it was given.
        confidence: How far the sound supports the transcript, 0 to 1.
        flags: What a reader must know of the transcript, as of [`Recognizer.transcribe`].
    """

    waveform: np.ndarray
    log_probs: "torch.Tensor"
    phonemes: list[tuple[str, float, float]]
    seconds_per_frame: float
    ledger: "UtteranceLedger"
    text: str
    language: str
    is_recognized: bool
    confidence: float
    flags: list[str]

    @cached_property
    def frame_entropies(self) -> np.ndarray:
        """Entropy of each frame's phoneme posterior in nats, `(T,)`."""
        log_probs = self.log_probs.double()
        return -(log_probs.exp() * log_probs.clamp_min(-1e9)).sum(-1).numpy()

    @property
    def max_entropy(self) -> float:
        """ln V: the entropy of a frame about which nothing is known."""
        return float(np.log(self.log_probs.shape[-1]))


class Recognizer:
    """Loads the model in the background and answers requests one at a time.

    Args:
        settings: Model and limits.
    """

    def __init__(self, settings: DemoSettings):
        self.settings = settings
        self.lock = threading.Lock()  # model, phonemizer and their caches are used by one request at a time
        self._loading: Future[EntropyASRPipeline] = Future()
        threading.Thread(target=self._load, daemon=True, name="load-model").start()

    def _load(self) -> None:
        try:
            from transformers.utils import logging

            from entropy_asr.modeling import load_pipeline

            logging.disable_progress_bar()
            pipeline = load_pipeline(self.settings.model, self.settings.device, self.settings.dtype)
            # The first phonemes of each language cost a second: before the first visitor asks.
            pipeline.processor.phoneme_tokenizer.phonemize("a 一")
            self._loading.set_result(pipeline)
        except Exception as error:
            self._loading.set_exception(error)

    @property
    def pipeline(self) -> "EntropyASRPipeline":
        """The model; waits until it is there.

        Raises:
            DemoError: it cannot be loaded.
        """
        try:
            return self._loading.result()
        except Exception as error:
            raise DemoError(f"The model {self.settings.model_name} could not be loaded: {error}") from error

    def transcribe(
        self, path: str | None, language: str = "auto", hotwords: str = "", hotword_file: str | None = None
    ) -> dict[str, Any]:
        """Transcribe a recording with words, times, confidences and flags.

        Args:
            path: Audio file.
            language: "auto" or a language in any usual form.
            hotwords: Words or phrases, one a line or separated by commas.
            hotword_file: Text file with one a line.

        Returns:
            The pipeline's result, with `duration` in seconds, `hotwords` (those asked for), `hotwords_found`,
            `language` (as asked for), `written_languages` (codes, by the text's script) and `model`; "other_script"
            among `flags` where the text is not in the script of the language asked for.

        Raises:
            DemoError: anything that cannot be done.
        """
        duration = self._check_audio(path, self.settings.max_seconds)
        words = self.read_hotwords(hotwords, hotword_file)
        asked = chosen_language(language)
        options = {"language": asked, "return_timestamps": "word", "return_confidence": True, "return_hotwords": True}
        pipeline = self.pipeline
        with self.lock, demo_errors(path):
            if words:
                options["hotwords"] = self._index(words)
            result = pipeline(path, **options)
        return {
            **result,
            "flags": result["flags"] + script_flags(result["text"], asked),
            "language": asked or "auto",
            "written_languages": written_languages(result["text"], asked),
            "duration": duration,
            "hotwords": words,
            "model": self.settings.model_name,
        }

    def explain(self, path: str | None, language: str = "auto", transcript: str = "") -> Explanation:
        """What the encoder gives, what the language model expects, and what both give.

        Args:
            path: Audio file.
            language: "auto" or a language in any usual form.
            transcript: What was said; empty for what the model writes.

        Raises:
            DemoError: anything that cannot be done, or no text to explain.
        """
        self._check_audio(path, self.settings.max_explained_seconds)
        if len(transcript) > MAX_TRANSCRIPT_CHARACTERS:
            raise DemoError(f"The transcript is longer than {MAX_TRANSCRIPT_CHARACTERS} characters.")
        chosen, pipeline = chosen_language(language), self.pipeline
        with self.lock, demo_errors(path):
            from entropy_asr.modeling import load_audio
            from entropy_asr.modeling.ctc_entropy_asr import greedy_spans
            from entropy_asr.modeling.guards_entropy_asr import GuardSettings, judge_transcript
            from entropy_asr.modeling.ledger_entropy_asr import utterance_ledger

            waveform = load_audio(path)
            text, flags = transcript.strip(), []
            if not text:
                result = pipeline(waveform, language=chosen, chunk_length_s=0, return_flags=True)
                text, flags = result["text"], result["flags"]
            if not text:
                raise DemoError(
                    "The model hears no speech in this recording: there is no text to explain. Type what was said "
                    "to see what the modules make of it."
                )
            ledger = utterance_ledger(pipeline.model, pipeline.processor, waveform, text, chosen)
            log_probs = self._phoneme_log_probs(waveform)
            tokenizer = pipeline.processor.phoneme_tokenizer
            confidence, doubts = judge_transcript(log_probs, text, tokenizer, GuardSettings(), chosen)
        spf = pipeline.processor.seconds_per_frame
        spans = greedy_spans(log_probs, pipeline.model.config.phoneme_blank_token_id)
        symbols = tokenizer.convert_ids_to_tokens([span.token for span in spans])
        timed = [(symbol, span.start * spf, span.end * spf) for symbol, span in zip(symbols, spans, strict=True)]
        return Explanation(
            waveform=waveform,
            log_probs=log_probs,
            phonemes=timed,
            seconds_per_frame=spf,
            ledger=ledger,
            text=text,
            language=chosen or "auto",
            is_recognized=not transcript.strip(),
            confidence=confidence,
            flags=flags + doubts + script_flags(text, chosen),
        )

    def _phoneme_log_probs(self, waveform: np.ndarray) -> "torch.Tensor":
        pipeline = self.pipeline
        inputs = pipeline.processor(audio=waveform).to(pipeline.model.device)
        logits, mask = pipeline.model.get_phoneme_logits(inputs["input_features"], inputs["input_features_mask"])
        return logits[0][mask[0].bool()].float().log_softmax(-1).cpu()

    def read_hotwords(self, text: str, file: str | None = None) -> list[str]:
        """Hotwords of the box and the file, each once.

        Raises:
            DemoError: a file that is no text, or words that are too many or too long.
        """
        words = re.split(r"[,;，、；\n]", text or "")
        if file:
            try:
                words += Path(file).read_text(encoding="utf-8-sig").splitlines()
            except (OSError, UnicodeDecodeError):
                raise DemoError(f"{Path(file).name} is not a text file (UTF-8) with one hotword a line.") from None
        words = list(dict.fromkeys(filter(None, map(str.strip, words))))
        if len(words) > self.settings.max_hotwords:
            raise DemoError(f"{len(words)} hotwords are too many: this demo takes {self.settings.max_hotwords}.")
        # Their phonemes are looked up while all other visitors wait.
        if sum(map(len, words)) > MAX_HOTWORD_CHARACTERS:
            raise DemoError(f"These hotwords are too long: this demo takes {MAX_HOTWORD_CHARACTERS:,} characters.")
        return words

    def index(self, words: list[str]) -> "HotwordIndex | None":
        """Index of hotwords; None for none.

        Raises:
            DemoError: a word without a sound.
        """
        if not words:
            return None
        with self.lock, demo_errors(None):
            return self._index(words)

    def _index(self, words: list[str]) -> "HotwordIndex":
        tokenizer = self.pipeline.processor.phoneme_tokenizer
        from entropy_asr.modeling import HotwordIndex

        return HotwordIndex.build(words, tokenizer)

    def _check_audio(self, path: str | None, max_seconds: float) -> float:
        """Duration in seconds of a recording that may be used; only its header is read where that can be trusted."""
        if not path:
            raise DemoError("There is no recording yet: upload a file or record one with the microphone.")
        name = Path(path).name
        if not Path(path).is_file():
            raise DemoError(f"{name} is not there any more: upload it again.")
        if not Path(path).stat().st_size:
            raise DemoError(f"{name} is empty: the file has no bytes.")
        _ = self.pipeline  # two threads that import the same packages at once would see halves of them
        from entropy_asr.modeling.audio import measure_duration

        with demo_errors(path):
            duration = measure_duration(path)
        if duration > max_seconds:
            raise DemoError(
                f"{name} lasts {_clock(duration)}, and this page takes up to {_clock(max_seconds)}. Cut it, or run "
                "`entropy-asr transcribe` on your own computer: it takes any length."
            )
        return duration


@contextmanager
def demo_errors(path: str | None) -> Iterator[None]:
    """Turns errors that are about the input into [`DemoError`]s that name files as the visitor does.

    Args:
        path: The recording.
    """
    try:
        yield
    except DemoError:
        raise
    except (ValueError, ImportError) as error:
        message = re.sub(r"^(item \d+: )+", "", str(error))
        if path:
            message = message.replace(path, Path(path).name)
        if "cannot be decoded" in message:
            from entropy_asr.modeling.audio import readable_formats

            message = f"{message.rstrip('.')}. This page reads {', '.join(readable_formats())}."
        raise DemoError(message) from error


def chosen_language(name: str) -> str | None:
    """What the model calls a language; None where it decides.

    Raises:
        DemoError: an unknown name.
    """
    try:
        return language_code(name, optional=True)
    except ValueError as error:
        raise DemoError(f"The {error}") from error


def script_flags(text: str, language: str | None) -> list[str]:
    """A flag where a text is not in the script of the language that was asked for."""
    return [OTHER_SCRIPT] if is_other_script(text, language) else []


def _clock(seconds: float) -> str:
    """ "1 h 59 min", "10 min", "30 s"."""
    seconds = round(seconds)
    hours, minutes = seconds // 3600, seconds % 3600 // 60
    if hours:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    rest = f" {seconds % 60} s" if seconds % 60 else ""
    return f"{minutes} min{rest}" if minutes else f"{seconds} s"
