"""The headline table: median agreement per configuration, beside the paper's and our committed one.

headline(agreement, expected.paper)      # one row a configuration, number of steps and machine
verdicts(headline, paired)               # is ELS clearly above IS?
compare(headline, expected, "default")   # did a committed number move?
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import yaml

from patchmosaic.datasets import REGISTRY
from patchmosaic.network_config import ARCHITECTURES, PADDINGS
from patchmosaic.statistics import bootstrap_median, clear_sign, proportion

MACHINES = ("els", "ls", "es", "is")
"""Names of the machines in the order of the tables, which need no machines, nor torch."""
CONFIGURATION = ["dataset", "architecture", "padding", "conditional"]
_RUN = ["network", "network_steps", "machine"]
_VALUES = ["pearson_r", "r_squared", "r2_determination", "cosine", "rmse"]
COLUMNS = [
    *CONFIGURATION,
    "network_steps",
    "machine",
    "seeds",
    "pearson_r",
    "pearson_r_low",
    "pearson_r_high",
    "r_squared",
    "r2_determination",
    "fraction_better_than_is",
    "paper",
    "difference",
    "network",
    "fraction_low",
    "fraction_high",
    "cosine",
    "rmse",
    "undefined",
    *(f"{value}_{end}" for value in _VALUES[1:] for end in ("low", "high")),
]
FEW_SEEDS = 10


def headline(agreement: pd.DataFrame, paper: pd.DataFrame | None = None) -> pd.DataFrame:
    """Medians over seeds, one row a dataset, architecture, padding, conditional, steps, machine.

    A seed whose correlation is undefined (a constant image) is not dropped: it counts as 0, an
    image that explains nothing, and the column `undefined` says how many did.

    Args:
        agreement: the per-seed columns of :func:`patchmosaic.statistics.agreement` with network,
            dataset, architecture, padding, conditional (bool), network_steps and machine. Networks
            of one configuration that differ in name keep rows of their own.
        paper: columns dataset, architecture, padding, conditional, network_steps, els, ls, is: the
            paper's medians, which are Pearson's r; None leaves `paper` and `difference` empty.
            Altered copies find the rows of their originals, as by :func:`with_copies`.

    Returns:
        The columns COLUMNS. <value>_low and _high are the bootstrap 95% interval of the median;
        fraction_better_than_is, empty for machine "is", has its Wilson 95% interval in fraction_low
        and fraction_high; rmse is in units of pixels in [-1, 1]; difference is ours - paper.

    Raises:
        ValueError: on missing columns, an unknown machine, a seed that occurs twice, or no rows.
    """
    keys = [*CONFIGURATION, *_RUN]
    missing = sorted({*keys, *_VALUES, "seed", "better_than_is"} - set(agreement.columns))
    if missing:
        raise ValueError(f"agreement lacks the columns {', '.join(missing)}")
    if agreement.empty:
        raise ValueError("agreement has no rows: there is nothing to take a median of")
    for column in ("conditional", "better_than_is"):
        if agreement[column].dtype != bool:
            raise ValueError(
                f"column {column} is {agreement[column].dtype}: expected true or false"
            )
    unknown = sorted(set(agreement["machine"]) - set(MACHINES))
    if unknown:
        raise ValueError(f"machine is {unknown[0]!r}: choose one of {', '.join(MACHINES)}")
    rows = []
    for key, group in agreement.groupby(keys):
        if group["seed"].duplicated().any():
            raise ValueError(f"seeds occur more than once for {dict(zip(keys, key, strict=True))}")
        row = dict(zip(keys, key, strict=True))
        row |= {"seeds": len(group), "undefined": int(group["pearson_r"].isna().sum())}
        for value in _VALUES:
            interval = bootstrap_median(group[value].fillna(0.0))
            row |= {value: interval.estimate, f"{value}_low": interval.low}
            row[f"{value}_high"] = interval.high
        if row["machine"] != "is":
            better = proportion(int(group["better_than_is"].sum()), len(group))
            row["fraction_better_than_is"], row["fraction_low"], row["fraction_high"] = better
        rows.append(row)
    table = pd.DataFrame(rows)
    where = [*CONFIGURATION, "network_steps", "machine"]
    if paper is None:
        table["paper"] = math.nan
    else:
        reported = with_copies(paper, agreement["dataset"]).melt(
            [*CONFIGURATION, "network_steps"], ["els", "ls", "is"], "machine", "paper"
        )
        table = table.merge(reported, how="left", on=where, validate="many_to_one")
    table["difference"] = table["pearson_r"] - table["paper"]
    table = table.reindex(columns=COLUMNS)
    order = table["machine"].map(MACHINES.index)
    return (
        table.assign(order=order)
        .sort_values([*CONFIGURATION, "network", "network_steps", "order"], ignore_index=True)
        .drop(columns="order")
    )


def originals(datasets: Iterable[str]) -> dict[str, str]:
    """Of these datasets the altered copies, each with the dataset of the paper that it copies."""
    known = (REGISTRY[name] for name in sorted(set(datasets)) if name in REGISTRY)
    return {dataset.id: dataset.copy_of for dataset in known if dataset.copy_of}


def with_copies(paper: pd.DataFrame, datasets: Iterable[str]) -> pd.DataFrame:
    """The paper's rows, and again by the name of each of ``datasets`` that is an altered copy.

    So numbers of cifar10_jpeg, CIFAR-10 recompressed, are beside the paper's for CIFAR-10. Rows of
    a copy follow those of its original.
    """
    again = [
        paper[paper["dataset"] == original].assign(dataset=copy)
        for copy, original in originals(datasets).items()
    ]
    return pd.concat([paper, *again]).sort_index(kind="stable").reset_index(drop=True)


def describe_configuration(row: Mapping[str, object] | pd.Series) -> str:
    """A configuration in words, such as "mnist, resnet, zeros padding, unconditional"."""
    condition = "class-conditional" if row["conditional"] else "unconditional"
    return f"{row['dataset']}, {row['architecture']}, {row['padding']} padding, {condition}"


def verdicts(headline: pd.DataFrame, paired: pd.DataFrame) -> pd.DataFrame:
    """Whether ELS agrees with a network better than IS does: one row a network and number of steps.

    Both machines start from the same noise, so the difference of their r, seed by seed, decides:
    "ELS clearly above IS", "ELS clearly below IS" or "not separated", by
    :func:`patchmosaic.statistics.clear_sign`.

    Args:
        headline: as :func:`headline` makes it.
        paired: as :func:`patchmosaic.statistics.paired_differences` makes it; rows of ELS and IS
            are used.

    Returns:
        network, dataset, architecture, padding, conditional, network_steps, seeds, els, els_low,
        els_high, is, is_low, is_high, difference, difference_low, difference_high, p_value (of the
        sign test), paper (of ELS), verdict.
    """
    rows = []
    keys = [*CONFIGURATION, "network", "network_steps"]
    run = ["network", "network_steps"]
    differences = paired[(paired["a"] == "els") & (paired["b"] == "is")].set_index(run)
    for key, group in headline.groupby(keys):
        row = dict(zip(keys, key, strict=True))
        by_machine = group.set_index("machine")
        for machine in ("els", "is"):
            found = machine in by_machine.index
            for end in ("", "_low", "_high"):
                column = f"pearson_r{end}"
                row[machine + end] = by_machine.at[machine, column] if found else math.nan
        row["seeds"] = int(group["seeds"].max())
        names = {"difference": "difference", "difference_low": "low", "difference_high": "high"}
        for column, name in (names | {"p_value": "p_value"}).items():
            row[column] = differences[name].get((row["network"], row["network_steps"]), math.nan)
        row["paper"] = by_machine["paper"].get("els", math.nan)
        row["verdict"] = _verdict(row)
        rows.append(row)
    order = ["network", *CONFIGURATION, "network_steps", "seeds"]
    values = [m + end for m in ("els", "is", "difference") for end in ("", "_low", "_high")]
    values += ["p_value", "paper", "verdict"]
    return pd.DataFrame(rows, columns=[*order, *values])


def _verdict(row: Mapping[str, float]) -> str:
    for machine in ("els", "is"):
        if math.isnan(row[machine]):
            return f"no {machine.upper()} to compare"
    sign = clear_sign(row["difference_low"], row["difference_high"], row["p_value"])
    return {1: "ELS clearly above IS", -1: "ELS clearly below IS", 0: "not separated"}[sign]


def summary(headline: pd.DataFrame, paired: pd.DataFrame) -> str:
    """The headline in a few sentences, all of it computed from the tables; see :func:`verdicts`."""
    rows = verdicts(headline, paired).dropna(subset=["els", "is"])
    if rows.empty:
        return "No network has both ELS and IS: there is nothing to compare."
    above = int((rows["verdict"] == "ELS clearly above IS").sum())
    below = int((rows["verdict"] == "ELS clearly below IS").sum())
    return (
        f"In {above} of {len(rows)} comparisons the ELS machine, which has no trained weights, "
        "agrees with the trained network clearly better than IS, the memorising baseline; in "
        f"{below} clearly worse (95% interval of the median difference, seed by seed, on one side "
        "of 0, and exact sign test below .05). "
        f"Median Pearson r with the network: ELS {_range(rows['els'])}, IS {_range(rows['is'])}."
        + _coverage_note(int(headline["seeds"].min()))
        + _copies_note(headline)
    )


def _coverage_note(seeds: int) -> str:
    """A warning where seeds are too few for the nominal level.

    No interval between order statistics covers the median of n draws with more than 1 - 2^(1 - n):
    87.5% for n = 4; the bootstrap reaches 95% from about 10 on.
    """
    if seeds >= FEW_SEEDS:
        return ""
    most = 1 - 2.0 ** (1 - seeds)
    how_much = f"at most {100 * most:.1f}%" if most < 0.95 else "how much less is not known"
    return f" With only {seeds} seeds the intervals cover less than their nominal 95%: {how_much}."


def _copies_note(headline: pd.DataFrame) -> str:
    beside = headline[headline["paper"].notna()]
    return "".join(
        f" The paper's numbers beside {copy} ({REGISTRY[copy].title}, {REGISTRY[copy].remark}) are "
        f"those for {original}."
        for copy, original in originals(beside["dataset"]).items()
    )


def _range(values: pd.Series) -> str:
    low, high = f"{values.min():.2f}", f"{values.max():.2f}"
    return low if low == high else f"{low} to {high}"


# What tests/expected.yaml may hold: for each key, the test of its value and what is allowed.
_Field = tuple[Callable[[object], bool], str]


def _integer(low: int) -> _Field:
    return lambda v: type(v) is int and v >= low, f"an integer from {low}"


def _number(low: float, high: float, *, above: bool = False) -> _Field:
    def fits(value: object) -> bool:
        return type(value) in (int, float) and low <= value <= high and not (above and value == low)

    return fits, f"a number {'above' if above else 'from'} {low} {'up ' if above else ''}to {high}"


def _choice(*allowed: str) -> _Field:
    return lambda v: v in allowed, f"one of {', '.join(allowed)}"


_TEXT: _Field = (lambda v: isinstance(v, str) and bool(v.strip()), "text")
_PAPER_FIELDS: dict[str, _Field] = {
    "table": _integer(1),
    "network_steps": _integer(1),
    "dataset": _TEXT,
    "architecture": _choice(*ARCHITECTURES),
    "padding": _choice(*PADDINGS),
    "conditional": (lambda v: isinstance(v, bool), "true or false"),
    "els": _number(-1, 1),
    "ls": _number(-1, 1),
    "is": _number(-1, 1),
    "fraction_better_than_is": _number(0, 1),
}
_COMMITTED_FIELDS: dict[str, _Field] = {
    "network": _TEXT,
    "network_steps": _integer(1),
    "machine": _choice(*MACHINES),
    "pearson_r": _number(-1, 1),
    "tolerance": _number(0, 1, above=True),
    "reason": _TEXT,
}
_TOP_KEYS = ("source", "paper", "committed")


@dataclass(frozen=True)
class Expected:
    """The content of tests/expected.yaml.

    source: where the paper's numbers stand. paper: a row of its tables each: table, network_steps,
    dataset, architecture, padding, conditional, els, ls, is, fraction_better_than_is. committed:
    for each experiment network, network_steps, machine, pearson_r, tolerance, reason.
    """

    source: str
    paper: pd.DataFrame
    committed: dict[str, pd.DataFrame]


class _UniqueKeys(yaml.SafeLoader):
    """YAML in which a key may not occur twice: the first would be lost without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        keys = [self.construct_object(key, deep=deep) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} occurs more than once", node.start_mark
                )
        return super().construct_mapping(node, deep)


def load_expected(path: str | Path) -> Expected:
    """Read and check expected.yaml.

    Raises:
        ValueError: naming file, key, value and what is allowed, on YAML errors, missing or unknown
            keys, values of a wrong type or out of range, and rows that occur twice.
    """
    try:
        content = yaml.load(Path(path).read_text(encoding="utf-8"), Loader=_UniqueKeys)
    except yaml.YAMLError as error:
        raise ValueError(f"{path}: {error}") from error
    try:
        _check_keys("the file", content, _TOP_KEYS)
        _check_field("source", content["source"], _TEXT)
        if not isinstance(content["committed"], dict):
            raise ValueError("committed: expected experiments, each with its list of rows")
        committed = {
            name: _rows(f"committed.{name}", rows, _COMMITTED_FIELDS, _RUN)
            for name, rows in content["committed"].items()
        }
        unique = [*CONFIGURATION, "network_steps"]
        paper = _rows("paper", content["paper"], _PAPER_FIELDS, unique)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return Expected(content["source"], paper, committed)


def _rows(
    where: str, rows: object, fields: Mapping[str, _Field], unique: list[str]
) -> pd.DataFrame:
    if not isinstance(rows, list):
        raise ValueError(f"{where} is {rows!r}: expected a list of rows")
    for i, row in enumerate(rows):
        _check_keys(f"{where}[{i}]", row, fields)
        for key, field in fields.items():
            _check_field(f"{where}[{i}].{key}", row[key], field)
    table = pd.DataFrame(rows, columns=list(fields))
    repeated = table.index[table.duplicated(unique)]
    if len(repeated):
        raise ValueError(f"{where}[{repeated[0]}] repeats the {', '.join(unique)} of another row")
    return table


def _check_keys(where: str, found: object, allowed: Sequence[str] | Mapping[str, _Field]) -> None:
    if not isinstance(found, dict):
        raise ValueError(f"{where} is {found!r}: expected the keys {', '.join(allowed)}")
    for key in found:
        if key not in allowed:
            raise ValueError(f"{where}: unknown key {key!r}: allowed are {', '.join(allowed)}")
    for key in allowed:
        if key not in found:
            raise ValueError(f"{where}: the key {key!r} is missing")


def _check_field(where: str, value: object, field: _Field) -> None:
    fits, allowed = field
    if not fits(value):
        raise ValueError(f"{where} is {value!r}: expected {allowed}")


def compare(headline: pd.DataFrame, expected: Expected, experiment: str) -> pd.DataFrame:
    """Each median of Pearson's r beside the committed one.

    Returns:
        One row a number: network, network_steps, machine, expected, found, tolerance, moved
        (found - expected), ok, note. ok is true only where the number is within its tolerance: a
        row that is missing on either side is not ok, and where an experiment has no committed
        numbers none is, with the note "nothing committed for experiment ...".
    """
    if headline.empty:
        raise ValueError("the headline has no rows: there is nothing to compare")
    committed = expected.committed.get(experiment, pd.DataFrame(columns=list(_COMMITTED_FIELDS)))
    table = committed.rename(columns={"pearson_r": "expected"}).merge(
        headline[[*_RUN, "pearson_r"]].rename(columns={"pearson_r": "found"}),
        how="outer",
        on=_RUN,
        validate="one_to_one",
    )
    for column in ("expected", "tolerance"):
        table[column] = table[column].astype(float)
    # Rounded, so that a number which moved by exactly its tolerance is within it.
    table["moved"] = (table["found"] - table["expected"]).round(9)
    table["ok"] = table["moved"].abs() <= table["tolerance"]
    table["note"] = [_note(row, experiment, committed.empty) for row in table.itertuples()]
    table = table.sort_values(_RUN, ignore_index=True)
    return table[[*_RUN, "expected", "found", "tolerance", "moved", "ok", "note"]]


def _note(row: object, experiment: str, nothing_committed: bool) -> str:
    if nothing_committed:
        return f"nothing committed for experiment {experiment}"
    if math.isnan(row.expected):
        return "found, but not committed"
    if math.isnan(row.found):
        return "committed, but not found"
    return "" if row.ok else "moved beyond its tolerance"


def format_interval(estimate: float, low: float, high: float, digits: int) -> str:
    """Such as "0.92 [0.90, 0.94]"; empty where there is no estimate."""
    if math.isnan(estimate):
        return ""
    return f"{estimate:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def format_number(value: float, spec: str) -> str:
    """The value in that format; empty where there is none."""
    return "" if math.isnan(value) else format(value, spec)


def format_headline(headline: pd.DataFrame, paired: pd.DataFrame) -> str:
    """The headline as plain text for a terminal, a block of lines for each network.

    `steps` are the network's; the paper's number is a Pearson r. Tables as for :func:`verdicts`.
    """
    titles = (
        "  steps  machine  seeds  Pearson r [95% interval]    r^2    R^2"
        "  beats IS [95% interval]  paper  ours-paper"
    )
    lines = [titles, "-" * len(titles)]
    for network, group in headline.groupby("network"):
        lines.append(f"{network} ({describe_configuration(group.iloc[0])})")
        for row in group.itertuples():
            paper = format_number(row.paper, ".2f")
            difference = format_number(row.difference, "+.3f")
            r = format_interval(row.pearson_r, row.pearson_r_low, row.pearson_r_high, 3)
            better = format_interval(
                row.fraction_better_than_is, row.fraction_low, row.fraction_high, 2
            )
            lines.append(
                f"  {row.network_steps:>5}  {row.machine.upper():<7}  {row.seeds:>5}"
                f"  {r:>24}  {row.r_squared:5.3f}  {row.r2_determination:5.2f}"
                f"  {better:>23}  {paper:>5}  {difference:>10}"
            )
    lines.append("")
    for text in (summary(headline, paired), *_undefined(headline)):
        lines += textwrap.wrap(text, len(titles))
    return "\n".join(line.rstrip() for line in lines)


def _undefined(headline: pd.DataFrame) -> Iterator[str]:
    for row in headline[headline["undefined"] > 0].itertuples():
        yield (
            f"{row.network}, {row.network_steps} steps, {row.machine.upper()}: r is undefined (a "
            f"constant image) on {row.undefined} of {row.seeds} seeds; there it counts as 0."
        )


def format_comparison(comparison: pd.DataFrame) -> str:
    """The comparison as plain text for a terminal, ending in a line that says how it went."""
    width = max(len("network"), *comparison["network"].str.len())
    titles = f"{'network':<{width}}  steps  machine  expected  found  tolerance   moved  ok   note"
    lines = [titles, "-" * len(titles)]
    for row in comparison.itertuples():
        lines.append(
            f"{row.network:<{width}}  {row.network_steps:>5}  {row.machine.upper():<7}"
            f"  {format_number(row.expected, '.3f'):>8}  {format_number(row.found, '.3f'):>5}"
            f"  {format_number(row.tolerance, '.3f'):>9}  {format_number(row.moved, '+.3f'):>6}"
            f"  {'yes' if row.ok else 'NO':<3}  {row.note}"
        )
    good, n = int(comparison["ok"].sum()), len(comparison)
    lines += ["", f"{good} of {n} numbers are as committed."]
    nothing = comparison["note"].str.startswith("nothing committed")
    if nothing.all():
        lines[-1] = f"{comparison['note'].iloc[0]}: {n} numbers found, none of them checked."
    return "\n".join(line.rstrip() for line in lines)
