"""Every page of a results folder, of made results."""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from finished_results import FULL, NUMBERS, PAPER, ROOT, WHOLE_PAPER, finish, full

from patchmosaic.machines.local import EquivariantLocalScoreMachine
from patchmosaic.publish.explorer import explore
from patchmosaic.publish.explorer_page import Exploration, render_explorer
from patchmosaic.publish.leaderboard import render_leaderboard
from patchmosaic.publish.names import NAMES, PAGES
from patchmosaic.publish.pages import Opening, opening
from patchmosaic.publish.paper_page import render_paper
from patchmosaic.publish.report import Provenance, ReportFigure, render_report
from patchmosaic.sampling.schedule import reverse_times
from patchmosaic.sampling.trajectories import follow
from patchmosaic.tables.committed import compare, load_committed
from patchmosaic.tables.paper_tables import beside_paper
from workflow.config_files import completed

STATEMENT = Opening("The claim holds in every comparison.", "In 4 of 4 comparisons.")
SIZE, TOP = 6, 4
TIMES = reverse_times(5)
SCALES = {1.0: 5, 0.8: 5, 0.6: 3, 0.4: 3, 0.2: 3}
PROVENANCE = Provenance(
    datasets=pd.DataFrame(
        [
            {
                "dataset": "mnist",
                "images": 60000,
                "sha256": "ab" * 32,
                "source": "here",
                "licence": "free",
            }
        ]
    ),
    checkpoints=pd.DataFrame(
        [{"network": "n", "sha256": "cd" * 32, "images_seen": 9, "source": "packaged"}]
    ),
    scales=pd.DataFrame(
        [{"network": "n", "machines": "all", "trajectories": 10, "source": "computed"}]
    ),
    machines=pd.DataFrame(
        [
            {
                "machine": "els",
                "network": "n",
                "engine": "exact",
                "audited_error": "nothing estimated",
            }
        ]
    ),
    seeds=pd.DataFrame([{"first": 0, "last": 20, "seeds": 21, "standing": "made"}]),
    versions=pd.DataFrame([{"package": "torch", "version": "2"}]),
)


def exploration(seed, boundary="zeros", channels=1, label="", images=7):
    random = np.random.default_rng(seed)
    part = random.integers(0, 256, (images, channels, SIZE, SIZE), np.uint8)
    machine = EquivariantLocalScoreMachine(
        torch.from_numpy(part / 127.5 - 1), boundary=boundary, engine="dense"
    )
    noise = torch.from_numpy(random.standard_normal((1, channels, SIZE, SIZE)))
    followed = {
        name: follow(
            lambda x, _, share=share: share * x + (0.5 - share) * x.roll(1, 3), noise, TIMES
        )
        for name, share in {"network": 0.5, "own_one": 0.25, "wiener": 0.75}.items()
    }
    found = explore(machine, followed, SCALES, 3, TOP, len(TIMES) - 1)
    ids = 100 + np.arange(images)
    return Exploration(seed=seed, label=label, part=part, ids=ids, bank_images=70_000, **found)


def write_pages(folder):
    """Full results with all pages of PAGES; returns their drawings."""
    figures = full(folder)
    tables = {
        name: pd.read_csv(folder / f"tables/{name}.csv")
        for name in ("headline", "paired", "orderings", "equivalence", "tails")
    }
    medians = tables["headline"]
    categories = [NAMES["headline"], "Agreement", *[NAMES["pairs"]] * (len(figures) - 2)]
    drawn = [
        ReportFigure(
            figure["title"],
            "A drawing of one colour, with a few words about it, as captions have them.",
            (folder / figure["path"]).read_bytes(),
            f"../{figure['path']}",
            category,
        )
        for figure, category in zip(figures, categories, strict=True)
    ]
    board = pd.read_csv(NUMBERS / "tables/leaderboard.csv")
    explored = {"a-zeros": [exploration(0, label="Coat")], "b-circular": [exploration(5)]}
    pages = {
        "report": render_report(
            experiment="default",
            **tables,
            comparison=compare(medians, load_committed(NUMBERS / "committed.yaml"), "default"),
            figures=drawn,
            provenance=PROVENANCE,
            tables={f"../tables/{name}.csv": "medians and more" for name in tables},
            paper_source=WHOLE_PAPER.source,
            leaderboard=board,
            pages=PAGES,
        ),
        "leaderboard": render_leaderboard(board, "default", PAGES),
        "explorer": render_explorer(
            "default",
            explored,
            {"a-zeros": "zeros", "b-circular": "circular"},
            opening(medians, tables["paired"]),
            PAGES,
        ),
        "paper": render_paper(beside_paper(medians, PAPER), "default", PAGES),
    }
    for page, text in pages.items():
        path = Path(folder, PAGES[page])
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    finish(folder, completed(ROOT, FULL)[0])
    return figures
