"""How a job ends: expected errors as one line, with the traceback in its log."""

import os
import subprocess
import sys

import pytest

from patchmosaic.networks.training import TrainingStopped
from patchmosaic.system.console import logged


@pytest.mark.parametrize(
    "error",
    [
        ValueError("datasets.mnist: what is wrong"),
        OSError(5, "Input/output error", "results/x.npz"),
        MemoryError("an index would take 3 bytes"),
    ],
)
def test_expected_errors_are_one_line(error, tmp_path, capsys):
    log = tmp_path / "logs/job.log"
    with pytest.raises(SystemExit), logged(log):
        raise error
    assert capsys.readouterr().err == f"error: {error}\n"
    assert "Traceback" in log.read_text()


@pytest.mark.parametrize(
    "error",
    [
        TrainingStopped("stopped at step 3 of 4; the state is saved"),
        OSError(28, "No space left on device", "results/x.npz"),
    ],
)
def test_errors_of_the_package_and_a_full_disk_say_it_all(error, tmp_path):
    """Snakemake shows the log of a failed job: a clear message is not buried in a traceback."""
    log = tmp_path / "job.log"
    with pytest.raises(SystemExit), logged(log):
        raise error
    assert log.read_text() == f"error: {error}\n"


@pytest.mark.parametrize("log", ["/dev/full", "/dev/null/job.log"])
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a full disk, which is a device here")
def test_no_failure_of_the_log_speaks_over_the_message(log, tmp_path):
    """A full disk under the log, and a log that cannot be opened; whatever was printed before."""
    code = "import sys; from patchmosaic.system.console import logged\n"
    code += "with logged(sys.argv[1]):\n"
    code += "    print('words ' * 9999, file=sys.stderr, flush=True)\n"
    code += "    raise OSError(28, 'No space left on device')\n"
    command = [sys.executable, "-c", code, log]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == "words " * 9999 + "\nerror: [Errno 28] No space left on device\n"


def test_a_body_ends_well_whatever_its_log_does():
    with logged("/dev/full"):
        print("words", file=sys.stderr)


def test_defects_keep_their_traceback(tmp_path):
    with pytest.raises(ZeroDivisionError), logged(tmp_path / "job.log"):
        1 / 0  # noqa: B018
