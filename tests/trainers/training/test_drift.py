# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What pretraining publishes, when, by which CKA, and that watching the encoder changes nothing."""

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file
from training_helpers import (
    die_at,
    make_rows,
    same_tensors,
    small_encoder,
    stage_section,
    trainer_arguments,
)
from transformers import AutoFeatureExtractor, Trainer

from entropy_asr.modeling import EntropyASRFeatureExtractor, EntropyASRForCTC, EntropyASRPhonemeTokenizer
from entropy_asr.trainers import EncoderPretrainingConfig, EncoderPretrainingTrainer
from entropy_asr.trainers.data.collation import CTCCollator
from entropy_asr.trainers.data.phoneme_labels import add_phoneme_ids
from entropy_asr.trainers.data.speech_dataset import SpeechDataset
from entropy_asr.trainers.recipes.recipe import run_section
from entropy_asr.trainers.stages import encoder_pretraining
from entropy_asr.trainers.training.snapshots import EncoderSnapshots


def cka_by_gram_matrices(first: torch.Tensor, second: torch.Tensor) -> float:
    """The paper's formula as it stands, with N x N matrices."""
    num_frames = len(first)
    centre = torch.eye(num_frames).double() - 1 / num_frames
    one, two = (centre @ frames.double() @ frames.double().T @ centre for frames in (first, second))
    return float((one * two).sum() / ((one * one).sum() * (two * two).sum()).sqrt())


# Pretraining


@pytest.fixture(scope="module")
def rows():
    return add_phoneme_ids(make_rows(), EntropyASRPhonemeTokenizer())


def train(rows, folder, **kwargs) -> EncoderPretrainingTrainer:
    settings = {"max_steps": 6, "learning_rate": 1e-2, "max_batch_size": 4, **kwargs}
    trainer = EncoderPretrainingTrainer(
        small_encoder(),
        trainer_arguments(EncoderPretrainingConfig, folder / "out", **settings),
        CTCCollator(EntropyASRFeatureExtractor()),
        train_dataset=rows,
        eval_dataset=rows,
    )
    torch.manual_seed(5)
    trainer.train()
    return trainer


def watched(rows, folder, **kwargs) -> tuple[EncoderPretrainingTrainer, EncoderSnapshots]:
    settings = {"snapshot_dir": str(folder / "store"), "drift_interval": 1, "drift_reference_step": 2, **kwargs}
    trainer = train(rows, folder, **settings)
    return trainer, EncoderSnapshots(folder / "store")


def drifts(trainer: EncoderPretrainingTrainer) -> dict[int, float]:
    return {entry["step"]: entry["drift_cka"] for entry in trainer.state.log_history if "drift_cka" in entry}


def test_watching_changes_nothing(rows, tmp_path):
    plain = train(rows, tmp_path / "plain")
    trainer, _ = watched(rows, tmp_path / "watched", drift_threshold=1.0)
    assert same_tensors(plain.model.state_dict(), trainer.model.state_dict())
    losses = [[e["loss"] for e in t.state.log_history if "loss" in e] for t in (plain, trainer)]
    assert losses[0] == losses[1]


def test_encoder_is_published_when_it_has_drifted_and_at_the_end(rows, tmp_path):
    """Compared from the step after the reference on; a published encoder is the next reference."""
    trainer, store = watched(rows, tmp_path, drift_threshold=0.99999)
    logged = drifts(trainer)
    assert sorted(logged) == [3, 4, 5, 6]
    snapshots = store.complete()
    assert snapshots[0].name == "000000002-reference" and snapshots[-1].name == "000000006-final"
    published = [snapshot.step for snapshot in snapshots if snapshot.kind == "drift"]
    assert published == [step for step, value in logged.items() if value < 0.99999]
    assert len(published) > 0
    for previous, snapshot in itertools.pairwise(snapshots[:-1]):
        assert snapshot.details["reference"] == previous.name


def test_nothing_is_published_above_the_threshold_but_the_finished_encoder(rows, tmp_path):
    trainer, store = watched(rows, tmp_path, drift_threshold=1e-6)
    assert len(drifts(trainer)) == 4
    assert [snapshot.kind for snapshot in store.complete()] == ["reference", "final"]
    final = EntropyASRForCTC.from_pretrained(store.published()[0].folder)
    assert same_tensors(final.state_dict(), trainer.model.state_dict())


def frames_of(folder, rows) -> torch.Tensor:
    """Encoder frames of a snapshot, row by row."""
    model = EntropyASRForCTC.from_pretrained(folder).eval()
    extractor = AutoFeatureExtractor.from_pretrained(folder)
    outputs = []
    for index in range(len(rows)):
        samples = SpeechDataset(rows)[index]["samples"]
        features = extractor(samples, sampling_rate=16000, return_tensors="pt")["input_features"]
        with torch.no_grad():
            outputs.append(model(features).encoder_hidden_state[0])
    return torch.cat(outputs)


def test_logged_cka_is_that_of_the_published_encoders(rows, tmp_path):
    """Recomputed from the two snapshots, row by row."""
    trainer, store = watched(rows, tmp_path, drift_threshold=1.0, drift_interval=6)
    reference, drift, _ = store.complete()
    frames = [frames_of(snapshot.folder, rows) for snapshot in (reference, drift)]
    assert drifts(trainer)[6] == pytest.approx(cka_by_gram_matrices(*frames), abs=1e-5)
    assert drift.details["cka"] == pytest.approx(drifts(trainer)[6], abs=1e-6)
    [logged] = [entry for entry in trainer.state.log_history if "drift_frames" in entry]
    assert logged["drift_frames"] == len(frames[0])


def test_published_encoder_comes_with_its_preprocessors(rows, tmp_path):
    _, store = watched(rows, tmp_path)
    folder = store.published()[-1].folder
    assert isinstance(AutoFeatureExtractor.from_pretrained(folder), EntropyASRFeatureExtractor)
    tokenizer = EntropyASRPhonemeTokenizer.from_pretrained(folder)
    assert tokenizer.get_vocab() == EntropyASRPhonemeTokenizer().get_vocab()


def test_only_so_many_rows_are_compared(rows, tmp_path):
    few, _ = watched(rows, tmp_path / "few", drift_rows=3)
    all_rows, _ = watched(rows, tmp_path / "all")
    frames = [next(e["drift_frames"] for e in t.state.log_history if "drift_frames" in e) for t in (few, all_rows)]
    assert 3 * 0.4 * 25 <= frames[0] < frames[1] / 3


def test_old_snapshots_go_but_not_what_a_checkpoint_compares_with(rows, tmp_path):
    settings = {"drift_threshold": 1.0, "keep_snapshots": 1, "save_strategy": "steps"}
    _, store = watched(rows, tmp_path, save_steps=2, save_total_limit=2, **settings)
    references = {
        json.loads(path.read_text())["reference"]
        for path in (tmp_path / "out").glob("checkpoint-*/drift_monitor.json")
    }
    assert references == {"000000004-drift", "000000006-drift"}
    assert {snapshot.name for snapshot in store.complete()} == {*references, "000000006-final"}


def test_store_of_another_run_is_refused(rows, tmp_path):
    watched(rows, tmp_path / "one")
    with pytest.raises(ValueError, match="another run"):
        watched(rows, tmp_path / "two", snapshot_dir=str(tmp_path / "one" / "store"))


def test_comparison_without_evaluation_rows_is_refused(rows, tmp_path):
    arguments = trainer_arguments(EncoderPretrainingConfig, tmp_path, snapshot_dir=str(tmp_path / "store"))
    with pytest.raises(ValueError, match="give eval_dataset"):
        EncoderPretrainingTrainer(
            small_encoder(), arguments, CTCCollator(EntropyASRFeatureExtractor()), train_dataset=rows
        )


@pytest.mark.parametrize(
    "argument", [{"drift_interval": 0}, {"drift_threshold": 1.5}, {"drift_rows": 0}, {"keep_snapshots": 0}]
)
def test_arguments_that_cannot_be_meant_are_refused(argument, tmp_path):
    with pytest.raises(ValueError, match=next(iter(argument))):
        trainer_arguments(EncoderPretrainingConfig, tmp_path, **argument)


def test_encoder_that_has_diverged_is_reported_and_not_published(rows, tmp_path, caplog):
    _, store = watched(rows, tmp_path, learning_rate=1e38, max_steps=3, drift_reference_step=1)
    assert "the encoder has nan or infinite weights" in caplog.text
    assert "drift" not in {snapshot.kind for snapshot in store.complete()}


# The stage


def encoder_section(components, folder) -> dict:
    section = stage_section(
        "encoder",
        components,
        snapshot_dir=str(folder / "store"),
        drift_interval=1,
        drift_reference_step=1,
        drift_threshold=0.9999,
        consistency_weight=0.2,
        chunk_sizes=[0, 4, 8],
        left_chunks=[-1, 2],
    )
    section["data"]["eval"] = section["data"]["train"]
    return section


def published(folder) -> dict[str, str]:
    return {snapshot.name: snapshot.sha256 for snapshot in EncoderSnapshots(folder / "store").complete()}


def test_killed_stage_publishes_the_same_encoders(components, tmp_path, monkeypatch):
    """With two views, drawn chunks and augmentation: killed twice, it ends as if it had not been."""
    run_section("encoder", encoder_section(components, tmp_path / "whole"), tmp_path / "whole", 7)
    folder = tmp_path / "killed"
    for step in (3, 5):
        with monkeypatch.context() as patch:
            patch.setattr(Trainer, "training_step", die_at(step))
            with pytest.raises(KeyboardInterrupt):
                run_section("encoder", encoder_section(components, folder), folder, 7)
    run_section("encoder", encoder_section(components, folder), folder, 7)
    assert published(folder) == published(tmp_path / "whole")
    assert len(published(folder)) > 2
    weights = [load_file(path / "model.safetensors") for path in (folder, tmp_path / "whole")]
    assert same_tensors(*weights)
    histories = [json.loads((path / "stage.json").read_text())["history"] for path in (folder, tmp_path / "whole")]
    values = [{e["step"]: e["drift_cka"] for e in history if "drift_cka" in e} for history in histories]
    assert values[0] == values[1]


def test_finished_encoder_is_published_though_the_run_was_killed_before(components, tmp_path, monkeypatch):
    def die(trainer):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(encoder_pretraining.EncoderPretrainingTrainer, "publish_final_snapshot", die)
        with pytest.raises(KeyboardInterrupt):
            run_section("encoder", encoder_section(components, tmp_path), tmp_path, 7)
    assert not any(name.endswith("final") for name in published(tmp_path))
    run_section("encoder", encoder_section(components, tmp_path), tmp_path, 7)
    assert "000000006-final" in published(tmp_path)
    final = load_file(tmp_path / "store" / "000000006-final" / "model.safetensors")
    assert same_tensors(final, load_file(tmp_path / "model.safetensors"))


# The command line, with FSDP2 possible on CPU.
SCRIPT = """
import sys
from accelerate import accelerator
from swap_script import CPUAcceleratorState
from entropy_asr.trainers.commands.cli import main
accelerator.AcceleratorState = CPUAcceleratorState
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("sharding", [{}, {"fsdp": True, "fsdp_config": {"version": 2}}], ids=["ddp", "fsdp2"])
def test_two_processes_compare_as_one(components, tmp_path, sharding):
    """Each has half of the rows; CKA of all of them, recomputed here, is what both act on."""
    section = encoder_section(components, tmp_path)
    section["training"] |= sharding
    (tmp_path / "script.py").write_text(SCRIPT)
    section["training"] |= {"ddp_backend": "gloo", "max_steps": 3, "max_batch_size": 3}
    config = tmp_path / "stage.yaml"
    config.write_text(yaml.safe_dump({**section, "output_dir": str(tmp_path / "out"), "seed": 7}))
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command = [*launcher, str(tmp_path / "script.py"), "train", "encoder", "--config", str(config)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900, env=environment)
    assert result.returncode == 0, result.stderr[-3000:]
    history = json.loads((tmp_path / "out" / "stage.json").read_text())["history"]
    logged = {entry["step"]: entry for entry in history if "drift_cka" in entry}
    assert sorted(logged) == [2, 3]
    snapshots = {snapshot.name: snapshot for snapshot in EncoderSnapshots(tmp_path / "store").complete()}
    drifted = [snapshot for snapshot in snapshots.values() if snapshot.kind == "drift"]
    assert drifted
    rows = make_rows()
    for snapshot in drifted:
        frames = [
            frames_of(folder, rows) for folder in (snapshots[snapshot.details["reference"]].folder, snapshot.folder)
        ]
        assert logged[snapshot.step]["drift_cka"] == pytest.approx(cka_by_gram_matrices(*frames), abs=1e-5)
        assert logged[snapshot.step]["drift_frames"] == len(frames[0])
