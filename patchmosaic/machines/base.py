"""The machines: predictors of the clean image that are computed from a bank of training images.

A noisy image is ``x_t = sqrt(alpha_bar) x_0 + sqrt(1 - alpha_bar) z``. A :class:`Machine` answers
with a posterior mean of ``x_0``. A :class:`CandidateMachine` has that of ``x_0`` drawn uniformly
from its candidates:

====================================  ===============================  =========================
machine                               what is compared, per pixel      candidates
====================================  ===============================  =========================
:class:`IdealScoreMachine`            the whole image                  every training image
:class:`EquivariantScoreMachine`      the whole image                  all circular translates
:class:`LocalScoreMachine`            the P x P patch around it        patches at its position
:class:`EquivariantLocalScoreMachine` the P x P patch around it        patches at all positions
====================================  ===============================  =========================

Weights are ``exp(-|x_t - sqrt(alpha_bar) y|^2 / (2 (1 - alpha_bar)))`` over what is compared; the
value of a patch is its centre pixel. Source: Kamb and Ganguli, ICML 2025, sections 3 and 4.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from torch import Tensor

from patchmosaic.engines import dense
from patchmosaic.engines.base import TOLERANCE, Engine, PosteriorSums
from patchmosaic.engines.registry import CHOICES
from patchmosaic.machines.audit import Audit
from patchmosaic.machines.registry import BOUNDARIES, CANDIDATES
from patchmosaic.system.memory import require_memory


class Machine(ABC):
    """A predictor that rests on a bank of training images, and on the images of a label alone.

    A subclass defines :meth:`mean`; queries are checked, and split by label, before it is called.

    Args:
        images: (N, C, H, W), finite, in [-1, 1].
        labels: int (N,); with them, queries name their label and see only its images.
    """

    needs_scales: bool = False
    """Whether it compares patches, and so is asked with a patch size P."""

    fitted: Mapping[str, object] = MappingProxyType({})
    """Settings of what was fitted beforehand, as records of samples have them."""

    def __init__(self, images: Tensor, labels: Tensor | None = None) -> None:
        images = torch.as_tensor(images)
        if images.ndim != 4 or 0 in images.shape or not images.is_floating_point():
            raise ValueError(
                f"images are {images.dtype} of shape {tuple(images.shape)}: expected floating "
                "point (N, C, H, W) with no empty side"
            )
        least, most = images.aminmax()  # NaN if there is one
        if not -1 - 1e-6 <= least <= most <= 1 + 1e-6:
            raise ValueError("images hold NaN, infinite values or values outside [-1, 1]")
        if labels is not None:
            labels = torch.as_tensor(labels)
            if labels.shape != images.shape[:1] or labels.is_floating_point():
                raise ValueError(
                    f"labels are {labels.dtype} of shape {tuple(labels.shape)}: expected one "
                    f"integer for each of the {len(images)} images"
                )
        self.images, self.labels = images, labels
        self.known_labels = frozenset() if labels is None else frozenset(labels.unique().tolist())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._settings()})"

    def _settings(self) -> str:
        labels = "" if self.labels is None else f", {len(self.known_labels)} labels"
        images = self.images
        shape = tuple(images.shape[1:])
        return f"{len(images)} images of {shape}{labels}, {images.dtype} on {images.device}"

    def bank(self, label: int | None) -> Tensor:
        """The training images of one label, (n, C, H, W); all of them for None."""
        return self.images if label is None else self.images[self.labels == label]

    @abstractmethod
    def mean(
        self, x_t: Tensor, alpha_bar: float, patch_size: int | None, label: int | None
    ) -> Tensor:
        """The posterior mean for queries of one label.

        Args:
            x_t: (B, C, H, W), B at least 1.
            alpha_bar: in (0, 1].
            patch_size: odd, where the machine needs scales.
            label: one that the bank has; None where it has none.

        Returns:
            (B, C, H, W); each image's depends on its own ``x_t`` alone.
        """

    def posterior_mean(
        self,
        x_t: Tensor,
        alpha_bar: float,
        patch_size: int | None = None,
        labels: Tensor | None = None,
    ) -> Tensor:
        """The posterior mean of ``x_0`` given ``x_t``.

        Args:
            x_t: queries, (B, C, H, W).
            alpha_bar: signal variance in (0, 1]; 1 - alpha_bar is the noise variance.
            patch_size: odd side P of the patches in pixels; machines that need no scales ignore it.
            labels: int (B,), when and only when the bank has labels.

        Returns:
            (B, C, H, W) in the dtype, and on the device, of ``x_t``.

        Raises:
            ValueError: for queries outside of the above, and labels that no image has.
        """
        self.check_query(x_t, alpha_bar, patch_size, labels)
        if labels is None:
            return self.mean(x_t, alpha_bar, patch_size, None).to(x_t)
        by_label = _positions(labels)
        if missing := set(by_label) - self.known_labels:
            raise ValueError(f"labels {sorted(missing)} have no images in the bank")
        found = torch.empty_like(x_t)
        for label, chosen in by_label.items():
            found[chosen] = self.mean(x_t[chosen], alpha_bar, patch_size, label).to(x_t)
        return found

    def score(
        self,
        x_t: Tensor,
        alpha_bar: float,
        patch_size: int | None = None,
        labels: Tensor | None = None,
    ) -> Tensor:
        """The score ``(sqrt(alpha_bar) posterior_mean - x_t) / (1 - alpha_bar)``, (B, C, H, W)."""
        if alpha_bar == 1:
            raise ValueError("alpha_bar is 1: the score is infinite without noise")
        mean = self.posterior_mean(x_t, alpha_bar, patch_size, labels)
        return (math.sqrt(alpha_bar) * mean - x_t) / (1 - alpha_bar)

    def check_query(
        self, x_t: Tensor, alpha_bar: float, patch_size: int | None, labels: Tensor | None
    ) -> None:
        """Raise ValueError unless a query is what :meth:`posterior_mean` says."""
        if x_t.ndim != 4 or x_t.shape[1:] != self.images.shape[1:] or len(x_t) == 0:
            raise ValueError(
                f"x_t has shape {tuple(x_t.shape)}: expected (B, *{tuple(self.images.shape[1:])}), "
                "the channels and size of the training images, B at least 1"
            )
        if not x_t.is_floating_point():
            raise ValueError(f"x_t is {x_t.dtype}: expected floating point, as the answer has it")
        if not 0 < alpha_bar <= 1:
            raise ValueError(f"alpha_bar is {alpha_bar}: expected a number in (0, 1]")
        if self.needs_scales and (
            not isinstance(patch_size, int) or patch_size < 1 or patch_size % 2 == 0
        ):
            raise ValueError(f"patch_size is {patch_size!r}: expected an odd positive integer")
        if (labels is None) != (self.labels is None):
            raise ValueError(
                "the bank has labels, so queries need them"
                if labels is None
                else "labels were given, but the bank has none"
            )
        if labels is not None and labels.shape != x_t.shape[:1]:
            raise ValueError(f"labels have shape {tuple(labels.shape)}: expected ({len(x_t)},)")


class CandidateMachine(Machine):
    """A machine whose posterior mean is a quotient of sums over candidates from the bank.

    A subclass defines :meth:`sums`.

    Args:
        images, labels: as of :class:`Machine`.
        boundary: "zeros" (the broken boundary: images extended by zeros, patches compared only
            with patches that cut the border in the same way) or "circular" (images wrap around).
        candidates: for "circular", "wrapped" training patches (the paper's text) or only
            "interior" ones that do not wrap (its reference code).
        engine: "dense" (plain torch in float64, any device), "exact" (one kernel in float32,
            native on the CPU, "fused" on a graphics card), "adaptive" (native, ELS from a part of
            the bank; exact for LS), "fused" (of Triton, on a graphics card) or "auto" (exact; dense
            on a card). Where no kernel is available, "auto" and "adaptive" fall back to dense with
            a warning. IS and ES have the dense engine alone.
        tolerance: of the adaptive engine: root-mean-square error of the posterior mean over the
            pixels of an image, in units of images in [-1, 1].
        threads: of the exact and adaptive engines; None uses all cores.

    Attributes:
        audits: what audits of the adaptive engine found, a list of
            :class:`patchmosaic.machines.audit.Audit`.
    """

    weights_per_pixel: ClassVar[bool] = False
    """Whether each pixel weighs the candidates for itself, or a whole image does."""

    def __init__(
        self,
        images: Tensor,
        labels: Tensor | None = None,
        *,
        boundary: str = "zeros",
        candidates: str = "wrapped",
        engine: str = "auto",
        tolerance: float = TOLERANCE,
        threads: int | None = None,
    ) -> None:
        for key, value, allowed in (
            ("boundary", boundary, BOUNDARIES),
            ("candidates", candidates, CANDIDATES),
            ("engine", engine, CHOICES),
        ):
            if value not in allowed:
                raise ValueError(f"{key} is {value!r}: choose one of {', '.join(allowed)}")
        super().__init__(images, labels)
        if not 0 < tolerance < 2:
            raise ValueError(f"tolerance is {tolerance}: expected a number between 0 and 2")
        self.boundary, self.candidates = boundary, candidates
        self.tolerance, self.threads = tolerance, threads
        self._engine = self.choose_engine(engine)
        self.audits: list[Audit] = []
        self._banks: dict[tuple[int | None, str], Any] = {}

    def _settings(self) -> str:
        border = self.boundary
        border += f", {self.candidates} candidates" if border == "circular" else ""
        return f"{super()._settings()}, {border}, {self.engine} engine"

    @property
    def engine(self) -> str:
        """Name of the engine that computes its sums."""
        return self._engine.name

    def choose_engine(self, wanted: str) -> Engine:
        """The engine to be used where ``wanted`` is asked for; here dense alone."""
        if wanted not in ("auto", "dense"):
            raise ValueError(f"{type(self).__name__} has no {wanted} engine: choose dense or auto")
        return dense.DenseEngine()

    @abstractmethod
    def sums(
        self, x_t: Tensor, alpha_bar: float, patch_size: int | None, label: int | None
    ) -> PosteriorSums:
        """The sums over candidates for queries of one label, arguments as of :meth:`mean`."""

    def mean(self, x_t, alpha_bar, patch_size, label):
        return self.sums(x_t, alpha_bar, patch_size, label).mean

    def posterior_sums(
        self,
        x_t: Tensor,
        alpha_bar: float,
        patch_size: int | None = None,
        labels: Tensor | None = None,
    ) -> PosteriorSums:
        """The sums of which :meth:`posterior_mean` is the quotient, for the same arguments.

        Sums of machines over parts of a bank, in whatever processes, merge into those over the
        whole, :meth:`patchmosaic.engines.base.PosteriorSums.merge`. Labels that a part lacks give
        empty sums. On the bank's device.
        """
        self.check_query(x_t, alpha_bar, patch_size, labels)
        if labels is None:
            return self.sums(x_t, alpha_bar, patch_size, None)
        by_label = _positions(labels)
        sums = [
            self.sums(x_t[chosen], alpha_bar, patch_size, label)
            if label in self.known_labels
            else PosteriorSums.empty(x_t[chosen].to(self.images), self.weights_per_pixel)
            for label, chosen in by_label.items()
        ]
        return PosteriorSums.concatenate(sums)[torch.cat(list(by_label.values())).argsort()]

    def laid_out(self, label: int | None, engine: Engine) -> Any:
        """The images of one label as an engine wants them; made once."""
        if (label, engine.name) not in self._banks:
            count, each = len(self.images), engine.bytes_a_value
            if label is not None and self.labels is not None:
                count, each = int((self.labels == label).sum()), max(each, 4)
            if each:
                size = count * each * self.images[0].numel()
                require_memory(size, f"the {engine.name} engine's bank of {count:,} images")
            self._banks[label, engine.name] = engine.bank(self.bank(label))
        return self._banks[label, engine.name]


def _positions(labels: Tensor) -> dict[int, Tensor]:
    """For each label, in increasing order, where it stands."""
    labels = labels.cpu()
    return {label: (labels == label).nonzero()[:, 0] for label in labels.unique().tolist()}
