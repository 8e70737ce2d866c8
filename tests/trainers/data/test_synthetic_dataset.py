# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Data sets of synthetic speech: the same for the same arguments, whole or not there."""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import datasets
import numpy as np
import pytest

from entropy_asr.trainers.data import synthetic_dataset
from entropy_asr.trainers.data.kokoro import KokoroEngine
from entropy_asr.trainers.data.synthesis import (
    SAMPLING_RATE,
)
from entropy_asr.trainers.data.synthetic_dataset import build_synthetic_dataset


TEXTS = ["the red dog", "我们去北京", "open the door", "今天", "one two three"]
LANGUAGES = ["en", "zh", "en", "zh", "en"]


def test_dataset_rows(tmp_path: Path) -> None:
    rows = build_synthetic_dataset(TEXTS, LANGUAGES, tmp_path / "set", seed=3, voices_per_text=2)
    assert rows.column_names == ["samples", "text", "language", "duration", "source"]
    assert rows["text"][:] == [text for text in TEXTS for _ in range(2)]
    assert set(rows["source"]) == {"espeak-ng"}
    assert rows.features["samples"] == datasets.List(datasets.Value("int16"))
    for row in rows:
        assert row["duration"] == pytest.approx(len(row["samples"]) / SAMPLING_RATE)
        assert np.abs(row["samples"]).max() > 2000
    assert rows[0]["samples"] != rows[1]["samples"]
    assert datasets.load_from_disk(str(tmp_path / "set"))[:] == rows[:]


def test_dataset_is_the_same_for_every_process_count(tmp_path: Path) -> None:
    one, two, other = (
        build_synthetic_dataset(TEXTS, LANGUAGES, tmp_path / name, seed=seed, num_proc=num_proc)
        for name, seed, num_proc in (("one", 0, 1), ("two", 0, 2), ("other", 1, 1))
    )
    assert one[:] == two[:]
    assert one["samples"][:] != other["samples"][:]


def test_dataset_is_built_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "set"
    first = build_synthetic_dataset(TEXTS, LANGUAGES, folder)[:]

    def refuse(*arguments: object) -> None:
        raise AssertionError("built again")

    with monkeypatch.context() as patch:
        patch.setattr(synthetic_dataset, "_write", refuse)
        assert build_synthetic_dataset(TEXTS, LANGUAGES, folder)[:] == first
        with pytest.raises(AssertionError, match="built again"):
            build_synthetic_dataset(TEXTS, LANGUAGES, folder, seed=1)
    assert len(build_synthetic_dataset(TEXTS[:1], "en", folder)) == 1
    assert os.listdir(tmp_path) == ["set"]


def test_interrupted_dataset_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "set"
    first = build_synthetic_dataset(TEXTS[:1], "en", folder)[:]
    with pytest.raises(datasets.exceptions.DatasetGenerationError) as error:
        build_synthetic_dataset(["fine", "..."], "en", folder)
    assert "nothing to speak in '...'" in str(error.value.__cause__)
    assert os.listdir(tmp_path) == ["set"]
    assert datasets.load_from_disk(str(folder))[:] == first

    def interrupt(*arguments: object, **keywords: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(datasets.Dataset, "save_to_disk", interrupt)
    with pytest.raises(KeyboardInterrupt):
        build_synthetic_dataset(TEXTS, LANGUAGES, tmp_path / "new")
    assert os.listdir(tmp_path) == ["set"]


def test_dataset_refuses(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="mine"):
        build_synthetic_dataset(TEXTS, LANGUAGES, tmp_path / "mine")
    with pytest.raises(ValueError, match="no texts"):
        build_synthetic_dataset([], "en", tmp_path / "set")
    with pytest.raises(ValueError, match="language 'fr'"):
        build_synthetic_dataset(["bonjour"], "fr", tmp_path / "set")
    with pytest.raises(ValueError, match="99 voices a text"):
        build_synthetic_dataset(["hello"], "en", tmp_path / "set", voices_per_text=99)


@pytest.fixture
def kokoro(kokoro_weights):
    return KokoroEngine(str(kokoro_weights))


def left(folder: Path) -> list[str]:
    """What lies in a folder, but for the files by which processes wait for each other."""
    return sorted(name for name in os.listdir(folder) if not name.endswith(".lock"))


def test_another_engine_speaks_for_every_process_count(kokoro, tmp_path):
    one, two, other = (
        build_synthetic_dataset(TEXTS, LANGUAGES, tmp_path / name, seed=seed, num_proc=num_proc, engine=kokoro)
        for name, seed, num_proc in (("one", 0, 1), ("two", 0, 2), ("other", 1, 1))
    )
    assert one[:] == two[:]
    assert one["samples"][:] != other["samples"][:]
    assert one["text"][:] == TEXTS and set(one["source"]) == {"kokoro"}
    assert all(np.abs(samples).max() > 1000 for samples in one["samples"])
    assert left(tmp_path) == ["kokoro", "one", "other", "two"]


def test_other_weights_are_another_data_set(kokoro, tmp_path):
    first = build_synthetic_dataset(TEXTS, LANGUAGES, tmp_path / "set", engine=kokoro)[:]
    for path in (tmp_path / "kokoro" / "voices").iterdir():
        path.write_bytes((np.fromfile(path, dtype=np.float32) * 2).tobytes())
    louder = build_synthetic_dataset(TEXTS, LANGUAGES, tmp_path / "set", engine=KokoroEngine(str(tmp_path / "kokoro")))
    assert np.abs(louder[0]["samples"]).max() == pytest.approx(2 * np.abs(first["samples"][0]).max(), rel=0.01)


def test_a_text_that_cannot_be_spoken_is_told_before_any_is(kokoro, tmp_path, monkeypatch):
    monkeypatch.setattr(KokoroEngine, "speak", lambda *arguments: pytest.fail("spoken"))
    with pytest.raises(ValueError, match="cannot speak 'п' in 'привет'"):
        build_synthetic_dataset(["fine", "привет"], "en", tmp_path / "set", engine=kokoro)
    with pytest.raises(ValueError, match="4 voices a text wanted, but kokoro has 3 of language 'en'"):
        build_synthetic_dataset(["fine"], "en", tmp_path / "set", voices_per_text=4, engine=kokoro)
    assert os.listdir(tmp_path) == ["kokoro"]


def test_what_a_slow_engine_has_spoken_survives_an_interruption(kokoro, tmp_path, monkeypatch):
    whole = build_synthetic_dataset(TEXTS, LANGUAGES, tmp_path / "whole", engine=kokoro)[:]
    speak, spoken = KokoroEngine.speak, []

    def until_three(self, reading, voice, seed):
        if reading.startswith("one two"):
            raise KeyboardInterrupt
        return speak(self, reading, voice, seed)

    def counted(self, reading, voice, seed):
        spoken.append(reading)
        return speak(self, reading, voice, seed)

    monkeypatch.setattr(KokoroEngine, "part_size", 2)
    with monkeypatch.context() as patch:
        patch.setattr(KokoroEngine, "speak", until_three)
        with pytest.raises(KeyboardInterrupt):
            build_synthetic_dataset(TEXTS, LANGUAGES, tmp_path / "set", engine=kokoro)
    assert not (tmp_path / "set").exists()
    monkeypatch.setattr(KokoroEngine, "speak", counted)
    assert build_synthetic_dataset(TEXTS, LANGUAGES, tmp_path / "set", engine=kokoro)[:] == whole
    assert [reading[:7] for reading in spoken] == ["one two"]
    assert left(tmp_path) == ["kokoro", "set", "whole"]


def test_two_processes_that_want_the_same_speech_of_a_slow_engine_make_it_once(kokoro, tmp_path, monkeypatch):
    """Threads stand for them: a lock on a file parts both."""
    speak, spoken = KokoroEngine.speak, []

    def slow(*arguments):
        spoken.append(arguments[1])
        time.sleep(0.05)
        return speak(*arguments)

    monkeypatch.setattr(KokoroEngine, "speak", slow)
    build = partial(build_synthetic_dataset, TEXTS, LANGUAGES, tmp_path / "set", engine=kokoro)
    with ThreadPoolExecutor(2) as pool:
        one, two = pool.map(lambda _: build()[:], range(2))
    assert one == two
    assert len(spoken) == len(TEXTS)
