"""The trained networks of the paper: convolutional noise predictors of limited reach.

Every network maps a noisy image ``x_t`` (B, C, H, W), times ``t`` (B,) in [0, 1] and, if it is
class-conditional, labels (B,) to the predicted noise (B, C, H, W).
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from patchmosaic.network_config import ARCHITECTURES, PADDINGS, NetworkConfig

__all__ = [
    "ARCHITECTURES",
    "PADDINGS",
    "TIME_SCALE",
    "Conditioning",
    "NetworkConfig",
    "ResNet",
    "ResidualBlock",
    "SelfAttention",
    "UNet",
    "build_network",
]

TIME_SCALE = 1000.0
"""Times are embedded as t * TIME_SCALE (the paper's reference code embeds t in [0, 1] unscaled)."""


def _conv(inputs: int, outputs: int, padding: str, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, padding_mode=padding)


class Conditioning(nn.Module):
    """Sinusoidal embedding of the time, plus a learned one of the class: (B,) -> (B, width)."""

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        half = width // 2
        frequencies = torch.exp(-math.log(10_000.0) * torch.arange(half) / half)
        self.register_buffer("frequencies", frequencies, persistent=False)
        self.mlp = nn.Sequential(nn.Linear(2 * half, width), nn.SiLU(), nn.Linear(width, width))
        self.label = nn.Embedding(classes, width) if classes else None

    def forward(self, t: Tensor, labels: Tensor | None) -> Tensor:
        angles = TIME_SCALE * t[:, None].float() * self.frequencies  # (B, width / 2)
        embedding = self.mlp(torch.cat([angles.sin(), angles.cos()], dim=1))
        if (self.label is None) != (labels is None):
            wanted = "needs labels" if labels is None else "is unconditional and takes no labels"
            raise ValueError(f"this network {wanted}")
        return embedding if labels is None else embedding + self.label(labels)


class ResNet(nn.Module):
    """Up-projection, residual 3x3 layers, down-projection; nothing else looks across space.

    The receptive field of 17 pixels is 6 layers and two projections, each adding 2.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        width = config.channels
        self.conditioning = Conditioning(width, config.classes)
        self.up = _conv(config.image_channels, width, config.padding)
        self.layers = nn.ModuleList(
            _conv(width, width, config.padding) for _ in range(config.layers)
        )
        self.shifts = nn.ModuleList(nn.Linear(width, 2 * width) for _ in range(config.layers))
        self.down = _conv(width, config.image_channels, config.padding)

    def forward(self, x_t: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        condition = F.silu(self.conditioning(t, labels))  # (B, width)
        h = self.up(x_t)  # (B, width, H, W)
        for conv, shift in zip(self.layers, self.shifts, strict=True):
            scale, bias = shift(condition)[:, :, None, None].chunk(2, dim=1)
            h = h + conv(F.silu(h * (1 + scale) + bias))
        return self.down(F.silu(h))


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with time and class entering between them, around a skip."""

    def __init__(self, inputs: int, outputs: int, condition: int, padding: str) -> None:
        super().__init__()
        self.first = _conv(inputs, outputs, padding)
        self.shift = nn.Linear(condition, 2 * outputs)
        self.second = _conv(outputs, outputs, padding)
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, h: Tensor, condition: Tensor) -> Tensor:
        scale, bias = self.shift(condition)[:, :, None, None].chunk(2, dim=1)
        inner = self.first(F.silu(h))
        return self.skip(h) + self.second(F.silu(inner * (1 + scale) + bias))


class SelfAttention(nn.Module):
    """Single-head self-attention over all positions, around a skip."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, width)
        self.qkv = nn.Conv2d(width, 3 * width, 1)
        self.out = nn.Conv2d(width, width, 1)

    def forward(self, h: Tensor) -> Tensor:
        batch, width, rows, cols = h.shape
        # (B, 3 width, H, W) -> three of (B, H W, width)
        q, k, v = self.qkv(self.norm(h)).flatten(2).transpose(1, 2).chunk(3, dim=2)
        mixed = F.scaled_dot_product_attention(q, k, v)
        return h + self.out(mixed.transpose(1, 2).reshape(batch, width, rows, cols))


class UNet(nn.Module):
    """Three scales of 1, 2 and 4 times the width, joined by skips; the reach covers the image.

    With ``attention`` the two coarser scales also attend to all of their positions.
    """

    def __init__(self, config: NetworkConfig, attention: bool) -> None:
        super().__init__()
        widths = [config.channels * factor for factor in (1, 2, 4)]
        condition, padding = 4 * config.channels, config.padding
        self.conditioning = Conditioning(condition, config.classes)
        self.up = _conv(config.image_channels, widths[0], padding)
        self.down_blocks = nn.ModuleList(ResidualBlock(w, w, condition, padding) for w in widths)
        self.shrink = nn.ModuleList(_conv(a, b, padding, stride=2) for a, b in pairwise(widths))
        self.middle = ResidualBlock(widths[-1], widths[-1], condition, padding)
        self.grow = nn.ModuleList(_conv(b, a, padding) for a, b in pairwise(widths))
        self.up_blocks = nn.ModuleList(
            ResidualBlock(2 * w, w, condition, padding) for w in widths[:-1]
        )
        self.attend = nn.ModuleList(SelfAttention(w) for w in widths[1:]) if attention else None
        self.down = _conv(widths[0], config.image_channels, padding)

    def forward(self, x_t: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        condition = F.silu(self.conditioning(t, labels))
        h, skips = self.up(x_t), []
        for scale, block in enumerate(self.down_blocks):
            h = block(h, condition)
            if self.attend is not None and scale:
                h = self.attend[scale - 1](h)
            if scale < len(self.shrink):
                skips.append(h)
                h = self.shrink[scale](h)
        h = self.middle(h, condition)
        for scale in reversed(range(len(self.up_blocks))):
            h = self.grow[scale](F.interpolate(h, scale_factor=2.0, mode="nearest"))
            h = self.up_blocks[scale](torch.cat([h, skips[scale]], dim=1), condition)
        return self.down(F.silu(h))


def build_network(config: NetworkConfig) -> nn.Module:
    """The untrained network that ``config`` describes, initialised by torch's global seed."""
    if config.architecture == "resnet":
        return ResNet(config)
    return UNet(config, attention=config.architecture == "unet_attention")
