"""PCA-locality and GoldDiff against brute force, and their limits."""

import numpy as np
import pytest
import torch
from predictors import TIMES, check, images, queries

from patchmosaic.machines import brute_force
from patchmosaic.machines.ideal import IdealScoreMachine
from patchmosaic.machines.local import LocalScoreMachine
from patchmosaic.machines.pca_locality import (
    GoldDiffMachine,
    PCALocalMachine,
    Windows,
    default_tau,
    filter_windows,
)
from patchmosaic.sampling.schedule import alpha_bar

FLOAT32 = 1e-4


@pytest.mark.parametrize(("count", "channels"), [(60, 1), (70, 3), (12, 1)])
@pytest.mark.parametrize("tau", [0.02, 0.3])
@pytest.mark.parametrize("chunk", [None, 7])
def test_pca_locality_is_brute_force(count, channels, tau, chunk):
    bank = images(count, channels)
    softmax = "exact" if chunk is None else f"chunks of {chunk}"
    check(
        PCALocalMachine(bank, tau=tau, softmax=softmax),
        lambda x, y, a: brute_force.pca_locality(x, y, a, tau, chunk),
        bank,
        tolerance=FLOAT32,
    )


@pytest.mark.parametrize(("variance", "tolerance"), [(6e-4, 1e-9), (4e-3, 1e-9), (6e-3, 2e-3)])
def test_precision_is_enough_between_images(variance, tolerance):
    """Halfway between two images far apart, where large distances nearly cancel."""
    bank = images(100, 3, 24, 2)
    x = (1 - variance) ** 0.5 * (bank[:2] + bank[2:4]) / 2
    found = PCALocalMachine(bank, tau=0.0).posterior_mean(x, 1 - variance)
    ideal = IdealScoreMachine(bank).posterior_mean(x, 1 - variance)
    assert (found - ideal).abs().max() < tolerance


@pytest.mark.parametrize("tile", [1, 2, 4])
def test_sums_over_windows_are_sums(tile, monkeypatch):
    monkeypatch.setattr("patchmosaic.machines.pca_locality.TILE", tile)
    random = np.random.default_rng(0)
    for density in (0.02, 0.2, 0.9):
        inside = torch.from_numpy(random.random((3 * 6 * 5, 3 * 6 * 5)) < density)
        values = torch.from_numpy(random.random((90, 11)))
        found = Windows(inside, (3, 6, 5)).sums(values)
        assert torch.allclose(found, inside.T.double() @ values)


def test_windows_are_rows_of_the_filter():
    bank, a_bar = images(60), alpha_bar(0.5)
    filtered = torch.from_numpy(brute_force.linear_filter(bank.numpy(), a_bar))
    inside = filter_windows(filtered, 0.1)
    expected = brute_force.filter_windows(bank.numpy(), a_bar, 0.1)
    assert [column.nonzero()[:, 0].tolist() for column in inside.T] == expected
    assert 16 < inside.sum() < 256


def test_limits_of_tau():
    """tau 0 sees everything: IS. Where only the diagonal passes: LS with patches of one pixel."""
    bank = images(50)
    x, a_bar = queries(bank, 0.5), alpha_bar(0.5)
    everything = PCALocalMachine(bank, tau=0.0).posterior_mean(x, a_bar)
    ideal = IdealScoreMachine(bank).posterior_mean(x, a_bar)
    assert torch.allclose(everything, ideal, atol=FLOAT32)
    machine = PCALocalMachine(bank)
    windows = Windows(torch.eye(16, dtype=torch.bool), (1, 4, 4))
    machine._level = (None, a_bar), windows
    pixels = LocalScoreMachine(bank, engine="dense").posterior_mean(x, a_bar, 1)
    assert torch.allclose(machine.posterior_mean(x, a_bar), pixels, atol=FLOAT32)


def test_one_chunk_is_exact_and_chunks_of_one_are_the_mean_image():
    bank = images(40)
    x = queries(bank, 0.5)
    exact, whole, single = (
        PCALocalMachine(bank, tau=0.1, softmax=softmax).posterior_mean(x, 0.5)
        for softmax in ("exact", "chunks of 40", "chunks of 1")
    )
    assert torch.equal(exact, whole)
    assert torch.allclose(single, bank.mean(0).expand_as(x))


def test_blocks_of_the_bank_change_nothing(monkeypatch):
    bank = images(50)
    x = queries(bank, 0.5)
    mean = PCALocalMachine(bank, tau=0.1).posterior_mean(x, 0.5)
    monkeypatch.setattr("patchmosaic.machines.pca_locality.IMAGES", 7)
    assert torch.allclose(PCALocalMachine(bank, tau=0.1).posterior_mean(x, 0.5), mean, atol=1e-5)


@pytest.mark.parametrize("tau", [0.02, 0.2])
def test_golddiff_is_brute_force(tau):
    bank = images(80, 3)
    machine = GoldDiffMachine(bank, tau=tau, seed=3)
    for t in TIMES:
        a_bar, x = alpha_bar(t), queries(bank, t)
        u = 1 - np.sqrt(1 - a_bar)
        drawn = machine.drawn(a_bar, None).tolist()
        assert len(set(drawn)) == len(drawn) == int(8 + 72 * u)
        kept = int(8 - 4 * u)
        chosen = machine.chosen(x, a_bar, None)
        found = machine.posterior_mean(x, a_bar)
        for i in range(2):
            query = x[i].numpy()
            subset = brute_force.golden_subset(query, bank.numpy(), a_bar, drawn, 8, kept, 2)
            assert sorted(chosen[i].tolist()) == sorted(subset)
            expected = brute_force.pca_locality(query, bank.numpy(), a_bar, tau, None, subset)
            assert np.abs(found[i].numpy() - expected).max() < FLOAT32


def test_golddiff_without_its_subset_is_pca_locality():
    bank = images(60)
    x = queries(bank, 0.5)
    for softmax in ("exact", "chunks of 9"):
        plain = PCALocalMachine(bank, tau=0.07, softmax=softmax).posterior_mean(x, 0.4)
        without = GoldDiffMachine(bank, tau=0.07, softmax=softmax, subset="none")
        assert torch.equal(without.posterior_mean(x, 0.4), plain)


def test_draws_are_a_function_of_seed_label_and_level():
    bank, labels = images(60), torch.arange(60) % 2
    a, b = GoldDiffMachine(bank, labels), GoldDiffMachine(bank, labels)
    assert torch.equal(a.drawn(0.3, 1), b.drawn(0.3, 1))
    other = GoldDiffMachine(bank, labels, seed=1)
    for drawn in (a.drawn(0.31, 1), a.drawn(0.3, 0), other.drawn(0.3, 1)):
        assert drawn.tolist() != a.drawn(0.3, 1).tolist()


@pytest.mark.parametrize("kind", [PCALocalMachine, GoldDiffMachine])
def test_an_image_depends_on_its_own_query_and_label(kind):
    bank, labels = images(60, 3), torch.arange(60) % 2
    machine, asked = kind(bank, labels, tau=0.1), torch.tensor([1, 0, 0, 1])
    x = queries(bank, 0.5, 4)
    together = machine.posterior_mean(x, 0.3, None, asked)
    for i in range(4):
        alone = machine.posterior_mean(x[i : i + 1], 0.3, None, asked[i : i + 1])
        assert torch.equal(together[i], alone[0])
    if kind is PCALocalMachine:
        unlabelled = kind(bank[labels == 1], tau=0.1).posterior_mean(x[:1], 0.3)
        assert torch.allclose(together[0], unlabelled[0], atol=1e-5)


def test_default_tau_is_the_sources():
    for shape, lukoianov, golddiff in (
        ((1, 28, 28), 0.005, 0.02),
        ((3, 32, 32), 0.05, 0.03),
        ((3, 64, 64), 0.02, 0.03),
    ):
        assert default_tau(shape, "lukoianov") == lukoianov
        assert default_tau(shape, "golddiff") == golddiff
    assert PCALocalMachine(images(9)).tau == 0.005
    assert GoldDiffMachine(images(9)).tau == 0.02


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tau": -0.1}, "tau is -0.1: expected a number from 0 to 1"),
        ({"tau": "wide"}, "tau is 'wide': expected a number from 0 to 1"),
        ({"softmax": "global"}, "softmax is 'global': expected 'exact' or 'chunks of 512'"),
        ({"softmax": "chunks of 0"}, "softmax is 'chunks of 0': expected 'exact' or"),
        ({"subset": "silver"}, "subset is 'silver': choose one of golden, none"),
        ({"seed": 1.5}, "seed is 1.5: expected a whole number, at least 0"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        GoldDiffMachine(images(), **settings)


def test_images_that_cannot_be_pooled_are_refused():
    with pytest.raises(ValueError, match="images have 5 x 5 pixels: GoldDiff pools square images"):
        GoldDiffMachine(torch.zeros(3, 1, 5, 5))
    with pytest.raises(ValueError, match="images have 40 x 40 pixels"):
        GoldDiffMachine(torch.zeros(3, 1, 40, 40))
    assert GoldDiffMachine(torch.zeros(3, 1, 5, 5), subset="none").subset == "none"
