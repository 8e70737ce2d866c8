# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Data sets of synthetic speech, built once for the same texts, voices and seed."""

import hashlib
import json
import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import datasets
import numpy as np
from datasets import Dataset, List, Value

from entropy_asr.modeling.languages_entropy_asr import language_code

from .synthesis import SAMPLING_RATE, Voice, default_voices, library_copy, synthesize


SOURCE = "espeak-ng"
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


def _draw_voices(language: str, index: int, num_voices: int, voices: Sequence[Voice], seed: int) -> list[Voice]:
    """Different voices for a text, each with its own pitch and rate: a function of the seed and the text's index."""
    candidates = [voice for voice in voices if voice.language == language]
    if len(candidates) < num_voices:
        raise ValueError(
            f"{num_voices} voices a text wanted, but there are {len(candidates)} of language {language!r}"
        )
    rng = np.random.default_rng([seed, index])
    drawn = [candidates[choice] for choice in rng.permutation(len(candidates))[:num_voices]]
    return [
        replace(
            voice,
            pitch=int(np.clip(voice.pitch + rng.integers(-15, 16), 0, 99)),
            pitch_range=int(np.clip(voice.pitch_range + rng.integers(-10, 16), 0, 99)),
            rate=int(np.clip(voice.rate * rng.uniform(0.8, 1.2), 80, 450)),
        )
        for voice in drawn
    ]


def _synthesize_rows(
    jobs: list[tuple[int, str, str]], voices: tuple[Voice, ...], num_voices: int, seed: int
) -> Iterator[dict]:
    for index, text, language in jobs:
        for voice in _draw_voices(language, index, num_voices, voices, seed):
            samples = np.round(synthesize(text, voice, seed=seed) * 32767.0).astype(np.int16)
            yield {
                "samples": samples,
                "text": text,
                "language": language,
                "duration": len(samples) / SAMPLING_RATE,
                "source": SOURCE,
            }


def _fingerprint(**arguments: object) -> str:
    serialized = json.dumps({"version": _SYNTHESIS_VERSION, **arguments}, sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(serialized.encode("utf-8")).hexdigest()


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


def _write(output_dir: Path, generate: "partial[Iterator[dict]]", jobs: list, fingerprint: str, num_proc: int) -> None:
    """Writes into a neighbouring folder and renames it, so that `output_dir` is whole whenever it exists."""
    output_dir.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{output_dir.name}-", dir=output_dir.parent) as scratch:
        built = Dataset.from_generator(
            generate,
            features=FEATURES,
            gen_kwargs={"jobs": jobs},
            cache_dir=f"{scratch}/cache",
            num_proc=num_proc if num_proc > 1 else None,
        )
        built.save_to_disk(f"{scratch}/built")
        summary = {"fingerprint": fingerprint, "rows": len(built), "hours": sum(built["duration"]) / 3600}
        (Path(scratch) / "built" / _MANIFEST).write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
        if output_dir.exists():
            os.rename(output_dir, f"{scratch}/replaced")
        os.rename(f"{scratch}/built", output_dir)


def build_synthetic_dataset(
    texts: Sequence[str],
    languages: str | Sequence[str],
    output_dir: str | os.PathLike,
    seed: int = 0,
    voices_per_text: int = 1,
    voices: Sequence[Voice] | None = None,
    num_proc: int = 1,
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
        voices: Speakers to choose from; by default those that the languages' entries name.
        num_proc: Number of processes.

    Raises:
        ValueError: No texts, an empty text, a language without enough voices.
        FileExistsError: `output_dir` holds something else.
    """
    languages = [languages] * len(texts) if isinstance(languages, str) else languages
    languages = [language_code(language) for language in languages]
    voices = default_voices() if voices is None else voices
    if not texts:
        raise ValueError("there are no texts to speak")
    if voices_per_text < 1 or num_proc < 1:
        raise ValueError(f"voices_per_text {voices_per_text} and num_proc {num_proc} must be at least 1")
    jobs = [(index, text, language) for index, (text, language) in enumerate(zip(texts, languages, strict=True))]
    library_copy()  # before forking: workers end without their exit handlers and would leave their copies behind
    for language in sorted(set(languages)):
        _draw_voices(language, 0, voices_per_text, voices, seed)
    speakers = [asdict(voice) for voice in voices]
    fingerprint = _fingerprint(jobs=jobs, seed=seed, voices_per_text=voices_per_text, voices=speakers)
    output_dir = Path(output_dir).absolute()
    complete = _load_complete(output_dir, fingerprint)
    if complete is None:
        generate = partial(_synthesize_rows, voices=tuple(voices), num_voices=voices_per_text, seed=seed)
        _write(output_dir, generate, jobs, fingerprint, min(num_proc, len(jobs)))
        complete = datasets.load_from_disk(str(output_dir))
    return complete
