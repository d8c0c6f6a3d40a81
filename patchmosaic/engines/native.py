"""The native engine: LS and ELS on the CPU, exact, by a fused kernel in C (``native.c``).

For one relative shift between query and training image, the squared patch distances of all pixels
are a box filter of squared differences, so a pair of patches costs the same whatever the patch
size. The kernel fuses that filter with the exponential and the sums, for many training images at
once (one a lane of the vector registers), and skips what cannot matter; nothing of size
queries x patches exists.

Numerics: distances, weights and the sums over one tile of images in float32 (box filters add
non-negative terms only, nothing cancels), sums over tiles in float64. All neglected candidates
together weigh less than ``NEGLECTED`` of the whole. The posterior mean of noisy images is within
1e-4 of a float64 evaluation at every variance from ``FLOAT32_LEAST_VARIANCE`` to 1
(measured in tests/engines/test_native.py); of queries so far from all images that log-weights are
thousands, within two roundings of the log-weight (tests/machines/test_machines.py).
"""

from __future__ import annotations

import ctypes
import itertools
import math
import os
import shlex
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from patchmosaic.engines import build_native
from patchmosaic.engines.base import FLOAT32_LEAST_VARIANCE, PosteriorSums
from patchmosaic.system.limits import cores

NEGLECTED = 1e-6
"""Bound on the weight of all neglected candidates together, relative to the whole."""
MODES = {"zeros": 0, "wrapped": 1, "interior": 2}  # as in native.c
EXPECTED = 0.7213475  # as in native.c
NEVER = 3e38  # distance before the first candidate, as in native.c
PARTS, FEWEST_IMAGES, QUERIES_A_PART = 16, 256, 16  # of the bank; images of one; queries of one
BLOCK = 1024  # images that are prepared at once, which bounds the memory
COMPILE = f"python {shlex.quote(build_native.__file__)}"
INSTRUCTIONS = "PATCHMOSAIC_INSTRUCTIONS"
"""Environment variable that names the instruction set: base, avx2 or avx512; else the best."""


class NativeBank:
    """Training images (N, C, H, W) in [-1, 1], or their bytes ``v`` for ``v / 127.5 - 1``.

    Kept as bytes where the values are such, else as float32. The kernel lays out each tile of
    images as it comes, so the bank is all the memory they take.

    Attributes:
        images: uint8 or float32 (N, C, H, W).
        ground: the value of each channel, (C,), that most images have in their corner.
        extents: int16 (N, H, 2), for each row of each image the columns ``[from, to)`` outside
            which it is ground.
    """

    def __init__(self, images: Tensor) -> None:
        if images.ndim != 4 or 0 in images.shape:
            raise ValueError(
                f"a bank is (N, C, H, W) with no empty side, not {tuple(images.shape)}"
            )
        self.images = _as_bytes(images.detach().cpu()).contiguous()
        self.ground = self.images[:, :, 0, 0].mode(0).values
        self.extents = self._extents()

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        shape = " x ".join(map(str, self.images.shape[1:]))
        return f"NativeBank({len(self)} images of {shape}, {self.images.dtype})"

    def __getitem__(self, some: slice | Tensor) -> NativeBank:
        """Some of the images, in the order given."""
        part = object.__new__(NativeBank)
        part.images = self.images[some].contiguous()
        part.extents = self.extents[some].contiguous()
        part.ground = self.ground
        return part

    def _extents(self) -> Tensor:
        n, _, height, width = self.images.shape
        extents = torch.empty(n, height, 2, dtype=torch.int16)
        columns = torch.arange(width, dtype=torch.int16)
        for i in range(0, n, BLOCK):
            seen = (self.images[i : i + BLOCK] != self.ground[:, None, None]).any(1)
            extents[i : i + BLOCK, :, 0] = torch.where(seen, columns, width).amin(2)
            extents[i : i + BLOCK, :, 1] = torch.where(seen, columns + 1, 0).amax(2)
        return extents

    def alike(self) -> NativeBank:
        """The images in an order in which neighbours have their ground in the same places."""
        first, last = self.extents.unbind(2)
        rows = first < last
        left, right = first.amin(1), last.amax(1)
        top, bottom = rows.int().argmax(1), rows.flip(1).int().argmax(1)
        keys = (bottom, right, top // 2, left)  # the last sorts first
        return self[torch.from_numpy(np.lexsort([key.numpy() for key in keys]))]


def _as_bytes(images: Tensor) -> Tensor:
    """Images in [-1, 1] as the bytes ``v`` of which they are ``v / 127.5 - 1``, else as float32."""
    if images.dtype == torch.uint8:
        return images
    levels = torch.empty(images.shape, dtype=torch.uint8)
    for i in range(0, len(images), BLOCK):
        block = images[i : i + BLOCK].float()
        levels[i : i + BLOCK] = ((block + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
        if not float((levels[i : i + BLOCK] / 127.5 - 1 - block).abs().max()) <= 1e-6:  # or NaN
            return images.float()
    return levels


def _path(variant: str) -> Path:
    return Path(__file__).with_name(f"_native_{variant}.so")


def _open(variant: str) -> ctypes.CDLL:
    """The kernel compiled for one instruction set.

    Raises OSError if there is none, RuntimeError if it is of other sources than those here.
    """
    path = _path(variant)
    library = ctypes.CDLL(str(path))
    sources = [path.with_name(source.name) for source in build_native.SOURCES]
    here = all(source.exists() for source in sources)
    if here and _compiled_from(library) != build_native.source_digest(sources):
        raise RuntimeError(
            f"{path}: compiled from other sources than {sources[0].name} and "
            f"{sources[1].name} beside it; "
            f"compile it again: {COMPILE}"
        )
    pointer, integer, image = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64
    library.native_accumulate.restype = integer
    library.native_accumulate.argtypes = [
        *(pointer, integer, pointer, integer, image, image, ctypes.c_float, ctypes.c_float),
        *[integer] * 10,
        ctypes.c_float,
        *[pointer] * 6,
    ]
    return library


def _compiled_from(library: ctypes.CDLL) -> str:
    """SHA-256 of the sources of a compiled kernel; empty if it does not say."""
    try:
        return (ctypes.c_char * 64).in_dll(library, build_native.DIGEST_SYMBOL).value.decode()
    except ValueError:
        return ""


def variants() -> tuple[str, ...]:
    """Instruction sets that this CPU has, best first; "base" is what any CPU of its kind has."""
    # torch knows, whatever the operating system.
    level = {"AVX512": 2, "AVX2": 1}.get(torch.backends.cpu.get_cpu_capability(), 0)
    return tuple(build_native.VARIANTS)[2 - level :]


@cache
def _load() -> tuple[ctypes.CDLL | None, str]:
    """The compiled kernel to use, or None and why there is none; see :func:`_open`.

    It is the best for this CPU, or what :data:`INSTRUCTIONS` names.
    """
    reasons, usable = [], variants()
    if wanted := os.environ.get(INSTRUCTIONS):
        compiled = [variant for variant in usable if _path(variant).exists()]
        if wanted not in compiled:
            here = ", ".join(compiled) or "none"
            raise ValueError(f"{INSTRUCTIONS} is {wanted!r}: available on this machine: {here}")
        usable = (wanted,)
    for variant in usable:
        try:
            return _open(variant), ""
        except OSError as error:
            reasons.append(str(error))
    return None, (
        f"no native kernel was compiled when the package was built: {reasons[0]}; "
        f"with a C compiler, or the package ziglang, compile it: {COMPILE}"
    )


def library() -> ctypes.CDLL:
    """The compiled kernel; RuntimeError, saying why, if there is none."""
    found, why = _load()
    if found is None:
        raise RuntimeError(why)
    return found


def available() -> bool:
    """Whether the compiled kernel can be had on this machine."""
    return _load()[0] is not None


def unavailable_reason() -> str:
    """Why :func:`available` is False; empty if it is True."""
    return _load()[1]


def posterior_sums(
    x: Tensor,
    bank: Tensor | NativeBank,
    alpha_bar: float,
    patch_size: int,
    *,
    boundary: str = "zeros",
    candidates: str = "wrapped",
    equivariant: bool = True,
    rows: tuple[int, int] | None = None,
    border: bool = False,
    threads: int | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Sums over all candidate patches, with weights ``exp(-|x_p - sqrt(alpha_bar) y_q|^2 / 2 s2)``.

    The paper's ELS (the posterior mean over all training patches, section 4.3, and its rule for
    broken boundaries) or LS (section 4.1); ``s2 = 1 - alpha_bar``.

    Args:
        x: queries, (B, C, H, W), in the units of x_t.
        bank: training images, (N, C, H, W) in [-1, 1], or a :class:`NativeBank` of them.
        alpha_bar: signal variance, in (0, 1).
        patch_size: odd side of the patches in pixels; may exceed the image.
        boundary: "zeros" (candidates cut the border like the query's patch) or "circular".
        candidates: with "circular": "wrapped", patches at all positions, or "interior", only those
            that do not wrap.
        equivariant: True for ELS; False for LS, whose only candidates are patches at the same
            position.
        rows: only query pixels of rows ``rows[0] <= y < rows[1]`` are computed; None for all.
        border: with "zeros": only query pixels whose patches cut the border are computed, of all
            rows.
        threads: None for all cores that the process may use; at most one for each 256 images, and
            16 for each 16 queries, are of use.

    Returns:
        log_max (B, H, W), the largest log-weight as defined above; weight (B, H, W), the sum of
        weights relative to it; weighted_value (B, C, H, W), the same sum times the centre pixels.
        float64; pixels that were not asked for hold anything. Banks can be split: results merge
        like any log-sum-exp.

    Raises:
        ValueError: for arguments outside of the above.
        RuntimeError: if the kernel is not available.
        MemoryError: if the kernel's workspace (about 1 MiB a thread) cannot be had.
    """
    kernel = library()
    bank = bank if isinstance(bank, NativeBank) else NativeBank(bank)
    if not 0 < alpha_bar < 1:
        raise ValueError(f"alpha_bar is {alpha_bar}: expected a number between 0 and 1")
    if patch_size < 1 or patch_size % 2 == 0:
        raise ValueError(f"patch_size is {patch_size}: expected an odd positive integer")
    if x.ndim != 4 or x.shape[1:] != bank.images.shape[1:]:
        raise ValueError(f"x is {tuple(x.shape)} but the bank {tuple(bank.images.shape)}")
    if not torch.isfinite(x).all():
        raise ValueError("x holds NaN or infinite values")
    n_queries, channels, height, width = x.shape
    if boundary == "zeros":
        mode = MODES["zeros"]
        # Beyond this, a patch already covers the image from wherever it is centred.
        patch_size = min(patch_size, 2 * max(height, width) - 1)
    elif boundary == "circular" and candidates in ("wrapped", "interior"):
        mode = MODES[candidates if equivariant else "wrapped"]
        if equivariant and candidates == "interior" and patch_size > min(height, width):
            raise ValueError(
                f"no {patch_size} x {patch_size} patch fits in {height} x {width} pixels"
            )
    else:
        raise ValueError(f"boundary is {boundary!r} and candidates {candidates!r}: unknown")

    first_row, last_row = rows or (0, height)
    if not 0 <= first_row < last_row <= height:
        raise ValueError(f"rows are {rows}: expected a range within 0 to {height}")
    if border and (boundary != "zeros" or not equivariant or rows):
        raise ValueError("border goes with ELS, the boundary 'zeros' and all rows only")

    # Units in which a weight is 2^-|x - y|^2.
    variance = 1 - alpha_bar
    unit = math.sqrt(math.log2(math.e) / (2 * variance))
    queries = np.ascontiguousarray(x.detach().cpu().numpy().astype(np.float64) * unit, np.float32)
    scale = unit * math.sqrt(alpha_bar)
    images, extents = bank.images.numpy(), bank.extents.numpy()
    # A value whose weight vanishes beside those of all images; it fills lanes without an image.
    far_away = 1e4 * (1 + scale + float(np.abs(queries).max(initial=0)))
    margin = math.log2(len(bank) * (height * width if equivariant else 1) / NEGLECTED)
    ground = bank.ground.numpy().astype(np.float64)
    ground = (ground / 127.5 - 1 if images.dtype == np.uint8 else ground) * scale
    squares = torch.from_numpy((queries - ground[:, None, None]) ** 2).sum(1)
    from_ground = _window_sums(squares, patch_size, wrap=mode != MODES["zeros"]).numpy()
    from_ground -= EXPECTED * patch_size**2 * channels

    workers = threads or cores()
    # Parts do not depend on the threads, and are summed in their order: neither does the result.
    each = max(-(-len(bank) // PARTS), FEWEST_IMAGES)
    parts = list(itertools.product(range(0, len(bank), each), range(0, n_queries, QUERIES_A_PART)))

    def accumulate(queries: np.ndarray, transposed: bool) -> tuple[np.ndarray, np.ndarray]:
        """Least distances (B, H, W) and the sums relative to them (B, 1 + C, H, W)."""
        height, width = queries.shape[2:]
        away = from_ground.swapaxes(1, 2) if transposed else from_ground
        distances = np.ascontiguousarray(away, np.float32)

        def part(first: int, query: int) -> tuple[np.ndarray, np.ndarray]:
            """Of some of the queries, over some of the images."""
            some = slice(query, query + QUERIES_A_PART)
            n = len(queries[some])
            nearest = np.full((n, height, width), NEVER, np.float32)
            cutoff = nearest.copy()
            sums = np.zeros((n, 1 + channels, height, width))
            counts = np.zeros((n, height, width))
            failed = kernel.native_accumulate(
                queries[some].ctypes.data,
                n,
                images.ctypes.data,
                int(images.dtype == np.uint8),
                first,
                min(first + each, len(bank)),
                scale,
                far_away,
                channels,
                height,
                width,
                patch_size,
                mode,
                int(equivariant),
                int(border),
                int(transposed),
                first_row,
                last_row,
                margin,
                extents.ctypes.data,
                distances[some].ctypes.data,
                nearest.ctypes.data,
                cutoff.ctypes.data,
                sums.ctypes.data,
                counts.ctypes.data,
            )
            if failed:
                raise MemoryError("no memory for the kernel's workspace")
            grounds, own = counts > 0, nearest.astype(np.float64)
            nearest = np.where(grounds, np.minimum(own, away[some]), own)
            sums *= np.exp2(nearest - own)[:, None]
            counts *= np.exp2(np.where(grounds, nearest - away[some], 0))
            return nearest, sums + counts[:, None] * np.array([1, *ground])[:, None, None]

        nearest = np.full((n_queries, height, width), float(NEVER))
        total = np.zeros((n_queries, 1 + channels, height, width))
        with ThreadPoolExecutor(workers) as pool:
            for (_, query), found in zip(parts, pool.map(lambda p: part(*p), parts), strict=True):
                some = slice(query, query + QUERIES_A_PART)
                least = np.minimum(nearest[some], found[0])
                total[some] *= np.exp2(least - nearest[some])[:, None]
                total[some] += np.exp2(least - found[0])[:, None] * found[1]
                nearest[some] = least
        return nearest, total

    nearest, total = accumulate(queries, transposed=False)
    if border:  # of the left and the right, as the upper and the lower of the transposed images
        turned = np.ascontiguousarray(queries.swapaxes(2, 3))
        sides = [part.swapaxes(-1, -2) for part in accumulate(turned, transposed=True)]
        half = patch_size // 2
        for cols in (slice(0, half), slice(max(width - half, 0), width)):
            nearest[..., cols], total[..., cols] = sides[0][..., cols], sides[1][..., cols]
    sums = torch.from_numpy(total)
    # The kernel's distances are relative to what noise alone is expected to give.
    distance = nearest + EXPECTED * patch_size**2 * channels
    log_max = torch.from_numpy(distance) * -math.log(2)
    return log_max, sums[:, 0], sums[:, 1:] / scale


class NativeEngine:
    """The :class:`patchmosaic.engines.base.Engine` of this file.

    Args:
        threads: as :func:`posterior_sums` takes them.
    """

    name = "exact"
    least_variance = FLOAT32_LEAST_VARIANCE
    bytes_a_value = 4

    def __init__(self, threads: int | None = None) -> None:
        self.threads = threads

    @staticmethod
    def unavailable_reason(device: torch.device) -> str:
        return "images are on a graphics card" if device.type != "cpu" else unavailable_reason()

    def bank(self, images: Tensor) -> NativeBank:
        return NativeBank(images).alike()

    def posterior_sums(
        self,
        x: Tensor,
        bank: NativeBank,
        alpha_bar: float,
        patch_size: int,
        *,
        boundary: str = "zeros",
        candidates: str = "wrapped",
        equivariant: bool = True,
        rows: tuple[int, int] | None = None,
    ) -> PosteriorSums:
        return PosteriorSums(
            *posterior_sums(
                x.float(),
                bank,
                alpha_bar,
                patch_size,
                boundary=boundary,
                candidates=candidates if equivariant else "wrapped",
                equivariant=equivariant,
                rows=rows,
                threads=self.threads,
            )
        )


def _window_sums(values: Tensor, side: int, wrap: bool) -> Tensor:
    """Sums over the windows of odd side around each pixel of (B, H, W); beyond the border zeros."""
    half, (height, width) = side // 2, values.shape[1:]
    for axis, size in ((1, height), (2, width)):
        around = torch.arange(-half, half + 1)[None] + torch.arange(size)[:, None]
        inside = torch.ones_like(around) if wrap else ((around >= 0) & (around < size)).long()
        band = torch.zeros(size, size, dtype=values.dtype)
        band.scatter_add_(1, around % size, inside.to(values.dtype))
        values = torch.movedim(torch.tensordot(values, band, ([axis], [1])), -1, axis)
    return values
