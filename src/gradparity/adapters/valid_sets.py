"""Sets of valid gradients at points where nothing can be measured beside the point."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Ball", "Box", "Singular", "Unjudged", "ValidSet"]


@dataclass(frozen=True)
class Box:
    """Valid gradients: each element between two numbers, and their sum too where it is limited.

    Bounds may be infinite; equal bounds leave one gradient.  NaN is never inside.

    >>> print(Box((0.0, 1.0), (0.0, 2.0)), "|", Box((0.0, 0.0), (1.0, 1.0), (1.0, 1.0)))
    0 [1, 2] | simplex
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    total: tuple[float, float] | None = None

    def contains(self, gradient: Any, near: float) -> bool:
        """Whether a gradient is inside, up to `near` relative to the bounds or to one."""
        low, high, g = (np.asarray(x, float) for x in (self.low, self.high, gradient))
        slack = near * max([1.0, *(abs(x) for x in (*low, *high) if np.isfinite(x))])
        if not ((low - slack <= g) & (g <= high + slack)).all():
            return False
        return self.total is None or bool(
            self.total[0] - slack * g.size <= g.sum() <= self.total[1] + slack * g.size
        )

    def __str__(self) -> str:
        ones = all(x == 0 for x in self.low) and set(self.high) <= {0.0, 1.0}
        if ones and self.total == (1.0, 1.0):
            return "simplex"
        said = [
            f"{a + 0.0:.3g}" if a == b else f"[{a + 0.0:.3g}, {b + 0.0:.3g}]"
            for a, b in zip(self.low, self.high, strict=True)
        ]
        said = said[:1] if len(set(said)) == 1 else said
        if self.total is None:
            return " ".join(said)
        a, b = self.total
        return " ".join(said) + " sum " + (f"{a:.3g}" if a == b else f"{a:.3g}..{b:.3g}")


@dataclass(frozen=True)
class Ball:
    """Valid gradients: those with a norm of this order up to `radius`.

    The subgradients of a norm at the zero vector are the unit ball of the dual order.  With
    `total`, the sum of the elements is that number: a standard deviation ignores a common shift.

    >>> print(Ball(2.0), "|", Ball(2.0, 0.5, 0.0))
    ball 2 | ball 2 r 0.5 sum 0
    """

    order: float
    radius: float = 1.0
    total: float | None = None

    def contains(self, gradient: Any, near: float) -> bool:
        """Whether a gradient is inside, up to `near` relative to the radius or to one."""
        g = np.asarray(gradient, float)
        slack = near * max(1.0, self.radius)
        if not np.isfinite(g).all() or np.linalg.norm(g, self.order) > self.radius + slack:
            return False
        return self.total is None or bool(abs(g.sum() - self.total) <= slack * g.size)

    def __str__(self) -> str:
        size = "" if self.radius == 1 else f" r {self.radius:.3g}"
        return f"ball {self.order:g}{size}" + ("" if self.total is None else f" sum {self.total:g}")


@dataclass(frozen=True)
class Unjudged:
    """No gradient is valid or wrong here, for this reason.

    >>> print(Unjudged("the value is NaN"))
    any
    """

    reason: str

    def __str__(self) -> str:
        return "any"


ValidSet = Box | Ball | Unjudged
#: Inputs, one row each, with the gradients that are valid there.
Singular = tuple[tuple[tuple[float, ...], ValidSet], ...]
