# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Muon (Jordan et al. 2024) for the matrices of transformer layers, AdamW for everything else, in one optimizer.

`torch.optim.Muon` orthogonalises in bfloat16, which took 370 ms a step on a CPU without bfloat16 units against 40 ms
here, and takes matrices only, so that a trainer would need two optimizers. Here Newton-Schulz runs over stacks of
matrices of one shape, in the precision that the forward pass computes in. On single words the encoder's CTC loss after
300 steps was that of AdamW after 900; on sentences, from scratch and at a rate of 2e-3, no such gain was seen.
"""

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import nn
from transformers import TrainingArguments


# Quintic iteration of Jordan et al. 2024: singular values go to about 1 (0.7 to 1.2), which is all that is needed.
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)


def orthogonalize(matrices: torch.Tensor, num_iterations: int) -> torch.Tensor:
    """Nearest (semi-)orthogonal matrices, approximately: all singular values near 1.

    Args:
        matrices: Stack of matrices `(N, rows, columns)`.
        num_iterations: Newton-Schulz iterations; 5 do for any matrix, 3 for all but nearly singular directions.
    """
    a, b, c = NEWTON_SCHULZ
    tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if tall else matrices
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=1e-7)
    for _ in range(num_iterations):
        gram = x @ x.mT  # (N, rows, rows)
        x = a * x + torch.baddbmm(gram, gram, gram, beta=b, alpha=c) @ x
    return x.mT if tall else x


def layer_matrices(model: nn.Module) -> dict[str, nn.Parameter]:
    """Trainable weight matrices inside numbered layers: what Muon is for. Embeddings and heads are not among them."""
    return {
        name: parameter
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and parameter.ndim == 2 and ".layers." in f".{name}"
    }


class MuonWithAdamW(torch.optim.AdamW):
    """AdamW, except that groups with `muon=True` take orthogonalised momentum steps.

    Their update has the size of AdamW's (root mean square 0.2, Liu et al. 2025), so that one learning rate and one
    schedule serve both.

    Args:
        params: Parameter groups; `muon=True` marks those of Muon, which hold matrices only.
        lr: Learning rate.
        betas: AdamW's.
        eps: AdamW's.
        weight_decay: Decoupled weight decay of both.
        momentum: Nesterov momentum of Muon.
        num_iterations: See [`orthogonalize`].
        dtype: Precision of [`orthogonalize`]; the parameters' own by default.

    Raises:
        ValueError: a group of Muon holds something else than matrices.
    """

    def __init__(
        self,
        params: Iterable[dict],
        lr: float,
        betas: tuple[float, float] = (0.9, 0.98),
        eps: float = 1e-8,
        weight_decay: float = 0.01,
        momentum: float = 0.95,
        num_iterations: int = 3,
        dtype: torch.dtype | None = None,
    ):
        groups = [{"muon": False, **group} for group in params]
        for group in groups:
            group["params"] = list(group["params"])
            if group["muon"] and any(parameter.ndim != 2 for parameter in group["params"]):
                raise ValueError("Muon is for matrices: leave other parameters to the groups without `muon`.")
        super().__init__(groups, lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, foreach=True)
        self.momentum = momentum
        self.num_iterations = num_iterations
        self.dtype = dtype

    def __setstate__(self, state: dict) -> None:
        # AdamW reads a count of steps from the state of every parameter; Muon has none.
        for parameter_state in state["state"].values():
            parameter_state.setdefault("step", torch.tensor(0.0))
        super().__setstate__(state)

    @torch.no_grad()
    def step(self, closure=None):
        """One step; a closure that computes the loss anew is refused, since no trainer here has one."""
        if closure is not None:
            raise ValueError("MuonWithAdamW takes no closure.")
        for group in self.param_groups:
            if group["muon"]:
                self._muon_step(group)
        all_groups = self.param_groups
        self.param_groups = [group for group in all_groups if not group["muon"]]
        try:
            super().step()
        finally:
            self.param_groups = all_groups

    def _muon_step(self, group: dict) -> None:
        by_shape = defaultdict(list)
        for parameter in group["params"]:
            if parameter.grad is not None:
                by_shape[parameter.shape].append(parameter)
        for (rows, columns), parameters in by_shape.items():
            momenta = torch.stack([self._momentum_of(parameter) for parameter in parameters])
            updates = orthogonalize(momenta.to(self.dtype or momenta.dtype), self.num_iterations).to(momenta.dtype)
            step_size = group["lr"] * 0.2 * max(rows, columns) ** 0.5
            torch._foreach_mul_(parameters, 1 - group["lr"] * group["weight_decay"])
            torch._foreach_add_(parameters, list(updates.unbind()), alpha=-step_size)

    def _momentum_of(self, parameter: nn.Parameter) -> torch.Tensor:
        """Nesterov momentum (rows, columns), kept in the optimizer's state."""
        state = self.state[parameter]
        if "momentum" not in state:
            state["momentum"] = torch.zeros_like(parameter)
        momentum = state["momentum"].lerp_(parameter.grad, 1 - self.momentum)
        return parameter.grad.lerp(momentum, self.momentum)


def build_muon(model: nn.Module, args: TrainingArguments) -> MuonWithAdamW:
    """Optimizer of all trainable parameters of a model; biases and norms are not decayed.

    The model must not be split over devices, as FSDP and DeepSpeed do: Newton-Schulz needs whole matrices.
    """
    matrices = layer_matrices(model)
    others = {n: p for n, p in model.named_parameters() if p.requires_grad and n not in matrices}
    groups = [
        {"params": matrices.values(), "muon": True},
        {"params": [p for p in others.values() if p.ndim > 1]},
        {"params": [p for p in others.values() if p.ndim < 2], "weight_decay": 0.0},
    ]
    return MuonWithAdamW(
        [{**group, "params": list(group["params"])} for group in groups if len(group["params"])],
        lr=args.learning_rate,
        betas=(args.adam_beta1, args.adam_beta2),
        eps=args.adam_epsilon,
        weight_decay=args.weight_decay,
        dtype=torch.bfloat16 if args.bf16 else None,
    )
