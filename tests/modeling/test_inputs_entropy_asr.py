# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What the pipeline takes: items in every usual container give the texts of a list, long ones too."""

import io
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from datasets import Audio, Dataset, DatasetDict
from torch.utils.data import DataLoader
from transformers.pipelines.pt_utils import KeyDataset

from entropy_asr.modeling import AudioError, EntropyASRPipeline, long_form_entropy_asr
from entropy_asr.modeling.inputs_entropy_asr import as_pipeline_inputs


@pytest.fixture(scope="module")
def pipe(model, processor) -> EntropyASRPipeline:
    return EntropyASRPipeline(model=model, processor=processor, device="cpu", max_new_tokens=6)


@pytest.fixture(scope="module")
def paths(waveforms, tmp_path_factory) -> list[str]:
    folder = tmp_path_factory.mktemp("audio")
    paths = [str(folder / f"{number}.wav") for number in range(3)]
    for path, waveform in zip(paths, waveforms, strict=False):
        soundfile.write(path, waveform, 16000)
    return paths


@pytest.fixture(scope="module")
def wanted(pipe, paths) -> list[dict]:
    return [pipe(path) for path in paths]


def dataset_of(paths, decode: bool = True) -> Dataset:
    """A data set of files: decoded by torchcodec and FFmpeg if it were left to itself."""
    rows = {"audio": paths, "text": ["one", "two", "three"]}
    return Dataset.from_dict(rows).cast_column("audio", Audio(decode=decode, sampling_rate=8000))


class Series:
    """As pandas': iterated by value, indexed by label."""

    def __init__(self, values):
        self.values = values

    def __iter__(self):
        return iter(self.values)

    def __len__(self):
        return len(self.values)

    def __getitem__(self, label):
        raise KeyError(label)


LISTS = {
    "tuple": tuple,
    "paths in an array": np.array,
    "objects in an array": lambda paths: np.array([Path(path) for path in paths], dtype=object),
    "views of a mapping": lambda paths: dict(enumerate(paths)).values(),
    "column": lambda paths: dataset_of(paths)["audio"],
    "column as stored": lambda paths: dataset_of(paths, decode=False)["audio"],
    "column of embedded files": lambda paths: Dataset.from_dict(
        {"audio": [{"bytes": Path(path).read_bytes(), "path": None} for path in paths]}
    ).cast_column("audio", Audio())["audio"],
    "column of paths": lambda paths: Dataset.from_dict({"file": paths})["file"],
    "nested column": lambda paths: Dataset.from_dict({"row": [{"file": path} for path in paths]})["row"]["file"],
    "data set": dataset_of,
    "series": Series,
}
STREAMS = {
    "generator": lambda paths: (path for path in paths),
    "iterator": iter,
    "map": lambda paths: map(Path, paths),
    "key of a data set": lambda paths: KeyDataset(dataset_of(paths), "audio"),
    "column of a streamed data set": lambda paths: dataset_of(paths).to_iterable_dataset()["audio"],
    "streamed data set": lambda paths: dataset_of(paths).to_iterable_dataset(),
}


@pytest.mark.parametrize("batch_size", [None, 2])
@pytest.mark.parametrize("name", LISTS)
def test_containers_are_taken_like_a_list(pipe, paths, wanted, name, batch_size):
    assert pipe(LISTS[name](paths), batch_size=batch_size) == wanted


@pytest.mark.parametrize("batch_size", [None, 2])
@pytest.mark.parametrize("name", STREAMS)
def test_what_is_read_as_it_goes_gives_results_as_it_goes(pipe, paths, wanted, name, batch_size):
    results = pipe(STREAMS[name](paths), batch_size=batch_size)
    assert not isinstance(results, list) and list(results) == wanted


def test_table_columns_of_pandas(pipe, paths, wanted):
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"file": paths}, index=[7, 8, 9])
    assert pipe(table["file"]) == wanted
    with pytest.raises(AudioError, match="'file'"):
        pipe(table)


def test_single_items_stay_single(pipe, paths, wanted, waveforms):
    samples = np.stack([waveforms[0]] * 2)  # two channels
    for item in (paths[0], Path(paths[0]), Path(paths[0]).read_bytes(), {"path": paths[0], "bytes": None}):
        assert pipe(item) == wanted[0]
    for item in (waveforms[0], samples, torch.from_numpy(samples), {"array": samples, "sampling_rate": 16000}):
        assert pipe(item)["text"]
    file = io.BytesIO(b"RIFF")
    assert as_pipeline_inputs(file) == (file, False)


@pytest.mark.parametrize("empty", [[], (), np.array([], dtype=object), Dataset.from_dict({"file": []})["file"]])
def test_nothing_gives_nothing(pipe, empty):
    assert pipe(empty) == []


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda paths: (16000, np.zeros(16000)), r'"sampling_rate": rate'),
        (lambda paths: (np.zeros(16000), 16000), r'"sampling_rate": rate'),
        (set, "no order"),
        (lambda paths: DataLoader(paths), "batches"),
        (lambda paths: DatasetDict(train=dataset_of(paths)), "splits.*'train'"),
        (lambda paths: Dataset.from_dict({"file": paths}), "no columns of audio.*'file'"),
        (lambda paths: dataset_of(paths).add_column("other", paths).cast_column("other", Audio()), "2 columns"),
        (lambda paths: 7, "int"),
        (lambda paths: None, "NoneType"),
    ],
)
def test_what_is_not_clearly_one_item_or_several_is_refused(pipe, paths, make, reason):
    with pytest.raises(AudioError, match=reason):
        pipe(make(paths))


# Long items


@pytest.fixture
def short_segments(monkeypatch):
    """Whatever lasts longer than a second is long."""
    monkeypatch.setattr(long_form_entropy_asr, "SEGMENT_SECONDS", 1.0)


@pytest.mark.parametrize("name", [*LISTS, *STREAMS])
@pytest.mark.parametrize("batch_size", [None, 2])
def test_long_items_are_cut_in_every_container(pipe, paths, short_segments, name, batch_size, monkeypatch):
    cut = []
    original = long_form_entropy_asr.speech_segments

    def speech_segments(blocks, settings):
        cut.append(settings.max_segment)
        return original(blocks, settings)

    monkeypatch.setattr(long_form_entropy_asr, "speech_segments", speech_segments)
    results = pipe({**LISTS, **STREAMS}[name](paths), batch_size=batch_size)
    assert list(results) == pipe(list(paths)) and cut == [1.0, 1.0]  # only the third lasts so long


# Bad items


@pytest.mark.parametrize("batch_size", [None, 4])
@pytest.mark.parametrize(
    "make",
    [
        list,
        iter,
        lambda paths: KeyDataset([{"file": path} for path in paths], "file"),
        lambda paths: Dataset.from_dict({"file": paths})["file"],
    ],
    ids=["list", "iterator", "PyTorch data set", "column"],
)
def test_a_bad_item_costs_itself_in_every_container(pipe, paths, wanted, make, batch_size):
    results = list(pipe(make([*paths[:2], "no_such_file.wav", paths[2]]), batch_size=batch_size))
    assert [*results[:2], results[3]] == wanted
    assert results[2]["text"] == ""
    assert results[2]["error"] == "item 2: no_such_file.wav: cannot be opened: No such file or directory"


@pytest.mark.parametrize("num_workers", [1, 2])
def test_a_bad_item_costs_itself_with_workers(pipe, paths, wanted, num_workers):
    results = pipe([paths[0], "no_such_file.wav", *paths[1:]], num_workers=num_workers, batch_size=2)
    assert [results[0], *results[2:]] == wanted
    assert results[1] == {"text": "", "error": "item 1: no_such_file.wav: cannot be opened: No such file or directory"}


def test_a_generator_is_asked_for_one_item_at_a_time(pipe, paths, wanted):
    """So that what is said live is answered before the next is said."""
    asked = []

    def live():
        for path in paths:
            asked.append(path)
            yield path

    results = iter(pipe(live()))
    assert (next(results), asked) == (wanted[0], paths[:1])
