"""Controls and ablations: each changes what it says, alone, and its numbers are of that change."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from configs import DEFAULT, ROOT, merged, read
from legibility import assert_legible, texts
from projects import planned, project_with_pictures, snakemake

from patchmosaic.analysis.agreement import pearson_r
from patchmosaic.analysis.variants import next_of_class, variant_agreement, variants_table
from patchmosaic.figures.learning import learning_curves
from patchmosaic.figures.sharpness import sharpness
from patchmosaic.figures.variants import variants
from patchmosaic.sampling.sampler import changed_noise, seed_noise
from patchmosaic.sampling.samples import Samples, SamplesError, load_samples
from patchmosaic.sampling.scales import shifted_scales
from workflow.checks import ConfigError, validate_config
from workflow.experiment import UNCHANGED, Experiment, variants_of

NAME = "tiny-resnet-circular"
VARIANTS = """
recipes: {tiny: {snapshots: [8]}}
seeds: {evaluation: {shard_size: 3}, calibration: {first: 70}}  # with 70, P changes over time
datasets: {other: {source: image_folder, size: 8, channels: 1, local: pictures/dogs}}
variants:
  the_same: {kind: ablation, bank_images: 3}
  other_bank: {kind: control, bank_dataset: {tiny: other}}
  p_3: {kind: control, patch_size: 3}
  untrained: {kind: control, weights: untrained}
  raw: {kind: ablation, weights: raw}
  wrapped: {kind: ablation, candidates: wrapped}
  later: {kind: ablation, network_start: skip_first}
  machine_full: {kind: ablation, machine_start: full}
  early: {kind: ablation, scales_shift: 1}
  clamped: {kind: ablation, clamped: true}
  shuffled: {kind: control, shuffled: true}
  same_class: {kind: control, shuffled: class}
  noise: {kind: yardstick, noise_change: 0.5}
"""


def samples(images, seeds=(4, 5, 6)):
    return Samples(np.asarray(images, np.float32), np.array(seeds), None, {})


def test_scales_move_along_the_times_and_keep_their_ends():
    scales = {1.0: 9, 0.5: 3, 0.75: 5}
    assert shifted_scales(scales, 0) == scales
    assert shifted_scales(scales, 1) == {0.5: 5, 0.75: 9, 1.0: 9}
    assert shifted_scales(scales, -1) == {0.5: 3, 0.75: 3, 1.0: 5}


def test_agreement_of_clamped_and_of_shuffled_images():
    rng = np.random.default_rng(0)
    a, b = rng.uniform(-2, 2, (2, 3, 1, 4, 4)).astype(np.float32)
    found = variant_agreement(samples(a), samples(b))
    assert found["seed"].tolist() == [4, 5, 6]
    np.testing.assert_allclose(found["pearson_r"], pearson_r(a, b))
    found = variant_agreement(samples(a), samples(b), clamped=True)["pearson_r"]
    np.testing.assert_allclose(found, pearson_r(a.clip(-1, 1), b.clip(-1, 1)))
    found = variant_agreement(samples(a), samples(b), shuffled=True)["pearson_r"]
    np.testing.assert_allclose(found, pearson_r(a, b[[1, 2, 0]]))
    with pytest.raises(SamplesError, match="differ in their seeds"):
        variant_agreement(samples(a), samples(b, (4, 6, 5)))


def test_shuffled_within_classes_leaves_out_those_of_one_seed():
    assert next_of_class(np.array([2, 0, 2, 1, 2, 0])).tolist() == [2, 5, 4, 3, 0, 1]
    a, b = np.random.default_rng(0).uniform(-2, 2, (2, 4, 1, 4, 4)).astype(np.float32)
    a, b = (Samples(each, np.arange(4, 8), np.array([1, 0, 1, 1]), {}) for each in (a, b))
    found = variant_agreement(a, b, shuffled="class")
    assert found["seed"].tolist() == [4, 6, 7]
    expected = pearson_r(a.images[[0, 2, 3]], b.images[[2, 3, 0]])
    np.testing.assert_allclose(found["pearson_r"], expected)
    alone = [Samples(each.images[:2], each.seeds[:2], each.labels[:2], {}) for each in (a, b)]
    assert variant_agreement(*alone, shuffled="class").empty


def test_changed_noise_is_standard_normal_and_of_its_seed_alone():
    images = seed_noise([3, 4], (1, 64, 64))
    noise = Samples(images.numpy(), np.array([3, 4]), None, {})
    assert torch.equal(changed_noise(noise, 0), images)
    for share in (0.01, 0.5, 1):
        found = changed_noise(noise, share)
        assert float((found - images).square().mean().sqrt()) == pytest.approx(
            math.sqrt(2 - 2 * math.sqrt(1 - share**2)), rel=0.05
        )
        assert float(found.std()) == pytest.approx(1, abs=0.03)
        alone = changed_noise(Samples(images[1:].numpy(), np.array([4]), None, {}), share)
        assert torch.equal(alone, found[1:])


def made_agreement():
    rows = []
    for variant, kind, r in (
        (UNCHANGED, "", [0.9, 0.8, 0.7]),
        ("worse", "control", [0.1, np.nan, 0.3]),
        ("better", "ablation", [0.95, 0.85, 0.75]),
    ):
        rows += [
            {"network": "a", "network_steps": steps, "variant": variant, "kind": kind}
            | {"seed": seed, "pearson_r": value}
            for steps in (20, 150)
            for seed, value in enumerate(r)
        ]
    return pd.DataFrame(rows)


def test_table_holds_medians_and_paired_differences():
    table = variants_table(made_agreement(), UNCHANGED)
    assert table["variant"].tolist() == [UNCHANGED, "worse", "better"] * 2
    usual, worse, better = (row for _, row in table.head(3).iterrows())
    assert usual["pearson_r"] == 0.8
    assert np.isnan(usual["difference"])
    assert worse["pearson_r"] == 0.1  # the undefined one counts as 0
    assert worse["difference"] == pytest.approx(-0.8)
    assert worse["p_value"] == pytest.approx(2 / 2**3)
    assert better["difference"] == pytest.approx(0.05)
    assert better["difference_low"] == pytest.approx(0.05)
    assert set(table["seeds"]) == {3}


def test_figures_show_the_tables_and_are_legible():
    table = variants_table(made_agreement(), UNCHANGED)
    figure = variants(table, unchanged=UNCHANGED)
    words = [t.get_text() for t in figure.axes[0].get_yticklabels()]
    assert words == [UNCHANGED, "worse", "better"]
    drawn = {round(float(line.get_xdata()[0]), 6) for line in figure.axes[0].lines}
    assert set(table["pearson_r"].round(6)) <= drawn
    assert_legible(figure)
    rng = np.random.default_rng(0)
    rows = [
        {"network": network, "network_steps": 20, "machine": machine, "images_seen": seen}
        | {"seed": seed, "pearson_r": rng.uniform()}
        for network in ("mnist-resnet-zeros", "fashion_mnist-resnet-zeros", "mnist-unet-zeros")
        for machine in ("els", "is")
        for seen in (0, 15000, 60000, 299520)
        for seed in range(5)
    ]
    figure = learning_curves(pd.DataFrame(rows))
    assert any("n = 5" in word for word in texts(figure))
    assert_legible(figure)
    cosines = [
        {"t": t, "trajectory": trajectory, "patch_size": p, "cosine": 1 - abs(p - 5) / 50 - 0.01}
        for t in (0.1, 0.3, 0.5, 0.7, 0.9, 1.0)
        for trajectory in range(3)
        for p in (3, 5, 7)
    ]
    figure = sharpness(
        {f"network-{i}": pd.DataFrame(cosines) for i in range(4)},
        {f"network-{i}": {0.1: 3, 0.3: 3, 0.5: 5, 0.7: 5, 0.9: 5, 1.0: 7} for i in range(4)},
    )
    large = [line for line in figure.axes[0].lines if line.get_markersize() == 6]
    assert [float(line.get_xdata()[0]) for line in large] == [3, 3, 5, 5, 5, 7]
    assert_legible(figure)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = project_with_pictures(tmp_path_factory.mktemp("variants"))
    (folder / "variants.yaml").write_text(VARIANTS)
    targets = ["own results/tables/variants.csv", f"own results/learning/{NAME}.csv"]
    targets += ["own results/tables/agreement.csv", "own results/figures/variants.png"]
    targets += ["own results/figures/learning.png", "own results/figures/sharpness.png"]
    snakemake(folder, *targets, "--configfile", "tiny.yaml", "variants.yaml")
    return folder / "own results"


@pytest.mark.workflow
def test_every_variant_changes_what_it_says(finished):
    table = pd.read_csv(finished / "tables/variants.csv").set_index("variant")
    assert set(table.index) == {UNCHANGED, *yaml_names()}
    agreement = pd.read_csv(finished / "tables/agreement.csv")
    els = agreement[agreement["machine"] == "els"]
    assert table.loc[UNCHANGED, "pearson_r"] == pytest.approx(els["pearson_r"].median())
    assert table.loc["the_same", "difference"] == 0
    assert table["difference"].isna().sum() == 2  # of itself, and of what is not of ELS
    assert np.isnan(table.loc["noise", "difference"])
    changed = table.drop([UNCHANGED, "the_same"])
    per_seed = pd.read_csv(finished / f"variants/{NAME}-4.csv")
    usual = per_seed[per_seed["variant"] == UNCHANGED].set_index("seed")["pearson_r"]
    for name in changed.index:
        r = per_seed[per_seed["variant"] == name].set_index("seed")["pearson_r"]
        assert not np.allclose(r, usual.loc[r.index], equal_nan=True), name

    def shard(*parts):
        return load_samples(finished.joinpath(*parts, "000.npz"))

    assert shard("variants", NAME, "p_3", "els").record["patch_size"] == 3
    bank = shard("variants", NAME, "other_bank", "els")
    assert bank.labels is None
    assert bank.record["bank_images"] == 3
    assert bank.record["bank_sha256"] != shard("samples", NAME, "els").record["bank_sha256"]
    assert shard("variants", NAME, "raw", "network-4").record["weights"] == "raw"
    again = shard("variants", NAME, "noise", "network-4")
    usual_network = shard("samples", NAME, "network-4")
    assert (usual_network.record["noise_change"], again.record["noise_change"]) == (0, 0.5)
    r = per_seed[per_seed["variant"] == "noise"].set_index("seed")["pearson_r"]
    np.testing.assert_allclose(r, pearson_r(usual_network.images, again.images), atol=1e-6)
    folder = finished / f"variants/{NAME}"
    assert not (folder / "noise/els").exists()
    assert not (folder / "raw/els").exists()  # the machine's samples are the usual ones
    assert not (folder / "p_3/network-4").exists()
    assert not (folder / "shuffled").exists()


def yaml_names():
    return [line.split(":")[0].strip() for line in VARIANTS.splitlines() if "kind:" in line]


@pytest.mark.workflow
def test_curve_of_the_training_ends_in_the_trained_network(finished):
    curve = pd.read_csv(finished / f"learning/{NAME}.csv")
    assert sorted(curve["images_seen"].unique()) == [0, 8, 16]
    last = curve[curve["images_seen"] == 16].set_index(["machine", "seed"])["pearson_r"]
    agreement = pd.read_csv(finished / "tables/agreement.csv").set_index(["machine", "seed"])
    np.testing.assert_allclose(last.loc[agreement.index], agreement["pearson_r"], atol=1e-5)
    untrained = pd.read_csv(finished / f"variants/{NAME}-4.csv")
    untrained = untrained[untrained["variant"] == "untrained"].set_index("seed")["pearson_r"]
    first = curve[(curve["images_seen"] == 0) & (curve["machine"] == "els")].set_index("seed")
    np.testing.assert_allclose(first["pearson_r"], untrained.loc[first.index], atol=1e-5)


@pytest.mark.workflow
def test_shipped_ablations_are_planned(tmp_path_factory):
    folder = project_with_pictures(tmp_path_factory.mktemp("plan"))
    jobs = planned(snakemake(folder, "-n", "--configfile", "config/ablations.yaml"))
    changed = read("config/ablations.yaml")["variants"].values()
    machine = {"bank_dataset", "bank_images", "bank_split", "machine_start", "patch_size"}
    machine |= {"scales_shift"}
    assert jobs["sample_variant_machine"] == 2 * sum(bool(machine & set(c)) for c in changed)
    assert jobs["learning_curve"] == jobs["packaged_snapshots"] == 2
    assert jobs["figure_variants"] == jobs["variants_table"] == 1


def test_variants_apply_where_they_fit():
    config = merged(DEFAULT, read("config/ablations.yaml"))
    config["variants"]["inside"] = {"kind": "ablation", "candidates": "interior"}
    config["variants"]["of_one"] = {
        "kind": "ablation",
        "clamped": True,
        "networks": ["mnist-resnet-zeros"],
    }
    config["variants"]["of_mnist"] = {"kind": "control", "bank_dataset": {"mnist": "fashion_mnist"}}
    found = variants_of(config, "fashion_mnist-resnet-zeros")
    assert set(config["variants"]) - set(found) == {"inside", "of_one", "of_mnist"}
    assert "inside" in variants_of(config, "mnist-resnet-circular")
    assert "same_class" not in variants_of(config, "mnist-resnet-zeros")
    e = Experiment(config, ROOT)
    bank = e.variant_bank("fashion_mnist-resnet-zeros", "held_out_bank")
    assert bank.name == "fashion_mnist-classes-held_out-all.npz"
    own = {"datasets": {"fashion_mnist": {"source": "image_folder", "local": "mine"}}}
    assert "held_out_bank" not in variants_of(merged(config, own), "fashion_mnist-resnet-zeros")


@pytest.mark.parametrize(
    ("variants", "message"),
    [
        ({"unchanged": {"kind": "control", "shuffled": True}}, "variants.unchanged: this is the n"),
        ({"a": {"kind": "control", "patch_size": 4}}, "patch_size: 4 is even; .* like 5"),
        (
            {"a": {"kind": "control", "patch_size": 3, "scales_shift": 1}},
            "variants.a: patch_size and scales_shift exclude each other",
        ),
        (
            {"a": {"kind": "control", "clamped": True, "networks": ["mnist-resnet-zero"]}},
            r"variants.a.networks: 'mnist-resnet-zero' is not .*mnist-resnet-zeros",
        ),
        (
            {"a": {"kind": "control", "bank_dataset": {"mnist": "fashion"}}},
            "variants.a.bank_dataset: 'fashion' is not defined .*fashion_mnist",
        ),
        (
            {"a": {"kind": "control", "bank_dataset": {"mnist": "cifar10"}}},
            "cifar10 has 3 channels of 32 pixels, mnist 1 of 32",
        ),
        (
            {"a": {"kind": "ablation", "weights": "raw", "networks": ["mnist-unet-zeros"]}},
            "variants.a.weights: raw, but mnist-unet-zeros is packaged without snapshots",
        ),
        (
            {"a": {"kind": "control", "bank_split": "test", "bank_dataset": {"mnist": "mnist"}}},
            "variants.a: bank_dataset and bank_split exclude each other",
        ),
        (
            {"a": {"kind": "yardstick", "noise_change": 0.1, "patch_size": 3, "weights": "raw"}},
            "noise_change compares the network with itself; leave out patch_size, weights",
        ),
        ({"a": {"kind": "control", "noise_change": 0.1}}, "kind: control, but a .* is a yardstick"),
        ({"a": {"kind": "yardstick", "clamped": True}}, "kind: yardstick, but .* has noise_change"),
        ({"a": {"kind": "yardstick", "noise_change": 2}}, "noise_change: 2 is greater than .* 1"),
        (
            {"a": {"kind": "control", "shuffled": "class", "networks": ["mnist-resnet-zeros"]}},
            "variants.a.networks: it does not fit mnist-resnet-zeros",
        ),
        ({"a": {"kind": "control", "shuffled": False}}, "shuffled: .*False"),
        ({"a": {"kind": "ablation"}}, "variants.a"),
        ({"a": {"kind": "test", "clamped": True}}, "variants.a.kind: 'test' is not allowed"),
    ],
)
def test_bad_variants_are_refused(variants, message):
    config = merged(DEFAULT, {"datasets": {"cifar10": {"source": "cifar10", "size": 32}}})
    with pytest.raises(ConfigError, match=message):
        validate_config({**config, "variants": variants}, ROOT / "checkpoints")


def test_variants_need_els():
    config = merged(DEFAULT, {"machines": ["is"], "variants": {"a": {"kind": "control"}}})
    config["variants"]["a"]["shuffled"] = True
    with pytest.raises(ConfigError, match="compared with els"):
        validate_config(config, ROOT / "checkpoints")
