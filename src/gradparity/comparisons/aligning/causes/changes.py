"""Candidates for a node of the other program: other numbers, inputs or arrangements."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace
from itertools import combinations, permutations
from typing import Any

import numpy as np

from ....core.arithmetic.arrays import NDArray
from ....core.formulas.movements import Reshape, Transpose
from ....core.formulas.norms import BatchNorm
from ....core.formulas.op import Movement, Op
from ....core.network.calls import Call
from ....core.network.composed import Composed
from ....core.network.network import Network
from ....core.network.nodes import Node
from ....core.vocabulary.contractions import Einsum, MatMul
from ....core.vocabulary.pointwise import Scale
from ....core.vocabulary.rearranging import Slice
from ....core.vocabulary.resampling import Resize
from ...explain.arguments import arguments_of
from ...explain.variants import variants
from ...explain.wrapped import OnOther
from ..programs.edits import Edit
from ..programs.masks import Above
from ..programs.roles import SCALE, role
from ..programs.values import Program
from .attention_axes import other_softmax_axes
from .class_weights import other_weights, weights_of_labels
from .constants import constants
from .conventions import conventions, dropout_rate
from .exchanged import exchanged
from .masks import other_masks
from .norm_axes import other_norm_axes
from .parts import wholes
from .replacements import replacements
from .taken import other_parameters, other_values

__all__ = ["MOST", "changes", "numbers_in", "two_at_once"]

#: Numbers that people give an argument of an op, by its name.
USUAL: dict[str, tuple[float, ...]] = {
    "eps": (1e-3, 1e-4, 1e-5, 1e-6, 1e-7, 1e-8, 1e-12, 0.0),
    "a": (0.01, 0.1, 0.2, 0.25, 0.3, 1.0, 1.702),
    "b": (1.0, 1.702),
    "scale": (1.0, 0.125, 0.25, 0.5),
    "p": (0.0, 0.1, 0.2, 0.5),
    "delta": (1.0, 0.5, 0.1, 2.0),
    "beta": (1.0, 0.5, 0.1, 1.0 / 9),
}
#: Whole numbers that people give an argument.
WHOLE: dict[str, tuple[int, ...]] = {
    "stride": (1, 2, 3),
    "dilation": (1, 2, 3),
    "axis": (-1, 0, 1, 2, 3),
    "correction": (0, 1),
    "shift": (-1, 1),
}
#: Words that people give an argument.
WORDS: dict[str, tuple[str, ...]] = {
    "approximate": ("none", "tanh"),
    "mode": ("nearest", "nearest-exact", "linear", "cubic"),
}
#: The most elements of a node whose changes are tried.
MOST = 2_000_000
#: The most axes whose orders are tried where they are joined.
MOST_AXES = 6
#: The most elements of a node at which two changes at once are tried.
MOST_FOR_TWO = 50_000
#: The most numbers of the other program that are tried for one argument.
NUMBERS = 24


def changes(
    call: Call,
    y: Sequence[NDArray],
    program: Program,
    value: Mapping[str, NDArray],
    other: Program,
    before: NDArray | None,
) -> Iterator[Edit]:
    """Yield common replacements of a node, the likeliest first.

    Parameters
    ----------
    y : the inputs of the call, in float64.
    program, value : where the call is, and the values there.
    other : the other program, whose constants are tried.
    before : what the first input was before it was flattened; None if it was not.
    """
    if sum(a.size for a in y) > MOST or isinstance(call.op, Above):
        return
    roles = other.roles
    yield from _orders(call, before)
    yield from other_masks(call, y, other)
    yield from other_softmax_axes(call)
    yield from other_norm_axes(call)
    yield from other_weights(call, y, other)
    yield from weights_of_labels(call, y, program)
    yield from conventions(call, y, numbers_in(other))
    yield from replacements(call, y)
    yield from exchanged(call, y, other)
    yield from (Edit(said, op) for said, op in _of_arguments(call.op, roles))
    if isinstance(call.op, Composed):
        for step in call.op.network.body:
            for said, op in _of_arguments(step.op, roles):
                try:
                    changed = call.op.with_op(step.name, op)
                except _REFUSED:  # such as of another number of inputs
                    continue
                yield Edit(f"{step.op.name}: {said}", changed)
    yield from _complements(call)
    yield from constants(call, y, program, other)
    yield from _left_out(call, y)
    yield from wholes(call, program, value)
    yield from other_parameters(call, program)
    yield from _arrangements(call, y)
    yield from other_values(call, y, program, value)


def two_at_once(call: Call, y: Sequence[NDArray], other: Program) -> Iterator[Edit]:
    """Two inputs exchanged, or one argument changed, and another argument with it."""
    if sum(a.size for a in y) > MOST_FOR_TWO:
        return
    roles = other.roles
    for edit in _arrangements(call, y):
        on = edit.op
        if isinstance(on, OnOther) and not on.moves:
            for said, own in _of_arguments(on.op, roles):
                yield Edit(f"{edit.said}, and {said}", replace(on, op=own))
    op: Any = call.op
    names = [field.name for field in arguments_of(op)]
    tried = [
        (said, {n: getattr(own, n) for n in names if getattr(own, n) != getattr(op, n)})
        for said, own in _of_arguments(op, roles)
        if type(own) is type(op)
    ]
    for (said, one), (more, two) in combinations(tried, 2):
        if not set(one) & set(two):
            try:
                changed = replace(op, **one, **two)
            except (*_REFUSED, AttributeError):
                continue
            yield Edit(f"{said}, and {more}", changed)


def numbers_in(program: Program) -> tuple[float, ...]:
    """The numbers that a program was written with: its constants, and the arguments of its ops."""
    found: dict[float, None] = {}
    for call in program.calls:
        for o in call.inputs:
            if not o.source and o.array.size == 1 and o.array.dtype.kind == "f":
                found[float(o.array.reshape(()))] = None
        steps = call.op.network.body if isinstance(call.op, Composed) else ()
        for op in (call.op, *(step.op for step in steps)):
            for each in arguments_of(op):
                number = getattr(op, each.name)
                if isinstance(number, float):
                    found[number] = None
    return tuple(x for x in found if np.isfinite(x))[:NUMBERS]


def _number(argument: Any) -> Any:
    """An argument as it was written: a float of a program in float32 has the digits of that."""
    short = float(f"{argument:.7g}") if isinstance(argument, float) else argument
    return short if isinstance(argument, float) and np.float32(short) == argument else argument


def _of_arguments(op: Any, roles: Mapping[str, Sequence[float]]) -> Iterator[tuple[str, Any]]:
    """(words, op) with another value of one argument, such as has its role in the other program."""
    if not is_dataclass(op) or isinstance(op, type):
        return
    for field in fields(op):
        own: Any = getattr(op, field.name)
        if is_dataclass(own) and not isinstance(own, type):  # such as the loss of each element
            for said, inside in _of_arguments(own, roles):
                yield said, replace(op, **{field.name: inside})
        numbers = roles.get(role(op, field.name), ())
        if isinstance(op, Scale):  # that of attention may be inside of one op there
            numbers = (*roles.get(SCALE, ()), *numbers)
        for other in _choices(field.name, own, numbers):
            if other == own:
                continue
            try:
                changed = replace(op, **{field.name: other})
            except (*_REFUSED, AttributeError):
                continue
            said = f"{field.name} is {_number(own)} {{here}} and {_number(other)} {{there}}"
            if isinstance(op, BatchNorm) and field.name == "training":
                batch, running = ("here", "there") if own else ("there", "here")
                said += f": it takes the statistics of the batch {{{batch}}} and the running ones "
                said += f"{{{running}}}"
            yield said, changed
    yield from _of_windows(op)
    yield from _of_resizes(op)


def _of_windows(op: Op) -> Iterator[tuple[str, Op]]:
    """(words, op) with other dilation and padding, which people change together."""
    if not is_dataclass(op) or not {"dilation", "padding"} <= {f.name for f in fields(op)}:
        return
    own: tuple[Any, Any] = getattr(op, "dilation"), getattr(op, "padding")  # noqa: B009
    for dilation in _choices("dilation", own[0], ()):
        for padding in (*_choices("padding", own[1], ()), *_as_long(op, dilation)):
            try:
                changed = replace(op, dilation=dilation, padding=padding)
            except _REFUSED:
                continue
            said = f"dilation is {own[0]} and padding {own[1]} {{here}}, "
            yield f"{said}{dilation} and {padding} {{there}}", changed


def _as_long(op: Any, dilation: Any) -> Iterator[Any]:
    """The paddings with which a value is as long as before with another dilation."""
    kernel, padding = getattr(op, "kernel", None), op.padding
    if not isinstance(kernel, tuple) or not isinstance(dilation, tuple) or not kernel:
        return
    alike = all(isinstance(p, tuple) and p == padding[0] for p in padding)
    more = {(k - 1) * (d - own) for k, d, own in zip(kernel, dilation, op.dilation, strict=True)}
    if alike and len(more) == 1 and (total := sum(padding[0]) + more.pop()) > 0:
        yield from (((i, total - i),) * len(padding) for i in range(total, -1, -1))


def _of_resizes(op: Op) -> Iterator[tuple[str, Op]]:
    """(words, op) with another mode of a resize whose corners are aligned: nearest aligns none."""
    if isinstance(op, Resize) and op.align_corners:
        for mode in WORDS["mode"]:
            if mode.startswith("nearest"):
                said = f"mode is {op.mode} {{here}} and {mode} {{there}}"
                yield said, replace(op, mode=mode, align_corners=False)


_REFUSED = (ValueError, TypeError)


def _choices(name: str, own: Any, numbers: Sequence[float]) -> tuple[Any, ...]:
    if isinstance(own, bool):
        return (not own,)
    if name == "padding" and isinstance(own, tuple):
        sides = ((0, 0), (0, 1), (1, 0), (1, 1), (2, 2))
        return ("same", *(((side),) * len(own) for side in sides), *_moved_padding(own))
    if name in WHOLE:
        whole = WHOLE[name]
        if isinstance(own, tuple) and own and all(type(i) is int for i in own):
            return tuple((i,) * len(own) for i in whole)
        return whole if type(own) is int or own is None else ()
    if isinstance(own, str):
        return WORDS.get(name, ())
    if isinstance(own, float) or own is None:
        usual = USUAL.get(name, ())
        return (*numbers, *usual) if isinstance(own, float) else usual
    return ()


def _moved_padding(own: tuple[Any, ...]) -> Iterator[Any]:
    """All other ways to distribute the same amount of padding over the two sides."""
    if not own or own.count(own[0]) != len(own) or not isinstance(own[0], tuple):
        return
    total = sum(own[0])
    yield from (((i, total - i),) * len(own) for i in range(total + 1) if (i, total - i) != own[0])


def _complements(call: Call) -> Iterator[Edit]:
    """1 - z for z, where it is a share, such as a gate."""
    z = call.z[0] if call.z else None
    share = z is not None and z.size > 1 and z.dtype.kind == "f"
    if (
        share
        and z is not None
        and z.min() > 0
        and z.max() < 1
        and not isinstance(call.op, Movement)
    ):
        yield Edit("it is 1 - z {there} in place of z", call.op, times=-1.0, plus=1.0, plain=False)


def _left_out(call: Call, y: Sequence[NDArray]) -> Iterator[Edit]:
    """The node left out: one of its inputs goes on instead."""
    z = call.z[0] if call.z else None
    if isinstance(call.op, Slice) and call.inputs[0].source:
        said = f"only a part of {call.inputs[0].source} is taken {{here}}, and all of it {{there}}"
        yield Edit(f"{said}: {call.op!r} is left out {{there}}", call.op, keeps=0, plain=False)
    if z is None or isinstance(call.op, Movement | MatMul | Einsum):
        return
    if sum(a.dtype.kind == "f" for a in y) > 2:  # such as attention
        return
    for i, (a, o) in enumerate(zip(y, call.inputs, strict=True)):
        if o.source and a.shape == z.shape and a.dtype.kind == "f":
            rest = [p.source or _constant_in_words(k, y[k])
                    for k, p in enumerate(call.inputs) if k != i]  # fmt: skip
            said = f"{', '.join(rest)} left out {{there}}" if rest else "left out {there}"
            said += f": only {o.source} goes on" if rest else ""
            rate = dropout_rate(y[1 - i]) if len(y) == 2 and not call.inputs[1 - i].source else None
            if rate is not None:
                said = (
                    f"dropout with the rate {rate:.6g} {{here}} and none {{there}}, such as train "
                )
                yield Edit(said + "and eval", call.op, keeps=i)
                continue
            yield Edit(f"{call.op.name}: {said}", call.op, keeps=i, plain=False)


def _constant_in_words(k: int, a: NDArray) -> str:
    """A constant input by its position, with its number where it is one."""
    same = a.size and a.dtype.kind == "f" and (a == a.flat[0]).all()
    return f"constant {k + 1}, which is {a.flat[0]:.6g}," if same else f"constant {k + 1}"


def _arrangements(call: Call, y: Sequence[NDArray]) -> Iterator[Edit]:
    """Inputs exchanged, transposed, mirrored, left out, and other modes of the op."""
    letters = () if isinstance(call.op, Composed) else call.op.parameter_shapes()
    names = tuple(f"input{i + 1}" for i in range(len(y)))
    values = names[: len(names) - len(letters)]
    given = dict(zip(letters, names[len(values) :], strict=True))
    step = Network.open(Node("z", call.op, *values, **given), inputs=names).body[0]
    for said, op in variants(step, y):
        for i, o in enumerate(call.inputs):
            said = said.replace(f"input{i + 1}", o.source or f"its constant {i + 1}")
        said = said.removeprefix("right if ").removeprefix("right ") + " {there}"
        said = said.replace("has its axes in the order", "is transposed, its axes in the order")
        yield Edit(said, op, plain="left out" not in said)


def _orders(call: Call, before: NDArray | None) -> Iterator[Edit]:
    """The axes of the first input in another order before it was flattened."""
    if before is None or before.ndim > MOST_AXES:
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
        said = f"its input is flattened from axes in the order {(0, *order)} {{there}}"
        if any(n > 1 and _repeats(before, k) for k, n in enumerate(before.shape)):
            said += ", such as with tile in place of repeat or the reverse"
        yield Edit(said, Composed(call.op.name, *nodes, inputs=names))


def _repeats(a: NDArray, axis: int) -> bool:
    """Whether all entries of an axis are the same."""
    first = np.take(a, [0], axis)
    return bool((a == first).all())
