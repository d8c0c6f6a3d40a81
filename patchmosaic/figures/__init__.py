"""The figures, in one style: colour-blind safe, readable in gray, at the width of a column.

One file a figure. Functions take arrays or tables and return a matplotlib Figure;
:func:`patchmosaic.figures.style.save_figure` writes the same bytes for the same figure.
"""
