"""The machines by name: where each is, what it needs, and how tables and figures show it.

No torch is imported here; :func:`patchmosaic.system.lazy.load` imports a machine's class.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

BOUNDARIES = ("zeros", "circular")

CANDIDATES = ("wrapped", "interior")
"""Training patches of a circular boundary: all, or those that do not wrap."""

NEEDS = ("scales", "boundary")
"""What a machine may need beside the bank: locality scales P(t); the boundary of the images."""

BASELINE = "is"
"""The machine that every comparison is with."""

OWN_NAME = re.compile(r"(?!network)[a-z][a-z0-9_]*")
"""What a machine of one's own may be called."""


@dataclass(frozen=True)
class MachineRow:
    """One machine of the registry.

    Args:
        title: its name in words.
        address: "module:class" of a subclass of :class:`patchmosaic.machines.base.Machine`.
        look: colour and marker, names of :data:`patchmosaic.figures.style.COLOURS` and of
            matplotlib.
        needs: some of NEEDS. A machine that needs no scales is asked without a patch size; one that
            does not need the boundary is the same for networks of either padding.
        is_reported: whether the paper's tables have it.
    """

    title: str
    address: str
    look: tuple[str, str]
    needs: tuple[str, ...] = ()
    is_reported: bool = False


# In the order of tables and figures.
MACHINES = {
    "els": MachineRow(
        "equivariant local score machine",
        "patchmosaic.machines.local:EquivariantLocalScoreMachine",
        ("blue", "o"),
        needs=("scales", "boundary"),
        is_reported=True,
    ),
    "ls": MachineRow(
        "local score machine",
        "patchmosaic.machines.local:LocalScoreMachine",
        ("orange", "s"),
        needs=("scales", "boundary"),
        is_reported=True,
    ),
    "es": MachineRow(
        "equivariant score machine",
        "patchmosaic.machines.ideal:EquivariantScoreMachine",
        ("green", "D"),
    ),
    "is": MachineRow(
        "ideal score machine",
        "patchmosaic.machines.ideal:IdealScoreMachine",
        ("black", "^"),
        is_reported=True,
    ),
}

OWN_LOOKS = (("purple", "P"), ("sky", "X"), ("purple", "*"), ("sky", "h"))
"""Looks of machines of one's own, in the order of their names; with many they repeat."""


def is_machine(name: object) -> bool:
    """Whether a machine, of the registry or one's own, may have this name."""
    return name in MACHINES or OWN_NAME.fullmatch(str(name)) is not None


def ordered(names: Iterable[str]) -> list[str]:
    """Each machine once: those of the registry in its order, then one's own by name.

    Raises ValueError for a name that no machine can have.
    """
    found = set(names)
    if unknown := sorted(str(name) for name in found if not is_machine(name)):
        raise ValueError(
            f"machine is {unknown[0]!r}: choose one of {', '.join(MACHINES)}, or, for one of your "
            "own, a name of small letters, digits and _"
        )
    return [name for name in MACHINES if name in found] + sorted(found - set(MACHINES))


def label(name: str) -> str:
    """How figures call a machine: those of the registry by their initials."""
    return name.upper() if name in MACHINES else name
