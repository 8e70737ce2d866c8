# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What an area of fuzzing is, and those whose inputs are files: audio, hotwords, recipes."""

import io
import json
import shutil
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import yaml
from mutations import mutated_bytes, mutated_text, mutated_value, pick

from entropy_asr.modeling import EntropyASRPhonemeTokenizer, HotwordIndex
from entropy_asr.modeling.audio import audio_duration, load_audio, load_or_blocks
from entropy_asr.trainers.commands.hotwords import read_hotwords
from entropy_asr.trainers.recipes.places import Places
from entropy_asr.trainers.recipes.recipe import check_recipe, load_recipe
from entropy_asr.trainers.stages import STAGES, find_stage


LONGEST_MESSAGE = 2000


class Area(ABC):
    """Inputs of one kind. What is costly and never changes is made in `prepare`, before processes are forked."""

    name = ""
    # Classes of errors that say what is wrong with an input.
    expected: tuple[type[Exception], ...] = (ValueError, OSError)

    def prepare(self, folder: Path, count: int, seed: int) -> None:
        """Make seeds in an empty folder of this area's own."""
        self.folder, self.seed = folder, seed

    def make(self, number: int) -> Any:
        """An input by its number, always the same; `repr` shows it whole."""
        return self.draw(np.random.default_rng([self.seed, number]), number)

    @abstractmethod
    def draw(self, rng: np.random.Generator, number: int) -> Any:
        """The input of a number, by its own generator."""

    @abstractmethod
    def run(self, value: Any) -> None:
        """Use an input: it is accepted, or an error says why not."""

    def names(self, value: Any) -> Sequence[str]:
        """How an error may call the input: one of these is in its message. Empty: nothing is wanted."""
        return ()

    def judge(self, value: Any, error: Exception) -> str | None:
        """What is wrong with the error of an input: "" its class, a reason an unclear message, None nothing."""
        if not isinstance(error, self.expected) or isinstance(error, (UnicodeError, RecursionError)):
            return ""
        message, names = str(error), self.names(value)
        if not message.strip() or "\n" in message or len(message) > LONGEST_MESSAGE:
            return f"the message is empty, too long, or more than a line: {message[:200]!r}"
        if names and not any(name in message for name in names):
            return f"the message names none of {list(names)}"
        return None


def sound(rate: int, seconds: float, channels: int = 1) -> np.ndarray:
    """A tone of changing pitch in noise, `(num_samples, channels)`."""
    rng = np.random.default_rng(rate)
    time = np.arange(round(rate * seconds)) / rate
    tone = 0.3 * np.sin(2 * np.pi * (200 * time + 400 * time**2)) + 0.02 * rng.normal(size=len(time))
    return np.repeat(tone[:, None], channels, axis=1).astype(np.float32)


class Audio(Area):
    """Recordings of every container, as paths, bytes and mappings."""

    name = "audio files"
    written = (
        *(("WAV", subtype) for subtype in ("PCM_16", "PCM_U8", "PCM_24", "FLOAT", "ULAW", "IMA_ADPCM", "GSM610")),
        *(("RF64", "PCM_16"), ("W64", "PCM_16"), ("AIFF", "PCM_16"), ("AIFF", "FLOAT"), ("AU", "PCM_16")),
        *(("CAF", "PCM_16"), ("CAF", "ALAC_16"), ("FLAC", "PCM_16"), ("FLAC", "PCM_24"), ("OGG", "VORBIS")),
        *(("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III")),
    )
    encoded = {"mp4": ("aac",), "webm": ("libopus",), "mkv": ("flac",), "avi": ("pcm_s16le",), "wma": ("wmav2",)}
    # Of the inputs, those that a program of their own decodes.
    slow_share = 0.04

    def prepare(self, folder: Path, count: int, seed: int) -> None:
        super().prepare(folder, count, seed)
        self.seeds, self.slow = [], []
        for container, subtype in self.written:
            rate, file = 8000 if subtype in ("GSM610",) else 16000, io.BytesIO()
            samples = sound(rate, 0.15, 1 if subtype in ("GSM610", "IMA_ADPCM") else 2)
            soundfile.write(file, samples, rate, format=container, subtype=subtype)
            self.seeds.append(file.getvalue())
        if shutil.which("ffmpeg"):
            soundfile.write(folder / "seed.wav", sound(16000, 0.15), 16000)
            for ending, (codec,) in self.encoded.items():
                command = [
                    "ffmpeg",
                    "-v",
                    "quiet",
                    "-i",
                    folder / "seed.wav",
                    "-c:a",
                    codec,
                    folder / f"seed.{ending}",
                ]
                if subprocess.run(command, check=False).returncode == 0:
                    self.slow.append((folder / f"seed.{ending}").read_bytes())

    def draw(self, rng: np.random.Generator, number: int) -> tuple[str, bytes]:
        is_slow = bool(self.slow) and rng.random() < self.slow_share
        seed = pick(rng, self.slow if is_slow else self.seeds)
        return pick(rng, ("path", "bytes", "mapping")), mutated_bytes(rng, seed, self.seeds)

    def run(self, value: tuple[str, bytes]) -> None:
        source = self._source(*value)
        audio_duration(source)
        blocks = load_or_blocks(source, 0.1)
        for block in [blocks] if isinstance(blocks, np.ndarray) else blocks:
            assert block.ndim == 1 and block.dtype == np.float32
        samples = load_audio(source)
        assert samples.ndim == 1 and samples.dtype == np.float32 and len(samples)
        assert np.abs(samples).max() <= 1

    def _source(self, form: str, data: bytes) -> Any:
        path = self.folder / "input.audio"
        if form == "path":
            path.write_bytes(data)
        return {"path": str(path), "bytes": data, "mapping": {"bytes": data, "path": "talk.wav"}}[form]

    def names(self, value: tuple[str, bytes]) -> Sequence[str]:
        return {"path": ("input.audio",), "bytes": (f"audio of {len(value[1])} bytes",)}.get(
            value[0], ("talk.wav", "audio of")
        )


class Hotwords(Area):
    """Lists of words, and indexes: their files damaged, or well-formed files with other arrays in them."""

    name = "hotword files"
    words = ("Kaldi", "New York", "北京", "naïve", "DNA 3", "Zürich")

    def prepare(self, folder: Path, count: int, seed: int) -> None:
        super().prepare(folder, count, seed)
        tokenizer = EntropyASRPhonemeTokenizer()
        HotwordIndex.build(["Kaldi", "New York", "北京", "Anna"], tokenizer).save(folder / "seed.npz")
        self.index = (folder / "seed.npz").read_bytes()
        with np.load(folder / "seed.npz") as arrays:
            self.arrays = dict(arrays)
        self.heard = tokenizer.phonemize("we saw New York and Anna in 北京 with Kaldi")

    def draw(self, rng: np.random.Generator, number: int) -> tuple[str, bytes]:
        if rng.random() < 0.4:
            text = "\n".join(self.words)
            if rng.random() < 0.5:
                return ".txt", mutated_text(rng, text).encode("utf-8", "surrogatepass")
            return ".txt", mutated_bytes(rng, text.encode())
        if rng.random() < 0.3:
            return ".npz", mutated_bytes(rng, self.index, [self.index])
        arrays = dict(self.arrays)
        name = pick(rng, sorted(arrays))
        arrays[name] = self._changed(rng, name, arrays[name])
        if arrays[name] is None:
            del arrays[name]
        file = io.BytesIO()
        np.savez(file, **arrays)
        return ".npz", file.getvalue()

    @staticmethod
    def _changed(rng: np.random.Generator, name: str, array: np.ndarray) -> np.ndarray | None:
        """One array of an index in another's place, which passes for an index's."""
        kind = int(rng.integers(6))
        if name == "header" and kind < 4:
            header = mutated_value(rng, json.loads(array.tobytes()))
            return np.frombuffer(json.dumps(header).encode(), np.uint8)
        if kind == 0:
            return None
        if kind == 1:
            return array.astype(pick(rng, (np.float64, np.int8, np.uint64, np.complex64, "U4", bool)))
        if kind == 2:
            return array.reshape(pick(rng, ((-1, 1), (1, -1), (1, -1, 1))))
        data = mutated_bytes(rng, array.tobytes(), [array.tobytes()])
        return np.frombuffer(data[: len(data) // array.itemsize * array.itemsize], array.dtype)

    def run(self, value: tuple[str, bytes]) -> None:
        path = self.folder / f"words{value[0]}"
        path.write_bytes(value[1])
        index = read_hotwords([str(path)])
        if isinstance(index, HotwordIndex):
            for tolerance in (0.0, 0.2):
                assert all(isinstance(word, str) for word in index.find_hints(self.heard, tolerance))
            assert len(index.words()) == len(index)

    def names(self, value: tuple[str, bytes]) -> Sequence[str]:
        return (f"words{value[0]}",)


class Recipes(Area):
    """Shipped recipes, and what overrides them, read as `entropy-asr recipe` reads them; nothing is run."""

    name = "recipes"

    def prepare(self, folder: Path, count: int, seed: int) -> None:
        super().prepare(folder, count, seed)
        shipped = sorted((Path(__file__).parents[2] / "trainers" / "recipes").glob("*.yaml"))
        self.texts = [path.read_text(encoding="utf-8") for path in shipped]
        self.values = [yaml.safe_load(text) for text in self.texts]
        for name in STAGES:  # imported now, not in each process
            find_stage(name)

    def draw(self, rng: np.random.Generator, number: int) -> tuple[bytes, list[str]]:
        number = int(rng.integers(len(self.texts)))
        overrides = self._overrides(rng, self.values[number]) if rng.random() < 0.4 else []
        kind = rng.random()
        if kind < 0.45:
            value = mutated_value(rng, self.values[number])
            text = yaml.safe_dump(value, allow_unicode=True).encode("utf-8", "surrogatepass")
        elif kind < 0.85:
            text = mutated_text(rng, self.texts[number]).encode("utf-8", "surrogatepass")
        elif kind < 0.95:
            text = mutated_bytes(rng, self.texts[number].encode(), [self.texts[0].encode()])
        else:
            text = self._knotted(rng)
        return text, overrides

    @staticmethod
    def _overrides(rng: np.random.Generator, recipe: dict[str, Any]) -> list[str]:
        stage = pick(rng, sorted(recipe["stages"]))
        section = pick(rng, ("training", "data", "model", "nothing", ""))
        key = pick(rng, ("max_steps", "learning_rate", "path", "lora.r", "..", ""))
        name = pick(rng, (f"stages.{stage}.{section}.{key}", "seed", f"variables.{key}", key, f"stages.{stage}"))
        value = mutated_text(rng, pick(rng, ("3", "1e-4", "[1, 2]", "{a: b}", "true", "null", "*a", "text")))
        return [f"--{name}", value] if rng.random() < 0.7 else [f"--{name}={value}"]

    @staticmethod
    def _knotted(rng: np.random.Generator) -> bytes:
        """Anchors that hold themselves, or that hold each other so often that their copies would fill any memory."""
        if rng.random() < 0.5:
            return pick(rng, (b"stages: &a\n  one: *a\n", b"shared: &a [*a]\nstages: {}\n", b"&a {stages: *a}\n"))
        depth, width = int(rng.integers(5, 40)), int(rng.integers(2, 12))
        lines = ["shared:", "  - &a0 [x, y]"]
        lines += [f"  - &a{n} [{', '.join([f'*a{n - 1}'] * width)}]" for n in range(1, depth)]
        return "\n".join([*lines, "stages: {}", ""]).encode()

    def run(self, value: tuple[bytes, list[str]]) -> None:
        path = self.folder / "recipe.yaml"
        path.write_bytes(value[0])
        places = Places(path)
        recipe = load_recipe(path, str(self.folder / "out"), value[1], places)
        with places.named():
            check_recipe(recipe)

    def names(self, value: tuple[bytes, list[str]]) -> Sequence[str]:
        return (
            "recipe.yaml",
            *(option.partition("=")[0] for option in value[1] if option.startswith("--")),
            "Overrides",
        )
