"""The judge: from what an implementation computed (a trace) to a verdict on every quantity.

Read from the top: `judge` walks the network, `_verdict` decides one quantity, `_measure` says how
far each element is from what is valid there, and `_second_opinion` settles what float32 alone
cannot: an error beyond 10 sigma yet inside the worst case of some order of summation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np

from ..core.arrays import Array
from ..core.case import Case
from ..core.network import INPUT
from ..core.rounding import Rounding
from ..core.trace import Trace
from .expected import Expected, expected_at_divergence, expected_at_node, expected_sum
from .finding import SUM, Finding, Verdict
from .hints import hint
from .kinks import census, distance_from_valid
from .traces import check_trace

__all__ = ["judge"]

#: A second opinion on one tensor needs company: fewer elements say nothing about each other.
COMPANY = 8
#: In units of 10 sigma: twice the worst that was measured (7.4), for tensors without company.
ALONE = 1.5
#: The median of |N(0, 1)|: what turns a median error into a standard deviation.
MEDIAN = 0.6745

Evidence = Callable[[], Mapping[str, Finding]]


def judge(case: Case, trace: Trace, float64: Evidence | None = None) -> list[Finding]:
    """Verdicts on everything in a trace, node by node, each on the implementation's own inputs.

    Parameters
    ----------
    case : the case, in the trace's dtype.
    trace : what the implementation computed.
    float64 : gives the findings of the same implementation in float64, by quantity; asked only when
        a float32 error is beyond 10 sigma but inside the worst case.

    Raises
    ------
    ValueError, TypeError : the trace lacks a quantity, or has one of another shape or dtype.

    >>> from gradparity.core import *
    >>> case = Case.random(layered([Affine(3, 2), Tanh()], L2()), batch=4)
    >>> {str(finding.verdict) for finding in judge(case, backprop(case))} <= {"exact", "rounding"}
    True
    """
    check_trace(case, trace)
    roundings = _roundings(case.dtype)
    findings = []
    for node, op, expected in _places(case, trace):
        found = _Levels(expected, roundings)
        for quantity in found.quantities():
            findings.append(_verdict(node, op, quantity, found, float64))
    return findings


def _roundings(dtype: Any) -> tuple[Rounding, ...]:
    """From the sharpest bound to the widest; the next is asked where an error is beyond one.

    float64 is judged by the worst case alone, which is sharp enough there.
    """
    if dtype != np.float32:
        return (Rounding.of(dtype),)
    return (
        Rounding.of(dtype, statistical=True, random_order=True),
        Rounding.of(dtype, statistical=True),
        Rounding.of(dtype),
    )


class _Levels:
    """What is expected at one place, under each rounding that was asked for."""

    def __init__(
        self, expected: Callable[[Rounding], list[Expected]], roundings: tuple[Rounding, ...]
    ) -> None:
        self.expected, self.roundings = expected, roundings
        self.asked: list[dict[str, Expected]] = []

    def quantities(self) -> list[str]:
        return list(self.at(0))

    def at(self, level: int) -> dict[str, Expected]:
        while len(self.asked) <= level:
            found = self.expected(self.roundings[len(self.asked)])
            self.asked.append({e.quantity: e for e in found})
        return self.asked[level]

    def measured(self, quantity: str, level: int) -> tuple[Expected, Measured]:
        e = self.at(level)[quantity]
        return e, _measure(e, self.roundings[level])


def _places(
    case: Case, trace: Trace
) -> Iterator[tuple[str, str, Callable[[Rounding], list[Expected]]]]:
    """Every place where a formula is tested: (node, op, what is expected there)."""
    network = case.network
    for step in network.steps:
        yield step.name, repr(step.op), partial(expected_at_node, step, case, trace)
        yield step.name, SUM, partial(expected_sum, step.name, case, trace)
    yield "Div", repr(network.divergence), partial(expected_at_divergence, case, trace)
    yield INPUT, SUM, partial(expected_sum, INPUT, case, trace)


@dataclass(frozen=True)
class Measured:
    """Elementwise, in float64: how far from what is valid, and how far one may be."""

    error: Array
    bound: Array
    undecidable: Array  # nothing finite can be expected of this dtype here; often just False

    @cached_property
    def outside(self) -> Array:
        return ~(self.error <= self.bound) & ~self.undecidable

    @cached_property
    def ratio(self) -> Array:
        """error / bound, infinite for a NaN; 0 where nothing can be decided."""
        with np.errstate(all="ignore"):
            ratio = self.error / np.maximum(self.bound, SMALLEST)
        if np.isnan(ratio.max()) or np.any(self.undecidable):
            ratio = np.where(np.isnan(ratio), np.inf, ratio)
            return np.where(self.undecidable, 0.0, ratio)
        return ratio


#: Stands for a bound of zero in a quotient.
SMALLEST = 5e-324


def _measure(e: Expected, rounding: Rounding) -> Measured:
    got, want = np.asarray(e.got, dtype=np.float64), e.want.value
    bound = e.want.full_error()
    with np.errstate(all="ignore"):
        error = np.abs(got - want)
        undecidable: Array = np.False_
        if not np.abs(want).max() + bound.max() < rounding.largest:
            undecidable = ~(np.abs(want) + bound < rounding.largest)
            error = np.where(got == want, 0.0, error)  # equal infinities
        if e.upstream is not None and not np.isfinite(e.upstream).all():
            # 0 times inf: whoever multiplies by a slope of zero gets NaN, whoever selects does not.
            lost = ~np.isfinite(e.upstream).all(axis=-1, keepdims=True)
            undecidable = undecidable | np.broadcast_to(lost, got.shape)
        if e.valid is not None and e.upstream is not None:
            error, bound = distance_from_valid(e, error, bound, rounding)
    return Measured(error, bound, undecidable)


def _verdict(
    node: str, op: str, quantity: str, levels: _Levels, float64: Evidence | None
) -> Finding:
    note = ""
    e, measured = levels.measured(quantity, 0)
    if measured.outside.any() and len(levels.roundings) > 1:
        e, measured = levels.measured(quantity, 1)
        if measured.outside.any():
            _, worst = levels.measured(quantity, 2)
            measured, note = _second_opinion(quantity, measured, worst, float64)
    rounding = levels.roundings[0]
    with np.errstate(all="ignore"):  # infinite gradients are compared too
        kinks = census(e, rounding) if e.valid is not None else None
    verdict = _named(e, measured, kinks is not None and kinks.other, note)
    if verdict is Verdict.MISMATCH and e.valid is None:
        note = "; ".join(filter(None, (hint(e.got, e.want.value, measured.bound), note)))
    if verdict is Verdict.VACUOUS:
        note = note or "the signal is zero, or below its own bound"
    if verdict is Verdict.INCONCLUSIVE:
        note = note or "any implementation at this dtype overflows here"
    where = tuple(map(int, np.unravel_index(int(np.argmax(measured.ratio)), e.got.shape)))
    unit = _unit(e, rounding)
    return Finding(
        quantity=quantity,
        node=node,
        op=op,
        verdict=verdict,
        elements=int(e.got.size),
        outside=int(measured.outside.sum()),
        index=where,
        got=float(e.got[where]),
        expected=float(e.want.value[where]),
        error=_in_units(measured.error[where], unit),
        bound=_in_units(measured.bound[where], unit),
        kinks=kinks.census if kinks else None,
        note=note,
    )


def _named(e: Expected, m: Measured, other_subgradient: bool, note: str) -> Verdict:
    if note == ASK:
        return Verdict.INCONCLUSIVE
    if m.outside.any():
        return Verdict.MISMATCH
    if np.any(m.undecidable):
        return Verdict.INCONCLUSIVE
    if other_subgradient:
        return Verdict.SUBGRADIENT
    if not (np.abs(e.want.value) > m.bound).any():
        return Verdict.VACUOUS
    with np.errstate(all="ignore"):
        exact = (e.want.value.astype(e.got.dtype) == e.got).all()
    return Verdict.EXACT if exact else Verdict.ROUNDING


ASK = "beyond 10 sigma, inside the worst case: check in float64 too"


def _second_opinion(
    quantity: str, sharp: Measured, worst: Measured, float64: Evidence | None
) -> tuple[Measured, str]:
    """Settle what lies beyond 10 sigma: a fault, or an order of summation no model foresaw?

    Outside the worst case it is a fault.  Inside it, an unusual order would show in the whole
    tensor, so an element that stands out from the others is a fault as well.  What is left is a
    fault exactly if the same quantity is wrong in float64, where the worst case is sharp enough.
    """
    if worst.outside.any():
        return worst, ""
    furthest = float(sharp.ratio.max())
    inside = sharp.ratio[~sharp.outside]
    if sharp.ratio.size >= COMPANY and 2 * inside.size > sharp.ratio.size:
        # Bounds are 10 sigma: if the model is right, the median of the others is MEDIAN / 10.
        scale = max(1.0, float(np.median(inside)) * 10 / MEDIAN)
        if furthest > scale:
            return sharp, "stands out of its tensor by far more than rounding scatters"
    elif sharp.ratio.size < COMPANY and furthest > ALONE:
        return sharp, "further off than any usual order of summation"
    if float64 is None:
        return sharp, ASK
    other = float64().get(quantity)
    if other is None or other.verdict is Verdict.MISMATCH:
        return sharp, "wrong in float64 too"
    return worst, f"{10 * furthest:.0f} sigma for a usual order of summation; right in float64"


def _unit(e: Expected, rounding: Rounding) -> float:
    """One u of this tensor: the unit roundoff times its largest element."""
    magnitude = np.abs(e.want.value)
    largest = float(magnitude.max(initial=0.0))
    if not np.isfinite(largest):
        largest = float(magnitude[np.isfinite(magnitude)].max(initial=0.0))
    return rounding.unit * largest


def _in_units(x: float, unit: float) -> float:
    if x == 0.0:
        return 0.0
    return float(x / unit) if unit > 0.0 else float("inf")
