"""The fused engine against the dense one; without a graphics card, by Triton's interpreter."""

import os
import subprocess
import sys

import pytest
import torch

from patchmosaic.engines.base import PosteriorSums
from patchmosaic.machines.registry import MACHINES
from patchmosaic.sampling.schedule import alpha_bar
from patchmosaic.system.lazy import load

fused = pytest.importorskip("patchmosaic.engines.fused", reason="Triton is not installed")
ENGINE = fused.FusedEngine()
CLASSES = {name: load(MACHINES[name].address) for name in ("ls", "els")}
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"  # see tests/conftest.py
BORDERS = [("zeros", "wrapped"), ("circular", "wrapped"), ("circular", "interior")]


def images(channels, count=5, height=4, width=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, channels, height, width, generator=generator) * 2 - 1


def noisy(bank, n, t):
    noise = torch.randn(bank[:n].shape, generator=torch.Generator().manual_seed(1))
    return alpha_bar(t) ** 0.5 * bank[:n] + (1 - alpha_bar(t)) ** 0.5 * noise


@pytest.mark.parametrize("t", [0.02, 0.5, 1.0])
@pytest.mark.parametrize(("channels", "patch_size"), [(1, 3), (3, 3)])
@pytest.mark.parametrize(("boundary", "candidates"), BORDERS)
@pytest.mark.parametrize("name", ["ls", "els"])
@pytest.mark.slow
def test_sums_are_those_of_the_dense_engine(name, boundary, candidates, channels, patch_size, t):
    bank = images(channels)
    x = noisy(bank, 2, t)
    border = {"boundary": boundary, "candidates": candidates}
    dense = CLASSES[name](bank, engine="dense", **border)
    expected = dense.posterior_sums(x, alpha_bar(t), patch_size)
    found = ENGINE.posterior_sums(
        x.to(DEVICE),
        bank.to(DEVICE),
        alpha_bar(t),
        patch_size,
        equivariant=name == "els",
        **border,
    )
    found = PosteriorSums(found.log_max.cpu(), found.weight.cpu(), found.weighted_value.cpu())
    torch.testing.assert_close(found.mean, expected.mean, rtol=0, atol=1e-4)
    evidence, true = (sums.log_max + sums.weight.log() for sums in (found, expected))
    torch.testing.assert_close(evidence, true, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("patch_size", [1, 5, 7, 31])
@pytest.mark.parametrize("boundary", ["zeros", "circular"])
@pytest.mark.slow
def test_patches_of_any_size(boundary, patch_size):
    """Smaller and larger than the image, whose sides differ; by the machine's own way."""
    bank = images(1)
    dense = CLASSES["els"](bank, boundary=boundary, engine="dense")
    machine = CLASSES["els"](bank.to(DEVICE), boundary=boundary, engine="fused")
    assert machine.engine == "fused"
    expected, found = (
        each.posterior_mean(noisy(bank, 1, 0.5), alpha_bar(0.5), patch_size)
        for each in (dense, machine)
    )
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-4)


def test_parts_of_the_bank_are_merged(monkeypatch):
    """The last part is smaller than the others."""
    bank = images(1, count=8, height=3, width=3).to(DEVICE)
    x = noisy(bank.cpu(), 2, 0.3).to(DEVICE)
    parted = ENGINE.posterior_sums(x, bank, alpha_bar(0.3), 3)
    for most, programs in ((3, 6), (3, 2)):  # three parts a query; both queries at once, then alone
        monkeypatch.setattr(fused, "MOST_IMAGES", most)
        monkeypatch.setattr(fused, "PROGRAMS", programs)
        found = ENGINE.posterior_sums(x, bank, alpha_bar(0.3), 3)
        torch.testing.assert_close(found.mean, parted.mean, rtol=0, atol=1e-6)
        torch.testing.assert_close(found.log_max, parted.log_max)


def test_one_constant_image_comes_back():
    """A single candidate value is the posterior mean, however unlikely."""
    bank = torch.full((1, 1, 3, 3), 0.25, device=DEVICE)
    x = torch.full((1, 1, 3, 3), -4.0, device=DEVICE)
    for t in (0.02, 1.0):
        found = ENGINE.posterior_sums(x, bank, alpha_bar(t), 3).mean.cpu()
        torch.testing.assert_close(found, bank.cpu().double(), rtol=0, atol=1e-6)


COMPILE = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from patchmosaic.engines import fused

kernel = fused._accumulate
pointers = {"x", "bank", "band_rows", "band_cols", "log_max", "weight", "weighted_value"}
cases = (1, 32, False, False), (3, 32, True, False), (3, 64, True, True)
for channels, side, wraps, interior in cases:
    warps = 4 if side == 32 else 8  # as it is launched
    constants = dict(C=channels, H=side, W=side, CHANNELS=triton.next_power_of_2(channels))
    constants |= dict(ROWS=side, COLS=side, WRAPS=wraps, INTERIOR=interior)
    kinds = {name: "*fp32" if name in pointers else "i32" for name in kernel.arg_names}
    if side == 64:  # as ints of 1 are given
        constants |= dict(half=1, images_a_part=1)
    kinds |= {"scale": "fp32"} | dict.fromkeys(constants, "constexpr")
    source = ASTSource(kernel, kinds, constexprs=constants)
    for capability in (80, 90):
        target = GPUTarget("cuda", capability, 32)
        made = triton.compile(source, target=target, options={"num_warps": warps, "num_stages": 1})
        assert len(made.asm["cubin"]) > 1000
        assert made.metadata.shared <= 48 * 1024, made.metadata.shared
        assert "tf32" not in made.asm["ptx"]
"""


@pytest.mark.slow
def test_it_compiles_for_cards(tmp_path):
    """Without one at hand, by the compiler that comes with Triton."""
    environment = {**os.environ, "TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", COMPILE]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
