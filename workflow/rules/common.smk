"""What all rules use: the experiment E, digests of the code, and how jobs share a machine."""

import os
import shlex
import sys

import psutil
from snakemake.exceptions import WorkflowError

PROJECT = Path(workflow.basedir)

if set("{}") & set(str(PROJECT)):
    raise WorkflowError(
        f"{PROJECT}: Snakemake takes the braces in this path for wildcards: rename the "
        "folder, or move the project"
    )

# Workflow and jobs use the package beside this Snakefile, whatever else is installed.
BESIDE = shlex.quote(str(PROJECT))
shell.prefix(f"export PYTHONPATH={BESIDE}${{{{PYTHONPATH:+:$PYTHONPATH}}}}; ")
sys.path.insert(0, str(PROJECT))

from patchmosaic.datasets.content import DatasetError
from patchmosaic.publish.manifest import (
    content_digest,
    git_state,
    portable_config,
    source_digests,
)
from workflow.checks import ConfigError, validate_config
from workflow.code_digest import code_digest
from workflow.experiment import MOST_THREADS, UNCHANGED, Experiment, threads_each
from workflow.figures import FIGURES, drawings

# Snakemake writes this into the command of every script without quotes of its own.
sys.executable = shlex.quote(sys.executable)

try:
    validate_config(config, PROJECT / "checkpoints")
except ConfigError as error:
    raise WorkflowError(f"the config cannot be run:\n{error}")

E = Experiment(config, PROJECT)


def any_of(names):
    """A pattern for these names; nothing fits it where there are none."""
    return "|".join(names) or "(?!)"


wildcard_constraints:
    dataset=any_of(config["datasets"]),
    network=any_of(config["networks"]),
    machine=any_of(config["machines"]),
    steps=r"\d+",
    shard=r"\d{3}",
    purpose="evaluation|calibration",


def code(script, *modules):
    """Digest of what a rule's script rests on, and modules that it imports by name."""
    files = [f"scripts/{script}", *(f"patchmosaic/{module}" for module in modules)]
    return code_digest(PROJECT, *map(Path, files))


def local_content(wildcards):
    """What changes when images of a local folder or archive do; one that cannot be read is named."""
    try:
        return E.local_content(wildcards.dataset)
    except DatasetError as error:
        raise WorkflowError(f"datasets.{wildcards.dataset}.local: {error}")


def shared_cores(jobs, mem_mb):
    """Threads for each of so many like jobs, where they run on this machine; elsewhere the most."""
    settings = workflow.resource_settings
    elsewhere = workflow.remote_exec or settings.nodes is not None
    cores = None if elsewhere else settings.cores
    if cores is None:
        return MOST_THREADS
    return threads_each(jobs, mem_mb, cores, psutil.virtual_memory().total // 2**20)


def config_files():
    """The config's files in the order in which they were read: the workflow's own, then the user's.

    Files outside the working folder are given by name alone.
    """
    given = [Path(path).absolute() for path in workflow.overwrite_configfiles]
    own = [Path(path).absolute() for path in workflow.configfiles]
    here = Path.cwd()
    return [
        str(path.relative_to(here)) if path.is_relative_to(here) else path.name
        for path in [*(path for path in own if path not in given), *given]
    ]
