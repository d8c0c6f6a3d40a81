"""The UNet, with and without self-attention."""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from patchmosaic.networks.conditioning import Conditioning, conv
from patchmosaic.networks.config import NetworkConfig, Padding


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with time and class entering between them, around a skip."""

    def __init__(self, inputs: int, outputs: int, condition: int, padding: Padding) -> None:
        super().__init__()
        self.first = conv(inputs, outputs, padding)
        self.shift = nn.Linear(condition, 2 * outputs)
        self.second = conv(outputs, outputs, padding)
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

    attention = False

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        widths = [config.channels * factor for factor in (1, 2, 4)]
        condition, padding = 4 * config.channels, config.padding
        self.conditioning = Conditioning(condition, config.classes)
        self.up = conv(config.image_channels, widths[0], padding)
        self.down_blocks = nn.ModuleList(ResidualBlock(w, w, condition, padding) for w in widths)
        self.shrink = nn.ModuleList(conv(a, b, padding, stride=2) for a, b in pairwise(widths))
        self.middle = ResidualBlock(widths[-1], widths[-1], condition, padding)
        self.grow = nn.ModuleList(conv(b, a, padding) for a, b in pairwise(widths))
        self.up_blocks = nn.ModuleList(
            ResidualBlock(2 * w, w, condition, padding) for w in widths[:-1]
        )
        self.attend = None
        if self.attention:
            self.attend = nn.ModuleList(SelfAttention(w) for w in widths[1:])
        self.down = conv(widths[0], config.image_channels, padding)

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


class AttentionUNet(UNet):
    """The UNet with self-attention."""

    attention = True
