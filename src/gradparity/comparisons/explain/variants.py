"""Other functions that a node may compute by mistake, derived from its own op.

Any op is tried on rearranged inputs and in its other modes, so no op needs a list of its own; a
recurrent cell also has the order of its gates and the functions inside it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, permutations
from typing import Any

import numpy as np

from ...core.arithmetic.arrays import NDArray
from ...core.formulas.op import Op, Shape
from ...core.network.nodes import Step
from .arguments import arguments_of, other_arguments, other_modes
from .hints import order_of_slices
from .other_alignments import other_alignments
from .other_gates import other_functions, other_gates
from .other_heads import other_heads
from .other_kinds import other_kinds
from .other_norms import unbiased
from .wrapped import Move, OnOther, Rearranged, on

__all__ = ["conventions", "rearranged_inputs", "rearranged_value", "variants"]

#: Names of positions, for the inputs of an op.
ORDINALS = ("first", "second", "third", "fourth", "fifth")
#: Factors that a parameter may have by mistake.
FACTORS = {0.0: "is left out", -1.0: "has the other sign", 2.0: "counts twice"}
#: Slices of gradients in plain arithmetic are the same if they are this near.
NEAR = 1e-9
#: Maximum number of slices whose order is listed.
MOST_LISTED = 8


def variants(step: Step, y: Sequence[NDArray]) -> Iterator[tuple[str, Op]]:
    """(words, op) of every other function, the likeliest first.

    Parameters
    ----------
    step : the node.
    y : its inputs.

    >>> from gradparity.core import *
    >>> step = layered([Affine(3, 2)], L2()).steps[0]
    >>> y = np.ones((4, 3)), np.ones((3, 2)), np.ones(2)
    >>> [words for words, _ in variants(step, y)][:2]
    ['right if W1 is left out', 'right if W1 has the other sign']
    """
    op = step.op
    if _is_empty(op, y):
        return
    yield from other_modes(op)
    yield from other_alignments(op, y)
    yield from other_gates(op, y)
    yield from unbiased(op)
    n = len(y) - len(op.parameter_shapes())
    values = [i for i in range(n) if y[i].dtype.kind == "f"]
    for some in ([*range(n, len(y))], values):
        for i, j in combinations(some, 2):
            if y[i].shape == y[j].shape:
                slots = list(range(len(y)))
                slots[i], slots[j] = j, i
                names = _input(step, i, n), _input(step, j, n)
                yield f"right if {names[0]} and {names[1]} are exchanged", OnOther(op, (*slots,))
    for i in range(n, len(y)):
        for times, how in FACTORS.items():
            yield f"right if {_input(step, i, n)} {how}", on(op, y, i, Move(times=times))
    yield from _interleaved(step, y)
    for i in (*range(n, len(y)), *values):
        for how, move in _moves(y[i].shape):
            yield f"right if {_input(step, i, n)} {how}", on(op, y, i, move)


def conventions(step: Step, y: Sequence[NDArray]) -> Iterator[tuple[str, Op]]:
    """(words, op) of the functions that another convention gives; see `variants`.

    These are the op with other arguments, ops of its kind, and parts of it that no argument names.
    """
    op, n = step.op, len(y) - len(step.op.parameter_shapes())
    yield from other_heads(op, y)
    yield from other_functions(op, y)
    yield from other_kinds(op, y)
    for i in range(n, len(y)):
        name = _input(step, i, n)
        yield f"right if {name} + 1 stands for {name}", on(op, y, i, Move(plus=1.0))
    values = [i for i in range(n) if y[i].dtype.kind == "f"]
    for i in values:
        yield f"right if {_input(step, i, n)} has the other sign", on(op, y, i, Move(times=-1.0))
    for i in values:
        for axis, size in enumerate(y[i].shape):
            if axis and size > 2 and size % 2 == 0:
                order = tuple(np.roll(np.arange(size), size // 2).tolist())
                said = f"right if {_input(step, i, n)} has its halves along axis {axis} exchanged"
                yield said, on(op, y, i, Move(((axis, order),)))
    yield from other_arguments(op, y)


def rearranged_inputs(
    step: Step, y: Sequence[NDArray], got: Sequence[Any], want: Sequence[Any]
) -> Iterator[tuple[str, Op]]:
    """(words, op) with the slices of one input in the order that its gradient has them in.

    Parameters
    ----------
    step, y : as in `variants`.
    got, want : the gradient by each input as it is, and by the op's formula; None where unknown.
    """
    n = len(y) - len(step.op.parameter_shapes())
    order_of_inputs = (*range(n, len(y)), *range(n))
    for i in order_of_inputs:
        g, w = got[i], want[i]
        if g is None or w is None or g.shape != w.shape:
            continue
        bound = np.full(w.shape, NEAR * np.abs(w).max(initial=0.0))
        for axis in range(w.ndim):
            order = order_of_slices(np.asarray(g, np.float64), w, bound, axis)
            if order is not None:
                back = tuple(int(k) for k in np.argsort(order))
                how = f"has its slices along axis {axis} in another order"
                if len(order) <= MOST_LISTED:
                    how = f"has its slices along axis {axis} in the order {[*back]}"
                move = Move(((axis, back),))
                yield f"right if {_input(step, i, n)} {how}", on(step.op, y, i, move)


def rearranged_value(op: Op, got: NDArray, want: NDArray, bound: NDArray) -> Iterator[Op]:
    """The op with its value rearranged as it was found, or multiplied."""
    telling = np.abs(want) > bound
    if telling.any():
        yield Rearranged(op, Move(times=float(np.median(got[telling] / want[telling]))))
    for axis in range(want.ndim):
        order = order_of_slices(got, want, bound, axis)
        if order is not None:
            yield Rearranged(op, Move(((axis, tuple(order)),)))
    for _, move in _moves(want.shape):
        yield Rearranged(op, move)


def _input(step: Step, slot: int, n: int) -> str:
    """A parameter by its name; a value by its position, which is the same at every such node."""
    if slot >= n:
        return step.inputs[slot]
    return (
        "its input" if n == 1 else f"its {ORDINALS[slot] if slot < len(ORDINALS) else slot} input"
    )


def _is_empty(op: Op, y: Sequence[NDArray]) -> bool:
    """Whether an op takes or gives a value without elements."""
    try:
        op.output_shape(*(a.shape for a in y))
    except ValueError:
        return True
    return any(a.size == 0 for a in y)


def _interleaved(step: Step, y: Sequence[NDArray]) -> Iterator[tuple[str, Op]]:
    """Groups along an axis that are interleaved: element c is in c % k, and not in c // m.

    Every number k that the op was made with is tried along every axis that it divides.
    """
    op, shapes = step.op, [a.shape for a in y]
    if len(step.values) > 1:
        return
    n = len(y) - len(op.parameter_shapes())
    numbers = {a.name: getattr(op, a.name) for a in arguments_of(op)}
    for axis, width in enumerate(shapes[0]):
        for name, k in numbers.items():
            if axis == 0 or type(k) is not int or not 1 < k < width or width % k:
                continue
            order = tuple(range(width)[i + k * j] for i in range(k) for j in range(width // k))
            moves: list[tuple[int, Move]] = []
            for i, shape in enumerate(shapes):
                axes = [axis] if i < n else [a for a, size in enumerate(shape) if size == width]
                if axes and y[i].dtype.kind == "f" and shape[axes[0] : axes[0] + 1] == (width,):
                    moves.append((i, Move(((axes[0], order),))))
            inside: Op = OnOther(op, (*range(len(y)),), tuple(moves))
            z = op.output_shape(*shapes)
            if len(z) > axis and z[axis] == width:
                back = tuple(int(i) for i in np.argsort(order))
                inside = Rearranged(inside, Move(((axis, back),)))
            said = f"right with its {name} interleaved along axis {axis}"
            yield f"{said}: element c is in part c % {k}, not in part c // {width // k}", inside


def _moves(shape: Shape) -> Iterator[tuple[str, Move]]:
    """The rearrangements that keep the shape: mirrored, transposed, shifted by one."""
    long = [axis for axis, n in enumerate(shape) if n > 1]
    for k in range(1, len(long) + 1):
        for axes in combinations(long, k):
            orders = tuple((axis, (*range(shape[axis]),)[::-1]) for axis in axes)
            along = f"axis {axes[0]}" if k == 1 else f"the axes {axes}"
            yield f"is mirrored along {along}", Move(orders)
    for axes in permutations(range(len(shape))) if len(shape) <= 4 else ():
        if axes != (*range(len(shape)),) and tuple(shape[a] for a in axes) == tuple(shape):
            how = "is transposed" if len(shape) == 2 else f"has its axes in the order {axes}"
            yield how, Move(axes=axes)
    for axis in (a for a in long if shape[a] > 2):
        for by in (1, -1):
            order = tuple(int(i) for i in np.roll(np.arange(shape[axis]), by))
            yield f"is shifted by {by} along axis {axis}", Move(((axis, order),))
