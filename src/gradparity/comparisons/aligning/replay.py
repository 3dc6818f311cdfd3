"""A recorded program once more, by the core's formulas, with other ops at some nodes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ...core.arithmetic.arrays import NDArray
from ...core.formulas.op import Op
from .values import Program

__all__ = ["replayed"]


def replayed(program: Program, instead: Mapping[str, Op]) -> dict[str, NDArray]:
    """Every value of a program in float64, where nodes compute other ops.

    What does not depend on these nodes is as it was recorded.
    """
    value: dict[str, NDArray] = dict(program.value)
    changed: set[str] = set()
    with np.errstate(all="ignore"):
        for call in program.calls:
            other = call.place.node in instead
            if not other and not any(o.source in changed for o in call.inputs):
                continue
            y = tuple(
                _wide(value[o.source]) if o.source in changed else _wide(o.array)
                for o in call.inputs
            )
            z = instead.get(call.place.node, call.op).forward(*y)
            each = z if isinstance(z, tuple) else (z,)
            for name, array in zip(call.names, each, strict=False):
                if name in value:
                    value[name] = np.asarray(array)
                    changed.add(name)
    return value


def _wide(a: NDArray) -> NDArray:
    return a.astype(np.float64) if a.dtype.kind == "f" else a
