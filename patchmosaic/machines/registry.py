"""The machines by name: where each is, what it needs, and how tables and figures show it.

No torch is imported here; :func:`patchmosaic.system.lazy.load` imports a machine's class.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

BOUNDARIES = ("zeros", "circular")

CANDIDATES = ("wrapped", "interior")
"""Training patches of a circular boundary: all, or those that do not wrap."""

NEEDS = ("scales", "boundary")
"""What a machine may need beside the bank: locality scales P(t); the boundary of the images."""

FILTERS = "filters"
"""What a machine of the registry may need beside those: filters fitted to the network."""

SEES = ("none", "P(t)", "gradients", "weights")
"""What a predictor may see of the network that it is compared with, from least to most."""

# Where the predictors come from.
SOURCES = {
    "kamb": "Kamb and Ganguli, ICML 2025, arXiv 2412.20292",
    "wang": "Wang and Vastola, TMLR 2024, arXiv 2412.09726",
    "lukoianov": "Lukoianov, Yuan, Solomon and Sitzmann, NeurIPS 2025, arXiv 2509.09672",
    "shang": "Shang, Sun, Lin and Shen, ICML 2026, arXiv 2602.16498",
    "niedoba": "Niedoba, Zwartsenberg, Murphy and Wood, ICML 2025, arXiv 2411.19339",
    "scarvelis": "Scarvelis, Borde and Solomon, TMLR 2025, arXiv 2310.12395",
    "li": "Li, Dai and Qu, NeurIPS 2024, arXiv 2410.24060",
    "here": "this project",
}

OWN_NAME = re.compile(r"(?!network)[a-z][a-z0-9_]*")
"""What a machine of one's own may be called."""


@dataclass(frozen=True)
class MachineRow:
    """One machine of the registry.

    Args:
        title: its name in words.
        address: "module:class" of a subclass of :class:`patchmosaic.machines.base.Machine`.
        look: colour and marker, names of :data:`patchmosaic.figures.colours.COLOURS` and of
            matplotlib.
        source: a key of SOURCES.
        needs: some of NEEDS and FILTERS. A machine that needs no scales is asked without a patch
            size; one that does not need the boundary is the same for networks of either padding.
        is_reported: whether the paper's tables have it.
        label: how figures call it; None: its name in capitals.
        calibrated_as: the machine that its locality scales are calibrated with, if it needs some.
        matrices: so many of n x n values in float64 it works with, for images of n values.
        settings: keywords that it is made with; a machine keeps each under its name.
    """

    title: str
    address: str
    look: tuple[str, str]
    source: str
    needs: tuple[str, ...] = ()
    is_reported: bool = False
    label: str | None = None
    calibrated_as: str = "els"
    matrices: int = 0
    settings: Mapping[str, object] = field(default_factory=dict)

    @property
    def sees(self) -> str:
        """What it sees of the network, of SEES."""
        return seen_by_need(self.needs)


def seen_by_need(needs: Iterable[str]) -> str:
    """What a machine with these needs sees of the network: what was fitted or calibrated to it."""
    if FILTERS in needs:
        return "weights"
    return "P(t)" if "scales" in needs else "none"


# In the order of tables and figures.
MACHINES = {
    "els": MachineRow(
        "equivariant local score machine",
        "patchmosaic.machines.local:EquivariantLocalScoreMachine",
        ("blue", "o"),
        "kamb",
        needs=("scales", "boundary"),
        is_reported=True,
    ),
    "ls": MachineRow(
        "local score machine",
        "patchmosaic.machines.local:LocalScoreMachine",
        ("orange", "s"),
        "kamb",
        needs=("scales", "boundary"),
        is_reported=True,
    ),
    "ls_own": MachineRow(
        "local score machine with locality scales of its own",
        "patchmosaic.machines.local:LocalScoreMachine",
        ("orange", "D"),
        "here",
        needs=("scales", "boundary"),
        label="LS, own scales",
        calibrated_as="ls",
    ),
    "es": MachineRow(
        "equivariant score machine",
        "patchmosaic.machines.ideal:EquivariantScoreMachine",
        ("green", "D"),
        "kamb",
    ),
    "is": MachineRow(
        "ideal score machine",
        "patchmosaic.machines.ideal:IdealScoreMachine",
        ("black", "^"),
        "kamb",
        is_reported=True,
    ),
    "wiener": MachineRow(
        "Wiener filter: the Gaussian of whole images",
        "patchmosaic.machines.gaussian:WienerFilter",
        ("purple", "D"),
        "wang",
        label="Wiener",
        matrices=5,
    ),
    "patch_wiener": MachineRow(
        "patch Wiener filter: the Gaussian of patches at each position",
        "patchmosaic.machines.gaussian:PatchWienerFilter",
        ("purple", "s"),
        "here",
        needs=("scales", "boundary"),
        label="patch Wiener",
        matrices=7,
    ),
    "distilled": MachineRow(
        "linear distillation of the network: the affine map nearest to it",
        "patchmosaic.machines.distilled:LinearDistillation",
        ("purple", "^"),
        "li",
        needs=(FILTERS,),
        label="linear distillation",
        matrices=8,
    ),
    "pca": MachineRow(
        "PCA-locality",
        "patchmosaic.machines.pca_locality:PCALocalMachine",
        ("sky", "o"),
        "lukoianov",
        label="PCA-locality",
        matrices=7,
    ),
    "pca_512": MachineRow(
        "PCA-locality with the softmax of chunks of 512 images",
        "patchmosaic.machines.pca_locality:PCALocalMachine",
        ("sky", "s"),
        "lukoianov",
        label="PCA-locality, chunks",
        matrices=7,
        settings={"softmax": "chunks of 512"},
    ),
    "golddiff": MachineRow(
        "GoldDiff: PCA-locality over a part of the bank",
        "patchmosaic.machines.pca_locality:GoldDiffMachine",
        ("sky", "^"),
        "shang",
        label="GoldDiff",
        matrices=7,
    ),
    "golddiff_all": MachineRow(
        "GoldDiff without its choice of images",
        "patchmosaic.machines.pca_locality:GoldDiffMachine",
        ("sky", "D"),
        "shang",
        label="GoldDiff, all images",
        matrices=7,
        settings={"subset": "none"},
    ),
    "pspc": MachineRow(
        "PSPC-Square: the composite of squares with sides of its own",
        "patchmosaic.machines.composite:PSPCSquareMachine",
        ("green", "p"),
        "niedoba",
        needs=("boundary",),
        label="PSPC-Square",
    ),
    "composite": MachineRow(
        "composite of P x P squares at their own position",
        "patchmosaic.machines.composite:SquareCompositeMachine",
        ("green", "s"),
        "here",
        needs=("scales", "boundary"),
        label="composite",
    ),
    "ecomposite": MachineRow(
        "equivariant composite of P x P squares",
        "patchmosaic.machines.composite:EquivariantCompositeMachine",
        ("green", "o"),
        "here",
        needs=("scales", "boundary"),
        label="equivariant composite",
    ),
    "knn_is": MachineRow(
        "ideal score machine of the 200 nearest images",
        "patchmosaic.machines.neighbours:NearestIdealMachine",
        ("black", ">"),
        "lukoianov",
        label="kNN-IS",
    ),
    "smoothed": MachineRow(
        "smoothed closed form",
        "patchmosaic.machines.neighbours:SmoothedIdealMachine",
        ("black", "p"),
        "scarvelis",
        label="smoothed IS",
    ),
    "nearest": MachineRow(
        "nearest training image",
        "patchmosaic.machines.neighbours:NearestImage",
        ("black", "<"),
        "lukoianov",
        label="nearest image",
    ),
    "mean": MachineRow(
        "mean training image",
        "patchmosaic.machines.gaussian:MeanImage",
        ("black", "d"),
        "here",
        label="mean image",
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
    """How figures call a machine; one of your own by its name."""
    return (MACHINES[name].label or name.upper()) if name in MACHINES else name


def in_words(settings: Mapping[str, object]) -> str:
    """Settings such as "tau 0.005, softmax exact"; empty where there are none."""
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in settings.items())
