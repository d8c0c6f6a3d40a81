"""Networks from their descriptions."""

from __future__ import annotations

from torch import nn

from patchmosaic.networks.config import NetworkConfig
from patchmosaic.networks.registry import ARCHITECTURES
from patchmosaic.system.lazy import load


def build_network(config: NetworkConfig) -> nn.Module:
    """The untrained network that ``config`` describes, initialised by torch's global seed."""
    return load(ARCHITECTURES[config.architecture].address)(config)
