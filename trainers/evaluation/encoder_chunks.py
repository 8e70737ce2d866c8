# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Encoders that attend in chunks, as in a stream, inside models that know nothing of them."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn
from torch.utils.hooks import RemovableHandle


class EncoderChunks:
    """Lets speech encoders attend in chunks, however deep in a model they are.

    Args:
        *encoders: Each gets a forward hook, which says the chunks where the caller says none.

    Raises:
        ValueError: an encoder takes no chunk sizes.

    Example:
        >>> with EncoderChunks(model.audio_tower).of({"chunk_size": 16, "left_chunks": 4}):
        ...     loss = model(**batch).loss
    """

    def __init__(self, *encoders: nn.Module):
        self._chunks: dict[str, int] = {}
        self._hooks: list[RemovableHandle] = []
        for encoder in encoders:
            self.add(encoder)

    def add(self, encoder: nn.Module) -> None:
        """Let one more encoder attend in chunks."""
        if "chunk_size" not in inspect.signature(encoder.forward).parameters:
            raise ValueError(
                f"chunk_sizes: only the encoder of this project takes chunk sizes, not `{encoder.config.model_type}`."
            )
        self._hooks.append(encoder.register_forward_pre_hook(self._add_chunks, with_kwargs=True))

    def remove(self) -> None:
        """Leave the encoders as they were."""
        while self._hooks:
            self._hooks.pop().remove()

    def _add_chunks(self, encoder: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict] | None:
        return (args, {**self._chunks, **kwargs}) if self._chunks else None

    @contextmanager
    def of(self, chunks: dict[str, int]) -> Iterator[None]:
        """Inside, encoders have these `chunk_size` and `left_chunks`; their own where there are none."""
        self._chunks = chunks
        try:
            yield
        finally:
            self._chunks = {}
