"""How well one set of images agrees with another, seed by seed, and how sure a summary is.

Agreement is pixelwise: all channels and pixels of an image are one long vector, in float64. Three
numbers are reported side by side because the paper writes "r^2" where its reference evaluation
computes Pearson's r: an r of .95 is an r^2 of .90, and the coefficient of determination R^2 also
charges for a difference in mean or contrast, which r does not see.

A constant image has no correlation: its r, r^2 and (where the network's image is constant) R^2 are
nan here, as is the cosine similarity with an image of zeros. What is taken
of many images counts them, :func:`patchmosaic.analysis.intervals.with_undefined_as_zero`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike, NDArray

from patchmosaic.analysis.frequencies import high_pass_r
from patchmosaic.analysis.intervals import (
    bootstrap_median,
    paired_difference,
    with_undefined_as_zero,
)

Values = NDArray[np.float64]


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


def r2_determination(machine: ArrayLike, network: ArrayLike) -> Values:
    """Coefficient of determination R^2 = 1 - SS_res / SS_tot, (n,), at most 1, without lower bound.

    The network's image is the observation and the machine's the prediction, so exchanging them
    changes the result. nan where the network's image is constant.
    """
    prediction, observation = _vectors(machine, network)
    residual = ((observation - prediction) ** 2).sum(axis=1)
    total = (_centred(observation) ** 2).sum(axis=1)
    return 1.0 - _ratio(residual, total)


def r2_sample_variance(machine: ArrayLike, network: ArrayLike) -> Values:
    """R^2 = 1 - SS_res / (n var), (n,), as published leaderboards have it: var divided by n - 1.

    Over all pixels and channels of the network's image; nearer to 1 than
    :func:`r2_determination` by the factor (n - 1) / n of what is missing. Source: Lukoianov et al.,
    NeurIPS 2025 (arXiv 2509.09672), who report the mean over images.
    """
    size = np.asarray(network)[:1].size
    return 1.0 - (1.0 - r2_determination(machine, network)) * (size - 1) / size


def cosine_similarity(machine: ArrayLike, network: ArrayLike) -> Values:
    """Cosine of the angle between the images, not centred, (n,); nan for an image of zeros."""
    return _cosine(*_vectors(machine, network))


def mse(machine: ArrayLike, network: ArrayLike) -> Values:
    """Mean squared difference, (n,), of images in [-1, 1]; in [0, 1] it is a quarter."""
    a, b = _vectors(machine, network)
    return ((a - b) ** 2).mean(axis=1)


def rmse(machine: ArrayLike, network: ArrayLike) -> Values:
    """Root of the mean squared difference, (n,), in units of the pixels, whose range is [-1, 1]."""
    return np.sqrt(mse(machine, network))


def ssim(machine: ArrayLike, network: ArrayLike) -> Values:
    """Structural similarity of images in [-1, 1], (n,), at most 1: luminance, contrast, structure.

    The mean over channels and all windows inside the image, each pixel counting alike, variances
    divided by n - 1, c1 = .02^2 and c2 = .06^2: that of scikit-image's structural_similarity.
    Windows are squares of 7 pixels; of smaller images the largest odd side that they have.
    Source: Wang, Bovik, Sheikh and Simoncelli, IEEE Transactions on Image Processing, 2004.
    """
    _vectors(machine, network)  # checked
    a, b = np.asarray(machine, np.float64), np.asarray(network, np.float64)
    side = min(7, *((s - 1) // 2 * 2 + 1 for s in a.shape[2:]))
    unbiased = side**2 / max(side**2 - 1, 1)

    def mean(x: Values) -> Values:
        return sliding_window_view(x, (side, side), axis=(2, 3)).mean(axis=(4, 5))

    mean_a, mean_b = mean(a), mean(b)
    var_a, var_b = (unbiased * (mean(x**2) - m**2) for x, m in ((a, mean_a), (b, mean_b)))
    covariance = unbiased * (mean(a * b) - mean_a * mean_b)
    c1, c2 = 0.02**2, 0.06**2
    similar = (2 * mean_a * mean_b + c1) * (2 * covariance + c2)
    similar /= (mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2)
    return similar.mean(axis=(1, 2, 3))


MORE_MEASURES = {
    "mse": mse,
    "r2_sample_variance": r2_sample_variance,
    "high_pass_r": high_pass_r,
    "ssim": ssim,
}
"""Columns, each a function of two sets of images, that the leaderboard has beside those of
:func:`agreement`."""


def more_measures(machine_images: ArrayLike, network_images: ArrayLike) -> pd.DataFrame:
    """MORE_MEASURES of each pair of images (n, C, H, W), a row a pair."""
    return pd.DataFrame(
        {name: measure(machine_images, network_images) for name, measure in MORE_MEASURES.items()}
    )


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


def siblings(
    images: tuple[ArrayLike, ArrayLike], els: tuple[ArrayLike, ArrayLike]
) -> dict[str, float | int]:
    """How two networks of the same images agree with each other, and with ELS, over the same seeds.

    What one network says of another, trained apart, is the yardstick for what a machine can say.

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
        interval = bootstrap_median(with_undefined_as_zero(np.asarray(r, np.float64)))
        found |= {name: interval.estimate, f"{prefix}low": interval.low}
        found |= {f"{prefix}high": interval.high}
    return found


def paired_differences(agreement: pd.DataFrame, pairs: Sequence[tuple[str, str]]) -> pd.DataFrame:
    """:func:`paired_difference` of Pearson's r between machines, seed by seed.

    Args:
        agreement: columns network, network_steps, machine, seed, pearson_r.
        pairs: names of machines (a, b) to compare; pairs of which one is missing are left out.

    Returns:
        One row a network, number of steps and pair: network, network_steps, a, b, seeds,
        difference, low, high, positive, negative, ties, p_value.
    """
    rows = []
    for (network, steps), group in agreement.groupby(["network", "network_steps"]):
        wide = group.pivot(index="seed", columns="machine", values="pearson_r")
        wide = with_undefined_as_zero(wide)
        for a, b in pairs:
            if {a, b} <= set(wide.columns):
                found = paired_difference(wide[a], wide[b])._asdict()
                found["difference"] = found.pop("estimate")
                row = {"network": network, "network_steps": steps, "a": a, "b": b}
                rows.append(row | {"seeds": len(wide)} | found)
    columns = ["network", "network_steps", "a", "b", "seeds", "difference", "low", "high"]
    columns += ["positive", "negative", "ties", "p_value"]
    return pd.DataFrame(rows, columns=columns)
