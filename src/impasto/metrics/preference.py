"""A ranking from pairwise choices."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

_STEPS = 10_000
_TOLERANCE = 1e-10


def bradley_terry(
    names: Sequence[str], wins: Mapping[tuple[str, str], float], *, prior: float = 0.5
) -> dict[str, float]:
    r"""Return the strength of each name under the model of Bradley and Terry.

    $P(i > j) = p_i / (p_i + p_j)$: Bradley and Terry, "Rank analysis of incomplete block
    designs", 1952; fitted by the iteration of Hunter, "MM algorithms for generalized
    Bradley-Terry models", 2004, eq. 3. Differs: each name also has ``prior`` wins and
    losses against one of strength 1, so that strengths stay finite if one name always won.

    Args:
        names: the names to rank.
        wins: how often the first of two names was preferred to the second; "neither" counts a
            half for both.
        prior: number of imagined wins, and of imagined losses.

    Returns:
        Strengths, greater for the preferred, with a geometric mean of 1.
    """
    strengths = dict.fromkeys(names, 1.0)
    won = {name: prior + sum(wins.get((name, other), 0.0) for other in names) for name in names}
    met = {
        (one, other): wins.get((one, other), 0.0) + wins.get((other, one), 0.0)
        for one in names
        for other in names
        if one != other
    }
    for _ in range(_STEPS):
        former = dict(strengths)
        for name in names:
            share = 2 * prior / (strengths[name] + 1)
            share += sum(
                met[name, other] / (strengths[name] + strengths[other])
                for other in names
                if other != name
            )
            strengths[name] = won[name] / share
        moved = max((abs(math.log(strengths[n] / former[n])) for n in names), default=0.0)
        if moved < _TOLERANCE:
            break
    mean = math.exp(sum(map(math.log, strengths.values())) / max(1, len(strengths)))
    return {name: strength / mean for name, strength in strengths.items()}
