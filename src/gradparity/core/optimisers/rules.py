"""The rules by name: SGD, Adam and its relatives, RMSProp, Adagrad, Adadelta, Lion.

Names of states and defaults are those of PyTorch; what Optax does otherwise is a setting.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from ..arithmetic.arrays import Array
from .rule import Rule, State, check_numbers

__all__ = ["SGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "Lion", "NAdam", "RAdam",
           "RMSProp"]  # fmt: skip

_INFINITE = float("inf")


def _mean(old: Array, new: Array, beta: float) -> Array:
    """The running mean beta old + (1 - beta) new."""
    return beta * old + (1.0 - beta) * new


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
        check_numbers(self, momentum=(0.0, _INFINITE), dampening=(0.0, _INFINITE))

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
class Adam(Rule):
    """p - lr m^ / (sqrt(v^) + eps), with running means m of g and v of g^2, corrected for bias.

    Parameters
    ----------
    betas : the decay of m and of v.
    eps, eps_root : added to the root, and inside of it.
    bias_correction : whether m and v are divided by 1 - beta^t.
    eps_corrected : False if eps is added to the root of the uncorrected v, as in Keras.
    amsgrad : whether the largest v so far is used.
    amsgrad_corrected : whether that is the largest of the corrected ones, as in Optax.
    nesterov : whether m^ looks one step ahead, as Optax's `nesterov=True`.
    """

    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    eps_root: float = 0.0
    bias_correction: bool = True
    eps_corrected: bool = True
    amsgrad: bool = False
    amsgrad_corrected: bool = False
    nesterov: bool = False

    SWITCHES: ClassVar = {
        "amsgrad": "AMSGrad's maximum is taken",
        "nesterov": "the momentum is Nesterov's",
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        check_numbers(self, eps=(0.0, _INFINITE), eps_root=(0.0, _INFINITE))
        object.__setattr__(self, "betas", _pair(self, self.betas))

    @property
    def states(self) -> tuple[str, ...]:
        return "exp_avg", "exp_avg_sq", *(("max_exp_avg_sq",) if self.amsgrad else ())

    @property
    def linear(self) -> str:
        return "exp_avg"

    def advance(self, g: Array, state: State, t: int) -> State:
        m = _mean(state["exp_avg"], g, self.betas[0])
        v = _mean(state["exp_avg_sq"], g * g, self.betas[1])
        if not self.amsgrad:
            return {"exp_avg": m, "exp_avg_sq": v}
        now = v / self._corrected(1, t, v) if self.amsgrad_corrected else v
        most = np.maximum(state["max_exp_avg_sq"], now)
        return {"exp_avg": m, "exp_avg_sq": v, "max_exp_avg_sq": most}

    def _corrected(self, i: int, t: int, g: Array) -> Array:
        return self.correction(self.betas[i], t, g) if self.bias_correction else 1.0

    def direction(self, g: Array, before: State, after: State, t: int) -> Array:
        m = after["exp_avg"] / self._corrected(0, t, g)
        if self.nesterov:
            ahead = after["exp_avg"] / self._corrected(0, t + 1, g)
            m = _mean(ahead, g / self._corrected(0, t, g), self.betas[0])
        return m / self._root(after, t, g)

    def _root(self, after: State, t: int, g: Array) -> Array:
        """sqrt(v^) + eps."""
        v = after["max_exp_avg_sq" if self.amsgrad else "exp_avg_sq"]
        corrected = 1.0 if self.amsgrad and self.amsgrad_corrected else self._corrected(1, t, g)
        if not self.eps_corrected:
            return (np.sqrt(v + self.eps_root) + self.eps) / np.sqrt(corrected)
        v = v / corrected
        root = np.sqrt(v + self.eps_root) if self.eps_root else np.sqrt(v)
        return root + self.eps

    def variants(self) -> Iterator[tuple[str, Rule]]:
        yield from super().variants()
        b, c = self.betas
        yield (f"m and v are {'not ' if self.bias_correction else ''}corrected for bias",
               replace(self, bias_correction=not self.bias_correction))  # fmt: skip
        if self.eps:
            inside = replace(self, eps=0.0, eps_root=self.eps)
            yield "eps is added inside of the root", inside
            squared = replace(self, eps=0.0, eps_root=self.eps**2)
            yield "eps^2 is added inside of the root", squared
            how = "before" if self.eps_corrected else "after"
            yield (f"eps is added {how} the root is corrected for bias",
                   replace(self, eps_corrected=not self.eps_corrected))  # fmt: skip
            yield "eps is left out", replace(self, eps=0.0)
        elif self.eps_root:
            outside = replace(self, eps=self.eps_root, eps_root=0.0)
            yield "eps is added to the root, not inside of it", outside
        if b != c:
            yield "the betas are exchanged", replace(self, betas=(c, b))
        if self.amsgrad:
            of = "uncorrected" if self.amsgrad_corrected else "corrected"
            yield (f"AMSGrad's maximum is that of the {of} v",
                   replace(self, amsgrad_corrected=not self.amsgrad_corrected))  # fmt: skip


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with decoupled weight decay, lr weight_decay p."""

    weight_decay: float = 0.01
    decoupled: bool = True


@dataclass(frozen=True)
class NAdam(Adam):
    """Adam with Nesterov's momentum, whose beta grows towards betas[0], as in PyTorch.

    Parameters
    ----------
    momentum_decay : how fast: the beta of step t is betas[0] (1 - 0.96^(t momentum_decay) / 2).
    """

    momentum_decay: float = 4e-3

    SWITCHES: ClassVar = {}

    @property
    def states(self) -> tuple[str, ...]:
        return "exp_avg", "exp_avg_sq", "mu_product"

    def start(self, p: Array) -> State:
        return {**super().start(p), "mu_product": np.ones(())}

    def _beta(self, t: int) -> float:
        return float(self.betas[0] * (1.0 - 0.5 * 0.96 ** (t * self.momentum_decay)))

    def advance(self, g: Array, state: State, t: int) -> State:
        return {**super().advance(g, state, t), "mu_product": state["mu_product"] * self._beta(t)}

    def direction(self, g: Array, before: State, after: State, t: int) -> Array:
        now, following, product = self._beta(t), self._beta(t + 1), after["mu_product"]
        root = self._root(after, t, g)
        ahead = (after["exp_avg"] * following) / (1.0 - product * following)
        return (g * (1.0 - now)) / (1.0 - product) / root + ahead / root


@dataclass(frozen=True)
class RAdam(Adam):
    """Adam that divides by the root only once enough steps are made, and rectified then.

    Parameters
    ----------
    threshold : the length of the mean from which on it divides.
    """

    eps_corrected: bool = False
    threshold: float = 5.0

    SWITCHES: ClassVar = {}

    def direction(self, g: Array, before: State, after: State, t: int) -> Array:
        m, beta = after["exp_avg"] / self._corrected(0, t, g), self.betas[1]
        most = 2.0 / (1.0 - beta) - 1.0
        length = most - 2.0 * t * beta**t / self.correction(beta, t, g)
        if float(getattr(length, "value", length)) <= self.threshold:
            return m
        rectified = (length - 4.0) * (length - 2.0) * most / ((most - 4.0) * (most - 2.0) * length)
        return m * np.sqrt(rectified) / self._root(after, t, g)


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
        check_numbers(self, alpha=(0.0, 1.0), eps=(0.0, _INFINITE), momentum=(0.0, _INFINITE))

    @property
    def states(self) -> tuple[str, ...]:
        centered = ("grad_avg",) if self.centered else ()
        return "square_avg", *centered, *(("momentum_buffer",) if self.momentum else ())

    @property
    def linear(self) -> str:
        return "grad_avg" if self.centered else ""

    def advance(self, g: Array, state: State, t: int) -> State:
        after = {"square_avg": _mean(state["square_avg"], g * g, self.alpha)}
        if self.centered:
            after["grad_avg"] = _mean(state["grad_avg"], g, self.alpha)
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
        return g / root / (1.0 + (t - 1) * self.lr_decay) if self.lr_decay else g / root

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
        after = {"square_avg": _mean(state["square_avg"], g * g, self.rho)}
        d = self.direction(g, state, after, t)
        return {**after, "acc_delta": _mean(state["acc_delta"], d * d, self.rho)}

    def direction(self, g: Array, before: State, after: State, t: int) -> Array:
        above, below = before["acc_delta"] + self.eps, after["square_avg"] + self.eps
        return np.sqrt(above) / np.sqrt(below) * g


@dataclass(frozen=True)
class Adamax(Rule):
    """p - lr m / (1 - beta1^t) / n, with a running mean m of g and n = max(beta2 n, |g| + eps)."""

    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "betas", _pair(self, self.betas))

    @property
    def states(self) -> tuple[str, ...]:
        return "exp_avg", "exp_inf"

    @property
    def linear(self) -> str:
        return "exp_avg"

    def advance(self, g: Array, state: State, t: int) -> State:
        most = np.maximum(self.betas[1] * state["exp_inf"], np.abs(g) + self.eps)
        return {"exp_avg": _mean(state["exp_avg"], g, self.betas[0]), "exp_inf": most}

    def direction(self, g: Array, before: State, after: State, t: int) -> Array:
        return after["exp_avg"] / self.correction(self.betas[0], t, g) / after["exp_inf"]


@dataclass(frozen=True)
class Lion(Rule):
    """p - lr sign(beta1 m + (1 - beta1) g), after which m = beta2 m + (1 - beta2) g.

    The weight decay is decoupled, as in Optax.
    """

    decoupled: bool = True
    betas: tuple[float, float] = (0.9, 0.99)

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "betas", _pair(self, self.betas))

    @property
    def states(self) -> tuple[str, ...]:
        return ("exp_avg",)

    @property
    def linear(self) -> str:
        return "exp_avg"

    def advance(self, g: Array, state: State, t: int) -> State:
        return {"exp_avg": _mean(state["exp_avg"], g, self.betas[1])}

    def direction(self, g: Array, before: State, after: State, t: int) -> Array:
        return np.sign(_mean(before["exp_avg"], g, self.betas[0]))

    def variants(self) -> Iterator[tuple[str, Rule]]:
        yield from super().variants()
        yield "the betas are exchanged", replace(self, betas=(self.betas[1], self.betas[0]))


def _pair(rule: Rule, betas: tuple[float, float]) -> tuple[float, float]:
    """Two decays, each in [0, 1)."""
    try:
        one, two = map(float, betas)
    except (TypeError, ValueError):
        one = two = -1.0
    if not (0.0 <= one < 1.0 and 0.0 <= two < 1.0):
        raise ValueError(f"{rule.name}: betas is {betas!r}; give two numbers in [0, 1)")
    return one, two
