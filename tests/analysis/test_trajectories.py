"""Trajectories: what DDIM visits, agreement over time, and the animation of both."""

import numpy as np
import pandas as pd
import pytest
import torch
from legibility import assert_legible
from matplotlib.figure import Figure
from PIL import Image

from patchmosaic.analysis.agreement import pearson_r
from patchmosaic.analysis.frequencies import band_agreement
from patchmosaic.analysis.over_time import agreement_over_time, band_agreement_over_time
from patchmosaic.figures.denoising import denoising_frames
from patchmosaic.figures.style import save_animation
from patchmosaic.figures.trajectories import agreement_along_trajectories
from patchmosaic.figures.trajectory_bands import bands_along_trajectories
from patchmosaic.machines.ideal import IdealScoreMachine
from patchmosaic.sampling.sampler import machine_x0, sample
from patchmosaic.sampling.schedule import reverse_times
from patchmosaic.sampling.trajectories import (
    Trajectory,
    follow,
    gathered,
    load_joined,
    load_trajectories,
    save_trajectories,
)

GENERATOR = torch.Generator().manual_seed(0)
BANK = torch.rand((4, 1, 6, 6), generator=GENERATOR) * 2 - 1
NOISE = torch.randn((3, 1, 6, 6), generator=GENERATOR)
TIMES = reverse_times(5)


@pytest.fixture(scope="module")
def both():
    machines = (IdealScoreMachine(bank) for bank in (BANK, BANK[:2]))
    one, other = (follow(machine_x0(machine, None, None), NOISE, TIMES) for machine in machines)
    return {"network": one, "els": other}


def test_trajectory_runs_from_the_noise_to_the_sample(both):
    trajectory = both["network"]
    assert trajectory.states.shape == trajectory.means.shape == (6, 3, 1, 6, 6)
    assert np.array_equal(trajectory.states[0], NOISE)
    image = sample(machine_x0(IdealScoreMachine(BANK), None, None), NOISE, 5)
    np.testing.assert_allclose(trajectory.states[-1], image, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        trajectory.means[-2], image, rtol=1e-5, atol=1e-6
    )  # the last step goes to the prediction


def test_what_sampling_visits_is_the_trajectory(both):
    machine, visited = IdealScoreMachine(BANK), []
    predict = machine_x0(machine, None, None)
    image = sample(predict, NOISE, 5, observe=lambda _, *pair: visited.append(pair))
    found, expected = gathered(TIMES, visited, image), both["network"]
    assert found.times == expected.times
    assert np.array_equal(found.states, expected.states)
    assert np.array_equal(found.means, expected.means)


def test_shards_of_trajectories_are_joined(both, tmp_path):
    shards = ([7, 8], slice(0, 2)), ([9], slice(2, 3)), ([], slice(3, 3))
    paths = [tmp_path / f"{i:03d}.npz" for i in range(len(shards))]
    whole = both["els"]
    for path, (seeds, chosen) in zip(paths, shards, strict=True):
        part = Trajectory(TIMES, whole.states[:, chosen], whole.means[:, chosen])
        save_trajectories(path, seeds, {"els": part})
    images = NOISE.numpy()
    found = load_joined(paths, "els", [7, 8, 9], images)
    assert found.times == TIMES
    assert np.array_equal(found.states, whole.states)
    assert np.array_equal(found.means, whole.means)
    for seeds, noise in (([7, 8], images), ([7, 8, 9], images + 1e-6), ([9, 8, 7], images)):
        with pytest.raises(ValueError, match=r"000.npz.* other noise than this run's"):
            load_joined(paths, "els", seeds, noise)


def test_agreement_over_time_is_one_at_the_shared_noise_and_that_of_the_images_at_the_end(both):
    table = agreement_over_time(both["els"], both["network"], [7, 8, 9])
    assert table["t"].unique().tolist() == TIMES
    assert table.loc[table["t"] == 1, "state_r"].tolist() == pytest.approx([1] * 3)
    final = table[table["t"] == 0]
    expected = pearson_r(both["els"].states[-1], both["network"].states[-1])
    assert final["seed"].tolist() == [7, 8, 9]
    np.testing.assert_allclose(final["mean_r"], expected)
    np.testing.assert_allclose(final["state_r"], expected)


def test_bands_over_time_end_as_those_of_the_images(both):
    table = band_agreement_over_time(both["els"], both["network"], [7, 8, 9])
    assert table["t"].unique().tolist() == TIMES
    final = table[table["t"] == 0].reset_index(drop=True)
    expected = band_agreement(both["els"].states[-1], both["network"].states[-1])
    assert final["seed"].tolist() == [[7, 8, 9][i] for i in expected["image"]]
    pd.testing.assert_frame_equal(final[["low", "high", "r"]], expected[["low", "high", "r"]])


@pytest.mark.parametrize("compare", [agreement_over_time, band_agreement_over_time])
def test_trajectories_of_other_times_are_refused(both, compare):
    later = follow(machine_x0(IdealScoreMachine(BANK), None, None), NOISE, TIMES[1:])
    with pytest.raises(ValueError, match="different times"):
        compare(later, both["network"], [7, 8, 9])


def test_saved_trajectories_are_the_same(both, tmp_path):
    save_trajectories(tmp_path / "both.npz", [7, 8, 9], both)
    seeds, found = load_trajectories(tmp_path / "both.npz")
    assert seeds == [7, 8, 9]
    assert list(found) == ["network", "els"]
    for name, trajectory in both.items():
        assert found[name].times == TIMES
        assert np.array_equal(found[name].states, trajectory.states)
        assert np.array_equal(found[name].means, trajectory.means)


def test_agreement_is_drawn_from_noise_to_image(both):
    table = agreement_over_time(both["els"], both["network"], [7, 8, 9])
    figure = agreement_along_trajectories(table.assign(network="mnist-resnet-zeros", machine="els"))
    axes = figure.axes[0]
    assert axes.get_xlim()[0] > axes.get_xlim()[1]
    medians = table.groupby("t")["mean_r"].median()
    np.testing.assert_allclose(axes.lines[-1].get_xdata(), medians.index)
    np.testing.assert_allclose(axes.lines[-1].get_ydata(), medians)
    assert_legible(figure)


@pytest.mark.slow
def test_bands_of_many_networks_and_sizes_are_legible(both):
    table = band_agreement_over_time(both["els"], both["network"], [7, 8, 9])
    larger = (
        torch.zeros(6, 3, 1, 28, 28).normal_(generator=torch.Generator().manual_seed(0)).numpy()
    )
    one, other = (Trajectory(TIMES, larger + i, larger * (i + 1)) for i in range(2))
    of_larger = band_agreement_over_time(one, other, [7, 8, 9])
    tables = [
        (of_larger if i % 2 else table).assign(network=f"cifar10-unet_attention-{i}", machine=name)
        for i in range(11)
        for name in ("els", "is")
    ]
    figure = bands_along_trajectories(pd.concat(tables))
    assert_legible(figure)
    drawn = [len(axes.get_yticks()) for axes in figure.axes[:2]]
    assert drawn == [len(set(t["low"])) + 1 for t in (table, of_larger)]


def test_bands_are_drawn_from_noise_to_image(both):
    table = band_agreement_over_time(both["els"], both["network"], [7, 8, 9])
    figure = bands_along_trajectories(table.assign(network="mnist-resnet-zeros", machine="els"))
    axes = figure.axes[0]
    assert axes.get_xlim() == (1, 0)
    drawn = axes.collections[0].get_array()
    medians = table.groupby(["low", "t"])["r"].median().unstack()
    np.testing.assert_allclose(drawn, medians)
    assert_legible(figure)


def test_bands_whose_medians_are_unsure_have_dots():
    rows = [
        {"low": low, "high": 2 * low, "t": t, "seed": seed, "r": 0.5 + (low == 2) * t * seed / 10}
        for low in (1, 2)
        for t in (0.1, 0.4, 0.9)
        for seed in range(-2, 3)
    ]
    figure = bands_along_trajectories(pd.DataFrame(rows).assign(network="a", machine="els"))
    # Only the medians of the upper band vary: by .04, .16 and .36 from end to end.
    dots = figure.axes[0].collections[1].get_offsets()
    np.testing.assert_allclose(dots, [[0.775, 1.5]])


@pytest.mark.parametrize("suffix", ["png", "gif"])
def test_animation_has_a_frame_a_time_and_rests_on_the_last(both, tmp_path, suffix):
    frames = list(denoising_frames(both, [7, 8, 9], "a network"))
    assert len(frames) == len(TIMES)
    assert_legible(frames[0])
    path = tmp_path / f"animation.{suffix}"
    save_animation(frames, path, dpi=50)
    with Image.open(path) as animation:
        assert animation.n_frames == len(TIMES)
        assert animation.info["duration"] == 1800
        last = np.asarray(animation.convert("L"), float)
        animation.seek(1)
        assert animation.info["duration"] == 300
        assert np.abs(np.asarray(animation.convert("L"), float) - last).max() > 50


@pytest.mark.parametrize("suffix", ["png", "gif"])
def test_animation_begins_with_its_last_frame(tmp_path, suffix):
    levels = [0.0, 0.5, 1.0]
    frames = [Figure((1, 1), facecolor=str(level)) for level in levels]
    save_animation(frames, tmp_path / f"animation.{suffix}", dpi=20)
    with Image.open(tmp_path / f"animation.{suffix}") as animation:
        shown = []
        for frame in range(3):
            animation.seek(frame)
            shown.append(np.asarray(animation.convert("L"))[10, 10] / 255)
    np.testing.assert_allclose(shown, [1.0, 0.0, 0.5], atol=0.01)
