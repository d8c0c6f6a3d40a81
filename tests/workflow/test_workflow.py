"""The workflow: every config is planned, and what a job needs and a user changes is minded."""

import json
import re
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import yaml
from configs import read
from PIL import Image
from projects import ROOT, copy_project, planned, project_with_pictures, snakemake
from snakemake.utils import available_cpu_count

pytestmark = pytest.mark.workflow


@pytest.fixture(scope="module")
def planning(tmp_path_factory):
    folder = copy_project(tmp_path_factory.mktemp("plan"))
    (folder / "data/celeba").mkdir(parents=True)
    return folder


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


@pytest.fixture
def own_images(tmp_path):
    """A project with pictures about which nothing has run."""
    return project_with_pictures(tmp_path)


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


def test_lint_is_clean(planning):
    assert "Congratulations" in snakemake(planning, "--lint")


def test_bad_config_stops_before_any_work(planning, tmp_path):
    override = tmp_path / "bad.yaml"
    override.write_text("calibration: {patch_sizes: [3, 4]}\n")
    output = snakemake(planning, "--configfile", str(override), check=False)
    assert "calibration.patch_sizes: 4 is even; patch sizes are odd, like 5" in output
    assert "Traceback" not in output
    assert not (planning / "results").exists()
