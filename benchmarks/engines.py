"""Measure the engines of the ELS machine side by side, in one run on one machine.

python benchmarks/engines.py            # about 35 minutes on two cores; --quick: 3 minutes

Needs prepared images (snakemake -- data/prepared/mnist-32-train.npz). Every case runs in a process
of its own, so that its peak memory is its own. Writes benchmarks/engines.csv, a row a case, and
benchmarks/engines.png: time against the number of training images and against the patch size.

Pairs are those of the definition, query pixel and candidate patch: the adaptive engine, which does
not visit all, is given the same number, so that its rate is that of an exact engine as fast.
The colour sample is of 5,000 images, as many as a class of CIFAR-10 has; the calibration computes
all P from 3 to 17 at 20 steps with 5,000 images, its time given for 10 trajectories.
Whole samples (with other seeds each) and calibrations are medians of three runs; the slowest stands
beside. The adaptive engine samples ten times as many at once, 20 as in the default experiment,
because all share its indices.
The dense engine is measured on few images: its time is proportional to them. Its time for a sample
is the sum over the schedule of its measured times at each P, scaled to the bank.

Beside the engines stand what a reader would write with the library, on the pixels whose patch lies
within the image, all of which share their candidates: "attention", softmax attention of patches in
float32 by the library's own kernel, and "matmul", the same by a product and a softmax. Seconds of
CPU are those of all threads; `largest_error` is that of a posterior mean against `dense`.

python benchmarks/engines.py --other theirs.py    # beside other code, such as the paper's own

theirs.py is yours, and defines posterior_mean(x, images, alpha_bar, patch_size) by whatever is
installed: float32 (B, C, H, W) of x of that shape and images (N, C, H, W), ELS with zero boundary.
"""

from __future__ import annotations

import argparse
import json
import resource
import runpy
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from torch.nn import functional

from patchmosaic.datasets.images import load_images, to_float
from patchmosaic.engines.adaptive import pairs
from patchmosaic.machines.audit import root_mean_square
from patchmosaic.machines.local import EquivariantLocalScoreMachine
from patchmosaic.sampling.sampler import machine_x0, sample, seed_noise
from patchmosaic.sampling.scales import read_scales
from patchmosaic.sampling.schedule import alpha_bar, reverse_times

HERE = Path(__file__).parent
FIRST_SEED = 3_000_000  # neither evaluation nor calibration
BASELINES, OTHER = ("attention", "matmul"), "other"
FEW_IMAGES = 200  # for what is compared with `dense`; its time is proportional to them
MATMUL_QUERIES = 256  # at once, of which the weights fit in memory


def bank(case: dict) -> torch.Tensor:
    images = to_float(load_images(case["file"]))
    chosen = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
    images = images[chosen[: case["images"]]]
    if case["channels"] == 3:  # shifted copies: not equal, but as smooth
        images = torch.cat([images.roll(k, dims=3) for k in range(3)], dim=1)
    return images


def machine_of(case: dict, images: torch.Tensor) -> EquivariantLocalScoreMachine:
    machine = EquivariantLocalScoreMachine(images, engine=case["engine"], threads=case["threads"])
    machine.audited_rows = 0  # the engine's own time; audits are measured in `sample`
    return machine


Mean = Callable[[torch.Tensor, float, int], torch.Tensor]


def baseline(engine: str, images: torch.Tensor) -> Mean:
    """Interior pixels of the posterior mean of ELS, zero boundary, as the library computes it.

    With s2 = 1 - a: -|x - sqrt(a) y|^2 / 2 s2 is, up to a term of x alone, the product of
    (sqrt(a) x / s2, 1) and (y, -a |y|^2 / 2 s2), so ELS is attention with these queries and keys.

    Returns:
        A function of x (B, C, H, W), a and P: (B, C, H - P + 1, W - P + 1).
    """
    channels = images.shape[1]

    def patches(some: torch.Tensor, patch_size: int) -> torch.Tensor:
        return (
            functional.unfold(some, patch_size)
            .transpose(1, 2)
            .reshape(-1, channels * patch_size**2)
        )

    def mean(x: torch.Tensor, a: float, patch_size: int) -> torch.Tensor:
        half, within = patch_size // 2, x.shape[-1] - patch_size + 1
        q, k = patches(x, patch_size), patches(images, patch_size)
        bias = -a * k.square().sum(1, keepdim=True) / (2 * (1 - a))
        v = k.view(len(k), channels, -1)[:, :, patch_size * half + half]
        q = torch.cat([q * (a**0.5 / (1 - a)), torch.ones(len(q), 1)], 1)
        k = torch.cat([k, bias], 1)
        if engine == "attention":
            v = functional.pad(v, (0, k.shape[1] - channels))  # its kernel wants one width
            q, k, v = (part[None, None] for part in (q, k, v))
            found = functional.scaled_dot_product_attention(q, k, v, scale=1.0)[0, 0, :, :channels]
        else:
            parts = [torch.softmax(some @ k.T, 1) @ v for some in q.split(MATMUL_QUERIES)]
            found = torch.cat(parts)
        return found.view(len(x), within, within, channels).permute(0, 3, 1, 2)

    return mean


def other_code(path: str, images: torch.Tensor) -> Mean:
    """The posterior mean that somebody's file defines."""
    found = runpy.run_path(path)["posterior_mean"]
    return lambda x, a, patch_size: found(x, images, a, patch_size)


def mean_of(case: dict, images: torch.Tensor) -> Mean:
    """The posterior mean by the engine, baseline or other code of a case."""
    if case["engine"] in BASELINES:
        return baseline(case["engine"], images)
    if case["engine"] == OTHER:
        return other_code(case["other"], images)
    return machine_of(case, images).posterior_mean


def pairs_of(images: torch.Tensor, patch_size: int) -> int:
    """Pairs of query pixel and candidate patch in one of the images, zero boundary."""
    height, width = images.shape[2:]
    return pairs(height, width, patch_size, "zeros", "wrapped")


def one_step(case: dict) -> dict:
    """Median seconds of a posterior mean, after a first call that lays out the bank."""
    images = bank(case)
    x_0, noise = (
        images[: case["batch"]],
        seed_noise(list(range(FIRST_SEED, FIRST_SEED + case["batch"])), tuple(images.shape[1:])),
    )
    a_bar, patch_size = alpha_bar(case["t"]), case["patch_size"]
    x_t = a_bar**0.5 * x_0 + (1 - a_bar) ** 0.5 * noise
    mean = mean_of(case, images)
    if case["engine"] != "dense":
        mean(x_t, a_bar, patch_size)
    seconds, cpu_seconds = [], []
    for _ in range(1 if case["engine"] == "dense" else case["repeats"]):
        began, cpu_began = time.perf_counter(), time.process_time()
        found = mean(x_t, a_bar, patch_size)
        seconds.append(time.perf_counter() - began)
        cpu_seconds.append(time.process_time() - cpu_began)
    each = pairs_of(images, patch_size)
    measured = {"seconds": float(np.median(seconds)), "cpu_seconds": float(np.median(cpu_seconds))}
    if case["engine"] in (*BASELINES, OTHER):
        exactly = EquivariantLocalScoreMachine(images, engine="dense", threads=case["threads"])
        expected = exactly.posterior_mean(x_t[:1], a_bar, patch_size)
        if case["engine"] != OTHER:
            within = slice(patch_size // 2, images.shape[-1] - patch_size // 2)
            expected, each = expected[..., within, within], found.shape[-1] ** 4
        measured["largest_error"] = float((found[:1] - expected).abs().max())
    return {**measured, "pairs": each * len(images) * case["batch"]}


def whole_sample(case: dict) -> dict:
    """Median seconds of a batch of samples over a calibrated schedule, with audits and indices."""
    images = bank(case)
    scales = read_scales(Path(case["scales"]))
    total = sum(pairs_of(images, p) for p in scales.values())
    seconds, cpu_seconds, audits, results = [], [], [], []
    for repeat in range(case["repeats"]):
        machine = machine_of(case, images)
        machine.audited_rows = type(machine).audited_rows
        first = FIRST_SEED + repeat * case["batch"]
        noise = seed_noise(list(range(first, first + case["batch"])), tuple(images.shape[1:]))
        began, cpu_began = time.perf_counter(), time.process_time()
        results.append(sample(machine_x0(machine, None, scales), noise, 20).numpy())
        seconds.append(time.perf_counter() - began)
        cpu_seconds.append(time.process_time() - cpu_began)
        audits += machine.audits
        del machine  # its indices, before the next makes its own
    np.save(case["keep"], np.concatenate(results))
    return {
        "seconds": float(np.median(seconds)),
        "slowest": max(seconds),
        "cpu_seconds": float(np.median(cpu_seconds)),
        "pairs": total * len(images) * case["batch"],
        "audited_rms": root_mean_square(audits) if audits else None,
    }


def calibration(case: dict) -> dict:
    """Median seconds of the posterior means that a calibration takes: every P at every step."""
    images = bank(case)
    machine = machine_of(case, images)
    shape = tuple(images.shape[1:])
    noise = seed_noise(list(range(FIRST_SEED, FIRST_SEED + case["batch"])), shape)
    seconds, cpu_seconds = [], []
    for _ in range(case["repeats"]):
        began, cpu_began = time.perf_counter(), time.process_time()
        for t in reverse_times(20)[:-1]:
            a_bar = alpha_bar(t)
            x_t = a_bar**0.5 * images[: case["batch"]] + (1 - a_bar) ** 0.5 * noise
            for patch_size in range(3, 18, 2):
                machine.posterior_mean(x_t, a_bar, patch_size)
        seconds.append(time.perf_counter() - began)
        cpu_seconds.append(time.process_time() - cpu_began)
    total = 20 * sum(pairs_of(images, p) for p in range(3, 18, 2))
    return {
        "seconds": float(np.median(seconds)),
        "slowest": max(seconds),
        "cpu_seconds": float(np.median(cpu_seconds)),
        "pairs": total * len(images) * case["batch"],
    }


MEASURES = {"sample": whole_sample, "calibration": calibration}  # and one_step


def measure(case: dict) -> dict:
    """Run a case in a process of its own."""
    command = [sys.executable, __file__, "--case", json.dumps(case)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{case}:\n{done.stderr}")
    found = {**case, **json.loads(done.stdout.splitlines()[-1])}
    found["pairs_per_second"] = found["pairs"] / found["seconds"]
    keys = ("kind", "engine", "patch_size", "images", "channels", "batch", "threads", "seconds")
    print("  ".join(f"{found[key]:.3g}" if key == "seconds" else f"{found[key]}" for key in keys))
    return {
        key: value for key, value in found.items() if key not in ("file", "scales", "keep", "other")
    }


def cases(arguments: argparse.Namespace) -> list[dict]:
    """The measurements: against P, N, channels, batch and threads, and a whole sample."""
    quick, n = arguments.quick, arguments.bank
    base = {"kind": "P", "file": arguments.images, "channels": 1, "batch": 4, "threads": 2}
    base |= {"patch_size": 7, "images": n, "t": 0.4, "repeats": 3}
    found = []
    table = pd.read_csv(arguments.scales)
    times = table.groupby("patch_size")["t"].median()  # where the schedule uses each P
    for patch_size, t in times.items():
        here = {**base, "patch_size": int(patch_size), "t": float(t)}
        found.append({**here, "engine": "dense", "images": 100, "batch": 1})
        found.append({**here, "engine": "exact", "images": 2000})
        slow = (*BASELINES, OTHER) if arguments.other else BASELINES
        found += [
            {**here, "engine": e, "images": FEW_IMAGES, "other": arguments.other} for e in slow
        ]
        if not quick:
            found.append({**here, "engine": "adaptive"})
    for images in (25, 50, 100, 200):
        found.append({**base, "kind": "N", "engine": "dense", "images": images, "batch": 1})
    for images in (500, 2000, 8000) if quick else (500, 2000, 8000, n):
        for engine in ("exact", "adaptive"):
            found.append({**base, "kind": "N", "engine": engine, "images": images, "repeats": 1})
    few = {**base, "engine": "exact", "images": 2000}
    found += [{**few, "kind": "channels", "channels": c, "batch": 1} for c in (1, 3)]
    found += [{**few, "kind": "batch", "batch": b} for b in (1, 4, 16)]
    found += [{**few, "kind": "threads", "threads": k} for k in (1, 2)]
    return found


def report(rows: pd.DataFrame) -> str:
    """Ratios between engines, measured in this run."""
    lines = []
    rates = rows[rows["kind"] == "P"].pivot(
        index="patch_size", columns="engine", values="pairs_per_second"
    )
    for engine in [e for e in ("exact", "adaptive") if e in rates]:
        times = (rates[engine] / rates["dense"]).round().astype(int)
        text = ", ".join(f"P {patch_size}: {n}" for patch_size, n in times.items())
        lines.append(f"{engine} over dense, pairs a second: {text}")
    some = rows[rows["kind"] == "P"]
    each = (
        (some["cpu_seconds"] / some["pairs"]).groupby([some["engine"], some["patch_size"]]).first()
    )
    for engine in [e for e in (*BASELINES, OTHER, "dense") if e in each.index]:
        times = (each[engine] / each["exact"]).round(1)
        text = ", ".join(f"P {patch_size}: {n}" for patch_size, n in times.items())
        lines.append(f"exact over {engine}, pairs a CPU second: {text}")
    whole = rows[(rows["kind"] == "sample") & (rows["channels"] == 1)].set_index("engine")
    each = whole["seconds"] / whole["batch"]
    for engine, seconds in each.items():
        ratio = each["dense"] / seconds
        lines.append(f"a sample, {engine}: {seconds:.1f} s, {ratio:.0f} times as fast as dense")
    for row in rows[(rows["kind"] == "sample") & (rows["channels"] == 3)].itertuples():
        seconds = row.seconds / row.batch
        lines.append(f"a sample in colour, {row.engine}, {row.images:,} images: {seconds:.1f} s")
    for row in rows[rows["kind"] == "calibration"].itertuples():
        minutes = 10 * row.seconds / row.batch / 60
        lines.append(f"a calibration, {row.images:,} images, 10 trajectories: {minutes:.1f} min")
    return "\n".join(lines)


def plot(rows: pd.DataFrame, path: Path) -> None:
    figure, (left, right) = plt.subplots(1, 2, figsize=(7, 3), layout="constrained")
    for engine, marker in (("dense", "o"), ("exact", "s"), ("adaptive", "^")):
        some = rows[(rows["kind"] == "N") & (rows["engine"] == engine)].sort_values("images")
        seconds = some["seconds"] / some["batch"]
        slope = np.polyfit(np.log(some["images"]), np.log(seconds), 1)[0]
        left.loglog(some["images"], seconds, marker=marker, label=f"{engine}, slope {slope:.2f}")
        some = rows[(rows["kind"] == "P") & (rows["engine"] == engine)].sort_values("patch_size")
        if len(some):
            nanoseconds = 1e9 / some["pairs_per_second"]
            slope = np.polyfit(np.log(some["patch_size"]), np.log(nanoseconds), 1)[0]
            label = f"{engine}, slope {slope:.2f}"
            right.loglog(some["patch_size"], nanoseconds, marker=marker, label=label)
    left.set(xlabel="training images, at P = 7", ylabel="seconds an image and step")
    right.set(xlabel="patch size P (pixels)", ylabel="nanoseconds a pair")
    sizes = sorted(rows["patch_size"].dropna().unique().astype(int))
    right.set_xticks(sizes, sizes)
    right.minorticks_off()
    for axes in (left, right):
        axes.legend(fontsize=7)
        axes.grid(alpha=0.3)
    figure.savefig(path, dpi=200)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", default="data/prepared/mnist-32-train.npz")
    parser.add_argument(
        "--scales", default=HERE.parent / "checkpoints/mnist-resnet-zeros.scales.csv"
    )
    parser.add_argument("--bank", type=int, default=60000, help="training images of the sample")
    parser.add_argument("--batch", type=int, default=2, help="samples computed together, exactly")
    parser.add_argument("--quick", action="store_true", help="no whole sample")
    parser.add_argument("--output", type=Path, default=HERE / "engines")
    parser.add_argument("--other", help="a file that defines posterior_mean")
    parser.add_argument("--case", type=json.loads, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.case:
        torch.set_num_threads(arguments.case["threads"])
        found = MEASURES.get(arguments.case["kind"], one_step)(arguments.case)
        found["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps(found))
        return
    if not Path(arguments.images).exists():
        sys.exit(f"{arguments.images} is not there; make it: snakemake -- {arguments.images}")
    arguments.images, arguments.scales = str(arguments.images), str(arguments.scales)
    rows = [measure(case) for case in cases(arguments)]
    if not arguments.quick:
        rows += samples(arguments, pd.DataFrame(rows))
    rows = pd.DataFrame(rows)
    rows.to_csv(arguments.output.with_suffix(".csv"), index=False, float_format="%.6g")
    plot(rows, arguments.output.with_suffix(".png"))
    print(report(rows))


def samples(arguments: argparse.Namespace, rows: pd.DataFrame) -> list[dict]:
    """A whole sample by each engine, and how far the adaptive images are from the exact ones."""
    case = {"kind": "sample", "file": arguments.images, "scales": arguments.scales, "channels": 1}
    case |= {"images": arguments.bank, "threads": 2, "batch": arguments.batch, "patch_size": None}
    case["repeats"] = 3
    keep = {engine: f"{arguments.output}-{engine}.npy" for engine in ("exact", "adaptive")}
    colour = {**case, "engine": "exact", "images": 5000, "keep": keep["exact"]}
    others = [measure({**colour, "channels": 3, "batch": 2 * arguments.batch})]
    others.append(measure({**colour, "kind": "calibration"}))
    batches = {"exact": arguments.batch, "adaptive": 10 * arguments.batch}
    found = [
        measure({**case, "engine": engine, "batch": batches[engine], "keep": keep[engine]})
        for engine in keep
    ]
    exact, adaptive = (np.load(path) for path in keep.values())
    both = zip(exact, adaptive[: len(exact)], strict=True)  # the same seeds
    found[1]["median_pearson_r_with_exact"] = float(
        np.median([np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in both])
    )
    for path in keep.values():
        Path(path).unlink()
    dense = rows[(rows["kind"] == "P") & (rows["engine"] == "dense")].set_index("patch_size")
    steps = pd.read_csv(arguments.scales)["patch_size"]
    scaled = dense.loc[steps, "seconds"] * arguments.bank / dense.loc[steps, "images"]
    pairs, seconds = found[0]["pairs"] / arguments.batch, float(scaled.sum())
    total = {**found[0], "engine": "dense", "batch": 1, "seconds": seconds, "pairs": pairs}
    total |= {"peak_mib": dense["peak_mib"].max(), "slowest": None}
    total["pairs_per_second"] = pairs / seconds
    return [*found, total, *others]


if __name__ == "__main__":
    main()
