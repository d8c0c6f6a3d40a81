"""Gaussian predictors: the mean image, the Wiener filter of whole images, and that of patches.

The training images, as vectors of n values, have mean mu and covariance S = U diag(lam) U^T, with
division by their number N. Under the Gaussian with these moments the posterior mean of ``x_0`` is
linear in ``z = x_t / sqrt(alpha_bar)``: ``mu + U diag(lam / (lam + sigma^2)) U^T (z - mu)`` with
``sigma^2 = (1 - alpha_bar) / alpha_bar``, the best affine denoiser of these images. With N <= n the
covariance has a rank below n, and the filter, exactly this formula, that of the images' span.
Sources: Wang and Vastola, TMLR 2024 (arXiv 2412.09726); Li, Dai and Qu, NeurIPS 2024 (2410.24060).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from patchmosaic.engines.dense import LEAST_VARIANCE
from patchmosaic.machines.base import BOUNDARIES
from patchmosaic.machines.prepared import PreparedMachine, one_of
from patchmosaic.system.memory import require_memory

BLOCK = 2**24  # values in one block of float64 images: 128 MiB


@dataclass(frozen=True)
class Moments:
    """Mean and principal axes of flattened images, in float64.

    Args:
        mean: (n,).
        variances: lam, the variance along each axis, (k,), k = min(N, n), none negative.
        axes: U, orthonormal columns, (n, k).
    """

    mean: Tensor
    variances: Tensor
    axes: Tensor

    def gains(self, alpha_bar: float) -> Tensor:
        """lam / (lam + sigma^2), (k,)."""
        signal = alpha_bar * self.variances
        return signal / (signal + max(1 - alpha_bar, LEAST_VARIANCE))

    def filter(self, alpha_bar: float) -> Tensor:
        """W = U diag(lam / (lam + sigma^2)) U^T, (n, n)."""
        return (self.axes * self.gains(alpha_bar)) @ self.axes.T


def covariance(images: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (n,) and covariance (n, n), divided by N, of images (N, C, H, W); float64."""
    vectors = images.flatten(1)
    n = vectors.shape[1]
    _require(n, 2, len(vectors))
    mean = vectors.mean(0, dtype=torch.float64)
    spread = mean.new_zeros((n, n))
    for block in vectors.split(max(1, BLOCK // n)):
        centred = block.double() - mean
        spread.addmm_(centred.T, centred)
    return mean, spread / len(vectors)


def moments(images: Tensor) -> Moments:
    """Mean and principal axes of images (N, C, H, W); with N <= n from their singular vectors."""
    vectors = images.flatten(1)
    count, n = vectors.shape
    if count <= n:
        require_memory(3 * 8 * vectors.numel(), f"principal axes of {count:,} images")
        mean = vectors.mean(0, dtype=torch.float64)
        _, lengths, axes = torch.linalg.svd(vectors.double() - mean, full_matrices=False)
        return Moments(mean, lengths.square() / count, axes.T.contiguous())
    _require(n, 5, count)  # the matrix, its axes, and what LAPACK works in
    mean, spread = covariance(images)
    variances, axes = torch.linalg.eigh(spread)
    return Moments(mean, variances.clamp(min=0), axes)


def _require(values: int, matrices: int, count: int) -> None:
    require_memory(
        matrices * 8 * values**2,
        f"the covariance of {count:,} images of {values:,} values ({matrices} matrices of "
        f"{values:,} x {values:,} in float64)",
    )


def mean_image(images: Tensor) -> Tensor:
    """The mean of images (N, C, H, W), float64 (C, H, W)."""
    return images.mean(0, dtype=torch.float64)


class MeanImage(PreparedMachine):
    """The mean of the training images, whatever the query: the Gaussian without any spread."""

    def mean(self, x_t, alpha_bar, patch_size, label):
        return self.prepared(mean_image, label).expand(x_t.shape)


class WienerFilter(PreparedMachine):
    """The Gaussian of whole images: one linear filter at each noise level.

    Args:
        per_class: where the bank has labels, whether each class has a Gaussian of its own, or all
            images share one.
    """

    def __init__(
        self, images: Tensor, labels: Tensor | None = None, *, per_class: bool = True
    ) -> None:
        super().__init__(images, labels)
        self.per_class = one_of("per_class", per_class, (True, False))

    def mean(self, x_t, alpha_bar, patch_size, label):
        known = self.prepared(moments, label if self.per_class else None)
        centred = x_t.to(known.mean).flatten(1) / math.sqrt(alpha_bar) - known.mean
        kept = (centred @ known.axes) * known.gains(alpha_bar)
        return (known.mean + kept @ known.axes.T).view(x_t.shape)


class PatchWienerFilter(PreparedMachine):
    """The Gaussian of the P x P patches around each pixel at its own position: LS's Gaussian twin.

    The value is the patch's centre. Beyond a border of zeros nothing varies, so there a patch is
    what lies inside the image; a circular image goes on at its other side, and a patch wider than
    it is the whole of it. The filter of a noise level is kept until another is asked for.

    Args:
        boundary: "zeros" or "circular".
    """

    needs_scales = True

    def __init__(
        self, images: Tensor, labels: Tensor | None = None, *, boundary: str = "zeros"
    ) -> None:
        super().__init__(images, labels)
        self.boundary = one_of("boundary", boundary, BOUNDARIES)
        self._level: tuple[tuple, Tensor] | None = None

    def mean(self, x_t, alpha_bar, patch_size, label):
        mean, spread = self.prepared(covariance, label)
        level = (label, alpha_bar, patch_size)
        if self._level is None or self._level[0] != level:
            windows = patch_windows(x_t.shape[1:], patch_size, self.boundary).to(mean.device)
            noise = max(1 - alpha_bar, LEAST_VARIANCE) / alpha_bar
            self._level = level, window_filter(spread, windows, noise)
        centred = x_t.to(mean).flatten(1) / math.sqrt(alpha_bar) - mean
        return (mean + centred @ self._level[1].T).view(x_t.shape)


def patch_windows(shape: Sequence[int], patch_size: int, boundary: str) -> Tensor:
    """Which values of an image each pixel's patch holds: bool (H W, n) for images (C, H, W)."""
    channels, *sides = shape

    def along(side: int) -> Tensor:
        at = torch.arange(side)
        apart = (at[:, None] - at).abs()
        if boundary == "circular":
            apart = torch.minimum(apart, side - apart)
        return apart <= patch_size // 2

    rows, cols = map(along, sides)
    inside = rows[:, None, :, None] & cols[None, :, None, :]  # pixel's row, col; value's row, col
    return inside.view(sides[0] * sides[1], 1, -1).expand(-1, channels, -1).flatten(1)


def window_filter(spread: Tensor, windows: Tensor, noise: float) -> Tensor:
    """The best linear estimate of each value from the values in its pixel's window.

    Args:
        spread: covariance, (n, n), float64.
        windows: bool (pixels, n), each with the pixel itself; n = C pixels.
        noise: variance sigma^2 > 0 of the noise on each value.

    Returns:
        (n, n); row m holds the weights of value m, zero outside its window. Small windows by
        Cholesky; large ones together by conjugate gradients (relative residual 1e-10), where they
        take fewer multiplications: at high noise, where windows are large.
    """
    n, pixels = len(spread), len(windows)
    wide, shared = windows.unique(dim=0, return_inverse=True)
    counts = wide.sum(1)
    require_memory(5 * 8 * n**2, f"filters of windows in images of {n:,} values")
    condition = 1 + _largest_eigenvalue(spread) / noise
    iterations = 12 * math.sqrt(condition) + 2  # of conjugate gradients: ln(2e10) / 2 = 12
    if (counts.double() ** 3).sum() / 3 > iterations * float(n) ** 3:
        every = windows.repeat(n // pixels, 1)
        return _conjugate_gradients(spread, every.T.double(), noise, int(2 * iterations)).T
    result = torch.zeros_like(spread)
    for i, window in enumerate(wide):
        held = window.nonzero()[:, 0]
        of = (shared == i).nonzero()[:, 0]
        values = (torch.arange(n // pixels, device=of.device)[:, None] * pixels + of).flatten()
        inside = spread[held[:, None], held]
        inside.diagonal().add_(noise)
        root = torch.linalg.cholesky(inside)
        weights = torch.cholesky_solve(spread[held[:, None], values], root)
        result[values[:, None], held] = weights.T
    return result


def _largest_eigenvalue(spread: Tensor) -> float:
    """Of a covariance, by power iteration: a few per cent below at most."""
    vector = spread.diagonal().sqrt() + 1e-300
    for _ in range(20):
        vector = spread @ (vector / vector.norm().clamp(min=1e-300))
    return float(vector.norm())


def _conjugate_gradients(spread: Tensor, mask: Tensor, noise: float, most: int) -> Tensor:
    """Column m solves (S + noise I) g = S e_m on the coordinates that mask (n, n) gives it."""
    residual = mask * spread
    goal = 1e-10 * residual.norm(dim=0)
    solution, direction = torch.zeros_like(residual), residual.clone()
    square = residual.square().sum(0)
    for _ in range(most):
        if (square.sqrt() <= goal).all():
            return solution
        image = mask * (spread @ direction) + noise * direction
        step = square / (direction * image).sum(0).clamp(min=1e-300)
        solution += step * direction
        residual -= step * image
        square, before = residual.square().sum(0), square
        direction = residual + square / before.clamp(min=1e-300) * direction
    raise ArithmeticError(f"windows: no solution to 1e-10 in {most} steps of conjugate gradients")
