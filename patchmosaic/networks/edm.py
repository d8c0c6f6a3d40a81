"""Networks of EDM (Karras et al. 2022, arXiv 2206.00364), from safetensors with a JSON header.

The weights are those of the published classes' state_dict; ``tools/convert_edm.py`` writes such a
file from a published one. The architecture is built here, from its description: the published files
bring it as source code, which would have to be run.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from patchmosaic.networks.edm_header import KEY, NUMBERS, UNetSettings, check_header
from patchmosaic.networks.edm_unet import EdmUNet
from patchmosaic.networks.external import AS_IT_IS, ExternalNetwork, Running, load_weights
from patchmosaic.system.records import RecordError


class Preconditioned(nn.Module):
    """A network F as the denoiser D = c_skip x + c_out F(c_in x, c_noise), x = x_0 + sigma noise.

    It is asked with x_t, which is x / sqrt(1 + sigma^2), and gives x_0 (table 1 of the paper).
    """

    def __init__(self, header: Mapping[str, Any]) -> None:
        super().__init__()
        self.kind = header["preconditioning"]
        self.numbers = {name: float(header[name]) for name in NUMBERS[self.kind]}
        settings = UNetSettings.of(header["network"])
        self.model = EdmUNet(settings, header["channels"], header["size"], header["labels"])

    def factors(self, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(c_skip, c_out, c_in, c_noise) at sigma, each of its shape."""
        if self.kind == "edm":
            data = self.numbers["sigma_data"]
            whole = sigma**2 + data**2
            return data**2 / whole, sigma * data / whole.sqrt(), whole.rsqrt(), sigma.log() / 4
        one = torch.ones_like(sigma)
        if self.kind == "ve":
            return one, sigma, one, (sigma / 2).log()
        slope, start = self.numbers["beta_d"], self.numbers["beta_min"]
        # sigma^2 + 1 = exp(beta_d t^2 / 2 + beta_min t), solved for t in [0, 1]
        t = ((start**2 + 2 * slope * torch.log1p(sigma**2)).sqrt() - start) / slope
        return one, -sigma, (1 + sigma**2).rsqrt(), (self.numbers["M"] - 1) * t

    def forward(self, x_t: Tensor, sigma: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B, C, H, W) of x_t (B, C, H, W), sigma (B,) and classes int64 (B,)."""
        *factors, level = self.factors(sigma)
        skip, out, scale = (factor[:, None, None, None] for factor in factors)
        x = x_t * (1 + sigma**2).sqrt()[:, None, None, None]
        return skip * x + out * self.model(scale * x, level, labels)


def build_edm(
    path: Path, header: Mapping[str, Any], weights: Path, running: Running = AS_IT_IS
) -> ExternalNetwork:
    """The network of a header, in evaluation mode; its time is sigma.

    Args:
        path: for messages.
        header: as of :mod:`patchmosaic.networks.edm_header`.
        weights: a safetensors file of the published class's state_dict.
        running: where and how it is run.

    Raises:
        RecordError: for a header that is none, and weights that do not fit it.
    """
    check_header(path, header)
    try:
        network = Preconditioned(header)
    except (ValueError, RuntimeError) as error:
        raise RecordError(f"{path}: header {KEY!r}: no such network can be made: {error}") from None
    load_weights(network, weights, f"the {header['network']['model_type']} of {path}")
    time_of = sigma_within(*header["sigma_range"])
    return ExternalNetwork(network, time_of, "x0", path, running=running).eval()


def sigma_within(least: float, largest: float) -> Callable[[float], float]:
    """sigma = sqrt((1 - alpha_bar) / alpha_bar), or the nearest in a range, of an alpha_bar."""
    return lambda a_bar: min(max(math.sqrt((1 - a_bar) / a_bar), least), largest)
