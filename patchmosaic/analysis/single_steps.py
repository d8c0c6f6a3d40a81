"""Single predictions of machine and network, and ways on which one takes over from the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from torch import Tensor

from patchmosaic.analysis.agreement import pearson_r
from patchmosaic.datasets.images import Images
from patchmosaic.sampling.schedule import alpha_bar, ddim, reverse_times

Predict = Callable[[Tensor, float], Tensor]
"""The predicted ``x_0`` as a function of ``(x_t, t)``, as :func:`schedule.ddim` takes it."""

IMAGE_STREAM = 0x696D616765  # of a seed, apart from its noise and label


def chosen_images(images: Images, seeds: Sequence[int], labels: ArrayLike | None) -> list[int]:
    """The position of a training image for each seed, which depends on seed and label alone.

    Args:
        images: with labels where seeds have some.
        seeds: (B,).
        labels: (B,), whose images are chosen from, or None for all images.
    """
    found = []
    for i, seed in enumerate(seeds):
        among = np.arange(len(images))
        if labels is not None:
            among = np.flatnonzero(images.labels == np.asarray(labels)[i])
        found.append(int(np.random.default_rng([IMAGE_STREAM, seed]).choice(among)))
    return found


def noised(images: Tensor, noise: Tensor, t: float) -> Tensor:
    """The forward process: ``sqrt(alpha_bar) images + sqrt(1 - alpha_bar) noise``, (B, C, H, W)."""
    a_bar = alpha_bar(t)
    return a_bar**0.5 * images + (1 - a_bar) ** 0.5 * noise


def single_steps(
    machine: Predict, network: Predict, states: Mapping[float, Tensor], seeds: Sequence[int]
) -> pd.DataFrame:
    """Pearson's r of what machine and network predict from the same ``x_t``.

    Args:
        states: x_t (B, C, H, W) by time.
        seeds: (B,).

    Returns:
        A row a time and seed: t, seed, pearson_r.
    """
    tables = []
    for t, x_t in states.items():
        r = pearson_r(machine(x_t, t), network(x_t, t))
        tables.append(pd.DataFrame({"t": t, "seed": list(seeds), "pearson_r": r}))
    return pd.concat(tables, ignore_index=True)


def switched(first: Predict, second: Predict, switch: float) -> Predict:
    """``first`` at times above ``switch``, ``second`` from there on."""
    return lambda x_t, t: (first if t > switch else second)(x_t, t)


def hybrids(
    machine: Predict, network: Predict, noise: Tensor, steps: int, seeds: Sequence[int]
) -> pd.DataFrame:
    """Likeness with the network's image where a machine has its place for thirds of the time.

    Args:
        machine: IS, say.
        network: with whose own images they are compared.
        noise: (B, C, H, W), at t = 1.
        steps: of the reverse process.
        seeds: (B,).

    Returns:
        A row an order, switch and seed: first ("machine" or "network"), switch (1, where every step
        is the second's, 2/3, 1/3, or 0, where every step is the first's), seed, pearson_r.
    """
    times, predict = reverse_times(steps), {"machine": machine, "network": network}
    own, tables = ddim(network, noise, times), []
    for first, second in (("machine", "network"), ("network", "machine")):
        for switch in (1, 2 / 3, 1 / 3, 0):
            image = ddim(switched(predict[first], predict[second], switch), noise, times)
            rows = {"seed": list(seeds), "pearson_r": pearson_r(image, own)}
            tables.append(pd.DataFrame(rows).assign(first=first, switch=switch))
    return pd.concat(tables, ignore_index=True)
