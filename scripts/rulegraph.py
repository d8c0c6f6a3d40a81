"""Draw the rules as Mermaid text: Snakemake's own graph, in an order that does not change."""

import os
import re
import subprocess
import sys

from patchmosaic.console import logged


def in_order(mermaid: str) -> str:
    """The same graph with rules as names and its arrows sorted."""
    names = dict(re.findall(r"^\s*(id\d+)\[(\w+)\]", mermaid, re.MULTILINE))
    arrows = re.findall(r"^\s*(id\d+) --> (id\d+)", mermaid, re.MULTILINE)
    lines = sorted(f"    {names[a]} --> {names[b]}" for a, b in arrows if a != b)
    return "\n".join(["flowchart TB", *lines, ""])


if __name__ == "__main__":
    with logged(snakemake.log[0]):
        command = [sys.executable, "-m", "snakemake", "--rulegraph", "mermaid-js", "--nolock"]
        command += ["--snakefile", snakemake.input.snakefile]
        graph = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        temporary = f"{snakemake.output[0]}.partial"
        with open(temporary, "w", encoding="utf-8") as file:
            file.write(in_order(graph))
        os.replace(temporary, snakemake.output[0])
