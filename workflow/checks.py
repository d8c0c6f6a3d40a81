"""Checks a config before any work starts; every message names the key, the value and the cure."""

from __future__ import annotations

import difflib
import math
import os
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import yaml
from jsonschema import Draft202012Validator, validators
from jsonschema.exceptions import ValidationError, best_match

from patchmosaic.datasets.alterations import ALTERATIONS, HALVES
from patchmosaic.datasets.content import DatasetError
from patchmosaic.datasets.registry import REGISTRY, find_dataset
from patchmosaic.engines.registry import CHOICES
from patchmosaic.machines.registry import (
    BOUNDARIES,
    CANDIDATES,
    MACHINES,
    NEEDS,
    OWN_NAME,
    SEES,
    seen_by_need,
)
from patchmosaic.networks.config import NetworkConfig, complete_recipe
from patchmosaic.networks.edm_header import check_images, read_header
from patchmosaic.networks.model_files import find_files
from patchmosaic.networks.registry import (
    ARCHITECTURES,
    DIRECTIONS,
    PRECISIONS,
    PREDICTIONS,
    SPECIAL,
    TRAINING_PRECISIONS,
)
from patchmosaic.sampling.registry import PROTOCOLS, PUBLISHED_STEPS, STARTS
from patchmosaic.sampling.scales import read_scales
from patchmosaic.system.devices import DEVICES
from patchmosaic.system.records import RecordError, load_record
from workflow.config_files import YAML
from workflow.experiment import (
    MACHINE_CHANGES,
    NETWORK_CHANGES,
    RUNNING_KEYS,
    UNCHANGED,
    channels_of,
    has_snapshots,
    network_config,
    plain_dataset,
    published_networks,
    published_row,
    recipe_of,
    repeats_of,
    variants_of,
)

SCHEMA = Path(__file__).parent / "schemas" / "config.schema.yaml"
MOST_SHARDS = 1000
EXTERNAL_FILES = {"module": ".py", "weights": ".safetensors"}
# Keys of networks that are brought in, by kind.
EXTERNAL_KEYS = {
    "external": (*EXTERNAL_FILES, "predicts", "direction", "flips", *RUNNING_KEYS),
    "diffusers": ("model", "revision", "flips", *RUNNING_KEYS),
    "edm": ("weights", "flips", *RUNNING_KEYS),
}
OF_ANY_PROTOCOL = ("nearest_patches", "leaderboard")
"""Analyses of final images alone."""
# Keys of networks that are built here.
BUILT_KEYS = ("architecture", "channels", *SPECIAL, "recipe", "training_seed")


def _is_number(_, value: object) -> bool:
    return type(value) is int or (type(value) is float and math.isfinite(value))


# JSON Schema takes 32.0 for an integer and has no NaN; file names and array shapes need 32.
Validator = validators.extend(
    Draft202012Validator,
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine_many(
        {"integer": lambda _, value: type(value) is int, "number": _is_number}
    ),
)


class ConfigError(ValueError):
    """A config that cannot be run."""


def validate_config(config: dict, checkpoints: Path) -> None:
    """Raise ConfigError unless ``config`` fits the schema and is consistent in itself."""
    errors = list(Validator(_schema()).iter_errors(config))
    if errors:
        raise ConfigError("\n".join(sorted({_readable(error) for error in errors})))
    _check_seeds(config["seeds"])
    key, sizes = "calibration.patch_sizes", config["calibration"]["patch_sizes"]
    for size in sizes:
        if size % 2 == 0:
            raise ConfigError(f"{key}: {size} is even; patch sizes are odd, like {size + 1}")
    if sizes != sorted(sizes):
        raise ConfigError(f"{key}: {sizes} is not in increasing order")
    _check_distillation(config)
    _check_machines(config)
    if config["sampling"]["protocol"] != "ours":
        _check_protocol(config)
    used = _used_datasets(config)
    for name, dataset in config["datasets"].items():
        _check_dataset(name, dataset, is_used=name in used)
    for name in config["evaluate"]:
        _check_network(name, config, checkpoints)
    if "claims" in config["analyses"]:
        _check_claims(config)
    _check_repeats(config)
    _check_variants(config, checkpoints)
    if config["calibration"]["source"] == "packaged":
        for name in config["evaluate"]:
            _check_scales(config["networks"][name].get("scales_of", name), config, checkpoints)


@cache
def _schema() -> dict:
    schema = yaml.load(SCHEMA.read_text(), YAML)
    known: dict[str, Iterable[str]] = {
        "alteration": ALTERATIONS,
        "half": HALVES,
        "machine": MACHINES,
        "need": NEEDS,
        "sees": SEES,
        "architecture": ARCHITECTURES,
        "precision": PRECISIONS,
        "training_precision": TRAINING_PRECISIONS,
        "prediction": PREDICTIONS,
        "direction": DIRECTIONS,
        "boundary": BOUNDARIES,
        "candidates": CANDIDATES,
        "engine": CHOICES,
        "protocol": PROTOCOLS,
        "start": STARTS,
        "device": DEVICES,
    }
    schema["$defs"] |= {name: {"enum": list(names)} for name, names in known.items()}
    schema["$defs"]["machine_name"] = {
        "title": "name of a machine",
        "description": "small letters, digits and _, not network at the beginning",
        "pattern": f"^(?:{OWN_NAME.pattern})(?!\\n)$",
        "maxLength": 64,
    }
    plain = {"type": "object", "additionalProperties": False}  # those of the registry
    schema["properties"]["machines"]["properties"] = dict.fromkeys(MACHINES, plain)
    return schema


def _key(path) -> str:
    plain = [isinstance(part, str) and re.fullmatch(r"[\w-]+", part) for part in path]
    text = "".join(
        f".{part}" if is_plain else f"[{part!r}]"
        for part, is_plain in zip(path, plain, strict=True)
    )
    return text.lstrip(".") or "the config"


def _did_you_mean(value: object, allowed) -> str:
    close = difflib.get_close_matches(str(value), [str(a) for a in allowed], n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


def _readable(error: ValidationError) -> str:
    """One line for a schema error: where, what was found, what is allowed."""
    key = _key(error.absolute_path)
    if error.validator == "additionalProperties":
        allowed = error.schema.get("properties", {})
        unknown = [k for k in error.instance if k not in allowed]
        names = ", ".join(f"{k!r}{_did_you_mean(k, allowed)}" for k in unknown)
        return f"{key}: unknown key {names}; allowed: {', '.join(allowed)}"
    if error.validator == "required":
        missing = [k for k in error.validator_value if k not in error.instance]
        return f"{key}: missing key {', '.join(missing)}"
    if error.validator == "enum":
        allowed = ", ".join(map(str, error.validator_value))
        hint = _did_you_mean(error.instance, error.validator_value)
        return f"{key}: {error.instance!r} is not allowed{hint}; choose one of {allowed}"
    if error.validator == "pattern":
        schema = error.schema
        return f"{key}: {error.instance!r} is no {schema['title']}; use {schema['description']}"
    if error.validator == "contains":
        return f"{key}: 'is' is missing; it is the baseline of every comparison"
    if error.validator == "oneOf":
        reason = best_match(error.context).message
        return f"{key}: {error.instance!r} is not allowed: {reason}; {error.schema['description']}"
    hint = ""
    if error.validator == "type" and isinstance(error.instance, float):
        hint = f" (write {error.instance:.0f})" if error.instance.is_integer() else ""
    elif error.validator == "type" and "number" in str(error.validator_value):
        hint = " (write 1.0e-4, not 1e-4, which YAML reads as text)"
    return f"{key}: {error.message}{hint}"


def _check_seeds(seeds: dict) -> None:
    evaluation, calibration = seeds["evaluation"], seeds["calibration"]
    shards = -(-evaluation["count"] // evaluation["shard_size"])
    if shards > MOST_SHARDS:
        raise ConfigError(
            f"seeds.evaluation.count: {evaluation['count']} seeds do not fit into {MOST_SHARDS} "
            f"shards of {evaluation['shard_size']}; raise seeds.evaluation.shard_size to at least "
            f"{-(-evaluation['count'] // MOST_SHARDS)}"
        )
    first, last = evaluation["first"], evaluation["first"] + evaluation["count"]
    if calibration["first"] < last and first < calibration["first"] + calibration["count"]:
        raise ConfigError(
            f"seeds.calibration.first: {calibration['first']} makes calibration use seeds of the "
            f"evaluation ({first} to {last - 1}); choose at least {last}"
        )


def _check_distillation(config: dict) -> None:
    samples, held_out = (config["distillation"][key] for key in ("samples", "held_out"))
    if held_out >= samples:
        raise ConfigError(
            f"distillation.held_out: {held_out} of {samples} samples leave none to fit to; choose "
            "fewer"
        )


def _check_machines(config: dict) -> None:
    """Machines of one's own, and whether the engine can be used where they are sampled."""
    for name in config["machines"]:
        if name in MACHINES:
            continue
        if hasattr([], name):
            raise ConfigError(f"machines.{name}: Snakemake keeps this name: choose another")
        path = config["machines"][name]["module"]
        if not path.endswith(".py"):
            raise ConfigError(f"machines.{name}.module: {path!r} does not end in .py")
        if not Path(path).is_file():
            raise ConfigError(f"machines.{name}.module: there is no file {path!r}")
        needs = config["machines"][name].get("needs", ())
        if config["machines"][name].get("sees") == "none" != seen_by_need(needs):
            raise ConfigError(
                f"machines.{name}.sees: none, but it needs scales, which see the network; leave "
                "sees out, or choose P(t)"
            )
    interpreted = os.environ.get("TRITON_INTERPRET") == "1"
    if config["engine"] == "fused" and config["device"] == "cpu" and not interpreted:
        raise ConfigError(
            "engine: fused computes on a graphics card, and device is cpu; set device to cuda, or "
            "engine to auto"
        )


def _check_protocol(config: dict) -> None:
    """A published protocol has steps and a start of its own, and not everything can follow it."""
    sampling = config["sampling"]
    where, steps = f"but sampling.protocol is {sampling['protocol']}", sampling["network_steps"]
    if steps != [levels := PUBLISHED_STEPS[sampling["protocol"]]]:
        raise ConfigError(
            f"sampling.network_steps: {steps}, {where}, with levels of its own; write [{levels}]"
        )
    for key in ("machine_start", "network_start"):
        if sampling[key] != "full":
            raise ConfigError(f"sampling.{key}: {sampling[key]}, {where}; set it to full")
    if others := [a for a in config["analyses"] if a not in OF_ANY_PROTOCOL]:
        raise ConfigError(
            f"analyses: {', '.join(others)}, {where}, which only {' and '.join(OF_ANY_PROTOCOL)} "
            "can follow"
        )
    if config["variants"]:
        raise ConfigError(f"variants: {', '.join(config['variants'])}, {where}; leave them out")


def _check_claims(config: dict) -> None:
    """Networks of altered images are compared with what their images were before."""
    if "els" not in config["machines"] or "ls" not in config["machines"]:
        raise ConfigError("analyses: claims, which are about els and ls: machines needs both")
    for name in config["evaluate"]:
        dataset = config["networks"][name]["dataset"]
        if plain_dataset(config, dataset) is None:
            raise ConfigError(
                f"analyses: claims, and datasets.{dataset} of {name} is altered: datasets needs "
                "one that is the same without altered"
            )


def _used_datasets(config: dict) -> set[str]:
    """Names of the datasets that something is computed from."""
    networks = (config["networks"].get(name, {}) for name in config["evaluate"])
    banks = (changes.get("bank_dataset", {}) for changes in config["variants"].values())
    return {network.get("dataset") for network in networks} | {
        other for bank in banks for other in bank.values()
    }


def _check_dataset(name: str, dataset: dict, *, is_used: bool) -> None:
    try:
        source = find_dataset(dataset["source"])
    except DatasetError as error:
        raise ConfigError(f"datasets.{name}.source: {error}") from None
    if name in REGISTRY and name != dataset["source"]:
        raise ConfigError(
            f"datasets.{name}: this name belongs to the registry's own {name!r}; images from "
            f"{dataset['source']!r} need another one"
        )
    for key in ("half", "altered"):
        if name in REGISTRY and key in dataset:
            raise ConfigError(
                f"datasets.{name}.{key}: {dataset[key]}, but this name is that of the plain "
                f"images, all of them; take another, such as {name}_{dataset[key]}"
            )
    if not source.takes(channels_of(dataset)):
        raise ConfigError(
            f"datasets.{name}.channels: {dataset['channels']}, allowed: 1 (gray), 3 (RGB); others "
            "are for the source image_array alone"
        )
    local = dataset.get("local")
    try:
        missing = local is not None and not Path(local).exists()
    except OSError as error:
        raise ConfigError(f"datasets.{name}.local: {error}") from None
    if missing and is_used:
        raise ConfigError(
            f"datasets.{name}.local: {local!r} does not exist; bring the images, or leave the "
            "networks of this dataset out of evaluate"
        )
    if source.only_local and local is None:
        raise ConfigError(
            f"datasets.{name}.local: {source.title} cannot be downloaded; name the folder or "
            "archive that holds it"
        )


def _check_network(name: str, config: dict, checkpoints: Path) -> None:
    networks, where = config["networks"], f"networks.{name}"
    if name not in networks:
        hint = _did_you_mean(name, networks)
        raise ConfigError(
            f"evaluate: there is no network {name!r}{hint}; networks has {', '.join(networks)}"
        )
    network = networks[name]
    is_external = network["checkpoint"] in EXTERNAL_KEYS
    allowed = EXTERNAL_KEYS.get(network["checkpoint"], BUILT_KEYS)
    for key in (*BUILT_KEYS, *(key for keys in EXTERNAL_KEYS.values() for key in keys)):
        if key in network and key not in allowed:
            raise ConfigError(
                f"{where}.{key}: is not used where checkpoint is {network['checkpoint']}; leave it "
                "out (a network of another config file keeps its keys: take another name)"
            )
    for key, table in (("dataset", config["datasets"]), ("recipe", config["recipes"])):
        if key in network and network[key] not in table:
            hint = _did_you_mean(network[key], table)
            raise ConfigError(
                f"{where}.{key}: {network[key]!r} is not defined{hint}; "
                f"{key}s has {', '.join(table)}"
            )
    for key in SPECIAL if not is_external else ():
        is_taken = key in ARCHITECTURES[network["architecture"]].settings
        if (key in network) != is_taken:
            wanted = "needs" if is_taken else "is not used by"
            raise ConfigError(f"{where}.{key}: {wanted} a {network['architecture']}")
    if network["padding"] == "circular" and config["bank"]["candidates"] == "interior":
        largest = config["calibration"]["patch_sizes"][-1]
        _check_interior("calibration.patch_sizes", largest, network, config)
    if network["checkpoint"] == "external":
        _check_external_files(where, network)
    elif network["checkpoint"] == "diffusers":
        _check_model(where, network)
    elif network["checkpoint"] == "edm":
        _check_edm(where, network, config["datasets"][network["dataset"]])
    else:
        try:
            expected = network_config(config, name)
        except ValueError as error:
            raise ConfigError(f"{where}: {error}") from None
    if network["checkpoint"] == "published":
        row, known = published_row(config, name), published_networks()
        if row not in known or known[row].conditional != network["conditional"]:
            there = "; ".join(", ".join(each) for each in known)
            raise ConfigError(
                f"{where}.checkpoint: published, but the paper's authors published no such network "
                f"({', '.join(row)}, conditional {network['conditional']}); theirs are {there}"
            )
    if network["checkpoint"] == "packaged":
        _check_checkpoint(where, network, expected, config, checkpoints / f"{name}.safetensors")
    scales_of = network.get("scales_of", name)
    if scales_of not in config["evaluate"]:
        raise ConfigError(
            f"{where}.scales_of: {scales_of!r} is not among the evaluated networks, so its scales "
            "are not calibrated"
        )


def _check_interior(where: str, patch_size: int, network: dict, config: dict) -> None:
    size = config["datasets"][network["dataset"]]["size"]
    if patch_size > size:
        raise ConfigError(
            f"{where}: {patch_size} exceeds the image size {size}, so a circular "
            "machine has no interior candidates"
        )


def _check_repeats(config: dict) -> None:
    for names in repeats_of(config):
        seeds: dict[int, str] = {}
        for name in names:
            seed = recipe_of(config, config["networks"][name])["seed"]
            if seed in seeds:
                raise ConfigError(
                    f"networks.{name}: is the same network as {seeds[seed]}; give one of them a "
                    "training_seed of its own, or leave it out of evaluate"
                )
            seeds[seed] = name


def _check_variants(config: dict, checkpoints: Path) -> None:
    if config["variants"] and "els" not in config["machines"]:
        raise ConfigError("variants: they are compared with els, which machines does not have")
    for variant, changes in config["variants"].items():
        where = f"variants.{variant}"
        if variant == UNCHANGED:
            raise ConfigError(f"{where}: this is the name of the chain as it is; choose another")
        for name in changes.get("networks", []):
            if name not in config["evaluate"]:
                hint = _did_you_mean(name, config["evaluate"])
                raise ConfigError(
                    f"{where}.networks: {name!r} is not among the evaluated networks{hint}"
                )
        size = changes.get("patch_size", 1)
        if size % 2 == 0:
            raise ConfigError(
                f"{where}.patch_size: {size} is even; patch sizes are odd, like {size + 1}"
            )
        for keys in (
            ("patch_size", "scales", "scales_shift"),
            ("bank_dataset", "bank_split"),
            ("noise_change", "shuffled"),
        ):
            given = [key for key in keys if key in changes]
            if len(given) > 1:
                raise ConfigError(f"{where}: {' and '.join(given)} exclude each other")
        others = MACHINE_CHANGES | NETWORK_CHANGES - {"noise_change"}
        if "noise_change" in changes and (more := sorted(others & set(changes))):
            raise ConfigError(
                f"{where}: noise_change compares the network with itself; leave out "
                f"{', '.join(more)}"
            )
        if ("noise_change" in changes) != (changes["kind"] == "yardstick"):
            raise ConfigError(
                f"{where}.kind: {changes['kind']}, but a variant is a yardstick just where it has "
                "noise_change, so that els is not part of it"
            )
        for name in changes.get("networks", []):
            if variant not in variants_of(config, name):
                raise ConfigError(
                    f"{where}.networks: it does not fit {name}, whose dataset, padding or classes "
                    "are not those that it is about"
                )
        for dataset, other in changes.get("bank_dataset", {}).items():
            _check_bank(f"{where}.bank_dataset", dataset, other, config)
        if changes.get("candidates", config["bank"]["candidates"]) == "interior":
            has_size = "patch_size" in changes
            key = f"{where}.patch_size" if has_size else "calibration.patch_sizes"
            largest = size if has_size else config["calibration"]["patch_sizes"][-1]
            for name in config["evaluate"]:
                network = config["networks"][name]
                if network["padding"] == "circular" and variant in variants_of(config, name):
                    _check_interior(key, largest, network, config)
    for name in config["evaluate"]:
        checkpoint = config["networks"][name]["checkpoint"]
        trained = checkpoint == "trained"
        for variant, changes in variants_of(config, name).items():
            if "weights" in changes and checkpoint in EXTERNAL_KEYS:
                raise ConfigError(
                    f"variants.{variant}.weights: {changes['weights']}, but {name} is an external "
                    "network, of which there are no other weights; name the networks it is for in "
                    "networks"
                )
            if changes.get("weights") == "raw" and not (
                trained or has_snapshots(name, checkpoints)
            ):
                raise ConfigError(
                    f"variants.{variant}.weights: raw, but {name} is packaged without snapshots of "
                    "its training; name the networks it is for in networks, or train it here"
                )


def _check_bank(where: str, dataset: str, other: str, config: dict) -> None:
    """A bank of another dataset must have images of the same size and channels."""
    shapes = []
    for name in (dataset, other):
        if name not in config["datasets"]:
            hint = _did_you_mean(name, config["datasets"])
            raise ConfigError(f"{where}: {name!r} is not defined{hint}")
        chosen = config["datasets"][name]
        shapes.append((channels_of(chosen), chosen["size"]))
    if shapes[0] != shapes[1]:
        raise ConfigError(
            f"{where}: {other} has {shapes[1][0]} channels of {shapes[1][1]} pixels, {dataset} "
            f"{shapes[0][0]} of {shapes[0][1]}: a bank must have the images' own shape"
        )


def _check_file(where: str, network: dict, key: str, how: str) -> None:
    """A file of a network that is brought in; ``how`` it is written is said where it is another."""
    ending = EXTERNAL_FILES[key]
    if not network[key].endswith(ending):
        raise ConfigError(
            f"{where}.{key}: {network[key]!r} does not end in {ending} ({how}; no pickle is read)"
        )
    try:
        exists = Path(network[key]).is_file()
    except OSError as error:
        raise ConfigError(f"{where}.{key}: {error}") from None
    if not exists:
        raise ConfigError(f"{where}.{key}: there is no file {network[key]!r}")


def _check_external_files(where: str, network: dict) -> None:
    how = "weights are written by safetensors.torch.save_file(network.state_dict(), path)"
    for key in EXTERNAL_FILES:
        _check_file(where, network, key, how)
    if (network["predicts"] == "flow") != ("direction" in network):
        raise ConfigError(
            f"{where}.direction: a flow needs one (to_noise: the velocity is noise - x0; to_image: "
            "x0 - noise), and no other prediction has one"
        )


def _check_model(where: str, network: dict) -> None:
    model, revision = network["model"], network.get("revision")
    try:
        is_folder = Path(model).is_dir()
    except OSError as error:
        raise ConfigError(f"{where}.model: {error}") from None
    if is_folder and revision is None:
        try:
            find_files(Path(model))
        except RecordError as error:
            raise ConfigError(f"{where}.model: {error}") from None
    elif revision is None or not re.fullmatch(r"[\w.-]+/[\w.-]+", model):
        raise ConfigError(
            f"{where}.model: {model!r} is no folder that is there; a model of the hub is named "
            "owner/name and needs a revision, the 40 digits of a commit"
        )


def _check_edm(where: str, network: dict, dataset: dict) -> None:
    _check_file(where, network, "weights", "tools/convert_edm.py writes it")
    path, size = Path(network["weights"]), dataset["size"]
    try:
        shape = (channels_of(dataset), size, size)
        check_images(path, read_header(path), shape, network["conditional"])
    except RecordError as error:
        raise ConfigError(f"{where}.weights: {error}") from None


def _check_scales(name: str, config: dict, checkpoints: Path) -> None:
    where, steps = "calibration.source: packaged, but", config["sampling"]["machine_steps"]
    checkpoint = config["networks"][name]["checkpoint"]
    if checkpoint != "packaged":
        kinds = {"trained": "trained here", "published": "one of the paper's authors"}
        kind = kinds.get(checkpoint, "an external network")
        cure = f", or networks.{name}.checkpoint to packaged" if checkpoint == "trained" else ""
        raise ConfigError(
            f"{where} {name} is {kind}, and packaged scales are for the packaged network; "
            f"set calibration.source to computed{cure}"
        )
    for kind in ("scales", "cosines"):
        path = checkpoints / f"{name}.{kind}.csv"
        if not path.exists():
            raise ConfigError(f"{where} {path} does not exist")
    path, weights = (checkpoints / f"{name}.{kind}" for kind in ("scales.csv", "safetensors"))
    try:
        record = load_record(path)
        calibrated_for, candidates = record.get("weights_sha256"), record.get("candidates")
        found = load_record(weights).get("weights_sha256")
        times = read_scales(path)
    except RecordError as error:
        raise ConfigError(f"{where} {error}") from None
    if calibrated_for != found:
        raise ConfigError(
            f"{where} {path} is for weights with SHA-256 {calibrated_for}, and {weights} has "
            f"{found}; set calibration.source to computed"
        )
    wanted = config["bank"]["candidates"]
    if config["networks"][name]["padding"] == "circular" and candidates != wanted:
        raise ConfigError(
            f"bank.candidates: {wanted}, but the packaged scales {path} were found with "
            f"{candidates} ones; set calibration.source to computed, or make it a variant"
        )
    if len(times) != steps or any(abs(t * steps - i - 1) > 1e-6 for i, t in enumerate(times)):
        raise ConfigError(
            f"sampling.machine_steps: {steps}, but the packaged scales {path} are for "
            f"{len(times)} steps; set calibration.source to computed"
        )


def _check_checkpoint(
    where: str, network: dict, expected: NetworkConfig, config: dict, path: Path
) -> None:
    try:
        record = load_record(path)
        found = dict(record["network"])
        found["classes"] = int(found["classes"] > 0)
        differences = expected.differences(found)
        if record["dataset"] != network["dataset"]:
            differences.append(f"dataset: {record['dataset']!r} instead of {network['dataset']!r}")
        recipe = complete_recipe(record["training"])
        differences += [
            f"recipe's {key}: {recipe.get(key)!r} instead of {value!r}"
            for key, value in recipe_of(config, network).items()
            if recipe.get(key) != value
        ]
    except RecordError as error:
        raise ConfigError(f"{where}.checkpoint: packaged, but {error}") from None
    except KeyError as error:
        raise ConfigError(f"{where}.checkpoint: the record of {path} lacks {error}") from None
    except (TypeError, ValueError, AttributeError) as error:
        raise ConfigError(f"{where}.checkpoint: the record of {path}: {error}") from None
    if differences:
        raise ConfigError(
            f"{where}.checkpoint: {path} does not fit this config: {'; '.join(differences)}; "
            "mend the config, or set checkpoint to trained"
        )
