"""erf and erfc of whole float64 arrays, each to one unit in the last place.

The rational approximations are those of FDLIBM (s_erf.c, Sun Microsystems 1993), which C libraries
use too; NumPy has none, and a call of `math.erf` for each element takes a hundred times as long.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

NDArray = npt.NDArray[Any]


__all__ = ["erf_of_floats", "erfc_of_floats"]

# Coefficients from the constant term up; those of denominators without their leading 1.
_ERX = 8.45062911510467529297e-01
_PP = (1.28379167095512558561e-01, -3.25042107247001499370e-01, -2.84817495755985104766e-02,
       -5.77027029648944159157e-03, -2.37630166566501626084e-05)  # fmt: skip
_QQ = (3.97917223959155352819e-01, 6.50222499887672944485e-02, 5.08130628187576562776e-03,
       1.32494738004321644526e-04, -3.96022827877536812320e-06)  # fmt: skip
_PA = (-2.36211856075265944077e-03, 4.14856118683748331666e-01, -3.72207876035701323847e-01,
       3.18346619901161753674e-01, -1.10894694282396677476e-01, 3.54783043256182359371e-02,
       -2.16637559486879084300e-03)  # fmt: skip
_QA = (1.06420880400844228286e-01, 5.40397917702171048937e-01, 7.18286544141962662868e-02,
       1.26171219808761642112e-01, 1.36370839120290507362e-02,
       1.19844998467991074170e-02)  # fmt: skip
_RA = (-9.86494403484714822705e-03, -6.93858572707181764372e-01, -1.05586262253232909814e01,
       -6.23753324503260060396e01, -1.62396669462573470355e02, -1.84605092906711035994e02,
       -8.12874355063065934246e01, -9.81432934416914548592e00)  # fmt: skip
_SA = (1.96512716674392571292e01, 1.37657754143519042600e02, 4.34565877475229228821e02,
       6.45387271733267880336e02, 4.29008140027567833386e02, 1.08635005541779435134e02,
       6.57024977031928170135e00, -6.04244152148580987438e-02)  # fmt: skip
_RB = (-9.86494292470009928597e-03, -7.99283237680523006574e-01, -1.77579549177547519889e01,
       -1.60636384855821916062e02, -6.37566443368389627722e02, -1.02509513161107724954e03,
       -4.83519191608651397019e02)  # fmt: skip
_SB = (3.03380607434824582924e01, 3.25792512996573918826e02, 1.53672958608443695994e03,
       3.19985821950859553908e03, 2.55305040643316442583e03, 4.74528541206955367215e02,
       -2.24409524465858183362e01)  # fmt: skip

#: Where one approximation ends and the next begins; beyond the last, erfc is 0.
_SMALL, _MIDDLE, _FAR, _GONE = 0.84375, 1.25, 1.0 / 0.35, 28.0


def _polynomial(x: NDArray, coefficients: tuple[float, ...]) -> NDArray:
    found = np.full_like(x, coefficients[-1])
    for c in coefficients[-2::-1]:
        found *= x
        found += c
    return found


def _quotient(x: NDArray, above: tuple[float, ...], below: tuple[float, ...]) -> NDArray:
    return _polynomial(x, above) / _polynomial(x, (1.0, *below))


def _tail(x: NDArray) -> NDArray:
    """erfc(x) for x >= 1.25."""
    s = 1.0 / (x * x)
    near = x < _FAR
    ratio = np.empty_like(x)
    ratio[near] = _quotient(s[near], _RA, _SA)
    ratio[~near] = _quotient(s[~near], _RB, _SB)
    high = (x.view(np.uint64) & np.uint64(0xFFFFFFFF00000000)).view(np.float64)
    return np.exp(-high * high - 0.5625) * np.exp((high - x) * (high + x) + ratio) / x


def _in_parts(x: Any, small: Any, middle: Any, far: Any) -> NDArray:
    """Each part of an array by its own function of x and |x|."""
    x = np.asarray(x, dtype=np.float64)
    flat = np.ascontiguousarray(x).reshape(-1)
    size = np.abs(flat)
    found = np.full_like(flat, np.nan)
    with np.errstate(all="ignore"):
        for part, f in (
            (size < _SMALL, small),
            ((size >= _SMALL) & (size < _MIDDLE), middle),
            (size >= _MIDDLE, far),
        ):
            if part.any():
                found[part] = f(flat[part], size[part])
    return found.reshape(x.shape)


def _far(of: Callable[[NDArray, NDArray], NDArray]) -> Callable[[NDArray, NDArray], NDArray]:
    def far(x: NDArray, size: NDArray) -> NDArray:
        return of(x, np.where(size < _GONE, _tail(np.minimum(size, _GONE)), 0.0))

    return far


def _erf_small(x: NDArray, size: NDArray) -> NDArray:
    tiny = size < 2.0**-28
    y = _quotient(x * x, _PP, _QQ)
    return np.where(tiny, x + 1.28379167095512586316e-01 * x, x + x * y)


def _erfc_small(x: NDArray, size: NDArray) -> NDArray:
    y = x * _quotient(x * x, _PP, _QQ)
    return np.where(x < 0.25, 1.0 - (x + y), 0.5 - (y + (x - 0.5)))


def _erf_middle(x: NDArray, size: NDArray) -> NDArray:
    return np.copysign(_ERX + _quotient(size - 1.0, _PA, _QA), x)


def _erfc_middle(x: NDArray, size: NDArray) -> NDArray:
    y = _quotient(size - 1.0, _PA, _QA)
    return np.where(x < 0, 1.0 + (_ERX + y), 1.0 - _ERX - y)


_erf_far = _far(lambda x, tail: np.copysign(1.0 - tail, x))
_erfc_far = _far(lambda x, tail: np.where(x < 0, 2.0 - tail, tail))


def erf_of_floats(x: Any) -> NDArray:
    """The error function, elementwise.

    >>> [f"{y:.6g}" for y in erf_of_floats([0.5, -1.0, 2.0])]
    ['0.5205', '-0.842701', '0.995322']
    """
    return _in_parts(x, _erf_small, _erf_middle, _erf_far)


def erfc_of_floats(x: Any) -> NDArray:
    """1 - erf(x), elementwise.

    >>> [f"{y:.6g}" for y in erfc_of_floats([0.0, 10.0])]
    ['1', '2.08849e-45']
    """
    return _in_parts(x, _erfc_small, _erfc_middle, _erfc_far)
