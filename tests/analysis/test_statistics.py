"""Agreement of images against closed forms and scipy, and intervals against theory."""

import math

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from patchmosaic.analysis import intervals
from patchmosaic.analysis.agreement import (
    agreement,
    cosine_similarity,
    pearson_r,
    r2_determination,
    rmse,
    siblings,
)
from patchmosaic.analysis.intervals import (
    bootstrap_median,
    clear_sign,
    holm,
    median_intervals,
    proportion,
    training_spread,
)

SHAPE = (5, 3, 4, 6)


def images(seed):
    return np.random.default_rng(seed).uniform(-1, 1, SHAPE).astype(np.float32)


def one(*pixels):
    """One image (1, 1, 1, W)."""
    return np.array(pixels, np.float64).reshape(1, 1, 1, -1)


def test_siblings_are_compared_with_each_other_and_with_els():
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 5, 1, 3, 4))
    b[2] = 1.0  # constant: undefined, and counts as 0
    els = rng.uniform(0, 1, (2, 5))
    els[1, 4] = np.nan
    found = siblings((a, b), tuple(els))
    r = np.nan_to_num(pearson_r(a, b))
    assert r[2] == 0
    assert found["seeds"] == 5
    for name, prefix, values in (
        ("pearson_r", "", r),
        ("els_a", "els_a_", els[0]),
        ("els_b", "els_b_", np.nan_to_num(els[1])),
    ):
        interval = bootstrap_median(values)
        assert found[name] == np.median(values)
        assert (found[f"{prefix}low"], found[f"{prefix}high"]) == interval[1:]


@pytest.mark.slow
def test_training_spread_finds_the_effects_that_made_the_values():
    rng = np.random.default_rng(0)
    k, n = 200, 300
    effects = 0.03 * rng.standard_normal((k, 1)), 0.1 * rng.standard_normal(n)
    found = training_spread(0.5 + sum(effects) + 0.02 * rng.standard_normal((k, n)))
    assert (found["networks"], found["seeds"]) == (k, n)
    assert found["sd_training"] == pytest.approx(effects[0].std(), rel=0.02)
    assert found["sd_noise"] == pytest.approx(effects[1].std(), rel=0.02)
    assert found["sd_interaction"] == pytest.approx(0.02, rel=0.02)


def test_training_spread_of_a_small_table_by_hand():
    found = training_spread([[0.9, 0.5, 0.7], [0.8, 0.4, np.nan]])
    assert found["least_median"] == 0.4
    assert found["greatest_median"] == 0.7
    # squares of two rows less two columns of halves: means .7 and .4, .85, .45 and .35, grand .55
    rest = 2 * (0.1**2 + 0.1**2 + 0.2**2) / 2
    assert found["sd_interaction"] == pytest.approx(np.sqrt(rest))
    assert found["sd_training"] == pytest.approx(np.sqrt(0.3**2 / 2 - rest / 3))
    assert found["sd_noise"] == pytest.approx(np.sqrt(0.14 / 2 - rest / 2))
    intervals = [bootstrap_median(values) for values in ([0.9, 0.5, 0.7], [0.8, 0.4, 0.0])]
    half = sum(interval.high - interval.low for interval in intervals) / 4
    assert found["half_interval"] == pytest.approx(half)
    both = np.sqrt(half**2 + (1.959964 * found["sd_training"]) ** 2)
    assert found["half_interval_with_training"] == pytest.approx(both)
    assert training_spread([[0.9, 0.5], [0.5, 0.9]])["sd_noise"] == 0
    with pytest.raises(ValueError, match="at least 2 trainings"):
        training_spread([[0.9, 0.5]])


def test_pearson_r_is_scipys_over_all_channels_and_pixels():
    a, b = images(0), images(1)
    for r, x, y in zip(pearson_r(a, b), a, b, strict=True):
        assert r == pytest.approx(
            scipy.stats.pearsonr(x.ravel().astype(float), y.ravel()).statistic, abs=1e-12
        )


def test_closed_forms():
    machine, network = one(0, 1, 2, 3), one(1, 1, 3, 3)
    assert pearson_r(machine, network) == pytest.approx([2 / math.sqrt(5)])
    assert cosine_similarity(machine, network) == pytest.approx([16 / math.sqrt(14 * 20)])
    assert rmse(machine, network) == pytest.approx([math.sqrt(0.5)])
    assert r2_determination(machine, network) == pytest.approx([1 - 2 / 4])
    assert r2_determination(network, machine) == pytest.approx([1 - 2 / 5])  # not symmetric


@settings(max_examples=25, deadline=None)
@given(st.floats(0.01, 50), st.floats(-20, 20), st.integers(0, 20))
def test_r_ignores_contrast_and_brightness_and_r2_does_not(scale, shift, seed):
    machine, network = images(seed).astype(np.float64), images(seed + 100)
    changed = scale * machine + shift
    np.testing.assert_allclose(pearson_r(changed, network), pearson_r(machine, network), atol=1e-9)
    np.testing.assert_allclose(
        pearson_r(-changed, network), -pearson_r(machine, network), atol=1e-9
    )
    # The best of all rescalings, and only it, has R^2 = r^2.
    assert (r2_determination(changed, network) <= pearson_r(machine, network) ** 2 + 1e-9).all()
    for i, (x, y) in enumerate(zip(machine, network, strict=True)):
        fit = scipy.stats.linregress(x.ravel(), y.ravel())
        best = fit.slope * machine + fit.intercept
        assert r2_determination(best, network)[i] == pytest.approx(fit.rvalue**2, abs=1e-9)


def test_float32_images_are_summed_in_float64():
    ramp = np.linspace(0, 1e-4, 4096).reshape(1, 1, 64, 64)
    near_one = (1 - ramp).astype(np.float32)
    exact = scipy.stats.pearsonr(near_one.ravel().astype(float), ramp.ravel()).statistic
    assert pearson_r(near_one, ramp)[0] == pytest.approx(exact, abs=1e-9)


@pytest.mark.parametrize("value", [0.1, -1.0, 1 / 3])
def test_constant_images_have_no_correlation(value):
    """Also where the mean of the pixels is not exactly their value."""
    constant, other = np.full(SHAPE, value), images(0)
    assert np.isnan(pearson_r(constant, other)).all()
    assert np.isnan(pearson_r(other, constant)).all()
    assert np.isnan(r2_determination(other, constant)).all()
    assert (r2_determination(constant, other) <= 0).all()
    assert np.isnan(cosine_similarity(np.zeros(SHAPE), other)).all()


def test_images_that_cannot_be_compared_are_refused():
    with pytest.raises(ValueError, match=r"\(5, 3, 4, 6\) and \(4, 3, 4, 6\)"):
        pearson_r(images(0), images(1)[:4])
    with pytest.raises(ValueError, match="NaN"):
        rmse(images(0), np.full(SHAPE, np.nan))


def test_agreement_is_a_row_a_seed():
    network = images(0)
    machine, ideal = network + 0.1 * images(1), network + images(2)
    machine[3], ideal[4] = -network[3], 0.5
    table = agreement(machine, network, ideal, [7, 3, 9, 1, 2], [0, 1, 2, 3, 4])
    assert " ".join(table.columns) == (
        "seed label pearson_r r_squared r2_determination cosine rmse is_pearson_r better_than_is"
    )
    assert table["seed"].tolist() == [7, 3, 9, 1, 2]
    np.testing.assert_array_equal(table["pearson_r"], pearson_r(machine, network))
    np.testing.assert_array_equal(table["is_pearson_r"], pearson_r(ideal, network))
    np.testing.assert_array_equal(table["r2_determination"], r2_determination(machine, network))
    # Seed 1 is anticorrelated; for seed 2, IS is constant: not a win of the machine's.
    assert table["better_than_is"].tolist() == [True, True, True, False, False]
    assert np.isnan(table["is_pearson_r"][4])
    assert not agreement(network, network, network, range(5))["better_than_is"].any()  # a tie
    assert agreement(machine, network, ideal, range(5))["label"].isna().all()


def test_agreement_refuses_seeds_that_do_not_fit():
    network = images(0)
    with pytest.raises(ValueError, match="more than once"):
        agreement(network, network, network, [1, 1, 2, 3, 4])
    with pytest.raises(ValueError, match="one seed"):
        agreement(network, network, network, [1, 2])


def test_bootstrap_interval_is_scipys():
    values = np.random.default_rng(3).beta(8, 2, 33)
    ours = bootstrap_median(values, 0.9, 2_000, seed=5)
    theirs = scipy.stats.bootstrap(
        (np.sort(values),),
        np.median,
        confidence_level=0.9,
        n_resamples=2_000,
        method="percentile",
        rng=np.random.default_rng(5),
    ).confidence_interval
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=1e-12)
    assert ours.estimate == np.median(values)


def test_bootstrap_in_parts_is_the_same(monkeypatch):
    values = np.random.default_rng(6).normal(size=101)
    whole = bootstrap_median(values, resamples=1000)
    medians = intervals.medians_of_resamples(values, 1000)
    monkeypatch.setattr(intervals, "MOST_DRAWN", 700)
    intervals._middle_ranks.cache_clear()
    assert bootstrap_median(values, resamples=1000) == whole
    assert (intervals.medians_of_resamples(values, 1000) == medians).all()


@pytest.mark.parametrize("n", [1, 2, 9, 10, 2**15 + 1])
def test_bootstrap_takes_medians_of_resamples(n):
    values = np.sort(np.random.default_rng(7).normal(size=n))
    medians = intervals.medians_of_resamples(values, 200)
    low, high = np.quantile(medians, [0.025, 0.975])
    assert bootstrap_median(values, resamples=200)[1:] == (low, high)


def test_bootstrap_interval_covers_the_median():
    """600 samples of 51 draws: the true median lies inside about 95% of the intervals.

    Three standard errors of the simulation are .027.
    """
    rng = np.random.default_rng(0)
    intervals = [bootstrap_median(rng.gamma(2, size=51), resamples=300) for _ in range(600)]
    covered = np.mean([i.low <= scipy.stats.gamma(2).median() <= i.high for i in intervals])
    assert 0.923 <= covered <= 0.977


def test_bootstrap_interval_depends_on_the_values_alone():
    values = np.random.default_rng(4).normal(size=20)
    assert bootstrap_median(values) == bootstrap_median(values[::-1])
    assert bootstrap_median([0.5] * 9) == (0.5, 0.5, 0.5)
    wide, narrow = bootstrap_median(values, 0.99), bootstrap_median(values, 0.5)
    assert wide.low < narrow.low <= narrow.estimate <= narrow.high < wide.high


@pytest.mark.parametrize("values", [[], [1.0, math.nan], [[1.0, 2.0]]])
def test_bootstrap_refuses(values):
    with pytest.raises(ValueError, match="finite, non-empty"):
        bootstrap_median(values)


@pytest.mark.parametrize("level", [0.8, 0.95])
def test_proportion_is_the_wilson_interval(level):
    for n in (1, 10, 100):
        for successes in {0, 1, n // 2, n - 1, n}:
            theirs = scipy.stats.binomtest(successes, n).proportion_ci(level, "wilson")
            ours = proportion(successes, n, level)
            assert ours == pytest.approx((successes / n, theirs.low, theirs.high), abs=1e-12)
            assert 0 <= ours.low <= ours.estimate <= ours.high <= 1


def test_proportion_of_a_known_case():
    """15 of 148, Newcombe 1998, table I, method 3: .0624 to .1605."""
    assert proportion(15, 148) == pytest.approx((0.1014, 0.0624, 0.1605), abs=5e-5)
    assert proportion(0, 7).low == 0
    assert proportion(7, 7).high == 1


@pytest.mark.parametrize(("successes", "n", "level"), [(3, 2, 0.9), (0, 0, 0.9), (1, 2, 95)])
def test_proportion_refuses(successes, n, level):
    with pytest.raises(ValueError, match="expected"):
        proportion(successes, n, level)


def test_agreement_survives_csv(tmp_path):
    table = agreement(images(1), images(0), images(2), range(5))
    table.to_csv(tmp_path / "a.csv", index=False)
    read = pd.read_csv(tmp_path / "a.csv")
    assert read["better_than_is"].dtype == bool
    np.testing.assert_array_equal(read["pearson_r"], table["pearson_r"])


def test_a_sign_is_clear_by_interval_and_test():
    assert clear_sign(0.1, 0.2, 0.01) == 1
    assert clear_sign(-0.2, -0.1, 0.01) == -1
    assert clear_sign(-0.1, 0.2, 0.01) == 0
    assert clear_sign(0.1, 0.2, 0.06) == 0  # as with five seeds, all of them positive
    assert clear_sign(0.0, 0.2, 0.01) == 0
    assert clear_sign(math.nan, math.nan, math.nan) == 0


@pytest.mark.parametrize("by", ["machine", ["machine", "t"]])
def test_each_group_has_its_median_and_interval(by):
    table = pd.DataFrame(
        [(m, t, m == "els" and t * s) for m in ("is", "els") for t in (1, 2) for s in range(5)],
        columns=["machine", "t", "r"],
    ).astype({"r": float})
    table.loc[table["r"] == 4, "r"] = np.nan  # counts as 0
    found = median_intervals(table, by, "r")
    assert list(found.index.names) == ([by] if by == "machine" else by)
    assert len(found) == (2 if by == "machine" else 4)
    for group, values in table.fillna(0.0).groupby(by)["r"]:
        assert tuple(found.loc[group, ["estimate", "low", "high"]]) == bootstrap_median(values)
    assert (found.loc["is"] == 0).all(axis=None)


def test_holm_raises_the_smallest_most():
    """The example by hand: 4 tests, one that was not made."""
    assert holm([0.01, 0.04, np.nan, 0.03, 0.005]) == pytest.approx(
        [0.03, 0.06, np.nan, 0.06, 0.02], nan_ok=True
    )
    assert holm([[0.4], [0.9]]).tolist() == [[0.8], [0.9]]
    assert holm([]).size == 0


def test_holm_errs_at_most_as_often_as_its_level():
    """Of 20 tests of nothing, some is below .05 in at most 5% of the tables."""
    p = np.random.default_rng(0).uniform(size=(4000, 20))
    wrong = np.mean([(holm(row) < 0.05).any() for row in p])
    assert 0.03 < wrong < 0.06
