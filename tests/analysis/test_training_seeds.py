"""Trainings of one network from several seeds go through the chain and are compared."""

import pandas as pd
import pytest
from projects import TINY, project_with_pictures, snakemake

from patchmosaic.analysis.intervals import training_spread

NETWORK = TINY[TINY.index("    {dataset: tiny") : TINY.index("recipes:")].replace("}", "")
NAMES = ["tiny-resnet-circular", "again"]


@pytest.mark.workflow
def test_trainings_from_two_seeds_are_compared(tmp_path):
    folder = project_with_pictures(tmp_path)
    again = f"evaluate: [{', '.join(NAMES)}]\nmachines: [is, els]\n"
    again += "seeds: {evaluation: {shard_size: 3}}\n"
    again += f"networks:\n  again:\n{NETWORK.rstrip()}, training_seed: 7}}\n"
    (folder / "again.yaml").write_text(again)
    figure = "own results/figures/training_seeds.png"
    snakemake(folder, figure, "--configfile", "tiny.yaml", "again.yaml")
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
