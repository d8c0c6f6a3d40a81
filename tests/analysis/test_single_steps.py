"""Single predictions, hybrid ways, and where networks look beside filters: against closed forms."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from patchmosaic.analysis.agreement import pearson_r
from patchmosaic.analysis.jacobians import (
    far_shares,
    filter_gradients,
    gradients_beside_filters,
    quarter_pixels,
    x0_gradients,
)
from patchmosaic.analysis.single_steps import chosen_images, hybrids, noised, single_steps
from patchmosaic.datasets.images import Images
from patchmosaic.machines.gaussian import WienerFilter, moments
from patchmosaic.sampling.sampler import network_x0
from patchmosaic.sampling.schedule import alpha_bar, ddim, noise_from_x0, reverse_times
from patchmosaic.sampling.trajectories import follow

torch.manual_seed(0)
SHAPE = (2, 4, 6)
SEEDS = [3, 4, 5]
NOISE = torch.randn(3, *SHAPE)
BANK = (torch.rand(200, *SHAPE) * 2 - 1).clamp(-1, 1)


class Wiener(nn.Module):
    """A network that is a Wiener filter, by labels where the filter has some."""

    def __init__(self, machine):
        super().__init__()
        self.machine = machine

    def forward(self, x_t, t, labels):
        a_bar, rows = alpha_bar(float(t[0])), []
        for i, x in enumerate(x_t.double()):
            known = self.machine.prepared(moments, None if labels is None else int(labels[i]))
            z = x.flatten() / math.sqrt(a_bar)
            rows.append(known.mean + known.filter(a_bar) @ (z - known.mean))
        x_0 = torch.stack(rows).view(x_t.shape)
        return noise_from_x0(x_t.double(), x_0, a_bar)


@pytest.mark.parametrize("by_label", [False, True])
def test_a_filter_looks_where_it_looks(by_label):
    """Its gradients by differentiation are its rows, and their cosine with these is 1."""
    bank_labels = torch.arange(200) % 2 if by_label else None
    labels = torch.tensor([1, 0, 1]) if by_label else None
    machine = WienerFilter(BANK, bank_labels)
    other = WienerFilter(BANK.roll(2, 3) * torch.linspace(0.1, 1, 6), bank_labels)
    network, pixels, t = Wiener(machine), quarter_pixels(4, 6), 0.6
    found = x0_gradients(network, NOISE.double(), t, labels, pixels)
    for i in range(3):
        label = None if labels is None else int(labels[i])
        filtered = machine.prepared(moments, label).filter(alpha_bar(t))
        expected = filter_gradients(filtered, SHAPE, alpha_bar(t), pixels)
        torch.testing.assert_close(found[i], expected)
    trajectory = follow(lambda x, _: x, NOISE.double(), reverse_times(5))
    table = gradients_beside_filters(
        network, trajectory, labels, {"own": machine, "plain": other}, [0.61, 0.2], SEEDS
    )
    assert table["t"].tolist() == [0.6] * 3 + [0.2] * 3
    assert table["seed"].tolist() == SEEDS * 2
    np.testing.assert_allclose(table["own"], 1)
    assert (table["plain"] < 0.99).all()


def test_rows_of_a_filter_by_hand():
    filtered = torch.rand(48, 48, dtype=torch.float64) - 0.5
    pixels = quarter_pixels(4, 6)
    assert pixels == [(2, 3), (1, 1), (1, 4), (3, 1), (3, 4)]
    found = filter_gradients(filtered, SHAPE, 0.25, pixels)
    for k, (row, col) in enumerate(pixels):
        for h in range(4):
            for w in range(6):
                values = [
                    abs(filtered[c * 24 + row * 6 + col, d * 24 + h * 6 + w]) / 0.5
                    for c in range(2)
                    for d in range(2)
                ]
                expected = 0 if (row, col) == (h, w) else sum(values) / 4
                assert found[k, h, w] == pytest.approx(float(expected))


def test_far_is_beyond_a_reach_in_rows_or_columns():
    maps = torch.ones(2, 1, 5, 7, dtype=torch.float64)
    maps[1, 0, 0, 0] = 65  # of 35 + 64
    share = far_shares(maps, [(2, 3)], 1)
    assert share.tolist() == pytest.approx([26 / 35, (26 + 64) / 99])


def test_images_of_seeds_are_of_their_label():
    labels = np.arange(30) % 3
    images = Images(np.zeros((30, 1, 2, 2), np.uint8), labels, np.arange(30), tuple("abc"))
    found = chosen_images(images, SEEDS, [2, 0, 2])
    assert labels[found].tolist() == [2, 0, 2]
    assert chosen_images(images, SEEDS[::-1], [2, 0, 2]) == found[::-1]
    assert len(set(chosen_images(images, list(range(50)), None))) > 15


def test_noise_is_that_of_the_forward_process():
    x_t = noised(BANK[:3], NOISE, 0.4)
    torch.testing.assert_close(noise_from_x0(x_t, BANK[:3], alpha_bar(0.4)), NOISE)


def double(x, t):
    return 2 * x + t


def flipped(x, t):
    return x.flip(3) * t


def test_single_steps_are_asked_of_the_same_states():
    states = {0.5: NOISE, 0.2: 3 * NOISE}
    table = single_steps(double, flipped, states, SEEDS)
    expected = [pearson_r(double(x, t), flipped(x, t)) for t, x in states.items()]
    np.testing.assert_array_equal(table["pearson_r"], np.concatenate(expected))
    assert table["t"].tolist() == [0.5] * 3 + [0.2] * 3


def test_hybrids_switch_once():
    """Step by step by hand, with six steps of which two are in each third."""
    table = hybrids(double, flipped, NOISE, 6, SEEDS)
    own = ddim(flipped, NOISE, reverse_times(6))
    for first, others in (("machine", (double, flipped)), ("network", (flipped, double))):
        for switch, count in ((1, 0), (2 / 3, 2), (1 / 3, 4), (0, 6)):
            x = NOISE
            for step in range(6):
                predict = others[0] if step < count else others[1]
                x = ddim(predict, x, [(6 - step) / 6, (5 - step) / 6])
            rows = table[(table["first"] == first) & (table["switch"] == switch)]
            np.testing.assert_allclose(rows["pearson_r"], pearson_r(x, own), atol=1e-6)
            assert rows["seed"].tolist() == SEEDS
    whole = table.query("first == 'machine' and switch == 1 or first == 'network' and switch == 0")
    np.testing.assert_allclose(whole["pearson_r"], 1)


def test_a_network_is_asked_as_in_sampling():
    """x0_gradients differentiates what network_x0 predicts."""
    network = Wiener(WienerFilter(BANK))
    pixel, t, x = (1, 2), 0.5, NOISE[:1].double()
    found = x0_gradients(network, x, t, None, [pixel])
    moved = x.clone()
    moved[0, 1, 3, 3] += 1
    change = network_x0(network, None)(moved, t) - network_x0(network, None)(x, t)
    changed = x.clone()
    changed[0, 0, 3, 3] += 1
    other = network_x0(network, None)(changed, t) - network_x0(network, None)(x, t)
    expected = (change[0, :, 1, 2].abs() + other[0, :, 1, 2].abs()).sum() / 4
    torch.testing.assert_close(found[0, 0, 3, 3], expected)
