"""The machines that compare patches: LS and ELS (sections 4.1 and 4.3)."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from torch import Tensor

from patchmosaic.engines import dense, native
from patchmosaic.engines.base import EstimatedSums
from patchmosaic.engines.registry import choose_engine
from patchmosaic.machines.audit import Audit
from patchmosaic.machines.base import CandidateMachine


class LocalScoreMachine(CandidateMachine):
    """LS: per pixel, the ideal score of the patches at that pixel's position."""

    needs_scales = True
    weights_per_pixel = True
    equivariant: ClassVar[bool] = False
    """Whether candidates come from all positions."""

    def choose_engine(self, wanted):
        return choose_engine(
            wanted,
            self.images.device,
            equivariant=self.equivariant,
            tolerance=self.tolerance,
            threads=self.threads,
        )

    def check_query(self, x_t, alpha_bar, patch_size, labels):
        super().check_query(x_t, alpha_bar, patch_size, labels)
        interior = self.boundary == "circular" and self.candidates == "interior"
        if self.equivariant and interior and patch_size > min(x_t.shape[2:]):
            raise ValueError(
                f"patch_size is {patch_size}: no interior candidates in images of "
                f"{tuple(x_t.shape[2:])} pixels"
            )

    def sums(self, x_t, alpha_bar, patch_size, label):
        engine = self._engine
        if 1 - alpha_bar < engine.least_variance:
            engine = dense.DenseEngine()
        bank = self.laid_out(label, engine)
        return engine.posterior_sums(x_t, bank, alpha_bar, patch_size, **self._comparison())

    def _comparison(self) -> dict:
        return {
            "boundary": self.boundary,
            "candidates": self.candidates,
            "equivariant": self.equivariant,
        }


class EquivariantLocalScoreMachine(LocalScoreMachine):
    """ELS: per pixel, the ideal score of the patches at every position the boundary allows."""

    equivariant = True
    audited_rows = 2
    """Rows of pixels that each call of the adaptive engine also computes exactly, at random."""

    def sums(self, x_t, alpha_bar, patch_size, label):
        sums = super().sums(x_t, alpha_bar, patch_size, label)
        if isinstance(sums, EstimatedSums):
            self._audit(x_t, alpha_bar, patch_size, label, sums)
        return sums

    def _audit(
        self,
        x: Tensor,
        alpha_bar: float,
        patch_size: int,
        label: int | None,
        sums: EstimatedSums,
    ) -> None:
        """Compute rows of pixels, drawn uniformly from the queries, exactly; add to ``audits``.

        What was computed exactly in the first place is known to have no error beyond rounding.
        """
        random = np.random.default_rng([len(self.audits), len(x)])
        judge, bank = native.NativeEngine(self.threads), self.laid_out(label, self._engine).native
        for _ in range(self.audited_rows):
            image, row = int(random.integers(len(x))), int(random.integers(x.shape[2]))
            error = 0.0
            if sums.ways[image] != "exact":
                exact = judge.posterior_sums(
                    x[image : image + 1],
                    bank,
                    alpha_bar,
                    patch_size,
                    rows=(row, row + 1),
                    **self._comparison(),
                )
                difference = sums.mean[image, :, row] - exact.mean[0, :, row]
                error = float(difference.square().mean(0).sum())
            self.audits.append(Audit(alpha_bar, patch_size, sums.ways[image], x.shape[3], error))
