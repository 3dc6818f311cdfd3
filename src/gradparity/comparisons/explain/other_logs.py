"""Cross-entropies that keep the logarithm finite: log(p + eps), or log of a clipped p."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ...core.arithmetic.arrays import Array, NDArray
from ...core.formulas.cross_entropies import BinaryCrossEntropy, CrossEntropy
from ...core.formulas.divergences import Divergence
from ...core.formulas.op import Shape
from ...core.formulas.smooth import sigmoid
from ...core.formulas.softmax import log_softmax
from ...core.network.case import Case
from .allowed import CLIPPED, PLUS, Alternative
from .choices import ENOUGH, solve, spelled

__all__ = ["other_logs"]

#: Larger numbers than this are not there to keep a logarithm finite.
LARGEST = 0.01
#: Numbers to clip to that are in wide use: several clipped terms in one sum do not tell it.
USUAL = tuple(10.0**-k for k in (7, 12, 15, 8, 9, 10, 6, 5, 4, 3))
#: Steps of Newton's method; the function is convex, and far fewer are enough.
STEPS = 40


@dataclass(frozen=True)
class OtherLog(Divergence):
    """A cross-entropy with log(p + eps) in place of log(p), or with p clipped to [eps, 1 - eps]."""

    labels: ClassVar[bool] = True
    base: CrossEntropy | BinaryCrossEntropy
    eps: float
    clipped: bool = False

    def desired(self, d: Array, shape: Shape, dtype: Any) -> Array:
        return self.base.desired(d, shape, dtype)

    def forward(self, y: Array, d: Array) -> Array:
        total: Array = 0.0
        for t, p in self._terms(y, d):
            total = total - (t * np.log(self._kept(p))).sum(axis=-1)
        return total

    def gradient(self, y: Array, d: Array) -> Array:
        shares = [t / self._kept(p) for t, p in self._terms(y, d)]
        p = [p for _, p in self._terms(y, d)]
        if self.base.on == "probabilities":
            return -shares[0] if len(p) == 1 else shares[1] - shares[0]
        s = [share * one for share, one in zip(shares, p, strict=True)]
        if len(p) == 1:
            return p[0] * s[0].sum(axis=-1, keepdims=True) - s[0]
        return s[1] * p[0] - s[0] * p[1]

    def _terms(self, y: Array, d: Array) -> Iterator[tuple[Array, Array]]:
        """(target, probability) of each class; of both classes for a binary cross-entropy."""
        logits = self.base.on == "logits"
        if isinstance(self.base, CrossEntropy):
            yield self.base.smoothed(d), np.exp(log_softmax(y)) if logits else y
        else:
            yield d, sigmoid(y) if logits else y
            yield 1 - d, sigmoid(-y) if logits else 1 - y

    def _kept(self, p: Array) -> Array:
        if self.clipped:
            return np.minimum(np.maximum(p, self.eps), 1.0 - self.eps)
        return p + self.eps


def other_logs(case: Case, y: Array | None, div: Any, err: Any) -> Iterator[Alternative]:
    """Cross-entropies with a small number in the logarithm, which is solved from the loss.

    Parameters
    ----------
    case : what was asked for.
    y : the output, as the loss received it.
    div, err : the loss of each sample and the whole loss; None for what was not returned.
    """
    base = case.network.divergence
    if type(base) not in (CrossEntropy, BinaryCrossEntropy) or y is None:
        return
    assert isinstance(base, CrossEntropy | BinaryCrossEntropy)
    samples = div is not None
    if not samples and (err is None or case.network.weights is not None):
        return
    y, d = np.asarray(y, np.float64), np.asarray(case.desired, np.float64)
    got = np.asarray(div if samples else err, np.float64)
    mean = case.network.reduction == "mean"

    def reduced(div: NDArray) -> NDArray:
        return div if samples else np.asarray(div.mean() if mean else div.sum())

    terms = [*OtherLog(base, 0.0)._terms(y, d)]

    def slope(eps: float) -> NDArray:
        return reduced(-sum((t / (p + eps)).sum(axis=-1) for t, p in terms))

    with np.errstate(all="ignore"):
        want = reduced(OtherLog(base, 0.0).forward(y, d))
        if np.shape(got) != np.shape(want):
            return
        unit = 8 * case.precision.unit * np.maximum(np.abs(got), 1.0)
        value = _newton(lambda eps: reduced(OtherLog(base, eps).forward(y, d)), slope, got, unit)
        for eps in _spelled(*value):
            said = f"log(p + {eps:g}), not log(p)"
            yield Alternative(PLUS, eps, said, OtherLog(base, eps))
        off = np.atleast_1d(np.abs(got - want) > unit)
        if samples and off.any():
            at = np.atleast_1d(got)[off]
            solved = float(np.exp(-at.max())), float(-np.expm1(-at.min()))
            short_ones = [e for eps in solved for e in _spelled(eps, int(off.sum()), 1e-3)]
            for short in dict.fromkeys((*short_ones, *USUAL)):
                said = f"log of p clipped to [{short:g}, 1 - {short:g}], not log(p)"
                yield Alternative(CLIPPED, short, said, OtherLog(base, short, True))


def _newton(
    f: Callable[[float], NDArray], slope: Callable[[float], NDArray], got: NDArray, unit: NDArray
) -> tuple[float, int, float]:
    """eps of got = f(eps), how many elements tell it, and how far off it may be, relatively."""
    eps, n = 0.0, 0
    for _ in range(STEPS):
        step, n = solve(got - f(eps), slope(eps), unit * 1e-12)
        eps = max(eps + step, 0.0)
        if abs(step) <= 1e-12 * eps:
            break
    signal = np.abs(got - f(0.0)) / unit
    largest = float(signal[np.isfinite(signal)].max(initial=0.0))
    return eps, n, min(1e-3 + 3.0 / max(1.0, largest), 0.25)


def _spelled(eps: float, n: int, near: float) -> Iterator[float]:
    """The number with few digits; with a single one where few elements tell it."""
    if not 0.0 < eps <= LARGEST:
        return
    for short in spelled(eps, n, near):
        if n >= ENOUGH or float(f"{short:.0e}") == short:
            yield short
