"""Name coarser arithmetic as the one cause of all final results that are off.

float32 arithmetic inside a float64 run, or matrix products in bfloat16 inside a float32 run.
"""

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

__all__ = ["IN_BFLOAT16", "IN_FLOAT32", "in_coarser_arithmetic"]

#: The notes of every result that these arithmetics explain.
IN_FLOAT32, IN_BFLOAT16 = "as far off as float32 arithmetic is", "matrix products in bfloat16"
#: An error that is this much smaller in float64 is one of precision.
SMALLER = 1e-3
#: The unit roundoff of float64, in which errors of its findings are.
UNIT64 = 2.0**-53


def in_coarser_arithmetic(
    case: Case,
    got: Mapping[Quantity, NDArray],
    findings: Sequence[Finding],
    wrong: Mapping[Quantity, Measured],
    float64: Mapping[str, Finding] | None,
) -> list[Finding]:
    """The findings, with the coarser arithmetic named where it explains all that is wrong.

    Parameters
    ----------
    findings : of all results.
    wrong : the results without parity, measured against the formulas.
    float64 : findings of the same implementation in float64, where errors have to be far smaller.
    """
    known = {f.quantity: f for f in findings}
    if any(known[q].verdict is Verdict.CONVENTION for q in wrong):
        return list(findings)
    if case.precision.name == "float64":
        unknown = not any(known[q].note for q in wrong)  # nothing else explains one of them
        told = {"note": IN_FLOAT32} if unknown and _explains(_float32(case, got), wrong) else {}
    else:
        smaller = all(_is_smaller_in_float64(q, m, float64 or {}) for q, m in wrong.items())
        asked = smaller and case.precision.name == "float32" and has_products(case.network)
        coarse = Reference(case, got, widest=True, products="bfloat16") if asked else None
        fits = coarse is not None and _explains(coarse, wrong)
        told = {"note": IN_BFLOAT16, "verdict": Verdict.IMPRECISE} if fits else {}
    return [replace(f, **told) if f.quantity in wrong else f for f in findings]  # type: ignore[arg-type]


def _float32(case: Case, got: Mapping[Quantity, NDArray]) -> Reference:
    """The reference of an implementation that computes in float32 whatever it is given."""
    return Reference(case.astype("float32"), got, widest=True)


def _explains(coarse: Reference, wrong: Mapping[Quantity, Measured]) -> bool:
    """Whether all that is wrong is inside the bounds of an arithmetic, and scatters."""
    outcome = coarse.outcome({})
    there = [outcome[q] for q in wrong]
    if any(m.off or np.any(m.undecidable) for m in there):
        return False
    got = np.concatenate([(m.got / m.bound).ravel() for m in there])
    want = np.concatenate([(m.want / m.bound).ravel() for m in there])
    alone = any(is_scattered(m.got, m.want, m.bound) for m in there)
    return alone or is_scattered(got, want, 1.0)


def _is_smaller_in_float64(q: Quantity, m: Measured, float64: Mapping[str, Finding]) -> bool:
    found = float64.get(q)
    if found is None or found.verdict is Verdict.CONVENTION:
        return False
    here = float(np.max(m.error)) / max(m.largest, 1e-300)
    return found.parity is True or found.error * UNIT64 < SMALLER * here
