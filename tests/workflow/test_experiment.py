"""What follows from a config, without Snakemake: networks, banks, shards, owners, needs of jobs."""

from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest
from configs import DEFAULT, OWN, ROOT, merged, read

from patchmosaic.datasets.counting import TrainingImages
from patchmosaic.datasets.registry import find_dataset
from patchmosaic.machines.registry import MACHINES
from workflow.experiment import (
    BYTES_READ,
    MOST_THREADS,
    UNCHANGED,
    Experiment,
    memory_for,
    threads_each,
)
from workflow.figures import FIGURES, drawings

RESULTS = Path("results")


def experiment(*overrides):
    config = DEFAULT
    for override in overrides:
        config = merged(config, override)
    return Experiment(config, ROOT)


def test_networks_go_by_their_checkpoints():
    e = experiment(OWN, {"evaluate": ["mnist-unet-zeros", "mine"]})
    assert e.of_checkpoint("packaged") == ["mnist-unet-zeros"]
    assert e.of_checkpoint("external") == ["mine"]
    assert e.of_checkpoint("trained") == []
    assert e.with_snapshots == []
    assert experiment({"evaluate": ["mnist-resnet-zeros"]}).with_snapshots
    trained = {"networks": {"mnist-unet-zeros": {"checkpoint": "trained"}}}
    assert "mnist-unet-zeros" in experiment(trained).with_snapshots
    assert e.architecture("mine") == "external"
    assert e.network_files("mine") == [
        RESULTS / "networks/mine.safetensors",
        ROOT / "docs/own_network.py",
    ]
    assert e.network_files("mnist-unet-zeros") == [
        RESULTS / "networks/mnist-unet-zeros.safetensors"
    ]


def test_banks_have_labels_where_networks_are_told_them():
    e = experiment({"bank": {"images": 600}})
    assert e.bank("mnist-unet-zeros") == RESULTS / "banks/mnist-pooled-600.npz"
    assert e.bank("fashion_mnist-unet-zeros") == RESULTS / "banks/fashion_mnist-classes-600.npz"
    assert e.calibration_bank("mnist-unet-zeros") == RESULTS / "banks/mnist-pooled-2000.npz"


def own_images(folder, names, conditional=False, **override):
    """An experiment about a folder of such files."""
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    mine = {"source": "image_folder", "size": 32, "local": str(folder)}
    network = {**OWN["networks"]["mine"], "dataset": "mine", "conditional": conditional}
    own = {"datasets": {"mine": mine}, "networks": {"mine": network}, "evaluate": ["mine"]}
    return experiment(own, override)


def test_defaults_fit_themselves_to_few_images(tmp_path):
    """The calibration takes all there are, and says so; a bank of more is refused by its key."""
    names = [f"{c}/{i}.png" for c, n in (("a", 4), ("b", 3)) for i in range(n)]
    e = own_images(tmp_path, names)
    assert e.calibration_bank("mine") == RESULTS / "banks/mine-pooled-all.npz"
    said = "calibration.bank_images: 2,000, and mine has 7 training images: all are used"
    assert e.notices == [said]
    assert e.unfit_images is None
    assert experiment().notices == []
    told = own_images(tmp_path, [], True, calibration={"bank_images": 3}, bank={"images": 4})
    assert told.calibration_bank("mine") == RESULTS / "banks/mine-classes-3.npz"
    rarest = "mine has 3 training images of the rarest class: at most so many, or all"
    assert told.unfit_images == f"bank.images: 4, and {rarest}"
    variants = {"v": {"kind": "ablation", "bank_images": 8}}
    varied = own_images(tmp_path, [], variants=variants)
    assert varied.unfit_images.startswith("variants.v.bank_images: 8, and mine has 7 training")


def test_images_without_what_a_network_needs_are_refused(tmp_path):
    e = own_images(tmp_path, ["1.png", "2.png"], True)
    assert "networks.mine.conditional: true, and the images of mine have no" in e.unfit_images
    one = own_images(tmp_path / "one", ["1.png"])
    assert one.unfit_images == "datasets.mine: it has one training image, and 2 are the least"


def test_memory_is_planned_for_the_images_that_are_there(tmp_path):
    e = own_images(tmp_path, [f"{i}.png" for i in range(1000)])
    few = e.memory(4000, "mine")
    e.config["datasets"]["mine"]["size"] = 256  # 1000 x 3 x 256^2 values, of which usual are less
    assert few == 4000
    assert e.memory(4000, "mine") == 4000 + (1000 * 3 * 256**2 - 60_000 * 32**2) * 8 // 2**20


def test_networks_trained_with_flips_have_banks_of_their_own():
    """Twice as large, so with more memory; shared with networks that are told the same alone."""
    flipped = {"networks": {"other": {**OWN["networks"]["mine"], "flips": True}}}
    both = {"evaluate": ["mine", "other"]}
    e = experiment(OWN, flipped, both, {"networks": {"third": flipped["networks"]["other"]}})
    assert e.bank("mine") == RESULTS / "banks/mnist-pooled-all.npz"
    assert e.bank("other") == RESULTS / "banks/mnist-pooled-flips-all.npz"
    assert e.calibration_bank("other") == RESULTS / "banks/mnist-pooled-flips-2000.npz"
    assert e.sampled_as("other", "is") == "other"
    assert not e.is_alike("mine", "other")
    assert e.is_alike("third", "other")
    values = 60_000 * 32 * 32
    assert e.bank_mb("other") - e.bank_mb("mine") == 8 * values // 2**20
    assert (
        e.making_mb("mnist", "pooled-flips") - e.making_mb("mnist", "pooled") == 8 * values // 2**20
    )
    small = {"bank": {"images": 128}}
    e = experiment(OWN, flipped, both, small)
    assert e.matrices_mb("other", "wiener") == 2 * e.matrices_mb("mine", "wiener") > 0
    variant = {"variants": {"v": {"kind": "control", "bank_dataset": {"mnist": "fashion_mnist"}}}}
    e = experiment(OWN, flipped, both, variant)
    other = RESULTS / "banks/fashion_mnist-pooled-flips-all.npz"
    assert e.variant_bank("other", "v") == other


@pytest.mark.parametrize(
    ("count", "size", "shards", "followed"),
    [(20, 20, 1, 1), (20, 7, 3, 2), (6, 3, 2, 2), (100, 10, 10, 1), (21, 20, 2, 1)],
)
def test_seeds_are_cut_into_shards(count, size, shards, followed):
    """Trajectories are kept of the first ten seeds, so not every shard has some."""
    e = experiment({"seeds": {"evaluation": {"count": count, "shard_size": size}}})
    assert e.shards == [f"{i:03d}" for i in range(shards)]
    assert len(e.samples("mnist-unet-zeros", "els")) == shards
    assert len(e.followed_shards("mnist-unet-zeros", "els")) == followed


def test_equal_machines_are_sampled_once():
    e = experiment()
    resnet, unet = "mnist-resnet-zeros", "mnist-unet-zeros"
    assert e.networks.index(resnet) < e.networks.index(unet)
    assert e.sampled_as(unet, "is") == resnet  # of the same bank
    assert e.sampled_as(unet, "els") == unet  # by scales of its own
    assert e.sampled_as(unet, "network-20") == unet
    assert e.samples(unet, "is") == e.samples(resnet, "is") != e.samples(unet, "els")
    borrowed = experiment({"networks": {unet: {"scales_of": resnet}}})
    assert borrowed.sampled_as(unet, "els") == resnet
    assert borrowed.calibrated == [n for n in sorted(e.networks) if n != unet]
    assert borrowed.scales(unet) == RESULTS / f"calibration/{resnet}.scales.csv"
    assert e.needed_scales(unet, "is") == []
    assert e.needed_scales(unet, "ls") == e.scales(unet)


def test_filters_are_fitted_to_each_network():
    e = experiment({"machines": ["is", "wiener", "distilled"]})
    resnet, unet = "mnist-resnet-zeros", "mnist-unet-zeros"
    assert e.sampled_as(unet, "wiener") == resnet
    assert e.sampled_as(unet, "distilled") == unet
    assert e.needed_filters(unet, "distilled") == RESULTS / f"distillation/{unet}.npz"
    assert e.needed_filters(unet, "wiener") == e.needed_scales(unet, "distilled") == []
    assert e.sees("distilled") == "weights"
    more = experiment({"distillation": {"samples": 2**20}})
    samples = (2**20 - e.config["distillation"]["samples"]) * 1024 * 8 * 6 / 2**20
    assert more.distillation_mb(unet) - e.distillation_mb(unet) == pytest.approx(samples, abs=1)


def test_explorer_shows_a_second_seed_where_there_is_room():
    assert experiment().explored_seeds == 2
    assert experiment(read("config/leaderboard_all.yaml")).explored_seeds == 2
    larger = {"datasets": {name: {"size": 64} for name in ("mnist", "fashion_mnist")}}
    assert experiment(larger).explored_seeds == 1


def test_siblings_and_pairs_are_trained_for_the_same():
    e = experiment()
    pairs = {(pair["a"], pair["b"]) for pair in e.siblings}
    assert pairs == {
        ("mnist-resnet-zeros", "mnist-unet-zeros"),
        ("fashion_mnist-resnet-zeros", "fashion_mnist-unet-zeros"),
    }
    assert len(e.siblings) == len(pairs) * len(e.steps)
    assert e.side_by_side["mnist"] == ("mnist-resnet-zeros", "mnist-unet-zeros")
    assert experiment({"machines": ["is", "ls"]}).siblings == []
    circular = experiment({"evaluate": ["mnist-resnet-circular", "mnist-unet-zeros"]})
    assert circular.siblings == []
    assert circular.side_by_side == {}


def test_published_protocols_have_their_own_steps():
    assert experiment().sampled_steps == 20
    assert experiment({"sampling": {"protocol": "golddiff"}}).sampled_steps == 10


def test_leaderboard_is_told_of_every_predictor_and_of_siblings():
    e = experiment({"machines": ["is", "els"], "analyses": ["leaderboard"]})
    assert e.has_leaderboard
    assert not experiment().has_leaderboard
    assert "../tables/leaderboard.csv" in e.more_tables
    ideal, els = e.predictors("mnist-unet-zeros")
    assert (ideal["sees"], els["sees"]) == ("none", "P(t)")
    assert ideal["samples"] == "results/samples/mnist-resnet-zeros/is/000.npz"
    assert ideal["benchmarks"] == ["results/benchmarks/sample-mnist-resnet-zeros-is-000.tsv"]
    assert els["benchmarks"] == ["results/benchmarks/sample-mnist-unet-zeros-els-000.tsv"]
    sibling = e.sampled_sibling("mnist-unet-zeros", 20)
    assert sibling["network"] == "mnist-resnet-zeros"
    assert sibling["samples"] == ["results/samples/mnist-resnet-zeros/network-20/000.npz"]
    alone = experiment({"evaluate": ["mnist-resnet-zeros"]})
    assert alone.sampled_sibling("mnist-resnet-zeros", 20) is None


def test_halves_are_of_one_dataset_and_have_half_of_its_images():
    e = experiment(read("config/halves.yaml"))
    assert [e.training_images(name).total for name in ("mnist_even", "mnist_odd")] == [30_000] * 2
    assert e.training_images("mnist").total == 60_000
    odd = TrainingImages(9, rarest=7).half(1)
    assert (odd, TrainingImages(9).half(0)) == (TrainingImages(4, 4), TrainingImages(5))
    pairs = {(pair["a"], pair["b"]) for pair in e.siblings}
    assert pairs == {
        ("mnist_even-resnet", "mnist_odd-resnet"),
        ("fashion_even-resnet", "fashion_odd-resnet"),
    }
    assert e.variant_bank("mnist_odd-resnet", "other_half") == e.bank("mnist_even-resnet")
    unet = e.config["networks"]["mnist_odd-resnet"] | {"architecture": "unet"}
    both = {"networks": {"unet": unet}, "evaluate": [*e.networks, "unet"]}
    e = experiment(read("config/halves.yaml"), both)
    assert e.side_by_side == {"mnist_odd": ("mnist_odd-resnet", "unet")}  # not with the even half
    assert e.sibling("mnist_even-resnet") is None
    assert e.sampled_as("mnist_odd-resnet", "is") != e.sampled_as("mnist_even-resnet", "is")


def test_claims_are_asked_of_plain_images_and_gradients_of_all():
    e = experiment(read("config/claims.yaml"))
    assert e.asks_claims
    assert not experiment().asks_claims
    assert e.followed_seeds == e.seeds["count"] > experiment().followed_seeds
    assert {e.altered(name) for name in e.networks} == {"", "permuted", "mirrored"}
    assert e.plain_networks == ["fashion_16-resnet", "fashion_16-unet", "fashion_16-attention"]
    assert e.followed_trainings == ["fashion_16-resnet", "fashion_16-unet"]
    assert e.attention_pairs == [("fashion_16-attention", "fashion_16-unet")]
    moved = e.plain_bank("permuted_16-unet")
    assert moved == e.bank("fashion_16-unet") != e.bank("permuted_16-unet")
    garments = {run["network"] for run in FIGURES["garments"].each(e)}
    assert garments == set(e.plain_networks)
    tables = {f"../tables/claims{end}.csv" for end in ("", "_tests", "_gradients")}
    assert tables <= set(e.more_tables)


def test_shipped_leaderboard_has_every_machine_but_one():
    """All that a bank of every training image allows."""
    e, fast = (
        experiment(read(f"config/{name}.yaml")) for name in ("leaderboard_all", "leaderboard")
    )
    assert set(MACHINES) - set(e.machines) == {"ecomposite"}
    assert set(fast.machines) < set(e.machines)
    assert e.has_leaderboard
    assert fast.has_leaderboard
    assert not e.calibrates
    assert "distilled" not in e.of_any_bank
    assert set(e.of_any_bank) == set(e.machines) - {"distilled", "ls_own"}
    assert e.networks == experiment().networks


def test_covariances_that_fit_no_memory_are_refused_with_their_bytes():
    e = experiment({"machines": ["is", "wiener"], "bank": {"images": 1024}})
    name = e.networks[0]
    assert e.matrices_mb(name, "is") == 0
    assert e.matrices_mb(name, "wiener") == 5 * 8 * 1024**2 / 2**20 == 40
    assert e.machine_mb(name, "wiener") == e.bank_mb(name) + 40
    assert e.too_large(40) is None
    message = e.too_large(10)
    assert "the covariance of images of 1,024 values takes wiener 41,943,040 bytes" in message
    assert "this computer has 10,485,760: leave wiener out, or lower datasets.mnist" in message
    assert message.endswith("512 values would fit")
    few = experiment({"machines": ["is", "wiener"], "bank": {"images": 128}})
    assert few.matrices_mb(name, "wiener") == 5


def test_images_that_fit_no_memory_are_refused_with_their_bytes():
    e = experiment()
    needed = 60_000 * 1024 * BYTES_READ
    assert e.too_large(needed // 2**20 + 1) is None
    message = e.too_large(100)
    assert message.startswith(
        f"bank.images: all; 60,000 images of mnist of 1,024 values take {needed:,} bytes of memory"
    )
    most = 100 * 2**20 // (1024 * BYTES_READ)
    assert f"this computer has 104,857,600: set bank.images to at most {most:,}, or" in message
    assert experiment({"bank": {"images": most}}).too_large(100) is None
    trained = experiment({"networks": {"mnist-resnet-zeros": {"checkpoint": "trained"}}})
    message = trained.too_large(100)
    assert message.startswith("networks.mnist-resnet-zeros.checkpoint: trained, on 60,000 images")
    assert "lower datasets.mnist.size" in message
    assert "bank.images" not in message


def test_folders_of_images_have_no_test_images():
    e = experiment()
    assert e.held_out("mnist-unet-zeros") == [Path("data/prepared/mnist-32-test.npz")]
    folder = {"datasets": {"mnist": {"source": "image_folder"}}}
    assert experiment(folder).held_out("mnist-unet-zeros") == []


def test_variants_sample_anew_what_they_change():
    name = "mnist-resnet-zeros"
    variants = {
        "later": {"kind": "ablation", "machine_start": "skip_first"},
        "raw": {"kind": "ablation", "weights": "raw"},
        "across": {"kind": "control", "shuffled": True},
        "other": {"kind": "control", "bank_dataset": {"mnist": "fashion_mnist"}},
    }
    e = experiment({"variants": variants})
    compared = e.compared(name, 20)
    assert [*compared] == [UNCHANGED, *variants]
    usual = {"machine": e.samples(name, "els"), "network": e.samples(name, "network-20")}
    assert compared[UNCHANGED] == compared["across"] == usual
    assert compared["later"]["machine"] == [f"results/variants/{name}/later/els/000.npz"]
    assert compared["later"]["network"] == usual["network"]
    assert compared["raw"]["machine"] == usual["machine"]
    assert compared["raw"]["network"] == [f"results/variants/{name}/raw/network-20/000.npz"]
    assert e.variant_bank(name, "other") == RESULTS / "banks/fashion_mnist-pooled-all.npz"
    assert e.variant_bank(name, "later") == e.bank(name)
    assert "other" not in e.variants["fashion_mnist-unet-zeros"]
    assert e.varied == e.networks
    assert experiment().varied == []


@pytest.mark.parametrize(
    "config", ["default", "ci", "ablations", "training_seeds", "wide_mnist", "paper_width"]
)
def test_every_figure_has_module_caption_and_inputs(config):
    override = {} if config == "default" else read(f"config/{config}.yaml")
    e = experiment(override)
    drawn = drawings(e)
    assert len({drawing["path"] for drawing in drawn}) == len(drawn) >= 20
    assert all(Path(drawing["caption"]).is_file() for drawing in drawn)
    assert not any(set("{}") & set(drawing["title"] + drawing["path"]) for drawing in drawn)
    for name, figure in FIGURES.items():
        assert callable(import_module(f"patchmosaic.figures.{name}").draw)
        for wildcards in figure.each(e):
            assert set(wildcards) == set(figure.wildcards), name
            job = SimpleNamespace(**wildcards)
            given, settings = figure.inputs(e, job), figure.settings(e, job)
            assert not set(given) & set(settings), name


def test_figures_come_with_what_they_show():
    def names(*overrides):
        e = experiment(*overrides)
        return {name for name, figure in FIGURES.items() if figure.each(e)}

    of_els = {"siblings", "measures", "garments", "denoising", "patch_origins", "worst"}
    assert set(FIGURES) - names() == {"training_seeds", "variants", "leaderboard", "claims"}
    without_els = {"machines": ["is", "ls"]}
    assert names() - names(without_els) == of_els
    assert names() - names({"analyses": []}) == {"learning", "nearest_patches", "consistency"}
    assert "training_seeds" in names(read("config/training_seeds.yaml"))
    assert "variants" in names(read("config/ablations.yaml"))
    assert "leaderboard" in names({"analyses": ["leaderboard"]})
    assert "claims" in names({"analyses": ["claims"]})
    assert [*experiment(without_els).pages] == ["report", "paper"]


@pytest.mark.parametrize(
    ("jobs", "cores", "memory_gb", "threads"),
    [
        (4, 2, 24, 1),  # the default experiment on a laptop
        (1, 2, 24, 2),  # a single job has all cores
        (4, 16, 64, 4),
        (110, 64, 400, 1),
        (110, 64, 64, 4),  # sixteen jobs of 4 GB fit, not sixty-four
        (4, 2, 2, 2),  # not even one fits: one at a time
        (1, 64, 400, MOST_THREADS),
        (3, 2, 24, 1),
    ],
)
def test_jobs_share_cores_and_memory(jobs, cores, memory_gb, threads):
    assert threads_each(jobs, 4000, cores, memory_gb * 1000) == threads


@pytest.mark.parametrize(
    ("dataset", "channels", "mem_mb"),
    [
        ("mnist", 1, 4000),
        ("fashion_mnist", 1, 4000),
        ("image_folder", 3, 4000),  # nobody knows how many
        ("cifar10", 1, 4000),
        ("cifar10", 3, 4703),
        ("celeba", 3, 7346),  # 162,770 x 3 x 32^2 values, of which 60,000 x 32^2 are usual
    ],
)
def test_jobs_ask_for_the_memory_of_their_images(dataset, channels, mem_mb):
    assert memory_for(4000, find_dataset(dataset).train_images, channels, 32) == mem_mb


@pytest.mark.parametrize("source", ["computed", "packaged"])
def test_scales_of_its_own_are_computed_for_the_machine_alone(source):
    config = {"machines": ["is", "els", "ls", "ls_own"], "calibration": {"source": source}}
    e, name = experiment(config), "mnist-unet-zeros"
    usual = e.results / f"calibration/{name}.scales.csv"
    assert e.needed_scales(name, "els") == e.needed_scales(name, "ls") == usual
    assert e.needed_scales(name, "ls_own") == e.results / f"calibration/ls/{name}.scales.csv"
    assert e.local_machines == ["els", "ls"]
    assert e.sees("ls_own") == "P(t)"


def test_only_datasets_with_test_images_hold_some_out():
    networks = ("mnist-unet_paper-zeros", "celeba_half_10k-unet_paper-zeros")
    e = experiment(read("config/paper_networks.yaml"))
    assert [len(e.held_out(name)) for name in networks] == [1, 0]
    held = {"variants": {"held": {"kind": "ablation", "bank_split": "test"}}}
    e = experiment(read("config/paper_networks.yaml"), held)
    assert ["held" in e.variants[name] for name in networks] == [True, False]
    few = {"evaluate": ["mnist-resnet-zeros"], "bank": {"images": 20_000}}
    assert "mnist has 10,000 test images" in experiment(held, few).unfit_images
    few["bank"]["images"] = 10_000
    assert experiment(held, few).unfit_images is None
