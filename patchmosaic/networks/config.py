"""What describes a network; this needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Literal, Self

from patchmosaic.machines.registry import BOUNDARIES
from patchmosaic.networks.registry import ARCHITECTURES, SPECIAL

Padding = Literal["zeros", "circular"]
PADDINGS = BOUNDARIES  # what a network is padded with is the boundary of its machines


def complete_recipe(recipe: Mapping) -> dict:
    """A recipe of the config, or of the record of a training, with what it need not say."""
    return {"warmup_steps": 0} | dict(recipe)


@dataclass(frozen=True)
class NetworkConfig:
    """What fixes a network's function space. The paper's values are the defaults.

    Args:
        architecture: one of ARCHITECTURES.
        image_channels: 1 (gray) or 3 (RGB).
        size: side of the square images in pixels.
        channels: width; the UNets use 1, 2 and 4 times this at their three scales
            (paper: 256 for the ResNet, 64 for the UNet).
        layers: residual layers of a ResNet; its receptive field is 2 (layers + 2) + 1 pixels.
        padding: "zeros" or "circular".
        classes: number of classes of a class-conditional network, 0 for an unconditional one.
    """

    architecture: str
    image_channels: int = 1
    size: int = 32
    channels: int = 256
    layers: int = 6
    padding: Padding = "zeros"
    classes: int = 0

    def __post_init__(self) -> None:
        for key, allowed in (("architecture", ARCHITECTURES), ("padding", PADDINGS)):
            if getattr(self, key) not in allowed:
                raise ValueError(
                    f"{key} is {getattr(self, key)!r}: choose one of {', '.join(allowed)}"
                )
        row = ARCHITECTURES[self.architecture]
        if self.size % row.multiple_of:
            raise ValueError(
                f"size is {self.size}: a {row.title}, which halves images, needs a multiple of "
                f"{row.multiple_of}"
            )
        if row.groups and self.channels not in range(
            2 * row.groups, 1 + max(self.channels, 0), row.groups
        ):
            raise ValueError(
                f"channels is {self.channels}: {self.architecture} needs a multiple of "
                f"{row.groups}, at least {2 * row.groups} (a group of one channel is normalised to "
                "nothing)"
            )

    @classmethod
    def of(cls, network: Mapping, image_channels: int, size: int, classes: int) -> Self:
        """A network of an experiment's config, with all of its settings, for images of this shape.

        ``classes`` are those of its images; one that is unconditional has none.
        """
        keys = ("architecture", "channels", "padding", *SPECIAL)
        settings = {key: network[key] for key in keys if key in network}
        if not network["conditional"]:
            classes = 0
        return cls(image_channels=image_channels, size=size, classes=classes, **settings)

    def differences(self, other: dict) -> list[str]:
        """Readable lines, one for each key in which ``other`` differs from this config."""
        mine = asdict(self)
        keys = [f.name for f in fields(self)] + sorted(set(other) - set(mine))
        return [
            f"{k}: {other.get(k, 'absent')!r} instead of {mine.get(k, 'absent')!r}"
            for k in keys
            if other.get(k) != mine.get(k)
        ]


def row_of_paper(architecture: str) -> str:
    """The architecture by the name that it has in the paper's tables: "resnet", "unet", ..."""
    row = ARCHITECTURES.get(architecture)
    return architecture if row is None else row.in_paper or architecture
