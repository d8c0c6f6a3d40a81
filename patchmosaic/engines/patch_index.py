"""An index over the patches of training images, and posterior sums over random draws from it.

Patches are sorted once into leaves of similar ones, by levels of k-means on their leading principal
components. For a query, the second moment of the weights in a leaf follows from the means and
variances of its patches (a Gaussian integral). Patches are drawn in two steps: from the leaves
nearly in proportion to the root of that moment, the choice of least variance (Neyman, 1934), in
blocks of four that are next to each other in memory; and from these again, in proportion to what
their own projections say of their weights. Only the second draw is compared pixel by pixel. Each
weight is divided by the probability of its draw (Horvitz and Thompson, 1952), so that the sums of
weights and of weighted values are unbiased. Leaves and patches that dominate have probability 1:
there the sampling is a search, without error. Gray patches of a single value, by far the most
repeated, are counted, and summed exactly.

The native part is ``patch_index.c``.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from patchmosaic.engines import native

COMPONENTS = 16  # of the projections that leaves are sorted by, as in patch_index.c
FEW_TERMS = 32  # patches of more pixels are described by twice as many components
BLOCK = 4  # patches drawn together, as in patch_index.c
CENTRES = ((16,), (16, 16), (16, 16, 16), (32, 32, 48))  # of each level: multiples of 16
PATCHES_A_LEAF = 128  # at least, on the average
FLATTER = 0.7  # power of the densities to draw by, as leaves have heavier tails than Gaussians
GRAY_VALUES = 256
LARGEST_PATCH = 63  # as in patch_index.c
MOST_VALUES = 2**31 - 1  # of a bank, as places in it are 32-bit integers
OVERHANG = 128  # values after the images, as the kernel loads 16 at a time
TRAINING_PATCHES = 524288  # that the centres are made from
BASIS_PATCHES = 16384  # that the principal components are made from
LLOYD_STEPS = 4
IMAGES_A_TASK = 4096
QUERIES_A_TASK = 32
UNIFORM_SHARE = 0.05  # of the draws goes to all patches alike, whatever the leaves promise


@dataclass(frozen=True)
class Draws:
    """What :meth:`PatchIndex.sums` finds for n queries.

    Args:
        log_max: natural log of the largest weight drawn, float64 (n,).
        weight: estimated sum of weights relative to it, (n,).
        weighted_value: the same times the centre pixels, (n, C).
        variances: estimates of what the first and the second draw add to the squared standard
            error of the mean, averaged over channels, (2, n).
    """

    log_max: np.ndarray
    weight: np.ndarray
    weighted_value: np.ndarray
    variances: np.ndarray

    @property
    def means(self) -> np.ndarray:
        """The posterior means, (n, C)."""
        return self.weighted_value / self.weight[:, None]

    def add(self, some: np.ndarray, drawn: np.ndarray, more: Draws, draws: np.ndarray) -> None:
        """Average with ``more`` estimates for some of the queries, by how many draws each took.

        Args:
            some: (m,), numbers of queries.
            drawn, draws: (m,), what the estimates so far took, and what ``more`` took.
        """
        share = draws / (drawn + draws)
        log_max = np.where(drawn > 0, np.maximum(self.log_max[some], more.log_max), more.log_max)
        old = (1 - share) * np.exp(np.minimum(self.log_max[some] - log_max, 0))
        new = share * np.exp(more.log_max - log_max)
        before, added = old * self.weight[some], new * more.weight
        self.log_max[some], self.weight[some] = log_max, before + added
        self.weighted_value[some] *= old[:, None]
        self.weighted_value[some] += new[:, None] * more.weighted_value
        before, added = before / self.weight[some], added / self.weight[some]
        self.variances[:, some] *= before**2
        self.variances[:, some] += added**2 * more.variances


class Workspace:
    """The large arrays of an index, for one index after the other: their pages are cleared once.

    Args:
        shape: (N, C, H, W) of the images; memory is reserved for whatever patch size takes most,
            and taken when it is written to. Wrapped patches take more, which is had when asked for.
        most: bytes that an index may take.
    """

    def __init__(self, shape: tuple[int, ...], most: int) -> None:
        count, channels, height, width = shape
        patches, values = count * height * width, 0
        for side in range(1, min(height, width, LARGEST_PATCH) + 1, 2):
            inside = count * (height - side + 1) * (width - side + 1)
            here = _components(channels * side**2) * inside
            values = max(values, here) if here <= most else values
        fills = BLOCK * max(map(math.prod, CENTRES))
        self._most = {  # bytes
            "leaf": 2 * patches,
            "places": 4 * (patches + fills),
            "codes": values + 2 * COMPONENTS * fills,
        }
        self._arrays: dict[str, np.ndarray] = {}
        self._taken: dict[str, int] = {}

    @property
    def taken(self) -> int:
        """Bytes that were written to, at most."""
        return sum(self._taken.values())

    def array(self, name: str, shape: tuple[int, ...], dtype: type) -> np.ndarray:
        """The array of this name: begins at a cache line, and holds what it held before."""
        size = math.prod(shape) * np.dtype(dtype).itemsize
        if name not in self._arrays or len(self._arrays[name]) < size:
            self._arrays.pop(name, None)  # memory first
            most = max(size, self._most[name])
            memory = np.empty(most + 64, np.uint8)
            self._arrays[name] = memory[-memory.ctypes.data % 64 :][:most]
            self._taken.pop(name, None)
        self._taken[name] = max(self._taken.get(name, 0), size)
        return self._arrays[name][:size].view(dtype).reshape(shape)


class PatchIndex:
    """All patches of one size of a bank of images, in leaves.

    Args:
        images: (N, C, H, W), uint8 ``b`` (for ``b / 127.5 - 1``) or float32; with wrapped patches,
            already extended.
        patch_size: odd side P in pixels, at most the images' sides.
        threads: to build it with, and to draw with.
        workspace: of images of this shape; an earlier index in it is no longer good.

    About 40 bytes a patch, and the images.
    """

    def __init__(
        self, images: np.ndarray, patch_size: int, threads: int, workspace: Workspace
    ) -> None:
        self._workspace = workspace
        self.count, self.channels, self.height, self.width = images.shape
        self.patch_size, self.threads = patch_size, threads
        self.rows, self.cols = self.height - patch_size + 1, self.width - patch_size + 1
        self.patches = self.count * self.rows * self.cols
        self.terms = self.channels * patch_size**2
        self.bytes = int(images.dtype == np.uint8)
        self.images = np.zeros(images.size + OVERHANG, images.dtype)
        self.images[: images.size] = images.reshape(-1)
        self._library = _library()
        self._latest: tuple[float, np.ndarray] | None = None
        random = np.random.default_rng(0)
        drawn = self._places(random.integers(self.patches, size=BASIS_PATCHES))
        self.components = _components(self.terms)
        self.basis = _principal(torch.from_numpy(self._values(drawn)), self.components)
        drawn = self._places(random.integers(self.patches, size=TRAINING_PATCHES))
        self._words = self.components // COMPONENTS
        # In the layout of patch_index.c: the leading components first.
        parts = self.basis.reshape(self.terms, self._words, COMPONENTS).transpose(1, 0, 2)
        self._bases = np.ascontiguousarray(parts)
        points = np.empty((self._words, len(drawn), COMPONENTS), np.float32)
        for basis, projected in zip(self._bases, points, strict=True):
            self._call("project", basis, drawn, len(drawn), projected)
        largest = np.abs(points).max(1).reshape(-1)
        points = points[0]
        if self.bytes and self.channels == 1:
            along = self._bases[0].sum(0, keepdims=True)  # where constant patches lie
            level = points @ along.T / (along**2).sum()
            constant = ((points - level * along) ** 2).sum(1) < 1e-6
            points = points[~constant] if not constant.all() else points
        self.steps = np.maximum(largest / 127, 1e-6)  # of the rounded projections
        affordable = [n for n in CENTRES if math.prod(n) * PATCHES_A_LEAF <= self.patches]
        self._sort(self._centres(points, max(affordable, key=math.prod, default=CENTRES[0])))

    def __repr__(self) -> str:
        side, leaves = self.patch_size, int((self.sizes > 0).sum())
        return f"PatchIndex({self.patches} patches of {side} x {side} in {leaves} leaves)"

    def _call(self, function: str, *arguments: object) -> None:
        """Call ``index_<function>`` of the kernel; arrays go as their addresses."""
        shape = (self.channels, self.height, self.width, self.patch_size)
        plain = [_address(argument) for argument in (self.images, self.bytes, *shape, *arguments)]
        if getattr(self._library, f"index_{function}")(*plain):
            raise MemoryError("no memory to index patches, or to draw from the index")

    def _places(self, patches: np.ndarray) -> np.ndarray:
        """Where in ``images`` the patches of these numbers begin."""
        image, rest = np.divmod(patches, self.rows * self.cols)
        row, col = np.divmod(rest, self.cols)
        return (image * self.channels * self.height + row) * self.width + col

    def _values(self, places: np.ndarray) -> np.ndarray:
        """The patches at these places, float32 (n, C P P) in [-1, 1]."""
        channel, row, col = np.ogrid[: self.channels, : self.patch_size, : self.patch_size]
        offsets = (channel * self.height + row) * self.width + col
        values = self.images[places[:, None] + offsets.reshape(1, -1)]
        return values / np.float32(127.5) - 1 if self.bytes else values

    def _centres(self, points: np.ndarray, each: tuple[int, ...]) -> Centres:
        """Levels of k-means of points (n, COMPONENTS), ``each`` centres within one of the last."""
        groups, levels = [points], []
        for here in each:
            centres = np.empty((len(groups), here, COMPONENTS), np.float32)
            norms = np.empty((len(groups), here), np.float32)
            sums, finer = np.empty((here, COMPONENTS + 1)), []
            for group, centre, norm in zip(groups, centres, norms, strict=True):
                nearest = np.empty(len(group), np.int32)
                some = (group, len(group), here, LLOYD_STEPS, centre, norm, nearest, sums)
                self._library.index_centres(*map(_address, some))
                finer += [group[nearest == k] for k in range(here)]
            groups = finer
            levels.append((centres.reshape(-1, COMPONENTS), norms.reshape(-1)))
        centres, norms = (np.concatenate(parts) for parts in zip(*levels, strict=True))
        return Centres(np.array(each, np.int32), centres, norms)

    def _sort(self, centres: Centres) -> None:
        """Put every patch into its leaf, and describe the leaves."""
        leaves = int(centres.each.prod())
        leaf = self._workspace.array("leaf", (self.count, self.rows * self.cols), np.uint16)
        ranges = [
            (first, min(first + IMAGES_A_TASK, self.count))
            for first in range(0, self.count, IMAGES_A_TASK)
        ]

        def assign(images: tuple[int, int]) -> np.ndarray:
            moments = np.zeros((leaves + GRAY_VALUES, 2))
            levels = (centres.centres, centres.norms, centres.each, len(centres.each))
            here = leaf[images[0] : images[1]]
            self._call(
                *("assign", self._bases, *levels, *images, self.rows, self.cols, here, moments)
            )
            return moments

        def list_patches(images: tuple[int, int], following: np.ndarray) -> None:
            here = leaf[images[0] : images[1]]
            self._call(
                *("list", self._bases, self._words, self.steps, here, leaves),
                *(*images, self.rows, self.cols, following, self.places, self.codes),
            )

        with ThreadPoolExecutor(self.threads) as pool:
            moments, counts = np.zeros((leaves + GRAY_VALUES, 2)), []
            for part in pool.map(assign, ranges):
                moments += part
                counts.append(part[:leaves, 0].astype(np.int64))
            sizes = np.sum(counts, axis=0)
            before = np.cumsum(counts, axis=0) - counts  # of each leaf, in earlier tasks
            padded = -(-sizes // BLOCK) * BLOCK
            start = np.concatenate([[0], np.cumsum(padded)])
            self.places = self._workspace.array("places", (start[-1],), np.int32)
            self.codes = self._workspace.array("codes", (start[-1], self.components), np.int8)
            for k in range(1, BLOCK):  # what only fills a block up
                fills = start[1:][padded - sizes >= k] - k
                self.places[fills], self.codes[fills] = -1, 0
            list(pool.map(list_patches, ranges, start[:-1] + before))
            self.sizes = sizes.astype(np.int32)
            parts = np.linspace(0, leaves, 64 * self.threads + 1).astype(int)
            means, squares = np.empty((2, leaves, self.components))

            def mix(first: int, last: int) -> None:
                lists = (self.places, self.codes, means, squares)
                some = (start, self.sizes, self._words, first, last, *lists)
                self._library.index_mix(*map(_address, some))

            list(pool.map(mix, parts[:-1].tolist(), parts[1:].tolist()))

        gray = self.bytes and self.channels == 1
        self.constants = moments[leaves:, 0].astype(np.int64) if gray else None
        # Empty leaves go; numbers are padded to a multiple of 16 with leaves that are never drawn.
        some = np.flatnonzero(sizes)
        sizes, moments = sizes[some], moments[some]
        self._padding = -len(some) % 16
        self.start = np.concatenate([start[some], np.full(self._padding + 1, start[-1])])
        self.sizes = np.pad(self.sizes[some], (0, self._padding))
        means, squares = means[some], squares[some]
        means, squares = means * self.steps, squares * self.steps**2
        self._means = torch.from_numpy(means).float()
        self._variances = torch.from_numpy((squares - means**2).clip(0)).float()
        beyond = moments[:, 1] / sizes - squares[:, COMPONENTS:].sum(1)
        rest = max(self.terms - self.components, 1)
        self._residual_variances = torch.from_numpy(beyond.clip(0) / rest).float()
        self._log_sizes = torch.from_numpy(np.log(sizes)).float()

    def _coefficients(self, variance: float) -> np.ndarray:
        """What tells, times the features of queries, how densely to draw from each leaf.

        That is log2, up to a constant a query, of ``patches * sqrt(E w^2)``, with ``w = exp(-|q -
        y|^2 / 2 variance)`` and the leaf's patches y Gaussian: independent along the principal
        components, and isotropic beyond. The root is taken to the power :data:`FLATTER`.

        Args:
            variance: of the noise, in units of the images.

        Returns:
            float32 (leaves / 16, terms, 16); the latest are kept.
        """
        if self._latest is None or self._latest[0] != variance:
            spread = variance + 2 * self._variances  # (leaves, components)
            beyond = variance + 2 * self._residual_variances
            log_volume = torch.log(spread / variance).sum(1)
            log_volume += max(self.terms - self.components, 0) * torch.log(beyond / variance)
            # -|q - mean|^2 / 2, each component over its spread, as a product with features.
            rest = -(self._means**2 / spread).sum(1, keepdim=True) / 2 - log_volume[:, None] / 4
            parts = [-0.5 / spread, self._means / spread, -0.5 / beyond[:, None], rest]
            by_leaf = torch.cat(parts, 1) * FLATTER
            by_leaf[:, -1] += self._log_sizes
            by_leaf = functional.pad(by_leaf * math.log2(math.e), (0, 0, 0, self._padding))
            by_leaf[len(self._log_sizes) :, -1] = -math.inf
            blocks = by_leaf.reshape(-1, 16, by_leaf.shape[1]).transpose(1, 2)
            self._latest = variance, blocks.contiguous().numpy()
        return self._latest[1]

    def _features(self, queries: Tensor) -> np.ndarray:
        """Of queries (n, C P P) in units of the images: float32 (n, terms)."""
        points = queries @ torch.from_numpy(self.basis)
        residual = (queries**2).sum(1, keepdim=True) - (points**2).sum(1, keepdim=True)
        features = [points**2, points, residual.clamp(min=0), torch.ones(len(points), 1)]
        return torch.cat(features, 1).numpy()

    def query(self, patches: Tensor, alpha_bar: float) -> Callable[..., Draws]:
        """A function that draws for some of these queries; see :meth:`sums`.

        Args:
            patches: (n, C P P) in units of x_t.
            alpha_bar: signal variance in (0, 1).
        """
        features = self._features(patches / math.sqrt(alpha_bar))
        coefficients = self._coefficients((1 - alpha_bar) / alpha_bar)
        # Units in which a weight is 2^-|x - y|^2; bytes are compared as they are.
        unit = math.sqrt(math.log2(math.e) / (2 * (1 - alpha_bar)))
        scale = unit * math.sqrt(alpha_bar)
        points = (patches * unit @ torch.from_numpy(self.basis)).contiguous().numpy()
        values = (patches.double() * unit + (scale if self.bytes else 0)).float().numpy()

        def sums(chosen: np.ndarray, draws: np.ndarray, keys: np.ndarray) -> Draws:
            return self.sums(
                values[chosen],
                points[chosen],
                features[chosen],
                coefficients,
                scale,
                draws[:, chosen],
                keys[chosen],
            )

        return sums

    def sums(
        self,
        values: np.ndarray,
        points: np.ndarray,
        features: np.ndarray,
        coefficients: np.ndarray,
        scale: float,
        draws: np.ndarray,
        keys: np.ndarray,
    ) -> Draws:
        """Posterior sums over random draws.

        Args:
            values: float32 (n, C P P), queries in units in which weights are ``2^-distance``, plus
                ``scale`` if the images are bytes.
            points: float32 (n, components), their projections without that offset.
            features, coefficients: how densely to draw from each leaf, see :meth:`_coefficients`.
            scale: of the images' values, in those units.
            draws: (2, n), how many to draw from the leaves, and how many of these to compare.
            keys: uint64 (n,), the random starts of a query's draws: this number and the next.
        """
        first, second = (np.ascontiguousarray(some, np.int64) for some in draws)
        found = np.empty((len(values), 4 + self.channels))
        steps = (self.steps * scale).astype(np.float32)

        def draw(begin: int) -> None:
            end = min(begin + QUERIES_A_TASK, len(values))
            self._call(
                *(
                    "sample",
                    self.places,
                    self.codes,
                    self.start,
                    self.sizes,
                    self._words,
                    len(self.sizes),
                ),
                *(values, points, steps, self.constants, scale, coefficients, features),
                *(features.shape[1], first, second, keys),
                *(UNIFORM_SHARE, begin, end, found),
            )

        with ThreadPoolExecutor(self.threads) as pool:
            list(pool.map(draw, range(0, len(values), QUERIES_A_TASK)))
        variances = np.ascontiguousarray(found[:, -2:].T)
        return Draws(-math.log(2) * found[:, 0], found[:, 1], found[:, 2:-2], variances)


@dataclass(frozen=True)
class Centres:
    """Levels of k-means: ``each`` centres within one of the level before, in blocks of 16 (see
    patch_index.c); ``centres`` and their squared ``norms``, of one level after the other."""

    each: np.ndarray
    centres: np.ndarray
    norms: np.ndarray


def _principal(patches: Tensor, components: int) -> np.ndarray:
    """The leading principal directions, about zero, of patches (n, terms): (terms, components)."""
    _, directions = torch.linalg.eigh(patches.T @ patches)  # eigenvalues rise
    kept = min(patches.shape[1], components)
    basis = torch.zeros(patches.shape[1], components)
    basis[:, :kept] = directions[:, -kept:].flip(1)
    return basis.numpy()


def _components(terms: int) -> int:
    """How many principal components describe patches of so many values."""
    return COMPONENTS * (2 if terms > FEW_TERMS else 1)


def _address(argument: object) -> object:
    if not isinstance(argument, np.ndarray):
        return argument
    assert argument.flags.c_contiguous
    return argument.ctypes.data


def _library() -> ctypes.CDLL:
    """The compiled kernel, with the functions of patch_index.c."""
    library = native.library()
    array, number, long, real = ctypes.c_void_p, ctypes.c_int, ctypes.c_int64, ctypes.c_double
    bank = [array] + [number] * 5
    for name, rest in {
        "project": [array, array, long, array],
        "assign": [array] * 4 + [number, long, long, number, number, array, array],
        "list": [array, number] + [array] * 2 + [number, long, long, number, number] + [array] * 3,
        "sample": [array] * 4
        + [number] * 2
        + [array] * 4
        + [ctypes.c_float, array, array, number, array, array, array]
        + [real, long, long, array],
    }.items():
        getattr(library, f"index_{name}").argtypes = bank + rest
    library.index_centres.argtypes = [array, long, number, number, *[array] * 4]
    library.index_mix.argtypes = [array, array, number, number, number, *[array] * 4]
    return library
