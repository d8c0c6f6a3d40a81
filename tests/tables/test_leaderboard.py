"""The leaderboard: what its rows say, against the same by hand."""

import chromium
import numpy as np
import pandas as pd
import pytest

from patchmosaic.analysis.intervals import bootstrap_median, holm, paired_difference
from patchmosaic.publish.leaderboard import render_leaderboard
from patchmosaic.tables.leaderboard import (
    ALL,
    COLUMNS,
    COSTS,
    MEAN,
    MEDIANS,
    SIBLING,
    TITLES,
    blocks,
    costs,
    format_leaderboard,
    format_submission,
    leaderboard,
    to_latex,
)

SEEDS = 12
SEES = {"els": "P(t)", "is": "none", "wiener": "none", SIBLING: "weights"}
GAINS = {"els": 0.3, "is": 0.0, "wiener": 0.1, SIBLING: 0.4}


def agreement(networks=("a", "b"), steps=(20, 150)):
    random, tables = np.random.default_rng(0), []
    for network in networks:
        for count in steps:
            for machine, gain in GAINS.items():
                values = {name: random.uniform(0, 0.2, SEEDS) for name in (*MEDIANS, MEAN)}
                table = pd.DataFrame(values).assign(seed=range(SEEDS), machine=machine)
                table["pearson_r"] = 0.4 + gain + random.uniform(-0.1, 0.1, SEEDS)
                tables.append(table.assign(network=network, network_steps=count))
    return pd.concat(tables, ignore_index=True)


def facts(table):
    found = table[["network", "network_steps", "machine"]].drop_duplicates()
    words = {"label": found["machine"].str.upper(), "sees": found["machine"].map(SEES)}
    words |= {
        "settings": "of " + found["network"],
        "source": "Somebody & others",
        "protocol": "ours",
    }
    seconds = found["network"].map({"a": 1.0, "b": 3.0})
    return found.assign(**words, seconds=seconds, cpu_seconds=2 * seconds, gib=seconds / 2)


@pytest.fixture(scope="module")
def seeds():
    return agreement()


@pytest.fixture(scope="module")
def table(seeds):
    return leaderboard(seeds, facts(seeds))


def test_rows_are_ranked_within_their_network_and_steps(table):
    assert list(table.columns) == COLUMNS
    found = list(dict.fromkeys(zip(table["network"], table["network_steps"], strict=True)))
    assert found == [(n, steps) for n in (ALL, "a", "b") for steps in (20, 150)]
    for _, rows in table.groupby(["network", "network_steps"]):
        assert rows["pearson_r"].is_monotonic_decreasing
        assert rows["machine"].tolist() == [SIBLING, "els", "wiener", "is"]
        assert rows["rank"].iloc[1:].tolist() == [1, 2, 3]
        assert rows["rank"].isna().tolist() == [True, False, False, False]  # a yardstick has none


def test_a_row_says_what_its_seeds_say(seeds, table):
    of = seeds.query("network == 'b' and network_steps == 150").set_index("machine")
    row = table.query("network == 'b' and network_steps == 150").set_index("machine").loc["els"]
    for name in MEDIANS:
        ends = row[[name, f"{name}_low", f"{name}_high"]]
        assert ends.tolist() == list(bootstrap_median(of.loc["els", name]))
    assert row[f"{MEAN}_mean"] == pytest.approx(of.loc["els", MEAN].mean())
    ours, theirs = (of.loc[machine, "pearson_r"].to_numpy() for machine in ("els", "wiener"))
    assert row["better_than_wiener"] == (ours > theirs).mean()
    expected = paired_difference(ours, theirs)
    assert row["minus_wiener"] == expected.estimate
    assert row["p_wiener"] == expected.p_value
    assert (row["seeds"], row["undefined"]) == (SEEDS, 0)
    assert (row["seconds"], row["cpu_seconds"], row["gib"]) == (3, 6, 1.5)


def test_tests_are_corrected_for_all_of_the_table(table):
    tests = table[["p_is", "p_wiener"]].to_numpy(float)
    assert np.isnan(tests).sum() == 2 * 6  # none against itself
    corrected = table[["p_is_holm", "p_wiener_holm"]].to_numpy(float)
    np.testing.assert_array_equal(corrected, holm(tests))
    least = np.nanargmin(tests)
    assert corrected.flat[least] == pytest.approx(min(1, tests.flat[least] * 36))


def test_over_all_networks_values_are_averaged_seed_by_seed(seeds, table):
    r = seeds.query("network_steps == 20 and machine == 'els'").pivot(
        index="seed", columns="network", values="pearson_r"
    )
    row = table.query(f"network == '{ALL}' and network_steps == 20").set_index("machine").loc["els"]
    assert row["pearson_r"] == pytest.approx(np.median(r.mean(axis=1)))
    assert row["seeds"] == SEEDS
    assert (row["settings"], row["source"]) == ("of a; of b", "Somebody & others")
    assert (row["seconds"], row["gib"]) == (2, 1.5)


def test_what_some_networks_lack_is_not_ranked_over_all(seeds):
    some = seeds[~((seeds["network"] == "b") & (seeds["machine"] == "wiener"))]
    found = leaderboard(some, facts(some))
    assert "wiener" not in set(found.query(f"network == '{ALL}'")["machine"])
    assert "wiener" in set(found.query("network == 'a'")["machine"])
    assert found.query("network == 'b'")["better_than_wiener"].isna().all()
    alone = seeds[seeds["network"] == "a"]
    assert set(leaderboard(alone, facts(alone))["network"]) == {"a"}


def test_undefined_r_counts_as_zero(seeds):
    changed = seeds.copy()
    chosen = (changed["machine"] == "els") & (changed["seed"] < 7)
    changed.loc[chosen, "pearson_r"] = np.nan
    found = leaderboard(changed, facts(changed)).query("machine == 'els'")
    assert (found["undefined"] == 7).all()
    assert (found["pearson_r"] == 0).all()


def test_missing_columns_are_named(seeds):
    with pytest.raises(ValueError, match="agreement lacks the columns ssim"):
        leaderboard(seeds.drop(columns="ssim"), facts(seeds))


def test_costs_are_those_of_a_sample(tmp_path):
    paths = [tmp_path / f"{i}.tsv" for i in range(2)]
    for path, seconds, megabytes in zip(paths, (10, 20), ("512.0", "2048.0"), strict=True):
        path.write_text(f"s\tmax_rss\tcpu_time\n{seconds}\t{megabytes}\t{2 * seconds}\n")
    assert costs(paths, 6) == {"seconds": 5, "cpu_seconds": 10, "gib": 2}
    paths[0].write_text("s\tmax_rss\tcpu_time\n0.1\tNA\t-\n")
    assert np.isnan(costs(paths[:1], 6)["gib"])
    assert np.isnan(costs(paths[:1], 6)["cpu_seconds"])
    paths[0].unlink()
    assert set(costs(paths, 6)) == set(COSTS)
    assert np.isnan(list(costs(paths, 6).values())).all()


def test_a_file_of_the_table_makes_the_same_pages(table, tmp_path):
    """Where ranks are read back as numbers with a gap, and words that are none as no words."""
    of_els = table["machine"] == "els"
    table = table.assign(settings=table["settings"].mask(of_els, ""))
    path = tmp_path / "leaderboard.csv"
    table.to_csv(path, index=False)
    again = pd.read_csv(path)
    assert render_leaderboard(again, "e") == render_leaderboard(table, "e")
    assert to_latex(again) == to_latex(table)
    assert format_leaderboard(again) == format_leaderboard(table)
    assert format_submission(again, "els") == format_submission(table, "els")


def test_pages_hold_every_row(table):
    (network, steps, rows), *others = blocks(table)
    assert (network, steps, len(rows), len(others)) == (ALL, 20, 4, 5)
    assert set(rows[0]) == set(TITLES)
    assert rows[0]["rank"] == ("", "")
    assert rows[1]["rank"][0] == "1"
    text = to_latex(table)
    assert text.count(r"\begin{tabular}") == text.count(r"\end{tabular}") == 6
    lines = [line for line in text.splitlines() if line.endswith(r"\\")]
    assert {line.count(" & ") for line in lines} == {len(TITLES) - 3}
    page = render_leaderboard(table, "an <experiment>")
    assert "an &lt;experiment&gt;" in page
    assert "Somebody &amp; others" in page
    assert page.count("<tr>") == 6 * (1 + 4)
    assert page.count('<button type="button">') == 6 * len(TITLES)
    assert "src=" not in page


def test_terminals_show_blocks_and_single_predictors(table):
    text = format_leaderboard(table)
    assert text.count("network steps\n") == 6
    lines = text.splitlines()
    assert lines[1].startswith("rank  predictor")
    assert lines[3].startswith("1     ELS")
    text = format_submission(table, "els")
    assert "b, 150 steps: r 0." in text
    assert f"over {SEEDS} seeds, rank 1 of 3\n" in text
    assert text.endswith("source: Somebody & others\nprotocol: ours")
    assert "rank" not in format_submission(table, SIBLING)
    with pytest.raises(ValueError, match="no predictor 'elz': choose one of sibling network, els"):
        format_submission(table, "elz")


def test_headings_are_buttons_that_sort(table, tmp_path):
    path = tmp_path / "leaderboard.html"
    path.write_text(render_leaderboard(table, "sorted"))
    expected = table[(table["network"] == ALL) & (table["network_steps"] == 20)]
    column = list(TITLES).index("mse")
    shown = (
        "[...document.querySelector('.sortable').tBodies[0].rows]"
        ".map(row => row.cells[1].innerText).join()"
    )
    with chromium.opened(path, 1400) as page:
        assert page.evaluate(shown) == ",".join(expected["label"])
        heading = f"document.querySelectorAll('.sortable th button')[{column}]"
        page.evaluate(f"{heading}.click()")
        rows = expected.sort_values("mse")["label"]
        assert page.evaluate(shown) == ",".join(rows)
        page.evaluate(f"{heading}.focus()")
        page.key("Enter")
        assert page.evaluate(shown) == ",".join(rows[::-1])
        assert page.evaluate(f"{heading}.parentNode.getAttribute('aria-sort')") == "descending"
        assert page.errors == []
        assert page.requests == [path.as_uri()]
