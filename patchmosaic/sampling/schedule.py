"""The noise schedule and the deterministic reverse process (DDIM).

A noisy image is ``x_t = sqrt(alpha_bar) x_0 + sqrt(1 - alpha_bar) z`` with ``z`` standard normal
and pixels of ``x_0`` in [-1, 1]. Time runs from t = 1 (noise) to t = 0 (image).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import overload

import torch
from torch import Tensor

from patchmosaic.sampling.registry import STARTS

COSINE_STRETCH = 1.008
"""The paper's reference cosine: no offset, the quarter period stretched by this factor."""


@overload
def alpha_bar(t: float) -> float: ...
@overload
def alpha_bar(t: Tensor) -> Tensor: ...
def alpha_bar(t: float | Tensor) -> float | Tensor:
    """Cosine schedule ``alpha_bar(t) = cos(t / 1.008 * pi / 2) ** 2`` for t in [0, 1]."""
    angle = t * (math.pi / 2 / COSINE_STRETCH)
    return torch.cos(angle) ** 2 if isinstance(angle, Tensor) else math.cos(angle) ** 2


def reverse_times(steps: int, start: str = "full") -> list[float]:
    """The times t_0 > t_1 > ... > 0 that the reverse process visits.

    Args:
        steps: number of equal steps that divide [0, 1].
        start: "full" begins at t = 1 (the definition); "skip_first" begins at
            t = 1 - 1/steps and takes the seed as x there (what the paper's reference machine does).

    Returns:
        ``steps + 1`` times ending in 0, or ``steps`` of them for "skip_first".
    """
    if steps < 2:
        raise ValueError(f"steps is {steps}: the reverse process needs at least 2 steps")
    if start not in STARTS:
        raise ValueError(f"start is {start!r}: choose one of {', '.join(STARTS)}")
    times = [i / steps for i in range(steps, -1, -1)]
    return times if start == "full" else times[1:]


def noise_from_x0(x_t: Tensor, x0: Tensor, a_bar: float) -> Tensor:
    """The noise z that joins ``x_0`` to ``x_t`` at ``a_bar``; same shape as both."""
    return (x_t - math.sqrt(a_bar) * x0) / math.sqrt(1 - a_bar)


def x0_from_noise(x_t: Tensor, noise: Tensor, a_bar: float) -> Tensor:
    """The image ``x_0`` that ``x_t`` and a predicted noise imply; same shape as both."""
    return (x_t - math.sqrt(1 - a_bar) * noise) / math.sqrt(a_bar)


def ddim(
    predict_x0: Callable[[Tensor, float], Tensor],
    seed: Tensor,
    times: list[float],
    observe: Callable[[float, Tensor, Tensor], None] | None = None,
) -> Tensor:
    """Deterministic DDIM from noise to image (Song et al. 2021, eq. 12 with sigma = 0).

    Args:
        predict_x0: maps ``(x_t, t)`` to the posterior mean of ``x_0``, shape (B, C, H, W).
        seed: x at ``times[0]``, shape (B, C, H, W).
        times: decreasing, ending in 0 (see :func:`reverse_times`).
        observe: called as ``observe(t, x_t, x0)`` at every step.

    Returns:
        The image at t = 0, shape (B, C, H, W); not clamped.
    """
    x = seed
    for t, t_next in pairwise(times):
        x0 = predict_x0(x, t)
        if observe is not None:
            observe(t, x, x0)
        a_next = alpha_bar(t_next)
        noise = noise_from_x0(x, x0, alpha_bar(t))
        x = math.sqrt(a_next) * x0 + math.sqrt(1 - a_next) * noise
    return x
