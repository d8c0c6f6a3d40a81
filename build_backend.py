"""setuptools, plus one thing: where there is no C compiler, builds ask for the one on PyPI.

Where pip cannot get that one either (no network, none for this platform), the package is built all
the same: without the native engine, which leaves the dense one.
"""

import os
import shutil
import subprocess
import sys

from setuptools import build_meta
from setuptools.build_meta import *  # noqa: F403

COMPILER = "ziglang==0.17.1"


def _compiler() -> list[str]:
    if os.environ.get("CC") or any(map(shutil.which, ("cc", "gcc", "clang"))):
        return []
    # Asking pip whether it is there takes no download; under another installer pip is not there.
    if not _pip("--version") or _pip("install", "--dry-run", "--target=.", "--no-deps", COMPILER):
        return [COMPILER]
    print(f"warning: there is no C compiler, and pip cannot get {COMPILER}", file=sys.stderr)
    return []


def _pip(*arguments: str) -> bool:
    """Whether pip, outside of the isolation that PYTHONPATH makes for builds, succeeds."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    command = [sys.executable, "-m", "pip", *arguments]
    return subprocess.run(command, env=environment, capture_output=True).returncode == 0


def get_requires_for_build_wheel(config_settings=None):
    return build_meta.get_requires_for_build_wheel(config_settings) + _compiler()


def get_requires_for_build_editable(config_settings=None):
    return build_meta.get_requires_for_build_editable(config_settings) + _compiler()
