"""The workflow: every config is planned, a small one runs for real, and only what must, reruns."""

import json
import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import accessibility
import chromium
import numpy as np
import pandas as pd
import pypdfium2
import pytest
import torch
import yaml
from configs import read
from PIL import Image
from projects import ROOT, copy_project, planned, project_with_pictures, snakemake
from safetensors.torch import load_file
from snakemake.utils import available_cpu_count

from patchmosaic.datasets.alterations import permuted
from patchmosaic.datasets.images import load_images
from patchmosaic.networks.checkpoints import load_checkpoint
from patchmosaic.publish.names import PAGES
from patchmosaic.publish.site import write_site
from patchmosaic.sampling.samples import join_shards, load_samples, save_samples
from patchmosaic.sampling.trajectories import load_trajectories
from patchmosaic.tables.claims import CLAIMS, UNTESTED

pytestmark = pytest.mark.workflow


@pytest.fixture(scope="module")
def planning(tmp_path_factory):
    folder = copy_project(tmp_path_factory.mktemp("plan"))
    (folder / "data/celeba").mkdir(parents=True)
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A project in which config/ci.yaml has been run, and what the run printed."""
    folder = copy_project(tmp_path_factory.mktemp("a project"))
    return folder, snakemake(folder, "--configfile", "config/ci.yaml", profile="ci")


def test_default_config_is_planned(planning):
    jobs = planned(snakemake(planning, "-n"))
    assert jobs["packaged_checkpoint"] == 4
    assert jobs["calibrate"] == 4
    assert jobs["sample_machine"] == 4 * 2 + 2  # IS is the same for networks of the same bank
    assert jobs["sample_network"] == 4 * 2
    assert jobs["headline_check"] == jobs["report"] == jobs["manifest"] == 1


def test_paper_width_config_has_every_row_of_the_paper(planning):
    jobs = planned(snakemake(planning, "-n", "--configfile", "config/paper_width.yaml"))
    assert jobs["train"] == 11
    assert jobs["calibrate"] == 10  # the UNet with self-attention takes a ResNet's scales
    assert jobs["sample_machine"] == (10 * 2 + 4) * 10  # LS, ELS by scales; IS by bank
    assert jobs["sample_network"] == 11 * 2 * 10
    assert jobs["agreement"] == 22  # the rows of tables 1 and 2
    paper = yaml.safe_load((ROOT / "numbers/paper.yaml").read_text())["rows"]
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    override = yaml.safe_load((ROOT / "config/paper_width.yaml").read_text())
    networks = {k: config["networks"].get(k, {}) | v for k, v in override["networks"].items()}
    keys = ("dataset", "architecture", "padding", "conditional")
    ours = {tuple(networks[name][key] for key in keys) for name in override["evaluate"]}
    assert ours == {tuple(row[key] for key in keys) for row in paper}


def test_documented_jobs_are_those_of_the_dry_run(planning):
    """docs/clusters.md counts the jobs of config/paper_width.yaml."""
    jobs = planned(snakemake(planning, "-n", "--configfile", "config/paper_width.yaml"))
    text = (ROOT / "docs/clusters.md").read_text()
    section = re.search(r"counts: (\d+) jobs, of which\n(.*?)\n\nNothing is", text, re.DOTALL)
    table = {r: int(n) for n, r in re.findall(r"^\| (\d+) \| `?([\w ]+?)`? \|", section[2], re.M)}
    total = sum(jobs.values())
    now = {rule: jobs[rule] for rule in table if rule != "all others"}
    now["all others"] = total - sum(now.values())
    assert table == now, f"in docs/clusters.md write {now}"
    assert (section[1], len(table)) == (str(total), 6), f"in docs/clusters.md write {total} jobs"


def test_train_config_trains_every_packaged_network(planning):
    jobs = planned(snakemake(planning, "-n", "--configfile", "config/train.yaml"))
    packaged = {path.stem for path in (ROOT / "checkpoints").glob("*.safetensors")}
    configs = ("paper", "paper_networks", "wide", "wide_mnist", "training_seeds")
    others = [read(f"config/{name}.yaml")["networks"] for name in configs]
    elsewhere = {
        name
        for networks in others
        for name, network in networks.items()
        if network.get("checkpoint") == "packaged"
    }
    assert elsewhere < packaged
    assert jobs["train"] == len(packaged - elsewhere)
    assert "packaged_checkpoint" not in jobs


def test_ci_config_runs_and_agrees(finished):
    folder, _ = finished
    headline = pd.read_csv(folder / "results/ci/tables/headline.csv")
    assert len(headline) == 2 * 3
    assert (headline["seeds"] == 4).all()
    medians = headline.set_index(["network", "machine"])["pearson_r"].unstack()
    assert (medians["els"] > medians["is"]).all()
    agreement = pd.read_csv(folder / "results/ci/tables/agreement.csv")
    assert len(agreement) == 2 * 3 * 4
    scales = pd.read_csv(folder / "results/ci/tables/scales.csv")
    assert len(scales) == 2 * 20
    assert scales["patch_size"].between(scales["smallest"], scales["largest"]).all()
    assert (scales["smallest"] < scales["largest"]).any()
    for page in ("report", "explorer"):
        assert "<html" in (folder / f"results/ci/{page}/index.html").read_text()
    assert (folder / "results/ci/checks/headline.txt").read_text().strip()


@pytest.mark.parametrize("width", [1200, 400])
def test_report_shows_everything_in_a_browser(finished, width):
    """No error, nothing asked of the network, every category reached, every figure seen whole."""
    path = finished[0] / "results/ci/report/index.html"
    with chromium.opened(path, width) as page:
        page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        links = page.evaluate("[...document.querySelectorAll('nav a')].map(a => a.hash)")
        assert len(links) >= 9
        for link in links:  # as a click: it is followed, and what it names comes into view
            page.evaluate(f"document.querySelector('nav a[href=\"{link}\"]').click()")
            page.wait(f"location.hash === '{link}'")
            page.wait(
                f"(box => box.top < innerHeight && box.bottom > 0 && box.height > 20)"
                f"(document.querySelector('{link} h2').getBoundingClientRect())"
            )
        figures = page.evaluate(
            "[...document.querySelectorAll('figure')].map(f => {"
            " const image = f.querySelector('img'), box = image.getBoundingClientRect();"
            " return {pixels: image.naturalWidth,"
            " left: box.left, right: box.right, height: box.height, alt: image.alt,"
            " words: f.querySelector('figcaption').innerText.split(' ').length} })"
        )
        assert len(figures) >= 10
        for figure in figures:
            assert figure["pixels"] > 300, figure
            assert 0 <= figure["left"] < figure["right"] <= width, figure
            assert figure["height"] > 50, figure
            assert figure["alt"], figure
            assert figure["words"] > 10, figure
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.errors == []
        assert page.requests == [path.as_uri()]


@pytest.mark.parametrize("width", [1200, 400])
@pytest.mark.parametrize("page", ["report", "explorer", "paper"])
def test_accessibility_checker_finds_nothing(finished, page, width):
    with chromium.opened(finished[0] / "results/ci" / PAGES[page], width) as found:
        found.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
        assert accessibility.violations(found) == []


CATEGORIES = {"Agreement", "Controls", "Creativity", "Headline", "Locality", "Pairs", "Theory"}


def test_snakemake_s_own_report_opens_and_every_category_has_results(finished, tmp_path):
    if chromium.BROWSER is None:
        pytest.skip("Chromium is not installed: the report is not opened")
    folder, _ = finished
    path = tmp_path / "report.html"
    snakemake(folder, "--report", str(path), "--configfile", "config/ci.yaml", profile="ci")
    with chromium.chromium() as page:
        for category in sorted(CATEGORIES):
            page.open(path.as_uri(), 1400)
            found = "[...document.querySelectorAll('a')].find(a => a.innerText.trim() === '%s')"
            page.wait((found % category) + " !== undefined")
            page.evaluate((found % category) + ".click()")
            page.wait("document.querySelectorAll('table tbody tr').length > 0")
        assert page.errors == []
        assert set(page.requests) == {path.as_uri()}


@pytest.fixture
def own_images(tmp_path):
    """A project with pictures about which nothing has run."""
    return project_with_pictures(tmp_path)


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


def test_braces_in_the_name_of_the_folder_are_refused(tmp_path):
    """Snakemake takes them for wildcards, in the paths of environments and scripts too."""
    folder = tmp_path / "a {x} é"
    folder.mkdir()
    output = snakemake(copy_project(folder), "-n", check=False)
    assert "/a {x} é: Snakemake takes the braces in this path for wildcards: rename" in output
    assert "Traceback" not in output
    assert "NameError" not in output


@pytest.mark.parametrize(("name", "signs"), [("a$H", "$"), ("a:b", ":"), ("a {x} é", "{ }")])
def test_make_refuses_folders_that_cannot_be_set_up(tmp_path, name, signs):
    folder = tmp_path / name
    folder.mkdir()
    shutil.copy(ROOT / "Makefile", folder)
    made = subprocess.run(["make", "-n", "lint"], cwd=folder, capture_output=True, text=True)
    assert made.returncode
    assert f"/{name}: rename the folder: with {signs} in its path the project" in made.stderr


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


def test_celeba_goes_through_the_chain_to_its_row_of_the_paper(tmp_path):
    """config/celeba.yaml on a few made faces, with less of everything."""
    folder = copy_project(tmp_path)
    (folder / "data/celeba").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number in (*range(1, 9), 182638, 182639):
        face = Image.fromarray(rng.integers(0, 256, (218, 178, 3), dtype=np.uint8))
        face.save(folder / f"data/celeba/{number:06}.jpg")
    override = {
        "evaluate": ["celeba-resnet-zeros"],
        "networks": {"celeba-resnet-zeros": {"channels": 4}},
        "recipes": {"resnet_two_cores": {"epochs": 2, "batch_size": 4}},
        "sampling": {"machine_steps": 2, "network_steps": [20, 150]},
        "seeds": {"evaluation": {"count": 2}},
        "calibration": {"bank_images": 8, "patch_sizes": [3, 5]},
    }
    (folder / "less.yaml").write_text(yaml.safe_dump(override))
    table = "results/celeba/tables/paper.csv"
    snakemake(folder, table, "--configfile", "config/celeba.yaml", "less.yaml")
    rows = pd.read_csv(folder / table).query("dataset == 'celeba' and architecture == 'resnet'")
    assert rows["network_steps"].tolist() == [150, 20]
    assert rows["els_paper"].tolist() == [0.96, 0.92]
    assert (rows["seeds"] == 2).all()
    assert rows[["els_ours", "ls_ours", "is_ours"]].notna().all(axis=None)
    record = json.loads((folder / "results/celeba/networks/celeba-resnet-zeros.json").read_text())
    assert (record["images_seen"], record["network"]["image_channels"]) == (2 * 8, 3)


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


RAW = "own data/raw/tiny/provenance.json"


def test_few_images_are_told_of_before_any_job(own_images):
    """The tiny project has 4 images of each class."""
    (own_images / "few.yaml").write_text("calibration: {bank_images: 2000}\n")
    output = snakemake(own_images, "-n", "--configfile", "tiny.yaml", "few.yaml")
    said = "calibration.bank_images: 2,000, and tiny has 4 training images of the rarest class: all"
    assert output.count(said) == 1
    (own_images / "more.yaml").write_text("bank: {images: 5}\n")
    output = snakemake(own_images, "-n", "--configfile", "tiny.yaml", "more.yaml", check=False)
    assert (
        "bank.images: 5, and tiny has 4 training images of the rarest class: at most so" in output
    )
    (own_images / "pictures/dogs/train").mkdir()
    shutil.copy(own_images / "pictures/dogs/1.png", own_images / "pictures/dogs/train/5.png")
    output = snakemake(own_images, "-n", "--configfile", "tiny.yaml", check=False)
    assert "the config cannot be run" in output
    assert "lies in the split folder train" in output


def test_cores_are_all_unless_said_otherwise(own_images):
    command = [sys.executable, "-m", "snakemake", RAW, "--configfile", "tiny.yaml", "--forceall"]
    for arguments, cores in (([], available_cpu_count()), (["--cores", "1"], 1)):
        done = subprocess.run(
            [*command, *arguments], cwd=own_images, check=True, capture_output=True, text=True
        )
        assert f"Provided cores: {cores}" in done.stderr + done.stdout


def test_slurm_profile_is_planned(planning):
    """The paper's experiment, with the threads and the memory that its jobs ask for."""
    pytest.importorskip(
        "snakemake_executor_plugin_slurm",
        reason="the executor is missing: "
        "pip install --constraint constraints.txt '.[workflow,slurm]'",
    )
    command = ("-n", "--configfile", "config/paper_width.yaml")
    assert planned(snakemake(planning, *command, profile="slurm")) == planned(
        snakemake(planning, *command)
    )


def rules():
    """The text of every rule that runs a script, by name."""
    text = "\n".join(path.read_text() for path in sorted(ROOT.glob("workflow/rules/*.smk")))
    parts = re.split(r"^rule (\w+):$", text, flags=re.M)
    found = dict(zip(parts[1::2], parts[2::2], strict=True))
    return {name: body for name, body in found.items() if "    script:\n" in body}


@pytest.mark.parametrize("name", rules())
def test_rules_say_what_their_jobs_need(name):
    for need in (r"threads:\s", "mem_mb=", "runtime="):
        assert re.search(rf"^ +{need}\s*\S", rules()[name], re.M), f"rule {name} has no {need}"


def test_changed_local_images_are_prepared_anew(own_images):
    """Added, altered and removed pictures; a file that is no picture does not matter."""
    raw = (RAW, "--configfile", "tiny.yaml")
    prepared = ("own data/prepared/tiny-8-train.npz", "--configfile", "tiny.yaml")
    pictures = own_images / "pictures/cats"
    snakemake(own_images, *prepared)
    (pictures / "notes.txt").write_text("no picture")
    assert planned(snakemake(own_images, "-n", *prepared)) == {}
    shutil.copy(pictures / "0.png", pictures / "4.png")
    assert planned(snakemake(own_images, "-n", *prepared)) == {"download": 1, "prepare": 1}
    snakemake(own_images, *prepared)
    assert planned(snakemake(own_images, "-n", *prepared)) == {}
    shutil.copy(own_images / "pictures/dogs/1.png", pictures / "4.png")
    assert planned(snakemake(own_images, "-n", *raw)) == {"download": 1}
    (pictures / "4.png").unlink()
    assert planned(snakemake(own_images, "-n", *raw)) == {"download": 1}


def test_downloading_again_keeps_where_the_files_came_from(finished, tmp_path):
    folder = copy_project(tmp_path)
    shutil.copytree(finished[0] / "data/raw/mnist", folder / "data/raw/mnist")
    provenance = folder / "data/raw/mnist/provenance.json"
    record = json.loads(provenance.read_text())
    for entry in record["files"].values():
        entry["source"] = "far away"
    provenance.write_text(json.dumps(record))
    snakemake(folder, "--force", "data/raw/mnist/provenance.json")
    assert json.loads(provenance.read_text()) == record


def test_environment_in_a_folder_with_a_space(own_images):
    """Jobs start with the interpreter that runs snakemake, wherever it lies."""
    environment = own_images / "an environment"
    environment.symlink_to(sys.prefix)
    python = str(environment / "bin/python")
    snakemake(own_images, RAW, "--configfile", "tiny.yaml", python=python)
    assert json.loads((own_images / RAW).read_text())["dataset"] == "image_folder"


def test_jobs_keep_the_user_s_python_path(own_images):
    """The folder of the workflow comes first, then what PYTHONPATH already says."""
    script = own_images / "scripts/data/download.py"
    script.write_text(script.read_text() + "\nimport os\nprint(os.environ['PYTHONPATH'])\n")
    output = snakemake(own_images, RAW, "--configfile", "tiny.yaml", PYTHONPATH="/of theirs:/too")
    assert f"{own_images}:/of theirs:/too\n" in output


def test_paths_of_the_config_are_never_code(own_images):
    """Spaces, quotes, Unicode and shell commands in a path; nothing is written outside it."""
    before = {path.name for path in own_images.iterdir()}
    results = 'ré sults/it\'s "$(touch pwned)" `touch pwned`; touch pwned & touch pwned #'
    override = {"directories": {"data": "dätä", "results": results}}
    (own_images / "odd.yaml").write_text(yaml.safe_dump(override, allow_unicode=True))
    target = f"{results}/banks/tiny-classes-3.npz"
    snakemake(own_images, target, "--configfile", "tiny.yaml", "odd.yaml")
    assert (own_images / target).exists()
    written = {path.name for path in own_images.iterdir()} - before
    assert written == {"odd.yaml", ".snakemake", "dätä", "ré sults"}


PROFILES = {
    path.parent.name: yaml.safe_load(path.read_text())
    for path in ROOT.glob("profiles/*/config.yaml")
}


@pytest.mark.parametrize("profile", [name for name in PROFILES if "executor" not in PROFILES[name]])
def test_profile_grants_the_gpu(own_images, profile):
    """A training asks for a GPU; how many there are is the profile's or the user's to say."""
    (own_images / "scripts/networks/train.py").write_text(
        "from pathlib import Path\n"
        "for path in snakemake.output: Path(path).touch()\n"
        "print('granted:', snakemake.resources.gpu)\n"
    )
    network = "own results/networks/tiny-resnet-circular.safetensors"
    arguments = (network, "--configfile", "tiny.yaml", "--forcerun", "train")
    granted = PROFILES[profile]["resources"]
    output = snakemake(own_images, *arguments, profile=profile)
    assert f"granted: {min(granted['gpu'], 1)}\n" in output
    output = snakemake(own_images, *arguments, "--resources", "gpu=0", profile=profile)
    assert "granted: 0\n" in output


def test_every_job_leaves_a_log_and_a_benchmark(finished):
    folder, output = finished
    jobs = int(re.search(r"^total +(\d+)", output, re.M)[1]) - 1  # rule all does nothing
    for kind, suffix in (("logs", "log"), ("benchmarks", "tsv")):
        files = [*folder.glob(f"results/ci/{kind}/*.{suffix}")]
        files += folder.glob(f"data/{kind}/*.{suffix}")
        assert len(files) == jobs


def test_trajectories_end_in_the_samples(finished):
    results = finished[0] / "results/ci"
    for name in read("config/ci.yaml")["evaluate"]:
        seeds, trajectories = load_trajectories(results / f"trajectories/{name}.npz")
        for kind, trajectory in trajectories.items():
            folder = results / f"samples/{name}/{'network-20' if kind == 'network' else kind}"
            samples = join_shards(sorted(folder.glob("*.npz")))
            assert samples.seeds.tolist() == seeds
            tolerance = 1e-4 if kind == "network" else 0  # batches of 4 instead of 2
            np.testing.assert_allclose(
                trajectory.states[-1].numpy(), samples.images, rtol=0, atol=tolerance
            )


def test_second_run_does_nothing(finished):
    folder, _ = finished
    assert "Nothing to be done" in snakemake(folder, "--configfile", "config/ci.yaml")


def test_finished_results_verify(finished):
    """The manifest lists every file, with nothing of this machine; damage is found."""
    folder, _ = finished
    command = [sys.executable, "tools/verify.py", "results/ci"]
    environment = {**os.environ, "PYTHONPATH": str(folder)}

    def verify():
        return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)

    done = verify()
    assert done.stdout.startswith("results/ci: verified;")
    assert (done.returncode, done.stderr) == (0, "")
    path = folder / "results/ci/manifest.json"
    text = path.read_text(encoding="utf-8")
    for private in (str(folder), str(Path.home()), platform.node()):
        assert f'"{private}' not in text
    manifest = json.loads(text)
    assert manifest["config_files"] == ["config.yaml", "config/ci.yaml"]
    assert manifest["seeds"] == {
        "calibration": [1000000, 1000001, 1000002],
        "evaluation": [0, 1, 2, 3],
    }
    assert {*manifest["datasets"]} == {
        f"{dataset}-32-{split}"
        for dataset in ("mnist", "fashion_mnist")
        for split in ("train", "test")
    }
    shard = manifest["samples"]["samples/mnist-resnet-zeros/els/000.npz"]
    assert shard["engine"] == "adaptive"
    assert shard["audit"]["rms"] < 0.01
    record = json.loads((folder / "results/ci/networks/mnist-resnet-zeros.json").read_text())
    assert manifest["networks"]["mnist-resnet-zeros"] == record["weights_sha256"]
    rules = {entry["rule"] for entry in manifest["files"].values()}
    assert {"sample_machine", "tables", "report", "packaged_checkpoint", "bank"} <= rules
    assert not {"manifest", "prepare", "download"} & rules
    damaged = folder / "results/ci/tables/headline.csv"
    content = damaged.read_bytes()
    times = damaged.stat().st_atime_ns, damaged.stat().st_mtime_ns
    damaged.write_bytes(content + b" ")
    try:
        done = verify()
    finally:
        damaged.write_bytes(content)
        os.utime(damaged, ns=times)
    assert done.returncode == 1
    assert re.search(r"^altered +tables/headline.csv +expected", done.stdout, re.M)


CI = ("--configfile", "config/ci.yaml")


@pytest.fixture(scope="module")
def graph(finished):
    """Of the jobs of config/ci.yaml: what each is, by number, and arrows from each to the next."""
    text = snakemake(finished[0], *CI, "--dag", "mermaid-js")
    jobs = dict(re.findall(r"^\s*(id\d+)\[(.*)\]$", text, re.M))
    return jobs, set(re.findall(r"^\s*(id\d+) --> (id\d+)$", text, re.M))


def with_what_rests_on(first, graph):
    """The rules of the jobs that begin with one of these words, and of all jobs after them."""
    jobs, arrows = graph
    found = {job for job, words in jobs.items() if words.startswith(first)}
    assert found
    while more := {after for job, after in arrows if job in found} - found:
        found |= more
    return {jobs[job].split(" - ")[0] for job in found}


OF_MACHINES = ("sample_machine", "trajectories", "figure_patch_origins", "explorer_data")


@pytest.mark.parametrize(
    ("change", "first"),
    [
        ({"sampling": {"machine_start": "skip_first"}}, OF_MACHINES),
        ({"sampling": {"network_start": "skip_first"}}, ("sample_network", "learning_curve")),
        ({"bank": {"images": 700}}, ("bank",)),
        ({"seeds": {"evaluation": {"first": 100}}}, ("noise - purpose: evaluation",)),
        ({"recipes": {"paper": {"epochs": 200}}}, ("manifest",)),
        ({"calibration": {"patch_sizes": [3, 5]}}, ("manifest",)),  # its scales are packaged
    ],
    ids=["machine_start", "network_start", "bank", "seeds", "unused_recipe", "unused_sizes"],
)
def test_changed_parameter_reruns_what_depends_on_it(finished, graph, tmp_path, change, first):
    """The jobs that it is told to and all after them; the manifest holds the whole config."""
    folder, _ = finished
    override = tmp_path / "change.yaml"
    override.write_text(yaml.safe_dump(change))
    found = set(planned(snakemake(folder, "-n", *CI, str(override))))
    assert found == with_what_rests_on(first, graph)


def test_article_is_set_from_the_run(finished):
    """Nothing that the manifest lists is made again; drawings are vectors."""
    folder, _ = finished
    target = ("results/ci/article/article.pdf", "--configfile", "config/ci.yaml")
    assert planned(snakemake(folder, "-n", *target)) == {"article": 1}
    snakemake(folder, *target)
    pages = [
        page.get_textpage().get_text_bounded()
        for page in pypdfium2.PdfDocument(folder / "results/ci/article/article.pdf")
    ]
    assert 6 <= len(pages) <= 10
    text = re.sub(r"\s+", " ", " ".join(pages))
    assert "median Pearson r with the network" in text  # of a drawing
    medians = pd.read_csv(folder / "results/ci/tables/headline.csv").query("machine == 'els'")
    for r in medians["pearson_r"]:
        assert f"{r:.2f}" in text
    content = json.loads((folder / "results/ci/article/content.json").read_text())
    manifest = json.loads((folder / "results/ci/manifest.json").read_text())
    assert content["manifest_sha256"] == manifest["sha256"]
    assert "Nothing to be done" in snakemake(folder, *target)
    command = [sys.executable, "tools/verify.py", "results/ci"]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.stdout.startswith("results/ci: verified;"), done.stdout


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


def test_site_is_made_of_the_run(finished, tmp_path):
    """Every link of its report and explorer leads somewhere."""
    write_site(finished[0] / "results/ci", ROOT, tmp_path / "site")
    text = (tmp_path / "site/index.html").read_text()
    for page in ("report", "explorer"):
        assert f'href="results/{page}/index.html"' in text


def test_every_comparison_refuses_samples_of_other_noise(finished):
    """Samples that a run with other seeds had left, say, with a new time."""
    folder, _ = finished
    samples = folder / "results/ci/samples"
    paths = sorted(samples.glob("*/els/*.npz"))
    assert len(paths) == 4
    garments = "garments-fashion_mnist-unet-zeros-20"
    jobs = {
        "agreement/mnist-resnet-zeros-20.csv": "agreement-mnist-resnet-zeros-20",
        "bands/mnist-resnet-zeros-20.csv": "bands-mnist-resnet-zeros-20",
        "learning/mnist-resnet-zeros.csv": "learning_curve-mnist-resnet-zeros",
        f"figures/{garments}.png": f"figure_{garments}",
    }
    made = [folder / "results/ci" / target for target in (*jobs, f"figures/{garments}.pdf")]
    originals = {p: (p.read_bytes(), p.stat().st_mtime_ns) for p in (*paths, *made)}
    for path in paths:
        loaded = load_samples(path)
        save_samples(path, replace(loaded, record=loaded.record | {"noise_sha256": "another"}))
    arguments = ["--keep-going", "--rerun-triggers", "mtime", "--configfile", "config/ci.yaml"]
    try:
        snakemake(folder, *(f"results/ci/{t}" for t in jobs), *arguments, check=False)
    finally:
        for path, (content, time) in originals.items():
            path.parent.mkdir(exist_ok=True)  # Snakemake removes one that a failed job left empty
            path.write_bytes(content)
            os.utime(path, ns=(time, time))
    for job in jobs.values():
        log = folder / f"results/ci/logs/{job}.log"
        assert "have the same seeds, but are of different noise" in log.read_text()


def test_moved_numbers_fail_with_a_table(finished):
    """A run whose numbers are not the committed ones ends with an error that shows both."""
    folder, _ = finished
    path = folder / "numbers/committed.yaml"
    original = path.read_text()
    committed = yaml.safe_load(original)
    row = committed["ci"][0]
    row["pearson_r"] -= row["tolerance"] * 2.5
    path.write_text(yaml.safe_dump(committed))
    try:
        target = "results/ci/checks/headline.txt"
        output = snakemake(folder, target, "--configfile", "config/ci.yaml", check=False)
    finally:
        path.write_text(original)
    assert "the headline numbers are not the committed ones" in output
    assert f"{row['pearson_r']:.3f}" in output
    snakemake(folder, "--configfile", "config/ci.yaml")


def test_lint_is_clean(planning):
    assert "Congratulations" in snakemake(planning, "--lint")


def test_bad_config_stops_before_any_work(planning, tmp_path):
    override = tmp_path / "bad.yaml"
    override.write_text("calibration: {patch_sizes: [3, 4]}\n")
    output = snakemake(planning, "--configfile", str(override), check=False)
    assert "calibration.patch_sizes: 4 is even; patch sizes are odd, like 5" in output
    assert "Traceback" not in output
    assert not (planning / "results").exists()
