"""Compiles the native kernels beside this file, once an instruction set; also run by hand.

Standard library only, and nothing of the package: setup.py runs it while the package is not yet
installed. The compiler is $CC, or the system's, or the one in the ``ziglang`` wheel. Each library
holds the SHA-256 of the sources that it was compiled from, for ``native.py`` to compare.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SOURCES = tuple(Path(__file__).with_name(name) for name in ("native.c", "patch_index.c"))
FLAGS = (
    *("-O2", "-fpeel-loops", "-g0", "-std=gnu11", "-shared", "-fPIC", "-fvisibility=hidden"),
    *("-ffp-contract=fast", "-fno-math-errno", "-fno-signed-zeros", "-fno-trapping-math"),
)
VARIANTS = {"avx512": "x86-64-v4", "avx2": "x86-64-v3", "base": "x86-64"}  # best first
DIGEST_SYMBOL = "native_source_digest"


def compilers() -> list[list[str]]:
    """Commands to try, best first."""
    named = [shlex.split(os.environ["CC"])] if os.environ.get("CC") else []
    system = [[path] for name in ("cc", "gcc", "clang") if (path := shutil.which(name))]
    return [*named, *system, [sys.executable, "-m", "ziglang", "cc"]]


def target(compiler: list[str], level: str) -> list[str]:
    """Options that select an x86-64 level, "" being whatever this machine's kind of CPU has."""
    if "ziglang" in compiler:  # compiles for the very machine unless told otherwise
        return [f"-mcpu={level.replace('-', '_')}" if level else "-mcpu=baseline"]
    return [f"-march={level}"] if level else []


def source_digest(sources: Sequence[Path] = SOURCES) -> str:
    """SHA-256 of the kernels' sources, in hexadecimal."""
    return hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()


def build(directory: Path = SOURCES[0].parent) -> list[Path]:
    """Compile every variant for this machine's kind of CPU into ``directory``.

    Says how long each took. Where no compiler works, libraries of another source, which would be
    refused, are removed.

    Returns:
        The libraries made; empty if no compiler works.
    """
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    variants = VARIANTS if x86 else {"base": ""}
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(len(variants)) as pool:
        digest = Path(scratch, "digest.c")
        digest.write_text(
            f'__attribute__((visibility("default"))) const char {DIGEST_SYMBOL}[] = '
            f'"{source_digest()}";\n'
        )
        libraries = [Path(directory) / f"_native_{variant}.so" for variant in variants]
        compiled = pool.map(_compile, libraries, variants.values(), [digest] * len(libraries))
        return [library for library, works in zip(libraries, compiled, strict=True) if works]


def _compile(library: Path, level: str, digest: Path) -> bool:
    """Compile one variant with the first compiler that can; whether one could."""
    fresh, began = library.with_suffix(".new"), time.perf_counter()
    for compiler in compilers():
        command = [*compiler, *FLAGS, *target(compiler, level), *map(str, SOURCES)]
        command += [str(digest), "-o", str(fresh), "-lm"]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True)
        except (OSError, subprocess.CalledProcessError) as error:
            reason = getattr(error, "stderr", error)
            print(f"{shlex.join(command)}: {reason}", file=sys.stderr)
        else:
            os.replace(fresh, library)  # a process may have the old one loaded
            print(f"compiled {library.name} in {time.perf_counter() - began:.0f} s", flush=True)
            return True
    if library.exists() and source_digest().encode() not in library.read_bytes():
        library.unlink()
    return False


if __name__ == "__main__":
    sys.exit(0 if build() else "no C compiler worked: the dense engine will be used")
