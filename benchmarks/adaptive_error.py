"""How far the adaptive engine is from the exact one.

python benchmarks/adaptive_error.py made           # banks made to fool it: about ten minutes
python benchmarks/adaptive_error.py trajectories   # along exact ELS trajectories: seven minutes

`made`: every bank of BANKS, at every noise level and patch size. Queries are noisy versions of two
of its rarest images, if it has such, of others, and of an image that it lacks; with the usual
choice of ways, and with one that finds the exact engine dear. A row a query: the root-mean-square
error over the image over the tolerance, of the engine and of the machine, which audits it.

`trajectories`: one row over all steps and queries; needs prepared images, as snakemake makes them.
CPU seconds are those of one thread, for all queries together.

Writes adaptive_error_made.csv and adaptive_error.csv beside it.
"""

from __future__ import annotations

import argparse
import itertools
import math
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional

from patchmosaic.datasets.images import load_images, to_float
from patchmosaic.engines import adaptive
from patchmosaic.engines.base import TOLERANCE
from patchmosaic.machines.local import EquivariantLocalScoreMachine
from patchmosaic.sampling.sampler import machine_x0, sample, seed_noise
from patchmosaic.sampling.scales import read_scales, scale_at
from patchmosaic.sampling.schedule import alpha_bar

HERE = Path(__file__).parent
SEEDS = range(3_000_000, 3_000_004)  # neither evaluation nor calibration
SIDE = 16
TIMES = (0.1, 0.25, 0.4, 0.55, 0.7, 0.85)
PATCH_SIZES = (3, 7, 13)


def noise(count: int, channels: int, seed: int) -> Tensor:
    shape = count, channels, SIDE, SIDE
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def levels(images: Tensor) -> Tensor:
    """The nearest images of 256 levels in [-1, 1]."""
    return ((images.clamp(-1, 1) + 1) * 127.5).round() / 127.5 - 1


def smooth(count: int, channels: int = 1, seed: int = 0) -> Tensor:
    """Gaussian fields with a correlation length of some four pixels."""
    axis = torch.arange(-6.0, 7)
    kernel = torch.exp(-(axis**2) / 8)
    field = functional.pad(noise(count, channels, seed), (6, 6, 6, 6), mode="circular")
    field = field.reshape(-1, 1, SIDE + 12, SIDE + 12)
    field = functional.conv2d(field, (kernel[:, None] * kernel)[None, None])
    return 0.4 * (field / field.std()).reshape(count, channels, SIDE, SIDE)


def discs(count: int, seed: int = 0) -> Tensor:
    """Gray discs on black."""
    random = np.random.default_rng(seed)
    axis = np.arange(SIDE)
    centre = random.uniform(3, SIDE - 3, (count, 2, 1, 1))
    away = np.hypot(axis[:, None] - centre[:, 0], axis - centre[:, 1])
    radius = random.uniform(1, SIDE / 3, (count, 1, 1))
    tint = random.uniform(0.3, 1, (count, 1, 1))
    return torch.from_numpy(2 * tint * np.clip(radius - away, 0, 1) - 1).float()[:, None]


def uniform(count: int, seed: int) -> Tensor:
    shape = count, 1, SIDE, SIDE
    return 2 * torch.rand(shape, generator=torch.Generator().manual_seed(seed)) - 1


def rare_and_common(rare: Tensor, common: Tensor) -> tuple[Tensor, int]:
    return torch.cat([rare, common]), len(rare)


def heavy_tails(count: int) -> tuple[Tensor, int]:
    """Fields whose contrasts are Cauchy variables: the largest first."""
    contrast = torch.from_numpy(np.random.default_rng(1).standard_cauchy(count)).abs().float()
    contrast = contrast.sort(descending=True).values.clamp(max=25)
    return 0.1 * contrast[:, None, None, None] * smooth(count, seed=2), 40


def duplicates(count: int) -> tuple[Tensor, int]:
    """Sixteen fields and copies that differ by a level here and there; three have few copies."""
    which = torch.cat([torch.arange(3).repeat(2), 3 + torch.arange(count - 6) % 13])
    changes = (noise(count, 1, 3) > 2).float() / 127.5
    return levels(smooth(16, seed=4)[which]) + changes, 6


def two_modes(count: int) -> tuple[Tensor, int]:
    signs = torch.where(torch.arange(count) % 2 == 0, 0.6, -0.6)[:, None, None, None]
    return signs + 0.15 * noise(count, 1, 5), 0


def fine_texture(count: int) -> tuple[Tensor, int]:
    """Few strong smooth fields, and a fine texture of each image's own that components miss."""
    which = torch.arange(count) % 8
    return smooth(8, seed=6)[which] + 0.3 * torch.sign(noise(count, 1, 7)), 0


BANKS: dict[
    str, Callable[[int], tuple[Tensor, int]]
] = {  # images, and how many, the first, are rare
    "blank but for ten": lambda n: rare_and_common(discs(10), -torch.ones(n - 10, 1, SIDE, SIDE)),
    "needle among dark": lambda n: rare_and_common(
        discs(1, seed=8), -1 + 0.04 * uniform(n - 1, 9).abs()
    ),
    "needle in a crowd": lambda n: rare_and_common(uniform(1, 10), discs(n - 1, seed=11)),
    "some bright in a hundred": lambda n: rare_and_common(
        -discs(n // 200, seed=12), discs(n - n // 200, seed=13)
    ),
    "two modes": two_modes,
    "white texture": lambda n: (uniform(n, 14), 0),
    "fine texture": fine_texture,
    "heavy tails": heavy_tails,
    "smooth gray": lambda n: (smooth(n, seed=15), 0),
    "smooth colour": lambda n: (smooth(n, 3, seed=16), 0),
    "binary": lambda n: (torch.sign(smooth(n, seed=17)), 0),
    "faint noise": lambda n: (0.05 * uniform(n, 18), 0),
    "duplicates": duplicates,
    "a label of few images": lambda n: (discs(max(n // 8, 64), seed=19), 0),
}


def made(name: str, count: int) -> tuple[Tensor, Tensor]:
    """A made bank, (N, C, 16, 16), and four images to query it with."""
    images, rare = BANKS[name](count)
    images = levels(images)
    chosen = [0, max(rare - 1, 1), len(images) // 2]
    lacking = levels(smooth(1, images.shape[1], seed=99))
    return images, torch.cat([images[chosen], lacking])


def noisy(images: Tensor, t: float) -> Tensor:
    z = noise(len(images), images.shape[1], round(1000 * t))
    return math.sqrt(alpha_bar(t)) * images + math.sqrt(1 - alpha_bar(t)) * z


def rms(off: Tensor) -> list[float]:
    return off.square().mean((1, 2, 3)).sqrt().tolist()


def on_made_banks(names: list[str], count: int) -> pd.DataFrame:
    rows = []
    for name in names:
        images, clean = made(name, count)
        exact, machine = (
            EquivariantLocalScoreMachine(images, engine=engine, threads=1)
            for engine in ("exact", "adaptive")
        )
        bank = adaptive.AdaptiveBank(images)
        for patch_size, dear, t in itertools.product(PATCH_SIZES, (False, True), TIMES):
            x, here = noisy(clean, t), (alpha_bar(t), patch_size)
            mean = exact.posterior_mean(x, *here)
            with mock.patch.object(adaptive, "PAIR", 1.0 if dear else adaptive.PAIR):
                alone = adaptive.posterior_sums(
                    x, bank, *here, tolerance=machine.tolerance, threads=1
                )
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    audited = machine.posterior_mean(x, *here)
            both = [rms(found - mean) for found in (alone.mean, audited)]
            for query, (way, *found) in enumerate(zip(alone.ways, *both, strict=True)):
                errors = [error / machine.tolerance for error in found]
                rows.append((name, dear, patch_size, t, query, way, *errors))
        table = pd.DataFrame(rows, columns=COLUMNS)
        print(summary(table[table["bank"] == name]).to_string(header=name == names[0]), flush=True)
    return table


COLUMNS = ["bank", "exact_is_dear", "patch_size", "t", "query", "way", "engine", "machine"]


def summary(table: pd.DataFrame) -> pd.DataFrame:
    """By bank: the worst error over the tolerance, and how many images are beyond it."""
    groups = table.groupby(["bank", "exact_is_dear"], sort=False)
    columns = {}
    for who in ("engine", "machine"):
        columns[f"{who}: worst"] = groups[who].max()
        for times in (1, 2):
            columns[f"{who} > {times}"] = groups[who].agg(lambda e, n=times: (e > n).mean())
    for way in ("subset", "index", "exact"):
        columns[way] = groups["way"].agg(lambda ways, way=way: (ways == way).mean())
    return pd.DataFrame(columns).round(3)


def along_trajectories(images: Path, scales: Path, count: int | None) -> pd.DataFrame:
    bank, sizes = to_float(load_images(images))[:count], read_scales(scales)
    exact, adaptive_one = (
        machine_x0(EquivariantLocalScoreMachine(bank, engine=engine, threads=1), None, sizes)
        for engine in ("exact", "adaptive")
    )
    rows: list[tuple] = []

    def both(x_t: Tensor, t: float) -> Tensor:
        begun = time.process_time()
        mean = exact(x_t, t)
        between = time.process_time()
        found = adaptive_one(x_t, t)
        seconds = between - begun, time.process_time() - between
        rows.extend(
            (t, scale_at(sizes, t), seed, error, *seconds)
            for seed, error in zip(SEEDS, rms(found - mean), strict=True)
        )
        return mean

    sample(both, seed_noise(list(SEEDS), tuple(bank.shape[1:])), 20)
    columns = ["t", "patch_size", "seed", "rms", "exact_seconds", "adaptive_seconds"]
    return pd.DataFrame(rows, columns=columns)


def main() -> None:
    torch.set_num_threads(1)
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("what", choices=("made", "trajectories"))
    arguments.add_argument("--banks", nargs="+", choices=BANKS, default=list(BANKS))
    arguments.add_argument("--count", type=int, help="of the bank's images")
    arguments.add_argument("--images", type=Path, default="data/prepared/mnist-32-train.npz")
    scales = HERE.parent / "checkpoints/mnist-resnet-zeros.scales.csv"
    arguments.add_argument("--scales", type=Path, default=scales)
    chosen = arguments.parse_args()
    if chosen.what == "made":
        table = on_made_banks(chosen.banks, chosen.count or 8192)
        table.to_csv(HERE / "adaptive_error_made.csv", index=False, float_format="%.3g")
        print(summary(table.assign(bank="all")).to_string())
        return
    table = along_trajectories(chosen.images, chosen.scales, chosen.count)
    square = table["rms"] ** 2
    steps = square.groupby(table["t"]).mean() ** 0.5
    seconds = table.groupby("t")[["exact_seconds", "adaptive_seconds"]].first().sum()
    row = {
        "tolerance": TOLERANCE,
        "trajectories": table["seed"].nunique(),
        "steps": len(steps),
        "images": len(table),
        "least_step_rms": steps.min(),
        "greatest_step_rms": steps.max(),
        "rms": square.mean() ** 0.5,
        "images_beyond": int((table["rms"] > TOLERANCE).sum()),
        "worst_image_rms": table["rms"].max(),
        **seconds,
    }
    print(pd.Series(row).to_string())
    pd.DataFrame([row]).to_csv(HERE / "adaptive_error.csv", index=False, float_format="%.3g")


if __name__ == "__main__":
    main()
