"""How numbers are judged: numbers/protocol.yaml."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from patchmosaic.tables.rows import Field, check_fields, content_of, number

_SECTIONS: dict[str, dict[str, Field]] = {
    "equivalence": {
        "margin": number(0, 1, above=True),
        "significance": number(0, 0.5, above=True),
    },
    "tails": {"low": number(0, 1, above=True)},
}
_FILE: dict[str, Field] = {
    name: (lambda v: isinstance(v, dict), f"the keys {', '.join(keys)}")
    for name, keys in _SECTIONS.items()
}


@dataclass(frozen=True)
class Protocol:
    """The content of numbers/protocol.yaml.

    margin: medians of Pearson's r that differ by less are equivalent. significance: of each of the
    two one-sided tests of that. low: r of a seed below that counts as low.
    """

    margin: float
    significance: float
    low: float


def load_protocol(path: str | Path) -> Protocol:
    """Read and check protocol.yaml.

    Raises:
        ValueError: naming file, key, value and what is allowed.
    """
    with content_of(path) as content:
        check_fields("the file", content, _FILE)
        for name, keys in _SECTIONS.items():
            check_fields(name, content[name], keys)
        return Protocol(**content["equivalence"], **content["tails"])
