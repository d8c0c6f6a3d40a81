"""Machines and networks on a GPU give what they give on the CPU."""

import pytest
import torch

from patchmosaic.machines import MACHINES
from patchmosaic.networks import ARCHITECTURES, NetworkConfig, build_network
from patchmosaic.schedule import alpha_bar

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


def images(channels=1, count=40, side=12):
    generator = torch.Generator().manual_seed(0)
    return torch.rand(count, channels, side, side, generator=generator) * 2 - 1


@pytest.mark.parametrize("boundary", ["zeros", "circular"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", MACHINES)
def test_machines_agree(name, channels, boundary):
    bank, labels = images(channels), torch.arange(40) % 2
    x, chosen = torch.randn(3, channels, 12, 12), torch.tensor([0, 1, 1])
    for t in (0.05, 0.5, 1.0):
        arguments = (alpha_bar(t), 5)
        host = MACHINES[name](bank, labels, boundary=boundary, engine="dense")
        card = MACHINES[name](bank.cuda(), labels.cuda(), boundary=boundary, engine="auto")
        assert card.engine == "dense"
        expected = host.posterior_mean(x, *arguments, chosen)
        found = card.posterior_mean(x.cuda(), *arguments, chosen.cuda())
        assert found.is_cuda
        torch.testing.assert_close(found.cpu(), expected, rtol=0, atol=1e-6)


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
