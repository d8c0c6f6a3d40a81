"""Print the headline table of a finished experiment, and where its report is."""

import sys
from pathlib import Path

import pandas as pd

from patchmosaic.tables.text import format_headline

if __name__ == "__main__":
    results = Path(sys.argv[1] if len(sys.argv) > 1 else "results")
    try:
        tables = []
        for name in ("headline", "paired"):
            table = results / f"tables/{name}.csv"
            tables.append(pd.read_csv(table))
        print(format_headline(*tables))
    except (OSError, ValueError, KeyError) as error:
        sys.exit(f"error: {table}: no headline table ({error}); snakemake makes it")
    print(f"\nReport: {results / 'report/index.html'}")
