"""Settings of all tests, made before anything imports Triton, and a run that several files ask."""

import os
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
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


@pytest.fixture(scope="session")
def own_run(tmp_path_factory):
    """On two cores, by the adaptive engine, in a folder with spaces and more in its path.

    The user has settings of Matplotlib that no figure may depend on.
    """
    folder = project_with_pictures(tmp_path_factory.mktemp("own images, é"))
    (folder / "fast.yaml").write_text("engine: adaptive\nadaptive: {tolerance: 0.01}\n")
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    before = files_below(folder)
    for name in ELSEWHERE:
        (elsewhere / name).mkdir()
    places = {name: str(elsewhere / name) for name in ELSEWHERE}
    settings = tmp_path_factory.mktemp("settings") / "matplotlibrc"
    settings.write_text("text.usetex: True\nfont.size: 30\nsavefig.transparent: True\n")
    places |= {"MATPLOTLIBRC": str(settings), "MPLBACKEND": "of a notebook"}
    configs = ("tiny.yaml", "fast.yaml")
    snakemake(folder, "--configfile", *configs, **places)
    return OwnRun(folder, configs, files_below(folder) - before, files_below(elsewhere))


def files_below(folder):
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if not p.is_dir()}
