"""Where pixels come from: the heaviest candidate and the entropy, against brute force."""

import numpy as np
import pytest
import torch
from legibility import assert_legible, texts

from patchmosaic import reference
from patchmosaic.figures import patch_provenance
from patchmosaic.provenance import provenance

GENERATOR = torch.Generator().manual_seed(0)
BANK = torch.rand((5, 1, 6, 7), generator=GENERATOR) * 2 - 1
X = torch.randn((1, 6, 7), generator=GENERATOR)


def brute_force(x, bank, alpha_bar, patch_size, boundary, candidates):
    """Per pixel: image, row, col, weight of the heaviest candidate, and the entropy."""
    for row in range(x.shape[1]):
        for col in range(x.shape[2]):
            query = reference.patch(x, row, col, patch_size, boundary)
            positions = reference.allowed_positions(
                row, col, x.shape[1:], patch_size, boundary, candidates
            )
            allowed = [(i, r, c) for i in range(len(bank)) for r, c in positions]
            keys = [reference.patch(bank[i], r, c, patch_size, boundary) for i, r, c in allowed]
            squares = np.array([((query - np.sqrt(alpha_bar) * key) ** 2).sum() for key in keys])
            weights = np.exp(-(squares - squares.min()) / (2 * (1 - alpha_bar)))
            weights /= weights.sum()
            seen = weights[weights > 0]
            yield (*allowed[weights.argmax()], weights.max(), -(seen * np.log(seen)).sum())


@pytest.mark.parametrize("alpha_bar", [0.05, 0.5, 0.99])
@pytest.mark.parametrize(
    ("boundary", "candidates"),
    [("zeros", "wrapped"), ("circular", "wrapped"), ("circular", "interior")],
)
@pytest.mark.parametrize("block", [2**22, 1])
def test_provenance_is_that_of_brute_force(monkeypatch, alpha_bar, boundary, candidates, block):
    monkeypatch.setattr("patchmosaic.provenance._BLOCK", block)
    found = provenance(X, BANK, alpha_bar, 3, boundary, candidates)
    expected = np.array(
        list(
            brute_force(
                X.double().numpy(), BANK.double().numpy(), alpha_bar, 3, boundary, candidates
            )
        )
    ).T.reshape(5, 6, 7)
    for name, values in zip(("image", "row", "col"), expected, strict=False):
        np.testing.assert_array_equal(getattr(found, name), values)
    np.testing.assert_allclose(found.weight, expected[3], rtol=1e-9)
    np.testing.assert_allclose(found.entropy, expected[4], atol=1e-9)


def test_a_training_image_comes_from_itself():
    found = provenance(0.999**0.5 * BANK[3], BANK, 0.999, 5)
    rows, cols = np.indices((6, 7))
    assert (found.image == 3).all()
    np.testing.assert_array_equal(found.row, rows)
    np.testing.assert_array_equal(found.col, cols)
    assert found.weight.min() > 0.99
    assert found.entropy.max() < 0.1


def test_figure_maps_sources_and_shows_their_images():
    moments = [(t, 3, X, X, provenance(X, BANK, a, 3)) for t, a in ((0.8, 0.1), (0.05, 0.99))]
    figure = patch_provenance(moments, BANK, "a network: seed 0")
    final = moments[-1][-1].image.numpy()
    shares = [f"image {i}\n{(final == i).sum()} pixels" for i in np.unique(final)]
    drawn = texts(figure)
    assert set(shares) <= set(drawn)
    assert {"t = 0.80\nP = 3", "t = 0.05\nP = 3"} <= set(drawn)
    assert_legible(figure)
