"""Tails of agreement: made rows whose counts are known."""

import numpy as np
import pandas as pd

from patchmosaic.analysis.intervals import proportion
from patchmosaic.tables.tails import COLUMNS, tails


def rows(machine, r, network="a", steps=20, first=0):
    return pd.DataFrame(
        {
            "network": network,
            "network_steps": steps,
            "machine": machine,
            "seed": first + np.arange(len(r)),
            "pearson_r": r,
        }
    )


def test_shares_deciles_and_the_lowest_seed():
    r = np.linspace(1, 0.5, 11)  # 0.8 itself is not below
    table = pd.concat([rows("is", [0.1, 0.9], steps=150), rows("els", r, first=40)])
    found = tails(table, 0.8)
    assert list(found.columns) == COLUMNS
    els, baseline = found.to_dict("records")
    assert (els["machine"], els["seeds"], els["low"]) == ("els", 11, 0.8)
    assert (els["share"], els["share_low"], els["share_high"]) == proportion(6, 11)
    assert np.isclose(els["lower_decile"], 0.55)
    assert (els["lowest"], els["lowest_seed"]) == (0.5, 50)
    assert (baseline["share"], baseline["lowest_seed"]) == (0.5, 0)


def test_undefined_r_is_the_lowest():
    found = tails(rows("els", [0.9, np.nan, 0.85]), 0.8).iloc[0]
    assert (found["lowest"], found["lowest_seed"], found["share"]) == (0, 1, 1 / 3)


def test_rows_are_in_the_order_of_the_tables():
    parts = [rows(m, [0.5], n, k) for m in ("is", "els") for n in ("b", "a") for k in (150, 20)]
    found = tails(pd.concat(parts), 0.8)
    keys = list(zip(found["network"], found["network_steps"], found["machine"], strict=True))
    assert keys == [(n, k, m) for n in "ab" for k in (20, 150) for m in ("els", "is")]
