# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What all speech trainers share: arguments, frozen modules, logs, cards; and several processes."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from huggingface_hub import ModelCard
from training_helpers import make_rows, small_encoder, stage_section, trainer_arguments
from transformers import HfArgumentParser, TrainingArguments, WhisperFeatureExtractor

from entropy_asr.modeling import EntropyASRFeatureExtractor, EntropyASRPhonemeTokenizer
from entropy_asr.trainers import AlignmentConfig, EncoderPretrainingConfig, EncoderPretrainingTrainer, JointSFTConfig
from entropy_asr.trainers.data.collation import CTCCollator
from entropy_asr.trainers.data.phoneme_labels import add_phoneme_ids
from entropy_asr.trainers.runs.settings import training_arguments
from entropy_asr.trainers.training.base import check_window
from entropy_asr.trainers.training.modules import freeze_modules


CONFIGS = (EncoderPretrainingConfig, AlignmentConfig, JointSFTConfig)


def encoder_trainer(output_dir: Path, **kwargs) -> EncoderPretrainingTrainer:
    rows = add_phoneme_ids(make_rows(), EntropyASRPhonemeTokenizer())
    return EncoderPretrainingTrainer(
        small_encoder(),
        trainer_arguments(EncoderPretrainingConfig, output_dir, **kwargs),
        data_collator=CTCCollator(EntropyASRFeatureExtractor()),
        train_dataset=rows,
        eval_dataset=rows,
    )


def test_trainers_are_importable_by_name_without_loading_them():
    code = (
        "import sys, entropy_asr.trainers as trainers\n"
        "assert 'torch' not in sys.modules\n"
        "assert 'AlignmentTrainer' in dir(trainers)\n"
        "try:\n    trainers.Nothing\nexcept AttributeError as error:\n    print(error)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "Nothing" in result.stdout


@pytest.mark.parametrize("config", CONFIGS)
def test_help_of_the_arguments(config, capsys):
    with pytest.raises(SystemExit) as stopped:
        HfArgumentParser(config).parse_args(["--help"])
    assert stopped.value.code == 0
    text = " ".join(capsys.readouterr().out.split())
    for line in ("Seconds of padded audio in a batch.", "Modules that are not trained.", "must stay False"):
        assert line.lower() in text.lower()


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize(
    "argument",
    [
        {"remove_unused_columns": True},
        {"per_device_train_batch_size": 4},
        {"auto_find_batch_size": True},
        {"train_sampling_strategy": "group_by_length"},
    ],
)
def test_arguments_without_effect_are_refused(config, argument, tmp_path):
    with pytest.raises(ValueError, match=next(iter(argument))):
        trainer_arguments(config, tmp_path, **argument)


def test_frozen_module_stays_in_evaluation_mode_and_gets_no_gradient():
    model = small_encoder()
    frozen = freeze_modules(model, ["audio_tower"])
    model.train()
    assert not any(module.training for module in frozen["audio_tower"].modules())
    assert model.phoneme_head.training
    assert not any(tensor.requires_grad for tensor in model.audio_tower.parameters())


def test_unknown_module_to_freeze_is_named_and_nothing_is_frozen():
    model = small_encoder()
    with pytest.raises(ValueError, match="no module 'audio_towel'; at the top it has audio_tower, phoneme_head"):
        freeze_modules(model, ["phoneme_head", "audio_towel"])
    assert all(tensor.requires_grad for tensor in model.parameters())


def test_bfloat16_trains_on_a_processor_as_float32_does(tmp_path):
    """PyTorch's own attention is slow backwards in bfloat16: eager attention takes its place."""
    losses = {}
    for bf16 in (False, True):
        settings = {"bf16": bf16, "muon": True, "learning_rate": 1e-3, "num_train_epochs": 4, "save_strategy": "no"}
        folder = tmp_path / str(bf16)
        trainer = encoder_trainer(folder, **{**settings, "report_to": "none", "logging_steps": 1})
        attention = trainer.model.audio_tower.config._attn_implementation
        assert attention == ("eager" if bf16 else "sdpa")
        trainer.train()
        assert all(tensor.dtype == torch.float32 for tensor in trainer.model.parameters())
        losses[bf16] = [log["loss"] for log in trainer.state.log_history if "loss" in log]
    assert losses[True] != losses[False]  # it did compute in bfloat16
    assert losses[True] == pytest.approx(losses[False], rel=0.05)
    assert losses[True][-1] < losses[True][0]


@pytest.mark.parametrize("bf16", [True, False])
def test_a_stage_needs_no_word_of_the_device(tmp_path, bf16):
    """Without one, transformers refuses bfloat16, and takes several processes each for the only one."""
    arguments = training_arguments(JointSFTConfig, {"bf16": bf16, "report_to": "none"}, tmp_path, 0)
    assert arguments.bf16 == bf16 and arguments.use_cpu != torch.accelerator.is_available()


def test_rows_beyond_the_features_window_are_refused_before_the_first_step():
    check_window(WhisperFeatureExtractor(), [1.0, 30.0])
    check_window(EntropyASRFeatureExtractor(), [100.0])
    with pytest.raises(ValueError, match="lasts 30.1 s.* at most 30 s: leave longer ones out with `max_duration`"):
        check_window(WhisperFeatureExtractor(), [1.0, 30.1])


def test_training_batches_keep_to_the_bounds(tmp_path):
    trainer = encoder_trainer(tmp_path, max_batch_duration=2.0, max_batch_size=3)
    durations = torch.tensor(trainer.train_dataset["duration"][:])
    batches = list(trainer.get_train_dataloader().batch_sampler)
    assert sorted(index for batch in batches for index, _ in batch) == list(range(12))
    for batch in batches:
        seconds = durations[[index for index, _ in batch]]
        assert len(batch) <= 3
        assert len(batch) == 1 or float(seconds.max()) * len(batch) <= 2.0


def test_evaluation_batches_keep_to_their_size(tmp_path):
    trainer = encoder_trainer(tmp_path, per_device_eval_batch_size=5)
    sizes = [len(batch["labels"]) for batch in trainer.get_eval_dataloader()]
    assert sum(sizes) == 12 and max(sizes) == 5


def test_incomplete_batches_can_be_dropped(tmp_path):
    trainer = encoder_trainer(tmp_path, max_batch_size=5, dataloader_drop_last=True)
    assert [len(batch) for batch in trainer.get_train_dataloader().batch_sampler] == [5, 5]


@pytest.mark.parametrize("workers", [0, 2])
def test_how_loaders_work_is_as_asked_and_those_of_evaluation_let_their_workers_go(workers, tmp_path):
    settings = {"dataloader_num_workers": workers, "dataloader_persistent_workers": workers > 0}
    settings |= {"dataloader_in_order": False} | ({"dataloader_multiprocessing_context": "spawn"} if workers else {})
    trainer = encoder_trainer(tmp_path, **settings)
    training, evaluation = trainer.get_train_dataloader(), trainer.get_eval_dataloader()
    assert training.persistent_workers is (workers > 0) and not evaluation.persistent_workers
    for loader in (training, evaluation):
        assert loader.num_workers == workers and loader.in_order is False
        assert loader.multiprocessing_context is None or workers > 0
        assert workers == 0 or loader.multiprocessing_context.get_start_method() == "spawn"


@pytest.mark.parametrize("sets", [1, 3])
def test_time_of_evaluation_is_left_out_of_the_throughput_once(sets, tmp_path, monkeypatch):
    trainer = encoder_trainer(tmp_path)
    monkeypatch.setattr(trainer, "evaluation_loop", slow(trainer.evaluation_loop))
    before, start = trainer._audio_clock, time.perf_counter()
    trainer.evaluate({str(number): trainer.eval_dataset for number in range(sets)})
    spent = time.perf_counter() - start
    assert 0.2 * sets < trainer._audio_clock - before <= spent


def slow(loop):
    def slowly(*args, **kwargs):
        time.sleep(0.2)
        return loop(*args, **kwargs)

    return slowly


def test_logs_have_throughput_and_padding(tmp_path):
    trainer = encoder_trainer(tmp_path, max_batch_size=4, max_steps=3)
    trainer.train()
    logs = [entry for entry in trainer.state.log_history if "loss" in entry]
    assert len(logs) == 3
    assert all(entry["audio_seconds_per_second"] > 0 and 0 <= entry["padding_share"] < 1 for entry in logs)


def test_card_names_task_stage_sources_and_the_last_evaluation(tmp_path):
    trainer = encoder_trainer(tmp_path / "run", max_steps=2, eval_strategy="steps", eval_steps=2)
    trainer.train()
    trainer.create_model_card(model_name="my-encoder")
    card = ModelCard.load(tmp_path / "run" / "README.md")
    assert card.data.pipeline_tag == "automatic-speech-recognition"
    assert card.data.library_name == "transformers"
    assert card.data.tags == ["entropy-asr", "encoder-pretraining"]
    assert card.data.language == ["en", "zh"]
    per = trainer.state.log_history[-2]["eval_per"]
    for part in ("# my-encoder", "Trained on: tones.", "At step 2", f"| per | {per:.4g} |"):
        assert part in card.text
    assert len(card.text.splitlines()) < 20


# Runs a stage of a recipe under two processes; on the first rank it writes both ranks' weights.
TWO_PROCESSES = """
import json, sys
from pathlib import Path
import torch
from entropy_asr.trainers.training import stage_run as stage
from entropy_asr.trainers.recipes.recipe import run_section
from entropy_asr.trainers.runs.process_group import leave_process_group

def report(trainer, output_dir, real=stage.run_trainer):
    results = real(trainer, output_dir)
    weights = torch.cat([p.detach().flatten() for p in trainer.model.parameters()]).double()
    fingerprint = [float(weights.sum()), float(weights.square().sum()), float(weights[::7].sum())]
    rank = trainer.args.process_index
    (output_dir / f"rank{rank}.json").write_text(json.dumps([trainer.args.world_size, fingerprint, results["steps"]]))
    return results

name, settings, folder = sys.argv[1:]
stage.run_trainer = report
run_section(name, json.loads(settings), Path(folder), 7)
leave_process_group()
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["encoder", "alignment"])
def test_two_processes_end_with_one_model(name, components, tmp_path):
    """With evaluation, whose odd number of rows is spread over the processes, and an odd number of batches."""
    section = stage_section(name, components, max_steps=3, eval_strategy="steps", eval_steps=3, max_batch_size=3)
    section["training"] |= {"ddp_backend": "gloo", "per_device_eval_batch_size": 2}
    section["training"] |= {} if name == "encoder" else {"max_new_tokens": 5}
    section["data"]["eval"] = [{**source, "max_rows": 7} for source in section["data"]["train"]]
    script = tmp_path / "script.py"
    script.write_text(TWO_PROCESSES)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    folder = tmp_path / "stage"
    result = subprocess.run(
        [*launcher, str(script), name, json.dumps(section), str(folder)],
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert result.returncode == 0, result.stderr[-3000:]
    first, second = (json.loads((folder / f"rank{rank}.json").read_text()) for rank in range(2))
    assert first == second
    assert first[0] == 2 and first[2] == 3
    record = json.loads((folder / "stage.json").read_text())
    metric = "eval_per" if name == "encoder" else "eval_wer"
    assert any(metric in entry for entry in record["history"])
    assert (folder / "model.safetensors").is_file()


@pytest.mark.parametrize("name", ["is_fsdp_enabled", "is_deepspeed_enabled"])
def test_muon_is_refused_where_matrices_are_cut_up(name, tmp_path):
    """Accelerate's configuration arrives by environment: the arguments say nothing of it."""
    trainer = encoder_trainer(tmp_path, muon=True)
    setattr(trainer, name, True)
    with pytest.raises(ValueError, match="leave muon out"):
        trainer.create_optimizer()


def test_several_gpus_of_one_process_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(TrainingArguments, "n_gpu", 2)
    with pytest.raises(ValueError, match="--accelerate_config ddp of .*`launch` of a recipe's .*`accelerate launch`"):
        encoder_trainer(tmp_path)
