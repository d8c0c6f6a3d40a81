"""Where a trained network looks: its input gradient over time (the paper's figure 4a)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from patchmosaic.machines.gaussian import WienerFilter, moments
from patchmosaic.sampling.sampler import network_x0
from patchmosaic.sampling.schedule import alpha_bar, ddim, reverse_times, x0_from_noise
from patchmosaic.sampling.trajectories import Trajectory

Pixel = tuple[int, int]


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


def quarter_pixels(height: int, width: int) -> list[Pixel]:
    """The central pixel, and the four in the middle of the quarters of an image."""
    rows, cols = ((side // 4, 3 * side // 4) for side in (height, width))
    return [(height // 2, width // 2), *((row, col) for row in rows for col in cols)]


def x0_gradients(
    network: nn.Module, x_t: Tensor, t: float, labels: Tensor | None, pixels: Sequence[Pixel]
) -> Tensor:
    """How much the network's predicted ``x_0`` at some pixels depends on the others, (B, K, H, W).

    The mean over channels, of output and input, of ``|d x_0[c, pixel] / d x_t[c', h, w]|``; zero at
    the pixel itself, on which all predictions depend.

    Args:
        network: noise predictor.
        x_t: (B, C, H, W).
        t: time in (0, 1].
        labels: int64 (B,), or None.
        pixels: K rows and columns.
    """
    x_t = x_t.detach().clone().requires_grad_()
    noise = network(x_t, torch.full((len(x_t),), t), labels)
    x_0 = x0_from_noise(x_t, noise, alpha_bar(t))
    maps = []
    for row, col in pixels:
        total = torch.zeros_like(x_t[:, 0])
        for channel in range(x_t.shape[1]):  # images do not mix, so the gradient of a sum serves
            asked = x_0[:, channel, row, col].sum()
            (gradient,) = torch.autograd.grad(asked, x_t, retain_graph=True)
            total += gradient.abs().mean(1) / x_t.shape[1]
        total[:, row, col] = 0
        maps.append(total)
    return torch.stack(maps, 1)


def filter_gradients(
    filtered: Tensor, shape: Sequence[int], alpha_bar: float, pixels: Sequence[Pixel]
) -> Tensor:
    """:func:`x0_gradients` of a Wiener filter, (K, H, W): rows of W over sqrt(alpha_bar).

    Args:
        filtered: W, (n, n), as of :meth:`patchmosaic.machines.gaussian.Moments.filter`.
        shape: (C, H, W) of the images, n values.
        alpha_bar: the noise level of W.
        pixels: K rows and columns.
    """
    rows = filtered.view(*shape, *shape).abs().mean(dim=(0, 3)) / alpha_bar**0.5  # (H, W, H, W)
    maps = torch.stack([rows[pixel] for pixel in pixels])
    for found, pixel in zip(maps, pixels, strict=True):
        found[pixel] = 0
    return maps


def far_shares(maps: Tensor, pixels: Sequence[Pixel], reach: int) -> Tensor:
    """Share of gradients (B, K, H, W) beyond ``reach`` rows or columns of their pixel, (B,)."""
    rows, cols = (torch.arange(side) for side in maps.shape[2:])
    far = torch.stack(
        [
            ((rows - row).abs() > reach)[:, None] | ((cols - col).abs() > reach)
            for row, col in pixels
        ]
    )
    return (maps * far).sum(dim=(1, 2, 3)) / maps.sum(dim=(1, 2, 3))


def gradients_beside_filters(
    network: nn.Module,
    trajectory: Trajectory,
    labels: Tensor | None,
    filters: Mapping[str, WienerFilter],
    times: Sequence[float],
    seeds: Sequence[int],
) -> pd.DataFrame:
    """Where a network looks along its own way, beside where Wiener filters look.

    Args:
        network: noise predictor.
        trajectory: its own, of B images.
        labels: int64 (B,), or None; then the filters have labels, too.
        filters: by name, each of a set of images.
        times: those of the trajectory's that are nearest to these.
        seeds: (B,).

    Returns:
        A row a time and seed: t, seed, far (:func:`far_shares` beyond a quarter of the image), and
        for each filter the cosine of its gradients, of all pixels of :func:`quarter_pixels` as one
        vector, with the network's.
    """
    shape = trajectory.states.shape[2:]
    pixels, reach, tables = quarter_pixels(*shape[1:]), min(shape[1:]) // 4, []
    for wanted in times:
        i = min(range(len(trajectory.times) - 1), key=lambda i: abs(trajectory.times[i] - wanted))
        t = trajectory.times[i]
        states = torch.from_numpy(trajectory.states[i])
        maps = x0_gradients(network, states, t, labels, pixels).double()
        rows = {"t": t, "seed": list(seeds), "far": far_shares(maps, pixels, reach)}
        told = [None] * len(maps) if labels is None else labels.tolist()
        for name, machine in filters.items():
            of_label = {
                label: filter_gradients(
                    machine.prepared(moments, label).filter(alpha_bar(t)),
                    shape,
                    alpha_bar(t),
                    pixels,
                )
                for label in set(told)
            }
            expected = torch.stack([of_label[label] for label in told])
            rows[name] = torch.cosine_similarity(maps.flatten(1), expected.flatten(1))
        tables.append(pd.DataFrame(rows))
    return pd.concat(tables, ignore_index=True)
