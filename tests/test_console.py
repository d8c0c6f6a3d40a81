"""How a job ends: expected errors as one line, with the traceback in its log."""

import pytest

from patchmosaic.console import logged


@pytest.mark.parametrize(
    "error",
    [
        ValueError("datasets.mnist: what is wrong"),
        OSError(28, "No space left on device", "results/x.npz"),
        MemoryError("an index would take 3 bytes"),
    ],
)
def test_expected_errors_are_one_line(error, tmp_path, capsys):
    log = tmp_path / "logs/job.log"
    with pytest.raises(SystemExit), logged(log):
        raise error
    assert capsys.readouterr().err == f"error: {error}\n"
    assert "Traceback" in log.read_text()


def test_defects_keep_their_traceback(tmp_path):
    with pytest.raises(ZeroDivisionError), logged(tmp_path / "job.log"):
        1 / 0  # noqa: B018
