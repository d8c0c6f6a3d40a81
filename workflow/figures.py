"""The figures, a row each, in the order of the report; one rule a row is made from this table.

A row's name is that of a module of patchmosaic.figures, whose ``draw(**inputs, **settings)`` makes
the figure, and of its caption workflow/report/<name>.rst.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from patchmosaic.publish.names import NAMES
from workflow.experiment import UNCHANGED, Experiment

DRAWN_SEEDS = 10  # seeds that stand side by side, at most
ANIMATED_SEEDS = 3  # seeds that the animations show, at most

Inputs = Mapping[str, Path | str | Sequence[Path | str]]


@dataclass(frozen=True)
class Figure:
    """How a figure is made, and when.

    title: its wildcards in braces. category: its section of the reports. inputs: by name, from the
    experiment and the wildcards of a job. each: the wildcards of every drawing of an experiment; []
    where it does not apply. settings: what ``draw`` is told beside its inputs. wildcards: their
    names.
    second: the suffix of the file beside .png. mem_mb: of a job.
    """

    title: str
    category: str
    inputs: Callable[[Experiment, Any], Inputs]
    each: Callable[[Experiment], Sequence[Mapping[str, object]]] = lambda e: [{}]
    settings: Callable[[Experiment, Any], Mapping[str, Any]] = lambda e, w: {}
    wildcards: tuple[str, ...] = ()
    second: str = "pdf"
    mem_mb: int = 1000

    @property
    def suffix(self) -> str:
        """What follows the name of the figure in its files and log: the wildcards."""
        return "".join(f"-{{{name}}}" for name in self.wildcards)

    @property
    def message(self) -> str:
        """What Snakemake says of a job."""
        title = self.title
        for name in self.wildcards:
            title = title.replace(f"{{{name}}}", f"{{wildcards.{name}}}")
        return f"Drawing: {title}"


def _table(name: str) -> Callable[[Experiment, Any], Inputs]:
    return lambda e, w: {"table": e.results / f"tables/{name}.csv"}


def _of_networks(folder: str) -> Callable[[Experiment, Any], Inputs]:
    return lambda e, w: {"tables": [e.results / f"{folder}/{name}.csv" for name in e.networks]}


def _if(applies: Callable[[Experiment], object]) -> Callable[[Experiment], list[dict]]:
    return lambda e: [{}] if applies(e) else []


def _if_els(e: Experiment) -> bool:
    return "els" in e.machines


def _networks_with_els(e: Experiment) -> list[dict]:
    return [{"network": name} for name in e.networks if _if_els(e)]


def _runs_with_garments(e: Experiment) -> list[dict]:
    """The runs of networks told Fashion-MNIST's classes, where ELS is there to be told them too."""

    def fits(name: str) -> bool:
        images = e.config["datasets"][e.dataset(name)]
        is_fashion = images["source"] == "fashion_mnist" and "altered" not in images
        return is_fashion and e.network(name)["conditional"] and _if_els(e)

    return [run for run in e.runs if fits(run["network"])]


def _first_shards(e: Experiment, name: str, kind: str) -> list[str]:
    """Those in which the seeds that are drawn lie."""
    return e.samples(name, kind)[: -(-DRAWN_SEEDS // e.seeds["shard_size"])]


def _pair(e: Experiment, w: Any) -> Inputs:
    samples = {machine: _first_shards(e, w.network, machine) for machine in e.machines}
    return samples | {
        "network": _first_shards(e, w.network, f"network-{w.steps}"),
        "agreement": e.results / f"agreement/{w.network}-{w.steps}.csv",
        "bank": e.bank(w.network),
    }


def _worst(e: Experiment, w: Any) -> Inputs:
    return {
        **_all_shards(e, w),
        "agreement": e.results / f"agreement/{w.network}-{w.steps}.csv",
    }


def _runs_that_fall(e: Experiment) -> list[dict]:
    """Of each network the run of the most steps, where ELS is there to fall short."""
    return [run for run in e.runs if run["steps"] == max(e.steps) and _if_els(e)]


def _architectures(e: Experiment, w: Any) -> Inputs:
    """First shards of a dataset's ResNet and UNet, and of the local machines of each."""
    kinds = [f"network-{w.steps}", *e.local_machines]
    names = dict(zip(("resnet", "unet"), e.side_by_side[w.dataset], strict=True))
    return {
        f"{architecture}_{kind.split('-')[0]}": _first_shards(e, name, kind)
        for architecture, name in names.items()
        for kind in kinds
    }


def _all_shards(e: Experiment, w: Any) -> Inputs:
    samples = {machine: e.samples(w.network, machine) for machine in e.machines}
    network = e.samples(w.network, f"network-{w.steps}")
    return samples | {"network": network, "bank": e.bank(w.network)}


def _calibration(e: Experiment, kind: str) -> list[Path]:
    return [e.results / f"calibration/{name}.{kind}.csv" for name in e.calibrated]


FIGURES: dict[str, Figure] = {
    "headline": Figure("Median agreement", NAMES["headline"], _table("headline")),
    "leaderboard": Figure(
        "Leaderboard", "Agreement", _table("leaderboard"), each=_if(lambda e: e.has_leaderboard)
    ),
    "claims": Figure(
        "Disputed claims",
        "Agreement",
        lambda e, w: {
            "claims": e.results / "tables/claims.csv",
            "tests": e.results / "tables/claims_tests.csv",
            "protocol": e.protocol,
        },
        each=_if(lambda e: e.asks_claims),
    ),
    "scatter": Figure("Every seed", "Agreement", _table("agreement")),
    "measures": Figure(
        "r, r² and R²",
        "Agreement",
        lambda e, w: {"agreement": e.results / "tables/agreement.csv", "paper": e.paper},
        each=_if(_if_els),
    ),
    "siblings": Figure(
        "Networks with each other",
        "Agreement",
        _table("siblings"),
        each=_if(lambda e: e.siblings),
    ),
    "training_seeds": Figure(
        "Training seeds",
        "Agreement",
        lambda e, w: {
            "agreement": e.results / "tables/agreement.csv",
            "spread": e.results / "tables/training_seeds.csv",
        },
        each=_if(lambda e: e.repeats),
        settings=lambda e, w: {
            "repeats": e.repeats,
            "seeds": {n: e.recipe(n)["seed"] for names in e.repeats for n in names},
        },
    ),
    "bands": Figure(
        "Agreement by spatial frequency",
        "Agreement",
        lambda e, w: {
            "tables": [e.results / "bands/{network}-{steps}.csv".format(**run) for run in e.runs]
        },
    ),
    "trajectories": Figure("Agreement over time", "Agreement", _table("trajectories")),
    "trajectory_bands": Figure(
        "Agreement over time by spatial frequency", "Agreement", _table("trajectory_bands")
    ),
    "pairs": Figure(  # the paper's figures 5, 13 to 24
        "{network}, {steps} network steps",
        NAMES["pairs"],
        _pair,
        each=lambda e: e.runs,
        settings=lambda e, w: {"title": w.network, "steps": w.steps, "seeds": DRAWN_SEEDS},
        wildcards=("network", "steps"),
    ),
    "worst": Figure(
        "Where ELS and {network} agree least, {steps} network steps",
        NAMES["pairs"],
        _worst,
        each=_runs_that_fall,
        settings=lambda e, w: {"title": w.network, "steps": w.steps, "seeds": DRAWN_SEEDS},
        wildcards=("network", "steps"),
    ),
    "architectures": Figure(  # the paper's figure 7
        "{dataset}, ResNet and UNet, {steps} network steps",
        NAMES["pairs"],
        _architectures,
        each=lambda e: [{"dataset": d, "steps": n} for d in e.side_by_side for n in e.steps],
        settings=lambda e, w: {
            "machines": e.local_machines,
            "title": f"{w.dataset}, {w.steps} network steps",
            "seeds": DRAWN_SEEDS,
        },
        wildcards=("dataset", "steps"),
    ),
    "garments": Figure(  # the paper's figure 5c
        "Inconsistent garments of {network}, {steps} network steps",
        NAMES["pairs"],
        _all_shards,
        each=_runs_with_garments,
        settings=lambda e, w: {"title": f"{w.network}, {w.steps} steps"},
        wildcards=("network", "steps"),
    ),
    "denoising": Figure(
        "{network} and ELS, from noise to image",
        NAMES["pairs"],
        lambda e, w: {"trajectories": e.results / f"trajectories/{w.network}.npz"},
        each=_networks_with_els,
        settings=lambda e, w: {
            "network": w.network,
            "seeds": min(ANIMATED_SEEDS, e.seeds["count"]),
        },
        wildcards=("network",),
        second="gif",
    ),
    "novelty": Figure("How new the samples are", NAMES["creativity"], _of_networks("novelty")),
    "nearest_patches": Figure(
        "What the samples are made of",
        NAMES["creativity"],
        lambda e, w: {
            "patches": [e.results / f"nearest_patches/{name}.csv" for name in e.networks],
            "images": [e.results / f"novelty/{name}.csv" for name in e.networks],
        },
        each=_if(lambda e: "nearest_patches" in e.analyses),
    ),
    "patch_origins": Figure(
        "Where the pixels of {network} come from",
        NAMES["creativity"],
        lambda e, w: {
            "bank": e.bank(w.network),
            "noise": e.noise(w.network),
            "scales": e.scales(w.network),
        },
        each=_networks_with_els,
        settings=lambda e, w: {
            "network": w.network,
            "boundary": e.network(w.network)["padding"],
            "conditional": e.network(w.network)["conditional"],
            "candidates": e.config["bank"]["candidates"],
            "engine": e.exact_engine,
            "steps": e.config["sampling"]["machine_steps"],
            "start": e.config["sampling"]["machine_start"],
            "images": 150,
            "moments": [0.4, 0.7, 1.0],
        },
        wildcards=("network",),
        mem_mb=2000,
    ),
    "variants": Figure(
        "Controls and ablations",
        NAMES["controls"],
        _table("variants"),
        each=_if(lambda e: e.varied),
        settings=lambda e, w: {"unchanged": UNCHANGED},
    ),
    "learning": Figure(
        "Agreement during the training",
        NAMES["controls"],
        lambda e, w: {"tables": [e.results / f"learning/{name}.csv" for name in e.with_snapshots]},
        each=_if(lambda e: e.with_snapshots and "learning" in e.analyses),
    ),
    "scales": Figure("Locality scales", "Locality", _table("scales")),  # the paper's figure 4b
    "sharpness": Figure(
        "How sharp the optimum of P is",
        "Locality",
        lambda e, w: {kind: _calibration(e, kind) for kind in ("cosines", "scales")},
        settings=lambda e, w: {"networks": e.calibrated},
    ),
    "jacobians": Figure(  # the paper's figure 4a
        "How far networks look",
        "Locality",
        lambda e, w: {
            "gradients": [e.results / f"jacobians/{name}.npz" for name in e.networks],
            "scales": [e.scales(name) for name in e.networks],
        },
        settings=lambda e, w: {"networks": e.networks},
    ),
    "consistency": Figure(  # theorem 4.1
        "Local consistency over time",
        "Theory",
        _of_networks("consistency"),
        each=_if(lambda e: "consistency" in e.analyses),
    ),
    "mosaics": Figure(  # the paper's figure 3
        "Mosaics of two images",
        "Theory",
        lambda e, w: {},
        settings=lambda e, w: {
            "size": 32,
            "patch_sizes": [3, 5, 9],
            "steps": [5, 10, 20, 100, 1000],
            "seeds": 8,
        },
    ),
    "borders": Figure("Border dictionaries", "Theory", lambda e, w: {}),  # the paper's figure 9
}


def drawings(e: Experiment) -> list[dict[str, Any]]:
    """Every drawing of an experiment, in the order of the report: what the report says of each.

    Each has path, title, category, caption (its file) and wildcards, and vectors: the same as .pdf,
    or nothing.
    """
    return [
        {
            "path": str(e.results / f"figures/{name}{figure.suffix.format(**wildcards)}.png"),
            "title": figure.title.format(**wildcards),
            "category": figure.category,
            "caption": str(e.project / f"workflow/report/{name}.rst"),
            "wildcards": {key: str(value) for key, value in wildcards.items()},
            "vectors": [str(e.results / f"figures/{name}{figure.suffix.format(**wildcards)}.pdf")]
            if figure.second == "pdf"
            else [],
        }
        for name, figure in FIGURES.items()
        for wildcards in figure.each(e)
    ]
