"""Animations from noise to image."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from patchmosaic.analysis.agreement import pearson_r
from patchmosaic.figures.pairs import pairs
from patchmosaic.figures.style import (
    style,
)

if TYPE_CHECKING:  # it needs torch
    from patchmosaic.sampling.trajectories import Trajectory


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


def save_animation(
    frames: Iterable[Figure], path: str | Path, *, milliseconds: int = 300, dpi: int = 300
) -> None:
    """Write frames as an animated .png (or .gif) that repeats and rests on its last frame.

    A viewer that does not animate shows the first frame, so the last one also comes first.
    """
    pictures = []
    with style():
        for figure in frames:
            figure.set_dpi(dpi)
            canvas = FigureCanvasAgg(figure)
            canvas.draw()
            pictures.append(Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3]))
    pictures = [pictures[-1], *pictures[:-1]]
    durations = [6 * milliseconds] + [milliseconds] * (len(pictures) - 1)
    first, *others = pictures
    first.save(path, save_all=True, append_images=others, duration=durations, loop=0)
