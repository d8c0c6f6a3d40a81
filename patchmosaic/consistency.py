"""Local consistency: where the reverse flow of a local score machine ends (theorem 4.1)."""

from __future__ import annotations

import torch
from torch import Tensor

from patchmosaic.machines import ScoreMachine
from patchmosaic.sampling import machine_x0
from patchmosaic.schedule import ddim, reverse_times


def black_and_white(size: int) -> Tensor:
    """The training set of the paper's figure 3: a black and a white image, (2, 1, size, size)."""
    return torch.tensor([-1.0, 1.0]).view(2, 1, 1, 1).expand(2, 1, size, size).clone()


def inconsistent_pixels(
    machine: ScoreMachine,
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
    nearest = machine.posterior_mean(images, 1.0, patch_size, labels)
    return ((images - nearest).abs() > tolerance).any(dim=1)


def constant_scale_samples(
    machine: ScoreMachine, noise: Tensor, patch_size: int, steps: int
) -> Tensor:
    """Samples (B, C, H, W) of a machine whose locality scale P is the same at all times."""
    times = reverse_times(steps)
    scales = dict.fromkeys(times, patch_size)
    return ddim(machine_x0(machine, None, scales), noise, times)
