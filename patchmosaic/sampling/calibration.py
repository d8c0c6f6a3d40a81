"""Locality scales: the patch size at which the machine best predicts a network, at each time.

The paper's procedure: follow the network's own reverse trajectory; at each step, compare the noise
that the machine predicts at every candidate P with the noise the network predicts, by cosine
similarity; keep the best P; take the median over trajectories.

P changes little from step to step, so candidates far from the best of the step before are left out:
see :mod:`patchmosaic.sampling.climbing`.
"""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from patchmosaic.machines.local import LocalScoreMachine
from patchmosaic.sampling.climbing import best_places, climb
from patchmosaic.sampling.sampler import network_noise, network_x0
from patchmosaic.sampling.scales import best_sizes
from patchmosaic.sampling.schedule import alpha_bar, ddim, noise_from_x0, reverse_times


def cosine_similarities(
    network: nn.Module,
    machine: LocalScoreMachine,
    noise: Tensor,
    labels: Tensor | None,
    steps: int,
    patch_sizes: list[int],
) -> pd.DataFrame:
    """Cosine similarity of machine and network at every step, P that is tried and trajectory.

    At the first step, of most noise, every candidate is tried; at the others those around the best
    of the step before, as :func:`patchmosaic.sampling.climbing.climb` goes on.

    Args:
        network: noise predictor.
        machine: ELS, or LS where scales of its own are asked for; its bank may be a subset of the
            training set.
        noise: seeds of the trajectories, (B, C, H, W); never those of the evaluation.
        labels: int64 (B,), or None.
        steps: of the reverse process, as many as the machine will use; the trajectory begins at
            t = 1, whatever time the machine begins at.
        patch_sizes: odd candidates P in pixels.

    Returns:
        One row a step, P that was tried and trajectory: t, patch_size, trajectory, cosine.
    """
    visited: list[tuple[float, Tensor]] = []
    times = reverse_times(steps)
    ddim(network_x0(network, labels), noise, times, lambda t, x, _: visited.append((t, x)))
    rows: list[dict[str, float]] = []
    starts: list[int] = []
    for t, x_t in tqdm(visited, unit="step", mininterval=2, desc="calibration"):
        predicted = network_noise(network, x_t, t, labels).flatten(1).double()

        def cosines(
            place: int, x_t: Tensor = x_t, t: float = t, predicted: Tensor = predicted
        ) -> list[float]:
            mean = machine.posterior_mean(x_t, alpha_bar(t), patch_sizes[place], labels)
            expected = noise_from_x0(x_t, mean, alpha_bar(t)).flatten(1).double()
            return torch.cosine_similarity(predicted, expected, dim=1).tolist()

        found = climb(cosines, len(patch_sizes), starts)
        starts = best_places(found)
        rows += [
            {"t": t, "patch_size": patch_sizes[place], "trajectory": i, "cosine": cosine}
            for place, values in found.items()
            for i, cosine in enumerate(values)
        ]
    return pd.DataFrame(rows)


def choose_scales(cosines: pd.DataFrame) -> pd.DataFrame:
    """The median over trajectories of the best P at each time.

    With an even number of trajectories the lower of the two middle values is taken, so the result
    is a candidate and odd.

    Returns:
        One row a time, from t near 0 upwards: t, patch_size, cosine (the mean over trajectories
        of the cosine similarity at that patch size).
    """
    rows = []
    for t, group in best_sizes(cosines).groupby("t"):
        patch_size = int(np.quantile(group["patch_size"], 0.5, method="lower"))
        if patch_size == cosines["patch_size"].max():
            warnings.warn(
                f"at t = {t:g} the largest candidate, P = {patch_size}, fits best: larger ones may "
                "fit better",
                stacklevel=2,
            )
        at = cosines[(cosines["t"] == t) & (cosines["patch_size"] == patch_size)]
        rows.append({"t": t, "patch_size": patch_size, "cosine": at["cosine"].mean()})
    return pd.DataFrame(rows)


def scales_of(chosen: pd.DataFrame) -> dict[float, int]:
    """Locality scale P at each time, of a table that :func:`choose_scales` made."""
    return dict(zip(chosen["t"], chosen["patch_size"].astype(int), strict=True))
