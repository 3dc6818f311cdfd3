"""A change of one node: another op, or other inputs, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ....core.arithmetic.arrays import NDArray
from ....core.formulas.op import Op
from ....core.network.calls import Call, Operand

__all__ = [
    "FAILED",
    "Edit",
    "at_others",
    "changes_a_number",
    "computed",
    "general",
    "values_of",
    "wide",
]

#: Errors that a formula raises for inputs that it has no value for, or where there is none.
FAILED = (ValueError, TypeError, IndexError, ZeroDivisionError, KeyError, NotImplementedError)


def wide(a: NDArray) -> NDArray:
    """An array of numbers in float64; ids and masks as they are."""
    return a.astype(np.float64) if a.dtype.kind == "f" else a


@dataclass(frozen=True, eq=False)
class Edit:
    """A replacement for the computation of a node.

    Attributes
    ----------
    said : in words; "{here}" stands for the edited program, "{there}" for the other one.
    op : the op that the node computes.
    inputs : slot -> the array, or the name of the value, that the op takes there instead.
    keeps : the slot of the input that is returned as it is, where the op is left out.
    plain : whether it is an argument, a constant or an arrangement, which rarely fits by chance.
    times, plus : what the value is multiplied by, and what is added then.
    order : the results in another order, such as the gates that are split off one product.
    far : whether it may show in the loss alone, and values before have no partner.
    each : node -> the change of that node, where it is not the same for all.
    everywhere : whether it means the same at other nodes, although it has inputs.
    vague : whether it says no more than that numbers differ, so that anything else is better.
    sure : whether its value alone says enough, though nothing that is made of it pairs yet.
    """

    said: str
    op: Op
    inputs: Mapping[int, NDArray | str] = field(default_factory=dict)
    keeps: int | None = None
    times: float = 1.0
    plus: float = 0.0
    plain: bool = True
    order: tuple[int, ...] = ()
    far: bool = False
    each: Mapping[str, Edit] = field(default_factory=dict)
    everywhere: bool = False
    vague: bool = False
    sure: bool = False

    def forward(self, y: Sequence[NDArray], value: Mapping[str, NDArray]) -> tuple[NDArray, ...]:
        """Compute the node from its inputs, and from the values of the program by name."""
        taken = list(y)
        for i, a in self.inputs.items():
            taken[i] = wide(value[a]) if isinstance(a, str) else a
        if self.keeps is not None:
            return (np.asarray(taken[self.keeps]),)
        z = self.op.forward(*taken)
        each = z if isinstance(z, tuple) else (z,)
        each = tuple(each[i] for i in self.order) if self.order else each
        if self.times == 1.0 and not self.plus:
            return tuple(np.asarray(a) for a in each)
        return tuple(np.asarray(a) * self.times + self.plus for a in each)


def general(edit: Edit) -> bool:
    """Whether a change means the same at another node with the same op."""
    return edit.everywhere or not edit.inputs


def at_others(said: str, others: int) -> str:
    """Add to a sentence about a node that it holds for others."""
    return f"{said}, and so at {others} other node{'s' * (others > 1)}" if others else said


def changes_a_number(edit: Edit, op: Op) -> bool:
    """Whether a change gives an op another argument, or another number in the place of one."""
    if edit.each or edit.keeps is not None or edit.times != 1.0 or edit.plus:
        return False
    if not edit.inputs:
        return type(edit.op) is type(op) and edit.op != op
    return edit.op is op and all(
        not isinstance(a, str) and bool(a.size) and bool((a == a.flat[0]).all())
        for a in edit.inputs.values()
    )


def values_of(call: Call, value: Mapping[str, NDArray]) -> tuple[NDArray, ...]:
    """The inputs of a call, those with a new value with that one."""
    return tuple(wide(_value_of(o, value)) for o in call.inputs)


def _value_of(o: Operand, value: Mapping[str, NDArray]) -> NDArray:
    a = value.get(o.name, o.array)
    return a.reshape(o.array.shape) if o.data and a.size == o.array.size else a


def computed(
    edit: Edit | Op, y: Sequence[NDArray], value: Mapping[str, NDArray]
) -> tuple[NDArray, ...]:
    """The results of an op, or of a change, for these inputs; none where it has no value."""
    change = edit if isinstance(edit, Edit) else Edit("", edit)
    with np.errstate(all="ignore"):
        try:
            return change.forward(y, value)
        except FAILED:
            return ()
