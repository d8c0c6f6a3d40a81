"""How far a trained network looks: its input gradient over time (the paper's figure 4a)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from patchmosaic.sampling.sampler import network_x0
from patchmosaic.sampling.schedule import ddim, reverse_times


def central_gradient(
    network: nn.Module, x_t: Tensor, t: float, labels: Tensor | None = None
) -> Tensor:
    """Mean absolute gradient of the predicted noise at the central pixel, (H, W).

    The absolute values of ``d noise[c, H // 2, W // 2] / d x_t[c', h, w]`` are averaged over both
    channels and over the batch.

    Args:
        network: noise predictor.
        x_t: (B, C, H, W).
        t: time in [0, 1].
        labels: int64 (B,), or None.
    """
    _, channels, height, width = x_t.shape
    x_t = x_t.detach().clone().requires_grad_()
    noise = network(x_t, torch.full((len(x_t),), t), labels)
    central = noise[:, :, height // 2, width // 2].sum(dim=0)  # images do not mix, so a sum serves
    total = torch.zeros(height, width)
    for channel in range(channels):
        (gradient,) = torch.autograd.grad(central[channel], x_t, retain_graph=True)
        total += gradient.abs().mean(dim=(0, 1))
    return total / channels


def gradients_over_time(
    network: nn.Module, noise: Tensor, labels: Tensor | None, steps: int, moments: int
) -> dict[float, NDArray]:
    """:func:`central_gradient` along the network's own reverse trajectories: (H, W) for each time.

    Args:
        network: noise predictor.
        noise: (B, C, H, W), where the trajectories begin at t = 1.
        labels: int64 (B,), or None.
        steps: of the reverse process.
        moments: number of times at which gradients are taken, evenly chosen from noise to image.
    """
    visited: list[tuple[float, Tensor]] = []
    times = reverse_times(steps)
    ddim(network_x0(network, labels), noise, times, lambda t, x, _: visited.append((t, x)))
    chosen = np.linspace(0, len(visited) - 1, min(moments, len(visited))).round().astype(int)
    return {
        t: central_gradient(network, x_t, t, labels).numpy()
        for t, x_t in (visited[i] for i in chosen)
    }
