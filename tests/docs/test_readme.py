"""The README says what is so: its commands, its numbers' source and its rule graph."""

import importlib.util
import re
import subprocess
import sys
from graphlib import CycleError

import pandas as pd
import pytest
import torch
from configs import DEFAULT, ROOT, merged, read

from patchmosaic.tables.expected import load_expected

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


def script(name, room="tools"):
    """A command of tools/, or a script of a rule, as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / f"{room}/{name}.py")
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
    assert script("rulegraph", "scripts/report").readable(a_graph) == (
        'flowchart TB\n    figures["figures (2 rules)"]\n'
        "    b --> a\n    a --> figures\n    figures --> all\n"
    )
    with pytest.raises(CycleError):
        script("rulegraph", "scripts/report").readable("id1[a]\nid2[b]\nid1 --> id2\nid2 --> id1")


def table(marker):
    """Text by title, for each dataset, network and number of steps in the table of a marker."""
    block = re.search(f"<!-- {marker}: make readme -->\n(.*?)<!-- {marker}: end -->", README, re.S)
    titles, _, *rows = (
        [cell.strip() for cell in line.split("|")[1:-1]] for line in block[1].splitlines()
    )
    return {tuple(row[:3]): dict(zip(titles, row, strict=True)) for row in rows}


def place(row, network):
    """Where the row of a network stands in a table."""
    circular = ", circular" if network["padding"] == "circular" else ""
    return network["dataset"], network["architecture"] + circular, str(row["network_steps"])


def test_every_row_of_the_paper_is_there_or_says_what_it_needs():
    rows = table("paper")
    for row in read("numbers/expected.yaml")["paper"]:
        row["dataset"] = row["dataset"].replace("cifar10", "cifar10_jpeg")
        found = rows.pop(place(row, row))
        assert float(found["paper's ELS"]) == row["els"]
        expected = (
            ("0", "bring the images") if row["dataset"] == "celeba" else ("100", found["ELS"])
        )
        assert (found["seeds"], found["ELS"]) == expected, row
    assert not rows


@pytest.mark.parametrize(
    ("marker", "experiment", "override"),
    [
        ("headline", "default", {}),
        ("paper", "paper", read("config/paper.yaml")),
        ("wide", "wide", read("config/wide.yaml")),
        ("wide", "wide_mnist", read("config/wide_mnist.yaml")),
    ],
)
def test_tables_are_of_the_committed_numbers(marker, experiment, override):
    """The medians in the README are the committed ones, to two decimals."""
    config = merged(DEFAULT, override)
    networks = config["networks"]
    committed = {
        (*place(row, networks[row["network"]]), row["machine"].upper()): f"{row['pearson_r']:.2f}"
        for row in read("numbers/expected.yaml")["committed"][experiment]
    }
    found = {
        (*where, machine): row[machine].split()[0]
        for where, row in table(marker).items()
        for machine in ("ELS", "LS", "IS")
        if row["seeds"] != "0"
    }
    others = {} if marker != "wide" else {key for key in found if key not in committed}
    assert len(committed) == 6 * len(config["configurations"])
    assert {key: text for key, text in found.items() if key not in others} == committed


KEPT = sorted((ROOT / "numbers/agreement").glob("*-[0-9]*.csv"))
INTERIOR = sorted((ROOT / "numbers/agreement/interior").glob("*-[0-9]*.csv"))


@pytest.mark.parametrize(
    ("path", "experiments"),
    [(path, ("paper", "wide", "wide_mnist")) for path in KEPT]
    + [(path, ("interior",)) for path in INTERIOR],
    ids=lambda value: getattr(value, "stem", None) or value[0],
)
def test_kept_seeds_make_the_committed_numbers(path, experiments):
    """Each median of Pearson's r, from the agreement of every seed."""
    rows = pd.read_csv(path)
    network, steps = path.stem.rsplit("-", 1)
    assert set(rows["network"]) == {network}
    assert set(rows["network_steps"]) == {int(steps)}
    committed = read("numbers/expected.yaml")["committed"]
    expected = {
        row["machine"]: row["pearson_r"]
        for experiment in experiments
        for row in committed[experiment]
        if (row["network"], row["network_steps"]) == (network, int(steps))
    }
    assert len(expected) == len(set(rows["machine"])) >= 2
    for machine, each in rows.groupby("machine"):
        assert sorted(each["seed"]) == list(range(len(each)))
        assert len(each) >= (50 if path in KEPT else 20)
        median = each["pearson_r"].fillna(0).median()
        assert median == pytest.approx(expected.pop(machine), abs=6e-5)
    assert not expected


def test_short_answer_is_that_of_the_table():
    """The highest machine of each row, and how far the medians are from the paper's."""
    expected = load_expected(ROOT / "numbers/expected.yaml")
    config = merged(DEFAULT, read("config/paper.yaml"))["networks"]
    paper = {
        (row.dataset.replace("cifar10", "cifar10_jpeg"), row.architecture, row.padding, steps): row
        for row in expected.paper.itertuples()
        for steps in [row.network_steps]
    }
    rows = {}
    for row in read("numbers/expected.yaml")["committed"]["paper"]:
        rows.setdefault((row["network"], row["network_steps"]), {})[row["machine"]] = row[
            "pearson_r"
        ]
    assert all(r["els"] > r["is"] for r in rows.values())
    others = {where: r["ls"] - r["els"] for where, r in rows.items() if r["els"] < r["ls"]}
    assert {network for network, _ in others} == {"mnist-unet-zeros"}
    assert {round(difference, 2) for difference in others.values()} == {0.01}
    differences = {}
    for (name, steps), r in rows.items():
        keys = (config[name][key] for key in ("dataset", "architecture", "padding"))
        differences[name, steps] = r["els"] - paper[*keys, steps].els
    far = {where: value for where, value in differences.items() if abs(value) > 0.04}
    circular = {("mnist-resnet-circular", steps) for steps in (20, 150)}
    assert set(far) == circular | {("cifar10_jpeg-unet_attention-zeros", 150)}
    assert min(far.values()) > 0
    assert f"{len(rows) - len(far)} of {len(rows)} medians are within 0.04" in README


def test_how_far_els_is_above_ls():
    rows = {}
    for row in read("numbers/expected.yaml")["committed"]["paper"]:
        rows.setdefault((row["network"], row["network_steps"]), {})[row["machine"]] = row[
            "pearson_r"
        ]
    apart = {where: round(r["els"] - r["ls"], 2) for where, r in rows.items()}
    gray = [d for (name, _), d in apart.items() if "mnist-unet" in name]
    assert len(gray) == 4
    assert max(map(abs, gray)) <= 0.02
    color = [d for (name, _), d in apart.items() if re.match("cifar10_jpeg-.*zeros$", name)]
    assert len(color) == 6
    assert (min(color), max(color)) == (0.02, 0.04)
    circular = [apart["cifar10_jpeg-resnet-circular", steps] for steps in (20, 150)]
    assert f"the circular ResNet {circular[0]:.2f} and {circular[1]:.2f}." in " ".join(
        README.split()
    )


def test_wide_and_narrow_networks_are_compared_seed_by_seed():
    text = " ".join(README.split())
    for kind, width, says in (
        ("resnet", 256, "in {} of 100 seeds in 20 steps and in {} in 150"),
        ("unet", 64, "better than the narrow one in {} and {} seeds"),
    ):
        found = []
        for steps in (20, 150):
            r = []
            for name in (f"cifar10_jpeg-{kind}-zeros-{width}", f"cifar10_jpeg-{kind}-zeros"):
                rows = pd.read_csv(ROOT / f"numbers/agreement/{name}-{steps}.csv")
                r.append(rows[rows["machine"] == "els"].set_index("seed")["pearson_r"])
            found.append(int((r[0] > r[1]).sum()))
        assert says.format(*found) in text


def test_paper_s_tables_are_what_make_readme_writes():
    """From what is kept, of every network, R² included."""
    blocks = script("docs").readme_blocks(ROOT / "no results", ROOT / "numbers/agreement")
    assert {"paper", "wide"} <= set(blocks)
    for name, text in blocks.items():
        begin, end = f"<!-- {name}: make readme -->\n", f"\n<!-- {name}: end -->"
        assert README.partition(begin)[2].partition(end)[0] == text, f"run make readme: {name}"
    names = script("docs").networks_of("paper", "wide", "wide_mnist")
    assert {path.stem for path in KEPT} == {
        f"{name}-{steps}" for name in names for steps in (20, 150)
    }


def test_circular_banks_are_what_make_readme_writes():
    blocks = script("docs").controls_blocks(ROOT / "no results", ROOT / "numbers/agreement")
    assert set(blocks) == {"circular banks"}
    page = (ROOT / "docs/controls.md").read_text()
    begin, end = (f"<!-- circular banks: {word} -->" for word in ("make readme", "end"))
    assert page.partition(begin)[2].partition(end)[0].strip() == blocks["circular banks"]
    rows = read("numbers/expected.yaml")["committed"]["interior"]
    short, long = (f"{row['pearson_r']:.2f}" for row in rows if row["machine"] == "els")
    says = f"at {short} in 20 steps, below the paper's 0.73, and at {long} in 150, nearer to"
    assert says in " ".join(README.split())


def test_rows_without_images_are_those_that_make_readme_writes():
    paper = load_expected(ROOT / "numbers/expected.yaml").paper
    lines = script("docs").without_images(paper, ["mnist", "cifar10_jpeg"]).splitlines()
    assert len(lines) == 4
    assert set(lines) == {row for row in README.splitlines() if "| bring the images |" in row}
    assert script("docs").without_images(paper, ["celeba"]) == ""


def test_what_make_readme_writes_has_its_place():
    source = (ROOT / "tools/docs.py").read_text()
    pages = README + (ROOT / "docs/controls.md").read_text()
    names = set(re.findall(r"blocks\[\"([\w ]+)\"\]", source))
    assert len(names) >= 9
    for kind in ("make readme", "end"):
        assert sorted(re.findall(rf"<!-- ([\w ]+): {kind} -->", pages)) == sorted(names)
