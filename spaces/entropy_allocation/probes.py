# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Predictive V-information (Xu et al. 2020): how many nats about labels a family of probes can read out of frames.

I_V(Z -> Y | C) = H_V(Y | C) - H_V(Y | C, Z), each the held-out cross-entropy of a probe of family V; the first one is
trained with the block of Z zeroed (Hewitt et al. 2021), without a context C, too. Of the linear family this is then
the cross-entropy of label shares.
Families: "linear" is multinomial logistic regression with scikit-learn's objective (sum of cross-entropies + |W|^2 / 2
on standardised inputs), "mlp" has one hidden layer; both are trained on one more row of each class, at their mean.
Estimates may be slightly negative: they are never clipped.

The infimum over a family is not what its least regularised member makes of little data. So the linear probe's penalty
and the epoch of the other one are chosen on whole groups of training rows. And with a context C, where the ceiling
H_V(Y | C) may be next to nothing, a probe that C and Z make worse on these rows than C alone is replaced by the one of
C alone: a family must contain the predictors that ignore Z (Xu et al. 2020, optional ignorance).
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from operator import index

import numpy as np
import torch
from torch import nn

from .splits import Splits, split_rows, standard_error, validation_rows


FAMILIES = ("linear", "mlp")
# Rows from which a first guess is judged and curvature is estimated, and rows of a block of the loss.
SAMPLE_ROWS = 16384
BLOCK_ROWS = 4096
# Share of the classes' covariance that counts as noise within them: it keeps their difference invertible.
DISCRIMINANT_SHRINKAGE = 1e-3
# Smallest curvature among classes, as a share of the largest.
CURVATURE_FLOOR = 1e-3
MAX_ITERATIONS = 100
# Factors of scikit-learn's default penalty, tried however many rows there are: a thousand rows of one speaker may say
# no more than a single one, and it takes a thousand times the penalty to weigh as much beside their sum.
PENALTIES = (1.0, 10.0, 100.0, 1000.0, 10000.0)
# Change of the loss, in nats, at which the linear probe is taken as converged: far below the 0.02 that matter. To tell
# one penalty from ten of it takes less.
LOSS_TOLERANCE = 1e-6
CHOICE_TOLERANCE = 1e-4
HIDDEN_SIZE = 256
MLP_LEARNING_RATE = 5e-3
MLP_STEPS = (300, 1500)
MLP_EPOCHS = 12


@dataclass
class Examples:
    """What a probe is trained and tested on.

    Attributes:
        frames: Z, `(N, D)` float32.
        labels: Y as numbers from 0, `(N,)` int64.
        groups: Number of the speaker, or of whatever else belongs together, of each row, `(N,)`: no group is in both
            training and test rows, as far as there are enough of them (see [`~splits.split_rows`]).
        context: C as numbers `(N, L)`, -1 where there is none; None for unconditional information.
        group_name: What a group is.
        utterances: Number of the utterance of each row, `(N,)`: what is split by where groups do not allow it. None
            where groups are utterances already, or nothing is known.
    """

    frames: torch.Tensor
    labels: torch.Tensor
    groups: np.ndarray
    context: torch.Tensor | None = None
    group_name: str = "group"
    utterances: np.ndarray | None = None

    def to(self, device: str | torch.device | None) -> "Examples":
        """The same on a device."""
        if device is None:
            return self
        context = None if self.context is None else self.context.to(device)
        return replace(self, frames=self.frames.to(device), labels=self.labels.to(device), context=context)

    def groupings(self) -> dict[str, np.ndarray]:
        """Groups `(N,)` of the rows by name, the coarsest first."""
        finer = {} if self.utterances is None else {"utterance": self.utterances}
        return {self.group_name: self.groups, **finer}


@dataclass
class Probe:
    """What a trained probe is worth: cross-entropies in nats a row, accuracy 0 to 1."""

    validation_loss: float  # on the training rows that chose penalty or epoch
    cross_entropy: float  # on the test rows
    accuracy: float


@dataclass
class SplitResult:
    """Figures of one split, in nats: H_V(Y | C), H_V(Y | C, Z); accuracy; whether the probe of C alone was taken."""

    entropy: float
    conditional_entropy: float
    accuracy: float
    without_frames: bool = False


def accessible_information(
    examples: Examples, families: Sequence[str] = FAMILIES, num_seeds: int = 3, control: bool = True
) -> dict[str, dict]:
    """Information of each family of probes, in nats, with its standard error.

    Args:
        examples: The rows. A GPU is used where they are on one.
        families: "linear", "mlp" or both.
        num_seeds: Number of random splits (and initialisations); 2 or more give a standard error.
        control: Also measure with frames shuffled among rows: what is then found, about 0, is the probe's own error.

    Returns:
        For each family: `information`, `entropy` H_V(Y | C), which is the most that information can be,
        `conditional_entropy` H_V(Y | C, Z), `test_accuracy`, all means over seeds; `standard_error` of `information`,
        corrected for the overlap of splits ([`~splits.standard_error`]); `split_by`: what is never in both training
        and test rows (the groups' name, "utterance", or "row" where only that could be kept), and, unless that is
        the groups, `split_reason`; with a context `splits_without_frames`: in how many splits the probe of the context
        alone was taken, since frames made it worse on validation rows (in all of them: information 0, no standard
        error); `shuffled_control` of the first seed; `seconds`.

    Raises:
        ValueError: an unknown family, fewer than two labels, or rows too few to split.
    """
    families, num_seeds = check_request(families, num_seeds)
    _check(examples)
    splits = split_rows(examples.groupings(), len(examples.labels), num_seeds)
    return {family: _measure(examples, family, splits, control) for family in families}


def check_request(families: Sequence[str], num_seeds: int) -> tuple[list[str], int]:
    """The same as a list and an integer.

    Raises:
        ValueError: an unknown family or none, a number of seeds that is no whole number from 1 on.
    """
    named = [families] if isinstance(families, str) else list(families)
    if isinstance(families, str) or not named or [name for name in named if name not in FAMILIES]:
        raise ValueError(f"Probe families are a list of {', '.join(FAMILIES)}; got {families!r}.")
    try:
        number = index(num_seeds)
    except TypeError:
        number = 0
    if number < 1 or isinstance(num_seeds, bool):
        raise ValueError(f"`num_seeds` must be a whole number, at least 1, got {num_seeds!r}.")
    return named, number


def _check(examples: Examples) -> None:
    if len(examples.labels.unique()) < 2:
        raise ValueError(f"All {len(examples.labels)} rows have one label: there is nothing to predict.")
    if not torch.isfinite(examples.frames.sum()) and not torch.isfinite(examples.frames).all():
        raise ValueError("The frames hold NaN or infinite values.")


def _measure(examples: Examples, family: str, splits: Splits, control: bool) -> dict:
    start = time.perf_counter()
    runs = [_run(examples, family, rows, seed) for seed, rows in enumerate(splits.rows)]
    information = np.array([run.entropy - run.conditional_entropy for run in runs])
    ignored = sum(run.without_frames for run in runs)
    result = {
        "information": float(information.mean()),
        # Nothing was measured that could vary where no split used the frames.
        "standard_error": standard_error(information, splits.test_shares) if ignored < len(runs) else None,
        "entropy": float(np.mean([run.entropy for run in runs])),
        "conditional_entropy": float(np.mean([run.conditional_entropy for run in runs])),
        "test_accuracy": float(np.mean([run.accuracy for run in runs])),
        "split_by": splits.split_by,
    }
    if splits.reason is not None:
        result["split_reason"] = splits.reason
    if examples.context is not None:
        result["splits_without_frames"] = ignored
    if control:
        order = torch.from_numpy(np.random.default_rng(0).permutation(len(examples.labels)))
        shuffled = replace(examples, frames=examples.frames[order.to(examples.frames.device)])
        run = _run(shuffled, family, splits.rows[0], 0)
        result["shuffled_control"] = run.entropy - run.conditional_entropy
    return {**result, "seconds": round(time.perf_counter() - start, 2)}


def _run(examples: Examples, family: str, split: tuple[np.ndarray, np.ndarray], seed: int) -> SplitResult:
    """Probes are trained and tested on the rows of one split."""
    device = examples.labels.device
    held = torch.from_numpy(validation_rows(examples.groupings(), split[0], seed)).to(device)
    train, test = (torch.from_numpy(rows).to(device) for rows in split)
    labels = examples.labels[train], examples.labels[test]
    num_classes = int(examples.labels.max()) + 1
    frames = _standardized(examples.frames[train], examples.frames[test])
    if examples.context is None:
        probe = _probe(family, frames, labels, num_classes, held, seed)
        entropy = _entropy(family, frames, labels, num_classes, held, seed)
        return SplitResult(entropy, probe.cross_entropy, probe.accuracy)
    # As the frames, the context is standardised: a probe's penalty must not depend on how often a phoneme occurs.
    context = _standardized(*(_one_hot(examples.context)[rows] for rows in (train, test)))
    zeroed = tuple(torch.cat([c, torch.zeros_like(z)], 1) for c, z in zip(context, frames, strict=True))
    alone = _probe(family, zeroed, labels, num_classes, held, seed)
    both = tuple(torch.cat(pair, 1) for pair in zip(context, frames, strict=True))
    probe = _probe(family, both, labels, num_classes, held, seed)
    worse = probe.validation_loss >= alone.validation_loss
    taken = alone if worse else probe
    return SplitResult(alone.cross_entropy, taken.cross_entropy, taken.accuracy, worse)


def _entropy(family: str, frames, labels, num_classes: int, held: torch.Tensor, seed: int) -> float:
    """H_V(Y): the held-out cross-entropy of a probe of the family that sees zeros in place of frames.

    Of the linear family that is the cross-entropy of class shares, without a search. A network is stopped where
    held-out rows are predicted best: measured against class shares it would seem to read that from the frames.
    """
    if family == "linear":
        return prior_cross_entropy(*labels, num_classes)
    return _probe(family, tuple(map(torch.zeros_like, frames)), labels, num_classes, held, seed).cross_entropy


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
    """Held-out cross-entropy, in nats, of the shares of the training labels (one more of each, so that none is 0).

    Args:
        train: labels `(N_train,)`.
        test: labels `(N_test,)`.
        num_classes: of the labels.
    """
    counts = torch.bincount(train, minlength=num_classes).double() + 1
    return float(-(counts / counts.sum()).log()[test].mean())


def _probe(family: str, inputs, labels, num_classes: int, held: torch.Tensor, seed: int) -> Probe:
    """Train a probe; inputs and labels are those of the training and of the test rows."""
    train = _one_more_of_each(inputs[0], labels[0], num_classes)
    held = torch.cat([held, held.new_zeros(num_classes)])
    if family == "linear":
        penalty, loss = choose_penalty(*train, num_classes, held)
        weight, bias = fit_linear(*train, num_classes, penalty)
        logits = inputs[1] @ weight + bias
    else:
        network, loss = fit_mlp(*train, num_classes, held, seed)
        logits = network(inputs[1])
    cross_entropy = nn.functional.cross_entropy(logits.double(), labels[1])
    return Probe(loss, float(cross_entropy), float((logits.argmax(-1) == labels[1]).double().mean()))


def _one_more_of_each(inputs: torch.Tensor, labels: torch.Tensor, num_classes: int) -> tuple:
    """The rows, and one more of each class at their mean, 0: [`prior_cross_entropy`] counts one more of each, too.

    So the family contains the class shares that information is measured against, and a class that happens to have no
    training row is improbable, not impossible: a single test row of it would cost more nats than hundreds can save.
    """
    classes = torch.arange(num_classes, device=labels.device)
    return torch.cat([inputs, inputs.new_zeros(num_classes, inputs.shape[1])]), torch.cat([labels, classes])


def choose_penalty(
    inputs: torch.Tensor, labels: torch.Tensor, num_classes: int, held: torch.Tensor
) -> tuple[float, float]:
    """The penalty with the lowest cross-entropy on held-out training rows, and that cross-entropy in nats.

    Penalties are tried from the weakest on, until one is no better than the one before it.

    Args:
        inputs: `(N, D)` float32.
        labels: Numbers below `num_classes`, `(N,)`.
        num_classes: K.
        held: True for the rows to choose by, `(N,)`: whole groups, of which no other row is trained on.
    """
    train, train_labels = inputs[~held], labels[~held]
    chosen, lowest = PENALTIES[0], float("inf")
    for penalty in PENALTIES:
        weight, bias = fit_linear(train, train_labels, num_classes, penalty, CHOICE_TOLERANCE)
        loss = float(nn.functional.cross_entropy(inputs[held] @ weight + bias, labels[held]))
        if not loss < lowest:
            break
        chosen, lowest = penalty, loss
    return chosen, lowest


def fit_linear(
    inputs: torch.Tensor,
    labels: torch.Tensor,
    num_classes: int,
    penalty: float = 1.0,
    tolerance: float = LOSS_TOLERANCE,
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
        tolerance: Change of the loss, in nats a row, at which the search ends.
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
        tolerance_change=tolerance,
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


def fit_mlp(inputs: torch.Tensor, labels: torch.Tensor, num_classes: int, held: torch.Tensor, seed: int):
    """A probe with one hidden layer, at the epoch that was best on held-out training rows.

    Args:
        inputs, labels, num_classes, held: As for [`choose_penalty`].
        seed: Of the initialisation and the order of rows. The global random state is left as it was.

    Returns:
        Function from inputs `(N, D)` to logits `(N, K)`; its cross-entropy on the held-out rows in nats.
    """
    devices = [inputs.device] if inputs.device.type == "cuda" else []
    with torch.random.fork_rng(devices), torch.enable_grad():
        torch.manual_seed(seed)
        probe = nn.Sequential(
            nn.Linear(inputs.shape[1], HIDDEN_SIZE), nn.ReLU(), nn.Linear(HIDDEN_SIZE, num_classes)
        ).to(inputs.device)
        loss = _train_mlp(probe, inputs, labels, held, seed)
        return torch.no_grad()(probe), loss


def _train_mlp(probe: nn.Module, inputs, labels, held: torch.Tensor, seed: int) -> float:
    """Trains the probe in place and gives back its lowest cross-entropy on the held-out rows."""
    rows, held_rows = (~held).nonzero()[:, 0], held.nonzero()[:, 0]
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
    return best_loss
