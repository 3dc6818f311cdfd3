"""Results of another dtype than the case's: which can be judged all the same, and what to say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...core.arithmetic.arrays import NDArray
from ...core.arithmetic.precision import PRECISIONS, Precision
from ...core.network.case import Case
from ...core.network.quantity import Quantity
from ..findings.finding import Finding, Verdict

__all__ = ["DTYPE", "beyond_half", "finding_of_dtypes", "is_coarser", "is_finer", "wrong_dtype"]

#: The quantity of the finding about results of another dtype.
DTYPE = Quantity("dtype")


def is_finer(dtype: np.dtype[Any], case: Case) -> bool:
    """Whether a float dtype has more digits than the dtype that stores the case.

    >>> from gradparity.core import *
    >>> case = Case.random(layered([Affine(3, 2)], L2()), dtype="float32")
    >>> [is_finer(np.dtype(name), case) for name in ("float64", "float32", "float16", "int64")]
    [True, False, False, False]
    """
    return dtype.kind == "f" and np.finfo(dtype).nmant > np.finfo(case.dtype).nmant


def is_coarser(dtype: np.dtype[Any], case: Case) -> bool:
    """Whether a dtype that can be judged has fewer digits than the dtype that stores the case."""
    own = PRECISIONS.get(dtype.name)
    return own is not None and own.digits <= np.finfo(case.dtype).nmant


def wrong_dtype(got: np.dtype[Any], case: Case) -> str:
    """Say what dtype results have, what was expected, and what to do."""
    p = case.precision.name
    stored = "" if p == case.dtype.name else f", which {p} is stored as"
    return f"dtype {got}, expected {case.dtype}{stored}; {_remedy(got, case.dtype)}"


def beyond_half(found: Finding, case: Case, dtype: np.dtype[Any]) -> bool:
    """Whether an error in the case's precision exceeds half of the digits of a coarser dtype."""
    off = found.error * case.precision.unit
    return not off <= 2.0 ** (-Precision.of(dtype).digits / 2)


def finding_of_dtypes(
    case: Case, unfit: Mapping[Quantity, NDArray], given: Mapping[Quantity, NDArray]
) -> list[Finding]:
    """One finding for each wrong dtype, whichever and however many the results are.

    Parameters
    ----------
    case : the case, in the precision that was asked for.
    unfit : every result of another dtype.
    given : every result whose numbers are judged.
    """
    found: list[Finding] = []
    for dtype in dict.fromkeys(array.dtype for array in unfit.values()):
        names = [q for q, array in unfit.items() if array.dtype == dtype]
        who = names[0] if len(names) == 1 else f"{len(names)} of {len(given)} results"
        who += " has" if len(names) == 1 else f", such as {names[0]}, have"
        said = f"{who} {wrong_dtype(dtype, case)}"
        # Findings are known by their quantities, so a second dtype has another name.
        name = DTYPE if not found else Quantity(f"{DTYPE} {dtype}")
        found.append(Finding(name, "", "", Verdict.MISMATCH, 0, note=said))
    return found


def _remedy(got: np.dtype[Any], expected: np.dtype[Any]) -> str:
    """The remedy for a result of another dtype."""
    if got.kind == "O":
        return f"convert it to an array of numbers, such as with .astype(np.{expected})"
    do = "compute in the dtype of x and the parameters"
    jax = " (JAX has float64 only inside jax.enable_x64(True))"
    return do + jax * ({got, expected} == {np.dtype("float32"), np.dtype("float64")})
