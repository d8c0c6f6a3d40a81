"""Choose the training images of a patch bank."""

from patchmosaic.datasets.banks import choose_bank
from patchmosaic.datasets.images import load_images, save_images
from patchmosaic.system.console import logged

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        count = snakemake.wildcards.images
        bank = choose_bank(
            load_images(snakemake.input[0]),
            None if count == "all" else int(count),
            by_class=snakemake.wildcards.kind.startswith("classes"),
            flips=snakemake.wildcards.kind.endswith("flips"),
        )
        save_images(snakemake.output[0], bank)
