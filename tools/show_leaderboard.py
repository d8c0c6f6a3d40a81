"""Print the leaderboard of a finished experiment, or how to compute one predictor's rows again.

python tools/show_leaderboard.py results/leaderboard
python tools/show_leaderboard.py results/own_predictor mine
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

from patchmosaic.tables.leaderboard import format_leaderboard, format_submission

if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit("error: name a results folder, and a predictor if you will")
    path = Path(sys.argv[1]) / "tables/leaderboard.csv"
    try:
        table = pd.read_csv(path)
        print(format_submission(table, sys.argv[2]) if sys.argv[2:] else format_leaderboard(table))
    except (OSError, ValueError, KeyError) as error:
        sys.exit(f"error: {path}: no such leaderboard ({error})")
