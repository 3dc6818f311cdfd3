"""Find the mistake in a function's backward that gives exactly its wrong gradient."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np

from ...core.arithmetic.arrays import NDArray
from ...core.formulas.op import Movement, Op
from ...core.network.backprop import backward_pass, forward_pass
from ...core.network.calls import Call
from ...core.network.composed import Composed
from ...core.network.nodes import Node
from ...core.programs.duplicates import PutOne
from ...core.programs.kinked import Clamp
from ..explain.derivations import BACKWARD
from ..measure.levels import FORMATS, is_stored_in

__all__ = [
    "NEAR",
    "SEVERAL",
    "SMALL",
    "Backprop",
    "known_mistake",
    "mistake_of_function",
    "where_its_input_is",
]

#: The most ops and elements of a function whose mistakes are tried op by op.
SHORT, SMALL = 40, 20_000
#: Relative distance within which a gradient is what a mistake gives, by the number format.
NEAR = {"float64": 1e-9, "float32": 1e-4}
#: Mistakes that are tried at every op; the others shift samples, which says nothing of an op.
AT_OPS = (
    *("a term left out", "a square left out", "the Jacobian's diagonal alone"),
    *("the derivative left out", "matrix not transposed", "input and output exchanged"),
    *("the mean and the variance taken for constants", "the variance taken for a constant"),
)
#: The most uses of shared values of which pairs are tried.
PAIRED = 16
#: So many elements at least have to be wrong, and right, where a sign of the input says where.
SEVERAL = 3
TO_NONE = "where an input is equal to a bound, none of them gets the gradient"
TO_ALL = (
    "several numbers are written to one place, which keeps one of them; the gradient goes to all: "
    "write to each place once, or add up"
)


def mistake_of_function(call: Call, position: int, got: NDArray, want: NDArray) -> str:
    """The mistake that gives the gradient by one input in every element; "" if none is known."""
    if not isinstance(call.op, Composed) or not np.isfinite(got).all():
        return ""
    with np.errstate(all="ignore"):
        return next(_mistakes(call, position, got, want), "")


def known_mistake(call: Call) -> str:
    """The mistake that an op knows of itself, in words, if it explains all of its gradients."""
    op = call.op
    if isinstance(op, PutOne | Clamp):
        to_all = isinstance(op, PutOne)
        other: Op = PutOne(to_all=True) if to_all else Clamp(to_none=True)
        names = [f"y{i}" for i in range(len(call.inputs))]
        wrong = Composed("one op", Node("z", other, *names), inputs=names)
        said = TO_ALL if to_all else TO_NONE
    elif isinstance(op, Composed) and op.mistake is not None:
        node, other, said = op.mistake
        wrong = op.with_op(node, other)
    else:
        return ""
    near = NEAR.get(call.precision, 1e-2)
    for i, o in enumerate(call.inputs):
        if o.gradient is None:
            continue
        got, found = np.asarray(o.gradient, np.float64), Backprop(call, wrong, i)({})
        if found is None or not np.abs(found - got).max() <= near * np.abs(found).max():
            return ""
    return said


def where_its_input_is(call: Call, position: int, got: NDArray, want: NDArray) -> str:
    """The sign of the input where the gradient is wrong, if it is right everywhere else.

    Where all the wrong elements are the same multiple of the right ones, it says which.
    """
    y = np.asarray(call.inputs[position].array, np.float64)
    if y.shape != got.shape or not np.isfinite(got).all():
        return ""
    telling = want != 0.0
    size = float(np.abs(want).max(initial=0.0))
    wrong = np.abs(got - want) > NEAR.get(call.precision, 1e-2) * size
    for at, said in ((y < 0, "< 0"), (y > 0, "> 0"), (y == 0, "0")):
        rest = wrong.size - wrong.sum()
        if not wrong.any() or (wrong & ~at).any() or (at & telling & ~wrong).any():
            continue
        if at.all() or (said != "0" and min(wrong.sum(), rest) < SEVERAL):
            continue
        ratio = got[wrong & telling] / want[wrong & telling]
        alike = ratio.size == wrong.sum() and np.ptp(ratio) <= 1e-3 * np.abs(ratio).max()
        times = f"{float(np.median(ratio)):.4g} times the formula " if alike else "wrong "
        return f"{times}only where the input is {said}"
    return ""


def _mistakes(call: Call, position: int, got: NDArray, want: NDArray) -> Iterator[str]:
    op = call.op
    assert isinstance(op, Composed)
    backprop = Backprop(call, op, position)
    near = NEAR.get(call.precision, 1e-2)
    size = float(np.abs(got).max(initial=0.0))

    def gives(wrong: Any) -> bool:
        if wrong is None or np.shape(wrong) != got.shape:
            return False
        differs = np.abs(wrong - want).max(initial=0.0) > 4 * near * size
        return bool(differs and np.abs(wrong - got).max(initial=0.0) <= near * size)

    ops = {step.name: step.op for step in op.network.body}
    for k, dz in enumerate(call.dz):
        if dz is not None and len(call.dz) > 1 and gives(backprop({}, without=k)):
            yield (
                f"right if no gradient arrived at output {k + 1}: its backward leaves out the "
                "gradient of that output"
            )
    if not got.any():
        return  # many mistakes give zero
    said = "the term through {} is left out: one of the uses of {}"
    cuts = list(_shared(op))
    for node, slot, of in cuts:
        if gives(backprop({node: _Cut(ops[node], slot)})):
            yield said.format(ops[node].name, of)
    for what, other in _with_other_sign(call, op):
        turned = Backprop(other, op, position)({})
        reversed_whole = turned is not None and np.allclose(turned, -want)
        if gives(turned) and not reversed_whole:
            yield (
                f"right if {what} had the other sign, such as the sine or the angle of a rotation, "
                "which backward has to turn the other way"
            )
    if gives(backprop({}, np.ones_like)):
        yield "right if every gradient that arrives is 1: its backward leaves out what arrives"
    if gives(backprop({}, np.abs)):
        yield "right if every gradient that arrives is positive: |g| stands for g"
    for axis in range(got.ndim):
        turn = _along(axis)
        turned = backprop({}, turn)
        if turned is not None and turned.ndim > axis and gives(turn(turned)):
            yield f"right if it is taken in reverse order along axis {axis}"
    if len(op.network.body) > SHORT or got.size > SMALL:
        return
    for name in AT_OPS:
        for node, own in ops.items():
            if not isinstance(own, Movement) and gives(
                backprop({node: _Mistaken(own, BACKWARD[name])})
            ):
                yield f"exactly what this mistake gives at {own.name}: {name}"
    for two in combinations(cuts, 2) if len(cuts) <= PAIRED else ():
        cut = {node: _Cut(ops[node], slot) for node, slot, _ in two}
        if len(cut) == len(two) and gives(backprop(cut)):
            names = " and through ".join(ops[node].name for node in cut)
            yield f"the terms through {names} are left out"
    yield from _stored(got, want)


def _with_other_sign(call: Call, op: Composed) -> Iterator[tuple[str, Call]]:
    """The call with one of the numbers negated that have no gradient, and what it is.

    A constant that the forward pass uses several times is negated everywhere.
    """
    tried: list[NDArray] = []
    for i, o in enumerate(call.inputs):
        array = np.asarray(o.array)
        if o.gradient is not None or array.dtype.kind not in "fi" or not array.any():
            continue
        if any(np.array_equal(array, other) for other in tried):
            continue
        tried.append(array)
        inputs = tuple(
            replace(other, array=-array)
            if other.gradient is None and np.array_equal(other.array, array)
            else other
            for other in call.inputs
        )
        of_forward = op.network.inputs[i].startswith("c")
        what = (
            f"a constant of shape {list(array.shape)}" if of_forward else f"tensor argument {i + 1}"
        )
        yield what, replace(call, inputs=inputs)


def _stored(got: NDArray, want: NDArray) -> Iterator[str]:
    """The number format that every element is rounded to, and is not said to be of."""
    for name, unit in FORMATS.items():
        off = np.abs(got - want) <= 4 * unit * np.abs(want)
        if got.size >= SEVERAL and off.all() and is_stored_in(got, name):
            yield f"every element is a number of {name}: it was rounded to that"


def _shared(op: Composed) -> Iterator[tuple[str, int, str]]:
    """The uses of values that have several: node, slot, and whether of an input."""
    network = op.network
    for step in network.body:
        for slot, edge in enumerate(step.edges):
            if edge is not None and len(network.consumers(edge.source)) > 1:
                yield step.name, slot, "the input" if edge.source in network.inputs else "a value"


def _along(axis: int) -> Callable[[NDArray], NDArray]:
    return lambda a: np.flip(a, axis) if a.ndim > axis else a


class Backprop:
    """Backprop through the ops of a function, some of which stand for others."""

    def __init__(self, call: Call, op: Composed, position: int) -> None:
        y = [np.asarray(o.array) for o in call.inputs]
        wide = [a.astype(np.float64) if a.dtype.kind == "f" else a for a in y]
        network = op.network
        self._passed = forward_pass(network, dict(zip(network.inputs, wide, strict=True)))
        self._zeros = {name: np.zeros_like(self._passed.value[name]) for name in op.gives}
        self._arrived = dict(zip(op.gives, call.dz, strict=True))
        self._name = network.inputs[position]

    def __call__(
        self,
        ops: Mapping[str, Op],
        change: Callable[[NDArray], NDArray] = np.asarray,
        without: int | None = None,
    ) -> NDArray | None:
        """The gradient by the input; None where an op in place of another refuses.

        Parameters
        ----------
        change : is applied to every gradient that arrived.
        without : the output whose gradient is left out.
        """
        start = {
            name: self._zeros[name]
            if dz is None or k == without
            else change(np.asarray(dz, np.float64))
            for k, (name, dz) in enumerate(self._arrived.items())
        }
        try:
            found = backward_pass(self._passed, dict(ops), start=start).grad.get(self._name)
        except (_CannotApplyError, ValueError, IndexError):
            return None
        return None if found is None else np.asarray(found)


class _CannotApplyError(Exception):
    """A mistake that this op cannot be the subject of."""


class _Cut(Op):
    """An op whose gradient by one input is zero."""

    def __init__(self, op: Op, position: int) -> None:
        self.op, self.position = op, position

    def vjp(self, dz: Any, y: tuple[Any, ...], z: Any) -> tuple[Any, ...]:
        found = list(self.op.vjp(dz, y, z))
        own = found[self.position]
        found[self.position] = None if own is None else np.zeros_like(own)
        return tuple(found)


class _Mistaken(Op):
    """An op with a wrong derivation."""

    def __init__(self, op: Op, fault: Callable[..., Any]) -> None:
        self.op, self.fault = op, fault

    def vjp(self, dz: Any, y: tuple[Any, ...], z: Any) -> tuple[Any, ...]:
        found = self.fault(self.op, dz, y, z)
        if found is None:
            raise _CannotApplyError
        return tuple(found)
