"""Every snippet of README.md and docs/ works as printed."""

import doctest
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib

import nbclient
import nbformat
import numpy as np
import pytest
import torch
import yaml
from configs import DEFAULT, ROOT, merged

import patchmosaic
from patchmosaic.analysis.agreement import pearson_r
from patchmosaic.datasets.images import Images, load_images, save_images, to_float
from patchmosaic.machines.local import EquivariantLocalScoreMachine
from patchmosaic.networks.checkpoints import load_checkpoint
from patchmosaic.networks.model_files import WEIGHTS
from patchmosaic.sampling.sampler import machine_x0, network_x0, sample, seed_noise
from patchmosaic.sampling.scales import read_scales
from workflow.checks import validate_config

PAGES = sorted(
    path.relative_to(ROOT).as_posix()
    for folder in (".", "docs", "benchmarks", "numbers")
    for path in (ROOT / folder).glob("*.md")
)
BROUGHT = "bring the images"  # what some experiments say where these are not there


def blocks(language):
    """(page, text) of each snippet in this language."""
    return [
        (page, text)
        for page in PAGES
        for text in re.findall(rf"```{language}\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    ]


def test_every_snippet_is_in_a_language_that_is_checked():
    texts = "\n".join((ROOT / page).read_text() for page in PAGES)
    fences = re.findall(r"^```(\w*)$", texts, re.MULTILINE)
    assert set(fences) == {"", "python", "sh", "yaml", "mermaid"}
    opened = [language for language in fences if language]
    assert len(opened) == fences.count("")


@pytest.mark.parametrize("page", sorted({page for page, _ in blocks("python")}))
def test_python_runs_as_printed(page, tmp_path, monkeypatch):
    """All snippets of a page, in their order, with no other names and in an empty folder."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    names = {"__name__": "__main__"}
    for where, text in blocks("python"):
        if where == page:
            exec(compile(text, page, "exec"), names)
    if page == "README.md":
        assert names["mean"].shape == names["score"].shape == names["x_t"].shape
        expected = (0.5**0.5 * names["mean"] - names["x_t"]) / 0.5
        torch.testing.assert_close(names["score"], expected)


def test_the_package_s_docstring_is_a_tour():
    found = doctest.testmod(patchmosaic, verbose=False)
    assert found.failed == 0
    assert found.attempted > 10
    rooms = {
        path.name for path in (ROOT / "patchmosaic").iterdir() if (path / "__init__.py").exists()
    }
    assert {room for room in rooms if room not in patchmosaic.__doc__} == set()


def inline():
    """(page, text) of each command of snakemake within a line, where the configs it names exist."""
    for page in PAGES:
        prose = re.sub(r"```.*?```", "", (ROOT / page).read_text(), flags=re.DOTALL)
        for text in re.findall(r"`(snakemake [^`]+)`", prose):
            configs = re.findall(r"\S+\.yaml", text)
            if "--unlock" not in text and all((ROOT / name).is_file() for name in configs):
                yield page, " ".join(text.split())


def commands():
    """(page, words) of each shell command, continued lines joined and comments left out."""
    for page, text in [*blocks("sh"), *inline()]:
        for line in text.replace("\\\n", " ").splitlines():
            if words := shlex.split(line, comments=True):
                yield page, words


def dry_run(lists):
    """What snakemake says to each list of arguments when it only plans; one process for all."""
    code = "import json, sys\nfrom snakemake.cli import main\n"
    code += "for arguments in json.loads(sys.argv[1]):\n"
    code += "    print('>>>', flush=True)\n"
    code += "    try:\n        main([*arguments, '--dry-run', '--quiet'])\n"
    code += "    except SystemExit as end:\n        print('exit', end.code, flush=True)\n"
    result = subprocess.run(
        [sys.executable, "-c", code, json.dumps(lists)],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    return result.stdout.split(">>>\n")[1:]


def without_executor(words):
    """Arguments that no plan depends on, of an executor that is not installed, left out."""
    elsewhere = {
        "--executor": 1,
        "--container-image": 1,
        "--kubernetes-persistent-volumes": 1,
        "--directory": 1,
        "--workflow-profile": 1,
    }
    kept, skip = [], 0
    for word in words:
        if skip:
            skip -= 1
        elif word in elsewhere:
            skip = elsewhere[word]
        else:
            kept.append(word)
    return kept


@pytest.mark.slow
def test_snakemake_commands_plan_what_they_name():
    lists = [words[1:] for _, words in commands() if words[0] == "snakemake"]
    assert len(lists) > 10
    for words in lists:
        for name in re.findall(r"config/\w+\.yaml|docs/\w+\.yaml", " ".join(words)):
            assert (ROOT / name).is_file(), name
        if "--workflow-profile" in words:
            profile = words[words.index("--workflow-profile") + 1]
            assert (ROOT / profile / "config.yaml").is_file()
    unique = [list(words) for words in dict.fromkeys(map(tuple, map(without_executor, lists)))]
    said = dry_run(unique)
    assert len(said) == len(unique)
    for words, text in zip(unique, said, strict=True):
        assert "exit 0" in text or may_fail(words, text), f"{words}\n{text}"


def may_fail(words, text):
    """Only where the page says that images, or a network of one's own, must be there first."""
    brings = ("config/paper_width.yaml", "config/celeba.yaml", "config/photographs.yaml")
    if any(word.endswith(brings) for word in words):
        return BROUGHT in text
    return "docs/own_network.yaml" in words and "data/own_network.safetensors" in text


def test_make_commands_are_known_to_make():
    lines = {" ".join(words) for _, words in commands() if words[0] == "make"}
    assert {"make reproduce", "make test"} <= lines
    for line in sorted(lines):
        result = subprocess.run(
            [*shlex.split(line), "--dry-run"], cwd=ROOT, capture_output=True, text=True
        )
        assert result.returncode == 0, f"{line}\n{result.stderr}"


def test_other_commands_name_what_is_there():
    """Programs of the project, tests, requirements: whatever else a page tells to type."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for page, words in commands():
        first, *rest = words
        if first in ("snakemake", "make"):
            continue
        if words[:3] == ["python", "-m", "pytest"]:
            *_, path = [word for word in rest[2:] if word.startswith("tests")]
            assert (ROOT / path).exists(), f"{page}: {words}"
            if "-k" in words:
                assert words[words.index("-k") + 1] in (ROOT / path).read_text()
        elif first == "python":
            program = (ROOT / rest[0]).read_text()
            compile(program, rest[0], "exec")
            for option in (word for word in rest[1:] if word.startswith("--")):
                assert option in program, f"{page}: {words}"
        elif words[:2] == ["pip", "install"]:
            for word in rest[1:]:
                if extra := re.fullmatch(r"\.\[([\w,]+)\]", word):
                    assert set(extra[1].split(",")) <= set(extras["optional-dependencies"])
                elif word.endswith(".txt"):
                    assert (ROOT / word).is_file()
                else:
                    assert re.fullmatch(r"-[\w-]+|\.|[\w-]+", word), f"{page}: {words}"
        elif first == "source":
            assert rest == [".venv/bin/activate"]
        else:
            pytest.fail(f"{page}: nothing checks {shlex.join(words)}")


@pytest.mark.parametrize("page", sorted({page for page, _ in blocks("yaml")}))
def test_settings_are_valid(page, tmp_path, monkeypatch):
    """All of a page together, over config.yaml, where the folders that it names are there."""
    monkeypatch.chdir(tmp_path)
    for folder in ("folder", "images", "model"):
        (tmp_path / "path/to" / folder).mkdir(parents=True)
    for name in ("config.json", "scheduler_config.json", f"{WEIGHTS}.safetensors"):
        (tmp_path / "path/to/model" / name).touch()
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    config = DEFAULT
    for where, text in blocks("yaml"):
        if where == page:
            config = merged(config, yaml.safe_load(text))
    assert config != DEFAULT
    validate_config(config, ROOT / "checkpoints")


@pytest.mark.slow
def test_the_tour_runs(tmp_path):
    """In a notebook's own backend, with images in MNIST's place; it has no outputs in the clone."""
    notebook = nbformat.read(ROOT / "docs/tour.ipynb", as_version=4)
    cells = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in cells)
    (tmp_path / "docs").mkdir()
    (tmp_path / "checkpoints").symlink_to(ROOT / "checkpoints")
    prepared = tmp_path / "data/prepared/mnist-32-train.npz"
    prepared.parent.mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 2, (60, 1, 4, 4), dtype=np.uint8) * 255
    shapes = pixels.repeat(8, axis=2).repeat(8, axis=3)
    save_images(prepared, Images(shapes, None, np.arange(60)))
    environment = {"MPLBACKEND": "module://matplotlib_inline.backend_inline"}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        client = nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3")
        client.execute(cwd=tmp_path / "docs")
    pictures = [
        output for cell in cells for output in cell.outputs if "image/png" in output.get("data", {})
    ]
    assert len(pictures) == 3
    [said] = [output.text for output in cells[-1].outputs if output.output_type == "stream"]
    network, _ = load_checkpoint(ROOT / "checkpoints/mnist-resnet-zeros.safetensors")
    scales = read_scales(ROOT / "checkpoints/mnist-resnet-zeros.scales.csv")
    bank = to_float(load_images(prepared))
    machine = EquivariantLocalScoreMachine(bank, boundary="zeros", engine="exact")
    noise = seed_noise([0, 1, 2], (1, 32, 32))
    drawn = sample(network_x0(network, None), noise, steps=20)
    predicted = sample(machine_x0(machine, None, scales), noise, steps=20)
    r = [float(number) for number in re.findall(r"-?\d\.\d+", said)]
    assert r == pytest.approx(pearson_r(predicted, drawn), abs=2e-3)
