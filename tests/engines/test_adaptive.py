"""The adaptive engine against the exact one, its estimates of its own error, and its audits."""

import dataclasses
import math

import numpy as np
import pytest
import torch

from patchmosaic.engines import adaptive, native
from patchmosaic.engines.patch_index import Draws, PatchIndex, Workspace
from patchmosaic.machines.audit import Audit, describe, pooled, summarise
from patchmosaic.machines.local import EquivariantLocalScoreMachine, LocalScoreMachine
from patchmosaic.sampling.schedule import alpha_bar

pytestmark = pytest.mark.skipif(
    not native.available(), reason=f"no native kernel: {native.unavailable_reason()}"
)
MODES = {
    "zeros": {"boundary": "zeros"},
    "wrapped": {"boundary": "circular", "candidates": "wrapped"},
    "interior": {"boundary": "circular", "candidates": "interior"},
}


@pytest.fixture
def small_banks_indexed(monkeypatch):
    monkeypatch.setattr(adaptive, "FEWEST_INDEXED", 1)


def discs(count, channels=1, side=16, seed=0):
    """Bytes-valued images of discs on black, (count, channels, side, side) in [-1, 1]."""
    random = np.random.default_rng(seed)
    axis = np.arange(side)
    centre = random.uniform(3, side - 3, (count, 2, 1, 1))
    away = np.hypot(axis[:, None] - centre[:, 0], axis - centre[:, 1])
    radius = random.uniform(1, side / 3, (count, 1, 1))
    tint = random.uniform(0.3, 1, (count, channels, 1, 1))
    levels = np.rint(255 * tint * np.clip(radius - away, 0, 1)[:, None])
    return torch.from_numpy(levels / 127.5 - 1).float()


def noisy(images, t, seed=1):
    z = torch.randn(images.shape, generator=torch.Generator().manual_seed(seed))
    return math.sqrt(alpha_bar(t)) * images + math.sqrt(1 - alpha_bar(t)) * z


def exact(x, images, t, patch_size, **mode):
    log_max, weight, weighted_value = native.posterior_sums(
        x, images, alpha_bar(t), patch_size, **mode
    )
    return log_max, weight, weighted_value / weight[:, None]


def rms(a, b):
    return float((a - b).square().mean().sqrt())


@pytest.mark.parametrize("as_bytes", [True, False], ids=["bytes", "float"])
@pytest.mark.parametrize(("channels", "patch_size"), [(1, 3), (1, 9), (3, 5), (3, 17)])
def test_index_that_draws_everything_is_exact(channels, patch_size, as_bytes):
    """Probabilities are 1: what is left is the arithmetic of the kernel."""
    images = discs(150, channels, side=20)
    if not as_bytes:
        images = images * 0.987
    bank = adaptive.AdaptiveBank(images)
    assert (bank.shuffled.images.dtype == torch.uint8) == as_bytes
    index = bank.index(patch_size, False, 2)
    assert index.sizes.sum() + (0 if index.constants is None else index.constants.sum()) == (
        index.patches
    )
    half, x = patch_size // 2, noisy(discs(1, channels, side=20, seed=9), 0.3)
    patches = torch.nn.functional.unfold(x, patch_size)[0].T.contiguous()
    n = len(patches)
    everything = np.full((2, n), len(index.places) + 1)
    found = index.query(patches, alpha_bar(0.3))(
        np.arange(n), everything, np.arange(n, dtype=np.uint64)
    )
    log_max, weight, mean = (
        part[..., half : 20 - half, half : 20 - half].flatten(-2)[0]
        for part in exact(x, images, 0.3, patch_size)
    )
    np.testing.assert_allclose(found.log_max, log_max, rtol=2e-6, atol=5e-5)
    np.testing.assert_allclose(found.weight, weight, rtol=2e-4)
    np.testing.assert_allclose(found.weighted_value.T / found.weight, mean, atol=1e-4)
    np.testing.assert_allclose(found.variances, 0, atol=1e-12)


@pytest.mark.parametrize("channels", [1, 3])
def test_index_of_every_instruction_set_is_alike(channels, monkeypatch):
    """Leaves hold the same patches, but for ties; all drawn, the sums agree within rounding."""
    images, t, patch_size = discs(150, channels, side=20), 0.3, 5
    x = noisy(discs(1, channels, side=20, seed=9), t)
    patches = torch.nn.functional.unfold(x, patch_size)[0].T.contiguous()
    n, found = len(patches), {}
    for variant in native.variants():
        monkeypatch.setenv(native.INSTRUCTIONS, variant)
        native._load.cache_clear()
        try:
            index = adaptive.AdaptiveBank(images).index(patch_size, False, 1)
        finally:
            native._load.cache_clear()
        everything = np.full((2, n), len(index.places) + 1)
        draw = index.query(patches, alpha_bar(t))
        found[variant] = index, draw(np.arange(n), everything, np.arange(n, dtype=np.uint64))
    base, sums = found.pop("base")
    for index, other in found.values():
        assert np.abs(np.sort(index.sizes) - np.sort(base.sizes)).sum() <= 0.01 * index.patches
        np.testing.assert_allclose(other.log_max, sums.log_max, rtol=2e-6, atol=5e-5)
        np.testing.assert_allclose(other.weight, sums.weight, rtol=2e-4)
        np.testing.assert_allclose(
            other.weighted_value.T / other.weight, sums.weighted_value.T / sums.weight, atol=1e-4
        )


@pytest.mark.parametrize(("patch_size", "components", "draws"), [(5, 16, 400), (9, 32, 1600)])
def test_draws_are_unbiased_and_know_their_error(patch_size, components, draws):
    """The mean of 300 independent estimates, against the exact sums and the estimated error.

    Larger patches differ more in weight, so it takes more draws to know the error.
    """
    images, t, repeats, half = discs(400), 0.4, 300, patch_size // 2
    index = adaptive.AdaptiveBank(images).index(patch_size, False, 2)
    assert index.components == components
    x = noisy(discs(1, seed=5), t)
    patches = torch.nn.functional.unfold(x, patch_size)[0].T.contiguous()
    n = len(patches)
    log_max, weight, mean = (
        part[..., half : 16 - half, half : 16 - half].flatten(-2)[0].numpy()
        for part in exact(x, images, t, patch_size)
    )
    draw = index.query(patches, alpha_bar(t))
    relative, errors, estimated = [], [], []
    for repeat in range(repeats):
        keys = np.arange(n, dtype=np.uint64) * np.uint64(1000) + np.uint64(2 * repeat)
        found = draw(np.arange(n), np.tile([[draws], [0.15 * draws]], n), keys)
        scale = np.exp(found.log_max - log_max)
        relative.append(found.weight * scale / weight)
        errors.append(found.weighted_value[:, 0] / found.weight - mean[0])
        estimated.append(found.variances.sum(0))
    relative = np.array(relative)
    standard_error = relative.std(0, ddof=1) / math.sqrt(repeats)
    z = (relative.mean(0) - 1) / np.maximum(standard_error, 1e-6)
    assert np.abs(z).mean() < 1.2  # 0.8 for a normal variable: no bias beyond chance
    assert np.abs(z).max() < 5
    true = np.sqrt(np.mean(np.square(errors)))
    assert true > 1e-3  # there is something to estimate
    assert 0.7 < np.sqrt(np.mean(estimated)) / true < 1.5


def test_added_draws_are_the_average_by_how_many():
    """Absolute sums average, whatever their scales; variances are those of a weighted mean."""
    first = (np.array([0.0, -3.0]), np.array([2.0, 5.0]), np.array([[1.0], [4.0]]))
    more = (np.array([2.0]), np.array([3.0]), np.array([[-1.5]]))
    draws = Draws(*(part.copy() for part in first), np.array([[0.3, 0.2], [0.1, 0.4]]))
    draws.add(
        np.array([1]), np.array([100.0]), Draws(*more, np.array([[0.5], [0.7]])), np.array([300.0])
    )
    for part, old in zip((draws.log_max, draws.weight, draws.weighted_value), first, strict=True):
        np.testing.assert_array_equal(part[0], old[0])
    old, new = 0.25 * np.exp(-3.0) * 5, 0.75 * np.exp(2.0) * 3
    assert draws.weight[1] * np.exp(draws.log_max[1]) == pytest.approx(old + new)
    value = 0.25 * np.exp(-3.0) * 4 - 0.75 * np.exp(2.0) * 1.5
    assert draws.weighted_value[1, 0] * np.exp(draws.log_max[1]) == pytest.approx(value)
    shares = np.array([old, new]) / (old + new)
    np.testing.assert_allclose(
        draws.variances[:, 1], [shares**2 @ [0.2, 0.5], shares**2 @ [0.4, 0.7]]
    )
    np.testing.assert_array_equal(draws.variances[:, 0], [0.3, 0.1])


@pytest.mark.usefixtures("small_banks_indexed")
@pytest.mark.parametrize("t", [0.05, 0.3, 0.7, 1.0])
@pytest.mark.parametrize(
    ("mode", "channels", "patch_size"),
    [("zeros", 1, 3), ("zeros", 1, 9), ("zeros", 3, 5), ("wrapped", 1, 5), ("interior", 3, 3)],
)
def test_error_is_within_the_tolerance(mode, channels, patch_size, t):
    images = discs(4500, channels)
    x = noisy(discs(3, channels, seed=7), t)
    sums, ways = adaptive.posterior_sums(
        x, adaptive.AdaptiveBank(images), alpha_bar(t), patch_size, tolerance=0.02, **MODES[mode]
    )
    _, _, mean = exact(x, images, t, patch_size, **MODES[mode])
    assert set(ways) <= {"subset", "index", "exact"}
    assert sums.mean.shape == x.shape
    for i in range(3):
        assert rms(sums.mean[i], mean[i]) < (1e-4 if ways[i] == "exact" else 0.02)


@pytest.mark.usefixtures("small_banks_indexed")
def test_every_way_is_taken_and_none_depends_on_the_batch(monkeypatch):
    images = discs(4500)
    bank = adaptive.AdaptiveBank(images)

    def ways(t, patch_size):
        x = noisy(discs(4, seed=3), t)
        whole, taken = adaptive.posterior_sums(x, bank, alpha_bar(t), patch_size)
        alone, way = adaptive.posterior_sums(x[2:3], bank, alpha_bar(t), patch_size)
        assert way == taken[2:3]
        torch.testing.assert_close(alone.mean, whole.mean[2:3], rtol=0, atol=1e-6)
        return set(taken)

    assert ways(1.0, 5) == {"subset"}
    assert ways(0.05, 15) == {"exact"}
    monkeypatch.setattr(adaptive, "PAIR", 1.0)  # as if exactness were dear
    assert ways(0.05, 5) == {"index"}


@pytest.mark.parametrize(("t", "patch_size", "way"), [(1.0, 5, "subset"), (0.05, 5, "index")])
def test_sums_are_of_the_whole_bank(t, patch_size, way, monkeypatch):
    """Whatever part was looked at: they merge with those of other banks."""
    if way == "index":
        monkeypatch.setattr(adaptive, "PAIR", 1.0)  # as if exactness were dear
    images, x = discs(4500), noisy(discs(2, seed=3), t)
    sums, ways = adaptive.posterior_sums(x, adaptive.AdaptiveBank(images), alpha_bar(t), patch_size)
    log_max, weight, _ = exact(x, images, t, patch_size)
    assert set(ways) == {way}
    estimated = sums.log_max + sums.weight.log()
    assert float((estimated - log_max - weight.log()).abs().mean()) < 0.05


@pytest.mark.parametrize(("t", "patch_size"), [(1.0, 5), (0.05, 5), (0.05, 15)])
def test_threads_do_not_change_a_bit(t, patch_size, monkeypatch):
    if patch_size == 5:
        monkeypatch.setattr(adaptive, "PAIR", 1.0)  # as if exactness were dear
    images, x = discs(4500), noisy(discs(4, seed=3), t)
    found = [
        adaptive.posterior_sums(
            x, adaptive.AdaptiveBank(images), alpha_bar(t), patch_size, threads=threads
        )
        for threads in (1, 3)
    ]
    assert found[0][1] == found[1][1]
    assert torch.equal(found[0][0].weighted_value, found[1][0].weighted_value)
    assert torch.equal(found[0][0].weight, found[1][0].weight)


@pytest.mark.usefixtures("small_banks_indexed")
@pytest.mark.parametrize("wrapped", [False, True])
def test_an_index_holds_nothing_of_the_one_before(wrapped):
    bank = adaptive.AdaptiveBank(discs(150))
    bank.index(9, wrapped, 1)
    later = bank.index(5, wrapped, 1)
    alone = adaptive.AdaptiveBank(discs(150)).index(5, wrapped, 2)
    for name in ("places", "codes", "start", "sizes", "constants"):
        np.testing.assert_array_equal(getattr(later, name), getattr(alone, name), name)


def test_few_images_or_large_patches_are_exact():
    images, x = discs(20), noisy(discs(1, seed=3), 0.3)
    for patch_size in (3, 17, 33):
        sums, ways = adaptive.posterior_sums(
            x, adaptive.AdaptiveBank(images), alpha_bar(0.3), patch_size
        )
        assert ways == ["exact"]
        _, _, mean = exact(x, images, 0.3, patch_size)
        torch.testing.assert_close(sums.mean, mean, rtol=0, atol=2e-5)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("patch_size", [3, 7, 15])
@pytest.mark.parametrize("channels", [1, 3])
def test_rows_and_border_of_the_exact_engine(mode, patch_size, channels):
    images, x = discs(40, channels), noisy(discs(2, channels, seed=3), 0.4)
    _, _, whole = exact(x, images, 0.4, patch_size, **MODES[mode])
    for rows in ((0, 1), (5, 12), (15, 16)):
        _, _, mean = exact(x, images, 0.4, patch_size, rows=rows, **MODES[mode])
        part = slice(*rows)
        torch.testing.assert_close(mean[:, :, part], whole[:, :, part], rtol=0, atol=1e-5)
    if mode == "zeros":
        half = patch_size // 2
        _, _, mean = exact(x, images, 0.4, patch_size, border=True, **MODES[mode])
        outer = torch.ones(16, 16, dtype=torch.bool)
        outer[half : 16 - half, half : 16 - half] = False
        torch.testing.assert_close(mean[:, :, outer], whole[:, :, outer], rtol=0, atol=1e-5)


@pytest.mark.parametrize(("height", "width", "patch_size"), [(9, 14, 5), (7, 12, 11), (5, 6, 13)])
def test_border_of_images_that_are_not_square(height, width, patch_size):
    images, x = discs(40)[:, :, :height, :width], noisy(discs(2, seed=3), 0.4)
    x, half = x[:, :, :height, :width], patch_size // 2
    _, _, whole = exact(x, images, 0.4, patch_size)
    _, _, mean = exact(x, images, 0.4, patch_size, border=True)
    outer = torch.ones(height, width, dtype=torch.bool)
    outer[half : max(height - half, half), half : max(width - half, half)] = False
    torch.testing.assert_close(mean[:, :, outer], whole[:, :, outer], rtol=0, atol=1e-5)


def test_border_is_refused_where_there_is_none():
    for options in ({"boundary": "circular"}, {"equivariant": False}, {"rows": (0, 2)}):
        with pytest.raises(ValueError, match="border goes with ELS"):
            exact(discs(1), discs(4), 0.5, 3, border=True, **options)


@pytest.mark.parametrize("rows", [(3, 3), (-1, 4), (0, 17)])
def test_impossible_rows_are_refused(rows):
    with pytest.raises(ValueError, match="expected a range within 0 to 16"):
        exact(discs(1), discs(4), 0.5, 3, rows=rows)


@pytest.mark.usefixtures("small_banks_indexed")
def test_machine_audits_itself():
    images, labels = discs(300), torch.arange(300) % 2
    machine = EquivariantLocalScoreMachine(images, labels, engine="adaptive", tolerance=0.02)
    assert machine.engine == "adaptive"
    reference = EquivariantLocalScoreMachine(images, labels, engine="exact")
    x, chosen = noisy(discs(4, seed=2), 0.5), torch.tensor([0, 1, 1, 0])
    mean = machine.posterior_mean(x, alpha_bar(0.5), 3, chosen)
    assert rms(mean, reference.posterior_mean(x, alpha_bar(0.5), 3, chosen)) < 0.02
    assert len(machine.audits) == 2 * machine.audited_rows  # each label is a call of its own
    assert {audit.pixels for audit in machine.audits} == {16}
    assert reference.audits == []
    assert LocalScoreMachine(images, engine="adaptive").engine == "exact"


@pytest.mark.usefixtures("small_banks_indexed")
def test_audit_finds_a_wrong_estimate(monkeypatch):
    """Were the estimates of the error wrong, and the answer with them, the audit would say so."""
    monkeypatch.setattr(adaptive, "AIM", 1e9)
    monkeypatch.setattr(adaptive, "FIRST_DRAWS", (20, 4))
    monkeypatch.setattr(adaptive, "PAIR", 1.0)
    machine = EquivariantLocalScoreMachine(discs(300), engine="adaptive", tolerance=0.01)
    machine.audited_rows = 12
    machine.posterior_mean(noisy(discs(2, seed=2), 0.3), alpha_bar(0.3), 5)
    summary = summarise(machine.audits, machine.tolerance)
    assert summary["rms"] > 0.01
    assert summary["beyond"]
    assert "BEYOND" in describe(summary)


def test_summary_of_audits():
    audits = [Audit(0.5, 3, "index", 10, 0.4), Audit(0.5, 3, "subset", 10, 0.0)]
    audits += [Audit(0.9, 5, "index", 20, 0.8)]
    summary = summarise(audits, 0.5)
    assert summary["rms"] == pytest.approx(math.sqrt(1.2 / 40))
    assert 0 <= summary["low"] <= summary["rms"] <= summary["high"]
    assert summary["ways"] == {"index": 2, "subset": 1}
    assert [step["rms"] for step in summary["steps"]] == pytest.approx([math.sqrt(0.02), 0.2])
    assert not summary["beyond"]
    assert summarise([dataclasses.replace(a, square_error=10.0) for a in audits], 0.5)["beyond"]
    both = pooled([summary, None, {**summary, "rms": 0.0, "rows": 9}])
    assert both == (pytest.approx(summary["rms"] / 2), 12)
    assert math.isnan(pooled([None])[0])
    with pytest.raises(ValueError, match="no audits"):
        summarise([], 0.5)


@pytest.mark.parametrize("tolerance", [0.0, -1.0, 2.0, math.nan])
def test_impossible_tolerance_is_refused(tolerance):
    with pytest.raises(ValueError, match="tolerance is"):
        EquivariantLocalScoreMachine(discs(4), engine="adaptive", tolerance=tolerance)


def test_index_holds_each_patch_once():
    images = (discs(30) * 127.5 + 127.5).round().to(torch.uint8).numpy()
    index = PatchIndex(images, 5, 2, Workspace(images.shape, adaptive.MOST_BYTES))
    leaves = zip(index.start, index.sizes, strict=False)
    places = np.concatenate([index.places[first : first + size] for first, size in leaves])
    assert len(np.unique(places)) == len(places) == (index.places >= 0).sum()
    assert len(places) + index.constants.sum() == 30 * 12 * 12
    constant = sum(
        np.ptp(images[n, 0, y : y + 5, x : x + 5]) == 0 for n, y, x in np.ndindex(30, 12, 12)
    )
    assert index.constants.sum() == constant
