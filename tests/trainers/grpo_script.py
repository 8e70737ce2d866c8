# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Reinforcement under several processes, for test_grpo_distributed.py: what each process saw goes to a file.

torchrun grpo_script.py ddp|fsdp2 FOLDER_OF_COMPONENTS FOLDER
"""

import json
import sys
from pathlib import Path

import torch
from accelerate import accelerator as accelerator_module
from swap_script import CPUAcceleratorState
from torch.distributed.tensor import DTensor
from training_helpers import make_rows, trainer_arguments

from entropy_asr.trainers.runs.process_group import leave_process_group
from entropy_asr.trainers.stages.grpo import ASRGRPOConfig, ASRGRPOTrainer
from entropy_asr.trainers.stages.sft import SFTModelSection, save_trained
from entropy_asr.trainers.training.encoder_swaps import plain_model
from entropy_asr.trainers.training.sharding import whole_state


def main(kind: str, components: Path, folder: Path) -> None:
    settings = {"num_generations": 4, "per_device_train_batch_size": 4, "max_completion_length": 4, "max_steps": 3}
    settings |= {"learning_rate": 1e-2, "beta": 0.1, "ddp_backend": "gloo"}
    if kind == "fsdp2":
        accelerator_module.AcceleratorState = CPUAcceleratorState
        settings |= {"fsdp": True, "fsdp_config": {"version": 2}}
    rows = make_rows("en zh none en zh en none en")
    model, processor = SFTModelSection(path=str(components / "full")).build()
    trainer = ASRGRPOTrainer(
        model,
        trainer_arguments(ASRGRPOConfig, folder, **settings),
        processing_class=processor,
        train_dataset=rows,
        eval_dataset=rows,
    )
    heard = []
    prompts = trainer._encode_prompts
    trainer._encode_prompts = lambda rows: heard.append([row["index"] for row in rows]) or prompts(rows)
    trainer.train()
    metrics = trainer.evaluate()
    model = plain_model(trainer)
    report = {
        "heard": heard,
        "divergences": [entry["kl"] for entry in trainer.state.log_history if "kl" in entry],
        "rewards": [entry["reward"] for entry in trainer.state.log_history if "reward" in entry],
        "wer": metrics["eval_wer"],
        "sharded": sum(isinstance(tensor, DTensor) for tensor in model.parameters()),
    }
    rank = trainer.args.process_index
    (folder / f"rank{rank}.json").write_text(json.dumps(report))
    torch.save(whole_state(model), folder / f"rank{rank}.pt")
    save_trained(trainer, processor, folder / "saved")


if __name__ == "__main__":
    main(sys.argv[1], *map(Path, sys.argv[2:]))
    leave_process_group()
