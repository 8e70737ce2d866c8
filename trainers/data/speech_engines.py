# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Engines that speak texts, behind one interface."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from .kokoro import EXAMPLE, KokoroEngine, KokoroVoice
from .synthesis import EspeakEngine, Voice


ENGINES = (EspeakEngine.name, KokoroEngine.name)
AnyVoice = Voice | KokoroVoice


class SpeechEngine(Protocol):
    """What data sets of synthetic speech need of an engine.

    Attributes:
        name: What the `source` column says.
        voices: Speakers that are drawn from where none are named; `language` of each is a code, `name` its name.
        all_voices: Those that can be named.
        part_size: How many utterances are kept together while a data set is not finished; None: none, it is fast.
    """

    name: str
    voices: tuple[AnyVoice, ...]
    all_voices: tuple[AnyVoice, ...]
    part_size: int | None

    def key(self, voices: tuple[AnyVoice, ...]) -> dict[str, Any]:
        """What, besides texts, voices and seed, decides the audio; of values that JSON has."""

    def vary(self, voice: AnyVoice, rng: np.random.Generator) -> AnyVoice:
        """The voice with a pace, and a pitch, of its own."""

    def prepare(self) -> None:
        """Done once before processes are forked that speak."""

    def reading(self, text: str, voice: AnyVoice) -> str:
        """What is spoken of a text: its phonemes, or the text itself; ValueError where it cannot be."""

    def speak(self, reading: str, voice: AnyVoice, seed: int = 0) -> np.ndarray:
        """float32 waveform at 16 kHz of shape (num_samples,), in [-1, 1]: a function of the three arguments."""


def check_engine(name: str, weights: str | None) -> None:
    """Refuse an engine that does not exist, or weights that it does not have or lacks; nothing is loaded.

    Raises:
        ValueError: the message names the field.
    """
    if name not in ENGINES:
        raise ValueError(f"engine is one of {', '.join(ENGINES)}, not {name!r}")
    if name == KokoroEngine.name and not weights:
        raise ValueError(f"engine {name} needs `weights`: a folder, or an id on the Hub such as {EXAMPLE}")
    if name == EspeakEngine.name and weights:
        raise ValueError(f"engine {name} has no weights; leave `weights` out, got {weights!r}")


def speech_engine(name: str, weights: str | None = None) -> SpeechEngine:
    """An engine by its name.

    Args:
        name: One of `ENGINES`.
        weights: Folder or id on the Hub of an engine that has some.

    Raises:
        ValueError: no such engine, or weights that do not fit it.
        FileNotFoundError: there are no such weights.
    """
    check_engine(name, weights)
    return KokoroEngine(weights) if name == KokoroEngine.name else EspeakEngine()


def named_voices(engine: SpeechEngine, language: str, names: Sequence[str] | None = None) -> tuple[AnyVoice, ...]:
    """An engine's speakers of a language.

    Args:
        engine: The engine.
        language: Code of the language.
        names: Their names; None: those that are drawn from by default.

    Raises:
        ValueError: one that it does not have in this language; the message lists those that it has.
    """
    if names is None:
        return tuple(voice for voice in engine.voices if voice.language == language)
    known = {voice.name: voice for voice in engine.all_voices if voice.language == language}
    if unknown := [name for name in names if name not in known]:
        raise ValueError(
            f"{engine.name} has no voice {', '.join(unknown)} of language {language!r}; "
            f"its voices are {', '.join(known) or 'none'}"
        )
    return tuple(known[name] for name in names)
