"""Rank every predictor by every measure, beside networks trained for the same."""

from pathlib import Path

import pandas as pd

from patchmosaic.analysis.agreement import agreement, more_measures
from patchmosaic.machines.registry import in_words
from patchmosaic.publish.leaderboard import render_leaderboard
from patchmosaic.sampling.samples import join_shards, load_samples, require_same_noise
from patchmosaic.system.console import logged
from patchmosaic.tables.leaderboard import SIBLING, costs, leaderboard, to_latex


def joined(paths):
    return join_shards([Path(path) for path in paths])


def fact(predictor, seeds):
    """What there is to say of a machine: its settings, and its file's digest, are in its record."""
    record = load_samples(Path(predictor["samples"])).record
    digest = record["module_sha256"]
    return {
        "machine": predictor["machine"],
        "label": predictor["label"],
        "sees": predictor["sees"],
        "settings": in_words(record["settings"]),
        "source": predictor["source"] + (f", SHA-256 {digest}" if digest else ""),
        "protocol": record["protocol"],
        **costs(map(Path, predictor["benchmarks"]), seeds),
    }


def yardstick(run):
    """The agreement of a network with its sibling, seed by seed, and what there is to say."""
    network, sibling, of_is = (
        joined(paths) for paths in (run["samples"], run["sibling"]["samples"], run["is"])
    )
    require_same_noise({run["network"]: network, run["sibling"]["network"]: sibling, "is": of_is})
    table = agreement(sibling.images, network.images, of_is.images, network.seeds)
    fact = {
        "machine": SIBLING,
        "label": SIBLING,
        "sees": "weights",
        "settings": run["sibling"]["network"],
        "source": "a network trained for the same",
        "protocol": network.record["protocol"],
        **costs(map(Path, run["sibling"]["benchmarks"]), len(network.seeds)),
    }
    return table.join(more_measures(sibling.images, network.images)), fact


if __name__ == "__main__":
    with logged(snakemake.log[0]):
        tables, facts = [pd.read_csv(snakemake.input.agreement)], []
        for run in snakemake.params.runs:
            where = {"network": run["network"], "network_steps": run["steps"]}
            seeds = tables[0]["seed"].nunique()
            facts += [where | fact(predictor, seeds) for predictor in run["predictors"]]
            if run["sibling"]:
                table, of_sibling = yardstick(run)
                tables.append(table.assign(**where, machine=SIBLING))
                facts.append(where | of_sibling)
        table = leaderboard(pd.concat(tables), pd.DataFrame(facts))
        table.to_csv(snakemake.output.csv, index=False)
        Path(snakemake.output.latex).write_text(to_latex(table), encoding="utf-8")
        page = render_leaderboard(table, snakemake.params.experiment, snakemake.params.pages)
        Path(snakemake.output.html).write_text(page, encoding="utf-8")
