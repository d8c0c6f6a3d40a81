"""The composites of patch posteriors against brute force, and their limits."""

import pytest
import torch
from predictors import check, images, queries

from patchmosaic.machines import brute_force
from patchmosaic.machines.composite import (
    EDM_LEVELS,
    EquivariantCompositeMachine,
    PSPCSquareMachine,
    SquareCompositeMachine,
    own_side,
)
from patchmosaic.machines.ideal import IdealScoreMachine
from patchmosaic.machines.local import EquivariantLocalScoreMachine, LocalScoreMachine
from patchmosaic.sampling.schedule import alpha_bar

FLOAT32 = 1e-4


@pytest.mark.parametrize("boundary", ["zeros", "circular"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("patch_size", [1, 3, 5, 9])
def test_composites_are_brute_force(boundary, channels, patch_size):
    bank = images(9, channels, 4)
    side = min(patch_size, 4)
    for kind, equivariant in (
        (SquareCompositeMachine, False),
        (EquivariantCompositeMachine, True),
    ):
        check(
            kind(bank, boundary=boundary),
            lambda x, y, a, all_places=equivariant: brute_force.composite(
                x, y, a, side, boundary, all_places
            ),
            bank,
            patch_size,
            FLOAT32,
        )


def test_pspc_has_sides_of_its_own():
    bank = images(12, 1, 8)
    for t in (0.05, 0.5, 0.9):
        x = queries(bank, t)
        side = own_side(alpha_bar(t), 8)
        found = PSPCSquareMachine(bank).posterior_mean(x, alpha_bar(t))
        expected = brute_force.composite(x[0].numpy(), bank.numpy(), alpha_bar(t), side)
        assert found[0].numpy() == pytest.approx(expected, abs=FLOAT32)


def test_sides_of_pspc_are_its_table():
    """For images of 32 pixels, at EDM's levels; from .296 down squares of 3."""
    assert EDM_LEVELS[0] == pytest.approx(80)
    assert EDM_LEVELS[-1] == pytest.approx(0.002)
    for sigma, side in (
        (60, 32),
        (8.4, 32),
        (5.32, 23),
        (3.26, 15),
        (1.92, 11),
        (1.09, 7),
        (0.585, 5),
        (0.296, 3),
        (0.01, 3),
    ):
        assert own_side(1 / (1 + sigma**2), 32) == side
    assert own_side(1 / (1 + 60**2), 28) == 28
    assert own_side(1 / (1 + 0.585**2), 64) == 10
    assert own_side(1.0, 4) == 1  # never none


def test_squares_of_one_pixel_are_local_machines_and_of_the_image_are_is():
    bank = images(20, 2, 6)
    x, a_bar = queries(bank, 0.5), alpha_bar(0.5)
    pairs = [
        (SquareCompositeMachine(bank), LocalScoreMachine(bank, engine="dense"), 1),
        (
            EquivariantCompositeMachine(bank),
            EquivariantLocalScoreMachine(bank, engine="dense"),
            1,
        ),
        (SquareCompositeMachine(bank), IdealScoreMachine(bank), 9),
        (EquivariantCompositeMachine(bank), IdealScoreMachine(bank), 9),
    ]
    for composite, known, patch_size in pairs:
        found = composite.posterior_mean(x, a_bar, patch_size)
        assert torch.allclose(found, known.posterior_mean(x, a_bar, patch_size), atol=FLOAT32)


def test_circular_equivariant_composite_is_equivariant():
    bank = images(10, 1, 8)
    machine = EquivariantCompositeMachine(bank, boundary="circular")
    x = queries(bank, 0.4)
    mean = machine.posterior_mean(x, alpha_bar(0.4), 3)
    moved = machine.posterior_mean(x.roll((3, -2), (2, 3)), alpha_bar(0.4), 3)
    assert torch.allclose(moved, mean.roll((3, -2), (2, 3)), atol=FLOAT32)


def test_blocks_of_the_bank_change_nothing(monkeypatch):
    bank = images(23, 1, 6)
    x, a_bar = queries(bank, 0.3).requires_grad_(), alpha_bar(0.3)
    kinds = (SquareCompositeMachine, EquivariantCompositeMachine)
    whole = [kind(bank).posterior_mean(x, a_bar, 3) for kind in kinds]
    monkeypatch.setattr("patchmosaic.machines.composite.BLOCK", 2000)
    for kind, mean in zip(kinds, whole, strict=True):
        assert torch.allclose(kind(bank).posterior_mean(x, a_bar, 3), mean, atol=1e-5)


@pytest.mark.parametrize("kind", [SquareCompositeMachine, EquivariantCompositeMachine])
def test_limit_without_noise_and_labels(kind):
    bank, labels = images(20, 1, 6), torch.arange(20) % 2
    machine, asked = kind(bank, labels), labels[:4]
    found = machine.posterior_mean(bank[:4], 1.0, 3, asked)
    assert torch.allclose(found, bank[:4], atol=1e-6)
    x = queries(bank, 0.5, 4)
    together = machine.posterior_mean(x, 0.3, 3, asked)
    for i, label in enumerate(asked.tolist()):
        alone = kind(bank[labels == label]).posterior_mean(x[i : i + 1], 0.3, 3)
        assert torch.allclose(together[i], alone[0], atol=1e-5)


def test_what_does_not_fit_is_refused():
    bank = torch.zeros(1, 1, 1, 1).expand(2_000_000, 1, 256, 256)
    machine = SquareCompositeMachine.__new__(SquareCompositeMachine)
    machine.boundary, machine.images = "zeros", bank
    with pytest.raises(MemoryError, match=r"weights of 2,000,000 images at 64,516 places"):
        machine.mean(bank[:1], 0.5, 3, None)
    with pytest.raises(ValueError, match="boundary is 'open': choose one of zeros, circular"):
        SquareCompositeMachine(images(), boundary="open")
