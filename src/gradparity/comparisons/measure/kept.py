"""References at the nodes of one case, computed once for all traces with the same numbers there."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ...core.arithmetic.arrays import NDArray
from ...core.arithmetic.rounding import Rounding
from ...core.network.case import Case
from ...core.network.nodes import Step
from ...core.network.trace import Trace
from .at_node import Reference, reference_at_node, results_at_node

__all__ = ["KeptReferences"]


class KeptReferences:
    """`reference_at_node` for traces of one case that share most of their arrays.

    A fault in a result at a node leaves what the formula says there as it is.  Arrays are compared
    by identity, so nothing may write to them.
    """

    def __init__(self) -> None:
        #: By node, rounding and arrays: the arrays, the references, and the forms that were met.
        self._kept: dict[Any, tuple[list[NDArray | None], list[Reference], dict[str, None]]] = {}

    def at_node(self, step: Step, case: Case, trace: Trace, rounding: Rounding) -> list[Reference]:
        """The same as `reference_at_node(step, case, trace, rounding)`."""
        forms = rounding.forms
        if (
            step in case.network.loss
            or step.op.random
            or (forms is not None and forms.at is not None)
        ):
            return reference_at_node(step, case, trace, rounding)
        arrays = _read(step, case, trace, forms is not None and forms.own_output)
        asked = None if forms is None else (forms.chosen, forms.own_output, forms.every)
        key = step.name, replace(rounding, forms=None), asked, tuple(map(id, arrays))
        if key in self._kept:
            _, found, met = self._kept[key]
            results = results_at_node(step, case, trace)
            if forms is not None:
                forms.met.update(met)
            return [replace(e, got=results[e.quantity]) for e in found]
        found = reference_at_node(step, case, trace, rounding)
        on_results = any(e.valid is not None or np.any(e.lost) for e in found)
        if not on_results and all(a is None or np.isfinite(a).all() for a in arrays):
            self._kept[key] = arrays, found, {} if forms is None else dict(forms.met)
        return found


def _read(step: Step, case: Case, trace: Trace, own_output: bool) -> list[NDArray | None]:
    """Every array that the references at a node are computed from."""
    given = [case.given.get(name, trace.get(name)) for name in step.inputs]
    arrived = [a for name in step.outputs for a in (trace.grad.get(name), trace.added.get(name))]
    return [*given, *arrived, *(map(trace.get, step.values) if own_output else ())]
