"""Write envs/cpu.yaml and envs/gpu.yaml: the workflow's needs as constraints.txt pins them.

python tools/conda_environments.py
"""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
CONDA_NAMES = {  # of what conda splits or names differently
    "matplotlib": "matplotlib-base",
    "seaborn": "seaborn-base",
    "snakemake": "snakemake-minimal",
}


def normal(name: str) -> str:
    """A distribution's name in the small letters and hyphens that names are compared in."""
    return re.sub(r"[-_.]+", "-", name).lower()


def pins() -> dict[str, str]:
    """The version of each distribution in constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text().split()
    return {normal(name): version for name, version in (line.split("==") for line in lines)}


def environment(kind: str) -> str:
    """The text of envs/<kind>.yaml, kind being "cpu" or "gpu"."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = project["dependencies"] + project["optional-dependencies"]["workflow"]
    names = sorted(normal(re.split(r"[<>=!~\[ ]", line)[0]) for line in needed)
    conda = CONDA_NAMES | {"torch": f"pytorch-{kind}"}
    python = project["requires-python"].removeprefix(">=")
    lines = [f"{conda.get(name, name)}={pins()[name]}" for name in names]
    lines = [f"python={python}", "pip", "c-compiler", *lines]
    head = (
        f"# conda env create -f envs/{kind}.yaml && conda activate patchmosaic "
        "&& pip install --no-deps -e .\n"
        "# Written by tools/conda_environments.py.\n"
        "name: patchmosaic\nchannels: [conda-forge, bioconda]\ndependencies:\n"
    )
    return head + "".join(f"  - {line}\n" for line in lines)


if __name__ == "__main__":
    for kind in ("cpu", "gpu"):
        (ROOT / f"envs/{kind}.yaml").write_text(environment(kind))
