"""What the rules share: the validated config, its folders, and digests of the code."""

import shlex
import sys
from itertools import combinations

import psutil
from snakemake.exceptions import WorkflowError

if set("{}") & set(str(workflow.basedir)):
    raise WorkflowError(
        f"{workflow.basedir}: Snakemake takes the braces in this path for wildcards: rename the "
        "folder, or move the project"
    )

# Workflow and jobs use the package beside this Snakefile, whatever else is installed.
BESIDE = shlex.quote(str(workflow.basedir))
shell.prefix(f"export PYTHONPATH={BESIDE}${{{{PYTHONPATH:+:$PYTHONPATH}}}}; ")
sys.path[:0] = [str(workflow.basedir), str(Path(workflow.basedir) / "workflow")]

from patchmosaic.datasets.content import DatasetError
from patchmosaic.datasets.image_files import collection_stamp
from patchmosaic.datasets.registry import find_dataset
from patchmosaic.networks.config import row_of_paper
from patchmosaic.publish.manifest import (
    content_digest,
    git_state,
    portable_config,
    source_digests,
)
from code_digest import code_digest
from sharing import MOST_THREADS, memory_for, threads_each
from validation import (
    MACHINE_CHANGES,
    NETWORK_CHANGES,
    UNCHANGED,
    ConfigError,
    has_snapshots,
    kind_of,
    recipe_of,
    repeats_of,
    validate_config,
    variants_of,
)

# Snakemake writes this into the command of every script without quotes of its own.
sys.executable = shlex.quote(sys.executable)

CHECKPOINTS = Path(workflow.basedir) / "checkpoints"
EXPECTED = Path(workflow.basedir) / "numbers/expected.yaml"

try:
    validate_config(config, CHECKPOINTS)
except ConfigError as error:
    raise WorkflowError(f"the config cannot be run:\n{error}")

DATA = Path(config["directories"]["data"])
RESULTS = Path(config["directories"]["results"])
NETWORKS = config["configurations"]
TRAINED = [n for n in NETWORKS if config["networks"][n]["checkpoint"] == "trained"]
PACKAGED = [n for n in NETWORKS if config["networks"][n]["checkpoint"] == "packaged"]
OWN = [n for n in NETWORKS if config["networks"][n]["checkpoint"] == "own"]
WITH_SNAPSHOTS = [
    n
    for n in NETWORKS
    if n in TRAINED or n in PACKAGED and has_snapshots(n, CHECKPOINTS)
]
SEEDS = config["seeds"]["evaluation"]
SHARDS = [f"{i:03d}" for i in range(-(-SEEDS["count"] // SEEDS["shard_size"]))]
TRAJECTORY_SEEDS = min(10, SEEDS["count"])  # seeds whose trajectories are kept


wildcard_constraints:
    dataset="|".join(config["datasets"]),
    network="|".join(config["networks"]),
    machine="|".join(config["machines"]),
    steps=r"\d+",
    shard=r"\d{3}",
    purpose="evaluation|calibration",


def code(script):
    """Digest of what a script of a rule rests on, so that a change to it reruns the rule."""
    return code_digest(Path(workflow.basedir), Path("scripts") / script)


def network(wildcards):
    """The config of the network a job is about."""
    return config["networks"][wildcards.network]


def architecture_of(name):
    """Kind of network as the paper's tables name it; an own network's is for its file to know."""
    return row_of_paper(config["networks"][name].get("architecture", "own"))


def network_files(wildcards):
    """The weights of a network, and an own one's Python file, run only from the config's path."""
    weights = RESULTS / f"networks/{wildcards.network}.safetensors"
    is_own = wildcards.network in OWN
    return [weights, *([network(wildcards)["module"]] if is_own else [])]


def scales_of(name):
    """The network whose locality scales the machines of a network use: its own by default."""
    return config["networks"][name].get("scales_of", name)


def dataset_of(wildcards):
    """Name of the dataset of the network a job is about."""
    return network(wildcards)["dataset"]


def local_content(wildcards):
    """What changes when images that are read from a local folder or archive do, else None."""
    dataset = config["datasets"][wildcards.dataset]
    if find_dataset(dataset["source"]).only_local:
        try:
            return collection_stamp(Path(dataset["local"]))
        except DatasetError as error:
            raise WorkflowError(f"datasets.{wildcards.dataset}.local: {error}")


def prepared(dataset):
    """The prepared training images of a dataset."""
    return DATA / f"prepared/{dataset}-{config['datasets'][dataset]['size']}-train.npz"


def bank_of(name, images):
    """The bank of a network: labelled where the network is class-conditional."""
    chosen = config["networks"][name]
    kind = "classes" if chosen["conditional"] else "pooled"
    return RESULTS / f"banks/{chosen['dataset']}-{kind}-{images}.npz"


def memory(usual_mb, name, bank="all"):
    """MB for a job with the training images of a network, or with a bank of so many of them.

    A number that is of each class may come to all images.
    """
    dataset = config["datasets"][config["networks"][name]["dataset"]]
    source = find_dataset(dataset["source"])
    images = source.train_images
    if bank != "all" and images and not config["networks"][name]["conditional"]:
        images = min(images, bank)
    return memory_for(
        usual_mb, images, dataset.get("channels", source.channels), dataset["size"]
    )


def bank_mb(name):
    """MB for a job that runs machines on the bank of a network."""
    return memory(4000, name, config["bank"]["images"])


def calibration_mb(name):
    """MB for the calibration of a network."""
    return memory(3000, name, config["calibration"]["bank_images"])


def sampled_as(name, kind):
    """The network under whose name a kind of sample of a network is kept.

    A machine that is the same for several networks runs once, for the first of them: IS of the same
    bank; the others also of the same boundary and scales.
    """

    def machine_of(other):
        bank = bank_of(other, config["bank"]["images"])
        padding = config["networks"][other]["padding"]
        return bank if kind == "is" else (bank, padding, scales_of(other))

    if kind not in config["machines"]:
        return name
    return next(n for n in [*NETWORKS, name] if machine_of(n) == machine_of(name))


def samples_of(name, kind):
    """All shards of one kind of sample of a network."""
    owner = sampled_as(name, kind)
    return [str(RESULTS / f"samples/{owner}/{kind}/{shard}.npz") for shard in SHARDS]


def shards(wildcards, kind):
    """All shards of one kind of sample of the network a job is about."""
    return samples_of(wildcards.network, kind)


def followed_shards(wildcards, machine):
    """The trajectories of a machine of a network, in those shards that have some."""
    owner = sampled_as(wildcards.network, machine)
    last = (TRAJECTORY_SEEDS - 1) // SEEDS["shard_size"]
    return [
        RESULTS / f"trajectories/{owner}/{machine}/{shard}.npz"
        for shard in SHARDS[: last + 1]
    ]


def shared_cores(jobs, mem_mb):
    """Threads for each of so many like jobs, where they run on this machine; elsewhere the most."""
    settings = workflow.resource_settings
    elsewhere = workflow.remote_exec or settings.nodes is not None
    cores = None if elsewhere else settings.cores
    if cores is None:
        return MOST_THREADS
    return threads_each(jobs, mem_mb, cores, psutil.virtual_memory().total // 2**20)


def config_files():
    """The config's files in the order in which they were read: the workflow's own, then the user's.

    Files outside the working folder are given by name alone.
    """
    given = [Path(path).absolute() for path in workflow.overwrite_configfiles]
    own = [Path(path).absolute() for path in workflow.configfiles]
    here = Path.cwd()
    return [
        str(path.relative_to(here)) if path.is_relative_to(here) else path.name
        for path in [*(path for path in own if path not in given), *given]
    ]


def is_alike(name, other):
    """Whether two networks were trained for the same: dataset, padding, conditioning."""
    keys = ("dataset", "padding", "conditional")
    return all(
        config["networks"][name][k] == config["networks"][other][k] for k in keys
    )


def variant(wildcards, key, otherwise=None):
    """What a variant changes a setting to, else what it is."""
    return config["variants"][wildcards.variant].get(key, otherwise)


def variant_bank(wildcards):
    """The bank of a variant: another dataset's is not labelled."""
    name, images = wildcards.network, config["bank"]["images"]
    other = variant(wildcards, "bank_dataset", {}).get(dataset_of(wildcards))
    images = variant(wildcards, "bank_images", images)
    return (
        RESULTS / f"banks/{other}-pooled-{images}.npz"
        if other
        else bank_of(name, images)
    )


def variant_shards(name, chosen, kind, changing):
    """The shards of one kind of sample: of the variant where it changes them, else the usual ones."""
    if not changing & set(VARIANTS[name][chosen]):
        return samples_of(name, kind)
    folder = RESULTS / f"variants/{name}/{chosen}/{kind}"
    return [str(folder / f"{shard}.npz") for shard in SHARDS]


def compared(wildcards):
    """Shards of machine and network for every variant of a network, and for the chain as it is."""
    name, kind = wildcards.network, f"network-{wildcards.steps}"
    usual = {
        "machine": samples_of(name, "els"),
        "network": samples_of(name, kind),
    }
    return {UNCHANGED: usual} | {
        chosen: {
            "machine": variant_shards(name, chosen, "els", MACHINE_CHANGES),
            "network": variant_shards(name, chosen, kind, NETWORK_CHANGES),
        }
        for chosen in VARIANTS[name]
    }


# Pairs of networks that were trained for the same, and so may be compared with each other.
SIBLINGS = [
    {
        "a": a,
        "b": b,
        "steps": steps,
        "shards": [samples_of(n, f"network-{steps}") for n in (a, b)],
    }
    for a, b in combinations(NETWORKS, 2)
    for steps in config["sampling"]["network_steps"]
    if is_alike(a, b) and "els" in config["machines"]
]
REPEATS = repeats_of(config)  # networks that differ in the seed of their training
VARIANTS = {name: variants_of(config, name) for name in NETWORKS}
CALIBRATED = sorted({scales_of(name) for name in NETWORKS})
