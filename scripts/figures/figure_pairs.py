"""Draw what a network and the machines make of the same noise."""

from pathlib import Path

import pandas as pd

from patchmosaic.datasets.images import load_images
from patchmosaic.figures.pairs import pairs
from patchmosaic.figures.style import save_figure
from patchmosaic.sampling.samples import load_samples
from patchmosaic.system.console import logged

MOST_COLUMNS = 10

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        steps = snakemake.wildcards.steps
        network = load_samples(Path(snakemake.input.network)).part(0, MOST_COLUMNS)
        rows = {f"network, {steps} steps": network.images}
        table, correlations = pd.read_csv(snakemake.input.agreement), {}
        for name in reversed(snakemake.params.machines):
            samples = load_samples(Path(snakemake.input[name])).part(0, MOST_COLUMNS)
            rows[name.upper()] = samples.images
            of_machine = table[table["machine"] == name].set_index("seed")
            correlations[name.upper()] = of_machine.loc[samples.seeds, "pearson_r"].to_numpy()
        labels = None
        if network.labels is not None:
            names = load_images(snakemake.input.bank).class_names
            labels = [names[label] for label in network.labels]
        figure = pairs(
            rows,
            network.seeds.tolist(),
            snakemake.wildcards.network,
            correlations=correlations,
            labels=labels,
        )
        for path in snakemake.output:
            save_figure(figure, path)
