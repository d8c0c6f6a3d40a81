"""The noise schedule, the reverse process, seeds, samples and calibration."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from patchmosaic.machines.ideal import IdealScoreMachine
from patchmosaic.machines.local import EquivariantLocalScoreMachine
from patchmosaic.sampling.calibration import choose_scales, cosine_similarities
from patchmosaic.sampling.sampler import machine_x0, sample, seed_labels, seed_noise
from patchmosaic.sampling.samples import (
    Samples,
    SamplesError,
    join_shards,
    load_samples,
    require_same_noise,
    save_samples,
)
from patchmosaic.sampling.scales import scale_at
from patchmosaic.sampling.schedule import (
    alpha_bar,
    ddim,
    noise_from_x0,
    reverse_times,
    x0_from_noise,
)


def test_alpha_bar_is_the_reference_cosine():
    assert alpha_bar(0.0) == 1
    assert alpha_bar(0.504) == pytest.approx(0.5, abs=1e-12)  # half of the quarter period
    assert alpha_bar(1.0) == pytest.approx(math.cos(math.pi / 2.016) ** 2)
    times = torch.linspace(0, 1, 11, dtype=torch.float64)
    assert alpha_bar(times).tolist() == pytest.approx([alpha_bar(t) for t in times.tolist()])


def test_reverse_times():
    assert reverse_times(4) == [1, 0.75, 0.5, 0.25, 0]
    assert reverse_times(4, "skip_first") == [0.75, 0.5, 0.25, 0]
    with pytest.raises(ValueError, match="start is 'half': choose one of full, skip_first"):
        reverse_times(4, "half")
    with pytest.raises(ValueError, match="steps is 1"):
        reverse_times(1)


def test_noise_and_x0_are_inverse():
    x, x0 = torch.randn(2, 1, 4, 4).double(), torch.randn(2, 1, 4, 4).double()
    assert torch.allclose(x0_from_noise(x, noise_from_x0(x, x0, 0.3), 0.3), x0)


def test_ddim_follows_the_probability_flow_of_a_gaussian():
    """Data N(0, s^2): the flow scales x by a known factor; DDIM converges to it at first order."""
    deviation = 0.5

    def predict(x, t):
        a = alpha_bar(t)
        return x * math.sqrt(a) * deviation**2 / (a * deviation**2 + 1 - a)

    x = torch.ones(1, 1, 1, 1).double()
    a = alpha_bar(1.0)
    exact = deviation / math.sqrt(a * deviation**2 + 1 - a)
    errors = [abs(ddim(predict, x, reverse_times(n)).item() - exact) for n in (50, 100, 200)]
    assert errors[2] < 5e-3
    assert math.log2(errors[0] / errors[1]) == pytest.approx(1, abs=0.15)
    assert math.log2(errors[1] / errors[2]) == pytest.approx(1, abs=0.15)


def test_ideal_machine_ends_at_a_training_image():
    images = torch.randn(5, 1, 4, 4, generator=torch.Generator().manual_seed(0)).clamp(-1, 1)
    noise = seed_noise([1, 2, 3], (1, 4, 4))
    final = sample(machine_x0(IdealScoreMachine(images), None, None), noise, 50)
    distances = torch.cdist(final.flatten(1), images.flatten(1)).min(dim=1).values
    assert distances.max() < 1e-3


def test_each_seed_has_its_own_noise_and_label_wherever_it_is_drawn():
    together, alone = seed_noise([3, 4, 5], (1, 4, 4)), seed_noise([4], (1, 4, 4))
    assert torch.equal(together[1:2], alone)
    assert not torch.equal(together[0], together[1])
    labels = seed_labels(list(range(2000)), 10)
    assert torch.equal(labels[500:501], seed_labels([500], 10))
    counts = torch.bincount(labels, minlength=10)
    assert counts.min() > 140
    assert counts.max() < 260
    noise = seed_noise(list(range(100)), (1, 16, 16))
    assert abs(noise.mean()) < 0.02
    assert abs(noise.std() - 1) < 0.02


def test_scales_are_looked_up_by_time():
    assert scale_at({0.05: 3, 0.1: 5}, 0.1 + 1e-12) == 5
    with pytest.raises(ValueError, match=r"no entry for t = 0.075; the nearest is"):
        scale_at({0.05: 3, 0.1: 5}, 0.075)


def test_samples_survive_disk_and_alterations_are_found(tmp_path):
    path = tmp_path / "samples.npz"
    images = np.random.default_rng(0).normal(size=(3, 1, 2, 2)).astype(np.float32)
    save_samples(path, Samples(images, np.arange(3), np.arange(3), {"machine": "is"}))
    loaded = load_samples(path)
    assert np.array_equal(loaded.images, images)
    assert loaded.record["machine"] == "is"
    content = bytearray(path.read_bytes())
    content[content.find(images.tobytes())] ^= 1
    path.write_bytes(content)
    with pytest.raises(SamplesError, match=r"samples\.npz: "):
        load_samples(path)
    path.write_bytes(b"no archive")
    with pytest.raises(SamplesError, match="not a file of samples"):
        load_samples(path)
    images[1] = np.nan
    with pytest.raises(SamplesError, match=r"NaN or infinite pixels for seeds \[1\]"):
        save_samples(path, Samples(images, np.arange(3), None, {}))


def test_shards_join_in_order_and_must_not_overlap(tmp_path):
    images = np.arange(16, dtype=np.float32).reshape(4, 1, 2, 2)
    whole = Samples(images, np.arange(4), None, {})
    paths = [tmp_path / "a.npz", tmp_path / "b.npz"]
    for path, (first, last) in zip(paths, [(0, 3), (3, 6)], strict=True):
        save_samples(path, whole.part(first, last))
    assert np.array_equal(join_shards(paths).images, images)
    for path, engine in zip(paths, ("adaptive", "exact"), strict=True):
        record = {"engine": engine, "audit": {"rows": 40}}
        shard = load_samples(path)
        save_samples(path, Samples(shard.images, shard.seeds, None, record))
    record = join_shards(paths).record
    assert record["engines"] == ["adaptive"] * 3 + ["exact"]
    assert record["audits"] == [{"rows": 40}]  # of those that were kept
    with pytest.raises(SamplesError, match="seeds occur twice"):
        join_shards([paths[0], paths[0]])
    save_samples(paths[1], Samples(images[3:], np.arange(3, 4), np.zeros(1, np.int64), {}))
    with pytest.raises(SamplesError, match=r"b\.npz: only some have labels"):
        join_shards(paths)
    other = Samples(images[3:], np.arange(3, 4), None, {"noise_sha256": "of another stream"})
    save_samples(paths[1], other)
    with pytest.raises(SamplesError, match="of different noise"):
        join_shards(paths)


def test_samples_are_compared_only_from_the_same_noise():
    images = np.zeros((2, 1, 2, 2), np.float32)

    def of(noise="a", seeds=(3, 4), labels=None):
        labels = None if labels is None else np.array(labels)
        return Samples(images, np.array(seeds), labels, {"noise_sha256": noise})

    require_same_noise({"els": of(labels=[1, 2]), "net": of(), "is": of(labels=[1, 2])})
    for other, message in [
        (of(noise="b"), "els and net have the same seeds, but are of different noise"),
        (of(seeds=(4, 3)), "els and net differ in their seeds"),
        (of(labels=[2, 1]), "els and net differ in their labels"),
    ]:
        with pytest.raises(SamplesError, match=message):
            require_same_noise({"els": of(labels=[1, 2]), "net": other})


def test_calibration_finds_the_scale_of_a_machine_that_poses_as_a_network():
    """A "network" that is the ELS machine at P = 5 must be calibrated to 5, with cosine 1."""
    images = torch.rand(20, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    machine = EquivariantLocalScoreMachine(images, engine="dense")

    class Disguise(torch.nn.Module):
        def forward(self, x, t, labels):
            a = alpha_bar(t[0].item())
            return noise_from_x0(x, machine.posterior_mean(x, a, 5), a)

    noise = seed_noise([0, 1, 2], (1, 8, 8))
    cosines = cosine_similarities(Disguise(), machine, noise, None, 5, [3, 5, 7])
    assert len(cosines) == 5 * 3 * 3
    scales = choose_scales(cosines)
    assert scales["t"].tolist() == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert scales["patch_size"].tolist() == [5] * 5
    assert scales["cosine"].min() == pytest.approx(1, abs=1e-6)


def test_scales_are_the_lower_median_over_trajectories():
    best = {0: 3, 1: 5, 2: 5, 3: 9}  # trajectory: its best P
    rows = [
        {"t": 0.5, "patch_size": p, "trajectory": i, "cosine": 0.9 if p == best[i] else 0.5}
        for i in best
        for p in (3, 5, 7, 9)
    ]
    scales = choose_scales(pd.DataFrame(rows))
    assert scales["patch_size"].tolist() == [5]
    assert scales["cosine"].tolist() == pytest.approx([0.7])
