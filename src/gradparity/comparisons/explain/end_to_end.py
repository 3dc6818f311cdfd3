"""Find the named alternative that explains final results which are wrong as asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from ...core.arithmetic.arrays import NDArray
from ...core.arithmetic.bounded import Bounded
from ...core.arithmetic.rounding import Rounding
from ...core.formulas.op import Op
from ...core.network.backprop import forward_pass
from ...core.network.case import Case
from ...core.network.quantity import Quantity
from ..findings.finding import Finding, Verdict
from ..measure.end_to_end import Reference, quantities
from ..measure.measured import Measured
from .allowed import REDUCTIONS, VALUES, Alternative, as_convention, is_allowed, is_determined
from .alternatives import TRANSPOSED, Transform, alternatives

__all__ = ["named_alternatives", "of_one_network", "with_layout"]


def named_alternatives(
    case: Case,
    got: Mapping[Quantity, NDArray],
    accused: Mapping[Quantity, Measured],
    ops: Mapping[str, Op],
) -> dict[Quantity, list[Alternative]]:
    """Alternatives by quantity, for those of the accused that one explains inside its own bound.

    `ops` are the choices at kinks that explained the results best.
    """
    found: dict[Quantity, list[Alternative]] = {}
    for alternative in alternatives(case, got):
        for q in _fitting(case, alternative.instead, got, accused, ops):
            found.setdefault(q, []).append(alternative)
    return found


def of_one_network(
    findings: Sequence[Finding],
    why: Mapping[Quantity, Sequence[Alternative]],
    right: Mapping[Quantity, Measured],
    ops: Mapping[str, Op],
) -> list[Finding]:
    """Accept an allowed other network only if it explains all results that it has to do with.

    Parameters
    ----------
    why : the alternatives of the findings that are conventions.
    right : results that are right for the network itself.
    ops : the choices at kinks.
    """
    groups: dict[str, list[Quantity]] = {}
    for f in findings:
        if f.declared and {*f.convention.split("+")} - REDUCTIONS - VALUES:
            groups.setdefault(f.convention, []).append(f.quantity)
    mixed = {q for group in groups.values() if _is_mixed(group, why, right, ops) for q in group}
    note = "; but other results are not of it: it has to explain all of them, or none"
    return [
        replace(f, declared=False, note=f.note + note) if f.quantity in mixed else f
        for f in findings
    ]


def _is_mixed(
    group: Sequence[Quantity],
    why: Mapping[Quantity, Sequence[Alternative]],
    right: Mapping[Quantity, Measured],
    ops: Mapping[str, Op],
) -> bool:
    """Whether no one network explains these results without contradicting those that are right."""
    if not all(isinstance(a.instead, Case) for q in group for a in why[q]):
        return False  # what is done to one gradient says nothing about the others
    got = {q: m.got for q, m in right.items() if not m.vacuous}
    shared = [a.instead for a in why[group[0]] if all(a in why[q] for q in group)]
    if not got:
        return not shared
    outcomes = (Reference(other, got, widest=True).outcome(ops) for other in shared)
    return all(any(m.off for m in outcome.values()) for outcome in outcomes)


def _fitting(
    case: Case,
    instead: Case | Transform,
    got: Mapping[Quantity, NDArray],
    accused: Mapping[Quantity, Measured],
    ops: Mapping[str, Op],
) -> list[Quantity]:
    if isinstance(instead, Case):
        near = _near(instead, accused)
        if not near:
            return []
        reference = Reference(instead, {q: got[q] for q in near}, widest=True)
        return [q for q, m in reference.outcome(ops).items() if _explains(m, accused[q])]
    rounding, fitting = Rounding.of(case.precision), []
    for q, m in accused.items():
        if not q.is_gradient_by(case.network.trained):
            continue
        other = instead(q.name, Bounded(m.want, m.bound, rounding))
        if other is None or other.shape != m.got.shape:
            continue
        found = Measured.of(m.got, other.value, other.full_error(), case.precision.largest)
        if _explains(found, m):
            fitting.append(q)
    return fitting


def _explains(other: Measured, accused: Measured) -> bool:
    """Whether a result is right for another reference, which says something about it."""
    if other.off or other.vacuous:
        return False
    return is_determined(other, accused.want, accused.outside)


def _near(case: Case, accused: Mapping[Quantity, Measured]) -> list[Quantity]:
    """The quantities worth the dearer question: those that one plain pass comes near to."""
    given = {n: a.astype(float) if a.dtype.kind == "f" else a for n, a in case.given.items()}
    plain = dict(quantities(forward_pass(case.network, given), {}, accused))
    close = case.precision.unit**0.5
    with np.errstate(all="ignore"):
        return [
            q
            for q, m in accused.items()
            if np.abs(m.got - plain[q]).max() <= close * np.abs(plain[q]).max()
        ]


def with_layout(
    findings: Sequence[Finding], turned: frozenset[Quantity], allow: Sequence[str]
) -> list[Finding]:
    """Name the layout of gradients that came as (out, in), beside another convention."""
    return [_turned(f, allow) if f.quantity in turned else f for f in findings]


def _turned(found: Finding, allow: Sequence[str]) -> Finding:
    layout = Alternative("transposed", None, f"it came as (out, in); {TRANSPOSED}")
    if found.parity and found.verdict is not Verdict.CONVENTION:
        return as_convention(found, [layout], allow)
    compared = "it came as (out, in), and was compared transposed"
    found = replace(found, note="; ".join(filter(None, (found.note, compared))))
    if found.verdict is Verdict.CONVENTION:
        name, both = f"transposed+{found.convention}", found.declared and is_allowed(layout, allow)
        return replace(found, convention=name, declared=both)
    return found
