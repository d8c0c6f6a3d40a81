"""The protocols of published comparisons, by their definitions."""

import math

import pytest
import torch

from patchmosaic.sampling import registry
from patchmosaic.sampling.protocols import (
    PUBLISHED,
    Protocol,
    cosine_time,
    leading_steps,
    linear_alpha_bars,
    nearest_scale,
    protocol,
)
from patchmosaic.sampling.sampler import sample, visited_times
from patchmosaic.sampling.scales import scale_at
from patchmosaic.sampling.schedule import alpha_bar, ddim, reverse_times


def test_levels_are_the_published():
    """alpha_bar from 2.7e-4 (sigma 60.8) to .9999 (sigma .01), in ten leading steps."""
    assert leading_steps(10) == [900, 800, 700, 600, 500, 400, 300, 200, 100, 0]
    for name in ("lukoianov", "golddiff"):
        levels = PUBLISHED[name].levels
        assert levels[0] == pytest.approx(2.7e-4, abs=5e-6)
        assert math.sqrt((1 - levels[0]) / levels[0]) == pytest.approx(60.8, abs=0.05)
        assert levels[-1] == pytest.approx(0.9999, abs=1e-12)
        assert math.sqrt((1 - levels[-1]) / levels[-1]) == pytest.approx(0.01, abs=1e-5)
        assert len(levels) == 10
        assert list(levels) == sorted(levels)


def test_linear_levels_are_the_product_of_their_betas():
    product = 1.0
    for t, found in enumerate(linear_alpha_bars()):
        product *= 1 - (1e-4 + (0.02 - 1e-4) * t / 999)
        assert found == pytest.approx(product, rel=1e-12)


def shrunk(x, a_bar):
    """The posterior mean of pixels with variance 4 about .5."""
    gain = 4 * a_bar / (4 * a_bar + 1 - a_bar)
    return 0.5 + gain * (x / math.sqrt(a_bar) - 0.5)


def test_ours_is_the_reverse_process():
    seed = torch.randn(2, 1, 3, 3, generator=torch.Generator().manual_seed(0)).double()
    expected = ddim(lambda x, t: shrunk(x, alpha_bar(t)), seed, reverse_times(20))
    visited = []
    levels = tuple(alpha_bar(t) for t in reverse_times(20)[:-1])
    found = Protocol(levels).sample(shrunk, seed, lambda a, *_: visited.append(a))
    assert torch.allclose(found, expected)
    assert visited == list(levels)


def test_published_steps_clip_towards_but_not_the_noise():
    seed = torch.tensor([-1.7, 0.2, 2.5]).double().view(3, 1, 1, 1)
    levels, clipped = PUBLISHED["lukoianov"].levels, 0
    for i, start in enumerate(seed.flatten().tolist()):
        x = start
        for here, following in zip(levels, [*levels[1:], None], strict=True):
            x0 = shrunk(x, here)
            noise = (x - math.sqrt(here) * x0) / math.sqrt(1 - here)
            clipped += abs(x0) > 1
            if following is not None:
                x = math.sqrt(following) * min(max(x0, -1), 1) + math.sqrt(1 - following) * noise
        assert PUBLISHED["lukoianov"].sample(shrunk, seed)[i] == pytest.approx(x0)
        clamped = min(max(x0, -1), 1)
        assert PUBLISHED["golddiff"].sample(shrunk, seed)[i] == pytest.approx(clamped)
    assert clipped


def test_final_image_is_the_last_prediction():
    seed = torch.zeros(1, 1, 2, 2)

    def beyond(x, _):
        return torch.full_like(x, 2.0)

    assert (PUBLISHED["lukoianov"].sample(beyond, seed) == 2).all()
    assert (PUBLISHED["golddiff"].sample(beyond, seed) == 1).all()


def test_our_networks_and_scales_at_their_levels():
    for t in (0.05, 0.4, 1.0):
        assert cosine_time(alpha_bar(t)) == pytest.approx(t)
    assert all(0 < cosine_time(a) <= 1 for a in PUBLISHED["lukoianov"].levels)
    with pytest.raises(ValueError, match=r"alpha_bar is 0\.0001: the cosine schedule ends at"):
        cosine_time(1e-4)
    scales = {0.05: 3, 0.5: 9, 1.0: 15}
    for t, size in scales.items():
        assert nearest_scale(scales, alpha_bar(t)) == size
    assert nearest_scale(scales, PUBLISHED["lukoianov"].levels[0]) == 15
    assert nearest_scale(scales, PUBLISHED["lukoianov"].levels[-1]) == 3


def test_names_and_steps_are_those_that_configs_know():
    assert tuple(PUBLISHED) == registry.PROTOCOLS[1:]
    for name, steps in registry.PUBLISHED_STEPS.items():
        assert len(PUBLISHED[name].levels) == steps


@pytest.mark.parametrize("name", registry.PUBLISHED_STEPS)
def test_machines_and_networks_sample_by_a_protocol_at_its_times(name):
    """What is asked by time, with scales of the calibrated time that is nearest."""
    seed = torch.randn(2, 1, 3, 3, generator=torch.Generator().manual_seed(0)).double()
    calibrated = {i / 20: 1 + 2 * (i // 4) for i in range(1, 21)}
    published, visited = protocol(name), []
    scales = published.scales(calibrated)

    def predict(x, t):
        visited.append((t, scale_at(scales, t)))
        return shrunk(x, alpha_bar(t))

    seen = []
    found = sample(predict, seed, 20, observe=lambda t, *_: seen.append(t), protocol=name)
    assert torch.allclose(found, published.sample(shrunk, seed))
    assert [t for t, _ in visited] == seen == visited_times(20, protocol=name)[:-1]
    assert visited_times(20, protocol=name)[-1] == 0
    for t, size in visited:
        assert size == nearest_scale(calibrated, alpha_bar(t))
    assert visited_times(20) == reverse_times(20)


def test_unknown_protocols_are_refused():
    with pytest.raises(ValueError, match="protocol is 'edm': choose one of lukoianov, golddiff"):
        protocol("edm")
