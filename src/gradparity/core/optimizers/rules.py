"""The rules of SGD, RMSProp, Adagrad, Adadelta and Lion; those of Adam's family are in `adam`.

Names of states and defaults are those of PyTorch; what Optax does otherwise is a setting.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from ..arithmetic.arrays import Array, covering
from .rule import Rule, State, check_numbers, mean, pair

__all__ = ["SGD", "Adadelta", "Adagrad", "Lion", "RMSProp"]


@dataclass(frozen=True)
class SGD(Rule):
    """p - lr b, where b = momentum b + (1 - dampening) g.

    Parameters
    ----------
    momentum, dampening : of the buffer b; without momentum b is g.
    nesterov : the step is g + momentum b.
    first_is_gradient : the first buffer is g itself, whatever the dampening, as in PyTorch.
    """

    momentum: float = 0.0
    dampening: float = 0.0
    nesterov: bool = False
    first_is_gradient: bool = True

    SWITCHES: ClassVar = {
        "nesterov": "the momentum is Nesterov's",
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        check_numbers(self, momentum=(0.0, math.inf), dampening=(0.0, math.inf))

    @property
    def states(self) -> tuple[str, ...]:
        return ("momentum_buffer",) if self.momentum else ()

    @property
    def linear(self) -> str:
        return "momentum_buffer" if self.momentum else ""

    def start(self, p: Array) -> State:
        return {} if self.first_is_gradient else super().start(p)

    def advance(self, g: Array, state: State, t: int) -> State:
        if not self.momentum:
            return {}
        if "momentum_buffer" not in state:
            return {"momentum_buffer": g}
        new = g if not self.dampening else (1.0 - self.dampening) * g
        return {"momentum_buffer": self.momentum * state["momentum_buffer"] + new}

    def direction(self, g: Array, before: State, after: State, t: int) -> Array:
        if not self.momentum:
            return g
        buffer = after["momentum_buffer"]
        return g + self.momentum * buffer if self.nesterov else buffer

    def variants(self) -> Iterator[tuple[str, Rule]]:
        yield from super().variants()
        if self.momentum:
            yield "the momentum is left out", replace(self, momentum=0.0)
            other = 0.0 if self.dampening else self.momentum
            how = "not dampened" if self.dampening else "dampened by 1 - momentum"
            yield f"the gradient is {how}", replace(self, dampening=other)
        if self.momentum and self.dampening:
            first = not self.first_is_gradient
            how = "not dampened" if first else "dampened"
            yield f"the first gradient is {how}", replace(self, first_is_gradient=first)


@dataclass(frozen=True)
class RMSProp(Rule):
    """p - lr g / (sqrt(v) + eps), with a running mean v of g^2.

    Parameters
    ----------
    alpha : the decay of v.
    eps, eps_inside : the number, and whether it is added inside of the root, as Optax does.
    centered : whether the square of the mean of g is taken off v.
    momentum : of a buffer that the quotient goes through.
    nesterov : the step is the quotient + momentum times the buffer.
    lr_inside : whether the buffer holds the quotient times -lr, as in Optax.
    """

    alpha: float = 0.99
    eps: float = 1e-8
    eps_inside: bool = False
    centered: bool = False
    momentum: float = 0.0
    nesterov: bool = False
    lr_inside: bool = False

    SWITCHES: ClassVar = {
        "eps_inside": "eps is added inside of the root",
        "centered": "v is centred",
        "lr_inside": "the momentum buffer is multiplied by -lr already",
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        check_numbers(self, alpha=(0.0, 1.0), eps=(0.0, math.inf), momentum=(0.0, math.inf))

    @property
    def states(self) -> tuple[str, ...]:
        centered = ("grad_avg",) if self.centered else ()
        return "square_avg", *centered, *(("momentum_buffer",) if self.momentum else ())

    @property
    def linear(self) -> str:
        return "grad_avg" if self.centered else ""

    def advance(self, g: Array, state: State, t: int) -> State:
        after = {"square_avg": mean(state["square_avg"], g * g, self.alpha)}
        if self.centered:
            after["grad_avg"] = mean(state["grad_avg"], g, self.alpha)
        if self.momentum:
            quotient = g / self._root(after)
            quotient = -(self.rate(t, g) * quotient) if self.lr_inside else quotient
            after["momentum_buffer"] = self.momentum * state["momentum_buffer"] + quotient
        return after

    def _root(self, after: State) -> Array:
        v = after["square_avg"]
        if self.centered:
            v = v - after["grad_avg"] * after["grad_avg"]
        return np.sqrt(v + self.eps) if self.eps_inside else np.sqrt(v) + self.eps

    def direction(self, g: Array, before: State, after: State, t: int) -> Array:
        if not self.momentum:
            return g / self._root(after)
        buffer = after["momentum_buffer"]
        lr = self.rate(t, g)
        if self.nesterov:
            quotient = g / self._root(after)
            quotient = -(lr * quotient) if self.lr_inside else quotient
            buffer = quotient + self.momentum * buffer
        return -buffer / lr if self.lr_inside else buffer


@dataclass(frozen=True)
class Adagrad(Rule):
    """p - lr g / (sqrt(s) + eps), with the sum s of all g^2.

    Parameters
    ----------
    eps, eps_inside : the number, and whether it is added inside of the root, as Optax does.
    lr_decay : lr is divided by 1 + (t - 1) lr_decay.
    initial : the sum before the first step.
    """

    eps: float = 1e-10
    eps_inside: bool = False
    lr_decay: float = 0.0
    initial: float = 0.0

    SWITCHES: ClassVar = {"eps_inside": "eps is added inside of the root"}

    @property
    def states(self) -> tuple[str, ...]:
        return ("sum",)

    def start(self, p: Array) -> State:
        return {"sum": np.zeros_like(p) + self.initial}

    def advance(self, g: Array, state: State, t: int) -> State:
        return {"sum": state["sum"] + g * g}

    def direction(self, g: Array, before: State, after: State, t: int) -> Array:
        s = after["sum"]
        root = np.sqrt(s + self.eps) if self.eps_inside else np.sqrt(s) + self.eps
        decay = 1.0 + (t - 1) * self.lr_decay
        lr = self.rate(t, g) / decay
        # With foreach=True, PyTorch stores lr g, of which float16 may keep few digits.
        step = covering(g / root, {"(lr g) / root": lambda: g * lr / root / lr if lr else g / root})
        return step / decay if self.lr_decay else step

    def variants(self) -> Iterator[tuple[str, Rule]]:
        yield from super().variants()
        if self.lr_decay:
            yield "lr_decay is left out", replace(self, lr_decay=0.0)


@dataclass(frozen=True)
class Adadelta(Rule):
    """p - lr d, with d = sqrt(a + eps) / sqrt(v + eps) g, and running means v of g^2 and a of d^2.

    Parameters
    ----------
    rho : the decay of both.
    eps : added inside of both roots.
    """

    rho: float = 0.9
    eps: float = 1e-6

    @property
    def states(self) -> tuple[str, ...]:
        return "square_avg", "acc_delta"

    def advance(self, g: Array, state: State, t: int) -> State:
        after = {"square_avg": mean(state["square_avg"], g * g, self.rho)}
        d = self.direction(g, state, after, t)
        return {**after, "acc_delta": mean(state["acc_delta"], d * d, self.rho)}

    def direction(self, g: Array, before: State, after: State, t: int) -> Array:
        above, below = before["acc_delta"] + self.eps, after["square_avg"] + self.eps
        return np.sqrt(above) / np.sqrt(below) * g


@dataclass(frozen=True)
class Lion(Rule):
    """p - lr sign(beta1 m + (1 - beta1) g), after which m = beta2 m + (1 - beta2) g.

    Parameters
    ----------
    decoupled : True, as in Optax.
    betas : the decay of m in the step, and afterwards.
    """

    decoupled: bool = True
    betas: tuple[float, float] = (0.9, 0.99)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "betas", pair(self, self.betas))

    @property
    def states(self) -> tuple[str, ...]:
        return ("exp_avg",)

    @property
    def linear(self) -> str:
        return "exp_avg"

    def advance(self, g: Array, state: State, t: int) -> State:
        return {"exp_avg": mean(state["exp_avg"], g, self.betas[1])}

    def direction(self, g: Array, before: State, after: State, t: int) -> Array:
        return np.sign(mean(before["exp_avg"], g, self.betas[0]))

    def variants(self) -> Iterator[tuple[str, Rule]]:
        yield from super().variants()
        yield "the betas are exchanged", replace(self, betas=(self.betas[1], self.betas[0]))
