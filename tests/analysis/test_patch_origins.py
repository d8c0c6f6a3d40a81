"""Where pixels come from: the heaviest candidate and the entropy, against brute force."""

import numpy as np
import pytest
import torch
from legibility import assert_legible, texts
from origins import brute_force

from patchmosaic.analysis.patch_origins import provenance
from patchmosaic.figures.patch_origins import patch_provenance

GENERATOR = torch.Generator().manual_seed(0)
BANK = torch.rand((5, 1, 6, 7), generator=GENERATOR) * 2 - 1
X = torch.randn((1, 6, 7), generator=GENERATOR)


@pytest.mark.parametrize("alpha_bar", [0.05, 0.5, 0.99])
@pytest.mark.parametrize(
    ("boundary", "candidates"),
    [("zeros", "wrapped"), ("circular", "wrapped"), ("circular", "interior")],
)
@pytest.mark.parametrize(("block", "top"), [(2**22, 1), (1, 1), (2**22, 8), (1, 8)])
def test_provenance_is_that_of_brute_force(
    monkeypatch, alpha_bar, boundary, candidates, block, top
):
    monkeypatch.setattr("patchmosaic.analysis.patch_origins._BLOCK", block)
    found = provenance(X, BANK, alpha_bar, 3, boundary, candidates, top)
    x, bank = X.double().numpy(), BANK.double().numpy()
    named, entropy = zip(
        *brute_force(x, bank, alpha_bar, 3, boundary, candidates, top), strict=True
    )
    image, row, col, weight = np.array(named).transpose(1, 2, 0).reshape(4, top, 6, 7)
    np.testing.assert_allclose(found.weight, weight, rtol=1e-9)
    for name, values in {"image": image, "row": row, "col": col}.items():
        np.testing.assert_array_equal(getattr(found, name)[weight > 0], values[weight > 0])
    np.testing.assert_allclose(found.entropy, np.reshape(entropy, (6, 7)), atol=1e-9)


@pytest.mark.parametrize(
    ("alpha_bar", "patch_size"), [(0.0002, 31), (0.2, 25), (0.9, 5), (0.99, 3)]
)
def test_float32_finds_the_same(alpha_bar, patch_size):
    """Noise levels and patch sizes as in the default experiment, at its image size."""
    bank = torch.rand((3, 1, 32, 32), generator=GENERATOR) * 2 - 1
    noise = torch.randn((1, 32, 32), generator=GENERATOR)
    x = alpha_bar**0.5 * bank[1].roll((1, 2), (1, 2)) + (1 - alpha_bar) ** 0.5 * noise
    expected = provenance(x, bank, alpha_bar, patch_size, top=4)
    found = provenance(x, bank, alpha_bar, patch_size, top=4, dtype=torch.float32)
    np.testing.assert_allclose(found.weight, expected.weight, rtol=0.01, atol=1e-12)
    np.testing.assert_allclose(found.entropy, expected.entropy, atol=0.01)


def test_a_training_image_comes_from_itself():
    found = provenance(0.999**0.5 * BANK[3], BANK, 0.999, 5)
    rows, cols = np.indices((6, 7))
    assert (found.image == 3).all()
    np.testing.assert_array_equal(found.row[0], rows)
    np.testing.assert_array_equal(found.col[0], cols)
    assert found.weight.min() > 0.99
    assert found.entropy.max() < 0.1


def test_figure_maps_sources_and_shows_their_images():
    moments = [(t, 3, X, X, provenance(X, BANK, a, 3)) for t, a in ((0.8, 0.1), (0.05, 0.5))]
    ids = [f"id-{i}" for i in range(len(BANK))]
    figure = patch_provenance(moments, BANK, ids, "a network: seed 0")
    last = moments[-1][-1]
    final = last.image[0].numpy()[last.weight[0] >= 0.1]
    assert 0 < len(final) < last.image[0].numel()
    shares = [f"image id-{i}\n{(final == i).sum()} pixels" for i in np.unique(final)]
    drawn = texts(figure)
    assert set(shares) <= set(drawn)
    assert {"t = 0.80\nP = 3", "t = 0.05\nP = 3"} <= set(drawn)
    assert_legible(figure)
