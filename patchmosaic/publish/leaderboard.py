"""The page of the leaderboard: tables that a click or a key sorts, in one file."""

from __future__ import annotations

import pandas as pd

from patchmosaic.publish.pages import template
from patchmosaic.tables.leaderboard import TITLES, blocks


def render_leaderboard(table: pd.DataFrame, experiment: str) -> str:
    """The page as HTML, of a table of :func:`patchmosaic.tables.leaderboard.leaderboard`."""
    page = template("leaderboard.html.j2")
    return page.render(experiment=experiment, leaderboard=blocks(table), titles=TITLES)
