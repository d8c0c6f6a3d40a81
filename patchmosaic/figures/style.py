"""The style of every figure: colours, sizes, and how files are written."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike
from PIL import Image

from patchmosaic.figures.colours import COLOURS
from patchmosaic.machines.registry import MACHINES, OWN_LOOKS, is_machine, label, ordered

COLUMN_INCHES, PAGE_INCHES = 3.25, 6.75  # one and both columns of the ICML format
BLACK, BLUE, VERMILLION, GREEN, SKY, ORANGE, PURPLE = COLOURS.values()
NETWORK_LOOK = (VERMILLION, "v")
FRAME_MS = 300  # of animations


def machine_looks(sources: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Colour and marker of those of the sources that are machines, in the order of the tables."""
    machines = ordered(name for name in sources if is_machine(name))
    own = zip((name for name in machines if name not in MACHINES), cycle(OWN_LOOKS), strict=False)
    chosen = {name: row.look for name, row in MACHINES.items()} | dict(own)
    return {name: (COLOURS[chosen[name][0]], chosen[name][1]) for name in machines}


@contextmanager
def style() -> Generator[None]:
    """The look of all figures, restored afterwards; it also decorates functions that draw.

    What a matplotlibrc or a notebook has set counts for nothing here.
    """
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(
            {
                "font.family": "DejaVu Sans",  # comes with matplotlib, so looks the same everywhere
                "font.size": 7,
                "axes.titlesize": 7.5,
                "axes.labelsize": 7,
                "xtick.labelsize": 6.5,
                "ytick.labelsize": 6.5,
                "legend.fontsize": 6.5,
                "legend.frameon": False,
                "axes.spines.top": False,
                "axes.spines.right": False,
                "axes.linewidth": 0.6,
                "axes.axisbelow": True,
                "grid.color": "0.88",
                "grid.linewidth": 0.5,
                "lines.linewidth": 1.2,
                "lines.markersize": 4,
                "figure.facecolor": "white",
                "savefig.dpi": 300,
                "pdf.fonttype": 42,
            }
        )
        yield


def panels(
    count: int,
    most: int,
    *,
    line: float,
    beside: float = 0.5,
    alone: float = COLUMN_INCHES,
    sharex: bool = True,
    sharey: bool = True,
) -> tuple[Figure, list[Axes]]:
    """A figure of so many panels; those with none below them have the labels of the x-axis.

    Args:
        count: of panels.
        most: at most so many in a line, at least 2.
        line: height of a line of panels in inches.
        beside: height that the figure has beside them.
        alone: width of the figure in inches where it has one panel; else it is the page's.
        sharex, sharey: whether the panels share these axes.
    """
    columns = min(most, count)
    lines = math.ceil(count / columns)
    size = (alone if columns == 1 else PAGE_INCHES, beside + line * lines)
    figure = Figure(size, layout="constrained")
    grid = figure.subplots(lines, columns, squeeze=False, sharex=sharex, sharey=sharey)
    drawn, empty = list(grid.flat[:count]), grid.flat[count:]
    for axes in drawn[-columns:]:  # also where the line below ends earlier
        axes.tick_params(labelbottom=True)
    for axes in empty:
        axes.set_axis_off()
    return figure, drawn


def save_figure(figure: Figure, path: str | Path) -> None:
    """Write a figure as .pdf (fonts embedded) or .png (300 dpi), without time stamps.

    Raises:
        ValueError: for any other suffix.
    """
    undated = {".pdf": {"CreationDate": None}, ".png": {"Software": None}}
    suffix = Path(path).suffix
    if suffix not in undated:
        raise ValueError(f"{path}: a figure is saved as one of {', '.join(undated)}")
    for part in figure.subfigs:  # an empty ground, at 0 or -0 by what lies where in memory
        part.patch.set_visible(False)
    with style():
        figure.savefig(path, metadata=undated[suffix])


def save_animation(frames: Iterable[Figure], *paths: str | Path, dpi: int = 300) -> None:
    """Write frames, drawn once, as animated .png or .gif that repeat and rest on their last frame.

    A viewer that does not animate shows the first frame, so the last one also comes first.
    """
    pictures = []
    with style():
        for figure in frames:
            figure.set_dpi(dpi)
            canvas = FigureCanvasAgg(figure)
            canvas.draw()
            pictures.append(Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3]))
    pictures = [pictures[-1], *pictures[:-1]]
    durations = [6 * FRAME_MS] + [FRAME_MS] * (len(pictures) - 1)
    first, *others = pictures
    for path in paths:
        first.save(path, save_all=True, append_images=others, duration=durations, loop=0)


def picture(image: np.ndarray) -> np.ndarray:
    """(C, H, W) in [-1, 1] as (H, W, 3) in [0, 1], for display only.

    Values beyond are clipped; of other numbers of channels than 1 and 3 the mean is shown in gray.
    """
    image = image if len(image) in (1, 3) else image.mean(axis=0, keepdims=True)
    shown = np.clip((np.moveaxis(image, 0, -1) + 1) / 2, 0, 1)
    return np.broadcast_to(shown, (*shown.shape[:2], 3))


def key(face: str, marker: str, text: str) -> Line2D:
    return Line2D(
        [], [], linestyle="", color="0.3", markerfacecolor=face, marker=marker, label=text
    )


def source_key(text: str, look: tuple[str, str]) -> Line2D:
    colour, marker = look
    return Line2D([], [], linestyle="", color=colour, marker=marker, label=text)


def interval_line(axes: Axes, x: ArrayLike, medians: pd.DataFrame, look: tuple[str, str]) -> None:
    """A line through medians (estimate, low, high) at `x`, their intervals shaded."""
    colour, marker = look
    axes.fill_between(x, medians["low"], medians["high"], color=colour, alpha=0.2, linewidth=0)
    every = max(1, len(medians) // 5)
    axes.plot(x, medians["estimate"], color=colour, marker=marker, markersize=3, markevery=every)


LEGEND_LINE_INCHES = 0.14


def legend(figure: Figure, machines: Iterable[str], more: Sequence[Line2D]) -> None:
    """Keys of machines, and more, above a figure, which grows by what they take beyond one line."""
    keys = [source_key(label(machine), look) for machine, look in machine_looks(machines).items()]
    keys += more
    renderer = FigureCanvasAgg(figure).get_renderer()
    for columns in range(len(keys), 0, -1):
        box = figure.legend(handles=keys, loc="outside upper center", ncols=columns)
        if columns == 1 or box.get_window_extent(renderer).width <= figure.bbox.width:
            lines = math.ceil(len(keys) / columns)
            figure.set_figheight(figure.get_figheight() + LEGEND_LINE_INCHES * (lines - 1))
            return
        box.remove()


CURVE_COLOURS = (BLUE, VERMILLION, GREEN, BLACK, ORANGE, PURPLE, SKY)


CURVE_DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (6, 1.5, 1.5, 1.5)))


CURVE_MARKERS = "os^Dv<>"
