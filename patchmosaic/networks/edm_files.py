"""Published files of EDM's networks, read without running anything in them.

They are pickles of whole objects, which bring their classes along as source code. Their names of
classes, settings and tensors are data, and read as such by
:mod:`patchmosaic.networks.torch_files`; the code is passed over.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from patchmosaic.networks.edm_header import NUMBERS, UNetSettings
from patchmosaic.networks.torch_files import (
    FUNCTIONS,
    Refused,
    StandIn,
    Typed,
    content_of,
    embedded_storage,
    plain,
    rebuilt,
    refusals,
    run,
)

MOST_BYTES = 1 << 32  # the largest that was published has 1.2e9
NETWORK = "ema"  # in a file: the averaged network, which is what is sampled
PRECONDITIONINGS = {"EDMPrecond": "edm", "VPPrecond": "vp", "VEPrecond": "ve"}
SAMPLED = (0.002, 80.0)  # sigma where the class sets no bounds of its own: those of its sampler
OF_WRAPPER = {"img_resolution", "img_channels", "in_channels", "out_channels", "label_dim"}
OF_WRAPPER |= {"use_fp16"}


def _object(about: object) -> StandIn:
    """An object that brings its class along: (type, version, module_src, class_name, state)."""
    parts = plain(about, dict)
    return StandIn(plain(parts["class_name"], str), plain(parts["state"], dict))


def _scalar(kind: object, content: object) -> int | float:
    name, raw = plain(kind, Typed).name, plain(content, bytes)
    if name not in SCALARS:
        raise Refused(f"it holds a number of numpy's type {name}")
    return struct.unpack(SCALARS[name], raw)[0]


SCALARS = {"f8": "<d", "f4": "<f", "i8": "<q", "i4": "<i"}
_NUMPY: dict[str, Callable[..., object]] = {
    f"numpy.{core}.multiarray.{name}": function
    for core in ("core", "_core")
    for name, function in (("scalar", _scalar), ("_reconstruct", lambda *_: Typed("array")))
}
KNOWN: Mapping[str, Callable[..., object]] = {
    **FUNCTIONS,
    **_NUMPY,
    "numpy.dtype": lambda name, *_: Typed(plain(name, str)),
    "numpy.ndarray": lambda *_: Typed("array"),
    "torch_utils.persistence._reconstruct_persistent_obj": _object,
    "torch.storage._load_from_bytes": embedded_storage,
    "dnnlib.util.EasyDict": lambda *_: {},
}
"""Functions that such a file may call, and what stands for them here."""


def read_published(path: Path) -> tuple[dict[str, Any], dict[str, Tensor], list[str]]:
    """A published network: (header, weights, remarks).

    The header is that of :mod:`patchmosaic.networks.edm_header`. The remarks are what the file
    tells of the training and the header does not need, in words.

    Raises:
        RecordError: naming the file, and what in it is refused, broken or not covered.
    """
    with refusals(path, "not a whole pickle of EDM's networks"):
        found = run(io.BytesIO(content_of(path, MOST_BYTES)), KNOWN)
        holder = plain(found, dict)
        if NETWORK not in holder:
            raise Refused(f"it has no {NETWORK!r}, only {', '.join(map(str, holder))}")
        network = plain(holder[NETWORK], StandIn)
        header = _header(network)
        weights = rebuilt(network, most=MOST_BYTES)
    return header, {k: v.float() for k, v in weights.items()}, _remarks(holder, header)


def _header(network: StandIn) -> dict[str, Any]:
    if network.name not in PRECONDITIONINGS:
        raise Refused(
            f"its network is a {network.name}, covered: {', '.join(PRECONDITIONINGS)}; others can "
            "be brought in by a Python file, see docs/own_network.md"
        )
    kind, state = PRECONDITIONINGS[network.name], network.state
    inner = plain(plain(state["_modules"], dict)["model"], StandIn)
    if plain(inner.state["_init_args"], tuple):
        raise Refused(f"its {inner.name} was made with settings that have no names")
    given = plain(inner.state["_init_kwargs"], dict)
    own = {k: v for k, v in given.items() if k not in OF_WRAPPER}
    try:
        settings = UNetSettings.of({"model_type": inner.name, **own})
    except ValueError as error:
        raise Refused(f"its network: {error}") from None
    least, largest = (float(state[name]) for name in ("sigma_min", "sigma_max"))
    if kind == "edm":
        least, largest = max(least, SAMPLED[0]), min(largest, SAMPLED[1])
    return {
        "preconditioning": kind,
        **{name: float(state[name]) for name in NUMBERS[kind]},
        "sigma_range": [least, largest],
        "labels": plain(state["label_dim"], int),
        "channels": plain(state["img_channels"], int),
        "size": plain(state["img_resolution"], int),
        "network": vars(settings),
    }


def _remarks(holder: dict, header: Mapping[str, Any]) -> list[str]:
    found = []
    images = holder.get("dataset_kwargs")
    if isinstance(images, dict) and "xflip" in images:
        found.append(
            "trained on images and their mirror images: set flips: true"
            if images["xflip"]
            else "its images were not mirrored when read"
        )
    if header["network"]["augment_dim"]:
        found.append("trained with augmentation, which it was told of; here it is asked without")
    return found
