"""What a figure says, and whether it can be read."""

from unittest.mock import patch

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from patchmosaic.figures.style import style


def words(figure):
    """Each word that is drawn, with its box in pixels."""
    drawn, draw = [], Text.draw

    def record(word, renderer, *args):
        if word.get_visible() and word.get_text():
            drawn.append((word.get_text(), word.get_window_extent(renderer)))
        return draw(word, renderer, *args)

    with patch.object(Text, "draw", record), style():
        FigureCanvasAgg(figure).draw()
    return drawn


def texts(figure):
    return [text for text, _ in words(figure)]


def assert_legible(figure):
    """No word touches another or leaves the page."""
    drawn = words(figure)
    page = figure.bbox
    assert len(drawn) > 5
    for i, (word, box) in enumerate(drawn):
        assert page.x0 <= box.x0, word
        assert box.x1 <= page.x1, word
        assert page.y0 <= box.y0, word
        assert box.y1 <= page.y1, word
        for other, other_box in drawn[:i]:
            assert not box.padded(-0.5).overlaps(other_box.padded(-0.5)), (word, other)
