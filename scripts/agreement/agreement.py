"""Compare machines and a network seed by seed."""

from pathlib import Path

import numpy as np
import pandas as pd

from patchmosaic.analysis.agreement import agreement, more_measures
from patchmosaic.machines.audit import pooled
from patchmosaic.sampling.samples import join_shards, require_same_noise
from patchmosaic.system.console import logged

if __name__ == "__main__":
    with logged(snakemake.log[0]):
        settings, steps = snakemake.params.description, int(snakemake.wildcards.steps)
        network = join_shards([Path(p) for p in snakemake.input.network])
        machines = {
            name: join_shards([Path(p) for p in snakemake.input[name]])
            for name in snakemake.params.machines
        }
        require_same_noise({snakemake.wildcards.network: network, **machines})
        tables = []
        for name, s in machines.items():
            table = agreement(s.images, network.images, machines["is"].images, s.seeds, s.labels)
            rms, rows = pooled(s.record["audits"])
            is_audited = np.array(s.record["engines"]) == "adaptive"
            table = table.assign(
                network=snakemake.wildcards.network,
                **settings,
                network_steps=steps,
                machine=name,
                engine=s.record["engines"],
                audited_rms=np.where(is_audited, rms, np.nan),
                audited_rows=np.where(is_audited, rows, 0),
            )
            tables.append(table.join(more_measures(s.images, network.images)))
        whole = pd.concat(tables)
        if "wiener" in machines:
            wiener = whole[whole["machine"] == "wiener"].set_index("seed")["pearson_r"]
            whole["better_than_wiener"] = whole["pearson_r"] > whole["seed"].map(wiener)
        whole.to_csv(snakemake.output[0], index=False)
