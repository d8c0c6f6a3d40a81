"""Nearest training patches: brute force, what is near by construction, and what is drawn."""

import numpy as np
import pandas as pd
import pytest
import torch
from legibility import assert_legible

from patchmosaic.analysis.consistency import consistency_over_time, inconsistent_pixels
from patchmosaic.analysis.intervals import bootstrap_median
from patchmosaic.analysis.nearest_patches import nearest_patches, patch_distances
from patchmosaic.engines import native
from patchmosaic.figures.consistency import consistency_along_trajectories
from patchmosaic.figures.nearest_patches import nearest_patches as nearest_patches_figure
from patchmosaic.machines.brute_force import allowed_positions, patch
from patchmosaic.machines.local import EquivariantLocalScoreMachine, LocalScoreMachine
from patchmosaic.publish.names import HELD_OUT
from patchmosaic.sampling.trajectories import Trajectory

RNG = np.random.default_rng(0)
ENGINES = [
    "dense",
    pytest.param(
        "exact", marks=pytest.mark.skipif(not native.available(), reason="no native kernel")
    ),
]


def brute_force(images, bank, patch_size, boundary, candidates):
    """Distance of each pixel's patch to the nearest allowed one, (B, H, W)."""
    found = np.zeros((len(images), *images.shape[2:]))
    for b, row, col in np.ndindex(found.shape):
        query = patch(images[b], row, col, patch_size, boundary)
        positions = allowed_positions(row, col, images.shape[2:], patch_size, boundary, candidates)
        found[b, row, col] = min(
            ((query - patch(image, r, c, patch_size, boundary)) ** 2).mean()
            for image in bank
            for r, c in positions
        )
    return np.sqrt(found)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("conditional", [False, True])
@pytest.mark.parametrize(
    ("boundary", "candidates"),
    [("zeros", "wrapped"), ("circular", "wrapped"), ("circular", "interior")],
)
def test_nearest_patches_are_those_of_brute_force(
    engine, channels, conditional, boundary, candidates
):
    bank = RNG.uniform(-1, 1, (5, channels, 7, 6)).astype(np.float32)
    images = RNG.normal(size=(3, channels, 7, 6)).astype(np.float32)
    images[2, :, :, :3] = bank[3, :, :, :3]  # some patches are training patches
    bank_labels, labels = np.array([0, 1, 0, 1, 1]), np.array([0, 1, 1])
    machine = EquivariantLocalScoreMachine(
        torch.from_numpy(bank),
        torch.from_numpy(bank_labels) if conditional else None,
        boundary=boundary,
        candidates=candidates,
        engine=engine,
    )
    arguments = (torch.from_numpy(images), 3, torch.from_numpy(labels) if conditional else None)
    distances, centres = nearest_patches(machine, *arguments)
    for b in range(3):
        allowed = bank[bank_labels == labels[b]] if conditional else bank
        expected = brute_force(images[b : b + 1], allowed, 3, boundary, candidates)
        np.testing.assert_allclose(distances[b : b + 1], expected, atol=1e-4)
    inside = distances[2, 3, 1]
    assert inside < 1e-4
    torch.testing.assert_close(centres[2, :, 3, 1], arguments[0][2, :, 3, 1], atol=1e-3, rtol=0)
    assert distances[0].min() > 0.05


def test_patch_distances_are_roots_of_means_over_the_image():
    bank, images = torch.rand((2, 4, 1, 6, 6), dtype=torch.float64)
    machine = EquivariantLocalScoreMachine(bank, engine="dense")
    table = patch_distances(machine, images, [1, 3]).set_index(["patch_size", "image"])
    expected = brute_force(images.numpy(), bank.numpy(), 3, "zeros", "wrapped")
    for image in range(4):
        rms = np.sqrt((expected[image] ** 2).mean())
        assert table.loc[(3, image), "distance"] == pytest.approx(rms)
    assert (table.loc[1, "distance"] < table.loc[3, "distance"]).all()


def trajectory(images):
    """Three steps whose predictions are noise, noise again, and the given images."""
    noise = torch.randn((2, *images.shape), generator=torch.Generator().manual_seed(0))
    means = torch.stack([*noise.to(images), images, images]).numpy()
    return Trajectory([0.75, 0.5, 0.25, 0.0], means, means)


def test_consistency_is_perfect_for_training_images_and_not_for_noise():
    bank = torch.rand((4, 1, 8, 8), dtype=torch.float64) * 2 - 1
    machine = LocalScoreMachine(bank, engine="dense")
    scales, images = {0.25: 3, 0.5: 5, 0.75: 7}, bank[:2]
    table = consistency_over_time(machine, trajectory(images), scales, [7, 8], 2, 0.2)
    assert table["t"].tolist() == [0.75, 0.75, 0.25, 0.25]
    assert table["patch_size"].tolist() == [7, 7, 3, 3]
    assert table["seed"].tolist() == [7, 8] * 2
    final, first = table[table["t"] == 0.25], table[table["t"] == 0.75]
    assert final["rms_difference"].max() < 1e-6
    assert (final["inconsistent"] == 0).all()
    assert (first["rms_difference"] > 0.5).all()
    noise = torch.from_numpy(trajectory(images).means[0])
    wrong = inconsistent_pixels(machine, noise, 7, tolerance=0.2).double().mean(dim=(1, 2))
    np.testing.assert_allclose(first["inconsistent"], wrong)


def test_consistency_is_drawn_for_network_and_machines():
    rows = pd.DataFrame(
        [(t, seed, t * (1 + seed) / 4) for t in (1.0, 0.5, 0.05) for seed in range(3)],
        columns=["t", "seed", "inconsistent"],
    )
    table = pd.concat(
        rows.assign(network=network, source=source)
        for network in ("mnist-resnet-zeros", "fashion_mnist-resnet-zeros", "c", "d")
        for source in ("network", "is", "els")
    )
    figure = consistency_along_trajectories(table)
    assert_legible(figure)
    medians = figure.axes[0].lines[0]
    np.testing.assert_allclose(medians.get_xdata(), [0.05, 0.5, 1])
    np.testing.assert_allclose(medians.get_ydata(), [0.025, 0.25, 0.5])
    intervals = figure.axes[0].collections[0].get_datalim(figure.axes[0].transData)
    np.testing.assert_allclose(intervals.intervaly, [0.0125, 0.75])
    assert figure.axes[0].get_xlim()[0] > figure.axes[0].get_xlim()[1]


def test_distances_of_patches_stand_beside_those_of_images():
    sources = [HELD_OUT, "network, 20 steps", "network, 150 steps", "els", "ls", "is"]
    names = ("mnist-resnet-zeros", "fashion_mnist-resnet-zeros", "c")
    rows = [
        {"network": network, "source": source, "image": i, "patch_size": size, "distance": i * size}
        for network in names
        for source in sources
        for size in (3, 7)
        for i in range(5)
    ]
    patches = pd.DataFrame(rows)
    images = patches[patches["patch_size"] == 3].assign(distance=100.0).drop(columns="patch_size")
    images = pd.concat([images, images.assign(distance=1e6)])  # of more images than patches are of
    figure = nearest_patches_figure(patches, images)
    labels = [label.get_text() for label in figure.axes[2].get_xticklabels()]
    assert labels == ["3 x 3", "7 x 7", "whole image"]
    medians, _, (bars,) = figure.axes[0].containers[0].lines
    np.testing.assert_allclose(medians.get_ydata(orig=False), [6, 14, 100])
    _, low, high = bootstrap_median(np.arange(5.0))
    expected = np.outer([3, 7], [low, high])
    np.testing.assert_allclose([bar[:, 1] for bar in bars.get_segments()][:2], expected)
    assert figure.axes[0].get_title() == "mnist-resnet-zeros\nn = 5, held-out 5"
    assert_legible(figure)
    alone = [table[table["network"] == names[0]] for table in (patches, images)]
    assert_legible(nearest_patches_figure(*alone))
