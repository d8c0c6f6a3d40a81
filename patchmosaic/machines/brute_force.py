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
