"""The predictors from the nearest images against brute force, and their limits."""

import pytest
import torch
from predictors import check, images, queries

from patchmosaic.machines import brute_force
from patchmosaic.machines.ideal import IdealScoreMachine
from patchmosaic.machines.neighbours import (
    NearestIdealMachine,
    NearestImage,
    SmoothedIdealMachine,
)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("neighbours", [1, 5, 40, 99])
def test_neighbours_are_brute_force(channels, neighbours):
    bank = images(40, channels)
    check(NearestImage(bank), lambda x, y, _: brute_force.nearest_image(x, y), bank)
    check(
        NearestIdealMachine(bank, neighbours=neighbours),
        lambda x, y, a: brute_force.nearest_ideal(x, y, a, neighbours),
        bank,
    )
    smoothed = SmoothedIdealMachine(bank, neighbours=neighbours, moved=3, smoothing=0.4, seed=7)
    shifts = smoothed.shifts.numpy()
    check(
        smoothed,
        lambda x, y, a: brute_force.smoothed_ideal(x, y, a, neighbours, shifts),
        bank,
    )


def test_all_neighbours_are_is_and_one_is_a_training_image():
    bank = images(30)
    x = queries(bank, 0.4)
    every = NearestIdealMachine(bank).posterior_mean(x, 0.4)  # 200 of 30
    assert torch.allclose(every, IdealScoreMachine(bank).posterior_mean(x, 0.4))
    one = NearestIdealMachine(bank, neighbours=1).posterior_mean(x, 0.4)
    for image in one:
        assert (image == bank).all((1, 2, 3)).any()
    smoothed = SmoothedIdealMachine(bank, smoothing=0).posterior_mean(x, 0.4)
    assert torch.allclose(smoothed, every)


def test_nearest_is_to_the_query_as_it_is():
    """At alpha_bar .25, a query of .5 is nearest to .5, though it came from an image of 1."""
    bank = torch.tensor([1.0, 0.5]).view(2, 1, 1, 1).expand(2, 1, 2, 2)
    x = torch.full((1, 1, 2, 2), 0.5)
    assert torch.equal(NearestImage(bank).posterior_mean(x, 0.25), bank[1:])
    k = NearestIdealMachine(bank, neighbours=1)
    assert torch.equal(k.posterior_mean(x, 0.25), bank[:1])


def test_moves_are_a_function_of_the_seed():
    bank = images(30)
    a, same, other = (SmoothedIdealMachine(bank, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(a.shifts, same.shifts)
    assert not torch.equal(a.shifts, other.shifts)
    assert a.shifts.std() == pytest.approx(1, abs=0.2)  # gray images
    colour = SmoothedIdealMachine(images(30, 3))
    assert colour.shifts.std() == pytest.approx(0.1, abs=0.02)


@pytest.mark.parametrize("kind", [NearestImage, NearestIdealMachine, SmoothedIdealMachine])
def test_an_image_depends_on_its_own_query_and_label(kind):
    bank, labels = images(60), torch.arange(60) % 3
    machine, asked = kind(bank, labels), torch.tensor([2, 0, 2, 1])
    x = queries(bank, 0.5, 4)
    together = machine.posterior_mean(x, 0.3, None, asked)
    for i, label in enumerate(asked.tolist()):
        alone = machine.posterior_mean(x[i : i + 1], 0.3, None, asked[i : i + 1])
        assert torch.allclose(together[i], alone[0])
        unlabelled = kind(bank[labels == label]).posterior_mean(x[i : i + 1], 0.3)
        assert torch.allclose(together[i], unlabelled[0])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"neighbours": 0}, "neighbours is 0: expected a whole number, at least 1"),
        ({"neighbours": 2.5}, "neighbours is 2.5: expected a whole number, at least 1"),
        ({"moved": True}, "moved is True: expected a whole number, at least 1"),
        ({"smoothing": -1}, "smoothing is -1: expected a number from 0 to 100"),
        ({"smoothing": float("nan")}, "smoothing is nan: expected a number from 0 to 100"),
        ({"seed": -1}, "seed is -1: expected a whole number, at least 0"),
    ],
)
def test_bad_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        SmoothedIdealMachine(images(), **settings)
