"""Local consistency: where the reverse flow of a local score machine ends (theorem 4.1)."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import torch
from torch import Tensor

from patchmosaic.analysis.nearest_patches import nearest_patches
from patchmosaic.machines.base import CandidateMachine
from patchmosaic.sampling.sampler import machine_x0
from patchmosaic.sampling.scales import scale_at
from patchmosaic.sampling.schedule import ddim, reverse_times
from patchmosaic.sampling.trajectories import Trajectory


def black_and_white(size: int) -> Tensor:
    """The training set of the paper's figure 3: a black and a white image, (2, 1, size, size)."""
    return torch.tensor([-1.0, 1.0]).view(2, 1, 1, 1).expand(2, 1, size, size).clone()


def inconsistent_pixels(
    machine: CandidateMachine,
    images: Tensor,
    patch_size: int,
    labels: Tensor | None = None,
    tolerance: float = 0.5,
) -> Tensor:
    """Pixels that are not the centre of their nearest allowed training patch, bool (B, H, W).

    Theorem 4.1: as t goes to 0 the reverse flow ends in images without such pixels.

    Args:
        machine: LS or ELS; its candidates are the allowed patches.
        images: (B, C, H, W), in [-1, 1].
        patch_size: odd side P of the patches in pixels.
        labels: int (B,), when the machine's bank has labels.
        tolerance: largest difference in any channel that still counts as equal.
    """
    _, centres = nearest_patches(machine, images, patch_size, labels)
    return ((images - centres).abs() > tolerance).any(dim=1)


def consistency_over_time(
    machine: CandidateMachine,
    trajectory: Trajectory,
    scales: dict[float, int],
    seeds: Sequence[int],
    every: int,
    tolerance: float,
    labels: Tensor | None = None,
) -> pd.DataFrame:
    """How locally consistent the predicted x_0 is along a reverse trajectory.

    Args:
        machine, tolerance, labels: as for :func:`inconsistent_pixels`; the trajectory need not be
            this machine's.
        scales: locality scale P in pixels at each time, at which patches are compared.
        seeds: (B,), of the trajectory's images.
        every: steps between two that are measured; the last, whose x_0 is the final image, is one.

    Returns:
        A row a time and seed: t, seed, patch_size, rms_difference between the pixels and the
        centres of their nearest patches, and inconsistent, the share of such pixels.
    """
    tables = []
    for i in reversed(range(len(trajectory.times) - 2, -1, -every)):
        t, images = trajectory.times[i], torch.from_numpy(trajectory.means[i])
        patch_size = scale_at(scales, t)
        _, centres = nearest_patches(machine, images, patch_size, labels)
        differences = (images - centres).abs()
        wrong = (differences > tolerance).any(dim=1)
        rows = {
            "t": t,
            "seed": seeds,
            "patch_size": patch_size,
            "rms_difference": differences.square().mean(dim=(1, 2, 3)).sqrt(),
            "inconsistent": wrong.double().mean(dim=(1, 2)),
        }
        tables.append(pd.DataFrame(rows))
    return pd.concat(tables, ignore_index=True)


def constant_scale_samples(
    machine: CandidateMachine, noise: Tensor, patch_size: int, steps: int
) -> Tensor:
    """Samples (B, C, H, W) of a machine whose locality scale P is the same at all times."""
    times = reverse_times(steps)
    scales = dict.fromkeys(times, patch_size)
    return ddim(machine_x0(machine, None, scales), noise, times)
