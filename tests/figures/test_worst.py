"""The figure of the seeds that agree least, from files of two shards."""

import numpy as np
import pandas as pd
import pytest
from legibility import assert_legible, texts

from patchmosaic.datasets.images import Images, save_images
from patchmosaic.figures.pairs import draw as draw_pairs
from patchmosaic.figures.worst import draw
from patchmosaic.sampling.samples import Samples, save_samples

SEEDS, SHARD, SHOWN = 14, 8, 10


@pytest.fixture
def files(tmp_path):
    """What the rule gives: r of ELS falls with the seed, but is undefined for seed 3."""
    random = np.random.default_rng(0)
    shards = {}
    for name in ("network", "els", "is"):
        images = random.uniform(-1, 1, (SEEDS, 1, 4, 4)).astype(np.float32)
        labels, seeds = np.arange(SEEDS) % 2, np.arange(SEEDS)
        shards[name] = []
        for first in (0, SHARD):
            path = tmp_path / f"{name}-{first}.npz"
            save_samples(path, Samples(images, seeds, labels, {}).part(first, first + SHARD))
            shards[name].append(str(path))
    training = Images(np.zeros((2, 1, 4, 4), np.uint8), np.arange(2), np.arange(2), ("cat", "dog"))
    save_images(tmp_path / "bank.npz", training)
    r = 0.9 - 0.01 * np.arange(SEEDS)
    r[3] = np.nan
    table = pd.concat(
        pd.DataFrame({"seed": np.arange(SEEDS), "machine": machine, "pearson_r": values})
        for machine, values in (("els", r), ("is", -r))
    )
    table.to_csv(tmp_path / "agreement.csv", index=False)
    bank, agreement = str(tmp_path / "bank.npz"), str(tmp_path / "agreement.csv")
    return shards | {"bank": bank, "agreement": agreement}


def test_the_lowest_come_first_with_their_labels_and_numbers(files):
    figure = draw(**files, title="a network", steps="20", seeds=SHOWN)
    shown = texts(figure)
    worst = [3, *range(SEEDS - 1, SEEDS - SHOWN, -1)]
    heads = [text.split("\n") for text in shown if text.startswith("seed ")]
    assert heads == [[f"seed {seed}", ("cat", "dog")[seed % 2]] for seed in worst]
    assert "r undefined" in shown
    assert f"r = {0.9 - 0.01 * 13:.2f}" in shown
    images = [image.get_array() for image in figure.axes[0].images]
    assert len(images) == 3 * SHOWN
    assert_legible(figure)


def test_images_are_those_of_their_seeds(files):
    first = draw(**files, title="a network", steps="20", seeds=SHOWN).axes[0].images
    with np.load(files["network"][1]) as shard:
        of_13 = (shard["images"][13 - SHARD, 0] + 1) / 2
    np.testing.assert_allclose(first[3].get_array()[..., 0], of_13, atol=1e-6)


def test_pairs_are_of_the_first_seeds_whatever_shards_they_lie_in(files):
    figure = draw_pairs(**files, title="a network", steps="20", seeds=SHOWN)
    heads = [text.split("\n")[0] for text in texts(figure) if text.startswith("seed ")]
    assert heads == [f"seed {seed}" for seed in range(SHOWN)]
    with np.load(files["network"][1]) as shard:
        of_9 = (shard["images"][9 - SHARD, 0] + 1) / 2
    drawn = figure.axes[0].images[3 * 9].get_array()  # of three rows, column by column
    np.testing.assert_allclose(drawn[..., 0], of_9, atol=1e-6)
