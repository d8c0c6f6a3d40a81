"""Gather headline, figures and the origin of every number in one page."""

import json
from pathlib import Path

import jinja2
import pandas as pd

from patchmosaic.datasets.images import load_images
from patchmosaic.datasets.preparation import layout_lines, picture_lines
from patchmosaic.publish.manifest import last_commit, library_versions
from patchmosaic.publish.report import Provenance, ReportFigure, render_report
from patchmosaic.sampling.samples import load_samples
from patchmosaic.system.console import logged
from patchmosaic.tables.committed import compare, load_committed
from patchmosaic.tables.paper import load_paper
from patchmosaic.tables.protocol import load_protocol


def report_figure(figure):
    """A figure with its caption filled in; the figures lie beside the report's folder."""
    path, caption = Path(figure["path"]), Path(figure["caption"]).read_text(encoding="utf-8")
    context = {"config": snakemake.config, "wildcards": figure["wildcards"]}
    text = jinja2.Template(caption, undefined=jinja2.StrictUndefined).render(snakemake=context)
    file = f"../figures/{path.name}"
    return ReportFigure(figure["title"], text, path.read_bytes(), file, figure["category"])


def source_of(images):
    """Where the raw files of a bank's images came from."""
    return "; ".join(sorted({str(entry["source"]) for entry in images.record["sources"].values()}))


def what_they_are(bank):
    """What was understood of somebody's own images; nothing of known ones, but for flips."""
    record = bank.record
    lines = [*layout_lines(record.get("understood", {}))]
    if "pictures" in record:
        lines += picture_lines(record["pictures"], record["size"])
    return "; ".join([*lines, *(["each with its mirror image"] if record["flips"] else [])])


def described(bank):
    """A bank's line of the report; the images themselves are not kept."""
    dataset, source = bank.record["dataset"], source_of(bank)
    return {
        "dataset": dataset,
        "images": len(bank),
        "sha256": bank.digest,
        "source": source,
        "licence": bank.record["licence"],
        "what they are": what_they_are(bank),
    }


def audited_error(row):
    """What the adaptive engine's audits found, in words."""
    if row["audited_rows"] == 0:
        return "nothing estimated"
    return f"{row['audited_rms']:.4f} over {row['audited_rows']} rows of pixels"


if __name__ == "__main__":
    with logged(snakemake.log[0]):
        settings, given = snakemake.params, snakemake.input
        headline, agreement = pd.read_csv(given.headline), pd.read_csv(given.agreement)
        noise = [load_samples(Path(path)) for path in given.noise]
        records = [json.loads(Path(path).read_text()) for path in given.records]
        protocol, project = load_protocol(given.protocol), Path(given.protocol).parent.parent
        provenance = Provenance(
            datasets=pd.DataFrame([described(load_images(path)) for path in given.banks]),
            checkpoints=pd.DataFrame(
                {
                    "network": name,
                    "sha256": record["weights_sha256"],
                    "images_seen": record["images_seen"] or "not known",
                    "source": settings.checkpoints[name],
                }
                for name, record in zip(settings.networks, records, strict=True)
            ),
            scales=pd.DataFrame(
                {
                    "network": found["network"],
                    "machines": found["machines"],
                    "trajectories": pd.read_csv(path)["trajectory"].nunique(),
                    "source": found["source"],
                }
                for found, path in zip(settings.calibrations, given.cosines, strict=True)
            ),
            machines=agreement[["machine", "network", "engine"]]
            .assign(audited_error=agreement.apply(audited_error, axis=1))
            .drop_duplicates(),
            seeds=pd.DataFrame(
                {
                    "dataset": s.record["dataset"],
                    "first": s.seeds.min(),
                    "last": s.seeds.max(),
                    "seeds": len(s.seeds),
                    "standing": protocol.standing(s.seeds.min(), s.seeds.max()),
                }
                for s in noise
            ),
            versions=pd.DataFrame(
                {"package": name, "version": version}
                for name, version in library_versions().items()
            ),
        )
        html = render_report(
            experiment=settings.experiment,
            headline=headline,
            paired=pd.read_csv(given.paired),
            orderings=pd.read_csv(given.orderings),
            equivalence=pd.read_csv(given.equivalence),
            tails=pd.read_csv(given.tails),
            comparison=compare(headline, load_committed(given.committed), settings.experiment),
            figures=[report_figure(figure) for figure in settings.figures],
            provenance=provenance,
            tables={
                "../tables/headline.csv": "medians with intervals, a row a network, number of "
                "steps and machine",
                "../tables/agreement.csv": "a row a seed",
                "../tables/paired.csv": "differences between machines, seed by seed",
                "../tables/orderings.csv": "the paper's orderings, asked of our numbers",
                "../tables/equivalence.csv": "whether our medians are the paper's",
                "../tables/tails.csv": "how often and how far agreement falls",
                "../tables/paper.csv": "the paper's tables 1 and 2 with ours; also, for LaTeX, "
                "paper.tex",
            }
            | settings.tables,
            paper_source=load_paper(given.paper).source,
            leaderboard=pd.read_csv(given.leaderboard[0]) if given.leaderboard else None,
            pages=settings.pages,
            protocol_commit=last_commit(project, "numbers/protocol.yaml"),
        )
        Path(snakemake.output[0]).write_text(html, encoding="utf-8")
