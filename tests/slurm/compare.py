"""Compare the results of two runs: python compare.py RESULTS RESULTS.

Jobs may have other numbers of threads in the two runs. A machine's samples do not depend on them,
and must be the same bytes; the last bits of a network's sums do, by about 1e-6 in a pixel, and with
them the tables.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

ABSOLUTE = 1e-5  # of correlations and other measures, ten times what two runs were seen to differ


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
    """Every table of one run has the numbers of the other's, within ``ABSOLUTE``."""
    names = sorted(path.name for path in first.iterdir())
    assert names == sorted(path.name for path in second.iterdir()), "different tables"
    for path in sorted(first.glob("*.csv")):
        tables = pd.read_csv(path), pd.read_csv(second / path.name)
        pd.testing.assert_frame_equal(*tables, rtol=0, atol=ABSOLUTE)
        print(f"{path.name}: {len(tables[0])} rows agree to {ABSOLUTE:g}")


if __name__ == "__main__":
    first, second = map(Path, sys.argv[1:])
    print(f"{compare_samples(first / 'samples', second / 'samples')} shards of machines are equal")
    compare_tables(first / "tables", second / "tables")
