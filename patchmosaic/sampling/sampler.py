"""Shared noise seeds, and sampling of machines and networks from them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from patchmosaic.machines.base import Machine
from patchmosaic.sampling.protocols import cosine_time
from patchmosaic.sampling.protocols import protocol as named
from patchmosaic.sampling.samples import Samples
from patchmosaic.sampling.scales import scale_at
from patchmosaic.sampling.schedule import alpha_bar, ddim, reverse_times, x0_from_noise

# Random streams of a seed, apart from each other. Noise that the evaluation or the calibration
# starts from is never part of a training, whose noise is torch's; the classes of seeds share their
# stream with the order of the images in a training of seed 1, which tells it nothing.
LABEL_STREAM, NOISE_STREAM, CHANGE_STREAM = 1, 0x6E6F697365, 0x6368616E6765


def seed_noise(seeds: list[int], shape: Sequence[int], stream: int = NOISE_STREAM) -> Tensor:
    """Standard normal noise, float32 (len(seeds), C, H, W); an image depends on its seed alone."""
    draws = (np.random.default_rng([stream, seed]) for seed in seeds)
    return torch.stack([torch.from_numpy(d.standard_normal(shape, np.float32)) for d in draws])


def changed_noise(noise: Samples, share: float) -> Tensor:
    """Noise (B, C, H, W) of which a share of the root mean square is drawn anew; 0: as it is.

    It stays standard normal, and depends on seed and share alone.
    """
    images = torch.from_numpy(noise.images)
    if not share:
        return images
    new = seed_noise(noise.seeds.tolist(), images.shape[1:], CHANGE_STREAM)
    return math.sqrt(1 - share**2) * images + share * new


def seed_labels(seeds: list[int], classes: int) -> Tensor:
    """A uniform class for each seed, int64 (len(seeds),); each depends on its seed alone."""
    draws = [np.random.default_rng([LABEL_STREAM, seed]).integers(classes) for seed in seeds]
    return torch.tensor(draws, dtype=torch.int64)


def machine_x0(
    machine: Machine,
    labels: Tensor | None,
    scales: dict[float, int] | None,
) -> Callable[[Tensor, float], Tensor]:
    """The machine's posterior mean as a function of ``(x_t, t)``, for :func:`schedule.ddim`.

    Args:
        machine: any machine.
        labels: int64 (B,), when the machine's bank has labels.
        scales: locality scale P in pixels at each time; None for machines of whole images.
    """

    def predict(x_t: Tensor, t: float) -> Tensor:
        patch_size = None if scales is None else scale_at(scales, t)
        return machine.posterior_mean(x_t, alpha_bar(t), patch_size, labels)

    return predict


def network_noise(network: nn.Module, x_t: Tensor, t: float, labels: Tensor | None) -> Tensor:
    """The network's predicted noise at one time for all of a batch, (B, C, H, W)."""
    with torch.inference_mode():
        return network(x_t, x_t.new_full((len(x_t),), t), labels)


def network_x0(network: nn.Module, labels: Tensor | None) -> Callable[[Tensor, float], Tensor]:
    """The network's implied ``x_0`` as a function of ``(x_t, t)``, for :func:`schedule.ddim`."""

    def predict(x_t: Tensor, t: float) -> Tensor:
        return x0_from_noise(x_t, network_noise(network, x_t, t, labels), alpha_bar(t))

    return predict


def visited_times(steps: int, start: str = "full", protocol: str = "ours") -> list[float]:
    """The times that :func:`sample` visits, ending in 0."""
    return reverse_times(steps, start) if protocol == "ours" else named(protocol).times


def sample(
    predict_x0: Callable[[Tensor, float], Tensor],
    noise: Tensor,
    steps: int,
    start: str = "full",
    description: str = "sampling",
    observe: Callable[[float, Tensor, Tensor], None] | None = None,
    protocol: str = "ours",
) -> Tensor:
    """The images of ``noise`` (B, C, H, W), with a progress bar.

    Args:
        predict_x0: maps ``(x_t, t)`` to ``x_0``.
        steps, start: of :func:`schedule.ddim`; published protocols have their own.
        observe: called as ``observe(t, x_t, x0)`` at every step.
        protocol: a name of :data:`patchmosaic.sampling.registry.PROTOCOLS`.
    """
    times = visited_times(steps, start, protocol)
    with tqdm(total=len(times) - 1, unit="step", mininterval=2, desc=description) as bar:

        def step(*visited):
            if observe is not None:
                observe(*visited)
            bar.update()

        if protocol == "ours":
            return ddim(predict_x0, noise, times, step)
        return named(protocol).sample(
            lambda x, a_bar: predict_x0(x, cosine_time(a_bar)),
            noise,
            lambda a_bar, *pair: step(cosine_time(a_bar), *pair),
        )
