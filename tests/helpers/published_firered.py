# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""FireRedASR's encoder as it is published, restated from its description in plain operations on its weights.

Nothing of the package is used here: names of weights, shapes and order of computation are those of
github.com/FireRedTeam/FireRedASR, and what that computes is spelled out, relative positions pair by pair.
"""

import argparse
import math
import struct
from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import conv1d, conv2d, glu, layer_norm, linear, pad, silu


def arguments(**changes) -> argparse.Namespace:
    """What a published checkpoint says it was built with, of an encoder of two layers, and of its decoder."""
    encoder = {"idim": 80, "n_layers_enc": 2, "n_head": 4, "d_model": 32, "kernel_size": 7, "pe_maxlen": 5000}
    dropout = {"residual_dropout": 0.1, "dropout_rate": 0.2}
    decoder = {"odim": 50, "n_layers_dec": 1, "sos_id": 3, "eos_id": 4, "pad_id": 2}
    return argparse.Namespace(**{**encoder, **dropout, **decoder, **changes})


def shapes(args: argparse.Namespace) -> dict[str, tuple[int, ...]]:
    """Weights of the published encoder."""
    size, wide = args.d_model, 2 * args.d_model
    mel = ((args.idim - 1) // 2 - 1) // 2
    found = {
        "input_preprocessor.conv.0.weight": (32, 1, 3, 3),
        "input_preprocessor.conv.0.bias": (32,),
        "input_preprocessor.conv.2.weight": (32, 32, 3, 3),
        "input_preprocessor.conv.2.bias": (32,),
        "input_preprocessor.out.weight": (size, 32 * mel),
        "input_preprocessor.out.bias": (size,),
        "positional_encoding.pe": (1, 9999, size),
    }
    for layer in range(args.n_layers_enc):
        block = {
            "mhsa.pos_bias_u": (args.n_head, size // args.n_head),
            "mhsa.pos_bias_v": (args.n_head, size // args.n_head),
            "conv.pointwise_conv1.weight": (2 * wide, size, 1),
            "conv.depthwise_conv.weight": (wide, 1, args.kernel_size),
            "conv.pointwise_conv2.weight": (size, wide, 1),
        }
        for name in ("w_qs", "w_ks", "w_vs", "fc", "linear_pos"):
            block[f"mhsa.{name}.weight"] = (size, size)
        for name in ("ffn1", "ffn2"):
            block[f"{name}.net.1.weight"], block[f"{name}.net.1.bias"] = (4 * size, size), (4 * size,)
            block[f"{name}.net.4.weight"], block[f"{name}.net.4.bias"] = (size, 4 * size), (size,)
        norms = ["ffn1.net.0", "ffn2.net.0", "mhsa.layer_norm_q", "mhsa.layer_norm_k", "mhsa.layer_norm_v"]
        for name in (*norms, "conv.pre_layer_norm", "conv.batch_norm", "layer_norm"):
            width = wide if name == "conv.batch_norm" else size
            block[f"{name}.weight"] = block[f"{name}.bias"] = (width,)
        found |= {f"layer_stack.{layer}.{name}": shape for name, shape in block.items()}
    return found


def random_weights(args: argparse.Namespace, seed: int = 0) -> dict[str, torch.Tensor]:
    """Weights under which outputs differ; those of norms are around one, as a check that each norm has its own."""
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for name, shape in shapes(args).items():
        draw = torch.randn(shape, generator=generator)
        if "norm" in name or ".net.0." in name:
            weights[name] = 1 + 0.3 * draw if name.endswith("weight") else 0.3 * draw
        else:
            weights[name] = draw / math.sqrt(max(1, math.prod(shape[1:])))
    return weights


def encode(weights: dict[str, torch.Tensor], args: argparse.Namespace, features: torch.Tensor, lengths: list[int]):
    """Frames `(B, T', D)` of padded features `(B, T, F)` and the number of valid ones of each row."""
    hidden = pad(features, (0, 0, 0, 6))[:, None]
    for index in (0, 2):
        name = f"input_preprocessor.conv.{index}"
        hidden = conv2d(hidden, weights[f"{name}.weight"], weights[f"{name}.bias"], stride=2).relu()
    hidden = hidden.permute(0, 2, 1, 3).reshape(len(features), hidden.shape[2], -1)
    hidden = linear(hidden, weights["input_preprocessor.out.weight"], weights["input_preprocessor.out.bias"])
    # A frame is valid if the first of its seven features is.
    counts = [len(range(0, length, 4)) for length in lengths]
    valid = torch.arange(hidden.shape[1])[None, :] < torch.tensor(counts)[:, None]
    for layer in range(args.n_layers_enc):
        own = {name.split(".", 2)[2]: w for name, w in weights.items() if name.startswith(f"layer_stack.{layer}.")}
        hidden = 0.5 * hidden + 0.5 * feed_forward(own, "ffn1", hidden)
        hidden = attention(own, args, hidden, valid)
        hidden = convolution(own, args, hidden, valid)
        hidden = 0.5 * hidden + 0.5 * feed_forward(own, "ffn2", hidden)
        hidden = norm(own, "layer_norm", hidden)
    return hidden, counts


def norm(own, name, x):
    return layer_norm(x, x.shape[-1:], own[f"{name}.weight"], own[f"{name}.bias"])


def feed_forward(own, name, x):
    inner = silu(linear(norm(own, f"{name}.net.0", x), own[f"{name}.net.1.weight"], own[f"{name}.net.1.bias"]))
    return x + linear(inner, own[f"{name}.net.4.weight"], own[f"{name}.net.4.bias"])


def attention(own, args, x, valid):
    batch, frames, size = x.shape
    heads = (batch, frames, args.n_head, size // args.n_head)
    query, key, value = (
        linear(norm(own, f"mhsa.layer_norm_{which}", x), own[f"mhsa.w_{which}s.weight"]).view(heads) for which in "qkv"
    )
    by_content = torch.einsum("bihd,bjhd->bhij", query + own["mhsa.pos_bias_u"], key)
    # Sinusoids of how far each key is before each query.
    distance = torch.arange(frames)[:, None] - torch.arange(frames)[None, :]
    rates = 10000 ** (-torch.arange(0, size, 2) / size)
    table = torch.zeros(frames, frames, size)
    table[..., 0::2], table[..., 1::2] = (distance[..., None] * rates).sin(), (distance[..., None] * rates).cos()
    table = linear(table, own["mhsa.linear_pos.weight"]).view(frames, frames, *heads[2:])
    by_place = torch.einsum("bihd,ijhd->bhij", query + own["mhsa.pos_bias_v"], table)
    scores = (by_content + by_place) / math.sqrt(heads[-1])
    weights = scores.masked_fill(~valid[:, None, None, :], -torch.inf).softmax(-1)
    return x + linear(torch.einsum("bhij,bjhd->bihd", weights, value).reshape(x.shape), own["mhsa.fc.weight"])


def convolution(own, args, x, valid):
    inner = norm(own, "conv.pre_layer_norm", x).transpose(1, 2).masked_fill(~valid[:, None], 0.0)
    inner = glu(conv1d(inner, own["conv.pointwise_conv1.weight"]), dim=1)
    side = args.kernel_size // 2
    inner = conv1d(inner, own["conv.depthwise_conv.weight"], padding=side, groups=inner.shape[1])
    inner = silu(norm(own, "conv.batch_norm", inner.transpose(1, 2))).transpose(1, 2)
    inner = conv1d(inner, own["conv.pointwise_conv2.weight"]).masked_fill(~valid[:, None], 0.0)
    return x + inner.transpose(1, 2)


def write_kaldi_matrix(file: Path, matrix: np.ndarray) -> None:
    """A binary matrix as Kaldi writes it."""
    kind = {"float32": b"FM ", "float64": b"DM "}[matrix.dtype.name]
    sizes = b"".join(b"\4" + struct.pack("<i", size) for size in matrix.shape)
    file.write_bytes(b"\0B" + kind + sizes + matrix.tobytes())


def write_checkpoint(folder: Path, **changes) -> dict[str, torch.Tensor]:
    """What the Hub's repository holds, of a small model with its decoder; gives the encoder's weights."""
    folder.mkdir(parents=True, exist_ok=True)
    args = arguments(**changes)
    weights = random_weights(args)
    state = {f"encoder.{name}": weight for name, weight in weights.items()}
    state["decoder.tgt_word_emb.weight"] = torch.randn(args.odim, args.d_model)
    torch.save({"args": args, "model_state_dict": state}, folder / "model.pth.tar")
    rng = np.random.default_rng(0)
    mean, std = rng.normal(12, 2, args.idim), rng.uniform(2, 4, args.idim)
    count = 5000.0
    statistics = np.array([[*(mean * count), count], [*((std**2 + mean**2) * count), 0.0]])
    write_kaldi_matrix(folder / "cmvn.ark", statistics)
    for name in ("config.yaml", "dict.txt", "train_bpe1000.model"):
        (folder / name).write_text("\n")
    return weights
