"""The fused engine: LS and ELS on a graphics card, exact, by one Triton kernel.

For one shift between a query and a training image the squared patch distances of all pixels are a
box filter of squared differences, which here is a product with two banded matrices of zeros and
ones, whatever the patch size. The kernel fuses that filter with the exponential and the running
sums; nothing of size queries x patches exists. All in float32, without TF32; the sums of parts of
the bank are merged in float64.

Importing this module needs Triton, which comes with PyTorch for CUDA. With ``TRITON_INTERPRET=1``
in the environment Triton runs the kernel on the CPU, slowly: so
tests/engines/test_fused.py checks it.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import nullcontext

import torch
import triton
import triton.language as tl
from torch import Tensor

from patchmosaic.engines.base import FLOAT32_LEAST_VARIANCE, PosteriorSums

PROGRAMS = 4096  # parts of the work, over queries and bank: many more than a card has processors
MOST_IMAGES = 128  # of a part: float32 sums stay short
NEVER = tl.constexpr(-3e38)  # the largest logarithm before the first candidate


@triton.jit
def _accumulate(
    x,
    bank,
    band_rows,
    band_cols,
    log_max,
    weight,
    weighted_value,
    images,
    images_a_part,
    scale,
    half,
    reach_rows,
    reach_cols,
    C: tl.constexpr,
    H: tl.constexpr,
    W: tl.constexpr,
    CHANNELS: tl.constexpr,
    ROWS: tl.constexpr,
    COLS: tl.constexpr,
    WRAPS: tl.constexpr,
    INTERIOR: tl.constexpr,
):
    """Sums of one query over one part of the bank; tiles of (CHANNELS, ROWS, COLS) >= (C, H, W).

    A pixel p of the query meets q = p + (dy, dx) of the bank, and its weight is 2^-D.
    """
    query, part = tl.program_id(0), tl.program_id(1)
    c = tl.arange(0, CHANNELS)[:, None, None]
    row = tl.arange(0, ROWS)[:, None]
    col = tl.arange(0, COLS)[None, :]
    in_query = (c < C) & ((row < H) & (col < W))[None]
    pixels = c * H * W + (row * W + col)[None]
    x_p = tl.load(x + query * C * H * W + pixels, mask=in_query, other=0.0)
    over_rows = tl.load(band_rows + row * ROWS + tl.arange(0, ROWS)[None, :])
    over_cols = tl.load(band_cols + tl.arange(0, COLS)[:, None] * COLS + col)

    m = tl.full([ROWS, COLS], NEVER, tl.float32)
    s = tl.zeros([ROWS, COLS], tl.float32)
    u = tl.zeros([CHANNELS, ROWS, COLS], tl.float32)
    first = part * images_a_part
    last = tl.minimum(first + images_a_part, images)
    for dy in range(0 if WRAPS else -reach_rows, reach_rows + 1):
        q_row = row + dy
        if WRAPS:
            q_row = tl.where(q_row >= H, q_row - H, q_row)
        inner_rows = (q_row >= half) & (q_row < H - half)
        if not WRAPS:  # the broken boundary: both patches inside, or cut alike
            inner_rows = (dy == 0) | (inner_rows & (row >= half) & (row < H - half))
        for dx in range(0 if WRAPS else -reach_cols, reach_cols + 1):
            q_col = col + dx
            if WRAPS:
                q_col = tl.where(q_col >= W, q_col - W, q_col)
            inner_cols = (q_col >= half) & (q_col < W - half)
            if not WRAPS:
                inner_cols = (dx == 0) | (inner_cols & (col >= half) & (col < W - half))
            met = (row < H) & (col < W) & (q_row >= 0) & (q_row < H) & (q_col >= 0) & (q_col < W)
            allowed = met
            if INTERIOR or not WRAPS:
                allowed = met & inner_rows & inner_cols
            at = c * H * W + (q_row * W + q_col)[None]
            # Sums over the images of a shift first, then over shifts: short sums round little.
            before = m
            s_shift = tl.zeros([ROWS, COLS], tl.float32)
            u_shift = tl.zeros([CHANNELS, ROWS, COLS], tl.float32)
            image = bank + part.to(tl.int64) * images_a_part * C * H * W
            for _ in range(first, last):
                y_q = tl.load(image + at, mask=(c < C) & met[None], other=0.0)
                d = x_p - scale * y_q
                squares = tl.where(met, tl.sum(d * d, axis=0), 0.0)
                sums = tl.dot(over_rows, squares, input_precision="ieee")
                distance = tl.dot(sums, over_cols, input_precision="ieee")
                log_weight = tl.where(allowed, -distance, float("-inf"))
                top = tl.maximum(m, log_weight)
                kept = tl.exp2(m - top)
                w = tl.exp2(log_weight - top)
                m = top
                s_shift = s_shift * kept + w
                u_shift = u_shift * kept[None] + w[None] * y_q
                image += C * H * W
            kept_before = tl.exp2(before - m)
            s = s * kept_before + s_shift
            u = u * kept_before[None] + u_shift

    pixel = row * W + col
    in_image = (row < H) & (col < W)
    block = query * tl.num_programs(1) + part
    tl.store(log_max + block * H * W + pixel, m, mask=in_image)
    tl.store(weight + block * H * W + pixel, s, mask=in_image)
    tl.store(weighted_value + block * C * H * W + pixels, u, mask=in_query)


class FusedEngine:
    """The :class:`patchmosaic.engines.base.Engine` of this file; its bank is the images."""

    name = "fused"
    least_variance = FLOAT32_LEAST_VARIANCE
    bytes_a_value = 0

    @staticmethod
    def unavailable_reason(device: torch.device) -> str:
        interpreted = os.environ.get("TRITON_INTERPRET") == "1"
        return "" if device.type == "cuda" or interpreted else "images are not on a graphics card"

    def bank(self, images: Tensor) -> Tensor:
        return images

    def posterior_sums(
        self,
        x: Tensor,
        bank: Tensor,
        alpha_bar: float,
        patch_size: int,
        *,
        boundary: str = "zeros",
        candidates: str = "wrapped",
        equivariant: bool = True,
    ) -> PosteriorSums:
        if boundary == "zeros":
            patch_size = min(patch_size, 2 * max(x.shape[2:]) - 1)  # covers all
        half, wraps = patch_size // 2, boundary == "circular"
        interior = equivariant and candidates == "interior"

        def reach(side: int) -> int:
            """The largest shift along one axis for which there are candidates."""
            if not equivariant:
                return 0
            return side - 1 if wraps else max(side - 2 * half - 1, 0)

        reaches = reach(x.shape[2]), reach(x.shape[3])
        return PosteriorSums.concatenate(
            [
                _sums(some, bank, images_a_part, alpha_bar, half, reaches, wraps, interior)
                for some, images_a_part in _batches(x.to(bank.device), len(bank))
            ]
        )


def _batches(x: Tensor, images: int) -> Iterator[tuple[Tensor, int]]:
    """The queries in as few batches as are of use, each with the images of a part of the bank."""
    images_a_part = min(-(-images * len(x) // PROGRAMS), MOST_IMAGES)
    parts = -(-images // images_a_part)
    if len(x) > 1 and len(x) * parts > 2 * PROGRAMS:  # more is of no use, and takes memory
        for some in x.split(max(1, 2 * PROGRAMS // parts)):
            yield from _batches(some, images)
    else:
        yield x, images_a_part


def _sums(
    x: Tensor,
    bank: Tensor,
    images_a_part: int,
    alpha_bar: float,
    half: int,
    reaches: tuple[int, int],
    wraps: bool,
    interior: bool,
) -> PosteriorSums:
    """The sums of one batch, for patches of 2 half + 1 pixels and shifts up to ``reaches``."""
    batch, channels, height, width = x.shape
    parts = -(-len(bank) // images_a_part)
    unit = math.sqrt(math.log2(math.e) / (2 * (1 - alpha_bar)))  # so that a weight is 2^-D
    # 16 is the least side that tl.dot takes.
    rows, cols = (max(16, triton.next_power_of_2(side)) for side in (height, width))
    log_max = x.new_empty(batch, parts, height, width, dtype=torch.float32)
    weight = torch.empty_like(log_max)
    value = x.new_empty(batch, parts, channels, height, width, dtype=torch.float32)
    with torch.cuda.device(x.device) if x.is_cuda else nullcontext():
        _accumulate[(batch, parts)](
            (x.double() * unit).float().contiguous(),
            bank.float().contiguous(),
            _band(height, half, wraps, rows).to(x.device),
            _band(width, half, wraps, cols).to(x.device),
            log_max,
            weight,
            value,
            len(bank),
            images_a_part,
            unit * math.sqrt(alpha_bar),
            half,
            *reaches,
            C=channels,
            H=height,
            W=width,
            CHANNELS=triton.next_power_of_2(channels),
            ROWS=rows,
            COLS=cols,
            WRAPS=wraps,
            INTERIOR=interior,
            num_warps=4 if rows * cols <= 1024 else 8,
            num_stages=1,  # an image is small; other programs hide the time that it takes to come
        )
    log_max, weight, value = log_max.double(), weight.double(), value.double()
    top = log_max.amax(1)
    relative = torch.exp2(log_max - top[:, None])
    return PosteriorSums(
        top * math.log(2),
        (relative * weight).sum(1),
        (relative[:, :, None] * value).sum(1),
    )


def _band(side: int, half: int, wraps: bool, padded: int) -> Tensor:
    """How often the window around pixel i holds pixel j, (padded, padded)."""
    counts = torch.zeros(padded, padded)
    for offset in range(-half, half + 1):
        j = torch.arange(side) + offset
        inside = torch.ones_like(j, dtype=torch.bool) if wraps else (j >= 0) & (j < side)
        counts[torch.arange(side)[inside], j[inside] % side] += 1
    return counts
