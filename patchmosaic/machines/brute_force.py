"""Brute force from the definitions, in float64: what every machine is tested against.

Written for reading, with explicit loops and no shared code with the engines; use it on small
images. All functions take ``x`` (C, H, W), one query, and ``bank`` (N, C, H, W) and return the
posterior mean (C, H, W).
"""

from __future__ import annotations

import numpy as np


def _posterior_mean(distances: list[float], values: list[np.ndarray], variance: float):
    """Mean of the values under weights exp(-distance / (2 variance))."""
    log_weights = -np.array(distances, dtype=np.float64) / (2 * variance)
    weights = np.exp(log_weights - log_weights.max())
    return np.tensordot(weights / weights.sum(), np.array(values, dtype=np.float64), axes=1)


def patch(image: np.ndarray, row: int, col: int, patch_size: int, boundary: str) -> np.ndarray:
    """The P x P patch (C, P, P) around a pixel; beyond the border zeros, or wrapped pixels."""
    channels, height, width = image.shape
    half = patch_size // 2
    result = np.zeros((channels, patch_size, patch_size))
    for i in range(patch_size):
        for j in range(patch_size):
            r, c = row + i - half, col + j - half
            if boundary == "circular":
                result[:, i, j] = image[:, r % height, c % width]
            elif 0 <= r < height and 0 <= c < width:
                result[:, i, j] = image[:, r, c]
    return result


def allowed_positions(
    row: int, col: int, shape: tuple[int, int], patch_size: int, boundary: str, candidates: str
) -> list[tuple[int, int]]:
    """Centres of the training patches an ELS query patch at (row, col) is compared with."""
    half = patch_size // 2

    def along(position: int, side: int) -> list[int]:
        inside = [p for p in range(side) if half <= p < side - half]
        if boundary == "circular":
            return inside if candidates == "interior" else list(range(side))
        return inside if position in inside else [position]

    return [(r, c) for r in along(row, shape[0]) for c in along(col, shape[1])]


def equivariant_local(
    x: np.ndarray,
    bank: np.ndarray,
    alpha_bar: float,
    patch_size: int,
    boundary: str = "zeros",
    candidates: str = "wrapped",
) -> np.ndarray:
    """ELS; with the broken boundary for "zeros"."""
    centres = [(r, c) for r in range(x.shape[1]) for c in range(x.shape[2])]
    keys = {
        (i, r, c): np.sqrt(alpha_bar) * patch(image, r, c, patch_size, boundary)
        for i, image in enumerate(bank)
        for r, c in centres
    }
    result = np.zeros(x.shape)
    for row, col in centres:
        query = patch(x, row, col, patch_size, boundary)
        positions = allowed_positions(row, col, x.shape[1:], patch_size, boundary, candidates)
        allowed = [(i, r, c) for i in range(len(bank)) for r, c in positions]
        distances = [((query - keys[at]) ** 2).sum() for at in allowed]
        values = [bank[i, :, r, c] for i, r, c in allowed]
        result[:, row, col] = _posterior_mean(distances, values, 1 - alpha_bar)
    return result


def local(
    x: np.ndarray, bank: np.ndarray, alpha_bar: float, patch_size: int, boundary: str = "zeros"
) -> np.ndarray:
    """LS."""
    result = np.zeros(x.shape)
    for row in range(x.shape[1]):
        for col in range(x.shape[2]):
            query = patch(x, row, col, patch_size, boundary)
            keys = [
                np.sqrt(alpha_bar) * patch(image, row, col, patch_size, boundary) for image in bank
            ]
            distances = [((query - key) ** 2).sum() for key in keys]
            values = [image[:, row, col] for image in bank]
            result[:, row, col] = _posterior_mean(distances, values, 1 - alpha_bar)
    return result


def ideal(x: np.ndarray, bank: np.ndarray, alpha_bar: float) -> np.ndarray:
    """IS."""
    distances = [((x - np.sqrt(alpha_bar) * image) ** 2).sum() for image in bank]
    return _posterior_mean(distances, list(bank), 1 - alpha_bar)


def equivariant(x: np.ndarray, bank: np.ndarray, alpha_bar: float) -> np.ndarray:
    """ES: IS over all circular translates of the bank."""
    translates = [
        np.roll(image, (dy, dx), axis=(1, 2))
        for image in bank
        for dy in range(x.shape[1])
        for dx in range(x.shape[2])
    ]
    return ideal(x, np.array(translates), alpha_bar)


def _nearest(distances: list[float], count: int) -> list[int]:
    """The ``count`` candidates of the smallest distances, the earlier first where two are equal."""
    return sorted(range(len(distances)), key=lambda i: (distances[i], i))[:count]


def nearest_image(x: np.ndarray, bank: np.ndarray) -> np.ndarray:
    """The training image nearest to x_t itself."""
    (chosen,) = _nearest([((x - image) ** 2).sum() for image in bank], 1)
    return bank[chosen]


def nearest_ideal(x: np.ndarray, bank: np.ndarray, alpha_bar: float, neighbours: int) -> np.ndarray:
    """kNN-IS: IS over the images nearest to z = x_t / sqrt(alpha_bar)."""
    z = x / np.sqrt(alpha_bar)
    chosen = _nearest([((z - image) ** 2).sum() for image in bank], neighbours)
    return ideal(x, bank[chosen], alpha_bar)


def smoothed_ideal(
    x: np.ndarray, bank: np.ndarray, alpha_bar: float, neighbours: int, shifts: np.ndarray
) -> np.ndarray:
    """The mean of kNN-IS over queries moved by the shifts s xi_m, (M, C, H, W)."""
    moved = [nearest_ideal(x + shift, bank, alpha_bar, neighbours) for shift in shifts]
    return np.mean(moved, axis=0)


def covariance(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean (n,) and covariance (n, n), divided by N, of vectors (N, n)."""
    mean = vectors.mean(axis=0)
    return mean, np.mean([np.outer(v - mean, v - mean) for v in vectors], axis=0)


def wiener(x: np.ndarray, bank: np.ndarray, alpha_bar: float) -> np.ndarray:
    """The posterior mean under the Gaussian with the bank's mean and covariance."""
    mean, spread = covariance(bank.reshape(len(bank), -1).astype(np.float64))
    noise = (1 - alpha_bar) / alpha_bar * np.eye(len(mean))
    z = x.reshape(-1) / np.sqrt(alpha_bar)
    return (mean + spread @ np.linalg.solve(spread + noise, z - mean)).reshape(x.shape)


def patch_wiener(
    x: np.ndarray, bank: np.ndarray, alpha_bar: float, patch_size: int, boundary: str = "zeros"
) -> np.ndarray:
    """The centre of the posterior mean under the Gaussian of the patches at each position."""
    result = np.zeros(x.shape)
    half = patch_size // 2
    for row in range(x.shape[1]):
        for col in range(x.shape[2]):
            keys = np.array([patch(image, row, col, patch_size, boundary) for image in bank])
            query = patch(x, row, col, patch_size, boundary)
            result[:, row, col] = wiener(query, keys, alpha_bar)[:, half, half]
    return result


def linear_filter(bank: np.ndarray, alpha_bar: float) -> np.ndarray:
    """W of the Wiener filter, (n, n): D = W z + (I - W) mean."""
    _, spread = covariance(bank.reshape(len(bank), -1).astype(np.float64))
    noise = (1 - alpha_bar) / alpha_bar * np.eye(len(spread))
    return np.linalg.solve(spread + noise, spread).T


def filter_windows(bank: np.ndarray, alpha_bar: float, tau: float) -> list[list[int]]:
    """PCA-locality: the input coordinates that each output coordinate is estimated from."""
    filtered = linear_filter(bank, alpha_bar)
    n = len(filtered)
    ratios = np.zeros((n, n))
    for i in range(n):
        own = filtered[i, i] if filtered[i, i] >= 1e-6 else 1.0
        for m in range(n):
            ratios[i, m] = abs(filtered[i, m] / own)
    return [[i for i in range(n) if ratios[i, m] >= tau * ratios.max()] for m in range(n)]


def pca_locality(
    x: np.ndarray,
    bank: np.ndarray,
    alpha_bar: float,
    tau: float,
    chunk: int | None = None,
    compared: list[int] | None = None,
) -> np.ndarray:
    """PCA-locality: each coordinate by its window; over all images, or the mean over chunks.

    Args:
        chunk: so many images have a posterior mean of their own, and the result is their mean.
        compared: the images that get weights, by default all; windows are always of the bank.
    """
    query = x.reshape(-1)
    images = bank.reshape(len(bank), -1)
    images = images if compared is None else images[compared]
    chunk = chunk or len(images)
    result = np.zeros(len(query))
    for m, window in enumerate(filter_windows(bank, alpha_bar, tau)):
        means = []
        for first in range(0, len(images), chunk):
            part = images[first : first + chunk]
            distances = [
                sum((query[i] - np.sqrt(alpha_bar) * y[i]) ** 2 for i in window) for y in part
            ]
            means.append(_posterior_mean(distances, [y[m] for y in part], 1 - alpha_bar))
        result[m] = sum(means) / len(means)
    return result.reshape(x.shape)


def pooled(image: np.ndarray, side: int) -> np.ndarray:
    """Means (C, side, side) over the squares of a square image, whose side is a multiple of it."""
    step = image.shape[1] // side
    result = np.zeros((len(image), side, side))
    for row in range(side):
        for col in range(side):
            square = image[:, row * step : (row + 1) * step, col * step : (col + 1) * step]
            result[:, row, col] = square.mean(axis=(1, 2))
    return result


def golden_subset(
    x: np.ndarray,
    bank: np.ndarray,
    alpha_bar: float,
    drawn: list[int],
    near: int,
    kept: int,
    side: int,
) -> list[int]:
    """GoldDiff: of the drawn images the ``near`` nearest pooled, of these the ``kept`` nearest."""
    scale = np.sqrt(alpha_bar)
    small = pooled(x, side)
    coarse = [((small - scale * pooled(bank[i], side)) ** 2).sum() for i in drawn]
    candidates = [drawn[i] for i in _nearest(coarse, near)]
    fine = [((x - scale * bank[i]) ** 2).sum() for i in candidates]
    return [candidates[i] for i in _nearest(fine, kept)]


def places(side: int, square: int, boundary: str) -> list[list[int]]:
    """Where squares lie along one side: inside the image; if it is circular, wrapped as well."""
    if boundary == "circular":
        return [[(first + i) % side for i in range(square)] for first in range(side)]
    return [list(range(first, first + square)) for first in range(side - square + 1)]


def composite(
    x: np.ndarray,
    bank: np.ndarray,
    alpha_bar: float,
    square: int,
    boundary: str = "zeros",
    equivariant: bool = False,
) -> np.ndarray:
    """The mean, over all squares that cover a pixel, of the posterior means of whole squares.

    Candidates for a square: what the training images hold there; if equivariant, all their squares.
    """
    squares = [
        np.ix_(range(x.shape[0]), rows, cols)
        for rows in places(x.shape[1], square, boundary)
        for cols in places(x.shape[2], square, boundary)
    ]
    total, covered = np.zeros(x.shape), np.zeros(x.shape)
    for at in squares:
        candidates = [image[of] for image in bank for of in (squares if equivariant else [at])]
        distances = [((x[at] - np.sqrt(alpha_bar) * y) ** 2).sum() for y in candidates]
        total[at] += _posterior_mean(distances, candidates, 1 - alpha_bar)
        covered[at] += 1
    return total / covered


def nearest_affine(
    x: np.ndarray, noisy: np.ndarray, predicted: np.ndarray, linear: np.ndarray, ridge: float
) -> np.ndarray:
    """What the affine map nearest to predictions adds to given linear ones, for one query.

    Value by value the least of mean |predicted - linear - b - B x_t|^2 + ridge |B|^2, the ridge as
    further equations without b.

    Args:
        x: (C, H, W).
        noisy, predicted, linear: x_t and both predictions, (M, C, H, W).
        ridge: in squared units of x_t.
    """
    result = np.zeros(x.size)
    for value in range(x.size):
        rows, wanted = [], []
        for x_t, ours, theirs in zip(noisy, predicted, linear, strict=True):
            rows.append([*x_t.flat, 1.0])
            wanted.append(ours.flat[value] - theirs.flat[value])
        for other in range(x.size):
            rows.append([float(other == i) * np.sqrt(ridge * len(noisy)) for i in range(x.size)])
            rows[-1].append(0.0)
            wanted.append(0.0)
        solution, *_ = np.linalg.lstsq(np.array(rows), np.array(wanted), rcond=None)
        result[value] = np.dot(solution[:-1], x.flat) + solution[-1]
    return result.reshape(x.shape)
