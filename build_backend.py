"""setuptools, plus one thing: where there is no C compiler, builds ask for the one on PyPI."""

import os
import shutil

from setuptools import build_meta
from setuptools.build_meta import *  # noqa: F403

COMPILER = "ziglang==0.17.1"


def _compiler() -> list[str]:
    found = os.environ.get("CC") or any(map(shutil.which, ("cc", "gcc", "clang")))
    return [] if found else [COMPILER]


def get_requires_for_build_wheel(config_settings=None):
    return build_meta.get_requires_for_build_wheel(config_settings) + _compiler()


def get_requires_for_build_editable(config_settings=None):
    return build_meta.get_requires_for_build_editable(config_settings) + _compiler()
