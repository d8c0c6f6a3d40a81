"""A training that Slurm preempts goes on where it was, and ends in the same weights.

python tests/slurm/requeue.py FOLDER     with SLURM_CONF of a running Slurm; called by run.sh

The small project of the tests trains through profiles/slurm; its job is requeued when it has begun.
The weights must be those of a local run that nothing disturbs, byte for byte.
"""

import re
import subprocess
import sys
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT)]

from projects import TINY, project_with_pictures, snakemake  # noqa: E402

NAME = "tiny-resnet-circular"
WEIGHTS = f"own results/networks/{NAME}.safetensors"
LOG = f"own results/logs/train-{NAME}.log"
THREADS = "2"
KILL_WAIT = 30  # seconds, as Slurm's; then control groups of a cluster kill what is left of a job


def project(folder: Path) -> Path:
    """The small project, with a training of about twenty seconds."""
    folder.mkdir()
    project_with_pictures(folder)
    (folder / "tiny.yaml").write_text(TINY.replace("epochs: 2,", "epochs: 3000,"))
    return folder


def training_job() -> tuple[str, str] | None:
    """Number and state of the latest job that trains."""
    lines = subprocess.check_output(
        ["squeue", "--states=all", "--noheader", "--format=%i|%T|%k"], text=True
    ).splitlines()
    found = [line.split("|")[:2] for line in lines if "rule_train" in line.split("|")[2]]
    return max(found, key=lambda job: int(job[0]), default=None)


def wait_for(what: str, holds, most: float = 300) -> None:
    until = time.monotonic() + most
    while not holds():
        if time.monotonic() > until:
            sys.exit(f"error: {what} did not happen within {most} seconds")
        time.sleep(0.5)


def end_first_attempt(folder: Path) -> None:
    """Kill a Snakemake of the first attempt that hangs, as a cluster would, before the second.

    It may: its handler of signals waits for a lock which the interrupted code may hold. This Slurm
    loses it with its parent. Whatever else is left of the attempt is a fault that run.sh names.
    """

    def left() -> list[psutil.Process]:
        found = psutil.process_iter(["cmdline"])
        words = ((process, process.info["cmdline"] or []) for process in found)
        return [
            process
            for process, line in words
            if line[1:3] == ["-m", "snakemake"]
            and "slurm-jobstep" in line
            and any(str(folder) in word for word in line)
        ]

    until = time.monotonic() + KILL_WAIT
    while left() and time.monotonic() < until:
        time.sleep(0.5)
    for process in left():
        print(f"killed: the first attempt's Snakemake, process {process.pid}, hangs", flush=True)
        process.kill()


def main(work: Path) -> None:
    undisturbed, preempted = project(work / "undisturbed"), project(work / "preempted")
    snakemake(undisturbed, WEIGHTS, "--configfile", "tiny.yaml", cores=THREADS)
    command = [sys.executable, "-m", "snakemake", WEIGHTS, "--configfile", "tiny.yaml"]
    command += ["--workflow-profile", "profiles/slurm", "--max-threads", THREADS]
    command += ["--slurm-init-seconds-before-status-checks", "2"]
    command += ["--set-resources", "train:gpu=0"]  # this Slurm has none
    run = subprocess.Popen(command, cwd=preempted)
    log = preempted / LOG

    def steps() -> list[int]:
        text = log.read_text() if log.exists() else ""
        return [int(n) for n in re.findall(r"\| (\d+)/6000 ", text)]

    wait_for(
        "the training's first thousand steps",
        lambda: run.poll() is not None or max(steps(), default=0) > 1000,
    )
    if run.returncode is not None:
        sys.exit("error: the workflow ended before its training could be preempted")
    number, state = training_job()
    subprocess.run(["scontrol", "requeue", number], check=True)
    print(f"requeued job {number} ({state}) after {max(steps())} of 6000 steps", flush=True)
    wait_for("the end of the first attempt", lambda: training_job()[1] == "PENDING")
    end_first_attempt(preempted)
    subprocess.run(["scontrol", "update", f"JobId={number}", "StartTime=now"], check=True)
    if run.wait(timeout=600):
        sys.exit("error: the workflow failed")
    assert training_job()[0] == number, "another job trained"
    assert steps()[0] > 1000, f"trained from step {steps()[0]} again"
    assert (undisturbed / WEIGHTS).read_bytes() == (preempted / WEIGHTS).read_bytes()
    print(f"the requeued training went on at step {steps()[0]} and ended in the same weights")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
