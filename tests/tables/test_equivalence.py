"""Whether medians are the paper's: made rows whose answer is known, and what errors do to it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from configs import DEFAULT, ROOT, merged, read

from patchmosaic.tables.equivalence import (
    ABOVE,
    BELOW,
    COLUMNS,
    LEVEL,
    UNDECIDED,
    equivalence,
    tally,
)
from patchmosaic.tables.paper import load_paper
from patchmosaic.tables.protocol import Protocol, load_protocol

NUMBERS = Path(__file__).parents[2] / "numbers"
PAPER = load_paper(NUMBERS / "paper.yaml")
RULE = load_protocol(NUMBERS / "protocol.yaml")
PAPER_ELS, PAPER_LS, PAPER_IS = 0.94, 0.82, 0.61  # of the MNIST ResNet in 150 steps


def spread(sd, network="mnist-resnet-zeros", machine="els"):
    row = {"network": network, "network_steps": 150, "machine": machine, "sd_training": sd}
    return pd.DataFrame([row])


def rows(machine, off, seeds=100, sd=0.02, network="mnist-resnet-zeros", first=0):
    """Agreement around the paper's median and ``off``, symmetric, so that it is the median."""
    middle = {"els": PAPER_ELS, "ls": PAPER_LS, "is": PAPER_IS}[machine] + off
    around = sd * np.linspace(-1.7, 1.7, seeds)
    return pd.DataFrame(
        {
            "network": network,
            "dataset": "mnist",
            "architecture": "resnet",
            "padding": "zeros",
            "conditional": False,
            "network_steps": 150,
            "machine": machine,
            "seed": first + np.arange(seeds),
            "pearson_r": middle + around,
        }
    )


def only(table):
    assert len(table) == 1
    return table.iloc[0]


@pytest.mark.parametrize(
    ("off", "sd", "verdict"),
    [
        (0.0, 0.02, LEVEL),
        (0.03, 0.02, LEVEL),
        (-0.03, 0.02, LEVEL),
        (0.05, 0.02, ABOVE),  # at the margin: not shown to be within it
        (0.2, 0.02, ABOVE),
        (-0.2, 0.02, BELOW),
        (0.0, 0.4, UNDECIDED),  # so uncertain that 0 and the margin are both possible
    ],
)
def test_a_median_is_level_only_where_the_interval_lies_within_the_margin(off, sd, verdict):
    found = only(equivalence(rows("els", off, sd=sd), PAPER, spread(0.0), RULE))
    assert found["verdict"] == verdict
    assert found["difference"] == pytest.approx(off, abs=1e-9)
    assert found["paper"] == PAPER_ELS
    assert (found["p_value"] < 0.05) == (verdict == LEVEL)


def test_the_errors_of_both_sides_are_added():
    table = rows("els", 0.01)
    found = only(equivalence(table, PAPER, spread(0.0), RULE))
    seeds = found["sd_seeds"]
    # The standard error of a median of n uniform values of width w is w / (2 sqrt(n)).
    assert seeds == pytest.approx(0.02 * 3.4 / 2 / 10, rel=0.1)
    rounding = 0.01 / np.sqrt(12)
    assert found["sd_paper"] == pytest.approx(np.hypot(seeds, rounding))  # of as many seeds
    half = 1.6449 * np.hypot(seeds, found["sd_paper"])
    assert found["high"] - found["difference"] == pytest.approx(half, rel=1e-3)
    assert found["difference"] - found["low"] == pytest.approx(half, rel=1e-3)
    trained = only(equivalence(table, PAPER, spread(0.04), RULE))
    assert trained["sd_training"] == 0.04
    more = np.sqrt(half**2 + 2 * (1.6449 * 0.04) ** 2)
    assert trained["high"] - trained["difference"] == pytest.approx(more, rel=1e-3)
    assert trained["verdict"] == UNDECIDED
    # A quarter of the seeds: twice the error of ours, that of the paper's 100 seeds as before.
    fewer = only(equivalence(table[table["seed"] % 4 == 0], PAPER, spread(0.0), RULE))
    assert fewer["sd_seeds"] == pytest.approx(2 * seeds, rel=0.15)
    assert fewer["sd_paper"] == pytest.approx(found["sd_paper"], rel=0.15)


def test_a_network_without_trainings_of_its_own_varies_as_the_most_varied():
    known = pd.concat([spread(0.01, "other"), spread(0.03, "other", "is"), spread(0.02, "mine")])
    table = rows("els", 0.0, network="mine")
    assert only(equivalence(table, PAPER, known, RULE))["sd_training"] == 0.02
    table = rows("els", 0.0, network="unknown")
    assert only(equivalence(table, PAPER, known, RULE))["sd_training"] == 0.03


def test_trainings_alike_are_one_row_of_their_mean_median():
    trainings = [rows("els", off, network=f"run-{off}") for off in (0.0, 0.02, 0.04, 0.1)]
    names = [table["network"].iloc[0] for table in trainings]
    found = only(
        equivalence(pd.concat(trainings), PAPER, spread(0.02, names[0]), RULE, repeats=[names])
    )
    assert (found["network"], found["trainings"], found["seeds"]) == (names[0], 4, 100)
    assert found["difference"] == pytest.approx(0.04)
    assert found["sd_training"] == pytest.approx(0.01)  # four trainings halve it
    alone = equivalence(pd.concat(trainings), PAPER, spread(0.02), RULE)
    assert list(alone["network"]) == sorted(names)


def test_few_seeds_decide_nothing_and_undefined_r_counts_as_0():
    assert only(equivalence(rows("els", 0.0, 9), PAPER, spread(0.0), RULE))["verdict"] == UNDECIDED
    table = rows("els", 0.0, seeds=11)
    table.loc[:6, "pearson_r"] = np.nan  # most of them: the median is 0
    found = only(equivalence(table, PAPER, spread(0.0), RULE))
    assert (found["pearson_r"], found["seeds"], found["verdict"]) == (0.0, 11, BELOW)


def test_rows_that_the_paper_does_not_have_are_left_out():
    other = rows("els", 0.0).assign(dataset="fashion_mnist")  # unconditional, as none in the paper
    mine = rows("els", 0.0).assign(machine="wiener")
    table = equivalence(pd.concat([other, mine]), PAPER, spread(0.0), RULE)
    assert table.empty
    assert list(table.columns) == COLUMNS
    assert tally(table).empty


def test_the_tally_counts_verdicts_and_directions():
    table = equivalence(
        pd.concat([rows("els", 0.01), rows("ls", 0.2), rows("is", -0.2)]), PAPER, spread(0.0), RULE
    )
    assert list(table["machine"]) == ["els", "ls", "is"]
    counts = tally(table).set_index("machine")
    assert list(counts.index) == ["els", "ls", "is"]
    assert counts.loc["els", [LEVEL, "compared", "upward"]].tolist() == [1, 1, 1]
    assert counts.loc["ls", [ABOVE, LEVEL, "upward"]].tolist() == [1, 0, 1]
    assert counts.loc["is", [BELOW, "upward"]].tolist() == [1, 0]


@pytest.mark.slow
def test_intervals_cover_and_equivalence_is_rarely_claimed_at_the_margin():
    """Both sides drawn anew, with a difference at the margin: LEVEL is wrong, in 5% or less."""
    random, claimed, runs = np.random.default_rng(0), 0, 300
    for _ in range(runs):
        ours = PAPER_ELS + 0.05 + random.normal(0, 0.01) + random.normal(0, 0.05, 100)
        theirs = np.median(PAPER_ELS + random.normal(0, 0.01) + random.normal(0, 0.05, 100))
        table = rows("els", 0.0).assign(pearson_r=ours - (theirs - PAPER_ELS))
        claimed += only(equivalence(table, PAPER, spread(0.01), RULE))["verdict"] == LEVEL
    assert 0.01 * runs < claimed < 0.08 * runs


SEEDS, EQUIVALENCE = "{first: 1, count: 1, looked_at: 0}", "{margin: 0.05, significance: 0.05}"


@pytest.mark.parametrize(
    ("sections", "named"),
    [
        ({"equivalence": "{margin: 0, significance: 0.05}"}, "margin is 0"),
        ({"equivalence": "{margin: 0.05}"}, "'significance' is missing"),
        ({"equivalence": "{margin: 0.05, significance: 0.6}"}, "significance is 0.6"),
        ({"tails": "{low: 2}"}, "low is 2"),
        ({"tails": None}, "'tails' is missing"),
        ({"margin": "0.05"}, "unknown key 'margin'"),
        ({"equivalence": "0.05"}, "equivalence is 0.05"),
        ({"evaluation": None}, "'evaluation' is missing"),
        ({"evaluation": "{first: 100, count: 0, looked_at: 1}"}, "count is 0: .* integer from 1"),
    ],
)
def test_a_protocol_that_is_none_is_named(tmp_path, sections, named):
    sections = {"evaluation": SEEDS, "equivalence": EQUIVALENCE, "tails": "{low: 0.8}"} | sections
    path = tmp_path / "protocol.yaml"
    path.write_text("\n".join(f"{k}: {v}" for k, v in sections.items() if v is not None))
    with pytest.raises(ValueError, match=named) as error:
        load_protocol(path)
    assert str(path) in str(error.value)


def test_the_protocol_of_the_project():
    """Its seeds are those of the config whose rows it is about, and no other config draws them."""
    assert load_protocol(NUMBERS / "protocol.yaml") == Protocol(200, 100, 200, 0.05, 0.05, 0.8)
    new = range(RULE.first, RULE.first + RULE.count)
    for path in sorted((ROOT / "config").glob("*.yaml")):
        for seeds in merged(DEFAULT, read(f"config/{path.name}"))["seeds"].values():
            drawn = range(seeds["first"], seeds["first"] + seeds["count"])
            if path.name == "paper_networks.yaml" and drawn == new:
                continue
            assert not set(drawn) & set(new), path.name
    evaluated = merged(DEFAULT, read("config/paper_networks.yaml"))["seeds"]["evaluation"]
    assert (evaluated["first"], evaluated["count"]) == (RULE.first, RULE.count)


def test_kept_numbers_are_of_seeds_that_were_looked_at_or_of_the_protocol():
    for path in sorted((NUMBERS / "agreement").rglob("*.csv")):
        seeds = pd.read_csv(path)["seed"]
        assert RULE.standing(seeds.min(), seeds.max()) != "not of the protocol", path


def test_what_seeds_are_evidence_of():
    of_the_protocol = "of the protocol: no choice has seen them"
    assert RULE.standing(200, 299) == RULE.standing(250, 250) == of_the_protocol
    assert RULE.standing(0, 19) == RULE.standing(150, 249) == "choices have seen some of them"
    assert RULE.standing(250, 300) == RULE.standing(1000, 1001) == "not of the protocol"
