# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""IA-SFT under several processes, for test_iterative_async_sft_distributed.py: what each process saw goes to a file.

torchrun swap_script.py single|ddp|fsdp2 FOLDER_OF_COMPONENTS FOLDER [CHECKPOINT]
"""

import json
import sys
from pathlib import Path

import torch
from accelerate import accelerator as accelerator_module
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedType
from safetensors.torch import load_file
from stage_trainers import publish, swap_trainer
from torch.distributed.tensor import DTensor
from transformers import TrainerCallback

from entropy_asr.trainers.runs.process_group import leave_process_group
from entropy_asr.trainers.training.encoder_swaps import PARTS, plain_model
from entropy_asr.trainers.training.sharding import whole_state
from entropy_asr.trainers.training.snapshots import EncoderSnapshots


class CPUAcceleratorState(AcceleratorState):
    """accelerate switches FSDP on for accelerators only; torch's FSDP2 itself works on CPU with gloo."""

    def __init__(self, *args, fsdp_plugin=None, **kwargs):
        super().__init__(*args, fsdp_plugin=fsdp_plugin, **kwargs)
        if fsdp_plugin is not None and self.distributed_type == DistributedType.MULTI_CPU:
            self.distributed_type = DistributedType.FSDP
            self.fsdp_plugin = fsdp_plugin
            PartialState._shared_state["distributed_type"] = self.distributed_type


class Observer(TrainerCallback):
    """Publishes in the first process; keeps in all which encoder each step was trained on, and what is optimised."""

    def __init__(self, store: EncoderSnapshots):
        self.store = store
        self.trainer = None
        self.trained_on: list[str | None] = []
        self.gradients: set[str] = set()

    def on_step_begin(self, args, state, control, **kwargs):
        model = plain_model(self.trainer)
        state_of = {
            f"{part}.{name}": tensor
            for part, place in PARTS.items()
            for name, tensor in whole_state(model, model.get_submodule(place)).items()
        }
        self.trained_on.append(next((name for name, expected in self._encoders() if _equal(expected, state_of)), None))

    def _encoders(self):
        for snapshot in self.store.complete():
            yield snapshot.name, load_file(snapshot.folder / "model.safetensors")

    def on_pre_optimizer_step(self, args, state, control, **kwargs):
        named = plain_model(self.trainer).named_parameters()
        self.gradients |= {name for name, tensor in named if tensor.grad is not None}

    def on_optimizer_step(self, args, state, control, **kwargs):
        events = {2: (200, "drift"), 4: (300, "final")}
        if state.global_step + 1 in events and args.process_index == 0:
            publish(self.store, *events[state.global_step + 1])

    def on_step_end(self, args, state, control, **kwargs):
        # A forward without a backward leaves the outermost group of FSDP2 whole; this callback is before the swapper.
        batch = next(iter(self.trainer.get_train_dataloader()))
        with torch.no_grad():
            self.trainer.model_wrapped(**self.trainer._prepare_inputs(batch))


def _equal(first: dict, second: dict) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def main(kind: str, components: Path, folder: Path, checkpoint: Path | None = None) -> None:
    settings = {"max_batch_size": 2, "save_strategy": "steps", "save_steps": 3}
    if kind != "single":
        settings["ddp_backend"] = "gloo"
    if kind == "fsdp2":
        accelerator_module.AcceleratorState = CPUAcceleratorState
        settings |= {"fsdp": True, "fsdp_config": {"version": 2}}
    store = EncoderSnapshots(folder / "store")
    observer = Observer(store)
    trainer = observer.trainer = swap_trainer(components, folder, callbacks=[observer], **settings)
    trainer.train(resume_from_checkpoint=checkpoint and str(checkpoint))
    model = plain_model(trainer)
    names = {id(tensor): name for name, tensor in model.named_parameters()}
    optimizer = trainer.optimizer.optimizer
    report = {
        "trained_on": observer.trained_on,
        "gradients": sorted(observer.gradients),
        "optimized": sorted(names[id(tensor)] for group in optimizer.param_groups for tensor in group["params"]),
        "state": sorted(names[id(tensor)] for tensor in optimizer.state),
        "sharded": sum(isinstance(tensor, DTensor) for tensor in model.parameters()),
        "world_size": trainer.args.world_size,
    }
    rank = trainer.args.process_index
    (folder / f"rank{rank}.json").write_text(json.dumps(report))
    torch.save(whole_state(model), folder / f"rank{rank}.pt")


if __name__ == "__main__":
    main(sys.argv[1], *map(Path, sys.argv[2:]))
    leave_process_group()
