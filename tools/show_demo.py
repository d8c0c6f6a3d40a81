"""Print how well the machines agree with the network of a demo, and what its small bank costs.

python tools/show_demo.py results/demo    # after make demo
"""

from __future__ import annotations

import sys
from pathlib import Path

import pandas as pd

from patchmosaic.analysis.intervals import with_undefined_as_zero
from patchmosaic.datasets.registry import REGISTRY
from patchmosaic.sampling.samples import load_samples

ROOT = Path(__file__).parent.parent


def describe(agreement: pd.DataFrame, bank: int, whole: int, reference: pd.DataFrame) -> str:
    """The agreement seed by seed, its medians, and what the small bank costs on the same seeds.

    Args:
        agreement: columns seed, machine, pearson_r and network_steps, of one network.
        bank: how many training images the machines had.
        whole: how many there are.
        reference: the same columns, of a run with the whole bank that has these seeds too.
    """
    seeds = agreement.pivot(index="seed", columns="machine", values="pearson_r")
    seeds = with_undefined_as_zero(seeds[[name for name in ("els", "ls", "is") if name in seeds]])
    seeds.columns = seeds.columns.str.upper()
    els = reference.query("machine == 'els'").set_index("seed")["pearson_r"]
    els = with_undefined_as_zero(els)
    seeds["ELS, all images"] = els[seeds.index]
    cost = (seeds["ELS, all images"] - seeds["ELS"]).median()
    table = pd.concat([seeds, seeds.median().to_frame("median").T]).rename_axis("seed")
    steps = agreement["network_steps"].iloc[0]
    return "\n".join(
        [
            f"Pearson r with the network in {steps} steps, from the noise of each seed:",
            table.reset_index().to_string(index=False, float_format="{:.3f}".format),
            "",
            f"The machines know {bank:,} of {whole:,} training images: fewer patches to compose",
            f"from. On these seeds that costs ELS {cost:.3f} (median; the last column is of a run",
            f"with all). Few seeds say little: over {len(els)} its median is {els.median():.3f}.",
        ]
    )


def main() -> None:
    """Read the results of config/demo.yaml."""
    results = Path(sys.argv[1] if len(sys.argv) > 1 else "results/demo")
    try:
        [table] = (results / "agreement").glob("*.csv")
        agreement = pd.read_csv(table)
        [samples, *_] = sorted(
            (results / "samples" / agreement["network"].iloc[0] / "els").glob("*")
        )
        bank = load_samples(samples).record["bank_images"]
        [picture] = (results / "figures").glob("pairs-*.png")
    except (OSError, ValueError, KeyError) as error:
        sys.exit(f"error: {results}: no finished demo ({error}); make demo makes it")
    dataset = REGISTRY[agreement["dataset"].iloc[0]]
    reference = pd.read_csv(ROOT / "numbers/agreement" / table.name)
    assert dataset.train_images is not None  # known, as of all but folders of images
    print(describe(agreement, bank, dataset.train_images, reference))
    print(f"\nThe picture: {picture}")


if __name__ == "__main__":
    main()
