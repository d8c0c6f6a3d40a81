"""Intervals and tests: medians, proportions, paired differences, many tests, spread."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import lru_cache
from statistics import NormalDist
from typing import NamedTuple, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

MOST_DRAWN = 2**22  # values that the bootstrap draws at once


NORMAL_95 = NormalDist().inv_cdf(0.975)  # 1.96: half of the interval that holds 95%


Measured = TypeVar("Measured", pd.Series, pd.DataFrame, NDArray[np.float64])


def with_undefined_as_zero(r: Measured) -> Measured:
    """A copy in which 0 stands for nan: what every median, difference and mean of r is taken of.

    A constant image has no correlation. Its seed is not dropped, which would favour a machine that
    fails on it, but counts as an image that explains nothing. The same holds of every other measure
    of agreement that is undefined with r. Tables say beside their medians how many there were.

    Args:
        r: float, of any shape, nan where undefined.
    """
    counted = r.copy()
    counted[np.isnan(counted)] = 0.0
    return counted


class Interval(NamedTuple):
    """An estimate between the bounds of its confidence interval."""

    estimate: float
    low: float
    high: float


def bootstrap_median(
    values: ArrayLike, level: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> Interval:
    """The median and its percentile bootstrap interval (Efron and Tibshirani 1993, section 13.3).

    The same values, whatever their order, give the same interval.

    Args:
        values: (n,), finite; n draws with replacement make a resample.
        level: nominal coverage in (0, 1).
        resamples: number of resamples.
        seed: of the resampling.
    """
    values = np.sort(np.asarray(values, np.float64))
    if values.ndim != 1 or len(values) == 0 or not np.isfinite(values).all():
        raise ValueError(f"values of shape {values.shape}: expected a finite, non-empty (n,)")
    _check_level(level)
    below, above = _middle_ranks(len(values), resamples, seed)
    medians = (values[below] + values[above]) / 2
    low, high = np.quantile(medians, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(np.median(values)), float(low), float(high))


@lru_cache
def _middle_ranks(n: int, resamples: int, seed: int) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
    """Ranks of the two middle values of resamples of n sorted values, one and the same if n is odd.

    They do not depend on the values, so intervals of as many values share them.
    """
    kind = np.int16 if n < 2**15 else np.int64  # small numbers are sorted faster
    middle = [(n - 1) // 2, n // 2]
    parts = _resamples(n, resamples, seed, MOST_DRAWN // n)
    ranks = np.concatenate([np.sort(part.astype(kind), axis=1)[:, middle] for part in parts])
    below, above = ranks.T.astype(np.int_)
    return below, above


def medians_of_resamples(
    values: ArrayLike, resamples: int = 10_000, seed: int = 0
) -> NDArray[np.float64]:
    """Medians over the last axis of resamples with replacement, the same ones for all rows.

    Args:
        values: (..., n), finite; n draws make a resample.
        resamples: number of resamples.
        seed: of the resampling.

    Returns:
        (..., resamples); their standard deviation is the bootstrap's standard error of a median.
    """
    values = np.asarray(values, np.float64)
    parts = _resamples(values.shape[-1], resamples, seed, MOST_DRAWN // values.size)
    return np.concatenate([np.median(values[..., part], axis=-1) for part in parts], axis=-1)


def _resamples(n: int, resamples: int, seed: int, most: int) -> Iterator[NDArray[np.int64]]:
    """Resamples of n values, as indices, a row each; so many at once, which changes none."""
    random, step = np.random.default_rng(seed), max(1, most)
    for first in range(0, resamples, step):
        yield random.integers(n, size=(min(step, resamples - first), n))


def median_intervals(table: pd.DataFrame, by: str | list[str], column: str) -> pd.DataFrame:
    """:func:`bootstrap_median` of a column over each group of rows, :func:`with_undefined_as_zero`.

    Args:
        table: at least the columns named.
        by: the column or columns that make a group.
        column: the values, finite or nan.

    Returns:
        A row a group, indexed by `by`: estimate, low, high.
    """
    groups = table.assign(**{column: with_undefined_as_zero(table[column])}).groupby(by)[column]
    return groups.apply(lambda values: pd.Series(bootstrap_median(values)._asdict())).unstack()


def proportion(successes: int, n: int, level: float = 0.95) -> Interval:
    """A proportion and its Wilson score interval (Wilson 1927), which stays within [0, 1].

    Args:
        successes: out of `n`.
        n: number of trials, at least 1.
        level: nominal coverage in (0, 1).
    """
    if not 0 <= successes <= n or n < 1:
        raise ValueError(f"{successes} successes of {n}: expected 0 <= successes <= n, n >= 1")
    _check_level(level)
    share, z = successes / n, NormalDist().inv_cdf((1 + level) / 2)
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * math.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    # At none and at all of n a bound is 0 or 1 exactly, which rounding must not hide.
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == n else centre + half
    return Interval(share, low, high)


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise ValueError(f"level is {level}: expected a number between 0 and 1")


class PairedDifference(NamedTuple):
    """A median difference between the bounds of its interval, and an exact sign test."""

    estimate: float
    low: float
    high: float
    positive: int
    negative: int
    ties: int
    p_value: float


def paired_difference(
    a: ArrayLike, b: ArrayLike, level: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> PairedDifference:
    """The median of a - b over pairs: bootstrap interval over pairs, and the exact sign test.

    The two-sided sign test (Conover 1999, section 3.4) asks whether a - b is as often positive as
    negative; ties say nothing about that and are left out, so without any other pair p is 1.

    Args:
        a, b: (n,), finite, of the same seeds in the same order.
        level: nominal coverage of the interval in (0, 1).
        resamples: number of resamples.
        seed: of the resampling.
    """
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.shape != b.shape:
        raise ValueError(f"values have shapes {a.shape} and {b.shape}: pairs need the same")
    differences = a - b
    interval = bootstrap_median(differences, level, resamples, seed)
    positive, negative = int((differences > 0).sum()), int((differences < 0).sum())
    ties = len(differences) - positive - negative
    p_value = _sign_test(positive, negative)
    return PairedDifference(*interval, positive, negative, ties, p_value)


def clear_sign(low: float, high: float, p_value: float) -> int:
    """1 or -1 where a paired difference is clearly positive or negative, else 0.

    Clearly: its 95% interval lies on that side of 0, and the exact sign test has p < .05. With few
    seeds the interval covers less than it says, and the test, which is exact, decides.
    """
    return 0 if not p_value < 0.05 else int(low > 0) - int(high < 0)


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """p-values corrected for their number (Holm 1979): below a level only by chance at that level.

    The i-th smallest of m is multiplied by m - i + 1; none is below a smaller one's, or above 1.

    Args:
        p_values: in [0, 1], of any shape; nan where there was no test, which counts for nothing.
    """
    p = np.asarray(p_values, np.float64)
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p.flat[known], kind="stable")]
    raised = p.flat[order] * np.arange(len(order), 0, -1)
    corrected = np.full(p.shape, np.nan)
    corrected.flat[order] = np.minimum(np.maximum.accumulate(raised), 1.0)
    return corrected


def _sign_test(positive: int, negative: int) -> float:
    """Chance of a split at least as uneven in either direction, if both signs are as likely."""
    n = positive + negative
    tail = term = 1  # binomials of n over k, summed up to the rarer sign
    for k in range(1, min(positive, negative) + 1):
        term = term * (n - k + 1) // k
        tail += term
    return min(1.0, 2 * tail / 2**n)


def training_spread(r: ArrayLike) -> dict[str, float | int]:
    """How agreement varies over trainings of one network from several seeds, and over noise.

    Each r is taken as a mean plus random effects of the training, of the noise and of their
    interaction; their variances are the usual estimates of a two-way layout with one observation a
    cell (Searle, Casella and McCulloch 1992, chapter 4), 0 where an estimate is below.

    Args:
        r: Pearson's r, (k trainings, n noise seeds), at least 2 of each; taken
            :func:`with_undefined_as_zero`.

    Returns:
        networks (k), seeds (n); least_median and greatest_median of the trainings; half_interval,
        half the bootstrap 95% interval of a training's median, on average; the standard deviations
        sd_training, sd_noise and sd_interaction; and half_interval_with_training, half of a 95%
        interval for a median over noise of a training from any seed, if both were normal:
        half_interval and 1.96 sd_training, the root of the sum of squares. All in units of r.
    """
    r = with_undefined_as_zero(np.asarray(r, np.float64))
    if r.ndim != 2 or min(r.shape) < 2:
        raise ValueError(f"r has shape {r.shape}: expected at least 2 trainings and 2 noise seeds")
    k, n = r.shape
    training, noise = r.mean(axis=1, keepdims=True), r.mean(axis=0, keepdims=True)
    rest = ((r - training - noise + r.mean()) ** 2).sum() / ((k - 1) * (n - 1))
    medians = [bootstrap_median(of_training) for of_training in r]
    half_interval = float(np.mean([(m.high - m.low) / 2 for m in medians]))
    sd_training = math.sqrt(max(0.0, training.var(ddof=1) - rest / n))
    return {
        "networks": k,
        "seeds": n,
        "least_median": min(m.estimate for m in medians),
        "greatest_median": max(m.estimate for m in medians),
        "half_interval": half_interval,
        "half_interval_with_training": math.hypot(half_interval, NORMAL_95 * sd_training),
        "sd_training": sd_training,
        "sd_noise": math.sqrt(max(0.0, noise.var(ddof=1) - rest / k)),
        "sd_interaction": math.sqrt(rest),
    }
