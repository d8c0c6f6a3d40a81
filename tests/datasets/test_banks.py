"""Patch banks: which training images are chosen, and what cannot be."""

import runpy
from types import SimpleNamespace

import numpy as np
import pytest
from configs import ROOT

from patchmosaic.datasets.banks import choose_bank, part_of_bank
from patchmosaic.datasets.content import DatasetError
from patchmosaic.datasets.images import Images, save_images


def images(labels, names):
    n = len(labels)
    pixels = np.arange(n, dtype=np.uint8)[:, None, None, None].repeat(4, 2).repeat(4, 3)
    return Images(pixels, np.array(labels), np.arange(n), names, {"dataset": "made"})


MADE = images([0, 1, 1, 0, 1], ("cat", "dog"))


def test_the_first_images_are_chosen_in_order():
    assert choose_bank(MADE, None, by_class=True).ids.tolist() == [0, 1, 2, 3, 4]
    assert choose_bank(MADE, 1, by_class=True).ids.tolist() == [0, 1]
    pooled = choose_bank(MADE, 3, by_class=False)
    assert pooled.ids.tolist() == [0, 1, 2]
    assert pooled.labels is None
    assert part_of_bank(MADE, 9, by_class=True).labels.tolist() == [0, 1, 1, 0]


@pytest.mark.parametrize(
    ("made", "count", "said"),
    [
        (MADE, 3, "asks for 3 images, but there are 2 images of the rarest class"),
        (images([0, 2], ("cat", "dog", "owl")), None, "there are no training images of dog"),
        (images([0, 1], ("cat", "dog", "owl")), None, "there are no training images of owl"),
    ],
)
def test_banks_that_cannot_be_are_refused(made, count, said):
    with pytest.raises(DatasetError, match=said):
        choose_bank(made, count, by_class=True)


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (images([0, 0], ("cat", "dog")), "there are no training images of dog"),
        (Images(MADE.images, None, MADE.ids, (), {}), "its images have no classes"),
    ],
)
def test_nothing_is_trained_without_images_of_every_class(made, said, tmp_path, capsys):
    save_images(tmp_path / "images.npz", made)
    job = SimpleNamespace(
        log=[str(tmp_path / "log")],
        threads=1,
        wildcards=SimpleNamespace(network="mine"),
        params=SimpleNamespace(network={"conditional": True}),
        input=SimpleNamespace(images=str(tmp_path / "images.npz")),
    )
    with pytest.raises(SystemExit):
        runpy.run_path(str(ROOT / "scripts/networks/train.py"), {"snakemake": job}, "__main__")
    assert f"error: networks.mine.conditional: a class-conditional network, and {said}" in (
        capsys.readouterr().err
    )
