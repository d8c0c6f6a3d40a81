"""Questions to an external network: whether it can be used, and is what it is said to be.

What is declared of a network (what it predicts, how it tells the time, the range of its pixels) is
held against other usual declarations on noisy training images: the one that is right has the
smallest error of x_0.
"""

from __future__ import annotations

import math
import platform
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from patchmosaic.datasets.banks import require_classes
from patchmosaic.datasets.images import Images, to_float
from patchmosaic.networks.external import ExternalNetwork, flow_time
from patchmosaic.sampling.schedule import alpha_bar
from patchmosaic.system.own_code import code_of, described
from patchmosaic.system.records import RecordError

PROBE_TIMES = (1.0, 0.8, 0.6, 0.4, 0.2, 0.05)
PROBE_IMAGES = 32
SCHEDULE_POINTS = 1000  # times at which time_of is tried: all that a reverse process may visit

COMPARED_TIMES = (0.8, 0.6, 0.4, 0.2, 0.1)  # noise levels at which declarations are compared
COMPARED_IMAGES = 8
CLEARLY = 0.75  # another declaration's error in terms of the declared one's
OF_LINEAR = 0.9  # and in terms of the best linear guess's: it has to know something of the images
BOUNDS = (1e-2, 1e2)  # of an error in terms of the linear guess's: beyond, no better and no worse
ROUNDING = 0.03  # root mean square, in terms of the prediction's, that half precision explains

Levels = dict[float, float]


@dataclass(frozen=True)
class Declaration:
    """What may be said of a network, and how well it fits.

    predicts: as a network's, with "minus" before it for the other sign. time, pixels, input: in
    words. errors: at each of COMPARED_TIMES the mean squared error of x_0, as a fraction of the
    best linear guess's; infinite where the network cannot be asked so. error: their geometric mean.
    """

    predicts: str
    time: str
    pixels: str
    input: str
    errors: tuple[float, ...]

    @property
    def error(self) -> float:
        """The geometric mean of the errors, each within BOUNDS."""
        return float(np.exp(np.log(np.clip(self.errors, *BOUNDS)).mean()))

    def row(self) -> dict[str, object]:
        """For a record: the declaration, its errors and their mean."""
        finite = [e if math.isfinite(e) else None for e in self.errors]
        return {**asdict(self), "errors": finite, "error": self.error}

    def differences(self, other: Declaration) -> str:
        """What another declaration says otherwise, in words."""
        keys = ("predicts", "time", "pixels", "input")
        return ", ".join(
            f"{key}: {getattr(other, key)}"
            for key in keys
            if getattr(self, key) != getattr(other, key)
        )


def examined_record(
    network: ExternalNetwork,
    images: Images,
    conditional: str | None,
    dataset: str,
    source: Mapping[str, object],
    **versions: str,
) -> dict[str, object]:
    """The record of an external network: what it is, and what :func:`examine` finds.

    Args:
        network: any external network.
        images: prepared training images, of which it is asked about the first PROBE_IMAGES.
        conditional: for a class-conditional network, what to call it where classes are missing.
        dataset: the images' name in the config.
        source: what brings the network back, beside `predicts` and `running`, for its record.
        versions: of libraries, beside Python's and torch's.
    """
    labels = None
    if conditional is not None:
        labels = torch.from_numpy(require_classes(images, conditional)[:PROBE_IMAGES])
    return {
        "external": {**source, "predicts": network.predicts, "running": asdict(network.running)},
        "dataset": dataset,
        "probed_images_sha256": images.digest,
        **examine(network, to_float(images.images[:PROBE_IMAGES]), labels),
        "images_seen": None,
        "versions": {"python": platform.python_version(), "torch": torch.__version__} | versions,
    }


def examine(network: ExternalNetwork, images: Tensor, labels: Tensor | None) -> dict[str, object]:
    """What :func:`probe` and :func:`compare_declarations` find, for the record of a network.

    Warns where another declaration fits clearly better. Arguments and errors are `probe`'s.
    """
    errors = probe(network, images, labels)
    declarations = compare_declarations(network, images, labels)
    warn_of_better(network, declarations)
    return {
        "noise_errors": [{"t": t, "mean_squared_error": e} for t, e in errors.items()],
        "declarations": {
            "t": COMPARED_TIMES,
            "tried": [d.row() for d in declarations if math.isfinite(sum(d.errors))],
        },
    }


def probe(network: ExternalNetwork, images: Tensor, labels: Tensor | None) -> Levels:
    """Ask an external network about noisy images, so that one that cannot be used is found at once.

    Args:
        network: any external network.
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
    noise = _noise(images)
    errors, rounding = {}, 0.0
    for t in PROBE_TIMES:
        x_t = math.sqrt(alpha_bar(t)) * images + math.sqrt(1 - alpha_bar(t)) * noise
        with torch.no_grad():
            predicted = _ask(network, x_t, t, labels)
            first = _ask(network, x_t[:1], t, None if labels is None else labels[:1])
        if not predicted.isfinite().all():
            raise RecordError(f"{network.path}: at t = {t:g} the prediction is not finite")
        if not torch.allclose(first, predicted[:1], rtol=1e-2, atol=1e-3):
            scale = predicted[:1].square().mean().sqrt()
            found = float((first - predicted[:1]).square().mean().sqrt() / scale)
            if found > ROUNDING or not _computes_in_half(network, x_t, t, labels):
                raise RecordError(
                    f"{network.path}: at t = {t:g} the prediction of an image alone is not that of "
                    "the same image among others: in evaluation mode nothing may be random "
                    "(dropout) or depend on the batch"
                )
            rounding = max(rounding, found)
        errors[t] = float((predicted - noise).square().mean())
    if not _ask(network, x_t.requires_grad_(), t, labels).requires_grad:
        raise RecordError(
            f"{network.path}: the prediction has no gradient to x_t, which input gradients need; "
            "remove no_grad and detach"
        )
    if rounding:
        asked_for = network.running.precision != "float32"
        of_half = "as precision says" if asked_for else "by casts within the module"
        warnings.warn(
            f"{network.path}: the prediction of an image changes by {rounding:.1%} with the others "
            f"of its batch: rounding of half precision {of_half}; without it results would not "
            "depend on the batch",
            stacklevel=2,
        )
    worse = {t: error for t, error in errors.items() if error > 1}
    if worse:
        them = ", ".join(f"{error:.3g} at t = {t:g}" for t, error in worse.items())
        warnings.warn(
            f"{network.path}: the predicted noise has a mean squared error of {them}; 1 is that "
            "of predicting none. Are predicts, time_of and the range of pixels, [-1, 1], right?",
            stacklevel=2,
        )
    return errors


def _computes_in_half(
    network: ExternalNetwork, x_t: Tensor, t: float, labels: Tensor | None
) -> bool:
    """Whether some layer of the module gives half precision, or the running asks for it."""
    if network.running.precision != "float32":
        return True
    seen: set[torch.dtype] = set()

    def look(_module: object, _given: object, found: object) -> None:
        seen.update({found.dtype} if isinstance(found, Tensor) else ())

    hooks = [part.register_forward_hook(look) for part in network.module.modules()]
    with torch.no_grad():
        given = _ask(network, x_t[:1], t, None if labels is None else labels[:1])
    for hook in hooks:
        hook.remove()
    coarse = any(
        torch.equal(given, given.to(h).to(given.dtype)) for h in (torch.bfloat16, torch.half)
    )
    return coarse or bool(seen & {torch.bfloat16, torch.float16})


# ---------------------------------------------------------------------------- other declarations


def compare_declarations(
    network: ExternalNetwork, images: Tensor, labels: Tensor | None
) -> list[Declaration]:
    """The declared description of a network, first, and other usual ones, by their errors of x_0.

    Other predictions are tried with every time, every range of pixels and every scale of the input
    that is tried; each of these is otherwise as declared. Images and noise are the same for all.

    Args:
        network: any external network; it runs where it is.
        images: float32 (N, C, H, W) in [-1, 1]; the first COMPARED_IMAGES are used.
        labels: int64 (N,), or None for an unconditional network.
    """
    x_0 = images[:COMPARED_IMAGES].double()
    labels = None if labels is None else labels[: len(x_0)]
    noise = _noise(images)[: len(x_0)].double()
    found: list[Declaration] = []
    for time, time_of, pixels, scale in _askings(network):
        outputs = _outputs(network, x_0, noise, labels, time_of, pixels, scale)
        for predicts in READINGS:
            errors = [
                _x0_error(predicts, output, x_0, noise, alpha_bar(t), pixels, scale)
                / _linear_error(x_0, alpha_bar(t), PIXELS[pixels][0])
                for output, t in zip(outputs, COMPARED_TIMES, strict=True)
            ]
            found.append(Declaration(predicts, time, pixels, scale, tuple(errors)))
    sign = "minus " if network.direction == "to_image" else ""
    declared = next(d for d in found if d.predicts == f"{sign}{network.predicts}")
    others = sorted((d for d in found if d is not declared), key=lambda d: d.error)
    return [declared, *others]


def better_declaration(found: list[Declaration]) -> Declaration | None:
    """The best of the others where it fits clearly better than the declared one, which is first.

    That is: its error is below CLEARLY times the declared one's and OF_LINEAR times the linear
    guess's, and it is smaller at all noise levels but one at most.
    """
    declared, *others = found
    best = min(others, key=lambda d: d.error)
    smaller = sum(b < d for b, d in zip(best.errors, declared.errors, strict=True))
    is_better = best.error < min(CLEARLY * declared.error, OF_LINEAR)
    return best if is_better and smaller >= len(COMPARED_TIMES) - 1 else None


def warn_of_better(network: ExternalNetwork, found: list[Declaration]) -> None:
    """Warn where another declaration than the network's, which is first, fits clearly better."""
    if best := better_declaration(found):
        warnings.warn(
            f"{network.path}: as declared, the error of x_0 on noisy training images is "
            f"{found[0].error:.2g} of that of the best linear guess; with "
            f"{found[0].differences(best)} it is {best.error:.2g}. Is the declaration right? The "
            "record has all that was tried, under declarations",
            stacklevel=2,
        )


PIXELS = {"[-1, 1]": (1.0, 0.0), "[0, 1]": (0.5, 0.5), "[0, 255]": (127.5, 127.5)}
"""Ranges of pixels, as (factor, offset) on ours."""

READINGS = ("noise", "score", "x0", "v", "flow", "minus noise", "minus v", "minus flow")

VARIANCE_PRESERVING, VARIANCE_EXPLODING, FLOW = "x_t", "x0 + sigma noise", "(1 - s) x0 + s noise"


def _input_factors(scale: str, a_bar: float) -> tuple[float, float]:
    """(alpha, beta) of an input alpha x_0 + beta z at the noise level of a_bar."""
    if scale == VARIANCE_EXPLODING:
        return 1.0, math.sqrt((1 - a_bar) / a_bar)
    if scale == FLOW:
        return 1 - flow_time(a_bar), flow_time(a_bar)
    return math.sqrt(a_bar), math.sqrt(1 - a_bar)


def _x0_error(
    predicts: str,
    output: Tensor | None,
    x_0: Tensor,
    noise: Tensor,
    a_bar: float,
    pixels: str,
    scale: str,
) -> float:
    """Mean squared error of the x_0 that an output implies, with x_0 in [-1, 1]."""
    if output is None:
        return math.inf
    factor, offset = PIXELS[pixels]
    own = factor * x_0 + offset
    alpha, beta = _input_factors(scale, a_bar)
    x = alpha * own + beta * noise
    sign, predicts = (-1, predicts[6:]) if predicts.startswith("minus ") else (1, predicts)
    given = sign * output
    match predicts:
        case "noise":
            implied = (x - beta * given) / alpha
        case "score":
            implied = (x + beta**2 * given) / alpha
        case "v":
            norm = math.hypot(alpha, beta)
            implied = (alpha * x / norm - beta * given) / norm
        case "flow":
            implied = (x - beta * given) / (alpha + beta)
        case _:
            implied = given
    return float(((implied - own) / factor).square().mean().nan_to_num(math.inf))


def _linear_error(x_0: Tensor, a_bar: float, factor: float) -> float:
    """Mean squared error of the best guess of x_0 that is linear in each pixel alone.

    factor: of the pixels that the noise is added to, in terms of x_0.
    """
    variance, noise = float((x_0 - x_0.mean()).square().mean()), (1 - a_bar) / factor**2
    return variance * noise / (a_bar * variance + noise) + 1e-12


def _outputs(
    network: ExternalNetwork,
    x_0: Tensor,
    noise: Tensor,
    labels: Tensor | None,
    time_of: Callable[[float], float],
    pixels: str,
    scale: str,
) -> list[Tensor | None]:
    """What the module gives at each of COMPARED_TIMES, float64; None where it fails."""
    factor, offset = PIXELS[pixels]
    outputs: list[Tensor | None] = []
    for t in COMPARED_TIMES:
        alpha, beta = _input_factors(scale, alpha_bar(t))
        x = (alpha * (factor * x_0 + offset) + beta * noise).float()
        try:
            times = torch.full((len(x),), time_of(alpha_bar(t)))
            with torch.no_grad():
                outputs.append(network.ask(x, times, labels).double())
        except Exception:  # of somebody's module, at a time that it is not made for
            outputs.append(None)
    return outputs


Asking = tuple[str, Callable[[float], float], str, str]


def _askings(network: ExternalNetwork) -> Iterator[Asking]:
    """Ways to ask a network: (time in words, time of a_bar, pixels, scale of the input).

    The first is the declared one. Times that are the declared ones, or others' before, are left
    out; all are integers where those of time_of are.
    """
    own_scale = FLOW if network.predicts == "flow" else VARIANCE_PRESERVING
    declared = network.own_time
    yield "as declared", declared, "[-1, 1]", own_scale
    levels = [alpha_bar(t) for t in COMPARED_TIMES]
    whole = all(isinstance(declared(level), int) for level in levels)
    seen = [[float(declared(level)) for level in levels]]
    for pixels in ("[0, 1]", "[0, 255]"):
        yield "as declared", declared, pixels, own_scale
    for scale in (VARIANCE_PRESERVING, VARIANCE_EXPLODING, FLOW):
        if scale != own_scale:
            yield "as declared", declared, "[-1, 1]", scale
    for name, time_of, goes_with in _usual_times(network):
        asked = _rounded(time_of) if whole else time_of
        try:
            times = [float(asked(level)) for level in levels]
        except (ValueError, OverflowError, ZeroDivisionError):
            continue
        new = [
            not np.allclose(times, other, rtol=1e-3, atol=1e-3 * (np.ptp(other) + 1e-9))
            for other in seen
        ]
        if all(new) or (goes_with and goes_with != own_scale):
            seen.append(times)
            yield name, asked, "[-1, 1]", goes_with or own_scale


def _rounded(time_of: Callable[[float], float]) -> Callable[[float], float]:
    return lambda a: round(time_of(a))


UsualTime = tuple[str, Callable[[float], float], str | None]


def _usual_times(network: ExternalNetwork) -> Iterator[UsualTime]:
    """Times that networks are told: by name, of a_bar, and the scale of input that goes along."""
    declared = network.own_time
    ends = declared(alpha_bar(1.0)), declared(1 - 1e-6)
    yield "declared x 1000", lambda a: declared(a) * 1000, None
    yield "declared / 1000", lambda a: declared(a) / 1000, None
    yield "declared, reversed", lambda a: sum(ends) - declared(a), None
    yield "declared, squared", lambda a: declared(a) ** 2, None
    yield "root of the declared", lambda a: math.sqrt(declared(a)), None
    yield "1 - declared", lambda a: 1 - declared(a), None
    yield "declared -1", lambda a: declared(a) - 1, None
    yield "declared +1", lambda a: declared(a) + 1, None
    for name, levels in TABLES.items():
        yield from _times_of_table(f"index in the {name} table", levels)
    yield "alpha_bar", lambda a: a, None
    yield "root of alpha_bar", math.sqrt, None
    yield "1 - alpha_bar", lambda a: 1 - a, None
    yield "root of 1 - alpha_bar", lambda a: math.sqrt(1 - a), None
    for scale in (VARIANCE_PRESERVING, VARIANCE_EXPLODING):
        yield "sigma", _sigma, scale
        yield "log sigma", lambda a: math.log(_sigma(a)), scale
        yield "log sigma / 4", lambda a: math.log(_sigma(a)) / 4, scale
    yield "log of signal to noise", lambda a: -2 * math.log(_sigma(a)), None
    for scale in (VARIANCE_PRESERVING, FLOW):
        yield "s of a flow", flow_time, scale
        yield "1 - s of a flow", lambda a: 1 - flow_time(a), scale
        yield "1000 s of a flow", lambda a: 1000 * flow_time(a), scale
    yield "t of this project", lambda a: math.acos(math.sqrt(a)) * 2 / math.pi * 1.008, None


def _times_of_table(name: str, levels: np.ndarray) -> Iterator[UsualTime]:
    last = len(levels) - 1

    def index(a_bar: float) -> float:
        return float(np.interp(a_bar, levels[::-1], np.arange(len(levels))[::-1]))

    yield name, index, None
    yield f"{name} / 1000", lambda a: index(a) / 1000, None
    yield f"{last} - {name}", lambda a: last - index(a), None


def _sigma(a_bar: float) -> float:
    return math.sqrt((1 - a_bar) / a_bar)


def _tables() -> dict[str, np.ndarray]:
    """alpha_bar at the 1000 integer times of the usual tables of betas."""
    steps = np.arange(1001) / 1000
    cosine = np.cos((steps + 0.008) / 1.008 * np.pi / 2) ** 2
    return {
        "linear": np.cumprod(1 - np.linspace(1e-4, 0.02, 1000)),  # Ho et al. 2020
        "scaled linear": np.cumprod(1 - np.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2),
        # Nichol and Dhariwal 2021
        "cosine": np.cumprod(1 - np.minimum(1 - cosine[1:] / cosine[:-1], 0.999)),
    }


TABLES = _tables()


def _noise(images: Tensor) -> Tensor:
    return torch.randn(images.shape, generator=torch.Generator().manual_seed(0))


def _ask(network: ExternalNetwork, x_t: Tensor, t: float, labels: Tensor | None) -> Tensor:
    with code_of(network.path, f"the module, called with x_t of {described(x_t)},"):
        return network(x_t, torch.full((len(x_t),), t), labels)


def _check_times(network: ExternalNetwork) -> None:
    levels = [alpha_bar(i / SCHEDULE_POINTS) for i in range(1, SCHEDULE_POINTS + 1)]
    times = [network.own_time(level) for level in levels]
    up, down = (all(sign * (b - a) >= 0 for a, b in pairwise(times)) for sign in (1, -1))
    if up == down:  # constant, or neither
        raise RecordError(
            f"{network.path}: time_of goes from {times[-1]:g} at alpha_bar = {levels[-1]:.2g} to "
            f"{times[0]:g} at {levels[0]:.6f} and is not monotone between; a noise level has one "
            "time"
        )
