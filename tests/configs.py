"""The shipped configs, and how one overrides another."""

from pathlib import Path

import yaml

from workflow.config_files import merged  # noqa: F401

ROOT = Path(__file__).parent.parent


def read(name):
    return yaml.safe_load((ROOT / name).read_text())


DEFAULT = read("config.yaml")


OWN = {
    "evaluate": ["mnist-resnet-zeros", "mine"],
    "networks": {
        "mine": {
            "dataset": "mnist",
            "padding": "zeros",
            "conditional": False,
            "checkpoint": "external",
            "module": str(ROOT / "docs/own_network.py"),
            "weights": str(ROOT / "checkpoints/mnist-resnet-zeros.safetensors"),
            "predicts": "x0",
        }
    },
}
"""An override with an own network, of files that are there."""
