"""How often a wrong declaration of an external network is found, and a right one suspected.

Small networks are trained for seconds on pictures of discs and bars, each in a convention of its
own (what it predicts, its time, its range of pixels) and to three degrees, the last not at all.
Each is declared rightly and in some wrong ways. One row a declaration:

    python benchmarks/declarations.py benchmarks/declarations.csv [--quick]

The csv that is kept ends early: of TRUTHS the last two, pixels in [0, 255] and inputs that explode,
and part of the one before them were not measured. The three wrong ones of it that are not named are
of a network on pixels in [0, 1] whose time is wrong as well, or which is worse than a linear guess.

A wrong declaration is harmless where its error is no more than 1 / CLEARLY times that of the right
one: that much is not told apart.
"""

from __future__ import annotations

import csv
import math
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from patchmosaic.networks.external import ExternalNetwork, flow_time
from patchmosaic.networks.probing import (
    CLEARLY,
    FLOW,
    PIXELS,
    TABLES,
    VARIANCE_EXPLODING,
    VARIANCE_PRESERVING,
    Declaration,
    better_declaration,
    compare_declarations,
)
from patchmosaic.sampling.schedule import alpha_bar

STEPS = {"trained": 400, "badly trained": 60, "untrained": 0}
SIZE, BATCH, WIDTH = 16, 32, 32


def index(table: str) -> Callable[[float], float]:
    """The fractional index of alpha_bar in a table of 1000 levels."""
    levels = torch.from_numpy(TABLES[table].copy())
    return lambda a: float((levels.log() - math.log(a)).abs().argmin())


TIMES: dict[str, Callable[[float], float]] = {
    "linear index": index("linear"),
    "cosine index": index("cosine"),
    "reversed index": lambda a: 999 - index("linear")(a),
    "linear index / 1000": lambda a: index("linear")(a) / 1000,
    "alpha_bar": lambda a: a,
    "root of alpha_bar": math.sqrt,
    "sigma": lambda a: math.sqrt((1 - a) / a),
    "log of signal to noise": lambda a: math.log(a / (1 - a)),
    "s": flow_time,
    "1 - s": lambda a: 1 - flow_time(a),
}


@dataclass(frozen=True)
class Convention:
    """How a network is trained, or said to be: as in `probing`; minus is the sign of a flow."""

    predicts: str
    time: str
    pixels: str = "[-1, 1]"
    scale: str = VARIANCE_PRESERVING

    def direction(self) -> str | None:
        """Of a flow, as an external network's."""
        return {"flow": "to_noise", "minus flow": "to_image"}.get(self.predicts)


TRUTHS = (
    Convention("noise", "linear index"),
    Convention("noise", "cosine index"),
    Convention("noise", "reversed index"),
    Convention("noise", "linear index / 1000"),
    Convention("noise", "log of signal to noise"),
    Convention("score", "alpha_bar"),
    Convention("x0", "linear index"),
    Convention("x0", "root of alpha_bar"),
    Convention("v", "linear index"),
    Convention("v", "cosine index"),
    Convention("flow", "s", scale=FLOW),
    Convention("minus flow", "1 - s", scale=FLOW),
    Convention("noise", "linear index", pixels="[0, 1]"),
    Convention("x0", "linear index", pixels="[0, 255]"),
    Convention("noise", "sigma", scale=VARIANCE_EXPLODING),
)
PREDICTS = ("noise", "score", "x0", "v", "flow", "minus flow")
QUICK = (TRUTHS[0], TRUTHS[6], TRUTHS[8])


class Denoiser(nn.Module):
    """Four residual 3 x 3 layers, told the time by sines of it times a factor."""

    def __init__(self, factor: float, gain: float) -> None:
        super().__init__()
        self.factor, self.gain = factor, gain
        self.frequencies: Tensor
        self.register_buffer("frequencies", torch.exp(-math.log(1e4) * torch.arange(16) / 16))
        self.first = nn.Conv2d(1, WIDTH, 3, padding=1)
        self.layers = nn.ModuleList(nn.Conv2d(WIDTH, WIDTH, 3, padding=1) for _ in range(4))
        self.shifts = nn.ModuleList(nn.Linear(32, 2 * WIDTH) for _ in range(4))
        self.last = nn.Conv2d(WIDTH, 1, 3, padding=1)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        """A prediction for x (B, 1, H, W) at times (B,)."""
        angles = time.float()[:, None] * self.factor * self.frequencies
        waves = torch.cat([angles.sin(), angles.cos()], 1)
        h = self.first(x / self.gain)
        for layer, shift in zip(self.layers, self.shifts, strict=True):
            scale, bias = shift(waves)[:, :, None, None].chunk(2, 1)
            h = h + layer(nn.functional.silu(h * (1 + scale) + bias))
        return self.last(nn.functional.silu(h)) * self.gain


def pictures(count: int, seed: int) -> Tensor:
    """Discs and bars of random places, sizes and grays: float32 (count, 1, SIZE, SIZE)."""
    random = torch.Generator().manual_seed(seed)
    rows = torch.arange(SIZE)[:, None].float()
    columns = rows.T
    found = torch.empty(count, 1, SIZE, SIZE)
    for image in found:
        row, column, radius, ground, shade, kind = torch.rand(6, generator=random).tolist()
        far = (rows - SIZE * row).abs(), (columns - SIZE * column).abs()
        inside = (far[0] ** 2 + far[1] ** 2).sqrt() if kind < 0.5 else far[0] + 0 * far[1]
        image[0] = torch.where(inside < 2 + 4 * radius, 2 * shade - 1, -0.8 + 0.4 * ground)
    return found


def asked(convention: Convention, x_0: Tensor, noise: Tensor, a_bar: Tensor) -> tuple:
    """(input, target) of a training in a convention; a_bar (B, 1, 1, 1)."""
    factor, offset = PIXELS[convention.pixels]
    own = factor * x_0 + offset
    alpha, beta = a_bar.sqrt(), (1 - a_bar).sqrt()
    targets = {
        "noise": noise,
        "score": -noise / beta,
        "x0": own,
        "v": alpha * noise - beta * own,
        "flow": noise - own,
        "minus flow": own - noise,
    }
    norm: dict[str, Tensor | int] = {
        VARIANCE_PRESERVING: 1,
        VARIANCE_EXPLODING: alpha,
        FLOW: alpha + beta,
    }
    return (alpha * own + beta * noise) / norm[convention.scale], targets[convention.predicts]


def trained(convention: Convention, steps: int, images: Tensor) -> nn.Module:
    """A network trained in a convention on uniformly drawn times of this project's schedule."""
    torch.manual_seed(0)
    time_of = TIMES[convention.time]
    levels = [alpha_bar(i / 100) for i in range(2, 96)]
    times = torch.tensor([time_of(a) for a in levels])
    factor = 1.0 if float(times.max() - times.min()) > 100 else 100.0
    gain = PIXELS[convention.pixels][0] if convention.predicts == "x0" else 1.0
    module = Denoiser(factor, gain)
    optimiser = torch.optim.Adam(module.parameters(), lr=2e-3)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = 2e-3 * (1 - step / steps)
        which = torch.randint(len(levels), (BATCH,))
        a_bar = torch.tensor(levels)[which][:, None, None, None]
        x_0 = images[torch.randint(len(images), (BATCH,))]
        x, target = asked(convention, x_0, torch.randn_like(x_0), a_bar)
        weight = 1 - a_bar if convention.predicts == "score" else 1 / gain**2
        loss = (weight * (module(x, times[which]) - target).square()).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return module.eval()


def declarations(truth: Convention) -> Iterator[Convention]:
    """What may be declared of a network: the right one where it can be, and four wrong ones."""
    own_scale = FLOW if "flow" in truth.predicts else VARIANCE_PRESERVING
    if truth.pixels == "[-1, 1]" and truth.scale == own_scale:
        yield truth
    wrong = PREDICTS.index(truth.predicts) + 1, TRUTHS.index(truth)
    for predicts in (PREDICTS[(wrong[0] + i) % len(PREDICTS)] for i in range(2)):
        yield Convention(
            predicts, truth.time, scale=FLOW if "flow" in predicts else VARIANCE_PRESERVING
        )
    others = [time for time in TIMES if time != truth.time]
    for time in (others[wrong[1] % len(others)], f"{truth.time} / 1000"):
        yield Convention(truth.predicts, time, scale=own_scale)


def time_of(name: str) -> Callable[[float], float]:
    """A time by its name, times or over 1000 where that says so."""
    for ending, factor in ((" x 1000", 1000.0), (" / 1000", 1e-3)):
        if name not in TIMES and name.endswith(ending):
            return lambda a: factor * TIMES[name.removesuffix(ending)](a)
    return TIMES[name]


def compared(module: nn.Module, declared: Convention, images: Tensor) -> list[Declaration]:
    """`compare_declarations` of a module that is declared so."""
    predicts = declared.predicts.removeprefix("minus ")
    network = ExternalNetwork(
        module, time_of(declared.time), predicts, Path("made"), declared.direction()
    )
    return compare_declarations(network, images, None)


def right_error(module: nn.Module, truth: Convention, images: Tensor) -> float:
    """The error of the right declaration, which may be one that only the probe can state."""
    found = compared(module, Convention("noise", truth.time), images)
    return next(
        d.error
        for d in found
        if (d.predicts, d.time, d.pixels) == (truth.predicts, "as declared", truth.pixels)
        and d.input == truth.scale
    )


def rows(truths: tuple[Convention, ...]) -> Iterator[dict[str, object]]:
    """One row a declaration of each network that is trained; networks of few steps, every third."""
    images = pictures(2000, 0)
    for position, truth in enumerate(truths):
        for degree, steps in STEPS.items():
            if degree != "trained" and position % 3:
                continue
            module = trained(truth, steps, images)
            right = right_error(module, truth, images)
            for declared in declarations(truth):
                found = compared(module, declared, images)
                best = better_declaration(found)
                is_right = declared == truth
                kind = "right" if is_right else "wrong"
                if not is_right and found[0].error <= right / CLEARLY:
                    kind = "harmless"
                yield {
                    "network": f"{truth.predicts}, {truth.time}, {truth.pixels}, {truth.scale}",
                    "degree": degree,
                    "declared": f"{declared.predicts}, {declared.time}",
                    "declaration": kind,
                    "error": f"{found[0].error:.4g}",
                    "right_error": f"{right:.4g}",
                    "named": found[0].differences(best) if best else "",
                    "named_error": f"{best.error:.4g}" if best else "",
                }


if __name__ == "__main__":
    torch.set_num_threads(1)
    path, *options = sys.argv[1:]
    made = []
    for row in rows(QUICK if "--quick" in options else TRUTHS):
        made.append(row)
        print(*row.values(), sep=" | ", flush=True)
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, list(made[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(made)
    for degree in STEPS:
        for kind in ("right", "wrong", "harmless"):
            of_kind = [r for r in made if r["degree"] == degree and r["declaration"] == kind]
            print(f"{degree}, {kind}: {sum(bool(r['named']) for r in of_kind)} of {len(of_kind)}")
