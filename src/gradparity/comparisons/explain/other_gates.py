"""Recurrent cells with their gates in another order or with other functions inside."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import permutations
from typing import Any

import numpy as np

from ...core.arithmetic.arrays import NDArray
from ...core.formulas.op import Op
from ...core.formulas.piecewise import ReLU
from ...core.formulas.recurrent import LSTMCell
from ...core.formulas.smooth import sigmoid, sigmoid_slope, tanh, tanh_slope
from ...core.vocabulary.layers import GRU, LSTM, RNN
from ...core.vocabulary.sequences import GRUCell, RNNCell
from .wrapped import Move, OnOther

__all__ = ["other_functions", "other_gates"]

#: The gates of recurrent cells and layers, in the order of their blocks, each with its function.
GATES: dict[type[Op], dict[str, str]] = {
    LSTMCell: {"i": "sigmoid", "f": "sigmoid", "g": "tanh", "o": "sigmoid"},
    GRUCell: {"r": "sigmoid", "u": "sigmoid", "n": "tanh"},
}
GATES |= {LSTM: GATES[LSTMCell], GRU: GATES[GRUCell]}


def other_gates(op: Op, y: Sequence[NDArray]) -> Iterator[tuple[str, Op]]:
    """(words, op) of a recurrent op with other gates, or with other functions inside."""
    if type(op) in GATES:
        yield from _gates(op, y)
    if type(op) is LSTMCell:
        yield from _functions(op)


def other_functions(op: Op, y: Sequence[NDArray]) -> Iterator[tuple[str, Op]]:
    """(words, op) of a recurrent op with another function in its cell, or a larger bias."""
    if type(op) in (LSTMCell, LSTM):
        yield "right with the bias of the forget gate larger by 1", _larger(op, y)
    if type(op) in (RNN, RNNCell):
        yield from _of_rnn(op)
    if type(op) is LSTM:
        for said, cell in _functions(op.cell):
            assert isinstance(cell, OtherCell)
            yield said, OtherLSTM(op.d, op.h, op.bidirectional, cell.place, cell.instead)


def _larger(op: Any, y: Sequence[NDArray]) -> Op:
    """The op with 1 added to what goes into the forget gate, in every direction."""
    letters, n = [*op.parameter_shapes()], len(y) - len(op.parameter_shapes())
    f = LSTMCell.gates.index("f")
    move = Move(plus=1.0, at=tuple(range(op.h * f, op.h * (f + 1))))
    at = [n + letters.index(b) for b in ("b", "br") if b in letters]
    return OnOther(op, (*range(len(y)),), tuple((i, move) for i in at))


def _of_rnn(op: Any) -> Iterator[tuple[str, Op]]:
    for instead in FUNCTIONS:
        if instead != "tanh":
            said = f"{instead} in place of tanh" if instead else "no tanh"
            other = OtherRNNCell(op.d, op.h, instead)
            layer = isinstance(op, RNN)
            yield (
                f"right with {said}",
                OtherRNN(op.d, op.h, op.bidirectional, instead) if layer else other,
            )


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
    "relu": (lambda v: ReLU(subgradient="left").f(v), lambda v, f: _step(v)),
}


def _step(v: Any) -> Any:
    return np.where(v > 0, 1.0, 0.0)


@dataclass(frozen=True, repr=False)
class OtherLSTM(LSTM):
    """An LSTM layer of such cells."""

    place: str = ""
    instead: str = ""

    @property
    def cell(self) -> LSTMCell:
        return OtherCell(self.d + 1, self.h, self.place, self.instead)


@dataclass(frozen=True, repr=False)
class OtherRNNCell(RNNCell):
    """An RNN cell with another function, or with none."""

    instead: str = ""

    @property
    def function(self) -> Any:
        return FUNCTIONS[self.instead]


@dataclass(frozen=True, repr=False)
class OtherRNN(RNN):
    """An RNN layer of such cells."""

    instead: str = ""

    @property
    def cell(self) -> RNNCell:
        return OtherRNNCell(self.d + 1, self.h, self.instead)


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
