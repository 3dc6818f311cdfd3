"""A gradient that arrived at a value of a recording: the sum of what left its uses, and no more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ...core.arithmetic.arrays import total
from ...core.arithmetic.bounded import Bounded
from ...core.arithmetic.precision import Precision
from ...core.network.calls import Sum
from ...core.network.quantity import Quantity
from ..explain.allowed import Alternative, as_convention
from ..findings.finding import SUM, Finding, Verdict
from ..measure.at_node import Reference
from ..measure.levels import Levels

__all__ = ["findings_of_sum"]

HOOK = "; a hook on a node of autograd (grad_fn.register_hook) can do this"


def findings_of_sum(total_of: Sum, allow: Sequence[str] = ()) -> Finding:
    """The verdict on the gradient that arrived at a value: the sum over its uses."""
    precision, source = Precision.of(total_of.precision), total_of.source
    q = Quantity.value(f"{source}.grad") if total_of.accumulated else Quantity.grad(source)
    total_of, infinite = _without_infinite(total_of)

    def references(rounding: Any) -> list[Reference]:
        uses = [Bounded.exactly(part, rounding) for part in total_of.parts]
        want = total(uses)
        return [Reference(q, total_of.got, want)]

    levels = Levels(references, precision)
    _, measured = levels.sharpest(q)
    if measured.outside.any():
        measured = levels.worst_case(q)
    verdict = measured.verdict(precision)
    at = total_of.place.node, SUM
    found = measured.finding(q, at, verdict, precision.unit, final=total_of.final)
    if verdict is not Verdict.MISMATCH and not total_of.changed:
        return replace(found, note=found.note or infinite)
    if total_of.accumulated:
        return _of_accumulated(found, total_of, allow)
    left = f"what left {_listed(total_of.uses)}"
    if total_of.hooks:
        how = " by writing into it" if total_of.changed else ""
        said = f"{_listed(total_of.hooks)}, a hook, changes {left} on its way{how}"
        return as_convention(found, [Alternative("gradient-hook", None, said)], allow)
    if total_of.changed:
        return replace(found, verdict=Verdict.MISMATCH, note=f"something wrote into {left}")
    several = "the sum of " if len(total_of.parts) > 1 else ""
    why = HOOK if total_of.hookable else ""
    return replace(found, note=f"it is not {several}{left}{why}")


def _without_infinite(total_of: Sum) -> tuple[Sum, str]:
    """The sum without elements that were infinite before and still are, and a note on them."""
    finite = np.logical_and.reduce([np.isfinite(part) for part in total_of.parts])
    if not total_of.accumulated or np.all(finite):
        return total_of, ""
    with np.errstate(all="ignore"):
        want = np.sum([np.asarray(part, np.float64) for part in total_of.parts], axis=0)
    if not np.array_equal(total_of.got[~finite], want[~finite], equal_nan=True):
        return total_of, ""
    parts = tuple(np.where(finite, part, 0.0).astype(part.dtype) for part in total_of.parts)
    got = np.where(finite, total_of.got, 0.0).astype(total_of.got.dtype)
    count = int(np.count_nonzero(~finite))
    said = f"{count} of {got.size} elements are inf or NaN, as one of their terms is"
    return replace(total_of, parts=parts, got=got), said


def _of_accumulated(f: Finding, total_of: Sum, allow: Sequence[str]) -> Finding:
    """The finding of a leaf whose ``.grad`` is not what it was, and what arrived."""
    if not f.outside:  # what it was before is not known, and equal numbers say nothing
        f = replace(f, index=None)
    if total_of.hooks:
        said = f"{_listed(total_of.hooks)}, a hook of it, changes .grad during the pass"
        return as_convention(
            replace(f, verdict=Verdict.MISMATCH),
            [Alternative("gradient-hook", None, said)],
            allow,
        )
    note = "it is not what .grad was before, and what arrived, together"
    if total_of.writer:
        note = f"{total_of.writer} wrote into .grad during the pass, besides what arrived"
    return replace(f, verdict=Verdict.MISMATCH, note=note)


def _listed(names: Sequence[str]) -> str:
    few = ", ".join(names[:4])
    return few if len(names) <= 4 else f"{few} and {len(names) - 4} more"
