"""The protocols of published comparisons: noise levels, clipping and final image.

Published leaderboards do not sample alike, so a number is of a protocol. Each visits noise levels
from high to low by deterministic DDIM, and its final image is the ``x_0`` predicted at the last.

============  ==========================================  ==============  ===========
protocol      levels                                      ``x_0`` within  final image
============  ==========================================  ==============  ===========
ours          cosine (:mod:`.schedule`), any number       as it is        as it is
lukoianov     linear betas, t = 900, 800, ..., 0 of 1000  clamped         as it is
golddiff      the same                                    clamped         clamped
============  ==========================================  ==============  ===========

Images are in [-1, 1] here; those of GoldDiff are compared in [0, 1], where square errors are a
quarter (:func:`patchmosaic.analysis.agreement.mse`).

Sources: Lukoianov et al., NeurIPS 2025 (arXiv 2509.09672); GoldDiff, ICML 2026 (arXiv 2602.16498).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import zip_longest

import numpy as np
from torch import Tensor

from patchmosaic.sampling.registry import PUBLISHED_STEPS
from patchmosaic.sampling.schedule import COSINE_STRETCH, alpha_bar, noise_from_x0


def linear_alpha_bars(
    levels: int = 1000, first: float = 1e-4, last: float = 0.02
) -> tuple[float, ...]:
    """alpha_bar of a DDPM's levels, whose betas grow linearly (Ho et al. 2020); float64."""
    return tuple(np.cumprod(1 - np.linspace(first, last, levels)).tolist())


def leading_steps(steps: int, levels: int = 1000) -> list[int]:
    """The levels of "leading" spacing, from noisy to clean: multiples of levels // steps."""
    return [i * (levels // steps) for i in reversed(range(steps))]


def cosine_time(a_bar: float) -> float:
    """The t of :func:`.schedule.alpha_bar` with this signal variance: where to ask our networks.

    Raises ValueError for more noise than there is at t = 1.
    """
    t = math.acos(math.sqrt(a_bar)) * 2 / math.pi * COSINE_STRETCH
    if t > 1 + 1e-9:
        raise ValueError(
            f"alpha_bar is {a_bar:g}: the cosine schedule ends at {alpha_bar(1.0):g} (t = 1)"
        )
    return min(t, 1.0)


def nearest_scale(scales: dict[float, int], a_bar: float) -> int:
    """The locality scale of the calibrated time whose log sigma is nearest to this level's.

    Args:
        scales: P in pixels at cosine times above 0.
        a_bar: in (0, 1).
    """

    def log_ratio(a: float) -> float:  # twice the log of sigma
        return math.log((1 - a) / a)

    return scales[min(scales, key=lambda t: abs(log_ratio(alpha_bar(t)) - log_ratio(a_bar)))]


@dataclass(frozen=True)
class Protocol:
    """How images are sampled and what becomes of the last prediction.

    Args:
        levels: alpha_bar of each prediction, from noisy to clean.
        clips: whether the x_0 that a step goes towards is clamped to [-1, 1]; its noise is that of
            the prediction as it was.
        clamps: whether the final image is clamped to [-1, 1].
    """

    levels: tuple[float, ...]
    clips: bool = False
    clamps: bool = False

    @property
    def times(self) -> list[float]:
        """The cosine time of each level, for what is asked by time, and 0, of the final image."""
        return [*map(cosine_time, self.levels), 0.0]

    def scales(self, calibrated: dict[float, int]) -> dict[float, int]:
        """The locality scale at each time but the last, by :func:`nearest_scale`."""
        return {cosine_time(a_bar): nearest_scale(calibrated, a_bar) for a_bar in self.levels}

    def sample(
        self,
        predict_x0: Callable[[Tensor, float], Tensor],
        seed: Tensor,
        observe: Callable[[float, Tensor, Tensor], None] | None = None,
    ) -> Tensor:
        """The final images of noise.

        Args:
            predict_x0: maps ``(x_t, alpha_bar)`` to ``x_0``, (B, C, H, W).
            seed: x at the first level, (B, C, H, W).
            observe: called as ``observe(alpha_bar, x_t, x0)`` at every level.
        """
        x = seed
        for here, following in zip_longest(self.levels, self.levels[1:]):
            x0 = predict_x0(x, here)
            if observe is not None:
                observe(here, x, x0)
            if following is not None:
                noise = noise_from_x0(x, x0, here)
                towards = x0.clamp(-1, 1) if self.clips else x0
                x = math.sqrt(following) * towards + math.sqrt(1 - following) * noise
        return x0.clamp(-1, 1) if self.clamps else x0


_LEVELS = linear_alpha_bars()
_LEADING = tuple(_LEVELS[t] for t in leading_steps(PUBLISHED_STEPS["lukoianov"]))

PUBLISHED = {
    "lukoianov": Protocol(_LEADING, clips=True),
    "golddiff": Protocol(_LEADING, clips=True, clamps=True),
}


def protocol(name: str) -> Protocol:
    """The published protocol of a name; ValueError for an unknown one."""
    if name not in PUBLISHED:
        raise ValueError(f"protocol is {name!r}: choose one of {', '.join(PUBLISHED)}")
    return PUBLISHED[name]
