"""Dependencies: ranges in pyproject.toml, one lock in constraints.txt."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

import patchmosaic
from tools import conda_environments

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CORE = [Requirement(line) for line in PROJECT["dependencies"]]
EXTRAS = [
    Requirement(line) for lines in PROJECT["optional-dependencies"].values() for line in lines
]
PINS = conda_environments.pins()

# ELS of a tiny bank where what only the extras ask for cannot be imported.
BLOCKED = """
import sys
blocked = set(sys.argv[1].split(","))
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in blocked:
            raise ModuleNotFoundError(f"{name} is no core dependency", name=name)
sys.meta_path.insert(0, Blocker())
import torch
from patchmosaic.machines.local import EquivariantLocalScoreMachine
bank = torch.randint(0, 256, (8, 1, 6, 6)) / 127.5 - 1
machine = EquivariantLocalScoreMachine(bank)
assert machine.posterior_mean(torch.randn(2, 1, 6, 6), 0.5, 3).shape == (2, 1, 6, 6)
"""
IMPORTED_AS = {"pillow": "PIL", "pyyaml": "yaml"}


@pytest.mark.parametrize("requirement", [*CORE, *EXTRAS], ids=str)
def test_constraints_hold_every_dependency_within_its_range(requirement):
    pin = PINS[conda_environments.normal(requirement.name)]
    assert requirement.specifier.contains(pin), f"{requirement} in constraints.txt: {pin}"


def test_core_dependencies_leave_older_torch_and_numpy_alone():
    """Beside torch 2.8 and numpy 2.2, pip has nothing to change."""
    ranges = {requirement.name: requirement.specifier for requirement in CORE}
    assert set(ranges) == {"numpy", "psutil", "safetensors", "torch", "tqdm"}
    assert ranges["torch"].contains("2.8.0")
    assert ranges["numpy"].contains("2.2.0")


def test_machines_need_the_core_dependencies_alone():
    others = {requirement.name for requirement in EXTRAS} - {"setuptools"}
    blocked = ",".join(IMPORTED_AS.get(name, name.replace("-", "_")) for name in others)
    command = [sys.executable, "-c", BLOCKED, blocked]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kind", conda_environments.KINDS)
def test_conda_environments_are_written_from_the_dependencies(kind):
    text = (ROOT / f"envs/{kind}.yaml").read_text()
    assert text == conda_environments.environment(kind), "run tools/conda_environments.py"
    torch = "pytorch-gpu" if kind == "gpu" else "pytorch-cpu"
    needed = yaml.safe_load(text)["dependencies"]
    assert f"{torch}={PINS['torch']}" in needed
    assert ({"pip": [f"typst=={PINS['typst']}"]} in needed) == (kind == "article")


def test_version_is_that_of_citation_and_changes_and_known_to_the_package():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == PROJECT["version"]
    assert patchmosaic.__version__.count(".") == 2
    newest = re.search(r"^## \[(.*?)\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest[1] == PROJECT["version"]


def test_make_takes_the_python_that_the_project_asks_for():
    python = PROJECT["requires-python"].removeprefix(">=")
    assert f"PYTHON ?= python{python}\n" in (ROOT / "Makefile").read_text()
