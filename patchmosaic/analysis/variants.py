"""Controls and ablations: agreement of ELS and network with one thing of the chain changed."""

from __future__ import annotations

import numpy as np
import pandas as pd

from patchmosaic.analysis.agreement import pearson_r
from patchmosaic.analysis.intervals import (
    bootstrap_median,
    paired_difference,
    with_undefined_as_zero,
)
from patchmosaic.sampling.samples import Samples, require_same_noise


def variant_agreement(
    machine: Samples, network: Samples, clamped: bool = False, shuffled: bool | str = False
) -> pd.DataFrame:
    """Pearson's r of two sets of samples, a row a seed: seed, pearson_r.

    Args:
        machine, network: samples of the same seeds.
        clamped: compare images clamped to [-1, 1].
        shuffled: compare each of the machine's images with the network's of the next seed (the last
            with the first), which agree only in what all images have in common; "class": of the
            next seed of its class, without classes of a single seed.
    """
    require_same_noise({"machine": machine, "network": network})
    images = [each.clip(-1, 1) if clamped else each for each in (machine.images, network.images)]
    every = np.arange(len(machine.seeds))
    partner = every
    if shuffled == "class":
        assert network.labels is not None
        partner = next_of_class(network.labels)
    elif shuffled:
        partner = np.roll(every, -1)
    kept = every if not shuffled else every[partner != every]
    if not len(kept):
        return pd.DataFrame({"seed": machine.seeds[kept], "pearson_r": np.empty(0)})
    r = pearson_r(images[0][kept], images[1][partner[kept]])
    return pd.DataFrame({"seed": machine.seeds[kept], "pearson_r": r})


def next_of_class(labels: np.ndarray) -> np.ndarray:
    """For each of labels (B,) the place of the next of its class, after the last the first."""
    places = np.arange(len(labels))
    for label in np.unique(labels):
        of_class = np.flatnonzero(labels == label)
        places[of_class] = np.roll(of_class, -1)
    return places


def variants_table(agreement: pd.DataFrame, unchanged: str) -> pd.DataFrame:
    """Median r of each variant and median paired difference from the unchanged chain.

    Args:
        agreement: network, network_steps, variant, kind, seed, pearson_r.
        unchanged: the name of the chain as it is, among the variants.

    Returns:
        One row a network, number of steps and variant, in the given order: network, network_steps,
        variant, kind, seeds, pearson_r, low, high (95% bootstrap), difference, difference_low,
        difference_high, p_value (exact sign test); no difference for the unchanged chain itself and
        for yardsticks, which are not of ELS. Variants without any pair of seeds have no row.
    """
    rows = []
    for (network, steps), run in agreement.groupby(["network", "network_steps"], sort=False):
        by_variant = {
            name: with_undefined_as_zero(group.set_index("seed")["pearson_r"])
            for name, group in run.groupby("variant", sort=False)
        }
        usual = by_variant[unchanged]
        kinds = run.drop_duplicates("variant").set_index("variant")["kind"]
        for name, r in by_variant.items():
            row = {"network": network, "network_steps": steps, "variant": name}
            row |= {"kind": kinds[name], "seeds": len(r)}
            row |= dict(zip(("pearson_r", "low", "high"), bootstrap_median(r), strict=True))
            if name != unchanged and kinds[name] != "yardstick":
                paired = paired_difference(r, usual.loc[r.index])
                row |= {"difference": paired.estimate, "difference_low": paired.low}
                row |= {"difference_high": paired.high, "p_value": paired.p_value}
            rows.append(row)
    return pd.DataFrame(rows)
