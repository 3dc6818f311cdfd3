"""Run lines of Python that show a wrong result, and compare them with an independent truth."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from ...core.arithmetic.precision import Precision
from ..atlas.smooth.errors import errors, threshold
from ..atlas.smooth.formulas.vectors import VECTORS, WEIGHTS
from ..atlas.smooth.truth import FORMULAS, Truth

__all__ = [
    "exactly", "printed", "run", "told_apart", "true_again", "vector_true_again", "wrong_by",
]  # fmt: skip

#: Digits of the truth, twice as many as the atlas takes, where numbers are ordinary and elsewhere.
DIGITS, FAR_DIGITS = 180, 2400
ORDINARY = 1e-12, 1e12
#: Digits that a table shows where two results differ in them, and all that float64 has.
SHOWN_DIGITS, ALL_DIGITS = 5, 17


class Printed(NamedTuple):
    """The two things that a line prints."""

    got: Any
    true: Any


def run(code: str) -> Printed | None:
    """Run a line of Python in a namespace of its own and return its results; None if it raises."""
    said: list[tuple[Any, ...]] = []
    try:
        with _settings_kept(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exec(compile(code, "<find>", "exec"), {"print": lambda *each: said.append(each)})
    except Exception:  # frameworks raise anything for what they do not support
        return None
    return Printed(*said[0]) if len(said) == 1 and len(said[0]) == 2 else None


def printed(x: Any, digits: int = SHOWN_DIGITS) -> str:
    """A result as a table shows it.

    >>> printed(-1.639127e-07), printed([0.5, float("nan")])
    ('-1.6391e-07', '0.5 nan')
    """
    if isinstance(x, list | tuple):
        return " ".join(printed(each, digits) for each in x)
    return x if isinstance(x, str) else f"{x + 0.0:.{digits}g}"


def told_apart(got: Any, true: Any) -> tuple[str, str]:
    """Two results as a table shows them, with as many digits as it takes to see that they differ.

    >>> told_apart(1.0, 0.9999999979), told_apart(0.0, -1.0444e-07)
    (('1', '0.999999998'), ('0', '-1.0444e-07'))
    """
    for digits in range(SHOWN_DIGITS, ALL_DIGITS + 1):
        both = printed(got, digits), printed(true, digits)
        if both[0] != both[1]:
            break
    return both


def exactly(true: float) -> str:
    """Python of a true result, with all digits that float64 has.

    >>> exactly(1 / 3), exactly(-np.inf)
    ('0.33333333333333331', "float('-inf')")
    """
    return f"{true:.{ALL_DIGITS}g}" if np.isfinite(true) else f"float('{true}')"


@contextmanager
def _settings_kept() -> Iterator[None]:
    """Lines of JAX may switch 64 bits on."""
    jax: Any = sys.modules.get("jax")
    before = None if jax is None else jax.config.jax_enable_x64
    try:
        yield
    finally:
        if (jax := sys.modules.get("jax")) is not None:
            jax.config.update("jax_enable_x64", bool(before))


def true_again(name: str, quantity: str, x: float) -> Truth:
    """The true value with twice the digits; the slope by differences of values alone.

    >>> float(true_again("exp", "derivative", 0.0).nearest[0])
    1.0
    >>> float(true_again("sin", "value", np.pi).nearest[0])  # pi is rounded
    1.2246467991473532e-16
    """
    found = _true_with(DIGITS, name, quantity, x) if _ordinary(x) else None
    # A number as small as this may be what rounding left of an exact 0, such as sin(pi n).
    if found is None or (found and found.context.mag(found) < -found.context.prec // 2):
        found = _true_with(FAR_DIGITS, name, quantity, x)
    return Truth(np.array([np.nan]), np.array([0.0])) if found is None else _in_two(found)


def _ordinary(x: float) -> bool:
    return x == 0 or ORDINARY[0] < abs(x) < ORDINARY[1]


def _true_with(digits: int, name: str, quantity: str, x: float) -> Any:
    """A number of mpmath; None where the function has none."""
    import mpmath

    m = mpmath.MPContext()
    m.dps = digits
    value, at = FORMULAS[name].value, m.mpf(x)
    try:
        if quantity == "value":
            return m.mpf(value(m, at))
        h = (abs(at) or 1) * m.mpf(10) ** (-m.dps // 4)
        return (m.mpf(value(m, at + h)) - m.mpf(value(m, at - h))) / (2 * h)
    except (ArithmeticError, TypeError, ValueError):
        return None


def vector_true_again(name: str, quantity: str, v: Sequence[float], element: int) -> Truth:
    """As `true_again`, of an element of a vector's value, or of its gradient by the vector."""
    import mpmath

    m = mpmath.MPContext()
    m.dps = FAR_DIGITS
    at = [m.mpf(x) for x in v]

    def value(step: Any) -> Any:
        found = VECTORS[name].value(m, [x + step * (i == element) for i, x in enumerate(at)])
        if quantity == "value":
            return found[element]
        return (
            found[0] if len(found) == 1 else sum(w * y for w, y in zip(WEIGHTS, found, strict=True))
        )

    try:
        if quantity == "value":
            return _in_two(value(0))
        h = (abs(at[element]) or 1) * m.mpf(10) ** (-m.dps // 4)
        return _in_two((value(h) - value(-h)) / (2 * h))
    except (ArithmeticError, ValueError):
        return Truth(np.array([np.nan]), np.array([0.0]))


def _in_two(found: Any) -> Truth:
    nearest = float(found)
    rest = float(found - nearest) if np.isfinite(nearest) else 0.0
    return Truth(np.array([nearest]), np.array([rest]))


def wrong_by(got: float, truth: Truth, dtype: str) -> float:
    """The digits that a result loses; 0 where they are too few for a find, or nothing is known."""
    precision = Precision.of(dtype)
    lost = float(errors(np.array([got]), truth, precision).lost[0])
    return lost if lost >= threshold(precision) else 0.0
