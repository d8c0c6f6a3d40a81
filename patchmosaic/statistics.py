"""How well one set of images agrees with another, seed by seed, and how sure a summary is.

Agreement is pixelwise: all channels and pixels of an image are one long vector, in float64. Three
numbers are reported side by side because the paper writes "r^2" where its reference evaluation
computes Pearson's r: an r of .95 is an r^2 of .90, and the coefficient of determination R^2 also
charges for a difference in mean or contrast, which r does not see.

A constant image has no correlation: its r, r^2 and (where the network's image is constant) R^2 are
nan here, as is the cosine similarity with an image of zeros. Nothing is dropped;
:func:`patchmosaic.headline.headline` counts and reports the undefined ones.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

Values = NDArray[np.float64]


MOST_DRAWN = 2**22  # values that the bootstrap draws at once
NORMAL_95 = NormalDist().inv_cdf(0.975)  # 1.96: half of the interval that holds 95%


class Interval(NamedTuple):
    """An estimate between the bounds of its confidence interval."""

    estimate: float
    low: float
    high: float


def _vectors(a: ArrayLike, b: ArrayLike) -> tuple[Values, Values]:
    """Two sets of images (n, C, H, W) as float64 vectors (n, C * H * W)."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.shape != b.shape or a.ndim != 4 or 0 in a.shape:
        raise ValueError(
            f"images have shapes {a.shape} and {b.shape}: expected the same (n, C, H, W), not empty"
        )
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("images hold NaN or infinite values")
    return a.reshape(len(a), -1), b.reshape(len(b), -1)


def _centred(vectors: Values) -> Values:
    """Each vector minus its mean; exactly zero for a constant one, whatever the rounding."""
    constant = np.ptp(vectors, axis=1, keepdims=True) == 0
    return np.where(constant, 0.0, vectors - vectors.mean(axis=1, keepdims=True))


def _ratio(numerator: Values, denominator: Values) -> Values:
    """numerator / denominator, nan where the denominator is zero."""
    undefined = np.full_like(denominator, np.nan)
    return np.divide(numerator, denominator, out=undefined, where=denominator != 0)


def _cosine(a: Values, b: Values) -> Values:
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return np.clip(_ratio((a * b).sum(axis=1), lengths), -1.0, 1.0)


def pearson_r(machine: ArrayLike, network: ArrayLike) -> Values:
    """Pearson's correlation of the pixels of each pair of images.

    The paper's measure of agreement (its reference code's, labelled r^2 there).

    Args:
        machine, network: (n, C, H, W).

    Returns:
        (n,) in [-1, 1]; nan where either image is constant.
    """
    a, b = _vectors(machine, network)
    return _cosine(_centred(a), _centred(b))


def r_squared(machine: ArrayLike, network: ArrayLike) -> Values:
    """The square of :func:`pearson_r`, (n,): what is explained after the best linear rescaling."""
    return pearson_r(machine, network) ** 2


def r2_determination(machine: ArrayLike, network: ArrayLike) -> Values:
    """Coefficient of determination R^2 = 1 - SS_res / SS_tot, (n,), at most 1, without lower bound.

    The network's image is the observation and the machine's the prediction, so exchanging them
    changes the result. nan where the network's image is constant.
    """
    prediction, observation = _vectors(machine, network)
    residual = ((observation - prediction) ** 2).sum(axis=1)
    total = (_centred(observation) ** 2).sum(axis=1)
    return 1.0 - _ratio(residual, total)


def cosine_similarity(machine: ArrayLike, network: ArrayLike) -> Values:
    """Cosine of the angle between the images, not centred, (n,); nan for an image of zeros."""
    return _cosine(*_vectors(machine, network))


def rmse(machine: ArrayLike, network: ArrayLike) -> Values:
    """Root of the mean squared difference, (n,), in units of the pixels, whose range is [-1, 1]."""
    a, b = _vectors(machine, network)
    return np.sqrt(((a - b) ** 2).mean(axis=1))


def agreement(
    machine_images: ArrayLike,
    network_images: ArrayLike,
    is_images: ArrayLike,
    seeds: ArrayLike,
    labels: ArrayLike | None = None,
) -> pd.DataFrame:
    """Agreement of a machine with a network, and of IS with the same network, seed by seed.

    Args:
        machine_images, network_images, is_images: (n, C, H, W), final images of the same seeds in
            the same order.
        seeds: int (n,), all different.
        labels: int (n,), or None for an unconditional network.

    Returns:
        One row a seed: seed, label (empty without labels), pearson_r, r_squared, r2_determination,
        cosine, rmse, is_pearson_r, better_than_is. The last is pearson_r > is_pearson_r; it is
        false, to the machine's disadvantage, where either is undefined.
    """
    r, is_r = pearson_r(machine_images, network_images), pearson_r(is_images, network_images)
    seeds = np.asarray(seeds)
    label_column = pd.array([pd.NA] * len(r) if labels is None else np.asarray(labels), "Int64")
    if seeds.shape != r.shape or len(label_column) != len(r):
        raise ValueError(
            f"{len(r)} images, seeds of shape {seeds.shape} and {len(label_column)} labels: "
            "expected one seed, and one label if any, for each image"
        )
    if len(np.unique(seeds)) != len(seeds):
        raise ValueError("seeds occur more than once")
    return pd.DataFrame(
        {
            "seed": seeds,
            "label": label_column,
            "pearson_r": r,
            "r_squared": r**2,
            "r2_determination": r2_determination(machine_images, network_images),
            "cosine": cosine_similarity(machine_images, network_images),
            "rmse": rmse(machine_images, network_images),
            "is_pearson_r": is_r,
            "better_than_is": r > is_r,
        }
    )


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
    random, n = np.random.default_rng(seed), len(values)
    step = max(1, MOST_DRAWN // n)
    parts = (min(step, resamples - first) for first in range(0, resamples, step))
    drawn = (values[random.integers(n, size=(part, n))] for part in parts)
    medians = np.concatenate([np.median(part, axis=1) for part in drawn])
    low, high = np.quantile(medians, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(np.median(values)), float(low), float(high))


def median_intervals(table: pd.DataFrame, by: str | list[str], column: str) -> pd.DataFrame:
    """:func:`bootstrap_median` of a column over each group of rows; undefined values count as 0.

    Args:
        table: at least the columns named.
        by: the column or columns that make a group.
        column: the values, finite or nan.

    Returns:
        A row a group, indexed by `by`: estimate, low, high.
    """
    groups = table.fillna({column: 0.0}).groupby(by)[column]
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


def _sign_test(positive: int, negative: int) -> float:
    """Chance of a split at least as uneven in either direction, if both signs are as likely."""
    n = positive + negative
    tail = term = 1  # binomials of n over k, summed up to the rarer sign
    for k in range(1, min(positive, negative) + 1):
        term = term * (n - k + 1) // k
        tail += term
    return min(1.0, 2 * tail / 2**n)


def siblings(
    images: tuple[ArrayLike, ArrayLike], els: tuple[ArrayLike, ArrayLike]
) -> dict[str, float | int]:
    """How two networks of the same images agree with each other, and with ELS, over the same seeds.

    What one network says of another, trained apart, is the yardstick for what a machine can say.
    As in the headline, an undefined r (a constant image) counts as 0.

    Args:
        images: final images of both, each (n, C, H, W), of the same seeds in the same order.
        els: Pearson's r of ELS with each, (n,).

    Returns:
        seeds; pearson_r between the networks, low, high; els_a, els_a_low, els_a_high and the same
        of b: medians with 95% bootstrap intervals.
    """
    found: dict[str, float | int] = {"seeds": len(np.asarray(images[0]))}
    values = {"pearson_r": pearson_r(*images), "els_a": els[0], "els_b": els[1]}
    for name, r in values.items():
        prefix = "" if name == "pearson_r" else f"{name}_"
        interval = bootstrap_median(np.nan_to_num(np.asarray(r, np.float64), nan=0.0))
        found |= {name: interval.estimate, f"{prefix}low": interval.low}
        found |= {f"{prefix}high": interval.high}
    return found


def training_spread(r: ArrayLike) -> dict[str, float | int]:
    """How agreement varies over trainings of one network from several seeds, and over noise.

    Each r is taken as a mean plus random effects of the training, of the noise and of their
    interaction; their variances are the usual estimates of a two-way layout with one observation a
    cell (Searle, Casella and McCulloch 1992, chapter 4), 0 where an estimate is below. Undefined r
    counts as 0.

    Args:
        r: Pearson's r, (k trainings, n noise seeds), at least 2 of each.

    Returns:
        networks (k), seeds (n); least_median and greatest_median of the trainings; half_interval,
        half the bootstrap 95% interval of a training's median, on average; the standard deviations
        sd_training, sd_noise and sd_interaction; and half_interval_with_training, half of a 95%
        interval for a median over noise of a training from any seed, if both were normal:
        half_interval and 1.96 sd_training, the root of the sum of squares. All in units of r.
    """
    r = np.nan_to_num(np.asarray(r, np.float64), nan=0.0)
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


def paired_differences(agreement: pd.DataFrame, pairs: Sequence[tuple[str, str]]) -> pd.DataFrame:
    """:func:`paired_difference` of Pearson's r between machines, seed by seed.

    As in the headline, an undefined r (a constant image) counts as 0.

    Args:
        agreement: columns network, network_steps, machine, seed, pearson_r.
        pairs: names of machines (a, b) to compare; pairs of which one is missing are left out.

    Returns:
        One row a network, number of steps and pair: network, network_steps, a, b, seeds,
        difference, low, high, positive, negative, ties, p_value.
    """
    rows = []
    for (network, steps), group in agreement.groupby(["network", "network_steps"]):
        wide = group.pivot(index="seed", columns="machine", values="pearson_r").fillna(0.0)
        for a, b in pairs:
            if {a, b} <= set(wide.columns):
                found = paired_difference(wide[a], wide[b])._asdict()
                found["difference"] = found.pop("estimate")
                row = {"network": network, "network_steps": steps, "a": a, "b": b}
                rows.append(row | {"seeds": len(wide)} | found)
    columns = ["network", "network_steps", "a", "b", "seeds", "difference", "low", "high"]
    columns += ["positive", "negative", "ties", "p_value"]
    return pd.DataFrame(rows, columns=columns)
