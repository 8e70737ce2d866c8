# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Smaller feed-forward networks for a pretrained encoder, without training (ours; the paper keeps its encoder whole).

A network's second layer reads neurons whose values on speech follow from one another. Neurons that the others say best
are taken out one group after the other, as in Optimal Brain Surgeon (Hassibi and Stork 1993), with the second layer as
the quadratic problem: its weights are then those that come nearest, by least squares, to what it gave before.
"""

from collections.abc import Iterable
from functools import partial

import torch
from torch import nn
from transformers import PreTrainedModel
from transformers.feature_extraction_utils import BatchFeature


# Neurons taken out together, and those that they are chosen from one by one: which of all the output needs least
# is found anew after each group only.
GROUP = 16
CANDIDATES = 64
# Share of the neurons' mean variance that is added to each variance: silent neurons have none.
RIDGE = 1e-4


@torch.no_grad()
def prune_feed_forward(encoder: PreTrainedModel, intermediate_size: int, inputs: Iterable[BatchFeature]) -> float:
    """Leave so many neurons in each feed-forward network of an encoder, in place.

    Args:
        encoder: of this project, or another whose networks are two linear layers, with biases, around its
            `intermediate_size` neurons.
        intermediate_size: how many neurons each network keeps.
        inputs: arguments of the encoder, such as `input_features` of one utterance, (1, num_frames, num_mel_bins)
            each; some hundred utterances like those it will get. Not touched where the size is wrong.

    Returns:
        Largest share of the variance of a network's output that is lost, in [0, 1].

    Raises:
        ValueError: a size that is not smaller than the encoder's own, an encoder without such networks, no speech.
    """
    networks, size = feed_forward_networks(encoder), encoder.config.intermediate_size
    if not 1 <= intermediate_size < size:
        raise ValueError(f"`intermediate_size` must be from 1 to below the encoder's {size}, not {intermediate_size}.")
    inputs = list(inputs)
    if not inputs:
        raise ValueError("Neurons are chosen by what they do on speech: there is no utterance.")
    statistics = neuron_statistics(encoder, [second for _, second in networks], inputs)
    lost = [
        prune_network(first, second, intermediate_size, *moments)
        for (first, second), moments in zip(networks, statistics, strict=True)
    ]
    encoder.config.intermediate_size = intermediate_size
    return max(lost)


def feed_forward_networks(encoder: PreTrainedModel) -> list[tuple[nn.Linear, nn.Linear]]:
    """First and second layer of each feed-forward network, in the encoder's order.

    Raises:
        ValueError: there is none.
    """
    size = getattr(encoder.config, "intermediate_size", None)
    networks = []
    for module in encoder.modules():
        layers = [layer for layer in module.children() if isinstance(layer, nn.Linear) and layer.bias is not None]
        first = [layer for layer in layers if layer.out_features == size != layer.in_features]
        second = [layer for layer in layers if layer.in_features == size != layer.out_features]
        if len(first) == len(second) == 1:
            networks.append((first[0], second[0]))
    if not networks:
        raise ValueError(
            f"`{encoder.config.model_type}` has no feed-forward networks of two linear layers with biases "
            "that could be pruned."
        )
    return networks


def prune_network(
    first: nn.Linear, second: nn.Linear, keep: int, mean: torch.Tensor, covariance: torch.Tensor
) -> float:
    """Leave `keep` of N neurons between two layers, in place; gives the share of the output's variance that is lost.

    Args:
        first: makes the neurons, D to N.
        second: reads them, N to D.
        keep: how many stay.
        mean: of what `second` reads, `(N,)`.
        covariance: of the same, `(N, N)`.
    """
    weight = second.weight.double()
    kept = chosen_neurons(weight, covariance, keep)
    among_kept = covariance[kept][:, kept] + ridge(covariance)[kept][:, kept]
    refitted = torch.linalg.solve(among_kept, covariance[kept] @ weight.T).T
    # What is constant in the neurons that go stays, in the bias.
    bias = second.bias.double() + weight @ mean - refitted @ mean[kept]
    change = weight.clone()
    change[:, kept] -= refitted
    lost = torch.sum(change @ covariance * change) / torch.sum(weight @ covariance * weight)
    first.weight, first.bias = nn.Parameter(first.weight[kept]), nn.Parameter(first.bias[kept])
    second.weight, second.bias = nn.Parameter(refitted.to(second.weight)), nn.Parameter(bias.to(second.bias))
    first.out_features = second.in_features = keep
    return float(lost)


def neuron_statistics(
    encoder: PreTrainedModel, layers: list[nn.Linear], inputs: list[BatchFeature]
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Mean (N,) and covariance (N, N) of what each layer reads, over the frames of utterances, in double precision."""
    size, device = encoder.config.intermediate_size, layers[0].weight.device
    totals = torch.zeros(len(layers), size, dtype=torch.float64, device=device)
    products = torch.zeros(len(layers), size, size, dtype=torch.float64, device=device)
    num_frames = 0

    def add(index: int, module: nn.Module, arguments: tuple[torch.Tensor]) -> None:
        nonlocal num_frames
        values = arguments[0].flatten(0, -2).float()
        totals[index] += values.sum(0)
        products[index] += values.T @ values
        num_frames += len(values) if index == 0 else 0

    hooks = [layer.register_forward_pre_hook(partial(add, index)) for index, layer in enumerate(layers)]
    was_training = encoder.training
    encoder.eval()
    try:
        for utterance in inputs:
            encoder(**utterance.to(device))
    finally:
        for hook in hooks:
            hook.remove()
        encoder.train(was_training)
    means = totals / num_frames
    return [
        (mean, product / num_frames - torch.outer(mean, mean)) for mean, product in zip(means, products, strict=True)
    ]


def chosen_neurons(weight: torch.Tensor, covariance: torch.Tensor, keep: int) -> torch.Tensor:
    """Which neurons stay, in ascending order (keep,).

    Args:
        weight: of the layer that reads the neurons, (D, N).
        covariance: of the neurons, (N, N).
        keep: how many stay.
    """
    weight = weight.clone()
    inverse = torch.linalg.inv(covariance + ridge(covariance))
    left = torch.ones(len(covariance), dtype=torch.bool, device=weight.device)
    while (surplus := int(left.sum()) - keep) > 0:
        losses = losses_without(weight, inverse).masked_fill(~left, float("inf"))
        candidates = losses.topk(min(CANDIDATES, int(left.sum())), largest=False).indices
        order = elimination_order(weight[:, candidates], inverse[candidates][:, candidates], min(GROUP, surplus))
        gone = candidates[order]
        update = torch.linalg.solve(inverse[gone][:, gone], inverse[gone])
        weight -= weight[:, gone] @ update
        inverse -= inverse[:, gone] @ update
        left[gone] = False
        inverse[gone, gone] = 1.0  # no division by zero; the rest of these rows is zero
    return left.nonzero()[:, 0]


def losses_without(weight: torch.Tensor, inverse: torch.Tensor) -> torch.Tensor:
    """What the output (D, N) of neurons with an inverse covariance (N, N) loses where one goes, (N,).

    The other neurons make up for it as well as they can.
    """
    return weight.pow(2).sum(0) / inverse.diagonal()


def elimination_order(weight: torch.Tensor, inverse: torch.Tensor, count: int) -> list[int]:
    """The first `count` of N neurons that go where they go one by one; of two alike, one. See [`losses_without`]."""
    weight, inverse, order = weight.clone(), inverse.clone(), []
    for _ in range(count):
        losses = losses_without(weight, inverse)
        losses[order] = float("inf")
        gone = int(losses.argmin())
        update = inverse[gone] / inverse[gone, gone]
        weight -= torch.outer(weight[:, gone], update)
        inverse -= torch.outer(inverse[:, gone].clone(), update)
        order.append(gone)
        inverse[gone, gone] = 1.0
    return order


def ridge(covariance: torch.Tensor) -> torch.Tensor:
    """What makes a covariance (N, N) of neurons that are silent, or repeat each other, invertible."""
    size = RIDGE * covariance.diagonal().mean().clamp(min=1e-12)
    return size * torch.eye(len(covariance), dtype=covariance.dtype, device=covariance.device)
