"""Keep what finished runs found, and write it into README.md and docs/: `make readme`.

Runs leave their numbers in results/; what the documentation quotes of them is kept in numbers/:
the agreement of the paper's rows seed by seed, and a few small tables. Every number of a page
comes from there, from checkpoints/ or from benchmarks/, by a function of the table BLOCKS, into the
place in the page that two comments mark. A run that has not been made leaves what is kept as it is.
"""

from __future__ import annotations

import json
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import yaml

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))  # the package and the workflow beside this file

from patchmosaic.analysis.agreement import paired_differences  # noqa: E402
from patchmosaic.analysis.intervals import (  # noqa: E402
    bootstrap_median,
    paired_difference,
    with_undefined_as_zero,
)
from patchmosaic.datasets.registry import REGISTRY  # noqa: E402
from patchmosaic.machines.registry import label  # noqa: E402
from patchmosaic.tables.claims import (  # noqa: E402
    AGAINST,
    FOR,
    OPEN,
    judged,
    of_agreement,
)
from patchmosaic.tables.equivalence import COMPARED, VERDICTS, equivalence, tally  # noqa: E402
from patchmosaic.tables.headline import headline  # noqa: E402
from patchmosaic.tables.leaderboard import ALL  # noqa: E402
from patchmosaic.tables.paper import Paper, load_paper  # noqa: E402
from patchmosaic.tables.protocol import load_protocol  # noqa: E402
from patchmosaic.tables.tails import tails  # noqa: E402
from patchmosaic.tables.text import format_interval, listed, span  # noqa: E402
from workflow.config_files import completed  # noqa: E402

RESULTS = ROOT / "results"
NUMBERS = ROOT / "numbers"
KEPT = {  # experiment: folder of numbers/agreement
    "paper": "",
    "wide": "",
    "wide_mnist": "",
    "paper_networks": "paper_networks",
    "interior": "interior",
}
SEEDS = 20  # the fewest that are kept
KEPT_TABLES = {  # file of numbers/tables: of the results
    "headline.csv": "tables/headline.csv",
    "siblings.csv": "tables/siblings.csv",
    "variants.csv": "ablations/tables/variants.csv",
    "halves.csv": "halves/tables/variants.csv",
    "halves_siblings.csv": "halves/tables/siblings.csv",
    "training_seeds.csv": "training_seeds/tables/training_seeds.csv",
    "own_network.csv": "own_network/tables/headline.csv",
    "public_model.csv": "public_model/tables/headline.csv",
    "photographs.csv": "photographs/tables/headline.csv",
    "leaderboard.csv": "leaderboard/tables/leaderboard.csv",
    "claims.csv": "claims/tables/claims.csv",
    "claims_tests.csv": "claims/tables/claims_tests.csv",
    "claims_gradients.csv": "claims/tables/claims_gradients.csv",
}
PICTURE = "figures/pairs-fashion_mnist-resnet-zeros-150.png"
ANSWER = (  # the networks of the paper's abstract, but for CelebA, in 150 steps
    "cifar10_jpeg-resnet-zeros",
    "fashion_mnist-resnet-zeros",
    "mnist-resnet-zeros",
    "cifar10_jpeg-unet_attention-zeros",
)
MACHINES = ("els", "ls", "is")
ADDITIONS_OF_16_PAIRS = 20  # of gray patches at P = 13, as benchmarks/README.md counts them
LEVEL = 0.02  # medians no farther apart are called level


# Keeping what was found


def keep_agreement(results: Path, kept: Path) -> None:
    """Keep the agreement, seed by seed, of networks of the paper's tables; never fewer seeds."""
    for experiment, folder in KEPT.items():
        place = kept / folder
        place.mkdir(exist_ok=True)
        for path in tables(results / experiment / "agreement"):
            seeds, before = (
                pd.read_csv(each)["seed"].nunique() if each.exists() else 0
                for each in (path, place / path.name)
            )
            name = path.stem.rsplit("-", 1)[0]
            if name in networks_of(experiment) and seeds >= max(before, SEEDS):
                shutil.copyfile(path, place / path.name)
            else:
                print(f"not kept: {path}, {seeds} seeds")


def keep_tables(results: Path, kept: Path) -> None:
    """Keep small tables of the default experiment, the controls and the repeated trainings."""
    for name, path in KEPT_TABLES.items():
        if (results / path).exists():
            shutil.copyfile(results / path, kept / name)
    if curves := sorted((results / "learning").glob("*.csv")):
        learning(pd.concat(map(pd.read_csv, curves))).to_csv(kept / "learning.csv", index=False)
    manifest = results / "manifest.json"
    if (jobs := sorted((results / "benchmarks").glob("*.tsv"))) and manifest.exists():
        took = pd.concat(pd.read_csv(job, sep="\t", na_values="-") for job in jobs)
        cost = {"max_rss_mib": took["max_rss"].max(), "core_seconds": took["cpu_time"].sum()}
        cost |= json.loads(manifest.read_text(encoding="utf-8"))["hardware"]
        pd.DataFrame([cost]).to_csv(kept / "cost.csv", index=False)


def tables(folder: Path) -> list[Path]:
    """The tables of agreement seed by seed in a folder, one per network and number of steps."""
    return sorted(folder.glob("*-[0-9]*.csv"))


def learning(rows: pd.DataFrame) -> pd.DataFrame:
    """Median agreement of ELS after so many training images, with its interval."""
    els = rows[rows["machine"] == "els"].set_index(["images_seen", "network"])["pearson_r"]
    moments = [
        {"network": network, "images_seen": seen}
        | dict(zip(("pearson_r", "low", "high"), bootstrap_median(r), strict=True))
        for (seen, network), r in with_undefined_as_zero(els).groupby(level=[0, 1])
    ]
    return pd.DataFrame(moments)


# Reading what is kept


class Numbers:
    """All that is kept in a folder such as numbers/."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def whole_paper(self) -> Paper:
        """The paper's tables and what it says of them."""
        return load_paper(NUMBERS / "paper.yaml")

    @property
    def paper(self) -> pd.DataFrame:
        """The rows of the paper's tables."""
        return self.whole_paper.rows

    @cached_property
    def agreement(self) -> pd.DataFrame:
        """A row per network, number of steps, machine and seed."""
        return self._agreement("")

    @cached_property
    def interior(self) -> pd.DataFrame:
        """The same with a bank of patches inside the training images."""
        return self._agreement("interior")

    @cached_property
    def paper_networks(self) -> pd.DataFrame:
        """The same of networks of the paper's layers, as far as they are trained."""
        return self._agreement("paper_networks")

    def _agreement(self, folder: str) -> pd.DataFrame:
        rows = pd.concat(map(pd.read_csv, tables(self.folder / "agreement" / folder)))
        return rows.sort_values(["network", "network_steps"], kind="stable", ignore_index=True)

    @cached_property
    def _medians(self) -> pd.DataFrame:
        return headline(self.agreement, self.paper)

    def medians(self, *configs: str) -> pd.DataFrame:
        """The headline of the networks that these configs evaluate."""
        return self._medians[self._medians["network"].isin(networks_of(*configs))]

    @cached_property
    def equivalence(self) -> pd.DataFrame:
        """Whether the medians of the paper's rows are the paper's."""
        rows = self.agreement[self.agreement["network"].isin(networks_of("paper"))]
        protocol = load_protocol(NUMBERS / "protocol.yaml")
        return equivalence(rows, self.whole_paper, self.table("training_seeds"), protocol)

    def wide(self, *configs: str) -> pd.DataFrame:
        """Median r of each machine, a row per network and number of steps."""
        keys = ["network", "network_steps"]
        return self.medians(*configs).pivot(index=keys, columns="machine", values="pearson_r")

    def els(self, network: str, steps: int) -> pd.Series:
        """Pearson's r of ELS by seed."""
        rows = self.agreement.query(
            "machine == 'els' and network == @network and network_steps == @steps"
        )
        return with_undefined_as_zero(rows.set_index("seed")["pearson_r"])

    def table(self, name: str) -> pd.DataFrame:
        """One of the small tables."""
        return pd.read_csv(self.folder / f"tables/{name}.csv")

    def benchmark(self, name: str) -> pd.DataFrame:
        """What a command of benchmarks/ measured."""
        return pd.read_csv(ROOT / f"benchmarks/{name}.csv")


def networks_of(*configs: str) -> list[str]:
    """The networks that these configs evaluate."""
    return [name for config in configs for name in config_of(config)["evaluate"]]


def config_of(name: str) -> dict:
    """The default config, or one of config/ over it."""
    overrides = [] if name == "default" else [ROOT / f"config/{name}.yaml"]
    return completed(ROOT, *(yaml.safe_load(path.read_text()) for path in overrides))[0]


# Tables and sentences


def markdown(titles: Iterable[object], rows: Iterable[Iterable[object]]) -> str:
    """A table; a cell that is None is empty."""
    titles = [*titles]
    lines = [
        "|" + "".join(" |" if cell in (None, "") else f" {cell} |" for cell in line)
        for line in (titles, *rows)
    ]
    return "\n".join([lines[0], "|---" * len(titles) + "|", *lines[1:]])


def signed(value: float, digits: int = 2) -> str:
    """With its sign, but for nothing."""
    text = f"{value:+.{digits}f}"
    return text[1:] if float(text) == 0 else text


def headline_table(headline: pd.DataFrame, determination: bool = False) -> str:
    """The medians, a row per network and number of steps; with R² of ELS if asked for."""
    extra = ["R² of ELS"] * determination
    titles = ["dataset", "network", "network steps", "seeds", "ELS", "LS", "IS", *extra]
    names = headline["architecture"].where(
        headline["padding"] == "zeros", headline["architecture"] + ", " + headline["padding"]
    )
    rows = []
    for (dataset, name, steps), group in headline.groupby(
        ["dataset", names, "network_steps"], sort=False
    ):
        by_machine = group.set_index("machine")
        els = by_machine.loc["els"]
        cells = [dataset, name, steps, els.seeds]
        cells += [_interval(by_machine.loc[machine], "pearson_r") for machine in MACHINES]
        if determination:
            cells.append(_interval(els, "r2_determination"))
        rows.append([*cells, f"{els.paper:.2f}", signed(els.difference)])
    return markdown([*titles, "paper's ELS", "difference"], rows)


def _interval(row: pd.Series, column: str) -> str:
    estimate, low, high = (row[column + end] for end in ("", "_low", "_high"))
    return format_interval(estimate, low, high, 2)


def answer(numbers: Numbers) -> str:
    """The rows of the paper's abstract."""
    rows = numbers.medians("paper").query("network_steps == 150").set_index("network")
    return headline_table(pd.concat(rows.loc[[name]] for name in ANSWER), True)


def paper_table(numbers: Numbers) -> str:
    """Every row of the paper's tables, those without images too."""
    found = numbers.medians("paper")
    absent = without_images(numbers.paper, found["dataset"])
    return "\n".join(filter(None, [headline_table(found, True), absent]))


def without_images(paper: pd.DataFrame, datasets: Iterable[str]) -> str:
    """Lines for :func:`headline_table`: rows of the paper whose images the user has to bring.

    Args:
        paper: the paper's tables, as `load_paper` reads them.
        datasets: what has been run.
    """
    absent = [name for name in set(paper["dataset"]) - set(datasets) if REGISTRY[name].only_local]
    rows = paper[paper["dataset"].isin(absent)]
    return "\n".join(
        f"| {row.dataset} | {row.architecture} | {row.network_steps} | 0 | bring the images "
        f"| | | | {row.els:.2f} | |"
        for row in rows.sort_values(["dataset", "architecture", "network_steps"]).itertuples()
    )


def found_for(numbers: Numbers) -> str:
    """What speaks for the claim."""
    changes = numbers.table("variants")
    controls = changes.loc[changes["kind"] == "control", "pearson_r"]
    unchanged = changes.loc[changes["variant"] == "unchanged", "pearson_r"]
    networks, seeds = changes["network"].nunique(), config_of("ablations")["seeds"]
    return "\n".join(
        f"- {sentence}"
        for sentence in (
            closer_than_is(numbers),
            level_with_the_paper(numbers),
            f"Controls that take away what the claim rests on, of {networks} ResNets and "
            f"{seeds['evaluation']['count']} seeds, agree at {span(controls)}; the chain as it is "
            f"at {span(unchanged)}.",
        )
    )


def found_against(numbers: Numbers) -> str:
    """What speaks against it, or against reading too much into it."""
    changes = numbers.table("variants").set_index("variant")
    spread = numbers.table("training_seeds").query("machine == 'els' and network_steps == 20")
    unets = numbers.wide("paper").filter(regex="-unet-", axis=0)
    level = int((unets["els"] - unets["ls"]).abs().le(LEVEL).sum())
    least, greatest = spread[["least_median", "greatest_median"]].iloc[0]
    raw = changes.loc["raw_weights", "difference"].abs()
    return "\n".join(
        f"- {sentence}"
        for sentence in (
            "IS is a weak opponent, for it can only recall whole images. LS, which keeps to the "
            f"position, is within {LEVEL} of ELS in {level} of {len(unets)} UNet rows.",
            "Much of an agreement is cheap: another dataset's patches reach "
            f"{span(changes.loc['other_bank', 'pearson_r'])}, another seed's image "
            f"{span(changes.loc['shuffled_seeds', 'pearson_r'])}.",
            "Our networks are narrower, trained for less, and average their weights, as the "
            f"paper's do not; without averaging, r of two ResNets is {span(raw, 3)} lower.",
            f"There is one training per row; {spread['networks'].iloc[0]} trainings of the MNIST "
            f"ResNet have, in 20 steps, medians of {span((least, greatest), 3)}.",
            circular_mnist(numbers),
            own_layers(numbers),
            disjoint_halves(numbers),
            simple_predictors(numbers),
        )
    )


def own_layers(numbers: Numbers) -> str:
    """What is known of networks of the paper's own layers."""
    els = headline(numbers.paper_networks, numbers.paper).query("machine == 'els'")
    rows = [
        f"{network} at {' and '.join(f'{r:.2f}' for r in group['pearson_r'])} in "
        f"{' and '.join(map(str, group['network_steps']))} steps"
        for network, group in els.groupby("network")
    ]
    return (
        "The one network of the paper's own layers that is evaluated so far agrees with ELS far "
        f"less: {listed(rows)}; its training is likely at fault "
        "([why](docs/results.md#the-papers-layers))."
    )


def disjoint_halves(numbers: Numbers) -> str:
    """How networks with no image in common agree with each other, and with ELS."""
    pairs = numbers.table("halves_siblings")
    return (
        "Small networks of disjoint halves of the images agree with each other at "
        f"{span(pairs['pearson_r'])}, with ELS at {span(pairs[['els_a', 'els_b']].stack())} "
        "([halves](docs/controls.md#networks-of-disjoint-halves))."
    )


def simple_predictors(numbers: Numbers) -> str:
    """Whether ELS is above a Wiener filter beside the small networks of the claims."""
    claim = numbers.table("claims").set_index("claim").loc["simple"]
    return (
        f"Beside small networks {claim['for']} of {claim['tests']} tests say that ELS is closer "
        f"than a Wiener filter and {claim['against']} the contrary ([claims](docs/claims.md))."
    )


def closer_than_is(numbers: Numbers) -> str:
    """ELS and IS, seed by seed."""
    closer, count, least = closer_and_least_clear(numbers)
    return (
        f"ELS is closer to the network than IS in {closer} of {count} rows, in the least clear "
        f"one on {least['positive']} of {least['seeds']} seeds."
    )


def near_the_paper(numbers: Numbers, within: float = 0.04) -> str:
    """How many medians are near the paper's, and which are not."""
    els = numbers.medians("paper").query("machine == 'els'")
    near = els["difference"].abs() <= within
    above = int((els["difference"] > 0).sum())
    return (
        f"{int(near.sum())} of {len(els)} medians are within {within} of the paper's; {above} of "
        f"the {len(els)} differences are upward."
    )


def equivalence_table(numbers: Numbers) -> str:
    """Differences from the paper's medians, with intervals and verdicts."""
    found = numbers.equivalence
    rows = []
    for (network, steps), group in found.groupby(["network", "network_steps"], sort=False):
        by_machine = group.set_index("machine")
        cells = [
            f"{signed(row.difference)} [{signed(row.low)}, {signed(row.high)}] {row.verdict}"
            for row in by_machine.loc[list(COMPARED)].itertuples()
        ]
        rows.append([network, steps, *cells])
    counts = [
        ["all rows", "", *(_verdicts_in_words(row) for row in tally(found).to_dict("records"))]
    ]
    return markdown(["network", "network steps", *map(str.upper, COMPARED)], rows + counts)


def tails_table(numbers: Numbers) -> str:
    """How often r of each machine is low, and the least r of ELS."""
    low = load_protocol(NUMBERS / "protocol.yaml").low
    rows = numbers.agreement[numbers.agreement["network"].isin(networks_of("paper"))]
    found = []
    for (network, steps), group in tails(rows, low).groupby(["network", "network_steps"]):
        by_machine = group.set_index("machine")
        els = by_machine.loc["els"]
        shares = by_machine.loc[list(COMPARED), ["share", "share_low", "share_high"]]
        cells = [f"{share:.2f} [{a:.2f}, {b:.2f}]" for share, a, b in shares.to_numpy()]
        least = f"{els['lowest']:.2f} (seed {els['lowest_seed']})"
        found.append([network, steps, *cells, f"{els['lower_decile']:.2f}", least])
    heads = [f"{machine.upper()} below {low}" for machine in COMPARED]
    return markdown(
        ["network", "network steps", *heads, "lower decile of ELS", "lowest of ELS"], found
    )


def _verdicts_in_words(counts: dict | pd.Series) -> str:
    """Such as "11 level, 4 above and 3 undecided"."""
    return listed([f"{counts[each]} {each}" for each in VERDICTS if counts.get(each, 0)])


def level_with_the_paper(numbers: Numbers) -> str:
    """How many medians of ELS are the paper's within the margin, both errors counted."""
    els = tally(numbers.equivalence).set_index("machine").loc["els"]
    margin = load_protocol(NUMBERS / "protocol.yaml").margin
    return (
        f"{els['level']} of {els['compared']} medians of ELS are level with the paper's, within "
        f"{margin} by two one-sided tests that count the errors of both sides; the others are "
        f"{_verdicts_in_words(els.drop('level'))}."
    )


def circular_mnist(numbers: Numbers) -> str:
    """The row that is farthest from the paper's, and how much of that is the bank."""
    rows = numbers.medians("paper").query("machine == 'els' and network == 'mnist-resnet-circular'")
    inside = headline(numbers.interior, numbers.paper).query("machine == 'els'")
    values = (
        " and ".join(f"{value:.2f}" for value in column)
        for column in (rows["pearson_r"], rows["paper"], inside["pearson_r"])
    )
    return (
        "The circular ResNet of MNIST agrees at {} in 20 and 150 steps, the paper's at {}; with "
        "a bank as in the paper's code it is {}.".format(*values)
    )


def short_answer(numbers: Numbers) -> str:
    """Which machine is the nearest, and which rows are far from the paper's."""
    medians = numbers.wide("paper")
    beaten = medians[medians["ls"] > medians["els"]]
    networks = " and ".join(beaten.index.get_level_values("network").unique())
    els = numbers.medians("paper").query("machine == 'els'")
    far = els[els["difference"].abs() > 0.04]
    rows = listed(f"{row.network} in {row.network_steps} steps" for row in far.itertuples())
    return (
        f"{closer_than_is(numbers)} It has the highest median of the three machines in\n"
        f"{len(medians) - len(beaten)} of {len(medians)}; in the others, of {networks}, LS is "
        f"{span(beaten['ls'] - beaten['els'])} higher.\n{near_the_paper(numbers)} Farther\n"
        f"away are {rows}."
    )


def els_and_ls(numbers: Numbers) -> str:
    """How far ELS is above LS, seed by seed, a row per network."""
    differences = paired(numbers, "ls").set_index(["network", "network_steps"])
    steps = sorted(differences.index.unique("network_steps"))
    titles = ["network", *(f"median difference, {n} steps" for n in steps)]
    rows = (
        [name, *(_three(differences.loc[name, n]) for n in steps)] for name in networks_of("paper")
    )
    return markdown(titles, rows)


def _three(row: pd.Series, digits: int = 3) -> str:
    return format_interval(row["difference"], row["low"], row["high"], digits)


def paired(numbers: Numbers, other: str = "is") -> pd.DataFrame:
    """ELS and another machine seed by seed, in the paper's rows."""
    rows = numbers.agreement[numbers.agreement["network"].isin(networks_of("paper"))]
    return paired_differences(rows, [("els", other)])


def closer_and_least_clear(numbers: Numbers) -> tuple[int, int, pd.Series]:
    """In how many rows of how many ELS is closer than IS, and the least clear row."""
    rows = paired(numbers)
    closer = int((rows["positive"] > rows["negative"]).sum())
    return closer, len(rows), rows.loc[rows["p_value"].idxmax()]


def sign_tests(numbers: Numbers) -> str:
    """A sentence on ELS and IS seed by seed, with the least clear of the exact sign tests."""
    closer, count, least = closer_and_least_clear(numbers)
    return (
        f"In {closer} of {count} rows ELS is closer than IS to the network; in the least clear "
        f"one, {least['network']} in\n{least['network_steps']} steps, in {least['positive']} of "
        f"{least['seeds']} seeds (exact sign test p = {least['p_value']:.2g}; "
        "`tables/paired.csv` of the results)."
    )


def audits(numbers: Numbers) -> str:
    """A sentence on the error that the adaptive engine's audits found."""
    rows = numbers.agreement[numbers.agreement["network"].isin(networks_of("paper"))]
    audited = rows[(rows["machine"] == "els") & (rows["audited_rows"] > 0)]
    errors = audited.groupby("network")["audited_rms"].max()
    return (
        "By the audits of these runs the root mean square error of the posterior mean of ELS, with "
        f"pixels in [-1, 1],\nis from {errors.min():.4f} ({errors.idxmin()}) to "
        f"{errors.max():.4f} ({errors.idxmax()}); the tolerance is "
        f"{config_of('paper')['adaptive']['tolerance']}."
    )


def first_seeds(numbers: Numbers) -> str:
    """Whether the seeds of the default experiment are lucky ones."""
    rows = []
    for name in networks_of("default"):
        for steps in (20, 150):
            r = numbers.els(name, steps)
            cells = (format_interval(*bootstrap_median(each), 3) for each in (r[:20], r[20:]))
            rows.append([name, steps, *cells])
    return markdown(["network", "network steps", "seeds 0 to 19", "seeds 20 to 99"], rows)


def wide_and_narrow(numbers: Numbers) -> str:
    """Networks of the paper's width beside ours, seed by seed."""
    rows = []
    for name in networks_of("wide", "wide_mnist"):
        narrow = name.rsplit("-", 1)[0]
        for steps in (20, 150):
            wide = numbers.els(name, steps)
            change = paired_difference(wide, numbers.els(narrow, steps)[wide.index])
            text = format_interval(change.estimate, change.low, change.high, 3)
            rows.append([name, steps, text, f"{change.positive} of {len(wide)}"])
    titles = ["wide network", "network steps", "median of wide - narrow", "seeds with wide above"]
    return markdown(titles, rows)


def layers_of_the_paper(numbers: Numbers) -> str:
    """Networks of the paper's layers beside ours of the same images and padding, seed by seed."""
    rows = []
    of_els = numbers.paper_networks.query("machine == 'els'")
    for (name, steps), group in of_els.groupby(["network", "network_steps"]):
        theirs = with_undefined_as_zero(group.set_index("seed")["pearson_r"])
        ours = numbers.els(name.replace("_paper", ""), steps)[theirs.index]
        change = paired_difference(theirs, ours)
        text = format_interval(change.estimate, change.low, change.high, 3)
        rows.append([name, steps, text, f"{change.positive} of {len(theirs)}"])
    titles = [
        *("network of the paper's layers", "network steps", "median of it - ours"),
        "seeds with it above",
    ]
    return markdown(titles, rows)


def default_headline(numbers: Numbers) -> str:
    """The headline of the default experiment."""
    return headline_table(numbers.table("headline"))


def cost(numbers: Numbers) -> str:
    """The time of the default experiment, and the most memory that a job of it took."""
    (row,) = numbers.table("cost").itertuples()
    return (
        f"The jobs of the default experiment take {row.core_seconds / 60:.0f} minutes of a "
        f"processor that has {listed(row.instructions.split())}, so about half of that on two "
        f"cores, and none takes more than {row.max_rss_mib / 1024:.1f} GiB of memory."
    )


def variants_table(numbers: Numbers) -> str:
    """Controls and ablations: median r, its interval, and the difference from the chain as is."""
    found = numbers.table("variants").fillna({"kind": ""})
    runs = list(dict.fromkeys(zip(found["network"], found["network_steps"], strict=True)))
    indexed = found.set_index(["variant", "network", "network_steps"])
    rows: list[list[object]] = []
    for kind, group in found.groupby("kind", sort=False):
        if kind:
            rows.append([f"**{kind}s**", *[None] * len(runs)])
        for variant in dict.fromkeys(group["variant"]):
            each = (
                indexed.loc[(variant, *r)] if (variant, *r) in indexed.index else None for r in runs
            )
            rows.append([variant.replace("_", " "), *map(_with_difference, each)])
    return markdown(["change", *(f"{network}, {steps} steps" for network, steps in runs)], rows)


def halves_table(numbers: Numbers) -> str:
    """Networks of disjoint halves: with ELS of either half's bank, and with each other."""
    found = numbers.table("halves").set_index(["network", "variant"])
    titles = ["network", "ELS, images of its own half", "of the other half (difference)"]
    rows = [
        [network, *(_with_difference(found.loc[network, v]) for v in ("unchanged", "other_half"))]
        for network in dict.fromkeys(found.index.get_level_values("network"))
    ]
    lines = [
        f"- {row.a} and {row.b} agree with each other at "
        f"{format_interval(row.pearson_r, row.low, row.high, 2)}."
        for row in numbers.table("halves_siblings").itertuples()
    ]
    return "\n".join([markdown(titles, rows), "", *lines])


def _with_difference(row: pd.Series | None) -> str:
    if row is None:
        return ""
    text = format_interval(row["pearson_r"], row["low"], row["high"], 2)
    return text if pd.isna(row["difference"]) else f"{text} ({row['difference']:+.3f})"


def circular_banks(numbers: Numbers) -> str:
    """Circular networks' ELS with interior and with wrapped patches, per number of steps."""
    keys = ["network", "network_steps", "machine"]
    wrapped, inside = (
        with_undefined_as_zero(rows.set_index([*keys, "seed"])["pearson_r"])
        for rows in (numbers.agreement, numbers.interior.query("machine == 'els'"))
    )
    reported = headline(numbers.interior, numbers.paper).set_index(keys)["paper"]
    rows = []
    for (network, steps), after in inside.groupby(level=[0, 1]):
        before = wrapped[after.index]
        change = paired_difference(after, before)
        cells = [network, steps, "found with it", len(after)]
        cells += [format_interval(*bootstrap_median(r), 2) for r in (before, after)]
        cells += [format_interval(change.estimate, change.low, change.high, 3), change.negative]
        rows.append([*cells, f"{reported[network, steps, 'els']:.2f}"])
    for row in numbers.table("interior").itertuples():
        cells = [row.network, row.network_steps, row.scales, row.seeds, f"{row.wrapped:.2f}"]
        whole = not pd.isna(row.low)
        cells.append(
            format_interval(row.interior, row.low, row.high, 2) if whole else f"{row.interior:.2f}"
        )
        cells.append(format_interval(row.difference, row.difference_low, row.difference_high, 3))
        cells += ["" if pd.isna(row.seeds_with_less) else int(row.seeds_with_less)]
        rows.append([*cells, f"{row.paper:.2f}"])
    titles = ["network", "network steps", "scales of the interior bank", "seeds", "wrapped"]
    titles += ["interior", "difference", "seeds with less", "paper's ELS"]
    return markdown(titles, rows)


def leaderboard_table(numbers: Numbers) -> str:
    """Every predictor over all networks, and which is ranked first beside each."""
    found = numbers.table("leaderboard")
    titles = ["predictor", "sees", "r", "R²", "r of high-passed images", "better than IS"]
    apart, parts = found[(found["network"] != ALL) & found["rank"].notna()], []
    names = listed([f"`{name}`" for name in apart["network"].unique()])
    for steps, rows in found[found["network"] == ALL].groupby("network_steps"):
        lines = [
            [
                row.label,
                row.sees,
                format_interval(row.pearson_r, row.pearson_r_low, row.pearson_r_high, 2),
                f"{row.r2_determination:.2f}",
                f"{row.high_pass_r:.2f}",
                None if pd.isna(row.better_than_is) else f"{row.better_than_is:.0%}",
            ]
            for row in rows.itertuples()
        ]
        seeds, table = rows["seeds"].max(), markdown(titles, lines)
        parts.append(f"{names} together in {steps} steps, {seeds} seeds:\n\n{table}\n")
    lines = []
    for (network, steps), rows in apart.groupby(["network", "network_steps"]):
        best = rows.sort_values("rank").iloc[:3]
        scores = (f"{row.label} {row.pearson_r:.2f}" for row in best.itertuples())
        lines.append([f"`{network}`", steps, *scores])
    ranked = markdown(["network", "network steps", "first", "second", "third"], lines)
    return "\n".join([*parts, f"The first three beside each network, by median r:\n\n{ranked}"])


def disputed_claims(numbers: Numbers) -> str:
    """A sentence on each disputed claim: what becomes of it, and by which numbers."""
    claims, tests = numbers.table("claims"), numbers.table("claims_tests")
    lines = [f"Over {claims['seeds'].min():.0f} noise seeds of each network:\n"]
    for i, claim in enumerate(claims.fillna({"disputed": ""}).to_dict("records"), 1):
        own = tests[tests["claim"] == claim["claim"]].sort_values("difference", kind="stable")
        against = f"; against it: {claim['disputed']}" * bool(claim["disputed"])
        text = claim["text"][0].upper() + claim["text"][1:]
        said = f"{i}. **{text}** ({claim['by']}{against}): **{claim['verdict']}**."
        if len(own):
            ends = [own.iloc[0], own.iloc[-1]]
            found = [f"{_difference(row)} ({row['test']}; {row['network']})" for row in ends]
            of = "test" if len(own) == 1 else "tests"
            said += (
                f" Of {len(own)} {of}, for it: {claim[FOR]}, against it: {claim[AGAINST]}, not "
                f"separated: {claim[OPEN]}; from {found[0]} to {found[1]}."
            )
        lines.append(said)
    return "\n".join(lines)


def _difference(row: pd.Series) -> str:
    return format_interval(row["difference"], row["low"], row["high"], 3)


def claim_tests(numbers: Numbers) -> str:
    """Every test of the disputed claims."""
    texts = numbers.table("claims").set_index("claim")["text"]
    tests = numbers.table("claims_tests")
    rows = (
        [texts[row["claim"]], row["test"], f"`{row['network']}`", _difference(row), row["says"]]
        for _, row in tests.iterrows()
    )
    return markdown(["claim", "test", "network", "difference", "says of the claim"], rows)


def claims_gradients(numbers: Numbers) -> str:
    """Where networks look, beside Wiener filters, a row per network."""
    found = numbers.table("claims_gradients")
    times = sorted(found["t"].unique())
    titles = ["network", *(f"t = {t:g}" for t in times), "far away, t = " + f"{times[0]:g}"]
    titles.append(f"far away, t = {times[-1]:g}")
    rows = []
    for network, own in found.groupby("network", sort=False):
        of = own.set_index("t")
        both = [f"{of.at[t, 'own']:.2f}" for t in times]
        if pd.notna(of["altered"]).all():
            both = [
                f"{each} ({of.at[t, 'plain']:.2f})" for each, t in zip(both, times, strict=True)
            ]
        far = (f"{of.at[t, 'far']:.2f}" for t in (times[0], times[-1]))
        rows.append([f"`{network}`", *both, *far])
    return markdown(titles, rows)


def claims_elsewhere(numbers: Numbers) -> str:
    """What kept runs of packaged networks say of disputed claims."""
    margin = load_protocol(NUMBERS / "protocol.yaml").margin
    tests = judged(of_agreement(numbers.agreement), margin).query("claim == 'equivariance'")
    seeds, rows = tests["seeds"], numbers.agreement.groupby("network")["dataset"].first()
    datasets = tests["network"].str.split(",").str[0].map(rows)
    parts = []
    for dataset, own in tests.groupby(datasets):
        counts = {says: int((own["says"] == says).sum()) for says in (FOR, AGAINST, OPEN)}
        parts.append(
            f"of {dataset} {counts[FOR]} of {len(own)} for it, {counts[AGAINST]} against it and "
            f"{counts[OPEN]} not separated"
        )
    board = numbers.table("leaderboard").query("network != @ALL").set_index("machine")
    lines = [
        f"- Equivariance, ELS - LS with the scales of ELS, {span(seeds, 0)} seeds, in 20 and 150 "
        f"steps: {listed(parts)}."
    ]
    for name in ("els", "golddiff"):
        own = board.loc[[name]]
        ends = (
            format_interval(
                row["minus_wiener"], row["minus_wiener_low"], row["minus_wiener_high"], 3
            )
            + f" ({row['network']}, {row['network_steps']} steps)"
            for _, row in own.sort_values("minus_wiener").iloc[[0, -1]].iterrows()
        )
        seen, count = own["label"].iloc[0], own["seeds"].iloc[0]
        lines.append(
            f"- {seen} - Wiener, r, in the {len(own)} rows of the [leaderboard](leaderboard.md), "
            f"{count} seeds: from {' to '.join(ends)}."
        )
    return "\n".join(lines)


def siblings(numbers: Numbers) -> str:
    """A sentence on networks of the same images, compared with each other and with ELS."""
    rows = numbers.table("siblings")
    r, machines = rows["pearson_r"], rows[["els_a", "els_b"]]
    fewer = int((r < machines.min(axis=1)).sum())
    return (
        f"A ResNet and a UNet of the same images agree with each other, over {rows['seeds'].min()} "
        f"seeds, with\nmedians of r from {r.min():.2f} to {r.max():.2f}; ELS agrees with them from "
        f"{machines.min().min():.2f} to {machines.max().max():.2f}. In {fewer} of {len(rows)}\n"
        "comparisons the networks agree less with each other than each does with its ELS machine, "
        "which\nknows the locality scales of that network."
    )


def training_seeds(numbers: Numbers) -> str:
    """The spread over trainings beside that over noise, a row per number of steps and machine."""
    found = numbers.table("training_seeds")
    titles = ["network steps", "machine", "medians", "half interval", "the same with trainings"]
    titles += ["sd of trainings", "of noise", "of interaction"]
    rows = (
        [
            row.network_steps,
            row.machine.upper(),
            f"{row.least_median:.3f} to {row.greatest_median:.3f}",
            *(
                f"{value:.3f}"
                for value in (
                    row.half_interval,
                    row.half_interval_with_training,
                    row.sd_training,
                    row.sd_noise,
                    row.sd_interaction,
                )
            ),
        ]
        for row in found.sort_values("network_steps", kind="stable").itertuples()
    )
    return (
        f"{found['networks'].max()} trainings of {' and '.join(found['network'].unique())}, "
        f"{found['seeds'].max()} noise seeds: medians of r, half of their 95% interval, standard "
        f"deviations (sd) of r.\n\n{markdown(titles, rows)}"
    )


def machines_table(found: pd.DataFrame) -> str:
    """What each machine has in common with a network, of a headline of one."""
    rows = (
        [
            row["network_steps"],
            label(row["machine"]),
            row["seeds"],
            _interval(row, "pearson_r"),
            f"{row['r2_determination']:.2f}",
            None
            if pd.isna(share := row["fraction_better_than_is"])
            else f"{share * row['seeds']:.0f}",
        ]
        for _, row in found.iterrows()
    )
    titles = ["network steps", "machine", "seeds", "median Pearson r", "R²", "closer than IS"]
    return markdown(titles, rows)


def own_network(numbers: Numbers) -> str:
    """What each machine has in common with the network of docs/own_network.py."""
    return machines_table(numbers.table("own_network"))


def public_model(numbers: Numbers) -> str:
    """What each machine has in common with the packaged model of docs/diffusers_model.py."""
    config = config_of("public_model")
    folder = ROOT / config["networks"][config["evaluate"][0]]["model"]
    training = json.loads((folder / "training.json").read_text())
    return (
        f"Its training saw {training['images_seen']:,} images and took "
        f"{training['cpu_seconds'] / 60:.0f} minutes of one core.\n\n"
        f"{machines_table(numbers.table('public_model'))}"
    )


def photographs(numbers: Numbers) -> str:
    """What photographs of 64 x 64 pixels take, beside the estimate, and what came of them."""
    costs = numbers.table("photographs_costs").sort_values("took", ascending=False)
    shown = costs[costs["took"] >= costs["took"].sum() / 100]
    others = costs.drop(shown.index)
    numbers_of = ["jobs", "core_seconds", "took"]
    rows = [(f"`{row['rule']}`", *row[numbers_of]) for _, row in shown.iterrows()]
    for name, part in ((f"{len(others)} other rules", others), ("all", costs)):
        rows.append((name, *part[numbers_of].sum()))
    cells = (
        [rule, f"{jobs:.0f}", *(f"{seconds / 60:.1f}" for seconds in times)]
        for rule, jobs, *times in rows
    )
    titles = ["rule", "jobs", "estimated, minutes of one core", "taken"]
    return (
        f"The run took {costs['took'].sum() / 60:.0f} minutes of one core, where the estimate "
        f"before it said {costs['core_seconds'].sum() / 60:.0f}:\n\n{markdown(titles, cells)}"
        f"\n\n{machines_table(numbers.table('photographs'))}"
    )


def learning_table(numbers: Numbers) -> str:
    """Median agreement of ELS after so many training images."""
    found = numbers.table("learning").set_index(["images_seen", "network"]).sort_index()
    found["text"] = [
        format_interval(row.pearson_r, row.low, row.high, 2) for row in found.itertuples()
    ]
    wide = found["text"].unstack()
    rows = ([f"{seen:,}", *row] for seen, row in zip(wide.index, wide.to_numpy(), strict=True))
    return markdown(["images seen", *wide.columns], rows)


def long_trainings(numbers: Numbers) -> str:
    """The longer trainings: agreement, R² and contrast after so many images."""
    found = numbers.table("trainings")
    columns = {"els": "ELS", "ls": "LS", "is": "IS", "r2_of_els": "R² of ELS", "sd_of_image": "sd"}
    parts = []
    for name, rows in found.groupby("network", sort=False):
        used = [column for column in columns if rows[column].notna().any()]
        steps = sorted(rows["network_steps"].unique())
        titles = [f"{columns[c]}, {n} steps" for n in steps for c in used]
        lines = []
        for (seen, weights), group in rows.groupby(["images_seen", "weights"], sort=False):
            by_steps = group.set_index("network_steps")
            cells = [f"{by_steps.at[n, c]:.2f}" for n in steps for c in used]
            lines.append([f"{seen:,}" + ", raw weights" * (weights == "raw"), *cells])
        parts.append(f"`{name}`, {rows['seeds'].iloc[0]} seeds:\n")
        parts.append(markdown(["images seen", *titles], lines) + "\n")
    return "\n".join(parts).rstrip()


def performance(numbers: Numbers) -> str:
    """What ``benchmarks/engines.py`` measured of whole samples, a row per engine."""
    found = numbers.benchmark("engines").query("kind == 'sample' and channels == 1")
    found = found.set_index("engine")
    each = found["seconds"] / found["batch"]
    titles = ["engine", "seconds a sample", "times as fast as dense", "peak memory (GiB)"]
    rows = []
    for engine in ("dense", "exact", "adaptive"):
        row = found.loc[engine]
        rows.append(
            [
                "dense, scaled up from 100 images" if engine == "dense" else engine,
                f"{each[engine]:,.1f}" if each[engine] < 1000 else f"{each[engine]:,.0f}",
                f"{each['dense'] / each[engine]:.0f}",
                None if engine == "dense" else f"{row.peak_mib / 1024:.1f}",
                None if pd.isna(row.audited_rms) else f"{row.audited_rms:.4f}",
                None
                if pd.isna(row.median_pearson_r_with_exact)
                else f"{row.median_pearson_r_with_exact:.5f}",
            ]
        )
    return markdown([*titles, "error of the posterior mean", "Pearson r with exact"], rows)


def kernel_limit(numbers: Numbers) -> str:
    """How far the exact kernel is from the additions that a core can do."""
    row = numbers.benchmark("engines").query(
        "kind == 'P' and engine == 'exact' and patch_size == 13 and channels == 1"
    )
    additions = numbers.benchmark("adders")["additions_of_16_per_second_and_core"].median()
    measured = 1e9 / row["pairs_per_second"].iloc[0]
    possible = 1e9 * ADDITIONS_OF_16_PAIRS / 16 / additions / 2
    return (
        f"With {ADDITIONS_OF_16_PAIRS} additions of 16 numbers for 16 pairs of gray patches, and "
        f"{additions / 1e9:.1f} billion such additions a second and core,\n"
        f"two cores could do a pair in {possible:.2f} nanoseconds; the kernel takes "
        f"{measured:.2f}: {possible / measured:.0%} of the limit of its plan."
    )


def adaptive_error(numbers: Numbers) -> str:
    """What a tolerance of the adaptive engine comes to, pixel by pixel."""
    row = numbers.benchmark("adaptive_error").iloc[0]
    return (
        f"With a tolerance of {row.tolerance}, along {row.trajectories:.0f} exact MNIST "
        f"trajectories of {row.steps:.0f} steps, the root mean square error was\n"
        f"{row.least_step_rms} to {row.greatest_step_rms} at each step and {row.rms} over all; "
        f"{row.images_beyond:.0f} of {row.images:.0f} single images were beyond the\ntolerance, "
        f"the worst at {row.worst_image_rms}. It holds on average, not for each image."
    )


def fused_table(numbers: Numbers) -> str:
    """What ``benchmarks/fused.py`` measured on a graphics card."""
    titles = ["P", "t", "images", "queries", "seconds", "seconds a query", "Tflop/s"]
    found = numbers.benchmark("fused").query("boundary == 'zeros' and channels == 1")
    rows = (
        [
            row.patch_size,
            row.t,
            f"{row.images:,}",
            row.batch,
            f"{row.seconds:.2f}",
            f"{row.seconds / row.batch:.2f}",
            f"{row.tflops:.1f}",
            f"{row.most_error:.0e}",
        ]
        for row in found.itertuples()
    )
    first = found.iloc[0]
    titles += [f"largest difference from `dense`, {first.checked_images} images"]
    return (
        f"{markdown(titles, rows)}\n\nThe card is an {first.card}. Tflop/s are those of the two "
        "banded products; its own float32 product of\n"
        f"large matrices reached {first.card_tflops:.0f}."
    )


def largest_scales(_: Numbers) -> str:
    """The greatest P of every packaged network, and when it is the greatest that it could be."""
    rows = []
    for path in sorted(ROOT.glob("checkpoints/*.scales.csv")):
        scales = pd.read_csv(path).sort_values("t", ascending=False)
        most = max(json.loads(path.with_suffix(".json").read_text())["patch_sizes"])
        at_most = scales.loc[(scales["patch_size"] == most).cummin(), "t"]
        name = path.name.removesuffix(".scales.csv")
        since = f"{at_most.min():g}" if len(at_most) else None
        rows.append([name, most, scales["patch_size"].max(), since])
    return markdown(["network", "candidates up to", "largest P", "from t on"], rows)


def rule_graph(_: Numbers) -> str:
    """The rules of the default experiment, as Snakemake knows them today."""
    rulegraph = runpy.run_path(str(ROOT / "scripts/report/rulegraph.py"))
    command = [sys.executable, "-m", "snakemake", "--rulegraph", "mermaid-js", "--nolock"]
    graph = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return f"```mermaid\n{rulegraph['readable'](graph)}```"


# Places in the pages


class Block(NamedTuple):
    """A place in a page, and what writes it."""

    page: str
    name: str
    write: Callable[[Numbers], str]

    @property
    def marks(self) -> tuple[str, str]:
        """The comments before and after it."""
        return f"<!-- {self.name}: make readme -->", f"<!-- {self.name}: end -->"


BLOCKS = (
    Block("README.md", "answer", answer),
    Block("README.md", "for", found_for),
    Block("README.md", "against", found_against),
    Block("docs/results.md", "short answer", short_answer),
    Block("docs/results.md", "paper", paper_table),
    Block("docs/results.md", "equivalence", equivalence_table),
    Block("docs/results.md", "tails", tails_table),
    Block("docs/results.md", "els and ls", els_and_ls),
    Block("docs/results.md", "sign tests", sign_tests),
    Block("docs/results.md", "audits", audits),
    Block(
        "docs/results.md", "wide", lambda n: headline_table(n.medians("wide", "wide_mnist"), True)
    ),
    Block("docs/results.md", "wide and narrow", wide_and_narrow),
    Block(
        "docs/results.md",
        "paper networks",
        lambda n: headline_table(headline(n.paper_networks, n.paper), True),
    ),
    Block("docs/results.md", "layers of the paper", layers_of_the_paper),
    Block("docs/results.md", "headline", default_headline),
    Block("docs/results.md", "first seeds", first_seeds),
    Block("docs/controls.md", "variants", variants_table),
    Block("docs/controls.md", "halves", halves_table),
    Block("docs/controls.md", "circular banks", circular_banks),
    Block("docs/controls.md", "learning", learning_table),
    Block("docs/controls.md", "long trainings", long_trainings),
    Block("docs/controls.md", "siblings", siblings),
    Block("docs/controls.md", "training seeds", training_seeds),
    Block("docs/leaderboard.md", "leaderboard", leaderboard_table),
    Block("docs/claims.md", "claims", disputed_claims),
    Block("docs/claims.md", "claims elsewhere", claims_elsewhere),
    Block("docs/claims.md", "claims tests", claim_tests),
    Block("docs/claims.md", "claims gradients", claims_gradients),
    Block("docs/own_network.md", "own network", own_network),
    Block("docs/own_network.md", "public model", public_model),
    Block("docs/own_network.md", "photographs", photographs),
    Block("docs/method.md", "largest scales", largest_scales),
    Block("docs/workflow.md", "cost", cost),
    Block("README.md", "reproduce cost", cost),
    Block("docs/workflow.md", "rule graph", rule_graph),
    Block("benchmarks/README.md", "performance", performance),
    Block("benchmarks/README.md", "kernel limit", kernel_limit),
    Block("benchmarks/README.md", "adaptive error", adaptive_error),
    Block("benchmarks/README.md", "fused", fused_table),
)


def replaced(text: str, begin: str, end: str, content: str) -> str:
    """``text`` with what stands between two markers replaced; both must occur once."""
    pattern = re.compile(f"({re.escape(begin)}\n).*?({re.escape(end)})", re.DOTALL)
    text, count = pattern.subn(lambda m: f"{m[1]}{content}\n{m[2]}", text)
    if count != 1:
        raise ValueError(f"expected {begin!r} ... {end!r} once, found it {count} times")
    return text


def main() -> None:
    """Keep what runs found, and write every block."""
    keep_agreement(RESULTS, NUMBERS / "agreement")
    keep_tables(RESULTS, NUMBERS / "tables")
    numbers = Numbers(NUMBERS)
    for block in BLOCKS:
        page = ROOT / block.page
        try:
            content = block.write(numbers)
        except FileNotFoundError as error:
            print(f"{block.page}: {block.name} stays as it is, for there is no {error.filename}")
            continue
        page.write_text(replaced(page.read_text(), *block.marks, content))
    if (RESULTS / PICTURE).exists():
        shutil.copyfile(RESULTS / PICTURE, ROOT / "docs/pairs.png")


if __name__ == "__main__":
    main()
