"""Composites of patch posteriors: PSPC-Square, the same at our scales, and an equivariant one.

For every s x s square of the image, the posterior mean of the whole square; a pixel's value is the
mean, over all squares that cover it, of that square's value there. Of an image with a border of
zeros squares lie wholly inside; a circular one has squares that wrap around too. Source: Niedoba,
Zwartsenberg, Murphy and Wood, ICML 2025 (arXiv 2411.19339), for images with a border.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from patchmosaic.engines.dense import LEAST_VARIANCE
from patchmosaic.machines.base import BOUNDARIES, Machine
from patchmosaic.machines.prepared import one_of
from patchmosaic.system.memory import require_memory

BLOCK = 2**24  # values in one block: 64 MiB in float32
FLOAT32_LOGS = 1e4
"""Log-weights up to about so large are computed in float32, larger ones in float64: an error below
1e-3 of a weight."""

# EDM's noise levels (Karras et al. 2022, eq. 5, 18 levels), and the sides of squares at them for
# images of 32 pixels.
EDM_LEVELS = tuple(
    (80 ** (1 / 7) + i / 17 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7 for i in range(18)
)
SIDES = (32,) * 7 + (23, 15, 11, 7, 5) + (3,) * 6


def own_side(alpha_bar: float, pixels: int) -> int:
    """PSPC-Square's s at the EDM level whose log sigma is nearest, for images of so many pixels.

    The table is that of CIFAR-10; for other sizes s is the same part of the image, rounded.
    """
    sigma = math.sqrt(max(1 - alpha_bar, LEAST_VARIANCE) / alpha_bar)
    nearest = min(range(18), key=lambda i: abs(math.log(EDM_LEVELS[i] / sigma)))
    return max(1, round(SIDES[nearest] * pixels / 32))


def band(side: int, square: int, boundary: str) -> Tensor:
    """Which positions along one side each place of a square covers, (places, side), 0 or 1."""
    at = torch.arange(side)
    first = at if boundary == "circular" else at[: side - square + 1]
    return ((at - first[:, None]) % side < square).float()


def _dtype(values: int, variance: float) -> torch.dtype:
    return torch.float32 if values / variance < FLOAT32_LOGS else torch.float64


def square_composite(
    x: Tensor, bank: Tensor, alpha_bar: float, square: int, boundary: str
) -> Tensor:
    """The composite for queries (B, C, H, W) over images (N, C, H, W), in float64.

    The weights of one query at all places of squares are held at once; distances and sums over
    squares are box filters, as products with band matrices.
    """
    variance, scale = max(1 - alpha_bar, LEAST_VARIANCE), math.sqrt(alpha_bar)
    channels, height, width = x.shape[1:]
    dtype = _dtype(channels * square**2, variance)
    rows, cols = (band(s, square, boundary).to(bank.device, dtype) for s in (height, width))
    require_memory(
        3 * dtype.itemsize * len(bank) * len(rows) * len(cols),
        f"weights of {len(bank):,} images at {len(rows) * len(cols):,} places of squares",
    )
    blocks = bank.split(max(1, BLOCK // (channels * height * width)))
    count = rows.sum(0)[:, None].double() * cols.sum(0)
    result = []
    for query in x.to(bank.device, dtype):
        squares = ((query - scale * block.to(dtype)).square().sum(1) for block in blocks)
        distances = torch.cat([rows @ (each @ cols.T) for each in squares])  # (N, H', W')
        weights = (distances / (-2 * variance)).softmax(0)
        total = torch.zeros_like(query, dtype=torch.float64)
        for block, part in zip(blocks, weights.split(len(blocks[0])), strict=True):
            covering = rows.T @ (part @ cols)  # (n, H, W)
            total += (block.to(dtype) * covering[:, None]).sum(0, dtype=torch.float64)
        result.append(total / count)
    return torch.stack(result)


def equivariant_composite(
    x: Tensor, bank: Tensor, alpha_bar: float, square: int, boundary: str
) -> Tensor:
    """As :func:`square_composite`, with the squares of all places as candidates for each."""
    variance, scale = max(1 - alpha_bar, LEAST_VARIANCE), math.sqrt(alpha_bar)
    values = x.shape[1] * square**2
    dtype = _dtype(values, variance)
    index = _square_index(x.shape[1:], square, boundary).to(bank.device)  # (K, C s s)
    per_block = max(1, BLOCK // (len(index) * max(len(index), values)))
    count = torch.zeros(x[0].numel(), dtype=torch.float64, device=bank.device)
    count.index_add_(0, index.flatten(), torch.ones_like(index, dtype=torch.float64).flatten())
    result = []
    for query in x.to(bank.device, dtype).flatten(1):
        asked = scale / variance * query[index]  # (K, C s s)
        log_max = asked.new_full((len(index), 1), -math.inf, dtype=torch.float64)
        weight = torch.zeros_like(log_max)
        value = weight.new_zeros(asked.shape)
        for block in bank.flatten(1).split(per_block):
            keys = block.to(dtype)[:, index].flatten(0, 1)  # (n K, C s s)
            logs = asked @ keys.T - keys.square().sum(1) * (scale**2 / (2 * variance))
            most = torch.maximum(log_max, logs.amax(1, keepdim=True).double())
            weights = (logs - most.to(dtype)).exp()
            before = (log_max - most.to(dtype).double()).exp()
            weight = before * weight + weights.sum(1, keepdim=True, dtype=torch.float64)
            value = before * value + (weights @ keys).double()
            log_max = most.to(dtype).double()
        total = torch.zeros_like(count).index_add_(0, index.flatten(), (value / weight).flatten())
        result.append(total / count)
    return torch.stack(result).view(x.shape)


def _square_index(shape: Sequence[int], square: int, boundary: str) -> Tensor:
    """Positions, in a flattened image (C, H, W), of what each square holds: (places, C s s)."""
    channels, height, width = shape
    rows, cols = (
        (torch.arange(len(band(side, square, boundary)))[:, None] + torch.arange(square)) % side
        for side in (height, width)
    )
    pixels = rows[:, None, :, None] * width + cols[None, :, None, :]  # (H', W', s, s)
    pixels = pixels.reshape(len(rows) * len(cols), 1, -1)
    return (torch.arange(channels)[:, None] * (height * width) + pixels).flatten(1)


class CompositeMachine(Machine):
    """What the composites share.

    Args:
        boundary: "zeros" (squares wholly inside the image) or "circular" (wrapped ones too).
    """

    def __init__(
        self, images: Tensor, labels: Tensor | None = None, *, boundary: str = "zeros"
    ) -> None:
        super().__init__(images, labels)
        self.boundary = one_of("boundary", boundary, BOUNDARIES)


class PSPCSquareMachine(CompositeMachine):
    """PSPC-Square: candidates at a square's own place, sides by noise level (:func:`own_side`)."""

    def mean(self, x_t, alpha_bar, patch_size, label):
        square = own_side(alpha_bar, min(x_t.shape[2:]))
        return square_composite(x_t, self.bank(label), alpha_bar, square, self.boundary)


class SquareCompositeMachine(CompositeMachine):
    """The composite of P x P squares at their own place: LS with whole patches for centres.

    P is the locality scale, or the image's side where that is smaller.
    """

    needs_scales = True

    def mean(self, x_t, alpha_bar, patch_size, label):
        square = min(patch_size, *x_t.shape[2:])
        return square_composite(x_t, self.bank(label), alpha_bar, square, self.boundary)


class EquivariantCompositeMachine(CompositeMachine):
    """The composite of P x P squares from all places: ELS with whole patches for centres.

    Each query weighs every square of the bank for each of its own, so time grows with the square of
    the places: for small banks or images.
    """

    needs_scales = True

    def mean(self, x_t, alpha_bar, patch_size, label):
        square = min(patch_size, *x_t.shape[2:])
        return equivariant_composite(x_t, self.bank(label), alpha_bar, square, self.boundary)
