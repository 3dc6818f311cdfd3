"""A wrong gradient by the mistake that gives exactly it: a derivation that many have got wrong.

The mistakes are those that `gradparity selftest` plants; each is evaluated on the numbers the
implementation had at the node.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...core.arithmetic.arrays import Array
from ...core.network.case import Case
from ...core.network.nodes import Edge, Step
from ...core.network.trace import Trace
from .fault_sites import FaultSite, fault_sites, mistaken, quantity, right_at

__all__ = ["lost_uses", "mistake"]

#: Roundings in which a mistaken formula may differ from the implementation of the same mistake.
FEW = 16
#: Mistakes that make two gradients wrong; where one is right, it stands in both places.
EXCHANGED = ("gradients of the inputs exchanged", "gradients of two parameters exchanged")


def mistake(case: Case, trace: Trace, of: str, got: Array, bound: Array) -> str:
    """The mistake that explains a wrong gradient in every element, in words; "" if none does.

    One that the right gradient is as near to, next to its largest element, explains nothing.

    >>> from gradparity.core import *
    >>> case = Case.random(layered([Tanh()], L2()), batch=4, width=3)
    >>> trace = backprop(case)
    >>> wrong = trace.grad["y1"] * (1 - case.x**2)
    >>> mistake(case, trace, "grad x -> y1", wrong, np.zeros((4, 3)))
    'exactly what this mistake gives: input and output exchanged'
    """
    site = next((s for s in fault_sites(case) if s.quantity == of), None)
    if site is None or not _there(case, trace, site.step):
        return ""
    with np.errstate(all="ignore"):
        found = [
            _one_sided(case, trace, site, name) if name in EXCHANGED else name
            for name, wrong in mistaken(case, trace, site)
            if _is(got, wrong, bound, case)
            and not _is(right_at(case, trace, site), wrong, bound, case)
        ]
    return f"exactly what this mistake gives: {', or '.join(found[:2])}" if found else ""


def _is(got: Any, wrong: Any, bound: Any, case: Case) -> bool:
    """Whether a result is what a mistake gives, inside its bound."""
    if wrong is None or wrong.shape != np.shape(got):
        return False
    size = np.abs(wrong.astype(np.float64))
    room = bound + FEW * case.precision.unit * (size + size.max(initial=0.0))
    return bool(np.all(np.abs(np.asarray(got, np.float64) - wrong) <= room))


def _one_sided(case: Case, trace: Trace, site: FaultSite, exchange: str) -> str:
    """The mistake; where the node's other gradients are right, the one that stands here twice."""
    assert site.step is not None
    step = site.step
    here = [s for s in fault_sites(case) if s.step is step and isinstance(s.key, Edge)]
    others = [s for s in here if s.slot != site.slot]
    wrong = {s.slot: dict(mistaken(case, trace, s)).get(exchange) for s in others}
    had = {
        s.slot: quantity(trace, s)
        for s in others
        if wrong[s.slot] is not None and (s.key in trace.edge_grad or s.key.source in trace.grad)
    }
    if any(_is(array, wrong[slot], 0.0, case) for slot, array in had.items()):
        return exchange
    mine = quantity(trace, site)
    names = [step.inputs[slot] for slot, array in had.items() if _is(mine, array, 0.0, case)]
    return f"the gradient by {names[0]} in place of its own" if names else exchange


def _there(case: Case, trace: Trace, step: Step | None) -> bool:
    """Whether the trace has everything that a formula at this place takes."""
    if step is None:
        return False
    known = {*trace.values(), *case.given, step.draw}
    arrived = any(name in trace.grad for name in step.outputs)
    return arrived and all(name in known for name in (*step.inputs, *step.outputs))


def lost_uses(case: Case, trace: Trace, name: str, got: Array, bound: Array) -> str:
    """The uses whose gradients were left out of a sum or counted twice; "" if that is not it.

    >>> from gradparity.core import *
    >>> nodes = [Node("a", Tanh(), "x"), Node("b", Sigmoid(), "x"), Node("c", Add(), "a", "b")]
    >>> net = Network(*nodes, divergence=L2())
    >>> case = Case.random(net, batch=4, width=3)
    >>> trace = backprop(case)
    >>> last = trace.edge_grad["x", "b"]
    >>> lost_uses(case, trace, "x", last, np.full((4, 3), 1e-12))
    "only the gradient through 'b' is in it: the last one was assigned, not added"
    """
    edges = case.network.consumers(name)
    uses = [trace.edge_grad.get(edge) for edge in edges]
    if len(uses) < 2 or any(use is None for use in uses):
        return ""
    columns = np.stack([np.asarray(use, np.float64).ravel() for use in uses], axis=1)
    target = np.asarray(got, np.float64).ravel()
    if not np.isfinite(columns).all() or not np.isfinite(target).all():
        return ""
    weights, _, rank, _ = np.linalg.lstsq(columns, target, rcond=None)
    times = np.rint(weights)
    room = 4.0 * np.ravel(bound) + FEW * case.precision.unit * np.abs(columns).sum(axis=1)
    told = (times == 1.0).all() or rank < len(uses) or target.size < 2 * len(uses)
    if told or not np.all(np.abs(columns @ times - target) <= room):
        return ""
    names = [repr(edge.target) for edge in edges]
    lost = [n for n, t in zip(names, times, strict=True) if t == 0.0]
    twice = [f"{n} {t:.0f} times" for n, t in zip(names, times, strict=True) if t not in (0.0, 1.0)]
    if len(lost) == len(names) - 1 and not twice:
        (at,) = np.flatnonzero(times)
        place = {0: "first", len(names) - 1: "last"}.get(int(at), "others")
        why = {
            "first": "those of its other uses were not added",
            "last": "the last one was assigned, not added",
            "others": "those of its other uses are lost",
        }
        return f"only the gradient through {names[at]} is in it: {why[place]}"
    parts = [f"the gradient through {', '.join(lost)} is left out"] * bool(lost)
    parts += [f"it counts the gradient through {', '.join(twice)}"] * bool(twice)
    return "; ".join(parts)
