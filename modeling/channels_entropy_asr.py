# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""One channel out of several, by an average that cannot cancel.

The channels are averaged. Where one of them has its polarity inverted (a cable or a plug-in does that), the average
would be silence; there the signs with which channels enter the average are chosen anew: one after the other, each so
that it adds to the sum of those before it, the first one as it is. By the parallelogram law, |a + b|² + |a - b|² =
2 |a|² + 2 |b|², such a mix has at least the energy that it would have if the channels had nothing in common. Signs
stay until the mix falls to a quarter of that, so they do not change to and fro, and ordinary recordings are their
plain average.

This is decided in frames of 50 ms that are counted from the beginning, so that the mix is the same however a recording
is cut into blocks, and where a part of it only is inverted, that part is kept. A change of signs fades in 5 ms.
"""

import numpy as np


FRAME_SECONDS, FADE_SECONDS = 0.05, 0.005
# Share of the energy of channels that have nothing in common below which a mix counts as cancelled.
MIN_ENERGY_SHARE = 0.25


class ChannelMixer:
    """Mixes audio that arrives in blocks.

    Args:
        num_channels: channels of the blocks.
        sampling_rate: in Hz.
    """

    def __init__(self, num_channels: int, sampling_rate: float):
        self.num_channels = num_channels
        self.frame_size = max(1, round(FRAME_SECONDS * sampling_rate))
        self.fade_size = min(self.frame_size, max(1, round(FADE_SECONDS * sampling_rate)))
        self._signs = np.ones(num_channels, dtype=np.float32)
        self._is_first = True
        self._rest = np.zeros((0, num_channels), dtype=np.float32)

    def push(self, block: np.ndarray) -> np.ndarray:
        """Mix what is known to be whole frames, `(num_mixed,)` float32, and keep the rest.

        Args:
            block: `(num_samples, num_channels)` floats.
        """
        if self.num_channels == 1:
            return block[:, 0].astype(np.float32, copy=False)
        samples = np.concatenate([self._rest, block]) if len(self._rest) else block
        num_whole = len(samples) // self.frame_size * self.frame_size
        self._rest = samples[num_whole:].astype(np.float32)
        whole = samples[:num_whole].reshape(-1, self.frame_size, self.num_channels)
        return self._mix(whole).reshape(-1)

    def finish(self) -> np.ndarray:
        """Mix what is left: `(num_mixed,)` float32."""
        rest, self._rest = self._rest, self._rest[:0]
        return self._mix(rest[None]).reshape(-1) if len(rest) else np.zeros(0, dtype=np.float32)

    def _mix(self, frames: np.ndarray) -> np.ndarray:
        """Mono frames `(num_frames, num_samples)` of `(num_frames, num_samples, num_channels)`."""
        frames = frames.astype(np.float32, copy=False)
        signs, changes = self._choose_signs(np.matmul(frames.transpose(0, 2, 1), frames))
        mixed = (frames * signs[:, None]).sum(axis=2, dtype=np.float32) / np.float32(self.num_channels)
        for frame, before in changes:
            fade = np.linspace(1, 0, self.fade_size, endpoint=False, dtype=np.float32)[: frames.shape[1]]
            old = (frames[frame, : len(fade)] * before).sum(axis=1) / self.num_channels
            mixed[frame, : len(fade)] += fade * (old - mixed[frame, : len(fade)])
        return mixed

    def _choose_signs(self, products: np.ndarray) -> tuple[np.ndarray, list[tuple[int, np.ndarray]]]:
        """Signs of channels for each frame, and those before for each frame in which they change.

        Args:
            products: the channels' inner products, `(num_frames, num_channels, num_channels)`; a mix with the signs s
                has the energy s' P s, and channels without anything in common would have the trace.
        """
        floors = MIN_ENERGY_SHARE * np.trace(products, axis1=1, axis2=2)
        signs = np.broadcast_to(self._signs, (len(products), self.num_channels)).copy()
        changes = []
        start = 0
        while start < len(products):
            energies = np.einsum("c,fcd,d->f", self._signs, products[start:], self._signs)
            cancelled = np.flatnonzero(energies < floors[start:])
            if not len(cancelled):
                break
            start += int(cancelled[0])
            before, self._signs = self._signs, _constructive_signs(products[start])
            if start or not self._is_first:
                changes.append((start, before))
            signs[start:] = self._signs
            start += 1
        self._is_first = self._is_first and not len(products)
        return signs, changes


def _constructive_signs(products: np.ndarray) -> np.ndarray:
    """Signs with which each channel adds to the sum of those before it."""
    signs = np.ones(len(products), dtype=np.float32)
    for channel in range(1, len(products)):
        signs[channel] = 1 if signs[:channel] @ products[:channel, channel] >= 0 else -1
    return signs


def mix_channels(samples: np.ndarray, sampling_rate: float) -> np.ndarray:
    """Mix a whole recording, or a piece of a live one: `(num_samples,)` float32 of `(num_samples, num_channels)`.

    Args:
        samples: floats, or integers of any scale, which the result keeps.
        sampling_rate: in Hz.
    """
    mixer = ChannelMixer(samples.shape[1], sampling_rate)
    block_size = 200 * mixer.frame_size
    blocks = [mixer.push(samples[start : start + block_size]) for start in range(0, len(samples), block_size)]
    return np.concatenate([*blocks, mixer.finish()])


__all__ = ["ChannelMixer", "mix_channels"]
