"""Graphics cards of one machine, shared out between jobs; no torch is imported here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from patchmosaic.system.files import locked

if TYPE_CHECKING:
    import torch

DEVICES = ("cpu", "cuda", "auto")
"""What may be asked for."""


def choose_device(wanted: str) -> torch.device:
    """Where to compute: "cpu", "cuda" (a graphics card), or "auto", a card where there is one.

    Raises ValueError where "cuda" is asked for and there is none.
    """
    if wanted not in DEVICES:
        raise ValueError(f"device is {wanted!r}: choose one of {', '.join(DEVICES)}")
    import torch

    has_card = torch.cuda.is_available()
    if wanted == "cuda" and not has_card:
        raise ValueError(
            "device is 'cuda', but PyTorch finds no graphics card here: choose cpu, or auto"
        )
    return torch.device("cuda" if has_card and wanted != "cpu" else "cpu")


def claim_card(folder: Path) -> TextIO | None:
    """Make the first card that no other job has claimed the current one.

    A claim is a lock on a file in ``folder`` that is named by the card, so it ends with the
    process, however that ends. Where all cards are claimed, PyTorch's own choice is left.

    Returns:
        The locked file, to be kept open while the card is used; None where no card was free.
    """
    import torch

    for index in range(torch.cuda.device_count()):
        card = torch.cuda.get_device_properties(index).uuid
        if file := locked(folder / f"card-{card}.lock"):
            torch.cuda.set_device(index)
            return file
    return None
