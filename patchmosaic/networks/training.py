"""Training of noise predictors by the paper's recipe, resumable to the same result.

Batch ``k`` of a run (images, times and noise) is a function of the seed and ``k`` alone, so a run
that is killed and continued from its saved state ends exactly where an uninterrupted one ends, on
the same machine with the same number of threads.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import torch
from safetensors import SafetensorError
from safetensors.torch import save
from torch import Tensor, nn
from tqdm.auto import tqdm

from patchmosaic.networks.build import build_network
from patchmosaic.networks.config import NetworkConfig
from patchmosaic.networks.registry import PRECISIONS, TRAINING_PRECISIONS
from patchmosaic.sampling.schedule import alpha_bar
from patchmosaic.system.files import locked, written_whole

TIME_LEVELS = 1000  # t is drawn from {0, ..., 999} / 1000, as in the paper's reference code
LOG_STEPS = 50  # optimiser steps between two points of the loss curve
CPU_IMAGES = 64  # that go through a network at once on the CPU, whose caches hold no more
MEASURED_IMAGES = 16  # of which the time decides the precision
HOPELESS = 5.0  # times slower at the first step, so that a precision is not measured further
SAVE_SECONDS = 60.0
WAIT_SECONDS = 1.0  # between two looks at whether another process still trains the same run


class TrainingDiverged(RuntimeError):
    """The loss is no longer finite; the last good state is kept."""


class StateError(ValueError):
    """A saved state that is damaged, or not one."""


class TrainingStopped(RuntimeError):
    """The run was asked to stop; its state is saved and a new call continues it."""


@dataclass(frozen=True)
class TrainingRecipe:
    """How a network is trained. The paper's values are the defaults.

    Args:
        epochs: passes through the training images.
        batch_size: images a step; the last step of an epoch takes those that are left.
        learning_rate: of Adam, at the first step.
        learning_rate_decay: factor on the learning rate at each step.
        warmup_steps: over which a further factor rises evenly from 0 to 1; 0 for none, as in the
            paper. Without, a high rate leaves units of the paper's ResNet at zero for good.
        ema_decay: decay of the moving average of the weights, warmed up as (1 + k) / (10 + k);
            0 for none: the last weights, as in the paper.
        precision: "float32", "bfloat16" (autocast; weights and optimiser stay float32), or "auto":
            the faster of the two by a short measurement where the training begins.
        seed: of the initial weights, the order of the images, the times and the noise.
        snapshots: numbers of images seen at which the averaged weights are also kept.
    """

    epochs: int = 300
    batch_size: int = 128
    learning_rate: float = 1.0e-4
    learning_rate_decay: float = 0.999965
    ema_decay: float = 0.0
    precision: str = "float32"
    seed: int = 0
    snapshots: tuple[int, ...] = ()
    warmup_steps: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "snapshots", tuple(self.snapshots))
        if self.precision not in TRAINING_PRECISIONS:
            raise ValueError(
                f"precision is {self.precision!r}: choose one of {', '.join(TRAINING_PRECISIONS)}"
            )

    def rate(self, step: int) -> float:
        """The learning rate at a step, the first of which is 0."""
        risen = min(1.0, (step + 1) / self.warmup_steps) if self.warmup_steps else 1.0
        return self.learning_rate * risen * self.learning_rate_decay**step


def run_identity(
    network: NetworkConfig, recipe: TrainingRecipe, dataset_digest: str, code_digest: str
) -> str:
    """Sixteen hexadecimal digits that name a run: same network, recipe, data and code."""
    parts = [asdict(network), asdict(recipe), dataset_digest, code_digest]
    text = json.dumps(parts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def steps_an_epoch(count: int, recipe: TrainingRecipe) -> int:
    """Steps that take each of so many images once."""
    return -(-count // recipe.batch_size)


@lru_cache(maxsize=1)
def _order(count: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch]).permutation(count)


def _batch(images: Tensor, recipe: TrainingRecipe, step: int) -> tuple[Tensor, Tensor, Tensor]:
    """Indices (B,), times (B,) and noise (B, C, H, W) of one step."""
    epoch, position = divmod(step, steps_an_epoch(len(images), recipe))
    order = _order(len(images), recipe.seed, epoch)
    chosen = order[position * recipe.batch_size : (position + 1) * recipe.batch_size]
    generator = torch.Generator().manual_seed(recipe.seed * 1_000_003 + step)
    times = torch.randint(TIME_LEVELS, (len(chosen),), generator=generator) / TIME_LEVELS
    noise = torch.randn((len(chosen), *images.shape[1:]), generator=generator)
    return torch.from_numpy(chosen), times, noise


def _seen(steps: int, count: int, recipe: TrainingRecipe) -> int:
    """Images seen after so many steps."""
    epochs, position = divmod(steps, steps_an_epoch(count, recipe))
    return epochs * count + min(position * recipe.batch_size, count)


def _accumulate(
    network: nn.Module,
    x_0: Tensor,
    labels: Tensor | None,
    t: Tensor,
    noise: Tensor,
    precision: str,
) -> Tensor:
    """Add the gradient of the mean squared error over a batch (B, C, H, W); the error.

    On the CPU the batch is taken in parts, whose gradients add up to the same.
    """
    part, total = (CPU_IMAGES if x_0.device.type == "cpu" else len(x_0)), x_0.new_zeros(())
    for start in range(0, len(x_0), part):
        chosen = slice(start, start + part)
        a_bar, z = alpha_bar(t[chosen])[:, None, None, None], noise[chosen]
        x_t = a_bar.sqrt() * x_0[chosen] + (1 - a_bar).sqrt() * z
        x_t = x_t.contiguous(memory_format=torch.channels_last)
        condition = None if labels is None else labels[chosen]
        with torch.autocast(x_0.device.type, torch.bfloat16, enabled=precision == "bfloat16"):
            predicted = network(x_t, t[chosen], condition)
        loss = nn.functional.mse_loss(predicted.float(), z) * (len(z) / len(x_0))
        loss.backward()
        total += loss.detach()
    return total


def measure_precisions(
    network: nn.Module, images: Tensor, labels: Tensor | None
) -> dict[str, float]:
    """Images that pass forward and backward a second, by precision; the weights stay as they are.

    Args:
        network: on the device of the training.
        images: (B, C, H, W) on that device, some of those of the training.
        labels: (B,) on that device, or None.

    bfloat16 is several times faster than float32 on graphics cards and processors with its own
    instructions for it, and ten times slower on a processor without.
    """
    found: dict[str, float] = {}
    t, noise = images.new_full((len(images),), 0.5), torch.zeros_like(images)
    for precision in PRECISIONS:
        rates: list[float] = []
        for repetition in range(4):  # the first sets up
            began = time.perf_counter()
            float(_accumulate(network, images, labels, t, noise, precision))  # waits for a card
            rates.append(len(images) / (time.perf_counter() - began))
            if repetition == 0 and HOPELESS * rates[0] < found.get("float32", 0.0):
                break
        found[precision] = round(max(rates), 2)
        network.zero_grad(set_to_none=True)
    return found


def _save_state(path: Path, tensors: dict[str, Tensor], notes: dict) -> None:
    """Write tensors and notes (JSON-able) with the SHA-256 of both, whole or not at all."""
    tensors, text = _on_cpu(tensors), json.dumps(notes)
    metadata = {"notes": text, "sha256": _state_digest(tensors, text)}
    with written_whole(path) as temporary:
        temporary.write_bytes(save(tensors, metadata=metadata))


def _read_state(path: Path) -> tuple[dict[str, Tensor], dict]:
    """Tensors and notes of a state; raises StateError unless they are those that were saved."""
    cure = "remove it to train from the start"
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        text, expected = metadata["notes"], metadata["sha256"]
    except (SafetensorError, RuntimeError, KeyError, OSError) as error:
        raise StateError(f"{path}: not the state of a training ({error!r}); {cure}") from error
    if (found := _state_digest(tensors, text)) != expected:
        raise StateError(f"{path}: expected SHA-256 {expected}, found {found}; {cure}")
    return tensors, json.loads(text)


def _state_digest(tensors: dict[str, Tensor], notes: str) -> str:
    """SHA-256 over the notes and over names, dtypes, shapes and bytes of the tensors."""
    digest = hashlib.sha256(notes.encode())
    for key, tensor in sorted(tensors.items()):
        digest.update(f" {key} {tensor.dtype} {tuple(tensor.shape)} ".encode())
        digest.update(np.ascontiguousarray(tensor.numpy()).data)
    return digest.hexdigest()


def train(
    network_config: NetworkConfig,
    recipe: TrainingRecipe,
    images: Tensor,
    labels: Tensor | None,
    dataset_digest: str,
    state_dir: Path,
    code_digest: str = "",
    device: str = "cpu",
    should_stop: Callable[[], bool] = lambda: False,
) -> tuple[dict[str, Tensor], dict[str, dict[str, Tensor]], dict]:
    """Train a noise predictor: minimise E |network(x_t, t) - z|^2 with Adam.

    Where another process trains the same run into the same folder, it is waited for: the state that
    it leaves, finished or not, is then continued.

    Args:
        network_config: the network to build.
        recipe: how to train it.
        images: float32 (N, C, H, W) in [-1, 1].
        labels: int64 (N,), or None for an unconditional network.
        dataset_digest: SHA-256 of the prepared images, for the record.
        state_dir: folder of the resume state and the snapshots.
        code_digest: of the code that defines the training; a state of other code is not continued.
        device: "cpu" or "cuda".
        should_stop: asked after every step, and while waiting; True saves the state and raises
            :class:`TrainingStopped`.

    Returns:
        The averaged weights, the snapshots, and the training record (JSON-able). Snapshots are
        averaged weights by the number of images seen, and the last weights as they are, "raw".
        Without an average all are weights as they are.

    Raises:
        StateError: when the saved state is damaged.
        TrainingDiverged: when the loss is not finite.
    """
    if (network_config.classes > 0) != (labels is not None):
        raise ValueError("labels belong to a class-conditional network, and only to one")
    if recipe.batch_size > len(images):
        raise ValueError(f"batch_size is {recipe.batch_size}: there are only {len(images)} images")
    identity = run_identity(network_config, recipe, dataset_digest, code_digest)
    with _alone(state_dir / f"{identity}.lock", should_stop):
        torch.backends.cudnn.allow_tf32 = False  # "float32" means float32
        torch.manual_seed(recipe.seed)
        network = build_network(network_config).to(device)
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # not annotated
        average = {k: v.detach().clone() for k, v in network.state_dict().items()}
        optimiser = torch.optim.Adam(network.parameters(), lr=recipe.learning_rate, fused=True)
        steps = recipe.epochs * steps_an_epoch(len(images), recipe)
        state_path = state_dir / f"{identity}.safetensors"
        snapshot_paths = {m: state_dir / f"{identity}-{m}.safetensors" for m in recipe.snapshots}
        step, curve, seconds = 0, [], 0.0
        precision: dict[str, Any] = {"used": recipe.precision}
        losses: list[Tensor] = []  # since the last point of the curve
        if state_path.exists():
            notes = _load_state(state_path, network, average, optimiser)
            step, curve, seconds = notes["step"], notes["curve"], notes["seconds"]
            losses = list(torch.tensor(notes["losses"], device=device))
            precision = notes["precision"]
        elif recipe.precision == "auto":
            some = slice(min(MEASURED_IMAGES, recipe.batch_size))
            rates = measure_precisions(
                network,
                images[some].to(device),
                None if labels is None else labels[some].to(device),
            )
            precision = {"used": max(rates, key=rates.__getitem__), "images_per_second": rates}
        began = saved = time.monotonic()

        def save_run() -> None:
            moments = {
                f"adam.{i}.{key}": value
                for i, state in optimiser.state_dict()["state"].items()
                for key, value in state.items()
            }
            last = {f"weights.{k}": v for k, v in network.state_dict().items()}
            averages = {f"average.{k}": v for k, v in average.items() if recipe.ema_decay}
            notes = {
                "step": step,
                "curve": curve,
                "losses": [float(loss) for loss in losses],
                "seconds": seconds + time.monotonic() - began,
                "precision": precision,
            }
            _save_state(state_path, last | averages | moments, notes)

        network.train()
        means, weights = list(average.values()), list(network.state_dict().values())
        with tqdm(total=steps, initial=step, unit="step", mininterval=5, desc="training") as bar:
            while step < steps:
                chosen, times, noise = _batch(images, recipe, step)
                x_0, t, noise = images[chosen].to(device), times.to(device), noise.to(device)
                condition = None if labels is None else labels[chosen].to(device)
                rate = recipe.rate(step)
                optimiser.param_groups[0]["lr"] = rate
                optimiser.zero_grad(set_to_none=True)
                losses.append(_accumulate(network, x_0, condition, t, noise, precision["used"]))
                optimiser.step()
                decay = min(recipe.ema_decay, (1 + step) / (10 + step))
                with torch.no_grad():
                    torch._foreach_lerp_(means, weights, 1 - decay)
                seen_before = _seen(step, len(images), recipe)
                step += 1
                bar.update()
                seen = _seen(step, len(images), recipe)
                for mark in recipe.snapshots:
                    if seen_before < mark <= seen:
                        _save_state(snapshot_paths[mark], average, {"images_seen": seen})
                logging, stopping = step % LOG_STEPS == 0 or step == steps, should_stop()
                if not (logging or stopping):
                    continue
                mean = float(torch.stack(losses).mean())
                if not math.isfinite(mean):
                    raise TrainingDiverged(
                        f"the loss is {mean} at step {step} (learning rate {rate:.2e}); the last "
                        f"good state is {state_path}: lower learning_rate and start again"
                    )
                if logging:
                    curve.append({"images_seen": seen, "loss": round(mean, 6)})
                    losses = []
                    bar.set_postfix(loss=f"{mean:.4f}", refresh=False)
                if stopping or step == steps or time.monotonic() - saved > SAVE_SECONDS:
                    save_run()
                    saved = time.monotonic()
                if stopping and step < steps:
                    raise TrainingStopped(f"stopped at step {step} of {steps}; the state is saved")
        record = {
            "network": asdict(network_config),
            "training": asdict(recipe),
            "dataset_digest": dataset_digest,
            "code_digest": code_digest,
            "images_seen": recipe.epochs * len(images),
            "steps": steps,
            "precision": precision,
            "loss_curve": curve,
            "wall_seconds": round(seconds + time.monotonic() - began, 1),
            "hardware": hardware(device),
            "versions": {"python": platform.python_version(), "torch": torch.__version__},
        }
        seen = recipe.epochs * len(images)
        snapshots = {
            str(m): _read_state(snapshot_paths[m])[0] for m in recipe.snapshots if m <= seen
        }
        snapshots["raw"] = _on_cpu(network.state_dict())
        return _on_cpu(average), snapshots, record


@contextmanager
def _alone(lock: Path, should_stop: Callable[[], bool]) -> Generator[None]:
    """Hold a lock while the body runs; wait while another process does."""
    waiting = False
    while (file := locked(lock)) is None:
        if should_stop():
            raise TrainingStopped(f"stopped while another process held {lock}")
        if not waiting:
            message = f"another process trains this run; waiting until it frees {lock}"
            print(message, file=sys.stderr)
        waiting = True
        time.sleep(WAIT_SECONDS)
    with file:
        yield


def _on_cpu(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {k: v.detach().cpu().contiguous() for k, v in weights.items()}


def _load_state(
    path: Path, network: nn.Module, average: dict[str, Tensor], optimiser: torch.optim.Adam
) -> dict:
    """Put a saved state back into ``network``, ``average`` and ``optimiser``; its notes."""
    tensors, notes = _read_state(path)
    weights = {k.removeprefix("weights."): v for k, v in tensors.items() if k[:8] == "weights."}
    network.load_state_dict(weights)
    for key in average:
        average[key].copy_(tensors.get(f"average.{key}", weights[key]))
    state: dict[int, dict[str, Tensor]] = {}
    parameters = list(network.parameters())
    for key, value in tensors.items():
        if key.startswith("adam."):
            _, index, name = key.split(".")
            if value.ndim:  # laid out in memory as its parameter, which the fused Adam relies on
                value = torch.empty_like(parameters[int(index)]).copy_(value)
            state.setdefault(int(index), {})[name] = value
    optimiser.load_state_dict(
        {"state": state, "param_groups": optimiser.state_dict()["param_groups"]}
    )
    return notes


def hardware(device: str) -> dict:
    """The kind of machine, without its name: processor family, cores, graphics card."""
    kind = {"machine": platform.machine(), "cores": os.cpu_count(), "device": device}
    if device == "cuda":
        kind["card"] = torch.cuda.get_device_name()
    return kind
