"""The machines by name."""

from __future__ import annotations

from patchmosaic.machines.base import ScoreMachine
from patchmosaic.machines.ideal import EquivariantScoreMachine, IdealScoreMachine
from patchmosaic.machines.local import EquivariantLocalScoreMachine, LocalScoreMachine

MACHINES: dict[str, type[ScoreMachine]] = {
    "is": IdealScoreMachine,
    "es": EquivariantScoreMachine,
    "ls": LocalScoreMachine,
    "els": EquivariantLocalScoreMachine,
}
