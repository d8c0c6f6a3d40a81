"""Cores and memory are those that affinity and control groups leave, of either version."""

import os

import psutil
import pytest

from patchmosaic.system import limits

GIB = 2**30


@pytest.fixture
def computer(monkeypatch, tmp_path):
    """A computer of 8 cores and 64 GiB; writes files of control groups: contents by name."""

    def write(membership, files):
        monkeypatch.setattr(limits, "MEMBERSHIP", tmp_path / "membership")
        monkeypatch.setattr(limits, "GROUPS", tmp_path / "groups")
        (tmp_path / "membership").write_text(membership)
        for name, text in files.items():
            (tmp_path / "groups" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "groups" / name).write_text(text)

    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    memory = type("memory", (), {"total": 64 * GIB, "available": 60 * GIB})
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)
    write("0::/\n", {})
    return write


@pytest.mark.usefixtures("computer")
def test_without_groups_it_is_the_computer():
    found = limits.cores(), limits.total_memory(), limits.available_memory()
    assert found == (8, 64 * GIB, 60 * GIB)


def test_version_2(computer):
    computer(
        "0::/\n",
        {
            "cpu.max": "250000 100000\n",
            "memory.max": f"{4 * GIB}\n",
            "memory.current": f"{3 * GIB}\n",
            "memory.stat": f"anon {GIB}\ninactive_file {GIB}\n",
        },
    )
    assert limits.cores() == 3  # two and a half
    assert limits.total_memory() == 4 * GIB
    assert limits.available_memory() == 2 * GIB


def test_version_1_named_as_the_host_names_it(computer):
    computer(
        "5:memory:/docker/abc\n4:cpu,cpuacct:/docker/abc\n2:cpuset:/docker/abc\n",
        {
            "cpu,cpuacct/cpu.cfs_quota_us": "100000\n",
            "cpu,cpuacct/cpu.cfs_period_us": "100000\n",
            "memory/memory.limit_in_bytes": f"{2 * GIB}\n",
            "memory/memory.usage_in_bytes": f"{GIB // 2}\n",
            "memory/memory.stat": "inactive_file 5\ntotal_inactive_file 7\n",
        },
    )
    assert limits.cores() == 1
    assert limits.total_memory() == 2 * GIB
    assert limits.available_memory() == 2 * GIB - GIB // 2 + 7


def test_least_of_the_groups_around_one_counts(computer):
    computer(
        "0::/slice/job\n",
        {
            "cpu.max": "max 100000\n",
            "slice/cpu.max": "200000 100000\n",
            "slice/job/cpu.max": "400000 100000\n",
            "memory.max": "max\n",
            "slice/memory.max": f"{8 * GIB}\n",
            "slice/memory.current": f"{7 * GIB}\n",
            "slice/job/memory.max": f"{6 * GIB}\n",
            "slice/job/memory.current": f"{GIB}\n",
            "slice/beside/memory.max": "1\n",
        },
    )
    assert limits.cores() == 2
    assert limits.total_memory() == 6 * GIB
    assert limits.available_memory() == GIB


@pytest.mark.parametrize("unlimited", [f"{2**63 - 4096}\n", "max\n", "", "what\n"])
def test_no_limit(computer, unlimited):
    computer(
        "3:memory:/\n2:cpu:/\n0::/\n",
        {
            "memory/memory.limit_in_bytes": unlimited,
            "memory.max": unlimited,
            "cpu/cpu.cfs_quota_us": "-1\n",
            "cpu/cpu.cfs_period_us": "100000\n",
            "cpu.max": "max 100000\n",
        },
    )
    assert limits.cores() == 8
    assert limits.total_memory() == 64 * GIB
    assert limits.available_memory() == 60 * GIB


def test_a_share_of_a_core_is_one(computer):
    computer("0::/\n", {"cpu.max": "5000 100000\n"})
    assert limits.cores() == 1


@pytest.mark.usefixtures("computer")
def test_elsewhere_than_on_linux(monkeypatch, tmp_path):
    monkeypatch.setattr(limits, "MEMBERSHIP", tmp_path / "none")
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    assert limits.cores() == 6
    assert limits.total_memory() == 64 * GIB
