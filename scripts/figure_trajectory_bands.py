"""Draw the agreement of machines and networks over time by band of spatial frequency."""

import pandas as pd

from patchmosaic.console import logged
from patchmosaic.figures import bands_along_trajectories, save_figure
from patchmosaic.trajectories import band_agreement_over_time, load_trajectories

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        tables = []
        for network, path in zip(snakemake.params.networks, snakemake.input, strict=True):
            seeds, trajectories = load_trajectories(path)
            of_network = trajectories.pop("network")
            for machine, trajectory in trajectories.items():
                table = band_agreement_over_time(trajectory, of_network, seeds)
                tables.append(table.assign(network=network, machine=machine))
        figure = bands_along_trajectories(pd.concat(tables))
        for path in snakemake.output:
            save_figure(figure, path)
