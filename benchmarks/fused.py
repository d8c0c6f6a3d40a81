"""Measure the exact engine of the ELS machine on a graphics card: time, rate and error.

python benchmarks/fused.py     # needs a card, and Triton

Needs prepared images (snakemake -- data/prepared/mnist-32-train.npz). Times of the CPU are in
benchmarks/engines.csv. Writes benchmarks/fused.csv, a row a case:

- seconds: of a posterior mean of ``batch`` queries over ``images`` training images, the median of
  three, after the kernel is compiled.
- tflops: 10^12 multiplications and additions a second in the two banded products of the kernel,
  which are 4 x 32^3 for each query, image and shift; card_tflops is what a float32 product of
  8192 x 8192 matrices reaches on the same card.
- most_error: the largest difference from the dense engine in float64, pixels in [-1, 1], over
  ``checked_images`` training images and all queries.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from patchmosaic.datasets.images import load_images, to_float
from patchmosaic.machines.local import EquivariantLocalScoreMachine
from patchmosaic.sampling.sampler import seed_noise
from patchmosaic.sampling.schedule import alpha_bar

HERE = Path(__file__).parent
FIRST_SEED = 3_000_000  # neither evaluation nor calibration
CHECKED_IMAGES = 500
CASES: list[dict] = [  # P and t as the packaged scales of MNIST's ResNet pair them
    {"patch_size": 3, "t": 0.1},
    {"patch_size": 5, "t": 0.3},
    {"patch_size": 7, "t": 0.5},
    {"patch_size": 9, "t": 0.8},
    {"patch_size": 13, "t": 1.0},
    {"patch_size": 7, "t": 0.5, "boundary": "circular"},
    {"patch_size": 7, "t": 0.5, "channels": 3, "images": 5000},
]


def median_seconds(call: Callable[[], object], repeats: int = 3) -> float:
    """Median wall time of a call, the card's work included."""
    seconds = []
    for _ in range(repeats):
        torch.cuda.synchronize()
        began = time.perf_counter()
        call()
        torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    return float(np.median(seconds))


def card_tflops() -> float:
    """Rate of a large float32 product, without TF32."""
    torch.backends.cuda.matmul.allow_tf32 = False
    a = torch.randn(8192, 8192, device="cuda")
    a @ a
    return 2 * 8192**3 / median_seconds(lambda: a @ a) / 1e12


def shifts(side: int, patch_size: int, boundary: str) -> int:
    """Shifts between query and training image that the kernel visits."""
    return side**2 if boundary == "circular" else (2 * (side - patch_size) + 1) ** 2


def measure(gray: torch.Tensor, case: dict, card: float) -> dict:
    case = {"boundary": "zeros", "channels": 1, "images": len(gray), "batch": 4, **case}
    bank = gray[: case["images"]]
    if case["channels"] == 3:  # shifted copies: not equal, but as smooth
        bank = torch.cat([bank.roll(k, dims=3) for k in range(3)], dim=1)
    a_bar, patch_size = alpha_bar(case["t"]), case["patch_size"]
    seeds = list(range(FIRST_SEED, FIRST_SEED + case["batch"]))
    noise = seed_noise(seeds, tuple(bank.shape[1:]))
    x_t = a_bar**0.5 * bank[: case["batch"]] + (1 - a_bar) ** 0.5 * noise

    def mean(images: torch.Tensor, engine: str) -> Callable[[], torch.Tensor]:
        machine = EquivariantLocalScoreMachine(images, boundary=case["boundary"], engine=engine)
        query = x_t.to(images.device)
        return lambda: machine.posterior_mean(query, a_bar, patch_size)

    some = bank[:CHECKED_IMAGES].cuda()
    error = (mean(some, "exact")() - mean(some, "dense")()).abs().max().item()
    seconds = median_seconds(mean(bank.cuda(), "exact"))
    visited = shifts(gray.shape[-1], patch_size, case["boundary"]) * len(bank) * case["batch"]
    found = {
        **case,
        "seconds": seconds,
        "tflops": visited * 4 * 32**3 / seconds / 1e12,
        "card_tflops": card,
        "most_error": error,
        "checked_images": CHECKED_IMAGES,
        "card": torch.cuda.get_device_name(),
    }
    print(found, flush=True)
    return found


def main() -> None:
    gray = to_float(load_images("data/prepared/mnist-32-train.npz"))
    chosen = torch.randperm(len(gray), generator=torch.Generator().manual_seed(0))
    card = card_tflops()
    found = []
    for case in CASES:
        found.append(measure(gray[chosen], case, card))
        rows = pd.DataFrame(found)
        rows.to_csv(HERE / "fused.csv", index=False, float_format="%.4g")
    print(f"card: {card:.0f} Tflop/s in float32; the kernel {rows['tflops'].max():.0f} at best")
    print(f"largest error: {rows['most_error'].max():.2g}")


if __name__ == "__main__":
    main()
