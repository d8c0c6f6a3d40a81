"""What a plan will take: seconds and memory of its rules, from what this computer was measured at.

Plain Python: a plan is a list of :class:`PlannedJob`, of which Snakemake is one source. What has to
be measured is a list of questions to patchmosaic/analysis/costs.py (:meth:`Estimate.questions`);
answers are kept in a file, until the processor or the code that was measured changes. Without them
nothing is estimated: a run's first lines name the command that measures.
"""

from __future__ import annotations

import csv
import heapq
import json
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from patchmosaic.datasets.registry import find_dataset
from patchmosaic.machines.registry import FILTERS, MACHINES
from patchmosaic.sampling.climbing import near
from patchmosaic.sampling.scales import read_scales, shifted_scales
from patchmosaic.system.files import written_whole
from patchmosaic.system.processor import instructions, processor_name
from patchmosaic.system.records import RecordError, load_record
from workflow.code_digest import code_digest
from workflow.experiment import BYTES_READ, Experiment, channels_of, network_config

KEPT = "costs.json"  # in directories.data, which experiments share
MEASURE = "patchmosaic.analysis.costs"
COMMAND = "python tools/estimate.py"
TELLING = 60  # seconds of a run of which the first lines tell
SIZES = (3, 9, 21, 31)  # P at which machines are measured; between them is interpolated
SMALL = 0.01  # of all core seconds: rules with less share a line
TIMES = (0.02, 0.5, 0.95)
POINTS = 7  # of the steps of a job of the adaptive engine, at which its plan is made
CLASSES = 10  # of the datasets of the registry that have classes
DOUBLE = 2  # times that float64 takes, of float32
PROBED = 1000  # images that an external network is asked about, about
GRADIENT_PIXELS = 5  # that rule claim_gradients differentiates, of an image
UNKNOWN: Mapping[str, Any] = {}  # a question that nothing answers

Answer = Mapping[str, Any]


@dataclass(frozen=True)
class PlannedJob:
    """A job of a plan.

    Args:
        rule, wildcards, params: as of Snakemake.
        threads: that it will have.
        mem_mb: that its rule states.
        priority: of its rule.
        after: numbers of the jobs of the plan that it waits for.
        benchmark: the file that says what it took, once it is done.
    """

    rule: str
    wildcards: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)
    threads: int = 1
    mem_mb: int = 0
    priority: int = 0
    after: tuple[int, ...] = ()
    benchmark: str = ""


class Term(NamedTuple):
    """A part of a job: what has to be known of this computer, and what it comes to with that.

    seconds: of one core, from the answer; None: none. held: bytes of memory; bytes: more of them,
    from the answer.
    """

    question: Mapping[str, Any]
    seconds: Callable[[Answer], float] | None = None
    held: float = 0
    bytes: Callable[[Answer], float] | None = None


@dataclass(frozen=True)
class Row:
    """What a rule comes to: its jobs, core seconds of all, seconds and bytes of the largest.

    took: the core seconds that its jobs took, where they are done and that was asked for.
    """

    rule: str
    jobs: int
    core_seconds: float
    longest: float
    bytes: int
    took: float | None = None


@dataclass(frozen=True)
class Total:
    """Of a plan on so many cores: seconds, bytes of jobs side by side at most, and rows by rule.

    unknown: rules with jobs of which something cannot be measured yet; they count as what is known.
    """

    cores: int
    seconds: float
    core_seconds: float
    bytes: int
    rows: tuple[Row, ...]
    unknown: tuple[str, ...]

    def beside(self, earlier: Sequence[Row]) -> Total:
        """What jobs took as this has it, beside an earlier estimate of the same plan.

        Raises:
            ValueError: it is of other rules, or of other numbers of jobs.
        """
        if {(row.rule, row.jobs) for row in earlier} != {(row.rule, row.jobs) for row in self.rows}:
            raise ValueError(
                "the earlier estimate is of other jobs: make it with the same config files"
            )
        took = {row.rule: row.took for row in self.rows}
        return replace(self, rows=tuple(replace(row, took=took[row.rule]) for row in earlier))

    @property
    def line(self) -> str:
        """The whole in one line."""
        jobs = sum(row.jobs for row in self.rows)
        text = (
            f"estimate: {counted(jobs, 'job')}, {in_words(self.seconds)} on "
            f"{counted(self.cores, 'core')}, "
            f"{self.bytes:,} bytes of memory at the most"
        )
        return text + (f"; not known: {', '.join(self.unknown)}" if self.unknown else "")

    def too_large(self, memory: int) -> str | None:
        """What takes more than so many bytes of memory, or None."""
        row = max(self.rows, key=lambda row: row.bytes, default=None)
        if row is None or row.bytes <= memory:
            return None
        return (
            f"warning: a job of {row.rule} takes about {row.bytes:,} bytes of memory, and this "
            f"computer has {memory:,}: lower bank.images or datasets.*.size"
        )

    @property
    def table(self) -> str:
        """A line a rule, the most core seconds first, and the whole; small ones share a line."""
        took = any(row.took is not None for row in self.rows)
        large = [row for row in self.rows if row.core_seconds >= SMALL * self.core_seconds]
        small = self.rows[len(large) :]
        shown = [*large, _together(f"{len(small)} others", small)] if small else large
        titles = ("rule", "jobs", "core seconds", "longest job, s", "its memory, MiB", "took")
        cells: list[tuple[str, ...]] = [titles]
        for r in [*shown, _together("all", self.rows)]:
            numbers = (r.core_seconds, r.longest, r.bytes / 2**20, r.took or 0)
            cells.append((r.rule, f"{r.jobs}", *(f"{number:,.0f}" for number in numbers)))
        cells = cells if took else [row[:-1] for row in cells]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = [
            row[0].ljust(widths[0])
            + "".join(f"  {cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True))
            for row in cells
        ]
        return "\n".join(lines)


def _together(name: str, rows: Sequence[Row]) -> Row:
    return Row(
        name,
        sum(row.jobs for row in rows),
        sum(row.core_seconds for row in rows),
        max((row.longest for row in rows), default=0),
        max((row.bytes for row in rows), default=0),
        None if any(row.took is None for row in rows) else sum(row.took or 0 for row in rows),
    )


def counted(number: int, what: str) -> str:
    """So many of them."""
    return f"{number} {what}" + ("" if number == 1 else "s")


def in_words(seconds: float) -> str:
    """About so long, as people say it."""
    if seconds < 90:
        return f"about {max(round(seconds), 1)} seconds"
    if seconds < 90 * 60:
        return f"about {round(seconds / 60)} minutes"
    return f"about {seconds / 3600:.1f} hours"


# Costs that are kept.


def measured_here(project: Path) -> dict[str, str]:
    """What kept costs are of: this processor, its instructions, and the code that is measured."""
    return {
        "processor": processor_name(),
        "instructions": instructions(),
        "code": code_digest(project, Path("patchmosaic/analysis/costs.py")),
    }


def key_of(question: Mapping[str, Any]) -> str:
    """A question as it is kept."""
    return json.dumps(question, sort_keys=True)


def kept_costs(path: Path, here: Mapping[str, str]) -> dict[str, Answer | None]:
    """The kept answers by :func:`key_of`; none where they are of something else than ``here``."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return dict(kept["answers"]) if kept["of"] == dict(here) else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def keep_costs(path: Path, here: Mapping[str, str], answers: Mapping[str, Answer | None]) -> None:
    """Write answers, whole or not at all."""
    with written_whole(path) as temporary:
        text = json.dumps({"of": here, "answers": answers}, indent=1, sort_keys=True)
        temporary.write_text(text + "\n", encoding="utf-8")


def measured(questions: Sequence[Mapping], project: Path) -> dict[str, Answer | None]:
    """The answers to these questions, from a process of its own; RuntimeError if it fails."""
    done = subprocess.run(
        [sys.executable, "-m", MEASURE],
        input=json.dumps(questions),
        stdout=subprocess.PIPE,
        text=True,
        env=_environment(project),
    )
    if done.returncode:
        raise RuntimeError(f"measuring the costs of this computer exits with {done.returncode}")
    answers = json.loads(done.stdout)
    return {key_of(q): answer for q, answer in zip(questions, answers, strict=True)}


def _environment(project: Path) -> dict[str, str]:
    paths = [str(project), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))}


# From jobs to what they come to.


def plan_of(dag: Any) -> list[PlannedJob]:
    """The jobs that a DAG of Snakemake has to run."""
    jobs = [job for job in dag.needrun_jobs(exclude_finished=False) if not job.rule.norun]
    number = {job: i for i, job in enumerate(jobs)}
    return [
        PlannedJob(
            job.rule.name,
            dict(job.wildcards_dict),
            dict(job.params.items()),
            job.threads,
            job.resources.get("mem_mb", 0),
            job.priority,
            tuple(sorted(number[other] for other in dag.dependencies[job] if other in number)),
            str(job.benchmark or ""),
        )
        for job in jobs
    ]


class Estimate:
    """What the jobs of a plan come to.

    Args:
        experiment: of the jobs.
        jobs: in any order.
    """

    def __init__(self, experiment: Experiment, jobs: Sequence[PlannedJob]) -> None:
        self.experiment, self.jobs = experiment, jobs
        work = _Work(experiment)
        self.terms = [list(work.terms(job)) for job in jobs]

    @cached_property
    def questions(self) -> list[Mapping[str, Any]]:
        """What has to be measured, each once."""
        asked = (term.question for terms in self.terms for term in terms if term.question)
        return list({key_of(question): question for question in asked}.values())

    def missing(self, answers: Mapping[str, Answer | None]) -> list[Mapping[str, Any]]:
        """The questions without an answer; one that could not be measured is asked again."""
        return [q for q in self.questions if answers.get(key_of(q)) is None]

    def took(self) -> list[float]:
        """Core seconds of each job, of a run that is done; RuntimeError where one is not."""
        for job in self.jobs:
            if not Path(job.benchmark).is_file():
                raise RuntimeError(f"{job.benchmark} is missing: rule {job.rule} has not run yet")
        return [core_seconds(Path(job.benchmark)) for job in self.jobs]

    def total(
        self,
        answers: Mapping[str, Answer | None],
        cores: int,
        took: Sequence[float | None] = (),
    ) -> Total:
        """The plan on so many cores; took: as of :meth:`took`, to stand beside it."""
        unknown: dict[str, None] = {}
        seconds, sizes = [], []
        for job, terms in zip(self.jobs, self.terms, strict=True):
            core_seconds, size = 0.0, 0.0
            for term in terms:
                answer = answers.get(key_of(term.question))
                if answer is None:
                    unknown.setdefault(job.rule)
                    continue
                core_seconds += term.seconds(answer) if term.seconds else 0
                size += term.held + (term.bytes(answer) if term.bytes else 0)
            seconds.append(core_seconds)
            sizes.append(int(size))
        threads = [max(min(job.threads, cores), 1) for job in self.jobs]
        lasting = [s / n for s, n in zip(seconds, threads, strict=True)]
        end, most = scheduled(self.jobs, lasting, threads, sizes, cores)
        return Total(
            cores,
            end,
            sum(seconds),
            most,
            _rows(self.jobs, seconds, lasting, sizes, took or [None] * len(self.jobs)),
            tuple(unknown),
        )


def first_lines(
    experiment: Experiment, jobs: Sequence[PlannedJob], project: Path, cores: int, memory: int
) -> str | None:
    """What a run says of itself at its start, from kept costs; None if it takes no minute.

    Args:
        memory: bytes that this computer has.
    """
    found = Estimate(experiment, jobs)
    answers = kept_costs(experiment.data / KEPT, measured_here(project))
    if any(key_of(question) not in answers for question in found.questions if len(question) > 1):
        return (
            f"estimate: the costs of {counted(len(jobs), 'job')} here are not measured: "
            f"{COMMAND}, with --configfile as here, tells what a run takes"
        )
    total = found.total(answers, cores)
    lines = [total.line] if total.seconds > TELLING else []
    lines += filter(None, [total.too_large(memory)])
    return "\n".join(lines) or None


def _rows(
    jobs: Sequence[PlannedJob],
    seconds: Sequence[float],
    lasting: Sequence[float],
    sizes: Sequence[int],
    took: Sequence[float | None],
) -> tuple[Row, ...]:
    by_rule: dict[str, list[int]] = {}
    for i, job in enumerate(jobs):
        by_rule.setdefault(job.rule, []).append(i)
    rows = [
        Row(
            rule,
            len(some),
            sum(seconds[i] for i in some),
            max(lasting[i] for i in some),
            max(sizes[i] for i in some),
            None if any(took[i] is None for i in some) else sum(took[i] or 0 for i in some),
        )
        for rule, some in by_rule.items()
    ]
    return tuple(sorted(rows, key=lambda row: -row.core_seconds))


def core_seconds(benchmark: Path) -> float:
    """What a job took, as Snakemake wrote it down; a job of moments has "-" there."""
    with benchmark.open(encoding="utf-8", newline="") as file:
        rows = [row["cpu_time"] for row in csv.DictReader(file, delimiter="\t")]
    return sum(float(value) for value in rows if value not in ("-", "NA"))


def scheduled(
    jobs: Sequence[PlannedJob],
    lasting: Sequence[float],
    threads: Sequence[int],
    sizes: Sequence[int],
    cores: int,
) -> tuple[float, int]:
    """When the last job ends, and the most memory that jobs side by side have.

    Each begins as soon as what it waits for is done and cores are free, those of higher priority
    first, then the longest.
    """
    waiting = [len(job.after) for job in jobs]
    following: list[list[int]] = [[] for _ in jobs]
    for i, job in enumerate(jobs):
        for before in job.after:
            following[before].append(i)
    order = [(-job.priority, -lasting[i], i) for i, job in enumerate(jobs)]
    ready = [order[i] for i, count in enumerate(waiting) if not count]
    heapq.heapify(ready)
    running: list[tuple[float, int]] = []
    now, free, held, most = 0.0, cores, 0, 0
    while ready or running:
        later = []
        while ready and free:
            first = heapq.heappop(ready)
            i = first[2]
            if threads[i] > free:
                later.append(first)
                continue
            heapq.heappush(running, (now + lasting[i], i))
            free, held = free - threads[i], held + sizes[i]
            most = max(most, held)
        for first in later:
            heapq.heappush(ready, first)
        now, i = heapq.heappop(running)
        free, held = free + threads[i], held - sizes[i]
        for j in following[i]:
            waiting[j] -= 1
            if not waiting[j]:
                heapq.heappush(ready, order[j])
    return now, most


def interpolated(answer: Answer, sizes: Sequence[int], size: int, t: float) -> tuple[float, float]:
    """(fixed, each) of an answer of costs.machine at a P and a time, between those measured.

    Between patch sizes on a logarithmic scale, as pairs of patches fall; beyond, as at the end.
    """
    found = []
    for name in ("fixed", "each"):
        rows = [sum(share * row[k] for k, share in _between(TIMES, t)) for row in answer[name]]
        around = _between(sizes, size) if sizes else [(0, 1.0)]
        logs = (share * math.log(max(rows[k], 1e-12)) for k, share in around)
        found.append(math.exp(sum(logs)))
    return found[0], found[1]


def _between(places: Sequence[float], x: float) -> list[tuple[int, float]]:
    """The numbers of the places around x with their shares, which sum to 1."""
    if x <= places[0]:
        return [(0, 1.0)]
    if x >= places[-1]:
        return [(len(places) - 1, 1.0)]
    k = next(k for k in range(1, len(places)) if x <= places[k])
    share = (x - places[k - 1]) / (places[k] - places[k - 1])
    return [(k - 1, 1 - share), (k, share)]


class _Call(NamedTuple):
    """A bank as a machine is asked about it: images of one label, and of all that are asked for."""

    images: int
    classes: int | None

    def labels(self, queries: int) -> float:
        """How many labels so many queries have, on the average; 1 without labels."""
        if self.classes is None:
            return 1.0
        return self.classes * (1 - (1 - 1 / self.classes) ** queries)


class _Work:
    """The terms of jobs, rule by rule: a rule that has much to do has a method of its name."""

    def __init__(self, experiment: Experiment) -> None:
        self.e = experiment
        self._scales: dict[str, dict[float, int]] = {}

    def terms(self, job: PlannedJob) -> Iterator[Term]:
        method = getattr(self, job.rule, None)
        more = list(method(job)) if method else []
        kind = "figure" if job.rule.startswith("figure_") else "seconds" if more else "light"
        yield Term({"ask": "start"}, lambda a: a[kind], bytes=lambda a: a["bytes"])
        yield from more

    # What jobs have in common.

    def shape(self, name: str) -> list[int]:
        size = self.e.config["datasets"][self.e.dataset(name)]["size"]
        return [self.e.values(name) // size**2, size, size]

    def call(self, name: str, images: int | str, conditional: bool, dataset: str) -> _Call | None:
        """A bank of so many images of a dataset, of each label where it is conditional."""
        there = self.e.training_images(dataset)
        if there is None:
            return None
        times = 2 if self.e.flips(name) else 1
        if not conditional:
            chosen = there.total if images == "all" else min(int(images), there.total)
            return _Call(times * chosen, None)
        classes = round(there.total / there.rarest) if there.rarest else CLASSES
        each = there.total // classes
        return _Call(times * (each if images == "all" else min(int(images), each)), classes)

    def own_call(self, name: str, images: int | str) -> _Call | None:
        conditional = self.e.network(name)["conditional"]
        return self.call(name, images, conditional, self.e.dataset(name))

    def part_of_calibration(self, name: str, images: int) -> _Call | None:
        """A bank of at most so many images, of the calibration's."""
        call = self.own_call(name, self.e.calibration_images(name))
        return call and call._replace(images=min(call.images, images))

    def queries(self, shard: str) -> int:
        seeds = self.e.seeds
        return min(seeds["shard_size"], seeds["count"] - int(shard) * seeds["shard_size"])

    def scales(self, name: str) -> dict[float, int]:
        """P at each time: as calibrated, as packaged, or as packaged ones are on the average."""
        if name not in self._scales:
            own = [self.e.scales(name), self.e.checkpoints / f"{self.e.scales_of(name)}.scales.csv"]
            found = next(filter(None, map(_scales_at, own)), None)
            if found is None:
                packaged = map(_scales_at, sorted(self.e.checkpoints.glob("*.scales.csv")))
                found = _median([scales for scales in packaged if scales])
            self._scales[name] = found
        return self._scales[name]

    def steps(
        self, name: str, steps: int, start: str, patch_size: int | None = None, shift: int = 0
    ) -> list[tuple[float, int]]:
        """(t, P) of the steps of a reverse process, from noise to image."""
        scales = shifted_scales(self.scales(name), shift) if shift else self.scales(name)
        first = steps if start == "full" else steps - 1
        times = [i / steps for i in range(first, 0, -1)]
        nearest = (scales[min(scales, key=lambda time: abs(time - t))] for t in times)
        return [(t, patch_size or size) for t, size in zip(times, nearest, strict=True)]

    def network(self, name: str, answers: float, gradients: float = 0) -> Term:
        """A network's answers for so many images, and gradients."""
        conditional = self.e.network(name)["conditional"]
        question = {"ask": "network", "shape": self.shape(name), "conditional": conditional}
        if "architecture" in self.e.network(name):
            question |= {"settings": asdict(network_config(self.e.config, name))}
        else:
            question |= {"checkpoint": [str(path) for path in self.e.network_files(name)]}
        return Term(question, lambda a: answers * a["seconds"] + gradients * a["gradient"])

    def machine(
        self,
        name: str,
        machine: str,
        engine: str,
        call: _Call | None,
        asked: Sequence[tuple[float, int, int]],
        candidates: str = "wrapped",
        boundary: str | None = None,
        dataset: str | None = None,
    ) -> Term:
        """A machine's answers.

        Args:
            name: of the network.
            engine: one that computes exactly.
            call: the bank; None: nobody knows how many images.
            asked: (t, P, queries) of all that is asked.
        """
        if call is None:
            return Term(UNKNOWN)
        needs, shape = self.e.needs(machine), self.shape(name)
        machine = "wiener" if FILTERS in needs else machine  # which it adds a product to
        boundary = boundary or self.e.network(name)["padding"]
        boundary = boundary if "boundary" in needs else "zeros"
        sizes = [size for size in SIZES if size <= shape[-1]] if "scales" in needs else []
        question = {
            "ask": "machine",
            "machine": machine,
            "engine": engine,
            "images": str(self.e.prepared(dataset or self.e.dataset(name))),
            "shape": shape,
            "boundary": boundary,
            "candidates": candidates if machine == "els" and boundary == "circular" else "wrapped",
            "sizes": sizes,
            "times": TIMES,
        }
        if own := self.e.own_machine(machine):
            question |= {"own": own | {"path": self.e.config["machines"][machine]["module"]}}
        values, queries = math.prod(shape), max((n for _, _, n in asked), default=0)
        whole = call.images * (call.classes or 1)
        matrices = MACHINES[machine].matrices if machine in MACHINES else 0

        def seconds(answer: Answer) -> float:
            total = 0.0
            for t, size, n in asked:
                fixed, each = interpolated(answer, sizes, size, t)
                total += n * (fixed + each * call.images)
            larger = call.images / answer["images"]
            if matrices:  # whose decomposition grows with the square of their rank
                larger = (min(call.images, values) / min(answer["images"], values)) ** 2
            return total + call.labels(queries) * answer["once"] * larger

        held = 2**20 * self.e.matrices_mb(name, machine) + whole * values * BYTES_READ
        return Term(question, seconds, held, lambda a: whole * values * a["bytes"])

    # Rules.

    def sample_machine(self, job: PlannedJob) -> Iterator[Term]:
        name, machine, p = job.wildcards["network"], job.wildcards["machine"], job.params
        dataset, images = self.e.dataset(name), self.e.config["bank"]["images"]
        if variant := job.wildcards.get("variant"):
            images = self.e.changed(variant, "bank_images", images)
            dataset = self.e.changed(variant, "bank_dataset", {}).get(dataset, dataset)
            if self.e.changed(variant, "bank_split") and images == "all" and not p["conditional"]:
                source = self.e.config["datasets"][dataset]["source"]
                images = find_dataset(source).test_images
        call = self.call(name, images, p["conditional"], dataset)
        queries = self.queries(job.wildcards["shard"])
        steps = self.steps(name, p["steps"], p["start"], p["patch_size"], p["scales_shift"])
        if p["device"] != "cpu":  # of cards nothing is known
            yield Term(UNKNOWN)
        elif p["engine"] == "adaptive" and machine == "els":
            yield self.adaptive(name, call, queries, steps, p, dataset)
        else:
            engine = "exact" if p["engine"] == "adaptive" else p["engine"]
            asked = [(t, size, queries) for t, size in steps]
            borders = (p["candidates"], p["boundary"], dataset)
            yield self.machine(name, machine, engine, call, asked, *borders)

    sample_variant_machine = sample_machine

    def adaptive(
        self,
        name: str,
        call: _Call | None,
        queries: int,
        steps: Sequence[tuple[float, int]],
        p: Mapping[str, Any],
        dataset: str,
    ) -> Term:
        """The adaptive engine's answers to so many queries at each step."""
        if call is None:
            return Term(UNKNOWN)
        chosen = evenly(len(steps), POINTS)
        labels, shape = call.labels(queries), self.shape(name)
        question = {
            "ask": "plan",
            "images": str(self.e.prepared(dataset)),
            "shape": shape,
            "boundary": p["boundary"],
            "candidates": p["candidates"] if p["boundary"] == "circular" else "wrapped",
            "bank": call.images,
            "queries": max(round(queries / labels), 1),
            "tolerance": p["adaptive"]["tolerance"],
            "points": [steps[i] for i in chosen],
        }

        def seconds(answer: Answer) -> float:
            total, before = 0.0, None
            for i, (_, size) in enumerate(steps):
                around = _between(chosen, i)
                total += sum(share * answer["seconds"][k] for k, share in around)
                if size != before:
                    total += sum(share * answer["builds"][k] for k, share in around)
                before = size
            return labels * total

        values, whole = math.prod(shape), call.images * (call.classes or 1)

        def size(answer: Answer) -> float:
            a_value = BYTES_READ + answer["bytes_a_value"]
            return whole * values * a_value + labels * answer["bytes"]

        return Term(question, seconds, bytes=size)

    def sample_network(self, job: PlannedJob) -> Iterator[Term]:
        steps = int(job.wildcards["steps"]) - (job.params["start"] != "full")
        yield self.network(job.wildcards["network"], steps * self.queries(job.wildcards["shard"]))

    sample_variant_network = sample_network

    def calibrate(self, job: PlannedJob, machine: str = "els") -> Iterator[Term]:
        name, p = job.wildcards["network"], job.params
        queries, steps = self.e.config["seeds"]["calibration"]["count"], p["steps"]
        sizes, usual = p["patch_sizes"], self.steps(name, steps, "full")
        call = self.own_call(name, self.e.calibration_images(name))
        asked = [(usual[0][0], size, queries) for size in sizes]
        for t, best in usual[1:]:
            off = [abs(size - best) for size in sizes]
            asked += [(t, sizes[i], queries) for i in near([off.index(min(off))], len(sizes))]
        yield self.network(name, 2 * queries * steps)  # on the way, and at each of its steps
        yield self.machine(name, machine, p["engine"], call, asked, p["candidates"])

    def calibrate_machine(self, job: PlannedJob) -> Iterator[Term]:
        yield from self.calibrate(job, job.wildcards["machine"])

    def distill(self, job: PlannedJob) -> Iterator[Term]:
        name, p = job.wildcards["network"], job.params
        times = [t for t, _ in self.steps(name, p["steps"], p["start"])]
        call = self.own_call(name, self.e.config["bank"]["images"])
        yield self.network(name, len(times) * p["samples"])
        yield self.machine(name, "wiener", "exact", call, [(t, 1, p["samples"]) for t in times])

    def train(self, job: PlannedJob) -> Iterator[Term]:
        name = job.wildcards["network"]
        recipe, there = self.e.recipe(name), self.e.training_images(self.e.dataset(name))
        if there is None:
            yield Term(UNKNOWN)
            return
        question = {
            "ask": "training",
            "settings": asdict(network_config(self.e.config, name)),
            "precision": recipe["precision"],
            "batch": recipe["batch_size"],
        }
        images, held = recipe["epochs"] * there.total, there.total * self.e.values(name)
        yield Term(question, lambda a: images * a["seconds"], BYTES_READ * held)

    def learning_curve(self, job: PlannedJob) -> Iterator[Term]:
        name = job.wildcards["network"]
        marks: Sequence = self.e.recipe(name)["snapshots"]
        if self.e.network(name)["checkpoint"] == "packaged":
            record = load_record(self.e.checkpoints / f"{name}.safetensors")
            marks = [mark for mark in record["snapshots"] if mark.isdigit()]
        steps = job.params["steps"] - (job.params["start"] != "full")
        yield self.network(name, (len(marks) + 2) * steps * self.e.seeds["count"])

    def jacobians(self, job: PlannedJob) -> Iterator[Term]:
        p, name = job.params, job.wildcards["network"]
        seeds = min(p["seeds"], self.e.config["seeds"]["calibration"]["count"])
        gradients = seeds * min(p["moments"], p["steps"]) * self.shape(name)[0]
        yield self.network(name, seeds * p["steps"], gradients)

    def trajectories(self, job: PlannedJob) -> Iterator[Term]:
        p = job.params
        yield self.network(job.wildcards["network"], p["seeds"] * p["steps"])

    def novelty(self, job: PlannedJob) -> Iterator[Term]:
        name, p = job.wildcards["network"], job.params
        call = self.call(name, "all", False, self.e.dataset(name))
        queries = p["held_out"] * len(self.e.held_out(name))
        queries += len(p["sources"]) * self.e.seeds["count"]
        if call:
            values = call.images * self.e.values(name)
            held = (BYTES_READ + 4) * values
            yield Term({"ask": "product"}, lambda a: queries * values * a["seconds"], held)

    def nearest_patches(self, job: PlannedJob) -> Iterator[Term]:
        name, p = job.wildcards["network"], job.params
        queries = p["held_out"] * len(self.e.held_out(name))
        queries += len(p["sources"]) * min(p["most_seeds"], self.e.seeds["count"])
        call = self.part_of_calibration(name, p["images"])
        asked = [(0.0, size, queries) for size in p["patch_sizes"]]
        yield self.machine(name, "els", p["engine"], call, asked, p["candidates"])

    def consistency(self, job: PlannedJob) -> Iterator[Term]:
        name, p, seeds = job.wildcards["network"], job.params, self.e.followed_seeds
        call = self.part_of_calibration(name, p["images"])
        sampling = self.e.config["sampling"]
        steps = self.steps(name, self.e.sampled_steps, sampling["machine_start"])
        asked = [(t, size, seeds) for t, size in steps]
        for machine in p["machines"]:
            yield self.machine(name, machine, p["engine"], call, asked, p["candidates"])
        judged = (1 + len(p["machines"])) * seeds
        asked = [(0.0, size, judged) for _, size in steps[:: -p["every"]]]
        yield self.machine(name, "els", p["engine"], call, asked, p["candidates"])

    def claim_gradients(self, job: PlannedJob) -> Iterator[Term]:
        name, p, seeds = job.wildcards["network"], job.params, self.e.seeds["count"]
        gradients = seeds * len(p["times"]) * GRADIENT_PIXELS * self.shape(name)[0]
        yield self.network(name, seeds * p["steps"], gradients)
        call = self.own_call(name, self.e.config["bank"]["images"])
        for _ in range(2):  # of the network's own images, and of plain ones
            yield self.machine(name, "wiener", "exact", call, [(t, 1, seeds) for t in p["times"]])

    def claim_training(self, job: PlannedJob) -> Iterator[Term]:
        name, p, seeds = job.wildcards["network"], job.params, self.e.seeds["count"]
        for _ in range(len(self.e.recipe(name)["snapshots"]) + 1):
            yield from self.calibrated_anew(job, "els")
            yield self.network(name, seeds * p["steps"])

    def claim_scales(self, job: PlannedJob) -> Iterator[Term]:
        yield from self.calibrated_anew(job, "ls")

    def calibrated_anew(self, job: PlannedJob, machine: str) -> Iterator[Term]:
        """A calibration of a machine, and its samples of all seeds."""
        name, p = job.wildcards["network"], dict(job.params)
        calibration = replace(job, params=p | {"steps": p["machine_steps"]})
        yield from self.calibrate(calibration, machine)
        steps = self.steps(name, p["machine_steps"], p["machine_start"])
        call = self.own_call(name, self.e.config["bank"]["images"])
        asked = [(t, size, self.e.seeds["count"]) for t, size in steps]
        yield self.machine(name, machine, p["engine"], call, asked, p["candidates"])

    def claim_steps(self, job: PlannedJob) -> Iterator[Term]:
        name, p, seeds = job.wildcards["network"], job.params, self.e.seeds["count"]
        steps = self.steps(name, p["steps"], "full")
        call = self.own_call(name, self.e.config["bank"]["images"])
        single = steps[:: p["every"]]
        for machine in p["machines"]:  # of two kinds of states
            asked = [(t, size, 2 * seeds) for t, size in single]
            yield self.machine(name, machine, p["engine"], call, asked, p["candidates"])
        answers = 2 * len(single) * len(p["machines"])
        # In either order IS takes none, one, two and three thirds of the steps, else the network.
        asked = [(t, size, 4 * seeds) for t, size in steps]
        yield self.machine(name, "is", p["engine"], call, asked, p["candidates"])
        yield self.network(name, seeds * (answers + 5 * len(steps)))

    def explorer_data(self, job: PlannedJob) -> Iterator[Term]:
        name, p = job.wildcards["network"], job.params
        steps = self.steps(name, p["steps"], p["start"])
        call = self.own_call(name, self.e.config["bank"]["images"])
        part = call and call._replace(images=min(call.images, p["images"]))
        asked = [(t, size, p["seeds"]) for t, size in steps]
        yield self.machine(name, "els", p["engine"], part, asked, p["candidates"])
        shown = [steps[i][1] for i in evenly(len(steps), p["moments"])] * p["seeds"]
        yield self.origins(name, part, shown, p["candidates"])

    def figure_patch_origins(self, job: PlannedJob) -> Iterator[Term]:
        name, p = job.wildcards["network"], job.params["settings"]
        call, steps = self.own_call(name, p["images"]), self.steps(name, p["steps"], p["start"])
        shown = [steps[int(share * (len(steps) - 1))][1] for share in p["moments"]]
        yield self.origins(name, call, shown * DOUBLE, p["candidates"])

    def origins(self, name: str, call: _Call | None, shown: Sequence[int], candidates: str) -> Term:
        """The patches behind all pixels, looked for at these patch sizes."""
        if call is None:
            return Term(UNKNOWN)
        shape, boundary = self.shape(name), self.e.network(name)["padding"]
        sizes = [size for size in SIZES if size <= shape[-1]]
        question = {
            "ask": "origins",
            "images": str(self.e.prepared(self.e.dataset(name))),
            "shape": shape,
            "boundary": boundary,
            "candidates": candidates if boundary == "circular" else "wrapped",
            "sizes": sizes,
        }

        def seconds(answer: Answer) -> float:
            return call.images * sum(
                share * answer["seconds"][k] for size in shown for k, share in _between(sizes, size)
            )

        return Term(question, seconds)

    def prepare(self, job: PlannedJob) -> Iterator[Term]:
        dataset = self.e.config["datasets"][job.wildcards["dataset"]]
        there = self.e.training_images(job.wildcards["dataset"])
        if "local" in dataset and find_dataset(dataset["source"]).is_collection:
            question = {
                "ask": "pictures",
                "local": str(dataset["local"]),
                "size": dataset["size"],
                "channels": channels_of(dataset),
            }
            count = there.total if there else 0
            yield Term(question, lambda a: count * a["seconds"])

    def noise(self, job: PlannedJob) -> Iterator[Term]:
        yield Term({"ask": "start"})  # with torch

    def external_checkpoint(self, job: PlannedJob) -> Iterator[Term]:
        yield self.network(job.wildcards["network"], PROBED)

    diffusers_checkpoint = edm_checkpoint = published_checkpoint = external_checkpoint


def evenly(count: int, most: int) -> list[int]:
    """At most so many of the numbers below count, first and last among them, evenly spread."""
    chosen = min(count, most)
    return sorted({round(k * (count - 1) / max(chosen - 1, 1)) for k in range(chosen)})


def _scales_at(path: Path) -> dict[float, int] | None:
    try:
        return read_scales(path)
    except (RecordError, OSError):
        return None


def _median(found: Sequence[Mapping[float, int]]) -> dict[float, int]:
    """The middle P at each time of tables of the same times; the paper's order without any."""
    times = sorted(found[0])
    alike = [scales for scales in found if sorted(scales) == times]
    return {t: sorted(scales[t] for scales in alike)[len(alike) // 2] for t in times}
