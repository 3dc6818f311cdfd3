"""Rows of a table, such as of an embedding, that the other program takes by other ids."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ....core.arithmetic.arrays import NDArray
from ....core.network.calls import Call
from ..programs.edits import Edit
from ..programs.values import NEAR

__all__ = ["other_rows"]

#: The most rows of a table, and the most values of the other program that are tried.
ROWS, MANY = 4096, 24


def other_rows(call: Call, y: Sequence[NDArray], lost: Sequence[NDArray]) -> Iterator[Edit]:
    """Other ids of a table, with which one of the lost values of the other program results."""
    z = call.z[0] if call.z else None
    slots = [i for i, o in enumerate(call.inputs) if not o.source]
    tables = [a for a in y if a.dtype.kind == "f" and a.ndim == 2 and a.size > 1]
    if z is None or len(slots) != 1 or len(y) != 2 or len(tables) != 1:
        return
    table, ids = tables[0], y[slots[0]]
    whole = np.array_equal(ids, np.round(ids)) if ids.dtype.kind == "f" else True
    if not whole or z.shape != (*ids.shape, table.shape[1]) or len(table) > ROWS:
        return
    if ids.min(initial=0) < 0 or ids.max(initial=0) >= len(table):
        return
    sizes = {z.size, len(ids) * table.shape[1], z.size // ids.shape[0] if ids.ndim > 1 else 0}
    for array in [a for a in lost if a.size in sizes][:MANY]:
        for a in _with_rows(array, table.shape[1]):
            found = _ids_of(a, table)
            if found is None:
                continue
            # the same rows for every sample may be taken once
            there = np.resize(found, ids.shape)
            if np.array_equal(there, ids):
                continue
            apart = (there != ids).ravel()
            n, k = int(apart.sum()), int(apart.argmax())
            said = f"other rows of its table are taken {{there}}: {n} of {ids.size} ids differ, "
            said += f"such as {int(ids.ravel()[k])} {{here}} and {int(there.ravel()[k])} {{there}}"
            yield Edit(said, call.op, {slots[0]: there.astype(ids.dtype)})


def _with_rows(a: NDArray, width: int) -> Iterator[NDArray]:
    """The array as rows along each axis of that width."""
    for axis, n in enumerate(a.shape):
        if n == width:
            yield np.moveaxis(a, axis, -1).reshape(-1, width)


def _ids_of(a: NDArray, table: NDArray) -> NDArray | None:
    """The row of the table that each row is; None if one is none."""
    size = np.abs(table).max(initial=0.0)
    if not size or not np.isfinite(a).all():
        return None
    near = NEAR["float64"] * size
    same = np.stack([(np.abs(table - row) <= near).all(1) for row in a])
    found: NDArray = same.argmax(1)
    return found if same.any(1).all() else None
