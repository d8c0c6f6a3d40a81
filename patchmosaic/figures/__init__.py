"""The figures, in one style: colour-blind safe, readable in gray, at the width of a column.

Every function takes arrays or tables and returns a matplotlib Figure; :func:`save_figure` writes
the same bytes for the same figure.
"""

from patchmosaic.figures.agreement import (
    HELD_OUT,
    bands,
    headline_chart,
    measures,
    nearest_patches,
    novelty,
    scatter_is_vs_machine,
    siblings,
    training_seeds,
)
from patchmosaic.figures.locality import jacobians, scales, sharpness
from patchmosaic.figures.pairs import inconsistent_garments, pairs
from patchmosaic.figures.provenance import patch_provenance
from patchmosaic.figures.style import MACHINE_LOOKS, save_figure, style
from patchmosaic.figures.theory import border_dictionaries, mosaics
from patchmosaic.figures.trajectories import (
    agreement_along_trajectories,
    bands_along_trajectories,
    consistency_along_trajectories,
    denoising_frames,
    save_animation,
)
from patchmosaic.figures.variants import learning_curves, variants

__all__ = [
    "HELD_OUT",
    "MACHINE_LOOKS",
    "agreement_along_trajectories",
    "bands",
    "bands_along_trajectories",
    "border_dictionaries",
    "consistency_along_trajectories",
    "denoising_frames",
    "headline_chart",
    "inconsistent_garments",
    "jacobians",
    "learning_curves",
    "measures",
    "mosaics",
    "nearest_patches",
    "novelty",
    "pairs",
    "patch_provenance",
    "save_animation",
    "save_figure",
    "scales",
    "scatter_is_vs_machine",
    "sharpness",
    "siblings",
    "style",
    "training_seeds",
    "variants",
]
