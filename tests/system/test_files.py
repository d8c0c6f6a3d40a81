"""Files exist only whole: with several writers at once, after errors and kills."""

import errno
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load as tensors_of

from patchmosaic.networks import training
from patchmosaic.networks.checkpoints import save_checkpoint
from patchmosaic.sampling import samples
from patchmosaic.system import records
from patchmosaic.system.files import locked, written_whole

WRITE = """
import sys
from pathlib import Path
sys.path[:0] = [sys.argv[1]]
import test_files
for content in range(int(sys.argv[3])):
    for name, write in test_files.WRITERS.items():
        write(Path(sys.argv[2]) / name, 1 + content % 3)
"""


def made_samples(content):
    images = np.full((4 * content, 1, 64, 64), content, np.float32)
    return samples.Samples(images, np.arange(4 * content), None, {})


WRITERS = {  # files whose length depends on the content, a number of 1 to 3
    "samples.npz": lambda path, content: samples.save_samples(path, made_samples(content)),
    "record.json": lambda path, content: records.save_record(path, {"x": [content] * content * 99}),
    "weights.safetensors": lambda path, content: save_checkpoint(
        path, {"w": torch.full((content * 9999,), float(content))}, {}
    ),
    "state.safetensors": lambda path, content: training._save_state(
        path, {"w": torch.full((content * 9999,), float(content))}, {"step": content}
    ),
}
READERS = {
    "samples.npz": samples.load_samples,
    "record.json": records.load_record,
    "weights.safetensors": lambda path: tensors_of(path.read_bytes()),
    "state.safetensors": lambda path: tensors_of(path.read_bytes()),
}


@pytest.mark.slow
def test_two_processes_write_one_path(tmp_path):
    """Neither fails, whatever is found at a path is whole, and no temporary file stays."""
    here = __file__.rsplit("/", 1)[0]
    for name, write in WRITERS.items():
        write(tmp_path / name, 1)
    command = [sys.executable, "-c", WRITE, here, str(tmp_path), "200"]
    writers = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    while any(writer.poll() is None for writer in writers):
        for name, read in READERS.items():
            read(tmp_path / name)
    assert [writer.communicate()[1] for writer in writers] == ["", ""]
    for name, read in READERS.items():
        read(tmp_path / name)
    assert {left.name for left in tmp_path.iterdir()} <= {*WRITERS, "weights.json"}


def test_errors_leave_what_was_there(tmp_path):
    path = tmp_path / "folder/file"
    with written_whole(path) as temporary:
        temporary.write_text("whole")
    with pytest.raises(UnicodeEncodeError), written_whole(path) as temporary:
        temporary.write_text("half\udc00", encoding="utf-8")
    assert path.read_text() == "whole"
    assert list(path.parent.iterdir()) == [path]


def test_a_full_disk_is_said_of_the_file(tmp_path):
    path = tmp_path / "file"
    with pytest.raises(OSError, match=r"No space left on device: '.*/file'"), written_whole(path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(FileNotFoundError, match="another'"), written_whole(path):
        (tmp_path / "another").read_text()
    assert not list(tmp_path.iterdir())


def test_a_lock_is_one_process_s_until_it_ends(tmp_path):
    path = tmp_path / "folder/lock"
    code = "import sys; from pathlib import Path; from patchmosaic.system.files import locked\n"
    code += "file = locked(Path(sys.argv[1])); print(file is not None, flush=True); input()"
    command = [sys.executable, "-c", code, str(path)]
    holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "True\n"
    assert locked(path) is None
    holder.kill()
    holder.wait()
    with locked(path):
        assert locked(path) is None
    locked(path).close()


def test_a_file_system_without_locks_is_warned_of(tmp_path, monkeypatch):
    def flock(*_):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", flock)
    with pytest.warns(UserWarning, match="lock: no lock to be had here: .*not implemented"):
        assert locked(tmp_path / "lock") is not None
