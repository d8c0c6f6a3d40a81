"""Networks of EDM: the published architectures, preconditionings and files."""

import copy
import importlib
import json
import math
import pickle
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from configs import DEFAULT, merged
from projects import ROOT, snakemake
from safetensors.torch import save_file
from torch import nn

from patchmosaic.datasets.banks import with_flips
from patchmosaic.datasets.images import load_images, to_float
from patchmosaic.machines.build import build_machine
from patchmosaic.networks.checkpoints import load_checkpoint, save_checkpoint
from patchmosaic.networks.edm import Preconditioned, build_edm
from patchmosaic.networks.edm_files import read_published
from patchmosaic.networks.edm_header import KEY, UNetSettings, check_images, read_header
from patchmosaic.networks.edm_unet import EdmUNet
from patchmosaic.sampling.sampler import machine_x0, network_x0, sample
from patchmosaic.sampling.samples import load_samples
from patchmosaic.sampling.scales import read_scales
from patchmosaic.sampling.schedule import COSINE_STRETCH, alpha_bar
from patchmosaic.system.records import RecordError
from workflow.checks import ConfigError, validate_config

NCSNPP = {
    "embedding_type": "fourier",
    "channel_mult_noise": 2,
    "encoder_type": "residual",
    "resample_filter": [1, 3, 3, 1],
}
SMALL = {"model_channels": 16, "channel_mult": [1, 2], "num_blocks": 1, "attn_resolutions": [4]}
NETWORKS = {
    "ddpmpp": ({"model_type": "SongUNet", **SMALL, "augment_dim": 9}, 3, 0),
    "ddpmpp of classes": (
        {
            "model_type": "SongUNet",
            **SMALL,
            "channel_mult": [2, 2],
            "num_blocks": 2,
            "attn_resolutions": [8, 4],
        },
        1,
        5,
    ),
    "ncsnpp": ({"model_type": "SongUNet", **SMALL, "channel_mult": [1, 2, 2], **NCSNPP}, 3, 0),
    "adm": ({"model_type": "DhariwalUNet", **SMALL, "model_channels": 64}, 3, 4),
}
# Values at places 0, 40 and -1 of what another implementation gives, SongUNet and DhariwalUNet of
# nvidia-physicsnemo 2.2.2 (in training mode without dropout, since its normalisation in evaluation
# divides by n - 1), for the weights and inputs below in float64.
OF_ANOTHER_IMPLEMENTATION = {
    "ddpmpp": (0.1623048, 0.0164716, -0.4015711),
    "ddpmpp of classes": (0.0424152, -0.0958958, 0.074744),
    "ncsnpp": (0.1396649, 0.0296564, -0.383243),
    "adm": (-1.2599793, -0.0974133, -1.1252365),
}


def of_formula(network):
    """A network whose weights are sines of their place and name."""
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if not name.endswith("resample_filter"):
                angles = 0.7 * torch.arange(value.numel(), dtype=torch.float64)
                size = 1.0 if name.endswith("freqs") else 0.3
                sines = size * torch.sin(angles + sum(name.encode()))
                value.copy_(sines.view(value.shape))
    return network.eval()


@pytest.mark.parametrize("name", NETWORKS)
def test_architectures_are_those_of_another_implementation(name):
    """To the seven digits that are noted, in float64 but for the waves of the embedding."""
    settings, channels, labels = NETWORKS[name]
    network = of_formula(EdmUNet(UNetSettings.of(settings), channels, 8, labels)).double()
    x = torch.sin(torch.arange(2 * channels * 64, dtype=torch.float64)).view(2, channels, 8, 8)
    classes = torch.tensor([labels - 1, 1]) if labels else None
    with torch.no_grad():
        found = network(x, torch.tensor([-0.5, 0.75], dtype=torch.float64), classes).flatten()
    expected = torch.tensor(OF_ANOTHER_IMPLEMENTATION[name], dtype=torch.float64)
    # The other's sines are of rounded sines of angles in float32: some 1e-7 of them.
    torch.testing.assert_close(found[[0, 40, -1]], expected, rtol=0, atol=3e-7)


# ---------------------------------------------------------------------------- preconditioning


def header_of(**changes):
    return {
        "preconditioning": "edm",
        "sigma_data": 0.5,
        "sigma_range": [0.002, 80.0],
        "labels": 0,
        "channels": 1,
        "size": 8,
        "network": {"model_type": "SongUNet", **SMALL},
    } | changes


OF_VP = {"preconditioning": "vp", "beta_d": 19.9, "beta_min": 0.1, "M": 1000}
KINDS = {
    "edm": header_of(),
    "vp": {k: v for k, v in header_of(**OF_VP).items() if k != "sigma_data"},
    "ve": {k: v for k, v in header_of(preconditioning="ve").items() if k != "sigma_data"},
}


class Exact(nn.Module):
    """The F of a denoiser that says x_0 is a given image, asked as table 1 of the paper has it."""

    def __init__(self, kind, image):
        super().__init__()
        self.kind, self.image = kind, image

    def forward(self, x, level, classes=None):
        level = level.double()[:, None, None, None]
        match self.kind:
            case "edm":
                sigma = (4 * level).exp()
                own = x * (sigma**2 + 0.25).sqrt()
                skip, out = 0.25 / (sigma**2 + 0.25), sigma / 2 / (sigma**2 + 0.25).sqrt()
                return (self.image - skip * own) / out
            case "ve":
                return (self.image - x) / (2 * level.exp())
        t = level / 999
        sigma = ((19.9 * t**2 / 2 + 0.1 * t).exp() - 1).sqrt()
        return (x * (1 + sigma**2).sqrt() - self.image) / sigma


@pytest.mark.parametrize("kind", KINDS)
def test_preconditionings_are_the_paper_s(kind):
    """F that knows each kind's c_noise, c_in, c_skip and c_out makes D the image that it has."""
    network = Preconditioned(KINDS[kind]).double()
    image = torch.linspace(-1, 1, 64, dtype=torch.float64).view(1, 1, 8, 8)
    network.model = Exact(kind, image)
    sigma = torch.tensor([0.01, 0.5, 3.0, 60.0], dtype=torch.float64)
    noise = torch.randn(4, 1, 8, 8, dtype=torch.float64)
    x = image + sigma[:, None, None, None] * noise
    found = network(x / (1 + sigma**2).sqrt()[:, None, None, None], sigma)
    torch.testing.assert_close(found, image.expand(4, -1, -1, -1), rtol=0, atol=1e-7)


def written(path, header, network=None):
    network = Preconditioned(header) if network is None else network
    save_file(network.state_dict(), path, metadata={KEY: json.dumps(header)})
    return path


def test_network_is_asked_within_its_range_of_noise(tmp_path):
    """Beyond it at the nearest sigma, with noise of that size."""
    header = header_of(sigma_range=[0.1, 5.0])
    path = written(tmp_path / "a.safetensors", header)
    network = build_edm(path, read_header(path), path)
    asked = []
    network.module.model.forward = lambda x, level, _: asked.append((x, level)) or x
    x_t = torch.randn(1, 1, 8, 8)
    for a_bar in (1 - 1e-6, 0.5, alpha_bar(1.0)):
        t = 2 / math.pi * COSINE_STRETCH * math.acos(math.sqrt(a_bar))
        network(x_t, torch.tensor([t], dtype=torch.float64))
    levels = [float((4 * level).exp()) for _, level in asked]
    assert levels == pytest.approx([0.1, 1.0, 5.0], rel=1e-5)
    for (x, _), sigma in zip(asked, levels, strict=True):
        scale = math.sqrt(1 + sigma**2) / math.sqrt(0.25 + sigma**2)
        torch.testing.assert_close(x, scale * x_t)


def test_record_and_weights_bring_it_back(tmp_path):
    torch.manual_seed(1)
    path = written(tmp_path / "a.safetensors", header_of(labels=3))
    network = build_edm(path, read_header(path), path)
    record = {"external": {"edm": read_header(path), "predicts": "x0"}}
    save_checkpoint(tmp_path / "b.safetensors", network.module.state_dict(), record)
    again, _ = load_checkpoint(tmp_path / "b.safetensors")
    given = torch.randn(2, 1, 8, 8), torch.tensor([0.3, 0.8]), torch.tensor([2, 0])
    with torch.no_grad():
        torch.testing.assert_close(again(*given), network(*given))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"preconditioning": "other"}, "preconditioning is 'other': choose one of edm, vp, ve"),
        ({"sigma_data": None}, "sigma_data is None, expected a positive number"),
        ({"sigma_range": [80, 0.002]}, r"sigma_range is \[80, 0.002\], expected"),
        ({"labels": -1}, "labels is -1, expected a whole number from 0"),
        ({"more": 1}, "more is unknown where preconditioning is edm"),
        ({"network": {}}, "network: model_type None is not covered, only SongUNet, Dhariwal"),
        ({"network": {"model_type": "SongUNet", "depth": 3}}, "depth is no setting of SongUNet"),
        (
            {"network": {"model_type": "DhariwalUNet", "encoder_type": "residual"}},
            "encoder_type is no setting of DhariwalUNet",
        ),
        (
            {"network": {"model_type": "SongUNet", "encoder_type": "skip"}},
            "encoder_type 'skip' is not covered, only standard, residual",
        ),
        (
            {"network": {"model_type": "SongUNet", "channel_mult": 2}},
            "channel_mult is 2, expected a list of whole numbers",
        ),
        (
            {"network": {"model_type": "SongUNet", "model_channels": 6}},
            "no such network can be made",
        ),
        ({"network": {"model_type": "SongUNet", **SMALL, "num_blocks": 2}}, "do not fit the Song"),
    ],
)
def test_unfit_headers_are_refused_by_name(changes, said, tmp_path):
    path = tmp_path / "a.safetensors"
    written(path, header_of(**changes), Preconditioned(header_of()))
    with pytest.raises(RecordError, match=rf"a\.safetensors: .*{said}") as error:
        build_edm(path, read_header(path), path)
    assert "\n" not in str(error.value)


def test_files_without_a_header_are_refused(tmp_path):
    path = tmp_path / "a.safetensors"
    save_file(Preconditioned(header_of()).state_dict(), path)
    with pytest.raises(RecordError, match=r"metadata has no 'edm': .* tools/convert_edm\.py"):
        read_header(path)
    path.write_bytes(b"no such file")
    with pytest.raises(RecordError, match="not readable as safetensors"):
        read_header(path)


@pytest.mark.parametrize(
    ("header", "shape", "told", "said"),
    [
        ({}, (3, 8, 8), (False,), "channels is 1, and that of the images 3: set channels"),
        ({}, (1, 32, 32), (False,), "size is 8, and that of the images 32: set size"),
        ({}, (1, 8, 8), (True,), "is not told the class; set conditional"),
        ({"labels": 3}, (1, 8, 8), (False,), "is told the class; set conditional"),
        ({"labels": 3}, (1, 8, 8), (True, 4), "labels is 3, and the images have 4"),
    ],
)
def test_images_of_another_kind_are_refused(header, shape, told, said, tmp_path):
    check_images(tmp_path, header_of(), (1, 8, 8), False)
    with pytest.raises(RecordError, match=said):
        check_images(tmp_path, header_of(**header), shape, *told)


def test_config_is_refused_before_any_work(tmp_path):
    path = written(tmp_path / "a.safetensors", header_of())
    network = {"dataset": "mnist", "padding": "zeros", "conditional": False, "checkpoint": "edm"}

    def refused(**changes):
        override = {"evaluate": ["mine"], "networks": {"mine": network | changes}}
        with pytest.raises(ConfigError) as error:
            validate_config(merged(DEFAULT, override), ROOT / "checkpoints")
        return str(error.value)

    assert "networks.mine: missing key weights" in refused()
    pickled = refused(weights="edm.pkl")
    assert "does not end in .safetensors (tools/convert_edm.py writes it; no pickle" in pickled
    assert "networks.mine.weights: there is no file" in refused(weights="absent.safetensors")
    assert "size is 8, and that of the images 32" in refused(weights=str(path))
    assert "predicts: is not used where checkpoint is edm" in refused(
        weights=str(path), predicts="x0"
    )


# ---------------------------------------------------------------------------- published files

# What the published files' pickles refer to: an object brings its class along as source code.
PERSISTENCE = """
def _reconstruct_persistent_obj(meta):
    raise RuntimeError("the code of the file was run")


class Persistent:
    def __reduce__(self):
        about = {
            "type": "class",
            "version": 6,
            "module_src": "import os",
            "class_name": type(self).__name__,
            "state": self.__dict__,
        }
        return _reconstruct_persistent_obj, (about,)
"""
UTIL = "class EasyDict(dict):\n    pass\n"


@pytest.fixture
def published_code(monkeypatch, tmp_path):
    """The modules that the files refer to, only there while a file is made."""
    code = tmp_path / "code"
    for name, text in (("torch_utils/persistence.py", PERSISTENCE), ("dnnlib/util.py", UTIL)):
        (code / name).parent.mkdir(parents=True)
        (code / name).write_text(text)
        (code / name).with_name("__init__.py").touch()
    monkeypatch.syspath_prepend(code)
    yield [importlib.import_module(name) for name in ("torch_utils.persistence", "dnnlib.util")]
    for name in ("torch_utils", "torch_utils.persistence", "dnnlib", "dnnlib.util"):
        sys.modules.pop(name, None)


TORCH_S = (nn.ModuleDict, nn.ModuleList)


def as_published(module, persistence, name, **attributes):
    """A module of ours as an object of the published kind."""
    of_file = type(name, (persistence.Persistent, nn.Module), {})
    found = of_file()
    for key, value in attributes.items():
        setattr(found, key, value)
    for key, value in module._parameters.items():
        found.register_parameter(key, value)
    for key, value in module._buffers.items():
        found.register_buffer(key, value)
    for key, inner in module._modules.items():
        if isinstance(inner, TORCH_S):
            parts = {k: as_published(v, persistence, type(v).__name__) for k, v in inner.items()}
            found.add_module(key, nn.ModuleDict(parts))
        elif inner is not None:
            found.add_module(key, as_published(inner, persistence, type(inner).__name__))
    return found


def published(header, code, kind="EDMPrecond", network=None, **more):
    """The content of a published file, with all that its classes leave in it."""
    persistence, util = code
    ours = Preconditioned(header) if network is None else network
    settings = {k: v for k, v in header["network"].items() if k != "model_type"}
    given = {
        "img_resolution": header["size"],
        "in_channels": header["channels"],
        "out_channels": header["channels"],
        "label_dim": header["labels"],
        "dropout": 0.13,
        **settings,
    }
    inner = as_published(
        ours.model,
        persistence,
        header["network"]["model_type"],
        _init_args=(),
        _init_kwargs=util.EasyDict(given),
        skip_scale=np.sqrt(0.5),
    )
    numbers = {k: v for k, v in header.items() if k in ("sigma_data", "beta_d", "beta_min", "M")}
    outer = as_published(
        nn.Module(),
        persistence,
        kind,
        img_resolution=header["size"],
        img_channels=header["channels"],
        label_dim=header["labels"],
        **{"use_fp16": False, "sigma_min": 0, "sigma_max": float("inf")} | numbers | more,
    )
    outer.model = inner
    return {"ema": outer, "dataset_kwargs": util.EasyDict(xflip=True), "loss_fn": None}


def forget():
    sys.path[:] = [place for place in sys.path if not Path(place, "torch_utils").exists()]
    for name in ("torch_utils", "torch_utils.persistence", "dnnlib", "dnnlib.util"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_published_files_are_read_without_their_code(protocol, published_code, tmp_path):
    torch.manual_seed(0)
    settings = {"model_type": "SongUNet", **SMALL, **NCSNPP, "augment_dim": 9}
    header = header_of(network=settings, labels=2)
    network = Preconditioned(header)
    expected = {k: v.clone() for k, v in network.state_dict().items()}
    path = tmp_path / "edm.pkl"
    path.write_bytes(pickle.dumps(published(header, published_code, network=network), protocol))
    forget()
    found, weights, remarks = read_published(path)
    assert not {"torch_utils", "dnnlib"} & set(sys.modules), "nothing of the file was imported"
    assert list(weights) == list(expected)
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
    assert UNetSettings.of(found.pop("network")) == UNetSettings.of(header.pop("network"))
    assert found == header
    assert remarks[0] == "trained on images and their mirror images: set flips: true"


def test_converted_file_is_the_network(published_code, tmp_path):
    torch.manual_seed(0)
    header = KINDS["vp"]
    network = Preconditioned(header)
    content = published(
        header, published_code, "VPPrecond", network, sigma_min=0.01, sigma_max=152.0
    )
    (tmp_path / "edm.pkl").write_bytes(pickle.dumps(content))
    forget()
    done = converted(tmp_path / "edm.pkl", tmp_path / "new/edm.safetensors")
    assert done.returncode == 0, done.stderr
    assert "SongUNet, preconditioning vp, sigma 0.01 to 152, no classes, 1 channels" in done.stdout
    path = tmp_path / "new/edm.safetensors"
    again = build_edm(path, read_header(path), path)
    given = torch.randn(2, 1, 8, 8), torch.tensor([0.3, 8.0])
    with torch.no_grad():
        torch.testing.assert_close(again.module(*given), network.eval()(*given))


def converted(*arguments):
    command = [sys.executable, ROOT / "tools/convert_edm.py", *arguments]
    return subprocess.run(command, capture_output=True, text=True)


class Malicious:
    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return Path.touch, (self.mark,)


def test_what_is_not_covered_is_refused_and_nothing_runs(published_code, tmp_path):
    path, mark = tmp_path / "edm.pkl", tmp_path / "it-ran"

    def refused(content):
        path.write_bytes(pickle.dumps(content))
        with pytest.raises(RecordError, match=r"edm\.pkl: ") as error:
            read_published(path)
        return str(error.value)

    whole = published(header_of(), published_code)
    malicious = refused(whole | {"more": Malicious(mark)})
    assert re.search(r"names .*(touch|getattr).* nothing of it was run", malicious)
    assert not mark.exists()
    assert "its network is a Precond, covered: EDMPrecond" in refused(
        published(header_of(), published_code, "Precond")
    )
    assert "it has no 'ema', only other" in refused({"other": 1})
    skipping = copy.deepcopy(header_of())
    settings = published(skipping, published_code)
    settings["ema"].model._init_kwargs["encoder_type"] = "skip"
    assert "encoder_type 'skip' is not covered" in refused(settings)
    path.write_bytes(pickle.dumps(whole)[:-2000])
    with pytest.raises(RecordError, match="not a whole pickle of EDM"):
        read_published(path)
    done = converted(path, tmp_path / "a.safetensors")
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "docs/own_network.md says how to convert it apart" in done.stderr
    assert not (tmp_path / "a.safetensors").exists()


# ---------------------------------------------------------------------------- within a run


@pytest.fixture(scope="module")
def sampled(own_run, tmp_path_factory):
    """A network of EDM, trained with flips, of which the workflow made some files."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("edm") / "run"
    shutil.copytree(own_run.folder, folder)
    written(folder / "edm.safetensors", header_of(labels=2))
    network = {"dataset": "tiny", "padding": "circular", "conditional": True, "checkpoint": "edm"}
    network |= {"weights": "edm.safetensors", "flips": True}
    override = {"evaluate": ["edm"], "networks": {"edm": network}, "machines": ["is", "els"]}
    (folder / "edm.yaml").write_text(yaml.safe_dump(override))
    targets = [f"own results/samples/edm/{kind}/000.npz" for kind in ("network-4", "is", "els")]
    targets += ["own results/novelty/edm.csv", "own results/nearest_patches/edm.csv"]
    snakemake(folder, *targets, "--configfile", *own_run.configs, "edm.yaml")
    return folder


@pytest.mark.workflow
def test_network_of_edm_is_asked_and_sampled(sampled):
    """By the workflow: its samples are those of the same network, asked directly."""
    results, weights = sampled / "own results", sampled / "edm.safetensors"
    samples = load_samples(results / "samples/edm/network-4/000.npz")
    network = build_edm(weights, read_header(weights), weights)
    noise = load_samples(results / "noise/tiny-evaluation.npz").part(0, 2)
    told = torch.from_numpy(noise.labels)
    expected = sample(network_x0(network, told), torch.from_numpy(noise.images), 4)
    np.testing.assert_allclose(samples.images, expected.numpy(), rtol=0, atol=1e-4)
    record = json.loads((results / "networks/edm.json").read_text())
    assert record["external"]["edm"] == header_of(labels=2)
    assert len(record["noise_errors"]) == 6


@pytest.mark.workflow
def test_its_machines_have_mirror_images_too(sampled):
    """Sampled from the prepared images and their mirror images; in every record."""
    results = sampled / "own results"
    images = load_images(sampled / "own data/prepared/tiny-8-train.npz")
    chosen = np.concatenate([np.flatnonzero(images.labels == c)[:3] for c in (0, 1)])
    pixels = images.images[chosen]
    both = torch.from_numpy(np.concatenate([pixels, pixels[:, :, :, ::-1]]) / 127.5 - 1)
    labels = torch.from_numpy(np.tile(images.labels[chosen], 2))
    noise = load_samples(results / "noise/tiny-evaluation.npz").part(0, 2)
    scales = read_scales(results / "calibration/edm.scales.csv")
    for name in ("is", "els"):
        found = load_samples(results / f"samples/edm/{name}/000.npz")
        settings = {"boundary": "circular", "candidates": "interior", "engine": "dense"}
        machine = build_machine(name, both, labels, **settings)
        expected = sample(
            machine_x0(machine, torch.from_numpy(noise.labels), scales),
            torch.from_numpy(noise.images).double(),
            4,
            "skip_first",
        )
        # float32 along four steps, and the exact engine's stated error
        np.testing.assert_allclose(found.images, expected.numpy(), rtol=0, atol=2e-3)
        assert found.record["flips"]
        assert found.record["bank_images"] == 12
    assert json.loads((results / "calibration/edm.scales.json").read_text())["flips"]
    novelty = pd.read_csv(results / "novelty/edm.csv").set_index("source").loc["is"]
    whole = with_flips(images)
    samples = torch.from_numpy(load_samples(results / "samples/edm/is/000.npz").images)
    distances = (samples[:, None] - to_float(whole)).square().mean(dim=(2, 3, 4)).sqrt()
    np.testing.assert_allclose(novelty["distance"][:2], distances.amin(1), rtol=1e-4, atol=1e-5)
