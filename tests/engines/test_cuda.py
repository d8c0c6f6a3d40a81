"""Machines and networks on a GPU give what they give on the CPU."""

import pytest
import torch
from predictors import made_filters

from patchmosaic.machines.base import CandidateMachine
from patchmosaic.machines.build import build_machine
from patchmosaic.machines.registry import MACHINES
from patchmosaic.networks.build import build_network
from patchmosaic.networks.config import NetworkConfig
from patchmosaic.networks.registry import ARCHITECTURES
from patchmosaic.sampling.schedule import alpha_bar
from patchmosaic.system.lazy import load

CLASSES = {
    name: kind
    for name, row in MACHINES.items()
    if issubclass(kind := load(row.address), CandidateMachine)
}
BORDERS = [("zeros", "wrapped"), ("circular", "wrapped"), ("circular", "interior")]

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


def images(channels=1, count=40, side=12):
    generator = torch.Generator().manual_seed(0)
    return torch.rand(count, channels, side, side, generator=generator) * 2 - 1


@pytest.mark.parametrize(("boundary", "candidates"), BORDERS)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("engine", ["auto", "exact"])
@pytest.mark.parametrize("name", CLASSES)
def test_machines_agree(name, engine, channels, boundary, candidates):
    bank, labels = images(channels), torch.arange(40) % 2
    noise, chosen = torch.randn(3, channels, 12, 12), torch.tensor([0, 1, 0])
    border = {"boundary": boundary, "candidates": candidates}
    if engine == "exact" and not MACHINES[name].needs:
        pytest.skip(f"{name} has only the dense engine")
    host = CLASSES[name](bank, labels, engine="dense", **border)
    card = CLASSES[name](bank.cuda(), labels.cuda(), engine=engine, **border)
    assert card.engine == ("dense" if engine == "auto" else "fused")
    for t in (0.05, 0.5, 1.0):
        x_t = alpha_bar(t) ** 0.5 * bank[:3] + (1 - alpha_bar(t)) ** 0.5 * noise
        expected = host.posterior_mean(x_t, alpha_bar(t), 5, chosen)
        found = card.posterior_mean(x_t.cuda(), alpha_bar(t), 5, chosen.cuda())
        assert found.is_cuda
        close = 1e-4 if card.engine == "fused" else 1e-6
        torch.testing.assert_close(found.cpu(), expected, rtol=0, atol=close)


@pytest.mark.parametrize("boundary", ["zeros", "circular"])
@pytest.mark.parametrize("name", [name for name in MACHINES if name not in CLASSES])
def test_predictors_agree(name, boundary, tmp_path):
    bank, labels = images(3), torch.arange(40) % 2
    filters = made_filters(tmp_path, bank, labels, *map(alpha_bar, (0.05, 0.5, 1.0)))
    noise, chosen = torch.randn(3, 3, 12, 12), torch.tensor([0, 1, 0])
    host, card = (
        build_machine(name, bank.to(device), labels.to(device), boundary=boundary, filters=filters)
        for device in ("cpu", "cuda")
    )
    for t in (0.05, 0.5, 1.0):
        x_t = alpha_bar(t) ** 0.5 * bank[:3] + (1 - alpha_bar(t)) ** 0.5 * noise
        expected = host.posterior_mean(x_t, alpha_bar(t), 5, chosen)
        found = card.posterior_mean(x_t.cuda(), alpha_bar(t), 5, chosen.cuda())
        assert found.is_cuda
        torch.testing.assert_close(found.cpu(), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("boundary", ["zeros", "circular"])
@pytest.mark.parametrize("name", ["ls", "els"])
def test_far_queries_lose_what_rounding_takes(name, boundary):
    """As in test_machines.py."""
    bank, x = images(3), torch.randn(3, 3, 12, 12, generator=torch.Generator().manual_seed(3))
    a_bar = alpha_bar(0.05)
    expected = CLASSES[name](bank, boundary=boundary, engine="dense").posterior_sums(x, a_bar, 5)
    card = CLASSES[name](bank.cuda(), boundary=boundary, engine="exact")
    error = (card.posterior_mean(x.cuda(), a_bar, 5).cpu() - expected.mean).abs().amax(1)
    assert (error <= 2**-23 * expected.log_max.abs()).all()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_networks_agree(architecture):
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    network = build_network(NetworkConfig(architecture, 1, 32, 16, classes=3)).eval()
    x, t, labels = torch.randn(2, 1, 32, 32), torch.tensor([0.2, 0.9]), torch.tensor([0, 2])
    with torch.no_grad():
        expected = network(x, t, labels)
        found = network.cuda()(x.cuda(), t.cuda(), labels.cuda())
    torch.testing.assert_close(found.cpu(), expected, rtol=1e-4, atol=1e-4)
