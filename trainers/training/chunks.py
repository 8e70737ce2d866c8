# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Chunk sizes drawn for each batch, in every stage that trains a speech encoder or reads it.

An encoder that only had chunks in pretraining is read by later stages as it is offline, and they unlearn what it
sounds like in a stream: each stage may draw chunks of its own.
"""

from dataclasses import dataclass, field


CHUNKS = ("chunk_size", "left_chunks")


@dataclass
class ChunkArguments:
    """Goes before arguments of transformers, which it adds to.

    Args:
        chunk_sizes: Attention chunks in encoder frames (40 ms; Whisper's 20 ms) that each batch draws one from, 0 for
            full context. Empty: no drawing. Repeat an entry to weigh it up.
        left_chunks: Numbers of visible earlier chunks that each batch with a chunk size draws one from, -1 for all.
    """

    chunk_sizes: list[int] = field(default_factory=list, metadata={"help": "Chunk sizes to draw from; 0: full."})
    left_chunks: list[int] = field(default_factory=lambda: [-1], metadata={"help": "Left chunks to draw; -1: all."})

    def __post_init__(self):
        super().__post_init__()
        if any(size < 0 for size in self.chunk_sizes):
            raise ValueError(f"chunk_sizes are numbers of frames, or 0 for full context, got {self.chunk_sizes}.")
        if not self.left_chunks or any(chunks < -1 for chunks in self.left_chunks):
            raise ValueError(f"left_chunks are numbers of chunks, or -1 for all, got {self.left_chunks}.")
        if not any(self.chunk_sizes) and self.left_chunks != [-1]:
            raise ValueError(f"left_chunks={self.left_chunks} has no effect without chunks: give chunk_sizes too.")


def taken_chunks(inputs: dict) -> dict[str, int]:
    """The chunks of a batch, taken out of it: models know no such argument."""
    return {name: inputs.pop(name) for name in CHUNKS if name in inputs}
