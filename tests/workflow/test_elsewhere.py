"""The workflow used from other folders and by other workflows, and keys by their older names."""

import os
import subprocess
import sys

import pytest
import yaml
from configs import DEFAULT, OWN, ROOT, merged
from projects import TINY, planned, project_with_pictures, snakemake

from patchmosaic.publish.manifest import FORMAT, compare_origin
from workflow.checks import ConfigError, validate_config
from workflow.config_files import completed, renamed

BANK = "own results/banks/tiny-classes-3.npz"
TARGETS = (BANK, "own results/figures/rulegraph.mmd", "own results/figures/borders.png")


def files(folder):
    """Every file of a folder with its time, but what Python caches."""
    paths = [p for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts]
    return {path: path.stat().st_mtime_ns for path in paths}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project in a folder that a shell would read otherwise."""
    return project_with_pictures(tmp_path_factory.mktemp("a$H project"))


@pytest.fixture
def elsewhere(project, tmp_path):
    """A folder with one config file, and the pictures that it is about."""
    (tmp_path / "pictures").symlink_to(project / "pictures")
    (tmp_path / "mine.yaml").write_text(TINY)
    return tmp_path


@pytest.mark.workflow
def test_one_config_file_in_another_folder_is_enough(project, elsewhere):
    """Jobs run, the rule graph's own snakemake too, and nothing is written beside the Snakefile."""
    before = files(project)
    arguments = ("--snakefile", str(project / "Snakefile"), "--configfile", "mine.yaml")
    snakemake(elsewhere, *TARGETS, *arguments, PYTHONDONTWRITEBYTECODE="1")
    assert all((elsewhere / target).exists() for target in TARGETS)
    assert "--> sample_machine" in (elsewhere / TARGETS[1]).read_text()
    assert files(project) == before
    directory = ("--directory", str(elsewhere), "--configfile", str(elsewhere / "mine.yaml"))
    assert planned(snakemake(project, BANK, "-n", *directory)) == {}


@pytest.mark.workflow
def test_another_workflow_uses_it_as_a_module(project, elsewhere):
    (elsewhere / "mine.yaml").write_text(TINY.replace("evaluate:", "configurations:"))
    (elsewhere / "Snakefile").write_text(
        'configfile: "mine.yaml"\n\n\n'
        f"module patchmosaic:\n    snakefile:\n        {str(project / 'Snakefile')!r}\n"
        "    config:\n        config\n\n\n"
        "use rule * from patchmosaic as patchmosaic_*\n\n\n"
        "rule theirs:\n"
        f"    input:\n        {BANK!r},\n    output:\n        'theirs.txt',\n"
        "    shell:\n        'ls {input:q} > {output}'\n"
    )
    output = snakemake(elsewhere, "theirs.txt")
    assert (elsewhere / "theirs.txt").read_text().strip() == BANK
    assert "called evaluate now" in output
    jobs = planned(snakemake(elsewhere, "-n", "patchmosaic_all"))
    assert {"patchmosaic_train", "patchmosaic_manifest", "patchmosaic_figure_pairs"} <= set(jobs)


def test_every_key_of_the_project_is_there_for_one_file():
    config, notices = completed(ROOT, {"bank": {"images": 600}})
    assert config == merged(DEFAULT, {"bank": {"images": 600}})
    assert notices == []
    validate_config(config, ROOT / "checkpoints")


def test_older_names_of_keys_are_taken_with_a_notice():
    older = merged(OWN, {"networks": {"mine": {"checkpoint": "own"}}})
    older["configurations"] = older.pop("evaluate")
    config, notices = completed(ROOT, older)
    assert config == merged(DEFAULT, OWN)
    assert notices == [
        "configurations: this key is called evaluate now; rename it",
        "networks.mine.checkpoint: own is called external now; rename it",
    ]
    assert renamed(OWN) == (OWN, [])
    both = merged(DEFAULT, {"configurations": ["mnist-unet-zeros"]})
    with pytest.raises(ConfigError, match="unknown key 'configurations'"):
        validate_config(completed(ROOT, both)[0], ROOT / "checkpoints")


@pytest.mark.parametrize("override", [{"networks": 3}, {"networks": {"mine": None}}, {"bank": []}])
def test_configs_of_other_types_are_left_to_the_checks(override):
    with pytest.raises(ConfigError):
        validate_config(completed(ROOT, override)[0], ROOT / "checkpoints")


def test_manifests_of_the_old_layout_are_called_old():
    """Its sources had other names, so to list each as gone or new would say nothing."""
    manifest = {"format": FORMAT - 1, "config": {}, "sources": {"scripts/noise.py": "0" * 64}}
    (difference,) = compare_origin(manifest, DEFAULT, {"scripts/sample/noise.py": "0" * 64}, None)
    assert difference.state == "old"
    assert "not compared" in difference.reason


@pytest.mark.workflow
def test_results_verify_with_the_file_that_overrides(own_run, tmp_path):
    """Read over config.yaml, as snakemake does; without, the message says what to name."""
    override = own_run.configs[0]
    for name in own_run.configs:
        (tmp_path / name).write_text((own_run.folder / name).read_text())
    command = [sys.executable, str(own_run.folder / "tools/verify.py")]
    command.append(str(own_run.folder / "own results"))

    def verify(*arguments):
        environment = {**os.environ, "PYTHONPATH": ""}
        ran = subprocess.run(
            [*command, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        return ran.returncode, ran.stdout + ran.stderr

    status, said = verify("--configfile", *own_run.configs)
    assert (status, "verified" in said) == (0, True), said
    (tmp_path / override).unlink()
    status, said = verify()
    assert status == 1
    assert f"{override}: not readable as config of these results" in said
    assert "name the files with --configfile" in said


def test_the_catalogue_finds_what_it_asks_for():
    """https://snakemake.github.io/snakemake-workflow-catalog: a standardised workflow."""
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert usage["report"] is True
    assert usage["software-stack-deployment"]["conda"] is True
    assert (ROOT / "Snakefile").is_file()
    assert "evaluate" in (ROOT / "config/README.md").read_text()
