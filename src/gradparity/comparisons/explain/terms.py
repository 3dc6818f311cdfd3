"""A wrong quantity as its formula gives it with one term or one factor left out.

The op's own formula is evaluated on arrays that count sums and products, once for each of them
without one of its operands, so no op needs a list of its terms.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ...core.arithmetic.arrays import NDArray
from ...core.network.contract import FormulaError
from ...core.network.quantity import Quantity
from ..measure.at_node import Reference
from .plain import Plain

__all__ = ["left_out"]

#: Maximum number of elements at a node, and of sums and products in its formula.
MOST_ELEMENTS, MOST = 20_000, 120
#: Roundings in which two ways to evaluate the same formula may differ.
FEW = 64
UNIT = 2.0**-53

Operands = tuple[Callable[[Any], Any], Callable[[Any], Any]]


def _same(a: Any) -> Any:
    return a


#: What is left of a sum or a product without its second operand, and without its first.
LEFT: dict[Any, tuple[str, Operands]] = {
    np.add: ("term", (_same, _same)),
    np.subtract: ("term", (_same, np.negative)),
    np.multiply: ("factor", (_same, _same)),
    np.divide: ("factor", (_same, np.reciprocal)),
}


def left_out(plain: Plain | None, q: Quantity, e: Reference) -> str:
    """Say that a term or a factor of the formula was left out, or return "".

    Parameters
    ----------
    plain : the node; None where its formulas cannot be evaluated.
    q, e : the quantity that is wrong, and its reference.

    >>> from gradparity.core import *
    >>> from gradparity.core.vocabulary.activations import Mish
    >>> from gradparity.core.arithmetic.rounding import Rounding
    >>> from gradparity.comparisons.measure.at_node import reference_at_node
    >>> case = Case.random(layered([Mish()], L2()), batch=4, width=3)
    >>> trace = backprop(case)
    >>> trace.edge_grad["x", "y1"] = trace.grad["y1"] * np.tanh(np.log1p(np.exp(case.x)))
    >>> step = case.network.steps[0]
    >>> e = reference_at_node(step, case, trace, Rounding.of("float64"))[-1]
    >>> left_out(Plain.of(step, case, trace), e.quantity, e)
    'exactly what this mistake gives: a term of the derivative left out'
    """
    if plain is None or sum(a.size for a in plain.y) > MOST_ELEMENTS:
        return ""
    got = np.asarray(e.got, np.float64)
    bound = np.broadcast_to(e.want.full_error(), got.shape)
    for kind, found in _without_one(plain, q):
        if found is None or found.shape != got.shape:
            continue
        if np.all(np.abs(got - found) <= bound + FEW * UNIT * np.abs(found)):
            of = "derivative" if q.is_gradient else "formula"
            return f"exactly what this mistake gives: a {kind} of the {of} left out"
    return ""


@dataclass
class _Plan:
    """Which of the sums and products lacks an operand, and which of its operands."""

    target: int
    kept: int = 0
    count: int = 0
    kind: str = ""


class _Counted(np.ndarray):
    """An array that counts the sums and products it takes part in, and carries out a plan."""

    plan: _Plan | None = None

    def __array_finalize__(self, other: Any) -> None:
        self.plan = getattr(other, "plan", None)

    def __array_ufunc__(
        self, ufunc: Any, method: str, *inputs: Any, out: Any = None, **kwargs: Any
    ) -> Any:
        plan = next(x.plan for x in (*inputs, *(out or ())) if isinstance(x, _Counted))
        bare = [_bare(x) for x in inputs]
        if out is not None:
            kwargs["out"] = tuple(_bare(x) for x in out)
        found = getattr(ufunc, method)(*bare, **kwargs)
        if method == "__call__" and ufunc in LEFT and not kwargs and plan is not None:
            plan.count += 1
            if plan.count == plan.target:
                plan.kind, left = LEFT[ufunc]
                operand = np.asarray(left[plan.kept](bare[plan.kept]), found.dtype)
                found = np.broadcast_to(operand, found.shape).copy()
        return _counted(found, plan)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return _counted(super().__array_function__(func, types, args, kwargs), self.plan)


def _bare(x: Any) -> Any:
    return x.view(np.ndarray) if isinstance(x, _Counted) else x


def _counted(found: Any, plan: _Plan | None) -> Any:
    """Floats as arrays that count, with the same plan."""
    if isinstance(found, tuple | list):
        return type(found)(_counted(x, plan) for x in found)
    if not isinstance(found, np.ndarray) or found.dtype.kind != "f":
        return found
    counted = found.view(_Counted)
    counted.plan = plan
    return counted


def _without_one(plain: Plain, q: Quantity) -> Iterator[tuple[str, NDArray | None]]:
    """(term or factor, the quantity without it) for each operand of each sum and product."""
    gradient = q in plain.uses
    key = "gradients without a term" if gradient else "values without a term"
    for kind, found in plain.kept(plain.step.op, key, partial(_all, plain, gradient)):
        yield kind, found[plain.uses.index(q)] if gradient else found.get(q.name)


def _all(plain: Plain, gradient: bool) -> list[tuple[str, Any]]:
    """(term or factor, all gradients or all values without it)."""
    whole = _Plan(0)
    n = 0 if _results(plain, gradient, whole) is None else whole.count
    plans = [_Plan(target, kept) for target in range(1, n + 1) for kept in (0, 1)]
    results = ((plan, _results(plain, gradient, plan)) for plan in plans if n <= MOST)
    return [(plan.kind, found) for plan, found in results if found is not None]


def _results(plain: Plain, gradient: bool, plan: _Plan) -> Any:
    """The gradients or the values by the op's own formula, carried out by a plan."""
    watched, op = plain.through(lambda a: _counted(a, plan)), plain.step.op
    try:
        if gradient:
            return [None if g is None else _bare(g) for g in watched.gradients(op, plain.z)]
        return {name: _bare(z) for name, z in watched.values(op).items()}
    except (FormulaError, TypeError, ValueError, IndexError):
        return None
