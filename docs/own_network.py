"""A network of one's own: DDPM's linear schedule and 1,000 integer times, trained to predict x_0.

This file is all that patchmosaic sees of it: build() and time_of(alpha_bar). As a program it trains
the network: python docs/own_network.py IMAGES WEIGHTS (see own_network.md).
"""

import math

import numpy as np
import torch
from torch import nn

TIMES = np.arange(1000)
ALPHA_BAR = np.cumprod(1 - np.linspace(1e-4, 0.02, len(TIMES)))  # of Ho et al. 2020


def build() -> nn.Module:
    """The untrained network."""
    return Denoiser(width=32, layers=5)


def time_of(alpha_bar: float) -> float:
    """The time of this noise level, between two integer times by linear interpolation."""
    return np.interp(alpha_bar, ALPHA_BAR[::-1], TIMES[::-1])


class Denoiser(nn.Module):
    """Five residual 3 x 3 layers between two projections: a receptive field of 15 pixels."""

    def __init__(self, width: int, layers: int) -> None:
        super().__init__()
        self.frequencies = [2**i * math.pi / len(TIMES) for i in range(8)]
        self.first = nn.Conv2d(1, width, 3, padding=1)
        self.layers = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(layers))
        self.shifts = nn.ModuleList(nn.Linear(16, 2 * width) for _ in range(layers))
        self.last = nn.Conv2d(width, 1, 3, padding=1)

    def forward(self, x_t: torch.Tensor, time: torch.Tensor) -> torch.Tensor:
        """x_0 of x_t (B, 1, H, W) at times (B,)."""
        angles = time[:, None].float() * torch.tensor(self.frequencies)
        waves = torch.cat([angles.sin(), angles.cos()], dim=1)  # (B, 16)
        h = self.first(x_t)
        for layer, shift in zip(self.layers, self.shifts, strict=True):
            scale, bias = shift(waves)[:, :, None, None].chunk(2, dim=1)
            h = h + layer(nn.functional.silu(h * (1 + scale) + bias))
        return torch.tanh(self.last(nn.functional.silu(h)))


def train(images: torch.Tensor, steps: int, batch: int = 16) -> nn.Module:
    """Train on images (N, 1, H, W) in [-1, 1]; the weights that count are a moving average."""
    torch.manual_seed(0)
    network, average = build(), build()
    optimiser = torch.optim.Adam(network.parameters(), lr=2e-3)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    levels = torch.tensor(ALPHA_BAR, dtype=torch.float32)
    for step in range(steps):
        x_0 = images[torch.randint(len(images), (batch,))]
        time = torch.randint(len(TIMES), (batch,))
        a_bar = levels[time, None, None, None]
        noise = torch.randn_like(x_0)
        x_t = a_bar.sqrt() * x_0 + (1 - a_bar).sqrt() * noise
        weight = (a_bar / (1 - a_bar)).clamp(0.1, 5)  # of noise prediction, within bounds
        loss = (weight * (network(x_t, time) - x_0).square()).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        decay.step()
        keep = min(0.995, step / (step + 10))
        for mean, value in zip(average.parameters(), network.parameters(), strict=True):
            mean.data.lerp_(value.data, 1 - keep)
        if step % 100 == 0:
            print(f"step {step} of {steps}: loss {loss.item():.3f}", flush=True)
    return average


if __name__ == "__main__":
    import sys

    from safetensors.torch import save_file

    from patchmosaic.datasets.images import load_images, to_float

    images, weights = sys.argv[1:]
    network = train(to_float(load_images(images)), steps=2000)
    save_file(network.state_dict(), weights)
