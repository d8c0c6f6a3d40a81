"""Fits of :mod:`patchmosaic.machines.distilled` to a network, of noised training images.

Least squares in float64: the covariance of ``x_t`` is decomposed, so that every ridge is tried at
once, and that is taken which errs least on samples that it was not fitted to, or no correction
where that errs less. Images and noise are drawn anew at each level, from a stream of their own: no
seed of an evaluation or a calibration is among them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from patchmosaic.machines.distilled import Correction
from patchmosaic.machines.gaussian import WienerFilter
from patchmosaic.sampling.schedule import alpha_bar
from patchmosaic.system.memory import require_memory

STREAM = 0x64697374696C  # of random numbers, apart from those of seeds
BATCH = 16  # images that the network is asked of at once: what it makes of them stays in caches

Predict = Callable[[Tensor, float, Tensor | None], Tensor]
"""The predicted x_0 as a function of x_t, t and labels."""


@dataclass(frozen=True)
class Fit:
    """How well a level was fitted, by mean square errors on samples that were held out.

    Args:
        t, alpha_bar: of the level.
        ridge: as was taken, in units of the mean variance of a value of ``x_t``; infinite where
            nothing is corrected.
        error: of the fitted map.
        wiener_error: of the Wiener filter that it corrects.
        variance: of what the network predicts: 1 - error / variance is the linear share of it.
    """

    t: float
    alpha_bar: float
    ridge: float
    error: float
    wiener_error: float
    variance: float


def distill(
    predict_x0: Predict,
    machine: WienerFilter,
    times: Sequence[float],
    samples: int,
    held_out: int,
    ridges: Sequence[float],
    seed: int = 0,
) -> tuple[list[Correction], list[Fit]]:
    """The corrections that make a Wiener filter the affine map nearest to a network.

    Args:
        predict_x0: of the network; given labels where the machine's bank has some.
        machine: of the images that are noised.
        times: one level each.
        samples: noised images a level; of them ``held_out`` choose the ridge and are not fitted to.
        ridges: to choose from, in units of the mean variance of a value of ``x_t``.
        seed: of images and noise.

    Raises:
        ValueError: for settings that leave nothing to fit to.
        MemoryError: naming the bytes where the matrices do not fit, before anything is asked.
    """
    n = machine.images[0].numel()
    if not 0 < held_out < samples or not ridges or min(ridges) <= 0:
        raise ValueError(
            f"samples is {samples}, held_out {held_out}, ridges {[*ridges]}: expected 0 < held_out "
            "< samples, and ridges above 0, at least one"
        )
    require_memory(
        8 * (6 * samples * n + 6 * n**2),
        f"the distillation of a network by {samples:,} images of {n:,} values",
    )
    corrections, fits = [], []
    for i, t in enumerate(tqdm(times, unit="level", mininterval=2, desc="distillation")):
        random = np.random.default_rng([STREAM, seed, i])
        x_t, labels = _noised(machine, t, samples, random)
        _require_classes(machine, labels, samples - held_out)
        predicted = _in_batches(predict_x0, x_t, t, labels).flatten(1).double()
        linear = machine.posterior_mean(x_t, alpha_bar(t), None, labels).flatten(1).double()
        correction, ridge, errors = correct(
            x_t.flatten(1).double(), labels, predicted - linear, held_out, ridges, alpha_bar(t)
        )
        if errors[0] >= errors[1]:
            correction, ridge, errors = correction.none(), math.inf, (errors[1], errors[1])
        held = predicted[-held_out:]
        spread = (held - held.mean(0)).square().mean()
        corrections.append(correction)
        fits.append(Fit(t, alpha_bar(t), ridge, *errors, float(spread)))
    return corrections, fits


def correct(
    x_t: Tensor,
    labels: Tensor | None,
    residuals: Tensor,
    held_out: int,
    ridges: Sequence[float],
    a_bar: float,
) -> tuple[Correction, float, tuple[float, float]]:
    """The best correction at one level, its ridge, and mean square errors with it and without it.

    Args:
        x_t: (M, n) float64.
        labels: int64 (M,), or None.
        residuals: what the network predicts beyond the Wiener filter, (M, n) float64.
        held_out: how many of the last samples choose the ridge.
        ridges: in units of the mean variance of a value of ``x_t``.
        a_bar: alpha_bar of the level.
    """
    of = torch.full((len(x_t),), -1) if labels is None else labels.cpu()
    known, fitted = of.unique(), slice(0, len(x_t) - held_out)
    centres, offsets = (
        torch.stack([values[fitted][of[fitted] == k].mean(0) for k in known])
        for values in (x_t, residuals)
    )
    place = torch.searchsorted(known, of)
    inputs, wanted = x_t - centres[place], residuals - offsets[place]
    spread = inputs[fitted].T @ inputs[fitted] / inputs[fitted].shape[0]
    variances, axes = torch.linalg.eigh(spread)
    # wanted by axis: (n, n), its columns those of B without the division by variances.
    along = wanted[fitted].T @ (inputs[fitted] @ axes) / inputs[fitted].shape[0]
    coefficients = inputs[-held_out:] @ axes

    def damped(ridge: float) -> Tensor:
        return along / (variances.clamp(min=0) + ridge * variances.mean())

    def error(ridge: float) -> float:
        return float((wanted[-held_out:] - coefficients @ damped(ridge).T).square().mean())

    errors = {ridge: error(ridge) for ridge in ridges}
    best = min(errors, key=lambda ridge: errors[ridge])
    found = Correction(a_bar, known, damped(best) @ axes.T, centres, offsets)
    return found, best, (errors[best], float(residuals[-held_out:].square().mean()))


def _noised(
    machine: WienerFilter, t: float, samples: int, random: np.random.Generator
) -> tuple[Tensor, Tensor | None]:
    """Training images of a machine under noise, (M, C, H, W), and their labels.

    Each image is taken once before any is taken twice.
    """
    count = len(machine.images)
    rounds = [random.permutation(count) for _ in range(-(-samples // count))]
    chosen = torch.from_numpy(np.concatenate(rounds)[:samples])
    images = machine.images[chosen]
    noise = torch.from_numpy(random.standard_normal(images.shape, np.float32)).to(images)
    labels = None if machine.labels is None else machine.labels[chosen]
    a_bar = alpha_bar(t)
    return math.sqrt(a_bar) * images + math.sqrt(1 - a_bar) * noise, labels


def _require_classes(machine: WienerFilter, labels: Tensor | None, fitted: int) -> None:
    """Raise ValueError unless each class of the bank is among so many first samples."""
    found = set() if labels is None else set(labels[:fitted].tolist())
    if missing := machine.known_labels - found:
        raise ValueError(
            f"samples: {fitted:,} to fit to have none of the classes {sorted(missing)}; take more"
        )


def _in_batches(predict_x0: Predict, x_t: Tensor, t: float, labels: Tensor | None) -> Tensor:
    """What is predicted of (M, C, H, W), BATCH images at a time."""
    parts = [slice(i, i + BATCH) for i in range(0, len(x_t), BATCH)]
    return torch.cat(
        [predict_x0(x_t[part], t, None if labels is None else labels[part]) for part in parts]
    )
