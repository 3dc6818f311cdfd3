"""Equations of a tapped run as calls of the core, and the gradients between them as sums."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import jax.numpy as jnp
import numpy as np

from ....core.arithmetic.arrays import NDArray
from ....core.network.calls import Call, Operand, Sum, Unjudged
from ...mapped import UnmappedError
from . import primitives  # noqa: F401  # the rules
from .functions import function_call
from .primitives.table import Operands, rule_of
from .taps import Equation, Key, Walk

__all__ = ["calls_of", "sums_of"]

#: Steps of a scan that are judged: all of a short one, else both ends and some between.
STEPS = 64
#: Primitives with a derivative of their own.
FUNCTIONS = ("custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr")
FORMATS = ("float64", "float32", "float16", "bfloat16")


def numbers(x: Any) -> NDArray:
    """An array of JAX as NumPy's; bfloat16 as float32."""
    x = jnp.asarray(x)
    return np.asarray(x.astype(jnp.float32) if x.dtype == jnp.bfloat16 else x)


def format_of(*arrays: Any) -> str:
    """The coarsest number format among the floats."""
    found = [str(jnp.result_type(a)) for a in arrays if a is not None]
    return max((f for f in found if f in FORMATS), key=FORMATS.index, default="float64")


def steps_of(length: int) -> list[int]:
    """The steps of a scan that are judged."""
    if length <= STEPS:
        return list(range(length))
    some = np.random.default_rng(0).choice(np.arange(2, length - 2), STEPS - 4, replace=False)
    return [0, 1, *sorted(map(int, some)), length - 2, length - 1]


def calls_of(
    walk: Walk, values: Mapping[Key, Any], grads: Mapping[Key, Any]
) -> Iterator[Call | Unjudged]:
    """What every equation did, in the order in which they ran."""
    for key, equation in walk.equations.items():
        ins, outs = values[key]
        if not equation.length:
            yield _call(equation, key, ins, outs, grads, None)
            continue
        for step in steps_of(equation.length):
            yield _call(equation, key, ins, outs, grads, step)


def _call(
    equation: Equation, key: Key, ins: Any, outs: Any, grads: Mapping[Key, Any], step: int | None
) -> Call | Unjudged:
    place, name = equation.place, equation.eqn.primitive.name
    if step is not None:
        place = replace(place, node=f"{place.node}.step{step}")

    def at(x: Any) -> Any:
        return x if x is None or step is None else x[step]

    def gradient(side: str, k: int) -> Any:
        found = grads.get((*key, side, k))
        return None if found is None else at(found)

    ins, outs = [at(x) for x in ins], [at(x) for x in outs]
    sources = tuple(filter(None, equation.sources))
    if any(x is not None and jnp.iscomplexobj(x) for x in (*ins, *outs)):
        return Unjudged(place, "complex numbers are not judged", sources)
    left = [gradient("in", k) for k in range(len(ins))]
    given = Operands(
        [None if x is None else numbers(x) for x in ins],  # type: ignore[misc]
        [None if x is None else numbers(x) for x in outs],  # type: ignore[misc]
        equation.eqn.params,
    )
    is_function, evaluate = name in FUNCTIONS, None
    try:
        if is_function:
            mapped, evaluate = function_call(equation.eqn, given)
        else:
            rule = rule_of(name)
            if rule is None:
                return Unjudged(place, f"there is no formula for {name}", sources)
            mapped = rule(given)
    except (UnmappedError, ValueError) as why:
        return Unjudged(place, f"{name}: {why}", sources)

    def operand(which: Any) -> Operand:
        if isinstance(which, np.ndarray):
            return Operand(which)
        source, array = equation.sources[which], given.ins[which]
        if not source:
            return Operand(array)
        g = left[which]
        return Operand(array, source, None if g is None else numbers(g), True)

    arrived = [gradient("out", i) for i in mapped.outputs]
    return Call(
        place,
        mapped.op,
        tuple(map(operand, mapped.inputs)),
        tuple(given.outs[i] for i in mapped.outputs),
        tuple(None if g is None else numbers(g) for g in arrived),
        format_of(*(outs[i] for i in mapped.outputs), *left),
        evaluate=evaluate,
        is_function=is_function,
        fused=True,
    )


def sums_of(
    walk: Walk, leaves: Mapping[str, Any], grads: Mapping[Key, Any], ends: Mapping[str, float]
) -> Iterator[Sum]:
    """The gradient of every value and leaf outside of scans, with those of its uses.

    Parameters
    ----------
    leaves : name of an input -> its gradient.
    ends : name of a value -> the factor with which it is differentiated.
    """
    for name, uses in walk.uses.items():
        if any(len(grads[key].shape) != _rank(walk, key) for key, _ in uses):
            continue  # inside of a scan
        got = leaves.get(name)
        if got is None and name in walk.arrivals:
            key = walk.arrivals[name]
            got = grads[key] if len(grads[key].shape) == _rank(walk, key) else None
        if got is None:
            continue
        parts = [grads[key] for key, _ in uses]
        nodes = [node for _, node in uses]
        if name in ends:
            parts.append(jnp.full_like(got, ends[name]))
            nodes.append("the loss")
        place = _place(walk, name)
        yield Sum(
            place, name, tuple(map(numbers, parts)), tuple(nodes), numbers(got),
            format_of(got, *parts), name in leaves,
        )  # fmt: skip


def _rank(walk: Walk, key: Key) -> int:
    """The number of axes that a tap has outside of a scan."""
    equation = walk.equations[key[:-2]]
    return -1 if equation.length else len(walk.shapes[key].shape)


def _place(walk: Walk, name: str) -> Any:
    from ....core.network.calls import Place

    key = walk.arrivals.get(name)
    return Place(name) if key is None else walk.equations[key[:-2]].place
