"""Disputed claims: tests and verdicts of tables that were made to say one thing or another."""

import numpy as np
import pandas as pd
import pytest

from patchmosaic.analysis.intervals import bootstrap_median, holm, paired_difference
from patchmosaic.tables.claims import (
    ABOVE,
    AGAINST,
    CLAIMS,
    COLUMNS,
    DEPENDS,
    FAILS,
    FOR,
    HOLDS,
    LEVEL,
    OPEN,
    UNDECIDED,
    UNTESTED,
    compared,
    decided,
    gradients_table,
    judged,
    of_agreement,
    of_gradients,
    of_hybrids,
    of_own_scales,
    of_steps,
    of_training,
)

N, MARGIN = 20, 0.05
RNG = np.random.default_rng(0)


def values(middle, spread=1e-3):
    return pd.Series(middle + RNG.normal(0, spread, N), index=pd.RangeIndex(N, name="seed"))


def rows(column="pearson_r", *, of, **named):
    return of.rename(column).reset_index().assign(**named)


def one_test(claim, middle, asks=ABOVE, spread=1e-3):
    return compared(claim, "a - b", "n", "s", values(middle, spread), 0 * values(0), asks)


def says(found):
    return dict(zip(found["test"], found["says"], strict=True))


def test_a_test_is_the_paired_difference_of_seeds_that_both_have():
    a, b = values(0.5), values(0.3)
    a.iloc[3] = np.nan
    found = compared("simple", "a - b", "n", "s", a.iloc[:12], b.iloc[2:])
    expected = paired_difference(a.fillna(0)[2:12], b[2:12])
    assert (found["seeds"], found["difference"], found["low"]) == (10, *expected[:2])
    assert found["p_value"] == expected.p_value


@pytest.mark.parametrize(
    ("middle", "asks", "spread", "expected"),
    [
        (0.1, ABOVE, 1e-3, FOR),
        (-0.1, ABOVE, 1e-3, AGAINST),
        (0.0, ABOVE, 1e-3, OPEN),
        (0.01, LEVEL, 1e-3, FOR),  # clear, and small
        (0.1, LEVEL, 1e-3, AGAINST),
        (-0.1, LEVEL, 1e-3, AGAINST),
        (0.05, LEVEL, 0.02, OPEN),
        (0.0, LEVEL, 1.0, OPEN),  # nothing is known of it
    ],
)
def test_what_a_test_says_follows_from_its_interval(middle, asks, spread, expected):
    row = judged([one_test("final", middle, asks, spread)], MARGIN).iloc[0]
    assert row["says"] == expected


def test_many_tests_of_a_claim_need_smaller_p():
    """Six signs of six: p = 2 / 64 alone or beside tests of other claims, too much of two."""
    few = values(0.1).iloc[:6]
    one = compared("simple", "a - b", "n", "s", few, 0 * few)
    assert judged([one], MARGIN)["says"].tolist() == [FOR]
    assert judged([one, one], MARGIN)["says"].tolist() == [OPEN, OPEN]
    apart = judged([one | {"claim": "pca"}, one], MARGIN)
    assert apart["claim"].tolist() == ["simple", "pca"]
    assert apart["says"].tolist() == [FOR, FOR]
    many = judged([one_test("pca", x) for x in (0, 0.1, 0.2)] + [one], MARGIN)
    np.testing.assert_array_equal(many["p_holm"][1:], holm(many["p_value"][1:].to_numpy()))
    assert list(many.columns) == COLUMNS


def test_verdicts_follow_from_the_tests():
    tests = judged(
        [
            *(one_test("simple", 0.1) for _ in range(2)),
            *(one_test("pca", -0.1 * i) for i in (1, 2)),
            *(one_test("centre", x) for x in (0.1, -0.1, 0)),
            *(one_test("subset", x) for x in (0.1, 0)),
            one_test("trained", 0),
        ],
        MARGIN,
    )
    found = decided(tests).set_index("claim")
    assert list(found.index) == list(CLAIMS)
    verdicts = found["verdict"].to_dict()
    assert verdicts.pop("simple") == HOLDS
    assert verdicts.pop("pca") == FAILS
    assert verdicts.pop("centre") == DEPENDS
    assert verdicts.pop("subset") == verdicts.pop("trained") == UNDECIDED
    assert set(verdicts.values()) == {UNTESTED}
    pca = found.loc["pca"]
    assert (pca["tests"], pca[FOR], pca[AGAINST], pca[OPEN], pca["seeds"]) == (2, 0, 2, 0, N)
    assert pca["least_low"] < pca["least"] < -0.19 < -0.11 < pca["greatest"] < pca["greatest_high"]
    assert pd.isna(found.loc["attention", "least"])
    words = [claim.against for claim in CLAIMS.values()]
    assert found["disputed"].tolist() == words


def agreement(**medians):
    tables = [
        rows(of=values(r), machine=machine, r2_determination=values(r - 0.2))
        for machine, r in medians.items()
    ]
    return pd.concat(tables).assign(network="n", network_steps=20, high_pass_r=0.5)


def test_final_images_are_asked_for_every_pair_that_is_there():
    medians = {"els": 0.9, "ls": 0.8, "wiener": 0.85, "pca": 0.7, "composite": 0.8}
    found = judged(of_agreement(agreement(**medians)), MARGIN)
    assert says(found) == {
        "r: ELS - Wiener": FOR,
        "R²: ELS - Wiener": FOR,
        "r: PCA-locality - Wiener": AGAINST,
        "R²: PCA-locality - Wiener": AGAINST,
        "r: ELS - LS": FOR,
        "r: LS - composite": OPEN,
        "R²: LS - composite": OPEN,
        "ELS: r - r of high-passed images": AGAINST,
    }
    assert set(found["network"]) == {"n, 20 steps"}


def test_own_scales_are_those_of_ls():
    scales = rows(of=values(0.95), network="n", network_steps=20)
    [row] = of_own_scales(scales, agreement(els=0.9, ls=0.8))
    assert row["claim"] == "equivariance"
    assert row["difference"] == pytest.approx(-0.05, abs=2e-3)


def gradients(network, altered, own, plain, far):
    """Of two times, which are averaged."""
    tables = []
    for t, more in ((0.2, 0.1), (0.8, -0.1)):
        table = rows("own", of=values(own + more), network=network, altered=altered, t=t)
        tables.append(table.assign(plain=values(plain), far=values(far)))
    return pd.concat(tables)


def test_gradients_of_altered_images_and_of_attention():
    table = pd.concat(
        [
            gradients("plain", "", 0.9, 0.9, 0.1),
            gradients("attending", None, 0.9, 0.9, 0.3),
            gradients("moved", "permuted", 0.8, 0.2, 0.9),
        ]
    )
    both = pd.concat(
        [agreement(els=r).assign(network=name) for name, r in (("plain", 0.9), ("attending", 0.7))]
    )
    medians = gradients_table(table).set_index(["network", "t"])
    assert medians["altered"].unique().tolist() == ["", "permuted"]
    of = table.query("network == 'moved' and t == 0.2")
    row = medians.loc[("moved", 0.2)]
    assert row["seeds"] == N
    for name in ("own", "plain", "far"):
        ends = row[[name, f"{name}_low", f"{name}_high"]]
        assert ends.tolist() == list(bootstrap_median(of[name]))
    found = judged(of_gradients(table, [("attending", "plain")], both), MARGIN)
    assert found["says"].tolist() == [AGAINST, FOR, FOR]
    assert found["claim"].tolist() == ["architecture", "attention", "attention"]
    assert found["difference"].round(2).tolist() == [-0.6, 0.2, 0.2]


def test_trainings_are_compared_with_their_end():
    moments = {100: 0.9, 5000: 0.5, 9000: 0.7}
    table = pd.concat([rows(of=values(r), network="n", images_seen=s) for s, r in moments.items()])
    found = judged(of_training(table), MARGIN)
    assert says(found) == {
        "r of ELS: after 9,000 images - after 100": AGAINST,
        "r of ELS: after 9,000 images - after 5,000": FOR,
    }


def test_steps_are_averaged_over_times():
    medians = {"noised": 0.9, "network": 0.8, "machine": 0.79}
    table = pd.concat(
        [
            rows(of=values(r + more), network="n", machine=machine, states=states, t=0.5 + more)
            for machine in ("els", "is")
            for states, r in medians.items()
            for more in (-0.1, 0.1)
        ]
    )
    found = judged(of_steps(table), MARGIN)
    assert found.groupby("claim")["says"].agg(list).to_dict() == {
        "noised": [AGAINST, AGAINST],
        "final": [FOR],
    }


def test_parts_of_the_way_add_up_in_either_order():
    """Here the middle third makes .5 of r, the first .2, the last .1."""
    likeness = {"machine": (1.0, 0.8, 0.3, 0.2), "network": (0.2, 0.4, 0.9, 1.0)}
    table = pd.concat(
        [
            rows(of=values(r), network="n", first=first, switch=switch)
            for first, of in likeness.items()
            for switch, r in zip((1, 0.65, 0.3, 0), of, strict=True)
        ]
    )
    found = judged(of_hybrids(table), MARGIN)
    assert found["says"].tolist() == [FOR] * 4
    assert found["difference"].round(2).tolist() == [0.3, 0.4, 0.3, 0.4]
