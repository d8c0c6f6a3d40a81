"""Configs: the shipped ones fit the schema, and bad ones are refused by key, value and cure."""

import dataclasses
import json
import math
import shutil

import pandas as pd
import pytest
import yaml
from configs import DEFAULT, OWN, ROOT, merged, read

from patchmosaic.networks.config import complete_recipe
from patchmosaic.networks.records import snapshots_path, verify_checkpoint, verify_snapshots
from patchmosaic.networks.training import TrainingRecipe
from patchmosaic.sampling.scales import verify_scales
from patchmosaic.system.records import RECORD_DIGEST, load_record, save_record
from workflow.checks import SCHEMA, ConfigError, validate_config
from workflow.experiment import recipe_of, repeats_of, variants_of


def validate(*overrides):
    config = DEFAULT
    for override in overrides:
        config = merged(config, override)
    validate_config(config, ROOT / "checkpoints")


def test_shipped_configs_are_valid(tmp_path):
    validate()
    for name in (
        "ci",
        "train",
        "ablations",
        "interior",
        "training_seeds",
        "wide_mnist",
        "leaderboard",
        "claims",
        "halves",
    ):
        validate(read(f"config/{name}.yaml"))
    for name in ("paper", "wide", "paper_networks", "authors", "leaderboard"):
        validate(read(f"config/{name}.yaml"))
    faces = {"datasets": {"celeba": {"local": str(tmp_path)}}}
    for name in ("paper_width", "celeba"):
        validate(read(f"config/{name}.yaml"), faces)
    folder = {"datasets": {"photographs": {"local": str(tmp_path)}}}
    validate(read("config/photographs.yaml"), folder)


@pytest.mark.parametrize("name", ["ci", "paper", "wide", "wide_mnist", "training_seeds"])
def test_packaged_networks_are_what_their_config_says(name):
    """By the record of the training: the network, its recipe and the images that it has seen."""
    config = merged(DEFAULT, read(f"config/{name}.yaml"))
    for chosen in config["evaluate"]:
        network, record = (
            config["networks"][chosen],
            load_record(ROOT / f"checkpoints/{chosen}.json"),
        )
        trained = record["network"] | {"dataset": record["dataset"]}
        trained["conditional"] = trained["classes"] > 0
        given = {key: value for key, value in network.items() if key in trained}
        assert network["checkpoint"] == "packaged"
        assert len(given) >= 5
        assert trained.items() >= given.items()
        assert complete_recipe(record["training"]) == recipe_of(config, network)


def test_images_that_no_evaluated_network_needs_may_be_missing():
    away = {"datasets": {"cifar10_jpeg": {"local": "not/here"}}}
    paper = merged(read("config/paper.yaml"), away)
    validate(paper, {"evaluate": ["mnist-resnet-circular"]})
    with pytest.raises(ConfigError, match="'not/here' does not exist; bring the images"):
        validate(paper)
    other = {"other": {"kind": "control", "bank_dataset": {"mnist": "cifar10_jpeg"}}}
    with pytest.raises(ConfigError, match="'not/here' does not exist"):
        validate(paper, {"evaluate": ["mnist-resnet-circular"], "variants": other})


def test_interior_candidates_of_a_variant_need_patches_that_fit():
    circular = {"evaluate": ["mnist-resnet-circular"]}
    interior = {"variants": {"interior": {"kind": "ablation", "candidates": "interior"}}}
    validate(circular, interior)
    with pytest.raises(ConfigError, match="33 exceeds the image size 32"):
        validate(circular, interior, {"calibration": {"patch_sizes": [3, 33]}})
    everywhere = {"bank": {"candidates": "interior"}}
    too_large = {"variants": {"p": {"kind": "ablation", "patch_size": 35}}}
    validate(circular, too_large)
    with pytest.raises(ConfigError, match=r"variants\.p\.patch_size: 35 exceeds the image size"):
        validate(circular, everywhere, too_large)


def test_networks_that_differ_in_their_training_seed_are_repeats():
    config = merged(DEFAULT, read("config/training_seeds.yaml"))
    names = ["mnist-resnet-zeros", "mnist-resnet-zeros-1", "mnist-resnet-zeros-2"]
    assert repeats_of(config) == [names]
    assert [recipe_of(config, config["networks"][name])["seed"] for name in names] == [0, 1, 2]
    assert repeats_of(DEFAULT) == []
    narrower = merged(config, {"networks": {names[2]: {"channels": 32}}})
    assert repeats_of(narrower) == [names[:2]]
    again = {"training_seed": 1, "checkpoint": "trained"}
    same = merged(config, {"networks": {names[2]: again}})
    with pytest.raises(ConfigError, match=f"{names[2]}: is the same network as {names[1]}"):
        validate_config(same, ROOT / "checkpoints")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, "sampling.network_steps: [20, 150], but sampling.protocol is lukoianov"),
        ({"sampling": {"network_steps": [10], "machine_start": "skip_first"}}, "set it to full"),
        ({"sampling": {"network_steps": [10]}}, "analyses: learning, consistency, but"),
        (
            {
                "sampling": {"network_steps": [10]},
                "analyses": [],
                "variants": {"clamped": {"kind": "ablation", "clamped": True}},
            },
            "variants: clamped, but sampling.protocol is lukoianov; leave them out",
        ),
    ],
)
def test_published_protocols_have_steps_of_their_own(change, message):
    published = {"sampling": {"protocol": "lukoianov"}}
    good = {"sampling": {"network_steps": [10]}, "analyses": ["leaderboard", "nearest_patches"]}
    validate(published, good)
    with pytest.raises(ConfigError) as error:
        validate(published, change)
    assert message in str(error.value)


def test_schema_describes_every_key():
    def check(node, where):
        for key, value in node.get("properties", {}).items():
            assert "description" in value or "$ref" in value, f"{where}.{key} has no description"
            check(value, f"{where}.{key}")
        if isinstance(node.get("additionalProperties"), dict):
            check(node["additionalProperties"], f"{where}.*")
        elif node.get("type") == "object":
            assert node["additionalProperties"] is False, f"{where} takes unknown keys"

    check(yaml.safe_load(SCHEMA.read_text()), "config")


def test_recipes_have_the_settings_of_a_training():
    schema = yaml.safe_load(SCHEMA.read_text())["properties"]
    recipe = schema["recipes"]["additionalProperties"]["properties"]
    assert set(recipe) == {field.name for field in dataclasses.fields(TrainingRecipe)}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ({"machnes": ["is"]}, "unknown key 'machnes' (did you mean 'machines'?)"),
        ({"machines": ["is", "elz"]}, "machines[1]: 'elz' is not allowed (did you mean 'els'?)"),
        ({"machines": ["els"]}, "machines: 'is' is missing"),
        ({"engine": "fast"}, "engine: 'fast' is not allowed; choose one of auto"),
        (
            {"device": "gpu"},
            "device: 'gpu' is not allowed (did you mean 'cpu'?); choose one of cpu",
        ),
        (
            {"recipes": {"paper": {"precision": "float16"}}},
            "recipes.paper.precision: 'float16' is not allowed (did you mean 'bfloat16'?); "
            "choose one of float32, bfloat16, auto",
        ),
        (
            {"sampling": {"machine_start": "later"}},
            "sampling.machine_start: 'later' is not allowed; choose one of full, skip_first",
        ),
        ({"calibration": {"patch_sizes": [3, 6]}}, "6 is even; patch sizes are odd, like 7"),
        ({"calibration": {"patch_sizes": [5, 3]}}, "not in increasing order"),
        ({"datasets": {"mnist": {"source": "mnits"}}}, "mnist.source: there is no dataset"),
        ({"datasets": {"mnist": {"local": "no/such"}}}, "datasets.mnist.local: 'no/such' does not"),
        (
            {"datasets": {"cifar10": {"source": "cifar10_jpeg", "size": 32, "local": "."}}},
            "datasets.cifar10: this name belongs to the registry's own",
        ),
        (
            {"datasets": {"mine": {"source": "image_folder", "size": 32}}},
            "datasets.mine.local: Folder of images cannot be downloaded",
        ),
        (
            {"datasets": {"mnist": {"altered": "permuted"}}},
            "datasets.mnist.altered: permuted, but this name is that of the plain images",
        ),
        (
            {"datasets": {"mnist": {"half": "odd"}}},
            "datasets.mnist.half: odd, but this name is that of the plain images, all of them",
        ),
        (
            {"datasets": {"other": {"source": "mnist", "size": 32, "half": "evn"}}},
            "half: 'evn' is not allowed (did you mean 'even'?)",
        ),
        (
            {"datasets": {"other": {"source": "mnist", "size": 32, "altered": "permutd"}}},
            "altered: 'permutd' is not allowed (did you mean 'permuted'?)",
        ),
        (
            {"analyses": ["claims"], "machines": ["is", "els"]},
            "analyses: claims, which are about els and ls: machines needs both",
        ),
        (
            {
                "analyses": ["claims"],
                "datasets": {"other": {"source": "mnist", "size": 16, "altered": "permuted"}},
                "networks": {"mnist-resnet-zeros": {"dataset": "other", "checkpoint": "trained"}},
            },
            "analyses: claims, and datasets.other of mnist-resnet-zeros is altered: datasets needs",
        ),
        ({"evaluate": ["mnist-resnet-zero"]}, "did you mean 'mnist-resnet-zeros'?"),
        (
            {"networks": {"mnist-resnet-zeros": {"dataset": "mnst"}}},
            "networks.mnist-resnet-zeros.dataset: 'mnst' is not defined (did you mean 'mnist'?)",
        ),
        (
            {"networks": {"mnist-resnet-zeros": {"recipe": "papr"}}},
            "networks.mnist-resnet-zeros.recipe: 'papr' is not defined (did you mean 'paper'?)",
        ),
        (
            {"networks": {"mnist-resnet-zeros": {"channels": 65}}},
            "does not fit this config: channels: 64 instead of 65",
        ),
        (
            {"networks": {"mnist-resnet-zeros": {"padding": "circular"}}},
            "padding: 'zeros' instead of 'circular'",
        ),
        (
            {"networks": {"mnist-resnet-zeros": {"dataset": "fashion_mnist"}}},
            "dataset: 'mnist' instead of 'fashion_mnist'",
        ),
        (
            {"networks": {"mnist-resnet-zeros": {"recipe": "paper"}}},
            "recipe's epochs: 5 instead of 300",
        ),
        (
            {"recipes": {"resnet_two_cores": {"warmup_steps": 100}}},
            "recipe's warmup_steps: 0 instead of 100",
        ),
        (
            {"networks": {"mnist-resnet-zeros": {"scales_of": "nobody"}}},
            "scales_of: 'nobody' is not among the evaluated networks",
        ),
        (
            {"calibration": {"source": "packaged"}, "sampling": {"machine_steps": 25}},
            "sampling.machine_steps: 25, but the packaged scales",
        ),
        ({"networks": {"mnist-unet-zeros": {"layers": 6}}}, "layers: is not used by a unet"),
        (
            {"seeds": {"evaluation": {"count": 5000, "shard_size": 2}}},
            "5000 seeds do not fit into 1000 shards of 2; raise seeds.evaluation.shard_size to at",
        ),
        (
            {"seeds": {"evaluation": {"first": 0, "count": 4}, "calibration": {"first": 2}}},
            "seeds.calibration.first: 2 makes calibration use seeds of the evaluation (0 to 3)",
        ),
        (
            {"distillation": {"held_out": 2304}},
            "distillation.held_out: 2304 of 2304 samples leave none to fit to",
        ),
        ({"distillation": {"ridges": [0]}}, "distillation.ridges[0]: 0"),
        (
            {"recipes": {"paper": {"learning_rate": "1e-4"}}},
            "recipes.paper.learning_rate: '1e-4' is not of type 'number' (write 1.0e-4",
        ),
        ({"sampling": {"network_steps": [20, 1]}}, "sampling.network_steps[1]: 1 is less than"),
        ({"bank": {"images": "some"}}, "bank.images: 'some' is not allowed"),
        ({"experiment": "My run"}, "experiment: 'My run' is no name; use small letters"),
        ({"experiment": "run\n"}, "experiment: 'run\\n' is no name; use small letters"),
        ({"experiment": "x" * 65}, "experiment: 'xxx"),
        ({"datasets": {"mnist": {"size": 32.0}}}, "size: 32.0 is not of type 'integer' (write 32)"),
        ({"seeds": {"evaluation": {"count": 8.0}}}, "count: 8.0 is not of type 'integer'"),
        ({"datasets": {"mnist": {"channels": 1.0}}}, "channels: 1.0 is not of type 'integer'"),
        ({"adaptive": {"tolerance": math.nan}}, "adaptive.tolerance: nan is not of type 'number'"),
        ({"recipes": {"paper": {"learning_rate": math.inf}}}, "inf is not of type 'number'"),
        ({"directories": {"results": "{x}"}}, "directories.results: '{x}' is no path; use no"),
        ({"directories": {"data": "a\0b"}}, "directories.data: 'a\\x00b' is no path"),
        ({"datasets": {"mnist": {"local": "x" * 5000}}}, "datasets.mnist.local: [Errno 36]"),
        ({"recipes": {"pa\nper": {"epochs": 0}}}, "recipes['pa\\nper']: missing key batch_size"),
    ],
)
def test_bad_configs_are_refused_by_name(override, message):
    with pytest.raises(ConfigError) as error:
        validate(override)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"module": "no/such.py"}, "networks.mine.module: there is no file 'no/such.py'"),
        ({"module": "."}, "networks.mine.module: '.' does not end in .py"),
        ({"module": "x" * 5000 + ".py"}, "networks.mine.module: [Errno 36]"),
        ({"weights": "mine.pt"}, "networks.mine.weights: 'mine.pt' does not end in .safetensors"),
        ({"weights": "mine.safetensors"}, "networks.mine.weights: there is no file 'mine.safete"),
        ({"weights": "{x}.safetensors"}, "networks.mine.weights: '{x}.safetensors' is no path"),
        ({"predicts": "epsilon"}, "predicts: 'epsilon' is not allowed; choose one of noise, score"),
        ({"architecture": "resnet"}, "networks.mine.architecture: is not used where checkpoint is"),
        ({"channels": 64}, "networks.mine.channels: is not used where checkpoint is external"),
        ({"layers": 6}, "networks.mine.layers: is not used where checkpoint is external"),
        ({"recipe": "paper"}, "networks.mine.recipe: is not used where checkpoint is external"),
        ({"dataset": "mnst"}, "networks.mine.dataset: 'mnst' is not defined (did you mean 'mnist'"),
        ({"checkpoint": "trained"}, "networks.mine: missing key architecture, channels, recipe"),
    ],
)
def test_own_networks_are_checked_by_name(change, message):
    validate(OWN)
    with pytest.raises(ConfigError) as error:
        validate(OWN, {"networks": {"mine": change}})
    assert message in str(error.value)


@pytest.mark.parametrize("key", ["module", "weights", "predicts"])
def test_keys_of_own_networks_are_for_them_alone(key):
    mine = OWN["networks"]["mine"]
    with pytest.raises(ConfigError, match=f"zeros.{key}: is not used where checkpoint is packaged"):
        validate({"networks": {"mnist-resnet-zeros": {key: mine[key]}}})
    without = {"networks": {"mine": {k: v for k, v in mine.items() if k != key}}}
    with pytest.raises(ConfigError, match=f"networks.mine: missing key {key}"):
        validate({**OWN, **without})


def test_own_network_has_no_packaged_scales():
    packaged = {"calibration": {"source": "packaged"}}
    with pytest.raises(ConfigError, match=r"mine is an external network, .*\.source to computed$"):
        validate(OWN, packaged)
    validate(OWN, packaged, {"networks": {"mine": {"scales_of": "mnist-resnet-zeros"}}})


def test_missing_section_is_named():
    config = {k: v for k, v in DEFAULT.items() if k != "seeds"}
    with pytest.raises(ConfigError, match="the config: missing key seeds"):
        validate_config(config, ROOT / "checkpoints")


def test_missing_checkpoint_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"checkpoint: packaged, but .*mnist-resnet-zeros\.json"):
        validate_config(DEFAULT, tmp_path)


PACKAGED_SCALES = {"evaluate": ["mnist-unet-zeros"], "calibration": {"source": "packaged"}}


def test_packaged_scales_are_not_for_a_network_trained_here():
    trained = {"networks": {"mnist-unet-zeros": {"checkpoint": "trained"}}}
    validate(PACKAGED_SCALES)
    with pytest.raises(ConfigError, match="packaged, but mnist-unet-zeros is trained here"):
        validate(PACKAGED_SCALES, trained)
    published = {"networks": {"mnist-unet-zeros": {"checkpoint": "published"}}}
    with pytest.raises(ConfigError, match=r"one of the paper's authors, .* to computed$"):
        validate(PACKAGED_SCALES, published)


def test_packaged_scales_of_other_candidates_are_refused():
    circular = PACKAGED_SCALES | {"evaluate": ["mnist-resnet-circular"]}
    interior = {"bank": {"candidates": "interior"}}
    validate(circular)
    validate(PACKAGED_SCALES, interior)  # with zeros there is no choice
    with pytest.raises(ConfigError, match=r"bank\.candidates: interior, but .* with wrapped ones"):
        validate(circular, interior)
    validate(circular, interior, {"calibration": {"source": "computed"}})


@pytest.mark.parametrize("name", ["nan", "null", "Mine", "a\n"])
def test_names_that_tables_would_lose_are_refused(name):
    mine = {"networks": {name: DEFAULT["networks"]["mnist-unet-zeros"]}}
    with pytest.raises(ConfigError, match="networks"):
        validate(mine)


def test_packaged_scales_of_other_weights_are_refused(tmp_path):
    checkpoints = shutil.copytree(ROOT / "checkpoints", tmp_path / "checkpoints")
    path = checkpoints / "mnist-unet-zeros.scales.json"
    save_record(path, {**load_record(path), "weights_sha256": "0" * 64})
    with pytest.raises(
        ConfigError, match=r"scales\.csv is for weights with SHA-256 0+, and .* has"
    ):
        validate_config(merged(DEFAULT, PACKAGED_SCALES), checkpoints)
    path.unlink()
    with pytest.raises(
        ConfigError, match=r"packaged, but .*zeros\.scales\.json: no readable record"
    ):
        validate_config(merged(DEFAULT, PACKAGED_SCALES), checkpoints)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("scales.csv", b"\xff\xfe", r"scales\.csv: expected SHA-256 \w+, found"),
        ("scales.json", b"[]", r"scales\.json: no readable record: expected a JSON object"),
        ("scales.json", b"\xff", r"scales\.json: no readable record: 'utf-8' codec"),
        ("scales.json", b"[" * 5000, r"scales\.json: no readable record: maximum recursion"),
        ("json", b'{"network": 3}', r"the record of .*mnist-unet-zeros\.safetensors: 'int' object"),
        ("json", b'{"network": {"classes": "a"}}', r"the record of .*unet-zeros\.safetensors: '>'"),
    ],
)
def test_damaged_packaged_files_are_named(name, content, said, tmp_path):
    checkpoints = shutil.copytree(ROOT / "checkpoints", tmp_path / "checkpoints")
    (checkpoints / f"mnist-unet-zeros.{name}").write_bytes(content)
    with pytest.raises(ConfigError, match=said):
        validate_config(merged(DEFAULT, PACKAGED_SCALES), checkpoints)


def test_packaged_scales_are_for_the_packaged_networks():
    records = sorted((ROOT / "checkpoints").glob("*.scales.json"))
    assert len(records) == len(list((ROOT / "checkpoints").glob("*.scales.csv"))) >= 3
    for path in records:
        network = path.name.removesuffix(".scales.json")
        weights = load_record(path.with_name(f"{network}.safetensors"))["weights_sha256"]
        tables = {table.name for table in verify_scales(path, weights)}
        assert tables == {f"{network}.scales.csv", f"{network}.cosines.csv"}
        record = load_record(path)
        times = pd.read_csv(path.with_name(f"{network}.cosines.csv")).groupby("t")
        assert len(times) == record["steps"]
        assert all(set(t["patch_size"]) <= set(record["patch_sizes"]) for _, t in times)
        assert set(times.get_group(1.0)["patch_size"]) == set(record["patch_sizes"])
        assert all(t["trajectory"].nunique() == len(record["seeds"]) for _, t in times)


def test_packaged_records_say_what_they_are():
    """Every packaged network names its data, recipe, loss curve and kind of machine."""
    networks = sorted((ROOT / "checkpoints").glob("*.safetensors"))
    assert len(networks) >= 4
    for path in networks:
        record = verify_checkpoint(path)
        if snapshots_path(path).exists():
            assert verify_snapshots(path, record).stat().st_size < 16 * 2**20
        needed = {"network", "training", "dataset", "dataset_digest", "weights_sha256", "versions"}
        needed |= {"images_seen", "loss_curve", "wall_seconds", "hardware"}
        assert needed <= set(record), path.name
        assert RECORD_DIGEST in json.loads(path.with_suffix(".json").read_text()), path.name
        assert path.stat().st_size < 16 * 2**20


def test_published_networks_are_rows_of_the_authors():
    authors = merged(DEFAULT, read("config/authors.yaml"))
    name = "authors-mnist-unet-zeros"
    assert set(variants_of(authors, name)) == {"published_scales"}
    assert len(variants_of(authors, "authors-mnist-resnet-circular")) == 3
    for change in ({"padding": "circular"}, {"conditional": True}):
        with pytest.raises(ConfigError, match=f"{name}.checkpoint: published, but .* no such netw"):
            validate(read("config/authors.yaml"), {"networks": {name: change}})
    both = {"variants": {"published_scales": {"patch_size": 3}}}
    with pytest.raises(ConfigError, match="patch_size and scales exclude each other"):
        validate(read("config/authors.yaml"), both)
