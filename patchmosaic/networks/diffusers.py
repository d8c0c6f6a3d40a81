"""Networks of the diffusers library: UNet2DModel with its scheduler, from a folder or the hub.

All that has to be known of such a network stands in its two config files, as ``save_pretrained``
writes them. The library, an extra of this package, does the building.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
from torch import Tensor, nn

from patchmosaic.networks.external import (
    AS_IT_IS,
    ExternalNetwork,
    Running,
    flow_time,
    load_weights,
)
from patchmosaic.networks.model_files import WEIGHTS, read_json
from patchmosaic.system.records import RecordError

PREDICTS = {"epsilon": "noise", "sample": "x0", "v_prediction": "v"}
SCHEDULERS = re.compile(
    r"(DDPM|DDIM|PNDM|DPMSolverMultistep|DPMSolverSinglestep|DEISMultistep|UniPCMultistep|"
    r"EulerDiscrete|EulerAncestralDiscrete|HeunDiscrete|LMSDiscrete|KDPM2Discrete|"
    r"KDPM2AncestralDiscrete)(Parallel)?Scheduler"
)
FLOW_SCHEDULER = "FlowMatchEulerDiscreteScheduler"

# Fields of schedulers. What describes the training is used by the library's own scheduler:
USED = {"num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas"}
USED |= {"rescale_betas_zero_snr", "prediction_type", "variance_type"}
# What concerns the library's sampling alone has no part in what the network predicts:
OF_SAMPLING = {"clip_sample", "clip_sample_range", "thresholding", "dynamic_thresholding_ratio"}
OF_SAMPLING |= {"sample_max_value", "timestep_spacing", "steps_offset", "set_alpha_to_one"}
OF_SAMPLING |= {"skip_prk_steps", "solver_order", "algorithm_type", "solver_type", "solver_p"}
OF_SAMPLING |= {"lower_order_final", "euler_at_final", "predict_x0", "disable_corrector"}
OF_SAMPLING |= {"use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas", "use_lu_lambdas"}
OF_SAMPLING |= {"final_sigmas_type", "lambda_min_clipped", "interpolation_type", "sigma_min"}
OF_SAMPLING |= {"sigma_max", "time_shift_type"}
# A flow's time is its s whatever sigmas are sampled.
OF_FLOW_SAMPLING = {"shift", "base_shift", "max_shift", "base_image_seq_len", "max_image_seq_len"}
OF_FLOW_SAMPLING |= {"use_dynamic_shifting", "shift_terminal", "stochastic_sampling"}
# Others must be as they are by default, or change what the network is asked.
DEFAULTS = {
    "use_flow_sigmas": False,
    "flow_shift": 1.0,
    "use_dynamic_shifting": False,
    "shift_terminal": None,
    "timestep_type": "discrete",
    "invert_sigmas": False,
}


class FirstChannels(nn.Module):
    """A UNet2DModel that is called with tensors; of a learned variance only the mean is given."""

    def __init__(self, unet: nn.Module) -> None:
        super().__init__()
        self.unet = unet

    def forward(self, x: Tensor, time: Tensor, labels: Tensor | None = None) -> Tensor:
        """(B, C, H, W) of x (B, C, H, W), times (B,) and labels (B,)."""
        found = self.unet(x, time, class_labels=labels).sample  # (B, C or 2 C, H, W)
        return found[:, : x.shape[1]]


def library() -> ModuleType:
    """The diffusers library; raises RecordError where it is not installed."""
    try:
        import diffusers
    except ImportError as error:
        raise RecordError(
            f"networks of diffusers need that library ({error}): in the project's folder, pip "
            "install -e '.[diffusers]'"
        ) from None
    return diffusers


def fetch_model(name: str, revision: str) -> Path:
    """A model of the hub at a revision, which is a commit: the folder that it is kept in.

    Raises RecordError where the revision is none, or the model cannot be had.
    """
    if not re.fullmatch(r"[0-9a-f]{40}", revision):
        raise RecordError(
            f"{name}: revision is {revision!r}, expected the 40 digits of a commit, so that the "
            "network is the same for everyone"
        )
    library()
    from huggingface_hub import snapshot_download

    try:
        return Path(
            snapshot_download(name, revision=revision, allow_patterns=["*.json", "*.safetensors"])
        )
    except Exception as error:  # of the hub's client, which has many kinds
        raise RecordError(f"{name}: cannot be fetched: {error}") from error


def read_model(files: dict[str, Path]) -> tuple[nn.Module, dict, dict]:
    """The UNet2DModel of a folder with its weights, and its configs: (unet, unet's, scheduler's).

    The library renames keys of former versions, and takes half precision to float32.

    Raises:
        RecordError: for other classes of models, weights that do not fit, and unfit configs.
    """
    unet_config, scheduler_config = read_json(files["unet"]), read_json(files["scheduler"])
    _check_unet(files["unet"], unet_config)
    diffusers = library()
    try:
        found = diffusers.UNet2DModel.from_pretrained(
            files["unet"].parent,
            use_safetensors=True,
            local_files_only=True,
            low_cpu_mem_usage=False,
            output_loading_info=True,
            variant=_variant(files["weights"]),
        )
    except Exception as error:  # of the library, which has many kinds
        raise RecordError(f"{files['weights']}: cannot be loaded: {_one_line(error)}") from error
    unet, loading = found
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if loading.get(kind):
            raise RecordError(
                f"{files['weights']}: the weights do not fit config.json: {kind.replace('_', ' ')} "
                f"{', '.join(map(str, sorted(loading[kind])[:4]))}"
            )
    return unet.float(), unet_config, scheduler_config


def build_diffusers(
    path: Path,
    unet_config: dict,
    scheduler_config: dict,
    weights: Path | nn.Module,
    running: Running = AS_IT_IS,
) -> ExternalNetwork:
    """The network of two configs, in evaluation mode.

    Args:
        path: for messages.
        unet_config: of UNet2DModel.
        scheduler_config: of its scheduler.
        weights: a safetensors file of the model's present keys, or the model itself.
        running: where and how it is run.
    """
    _check_unet(path, unet_config)
    predicts, direction, time_of = described(path, scheduler_config)
    if isinstance(weights, Path):
        unet = library().UNet2DModel.from_config(unet_config)
        load_weights(unet, weights, f"the UNet2DModel of {path}")
    else:
        unet = weights
    return ExternalNetwork(FirstChannels(unet), time_of, predicts, path, direction, running).eval()


def described(path: Path, config: dict) -> tuple[str, str | None, Callable[[float], float]]:
    """What a scheduler's config says of a network: (predicts, direction, time of a_bar).

    The time is the index of the noise level in the scheduler's alphas_cumprod, between two of them
    by linear interpolation; of a flow num_train_timesteps times s.

    Raises:
        RecordError: naming the scheduler or the field that is not covered.
    """
    name = str(config.get("_class_name"))
    is_flow = name == FLOW_SCHEDULER
    if not is_flow and not SCHEDULERS.fullmatch(name):
        raise RecordError(
            f"{path}: the scheduler {name} is not covered; if the training's noise was that of "
            "DDPMScheduler, save that one with the same betas and prediction_type"
        )
    known = USED | OF_SAMPLING | (OF_FLOW_SAMPLING if is_flow else set())
    for field, value in config.items():
        if field.startswith("_") or field in known:
            continue
        if field not in DEFAULTS or value != DEFAULTS[field]:
            right = f", only {DEFAULTS[field]!r}" if field in DEFAULTS else ""
            raise RecordError(f"{path}: {field} {value!r} of {name} is not covered{right}")
    if is_flow:
        steps = config.get("num_train_timesteps", 1000)
        return "flow", "to_noise", lambda a_bar: steps * flow_time(a_bar)
    kind = config.get("prediction_type", "epsilon")
    if kind not in PREDICTS:
        raise RecordError(
            f"{path}: prediction_type {kind!r} is not covered, only {', '.join(PREDICTS)}"
        )
    try:
        scheduler = getattr(library(), name).from_config(config)
    except Exception as error:  # of the library, which has many kinds
        raise RecordError(f"{path}: no {name} can be made: {_one_line(error)}") from error
    levels = scheduler.alphas_cumprod.double().numpy()[::-1]  # increasing
    times = np.arange(len(levels), dtype=float)[::-1]
    if not np.isfinite(levels).all() or np.any(np.diff(levels) <= 0):
        raise RecordError(f"{path}: the betas of {name} do not make noise grow at every step")
    return PREDICTS[kind], None, lambda a_bar: float(np.interp(a_bar, levels, times))


def is_conditional(unet_config: dict) -> bool:
    """Whether a UNet2DModel is told the class."""
    return any(unet_config.get(key) is not None for key in ("num_class_embeds", "class_embed_type"))


def check_images(path: Path, unet_config: dict, shape: tuple[int, int, int], classes: int) -> None:
    """Raise RecordError unless a model is for images (C, H, W) of so many classes, 0: none."""
    wanted = unet_config.get("in_channels", 3), unet_config.get("sample_size")
    if shape[0] != wanted[0]:
        raise RecordError(
            f"{path}: in_channels is {wanted[0]}, and the images have {shape[0]}: set channels of "
            "the dataset"
        )
    if wanted[1] not in (None, shape[1], list(shape[1:])):
        raise RecordError(
            f"{path}: sample_size is {wanted[1]}, and the images have {shape[1]} pixels: set size "
            "of the dataset"
        )
    if is_conditional(unet_config) != bool(classes):
        is_told = "is told the class" if is_conditional(unet_config) else "is not told the class"
        raise RecordError(f"{path}: the network {is_told}; set conditional accordingly")
    embedded = unet_config.get("num_class_embeds")
    if embedded is not None and embedded < classes:
        raise RecordError(f"{path}: num_class_embeds is {embedded}, and the images have {classes}")


def _check_unet(path: Path, config: dict) -> None:
    name = config.get("_class_name")
    if name != "UNet2DModel":
        cure = ""
        if str(name).startswith("UNet") and "Condition" not in str(name):
            cure = (
                "; one of before the library's first release is to be loaded with a version of "
                "its time and saved as UNet2DModel"
            )
        raise RecordError(f"{path}: _class_name is {name!r}, expected 'UNet2DModel'{cure}")
    channels, given = config.get("in_channels", 3), config.get("out_channels", 3)
    if given not in (channels, 2 * channels):
        raise RecordError(
            f"{path}: out_channels is {given}, expected in_channels, {channels}, or with a learned "
            f"variance {2 * channels}"
        )
    for field, allowed in (
        ("center_input_sample", (False, None)),
        ("time_embedding_type", ("positional", "learned", None)),
        ("class_embed_type", ("timestep", None)),
    ):
        if config.get(field) not in allowed:
            raise RecordError(f"{path}: {field} {config[field]!r} is not covered")


def _variant(weights: Path) -> str | None:
    """What stands between name and ending of a file of weights, as "fp16"."""
    return weights.name.removeprefix(WEIGHTS).removesuffix(".safetensors").strip(".") or None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:500]
