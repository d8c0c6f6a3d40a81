"""How far networks look: input gradients against closed forms, and their figure."""

import numpy as np
import pytest
import torch
from legibility import assert_legible, texts
from torch import nn

from patchmosaic.analysis.jacobians import central_gradient, gradients_over_time
from patchmosaic.figures.jacobians import jacobians, share_inside
from patchmosaic.networks.build import build_network
from patchmosaic.networks.config import NetworkConfig


class Convolution(nn.Module):
    """A linear noise predictor whose gradient is its kernel times t."""

    def __init__(self, channels):
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(channels, channels, 3, 3))

    def forward(self, x_t, t, labels):
        return nn.functional.conv2d(x_t, self.kernel, padding=1) * t[:, None, None, None]


@pytest.mark.parametrize("channels", [1, 3])
def test_gradient_of_a_convolution_is_its_kernel(channels):
    network = Convolution(channels)
    gradient = central_gradient(network, torch.randn(2, channels, 7, 6), 0.5)
    expected = torch.zeros(7, 6)
    expected[2:5, 2:5] = 0.5 * network.kernel.detach().abs().mean(dim=(0, 1))
    torch.testing.assert_close(gradient, expected)


def test_gradient_ends_at_the_receptive_field():
    torch.manual_seed(0)
    network = build_network(NetworkConfig("resnet", size=16, channels=4, layers=1))
    maps = gradients_over_time(network, torch.randn(2, 1, 16, 16), None, steps=4, moments=3)
    assert list(maps) == [1.0, 0.5, 0.25]
    for gradient in maps.values():
        reached = np.argwhere(gradient > 0)
        assert reached.min() == 8 - 3  # a receptive field of 7
        assert reached.max() == 8 + 3


def test_share_inside_the_patch():
    gradient = np.ones((6, 6))
    assert share_inside(gradient, 1) == pytest.approx(1 / 36)
    assert share_inside(gradient, 3) == pytest.approx(9 / 36)
    assert share_inside(gradient, 13) == 1


def test_figure_has_times_scales_and_shares():
    maps = {t: np.full((8, 8), t) for t in (1.0, 0.85, 0.7, 0.5, 0.35, 0.2, 0.05)}
    names = ["fashion_mnist-unet_attention-circular", "mnist-resnet-zeros"]
    figure = jacobians(dict.fromkeys(names, maps), dict.fromkeys(names, dict.fromkeys(maps, 3)), 4)
    panels = [axes for axes in figure.axes if axes.images]
    assert len(panels) == 2 * 7
    assert [axes.get_title() for axes in panels[:2]] == ["t = 1.00", "t = 0.85"]
    assert panels[0].get_xlabel() == "P = 3: 14%"
    box = panels[0].patches[0]
    assert (box.get_x(), box.get_width()) == (2.5, 3)  # around pixel 4
    assert any("n = 4 seeds" in word for word in texts(figure))
    assert_legible(figure)
    with pytest.raises(ValueError, match="its scales"):
        jacobians({"a": maps}, {}, 4)
