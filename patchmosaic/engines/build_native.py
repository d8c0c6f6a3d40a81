"""Compiles the native kernel beside this file, once per instruction set: ``python build_native.py``.

Standard library only, and nothing of the package: setup.py runs it while the package is not yet
installed. The compiler is $CC, or the system's, or the one in the ``ziglang`` wheel.
"""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).with_name("native.c")
FLAGS = (
    "-O3 -std=gnu11 -shared -fPIC -fvisibility=hidden -ffp-contract=fast -fno-math-errno".split()
)
X86_64 = {
    "avx512": "-mavx512f -mavx512bw -mavx512dq -mavx512vl -mfma -mprefer-vector-width=512",
    "avx2": "-mavx2 -mfma",
    "base": "",
}


def compilers() -> list[list[str]]:
    """Commands to try, best first."""
    named = [shlex.split(os.environ["CC"])] if os.environ.get("CC") else []
    system = [[path] for name in ("cc", "gcc", "clang") if (path := shutil.which(name))]
    return [*named, *system, [sys.executable, "-m", "ziglang", "cc"]]


def build(directory: Path = SOURCE.parent) -> list[Path]:
    """Compile every variant for this machine's kind of CPU into ``directory``.

    Returns:
        The libraries made; empty if no compiler works.
    """
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    made = []
    for variant, target in (X86_64 if x86 else {"base": ""}).items():
        library = Path(directory) / f"_native_{variant}.so"
        for compiler in compilers():
            command = [*compiler, *FLAGS, *target.split(), str(SOURCE), "-o", str(library), "-lm"]
            try:
                subprocess.run(command, check=True, capture_output=True, text=True)
            except (OSError, subprocess.CalledProcessError) as error:
                reason = getattr(error, "stderr", None) or error
                print(f"{shlex.join(command)} failed: {reason}", file=sys.stderr)
            else:
                made.append(library)
                break
    return made


if __name__ == "__main__":
    libraries = build()
    print(*libraries, sep="\n")
    sys.exit(0 if libraries else "no C compiler worked: the dense engine will be used")
