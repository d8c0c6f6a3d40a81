"""Gather headline, figures and the origin of every number in one page."""

import json
from importlib.metadata import version
from pathlib import Path

import pandas as pd

from patchmosaic.console import logged
from patchmosaic.datasets import load_images
from patchmosaic.headline import compare, load_expected
from patchmosaic.report import Provenance, ReportFigure, render_report
from patchmosaic.samples import load_samples


def figure(title, caption, path, category):
    """A figure of the report; its files lie beside the report's folder."""
    path = Path(path)
    return ReportFigure(title, caption, path.read_bytes(), f"../figures/{path.name}", category)


def source_of(images):
    """Where the raw files of a bank's images came from."""
    return "; ".join(sorted({str(entry["source"]) for entry in images.record["sources"].values()}))


if __name__ == "__main__":
    with logged(snakemake.log[0]):
        settings, given = snakemake.params, snakemake.input
        headline, agreement = pd.read_csv(given.headline), pd.read_csv(given.agreement)
        expected = load_expected(given.expected)
        n = int(headline["seeds"].max())
        banks = [load_images(path) for path in given.banks]
        noise = [load_samples(Path(path)) for path in given.noise]
        records = [json.loads(Path(path).read_text()) for path in given.records]
        cosines = [pd.read_csv(path) for path in given.cosines]
        figures = [
            figure(
                "Median agreement",
                f"Median Pearson r over {n} seeds with its bootstrap 95% interval, for every "
                "network and machine; open diamonds are the paper's medians.",
                given.chart,
                "Headline",
            ),
            figure(
                "Every seed",
                f"Agreement of IS with the network against that of LS and ELS, a point a seed "
                f"(n = {n} a panel); the counterpart of the paper's figures 10 to 12.",
                given.scatter,
                "Agreement",
            ),
            figure(
                "Locality scales",
                "Patch side P at which the ELS machine best predicts each network, over time; the "
                "counterpart of the paper's figure 4b.",
                given.scales,
                "Calibration",
            ),
        ]
        names = [(network, steps) for network in settings.networks for steps in settings.steps]
        for (network, steps), path in zip(names, given.pairs, strict=True):
            figures.append(
                figure(
                    f"{network}, {steps} network steps",
                    "The same noise through the network and the machines, first seeds in order, "
                    "not chosen; below each machine's image its Pearson r with the network's. The "
                    "counterpart of the paper's figures 13 to 24.",
                    path,
                    "Pairs",
                )
            )
        provenance = Provenance(
            datasets=pd.DataFrame(
                {
                    "dataset": b.record["dataset"],
                    "images": len(b),
                    "sha256": b.digest,
                    "source": source_of(b),
                }
                for b in banks
            ),
            checkpoints=pd.DataFrame(
                {
                    "network": name,
                    "sha256": record["weights_sha256"],
                    "images_seen": record["images_seen"],
                    "source": settings.checkpoints[name],
                }
                for name, record in zip(settings.networks, records, strict=True)
            ),
            scales=pd.DataFrame(
                {
                    "network": name,
                    "trajectories": table["trajectory"].nunique(),
                    "source": settings.scales,
                }
                for name, table in zip(settings.calibrated, cosines, strict=True)
            ),
            machines=agreement[["machine", "network", "engine"]].drop_duplicates(),
            seeds=pd.DataFrame(
                {
                    "dataset": s.record["dataset"],
                    "first": s.seeds.min(),
                    "last": s.seeds.max(),
                    "seeds": len(s.seeds),
                }
                for s in noise
            ),
            versions=pd.DataFrame(
                {"package": name, "version": version(name)}
                for name in ("patchmosaic", "torch", "numpy", "pandas", "scipy", "snakemake")
            ),
        )
        html = render_report(
            experiment=settings.experiment,
            headline=headline,
            comparison=compare(headline, expected, settings.experiment),
            figures=figures,
            provenance=provenance,
            tables={
                "../tables/headline.csv": "medians with intervals, a row a network, number of "
                "steps and machine",
                "../tables/agreement.csv": "a row a seed",
            },
            paper_source=expected.source,
        )
        Path(snakemake.output[0]).write_text(html, encoding="utf-8")
