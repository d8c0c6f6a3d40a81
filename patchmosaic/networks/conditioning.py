"""How networks are told the time and the class."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from patchmosaic.networks.config import Padding

TIME_SCALE = 1000.0
"""Times are embedded as t * TIME_SCALE by :class:`Conditioning`, unscaled by :class:`Embedding`."""


def conv(inputs: int, outputs: int, padding: Padding, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, padding_mode=padding)


class Conditioning(nn.Module):
    """Sinusoidal embedding of the time, plus a learned one of the class: (B,) -> (B, width)."""

    frequencies: Tensor

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
        return _with_class(embedding, self.label, labels)


class Embedding(nn.Module):
    """The paper's embedding, nothing learned of the time: (B,) -> (B, width).

    Sine and cosine of t / 10000^(k / (width / 2 - 1)), k = 0, 1, ..., of t in [0, 1] unscaled, plus
    a learned vector of the class.
    """

    frequencies: Tensor

    def __init__(self, width: int, classes: int) -> None:
        super().__init__()
        half = width // 2
        frequencies = 10_000.0 ** (-torch.arange(half) / (half - 1))
        self.register_buffer("frequencies", frequencies, persistent=False)
        self.class_embeddings = nn.Embedding(classes, width) if classes else None

    def forward(self, t: Tensor, labels: Tensor | None) -> Tensor:
        angles = t[:, None].float() * self.frequencies  # (B, width / 2)
        embedding = torch.cat([angles.sin(), angles.cos()], dim=1)
        return _with_class(embedding, self.class_embeddings, labels)


def _with_class(embedding: Tensor, table: nn.Embedding | None, labels: Tensor | None) -> Tensor:
    """An embedding (B, width) plus that of the class, which a class-conditional network needs."""
    if table is None and labels is None:
        return embedding
    if table is None or labels is None:
        wanted = "needs labels" if labels is None else "is unconditional and takes no labels"
        raise ValueError(f"this network {wanted}")
    return embedding + table(labels)
