"""From a step of an optimizer to findings: every parameter and every state by its bound."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from ...core.arithmetic.arrays import NDArray
from ...core.arithmetic.bounded import Bounded
from ...core.arithmetic.precision import Precision
from ...core.network.quantity import Quantity
from ...core.optimizers.update import ChangedGradient, Clipping, Moved, Update
from ..findings.finding import Finding, Verdict, as_written
from ..measure.at_node import Reference
from ..measure.levels import Levels
from .evaluated import change_of, for_precision, format_of_state, references, value_of_state

__all__ = [
    "NO_RATE",
    "finding_of_gradient",
    "findings_of_clipping",
    "findings_of_parameter",
    "is_without_rate",
]

#: The note of a parameter whose step is too small for its number format.
TOO_SMALL = "the step is smaller than the rounding of the parameter, so that nothing is tested"
#: The note of a parameter that a step leaves as it is because lr is 0.
NO_RATE = "lr is 0, so that nothing is tested"


def findings_of_parameter(update: Update, moved: Moved, node: str) -> Iterator[Finding]:
    """The verdicts on the change of one parameter, and on each of its states after the step.

    The change is judged and not the parameter, so that the smallest fault that would have been
    caught is one of the step; its bound is that of the parameter.
    """
    at = node, as_written(replace(update.rule, in_format=False))
    for precision, wanted in _by_precision(update, moved).items():
        own = replace(update, rule=for_precision(update.rule, precision))

        def of(rounding: Any, own: Update = own, wanted: set[Quantity] = wanted) -> list[Reference]:
            return [e for e in references(own, moved, rounding) if e.quantity in wanted]

        levels = Levels(of, Precision.of(precision))
        for q in levels.quantities():
            found = _finding(levels, q, at)
            if q == change_of(moved.name):
                found = _of_change(found, update, moved)
            yield _of_infinite(found, moved)


def _by_precision(update: Update, moved: Moved) -> dict[str, set[Quantity]]:
    """The quantities to judge by number format; a state that counts may have one of its own."""
    found = {moved.precision: {change_of(moved.name)}}
    for state in update.rule.states:
        if state in moved.new:
            q, precision = value_of_state(moved.name, state), format_of_state(moved, state)
            found.setdefault(precision, set()).add(q)
    return found


def _finding(levels: Levels, q: Quantity, at: tuple[str, str], **more: Any) -> Finding:
    _, measured = levels.sharpest(q)
    if measured.outside.any():
        measured = levels.worst_case(q)
    verdict = measured.verdict(levels.precision)
    if verdict in (Verdict.EXACT, Verdict.ROUNDING):
        more["power"] = measured.power()
    return measured.finding(q, at, verdict, levels.precision.unit, **more)


def _of_change(f: Finding, update: Update, moved: Moved) -> Finding:
    """The finding on the amount that a step adds to a parameter."""
    if f.verdict is Verdict.VACUOUS and f.elements:
        if is_without_rate(update, moved):
            return replace(f, note=NO_RATE)
        unmoved = not np.any(moved.gradient) and np.array_equal(moved.before, moved.after)
        return f if unmoved else replace(f, note=TOO_SMALL)
    return f


def is_without_rate(update: Update, moved: Moved) -> bool:
    """Whether lr is 0 in a step that leaves a parameter as it is, as it should."""
    rate = np.asarray(update.rule.rate(update.step, moved.before))
    return not rate.any() and np.array_equal(moved.before, moved.after)


def _of_infinite(f: Finding, moved: Moved) -> Finding:
    """The finding, with the reason where numbers that are not finite leave it undecided."""
    if f.verdict is not Verdict.INCONCLUSIVE or f.note:
        return f
    given = {"gradient": moved.gradient, "parameter": moved.before}
    given |= {name: a for name, a in moved.old.items() if a.dtype.kind == "f"}
    infinite = [name for name, a in given.items() if not np.isfinite(a).all()]
    said = f"the {' and the '.join(infinite)} held inf or NaN before the step"
    return replace(f, note=said) if infinite else f


def findings_of_clipping(clipping: Clipping, node: str) -> Iterator[Finding]:
    """The verdicts on gradients that were clipped, all together."""
    at = node, as_written(clipping.clip)
    for precision in dict.fromkeys(clipping.precisions.values()):

        @np.errstate(all="ignore")
        def of(rounding: Any, precision: str = precision) -> list[Reference]:
            given: list[Any] = [Bounded.exactly(g, rounding) for g in clipping.before.values()]
            clipped = dict(zip(clipping.before, clipping.clip.clip(given), strict=True))
            return [
                Reference(Quantity.value(f"{name}.grad"), _wide(clipping.after[name]), want)
                for name, want in clipped.items()
                if clipping.precisions[name] == precision
            ]

        levels = Levels(of, Precision.of(precision))
        for q in levels.quantities():
            yield _finding(levels, q, at)


def finding_of_gradient(changed: ChangedGradient, node: str) -> Finding:
    """The finding of a gradient during a step, against what it was before; None counts as zero."""
    there = changed.after if changed.before is None else changed.before
    nothing = np.zeros_like(there if there is not None else ())
    before, after = (nothing if a is None else a for a in (changed.before, changed.after))
    q = Quantity.value(f"{changed.name}.grad")

    def of(rounding: Any) -> list[Reference]:
        return [Reference(q, _wide(after), Bounded.exactly(before, rounding))]

    return _finding(Levels(of, Precision.of(changed.precision)), q, (node, changed.step))


def _wide(a: NDArray) -> NDArray:
    return np.asarray(a, np.float64)
