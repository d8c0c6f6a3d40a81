"""The headline table, its comparison with committed numbers, and the report made of them."""

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_pages import PROVENANCE

from patchmosaic.analysis.agreement import paired_differences
from patchmosaic.analysis.intervals import bootstrap_median, proportion
from patchmosaic.publish.names import NAMES, PAGES
from patchmosaic.publish.pages import opening
from patchmosaic.publish.report import Provenance, ReportFigure, render_report
from patchmosaic.tables.committed import compare
from patchmosaic.tables.equivalence import equivalence
from patchmosaic.tables.headline import (
    COLUMNS,
    answer,
    describe_network,
    headline,
    summary,
    verdicts,
)
from patchmosaic.tables.leaderboard import COSTS, FACTS, leaderboard
from patchmosaic.tables.orderings import orderings, tally
from patchmosaic.tables.paper import load_paper
from patchmosaic.tables.protocol import Protocol
from patchmosaic.tables.tails import tails
from patchmosaic.tables.text import format_comparison, format_headline

NUMBERS = Path(__file__).parents[2] / "numbers"
PAPER = load_paper(NUMBERS / "paper.yaml")


def per_seed(machine, r, is_r, steps=150, dataset="mnist", network=None):
    """Rows of agreement of a ResNet with zero padding, unconditional."""
    r, is_r = np.asarray(r, float), np.asarray(is_r, float)
    return pd.DataFrame(
        {
            "network": network or f"{dataset}-resnet-zeros",
            "dataset": dataset,
            "architecture": "resnet",
            "padding": "zeros",
            "conditional": False,
            "network_steps": steps,
            "machine": machine,
            "seed": np.arange(len(r)),
            "pearson_r": r,
            "r_squared": r**2,
            "r2_determination": r - 0.5,
            "cosine": r,
            "rmse": 1 - r,
            "is_pearson_r": is_r,
            "better_than_is": r > is_r,
        }
    )


def paired(table):
    return paired_differences(table, [("els", "is")])


ELS = np.linspace(0.79, 0.99, 21)
IS = np.linspace(0.3, 0.9, 21)


@pytest.fixture
def table():
    """Agreement of two networks, the second unconditional, as none in the paper."""
    mnist = [per_seed("is", IS, IS), per_seed("els", ELS, IS), per_seed("els", ELS, IS, steps=20)]
    return pd.concat([*mnist, per_seed("els", ELS, IS, dataset="cifar10_jpeg")])


def row(medians, **where):
    for column, value in where.items():
        medians = medians[medians[column] == value]
    assert len(medians) == 1
    return medians.iloc[0]


def test_headline_columns_and_medians(table):
    medians = headline(table, PAPER.rows)
    assert " ".join(medians.columns[:15]) == (
        "dataset architecture padding conditional network_steps machine seeds pearson_r "
        "pearson_r_low pearson_r_high r_squared r2_determination fraction_better_than_is paper "
        "difference"
    )
    assert medians.columns.tolist() == COLUMNS
    els = row(medians, dataset="mnist", machine="els", network_steps=150)
    interval = bootstrap_median(ELS)
    assert (els["pearson_r"], els["pearson_r_low"], els["pearson_r_high"]) == interval
    assert els["r_squared"] == pytest.approx(np.median(ELS) ** 2)
    assert els["r2_determination"] == pytest.approx(np.median(ELS) - 0.5)
    better = proportion(int((ELS > IS).sum()), 21)
    assert (els["fraction_better_than_is"], els["fraction_low"], els["fraction_high"]) == better
    assert els["seeds"] == 21
    assert els["paper"] == 0.94
    assert els["difference"] == pytest.approx(np.median(ELS) - 0.94)
    ideal = row(medians, machine="is")
    assert ideal["paper"] == 0.61
    assert np.isnan(ideal["fraction_better_than_is"])


def test_what_a_kept_table_lacks_is_empty_and_no_zero(table):
    kept = table[table["dataset"] == "mnist"].drop(columns="rmse")
    whole = headline(table, PAPER.rows)
    medians = headline(pd.concat([kept, table[table["dataset"] != "mnist"]]), PAPER.rows)
    assert headline(kept)[["rmse", "rmse_low", "rmse_high"]].isna().all(axis=None)
    is_kept = medians["dataset"] == "mnist"
    lacking = ["rmse", "rmse_low", "rmse_high"]
    assert medians.loc[is_kept, lacking].isna().all(axis=None)
    pd.testing.assert_frame_equal(medians[~is_kept], whole[~is_kept])
    pd.testing.assert_frame_equal(medians.drop(columns=lacking), whole.drop(columns=lacking))


def test_steps_choose_the_paper_table():
    both = pd.concat([per_seed("is", IS, IS, steps=steps) for steps in (20, 150)])
    assert headline(both, PAPER.rows).set_index("network_steps")["paper"].to_dict() == {
        20: 0.62,
        150: 0.61,
    }


def test_datasets_that_the_paper_lacks_get_no_number(table):
    others = table.replace({"dataset": {"cifar10_jpeg": "mine"}})
    mine = row(headline(others, PAPER.rows), dataset="mine")
    assert np.isnan(mine["paper"])
    assert np.isnan(mine["difference"])
    assert headline(table)["paper"].isna().all()


def test_altered_copies_stand_beside_the_originals_and_say_so():
    copy = per_seed("els", ELS, IS, dataset="cifar10_jpeg").assign(conditional=True)
    found = headline(copy, PAPER.rows)
    assert found["paper"].tolist() == [0.95]
    assert found["dataset"].tolist() == ["cifar10_jpeg"]
    baseline = per_seed("is", IS, IS, dataset="cifar10_jpeg").assign(conditional=True)
    both = pd.concat([copy, baseline])
    beside = summary(headline(both, PAPER.rows), paired(both))
    assert beside.endswith("are those for cifar10.")
    assert "those for" not in summary(headline(both), paired(both))


def test_headline_does_not_depend_on_the_order_of_rows(table):
    shuffled = table.sample(frac=1, random_state=1)
    pd.testing.assert_frame_equal(headline(table, PAPER.rows), headline(shuffled, PAPER.rows))


def test_undefined_correlations_count_as_zero_and_are_counted():
    r = np.array([np.nan, np.nan, 0.6, 0.8, 0.9])
    of_els = per_seed("els", r, np.full(5, 0.5))
    medians = headline(of_els)
    els = medians.iloc[0]
    assert (els["seeds"], els["undefined"], els["pearson_r"]) == (5, 2, 0.6)
    assert els["fraction_better_than_is"] == pytest.approx(3 / 5)
    text = " ".join(format_headline(medians, paired(of_els)).split())
    assert "undefined (a constant image) on 2 of 5 seeds; there it counts as 0" in text


def test_networks_of_one_description_stay_apart():
    both = [per_seed("els", ELS - 0.1 * i, IS, network=f"training-{i}") for i in range(2)]
    medians = headline(pd.concat(both), PAPER.rows)
    assert medians["network"].tolist() == ["training-0", "training-1"]
    assert medians["paper"].tolist() == [0.94, 0.94]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="pearson_r"), "lacks the columns pearson_r"),
        (lambda t: t.iloc[:0], "no rows"),
        (lambda t: t.assign(machine="ELS"), "machine is 'ELS': choose one of els"),
        (lambda t: t.assign(seed=1), "seeds occur more than once"),
        (lambda t: t.assign(conditional="no"), "column conditional"),
    ],
)
def test_headline_refuses(table, change, message):
    with pytest.raises(ValueError, match=message):
        headline(change(table))


@pytest.mark.parametrize(
    ("els", "verdict"),
    [
        (ELS, "ELS clearly above IS"),
        (IS + 0.01, "ELS clearly above IS"),  # on every seed, though the medians are near
        (IS[::-1], "not separated"),
        (IS - 1, "ELS clearly below IS"),
    ],
)
def test_verdicts_follow_the_differences_seed_by_seed(els, verdict):
    table = pd.concat([per_seed("is", IS, IS), per_seed("els", els, IS)])
    found = verdicts(headline(table), paired(table))
    assert found["verdict"].tolist() == [verdict]
    assert found.loc[0, "els"] == pytest.approx(np.median(els))
    assert found.loc[0, "is_high"] == bootstrap_median(IS).high
    columns = ["difference", "difference_low", "difference_high"]
    assert tuple(found.loc[0, columns]) == bootstrap_median(els - IS)
    assert found.loc[0, "p_value"] == paired(table).loc[0, "p_value"]


def test_few_seeds_are_said_to_cover_less():
    def of(n):
        table = pd.concat([per_seed(m, ELS[:n], IS[:n]) for m in ("is", "els")])
        return summary(headline(table), paired(table))

    assert "at most 87.5%" in of(4)  # 1 - 2 / 2^4: all of four draws on one side of the median
    assert "how much less is not known" in of(8)
    assert "nominal" not in of(10)


def test_no_verdict_without_both(table):
    medians = headline(table)
    found = verdicts(medians, paired(table)).set_index(["dataset", "network_steps"])["verdict"]
    assert found["mnist", 150] == "ELS clearly above IS"
    assert found["mnist", 20] == "no IS to compare"
    text = summary(medians, paired(table))
    assert text.startswith("In 1 of 1 comparisons")
    assert "ELS 0.89, IS 0.60" in text
    alone = per_seed("is", IS, IS)
    assert "nothing to compare" in summary(headline(alone), paired(alone))


def committed(*rows):
    columns = ["network", "network_steps", "machine", "pearson_r", "tolerance", "reason"]
    frame = pd.DataFrame([(*r, "a reason") for r in rows], columns=columns)
    return {"ci": frame}


def test_compare_within_and_beyond_the_tolerance():
    medians = headline(pd.concat([per_seed("is", IS, IS), per_seed("els", ELS, IS)]))
    network, els = "mnist-resnet-zeros", float(np.median(ELS))
    good = committed((network, 150, "els", els - 0.02, 0.02), (network, 150, "is", 0.6, 0.01))
    comparison = compare(medians, good, "ci")
    assert " ".join(comparison.columns[:8]) == (
        "network network_steps machine committed found tolerance moved ok"
    )
    assert comparison["ok"].tolist() == [True, True]
    assert comparison["moved"].tolist() == pytest.approx([0.02, 0])
    assert "2 of 2 numbers are as committed" in format_comparison(comparison)
    bad = committed((network, 150, "els", els + 0.03, 0.02), (network, 150, "is", 0.6, 0.01))
    comparison = compare(medians, bad, "ci")
    assert comparison["ok"].tolist() == [False, True]
    text = format_comparison(comparison)
    assert re.search(r"-0\.030  NO   moved beyond its tolerance", text)
    assert "1 of 2" in text


def test_compare_fails_what_is_missing_on_either_side():
    medians = headline(pd.concat([per_seed("is", IS, IS), per_seed("els", ELS, IS)]))
    network = "mnist-resnet-zeros"
    other = committed((network, 150, "is", 0.6, 0.01), ("lost", 150, "els", 0.9, 0.01))
    comparison = compare(medians, other, "ci").set_index(["network", "machine"])
    assert comparison["ok"].to_dict() == {
        ("lost", "els"): False,
        (network, "els"): False,
        (network, "is"): True,
    }
    assert comparison.loc[("lost", "els"), "note"] == "committed, but not found"
    assert comparison.loc[(network, "els"), "note"] == "found, but not committed"


def test_nothing_committed_is_no_pass(table):
    medians = headline(table)
    for experiment in ("no such experiment", "ci"):
        comparison = compare(medians, committed(), experiment)
        assert len(comparison) == len(medians)
        assert not comparison["ok"].any()
        assert format_comparison(comparison).endswith(
            f"nothing committed for experiment {experiment}: 4 numbers found, none of them checked."
        )
    with pytest.raises(ValueError, match="no rows"):
        compare(medians.iloc[:0], committed(), "ci")


def test_format_headline_reads_as_the_table_does(table, tmp_path):
    headline(table, PAPER.rows).to_csv(tmp_path / "h.csv", index=False)
    paired(table).to_csv(tmp_path / "p.csv", index=False)
    text = format_headline(*(pd.read_csv(tmp_path / f"{name}.csv") for name in "hp"))
    lines = text.splitlines()
    assert max(map(len, lines)) <= 110
    titles = re.split(r"\s{2,}", lines[0].strip())
    els = next(line for line in lines if line.split()[:2] == ["150", "ELS"] and "0.94" in line)
    cells = dict(zip(titles, re.split(r"\s{2,}", els.strip()), strict=True))
    low, high = bootstrap_median(ELS)[1:]
    assert cells["Pearson r [95% interval]"] == f"0.890 [{low:.3f}, {high:.3f}]"
    assert cells["r^2"] == f"{np.median(ELS) ** 2:.3f}"
    assert cells["paper"] == "0.94"
    assert cells["ours-paper"] == f"{np.median(ELS) - 0.94:+.3f}"
    assert "nan" not in text
    assert "cifar10_jpeg-resnet-zeros (cifar10_jpeg, resnet, zeros padding, unconditional)" in lines


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ((0, 0, 0), "could not be asked"),
        ((8, 8, 0), "holds in every"),
        ((8, 5, 0), "contradicted by none"),
        ((8, 5, 1), "not in all"),
        ((8, 4, 0), "neither"),
        ((8, 1, 5), "does not hold"),
        ((8, 4, 4), "neither"),
    ],
)
def test_answer_follows_from_counts(counts, words):
    assert words in answer(*counts)


class Page(HTMLParser):
    """Collects what a page fetches or runs, whether its tags match, and its anchors."""

    VOID = ("meta", "link", "img", "br")

    def __init__(self, html):
        super().__init__()
        self.open, self.tags, self.ids, self.addresses = [], [], set(), []
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        for key, value in attributes:
            if key == "id":
                self.ids.add(value)
            if key in ("href", "src"):
                self.addresses.append((tag, value))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


PNG = b"\x89PNG\r\n\x1a\n" + bytes(8) + (650).to_bytes(4, "big") + bytes(20)


@pytest.fixture
def arguments(table):
    medians = headline(table, PAPER.rows)
    return {
        "experiment": "default",
        "headline": medians,
        "paired": paired(table),
        "orderings": orderings(table, PAPER.rows, dict.fromkeys(table["network"], "any")),
        "equivalence": equivalence(
            table,
            PAPER,
            pd.DataFrame(
                [{"network": "a", "network_steps": 20, "machine": "els", "sd_training": 0.01}]
            ),
            Protocol(200, 100, 200, margin=0.05, significance=0.05, low=0.8),
        ),
        "tails": tails(table, 0.8),
        "comparison": compare(medians, committed(), "default"),
        "figures": [
            ReportFigure("Scales", "n = 3 < 4 trajectories", PNG, "figures/scales.pdf", "Scales"),
            ReportFigure("<script>alert(1)</script>", "pairs", PNG, "figures/a b.pdf", "Pairs"),
        ],
        "provenance": PROVENANCE,
        "tables": {"tables/headline.csv": "medians"},
        "paper_source": PAPER.source,
    }


def test_report_stands_alone_and_its_links_lead_somewhere(arguments):
    page = Page(render_report(**arguments))
    assert not page.open
    assert "script" not in page.tags
    files = {"tables/headline.csv", "figures/scales.pdf", "figures/a%20b.pdf"}
    for tag, address in page.addresses:
        if tag == "img":
            assert address.startswith("data:image/png;base64,")
        elif address.startswith("#"):
            assert address[1:] in page.ids
        else:
            assert address in files | {"data:,"}


def test_report_says_what_the_tables_say(arguments):
    html = render_report(**arguments)
    medians = arguments["headline"]
    assert summary(medians, arguments["paired"]) in html
    els = row(medians, dataset="mnist", machine="els", network_steps=150)
    interval = f"{els['pearson_r']:.3f} [{els['pearson_r_low']:.3f}, {els['pearson_r_high']:.3f}]"
    assert interval in html
    assert "ELS clearly above IS" in html
    for text, *counts in tally(arguments["orderings"]).itertuples(index=False, name=None):
        counts = [*counts[:4], f"{counts[4]} of {counts[5]}"]
        cells = r"\s*".join(f'<td class="n">{count}</td>' for count in counts)
        assert re.search(f"<td>{text}</td>{cells}", html)
    assert describe_network(els) in html
    assert "&lt;script&gt;" in html
    assert "n = 3 &lt; 4 trajectories" in html
    assert "ab" * 32 in html
    assert "Nothing is committed" in html
    assert "nan" not in re.sub(r"base64,[^\"]*", "", html).lower().replace("provenance", "")


def test_report_shows_what_moved(arguments):
    arguments["comparison"] = compare(
        arguments["headline"], committed(("mnist-resnet-zeros", 150, "els", 0.5, 0.01)), "ci"
    )
    html = render_report(**arguments)
    assert "no: moved beyond its tolerance" in html
    assert "Nothing is committed" not in html


def test_report_has_a_leaderboard_where_there_is_one(arguments):
    """It stands alone all the same: nothing in it is asked of the network."""
    assert "leaderboard" not in Page(render_report(**arguments)).ids
    els = per_seed("els", np.linspace(0.5, 0.9, 12), np.linspace(0.4, 0.6, 12))
    table = pd.concat([els, els.assign(machine="is", pearson_r=els["is_pearson_r"])])
    table = table.assign(**dict.fromkeys(["mse", "high_pass_r", "ssim", "r2_sample_variance"], 0.5))
    facts = table[["network", "network_steps", "machine"]].drop_duplicates()
    facts = facts.assign(**dict.fromkeys(FACTS, "words") | dict.fromkeys(COSTS, 1.0))
    html = render_report(**arguments, leaderboard=leaderboard(table, facts))
    page = Page(html)
    assert not page.open
    assert "leaderboard" in page.ids
    assert "mnist-resnet-zeros, 150 network steps" in html
    assert all(a.startswith(("#", "data:", "tables/", "figures/")) for _, a in page.addresses)


def test_report_opens_with_what_a_visitor_wants_first(arguments):
    """Question, verdict in a sentence, the numbers behind it, leaderboard, pairs; then the rest."""
    board = pd.read_csv(NUMBERS / "tables/leaderboard.csv")
    statement = opening(arguments["headline"], arguments["paired"])
    html = render_report(**arguments, leaderboard=board, pages=PAGES)
    assert statement.verdict == "The claim holds in every comparison."
    named = ["leaderboard", "pairs", "verdicts", "headline", "category-1", "tables"]
    parts = [*vars(statement).values(), *(f'<section id="{name}">' for name in named)]
    order = [parts[i] for i in (2, 3, 0, 1, *range(4, len(parts)))]
    found = [html.index(part) for part in order]
    assert found == sorted(found)
    contents = re.search(r"<nav.*?</nav>", html, re.DOTALL)[0]
    sections = re.findall(r'<section id="([\w-]+)">', html)
    assert re.findall(r'href="#([\w-]+)"', contents) == sections
    for page, file in PAGES.items():
        assert (f'<a href="../{file}">{NAMES[page]}</a>' in html) == (page != "report")


def test_report_refuses_what_lacks_its_origin(arguments):
    parts = vars(arguments["provenance"])
    without = parts | {"checkpoints": parts["checkpoints"].drop(columns="sha256")}
    with pytest.raises(ValueError, match="checkpoints lacks the columns sha256"):
        Provenance(**without)
    with pytest.raises(ValueError, match="'x' is not a PNG"):
        ReportFigure("x", "", b"%PDF", "x.pdf")
