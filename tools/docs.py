"""Put what finished runs found into the documentation; what has not been run stays as it is.

Into README.md go the headline table, a picture, the memory and the rule graph of the default
experiment, the performance table of benchmarks/engines.csv, and the rows of config/paper.yaml and
config/wide*.yaml, of as many networks as were run: their agreement seed by seed is kept in
numbers/agreement/, from which those tables, sign tests and audits are made. Into docs/controls.md
go sentences on the default experiment, the table of config/ablations.yaml, the two banks of
circular
MNIST (config/interior.yaml, kept likewise) and the spread of config/training_seeds.yaml.
"""

import re
import shutil
from collections.abc import Iterable
from pathlib import Path

import pandas as pd
import yaml

from patchmosaic.analysis.agreement import paired_differences
from patchmosaic.analysis.intervals import bootstrap_median, paired_difference
from patchmosaic.datasets.registry import REGISTRY
from patchmosaic.tables.expected import load_expected
from patchmosaic.tables.headline import headline
from patchmosaic.tables.text import format_interval

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "results"
AGREEMENT = ROOT / "numbers/agreement"
KEPT = (  # experiment, folder of its results, folder of numbers/agreement
    ("paper", "agreement", ""),
    ("wide", "agreement", ""),
    ("wide_mnist", "agreement", ""),
    ("interior", "agreement", "interior"),
)
SEEDS = 20  # the fewest that are kept
PICTURE = "figures/pairs-fashion_mnist-resnet-zeros-150.png"


def keep_agreement(results: Path, kept: Path) -> None:
    """Keep the agreement, seed by seed, of networks of the paper's tables; never fewer seeds."""
    for experiment, kind, folder in KEPT:
        place = kept / folder
        place.mkdir(exist_ok=True)
        for path in tables(results / experiment / kind):
            seeds, before = (
                pd.read_csv(each)["seed"].nunique() if each.exists() else 0
                for each in (path, place / path.name)
            )
            name = path.stem.rsplit("-", 1)[0]
            if name in networks_of(experiment) and seeds >= max(before, SEEDS):
                shutil.copyfile(path, place / path.name)
            else:
                print(f"not kept: {path}, {seeds} seeds")


def tables(folder: Path) -> list[Path]:
    """The tables of agreement seed by seed in a folder, one a network and number of steps."""
    return sorted(folder.glob("*-[0-9]*.csv"))


def kept_agreement(kept: Path) -> pd.DataFrame:
    """All that a folder keeps: a row a network, number of steps, machine and seed."""
    rows = pd.concat(map(pd.read_csv, tables(kept)))
    return rows.sort_values(["network", "network_steps"], kind="stable", ignore_index=True)


def networks_of(*configs: str) -> list[str]:
    """The networks that these configs evaluate."""
    texts = ((ROOT / f"config/{config}.yaml").read_text() for config in configs)
    return [name for text in texts for name in yaml.safe_load(text)["configurations"]]


def headline_table(headline: pd.DataFrame, determination: bool = False) -> str:
    """The medians as a Markdown table, a row a network and number of steps.

    With ``determination`` also R² of ELS.
    """
    extra = ["R² of ELS"] * determination
    titles = ["dataset", "network", "network steps", "seeds", "ELS", "LS", "IS", *extra]
    titles += ["paper's ELS", "difference"]
    lines = ["| " + " | ".join(titles) + " |", "|---" * len(titles) + "|"]
    names = headline["architecture"].where(
        headline["padding"] == "zeros", headline["architecture"] + ", " + headline["padding"]
    )
    for (dataset, name, steps), rows in headline.groupby(
        ["dataset", names, "network_steps"], sort=False
    ):
        by_machine = rows.set_index("machine")
        els = by_machine.loc["els"]
        medians = [
            f"{r.pearson_r:.2f} [{r.pearson_r_low:.2f}, {r.pearson_r_high:.2f}]"
            for r in (by_machine.loc[m] for m in ("els", "ls", "is"))
        ]
        cells = [dataset, name, steps, els.seeds, *medians]
        if determination:
            ends = (els[f"r2_determination{end}"] for end in ("", "_low", "_high"))
            cells.append(format_interval(*ends, 2))
        difference = f"{els.difference:+.2f}"
        cells += [f"{els.paper:.2f}", "0.00" if difference[1:] == "0.00" else difference]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def without_images(paper: pd.DataFrame, datasets: Iterable[str]) -> str:
    """Lines for :func:`headline_table`: rows of the paper whose images the user has to bring.

    Args:
        paper: the paper's tables, as `load_expected` reads them.
        datasets: what has been run.
    """
    absent = [name for name in set(paper["dataset"]) - set(datasets) if REGISTRY[name].only_local]
    rows = paper[paper["dataset"].isin(absent)]
    return "\n".join(
        f"| {row.dataset} | {row.architecture} | {row.network_steps} | 0 | bring the images "
        f"| | | | {row.els:.2f} | |"
        for row in rows.sort_values(["dataset", "architecture", "network_steps"]).itertuples()
    )


def sign_tests(paired: pd.DataFrame) -> str:
    """A sentence on ELS and IS seed by seed, with the least clear of the exact sign tests."""
    rows = paired[(paired["a"] == "els") & (paired["b"] == "is")]
    closer = int((rows["positive"] > rows["negative"]).sum())
    least = rows.loc[rows["p_value"].idxmax()]
    return (
        f"In {closer} of {len(rows)} rows ELS is closer than IS to the network; in the least clear "
        f"one, {least['network']} in\n{least['network_steps']} steps, in {least['positive']} of "
        f"{least['seeds']} seeds (exact sign test p = {least['p_value']:.2g}; "
        "`tables/paired.csv` of the results)."
    )


def audits(agreement: pd.DataFrame) -> str:
    """A sentence on the error that the adaptive engine's audits found."""
    audited = agreement[(agreement["machine"] == "els") & (agreement["audited_rows"] > 0)]
    errors = audited.groupby("network")["audited_rms"].max()
    return (
        "By the audits of these runs the root mean square of that error, of the posterior mean of "
        f"ELS with pixels in [-1, 1],\nis from {errors.min():.4f} ({errors.idxmin()}) to "
        f"{errors.max():.4f} ({errors.idxmax()}); the tolerance is 0.01, and\na job whose "
        "95% interval lies wholly above it is computed again by the exact engine."
    )


def memory(benchmarks: Path) -> str:
    """The most memory that a job of the experiment took."""
    jobs = pd.concat(
        pd.read_csv(path, sep="\t", na_values="-") for path in benchmarks.glob("*.tsv")
    )
    most = jobs["max_rss"].max()
    return f"No job of it takes more than {most / 1024:.1f} GiB of memory."


def performance_table(rows: pd.DataFrame) -> str:
    """What ``benchmarks/engines.py`` measured of whole samples, a row an engine."""
    lines = [
        "| engine | seconds a sample | times as fast as dense | peak memory (GiB) "
        "| error of the posterior mean | Pearson r with exact |",
        "|---|---|---|---|---|---|",
    ]
    whole = rows[(rows["kind"] == "sample") & (rows["channels"] == 1)].set_index("engine")
    each = whole["seconds"] / whole["batch"]
    for engine in ("dense", "exact", "adaptive"):
        row = whole.loc[engine]
        cells = [
            "dense, scaled up from 100 images" if engine == "dense" else engine,
            f"{each[engine]:,.1f}" if each[engine] < 1000 else f"{each[engine]:,.0f}",
            f"{each['dense'] / each[engine]:.0f}",
        ]
        cells.append("" if engine == "dense" else f"{row.peak_mib / 1024:.1f}")
        cells.append("" if pd.isna(row.audited_rms) else f"{row.audited_rms:.4f}")
        r = row.median_pearson_r_with_exact
        cells.append("" if pd.isna(r) else f"{r:.5f}")
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def variants_table(rows: pd.DataFrame) -> str:
    """Controls and ablations as a Markdown table: median r and its interval, and the difference."""
    runs = list(dict.fromkeys(zip(rows["network"], rows["network_steps"], strict=True)))
    lines = [
        f"| | {' | '.join(f'{network}, {steps} steps' for network, steps in runs)} |",
        "|---" * (len(runs) + 1) + "|",
    ]
    indexed = rows.set_index(["variant", "network", "network_steps"])
    for kind, group in rows.fillna({"kind": ""}).groupby("kind", sort=False):
        if kind:
            lines.append(f"| **{kind}s** |" + " |" * len(runs))
        for variant in dict.fromkeys(group["variant"]):
            cells = [variant.replace("_", " ")]
            for run in runs:
                row = indexed.loc[(variant, *run)] if (variant, *run) in indexed.index else None
                cells.append("" if row is None else _with_difference(row))
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _with_difference(row: pd.Series) -> str:
    text = f"{row.pearson_r:.2f} [{row.low:.2f}, {row.high:.2f}]"
    return text if pd.isna(row.difference) else f"{text} ({row.difference:+.3f})"


def banks_table(interior: pd.DataFrame, usual: pd.DataFrame, paper: pd.DataFrame) -> str:
    """Circular networks' ELS with interior and with wrapped patches, a row a number of steps.

    Args:
        interior, usual: agreement seed by seed, with either bank.
        paper: the paper's tables, as `load_expected` reads them.
    """
    titles = ["network", "network steps", "seeds", "wrapped", "interior", "difference"]
    titles += ["seeds with less", "paper's ELS"]
    lines = ["| " + " | ".join(titles) + " |", "|---" * len(titles) + "|"]
    keys = ["network", "network_steps", "machine", "seed"]
    wrapped = usual.set_index(keys)["pearson_r"].fillna(0.0)
    reported = headline(interior, paper).set_index(keys[:3])["paper"]
    els = interior[interior["machine"] == "els"].fillna({"pearson_r": 0.0})
    for (network, steps), rows in els.groupby(keys[:2]):
        before = wrapped[rows.set_index(keys).index]
        change = paired_difference(rows["pearson_r"], before)
        cells = [network, steps, len(rows)]
        cells += [format_interval(*bootstrap_median(r), 2) for r in (before, rows["pearson_r"])]
        cells += [format_interval(change.estimate, change.low, change.high, 3), change.negative]
        cells.append(f"{reported[network, steps, 'els']:.2f}")
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def controls(rows: pd.DataFrame) -> str:
    """A sentence on the controls, at the largest number of network steps."""
    rows = rows[(rows["network_steps"] == rows["network_steps"].max())]
    networks = list(dict.fromkeys(rows["network"]))
    found = rows.set_index(["variant", "network"])["pearson_r"]

    def medians(variant: str) -> str:
        return " and ".join(f"{found[variant, network]:.2f}" for network in networks)

    names = dict.fromkeys(rows.loc[rows["kind"] == "control", "variant"])
    each = "; ".join(f"{name.replace('_', ' ')} {medians(name)}" for name in names)
    return (
        f"ELS and network in {rows['network_steps'].max()} steps, {' and '.join(networks)}: "
        f"{medians('unchanged')}.\nControls, which must fall: {each}."
    )


def siblings(rows: pd.DataFrame) -> str:
    """A sentence on networks of the same images, compared with each other and with ELS."""
    r, machines = rows["pearson_r"], rows[["els_a", "els_b"]]
    fewer = int((r < machines.min(axis=1)).sum())
    return (
        "In the default experiment a ResNet and a UNet of the same images agree with each "
        "other\nwith "
        f"medians of r from {r.min():.2f} to {r.max():.2f}; ELS agrees with them from "
        f"{machines.min().min():.2f} to {machines.max().max():.2f}. In {fewer} of {len(rows)}\n"
        "comparisons the networks agree less with each other than each does with its ELS machine, "
        "which\nknows the locality scales of that network."
    )


def training_spread(rows: pd.DataFrame) -> str:
    """The spread over trainings beside that over noise, a row a number of steps and machine."""
    lines = [
        f"{rows['networks'].max()} trainings of {' and '.join(rows['network'].unique())}, "
        f"{rows['seeds'].max()} noise seeds: medians of r, half of their 95% interval, standard "
        "deviations (sd) of r.",
        "",
        "| network steps | machine | medians | half interval | the same with trainings | sd of "
        "trainings | of noise | of interaction |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows.sort_values("network_steps", kind="stable").itertuples():
        lines.append(
            f"| {row.network_steps} | {row.machine.upper()} | {row.least_median:.3f} to "
            f"{row.greatest_median:.3f} | {row.half_interval:.3f} | "
            f"{row.half_interval_with_training:.3f} | {row.sd_training:.3f} | "
            f"{row.sd_noise:.3f} | {row.sd_interaction:.3f} |"
        )
    return "\n".join(lines)


def learning_table(rows: pd.DataFrame) -> str:
    """Median agreement of ELS after so many training images, with intervals, as Markdown."""
    els = rows[rows["machine"] == "els"].fillna({"pearson_r": 0.0})
    by_moment = els.groupby(["images_seen", "network"], sort=False)["pearson_r"]
    wide = by_moment.apply(lambda r: format_interval(*bootstrap_median(r), 2)).unstack()
    wide = wide.sort_index()
    lines = [
        f"| images seen | {' | '.join(wide.columns)} |",
        "|---" * (len(wide.columns) + 1) + "|",
    ]
    for seen, row in wide.iterrows():
        cells = ("" if pd.isna(cell) else cell for cell in row)
        lines.append(f"| {seen:,} | {' | '.join(cells)} |")
    return "\n".join(lines)


def replaced(text: str, begin: str, end: str, content: str) -> str:
    """``text`` with what stands between two markers replaced; both must occur once."""
    pattern = re.compile(f"({re.escape(begin)}\n).*?({re.escape(end)})", re.DOTALL)
    text, count = pattern.subn(lambda m: f"{m[1]}{content}\n{m[2]}", text)
    if count != 1:
        raise ValueError(f"expected {begin!r} ... {end!r} once, found it {count} times")
    return text


def readme_blocks(results: Path, kept: Path) -> dict[str, str]:
    """What was run says this in README.md, by the name of its place."""
    blocks = {}
    if (table := results / "tables/headline.csv").exists():
        blocks["headline"] = headline_table(pd.read_csv(table))
        blocks["memory"] = memory(results / "benchmarks")
    if (table := results / "ablations/tables/variants.csv").exists():
        blocks["controls"] = controls(pd.read_csv(table))
    blocks["performance"] = performance_table(pd.read_csv(ROOT / "benchmarks/engines.csv"))
    paper = load_expected(ROOT / "numbers/expected.yaml").paper
    agreement = kept_agreement(kept)
    medians = headline(agreement, paper)
    narrow = medians[medians["network"].isin(networks_of("paper"))]
    wide = medians[medians["network"].isin(networks_of("wide", "wide_mnist"))]
    absent = without_images(paper, narrow["dataset"])
    blocks["paper"] = "\n".join(filter(None, [headline_table(narrow, True), absent]))
    blocks["wide"] = headline_table(wide, True)
    agreement = agreement[agreement["network"].isin(narrow["network"])]
    blocks["sign tests"] = sign_tests(paired_differences(agreement, [("els", "is")]))
    blocks["audits"] = audits(agreement)
    return blocks


def controls_blocks(results: Path, kept: Path) -> dict[str, str]:
    """What was run says this in docs/controls.md, by the name of its place."""
    blocks = {}
    paper = load_expected(ROOT / "numbers/expected.yaml").paper
    interior, usual = (kept_agreement(kept / folder) for folder in ("interior", ""))
    blocks["circular banks"] = banks_table(interior, usual, paper)
    if (table := results / "tables/siblings.csv").exists():
        blocks["siblings"] = siblings(pd.read_csv(table))
    if curves := sorted((results / "learning").glob("*.csv")):
        blocks["learning"] = learning_table(pd.concat(map(pd.read_csv, curves)))
    if (table := results / "training_seeds/tables/training_seeds.csv").exists():
        blocks["training seeds"] = training_spread(pd.read_csv(table))
    if (table := results / "ablations/tables/variants.csv").exists():
        blocks["variants"] = variants_table(pd.read_csv(table))
    return blocks


def put(page: Path, blocks: dict[str, str]) -> None:
    """Put each text into its place in a page."""
    text = page.read_text()
    for name, content in blocks.items():
        begin, end = f"<!-- {name}: make readme -->", f"<!-- {name}: end -->"
        text = replaced(text, begin, end, content)
    page.write_text(text)


if __name__ == "__main__":
    keep_agreement(RESULTS, AGREEMENT)
    put(ROOT / "README.md", readme_blocks(RESULTS, AGREEMENT))
    put(ROOT / "docs/controls.md", controls_blocks(RESULTS, AGREEMENT))
    if (graph := RESULTS / "figures/rulegraph.mmd").exists():
        page = ROOT / "README.md"
        text = replaced(page.read_text(), "```mermaid", "```", graph.read_text().strip())
        page.write_text(text)
    if (RESULTS / PICTURE).exists():
        shutil.copyfile(RESULTS / PICTURE, ROOT / "docs/pairs.png")
