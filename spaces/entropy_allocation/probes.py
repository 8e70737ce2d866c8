# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Predictive V-information (Xu et al. 2020): how many nats about labels a family of probes can read out of frames.

I_V(Z -> Y | C) = H_V(Y | C) - H_V(Y | C, Z), each the held-out cross-entropy of a probe of family V; the first one is
trained with the block of Z zeroed (Hewitt et al. 2021). Without a context C it is the cross-entropy of label shares.
Families: "linear" is multinomial logistic regression with scikit-learn's objective (sum of cross-entropies + |W|^2 / 2
on standardised inputs), "mlp" has one hidden layer. Estimates may be slightly negative: they are never clipped. Where
rows are few for the inputs' dimension, a stronger penalty is chosen on a part of the training rows: the infimum over a
family is not what its least regularised member makes of little data.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn


FAMILIES = ("linear", "mlp")
TEST_SHARE = 0.25
# Fewer groups than this are cut into runs of neighbouring rows, so that any data can be split.
MIN_GROUPS = 8
RUNS = 40
# The optimum of a convex loss is first looked for on a part of the rows, where steps are cheap.
WARM_START_ROWS = 16384
MAX_ITERATIONS = 100
# Fewer training rows a dimension than this, and the penalty is chosen among these factors of scikit-learn's default.
ROWS_PER_DIMENSION = 100
PENALTIES = (1.0, 10.0, 100.0, 1000.0)
# Change of the loss, in nats, at which the linear probe is taken as converged: far below the 0.02 that matter.
LOSS_TOLERANCE = 1e-6
HIDDEN_SIZE = 256
MLP_LEARNING_RATE = 5e-3
MLP_STEPS = (300, 1500)
MLP_EPOCHS = 12
VALIDATION_SHARE = 0.2


@dataclass
class Examples:
    """What a probe is trained and tested on.

    Attributes:
        frames: Z, `(N, D)` float32.
        labels: Y as numbers from 0, `(N,)` int64.
        groups: Number of the utterance or speaker of each row, `(N,)`; no group is in both training and test rows.
        context: C as numbers `(N, L)`, -1 where there is none; None for unconditional information.
    """

    frames: torch.Tensor
    labels: torch.Tensor
    groups: np.ndarray
    context: torch.Tensor | None = None

    def to(self, device: str | torch.device | None) -> "Examples":
        """The same on a device."""
        if device is None:
            return self
        context = None if self.context is None else self.context.to(device)
        return Examples(self.frames.to(device), self.labels.to(device), self.groups, context)


def accessible_information(
    examples: Examples, families: Sequence[str] = FAMILIES, num_seeds: int = 3, control: bool = True
) -> dict[str, dict]:
    """Information of each family of probes, in nats, with the standard error over seeds.

    Args:
        examples: The rows. A GPU is used where they are on one.
        families: "linear", "mlp" or both.
        num_seeds: Number of random splits (and initialisations); 2 or more give a standard error.
        control: Also measure with frames shuffled among rows: what is then found, about 0, is the probe's own error.

    Returns:
        For each family: `information`, `standard_error`, `entropy` H_V(Y | C), `conditional_entropy` H_V(Y | C, Z),
        `test_accuracy`, all means over seeds; `shuffled_control` of the first seed; `seconds`.

    Raises:
        ValueError: an unknown family, fewer than two labels, or rows too few to split.
    """
    _check(examples, families, num_seeds)
    splits = [split_by_group(examples.groups, seed) for seed in range(num_seeds)]
    return {family: _measure(examples, family, splits, control) for family in families}


def _check(examples: Examples, families: Sequence[str], num_seeds: int) -> None:
    unknown = sorted(set(families) - set(FAMILIES))
    if unknown or not families:
        raise ValueError(f"Probe families are {', '.join(FAMILIES)}; got {list(families)}.")
    if num_seeds < 1:
        raise ValueError(f"`num_seeds` must be at least 1, got {num_seeds}.")
    if len(examples.labels.unique()) < 2:
        raise ValueError(f"All {len(examples.labels)} rows have one label: there is nothing to predict.")
    if not torch.isfinite(examples.frames.sum()):
        raise ValueError("The frames hold NaN or infinite values.")


def split_by_group(groups: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers for training and for testing; the test rows are whole groups, a quarter of all rows or little more.

    Raises:
        ValueError: fewer than `MIN_GROUPS` rows.
    """
    if len(groups) < MIN_GROUPS:
        raise ValueError(f"{len(groups)} rows are too few to train and test a probe.")
    names, groups = np.unique(groups, return_inverse=True)
    if len(names) < MIN_GROUPS:
        groups = np.minimum(np.arange(len(groups)) * min(RUNS, len(groups)) // len(groups), RUNS - 1)
    order = np.random.default_rng(seed).permutation(groups.max() + 1)
    sizes = np.bincount(groups)[order]
    num_test = int(np.searchsorted(np.cumsum(sizes), TEST_SHARE * len(groups))) + 1
    in_test = np.isin(groups, order[: min(num_test, len(order) - 1)])
    return np.flatnonzero(~in_test), np.flatnonzero(in_test)


def _measure(examples: Examples, family: str, splits: list, control: bool) -> dict:
    start = time.perf_counter()
    runs = [_run(examples, family, split, seed) for seed, split in enumerate(splits)]
    entropy, conditional, accuracy = (np.array(column) for column in zip(*runs, strict=True))
    information = entropy - conditional
    result = {
        "information": float(information.mean()),
        "standard_error": float(information.std(ddof=1) / np.sqrt(len(runs))) if len(runs) > 1 else None,
        "entropy": float(entropy.mean()),
        "conditional_entropy": float(conditional.mean()),
        "test_accuracy": float(accuracy.mean()),
    }
    if control:
        order = torch.from_numpy(np.random.default_rng(0).permutation(len(examples.labels)))
        shuffled = Examples(examples.frames[order.to(examples.frames.device)], *_rest(examples))
        entropy, conditional, _ = _run(shuffled, family, splits[0], 0)
        result["shuffled_control"] = entropy - conditional
    return {**result, "seconds": round(time.perf_counter() - start, 2)}


def _rest(examples: Examples) -> tuple:
    return examples.labels, examples.groups, examples.context


def _run(examples: Examples, family: str, split: tuple, seed: int) -> tuple[float, float, float]:
    """H_V(Y | C), H_V(Y | C, Z) in nats and the accuracy of the latter's probe, on the test rows of one split."""
    device = examples.labels.device
    train, test = (torch.from_numpy(rows).to(device) for rows in split)
    num_classes = int(examples.labels.max()) + 1
    labels = examples.labels[train], examples.labels[test]
    frames = _standardized(examples.frames[train], examples.frames[test])
    if examples.context is None:
        entropy = prior_cross_entropy(*labels, num_classes)
        inputs = frames
    else:
        # As the frames, the context is standardised: a probe's penalty must not depend on how often a phoneme occurs.
        context = _standardized(*(_one_hot(examples.context)[rows] for rows in (train, test)))
        zeroed = tuple(torch.cat([c, torch.zeros_like(z)], 1) for c, z in zip(context, frames, strict=True))
        entropy, _ = _held_out(family, zeroed, labels, num_classes, split[0], examples.groups, seed)
        inputs = tuple(torch.cat(pair, 1) for pair in zip(context, frames, strict=True))
    conditional, accuracy = _held_out(family, inputs, labels, num_classes, split[0], examples.groups, seed)
    return entropy, conditional, accuracy


def _standardized(train: torch.Tensor, test: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Both with the training rows' mean 0 and variance 1 in every dimension (constant ones become 0)."""
    mean, std = train.mean(0, dtype=torch.float32), train.float().std(0, correction=0)
    scale = torch.where(std > 1e-6 * (1 + mean.abs()), 1 / std, torch.zeros_like(std))
    return (train - mean) * scale, (test - mean) * scale


def _one_hot(context: torch.Tensor) -> torch.Tensor:
    """`(N, L)` numbers as `(N, L * K)` indicators; -1 is none of them."""
    num_values = int(context.max()) + 1
    shifted = nn.functional.one_hot(context + 1, num_values + 1)[..., 1:]
    return shifted.flatten(1).float()


def prior_cross_entropy(train: torch.Tensor, test: torch.Tensor, num_classes: int) -> float:
    """Held-out cross-entropy, in nats, of the shares of the training labels (one more of each, so that none is 0)."""
    counts = torch.bincount(train, minlength=num_classes).double() + 1
    return float(-(counts / counts.sum()).log()[test].mean())


def _held_out(family, inputs, labels, num_classes, train_rows, groups, seed) -> tuple[float, float]:
    """Cross-entropy in nats and accuracy of a probe on the test rows."""
    if family == "linear":
        penalty = choose_penalty(inputs[0], labels[0], num_classes, groups[train_rows], seed)
        weight, bias = fit_linear(inputs[0], labels[0], num_classes, penalty)
        logits = inputs[1] @ weight + bias
    else:
        logits = fit_mlp(inputs[0], labels[0], num_classes, groups[train_rows], seed)(inputs[1])
    cross_entropy = nn.functional.cross_entropy(logits.double(), labels[1])
    return float(cross_entropy), float((logits.argmax(-1) == labels[1]).double().mean())


def choose_penalty(
    inputs: torch.Tensor, labels: torch.Tensor, num_classes: int, groups: np.ndarray, seed: int
) -> float:
    """The penalty with the lowest cross-entropy on a fifth of the training groups; 1 where rows are many."""
    if len(inputs) >= ROWS_PER_DIMENSION * inputs.shape[1]:
        return 1.0
    held = torch.from_numpy(_validation_rows(groups, seed)).to(inputs.device)
    losses = {}
    for penalty in PENALTIES:
        weight, bias = fit_linear(inputs[~held], labels[~held], num_classes, penalty)
        losses[penalty] = float(nn.functional.cross_entropy(inputs[held] @ weight + bias, labels[held]))
    return min(losses, key=losses.get)


def fit_linear(
    inputs: torch.Tensor, labels: torch.Tensor, num_classes: int, penalty: float = 1.0
) -> tuple[torch.Tensor, torch.Tensor]:
    """Multinomial logistic regression: weight `(D, K)` and bias `(K,)`.

    Minimises the sum over rows of cross-entropy plus penalty |weight|^2 / 2: scikit-learn's `LogisticRegression` with
    C the inverse penalty. Runs in the principal directions of the inputs, scaled to variance 1, in which L-BFGS needs
    few steps; the penalty stays that of the weights in the original ones.
    """
    values, directions = torch.linalg.eigh((inputs.T @ inputs).double() / len(inputs))
    kept = values > 1e-7 * values.max()
    scales = values[kept].clamp(min=1e-12).rsqrt()
    basis = (directions[:, kept] * scales).to(inputs.dtype)  # (D, R)
    penalties = (penalty / 2 * scales.square()).to(inputs.dtype)[:, None]
    white = inputs @ basis
    # Bias in the last row.
    parameters = torch.zeros(white.shape[1] + 1, num_classes, dtype=inputs.dtype, device=inputs.device)
    if len(white) > 2 * WARM_START_ROWS:
        rows = torch.linspace(0, len(white) - 1, WARM_START_ROWS, device=inputs.device).long()
        parameters = _minimize(parameters, white[rows], labels[rows], penalties)
    parameters = _minimize(parameters, white, labels, penalties)
    return basis @ parameters[:-1], parameters[-1]


def _minimize(start: torch.Tensor, inputs: torch.Tensor, labels: torch.Tensor, penalty: torch.Tensor) -> torch.Tensor:
    parameters = start.clone().requires_grad_(True)
    optimizer = torch.optim.LBFGS(
        [parameters],
        max_iter=MAX_ITERATIONS,
        history_size=20,
        tolerance_grad=1e-7,
        tolerance_change=LOSS_TOLERANCE,
        line_search_fn="strong_wolfe",
    )

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        logits = inputs @ parameters[:-1] + parameters[-1]
        penalized = (penalty * parameters[:-1].square()).sum() / len(labels)
        loss = nn.functional.cross_entropy(logits, labels) + penalized
        loss.backward()
        return loss

    with torch.enable_grad():
        optimizer.step(closure)
    return parameters.detach()


def fit_mlp(inputs: torch.Tensor, labels: torch.Tensor, num_classes: int, groups: np.ndarray, seed: int):
    """A probe with one hidden layer, at the epoch that was best on a fifth of the training groups.

    Returns:
        Function from inputs `(N, D)` to logits `(N, K)`. The global random state is left as it was.
    """
    devices = [inputs.device] if inputs.device.type == "cuda" else []
    with torch.random.fork_rng(devices), torch.enable_grad():
        torch.manual_seed(seed)
        probe = nn.Sequential(
            nn.Linear(inputs.shape[1], HIDDEN_SIZE), nn.ReLU(), nn.Linear(HIDDEN_SIZE, num_classes)
        ).to(inputs.device)
        held = _validation_rows(groups, seed)
        return torch.no_grad()(_train_mlp(probe, inputs, labels, held, seed))


def _validation_rows(groups: np.ndarray, seed: int) -> np.ndarray:
    names = np.unique(groups)
    if len(names) < MIN_GROUPS:
        return np.arange(len(groups)) % round(1 / VALIDATION_SHARE) == 0
    chosen = np.random.default_rng([seed, 1]).permutation(names)[: max(1, int(VALIDATION_SHARE * len(names)))]
    return np.isin(groups, chosen)


def _train_mlp(probe: nn.Module, inputs, labels, held: np.ndarray, seed: int) -> nn.Module:
    rows = torch.from_numpy(np.flatnonzero(~held)).to(inputs.device)
    held_rows = torch.from_numpy(np.flatnonzero(held)).to(inputs.device)
    batch_size = 256 if len(rows) < 50_000 else 1024
    per_epoch = max(1, len(rows) // batch_size)
    steps = min(max(MLP_EPOCHS * per_epoch, MLP_STEPS[0]), MLP_STEPS[1])
    optimizer = torch.optim.AdamW(probe.parameters(), lr=MLP_LEARNING_RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, MLP_LEARNING_RATE, total_steps=steps)
    generator = torch.Generator().manual_seed(seed)
    best, best_loss = None, float("inf")
    for step in range(steps):
        if step % per_epoch == 0:
            order = rows[torch.randperm(len(rows), generator=generator).to(rows.device)]
        batch = order[step % per_epoch * batch_size :][:batch_size]
        loss = nn.functional.cross_entropy(probe(inputs[batch]), labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        if (step + 1) % max(per_epoch, steps // 20) == 0 or step + 1 == steps:
            with torch.no_grad():
                held_loss = float(nn.functional.cross_entropy(probe(inputs[held_rows]), labels[held_rows]))
            if held_loss < best_loss:
                best, best_loss = {name: value.clone() for name, value in probe.state_dict().items()}, held_loss
    probe.load_state_dict(best)
    return probe
