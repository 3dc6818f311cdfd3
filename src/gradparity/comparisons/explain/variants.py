"""Other functions that a node may compute by mistake, derived from its own op.

Any op is tried on rearranged inputs and in its other modes, so no op needs a list of its own; a
recurrent cell also has the order of its gates and the functions inside it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import Field, dataclass, fields, is_dataclass, replace
from functools import partial
from itertools import combinations, permutations
from typing import Any

import numpy as np

from ...core.arithmetic.arrays import Array, NDArray, moved, moved_back
from ...core.formulas.op import Op, Shape
from ...core.formulas.recurrent import LSTMCell
from ...core.formulas.smooth import sigmoid, sigmoid_slope, tanh, tanh_slope
from ...core.network.nodes import Step
from ...core.vocabulary.layers import GRU, LSTM
from ...core.vocabulary.sequences import GRUCell
from .hints import order_of_slices
from .other_alignments import other_alignments
from .other_norms import unbiased

__all__ = [
    "OnOther",
    "Rescaled",
    "arguments_of",
    "complements",
    "rearranged_inputs",
    "rearranged_value",
    "variants",
]

#: Names of positions, for the inputs of an op.
ORDINALS = ("first", "second", "third", "fourth", "fifth")
#: Factors that a parameter may have by mistake.
FACTORS = {0.0: "is left out", -1.0: "has the other sign", 2.0: "counts twice"}
#: The gates of recurrent cells and layers, in the order of their blocks, each with its function.
GATES: dict[type[Op], dict[str, str]] = {
    LSTMCell: {"i": "sigmoid", "f": "sigmoid", "g": "tanh", "o": "sigmoid"},
    GRUCell: {"r": "sigmoid", "u": "sigmoid", "n": "tanh"},
}
GATES |= {LSTM: GATES[LSTMCell], GRU: GATES[GRUCell]}
#: Slices of gradients in plain arithmetic are the same if they are this near.
NEAR = 1e-9
#: Maximum number of slices whose order is listed.
MOST_LISTED = 8


class Wrapped(Op):
    """An op made from another one, with the same inputs, parameters and outputs."""

    op: Op

    @property
    def n_inputs(self) -> int | None:  # type: ignore[override]
        return self.op.n_inputs

    @property
    def given(self) -> bool:  # type: ignore[override]
        return self.op.given

    def parameter_shapes(self) -> dict[str, Shape]:
        return self.op.parameter_shapes()

    def output_shape(self, *shapes: Shape) -> Any:
        return self.op.output_shape(*shapes)


@dataclass(frozen=True)
class Rescaled(Wrapped):
    """An op with its first input multiplied: a temperature, a scale of attention, or a beta.

    Attributes
    ----------
    op, factor : f(factor y) for the op's f(y).
    divided : the value is divided by the factor again, as f(beta z) / beta.
    """

    op: Op
    divided: bool
    factor: float = 1.0

    def forward(self, *y: Array) -> Any:
        z = self.op.forward(y[0] * self.factor, *y[1:])
        return z / self.factor if self.divided else z

    def vjp(self, dz: Any, y: tuple[Array, ...], z: Any) -> tuple[Any, ...]:
        inside = (y[0] * self.factor, *y[1:])
        dz = dz / self.factor if self.divided else dz
        first, *others = self.op.vjp(dz, inside, self.op.forward(*inside))
        return (first * self.factor, *others)

    @property
    def said(self) -> str:
        """A sentence that names the factor."""
        if self.divided:
            return f"right as f(b z) / b with b = {self.factor}, f being the op"
        return f"right if its first input is multiplied by {self.factor}"


@dataclass(frozen=True)
class Move:
    """A rearrangement of an array: elements in another order along some axes, or other axes.

    Attributes
    ----------
    orders : (axis, the index that each element is taken from).
    axes : the order of the axes, as `np.transpose` takes it; empty to keep them.
    times : a factor of every element.
    negative : indices along the last axis whose elements have the other sign.
    """

    orders: tuple[tuple[int, tuple[int, ...]], ...] = ()
    axes: tuple[int, ...] = ()
    times: float = 1.0
    negative: tuple[int, ...] = ()

    def to(self, a: Array) -> Array:
        """The rearranged array."""
        if self.negative:
            return np.where(np.isin(np.arange(a.shape[-1]), self.negative), -a, a)
        if self.times != 1.0:
            return a * self.times
        return moved(a, lambda plain, fill: self._moved(plain, back=False))

    def back(self, a: Array) -> Array:
        """The array in its original arrangement, or a gradient by it."""
        if self.negative:
            return self.to(a)
        if self.times != 1.0:
            return a * self.times
        return moved_back(a, lambda plain: self._moved(plain, back=True))

    def _moved(self, a: NDArray, back: bool) -> NDArray:
        for axis, order in self.orders:
            a = np.take(a, np.argsort(order) if back else order, axis=axis)
        axes = np.argsort(self.axes) if back else self.axes
        return np.transpose(a, axes) if self.axes else a


@dataclass(frozen=True)
class OnOther(Wrapped):
    """An op on rearranged inputs, with gradients by the inputs as they were.

    Attributes
    ----------
    op : the op.
    slots : which input stands in the place of each.
    moves : (place, rearrangement) of the inputs that are rearranged.
    """

    op: Op
    slots: tuple[int, ...]
    moves: tuple[tuple[int, Move], ...] = ()

    def _inputs(self, y: Sequence[Array]) -> tuple[Array, ...]:
        moves = dict(self.moves)
        there = ((i, y[slot]) for i, slot in enumerate(self.slots))
        return tuple(moves[i].to(a) if i in moves else a for i, a in there)

    def forward(self, *y: Array) -> Any:
        return self.op.forward(*self._inputs(y))

    def vjp(self, dz: Any, y: tuple[Array, ...], z: Any) -> tuple[Any, ...]:
        found = list(self.op.vjp(dz, self._inputs(y), z))
        for i, move in self.moves:
            found[i] = None if found[i] is None else move.back(found[i])
        return tuple(found[self.slots.index(i)] for i in range(len(found)))


@dataclass(frozen=True)
class Rearranged(Wrapped):
    """An op whose only value is rearranged, or multiplied."""

    op: Op
    move: Move

    def forward(self, *y: Array) -> Any:
        return self.move.to(self.op.forward(*y))

    def vjp(self, dz: Any, y: tuple[Array, ...], z: Any) -> tuple[Any, ...]:
        return self.op.vjp(self.move.back(dz), y, self.op.forward(*y))


@dataclass(frozen=True)
class InMode(Wrapped):
    """An op in another mode that keeps more or fewer states; those that it lacks stay as they were.

    Attributes
    ----------
    op, instead : the network's op, and the same in the other mode.
    """

    op: Op
    instead: Op

    def forward(self, *y: Array) -> Any:
        z = self.instead.forward(*y)
        letters, n = list(self.op.parameter_shapes()), len(self.op.outputs) + len(self.op.states)
        kept = [y[letters.index(b) - len(letters)] for b in self.op.buffers]
        z = (*(z if isinstance(z, tuple) else (z,)), *kept)[:n]
        return z if n > 1 else z[0]

    def vjp(self, dz: Any, y: tuple[Array, ...], z: Any) -> tuple[Any, ...]:
        return self.instead.vjp(dz, y, self.instead.forward(*y))


@dataclass(frozen=True, repr=False)
class OtherCell(LSTMCell):
    """An LSTM cell with another function at one place, or with none.

    Attributes
    ----------
    place : a gate, or "c" for the new state.
    instead : "sigmoid", "tanh", or "" for none.
    """

    place: str = ""
    instead: str = ""

    def function(self, place: str) -> Any:
        if place != self.place:
            return super().function(place)
        return FUNCTIONS[self.instead]


#: (function, its slope given the input and the output).
FUNCTIONS: dict[str, Any] = {
    "": (lambda v: v, lambda v, f: 1.0),
    "sigmoid": (sigmoid, sigmoid_slope),
    "tanh": (tanh, tanh_slope),
}


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
    yield from _modes(op)
    yield from other_alignments(op, y)
    if type(op) in GATES:
        yield from _gates(op, y)
    if type(op) is LSTMCell:
        yield from _functions(op)
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
            yield f"right if {_input(step, i, n)} {how}", _on(op, y, i, Move(times=times))
    yield from _interleaved(step, y)
    for i in (*range(n, len(y)), *values):
        for how, move in _moves(y[i].shape):
            yield f"right if {_input(step, i, n)} {how}", _on(op, y, i, move)


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
                yield f"right if {_input(step, i, n)} {how}", _on(step.op, y, i, move)


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


def _on(op: Op, y: Sequence[NDArray], slot: int, move: Move) -> Op:
    return OnOther(op, (*range(len(y)),), ((slot, move),))


def _input(step: Step, slot: int, n: int) -> str:
    """A parameter by its name; a value by its position, which is the same at every such node."""
    if slot >= n:
        return step.inputs[slot]
    return (
        "its input" if n == 1 else f"its {ORDINALS[slot] if slot < len(ORDINALS) else slot} input"
    )


def arguments_of(op: Op) -> tuple[Field[Any], ...]:
    """The arguments that an op was made with; none where it is not a dataclass."""
    return fields(op) if is_dataclass(op) else ()


def complements(op: Op) -> Iterator[tuple[str, Op]]:
    """(words, op) with 1 - a in place of each number a between 0 and 1.

    >>> from gradparity.core.formulas.activations import LeakyReLU
    >>> [words for words, _ in complements(LeakyReLU(0.25))]
    ['right with a = 0.75, where the network has a = 0.25: 1 - a in place of a']
    """
    for argument in arguments_of(op):
        name, value = argument.name, getattr(op, argument.name)
        if not isinstance(value, float) or not 0.0 < value < 1.0 or value == 0.5:
            continue
        instead = float(f"{1.0 - value:.15g}")
        try:
            other: Op = replace(op, **{name: instead})  # type: ignore[type-var]
        except ValueError:
            continue
        said = f"right with {name} = {instead}, where the network has {name} = {value}"
        yield f"{said}: 1 - {name} in place of {name}", other


def _modes(op: Op) -> Iterator[tuple[str, Op]]:
    """Modes that change the states of an op, such as training and evaluation."""
    for argument in arguments_of(op) if op.buffers else ():
        value = getattr(op, argument.name)
        if isinstance(value, bool):
            other: Op = replace(op, **{argument.name: not value})  # type: ignore[type-var]
            if other.states != op.states and other.parameter_shapes() == op.parameter_shapes():
                said = f"right with {argument.name} = {not value}"
                yield f"{said}, where the network has {argument.name} = {value}", InMode(op, other)


def _gates(op: Any, y: Sequence[NDArray]) -> Iterator[tuple[str, Op]]:
    """The gates of a cell in another order, or one of them with the other sign."""
    functions, n = GATES[type(op)], len(y) - len(op.parameter_shapes())
    own = tuple(functions)
    parameters = [i for i in range(n, len(y)) if y[i].shape[-1:] == (len(own) * op.h,)]

    def block(gate: str) -> range:
        return range(op.h * own.index(gate), op.h * (own.index(gate) + 1))

    def on_all(move: Callable[[NDArray], Move]) -> Op:
        return OnOther(op, (*range(len(y)),), tuple((i, move(y[i])) for i in parameters))

    for gates in permutations(own):
        if gates != own:
            blocks = (range(op.h * gates.index(g), op.h * (gates.index(g) + 1)) for g in own)
            order = tuple(i for each in blocks for i in each)
            said = f"right with its gates in the order {', '.join(gates)}"
            said += f", where the network has {', '.join(own)}"
            yield said, on_all(partial(_ordered, order))
    for gate, function in functions.items():
        # sigmoid(-s) = 1 - sigmoid(s)
        said = (
            f"{gate} and 1 - {gate} exchanged" if function == "sigmoid" else f"-{gate} for {gate}"
        )
        yield f"right with {said}", on_all(partial(_signed, (*block(gate),)))


def _ordered(order: tuple[int, ...], a: NDArray) -> Move:
    """The move of the last axis into another order."""
    return Move(((a.ndim - 1, order),))


def _signed(negative: tuple[int, ...], a: NDArray) -> Move:
    """The move that gives these elements along the last axis the other sign."""
    return Move(negative=negative)


def _functions(op: LSTMCell) -> Iterator[tuple[str, Op]]:
    """Another function or none at one place of the cell."""
    for place in (*op.gates, "c"):
        usual = next(name for name, pair in FUNCTIONS.items() if pair == op.function(place))
        where = "the new cell state" if place == "c" else f"gate {place}"
        for instead in FUNCTIONS:
            if instead != usual:
                said = f"{instead} in place of {usual} at" if instead else f"no {usual} at"
                yield f"right with {said} {where}", OtherCell(op.d, op.h, place, instead)


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
