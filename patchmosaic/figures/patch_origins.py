"""A machine's sample as a mosaic of training patches."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike

from patchmosaic.analysis.patch_origins import Provenance, provenance
from patchmosaic.datasets.images import load_images, to_float
from patchmosaic.figures.style import (
    BLUE,
    GREEN,
    ORANGE,
    PAGE_INCHES,
    PURPLE,
    SKY,
    VERMILLION,
    picture,
    style,
)
from patchmosaic.machines.local import EquivariantLocalScoreMachine
from patchmosaic.sampling.sampler import machine_x0
from patchmosaic.sampling.samples import load_samples
from patchmosaic.sampling.scales import read_scales, scale_at
from patchmosaic.sampling.schedule import alpha_bar, ddim, reverse_times

SOURCE_COLOURS = (BLUE, ORANGE, GREEN, VERMILLION, SKY, PURPLE, "#F0E442", "#000000")


GOLDEN = (5**0.5 - 1) / 2


CLEAR_WEIGHT = 0.1


NO_IMAGE = -1


def _sources(found: Provenance) -> np.ndarray:
    """The image that each pixel comes from, (H, W), or NO_IMAGE."""
    return np.where(found.weight[0] >= CLEAR_WEIGHT, found.image[0], NO_IMAGE)


def _blank(axes: Axes) -> None:
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


@style()
def patch_provenance(
    moments: Sequence[tuple[float, int, ArrayLike, ArrayLike, Provenance]],
    bank: ArrayLike,
    ids: Sequence[object] | np.ndarray,
    title: str,
) -> Figure:
    """Which training image each pixel comes from, over time, and those images.

    Pixels whose heaviest candidate has less than CLEAR_WEIGHT of the posterior weight come from no
    image in particular, as on an even ground, where many patches are alike: they are left white,
    and not counted.

    Args:
        moments: for each time, from noise to image: t, the locality scale P in pixels, x_t and the
            posterior mean, (C, H, W), and the provenance of its pixels.
        bank: (N, C, H, W), in [-1, 1].
        ids: (N,), what names the images of the bank in their dataset.
        title: above the figure.
    """
    bank, last = np.asarray(bank), moments[-1][-1]
    taken = _sources(last)
    images, counts = np.unique(taken[taken >= 0], return_counts=True)
    order = np.argsort(-counts, kind="stable")[: len(SOURCE_COLOURS)]
    sources = {int(images[i]): int(counts[i]) for i in order}
    n = len(SOURCE_COLOURS)
    cell = PAGE_INCHES / n
    figure = Figure((PAGE_INCHES, 0.35 + 1.45 * len(moments) + cell + 0.42), layout="constrained")
    heights = [1.45 * len(moments) + 0.35, cell + 0.42]
    (top,), (bottom,) = figure.subfigures(2, 1, squeeze=False, height_ratios=heights)
    grid = top.subplots(len(moments), 5, squeeze=False)
    most = max(float(p.entropy.exp().max()) for *_, p in moments)
    norm = LogNorm(1, max(np.ceil(most), 10))  # whole: the file is free of the sum's last bits
    for axes, name in zip(
        grid[0],
        ("noisy image", "posterior mean", "source image", "largest weight", "effective patches"),
        strict=True,
    ):
        axes.set_title(name)
    for line, (t, patch_size, x_t, mean, found) in zip(grid, moments, strict=True):
        image_at = _sources(found)
        grays = 0.55 + 0.4 * (image_at * GOLDEN % 1)  # neighbours of other images differ in gray
        colours = np.repeat(grays[..., None], 3, axis=2)
        colours[image_at == NO_IMAGE] = 1
        for image, colour in zip(sources, SOURCE_COLOURS, strict=False):
            colours[image_at == image] = to_rgb(colour)
        line[0].imshow(picture(np.asarray(x_t)), interpolation="nearest")
        line[1].imshow(picture(np.asarray(mean)), interpolation="nearest")
        line[2].imshow(colours, interpolation="nearest")
        weight = line[3].imshow(found.weight[0].numpy(), cmap="viridis", vmin=0, vmax=1)
        effective = line[4].imshow(found.entropy.exp().numpy(), cmap="viridis", norm=norm)
        line[0].set_ylabel(f"t = {t:.2f}\nP = {patch_size}")
        for axes in line:
            _blank(axes)
        line[2].spines[:].set(visible=True, color="0.8", linewidth=0.5)  # as it may be white
    for axes, shown in ((grid[-1, 3], weight), (grid[-1, 4], effective)):
        top.colorbar(shown, cax=axes.inset_axes((0, -0.14, 1, 0.06)), orientation="horizontal")
    figure.suptitle(title, fontsize=7.5, fontweight="bold")
    below = bottom.subplots(1, n)
    for axes in below[len(sources) :]:
        axes.set_axis_off()
    for axes, (image, count), colour in zip(below, sources.items(), SOURCE_COLOURS, strict=False):
        axes.imshow(picture(bank[image]), interpolation="nearest")
        height, width = bank.shape[2:]
        axes.add_patch(
            Rectangle((-0.5, -0.5), width, height, fill=False, ec=colour, lw=3, clip_on=False)
        )
        rows, cols = (line[0].numpy()[taken == image] for line in (last.row, last.col))
        axes.scatter(cols, rows, 3, VERMILLION, linewidths=0)
        axes.set_title(f"image {ids[image]}\n{count} pixels", fontsize=6)
        _blank(axes)
    return figure


def draw(
    *,
    bank: str,
    noise: str,
    scales: str,
    network: str,
    boundary: str,
    conditional: bool,
    candidates: str,
    engine: str,
    steps: int,
    start: str,
    images: int,
    moments: Sequence[float],
) -> Figure:
    """An ELS machine from the first seed, from the files of bank, noise and scales."""
    first = load_samples(Path(noise)).part(0, 1)
    training = load_images(bank)
    chosen, name = np.arange(len(training)), network
    if conditional:
        assert first.labels is not None  # of a class-conditional network
        label = first.labels[0]
        chosen = np.flatnonzero(training.labels == label)
        name = f"{name}, {training.class_names[label]}"
    chosen = chosen[:images]
    part, ids = to_float(training.images[chosen]), training.ids[chosen]
    sizes = read_scales(Path(scales))
    machine = EquivariantLocalScoreMachine(
        part, boundary=boundary, candidates=candidates, engine=engine, threads=1
    )
    visited: list[tuple[float, torch.Tensor, torch.Tensor]] = []
    ddim(
        machine_x0(machine, None, sizes),
        torch.from_numpy(first.images),
        reverse_times(steps, start),
        lambda t, x_t, mean: visited.append((t, x_t, mean)),
    )
    shown = []
    for share in moments:
        t, x_t, mean = visited[int(share * (len(visited) - 1))]
        size = scale_at(sizes, t)
        found = provenance(x_t[0], part, alpha_bar(t), size, boundary, candidates)
        shown.append((t, size, x_t[0], mean[0], found))
    title = f"{name}: seed {first.seeds[0]}, bank of {len(part)} images"
    return patch_provenance(shown, part, ids, title)
