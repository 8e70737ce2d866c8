# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""What a streaming encoder carries from one chunk to the next."""

import torch


class EntropyASREncoderCache:
    """What a stream carries from chunk to chunk, for one batch of streams; owned and passed by the caller.

    Holds the last inputs of each causal convolution and the keys and values of the frames still visible.

    Attributes:
        seen_frames (`int` or `list[int]`): encoder frames consumed so far; one number for each stream where streams
            of different ages were stacked.
    """

    # States that hold what came before in full width from the start, as opposed to those that grow with the stream.
    _FIXED_WIDTH = ("conv", "conv1", "conv2")

    def __init__(self):
        self.seen_frames: int | list[int] = 0
        self._states: dict[str, torch.Tensor] = {}

    @classmethod
    def stack(cls, caches: list["EntropyASREncoderCache"]) -> "EntropyASREncoderCache":
        """Join the states of single streams, of any ages, so that their next chunks are encoded in one batch."""
        stacked = cls()
        stacked.seen_frames = [cache.seen_frames for cache in caches]
        for name in dict.fromkeys(name for cache in caches for name in cache._states):
            stacked._states[name] = cls._stack_state(name, [cache._states.get(name) for cache in caches])
        return stacked

    @classmethod
    def _stack_state(cls, name: str, states: list[torch.Tensor | None]) -> torch.Tensor:
        """Stack one state; younger streams get zeros, which the mask hides, before their frames."""
        known = next(state for state in states if state is not None)
        dim = cls._time_dim(name)
        width = max(0 if state is None else state.shape[dim] for state in states)
        padded = []
        for state in states:
            missing = width - (0 if state is None else state.shape[dim])
            shape = list(known.shape)
            shape[dim] = missing
            # No frame has a negative position: padding is never taken for the frame that looks.
            filling = known.new_full(shape, -1 if name == "positions" else 0)
            padded.append(filling if state is None else torch.cat([filling, state], dim=dim))
        return torch.cat(padded)

    @staticmethod
    def _time_dim(name: str) -> int:
        return 1 if name in ("positions", "mask") else 2

    def unstack(self) -> list["EntropyASREncoderCache"]:
        """The state of each stream of a stacked cache, without the padding."""
        caches = []
        for row, seen_frames in enumerate(self.seen_frames):
            cache = type(self)()
            cache.seen_frames = seen_frames
            for name, state in self._states.items():
                dim = self._time_dim(name)
                width = state.shape[dim]
                if name.rsplit(".", 1)[-1] not in self._FIXED_WIDTH:
                    width = min(width, seen_frames)
                own = state[row : row + 1].narrow(dim, state.shape[dim] - width, width)
                cache._states[name] = own.clone()  # a view would keep the whole batch
            caches.append(cache)
        return caches

    def advance(self, batch_size: int, num_frames: int, device: torch.device) -> torch.Tensor:
        """Count the next frames of each stream; returns their positions `(batch_size, num_frames)`."""
        stacked = isinstance(self.seen_frames, list)
        starts = self.seen_frames if stacked else [self.seen_frames] * batch_size
        counts = [start + num_frames for start in starts]
        self.seen_frames = counts if stacked else self.seen_frames + num_frames
        steps = torch.arange(num_frames, device=device)
        return torch.tensor(starts, device=device)[:, None] + steps[None, :]

    def left_context(self, name: str, inputs: torch.Tensor, width: int, dim: int) -> torch.Tensor:
        """Prepend the `width` inputs before `inputs` along `dim` (zeros at the start) and remember the last ones.

        Args:
            name: of the state.
            inputs: `(batch_size, ...)` with time along `dim`; what is returned is longer there by `width`.
            width: of the context.
            dim: the axis of time.
        """
        extended, self._states[name] = behind_context(self._states.get(name), inputs, width, dim)
        return extended

    def extend(self, name: str, inputs: torch.Tensor, max_length: int | None, dim: int) -> torch.Tensor:
        """Append `inputs` to what is stored, return all of it, keep the last `max_length` for the next chunk.

        Args:
            name: of the state.
            inputs: `(batch_size, ...)` with time along `dim`.
            max_length: steps of time that are kept, None for all.
            dim: the axis of time.
        """
        state = self._states.get(name)
        extended = inputs if state is None else torch.cat([state, inputs], dim=dim)
        length = extended.shape[dim]
        keep = length if max_length is None else min(length, max_length)
        self._states[name] = extended.narrow(dim, length - keep, keep)
        return extended


def behind_context(
    before: torch.Tensor | None, inputs: torch.Tensor, width: int, dim: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs behind the `width` ones before them along `dim` (zeros where there are none), and the last `width`.

    Args:
        before: `inputs`' shape, with `width` steps along `dim`; None at the start.
        inputs: `(batch_size, ...)` with time along `dim`.
        width: of the context.
        dim: the axis of time.
    """
    if before is None:
        shape = list(inputs.shape)
        shape[dim] = width
        before = inputs.new_zeros(shape)
    extended = torch.cat([before, inputs], dim=dim)
    return extended, extended.narrow(dim, extended.shape[dim] - width, width)


__all__ = ["EntropyASREncoderCache", "behind_context"]
