"""The paper's numbers and the committed ones: what the files say, and what is refused."""

from pathlib import Path

import pytest
import yaml

from patchmosaic.tables.committed import load_committed
from patchmosaic.tables.paper import load_paper

NUMBERS = Path(__file__).parents[2] / "numbers"


def test_paper_is_its_tables():
    """Sums of tables 1 and 2 as printed, so that no digit goes astray unnoticed."""
    paper = load_paper(NUMBERS / "paper.yaml").rows
    assert paper.groupby("table")["network_steps"].unique().map(list).to_dict() == {
        1: [150],
        2: [20],
    }
    sums = paper.groupby("table")[["els", "ls", "is", "fraction_better_than_is"]].sum()
    assert sums.loc[1].tolist() == pytest.approx([9.84, 9.04, 5.62, 10.72])
    assert sums.loc[2].tolist() == pytest.approx([9.36, 8.68, 5.63, 10.66])
    assert len(paper) == 22
    assert paper["conditional"].dtype == bool


def paper(**changes):
    """A small valid paper.yaml, its row changed."""
    row = {
        "table": 1,
        "network_steps": 150,
        "dataset": "mnist",
        "architecture": "resnet",
        "padding": "zeros",
        "conditional": False,
        "els": 0.94,
        "ls": 0.82,
        "is": 0.61,
        "fraction_better_than_is": 1,
    }
    setup = {
        "seeds": 100,
        "machine_steps": 20,
        "trajectories": "10 to 20",
        "calibration_images": 5000,
        "resnet_channels": 256,
        "unet_channels": 64,
    }
    return {"source": "a paper", "rows": [row | changes], "setup": setup}


def committed(**changes):
    """A small valid committed.yaml, its row changed."""
    row = {
        "network": "mnist-resnet-zeros",
        "network_steps": 150,
        "machine": "els",
        "pearson_r": 0.9,
        "tolerance": 0.02,
        "reason": "rounding",
    }
    return {"ci": [row | changes]}


def without(row, key):
    return {k: value for k, value in row.items() if k != key}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "numbers.yaml"


def test_small_files_are_read(path):
    path.write_text(yaml.safe_dump(paper()))
    assert load_paper(path).source == "a paper"
    assert load_paper(path).rows["els"].tolist() == [0.94]
    path.write_text(yaml.safe_dump(committed()))
    assert load_committed(path)["ci"]["tolerance"].tolist() == [0.02]


@pytest.mark.parametrize(
    ("load", "content", "message"),
    [
        (load_paper, paper() | {"extra": 1}, "the file: unknown key 'extra'"),
        (load_paper, {"rows": []}, "the file: the key 'source' is missing"),
        (load_paper, paper() | {"rows": None}, "the file: rows is None: expected a list"),
        (load_paper, paper() | {"source": 1}, "the file: source is 1: expected text"),
        (load_paper, [], r"the file is \[\]: expected the keys source, rows"),
        (load_paper, paper(elss=0.9), r"rows\[0\]: unknown key 'elss'"),
        (load_paper, paper(els="0.9"), r"rows\[0\]: els is '0.9': expected a number from -1 to 1"),
        (load_paper, paper(els=1.5), "els is 1.5"),
        (
            load_paper,
            paper(network_steps=True),
            "network_steps is True: expected an integer from 1",
        ),
        (load_paper, paper(conditional=0), "conditional is 0: expected true or false"),
        (
            load_paper,
            paper(architecture="vit"),
            "architecture is 'vit': expected one of resnet, unet",
        ),
        (load_paper, paper(padding=["zeros"]), "padding is .*expected one of zeros, circular"),
        (load_paper, paper() | {"rows": paper()["rows"] * 2}, r"rows\[1\] repeats the dataset"),
        (load_paper, paper() | {"setup": {}}, "setup: the key 'seeds' is missing"),
        (load_paper, paper() | {"setup": 1}, "the file: setup is 1: expected the keys seeds"),
        (load_committed, [], r"the file is \[\]: expected experiments"),
        (load_committed, None, "the file is None: expected experiments"),
        (load_committed, {"ci": None}, "ci is None: expected a list of rows"),
        (load_committed, {"ci": [1]}, r"ci\[0\] is 1: expected the keys network, "),
        (
            load_committed,
            {"ci": [without(committed()["ci"][0], "reason")]},
            r"ci\[0\]: the key 'reason' is missing",
        ),
        (load_committed, {"ci": committed()["ci"] * 2}, r"ci\[1\] repeats the network"),
        (load_committed, committed(tolerance=0), r"ci\[0\]: tolerance is 0: .* above 0 up to 1"),
        (load_committed, committed(tolerance=float("nan")), "tolerance is nan"),
        (load_committed, committed(reason=" "), "reason is ' ': expected text"),
        (load_committed, committed(machine="ELS"), "machine is 'ELS'"),
    ],
)
def test_malformed_content_is_named_with_its_file(path, load, content, message):
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(ValueError, match=message) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize("load", [load_paper, load_committed])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: [1", "expected ',' or ']'"),
        (b"a: \xff", "can't decode byte 0xff"),
        (b"ci: []\nci: []\n", "'ci' occurs more than once"),
    ],
)
def test_what_is_no_yaml_of_text_is_named(path, load, content, message):
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize("load", [load_paper, load_committed])
def test_a_missing_file_is_named(path, load):
    with pytest.raises(FileNotFoundError, match=str(path)):
        load(path)
