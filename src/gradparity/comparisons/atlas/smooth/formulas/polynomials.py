"""Orthogonal polynomials of degree 3."""

from __future__ import annotations

from typing import Any

from .formula import Formula, smooth

__all__ = ["POLYNOMIALS"]


def _polynomial(*coefficients: int, over: int = 1, shifted: bool = False) -> Formula:
    """A polynomial, the highest power first; `shifted` : of 2 x - 1."""
    inner = 2 if shifted else 1
    powers = range(len(coefficients) - 1, 0, -1)
    slopes = [inner * n * c for n, c in zip(powers, coefficients, strict=False)]

    def of(terms: Any) -> Any:
        return lambda m, x: m.polyval(terms, 2 * x - 1 if shifted else x) / over

    return smooth(of(list(coefficients)), of(slopes))


#: Chebyshev's of the first to the fourth kind, by the last letter of their names.
CHEBYSHEV = {"t": (4, 0, -3, 0), "u": (8, 0, -4, 0), "v": (8, -4, -4, 1), "w": (8, 4, -4, -1)}

POLYNOMIALS = {
    **{f"chebyshevpolynomial{kind}(x, 3)": _polynomial(*c) for kind, c in CHEBYSHEV.items()},
    **{f"shiftedchebyshevpolynomial{kind}(x, 3)": _polynomial(*c, shifted=True)
       for kind, c in CHEBYSHEV.items()},
    "hermitepolynomialh(x, 3)": _polynomial(8, 0, -12, 0),
    "hermitepolynomialhe(x, 3)": _polynomial(1, 0, -3, 0),
    "laguerrepolynomiall(x, 3)": _polynomial(-1, 9, -18, 6, over=6),
    "legendrepolynomialp(x, 3)": _polynomial(5, 0, -3, 0, over=2),
}  # fmt: skip
