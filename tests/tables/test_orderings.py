"""The paper's orderings, asked of tables that were made to have them or not."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from patchmosaic.analysis.intervals import paired_difference
from patchmosaic.tables.orderings import CLAIMS, orderings, tally
from patchmosaic.tables.paper import load_paper

PAPER = load_paper(Path(__file__).parents[2] / "numbers/paper.yaml").rows
RNG = np.random.default_rng(0)
N = 20


def runs(network, els, ls, is_, architecture="resnet", padding="zeros", dataset="mnist"):
    """Rows of agreement of a network in 20 and in 150 steps, around a median each."""
    tables = []
    for steps, more in ((20, 0.0), (150, 0.02)):
        for machine, middle in (("els", els), ("ls", ls), ("is", is_)):
            table = pd.DataFrame({"seed": range(N)})
            table["pearson_r"] = middle + more * (machine == "els") + RNG.normal(0, 1e-3, N)
            table["network"], table["network_steps"] = network, steps
            table["machine"], table["dataset"] = machine, dataset
            table["architecture"], table["padding"] = architecture, padding
            tables.append(table.assign(conditional=dataset != "mnist"))
    return pd.concat(tables)


ZEROS = runs("mnist-resnet-zeros", 0.9, 0.8, 0.5)
CIRCULAR = runs("mnist-resnet-circular", 0.7, 0.7, 0.1, padding="circular")
UNET = runs("mnist-unet-zeros", 0.6, 0.9, 0.7, architecture="unet")
AGREEMENT = pd.concat([ZEROS, CIRCULAR, UNET])
KINDS = {
    "mnist-resnet-zeros": "ResNet of 64 channels",
    "mnist-resnet-circular": "ResNet of 64 channels",
    "mnist-unet-zeros": "UNet of 24",
}


@pytest.fixture(scope="module")
def table():
    return orderings(AGREEMENT, PAPER, KINDS)


def test_every_claim_is_asked_of_the_networks_that_it_is_about(table):
    assert list(dict.fromkeys(table["claim"])) == list(CLAIMS)
    assert table["claim"].value_counts().to_dict() == {
        "els_above_is": 6,
        "els_above_ls": 4,  # ResNets
        "more_steps": 3,
        "zeros_above_circular": 2,
        "circular_mnist_lowest": 4,  # two other networks, each in 20 and in 150 steps
    }
    assert set(table["seeds"]) == {N}


def test_verdicts_are_those_that_the_numbers_were_made_for(table):
    found = table.set_index(["claim", "a"])["verdict"]
    zeros, circular, unet = (
        f"ELS, mnist-{name}, 20 steps" for name in ("resnet-zeros", "resnet-circular", "unet-zeros")
    )
    assert found["els_above_is", zeros] == "holds"
    assert found["els_above_is", unet] == "reversed"
    assert found["els_above_ls", circular] == "not separated"
    assert (found["more_steps"] == "holds").all()
    assert (found["zeros_above_circular"] == "holds").all()
    assert found["circular_mnist_lowest", zeros] == "holds"
    assert found["circular_mnist_lowest", unet] == "reversed"


def test_differences_are_paired_and_stand_beside_the_paper_s(table):
    row = table[table["claim"] == "zeros_above_circular"].iloc[1]
    assert (row["a"], row["b"]) == (
        "ELS, mnist-resnet-zeros, 150 steps",
        "ELS, mnist-resnet-circular, 150 steps",
    )
    chosen = (AGREEMENT["machine"] == "els") & (AGREEMENT["network_steps"] == 150)
    r = AGREEMENT[chosen].pivot(index="seed", columns="network", values="pearson_r")
    expected = paired_difference(r["mnist-resnet-zeros"], r["mnist-resnet-circular"])
    assert row["difference"] == expected.estimate
    assert (row["low"], row["high"], row["p_value"]) == (*expected[1:3], expected.p_value)
    assert row["paper"] == pytest.approx(0.94 - 0.77)


def test_seeds_of_one_side_only_and_undefined_ones():
    fewer = ZEROS[(ZEROS["machine"] == "els") | (ZEROS["seed"] < 5)].copy()
    fewer.loc[(fewer["machine"] == "is") & (fewer["seed"] == 0), "pearson_r"] = math.nan
    found = orderings(fewer, PAPER, KINDS).set_index("claim").loc["els_above_is"]
    assert found["seeds"].tolist() == [5, 5]
    assert found["positive"].tolist() == [5, 5]  # r = 0 where undefined


def test_networks_of_other_widths_are_not_taken_for_each_other():
    wide = [
        runs("mnist-resnet-zeros-256", 0.9, 0.8, 0.5),
        runs("mnist-resnet-circular-256", 0.6, 0.6, 0.1, padding="circular"),
    ]
    kinds = KINDS | {table["network"].iloc[0]: "ResNet of 256 channels" for table in wide}
    found = orderings(pd.concat([AGREEMENT, *wide]), PAPER, kinds).set_index("claim")
    paddings = found.loc["zeros_above_circular"]
    assert len(paddings) == 2 * 2  # each width with itself, in both numbers of steps
    assert (paddings["a"].str.contains("256") == paddings["b"].str.contains("256")).all()
    lowest = found.loc["circular_mnist_lowest"]
    assert len(lowest) == 2 * 2 * 3
    assert not lowest["a"].str.contains("circular").any()


def test_tally_counts_and_leaves_out_what_was_not_compared(table):
    counts = tally(table).set_index("text")
    assert counts.loc[CLAIMS["els_above_is"]].tolist() == [6, 4, 0, 2, 6, 6]
    assert counts.loc[CLAIMS["els_above_ls"]].tolist() == [4, 3, 1, 0, 4, 4]
    assert counts.loc[CLAIMS["more_steps"]].tolist() == [3, 3, 0, 0, 2, 3]  # .94 and .94
    alone = tally(orderings(UNET[UNET["network_steps"] == 20], PAPER, KINDS))
    assert alone["text"].tolist() == [CLAIMS["els_above_is"]]
    assert tally(orderings(UNET[UNET["machine"] == "is"], PAPER, KINDS)).empty
