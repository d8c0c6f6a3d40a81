"""The page of the paper's tables with our numbers beside theirs."""

from __future__ import annotations

from collections.abc import Collection

import pandas as pd

from patchmosaic.publish.pages import links, template
from patchmosaic.tables.paper_tables import FIRST, GROUPS, blocks


def render_paper(table: pd.DataFrame, experiment: str, pages: Collection[str] = ()) -> str:
    """The page as HTML.

    Args:
        table: as :func:`patchmosaic.tables.paper_tables.beside_paper` makes it.
        experiment: its name.
        pages: of the results folder, keys of :data:`patchmosaic.publish.names.PAGES`.
    """
    return template("paper.html.j2").render(
        experiment=experiment,
        links=links("paper", pages),
        first=FIRST,
        groups=GROUPS,
        blocks=blocks(table),
    )
