"""Networks of one's own: any torch module that predicts noise, score, x_0 or v on its own schedule.

Its Python file defines two functions::

    def build() -> torch.nn.Module: ...               # called as module(x_t, time[, labels])
    def time_of(alpha_bar: float) -> float: ...       # the network's time of this noise level

Machines and DDIM know a noise level by alpha_bar alone, so a network that was trained on another
variance-preserving schedule is asked at the time of its own at which alpha_bar is the same. Weights
are safetensors. The file is code, and is only run from the path that the caller gives.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from itertools import pairwise
from numbers import Integral, Real
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_model
from torch import Tensor, nn

from patchmosaic.sampling.schedule import alpha_bar
from patchmosaic.system.own_code import code_of, described, function_of, in_one_line, run_file
from patchmosaic.system.records import RecordError

PREDICTIONS = ("noise", "score", "x0", "v")
PROBE_TIMES = (1.0, 0.8, 0.6, 0.4, 0.2, 0.05)
PROBE_IMAGES = 32
SCHEDULE_POINTS = 1000  # times at which time_of is tried: all that a reverse process may visit


class OwnNetwork(nn.Module):
    """An own network with this project's calling convention: it predicts noise at t in [0, 1].

    Args:
        module: called as ``module(x_t, time)``, or ``module(x_t, time, labels)`` where labels are
            given, with float32 x_t (B, C, H, W) and times (B,): int64 where ``time_of`` gives
            integers, else float32. Gives float32 (B, C, H, W).
        time_of: maps alpha_bar, a float in (0, 1), to the module's own time.
        predicts: what the module gives, one of PREDICTIONS.
        path: of its Python file, for messages.
    """

    def __init__(
        self, module: nn.Module, time_of: Callable[[float], float], predicts: str, path: Path
    ) -> None:
        super().__init__()
        if predicts not in PREDICTIONS:
            raise RecordError(
                f"{path}: predicts is {predicts!r}: choose one of {', '.join(PREDICTIONS)}"
            )
        self.module, self.time_of, self.predicts, self.path = module, time_of, predicts, path

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
        found = self.module(x_t, times) if labels is None else self.module(x_t, times, labels)
        if not isinstance(found, Tensor):
            raise RecordError(
                f"{self.path}: the module gives a {type(found).__name__}: expected a tensor"
            )
        if found.shape != x_t.shape or found.dtype != x_t.dtype:
            raise RecordError(
                f"{self.path}: the module gives {described(found)} for x_t of {described(x_t)}: "
                "expected the same"
            )
        return implied_noise(self.predicts, found, x_t, a_bar)


def implied_noise(predicts: str, found: Tensor, x_t: Tensor, a_bar: Tensor) -> Tensor:
    """The noise z in x_t = sqrt(a_bar) x_0 + sqrt(1 - a_bar) z that a prediction implies.

    Args:
        predicts: "noise", z; "score", -z / sqrt(1 - a_bar); "x0"; or "v",
            sqrt(a_bar) z - sqrt(1 - a_bar) x_0 (Salimans and Ho 2022, appendix D).
        found: the prediction, (B, C, H, W).
        x_t: (B, C, H, W).
        a_bar: float64 (B,), each in (0, 1).
    """
    signal, sigma = (v.sqrt().to(x_t.dtype)[:, None, None, None] for v in (a_bar, 1 - a_bar))
    match predicts:
        case "score":
            return -sigma * found
        case "x0":
            return (x_t - signal * found) / sigma
        case "v":
            return signal * found + sigma * x_t
    return found


def load_own(
    module: Path, weights: Path, predicts: str, module_sha256: str | None = None
) -> OwnNetwork:
    """Run an own network's Python file, build the network and load its weights; evaluation mode.

    Args:
        module: the Python file, which is run.
        weights: a safetensors file of the module's state_dict.
        predicts: one of PREDICTIONS.
        module_sha256: of the Python file; one with another digest is not run.

    Raises:
        RecordError: naming the file and what is wrong with it.
    """
    code = run_file(module, module_sha256)
    functions = {name: function_of(code, module, name) for name in ("build", "time_of")}
    with code_of(module, "build()"):
        network = functions["build"]()
    if not isinstance(network, nn.Module):
        raise RecordError(
            f"{module}: build() gives a {type(network).__name__}: expected a torch.nn.Module"
        )
    try:
        load_model(network, weights)
    except (SafetensorError, OSError) as error:
        raise RecordError(
            f"{weights}: not readable as safetensors ({error}); write it with "
            "safetensors.torch.save_file(network.state_dict(), path)"
        ) from None
    except RuntimeError as error:
        raise RecordError(
            f"{weights}: the weights do not fit build() of {module}: {in_one_line(error)}"
        ) from None
    return OwnNetwork(network, functions["time_of"], predicts, module).eval()


def probe(network: OwnNetwork, images: Tensor, labels: Tensor | None) -> dict[float, float]:
    """Ask an own network about noisy images, so that one that cannot be used is found at once.

    Args:
        network: as :func:`load_own` gives it.
        images: float32 (N, C, H, W) in [-1, 1], N at least 1.
        labels: int64 (N,), or None for an unconditional network.

    Returns:
        At each of PROBE_TIMES the mean squared error of the predicted noise. To predict 0 has an
        error of 1; a warning names the times at which the network is worse than that.

    Raises:
        RecordError: where ``time_of`` is not monotone; where the module fails, gives another
            shape or type, or no finite numbers; where an image's prediction changes with the
            others of its batch, or from call to call; where there is no gradient to the input.
    """
    _check_times(network)
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    errors = {}
    for t in PROBE_TIMES:
        x_t = math.sqrt(alpha_bar(t)) * images + math.sqrt(1 - alpha_bar(t)) * noise
        with torch.no_grad():
            predicted = _ask(network, x_t, t, labels)
            first = _ask(network, x_t[:1], t, None if labels is None else labels[:1])
        if not predicted.isfinite().all():
            raise RecordError(f"{network.path}: at t = {t:g} the prediction is not finite")
        if not torch.allclose(first, predicted[:1], rtol=1e-2, atol=1e-3):
            raise RecordError(
                f"{network.path}: at t = {t:g} the prediction of an image alone is not that of the "
                "same image among others: in evaluation mode nothing may be random (dropout) or "
                "depend on the batch"
            )
        errors[t] = float((predicted - noise).square().mean())
    if not _ask(network, x_t.requires_grad_(), t, labels).requires_grad:
        raise RecordError(
            f"{network.path}: the prediction has no gradient to x_t, which input gradients need; "
            "remove no_grad and detach"
        )
    worse = {t: error for t, error in errors.items() if error > 1}
    if worse:
        found = ", ".join(f"{error:.3g} at t = {t:g}" for t, error in worse.items())
        warnings.warn(
            f"{network.path}: the predicted noise has a mean squared error of {found}; 1 is that "
            "of predicting none. Are predicts, time_of and the range of pixels, [-1, 1], right?",
            stacklevel=2,
        )
    return errors


def _ask(network: OwnNetwork, x_t: Tensor, t: float, labels: Tensor | None) -> Tensor:
    with code_of(network.path, f"the module, called with x_t of {described(x_t)},"):
        return network(x_t, torch.full((len(x_t),), t), labels)


def _check_times(network: OwnNetwork) -> None:
    levels = [alpha_bar(i / SCHEDULE_POINTS) for i in range(1, SCHEDULE_POINTS + 1)]
    times = [network.own_time(level) for level in levels]
    up, down = (all(sign * (b - a) >= 0 for a, b in pairwise(times)) for sign in (1, -1))
    if up == down:  # constant, or neither
        raise RecordError(
            f"{network.path}: time_of goes from {times[-1]:g} at alpha_bar = {levels[-1]:.2g} to "
            f"{times[0]:g} at {levels[0]:.6f} and is not monotone between; a noise level has one "
            "time"
        )
