"""The Gaussian predictors against brute force and closed forms."""

import math
from itertools import pairwise

import pytest
import torch
from predictors import check, images, queries

from patchmosaic.machines import brute_force, gaussian
from patchmosaic.machines.gaussian import MeanImage, PatchWienerFilter, WienerFilter
from patchmosaic.sampling.sampler import machine_x0, sample
from patchmosaic.sampling.schedule import alpha_bar


@pytest.mark.parametrize(("count", "channels"), [(60, 1), (90, 2), (16, 1), (7, 2), (1, 1)])
def test_wiener_is_brute_force(count, channels):
    """Also with fewer images than values, where the covariance has no full rank."""
    bank = images(count, channels)
    if count == 1:
        assert torch.equal(WienerFilter(bank).posterior_mean(bank, 0.5), bank)
        return
    check(WienerFilter(bank), brute_force.wiener, bank)


@pytest.mark.parametrize(
    ("boundary", "patch_size"),
    [*(("zeros", size) for size in (1, 3, 5, 7)), ("circular", 1), ("circular", 3)],
)
def test_patch_wiener_is_brute_force(boundary, patch_size):
    bank = images(40, 2, 4)
    machine = PatchWienerFilter(bank, boundary=boundary)
    check(
        machine,
        lambda x, y, a: brute_force.patch_wiener(x, y, a, patch_size, boundary),
        bank,
        patch_size,
    )


@pytest.mark.parametrize("boundary", ["zeros", "circular"])
def test_conjugate_gradients_are_cholesky(boundary):
    bank = images(80, 1, 6)
    _, spread = gaussian.covariance(bank)
    windows = gaussian.patch_windows((1, 6, 6), 5, boundary)
    by_cholesky = gaussian.window_filter(spread, windows, 0.3)
    found = gaussian._conjugate_gradients(spread, windows.T.double(), 0.3, 100).T
    assert (found - by_cholesky).abs().max() < 1e-9
    assert not by_cholesky[~windows].any()
    with pytest.raises(ArithmeticError, match="no solution to 1e-10 in 2 steps"):
        gaussian._conjugate_gradients(spread, windows.T.double(), 0.3, 2)


def test_large_windows_at_high_noise_take_conjugate_gradients(monkeypatch):
    bank, taken = images(200, 1, 16), []
    plain = gaussian._conjugate_gradients
    monkeypatch.setattr(
        gaussian, "_conjugate_gradients", lambda *a: taken.append(len(a[0])) or plain(*a)
    )
    machine = PatchWienerFilter(bank)
    x = queries(bank, 0.95)
    found = machine.posterior_mean(x, alpha_bar(0.95), 17)
    assert taken == [256]
    monkeypatch.setattr(gaussian, "_largest_eigenvalue", lambda _: 1e9)
    assert (PatchWienerFilter(bank).posterior_mean(x, alpha_bar(0.95), 17) - found).abs().max() < (
        1e-9
    )
    assert taken == [256]


def test_patch_wiener_that_covers_the_image_is_wiener():
    bank = images(70, 1, 6)
    for boundary, patch_size in (("zeros", 11), ("circular", 7)):
        x = queries(bank, 0.6)
        local = PatchWienerFilter(bank, boundary=boundary)
        found = local.posterior_mean(x, alpha_bar(0.6), patch_size)
        assert torch.allclose(found, WienerFilter(bank).posterior_mean(x, alpha_bar(0.6)))


def test_wiener_is_the_best_affine_denoiser():
    """Any other affine map has a larger expected square error on the noised training images."""
    bank, a_bar = images(40), 0.4
    vectors, n = bank.flatten(1), 16
    machine = WienerFilter(bank)

    def parts(x):
        return machine.posterior_mean(x.view(-1, 1, 4, 4), a_bar).flatten(1)

    offset = parts(torch.zeros(1, n, dtype=torch.float64))
    matrix = (parts(torch.eye(n, dtype=torch.float64)) - offset).T

    def error(matrix, offset):  # over x = sqrt(a) y + sqrt(1 - a) noise, in closed form
        bias = math.sqrt(a_bar) * vectors @ matrix.T + offset - vectors
        return bias.square().sum(1).mean() + (1 - a_bar) * matrix.square().sum()

    random, least = torch.Generator().manual_seed(0), error(matrix, offset)
    for _ in range(20):
        change = torch.randn(n, n, generator=random, dtype=torch.float64) / 100
        move = torch.randn(1, n, generator=random, dtype=torch.float64) / 100
        assert error(matrix + change, offset) > least
        assert error(matrix, offset + move) > least


def test_limits_of_noise():
    """Without noise the query, within the span of the images; with noise alone the mean image."""
    bank = images(60)
    machine, mean = WienerFilter(bank), MeanImage(bank)
    x = queries(bank, 0.5)
    assert torch.allclose(machine.posterior_mean(x, 1.0), x, atol=1e-6)
    assert torch.allclose(machine.posterior_mean(x, 1e-12), bank.mean(0).expand_as(x), atol=1e-4)
    assert torch.allclose(mean.posterior_mean(x, 0.5), bank.mean(0).expand_as(x))
    few = WienerFilter(bank[:5])
    assert torch.allclose(few.posterior_mean(bank[:5], 1.0), bank[:5], atol=1e-6)


def test_reverse_flow_is_the_closed_form():
    """The reverse process approaches the exact flow in inverse proportion to its steps.

    Each coefficient of z - mean, along an axis of variance lam, shrinks by the square root of
    (lam + sigma_end^2) / (lam + sigma_start^2) (Wang and Vastola, section 4).
    """
    bank = images(60)
    machine, known = WienerFilter(bank), gaussian.moments(bank)
    noise = queries(bank, 1.0)
    start = alpha_bar(1.0)
    z = noise.flatten(1) / math.sqrt(start) - known.mean
    sigma = (1 - start) / start
    shrunk = (z @ known.axes) * (known.variances / (known.variances + sigma)).sqrt()
    expected = (known.mean + shrunk @ known.axes.T).view(noise.shape)
    errors = [
        (sample(machine_x0(machine, None, None), noise, steps) - expected).abs().max()
        for steps in (200, 400, 800)
    ]
    assert errors[2] < 0.01
    for coarse, fine in pairwise(errors):
        assert 1.7 < coarse / fine < 2.3


def test_classes_have_gaussians_of_their_own():
    bank, labels = images(80), torch.arange(80) % 2
    x = queries(bank, 0.5, 4)
    asked = torch.tensor([1, 0, 1, 0])
    for kind in (MeanImage, WienerFilter, PatchWienerFilter):
        found = kind(bank, labels).posterior_mean(x, 0.3, 3, asked)
        for i, label in enumerate(asked.tolist()):
            alone = kind(bank[labels == label]).posterior_mean(x[i : i + 1], 0.3, 3)
            assert torch.allclose(found[i], alone[0])
    together = WienerFilter(bank, labels, per_class=False).posterior_mean(x, 0.3, None, asked)
    assert torch.allclose(together, WienerFilter(bank).posterior_mean(x, 0.3))


def test_what_does_not_fit_is_refused():
    wide = torch.zeros(1, 1, 1, 1).expand(300_000, 1, 500, 500)
    for make in (gaussian.moments, gaussian.covariance):
        with pytest.raises(MemoryError, match=r"250,000 values.*bytes.*available"):
            make(wide)
    with pytest.raises(ValueError, match="per_class is 'no': choose one of True, False"):
        WienerFilter(images(), per_class="no")
    with pytest.raises(ValueError, match="boundary is 'open': choose one of zeros, circular"):
        PatchWienerFilter(images(), boundary="open")
    with pytest.raises(ValueError, match="patch_size is None: expected an odd positive integer"):
        PatchWienerFilter(images()).posterior_mean(queries(images(), 0.5), 0.5)
