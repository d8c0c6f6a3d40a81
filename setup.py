"""Compiles the native engine while the package is built; pyproject.toml holds everything else."""

import runpy
from pathlib import Path

from setuptools import setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

ENGINES = Path("patchmosaic", "engines")


class BuildNative(build_py):
    """Puts the compiled kernels beside ``native.py``, wherever that goes."""

    def run(self) -> None:
        super().run()
        root = Path() if self.editable_mode else Path(self.build_lib)
        build = runpy.run_path(str(ENGINES / "build_native.py"))["build"]
        if not build(root / ENGINES):
            self.warn("no C compiler worked: patchmosaic will use its dense engine")


class PlatformWheel(bdist_wheel):
    """The kernels depend on the platform but, called through ctypes, not on Python's version."""

    def finalize_options(self) -> None:
        super().finalize_options()
        self.root_is_pure = False

    def get_tag(self) -> tuple[str, str, str]:
        return "py3", "none", super().get_tag()[2]


setup(cmdclass={"build_py": BuildNative, "bdist_wheel": PlatformWheel})
