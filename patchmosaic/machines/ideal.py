"""The machines that compare whole images: IS and ES (sections 3.1 and 3.2)."""

from __future__ import annotations

from patchmosaic.engines import dense
from patchmosaic.machines.base import ScoreMachine


class IdealScoreMachine(ScoreMachine):
    """IS: the exact score of the training set, which can only reproduce training images."""

    def _sums(self, x, label, alpha_bar, patch_size):
        return dense.ideal(*self._dense(x, label, alpha_bar))


class EquivariantScoreMachine(ScoreMachine):
    """ES: the ideal score of all circular translates of the training images."""

    def _sums(self, x, label, alpha_bar, patch_size):
        return dense.equivariant(*self._dense(x, label, alpha_bar))
