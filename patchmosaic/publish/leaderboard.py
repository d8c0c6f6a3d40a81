"""The page of the leaderboard: tables that a click or a key sorts, in one file."""

from __future__ import annotations

from collections.abc import Collection

import pandas as pd

from patchmosaic.publish.pages import links, template
from patchmosaic.tables.leaderboard import TITLES, blocks


def render_leaderboard(table: pd.DataFrame, experiment: str, pages: Collection[str] = ()) -> str:
    """The page as HTML.

    Args:
        table: as :func:`patchmosaic.tables.leaderboard.leaderboard` makes it.
        experiment: its name.
        pages: of the results folder, keys of :data:`patchmosaic.publish.names.PAGES`.
    """
    return template("leaderboard.html.j2").render(
        experiment=experiment,
        links=links("leaderboard", pages),
        leaderboard=blocks(table),
        titles=TITLES,
    )
