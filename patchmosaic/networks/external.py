"""External networks: any torch module that predicts noise, score, x_0, v or the velocity of a flow.

Its Python file defines two functions::

    def build() -> torch.nn.Module: ...               # called as module(x, time[, labels])
    def time_of(alpha_bar: float) -> float: ...       # the network's time of this noise level

Machines and DDIM know a noise level by alpha_bar alone, so a network that was trained on another
variance-preserving schedule is asked at the time of its own at which alpha_bar is the same. Weights
are safetensors. The file is code, and is only run from the path that the caller gives.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, load_model
from torch import Tensor, nn

from patchmosaic.networks.registry import DIRECTIONS, PREDICTIONS
from patchmosaic.sampling.schedule import alpha_bar
from patchmosaic.system.own_code import code_of, described, function_of, in_one_line, run_file
from patchmosaic.system.records import RecordError

Level = TypeVar("Level", float, Tensor)


@dataclass(frozen=True)
class Running:
    """Where and how a module is run: a device of torch, one of PRECISIONS, images at once.

    Without a device it runs where it is moved to, and is asked there.
    """

    device: str | None = None
    precision: str = "float32"
    batch: int = 256


AS_IT_IS = Running()


class ExternalNetwork(nn.Module):
    """An external network with this project's calling convention: it predicts noise at t in [0, 1].

    Args:
        module: called as ``module(x, time)``, or ``module(x, time, labels)`` where labels are
            given, with float32 x (B, C, H, W) and times (B,): int64 where ``time_of`` gives
            integers, else float32. Gives float32 (B, C, H, W). x is x_t, except for a flow.
        time_of: maps alpha_bar, a float in (0, 1), to the module's own time.
        predicts: what the module gives, one of PREDICTIONS.
        path: of its Python file or folder, for messages.
        direction: of a flow, one of DIRECTIONS; see :func:`implied_noise`.
        running: where and how the module is run.
    """

    def __init__(
        self,
        module: nn.Module,
        time_of: Callable[[float], float],
        predicts: str,
        path: Path,
        direction: str | None = None,
        running: Running = AS_IT_IS,
    ) -> None:
        super().__init__()
        if predicts not in PREDICTIONS:
            raise RecordError(
                f"{path}: predicts is {predicts!r}: choose one of {', '.join(PREDICTIONS)}"
            )
        if (predicts == "flow") != (direction in DIRECTIONS):
            raise RecordError(
                f"{path}: predicts is {predicts} and direction {direction!r}: a flow needs one of "
                f"{', '.join(DIRECTIONS)}, others none"
            )
        if running.device and not _is_there(running.device):
            raise RecordError(f"{path}: device is {running.device!r}, which is not on this machine")
        self.module, self.time_of, self.predicts, self.path = module, time_of, predicts, path
        self.direction, self.running = direction, running
        if running.device:
            self.module.to(running.device)

    def to(self, *args: Any, **kwargs: Any) -> ExternalNetwork:
        """Moved as torch's modules are, unless it is told where to run."""
        return self if self.running.device else super().to(*args, **kwargs)

    def own_time(self, a_bar: float) -> float:
        """The module's time of a noise level; raises RecordError where it is no number."""
        with code_of(self.path, f"time_of({a_bar:g})"):
            time = self.time_of(a_bar)
        if not isinstance(time, Real) or not math.isfinite(time):
            raise RecordError(
                f"{self.path}: time_of({a_bar:g}) gives {time!r}: expected a finite number"
            )
        # Plain numbers, whatever library they come from: the tensor has the type that is stated.
        return int(time) if isinstance(time, Integral) else float(time)

    def forward(self, x_t: Tensor, t: Tensor, labels: Tensor | None = None) -> Tensor:
        """The predicted noise (B, C, H, W) at times (B,) of this project's schedule."""
        a_bar = alpha_bar(t.double())  # (B,)
        times = torch.tensor([self.own_time(level) for level in a_bar.tolist()], device=x_t.device)
        x = flow_input(x_t, a_bar) if self.predicts == "flow" else x_t
        found = self.ask(x, times, labels)
        return implied_noise(self.predicts, found, x_t, a_bar, self.direction)

    def ask(self, x: Tensor, times: Tensor, labels: Tensor | None) -> Tensor:
        """What the module gives, (B, C, H, W) as x, which is as the module wants it.

        Raises RecordError for a result of another kind, shape or type.
        """
        size, device = self.running.batch, torch.device(self.running.device or x.device)
        parts = []
        for first in range(0, len(x), size):
            given = [v for v in (x, times, labels) if v is not None]
            if len(x) > size:
                given = [v[first : first + size] for v in given]
            with self._precision(device):
                found = self.module(*(v.to(device) for v in given))
            if not isinstance(found, Tensor):
                raise RecordError(
                    f"{self.path}: the module gives a {type(found).__name__}: expected a tensor"
                )
            if self.running.precision != "float32":
                found = found.to(x.dtype)
            if found.shape != given[0].shape or found.dtype != x.dtype:
                twice = found.ndim == 4 and found.shape[1] == 2 * x.shape[1]
                cure = "; of a learned variance, return the first half of the channels alone"
                raise RecordError(
                    f"{self.path}: the module gives {described(found)} for x_t of "
                    f"{described(given[0])}: expected the same{cure if twice else ''}"
                )
            parts.append(found.to(x.device))
        return torch.cat(parts) if len(parts) > 1 else parts[0]

    def _precision(self, device: torch.device) -> AbstractContextManager:
        if self.running.precision == "float32":
            return nullcontext()
        return torch.autocast(device.type, getattr(torch, self.running.precision))


def _is_there(device: str) -> bool:
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError):
        return False
    return True


def flow_time(a_bar: Level) -> Level:
    """The share s of noise in x = (1 - s) x_0 + s z at the same ratio of noise to image."""
    root = (1 - a_bar) ** 0.5
    return root / (root + a_bar**0.5)


def flow_input(x_t: Tensor, a_bar: Tensor) -> Tensor:
    """x = (1 - s) x_0 + s z of a flow, from x_t (B, C, H, W) at a_bar (B,)."""
    factor = 1 / (a_bar.sqrt() + (1 - a_bar).sqrt())
    return x_t * factor.to(x_t.dtype)[:, None, None, None]


def implied_noise(
    predicts: str, found: Tensor, x_t: Tensor, a_bar: Tensor, direction: str | None = None
) -> Tensor:
    """The noise z in x_t = sqrt(a_bar) x_0 + sqrt(1 - a_bar) z that a prediction implies.

    Args:
        predicts: "noise", z; "score", -z / sqrt(1 - a_bar); "x0"; "v",
            sqrt(a_bar) z - sqrt(1 - a_bar) x_0 (Salimans and Ho 2022, appendix D); or "flow", the
            velocity of x = (1 - s) x_0 + s z (Lipman et al. 2023), "to_noise" z - x_0 or
            "to_image" x_0 - z.
        found: the prediction, (B, C, H, W).
        x_t: (B, C, H, W).
        a_bar: float64 (B,), each in (0, 1).
        direction: of a flow, one of DIRECTIONS.
    """
    signal, sigma = (v.sqrt().to(x_t.dtype)[:, None, None, None] for v in (a_bar, 1 - a_bar))
    match predicts:
        case "score":
            return -sigma * found
        case "x0":
            return (x_t - signal * found) / sigma
        case "v":
            return signal * found + sigma * x_t
        case "flow":
            velocity = found if direction == "to_noise" else -found
            return (x_t + signal * velocity) / (signal + sigma)
    return found


def load_external(
    module: Path,
    weights: Path,
    predicts: str,
    module_sha256: str | None = None,
    direction: str | None = None,
    running: Running = AS_IT_IS,
) -> ExternalNetwork:
    """Run an external network's Python file, build it and load its weights; evaluation mode.

    A flow without ``time_of`` is asked at its s: 0 is the image where it runs to the noise, and
    the noise where it runs to the image.

    Args:
        module: the Python file, which is run.
        weights: a safetensors file of the module's state_dict.
        predicts: one of PREDICTIONS.
        module_sha256: of the Python file; one with another digest is not run.
        direction: of a flow, one of DIRECTIONS.
        running: where and how it is run.

    Raises:
        RecordError: naming the file and what is wrong with it.
    """
    code = run_file(module, module_sha256)
    functions: dict[str, Callable] = {}
    for name in ("build", "time_of"):
        if name == "time_of" and predicts == "flow" and not hasattr(code, name):
            functions[name] = flow_time if direction == "to_noise" else lambda a: 1 - flow_time(a)
        else:
            functions[name] = function_of(code, module, name)
    with code_of(module, "build()"):
        network = functions["build"]()
    if not isinstance(network, nn.Module):
        raise RecordError(
            f"{module}: build() gives a {type(network).__name__}: expected a torch.nn.Module"
        )
    load_weights(network, weights, f"build() of {module}")
    return ExternalNetwork(
        network, functions["time_of"], predicts, module, direction, running
    ).eval()


def load_weights(network: nn.Module, weights: Path, what: str) -> None:
    """Load a safetensors file into a network; raises RecordError naming the file and ``what``."""
    try:
        load_model(network, weights)
    except (SafetensorError, OSError) as error:
        raise RecordError(
            f"{weights}: not readable as safetensors ({error}); write it with "
            "safetensors.torch.save_file(network.state_dict(), path)"
        ) from None
    except RuntimeError as error:
        reason = _prefix(network, weights) or in_one_line(error)
        raise RecordError(f"{weights}: the weights do not fit {what}: {reason}") from None


def _prefix(network: nn.Module, weights: Path) -> str | None:
    """What to say where the names of weights would fit without, or with, what they begin with."""
    wanted, there = set(network.state_dict()), set(load_file(weights))
    parts = {key[: i + 1] for key in there | wanted for i, c in enumerate(key) if c == "."}
    for prefix in sorted(parts, key=len):
        inner = {key.removeprefix(prefix) for key in there if key.startswith(prefix)}
        if wanted <= inner:
            which = "all" if len(inner) == len(there) else f"{len(inner)} of {len(there)}"
            return (
                f"{which} names begin with {prefix!r} and would fit without it; save "
                f"{{k.removeprefix({prefix!r}): v for k, v in state.items() if "
                f"k.startswith({prefix!r})}}"
            )
        if {key.removeprefix(prefix) for key in wanted} == there:
            return (
                f"they would fit with {prefix!r} before each name; save "
                f"{{{prefix!r} + k: v for k, v in state.items()}}"
            )
    return None
