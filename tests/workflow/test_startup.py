"""Jobs start quickly: none imports a large library that it does not use.

Most jobs of an experiment are figures and tables that take less time than it takes to import torch.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FIGURES = {f"figure_{path.stem}": path for path in ROOT.glob("patchmosaic/figures/*.py")}
PATHS = {path.stem: path for room in ("scripts/*/*.py", "tools/*.py") for path in ROOT.glob(room)}
PATHS |= FIGURES  # of which a job of scripts/figures/draw.py imports its own
SCRIPTS = set(PATHS)
DRAWING = {*FIGURES, "draw"}
WITH_TORCH = {  # they run machines or networks, or read what is kept as tensors
    "calibrate",
    "check_engine",
    "consistency",
    "convert_edm",
    "diffusers_checkpoint",
    "distill",
    "edm_checkpoint",
    "explorer_data",
    "external_checkpoint",
    "figure_denoising",
    "figure_mosaics",
    "figure_patch_origins",
    "gradients",
    "jacobians",
    "learning_curve",
    "nearest_patches",
    "noise",
    "novelty",
    "published_checkpoint",
    "own_machine",
    "sample_machine",
    "sample_network",
    "scales",
    "steps",
    "train",
    "training",
    "trajectories",
    "trajectory_tables",
}
WITHOUT_TABLES = {
    "bank",
    "download",
    "manifest",
    "package_network",
    "packaged_checkpoint",
    "packaged_scales",
    "packaged_snapshots",
    "prepare",
    "verify",
}
IMPORT = """
import json, runpy, sys
libraries, *paths = sys.argv[1:]
first = {}
for path in paths:
    runpy.run_path(path, run_name="imported")
    for library in libraries.split():
        if library in sys.modules:
            first.setdefault(library, path)
print(json.dumps(first))
"""


def imported(libraries, paths):
    """Which of the libraries the files import, each with the first file that does."""
    done = subprocess.run(
        [sys.executable, "-c", IMPORT, " ".join(libraries), *map(str, paths)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, (ROOT, ROOT / "tools")))},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def files(scripts):
    return [PATHS[name] for name in sorted(scripts)]


@pytest.mark.slow
def test_libraries_that_are_imported_are_noticed():
    found = imported(["torch", "scipy"], files({"headline_check", "noise", "train"}))
    assert found == {"torch": str(ROOT / "scripts/sample/noise.py")}


@pytest.mark.parametrize(
    ("libraries", "scripts"),
    [
        (["torch"], SCRIPTS - WITH_TORCH),
        (["scipy", "seaborn", "matplotlib.pyplot"], SCRIPTS),
        (["matplotlib"], SCRIPTS - WITH_TORCH - DRAWING),
        (["pandas"], WITHOUT_TABLES),
    ],
    ids=["torch", "drawing_and_statistics", "matplotlib", "pandas"],
)
@pytest.mark.slow
def test_scripts_import_only_what_they_use(libraries, scripts):
    assert imported(libraries, files(scripts)) == {}


def test_reading_the_workflow_takes_no_large_library():
    """Its imports: those of workflow/rules/common.smk."""
    paths = [*ROOT.glob("workflow/*.py"), ROOT / "patchmosaic/publish/manifest.py"]
    assert len(paths) > 5
    assert imported(["torch", "pandas", "matplotlib", "scipy"], paths) == {}
