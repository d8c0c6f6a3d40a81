"""Settings of all tests, made before anything imports Triton, and a run that several files ask."""

import json
import os
from pathlib import Path
from typing import NamedTuple

# Waiting threads sleep, for tests run side by side; torch reads it, here and in jobs.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# A copy of the project is compiled once, not by each of its jobs.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

import pytest
import torch
from filelock import FileLock
from projects import project_with_pictures, snakemake

torch.set_num_threads(1)  # a test: the tensors are small, and waiting for threads costs more
if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")  # read when Triton is imported

ELSEWHERE = ("HOME", "XDG_CACHE_HOME", "TMPDIR")


class OwnRun(NamedTuple):
    """A project about somebody's own images in which all has been run, for tests to look at.

    ``left`` are the files that the run left in it, ``left_elsewhere`` those where ELSEWHERE points.
    """

    folder: Path
    configs: tuple[str, str]
    left: set[str]
    left_elsewhere: set[str]


def pytest_collection_modifyitems(items):
    """Files with runs of the workflow first: they take longest, and others fill the gaps."""
    runs = {item.path for item in items if item.get_closest_marker("workflow")}
    items.sort(key=lambda item: (item.path not in runs, item.path.name * (item.path in runs)))


@pytest.fixture(scope="session")
def own_run(tmp_path_factory, worker_id):
    """On two cores, by the adaptive engine, in a folder with spaces and more in its path.

    The user has settings of Matplotlib that no figure may depend on. The run is made once, by the
    first of the processes that run tests side by side.
    """
    shared = tmp_path_factory.getbasetemp()
    shared = shared if worker_id == "master" else shared.parent
    folder, elsewhere = shared / "own images, é", shared / "elsewhere"
    left = shared / "own_run.json"
    configs = ("tiny.yaml", "fast.yaml")
    with FileLock(shared / "own_run.lock"):
        if not left.exists():
            folder.mkdir()
            project_with_pictures(folder)
            (folder / "fast.yaml").write_text("engine: adaptive\nadaptive: {tolerance: 0.01}\n")
            before = files_below(folder)
            places = {name: str(elsewhere / name) for name in ELSEWHERE}
            for place in places.values():
                Path(place).mkdir(parents=True)
            settings = shared / "matplotlibrc"
            settings.write_text("text.usetex: True\nfont.size: 30\nsavefig.transparent: True\n")
            places |= {"MATPLOTLIBRC": str(settings), "MPLBACKEND": "of a notebook"}
            snakemake(folder, "--configfile", *configs, cores=2, **places)
            found = [sorted(files_below(folder) - before), sorted(files_below(elsewhere))]
            left.write_text(json.dumps(found))
    return OwnRun(folder, configs, *map(set, json.loads(left.read_text())))


def files_below(folder):
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if not p.is_dir()}
