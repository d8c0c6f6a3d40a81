"""What pages and article have in common: templates, opening statement, links and colours."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import jinja2
import pandas as pd

from patchmosaic.publish.names import NAMES, PAGES
from patchmosaic.tables.headline import answer, count_verdicts, summary, verdicts

QUESTION = "Do the ELS machine and trained diffusion networks draw the same pixels?"

CLAIM = (
    "Kamb and Ganguli claim that a machine without trained weights, the equivariant local score "
    "(ELS) machine, predicts pixel by pixel what trained convolutional diffusion networks draw "
    "from the same noise"
)

COLOURS = {"ink": "#1c1e21", "soft": "#555c65", "link": "#005a96"}
"""Of words on white paper, in pages and article; each has a contrast of more than 4.5 to 1."""


@dataclass(frozen=True)
class Opening:
    """What report, explorer, site and article open with.

    question. claim: the paper's, without a full stop, for a citation may follow. verdict: on the
    claim, a sentence. summary: the numbers behind the verdict, in a few sentences.
    """

    verdict: str
    summary: str
    question: str = QUESTION
    claim: str = CLAIM


def opening(headline: pd.DataFrame, paired: pd.DataFrame) -> Opening:
    """The opening statement that follows from an experiment's tables.

    Args:
        headline: as :func:`patchmosaic.tables.headline.headline` makes it.
        paired: as :func:`patchmosaic.analysis.agreement.paired_differences` makes it.
    """
    verdict = answer(*count_verdicts(verdicts(headline, paired)))
    return Opening(verdict, summary(headline, paired))


def links(here: str, pages: Iterable[str]) -> dict[str, str]:
    """Where the other pages of a results folder are, relative to one of them, and their names.

    Args:
        here: the page that links, a key of PAGES.
        pages: those that the folder has, keys of PAGES.
    """
    folder = PurePosixPath(PAGES[here]).parent
    return {os.path.relpath(PAGES[page], folder): NAMES[page] for page in pages if page != here}


def template(name: str) -> jinja2.Template:
    """A page's template of this package; what it shows is escaped, and nothing may be undefined."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("patchmosaic.publish", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    shared: dict[str, Any] = {"names": NAMES, "colours": COLOURS}
    environment.globals.update(shared)
    return environment.get_template(name)
