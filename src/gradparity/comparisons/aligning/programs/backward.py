"""The gradients of a program by the core's formulas, in float64.

In float32 one of two frameworks may round an input of a ReLU across zero, and every gradient behind
it differs, although both are right.  From the same values in float64 both have the same sides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ....core.arithmetic.arrays import NDArray
from ....core.formulas.op import Op
from ....core.network.calls import Call, NoFormula, Operand
from ....core.network.composed import Composed
from ....core.programs.parts import Stopped
from .edits import FAILED, computed, values_of
from .values import Program

__all__ = ["has_kinks", "turns", "with_gradients_in_float64"]


#: What is smaller than this, relative to the largest element of a gradient, shows no other side.
SHOWN = 1e-6


def with_gradients_in_float64(
    program: Program,
    attached: Mapping[tuple[str, int], str] | None = None,
    times: Mapping[str, float] | None = None,
) -> Program | None:
    """A program with other gradients: those by formulas, along the same ways as in the recording.

    None if a node has no formula, or none for these numbers.

    Parameters
    ----------
    attached : (node, slot) -> the value that a constant is a copy of, or whose gradient is stopped
        there: it has a gradient as well.  Or the value to which the gradient of another one goes.
    times : value -> what the gradient that arrives at it is multiplied by.
    """
    more, factors = attached or {}, times or {}
    flow: dict[str, NDArray] = {}
    calls: list[Call] = []
    for call in reversed(program.calls):
        arrived = tuple(map(_wide, call.dz))
        arrived = tuple(
            _times(flow.get(name, a), factors.get(name))
            for name, a in zip(call.names, arrived, strict=False)
        )
        if all(dz is None for dz in arrived):
            calls.append(call)
            continue
        left = None if isinstance(call.op, NoFormula) else _left(call, arrived, program)
        if left is None:
            return None
        if isinstance(call.op, Stopped) and (call.place.node, 0) in more:
            left = arrived
        inputs = []
        new = bool(more) and all(dz is None for dz in call.dz)  # only a copy's gradient arrives
        for i, (o, g) in enumerate(zip(call.inputs, left, strict=True)):
            source = more.get((call.place.node, i), o.source)
            if g is None or not (source != o.source or _flows(o, call) or (new and source)):
                inputs.append(o)
                continue
            if o.source and source != o.source:
                flow.setdefault(o.source, np.zeros(o.array.shape))
            inputs.append(replace(o, source=source, gradient=g))
            flow[source] = flow[source] + g.reshape(flow[source].shape) if source in flow else g
        calls.append(replace(call, inputs=tuple(inputs), dz=arrived, precision="float64"))
    got = {n: flow[n] if n in flow else np.zeros(a.shape) for n, a in program.got.items()}
    return replace(program, calls=tuple(reversed(calls)), got=got)


def turns(program: Program) -> bool:
    """Whether some value is on the other side of a kink in float64.

    The gradient that leaves an op is another one then for the same that arrives.
    """
    return any(has_kinks(call.op) and _turns(call, program) for call in program.calls)


def has_kinks(op: Op) -> bool:
    """Whether an op, or a step of it, has kinks: elsewhere its gradient is continuous."""
    if isinstance(op, Composed):
        return any(has_kinks(step.op) for step in op.network.body)
    return type(op).subdifferential is not Op.subdifferential


def _turns(call: Call, program: Program) -> bool:
    """Whether an op gives other gradients at its values in float64, for the recorded ones."""
    if isinstance(call.op, NoFormula) or all(dz is None for dz in call.dz):
        return False
    left = _left(call, tuple(map(_wide, call.dz)), program)
    each = zip(call.inputs, left or (), strict=False)
    return any(
        o.gradient is not None and g is not None and _other_side(g, _wide(o.gradient))
        for o, g in each
    )


def _other_side(a: NDArray, b: NDArray) -> bool:
    """Whether some element of two gradients is another number altogether, as 0 and the whole."""
    sizes = np.maximum(np.abs(a), np.abs(b.reshape(a.shape)))
    apart = np.abs(a - b.reshape(a.shape)) > sizes / 2
    return bool((apart & (sizes > SHOWN * sizes.max(initial=0.0))).any())


def _flows(o: Operand, call: Call) -> bool:
    """Whether a gradient goes on through an input.

    Slices of loops are recorded without theirs, and so is what is behind a stopped gradient.
    """
    told = call.place.function != "scan" and any(dz is not None for dz in call.dz)
    return bool(o.source) and (o.gradient is not None or not told)


def _left(call: Call, arrived: Any, program: Program) -> tuple[NDArray | None, ...] | None:
    """The gradients by the inputs of a call, from those that arrived at its results."""
    y = values_of(call, program.value)
    z = computed(call.op, y, program.value)
    if not z:
        return None
    dz = tuple(
        np.zeros_like(a) if g is None else g.reshape(a.shape)
        for g, a in zip(arrived, z[: len(call.op.outputs)], strict=False)
    )
    with np.errstate(all="ignore"):
        try:
            left = call.op.vjp(dz if len(dz) > 1 else dz[0], y, z if len(z) > 1 else z[0])
        except FAILED:
            return None
    found = tuple(None if g is None else np.asarray(g, np.float64) for g in left)
    shapes = zip(found, call.inputs, strict=True)
    fits = all(g is None or g.size == o.array.size for g, o in shapes)
    return tuple(
        None if g is None else g.reshape(o.array.shape)
        for g, o in zip(found, call.inputs, strict=True)
    ) if fits else None  # fmt: skip


def _times(a: Any, factor: float | None) -> Any:
    return a if a is None or factor is None else a * factor


def _wide(a: Any) -> Any:
    return None if a is None else np.asarray(a, np.float64)
