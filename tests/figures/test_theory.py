"""Mosaics and border dictionaries: local consistency, and figures that need no data."""

import numpy as np
import pytest
import torch
from legibility import assert_legible, texts

from patchmosaic.analysis.consistency import (
    black_and_white,
    constant_scale_samples,
    inconsistent_pixels,
)
from patchmosaic.figures.borders import border_dictionaries
from patchmosaic.figures.mosaics import mosaics
from patchmosaic.machines.local import EquivariantLocalScoreMachine, LocalScoreMachine
from patchmosaic.sampling.sampler import seed_noise

BANK = black_and_white(8).double()
NOISE = seed_noise([0, 1, 2, 3], (1, 8, 8)).double()


def machine(cls):
    return cls(BANK, boundary="circular", engine="dense")


def test_patches_of_constant_images_vote_by_their_mean():
    """A pixel is inconsistent where its sign is not that of the mean over its patch."""
    images = torch.where(NOISE > 0, 1.0, -1.0).double()
    around = [torch.roll(images, (i, j), (2, 3)) for i in (-1, 0, 1) for j in (-1, 0, 1)]
    against = (sum(around) * images < 0)[:, 0]
    found = inconsistent_pixels(machine(EquivariantLocalScoreMachine), images, 3)
    assert 0 < found.sum() < found.numel()
    torch.testing.assert_close(found, against)
    assert not inconsistent_pixels(machine(LocalScoreMachine), BANK, 3).any()


def test_ls_is_els_where_training_images_are_constant():
    els, ls = (
        constant_scale_samples(machine(cls), NOISE, 3, 10)
        for cls in (EquivariantLocalScoreMachine, LocalScoreMachine)
    )
    torch.testing.assert_close(els, ls)


def test_smaller_steps_leave_fewer_inconsistent_pixels():
    """Theorem 4.1, which holds in the limit of small steps."""
    shares = []
    for steps in (5, 500):
        images = constant_scale_samples(machine(LocalScoreMachine), NOISE, 5, steps)
        shares.append(inconsistent_pixels(machine(LocalScoreMachine), images, 5).double().mean())
    assert shares[1] < shares[0] / 2


def test_border_dictionaries_count_the_candidates():
    figure = border_dictionaries(size=9, patch_size=3)
    counts = [axes.get_title().split("\n")[1] for axes in figure.axes]
    assert counts == [f"{k} of 81 positions" for k in (49, 7, 1, 81, 1)]
    dots = [len(axes.collections[0].get_offsets()) for axes in figure.axes]
    assert dots == [49, 7, 1, 81, 1]


def test_mosaics_mark_what_is_inconsistent():
    images = {(size, steps): NOISE.numpy() for size in (3, 5) for steps in (5, 20)}
    wrong = {cell: np.zeros((4, 8, 8), bool) for cell in images}
    wrong[5, 20][0, :2] = True
    figure = mosaics(images, wrong)
    covers = [axes.images[1].get_array()[..., 3] for axes in figure.axes]
    np.testing.assert_array_equal(covers[3], wrong[5, 20][0])
    assert not np.any(covers[:3])
    assert [w for w in texts(figure) if "%" in w] == ["0.0% inconsistent"] * 3 + [
        "6.2% inconsistent"
    ]
    with pytest.raises(ValueError, match="n alike"):
        mosaics(images, {})


def test_theory_figures_are_legible():
    assert_legible(border_dictionaries())
    cells = {(p, s): NOISE.numpy() for p in (3, 5, 9) for s in (5, 10, 20, 100, 1000)}
    assert_legible(mosaics(cells, {cell: np.zeros((4, 8, 8), bool) for cell in cells}))
