"""Patch origins by loops from the definitions."""

import numpy as np

from patchmosaic.machines import brute_force as reference


def brute_force(x, bank, alpha_bar, patch_size, boundary, candidates, top):
    """Per pixel: image, row, col, weight of the heaviest candidates (4, top), and the entropy."""
    for row in range(x.shape[1]):
        for col in range(x.shape[2]):
            query = reference.patch(x, row, col, patch_size, boundary)
            positions = reference.allowed_positions(
                row, col, x.shape[1:], patch_size, boundary, candidates
            )
            allowed = [(i, r, c) for i in range(len(bank)) for r, c in positions]
            keys = [reference.patch(bank[i], r, c, patch_size, boundary) for i, r, c in allowed]
            squares = np.array([((query - np.sqrt(alpha_bar) * key) ** 2).sum() for key in keys])
            weights = np.exp(-(squares - squares.min()) / (2 * (1 - alpha_bar)))
            weights /= weights.sum()
            seen = weights[weights > 0]
            heaviest = np.argsort(-weights)[:top]
            named = np.zeros((4, top))
            named[:, : len(heaviest)] = [
                *np.array(allowed)[heaviest].T,
                weights[heaviest],
            ]
            yield named, -(seen * np.log(seen)).sum()
