"""Judging an implementation that returns only some final results, such as a user's own code.

Nothing is known of what it had on the way, so the whole network's rounding counts: the core's
formulas are evaluated with the variance of every element (`core.arithmetic.varied`), whose scale is
checked by a few random draws of the same roundings.  Read from the top: `judge_end_to_end` decides,
`_explained` tries the kinks; `gradparity.comparisons.measure.end_to_end` has what is expected.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...core.arithmetic.arrays import Array, NDArray
from ...core.arithmetic.rounding import SIGMAS
from ...core.network.case import Case
from ...core.network.quantity import Quantity
from ..explain.allowed import as_convention, is_distinct, parse_allowed
from ..explain.end_to_end import named_alternatives, of_one_network, with_layout
from ..explain.hints import hint, where_it_is_wrong
from ..explain.products import has_products
from ..explain.whole_mistakes import whole_mistakes
from ..findings.finding import SILENT, Evidence, Finding, Verdict, as_written
from ..measure.branches import NETWORK, RULES, Branches, Chosen, reach
from ..measure.end_to_end import Reference
from ..measure.levels import MINIMUM_SAMPLE, no_bound
from ..measure.measured import SMALLEST, Measured
from ..measure.multipliers import solve
from ..measure.scatter import is_scattered
from .coarse import in_coarser_arithmetic
from .location import placed
from .returned import checked_results

__all__ = ["judge_end_to_end", "judge_final"]

#: The "op" of a value's gradient, which no single op has made.
WHOLE = "the backward pass"
#: An order of summation no model foresaw reaches 65 sigma (all positive terms first): within these
#: times the bound an error that float64 has not is rounding, beyond them it is imprecision.
UNUSUAL = 8.0
#: An error this much larger than what is usual in its tensor is no rounding.
STANDS_OUT = 8.0
#: What is off by more of its tensor's largest element is wrong, however coarse the arithmetic.
SMALL = 0.25
#: Least squares bring the sum of squares down, not the largest: only beyond these times the bound
#: is a gradient without any fitting multipliers a fault.
UNFIT = 8.0


def judge_end_to_end(
    case: Case,
    results: Mapping[str, Any],
    float64: Evidence | None = None,
    allow: Sequence[str] = (),
) -> list[Finding]:
    """One verdict per result, with the rounding of the whole network allowed for.

    Parameters
    ----------
    case : the case, in the precision the results were computed in.
    results : any of "Err", "Div" (T,), "value <node>" (T, D), and "grad <name>" for a parameter, a
        node, "x" or "Div", as NumPy arrays of the case's dtype.  Values of the inputs of kinked ops
        settle which branches were taken.
    float64 : gives the findings of the same implementation in float64, by quantity; asked only
        where a result is beyond its bound.
    allow : conventions that pass, such as "sum" or "weight-decay=0.001".

    Returns
    -------
    list of Finding, in the order of the results.

    Raises
    ------
    ValueError : an unknown name, another shape or dtype, nothing at all, or an unknown convention.

    >>> from gradparity.core import *
    >>> case = Case.random(layered([Affine(3, 2), Tanh()], L2()), batch=4, dtype="float32")
    >>> finding, = judge_end_to_end(case, {"grad W1": backprop(case).grad["W1"]})
    >>> str(finding.verdict)
    'rounding'
    """
    given = checked_results(case, results)
    found = judge_final(case, given.arrays, float64, allow)
    found = placed(case.network, found, given.arrays)
    return with_layout(found, given.turned, allow)


def judge_final(
    case: Case,
    got: dict[Quantity, NDArray],
    float64: Evidence | None = None,
    allow: Sequence[str] = (),
) -> list[Finding]:
    """As `judge_end_to_end`, for results that have been looked over."""
    parse_allowed(allow)
    if case.precision.name == "float64":
        float64 = None  # it settles itself
    if any(step.op.random for step in case.network.steps):
        return [_unknowable(case, q, a) for q, a in got.items()]
    reference = Reference(case, got)
    named = reference.outcome({})
    if not any(m.off for m in named.values()):
        return [_finding(case, q, m, _inside(m, case)) for q, m in named.items()]
    reference = Reference(case, got, widest=True)
    named = reference.outcome({})
    branches = reference.branches() if any(m.off for m in named.values()) else []
    other = _explained(reference, branches) if branches else _Explanation({}, named)
    middle = reach(reference.passed, branches) if branches else {}
    opened = reference.outcome({b.step.name: b.rule("right", "even") for b in branches})
    evidence = dict(float64()) if float64 and any(m.off for m in named.values()) else None
    found, accused = [], {}
    for q, m in named.items():
        away = other.outcome[q]
        if not m.off:
            verdict = _inside(m, case)
        elif not away.off:
            m, verdict = away, other.verdict
        else:
            best = min((m, away), key=lambda one: one.furthest)
            unknown = _undecided(q, m, middle, other, opened[q].bound)
            verdict = unknown or _accused(q, best, evidence, case)
            verdict = _with_kinks(verdict, q, middle, branches)
        if verdict[0] is Verdict.MISMATCH:
            accused[q] = best
        found.append(_finding(case, q, m, verdict))
    if accused:
        accused = {q: m for q, m in accused.items() if is_distinct(case.precision, q, float64)}
        why = named_alternatives(case, got, accused, other.ops)
        found = [
            as_convention(f, why[f.quantity], allow) if f.quantity in why else f for f in found
        ]
        found = _with_mistakes(case, found, named, middle, branches)
        right = {q: m for q, m in named.items() if not m.off}
        found = of_one_network(found, why, right, other.ops)
    wrong = {f.quantity: other.outcome[f.quantity] for f in found if f.parity is False}
    return in_coarser_arithmetic(case, got, found, wrong, evidence) if wrong else found


def _with_mistakes(
    case: Case,
    found: list[Finding],
    named: Mapping[Quantity, Measured],
    middle: Mapping[str, Any],
    branches: list[Branches],
) -> list[Finding]:
    """Name the one mistake that gives all results, in the notes of those that are wrong."""
    if not any(f.verdict is Verdict.MISMATCH for f in found):
        return found
    reasons = whole_mistakes(case, named)
    notes = {
        q: _with_kinks((Verdict.MISMATCH, reason), q, middle, branches)[1]
        for q, reason in reasons.items()
    }
    return [
        replace(f, note=notes[f.quantity])
        if f.quantity in notes and f.verdict is Verdict.MISMATCH
        else f
        for f in found
    ]


@dataclass(frozen=True)
class _Explanation:
    """The best choice at the kinks, what it leaves, and how to put it.

    `settled` : every other choice is worse.
    """

    ops: Mapping[str, Chosen]
    outcome: dict[Quantity, Measured]
    verdict: tuple[Verdict, str] = (Verdict.SUBGRADIENT, "")
    settled: bool = False


def _score(outcome: Mapping[Quantity, Measured]) -> tuple[int, int]:
    return sum(m.off for m in outcome.values()), sum(int(m.outside.sum()) for m in outcome.values())


def _explained(reference: Reference, branches: list[Branches]) -> _Explanation:
    """The network's choice on the implementation's own branches, named ones, then any in [0, 1]."""
    flips = sum(b.flips for b in branches)
    rules: dict[str, tuple[str, str]] = {b.step.name: (NETWORK, NETWORK) for b in branches}
    side = f"{flips} units on the other side of a kink by rounding, as its own values show"
    best = _taken(reference, branches, rules)
    best = replace(best, verdict=(Verdict.ROUNDING, side))
    if any(b.exact.any() for b in branches):
        for one in _named_rules(branches, rules):
            if not _score(best.outcome)[0]:
                break
            tried = _taken(reference, branches, one)
            if _score(tried.outcome) < _score(best.outcome):
                best, rules = tried, one
    if not _score(best.outcome)[0]:
        return best
    return _solved(reference, branches, best) or best


def _named_rules(
    branches: list[Branches], network: Mapping[str, tuple[str, str]]
) -> Iterator[dict[str, tuple[str, str]]]:
    """One convention for all ops, then one for each kind of op while the rest stay as they are."""
    ties = any(b.ties for b in branches)
    slopes = any(not b.ties for b in branches)
    rules = [r for r in RULES if (ties or r[1] == "first") and (slopes or r[0] == "left")]
    for rule in rules:
        yield dict.fromkeys(network, rule)
    kinds = {repr(b.step.op): [] for b in branches}  # type: dict[str, list[str]]
    for b in branches:
        kinds[repr(b.step.op)].append(b.step.name)
    if len(kinds) > 1:
        for names in kinds.values():
            for rule in rules:
                yield {**network, **dict.fromkeys(names, rule)}


def _taken(
    reference: Reference, branches: list[Branches], rules: Mapping[str, tuple[str, str]]
) -> _Explanation:
    ops = {b.step.name: b.rule(*rules[b.step.name]) for b in branches}
    words = {
        f"{b.step.name}: {rules[b.step.name][1 if b.ties else 0]}"
        for b in branches
        if b.exact.any() and rules[b.step.name][0] != NETWORK
    }
    note = f"explained by another choice at the kinks, at {', '.join(sorted(words))}"
    return _Explanation(ops, reference.outcome(ops), (Verdict.SUBGRADIENT, note))


def _solved(
    reference: Reference, branches: list[Branches], best: _Explanation
) -> _Explanation | None:
    """Multipliers found by least squares, if they are few."""
    gradients = {
        q: m
        for q, m in best.outcome.items()
        if q.is_gradient and not q.target and not np.any(m.undecidable) and np.isfinite(m.got).all()
    }
    found = solve(
        reference.case,
        reference.passed,
        branches,
        best.ops,
        {q: m.got - m.want for q, m in gradients.items()},
        {q: np.maximum(m.bound, SMALLEST) for q, m in gradients.items()},
    )
    if found is None:
        return None
    exact = any(b.exact.any() for b in branches)
    verdict = Verdict.SUBGRADIENT if exact else Verdict.ROUNDING
    where = "at" if exact else "within rounding of"
    note = f"explained by the slopes of {found.count} units {where} a kink, found by least squares"
    outcome = reference.outcome(found.ops)
    if _score(outcome) > _score(best.outcome):
        return replace(best, settled=found.settled)
    return _Explanation(found.ops, outcome, (verdict, note), found.settled)


RETURN_VALUES = (
    'it may be the kinks: return "value ..." of the kinked ops\' inputs too or a Trace, or try '
    "another seed or float64"
)


def _undecided(
    q: Quantity, m: Measured, middle: Mapping[str, Any], other: _Explanation, opened: Array
) -> tuple[Verdict, str] | None:
    """Whether some choice at the kinks, tried or not, could explain the deviation.

    `opened` is the bound where every unit at a kink passes its gradient on: a slope of zero lets no
    rounding through either.
    """
    interval = middle[q.name] if q.is_gradient_by(middle) else None
    best = other.outcome[q]
    furthest = replace(best, bound=np.maximum(best.bound, opened)).furthest
    if interval is None or (other.settled and furthest > UNFIT):
        return None
    with np.errstate(all="ignore"):
        room = np.maximum(m.bound, opened) + (1 + 1 / SIGMAS) * interval.full_error()
        possible = (np.abs(m.got - interval.value) <= room) | m.undecidable
    return (Verdict.INCONCLUSIVE, RETURN_VALUES) if possible.all() else None


def _with_kinks(
    verdict: tuple[Verdict, str], q: Quantity, middle: Mapping[str, Any], branches: list[Branches]
) -> tuple[Verdict, str]:
    """A mismatch that units at a kink have a part in says so."""
    interval = middle[q.name] if q.is_gradient_by(middle) else None
    if verdict[0] is not Verdict.MISMATCH or interval is None or not np.any(interval.error):
        return verdict
    at = [f"{int(b.exact.sum())} at {b.step.name}" for b in branches if b.exact.any()]
    if not at:
        return verdict
    said = f"no valid choice explains it at the units that are exactly at a kink ({', '.join(at)})"
    return verdict[0], "; ".join(filter(None, (verdict[1], said)))


def _accused(
    q: Quantity, m: Measured, evidence: Mapping[str, Finding] | None, case: Case
) -> tuple[Verdict, str]:
    """Beyond the bound, and no kink explains it: a fault, unless float64 knows better."""
    shown = m.got, m.want, m.bound
    words = hint(*shown) or where_it_is_wrong(*shown)
    if not np.isfinite(m.got[~m.undecidable]).all():
        return Verdict.MISMATCH, words
    sigmas = f"{SIGMAS * m.furthest:.3g} sigma"
    if _by_fast_products(q, m, evidence, case):
        return Verdict.ROUNDING, f"{sigmas}, as Strassen, Winograd or FFT products can be off"
    other = evidence.get(q) if evidence else None
    if other is not None and other.verdict.parity:
        alone = _stands_out(m)
        if m.furthest <= UNUSUAL and alone:
            return Verdict.INCONCLUSIVE, f"{sigmas}, far more than the rest; right in float64"
        if m.furthest <= UNUSUAL:
            return Verdict.ROUNDING, f"{sigmas} for a usual order of summation; right in float64"
        said = f"{sigmas} off; right in float64"
        if alone or m.error.max() > SMALL * np.abs(m.want).max():
            return Verdict.MISMATCH, "; ".join(filter(None, (words, said)))
        return Verdict.IMPRECISE, said
    if other is not None and other.verdict.parity is False:
        return Verdict.MISMATCH, "; ".join(filter(None, (words, "wrong in float64 too")))
    if m.furthest <= UNUSUAL and m.vacuous:
        return Verdict.VACUOUS, "the signal is below its own bound; what was returned is rounding"
    if m.furthest <= UNUSUAL:
        return Verdict.INCONCLUSIVE, f"{sigmas} off, as an unusual order of summation can be"
    return Verdict.MISMATCH, words


def _by_fast_products(
    q: Quantity, m: Measured, evidence: Mapping[str, Finding] | None, case: Case
) -> bool:
    """Whether the errors are as far off, and scatter, as products by a fast algorithm give them."""
    name = case.precision.name
    if name not in ("float64", "float32") or m.furthest > UNUSUAL or m.average > 1.0 or m.vacuous:
        return False
    other = evidence.get(q) if evidence else None
    if name == "float32" and (other is None or other.verdict.parity is not True):
        return False
    return has_products(case.network) and is_scattered(m.got, m.want, m.bound)


def _stands_out(m: Measured) -> bool:
    """Whether few elements are off by far more than the rest: rounding scatters in all of them."""
    if len(np.unique(m.want)) < MINIMUM_SAMPLE:
        return False  # equal elements are rounded alike
    return bool(m.ratio.max() > STANDS_OUT * float(np.median(m.ratio)))


def _inside(m: Measured, case: Case) -> tuple[Verdict, str]:
    verdict = m.verdict(case.precision)
    if verdict is Verdict.INCONCLUSIVE:
        return verdict, no_bound(m.want, case.precision.largest)
    return verdict, SILENT if verdict is Verdict.VACUOUS else ""


def _unknowable(case: Case, q: Quantity, got: NDArray) -> Finding:
    note = "an op draws numbers of its own, which only a Trace shows"
    zero = np.zeros(got.shape)
    return _finding(case, q, Measured(got, got, zero, zero), (Verdict.INCONCLUSIVE, note))


def _finding(case: Case, q: Quantity, m: Measured, verdict: tuple[Verdict, str]) -> Finding:
    return m.finding(
        q,
        _owner(case, q),
        verdict[0],
        case.precision.unit,
        note=verdict[1],
        power=m.power() if verdict[0].parity else None,
        final=q.is_gradient_by(case.finals),
    )


def _owner(case: Case, q: Quantity) -> tuple[str, str]:
    """The node that owns a quantity, and its op; a value's gradient is of all that follows it."""
    network = case.network
    for step in network.steps:
        made = {Quantity.use(network, edge) for edge in step.edges if edge is not None}
        if q in made or q in map(Quantity.value, step.values):
            return step.name, as_written(step.op)
    return q.name, WHOLE
