"""Audits of the adaptive engine: rows of pixels that a run also computed exactly."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 2000


@dataclass(frozen=True)
class Audit:
    """One row of pixels of one query image, computed by the adaptive engine and exactly.

    Args:
        alpha_bar: signal variance of the query.
        patch_size: P in pixels.
        way: how the adaptive engine went about the image: "subset", "index" or "exact".
        pixels: how many were compared.
        square_error: sum over them of the squared difference of posterior means, averaged over
            channels, in units of images in [-1, 1].
    """

    alpha_bar: float
    patch_size: int
    way: str
    pixels: int
    square_error: float


def summarise(audits: Sequence[Audit], tolerance: float) -> dict:
    """What a run's audits say of its posterior means (JSON-able).

    Returns:
        rms, low, high: the root-mean-square error over all audited pixels and its 95% bootstrap
        interval over rows (percentiles); rows; tolerance; beyond: whether the interval lies above
        the tolerance; ways: rows for each way; steps: for each noise level, its alpha_bar,
        patch_size, rms and rows.
    """
    if not audits:
        raise ValueError("there are no audits to summarise")
    pixels = np.array([audit.pixels for audit in audits])
    squares = np.array([audit.square_error for audit in audits])
    chosen = np.random.default_rng(0).integers(len(audits), size=(RESAMPLES, len(audits)))
    resampled = np.sqrt(squares[chosen].sum(axis=1) / pixels[chosen].sum(axis=1))
    low, high = np.quantile(resampled, [0.025, 0.975])
    steps = []
    for alpha_bar in sorted({audit.alpha_bar for audit in audits}):
        here = [audit for audit in audits if audit.alpha_bar == alpha_bar]
        error = sum(a.square_error for a in here) / sum(a.pixels for a in here)
        steps.append(
            {
                "alpha_bar": alpha_bar,
                "patch_size": here[0].patch_size,
                "rms": math.sqrt(error),
                "rows": len(here),
            }
        )
    ways = [audit.way for audit in audits]
    return {
        "rms": math.sqrt(squares.sum() / pixels.sum()),
        "low": float(low),
        "high": float(high),
        "rows": len(audits),
        "tolerance": tolerance,
        "beyond": bool(low > tolerance),
        "ways": {way: ways.count(way) for way in sorted(set(ways))},
        "steps": steps,
    }


def pooled(summaries: Sequence[dict | None]) -> tuple[float, int]:
    """Root-mean-square error and rows of several runs' audits together; nan and 0 without any.

    Every row has as many pixels as the images are wide, so rows are the weights.
    """
    found = [summary for summary in summaries if summary is not None]
    rows = sum(summary["rows"] for summary in found)
    if rows == 0:
        return math.nan, 0
    return math.sqrt(sum(s["rms"] ** 2 * s["rows"] for s in found) / rows), rows


def describe(summary: dict | None) -> str:
    """One line: the error, its interval, and how much was audited; empty without audits."""
    if summary is None:
        return ""
    text = (
        f"{summary['rms']:.4f} [{summary['low']:.4f}, {summary['high']:.4f}] over "
        f"{summary['rows']} rows of pixels; tolerance {summary['tolerance']:g}"
    )
    return text + (": BEYOND" if summary["beyond"] else "")
