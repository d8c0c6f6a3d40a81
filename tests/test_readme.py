"""The README says what is so: its commands, its numbers' source and its rule graph."""

import re
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()


def commands():
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    lines = [line.split("#")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line]


def test_make_commands_are_targets():
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
    named = {word for line in commands() if line.startswith("make ") for word in line.split()[1:]}
    assert {"reproduce", "test"} <= named <= targets


def test_ci_runs_the_readme_s_test_command():
    assert re.search(r"^make test$", (ROOT / ".ci/run").read_text(), re.MULTILINE)


def test_files_that_are_named_exist():
    for path in re.findall(r"--configfile (\S+)", "\n".join(commands())):
        assert (ROOT / path).is_file(), path
    for path in re.findall(r"\]\(((?!http)[^)#]+)\)", README):
        assert (ROOT / path).is_file(), path
    for path in re.findall(r"`((?:patchmosaic|workflow|tests|docs)/[\w./]+)`", README):
        assert (ROOT / path).exists(), path


def test_rule_graph_is_today_s():
    command = [sys.executable, "-m", "snakemake", "--rulegraph", "mermaid-js"]
    graph = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    names = dict(re.findall(r"(id\d+)\[(\w+)\]", graph))
    arrows = {(names[a], names[b]) for a, b in re.findall(r"(id\d+) --> (id\d+)", graph)}
    assert len(arrows) > 20
    shown = re.search(r"```mermaid\n(.*?)```", README, re.DOTALL)[1]
    assert set(re.findall(r"(\w+) --> (\w+)", shown)) == arrows, (
        "run make reproduce and make readme"
    )


def test_headline_table_is_of_the_committed_numbers():
    """Each ELS median in the README is the committed one, to two decimals."""
    committed = yaml.safe_load((ROOT / "tests/expected.yaml").read_text())["committed"]["default"]
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    rows = [line.split("|")[1:-1] for line in README.splitlines() if line.startswith("| ")]
    table = {
        tuple(cell.strip() for cell in row[:3]): row[4].split()[0] for row in rows if len(row) == 9
    }
    els = [row for row in committed if row["machine"] == "els"]
    assert len(els) == len(config["configurations"]) * len(config["sampling"]["network_steps"])
    for row in els:
        network = config["networks"][row["network"]]
        key = (network["dataset"], network["architecture"], str(row["network_steps"]))
        assert table[key] == f"{row['pearson_r']:.2f}"
