"""Compare the tables of two runs: python compare.py TABLES TABLES.

Jobs may have other numbers of threads in the two runs, and the last bits of a network's sums depend
on them, by about 1e-6 in a pixel; everything else must be equal.
"""

import sys
from pathlib import Path

import pandas as pd

ABSOLUTE = 1e-5  # of correlations and other measures, ten times what two runs were seen to differ

if __name__ == "__main__":
    first, second = map(Path, sys.argv[1:])
    names = sorted(path.name for path in first.iterdir())
    assert names == sorted(path.name for path in second.iterdir()), "different tables"
    for path in sorted(first.glob("*.csv")):
        tables = pd.read_csv(path), pd.read_csv(second / path.name)
        pd.testing.assert_frame_equal(*tables, rtol=0, atol=ABSOLUTE)
        print(f"{path.name}: {len(tables[0])} rows agree to {ABSOLUTE:g}")
