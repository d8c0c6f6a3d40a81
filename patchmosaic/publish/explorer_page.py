"""The page of the mosaic explorer, of what :mod:`patchmosaic.publish.explorer` found.

This module needs no torch.

The page needs no other file and asks nothing of the network.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from patchmosaic.analysis.agreement import pearson_r
from patchmosaic.machines.registry import MACHINES, label
from patchmosaic.publish.pages import Opening, links, template
from patchmosaic.system.arrays import read_arrays

COLUMNS = 32  # of the sheet of training images


@dataclass(frozen=True, eq=False)
class Exploration:
    """Network and machine from one seed, at T times, and the K heaviest candidates of each pixel.

    seed; label: its class, or "" without classes. steps: of the whole reverse process. step: (T,)
    number of each shown step, from 0. times, patch_sizes: (T,), t and P in pixels. network,
    machine: (T, 2, C, H, W), x_t and the predicted x_0. names, others: the experiment's machines,
    (M,), and the same of each, (M, T, 2, C, H, W). part: uint8 (N, C, H, W), the images that are
    searched. ids: (N,), what names them. bank_images: how many there are to choose from. image,
    row, col: int (T, K, H, W), candidates among them, the heaviest first. weight: (T, K, H, W),
    shares of the posterior weight. entropy: (T, H, W), in nats.
    """

    seed: int
    label: str
    steps: int
    step: np.ndarray
    times: np.ndarray
    patch_sizes: np.ndarray
    network: np.ndarray
    machine: np.ndarray
    names: np.ndarray
    others: np.ndarray
    part: np.ndarray
    ids: np.ndarray
    bank_images: int
    image: np.ndarray
    row: np.ndarray
    col: np.ndarray
    weight: np.ndarray
    entropy: np.ndarray


def save_explorations(path: str | Path, explorations: Sequence[Exploration]) -> None:
    """Write explorations as .npz without pickle."""
    arrays = {
        f"{i} {field.name}": np.asarray(getattr(exploration, field.name))
        for i, exploration in enumerate(explorations)
        for field in fields(Exploration)
    }
    np.savez(path, allow_pickle=False, **arrays)


def load_explorations(path: str | Path) -> list[Exploration]:
    """What :func:`save_explorations` wrote; raises ArrayError naming a file that is broken."""
    arrays: dict[str, Any] = read_arrays(path)
    count = 1 + max(int(key.split()[0]) for key in arrays)
    found = [
        Exploration(**{f.name: arrays[f"{i} {f.name}"] for f in fields(Exploration)})
        for i in range(count)
    ]
    scalars = ("seed", "label", "steps", "bank_images")
    return [replace(e, **{name: getattr(e, name).item() for name in scalars}) for e in found]


def render_explorer(
    experiment: str,
    explorations: Mapping[str, Sequence[Exploration]],
    boundaries: Mapping[str, str],
    statement: Opening,
    pages: Collection[str] = (),
) -> str:
    """The page as HTML.

    Args:
        experiment: its name.
        explorations: of each evaluated network, a seed each.
        boundaries: "zeros" or "circular" for each of them.
        statement: as :func:`patchmosaic.publish.pages.opening` makes it.
        pages: of the results folder, keys of :data:`patchmosaic.publish.names.PAGES`.
    """
    sheets: dict[bytes, int] = {}  # of training images: networks may share one
    networks = []
    for name, of_seeds in explorations.items():
        seeds = []
        for e in of_seeds:
            sheet = sheets.setdefault(_sheet(e.part, COLUMNS), len(sheets))
            shown = np.concatenate([e.network[None], e.machine[None], e.others])
            frames = shown.swapaxes(0, 1)  # (T, 2 + M, 2, C, H, W)
            levels = ((frames.clip(-1, 1) + 1) * 127.5).round().astype(np.uint8)
            seeds.append(
                {
                    "seed": e.seed,
                    "label": e.label,
                    "steps": e.steps,
                    "step": (e.step + 1).tolist(),
                    "t": e.times.tolist(),
                    "patch": e.patch_sizes.tolist(),
                    "r": [_agreement(predicted, e.network) for predicted in shown[1:]],
                    "searched": len(e.part),
                    "bank": e.bank_images,
                    "ids": e.ids.tolist(),
                    "sheet": sheet,
                    "frames": _base64(
                        _sheet(levels.reshape(-1, *levels.shape[3:]), 2 * len(shown))
                    ),
                    "image": _base64(e.image.astype("<u2").tobytes()),
                    "position": _base64((e.row * e.part.shape[3] + e.col).astype("<u2").tobytes()),
                    "weight": _base64(e.weight.astype("<f4").tobytes()),
                    "entropy": _base64(e.entropy.astype("<f4").tobytes()),
                }
            )
        height, width = of_seeds[0].part.shape[2:]
        networks.append(
            {
                "name": name,
                "boundary": boundaries[name],
                "height": height,
                "width": width,
                "top": of_seeds[0].image.shape[1],
                "predictors": [_words(name) for name in of_seeds[0].names.tolist()],
                "seeds": seeds,
            }
        )
    data = {
        "columns": COLUMNS,
        "sheets": [_base64(sheet) for sheet in sheets],
        "networks": networks,
    }
    return template("explorer.html.j2").render(
        experiment=experiment, data=data, opening=statement, links=links("explorer", pages)
    )


def _words(name: str) -> dict[str, str]:
    """How the page calls a machine, and what it is."""
    title = MACHINES[name].title if name in MACHINES else "a machine of your own"
    return {"label": label(name), "title": title}


def _agreement(predicted: np.ndarray, network: np.ndarray) -> list[float | None]:
    """Pearson r of predictions at each time, of (T, 2, C, H, W); None where it is undefined."""
    r = pearson_r(predicted[:, 1], network[:, 1])
    return [None if np.isnan(value) else round(float(value), 3) for value in r]


def _sheet(images: np.ndarray, columns: int) -> bytes:
    """Images, uint8 (N, C, H, W), side by side in rows of so many, as a PNG file.

    Of other numbers of channels than 1 and 3 the mean is shown in gray.
    """
    if images.shape[1] not in (1, 3):
        images = images.mean(axis=1, keepdims=True).round().astype(np.uint8)
    n, channels, height, width = images.shape
    rows = -(-n // columns)
    sheet = np.zeros((rows * columns, channels, height, width), np.uint8)
    sheet[:n] = images
    sheet = sheet.reshape(rows, columns, channels, height, width).transpose(0, 3, 1, 4, 2)
    sheet = sheet.reshape(rows * height, columns * width, channels)
    file = io.BytesIO()
    Image.fromarray(sheet[..., 0] if channels == 1 else sheet).save(file, "PNG", optimize=True)
    return file.getvalue()


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()
