"""Which candidates of an ordered list are tried where the best moves little from step to step."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

REACH = 2
"""Candidates on each side of the best that are tried. On the whole tables of cosines of the
packaged networks, 1 finds another scale in a third of them, 2 in none."""


def climb(
    values: Callable[[int], Sequence[float]], candidates: int, starts: Sequence[int] = ()
) -> dict[int, Sequence[float]]:
    """The candidates tried on the way to the best of each trajectory, with their values.

    Tried are those within REACH of where a trajectory starts, then of the best it has found, until
    these have all been tried.

    Args:
        values: of the candidate at a place in their order, one for each trajectory; asked once.
        candidates: how many there are.
        starts: a place for each trajectory; without any all candidates are tried.

    Returns:
        By place, in order, what ``values`` gave.
    """
    found: dict[int, Sequence[float]] = {}
    wanted = near(starts, candidates) if starts else set(range(candidates))
    while wanted:
        found |= {place: values(place) for place in sorted(wanted)}
        wanted = near(best_places(found), candidates) - set(found)
    return dict(sorted(found.items()))


def best_places(found: dict[int, Sequence[float]]) -> list[int]:
    """The place of the highest value of each trajectory; of equal ones the first."""
    trajectories = range(len(next(iter(found.values()))))
    return [max(sorted(found), key=lambda place: found[place][i]) for i in trajectories]


def near(places: Iterable[int], candidates: int) -> set[int]:
    """The places within REACH of these."""
    reach = range(-REACH, REACH + 1)
    return {place + step for place in places for step in reach} & set(range(candidates))
