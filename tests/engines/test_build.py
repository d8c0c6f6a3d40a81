"""Building the package where there is no C compiler."""

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from patchmosaic.engines import build_native

ROOT = Path(__file__).parents[2]
ASK = "import build_backend as b; print(*b.get_requires_for_build_wheel(), end='')"
COMPILER = "ziglang==0.17.1"
SETUPTOOLS = "def get_requires_for_build_wheel(config_settings=None): return []\n"


@pytest.fixture
def machine(tmp_path):
    """What a build sees on a machine without a compiler: its environment and its folders.

    As in pip's isolated builds, setuptools (a stand-in) is found by PYTHONPATH and pip hidden by
    it. All the packages that pip can get are in the folder ``packages``.
    """
    for folder in ("packages", "programs", "isolated/setuptools", "source"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "isolated/pip.py").write_text("raise ImportError('hidden')\n")
    (tmp_path / "isolated/setuptools/__init__.py").touch()
    (tmp_path / "isolated/setuptools/build_meta.py").write_text(SETUPTOOLS)
    shutil.copy(ROOT / "build_backend.py", tmp_path / "source")
    return tmp_path


def asked_for(machine, **environment):
    """The build requirements of the backend, and its warnings."""
    command = [sys.executable, "-c", ASK]
    seen = {key: value for key, value in os.environ.items() if key not in ("CC", "PATH")}
    seen |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": (machine / "packages").as_uri()}
    seen |= {"PATH": str(machine / "programs"), "PYTHONPATH": str(machine / "isolated")}
    done = subprocess.run(
        command, cwd=machine / "source", env=seen | environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def test_compiler_is_asked_for_where_pip_can_get_it(machine):
    pytest.importorskip("pip")
    name, version = COMPILER.split("==")
    with zipfile.ZipFile(machine / f"packages/{name}-{version}-py3-none-any.whl", "w") as wheel:
        about = f"{name}-{version}.dist-info"
        lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", ""]
        wheel.writestr(f"{about}/METADATA", "\n".join(lines))
        lines = ["Wheel-Version: 1.0", "Root-Is-Purelib: true", "Tag: py3-none-any", ""]
        wheel.writestr(f"{about}/WHEEL", "\n".join(lines))
        wheel.writestr(f"{about}/RECORD", "")
    assert asked_for(machine) == (COMPILER, "")
    left = {path.name for path in (machine / "source").iterdir()} - {"__pycache__"}
    assert left == {"build_backend.py"}  # it was only asked for


def test_package_is_built_without_a_compiler_that_pip_cannot_get(machine):
    pytest.importorskip("pip")
    required, warning = asked_for(machine)
    assert required == ""
    assert f"warning: there is no C compiler, and pip cannot get {COMPILER}" in warning


def test_compiler_is_not_asked_for_where_there_is_one(machine):
    assert asked_for(machine, CC="mycc") == ("", "")
    (machine / "programs/cc").touch(mode=0o755)
    assert asked_for(machine) == ("", "")


def test_without_a_compiler_no_library_of_another_source_stays(tmp_path, monkeypatch):
    """Today's is kept; one that would be refused gives way to the dense engine."""
    monkeypatch.setattr(build_native, "compilers", lambda: [[str(tmp_path / "no such compiler")]])
    monkeypatch.setattr(build_native, "VARIANTS", dict.fromkeys(("avx2", "base"), ""))
    monkeypatch.setattr(build_native.platform, "machine", lambda: "x86_64")
    today = tmp_path / "_native_avx2.so"
    today.write_bytes(build_native.source_digest().encode())
    (tmp_path / "_native_base.so").write_bytes(b"of an earlier source")
    assert build_native.build(tmp_path) == []
    assert list(tmp_path.iterdir()) == [today]


def test_missing_engine_is_said_at_installation(tmp_path):
    """The dense engine is left, and the message says how to get the other."""
    ignored = shutil.ignore_patterns("*.so", "__pycache__")
    shutil.copytree(ROOT / "patchmosaic", tmp_path / "patchmosaic", ignore=ignored)
    command = [sys.executable, str(ROOT / "tools/check_engine.py")]
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    assert "warning: no native kernel was compiled when the package was built" in done.stderr
    assert f"compile it: python {tmp_path}/patchmosaic/engines/build_native.py" in done.stderr
    assert "Until then the dense engine is used" in done.stderr
