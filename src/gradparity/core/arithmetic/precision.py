"""The number formats an implementation may compute in, by name.

Low precision has two roundoffs: sums and matrix products are accumulated with more digits than the
result is stored with.  Reduced matmul precision (TF32) is float32 with a third: the operands of
matrix products are rounded first.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from .received import received

__all__ = ["PRECISIONS", "Precision", "precisions", "rounded_to"]


@dataclass(frozen=True)
class Precision:
    """A number format, and what is computed with more or fewer digits than it has.

    Parameters
    ----------
    name : "float64", "float32", "float16", "bfloat16" or "tf32".
    dtype : the NumPy dtype that stores it; bfloat16 is stored as float32.
    digits : bits of the significand, the implicit one included; the unit roundoff is 2^-digits.
    sums : the same of partial sums, inside sums and matrix products.
    factors : the same of the operands of matrix products.
    tiny : what may be lost as zero: the smallest normal number (XLA flushes what is below); for
        float16, which nobody flushes, the smallest of all.
    largest : the largest finite number.

    >>> Precision.of("bfloat16").round(np.float32(3.14159))
    np.float32(3.140625)
    """

    name: str
    dtype: np.dtype[Any]
    digits: int
    sums: int
    factors: int
    tiny: float
    largest: float

    @property
    def unit(self) -> float:
        """Unit roundoff."""
        return 2.0**-self.digits

    @classmethod
    def of(cls, given: Any) -> Precision:
        """Look up a precision by name or NumPy dtype; a `Precision` is returned as it is.

        Raises
        ------
        ValueError : no such format; the message lists them.

        >>> Precision.of("float32").unit == 2.0**-24
        True
        """
        if isinstance(given, Precision):
            return given
        name = str(getattr(given, "__name__", given))  # np.float32 and jnp.bfloat16 are classes
        if name in PRECISIONS:
            return PRECISIONS[name]
        try:
            dtype = np.dtype(given)
        except (TypeError, ValueError, DeprecationWarning):
            dtype = np.dtype(object)
        if dtype.name in PRECISIONS:
            return PRECISIONS[dtype.name]
        if dtype.kind != "f":
            raise ValueError(
                f"precision {received(given)} is unknown; give any of {tuple(PRECISIONS)}"
            )
        return _native(dtype.name, dtype)  # longdouble

    def round(self, x: Any) -> Any:
        """The nearest number of this format, ties to even; as `dtype`."""
        with np.errstate(over="ignore"):
            x = np.asarray(x).astype(self.dtype)[()]
        native = np.finfo(self.dtype).nmant + 1
        return x if self.digits == native else rounded_to(x, self.digits)


def precisions(given: Any) -> list[Precision]:
    """Formats that can be judged, by name or dtype, one or several: float64 first, each once.

    Raises
    ------
    ValueError : none was given, or one that cannot be judged.

    >>> [p.name for p in precisions(["float32", np.float64])]
    ['float64', 'float32']
    """
    alone = isinstance(given, str | type | np.dtype | Precision)
    if not alone and not isinstance(given, Iterable):
        raise ValueError(f"dtypes is {received(given)}; give any of {tuple(PRECISIONS)}")
    several = [given] if alone else list(given)
    if any(each is None for each in several):
        raise ValueError(f"dtype None cannot be judged; give any of {tuple(PRECISIONS)}")
    names = [Precision.of(each).name for each in several]
    unknown = [each for each, name in zip(several, names, strict=True) if name not in PRECISIONS]
    if unknown or not several:
        said = f"dtype {received(unknown[0])} cannot be judged" if unknown else "no dtype was given"
        raise ValueError(f"{said}; give any of {tuple(PRECISIONS)}")
    return [precision for name, precision in PRECISIONS.items() if name in names]


def rounded_to(x: Any, digits: int, mode: str = "nearest") -> Any:
    """A float32 array rounded to fewer digits: "nearest" (ties to even), or "toward zero".

    Both are exact, by integer arithmetic on the bits; NaN and infinities stay.

    >>> rounded_to(np.float32([1 + 2**-11, 1 + 2**-10 + 2**-11]), 11).tolist()
    [1.0, 1.001953125]
    """
    x = np.asarray(x, dtype=np.float32)
    drop = 24 - digits
    bits = x.view(np.uint32)
    half = np.uint32((1 << (drop - 1)) - 1)
    if mode == "nearest":
        odd = (bits >> np.uint32(drop)) & np.uint32(1)
        kept = bits + half + odd
    elif mode == "toward zero":
        kept = bits
    else:
        raise ValueError(f"mode is {received(mode)}; give 'nearest' or 'toward zero'")
    kept = kept & np.uint32(0xFFFFFFFF << drop & 0xFFFFFFFF)
    return np.where(np.isfinite(x), kept.view(np.float32), x)[()]


def _native(name: str, dtype: Any, **other: Any) -> Precision:
    dtype = np.dtype(dtype)
    info = np.finfo(dtype)
    digits = int(info.nmant) + 1
    own = {"sums": digits, "factors": digits, "tiny": float(info.tiny), "largest": float(info.max)}
    return Precision(name, dtype, **{"digits": digits, **own, **other})


#: Every format that can be judged, most precise first.
PRECISIONS = {
    p.name: p
    for p in (
        _native("float64", np.float64),
        _native("float32", np.float32),
        _native("tf32", np.float32, factors=11),
        _native("float16", np.float16, sums=24, tiny=2.0**-24),
        _native("bfloat16", np.float32, digits=8, factors=8, largest=(2 - 2.0**-7) * 2.0**127),
    )
}
