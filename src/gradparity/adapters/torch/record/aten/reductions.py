"""Sums, means, norms, largest elements, softmax and scans."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..... import ops
from .....core.formulas.op import Op
from .....core.network.composed import Composed
from .....core.network.nodes import Node
from .....core.programs.scans import CumulativeLogSumExp
from ....mapped import norm_of
from .table import Arguments, Mapped, chain, constant, rule
from .tensors import numbers

__all__: list[str] = []

IDENTITY = ops.Identity()


def _axes(a: Arguments, name: str = "dim") -> tuple[int, ...]:
    """The axes of a reduction; all of them where none is given."""
    given = a.given.get(name)
    given = [given] if isinstance(given, int) else given
    return tuple(d % max(a.self.ndim, 1) for d in given) if given else tuple(range(a.self.ndim))


def _over(a: Arguments, make: Callable[[Any], Op], title: str) -> Mapped:
    """A reduction over several axes, in the shape of the result."""
    axes = _axes(a)
    if a.self.ndim == 0:
        return Mapped(ops.Reshape(a.shape, keep=0))
    op = make(axes if len(axes) < a.self.ndim else None)
    kept = tuple(n for i, n in enumerate(a.self.shape) if i not in axes)
    more = () if kept == a.shape else (ops.Reshape(a.shape, keep=0),)
    return Mapped(chain(title, op, *more))


rule("sum")(lambda a: _over(a, ops.Sum, "sum"))
rule("mean")(lambda a: _over(a, ops.Mean, "mean"))


def _correction(a: Arguments) -> float:
    given = a.given.get("correction", a.given.get("unbiased", True))
    return 1.0 if given is None else float(given)


rule("var")(lambda a: _over(a, lambda axes: ops.Variance(axes, _correction(a)), "var"))
rule("std")(lambda a: _over(a, lambda axes: ops.Std(axes, _correction(a)), "std"))


def _along(a: Arguments, axes: tuple[int, ...]) -> list[Op]:
    """Movements that make one last axis of several."""
    n = a.self.ndim
    kept = [i for i in range(n) if i not in axes]
    if axes == (n - 1,):
        return []
    order = ops.Transpose((*kept, *axes))
    size = math.prod(a.self.shape[i] for i in axes)
    return [order, ops.Reshape((*(a.self.shape[i] for i in kept), size), keep=0)]


def _last(a: Arguments, op: Op, title: str, name: str = "dim") -> Mapped:
    """An op along the last axis, applied along these."""
    if a.self.ndim == 0:
        return Mapped(ops.Reshape(a.shape, keep=0))
    before = _along(a, _axes(a, name))
    return Mapped(chain(title, *before, op, ops.Reshape(a.shape, keep=0)))


rule("logsumexp")(lambda a: _last(a, ops.LogSumExp(), "logsumexp"))
rule("prod")(lambda a: _last(a, ops.Prod(), "prod"))
rule("amax", "max.dim", "max")(lambda a: _last(a, ops.Max(), "max"))
rule("amin", "min.dim", "min")(lambda a: _last(a, ops.Min(), "min"))


@rule("linalg_vector_norm", "norm")
def _(a: Arguments) -> Mapped:
    order = a.given.get("ord", a.given.get("p"))
    return _norm(a, 2.0 if order is None else float(order))


def _norm(a: Arguments, order: float) -> Mapped:
    return _last(a, norm_of(order), "vector norm")


def _along_axis(op: Callable[[int], Op], of_scalar: Op = IDENTITY) -> Callable[[Arguments], Mapped]:
    """An op along an axis, which it keeps; and what it is to a scalar."""

    def of(a: Arguments) -> Mapped:
        return Mapped(op(a.dim) if a.self.ndim else of_scalar)

    return of


rule("_softmax")(_along_axis(ops.Softmax, ops.Scale(0.0, 1.0)))
rule("_safe_softmax")(_along_axis(lambda axis: ops.Softmax(axis, safe=True), ops.Scale(0.0, 1.0)))
rule("_log_softmax")(_along_axis(ops.LogSoftmax, ops.Scale(0.0)))
rule("cumsum")(_along_axis(ops.CumulativeSum))
rule("cumprod")(_along_axis(ops.CumulativeProduct))
rule("logcumsumexp")(_along_axis(CumulativeLogSumExp))
rule("cummax")(_along_axis(ops.CumulativeMax))


@rule("nansum")
def _(a: Arguments) -> Mapped:
    summed = _over(a, ops.Sum, "sum").op
    nodes = Node("numbers", ops.Where(), "m", "x", "zero"), Node("z", summed, "numbers")
    op = Composed("nansum", *nodes, inputs=("m", "x", "zero"), fixed=("m", "zero"))
    return Mapped(op, (~np.isnan(numbers(a.self)), "self", constant(0.0, a.self)))


def _two(a: Arguments, one: Mapped, other: Mapped, title: str) -> Mapped:
    """Two results of one value."""
    nodes = Node("first", one.op, "x"), Node("second", other.op, "x")
    gives = ("first", "second")
    return Mapped(Composed(title, *nodes, inputs=("x",), gives=gives), outputs=(0, 1))


for _name, _spread in (("std_mean", ops.Std), ("var_mean", ops.Variance)):
    rule(_name)(lambda a, op=_spread: _two(  # type: ignore[misc]
        a, _over(a, lambda axes: op(axes, _correction(a)), "spread"), _over(a, ops.Mean, "mean"),
        "spread and mean"))  # fmt: skip
rule("aminmax")(
    lambda a: _two(a, _last(a, ops.Min(), "min"), _last(a, ops.Max(), "max"), "aminmax")
)


@rule("cummin")
def _(a: Arguments) -> Mapped:
    if a.self.ndim == 0:
        return Mapped(IDENTITY)
    turned = ops.Scale(-1.0)
    return Mapped(chain("cummin", turned, ops.CumulativeMax(a.dim), turned))


def _in_order(a: Arguments, k: int) -> Mapped:
    """The k-th smallest element, counted from 0."""
    return _last(a, chain("k-th", ops.Sort(), ops.Select(k, -1)), "k-th smallest")


rule("kthvalue")(lambda a: _in_order(a, a.k - 1))
rule("median", "median.dim")(
    lambda a: _in_order(a, (math.prod(a.self.shape[i] for i in _axes(a)) - 1) // 2)
)


@rule("sort")
def _(a: Arguments) -> Mapped:
    return Mapped(ops.Sort(a.dim, bool(a.descending)))


@rule("topk")
def _(a: Arguments) -> Mapped:
    if not a.largest:
        return Mapped(ops.Sort(a.dim, False, a.k))
    return Mapped(ops.Sort(a.dim, True, a.k))
