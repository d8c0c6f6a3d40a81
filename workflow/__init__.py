"""What the rules of the workflow are made from: plain Python, without Snakemake."""
