"""The paper's own ResNet and UNet, layer by layer as in its reference code.

Parameters carry the names of the published files, so weights of the authors load by name.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from patchmosaic.networks.conditioning import Embedding, conv
from patchmosaic.networks.config import NetworkConfig, Padding
from patchmosaic.networks.registry import GROUPS


class PaperResNet(nn.Module):
    """h <- h + ReLU(conv(h + e_i)) between an up- and a down-projection, all of them 3x3.

    e_i = ReLU(GroupNorm(Linear(embedding))), the same at every pixel; one more is added before the
    down-projection. Nothing is normalised across space. The reach is 17 pixels with 6 layers.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        width = config.channels
        self.embedding = Embedding(width, config.classes)
        self.up_projection = conv(config.image_channels, width, config.padding)
        self.embs = nn.ModuleList(
            nn.Sequential(nn.Linear(width, width), nn.GroupNorm(GROUPS, width), nn.ReLU())
            for _ in range(config.layers + 1)
        )
        self.convs = nn.ModuleList(
            nn.Sequential(conv(width, width, config.padding), nn.ReLU(inplace=True))
            for _ in range(config.layers)
        )
        self.down_projection = conv(width, config.image_channels, config.padding)

    def forward(self, x_t: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        embedding = self.embedding(t, labels)  # (B, width)
        *shifts, last = (emb(embedding)[:, :, None, None] for emb in self.embs)
        h = self.up_projection(x_t)  # (B, width, H, W)
        for layer, shift in zip(self.convs, shifts, strict=True):
            h = h + layer(h + shift)
        return self.down_projection(h + last)


class Block(nn.Module):
    """Two 3x3 convolutions, a ReLU after each, no skip; the embedding is added to the input."""

    def __init__(self, inputs: int, outputs: int, condition: int, padding: Padding) -> None:
        super().__init__()
        self.emb = nn.Sequential(nn.ReLU(), nn.Linear(condition, inputs))
        self.model = nn.Sequential(
            conv(inputs, outputs, padding),
            nn.ReLU(inplace=True),
            conv(outputs, outputs, padding),
            nn.ReLU(inplace=True),
        )

    def forward(self, h: Tensor, embedding: Tensor) -> Tensor:
        return self.model(h + self.emb(embedding)[:, :, None, None])


class PaperUNet(nn.Module):
    """Two levels and a bottleneck of 1, 2 and 4 times the width: max pooling down, transposed 2x2
    convolutions up, skips concatenated.

    An output depends on a square of 44 to 48 pixels, by its place in the grid of the pooling, so
    not on all of a 32 x 32 image from most pixels. Transposed convolutions do not pad: a circular
    network commutes with shifts by multiples of 4.
    """

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        widths = [config.channels * factor for factor in (1, 2, 4)]
        condition, padding = 4 * config.channels, config.padding
        self.embedding = Embedding(condition, config.classes)
        self.feature_blocks = nn.ModuleList(
            Block(a, b, condition, padding)
            for a, b in pairwise([config.image_channels, *widths[:-1]])
        )
        self.bottleneck = Block(widths[-2], widths[-1], condition, padding)
        upwards = list(pairwise(reversed(widths)))
        self.upsamples = nn.ModuleList(nn.ConvTranspose2d(a, b, 2, stride=2) for a, b in upwards)
        self.output_blocks = nn.ModuleList(Block(2 * b, b, condition, padding) for _, b in upwards)
        self.last_emb = nn.Sequential(nn.ReLU(), nn.Linear(condition, widths[0]))
        self.output_conv = conv(widths[0], config.image_channels, padding)

    def forward(self, x_t: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        embedding, h, skips = self.embedding(t, labels), x_t, []
        for block in self.feature_blocks:
            skips.append(block(h, embedding))
            h = F.max_pool2d(skips[-1], 2)
        h = self.bottleneck(h, embedding)
        for upsample, block in zip(self.upsamples, self.output_blocks, strict=True):
            h = block(torch.cat([skips.pop(), upsample(h)], dim=1), embedding)
        return self.output_conv(h + self.last_emb(embedding)[:, :, None, None])
