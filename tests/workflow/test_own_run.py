"""A finished run about somebody's own images: what it leaves, and what is added to it."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pypdfium2
import pytest
import torch
import yaml
from configs import read
from projects import planned, snakemake
from safetensors.torch import load_file

from patchmosaic.datasets.alterations import permuted
from patchmosaic.datasets.images import load_images
from patchmosaic.networks.checkpoints import load_checkpoint
from patchmosaic.sampling.samples import load_samples
from patchmosaic.tables.claims import CLAIMS, UNTESTED

pytestmark = pytest.mark.workflow


KEPT = (  # for the next run, by Snakemake and Matplotlib
    "XDG_CACHE_HOME/snakemake/",
    "XDG_CACHE_HOME/matplotlib/fontlist-",
)


@pytest.fixture(scope="module")
def own_results(own_run, tmp_path_factory):
    """A copy of that project, for the tests of this file to change."""
    return shutil.copytree(own_run.folder, tmp_path_factory.mktemp("own images") / "copy é")


def test_nothing_is_written_outside_results_and_data(own_run):
    """Nor is anything left in the home, cache and temporary folders, but caches of libraries."""
    assert "own results/manifest.json" in own_run.left
    ours = ("own results/", "own data/", ".snakemake/")
    assert [n for n in own_run.left if not n.startswith(ours) and "__pycache__/" not in n] == []
    assert [n for n in own_run.left_elsewhere if not n.startswith(KEPT)] == []


def test_own_images_are_trained_calibrated_and_compared(own_results):
    """The whole chain on somebody's own images."""
    folder = own_results
    scales = pd.read_csv(folder / "own results/calibration/tiny-resnet-circular.scales.csv")
    assert scales["t"].tolist() == [0.25, 0.5, 0.75, 1.0]
    assert set(scales["patch_size"]) <= {3, 5}
    agreement = pd.read_csv(folder / "own results/tables/agreement.csv")
    assert sorted(agreement["seed"].unique()) == [0, 1, 2]
    assert set(agreement["machine"]) == {"is", "es", "ls", "els"}
    ours = agreement[agreement["machine"] == "is"]
    assert np.allclose(ours["pearson_r"], ours["is_pearson_r"], equal_nan=True)
    record = json.loads((folder / "own results/networks/tiny-resnet-circular.json").read_text())
    assert record["images_seen"] == 2 * 8
    assert "nothing committed" in (folder / "own results/checks/headline.txt").read_text()
    report = (folder / "own results/report/index.html").read_text()
    assert "8 images, all for training, 2 classes (cats, dogs); shorter sides of 10 to 10" in report


def test_leaderboard_is_added_to_a_report(own_run, tmp_path):
    """To a finished run, of which nothing else is made again but pages that now lead to it."""
    folder = shutil.copytree(own_run.folder, tmp_path / "copy")
    analyses = read("config.yaml")["analyses"]
    (folder / "ranked.yaml").write_text(yaml.safe_dump({"analyses": [*analyses, "leaderboard"]}))
    arguments = ("--configfile", *own_run.configs, "ranked.yaml", "--until", "report")
    rules = set(planned(snakemake(folder, "-n", *arguments)))
    assert rules == {"leaderboard", "figure_leaderboard", "paper_tables", "report"}
    snakemake(folder, *arguments)
    page = (folder / "own results/report/index.html").read_text()
    assert '<section id="leaderboard">' in page
    assert "../tables/leaderboard.csv" in page
    assert "<h3>Leaderboard</h3>" in page


def test_claims_are_decided_of_a_finished_run(own_run, tmp_path):
    """With another network of altered images, of which only its gradients are asked."""
    folder = shutil.copytree(own_run.folder, tmp_path / "copy")
    config, name = yaml.safe_load((folder / own_run.configs[0]).read_text()), "tiny-resnet-circular"
    override = {
        "analyses": ["claims"],
        "evaluate": [name, "moved"],
        "datasets": {"moved": config["datasets"]["tiny"] | {"altered": "permuted"}},
        "networks": {"moved": config["networks"][name] | {"dataset": "moved"}},
    }
    (folder / "claims.yaml").write_text(yaml.safe_dump(override))
    arguments = (
        *("own results/tables/claims.csv", "own results/figures/claims.png"),
        *("--configfile", *own_run.configs, "claims.yaml"),
    )
    jobs = planned(snakemake(folder, "-n", *arguments))
    assert jobs["claim_gradients"] == 2
    assert jobs["train"] == jobs["claim_steps"] == jobs["claim_scales"] == 1
    assert not {"calibrate", "sample_machine", "sample_network", "claim_training"} & set(jobs)
    snakemake(folder, *arguments)
    results = folder / "own results"
    tests = pd.read_csv(results / "tables/claims_tests.csv")
    assert (tests["seeds"] == 3).all()
    assert tests["claim"].value_counts().to_dict() == {
        "architecture": 1,
        "equivariance": 2,
        "middle": 4,
        "noised": 2,
        "final": 2,
    }
    verdicts = pd.read_csv(results / "tables/claims.csv").set_index("claim")["verdict"]
    assert list(verdicts.index) == list(CLAIMS)
    assert set(verdicts[verdicts == UNTESTED].index) == set(CLAIMS) - set(tests["claim"])
    plain, moved = (
        load_images(folder / f"own data/prepared/{dataset}-8-train.npz")
        for dataset in ("tiny", "moved")
    )
    np.testing.assert_array_equal(permuted(plain.images), moved.images)
    hybrids = pd.read_csv(results / f"claims/hybrids/{name}.csv")
    assert hybrids.groupby(["first", "switch"]).size().tolist() == [3] * 8


def test_published_protocol_is_sampled_and_followed(own_run, tmp_path):
    """By machines and network alike, of networks and scales that are there."""
    folder = shutil.copytree(own_run.folder, tmp_path / "copy")
    override = {
        "sampling": {"protocol": "golddiff", "network_steps": [10], "machine_start": "full"},
        "machines": ["is", "els"],
        "analyses": ["leaderboard"],
    }
    (folder / "published.yaml").write_text(yaml.safe_dump(override))
    tables = [f"own results/tables/{name}.csv" for name in ("leaderboard", "trajectories")]
    arguments = (*tables, "--configfile", *own_run.configs, "published.yaml")
    assert not {"train", "calibrate"} & set(planned(snakemake(folder, "-n", *arguments)))
    snakemake(folder, *arguments)
    for kind in ("is", "els", "network-10"):
        path = folder / f"own results/samples/tiny-resnet-circular/{kind}/000.npz"
        samples = load_samples(path)
        assert (samples.record["protocol"], samples.record["steps"]) == ("golddiff", 10)
        assert np.abs(samples.images).max() <= 1
    assert pd.read_csv(folder / tables[0])["protocol"].tolist() == ["golddiff"] * 2
    assert pd.read_csv(folder / tables[1])["t"].nunique() == 11


def test_a_machine_has_locality_scales_of_its_own(own_run, tmp_path):
    """LS on scales that are calibrated with LS, beside it on those of ELS."""
    folder, name = shutil.copytree(own_run.folder, tmp_path / "copy"), "tiny-resnet-circular"
    (folder / "scaled.yaml").write_text("machines: [is, els, ls, ls_own]\n")
    table = f"own results/agreement/{name}-4.csv"
    arguments = (table, "--configfile", *own_run.configs, "scaled.yaml")
    made = {"calibrate_machine": 1, "sample_machine": 2, "agreement": 1}
    assert planned(snakemake(folder, "-n", *arguments)) == made
    snakemake(folder, *arguments)
    calibration = folder / "own results/calibration"
    both = [calibration / f"{of}{name}" for of in ("", "ls/")]
    of_els, of_ls = (json.loads(Path(f"{path}.scales.json").read_text()) for path in both)
    assert (of_els["machine"], of_ls["machine"]) == ("els", "ls")
    assert of_els["weights_sha256"] == of_ls["weights_sha256"]
    cosines = [pd.read_csv(f"{path}.cosines.csv") for path in both]
    at = ["t", "patch_size", "trajectory"]
    assert cosines[0][at].equals(cosines[1][at])
    assert not np.allclose(cosines[0]["cosine"], cosines[1]["cosine"])
    assert set(pd.read_csv(folder / table)["machine"]) == {"is", "els", "ls", "ls_own"}


def test_finished_network_is_packaged_with_its_scales(own_results):
    """What a run trained and calibrated serves another as packaged; altered scales are refused."""
    folder, network = own_results, "tiny-resnet-circular"
    command = [sys.executable, "tools/package_network.py", "own results", network]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    subprocess.run(command, cwd=folder, env=environment, check=True)
    override = {
        "directories": {"results": "again"},
        "networks": {network: {"checkpoint": "packaged"}},
        "calibration": {"source": "packaged"},
    }
    (folder / "packaged.yaml").write_text(yaml.safe_dump(override))
    arguments = (f"again/calibration/{network}.scales.csv", "--configfile", "tiny.yaml")
    arguments += ("packaged.yaml",)
    assert "train" not in planned(snakemake(folder, "-n", *arguments))
    snakemake(folder, *arguments)
    for name in ("scales.csv", "cosines.csv", "scales.json"):
        again, own = (
            folder / r / f"calibration/{network}.{name}" for r in ("again", "own results")
        )
        assert again.read_bytes() == own.read_bytes()
    packaged = folder / f"checkpoints/{network}.scales.csv"
    packaged.write_text(packaged.read_text().replace(",3,", ",5,"))
    assert f"{network}.scales.csv: expected SHA-256" in snakemake(folder, *arguments, check=False)
    for path in folder.glob("own results/calibration/*"):
        path.unlink()
    done = subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    assert b"packaged without scales" in done.stdout
    assert not list((folder / "checkpoints").glob(f"{network}.*.csv"))


def test_network_is_packaged_with_rounded_weights(own_results):
    """Half the size, with a record of its own, and of what was rounded; for scales of its own."""
    folder, network = own_results, "tiny-resnet-circular"
    command = [sys.executable, "tools/package_network.py", "own results", network, "--float16"]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    done = subprocess.run(command, cwd=folder, env=environment, check=True, capture_output=True)
    assert b"Its weights were rounded" in done.stdout
    assert not list((folder / "checkpoints").glob(f"{network}.*.csv"))
    files = (folder / r / f"{network}.safetensors" for r in ("own results/networks", "checkpoints"))
    (whole, record), (rounded, of_rounded) = map(load_checkpoint, files)
    assert of_rounded["rounded"] == {"to": "float16", "weights_sha256": record["weights_sha256"]}
    assert of_rounded["images_seen"] == record["images_seen"]
    kept = load_file(folder / f"checkpoints/{network}.safetensors")
    for name, weight in whole.state_dict().items():
        assert kept[name].dtype == torch.float16
        assert torch.equal(rounded.state_dict()[name], weight.half().float())
    refused = subprocess.run([*command, "--snapshots"], cwd=folder, env=environment)
    assert refused.returncode == 2
    (folder / "rounded/networks").mkdir(parents=True)
    for file in (folder / "checkpoints").glob(f"{network}.*"):
        shutil.copy(file, folder / "rounded/networks")
    command[2] = "rounded"
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert "rounded already: leave out --float16" in done.stderr


def test_article_is_set_of_own_images(own_run, tmp_path):
    """Of which the paper has no row, and in a folder with spaces in its name."""
    folder = shutil.copytree(own_run.folder, tmp_path / "copy é")
    target = ("own results/article/article.pdf", "--configfile", *own_run.configs)
    assert planned(snakemake(folder, "-n", *target)) == {"article": 1}
    snakemake(folder, *target)
    document = pypdfium2.PdfDocument(folder / target[0])
    text = " ".join(page.get_textpage().get_text_bounded() for page in document)
    assert "tiny-resnet-circular" in text
    assert "Nothing is committed for this experiment" in re.sub(r"\s+", " ", text)
