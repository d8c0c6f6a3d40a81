"""What a plan takes: terms against sums written out, the schedule, kept costs, and first lines."""

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from configs import DEFAULT, OWN, ROOT, merged

from patchmosaic.analysis.jacobians import quarter_pixels
from patchmosaic.engines.adaptive import pairs
from patchmosaic.machines.registry import MACHINES
from patchmosaic.system.processor import instructions, processor_name
from workflow.estimate import (
    KEPT,
    POINTS,
    SIZES,
    TELLING,
    TIMES,
    Estimate,
    PlannedJob,
    Row,
    Total,
    evenly,
    first_lines,
    in_words,
    interpolated,
    keep_costs,
    kept_costs,
    key_of,
    measured_here,
    scheduled,
)
from workflow.experiment import BYTES_READ, Experiment

START = {"seconds": 2.0, "light": 0.5, "figure": 1.0, "bytes": 2**28}
EACH = {3: 8e-4, 9: 3e-4, 21: 3e-5, 31: 1e-6}
NETWORK = "mnist-resnet-zeros"


def experiment(tmp_path, *overrides):
    config = merged(DEFAULT, {"directories": {"data": str(tmp_path), "results": str(tmp_path)}})
    for override in overrides:
        config = merged(config, override)
    return Experiment(config, ROOT)


def answer(question):
    """What a made-up computer says."""
    if question["ask"] == "start":
        return START
    if question["ask"] == "machine":
        sizes = question["sizes"] or [3]
        rows = [[EACH[size]] * len(TIMES) for size in sizes]
        fixed = [[1e-3] * len(TIMES) for _ in sizes]
        return {"images": 256, "once": 0.0, "fixed": fixed, "each": rows, "bytes": 4}
    if question["ask"] == "plan":
        count = len(question["points"])
        seconds = [question["queries"] * 1.0] * count
        return {"seconds": seconds, "builds": [5.0] * count, "bytes": 10**9, "bytes_a_value": 8}
    if question["ask"] == "origins":
        return {"seconds": [1e-2] * len(question["sizes"])}
    if question["ask"] == "network":
        return {"seconds": 0.01, "gradient": 0.05}
    return {"seconds": 1e-3}


def total(e, *jobs, cores=2):
    found = Estimate(e, jobs)
    return found.total({key_of(q): answer(q) for q in found.questions}, cores)


def sampling(machine="els", **changes):
    params = {
        "own": None,
        "boundary": "zeros",
        "conditional": False,
        "device": "cpu",
        "candidates": "wrapped",
        "engine": "adaptive",
        "adaptive": {"tolerance": 0.01},
        "steps": 20,
        "start": "full",
        "patch_size": None,
        "scales_shift": 0,
    }
    where = {"network": NETWORK, "machine": machine, "shard": "000"}
    return PlannedJob("sample_machine", where, params | changes)


def test_an_exact_engine_costs_pairs_of_queries_and_images_at_each_step(tmp_path):
    e = experiment(tmp_path)
    job = sampling(engine="exact", patch_size=9)
    here = START["seconds"] + 20 * 20 * (1e-3 + 60_000 * EACH[9])
    assert total(e, job).core_seconds == pytest.approx(here)
    few = experiment(tmp_path, {"bank": {"images": 1000}})
    here = START["seconds"] + 20 * 20 * (1e-3 + 1000 * EACH[9])
    assert total(few, job).core_seconds == pytest.approx(here)
    seeds = experiment(tmp_path, {"seeds": {"evaluation": {"count": 30}}})  # the last shard has 10
    second = PlannedJob(job.rule, {**job.wildcards, "shard": "001"}, job.params)
    here = START["seconds"] + 10 * 20 * (1e-3 + 60_000 * EACH[9])
    assert total(seeds, second).core_seconds == pytest.approx(here)
    later = sampling(engine="exact", patch_size=9, start="skip_first", steps=10)
    here = START["seconds"] + 20 * 9 * (1e-3 + 60_000 * EACH[9])
    assert total(e, later).core_seconds == pytest.approx(here)


def test_scales_are_as_calibrated_or_packaged_or_usual(tmp_path):
    e = experiment(tmp_path)
    question = Estimate(e, [sampling()]).questions[-1]
    packaged = (ROOT / f"checkpoints/{NETWORK}.scales.csv").read_text().splitlines()[1:]
    sizes = {float(t): int(size) for t, size, _ in (row.split(",") for row in packaged)}
    assert dict(question["points"]).items() <= sizes.items()
    assert len(question["points"]) == POINTS
    usual = experiment(tmp_path, OWN, {"evaluate": ["mine"]})
    where = {"network": "mine", "machine": "els", "shard": "000"}
    job = PlannedJob("sample_machine", where, sampling().params)
    points = Estimate(usual, [job]).questions[-1]["points"]
    assert sorted(size for _, size in points) == [size for _, size in reversed(points)]  # they grow


def test_the_adaptive_engine_costs_what_its_plan_says_and_an_index_for_each_patch_size(tmp_path):
    e = experiment(tmp_path)
    sizes = [size for _, size in sorted(e_steps(e), reverse=True)]
    changes = 1 + sum(a != b for a, b in pairwise(sizes))
    found = total(e, sampling())
    assert found.core_seconds == pytest.approx(START["seconds"] + 20 * 20 * 1.0 + 5.0 * changes)
    held = 60_000 * 1024 * (BYTES_READ + 8) + 10**9 + START["bytes"]
    assert found.bytes == held
    # Of classes each has a bank and calls of its own.
    question = Estimate(e, [sampling(conditional=True)]).questions[-1]
    assert question["bank"] == 6000
    assert question["queries"] == 2


def e_steps(e):
    table = (e.checkpoints / f"{NETWORK}.scales.csv").read_text().splitlines()[1:]
    return [(float(t), int(size)) for t, size, _ in (row.split(",") for row in table)]


def test_networks_cost_their_answers(tmp_path):
    e = experiment(tmp_path)
    where = {"network": NETWORK, "steps": "150", "shard": "000"}
    job = PlannedJob("sample_network", where, {"start": "full"})
    assert total(e, job).core_seconds == pytest.approx(START["seconds"] + 150 * 20 * 0.01)
    params = {"seeds": 4, "moments": 7, "steps": 20}
    job = PlannedJob("jacobians", {"network": NETWORK}, params)
    here = START["seconds"] + 3 * 20 * 0.01 + 3 * 7 * 0.05  # of 3 seeds of the calibration
    assert total(e, job).core_seconds == pytest.approx(here)
    trained = experiment(tmp_path, {"networks": {NETWORK: {"checkpoint": "trained"}}})
    job = PlannedJob("train", {"network": NETWORK}, {})
    here = START["seconds"] + 5 * 60_000 * 1e-3
    assert total(trained, job).core_seconds == pytest.approx(here)


def test_claims_cost_calibrations_samples_and_single_predictions(tmp_path):
    e = experiment(tmp_path, {"bank": {"images": 1000}})
    made = answer({"ask": "machine", "sizes": SIZES})

    def machine(steps, seeds):
        each = (interpolated(made, SIZES, size, t) for t, size in steps)
        return sum(seeds * (fixed + of_image * 1000) for fixed, of_image in each)

    def seconds(rule, params):
        job = PlannedJob(rule, {"network": NETWORK}, params)
        return total(e, job).core_seconds - START["seconds"]

    common = {"engine": "exact", "candidates": "wrapped"}
    params = common | {"patch_sizes": [3, 9], "machine_steps": 20, "machine_start": "full"}
    calibration = 3 * 20 * (2 * 0.01 + 2 * 1e-3 + 2000 * (EACH[3] + EACH[9]))
    steps = sorted(e_steps(e), reverse=True)
    once = calibration + machine(steps, 20)
    assert seconds("claim_scales", params) == pytest.approx(once)
    moments = len(e.recipe(NETWORK)["snapshots"]) + 1
    found = seconds("claim_training", params | {"steps": 20})
    assert found == pytest.approx(moments * (once + 20 * 20 * 0.01))
    found = seconds("claim_steps", common | {"machines": ["els", "is"], "steps": 20, "every": 4})
    single, ideal = machine(steps[::4], 40), 1e-3 + 1000 * EACH[3]
    asked = 20 * (2 * 5 * 2 + 5 * 20) * 0.01  # of the network
    assert found == pytest.approx(single + (40 * 5 + 80 * 20) * ideal + asked)
    found = seconds("claim_gradients", {"steps": 20, "times": [0.2, 0.8]})
    assert len(quarter_pixels(4, 6)) == 5
    assert found == pytest.approx(20 * (20 * 0.01 + 2 * 5 * 0.05) + 2 * 20 * 2 * ideal)


def test_origins_of_patches_cost_images_at_each_moment_that_is_shown(tmp_path):
    e = experiment(tmp_path)
    params = {"steps": 20, "start": "full", "images": 300, "moments": 7, "seeds": 2}
    params |= {"engine": "dense", "candidates": "wrapped"}
    found = Estimate(e, [PlannedJob("explorer_data", {"network": NETWORK}, params)])
    origins = found.terms[0][-1]
    assert origins.seconds(answer(origins.question)) == pytest.approx(2 * 7 * 300 * 1e-2)


def test_calibration_costs_all_candidates_at_first_and_then_those_near_the_best(tmp_path):
    e, sizes = experiment(tmp_path), [3, 9, 21, 31, 31, 31]
    params = {"steps": 20, "patch_sizes": sizes, "engine": "auto", "candidates": "wrapped"}
    found = total(e, PlannedJob("calibrate", {"network": NETWORK}, params))
    usual = [size for _, size in sorted(e_steps(e), reverse=True)][1:]
    of_9 = [3, 9, 21, 31]  # within two of its place
    asked = sizes + [size for best in usual for size in (of_9 if 6 <= best < 15 else sizes[:3])]
    assert any(6 <= size < 15 for size in usual)
    assert max(usual) < 15
    machine = sum(3 * (1e-3 + 2000 * EACH[size]) for size in asked)
    network = 3 * 20 * 2 * 0.01
    assert found.core_seconds == pytest.approx(START["seconds"] + machine + network)


def test_between_measured_patch_sizes_costs_fall_as_pairs_of_patches_do():
    each = {size: pairs(32, 32, size, "zeros", "wrapped") * 3e-10 for size in range(3, 33, 2)}
    grid = {name: [[each[size]] * 3 for size in SIZES] for name in ("fixed", "each")}
    for size in each:
        _, here = interpolated(grid, SIZES, size, 0.3)
        assert here == pytest.approx(each[size], rel=0.3 if size < 21 else 0.5)
    for size in SIZES:
        assert interpolated(grid, SIZES, size, TIMES[1])[1] == pytest.approx(each[size])


def test_a_schedule_keeps_cores_and_waits_for_what_jobs_need():
    jobs = [PlannedJob("a"), PlannedJob("b"), PlannedJob("c"), PlannedJob("d", after=(0, 1, 2))]
    one = [1] * 4
    assert scheduled(jobs, [3, 2, 2, 1], one, [5, 7, 7, 1], 2) == (5, 12)
    assert scheduled(jobs, [3, 2, 2, 1], one, [5, 7, 7, 1], 1) == (8, 7)
    assert scheduled(jobs, [3, 2, 2, 1], one, [5, 7, 7, 1], 3) == (4, 19)
    assert scheduled(jobs, [3, 2, 2, 1], [2, 1, 1, 1], [5, 7, 7, 1], 2) == (6, 14)
    assert scheduled([], [], [], [], 2) == (0, 0)
    first = [PlannedJob("a"), PlannedJob("b", priority=1), PlannedJob("c", after=(1,))]
    assert scheduled(first, [2, 1, 2], one[:3], [0] * 3, 1)[0] == 5
    assert scheduled(first, [3, 1, 2], one[:3], [0] * 3, 2)[0] == 3


def test_what_cannot_be_known_is_named_and_not_asked(tmp_path):
    found = Estimate(experiment(tmp_path), [sampling(device="cuda")])
    assert [q["ask"] for q in found.questions] == ["start"]
    whole = found.total({key_of({"ask": "start"}): START}, 2)
    assert whole.unknown == ("sample_machine",)
    assert whole.line.endswith("not known: sample_machine")


def test_every_machine_can_be_asked_for(tmp_path):
    e = experiment(tmp_path, {"machines": {name: {} for name in MACHINES}})
    jobs = [sampling(machine, engine="auto") for machine in MACHINES]
    assert total(e, *jobs).unknown == ()


def test_costs_are_kept_until_the_processor_or_the_code_changes(tmp_path):
    path, here = tmp_path / "new/costs.json", {"processor": "a", "code": "1"}
    assert kept_costs(path, here) == {}
    keep_costs(path, here, {"question": {"seconds": 1.5}, "nobody": None})
    assert kept_costs(path, here) == {"question": {"seconds": 1.5}, "nobody": None}
    assert kept_costs(path, here | {"processor": "b"}) == {}
    assert kept_costs(path, here | {"code": "2"}) == {}
    path.write_text("[1]")
    assert kept_costs(path, here) == {}


def test_first_lines_tell_of_more_than_a_minute(tmp_path):
    e, job = experiment(tmp_path), sampling(engine="exact", patch_size=9)

    def said(*jobs, memory=2**40, each=answer):
        asked, here = Estimate(e, jobs).questions, measured_here(ROOT)
        keep_costs(e.data / KEPT, here, {key_of(q): each(q) for q in asked})
        return first_lines(e, jobs, ROOT, 2, memory)

    assert first_lines(e, [job], ROOT, 2, 2**40).startswith(
        "estimate: the costs of 1 job here are not measured"
    )
    assert said(PlannedJob("report")) is None
    seconds = START["seconds"] + 20 * 20 * (1e-3 + 60_000 * EACH[9])
    assert seconds > TELLING
    bytes_ = START["bytes"] + 60_000 * 1024 * (BYTES_READ + 4)
    expected = f"estimate: 1 job, {in_words(seconds)} on 2 cores, {bytes_:,} bytes of memory"
    assert said(job) == f"{expected} at the most"
    assert said(job, memory=bytes_).count("\n") == 0
    assert f"takes about {bytes_:,} bytes of memory" in said(job, memory=bytes_ - 1)


def test_rules_of_a_table_stand_in_the_order_of_their_work():
    rows = [Row("much", 2, 990.0, 500.0, 2**30), Row("little", 1, 1.0, 1.0, 2**20)]
    rows += [Row("less", 3, 0.5, 0.2, 2**21)]
    lines = Total(2, 500.0, 991.5, 2**30, tuple(rows), ()).table.splitlines()
    assert lines[1].split() == ["much", "2", "990", "500", "1,024"]
    assert lines[2].split() == ["2", "others", "4", "2", "1", "2"]
    assert lines[3].split() == ["all", "6", "992", "500", "1,024"]


def test_what_a_finished_run_took_stands_beside_its_estimate(tmp_path):
    header = "s\th:m:s\tcpu_time\n"
    for name, rows in {
        "a-1": "9\t0:09\t3.5\n",
        "a-2": "9\t0:09\t4.0\n",
        "b": "0\t0:00\t-\n",
    }.items():
        (tmp_path / f"{name}.tsv").write_text(header + rows)
    rules = {"a-1": "report", "a-2": "report", "b": "tables"}
    jobs = [PlannedJob(rule, benchmark=f"{tmp_path}/{name}.tsv") for name, rule in rules.items()]
    found = Estimate(experiment(tmp_path), jobs)
    answers = {key_of(q): answer(q) for q in found.questions}
    whole = found.total(answers, 2, found.took())
    assert {row.rule: row.took for row in whole.rows} == {"report": 7.5, "tables": 0}
    table = [line.split() for line in whole.table.splitlines()]
    assert (table[0][-1], table[-1][-1]) == ("took", "8")
    assert "took" not in found.total(answers, 2).table
    earlier = [Row("tables", 1, 5.0, 5.0, 9), Row("report", 2, 8.0, 4.0, 9)]
    both = [(row.rule, row.core_seconds, row.took) for row in whole.beside(earlier).rows]
    assert both == [("tables", 5.0, 0), ("report", 8.0, 7.5)]
    with pytest.raises(ValueError, match="of other jobs"):
        whole.beside(earlier[:1])
    (tmp_path / "a-2.tsv").unlink()
    with pytest.raises(RuntimeError, match=r"a-2\.tsv is missing: rule report has not run yet"):
        found.took()


def test_an_earlier_table_is_read_and_another_file_named(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "tools")
    from estimate import earlier_rows

    path = tmp_path / "before.csv"
    path.write_text("rule,jobs,core_seconds,longest,bytes,took\nreport,2,8.0,4.0,9,\n")
    (row,) = earlier_rows(path)
    assert (row.rule, row.jobs, row.core_seconds) == ("report", 2, 8.0)
    for other in ("a,b\n1,2\n", ""):
        path.write_text(other)
        with pytest.raises(ValueError, match=r"before\.csv: expected a table of --csv"):
            earlier_rows(path)


def test_numbers_of_a_row_are_evenly_spread():
    assert evenly(20, 7) == [0, 3, 6, 10, 13, 16, 19]
    assert evenly(3, 7) == [0, 1, 2]
    assert evenly(1, 7) == [0]


def test_a_processor_is_known_by_its_name_and_instructions(tmp_path, monkeypatch):
    monkeypatch.delenv("PATCHMOSAIC_INSTRUCTIONS", raising=False)
    told = tmp_path / "cpuinfo"
    told.write_text("processor\t: 0\nmodel name\t: Some CPU\nflags\t\t: fpu avx2 sse\n")
    assert processor_name(told) == "Some CPU"
    assert instructions(told) == "avx2"
    monkeypatch.setenv("PATCHMOSAIC_INSTRUCTIONS", "base")
    assert instructions(told) == "avx2, the kernel with base"
    assert processor_name(tmp_path / "none")


def asked(*questions):
    done = subprocess.run(
        [sys.executable, "-m", "patchmosaic.analysis.costs"],
        input=json.dumps(questions),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


@pytest.mark.slow
def test_costs_are_measured(tmp_path):
    shape = [1, 16, 16]
    about = {"images": str(tmp_path / "none.npz"), "shape": shape, "boundary": "zeros"}
    about["candidates"] = "wrapped"
    machine = {"ask": "machine", "engine": "auto", "times": TIMES[:1]} | about
    plan = {"ask": "plan", "tolerance": 0.01, "points": [[1.0, 3], [0.1, 3]]} | about
    settings = {"architecture": "resnet", "channels": 8, "layers": 2, "size": 16}
    network = {"ask": "network", "shape": shape}
    origins = {"ask": "origins", "sizes": [3, 15]} | about
    *measured, places, small, large, made, gone = asked(
        machine | {"machine": "els", "sizes": [3, 15]},
        machine | {"machine": "wiener", "sizes": []},
        origins,
        plan | {"bank": 500, "queries": 2},
        plan | {"bank": 100_000, "queries": 2},
        network | {"settings": settings},
        network | {"checkpoint": [str(tmp_path / "none.safetensors")]},
    )
    els, wiener = measured
    assert els["each"][0][0] > els["each"][1][0] > 0  # more patches of 3 x 3 than of 15 x 15
    assert wiener["once"] > 0
    assert max(places["seconds"]) > 0
    assert [sum(ways.values()) for ways in small["ways"]] == pytest.approx([1, 1])
    assert [ways["exact"] for ways in small["ways"]] == pytest.approx([1, 1])  # few: whole
    assert sum(large["seconds"]) > sum(small["seconds"])
    assert made["gradient"] > made["seconds"] > 0
    assert gone is None


@pytest.mark.workflow
@pytest.mark.parametrize("name", ["", "ablations", "leaderboard_all", "train", "paper"])
def test_every_job_of_a_config_has_an_estimate(name, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "tools")
    monkeypatch.chdir(tmp_path)
    from estimate import planned

    files = [ROOT / f"config/{name}.yaml"] if name else []
    config, jobs = planned(files, 2, [], everything=True)
    found = Estimate(Experiment(config, ROOT), jobs)
    assert {job.rule for job in jobs} >= {"sample_machine", "sample_network", "report"}
    whole = found.total({key_of(q): answer(q) for q in found.questions}, 2)
    assert whole.unknown == ()
    assert whole.seconds > max(row.longest for row in whole.rows) - 1e-9
    assert sum(row.jobs for row in whole.rows) == len(jobs)
    assert isinstance(json.dumps(found.questions), str)
    assert Path(tmp_path, "results").exists() is False
