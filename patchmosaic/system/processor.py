"""Which processor this is, by its name and what it can do; no torch is imported here."""

from __future__ import annotations

import os
import platform
from pathlib import Path

INFORMATION = Path("/proc/cpuinfo")  # of Linux
SETS = ("avx512_bf16", "avx512bw", "avx2")  # that the speed of engines and networks depends on
CHOICE = "PATCHMOSAIC_INSTRUCTIONS"  # as in patchmosaic/engines/native.py


def processor_name(information: Path = INFORMATION) -> str:
    """The first processor's name; where the system does not tell, what Python knows."""
    return _said("model name", information) or platform.processor() or platform.machine()


def instructions(information: Path = INFORMATION) -> str:
    """Those of SETS that the processor has, and which set the user has the exact kernel use."""
    flags = _said("flags", information).split()
    has = " ".join(name for name in SETS if name in flags) or platform.machine()
    chosen = os.environ.get(CHOICE)
    return f"{has}, the kernel with {chosen}" if chosen else has


def _said(wanted: str, information: Path) -> str:
    try:
        with information.open(encoding="utf-8", errors="replace") as lines:
            for line in lines:
                key, _, value = line.partition(":")
                if key.strip() == wanted:
                    return value.strip()
    except OSError:
        pass
    return ""
