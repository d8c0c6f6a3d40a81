"""What every engine offers, and the posterior sums it returns, which merge over parts of a bank."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

TOLERANCE = 0.01
"""Default of the adaptive engine: root-mean-square error of the posterior mean over the pixels of
an image, in units of images in [-1, 1]."""

FLOAT32_LEAST_VARIANCE = 5e-4
"""Smallest 1 - alpha_bar for which the stated error of kernels in float32 holds (t = .02 has
9.7e-4)."""


@dataclass(frozen=True, repr=False)
class PosteriorSums:
    """Sums over a set of candidates with log-weights ``l_k`` and values ``v_k``, for each query.

    Args:
        log_max: ``m = max_k l_k``, (B, H, W), or (B, 1, 1) where a whole image shares its weights.
        weight: ``sum_k exp(l_k - m)``, same shape.
        weighted_value: ``sum_k exp(l_k - m) v_k``, (B, C, H, W).
    """

    log_max: Tensor
    weight: Tensor
    weighted_value: Tensor

    def __repr__(self) -> str:
        values = self.weighted_value
        whose = "images" if self.weight.shape[1:] == (1, 1) else "pixels"
        return (
            f"{type(self).__name__}({len(values)} queries of {tuple(values.shape[1:])}, "
            f"weights of {whose}, {values.dtype} on {values.device})"
        )

    @staticmethod
    def empty(values: Tensor, per_pixel: bool) -> PosteriorSums:
        """The sums over no candidates, which change nothing that they are merged with.

        Args:
            values: anything of the shape and dtype of the weighted values, (B, C, H, W).
            per_pixel: whether each pixel has weights of its own, or a whole image shares them.
        """
        shape = values[:, 0].shape if per_pixel else (len(values), 1, 1)
        weight = values.new_zeros(shape)
        return PosteriorSums(weight - torch.inf, weight, torch.zeros_like(values))

    def merge(self, other: PosteriorSums) -> PosteriorSums:
        """The sums over both sets of candidates; associative and commutative up to rounding."""
        log_max = torch.maximum(self.log_max, other.log_max)
        reference = log_max.clamp(min=torch.finfo(log_max.dtype).min)  # finite where both are empty
        mine, theirs = (self.log_max - reference).exp(), (other.log_max - reference).exp()
        return PosteriorSums(
            log_max,
            mine * self.weight + theirs * other.weight,
            mine.unsqueeze(1) * self.weighted_value + theirs.unsqueeze(1) * other.weighted_value,
        )

    def __getitem__(self, queries: slice | Tensor) -> PosteriorSums:
        """The sums of some of the queries."""
        return PosteriorSums(
            self.log_max[queries], self.weight[queries], self.weighted_value[queries]
        )

    @staticmethod
    def concatenate(parts: Sequence[PosteriorSums]) -> PosteriorSums:
        """The sums of the queries of all parts, one part after the other."""
        fields = [(part.log_max, part.weight, part.weighted_value) for part in parts]
        return PosteriorSums(*(torch.cat(field) for field in zip(*fields, strict=True)))

    @property
    def mean(self) -> Tensor:
        """The posterior mean, (B, C, H, W); NaN where there are no candidates."""
        return self.weighted_value / self.weight.unsqueeze(1)


@dataclass(frozen=True, repr=False)
class EstimatedSums(PosteriorSums):
    """Sums that are estimates, as the adaptive engine's.

    Args:
        ways: how each query was computed, (B,).
        risks: estimated squared errors of the posterior mean, summed over each row of pixels and
            averaged over channels, (B, H); 0 where it is exact.
    """

    ways: tuple[str, ...]
    risks: Tensor


class Engine(Protocol):
    """Computes the sums over patches of a bank of training images, for the machines LS and ELS.

    Attributes:
        name: its name in patchmosaic/engines/registry.py.
        least_variance: smallest 1 - alpha_bar for which its error is known; below it the machines
            use the dense engine.
        bytes_a_value: memory of a bank beside the images, for each of their values.
    """

    name: str
    least_variance: float
    bytes_a_value: int

    @staticmethod
    def unavailable_reason(device: torch.device) -> str:
        """Why it cannot compute with images on a device; empty if it can."""
        ...

    def bank(self, images: Tensor) -> Any:
        """Training images (N, C, H, W) in [-1, 1], laid out for :meth:`posterior_sums`."""
        ...

    def posterior_sums(
        self,
        x: Tensor,
        bank: Any,
        alpha_bar: float,
        patch_size: int,
        *,
        boundary: str,
        candidates: str,
        equivariant: bool,
    ) -> PosteriorSums:
        """Sums with weights ``exp(-|x_p - sqrt(alpha_bar) y_q|^2 / 2 (1 - alpha_bar))``.

        Args:
            x: queries, (B, C, H, W), on any device.
            bank: as :meth:`bank` made it.
            alpha_bar: signal variance, in (0, 1 - least_variance].
            patch_size: odd side P of the patches in pixels; may exceed the image.
            boundary: "zeros" (patches that cut the border meet those that cut it alike) or
                "circular".
            candidates: with "circular" and ELS: "wrapped", or "interior" without patches that wrap.
            equivariant: True for ELS, patches at all positions; False for LS, at the pixel's own.

        Returns:
            The sums, float64, with weights of each pixel, on the device of the bank.
        """
        ...
