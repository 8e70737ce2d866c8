# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What the server runs, and its limits."""

from dataclasses import dataclass

from ..environment import BUNDLED_CHECKPOINT, PREFIX


@dataclass(frozen=True)
class ServerSettings:
    """Settings of the server. Each can be set by an environment variable: `model` by `ENTROPY_ASR_MODEL`, and so on.

    Args:
        model: Folder or Hub id; by default the small checkpoint that is bundled.
        device: "cpu", "cuda", ...; by default a GPU if there is one.
        dtype: Of the weights; by default as [`load_pipeline`] chooses.
        host: Address to listen on; by default all of this machine.
        port: Port to listen on.
        max_streams: Streams at a time.
        chunk_ms: Audio that the encoder reads at a time, in milliseconds.
        left_chunks: Chunks that it sees before them; -1 for all.
        min_silence: Silence that ends a segment, in seconds.
        confidence: Whether final texts have a confidence.
    """

    model: str = str(BUNDLED_CHECKPOINT)
    device: str | None = None
    dtype: str | None = None
    host: str = "0.0.0.0"
    port: int = 7860
    max_streams: int = 64
    chunk_ms: int = 640
    left_chunks: int = 4
    min_silence: float = 0.5
    confidence: bool = False

    def __post_init__(self):
        for name in ("max_streams", "chunk_ms"):
            if getattr(self, name) < 1:
                raise ValueError(f"{PREFIX}{name.upper()} must be at least 1, not {getattr(self, name)}.")
        if not 0 <= self.port <= 65535:
            raise ValueError(f"{PREFIX}PORT must be from 0 to 65535, not {self.port}.")
