"""The dense engine: plain torch, blocked, streaming log-sum-exp; any device, readable first.

Every function returns :class:`PosteriorSums` of queries ``x`` (B, C, H, W) over candidates from
``bank`` (N, C, H, W). All work in the dtype of the queries (float64 by :func:`prepared`), convert
the bank block by block, and hold at most about ``BLOCK`` weights at a time. A log-weight is
``-|x - sqrt(alpha_bar) y|^2 / (2 s2)`` with ``s2 = 1 - alpha_bar``.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from patchmosaic.engines.base import PosteriorSums

BLOCK = 2**24  # weights in one block: 128 MiB in float64
LEAST_VARIANCE = 1e-9
"""The limit alpha_bar -> 1 (nearest candidate, ties averaged) is taken at this 1 - alpha_bar."""


def extend(images: Tensor, margin: int, boundary: str) -> Tensor:
    """Images (N, C, H, W) with ``margin`` pixels added on each side: zeros, or wrapped around."""
    if boundary == "zeros":
        return F.pad(images, (margin, margin, margin, margin))
    rows, cols = (
        torch.arange(-margin, side + margin, device=images.device) % side
        for side in images.shape[-2:]
    )
    return images[..., rows[:, None], cols]


def patches(images: Tensor, patch_size: int, boundary: str) -> Tensor:
    """Every P x P patch: (N, C, H, W) -> (N, C P P, H, W), a patch at its centre's position."""
    n, _, rows, cols = images.shape
    unfolded = F.unfold(extend(images, patch_size // 2, boundary), patch_size)
    return unfolded.reshape(n, -1, rows, cols)


def interior(side: int, patch_size: int) -> range:
    """Positions along one side whose patch lies within the image."""
    return range(patch_size // 2, side - patch_size // 2)


def position_classes(side: int, patch_size: int) -> list[list[int]]:
    """Positions along one side that share candidates under the broken boundary.

    All interior positions are one class; every position whose patch crosses an edge is a class of
    its own. A pixel's candidates are the positions in its row class times those in its column
    class.
    """
    inside = list(interior(side, patch_size))
    alone = [[position] for position in range(side) if position not in inside]
    return ([inside] if inside else []) + alone


def _softmax_sums(log_weights: Tensor, values: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(Q, K) log-weights and (K, C) values -> maximum (Q,), weight (Q,), weighted value (Q, C)."""
    log_max = log_weights.amax(dim=1)
    weights = (log_weights - log_max[:, None]).exp()
    return log_max, weights.sum(dim=1), weights @ values


def equivariant_local(
    x: Tensor,
    bank: Tensor,
    alpha_bar: float,
    variance: float,
    patch_size: int,
    boundary: str,
    candidates: str,
) -> PosteriorSums:
    """ELS: candidates are patches at every position that the boundary allows (paper, sec. 4.3)."""
    batch, channels, height, width = x.shape
    scale = math.sqrt(alpha_bar)
    if boundary == "zeros":
        groups = [
            (r, c, r, c)
            for r in position_classes(height, patch_size)
            for c in position_classes(width, patch_size)
        ]
    else:
        rows, cols = (
            list(range(side) if candidates == "wrapped" else interior(side, patch_size))
            for side in (height, width)
        )
        groups = [(list(range(height)), list(range(width)), rows, cols)]

    queries = patches(x, patch_size, boundary)  # (B, C P P, H, W)
    log_max = x.new_full((batch, height, width), -math.inf)
    weight = x.new_zeros((batch, height, width))
    weighted_value = x.new_zeros(x.shape)
    # Images a block: bounded by its weights (queries times patches) and by its patches themselves.
    an_image = height * width * max(batch * height * width, queries.shape[1])
    images_a_block = max(1, BLOCK // an_image)
    for first in range(0, len(bank), images_a_block):
        block = bank[first : first + images_a_block].to(x.dtype)
        keys = scale * patches(block, patch_size, boundary)  # (n, C P P, H, W)
        for query_rows, query_cols, rows, cols in groups:
            at = (slice(None), slice(None), torch.tensor(query_rows)[:, None], query_cols)
            of = (slice(None), slice(None), torch.tensor(rows)[:, None], cols)
            q = queries[at].permute(0, 2, 3, 1).flatten(0, 2)  # (Q, C P P)
            k = keys[of].permute(0, 2, 3, 1).flatten(0, 2)  # (K, C P P)
            v = block[of].permute(0, 2, 3, 1).flatten(0, 2)  # (K, C)
            squares = q.square().sum(1)[:, None] + k.square().sum(1) - 2 * q @ k.T
            m, s, u = _softmax_sums(squares / (-2 * variance), v)
            shape = (batch, len(query_rows), len(query_cols))
            sums = PosteriorSums(
                m.view(shape), s.view(shape), u.view(*shape, channels).permute(0, 3, 1, 2)
            )
            here = (at[0], at[2], at[3])
            merged = PosteriorSums(log_max[here], weight[here], weighted_value[at]).merge(sums)
            log_max[here], weight[here] = merged.log_max, merged.weight
            weighted_value[at] = merged.weighted_value
    return PosteriorSums(log_max, weight, weighted_value)


def local(
    x: Tensor, bank: Tensor, alpha_bar: float, variance: float, patch_size: int, boundary: str
) -> PosteriorSums:
    """LS: candidates are the patches at the pixel's own position (paper, sec. 4.1)."""
    batch, channels, height, width = x.shape
    scale, total = math.sqrt(alpha_bar), PosteriorSums.empty(x, per_pixel=True)
    for block in bank.split(max(1, BLOCK // (batch * channels * height * width))):
        block = block.to(x.dtype)
        squares = (x[:, None] - scale * block).square().sum(2)  # (B, n, H, W)
        wide = extend(squares, patch_size // 2, boundary)
        box = F.avg_pool2d(F.avg_pool2d(wide, (patch_size, 1), 1), (1, patch_size), 1)
        log_weights = box * (-(patch_size**2) / (2 * variance))
        log_max = log_weights.amax(dim=1)
        weights = (log_weights - log_max[:, None]).exp()
        value = torch.einsum("bnhw,nchw->bchw", weights, block)
        total = total.merge(PosteriorSums(log_max, weights.sum(dim=1), value))
    return total


def ideal(x: Tensor, bank: Tensor, alpha_bar: float, variance: float) -> PosteriorSums:
    """IS: candidates are whole training images (paper, sec. 3.1)."""
    queries, total = x.flatten(1), PosteriorSums.empty(x, per_pixel=False)
    for block in bank.split(max(1, BLOCK // max(len(x), queries.shape[1]))):
        block = block.flatten(1).to(x.dtype)
        products = math.sqrt(alpha_bar) * queries @ block.T
        squares = queries.square().sum(1)[:, None] - 2 * products
        squares += alpha_bar * torch.linalg.vector_norm(block, dim=1).square()
        m, s, u = _softmax_sums(squares / (-2 * variance), block)
        total = total.merge(PosteriorSums(m[:, None, None], s[:, None, None], u.view(x.shape)))
    return total


def equivariant(x: Tensor, bank: Tensor, alpha_bar: float, variance: float) -> PosteriorSums:
    """ES: candidates are all circular translates of all training images, by FFT correlation."""
    batch, channels, height, width = x.shape
    scale, total = math.sqrt(alpha_bar), PosteriorSums.empty(x, per_pixel=False)
    x_hat = torch.fft.rfft2(x)
    x_square = x.square().sum((1, 2, 3))[:, None, None, None]
    for block in bank.split(max(1, BLOCK // (batch * channels * height * width))):
        block = block.to(x.dtype)
        block_hat = torch.fft.rfft2(block)
        # correlation[b, n, s] = sum over channels and positions of x[p + s] y[p]
        correlation = torch.fft.irfft2(
            torch.einsum("bchw,nchw->bnhw", x_hat, block_hat.conj()), s=(height, width)
        )
        block_square = scale**2 * block.square().sum((1, 2, 3))[:, None, None]
        squares = x_square + block_square - 2 * scale * correlation  # (B, n, H, W) over shifts
        log_weights = squares / (-2 * variance)
        log_max = log_weights.amax(dim=(1, 2, 3))[:, None, None]
        weights = (log_weights - log_max[:, None]).exp()
        # sum over images and shifts of weight times the shifted image is a convolution
        value_hat = torch.einsum("bnhw,nchw->bchw", torch.fft.rfft2(weights), block_hat)
        value = torch.fft.irfft2(value_hat, s=(height, width))
        weight = weights.sum(dim=(1, 2, 3))[:, None, None]
        total = total.merge(PosteriorSums(log_max, weight, value))
    return total


def prepared(x: Tensor, bank: Tensor, alpha_bar: float) -> tuple[Tensor, Tensor, float, float]:
    """What the functions above take: queries as float64 beside the bank, and the variance."""
    x = x.to(bank.device, torch.float64)
    return x, bank, alpha_bar, max(1 - alpha_bar, LEAST_VARIANCE)


class DenseEngine:
    """The :class:`patchmosaic.engines.base.Engine` of this file; its bank is the images."""

    name = "dense"
    least_variance = 0.0
    bytes_a_value = 0

    @staticmethod
    def unavailable_reason(device: torch.device) -> str:  # noqa: ARG004
        return ""

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
        query = prepared(x, bank, alpha_bar)
        if equivariant:
            return equivariant_local(*query, patch_size, boundary, candidates)
        return local(*query, patch_size, boundary)
