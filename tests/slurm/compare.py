"""Compare the results of two runs: python compare.py RESULTS RESULTS.

Jobs may have other numbers of threads in the two runs. A machine's samples do not depend on them,
and must be the same bytes; the last bits of a network's sums do, by about 1e-6 in a pixel, and with
them the tables.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

TOLERANCE = 1e-5  # ten times what two runs were seen to differ; of numbers beyond 1, relative


def compare_samples(first: Path, second: Path) -> int:
    """How many shards of machines are equal in all arrays but their records; all must be."""
    names = sorted(path.relative_to(first) for path in first.glob("*/*/*.npz"))
    assert names == sorted(path.relative_to(second) for path in second.glob("*/*/*.npz"))
    machines = [name for name in names if not name.parts[1].startswith("network-")]
    assert machines, f"no samples of machines in {first}"
    for name in machines:
        with np.load(first / name) as a, np.load(second / name) as b:
            assert a.files == b.files, f"different arrays in {name}"
            for key in a.files:
                assert key == "record" or np.array_equal(a[key], b[key]), f"{name}: {key} differ"
    return len(machines)


def compare_tables(first: Path, second: Path) -> None:
    """Every table of one run has the numbers of the other's, within ``TOLERANCE``.

    Beyond 1 are only values of R^2 far below 0, where the network's image is nearly constant.
    """
    names = sorted(path.name for path in first.iterdir())
    assert names == sorted(path.name for path in second.iterdir()), "different tables"
    for path in sorted(first.glob("*.csv")):
        one, other = pd.read_csv(path), pd.read_csv(second / path.name)
        assert list(one) == list(other), f"{path.name}: different columns"
        numbers = one.select_dtypes("number").columns
        pd.testing.assert_frame_equal(one.drop(columns=numbers), other.drop(columns=numbers))
        size = one[numbers].abs().clip(lower=1)
        pd.testing.assert_frame_equal(
            one[numbers] / size, other[numbers] / size, rtol=0, atol=TOLERANCE, check_dtype=False
        )
        print(f"{path.name}: {len(one)} rows agree to {TOLERANCE:g}")


if __name__ == "__main__":
    first, second = map(Path, sys.argv[1:])
    print(f"{compare_samples(first / 'samples', second / 'samples')} shards of machines are equal")
    compare_tables(first / "tables", second / "tables")
