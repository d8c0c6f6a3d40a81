"""What machines, networks and the start of a job cost on this computer, measured in some seconds.

``python -m patchmosaic.analysis.costs`` with a list of questions as JSON on standard input writes
a list of answers as JSON. ``workflow/estimate.py`` asks what a plan needs, and multiplies. A
question is a mapping whose "ask" names a function of this file, the rest its arguments; an answer
is null where it cannot be measured, as that of a network whose weights are not there yet.

All is in seconds of one core: processor time, which other work on the computer disturbs least.
What machines take depends on their images: these are some of the prepared ones where they are
there, else made up, smooth shapes on a ground.
"""

from __future__ import annotations

import json
import math
import resource
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from tqdm.auto import tqdm

from patchmosaic.analysis.patch_origins import provenance
from patchmosaic.datasets.images import load_images, to_float
from patchmosaic.datasets.pictures import decode
from patchmosaic.datasets.preparation import prepared_picture
from patchmosaic.engines import adaptive, native
from patchmosaic.engines.base import PosteriorSums
from patchmosaic.machines.base import CandidateMachine, Machine
from patchmosaic.machines.build import build_machine
from patchmosaic.machines.local import IMAGES_A_ROW, EquivariantLocalScoreMachine
from patchmosaic.machines.own import OwnMachine
from patchmosaic.networks.build import build_network
from patchmosaic.networks.checkpoints import load_checkpoint
from patchmosaic.networks.config import NetworkConfig
from patchmosaic.networks.training import measure_precisions
from patchmosaic.sampling.schedule import alpha_bar
from patchmosaic.system.records import RecordError

LEAST_SECONDS = 0.02  # that a measurement takes: below, it is of more images, or repeated
LONG_SECONDS = 0.1  # beyond, it is not repeated
QUERIES = 2
BANKS = (16, 256, 2048)  # images, until they take long enough, which of the first says little
PILOT_PAIRS, LEAST_PILOT = 2e8, 128  # pairs of patches for one query; 8 groups of 16 images
PILOTS = 1024  # images that the adaptive engine's plan is made from
INDEX_IMAGES = (192, 1536)  # of which indices are built, to tell what each further patch takes
INDEX_PATCH, INDEX_PIXELS = 7, 64  # and drawn from
MIDDLE = 0.3  # t of what is asked about once
ORIGINS = (2, 6)  # images of which patches are looked for, or so many times as many small ones
UNSEEN_IMAGES = 32
PICTURES = 8
TRAINED = 16  # images of a step of training
PRODUCT = 768  # side of square matrices
IMPORTS = {
    "seconds": "import torch, pandas",
    "light": "import numpy, pandas",
    "figure": "import pandas, matplotlib.figure, matplotlib.backends.backend_agg, seaborn",
}


def start() -> dict[str, float]:
    """What a job takes to start: with torch, with tables alone, and to draw a figure.

    Returns:
        seconds, light, figure; bytes: of memory that a process with torch has.
    """
    found: dict[str, float] = {}
    for name, imports in IMPORTS.items():
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-c", imports], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found[name] = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    found["bytes"] = after.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return found


def product() -> dict[str, float]:
    """Seconds of a multiply-add in a product of large float32 matrices."""
    a = torch.rand(PRODUCT, PRODUCT)
    return {"seconds": _seconds(lambda: a @ a) / PRODUCT**3}


def pictures(local: str, size: int, channels: int) -> dict[str, float] | None:
    """Seconds to decode and prepare one picture of a folder; null for what is no folder."""
    found: list[bytes] = []
    for path in sorted(Path(local).rglob("*")) if Path(local).is_dir() else ():
        if path.suffix.lower() in (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"):
            found.append(path.read_bytes())
        if len(found) == PICTURES:
            break

    def read() -> None:
        for content in found:
            prepared_picture(decode(content, Counter()), size, channels)

    return {"seconds": _seconds(read) / len(found)} if found else None


def network(
    shape: Sequence[int],
    settings: Mapping[str, Any] | None = None,
    checkpoint: Sequence[str] = (),
    conditional: bool = False,
) -> dict[str, float] | None:
    """Seconds of a network's answer for one image, and of one with its gradient.

    Args:
        shape: (C, H, W) of its images.
        settings: of :class:`NetworkConfig`; or
        checkpoint: its files, as :func:`load_checkpoint` takes them.
        conditional: whether it is told the class.
    """
    if settings is not None:
        module = build_network(NetworkConfig(**settings)).eval()
    else:
        try:
            module, _ = load_checkpoint(*map(Path, checkpoint))
        except (RecordError, OSError):
            return None
    x = torch.zeros(QUERIES, *shape)
    t, labels = torch.full((QUERIES,), 0.5), torch.zeros(QUERIES, dtype=torch.long)

    def ask(some: Tensor) -> Tensor:
        return module(some, t, labels if conditional else None)

    def gradient() -> None:
        some = x.clone().requires_grad_()
        torch.autograd.grad(ask(some).sum(), some)

    with torch.inference_mode():
        forward = _seconds(lambda: ask(x)) / QUERIES
    return {"seconds": forward, "gradient": _seconds(gradient) / QUERIES}


def training(settings: Mapping[str, Any], precision: str, batch: int) -> dict[str, float]:
    """Seconds of a training step for one image; "auto" is the faster precision."""
    config = NetworkConfig(**settings)
    images = torch.zeros(min(batch, TRAINED), config.image_channels, config.size, config.size)
    labels = torch.zeros(len(images), dtype=torch.long) if config.classes else None
    module = build_network(config).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    began = time.perf_counter()
    of_processor = -time.process_time()
    rates = measure_precisions(module, images, labels)
    of_processor = (of_processor + time.process_time()) / (time.perf_counter() - began)
    rate = max(rates.values()) if precision == "auto" else rates[precision]
    return {"seconds": of_processor / rate}


def machine(
    machine: str,
    engine: str,
    images: str,
    shape: Sequence[int],
    boundary: str,
    candidates: str,
    sizes: Sequence[int],
    times: Sequence[float],
    own: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Seconds of a machine's answer to one query, in terms of its bank of N images.

    Args:
        machine: its name.
        engine: one that computes exactly.
        images: path of the prepared images.
        shape: (C, H, W) of the images.
        boundary, candidates: as of :class:`patchmosaic.machines.base.CandidateMachine`.
        sizes: odd P that it is asked with, [] if it needs no scales.
        times: t of the noisy images that it is asked about.
        own: of a machine of one's own, what :class:`OwnMachine` is made with.

    Returns:
        images: n of the bank that is measured; once: seconds before the first answer, of n images;
        fixed, each: at every size (one row without sizes) and time, seconds of an answer are
        ``fixed + each N``; bytes: of the engine's bank, for each value of the images.
    """
    rows: list[list[tuple[float, float]]] = []
    once, count, bytes_a_value = 0.0, 0, 0
    for size in sizes or (None,):
        row = []
        for t in times:
            measured: list[tuple[int, float]] = []
            for n in BANKS:
                some = _images(images, tuple(shape), n + QUERIES)
                bank, x = some[:-QUERIES], _noisy(some[-QUERIES:], t)
                made = _machine(machine, bank, engine, boundary, candidates, own)
                answer = partial(made.posterior_mean, x, alpha_bar(t), size)
                first, there = _taken(answer), len(bank)
                prepares = not isinstance(made, CandidateMachine)
                again = prepares or first < LONG_SECONDS
                seconds = min(_taken(answer), first) if again else first
                measured.append((there, seconds / QUERIES))
                if there > count:
                    once, count = max(first - seconds, 0.0), there
                if isinstance(made, CandidateMachine):
                    bytes_a_value = made._engine.bytes_a_value
                enough = LONG_SECONDS if n == BANKS[0] else LEAST_SECONDS
                if seconds > enough or there < n:
                    break
            row.append(_line(measured))
        rows.append(row)
    return {
        "images": count,
        "once": once,
        "fixed": [[fixed for fixed, _ in row] for row in rows],
        "each": [[each for _, each in row] for row in rows],
        "bytes": bytes_a_value,
    }


def origins(
    images: str, shape: Sequence[int], boundary: str, candidates: str, sizes: Sequence[int]
) -> dict[str, list[float]]:
    """Seconds to look for the patches behind all pixels of an image, of each image of a bank.

    Args:
        images, shape, boundary, candidates: as of :func:`machine`.
        sizes: odd P, which seconds is of.
    """
    times = max(1024 // math.prod(shape[1:]), 1)
    few, more = (_images(images, tuple(shape), times * n) for n in ORIGINS)
    question = _noisy(few[:1], MIDDLE)[0]

    def seconds(bank: Tensor, size: int) -> float:
        call = partial(provenance, question, bank, alpha_bar(MIDDLE), size)
        return _seconds(lambda: call(boundary, candidates, dtype=torch.float32))

    each = [(seconds(more, size) - seconds(few, size)) / (len(more) - len(few)) for size in sizes]
    return {"seconds": [max(value, 0.0) for value in each]}


def _machine(
    name: str,
    bank: Tensor,
    engine: str,
    boundary: str,
    candidates: str,
    own: Mapping[str, Any] | None,
) -> Machine:
    if own is not None:
        settings = {key: value for key, value in own.items() if key != "path"}
        return OwnMachine(bank, None, Path(own["path"]), boundary=boundary, **settings)
    return build_machine(
        name, bank, boundary=boundary, candidates=candidates, engine=engine, threads=1
    )


def _line(measured: Sequence[tuple[int, float]]) -> tuple[float, float]:
    """Seconds without images and of each image more, by the last two numbers of images."""
    n, seconds = measured[-1]
    before, less = measured[-2] if len(measured) > 1 else (0, 0.0)
    each = (seconds - less) / (n - before) if n > before else 0.0
    each = min(max(each, 0.0), seconds / n)
    return seconds - each * n, each


def plan(
    images: str,
    shape: Sequence[int],
    boundary: str,
    candidates: str,
    bank: int,
    queries: int,
    tolerance: float,
    points: Sequence[tuple[float, int]],
) -> dict[str, Any] | None:
    """What the adaptive engine takes, by its own plan: a subset, the index, or the whole bank.

    How large a subset has to be follows from its first one, of PILOT images, as in the engine.

    Args:
        images, shape, boundary, candidates: as of :func:`machine`.
        bank: images of the bank.
        queries: images that are asked about together.
        tolerance: of the engine.
        points: (t, P) of each call.

    Returns:
        seconds: of each call, without an index; builds: seconds of the index that it needs, 0 for
        none; ways: share of the queries for each way; bytes: of the largest index; bytes_a_value:
        of the engine's bank. Null where the kernel is not compiled.
    """
    if not native.available():
        return None
    there = _images(images, tuple(shape), min(bank, PILOTS) + QUERIES)
    some, questions = there[:-QUERIES], there[-QUERIES:]
    imagined = _Imagined(bank, some)
    seconds, builds, ways, most = [], [], [], 0
    for t, size in points:
        settings = (boundary, candidates, tolerance, 1)
        search = adaptive._Search(cast(Any, imagined), alpha_bar(t), size, *settings)
        few = search.pairs * LEAST_PILOT > PILOT_PAIRS  # pairs enough of one query
        x = _noisy(questions[: 1 if few else QUERIES], t)
        here = {"subset": 0.0, "index": 0.0, "exact": 0.0}
        # Seconds of an image for one query, in a large part of the bank and in groups of a few.
        part = imagined.part.native[: _pilot_size(search)]
        each = _seconds(partial(_sums, x, part, search)) / (len(part) * len(x))
        in_groups, ratios = each, [(math.inf, math.inf)]
        if bank >= 4 * adaptive.PILOT:  # as in the engine; below, no subset is tried
            in_groups, ratios = _pilot(x, imagined, search)
        slower = each * bank / search.exact_seconds
        exact, draws, build = each * bank, 0.0, 0.0
        if search.indexable:
            draw, none, patch = _index(images, tuple(shape), search.wrapped)
            draws = (search.index_seconds - search.border_seconds) * draw
            draws += search.border_seconds * slower
            inside = _inside(shape, size, search.wrapped)
            build = none + patch * inside * bank
            most = max(most, adaptive.BYTES_A_PATCH * inside * bank)
        by_index = search.indexable and draws < exact
        worth = bank * (draws / exact if by_index else 0.5)
        taken, rarest = adaptive.PILOT, bank // adaptive.RAREST
        total = 0.0
        for pair in ratios:
            ratio = max(pair)
            if ratio == math.inf:
                here["index" if by_index else "exact"] += 1
                total += draws if by_index else exact
                continue
            needed = max(ratio, 2) * taken if ratio > 1 else taken
            total += in_groups * taken
            if max(pair[0] / adaptive.HOPELESS, pair[1], 2) * taken < worth:
                total += each * rarest
            doubled = taken * 2 ** math.ceil(math.log2(needed / taken))
            if needed < worth and doubled <= (bank - rarest) // 2:
                here["subset"] += 1 / len(ratios)
                total += in_groups * (doubled - taken)
            else:
                here["index" if by_index else "exact"] += 1 / len(ratios)
                total += draws if by_index else exact
        total *= queries / len(ratios)
        if here["exact"] < 1:
            rows = max(EquivariantLocalScoreMachine.audited_rows, -(-queries // IMAGES_A_ROW))
            total += rows * _row(x[:1], imagined, search) * bank
        seconds.append(float(total))
        builds.append(build if here["index"] else 0.0)
        ways.append(here)
    return {
        "seconds": seconds,
        "builds": builds,
        "ways": ways,
        "bytes": most,
        "bytes_a_value": adaptive.AdaptiveEngine.bytes_a_value,
    }


class _Imagined:
    """What the adaptive engine's plan asks of a bank, for one of so many images like some."""

    def __init__(self, count: int, some: Tensor) -> None:
        self.count, self.some, self.part = count, some, adaptive.AdaptiveBank(some)
        self.native = self

    def __len__(self) -> int:
        return self.count

    @property
    def images(self) -> Tensor:
        """Of the shape of all, and no memory."""
        shape = self.part.native.images.shape[1:]
        return torch.zeros((), dtype=torch.uint8).expand(self.count, *shape)

    def unseen(self, patch_size: int) -> float:
        """As of the engine, from fewer patches, and their leading components alone."""
        columns = functional.unfold(self.some[:UNSEEN_IMAGES], patch_size)  # (n, C P P, places)
        places = torch.randint(columns.shape[2], (adaptive.UNSEEN_PATCHES[1],), generator=_seeded())
        patches = columns[:, :, places].movedim(1, 2).flatten(0, 1)
        kept = min(adaptive.COMPONENTS, *patches.shape)
        _, leading, _ = torch.svd_lowrank(patches, kept)
        beyond = patches.square().sum() - leading.square().sum()
        return max(float(beyond) / len(patches), 0.0)


def _pilot(
    x: Tensor, bank: _Imagined, search: adaptive._Search
) -> tuple[float, list[tuple[float, float]]]:
    """Seconds of one image for one query; by how much a pilot's error is beyond what may be.

    The pilot is smaller than the engine's where pairs of patches are many.
    """
    part = bank.part.shuffled[bank.part.rarest :]
    size = min(_pilot_size(search), len(part)) // adaptive.GROUPS
    groups: list[PosteriorSums] = []

    def compare() -> None:
        groups[:] = [_sums(x, part[k * size : (k + 1) * size], search) for k in range(8)]

    seconds = _seconds(compare) / (adaptive.GROUPS * size) / len(x)
    others, taken = bank.count - bank.count // adaptive.RAREST, adaptive.GROUPS * size
    ratios = []
    for k in range(len(x)):
        none = PosteriorSums.empty(x[:1].double(), per_pixel=True)
        here = [group[k : k + 1] for group in groups]
        whole, _, bound = adaptive._between_groups(here, none, others / taken)
        rare = float((whole.weight * taken / others < adaptive.RARE).double().mean())
        error = bound * (1 - taken / others) / (adaptive.AIM * search.tolerance**2)
        error *= taken / adaptive.PILOT
        ratios.append((error, rare / adaptive.FEW))
    return seconds, ratios


def _pilot_size(search: adaptive._Search) -> int:
    return min(adaptive.PILOT, max(int(PILOT_PAIRS / search.pairs), LEAST_PILOT))


def _row(x: Tensor, bank: _Imagined, search: adaptive._Search) -> float:
    """Seconds of one image for one row of pixels of a query, as audits compute them."""
    part = bank.part.native[: adaptive.PILOT]
    middle = x.shape[2] // 2
    return _seconds(lambda: _sums(x, part, search, (middle, middle + 1))) / len(part)


def _sums(
    x: Tensor,
    bank: native.NativeBank,
    search: adaptive._Search,
    rows: tuple[int, int] | None = None,
) -> PosteriorSums:
    return PosteriorSums(
        *native.posterior_sums(
            x,
            bank,
            search.alpha_bar,
            search.patch_size,
            boundary=search.boundary,
            candidates=search.candidates,
            rows=rows,
            threads=1,
        )
    )


def _inside(shape: Sequence[int], patch_size: int, wrapped: bool) -> int:
    """Patches of one image in an index."""
    half = 0 if wrapped else patch_size // 2
    return math.prod(side - 2 * half for side in shape[1:])


@cache
def _index(images: str, shape: tuple[int, ...], wrapped: bool) -> tuple[float, float, float]:
    """How much slower draws are than the engine's plan says; seconds of an index of no patches,
    and of each patch more."""
    patch_size = min(INDEX_PATCH, (min(shape[1:]) - 1) // 2 * 2 + 1)
    for count in (INDEX_IMAGES[0], *INDEX_IMAGES):  # the first sets up
        some = _images(images, shape, count)
        bank = adaptive.AdaptiveBank(some)
        began = time.process_time()
        index = bank.index(patch_size, wrapped, 1)
        seconds = time.process_time() - began
        if count == INDEX_IMAGES[0]:
            few, less = index.patches, seconds
    each = max(seconds - less, 0.0) / max(index.patches - few, 1)
    x = _noisy(some[:1], MIDDLE)
    if wrapped:
        x = adaptive._wrap(x, patch_size // 2)
    patches = functional.unfold(x, patch_size)[0].T[:INDEX_PIXELS].contiguous()
    query = index.query(patches, alpha_bar(MIDDLE))
    n = len(patches)
    draws = np.repeat(np.array(adaptive.FIRST_DRAWS)[:, None], n, axis=1)
    drawn = _seconds(lambda: query(np.arange(n), draws, np.arange(n, dtype=np.uint64) << 8))
    planned = n * (adaptive.QUERY + float(np.dot(adaptive.FIRST_DRAWS, adaptive.DRAW)))
    return drawn / planned, max(less - each * few, 0.0), each


def _noisy(images: Tensor, t: float) -> Tensor:
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(1))
    return math.sqrt(alpha_bar(t)) * images + math.sqrt(1 - alpha_bar(t)) * noise


@cache
def _images(path: str, shape: tuple[int, ...], count: int) -> Tensor:
    """At most so many images in [-1, 1], spread over those at ``path``, or made up."""
    if Path(path).exists():
        pixels = _pixels(path)
        chosen = np.random.default_rng(0).permutation(len(pixels))[:count]
        return to_float(pixels[np.sort(chosen)] if len(chosen) > 2 else pixels[chosen])
    channels, height, width = shape
    rough = torch.randn(count, 1, -(-height // 4), -(-width // 4), generator=_seeded())
    smooth = functional.interpolate(rough, (height, width), mode="bicubic")
    tint = torch.randn(count, channels, 1, 1, generator=_seeded()) / 4 if channels > 1 else 0
    values = (2 * smooth - 1 + tint).clamp(-1, 1).expand(count, channels, height, width)
    return ((values + 1) * 127.5).round() / 127.5 - 1


@cache
def _pixels(path: str) -> np.ndarray:
    return load_images(path).images


def _seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def _seconds(call: Callable[[], object]) -> float:
    """Processor time of a call: of the first where it is long, else the least of some after it."""
    best, total = _taken(call), 0.0
    if best > LONG_SECONDS:
        return best
    while total < LEAST_SECONDS:
        taken = _taken(call)
        best, total = min(best, taken), total + taken
    return best


def _taken(call: Callable[[], object]) -> float:
    began = time.process_time()
    call()
    return max(time.process_time() - began, 1e-7)


ASKED: tuple[Callable[..., Any], ...] = (
    *(start, product, pictures, network, training),
    *(machine, origins, plan),
)
MEASURED = {function.__name__: function for function in ASKED}


if __name__ == "__main__":
    torch.set_num_threads(1)
    answers = []
    for question in tqdm(json.load(sys.stdin), desc="measuring costs", unit="cost"):
        arguments = dict(question)
        answers.append(MEASURED[arguments.pop("ask")](**arguments))
    json.dump(answers, sys.stdout)
