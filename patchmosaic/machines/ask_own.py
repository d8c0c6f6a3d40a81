"""Ask machines of one's own about made-up images, before a workflow starts any job.

``python -m patchmosaic.machines.ask_own`` with a list of machines as JSON on standard input, each
with path, shape (C, H, W) of its images, conditional, and the arguments of OwnMachine. The first
that cannot be used ends it, with one line on standard error.
"""

import json
import sys
from pathlib import Path

import torch

from patchmosaic.machines.own import PROBE_BANK, OwnMachine, probe
from patchmosaic.system.records import RecordError

CLASSES = 2  # of the labels that are made up

if __name__ == "__main__":
    for asked in json.load(sys.stdin):
        path, shape, conditional = (asked.pop(key) for key in ("path", "shape", "conditional"))
        generator = torch.Generator().manual_seed(0)
        images = torch.rand(PROBE_BANK, *shape, generator=generator) * 2 - 1
        labels = torch.arange(PROBE_BANK) % CLASSES if conditional else None
        try:
            probe(OwnMachine(images, labels, Path(path), **asked))
        except RecordError as error:
            sys.exit(str(error))
