# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Synthetic speech by espeak-ng, for training where recordings are short and for tests that need speech offline.

The library comes with the pip package `espeakng-loader` and is driven through ctypes, without a process a sentence.

How this differs from the usual binding: every utterance is spoken by a freshly loaded copy of the library. espeak-ng
keeps the phase of its pitch flutter and its noise generator in static variables that neither `espeak_Initialize` nor
`espeak_ng_SetRandSeed` resets, so that audio would depend on what was spoken before. Loading costs 0.4 ms. The copy is
also what keeps it apart from phonemizer, which drives a copy of its own in the same process.
"""

import atexit
import ctypes
import os
import re
import shutil
import sys
import tempfile
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import numpy as np
import soxr

from entropy_asr.modeling.languages_entropy_asr import LANGUAGES, language_code


SAMPLING_RATE = 16000

# Constants of espeak-ng's speak_lib.h.
_SYNCHRONOUS, _PHONEME_EVENTS, _PHONEME_IPA, _DONT_EXIT = 2, 1, 2, 0x8000
_RATE, _PITCH, _RANGE = 1, 3, 4
_UTF8, _POSITION_CHARACTER = 1, 1
_EVENT_LIST_END, _EVENT_WORD, _EVENT_END, _EVENT_PHONEME = 0, 1, 5, 7


@dataclass(frozen=True)
class Voice:
    """One speaker.

    Args:
        language: In any usual form.
        accent: espeak-ng voice, best by its file: "gmw/en-US", "gmw/en" (British), "gmw/en-GB-scotland", "sit/cmn".
            By its name ("en-us", "cmn") espeak-ng searches all voices, which makes an utterance slower.
        variant: espeak-ng voice variant (timbre): "f1"-"f5", "m1"-"m8", "Andy", ...
        pitch: 0 to 99, 50 is the variant's own.
        pitch_range: 0 (monotone) to 99, 50 is the variant's own.
        rate: Words a minute, 80 to 450.
    """

    language: str
    accent: str
    variant: str
    pitch: int = 50
    pitch_range: int = 50
    rate: int = 175

    def __post_init__(self) -> None:
        object.__setattr__(self, "language", language_code(self.language))
        for name, low, high in (("pitch", 0, 99), ("pitch_range", 0, 99), ("rate", 80, 450)):
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"voice {self.name}: {name} {getattr(self, name)} is outside {low} to {high}")

    @property
    def name(self) -> str:
        return f"{self.accent}+{self.variant}"


def default_voices() -> tuple[Voice, ...]:
    """The speakers that the entries of all languages name."""
    return tuple(Voice(code, *voice) for code, entry in LANGUAGES.items() for voice in entry.voices)


VOICES = default_voices()


@dataclass(frozen=True)
class AlignedUnit:
    """A word or phoneme and when it is spoken, in seconds."""

    text: str
    start: float
    end: float


@dataclass
class SynthesizedSpeech:
    """Speech with its alignment.

    Args:
        samples: float32 waveform in [-1, 1], of shape `(num_samples,)`.
        sampling_rate: In Hz.
        words: Words as espeak-ng speaks them: "of the" is one where it joins them; one Chinese character each.
        phonemes: espeak-ng's IPA without stress marks, pauses left out. For Mandarin they are espeak-ng's IPA too, not
            the pinyin units of the phoneme tokenizer.
    """

    samples: np.ndarray
    sampling_rate: int
    words: list[AlignedUnit] = field(default_factory=list)
    phonemes: list[AlignedUnit] = field(default_factory=list)


class _EventId(ctypes.Union):
    _fields_ = [("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8)]


class _Event(ctypes.Structure):
    _fields_ = [
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    ]


_SynthCallback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


def _espeakng_loader():
    try:
        import espeakng_loader
    except ImportError as error:
        raise ImportError(
            f"Synthetic speech needs the package `espeakng-loader`, which cannot be imported ({error}): "
            'pip install "entropy-asr[g2p]"'
        ) from error
    return espeakng_loader


@lru_cache(maxsize=1)
def _data_path() -> str:
    return str(_espeakng_loader().get_data_path())


@lru_cache(maxsize=1)
def library_copy() -> str:
    """A copy of the library that nothing else in this process has loaded, so that closing it unloads it."""
    folder = tempfile.mkdtemp(prefix="entropy-asr-espeak-")
    atexit.register(_remove_copy, folder, os.getpid())
    return shutil.copy(_espeakng_loader().get_library_path(), folder)


def _remove_copy(folder: str, owner: int) -> None:
    if os.getpid() == owner:  # a forked worker must not remove its parent's copy
        shutil.rmtree(folder, ignore_errors=True)


def _unload(library: ctypes.CDLL) -> None:
    import _ctypes

    close = _ctypes.FreeLibrary if sys.platform == "win32" else _ctypes.dlclose
    close(library._handle)


class _Speaker:
    """A freshly loaded espeak-ng, for one utterance; a context manager that unloads it."""

    def __init__(self, voice: Voice, seed: int) -> None:
        self.voice, self.seed = voice, seed
        self.audio: list[bytes] = []
        self.error: BaseException | None = None
        self.events: list[tuple[int, int, int, str]] = []  # (type, text position, sample, phoneme)

    def __enter__(self) -> "_Speaker":
        self.library = ctypes.CDLL(library_copy())
        options = _PHONEME_EVENTS | _PHONEME_IPA | _DONT_EXIT
        self.sampling_rate = self.library.espeak_Initialize(_SYNCHRONOUS, 0, _data_path().encode(), options)
        if self.sampling_rate <= 0:
            _unload(self.library)
            raise RuntimeError(f"espeak-ng cannot read its data in {_data_path()}")
        # ctypes does not keep the callback alive
        self.callback = _SynthCallback(self._receive)
        self.library.espeak_SetSynthCallback(self.callback)
        self.library.espeak_ng_SetRandSeed(ctypes.c_long(self.seed + 1))  # C's srand takes 0 for 1
        self._set_voice()
        return self

    def __exit__(self, *exception: object) -> None:
        self.library.espeak_Terminate()
        _unload(self.library)

    def _set_voice(self) -> None:
        # espeak-ng takes any variant name and speaks with the plain voice where it has no such variant
        known = os.path.exists(os.path.join(_data_path(), "voices", "!v", self.voice.variant))
        if not known or self.library.espeak_SetVoiceByName(self.voice.name.encode()) != 0:
            self.__exit__()
            raise ValueError(f"espeak-ng has no voice {self.voice.name!r}")
        for parameter, value in (
            (_RATE, self.voice.rate),
            (_PITCH, self.voice.pitch),
            (_RANGE, self.voice.pitch_range),
        ):
            self.library.espeak_SetParameter(parameter, value, 0)

    def _receive(self, samples, num_samples: int, events) -> int:
        try:
            self._keep(samples, num_samples, events)
        except BaseException as error:  # Ctrl-C too: ctypes would drop it, and with it what was to be kept
            self.error = error
            return 1  # ends the synthesis
        return 0

    def _keep(self, samples, num_samples: int, events) -> None:
        if samples and num_samples:
            self.audio.append(ctypes.string_at(samples, 2 * num_samples))
        for event in events:
            if event.type == _EVENT_LIST_END:
                break
            phoneme = event.id.string.decode("utf-8", "ignore") if event.type == _EVENT_PHONEME else ""
            self.events.append((event.type, event.text_position, event.sample, phoneme))

    def speak(self, text: str) -> np.ndarray:
        """int16 waveform of shape (num_samples,) at `self.sampling_rate`; fills `self.events`."""
        encoded = text.encode("utf-8")
        self.library.espeak_Synth(encoded, len(encoded) + 1, 0, _POSITION_CHARACTER, 0, _UTF8, None, None)
        if self.error is not None:
            raise self.error
        return np.frombuffer(b"".join(self.audio), dtype=np.int16)


def _align_phonemes(speaker: _Speaker, num_samples: int) -> list[AlignedUnit]:
    """Phonemes with the time to the next event; espeak-ng marks pauses and changes of language as phonemes too."""
    events = [(sample, phoneme) for kind, _, sample, phoneme in speaker.events if kind in (_EVENT_END, _EVENT_PHONEME)]
    ends = [sample for sample, _ in events[1:]] + [num_samples]
    units = []
    for (start, phoneme), end in zip(events, ends, strict=True):
        name = re.sub(r"[ˈˌ\s]|\(.*", "", phoneme)
        if name:
            units.append(AlignedUnit(name, start / speaker.sampling_rate, end / speaker.sampling_rate))
    return units


def _align_words(speaker: _Speaker, text: str, phonemes: list[AlignedUnit]) -> list[AlignedUnit]:
    """Words by espeak-ng's word events: in the text up to the next event, in time to the end of the last phoneme."""
    events = [(position - 1, sample) for kind, position, sample, _ in speaker.events if kind == _EVENT_WORD]
    limits = [*events[1:], (len(text), sys.maxsize)]
    words = []
    for (start, sample), (stop, next_sample) in zip(events, limits, strict=True):
        spoken = [unit for unit in phonemes if sample <= round(unit.start * speaker.sampling_rate) < next_sample]
        surface = re.sub(r"^\W+|\W+$", "", text[start:stop])
        if spoken and surface:
            words.append(AlignedUnit(surface, spoken[0].start, spoken[-1].end))
    return words


def synthesize_with_alignment(
    text: str, voice: Voice, sampling_rate: int = SAMPLING_RATE, seed: int = 0
) -> SynthesizedSpeech:
    """Speaks a text and says when its words and phonemes are spoken.

    Args:
        text: In the voice's language; a Mandarin voice also speaks Latin words and pinyin with tone numbers.
        voice: The speaker.
        sampling_rate: Of the waveform, in Hz.
        seed: Of espeak-ng's noise; the audio is a function of the four arguments alone.

    Raises:
        ValueError: espeak-ng has no such voice, or nothing in the text can be spoken.
    """
    text = LANGUAGES[voice.language].synthesis_text(text)
    with _Speaker(voice, seed) as speaker:
        samples = speaker.speak(text)
    phonemes = _align_phonemes(speaker, len(samples))
    if not phonemes:
        raise ValueError(f"espeak-ng has nothing to speak in {text!r}")
    waveform = soxr.resample(samples.astype(np.float32) / 32768.0, speaker.sampling_rate, sampling_rate)
    waveform = np.clip(waveform, -1.0, 1.0)
    return SynthesizedSpeech(waveform, sampling_rate, _align_words(speaker, text, phonemes), phonemes)


def synthesize(text: str, voice: Voice, sampling_rate: int = SAMPLING_RATE, seed: int = 0) -> np.ndarray:
    """float32 waveform of a text, of shape `(num_samples,)`; arguments and errors as `synthesize_with_alignment`."""
    return synthesize_with_alignment(text, voice, sampling_rate, seed).samples


class EspeakEngine:
    """espeak-ng as an engine of [`~speech_engines.SpeechEngine`]."""

    name = "espeak-ng"
    part_size = None

    @property
    def voices(self) -> tuple[Voice, ...]:
        """The speakers that the entries of all languages name."""
        return default_voices()

    all_voices = voices

    def key(self, voices: tuple[Voice, ...]) -> dict[str, Any]:
        """Nothing but texts, voices and seed decides the audio."""
        return {}

    def vary(self, voice: Voice, rng: np.random.Generator) -> Voice:
        """The voice with a pitch and a rate of its own."""
        return replace(
            voice,
            pitch=int(np.clip(voice.pitch + rng.integers(-15, 16), 0, 99)),
            pitch_range=int(np.clip(voice.pitch_range + rng.integers(-10, 16), 0, 99)),
            rate=int(np.clip(voice.rate * rng.uniform(0.8, 1.2), 80, 450)),
        )

    def prepare(self) -> None:
        """Copies the library: forked workers end without their exit handlers and would leave their copies behind."""
        library_copy()

    def reading(self, text: str, voice: Voice) -> str:
        """The text itself."""
        return text

    def speak(self, reading: str, voice: Voice, seed: int = 0) -> np.ndarray:
        """As [`synthesize`]."""
        return synthesize(reading, voice, seed=seed)
