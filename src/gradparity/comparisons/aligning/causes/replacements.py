"""Functions that stand in the place of an op in the other program: activations, reductions."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from ....core.arithmetic.arrays import Array, NDArray
from ....core.formulas.activations import GELU, Identity, Sigmoid, SiLU, Softplus, Tanh
from ....core.formulas.op import Movement, Op
from ....core.formulas.piecewise import ELU, SELU, LeakyReLU, ReLU
from ....core.network.calls import Call
from ....core.network.composed import Composed
from ....core.vocabulary.activations import GLU, Mish, Softsign
from ....core.vocabulary.kinked import Hardsigmoid, Hardswish
from ....core.vocabulary.pointwise import Exp
from ....core.vocabulary.rearranging import Repeat, Split, Tile
from ..programs.edits import Edit
from ..programs.values import NEAR, are_near

__all__ = ["replacements"]

#: Activations that people take for each other.
ACTIVATIONS: tuple[Op, ...] = (
    ReLU(), Tanh(), Sigmoid(), GELU(), GELU("tanh"), SiLU(), Hardsigmoid(), Hardswish(), Softplus(),
    Exp(), ELU(), SELU(), LeakyReLU(), Mish(), Softsign(),
)  # fmt: skip
#: Reductions that people take for each other.
REDUCTIONS: dict[str, Callable[..., NDArray]] = {
    "sum": np.sum,
    "mean": np.mean,
    "maximum": np.max,
    "minimum": np.min,
    "log-sum-exp": np.logaddexp.reduce,
    "norm": lambda a, axis, keepdims: np.sqrt((a * a).sum(axis, keepdims=keepdims)),
}
#: The most axes of a value whose subsets are tried.
MOST_AXES = 5


def replacements(call: Call, y: Sequence[NDArray]) -> Iterator[Edit]:
    """Another activation, another reduction or other axes of it, and halves exchanged."""
    yield from (Edit(said, op) for said, op in _activations(call.op))
    yield from _repeats(call.op)
    yield from _reductions(call, y)
    yield from _halves(call, y)
    yield from _parts(call, y)


def _activations(op: Op) -> Iterator[tuple[str, Op]]:
    if isinstance(op, Identity) or not any(type(op) is type(a) for a in ACTIVATIONS):
        return
    for other in ACTIVATIONS:
        if type(other) is not type(op):
            yield f"it is {op.name} {{here}} and {other.name} {{there}}", other
    if isinstance(op, Sigmoid):
        for gated in (GELU(), GELU("tanh")):
            said = f"it is the gate of SiLU, Sigmoid, {{here}} and that of {gated!r} {{there}}"
            yield said, _Gate(gated)


@dataclass(frozen=True)
class _Gate(Op):
    """The factor by which an activation multiplies its input.

    Attributes
    ----------
    gated : the activation.
    """

    gated: Op

    def forward(self, *y: Array) -> Array:
        z = np.asarray(y[0])
        divisor = np.where(z == 0, 1.0, z)
        return np.where(z == 0, 0.5, np.asarray(self.gated.forward(z)) / divisor)


@dataclass(frozen=True)
class _Reduced(Op):
    """A reduction over some axes.

    Attributes
    ----------
    kind : of `REDUCTIONS`.
    axes : of the reduction.
    dropped : which of these the result does not have.
    """

    kind: str
    axes: tuple[int, ...]
    dropped: tuple[int, ...]

    def forward(self, *y: Array) -> Array:
        a = REDUCTIONS[self.kind](np.asarray(y[0]), axis=self.axes, keepdims=True)
        return np.squeeze(a, tuple(sorted(set(self.axes) & set(self.dropped))))


def _reductions(call: Call, y: Sequence[NDArray]) -> Iterator[Edit]:
    own = _reduction_of(call, y)
    if own is None:
        return
    rank = y[0].ndim
    kinds = [k for k in REDUCTIONS if k != own.kind]
    if own.kind != "norm":  # a norm stands in the place of no sum: its squares are a node before
        kinds.remove("norm")
        for kind in kinds:
            said = f"it is a {own.kind} {{here}} and a {kind} {{there}}"
            yield Edit(said, _Reduced(kind, own.axes, own.dropped))
    subsets = [s for n in range(1, rank + 1) for s in combinations(range(rank), n)]
    for axes in subsets:
        if axes != own.axes:
            said = f"the axes of its {own.kind} are {own.axes} {{here}} and {axes} {{there}}"
            yield Edit(said, _Reduced(own.kind, axes, own.dropped))
    for kind in kinds if own.kind in ("sum", "mean") else ():
        for axes in subsets if kind in ("sum", "mean") else ():
            if axes != own.axes:
                said = f"it is a {own.kind} over the axes {own.axes} {{here}} and "
                yield Edit(
                    f"{said}a {kind} over {axes} {{there}}", _Reduced(kind, axes, own.dropped)
                )


def _reduction_of(call: Call, y: Sequence[NDArray]) -> _Reduced | None:
    """The reduction that a call of one input is, by its numbers; None if it is none."""
    z = call.z[0] if call.z else None
    if (
        z is None
        or len(call.z) != 1
        or len(y) != 1
        or y[0].dtype.kind != "f"
        or isinstance(call.op, Movement)
    ):
        return None
    a, rank = y[0], y[0].ndim
    if z.size >= a.size or not 0 < rank <= MOST_AXES:
        return None
    made = np.asarray(call.op.forward(a), np.float64)
    for n in range(1, rank + 1):
        for axes in combinations(range(rank), n):
            kept = tuple(1 if i in axes else k for i, k in enumerate(a.shape))
            left = tuple(k for i, k in enumerate(a.shape) if i not in axes)
            dropped = {left: axes, kept: ()}.get(made.shape)
            if dropped is None:
                continue
            for kind in REDUCTIONS:
                own = _Reduced(kind, axes, dropped)
                if are_near(np.asarray(own.forward(a)), made, NEAR["float64"]):
                    return own
    return None


@dataclass(frozen=True)
class _Picked(Op):
    """One entry of an axis, in the shape of a reduction over it."""

    axis: int
    entry: int
    kept: bool

    def forward(self, *y: Array) -> Array:
        a: Array = np.take(np.asarray(y[0]), [self.entry], self.axis)
        return a if self.kept else np.squeeze(a, self.axis)


@dataclass(frozen=True)
class _As(Op):
    """The value of an op in another shape."""

    op: Op
    shape: tuple[int, ...]

    def forward(self, *y: Array) -> Array:
        return np.reshape(np.asarray(self.op.forward(*y)), self.shape)


def _parts(call: Call, y: Sequence[NDArray]) -> Iterator[Edit]:
    """A reduction in the place of one entry of an axis, such as the last step, or the reverse."""
    z = call.z[0] if len(call.z) == 1 else None
    if z is None or len(y) != 1 or y[0].dtype.kind != "f" or z.size >= y[0].size:
        return
    if isinstance(call.op, Movement):
        for axis, n in enumerate(y[0].shape):
            for kind in ("mean", "sum", "maximum") if z.size * n == y[0].size else ():
                said = (
                    f"it is a part of its input {{here}} and its {kind} over axis {axis} {{there}}"
                )
                yield Edit(said, _As(_Reduced(kind, (axis,), (axis,)), z.shape))
        return
    own = _reduction_of(call, y)
    if own is None or len(own.axes) > 1:
        return
    axis = own.axes[0]
    for entry in (-1, 0):
        said = f"it is a {own.kind} {{here}} and the entry {entry} of axis {axis} {{there}}"
        yield Edit(said, _Picked(axis, entry, axis not in own.dropped))


def _repeats(op: Op) -> Iterator[Edit]:
    """A repeat of each entry of an axis in the place of a repeat of the whole, or the reverse."""
    said = "it repeats {} {{here}} and {} {{there}}: {} in place of {}"
    words = {Repeat: ("each entry", "repeat"), Tile: ("the whole axis", "tile")}

    def turned(own: Repeat | Tile) -> tuple[str, Op]:
        other = Tile if isinstance(own, Repeat) else Repeat
        here, there = words[type(own)], words[other]
        return said.format(here[0], there[0], there[1], here[1]), other(own.n, own.axis)

    if isinstance(op, Repeat | Tile):
        yield Edit(*turned(op))
    if isinstance(op, Composed):
        changed = op
        for step in op.network.body:
            if isinstance(step.op, Repeat | Tile):
                words_of_it, other = turned(step.op)
                changed = changed.with_op(step.name, other)
                yield Edit(words_of_it, changed)


@dataclass(frozen=True)
class _Exchanged(Op):
    """An op on an input with its halves along an axis exchanged.

    Attributes
    ----------
    op, axis : the op, and the axis of its input.
    """

    op: Op
    axis: int

    def forward(self, *y: Array) -> Array:
        half = y[0].shape[self.axis] // 2
        made: Array = self.op.forward(np.roll(np.asarray(y[0]), half, self.axis), *y[1:])
        return made


def _halves(call: Call, y: Sequence[NDArray]) -> Iterator[Edit]:
    """The two halves of a split or a gated unit exchanged."""
    op = call.op
    if isinstance(op, Split) and len(op.sizes) == 2 and op.sizes[0] == op.sizes[1]:
        yield Edit("its two halves are exchanged {there}", op, order=(1, 0))
    if isinstance(op, GLU):
        yield Edit("its two halves, value and gate, are exchanged {there}", _Exchanged(op, op.axis))
