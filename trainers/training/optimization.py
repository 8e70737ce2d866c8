# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Optimizer and learning rate of every stage: Muon and the paper's exponential decay beside what transformers has."""

from dataclasses import dataclass, field

from peft import PeftModel
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from .modules import submodule
from .muon import build_muon


# Paper (arXiv 2604.08003): linear warm-up, then exponential decay. Transformers has no such name.
EXPONENTIAL = "exponential"
# Learning rate of the last step, as a share of the peak; the paper does not give its rate of decay.
FINAL_SHARE = 0.01


@dataclass
class OptimizationArguments:
    """Goes before arguments of transformers, which it adds to.

    Args:
        muon: Train the matrices of transformer layers with Muon, see [`~muon.MuonWithAdamW`].
        learning_rates: Peak learning rates of some modules, by name inside the model, where that of all others is
            `learning_rate`: `{audio_tower: 1e-4}`, for pretrained weights beside new ones. Of a module within another
            one its own holds.

    `lr_scheduler_type` may also be "exponential": a linear warm-up of `warmup_steps`, then an exponential decay that
    ends at `lr_scheduler_kwargs: {final_share: 0.01}` of the peak.
    """

    muon: bool = field(default=False, metadata={"help": "Muon for the layers' matrices, AdamW for the rest."})
    learning_rates: dict[str, float] = field(default_factory=dict, metadata={"help": "Those of modules, by name."})

    def __post_init__(self):
        exponential = self.lr_scheduler_type == EXPONENTIAL
        if exponential:
            self.lr_scheduler_type = "linear"  # until transformers has checked it
        super().__post_init__()
        if exponential:
            self.lr_scheduler_type = EXPONENTIAL
            final_share(self.lr_scheduler_kwargs)
        for name, rate in self.learning_rates.items():
            if isinstance(rate, bool) or not isinstance(rate, (int, float)) or rate < 0:
                raise ValueError(f"learning_rates: {name} must have a rate of at least 0, got {rate!r}.")


def final_share(settings: dict | None) -> float:
    """Share of the peak that an exponential decay ends at.

    Args:
        settings: `lr_scheduler_kwargs`.

    Raises:
        ValueError: it is no share, or there are other settings.
    """
    settings = dict(settings or {})
    share = settings.pop("final_share", FINAL_SHARE)
    if settings:
        raise ValueError(f"lr_scheduler_kwargs: exponential decay has final_share alone, not {', '.join(settings)}.")
    if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 < share <= 1:
        raise ValueError(f"lr_scheduler_kwargs: final_share must be above 0 and at most 1, got {share!r}.")
    return share


def exponential_share(step: int, warmup_steps: int, max_steps: int, share: float) -> float:
    """Learning rate of a step as a share of the peak: linear up to it, then down by the same factor each step.

    Args:
        step: Optimizer steps taken.
        warmup_steps: Steps up to the peak.
        max_steps: All steps.
        share: What it is after the last of them.

    Example:
        >>> [round(exponential_share(step, 2, 6, 0.01), 4) for step in range(7)]
        [0.0, 0.5, 1.0, 0.3162, 0.1, 0.0316, 0.01]
    """
    if step < warmup_steps:
        return step / warmup_steps
    return share ** ((step - warmup_steps) / max(1, max_steps - warmup_steps))


def set_learning_rates(optimizer: Optimizer, model: nn.Module, rates: dict[str, float]) -> None:
    """Gives modules learning rates of their own: groups of parameters are split, their other settings stay.

    Args:
        optimizer: Of the model; no step was taken yet.
        model: With the modules.
        rates: Learning rates by the modules' names inside the model.

    Raises:
        ValueError: the model has no such module, or the optimizer trains nothing of it.
    """
    module_of: dict[nn.Parameter, str] = {}
    for name in sorted(rates, key=lambda name: name.count(".")):
        module_of |= dict.fromkeys(submodule(model, name, "learning_rates").parameters(), name)
    groups = []
    for group in optimizer.param_groups:
        parts: dict[str | None, list] = {}
        for parameter in group["params"]:
            parts.setdefault(module_of.get(parameter), []).append(parameter)
        groups += [
            {**group, "params": part} | ({} if name is None else {"lr": rates[name]}) for name, part in parts.items()
        ]
    trained = {module_of.get(parameter) for group in groups for parameter in group["params"]}
    if idle := [name for name in rates if name not in trained]:
        raise ValueError(f"learning_rates: nothing of {', '.join(idle)} is trained; is it frozen?")
    optimizer.param_groups[:] = groups


class OptimizationMixin:
    """Goes before a trainer class whose arguments are [`OptimizationArguments`]."""

    _sets_rates = False

    def create_optimizer(self, model=None):
        """The optimizer that `args.optim` names, or Muon; with the modules' own learning rates."""
        if self.args.learning_rates and not self._sets_rates:
            if self.optimizer is not None or self.is_deepspeed_enabled:
                whose = "the optimizer that was given" if self.optimizer is not None else "DeepSpeed"
                raise ValueError(f"learning_rates: {whose} has groups of its own: leave learning_rates out.")
            self._sets_rates = True
            return self._with_learning_rates(model)
        if self.args.muon and self.optimizer is None:
            if self.is_fsdp_enabled or self.is_deepspeed_enabled:
                raise ValueError("muon needs whole matrices, and FSDP and DeepSpeed cut them up: leave muon out.")
            self.optimizer = build_muon(self.model, self.args)
        return super().create_optimizer(model)

    def _with_learning_rates(self, model: nn.Module | None) -> Optimizer:
        optimizer = self.create_optimizer(model)
        named = self.model if model is None else model
        # Adapters put the model deeper.
        named = named.get_base_model() if isinstance(named, PeftModel) else named
        set_learning_rates(optimizer, named, self.args.learning_rates)
        return optimizer

    def create_scheduler(self, num_training_steps: int, optimizer: Optimizer | None = None) -> LRScheduler:
        """The learning rate's course that `args.lr_scheduler_type` names."""
        if self.args.lr_scheduler_type == EXPONENTIAL and self.lr_scheduler is None:
            warmup, share = self.args.get_warmup_steps(num_training_steps), final_share(self.args.lr_scheduler_kwargs)
            self.lr_scheduler = LambdaLR(
                self.optimizer if optimizer is None else optimizer,
                lambda step: exponential_share(step, warmup, num_training_steps, share),
            )
            self._created_lr_scheduler = True
        return super().create_scheduler(num_training_steps, optimizer)
