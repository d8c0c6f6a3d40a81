"""Graphics cards of one machine, shared out between jobs."""

from __future__ import annotations

from pathlib import Path
from typing import TextIO

import torch

from patchmosaic.system.files import locked


def claim_card(folder: Path) -> TextIO | None:
    """Make the first card that no other job has claimed the current one.

    A claim is a lock on a file in ``folder`` that is named by the card, so it ends with the
    process, however that ends. Where all cards are claimed, PyTorch's own choice is left.

    Returns:
        The locked file, to be kept open while the card is used; None where no card was free.
    """
    for index in range(torch.cuda.device_count()):
        card = torch.cuda.get_device_properties(index).uuid
        if file := locked(folder / f"card-{card}.lock"):
            torch.cuda.set_device(index)
            return file
    return None
