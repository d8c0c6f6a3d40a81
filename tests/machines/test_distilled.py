"""Linear distillation against brute force, and networks whose affine map is known."""

import json
import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from damage import empty, flip_bit, truncate
from predictors import images, queries

from patchmosaic.machines import brute_force
from patchmosaic.machines.build import build_machine, settings_of
from patchmosaic.machines.distilled import LinearDistillation, save_corrections
from patchmosaic.machines.gaussian import WienerFilter
from patchmosaic.machines.ideal import IdealScoreMachine
from patchmosaic.machines.registry import MACHINES, in_words
from patchmosaic.sampling import distillation
from patchmosaic.sampling.distillation import correct, distill
from patchmosaic.sampling.sampler import NOISE_STREAM, seed_noise
from patchmosaic.sampling.schedule import alpha_bar
from patchmosaic.system.arrays import ArrayError

T = 0.6
SMALL = 1e-10  # a ridge that changes nothing


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def curved(x_t, _, labels):
    """A network that no affine map is."""
    matrix = torch.randn(16, 16, generator=generator(), dtype=torch.float64) / 2
    told = 0 if labels is None else 0.3 * labels[:, None]
    return torch.tanh(x_t.flatten(1) @ matrix + told).view(x_t.shape)


def fitted(network, bank, labels=None, samples=400, held_out=50, ridges=(SMALL,), times=(T,)):
    return distill(network, WienerFilter(bank, labels), times, samples, held_out, ridges)


def machine_of(path, corrections, bank, labels=None):
    told = {"samples": 400, "held_out": 50, "seed": 0}
    save_corrections(path / "one.npz", corrections, told)
    return LinearDistillation(bank, labels, filters=path / "one.npz")


def error(network, bank, corrections, x):
    """Mean square distance of the fitted map from a network."""
    linear = WienerFilter(bank).posterior_mean(x, alpha_bar(T)).flatten(1)
    found = linear + corrections[0].of(x.flatten(1), None)
    return float((found - network(x, T, None).flatten(1)).square().mean())


@pytest.mark.parametrize("ridge", [SMALL, 0.3])
def test_correction_is_brute_force(ridge):
    x_t = torch.randn(70, 1, 2, 3, generator=generator(1), dtype=torch.float64) + 0.4
    predicted, linear = torch.tanh(2 * x_t).flip(3), 0.2 * x_t
    residuals = (predicted - linear).flatten(1)
    found, _, _ = correct(x_t.flatten(1), None, residuals, 10, [ridge], 0.5)
    fit = x_t[:60].flatten(1)
    absolute = ridge * float((fit - fit.mean(0)).square().mean())
    for x in x_t[60:63]:
        given = (array[:60].numpy() for array in (x_t, predicted, linear))
        expected = brute_force.nearest_affine(x.numpy(), *given, absolute)
        assert np.abs(found.of(x.flatten()[None], None).numpy() - expected.ravel()).max() < 1e-9


def test_classes_have_offsets_of_their_own_and_share_a_matrix():
    """As brute force with a value more for each class, which no ridge keeps small."""
    x_t = torch.randn(90, 4, generator=generator(1), dtype=torch.float64)
    labels = torch.arange(90) % 3 * 2
    wanted = torch.tanh(x_t.flip(1) + labels[:, None])
    found, _, _ = correct(x_t, labels, wanted, 30, [SMALL], 0.5)
    assert found.labels.tolist() == [0, 2, 4]
    classes = (labels[:, None] == torch.tensor([0, 2, 4])).double()
    inputs = torch.cat([x_t, classes], 1)
    solution = torch.linalg.lstsq(inputs[:60], wanted[:60]).solution
    for label in (0, 2, 4):
        of = labels[60:] == label
        got, expected = found.of(x_t[60:][of], label), inputs[60:][of] @ solution
        assert (got - expected).abs().max() < 1e-8


def test_linear_network_is_recovered(tmp_path):
    bank = images(60)
    matrix = torch.randn(16, 16, generator=generator(2), dtype=torch.float64)

    def network(x_t, *_):
        return (x_t.flatten(1) @ matrix + 0.3).view(x_t.shape)

    corrections, (fit,) = fitted(network, bank)
    machine, x = machine_of(tmp_path, corrections, bank), queries(bank, T, 5)
    close = 1e-5  # matrices are kept in float32
    assert (machine.posterior_mean(x, alpha_bar(T)) - network(x, T, None)).abs().max() < close
    assert fit.error < 1e-12 < fit.wiener_error
    assert fit.t == T
    assert fit.alpha_bar == alpha_bar(T)


@pytest.mark.parametrize("classes", [1, 2])
def test_wiener_filter_needs_no_correction_whatever_ridge_and_samples(classes):
    bank, labels = images(60), torch.arange(60) % 2 if classes == 2 else None
    wiener = WienerFilter(bank, labels)

    def network(x_t, t, told):
        return wiener.posterior_mean(x_t, alpha_bar(t), None, told)

    for ridge in (1e-4, 1.0):
        (correction,), (fit,) = fitted(network, bank, labels, 30, 10, [ridge])
        for part in (correction.matrix, correction.offsets):
            assert part.abs().max() < 1e-12
        assert fit.error < 1e-20
        assert fit.variance > 0.01


def test_ideal_network_becomes_the_wiener_filter():
    """Given x_t the mean of x_0 is what it predicts, so the best affine maps of both are one."""
    bank, a_bar = images(60), alpha_bar(T)

    def size(samples):
        x_t = torch.cat([queries(bank, T, 60, seed) for seed in range(samples // 60)])
        ideal, wiener = (
            machine(bank).posterior_mean(x_t, a_bar).flatten(1)
            for machine in (IdealScoreMachine, WienerFilter)
        )
        correction, _, _ = correct(x_t.flatten(1), None, ideal - wiener, 20, [SMALL], a_bar)
        return float(correction.matrix.square().mean().sqrt())

    sizes = [size(samples) for samples in (360, 1440, 5760)]
    for few, many in pairwise(sizes):
        assert 1.5 < few / many < 2.7  # as the square root of the samples


def test_more_samples_come_closer_to_the_nearest_affine_map():
    bank, x = images(60), []
    for seed in range(40):
        x.append(queries(bank, T, 60, seed + 5))
    x = torch.cat(x)
    many, _ = fitted(curved, bank, samples=40_000, held_out=100)
    least = error(curved, bank, many, x)
    beyond = [
        error(curved, bank, fitted(curved, bank, samples=samples)[0], x) - least
        for samples in (90, 130, 450, 3000)
    ]
    assert all(few > 1.5 * more for few, more in pairwise(beyond))
    assert 0 < beyond[-1] < 0.05 * least


def test_ridge_is_that_which_errs_least_on_what_was_held_out():
    bank, ridges = images(60), [1e-6, 1e-2, 0.3, 1e6]
    one = {ridge: fitted(curved, bank, samples=80, ridges=[ridge])[1][0] for ridge in ridges}
    best = min(ridges, key=lambda ridge: one[ridge].error)
    (fit,) = fitted(curved, bank, samples=80, ridges=ridges)[1]
    assert fit == one[best]
    assert best not in (1e-6, 1e6)  # so few samples need one; without a matrix there are offsets


def test_nothing_is_corrected_where_that_errs_less():
    """As of an ideal network, which samples can only take away from its Wiener filter."""
    bank = images(60)
    ideal = IdealScoreMachine(bank)
    (correction,), (fit,) = fitted(
        lambda x_t, t, _: ideal.posterior_mean(x_t, alpha_bar(t)), bank, samples=60, held_out=20
    )
    assert fit.ridge == math.inf
    assert fit.error == fit.wiener_error
    x = queries(bank, T).flatten(1)
    assert torch.equal(correction.of(x, None), torch.zeros_like(x))


def test_limits_of_noise(tmp_path, monkeypatch):
    """With noise alone an ideal network's mean image; without noise the query itself."""
    bank = images(60)
    ideal = IdealScoreMachine(bank)
    monkeypatch.setattr(distillation, "alpha_bar", lambda t: 1 - t)

    def network(x_t, t, _):
        return ideal.posterior_mean(x_t, 1 - t)

    times = (1 - 1e-9, 1e-9)
    corrections, fits = fitted(network, bank, samples=2000, ridges=[1e-3], times=times)
    machine = machine_of(tmp_path, corrections, bank)
    x = queries(bank, 1.0)
    found = machine.posterior_mean(x, 1 - times[0])
    assert torch.allclose(found, bank.mean(0).expand_as(x), atol=1e-4)
    assert torch.allclose(machine.posterior_mean(bank[:2], 1 - times[1]), bank[:2], atol=1e-4)
    assert [fit.alpha_bar for fit in fits] == pytest.approx([1e-9, 1 - 1e-9])


def test_kept_filters_are_those_that_were_fitted(tmp_path):
    bank, labels = images(60), torch.arange(60) % 2
    corrections, _ = fitted(curved, bank, labels, times=(0.9, T))
    machine = machine_of(tmp_path, corrections, bank, labels)
    told = torch.tensor([1, 0])
    for t, correction in zip((0.9, T, 0.9), [*corrections, corrections[0]], strict=True):
        x = queries(bank, t)
        linear = WienerFilter(bank, labels).posterior_mean(x, alpha_bar(t), None, told)
        found = machine.posterior_mean(x, alpha_bar(t), None, told) - linear
        for i, label in enumerate(told.tolist()):
            expected = correction.of(x[i].flatten()[None], label)
            assert (found[i].flatten() - expected[0]).abs().max() < 1e-6
    assert settings_of(machine) == {"samples": 400, "held_out": 50, "seed": 0}
    assert in_words(json.loads(json.dumps(settings_of(machine)))) == (
        "samples 400, held out 50, seed 0"
    )


def test_samples_follow_from_the_seed_and_are_of_no_seed_of_noise():
    bank, asked = torch.zeros(60, 1, 4, 4, dtype=torch.float64), []

    def network(x_t, *_):
        asked.append(x_t)
        return x_t

    def of(seed):
        asked.clear()
        distill(network, WienerFilter(bank), (T, T), 70, 10, [1.0], seed)
        return [x.clone() for x in asked]

    first, again, other = of(0), of(0), of(1)
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], first[1])  # each level has its own
    assert not torch.equal(first[0], other[0])
    assert distillation.STREAM != NOISE_STREAM
    drawn = (first[0] / math.sqrt(1 - alpha_bar(T))).flatten(1)  # the images have no values
    evaluated = seed_noise(list(range(100)), (1, 4, 4)).flatten(1)
    assert (drawn[:, None] - evaluated).abs().amax(2).min() > 0.1


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"samples": 50}, "samples is 50, held_out 50"),
        ({"held_out": 0}, "held_out 0"),
        ({"ridges": []}, r"ridges \[\]"),
        ({"ridges": [0.0]}, r"ridges \[0.0\]"),
    ],
)
def test_settings_that_leave_nothing_to_fit_are_refused(settings, words):
    with pytest.raises(ValueError, match=words):
        fitted(curved, images(60), **settings)


def test_class_without_a_sample_is_named():
    bank, labels = images(60), torch.zeros(60, dtype=torch.int64)
    labels[-1] = 7
    with pytest.raises(ValueError, match=r"samples: 2 to fit to have none of the classes"):
        fitted(curved, bank, labels, samples=3, held_out=1)


def test_what_does_not_fit_memory_is_refused_with_its_bytes(monkeypatch):
    monkeypatch.setattr("patchmosaic.system.memory.available_memory", lambda: 1000)

    def network(*_):
        raise AssertionError("the network is asked")

    needed = 8 * (6 * 400 * 16 + 6 * 16**2)
    with pytest.raises(MemoryError, match=rf"400 images of 16 values would take {needed:,} bytes"):
        fitted(network, images(60))


@pytest.mark.parametrize("damage", [flip_bit, truncate, empty])
def test_damaged_filters_are_named(tmp_path, damage):
    bank = images(60)
    machine_of(tmp_path, fitted(curved, bank)[0], bank)
    damage(tmp_path / "one.npz")
    with pytest.raises(ArrayError, match=r"one\.npz: not a readable npz file"):
        LinearDistillation(bank, filters=tmp_path / "one.npz").posterior_mean(
            queries(bank, T), alpha_bar(T)
        )


def test_filters_of_something_else_are_refused(tmp_path):
    bank = images(60)
    machine = machine_of(tmp_path, fitted(curved, bank)[0], bank)
    with pytest.raises(ValueError, match=r"alpha_bar is 0\.4: .*one\.npz was fitted at 0\.3"):
        machine.posterior_mean(queries(bank, T), 0.4)
    for other in (images(60, 2), images(60, 1, 6)):
        with pytest.raises(ArrayError, match=r"one\.npz: .*0 matrix has shape \(16, 16\)"):
            LinearDistillation(other, filters=machine.filters)
    with pytest.raises(ArrayError, match=r"of the labels \[-1\], and the bank's are \[0, 1\]"):
        LinearDistillation(bank, torch.arange(60) % 2, filters=machine.filters)
    with pytest.raises(ValueError, match="filters is None"):
        build_machine("distilled", bank)
    assert MACHINES["distilled"].sees == "weights"
