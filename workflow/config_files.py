"""The config of an experiment: the project's own, what overrides it, and names that keys had."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path

import yaml

YAML = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast where it is compiled
BASE = "config.yaml"  # of the project; every config overrides it, from whatever folder


def completed(project: Path, *overrides: Mapping) -> tuple[dict, list[str]]:
    """The project's config with each of these over those before it, and notices of older names."""
    config = yaml.load((project / BASE).read_text(encoding="utf-8"), YAML)
    notices: list[str] = []
    for override in overrides:
        today, found = renamed(override)
        config = merged(config, today)
        notices += found
    return config, notices


def merged(base: Mapping, override: Mapping) -> dict:
    """One config over another, as Snakemake does it: mappings merge, all else is replaced."""
    result = copy.deepcopy(dict(base))
    for key, value in override.items():
        both = isinstance(value, Mapping) and isinstance(result.get(key), Mapping)
        result[key] = merged(result[key], value) if both else copy.deepcopy(value)
    return result


def renamed(config: Mapping) -> tuple[dict, list[str]]:
    """A config in today's names, and a line for each older one, which the next version refuses.

    Where a key stands under both names nothing is renamed: the older one is then unknown.
    """
    result, notices = copy.deepcopy(dict(config)), []
    if "configurations" in result and "evaluate" not in result:
        result["evaluate"] = result.pop("configurations")
        notices.append("configurations: this key is called evaluate now; rename it")
    networks = result.get("networks")
    if isinstance(networks, dict):
        for name, network in networks.items():
            if isinstance(network, Mapping) and network.get("checkpoint") == "own":
                networks[name] = {**network, "checkpoint": "external"}
                notices.append(f"networks.{name}.checkpoint: own is called external now; rename it")
    return result, notices
