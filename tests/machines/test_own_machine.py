"""Machines of one's own: the Wiener filter of the docs, and files that cannot be used."""

import hashlib
import shutil
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml
from configs import DEFAULT, merged
from projects import ROOT, planned, snakemake

from patchmosaic.machines.own import OwnMachine, probe
from patchmosaic.machines.registry import ordered
from patchmosaic.sampling.samples import load_samples
from patchmosaic.system.records import RecordError
from workflow.checks import ConfigError, validate_config
from workflow.experiment import Experiment

KNOWN = ("is", "es", "ls", "els")  # of the small project
WIENER = ROOT / "docs/own_predictor.py"
WRITTEN = """
import torch

class Mine:
    def __init__(self, images, labels, **settings):
        self.settings = settings

    def posterior_mean(self, x_t, alpha_bar, patch_size, labels):
        return {answer}

build = Mine
"""


def images(count=40, seed=0):
    random = torch.Generator().manual_seed(seed)
    return torch.rand(count, 2, 4, 4, generator=random) * 2 - 1


def written(folder, answer):
    path = folder / "mine.py"
    path.write_text(WRITTEN.format(answer=answer))
    return path


@pytest.mark.parametrize("alpha_bar", [1e-3, 0.5, 0.99])
def test_wiener_filter_of_the_docs_is_the_closed_form(alpha_bar):
    """mu + C (C + sigma^2)^-1 (z - mu), for each label, of fewer images than pixels too."""
    bank, labels = images(), torch.tensor([0] * 30 + [1] * 10)
    x_t = torch.randn(5, 2, 4, 4, generator=torch.Generator().manual_seed(1))
    asked = torch.tensor([0, 1, 1, 0, 1])
    found = OwnMachine(bank, labels, WIENER).posterior_mean(x_t, alpha_bar, None, asked)
    assert found.dtype == torch.float32
    for x, label, mean in zip(x_t.double(), asked, found, strict=True):
        flat = bank[labels == label].flatten(1).double()
        mu, z = flat.mean(0), x.flatten() / alpha_bar**0.5
        covariance = (flat - mu).T @ (flat - mu) / len(flat)
        noise = (1 - alpha_bar) / alpha_bar * torch.eye(32, dtype=torch.float64)
        expected = mu + covariance @ torch.linalg.solve(covariance + noise, z - mu)
        torch.testing.assert_close(mean.flatten().double(), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("labels", [None, torch.arange(40) % 3])
def test_wiener_filter_passes_the_probe(labels):
    machine = OwnMachine(images(), labels, WIENER)
    probe(machine)
    assert "own_predictor.py" in repr(machine)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("exit(3)", r"exits \(3\)"),
        ("1 / 0", "raises ZeroDivisionError: division by zero"),
        ("x_t.numpy()", "gives a ndarray: expected a tensor"),
        ("x_t[:, :1]", r"gives shape \(\d+, 1, 4, 4\) and float32: expected those of x_t"),
        ("x_t.double()", r"gives shape \(\d+, 2, 4, 4\) and float64: expected those of x_t"),
        ("x_t * float('nan')", "gives NaN or infinite values"),
        ("x_t - x_t.mean(0)", "changes with the others of its batch"),
        ("x_t + torch.rand(())", "changes with the others of its batch, or from call to call"),
    ],
)
def test_machines_that_cannot_be_used_are_refused(tmp_path, answer, reason):
    path = written(tmp_path, answer)
    with pytest.raises(RecordError, match=reason) as error:
        probe(OwnMachine(images(), None, path))
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "not readable"),
        ("exit()", "it exits"),
        ("import nowhere", "it raises ModuleNotFoundError: No module named 'nowhere'"),
        ("a b", "it raises SyntaxError"),
        ("x = 1", "there is no function build; it has to define one"),
        ("build = lambda images, labels: 1", "expected an object with a method posterior_mean"),
        ("build = lambda images: 1", r"build\(images, labels, ...\) raises TypeError"),
    ],
)
def test_files_that_cannot_be_run_are_refused(tmp_path, text, reason):
    path = tmp_path / "mine.py"
    if text is not None:
        path.write_text(text)
    with pytest.raises(RecordError, match=reason):
        OwnMachine(images(), None, path)


def test_it_is_given_what_it_needs(tmp_path):
    path = written(tmp_path, "x_t * 0 + self.settings.get('by', 0) + (patch_size or 0) / 100")
    x_t = torch.zeros(1, 2, 4, 4)
    plain = OwnMachine(images(), None, path, settings={"by": 0.5})
    assert plain.machine.settings == {"by": 0.5}
    assert plain.posterior_mean(x_t, 0.5, 3).unique().tolist() == [0.5]
    needs = OwnMachine(images(), None, path, needs=["scales", "boundary"], boundary="circular")
    assert needs.machine.settings == {"boundary": "circular"}
    assert needs.posterior_mean(x_t, 0.5, 3).unique().item() == pytest.approx(0.03)
    with pytest.raises(ValueError, match="patch_size is None"):
        needs.posterior_mean(x_t, 0.5)


def test_another_file_than_was_probed_is_not_run(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("raise SystemError('it was run')")
    with pytest.raises(RecordError, match=r"expected SHA-256 1234, found .* is not run"):
        OwnMachine(images(), None, path, sha256="1234")


def configured(**own):
    return merged(DEFAULT, {"machines": {"is": {}, "els": {}, "mine": own}})


def test_config_names_it_by_its_module():
    config = configured(module=str(WIENER), needs=["scales"], settings={"a": [1]})
    validate_config(config, ROOT / "checkpoints")
    e = Experiment(config, ROOT)
    assert ordered(e.machines) == ["els", "is", "mine"]
    assert e.own_machines == ["mine"]
    assert e.own_machine("mine") == {"needs": ["scales"], "settings": {"a": [1]}}
    assert e.own_machine("els") is None
    assert e.needed_scales("mnist-unet-zeros", "mine")
    files = e.own_machine_files("mnist-unet-zeros", "mine")
    assert files == [WIENER, Path("results/machines/mnist-unet-zeros/mine.json")]


def test_one_that_needs_nothing_runs_once_for_a_bank():
    for needs, owner in (((), "mnist-resnet-zeros"), (("scales",), "mnist-unet-zeros")):
        e = Experiment(configured(module=str(WIENER), needs=list(needs)), ROOT)
        assert e.sampled_as("mnist-unet-zeros", "mine") == owner


@pytest.mark.parametrize(
    ("machines", "message"),
    [
        ({"is": {}, "mine": {}}, "machines.mine: missing key module"),
        ({"is": {}, "mine": {"module": "no.py"}}, "machines.mine.module: there is no file 'no.py'"),
        ({"is": {}, "mine": {"module": "a.txt"}}, "'a.txt' does not end in .py"),
        ({"is": {}, "mine": {"module": "a.py", "need": []}}, "unknown key 'need'"),
        ({"is": {}, "mine": {"module": "a.py", "needs": ["P"]}}, "'P' is not allowed; choose one"),
        ({"is": {}, "mine": {"module": "a.py", "sees": "all"}}, "'all' is not allowed; choose one"),
        (
            {"is": {}, "mine": {"module": str(WIENER), "needs": ["scales"], "sees": "none"}},
            "machines.mine.sees: none, but it needs scales, which see the network",
        ),
        ({"is": {}, "Mine": {"module": "a.py"}}, "'Mine' is no name of a machine"),
        ({"is": {}, "network_1": {"module": "a.py"}}, "'network_1' is no name of a machine"),
        ({"is": {}, "count": {"module": "a.py"}}, "Snakemake keeps this name: choose another"),
        ({"is": {"module": "a.py"}}, "machines.is: unknown key 'module'"),
        ({"els": {}}, "machines: missing key is"),
        (["is", "mine"], "machines[1]: 'mine' is not allowed"),
    ],
)
def test_bad_configs_are_refused(machines, message):
    with pytest.raises(ConfigError) as error:
        validate_config({**DEFAULT, "machines": machines}, ROOT / "checkpoints")
    assert message in str(error.value)


@pytest.fixture(scope="module")
def project(own_run, tmp_path_factory):
    """The finished run of a small project, to which a Wiener filter is added."""
    folder = tmp_path_factory.mktemp("with a predictor")
    shutil.copytree(own_run.folder, folder, dirs_exist_ok=True)
    shutil.copyfile(WIENER, folder / "mine.py")
    added = {name: {} for name in KNOWN} | {"mine": {"module": "mine.py"}}
    (folder / "mine.yaml").write_text(yaml.safe_dump({"machines": added}))
    return folder, ("--configfile", *own_run.configs, "mine.yaml")


TABLE, FIGURE = "own results/tables/headline.csv", "own results/figures/headline.pdf"


@pytest.mark.workflow
def test_it_goes_through_the_workflow_beside_els(project):
    """Only what is new is sampled, and again when the file changes."""
    folder, config = project
    found = planned(snakemake(folder, "-n", TABLE, FIGURE, *config))
    assert found["sample_machine"] == 2  # shards
    assert found["own_machine"] == 1
    assert not {"noise", "bank", "sample_network", "calibrate"} & set(found)
    snakemake(folder, TABLE, FIGURE, *config)
    medians = pd.read_csv(folder / TABLE).set_index("machine")
    assert list(medians.index) == ["els", "ls", "es", "is", "mine"]
    assert medians.at["mine", "seeds"] == 3
    assert (folder / FIGURE).stat().st_size > 0
    digest = hashlib.sha256(WIENER.read_bytes()).hexdigest()
    (shard,) = (folder / "own results/samples").glob("*/mine/000.npz")
    assert load_samples(shard).record["module_sha256"] == digest
    assert planned(snakemake(folder, "-n", TABLE, *config)) == {}
    with (folder / "mine.py").open("a") as file:
        file.write("# changed\n")
    assert planned(snakemake(folder, "-n", TABLE, *config))["sample_machine"] == 2


@pytest.mark.workflow
def test_it_has_a_row_of_the_leaderboard(project):
    """With its settings and the digest of its file, beside machines that were there before."""
    folder, config = project
    (folder / "ranked.yaml").write_text("analyses: [leaderboard]\n")
    table = "own results/tables/leaderboard.csv"
    figure = "own results/figures/leaderboard.png"
    snakemake(folder, table, figure, *config, "ranked.yaml")
    rows = pd.read_csv(folder / table).set_index("machine")
    assert set(rows.index) == {"is", "es", "ls", "els", "mine"}
    assert sorted(rows["rank"]) == [1, 2, 3, 4, 5]
    digest = hashlib.sha256((folder / "mine.py").read_bytes()).hexdigest()
    assert rows.at["mine", "source"] == f"mine.py, SHA-256 {digest}"
    assert rows["sees"].to_dict() == {
        "is": "none",
        "es": "none",
        "mine": "none",
        "ls": "P(t)",
        "els": "P(t)",
    }
    assert (rows["seeds"] == 3).all()
    assert (rows["seconds"] > 0).all()
    page = (folder / "own results/tables/leaderboard.html").read_text()
    assert page.count("<tr>") == 1 + 5
    assert r"\end{tabular}" in (folder / "own results/tables/leaderboard.tex").read_text()


@pytest.mark.workflow
def test_one_that_exits_ends_the_run_before_any_sampling(project):
    folder, config = project
    shutil.rmtree(folder / "own results/samples")
    written(folder, "exit('enough')")
    output = snakemake(folder, TABLE, *config, check=False)
    assert "mine.py: posterior_mean, called with x_t of shape" in output
    assert "exits (enough)" in output
    assert not list((folder / "own results/samples").rglob("*.npz"))
