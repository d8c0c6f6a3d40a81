"""Linear distillation: at each noise level the affine map nearest to what a network predicts.

Of noised training images ``x_t`` and the ``x_0`` that the network predicts of them, D(x_t), the map
``A x_t + b`` has the least mean square error. A Wiener filter is the same of the images themselves;
of a network that were the exact posterior mean, both were equal, since given ``x_t`` the mean of
``x_0`` is D(x_t). So the map is sought as the Wiener filter W of the bank plus a correction, which
a ridge keeps small where samples do not determine it::

    least over B, b:  mean |D(x_t) - W(x_t) - B (x_t - mean x_t) - b|^2 + ridge |B|^2

With ever more samples, and a smaller ridge, it is the affine map of least error, whatever W. Told
the classes, W, b and the mean are of each class, and B is of all: a B of each would take as many
samples, and as much memory, once a class. :func:`patchmosaic.sampling.distillation.distill` fits.

Source: Li, Dai and Qu, NeurIPS 2024 (arXiv 2410.24060), who fit such maps by gradient descent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from patchmosaic.machines.gaussian import WienerFilter
from patchmosaic.system.arrays import ArrayError, read_arrays
from patchmosaic.system.files import written_whole

SETTINGS = ("samples", "held_out", "seed")
"""What a file of corrections says of how it was fitted, whole numbers."""


@dataclass(frozen=True)
class Correction:
    """What is added to the Wiener filter at one noise level, of images of n values.

    Args:
        alpha_bar: of the level.
        labels: int64 (K,), the classes in rising order; a single -1 without classes.
        matrix: B, (n, n), from ``x_t`` to the predicted ``x_0``.
        centres: the mean ``x_t`` of each class, (K, n).
        offsets: b of each class, (K, n).
    """

    alpha_bar: float
    labels: Tensor
    matrix: Tensor
    centres: Tensor
    offsets: Tensor

    def none(self) -> Correction:
        """The same with nothing to correct."""
        matrix, offsets = map(torch.zeros_like, (self.matrix, self.offsets))
        return replace(self, matrix=matrix, offsets=offsets)

    def of(self, x_t: Tensor, label: int | None) -> Tensor:
        """The correction for queries (B, n) of one label, (B, n)."""
        k = self.labels.tolist().index(-1 if label is None else label)
        return self.offsets[k] + (x_t - self.centres[k]) @ self.matrix.T


def save_corrections(
    path: Path, corrections: Sequence[Correction], settings: dict[str, int]
) -> None:
    """Write the corrections of a network, at least one, as .npz without pickle, or nothing.

    Matrices are rounded to float32: 4 n^2 bytes a level.
    """
    arrays = {name: np.array(settings[name]) for name in SETTINGS}
    arrays["alpha_bars"] = np.array([each.alpha_bar for each in corrections])
    arrays["labels"] = corrections[0].labels.numpy()
    for i, each in enumerate(corrections):
        arrays[f"{i} matrix"] = each.matrix.float().numpy()
        arrays[f"{i} centres"] = each.centres.numpy()
        arrays[f"{i} offsets"] = each.offsets.numpy()
    with written_whole(path) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


class LinearDistillation(WienerFilter):
    """The affine map nearest to a network at each noise level at which it was fitted.

    Args:
        filters: what :func:`save_corrections` wrote, of the same bank.

    Raises:
        ArrayError: naming a file that is missing, broken, or of other images or classes.
        ValueError: for queries at a noise level that it was not fitted at.
    """

    def __init__(
        self, images: Tensor, labels: Tensor | None = None, *, filters: Path | None
    ) -> None:
        if filters is None:
            raise ValueError("filters is None: the machine needs what was fitted to a network")
        super().__init__(images, labels)
        self.filters = filters
        known = read_arrays(filters, {*SETTINGS, "alpha_bars", "labels"})
        found = known.get("labels", np.array([])).tolist()
        if (expected := sorted(self.known_labels) or [-1]) != found:
            raise ArrayError(filters, f"it is of the labels {found}, and the bank's are {expected}")
        self._levels = known["alpha_bars"]
        self.fitted = {name: int(known[name]) for name in SETTINGS}
        self._correction = self._read(0)

    def mean(self, x_t, alpha_bar, patch_size, label):
        near = np.flatnonzero(np.isclose(self._levels, alpha_bar, rtol=1e-9, atol=0))
        if len(near) != 1:
            raise ValueError(
                f"alpha_bar is {alpha_bar:g}: {self.filters} was fitted at "
                f"{', '.join(f'{level:.4g}' for level in self._levels)}"
            )
        if self._correction.alpha_bar != self._levels[near[0]]:
            self._correction = self._read(int(near[0]))
        linear = super().mean(x_t, alpha_bar, patch_size, label)
        return linear + self._correction.of(x_t.to(linear).flatten(1), label).view(x_t.shape)

    def _read(self, level: int) -> Correction:
        """The correction of one level, in float64 on the bank's device: one is held at a time."""
        names = {name: f"{level} {name}" for name in ("matrix", "centres", "offsets")}
        arrays = read_arrays(self.filters, {"labels", *names.values()})
        n, classes = self.images[0].numel(), len(arrays["labels"])
        shapes = {"matrix": (n, n), "centres": (classes, n), "offsets": (classes, n)}
        for name, shape in shapes.items():
            if (found := getattr(arrays.get(names[name]), "shape", None)) != shape:
                raise ArrayError(
                    self.filters, f"{names[name]} has shape {found}: images of {n:,} values"
                )
        device = self.images.device
        return Correction(
            float(self._levels[level]),
            torch.from_numpy(arrays["labels"]),
            **{
                name: torch.from_numpy(arrays[key]).to(device, torch.float64)
                for name, key in names.items()
            },
        )
