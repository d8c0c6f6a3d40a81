"""What describes a network; this needs no torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields

ARCHITECTURES = ("resnet", "unet", "unet_attention")
PADDINGS = ("zeros", "circular")


@dataclass(frozen=True)
class NetworkConfig:
    """What fixes a network's function space. The paper's values are the defaults.

    Args:
        architecture: "resnet", "unet" or "unet_attention".
        image_channels: 1 (gray) or 3 (RGB).
        size: side of the square images in pixels.
        channels: width; the UNets use 1, 2 and 4 times this at their three scales
            (paper: 256 for the ResNet, 64 for the UNet).
        layers: residual layers of the ResNet; its receptive field is 2 (layers + 2) + 1 pixels.
        padding: "zeros" or "circular".
        classes: number of classes of a class-conditional network, 0 for an unconditional one.
    """

    architecture: str
    image_channels: int = 1
    size: int = 32
    channels: int = 256
    layers: int = 6
    padding: str = "zeros"
    classes: int = 0

    def __post_init__(self) -> None:
        for key, allowed in (("architecture", ARCHITECTURES), ("padding", PADDINGS)):
            if getattr(self, key) not in allowed:
                raise ValueError(
                    f"{key} is {getattr(self, key)!r}: choose one of {', '.join(allowed)}"
                )
        if self.architecture != "resnet" and self.size % 4:
            raise ValueError(f"size is {self.size}: a UNet of three scales needs a multiple of 4")

    @property
    def receptive_field(self) -> int | None:
        """Side in pixels of the square a prediction depends on; None where it covers the image."""
        return 2 * (self.layers + 2) + 1 if self.architecture == "resnet" else None

    def differences(self, other: dict) -> list[str]:
        """Readable lines, one for each key in which ``other`` differs from this config."""
        mine = asdict(self)
        keys = [f.name for f in fields(self)] + sorted(set(other) - set(mine))
        return [
            f"{k}: {other.get(k, 'absent')!r} instead of {mine.get(k, 'absent')!r}"
            for k in keys
            if other.get(k) != mine.get(k)
        ]
