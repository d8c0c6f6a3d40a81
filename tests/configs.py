"""The shipped configs, and how one overrides another."""

import copy
from pathlib import Path

import yaml

ROOT = Path(__file__).parent.parent


def merged(base, override):
    """Snakemake's way: mappings merge, everything else is replaced."""
    result = copy.deepcopy(base)
    for key, value in override.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = merged(result[key], value) if both else value
    return result


def read(name):
    return yaml.safe_load((ROOT / name).read_text())


DEFAULT = read("config.yaml")


OWN = {
    "configurations": ["mnist-resnet-zeros", "mine"],
    "networks": {
        "mine": {
            "dataset": "mnist",
            "padding": "zeros",
            "conditional": False,
            "checkpoint": "own",
            "module": str(ROOT / "docs/own_network.py"),
            "weights": str(ROOT / "checkpoints/mnist-resnet-zeros.safetensors"),
            "predicts": "x0",
        }
    },
}
"""An override with an own network, of files that are there."""
