"""Masks that a program makes of its values, such as x > 0, wired to these values.

A recording has them as constants.  With other parameters they are others.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from ....core.arithmetic.arrays import NDArray
from ....core.formulas.layers import Multiply
from ....core.formulas.op import Op
from ....core.network.calls import Call, Operand, Place

__all__ = ["Above", "with_masks"]

#: A mask of fewer elements may be that of a value by chance.
FEW = 8
#: So many elements are looked at first.
SAMPLE = 64


@dataclass(frozen=True)
class Above(Op):
    """Where a value, or the difference of two, is above a number: one constant there, or another.

    Attributes
    ----------
    number : it.
    strict : whether an equal value is not above.
    low, high : the results below and above.
    """

    n_inputs: ClassVar[int | None] = None

    number: float
    strict: bool
    low: Any
    high: Any

    def forward(self, *y: NDArray) -> NDArray:
        """Compare."""
        difference = y[0] - y[1] if len(y) > 1 else y[0]
        above = difference > self.number if self.strict else difference >= self.number
        found: NDArray = np.where(above, self.high, self.low)
        return found


def with_masks(program: Sequence[Call]) -> tuple[Call, ...]:
    """The calls of a program with those before them that give masks of its values."""
    calls: list[Call] = []
    made: dict[tuple[int, ...], list[Operand]] = {}
    numbers = _numbers(program)
    for call in program:
        inputs = list(call.inputs)
        for slot, o in enumerate(call.inputs):
            if o.name or not _is_mask(o.array, call.op):
                continue
            found = next(_compared(o.array, call, made.get(o.array.shape, ()), numbers), None)
            if found is not None:
                op, of = found
                node = f"{call.place.node}.mask{slot}"
                place = Place(node, "mask", call.place.module, call.place.source)
                numbers_of = (o.array,), (None,), call.precision
                calls.append(Call(place, op, of, *numbers_of, names=(node,)))
                inputs[slot] = replace(o, data=node)
        is_same = all(a is b for a, b in zip(inputs, call.inputs, strict=True))
        calls.append(call if is_same else replace(call, inputs=tuple(inputs)))
        for name, z in zip(call.names, call.z, strict=False):
            if name and z is not None and z.dtype.kind == "f":
                made.setdefault(z.shape, []).append(Operand(z, name))
    return tuple(calls)


def _numbers(calls: Sequence[Call]) -> list[float]:
    """Zero, and the numbers that a program is written with, with which it may compare."""
    constants = (o.array for call in calls for o in call.inputs if not o.name and o.array.size)
    single = (a.flat[0] for a in constants if a.dtype.kind == "f" and (a == a.flat[0]).all())
    return list(dict.fromkeys([0.0, *map(float, single)]))


def _is_mask(a: NDArray, op: Op) -> bool:
    """Whether an array has two different elements; floats only where they are factors."""
    if a.size < FEW or not (a.dtype.kind == "b" or (a.dtype.kind == "f" and _is_factor(op))):
        return False
    low, high = a.min(), a.max()
    return bool(low != high and ((a == low) | (a == high)).all())


def _is_factor(op: Op) -> bool:
    return isinstance(op, Multiply)


def _parts(of: Sequence[Operand], above: NDArray) -> bool:
    """Whether a number may part a few elements of a value from the others."""
    first, *rest = (o.array.ravel()[: above.size] for o in of)
    a = first - rest[0] if rest else first
    return bool(a[~above].max(initial=-np.inf) < a[above].min(initial=np.inf))


def _compared(
    mask: NDArray, call: Call, made: Sequence[Operand], numbers: Sequence[float]
) -> Iterator[tuple[Above, tuple[Operand, ...]]]:
    """The comparisons that give a mask, and what they compare, the last values first."""
    own = [o for o in call.inputs if o.name and o.array.shape == mask.shape]
    low, high = mask.min(), mask.max()
    is_high = mask == high
    for of in (*((o,) for o in reversed(made)), *((own,) if len(own) == 2 else ())):
        if not any(_parts(of, some[:SAMPLE]) for some in (is_high.ravel(), ~is_high.ravel())):
            continue
        a = of[0].array - of[1].array if len(of) > 1 else of[0].array
        for above, ends in ((is_high, (low, high)), (~is_high, (high, low))):
            least, most = a[above].min(), a[~above].max()
            # Without elements on both sides of the number a mask of data may agree by chance.
            beside = a[~above].min(), a[above].max()
            for number in numbers:
                if most <= number <= least and beside[0] < number < beside[1]:
                    yield Above(number, bool(most == number), *ends), tuple(of)
