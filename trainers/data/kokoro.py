# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Synthetic speech by Kokoro-82M, a neural synthesiser with 28 English and 8 Mandarin voices (Apache-2.0).

It runs as ONNX, as in the repository `onnx-community/Kokoro-82M-v1.0-ONNX`, or a folder of the same layout:

- the network: `onnx/model_quantized.onnx`, `model.int8.onnx` or `model.onnx`, the first of them that is there. Inputs
  are token ids (1, n) with a 0 at both ends, `style` (1, 256) and `speed` (1,); its output is audio at 24 kHz;
- `voices/NAME.bin`: float32 (510, 1, 256), one style for each number of phonemes;
- `tokenizer.json`, or `vocab.json` with {"vocab": {phoneme: id}}.

`hexgrad/Kokoro-82M` itself holds PyTorch files, which are not read. Kokoro has no noise of its own: speech is a
function of text, voice and speed. Silence before and after it is cut to 0.1 s; the network adds 0.2 to 0.6 s.
"""

import hashlib
import json
import os
import re
from dataclasses import dataclass, replace
from functools import cache, cached_property, lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import soxr
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from .kokoro_phonemes import kokoro_phonemes
from .synthesis import SAMPLING_RATE


# Part of the key: raise it when a text is spoken otherwise than before.
VERSION = 1
MODEL_FILES = ("onnx/model_quantized.onnx", "model.int8.onnx", "model.onnx")
VOCABULARIES = ("tokenizer.json", "vocab.json")
EXAMPLE = "onnx-community/Kokoro-82M-v1.0-ONNX"
# Languages by the first letter of a voice's name: American and British English, Mandarin. Its other languages have no
# grapheme-to-phoneme conversion here.
LANGUAGES = {"a": "en", "b": "en", "z": "zh"}
# Whisper-base hears 40 % of its characters wrong, of the others' 2 to 4 %: spoken where it is asked for by name.
UNCLEAR_VOICES = ("zf_xiaoni",)
MAX_PHONEMES = 510
SENTENCE_ENDS = (".", "!", "?", "…", ",", ";", ":", "—")
NATIVE_RATE = 24000
STYLE_SIZE = 256
# Packages whose version decides how a text is read.
READERS = ("hibari-tts", "misaki", "pypinyin", "jieba")
# Speech is what is louder than this beside the loudest 10 ms, and this much around it.
SILENCE_DB, SILENCE_KEPT = -50.0, 0.1


@dataclass(frozen=True)
class KokoroVoice:
    """One speaker.

    Args:
        language: Code of the language.
        name: As its file is called: "af_heart" (American, female), "bm_george" (British, male), "zm_yunxi" (Mandarin).
        speed: 0.5 to 2, 1 is the voice's own.
    """

    language: str
    name: str
    speed: float = 1.0

    def __post_init__(self) -> None:
        if not 0.5 <= self.speed <= 2.0:
            raise ValueError(f"voice {self.name}: speed {self.speed} is outside 0.5 to 2")


def find_weights(weights: str) -> Path:
    """The folder of the weights; those on the Hub are downloaded, or taken from the cache.

    Raises:
        FileNotFoundError: there are none, or not in the layout that is read; the message names what is missing.
    """
    folder = Path(weights).expanduser()
    if not folder.is_dir():
        try:
            folder = Path(snapshot_download(weights, allow_patterns=["voices/*.bin", *VOCABULARIES, *MODEL_FILES]))
        except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, ConnectionError) as error:
            reason = str(error).splitlines()[0]
            raise FileNotFoundError(
                f"weights {weights}: neither a folder nor a repository on the Hub that can be reached ({reason})"
            ) from error
    for what, names in (
        ("network", MODEL_FILES),
        ("vocabulary", VOCABULARIES),
        ("voice", ("voices/*.bin",)),
    ):
        if not any(list(folder.glob(name)) for name in names):
            raise FileNotFoundError(
                f"weights {weights}: no {what} ({', '.join(names)}); they are read as {EXAMPLE} has them"
            )
    return folder


def trim_silence(samples: np.ndarray, sampling_rate: int) -> np.ndarray:
    """Speech `(num_samples,)` with at most `SILENCE_KEPT` seconds of silence on both sides; silence alone is kept."""
    size = sampling_rate // 100
    frames = samples[: len(samples) // size * size].reshape(-1, size)
    power = np.square(frames, dtype=np.float64).mean(axis=1) if len(frames) else np.zeros(1)
    loud = np.flatnonzero(power > power.max() * 10 ** (SILENCE_DB / 10))
    if not len(loud):
        return samples
    kept = round(SILENCE_KEPT * sampling_rate)
    return samples[max(0, loud[0] * size - kept) : (loud[-1] + 1) * size + kept]


@lru_cache(maxsize=1)
def _session(path: str, process: int):
    """The network, once a process: a forked one loads its own."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1  # more processes are faster than more threads
    try:
        return onnxruntime.InferenceSession(path, sess_options=options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions have no common class
        raise ValueError(f"{path}: no ONNX network that can be loaded ({str(error).splitlines()[0]})") from error


@cache
def _file_hash(path: str, size: int, modified: int) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _package_version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


class KokoroEngine:
    """Kokoro as an engine of [`~speech_engines.SpeechEngine`]; the network is loaded with the first speech.

    Args:
        weights: Folder, or id on the Hub; see the module for the layout.

    Raises:
        FileNotFoundError: there are no such weights.
    """

    name = "kokoro"
    # About ten minutes of a core: what an interruption costs at most.
    part_size = 256

    def __init__(self, weights: str) -> None:
        self.folder = find_weights(weights)

    @cached_property
    def all_voices(self) -> tuple[KokoroVoice, ...]:
        """All speakers of languages that can be read."""
        names = sorted(path.stem for path in self.folder.glob("voices/*.bin"))
        return tuple(KokoroVoice(LANGUAGES[name[0]], name) for name in names if re.match("[abz][fm]_", name))

    @property
    def voices(self) -> tuple[KokoroVoice, ...]:
        """Speakers that are drawn from where none are named."""
        return tuple(voice for voice in self.all_voices if voice.name not in UNCLEAR_VOICES)

    @cached_property
    def _vocabulary(self) -> dict[str, int]:
        path = next(path for name in VOCABULARIES if (path := self.folder / name).is_file())
        content = json.loads(path.read_text(encoding="utf-8"))
        vocabulary = content.get("vocab") or content.get("model", {}).get("vocab")
        if not vocabulary:
            raise ValueError(f"{path}: no vocabulary of phonemes in it")
        if "ㄅ" in vocabulary:
            raise ValueError(f"{path}: Mandarin in Bopomofo, as of Kokoro 1.1; version 1.0 is needed, see {EXAMPLE}")
        return vocabulary

    @property
    def _model(self) -> Path:
        return next(path for name in MODEL_FILES if (path := self.folder / name).is_file())

    def key(self, voices: tuple[KokoroVoice, ...]) -> dict[str, Any]:
        """What, besides texts, voices and seed, decides the audio."""
        vocabulary = next(path for name in VOCABULARIES if (path := self.folder / name).is_file())
        files = [self._model, vocabulary, *(self._style_file(voice) for voice in voices)]
        hashes = [_file_hash(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files]
        readers = {name: _package_version(name) for name in READERS}
        return {"engine": self.name, "version": VERSION, "files": hashes, "readers": readers}

    def vary(self, voice: KokoroVoice, rng: np.random.Generator) -> KokoroVoice:
        """The voice at a speed of its own."""
        return replace(voice, speed=round(float(np.clip(voice.speed * rng.uniform(0.8, 1.2), 0.5, 2.0)), 3))

    def prepare(self) -> None:
        """Nothing: a process loads the network when it speaks."""

    def reading(self, text: str, voice: KokoroVoice) -> str:
        """Phonemes of a text, with a full stop where it has no punctuation at its end.

        Raises:
            ValueError: it cannot be spoken, or is longer than Kokoro's 510 phonemes, about half a minute.
            ImportError: a package that is needed is missing.
        """
        phonemes = kokoro_phonemes(text, voice.language, british=voice.name.startswith("b"))
        for symbol in sorted(set(phonemes) - set(self._vocabulary)):
            if symbol.isalnum():
                raise ValueError(f"Kokoro has no phoneme {symbol!r}, which {text!r} is read with")
        spoken = "".join(symbol for symbol in phonemes if symbol in self._vocabulary)  # drops signs it does not know
        if not any(symbol.isalpha() for symbol in spoken):
            raise ValueError(f"Kokoro has nothing to speak in {text!r}")
        if len(spoken) > MAX_PHONEMES:
            raise ValueError(
                f"Kokoro speaks at most {MAX_PHONEMES} phonemes at once, and {text!r} has {len(spoken)}: cut it"
            )
        # Transcripts have no full stops, and it was trained on texts that have: Whisper-base hears a quarter fewer
        # characters of Mandarin clauses wrong with one.
        ended = spoken.rstrip().endswith(SENTENCE_ENDS) or len(spoken) == MAX_PHONEMES or "." not in self._vocabulary
        return spoken if ended else f"{spoken}."

    def speak(self, reading: str, voice: KokoroVoice, seed: int = 0) -> np.ndarray:
        """float32 waveform of a reading at 16 kHz, of shape (num_samples,), in [-1, 1]; there is no noise to seed."""
        ids = [0, *(self._vocabulary[symbol] for symbol in reading), 0]
        session = _session(str(self._model), os.getpid())
        tokens = next(given.name for given in session.get_inputs() if given.name not in ("style", "speed"))
        inputs = {
            tokens: np.array([ids], dtype=np.int64),
            "style": self._styles(voice)[len(reading) - 1],
            "speed": np.array([voice.speed], dtype=np.float32),
        }
        samples = session.run(None, inputs)[0].reshape(-1)
        waveform = soxr.resample(trim_silence(samples, NATIVE_RATE), NATIVE_RATE, SAMPLING_RATE)
        return np.clip(waveform, -1.0, 1.0)

    def _style_file(self, voice: KokoroVoice) -> Path:
        return self.folder / "voices" / f"{voice.name}.bin"

    def _styles(self, voice: KokoroVoice) -> np.ndarray:
        styles = np.fromfile(self._style_file(voice), dtype=np.float32)
        if len(styles) != MAX_PHONEMES * STYLE_SIZE:
            raise ValueError(
                f"{self._style_file(voice)}: {len(styles)} numbers, where a voice has {MAX_PHONEMES * STYLE_SIZE}"
            )
        return styles.reshape(MAX_PHONEMES, 1, STYLE_SIZE)
