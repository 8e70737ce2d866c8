# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The card of a synthetic data set, from its rows and the record that its synthesis left."""

import json
from collections import defaultdict
from pathlib import Path

import datasets
from huggingface_hub import DatasetCard, DatasetCardData


RECORD = "synthesis.json"
CARD = """---
{header}
---

# {name}

Speech that {engine} synthesised from text, for tests and training runs of
[entropy-asr](https://arxiv.org/abs/2604.08003): many voices, no recording of a person.

| language | utterances | hours | different texts |
| --- | --- | --- | --- |
{table}

Fingerprint of texts, voices and seed: `{fingerprint}`: the same arguments give the same audio.

| column | what |
| --- | --- |
| `samples` | int16, 16 kHz, mono |
| `text` | what was spoken |
| `language` | code of the language |
| `duration` | seconds |
| `source` | "{engine}" |

{voices} It is no substitute for recordings: there are no accents of people, rooms, noises or hesitations in it.
{licence} The texts keep theirs.
"""
# What speaks, as the record names it: how its speech varies, and what its licence asks of the output.
ENGINES = {
    "espeak-ng": (
        "Voices, pitches and rates are drawn for each text.",
        "espeak-ng is GPL-3; its output is not covered by that licence.",
    ),
    "kokoro": (
        "Voices and rates are drawn for each text.",
        "The weights of Kokoro-82M (hexgrad) are Apache-2.0, which asks nothing of the output.",
    ),
}


def write_dataset_card(directory: Path) -> Path:
    """Write `README.md` into a folder that [`~trainers.data.synthetic_dataset.build_synthetic_dataset`] wrote.

    Raises:
        FileNotFoundError: no such record or rows.
    """
    record = json.loads((directory / RECORD).read_text(encoding="utf-8"))
    rows = datasets.load_from_disk(str(directory)).select_columns(["language", "text", "duration"])
    durations, texts = defaultdict(list), defaultdict(set)
    for row in rows:
        durations[row["language"]].append(row["duration"])
        texts[row["language"]].add(row["text"])
    table = [
        f"| {language} | {len(seconds)} | {sum(seconds) / 3600:.3f} | {len(texts[language])} |"
        for language, seconds in sorted(durations.items())
    ]
    header = DatasetCardData(
        language=sorted(durations),
        task_categories=["automatic-speech-recognition"],
        tags=["synthetic", "entropy-asr"],
        pretty_name=directory.resolve().name,
        size_categories=_size(len(rows)),
    )
    engine = record.get("engine", "espeak-ng")  # the only one when records did not name it yet
    voices, licence = ENGINES[engine]
    card = CARD.format(
        engine=engine,
        voices=voices,
        licence=licence,
        header=header.to_yaml(),
        name=directory.resolve().name,
        table="\n".join(table),
        fingerprint=record["fingerprint"],
    )
    DatasetCard(card).save(directory / "README.md")
    return directory / "README.md"


def _size(num_rows: int) -> str:
    """The Hub's category."""
    limits = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
    return next((name for limit, name in limits if num_rows < limit), "1M<n<10M")
