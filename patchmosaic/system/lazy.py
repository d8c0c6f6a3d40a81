"""Names that registries give as text, "module:name", imported when they are asked for.

A file that imports :func:`load` rests on what the registries that it imports name
(workflow/code_digest.py); one that only reads names, order or looks does not, and imports no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any


def load(address: str) -> Any:
    """What "package.module:name" names."""
    module, name = address.split(":")
    return getattr(import_module(module), name)
