"""Find the named alternative that explains final results which are wrong as asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ...core.arithmetic.arrays import NDArray
from ...core.arithmetic.bounded import Bounded
from ...core.arithmetic.rounding import Rounding
from ...core.formulas.op import Op
from ...core.network.backprop import backprop
from ...core.network.case import Case
from ...core.network.quantity import Quantity, by_quantity
from ..findings.finding import Finding, Verdict
from ..measure.end_to_end import Measured, Reference
from .alternatives import TRANSPOSED, Alternative, alternatives
from .at_node import declared

__all__ = ["Named", "named_alternatives", "renamed", "with_layout"]


class Named(NamedTuple):
    """The first alternative that fits a quantity, and whether any that fits was declared."""

    name: str
    said: str
    declared: bool


def named_alternatives(
    case: Case,
    got: Mapping[Quantity, NDArray],
    accused: Mapping[Quantity, Measured],
    ops: Mapping[str, Op],
    allow: Sequence[str],
) -> dict[Quantity, Named]:
    """By quantity, for those of the accused that an alternative explains inside its own bound.

    `ops` are the choices at kinks that explained the results best.
    """
    found: dict[Quantity, Named] = {}
    for alternative in alternatives(case, got):
        for q in _fitting(case, alternative, got, accused, ops):
            first = found.get(q, Named(alternative.name, alternative.said, False))
            was_meant = first.declared or declared(alternative, allow)
            found[q] = first._replace(declared=was_meant)
    return found


def _fitting(
    case: Case,
    alternative: Alternative,
    got: Mapping[Quantity, NDArray],
    accused: Mapping[Quantity, Measured],
    ops: Mapping[str, Op],
) -> list[Quantity]:
    if alternative.case is not None:
        near = _near(alternative.case, accused)
        if not near:
            return []
        reference = Reference(alternative.case, {q: got[q] for q in near}, ordered=True)
        return [q for q, m in reference.outcome(ops).items() if not m.off and not m.vacuous]
    assert alternative.transform is not None
    rounding, fitting = Rounding.of(case.precision), []
    for q, m in accused.items():
        if not q.is_gradient_by(case.network.trained):
            continue
        other = alternative.transform(q.name, Bounded(m.want, m.bound, rounding))
        if other is None or other.shape != m.got.shape:
            continue
        instead = Measured(m.got, other.value, np.asarray(other.full_error()))
        if not instead.off and not instead.vacuous:
            fitting.append(q)
    return fitting


def _near(case: Case, accused: Mapping[Quantity, Measured]) -> list[Quantity]:
    """The quantities worth the dearer question: those that one plain pass comes near to."""
    plain = by_quantity(backprop(case.astype("float64")))
    close = case.precision.unit**0.5
    with np.errstate(all="ignore"):
        return [
            q
            for q, m in accused.items()
            if np.abs(m.got - plain[q]).max() <= close * np.abs(plain[q]).max()
        ]


def renamed(found: Finding, why: Named) -> Finding:
    """The finding of a fault that has a name."""
    return replace(
        found,
        verdict=Verdict.CONVENTION,
        convention=why.name,
        declared=why.declared,
        note=why.said,
    )


def with_layout(
    findings: Sequence[Finding], turned: frozenset[Quantity], allow: Sequence[str]
) -> list[Finding]:
    """With those named that came as (out, in), and may be another convention besides."""
    said = f"it came as (out, in); {TRANSPOSED}"
    layout = Named("transposed", said, "transposed" in allow)
    return [_turned(f, layout) if f.quantity in turned else f for f in findings]


def _turned(found: Finding, layout: Named) -> Finding:
    if found.parity and found.verdict is not Verdict.CONVENTION:
        return renamed(found, layout)
    compared = "it came as (out, in), and was compared transposed"
    found = replace(found, note="; ".join(filter(None, (found.note, compared))))
    if found.verdict is Verdict.CONVENTION:
        name, meant = f"transposed+{found.convention}", found.declared and layout.declared
        return replace(found, convention=name, declared=meant)
    return found
