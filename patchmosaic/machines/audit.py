"""Audits of the adaptive engine: rows of pixels that a run also computed exactly."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 2000
LARGEST_ERROR = 2.0  # of any posterior mean, as images are in [-1, 1]
HALL = 0.4  # the bootstrap covers less than it says of few rows that are very skewed
NO_SKEWNESS, TINY = 1e-3, 1e-30


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
        weight: the probability of this row, were all of the call's rows alike, over the one that it
            was drawn with.
        mended: whether the image was then computed exactly, because audits of its call were beyond
            the tolerance. What was mended is right: it counts as no error.
    """

    alpha_bar: float
    patch_size: int
    way: str
    pixels: int
    square_error: float
    weight: float = 1.0
    mended: bool = False


def _squares(audits: Sequence[Audit]) -> np.ndarray:
    """Each row's part of the mean squared error that rows estimate (Hansen and Hurwitz, 1943)."""
    pixels = np.mean([audit.pixels for audit in audits])
    return np.array([0 if a.mended else a.weight * a.square_error / pixels for a in audits])


def rows_to_audit(
    risks: np.ndarray, count: int, random: np.random.Generator
) -> list[tuple[int, int, float]]:
    """Draw rows of pixels, half of them uniformly and half where error is likely.

    Args:
        risks: (B, H), in proportion to the squared error to be expected in each row of each image.

    Returns:
        for each draw the image, the row, and the weight (:class:`Audit`), at most 2.
    """
    probabilities = np.full(risks.size, 1 / risks.size)
    if risks.sum() > 0:
        probabilities = (probabilities + risks.ravel() / risks.sum()) / 2
    chosen = random.choice(risks.size, size=count, p=probabilities)
    weights = 1 / (risks.size * probabilities[chosen])
    images, rows = np.unravel_index(chosen, risks.shape)
    return list(zip(images.tolist(), rows.tolist(), weights.tolist(), strict=True))


def root_mean_square(audits: Sequence[Audit]) -> float:
    """The estimated root-mean-square error of what the rows were drawn from."""
    return math.sqrt(_squares(audits).mean())


def student_quantile(freedom: int, probability: float) -> float:
    """The quantile of Student's t with an integer number of degrees of freedom, at least .5.

    The angle whose sine and cosine give the distribution in closed form (Abramowitz and Stegun,
    26.7.3 and 26.7.4), by bisection to the last bits.
    """

    def within(angle: float) -> float:
        """The probability of |t| <= sqrt(freedom) tan(angle)."""
        sine, cosine = math.sin(angle), math.cos(angle)
        odd = freedom % 2
        term = cosine if odd else 1.0
        total = term if freedom > 1 else 0.0
        for k in range(2 + odd, freedom, 2):
            term *= cosine**2 * (k - 1) / k
            total += term
        return 2 / math.pi * (angle + sine * total) if odd else sine * total

    low, high = 0.0, math.pi / 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if within(middle) < 2 * probability - 1 else (low, middle)
    return math.sqrt(freedom) * math.tan((low + high) / 2)


def interval(squares: np.ndarray, confidence: float = 0.95) -> tuple[float, float]:
    """Of the root of the mean that ``squares`` (n,) are drawn around, a conservative interval.

    Errors are skewed, and few rows see little of that: the percentile bootstrap of 40 lognormal
    errors (sd 1) covers 68% where it says 95%. This one is the hull of two that know skewness:

    * the bootstrap of the mean in standard errors, after the transformation that takes its skewness
      away (Hall, 1992), at HALL of the confidence's complement;
    * that for a lognormal mean (Cox; Olsson, 2005) among squares that are not 0, times their share.
      Squares far below the median say nothing of the mean, but look like a heavy tail above it:
      none counts as farther below it, in logarithms, than the greatest is above it.
    """
    squares, tail = np.asarray(squares, float), (1 - confidence) / 2
    some = squares[squares > 0]
    if len(some) == 0:
        return 0.0, 0.0
    if len(some) == 1:
        return 0.0, LARGEST_ERROR
    bounds = np.array([_hall(squares, HALL * tail), _lognormal(some, len(squares), tail)])
    low, high = np.sqrt(np.clip(bounds, 0, LARGEST_ERROR**2)).T
    return float(low.min()), float(high.max())


def _hall(squares: np.ndarray, tail: float) -> tuple[float, float]:
    n = len(squares)

    def moments(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        mean, deviation = values.mean(-1), np.maximum(values.std(-1), TINY)
        cubes = ((values - mean[..., None]) ** 3).mean(-1)
        return mean, deviation, cubes / deviation**3

    mean, deviation, skewness = moments(squares)
    means, deviations, skewnesses = moments(
        squares[np.random.default_rng(0).integers(n, size=(RESAMPLES, n))]
    )
    off = (means - mean) / deviations
    off += skewnesses * off**2 / 3 + skewnesses**2 * off**3 / 27 + skewnesses / (6 * n)
    quantiles = np.quantile(off, [1 - tail, tail]) - skewness / (6 * n)
    if abs(skewness) > NO_SKEWNESS:
        quantiles = 3 * (np.cbrt(1 + skewness * quantiles) - 1) / skewness
    low, high = mean - deviation * quantiles
    return float(low), float(high)


def _lognormal(some: np.ndarray, rows: int, tail: float) -> tuple[float, float]:
    logs, n = np.log(some), len(some)
    logs = np.maximum(logs, 2 * np.median(logs) - logs.max())
    variance = logs.var(ddof=1)
    error = math.sqrt(variance / n + variance**2 / (2 * (n - 1)))
    centre = logs.mean() + variance / 2 + math.log(n / rows)
    off = student_quantile(n - 1, 1 - tail) * error
    return math.exp(centre - off), math.exp(min(centre + off, 2 * math.log(LARGEST_ERROR)))


def summarise(audits: Sequence[Audit], tolerance: float) -> dict:
    """What a run's audits say of its posterior means (JSON-able).

    Returns:
        rms, low, high: the root-mean-square error and its 95% interval, see :func:`interval`;
        rows; tolerance; beyond: whether the upper end of the interval, or the error of one step, is
        beyond the tolerance; ways: rows for each way; steps: for each noise level, its alpha_bar,
        patch_size, rms, rows, and how many of these were mended.
    """
    if not audits:
        raise ValueError("there are no audits to summarise")
    low, high = interval(_squares(audits))
    steps = []
    for alpha_bar in sorted({audit.alpha_bar for audit in audits}):
        here = [audit for audit in audits if audit.alpha_bar == alpha_bar]
        steps.append(
            {
                "alpha_bar": alpha_bar,
                "patch_size": here[0].patch_size,
                "rms": root_mean_square(here),
                "rows": len(here),
                "mended": sum(audit.mended for audit in here),
            }
        )
    ways = [audit.way for audit in audits]
    return {
        "rms": root_mean_square(audits),
        "low": low,
        "high": high,
        "rows": len(audits),
        "tolerance": tolerance,
        "beyond": max(high, *(step["rms"] for step in steps)) > tolerance,
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
    mended = sum(step["mended"] > 0 for step in summary["steps"])
    text += f"; {mended} steps were beyond it and computed exactly" if mended else ""
    return text + (": BEYOND" if summary["beyond"] else "")
