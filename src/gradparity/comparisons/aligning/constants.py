"""Constants of a node in whose place the other program has other ones, and how they differ."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, permutations

import numpy as np

from ...core.arithmetic.arrays import NDArray
from ...core.formulas.layers import Affine
from ...core.network.calls import Call
from ...core.vocabulary.contractions import MatMul
from .conventions import dropout_rate
from .edits import Edit, wide
from .positions import bases
from .values import NEAR, Program, are_near, sorted_elements

__all__ = ["constants"]

#: The most arrays of the other program that are tried in the place of one.
MANY = 48
#: The most axes of a constant whose orders are tried.
MOST_AXES = 4


def constants(
    call: Call, y: Sequence[NDArray], other: Program, numbers: Sequence[float]
) -> Iterator[Edit]:
    """Yield a node with constants of the other program in the place of its own."""
    known: dict[int, list[NDArray]] = {}
    for there in other.calls:
        for o in there.inputs:
            if not o.source and o.array.size > 1:
                known.setdefault(o.array.size, []).append(o.array)
    for i, o in enumerate(call.inputs):
        if o.source or not o.array.size:
            continue
        own = y[i]
        if own.dtype.kind == "f" and (own == own.flat[0]).all():
            for number in numbers:
                if number != own.flat[0]:
                    start = own.size > 1 and i == 0 and isinstance(call.op, MatMul | Affine)
                    which = "initial state, a constant," if start else "number"
                    said = f"its {which} is {own.flat[0]:.6g} {{here}} and {number:.6g} {{there}}"
                    yield Edit(said, call.op, {i: np.full(own.shape, number)})
        for array in known.get(own.size, ())[:MANY] if own.size > 1 else ():
            same = array.dtype.kind == own.dtype.kind
            if same and not np.array_equal(array.ravel(), own.ravel()):
                said = _difference(f"its constant {i + 1}", own, wide(array))
                yield Edit(said, call.op, {i: wide(array).reshape(own.shape)})


def _difference(name: str, own: NDArray, there: NDArray) -> str:
    """How two constants differ, in words."""
    here, other = dropout_rate(own), dropout_rate(there)
    if here is not None and other is not None:
        if abs(here - other) < 1e-6:
            return f"dropout with the rate {here:.6g} has another mask {{there}}"
        return f"dropout has the rate {here:.6g} {{here}} and {other:.6g} {{there}}"
    if own.dtype.kind != "f" or not (np.isfinite(own).all() and np.isfinite(there).all()):
        return f"{name} has other numbers {{there}}"
    based = bases(own, there)
    if based is not None:
        said = f"{name}, of positions as cosines or sines, has the base {based[0]:.6g} {{here}} "
        return f"{said}and {based[1]:.6g} {{there}}"
    if are_near(sorted_elements(own), sorted_elements(there), NEAR["float64"]):
        return f"{name} {_order(own, there)} {{there}}"
    i = int(np.abs(own).argmax())
    times = float(there.flat[i] / own.flat[i]) if own.flat[i] else 0.0
    if times and are_near(own.ravel() * times, there.ravel(), NEAR["float64"]):
        return f"{name} is {times:.6g} times as large {{there}}"
    return f"{name} has other numbers {{there}}"


def _order(own: NDArray, there: NDArray) -> str:
    """In what other order a constant has the same elements."""
    near, rank = NEAR["float64"], own.ndim
    there = there.reshape(own.shape)
    for axes in permutations(range(rank)) if rank <= MOST_AXES else ():
        if are_near(own.transpose(axes).reshape(-1), there.reshape(-1), near):
            return "is transposed" if rank == 2 else f"is transposed, its axes in the order {axes}"
    for n in range(1, rank + 1):
        for flipped in combinations(range(rank), n):
            if are_near(np.flip(own, flipped), there, near):
                return f"is mirrored along axis {', '.join(map(str, flipped))}"
    for axis in (i for i in range(rank) if own.shape[i] % 2 == 0):
        if are_near(np.roll(own, own.shape[axis] // 2, axis), there, near):
            return f"has its halves along axis {axis} exchanged"
    return "has the same numbers in another order"
