"""Animate a network and the ELS machine denoising the same noise."""

from patchmosaic.figures.denoising import denoising_frames, save_animation
from patchmosaic.sampling.trajectories import load_trajectories
from patchmosaic.system.console import logged

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        seeds, trajectories = load_trajectories(snakemake.input[0])
        shown = snakemake.params.seeds
        both = {name: trajectories[name].part(shown) for name in ("network", "els")}
        for path in snakemake.output:
            frames = denoising_frames(both, seeds[:shown], snakemake.wildcards.network)
            save_animation(frames, path)
