# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""ONNX graphs of a speech encoder with its phoneme head and adaptor: of whole utterances, and chunk by chunk.

Both are the modules that run in PyTorch, in float32. What a stream remembers is inputs and outputs of the second one:
they begin as zeros, and each chunk takes those that the one before gave. Unlike in PyTorch they have one width from
the start, so that streams of all ages fit into one batch; frames before a stream's first one are masked.
"""

import copy
import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers.modeling_utils import PreTrainedModel

from entropy_asr.modeling.components_entropy_asr import FULL_MODEL
from entropy_asr.modeling.encoder_cache_entropy_asr import behind_context
from entropy_asr.modeling.encoder_rules_entropy_asr import encoder_rules
from entropy_asr.modeling.speech_models_entropy_asr import encoder_half, phoneme_part


# A protobuf file ends at 2 GiB: weights above that lie in a file beside the graph.
SINGLE_FILE_BYTES = 1_900_000_000
STATE, NEXT_STATE = "state.", "next."


class StreamStates:
    """What an encoder carries from chunk to chunk, as tensors that come in and go out.

    Stands in for an [`EntropyASREncoderCache`] where a graph is made. Keys and values are as wide as all frames that
    a chunk may see before its own.

    Args:
        seen_frames: frames of each stream before this chunk, `(batch_size,)`.
        before: by name, what the chunk before gave; zeros where it is not there.

    Attributes:
        after: by name, what the next chunk takes.
    """

    def __init__(self, seen_frames: torch.Tensor, before: dict[str, torch.Tensor]):
        self.seen_frames, self.before = seen_frames, before
        self.after: dict[str, torch.Tensor] = {}

    def advance(self, batch_size: int, num_frames: int, device: torch.device) -> torch.Tensor:
        """Positions of the chunk's frames, `(batch_size, num_frames)`."""
        return self.seen_frames[:, None] + torch.arange(num_frames, device=device)[None, :]

    def left_context(self, name: str, inputs: torch.Tensor, width: int, dim: int) -> torch.Tensor:
        """Prepend the `width` inputs before `inputs`, `(batch_size, ...)`, along `dim`, and keep the last ones."""
        extended, self.after[name] = behind_context(self.before.get(name), inputs, width, dim)
        return extended

    def extend(self, name: str, inputs: torch.Tensor, max_length: int, dim: int) -> torch.Tensor:
        """Prepend what is remembered of earlier frames; of positions and masks, what follows from their number.

        `inputs` are `(batch_size, ...)` with time along `dim`; what is returned is longer there by `max_length`.
        """
        if max_length == 0:
            return inputs
        if name not in ("positions", "mask"):
            return self.left_context(name, inputs, max_length, dim)
        earlier = self.seen_frames[:, None] + torch.arange(-max_length, 0, device=inputs.device)[None, :]
        return torch.cat([earlier if name == "positions" else earlier >= 0, inputs], dim=dim)


class UtteranceGraph(nn.Module):
    """Features to phoneme logits and encoder frames, and to audio tokens where there is an adaptor.

    Args:
        model: a CTC model or a full model of this project, with a phoneme head that was trained.

    Raises:
        ValueError: it has none, or an encoder of another project.
    """

    def __init__(self, model: PreTrainedModel):
        super().__init__()
        encoder, (head, _) = encoder_half(model), phoneme_part(model)
        if not encoder_rules(encoder.config).streams:
            raise ValueError(
                f"a `{encoder.config.model_type}` encoder keeps its own layout: export it with the tools of its model"
            )
        if encoder.config.model_type == "entropy_asr_firered_encoder":
            raise ValueError("torch's exporter does not take the relative positions of FireRedASR's encoder")
        if head is None:
            raise ValueError("the phoneme head was never trained: `entropy-asr train phoneme_head` trains it")
        adaptor = model.model.adaptor if model.config.model_type == FULL_MODEL else None
        self.encoder, self.head, self.adaptor = (copy.deepcopy(part) for part in (encoder, head, adaptor))
        self.encoder.set_attn_implementation("sdpa")
        self.float().eval().requires_grad_(False)

    @property
    def output_names(self) -> list[str]:
        """Of the tensors that [`outputs`] gives."""
        return ["logits", "frame_mask", "hidden_states", *([] if self.adaptor is None else ["audio_embeddings"])]

    def outputs(self, encoded: Any) -> tuple[torch.Tensor, ...]:
        """Logits `(B, T, V)`, mask of real frames `(B, T)`, encoder frames `(B, T, D)`, audio tokens `(B, N, H)`."""
        frames, mask = encoded.last_hidden_state, encoded.attention_mask
        return self.head(frames), mask, frames, *(() if self.adaptor is None else (self.adaptor(frames, mask),))

    def forward(self, features: torch.Tensor, features_mask: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Features `(batch_size, num_features, num_mel_bins)` and their mask `(batch_size, num_features)`."""
        return self.outputs(self.encoder(features, attention_mask=features_mask, return_dict=True))


class ChunkGraph(UtteranceGraph):
    """One chunk of each of some streams.

    Args:
        model: as of [`UtteranceGraph`].
        chunk_size: frames of a chunk.
        left_chunks: earlier chunks that a chunk sees.

    Raises:
        ValueError: also without chunks, or where all earlier ones are seen: what is remembered would grow.
    """

    def __init__(self, model: PreTrainedModel, chunk_size: int, left_chunks: int):
        super().__init__(model)
        if chunk_size < 1 or left_chunks < 0:
            raise ValueError(
                f"a stream is exported in chunks that see so many before them, not {chunk_size} frames and "
                f"{left_chunks} chunks"
            )
        self.chunk_size, self.left_chunks = chunk_size, left_chunks
        self.look_ahead = self.encoder.num_look_ahead
        self.chunk_features = chunk_size
        for _, stride, _ in encoder_rules(self.encoder.config).length_stages(self.encoder.config):
            self.chunk_features *= stride
        self.state_shapes: dict[str, list[int]] = {}
        with torch.no_grad():
            self(*self.example(1))

    def example(self, batch_size: int) -> tuple:
        """Inputs of so many streams' first chunks."""
        shape = (batch_size, self.chunk_features, self.encoder.config.num_mel_bins)
        ahead = torch.zeros(batch_size, self.look_ahead, shape[2]) if self.look_ahead else None
        states = [torch.zeros(batch_size, *shape[1:]) for shape in self.state_shapes.values()]
        mask, seen_frames = torch.ones(shape[:2], dtype=torch.long), torch.zeros(batch_size, dtype=torch.long)
        return torch.zeros(shape), mask, seen_frames, states, ahead

    def forward(
        self,
        features: torch.Tensor,
        features_mask: torch.Tensor,
        seen_frames: torch.Tensor,
        states: Sequence[torch.Tensor],
        look_ahead: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, ...]:
        """As of an utterance, then the states.

        Args:
            features: of the chunk, `(B, chunk_features, num_mel_bins)`, the last one of a stream maybe shorter.
            features_mask: `(B, chunk_features)`, 1 for features of real audio.
            seen_frames: `(B,)`, encoder frames of each stream before the chunk.
            states: what the chunk before gave, each `(B, *shape)` as `state_shapes` has it.
            look_ahead: features behind the chunk that it waits for, `(B, look_ahead, num_mel_bins)`.
        """
        cache = StreamStates(seen_frames, dict(zip(self.state_shapes, states, strict=True)))
        encoded = self.encoder(
            features,
            attention_mask=features_mask,
            chunk_size=self.chunk_size,
            left_chunks=self.left_chunks,
            cache=cache,
            look_ahead=look_ahead,
            return_dict=True,
        )
        self.state_shapes = self.state_shapes or {name: list(state.shape) for name, state in cache.after.items()}
        return *self.outputs(encoded), *(cache.after[name] for name in self.state_shapes)


@dataclass(frozen=True)
class GraphFile:
    """A graph that was written.

    Args:
        inputs, outputs: by name, the shape; axes that vary have names.
    """

    inputs: dict[str, list[int | str]]
    outputs: dict[str, list[int | str]]


def write_utterance_graph(graph: UtteranceGraph, path: Path) -> GraphFile:
    """Write the graph of whole utterances: any number of them, of any lengths, padded and masked."""
    shape = (2, 64, graph.encoder.config.num_mel_bins)
    inputs = {"features": torch.zeros(shape), "features_mask": torch.ones(shape[:2], dtype=torch.long)}
    axes = {name: _axes(0, 1) for name in inputs}
    return _write(graph, path, tuple(inputs.values()), axes, list(inputs), graph.output_names)


def write_chunk_graph(graph: ChunkGraph, path: Path) -> GraphFile:
    """Write the graph of chunks: one of each of any number of streams, of which the last may be shorter."""
    states = list(graph.state_shapes)
    names = ["features", "features_mask", "seen_frames", *(STATE + name for name in states)]
    axes: dict[str, Any] = {name: _axes(0, 1) for name in names[:2]}
    axes |= {"seen_frames": _axes(0), "states": [_axes(0)] * len(states)}
    axes["look_ahead"] = _axes(0) if graph.look_ahead else None
    names += ["look_ahead"] if graph.look_ahead else []
    outputs = [*graph.output_names, *(NEXT_STATE + name for name in states)]
    return _write(graph, path, graph.example(2), axes, names, outputs)


def _axes(*dims: int) -> dict[int, Any]:
    """That these dimensions vary, as the exporter wants to know it."""
    return dict.fromkeys(dims, torch.export.Dim.DYNAMIC)


@contextmanager
def _quiet() -> Iterator[None]:
    """No messages of the exporter and the quantiser: about packages and steps that nothing here needs."""
    disabled = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


def _write(
    graph: UtteranceGraph, path: Path, inputs: tuple, axes: dict[str, Any], names: list[str], outputs: list[str]
) -> GraphFile:
    """Trace a graph and write it; `axes` are those that vary, by argument."""
    with _quiet():
        program = torch.onnx.export(
            graph, inputs, dynamic_shapes=axes, input_names=names, output_names=outputs, dynamo=True, verbose=False
        )
    for value in [*program.model.graph.inputs, *program.model.graph.outputs]:
        value.shape = type(value.shape)(_named_axes(value.name, value.shape))
    described = [
        {value.name: list(_named_axes(value.name, value.shape)) for value in values}
        for values in (program.model.graph.inputs, program.model.graph.outputs)
    ]
    num_bytes = sum(weight.numel() * 4 for weight in graph.parameters())
    program.save(path, external_data=num_bytes > SINGLE_FILE_BYTES)
    return GraphFile(*described)


def _named_axes(name: str, shape: Sequence) -> list[int | str]:
    """A tensor's shape with the names of the axes that vary, which the exporter numbers, or writes as formulas."""
    second = {"features": "num_features", "features_mask": "num_features", "audio_embeddings": "num_audio_tokens"}
    names = ("batch", second.get(name, "num_frames"))
    return [axis if isinstance(axis, int) else names[min(index, 1)] for index, axis in enumerate(shape)]


def quantize(source: Path, target: Path) -> None:
    """Write a graph with the weights of its matrix products in int8; activations are quantised as they come.

    Convolutions stay: in int8 they are slower, and what they are made of is few weights. Seven bits are used of each
    weight, since sums of eight-bit products overflow on processors without VNNI.
    """
    from onnxruntime.quantization import QuantType, quantize_dynamic

    options = {"weight_type": QuantType.QInt8, "per_channel": True, "reduce_range": True}
    with _quiet():
        quantize_dynamic(source, target, op_types_to_quantize=["MatMul", "Gemm"], **options)


__all__ = ["ChunkGraph", "GraphFile", "UtteranceGraph", "quantize", "write_chunk_graph", "write_utterance_graph"]
