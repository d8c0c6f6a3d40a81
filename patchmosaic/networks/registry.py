"""The architectures by name."""

from __future__ import annotations

from torch import nn

from patchmosaic.networks.config import NetworkConfig
from patchmosaic.networks.paper import PaperResNet, PaperUNet
from patchmosaic.networks.resnet import ResNet
from patchmosaic.networks.unet import UNet


def build_network(config: NetworkConfig) -> nn.Module:
    """The untrained network that ``config`` describes, initialised by torch's global seed."""
    if config.architecture == "resnet_paper":
        return PaperResNet(config)
    if config.architecture == "unet_paper":
        return PaperUNet(config)
    if config.architecture == "resnet":
        return ResNet(config)
    return UNet(config, attention=config.architecture == "unet_attention")
