# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Whole tensors of a model in training, and writing into it, however its parameters are spread over processes.

A plain model, DDP and DeepSpeed ZeRO-1/2 hold whole parameters in every process; FSDP2 holds slices of them (DTensor).
"""

import torch
from torch import nn
from torch.distributed.fsdp import FSDPModule
from torch.distributed.tensor import DTensor, distribute_tensor
from transformers import Trainer


# Parts of names that wrappers put in: torch.compile, activation checkpointing.
WRAPPER_NAMES = ("_orig_mod.", "_checkpoint_wrapped_module.")


def shares_weights(trainer: Trainer) -> bool:
    """Whether each process holds a part of every layer (FSDP, DeepSpeed ZeRO-3): a layer's run waits for them all.

    Such processes must run the same layers equally often, whatever their own batches are like.
    """
    plugin = trainer.accelerator.state.deepspeed_plugin
    return trainer.is_fsdp_enabled or (plugin is not None and plugin.zero_stage == 3)


def mark_as_sharded(model: nn.Module) -> None:
    """Tell transformers that processes share the layers' weights: what accelerate shards is not known to it.

    `generate` then goes on until all processes have ended their texts, and encoders of wav2vec 2.0's family run the
    layers that they leave out at random all the same. Without it processes would wait for one another for ever.
    """
    for module in model.modules():
        module._is_fsdp_managed_module = True


def reshard(model: nn.Module) -> None:
    """Give the slices of FSDP2 back their place in the modules.

    After a forward without a backward (evaluation, generation) the outermost group stays whole, as a copy in the
    compute precision: what is written into it then is lost without an error.
    """
    for module in model.modules():
        if isinstance(module, FSDPModule):
            module.reshard()


def persistent_tensors(module: nn.Module) -> dict[str, torch.Tensor]:
    """Parameters and saved buffers of a module, not copies, by the names they have without wrappers."""
    saved = {_plain_name(name) for name in module.state_dict()}
    named = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    return {_plain_name(name): tensor for name, tensor in named.items() if _plain_name(name) in saved}


def whole_state(model: nn.Module, module: nn.Module | None = None) -> dict[str, torch.Tensor]:
    """State of a module in CPU memory, whole in every process. All processes must call it.

    Args:
        model: The model as it is trained, unwrapped.
        module: The part of it that is wanted. None: all.
    """
    reshard(model)
    return {name: _whole(tensor) for name, tensor in persistent_tensors(module or model).items()}


@torch.no_grad()
def write_state(model: nn.Module, module: nn.Module, state: dict[str, torch.Tensor]) -> None:
    """Overwrite the tensors of a module in place, so that optimizer and wrappers keep theirs.

    Args:
        model: The model as it is trained, unwrapped.
        module: The part of it to overwrite.
        state: Whole tensors by name, the same in every process.

    Raises:
        ValueError: Names or shapes are not those of the module; nothing is written.
    """
    reshard(model)
    tensors = persistent_tensors(module)
    differing = sorted(
        name
        for name in {*tensors, *state}
        if name not in tensors or name not in state or tensors[name].shape != state[name].shape
    )
    if differing:
        raise ValueError(f"{len(differing)} tensors are missing or of another shape, such as {differing[0]}.")
    for name, tensor in tensors.items():
        source = state[name].to(tensor.device, tensor.dtype)
        if isinstance(tensor, DTensor):
            # No source rank: every process has the whole tensor and takes its slice without talking to the others.
            source = distribute_tensor(source, tensor.device_mesh, tensor.placements, src_data_rank=None)
        tensor.copy_(source)


def _plain_name(name: str) -> str:
    for part in WRAPPER_NAMES:
        name = name.replace(part, "")
    return name


def _whole(tensor: torch.Tensor) -> torch.Tensor:
    tensor = tensor.detach()
    return (tensor.full_tensor() if isinstance(tensor, DTensor) else tensor).cpu().clone()
