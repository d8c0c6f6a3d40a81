"""What the machines beside the paper's share: work done once a label, and checked settings."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any, TypeVar

from torch import Tensor

from patchmosaic.machines.base import Machine

Made = TypeVar("Made")
Choice = TypeVar("Choice")


class PreparedMachine(Machine):
    """A machine that makes something of the images of a label once, such as their covariance."""

    def __init__(self, images: Tensor, labels: Tensor | None = None) -> None:
        super().__init__(images, labels)
        self._prepared: dict[tuple[Callable, int | None], Any] = {}

    def prepared(self, make: Callable[[Tensor], Made], label: int | None) -> Made:
        """``make`` of the images of a label, (n, C, H, W); all of them for None. Made once."""
        if (make, label) not in self._prepared:
            self._prepared[make, label] = make(self.bank(label))
        return self._prepared[make, label]


def whole_number(key: str, value: int, least: int) -> int:
    """The value of a setting, or ValueError unless it is an integer that is at least so large."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < least:
        raise ValueError(f"{key} is {value!r}: expected a whole number, at least {least}")
    return int(value)


def number(key: str, value: float, least: float, most: float) -> float:
    """The value of a setting, or ValueError unless it is a number from ``least`` to ``most``."""
    good = isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    if not good or not least <= value <= most:
        raise ValueError(f"{key} is {value!r}: expected a number from {least:g} to {most:g}")
    return float(value)


def one_of(key: str, value: Choice, choices: tuple) -> Choice:
    """The value of a setting, or ValueError unless it is one of the choices."""
    if value not in choices:
        raise ValueError(f"{key} is {value!r}: choose one of {', '.join(map(str, choices))}")
    return value
