"""Tables of positions: cosines and sines of angles that fall by powers of a base."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ....core.arithmetic.arrays import NDArray

__all__ = ["base_of", "bases", "is_table", "with_base"]

#: How near the entries of a table are to those of its angles.
NEAR = 1e-4
#: The smallest and the largest base, and the fewest rows of a table.
LOWEST, HIGHEST, ROWS = 50.0, 1e9, 3


def bases(one: NDArray, other: NDArray) -> tuple[float, float] | None:
    """The bases of two tables of positions; None if they are none, or have the same."""
    if one.size != other.size:
        return None
    for a in _bases(_rows(one)):
        for b in _bases(_rows(other)):
            if abs(a - b) > NEAR * max(a, b):
                return a, b
    return None


def is_table(a: NDArray) -> bool:
    """Whether an array is a table of cosines or sines of positions."""
    rows = _rows(a)
    return rows is not None and _angles(rows) is not None


def base_of(a: NDArray) -> float | None:
    """The base of a table of positions; None if an array is not one."""
    return next(_bases(_rows(a)), None)


def with_base(a: NDArray, base: float, new: float) -> NDArray:
    """A table of positions of one base as it is with another one."""
    rows = _rows(a)
    found = None if rows is None else _wave(rows)
    if rows is None or found is None:
        raise ValueError(f"with_base takes a table of positions, received one of shape {a.shape}")
    angle, wave = found
    powers = np.log(angle) / np.log(base)
    steps = np.arange(len(rows))[:, None]
    n = len(np.unique(np.round(powers, 6)))
    made: NDArray = wave(steps * new ** (np.round(powers * n) / n))
    return np.broadcast_to(made, np.squeeze(a).shape).reshape(a.shape)


def _rows(a: NDArray) -> NDArray | None:
    """The table as (positions, angles), without axes of one entry; it may be one per sample."""
    rows: NDArray = np.squeeze(a)
    if rows.ndim == 3 and (rows == rows[:1]).all():
        rows = rows[0]
    if rows.ndim != 2 or len(rows) < ROWS or a.dtype.kind != "f":
        return None
    return rows


def _angles(rows: NDArray) -> NDArray | None:
    """The angles of the first position; None if the others have not so many times these."""
    found = _wave(rows)
    return None if found is None else found[0]


def _wave(rows: NDArray) -> tuple[NDArray, np.ufunc] | None:
    """The angles of the first position, and the function of their multiples; None if neither."""
    if np.abs(rows).max() > 1 + NEAR:
        return None
    steps = np.arange(len(rows))[:, None]
    clipped = np.clip(rows[1], -1.0, 1.0)
    angle: NDArray
    for angle, wave in ((np.arccos(clipped), np.cos), (np.arcsin(clipped), np.sin)):
        if np.any(angle) and np.abs(wave(steps * angle) - rows).max() <= NEAR:
            return angle, wave
    return None


def _bases(rows: NDArray | None) -> Iterator[float]:
    """The bases b for which the angles of the first position are b^(-k/n), for n angles k/n."""
    angles = None if rows is None else _angles(rows)
    if angles is None or (angles <= 0).any():
        return
    distinct = np.unique(np.round(-np.log(angles), 6))
    n = len(distinct)
    if n < 2 or abs(distinct[0]) > NEAR:
        return
    powers = np.arange(n) / n
    if np.abs(distinct - distinct[1] * n * powers).max() > NEAR * distinct[-1]:
        return
    base = float(np.exp(distinct[1] * n))
    if LOWEST <= base <= HIGHEST:
        yield float(f"{base:.4g}")
