"""Write envs/*.yaml: what the workflow needs as constraints.txt pins it, and of PyPI the article.

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


KINDS = ("cpu", "gpu", "article")


def name_of(requirement: str) -> str:
    """The distribution that a line of pyproject.toml asks for."""
    return normal(re.split(r"[<>=!~\[ ]", requirement)[0])


def environment(kind: str) -> str:
    """The text of envs/<kind>.yaml; that of the article is the cpu's, and Typst from PyPI."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    needed = project["dependencies"] + project["optional-dependencies"]["workflow"]
    names = sorted(map(name_of, needed))
    conda = CONDA_NAMES | {"torch": "pytorch-gpu" if kind == "gpu" else "pytorch-cpu"}
    python = project["requires-python"].removeprefix(">=")
    lines = [f"{conda.get(name, name)}={pins()[name]}" for name in names]
    lines = [f"python={python}", "pip", "c-compiler", *lines]
    head = (
        f"# conda env create -f envs/{kind}.yaml && conda activate patchmosaic "
        "&& pip install --no-deps -e .\n"
        "# Written by tools/conda_environments.py.\n"
        "name: patchmosaic\nchannels: [conda-forge, bioconda]\ndependencies:\n"
    )
    if kind == "article":
        extra = map(name_of, project["optional-dependencies"]["article"])
        lines.append("pip:" + "".join(f"\n      - {name}=={pins()[name]}" for name in extra))
    return head + "".join(f"  - {line}\n" for line in lines)


if __name__ == "__main__":
    for kind in KINDS:
        (ROOT / f"envs/{kind}.yaml").write_text(environment(kind))
