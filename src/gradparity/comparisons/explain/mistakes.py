"""A wrong gradient by the mistake that gives exactly it: a derivation that many have got wrong.

The mistakes are those that `gradparity selftest` plants; each is evaluated on the numbers the
implementation had at the node.
"""

from __future__ import annotations

import numpy as np

from ...core.arithmetic.arrays import Array
from ...core.network.case import Case
from ...core.network.nodes import Step
from ...core.network.trace import Trace
from .fault_sites import fault_sites, mistaken

__all__ = ["mistake"]

#: Roundings in which a mistaken formula may differ from the implementation of the same mistake.
FEW = 16


def mistake(case: Case, trace: Trace, quantity: str, got: Array, bound: Array) -> str:
    """The mistake that explains a wrong gradient in every element, in words; "" if none does.

    >>> from gradparity.core import *
    >>> case = Case.random(layered([Tanh()], L2()), batch=4, width=3)
    >>> trace = backprop(case)
    >>> wrong = trace.grad["y1"] * (1 - case.x**2)
    >>> mistake(case, trace, "grad x -> y1", wrong, np.zeros((4, 3)))
    'exactly what this mistake gives: input and output exchanged'
    """
    site = next((s for s in fault_sites(case) if s.quantity == quantity), None)
    if site is None or not _there(case, trace, site.step):
        return ""
    got, found = np.asarray(got, dtype=np.float64), []
    with np.errstate(all="ignore"):
        for name, wrong in mistaken(case, trace, site):
            if wrong is None or wrong.shape != got.shape:
                continue
            size = np.abs(wrong.astype(np.float64))
            room = bound + FEW * case.precision.unit * (size + size.max(initial=0.0))
            if np.all(np.abs(got - wrong) <= room):
                found.append(name)
    return f"exactly what this mistake gives: {', or '.join(found[:2])}" if found else ""


def _there(case: Case, trace: Trace, step: Step | None) -> bool:
    """Whether the trace has everything that a formula at this place takes."""
    if step is None:
        return False
    known = {*trace.values(), *case.given, step.draw}
    arrived = any(name in trace.grad for name in step.outputs)
    return arrived and all(name in known for name in (*step.inputs, *step.values))
