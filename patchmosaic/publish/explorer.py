"""The mosaic explorer: which training patches made a pixel of the ELS machine.

It starts from the same noise as the network and every machine of the experiment. Its bank is a
random part of the training images, which it searches whole at every pixel, so what the page shows
is exact for the machine that it shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from patchmosaic.analysis.patch_origins import provenance
from patchmosaic.machines.local import EquivariantLocalScoreMachine
from patchmosaic.machines.registry import ordered
from patchmosaic.sampling.sampler import machine_x0, sample, visited_times
from patchmosaic.sampling.scales import scale_at
from patchmosaic.sampling.schedule import alpha_bar
from patchmosaic.sampling.trajectories import Trajectory, gathered


def random_part(candidates: np.ndarray, count: int) -> np.ndarray:
    """At most ``count`` of the numbers (n,), drawn without replacement, in rising order.

    The same numbers give the same part in every run.
    """
    if len(candidates) <= count:
        return candidates
    return np.sort(np.random.default_rng(0).choice(candidates, count, replace=False))


def explore(
    machine: EquivariantLocalScoreMachine,
    followed: Mapping[str, Trajectory],
    scales: dict[float, int],
    moments: int,
    top: int,
    steps: int,
    start: str = "full",
    protocol: str = "ours",
) -> dict[str, Any]:
    """Follow the machine beside the others from one seed; find the candidates of each pixel.

    Args:
        machine: without labels.
        followed: of one image each, from the same noise; that of "network" among them.
        scales: locality scale P in pixels at each time.
        moments: how many of the times to show, at most, first and last among them.
        top: K, how many candidates to name.
        steps, start, protocol: of :func:`patchmosaic.sampling.sampler.sample`, the others' too.

    Returns:
        The fields of :class:`Exploration` that follow from these.
    """
    times, visited = visited_times(steps, start, protocol), []
    final = sample(
        machine_x0(machine, None, scales),
        torch.from_numpy(followed["network"].states[0]),
        steps,
        start,
        description="explorer",
        observe=lambda _, *pair: visited.append(pair),
        protocol=protocol,
    )
    ours = gathered(times, visited, final)
    shown = np.unique(np.linspace(0, len(times) - 2, moments).round().astype(int))

    def frames(trajectory: Trajectory) -> np.ndarray:
        return np.stack([trajectory.states[shown, 0], trajectory.means[shown, 0]], 1)

    others = ordered(name for name in followed if name != "network")
    sizes = [scale_at(scales, times[i]) for i in shown]
    found = [
        provenance(
            torch.from_numpy(ours.states[i, 0]),
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
        "network": frames(followed["network"]),
        "machine": frames(ours),
        "names": np.array(others, dtype=str),
        "others": np.stack([frames(followed[name]) for name in others]),
    } | {
        name: torch.stack([getattr(p, name) for p in found]).numpy()
        for name in ("image", "row", "col", "weight", "entropy")
    }
