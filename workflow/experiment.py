"""Everything that follows from the config of an experiment: its networks, files, jobs and needs.

Plain Python: rule files ask one Experiment, and tests do so without Snakemake. A config is checked
before one is made of it, by workflow/checks.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache, cached_property
from itertools import combinations
from pathlib import Path
from typing import Any

from patchmosaic.datasets.alterations import HALVES
from patchmosaic.datasets.counting import TrainingImages, count_training
from patchmosaic.datasets.image_files import collection_stamp
from patchmosaic.datasets.registry import find_dataset
from patchmosaic.machines.registry import FILTERS, MACHINES, SOURCES, label, ordered, seen_by_need
from patchmosaic.networks.authors import Published, load_published
from patchmosaic.networks.config import NetworkConfig, complete_recipe, row_of_paper
from patchmosaic.networks.model_files import find_files
from patchmosaic.networks.records import snapshots_path
from patchmosaic.publish.names import PAGES
from patchmosaic.sampling.registry import PUBLISHED_STEPS

# Keys of a variant that change the samples of the machine, and of the network.
MACHINE_CHANGES = {"bank_dataset", "bank_images", "bank_split", "candidates", "machine_start"}
MACHINE_CHANGES |= {"patch_size", "scales", "scales_shift"}
NETWORK_CHANGES = {"network_start", "noise_change", "weights"}
RUNNING_KEYS = ("device", "precision", "batch")  # of external networks
UNCHANGED = "unchanged"  # name of the chain as it is, among variants

MOST_THREADS = 8  # more are seldom worth their waiting for each other
USUAL_VALUES = 60_000 * 32 * 32  # of MNIST and Fashion-MNIST, for which rules state their memory
BYTES_A_VALUE = 8  # as read, as float32, as two orders of an engine's bank, and a byte to spare
BYTES_READ = 5  # of each value of images, at least, where they are computed with: read, and float32

KEPT_TRAJECTORIES = 10  # seeds whose trajectories are kept, at most

EXPLORED = {"images": 300, "moments": 7, "top": 6}  # of the explorer: searched, shown, named
MOST_PAGE_BYTES = 20_000_000  # of the explorer's page


class Experiment:
    """What a config describes, with every path as the rules name it.

    Attributes:
        config: valid by :func:`workflow.checks.validate_config`.
        project: folder of the Snakefile, with checkpoints/ and numbers/.
        data, results: where files go, relative to the working folder.
        networks: those that are evaluated, in the order of the tables.
        machines: those that are sampled.
        steps: numbers of steps of the networks.
        analyses: what is computed beside the agreement of final images.
    """

    def __init__(self, config: Mapping, project: Path) -> None:
        self.config = config
        self.project = project
        self.checkpoints = project / "checkpoints"
        self.paper = project / "numbers/paper.yaml"
        self.committed = project / "numbers/committed.yaml"
        self.protocol = project / "numbers/protocol.yaml"
        self._trainings_kept = project / "numbers/tables/training_seeds.csv"
        self.data = Path(config["directories"]["data"])
        self.results = Path(config["directories"]["results"])
        self.networks: list[str] = config["evaluate"]
        self.machines: list[str] = list(config["machines"])
        self.steps: list[int] = config["sampling"]["network_steps"]
        self.analyses: list[str] = config["analyses"]
        self._counted: dict[str, TrainingImages | None] = {}

    # Networks.

    def network(self, name: str) -> Mapping:
        """What the config says of a network."""
        return self.config["networks"][name]

    def of_checkpoint(self, kind: str) -> list[str]:
        """The evaluated networks whose checkpoint is of this kind."""
        return [name for name in self.networks if self.network(name)["checkpoint"] == kind]

    @cached_property
    def with_snapshots(self) -> list[str]:
        """The evaluated networks that come with snapshots of their training."""
        return [
            name
            for name in self.networks
            if self.network(name)["checkpoint"] == "trained"
            or (
                self.network(name)["checkpoint"] == "packaged"
                and has_snapshots(name, self.checkpoints)
            )
        ]

    @cached_property
    def calibrated(self) -> list[str]:
        """The networks whose locality scales are used, sorted."""
        return sorted({self.scales_of(name) for name in self.networks})

    def scales_of(self, name: str) -> str:
        """The network whose locality scales the machines of a network use: its own by default."""
        return self.network(name).get("scales_of", name)

    def architecture(self, name: str) -> str:
        """Kind of network as the paper's tables name it; only the file of an external one knows."""
        return row_of_paper(self.network(name).get("architecture", "external"))

    def running(self, name: str) -> dict:
        """Where and how an external network is run, as far as the config says."""
        return {k: v for k, v in self.network(name).items() if k in RUNNING_KEYS}

    def model_files(self, name: str) -> list[Path]:
        """The files of a network of the diffusers library, none where it is fetched."""
        network = self.network(name)
        return [] if "revision" in network else [*find_files(Path(network["model"])).values()]

    def flips(self, name: str) -> bool:
        """Whether a network was trained on mirror images, too, and machines are given them."""
        return self.network(name).get("flips", False)

    def recipe(self, name: str) -> dict:
        """The recipe that a network is trained by, with its own seed if it has one."""
        return recipe_of(self.config, self.network(name))

    @cached_property
    def kinds(self) -> dict[str, str]:
        """What each evaluated network is and how it was trained, beside its padding."""
        return {name: kind_of(self.config, name) for name in self.networks}

    def is_alike(self, name: str, other: str, halves: bool = False) -> bool:
        """Whether two networks were trained for the same: dataset, flips, padding, conditioning.

        With ``halves`` also where their datasets are halves of one.
        """
        keys = ("padding", "conditional")
        same = all(self.network(name)[key] == self.network(other)[key] for key in keys)
        datasets = self.dataset(name), self.dataset(other)
        images = [self.config["datasets"][dataset] for dataset in datasets]
        whole = [{k: v for k, v in of.items() if k != "half"} for of in images]
        one = datasets[0] == datasets[1] or (halves and whole[0] == whole[1])
        return same and one and self.flips(name) == self.flips(other)

    @cached_property
    def repeats(self) -> list[list[str]]:
        """Groups of evaluated networks that differ in the seed of their training only."""
        return repeats_of(self.config)

    @property
    def trainings(self) -> Path:
        """How medians vary over trainings: the table of this run, or the one that is kept."""
        return self.results / "tables/training_seeds.csv" if self.repeats else self._trainings_kept

    @cached_property
    def siblings(self) -> list[dict]:
        """Pairs of networks that were trained for the same, and their shards, where ELS is there.

        Each has a, b (names), steps and shards, of a and of b.
        """
        return [
            {"a": a, "b": b, "steps": steps, "shards": [self.samples(n, kind) for n in (a, b)]}
            for a, b in combinations(self.networks, 2)
            for steps, kind in ((steps, f"network-{steps}") for steps in self.steps)
            if self.is_alike(a, b, halves=True) and "els" in self.machines
        ]

    @cached_property
    def side_by_side(self) -> dict[str, tuple[str, str]]:
        """For each dataset a ResNet and a UNet that differ in their architecture only."""
        found: dict[str, tuple[str, str]] = {}
        for name in self.networks:
            for other in self.networks:
                kinds = [self.architecture(each) for each in (name, other)]
                if kinds == ["resnet", "unet"] and self.is_alike(name, other):
                    found.setdefault(self.network(name)["dataset"], (name, other))
        return found

    @property
    def runs(self) -> list[dict[str, Any]]:
        """Every evaluated network with every number of steps."""
        return [{"network": name, "steps": n} for name in self.networks for n in self.steps]

    def network_files(self, name: str) -> list[Path]:
        """The weights of a network, and an external one's Python file (of the config's path)."""
        weights = self.results / f"networks/{name}.safetensors"
        is_external = self.network(name)["checkpoint"] == "external"
        return [weights, *([Path(self.network(name)["module"])] if is_external else [])]

    # Images and banks.

    def dataset(self, name: str) -> str:
        """Name of the dataset of a network."""
        return self.network(name)["dataset"]

    def prepared(self, dataset: str, split: str = "train") -> Path:
        """The prepared training (or "test") images of a dataset."""
        size = self.config["datasets"][dataset]["size"]
        return self.data / f"prepared/{dataset}-{size}-{split}.npz"

    def held_out(self, name: str) -> list[Path]:
        """The prepared test images for a network, where its dataset has some."""
        dataset = self.dataset(name)
        source = find_dataset(self.config["datasets"][dataset]["source"])
        return [self.prepared(dataset, "test")] if source.test_images else []

    def local_content(self, dataset: str) -> str | None:
        """What changes when images that are read from a local folder or archive do, else None.

        Raises patchmosaic.datasets.content.DatasetError where they cannot be read.
        """
        chosen = self.config["datasets"][dataset]
        if "local" in chosen and find_dataset(chosen["source"]).is_collection:
            return collection_stamp(Path(chosen["local"]))
        return None

    def training_images(self, dataset: str) -> TrainingImages | None:
        """How many training images a dataset has; None where that takes long to find.

        Raises patchmosaic.datasets.content.DatasetError where the user's cannot be read.
        """
        if dataset not in self._counted:
            chosen = self.config["datasets"][dataset]
            source = find_dataset(chosen["source"])
            if source.train_images is not None:
                there: TrainingImages | None = TrainingImages(source.train_images)
            else:
                there = count_training(source, Path(chosen["local"]))
            half = HALVES[chosen["half"]] if "half" in chosen else None
            self._counted[dataset] = there if half is None or there is None else there.half(half)
        return self._counted[dataset]

    def most_images(self, name: str) -> int | None:
        """The largest number that a bank of a network may ask for; None where nobody knows."""
        there = self.training_images(self.dataset(name))
        if there is None:
            return None
        return there.rarest if self.network(name)["conditional"] else there.total

    @property
    def notices(self) -> list[str]:
        """What a run should say beforehand of images that the user brings."""
        asked, found = self.config["calibration"]["bank_images"], {}
        for name in self.networks:
            most = self.most_images(name)
            if isinstance(asked, int) and most is not None and asked > most:
                found[self.dataset(name)] = (
                    f"calibration.bank_images: {asked:,}, and {self._there(name)}: all are used"
                )
        return list(found.values())

    def _there(self, name: str) -> str:
        of_class = " of the rarest class" if self.network(name)["conditional"] else ""
        return f"{self.dataset(name)} has {self.most_images(name):,} training images{of_class}"

    @property
    def unfit_images(self) -> str | None:
        """Why a bank cannot be made of the images that there are, or None."""
        for name in self.networks:
            dataset, there = self.dataset(name), self.training_images(self.dataset(name))
            is_own = find_dataset(self.config["datasets"][dataset]["source"]).is_own
            if is_own and there and there.rarest is None and self.network(name)["conditional"]:
                return (
                    f"networks.{name}.conditional: true, and the images of {dataset} have no "
                    "classes: put each class into a folder, or set it to false"
                )
            if there and there.total < 2:
                return f"datasets.{dataset}: it has one training image, and 2 are the least"
            asked = {"bank.images": self.config["bank"]["images"]}
            asked |= {
                f"variants.{variant}.bank_images": changes["bank_images"]
                for variant, changes in self.variants[name].items()
                if "bank_images" in changes and not {"bank_dataset", "bank_split"} & set(changes)
            }
            held_out = find_dataset(self.config["datasets"][dataset]["source"]).test_images
            for variant, changes in self.variants[name].items():
                images = self.changed(variant, "bank_images", self.config["bank"]["images"])
                if "bank_split" in changes and isinstance(images, int) and images > held_out:
                    return (
                        f"variants.{variant}.bank_split: test, with a bank of {images:,}, and "
                        f"{dataset} has {held_out:,} test images: at most so many, or all"
                    )
            most = self.most_images(name)
            for key, images in asked.items():
                if isinstance(images, int) and most is not None and images > most:
                    return f"{key}: {images:,}, and {self._there(name)}: at most so many, or all"
        return None

    def bank(self, name: str, images: int | str | None = None, split: str = "train") -> Path:
        """The bank of a network, of bank.images unless said: with labels where it is told them,
        with mirror images where it was trained on them."""
        kind = "classes" if self.network(name)["conditional"] else "pooled"
        return self._bank(self.dataset(name), kind, images, self.flips(name), split)

    def _bank(
        self, dataset: str, kind: str, images: int | str | None, flips: bool, split: str = "train"
    ) -> Path:
        images = self.config["bank"]["images"] if images is None else images
        kind += ("-held_out" if split == "test" else "") + ("-flips" if flips else "")
        return self.results / f"banks/{dataset}-{kind}-{images}.npz"

    def calibration_bank(self, name: str) -> Path:
        """The smaller bank of a network, which calibration and analyses use; all where that is
        no more than it asks for."""
        return self.bank(name, self.calibration_images(name))

    def calibration_images(self, name: str) -> int | str:
        """calibration.bank_images, or "all" where there are fewer."""
        images, most = self.config["calibration"]["bank_images"], self.most_images(name)
        return "all" if most is not None and isinstance(images, int) and images > most else images

    @property
    def exact_engine(self) -> str:
        """The engine of what is always computed exactly."""
        engine = self.config["engine"]
        return "auto" if engine in ("adaptive", "fused") else engine

    @property
    def adaptive(self) -> Mapping | None:
        """Settings of the adaptive engine, where machines are sampled by it."""
        return self.config["adaptive"] if self.config["engine"] == "adaptive" else None

    def needs(self, machine: str) -> tuple[str, ...]:
        """What a machine needs, of :data:`patchmosaic.machines.registry.NEEDS` and FILTERS."""
        if machine in MACHINES:
            return MACHINES[machine].needs
        return tuple(self.config["machines"][machine].get("needs", ()))

    def sees(self, machine: str) -> str:
        """What a machine sees of the network, as :data:`patchmosaic.machines.registry.SEES`."""
        own = {} if machine in MACHINES else self.config["machines"][machine]
        return own.get("sees", seen_by_need(self.needs(machine)))

    @property
    def own_machines(self) -> list[str]:
        """The machines of one's own among those that are sampled."""
        return [machine for machine in self.machines if machine not in MACHINES]

    def own_machine(self, machine: str) -> dict | None:
        """What a machine of one's own is, beside its Python file; None for the registry's."""
        if machine in MACHINES:
            return None
        settings = self.config["machines"][machine].get("settings", {})
        return {"needs": list(self.needs(machine)), "settings": settings}

    def own_machine_files(self, name: str, machine: str) -> list[Path]:
        """The Python file of one's own machine (of the config's path) and the record of its probe
        with the images of a network; none for machines of the registry."""
        if machine in MACHINES:
            return []
        record = self.results / f"machines/{self.sampled_as(name, machine)}/{machine}.json"
        return [Path(self.config["machines"][machine]["module"]), record]

    @property
    def own_questions(self) -> list[dict]:
        """What patchmosaic.machines.ask_own is given: each own machine, once for each bank."""
        found = []
        for machine in self.own_machines:
            for name in dict.fromkeys(self.sampled_as(name, machine) for name in self.networks):
                network, dataset = self.network(name), self.config["datasets"][self.dataset(name)]
                question = {
                    "path": self.config["machines"][machine]["module"],
                    "shape": [channels_of(dataset), dataset["size"], dataset["size"]],
                    "conditional": network["conditional"],
                    "boundary": network["padding"],
                }
                found.append(question | (self.own_machine(machine) or {}))
        return found

    # Seeds and samples.

    @property
    def sampled_steps(self) -> int:
        """Steps in which machines are sampled."""
        sampling = self.config["sampling"]
        return PUBLISHED_STEPS.get(sampling["protocol"], sampling["machine_steps"])

    @property
    def seeds(self) -> Mapping:
        """The noise seeds that machines and networks share: first, count, shard_size."""
        return self.config["seeds"]["evaluation"]

    @property
    def followed_seeds(self) -> int:
        """How many of the first seeds have their trajectories kept: all where claims ask them."""
        count = self.seeds["count"]
        return count if self.asks_claims else min(KEPT_TRAJECTORIES, count)

    @cached_property
    def shards(self) -> list[str]:
        """Names of the shards of the seeds."""
        return [f"{i:03d}" for i in range(-(-self.seeds["count"] // self.seeds["shard_size"]))]

    def noise(self, name: str, purpose: str = "evaluation") -> Path:
        """The noise that a network starts from, for "evaluation" or "calibration"."""
        return self.results / f"noise/{self.dataset(name)}-{purpose}.npz"

    def sampled_as(self, name: str, kind: str) -> str:
        """The network under whose name a kind of sample of a network is kept.

        A machine that is the same for several networks runs once, for the first of them: of the
        same bank and, where it needs them, the same boundary and scales.
        """
        if kind not in self.machines:
            return name

        def machine_of(other: str) -> tuple:
            found = {"boundary": self.network(other)["padding"], "scales": self.scales_of(other)}
            found[FILTERS] = other
            return self.bank(other), *(found[need] for need in self.needs(kind))

        return next(n for n in [*self.networks, name] if machine_of(n) == machine_of(name))

    def samples(self, name: str, kind: str) -> list[str]:
        """All shards of one kind of sample of a network: a machine, or network-<steps>."""
        folder = self.results / f"samples/{self.sampled_as(name, kind)}/{kind}"
        return [str(folder / f"{shard}.npz") for shard in self.shards]

    def samples_by_kind(self, name: str) -> dict[str, list[str]]:
        """The shards of every machine, and of a network in every number of steps."""
        of_machines = {machine: self.samples(name, machine) for machine in self.machines}
        return of_machines | {
            f"network_{n}": self.samples(name, f"network-{n}") for n in self.steps
        }

    @property
    def kinds_of_samples(self) -> dict[str, str]:
        """The words for those kinds, in the order of tables and figures."""
        of_networks = {f"network_{n}": f"network, {n} steps" for n in self.steps}
        return of_networks | {m: m for m in ordered(self.machines)}

    @property
    def local_machines(self) -> list[str]:
        """The registry's machines that use a network's locality scales, in the order of tables."""
        known = [machine for machine in ordered(self.machines) if machine in MACHINES]
        local = [machine for machine in known if "scales" in self.needs(machine)]
        return [machine for machine in local if not self.has_own_scales(machine)]

    def has_own_scales(self, machine: str) -> bool:
        """Whether a machine has locality scales of its own, not those of the network."""
        return machine in MACHINES and MACHINES[machine].calibrated_as != "els"

    @property
    def calibrated_alone(self) -> list[str]:
        """The machines beside ELS that locality scales are calibrated with."""
        own = filter(self.has_own_scales, self.machines)
        return sorted({MACHINES[machine].calibrated_as for machine in own})

    @property
    def calibrations(self) -> list[dict[str, str]]:
        """The calibrations whose scales are used: network, machines ("all", or the one that they
        are for), source (computed or packaged) and the file of their cosines."""
        source = self.config["calibration"]["source"]
        return [
            {
                "network": name,
                "machines": machine or "all",
                "source": "computed" if machine else source,
                "cosines": str(self.results / "calibration" / machine / f"{name}.cosines.csv"),
            }
            for machine in ("", *self.calibrated_alone)
            for name in self.calibrated
        ]

    def followed_shards(self, name: str, machine: str) -> list[Path]:
        """The trajectories of a machine of a network, in those shards that have some."""
        owner = self.sampled_as(name, machine)
        last = (self.followed_seeds - 1) // self.seeds["shard_size"]
        folder = self.results / f"trajectories/{owner}/{machine}"
        return [folder / f"{shard}.npz" for shard in self.shards[: last + 1]]

    def scales(self, name: str) -> Path:
        """The locality scales that the machines of a network use."""
        return self.results / f"calibration/{self.scales_of(name)}.scales.csv"

    def variant_scales(self, name: str, variant: str) -> Path:
        """The locality scales that a variant uses: those of the paper's authors, or as it is."""
        published = self.changed(variant, "scales") == "published"
        return (
            self.results / f"calibration/published/{name}.scales.csv"
            if published
            else self.scales(name)
        )

    def needed_scales(self, name: str, machine: str) -> Path | list:
        """The locality scales that one machine of a network needs, or [] for none."""
        if "scales" not in self.needs(machine):
            return []
        if self.has_own_scales(machine):
            kind, network = MACHINES[machine].calibrated_as, self.scales_of(name)
            return self.results / f"calibration/{kind}/{network}.scales.csv"
        return self.scales(name)

    def filters(self, name: str) -> Path:
        """The filters that are fitted to a network."""
        return self.results / f"distillation/{name}.npz"

    def needed_filters(self, name: str, machine: str) -> Path | list:
        """The filters that one machine of a network needs, or [] for none."""
        return self.filters(name) if FILTERS in self.needs(machine) else []

    @property
    def of_any_bank(self) -> list[str]:
        """The machines of the registry that another bank and a network's scales can be given to."""
        known = [m for m in self.machines if m in MACHINES and FILTERS not in self.needs(m)]
        return [m for m in known if not self.has_own_scales(m)]

    @property
    def calibrates(self) -> bool:
        """Whether locality scales are computed here, not packaged."""
        return self.config["calibration"]["source"] == "computed"

    # Variants.

    @cached_property
    def variants(self) -> dict[str, dict[str, dict]]:
        """The variants of every evaluated network, by name, with their changes."""
        return {name: variants_of(self.config, name) for name in self.networks}

    @property
    def varied(self) -> list[str]:
        """The evaluated networks that have variants."""
        return [name for name in self.networks if self.variants[name]]

    def changed(self, variant: str, key: str, otherwise: object = None) -> Any:
        """What a variant changes a setting to, else what it is."""
        return self.config["variants"][variant].get(key, otherwise)

    def variant_bank(self, name: str, variant: str) -> Path:
        """The bank of a variant: another dataset's is not labelled, and flipped as its own is."""
        images = self.changed(variant, "bank_images", self.config["bank"]["images"])
        other = self.changed(variant, "bank_dataset", {}).get(self.dataset(name))
        return (
            self._bank(other, "pooled", images, self.flips(name))
            if other
            else self.bank(name, images, self.changed(variant, "bank_split", "train"))
        )

    def variant_conditional(self, name: str, variant: str) -> bool:
        """Whether the machine of a variant is told the class."""
        others = self.changed(variant, "bank_dataset", {})
        return self.network(name)["conditional"] and self.dataset(name) not in others

    def compared(self, name: str, steps: int | str) -> dict[str, dict[str, list[str]]]:
        """Shards of machine and network under every variant of a network, and as they are."""

        def shards(variant: str, kind: str, changing: set[str]) -> list[str]:
            if not changing & set(self.variants[name].get(variant, ())):
                return self.samples(name, kind)
            folder = self.results / f"variants/{name}/{variant}/{kind}"
            return [str(folder / f"{shard}.npz") for shard in self.shards]

        def other_side(variant: str) -> list[str]:
            if "noise_change" in self.variants[name].get(variant, ()):
                return self.samples(name, f"network-{steps}")
            return shards(variant, "els", MACHINE_CHANGES)

        return {
            variant: {
                "machine": other_side(variant),
                "network": shards(variant, f"network-{steps}", NETWORK_CHANGES),
            }
            for variant in (UNCHANGED, *self.variants[name])
        }

    # The leaderboard.

    @property
    def has_leaderboard(self) -> bool:
        """Whether predictors are ranked."""
        return "leaderboard" in self.analyses

    def predictors(self, name: str) -> list[dict]:
        """What the leaderboard is told of each machine beside a network.

        Each has machine, label, sees, source, samples (the first shard) and benchmarks.
        """
        found = []
        for machine in self.machines:
            own = machine not in MACHINES
            source = self.config["machines"][machine]["module"] if own else None
            found.append(
                {
                    "machine": machine,
                    "label": label(machine),
                    "sees": self.sees(machine),
                    "source": source or SOURCES[MACHINES[machine].source],
                    "samples": self.samples(name, machine)[0],
                    "benchmarks": self.benchmarks(name, machine),
                }
            )
        return found

    def sibling(self, name: str) -> str | None:
        """The first other evaluated network that was trained for the same."""
        others = (n for n in self.networks if n != name and self.is_alike(n, name))
        return next(others, None)

    def sampled_sibling(self, network: str, steps: int) -> dict | None:
        """The sibling of a network, its shards in so many steps, and what they cost."""
        if not (other := self.sibling(network)):
            return None
        kind = f"network-{steps}"
        return {
            "network": other,
            "samples": self.samples(other, kind),
            "benchmarks": self.benchmarks(other, kind),
        }

    def benchmarks(self, name: str, kind: str) -> list[str]:
        """What Snakemake measures of the jobs behind :meth:`samples`."""
        stem = f"benchmarks/sample-{self.sampled_as(name, kind)}-{kind}"
        return [str(self.results / f"{stem}-{shard}.tsv") for shard in self.shards]

    # Disputed claims.

    @property
    def asks_claims(self) -> bool:
        """Whether disputed claims are asked of the networks."""
        return "claims" in self.analyses

    def altered(self, name: str) -> str:
        """How the images of a network are altered, "" where they are as they are."""
        return self.config["datasets"][self.dataset(name)].get("altered", "")

    @property
    def plain_networks(self) -> list[str]:
        """The evaluated networks of images as they are."""
        return [name for name in self.networks if not self.altered(name)]

    @property
    def followed_trainings(self) -> list[str]:
        """Those of them whose recipes keep moments of their training."""
        return [
            name
            for name in self.plain_networks
            if name in self.with_snapshots and self.recipe(name)["snapshots"]
        ]

    def plain_bank(self, name: str) -> Path:
        """The bank of a network with its images as they are."""
        kind = "classes" if self.network(name)["conditional"] else "pooled"
        dataset = plain_dataset(self.config, self.dataset(name)) or self.dataset(name)
        return self._bank(dataset, kind, None, self.flips(name))

    @property
    def attention_pairs(self) -> list[tuple[str, str]]:
        """Each network with attention, and one that is alike but for that."""
        kinds = {name: self.network(name).get("architecture") for name in self.plain_networks}
        return [
            (name, other)
            for name in kinds
            for other in kinds
            if (kinds[name], kinds[other]) == ("unet_attention", "unet")
            and self.is_alike(name, other)
        ]

    # The report.

    @property
    def pages(self) -> dict[str, Path]:
        """The pages that are made of the experiment, by their keys in PAGES."""
        left_out = {
            "leaderboard": not self.has_leaderboard,
            "explorer": "els" not in self.machines,  # there is no ELS machine to explore
        }
        return {page: self.results / file for page, file in PAGES.items() if not left_out.get(page)}

    @property
    def explored_seeds(self) -> int:
        """How many of the first seeds the explorer shows: two where its page has room, else one."""
        sides = [self.config["datasets"][self.dataset(name)]["size"] for name in self.networks]
        size = sum(
            explorer_bytes(self.values(name), side**2, len(self.machines))
            for name, side in zip(self.networks, sides, strict=True)
        )
        return 2 if 2 * size <= MOST_PAGE_BYTES else 1

    @property
    def more_tables(self) -> dict[str, str]:
        """Tables beside those of agreement: path relative to the report, and what each holds."""
        found = {
            "scales": "locality scales of every network",
            "trajectories": "agreement over time, a row a time and seed",
            "trajectory_bands": "the same within bands of frequency",
        }
        if self.siblings:
            found["siblings"] = "networks of the same images with each other"
        if self.has_leaderboard:
            found["leaderboard"] = (
                "every predictor by every measure; also .html and, for LaTeX, .tex"
            )
        if self.asks_claims:
            found["claims"] = "disputed claims, and what becomes of each"
            found["claims_tests"] = "the tests behind them"
            found["claims_gradients"] = "where networks look, beside Wiener filters"
        if self.repeats:
            found["training_seeds"] = "spread over trainings and over noise"
        if self.varied:
            found["variants"] = "controls and ablations"
        return {f"../tables/{name}.csv": words for name, words in found.items()}

    # What jobs need.

    def memory(self, usual_mb: int, name: str, bank: int | str = "all") -> int:
        """MB for a job with the training images of a network, or with a bank of so many of them.

        A number that is of each class may come to all images.
        """
        dataset = self.config["datasets"][self.dataset(name)]
        there = self.training_images(self.dataset(name))
        images = None if there is None else there.total
        if isinstance(bank, int) and images and not self.network(name)["conditional"]:
            images = min(images, bank)
        if images and self.flips(name):
            images *= 2
        return memory_for(usual_mb, images, channels_of(dataset), dataset["size"])

    def making_mb(self, dataset: str, kind: str) -> int:
        """MB for a job that makes a bank of a kind, which holds its images as they are."""
        chosen, usual_mb = self.config["datasets"][dataset], 2000
        if not kind.endswith("-flips"):
            return usual_mb
        there = self.training_images(dataset)
        images = 0 if there is None else there.total
        return memory_for(usual_mb, 2 * images, channels_of(chosen), chosen["size"])

    def bank_mb(self, name: str) -> int:
        """MB for a job that runs machines on the bank of a network."""
        return self.memory(4000, name, self.config["bank"]["images"])

    def values(self, name: str) -> int:
        """The number of values of an image of a network."""
        dataset = self.config["datasets"][self.dataset(name)]
        return channels_of(dataset) * dataset["size"] ** 2

    def matrices_mb(self, name: str, machine: str) -> int:
        """MB that a machine of a network takes for covariances and what is made of them, at least.

        Of a bank of fewer images than values they are smaller.
        """
        values, bank = self.values(name), self.config["bank"]["images"]
        count = MACHINES[machine].matrices if machine in MACHINES else 0
        images = bank * (2 if self.flips(name) else 1) if isinstance(bank, int) else values
        rank = min(values, images)
        return count * 8 * values * rank // 2**20

    def machine_mb(self, name: str, machine: str) -> int:
        """MB for a job that samples a machine of a network."""
        return self.bank_mb(name) + self.matrices_mb(name, machine)

    def distillation_mb(self, name: str) -> int:
        """MB for fitting filters to a network: samples and matrices in float64, and the bank."""
        samples, values = self.config["distillation"]["samples"], self.values(name)
        return self.bank_mb(name) + 6 * 8 * values * (samples + 2 * values) // 2**20

    def too_large(self, memory_mb: int) -> str | None:
        """Why something cannot be run with so much memory, or None."""
        for name in self.networks:
            if reason := self._images_too_large(name, memory_mb * 2**20):
                return reason
            for machine in self.machines:
                needed, values = self.matrices_mb(name, machine), self.values(name)
                if needed > memory_mb:
                    return (
                        f"machines: the covariance of images of {values:,} values takes {machine} "
                        f"{needed * 2**20:,} bytes, and this computer has {memory_mb * 2**20:,}: "
                        f"leave {machine} out, or lower datasets.{self.dataset(name)}.size; "
                        f"{int((memory_mb / needed) ** 0.5 * values):,} values would fit"
                    )
        return None

    def _images_too_large(self, name: str, memory: int) -> str | None:
        """Why the images of a network do not fit into so many bytes of memory, or None."""
        dataset, asked, values = (
            self.dataset(name),
            self.config["bank"]["images"],
            self.values(name),
        )
        if not (there := self.training_images(dataset)):
            return None
        trained = self.network(name)["checkpoint"] == "trained"
        key, chosen = f"networks.{name}.checkpoint: trained, on", there.total
        if not trained:
            chosen = min(there.total, asked) if isinstance(asked, int) else there.total
            chosen *= 2 if self.flips(name) else 1
            key = f"bank.images: {asked};"
        if (needed := chosen * values * BYTES_READ) <= memory:
            return None
        cure = (
            ""
            if trained
            else f"set bank.images to at most {memory // (values * BYTES_READ):,}, or "
        )
        return (
            f"{key} {chosen:,} images of {dataset} of {values:,} values take {needed:,} bytes of "
            f"memory, and this computer has {memory:,}: {cure}lower datasets.{dataset}.size, or "
            "take a computer with more"
        )

    def calibration_mb(self, name: str) -> int:
        """MB for the calibration of a network."""
        return self.memory(3000, name, self.calibration_images(name))


def threads_each(jobs: int, mem_mb: int, cores: int, memory_mb: int) -> int:
    """Threads for each of so many like jobs that may run at once: together the cores.

    Jobs side by side keep cores busier than threads within one: no thread waits for another. No
    more are side by side than have room in the memory, unless even MOST_THREADS leave cores free.
    """
    side_by_side = max(min(jobs, memory_mb // mem_mb), 1)
    return min(max(cores // side_by_side, 1), MOST_THREADS)


def memory_for(usual_mb: int, images: int | None, channels: int, size: int) -> int:
    """MB of memory for a job that takes ``usual_mb`` with 60,000 gray images of 32 x 32 pixels.

    What a job holds of its images grows with their number of values, images x channels x size^2;
    the rest, an index of patches too, is bounded. Fewer images than usual ask for as much, and so
    do folders whose number of images (None) is not known.
    """
    more = (images or 0) * channels * size**2 - USUAL_VALUES
    return usual_mb + max(more, 0) * BYTES_A_VALUE // 2**20


def explorer_bytes(values: int, pixels: int, machines: int) -> int:
    """Of one network and seed in the explorer's page, where no image can be compressed.

    Args:
        values, pixels: of an image.
        machines: whose images are shown beside the network's and the explored machine's.
    """
    images = EXPLORED["images"] + 2 * EXPLORED["moments"] * (2 + machines)
    of_a_pixel = EXPLORED["moments"] * (8 * EXPLORED["top"] + 4)  # candidates and their weights
    return (values * images + pixels * of_a_pixel) * 4 // 3 + 20_000  # in base64, and the words


def has_snapshots(name: str, checkpoints: Path) -> bool:
    """Whether a packaged network comes with snapshots of its training."""
    return snapshots_path(checkpoints / f"{name}.safetensors").exists()


def network_config(config: Mapping, name: str) -> NetworkConfig:
    """The package's description of a network of the config that is not an external one.

    The number of classes is known once the images are; until then a class-conditional network
    counts as having one.
    """
    network = config["networks"][name]
    dataset = config["datasets"][network["dataset"]]
    return NetworkConfig.of(network, channels_of(dataset), dataset["size"], classes=1)


def channels_of(dataset: Mapping) -> int:
    """The channels of the images of a dataset of the config."""
    return dataset.get("channels", find_dataset(dataset["source"]).channels)


@cache
def published_networks() -> dict[tuple[str, str, str], Published]:
    """The networks that the paper's authors published, by row of the paper's tables."""
    return load_published(Path(__file__).parents[1] / "numbers/authors.yaml")


def published_row(config: Mapping, name: str) -> tuple[str, str, str]:
    """Dataset, architecture and padding of a network, as the paper's tables name them."""
    network = config["networks"][name]
    source = find_dataset(config["datasets"][network["dataset"]]["source"])
    architecture = row_of_paper(network.get("architecture", "external"))
    return source.copy_of or source.id, architecture, network["padding"]


def plain_dataset(config: Mapping, name: str) -> str | None:
    """The dataset of the config that has the same images as they are; None where there is none."""

    def plain(dataset: Mapping) -> dict:
        return {key: value for key, value in dataset.items() if key not in ("altered", "local")}

    images = config["datasets"]
    alike = (other for other in images if plain(images[other]) == plain(images[name]))
    return next((other for other in alike if "altered" not in images[other]), None)


def recipe_of(config: Mapping, network: Mapping) -> dict:
    """The recipe that a network of the config is trained by, with its own seed if it has one."""
    recipe = complete_recipe(config["recipes"][network["recipe"]])
    return recipe | {"seed": network.get("training_seed", recipe["seed"])}


def kind_of(config: Mapping, name: str) -> str:
    """What a network of the config is and how it was trained, beside its padding, as JSON."""
    network = config["networks"][name]
    kept = {k: v for k, v in network.items() if k not in ("padding", "checkpoint", "scales_of")}
    if "recipe" in network:
        kept["recipe"] = recipe_of(config, network) | {"snapshots": None}
    return json.dumps(kept, sort_keys=True)


def repeats_of(config: Mapping) -> list[list[str]]:
    """Groups, of two and more, of evaluated networks that differ in their training seed only."""
    groups: dict[str, list[str]] = {}
    for name in config["evaluate"]:
        network = config["networks"][name]
        if network["checkpoint"] not in ("trained", "packaged"):
            continue
        kept = {k: v for k, v in network.items() if k not in ("checkpoint", "training_seed")}
        kept["recipe"] = recipe_of(config, network) | {"seed": None, "snapshots": None}
        groups.setdefault(json.dumps(kept, sort_keys=True), []).append(name)
    return [
        sorted(names, key=lambda name: recipe_of(config, config["networks"][name])["seed"])
        for names in groups.values()
        if len(names) > 1
    ]


def variants_of(config: Mapping, name: str) -> dict[str, dict]:
    """The variants that apply to a network, by name.

    One applies unless it is for other networks, its bank is for other datasets or of test images
    that the dataset does not have, or it is about the candidates of a circular boundary or about
    classes and the network has neither.
    """
    network, found = config["networks"][name], {}
    for variant, changes in config["variants"].items():
        if name not in changes.get("networks", [name]):
            continue
        if network["dataset"] not in changes.get("bank_dataset", [network["dataset"]]):
            continue
        if "candidates" in changes and network["padding"] != "circular":
            continue
        source = config["datasets"][network["dataset"]]["source"]
        if "bank_split" in changes and not find_dataset(source).test_images:
            continue
        if changes.get("shuffled") == "class" and not network["conditional"]:
            continue
        if "scales" in changes and published_row(config, name) not in published_networks():
            continue
        found[variant] = changes
    return found
