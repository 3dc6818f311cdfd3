"""Normalisations that are taken for each other, and running statistics that follow another rule."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from typing import Any, cast

import numpy as np

from ...core.arithmetic.arrays import Array
from ...core.formulas.norms import BatchNorm, LayerNorm, Normalisation
from ...core.formulas.op import Op
from .allowed import Alternative

__all__ = ["other_norms", "unbiased"]

#: Values of eps in wide use.
USUAL = (1e-3, 1e-5, 1e-6, 1e-12)
OUTSIDE = "eps added to the root of the variance, not to the variance"
UNBIASED = "the variance divided by n - 1, not by n"
BIASED = "the running variance divided by n, not by n - 1"


class _Other(Normalisation):
    """A normalisation by another deviation.

    Attributes
    ----------
    outside : the deviation is sqrt(var) + eps.
    factor : the variance in units of the mean of squares, such as n / (n - 1).
    """

    outside: bool

    @property
    def factor(self) -> float:
        return 1.0

    def inverse_deviation(self, var: Array) -> Array:
        var = var if self.factor == 1.0 else var * self.factor
        return 1.0 / (np.sqrt(var) + self.eps if self.outside else np.sqrt(var + self.eps))

    def through_statistics(self, dh: Array, c: Array, r: Array, axes: Any) -> Array:
        """r (dh - mean dh - c s), s = factor r mean(dh h), with 1 / sqrt(var) for r outside.

        Without a mean in the normalisation there is no mean dh.
        """
        s = (dh * (c * r)).mean(axis=axes, keepdims=True) * self.factor
        var = (c * c).mean(axis=axes, keepdims=True) * self.factor
        s = s / np.sqrt(var) if self.outside else s * r
        dh = dh - dh.mean(axis=axes, keepdims=True) if self.centred else dh
        return r * (dh - c * s)


@dataclass(frozen=True, repr=False)
class OtherLayerNorm(_Other, LayerNorm):
    """Layer normalisation by another deviation; with `corrected`, of the unbiased variance."""

    outside: bool = False
    corrected: bool = False

    @property
    def factor(self) -> float:
        return self.n / max(self.n - 1, 1) if self.corrected else 1.0


class _Unbiased(Normalisation):
    """A normalisation by the variance divided by n - 1."""

    def _centred(self, x: Array, axes: Any) -> tuple[Array, Array, Array, Array]:
        c, _, mean, var = super()._centred(x, axes)
        return c, self.inverse_deviation(var * _correction(c, var)), mean, var

    def through_statistics(self, dh: Array, c: Array, r: Array, axes: Any) -> Array:
        h, factor = c * r, _correction(c, r)
        dh_mean = dh.mean(axis=axes, keepdims=True)
        return r * (dh - dh_mean - h * ((dh * h).mean(axis=axes, keepdims=True) * factor))


def _correction(elements: Array, statistics: Array) -> float:
    """n / (n - 1) for the n elements of each statistic."""
    n = int(elements.size // statistics.size)
    return n / max(n - 1, 1)


@cache
def _unbiased(kind: Any) -> Any:
    """The class of this normalisation by the unbiased variance."""
    return dataclass(frozen=True, repr=False)(
        type(f"Unbiased{kind.__name__}", (_Unbiased, kind), {})
    )


def unbiased(op: Op) -> Iterator[tuple[str, Op]]:
    """(words, op) of the same normalisation by the variance divided by n - 1.

    >>> [words for words, _ in unbiased(BatchNorm(3))]
    ['right with the variance divided by n - 1, not by n']
    """
    if isinstance(op, Normalisation) and op.centred:
        yield f"right with {UNBIASED}", _unbiased(cast(Any, type(op)))(**vars(op))


@cache
def _other(kind: Any) -> Any:
    """The class of this normalisation by another deviation."""
    fields = {"__annotations__": {"outside": "bool"}, "outside": False}
    made = type(f"Other{kind.__name__}", (_Other, kind), fields)
    return dataclass(frozen=True, repr=False)(made)


def other_norms(op: Normalisation) -> Iterator[Alternative]:
    """Normalisations that are taken for this one, those that differ in one way first.

    >>> [c.name for c in other_norms(LayerNorm(3))][:5]
    ['norm-eps', 'norm-eps', 'norm-eps', 'eps-outside', 'unbiased-variance']
    >>> [c.name for c in other_norms(BatchNorm(3))][-3:]
    ['biased-variance', 'batchnorm-momentum', 'biased-variance+batchnorm-momentum']
    """
    yield from sorted(_other_deviations(op), key=lambda c: c.name.count("+"))
    if isinstance(op, BatchNorm) and op.training:
        yield from _other_running(op)


def _other_deviations(op: Normalisation) -> Iterator[Alternative]:
    layer, kind = isinstance(op, LayerNorm), cast(Any, type(op))
    corrections = (False, True) if isinstance(op, LayerNorm) and op.n > 1 else (False,)
    every_eps = (op.eps, *(eps for eps in USUAL if eps != op.eps))
    for corrected, outside, eps in product(corrections, (False, True), every_eps):
        differs = {
            "unbiased-variance": (corrected, UNBIASED),
            "eps-outside": (outside, OUTSIDE),
            "norm-eps": (eps != op.eps, f"eps = {eps:g}, not {op.eps:g}"),
        }
        names = [name for name, (here, _) in differs.items() if here]
        if names:
            said = "; and ".join(words for here, words in differs.values() if here)
            parameter = eps if eps != op.eps else None
            given: dict[str, Any] = {**vars(op), "eps": eps, "outside": outside}
            given |= {"corrected": corrected} if layer else {}
            made = OtherLayerNorm if layer else _other(kind)
            yield Alternative("+".join(names), parameter, said, made(**given), listed=True)


def _other_running(op: BatchNorm) -> Iterator[Alternative]:
    """Running statistics with the other variance, with the other momentum, and with both."""
    new = 1.0 - op.momentum
    name, said = ("biased-variance", BIASED) if op.unbiased else ("unbiased-variance", UNBIASED)
    other = replace(op, unbiased=not op.unbiased)
    yield Alternative(name, None, said, other)
    if new != op.momentum:
        kept = f"running statistics with {op.momentum:g} of the old and {new:g} of the new"
        yield Alternative("batchnorm-momentum", None, kept, replace(op, momentum=new))
        both = f"{name}+batchnorm-momentum"
        yield Alternative(both, None, f"{said}; and {kept}", replace(other, momentum=new))
