"""A recorded program once more, by the core's formulas, with changes at some nodes."""

from __future__ import annotations

from collections.abc import Mapping

from ....core.arithmetic.arrays import NDArray
from .edits import Edit, computed, values_of
from .effort import Effort
from .values import Program

__all__ = ["replayed"]


def replayed(
    program: Program, edits: Mapping[str, Edit], effort: Effort
) -> dict[str, NDArray] | None:
    """Every value of a program in float64, with changes.

    What does not depend on these nodes is as it was recorded.  None if a node has no value then, or
    if no more may be computed.
    """
    value: dict[str, NDArray] = dict(program.value)
    changed: set[str] = set()
    for call in program.calls:
        edit = edits.get(call.place.node)
        if edit is None and not any(o.name in changed for o in call.inputs):
            continue
        y = values_of(call, value)
        z = computed(edit or call.op, y, value)
        effort.spend(call.op, y, z)
        if not z or effort.is_spent:
            return None
        for name, array in zip(call.names, z, strict=False):
            if name in value:
                value[name] = array
                changed.add(name)
    return value
