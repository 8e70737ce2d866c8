# Copyright 2026 The entropy-asr authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""Additive moments of encoder frames: all that frame_nse and CKA need, in O(D^2) memory for any number of frames.

How this differs from the textbook formulas: nothing is centred while frames come in, since the mean is not known yet.
Sums are taken about a shift near the mean and moved to the mean at the end; moments about different shifts (of other
processes) are moved before they are added. Sums are float64. So are products of the first 65536 frames; later float32
frames are multiplied in float32, in blocks, twice as fast: by then the rounding of a block hardly weighs.
"""

import math
import warnings
from collections.abc import Sequence
from copy import copy, deepcopy
from itertools import combinations_with_replacement

import torch


# Frames multiplied at once: so many that adding the product to the float64 sums costs little beside it (at 1024 frames
# of 2 x 512 it was a quarter of the time), and few enough for the rounding of a float32 sum.
BLOCK_FRAMES = 4096
# Of so many frames products are float64, whatever the frames are.
EXACT_FRAMES = 65536
# Columns of one strip of the (symmetric) product matrix; strips leave out what lies below the diagonal.
STRIP_WIDTH = 256
# Fewer frames than this many times D bias frame_nse downwards (2 D: -0.06, 16 D: -0.008 of isotropic noise).
FRAMES_PER_DIMENSION = 16
# Variance below this share of the squared mean is the rounding of float64, and the input constant.
CONSTANT_VARIANCE = 1e-28

# Frames beyond this are refused: CKA needs the eighth power of their size. Those of float32 or less, whose third power
# is taken in float32, are refused from the second on.
LARGEST, LARGEST_SINGLE = 1e30, 1e12


class FrameMoments:
    """Moments of frames of one encoder, or of several encoders on the same audio (parts).

    With u the concatenation of all parts minus `shift`, W its width, K the number of parts and q_k the squared norm of
    part k: `count` frames, `total` sum of u (W,), `products` sum of u u^T (W, W), `weighted` sum of q_k u (K, W),
    `squared` sum of q_k q_l (K, K); float64, on the device of the frames (on the CPU for devices without float64).

    Example:
        >>> moments = FrameMoments()
        >>> for frames, reference in batches:  # (N, D1), (N, D2)
        ...     moments.update(frames, reference)
        >>> moments.nse(0), moments.cka(0, 1)
    """

    def __init__(self):
        self.widths: tuple[int, ...] | None = None
        self._count = 0
        self._pending = 0
        self._buffer: torch.Tensor | None = None

    @property
    def count(self) -> int:
        """Frames so far."""
        return self._count + self._pending

    def update(self, *parts: torch.Tensor) -> None:
        """Add frames.

        Args:
            parts: For each encoder the frames of the same moments, `(N, D_k)`; rows beyond the length of an utterance
                must be left out.

        Raises:
            ValueError: shapes that do not fit each other or earlier frames, NaN or infinite values, or huge ones.
        """
        self.check(*parts)
        parts = [part.detach() for part in parts]
        if self.widths is None:
            self._start(parts)
        dtype = torch.float64 if any(part.dtype == torch.float64 for part in parts) else torch.float32
        self._prepare_buffer(dtype)
        start = 0
        while start < len(parts[0]):
            taken = min(BLOCK_FRAMES - self._pending, len(parts[0]) - start)
            rows = self._buffer[self._pending : self._pending + taken]
            torch.cat([part[start : start + taken].to(rows) for part in parts], dim=1, out=rows)
            self._pending, start = self._pending + taken, start + taken
            if self._pending == BLOCK_FRAMES:
                self._flush()

    def check(self, *parts: torch.Tensor, widths: tuple[int, ...] | None = None) -> tuple[int, ...]:
        """Whether `update` would take these frames; adds nothing.

        Args:
            parts: As for `update`.
            widths: Widths that the frames must have where there are none yet.

        Returns:
            Widths of the frames.

        Raises:
            ValueError: as for `update`.
        """
        shapes = [tuple(part.shape) for part in parts]
        if not parts or any(len(shape) != 2 for shape in shapes) or len({shape[0] for shape in shapes}) > 1:
            raise ValueError(f"Frames must be (N, D) with one N for all encoders, got {shapes}.")
        if any(shape[1] == 0 for shape in shapes) or any(part.is_complex() for part in parts):
            raise ValueError(f"Frames must be real numbers of one dimension or more, got {shapes}.")
        earlier, found = self.widths or widths, tuple(shape[1] for shape in shapes)
        if earlier is not None and len(earlier) != len(found):
            raise ValueError(f"Frames of {len(found)} encoders were added to frames of {len(earlier)}.")
        if earlier not in (None, found):
            raise ValueError(f"Frames of width {found} were added to frames of width {earlier}.")
        for index, part in enumerate(parts):
            if not part.numel():
                continue
            largest = max(-float(part.min()), float(part.max()))  # NaN where there is one
            if not math.isfinite(largest):
                raise ValueError(
                    f"The frames of encoder {index}, of shape {shapes[index]}, hold NaN or infinite values."
                )
            limit = LARGEST if part.dtype == torch.float64 else LARGEST_SINGLE
            if largest > limit:
                raise ValueError(
                    f"The frames of encoder {index}, of shape {shapes[index]}, hold values of up to {largest:.1e}, "
                    f"and products have no room beyond {limit:.0e}: scale all frames down, which changes no figure."
                )
        return found

    def _start(self, parts: list[torch.Tensor]) -> None:
        self.widths = tuple(part.shape[1] for part in parts)
        device = parts[0].device if parts[0].device.type != "mps" else torch.device("cpu")
        width, num_parts = sum(self.widths), len(parts)
        self._shift: torch.Tensor | None = None
        self._total, self._products, self._weighted, self._squared = (
            torch.zeros(shape, dtype=torch.float64, device=device)
            for shape in ((width,), (width, width), (num_parts, width), (num_parts, num_parts))
        )

    def _prepare_buffer(self, dtype: torch.dtype) -> None:
        if self._buffer is not None and self._buffer.dtype != dtype:
            self._flush()
            self._buffer = None
        if self._buffer is None:
            self._buffer = torch.empty(BLOCK_FRAMES, sum(self.widths), dtype=dtype, device=self._total.device)

    def _flush(self) -> None:
        """Add the pending frames to the sums."""
        if not self._pending:
            return
        block = self._buffer[: self._pending]  # (n, W)
        if self._shift is None:
            # Rounded to float32, so that float32 frames minus the shift are exact where it matters.
            self._shift = block.mean(0, dtype=torch.float64).float().double()
        if self._count < EXACT_FRAMES:
            block = block.double()
        # In place: the buffer is filled anew, and of doubles there is a copy.
        block -= self._shift.to(block.dtype)
        parts = block.split(self.widths, dim=1)
        norms = torch.stack([torch.linalg.vector_norm(part, dim=1) for part in parts]).square_()  # (K, n)
        sums = torch.cat([torch.ones_like(norms[:1]), norms]) @ block  # (1 + K, W)
        self._total += sums[0]
        self._weighted += sums[1:]
        self._squared += norms.double() @ norms.double().T
        for start in range(0, block.shape[1], STRIP_WIDTH):
            strip = block[:, start : start + STRIP_WIDTH]
            self._products[start : start + STRIP_WIDTH, start:] += strip.T @ block[:, start:]
        self._count, self._pending = self._count + self._pending, 0

    def _summed(self) -> "FrameMoments":
        """A copy whose products are filled below the diagonal and about which nothing is pending."""
        if not self.count:
            raise ValueError("No frames were added.")
        self._flush()
        done = copy(self)
        upper = torch.triu(self._products)
        done._products = upper + torch.triu(upper, diagonal=1).T
        done._buffer = None
        return done

    def _moved(self, displacement: torch.Tensor) -> "FrameMoments":
        """The same moments about `shift + displacement` (W,)."""
        moved, n, d = copy(self), self._count, displacement
        own = [slice(end - width, end) for width, end in zip(self.widths, self._ends(), strict=True)]
        lengths = torch.stack([d[part].square().sum() for part in own])  # |d_k|^2
        norms = torch.stack([self._products.diagonal()[part].sum() for part in own])  # sum of q_k
        along = torch.stack([d[part] @ self._total[part] for part in own])  # sum of d_k . u_k
        turned = torch.stack([self._products[:, part] @ d[part] for part in own])  # (K, W), sum of (d_k . u_k) u
        moved._shift = self._shift + d
        moved._total = self._total - n * d
        outer = torch.outer(self._total, d)
        moved._products = self._products - outer - outer.T + n * torch.outer(d, d)
        moved_norms = norms - 2 * along + n * lengths
        moved._weighted = self._weighted - 2 * turned + lengths[:, None] * self._total - moved_norms[:, None] * d
        # (q_k - 2 d_k.u_k + |d_k|^2) (q_l - 2 d_l.u_l + |d_l|^2), term by term; half of it, then its mirror image.
        crossed = torch.stack([self._weighted[:, part] @ d[part] for part in own], dim=1)  # (K, K): q_k (d_l . u_l)
        both = torch.stack([turned[:, part] @ d[part] for part in own], dim=1)  # (d_k . u_k) (d_l . u_l)
        half = lengths[None] * norms[:, None] - 2 * crossed - 2 * lengths[None] * along[:, None]
        moved._squared = self._squared + half + half.T + 4 * both + n * torch.outer(lengths, lengths)
        return moved

    def _ends(self) -> list[int]:
        return [sum(self.widths[: index + 1]) for index in range(len(self.widths))]

    def _about_mean(self) -> "FrameMoments":
        summed = self._summed()
        return summed._moved(summed._total / summed._count)

    def merge(self, other: "FrameMoments") -> None:
        """Add the frames of another accumulator, about whatever shift they were summed up."""
        if not other.count:
            return
        if not self.count:
            # Sums are added to in place: shared ones would change the other's.
            self.__dict__.update(deepcopy(other._summed().__dict__))
            return
        if self.widths != other.widths:
            raise ValueError(f"Frames of width {other.widths} were added to frames of width {self.widths}.")
        self._flush()
        moved = other._summed()
        moved = moved._moved(self._shift.to(moved._shift) - moved._shift)
        for name in ("_total", "_products", "_weighted", "_squared"):
            getattr(self, name).add_(getattr(moved, name).to(self._total.device))
        self._count += moved._count

    def all_reduce(self, group=None) -> "FrameMoments":
        """Moments of the frames of all processes of a `torch.distributed` group; every one of them must call it.

        Returns:
            New moments, the same in every process; these ones stay as they are.
        """
        import torch.distributed as dist

        known = [None] * dist.get_world_size(group)
        dist.all_gather_object(known, self.widths, group=group)
        widths = {widths for widths in known if widths is not None}
        if len(widths) != 1:
            raise ValueError(f"Processes hold frames of different widths, or none of them any: {known}.")
        device = torch.device("cuda", torch.cuda.current_device()) if dist.get_backend(group) == "nccl" else "cpu"
        local = self._summed() if self.count else self._empty(widths.pop())
        # A shift that all agree on: the mean of the shifts.
        shift = torch.cat([local._shift * local._count, local._shift.new_tensor([local._count])]).to(device)
        dist.all_reduce(shift, group=group)
        local = local._moved((shift[:-1] / shift[-1]).to(local._shift) - local._shift)
        for name in ("_total", "_products", "_weighted", "_squared"):
            value = getattr(local, name).to(device, copy=True)
            dist.all_reduce(value, group=group)
            setattr(local, name, value.to(local._shift.device))
        local._count = int(shift[-1].item())
        return local

    def mean(self) -> torch.Tensor:
        """Mean frame of all parts, `(W,)`."""
        summed = self._summed()
        return summed._shift + summed._total / summed._count

    def scatter(self, first: int = 0, second: int | None = None) -> torch.Tensor:
        """Centred cross products `(D_first, D_second)`: the covariance times the number of frames."""
        return self._about_mean()._block(first, first if second is None else second)

    def spectrum(self, part: int = 0) -> torch.Tensor:
        """Shares p of the variance along its principal directions, falling, `(D,)`; zeros for constant frames."""
        central = self._about_mean()
        scatter = central._block(part, part)
        trace, mean = scatter.trace(), central._slices()[part]
        if trace <= CONSTANT_VARIANCE * central._count * central._shift[mean].square().sum():
            return torch.zeros_like(scatter[0])
        # On the CPU: eigenvalue decompositions of a few hundred dimensions are no faster on a GPU.
        values = torch.linalg.eigvalsh(scatter.cpu() / trace.cpu()).clamp(min=0).flip(0)
        return values / values.sum()

    def nse(self, part: int = 0) -> float:
        """frame_nse, the normalized spectral entropy of all frames together, in [0, 1]; see [`entropy_share`]."""
        width = self.widths[part] if self.widths else 0
        if self.count < FRAMES_PER_DIMENSION * width:
            warnings.warn(
                f"frame_nse of {self.count} frames of dimension {width} is biased downwards: "
                f"use {FRAMES_PER_DIMENSION * width} or more."
            )
        return entropy_share(self.spectrum(part), self.count)

    def cka(self, first: int = 0, second: int = 1) -> float:
        """Linear CKA of two parts in [0, 1] (the paper's formula; Kornblith et al. 2019)."""
        return self._about_mean()._biased_cka(first, second)

    def cka_debiased(self, first: int = 0, second: int = 1) -> float:
        """CKA from unbiased estimates (Song et al. 2012): about 0 for unrelated frames, however few; may be negative.

        Needs 4 frames or more.
        """
        return self._about_mean()._debiased_cka(first, second)

    def cka_matrices(self) -> tuple[list[list[float]], list[list[float]]]:
        """[`cka`] and [`cka_debiased`] of every part with every part, `(K, K)`; moved about the mean once for all."""
        central, numbers = self._about_mean(), range(len(self.widths))
        biased, debiased = (
            {pair: measure(*pair) for pair in combinations_with_replacement(numbers, 2)}
            for measure in (central._biased_cka, central._debiased_cka)
        )
        return tuple([[found[min(a, b), max(a, b)] for b in numbers] for a in numbers] for found in (biased, debiased))

    @classmethod
    def _empty(cls, widths: Sequence[int]) -> "FrameMoments":
        moments = cls()
        moments._start([torch.empty(0, width) for width in widths])
        moments.widths, moments._shift = tuple(widths), torch.zeros(sum(widths), dtype=torch.float64)
        return moments

    def _slices(self) -> list[slice]:
        """Columns of each encoder."""
        return [slice(end - width, end) for width, end in zip(self.widths, self._ends(), strict=True)]

    def _block(self, first: int, second: int) -> torch.Tensor:
        """Products of one encoder's columns with another's, `(D_first, D_second)`."""
        parts = self._slices()
        return self._products[parts[first], parts[second]]

    def _biased_cka(self, first: int, second: int) -> float:
        return _ratio(*(self._block(*pair).square().sum() for pair in _pairs(first, second)))

    def _debiased_cka(self, first: int, second: int) -> float:
        if self._count < 4:
            raise ValueError(f"Debiased CKA needs 4 frames or more, got {self._count}.")
        return _ratio(*(self._debiased_product(*pair) for pair in _pairs(first, second)))

    def _debiased_product(self, first: int, second: int) -> torch.Tensor:
        """Unbiased |X^T Y|_F^2 of centred X and Y, up to a factor that cancels: Gram matrices lose their diagonal."""
        n = self._count
        norms = [self._block(part, part).trace() for part in (first, second)]
        product = self._block(first, second).square().sum()
        return product - n / (n - 2) * self._squared[first, second] + norms[0] * norms[1] / ((n - 1) * (n - 2))


def entropy_share(spectrum: torch.Tensor, count: int) -> float:
    """-sum p ln p / ln min(N - 1, D), both in nats; 0 for constant frames and where only one direction is possible.

    Args:
        spectrum: eigenvalues of the covariance, `(D,)`.
        count: N, the frames that it is of.
    """
    possible = min(count - 1, len(spectrum))
    present = spectrum[spectrum > 0].double()
    if possible < 2 or not len(present):
        return 0.0
    return min(1.0, max(0.0, float(-(present * present.log()).sum()) / math.log(possible)))


def _pairs(first: int, second: int) -> tuple[tuple[int, int], ...]:
    return (first, second), (first, first), (second, second)


def _ratio(cross: torch.Tensor, first: torch.Tensor, second: torch.Tensor) -> float:
    """cross / sqrt(first * second); 0 where one of them has no variance."""
    scale = float(first) * float(second)
    return float(cross) / math.sqrt(scale) if scale > 0 else 0.0
