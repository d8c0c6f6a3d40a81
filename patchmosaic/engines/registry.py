"""The engines by name, what each needs, and the choice among them; no torch is imported here."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

from patchmosaic.system.lazy import load

if TYPE_CHECKING:
    import torch

    from patchmosaic.engines.base import Engine


@dataclass(frozen=True)
class EngineRow:
    """One engine of the registry.

    Args:
        address: "module:class" of an :class:`patchmosaic.engines.base.Engine`.
        settings: the arguments that its class takes.
        otherwise: engines that compute the same, to be tried where it is unavailable.
    """

    address: str
    settings: tuple[str, ...] = ()
    otherwise: tuple[str, ...] = ()


ENGINES = {
    "dense": EngineRow("patchmosaic.engines.dense:DenseEngine"),
    "exact": EngineRow(
        "patchmosaic.engines.native:NativeEngine",
        settings=("threads",),
        otherwise=("fused",),
    ),
    "adaptive": EngineRow(
        "patchmosaic.engines.adaptive:AdaptiveEngine",
        settings=("tolerance", "threads"),
        otherwise=("fused", "dense"),
    ),
    "fused": EngineRow("patchmosaic.engines.fused:FusedEngine"),
}
CHOICES = ("auto", *ENGINES)
"""What may be asked for: an engine, or the fastest exact one on the CPU and dense on a card."""


def choose_engine(
    wanted: str,
    device: torch.device,
    *,
    equivariant: bool,
    tolerance: float,
    threads: int | None,
) -> Engine:
    """The engine for a machine that compares patches.

    Args:
        wanted: one of CHOICES. "adaptive" is of ELS alone: LS gets "exact". "exact" on a graphics
            card is "fused".
        device: where the images of the bank are.
        equivariant: whether the machine is ELS.
        tolerance, threads: settings of those engines that take them.

    Raises:
        ValueError: where "exact" or "fused" is unavailable. The other choices fall back to the
            dense engine, with a warning.
    """
    names: tuple[str, ...]
    if wanted == "auto":
        names = ("exact", "dense") if device.type == "cpu" else ("dense",)
    elif wanted == "adaptive" and device.type == "cpu" and not equivariant:
        names = ("exact", "dense")
    else:
        names = (wanted, *ENGINES[wanted].otherwise)
    reasons: list[str] = []
    settings = {"tolerance": tolerance, "threads": threads}
    for name in names:
        if why := unavailable_reason(name, device):
            reasons.append(why)
            continue
        if name == "dense" and reasons:
            warnings.warn(
                f"the fast engines are unavailable ({_joined(reasons)}); using the dense engine, "
                "which is many times slower",
                stacklevel=4,
            )
        row = ENGINES[name]
        return load(row.address)(**{key: settings[key] for key in row.settings})
    raise ValueError(f"engine is {wanted!r}, which is unavailable: {_joined(reasons)}")


def unavailable_reason(name: str, device: torch.device) -> str:
    """Why an engine cannot compute on a device; empty if it can."""
    try:
        return load(ENGINES[name].address).unavailable_reason(device)
    except ModuleNotFoundError as error:
        return f"{error.name} is not installed"


def _joined(reasons: list[str]) -> str:
    return "; ".join(dict.fromkeys(reasons))
