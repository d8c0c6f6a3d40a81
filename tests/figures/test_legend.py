"""Legends of many machines."""

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from patchmosaic.figures.style import COLUMN_INCHES, PAGE_INCHES, key, legend, style
from patchmosaic.machines.registry import MACHINES


def test_legends_stay_within_the_figure():
    """One line for the paper's machines; for all of the registry several, and a taller figure."""
    more = [key("none", "d", "paper's median")]
    for width, machines, has_lines in (
        (COLUMN_INCHES + 1, ["els", "ls", "es", "is"], False),
        (COLUMN_INCHES + 1, MACHINES, True),
        (PAGE_INCHES, MACHINES, True),
    ):
        with style():
            figure = Figure((width, 2), layout="constrained")
            figure.subplots()
            legend(figure, machines, more)
            (box,) = figure.legends
            canvas = FigureCanvasAgg(figure)
            canvas.draw()
            extent = box.get_window_extent(canvas.get_renderer())
        assert len(box.texts) == len(machines) + 1
        assert 0 <= extent.x0 < extent.x1 <= figure.bbox.width
        assert (figure.get_figheight() > 2) == has_lines
        assert (len({round(text.get_window_extent().y0) for text in box.texts}) > 1) == has_lines
