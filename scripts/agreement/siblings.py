"""Compare networks of the same images with each other, beside their agreement with ELS."""

from pathlib import Path

import pandas as pd

from patchmosaic.analysis.agreement import siblings
from patchmosaic.sampling.samples import join_shards, require_same_noise
from patchmosaic.system.console import logged

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        agreement = pd.read_csv(snakemake.input.agreement)
        els = agreement[agreement["machine"] == "els"].set_index(["network", "network_steps"])
        rows = []
        for pair in snakemake.params.pairs:
            names = [pair["a"], pair["b"]]
            both = [join_shards([Path(path) for path in paths]) for paths in pair["shards"]]
            require_same_noise(dict(zip(names, both, strict=True)))
            r = [
                els.loc[(name, pair["steps"])].set_index("seed")["pearson_r"].loc[both[0].seeds]
                for name in names
            ]
            row = {"a": names[0], "b": names[1], "network_steps": pair["steps"]}
            rows.append(row | siblings((both[0].images, both[1].images), (r[0], r[1])))
        pd.DataFrame(rows).to_csv(snakemake.output[0], index=False)
