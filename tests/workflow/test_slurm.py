"""What profiles/slurm computes on a Slurm of one machine is what a local run computes."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PROGRAMS = ("slurmctld", "slurmd", "munged")
OUT_OF_REACH, NO_NODE = 77, 78  # of run.sh, where packages cannot be had, and no node comes up


def test_profile_asks_squeue_and_holds_no_site():
    profile = yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text())
    assert profile["executor"] == "slurm"
    assert profile["slurm-status-command"] == "squeue"
    assert profile["rerun-incomplete"]
    assert not {"default-resources", "set-resources", "set-threads"} & set(profile)


def why_not():
    """What keeps this machine from the test, or None."""
    if not os.environ.get("PATCHMOSAIC_SLURM"):
        return "takes ten minutes or more; make test-slurm runs it"
    if os.geteuid():
        return "Slurm's daemons need root"
    if importlib.util.find_spec("snakemake_executor_plugin_slurm") is None:
        return (
            "the executor is missing: pip install --constraint constraints.txt '.[workflow,slurm]'"
        )
    if not all(map(shutil.which, PROGRAMS)) and shutil.which("apt-get") is None:
        return f"not all of {', '.join(PROGRAMS)} are here, and no apt-get to install them"
    return None


@pytest.mark.slurm
@pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
def test_slurm_computes_what_a_local_run_does():
    status = subprocess.run([ROOT / "tests/slurm/run.sh", sys.executable]).returncode
    if_possible = os.environ["PATCHMOSAIC_SLURM"] == "if possible"
    if status == OUT_OF_REACH or (status == NO_NODE and if_possible):
        pytest.skip(f"{', '.join(PROGRAMS)} cannot be installed or started here")
    assert status == 0
