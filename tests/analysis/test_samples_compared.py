"""Novelty, frequency bands and measures: closed forms, and what is drawn of them."""

import numpy as np
import pandas as pd
import pytest
import torch
from legibility import assert_legible, texts

from patchmosaic.analysis.agreement import pearson_r
from patchmosaic.analysis.frequencies import band_agreement, band_edges
from patchmosaic.analysis.novelty import novelty as measure_novelty
from patchmosaic.analysis.novelty import two_nearest
from patchmosaic.figures.bands import bands
from patchmosaic.figures.measures import measures
from patchmosaic.figures.novelty import novelty
from patchmosaic.publish.names import HELD_OUT

RNG = np.random.default_rng(0)


def test_two_nearest_are_those_of_brute_force(monkeypatch):
    monkeypatch.setattr("patchmosaic.analysis.novelty._BLOCK", 7)  # so that blocks are joined
    images = torch.from_numpy(RNG.uniform(-1, 1, (5, 3, 4, 4)))
    training = torch.from_numpy(RNG.uniform(-1, 1, (30, 3, 4, 4)))
    distances, at = two_nearest(images, training)
    exact = (images[:, None] - training).square().mean(dim=(2, 3, 4)).sqrt()
    torch.testing.assert_close(distances, exact.sort(dim=1)[0][:, :2])
    assert torch.equal(at, exact.argsort(dim=1)[:, :2])
    with pytest.raises(ValueError, match="at least 2"):
        two_nearest(images, training[:1])


def test_a_copy_is_much_nearer_to_one_image_than_to_any_other():
    training = torch.stack([torch.full((1, 2, 2), value) for value in (-1.0, 1.0, 1.0)])
    images = torch.stack([torch.full((1, 2, 2), value) for value in (-1.0, -0.6, -0.4, 1.0)])
    found = measure_novelty(images, training)
    assert found["copy"].tolist() == [True, True, False, True]  # ratios 0, 1/4, 3/7, twice there
    assert found["distance"].tolist() == pytest.approx([0, 0.4, 0.6, 0])
    assert found["nearest"].tolist()[:3] == [0, 0, 0]


def wave(cycles, phase=0.0, side=32):
    columns = np.arange(side) * 2 * np.pi / side
    return np.broadcast_to(np.cos(cycles * columns + phase), (1, 1, side, side))


def test_bands_are_told_apart():
    machine = wave(1) + 0.5 * wave(5) - wave(10)
    network = wave(1) + 2 * wave(5, np.pi / 3) + 3 * wave(10)
    found = band_agreement(machine, network).set_index("high")
    assert found.loc[1.5, "r"] == pytest.approx(1)
    assert found.loc[6.0, "r"] == pytest.approx(0.5)  # cosine of the phase
    assert found.loc[12.0, "r"] == pytest.approx(-1)
    assert found["power"].tolist() == pytest.approx([1 / 14, 0, 4 / 14, 9 / 14, 0], abs=1e-12)
    blank = band_agreement(np.zeros_like(machine), network)
    assert blank["r"].isna().all()
    constant = np.full((1, 1, 28, 28), -1.0)  # whose other frequencies are not 0 but rounding
    assert band_agreement(constant, RNG.normal(size=(1, 1, 28, 28)))["r"].isna().all()


def test_bands_add_up_to_pearson_r():
    """With all frequencies in one band the correlation is Pearson's."""
    machine, network = RNG.normal(size=(2, 4, 3, 8, 8))
    edges = np.array([0.0, 99.0])
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("patchmosaic.analysis.frequencies.band_edges", lambda _: edges)
        found = band_agreement(machine, network)
    one_channel = band_agreement(machine[:, :1], network[:, :1])
    assert set(one_channel["high"]) == set(band_edges(8)[1:])
    centred = [x - x.mean(axis=(2, 3), keepdims=True) for x in (machine, network)]
    np.testing.assert_allclose(found["r"], pearson_r(*centred))


def compared():
    keys = {"dataset": "mnist", "architecture": "resnet", "padding": "zeros", "conditional": False}
    r = np.array([0.9, 0.8, 0.1])
    rows = {"seed": range(3), "pearson_r": r, "r_squared": r**2, "r2_determination": r - 0.6}
    return [
        pd.DataFrame(
            rows | keys | {"network": f"mnist-resnet-{name}", "network_steps": steps}
        ).assign(machine="els")
        for name in "ab"
        for steps in (20, 150)
    ]


def test_measures_show_medians_and_count_what_is_below():
    paper = compared()[0].iloc[:1].assign(els=0.94)
    figure = measures(pd.concat(compared()), paper)
    medians = [line.get_xdata()[0] for line in figure.axes[0].lines if line.get_linewidth() == 2]
    assert medians[:3] == pytest.approx([0.8, 0.64, 0.2])
    assert texts(figure).count("1 below") == 4
    papers = [line.get_xdata()[0] for line in figure.axes[0].lines if line.get_marker() == "d"]
    np.testing.assert_allclose(papers, [0.94, np.nan, 0.94, np.nan])
    assert_legible(figure)


def test_bands_are_drawn_for_every_run_and_machine():
    rows = band_agreement(*RNG.normal(size=(2, 3, 1, 32, 32)))
    rows["seed"] = rows.pop("image")
    runs = [("mnist-unet-zeros", 20), ("mnist-unet-zeros", 150), ("fashion_mnist-resnet-zeros", 20)]
    table = pd.concat(
        rows.assign(network=name, network_steps=steps, machine=machine)
        for name, steps in runs
        for machine in ("els", "is")
    )
    figure = bands(table)
    assert len(figure.axes) == 3
    curve = figure.axes[0].lines[0]
    np.testing.assert_allclose(curve.get_ydata(), rows.groupby("low")["r"].median())
    assert_legible(figure)


def test_novelty_counts_the_copies_of_every_source():
    rows = pd.DataFrame({"distance": [0.1, 0.2, 0.3], "copy": [True, False, False]})
    sources = [HELD_OUT, "network, 20 steps", "els", "is"]
    table = pd.concat(
        rows.assign(network=name, source=source, copy=rows["copy"] & (source == "is"))
        for name in ("a", "b", "c")
        for source in sources
    )
    figure = novelty(table)
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert labels == [HELD_OUT, "network, 20 steps", "ELS", "IS"]
    assert [text.get_text() for text in figure.axes[0].texts] == ["0 of 3"] * 3 + ["1 of 3"]
    assert_legible(figure)
    assert_legible(novelty(table[table["network"] == "a"]))  # in one column
