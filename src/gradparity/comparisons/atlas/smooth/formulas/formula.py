"""The record of one formula of the atlas: the function, its slope and where it is asked."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

__all__ = ["Formula", "Function", "smooth"]

#: A function of a context of mpmath and a number of it.
Function = Callable[[Any, Any], Any]


class Formula(NamedTuple):
    """A function of one number.

    Attributes
    ----------
    value, slope : of a context of mpmath and a number.
    low, high : the function is asked between these, exclusively.
    kinks : where it has no slope, or only a convention; nothing is asked there.
    """

    value: Function
    slope: Function
    low: float = -math.inf
    high: float = math.inf
    kinks: tuple[float, ...] = ()


def smooth(value: Function, slope: Function) -> Formula:
    """A formula that holds on the whole line."""
    return Formula(value, slope)
