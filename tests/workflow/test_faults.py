"""Runs that are killed, interrupted, doubled or out of space end as undisturbed ones do.

A small experiment goes through every stage: images, training, bank, calibration, samples in shards,
statistics. At random moments of its jobs, processes are killed for good; after each, the documented
restart must go on, repeat nothing that had finished, and end in the same results.

PATCHMOSAIC_FAULTS=50 pytest tests/workflow/test_faults.py   # that many; a handful by default
"""

import hashlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from damage import flip_bit, truncate
from projects import TINY, project_with_pictures, snakemake

from patchmosaic.sampling.samples import join_shards
from patchmosaic.system.records import load_record

INJECTIONS = int(os.environ.get("PATCHMOSAIC_FAULTS", "5"))
HIT_FIRST = ("train", "bank", "calibrate", "sample_machine", "tables")
STAGES = (*HIT_FIRST, "download", "prepare", "noise", "sample_network", "agreement")
CONFIG = ("--configfile", "tiny.yaml")
FEW = (*CONFIG, "few.yaml")  # a rule's jobs are alike: two machines go through every stage
TARGETS = ("own results/tables/headline.csv", "own results/tables/paired.csv")
NETWORK = "tiny-resnet-circular"
CORES = 2  # of all runs whose files are compared: a training's last bits depend on it
VICTIMS = ("everything", "workflow", "job")

pytestmark = pytest.mark.workflow


def contents(folder):
    """SHA-256 of every result, apart from what tells times: logs, benchmarks, training records.

    What a killed writer left under its temporary name is no result.
    """
    results = folder / "own results"
    found = {}
    for path in sorted(results.rglob("*")):
        name = path.relative_to(results).as_posix()
        if path.suffix == ".part" and path.name.startswith("."):
            continue
        if path.is_file() and not name.startswith(("logs/", "benchmarks/")):
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return {name: digest for name, digest in found.items() if not is_record_of_training(name)}


def is_record_of_training(name):
    return name.startswith("trained/") or re.fullmatch(r"networks/[\w-]+\.(json|csv)", name)


def project_with_few_machines(folder):
    (project_with_pictures(folder) / "few.yaml").write_text("machines: [is, els]\n")
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = project_with_few_machines(tmp_path_factory.mktemp("undisturbed"))
    snakemake(folder, *TARGETS, *FEW, cores=CORES)
    return folder


@pytest.fixture(scope="module")
def undisturbed(finished):
    return contents(finished)


class Run:
    """A snakemake in a session of its own, and what it has printed."""

    def __init__(self, folder, *arguments):
        self.folder, self.log = folder, folder / "run.log"
        command = [sys.executable, "-m", "snakemake", "--cores", str(CORES), *TARGETS, *FEW]
        with open(self.log, "w") as log:
            self.process = subprocess.Popen(
                [*command, *arguments], cwd=folder, stdout=log, stderr=log, start_new_session=True
            )

    def jobs(self):
        """The processes of jobs, as (pid, script); those of this project, whoever started them."""
        found = []
        for entry in os.listdir("/proc"):
            try:
                with open(f"/proc/{entry}/cmdline", "rb") as file:
                    words = file.read().decode(errors="replace").split("\0")
                here = os.path.realpath(f"/proc/{entry}/cwd") == str(self.folder.resolve())
            except OSError:
                continue
            script = re.search(r"\.snakemake/scripts/tmp\w+\.(\w+)\.py", " ".join(words))
            if here and script and entry.isdigit():
                found.append((int(entry), script[1]))
        return found

    def wait_for(self, *stages, most=120):
        """Pid and stage of the first job of these stages; None if the run ends before."""
        until = time.monotonic() + most
        while self.process.poll() is None and time.monotonic() < until:
            for pid, script in self.jobs():
                if script in stages:
                    return pid, script
            time.sleep(0.01)
        return None

    def finished(self):
        """Messages of the jobs that this run has reported as finished."""
        text = self.log.read_text()
        names = dict(re.findall(r"^Job (\d+): (.+)$", text, re.M))
        return {names[job] for job in re.findall(r"^Finished jobid: (\d+)", text, re.M)}

    def started(self):
        return set(re.findall(r"^Job \d+: (.+)$", self.log.read_text(), re.M))

    def kill(self, victim, pid):
        """SIGKILL to the workflow with all its jobs, the workflow alone, or one job.

        A job that has ended in the meantime stands for the workflow with what it does now.
        """
        if victim == "job" and pid in dict(self.jobs()):
            os.kill(pid, signal.SIGKILL)
        elif victim == "workflow":
            self.process.kill()
        else:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="finds jobs in /proc")
def test_killed_runs_end_as_undisturbed_ones(undisturbed, tmp_path_factory):
    """SIGKILL in every stage; what had finished is not repeated, and the results are the same."""
    rng = random.Random(0)
    plan = [*HIT_FIRST, *rng.sample(STAGES, len(STAGES)) * (INJECTIONS // len(STAGES) + 1)]
    plan = plan[:INJECTIONS]
    while plan:
        folder = project_with_few_machines(tmp_path_factory.mktemp(f"killed-{len(plan)}-to-go"))
        done, stages = set(), list(dict.fromkeys(plan))  # each once; the others in another project
        while stages:
            run = Run(folder)
            job = run.wait_for(*stages)
            if job is None:  # what was left of the stages had finished before the last kill
                run.process.wait()
                assert not done & run.started(), "what had finished was repeated"
                done |= run.finished()
                break
            pid, stage = job
            stages.remove(stage)
            plan.remove(stage)
            time.sleep(rng.uniform(0, 1))
            victim = rng.choice(VICTIMS)
            run.kill(victim, pid)
            print(f"{victim} killed in {stage}, {len(plan)} to go", flush=True)
            assert not done & run.started(), "what had finished was repeated"
            done |= run.finished()
            snakemake(folder, "--unlock", *FEW)
        run = Run(folder)
        assert run.process.wait() == 0, run.log.read_text()[-3000:]
        assert not done & run.started(), "what had finished was repeated"
        assert contents(folder) == undisturbed
        shutil.rmtree(folder)


def test_terminated_run_goes_on(undisturbed, tmp_path):
    """SIGTERM lets running jobs end, leaves no lock, and the same command goes on.

    Beside that a further run is refused by name of the lock; the first ends as if alone.
    """
    run = Run(project_with_few_machines(tmp_path))
    assert run.wait_for("train") is not None
    run.process.terminate()
    assert run.process.wait() != 0
    done = run.finished()
    again = Run(tmp_path)
    assert again.wait_for("calibrate", "sample_machine") is not None
    output = snakemake(tmp_path, *TARGETS, *FEW, check=False)
    assert "Directory cannot be locked" in output
    assert again.process.wait() == 0, again.log.read_text()[-3000:]
    assert done
    assert not done & again.started()
    assert contents(tmp_path) == undisturbed


def test_terminated_training_goes_on(tmp_path):
    """SIGTERM to the training itself saves its state within a step, and loses nothing of it."""
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for folder in (whole, parts):
        folder.mkdir()
        project_with_few_machines(folder)
        (folder / "tiny.yaml").write_text(TINY.replace("epochs: 2,", "epochs: 100,"))
    run, log = Run(parts, "--until", "train"), parts / f"own results/logs/train-{NETWORK}.log"
    pid, _ = run.wait_for("train")
    while run.process.poll() is None and not (log.exists() and "training:" in log.read_text()):
        time.sleep(0.01)
    os.kill(pid, signal.SIGTERM)
    assert run.process.wait() != 0
    output = run.log.read_text()
    assert re.search(r"^error: stopped at step \d+ of 200; the state is saved$", output, re.M)
    assert "Traceback" not in output
    for folder in (whole, parts):
        snakemake(folder, *TARGETS, *FEW, "--until", "train", cores=CORES)
    weights, again = (f / f"own results/networks/{NETWORK}.safetensors" for f in (whole, parts))
    assert weights.read_bytes() == again.read_bytes()
    assert load_record(weights)["loss_curve"] == load_record(again)["loss_curve"]


def test_full_disk_stops_with_a_message_and_goes_on(undisturbed, tmp_path):
    """First that of the data is full, then that of the results."""
    project_with_few_machines(tmp_path)
    places = {"own data": "8k", "own results": "64k"}
    mounted = []
    try:
        for name, size in places.items():
            folder = tmp_path / name
            folder.mkdir()
            mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
            if os.geteuid() or subprocess.run(mount, capture_output=True).returncode:
                pytest.skip("a small file system takes root, and leave to mount")
            mounted.append(folder)
        for folder in mounted:
            output = snakemake(tmp_path, *TARGETS, *FEW, check=False, cores=CORES)
            assert re.search(rf"^error: .*No space left on device: '{folder.name}/", output, re.M)
            assert "Traceback" not in output
            assert not (tmp_path / "own results/tables/headline.csv").exists()
            larger = ["mount", "-t", "tmpfs", "-o", "remount,size=64m", "tmpfs", str(folder)]
            subprocess.run(larger, check=True)
        snakemake(tmp_path, *TARGETS, *FEW, cores=CORES)
        assert contents(tmp_path) == undisturbed
    finally:
        for folder in mounted:
            subprocess.run(["umount", str(folder)], check=True)


READ_BY = {  # a result, and one that is made of it
    "own data/prepared/tiny-8-train.npz": "own results/banks/tiny-classes-3.npz",
    f"own results/networks/{NETWORK}.safetensors": (
        f"own results/samples/{NETWORK}/network-4/000.npz"
    ),
    "own results/banks/tiny-classes-3.npz": f"own results/samples/{NETWORK}/is/000.npz",
    "own results/noise/tiny-evaluation.npz": f"own results/samples/{NETWORK}/is/001.npz",
    f"own results/calibration/{NETWORK}.scales.csv": f"own results/samples/{NETWORK}/els/000.npz",
    f"own results/samples/{NETWORK}/els/001.npz": f"own results/agreement/{NETWORK}-4.csv",
}


@pytest.mark.parametrize("damage", [flip_bit, truncate])
@pytest.mark.parametrize("damaged", READ_BY)
def test_damaged_file_is_named_and_nothing_made_of_it(finished, tmp_path, damaged, damage):
    folder, made = tmp_path / "copy", READ_BY[damaged]
    shutil.copytree(finished, folder)
    (folder / made).unlink()
    damage(folder / damaged)
    output = snakemake(folder, made, *FEW, check=False)
    assert re.search(
        rf"^error: {re.escape(damaged)}: (expected .*SHA-256|not a file of)", output, re.M
    )
    assert "Traceback" not in output
    assert not (folder / made).exists()


def test_cores_do_not_change_a_file(own_run, tmp_path):
    """With the same weights all that is computed is the same bytes on one core and on two.

    Figures, report and manifest, which jobs of one thread make of it, are left as they are.
    """
    on_two = contents(own_run.folder)
    folder = shutil.copytree(own_run.folder, tmp_path / "one core")
    left = ("banks", "checks", "figures", "manifest.json", "networks", "noise", "report", "trained")
    computed = [name for name in on_two if name.split("/")[0] not in left]
    for name in computed:
        (folder / "own results" / name).unlink()
    targets = [f"own results/{name}" for name in computed]
    snakemake(folder, *targets, "--configfile", *own_run.configs)
    assert {"explorer/index.html", "tables/headline.csv", "tables/paper.html"} <= set(computed)
    assert contents(folder) == on_two


def test_shards_of_any_size_hold_the_same_samples(finished, tmp_path):
    """A seed's image does not depend on the seeds beside it, beyond the last bits of sums."""
    kinds = ("is", "es", "ls", "els", "network-4")
    folder = shutil.copytree(finished, tmp_path / "copy")
    snakemake(folder, *TARGETS, *CONFIG, "--until", "agreement")
    before = {kind: join_shards(shards_of(folder, kind)) for kind in kinds}
    for size in (1, 3):
        (folder / "size.yaml").write_text(f"seeds: {{evaluation: {{shard_size: {size}}}}}\n")
        shutil.rmtree(folder / "own results/samples")
        snakemake(folder, *TARGETS, *CONFIG, "size.yaml", "--until", "agreement")
        for kind in kinds:
            shards = shards_of(folder, kind)
            assert len(shards) == 3 // size
            samples = join_shards(shards)
            assert samples.seeds.tolist() == before[kind].seeds.tolist() == [0, 1, 2]
            images = before[kind].images
            most = max(1, np.abs(images).max())  # what a network of two epochs draws is far from 1
            np.testing.assert_allclose(samples.images, images, rtol=0, atol=1e-5 * most)


def shards_of(folder, kind):
    return sorted((folder / f"own results/samples/{NETWORK}/{kind}").glob("*.npz"))
