"""The machines that compare patches: LS and ELS (sections 4.1 and 4.3)."""

from __future__ import annotations

import warnings
from dataclasses import replace
from hashlib import sha256
from typing import ClassVar

import numpy as np
from torch import Tensor

from patchmosaic.engines import dense, native
from patchmosaic.engines.base import EstimatedSums, PosteriorSums
from patchmosaic.engines.registry import choose_engine
from patchmosaic.machines.audit import Audit, root_mean_square, rows_to_audit
from patchmosaic.machines.base import CandidateMachine

SAMPLED = 97  # one image of a bank in so many tells it from others
IMAGES_A_ROW = 4  # of a call, for one row of pixels that is audited
MORE_ROWS = 3  # times as many are audited again where the first were beyond the tolerance


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
    """Rows of pixels that each call of the adaptive engine also computes exactly, at least: one
    for IMAGES_A_ROW images, so that the error of jobs of many images is known well enough."""

    def sums(self, x_t, alpha_bar, patch_size, label):
        sums = super().sums(x_t, alpha_bar, patch_size, label)
        if isinstance(sums, EstimatedSums) and self.audited_rows:
            return self._audited(x_t, alpha_bar, patch_size, label, sums)
        return sums

    def _audited(
        self,
        x: Tensor,
        alpha_bar: float,
        patch_size: int,
        label: int | None,
        sums: EstimatedSums,
    ) -> PosteriorSums:
        """The sums, after some rows of pixels were also computed exactly and added to ``audits``.

        Rows are those of :func:`rows_to_audit`, which differ with whatever the call is made of.
        Where their error is beyond the tolerance more are drawn, and where it stays so, all images
        are computed exactly, with a warning. What was computed exactly in the first place is known
        to have no error beyond rounding.
        """
        judge, bank = native.NativeEngine(self.threads), self.laid_out(label, self._engine).native
        here = (alpha_bar, patch_size)
        call = sha256(x.detach().cpu().numpy().tobytes() + bank.images[::SAMPLED].numpy().tobytes())
        call.update(repr((label, *here, self._comparison())).encode())
        random = np.random.default_rng(list(call.digest()))
        audits: list[Audit] = []
        first = max(self.audited_rows, -(-len(x) // IMAGES_A_ROW))
        for rows in (first, MORE_ROWS * first):
            for image, row, weight in rows_to_audit(sums.risks.numpy(), rows, random):
                way, error = sums.ways[image], 0.0
                if way != "exact":
                    exact = judge.posterior_sums(
                        x[image : image + 1], bank, *here, rows=(row, row + 1), **self._comparison()
                    )
                    difference = sums.mean[image, :, row] - exact.mean[0, :, row]
                    error = float(difference.square().mean(0).sum())
                audits.append(Audit(*here, way, x.shape[3], error, weight))
            if (rms := root_mean_square(audits)) <= self.tolerance:
                self.audits += audits
                return sums
        self.audits += [replace(audit, mended=True) for audit in audits]
        warnings.warn(
            f"the adaptive engine was off by {rms:.2g} at alpha_bar {alpha_bar:.3g} and P = "
            f"{patch_size}, beyond its tolerance of {self.tolerance:g}: {len(x)} images are "
            "computed exactly",
            stacklevel=5,
        )
        return judge.posterior_sums(x, bank, *here, **self._comparison())
