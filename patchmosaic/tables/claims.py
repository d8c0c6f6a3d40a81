"""Disputed claims of the literature, each asked of our networks, seed by seed.

A claim is broken into tests: paired differences over noise seeds whose sign, or whose smallness,
the claim states. What a test says follows from its interval and its p, corrected for the number of
tests of its claim (:func:`judged`); what becomes of the claim follows from these (:func:`decided`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pandas as pd

from patchmosaic.analysis.intervals import (
    clear_sign,
    holm,
    median_intervals,
    paired_difference,
    with_undefined_as_zero,
)
from patchmosaic.machines.registry import label

FOR, AGAINST, OPEN = "for", "against", "not separated"
"""What a test says of its claim."""

HOLDS, FAILS, DEPENDS, UNDECIDED, UNTESTED = (
    "holds",
    "does not hold",
    "depends on the network or the measure",
    "undecided",
    "not tested",
)
VERDICTS = (HOLDS, FAILS, DEPENDS, UNDECIDED, UNTESTED)
"""What becomes of a claim."""

ABOVE, LEVEL = "above", "level"
"""What a claim says of a difference: that it is positive, or that it is smaller than the margin."""


@dataclass(frozen=True)
class Claim:
    """A claim: in words, whose it is, what stands against it, and how it is tested."""

    text: str
    by: str
    against: str
    test: str


_KAMB = "Kamb and Ganguli"
CLAIMS = {
    "architecture": Claim(
        "locality comes from the architecture",
        _KAMB,
        "from the covariance of pixels (Lukoianov et al.); transformers have it (Niedoba et al.)",
        "networks trained on altered images: cosine of the gradient of their x0 with the Wiener "
        "filter of plain images - with that of their own",
    ),
    "simple": Claim(
        "ELS predicts networks better than simple predictors",
        f"{_KAMB}, beside IS alone",
        "Wiener filters above it, beside networks with attention (Shang et al.)",
        "ELS - Wiener, by r and by R²",
    ),
    "pca": Claim(
        "PCA-locality is the better model",
        "Lukoianov et al., Shang et al.",
        "no better than Wiener on held-out images",
        "PCA-locality, with either softmax, - Wiener, by r and by R²",
    ),
    "subset": Claim(
        "GoldDiff gains by its choice of images",
        "Shang et al.",
        "perhaps by the softmax and tau",
        "GoldDiff - the same over all images, by r and by R²",
    ),
    "trained": Claim(
        "the machine explains trained networks",
        _KAMB,
        "best early in the training (Hunt et al.)",
        "ELS with scales calibrated at each moment: r after the training - r at an earlier moment",
    ),
    "equivariance": Claim(
        "equivariance matters",
        _KAMB,
        "aligned images want their position",
        "ELS - LS, with the scales calibrated to ELS and with scales of LS's own",
    ),
    "centre": Claim(
        "a patch speaks for its centre alone",
        _KAMB,
        "composites of overlapping patches (Niedoba et al.)",
        "LS - composite at the same scales, by r and by R²",
    ),
    "attention": Claim(
        "attention adds global consistency",
        f"{_KAMB} and others",
        "networks with attention are local, too (Niedoba et al.)",
        "a UNet and the same with attention: r of ELS without - with; share of the gradient of x0 "
        "that is far away, with - without",
    ),
    "middle": Claim(
        "creativity arises at middle noise",
        "Niedoba et al., Bertrand et al.",
        "",
        "IS up to a time, then the network, and the reverse: what the middle third of the times "
        "adds to r with the network's image - what the first and the last third add",
    ),
    "noised": Claim(
        "agreement on noised training images is agreement in sampling",
        "implicit in much work",
        "networks fit where they were trained, not where sampling goes (selective underfitting)",
        "r of single predictions on noised training images - on the network's own x_t: is the "
        "difference within the margin?",
    ),
    "final": Claim(
        "the measure is r of final images",
        _KAMB,
        "errors compound on the way; r sees little of details",
        "r of single predictions at the network's x_t - along the machine's own way; r - r of "
        "high-passed images: are the differences within the margin?",
    ),
}
"""In the order of docs/claims.md."""

MEASURES = {"pearson_r": "r", "r2_determination": "R²"}
RIVALS = (
    ("simple", "els", "wiener"),
    ("pca", "pca", "wiener"),
    ("pca", "pca_512", "wiener"),
    ("subset", "golddiff", "golddiff_all"),
    ("centre", "ls", "composite"),
)
"""Claims that are about the order of two machines, in either measure."""

OWN_SCALES = "with own scales"

COLUMNS = [
    *("claim", "test", "network", "asks", "source", "seeds", "difference", "low", "high"),
    *("positive", "negative", "ties", "p_value", "p_holm", "says"),
]


def compared(
    claim: str,
    test: str,
    network: str,
    source: str,
    a: pd.Series,
    b: pd.Series,
    asks: str = ABOVE,
) -> dict[str, object]:
    """A test: the median of a - b over the seeds that both have, with its interval and sign test.

    Args:
        claim: a key of CLAIMS. test: a - b in words. network: of which. source: the table.
        a, b: values by seed; undefined ones count as 0.
        asks: what the claim says of a - b, ABOVE or LEVEL.
    """
    seeds = a.index.intersection(b.index)
    a, b = (with_undefined_as_zero(values.loc[seeds].astype(float)) for values in (a, b))
    found = paired_difference(a, b)._asdict()
    row = {"claim": claim, "test": test, "network": network, "asks": asks, "source": source}
    return row | {"seeds": len(seeds), "difference": found.pop("estimate")} | found


def of_agreement(agreement: pd.DataFrame, source: str = "agreement") -> list[dict[str, object]]:
    """Tests of final images alone.

    Args:
        agreement: a row a seed: network, network_steps, machine, seed, MEASURES, and high_pass_r
            where it is known.
    """
    rows = []
    for (network, steps), run in agreement.groupby(["network", "network_steps"], sort=False):
        where = f"{network}, {steps} steps"
        by_machine = {name: group.set_index("seed") for name, group in run.groupby("machine")}
        pairs = [
            (claim, *pair, measure)
            for claim, *pair in RIVALS
            for measure in MEASURES
            if set(pair) <= set(by_machine)
        ]
        if {"els", "ls"} <= set(by_machine):
            pairs.append(("equivariance", "els", "ls", "pearson_r"))
        for claim, a, b, measure in pairs:
            words = f"{MEASURES[measure]}: {label(a)} - {label(b)}"
            values = (by_machine[name][measure] for name in (a, b))
            rows.append(compared(claim, words, where, source, *values))
        if "els" in by_machine and "high_pass_r" in run:
            els = by_machine["els"]
            words = "ELS: r - r of high-passed images"
            pair = els["pearson_r"], els["high_pass_r"]
            rows.append(compared("final", words, where, source, *pair, LEVEL))
    return rows


def of_own_scales(scales: pd.DataFrame, agreement: pd.DataFrame) -> list[dict[str, object]]:
    """ELS beside LS with scales that were calibrated to LS.

    Args:
        scales: network, network_steps, seed, pearson_r of LS.
        agreement: as of :func:`of_agreement`.
    """
    rows, keys = [], ["network", "network_steps"]
    els = agreement[agreement["machine"] == "els"]
    els = els.set_index([*keys, "seed"])["pearson_r"].sort_index()
    for (network, steps), run in scales.groupby(keys, sort=False):
        words, where = f"r: ELS - LS {OWN_SCALES}", f"{network}, {steps} steps"
        pair = els.loc[(network, steps)], run.set_index("seed")["pearson_r"]
        rows.append(compared("equivariance", words, where, "claims/scales", *pair))
    return rows


def of_gradients(
    gradients: pd.DataFrame, pairs: Iterable[tuple[str, str]], agreement: pd.DataFrame
) -> list[dict[str, object]]:
    """Tests of where networks look, averaged over the times of each seed.

    Args:
        gradients: network, altered ("" where images are plain), seed, t, own and plain (cosines of
            the gradient with the Wiener filter of its own and of plain images), far (share of the
            gradient that is far away).
        pairs: names of a network with attention and of the same without.
        agreement: as of :func:`of_agreement`.
    """
    rows, source = [], "claims/gradients"
    means = gradients.groupby(["network", "seed"])[["own", "plain", "far"]].mean()
    altered = gradients.drop_duplicates("network").set_index("network")["altered"].fillna("")
    for network in altered[altered != ""].index:
        own, plain = (means.loc[network, kind] for kind in ("own", "plain"))
        words = "cosine of the gradient: with the filter of plain images - of its own"
        rows.append(compared("architecture", words, network, source, plain, own))
    els = agreement[agreement["machine"] == "els"]
    els = els.set_index(["network", "network_steps", "seed"]).sort_index()
    for attending, without in pairs:
        words = "share of the gradient far away: with attention - without"
        far = (means.loc[name, "far"] for name in (attending, without))
        rows.append(compared("attention", words, attending, source, *far))
        for steps in els.loc[attending].index.unique("network_steps"):
            words = "r of ELS: beside the network without attention - with"
            r = (els.loc[(name, steps), "pearson_r"] for name in (without, attending))
            where = f"{attending}, {steps} steps"
            rows.append(compared("attention", words, where, "agreement", *r))
    return rows


def gradients_table(gradients: pd.DataFrame) -> pd.DataFrame:
    """Where networks look, at each time: medians over seeds with bootstrap 95% intervals.

    Args:
        gradients: as of :func:`of_gradients`.

    Returns:
        network, altered, t, seeds, and own, plain and far, each with _low and _high.
    """
    keys = ["network", "altered", "t"]
    defined = gradients.assign(altered=gradients["altered"].fillna(""))
    found = defined.groupby(keys, sort=False).size().rename("seeds").to_frame()
    for name in ("own", "plain", "far"):
        intervals = median_intervals(defined, keys, name)
        columns = {"estimate": name, "low": f"{name}_low", "high": f"{name}_high"}
        found = found.join(intervals.rename(columns=columns))
    return found.reset_index()


def of_training(training: pd.DataFrame) -> list[dict[str, object]]:
    """The end of a training beside its earlier moments.

    Args:
        training: network, images_seen, seed, pearson_r of ELS with scales of that moment.
    """
    rows = []
    for network, run in training.groupby("network", sort=False):
        moments = {seen: group.set_index("seed") for seen, group in run.groupby("images_seen")}
        last = max(moments)
        for seen in sorted(set(moments) - {last}):
            words = f"r of ELS: after {last:,} images - after {seen:,}"
            pair = (moments[moment]["pearson_r"] for moment in (last, seen))
            rows.append(compared("trained", words, network, "claims/training", *pair))
    return rows


def of_steps(steps: pd.DataFrame) -> list[dict[str, object]]:
    """Single predictions beside each other, averaged over the times of each seed.

    Args:
        steps: network, machine, states ("noised": noised training images; "network": the network's
            own x_t, both predictions of the same x_t; "machine": each along its own way), t, seed,
            pearson_r.
    """
    rows = []
    defined = steps.assign(pearson_r=with_undefined_as_zero(steps["pearson_r"]))
    keys = ["network", "machine", "states", "seed"]
    means = defined.groupby(keys)["pearson_r"].mean()
    for network, machine in dict.fromkeys(means.index.droplevel([2, 3])):
        of = means.loc[(network, machine)]
        for claim, a, b, words in (
            ("noised", "noised", "network", "on noised training images - on the network's x_t"),
            ("final", "network", "machine", "at the network's x_t - along its own way"),
        ):
            if claim == "final" and machine != "els":
                continue
            test = f"{label(machine)}, r of predictions: {words}"
            rows.append(compared(claim, test, network, "claims/steps", of[a], of[b], LEVEL))
    return rows


def of_hybrids(hybrids: pd.DataFrame) -> list[dict[str, object]]:
    """What each part of the way adds to the likeness with the network's image.

    Args:
        hybrids: network, first ("machine" or "network", which goes first), switch (the first time
            that is the other's: 1 where all are, 0 where none is), seed, pearson_r with the
            network's image.
    """
    rows = []
    for (network, first), run in hybrids.groupby(["network", "first"], sort=False):
        r = run.assign(pearson_r=with_undefined_as_zero(run["pearson_r"])).pivot(
            index="seed", columns="switch", values="pearson_r"
        )
        times = sorted(r, reverse=True)  # 1, two between, 0
        sign = 1 if first == "machine" else -1  # the more of IS, or the more of the network
        early, middle, late = (sign * (r[a] - r[b]) for a, b in pairwise(times))
        order = "IS, then network" if first == "machine" else "network, then IS"
        for other, part in (("first", early), ("last", late)):
            words = f"{order}: r by the middle third - by the {other}"
            rows.append(compared("middle", words, network, "claims/hybrids", middle, part))
    return rows


def judged(rows: Iterable[Mapping[str, object]], margin: float) -> pd.DataFrame:
    """The tests with what each says of its claim: COLUMNS.

    p_holm is the p of the exact sign test corrected by Holm's method for the tests of its claim,
    each claim being a question of its own. A test that asks ABOVE says FOR or AGAINST as
    :func:`clear_sign` decides with that p; one that asks LEVEL says FOR where the 95% interval lies
    within the margin, AGAINST where it lies beyond and p_holm < .05. Else it is OPEN.

    Args:
        rows: as of :func:`compared`.
        margin: in units of r.
    """
    table = pd.DataFrame(rows, columns=COLUMNS[:-2])
    table["p_holm"] = table.groupby("claim")["p_value"].transform(holm)
    table["says"] = [_says(row, margin) for row in table.to_dict("records")]
    order = {claim: i for i, claim in enumerate(CLAIMS)}
    return table.sort_values("claim", key=lambda c: c.map(order), kind="stable", ignore_index=True)


def _says(row: Mapping, margin: float) -> str:
    low, high, p = row["low"], row["high"], row["p_holm"]
    if row["asks"] == ABOVE:
        return {1: FOR, -1: AGAINST, 0: OPEN}[clear_sign(low, high, p)]
    if -margin < low and high < margin:
        return FOR
    return AGAINST if (low > margin or high < -margin) and p < 0.05 else OPEN


def decided(tests: pd.DataFrame) -> pd.DataFrame:
    """What becomes of each claim: a row a claim, those without a test too.

    It HOLDS where all of its tests say FOR, and FAILS where all say AGAINST; where some say the one
    and some the other it DEPENDS; with nothing on the other side, but tests that are OPEN, it is
    UNDECIDED.

    Args:
        tests: as :func:`judged` makes it.

    Returns:
        claim, text, by, disputed, test, verdict, tests, FOR, AGAINST and OPEN (their numbers),
        least, least_low, least_high and greatest with the same (the tests of the least and of the
        greatest difference), seeds (the fewest of a test), source.
    """
    rows = []
    for name, claim in CLAIMS.items():
        own = tests[tests["claim"] == name]
        counts = {says: int((own["says"] == says).sum()) for says in (FOR, AGAINST, OPEN)}
        row: dict[str, object] = {
            "claim": name,
            "text": claim.text,
            "by": claim.by,
            "disputed": claim.against,
        }
        row |= {"test": claim.test, "verdict": _verdict(counts), "tests": len(own), **counts}
        for which, find in (("least", np.argmin), ("greatest", np.argmax)):
            ends = ("difference", "low", "high")
            found = own.iloc[int(find(own["difference"]))][[*ends]] if len(own) else [np.nan] * 3
            row |= dict(zip((which, f"{which}_low", f"{which}_high"), found, strict=True))
        row["seeds"] = own["seeds"].min()
        rows.append(row | {"source": ", ".join(dict.fromkeys(own["source"]))})
    return pd.DataFrame(rows).astype({"seeds": "Int64"})


def _verdict(counts: Mapping[str, int]) -> str:
    if not any(counts.values()):
        return UNTESTED
    if counts[FOR] and counts[AGAINST]:
        return DEPENDS
    if counts[OPEN]:
        return UNDECIDED
    return HOLDS if counts[FOR] else FAILS
