"""The adaptive engine: ELS from as much of the bank as the answer needs, with estimated errors.

For each noise level, patch size and query image it takes the cheapest of three ways to a posterior
mean whose root-mean-square error over the image's pixels is within a tolerance:

* ``subset``: a random part of the training images, by the exact kernel. Where noise is strong,
  thousands of patches share the weight and a part stands for the whole. The error is estimated
  from the differences between eight groups of images; it is not believed where many pixels rest
  on few patches.
* ``index``: patches drawn at random where they matter, pixel by pixel
  (:mod:`patchmosaic.engines.patch_index`). Where noise is weak, few patches dominate and are found.
  The error is estimated for each pixel, and pixels that need it are drawn again with more. Pixels
  whose patches cut the border have few candidates: these are computed exactly.
* ``exact``: the whole bank, where neither is cheaper, as in small banks.

Estimates can fail where something rare dominates, so :mod:`patchmosaic.machines.base` audits them.
Random choices depend on the noise level and the pixel alone: results do not depend on the batch.
"""

from __future__ import annotations

import math
import os
import struct
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from patchmosaic.engines import native
from patchmosaic.engines.base import TOLERANCE, EstimatedSums, PosteriorSums
from patchmosaic.engines.patch_index import LARGEST_PATCH, MOST_VALUES, Draws, PatchIndex, Workspace
from patchmosaic.system.memory import require_memory

GROUPS = 8  # of a subset, whose differences tell its error
PILOT = 256  # images of the first subset
AIM = 0.5  # of the tolerated variance: estimates are uncertain
RARE, FEW = 30, 0.02  # few pixels may rest on a sum of weights below that of so many equal patches
FIRST_DRAWS = (8192, 512)  # from the leaves, and of these, for each pixel of the first round
MOST_DRAWS = (1 << 20, 1 << 17)
ROUNDS = 4
FEWEST_INDEXED = 4096  # images; few queries do not repay an index of fewer
BYTES_A_PATCH, MOST_BYTES = 38, 5 << 29  # of an index; where it would be larger, there is none
# Seconds of a core, measured; they steer the choice of the way alone.
PAIR = 3e-10  # a pair of patches in the exact kernel
OVERLAP = (
    1.5  # of it, times the patch size over the pixels in a row, for sums that few pixels share
)
DRAW = (1.4e-8, 1.2e-7)  # a patch drawn from a leaf, and one compared
QUERY = 1e-4  # a look at all leaves
USUAL_ROUNDS = 2  # first rounds that all further draws are worth


class AdaptiveBank:
    """Training images (N, C, H, W), also in a random order, and the index of one patch size."""

    def __init__(self, images: Tensor) -> None:
        whole = native.NativeBank(images)
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
        self.native, self.shuffled = whole.alike(), whole[order]
        self._index: tuple[tuple, PatchIndex] | None = None
        self._workspace = Workspace(self.shuffled.images.shape, MOST_BYTES)

    def __len__(self) -> int:
        return len(self.native)

    def index(self, patch_size: int, wrapped: bool, threads: int) -> PatchIndex:
        """The index of patches of this size, wrapped around the borders or not."""
        key = (patch_size, wrapped)
        if self._index is None or self._index[0] != key:
            self._index = None  # what it holds is about to be written over
            images, half = self.shuffled.images, patch_size // 2
            if wrapped:
                images = _wrap(images, half)
            inside = math.prod(side - 2 * half for side in images.shape[2:])
            more = BYTES_A_PATCH * inside * len(images) - self._workspace.taken
            require_memory(more, f"the adaptive engine's index of patches of P = {patch_size}")
            images = images.contiguous().numpy()
            self._index = key, PatchIndex(images, patch_size, threads, self._workspace)
        return self._index[1]


def _wrap(images: Tensor, half: int) -> Tensor:
    """Images (B, C, H, W) continued periodically by ``half`` pixels on all sides."""
    height, width = images.shape[2:]
    rows = torch.arange(-half, height + half) % height
    cols = torch.arange(-half, width + half) % width
    return images[:, :, rows][:, :, :, cols]


def pairs(height: int, width: int, patch_size: int, boundary: str, candidates: str) -> int:
    """Pairs of query pixel and candidate patch in one training image."""

    def along(side: int) -> int:
        inside = max(side - patch_size + 1, 0)
        if boundary == "zeros":
            return inside**2 + side - inside
        return side * (side if candidates == "wrapped" else inside)

    return along(height) * along(width)


def posterior_sums(
    x: Tensor,
    bank: AdaptiveBank,
    alpha_bar: float,
    patch_size: int,
    *,
    boundary: str = "zeros",
    candidates: str = "wrapped",
    tolerance: float = TOLERANCE,
    threads: int | None = None,
) -> tuple[PosteriorSums, list[str]]:
    """Estimates of the sums that :func:`native.posterior_sums` computes, for ELS.

    Args:
        x, alpha_bar, patch_size, boundary, candidates, threads: as there.
        bank: of the training images.
        tolerance: root-mean-square error of the posterior mean, over the pixels of each image, in
            units of the images, [-1, 1].

    Returns:
        The sums, and for each query image the way taken: "subset", "index" or "exact".
    """
    threads = threads or len(os.sched_getaffinity(0))
    search = _Search(bank, alpha_bar, patch_size, boundary, candidates, tolerance, threads)
    return search(x.detach().to("cpu", torch.float32))


class AdaptiveEngine:
    """The :class:`patchmosaic.engines.base.Engine` of this file: ELS alone.

    Args:
        tolerance, threads: as :func:`posterior_sums` takes them.
    """

    name = "adaptive"
    least_variance = native.LEAST_VARIANCE
    bytes_a_value = 8

    def __init__(self, tolerance: float = TOLERANCE, threads: int | None = None) -> None:
        self.tolerance, self.threads = tolerance, threads

    unavailable_reason = staticmethod(native.NativeEngine.unavailable_reason)

    def bank(self, images: Tensor) -> AdaptiveBank:
        return AdaptiveBank(images)

    def posterior_sums(
        self,
        x: Tensor,
        bank: AdaptiveBank,
        alpha_bar: float,
        patch_size: int,
        *,
        boundary: str = "zeros",
        candidates: str = "wrapped",
        equivariant: bool = True,
    ) -> EstimatedSums:
        if not equivariant:
            raise ValueError("the adaptive engine is of ELS alone")
        sums, ways = posterior_sums(
            x,
            bank,
            alpha_bar,
            patch_size,
            boundary=boundary,
            candidates=candidates,
            tolerance=self.tolerance,
            threads=self.threads,
        )
        return EstimatedSums(sums.log_max, sums.weight, sums.weighted_value, tuple(ways))


class _Search:
    """One call of :func:`posterior_sums`."""

    def __init__(
        self,
        bank: AdaptiveBank,
        alpha_bar: float,
        patch_size: int,
        boundary: str,
        candidates: str,
        tolerance: float,
        threads: int,
    ) -> None:
        self.bank, self.alpha_bar, self.patch_size = bank, alpha_bar, patch_size
        self.boundary, self.candidates = boundary, candidates
        self.tolerance, self.threads = tolerance, threads
        height, width = bank.native.images.shape[2:]
        # Random, but the same at this noise level in every run.
        self.seed = int.from_bytes(struct.pack("<d", alpha_bar), "little") ^ patch_size
        self.pairs = pairs(height, width, patch_size, boundary, candidates)
        half = 0 if self.wrapped else patch_size // 2
        inside = (height - 2 * half) * (width - 2 * half)
        # Pixels of the query that the index serves: whose patches do not cut a broken border.
        margin = half if boundary == "zeros" else 0
        self.inner = (slice(margin, height - margin), slice(margin, width - margin))
        self.queries = (height - 2 * margin) * (width - 2 * margin)
        border_pairs = self.pairs - inside * inside if boundary == "zeros" else 0
        shared = max(width - 2 * half, 1)
        pair = PAIR * (1 + OVERLAP * min(patch_size, width) / shared)
        self.border_seconds = pair * border_pairs * len(bank)
        self.exact_seconds = pair * self.pairs * len(bank)
        first_round = self.border_seconds + self.queries * (QUERY + np.dot(FIRST_DRAWS, DRAW))
        self.index_seconds = first_round + self.queries * USUAL_ROUNDS * np.dot(FIRST_DRAWS, DRAW)
        self.indexable = (
            min(height, width) >= patch_size
            and patch_size <= LARGEST_PATCH
            and bank.native.images.numel() <= MOST_VALUES // (9 if self.wrapped else 1)
            and BYTES_A_PATCH * inside * len(bank) <= MOST_BYTES
            and len(bank) >= FEWEST_INDEXED
            and first_round < self.exact_seconds
        )

    @property
    def wrapped(self) -> bool:
        return self.boundary == "circular" and self.candidates == "wrapped"

    def __call__(self, x: Tensor) -> tuple[PosteriorSums, list[str]]:
        ways = ["exact"] * len(x)
        found: list[PosteriorSums | None] = [None] * len(x)
        rest = list(range(len(x)))
        if len(self.bank) >= 4 * PILOT:
            self._by_subsets(x, rest, found, ways)
            rest = [i for i in rest if found[i] is None]
        if rest and self.indexable:
            self._by_index(x, rest, found, ways)
            rest = [i for i in rest if found[i] is None]
        if rest:
            sums = PosteriorSums(*self._exact(x[rest]))
            for k, i in enumerate(rest):
                found[i] = sums[k : k + 1]
        return PosteriorSums.concatenate(found), ways

    def _exact(self, x: Tensor, **options: object) -> tuple[Tensor, Tensor, Tensor]:
        return native.posterior_sums(
            x,
            options.pop("bank", self.bank.native),
            self.alpha_bar,
            self.patch_size,
            boundary=self.boundary,
            candidates=self.candidates,
            threads=options.pop("threads", self.threads),
            **options,
        )

    def _by_subsets(
        self, x: Tensor, rest: list[int], found: list[PosteriorSums | None], ways: list[str]
    ) -> None:
        """Settle the images for which a part of the bank is enough, and cheaper than the index.

        Parts double, so that images that need alike are computed together.
        """
        images = self.bank.shuffled
        begin = self.seed % len(images)
        sums: dict[int, list[PosteriorSums]] = {}  # the groups of each image
        taken, todo = 0, list(rest)
        worth = len(images) * (self.index_seconds / self.exact_seconds if self.indexable else 0.5)
        while todo:
            size = PILOT if taken == 0 else taken  # images to add
            if taken + size > len(images) // 2:
                return

            each = size // GROUPS
            starts = [(begin + taken + number * each) % len(images) for number in range(GROUPS)]
            groups = self._groups(x[todo], starts, each)
            taken += size
            again = []
            for k, i in enumerate(todo):
                here = [group[k : k + 1] for group in groups]
                if i in sums:
                    here = [a.merge(b) for a, b in zip(sums[i], here, strict=True)]
                sums[i] = here
                whole, variance = _between_groups(here)
                variance *= 1 - taken / len(images)
                rare = float((whole.weight < RARE).double().mean())
                ratio = max(variance / (AIM * self.tolerance**2), rare / FEW)
                if ratio <= 1:
                    share = taken / len(images)  # for sums over the whole bank
                    found[i] = PosteriorSums(
                        whole.log_max, whole.weight / share, whole.weighted_value / share
                    )
                    ways[i] = "subset"
                elif ratio * taken < worth:
                    again.append(i)
            todo = again

    def _groups(self, x: Tensor, starts: list[int], each: int) -> list[PosteriorSums]:
        """Sums over ``each`` images from each start on, going on at the first after the last."""
        images = self.bank.shuffled

        def group(start: int) -> PosteriorSums:
            beyond = max(start + each - len(images), 0)
            parts = [part for part in (images[start : start + each], images[:beyond]) if len(part)]
            sums = [PosteriorSums(*self._exact(x, bank=part, threads=1)) for part in parts]
            return sums[0] if len(sums) == 1 else sums[0].merge(sums[1])

        with ThreadPoolExecutor(min(self.threads, GROUPS)) as pool:
            return list(pool.map(group, starts))

    def _by_index(
        self, x: Tensor, rest: list[int], found: list[PosteriorSums | None], ways: list[str]
    ) -> None:
        """Settle the images for which drawing patches is cheaper than comparing all."""
        index = self.bank.index(self.patch_size, self.wrapped, self.threads)
        half = self.patch_size // 2
        drawn = {}
        for i in rest:
            image = x[i : i + 1]
            image = image if self.boundary == "zeros" else _wrap(image, half)
            result = self._draw(index, image)
            if result is not None:
                drawn[i] = result
        if not drawn:
            return
        chosen = list(drawn)
        if self.boundary == "zeros":
            sums = self._exact(x[chosen], border=True)
        else:
            shape = (len(chosen), *x.shape[2:])
            zero = torch.zeros(shape, dtype=torch.float64)
            sums = zero, zero.clone(), zero[:, None].repeat(1, x.shape[1], 1, 1)
        rows, cols = self.inner
        for k, i in enumerate(chosen):
            log_max, weight, weighted_value = (part[k : k + 1] for part in sums)
            shape = (1, rows.stop - rows.start, cols.stop - cols.start)
            log_max[:, rows, cols] = torch.from_numpy(drawn[i][0]).reshape(shape)
            weight[:, rows, cols] = torch.from_numpy(drawn[i][1]).reshape(shape)
            values = torch.from_numpy(drawn[i][2].T.copy()).reshape(-1, *shape[1:])
            weighted_value[:, :, rows, cols] = values
            found[i], ways[i] = PosteriorSums(log_max, weight, weighted_value), "index"

    def _draw(
        self, index: PatchIndex, image: Tensor
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
        """Draws for all inner pixels of an image, or None where the whole bank is cheaper."""
        patches = functional.unfold(image, self.patch_size)[0].T.contiguous()
        query = index.query(patches, self.alpha_bar)
        keys = (np.arange(self.queries, dtype=np.uint64) << np.uint64(8)) ^ np.uint64(
            (self.seed * 0x9E3779B97F4A7C15) % 2**64 & ~0xFF
        )
        shape = self.queries, image.shape[1]
        sums, variances = np.zeros((2, shape[0])), np.zeros((2, shape[0]))
        found = Draws(sums[0], sums[1], np.zeros(shape), variances)
        drawn = np.zeros((2, self.queries))
        draws = np.repeat(np.array(FIRST_DRAWS, float)[:, None], self.queries, axis=1)
        todo, pixels = np.arange(self.queries), self.bank.native.images[0, 0].numel()
        target = AIM * self.tolerance**2 * pixels
        costs = np.array(DRAW)[:, None]
        for turn in range(ROUNDS):
            more = query(todo, draws.astype(np.int64), keys + np.uint64(2 * turn))
            found.add(todo, drawn[0, todo], more, draws[0, todo])
            drawn[:, todo] += draws[:, todo]
            if variances.sum() <= target:
                break
            # Each kind of draw has a variance of spread^2 / draws; the least cost for a given sum
            # of variances over the image has draws in proportion to spread / sqrt(cost).
            # Estimates are uncertain and neighbours alike, so each counts with those around it.
            spread = np.sqrt(self._smooth(variances * drawn))
            total = (spread * np.sqrt(costs)).sum()
            wanted = spread / np.sqrt(costs) * total / (0.8 * target)
            draws = np.clip(wanted - drawn, 0.1 * drawn, np.array(MOST_DRAWS)[:, None])
            todo = np.flatnonzero((wanted > 1.5 * drawn).any(0))
            if len(todo) == 0:
                break
            if (draws[:, todo] * costs).sum() + self.border_seconds > self.exact_seconds:
                return None
        return found.log_max, found.weight, found.weighted_value

    def _smooth(self, some: np.ndarray) -> np.ndarray:
        """Values (n, queries) of the inner pixels, each averaged with those of its neighbours."""
        rows, cols = (side.stop - side.start for side in self.inner)
        planes = torch.from_numpy(some).reshape(len(some), 1, rows, cols)
        means = functional.avg_pool2d(planes, 3, 1, 1, count_include_pad=False)
        return means.reshape(some.shape).numpy()


def _between_groups(groups: list[PosteriorSums]) -> tuple[PosteriorSums, float]:
    """The sums over all groups, and the variance of their mean, averaged over pixels and channels.

    Linearised: with group sums ``w_g`` of weights and ``v_g`` of weighted values, the mean m has
    the variance ``n / (n - 1) sum_g (v_g - m w_g)^2 / (sum_g w_g)^2``.
    """
    whole = groups[0]
    for group in groups[1:]:
        whole = whole.merge(group)
    mean, total = whole.mean, whole.weight
    square = torch.zeros_like(mean)
    for group in groups:
        relative = (group.log_max - whole.log_max).exp()
        off = (group.weighted_value - mean * group.weight.unsqueeze(1)) * relative.unsqueeze(1)
        square += (off / total.unsqueeze(1)) ** 2
    return whole, float(square.mean()) * len(groups) / (len(groups) - 1)
