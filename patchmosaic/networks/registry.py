"""The architectures by name, and what may be said of networks; no torch is imported here."""

from __future__ import annotations

from dataclasses import dataclass

GROUPS = 8  # of channels that resnet_paper normalises its embedding in


@dataclass(frozen=True)
class ArchitectureRow:
    """One architecture of the registry.

    Args:
        title: its name in words.
        address: "module:class" of a torch module that is made from a
            :class:`patchmosaic.networks.config.NetworkConfig` and called as
            ``module(x_t, t, labels)``.
        settings: keys of a network's config that it takes beside those that all take.
        multiple_of: of this many pixels the sides of its images have to be.
        groups: of channels that it normalises together, whose number divides its channels; 0: none.
        in_paper: its name in the paper's tables; by default its own.
    """

    title: str
    address: str
    settings: tuple[str, ...] = ()
    multiple_of: int = 1
    groups: int = 0
    in_paper: str = ""


ARCHITECTURES = {
    "resnet_paper": ArchitectureRow(
        "the paper's ResNet",
        "patchmosaic.networks.paper:PaperResNet",
        settings=("layers",),
        groups=GROUPS,
        in_paper="resnet",
    ),
    "unet_paper": ArchitectureRow(
        "UNet", "patchmosaic.networks.paper:PaperUNet", multiple_of=4, in_paper="unet"
    ),
    "resnet": ArchitectureRow("ResNet", "patchmosaic.networks.resnet:ResNet", settings=("layers",)),
    "unet": ArchitectureRow("UNet", "patchmosaic.networks.unet:UNet", multiple_of=4),
    "unet_attention": ArchitectureRow(
        "UNet with self-attention", "patchmosaic.networks.unet:AttentionUNet", multiple_of=4
    ),
}

PRECISIONS = ("float32", "bfloat16")
TRAINING_PRECISIONS = (*PRECISIONS, "auto")

PREDICTIONS = ("noise", "score", "x0", "v", "flow")
"""What an external network may give."""

DIRECTIONS = ("to_noise", "to_image")
"""Of the velocity of a flow."""

# Settings that only some architectures take.
SPECIAL = tuple(dict.fromkeys(key for row in ARCHITECTURES.values() for key in row.settings))
