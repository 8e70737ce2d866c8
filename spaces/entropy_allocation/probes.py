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
# Rows from which a first guess is judged and curvature is estimated, and rows of a block of the loss.
SAMPLE_ROWS = 16384
BLOCK_ROWS = 4096
# Share of the classes' covariance that counts as noise within them: it keeps their difference invertible.
DISCRIMINANT_SHRINKAGE = 1e-3
# Smallest curvature among classes, as a share of the largest.
CURVATURE_FLOOR = 1e-3
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
MIN_VALIDATION_GROUPS = 4


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
    C the inverse penalty. The loss is convex, so where the search begins and in which coordinates it runs decide its
    length and not its end: L-BFGS begins at the linear discriminant and runs where the curvature, taken for a
    Kronecker product of one among inputs and one among classes, is 1 in all directions.

    Args:
        inputs: `(N, D)` float32, of mean 0 in every dimension.
        labels: Numbers below `num_classes`, `(N,)`.
        num_classes: K.
        penalty: See above.
    """
    decay = penalty / len(labels)
    variances, directions = torch.linalg.eigh((inputs.T @ inputs).double() / len(inputs))
    kept = variances > 1e-7 * variances.max()
    variances, directions = variances[kept].clamp(min=1e-12), directions[:, kept].to(inputs.dtype)  # (R,), (D, R)
    start, start_bias = _discriminant(inputs, labels, num_classes, variances, directions, decay)
    curvatures, mixing = _class_curvature(inputs, start, start_bias)  # (K,), (K, K)
    scales = torch.cat([torch.outer(variances, curvatures) + decay, curvatures[None]]).rsqrt().to(inputs.dtype)
    # What is added to the discriminant, `(R + 1, K)`; the bias in the last row.
    change = torch.zeros_like(scales)

    def current() -> tuple[torch.Tensor, torch.Tensor]:
        mixed = (scales * change) @ mixing.T
        return start + directions @ mixed[:-1], start_bias + mixed[-1]

    def closure() -> torch.Tensor:
        weight, bias = current()
        loss, gradient, bias_gradient = _loss_and_gradient(inputs, labels, weight, bias)
        gradient += decay * weight
        change.grad = scales * (torch.cat([directions.T @ gradient, bias_gradient[None]]) @ mixing)
        return loss + decay / 2 * weight.double().square().sum()

    optimizer = torch.optim.LBFGS(
        [change],
        max_iter=MAX_ITERATIONS,
        history_size=20,
        tolerance_grad=1e-7,
        tolerance_change=LOSS_TOLERANCE,
        line_search_fn="strong_wolfe",
    )
    optimizer.step(closure)
    return current()


def _discriminant(inputs, labels, num_classes: int, variances, directions, decay: float):
    """Weight and bias of Gaussian classes of one covariance: near the optimum for many frames, and no iterations.

    Of this and of class shares alone, what has the lower loss.

    Args:
        inputs, labels, num_classes: As for [`fit_linear`].
        variances, directions: Of the inputs' principal directions, `(R,)` and `(D, R)`.
        decay: Penalty a row.
    """
    counts = torch.bincount(labels, minlength=num_classes)
    shares = (counts + 1).double() / (len(labels) + num_classes)
    sums = inputs.new_zeros(num_classes, inputs.shape[1]).index_add_(0, labels, inputs)
    means = (sums @ directions).double() / counts.clamp(min=1)[:, None]  # (K, R)
    # Means of few rows are mostly noise.
    means *= (counts / (counts + means.shape[1]))[:, None]
    between = (means * shares[:, None]).T @ means
    curvature = float((1 - shares.square().sum()) / num_classes)
    within = variances.diag() - (1 - DISCRIMINANT_SHRINKAGE) * between
    within.diagonal().add_(decay / curvature)  # what the penalty is worth in variance
    weights = torch.linalg.solve(within, means.T)  # (R, K)
    bias = shares.log() - (means.T * weights).sum(0) / 2
    pairs = [(directions @ weights.to(inputs.dtype), bias), (torch.zeros_like(sums.T), shares.log())]
    pairs = [(weight, bias.to(inputs.dtype)) for weight, bias in pairs]
    rows = _some_rows(inputs)
    losses = [float(nn.functional.cross_entropy(inputs[rows] @ weight + bias, labels[rows])) for weight, bias in pairs]
    return pairs[int(np.argmin(np.nan_to_num(losses, nan=np.inf)))]


def _class_curvature(inputs: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor):
    """Eigenvalues `(K,)` (float64) and eigenvectors `(K, K)` of the mean of diag(p) - p p^T."""
    probabilities = (inputs[_some_rows(inputs)] @ weight + bias).softmax(-1).double()
    curvature = probabilities.mean(0).diag() - probabilities.T @ probabilities / len(probabilities)
    values, directions = torch.linalg.eigh(curvature)
    # There is none in one direction: the same change for all classes.
    return values.clamp(min=float(values.max()) * CURVATURE_FLOOR + 1e-12), directions.to(inputs.dtype)


def _some_rows(inputs: torch.Tensor) -> torch.Tensor:
    return torch.linspace(0, len(inputs) - 1, min(len(inputs), SAMPLE_ROWS), device=inputs.device).long()


def _loss_and_gradient(
    inputs: torch.Tensor, labels: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Mean cross-entropy (float64) and its gradients, `(D, K)` and `(K,)`; in blocks that stay in the cache."""
    loss = torch.zeros((), dtype=torch.float64, device=inputs.device)
    gradient, bias_gradient = torch.zeros_like(weight), torch.zeros_like(bias)
    for rows, targets in zip(inputs.split(BLOCK_ROWS), labels[:, None].split(BLOCK_ROWS), strict=True):
        scores = torch.addmm(bias, rows, weight).log_softmax(-1)
        loss -= scores.gather(1, targets).sum(dtype=torch.float64)
        residual = scores.exp_().scatter_add_(1, targets, targets.new_full(targets.shape, -1).to(scores))
        gradient.addmm_(rows.T, residual)
        bias_gradient += residual.sum(0)
    return loss / len(labels), gradient / len(labels), bias_gradient / len(labels)


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
    """Which training rows choose penalty and epoch: whole groups, as in the test, or else runs of neighbouring rows.

    Single rows among their neighbours would not do: neighbouring frames are alike.
    """
    if len(np.unique(groups)) < MIN_VALIDATION_GROUPS:
        groups = np.arange(len(groups)) * min(RUNS, len(groups)) // len(groups)
    names = np.unique(groups)
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
