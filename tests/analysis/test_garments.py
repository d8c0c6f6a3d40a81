"""Inconsistent garments: the criterion, and what is drawn of it."""

import numpy as np
import pandas as pd
from legibility import assert_legible, texts

from patchmosaic.analysis.garments import asymmetry, inconsistent, limbs
from patchmosaic.figures.garments import inconsistent_garments


def garment(*rows):
    """An image (1, H, W) from rows of letters: # is bright."""
    return np.array([[[1.0 if pixel == "#" else -1.0 for pixel in row] for row in rows]])


TROUSERS = garment("####", "#..#", "#..#")
THREE_LEGS = garment("#####", "#.#.#", "#.#.#")
ONE_LEG = garment("####", "#...", "#...")


def test_limbs_are_separate_stretches_of_a_row():
    assert limbs(np.stack([TROUSERS, ONE_LEG, TROUSERS * 0 - 1])).tolist() == [2, 1, 0]
    assert limbs(THREE_LEGS[None]).tolist() == [3]


def test_asymmetry_is_the_share_that_has_no_mirror_image():
    found = asymmetry(np.stack([TROUSERS, ONE_LEG, TROUSERS * 0 - 1]))
    np.testing.assert_allclose(found, [0, 4 / 8, 0])


def test_only_what_is_rare_in_its_class_is_inconsistent():
    training = np.stack([TROUSERS] * 19 + [ONE_LEG] * 21)
    labels = np.array([0] * 20 + [1] * 20)
    found = inconsistent(
        np.stack([TROUSERS, ONE_LEG, ONE_LEG]), np.array([0, 0, 1]), training, labels
    )
    assert found["lopsided"].tolist() == [False, True, False]
    assert found["inconsistent"].tolist() == [False, True, False]
    assert found["extra_limbs"].tolist() == [False, False, False]
    found = inconsistent(np.stack([TROUSERS]), np.array([1]), training, labels)
    assert found["extra_limbs"].tolist() == [True]


def found(*lopsided):
    table = pd.DataFrame({"extra_limbs": False, "lopsided": lopsided})
    return table.assign(inconsistent=table["lopsided"])


def test_figure_draws_the_networks_and_counts_what_is_shared():
    images = np.random.default_rng(0).uniform(-1, 1, (4, 1, 3, 3))
    figure = inconsistent_garments(
        {"network": images, "els": images / 2},
        {"network": found(True, False, True, True), "els": found(True, True, False, True)},
        [10, 11, 12, 13],
        ["Coat"] * 4,
        "a network",
    )
    assert len(figure.axes[0].images) == 2 * 3
    drawn = texts(figure)
    assert {"network\n3 of 4", "ELS\n3 (2) of 4", "seed 12\nCoat\nlopsided"} <= set(drawn)
    assert "r = 1.00" in drawn
    assert_legible(figure)
    none = inconsistent_garments(
        {"network": images}, {"network": found(*[False] * 4)}, range(4), ["Coat"] * 4, "a network"
    )
    assert texts(none) == ["a network: none of 4 garments is inconsistent"]
