"""Ops made from another one: on rearranged inputs, rescaled, or in another mode."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...core.arithmetic.arrays import Array, NDArray, like, moved, moved_back
from ...core.formulas.op import Op, Shape

__all__ = ["InMode", "Move", "OnOther", "Rearranged", "Rescaled", "Wrapped", "on"]


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
    plus : a number that is added to every element, or to those `at` these indices of the last axis.
    """

    orders: tuple[tuple[int, tuple[int, ...]], ...] = ()
    axes: tuple[int, ...] = ()
    times: float = 1.0
    negative: tuple[int, ...] = ()
    plus: float = 0.0
    at: tuple[int, ...] = ()

    def to(self, a: Array) -> Array:
        """The rearranged array."""
        if self.plus:
            added = np.isin(np.arange(a.shape[-1]), self.at) if self.at else np.ones(a.shape[-1:])
            return a + like(added * self.plus, a)
        if self.negative:
            return np.where(np.isin(np.arange(a.shape[-1]), self.negative), -a, a)
        if self.times != 1.0:
            return a * self.times
        return moved(a, lambda plain, fill: self._moved(plain, back=False))

    def back(self, a: Array) -> Array:
        """The array in its original arrangement, or a gradient by it."""
        if self.plus:
            return a
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
    """An op in another mode, which may have more or fewer parameters and states.

    A parameter that the network lacks is zero, and a state that the other mode lacks stays as it
    was.

    Attributes
    ----------
    op, instead : the network's op, and the one in the other mode.
    added : (a, b) of parameters that the other mode lacks: a is added to b, and is lost if not
        listed.
    """

    op: Op
    instead: Op
    added: tuple[tuple[str, str], ...] = ()

    def _taken(self, y: tuple[Array, ...]) -> tuple[tuple[Array, ...], dict[str, Array]]:
        """The inputs of the op in its other mode, and the network's parameters by letter."""
        own, n = list(self.op.parameter_shapes()), len(y) - len(self.op.parameter_shapes())
        had = dict(zip(own, y[n:], strict=True))
        taken = dict(had)
        for extra, to in self.added:
            taken[to] = taken[to] + had[extra]
        for letter, shape in self.instead.parameter_shapes().items():
            if letter not in taken:
                taken[letter] = like(np.zeros(shape), y[0] if n else y[-1])
        return (*y[:n], *(taken[b] for b in self.instead.parameter_shapes())), had

    def forward(self, *y: Array) -> Any:
        taken, had = self._taken(y)
        z = self.instead.forward(*taken)
        n = len(self.op.outputs) + len(self.op.states)
        z = (*(z if isinstance(z, tuple) else (z,)), *(had[b] for b in self.op.buffers))[:n]
        return z if n > 1 else z[0]

    def vjp(self, dz: Any, y: tuple[Array, ...], z: Any) -> tuple[Any, ...]:
        taken, had = self._taken(y)
        found = self.instead.vjp(dz, taken, self.instead.forward(*taken))
        n = len(y) - len(had)
        by_letter = dict(zip(self.instead.parameter_shapes(), found[n:], strict=True))
        by_letter |= {extra: by_letter[to] for extra, to in self.added}
        return (*found[:n], *(by_letter.get(b, a * 0.0) for b, a in had.items()))


def on(op: Op, y: Sequence[NDArray], slot: int, move: Move) -> Op:
    """The op with one of its inputs rearranged."""
    return OnOther(op, (*range(len(y)),), ((slot, move),))
