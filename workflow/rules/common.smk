"""What all rules use: the experiment E, digests of the code, and how jobs share a machine."""

import json
import os
import shlex
import subprocess
import sys
from importlib.util import find_spec

from snakemake.exceptions import WorkflowError

# The folder of the project's Snakefile, which another workflow may use as a module.
PROJECT = Path(str(workflow.current_basedir)).parents[1]

if not (PROJECT / "patchmosaic").is_dir():
    raise WorkflowError(
        f"{PROJECT}: the package patchmosaic is not beside this Snakefile: give module the path of a "
        "clone of the project"
    )
if set("{}") & set(str(PROJECT)):
    raise WorkflowError(
        f"{PROJECT}: Snakemake takes the braces in this path for wildcards: rename the "
        "folder, or move the project"
    )

# Workflow and jobs use the package beside this Snakefile, whatever else is installed.
PATHS = os.environ.get("PYTHONPATH", "").split(os.pathsep)
if PATHS[0] != str(PROJECT):
    os.environ.update(PYTHONPATH=os.pathsep.join([str(PROJECT), *filter(None, PATHS)]))
if sys.path[0] != str(PROJECT):
    sys.path.insert(0, str(PROJECT))

# Jobs draw without a screen, in whatever notebook Snakemake was started.
os.environ.update(MPLBACKEND="agg")

from patchmosaic.datasets.content import DatasetError
from patchmosaic.publish.names import NAMES
from patchmosaic.publish.manifest import (
    content_digest,
    git_state,
    portable_config,
    source_digests,
)
from patchmosaic.system import limits
from workflow.checks import ConfigError, validate_config
from workflow.code_digest import code_digest
from workflow.config_files import completed
from workflow.estimate import first_lines, plan_of
from workflow.experiment import (
    EXPLORED,
    MOST_PAGE_BYTES,
    MOST_THREADS,
    UNCHANGED,
    Experiment,
    published_networks,
    published_row,
    threads_each,
)
from workflow.figures import FIGURES, drawings

# The project's config.yaml is always read first; the working folder may have one over it.
if Path("config.yaml").exists() and not Path("config.yaml").samefile(
    PROJECT / "config.yaml"
):

    configfile: "config.yaml"


# Snakemake writes this into the command of every script without quotes of its own.
if Path(sys.executable).exists():
    sys.executable = shlex.quote(sys.executable)

config, notices = completed(PROJECT, config)
for notice in notices if workflow.is_main_process else ():
    print(notice, file=sys.stderr)
try:
    validate_config(config, PROJECT / "checkpoints")
except ConfigError as error:
    raise WorkflowError(f"the config cannot be run:\n{error}")

# Paths from the project's folder where that is the working folder: moving it reruns nothing.
E = Experiment(config, Path() if PROJECT == Path.cwd() else PROJECT)


if workflow.is_main_process:
    try:
        if reason := E.unfit_images:
            raise WorkflowError(f"the config cannot be run:\n{reason}")
        for notice in E.notices:
            print(notice, file=sys.stderr)
    except DatasetError as error:
        raise WorkflowError(f"the config cannot be run:\n{error}")


# A cluster's machines may have more.
if not workflow.remote_exec and workflow.resource_settings.nodes is None:
    if reason := E.too_large(limits.total_memory() // 2**20):
        raise WorkflowError(f"the config cannot be run: {reason}")


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
    cores = min(cores, limits.cores())
    return threads_each(jobs, mem_mb, cores, limits.total_memory() // 2**20)


def config_files():
    """The config's files in the order in which they were read, the project's own first.

    Others are relative to the working folder, or by name alone where they lie outside.
    """
    here = Path.cwd()
    found = [
        Path(path).absolute()
        for path in (*workflow.configfiles, *workflow.overwrite_configfiles)
    ]
    own = (PROJECT / "config.yaml").resolve()
    return ["config.yaml"] + [
        str(path.relative_to(here)) if path.is_relative_to(here) else path.name
        for path in dict.fromkeys(found)
        if path.resolve() != own
    ]


def ask_own_machines():
    """End the run where a machine of one's own cannot be used, before any job.

    Where torch is only in the environments of jobs, it is left to the rule own_machine.
    """
    if not E.own_questions or find_spec("torch") is None:
        return
    result = subprocess.run(
        [*shlex.split(sys.executable), "-m", "patchmosaic.machines.ask_own"],
        input=json.dumps(E.own_questions),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    if result.returncode:
        lines = result.stderr.strip().splitlines()
        raise WorkflowError(
            lines[-1]
            if lines
            else f"machines: one of one's own exits ({result.returncode})"
        )


def tell_estimate():
    """Say what the jobs take on this machine, where that is more than a minute."""
    settings = workflow.resource_settings
    elsewhere = workflow.remote_exec or settings.nodes is not None
    if not workflow.is_main_process or elsewhere or settings.cores is None:
        return
    memory = limits.total_memory()
    if settings.cores > (allowed := limits.cores()):
        print(
            f"note: of the {settings.cores} cores asked for, this process may use {allowed}: "
            f"--cores {allowed} asks for no more",
            file=sys.stderr,
        )
    if said := first_lines(E, plan_of(workflow.dag), PROJECT, settings.cores, memory):
        print(said, file=sys.stderr)
