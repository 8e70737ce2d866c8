# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The language model of a checkpoint as one GGUF file, which llama.cpp runs.

It reads `audio_embeddings` of `encoder.onnx` between the prompt tokens of `encoder.json`; `run_gguf.py` shows how.
"""

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import gguf
import torch
from transformers.modeling_utils import PreTrainedModel
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from .model_export import plain_language_model


# Language models whose weights llama.cpp takes as they are, by their type in transformers.
ARCHITECTURES = {"qwen2": gguf.MODEL_ARCH.QWEN2, "qwen3": gguf.MODEL_ARCH.QWEN3}
# How matrices may be stored; vectors stay in float32.
TYPES = {
    "f32": (gguf.GGMLQuantizationType.F32, gguf.LlamaFileType.ALL_F32),
    "f16": (gguf.GGMLQuantizationType.F16, gguf.LlamaFileType.MOSTLY_F16),
    "bf16": (gguf.GGMLQuantizationType.BF16, gguf.LlamaFileType.MOSTLY_BF16),
    "q8_0": (gguf.GGMLQuantizationType.Q8_0, gguf.LlamaFileType.MOSTLY_Q8_0),
}
FILE = "language_model.gguf"
SCRIPT = Path(__file__).with_name("run_gguf.py")
# Letters of bytes in byte-level vocabularies: printable ones stand for themselves, the others are moved up.
_PRINTABLE = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
_MOVED = [byte for byte in range(256) if byte not in _PRINTABLE]
BYTES = {chr(byte): byte for byte in _PRINTABLE} | {chr(256 + place): byte for place, byte in enumerate(_MOVED)}


def export_gguf(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path, kind: str = "f16") -> None:
    """Write the language model of a full model as GGUF, and what runs it behind the exported encoder.

    Args:
        model: the full model, with its adapters merged.
        tokenizer: of its language model.
        folder: made where it is not there; gets `language_model.gguf` and `run_gguf.py`.
        kind: how matrices are stored: "f32", "f16", "bf16" or "q8_0" (8 bits and a scale for each 32 weights).

    Raises:
        ValueError: a language model or a tokenizer that llama.cpp would read otherwise.
    """
    folder.mkdir(parents=True, exist_ok=True)
    write_gguf(plain_language_model(model), tokenizer, folder / FILE, kind)
    shutil.copyfile(SCRIPT, folder / SCRIPT.name)


def write_gguf(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, path: Path, kind: str = "f16") -> None:
    """Write a causal language model of transformers; arguments and errors as of [`export_gguf`].

    Args:
        path: the file.
    """
    if kind not in TYPES:
        raise ValueError(f"matrices of GGUF files are stored as {', '.join(TYPES)} here, not {kind!r}")
    config = model.config
    _check_layers(config)
    described = _tokenizer_entries(tokenizer, config.vocab_size)
    tensor_type, file_type = TYPES[kind]
    architecture = ARCHITECTURES[config.model_type]
    writer = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[architecture], use_temp_file=True)
    _add_sizes(writer, config)
    writer.add_file_type(file_type)
    for add, value in described.items():
        getattr(writer, add)(value)
    generation = model.generation_config
    writer.add_eos_token_id(torch.tensor(generation.eos_token_id).reshape(-1)[0].item())
    writer.add_pad_token_id(generation.pad_token_id)
    if generation.suppress_tokens:
        writer.add_array("tokenizer.ggml.suppress_tokens", list(generation.suppress_tokens))
    _add_tensors(writer, model, architecture, tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _check_layers(config: Any) -> None:
    """Refuse what the file would not say.

    Raises:
        ValueError: naming it.
    """
    if config.model_type not in ARCHITECTURES:
        raise ValueError(
            f"language models of type {config.model_type!r} are not written as GGUF here, only "
            f"{', '.join(ARCHITECTURES)}: export the plain checkpoint, and let llama.cpp's converter write it"
        )
    rope = (config.rope_parameters or {}).get("rope_type", "default")
    if rope != "default":
        raise ValueError(f"rotary positions of type {rope!r} are not written as GGUF here")
    if set(config.layer_types) != {"full_attention"}:
        raise ValueError("layers with a sliding window are not written as GGUF here")


def _add_sizes(writer: gguf.GGUFWriter, config: Any) -> None:
    """What llama.cpp builds the model from."""
    head_size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_key_length(head_size)
    writer.add_value_length(head_size)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(head_size)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(config.vocab_size)


def _add_tensors(
    writer: gguf.GGUFWriter,
    model: PreTrainedModel,
    architecture: gguf.MODEL_ARCH,
    tensor_type: gguf.GGMLQuantizationType,
) -> None:
    """Weights by llama.cpp's names; an output that is the embedding is not written twice."""
    names = gguf.get_tensor_name_map(architecture, model.config.num_hidden_layers)
    is_tied = model.get_output_embeddings().weight is model.get_input_embeddings().weight
    for name, tensor in model.state_dict().items():
        if is_tied and name == "lm_head.weight":
            continue
        values = tensor.detach().cpu().float().numpy()
        wanted = gguf.GGMLQuantizationType.F32 if values.ndim == 1 else tensor_type
        if wanted is gguf.GGMLQuantizationType.Q8_0 and values.shape[-1] % 32:
            wanted = gguf.GGMLQuantizationType.F16
        written = names.get_name(name, try_suffixes=(".weight", ".bias"))
        writer.add_tensor(written, gguf.quants.quantize(values, wanted), raw_dtype=wanted)


def _tokenizer_entries(tokenizer: PreTrainedTokenizerBase, vocab_size: int) -> dict[str, Any]:
    """Arguments of the writer's methods that describe a tokenizer, by their names.

    Raises:
        ValueError: llama.cpp would cut texts into other tokens.
    """
    described = json.loads(tokenizer.backend_tokenizer.to_str())
    if described["model"]["type"] != "BPE":
        raise ValueError(f"tokenizers of type {described['model']['type']} are not written as GGUF here, only BPE")
    vocabulary = described["model"]["vocab"]
    added = {token["id"]: token for token in described["added_tokens"]}
    by_id = {index: token for token, index in vocabulary.items()}
    by_id |= {index: token["content"] for index, token in added.items()}
    tokens, types = [], []
    for index in range(vocab_size):
        tokens.append(by_id.get(index, f"[PAD{index}]"))
        types.append(_token_type(index, by_id, added))
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in described["model"]["merges"]]
    ordinary = [token for token, index in vocabulary.items() if index not in added]
    return {
        "add_tokenizer_model": "gpt2",
        "add_tokenizer_pre": pre_tokenizer_name(described["pre_tokenizer"], ordinary),
        "add_token_list": tokens,
        "add_token_types": types,
        "add_token_merges": merges,
        "add_add_bos_token": False,
    }


def _token_type(index: int, by_id: Mapping[int, str], added: Mapping[int, dict[str, Any]]) -> gguf.TokenType:
    if index not in by_id:
        return gguf.TokenType.UNUSED
    if index not in added:
        return gguf.TokenType.NORMAL
    return gguf.TokenType.CONTROL if added[index]["special"] else gguf.TokenType.USER_DEFINED


def pre_tokenizer_name(described: Mapping[str, Any], tokens: Sequence[str]) -> str:
    """What llama.cpp calls a way to cut texts before pairs are merged: "gpt-2" or "qwen2".

    Args:
        described: the pre-tokenizer, as `tokenizer.json` has it.
        tokens: of the vocabulary, in letters of bytes, without added ones.

    Raises:
        ValueError: it has no name for it.
    """
    steps = described.get("pretokenizers", [described])
    patterns = [step["pattern"].get("Regex", "") for step in steps if step["type"] == "Split"]
    last = steps[-1]
    if last["type"] == "ByteLevel" and not last["add_prefix_space"] and len(patterns) == len(steps) - 1:
        if not last["use_regex"] and len(patterns) == 1 and _is_qwens(patterns[0]):
            return "qwen2"
        # Cuts around single characters change nothing where no token reaches over them.
        if last["use_regex"] and all(_keeps_apart(pattern, tokens) for pattern in patterns):
            return "gpt-2"
    raise ValueError("the tokenizer cuts texts in a way that llama.cpp has no name for")


def _is_qwens(pattern: str) -> bool:
    """Whether it is the pattern of Qwen2 and Qwen3: words with one mark before them, digits one by one."""
    return pattern == (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
        r"\s+(?!\S)|\s+"
    )


def _keeps_apart(pattern: str, tokens: Sequence[str]) -> bool:
    """Whether a pattern is of single characters, and no token has one of them, or its beginning, beside another.

    The end of a cut character at a token's beginning is let pass: it is the end of one of the pattern only in texts
    where a letter follows that is written behind others of its bytes, as ː is behind ɜ.
    """
    if not re.fullmatch(r"\[[^\[\]]+\]", pattern):
        return False
    wanted, first_bytes = re.compile(pattern), _first_bytes(pattern)
    return not any(_reaches_over(wanted, first_bytes, bytes(BYTES[letter] for letter in token)) for token in tokens)


@lru_cache(maxsize=2)
def _first_bytes(pattern: str) -> set[int]:
    """First bytes, in UTF-8, of the characters of a pattern."""
    wanted = re.compile(pattern)
    characters = map(chr, (*range(0x80, 0xD800), *range(0xE000, 0x110000)))
    return {one.encode()[0] for one in characters if wanted.match(one)}


def _reaches_over(pattern: re.Pattern, first_bytes: set[int], token: bytes) -> bool:
    """Whether a token has a character of a pattern, or the beginning of one, beside another."""
    if all(0x80 <= byte < 0xC0 for byte in token[1:]):  # all of it belongs to one character
        return False
    characters = token.decode("utf-8", errors="surrogateescape")
    return any(ord(one) - 0xDC00 in first_bytes or pattern.match(one) for one in characters)


__all__ = ["export_gguf", "pre_tokenizer_name", "write_gguf"]
