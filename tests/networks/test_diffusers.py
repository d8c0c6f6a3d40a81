"""Networks of the diffusers library: x_0 as the library has it, and what is refused by name."""

import importlib.util
import json
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from patchmosaic.networks.checkpoints import load_checkpoint, save_checkpoint
from patchmosaic.networks.diffusers import (
    build_diffusers,
    check_images,
    described,
    fetch_model,
    read_model,
)
from patchmosaic.networks.model_files import find_files
from patchmosaic.sampling.schedule import COSINE_STRETCH
from patchmosaic.system.records import RecordError

diffusers = pytest.importorskip("diffusers")

ROOT = Path(__file__).parents[2]


def made_unet(**settings):
    torch.manual_seed(0)
    return diffusers.UNet2DModel(
        **{
            "sample_size": 8,
            "in_channels": 1,
            "out_channels": 1,
            "block_out_channels": (8, 16),
            "layers_per_block": 1,
            "norm_num_groups": 4,
            "down_block_types": ("DownBlock2D", "DownBlock2D"),
            "up_block_types": ("UpBlock2D", "UpBlock2D"),
            "add_attention": False,
            **settings,
        }
    ).eval()


def saved(folder, unet, scheduler, layout="pipeline"):
    """A model as save_pretrained leaves it: a pipeline, or config and weights in the folder."""
    if layout == "pipeline":
        diffusers.DDPMPipeline(unet, scheduler).save_pretrained(folder)
    else:
        unet.save_pretrained(folder)
        scheduler.save_pretrained(folder if layout == "root" else folder / "scheduler")
    return folder


def loaded(folder):
    files = find_files(folder)
    unet, config, scheduler = read_model(files)
    return build_diffusers(files["scheduler"], config, scheduler, unet), config, scheduler


def t_of(a_bar):
    return 2 / math.pi * COSINE_STRETCH * math.acos(math.sqrt(a_bar))


ATTENTION = {
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
    "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
    "add_attention": True,
    "attention_head_dim": 8,
}
CASES = {
    "unconditional": ({}, {}),
    "class-conditional": ({"num_class_embeds": 4}, {}),
    "learned variance": ({"out_channels": 2}, {"variance_type": "learned_range"}),
    "v": ({}, {"prediction_type": "v_prediction"}),
    "sample": ({}, {"prediction_type": "sample"}),
    "scaled linear": ({}, {"beta_schedule": "scaled_linear", "beta_start": 0.00085}),
    "squared cosine": ({}, {"beta_schedule": "squaredcos_cap_v2"}),
    "zero terminal SNR": (
        {},
        {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction"},
    ),
    "attention": (ATTENTION, {}),
    "few steps": ({}, {"num_train_timesteps": 100, "trained_betas": [0.02] * 100}),
}


@pytest.mark.parametrize(
    ("case", "layout"), [*((case, "pipeline") for case in CASES), ("v", "root"), ("v", "bare")]
)
def test_x0_is_the_library_s(case, layout, tmp_path):
    """Without clipping, at ten of its integer times."""
    unet_settings, settings = CASES[case]
    unet = made_unet(**unet_settings)
    scheduler = diffusers.DDPMScheduler(clip_sample=False, **settings)
    network, config, _ = loaded(saved(tmp_path / "model", unet, scheduler, layout))
    labels = torch.tensor([3, 0]) if "num_class_embeds" in unet_settings else None
    check_images(tmp_path, config, (1, 8, 8), 4 if labels is not None else 0)
    last = len(scheduler.alphas_cumprod) - 1
    for step in torch.linspace(last // 50, last - last // 12, 10).long().tolist():
        a_bar = float(scheduler.alphas_cumprod[step])
        x_t = torch.randn(2, 1, 8, 8)
        with torch.no_grad():
            output = unet(x_t, step, class_labels=labels).sample
            expected = scheduler.step(output, step, x_t).pred_original_sample
            noise = network(x_t.double().float(), torch.full((2,), t_of(a_bar)).double(), labels)
        found = (x_t - math.sqrt(1 - a_bar) * noise) / math.sqrt(a_bar)
        scale = 1 / math.sqrt(a_bar)
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=2e-4 * scale)


def test_half_precision_and_old_names_of_attention(tmp_path):
    unet = made_unet(**ATTENTION)
    folder = saved(tmp_path / "model", unet, diffusers.DDPMScheduler())
    path = folder / "unet/diffusion_pytorch_model.safetensors"
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    state = {}
    for key, value in load_file(path).items():
        for new, former in old.items():
            key = key.replace(f".{new}.", f".{former}.")
        state[key] = value.half()
    assert any("proj_attn" in key for key in state)
    save_file(state, path, metadata={"format": "pt"})
    network, _, _ = loaded(folder)
    x, time = torch.randn(2, 1, 8, 8), torch.tensor([3.0, 700.0])
    with torch.no_grad():
        expected = unet(x, time).sample
        torch.testing.assert_close(network.ask(x, time, None), expected, rtol=1e-2, atol=2e-2)


def test_a_flow_is_asked_at_its_time(tmp_path):
    unet = made_unet()
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)
    network, _, _ = loaded(saved(tmp_path / "model", unet, scheduler, "root"))
    assert (network.predicts, network.direction) == ("flow", "to_noise")
    s = 0.3
    a_bar = (1 - s) ** 2 / ((1 - s) ** 2 + s**2)
    assert network.own_time(a_bar) == pytest.approx(300)


def test_a_record_and_weights_bring_it_back(tmp_path):
    folder = saved(tmp_path / "model", made_unet(**ATTENTION), diffusers.DDIMScheduler())
    files = find_files(folder)
    unet, config, scheduler = read_model(files)
    network = build_diffusers(files["scheduler"], config, scheduler, unet)
    weights = {k: v.contiguous() for k, v in unet.state_dict().items()}
    described_by = {"external": {"unet": config, "scheduler": scheduler}}
    save_checkpoint(tmp_path / "net.safetensors", weights, described_by)
    again, _ = load_checkpoint(tmp_path / "net.safetensors")
    x, t = torch.randn(2, 1, 8, 8), torch.tensor([0.3, 0.8])
    with torch.no_grad():
        torch.testing.assert_close(again(x, t), network(x, t))


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"_class_name": "EDMEulerScheduler"}, "scheduler EDMEulerScheduler is not covered"),
        ({"_class_name": "ScoreSdeVeScheduler"}, "ScoreSdeVeScheduler is not covered"),
        ({"_class_name": "DDPMScheduler", "prediction_type": "other"}, "prediction_type 'other'"),
        ({"_class_name": "DDPMScheduler", "beta_schedule": "other"}, "no DDPMScheduler can be"),
        ({"_class_name": "DDPMScheduler", "novel": 3}, "novel 3 of DDPMScheduler is not covered"),
        (
            {"_class_name": "EulerDiscreteScheduler", "timestep_type": "continuous"},
            "timestep_type 'continuous' of EulerDiscreteScheduler is not covered, only 'discrete'",
        ),
        (
            {"_class_name": "UniPCMultistepScheduler", "use_flow_sigmas": True},
            "use_flow_sigmas True of UniPCMultistepScheduler is not covered, only False",
        ),
    ],
)
def test_fields_of_schedulers_are_used_or_refused_by_name(config, said, tmp_path):
    with pytest.raises(RecordError, match=said):
        described(tmp_path, config)


def test_what_a_folder_lacks_is_named(tmp_path):
    folder = saved(tmp_path / "model", made_unet(), diffusers.DDPMScheduler())
    weights = folder / "unet/diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_suffix(".bin"))
    with pytest.raises(RecordError, match=r"model\.bin: a pickle, .* write them as safetensors"):
        find_files(folder)
    weights.with_suffix(".bin").rename(weights)
    (folder / "scheduler/scheduler_config.json").unlink()
    with pytest.raises(RecordError, match=r"scheduler_config\.json: missing; only it tells"):
        find_files(folder)
    index = folder / "model_index.json"
    index.write_text(json.dumps({**json.loads(index.read_text()), "vae": ["diffusers", "x"]}))
    with pytest.raises(RecordError, match="works in latents of its vae"):
        find_files(folder)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"_class_name": "UNetUnconditionalModel"}, "one of before the library's first release"),
        ({"_class_name": "UNet2DConditionModel"}, "'UNet2DConditionModel', expected 'UNet2DModel'"),
        ({"center_input_sample": True}, "center_input_sample True is not covered"),
        ({"time_embedding_type": "fourier"}, "time_embedding_type 'fourier' is not covered"),
        ({"out_channels": 3}, "out_channels is 3, expected in_channels, 1, or .* 2"),
        ({"block_out_channels": [8, 24]}, "cannot be loaded|do not fit"),
    ],
)
def test_other_models_are_refused_by_name(changed, said, tmp_path):
    folder = saved(tmp_path / "model", made_unet(), diffusers.DDPMScheduler())
    config = folder / "unet/config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), **changed}))
    with pytest.raises(RecordError, match=said):
        loaded(folder)


def test_images_must_be_those_of_the_model(tmp_path):
    config = {"in_channels": 3, "sample_size": 32, "num_class_embeds": 10}
    for shape, classes, said in (
        ((1, 32, 32), 10, "in_channels is 3, and the images have 1"),
        ((3, 16, 16), 10, "sample_size is 32, and the images have 16"),
        ((3, 32, 32), 0, "is told the class; set conditional"),
        ((3, 32, 32), 11, "num_class_embeds is 10, and the images have 11"),
    ):
        with pytest.raises(RecordError, match=said):
            check_images(tmp_path, config, shape, classes)


def test_a_model_of_the_hub_needs_a_commit():
    with pytest.raises(RecordError, match="revision is 'main', expected the 40 digits of a commit"):
        fetch_model("owner/name", "main")


def test_documented_training_gives_a_network_that_is_covered(tmp_path):
    spec = importlib.util.spec_from_file_location("example", ROOT / "docs/diffusers_model.py")
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    images, labels = torch.rand(2 * example.BATCH, 3, 16, 16) * 2 - 1, torch.arange(128) % 2
    example.train(images, labels, 2, tmp_path / "model", epochs=1)
    network, config, _ = loaded(tmp_path / "model")
    assert config["num_class_embeds"] == 2
    assert network.predicts == "v"
    with torch.no_grad():
        noise = network(images[:3], torch.full((3,), 0.5), labels[:3])
    assert noise.shape == images[:3].shape
    assert noise.isfinite().all()
