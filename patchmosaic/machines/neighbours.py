"""Predictors from the nearest training images, and the smoothed closed form."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from patchmosaic.engines.dense import LEAST_VARIANCE
from patchmosaic.machines.base import Machine
from patchmosaic.machines.prepared import number, whole_number

BLOCK = 2**23  # values in one block of float64 images: 64 MiB
SHIFT_STREAM = 0x7869  # of a seed, apart from its noise and label


def square_distances(queries: Tensor, images: Tensor, scale: float) -> Tensor:
    """|q - scale y|^2 of vectors (B, n) and (N, n), (B, N), in float64 from block to block."""
    queries = queries.double()
    found = []
    for block in images.split(max(1, BLOCK // images.shape[1])):
        block = block.double()
        square = scale**2 * torch.linalg.vector_norm(block, dim=1).square()
        found.append(square - 2 * scale * (queries @ block.T))
    return torch.cat(found, 1) + queries.square().sum(1)[:, None]


def nearest(distances: Tensor, count: int) -> Tensor:
    """Positions of the smallest distances of each row, (B, min(count, N)), in no order."""
    return distances.topk(min(count, distances.shape[1]), dim=1, largest=False, sorted=False)[1]


class NearestImage(Machine):
    """The training image nearest to x_t itself, not rescaled; of equally near ones any.

    Source: Lukoianov et al., NeurIPS 2025 (arXiv 2509.09672), a baseline there.
    """

    def mean(self, x_t, alpha_bar, patch_size, label):
        images = self.bank(label)
        x_t = x_t.to(images.device)
        return images[square_distances(x_t.flatten(1), images.flatten(1), 1.0).argmin(1)]


class NearestIdealMachine(Machine):
    """kNN-IS: IS over the k training images that are nearest to z = x_t / sqrt(alpha_bar).

    Source: Lukoianov et al., NeurIPS 2025 (arXiv 2509.09672), "optimal" there, with k = 200.

    Args:
        neighbours: k; all images where there are fewer.
    """

    def __init__(
        self, images: Tensor, labels: Tensor | None = None, *, neighbours: int = 200
    ) -> None:
        super().__init__(images, labels)
        self.neighbours = whole_number("neighbours", neighbours, 1)

    def mean(self, x_t, alpha_bar, patch_size, label):
        images = self.bank(label).flatten(1)
        x_t = x_t.to(images.device)
        distances = square_distances(x_t.flatten(1), images, math.sqrt(alpha_bar))
        chosen = nearest(distances, self.neighbours)
        logits = distances.gather(1, chosen) / (-2 * max(1 - alpha_bar, LEAST_VARIANCE))
        weights = logits.softmax(1)[:, None]  # (B, 1, k)
        return (weights @ images[chosen].double())[:, 0].view(x_t.shape)


class SmoothedIdealMachine(NearestIdealMachine):
    """The smoothed closed form: the mean of kNN-IS over M queries moved by s xi_m.

    The xi are standard normal and a function of the machine's seed: the same for all queries and
    noise levels, so that an image is a function of its own noise.
    Source: Scarvelis, Borde and Solomon, TMLR 2025 (arXiv 2310.12395).

    Args:
        moved: M, how many moved queries.
        smoothing: s, the standard deviation of the moves, in units of x_t. None: 1 for gray
            images (its value for MNIST), .1 for others.
        seed: of the xi.
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor | None = None,
        *,
        neighbours: int = 200,
        moved: int = 10,
        smoothing: float | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(images, labels, neighbours=neighbours)
        channels = self.images.shape[1]
        default = 1.0 if channels == 1 else 0.1
        self.moved = whole_number("moved", moved, 1)
        self.smoothing = number("smoothing", default if smoothing is None else smoothing, 0, 100)
        self.seed = whole_number("seed", seed, 0)

    @property
    def shifts(self) -> Tensor:
        """s xi_m, (M, C, H, W)."""
        random = np.random.default_rng([SHIFT_STREAM, self.seed])
        shape = (self.moved, *self.images.shape[1:])
        return self.smoothing * torch.from_numpy(random.standard_normal(shape))

    def mean(self, x_t, alpha_bar, patch_size, label):
        x_t = x_t.to(self.images.device)
        total = torch.zeros_like(x_t, dtype=torch.float64)
        for shift in self.shifts.to(x_t.device):
            total += super().mean(x_t.double() + shift, alpha_bar, patch_size, label)
        return total / self.moved
