"""References of final results, and how far the rounding of the whole network may move them.

The variances of `core.arithmetic.varied` give the shape of the error; a few draws of the same
roundings, pooled over each tensor, its scale, because errors that are shared add up.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ...core.arithmetic.arrays import NDArray
from ...core.arithmetic.rounding import SIGMAS
from ...core.arithmetic.varied import Noise, Varied
from ...core.formulas.op import Op
from ...core.network.backprop import Forward, backward_pass
from ...core.network.case import Case
from ...core.network.quantity import Quantity
from .branches import Branches, find
from .measured import Measured
from .varied_pass import varied_pass

__all__ = ["Reference", "quantities"]

#: Draws of the rounding errors: to begin with, where they exceed the variances, and before the
#: average of a whole tensor is called wrong (Student's t of 16 passes 15 once in 1e10).
DRAWS, MORE, MOST = 3, 8, 16
#: The scale of the draws, against the variances, that asks for more of them.
SHARED = 1.5
#: Width of the test of a whole tensor's average, in standard deviations of the draws.
AVERAGE = 15.0
#: Variances are squares: below this a float64 number has none.
LEAST = 2.0**-450


class Reference:
    """The references of the results of a case, with their bounds.

    `widest` : allow any order of the terms of a sum, and the usual forms of every formula.
    `products` : name of the precision of matrix products, where they have another; their operands
    are rounded to it, and so are all results.
    """

    def __init__(
        self,
        case: Case,
        got: Mapping[Quantity, NDArray],
        *,
        widest: bool = False,
        products: str = "",
    ) -> None:
        self.case, self.got, self.widest, self.products = case, got, widest, products
        self.passed = varied_pass(case, self._noise(forms=widest))
        self.draws = _Draws()
        # float64 is judged by a reference that has the same errors itself.
        self.widen = np.sqrt(2.0) if case.precision.digits >= np.finfo(float).nmant else 1.0
        self._calibrate({}, DRAWS)
        if self.draws.largest > SHARED:
            self._calibrate({}, MORE)

    def _noise(self, seed: int | None = None, *, forms: bool = False) -> Noise:
        noise = Noise.of(self.case.precision, seed, ordered=self.widest, forms=forms)
        if not self.products:
            return noise
        coarse = Noise.of(self.products)
        return replace(noise, out=coarse.out, factors=coarse.out)

    def _calibrate(self, ops: Mapping[str, Op], draws: int) -> None:
        if self.draws.n >= draws:
            return
        want = dict(quantities(self.passed, ops, self.got))
        for seed in range(self.draws.n, draws):
            drawn_pass = varied_pass(self.case, self._noise(seed))
            for q, drawn in quantities(drawn_pass, ops, self.got):
                self.draws.add(q, drawn, want[q])
        self.draws.n = draws

    def sigma(self, name: str) -> NDArray:
        """The standard deviation of a value."""
        spread = _sigma(self.passed.value[name])
        return np.asarray(self.widen * self.draws.scale(Quantity.value(name)) * spread)

    def branches(self) -> list[Branches]:
        own = {q.name: a for q, a in self.got.items() if q.is_value}
        return find(self.passed, self.sigma, own, self.case.precision.tiny)

    def outcome(self, ops: Mapping[str, Op]) -> dict[Quantity, Measured]:
        """Every result, measured with these ops in place of the network's."""
        want = dict(quantities(self.passed, ops, self.got))
        measured = {q: self._measured(q, want[q]) for q in self.got}
        if any(m.average > 1.0 and not m.outside.any() for m in measured.values()):
            self._calibrate({}, MOST)
            measured = {q: self._measured(q, want[q]) for q in self.got}
        return measured

    def _measured(self, q: Quantity, want: Varied) -> Measured:
        precision = self.case.precision
        with np.errstate(all="ignore"):
            sigma = self.widen * self.draws.scale(q) * want.sigma
            bound = SIGMAS * sigma + max(precision.tiny, LEAST)
            bound = np.where(np.abs(want.value) + bound < precision.largest, bound, np.inf)
            given = np.isinf(want.value) & (sigma == 0.0)  # a mask's infinity, which is exact
            bound = np.where(given, 0.0, bound)
        m = Measured.of(self.got[q], np.asarray(want.value), bound, precision.largest)
        if m.off or m.vacuous or np.any(m.undecidable):
            return m
        return replace(m, average=self._average(q, m, sigma))

    def _average(self, q: Quantity, m: Measured, sigma: NDArray) -> float:
        """<got - want, want> in units of AVERAGE of its standard deviations."""
        unit = np.abs(m.want).max()  # the square of a small number may be zero
        direction, largest = m.want / unit, float(sigma.max(initial=0.0))
        if largest == 0.0:
            return 0.0
        independent = largest * float(np.linalg.norm(sigma / largest * direction))
        drawn = self.widen * self.draws.projection(q)
        off = abs(float(np.sum((m.got - m.want) * direction)))
        floor = self.case.precision.tiny * m.want.size
        return float(off / (AVERAGE * max(independent, drawn) + floor))


def quantities(
    passed: Forward, ops: Mapping[str, Op], wanted: Collection[Quantity]
) -> Iterator[tuple[Quantity, Any]]:
    """Every value of a forward pass, and the wanted gradients, in the arithmetic of the pass."""
    for name in (n for step in passed.network.steps for n in step.values):
        yield Quantity.value(name), passed.value[name]
    if not any(q.is_gradient for q in wanted):
        return
    found = backward_pass(passed, ops)
    given = {Quantity.grad(name): g for name, g in found.grad.items()}
    given |= {Quantity.through(*use): g for use, g in found.edge_grad.items()}
    yield from ((q, g) for q, g in given.items() if q in wanted)


def _sigma(value: Any) -> NDArray:
    """The standard deviation of a value; an input's is zero."""
    return np.asarray(value.sigma if isinstance(value, Varied) else np.zeros(np.shape(value)))


class _Draws:
    """How the drawn errors of each quantity compare with the variances."""

    def __init__(self) -> None:
        self.n = 0
        self.relative: dict[Quantity, list[float]] = {}
        self.total: dict[Quantity, list[float]] = {}
        self.projections: dict[Quantity, list[float]] = {}

    def add(self, q: Quantity, drawn: Varied, want: Varied) -> None:
        with np.errstate(all="ignore"):
            error, sigma, value = drawn.full(), want.sigma, want.value
            known = np.isfinite(error) & np.isfinite(sigma) & (sigma > 0)
            e, s = error[known], sigma[known]
            unit = s.max(initial=0.0)
            total = np.sum(np.square(e / unit)) / np.sum(np.square(s / unit)) if unit else 0.0
            self.relative.setdefault(q, []).append(float(np.mean(np.square(e / s))) if unit else 0)
            self.total.setdefault(q, []).append(float(total))
            largest = np.abs(value[known]).max(initial=0.0)
            projection = np.sum(e * (value[known] / largest)) if largest else 0.0
            self.projections.setdefault(q, []).append(float(projection))

    def scale(self, q: Quantity) -> float:
        """Never below one: variances are too small where errors are shared, seldom too large."""
        if q not in self.relative:
            return 1.0  # an input
        mean = max(float(np.mean(self.relative[q])), float(np.mean(self.total[q])))
        return float(max(1.0, mean**0.5))

    def projection(self, q: Quantity) -> float:
        drawn = np.asarray(self.projections[q])
        unit = np.abs(drawn).max(initial=0.0)
        return float(unit * np.sqrt(np.mean(np.square(drawn / unit)))) if unit else 0.0

    @property
    def largest(self) -> float:
        return max(self.scale(q) for q in self.relative)
