"""One version of each dependency, wherever it is pinned."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CONDA_NAMES = {  # of what conda splits or names differently
    "matplotlib-base": "matplotlib",
    "pytorch-cpu": "torch",
    "pytorch-gpu": "torch",
    "seaborn-base": "seaborn",
    "snakemake-minimal": "snakemake",
}
PYTHON = PROJECT["requires-python"].removeprefix(">=")
NOT_PINNED = {f"python={PYTHON}", "pip", "c-compiler"}


def pins(lines, separator="=="):
    """Versions by name, in the small letters and hyphens that names are compared in."""
    pairs = [line.split(separator) for line in lines]
    assert all(len(pair) == 2 for pair in pairs), f"not pinned: {pairs}"
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in pairs}


DEPENDENCIES = pins(PROJECT["dependencies"])


def test_constraints_hold_every_dependency():
    """What make installs, and all that this brings along, in the versions of pyproject.toml."""
    constraints = pins((ROOT / "constraints.txt").read_text().split())
    direct = DEPENDENCIES
    for extra in PROJECT["optional-dependencies"].values():
        direct = direct | pins(extra)
    assert {name: constraints.get(name) for name in direct} == direct


@pytest.mark.parametrize("name", ["cpu", "gpu"])
def test_conda_environments_are_the_dependencies(name):
    wanted = yaml.safe_load((ROOT / f"envs/{name}.yaml").read_text())["dependencies"]
    assert set(wanted) >= NOT_PINNED
    found = pins([line for line in wanted if line not in NOT_PINNED], "=")
    assert f"pytorch-{name}" in found
    assert {CONDA_NAMES.get(name, name): found[name] for name in found} == DEPENDENCIES


def test_make_takes_the_python_that_the_project_asks_for():
    assert f"PYTHON ?= python{PYTHON}\n" in (ROOT / "Makefile").read_text()
