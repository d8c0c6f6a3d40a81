"""The machines that compare whole images: IS and ES (sections 3.1 and 3.2)."""

from __future__ import annotations

from patchmosaic.engines import dense
from patchmosaic.machines.base import CandidateMachine


class IdealScoreMachine(CandidateMachine):
    """IS: the exact score of the training set, which can only reproduce training images."""

    def sums(self, x_t, alpha_bar, patch_size, label):
        bank = self.laid_out(label, dense.DenseEngine())
        return dense.ideal(*dense.prepared(x_t, bank, alpha_bar))


class EquivariantScoreMachine(CandidateMachine):
    """ES: the ideal score of all circular translates of the training images."""

    def sums(self, x_t, alpha_bar, patch_size, label):
        bank = self.laid_out(label, dense.DenseEngine())
        return dense.equivariant(*dense.prepared(x_t, bank, alpha_bar))
