"""Is C worth a compiler? The inner loop of ELS in numba against the native engine, on one thread.

The numba kernel does what native.c does (broken boundary, gray): tiles of 16 images, window sums
that share a core, skip, polynomial exponential, and sums a lane. numba has no vector types, so it
depends on LLVM's vectoriser to find the lanes in loops of constant length.

    python benchmarks/trial_numba_vs_c.py

Measured on one core of a shared Zen 4 machine with AVX-512, 64 random images, in thread CPU time:
numba took 12, 14, 15 and 15 times as long as C at (t, P) = (.1, 3), (.9, 3), (.9, 5), (.9, 9), with
equal results (3e-7), and compiles for seconds in every process. A compiler at install time, which
the ziglang wheel supplies where the system has none, serves users better: hence C.
"""

import argparse
import math
import time

import numba
import numpy as np
import torch

from patchmosaic.engines import native

LANES = 16
EXPECTED = np.float32(math.log2(math.e) / 2)
C4, C3, C2, C1, C0 = map(
    np.float32, (0.00957010191, 0.0559178603, 0.240247448, 0.693121815, 0.999999261)
)

# Reassociation would undo nothing here, but is not needed either: sums run over arrays of lanes.
FAST = {"contract", "nsz", "nnan", "ninf"}


@numba.njit(nogil=True, fastmath=FAST, boundscheck=False, inline="always")
def add(out, i, a, j, b, k):
    for lane in range(LANES):
        out[i, lane] = a[j, lane] + b[k, lane]


@numba.njit(nogil=True, fastmath=FAST, boundscheck=False)
def window_sums(P, out, side, term, start):
    """out[i] = start + term[i] + ... + term[i + P - 1] for four windows that share a core."""
    if P == 3:
        for lane in range(LANES):
            side[0, lane] = start + term[1, lane] + term[2, lane]
            side[1, lane] = start + term[3, lane] + term[4, lane]
        add(out, 0, term, 0, side, 0)
        add(out, 1, side, 0, term, 3)
        add(out, 2, term, 2, side, 1)
        add(out, 3, side, 1, term, 5)
        return
    for lane in range(LANES):
        out[0, lane] = start + term[3, lane]
    for j in range(4, P):
        add(out, 0, out, 0, term, j)
    for i in range(1, 4):
        add(out, i, out, i - 1, term, P - 1 + i)
    for lane in range(LANES):
        first, second = term[2, lane], term[1, lane] + term[2, lane]
        out[2, lane] += first
        out[1, lane] += second
        out[0, lane] += second + term[0, lane]


@numba.njit(nogil=True, fastmath=FAST, boundscheck=False)
def tile_sums(P, size, query, tile, nearest, cutoff, margin, lanes):
    """All shifts of one query (size + 2h)^2 and one tile (size + 2h, size + 2h, LANES)."""
    h = P // 2
    squares = np.empty((P + 3, LANES), np.float32)
    windows = np.zeros((4, size + 2 * h + 4, LANES), np.float32)
    out, power = np.empty((4, LANES), np.float32), np.empty(LANES, np.float32)
    bits, side = power.view(np.int32), np.empty((2, LANES), np.float32)
    for dy in range(1 - size, size):
        y0, y1 = (max(h, h + dy), min(size - h, size - h + dy)) if dy else (0, size)
        for y in range(y0, y1, 4):
            rows = min(4, y1 - y)
            for dx in range(1 - size, size):
                x0, x1 = (max(h, h + dx), min(size - h, size - h + dx)) if dx else (0, size)
                for col in range(x0, x1 + 2 * h if x0 < x1 else x0):
                    for j in range(P + rows - 1):
                        x = query[y - dy + j, col - dx]
                        for lane in range(LANES):
                            d = x - tile[y + j, col, lane]
                            squares[j, lane] = d * d
                    window_sums(P, out, side, squares, -EXPECTED * np.float32(P))
                    for r in range(rows):
                        for lane in range(LANES):
                            windows[r, col - x0, lane] = out[r, lane]
                for r in range(rows):
                    for col in range(x0, x1, 4):
                        window_sums(P, out, side, windows[r, col - x0 :], np.float32(0))
                        for i in range(min(4, x1 - col)):
                            p = (y + r - dy) * size + col + i - dx
                            least = out[i, 0]
                            for lane in range(LANES):
                                least = min(least, out[i, lane])
                            if least >= cutoff[p]:
                                continue
                            if least < nearest[p]:
                                factor = np.float32(2.0 ** max(least - nearest[p], -200.0))
                                for lane in range(LANES):
                                    lanes[p, 0, lane] *= factor
                                    lanes[p, 1, lane] *= factor
                                nearest[p] = least
                                cutoff[p] = min(cutoff[p], least + margin)
                            for lane in range(LANES):
                                t = max(nearest[p] - out[i, lane], np.float32(-125))
                                n = np.rint(t)
                                f = t - n
                                poly = (((C4 * f + C3) * f + C2) * f + C1) * f + C0
                                power[lane] = poly
                                bits[lane] += np.int32(n) << np.int32(23)
                            for lane in range(LANES):
                                lanes[p, 0, lane] += power[lane]
                                value = tile[y + r + h, col + i + h, lane]
                                lanes[p, 1, lane] += power[lane] * value


def numba_mean(x, bank, alpha_bar, P):
    """Posterior mean (size, size) of one gray query, one thread."""
    size, h = x.shape[-1], P // 2
    unit = math.sqrt(math.log2(math.e) / (2 * (1 - alpha_bar)))
    query = np.pad(x * unit, h).astype(np.float32)
    scale = unit * math.sqrt(alpha_bar)
    nearest = np.full(size * size, 3e38, np.float32)
    cutoff = nearest.copy()
    lanes = np.zeros((size * size, 2, LANES), np.float32)
    for first in range(0, len(bank), LANES):
        tile = np.moveaxis(
            np.pad(bank[first : first + LANES] * scale, ((0, 0), (h, h), (h, h))), 0, 2
        )
        tile = np.ascontiguousarray(tile, np.float32)
        tile_sums(P, size, query, tile, nearest, cutoff, np.float32(46), lanes)
    sums = lanes.astype(np.float64).sum(2)
    return (sums[:, 1] / sums[:, 0] / scale).reshape(size, size)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    generator = np.random.default_rng(0)
    bank = generator.integers(0, 256, (arguments.images, 32, 32)).astype(np.float32) / 127.5 - 1
    print("t,patch_size,numba_seconds,c_seconds,ratio,largest_difference")
    for t, P in ((0.1, 3), (0.9, 3), (0.9, 5), (0.9, 9)):
        a = math.cos(t / 1.008 * math.pi / 2) ** 2
        x = math.sqrt(a) * bank[0] + math.sqrt(1 - a) * generator.standard_normal((32, 32))
        query, images = torch.from_numpy(x).float()[None, None], torch.from_numpy(bank)[:, None]

        def in_numba(x=x, a=a, P=P):
            return numba_mean(x, bank, a, P)

        def in_c(query=query, images=images, a=a, P=P):
            _, weight, value = native.posterior_sums(query, images, a, P, threads=1)
            return (value[0, 0] / weight[0]).numpy()

        difference = np.abs(in_numba() - in_c()).max()  # also compiles
        seconds = []
        for work in (in_numba, in_c):
            taken = []
            for _ in range(arguments.repeats):
                start = time.thread_time()
                work()
                taken.append(time.thread_time() - start)
            seconds.append(min(taken))
        ratio = seconds[0] / seconds[1]
        print(f"{t},{P},{seconds[0]:.4f},{seconds[1]:.4f},{ratio:.2f},{difference:.1e}", flush=True)


if __name__ == "__main__":
    main()
