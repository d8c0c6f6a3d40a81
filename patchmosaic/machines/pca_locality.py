"""PCA-locality, its chunked softmax, and GoldDiff: local posterior means with windows from data.

W is the Wiener filter's matrix at the noise level (:mod:`patchmosaic.machines.gaussian`). The
window of output value m holds the input values i whose ``|W[i, m] / W[i, i]|`` is at least tau
times the largest such ratio of the whole matrix (diagonals below 1e-6 taken as 1). With ``d_m(y)``
the sum over the window of ``(x_t - sqrt(alpha_bar) y)^2``, value m is the mean of ``y[m]`` under
weights ``exp(-d_m(y) / (2 (1 - alpha_bar)))``: LS with a window of its own for each position and
channel, without calibration to a network.

Sources: Lukoianov, Yuan, Solomon and Sitzmann, NeurIPS 2025 (arXiv 2509.09672); GoldDiff, ICML 2026
(arXiv 2602.16498). The text may also be read with ``W[m, i] / W[m, m]``; ours is the column.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from patchmosaic.engines.dense import LEAST_VARIANCE
from patchmosaic.machines.gaussian import moments
from patchmosaic.machines.neighbours import nearest, square_distances
from patchmosaic.machines.prepared import PreparedMachine, number, one_of, whole_number
from patchmosaic.system.memory import require_memory

IMAGES = 2048  # in one block
TILE = 4  # pixels along a side of the tiles whose windows are gathered together
LEAST_FLOAT32 = 5e-3
"""Noise variances below this are computed in float64, others in float32."""

SUBSET_STREAM = 0x676F6C64  # of a seed, apart from its noise and label


def default_tau(shape: Sequence[int], source: str) -> float:
    """tau of a source for images (C, H, W): gray ones (MNIST), of 32 pixels (CIFAR-10), larger.

    Args:
        source: "lukoianov" or "golddiff".
    """
    channels, height, width = shape
    gray, small, large = {"lukoianov": (0.005, 0.05, 0.02), "golddiff": (0.02, 0.03, 0.03)}[source]
    return gray if channels == 1 else small if max(height, width) <= 32 else large


def filter_windows(filtered: Tensor, tau: float) -> Tensor:
    """The windows that W (n, n) gives: bool (n, n), entry (i, m) whether i is in that of m."""
    own = filtered.diagonal()
    ratios = (filtered / torch.where(own < 1e-6, 1.0, own)[:, None]).abs()
    return ratios >= tau * ratios.max()


class Windows:
    """Windows laid out for matrix products: tiles of outputs with the inputs that they share.

    Args:
        inside: bool (n, n), as of :func:`filter_windows`.
        shape: (C, H, W) of the images, n values.
    """

    def __init__(self, inside: Tensor, shape: Sequence[int]) -> None:
        _, height, width = shape
        everything = torch.arange(len(inside), device=inside.device)
        at = everything.view(shape)
        tiles = [
            at[:, row : row + TILE, col : col + TILE].flatten()
            for row in range(0, height, TILE)
            for col in range(0, width, TILE)
        ]
        unions = [inside[:, tile].any(1).nonzero()[:, 0] for tile in tiles]
        gathered = sum(len(tile) * len(union) for tile, union in zip(tiles, unions, strict=True))
        if gathered > 0.5 * inside.numel():  # one product takes less time than many small ones
            tiles, unions = [everything], [everything]
        self.tiles = [
            (tile, union, inside[union[:, None], tile].T.float())
            for tile, union in zip(tiles, unions, strict=True)
        ]

    def sums(self, values: Tensor) -> Tensor:
        """Sums over each output's window of values (n, N), (n, N)."""
        result = torch.empty_like(values)
        for tile, union, inside in self.tiles:
            whole = len(union) == len(values)
            result[tile] = inside.to(values.dtype) @ (values if whole else values[union])
        return result


def window_means(
    query: Tensor, columns: Tensor, windows: Windows, alpha_bar: float, chunk: int | None = None
) -> Tensor:
    """Posterior means of one query (n,) over images as columns (n, N), float64 (n,).

    Args:
        chunk: normalise the weights within each so many images, one chunk counting as much as
            another, and average the means; None for one posterior mean over all.
    """
    variance, scale = max(1 - alpha_bar, LEAST_VARIANCE), math.sqrt(alpha_bar)
    dtype = torch.float64 if variance < LEAST_FLOAT32 else torch.float32
    query = query.to(columns.device, dtype)[:, None]
    count, means = columns.shape[1], []
    for first in range(0, count, chunk or count):
        log_max = torch.full(query.shape, -math.inf, dtype=torch.float64, device=query.device)
        weight, value = torch.zeros_like(log_max), torch.zeros_like(log_max)
        for block in columns[:, first : first + (chunk or count)].split(IMAGES, dim=1):
            block = block.to(dtype)
            logs = windows.sums((query - scale * block).square_()).div_(-2 * variance)
            most = torch.maximum(log_max, logs.amax(1, keepdim=True).double())
            weights = logs.sub_(most.to(dtype)).exp_()
            before = (log_max - most).exp()
            weight = before * weight + weights.sum(1, keepdim=True)
            value = before * value + weights.mul_(block).sum(1, keepdim=True)
            log_max = most
        means.append(value / weight)
    return torch.cat(means, 1).mean(1)


def _columns(images: Tensor) -> Tensor:
    """Images (N, C, H, W) as columns (n, N), a copy."""
    require_memory(images.numel() * images.element_size(), f"a copy of {len(images):,} images")
    return images.flatten(1).T.contiguous()


class PCALocalMachine(PreparedMachine):
    """PCA-locality.

    Weights in float32 (float64 for noise variances below 5e-3): the posterior mean of noisy
    training images is within 1e-4 of float64; that of queries far from all images, whose distances
    are large and nearly cancel, within 2e-3 at 24 x 24 pixels in colour.

    Args:
        tau: of the windows. None: :func:`default_tau` of Lukoianov et al.
        softmax: "exact", one posterior mean over all images; or "chunks of n", the mean of those
            over n images at a time, as the released code has it with n = 512 (256 at 64 pixels).
    """

    tau_source = "lukoianov"

    def __init__(
        self,
        images: Tensor,
        labels: Tensor | None = None,
        *,
        tau: float | None = None,
        softmax: str = "exact",
    ) -> None:
        super().__init__(images, labels)
        default = default_tau(self.images.shape[1:], self.tau_source)
        self.tau = number("tau", default if tau is None else tau, 0, 1)
        found = re.fullmatch(r"exact|chunks of ([1-9]\d*)", str(softmax))
        if not found:
            raise ValueError(f"softmax is {softmax!r}: expected 'exact' or 'chunks of 512'")
        self.softmax, self.chunk = softmax, int(found[1]) if found[1] else None
        self._level: tuple[tuple, Windows] | None = None

    def windows(self, label: int | None, alpha_bar: float) -> Windows:
        """The windows at a noise level; kept until another is asked for."""
        if self._level is None or self._level[0] != (label, alpha_bar):
            filtered = self.prepared(moments, label).filter(alpha_bar)
            windows = Windows(filter_windows(filtered, self.tau), self.images.shape[1:])
            self._level = (label, alpha_bar), windows
        return self._level[1]

    def mean(self, x_t, alpha_bar, patch_size, label):
        columns, windows = self.prepared(_columns, label), self.windows(label, alpha_bar)
        means = [
            window_means(query, columns, windows, alpha_bar, self.chunk) for query in x_t.flatten(1)
        ]
        return torch.stack(means).view(x_t.shape)


class GoldDiffMachine(PCALocalMachine):
    """GoldDiff: PCA-locality over a part of the bank that is chosen for each query and noise level.

    With ``u = 1 - sqrt(1 - alpha_bar)``: of ``k_max + (N - k_max) u`` images drawn at random, the
    k_max nearest by pooled images (16 x 16, or half the side where that is less); of these the
    ``k_max - (k_max - k_min) u`` nearest. ``k_min = N / 20`` and ``k_max = N / 10``, all rounded
    down, at least 1. The draw is a function of the seed, the label and the noise level, and the
    same for all queries. Its gain over PCA-locality can be taken apart: ``subset: none`` leaves
    PCA-locality, with this softmax and tau.

    Args:
        tau: None: :func:`default_tau` of GoldDiff.
        softmax: as of :class:`PCALocalMachine`.
        subset: "golden", or "none" for all images.
        seed: of the draws.
    """

    tau_source = "golddiff"

    def __init__(
        self,
        images: Tensor,
        labels: Tensor | None = None,
        *,
        tau: float | None = None,
        softmax: str = "exact",
        subset: str = "golden",
        seed: int = 0,
    ) -> None:
        super().__init__(images, labels, tau=tau, softmax=softmax)
        self.subset = one_of("subset", subset, ("golden", "none"))
        self.seed = whole_number("seed", seed, 0)
        _, height, width = self.images.shape[1:]
        self.pooled_side = min(16, height // 2)
        if subset == "golden" and (height != width or height % max(1, self.pooled_side)):
            raise ValueError(
                f"images have {height} x {width} pixels: GoldDiff pools square images whose side "
                "is even and up to 32, or a multiple of 16"
            )

    def drawn(self, alpha_bar: float, label: int | None) -> Tensor:
        """Positions in the bank of the label's images that are drawn at a noise level, (m,)."""
        count = len(self.bank(label))
        _, largest, u = self._sizes(count, alpha_bar)
        level = round(alpha_bar * 2**32)
        key = [SUBSET_STREAM, self.seed, 0 if label is None else 1 + label, level]
        chosen = np.random.default_rng(key).permutation(count)
        return torch.from_numpy(chosen[: int(largest + (count - largest) * u)])

    @staticmethod
    def _sizes(count: int, alpha_bar: float) -> tuple[int, int, float]:
        """k_min, k_max and u for so many images."""
        return max(1, count // 20), max(1, count // 10), 1 - math.sqrt(1 - alpha_bar)

    def chosen(self, x_t: Tensor, alpha_bar: float, label: int | None) -> Tensor:
        """Positions in the bank of the label's images that each query is compared with, (B, k)."""
        images, scale = self.bank(label), math.sqrt(alpha_bar)
        x_t = x_t.to(images.device)
        least, largest, u = self._sizes(len(images), alpha_bar)
        drawn = self.drawn(alpha_bar, label).to(images.device)
        pool = self.pooled_side
        small = F.adaptive_avg_pool2d(x_t.double(), pool).flatten(1)
        coarse = F.adaptive_avg_pool2d(images[drawn], pool).flatten(1)
        candidates = drawn[nearest(square_distances(small, coarse, scale), largest)]  # (B, k_max)
        kept = int(largest - (largest - least) * u)
        return torch.stack(
            [
                own[nearest(square_distances(query, images[own].flatten(1), scale), kept)[0]]
                for query, own in zip(x_t.flatten(1)[:, None], candidates, strict=True)
            ]
        )

    def mean(self, x_t, alpha_bar, patch_size, label):
        if self.subset == "none":
            return super().mean(x_t, alpha_bar, patch_size, label)
        images, windows = self.bank(label).flatten(1), self.windows(label, alpha_bar)
        means = [
            window_means(query, images[own].T.contiguous(), windows, alpha_bar, self.chunk)
            for query, own in zip(x_t.flatten(1), self.chosen(x_t, alpha_bar, label), strict=True)
        ]
        return torch.stack(means).view(x_t.shape)
