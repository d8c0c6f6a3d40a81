"""Copies of the project in which snakemake runs, so that files of it can be changed."""

import atexit
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

ROOT = Path(__file__).parent.parent
PARTS = [
    "Snakefile",
    "config.yaml",
    "config",
    "workflow",
    "scripts",
    "tools",
    "profiles",
    "envs",
    "checkpoints",
    "numbers",
]


def copy_project(folder):
    """A copy of what the workflow needs, in a folder whose name has a space."""
    for part in PARTS:
        source = ROOT / part
        copy = shutil.copytree if source.is_dir() else shutil.copyfile
        copy(source, folder / part)
    shutil.copytree(
        ROOT / "patchmosaic", folder / "patchmosaic", ignore=shutil.ignore_patterns("__pycache__")
    )
    return folder


def snakemake(
    folder, *arguments, profile="default", cores=1, check=True, python=sys.executable, **environment
):
    """What snakemake printed; on one core, as tests run side by side, unless a test is of cores.

    It is started by a process that has its imports, but where the test is of Python's own settings.
    """
    chosen = ("--workflow-profile", f"profiles/{profile}", "--cores", str(cores), *arguments)
    cold = python != sys.executable or any(name.startswith("PYTHON") for name in environment)
    start = cold_start if cold else warm_start
    status, printed = start(python, chosen, folder, {**os.environ, **environment})
    assert not check or status == 0, printed[-6000:]
    return printed


def cold_start(python, arguments, folder, environment):
    result = subprocess.run(
        [python, "-m", "snakemake", *arguments],
        cwd=folder,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    return result.returncode, result.stdout


def warm_start(python, arguments, folder, environment):
    server = warm_server(python)
    with tempfile.NamedTemporaryFile("r", encoding="utf-8") as output:
        start = {
            "arguments": [str(argument) for argument in arguments],
            "folder": str(folder),
            "environment": environment,
            "output": output.name,
        }
        server.stdin.write(json.dumps(start) + "\n")
        server.stdin.flush()
        return int(server.stdout.readline()), output.read()


@cache
def warm_server(python):
    program = Path(__file__).with_name("warm_snakemake.py")
    pipe = subprocess.PIPE
    server = subprocess.Popen([python, str(program)], text=True, stdin=pipe, stdout=pipe)
    atexit.register(server.communicate)  # closes its standard input, so that it ends
    return server


def planned(output):
    """The rules and job counts of a dry-run's table."""
    table = re.search(r"^job +count\n[- ]+\n(.*?)^total", output, re.M | re.S)
    return {} if table is None else {k: int(v) for k, v in re.findall(r"(\w+) +(\d+)", table[1])}


TINY = """
experiment: tiny
directories: {data: own data, results: own results}
datasets: {tiny: {source: image_folder, size: 8, channels: 1, local: pictures}}
networks:
  tiny-resnet-circular:
    {dataset: tiny, architecture: resnet, padding: circular, conditional: true, channels: 4,
     layers: 1, recipe: tiny, checkpoint: trained}
recipes:
  tiny: {epochs: 2, batch_size: 4, learning_rate: 1.0e-3, learning_rate_decay: 1, ema_decay: 0.9,
         precision: float32, seed: 0, snapshots: []}
evaluate: [tiny-resnet-circular]
machines: [is, es, ls, els]
bank: {images: 3, candidates: interior}
engine: dense
sampling: {machine_steps: 4, machine_start: skip_first, network_steps: [4]}
seeds: {evaluation: {first: 0, count: 3, shard_size: 2}, calibration: {first: 50, count: 2}}
calibration: {source: computed, bank_images: 2, patch_sizes: [3, 5]}
"""


def project_with_pictures(folder):
    """A project with a folder of pictures and tiny.yaml, a config about them."""
    copy_project(folder)
    rng = np.random.default_rng(0)
    for name in ("cats", "dogs"):
        (folder / "pictures" / name).mkdir(parents=True)
        for i in range(4):
            picture = Image.fromarray(rng.integers(0, 256, (10, 12), dtype=np.uint8))
            picture.save(folder / "pictures" / name / f"{i}.png")
    (folder / "tiny.yaml").write_text(TINY)
    return folder
