"""Every number of the pages is what `make readme` writes from what is kept."""

import importlib.util
import re
import subprocess
import sys
from graphlib import CycleError

import pandas as pd
import pytest
from configs import DEFAULT, ROOT, merged, read

from patchmosaic.tables.paper import load_paper


def script(name, room="tools"):
    """A command of tools/, or a script of a rule, as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / f"{room}/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


DOCS = script("docs")
NUMBERS = DOCS.Numbers(ROOT / "numbers")
PAGES = {page: (ROOT / page).read_text() for page in {block.page for block in DOCS.BLOCKS}}


def text_of(name):
    """What stands in the place of this name."""
    [block] = [block for block in DOCS.BLOCKS if block.name == name]
    begin, end = block.marks
    return PAGES[block.page].partition(f"{begin}\n")[2].partition(f"\n{end}")[0]


@pytest.mark.parametrize(
    "block", [each for each in DOCS.BLOCKS if each.name != "rule graph"], ids=lambda each: each.name
)
def test_blocks_are_what_make_readme_writes(block):
    """From what is kept, every one; the rule graph has a test of its own."""
    assert text_of(block.name) == block.write(NUMBERS), f"run make readme: {block.name}"


def test_every_block_has_its_place_and_every_place_its_block():
    pages = [*ROOT.glob("*.md"), *ROOT.glob("*/*.md")]
    places = {
        (page.relative_to(ROOT).as_posix(), name, kind)
        for page in pages
        for name, kind in re.findall(r"<!-- ([\w ]+): (make readme|end) -->", page.read_text())
    }
    kinds = ("make readme", "end")
    assert places == {(block.page, block.name, kind) for block in DOCS.BLOCKS for kind in kinds}


@pytest.mark.parametrize(
    "page",
    ["README.md", "docs/results.md", "docs/controls.md", "docs/leaderboard.md", "docs/claims.md"],
)
def test_results_are_not_typed(page):
    """Outside the marks and code there are neither fractions of one nor counts of seeds."""
    not_prose = r"<!-- ([\w ]+): make readme -->.*?<!-- \1: end -->|```.*?```|`.*?`"
    text = re.sub(not_prose, "", PAGES[page], flags=re.DOTALL)
    assert re.findall(r"(?<![\d.])0?\.\d+|\b\d+ of \d+\b|\b\d+ seeds", text) == []


def test_a_block_is_put_between_its_marks_once():
    marks = DOCS.BLOCKS[0].marks
    page = f"before\n{marks[0]}\nold\n{marks[1]}\nafter\n"
    assert DOCS.replaced(page, *marks, "new") == page.replace("old", "new")
    for broken in (page + page, page.replace(marks[1], "")):
        with pytest.raises(ValueError, match="once, found it"):
            DOCS.replaced(broken, *marks, "new")


def test_what_runs_found_is_kept(tmp_path):
    """Small tables as they are, curves as medians, memory as the most; nothing without a run."""
    kept, results = tmp_path / "kept", tmp_path / "results"
    for folder in (kept, results / "tables", results / "learning", results / "benchmarks"):
        folder.mkdir(parents=True)
    DOCS.keep_tables(results, kept)
    assert not list(kept.iterdir())
    (results / "tables/headline.csv").write_text("a\n1\n")
    curve = {
        "machine": ["els"] * 3 + ["is"],
        "pearson_r": [0.2, 0.4, None, 0.9],
        "seed": [0, 1, 2, 0],
    }
    pd.DataFrame(curve).assign(network="n", images_seen=5).to_csv(results / "learning/n.csv")
    for job, most in (("a", "100"), ("b", "-")):
        (results / f"benchmarks/{job}.tsv").write_text(f"max_rss\tcpu_time\n{most}\t2.5\n")
    (results / "manifest.json").write_text('{"hardware": {"instructions": "avx2"}}')
    DOCS.keep_tables(results, kept)
    assert (kept / "headline.csv").read_text() == "a\n1\n"
    row = pd.read_csv(kept / "learning.csv").iloc[0]
    assert (row["network"], row["images_seen"], row["pearson_r"]) == ("n", 5, 0.2)
    assert pd.read_csv(kept / "cost.csv").to_dict("records") == [
        {"max_rss_mib": 100, "core_seconds": 5, "instructions": "avx2"}
    ]


def paths(arrows):
    """Every pair of rules of which the second rests on the first, directly or not."""
    found = set(arrows)
    while more := {(a, d) for a, b in found for c, d in found if b == c} - found:
        found |= more
    return found


@pytest.mark.slow
def test_rule_graph_is_today_s():
    command = [sys.executable, "-m", "snakemake", "--rulegraph", "mermaid-js"]
    graph = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    names = dict(re.findall(r"(id\d+)\[(\w+)\]", graph))
    figures = {name for name in names.values() if name.startswith("figure_")}
    names = {k: "figures" if name in figures else name for k, name in names.items()}
    arrows = {(names[a], names[b]) for a, b in re.findall(r"(id\d+) --> (id\d+)", graph)}
    assert len(arrows) > 20
    shown = re.search(r"```mermaid\n(.*?)```", PAGES["docs/workflow.md"], re.DOTALL)[1]
    drawn = set(re.findall(r"(\w+) --> (\w+)", shown))
    assert f"figures ({len(figures)} rules)" in shown
    assert paths(drawn) == paths(arrows), "run make readme"
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


def cells(text):
    """The rows of a table, without its titles."""
    rows = [line.split("|")[1:-1] for line in text.splitlines()]
    return [tuple(cell.strip() for cell in row) for row in rows][2:]


KEPT = sorted((ROOT / "numbers/agreement").glob("*-[0-9]*.csv"))
INTERIOR = sorted((ROOT / "numbers/agreement/interior").glob("*-[0-9]*.csv"))


def table(name):
    """Text by title, for each dataset, network and number of steps in the table of a block."""
    titles, _, *rows = (
        [cell.strip() for cell in line.split("|")[1:-1]] for line in text_of(name).splitlines()
    )
    return {tuple(row[:3]): dict(zip(titles, row, strict=True)) for row in rows}


def place(row, network):
    """Where the row of a network stands in a table."""
    circular = ", circular" if network["padding"] == "circular" else ""
    return network["dataset"], network["architecture"] + circular, str(row["network_steps"])


def test_every_row_of_the_paper_is_there_or_says_what_it_needs():
    rows = table("paper")
    for row in read("numbers/paper.yaml")["rows"]:
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
    """The medians in the tables are the committed ones, to two decimals."""
    config = merged(DEFAULT, override)
    networks = config["networks"]
    committed = {
        (*place(row, networks[row["network"]]), row["machine"].upper()): f"{row['pearson_r']:.2f}"
        for row in read("numbers/committed.yaml")[experiment]
    }
    found = {
        (*where, machine): row[machine].split()[0]
        for where, row in table(marker).items()
        for machine in ("ELS", "LS", "IS")
        if row["seeds"] != "0"
    }
    others = {} if marker != "wide" else {key for key in found if key not in committed}
    assert len(committed) == 6 * len(config["evaluate"])
    assert {key: text for key, text in found.items() if key not in others} == committed


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
    committed = read("numbers/committed.yaml")
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


def test_networks_of_the_paper_s_layers_are_as_kept():
    """The table's medians and numbers of seeds, from the agreement of every seed."""
    networks = merged(DEFAULT, read("config/paper_networks.yaml"))["networks"]
    rows, said = table("paper networks"), {}
    files = sorted((ROOT / "numbers/agreement/paper_networks").glob("*.csv"))
    assert len(rows) == len(files) > 0
    for path in files:
        name, steps = path.stem.rsplit("-", 1)
        network = networks[name] | {"network_steps": steps}
        network["architecture"] = network["architecture"].removesuffix("_paper")
        shown = rows[place(network, network)]
        for machine, each in pd.read_csv(path).groupby("machine"):
            assert sorted(each["seed"]) == list(range(int(shown["seeds"])))
            median = each["pearson_r"].fillna(0).median()
            assert shown[machine.upper()].split()[0] == f"{median:.2f}"
            if machine == "els":
                said.setdefault(name, {})[int(steps)] = f"{median:.2f}"
    for name, medians in said.items():  # in README, of fewer steps first
        numbers = " and ".join(medians[steps] for steps in sorted(medians))
        assert f"{name} at {numbers} in" in text_of("against")


def test_short_answer_is_that_of_the_table():
    """The highest machine of each row, and how far the medians are from the paper's."""
    config = merged(DEFAULT, read("config/paper.yaml"))["networks"]
    paper = {
        (row.dataset.replace("cifar10", "cifar10_jpeg"), row.architecture, row.padding, steps): row
        for row in load_paper(ROOT / "numbers/paper.yaml").rows.itertuples()
        for steps in [row.network_steps]
    }
    rows = {}
    for row in read("numbers/committed.yaml")["paper"]:
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
    assert f"{len(rows) - len(far)} of {len(rows)} medians are within 0.04" in text_of(
        "short answer"
    )
    assert all(name in text_of("short answer") for name, _ in far)


def test_how_far_els_is_above_ls():
    rows = {}
    for row in read("numbers/committed.yaml")["paper"]:
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
    assert min(circular) > max(color)
    resnets = [d for (name, _), d in apart.items() if "mnist-resnet" in name]
    assert min(resnets) > max(color)


def test_wide_and_narrow_networks_are_compared_seed_by_seed():
    rows = {row[:2]: row[3] for row in cells(text_of("wide and narrow"))}
    for kind, width in (("resnet", 256), ("unet", 64)):
        for steps in (20, 150):
            r = []
            for name in (f"cifar10_jpeg-{kind}-zeros-{width}", f"cifar10_jpeg-{kind}-zeros"):
                table = pd.read_csv(ROOT / f"numbers/agreement/{name}-{steps}.csv")
                r.append(table[table["machine"] == "els"].set_index("seed")["pearson_r"])
            says = f"{int((r[0] > r[1]).sum())} of 100"
            assert rows[f"cifar10_jpeg-{kind}-zeros-{width}", str(steps)] == says


def test_all_networks_of_the_tables_are_kept():
    names = DOCS.networks_of("paper", "wide", "wide_mnist")
    assert {path.stem for path in KEPT} == {
        f"{name}-{steps}" for name in names for steps in (20, 150)
    }


def test_circular_banks_are_of_the_committed_numbers():
    rows = read("numbers/committed.yaml")["interior"]
    committed = [f"{row['pearson_r']:.2f}" for row in rows if row["machine"] == "els"]
    found = cells(text_of("circular banks"))[:2]
    assert [row[5].split()[0] for row in found] == committed
    assert f"it is {' and '.join(committed)}." in text_of("against")


def test_rows_without_images_are_those_that_make_readme_writes():
    paper = load_paper(ROOT / "numbers/paper.yaml").rows
    lines = DOCS.without_images(paper, ["mnist", "cifar10_jpeg"]).splitlines()
    assert len(lines) == 4
    assert set(lines) == {
        row for row in text_of("paper").splitlines() if "| bring the images |" in row
    }
    assert DOCS.without_images(paper, ["celeba"]) == ""
