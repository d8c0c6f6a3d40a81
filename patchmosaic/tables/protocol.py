"""How numbers are judged: numbers/protocol.yaml."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from patchmosaic.tables.rows import Field, check_fields, content_of, integer, number

_SECTIONS: dict[str, dict[str, Field]] = {
    "evaluation": {"first": integer(0), "count": integer(1), "looked_at": integer(0)},
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

    first, count: seeds of the evaluation that no choice has seen. looked_at: how many from 0 on
    choices have seen. margin: medians of Pearson's r that differ by less are equivalent.
    significance: of each of the two one-sided tests of that. low: r of a seed below that counts as
    low.
    """

    first: int
    count: int
    looked_at: int
    margin: float
    significance: float
    low: float

    def standing(self, first: int, last: int) -> str:
        """What the seeds from ``first`` to ``last`` are evidence of, in words."""
        if self.first <= first <= last < self.first + self.count:
            return "of the protocol: no choice has seen them"
        if first < self.looked_at:
            return "choices have seen some of them"
        return "not of the protocol"


def load_protocol(path: str | Path) -> Protocol:
    """Read and check protocol.yaml.

    Raises:
        ValueError: naming file, key, value and what is allowed.
    """
    with content_of(path) as content:
        check_fields("the file", content, _FILE)
        for name, keys in _SECTIONS.items():
            check_fields(name, content[name], keys)
        values = {key: value for name in _SECTIONS for key, value in content[name].items()}
        return Protocol(**values)
