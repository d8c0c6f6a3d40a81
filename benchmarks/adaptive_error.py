"""Compare the adaptive engine with the exact one at every pixel, along exact ELS trajectories.

python benchmarks/adaptive_error.py     # about seven minutes on two cores

Needs prepared images (snakemake -- data/prepared/mnist-32-train.npz). Writes
benchmarks/adaptive_error.csv: the root-mean-square difference of the posterior means in images in
[-1, 1], a row a step and image; the adaptive engine has its default tolerance.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import torch

from patchmosaic.datasets.images import load_images, to_float
from patchmosaic.engines.base import TOLERANCE
from patchmosaic.machines.local import EquivariantLocalScoreMachine
from patchmosaic.sampling.sampler import machine_x0, sample, seed_noise
from patchmosaic.sampling.scales import read_scales, scale_at

HERE = Path(__file__).parent
SEEDS = range(3_000_000, 3_000_004)  # neither evaluation nor calibration


def main() -> None:
    images = to_float(load_images("data/prepared/mnist-32-train.npz"))
    scales = read_scales(HERE.parent / "checkpoints/mnist-resnet-zeros.scales.csv")
    exact, adaptive = (
        machine_x0(EquivariantLocalScoreMachine(images, engine=engine), None, scales)
        for engine in ("exact", "adaptive")
    )
    rows = []

    def both(x_t: torch.Tensor, t: float) -> torch.Tensor:
        mean = exact(x_t, t)
        errors = (adaptive(x_t, t) - mean).square().mean((1, 2, 3)).sqrt()
        rows.extend(
            {"t": t, "patch_size": scale_at(scales, t), "seed": seed, "rms": error}
            for seed, error in zip(SEEDS, errors.tolist(), strict=True)
        )
        return mean

    sample(both, seed_noise(list(SEEDS), tuple(images.shape[1:])), 20)
    table = pd.DataFrame(rows)
    table.to_csv(HERE / "adaptive_error.csv", index=False, float_format="%.3g")
    steps = table.assign(square=table["rms"] ** 2).groupby("t")["square"].mean() ** 0.5
    print(f"each step over all images: {steps.min():.4f} to {steps.max():.4f}")
    print(f"all: {(table['rms'] ** 2).mean() ** 0.5:.4f}")
    beyond = int((table["rms"] > TOLERANCE).sum())
    worst = table["rms"].max()
    print(f"single images beyond {TOLERANCE:g}: {beyond} of {len(table)}, worst {worst:.4f}")


if __name__ == "__main__":
    main()
