"""What objects say of themselves in a notebook: a line of shape, type and device, no numbers."""

import numpy as np
import pytest
import torch
from predictors import images

from patchmosaic.datasets.images import Images
from patchmosaic.engines.adaptive import AdaptiveEngine
from patchmosaic.engines.base import PosteriorSums
from patchmosaic.machines.ideal import IdealScoreMachine
from patchmosaic.machines.local import EquivariantLocalScoreMachine
from patchmosaic.networks.config import NetworkConfig
from patchmosaic.sampling.samples import Samples

BYTES = np.arange(3 * 64, dtype=np.uint8).reshape(3, 1, 8, 8)
SEEDS = np.arange(4, 7)
BANK = torch.linspace(-1, 1, 20 * 64).reshape(20, 1, 8, 8)


@pytest.mark.parametrize(
    ("thing", "text"),
    [
        (Images(BYTES, None, np.arange(3)), "Images(3 of (1, 8, 8), uint8)"),
        (
            Images(BYTES, np.array([0, 1, 0]), np.arange(3), ("a", "b")),
            "Images(3 of (1, 8, 8), uint8, 2 classes)",
        ),
        (
            Samples(BYTES.astype(np.float32), SEEDS, None, {"noise": 1}),
            "Samples(3 of (1, 8, 8), float32, seeds 4 to 6)",
        ),
        (
            Samples(BYTES.astype(np.float32), SEEDS, SEEDS, {}),
            "Samples(3 of (1, 8, 8), float32, seeds 4 to 6, with labels)",
        ),
        (
            PosteriorSums.empty(BANK[:2], per_pixel=True),
            "PosteriorSums(2 queries of (1, 8, 8), weights of pixels, torch.float32 on cpu)",
        ),
        (
            PosteriorSums.empty(BANK[:2].double(), per_pixel=False),
            "PosteriorSums(2 queries of (1, 8, 8), weights of images, torch.float64 on cpu)",
        ),
        (
            EquivariantLocalScoreMachine(BANK, boundary="circular", engine="dense"),
            "EquivariantLocalScoreMachine(20 images of (1, 8, 8), torch.float32 on cpu, "
            "circular, wrapped candidates, dense engine)",
        ),
        (
            IdealScoreMachine(BANK, torch.arange(20) % 3),
            "IdealScoreMachine(20 images of (1, 8, 8), 3 labels, torch.float32 on cpu, "
            "zeros, dense engine)",
        ),
    ],
    ids=lambda value: value.partition("(")[0] if isinstance(value, str) else None,
)
def test_reprs_are_a_line(thing, text):
    assert repr(thing) == text


def test_estimated_sums_say_their_name():
    engine = AdaptiveEngine()
    if reason := engine.unavailable_reason(torch.device("cpu")):
        pytest.skip(reason)
    bank = engine.bank(images(20, 1, 8, 8))
    sums = engine.posterior_sums(
        BANK[:1], bank, 0.5, 3, boundary="zeros", candidates="wrapped", equivariant=True
    )
    assert repr(sums) == (
        "EstimatedSums(1 queries of (1, 8, 8), weights of pixels, torch.float64 on cpu)"
    )


def test_a_network_s_config_says_all_and_can_be_read_back():
    config = NetworkConfig("resnet", channels=64, classes=10)
    assert repr(config) == (
        "NetworkConfig(architecture='resnet', image_channels=1, size=32, channels=64, layers=6, "
        "padding='zeros', classes=10)"
    )
    assert eval(repr(config)) == config
