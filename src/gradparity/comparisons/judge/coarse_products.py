"""Name matrix products in bfloat16 as the one cause of all final results that are off."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from ...core.arithmetic.arrays import NDArray
from ...core.network.case import Case
from ...core.network.quantity import Quantity
from ..explain.products import has_products
from ..findings.finding import Finding, Verdict
from ..measure.end_to_end import Reference
from ..measure.measured import Measured
from ..measure.scatter import is_scattered

__all__ = ["IN_BFLOAT16", "in_bfloat16"]

#: The note of every result that this arithmetic explains.
IN_BFLOAT16 = "matrix products in bfloat16"
#: An error that is this much smaller in float64 is one of precision.
SMALLER = 1e-3
#: The unit roundoff of float64, in which errors of its findings are.
UNIT64 = 2.0**-53


def in_bfloat16(
    case: Case,
    got: Mapping[Quantity, NDArray],
    findings: Sequence[Finding],
    wrong: Mapping[Quantity, Measured],
    float64: Mapping[str, Finding] | None,
) -> list[Finding]:
    """The findings of a float32 case, with this arithmetic named where it explains all results.

    Parameters
    ----------
    findings : of all results.
    wrong : the results without parity, measured against the formulas.
    float64 : findings of the same implementation in float64, where errors have to be far smaller.
    """
    accused = {q: m for q, m in wrong.items() if _is_smaller_in_float64(q, m, float64 or {})}
    known = {f.quantity: f for f in findings}
    alone = not accused or len(accused) < len(wrong) or case.precision.name != "float32"
    if alone or any(known[q].verdict is Verdict.CONVENTION for q in wrong):
        return list(findings)
    if not has_products(case.network):
        return list(findings)
    coarse = Reference(case, got, widest=True, products="bfloat16").outcome({})
    there = {q: coarse[q] for q in wrong}
    scattered = any(is_scattered(m.got, m.want, m.bound) for m in there.values())
    if not scattered or any(m.off or np.any(m.undecidable) for m in there.values()):
        return list(findings)
    return [
        replace(f, verdict=Verdict.IMPRECISE, note=IN_BFLOAT16) if f.quantity in wrong else f
        for f in findings
    ]


def _is_smaller_in_float64(q: Quantity, m: Measured, float64: Mapping[str, Finding]) -> bool:
    found = float64.get(q)
    if found is None or found.verdict is Verdict.CONVENTION:
        return False
    here = float(np.max(m.error)) / max(m.largest, 1e-300)
    return found.parity is True or found.error * UNIT64 < SMALLER * here
