"""The score machines: posterior means over a training set's patches, without trained weights.

A noisy image is ``x_t = sqrt(alpha_bar) x_0 + sqrt(1 - alpha_bar) z``. Each machine answers with
the posterior mean of ``x_0`` when ``x_0`` is drawn uniformly from its candidates:

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
import warnings
from importlib.util import find_spec

import torch
from torch import Tensor

from patchmosaic.engines import adaptive, native
from patchmosaic.engines.base import PosteriorSums
from patchmosaic.machines.audit import Audit
from patchmosaic.system.memory import require_memory

BOUNDARIES = ("zeros", "circular")


CANDIDATES = ("wrapped", "interior")


ENGINES = ("auto", "dense", "exact", "adaptive")


LEAST_VARIANCE = 1e-9
"""The limit alpha_bar -> 1 (nearest candidate, ties averaged) is taken at this 1 - alpha_bar."""


class ScoreMachine:
    """What all machines share: a bank of training images and the choice among its labels.

    Args:
        images: (N, C, H, W), finite, in [-1, 1].
        labels: int (N,); with them, queries name their label and see only its images.
        boundary: "zeros" (the broken boundary: images extended by zeros, patches compared only
            with patches that cut the border in the same way) or "circular" (images wrap around).
        candidates: for "circular", "wrapped" training patches (the paper's text) or only
            "interior" ones that do not wrap (its reference code).
        engine: "dense" (plain torch in float64, any device), "exact" (one fused kernel in float32,
            native on the CPU, of Triton for images on a graphics card), "adaptive" (native, ELS
            from a part of the bank; exact for LS) or "auto" (exact; dense on a card). Where no
            kernel can be had, the last two fall back to dense with a warning.
        tolerance: of the adaptive engine: root-mean-square error of the posterior mean over the
            pixels of an image, in units of images in [-1, 1].
        threads: of the exact and adaptive engines; None uses all cores.

    Attributes:
        audits: what the adaptive engine's audits found, a list of
            :class:`patchmosaic.machines.audit.Audit`.
    """

    kernel = False  # whether it compares patches, which the native engine computes
    equivariant = False  # whether candidates come from all positions

    def __init__(
        self,
        images: Tensor,
        labels: Tensor | None = None,
        *,
        boundary: str = "zeros",
        candidates: str = "wrapped",
        engine: str = "auto",
        tolerance: float = 0.01,
        threads: int | None = None,
    ) -> None:
        for key, value, allowed in (
            ("boundary", boundary, BOUNDARIES),
            ("candidates", candidates, CANDIDATES),
            ("engine", engine, ENGINES),
        ):
            if value not in allowed:
                raise ValueError(f"{key} is {value!r}: choose one of {', '.join(allowed)}")
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
        if not 0 < tolerance < 2:
            raise ValueError(f"tolerance is {tolerance}: expected a number between 0 and 2")
        self.images, self.labels, self.tolerance = images, labels, tolerance
        self._labels = set() if labels is None else set(labels.unique().tolist())
        self.boundary, self.candidates, self.threads = boundary, candidates, threads
        self.engine = self._choose_engine(engine)
        self.audits: list[Audit] = []
        self._banks: dict[tuple[int | None, str], object] = {}

    def _choose_engine(self, engine: str) -> str:
        if not self.kernel:
            if engine in ("exact", "adaptive"):
                raise ValueError(
                    f"{type(self).__name__} has no {engine} engine: choose dense or auto"
                )
            return "dense"
        if engine == "dense":
            return "dense"
        if self.images.is_cuda:
            if engine == "auto":
                return "dense"
            if engine == "exact" and find_spec("triton"):
                return "exact"
            why = "images are on a graphics card"
            why += ", and Triton is not installed" if engine == "exact" else ""
        elif native.available():
            return "adaptive" if engine == "adaptive" and self.equivariant else "exact"
        else:
            why = native.unavailable_reason()
        if engine == "exact":
            raise ValueError(f"engine is 'exact', which is not to be had: {why}")
        warnings.warn(
            f"the fast engines are not to be had ({why}); using the dense engine, which is many "
            "times slower",
            stacklevel=3,
        )
        return "dense"

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
            patch_size: odd side P of the patches in pixels; the machines that compare whole
                images ignore it.
            labels: int (B,), when and only when the bank has labels.

        Returns:
            (B, C, H, W) in the dtype of ``x_t``.
        """
        self._check_query(x_t, alpha_bar, patch_size, labels)
        if labels is not None and (missing := set(labels.tolist()) - self._labels):
            raise ValueError(f"labels {sorted(missing)} have no images in the bank")
        return self.posterior_sums(x_t, alpha_bar, patch_size, labels).mean.to(x_t)

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
        self._check_query(x_t, alpha_bar, patch_size, labels)
        if labels is None:
            return self._sums(x_t, None, alpha_bar, patch_size)
        labels = labels.cpu()
        by_label = {label: (labels == label).nonzero()[:, 0] for label in labels.unique().tolist()}
        sums = [
            self._sums(x_t[chosen], label, alpha_bar, patch_size)
            if label in self._labels
            else PosteriorSums.empty(x_t[chosen].to(self.images), self.kernel)
            for label, chosen in by_label.items()
        ]
        return PosteriorSums.concatenate(sums)[torch.cat(list(by_label.values())).argsort()]

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

    def _check_query(
        self, x_t: Tensor, alpha_bar: float, patch_size: int | None, labels: Tensor | None
    ) -> None:
        if x_t.ndim != 4 or x_t.shape[1:] != self.images.shape[1:] or len(x_t) == 0:
            raise ValueError(
                f"x_t has shape {tuple(x_t.shape)}: expected (B, *{tuple(self.images.shape[1:])}), "
                "the channels and size of the training images, B at least 1"
            )
        if not 0 < alpha_bar <= 1:
            raise ValueError(f"alpha_bar is {alpha_bar}: expected a number in (0, 1]")
        if self.kernel and (
            not isinstance(patch_size, int) or patch_size < 1 or patch_size % 2 == 0
        ):
            raise ValueError(f"patch_size is {patch_size!r}: expected an odd positive integer")
        interior = self.boundary == "circular" and self.candidates == "interior"
        if self.kernel and self.equivariant and interior and patch_size > min(x_t.shape[2:]):
            raise ValueError(
                f"patch_size is {patch_size}: no interior candidates in images of "
                f"{tuple(x_t.shape[2:])} pixels"
            )
        if (labels is None) != (self.labels is None):
            raise ValueError(
                "the bank has labels, so queries need them"
                if labels is None
                else "labels were given, but the bank has none"
            )
        if labels is not None and labels.shape != x_t.shape[:1]:
            raise ValueError(f"labels have shape {tuple(labels.shape)}: expected ({len(x_t)},)")

    def _bank(self, label: int | None, engine: str) -> object:
        """The images of one label (all for None), laid out for an engine; made once."""
        if (label, engine) not in self._banks:
            count = len(self.images) if label is None else int((self.labels == label).sum())
            if engine != "dense" or label is not None:  # copies
                each = 4 * self.images[0].numel() * (2 if engine == "adaptive" else 1)
                require_memory(count * each, f"the {engine} engine's bank of {count:,} images")
            images = self.images if label is None else self.images[self.labels == label]
            bank = images
            if engine == "exact" and not images.is_cuda:
                bank = native.NativeBank(images).alike()
            elif engine == "adaptive":
                bank = adaptive.AdaptiveBank(images)
            self._banks[label, engine] = bank
        return self._banks[label, engine]

    def _sums(
        self, x: Tensor, label: int | None, alpha_bar: float, patch_size: int | None
    ) -> PosteriorSums:
        raise TypeError(f"{type(self).__name__} defines no posterior sums")

    def _dense(self, x: Tensor, label: int | None, alpha_bar: float) -> tuple:
        """Arguments of the dense engine: float64 queries, the bank, alpha_bar, variance."""
        bank = self._bank(label, "dense")
        x = x.to(bank.device, torch.float64)
        return x, bank, alpha_bar, max(1 - alpha_bar, LEAST_VARIANCE)
