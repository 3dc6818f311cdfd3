"""The rules of Adam and its family: AdamW, NAdam, RAdam, Adamax.

Names of states and defaults are those of PyTorch; what Optax does otherwise is a setting.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from ..arithmetic.arrays import Array
from .rule import Rule, State, check_numbers, mean, pair

__all__ = ["Adam", "AdamW", "Adamax", "NAdam", "RAdam"]


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

    #: The mean that alone is not corrected for bias, 0 for m and 1 for v, as a mistake; None.
    _uncorrected: ClassVar[int | None] = None
    SWITCHES: ClassVar = {
        "amsgrad": "AMSGrad's maximum is taken",
        "nesterov": "the momentum is Nesterov's",
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        check_numbers(self, eps=(0.0, math.inf), eps_root=(0.0, math.inf))
        object.__setattr__(self, "betas", pair(self, self.betas))

    @property
    def states(self) -> tuple[str, ...]:
        return "exp_avg", "exp_avg_sq", *(("max_exp_avg_sq",) if self.amsgrad else ())

    @property
    def linear(self) -> str:
        return "exp_avg"

    def advance(self, g: Array, state: State, t: int) -> State:
        m = mean(state["exp_avg"], g, self.betas[0])
        v = mean(state["exp_avg_sq"], g * g, self.betas[1])
        if not self.amsgrad:
            return {"exp_avg": m, "exp_avg_sq": v}
        now = v / self._corrected(1, t, v) if self.amsgrad_corrected else v
        most = np.maximum(state["max_exp_avg_sq"], now)
        return {"exp_avg": m, "exp_avg_sq": v, "max_exp_avg_sq": most}

    def _corrected(self, i: int, t: int, g: Array) -> Array:
        is_corrected = self.bias_correction and i != self._uncorrected
        return self.correction(self.betas[i], t, g) if is_corrected else 1.0

    def direction(self, g: Array, before: State, after: State, t: int) -> Array:
        m = after["exp_avg"] / self._corrected(0, t, g)
        if self.nesterov:
            ahead = after["exp_avg"] / self._corrected(0, t + 1, g)
            m = mean(ahead, g / self._corrected(0, t, g), self.betas[0])
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
        if self.bias_correction:
            yield "m is not corrected for bias", _without_correction(self, 0)
            yield "v is not corrected for bias", _without_correction(self, 1)
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


def _without_correction(rule: Adam, i: int) -> Adam:
    """The rule with one of its means not corrected for bias."""
    other = replace(rule)
    object.__setattr__(other, "_uncorrected", i)
    return other


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

    def parts(self, g: Array, before: State, after: State, t: int) -> Iterator[Array]:
        now, following, product = self._beta(t), self._beta(t + 1), after["mu_product"]
        root = self._root(after, t, g)
        ahead = (after["exp_avg"] * following) / (1.0 - product * following)
        yield (g * (1.0 - now)) / (1.0 - product) / root
        yield ahead / root


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
class Adamax(Rule):
    """p - lr m / (1 - beta1^t) / n, with a running mean m of g and n = max(beta2 n, |g| + eps).

    Parameters
    ----------
    betas : the decay of m and of n.
    eps : added to |g|.
    """

    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "betas", pair(self, self.betas))

    @property
    def states(self) -> tuple[str, ...]:
        return "exp_avg", "exp_inf"

    @property
    def linear(self) -> str:
        return "exp_avg"

    def advance(self, g: Array, state: State, t: int) -> State:
        most = np.maximum(self.betas[1] * state["exp_inf"], np.abs(g) + self.eps)
        return {"exp_avg": mean(state["exp_avg"], g, self.betas[0]), "exp_inf": most}

    def direction(self, g: Array, before: State, after: State, t: int) -> Array:
        return after["exp_avg"] / self.correction(self.betas[0], t, g) / after["exp_inf"]
