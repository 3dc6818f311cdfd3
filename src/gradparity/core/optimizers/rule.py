"""The base of every optimizer's rule: learning rate, weight decay, and one step.

A rule is written once over the arithmetic.  On plain arrays it makes the step; on `Bounded` ones it
gives the reference and how far a correct implementation may be from it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np

from ..arithmetic.arrays import Array, absorb, covering, like, stored
from ..arithmetic.received import received

__all__ = ["Rule", "State", "check_numbers", "mean", "pair"]

#: The state of one parameter by name, such as "exp_avg".
State = Mapping[str, Array]


def check_numbers(rule: Any, **given: tuple[float, float]) -> None:
    """Raise ValueError for a setting that is not a number in [low, high), given by name."""
    for name, (low, high) in given.items():
        value = getattr(rule, name)
        real = isinstance(value, int | float | np.integer | np.floating)
        if not real or isinstance(value, bool) or not low <= value < high:
            raise ValueError(
                f"{type(rule).__name__}: {name} is {received(value)}; give a number of at least "
                f"{low:g}" + (f" and below {high:g}" if math.isfinite(high) else "")
            )


def mean(old: Array, new: Array, beta: Any, share: Any = None) -> Array:
    """The running mean beta old + share new, or the same as a linear interpolation.

    Parameters
    ----------
    share : None for 1 - beta; a number that is known better than that difference.
    """
    share = 1.0 - beta if share is None else share
    return covering(
        old * beta + new * share,
        {
            "old + (1 - beta) (new - old)": lambda: old + (new - old) * share,
            "new - beta (new - old)": lambda: new - (new - old) * beta,
        },
    )


def pair(rule: Rule, betas: tuple[float, float]) -> tuple[float, float]:
    """Two decays, each in [0, 1)."""
    try:
        one, two = map(float, betas)
    except (TypeError, ValueError):
        one = two = -1.0
    if not (0.0 <= one < 1.0 and 0.0 <= two < 1.0):
        raise ValueError(f"{rule.name}: betas is {betas!r}; give two numbers in [0, 1)")
    return one, two


@dataclass(frozen=True)
class Rule:
    """One rule: a subclass says how the state advances, and in which direction a step goes.

    Parameters
    ----------
    lr : the learning rate; or a schedule, called with the number of steps made before.
    weight_decay : the factor of the parameter that is added to the gradient or, decoupled, taken
        off the parameter itself.
    decoupled : whether it is taken off the parameter itself, as AdamW does.
    decay_by_lr : whether a decoupled decay is multiplied by the learning rate.
    maximize : whether the step ascends.
    in_format : whether bias corrections and schedules are computed in the number format of the
        parameter, as Optax does, and not in float64.
    """

    lr: float | Callable[[int], Any]
    weight_decay: float = 0.0
    decoupled: bool = False
    decay_by_lr: bool = True
    maximize: bool = False
    in_format: bool = False

    #: Settings whose other value is a mistake that is tried: the setting, and the mistake in words.
    SWITCHES: ClassVar[dict[str, str]] = {}
    #: Whether each element of a parameter moves by itself.
    elementwise: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not callable(self.lr):
            check_numbers(self, lr=(0.0, math.inf))
        check_numbers(self, weight_decay=(0.0, math.inf))

    @property
    def name(self) -> str:
        """The name of its class."""
        return type(self).__name__

    @property
    def states(self) -> tuple[str, ...]:
        """The names of its state, those of PyTorch."""
        return ()

    def states_of(self, shape: tuple[int, ...]) -> tuple[str, ...]:
        """The names of the states that a parameter of this shape has."""
        return self.states

    def known(self, shape: tuple[int, ...], found: State) -> State:
        """The states found that a parameter of this shape has, in the shape the rule gives them."""
        return {name: a for name, a in found.items() if name in self.states_of(shape)}

    @property
    def linear(self) -> str:
        """The state that is linear in the gradient; "" if there is none."""
        return ""

    def start(self, p: Array) -> State:
        """The state before the first step; a name that is missing has no value yet."""
        return {name: np.zeros_like(p) for name in self.states}

    def taken(self, p: Array, g: Array) -> Array:
        """The gradient that the rule goes on with: its sign, and a coupled weight decay."""
        g = -g if self.maximize else g
        return g + self.weight_decay * p if self.weight_decay and not self.decoupled else g

    def advance(self, g: Array, state: State, t: int) -> State:
        """The state after step t (1, 2, ...), for the gradient that `taken` gave."""
        return {}

    def direction(self, g: Array, before: State, after: State, t: int) -> Array:
        """The direction that the learning rate multiplies in step t, from the states around it."""
        return g

    def parts(self, g: Array, before: State, after: State, t: int) -> Iterator[Array]:
        """The direction in the parts that are added to the parameter one after another."""
        yield self.direction(g, before, after, t)

    def moved(self, p: Array, g: Array, before: State, after: State, t: int) -> Array:
        """The parameter after step t."""
        lr, size = self.rate(t, p), self.size(t, p)
        if self.decoupled and self.weight_decay:
            p = p * (1.0 - (lr if self.decay_by_lr else 1.0) * self.weight_decay)
        for part in self.parts(g, before, after, t):
            p = absorb(p, -(part * size))
        return p

    def size(self, t: int, p: Array) -> Any:
        """The factor of the direction in step t: the learning rate."""
        return self.rate(t, p)

    def step(self, p: Array, g: Array, state: State, t: int) -> tuple[Array, State]:
        """The parameter and the state after step t.

        >>> from gradparity.core.optimizers.rules import SGD
        >>> rule = SGD(0.5, momentum=0.5)
        >>> p, g = np.array([1.0]), np.array([1.0])
        >>> p, state = rule.step(p, g, rule.start(p), 1)
        >>> p, state = rule.step(p, g, state, 2)
        >>> p, state
        (array([-0.25]), {'momentum_buffer': array([1.5])})
        """
        g = self.taken(p, g)
        after = self.advance(g, state, t)
        return self.moved(p, g, state, after, t), after

    def rate(self, t: int, p: Array) -> Any:
        """The learning rate of step t."""
        if not callable(self.lr):
            return self.lr
        lr = float(self.lr(t - 1))
        return _computed(lr, p) if self.in_format and lr > 0 else lr

    def correction(self, beta: float, t: int, g: Array) -> Any:
        """1 - beta^t, the bias correction of a mean that began at zero."""
        if not self.in_format:
            return 1.0 - beta**t
        if not beta:
            return 1.0
        return 1.0 - np.exp(np.log(stored(like(np.asarray(beta), g))) * float(t))

    def variants(self) -> Iterator[tuple[str, Rule]]:
        """Rules with a mistake that is often made, and the mistake in words."""
        for setting, mistake in self.SWITCHES.items():
            value = getattr(self, setting)
            if isinstance(value, bool):
                words = mistake if not value else mistake.replace("is ", "is not ", 1)
                yield words, replace(self, **{setting: not value})
        if self.weight_decay:
            how = "added to the gradient" if self.decoupled else "taken off the parameter itself"
            yield f"the weight decay is {how}", replace(self, decoupled=not self.decoupled)
            yield "the weight decay is left out", replace(self, weight_decay=0.0)
            if self.decoupled:
                how = "not multiplied by lr" if self.decay_by_lr else "multiplied by lr"
                yield f"the weight decay is {how}", replace(self, decay_by_lr=not self.decay_by_lr)
            elif not self.maximize:
                yield ("the weight decay has the wrong sign", _WrongDecay(self))  # type: ignore[misc]
        wrong = "descends" if self.maximize else "ascends"
        yield f"the step {wrong}: its sign is wrong", replace(self, maximize=not self.maximize)


def _computed(x: float, p: Array) -> Any:
    """A number that an elementary function gives in the format of p."""
    return np.exp(np.log(stored(like(np.asarray(x), p))))


class _Wrapped:
    """A rule that does one thing otherwise; the rest is asked of the rule."""

    def __init__(self, rule: Any) -> None:
        self.rule = rule

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rule, name)


class _WrongDecay(_Wrapped):
    def taken(self, p: Array, g: Array) -> Array:
        return g - self.rule.weight_decay * p
