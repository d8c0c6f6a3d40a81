"""How numbers are judged: numbers/protocol.yaml."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from patchmosaic.tables.rows import Field, check_fields, content_of, number

_FILE: dict[str, Field] = {
    "equivalence": (lambda v: isinstance(v, dict), "the keys margin and significance")
}
_EQUIVALENCE: dict[str, Field] = {
    "margin": number(0, 1, above=True),
    "significance": number(0, 0.5, above=True),
}


@dataclass(frozen=True)
class Protocol:
    """The content of numbers/protocol.yaml.

    margin: medians of Pearson's r that differ by less are equivalent. significance: of each of the
    two one-sided tests of that.
    """

    margin: float
    significance: float


def load_protocol(path: str | Path) -> Protocol:
    """Read and check protocol.yaml.

    Raises:
        ValueError: naming file, key, value and what is allowed.
    """
    with content_of(path) as content:
        check_fields("the file", content, _FILE)
        check_fields("equivalence", content["equivalence"], _EQUIVALENCE)
        return Protocol(**content["equivalence"])
