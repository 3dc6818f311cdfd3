"""Whether the errors of a tensor scatter over it, as those of an arithmetic do."""

from __future__ import annotations

import numpy as np

from ...core.arithmetic.arrays import Array

__all__ = ["MINIMUM", "is_scattered"]

#: Minimum number of elements: fewer do not show how errors are distributed.
MINIMUM = 64
#: The largest error is at most so many times the k-th largest, k = max(KTH, 1 % of the elements).
TAIL, KTH = 5.0, 8
#: The errors of a row or column are at most so many times those of the median one.
LINE = 3.0
#: Least share of either sign among the larger errors.
SHARE = 0.25
#: Largest cosine of the angle between the errors and the values, which a common factor makes 1.
COSINE = 0.5


def is_scattered(got: Array, want: Array, bound: Array, slack: float = 1.0) -> bool:
    """Whether no element, row or column stands out, signs are mixed, and no factor is common.

    Errors are compared in units of `bound`.  An element, row or column may stand out by `slack`
    times more than is usual.

    >>> rng = np.random.default_rng(0)
    >>> want, noise = rng.standard_normal((2, 16, 16))
    >>> is_scattered(want + 1e-9 * noise, want, np.ones(1)), is_scattered(1.1 * want, want, 1.0)
    (True, False)
    """
    got, want = np.asarray(got, np.float64), np.asarray(want, np.float64)
    with np.errstate(all="ignore"):
        errors = (got - want) / np.asarray(bound)
        values = want / np.asarray(bound)
    if errors.size < MINIMUM or not (np.isfinite(errors).all() and np.isfinite(values).all()):
        return False
    sizes = np.abs(errors)
    largest = float(sizes.max())
    k = max(KTH, sizes.size // 100)
    if largest == 0.0 or largest > slack * TAIL * float(np.sort(sizes, axis=None)[-k]):
        return False
    for axis, length in enumerate(errors.shape if errors.ndim > 1 else ()):
        others = tuple(i for i in range(errors.ndim) if i != axis)
        lines = np.sqrt(np.mean(np.square(errors / largest), axis=others))
        if length > 1 and float(lines.max()) > slack * LINE * float(np.median(lines)):
            return False
    positive = float(np.mean(errors[sizes >= np.median(sizes)] > 0.0))
    unit = errors / largest, values / max(float(np.abs(values).max()), 1e-300)
    norms = float(np.linalg.norm(unit[0]) * np.linalg.norm(unit[1]))
    alike = abs(float(np.sum(unit[0] * unit[1]))) > COSINE * norms
    return SHARE <= positive <= 1.0 - SHARE and not alike
