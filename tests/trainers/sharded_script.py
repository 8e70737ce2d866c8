# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Two processes under FSDP2 whose batches differ, for test_sharding.py: what each one computed goes to a file.

torchrun sharded_script.py FOLDER_OF_COMPONENTS FOLDER
"""

import faulthandler
import json
import sys
from pathlib import Path
from typing import Any
from unittest.mock import patch

from accelerate import accelerator as accelerator_module
from peft import LoraConfig
from swap_script import CPUAcceleratorState
from training_helpers import LORA, make_rows, trainer_arguments
from transformers.integrations import is_fsdp_managed_module

from entropy_asr.trainers import JointSFTConfig, JointSFTTrainer
from entropy_asr.trainers.runs.process_group import leave_process_group
from entropy_asr.trainers.stages.sft import SFTModelSection, save_trained
from entropy_asr.trainers.training.stage_run import run_trainer


# Three rows in batches of two: one process has two rows, the other the one that is left.
ROWS = "en zh en"


def build(components: Path, folder: Path, lora: LoraConfig | None = None, **settings) -> JointSFTTrainer:
    model, processor = SFTModelSection(path=str(components / "full")).build()
    # Otherwise the two runs would draw other dropout.
    model.eval()
    settings = {"ddp_backend": "gloo", "ddp_timeout": 60, "fsdp": True, "fsdp_config": {"version": 2}, **settings}
    settings |= {"max_steps": 2, "max_batch_size": 2, "learning_rate": 1e-3, "language_prompt_probability": 0.0}
    settings |= {"freeze": ["model.audio_tower", "phoneme_head"]}
    return JointSFTTrainer(
        model,
        trainer_arguments(JointSFTConfig, folder, **settings),
        processing_class=processor,
        train_dataset=make_rows(ROWS),
        eval_dataset=make_rows("en zh en zh"),
        peft_config=lora,
    )


def train(trainer: JointSFTTrainer) -> dict[str, Any]:
    """Rows of each batch of this process, and the losses."""
    rows, compute_loss = [], trainer.compute_loss

    def counting(model, inputs, *args, **kwargs):
        rows.append(len(inputs["input_ids"]))
        return compute_loss(model, inputs, *args, **kwargs)

    trainer.compute_loss = counting
    trainer.train()
    trainer.compute_loss = compute_loss
    history = [entry for entry in trainer.state.log_history if "loss" in entry]
    return {"rows": rows, "losses": [entry["loss"] for entry in history], "norms": [e["grad_norm"] for e in history]}


def evaluate(trainer: JointSFTTrainer, rank: int) -> dict[str, Any]:
    """Texts of other lengths in each process."""
    trainer.args.max_new_tokens = (2, 7)[rank]
    output = trainer.predict(trainer.eval_dataset)
    synced = is_fsdp_managed_module(trainer.accelerator.unwrap_model(trainer.model))
    return {"wer": output.metrics["test_wer"], "shape": list(output.predictions.shape), "synced": synced}


def resume_from_what_one_process_sees(trainer: JointSFTTrainer, folder: Path, rank: int) -> str:
    """What comes of a checkpoint that lies on the disk of the main process alone."""
    trainer.args.output_dir = str(folder / f"disk-{rank}")
    Path(trainer.args.output_dir).mkdir()
    if rank == 0:
        checkpoint = folder / "disk-0" / "checkpoint-1"
        checkpoint.mkdir()
        (checkpoint / "trainer_state.json").write_text("{}")
    sees = (lambda path: path.exists()) if rank == 0 else (lambda path: False)
    try:
        with patch.object(Path, "is_dir", sees):
            run_trainer(trainer, folder)
    except ValueError as error:
        return str(error)
    return ""


def save_adapters_and_whole(components: Path, folder: Path) -> None:
    """Train adapters, and save them both ways."""
    trainer = build(components, folder / "lora", LoraConfig(**LORA), save_adapters=True)
    train(trainer)
    save_trained(trainer, trainer.processing_class, folder / "adapters")
    trainer.args.save_adapters = False
    save_trained(trainer, trainer.processing_class, folder / "merged")


def main(components: Path, folder: Path) -> None:
    faulthandler.enable()  # where a process is that the C++ below it aborts
    faulthandler.dump_traceback_later(180, exit=True)
    accelerator_module.AcceleratorState = CPUAcceleratorState
    report: dict[str, Any] = {}
    for kind in ("plain", "shared"):
        trainer = build(components, folder / kind, share_prompts=kind == "shared")
        report[kind] = train(trainer)
        trainer.model.eval()
    rank = trainer.args.process_index
    report["text alone"] = train(build(components, folder / "text", text_only_share=0.5))
    save_adapters_and_whole(components, folder)
    report["evaluation"] = evaluate(trainer, rank)
    report["resumed"] = resume_from_what_one_process_sees(trainer, folder, rank)
    (folder / f"rank{rank}.json").write_text(json.dumps(report))


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
    leave_process_group()
