"""What an article may say of a finished results folder: values, tables and figures by name.

Each has the files behind it, and each file its rule and its digest, as the manifest says.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from inspect import signature
from pathlib import Path

import pandas as pd

from patchmosaic.analysis.intervals import bootstrap_median, with_undefined_as_zero
from patchmosaic.datasets.registry import REGISTRY
from patchmosaic.machines.registry import MACHINES, label
from patchmosaic.networks.config import row_of_paper
from patchmosaic.networks.registry import ARCHITECTURES
from patchmosaic.publish.manifest import NAME, content_digest, read_manifest
from patchmosaic.publish.names import NAMES
from patchmosaic.publish.pages import CLAIM, COLOURS, QUESTION, opening
from patchmosaic.system.files import sha256_of
from patchmosaic.tables import claims
from patchmosaic.tables import equivalence as equivalences
from patchmosaic.tables.committed import compare, load_committed
from patchmosaic.tables.headline import DESCRIPTION, RUN, count_verdicts, verdicts
from patchmosaic.tables.orderings import tally
from patchmosaic.tables.paper import Paper, load_paper
from patchmosaic.tables.paper_tables import REPORTED
from patchmosaic.tables.protocol import load_protocol
from patchmosaic.tables.text import format_number, listed, span

PAPER, COMMITTED = "numbers/paper.yaml", "numbers/committed.yaml"
PROTOCOL = "numbers/protocol.yaml"
INTERVALS = "patchmosaic/analysis/intervals.py"
BENCHMARKS = "benchmarks/*.tsv"
SHARE = ["share", "share_low", "share_high"]  # of seeds of low agreement
KINDS_OF_JOBS = 5  # that the table of costs tells apart

# What an experiment may leave out: its files, and how to have them.
OPTIONAL = {
    "tables/leaderboard.csv": (
        "a leaderboard of predictors",
        "config/leaderboard.yaml has one; or name leaderboard among the analyses",
    ),
    "tables/claims.csv": (
        "the disputed claims of the literature",
        "config/claims.yaml has them; or name claims among the analyses",
    ),
    "tables/variants.csv": ("controls and ablations", "config/ablations.yaml has some"),
    "tables/training_seeds.csv": (
        "the spread over trainings of one network",
        "config/training_seeds.yaml has some",
    ),
    "tables/siblings.csv": (
        "the agreement of networks with each other",
        "evaluate two networks of the same images",
    ),
    "learning/*.csv": (
        "the agreement during the training",
        "evaluate a network with snapshots and name learning among the analyses",
    ),
    "nearest_patches/*.csv": (
        "the distances of patches to training patches",
        "name nearest_patches among the analyses",
    ),
    "consistency/*.csv": (
        "the local consistency over time",
        "name consistency among the analyses",
    ),
}


class ArticleError(ValueError):
    """A name, a number or a file for which the article cannot be made."""


class Content:
    """What the template may name: values, tables and figures, each with the files behind it.

    Args:
        results: a finished results folder.
        project: the folder of the Snakefile.
    """

    def __init__(self, results: Path, project: Path) -> None:
        self.results, self.project = results, project
        self.manifest = read_manifest(results)
        self.config: dict = self.manifest["config"]
        self.values: dict[str, dict] = {}
        self.tables: dict[str, dict] = {}
        self.figures: dict[str, dict] = {}
        self.files: dict[str, dict[str, str]] = {}

    def find(self, pattern: str) -> list[str]:
        """The result files whose names fit a pattern such as "tables/*.csv"."""
        return [name for name in sorted(self.manifest["files"]) if Path(name).match(pattern)]

    def origin(self, name: str) -> Path:
        """A file of the results or of the project, listed among the origins with rule and digest.

        Raises ArticleError where it is not what the manifest says.
        """
        made = self.manifest["files"].get(name)
        path = (self.project if name in self.manifest["sources"] else self.results) / name
        if name == NAME:
            rule, expected = "manifest", None
        elif made:
            rule, expected = made["rule"], made["sha256"]
        elif name in self.manifest["sources"]:
            rule, expected = "none: in the repository", self.manifest["sources"][name]
        else:
            raise ArticleError(f"{name} is not in the manifest: run snakemake")
        if name not in self.files:
            if not path.is_file():
                raise ArticleError(f"{path} is missing: run snakemake")
            found = sha256_of(path)
            if expected not in (None, found):
                raise ArticleError(
                    f"{path}: expected SHA-256 {expected}, found {found}: run snakemake"
                )
            self.files[name] = {"rule": rule, "sha256": found}
        return path

    def read(self, *names: str) -> pd.DataFrame:
        """The rows of some tables."""
        return pd.concat([pd.read_csv(self.origin(name)) for name in names], ignore_index=True)

    def value(self, name: str, text: object, *files: str) -> None:
        """Something that the prose may say, and the files that it follows from."""
        for file in files:
            if file != BENCHMARKS:
                self.origin(file)
        self.values[name] = {"text": str(text), "files": list(files)}

    def settings(self, **texts: object) -> None:
        """Values that the manifest has; in the template their names have points for underlines."""
        for name, text in texts.items():
            self.value(name.replace("_", "."), text, NAME)

    def table(
        self,
        name: str,
        columns: Sequence[str],
        rows: Iterable[Sequence[str | Sequence[str]]],
        *files: str,
        groups: Sequence[tuple[str, int]] = (),
    ) -> None:
        """A table.

        Args:
            name: in the template.
            columns: titles; those that begin with > are of numbers, flush right.
            rows: cells; a cell of two texts is a number with its interval.
            files: that it follows from.
            groups: titles over so many columns.
        """
        self.tables[name] = {
            "columns": [title.removeprefix(">") for title in columns],
            "align": ["right" if title.startswith(">") else "left" for title in columns],
            "groups": [list(group) for group in groups],
            "rows": [[[cell] if isinstance(cell, str) else [*cell] for cell in r] for r in rows],
            "files": list(files),
        }

    def figure(self, name: str, file: str, title: str) -> None:
        """A drawing, a PDF of the results."""
        self.origin(file)
        self.figures[name] = {"file": file, "title": title, "files": [file]}

    def as_json(self) -> dict:
        """What :func:`patchmosaic.publish.article.typeset` takes."""
        lacking = [
            {"what": what, "how": how}
            for pattern, (what, how) in OPTIONAL.items()
            if not self.find(pattern)
        ]
        return {
            "values": self.values,
            "tables": self.tables,
            "figures": self.figures,
            "files": self.files,
            "lacking": lacking,
            "question": QUESTION,
            "claim": CLAIM,
            "names": NAMES,
            "colours": COLOURS,
            "manifest_sha256": self.manifest["sha256"],
        }


def gather(results: Path, project: Path, figures: Iterable[Mapping[str, str]]) -> dict:
    """What the template may name, of a finished results folder.

    Args:
        results: the folder, with its manifest.
        project: the folder of the Snakefile.
        figures: path (of a .png with a .pdf beside it) and title of each.

    Returns:
        values, tables and figures by name, each with its files; files with rule and SHA-256;
        lacking: what the experiment has not, and how to have it; question, claim; names; colours;
        manifest_sha256.

    Raises:
        ArticleError: where a file is not what the manifest says.
        patchmosaic.publish.manifest.ManifestError: where there is no manifest, or a broken one.
    """
    content = Content(results, project)
    paper = load_paper(content.origin(PAPER))
    _experiment(content)
    _claimed(content, paper)
    _differences(content, paper)
    _agreement(content)
    _tails(content)
    _beside_paper(content)
    _equivalence(content)
    _leaderboard(content)
    _claims(content)
    _controls(content)
    _more(content)
    _cost(content)
    _draw(content, figures)
    return content.as_json()


def _experiment(c: Content) -> None:
    """What was run, as the manifest says."""
    config, manifest = c.config, c.manifest
    seeds, steps = config["seeds"]["evaluation"], config["sampling"]
    images, commit = config["bank"]["images"], manifest.get("git", {}).get("commit")
    sizes = [f"{config['datasets'][name]['size']}" for name in _datasets(c)]
    hardware = manifest.get("hardware", {})
    c.settings(
        experiment=manifest["experiment"],
        version=manifest["versions"]["patchmosaic"],
        commit=commit[:12] if commit else "unknown",
        torch=manifest["versions"]["torch"],
        python=manifest["versions"]["python"],
        processor=hardware.get("cpu", "an unknown processor"),
        cores=_count(hardware["cores"], "core") if "cores" in hardware else "unknown cores",
        files=len(manifest["files"]),
        networks=_count(len(config["evaluate"]), "network"),
        datasets=listed(_title(name) for name in _datasets(c)),
        pixels=listed(dict.fromkeys(sizes)),
        machines=listed(f"{label(m)} ({_machine_title(m)})" for m in config["machines"]),
        seeds=seeds["count"],
        seeds_first=seeds["first"],
        seeds_last=seeds["first"] + seeds["count"] - 1,
        steps_machine=steps["machine_steps"],
        steps_network=listed(map(str, steps["network_steps"])),
        bank="the whole training set"
        if images == "all"
        else f"the first {images:,} training images (of each class where the network is told it)",
        engine=config["engine"],
        tolerance=config["adaptive"]["tolerance"],
        directory=config["directories"]["results"],
        configs=" ".join(manifest["config_files"]),
    )
    defaults = signature(bootstrap_median).parameters
    c.value("interval", f"{defaults['level'].default:.0%}", INTERVALS)
    c.value("resamples", f"{defaults['resamples'].default:,}", INTERVALS)


def _claimed(c: Content, paper: Paper) -> None:
    """The paper's own numbers."""
    rows = paper.rows
    c.value("paper.rows", len(rows), PAPER)
    c.value("paper.seeds", paper.setup["seeds"], PAPER)
    c.value("paper.els", span(rows["els"]), PAPER)
    c.value("paper.is", span(rows["is"]), PAPER)
    most = rows[rows["network_steps"] == rows["network_steps"].max()]
    zeros = most[(most["architecture"] == "resnet") & (most["padding"] == "zeros")]
    c.value("paper.resnets", span(zeros["els"]), PAPER)
    c.value("paper.attention", span(most[most["architecture"] == "unet_attention"]["els"]), PAPER)
    c.value("paper.better", span(rows["fraction_better_than_is"]), PAPER)
    low = rows[rows["els"] < rows["ls"]]
    c.value("paper.ls.above", _count(len(low), "row"), PAPER)


def _differences(c: Content, paper: Paper) -> None:
    """What was done otherwise than the paper says, and the networks."""
    config, setup = c.config, paper.setup
    networks = {name: config["networks"][name] for name in config["evaluate"]}
    recipes = {
        name: config["recipes"][network["recipe"]]
        for name, network in networks.items()
        if "recipe" in network
    }
    theirs = config["recipes"]["paper"]

    def channels(kind: str) -> str:
        found = {
            network["channels"]
            for network in networks.values()
            if row_of_paper(network.get("architecture", "external")).startswith(kind)
            and "channels" in network
        }
        return listed(map(str, sorted(found))) if found else "none"

    def trained(key: str, zero: str = "0") -> str:
        found = dict.fromkeys(recipe[key] for recipe in recipes.values())
        return listed(f"{value:g}" if value else zero for value in found) if found else "unknown"

    scales = c.read("tables/scales.csv")
    kept = c.find("calibration/*.scales.json")
    calibration = [json.loads(c.origin(name).read_text()) for name in kept]
    banks = sorted({record["bank_images"] for record in calibration if "bank_images" in record})
    steps = sorted(set(paper.rows["network_steps"]))
    seeds = config["seeds"]["evaluation"]["count"]
    rows = [
        ("noise seeds per row", setup["seeds"], seeds),
        ("steps of the machines", setup["machine_steps"], config["sampling"]["machine_steps"]),
        (
            "steps of the networks",
            listed(map(str, steps)),
            listed(map(str, config["sampling"]["network_steps"])),
        ),
        ("channels of ResNets", setup["resnet_channels"], channels("resnet")),
        ("channels of UNets", setup["unet_channels"], channels("unet")),
        ("epochs of training", theirs["epochs"], trained("epochs")),
        ("batch", theirs["batch_size"], trained("batch_size")),
        ("learning rate", f"{theirs['learning_rate']:g}", trained("learning_rate")),
        (
            "decay of averaged weights",
            "not averaged",
            trained("ema_decay", zero="not averaged"),
        ),
        (
            "trajectories of the calibration",
            setup["trajectories"],
            span(scales["trajectories"], 0),
        ),
        (
            "images of the calibration",
            f"{setup['calibration_images']:,}",
            listed(f"{n:,}" for n in banks) if banks else "unknown",
        ),
    ]
    c.table(
        "differences",
        ("what", ">the paper", ">here"),
        [tuple(map(str, row)) for row in rows],
        *(PAPER, NAME, "tables/scales.csv", *kept),
    )
    files = [f"networks/{name}.json" for name in networks]
    files = [name for name in files if name in c.manifest["files"]]
    records = {Path(name).stem: json.loads(c.origin(name).read_text()) for name in files}
    c.table(
        "networks",
        (
            *("network", "images", "architecture", "padding", "conditional"),
            *(">channels", ">images seen", "SHA-256 of weights"),
        ),
        [
            (
                name,
                _title(network["dataset"]),
                _architecture(network.get("architecture", "external")),
                network["padding"],
                "yes" if network["conditional"] else "no",
                str(network.get("channels", "")),
                _seen(records.get(name, {})),
                records.get(name, {}).get("weights_sha256", "")[:12],
            )
            for name, network in networks.items()
        ],
        *(NAME, *files),
    )


def _agreement(c: Content) -> None:
    """Whether ELS agrees better than IS, and the verdict."""
    head, paired = c.read("tables/headline.csv"), c.read("tables/paired.csv")
    files = ("tables/headline.csv", "tables/paired.csv")
    rows = verdicts(head, paired)
    compared, above, below = count_verdicts(rows)
    statement = opening(head, paired)
    c.value("verdict", statement.verdict, *files)
    c.value("summary", statement.summary, *files)
    c.value("compared", _count(compared, "comparison"), *files)
    c.value("above", above, *files)
    c.value("below", below, *files)
    c.value("unclear", compared - above - below, *files)
    by_machine = {machine: group for machine, group in head.groupby("machine")}
    for machine, group in by_machine.items():
        c.value(f"r.{machine}", span(group["pearson_r"]), files[0])
        if machine == "els":
            c.value("determination", span(group["r2_determination"]), files[0])
    c.table(
        "verdicts",
        (
            *("network", ">steps", ">r of ELS", ">r of IS", ">ELS \N{MINUS SIGN} IS"),
            *(">p", ">R² of ELS", "verdict"),
        ),
        [
            (
                row["network"],
                str(row["network_steps"]),
                _interval(row["els"], row["els_low"], row["els_high"]),
                _interval(row["is"], row["is_low"], row["is_high"]),
                _interval(row["difference"], row["difference_low"], row["difference_high"]),
                _p_value(row["p_value"]),
                _number(_of(head, row, "els", "r2_determination")),
                row["verdict"],
            )
            for row in rows.to_dict("records")
        ],
        *files,
    )
    audits = c.read("tables/agreement.csv")
    audits = audits[audits["audited_rows"] > 0]
    c.value(
        "audit",
        "no posterior mean was estimated, all were computed exactly"
        if audits.empty
        else f"their audits found at most {audits['audited_rms'].max():.4f}",
        "tables/agreement.csv",
    )
    counts = tally(c.read("tables/orderings.csv"))
    c.table(
        "orderings",
        ("ordering", ">compared", ">holds", ">not separated", ">reversed", ">in the paper"),
        [
            (
                row["text"],
                *(str(row[key]) for key in ("compared", "holds", "not separated", "reversed")),
                f"{row['paper']} of {row['paper_compared']}",
            )
            for row in counts.to_dict("records")
        ],
        "tables/orderings.csv",
    )
    c.value("orderings.compared", counts["compared"].sum(), "tables/orderings.csv")
    c.value("orderings.holds", counts["holds"].sum(), "tables/orderings.csv")
    c.value("orderings.reversed", counts["reversed"].sum(), "tables/orderings.csv")
    against = compare(head, load_committed(c.origin(COMMITTED)), c.manifest["experiment"])
    c.value(
        "committed",
        "Nothing is committed for this experiment, so none of its medians was checked against an "
        "earlier run."
        if against["committed"].isna().all()
        else f"{int(against['ok'].sum())} of {len(against)} medians are within the tolerance of "
        "those committed with the project.",
        *(COMMITTED, "tables/headline.csv"),
    )


def _tails(c: Content) -> None:
    """How far the agreement of single seeds falls below the medians."""
    file = "tables/tails.csv"
    table = c.read(file)
    els = table[table["machine"] == "els"]
    if els.empty:
        return
    low, least = f"{els['low'].iloc[0]:g}", els.loc[els["lowest"].idxmin()]
    c.value("tails.low", low, file)
    c.value("tails.shares", _shares(els["share"]), file)
    c.value("tails.lowest", _number(least["lowest"]), file)
    c.value("tails.seed", least["lowest_seed"], file)
    c.value("tails.where", f"{least['network']} in {least['network_steps']} steps", file)
    shown = [machine for machine in REPORTED if machine in set(table["machine"])]
    by_run = table.set_index(RUN)[SHARE]
    c.table(
        "tails",
        (
            *("network", ">steps", ">seeds"),
            *(f">{label(machine)} below {low}" for machine in shown),
            *(">lower decile of ELS", ">lowest of ELS", ">its seed"),
        ),
        [
            (
                row["network"],
                str(row["network_steps"]),
                str(row["seeds"]),
                *(
                    _interval(*by_run.loc[(row["network"], row["network_steps"], machine)])
                    for machine in shown
                ),
                *(_number(row[key]) for key in ("lower_decile", "lowest")),
                str(row["lowest_seed"]),
            )
            for row in els.to_dict("records")
        ],
        file,
    )


def _beside_paper(c: Content) -> None:
    """The paper's tables 1 and 2 with ours."""
    file = "tables/paper.csv"
    table = c.read(file)
    theirs = table[table["table"].notna()]
    ours = theirs[theirs["els_ours"].notna()]
    inside = (ours["els_low"] <= ours["els_paper"]) & (ours["els_paper"] <= ours["els_high"])
    moved = ours["els_ours"] - ours["els_paper"]
    rows = theirs.drop_duplicates(_ROW_OF_PAPER)
    run = theirs[theirs["seeds"].notna()].drop_duplicates(_ROW_OF_PAPER)
    c.value("beside.run", len(run), file)
    c.value("beside.rows", len(rows), file)
    if len(ours):
        largest = ours.loc[moved.abs().idxmax()]
        where = f"({largest['network']}, {largest['network_steps']} steps)"
        c.value("beside.count", _count(len(ours), "median"), file)
        c.value("beside.inside", int(inside.sum()), file)
        c.value("beside.upward", int((moved > 0).sum()), file)
        c.value("beside.largest", f"{moved.abs().max():.2f} {where}", file)
    columns = ["images", "network", ">seeds", *[">ours", ">paper"] * (len(REPORTED) + 1)]
    groups = [("", 3), *((m.upper(), 2) for m in REPORTED), ("ELS better", 2)]
    for number, part in theirs.groupby(theirs["table"].astype(int)):
        name = {1: "paper.first", 2: "paper.second"}[number]
        c.table(name, columns, map(_paper_row, part.to_dict("records")), file, groups=groups)
    others = table[table["table"].isna()]
    if len(others):
        others = others.to_dict("records")
        c.table("paper.others", columns, map(_paper_row, others), file, groups=groups)


_ROW_OF_PAPER = ["paper_dataset", *DESCRIPTION[1:], "network_steps"]


def _equivalence(c: Content) -> None:
    """Whether our medians are the paper's."""
    file = "tables/equivalence.csv"
    table = c.read(file)
    if table.empty:
        return
    protocol = load_protocol(c.origin(PROTOCOL))
    c.value("equivalence.margin", protocol.margin, PROTOCOL)
    c.value("equivalence.significance", f"{100 * protocol.significance:g}%", PROTOCOL)
    counted, columns = equivalences.tally(table), ("compared", *equivalences.VERDICTS, "upward")
    c.table(
        "equivalence.counts",
        ("machine", *(f">{key}" for key in columns[:-1]), ">ours is higher"),
        [
            (label(row["machine"]), *(str(row[key]) for key in columns))
            for row in counted.to_dict("records")
        ],
        file,
    )
    machines = [machine for machine in REPORTED if machine in set(table["machine"])]
    rows = []
    for (network, steps), run in table.groupby(RUN[:2], sort=False):
        of = {row["machine"]: row for row in run.to_dict("records")}
        cells = [_with_verdict(of[machine]) if machine in of else "" for machine in machines]
        trainings, seeds = (run[key].iloc[0] for key in ("trainings", "seeds"))
        rows.append((network, str(steps), str(trainings), str(seeds), *cells))
    titles = ("network", ">steps", ">trainings", ">seeds")
    c.table("equivalence", (*titles, *(f">{label(machine)}" for machine in machines)), rows, file)


def _with_verdict(row: Mapping) -> list[str]:
    number, interval = _interval(row["difference"], row["low"], row["high"])
    return [number, f"{interval} {row['verdict']}"]


def _paper_row(row: Mapping) -> list[str | list[str]]:
    words = _architecture(row["architecture"])
    if row["padding"] != "zeros":
        words += f", {row['padding']}"
    cells: list[str | list[str]] = [_title(row["dataset"]), words, _whole(row["seeds"])]
    for machine in REPORTED:
        ours = _interval(*(row[f"{machine}_{part}"] for part in ("ours", "low", "high")))
        cells += [ours, _number(row[f"{machine}_paper"])]
    return [*cells, _number(row["fraction_ours"]), _number(row["fraction_paper"])]


def _leaderboard(c: Content) -> None:
    """Predictors in most steps, over all networks where there are several."""
    file = "tables/leaderboard.csv"
    if not c.find(file):
        return
    table = c.read(file)
    steps = table["network_steps"].max()
    network = table.loc[table["network_steps"] == steps, "network"].iloc[0]
    rows = table[(table["network_steps"] == steps) & (table["network"] == network)]
    ranked = rows.dropna(subset="rank").sort_values("rank")
    if ranked.empty:
        return
    c.value("leaderboard.predictors", len(ranked), file)
    c.value("leaderboard.where", f"{network} in {steps} steps", file)
    c.value("leaderboard.first", ranked["label"].iloc[0], file)
    c.value("leaderboard.r", f"{ranked['pearson_r'].iloc[0]:.2f}", file)
    c.table(
        "leaderboard",
        (">rank", "predictor", "sees", ">r", ">R²", ">better than IS", ">p, corrected", ">s"),
        [
            (
                _whole(row["rank"]),
                row["label"],
                "" if pd.isna(row["sees"]) else row["sees"],
                _interval(row["pearson_r"], row["pearson_r_low"], row["pearson_r_high"]),
                _number(row["r2_determination"]),
                _number(row["better_than_is"]),
                _p_value(row["p_is_holm"]),
                format_number(row["seconds"], ".1f"),
            )
            for row in rows.to_dict("records")
        ],
        file,
    )


def _claims(c: Content) -> None:
    """What becomes of claims that the literature disputes."""
    file = "tables/claims.csv"
    if not c.find(file):
        return
    table = c.read(file)
    c.value("claims.count", len(table), file)
    c.value("claims.seeds", table["seeds"].min(), file)
    for verdict in claims.VERDICTS:
        name = verdict.replace(" ", ".")
        c.value(f"claims.{name}", int((table["verdict"] == verdict).sum()), file)
    sides = (claims.FOR, claims.AGAINST, claims.OPEN)
    c.table(
        "claims",
        ("claim", "by", "verdict", *(f">{side}" for side in sides), ">from", ">to"),
        [
            (
                row["text"],
                row["by"],
                row["verdict"],
                *(str(row[side]) for side in sides),
                *(
                    _interval(*(row[end + part] for part in ("", "_low", "_high")))
                    for end in ("least", "greatest")
                ),
            )
            for row in table.to_dict("records")
        ],
        file,
    )


def _controls(c: Content) -> None:
    """Controls and ablations, where the experiment has some."""
    file = "tables/variants.csv"
    if not c.find(file):
        return
    table = c.read(file)
    usual = table[table["kind"].isna()]
    c.value("unchanged", span(usual["pearson_r"]), file)
    for kind, group in table.groupby("kind"):
        c.value(f"variants.{kind}", span(group["pearson_r"]), file)
    c.table(
        "variants",
        ("network", ">steps", "change", "kind", ">r of ELS", ">difference, seed by seed"),
        [
            (
                row["network"],
                str(row["network_steps"]),
                row["variant"].replace("_", " "),
                "" if pd.isna(row["kind"]) else row["kind"],
                _interval(row["pearson_r"], row["low"], row["high"]),
                _interval(row["difference"], row["difference_low"], row["difference_high"]),
            )
            for row in table.to_dict("records")
        ],
        file,
    )


def _more(c: Content) -> None:
    """What there is beside the agreement of final images."""
    novelty = c.find("novelty/*.csv")
    if novelty:
        copies = c.read(*novelty).groupby(["network", "source"])["copy"].mean().unstack()
        for source in copies:
            if source in (*MACHINES, "held-out images"):
                name = "copies." + source.split("-")[0]
                c.value(name, _shares(copies[source].dropna()), *novelty)
        networks = [name for name in copies if name.startswith("network")]
        c.value("copies.network", _shares(copies[networks].stack()), *novelty)
    learning = c.find("learning/*.csv")
    if learning:
        table = c.read(*learning).query("machine == 'els'")
        r = with_undefined_as_zero(table.set_index(["network", "images_seen"])["pearson_r"])
        medians = r.groupby(level=[0, 1]).median().unstack(0)
        ends = {name: medians[name].dropna().sort_index() for name in medians}
        c.value("learning.first", span(rows.iloc[0] for rows in ends.values()), *learning)
        c.value("learning.last", span(rows.iloc[-1] for rows in ends.values()), *learning)
        c.value("learning.networks", _count(len(ends), "network"), *learning)
    file = "tables/siblings.csv"
    if c.find(file):
        table = c.read(file)
        c.value("siblings", span(table["pearson_r"]), file)
        c.value("siblings.pairs", _count(len(table), "comparison"), file)
    file = "tables/training_seeds.csv"
    if c.find(file):
        table = c.read(file).query("machine == 'els'")
        c.value("trainings.sd", span(table["sd_training"], 3), file)
        c.value("trainings.low", f"{table['least_median'].min():.3f}", file)
        c.value("trainings.high", f"{table['greatest_median'].max():.3f}", file)
    scales = c.read("tables/scales.csv")
    ends = scales.sort_values("t").groupby("network")["patch_size"]
    c.value("scales.low", span(ends.first(), 0), "tables/scales.csv")
    c.value("scales.high", span(ends.last(), 0), "tables/scales.csv")


def _cost(c: Content) -> None:
    """What the jobs took, by Snakemake's benchmarks; these are beside the manifest's files."""
    paths = sorted(p for p in c.results.glob(BENCHMARKS) if p.stem != "article")
    if not paths:
        return
    jobs = pd.concat(
        pd.read_csv(path, sep="\t", na_values="-").assign(job=path.stem.split("-")[0])
        for path in paths
    )
    texts = {path.name: path.read_text(encoding="utf-8") for path in paths}
    c.files[BENCHMARKS] = {"rule": "each", "sha256": content_digest(texts)}
    c.value("cost.jobs", len(jobs), BENCHMARKS)
    c.value("cost.time", _duration(jobs["s"].sum()), BENCHMARKS)
    c.value("cost.processor", _duration(jobs["cpu_time"].sum()), BENCHMARKS)
    c.value("cost.memory", f"{jobs['max_rss'].max() / 1024:.1f} GiB", BENCHMARKS)
    kinds = jobs.groupby("job").agg(
        count=("s", "size"), s=("s", "sum"), cpu=("cpu_time", "sum"), memory=("max_rss", "max")
    )
    kinds = kinds.sort_values("s", ascending=False)
    rows = [(name, *row) for name, *row in kinds.head(KINDS_OF_JOBS).itertuples()]
    if len(rest := kinds.iloc[KINDS_OF_JOBS:]):
        total = rest[["count", "s", "cpu"]].sum()
        rows.append(("all others", *total, rest["memory"].max()))
    c.table(
        "cost",
        ("job", ">count", ">time", ">processor time", ">most memory of one"),
        [
            (name, f"{n:.0f}", _duration(s), _duration(cpu), f"{memory:,.0f} MiB")
            for name, n, s, cpu, memory in rows
        ],
        BENCHMARKS,
    )


def _draw(c: Content, figures: Iterable[Mapping[str, str]]) -> None:
    """The drawings by name; of pairs, those of the first networks of two kinds, in most steps."""
    steps = max(c.config["sampling"]["network_steps"])
    first: dict[str, str] = {}
    for name in c.config["evaluate"]:
        kind = row_of_paper(c.config["networks"][name].get("architecture", "external"))
        first.setdefault(kind, f"pairs-{name}-{steps}")
    pairs = dict(zip(first.values(), ("pairs.first", "pairs.second"), strict=False))
    for figure in figures:
        path = Path(figure["path"]).with_suffix(".pdf")
        file = f"figures/{path.name}"
        if file in c.manifest["files"]:
            c.figure(pairs.get(path.stem, path.stem), file, figure["title"])


def _datasets(c: Content) -> list[str]:
    names = (c.config["networks"][name]["dataset"] for name in c.config["evaluate"])
    return list(dict.fromkeys(names))


def _title(dataset: str) -> str:
    return REGISTRY[dataset].title if dataset in REGISTRY else dataset


def _architecture(name: str) -> str:
    return ARCHITECTURES[name].title if name in ARCHITECTURES else name


def _machine_title(machine: str) -> str:
    return MACHINES[machine].title if machine in MACHINES else "of our own"


def _count(n: int, word: str) -> str:
    return f"{n} {word}" if n == 1 else f"{n} {word}s"


def _number(value: float) -> str:
    text = format_number(value, ".2f")
    return text.removeprefix("-") if text == "-0.00" else text.replace("-", "\N{MINUS SIGN}")


def _whole(value: float) -> str:
    return format_number(value, ".0f")


def _interval(value: float, low: float, high: float) -> list[str]:
    """A cell: the estimate, and its interval in small; empty where there is none."""
    if pd.isna(value):
        return [""]
    return [_number(value), f"[{_number(low)}, {_number(high)}]"]


def _p_value(value: float) -> str:
    return "" if pd.isna(value) else "< 0.001" if value < 0.001 else f"{value:.3f}"


def _of(headline: pd.DataFrame, run: Mapping, machine: str, column: str) -> float:
    rows = headline[
        (headline["network"] == run["network"])
        & (headline["network_steps"] == run["network_steps"])
        & (headline["machine"] == machine)
    ]
    return rows[column].iloc[0] if len(rows) else float("nan")


def _seen(record: Mapping) -> str:
    seen = record.get("images_seen")
    return f"{seen:,}" if seen else "not known"


def _shares(values: Iterable[float]) -> str:
    return span((100 * value for value in values), 0) + "%"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"
