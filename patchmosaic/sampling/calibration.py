"""Locality scales: the patch size at which the machine best predicts a network, at each time.

The paper's procedure: follow the network's own reverse trajectory; at each step, compare the noise
that the machine predicts at every candidate P with the noise the network predicts, by cosine
similarity; keep the best P; take the median over trajectories.
"""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from patchmosaic.machines.local import LocalScoreMachine
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
    """Cosine similarity of machine and network at every step, candidate P and trajectory.

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
        One row a step, candidate and trajectory: t, patch_size, trajectory, cosine.
    """
    visited: list[tuple[float, Tensor]] = []
    times = reverse_times(steps)
    ddim(network_x0(network, labels), noise, times, lambda t, x, _: visited.append((t, x)))
    rows = []
    total = len(visited) * len(patch_sizes)
    with tqdm(total=total, unit="scale", mininterval=2, desc="calibration") as bar:
        for t, x_t in visited:
            predicted = network_noise(network, x_t, t, labels).flatten(1).double()
            for patch_size in patch_sizes:
                mean = machine.posterior_mean(x_t, alpha_bar(t), patch_size, labels)
                expected = noise_from_x0(x_t, mean, alpha_bar(t)).flatten(1).double()
                cosines = torch.cosine_similarity(predicted, expected, dim=1)
                rows += [
                    {"t": t, "patch_size": patch_size, "trajectory": i, "cosine": float(cosine)}
                    for i, cosine in enumerate(cosines)
                ]
                bar.update()
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
