"""The JSON header of a network of EDM (Karras et al. 2022, arXiv 2206.00364); without torch.

It is the entry "edm" of the metadata of a safetensors file, an object of

- preconditioning: "edm", "vp" or "ve", as the paper's table 1 has them;
- sigma_data (of "edm"), or beta_d, beta_min and M (of "vp");
- sigma_range: the least and the largest noise that the network was trained for, in units of pixels
  in [-1, 1]; beyond, it is asked at the nearest of these, with noise of that size;
- labels: its number of classes, 0 for none;
- channels, size: of its images;
- network: :class:`UNetSettings`, by name.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from patchmosaic.system.records import RecordError

KEY = "edm"
NUMBERS = {"edm": ("sigma_data",), "vp": ("beta_d", "beta_min", "M"), "ve": ()}
"""The preconditionings, and the numbers that each has."""


@dataclass(frozen=True)
class UNetSettings:
    """What fixes such a network; every name is the published code's, as are the defaults.

    model_type: "SongUNet" (DDPM++, and NCSN++ by embedding_type "fourier", channel_mult_noise 2,
    encoder_type "residual" and resample_filter [1, 3, 3, 1]) or "DhariwalUNet" (ADM).
    model_channels: the width, times channel_mult at each resolution, times channel_mult_emb in the
    embedding and channel_mult_noise in that of the noise level. num_blocks: at each resolution.
    attn_resolutions: sides in pixels at which there is attention. augment_dim: of the labels of
    augmentation, which no image is given here.
    """

    model_type: str
    model_channels: int
    channel_mult: tuple[int, ...]
    num_blocks: int
    attn_resolutions: tuple[int, ...]
    channel_mult_emb: int = 4
    augment_dim: int = 0
    embedding_type: str = "positional"
    channel_mult_noise: int = 1
    encoder_type: str = "standard"
    decoder_type: str = "standard"
    resample_filter: tuple[int, ...] = (1, 1)

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> UNetSettings:
        """Settings by name, with the published defaults of their architecture.

        Raises:
            ValueError: naming a setting that is unknown, of another kind, or not covered.
        """
        kind = given.get("model_type")
        if not isinstance(kind, str) or kind not in DEFAULTS:
            raise ValueError(f"model_type {kind!r} is not covered, only {', '.join(DEFAULTS)}")
        of_song = {"embedding_type", "channel_mult_noise", "encoder_type", "decoder_type"}
        of_song |= {"resample_filter"}
        known = {f.name for f in fields(cls)} - (of_song if kind != "SongUNet" else set())
        if unknown := sorted(set(given) - known - OF_TRAINING):
            raise ValueError(f"{unknown[0]} is no setting of {kind} that is covered")
        settings = DEFAULTS[kind] | {k: v for k, v in given.items() if k in known}
        for name, value in settings.items():
            if name in COVERED:
                if value not in COVERED[name]:
                    covered = ", ".join(COVERED[name])
                    raise ValueError(f"{name} {value!r} is not covered, only {covered}")
            elif name != "model_type":
                settings[name] = _numbers(name, value)
        return cls(**settings)


OF_TRAINING = {"dropout", "label_dropout"}
COVERED = {
    "embedding_type": ("positional", "fourier"),
    "encoder_type": ("standard", "residual"),
    "decoder_type": ("standard",),
}
SEVERAL = ("channel_mult", "attn_resolutions", "resample_filter")
DEFAULTS: dict[str, dict[str, Any]] = {
    "SongUNet": {
        "model_channels": 128,
        "channel_mult": (1, 2, 2, 2),
        "num_blocks": 4,
        "attn_resolutions": (16,),
    },
    "DhariwalUNet": {
        "model_channels": 192,
        "channel_mult": (1, 2, 3, 4),
        "num_blocks": 3,
        "attn_resolutions": (32, 16, 8),
    },
}


def _numbers(name: str, value: object) -> int | tuple[int, ...]:
    """A setting that is one whole number or several, none negative, as they come from JSON."""
    several = isinstance(value, (list, tuple))
    numbers: list[Any] = list(value) if isinstance(value, (list, tuple)) else [value]
    is_whole = all(type(n) is int and 0 <= n <= 65536 for n in numbers)
    least = 0 if name in ("augment_dim", "attn_resolutions") else 1
    if several != (name in SEVERAL) or not is_whole or any(n < least for n in numbers):
        raise ValueError(
            f"{name} is {value!r}, expected "
            + ("a list of whole numbers" if name in SEVERAL else "a whole number")
        )
    if name in ("channel_mult", "resample_filter") and not numbers:
        raise ValueError(f"{name} is empty")
    return tuple(numbers) if several else numbers[0]


def read_header(path: Path) -> dict[str, Any]:
    """The header of a file, checked; raises RecordError naming the file and what is wrong."""
    try:
        with safe_open(path, framework="np") as file:
            text = (file.metadata() or {}).get(KEY)
    except (SafetensorError, OSError) as error:
        raise RecordError(
            f"{path}: not readable as safetensors ({error}); tools/convert_edm.py writes such a "
            "file from a published one"
        ) from None
    if text is None:
        raise RecordError(
            f"{path}: its metadata has no {KEY!r}: weights alone do not say how the network is "
            "asked; tools/convert_edm.py writes it, or see docs/own_network.md"
        )
    try:
        header = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{path}: {KEY!r} in its metadata is no JSON: {error}") from None
    check_header(path, header)
    return header


def check_header(path: Path, header: object) -> None:
    """Raise RecordError, naming the file, unless a header is what this module says."""

    def refuse(text: str) -> RecordError:
        return RecordError(f"{path}: header {KEY!r}: {text}")

    if not isinstance(header, dict):
        raise refuse("expected a JSON object")
    kind = header.get("preconditioning")
    if not isinstance(kind, str) or kind not in NUMBERS:
        raise refuse(f"preconditioning is {kind!r}: choose one of {', '.join(NUMBERS)}")
    wanted = {"preconditioning", *NUMBERS[kind], "sigma_range", "labels", "channels", "size"}
    wanted |= {"network"}
    for missing in sorted(wanted - set(header)):
        raise refuse(f"{missing} is missing")
    for unknown in sorted(set(header) - wanted):
        raise refuse(f"{unknown} is unknown where preconditioning is {kind}")
    for name in NUMBERS[kind]:
        if not _is_number(header[name]) or header[name] <= 0:
            raise refuse(f"{name} is {header[name]!r}, expected a positive number")
    span = header["sigma_range"]
    is_pair = isinstance(span, list) and len(span) == 2 and all(map(_is_number, span))
    if not is_pair or not 0 < span[0] < span[1]:
        raise refuse(f"sigma_range is {span!r}, expected [least, largest], above 0")
    for name, least in (("labels", 0), ("channels", 1), ("size", 4)):
        if type(header[name]) is not int or not least <= header[name] <= 65536:
            raise refuse(f"{name} is {header[name]!r}, expected a whole number from {least}")
    if not isinstance(header["network"], dict):
        raise refuse("network is no object of settings")
    try:
        UNetSettings.of(header["network"])
    except ValueError as error:
        raise refuse(f"network: {error}") from None


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value)  # type: ignore[arg-type]


def check_images(
    path: Path,
    header: Mapping[str, Any],
    shape: tuple[int, ...],
    conditional: bool,
    classes: int | None = None,
) -> None:
    """Raise RecordError unless a network is for such images.

    Args:
        path: for messages.
        header: as :func:`read_header` gives it.
        shape: of an image, (C, H, W).
        conditional: whether the network is told the class.
        classes: of the images, where that is known.
    """
    for key, wanted in (("channels", shape[0]), ("size", shape[1])):
        if header[key] != wanted:
            raise RecordError(
                f"{path}: {key} is {header[key]}, and that of the images {wanted}: set {key} of "
                "the dataset"
            )
    if bool(header["labels"]) != conditional:
        is_told = "is told the class" if header["labels"] else "is not told the class"
        raise RecordError(f"{path}: the network {is_told}; set conditional accordingly")
    if conditional and classes is not None and header["labels"] != classes:
        raise RecordError(f"{path}: labels is {header['labels']}, and the images have {classes}")
