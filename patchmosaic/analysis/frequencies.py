"""Agreement of two images band by band of spatial frequency."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray


def band_edges(side: int) -> NDArray[np.float64]:
    """Octaves of spatial frequency in cycles an image: 0.5, 1.5, 3, 6, ... up to side / 2."""
    octaves = 1.5 * 2.0 ** np.arange(0, np.ceil(np.log2(side / 3)))
    return np.array([0.5, *octaves, side / 2])


def band_agreement(machine: ArrayLike, network: ArrayLike) -> pd.DataFrame:
    """Correlation of two sets of images within each band of spatial frequency.

    Within a band it is Pearson's r of the band-passed images: the real inner product of their
    Fourier coefficients over the product of their lengths. All channels count together. Left
    out are each channel's mean (frequency 0) and the diagonals' frequencies beyond side / 2.

    Args:
        machine, network: (n, C, H, W), square.

    Returns:
        One row an image and band: image (position), low, high (cycles an image; low < f <= high),
        r (nan where an image has nothing in the band), power (share of the network's variance).
    """
    a, b = (np.fft.fft2(_without_constants(x)) for x in (machine, network))
    if a.shape != b.shape or a.ndim != 4 or a.shape[2] != a.shape[3]:
        raise ValueError(f"images have shapes {a.shape} and {b.shape}: expected one, square")
    side = a.shape[-1]
    cycles = np.fft.fftfreq(side, 1 / side)
    frequency = np.hypot(cycles[:, None], cycles)  # (H, W)
    edges = band_edges(side)
    variance = (np.abs(b[..., frequency > 0]) ** 2).sum(axis=(1, 2))
    rows = []
    for low, high in pairwise(edges):
        x, y = (c[..., (frequency > low) & (frequency <= high)].reshape(len(c), -1) for c in (a, b))
        r = _correlation(x, y)
        power = np.divide(
            (np.abs(y) ** 2).sum(axis=1), variance, out=np.zeros(len(x)), where=variance > 0
        )
        rows.append(
            pd.DataFrame({"image": range(len(x)), "low": low, "high": high, "r": r, "power": power})
        )
    return pd.concat(rows, ignore_index=True)


def high_pass_r(machine: ArrayLike, network: ArrayLike, above: float = 3.0) -> NDArray[np.float64]:
    """Pearson's r of images without their low frequencies: details, which r itself hardly sees.

    Args:
        machine, network: (n, C, H, W).
        above: cycles an image; frequencies up to it, and each channel's mean, are taken out.

    Returns:
        (n,), all channels together; nan where nothing of an image is left.
    """
    a, b = (np.fft.fft2(_without_constants(x)) for x in (machine, network))
    if a.shape != b.shape or a.ndim != 4:
        raise ValueError(f"images have shapes {a.shape} and {b.shape}: expected one (n, C, H, W)")
    cycles = (np.fft.fftfreq(side, 1 / side) for side in a.shape[-2:])
    kept = np.hypot(*np.meshgrid(*cycles, indexing="ij")) > max(above, 0.0)
    x, y = (c[..., kept].reshape(len(c), -1) for c in (a, b))
    return _correlation(x, y)


def _correlation(x: NDArray, y: NDArray) -> NDArray[np.float64]:
    """Real inner product of complex vectors (n, k) over the product of their lengths, or nan."""
    lengths = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
    inner = (x * y.conj()).real.sum(axis=1)
    return np.divide(inner, lengths, out=np.full(len(x), np.nan), where=lengths > 0)


def _without_constants(images: ArrayLike) -> NDArray[np.float64]:
    """The images, with zeros for channels of a single value, which rounding gives frequencies."""
    x = np.asarray(images, np.float64)
    return np.where(np.ptp(x, axis=(-2, -1), keepdims=True) == 0, 0.0, x)
