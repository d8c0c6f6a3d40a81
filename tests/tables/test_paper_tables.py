"""Paired comparisons, and the paper's tables with ours in them."""

import math
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from patchmosaic.analysis.agreement import paired_differences
from patchmosaic.analysis.intervals import paired_difference
from patchmosaic.publish.paper_page import render_paper
from patchmosaic.tables.headline import DESCRIPTION, headline
from patchmosaic.tables.paper import load_paper
from patchmosaic.tables.paper_tables import beside_paper, to_latex

PAPER = load_paper(Path(__file__).parents[2] / "numbers/paper.yaml").rows
N = 9


def per_seed(machine, r, dataset="mnist"):
    """Agreement of one machine with a network, a row a seed."""
    table = pd.DataFrame({"seed": range(N), "pearson_r": r, "better_than_is": machine != "is"})
    for column in ("r_squared", "r2_determination", "cosine", "rmse"):
        table[column] = 0.5
    return table.assign(
        network=f"{dataset}-resnet-zeros",
        dataset=dataset,
        architecture="resnet",
        padding="zeros",
        conditional=dataset != "mnist",
        network_steps=150,
        machine=machine,
    )


ELS, IS = np.linspace(0.8, 0.96, N), np.linspace(0.3, 0.62, N)
AGREEMENT = pd.concat(
    [
        per_seed(machine, r, d)
        for d in ("mnist", "cifar10_jpeg")
        for machine, r in (("els", ELS), ("is", IS))
    ]
)


def test_sign_test_is_the_binomial_one_and_ties_say_nothing():
    found = paired_difference([1, 2, 3, 4, 0], [0, 0, 0, 5, 0])
    assert (found.positive, found.negative, found.ties) == (3, 1, 1)
    assert found.p_value == pytest.approx(2 * (1 + 4) / 16)  # at least 3 of 4, twice
    assert found.estimate == 1
    assert found.low <= 1 <= found.high
    assert paired_difference([1, 1], [1, 1])[:3] == (0, 0, 0)
    assert paired_difference([1, 1], [1, 1]).p_value == 1
    with pytest.raises(ValueError, match="pairs need the same"):
        paired_difference([1, 2], [1])


def test_sign_test_is_scipys():
    for n in (1, 2, 7, 20, 32, 101):
        for positive in range(n + 1):
            differences = [1] * positive + [-1] * (n - positive)
            theirs = scipy.stats.binomtest(positive, n).pvalue
            ours = paired_difference(differences, np.zeros(n), resamples=1).p_value
            assert ours == pytest.approx(theirs, rel=1e-12)


def test_paired_interval_is_free_of_the_spread_between_seeds():
    between = np.linspace(0, 0.8, N)
    found = paired_difference(between + 0.1, between)
    assert (found.low, found.high) == pytest.approx((0.1, 0.1))


def test_machines_are_paired_by_seed_and_undefined_counts_as_zero():
    table = AGREEMENT[AGREEMENT["dataset"] == "mnist"].reset_index(drop=True)
    table.loc[(table["machine"] == "els") & (table["seed"] == 0), "pearson_r"] = math.nan
    shuffled = table.sample(frac=1, random_state=0)
    found = paired_differences(shuffled, [("els", "is"), ("els", "ls")])
    assert found["b"].tolist() == ["is"]  # there is no LS
    row = found.iloc[0]
    assert (row["seeds"], row["positive"], row["negative"]) == (N, N - 1, 1)
    assert row["difference"] == pytest.approx(np.median(np.r_[-0.3, (ELS - IS)[1:]]))


@pytest.fixture(scope="module")
def table():
    return beside_paper(headline(AGREEMENT, PAPER), PAPER)


def test_every_row_of_the_paper_is_there_and_ours_beside_it(table):
    assert table["table"].value_counts().to_dict() == {1: 12, 2: 11}  # 11 each, and the copy
    ours = table[table["els_ours"].notna()]
    assert sorted(ours["network"]) == ["cifar10_jpeg-resnet-zeros", "mnist-resnet-zeros"]
    jpeg, mnist = ours.sort_values("network").to_dict("records")
    assert (mnist["table"], mnist["els_paper"], mnist["is_paper"]) == (1, 0.94, 0.61)
    assert (mnist["els_ours"], mnist["is_ours"]) == pytest.approx((0.88, 0.46))
    assert mnist["els_low"] < mnist["els_ours"] < mnist["els_high"]
    assert (mnist["fraction_ours"], mnist["fraction_paper"]) == (1, 1)
    assert (jpeg["table"], jpeg["els_paper"]) == (1, 0.95)
    assert (jpeg["paper_dataset"], mnist["paper_dataset"]) == ("cifar10", "mnist")
    keys = [*DESCRIPTION, "network_steps"]
    in_order = table[table["dataset"] != "cifar10_jpeg"].reset_index(drop=True)
    pd.testing.assert_frame_equal(in_order[keys], PAPER[keys])
    position = table.index[table["dataset"] == "cifar10_jpeg"][0]
    assert table["els_paper"][position] == table["els_paper"][position - 1]  # after the original
    assert table["ls_ours"].isna().all()


def test_networks_of_one_row_are_told_apart():
    again = AGREEMENT[AGREEMENT["dataset"] == "mnist"].assign(network="mnist-resnet-zeros-1")
    table = beside_paper(headline(pd.concat([AGREEMENT, again]), PAPER), PAPER)
    for name in ("mnist-resnet-zeros", "mnist-resnet-zeros-1"):
        assert f"<td>{name}</td>" in render_paper(table, "e")
    assert "mnist-resnet-zeros" not in render_paper(
        beside_paper(headline(AGREEMENT, PAPER), PAPER), "e"
    )


class Cells(HTMLParser):
    def __init__(self):
        super().__init__()
        self.rows, self.data = [], []

    def handle_starttag(self, tag, attributes):
        self.data = [] if tag == "tr" else self.data
        if tag == "td":
            self.data.append("")

    def handle_data(self, data):
        if self.data:
            self.data[-1] += data

    def handle_endtag(self, tag):
        if tag == "tr" and self.data:
            self.rows.append([cell.strip() for cell in self.data])


def test_latex_and_html_hold_the_same_cells():
    mine = AGREEMENT[AGREEMENT["dataset"] == "mnist"].assign(dataset="mine", network="mine")
    table = beside_paper(headline(pd.concat([AGREEMENT, mine]), PAPER), PAPER)
    reader = Cells()
    reader.feed(render_paper(table, "e"))
    assert len(reader.rows) == 22 + 2
    latex = to_latex(table)
    body = [
        [cell.strip().replace(r"\_", "_") for cell in line.removesuffix(r"\\").split("&")]
        for line in latex.splitlines()
        if line.endswith(r"\\") and "multicolumn" not in line and not line.startswith("dataset")
    ]
    assert body == reader.rows
    mnist = next(row for row in body if row[:3] == ["mnist", "resnet", "zeros"])
    assert mnist[5].startswith("0.88 [")
    assert mnist[6] == "0.94"
    assert {row[-1] for row in body if row[0] == "celeba"} == {"bring the images"}
    assert "% cifar10_jpeg: the paper's numbers are for cifar10" in latex
    assert latex.count(r"\begin{tabular}") == latex.count(r"\end{tabular}") == 3
