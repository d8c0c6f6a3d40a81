"""Compare the spread over trainings of a network from several seeds with that over noise."""

import pandas as pd

from patchmosaic.analysis.intervals import training_spread
from patchmosaic.system.console import logged

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        agreement = pd.read_csv(snakemake.input[0])
        rows = []
        for names in snakemake.params.repeats:
            of_group = agreement[agreement["network"].isin(names)]
            for (machine, steps), group in of_group.groupby(["machine", "network_steps"]):
                r = group.pivot(index="network", columns="seed", values="pearson_r")
                row = {"network": names[0], "network_steps": steps, "machine": machine}
                rows.append(row | training_spread(r))
        pd.DataFrame(rows).to_csv(snakemake.output[0], index=False)
