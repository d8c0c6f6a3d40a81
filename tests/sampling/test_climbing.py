"""Which scales a calibration tries, and that it finds those of a whole search."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from projects import ROOT

from patchmosaic.sampling.climbing import best_places, climb
from patchmosaic.sampling.scales import best_sizes, read_scales

WHOLE = [
    path
    for path in sorted((ROOT / "checkpoints").glob("*.cosines.csv"))
    if pd.read_csv(path).groupby("t")["patch_size"].nunique().nunique() == 1
]
# Of ELS and of LS with every odd size, 1,000 images and 3 trajectories; nothing was left out.
FINE = sorted((Path(__file__).parent / "whole_searches").glob("*.csv"))


def climbed(table):
    """The rows of a whole table of cosines that climbing asks for."""
    sizes = sorted(table["patch_size"].unique())
    cells = table.set_index(["t", "patch_size", "trajectory"])["cosine"].unstack()
    rows, starts = [], []
    for t in sorted(table["t"].unique(), reverse=True):
        found = climb(lambda i, t=t: cells.loc[t, sizes[i]].tolist(), len(sizes), starts)
        starts = best_places(found)
        rows += [(t, sizes[place]) for place in found]
    asked = pd.MultiIndex.from_tuples(rows, names=["t", "patch_size"])
    return table.set_index(["t", "patch_size"]).loc[asked].reset_index()


def scales(table):
    best = best_sizes(table).groupby("t")["patch_size"]
    return best.quantile(0.5, interpolation="lower").to_dict()


@pytest.mark.parametrize("path", [*WHOLE, *FINE], ids=lambda path: path.name)
def test_scales_are_those_of_a_whole_search(path):
    table = pd.read_csv(path)
    few = climbed(table)
    assert len(few) < 0.75 * len(table)
    assert scales(few) == scales(table)
    if path in WHOLE:
        packaged = read_scales(path.with_name(path.name.replace("cosines", "scales")))
        assert scales(few) == pytest.approx(packaged)


def test_enough_whole_tables_are_kept():
    assert len(WHOLE) >= 10
    assert {path.stem.rsplit("-", 1)[1] for path in FINE} == {"els", "ls"}
    for path in FINE:
        table = pd.read_csv(path)
        assert set(table["patch_size"]) == set(range(3, 32, 2))
        assert len(table) == 20 * 15 * 3


def test_each_is_asked_once_and_the_best_is_climbed_to():
    values, asked = [0, 1, 2, 3, 4, 5, 4, 3, 9], []

    def value(place):
        asked.append(place)
        return [values[place]]

    found = climb(value, len(values), [0])
    assert sorted(asked) == list(found) == [0, 1, 2, 3, 4, 5, 6, 7]  # not the far 9
    assert best_places(found) == [5]
    asked.clear()
    assert best_places(climb(value, len(values))) == [8]
    assert asked == list(range(len(values)))


def test_trajectories_climb_by_themselves():
    first, second = np.arange(9), -np.abs(np.arange(9) - 1)
    found = climb(lambda i: [first[i], second[i]], 9, [7, 2])
    assert list(found) == [0, 1, 2, 3, 4, 5, 6, 7, 8]
    assert best_places(found) == [8, 1]
    assert best_places(climb(lambda _: [1, 1], 4, [1, 2])) == [0, 0]  # of equal ones the first
