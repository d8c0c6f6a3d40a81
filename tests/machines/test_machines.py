"""The machines against float64 brute force written from the definitions, and their properties."""

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from patchmosaic.engines import native
from patchmosaic.machines import brute_force as reference
from patchmosaic.machines.base import CandidateMachine
from patchmosaic.machines.ideal import EquivariantScoreMachine, IdealScoreMachine
from patchmosaic.machines.local import EquivariantLocalScoreMachine, LocalScoreMachine
from patchmosaic.machines.registry import MACHINES
from patchmosaic.sampling.schedule import alpha_bar, ddim
from patchmosaic.system.lazy import load

CLASSES = {
    name: kind
    for name, row in MACHINES.items()
    if issubclass(kind := load(row.address), CandidateMachine)
}
TIMES = (0.05, 0.3, 0.7, 1.0)
NATIVE = pytest.mark.skipif(
    not native.available(), reason=f"no exact engine: {native.unavailable_reason()}"
)
ENGINES = ["dense", pytest.param("exact", marks=NATIVE)]
TOLERANCE = {"dense": 1e-9, "exact": 1e-4}  # float64 sums; the exact engine's stated error
BOUNDARIES = [("zeros", "wrapped"), ("circular", "wrapped"), ("circular", "interior")]


def made_images(count, channels, size, seed=0):
    """Images of few gray levels, so that patches repeat, with a duplicate and a constant image."""
    values = np.random.default_rng(seed).integers(0, 4, (count, channels, size, size)) / 1.5 - 1
    values[-1] = values[0]
    values[1] = -1
    return torch.from_numpy(values)


def noisy(images, t, count=2, seed=1):
    noise = torch.randn((count, *images.shape[1:]), generator=torch.Generator().manual_seed(seed))
    a_bar = alpha_bar(t)
    return a_bar**0.5 * images[:count] + (1 - a_bar) ** 0.5 * noise.double()


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("boundary", "candidates"), BOUNDARIES)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("patch_size", [1, 3, 5, 7, 9, 13])
@pytest.mark.slow
def test_els_is_brute_force(engine, boundary, candidates, channels, patch_size):
    images = made_images(4, channels, 6)
    if candidates == "interior" and patch_size > 6:
        pytest.skip("no interior candidates: refused, see test_bad_queries_are_refused")
    machine = EquivariantLocalScoreMachine(
        images, boundary=boundary, candidates=candidates, engine=engine
    )
    for t in TIMES:
        x = noisy(images, t)
        mean = machine.posterior_mean(x, alpha_bar(t), patch_size=patch_size)
        for query, result in zip(x, mean, strict=True):
            expected = reference.equivariant_local(
                query.numpy(), images.numpy(), alpha_bar(t), patch_size, boundary, candidates
            )
            assert np.abs(result.numpy() - expected).max() < TOLERANCE[engine]


@NATIVE
@pytest.mark.parametrize("boundary", ["zeros", "circular"])
@pytest.mark.parametrize("name", ["ls", "els"])
def test_far_queries_lose_what_rounding_takes(name, boundary):
    """Noise where images are meant: log-weights down to -10^4, and two roundings of them are 10^-3.

    The exact engine may then be beyond its 1e-4, but stays within those roundings.
    """
    for seed in range(6):
        generator = torch.Generator().manual_seed(seed)
        bank = torch.rand(40, 3, 12, 12, generator=generator) * 2 - 1
        x, a_bar = torch.randn(3, 3, 12, 12, generator=generator), alpha_bar(0.05)
        dense, exact = (
            CLASSES[name](bank, boundary=boundary, engine=engine).posterior_sums(x, a_bar, 5)
            for engine in ("dense", "exact")
        )
        error = (exact.mean - dense.mean).abs().amax(1)
        assert (error <= 2**-23 * dense.log_max.abs()).all()
        assert dense.log_max.min() < -2000


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("boundary", ["zeros", "circular"])
@pytest.mark.parametrize("patch_size", [1, 3, 7, 11])
def test_ls_is_brute_force(engine, boundary, patch_size):
    images = made_images(5, 2, 5)
    machine = LocalScoreMachine(images, boundary=boundary, engine=engine)
    for t in TIMES:
        x = noisy(images, t)
        mean = machine.posterior_mean(x, alpha_bar(t), patch_size=patch_size)
        for query, result in zip(x, mean, strict=True):
            expected = reference.local(
                query.numpy(), images.numpy(), alpha_bar(t), patch_size, boundary
            )
            assert np.abs(result.numpy() - expected).max() < TOLERANCE[engine]


@pytest.mark.parametrize(
    ("machine_class", "brute_force"),
    [(IdealScoreMachine, reference.ideal), (EquivariantScoreMachine, reference.equivariant)],
)
def test_whole_image_machines_are_brute_force(machine_class, brute_force):
    images = made_images(6, 3, 5)
    for t in TIMES:
        x = noisy(images, t)
        mean = machine_class(images).posterior_mean(x, alpha_bar(t))
        for query, result in zip(x, mean, strict=True):
            expected = brute_force(query.numpy(), images.numpy(), alpha_bar(t))
            assert np.abs(result.numpy() - expected).max() < 1e-9


def test_reference_by_hand():
    """Two one-pixel images at alpha_bar .5: the posterior mean is a tanh of the query."""
    bank, x = np.array([[[[1.0]]], [[[-1.0]]]]), np.array([[[0.3]]])
    expected = np.tanh(0.3 * np.sqrt(0.5) / 0.5)
    assert reference.ideal(x, bank, 0.5)[0, 0, 0] == pytest.approx(expected, abs=1e-12)
    for patch_size in (1, 3):
        found = reference.equivariant_local(x, bank, 0.5, patch_size)
        assert found[0, 0, 0] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("engine", ENGINES)
def test_broken_boundary_keeps_border_patches_at_the_border(engine):
    """A bright border stays where it is: interior pixels cannot take border values."""
    images = torch.full((1, 1, 9, 9), -1.0)
    images[:, :, 0, :] = 1.0
    machine = EquivariantLocalScoreMachine(images, engine=engine)
    mean = machine.posterior_mean(torch.zeros(1, 1, 9, 9), 0.01, patch_size=3)[0, 0]
    assert torch.allclose(mean[0], torch.ones(9), atol=1e-5)
    assert torch.allclose(mean[1:], -torch.ones(8, 9), atol=1e-5)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("machine_class", [EquivariantLocalScoreMachine, EquivariantScoreMachine])
def test_circular_machines_are_equivariant(engine, machine_class):
    if engine == "exact" and not machine_class.needs_scales:
        pytest.skip("ES has only the dense engine")
    images = made_images(5, 1, 8).float()
    machine = machine_class(images, boundary="circular", engine=engine)
    x = noisy(images, 0.4).float()
    shifted = torch.roll(x, (3, -2), dims=(2, 3))
    mean = machine.posterior_mean(x, alpha_bar(0.4), patch_size=5)
    moved = machine.posterior_mean(shifted, alpha_bar(0.4), patch_size=5)
    assert torch.allclose(moved, torch.roll(mean, (3, -2), dims=(2, 3)), atol=2e-5)


@pytest.mark.parametrize("engine", ENGINES)
def test_ls_is_is_when_the_patch_covers_the_image(engine):
    images = made_images(7, 1, 6)
    x = noisy(images, 0.6)
    ideal = IdealScoreMachine(images).posterior_mean(x, alpha_bar(0.6))
    local = LocalScoreMachine(images, engine=engine)
    els = EquivariantLocalScoreMachine(images, engine=engine)
    for machine in (local, els):
        mean = machine.posterior_mean(x, alpha_bar(0.6), patch_size=11)
        assert torch.allclose(mean, ideal, atol=TOLERANCE[engine])


@pytest.mark.parametrize("engine", ENGINES)
def test_one_training_image_is_returned_as_it_is(engine):
    image = made_images(3, 3, 8)[2:]
    x = noisy(image, 0.8, count=1)
    machines = [IdealScoreMachine(image), LocalScoreMachine(image, engine=engine)]
    for machine in machines:
        mean = machine.posterior_mean(x, alpha_bar(0.8), patch_size=3)
        assert torch.allclose(mean, image, atol=1e-6)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("boundary", ["zeros", "circular"])
def test_batch_order_and_chunks_do_not_matter(engine, boundary, monkeypatch):
    images = made_images(37, 1, 8)
    x = noisy(images, 0.5, count=5)
    machine = EquivariantLocalScoreMachine(images, boundary=boundary, engine=engine)
    together = machine.posterior_mean(x, alpha_bar(0.5), patch_size=3)
    one_by_one = torch.cat(
        [machine.posterior_mean(q[None], alpha_bar(0.5), patch_size=3) for q in x]
    )
    order = torch.randperm(37, generator=torch.Generator().manual_seed(0))
    shuffled = EquivariantLocalScoreMachine(images[order], boundary=boundary, engine=engine)
    monkeypatch.setattr("patchmosaic.engines.dense.BLOCK", 20_000)
    reordered = shuffled.posterior_mean(x, alpha_bar(0.5), patch_size=3)
    tolerance = {"dense": 1e-12, "exact": 2e-5}[engine]
    assert torch.allclose(together, one_by_one, atol=tolerance)
    assert torch.allclose(together, reordered, atol=tolerance)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("kind", CLASSES.values(), ids=CLASSES)
def test_sums_over_shards_of_the_bank_merge_into_the_whole(kind, engine):
    """In any grouping, whatever the sizes of the shards and with labels that one of them lacks."""
    images, labels = made_images(23, 3, 6), torch.tensor([0] * 8 + [1] * 15)
    x, engine = noisy(images, 0.3, count=3), engine if kind.needs_scales else "dense"

    def sums(first, last):
        machine = kind(images[first:last], labels[first:last], engine=engine)
        return machine.posterior_sums(x, alpha_bar(0.3), 3, torch.tensor([1, 1, 1]))

    whole, (a, b, c) = sums(0, 23), (sums(0, 9), sums(9, 11), sums(11, 23))
    tolerance = {"dense": 1e-12, "exact": 2e-5}[engine]
    for merged in (a.merge(b).merge(c), a.merge(b.merge(c)), c.merge(a).merge(b)):
        assert torch.allclose(merged.mean, whole.mean, rtol=0, atol=tolerance)
        assert torch.allclose(merged.log_max, whole.log_max, rtol=1e-5, atol=tolerance)
        assert torch.allclose(
            merged.weight, whole.weight, rtol=1e-3 if engine == "exact" else 1e-12
        )


@pytest.mark.parametrize("engine", [*ENGINES, pytest.param("adaptive", marks=NATIVE)])
@pytest.mark.parametrize("kind", CLASSES.values(), ids=CLASSES)
def test_shards_sorted_by_class_merge_into_the_whole(kind, engine):
    """Each holds one label, and one holds none that is asked for."""
    images, labels = made_images(24, 3, 6), torch.arange(24) // 8
    asked = torch.tensor([1, 0, 1, 0])
    x, engine = noisy(images, 0.3, count=4), engine if kind.needs_scales else "dense"

    def machine(first, last):
        return kind(images[first:last], labels[first:last], engine=engine)

    whole = machine(0, 24)
    expected = whole.posterior_mean(x, alpha_bar(0.3), 3, asked)
    shards = [machine(first, first + 8) for first in (0, 8, 16)]
    a, b, c = (shard.posterior_sums(x, alpha_bar(0.3), 3, asked) for shard in shards)
    assert (c.weight == 0).all()
    assert not c.merge(c).weighted_value.isnan().any()
    for merged in (a.merge(b).merge(c), c.merge(c).merge(b).merge(a)):
        assert torch.allclose(merged.mean.to(x), expected, rtol=0, atol=1e-12)
    with pytest.raises(ValueError, match=r"labels \[0, 1\] have no images in the bank"):
        shards[2].posterior_mean(x, alpha_bar(0.3), 3, asked)


@pytest.mark.parametrize("engine", ENGINES)
def test_labels_choose_the_bank(engine):
    images = made_images(12, 1, 6)
    labels = torch.arange(12) % 3
    machine = EquivariantLocalScoreMachine(images, labels, engine=engine)
    x = noisy(images, 0.5, count=4)
    asked = torch.tensor([2, 0, 2, 1])
    mean = machine.posterior_mean(x, alpha_bar(0.5), patch_size=3, labels=asked)
    for query, label, result in zip(x, asked, mean, strict=True):
        alone = EquivariantLocalScoreMachine(images[labels == label], engine=engine)
        expected = alone.posterior_mean(query[None], alpha_bar(0.5), patch_size=3)[0]
        assert torch.allclose(result, expected, atol=1e-6)


def test_theorem_4_1_the_last_image_is_locally_consistent():
    """At the end of the reverse process every pixel is the centre of its nearest allowed patch."""
    rng = np.random.default_rng(5)
    images = torch.from_numpy(rng.uniform(-1, 1, (3, 1, 8, 8)))  # no two patches alike
    machine = EquivariantLocalScoreMachine(images, engine="dense")
    noise = torch.randn((1, 1, 8, 8), generator=torch.Generator().manual_seed(3)).double()
    times = [*np.geomspace(1, 1e-4, 60), 0.0]
    final = ddim(lambda x, t: machine.posterior_mean(x, alpha_bar(t), 3), noise, times)
    nearest = machine.posterior_mean(final, 1.0, patch_size=3)
    assert torch.allclose(final, nearest, atol=1e-6)
    assert all((images == value).any() for value in nearest.flatten())


def test_without_noise_the_nearest_candidate_wins():
    images = made_images(9, 1, 6)
    machine = EquivariantLocalScoreMachine(images, engine="dense")
    assert torch.allclose(machine.posterior_mean(images[3:4], 1.0, patch_size=3), images[3:4])


def test_score_is_that_of_the_posterior_mean():
    images = made_images(6, 1, 6)
    machine, x, a_bar = IdealScoreMachine(images), noisy(images, 0.5), alpha_bar(0.5)
    # the score is the gradient of the log-density of the noisy mixture
    x.requires_grad_()
    squares = (x[:, None] - a_bar**0.5 * images).square().sum((2, 3, 4))
    density = torch.logsumexp(-squares / (2 * (1 - a_bar)), dim=1).sum()
    (gradient,) = torch.autograd.grad(density, x)
    assert torch.allclose(machine.score(x.detach(), a_bar), gradient, atol=1e-9)


def test_bad_banks_are_refused():
    images = made_images(4, 1, 6)
    els = EquivariantLocalScoreMachine
    for arguments, options, message in [
        ((images[0],), {}, "expected floating point"),
        ((images * 2,), {}, r"outside \[-1, 1\]"),
        ((images * float("nan"),), {}, "NaN"),
        ((images, torch.zeros(3, dtype=torch.int64)), {}, "one integer for each of the 4"),
        ((images,), {"boundary": "mirror"}, "boundary is 'mirror': choose one of zeros, circular"),
        ((images,), {"engine": "fast"}, "engine is 'fast': choose one of auto, dense"),
        ((images,), {"candidates": "all"}, "candidates is 'all'"),
    ]:
        with pytest.raises(ValueError, match=message):
            els(*arguments, **options)


def test_bad_queries_are_refused():
    images = made_images(4, 1, 6)
    machine = EquivariantLocalScoreMachine(images, engine="dense")
    x, labels = images[:1], torch.tensor([0])
    for arguments, message in [
        ((x, 0.5, 4), "patch_size is 4: expected an odd"),
        ((x, 0.5, -3), "patch_size is -3: expected an odd"),
        ((x, 0.5, None), "patch_size is None: expected an odd"),
        ((x, 0.0, 3), r"alpha_bar is 0.0: expected a number in \(0, 1\]"),
        ((x, 1.1, 3), "alpha_bar is 1.1"),
        ((x[:, :, :5], 0.5, 3), "x_t has shape"),
        ((x[:0], 0.5, 3), "B at least 1"),
        ((x.long(), 0.5, 3), "x_t is torch.int64: expected floating point"),
        ((x.repeat(1, 3, 1, 1), 0.5, 3), "the channels and size of the training images"),
        ((x, 0.5, 3, labels), "the bank has none"),
    ]:
        with pytest.raises(ValueError, match=message):
            machine.posterior_mean(*arguments)
    with pytest.raises(ValueError, match="infinite without noise"):
        machine.score(x, 1.0, 3)
    labelled = EquivariantLocalScoreMachine(images, torch.tensor([0, 0, 1, 1]), engine="dense")
    with pytest.raises(ValueError, match="queries need them"):
        labelled.posterior_mean(x, 0.5, 3)
    with pytest.raises(ValueError, match=r"labels \[7\] have no images"):
        labelled.posterior_mean(x, 0.5, 3, torch.tensor([7]))
    interior = EquivariantLocalScoreMachine(
        images, boundary="circular", candidates="interior", engine="dense"
    )
    with pytest.raises(ValueError, match="no interior"):
        interior.posterior_mean(x, 0.5, 7)


def test_machine_of_the_docs_lies_between_ls_and_els():
    """With no reach it is LS; where it reaches every position it is ELS."""
    page = Path(__file__).parents[2] / "docs/extending.md"
    names = {}
    exec(re.search(r"```python\n(.*?)```", page.read_text(), re.DOTALL)[1], names)
    images = made_images(6, 2, 5)
    x, a_bar = noisy(images, 0.4), alpha_bar(0.4)
    near = names["NearLocalScoreMachine"](images, boundary="circular")
    found = {}
    for near.reach in (0, 1, 2):
        found[near.reach] = near.posterior_mean(x, a_bar, 3)
    for reach, machine in ((0, LocalScoreMachine), (2, EquivariantLocalScoreMachine)):
        same = machine(images, boundary="circular", engine="dense")
        torch.testing.assert_close(found[reach], same.posterior_mean(x, a_bar, 3))
    assert not torch.allclose(found[1], found[0])
    assert not torch.allclose(found[1], found[2])
