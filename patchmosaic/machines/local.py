"""The machines that compare patches: LS and ELS (sections 4.1 and 4.3)."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from patchmosaic.engines import adaptive, dense, native
from patchmosaic.engines.base import PosteriorSums
from patchmosaic.machines.audit import Audit
from patchmosaic.machines.base import ScoreMachine


class LocalScoreMachine(ScoreMachine):
    """LS: per pixel, the ideal score of the patches at that pixel's position."""

    kernel = True

    def _sums(self, x, label, alpha_bar, patch_size):
        if self.engine == "dense" or 1 - alpha_bar < native.LEAST_VARIANCE:
            return self._dense_sums(self._dense(x, label, alpha_bar), patch_size)
        bank = self._bank(label, "exact")
        if isinstance(bank, native.NativeBank):
            return PosteriorSums(*self._exact_sums(x.float(), bank, alpha_bar, patch_size))
        from patchmosaic.engines import fused  # where there are cards, Triton comes with PyTorch

        return fused.posterior_sums(
            x.to(bank.device),
            bank,
            alpha_bar,
            patch_size,
            boundary=self.boundary,
            candidates=self.candidates,
            equivariant=self.equivariant,
        )

    def _exact_sums(
        self,
        x: Tensor,
        bank: native.NativeBank,
        alpha_bar: float,
        patch_size: int,
        rows: tuple[int, int] | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        return native.posterior_sums(
            x,
            bank,
            alpha_bar,
            patch_size,
            boundary=self.boundary,
            candidates=self.candidates if self.equivariant else "wrapped",
            equivariant=self.equivariant,
            rows=rows,
            threads=self.threads,
        )

    def _dense_sums(self, arguments: tuple, patch_size: int) -> PosteriorSums:
        return dense.local(*arguments, patch_size, self.boundary)


class EquivariantLocalScoreMachine(LocalScoreMachine):
    """ELS: per pixel, the ideal score of the patches at every position the boundary allows."""

    equivariant = True
    audited_rows = 2
    """Rows of pixels that each call of the adaptive engine also computes exactly, at random."""

    def _sums(self, x, label, alpha_bar, patch_size):
        if self.engine != "adaptive" or 1 - alpha_bar < native.LEAST_VARIANCE:
            return super()._sums(x, label, alpha_bar, patch_size)
        bank = self._bank(label, "adaptive")
        sums, ways = adaptive.posterior_sums(
            x.float(),
            bank,
            alpha_bar,
            patch_size,
            boundary=self.boundary,
            candidates=self.candidates,
            tolerance=self.tolerance,
            threads=self.threads,
        )
        self._audit(x.float(), bank, alpha_bar, patch_size, sums, ways)
        return sums

    def _audit(
        self,
        x: Tensor,
        bank: adaptive.AdaptiveBank,
        alpha_bar: float,
        patch_size: int,
        sums: PosteriorSums,
        ways: list[str],
    ) -> None:
        """Compute rows of pixels, drawn uniformly from the queries, exactly; add to ``audits``.

        What was computed exactly in the first place is known to have no error beyond rounding.
        """
        random = np.random.default_rng([len(self.audits), len(x)])
        for _ in range(self.audited_rows):
            image, row = int(random.integers(len(x))), int(random.integers(x.shape[2]))
            if ways[image] == "exact":
                self.audits.append(Audit(alpha_bar, patch_size, "exact", x.shape[3], 0.0))
                continue
            exact = PosteriorSums(
                *self._exact_sums(
                    x[image : image + 1], bank.native, alpha_bar, patch_size, rows=(row, row + 1)
                )
            )
            error = (sums.mean[image, :, row] - exact.mean[0, :, row]) ** 2
            self.audits.append(
                Audit(alpha_bar, patch_size, ways[image], x.shape[3], float(error.mean(0).sum()))
            )

    def _dense_sums(self, arguments: tuple, patch_size: int) -> PosteriorSums:
        return dense.equivariant_local(*arguments, patch_size, self.boundary, self.candidates)
