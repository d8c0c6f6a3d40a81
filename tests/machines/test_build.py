"""Every machine of the registry, made by its name."""

import json
import re

import pytest
import torch
from predictors import images, made_filters, queries

from patchmosaic.figures.style import NETWORK_LOOK, machine_looks
from patchmosaic.machines.build import build_machine, settings_of
from patchmosaic.machines.registry import MACHINES, OWN_LOOKS, SEES, SOURCES, in_words
from patchmosaic.system.lazy import load


@pytest.mark.parametrize("boundary", ["zeros", "circular"])
@pytest.mark.parametrize("name", MACHINES)
def test_every_machine_answers(name, boundary, tmp_path):
    """By label, in the dtype of the queries, and each image whatever else is asked with it."""
    bank, labels = images(50, 1, 8).float(), torch.arange(50) % 2
    filters = made_filters(tmp_path, bank, labels, 0.4)
    machine = build_machine(name, bank, labels, boundary=boundary, engine="dense", filters=filters)
    assert type(machine) is load(MACHINES[name].address)
    assert machine.needs_scales == ("scales" in MACHINES[name].needs)
    x, asked = queries(bank, 0.5, 3).float(), torch.tensor([1, 0, 1])
    mean = machine.posterior_mean(x, 0.4, 3, asked)
    assert mean.shape == x.shape
    assert mean.dtype == torch.float32
    assert mean.abs().max() < 1.5
    for i in range(3):
        alone = machine.posterior_mean(x[i : i + 1], 0.4, 3, asked[i : i + 1])
        torch.testing.assert_close(alone[0], mean[i], rtol=0, atol=1e-4)
    if "boundary" not in MACHINES[name].needs:
        other = build_machine(name, bank, labels, boundary="circular", filters=filters)
        assert torch.equal(other.posterior_mean(x, 0.4, 3, asked), mean)


@pytest.mark.parametrize("name", MACHINES)
def test_settings_of_a_row_are_those_of_its_machine(name, tmp_path):
    bank = images(50, 1, 8)
    filters = made_filters(tmp_path, bank, None, 0.4)
    machine = build_machine(name, bank, engine="dense", filters=filters)
    found = settings_of(machine)
    assert MACHINES[name].settings.items() <= found.items()
    assert json.loads(json.dumps(found)) == found  # as records keep them


def test_settings_are_told_in_words():
    bank = images(50, 1, 8)
    settings = settings_of(build_machine("golddiff_all", bank))
    assert in_words(settings) == "tau 0.02, softmax exact, subset none, seed 0"
    assert settings_of(build_machine("els", bank)) == {}
    assert in_words({}) == ""


def test_rows_say_what_they_see_of_the_network_and_where_they_come_from():
    seen = {name: row.sees for name, row in MACHINES.items()}
    with_scales = {name for name, row in MACHINES.items() if load(row.address).needs_scales}
    assert {name for name in seen if seen[name] == "P(t)"} == with_scales >= {"els", "ls"}
    assert {name for name in seen if seen[name] == "weights"} == {"distilled"}
    assert set(seen.values()) == {"none", "P(t)", "weights"} <= set(SEES)
    assert {row.source for row in MACHINES.values()} == set(SOURCES)
    assert all(
        re.search(r", arXiv \d{4}\.\d{5}$", SOURCES[key]) for key in SOURCES if key != "here"
    )


def test_looks_are_distinct():
    looks = [*machine_looks(MACHINES).values(), NETWORK_LOOK]
    assert len(set(looks)) == len(MACHINES) + 1
    own = {f"own_{i}" for i in range(len(OWN_LOOKS))}
    assert not set(machine_looks(own).values()) & set(looks)
