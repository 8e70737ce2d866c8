# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Processes that share the layers' weights stay together: none waits for a run of a layer that another leaves out."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from training_helpers import make_rows, trainer_arguments
from transformers import AutoModel, Wav2Vec2Config, Wav2Vec2Model

from entropy_asr.trainers import JointSFTConfig, JointSFTTrainer
from entropy_asr.trainers.stages.sft import SFTModelSection
from entropy_asr.trainers.training.sharding import mark_as_sharded


SCRIPT = Path(__file__).parents[1] / "sharded_script.py"


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    """Where the processes write."""
    return tmp_path_factory.mktemp("sharded")


@pytest.fixture(scope="module")
def reports(components, saved) -> list[dict]:
    """Of two processes under FSDP2 (gloo, CPU): one trains on two rows a step, the other on the one that is left."""
    folder = saved
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command = [*launcher, str(SCRIPT), str(components), str(folder)]
    # A process that waits for ever ends itself after three minutes.
    result = subprocess.run(command, capture_output=True, text=True, check=False, timeout=400)
    assert result.returncode == 0, result.stderr[-4000:]
    return [json.loads((folder / f"rank{rank}.json").read_text()) for rank in range(2)]


@pytest.mark.slow
def test_a_remainder_of_one_row_trains_as_without_sharing(reports):
    assert sorted(reports[0]["shared"]["rows"] + reports[1]["shared"]["rows"]) == [1, 1, 2, 2]
    assert any(first != second for first, second in zip(*(r["shared"]["rows"] for r in reports), strict=True))
    for report in reports:
        assert report["shared"]["losses"] == pytest.approx(report["plain"]["losses"], rel=1e-4)
        assert report["shared"]["norms"] == pytest.approx(report["plain"]["norms"], rel=1e-3)
        assert len(report["shared"]["losses"]) == 2


@pytest.mark.slow
def test_texts_of_other_lengths_in_each_process_are_waited_for(reports):
    # Two tokens at most in one process, seven in the other: gathered, all rows have the longest's.
    assert all(report["evaluation"]["shape"][0] == 4 for report in reports)
    assert 2 < reports[0]["evaluation"]["shape"][1] <= 7
    assert reports[0]["evaluation"] == reports[1]["evaluation"]
    # What `generate` asks; without it a process with short texts leaves the others' layers waiting.
    assert all(report["evaluation"]["synced"] for report in reports)


@pytest.mark.slow
def test_processes_that_do_not_see_the_checkpoint_do_not_begin_anew_alone(reports):
    for report in reports:
        assert "checkpoint-1: processes 1 do not see this checkpoint" in report["resumed"]


@pytest.mark.slow
def test_transcripts_are_also_learnt_as_text_alone(reports):
    """A second pass over the language model, without an encoder, in processes whose batches differ."""
    first, second = (report["text alone"] for report in reports)
    assert first["losses"] == second["losses"] and len(first["losses"]) == 2
    # A bit less than half of ln V is added, V of them being the tokens.
    assert first["losses"][0] > reports[0]["plain"]["losses"][0] + 1


@pytest.mark.slow
def test_adapters_of_sharded_weights_are_saved_alone_as_they_are_merged(reports, components, saved):
    merged, apart = (AutoModel.from_pretrained(saved / name).state_dict() for name in ("merged", "adapters"))
    before = AutoModel.from_pretrained(components / "full").state_dict()
    assert not (saved / "adapters" / "model.safetensors").exists()
    changed = {name for name in before if not torch.equal(before[name], merged[name])}
    assert changed and all(name.endswith(("q_proj.weight", "v_proj.weight")) for name in changed)
    for name, weight in merged.items():
        torch.testing.assert_close(apart[name], weight, msg=name)


def test_layers_left_out_at_random_run_all_the_same():
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    sizes |= {"conv_dim": (8,), "conv_stride": (5,), "conv_kernel": (10,), "num_conv_pos_embeddings": 4}
    sizes |= {"num_conv_pos_embedding_groups": 2, "num_feat_extract_layers": 1, "apply_spec_augment": False}
    model = Wav2Vec2Model(Wav2Vec2Config(**sizes, layerdrop=1.0)).train()
    calls = []
    model.encoder.layers[0].register_forward_pre_hook(lambda module, args: calls.append(1))
    samples = model.dummy_inputs["input_ids"].float().repeat(1, 20)
    model(samples)
    assert not calls
    mark_as_sharded(model)
    model(samples)
    assert len(calls) == 1


def test_sharding_is_switched_on_as_transformers_says(tmp_path):
    for value in (True, "full_shard"):
        assert trainer_arguments(JointSFTConfig, tmp_path, fsdp=value, fsdp_config={"version": 2}).fsdp
    assert not trainer_arguments(JointSFTConfig, tmp_path, fsdp=False).fsdp


def test_batches_that_not_every_process_would_get_are_refused(components, tmp_path):
    model, processor = SFTModelSection(path=str(components / "full")).build()
    arguments = trainer_arguments(JointSFTConfig, tmp_path, accelerator_config={"even_batches": False})
    with pytest.raises(ValueError, match="even_batches=False: some processes"):
        JointSFTTrainer(model, arguments, processing_class=processor, train_dataset=make_rows("en zh"))
