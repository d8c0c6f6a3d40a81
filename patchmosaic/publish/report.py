"""The report: one HTML page that leads from the verdict to where each number comes from.

After the verdict come leaderboard and pairs, then all tables and figures. It needs no other file:
styles and figures are inside, and nothing is asked of the network.
"""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields

import pandas as pd

from patchmosaic.machines.registry import label
from patchmosaic.publish.names import NAMES
from patchmosaic.publish.pages import links, opening, template
from patchmosaic.tables import equivalence as equivalences
from patchmosaic.tables.headline import ABOVE, BELOW, describe_network, verdicts
from patchmosaic.tables.leaderboard import TITLES, blocks
from patchmosaic.tables.orderings import tally
from patchmosaic.tables.text import format_interval, format_number

FIRST = (
    *("leaderboard", "pairs", "verdicts", "headline", "tails"),
    *("equivalence", "orderings", "paired"),
)
LAST = ("committed", "provenance", "tables")
"""Sections of the report before and after those of figures."""

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class ReportFigure:
    """A figure of the report.

    title: short. caption: what it shows, how it was made, and n. png: the bytes of a PNG file.
    file: where the figure is on disk, relative to the report. category: figures of one category
    stand together, in the order in which categories first occur, those of the headline and pairs
    of images before all others.
    """

    title: str
    caption: str
    png: bytes
    file: str
    category: str = "Figures"

    def __post_init__(self) -> None:
        if not self.png.startswith(PNG_SIGNATURE):
            raise ValueError(f"figure {self.title!r} is not a PNG file")

    @property
    def image(self) -> str:
        """The PNG file as text in base 64."""
        return base64.b64encode(self.png).decode()

    @property
    def width(self) -> int:
        """Width on the page in CSS pixels: half of the file's, which has 300 dots an inch."""
        return int.from_bytes(self.png[16:20], "big") // 2


@dataclass(frozen=True)
class Provenance:
    """Where the numbers come from: a table each, with at least these columns.

    datasets: dataset, images (in the bank), sha256 (of the prepared images), source, licence.
    checkpoints: network, sha256 (of the weights), images_seen, source (trained, packaged or
    external). scales: network, machines (all, or the one that they are for), trajectories, source.
    machines: machine, network, engine, audited_error (of the posterior mean, in words). seeds:
    first, last, seeds, standing (by the protocol, in words). versions: package, version.
    """

    datasets: pd.DataFrame
    checkpoints: pd.DataFrame
    scales: pd.DataFrame
    machines: pd.DataFrame
    seeds: pd.DataFrame
    versions: pd.DataFrame

    def __post_init__(self) -> None:
        for name, columns in _PROVENANCE_COLUMNS.items():
            missing = [c for c in columns if c not in getattr(self, name).columns]
            if missing:
                raise ValueError(f"provenance of {name} lacks the columns {', '.join(missing)}")


_PROVENANCE_COLUMNS = {
    "datasets": ("dataset", "images", "sha256", "source", "licence"),
    "checkpoints": ("network", "sha256", "images_seen", "source"),
    "scales": ("network", "machines", "trajectories", "source"),
    "machines": ("machine", "network", "engine", "audited_error"),
    "seeds": ("first", "last", "seeds", "standing"),
    "versions": ("package", "version"),
}


def render_report(
    *,
    experiment: str,
    headline: pd.DataFrame,
    paired: pd.DataFrame,
    orderings: pd.DataFrame,
    equivalence: pd.DataFrame,
    tails: pd.DataFrame,
    comparison: pd.DataFrame,
    figures: Sequence[ReportFigure],
    provenance: Provenance,
    tables: Mapping[str, str],
    paper_source: str,
    leaderboard: pd.DataFrame | None = None,
    pages: Collection[str] = (),
    protocol_commit: str = "",
) -> str:
    """The report as HTML.

    Args:
        experiment: its name.
        headline: as :func:`patchmosaic.tables.headline.headline` makes it.
        paired: as :func:`patchmosaic.analysis.agreement.paired_differences` makes it.
        orderings: as :func:`patchmosaic.tables.orderings.orderings` makes it.
        equivalence: as :func:`patchmosaic.tables.equivalence.equivalence` makes it.
        tails: as :func:`patchmosaic.tables.tails.tails` makes it.
        comparison: with the committed numbers, from :func:`patchmosaic.tables.committed.compare`.
        figures: in the order in which they appear.
        provenance: where the numbers come from.
        tables: for each csv, its path relative to the report and what it holds.
        paper_source: where the paper's numbers stand.
        leaderboard: as :func:`patchmosaic.tables.leaderboard.leaderboard` makes it.
        pages: of the results folder, keys of :data:`patchmosaic.publish.names.PAGES`.
        protocol_commit: of numbers/protocol.yaml, with its date; "" where it is not known.
    """
    categories: dict[str, list[ReportFigure]] = {}
    for figure in figures:
        categories.setdefault(figure.category, []).append(figure)
    drawn = {key: categories.pop(NAMES[key], []) for key in ("headline", "pairs")}
    here = {
        "leaderboard": leaderboard is not None,
        "pairs": bool(drawn["pairs"]),
        "equivalence": not equivalence.empty,
        "orderings": not orderings.empty,
        "paired": not paired.empty,
    }
    before, after = (
        {key: NAMES[key] for key in keys if here.get(key, True)} for keys in (FIRST, LAST)
    )
    of_figures = {f"category-{i}": name for i, name in enumerate(categories, start=1)}
    return template("report.html.j2").render(
        experiment=experiment,
        opening=opening(headline, paired),
        links=links("report", pages),
        contents=before | of_figures | after,
        looks={ABOVE: "good", BELOW: "bad"},
        verdicts=verdicts(headline, paired).to_dict("records"),
        headline=headline.to_dict("records"),
        paired=paired.to_dict("records"),
        orderings=tally(orderings).to_dict("records"),
        equivalence=equivalence.to_dict("records"),
        tails=tails.to_dict("records"),
        low=tails["low"].iloc[0],
        equivalent=equivalences.tally(equivalence).to_dict("records"),
        undefined=int(headline["undefined"].sum()),
        comparison=comparison.to_dict("records"),
        nothing_committed=comparison["committed"].isna().all(),
        drawn=drawn,
        categories=categories,
        provenance={
            field.name: getattr(provenance, field.name).astype(object)
            for field in fields(provenance)
        },
        tables=tables,
        paper_source=paper_source,
        protocol_commit=protocol_commit,
        leaderboard=[] if leaderboard is None else blocks(leaderboard),
        titles=TITLES,
        describe=describe_network,
        label=label,
        interval=format_interval,
        number=format_number,
    )
