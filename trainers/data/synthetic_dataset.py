# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Data sets of synthetic speech, built once for the same texts, voices and seed."""

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

import datasets
import numpy as np
from datasets import Dataset, List, Value
from filelock import FileLock

from entropy_asr.modeling.languages_entropy_asr import language_code

from ..runs.records import json_sha256
from .speech_engines import AnyVoice, SpeechEngine
from .synthesis import SAMPLING_RATE, EspeakEngine


# Part of the fingerprint of a synthetic data set: raise it when the audio of a text and voice changes.
_SYNTHESIS_VERSION = 1
_MANIFEST = "synthesis.json"
FEATURES = datasets.Features(
    {
        "samples": List(Value("int16")),
        "text": Value("string"),
        "language": Value("string"),
        "duration": Value("float64"),
        "source": Value("string"),
    }
)


def _draw_voices(
    engine: SpeechEngine, voices: Sequence[AnyVoice], language: str, index: int, num_voices: int, seed: int
) -> list[AnyVoice]:
    """Different voices for a text, each with its own pitch and rate: a function of the seed and the text's index."""
    candidates = [voice for voice in voices if voice.language == language]
    if len(candidates) < num_voices:
        raise ValueError(
            f"{num_voices} voices a text wanted, but {engine.name} has {len(candidates)} of language {language!r}"
        )
    rng = np.random.default_rng([seed, index])
    drawn = [candidates[choice] for choice in rng.permutation(len(candidates))[:num_voices]]
    return [engine.vary(voice, rng) for voice in drawn]


def _speak_rows(
    utterances: list[tuple[str, str, str, AnyVoice]], engine: SpeechEngine, seed: int
) -> Iterator[dict[str, object]]:
    for text, language, reading, voice in utterances:
        samples = np.round(engine.speak(reading, voice, seed) * 32767.0).astype(np.int16)
        yield {
            "samples": samples,
            "text": text,
            "language": language,
            "duration": len(samples) / SAMPLING_RATE,
            "source": engine.name,
        }


def _load_complete(output_dir: Path, fingerprint: str) -> Dataset | None:
    """The data set in `output_dir` if it is this one; None if there is none or another synthetic one to replace."""
    manifest = output_dir / _MANIFEST
    if not output_dir.exists() or (output_dir.is_dir() and not any(output_dir.iterdir())):
        return None
    if not manifest.is_file():
        raise FileExistsError(f"{output_dir} holds something other than a synthetic data set; it is left as it is")
    if json.loads(manifest.read_text(encoding="utf-8"))["fingerprint"] != fingerprint:
        return None
    return datasets.load_from_disk(str(output_dir))


def _generate(scratch: str, speak: "partial[Iterator[dict]]", utterances: list, num_proc: int) -> Dataset:
    num_proc = min(num_proc, len(utterances))
    return Dataset.from_generator(
        speak,
        features=FEATURES,
        gen_kwargs={"utterances": utterances},
        cache_dir=f"{scratch}/cache",
        num_proc=num_proc if num_proc > 1 else None,
    )


def _generate_in_parts(
    parts_dir: Path, speak: "partial[Iterator[dict]]", utterances: list, num_proc: int, part_size: int
) -> Dataset:
    """As [`_generate`], but what is spoken is kept in parts, so that an interruption costs one of them."""
    parts = []
    for start in range(0, len(utterances), part_size * num_proc):
        part = utterances[start : start + part_size * num_proc]
        folder = parts_dir / str(start)
        if not folder.is_dir():
            with tempfile.TemporaryDirectory(dir=parts_dir) as scratch:
                _generate(scratch, speak, part, num_proc).save_to_disk(f"{scratch}/built")
                os.rename(f"{scratch}/built", folder)
        parts.append(datasets.load_from_disk(str(folder)))
    return datasets.concatenate_datasets(parts)


def _write(
    output_dir: Path, engine: SpeechEngine, utterances: list, fingerprint: str, seed: int, num_proc: int
) -> None:
    """Writes into a neighbouring folder and renames it, so that `output_dir` is whole whenever it exists."""
    output_dir.parent.mkdir(parents=True, exist_ok=True)
    speak = partial(_speak_rows, engine=engine, seed=seed)
    with tempfile.TemporaryDirectory(prefix=f".{output_dir.name}-", dir=output_dir.parent) as scratch:
        if engine.part_size is None:
            built = _generate(scratch, speak, utterances, num_proc)
        else:
            parts_dir = _parts_dir(output_dir, fingerprint)
            built = _generate_in_parts(parts_dir, speak, utterances, num_proc, engine.part_size)
        built.save_to_disk(f"{scratch}/built")
        hours = sum(built["duration"]) / 3600
        summary = {"fingerprint": fingerprint, "engine": engine.name, "rows": len(built), "hours": hours}
        (Path(scratch) / "built" / _MANIFEST).write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
        if output_dir.exists():
            os.rename(output_dir, f"{scratch}/replaced")
        os.rename(f"{scratch}/built", output_dir)


def _parts_dir(output_dir: Path, fingerprint: str) -> Path:
    return output_dir.parent / f".{output_dir.name}-{fingerprint[:16]}"


def _write_once(
    output_dir: Path, engine: SpeechEngine, utterances: list, fingerprint: str, seed: int, num_proc: int
) -> Dataset:
    """Writes the data set, unless another process is about it: then this one waits for it."""
    if engine.part_size is None:
        _write(output_dir, engine, utterances, fingerprint, seed, num_proc)
        return datasets.load_from_disk(str(output_dir))
    parts_dir = _parts_dir(output_dir, fingerprint)
    output_dir.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(output_dir.parent / f".{output_dir.name}.lock"):
        complete = _load_complete(output_dir, fingerprint)
        if complete is None:
            parts_dir.mkdir(exist_ok=True)
            _write(output_dir, engine, utterances, fingerprint, seed, num_proc)
            complete = datasets.load_from_disk(str(output_dir))
            shutil.rmtree(parts_dir, ignore_errors=True)
    return complete


def build_synthetic_dataset(
    texts: Sequence[str],
    languages: str | Sequence[str],
    output_dir: str | os.PathLike,
    seed: int = 0,
    voices_per_text: int = 1,
    voices: Sequence[AnyVoice] | None = None,
    num_proc: int = 1,
    engine: SpeechEngine | None = None,
) -> Dataset:
    """Speaks every text and saves the rows as an Arrow data set (32 kB a second of audio).

    Rows are those of [`~decoding.decode_ahead`]: `samples` (int16, 16 kHz mono), `text`, `language`,
    `duration` in seconds, `source`. They follow the order of the texts and are the same for every `num_proc`.

    Args:
        texts: Written without digits: espeak-ng's Mandarin reads "2023年" as a quantity, the tokenizer as a year.
        languages: One for all or one a text, in any usual form.
        output_dir: Folder of the data set. If it already holds the one that these arguments give, that is returned; if
            it holds another synthetic one, that is replaced.
        seed: Decides voices, pitches and rates.
        voices_per_text: Different voices that speak each text, one row each.
        voices: Speakers to choose from; by default all of the engine.
        num_proc: Number of processes.
        engine: What speaks; espeak-ng by default. What a slow one has spoken is kept when it is interrupted, in a
            hidden folder beside `output_dir`, and a second process that wants the same waits for it.

    Raises:
        ValueError: No texts, an empty text, one that the engine cannot speak, a language without enough voices.
        FileExistsError: `output_dir` holds something else.
    """
    engine = EspeakEngine() if engine is None else engine
    languages = [languages] * len(texts) if isinstance(languages, str) else languages
    languages = [language_code(language) for language in languages]
    voices = tuple(engine.voices if voices is None else voices)
    if not texts:
        raise ValueError("there are no texts to speak")
    if voices_per_text < 1 or num_proc < 1:
        raise ValueError(f"voices_per_text {voices_per_text} and num_proc {num_proc} must be at least 1")
    jobs = [(index, text, language) for index, (text, language) in enumerate(zip(texts, languages, strict=True))]
    draw = partial(_draw_voices, engine, voices, num_voices=voices_per_text, seed=seed)
    for language in sorted(set(languages)):
        draw(language, 0)
    key = {"jobs": jobs, "seed": seed, "voices_per_text": voices_per_text, "voices": [asdict(v) for v in voices]}
    fingerprint = json_sha256({"version": _SYNTHESIS_VERSION, **key, **engine.key(voices)})
    output_dir = Path(output_dir).absolute()
    complete = _load_complete(output_dir, fingerprint)
    if complete is not None:
        return complete
    engine.prepare()
    # All are read before any is spoken: a text that cannot be is told at once.
    utterances = [
        (text, language, engine.reading(text, voice), voice)
        for index, text, language in jobs
        for voice in draw(language, index)
    ]
    return _write_once(output_dir, engine, utterances, fingerprint, seed, num_proc)
