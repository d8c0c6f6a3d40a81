"""The mosaic explorer: which training patches made a pixel of the ELS machine.

Machine and network start from the same noise. The machine's bank is a random part of the training
images, which it searches whole at every pixel, so what the page shows is exact for the machine that
it shows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from patchmosaic.analysis.patch_origins import provenance
from patchmosaic.machines.local import EquivariantLocalScoreMachine
from patchmosaic.sampling.sampler import machine_x0
from patchmosaic.sampling.scales import scale_at
from patchmosaic.sampling.schedule import alpha_bar
from patchmosaic.sampling.trajectories import follow


def random_part(candidates: np.ndarray, count: int) -> np.ndarray:
    """At most ``count`` of the numbers (n,), drawn without replacement, in rising order.

    The same numbers give the same part in every run.
    """
    if len(candidates) <= count:
        return candidates
    return np.sort(np.random.default_rng(0).choice(candidates, count, replace=False))


def explore(
    machine: EquivariantLocalScoreMachine,
    network: Callable[[Tensor, float], Tensor],
    noise: Tensor,
    times: list[float],
    scales: dict[float, int],
    moments: int,
    top: int,
) -> dict[str, Any]:
    """Follow both from one seed, and find the candidates of each pixel at some of the times.

    Args:
        machine: without labels.
        network: its predicted x_0 as a function of ``(x_t, t)``.
        noise: (1, C, H, W).
        times: of the reverse process, as
            :func:`patchmosaic.sampling.schedule.reverse_times` gives them.
        scales: locality scale P in pixels at each time.
        moments: how many of the times to show, at most, first and last among them.
        top: K, how many candidates to name.

    Returns:
        The fields of :class:`Exploration` that follow from these.
    """
    shown = np.unique(np.linspace(0, len(times) - 2, moments).round().astype(int))
    both = [
        follow(predict, noise, times) for predict in (network, machine_x0(machine, None, scales))
    ]
    network_images, machine_images = (
        torch.stack([t.states[shown, 0], t.means[shown, 0]], 1).numpy() for t in both
    )
    sizes = [scale_at(scales, times[i]) for i in shown]
    found = [
        provenance(
            both[1].states[i, 0],
            machine.images,
            alpha_bar(times[i]),
            size,
            machine.boundary,
            machine.candidates,
            top,
            torch.float32,
        )
        for i, size in zip(shown, sizes, strict=True)
    ]
    return {
        "steps": len(times) - 1,
        "step": shown,
        "times": np.array(times)[shown],
        "patch_sizes": np.array(sizes),
        "network": network_images,
        "machine": machine_images,
    } | {
        name: torch.stack([getattr(p, name) for p in found]).numpy()
        for name in ("image", "row", "col", "weight", "entropy")
    }
