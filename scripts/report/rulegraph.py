"""Draw the rules as Mermaid text: Snakemake's own graph, made readable."""

import re
import subprocess
import sys
import tempfile
from graphlib import TopologicalSorter
from pathlib import Path

from patchmosaic.system.console import logged
from patchmosaic.system.files import written_whole

FIGURES = "figures"


def arrows_of(mermaid: str) -> set[tuple[str, str]]:
    """The arrows of Snakemake's Mermaid text, from rule to rule."""
    names = dict(re.findall(r"^\s*(id\d+)\[(\w+)\]", mermaid, re.MULTILINE))
    arrows = re.findall(r"^\s*(id\d+) --> (id\d+)", mermaid, re.MULTILINE)
    return {(names[a], names[b]) for a, b in arrows if a != b}


def reduced(arrows: set[tuple[str, str]]) -> list[tuple[str, str]]:
    """The fewest arrows with the same paths (the transitive reduction), in the order of the work.

    Raises graphlib.CycleError if they run in a circle.
    """
    sources: dict[str, list[str]] = {}
    for a, b in sorted(arrows):
        sources.setdefault(b, []).append(a)
    order = list(TopologicalSorter(sources).static_order())
    before: dict[str, set[str]] = {}  # all that a rule rests on, directly or not
    for rule in order:
        direct = sources.get(rule, [])
        before[rule] = set(direct).union(*(before[source] for source in direct))
    kept = [(a, b) for a, b in arrows if not any(a in before[c] for c in sources[b])]
    return sorted(kept, key=lambda arrow: (order.index(arrow[1]), order.index(arrow[0])))


def readable(mermaid: str) -> str:
    """The graph with all figures as one node, and without arrows that other arrows imply."""
    arrows = arrows_of(mermaid)
    drawn = {rule for arrow in arrows for rule in arrow if rule.startswith("figure_")}
    names = {rule: FIGURES if rule in drawn else rule for arrow in arrows for rule in arrow}
    arrows = {(names[a], names[b]) for a, b in arrows}
    lines = [f"    {a} --> {b}" for a, b in reduced(arrows)]
    title = [f'    {FIGURES}["figures ({len(drawn)} rules)"]'] if drawn else []
    return "\n".join(["flowchart TB", *title, *lines, ""])


if __name__ == "__main__":
    with logged(snakemake.log[0]):
        command = [sys.executable, "-m", "snakemake", "--rulegraph", "mermaid-js", "--nolock"]
        command += ["--snakefile", str(Path(snakemake.input.snakefile).absolute())]
        with tempfile.TemporaryDirectory() as elsewhere:  # where there is no other config.yaml
            done = subprocess.run(command, cwd=elsewhere, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"snakemake cannot draw the rules:\n{done.stderr}")
        graph = done.stdout
        with written_whole(Path(snakemake.output[0])) as temporary:
            temporary.write_text(readable(graph), encoding="utf-8")
