"""From a name of the registry to a machine."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from patchmosaic.datasets.images import Images, to_float
from patchmosaic.engines.base import TOLERANCE
from patchmosaic.machines.base import CandidateMachine, Machine
from patchmosaic.machines.registry import MACHINES
from patchmosaic.system.lazy import load


def build_machine(
    name: str,
    images: Tensor,
    labels: Tensor | None = None,
    *,
    boundary: str = "zeros",
    candidates: str = "wrapped",
    engine: str = "auto",
    tolerance: float = TOLERANCE,
    threads: int | None = None,
    filters: Path | None = None,
) -> Machine:
    """The machine of a name, with as much of these settings as it takes.

    Args:
        name: of the registry.
        images, labels: as of :class:`patchmosaic.machines.base.Machine`.
        boundary, candidates, engine, tolerance, threads: as of
            :class:`patchmosaic.machines.base.CandidateMachine`; machines of whole images, which
            have the dense engine alone, take it whatever the engine.
        filters: as of :class:`patchmosaic.machines.distilled.LinearDistillation`.
    """
    row = MACHINES[name]
    kind = load(row.address)
    if issubclass(kind, CandidateMachine):
        return kind(
            images,
            labels,
            boundary=boundary,
            candidates=candidates,
            engine=engine if kind.needs_scales else "dense",
            tolerance=tolerance,
            threads=threads,
            **row.settings,
        )
    given = {"boundary": boundary, "filters": filters}
    needed = {need: value for need, value in given.items() if need in row.needs}
    return kind(images, labels, **needed, **row.settings)


def machine_of_bank(name: str, bank: Images, settings: Any, threads: int) -> Any:
    """The machine of a name, of a bank, as a job of the workflow has it; its class is the name's.

    Args:
        name: of the registry.
        bank: with labels where the network has them.
        settings: conditional (whether labels are used), boundary, candidates and engine, as
            attributes.
        threads: of the job.
    """
    return build_machine(
        name,
        to_float(bank),
        torch.from_numpy(bank.labels) if settings.conditional else None,
        boundary=settings.boundary,
        candidates=settings.candidates,
        engine=settings.engine,
        threads=threads,
    )


def settings_of(machine: Machine) -> dict[str, object]:
    """What a machine was made with, by keyword, beside what :func:`build_machine` is told.

    With them the settings of what was fitted for it beforehand.
    """

    def keywords(function: Callable) -> list[str]:
        found = inspect.signature(function).parameters.values()
        return [parameter.name for parameter in found if parameter.kind is parameter.KEYWORD_ONLY]

    told = keywords(build_machine)
    own = [name for name in keywords(type(machine)) if name not in told]
    return {name: getattr(machine, name) for name in own} | dict(machine.fitted)
