"""Own networks: asked as ours are, whatever they predict and however they tell the time."""

import hashlib
import json
import math
import os
import runpy
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from configs import DEFAULT, merged, read
from projects import ROOT, planned, snakemake
from safetensors.torch import save_file
from torch import nn

from patchmosaic.networks.checkpoints import load_checkpoint, save_checkpoint
from patchmosaic.networks.edm import Preconditioned
from patchmosaic.networks.edm_header import KEY
from patchmosaic.networks.external import (
    ExternalNetwork,
    Running,
    flow_input,
    flow_time,
    implied_noise,
    load_external,
)
from patchmosaic.networks.probing import (
    PROBE_TIMES,
    better_declaration,
    compare_declarations,
    examine,
    probe,
)
from patchmosaic.sampling.sampler import network_x0, sample, seed_noise
from patchmosaic.sampling.samples import load_samples
from patchmosaic.sampling.schedule import alpha_bar
from patchmosaic.system.records import RecordError
from workflow.checks import validate_config

PREDICTIONS = ("noise", "score", "x0", "v")  # of x_t itself; a flow has tests of its own

OF_ANOTHER_KIND = '''
"""One of our ResNets, as if it told the time by the log of signal to noise and predicted {what}."""

import math

import torch

from patchmosaic.networks.config import NetworkConfig
from patchmosaic.networks.resnet import ResNet


class OfAnotherKind(ResNet):
    def forward(self, x_t, time, labels=None):
        a_bar = torch.sigmoid(time.double())
        t = torch.acos(a_bar.sqrt()) * 1.008 * 2 / math.pi
        noise = super().forward(x_t, t.float(), labels)
        signal, sigma = (v.sqrt().float()[:, None, None, None] for v in (a_bar, 1 - a_bar))
        x0 = (x_t - sigma * noise) / signal
        return {{
            "noise": noise, "score": -noise / sigma, "x0": x0, "v": signal * noise - sigma * x0
        }}["{what}"]


def build():
    return OfAnotherKind(NetworkConfig("resnet", {config}))


def time_of(alpha_bar):
    return math.log(alpha_bar / (1 - alpha_bar))
'''


@pytest.mark.parametrize("predicts", PREDICTIONS)
def test_every_prediction_implies_the_noise(predicts):
    a_bar = torch.tensor([0.9, 0.5, 1e-3], dtype=torch.float64)
    signal, sigma = (v.sqrt()[:, None, None, None] for v in (a_bar, 1 - a_bar))
    x_0, noise = torch.randn(2, 3, 1, 4, 4, dtype=torch.float64)
    x_t = signal * x_0 + sigma * noise
    found = {
        "noise": noise,
        "score": -(x_t - signal * x_0) / sigma**2,  # of the Gaussian around x_0
        "x0": x_0,
        "v": signal * noise - sigma * x_0,
    }[predicts]
    torch.testing.assert_close(implied_noise(predicts, found, x_t, a_bar), noise)


@pytest.mark.parametrize("predicts", PREDICTIONS)
def test_network_of_another_kind_draws_the_same_images(predicts, tmp_path):
    """A packaged network, disguised: another time, another prediction."""
    weights = ROOT / "checkpoints/mnist-resnet-zeros.safetensors"
    module = tmp_path / "mine.py"
    module.write_text(OF_ANOTHER_KIND.format(what=predicts, config="channels=64"))
    own, packaged = load_external(module, weights, predicts), load_checkpoint(weights)[0]
    assert not own.training
    seeds = seed_noise([0, 1], (1, 32, 32))
    images = [sample(network_x0(network, None), seeds, 5) for network in (own, packaged)]
    assert images[1].abs().max() > 0.5
    torch.testing.assert_close(*images, rtol=0, atol=1e-3)


def test_variance_exploding_network_rescales_its_input():
    """As docs/own_network.md says: one that finds the noise in x_0 plus sigma times noise."""
    image = torch.linspace(-1, 1, 16).view(1, 1, 4, 4)

    class Exploding(nn.Module):
        def forward(self, x_t, sigma):
            sigma = sigma[:, None, None, None]
            x = x_t * (1 + sigma**2).sqrt()
            return (x - image) / sigma

    network = ExternalNetwork(
        Exploding(), lambda a_bar: math.sqrt((1 - a_bar) / a_bar), "noise", Path("mine.py")
    )
    t, noise = 0.3, torch.randn(2, 1, 4, 4)
    x_t = math.sqrt(alpha_bar(t)) * image + math.sqrt(1 - alpha_bar(t)) * noise
    torch.testing.assert_close(network(x_t, torch.full((2,), t)), noise, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        (int, torch.int64),
        (np.int32, torch.int64),
        (float, torch.float32),
        (np.float64, torch.float32),
    ],
)
def test_times_are_of_the_type_that_time_of_gives(kind, dtype):
    asked = []

    class Listening(nn.Module):
        def forward(self, x_t, time, *labels):
            asked.append((time, labels))
            return x_t

    network = ExternalNetwork(
        Listening(), lambda a_bar: kind(1000 * a_bar), "noise", Path("mine.py")
    )
    labels = torch.tensor([1, 0])
    network(torch.zeros(2, 1, 2, 2), torch.tensor([0.5, 0.25]), labels)
    ((time, given),) = asked
    assert time.dtype == dtype
    expected = [kind(1000 * alpha_bar(t)) for t in (0.5, 0.25)]
    torch.testing.assert_close(time, torch.tensor(expected), check_dtype=False)
    assert given == (labels,)


# ---------------------------------------------------------------------------- what is refused


SMALL = """
import math
import torch
from torch import nn


class Small(nn.Module):
    def __init__(self):
        super().__init__()
        self.factor = nn.Parameter(torch.zeros(()))

    def forward(self, x_t, time):
        return self.factor * x_t


def build():
    return Small()


def time_of(alpha_bar):
    return 1 - alpha_bar
"""
RESULT = "return self.factor * x_t"
TIME = "return 1 - alpha_bar"


def written(folder, replace=("", ""), factor=1.0):
    """The files of a small own network that predicts ``factor`` x_t, with a part replaced."""
    module, weights = folder / "mine.py", folder / "mine.safetensors"
    assert replace[0] in SMALL
    module.write_text(SMALL.replace(*replace) if replace[0] else SMALL)
    save_file({"factor": torch.tensor(factor)}, weights)
    return module, weights


def asked(module, weights):
    """The errors of the small network where all images are gray."""
    return probe(load_external(module, weights, "noise"), torch.zeros(4, 1, 6, 6), None)


def test_errors_of_the_predicted_noise(tmp_path):
    """Of gray images x_t is sigma z; a network that says x_t is wrong by (1 - sigma) z."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        errors = asked(*written(tmp_path))
    assert list(errors) == list(PROBE_TIMES)
    noise = torch.randn(4, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    for t, error in errors.items():
        wrong = 1 - math.sqrt(1 - alpha_bar(t))
        assert error == pytest.approx(wrong**2 * float(noise.square().mean()), rel=1e-4, abs=1e-9)


def test_network_worse_than_no_prediction_is_warned_of(tmp_path):
    module, weights = written(tmp_path, factor=-1.0)
    with pytest.warns(UserWarning, match=r"mine\.py: .* at t = 1, .* Are predicts, time_of"):
        asked(module, weights)


@pytest.mark.parametrize(
    ("replace", "message"),
    [
        (("import math", "import maths"), "mine.py: it raises ModuleNotFoundError"),
        (("import math", "import math)"), "mine.py: it raises SyntaxError"),
        (("def build", "def built"), "mine.py: there is no function build"),
        (("def time_of", "time_of = 3\n\ndef other"), "mine.py: there is no function time_of"),
        (("return Small()", "return None"), "build() gives a NoneType: expected a torch.nn.Mod"),
        (("return Small()", "return Small"), "build() gives a type: expected"),
        (("return Small()", "return Small(3)"), "mine.py: build() raises TypeError"),
        (("self.factor", "self.other"), "mine.safetensors: the weights do not fit build()"),
        (("torch.zeros(())", "torch.zeros(2)"), "mine.safetensors: the weights do not fit build()"),
        ((TIME, "return None"), "gives None: expected a finite number"),
        ((TIME, "return math.inf"), "gives inf: expected a finite number"),
        ((TIME, "return torch.tensor(1.0)"), "gives tensor(1.): expected a finite number"),
        ((TIME, "return math.log(alpha_bar - 0.5)"), ") raises ValueError"),
        ((TIME, "return 3"), "mine.py: time_of goes from 3 at alpha_bar = "),
        ((TIME, "return abs(alpha_bar - 0.5)"), "is not monotone between"),
        ((RESULT, "return x_t[:, :, 1:]"), "gives shape (4, 1, 5, 6) and float32 for x_t of shape"),
        ((RESULT, "return x_t.double()"), "and float64 for x_t of shape (4, 1, 6, 6) and float32"),
        ((RESULT, "return x_t, None"), "the module gives a tuple: expected a tensor"),
        ((RESULT, "return x_t / 0"), "at t = 1 the prediction is not finite"),
        ((RESULT, "return 1 / 0"), "(4, 1, 6, 6) and float32, raises ZeroDivisionError"),
        ((RESULT, "return nn.functional.dropout(x_t)"), "is not that of the same image among"),
        ((RESULT, "return x_t - x_t.mean(0)"), "is not that of the same image among others"),
        ((RESULT, "return x_t.detach()"), "the prediction has no gradient to x_t"),
        (("x_t, time)", "x_t)"), "raises TypeError"),
    ],
)
def test_unusable_networks_are_refused_by_name(replace, message, tmp_path):
    module, weights = written(tmp_path, replace)
    with pytest.raises(RecordError) as error:
        asked(module, weights)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_labels_go_to_networks_that_take_them(tmp_path):
    network = load_external(*written(tmp_path), "noise")
    with pytest.raises(RecordError, match="raises TypeError"):
        probe(network, torch.zeros(2, 1, 6, 6), torch.tensor([0, 1]))


def test_unknown_prediction_is_refused(tmp_path):
    with pytest.raises(RecordError, match="predicts is 'x_0': choose one of noise, score, x0"):
        load_external(*written(tmp_path), "x_0")


def test_annotations_are_those_of_the_file(tmp_path):
    """Its own __future__ flags, not this package's: types of dataclass fields are types."""
    typed = ("import math", "import math\nfrom dataclasses import dataclass, fields")
    module, weights = written(tmp_path, typed)
    config = "@dataclass\nclass Config:\n    width: int = 1\n\n\ndef build"
    cast = "return [f.type(1) for f in fields(Config)] and Small()"
    module.write_text(
        module.read_text().replace("def build", config).replace("return Small()", cast)
    )
    assert load_external(module, weights, "noise").predicts == "noise"


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "ema_model.", "model.diffusion."])
def test_a_prefix_of_all_names_is_told_in_one_line(prefix, tmp_path):
    module, weights = written(tmp_path)
    save_file({f"{prefix}factor": torch.tensor(1.0)}, weights)
    with pytest.raises(RecordError, match=f"all names begin with '{prefix}' and would fit without"):
        load_external(module, weights, "noise")
    state = {f"{prefix}factor": torch.tensor(1.0), "step": torch.tensor(9.0)}
    save_file(state, weights)
    with pytest.raises(RecordError, match=f"1 of 2 names begin with '{prefix}' and would fit"):
        load_external(module, weights, "noise")


def test_learned_variance_is_told(tmp_path):
    doubled = (RESULT, "return torch.cat([x_t, x_t], 1)")
    with pytest.raises(RecordError, match=r"expected the same; of a learned variance, return the"):
        asked(*written(tmp_path, doubled))


def test_rounding_of_half_precision_is_called_so(tmp_path):
    """A module that casts within, whose rounding depends on the batch."""
    casts = "h = (self.factor * x_t * (1 + 0.02 * (len(x_t) > 1))).bfloat16()\n        "
    module, weights = written(tmp_path, (RESULT, casts + "return h.float()"))
    with pytest.warns(
        UserWarning, match=r"changes by [12]\.\d% with .* rounding of half precision"
    ):
        asked(module, weights)
    without = (RESULT, "return self.factor * x_t * (1 + 0.02 * (len(x_t) > 1))")
    with pytest.raises(RecordError, match="nothing may be random"):
        asked(*written(tmp_path, without))


# ---------------------------------------------------------------------------- flows


@pytest.mark.parametrize("direction", ["to_noise", "to_image"])
def test_the_velocity_of_a_flow_implies_the_noise(direction):
    a_bar = torch.tensor([0.9, 0.5, 1e-3], dtype=torch.float64)
    x_0, noise = torch.randn(2, 3, 1, 4, 4, dtype=torch.float64)
    x_t = a_bar.sqrt()[:, None, None, None] * x_0
    x_t = x_t + (1 - a_bar).sqrt()[:, None, None, None] * noise
    s = flow_time(a_bar)[:, None, None, None]
    torch.testing.assert_close(flow_input(x_t, a_bar), (1 - s) * x_0 + s * noise)
    torch.testing.assert_close(((1 - s) / s) ** 2, (a_bar / (1 - a_bar))[:, None, None, None])
    velocity = noise - x_0 if direction == "to_noise" else x_0 - noise
    torch.testing.assert_close(implied_noise("flow", velocity, x_t, a_bar, direction), noise)


@pytest.mark.parametrize("direction", ["to_noise", "to_image"])
def test_a_flow_without_time_of_is_asked_at_its_own_time(direction, tmp_path):
    """The exact velocity towards one image, zero: x / s to the noise, by the time that is told."""
    to_noise = direction == "to_noise"
    result = "s = (time if TO else 1 - time)[:, None, None, None]\n        "
    result += "return (1 if TO else -1) * x_t / s"
    module, weights = written(tmp_path, (RESULT, result.replace("TO", str(to_noise))))
    module.write_text(module.read_text().replace("def time_of", "def _"))
    network = load_external(module, weights, "flow", direction=direction)
    noise = torch.randn(3, 1, 4, 4)
    t = torch.tensor([0.9, 0.5, 0.1])
    x_t = (1 - alpha_bar(t)).sqrt()[:, None, None, None] * noise
    torch.testing.assert_close(network(x_t, t), noise)
    with pytest.raises(RecordError, match="a flow needs one of to_noise, to_image"):
        load_external(module, weights, "flow")


def test_running_in_batches_and_in_half_precision(tmp_path):
    weights = ROOT / "checkpoints/mnist-resnet-zeros.safetensors"
    module = tmp_path / "mine.py"
    module.write_text(OF_ANOTHER_KIND.format(what="noise", config="channels=64"))
    x_t = seed_noise([0, 1, 2], (1, 32, 32))
    t = torch.full((3,), 0.5)
    found = []
    for running in (Running(), Running(batch=2), Running(precision="bfloat16")):
        network = load_external(module, weights, "noise", running=running)
        with torch.no_grad():
            found.append(network(x_t, t))
    torch.testing.assert_close(found[0], found[1], rtol=1e-4, atol=1e-4)
    error = (found[0] - found[2]).square().mean().sqrt()
    assert found[2].dtype == torch.float32
    assert 1e-4 < error < 2e-2, "half precision was used, and is near"
    there = load_external(module, weights, "noise").to("meta")  # a device without values
    asked = there.ask(x_t.to("meta"), torch.zeros(3, device="meta"), None)
    assert asked.device.type == "meta", "asked where it was moved to"
    stays = load_external(module, weights, "noise", running=Running("cpu")).to("meta")
    with torch.no_grad():
        torch.testing.assert_close(stays(x_t, t), found[0])
    with pytest.raises(RecordError, match="device is 'cuda:77', which is not on this machine"):
        load_external(module, weights, "noise", running=Running("cuda:77"))


# ---------------------------------------------------------------------------- declarations


class PosteriorMean(nn.Module):
    """The exact noise of a bank of images, told the time as alpha_bar."""

    def __init__(self, bank):
        super().__init__()
        self.bank = nn.Parameter(bank.flatten(1))

    def forward(self, x_t, time):
        a, x = time.double()[:, None], x_t.flatten(1).double()
        far = (x[:, None] - a.sqrt()[:, None] * self.bank.double()).square().sum(2)
        mean = (-far / (1 - a) / 2).softmax(1) @ self.bank.double()
        return ((x - a.sqrt() * mean) / (1 - a).sqrt()).view_as(x_t).float()


@pytest.fixture(scope="module")
def bank():
    return torch.rand(64, 1, 8, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1


@pytest.mark.parametrize(
    ("predicts", "time", "named"),
    [
        ("noise", lambda a: a, None),
        ("v", lambda a: a, "predicts: noise"),
        ("x0", lambda a: a, "predicts: noise"),
        ("noise", math.sqrt, "time: declared, squared"),
        ("noise", lambda a: 1 - a, "time: declared, reversed"),
        ("noise", lambda a: a / 1000, "time: declared x 1000"),
        ("noise", lambda a: math.cos((1 - a) * math.pi / 2), "time: alpha_bar"),
        ("score", math.sqrt, "predicts: noise, time: declared, squared"),
    ],
)
@pytest.mark.slow
def test_a_wrong_declaration_is_found_and_a_right_one_is_not(predicts, time, named, bank):
    network = ExternalNetwork(PosteriorMean(bank), time, predicts, Path("mine.py"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = examine(network, bank[:8], None)
    assert len(found["declarations"]["tried"]) > 100
    best = better_declaration(compare_declarations(network, bank[:8], None))
    if named is None:
        assert best is None
        return
    with pytest.warns(UserWarning, match=f"mine.py: as declared, .* with {named} it is"):
        examine(network, bank[:8], None)


class Harmful:
    def __reduce__(self):
        return (pytest.fail, ("unpickled",))


def test_pickles_are_not_loaded(tmp_path):
    module, weights = written(tmp_path)
    torch.save({"factor": Harmful()}, weights)
    with pytest.raises(RecordError, match=r"mine\.safetensors: not readable as safetensors"):
        load_external(module, weights, "noise")


@pytest.fixture
def brought_in(tmp_path):
    """Weights and record of an own network; beside them its Python file, which leaves a mark."""
    mark = ("import math", f"import math\nopen({str(tmp_path / 'ran')!r}, 'w').close()")
    module, weights = written(tmp_path, mark)
    load_external(module, weights, "noise")
    own = {"module_sha256": digest_of(module), "predicts": "noise"}
    save_checkpoint(weights, {"factor": torch.ones(())}, {"external": own})
    assert (tmp_path / "ran").exists()
    (tmp_path / "ran").unlink()
    return module, weights


def digest_of(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_code_beside_weights_is_not_run(brought_in):
    """Only the file that the caller, and so the config, names."""
    module, weights = brought_in
    with pytest.raises(RecordError, match="only run where a config names it"):
        load_checkpoint(weights)
    assert not module.with_name("ran").exists()
    network, record = load_checkpoint(weights, module)
    assert module.with_name("ran").exists()
    assert isinstance(network, ExternalNetwork)
    assert record["external"]["predicts"] == "noise"


def test_other_code_than_the_record_s_is_not_run(brought_in):
    module, weights = brought_in
    module.write_text(module.read_text() + "\n")
    with pytest.raises(RecordError, match=r"mine\.py: expected SHA-256 .* and is not run"):
        load_checkpoint(weights, module)
    assert not module.with_name("ran").exists()


@pytest.mark.parametrize("own", [None, [], {}, {"predicts": "noise"}, "noise"])
def test_record_that_describes_no_own_network_is_named(own, brought_in):
    module, weights = brought_in
    save_checkpoint(weights, {"factor": torch.ones(())}, {"external": own})
    with pytest.raises(RecordError, match=r"mine\.json: it describes no network"):
        load_checkpoint(weights, module)
    assert not module.with_name("ran").exists()


# ---------------------------------------------------------------------------- the whole chain

TRAINED = "tiny-resnet-circular"
CONFIG = ("--configfile", "tiny.yaml", "fast.yaml", "own.yaml")


OF_TWO_CHANNELS = {
    "preconditioning": "edm",
    "sigma_data": 0.5,
    "sigma_range": [0.002, 80.0],
    "labels": 0,
    "channels": 2,
    "size": 8,
    "network": {"model_type": "SongUNet", "model_channels": 16, "channel_mult": [1, 2]}
    | {"num_blocks": 1, "attn_resolutions": [4]},
}
TWO_CHANNELS = {"source": "image_array", "size": 8, "channels": 2, "local": "my files/pixels.npz"}
NETWORK_OF_EDM = {
    "dataset": "two",
    "padding": "zeros",
    "conditional": False,
    "checkpoint": "edm",
    "weights": "my files/edm.safetensors",
    "precision": "bfloat16",
    "batch": 1,
}


@pytest.fixture(scope="module")
def project(own_run, tmp_path_factory):
    """Own images; a network trained on them, and the same in disguise as an own network.

    Beside them images of two channels, and a network of EDM in half precision and in batches.
    """
    folder = tmp_path_factory.mktemp("own network")
    shutil.copytree(own_run.folder, folder, dirs_exist_ok=True)
    weights = folder / f"own results/networks/{TRAINED}.safetensors"
    (folder / "my files").mkdir()
    shutil.copy(weights, folder / "my files/mine.safetensors")
    torch.manual_seed(0)
    edm = Preconditioned(OF_TWO_CHANNELS)
    header = {KEY: json.dumps(OF_TWO_CHANNELS)}
    save_file(edm.state_dict(), folder / "my files/edm.safetensors", metadata=header)
    pixels = np.random.default_rng(0).integers(0, 256, (7, 2, 8, 8), dtype=np.uint8)
    np.savez(folder / "my files/pixels.npz", images=pixels)
    override = {
        "evaluate": [TRAINED, "own-x0", "edm"],
        "machines": ["is", "ls", "els", "wiener"],
        "datasets": {"two": TWO_CHANNELS},
        "networks": {f"own-{predicts}": own_network(predicts) for predicts in PREDICTIONS}
        | {"edm": NETWORK_OF_EDM},
    }
    config = 'channels=4, layers=1, size=8, padding="circular", classes=2'
    for predicts in PREDICTIONS:
        text = OF_ANOTHER_KIND.format(what=predicts, config=config)
        (folder / f"my files/{predicts}.py").write_text(text)
    (folder / "own.yaml").write_text(yaml.safe_dump(override))
    return folder


def own_network(predicts):
    return {
        "dataset": "tiny",
        "padding": "circular",
        "conditional": True,
        "checkpoint": "external",
        "module": f"my files/{predicts}.py",
        "weights": "my files/mine.safetensors",
        "predicts": predicts,
    }


@pytest.fixture(scope="module")
def finished(project):
    snakemake(project, *CONFIG)
    return project / "own results"


def same_samples(results, name):
    first, second = (
        [load_samples(results / f"samples/{n}/network-4/{shard}.npz") for shard in ("000", "001")]
        for n in (TRAINED, name)
    )
    for ours, own in zip(first, second, strict=True):
        np.testing.assert_array_equal(ours.seeds, own.seeds)
        np.testing.assert_allclose(ours.images, own.images, atol=1e-3)


@pytest.mark.workflow
def test_own_network_goes_through_the_whole_chain(finished):
    """Its rows, scales and gradients are those of the network that it is."""
    same_samples(finished, "own-x0")
    cosines = [
        pd.read_csv(finished / f"calibration/{name}.cosines.csv") for name in (TRAINED, "own-x0")
    ]
    pd.testing.assert_frame_equal(*cosines, atol=1e-3)
    gradients = [np.load(finished / f"jacobians/{name}.npz") for name in (TRAINED, "own-x0")]
    for key in ("t", "gradients"):
        np.testing.assert_allclose(gradients[0][key], gradients[1][key], atol=1e-3)
    headline = pd.read_csv(finished / "tables/headline.csv").set_index(["network", "machine"])
    assert (headline.loc["own-x0", "architecture"] == "external").all()
    rows = [headline.loc[name, ["pearson_r", "rmse"]].astype(float) for name in (TRAINED, "own-x0")]
    pd.testing.assert_frame_equal(*rows, atol=1e-2)
    record = json.loads((finished / "networks/own-x0.json").read_text())
    assert record["external"]["predicts"] == "x0"
    copy = finished / "networks/own-x0.py"
    assert record["external"]["module_sha256"] == digest_of(copy)
    manifest = json.loads((finished / "manifest.json").read_text())
    assert manifest["networks"]["own-x0"] == record["weights_sha256"]
    assert manifest["files"]["networks/own-x0.py"]["rule"] == "external_checkpoint"
    report = (finished / "report/index.html").read_text()
    assert "<td>own-x0</td>" in report.replace("\n", "")
    assert "<td>not known</td>" in report.replace("\n", "")


@pytest.mark.workflow
def test_images_of_two_channels_go_through_the_whole_chain(finished):
    """Into tables, figures, explorer and report."""
    record = json.loads((finished / "networks/edm.json").read_text())["external"]["running"]
    assert record == {"device": None, "precision": "bfloat16", "batch": 1}
    headline = pd.read_csv(finished / "tables/headline.csv").query("network == 'edm'")
    assert set(headline["machine"]) == {"is", "ls", "els", "wiener"}
    assert np.isfinite(headline["pearson_r"]).all()
    assert (finished / "figures/pairs-edm-4.png").stat().st_size > 1000
    assert "<td>edm</td>" in (finished / "report/index.html").read_text()
    assert '"edm"' in (finished / "explorer/index.html").read_text()


@pytest.mark.workflow
@pytest.mark.parametrize("predicts", ["score"])  # the others: without the workflow, above
def test_another_kind_of_prediction_gives_the_same_samples(finished, predicts):
    folder, name = finished.parent, f"own-{predicts}"
    (folder / "one.yaml").write_text(yaml.safe_dump({"evaluate": [name]}))
    targets = [f"own results/samples/{name}/network-4/{shard}.npz" for shard in ("000", "001")]
    scales = f"own results/calibration/{name}.scales.csv"
    snakemake(folder, *targets, scales, *CONFIG, "one.yaml")
    same_samples(finished, name)
    expected = (finished / f"calibration/{TRAINED}.scales.csv").read_text().splitlines()
    found = (folder / scales).read_text().splitlines()
    assert [line.split(",")[:2] for line in found] == [line.split(",")[:2] for line in expected]


@pytest.mark.workflow
def test_own_network_is_not_packaged(finished):
    command = [sys.executable, str(ROOT / "tools/package_network.py"), str(finished), "own-x0"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 1
    assert "an external network is not packaged" in done.stderr


@pytest.mark.workflow
def test_changed_own_files_rerun_what_depends_on_them(finished):
    """Its Python file, and what it predicts; nothing of the other network."""
    folder = finished.parent
    assert planned(snakemake(folder, "-n", *CONFIG)) == {}
    module = folder / "my files/x0.py"
    original = module.read_text()
    module.write_text(original + "\n# changed\n")
    try:
        jobs = planned(snakemake(folder, "-n", *CONFIG))
    finally:
        module.write_text(original)
    assert jobs["external_checkpoint"] == jobs["calibrate"] == jobs["jacobians"] == 1
    assert jobs["sample_network"] == 2
    assert not {"train", "bank", "noise"} & set(jobs)
    changed = {"networks": {"own-x0": {"predicts": "noise"}}}
    (folder / "changed.yaml").write_text(yaml.safe_dump(changed))
    jobs = planned(snakemake(folder, "-n", *CONFIG, "changed.yaml"))
    assert jobs["external_checkpoint"] == 1
    assert jobs["sample_network"] == 2


@pytest.mark.workflow
def test_unusable_own_network_stops_with_one_line(finished):
    """It is asked before anything is calibrated or sampled."""
    folder, module = finished.parent, finished.parent / "my files/bad.py"
    module.write_text((folder / "my files/x0.py").read_text().replace("def time_of", "def time"))
    bad = {"networks": {"bad": {**own_network("x0"), "module": "my files/bad.py"}}}
    (folder / "bad.yaml").write_text(yaml.safe_dump({**bad, "evaluate": ["bad"]}))
    output = snakemake(folder, *CONFIG, "bad.yaml", check=False)
    assert "error: my files/bad.py: there is no function time_of" in output
    assert not (finished / "networks/bad.safetensors").exists()
    assert not (finished / "calibration/bad.scales.csv").exists()


@pytest.mark.slow
def test_documented_example_is_usable(tmp_path, monkeypatch):
    """docs/own_network.py, trained for a few steps on bars, and docs/own_network.yaml."""
    monkeypatch.chdir(tmp_path)
    for name in ("data", "docs"):
        (tmp_path / name).mkdir()
    config = merged(DEFAULT, read("docs/own_network.yaml"))
    (name,) = config["evaluate"]
    network = config["networks"][name]
    module, weights = Path(network["module"]), Path(network["weights"])
    shutil.copy(ROOT / module, module)
    images = -torch.ones(16, 1, 32, 32)
    for i in range(16):
        images[i, :, :, i : i + 8] = 1
    example = runpy.run_path(module)
    save_file(example["train"](images, steps=60).state_dict(), weights)
    validate_config(config, ROOT / "checkpoints")
    trained = probe(load_external(module, weights, network["predicts"]), images, None)
    torch.manual_seed(0)
    save_file(example["build"]().state_dict(), weights)
    with pytest.warns(UserWarning, match="Are predicts, time_of"):
        untrained = probe(load_external(module, weights, network["predicts"]), images, None)
    assert sum(trained.values()) < sum(untrained.values()) / 2
