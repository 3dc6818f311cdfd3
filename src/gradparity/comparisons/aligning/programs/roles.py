"""The numbers that a program was written with, by the role that each has: factor, term, limit."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from dataclasses import is_dataclass
from math import isfinite, pi, sqrt
from typing import Any

from ....core.formulas.attention import Attention
from ....core.formulas.layers import Add, Affine, Multiply
from ....core.formulas.maxima import Maximum
from ....core.formulas.op import Op
from ....core.network.calls import Call
from ....core.network.composed import Composed
from ....core.vocabulary.contractions import Einsum, MatMul
from ....core.vocabulary.pairs import Divide, Minimum, Subtract
from ...explain.arguments import arguments_of

__all__ = ["SCALE", "is_written", "numbers_by_role", "role"]

#: The role of an array that is multiplied as a matrix, such as an initial state.
PRODUCT = "product"
#: The role of the scale of attention inside of one op, as a factor or a divisor outside of it.
SCALE = "scale of attention"
#: The role of a constant of an op, or of an argument by its name.
OF_OPS: dict[type[Op], str] = {
    Multiply: "factor",
    Divide: "factor",
    Add: "term",
    Subtract: "term",
    Maximum: "limit",
    Minimum: "limit",
}
OF_ARGUMENTS = {"a": "factor", "scale": "factor", "alpha": "factor", "b": "term", "eps": "term"}
#: The most numbers of a role that are tried.
NUMBERS = 24
#: The smallest number that is a fraction.
TINY = 1e-12
#: The largest whole number that a value may be larger by, such as a number of elements.
WHOLE = 100_000
#: The largest numerator and denominator of a fraction, by how near it is measured.
FRACTIONS = {1e-6: 64, 1.0: 12}


def role(op: Any, which: str | int) -> str:
    """The role of an argument by its name, or of a constant by its slot."""
    if isinstance(op, MatMul | Affine | Einsum) and which in (0, 1):
        return PRODUCT
    known = OF_ARGUMENTS.get(which) if isinstance(which, str) else OF_OPS.get(type(op))
    return known or f"{type(op).__name__}.{which}"


def numbers_by_role(calls: Sequence[Call], layouts: Container[str]) -> dict[str, tuple[float, ...]]:
    """The numbers of the calls of a program by role; a change of sign is not one.

    Parameters
    ----------
    layouts : the names of parameters, in whatever layout.
    """
    found: dict[str, dict[float, None]] = {}
    for call in calls:
        for i, o in enumerate(call.inputs):
            named = role(call.op, i)
            # an initial state may be a value, such as zeros that were made in a shape
            start = named == PRODUCT and o.array.size > 1 and o.source not in layouts
            if (start or not o.source) and o.array.size and o.array.dtype.kind == "f":
                first = float(o.array.flat[0])
                if isfinite(first) and (o.array == first).all():
                    found.setdefault(named, {})[first] = None
        steps = call.op.network.body if isinstance(call.op, Composed) else ()
        for op in (call.op, *(step.op for step in steps)):
            for name, number in (*_arguments(op), *_scales(op, call.inputs[0].array.shape)):
                if isfinite(number) and number != -1:
                    found.setdefault(name, {})[number] = None
    return {name: tuple(each)[:NUMBERS] for name, each in found.items()}


def _arguments(op: Any) -> Iterator[tuple[str, float]]:
    """(role, number) of the arguments of an op, and of the op that one of them is."""
    for each in arguments_of(op):
        value = getattr(op, each.name)
        if isinstance(value, float):
            yield role(op, each.name), value
        elif is_dataclass(value) and not isinstance(value, type):
            yield from _arguments(value)


def _scales(op: Op, shape: tuple[int, ...]) -> Iterator[tuple[str, float]]:
    """(role, number) of the factor and the divisor that scale attention inside of one op."""
    if isinstance(op, Attention) and shape and op.scale != 0:
        scale = shape[-1] ** -0.5 if op.scale is None else op.scale
        yield from ((SCALE, float(scale)), (SCALE, 1 / scale))


def is_written(times: float, numbers: set[float], near: float) -> bool:
    """Whether a person would write a factor: a fraction, its root, or a number of the programs.

    >>> [is_written(t, {0.3}, 1e-9) for t in (0.75, 0.5 ** 0.5, 0.3, -1.0, 1.04675)]
    [True, True, True, True, False]
    """
    t = abs(times)
    if not isfinite(t) or not t:
        return False
    known = {n for n in map(abs, numbers) if isfinite(n) and n}
    several = {n * k for n in known for k in (1.0, 2.0, 0.5)}
    if any(abs(t - n) <= near * n or abs(t * n - 1) <= near for n in several):
        return True
    return any(_is_fraction(x, near) for x in (t, t * t, t / pi, t * pi, t / sqrt(2 * pi)))


def _is_fraction(t: float, near: float) -> bool:
    if not isfinite(t) or t < TINY:
        return False
    most = next(n for limit, n in FRACTIONS.items() if near <= limit)
    for x in (t, 1 / t):
        if x < WHOLE and round(x) and abs(x - round(x)) <= near * min(x, 1.0):
            return True
    if not 1 / most <= t <= most:
        return False
    return any(
        abs(t * q - round(t * q)) <= near * t * q for q in range(1, most + 1) if t * q <= most + 0.5
    )
