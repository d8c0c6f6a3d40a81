"""The adaptive engine: ELS from as much of the bank as the answer needs, with estimated errors.

For each noise level, patch size and query image it takes the cheapest of three ways to a posterior
mean whose root-mean-square error over the image's pixels is within a tolerance:

* ``subset``: a random part of the training images, by the exact kernel. Where noise is strong,
  thousands of patches share the weight and a part stands for the whole. Images with rare kinds of
  blocks are always in it, as a stratum of their own (:func:`_rarest_first`). The error is estimated
  from the differences between eight groups of images.
* ``index``: patches drawn at random where they matter, pixel by pixel
  (:mod:`patchmosaic.engines.patch_index`). Where noise is weak, few patches dominate and are found.
  The error is estimated for each pixel, and pixels that need it are drawn again with more; what is
  drawn again also tells whether estimates of the error are large enough. There is no index where
  much of what tells patches apart lies beyond the components that it sorts them by. Pixels whose
  patches cut the border have few candidates: these are computed exactly.
* ``exact``: the whole bank, where neither is cheaper, as in small banks, or believed.

An estimate is believed where the upper bound of its error is within the tolerance, and nothing
tells that something heavier was missed. Noise puts the source of a patch of n values at a
log-weight of about ``-n / 2``, give or take ``sqrt(n / 2)``: where the best patch found is far
worse (:func:`shortage`), a better one may be elsewhere. Many pixels that rest on few patches speak
against a subset; so does, at a lower resolution, the posterior mean over the whole bank, if it
differs from that over the subset.

What neither noise nor the low resolution tells is left to audits of exact rows, in
:mod:`patchmosaic.machines.local`. Random choices depend on the noise level and the pixel alone:
results do not depend on the batch, unless audits have all images of a call computed exactly.
"""

from __future__ import annotations

import math
import struct
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from patchmosaic.engines import native
from patchmosaic.engines.base import (
    FLOAT32_LEAST_VARIANCE,
    TOLERANCE,
    EstimatedSums,
    PosteriorSums,
)
from patchmosaic.engines.patch_index import (
    COMPONENTS,
    LARGEST_PATCH,
    MOST_VALUES,
    Draws,
    PatchIndex,
    Workspace,
)
from patchmosaic.system.limits import cores
from patchmosaic.system.memory import require_memory

GROUPS = 8  # of a subset, whose differences tell its error
PILOT = 256  # images of the first subset
AIM = 0.6  # of the tolerated variance, for the upper bound of an estimate
BOUND = 1.9  # standard errors from an estimate to its upper bound: of Student's t, 7 degrees, 95%
SHORT = 3.5  # standard deviations by which the best patch may fall short of what noise explains
SHORT_ROWS = 0.2  # of an image may have such pixels, and are computed exactly; of more, all are
RAREST = 64  # a bank's share, 1 / RAREST, of images with the rarest blocks, which all subsets have
SIDE_OF_BLOCK, BINS = 4, 8  # of which images are made, and of each of their features
LEAST_TOLERANCE = 2e-4  # twice what the exact kernel's own rounding may come to
HOPELESS = 8  # times the error that is worth it, by a pilot without the rarest images
RARE, FEW = 30, 0.02  # few pixels may rest on a sum of weights below that of so many equal patches
FIRST_DRAWS = (8192, 512)  # from the leaves, and of these, for each pixel of the first round
MOST_DRAWS = (1 << 20, 1 << 17)
ROUNDS = 5
TINY = 1e-30
CHECKED = 8  # one pixel of so many is drawn twice where none needs it
# Nats by which patches may differ beyond the components that leaves are sorted by: up to the first
# an index estimates its errors well, up to the second it aims at half the variance.
UNSEEN = (5.0, 8.0)
UNSEEN_PATCHES = (256, 16)  # that it is estimated from: images, and patches in each
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
    """Training images (N, C, H, W), also in another order, and the index of one patch size.

    Attributes:
        shuffled: the ``rarest`` images, by their blocks, then the others in random order.
        coarse: ``shuffled`` at a lower resolution, by a factor of ``coarser``.
    """

    def __init__(self, images: Tensor) -> None:
        whole = native.NativeBank(images)
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))
        self.rarest = len(images) // RAREST
        order = order[_rarest_first(images[order], self.rarest)]
        self.native, self.shuffled = whole.alike(), whole[order]
        side = min(images.shape[2:])
        self.coarser = 4 if side >= 32 else min(side, 2)
        self.coarse = native.NativeBank(functional.avg_pool2d(images[order].float(), self.coarser))
        self._index: tuple[tuple, PatchIndex] | None = None
        self._unseen: dict[int, float] = {}
        self._workspace = Workspace(self.shuffled.images.shape, MOST_BYTES)

    def __len__(self) -> int:
        return len(self.native)

    def unseen(self, patch_size: int) -> float:
        """Mean squared length of patches beyond the leading components that leaves are sorted by.

        Over the variance of the noise, in units of the images, it is the expected difference of two
        patches' log-weights that an index does not see.
        """
        if patch_size not in self._unseen:
            random, images = np.random.default_rng(patch_size), self.shuffled[self.rarest :].images
            some = images[:: max(len(images) // UNSEEN_PATCHES[0], 1)].float()
            some = some / 127.5 - 1 if images.dtype == torch.uint8 else some
            tops, lefts = (
                random.integers(side - patch_size + 1, size=(len(some), UNSEEN_PATCHES[1])).tolist()
                for side in images.shape[2:]
            )
            patches = torch.stack(
                [
                    image[:, y : y + patch_size, x : x + patch_size].flatten()
                    for image, *places in zip(some, tops, lefts, strict=True)
                    for y, x in zip(*places, strict=True)
                ]
            )
            energies = torch.linalg.eigvalsh(patches.T @ patches / len(patches))  # they rise
            self._unseen[patch_size] = float(energies[:-COMPONENTS].clamp(min=0).sum())
        return self._unseen[patch_size]

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
            pixels = images.contiguous().numpy()
            self._index = key, PatchIndex(pixels, patch_size, threads, self._workspace)
        return self._index[1]


def _rarest_first(images: Tensor, count: int) -> Tensor:
    """The numbers of all images, first of ``count`` that have blocks which few others have.

    Blocks are told apart by the mean, the standard deviation and the roughness of their values,
    and by the difference of the first and the last channel, in steps of the bank's spread; a kind
    of block that n images have counts 1 / n.
    """
    parts, side = [], min(SIDE_OF_BLOCK, *images.shape[2:])
    for some in images.split(4096):
        some = some.float()
        rough = functional.pad(some.diff(dim=3).abs(), (0, 1)).mean(1, keepdim=True)
        tint = some[:, :1] - some[:, -1:]
        squares = (some**2).mean(1, keepdim=True)
        planes = torch.cat([some.mean(1, keepdim=True), squares, rough, tint], 1)
        mean, square, *others = functional.avg_pool2d(planes, side).flatten(2).unbind(1)
        parts.append(torch.stack([mean, (square - mean**2).clamp(min=0).sqrt(), *others]))
    features = torch.cat(parts, 1)  # (4, N, blocks)
    kinds = torch.zeros(features.shape[1:], dtype=torch.long)
    for feature in features:
        off = (feature - feature.mean()) / feature.std(correction=0).clamp(min=1e-6) + BINS / 2
        kinds = BINS * kinds + off.floor().clamp(0, BINS - 1).long()
    had = kinds.sort(1).values
    once = functional.pad(had.diff(dim=1) > 0, (1, 0), value=True)
    counts = had[once].bincount(minlength=BINS ** len(features))
    order = (1 / counts[kinds]).sum(1).argsort(descending=True, stable=True)
    return torch.cat([order[:count], order[count:].sort().values])


def values_in_patches(shape: tuple[int, ...], patch_size: int, boundary: str) -> Tensor:
    """How many values of images (C, H, W) the patch around each pixel has, (H, W) float64."""
    channels, height, width = shape
    if boundary == "circular":
        return torch.full((height, width), float(channels * patch_size**2), dtype=torch.float64)
    half = patch_size // 2
    rows, cols = (
        (at + half).clamp(max=side - 1) - (at - half).clamp(min=0) + 1
        for side in (height, width)
        for at in [torch.arange(side)]
    )
    return (channels * rows[:, None] * cols).double()


def shortage(log_max: Tensor, values: Tensor) -> Tensor:
    """By how many standard deviations the largest log-weights fall short of what noise explains.

    A patch's distance from its source is noise: -2 log-weight is a chi-squared variable of as many
    degrees of freedom as it has ``values``; its cube root is nearly normal (Wilson and Hilferty,
    1931).
    """
    spread = 2 / (9 * values)
    return ((-2 * log_max.clamp(max=0) / values) ** (1 / 3) - (1 - spread)) / spread.sqrt()


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
) -> EstimatedSums:
    """Estimates of the sums that :func:`native.posterior_sums` computes, for ELS.

    Args:
        x, alpha_bar, patch_size, boundary, candidates, threads: as there.
        bank: of the training images.
        tolerance: root-mean-square error of the posterior mean, over the pixels of each image, in
            units of the images, [-1, 1].

    Raises:
        ValueError: for a tolerance that no engine keeps.
    """
    if not tolerance >= LEAST_TOLERANCE:
        raise ValueError(
            f"tolerance is {tolerance}: rounding alone may come to half of {LEAST_TOLERANCE}, the "
            "least that can be kept; the engine 'dense' computes in float64"
        )
    threads = threads or cores()
    search = _Search(bank, alpha_bar, patch_size, boundary, candidates, tolerance, threads)
    return search(x.detach().to("cpu", torch.float32))


class AdaptiveEngine:
    """The :class:`patchmosaic.engines.base.Engine` of this file: ELS alone.

    Args:
        tolerance, threads: as :func:`posterior_sums` takes them.
    """

    name = "adaptive"
    least_variance = FLOAT32_LEAST_VARIANCE
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
        return posterior_sums(
            x,
            bank,
            alpha_bar,
            patch_size,
            boundary=boundary,
            candidates=candidates,
            tolerance=self.tolerance,
            threads=self.threads,
        )


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
        self.indexable = (
            min(height, width) >= patch_size
            and patch_size <= LARGEST_PATCH
            and bank.native.images.numel() <= MOST_VALUES // (9 if self.wrapped else 1)
            and BYTES_A_PATCH * inside * len(bank) <= MOST_BYTES
            and len(bank) >= FEWEST_INDEXED
            and first_round < self.exact_seconds
        )
        self.index_aim = AIM
        if self.indexable:
            unseen = bank.unseen(patch_size) * alpha_bar / (1 - alpha_bar)
            self.indexable = unseen <= UNSEEN[1]
            self.index_aim = AIM if unseen <= UNSEEN[0] else AIM / 2
        further = self.queries * USUAL_ROUNDS * np.dot(FIRST_DRAWS, DRAW)
        self.index_seconds = first_round + further * AIM / self.index_aim

    @property
    def wrapped(self) -> bool:
        return self.boundary == "circular" and self.candidates == "wrapped"

    def __call__(self, x: Tensor) -> EstimatedSums:
        self.ways = ["exact"] * len(x)
        self.risks = torch.zeros(x.shape[0], x.shape[2], dtype=torch.float64)
        found: dict[int, PosteriorSums] = {}
        rest = list(range(len(x)))
        if len(self.bank) >= 4 * PILOT:
            self._by_subsets(x, rest, found)
            rest = [i for i in rest if i not in found]
        if rest and self.indexable:
            self._by_index(x, rest, found)
            rest = [i for i in rest if i not in found]
        if rest:
            sums = PosteriorSums(*self._exact(x[rest]))
            for k, i in enumerate(rest):
                found[i] = sums[k : k + 1]
        sums = PosteriorSums.concatenate([found[i] for i in range(len(x))])
        return EstimatedSums(
            sums.log_max, sums.weight, sums.weighted_value, tuple(self.ways), self.risks
        )

    def _exact(
        self,
        x: Tensor,
        bank: native.NativeBank | None = None,
        *,
        rows: tuple[int, int] | None = None,
        border: bool = False,
        threads: int | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        return native.posterior_sums(
            x,
            self.bank.native if bank is None else bank,
            self.alpha_bar,
            self.patch_size,
            boundary=self.boundary,
            candidates=self.candidates,
            rows=rows,
            border=border,
            threads=threads or self.threads,
        )

    def _by_subsets(self, x: Tensor, rest: list[int], found: dict[int, PosteriorSums]) -> None:
        """Settle the images for which a part of the bank is enough, and cheaper than the index.

        Parts double, so that images that need alike are computed together.
        """
        images, rarest = self.bank.shuffled, self.bank.rarest
        others = len(images) - rarest
        begin = self.seed % others
        surely: dict[int, PosteriorSums] = {}  # sums over the rarest images
        none = PosteriorSums.empty(x[:1].double(), per_pixel=True)
        sums: dict[int, list[PosteriorSums]] = {}  # the groups of each image
        taken, todo = 0, list(rest)
        worth = len(images) * (self.index_seconds / self.exact_seconds if self.indexable else 0.5)

        def needed(*ratios: float) -> float:
            """Images that a subset needs of which something is ``ratio`` times what it may be."""
            return max(*ratios, 2) * taken

        while todo:
            size = PILOT if taken == 0 else taken  # images to add
            if taken + size > others // 2:
                return

            each = size // GROUPS
            starts = [(begin + taken + number * each) % others for number in range(GROUPS)]
            groups = self._groups(x[todo], starts, each)
            taken += size
            for k, i in enumerate(todo):
                here = [group[k : k + 1] for group in groups]
                before = sums.get(i, [none] * GROUPS)
                sums[i] = [a.merge(b) for a, b in zip(before, here, strict=True)]
            if taken == PILOT:  # the rarest images cost more: not for what is far from enough
                ratios = {i: self._subset(sums[i], none, taken)[2:] for i in todo}
                todo = [i for i in todo if needed(ratios[i][0] / HOPELESS, ratios[i][1]) < worth]
                if todo:
                    found_surely = PosteriorSums(*self._exact(x[todo], bank=images[:rarest]))
                    surely = {i: found_surely[k : k + 1] for k, i in enumerate(todo)}
            again = []
            for i in todo:
                whole, variances, *ratio = self._subset(sums[i], surely[i], taken)
                if max(ratio) <= 1 and self._believed(x[i : i + 1], whole, begin, taken):
                    found[i], self.ways[i] = whole, "subset"
                    self.risks[i] = variances.sum(1)
                elif needed(*ratio) < worth:
                    again.append(i)
            todo = again

    def _subset(
        self, groups: list[PosteriorSums], surely: PosteriorSums, taken: int
    ) -> tuple[PosteriorSums, Tensor, float, float]:
        """What so many of the other images give, with the rarest ones' sums.

        Returns:
            the sums; the variances of the means, (H, W); how many times what it may be the upper
            bound of their error is, and the share of pixels that rest on few patches.
        """
        others = len(self.bank.shuffled) - self.bank.rarest
        whole, variances, bound = _between_groups(groups, surely, others / taken)
        unseen = 1 - taken / others
        rare = float((whole.weight * taken / others < RARE).double().mean())
        off = bound * unseen / (AIM * self.tolerance**2)
        return whole, variances * unseen, off, rare / FEW

    def _believed(self, x: Tensor, whole: PosteriorSums, begin: int, taken: int) -> bool:
        """Whether noise, and the whole bank at a low resolution, agree with what a subset gave."""
        values = values_in_patches(x.shape[1:], self.patch_size, self.boundary)
        if float(shortage(whole.log_max[0], values).max()) > SHORT:
            return False
        times, coarse, rarest = self.bank.coarser, self.bank.coarse, self.bank.rarest
        noise = (1 - self.alpha_bar) / self.alpha_bar / times**2
        alpha_bar = 1 / (1 + noise)
        query = functional.avg_pool2d(x, times) * math.sqrt(alpha_bar / self.alpha_bar)
        side = max((self.patch_size // times - 1) // 2 * 2 + 1, 1)

        def over(bank: native.NativeBank) -> PosteriorSums:
            return PosteriorSums(
                *native.posterior_sums(
                    query,
                    bank,
                    alpha_bar,
                    side,
                    boundary=self.boundary,
                    candidates=self.candidates,
                    threads=self.threads,
                )
            )

        others = len(coarse) - rarest
        beyond = max(begin + taken - others, 0)
        parts = [coarse[rarest + begin : rarest + min(begin + taken, others)]]
        parts += [coarse[rarest : rarest + beyond]] if beyond else []
        subset = over(coarse[:rarest])
        for part in parts:
            subset = subset.merge(_times(over(part), others / taken))
        off = subset.mean - over(coarse).mean
        return float(off.square().mean()) <= self.tolerance**2

    def _groups(self, x: Tensor, starts: list[int], each: int) -> list[PosteriorSums]:
        """Sums over ``each`` of the other images from each start on, after the last the first."""
        images = self.bank.shuffled[self.bank.rarest :]

        def group(start: int) -> PosteriorSums:
            beyond = max(start + each - len(images), 0)
            parts = [part for part in (images[start : start + each], images[:beyond]) if len(part)]
            sums = [PosteriorSums(*self._exact(x, bank=part, threads=1)) for part in parts]
            return sums[0] if len(sums) == 1 else sums[0].merge(sums[1])

        with ThreadPoolExecutor(min(self.threads, GROUPS)) as pool:
            return list(pool.map(group, starts))

    def _by_index(self, x: Tensor, rest: list[int], found: dict[int, PosteriorSums]) -> None:
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
            found[i], self.ways[i] = PosteriorSums(log_max, weight, weighted_value), "index"
            self.risks[i, rows] = torch.from_numpy(drawn[i][3]).reshape(shape[1:]).sum(1)
            for row in drawn[i][4] + rows.start:
                exact = self._exact(x[i : i + 1], rows=(int(row), int(row) + 1))
                for part, whole in zip(exact, (log_max, weight, weighted_value), strict=True):
                    whole[..., row, :] = part[..., row, :]
                self.risks[i, row] = 0

    def _draw(self, index: PatchIndex, image: Tensor) -> tuple[np.ndarray, ...] | None:
        """Draws for all inner pixels of an image, or None where the whole bank is cheaper.

        Returns:
            as :class:`Draws` log_max, weight and weighted_value; the variances of the means; the
            inner rows in which something heavier may have been missed. None also where these are
            many, or the variances too large.
        """
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
        target = self.index_aim * self.tolerance**2 * pixels
        costs = np.array(DRAW)[:, None]
        # Draws that differ by more than their variances say tell that these say too little.
        differences = expected = 0.0
        for turn in range(ROUNDS):
            more = query(todo, draws.astype(np.int64), keys + np.uint64(2 * turn))
            if turn:
                off = found.means[todo] - more.means
                differences += (off**2).mean(1).sum()
                expected += (variances[:, todo] + more.variances).sum()
            found.add(todo, drawn[0, todo], more, draws[0, todo])
            drawn[:, todo] += draws[:, todo]
            factor = max(differences / max(expected, TINY), 1)
            if factor * _upper(variances.sum(0)) <= target:
                if turn:
                    break
                todo = np.arange(self.seed % CHECKED, self.queries, CHECKED)
                continue
            # Each kind of draw has a variance of spread^2 / draws; the least cost for a given sum
            # of variances over the image has draws in proportion to spread / sqrt(cost).
            # Estimates are uncertain and neighbours alike, so each counts with those around it.
            spread = np.sqrt(self._smooth(variances * drawn))
            total = (spread * np.sqrt(costs)).sum()
            wanted = spread / np.sqrt(costs) * total / (0.8 * target) * factor
            draws = np.clip(wanted - drawn, 0.1 * drawn, np.array(MOST_DRAWS)[:, None])
            todo = np.flatnonzero((wanted > 1.5 * drawn).any(0))
            if len(todo) == 0:
                break
            if (draws[:, todo] * costs).sum() + self.border_seconds > self.exact_seconds:
                return None
        values = float(image.shape[1] * self.patch_size**2)
        short = shortage(torch.from_numpy(found.log_max), torch.tensor(values)) > SHORT
        rows = short.reshape(self.inner[0].stop - self.inner[0].start, -1).any(1).numpy()
        if factor * _upper(variances.sum(0)) > target / AIM or rows.mean() > SHORT_ROWS:
            return None
        parts = found.log_max, found.weight, found.weighted_value, variances.sum(0)
        return *parts, np.flatnonzero(rows)

    def _smooth(self, some: np.ndarray) -> np.ndarray:
        """Values (n, queries) of the inner pixels, each averaged with those of its neighbours."""
        rows, cols = (side.stop - side.start for side in self.inner)
        planes = torch.from_numpy(some).reshape(len(some), 1, rows, cols)
        means = functional.avg_pool2d(planes, 3, 1, 1, count_include_pad=False)
        return means.reshape(some.shape).numpy()


def _upper(variances: np.ndarray) -> float:
    """An upper bound of a sum of estimated variances, each of which may be off by itself."""
    return float(variances.sum() + BOUND * np.sqrt((variances**2).sum()))


def _times(sums: PosteriorSums, factor: float) -> PosteriorSums:
    """The sums over ``factor`` times as many candidates alike."""
    return PosteriorSums(sums.log_max, sums.weight * factor, sums.weighted_value * factor)


def _between_groups(
    groups: list[PosteriorSums], surely: PosteriorSums, factor: float
) -> tuple[PosteriorSums, Tensor, float]:
    """The sums over all groups, ``factor`` times, and what is surely in; errors of their mean.

    Linearised: with group sums ``w_g`` of weights and ``v_g`` of weighted values, and ``w`` of all
    weights, the mean m has the variance ``n / (n - 1) sum_g (o_g - mean o)^2`` with
    ``o_g = factor (v_g - m w_g) / w``.

    Returns:
        the sums; the variance of each pixel (H, W), averaged over channels; the upper bound of its
        average over pixels. As groups differ alike at all pixels, or by the few images that matter,
        it rests on how much each of them adds.
    """
    whole = groups[0]
    for group in groups[1:]:
        whole = whole.merge(group)
    whole = _times(whole, factor).merge(surely)
    offs = [
        (group.weighted_value - whole.mean * group.weight.unsqueeze(1))
        * ((group.log_max - whole.log_max).exp() * factor / whole.weight).unsqueeze(1)
        for group in groups
    ]
    off = torch.cat(offs)  # (groups, C, H, W)
    squares = (off - off.mean(0)).square() * len(groups) ** 2 / (len(groups) - 1)
    each = squares.mean((1, 2, 3))
    bound = each.mean() + BOUND * each.std() / math.sqrt(len(groups))
    return whole, squares.mean((0, 1)), float(bound)
