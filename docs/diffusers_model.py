"""Train a small class-conditional UNet2DModel of the diffusers library by the library's own means.

python docs/diffusers_model.py IMAGES FOLDER    # prepared images of a dataset; see own_network.md

The model, the noise and the moving average of weights are the library's (UNet2DModel,
DDPMScheduler, EMAModel), and so are the files that it saves; nothing of this project's networks is
used.
"""

import json
import sys
import time
from pathlib import Path

import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
from diffusers.optimization import get_cosine_schedule_with_warmup
from diffusers.training_utils import EMAModel

from patchmosaic.datasets.images import load_images, to_float
from patchmosaic.system.processor import processor_name

BATCH = 64
EPOCHS = 6


def build(size: int, channels: int, classes: int) -> UNet2DModel:
    """The untrained model: three scales, no attention."""
    return UNet2DModel(
        sample_size=size,
        in_channels=channels,
        out_channels=channels,
        layers_per_block=1,
        block_out_channels=(32, 64, 128),
        down_block_types=("DownBlock2D",) * 3,
        up_block_types=("UpBlock2D",) * 3,
        add_attention=False,
        norm_num_groups=16,
        num_class_embeds=classes,
    )


def train(
    images: torch.Tensor, labels: torch.Tensor, classes: int, folder: Path, epochs: int
) -> dict[str, float]:
    """Train on images (N, C, H, W) in [-1, 1] with labels (N,); write the pipeline to a folder.

    Returns what it took: steps, images seen, the mean loss of the last hundred, processor seconds.
    """
    torch.manual_seed(0)
    _, channels, size, _ = images.shape
    model = build(size, channels, classes)
    # The x0 of a predicted velocity does not magnify errors near pure noise, as that of noise does.
    scheduler = DDPMScheduler(
        num_train_timesteps=1000,
        beta_schedule="squaredcos_cap_v2",
        prediction_type="v_prediction",
    )
    average = EMAModel(model.parameters(), decay=0.999, use_ema_warmup=True)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3)
    steps = epochs * (len(images) // BATCH)
    rate = get_cosine_schedule_with_warmup(
        optimiser, num_warmup_steps=100, num_training_steps=steps
    )
    order, losses = torch.empty(0, dtype=torch.long), []
    for step in range(steps):
        if len(order) < BATCH:
            order = torch.randperm(len(images))
        chosen, order = order[:BATCH], order[BATCH:]
        clean = images[chosen]
        noise = torch.randn_like(clean)
        times = torch.randint(scheduler.config.num_train_timesteps, (len(clean),))
        noisy = scheduler.add_noise(clean, noise, times)
        with torch.autocast("cpu", torch.bfloat16):
            predicted = model(noisy, times, class_labels=labels[chosen], return_dict=False)[0]
        velocity = scheduler.get_velocity(clean, noise, times)
        loss = torch.nn.functional.mse_loss(predicted.float(), velocity)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        rate.step()
        optimiser.zero_grad()
        average.step(model.parameters())
        losses.append(loss.item())
        if step % 100 == 0:
            print(f"step {step} of {steps}: loss {losses[-1]:.4f}", flush=True)
    average.copy_to(model.parameters())
    DDPMPipeline(model.half(), scheduler).save_pretrained(folder)
    return {
        "steps": steps,
        "images_seen": steps * BATCH,
        "loss": sum(losses[-100:]) / len(losses[-100:]),
        "cpu_seconds": time.process_time(),
    }


if __name__ == "__main__":
    prepared, folder = sys.argv[1:]
    found = load_images(prepared)
    labels = torch.from_numpy(found.labels).long()
    took = train(to_float(found), labels, len(found.class_names), Path(folder), EPOCHS)
    record = {"images_sha256": found.digest, "processor": processor_name(), **took}
    (Path(folder) / "training.json").write_text(json.dumps(record, indent=2) + "\n")
