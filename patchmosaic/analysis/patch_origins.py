"""Where each pixel of a machine's answer comes from: the training patches that weigh most."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from patchmosaic.engines.dense import extend, interior, patches, position_classes

_BLOCK = 2**19  # weights, or values of patches, in one block: 4 MiB in float64, which caches hold
NEGLIGIBLE = 40.0  # log-weights so far below the largest are left out: each is below 1e-17 of it
LEAST = -80.0  # log of the least weight, 1e-35: the exponential is slow where it underflows


@dataclass(frozen=True)
class Provenance:
    """For each pixel its heaviest candidates, and how many candidates share the weight.

    image, row, col: the training image and the position of a candidate's centre, (top, H, W), the
    heaviest first. weight: its share of the posterior weight, in [0, 1], same shape; 0 beyond the
    last where a pixel has fewer candidates. entropy: of the posterior weights, in nats, (H, W); exp
    of it is an effective number of candidates.
    """

    image: Tensor
    row: Tensor
    col: Tensor
    weight: Tensor
    entropy: Tensor


def provenance(
    x_t: Tensor,
    bank: Tensor,
    alpha_bar: float,
    patch_size: int,
    boundary: str = "zeros",
    candidates: str = "wrapped",
    top: int = 1,
    dtype: torch.dtype = torch.float64,
) -> Provenance:
    """The heaviest candidates of the ELS machine for each pixel, from the definition.

    Streams over the patches of the bank.

    Args:
        x_t: one noisy image, (C, H, W).
        bank: training images, (N, C, H, W), in [-1, 1].
        alpha_bar: signal variance in (0, 1); 1 - alpha_bar is the noise variance.
        patch_size: odd side P of the patches in pixels.
        boundary, candidates: as in :class:`patchmosaic.machines.base.CandidateMachine`.
        top: how many candidates of each pixel to name.
        dtype: of distances and weights. float32 takes about half the time; weights are then
            within 1% of those of float64 (tests/analysis/test_patch_origins.py).
    """
    height, width = x_t.shape[1:]
    if boundary == "zeros":
        lines = [
            [(line, line) for line in position_classes(s, patch_size)] for s in (height, width)
        ]
    else:
        allowed = range if candidates == "wrapped" else lambda side: interior(side, patch_size)
        lines = [[(list(range(side)), list(allowed(side)))] for side in (height, width)]
    queries = patches(x_t[None].to(dtype), patch_size, boundary)[0]  # (C P P, H, W)
    wide = extend(bank, patch_size // 2, boundary)
    at = torch.zeros(top, height, width, dtype=torch.int64)  # positions in the flat (N, H, W)
    weight = torch.zeros(top, height, width, dtype=dtype)
    entropy = torch.zeros(height, width, dtype=dtype)
    for query_rows, rows in lines[0]:
        for query_cols, cols in lines[1]:
            here = (torch.tensor(query_rows)[:, None], torch.tensor(query_cols))
            q = queries[:, here[0], here[1]].flatten(1).T  # (Q, C P P)
            # The part of each image in which the candidates lie, all next to each other.
            part = wide[:, :, rows[0] : rows[-1] + patch_size, cols[0] : cols[-1] + patch_size]
            found, shares, spread = _heaviest(q, part, alpha_bar, patch_size, top)
            inside = len(rows) * len(cols)
            image, inside_at = found // inside, found % inside
            row, col = rows[0] + inside_at // len(cols), cols[0] + inside_at % len(cols)
            shape = (-1, len(query_rows), len(query_cols))
            at[:, here[0], here[1]] = ((image * height + row) * width + col).T.reshape(shape)
            weight[:, here[0], here[1]] = shares.T.reshape(shape)
            entropy[here] = spread.view(shape[1:])
    image, position = at // (height * width), at % (height * width)
    return Provenance(image, position // width, position % width, weight, entropy)


def _heaviest(
    queries: Tensor, images: Tensor, alpha_bar: float, patch_size: int, top: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The heaviest of all patches within images (N, C, h, w), for queries (Q, C P P).

    Returns:
        Which patches, (Q, top), numbered through all images, rows and columns; their shares of the
        weight, (Q, top); and the entropy of all weights, (Q,).
    """
    n, terms = queries.shape
    inside = (images.shape[2] - patch_size + 1) * (images.shape[3] - patch_size + 1)
    variance = 1 - alpha_bar
    # Log-weights here are without -|q|^2 / 2 variance, which all candidates of a query share.
    heaviest = queries.new_full((n, top), -math.inf)
    found = torch.zeros(n, top, dtype=torch.int64)
    total, moment = queries.new_zeros(2, n)
    step = max(1, _BLOCK // (max(n, terms) * inside))
    for first in range(0, len(images), step):
        some = math.sqrt(alpha_bar) * images[first : first + step].to(queries.dtype)
        windows = some.unfold(2, patch_size, 1).unfold(3, patch_size, 1)  # (n, C, h, w, P, P)
        keys = windows.permute(1, 4, 5, 0, 2, 3).reshape(terms, -1)  # (C P P, K)
        offset = keys.square().sum(0) / (-2 * variance)
        log_weights = torch.addmm(offset, queries, keys, alpha=1 / variance)  # (Q, K)
        before, block_max = heaviest[:, 0].clone(), log_weights.amax(1)
        new = (block_max > heaviest[:, -1]).nonzero()[:, 0]
        values, which = log_weights[new].topk(min(top, len(offset)))
        heaviest[new], order = torch.cat([heaviest[new], values], 1).topk(top)
        found[new] = torch.cat([found[new], which + first * inside], 1).gather(1, order)
        # Rows whose weights all vanish beside the heaviest so far change nothing.
        near = (block_max > before - NEGLIGIBLE).nonzero()[:, 0]
        log_max = heaviest[:, 0]
        below = log_weights if len(near) == n else log_weights[near]
        below.sub_(log_max[near, None]).clamp_(min=LEAST)
        weights = below.exp()
        # The moment is of log-weights below the maximum, so it moves with the maximum.
        shrink = (before - log_max).exp()
        moved = torch.where(shrink > 0, before - log_max, 0.0)
        moment = shrink * (moment + moved * total)
        total = (shrink * total).index_add(0, near, weights.sum(1))
        moment = moment.index_add(0, near, weights.mul_(below).sum(1))
    shares = (heaviest - heaviest[:, :1]).exp() / total[:, None]
    return found, shares, (total.log() - moment / total).clamp(min=0)
