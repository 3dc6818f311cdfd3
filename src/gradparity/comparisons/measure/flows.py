"""Whether shares of several groups can add up to given sums: a flow, in exact fractions."""

from __future__ import annotations

from collections import defaultdict, deque
from fractions import Fraction
from typing import Any

import numpy as np

from ...core.arithmetic.arrays import NDArray

__all__ = ["LARGEST", "feasible"]

#: Slots of one component that are still decided; more are inconclusive.
LARGEST = 400


def feasible(
    group: NDArray, place: NDArray, dz: NDArray, rest: NDArray, slack: NDArray
) -> bool | None:
    """Whether every group can share its dz among its places so that each place gets its rest.

    Parameters
    ----------
    group, place : of each slot, integers (n,).
    dz : what the slot's group has to share out, of either sign.
    rest, slack : what the slot's place gets, within slack; infinite where that is not known.

    Returns
    -------
    bool, or None where there are more than `LARGEST` slots and the sums do not decide.

    >>> one = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 2]), np.ones(4)
    >>> feasible(*one, np.array([0.5, 1.0, 1.0, 0.5]), np.zeros(4))
    True
    >>> feasible(*one, np.array([2.0, 0.0, 0.0, 0.0]), np.zeros(4))
    False
    """
    if not np.isfinite(rest).all() or not np.isfinite(dz).all():
        return False
    if len(group) > LARGEST:
        return None if _adds_up(group, place, dz, rest, slack) else False
    arcs: list[tuple[Any, Any, Fraction, Fraction]] = []  # from, to, lowest, highest
    zero = Fraction(0)
    sizes = np.abs(np.concatenate([dz, rest, slack[np.isfinite(slack)]]))
    endless = 2 * sum((Fraction(float(a)) for a in sizes), zero) + 1
    for g in {int(g) for g in group}:  # a negative dz flows from its places to the group
        d = Fraction(float(dz[group == g][0]))
        arcs.append(("s", ("g", g), d, d) if d >= 0 else (("g", g), "t", -d, -d))
    for e in {int(e) for e in place}:
        if np.isinf(slack[place == e][0]):
            arcs += [(("e", e), "t", zero, endless), ("s", ("e", e), zero, endless)]
            continue
        r, s = (Fraction(float(a[place == e][0])) for a in (rest, slack))
        arcs.append((("e", e), "t", max(r - s, zero), max(r + s, zero)))
        arcs.append(("s", ("e", e), max(-r - s, zero), max(s - r, zero)))
    for g, e, d in zip(group, place, dz, strict=True):
        ends = (("g", int(g)), ("e", int(e))) if d >= 0 else (("e", int(e)), ("g", int(g)))
        arcs.append((*ends, zero, endless))
    return _circulates([*arcs, ("t", "s", zero, endless)])


def _adds_up(group: NDArray, place: NDArray, dz: NDArray, rest: NDArray, slack: NDArray) -> bool:
    """Whether all that is got is all that was shared out, and none got more than it could."""
    _, first = np.unique(place, return_index=True)
    _, lead = np.unique(group, return_index=True)
    u = len(group) * 2.0**-53  # of the sums taken here
    room = u * (np.abs(rest[first]).sum() + np.abs(dz[lead]).sum()) + slack[first].sum()
    low, high = (
        np.bincount(place, part)[place[first]] for part in (np.minimum(dz, 0), np.maximum(dz, 0))
    )
    at, off = rest[first], slack[first] + u * (high - low)
    return bool(
        np.abs(at.sum() - dz[lead].sum()) <= room and np.all((at >= low - off) & (at <= high + off))
    )


def _circulates(arcs: list[tuple[Any, Any, Fraction, Fraction]]) -> bool:
    """Whether a circulation meets the limits of all arcs: a maximum flow fills the lower ones."""
    room: Any = defaultdict(lambda: defaultdict(Fraction))
    excess: Any = defaultdict(Fraction)
    for a, b, low, high in arcs:
        room[a][b] += high - low
        excess[b] += low
        excess[a] -= low
    for v, x in excess.items():
        if x > 0:
            room["source"][v] = x
        elif x < 0:
            room[v]["sink"] = -x
    while path := _path(room, "source", "sink"):
        least = min(room[a][b] for a, b in path)
        for a, b in path:
            room[a][b] -= least
            room[b][a] += least
    return not any(room["source"].values())


def _path(room: Any, source: Any, sink: Any) -> list[tuple[Any, Any]]:
    """The arcs of a shortest path with room, from the sink back; empty if there is none."""
    seen, queue = {source: None}, deque([source])
    while queue:
        a = queue.popleft()
        for b, left in room[a].items():
            if left > 0 and b not in seen:
                seen[b] = a
                queue.append(b)
    path, at = [], sink
    while at in seen and at != source:
        path.append((seen[at], at))
        at = seen[at]
    return path
