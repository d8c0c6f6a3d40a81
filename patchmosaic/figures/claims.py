"""Disputed claims: the tests of each, and what they say."""

from __future__ import annotations

import textwrap

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from patchmosaic.figures.style import BLUE, PAGE_INCHES, VERMILLION, source_key, style
from patchmosaic.tables.claims import AGAINST, FOR, LEVEL, OPEN
from patchmosaic.tables.protocol import load_protocol

LOOKS = {FOR: (BLUE, "o"), AGAINST: (VERMILLION, "v"), OPEN: ("0.5", "s")}
TEST_INCHES, LEAST_INCHES = 0.085, 0.36  # of a test, and of a claim at least
WORDS = 34  # letters in a line of a claim


@style()
def claims_chart(claims: pd.DataFrame, tests: pd.DataFrame, margin: float) -> Figure:
    """Every test of every claim: its difference with its interval, a claim below the other.

    Args:
        claims, tests: as :func:`patchmosaic.tables.claims.decided` and
            :func:`patchmosaic.tables.claims.judged` make them.
        margin: within which differences are small; shaded for claims that say so of theirs.
    """
    tested = claims[claims["tests"] > 0]
    heights = [max(LEAST_INCHES, TEST_INCHES * (n + 1)) for n in tested["tests"]]
    figure = Figure((PAGE_INCHES, 0.7 + sum(heights)), layout="constrained")
    axes = figure.subplots()
    middles, top = [], 0.0
    for claim, height in zip(tested["claim"], heights, strict=True):
        own = tests[tests["claim"] == claim]
        at = top + height * (np.arange(len(own)) + 1) / (len(own) + 1)
        if (own["asks"] == LEVEL).all():
            axes.fill_between([-margin, margin], top, top + height, color="0.93", linewidth=0)
        for y, row in zip(at, own.to_dict("records"), strict=True):
            colour, marker = LOOKS[row["says"]]
            middle = row["difference"]
            axes.errorbar(
                middle,
                y,
                xerr=[[middle - row["low"]], [row["high"] - middle]],
                color=colour,
                fmt=marker,
                markersize=2.5,
                elinewidth=0.7,
            )
        middles.append(top + height / 2)
        top += height
        axes.axhline(top, color="0.85", linewidth=0.5)
    labels = [
        "\n".join([*textwrap.wrap(row.text, WORDS), row.verdict]) for row in tested.itertuples()
    ]
    axes.axvline(0, color="0.3", linewidth=0.6)
    axes.set(ylim=(top, 0), yticks=middles, yticklabels=labels)
    axes.tick_params(axis="y", length=0, labelsize=6)
    axes.set_xlabel(
        f"median difference with 95% interval, n = {tested['seeds'].min()} seeds; shaded: within "
        "the margin"
    )
    words = {FOR: "for the claim", AGAINST: "against it", OPEN: OPEN}
    keys = [source_key(words[says], look) for says, look in LOOKS.items()]
    figure.legend(handles=keys, loc="outside upper center", ncols=len(keys))
    return figure


def draw(*, claims: str, tests: str, protocol: str) -> Figure:
    """The figure from the files of both tables, and of the margin."""
    return claims_chart(pd.read_csv(claims), pd.read_csv(tests), load_protocol(protocol).margin)
