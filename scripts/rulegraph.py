"""Draw the rules as Mermaid text, by Snakemake itself."""

import os
import subprocess
import sys

from patchmosaic.console import logged

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        command = [sys.executable, "-m", "snakemake", "--rulegraph", "mermaid-js", "--nolock"]
        command += ["--snakefile", snakemake.input.snakefile]
        if snakemake.params.configfiles:
            command += ["--configfile", *snakemake.params.configfiles]
        graph = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        temporary = f"{snakemake.output[0]}.partial"
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(graph)
        os.replace(temporary, snakemake.output[0])
