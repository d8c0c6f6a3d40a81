"""Machines of one's own: any predictor of the clean image, defined by a Python file.

The file defines one function, or a class of that name::

    def build(images, labels, **settings): ...    # gives an object with posterior_mean
    # machine.posterior_mean(x_t, alpha_bar, patch_size, labels), as of Machine

It is code, and is only run from the path that the caller gives.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from patchmosaic.machines.base import Machine
from patchmosaic.system.own_code import code_of, described, function_of, run_file
from patchmosaic.system.records import RecordError

PROBE_ALPHA_BARS = (1.5e-4, 0.1, 0.5, 0.9, 0.999)
PROBE_BANK = 64  # images that it is built from
PROBE_IMAGES = 16
PROBE_PATCH_SIZE = 3


class OwnMachine(Machine):
    """A machine of one's own: what it gives is checked at every call.

    Args:
        images, labels: as of :class:`Machine`; they are what ``build`` is given.
        path: of the Python file, which is run.
        needs: of :data:`patchmosaic.machines.registry.NEEDS`: with "scales" it is called with a
            patch size, else with None; with "boundary" ``build`` is given it.
        boundary: "zeros" or "circular".
        settings: further arguments of ``build``.
        sha256: of the Python file; one with another digest is not run.

    Raises:
        RecordError: naming the file and what is wrong with it.
    """

    def __init__(
        self,
        images: Tensor,
        labels: Tensor | None,
        path: Path,
        *,
        needs: Sequence[str] = (),
        boundary: str = "zeros",
        settings: Mapping[str, object] | None = None,
        sha256: str | None = None,
    ) -> None:
        super().__init__(images, labels)
        self.path, self.needs_scales = path, "scales" in needs
        build = function_of(run_file(path, sha256), path, "build")
        given = dict(settings or {}) | ({"boundary": boundary} if "boundary" in needs else {})
        with code_of(path, "build(images, labels, ...)"):
            self.machine = build(self.images, self.labels, **given)
        if not callable(getattr(self.machine, "posterior_mean", None)):
            raise RecordError(
                f"{path}: build gives a {type(self.machine).__name__}: expected an object with a "
                "method posterior_mean"
            )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.path.name}, {self._settings()})"

    def mean(self, x_t, alpha_bar, patch_size, label):
        labels = None if label is None else torch.full((len(x_t),), label, device=x_t.device)
        patch_size = patch_size if self.needs_scales else None
        what = f"posterior_mean, called with x_t of {described(x_t)} at alpha_bar = {alpha_bar:g},"
        with code_of(self.path, what):
            found = self.machine.posterior_mean(x_t, alpha_bar, patch_size, labels)
        if not isinstance(found, Tensor):
            raise RecordError(
                f"{self.path}: {what} gives a {type(found).__name__}: expected a tensor"
            )
        if found.shape != x_t.shape or found.dtype != x_t.dtype:
            raise RecordError(
                f"{self.path}: {what} gives {described(found)}: expected those of x_t"
            )
        if not found.isfinite().all():
            raise RecordError(f"{self.path}: {what} gives NaN or infinite values")
        return found


def probe(machine: OwnMachine) -> None:
    """Ask a machine about noisy images, so that one that cannot be used is found at once.

    Raises:
        RecordError: where it fails, gives another shape or dtype, or values that are not finite;
            and where an image's answer changes with the others of its batch, or from call to call.
    """
    images = machine.images[:PROBE_IMAGES].repeat(2, 1, 1, 1).float()
    labels = None if machine.labels is None else machine.labels[:PROBE_IMAGES].repeat(2)
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(0)).to(images)
    patch_size = PROBE_PATCH_SIZE if machine.needs_scales else None
    for alpha_bar in PROBE_ALPHA_BARS:
        x_t = math.sqrt(alpha_bar) * images + math.sqrt(1 - alpha_bar) * noise
        together = machine.posterior_mean(x_t, alpha_bar, patch_size, labels)
        for some in (slice(0, 1), slice(None)):
            again = machine.posterior_mean(
                x_t[some], alpha_bar, patch_size, None if labels is None else labels[some]
            )
            if not torch.allclose(again, together[some], rtol=1e-3, atol=1e-3):
                raise RecordError(
                    f"{machine.path}: at alpha_bar = {alpha_bar:g} the posterior mean of an image "
                    "changes with the others of its batch, or from call to call: it must depend "
                    "on the image alone"
                )
