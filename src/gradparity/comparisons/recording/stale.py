"""A function's gradient that is that of another call's numbers, which it reads by mistake."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from ...core.arithmetic.arrays import NDArray
from ...core.network.calls import Call
from ...core.network.composed import Composed
from ..findings.finding import Finding, Verdict
from .mistaken import NEAR, SEVERAL, SMALL, Backprop

__all__ = ["CallsOfFunctions"]

#: How many calls of one function are remembered.
CALLS = 16
ALL = "its inputs were those"
STALE = (
    "right if {} of {}: its backward reads what another call has left, such as in an attribute; "
    "keep it with ctx.save_for_backward"
)


class CallsOfFunctions:
    """The inputs of the last small calls of every function with a backward of its own."""

    def __init__(self) -> None:
        self._seen: defaultdict[str, deque[Call]] = defaultdict(lambda: deque(maxlen=CALLS))

    def keep(self, call: Call) -> None:
        """Remember the inputs of a call, if it is one of such a function."""
        if call.is_function and sum(o.array.size for o in call.inputs) <= SMALL:
            inputs = tuple(replace(o, array=o.array.copy(), gradient=None) for o in call.inputs)
            nothing = (None,) * len(call.z)
            bare = replace(call, inputs=inputs, z=nothing, dz=nothing, added=())
            bare = replace(bare, again=None, evaluate=None)
            self._seen[call.place.function].append(bare)

    def explained(self, found: Sequence[Finding], call: Call) -> list[Finding]:
        """The findings of a call, those that are right for another call's inputs with its name."""
        if not call.is_function or not isinstance(call.op, Composed):
            return list(found)
        return [self._explained(f, call) for f in found]

    def _explained(self, f: Finding, call: Call) -> Finding:
        if f.verdict is not Verdict.MISMATCH or not f.quantity.is_gradient:
            return f
        for position, o in enumerate(call.inputs):
            if o.source == f.quantity.name and o.gradient is not None:
                got = np.asarray(o.gradient, np.float64)
                said = next(self._said(call, position, got), "")
                f = replace(f, note=said) if said else f
        return f

    def _said(self, call: Call, position: int, got: NDArray) -> Iterator[str]:
        if got.size < SEVERAL or not np.isfinite(got).all():
            return
        near = NEAR.get(call.precision, 1e-2) * float(np.abs(got).max())
        want = _gradient(call, position)
        shapes = [o.array.shape for o in call.inputs]
        for other in self._seen[call.place.function]:
            if other.place == call.place or [o.array.shape for o in other.inputs] != shapes:
                continue
            for which in _subsets(call):
                inputs = [other.inputs[i] if i in which else o for i, o in enumerate(call.inputs)]
                wrong = _gradient(replace(call, inputs=tuple(inputs)), position)
                if want is None or wrong is None or np.abs(wrong - want).max() <= 4 * near:
                    continue
                if np.abs(wrong - got).max() <= near:
                    one = len(which) < len(shapes)
                    what = f"tensor argument {which[0] + 1} were that" if one else ALL
                    yield STALE.format(what, other.place.node)


def _subsets(call: Call) -> Iterator[list[int]]:
    """Each argument alone, and then everything with the constants of the forward pass."""
    assert isinstance(call.op, Composed)
    names = call.op.network.inputs
    if len(names) > 1:
        yield from ([i] for i, name in enumerate(names) if name.startswith("y"))
    yield list(range(len(names)))


def _gradient(call: Call, position: int) -> NDArray | None:
    assert isinstance(call.op, Composed)
    with np.errstate(all="ignore"):
        return Backprop(call, call.op, position)({})
