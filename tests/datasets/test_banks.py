"""Patch banks: which training images are chosen, and what cannot be."""

import runpy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from configs import ROOT

from patchmosaic.datasets.banks import choose_bank, part_of_bank
from patchmosaic.datasets.content import DatasetError
from patchmosaic.datasets.images import Images, save_images
from patchmosaic.machines import brute_force
from patchmosaic.machines.build import build_machine


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


def test_mirror_images_stand_behind_their_images():
    slopes = np.arange(16, dtype=np.uint8).reshape(1, 1, 4, 4) + MADE.images
    made = Images(slopes, MADE.labels, MADE.ids, MADE.class_names, {})
    bank = choose_bank(made, 1, by_class=True, flips=True)
    mirrored = slopes[..., [3, 2, 1, 0]]
    np.testing.assert_array_equal(bank.images[::2], slopes[:2])
    np.testing.assert_array_equal(bank.images[1::2], mirrored[:2])
    assert bank.labels.tolist() == [0, 0, 1, 1]
    assert bank.ids.tolist() == ["0", "0 flipped", "1", "1 flipped"]
    assert bank.record["bank_images"] == 4
    part = part_of_bank(bank, 2, by_class=False)
    assert part.ids.tolist() == ["0", "0 flipped"]
    for found, flips in ((bank, True), (part, True), (choose_bank(made, 1, True), False)):
        assert found.record["flips"] is flips
    pooled = choose_bank(made, None, by_class=False, flips=True)
    assert pooled.labels is None
    assert len(pooled) == 10


@pytest.mark.parametrize("name", ["is", "ls", "els", "wiener"])
def test_machines_on_a_bank_with_flips_are_brute_force_over_both(name):
    """In float64: the images and, as loops see them, their mirror images."""
    pixels = np.random.default_rng(0).integers(0, 256, (3, 1, 4, 4), dtype=np.uint8)
    bank = choose_bank(Images(pixels, None, np.arange(3)), None, by_class=False, flips=True)
    both = np.concatenate([pixels, pixels[:, :, :, ::-1]]) / 127.5 - 1
    machine = build_machine(name, torch.from_numpy(bank.images / 127.5 - 1), engine="dense")
    x_t = torch.from_numpy(np.random.default_rng(1).normal(size=(1, 4, 4)))
    found = machine.posterior_mean(x_t[None], 0.6, 3)[0].numpy()
    expected = {
        "is": lambda: brute_force.ideal(x_t.numpy(), both, 0.6),
        "ls": lambda: brute_force.local(x_t.numpy(), both, 0.6, 3, "zeros"),
        "els": lambda: brute_force.equivariant_local(x_t.numpy(), both, 0.6, 3, "zeros", "wrapped"),
        "wiener": lambda: brute_force.wiener(x_t.numpy(), both, 0.6),
    }[name]()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


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
