"""The README says what is so: its commands, its numbers' source and its rule graph."""

import importlib.util
import re
import subprocess
import sys
from graphlib import CycleError

import pytest
import torch
from configs import DEFAULT, ROOT, merged, read

from patchmosaic.headline import load_expected

README = (ROOT / "README.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()


def commands():
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    lines = [line.split("#")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line]


def test_python_of_the_readme_runs(monkeypatch):
    monkeypatch.chdir(ROOT)
    images = torch.rand(30, 1, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    names = {"images": images, "x_t": images[:2]}
    for block in re.findall(r"```python\n(.*?)```", README, re.DOTALL):
        exec(block, names)
    assert names["mean"].shape == names["score"].shape == (2, 1, 32, 32)
    assert names["drawn"].shape == names["predicted"].shape == (3, 1, 32, 32)


def test_make_commands_are_targets():
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
    named = {word for line in commands() if line.startswith("make ") for word in line.split()[1:]}
    assert {"reproduce", "test"} <= named <= targets


def test_ci_runs_the_readme_s_test_command():
    assert re.search(r"^make test( |$)", (ROOT / ".ci/run").read_text(), re.MULTILINE)


def test_files_that_are_named_exist():
    for path in re.findall(r"--configfile (\S+)", "\n".join(commands())):
        assert (ROOT / path).is_file(), path
    for path in re.findall(r"\]\(((?!http)[^)#]+)\)", README):
        assert (ROOT / path).is_file(), path
    for path in re.findall(r"`((?:patchmosaic|workflow|tests|docs)/[\w./]+)`", README):
        assert (ROOT / path).exists(), path


def script(name):
    """A script of scripts/ as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / f"scripts/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def paths(arrows):
    """Every pair of rules of which the second rests on the first, directly or not."""
    found = set(arrows)
    while more := {(a, d) for a, b in found for c, d in found if b == c} - found:
        found |= more
    return found


def test_rule_graph_is_today_s():
    command = [sys.executable, "-m", "snakemake", "--rulegraph", "mermaid-js"]
    graph = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    names = dict(re.findall(r"(id\d+)\[(\w+)\]", graph))
    figures = {name for name in names.values() if name.startswith("figure_")}
    names = {k: "figures" if name in figures else name for k, name in names.items()}
    arrows = {(names[a], names[b]) for a, b in re.findall(r"(id\d+) --> (id\d+)", graph)}
    assert len(arrows) > 20
    shown = re.search(r"```mermaid\n(.*?)```", README, re.DOTALL)[1]
    drawn = set(re.findall(r"(\w+) --> (\w+)", shown))
    assert f"figures ({len(figures)} rules)" in shown
    assert paths(drawn) == paths(arrows), "run make reproduce and make readme"
    for arrow in drawn:
        assert arrow not in paths(drawn - {arrow}), "implied by others"


def test_rule_graph_keeps_paths_and_the_order_of_the_work():
    a_graph = "id1[a]\n id2[figure_x]\n id3[figure_y]\n id4[b]\n id5[all]\n"
    a_graph += "id4 --> id1\n id4 --> id2\n id1 --> id2\n id1 --> id3\n id1 --> id5\n"
    a_graph += "id2 --> id5\n id3 --> id5"
    assert script("rulegraph").readable(a_graph) == (
        'flowchart TB\n    figures["figures (2 rules)"]\n'
        "    b --> a\n    a --> figures\n    figures --> all\n"
    )
    with pytest.raises(CycleError):
        script("rulegraph").readable("id1[a]\nid2[b]\nid1 --> id2\nid2 --> id1")


def table(marker):
    """The cells of the table under a marker, by dataset, network and number of steps."""
    block = re.search(f"<!-- {marker}: make readme -->\n(.*?)<!-- {marker}: end -->", README, re.S)
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in block[1].splitlines()]
    assert all(len(row) == 9 for row in rows)
    return {tuple(row[:3]): row[3:] for row in rows[2:]}


def test_every_row_of_the_paper_is_there_or_says_what_it_needs():
    rows = table("paper")
    for row in read("tests/expected.yaml")["paper"]:
        dataset = row["dataset"].replace("cifar10", "cifar10_jpeg")
        circular = ", circular" if row["padding"] == "circular" else ""
        key = (dataset, row["architecture"] + circular, str(row["network_steps"]))
        seeds, els, _, _, paper, _ = rows.pop(key)
        assert float(paper) == row["els"]
        expected = ("0", "bring the images") if dataset == "celeba" else ("100", els)
        assert (seeds, els) == expected, key
    assert not rows


@pytest.mark.parametrize(
    ("marker", "experiment", "override"),
    [("headline", "default", {}), ("paper", "paper", read("config/paper.yaml"))],
)
def test_tables_are_of_the_committed_numbers(marker, experiment, override):
    """The ELS medians in the README are the committed ones, to two decimals."""
    committed = read("tests/expected.yaml")["committed"][experiment]
    networks = merged(DEFAULT, override)["networks"]
    expected = {}
    for row in committed:
        if row["machine"] == "els":
            network = networks[row["network"]]
            circular = network["padding"] == "circular"
            name = network["architecture"] + (", circular" if circular else "")
            key = (network["dataset"], name, str(row["network_steps"]))
            expected[key] = f"{row['pearson_r']:.2f}"
    assert len(expected) >= 8
    found = {key: els.split()[0] for key, (seeds, els, *_) in table(marker).items() if seeds != "0"}
    assert found == expected


def test_rows_without_images_are_those_that_make_readme_writes():
    paper = load_expected(ROOT / "tests/expected.yaml").paper
    lines = script("update_readme").without_images(paper, ["mnist", "cifar10_jpeg"]).splitlines()
    assert len(lines) == 4
    assert set(lines) == {row for row in README.splitlines() if "| bring the images |" in row}
    assert script("update_readme").without_images(paper, ["celeba"]) == ""


def test_what_make_readme_writes_has_its_place():
    source = (ROOT / "scripts/update_readme.py").read_text()
    pages = README + (ROOT / "docs/controls.md").read_text()
    markers = set(re.findall(r"<!-- [\w ]+: (?:make readme|end) -->", source))
    assert len(markers) >= 16
    for marker in markers:
        assert pages.count(marker) == 1, marker
    assert set(re.findall(r"<!-- [\w ]+: (?:make readme|end) -->", pages)) == markers
