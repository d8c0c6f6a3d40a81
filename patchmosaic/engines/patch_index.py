"""An index over the patches of training images, and posterior sums over random draws from it.

Patches are sorted once into leaves of similar ones, by two levels of k-means on their leading
principal components. For a query, the second moment of the weights in a leaf follows from the means
and variances of its patches (a Gaussian integral). Patches are drawn in two steps: from the leaves
in proportion to the root of that moment, the choice of least variance (Neyman, 1934); and from
these again, in proportion to what their own projections say of their weights. Only the second draw
is compared pixel by pixel. Each weight is divided by the probability of its draw (Horvitz and
Thompson, 1952), so that the sums of weights and of weighted values are unbiased. Leaves and patches
that dominate have probability 1: there the sampling is a search, without error. Gray patches of a
single value, by far the most repeated (59% of the 3 x 3 patches of 32 x 32 MNIST), are counted,
and summed exactly.

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

from patchmosaic.engines import native

COMPONENTS = 16  # of a projected patch, as in patch_index.c
CENTRES = (16, 32, 64)  # of each level: multiples of 16
PATCHES_A_LEAF = 128  # at least, on the average
GRAY_VALUES = 256
LARGEST_PATCH = 63  # as in patch_index.c
MOST_VALUES = 2**31 - 1  # of a bank, as places in it are 32-bit integers
OVERHANG = 128  # values after the images, as the kernel loads 16 at a time
TRAINING_PATCHES = 131072  # that the centres are made from
BASIS_PATCHES = 16384  # that the principal components are made from
LLOYD_STEPS = 6
IMAGES_A_TASK = 512
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


class PatchIndex:
    """All patches of one size of a bank of images, in leaves.

    Args:
        images: (N, C, H, W), uint8 ``b`` (for ``b / 127.5 - 1``) or float32; with wrapped patches,
            already extended.
        patch_size: odd side P in pixels, at most the images' sides.
        threads: to build it with, and to draw with.

    About 20 bytes a patch, and the images.
    """

    def __init__(self, images: np.ndarray, patch_size: int, threads: int) -> None:
        self.count, self.channels, self.height, self.width = images.shape
        self.patch_size, self.threads = patch_size, threads
        self.rows, self.cols = self.height - patch_size + 1, self.width - patch_size + 1
        self.patches = self.count * self.rows * self.cols
        self.terms = self.channels * patch_size**2
        self.bytes = int(images.dtype == np.uint8)
        self.images = np.zeros(images.size + OVERHANG, images.dtype)
        self.images[: images.size] = images.reshape(-1)
        self._library = _library()
        random = np.random.default_rng(0)
        drawn = self._places(random.integers(self.patches, size=BASIS_PATCHES))
        self.basis = _principal(torch.from_numpy(self._values(drawn)))
        drawn = self._places(random.integers(self.patches, size=TRAINING_PATCHES))
        points = np.empty((len(drawn), COMPONENTS), np.float32)
        self._call("project", self.basis, drawn, len(drawn), points)
        if self.bytes and self.channels == 1:
            constant = np.ptp(self._values(drawn), axis=1) == 0
            points = points[~constant] if not constant.all() else points
        self.steps = np.maximum(np.abs(points).max(0) / 127, 1e-6)  # of the rounded projections
        affordable = [each for each in CENTRES if each**2 * PATCHES_A_LEAF <= self.patches]
        self._sort(_two_levels(points, max(affordable, default=CENTRES[0])))

    def _call(self, function: str, *arguments: object) -> int:
        """Call ``index_<function>`` of the kernel; arrays go as their addresses."""
        shape = (self.channels, self.height, self.width, self.patch_size)
        plain = [_address(argument) for argument in (self.images, self.bytes, *shape, *arguments)]
        return getattr(self._library, f"index_{function}")(*plain)

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

    def _sort(self, centres: Centres) -> None:
        """Put every patch into its leaf, and describe the leaves."""
        leaves = centres.each**2
        leaf = np.empty((self.count, self.rows * self.cols), np.uint16)
        ranges = [
            (first, min(first + IMAGES_A_TASK, self.count))
            for first in range(0, self.count, IMAGES_A_TASK)
        ]

        def assign(images: tuple[int, int]) -> np.ndarray:
            moments = np.zeros((leaves + GRAY_VALUES, 2 + 2 * COMPONENTS))
            levels = (centres.coarse, centres.coarse_norms, centres.fine, centres.fine_norms)
            here = leaf[images[0] : images[1]]
            self._call(
                *("assign", self.basis, *levels, centres.each // 16),
                *(*images, self.rows, self.cols, here, moments),
            )
            return moments

        def list_patches(images: tuple[int, int], following: np.ndarray) -> None:
            here = leaf[images[0] : images[1]]
            self._call(
                *("list", self.basis, self.steps, here, leaves),
                *(*images, self.rows, self.cols, following, self.places, self.codes),
            )

        with ThreadPoolExecutor(self.threads) as pool:
            moments, counts = np.zeros((leaves + GRAY_VALUES, 2 + 2 * COMPONENTS)), []
            for part in pool.map(assign, ranges):
                moments += part
                counts.append(part[:leaves, 0].astype(np.int64))
            sizes = np.sum(counts, axis=0)
            before = np.cumsum(counts, axis=0) - counts  # of each leaf, in earlier tasks
            following = np.cumsum(sizes) - sizes + before
            self.places = np.empty(sizes.sum(), np.int32)
            self.codes = np.empty((len(self.places), COMPONENTS), np.int8)
            list(pool.map(list_patches, ranges, following))

        gray = self.bytes and self.channels == 1
        self.constants = moments[leaves:, 0].astype(np.int64) if gray else None
        sizes, moments = sizes[sizes > 0], moments[:leaves][sizes > 0]
        self.start = np.concatenate([[0], np.cumsum(sizes)])
        means, squares = np.split(moments[:, 2:] / sizes[:, None], 2, axis=1)
        rest = max(self.terms - COMPONENTS, 1)
        self._means = torch.from_numpy(means).float()
        self._variances = torch.from_numpy((squares - means**2).clip(0)).float()
        self._residual_variances = torch.from_numpy(moments[:, 1] / sizes / rest).float()
        self._log_sizes = torch.from_numpy(np.log(sizes)).float()

    def log_density(self, queries: Tensor, variance: float) -> Tensor:
        """Log of how densely to draw from each leaf, (n, leaves), up to a constant a query.

        ``log(patches) + log(E w^2) / 2``, with ``w = exp(-|q - y|^2 / 2 variance)`` and the leaf's
        patches y Gaussian: independent along the principal components, and isotropic beyond.

        Args:
            queries: (n, C P P) in units of the images.
            variance: of the noise, in those units.
        """
        points = queries @ torch.from_numpy(self.basis)
        spread = variance + 2 * self._variances  # (leaves, COMPONENTS)
        square = points**2 @ (1 / spread).T - 2 * points @ (self._means / spread).T
        square += (self._means**2 / spread).sum(1)
        log_volume = torch.log(spread / variance).sum(1)
        if self.terms > COMPONENTS:
            beyond = variance + 2 * self._residual_variances
            residual = (queries**2).sum(1, keepdim=True) - (points**2).sum(1, keepdim=True)
            square += residual.clamp(min=0) / beyond
            log_volume += (self.terms - COMPONENTS) * torch.log(beyond / variance)
        return self._log_sizes - log_volume / 4 - square / 2

    def query(self, patches: Tensor, alpha_bar: float) -> Callable[..., Draws]:
        """A function that draws for some of these queries; see :meth:`sums`.

        Args:
            patches: (n, C P P) in units of x_t.
            alpha_bar: signal variance in (0, 1).
        """
        density = self.log_density(patches / math.sqrt(alpha_bar), (1 - alpha_bar) / alpha_bar)
        density = (density * math.log2(math.e)).contiguous().numpy()
        # Units in which a weight is 2^-|x - y|^2; bytes are compared as they are.
        unit = math.sqrt(math.log2(math.e) / (2 * (1 - alpha_bar)))
        scale = unit * math.sqrt(alpha_bar)
        points = (patches * unit @ torch.from_numpy(self.basis)).contiguous().numpy()
        values = (patches.double() * unit + (scale if self.bytes else 0)).float().numpy()

        def sums(chosen: np.ndarray, draws: np.ndarray, keys: np.ndarray) -> Draws:
            return self.sums(
                values[chosen],
                points[chosen],
                density[chosen],
                scale,
                draws[:, chosen],
                keys[chosen],
            )

        return sums

    def sums(
        self,
        values: np.ndarray,
        points: np.ndarray,
        density: np.ndarray,
        scale: float,
        draws: np.ndarray,
        keys: np.ndarray,
    ) -> Draws:
        """Posterior sums over random draws.

        Args:
            values: float32 (n, C P P), queries in units in which weights are ``2^-distance``, plus
                ``scale`` if the images are bytes.
            points: float32 (n, COMPONENTS), their projections without that offset.
            density: float32 (n, leaves), log2 of how densely to draw from each leaf.
            scale: of the images' values, in those units.
            draws: (2, n), how many to draw from the leaves, and how many of these to compare.
            keys: uint64 (n,), the random starts of a query's draws: this number and the next.
        """
        first, second = (np.ascontiguousarray(some, np.int64) for some in draws)
        found = np.empty((len(values), 4 + self.channels))
        steps = (self.steps * scale).astype(np.float32)

        def draw(begin: int) -> int:
            end = min(begin + QUERIES_A_TASK, len(values))
            return self._call(
                *("sample", self.places, self.codes, self.start, len(self.start) - 1),
                *(values, points, steps, self.constants, scale, density, first, second, keys),
                *(UNIFORM_SHARE, begin, end, found),
            )

        with ThreadPoolExecutor(self.threads) as pool:
            if any(pool.map(draw, range(0, len(values), QUERIES_A_TASK))):
                raise MemoryError("no memory for draws from the index of patches")
        variances = np.ascontiguousarray(found[:, -2:].T)
        return Draws(-math.log(2) * found[:, 0], found[:, 1], found[:, 2:-2], variances)


@dataclass(frozen=True)
class Centres:
    """Two levels of k-means, ``each`` centres a level, in the layout of patch_index.c."""

    each: int
    coarse: np.ndarray
    coarse_norms: np.ndarray
    fine: np.ndarray
    fine_norms: np.ndarray


def _principal(patches: Tensor) -> np.ndarray:
    """The leading principal directions, about zero, of patches (n, terms): (terms, COMPONENTS)."""
    _, directions = torch.linalg.eigh(patches.T @ patches)  # eigenvalues rise
    kept = min(patches.shape[1], COMPONENTS)
    basis = torch.zeros(patches.shape[1], COMPONENTS)
    basis[:, :kept] = directions[:, -kept:]
    return basis.numpy()


def _two_levels(points: np.ndarray, each: int) -> Centres:
    random = np.random.default_rng(0)
    coarse, belongs = _lloyd(points, each, random)
    fine = [_lloyd(points[belongs == k], each, random)[0] for k in range(each)]
    blocks, norms = zip(*[_in_blocks(centres, each) for centres in (coarse, *fine)], strict=True)
    return Centres(each, blocks[0], norms[0], np.stack(blocks[1:]), np.stack(norms[1:]))


def _lloyd(
    points: np.ndarray, each: int, random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """At most ``each`` centres of points (n, COMPONENTS) by k-means, and the nearest of each."""
    if len(points) == 0:
        return np.zeros((1, COMPONENTS), np.float32), np.zeros(0, np.int64)
    centres = points[random.permutation(len(points))[:each]]

    def nearest() -> np.ndarray:
        return (2 * points @ centres.T - (centres**2).sum(1)).argmax(1)

    for _ in range(LLOYD_STEPS):
        belongs = nearest()
        sizes = np.bincount(belongs, minlength=len(centres))[:, None]
        sums = [np.bincount(belongs, column, len(centres)) for column in points.T]
        means = (np.stack(sums, axis=1) / sizes.clip(1)).astype(np.float32)
        centres = np.where(sizes > 0, means, centres)
    return centres, nearest()


def _in_blocks(centres: np.ndarray, each: int) -> tuple[np.ndarray, np.ndarray]:
    """Centres in blocks of 16, component by component, and their squared norms, up to ``each``."""
    padded = np.zeros((each, COMPONENTS), np.float32)
    norms = np.full(each, np.inf, np.float32)
    padded[: len(centres)], norms[: len(centres)] = centres, (centres**2).sum(1)
    blocks = padded.reshape(each // 16, 16, COMPONENTS).transpose(0, 2, 1)
    return np.ascontiguousarray(blocks), norms


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
        "assign": [array] * 5 + [number, long, long, number, number, array, array],
        "list": [array] * 3 + [number, long, long, number, number] + [array] * 3,
        "sample": [array] * 3
        + [number]
        + [array] * 4
        + [ctypes.c_float]
        + [array] * 4
        + [real, long, long, array],
    }.items():
        getattr(library, f"index_{name}").argtypes = bank + rest
    return library
