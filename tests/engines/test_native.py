"""The native engine against the definition, evaluated in float64 with explicit loops."""

import contextlib
import math
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from patchmosaic.engines import build_native, dense, native

pytestmark = pytest.mark.skipif(
    not native.available(), reason=f"native engine: {native.unavailable_reason()}"
)

MODES = {
    "zeros": {"boundary": "zeros"},
    "wrapped": {"boundary": "circular", "candidates": "wrapped"},
    "interior": {"boundary": "circular", "candidates": "interior"},
    "zeros-LS": {"boundary": "zeros", "equivariant": False},
    "circular-LS": {"boundary": "circular", "equivariant": False},
}
TIMES = (0.02, 0.1, 0.3, 0.5, 0.7, 1.0)
TOLERANCE = 1e-4  # of the posterior mean, whose values lie in [-1, 1]: the stated error


def alpha_bar(t):
    return math.cos(t / 1.008 * math.pi / 2) ** 2


def images(n, channels, height, width, seed=0):
    """Bytes / 127.5 - 1, with a duplicate and two constant images among them."""
    generator = np.random.default_rng(seed)
    bank = generator.integers(0, 256, (n, channels, height, width)).astype(np.float32) / 127.5 - 1
    if n > 4:
        bank[1], bank[2], bank[3] = bank[0], -1, 1
    return torch.from_numpy(bank)


def on_ground(n, channels, height, width, seed=0):
    """A rectangle of noise on a ground of one colour; one image is ground alone."""
    generator = np.random.default_rng(seed)
    bank = np.empty((n, channels, height, width), np.float32)
    bank[:] = generator.integers(0, 256, (channels, 1, 1))
    for image in bank[1:]:
        rows, cols = (np.sort(generator.integers(0, side + 1, 2)) for side in (height, width))
        inside = image[:, rows[0] : rows[1], cols[0] : cols[1]]
        inside[:] = generator.integers(0, 256, inside.shape)
    return torch.from_numpy(bank / 127.5 - 1)


def noisy(bank, n, t, seed=1):
    """n queries x_t that start from images of the bank."""
    generator = torch.Generator().manual_seed(seed)
    x_0 = bank[torch.randint(len(bank), (n,), generator=generator)]
    z = torch.randn(x_0.shape, generator=generator)
    return math.sqrt(alpha_bar(t)) * x_0 + math.sqrt(1 - alpha_bar(t)) * z


def allowed(size, p, h, boundary, candidates, equivariant):
    """Candidate positions along one axis for a query at p, from the definition."""
    interior = range(h, size - h)
    if not equivariant:
        return [p]
    if boundary == "zeros":
        return list(interior) if p in interior else [p]
    return list(interior) if candidates == "interior" else list(range(size))


def patch(image, row, col, h, boundary):
    """The patch (C, P, P) around a pixel of an image (C, H, W) that is extended at its border."""
    mode = {"zeros": "constant", "circular": "wrap"}[boundary]
    wide = np.pad(image, [(0, 0), (h, h), (h, h)], mode=mode)
    return wide[:, row : row + 2 * h + 1, col : col + 2 * h + 1]


def brute_force(x, bank, a, size, boundary="zeros", candidates="wrapped", equivariant=True):
    """log_max (B, H, W) and posterior mean (B, C, H, W) in float64, one pixel after the other."""
    x, bank, h = x.double().numpy(), bank.double().numpy(), size // 2
    n_queries, _, height, width = x.shape
    keys = np.array(
        [
            [[patch(y, r, c, h, boundary).ravel() for c in range(width)] for r in range(height)]
            for y in bank
        ]
    )
    log_max, mean = np.empty((n_queries, height, width)), np.empty(x.shape)
    for b, row, col in np.ndindex(n_queries, height, width):
        rows, cols = (
            allowed(n, p, h, boundary, candidates, equivariant)
            for n, p in ((height, row), (width, col))
        )
        query = patch(x[b], row, col, h, boundary).ravel()
        some = keys[:, rows][:, :, cols]
        log_weight = -((query - math.sqrt(a) * some) ** 2).sum(-1) / (2 * (1 - a))
        log_max[b, row, col] = log_weight.max()
        weight = np.exp(log_weight - log_weight.max())
        values = bank[:, :, rows][:, :, :, cols]
        mean[b, :, row, col] = (weight[:, None] * values).sum((0, 2, 3)) / weight.sum()
    return torch.from_numpy(log_max), torch.from_numpy(mean)


def mean_of(sums):
    _, weight, weighted_value = sums
    return weighted_value / weight[:, None]


def kernels():
    """The kernel for each instruction set that this CPU has."""
    for variant in native.variants():
        with contextlib.suppress(OSError):  # not compiled
            yield native._open(variant)


@pytest.mark.parametrize("size", [1, 3, 5, 7, 9, 21])
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("shape", [(17, 1, 8, 7), (5, 3, 5, 6), (1, 2, 6, 6)])
@pytest.mark.parametrize("kind", [images, on_ground])
def test_equals_brute_force(kind, shape, mode, size, monkeypatch):
    bank = kind(*shape)
    if mode == "interior" and size > min(shape[2:]):
        with pytest.raises(ValueError, match="fits in"):
            native.posterior_sums(bank[:1], bank, 0.5, size, **MODES[mode])
        return
    for t in (0.02, 0.5, 1.0):
        x = noisy(bank, 1, t)
        log_max, mean = brute_force(x, bank, alpha_bar(t), size, **MODES[mode])
        for kernel in kernels():
            monkeypatch.setattr(native, "_load", lambda kernel=kernel: (kernel, ""))
            sums = native.posterior_sums(x, bank, alpha_bar(t), size, threads=1, **MODES[mode])
            torch.testing.assert_close(mean_of(sums), mean, rtol=0, atol=TOLERANCE)
            torch.testing.assert_close(sums[0], log_max, rtol=2e-6, atol=2e-5)


@pytest.mark.parametrize("candidates", ["wrapped", "interior"])
@pytest.mark.parametrize("size", [5, 9, 17])
@pytest.mark.parametrize("channels", [1, 3])
def test_circular_images_of_full_size(channels, size, candidates):
    """The kernels for images 32 pixels wide, where several shifts share loads and some wrap."""
    bank = on_ground(3, channels, 32, 32)
    x = noisy(bank, 1, 0.5)
    options = {"boundary": "circular", "candidates": candidates}
    found = mean_of(native.posterior_sums(x, bank, alpha_bar(0.5), size, **options))
    variance = 1 - alpha_bar(0.5)
    sums = dense.equivariant_local(
        x.double(), bank.double(), alpha_bar(0.5), variance, size, "circular", candidates
    )
    torch.testing.assert_close(found, sums.mean, rtol=0, atol=TOLERANCE)


# Two at every noise level, and at one the others with a kernel of their own for such images.
FULL_SIZE = [(size, t) for size in (3, 17) for t in TIMES]
FULL_SIZE += [(size, 0.3) for size in (5, 7, 9, 11, 13, 15, 21, 25)]


@pytest.mark.parametrize(("size", "t"), FULL_SIZE)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.slow
def test_error_at_full_size(channels, size, t):
    """200 images of 32 x 32, discs on a flat ground, against float64 at a few pixels."""
    generator = np.random.default_rng(0)
    axis = np.arange(32)
    centre, radius = generator.uniform(6, 26, (200, 2, 1, 1)), generator.uniform(2, 8, (200, 1, 1))
    away = np.hypot(axis[:, None] - centre[:, 0], axis - centre[:, 1])
    tint = generator.uniform(0.3, 1, (200, channels, 1, 1))
    bank = np.rint(255 * tint * np.clip(radius - away, 0, 1)[:, None])
    bank = torch.from_numpy((bank / 127.5 - 1).astype(np.float32))
    x, h = noisy(bank, 1, t, seed=2), size // 2
    whole = mean_of(native.posterior_sums(x, bank, alpha_bar(t), size))
    border = mean_of(native.posterior_sums(x, bank, alpha_bar(t), size, border=True))
    wide = torch.nn.functional.pad(bank.double(), (h, h, h, h))
    for row, col in ((16, 16), (h, 31 - h), (0, 16), (15, 31), (31, 31)):
        rows, cols = (allowed(32, p, h, "zeros", "", True) for p in (row, col))
        query = torch.from_numpy(patch(x[0].double().numpy(), row, col, h, "zeros"))
        squares = torch.zeros(200, len(rows), len(cols), dtype=torch.float64)
        for dy, dx in np.ndindex(size, size):
            pixel = wide[:, :, dy:, dx:][:, :, rows][:, :, :, cols]
            away = query[:, dy, dx, None, None] - math.sqrt(alpha_bar(t)) * pixel
            squares += away.square().sum(1)
        weight = torch.softmax(squares.flatten() / (-2 * (1 - alpha_bar(t))), 0)
        mean = bank.double()[:, :, rows][:, :, :, cols].transpose(0, 1).flatten(1) @ weight
        for found in (whole, border) if 31 in (row, col) or row == 0 else (whole,):
            torch.testing.assert_close(found[0, :, row, col], mean, rtol=0, atol=TOLERANCE)


@pytest.mark.parametrize("mode", MODES)
def test_shards_order_threads_and_bytes_do_not_matter(mode):
    bank, a = images(300, 1, 8, 8), alpha_bar(0.3)
    x = noisy(bank, 19, 0.3)  # not a multiple of the queries a task takes
    whole = native.posterior_sums(x, bank, a, 3, threads=1, **MODES[mode])
    shuffled = native.posterior_sums(x, bank.flip(0), a, 3, threads=2, **MODES[mode])
    as_bytes = ((bank + 1) * 127.5).round().to(torch.uint8)
    from_bytes = native.posterior_sums(x, native.NativeBank(as_bytes), a, 3, **MODES[mode])
    parts = [native.posterior_sums(x, part, a, 3, **MODES[mode]) for part in (bank[:7], bank[7:])]
    log_max = torch.maximum(parts[0][0], parts[1][0])
    scales = [(part[0] - log_max).exp() for part in parts]
    merged = (
        log_max,
        sum(s * part[1] for s, part in zip(scales, parts, strict=True)),
        sum(s[:, None] * part[2] for s, part in zip(scales, parts, strict=True)),
    )
    alone = native.posterior_sums(x[3:4], bank, a, 3, **MODES[mode])
    for other in (shuffled, from_bytes, merged):
        torch.testing.assert_close(other[0], whole[0], rtol=2e-6, atol=2e-5)
        torch.testing.assert_close(mean_of(other), mean_of(whole), rtol=0, atol=2e-5)
    torch.testing.assert_close(mean_of(alone), mean_of(whole)[3:4], rtol=0, atol=2e-5)


@pytest.mark.parametrize("kind", [images, on_ground])
@pytest.mark.parametrize("mode", MODES)
def test_threads_do_not_change_a_bit(mode, kind):
    """With several parts of the bank and of the queries, and more threads than either."""
    bank = kind(4 * native.FEWEST_IMAGES + 5, 1, 6, 6)
    x = noisy(bank, native.QUERIES_A_PART + 3, 0.2)
    one, *others = (
        native.posterior_sums(x, bank, alpha_bar(0.2), 3, threads=threads, **MODES[mode])
        for threads in (1, 2, 7, 7)
    )
    for other in others:
        assert all(map(torch.equal, other, one))


@pytest.mark.parametrize("mode", MODES)
def test_ground_is_counted_and_not_compared(mode):
    """Told that an image is ground alone, the kernel does not look at its pixels."""
    bank = native.NativeBank(on_ground(40, 3, 8, 8))
    rows = (bank.images != bank.ground[:, None, None]).any(1)
    for image, extents in zip(rows, bank.extents.tolist(), strict=True):
        for row, (first, last) in zip(image, extents, strict=True):
            seen = row.nonzero()[:, 0].tolist()
            assert (first, last) == ((min(seen), max(seen) + 1) if seen else (8, 0))
    x = 0.99**0.5 * (bank.images[-1:] / 127.5 - 1)  # the image with the least ground
    true = mean_of(native.posterior_sums(x, bank, 0.99, 3, **MODES[mode]))
    bank.extents[..., 0], bank.extents[..., 1] = 8, 0
    told = mean_of(native.posterior_sums(x, bank, 0.99, 3, **MODES[mode]))
    ground = (bank.ground.double() / 127.5 - 1)[:, None, None].expand_as(told[0])
    torch.testing.assert_close(told[0], ground, rtol=0, atol=1e-6)
    assert (true - told).abs().max() > 0.5


@pytest.mark.parametrize("t", [*TIMES, 1e-3])
def test_one_constant_image_comes_back(t):
    """A single candidate value is the posterior mean, however unlikely: no NaN, no overflow."""
    bank = torch.full((1, 3, 12, 12), 0.25)
    x = 3 * torch.randn(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    for mode in MODES.values():
        sums = native.posterior_sums(x, bank, alpha_bar(t), 5, **mode)
        torch.testing.assert_close(
            mean_of(sums), torch.full_like(x, 0.25).double(), rtol=1e-5, atol=0
        )


def test_neglected_candidates_would_not_have_mattered():
    """One near patch against many far ones, placed where a fixed cutoff would lose them."""
    # 4,096 equal candidates of log-weight -13 relative to the best outweigh 1e-4 of it by far.
    bank = torch.full((4097, 1, 1, 1), 1.0)
    bank[0] = -1
    variance, a = 0.1, 0.9
    shift = 13 * 2 * variance / (4 * math.sqrt(a))  # log-weights differ by 13
    x = torch.full((1, 1, 1, 1), -shift / 2)
    _, mean = brute_force(x, bank, a, 1)
    sums = native.posterior_sums(x, bank, a, 1)
    torch.testing.assert_close(mean_of(sums), mean, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"alpha_bar": 1.0}, "alpha_bar"),
        ({"alpha_bar": 0.0}, "alpha_bar"),
        ({"patch_size": 4}, "patch_size"),
        ({"patch_size": -1}, "patch_size"),
        ({"boundary": "mirror"}, "boundary"),
        ({"x": torch.zeros(1, 3, 8, 8)}, "x is"),
        ({"x": torch.full((1, 1, 8, 8), math.nan)}, "NaN"),
        ({"bank": torch.zeros(0, 1, 8, 8)}, "bank"),
    ],
)
def test_bad_input_is_named(change, match):
    good = {"x": torch.zeros(1, 1, 8, 8), "bank": torch.zeros(2, 1, 8, 8)}
    with pytest.raises(ValueError, match=match):
        native.posterior_sums(**{**good, "alpha_bar": 0.5, "patch_size": 3, **change})


@pytest.mark.parametrize("variant", native.variants())
def test_instruction_set_is_chosen_by_the_environment(variant, monkeypatch):
    """And changes results within rounding alone."""
    bank = images(20, 1, 8, 8)
    x = noisy(bank, 2, 0.3)
    _, mean = brute_force(x, bank, alpha_bar(0.3), 3)
    monkeypatch.setenv(native.INSTRUCTIONS, variant)
    native._load.cache_clear()
    try:
        assert Path(native.library()._name).name == f"_native_{variant}.so"
        found = mean_of(native.posterior_sums(x, bank, alpha_bar(0.3), 3))
    finally:
        native._load.cache_clear()
    torch.testing.assert_close(found, mean, rtol=0, atol=TOLERANCE)


def test_unknown_instruction_set_is_named_with_those_there_are(monkeypatch):
    monkeypatch.setenv(native.INSTRUCTIONS, "sse9")
    native._load.cache_clear()
    here = ", ".join(native.variants())
    match = f"PATCHMOSAIC_INSTRUCTIONS is 'sse9': available on this machine: {here}"
    with pytest.raises(ValueError, match=match):
        native.available()
    native._load.cache_clear()


def test_bank_says_what_it_is():
    assert repr(native.NativeBank(images(5, 3, 8, 7))) == (
        "NativeBank(5 images of 3 x 8 x 7, torch.uint8)"
    )


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """A folder of its own for the engine's files, with native.c and what compiles it."""
    for source in (*build_native.SOURCES, build_native.__file__):
        shutil.copy(source, tmp_path)
    monkeypatch.setattr(native, "__file__", str(tmp_path / "native.py"))
    native._load.cache_clear()
    yield tmp_path
    native._load.cache_clear()


def test_library_of_another_source_is_refused(elsewhere):
    for library in Path(build_native.__file__).parent.glob("_native_*.so"):
        shutil.copy(library, elsewhere)
    assert native.available()
    native._load.cache_clear()
    with (elsewhere / "native.c").open("a") as source:
        source.write("/* a later version */\n")
    with pytest.raises(RuntimeError, match=r"other sources .* again: python .*build_native\.py"):
        native.available()
    (elsewhere / "native.c").unlink()  # nothing to compare with, as where only the library is
    assert native.available()


@pytest.mark.parametrize("says", [True, False], ids=["compiled now", "without a digest"])
@pytest.mark.slow
def test_library_must_say_what_it_was_compiled_from(elsewhere, says):
    """One compiled now is taken; one of an earlier build, which holds no digest, is not."""
    stand_in = '__attribute__((visibility("default"))) int native_accumulate(void) { return 0; }\n'
    (elsewhere / "native.c").write_text(stand_in)
    if not says:
        source = (elsewhere / "build_native.py").read_text()
        renamed = source.replace(build_native.DIGEST_SYMBOL, "another_symbol")
        (elsewhere / "build_native.py").write_text(renamed)
    command = [sys.executable, str(elsewhere / "build_native.py")]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no C compiler: {done.stderr}")
    if says:
        assert native.available()
    else:
        with pytest.raises(RuntimeError, match="compiled from other sources"):
            native.available()
