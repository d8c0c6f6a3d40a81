"""Tabulate the agreement of machines and networks over time, whole and by spatial frequency."""

import pandas as pd

from patchmosaic.analysis.over_time import agreement_over_time, band_agreement_over_time
from patchmosaic.sampling.trajectories import load_trajectories
from patchmosaic.system.console import logged

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        whole, bands = [], []
        for network, path in zip(snakemake.params.networks, snakemake.input, strict=True):
            seeds, trajectories = load_trajectories(path)
            of_network = trajectories.pop("network")
            for machine, trajectory in trajectories.items():
                names = {"network": network, "machine": machine}
                table = agreement_over_time(trajectory, of_network, seeds)
                whole.append(table.assign(**names))
                table = band_agreement_over_time(trajectory, of_network, seeds)
                bands.append(table.assign(**names))
        pd.concat(whole).to_csv(snakemake.output.whole, index=False)
        pd.concat(bands).to_csv(snakemake.output.bands, index=False)
