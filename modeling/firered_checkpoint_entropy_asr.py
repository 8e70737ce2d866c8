# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Checkpoints as FireRedASR publishes them, read as [`EntropyASRFireRedEncoder`] and its features.

They have no configuration of transformers: `model.pth.tar` holds the arguments that the model was built with, and
weights; `cmvn.ark` holds Kaldi's statistics of the features. Of an attention encoder-decoder (FireRedASR-AED-L) the
encoder is taken.
"""

import argparse
import os
import pickle
import re
import zipfile
from typing import Any

import numpy as np
import torch
from huggingface_hub.errors import StrictDataclassError
from transformers.utils import cached_file

from .configuration_entropy_asr import EntropyASRFireRedEncoderConfig
from .feature_extraction_entropy_asr import EntropyASRFeatureExtractor
from .modeling_entropy_asr_firered import EntropyASRFireRedEncoder


WEIGHTS_FILE, CMVN_FILE = "model.pth.tar", "cmvn.ark"
# Where the encoder is in the published model.
PREFIX = "encoder."
# Published names and ours, in the order in which they are exchanged.
RENAMED = (
    (r"^input_preprocessor\.conv\.0\.", "subsampling.conv1."),
    (r"^input_preprocessor\.conv\.2\.", "subsampling.conv2."),
    (r"^input_preprocessor\.out\.", "subsampling.projection."),
    (r"^layer_stack\.", "layers."),
    (r"\.ffn([12])\.net\.0\.", r".feed_forward\1.norm."),
    (r"\.ffn([12])\.net\.1\.", r".feed_forward\1.up_proj."),
    (r"\.ffn([12])\.net\.4\.", r".feed_forward\1.down_proj."),
    (r"\.mhsa\.layer_norm_([qkv])\.", r".self_attn.norm_\1."),
    (r"\.mhsa\.w_([qkv])s\.", r".self_attn.\1_proj."),
    (r"\.mhsa\.fc\.", ".self_attn.o_proj."),
    (r"\.mhsa\.linear_pos\.", ".self_attn.position_proj."),
    (r"\.mhsa\.pos_bias_u$", ".self_attn.content_bias"),
    (r"\.mhsa\.pos_bias_v$", ".self_attn.position_bias"),
    (r"\.conv\.pre_layer_norm\.", ".conv.norm_in."),
    (r"\.conv\.pointwise_conv([12])\.", r".conv.pointwise\1."),
    (r"\.conv\.depthwise_conv\.", ".conv.depthwise."),
    (r"\.conv\.batch_norm\.", ".conv.norm."),  # a LayerNorm, whatever it is called
    (r"(layers\.\d+)\.layer_norm\.", r"\1.norm_out."),
)
# A table of sinusoids, which are computed here.
LEFT_OUT = "positional_encoding."
# Arguments of the published model and fields of our configuration.
ARGUMENTS = {
    "idim": "num_mel_bins",
    "n_layers_enc": "num_hidden_layers",
    "n_head": "num_attention_heads",
    "d_model": "hidden_size",
    "kernel_size": "conv_kernel_size",
    "residual_dropout": "hidden_dropout",
    "dropout_rate": "activation_dropout",
}
# Fields that no argument says, by the weights that have so many rows.
WIDTHS = {
    "subsampling_channels": "subsampling.conv1.weight",
    "intermediate_size": "layers.0.feed_forward1.up_proj.weight",
}


def is_firered(path: str, **hub_kwargs) -> bool:
    """Whether a folder or Hub repository without a configuration holds what FireRedASR publishes."""
    try:
        # Of the two files the small one: all of it may have to be fetched.
        return cached_file(path, CMVN_FILE, _raise_exceptions_for_missing_entries=False, **hub_kwargs) is not None
    except OSError:  # no such repository, or no connection
        return False


def read_encoder(path: str, **hub_kwargs) -> tuple[EntropyASRFireRedEncoderConfig, dict[str, torch.Tensor]]:
    """Configuration and weights of the encoder of a published checkpoint; nothing in its file is executed.

    Args:
        path: folder or Hub id.

    Raises:
        OSError: it has no weights.
        ValueError: a file that cannot be read, or is not of the published layout.
    """
    file = cached_file(path, WEIGHTS_FILE, **hub_kwargs)
    checkpoint = _load_file(file)
    arguments, published = [checkpoint.get(name) for name in ("args", "model_state_dict")]
    if not isinstance(arguments, argparse.Namespace) or not isinstance(published, dict):
        raise ValueError(f"{file} must hold `args` and `model_state_dict`, as FireRedASR publishes them.")
    weights = {}
    for name, weight in published.items():
        if name.startswith(PREFIX) and not name.startswith(PREFIX + LEFT_OUT):
            weights[own_name(name.removeprefix(PREFIX))] = weight
    missing = sorted(set(ARGUMENTS) - set(vars(arguments)))
    if missing or not weights:
        what = f"`args` lacks {', '.join(missing)}" if missing else f"no weight is called `{PREFIX}...`"
        raise ValueError(f"{file} is not a FireRedASR encoder-decoder: {what}.")
    config = _configuration(file, arguments, weights)
    # Published as convolutions over one frame.
    weights = {name: weight.squeeze(-1) if ".pointwise" in name else weight for name, weight in weights.items()}
    _check_weights(file, config, weights)
    return config, weights


def own_name(name: str) -> str:
    """Name of a weight in [`EntropyASRFireRedEncoder`], from that in the published encoder."""
    for pattern, replacement in RENAMED:
        name = re.sub(pattern, replacement, name)
    return name


def _load_file(file: str) -> dict[str, Any]:
    """What `torch.save` wrote, of tensors and arguments alone: other objects could run code, and are refused."""
    try:
        with torch.serialization.safe_globals([argparse.Namespace]):
            # Mapped, so that of gigabytes only the encoder's are read.
            checkpoint = torch.load(file, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(file))
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL (\S+)", str(error))
        if found is None:
            raise ValueError(f"{file} cannot be read: `torch.save` has not written it.") from error
        raise ValueError(
            f"{file} is not loaded, since it could run code: beside tensors it holds {found[1]}."
        ) from error
    except (RuntimeError, EOFError, KeyError, ValueError) as error:
        raise ValueError(f"{file} cannot be read: it is damaged, or its end is missing.") from error
    if not isinstance(checkpoint, dict):
        raise ValueError(f"{file} holds a {type(checkpoint).__name__}, not a dictionary as FireRedASR publishes it.")
    return checkpoint


def _configuration(
    file: str, arguments: argparse.Namespace, weights: dict[str, torch.Tensor]
) -> EntropyASRFireRedEncoderConfig:
    """Configuration of this encoder, from published arguments, and from weights where no argument says it."""
    fields = {field: getattr(arguments, name) for name, field in ARGUMENTS.items()}
    fields |= {field: len(weights[name]) for field, name in WIDTHS.items() if name in weights}
    try:
        return EntropyASRFireRedEncoderConfig(**fields)
    except StrictDataclassError as error:
        reason = str(error.__cause__ or error).strip()
        raise ValueError(f"{file}: `args` describe no encoder that can be built: {reason}") from error


def _check_weights(file: str, config: EntropyASRFireRedEncoderConfig, weights: dict[str, torch.Tensor]) -> None:
    """Refuse weights that are not the encoder's: what is missing would be taken at random."""
    with torch.device("meta"):
        expected = {name: weight.shape for name, weight in EntropyASRFireRedEncoder(config).state_dict().items()}
    found = {name: weight.shape for name, weight in weights.items()}
    wrong = {name: "missing" for name in expected if name not in found}
    wrong |= {name: "unknown" for name in found if name not in expected}
    for name in set(expected) & set(found):
        if expected[name] != found[name]:
            wrong[name] = f"{tuple(found[name])} instead of {tuple(expected[name])}"
    if wrong:
        some = "; ".join(f"{name}: {wrong[name]}" for name in sorted(wrong)[:4])
        more = f", and {len(wrong) - 4} more" if len(wrong) > 4 else ""
        raise ValueError(f"{file} does not hold the encoder that its `args` describe ({some}{more}).")


def read_feature_extractor(path: str, **hub_kwargs) -> EntropyASRFeatureExtractor:
    """Features of a published checkpoint: Kaldi's filterbank, normalised by its `cmvn.ark`.

    Args:
        path: folder or Hub id.

    Raises:
        OSError: there is no such file.
        ValueError: a file that cannot be read.
    """
    mean, std = read_cmvn(cached_file(path, CMVN_FILE, **hub_kwargs))
    return EntropyASRFeatureExtractor(feature_size=len(mean), cmvn_mean=mean, cmvn_std=std)


def read_cmvn(file: str | os.PathLike) -> tuple[list[float], list[float]]:
    """Mean and standard deviation of each channel from Kaldi's statistics.

    Those are a matrix of two rows, sums and sums of squares, with the number of frames behind the sums.

    Raises:
        ValueError: a file that is no such matrix.
    """
    statistics = read_kaldi_matrix(file).astype(np.float64)
    if statistics.shape[0] != 2 or statistics.shape[1] < 2 or not statistics[0, -1] >= 1:
        raise ValueError(f"{file} is no statistics of features: two rows, and a number of frames behind the first.")
    mean, square = statistics[:, :-1] / statistics[0, -1]
    std = np.sqrt(np.maximum(square - mean**2, 1e-20))
    if not (np.isfinite(mean).all() and np.isfinite(std).all()):
        raise ValueError(f"{file} has statistics that are not finite.")
    return mean.tolist(), std.tolist()


def read_kaldi_matrix(file: str | os.PathLike) -> np.ndarray:
    """A matrix that Kaldi wrote into a file of its own, in binary, uncompressed.

    The layout: zero, "B", "FM " or "DM " for 4 or 8 bytes a value, then rows and columns, each as a byte 4 and an
    int32, then the values row by row; all little-endian (Kaldi, matrix/kaldi-matrix.cc).

    Raises:
        ValueError: something else is in the file.
    """
    with open(file, "rb") as opened:
        content = opened.read()
    kind = {b"\0BFM ": np.dtype("<f4"), b"\0BDM ": np.dtype("<f8")}.get(content[:5])
    if kind is None or len(content) < 15:
        raise ValueError(f"{file} does not begin as a binary matrix of Kaldi's does.")
    rows, columns = [int.from_bytes(content[start : start + 4], "little", signed=True) for start in (6, 11)]
    if content[5] != 4 or content[10] != 4 or min(rows, columns) < 1:
        raise ValueError(f"{file} does not say how many rows and columns its matrix has.")
    if len(content) - 15 != rows * columns * kind.itemsize:
        values = (len(content) - 15) // kind.itemsize
        raise ValueError(f"{file} has {values} values in place of the {rows} times {columns} that it states.")
    return np.frombuffer(content, kind, offset=15).reshape(rows, columns)


__all__ = ["is_firered", "read_cmvn", "read_encoder", "read_feature_extractor"]
