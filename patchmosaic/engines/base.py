"""Streaming posterior sums: what every engine returns, and how shards of a bank are joined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
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
