"""Print what a run will take on this computer, rule by rule: time and memory, before any job.

python tools/estimate.py --configfile config/ci.yaml --cores 2    # of what has not been made yet
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import pandas as pd
from snakemake.api import SnakemakeApi
from snakemake.exceptions import WorkflowError
from snakemake.settings.types import (
    ConfigSettings,
    DAGSettings,
    OutputSettings,
    Quietness,
    ResourceSettings,
)

BUSY = 1.5  # times the cores, of the load of a computer
ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))  # the package and the workflow beside this file

from patchmosaic.system import limits  # noqa: E402
from workflow.estimate import (  # noqa: E402
    KEPT,
    Estimate,
    PlannedJob,
    Row,
    Total,
    keep_costs,
    kept_costs,
    measured,
    measured_here,
    plan_of,
)
from workflow.experiment import Experiment  # noqa: E402


def planned(
    files: list[Path], cores: int, targets: list[str], everything: bool
) -> tuple[dict, list[PlannedJob]]:
    """The config that these files give, and the jobs that a run with it would start.

    Args:
        files: config files, each overriding those before it.
        cores: of the run.
        targets: files or rules; none: the default ones.
        everything: also jobs whose results are there.
    """
    output = OutputSettings(quiet={Quietness.ALL}, show_failed_logs=False)
    with SnakemakeApi(output) as api:
        workflow = api.workflow(
            resource_settings=ResourceSettings(cores=cores),
            config_settings=ConfigSettings(configfiles=files),
            snakefile=ROOT / "Snakefile",
        )
        graph = workflow.dag(
            DAGSettings(targets=set(targets), forceall=everything, force_incomplete=True)
        )
        graph.execute_workflow(executor="dryrun")
        return workflow._workflow.globals["config"], plan_of(workflow._workflow.dag)


def estimate(
    files: list[Path],
    cores: int,
    targets: list[str] | tuple = (),
    everything: bool = False,
    again: bool = False,
    took: bool = False,
) -> Total:
    """What a run takes; costs that are not kept are measured, and kept.

    Args:
        files, cores, targets, everything: as of :func:`planned`.
        again: measure also what is kept.
        took: put beside it what the jobs took, of a run that is done.
    """
    config, jobs = planned(files, cores, list(targets), everything or took)
    experiment = Experiment(config, Path() if ROOT.resolve() == Path.cwd() else ROOT)
    found = Estimate(experiment, jobs)
    path, here = experiment.data / KEPT, measured_here(ROOT)
    answers = {} if again else kept_costs(path, here)
    if missing := found.missing(answers):
        if (load := os.getloadavg()[0]) > BUSY * limits.cores():
            print(
                f"note: the load of this computer is {load:.1f}, and costs measured now are more "
                "than those of a run alone; --again measures anew",
                file=sys.stderr,
            )
        answers |= measured(missing, ROOT)
        keep_costs(path, here, answers)
    return found.total(answers, cores, found.took() if took else ())


def earlier_rows(path: Path) -> list[Row]:
    """The rows of a table that --csv wrote; ValueError names a file that is none."""
    try:
        return [Row(**row) for row in pd.read_csv(path).to_dict("records")]
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: expected a table of --csv, found something else") from error


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("targets", nargs="*", help="files or rules; by default all results")
    parser.add_argument("--configfile", nargs="+", type=Path, default=[], help="over config.yaml")
    parser.add_argument("--cores", type=int, default=limits.cores())
    parser.add_argument("--forceall", action="store_true", help="also what has been made")
    parser.add_argument("--again", action="store_true", help="measure anew what costs are kept of")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write the table there, too")
    parser.add_argument("--took", action="store_true", help="beside it what a finished run took")
    parser.add_argument(
        "--earlier", type=Path, metavar="FILE", help="with --took: a table of --csv, of before"
    )
    chosen = parser.parse_args()
    if chosen.earlier and not chosen.took:
        parser.error("--earlier takes --took")
    try:
        total = estimate(
            chosen.configfile,
            chosen.cores,
            chosen.targets,
            chosen.forceall,
            chosen.again,
            chosen.took,
        )
        if chosen.earlier:
            total = total.beside(earlier_rows(chosen.earlier))
        if chosen.csv:
            pd.DataFrame(total.rows).round(2).to_csv(chosen.csv, index=False)
    except (WorkflowError, RuntimeError, OSError, ValueError) as error:
        sys.exit(f"error: {error}")
    if chosen.took:
        print(total.table)
        sys.exit()
    print(total.table, total.line, sep="\n\n")
    if reason := total.too_large(limits.total_memory()):
        print(reason)
