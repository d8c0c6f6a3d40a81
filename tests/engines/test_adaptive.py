"""The adaptive engine against the exact one, its estimates of its own error, and its audits."""

import dataclasses
import math
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import stdtrit

from patchmosaic.engines import adaptive, native
from patchmosaic.engines.patch_index import Draws, PatchIndex, Workspace
from patchmosaic.machines import local
from patchmosaic.machines.audit import (
    Audit,
    describe,
    interval,
    pooled,
    rows_to_audit,
    student_quantile,
    summarise,
)
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
@pytest.mark.slow
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
@pytest.mark.slow
def test_index_of_every_instruction_set_is_alike(channels, monkeypatch):
    """Leaves hold the same patches, but for ties (by which one more may be empty); all drawn, the
    sums agree within rounding."""
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
        sizes = np.zeros((2, max(len(index.sizes), len(base.sizes))), int)
        for row, some in zip(sizes, (index, base), strict=True):
            row[: len(some.sizes)] = np.sort(some.sizes)[::-1]
        assert np.abs(sizes[0] - sizes[1]).sum() <= 0.01 * index.patches
        np.testing.assert_allclose(other.log_max, sums.log_max, rtol=2e-6, atol=5e-5)
        np.testing.assert_allclose(other.weight, sums.weight, rtol=2e-4)
        np.testing.assert_allclose(
            other.weighted_value.T / other.weight, sums.weighted_value.T / sums.weight, atol=1e-4
        )


@pytest.mark.parametrize(("patch_size", "components", "draws"), [(5, 16, 400), (9, 32, 1600)])
@pytest.mark.slow
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
@pytest.mark.slow
def test_error_is_within_the_tolerance(mode, channels, patch_size, t):
    images = discs(4500, channels)
    x = noisy(discs(3, channels, seed=7), t)
    found = adaptive.posterior_sums(
        x, adaptive.AdaptiveBank(images), alpha_bar(t), patch_size, tolerance=0.02, **MODES[mode]
    )
    sums, ways = found, found.ways
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
        whole = adaptive.posterior_sums(x, bank, alpha_bar(t), patch_size)
        alone = adaptive.posterior_sums(x[2:3], bank, alpha_bar(t), patch_size)
        assert alone.ways == whole.ways[2:3]
        torch.testing.assert_close(alone.mean, whole.mean[2:3], rtol=0, atol=1e-6)
        torch.testing.assert_close(alone.risks, whole.risks[2:3], rtol=1e-4, atol=1e-12)
        return set(whole.ways)

    assert ways(1.0, 5) == {"subset"}
    assert ways(0.05, 15) == {"exact"}
    monkeypatch.setattr(adaptive, "PAIR", 1.0)  # as if exactness were dear
    assert ways(0.3, 5) == {"index"}


@pytest.mark.parametrize(("t", "patch_size", "way"), [(1.0, 5, "subset"), (0.3, 5, "index")])
def test_sums_are_of_the_whole_bank(t, patch_size, way, monkeypatch):
    """Whatever part was looked at: they merge with those of other banks."""
    if way == "index":
        monkeypatch.setattr(adaptive, "PAIR", 1.0)  # as if exactness were dear
    images, x = discs(4500), noisy(discs(2, seed=3), t)
    found = adaptive.posterior_sums(x, adaptive.AdaptiveBank(images), alpha_bar(t), patch_size)
    log_max, weight, _ = exact(x, images, t, patch_size)
    assert set(found.ways) == {way}
    estimated = found.log_max + found.weight.log()
    assert float((estimated - log_max - weight.log()).abs().mean()) < 0.05


@pytest.mark.parametrize(("t", "patch_size"), [(1.0, 5), (0.3, 5), (0.05, 15)])
@pytest.mark.slow
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
    assert found[0].ways == found[1].ways
    assert torch.equal(found[0].weighted_value, found[1].weighted_value)
    assert torch.equal(found[0].weight, found[1].weight)


@pytest.mark.usefixtures("small_banks_indexed")
@pytest.mark.parametrize("wrapped", [False, True])
def test_an_index_holds_nothing_of_the_one_before(wrapped):
    bank = adaptive.AdaptiveBank(discs(150))
    bank.index(9, wrapped, 1)
    later = bank.index(5, wrapped, 1)
    alone = adaptive.AdaptiveBank(discs(150)).index(5, wrapped, 2)
    for name in ("places", "codes", "start", "sizes", "constants"):
        np.testing.assert_array_equal(getattr(later, name), getattr(alone, name), name)


@pytest.mark.usefixtures("small_banks_indexed")
@pytest.mark.parametrize(("nats", "share"), [(4.9, 1.0), (5.1, 0.5), (7.9, 0.5), (8.1, 0.0)])
def test_what_components_do_not_see_is_drawn_for_or_computed(nats, share, monkeypatch):
    """Half the tolerated variance is aimed at where they miss some, none where they miss much."""
    images, t = discs(1500), 0.3
    bank, x = adaptive.AdaptiveBank(images), noisy(discs(3, seed=3), t)
    unseen = nats * (1 - alpha_bar(t)) / alpha_bar(t)
    monkeypatch.setattr(bank, "unseen", lambda _: unseen)
    monkeypatch.setattr(adaptive, "PAIR", 1.0)  # as if exactness were dear
    found = adaptive.posterior_sums(x, bank, alpha_bar(t), 5, tolerance=4e-4)
    assert set(found.ways) == {"index" if share else "exact"}
    errors = (found.mean - exact(x, images, t, 5)[2]).square().mean((1, 2, 3)).sqrt()
    assert float(errors.max()) < 4e-4
    least = 0.5 if share == 1 else 0  # draws are no more than it takes
    found_share = float((found.risks.sum(1) / 256).max()) / (adaptive.AIM * 4e-4**2)
    assert least <= found_share <= share


@pytest.mark.parametrize(("t", "tried"), [(0.1, False), (0.8, True)])
def test_rarest_images_are_not_for_pixels_that_rest_on_few_patches(t, tried, monkeypatch):
    """They are few, and change nothing of that; where the weight is spread they are summed."""
    bank = adaptive.AdaptiveBank(discs(4096))
    monkeypatch.setattr(bank, "unseen", lambda _: math.inf)
    sizes, plain = [], adaptive._Search._exact

    def counted(search, x, bank=None, **how):
        sizes.append(0 if bank is None else len(bank))
        return plain(search, x, bank, **how)

    monkeypatch.setattr(adaptive._Search, "_exact", counted)
    adaptive.posterior_sums(noisy(discs(1, seed=3), t), bank, alpha_bar(t), 5)
    assert (bank.rarest in sizes) == tried


def test_few_images_or_large_patches_are_exact():
    images, x = discs(20), noisy(discs(1, seed=3), 0.3)
    for patch_size in (3, 17, 33):
        found = adaptive.posterior_sums(
            x, adaptive.AdaptiveBank(images), alpha_bar(0.3), patch_size
        )
        assert found.ways == ("exact",)
        assert not found.risks.any()
        _, _, mean = exact(x, images, 0.3, patch_size)
        torch.testing.assert_close(found.mean, mean, rtol=0, atol=2e-5)


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
    mean = machine.posterior_mean(x.clone().requires_grad_(), alpha_bar(0.5), 3, chosen)
    assert rms(mean, reference.posterior_mean(x, alpha_bar(0.5), 3, chosen)) < 0.02
    assert len(machine.audits) == 2 * machine.audited_rows  # each label is a call of its own
    assert {audit.pixels for audit in machine.audits} == {16}
    assert reference.audits == []
    assert LocalScoreMachine(images, engine="adaptive").engine == "exact"


@pytest.fixture
def wrong_estimates(monkeypatch):
    """As if estimates of the error were wrong, and answers with them."""
    monkeypatch.setattr(adaptive, "FEWEST_INDEXED", 1)
    monkeypatch.setattr(adaptive, "_upper", lambda _: 0.0)
    monkeypatch.setattr(adaptive, "SHORT", math.inf)
    monkeypatch.setattr(adaptive, "FIRST_DRAWS", (20, 4))
    monkeypatch.setattr(adaptive, "PAIR", 1.0)


@pytest.mark.usefixtures("wrong_estimates")
def test_what_audits_find_wrong_is_computed_exactly():
    images, x = discs(300), noisy(discs(2, seed=2), 0.3)
    machine = EquivariantLocalScoreMachine(images, engine="adaptive", tolerance=0.01)
    machine.audited_rows = 0
    wrong = machine.posterior_mean(x, alpha_bar(0.3), 5)
    machine.audited_rows = 12
    with pytest.warns(UserWarning, match=r"beyond its tolerance of 0.01: 2 images are computed"):
        mean = machine.posterior_mean(x, alpha_bar(0.3), 5)
    true = exact(x, images, 0.3, 5)[2]
    assert rms(wrong, true) > 0.01
    torch.testing.assert_close(mean.double(), true, rtol=0, atol=2e-5)
    summary = summarise(machine.audits, machine.tolerance)
    assert summary["steps"][0]["mended"] == len(machine.audits) > 12
    assert summary["rms"] == 0
    assert not summary["beyond"]
    assert "1 steps were beyond it and computed exactly" in describe(summary)
    unmended = [dataclasses.replace(audit, mended=False) for audit in machine.audits]
    assert "BEYOND" in describe(summarise(unmended, machine.tolerance))


@pytest.mark.usefixtures("wrong_estimates")
def test_audits_are_unbiased():
    """The mean over 400 calls' audits is the squared error over all pixels."""
    images, x = discs(300), noisy(discs(2, seed=2), 0.3)
    found = adaptive.posterior_sums(x, adaptive.AdaptiveBank(images), alpha_bar(0.3), 5)
    squares = (found.mean - exact(x, images, 0.3, 5)[2]).square().mean(1).mean(2)  # (B, H)
    random = np.random.default_rng(0)
    rows = rows_to_audit(found.risks.numpy(), 4000, random)
    assert len({row for _, row, _ in rows}) == 16
    assert all(0 < weight <= 2 for *_, weight in rows)
    drawn = np.array([weight * float(squares[image, row]) for image, row, weight in rows])
    error = drawn.std(ddof=1) / math.sqrt(len(drawn))
    assert abs(drawn.mean() - float(squares.mean())) < 4 * error < 0.2 * float(squares.mean())


@pytest.mark.usefixtures("small_banks_indexed")
def test_calls_of_many_images_are_audited_in_more_rows():
    machine = EquivariantLocalScoreMachine(discs(300), engine="adaptive", tolerance=0.02)
    for images, rows in ((1, 2), (8, 2), (9, 3), (20, 5)):
        machine.audits.clear()
        machine.posterior_mean(noisy(discs(images, seed=2), 0.5), alpha_bar(0.5), 3)
        assert len(machine.audits) == rows


def test_audited_rows_differ_with_what_a_call_is_made_of(monkeypatch):
    images, rows = discs(1100), []
    draw = local.rows_to_audit
    monkeypatch.setattr(
        local, "rows_to_audit", lambda *some: rows.append(tuple(draw(*some))) or draw(*some)
    )

    def audited(images, seed=2, t=0.9, patch_size=5, labels=None):
        machine = EquivariantLocalScoreMachine(images, labels, engine="adaptive", tolerance=0.05)
        machine.audited_rows = 8
        rows.clear()
        query = labels if labels is None else labels[:2]
        machine.posterior_mean(noisy(discs(2, seed=seed), t), alpha_bar(t), patch_size, query)
        return rows[0]

    first = audited(images)
    assert audited(images) == first
    others = [audited(images, seed=3), audited(images.flip(3)), audited(images, patch_size=3)]
    others += [audited(images, t=0.95), audited(images, labels=torch.zeros(1100, dtype=int))]
    assert len({first, *others}) == 6


ROWS = 40
SQUARES = {  # how squared errors of rows may be drawn, and how far above the truth a bound may be
    "lognormal": (lambda random: random.lognormal(0, 1, ROWS), 1.5),
    "very skewed": (lambda random: random.lognormal(0, 2, ROWS), 2.2),
    "half exact": (lambda random: random.lognormal(0, 1, ROWS) * (random.random(ROWS) < 0.5), 1.8),
    "gamma": (lambda random: random.gamma(0.5, 2, ROWS), 1.8),
    "where expected": (  # drawn half where errors are likely, so that weights even them out
        lambda random: random.gamma(5, 0.2, ROWS) / (0.5 + 0.5 / random.lognormal(0, 2.5, ROWS)),
        1.35,
    ),
    "two kinds": (
        lambda random: np.where(random.random(ROWS) < 0.4, 1e-3, 1) * random.gamma(8, 1, ROWS),
        1.4,
    ),
}


@pytest.mark.parametrize("kind", SQUARES)
@pytest.mark.slow
def test_interval_covers_what_it_says_and_is_not_far_above(kind):
    draw, most = SQUARES[kind]
    random = np.random.default_rng(0)
    true = math.sqrt(np.mean([draw(random).mean() for _ in range(20_000)]))
    found = np.array([interval(1e-4 * draw(random)) for _ in range(400)]) / (1e-2 * true)
    assert ((found[:, 0] <= 1) & (found[:, 1] >= 1)).mean() >= 0.93
    assert np.median(found[:, 1]) < most


def test_error_of_one_step_is_found():
    """Two rows of forty, of one of twenty steps, are off by 1."""
    audits = [Audit(0.01 + 0.04 * k // 2, 3, "index", 16, 16e-6) for k in range(38)]
    assert not summarise(audits, 0.01)["beyond"]
    audits += 2 * [Audit(0.99, 3, "index", 16, 16.0)]
    assert summarise(audits, 0.01)["beyond"]
    assert interval(np.array([0.0, 0.0, 1e-6])) == (0, 2)  # one row tells nothing of the others


def test_most_of_a_subset_may_be_blank():
    """Ten images among 2,038 blank ones: a part without them does not stand for the whole."""
    images = torch.cat([discs(10), -torch.ones(2038, 1, 16, 16)])
    bank = adaptive.AdaptiveBank(images[torch.arange(2048) * 1001 % 2048])
    for t in (0.2, 0.4, 0.6, 0.9):
        x = noisy(images[[0, 5, 9, 2000]], t)
        found = adaptive.posterior_sums(x, bank, alpha_bar(t), 7)
        errors = (found.mean - exact(x, images, t, 7)[2]).square().mean((1, 2, 3)).sqrt()
        assert float(errors.max()) < 0.01


MADE = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks/adaptive_error.py"))


@pytest.mark.parametrize("name", MADE["BANKS"])
@pytest.mark.slow
def test_banks_made_to_fool_it(name, monkeypatch):
    """Beyond twice the tolerance is no image, whatever the way; the benchmark has larger banks."""
    monkeypatch.setattr(adaptive, "FEWEST_INDEXED", 1)
    monkeypatch.setattr(adaptive, "PAIR", 1.0)  # as if exactness were dear
    images, clean = MADE["made"](name, 1100)
    bank = adaptive.AdaptiveBank(images)
    for t in (0.25, 0.7):
        x = MADE["noisy"](clean, t)
        found = adaptive.posterior_sums(x, bank, alpha_bar(t), 7)
        errors = (found.mean - exact(x, images, t, 7)[2]).square().mean((1, 2, 3)).sqrt()
        assert float(errors.max()) < 0.02
        estimated = (found.risks.sum(1) / images[0, 0].numel()).sqrt()
        assert float(estimated.max()) < 0.01


def test_few_rare_images_are_first():
    images = discs(640)
    images[[7, 300]] = noisy(images[:2], 0.7).clamp(-1, 1)
    assert set(adaptive._rarest_first(images, 10)[:10].tolist()) > {7, 300}
    order = adaptive._rarest_first(images, 10)
    assert sorted(order.tolist()) == list(range(640))
    assert (order[10:].diff() > 0).all()


@pytest.mark.parametrize("values", [9, 49, 675])
def test_shortage_of_the_source_is_a_normal_variable(values):
    chi_squared = torch.from_numpy(np.random.default_rng(0).chisquare(values, 20000))
    found = adaptive.shortage(-chi_squared / 2, torch.tensor(float(values)))
    assert float(found.mean()) == pytest.approx(0, abs=0.03)
    assert float(found.std()) == pytest.approx(1, abs=0.03)
    assert float((found > 3).double().mean()) < 0.004


@pytest.mark.parametrize("boundary", ["zeros", "circular"])
@pytest.mark.parametrize("patch_size", [3, 7, 33])
def test_values_in_patches_are_counted(boundary, patch_size):
    ones, half = torch.ones(1, 3, 9, 14), patch_size // 2
    if boundary == "zeros":
        counted = torch.nn.functional.pad(ones, (half, half, half, half))
        counted = torch.nn.functional.unfold(counted, patch_size).sum(1).reshape(9, 14)
    else:
        counted = torch.full((9, 14), 3.0 * patch_size**2)
    found = adaptive.values_in_patches((3, 9, 14), patch_size, boundary)
    torch.testing.assert_close(found, counted.double())


def test_summary_of_audits():
    audits = [Audit(0.5, 3, "index", 10, 0.4), Audit(0.5, 3, "subset", 10, 0.0)]
    audits += [Audit(0.9, 5, "index", 20, 0.8)]
    summary = summarise(audits, 0.5)
    assert summary["rms"] == pytest.approx(math.sqrt(1.2 / 40))
    assert 0 <= summary["low"] <= summary["rms"] <= summary["high"] <= 2
    assert summary["ways"] == {"index": 2, "subset": 1}
    assert [step["rms"] for step in summary["steps"]] == pytest.approx([math.sqrt(0.02), 0.2])
    assert summary["beyond"]  # three rows do not tell that it is within
    assert not summarise(20 * audits, 0.5)["beyond"]
    assert summarise([dataclasses.replace(a, square_error=10.0) for a in audits], 0.5)["beyond"]
    weighted = [dataclasses.replace(audit, weight=0.5) for audit in audits]
    assert summarise(weighted, 0.5)["rms"] == pytest.approx(summary["rms"] / math.sqrt(2))
    both = pooled([summary, None, {**summary, "rms": 0.0, "rows": 9}])
    assert both == (pytest.approx(summary["rms"] / 2), 12)
    assert math.isnan(pooled([None])[0])
    with pytest.raises(ValueError, match="no audits"):
        summarise([], 0.5)


@pytest.mark.parametrize("tolerance", [0.0, -1.0, 2.0, math.nan])
def test_impossible_tolerance_is_refused(tolerance):
    with pytest.raises(ValueError, match="tolerance is"):
        EquivariantLocalScoreMachine(discs(4), engine="adaptive", tolerance=tolerance)


def test_tolerance_that_no_engine_keeps_is_refused():
    with pytest.raises(
        ValueError, match=r"tolerance is 1e-05: rounding alone .* least that can be"
    ):
        adaptive.posterior_sums(discs(1), adaptive.AdaptiveBank(discs(4)), 0.5, 3, tolerance=1e-5)


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


@pytest.mark.parametrize("freedom", [1, 2, 3, 4, 7, 10, 39, 40, 999])
def test_quantiles_of_student_s_t_are_scipys(freedom):
    for probability in (0.5, 0.9, 0.975, 0.999):
        found = student_quantile(freedom, probability)
        assert found == pytest.approx(stdtrit(freedom, probability), rel=1e-11, abs=1e-12)
