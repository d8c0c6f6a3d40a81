"""Networks, their training and their checkpoints."""

import itertools
import json
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from damage import empty, flip_bit, flip_first_bit, truncate

from patchmosaic.networks import training
from patchmosaic.networks.build import build_network
from patchmosaic.networks.checkpoints import load_checkpoint, save_checkpoint
from patchmosaic.networks.conditioning import Embedding
from patchmosaic.networks.config import PADDINGS, NetworkConfig
from patchmosaic.networks.records import snapshots_path
from patchmosaic.networks.registry import ARCHITECTURES
from patchmosaic.networks.training import TrainingDiverged, TrainingRecipe, TrainingStopped, train
from patchmosaic.sampling.sampler import seed_noise
from patchmosaic.sampling.scales import read_scales, save_scales_record, verify_scales
from patchmosaic.sampling.schedule import alpha_bar
from patchmosaic.system.console import logged
from patchmosaic.system.files import locked
from patchmosaic.system.records import RecordError, load_record, record_path, save_record

NETWORK = NetworkConfig("resnet", size=8, channels=8, layers=1, classes=2)
RECIPE = TrainingRecipe(
    epochs=40, batch_size=8, learning_rate=1e-3, ema_decay=0.999, snapshots=(480,)
)
STEPS = 40 * (40 // 8)
HERE = [str(folder) for folder in list(Path(__file__).parents)[:2]]  # of this file, of conftest


def made_data():
    images = torch.rand((40, 1, 8, 8), generator=torch.Generator().manual_seed(0)) * 2 - 1
    return images, torch.arange(40) % 2


def run(folder, **options):
    images, labels = made_data()
    weights, _, record = train(NETWORK, RECIPE, images, labels, "digest", folder, **options)
    return weights, record


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_networks_of_configs_have_all_their_settings(architecture):
    row = ARCHITECTURES[architecture]
    asked = dict.fromkeys(("channels", *row.settings), 16) | {"padding": "circular"}
    network = {"dataset": "mnist", "architecture": architecture, "conditional": True, **asked}
    found = asdict(NetworkConfig.of(network, image_channels=3, size=8, classes=10))
    assert found == found | asked | {"image_channels": 3, "size": 8, "classes": 10}
    assert NetworkConfig.of(network | {"conditional": False}, 3, 8, 10).classes == 0


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("padding", PADDINGS)
def test_networks_keep_the_shape_and_use_time_and_class(architecture, padding):
    torch.manual_seed(0)
    config = NetworkConfig(
        architecture, image_channels=3, size=16, channels=16, padding=padding, classes=4
    )
    network = build_network(config)
    x, t, labels = torch.randn(2, 3, 16, 16), torch.tensor([0.1, 0.9]), torch.tensor([0, 3])
    out = network(x, t, labels)
    assert out.shape == x.shape
    assert not torch.allclose(out, network(x, t.flip(0), labels))
    assert not torch.allclose(out, network(x, t, labels.flip(0)))
    with pytest.raises(ValueError, match="needs labels"):
        network(x, t, None)


@pytest.mark.parametrize(
    ("architecture", "channels", "weights"),
    [
        ("unet_paper", 64, 2_026_946),
        # 2,560 up, 2,305 down; 6 of 590,080, 7 of 66,304 for the embedding
        ("resnet_paper", 256, 4_009_473),
    ],
)
def test_networks_of_the_paper_have_its_number_of_weights(architecture, channels, weights):
    network = build_network(NetworkConfig(architecture, channels=channels))
    assert sum(parameter.numel() for parameter in network.parameters()) == weights


def seen_from(network, row, col, size=96):
    """Rows (first, last) of the pixels on which a prediction depends, by its gradient."""
    x = torch.rand(1, 1, size, size, dtype=torch.float64, requires_grad=True)
    out = network.double()(x, torch.tensor([0.5]))
    (gradient,) = torch.autograd.grad(out[0, 0, row, col], x)
    rows = gradient[0, 0].abs().sum(dim=1).nonzero()
    return rows.min().item(), rows.max().item()


def open_all_ways(network):
    """Make all weights positive, so that every ReLU passes on what it is given."""
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.abs_()


@pytest.mark.parametrize(("layers", "field"), [(6, 17), (2, 9)])
def test_resnet_of_the_paper_sees_its_receptive_field_and_no_more(layers, field):
    torch.manual_seed(0)
    config = NetworkConfig("resnet_paper", channels=16, layers=layers)
    network, half = build_network(config), field // 2
    open_all_ways(network)
    assert seen_from(network, 48, 48) == (48 - half, 48 + half)


def test_unet_of_the_paper_sees_44_to_48_pixels():
    """Not a whole image of 32 x 32 from most pixels; max pooling follows one pixel of four, so all
    places of the maximum are looked at."""
    torch.manual_seed(0)
    config = NetworkConfig("unet_paper", channels=4, size=96)
    network = build_network(config)
    open_all_ways(network)
    sides = []
    for row in range(48, 52):
        seen = [seen_from(network, row, row) for _ in range(12)]
        sides.append(max(last for _, last in seen) - min(first for first, _ in seen) + 1)
    assert min(sides) == 44
    assert max(sides) == 48


def test_names_of_weights_are_those_of_the_published_files():
    resnet = build_network(NetworkConfig("resnet_paper", channels=16, layers=1, classes=2))
    assert {name.rsplit(".", 1)[0] for name in resnet.state_dict()} == {
        "embedding.class_embeddings",
        "up_projection",
        "embs.0.0",
        "embs.0.1",
        "embs.1.0",
        "embs.1.1",
        "convs.0.0",
        "down_projection",
    }
    unet = build_network(NetworkConfig("unet_paper", channels=4))
    blocks = ["feature_blocks.0", "feature_blocks.1", "bottleneck", "output_blocks.0"]
    assert {name.rsplit(".", 1)[0] for name in unet.state_dict()} == {
        "upsamples.0",
        "upsamples.1",
        "last_emb.1",
        "output_conv",
        *(
            f"{block}.{part}"
            for block in [*blocks, "output_blocks.1"]
            for part in ("emb.1", "model.0", "model.2")
        ),
    }


def test_embedding_of_the_paper_in_closed_form():
    embedding = Embedding(8, 0)(torch.tensor([0.25]), None)[0].double()
    angles = torch.tensor([0.25 / 10_000 ** (k / 3) for k in range(4)], dtype=torch.float64)
    assert torch.allclose(embedding, torch.cat([angles.sin(), angles.cos()]), atol=1e-6)


@pytest.mark.parametrize(("architecture", "shift"), [("resnet_paper", 1), ("unet_paper", 4)])
def test_circular_networks_of_the_paper_commute_with_shifts(architecture, shift):
    torch.manual_seed(0)
    config = NetworkConfig(architecture, size=16, channels=16, padding="circular")
    network = build_network(config)
    x, t = torch.randn(1, 1, 16, 16), torch.tensor([0.5])
    moved = network(torch.roll(x, (2 * shift, 3 * shift), dims=(2, 3)), t)
    expected = torch.roll(network(x, t), (2 * shift, 3 * shift), dims=(2, 3))
    assert torch.allclose(moved, expected, atol=1e-5)


@pytest.mark.parametrize(("layers", "field"), [(6, 17), (2, 9)])
def test_resnet_sees_its_receptive_field_and_no_more(layers, field):
    torch.manual_seed(0)
    config = NetworkConfig("resnet", size=32, channels=8, layers=layers)
    network, half = build_network(config).double(), field // 2
    x = torch.randn(1, 1, 32, 32, dtype=torch.float64, requires_grad=True)
    network.conditioning.float()
    out = network.down(torch.nn.functional.silu(_residual(network, network.up(x))))
    (gradient,) = torch.autograd.grad(out[0, 0, 16, 16], x)
    seen = gradient[0, 0].nonzero()
    assert seen.min().item() == 16 - half
    assert seen.max().item() == 16 + half


def _residual(network, h):
    for conv in network.layers:
        h = h + conv(torch.nn.functional.silu(h))
    return h


def test_circular_resnet_is_equivariant():
    torch.manual_seed(0)
    network = build_network(NetworkConfig("resnet", size=8, channels=8, padding="circular"))
    x, t = torch.randn(1, 1, 8, 8), torch.tensor([0.5])
    moved = network(torch.roll(x, (2, 3), dims=(2, 3)), t)
    assert torch.allclose(moved, torch.roll(network(x, t), (2, 3), dims=(2, 3)), atol=1e-5)


def test_last_images_of_an_epoch_are_not_left_out():
    """43 images in steps of 8: five full steps and one of three, every image once."""
    images, recipe = torch.zeros(43, 1, 4, 4), TrainingRecipe(batch_size=8)
    assert training.steps_an_epoch(43, recipe) == 6
    for epoch in range(2):
        batches = [training._batch(images, recipe, 6 * epoch + step)[0] for step in range(6)]
        assert [len(batch) for batch in batches] == [8, 8, 8, 8, 8, 3]
        assert sorted(torch.cat(batches).tolist()) == list(range(43))
    assert [training._seen(steps, 43, recipe) for steps in (0, 5, 6, 7, 12)] == [0, 40, 43, 51, 86]


def test_learning_rate_rises_then_falls():
    recipe = TrainingRecipe(learning_rate=1e-3, learning_rate_decay=0.5)
    assert [recipe.rate(step) for step in range(3)] == pytest.approx([1e-3, 5e-4, 2.5e-4])
    recipe = replace(recipe, warmup_steps=4, learning_rate_decay=1.0)
    rates = [recipe.rate(step) for step in range(6)]
    assert rates == pytest.approx([2.5e-4, 5e-4, 7.5e-4, 1e-3, 1e-3, 1e-3])


def test_first_step_of_a_warm_up_is_small(tmp_path):
    images, labels = made_data()
    torch.manual_seed(RECIPE.seed)
    start = build_network(NETWORK).state_dict()
    moved = {}
    for warmup_steps in (0, 100):
        recipe = replace(RECIPE, epochs=1, batch_size=40, warmup_steps=warmup_steps, ema_decay=0)
        weights = train(NETWORK, recipe, images, labels, "d", tmp_path)[0]
        moved[warmup_steps] = max(float((weights[k] - start[k]).abs().max()) for k in start)
    assert moved[0] == pytest.approx(1e-3, rel=0.01)  # Adam's first step is the rate
    assert moved[100] == pytest.approx(1e-5, rel=0.01)


@pytest.mark.parametrize("part", [3, 64])
def test_gradient_of_a_batch_in_parts_is_that_of_the_whole(part, monkeypatch):
    monkeypatch.setattr(training, "CPU_IMAGES", part)
    torch.manual_seed(0)
    network, (images, labels) = build_network(NETWORK), made_data()
    x_0, condition, t = images[:8], labels[:8], torch.rand(8)
    noise = torch.randn_like(x_0)
    error = training._accumulate(network, x_0, condition, t, noise, "float32")
    found = [parameter.grad.clone() for parameter in network.parameters()]
    network.zero_grad()
    a_bar = alpha_bar(t)[:, None, None, None]
    x_t = a_bar.sqrt() * x_0 + (1 - a_bar).sqrt() * noise
    whole = (network(x_t, t, condition) - noise).square().mean()
    whole.backward()
    assert torch.allclose(error, whole)
    for gradient, parameter in zip(found, network.parameters(), strict=True):
        assert torch.allclose(gradient, parameter.grad, atol=1e-6)


@pytest.mark.parametrize("faster", ["float32", "bfloat16"])
def test_precision_is_measured_once_and_recorded(faster, tmp_path, monkeypatch):
    """A continued training keeps the precision it began with, whatever is faster there."""
    rates = {"float32": 1.0, "bfloat16": 1.0, faster: 2.0}
    monkeypatch.setattr(training, "measure_precisions", lambda *_: rates)
    chosen = replace(RECIPE, precision="auto", epochs=2, snapshots=())
    images, labels = made_data()
    given = (images, labels, "digest", tmp_path)
    with pytest.raises(TrainingStopped):
        train(NETWORK, chosen, *given, should_stop=lambda: True)
    monkeypatch.setattr(training, "measure_precisions", None)  # not asked again
    weights, _, record = train(NETWORK, chosen, *given)
    assert record["training"]["precision"] == "auto"
    assert record["precision"] == {"used": faster, "images_per_second": rates}
    plain, *_ = train(NETWORK, replace(chosen, precision=faster), *given)
    assert all(torch.equal(weights[key], plain[key]) for key in weights)


def test_measuring_the_precision_leaves_the_network_as_it_is():
    network, (images, labels) = build_network(NETWORK), made_data()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    rates = training.measure_precisions(network, images[:8], labels[:8])
    assert rates["float32"] > 0
    assert set(rates) <= {"float32", "bfloat16"}
    assert all(torch.equal(before[key], value) for key, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())


def test_training_lowers_the_loss_and_records_it(tmp_path):
    weights, record = run(tmp_path)
    curve = [point["loss"] for point in record["loss_curve"]]
    assert curve[-1] < 0.8 * curve[0]
    assert record["images_seen"] == STEPS * 8 == record["loss_curve"][-1]["images_seen"]
    assert record["network"] == asdict(NETWORK)
    assert record["training"]["seed"] == 0
    assert any("-480" in path.name for path in tmp_path.iterdir())
    json.dumps(record)
    build_network(NETWORK).load_state_dict(weights)


def test_stopped_training_continues_to_the_same_weights(tmp_path):
    whole, record = run(tmp_path / "whole")
    calls = []
    with pytest.raises(TrainingStopped, match="stopped at step 77 of 200"):
        run(tmp_path / "parts", should_stop=lambda: calls.append(1) or len(calls) == 77)
    continued, continued_record = run(tmp_path / "parts")
    assert all(torch.equal(whole[key], continued[key]) for key in whole)
    assert record["loss_curve"] == continued_record["loss_curve"]


@pytest.mark.slow
def test_killed_training_continues_to_the_same_weights(tmp_path):
    whole, _ = run(tmp_path / "whole")
    code = (
        "import sys; from pathlib import Path; sys.path[:0] = sys.argv[2:]\n"
        "import conftest\n"  # one thread, as here
        "import test_training as t; t.training.SAVE_SECONDS = 0\n"
        "t.run(Path(sys.argv[1]), should_stop=lambda: t.time.sleep(0.5))\n"
    )
    parts = tmp_path / "parts"
    job = subprocess.Popen([sys.executable, "-c", code, str(parts), *HERE])
    deadline = time.monotonic() + 120
    while not list(parts.glob("*[0-9a-f].safetensors")) and time.monotonic() < deadline:
        time.sleep(0.01)
    job.send_signal(signal.SIGKILL)
    assert job.wait() == -signal.SIGKILL, "the run ended before it was killed"
    continued, _ = run(parts)
    assert all(torch.equal(whole[key], continued[key]) for key in whole)


@pytest.mark.slow
def test_two_processes_train_one_run_once(tmp_path, capsys):
    """The second waits for the first, takes its state, and has nothing left to do."""
    whole, _ = run(tmp_path / "whole")
    code = (
        "import sys; from pathlib import Path; sys.path[:0] = sys.argv[2:]\n"
        "import conftest\n"  # one thread, as here
        "import test_training as t\n"
        "t.run(Path(sys.argv[1]), should_stop=lambda: t.time.sleep(0.01))\n"
    )
    shared = tmp_path / "shared"
    first = subprocess.Popen([sys.executable, "-c", code, str(shared), *HERE])
    deadline = time.monotonic() + 120
    while all(map(locked, shared.glob("*.lock"))) and time.monotonic() < deadline:
        time.sleep(0.01)
    capsys.readouterr()
    weights, _ = run(shared)
    assert first.wait() == 0
    said = capsys.readouterr().err
    assert said.count("another process trains this run; waiting until it frees") == 1
    assert f"{STEPS}/{STEPS}" in said
    assert all(torch.equal(whole[key], weights[key]) for key in whole)


def test_waiting_for_another_process_can_be_stopped(tmp_path):
    with pytest.raises(TrainingStopped):
        run(tmp_path, should_stop=lambda: True)  # so that the name of the lock is known
    (lock,) = tmp_path.glob("*.lock")
    with locked(lock), pytest.raises(TrainingStopped, match=rf"another process held .*{lock.name}"):
        run(tmp_path, should_stop=lambda: True)


@pytest.mark.parametrize("damage", [flip_bit, flip_first_bit, truncate, empty])
def test_damaged_state_is_named_with_its_cure(tmp_path, capsys, damage):
    with pytest.raises(TrainingStopped):
        run(tmp_path, should_stop=lambda: True)
    capsys.readouterr()  # its progress
    (state,) = tmp_path.glob("*.safetensors")
    damage(state)
    with pytest.raises(SystemExit), logged(tmp_path / "job.log"):
        run(tmp_path)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {state}: ")
    assert line.endswith("; remove it to train from the start")
    state.unlink()
    run(tmp_path)


def test_another_recipe_does_not_continue_the_state(tmp_path):
    run(tmp_path)
    images, labels = made_data()
    other = replace(RECIPE, seed=1)
    weights, *_ = train(NETWORK, other, images, labels, "digest", tmp_path)
    assert not torch.equal(weights["up.weight"], run(tmp_path)[0]["up.weight"])


def test_other_code_does_not_continue_the_state(tmp_path, monkeypatch):
    run(tmp_path, code_digest="old")
    monkeypatch.setattr(training, "TIME_LEVELS", 1)
    changed, record = run(tmp_path, code_digest="new")
    fresh, _ = run(tmp_path / "fresh", code_digest="new")
    assert record["code_digest"] == "new"
    assert all(torch.equal(changed[key], fresh[key]) for key in fresh)


def test_divergence_stops_and_says_what_to_do(tmp_path, monkeypatch):
    images, labels = made_data()
    monkeypatch.setattr(training, "LOG_STEPS", 5)
    with pytest.raises(TrainingDiverged, match="lower learning_rate"):
        train(NETWORK, replace(RECIPE, learning_rate=1e30), images, labels, "d", tmp_path)


def test_checkpoints_are_verified(tmp_path):
    weights, record = run(tmp_path / "state")
    path = tmp_path / "network.safetensors"
    save_checkpoint(path, weights, record)
    network, loaded = load_checkpoint(path)
    assert torch.equal(network.state_dict()["up.weight"], weights["up.weight"])
    assert loaded["dataset_digest"] == "digest"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(RecordError, match=r"network.safetensors: expected SHA-256 \w+, found"):
        load_checkpoint(path)
    record_path(path).unlink()
    with pytest.raises(RecordError, match="no readable record"):
        load_checkpoint(path)


def test_snapshots_are_what_a_shorter_training_ends_in(tmp_path):
    """Averaged weights after 480 of 1,600 images, and the last weights without the average."""
    images, labels = made_data()
    first = dict(images=images, labels=labels, dataset_digest="digest", state_dir=tmp_path)
    weights, snapshots, record = train(NETWORK, RECIPE, **first)
    assert list(snapshots) == ["480", "raw"]
    shorter, *_ = train(NETWORK, replace(RECIPE, epochs=12), **first)
    unaveraged, *_ = train(NETWORK, replace(RECIPE, ema_decay=0.0), **first)
    path = tmp_path / "network.safetensors"
    save_checkpoint(path, weights, record, snapshots)
    torch.manual_seed(RECIPE.seed)
    untrained = build_network(NETWORK).state_dict()
    kinds = {"": weights, "480": shorter, "raw": unaveraged, "untrained": untrained}
    for name, expected in kinds.items():
        found = load_checkpoint(path, snapshot=name)[0].state_dict()
        assert all(torch.equal(found[key], expected[key]) for key in expected), name
    distinct = [load_checkpoint(path, snapshot=name)[0].state_dict()["up.weight"] for name in kinds]
    assert all(not torch.equal(a, b) for i, a in enumerate(distinct) for b in distinct[:i])
    with pytest.raises(RecordError, match="no snapshot '500'; it has 480, raw"):
        load_checkpoint(path, snapshot="500")
    flip_bit(snapshots_path(path))
    with pytest.raises(RecordError, match=r"snapshots/network.safetensors: expected SHA-256"):
        load_checkpoint(path, snapshot="raw")
    load_checkpoint(path)  # which does not need them
    snapshots_path(path).unlink()
    with pytest.raises(RecordError, match="the snapshots of this training are missing"):
        load_checkpoint(path, snapshot="raw")
    save_checkpoint(path, weights, {k: v for k, v in record.items() if k != "snapshots"})
    with pytest.raises(RecordError, match="tells of no snapshots"):
        load_checkpoint(path, snapshot="raw")


def test_records_are_verified(tmp_path):
    path = tmp_path / "network.json"
    save_record(path, {"dataset": "mnist", "loss_curve": [0.5, 0.25]})
    assert load_record(path) == {"dataset": "mnist", "loss_curve": [0.5, 0.25]}
    content = path.read_text()
    for altered, said in (
        (content.replace("0.25", "0.35"), r"expected SHA-256 \w+ of the record, found"),
        (content.replace("record_sha256", "recorf_sha256"), "damaged: the key record_sha256 reads"),
        (content[:-5], "no readable record"),
    ):
        path.write_text(altered)
        with pytest.raises(RecordError, match=rf"network\.json: {said}"):
            load_record(path)
    path.write_text('{"dataset": "mnist"}')  # written before records had a digest
    assert load_record(path) == {"dataset": "mnist"}


def test_scales_are_verified(tmp_path):
    record, table = tmp_path / "network.scales.json", tmp_path / "network.scales.csv"
    table.write_text("t,patch_size\n1.0,3\n")
    save_scales_record(record, [table], {"weights_sha256": "ours", "steps": 20})
    assert verify_scales(record, "ours") == [table]
    assert read_scales(table) == {1.0: 3}
    with pytest.raises(RecordError, match=r"scales\.json: .* with SHA-256 ours, not for other"):
        verify_scales(record, "other")
    table.write_text("t,patch_size\n1.0,5\n")
    with pytest.raises(RecordError, match=r"scales\.csv: expected SHA-256 \w+, found"):
        verify_scales(record, "ours")
    with pytest.raises(RecordError, match=r"scales\.csv: expected SHA-256 \w+, found"):
        read_scales(table)
    table.unlink()
    with pytest.raises(RecordError, match=r"scales\.csv: this table of network.* is missing"):
        verify_scales(record, "ours")
    record.unlink()
    with pytest.raises(RecordError, match=r"scales\.json: no readable record"):
        verify_scales(record, "ours")


def test_scales_are_read_in_the_order_of_the_table(tmp_path):
    path = tmp_path / "made.scales.csv"
    path.write_text("t,patch_size,cosine\n0.05,3,0.9\n0.1,5,0.8\n1.0,31,0.7\n")
    save_scales_record(record_path(path), [path], {})
    assert list(read_scales(path).items()) == [(0.05, 3), (0.1, 5), (1.0, 31)]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"t,patch_size\n",
        b"t,size\n1.0,3\n",
        b"t,patch_size\n1.0\n",
        b"t,patch_size\n1.0,3.5\n",
        b"t,patch_size\nnoise,3\n",
        b"t,patch_size\n0.5,3\n0.5,5\n",
        b"\xff\x00",
    ],
)
def test_other_tables_than_of_scales_are_named(tmp_path, content):
    path = tmp_path / "made.scales.csv"
    path.write_bytes(content)
    save_scales_record(record_path(path), [path], {})
    with pytest.raises(RecordError, match=r"made\.scales\.csv: no table of scales: expected"):
        read_scales(path)


def test_bad_networks_and_recipes_are_refused():
    with pytest.raises(ValueError, match="architecture is 'rnn': choose one of resnet_paper"):
        NetworkConfig("rnn")
    with pytest.raises(ValueError, match="size is 30: a UNet"):
        NetworkConfig("unet", size=30)
    with pytest.raises(ValueError, match="size is 30: a UNet"):
        NetworkConfig("unet_paper", size=30)
    for channels in (8, 20):
        with pytest.raises(ValueError, match=f"channels is {channels}: resnet_paper needs a mult"):
            NetworkConfig("resnet_paper", channels=channels)
    with pytest.raises(ValueError, match="precision is 'float8'"):
        TrainingRecipe(precision="float8")
    images, labels = made_data()
    with pytest.raises(ValueError, match="class-conditional"):
        train(NETWORK, RECIPE, images, None, "d", None)
    with pytest.raises(ValueError, match="batch_size is 64"):
        train(NETWORK, replace(RECIPE, batch_size=64), images, labels, "d", None)


@pytest.mark.parametrize("seed", [0, 1])
def test_noise_of_the_evaluation_is_never_part_of_a_training(seed):
    """Not of the steps either whose number is that of a usual seed."""

    def neighbours(noise):
        values = noise.flatten().tolist()
        return set(itertools.pairwise(values))

    recipe, images = TrainingRecipe(batch_size=64, seed=seed), torch.zeros(64, 1, 32, 32)
    evaluation = seed_noise([*range(20), *range(1_000_000, 1_000_030)], (1, 32, 32))
    steps = [training._batch(images, recipe, step)[-1] for step in range(20)]
    assert len(neighbours(steps[0])) > 65_000
    assert not neighbours(evaluation) & neighbours(torch.cat(steps))
