"""Animations from noise to image."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from matplotlib.figure import Figure

from patchmosaic.analysis.agreement import pearson_r
from patchmosaic.figures.pairs import pairs
from patchmosaic.sampling.trajectories import Trajectory, load_trajectories


def denoising_frames(
    trajectories: Mapping[str, Trajectory], seeds: Sequence[int], title: str
) -> Iterator[Figure]:
    """A figure for each time: x_t and predicted x_0 of the network and of a machine.

    Args:
        trajectories: of "network" first, then of one machine, of the same times.
        seeds: (B,), the column heads.
        title: above each frame; the time is added.
    """
    (_, network), (name, machine) = trajectories.items()
    for i, t in enumerate(network.times):
        mean = f"{name.upper()}\npredicted image"
        rows = {
            "network\nnoisy image": network.states[i],
            "network\npredicted image": network.means[i],
            f"{name.upper()}\nnoisy image": machine.states[i],
            mean: machine.means[i],
        }
        r = {mean: pearson_r(machine.means[i], network.means[i])}
        yield pairs(rows, seeds, f"{title}, t = {t:.2f}", correlations=r)


def draw(*, trajectories: str, network: str, seeds: int) -> list[Figure]:
    """The frames from the file of the trajectories of a network and its machines."""
    all_seeds, followed = load_trajectories(trajectories)
    both = {name: followed[name].part(seeds) for name in ("network", "els")}
    return list(denoising_frames(both, all_seeds[:seeds], network))
