# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Training on streamed rows: what is seen, in which batches, and that a resumed run goes on where it was."""

import io
import json
import logging
import shutil
import subprocess
import sys
from contextlib import nullcontext
from itertools import islice
from pathlib import Path

import datasets
import numpy as np
import pytest
import soundfile
import torch
import yaml
from datasets import Dataset
from safetensors.torch import load_file
from training_helpers import (
    Killed,
    die,
    make_rows,
    run_and_kill,
    same_tensors,
    small_encoder,
    stage_section,
    trainer_arguments,
)

from entropy_asr.hub_cards.trained_card import TRAINING
from entropy_asr.modeling import EntropyASRFeatureExtractor, EntropyASRPhonemeTokenizer
from entropy_asr.modeling.audio import AudioError
from entropy_asr.trainers.commands import cli
from entropy_asr.trainers.data import streamed_rows as streaming
from entropy_asr.trainers.data.collation import CTCCollator
from entropy_asr.trainers.data.phoneme_labels import add_phoneme_ids, measure_cmvn
from entropy_asr.trainers.data.row_checks import row_name
from entropy_asr.trainers.data.section import DataSection
from entropy_asr.trainers.data.sources import load_sources
from entropy_asr.trainers.data.streamed_rows import StreamBatchSampler, StreamedBatch, StreamedRows, first_rows
from entropy_asr.trainers.recipes.recipe import run_section
from entropy_asr.trainers.stages import attention_pretraining, context_sft, encoded_sft, grpo
from entropy_asr.trainers.stages.encoder_pretraining import EncoderPretrainingConfig, EncoderPretrainingTrainer
from entropy_asr.trainers.training import stage_run
from entropy_asr.trainers.training.snapshots import EncoderSnapshots


STREAMED_STAGES = ("encoder", "alignment", "iterative_async_sft", "joint_sft", "phoneme_head")


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch):
    """`datasets` sleeps for five seconds whenever it has read several files at once to their end."""
    monkeypatch.setattr(datasets.config, "SLEEP_TIME_ON_THREADS_SHUTDOWN", 0)


def wav(samples: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples.astype(np.int16), 16000, format="WAV")
    return buffer.getvalue()


def write_stream(folder: Path, rows: list[dict], num_files: int = 2, rows_per_group: int = 3) -> Path:
    """Parquet files of rows, in the layout of a Hub data set."""
    (folder / "data").mkdir(parents=True)
    for number, part in enumerate(np.array_split(np.arange(len(rows)), num_files)):
        name = f"train-{number:05d}-of-{num_files:05d}.parquet"
        Dataset.from_list([rows[i] for i in part]).to_parquet(folder / "data" / name, batch_size=rows_per_group)
    return folder


def numbered_rows(count: int, **changes) -> list[dict]:
    """Rows of a tenth of a second and a little more each."""
    rng = np.random.default_rng(0)
    audio = [{"bytes": wav(rng.normal(0, 500, 1600 + 160 * n)), "path": f"{n}.wav"} for n in range(count)]
    return [
        {"audio": audio[n], "text": f"text {n}", "language": "en", "duration": 0.1 + 0.01 * n, **changes}
        for n in range(count)
    ]


def stream(folder: Path, **fields):
    return load_sources([{"path": str(folder), "streaming": True, **fields}])


@pytest.fixture
def rows(tmp_path):
    """A stream of 23 rows in two files."""
    return stream(write_stream(tmp_path / "speech", numbered_rows(23)))


def sampler_of(rows, buffer_size=10, **kwargs) -> StreamBatchSampler:
    return StreamBatchSampler(
        rows, buffer_size, **{"seed": 3, "max_batch_duration": 0.8, "num_buckets": 3, "batches_ahead": 4, **kwargs}
    )


def texts_of(batches) -> list[str]:
    return [row["text"] for batch in batches for row in batch.rows]


def one_pass(sampler: StreamBatchSampler, number: int) -> list[StreamedBatch]:
    """Batches of a pass."""
    batches, passes = [], []
    for batch in sampler:
        passes.append(sampler._recent[-1].passes)
        if passes[-1] > number:
            return batches
        if passes[-1] == number:
            batches.append(batch)


# Batches


def test_each_pass_has_every_row_once_and_another_order(rows):
    sampler = sampler_of(rows)
    passes = [texts_of(one_pass(sampler, number)) for number in range(3)]
    for texts in passes:
        assert sorted(texts) == sorted(f"text {n}" for n in range(23))
    assert len({tuple(texts) for texts in passes}) == 3
    # The pools differ too, not only their batches.
    assert len({frozenset(texts[:10]) for texts in passes}) == 3
    assert texts_of(islice(sampler_of(rows), 30)) == texts_of(islice(sampler, 30))
    assert texts_of(islice(sampler_of(rows, seed=4), 30)) != texts_of(islice(sampler, 30))


def test_batches_keep_to_their_bounds_and_pad_little(rows):
    batches = one_pass(sampler_of(rows, buffer_size=23, max_batch_size=5), 0)
    for batch in batches:
        durations = [row["duration"] for row in batch.rows]
        assert len(batch.rows) <= 5 and max(durations) * len(durations) <= 0.8 + 1e-9
    assert len(batches) < 10


def test_draws_are_a_function_of_seed_process_and_place(rows):
    def draws(**kwargs):
        return [row["draw"] for batch in islice(sampler_of(rows, **kwargs), 30) for row in batch.rows]

    first = draws()
    assert len(set(first)) == len(first) > 40
    assert draws() == first
    assert draws(process_index=1, num_processes=2)[:10] != draws(process_index=0, num_processes=2)[:10] != first[:10]


@pytest.mark.parametrize(("num_files", "num_processes"), [(2, 2), (3, 2), (1, 2)])
def test_processes_see_disjoint_rows_and_together_all(tmp_path, num_files, num_processes):
    rows = stream(write_stream(tmp_path / "speech", numbered_rows(23), num_files))
    seen = [
        texts_of(one_pass(sampler_of(rows, process_index=index, num_processes=num_processes), 0))
        for index in range(num_processes)
    ]
    assert all(seen) and sorted(sum(seen, [])) == sorted(f"text {n}" for n in range(23))


def test_more_processes_than_row_groups_split_row_by_row(tmp_path):
    rows = stream(write_stream(tmp_path / "speech", numbered_rows(9), 1, rows_per_group=9))
    seen = [texts_of(one_pass(sampler_of(rows, process_index=index, num_processes=4), 0)) for index in range(4)]
    assert [len(texts) for texts in seen] == [3, 2, 2, 2]
    assert len(set(sum(seen, []))) == 9


def test_sources_are_joined_and_repeated(tmp_path):
    a = write_stream(tmp_path / "a", numbered_rows(5))
    b = write_stream(tmp_path / "b", numbered_rows(4, language="zh"), 1)
    rows = load_sources([{"path": str(a), "streaming": True, "repeat": 3}, {"path": str(b), "streaming": True}])
    sampler = sampler_of(rows, buffer_size=100)
    seen = [(row["source"], row["text"]) for batch in one_pass(sampler, 0) for row in batch.rows]
    assert sorted(seen) == sorted([("a", f"text {n}") for n in range(5)] * 3 + [("b", f"text {n}") for n in range(4)])
    assert (sampler.sources, sampler.languages) == ({"a", "b"}, {"en", "zh"})


def test_max_rows_and_durations_are_kept(tmp_path):
    folder = write_stream(tmp_path / "speech", numbered_rows(12))
    kept = texts_of(one_pass(sampler_of(stream(folder, max_rows=4, min_duration=0.125)), 0))
    assert sorted(kept) == ["text 3", "text 4", "text 5", "text 6"]


def test_single_parquet_file_is_streamed_too(tmp_path):
    folder = write_stream(tmp_path / "speech", numbered_rows(4), 1)
    rows = stream(next((folder / "data").iterdir()))
    assert isinstance(rows, datasets.IterableDataset)
    assert len(texts_of(one_pass(sampler_of(rows), 0))) == 4


def test_stream_without_rows_is_an_error_not_an_endless_search(tmp_path):
    rows = stream(write_stream(tmp_path / "speech", numbered_rows(3)), min_duration=9.0)
    with pytest.raises(ValueError, match="no row for process 0 of 1"):
        next(iter(sampler_of(rows)))
    with pytest.raises(ValueError, match="None of the stream's first 5 rows"):
        first_rows(rows, 5)


# Rows that cannot be used


def test_rows_without_what_they_need_are_left_out_by_name(tmp_path, caplog, monkeypatch):
    rows = numbered_rows(6)
    rows[1]["text"], rows[2]["duration"], rows[3]["duration"], rows[4]["language"] = None, None, 0.0, "none"
    rows = stream(write_stream(tmp_path / "speech", rows, 1))
    with caplog.at_level(logging.WARNING):
        assert sorted(texts_of(one_pass(sampler_of(rows), 0))) == ["text 0", "text 5"]
    for reason in (
        "1.wav: it has no text",
        "2.wav: its duration is None",
        "3.wav: its duration is 0.0",
        "4.wav: lang",
    ):
        assert f"A streamed row is left out: speech, {reason}" in caplog.text
    monkeypatch.setattr(streaming, "MAX_ROWS_LEFT_OUT", 2)
    with pytest.raises(ValueError, match="2 streamed rows in a row cannot be trained on"):
        one_pass(sampler_of(rows), 0)


def test_streamed_rows_are_written_in_one_form_and_bad_ones_can_end_a_run(tmp_path, caplog):
    rows = numbered_rows(5)
    rows[0]["language"], rows[1]["language"], rows[2]["duration"] = "en-US", "xx", float("nan")
    rows[3]["text"] = "cafe\u0301"
    folder = str(write_stream(tmp_path / "speech", rows, 1))
    source = {"path": folder, "streaming": True}
    with caplog.at_level(logging.WARNING):
        read = [row for batch in one_pass(sampler_of(load_sources([source])), 0) for row in batch.rows]
    assert sorted(row["text"] for row in read) == ["caf\u00e9", "text 0", "text 4"]
    assert {row["language"] for row in read} == {"en"}
    assert "1.wav: language 'xx' is not understood" in caplog.text and "2.wav: its duration is nan" in caplog.text
    bounded = load_sources([{**source, "min_duration": 0.01, "max_duration": 100.0}])
    one_pass(sampler_of(bounded), 0)
    assert caplog.text.count("2.wav: its duration is nan") >= 2, "bounds must not drop it without a word"
    with pytest.raises(ValueError, match=r"speech, .*\.wav: (language 'xx'|its duration is nan).*bad_rows='skip'"):
        one_pass(sampler_of(load_sources([{**source, "bad_rows": "refuse"}])), 0)


def test_text_that_cannot_be_spelt_leaves_its_row_out(tmp_path, caplog):
    rows = numbered_rows(3)
    rows[1]["language"] = "fr"
    rows = add_phoneme_ids(stream(write_stream(tmp_path / "speech", rows, 1)), EntropyASRPhonemeTokenizer())
    with caplog.at_level(logging.WARNING):
        assert sorted(texts_of(one_pass(sampler_of(rows), 0))) == ["text 0", "text 2"]
    assert "1.wav: language 'fr' is not understood" in caplog.text


def test_damaged_row_is_left_out_of_its_batch_and_a_batch_never_ends_empty(caplog):
    rows = [{**row, "source": "speech", "index": n, "draw": n} for n, row in enumerate(numbered_rows(4))]
    damaged = [{**row, "audio": {"bytes": b"hello", "path": f"damaged-{row['index']}.wav"}} for row in rows]
    decode = StreamedRows().__getitems__
    with caplog.at_level(logging.WARNING):
        kept = decode(StreamedBatch([rows[1], damaged[2], rows[3]], []))
    assert [row["text"] for row in kept] == ["text 1", "text 3"] and "damaged-2.wav" in caplog.text
    assert kept[0]["samples"].dtype == np.float32 and len(kept[0]["samples"]) == 1760 and "audio" not in kept[0]
    replaced = decode(StreamedBatch([damaged[3]], [damaged[0], rows[1]]))
    assert [(row["text"], row["draw"]) for row in replaced] == [("text 1", 3)]
    with pytest.raises(AudioError, match="damaged-3.wav: neither this row nor others"):
        decode(StreamedBatch([damaged[3]], [damaged[0]]))


def test_stand_ins_are_no_longer_than_any_row(rows):
    for batch in islice(sampler_of(rows), 12):
        assert max(row["duration"] for row in batch.stand_ins[:1]) <= min(row["duration"] for row in batch.rows)
    assert row_name(batch.rows[0]).startswith("speech, ")


# Resuming


@pytest.mark.parametrize("process", [(0, 1), (1, 2)])
@pytest.mark.parametrize("num_batches", [0, 1, 5, 11, 17, 40])
def test_resumed_sampler_goes_on_and_reads_nothing_that_was_before(rows, tmp_path, num_batches, process):
    kwargs = {"process_index": process[0], "num_processes": process[1]}
    expected = [[(r["text"], r["draw"]) for r in batch.rows] for batch in islice(sampler_of(rows, **kwargs), 60)]
    sampler = sampler_of(rows, **kwargs)
    # Loaders are some batches ahead of training.
    list(islice(sampler, num_batches + 4))
    sampler.save(tmp_path, num_batches)
    resumed = sampler_of(rows, **kwargs)
    resumed.resume(tmp_path)
    batches = list(islice(resumed, 60))
    given = [[(r["text"], r["draw"]) for r in batch.rows] for batch in batches]
    assert given[num_batches:] == expected[num_batches:]
    skipped = [number for number, batch in enumerate(batches) if not batch.rows]
    assert skipped == list(range(len(skipped))) and num_batches - 8 <= len(skipped) <= num_batches
    assert resumed.sources == {"speech"}


def test_checkpoint_of_other_processes_reads_from_the_beginning(rows, tmp_path, caplog):
    sampler_of(rows).save(tmp_path, 0)
    other = sampler_of(rows, process_index=1, num_processes=2)
    with caplog.at_level(logging.WARNING):
        other.resume(tmp_path)
    assert "stream-1-of-2.json is missing" in caplog.text
    assert next(iter(other)).rows


def streamed_section(stage: str, components: Path, folder: Path, **training) -> dict:
    """Section of [`stage_section`] whose rows are streamed."""
    if not folder.exists():
        rows = [
            {"audio": {"bytes": wav(np.asarray(samples)), "path": f"{n}.wav"}, "text": text, "language": language}
            for n, (samples, text, language) in enumerate(
                zip(*(make_rows()[name][:] for name in ("samples", "text", "language")), strict=True)
            )
        ]
        write_stream(folder, rows)  # without durations: they are read from the audio
    section = stage_section(stage, components, stream_buffer=8, **training)
    section["data"]["train"] = [{"path": str(folder), "streaming": True}]
    return section


def losses(folder: Path) -> list[float]:
    history = json.loads((folder / "stage.json").read_text())["history"]
    return [entry["loss"] for entry in history if "loss" in entry]


@pytest.mark.parametrize("stage", ["encoder", "joint_sft"])
def test_killed_run_ends_with_the_same_weights(stage, components, tmp_path, monkeypatch):
    """A worker decodes ahead of what is trained on; augmentation makes draws matter."""
    section = streamed_section(
        stage, components, tmp_path / "speech", gradient_accumulation_steps=2, dataloader_num_workers=1
    )
    run_section(stage, section, tmp_path / "whole", 7)
    run_and_kill(stage, section, tmp_path / "killed", monkeypatch, step=5)
    places = sorted((tmp_path / "killed").glob("checkpoints/checkpoint-*/stream-0-of-1.json"))
    assert len(places) == 2 and json.loads(places[-1].read_text())["passes"] > 0
    run_section(stage, section, tmp_path / "killed", 7)
    weights = [load_file(tmp_path / name / "model.safetensors") for name in ("whole", "killed")]
    assert same_tensors(*weights)
    assert losses(tmp_path / "whole") == losses(tmp_path / "killed")
    if stage == "joint_sft":  # which writes its card with each checkpoint
        card = (tmp_path / "killed" / "checkpoints" / "README.md").read_text()
        assert "Trained on: speech." in card and "- en\n- zh" in card


def test_run_killed_before_its_record_knows_which_data_it_read(components, tmp_path, monkeypatch):
    section = streamed_section("encoder", components, tmp_path / "speech")
    for dies in (True, False):
        with monkeypatch.context() as patch, pytest.raises(Killed) if dies else nullcontext():
            if dies:
                patch.setattr(stage_run, "write_record", lambda *arguments: die())
            run_section("encoder", section, tmp_path / "run", 7)
        record = json.loads((tmp_path / "run" / TRAINING).read_text())
        assert (record["data"], record["languages"]) == (["speech"], ["en", "zh"])


@pytest.mark.slow
def test_two_processes_end_with_one_model_and_resume_from_their_own_places(components, tmp_path):
    section = streamed_section("joint_sft", components, tmp_path / "speech", ddp_backend="gloo", eval_strategy="steps")
    section["data"]["eval"] = [{"path": str(components / "rows")}]
    section["training"] |= {"eval_steps": 3, "dataloader_num_workers": 1}

    def launch(folder: Path) -> None:
        file = tmp_path / "stage.yaml"
        file.write_text(yaml.safe_dump({**section, "output_dir": str(folder), "seed": 7}))
        launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
        command = [*launcher, "-m", "entropy_asr.trainers.commands.cli", "train", "joint_sft", "--config", str(file)]
        result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=500)
        assert result.returncode == 0, result.stderr[-4000:]

    launch(tmp_path / "whole")
    checkpoint = tmp_path / "whole" / "checkpoints" / "checkpoint-4"
    places = [json.loads((checkpoint / f"stream-{rank}-of-2.json").read_text()) for rank in range(2)]
    assert all(place["batch"] > 0 for place in places)
    shutil.copytree(checkpoint, tmp_path / "resumed" / "checkpoints" / "checkpoint-4")
    launch(tmp_path / "resumed")
    assert same_tensors(*(load_file(tmp_path / name / "model.safetensors") for name in ("whole", "resumed")))
    assert len(losses(tmp_path / "resumed")) == 6


# Stages


@pytest.mark.parametrize("stage", STREAMED_STAGES)
def test_stage_runs_from_yaml_on_a_stream(stage, components, tmp_path):
    section = streamed_section(stage, components, tmp_path / "speech", max_steps=5, entropy_steps=2)
    section["data"] |= {"eval": [{"path": str(components / "rows")}], "max_duration": 0.95}
    if stage == "encoder":
        # CMVN is measured on the stream, NSE without evaluation rows on its first ones.
        section["model"], section["data"]["eval"] = {"preset": "tiny"}, []
        section["training"]["learning_rate"] = 1e-3
    if stage == "iterative_async_sft":
        store = EncoderSnapshots(tmp_path / "store")
        store.publish(1, "final", lambda folder: shutil.copytree(components / "encoder", folder, dirs_exist_ok=True))
        section["training"]["snapshot_dir"] = str(store.folder)
    file = tmp_path / "stage.yaml"
    file.write_text(yaml.safe_dump({**section, "output_dir": str(tmp_path / "run"), "seed": 7}))
    assert cli.main(["train", stage, "--config", str(file)]) == 0
    assert len(losses(tmp_path / "run")) == 5 and np.isfinite(losses(tmp_path / "run")).all()


def test_first_rows_come_from_several_files(tmp_path):
    rows = stream(write_stream(tmp_path / "speech", numbered_rows(40), 2, rows_per_group=10))
    texts = first_rows(rows, 8)["text"][:]
    assert len(texts) == 8 and len({int(text.split()[1]) // 10 for text in texts}) > 2
    assert first_rows(rows, 8)["text"][:] == texts
    extractor = measure_cmvn(EntropyASRFeatureExtractor(), rows, max_rows=8)
    assert np.isfinite(extractor.cmvn_mean).all()


@pytest.mark.parametrize(
    ("argument", "reason"),
    [
        ({"max_steps": -1}, "max_steps must be positive: nobody knows where a stream ends"),
        ({"curriculum_epochs": 1}, "curriculum_epochs=1 .* shortest rows"),
        ({"dataloader_drop_last": True}, "dataloader_drop_last=True .* with each pool"),
        ({"ignore_data_skip": True}, "ignore_data_skip=True .* where its stream goes on"),
        ({"accelerator_config": {"dispatch_batches": True}}, "dispatch_batches=True .* its own rows"),
    ],
)
def test_arguments_that_streams_cannot_honour_are_refused_by_name(rows, tmp_path, argument, reason):
    args = trainer_arguments(EncoderPretrainingConfig, tmp_path / "run", **{"max_steps": 2, **argument})
    with pytest.raises(ValueError, match=reason):
        EncoderPretrainingTrainer(small_encoder(), args, CTCCollator(EntropyASRFeatureExtractor()), train_dataset=rows)


def test_stream_buffer_must_hold_a_row(tmp_path):
    with pytest.raises(ValueError, match="stream_buffer must be at least 1, got 0"):
        trainer_arguments(EncoderPretrainingConfig, tmp_path, stream_buffer=0)


@pytest.mark.parametrize(
    ("section_class", "reason"),
    [
        (context_sft.STAGE.sections["data"], "keywords and distractors"),
        (grpo.STAGE.sections["data"], "hints are chosen"),
        (encoded_sft.STAGE.sections["data"], "encoded ahead"),
        (attention_pretraining.STAGE.sections["data"], "the characters"),
    ],
)
def test_stages_that_need_all_rows_refuse_streams_with_the_reason(section_class, reason):
    with pytest.raises(ValueError, match=rf"data\.train: my-org/speech: .*{reason}.* leave `streaming` out"):
        section_class(train=[{"path": "my-org/speech", "streaming": True}])


@pytest.mark.parametrize(
    "others",
    [
        {"train": [{"path": "my-org/more"}]},
        {"synthetic": [{"texts": "built-in:train", "language": "en", "num_texts": 1}]},
    ],
)
def test_streamed_and_loaded_rows_are_not_mixed(others):
    train = [{"path": "my-org/speech", "streaming": True}, *others.pop("train", [])]
    with pytest.raises(ValueError, match="cannot be mixed: (my-org/more|synthetic speech in 'en') would be loaded"):
        DataSection(train=train, **others)


def test_saved_data_set_is_not_streamed(tmp_path):
    make_rows().save_to_disk(tmp_path / "rows")
    with pytest.raises(ValueError, match="read from disk as it is; leave `streaming` out"):
        stream(tmp_path / "rows")


def test_torch_is_not_asked_for_random_numbers(rows):
    """A resumed run forms its batches again, which must not move the random state that training goes on from."""
    before = torch.get_rng_state()
    list(islice(sampler_of(rows), 20))
    assert torch.equal(before, torch.get_rng_state())
