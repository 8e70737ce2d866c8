# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""A checkpoint for those who do not have this package: its encoder as ONNX, its language model as one of transformers.

The encoder's folder holds the two graphs (`encoder.onnx`, `encoder_streaming.onnx`), `encoder.json` (tensors, chunks,
feature settings, phonemes), `features.npz` (arrays of the features) and `run_onnx.py`, which shows how they are used.
"""

import copy
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForCausalLM
from transformers.modeling_utils import PreTrainedModel
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from .onnx_graphs import (
    NEXT_STATE,
    STATE,
    ChunkGraph,
    GraphFile,
    UtteranceGraph,
    quantize,
    write_chunk_graph,
    write_utterance_graph,
)
from .portable_features import portable_features


OFFLINE, STREAMING, SETTINGS, ARRAYS = "encoder.onnx", "encoder_streaming.onnx", "encoder.json", "features.npz"
SCRIPT = Path(__file__).with_name("run_onnx.py")


def export_encoder(
    model: PreTrainedModel,
    processor: Any,
    folder: Path,
    *,
    chunk_ms: int = 640,
    left_chunks: int = 4,
    int8: bool = False,
) -> None:
    """Write a speech encoder with its phoneme head, and adaptor where there is one, as two ONNX graphs.

    Args:
        model: a CTC model or a full model of this project, of any dtype; the graphs are in float32.
        processor: what has its `feature_extractor` and `phoneme_tokenizer`, and of a full model the prompt.
        folder: made where it is not there.
        chunk_ms: audio of a chunk of the streaming graph, in milliseconds.
        left_chunks: earlier chunks that a chunk sees.
        int8: write both graphs with quantised weights too.

    Raises:
        ValueError: an encoder or a head that cannot be exported, or chunks of no whole number of frames.
    """
    extractor = processor.feature_extractor
    features, arrays = portable_features(extractor)
    whole = UtteranceGraph(model)
    stacking = 1 if whole.adaptor is None else whole.adaptor.stacking
    frame_ms = extractor.frame_shift * np.prod([stride for _, stride, _ in model.config.audio_length_stages])
    if chunk_ms <= 0 or chunk_ms % (frame_ms * stacking):
        raise ValueError(f"`chunk_ms` must be a multiple of {frame_ms * stacking:g} ms, not {chunk_ms}")
    chunks = ChunkGraph(model, round(chunk_ms / frame_ms), left_chunks)
    folder.mkdir(parents=True, exist_ok=True)
    graphs = {OFFLINE: write_utterance_graph(whole, folder / OFFLINE)}
    graphs[STREAMING] = write_chunk_graph(chunks, folder / STREAMING)
    int8_files = {name: _written_int8(folder, name) for name in graphs} if int8 else {}
    np.savez(folder / ARRAYS, **arrays)
    shutil.copyfile(SCRIPT, folder / SCRIPT.name)
    described = {name: _described(name, graph, int8_files.get(name)) for name, graph in graphs.items()}
    config = whole.encoder.config
    settings = {
        "features": features,
        "frame_ms": float(frame_ms),
        "max_frames": getattr(config, "max_position_embeddings", None),
        "offline": {**described[OFFLINE], "chunk_frames": config.chunk_size, "left_chunks": config.left_chunks},
        "streaming": {**described[STREAMING], **_chunks(chunks, left_chunks, graphs[STREAMING])},
        **_phonemes(processor.phoneme_tokenizer),
        **({} if whole.adaptor is None else {"language_model": _prompt(model, processor, stacking)}),
    }
    text = json.dumps(settings, ensure_ascii=False, indent=1)
    (folder / SETTINGS).write_text(text + "\n", encoding="utf-8")


def _written_int8(folder: Path, name: str) -> str:
    """Write a graph with quantised weights beside it; the name of its file."""
    quantized = f"{Path(name).stem}.int8.onnx"
    quantize(folder / name, folder / quantized)
    return quantized


def _chunks(chunks: ChunkGraph, left_chunks: int, graph: GraphFile) -> dict[str, Any]:
    """What the streaming graph takes at a time, and the states that it hands from one chunk to the next."""
    return {
        "chunk_frames": chunks.chunk_size,
        "left_chunks": left_chunks,
        "chunk_features": chunks.chunk_features,
        "look_ahead_features": chunks.look_ahead,
        "states": {name.removeprefix(STATE): shape for name, shape in graph.inputs.items() if name.startswith(STATE)},
    }


def _described(name: str, graph: GraphFile, int8: str | None) -> dict[str, Any]:
    """A graph's files and tensors; states are listed for themselves."""
    tensors = {
        kind: {name: shape for name, shape in values.items() if not name.startswith((STATE, NEXT_STATE))}
        for kind, values in (("inputs", graph.inputs), ("outputs", graph.outputs))
    }
    return {"file": name, **({} if int8 is None else {"int8_file": int8}), **tensors}


def _phonemes(tokenizer: PreTrainedTokenizerBase) -> dict[str, Any]:
    """The phoneme of each class of the head, and the class that is the CTC blank."""
    vocabulary = tokenizer.get_vocab()
    return {"phonemes": sorted(vocabulary, key=vocabulary.get), "blank": tokenizer.blank_token_id}


def _prompt(model: PreTrainedModel, processor: Any, stacking: int) -> dict[str, Any]:
    """What the language model reads around the audio embeddings, what ends its answer, and what is not part of it."""
    before, after = processor.prompt_ids()
    return {
        "frames_per_audio_token": stacking,
        "prompt_before_audio": before,
        "prompt_after_audio": after,
        "eos_token_id": model.generation_config.eos_token_id,
        "suppressed_token_ids": list(model.generation_config.suppress_tokens or ()),
    }


def plain_language_model(model: PreTrainedModel) -> PreTrainedModel:
    """The language model of a full model, as transformers' causal one; its weights are not copied."""
    config = copy.deepcopy(model.config.text_config)
    config.tie_word_embeddings = model.config.tie_word_embeddings
    config.dtype = model.dtype
    with torch.device("meta"):
        language_model = AutoModelForCausalLM.from_config(config)
    setattr(language_model, language_model.base_model_prefix, model.model.language_model)
    language_model.set_output_embeddings(model.lm_head)
    kept = ("eos_token_id", "pad_token_id", "suppress_tokens")
    language_model.generation_config.update(**{name: getattr(model.generation_config, name) for name in kept})
    return language_model.eval()


def export_language_model(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Write the language model of a full model with its tokenizer: `AutoModelForCausalLM` loads it.

    Args:
        model: the full model, with its adapters merged.
        tokenizer: the processor's, whose chat template and further files stay with the processor.
        folder: made where it is not there.
    """
    plain_language_model(model).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    _rewrite(folder / "config.json", _known_to_all_versions)
    _rewrite(folder / "tokenizer_config.json", _without_processor)


def _rewrite(path: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    settings = change(json.loads(path.read_text(encoding="utf-8")))
    path.write_text(json.dumps(settings, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def _known_to_all_versions(config: dict[str, Any]) -> dict[str, Any]:
    """With the base of rotary positions where transformers 4 looks for it, which llama.cpp's converter runs on."""
    theta = (config.get("rope_parameters") or {}).get("rope_theta")
    return config if theta is None else {**config, "rope_theta": theta}


def _without_processor(settings: dict[str, Any]) -> dict[str, Any]:
    """Without the processor whose part the tokenizer was, and by names that transformers 4 knows too."""
    settings = {name: value for name, value in settings.items() if name not in ("auto_map", "processor_class")}
    if settings.get("tokenizer_class") == "TokenizersBackend":
        settings["tokenizer_class"] = "PreTrainedTokenizerFast"
        settings.pop("backend", None)
    if isinstance(settings.get("extra_special_tokens"), list):
        settings["additional_special_tokens"] = settings.pop("extra_special_tokens")
    return settings


def list_written(folders: Sequence[Path]) -> list[tuple[Path, int]]:
    """Files below the folders, and how many bytes each has."""
    return [(path, path.stat().st_size) for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]


__all__ = ["export_encoder", "export_language_model", "list_written", "plain_language_model"]
