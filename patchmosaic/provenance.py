"""Where each pixel of a machine's answer comes from: the training patch that weighs most."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from patchmosaic.engines.dense import interior, patches, position_classes

_BLOCK = 2**22  # weights in one block: 32 MiB in float64
NEGLIGIBLE = 40.0  # log-weights so far below the largest are left out: each is below 1e-17 of it


@dataclass(frozen=True)
class Provenance:
    """For each pixel its heaviest candidate, and how many candidates share the weight; all (H, W).

    image, row, col: the training image and the position of the candidate's centre. weight: its
    share of the posterior weight, in (0, 1]. entropy: of the posterior weights, in nats; exp of it
    is an effective number of candidates.
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
) -> Provenance:
    """The heaviest candidate of the ELS machine for each pixel, from the definition.

    Streams over the bank in float64, so that memory does not grow with it.

    Args:
        x_t: one noisy image, (C, H, W).
        bank: training images, (N, C, H, W), in [-1, 1].
        alpha_bar: signal variance in (0, 1); 1 - alpha_bar is the noise variance.
        patch_size: odd side P of the patches in pixels.
        boundary, candidates: as in :class:`patchmosaic.machines.ScoreMachine`.
    """
    height, width = x_t.shape[1:]
    if boundary == "zeros":
        lines = [
            [(line, line) for line in position_classes(s, patch_size)] for s in (height, width)
        ]
    else:
        allowed = range if candidates == "wrapped" else lambda side: interior(side, patch_size)
        lines = [[(list(range(side)), list(allowed(side)))] for side in (height, width)]
    variance = 1 - alpha_bar
    queries = patches(x_t[None].double(), patch_size, boundary)[0]  # (C P P, H, W)
    log_max = torch.full((height, width), -math.inf, dtype=torch.float64)
    total, moment = torch.zeros(2, height, width, dtype=torch.float64)
    best = torch.zeros(height, width, dtype=torch.int64)  # position in the flat (N, H, W)
    step = max(1, _BLOCK // (height * width) ** 2)
    for first in range(0, len(bank), step):
        block = bank[first : first + step].double()
        keys = math.sqrt(alpha_bar) * patches(block, patch_size, boundary)  # (n, C P P, H, W)
        positions = torch.arange(first * height * width, (first + len(block)) * height * width)
        positions = positions.view(len(block), height, width)
        for query_rows, rows in lines[0]:
            for query_cols, cols in lines[1]:
                here = (torch.tensor(query_rows)[:, None], torch.tensor(query_cols))
                shape = (len(query_rows), len(query_cols))
                there = (slice(None), torch.tensor(rows)[:, None], torch.tensor(cols))
                q = queries[:, here[0], here[1]].flatten(1).T  # (Q, C P P)
                k = keys[:, :, there[1], there[2]].movedim(1, -1).flatten(0, 2)  # (K, C P P)
                # |q - k|^2 without |q|^2, which all candidates of a query share: (Q, K)
                squares = torch.addmm(k.square().sum(1), q, k.T, alpha=-2)
                smallest, at = squares.min(dim=1)
                block_max = (smallest + q.square().sum(1)) / (-2 * variance)
                mine = log_max[here].flatten()
                found = positions[there].flatten()[at]
                best[here] = torch.where(block_max > mine, found, best[here].flatten()).view(shape)
                # Rows whose weights all vanish beside the heaviest so far change nothing.
                near = (block_max > mine - NEGLIGIBLE).nonzero()[:, 0]
                new_max = torch.maximum(mine, block_max)
                log_weights = (smallest[near, None] - squares[near]) / (2 * variance)
                log_weights += (block_max - new_max)[near, None]
                weights = log_weights.exp()
                shrink = (mine - new_max).exp()
                sums = (shrink * total[here].flatten()).index_add(0, near, weights.sum(1))
                # The moment is of log-weights below the maximum, so it moves with the maximum.
                moved = torch.where(shrink > 0, mine - new_max, 0.0)
                products = shrink * (moment[here] + moved.view(shape) * total[here]).flatten()
                products = products.index_add(0, near, (weights * log_weights).sum(1))
                log_max[here], total[here] = new_max.view(shape), sums.view(shape)
                moment[here] = products.view(shape)
    entropy = total.log() - moment / total
    image, position = best // (height * width), best % (height * width)
    return Provenance(image, position // width, position % width, 1 / total, entropy.clamp(min=0))
