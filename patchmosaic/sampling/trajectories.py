"""Reverse trajectories of machines and networks from the same noise, step by step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from patchmosaic.system.arrays import read_arrays
from patchmosaic.system.files import written_whole

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Trajectory:
    """What DDIM visits from noise to image.

    times: T + 1 times, decreasing to 0. states: x_t at each of them, (T + 1, B, C, H, W), the last
    of them the image. means: the predicted x_0, same shape; at t = 0 the image itself. They are
    arrays of NumPy, so that tables and figures of them do without torch.
    """

    times: list[float]
    states: np.ndarray
    means: np.ndarray

    def part(self, count: int) -> Trajectory:
        """The trajectories of the first so many images."""
        return Trajectory(self.times, self.states[:, :count], self.means[:, :count])

    def of(self, image: int) -> Trajectory:
        """The trajectory of one image, from 0."""
        one = slice(image, image + 1)
        return Trajectory(self.times, self.states[:, one], self.means[:, one])


def gathered(
    times: list[float], visited: Sequence[tuple[Tensor, Tensor]], image: Tensor
) -> Trajectory:
    """The trajectory through ``(x_t, x_0)`` at each time but the last, which has the image."""
    states, means = (
        np.stack([x.numpy() for x in (*each, image)]) for each in zip(*visited, strict=True)
    )
    return Trajectory(times, states, means)


def follow(
    predict_x0: Callable[[Tensor, float], Tensor], noise: Tensor, times: list[float]
) -> Trajectory:
    """The trajectory of :func:`patchmosaic.sampling.schedule.ddim` from ``noise`` (B, C, H, W)."""
    from patchmosaic.sampling.schedule import ddim  # here, as loading does without torch

    visited: list[tuple[Tensor, Tensor]] = []
    image = ddim(predict_x0, noise, times, lambda _, x_t, mean: visited.append((x_t, mean)))
    return gathered(times, visited, image)


def save_trajectories(path: Path, seeds: list[int], trajectories: Mapping[str, Trajectory]) -> None:
    """Write trajectories of the same times and seeds, as .npz without pickle, or nothing."""
    arrays = {"seeds": np.array(seeds), "times": np.array(next(iter(trajectories.values())).times)}
    for name, trajectory in trajectories.items():
        arrays[f"{name} states"] = trajectory.states
        arrays[f"{name} means"] = trajectory.means
    with written_whole(path) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def load_trajectories(path: str | Path) -> tuple[list[int], dict[str, Trajectory]]:
    """Seeds and trajectories by name, as :func:`save_trajectories` wrote them."""
    arrays = read_arrays(path)
    names = [key.removesuffix(" states") for key in arrays if key.endswith(" states")]
    times = arrays["times"].tolist()
    found = {
        name: Trajectory(times, arrays[f"{name} states"], arrays[f"{name} means"]) for name in names
    }
    return arrays["seeds"].tolist(), found


def load_joined(
    paths: Sequence[Path], name: str, seeds: list[int], noise: np.ndarray
) -> Trajectory:
    """The trajectory of that name of several files, which must start from ``noise`` (B, C, H, W).

    Raises ValueError naming the files if they are of other seeds or noise.
    """
    found, parts = [], []
    for path in paths:
        of_path, trajectories = load_trajectories(path)
        found += of_path
        parts.append(trajectories[name])
    states = np.concatenate([part.states for part in parts], axis=1)
    means = np.concatenate([part.means for part in parts], axis=1)
    if found != seeds or not np.array_equal(states[0], noise):
        raise ValueError(
            f"{', '.join(map(str, paths))}: trajectories of other noise than this run's; "
            "remove them, and they are made again"
        )
    return Trajectory(parts[0].times, states, means)
