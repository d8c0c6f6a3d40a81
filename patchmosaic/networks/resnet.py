"""The ResNet."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from patchmosaic.networks.conditioning import Conditioning, conv
from patchmosaic.networks.config import NetworkConfig


class ResNet(nn.Module):
    """Up-projection, residual 3x3 layers, down-projection; nothing else looks across space.

    The receptive field of 17 pixels is 6 layers and two projections, each adding 2.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        width = config.channels
        self.conditioning = Conditioning(width, config.classes)
        self.up = conv(config.image_channels, width, config.padding)
        self.layers = nn.ModuleList(
            conv(width, width, config.padding) for _ in range(config.layers)
        )
        self.shifts = nn.ModuleList(nn.Linear(width, 2 * width) for _ in range(config.layers))
        self.down = conv(width, config.image_channels, config.padding)

    def forward(self, x_t: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        condition = F.silu(self.conditioning(t, labels))  # (B, width)
        h = self.up(x_t)  # (B, width, H, W)
        for layer, shift in zip(self.layers, self.shifts, strict=True):
            scale, bias = shift(condition)[:, :, None, None].chunk(2, dim=1)
            h = h + layer(F.silu(h * (1 + scale) + bias))
        return self.down(F.silu(h))
