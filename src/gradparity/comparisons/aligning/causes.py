"""Why two programs part at a node: another op there with which its value has a partner."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, is_dataclass, replace
from itertools import permutations
from typing import Any, NamedTuple

import numpy as np

from ...core.arithmetic.arrays import NDArray
from ...core.formulas.movements import Reshape, Transpose
from ...core.formulas.op import Movement, Op
from ...core.network.calls import Call
from ...core.network.composed import Composed
from ...core.network.network import Network
from ...core.network.nodes import Node
from ..explain.variants import variants
from .values import Partners

__all__ = ["Cause", "cause_at"]

#: Numbers that people give an argument of an op, by its name.
USUAL: dict[str, tuple[float, ...]] = {
    "eps": (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-12, 0.0),
    "a": (0.01, 0.1, 0.2, 0.25, 0.3, 1.0, 1.702),
    "b": (1.0, 1.702),
    "scale": (1.0, 0.125, 0.25, 0.5),
    "p": (0.0, 0.1, 0.2, 0.5),
    "axis": (),
}
#: Words that people give an argument.
WORDS: dict[str, tuple[str, ...]] = {"approximate": ("none", "tanh")}
#: The most elements of a node whose variants are tried.
MOST = 2_000_000


class Cause(NamedTuple):
    """Another op at a node with which its value has a partner, in words."""

    op: Op
    said: str
    partners: tuple[str, ...]


def cause_at(
    call: Call,
    after: Callable[[str], Sequence[Call]],
    before: NDArray | None,
    partners: Partners,
) -> Cause | None:
    """The first other op at this node whose value the other program has; None if none does.

    Parameters
    ----------
    after : the calls that take the value of a name: the other program may have a value of theirs
        alone, where it adds up in another order.
    before : what the first input was before it was flattened; None if it was not.
    """
    y = tuple(_wide(o.array) for o in call.inputs)
    if sum(a.size for a in y) > MOST:
        return None
    with np.errstate(all="ignore"):
        for said, op in (*_orders(call, before), *_others(call, y)):
            z = _value(op, y)
            if z is None:
                continue
            found = partners.of(z) if z.size > 1 else []
            found = found or _of_those_after(call.names[0], z, after, partners)
            if found:
                return Cause(op, said, tuple(found))
    return None


def _value(op: Op, y: tuple[NDArray, ...]) -> NDArray | None:
    """The first result of an op; None where it has none for these numbers."""
    try:
        z = op.forward(*y)
    except (ValueError, TypeError, IndexError, ZeroDivisionError):
        return None
    first = np.asarray(z[0] if isinstance(z, tuple) else z)
    return first if np.isfinite(first).any() else None


def _of_those_after(
    name: str, z: NDArray, after: Callable[[str], Sequence[Call]], partners: Partners
) -> list[str]:
    """The partners of what is made of a value, where it has another one; movements are passed."""
    for user in after(name):
        y = tuple(z if o.source == name else _wide(o.array) for o in user.inputs)
        made = _value(user.op, y)
        if made is None or made.size < 2:
            continue
        if isinstance(user.op, Movement):
            found = _of_those_after(user.names[0], made, after, partners)
        else:
            found = partners.of(made)
        if found:
            return found
    return []


def _orders(call: Call, before: NDArray | None) -> Iterator[tuple[str, Op]]:
    """(words, op) with the axes of the first input in another order before it was flattened."""
    if before is None or before.ndim > 5:
        return
    n, letters = len(call.inputs), call.op.parameter_shapes()
    names = tuple(f"y{i}" for i in range(n))
    given = dict(zip(letters, names[n - len(letters) :], strict=True))
    shape = call.inputs[0].array.shape
    for order in permutations(range(1, before.ndim)):
        if list(order) == sorted(order):
            continue
        nodes = (
            Node("whole", Reshape(before.shape, keep=0), "y0"),
            Node("turned", Transpose((0, *order)), "whole"),
            Node("flat", Reshape(shape, keep=0), "turned"),
            Node("z", call.op, "flat", *names[1 : n - len(letters)], **given),
        )
        said = f"its input is flattened from axes in the order {(0, *order)} there"
        yield said, Composed(call.op.name, *nodes, inputs=names)


def _wide(a: NDArray) -> NDArray:
    return a.astype(np.float64) if a.dtype.kind == "f" else a


def _others(call: Call, y: tuple[NDArray, ...]) -> Iterator[tuple[str, Op]]:
    """(words, op) of what people write instead."""
    yield from _numbers(call.op)
    if isinstance(call.op, Composed):
        for step in call.op.network.body:
            for said, op in _numbers(step.op):
                yield f"{step.op.name}: {said}", call.op.with_op(step.name, op)
        return
    letters = call.op.parameter_shapes()
    names = tuple(f"input{i + 1}" for i in range(len(y)))
    values = names[: len(names) - len(letters)]
    given = dict(zip(letters, names[len(values) :], strict=True))
    step = Network.open(Node("z", call.op, *values, **given), inputs=names).body[0]
    for said, op in variants(step, y):
        for i, o in enumerate(call.inputs):
            said = said.replace(f"input{i + 1}", o.source or f"its constant {i + 1}")
        yield said, op


def _numbers(op: Op) -> Iterator[tuple[str, Op]]:
    """(words, op) with another value of one argument."""
    if not is_dataclass(op):
        return
    for field in fields(op):
        own: Any = getattr(op, field.name)
        choices: tuple[Any, ...] = ()
        if isinstance(own, bool):
            choices = (not own,)
        elif field.name == "padding" and isinstance(own, tuple):
            n = len(own)
            choices = ("same", ((0, 0),) * n, ((0, 1),) * n, ((1, 0),) * n, ((1, 1),) * n)
        elif isinstance(own, str):
            choices = WORDS.get(field.name, ())
        elif isinstance(own, float) or own is None:
            choices = USUAL.get(field.name, ())
        for other in choices:
            if other == own:
                continue
            try:
                yield (
                    f"{field.name} is {own} here and {other} there",
                    replace(op, **{field.name: other}),
                )
            except (ValueError, TypeError):
                continue
