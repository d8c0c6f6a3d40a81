"""The files of a model of the diffusers library in a folder, as ``save_pretrained`` writes them."""

from __future__ import annotations

import json
from pathlib import Path

from patchmosaic.system.records import RecordError

WEIGHTS = "diffusion_pytorch_model"


def find_files(folder: Path) -> dict[str, Path]:
    """The files of a model in a folder: "unet" and "scheduler" (JSON), "weights" (safetensors).

    A pipeline has them in ``unet/`` and ``scheduler/``, others in the folder itself. Raises
    RecordError for what is missing, for latent models, and for weights that are pickles.
    """
    if not folder.is_dir():
        raise RecordError(f"{folder}: there is no such folder")
    index = folder / "model_index.json"
    if index.exists():
        parts = [key for key in read_json(index) if "vae" in key or key == "movq"]
        if parts:
            raise RecordError(
                f"{index}: the model works in latents of its {parts[0]}, which is not covered; "
                "networks on pixels are"
            )
    inside = folder / "unet" if (folder / "unet").is_dir() else folder
    config = inside / "config.json"
    if not config.exists():
        raise RecordError(f"{config}: missing; write the folder with save_pretrained")
    places = [folder / "scheduler/scheduler_config.json", folder / "scheduler_config.json"]
    scheduler = next((place for place in places if place.exists()), None)
    if scheduler is None:
        raise RecordError(
            f"{places[0]}: missing; only it tells what the network predicts at which noise: save "
            "the scheduler of the training with scheduler.save_pretrained(folder + '/scheduler')"
        )
    weights = sorted(inside.glob(f"{WEIGHTS}*.safetensors"))
    if not weights:
        pickles = sorted(inside.glob("*.bin"))
        raise RecordError(
            f"{pickles[0] if pickles else inside / WEIGHTS}: "
            + ("a pickle, which is not read" if pickles else "no weights")
            + "; write them as safetensors: UNet2DModel.from_pretrained(folder)"
            ".save_pretrained(folder), which is the default of the library's present versions"
        )
    whole = inside / f"{WEIGHTS}.safetensors"
    if whole not in weights and len(weights) > 1:
        names = ", ".join(path.name for path in weights)
        raise RecordError(f"{inside}: weights in several files ({names}); keep one, or join them")
    return {
        "unet": config,
        "scheduler": scheduler,
        "weights": whole if whole in weights else weights[0],
    }


def read_json(path: Path) -> dict:
    """The object in a JSON file; raises RecordError where there is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise RecordError(f"{path}: not readable as JSON: {error}") from None
    if not isinstance(found, dict):
        raise RecordError(f"{path}: expected a JSON object")
    return found
