"""The measures of published comparisons, against their definitions by loops."""

import numpy as np
import pytest

from patchmosaic.analysis.agreement import (
    mse,
    pearson_r,
    r2_determination,
    r2_sample_variance,
    rmse,
    ssim,
)
from patchmosaic.analysis.frequencies import high_pass_r


def pairs(count=3, channels=2, side=6):
    random = np.random.default_rng(0)
    network = random.uniform(-1, 1, (count, channels, side, side))
    return network + 0.3 * random.standard_normal(network.shape), network


def test_square_errors_are_by_definition():
    machine, network = pairs()
    for i in range(3):
        by_hand = np.mean(
            [(a - b) ** 2 for a, b in zip(machine[i].flat, network[i].flat, strict=True)]
        )
        assert mse(machine, network)[i] == pytest.approx(by_hand)
    assert rmse(machine, network) == pytest.approx(np.sqrt(mse(machine, network)))


def test_r2_of_leaderboards_has_the_sample_variance():
    machine, network = pairs()
    for i in range(3):
        residual = ((machine[i] - network[i]) ** 2).sum()
        expected = 1 - residual / (network[i].size * network[i].var(ddof=1))
        assert r2_sample_variance(machine, network)[i] == pytest.approx(expected, rel=1e-12)
    assert (r2_sample_variance(machine, network) > r2_determination(machine, network)).all()
    assert np.isnan(r2_sample_variance(machine, np.zeros_like(network))).all()


def test_high_passed_r_is_r_of_high_passed_images():
    machine, network = pairs(side=8)

    def passed(image, above):
        result = np.zeros_like(image)
        rows, cols = np.mgrid[:8, :8]
        for u in range(-4, 4):
            for v in range(-4, 4):
                if np.hypot(u, v) > above:
                    wave = np.exp(2j * np.pi * (u * rows + v * cols) / 8)
                    for channel in range(len(image)):
                        coefficient = (image[channel] * wave.conj()).sum() / 64
                        result[channel] += (coefficient * wave).real
        return result

    for above in (0, 1.5, 3):
        a, b = (np.array([passed(image, above) for image in x]) for x in (machine, network))
        assert high_pass_r(machine, network, above) == pytest.approx(pearson_r(a, b))


def test_high_passed_r_sees_only_details():
    wide = np.cos(2 * np.pi * np.arange(16) / 16) * np.ones((1, 1, 16, 1))
    fine = np.cos(2 * np.pi * 5 * np.arange(16) / 16) * np.ones((1, 1, 16, 1))
    assert high_pass_r(wide + 0.1 * fine, wide - 0.1 * fine) == pytest.approx([-1])
    assert pearson_r(wide + 0.1 * fine, wide - 0.1 * fine) > 0.95
    assert np.isnan(high_pass_r(np.ones((1, 1, 8, 8)), np.ones((1, 1, 8, 8)))).all()
    with pytest.raises(ValueError, match=r"images have shapes .*: expected one \(n, C, H, W\)"):
        high_pass_r(np.ones((1, 1, 8, 8)), np.ones((2, 1, 8, 8)))


def test_structural_similarity_is_that_of_its_definition():
    machine, network = pairs(side=9)
    for i in range(3):
        values = []
        for channel, row, col in np.ndindex(2, 3, 3):  # corners of windows of 7 pixels
            a, b = (x[i, channel, row : row + 7, col : col + 7] for x in (machine, network))
            spread = np.cov(a.ravel(), b.ravel())
            luminance = (2 * a.mean() * b.mean() + 0.0004) / (
                a.mean() ** 2 + b.mean() ** 2 + 0.0004
            )
            values.append(luminance * (2 * spread[0, 1] + 0.0036) / (np.trace(spread) + 0.0036))
        assert ssim(machine, network)[i] == pytest.approx(np.mean(values), rel=1e-10)
    assert ssim(network, network) == pytest.approx(np.ones(3))
    assert ssim(machine, network) == pytest.approx(ssim(network, machine))
    assert (ssim(machine, network) < 1).all()


def test_structural_similarity_is_that_of_scikit_image():
    """structural_similarity(machine, network, channel_axis=0, data_range=2) of version 0.26."""
    assert ssim(*pairs(side=9)) == pytest.approx([0.3925775696, 0.7449902407, 0.42922692], abs=1e-9)


def test_small_images_have_smaller_windows():
    """Images of 4 pixels have windows of 3; a single pixel is compared by its brightness."""
    machine, network = pairs(channels=1, side=4)
    corners = [
        x[..., i : i + 3, j : j + 3] for i in (0, 1) for j in (0, 1) for x in (machine, network)
    ]
    values = [ssim(a, b) for a, b in zip(corners[::2], corners[1::2], strict=True)]
    assert ssim(machine, network) == pytest.approx(np.mean(values, axis=0))
    alone = np.full((1, 1, 1, 1), 0.5)
    assert ssim(alone, alone) == pytest.approx([1])
    assert ssim(alone, -alone)[0] == pytest.approx((-0.5 + 0.0004) / (0.5 + 0.0004))
