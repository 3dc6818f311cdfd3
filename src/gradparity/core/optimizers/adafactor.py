"""The rule of Adafactor (Shazeer and Stern, 2018).

Names of states and defaults are those of PyTorch; what Optax does otherwise is a setting.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from ..arithmetic.arrays import Array, covering, like, stored
from ..arithmetic.received import received
from .rule import Rule, State, check_numbers, mean

__all__ = ["Adafactor"]

#: The relative error of a number in float32, and of a power.
FLOAT32, POWER = 2.0**-24, 2.0**-21


@dataclass(frozen=True)
class Adafactor(Rule):
    """p - size u / max(1, rms(u) / d), u = g / sqrt(v), where v is factored for matrices.

    v is a running mean of g^2 with the decay 1 - t^beta2_decay.  Of a matrix only the means r of
    its rows and c of its columns are kept, and v = r c / mean(r).  The size is the smaller one of
    lr and 1 / sqrt(t), multiplied by max(eps[1], rms(p)).

    Parameters
    ----------
    beta2_decay : the exponent of the decay, at most 0.
    eps : the least v is eps[0]^2, and the least mean(r) eps[0]; None for the distance from 1 to the
        next number of the format.  The least rms(p) is eps[1].
    d : the largest rms of u; None for no clipping.
    eps_added : whether eps[0] is added to g^2, as in Optax, and v has no least number.
    relative_step : whether the size is at most 1 / sqrt(t) before it is multiplied.
    scale_parameter : whether the size is multiplied by max(eps[1], rms(p)).
    factored : whether v is factored where the parameter has two axes or more.
    least_size : an axis shorter than this is not factored; 128 in Optax.
    largest_axes : whether the two longest axes are factored, as in Optax, and not the last two.
    decay_in_float32 : whether the decay of v is computed in float32 for any parameter, as in Optax.
    """

    lr: Any = 1e-2
    decoupled: bool = True
    beta2_decay: float = -0.8
    eps: tuple[float | None, float] = (None, 1e-3)
    d: float | None = 1.0
    eps_added: bool = False
    relative_step: bool = True
    scale_parameter: bool = True
    factored: bool = True
    least_size: int = 0
    largest_axes: bool = False
    decay_in_float32: bool = False

    #: Axes to factor besides the right ones, and whether v is divided by mean(r), for mistakes.
    _axes: ClassVar[tuple[int, int] | None] = None
    _has_mean: ClassVar[bool] = True
    elementwise: ClassVar[bool] = False
    SWITCHES: ClassVar = {
        "eps_added": "eps[0] is added to g^2, and not the least of v",
        "relative_step": "the rate is at most 1 / sqrt(t)",
        "scale_parameter": "the step is multiplied by the rms of the parameter",
        "factored": "the second moment is factored",
        "decay_in_float32": "the decay of the second moment is computed in float32",
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        check_numbers(self, least_size=(0, math.inf))
        if self.d is not None:
            check_numbers(self, d=(5e-324, math.inf))
        if not _is_number(self.beta2_decay) or not -math.inf < self.beta2_decay <= 0.0:
            raise ValueError(f"Adafactor: beta2_decay is {received(self.beta2_decay)}; give a "
                             "number of at most 0, such as -0.8")  # fmt: skip
        object.__setattr__(self, "eps", self._checked_eps())

    def _checked_eps(self) -> tuple[float | None, float]:
        try:
            one, two = self.eps
        except (TypeError, ValueError):
            one = two = -1.0
        if not all(
            _is_number(e) and 0.0 <= e < math.inf for e in (0.0 if one is None else one, two)
        ):
            raise ValueError(f"Adafactor: eps is {self.eps!r}; give two numbers of at least 0, or "
                             "None and a number")  # fmt: skip
        return one, two

    @property
    def states(self) -> tuple[str, ...]:
        return "row_var", "col_var", "variance"

    def axes(self, shape: tuple[int, ...]) -> tuple[int, int] | None:
        """The axes that the means of columns and of rows are over; None if v is not factored."""
        if not self.factored or len(shape) < 2:
            return None
        if self._axes is not None:
            return self._axes
        last = len(shape) - 2, len(shape) - 1
        first, second = np.argsort(shape)[-2:].tolist() if self.largest_axes else last
        return (first, second) if min(shape[first], shape[second]) >= self.least_size else None

    def _shapes(self, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        """The shape of each state of a parameter."""
        axes = self.axes(shape)
        if axes is None:
            return {"variance": shape}
        column, row = ((*shape[:axis], 1, *shape[axis + 1 :]) for axis in axes)
        return {"row_var": row, "col_var": column}

    def states_of(self, shape: tuple[int, ...]) -> tuple[str, ...]:
        return tuple(self._shapes(shape))

    def known(self, shape: tuple[int, ...], found: State) -> State:
        """See `Rule.known`; a state of another size is another quantity, and left out."""
        return {
            name: found[name].reshape(own)
            for name, own in self._shapes(shape).items()
            if name in found and found[name].size == math.prod(own)
        }

    def start(self, p: Array) -> State:
        return {name: like(np.zeros(own), p) for name, own in self._shapes(p.shape).items()}

    def _decay(self, t: int, g: Array) -> tuple[Any, Any]:
        """The decay of v in step t, and 1 less it."""
        if not (self.in_format or self.decay_in_float32):
            return 1.0 - t**self.beta2_decay, t**self.beta2_decay
        power = np.exp(np.log(like(np.asarray(float(t)), g)) * self.beta2_decay)
        if not self.decay_in_float32:
            return 1.0 - power, power
        decay = stored(1.0 - stored(power, POWER), FLOAT32)
        return decay, stored(1.0 - decay, FLOAT32)

    def advance(self, g: Array, state: State, t: int) -> State:
        decay, share = self._decay(t, g)
        squares = g * g + self.eps[0] if self.eps_added and self.eps[0] else g * g
        axes = self.axes(g.shape)
        if axes is None:
            return {"variance": mean(state["variance"], squares, decay, share)}
        column, row = (_mean_square(squares, axis) for axis in axes)
        return {
            "row_var": mean(state["row_var"], row, decay, share),
            "col_var": mean(state["col_var"], column, decay, share),
        }

    def direction(self, g: Array, before: State, after: State, t: int) -> Array:
        u = self._divided(g, after)
        return u if self.d is None else u / _at_least(1.0, _rms(u) / self.d, g)

    def _divided(self, g: Array, state: State) -> Array:
        """g / sqrt(v)."""
        axes, least = self.axes(g.shape), self._least(g)
        if axes is None:
            v = state["variance"]
            return g / np.sqrt(v if self.eps_added else _at_least(least**2, v, g))
        r, c = state["row_var"], state["col_var"]
        middle = _mean(r, axes[0]) if self._has_mean else 1.0
        if self.eps_added:
            return g / np.sqrt(r / middle) / np.sqrt(c)
        middle = _at_least(least, middle, g) if self._has_mean else 1.0
        return g / np.sqrt(_at_least(least**2, r * c / middle, g))

    def _least(self, g: Array) -> float:
        if self.eps[0] is not None:
            return self.eps[0]
        if hasattr(g, "arithmetic"):
            return float(2.0 * g.arithmetic.unit)
        return float(np.finfo(np.float64 if g.dtype == object else g.dtype).eps)

    def size(self, t: int, p: Array) -> Any:
        rate = self.rate(t, p)
        if self.relative_step:
            most = t**-0.5
            rate = rate if float(getattr(rate, "value", rate)) <= most else most
        return rate * _at_least(self.eps[1], _rms(p), p) if self.scale_parameter else rate

    def variants(self) -> Iterator[tuple[str, Rule]]:
        yield from super().variants()
        how = "not clipped" if self.d else "clipped to an rms of 1"
        yield f"the update is {how}", replace(self, d=None if self.d else 1.0)
        yield ("the second moment is not divided by the mean of its rows",
               _mistaken(self, _has_mean=False))  # fmt: skip
        yield ("the second moment is factored over the first two axes",
               _mistaken(self, _axes=(0, 1)))  # fmt: skip
        which = "last" if self.largest_axes else "longest"
        yield (f"the second moment is factored over the two {which} axes",
               replace(self, largest_axes=not self.largest_axes))  # fmt: skip
        if self.least_size:
            yield "short axes are factored, too", replace(self, least_size=0)


def _mistaken(rule: Adafactor, **mistake: Any) -> Adafactor:
    other = replace(rule)
    for name, value in mistake.items():
        object.__setattr__(other, name, value)
    return other


def _is_number(x: Any) -> bool:
    return isinstance(x, int | float | np.integer | np.floating) and not isinstance(x, bool)


def _at_least(least: float, a: Array, p: Array) -> Array:
    """The larger of both, in the arithmetic of p."""
    is_float = hasattr(p, "arithmetic") or p.dtype != object
    return np.maximum(a, least if is_float else like(np.asarray(least), p))


def _mean(a: Array, axis: int) -> Array:
    return np.sum(a, axis=axis, keepdims=True) / float(a.shape[axis])


def _mean_square(squares: Array, axis: int) -> Array:
    """The mean of squares along an axis, or the same as the square of a norm."""
    s, n = np.sum(squares, axis=axis, keepdims=True), float(squares.shape[axis])
    return covering(s / n, {"the square of a norm": lambda: np.sqrt(s) * np.sqrt(s) / n})


def _rms(a: Array) -> Array:
    """The root of the mean square of all elements, or the same as a quotient of norms."""
    s, n = np.sum(a * a), float(math.prod(a.shape))
    return covering(np.sqrt(s / n), {"norm / sqrt(n)": lambda: np.sqrt(s) / n**0.5})
