"""Trainings of one network from several seeds go through the chain and are compared."""

import shutil

import pandas as pd
import pytest
from projects import TINY, snakemake

from patchmosaic.analysis.intervals import training_spread

NETWORK = TINY[TINY.index("    {dataset: tiny") : TINY.index("recipes:")].replace("}", "")
NAMES = ["tiny-resnet-circular", "again"]


@pytest.mark.workflow
def test_trainings_from_two_seeds_are_compared(own_run, tmp_path):
    """The first of them, its scales and samples are those of a run that is there."""
    folder = shutil.copytree(own_run.folder, tmp_path / "copy")
    again = f"evaluate: [{', '.join(NAMES)}]\nmachines: [is, els]\n"
    again += f"networks:\n  again:\n{NETWORK.rstrip()}, training_seed: 7}}\n"
    (folder / "again.yaml").write_text(again)
    figure = "own results/figures/training_seeds.png"
    snakemake(folder, figure, "--configfile", *own_run.configs, "again.yaml")
    assert (folder / figure).stat().st_size > 1000
    agreement = pd.read_csv(folder / "own results/tables/agreement.csv")
    table = pd.read_csv(folder / "own results/tables/training_seeds.csv")
    assert table["machine"].tolist() == ["els", "is"]
    assert set(table["network"]) == {NAMES[0]}  # seed 0, the first of the two
    for row in table.to_dict("records"):
        of_machine = agreement[agreement["machine"] == row["machine"]]
        r = of_machine.pivot(index="network", columns="seed", values="pearson_r")
        assert len(r) == 2
        assert not r.iloc[0].equals(r.iloc[1])  # two trainings, not one twice
        expected = training_spread(r)
        assert {key: row[key] for key in expected} == pytest.approx(expected)
