"""Two numbers that differ, written so that it shows."""

from __future__ import annotations

__all__ = ["apart_in_words", "times_in_words"]

#: The digits that tell any two numbers in float64 apart.
ALL = 17


def apart_in_words(one: float, other: float, digits: int = 4) -> tuple[str, str]:
    """Two numbers with so many digits, or with as many more as it takes to tell them apart.

    >>> apart_in_words(0.9, 0.89999)
    ('0.9', '0.89999')
    """
    for n in range(digits, ALL):
        if f"{one:.{n}g}" != f"{other:.{n}g}":
            break
    else:
        n = ALL if one != other else digits
    return f"{one:.{n}g}", f"{other:.{n}g}"


def times_in_words(times: float, digits: int = 6) -> str:
    """A factor other than 1.

    >>> times_in_words(1.00000002), times_in_words(2.0)
    ('1.00000002', '2')
    """
    return apart_in_words(times, 1.0, digits)[0]
