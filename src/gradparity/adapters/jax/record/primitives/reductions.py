"""Sums, largest elements, windows and scans."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..... import ops
from .....core.formulas.op import Op
from .....core.programs.scans import CumulativeLogSumExp
from ....mapped import Mapped, UnmappedError, chain
from .table import Operands, rule

__all__: list[str] = []


@rule("reduce_sum")
def _(a: Operands) -> Mapped:
    axes = tuple(a.params["axes"])
    return Mapped(ops.Sum(axes) if axes else ops.Identity())


@rule("psum")
def _(a: Operands) -> Mapped:
    """A sum over an axis that `vmap` gave a name, which is an axis of the array since."""
    axes = tuple(a.params["axes"])
    if len(a.ins) != 1 or a.params["axis_index_groups"] or any(isinstance(x, str) for x in axes):
        raise UnmappedError(f"over {axes}")
    return Mapped(ops.Sum(axes) if axes else ops.Identity())


def _last(a: Operands, op: Op) -> Mapped:
    """An op along the last axis, applied along these."""
    axes, n = tuple(a.params["axes"]), a.ins[0].ndim
    if not axes:
        return Mapped(ops.Identity())
    kept = [i for i in range(n) if i not in axes]
    size = math.prod(a.ins[0].shape[i] for i in axes)
    into = ops.Reshape((*(a.ins[0].shape[i] for i in kept), size), keep=0)
    order = (ops.Transpose((*kept, *axes)),) if axes != tuple(range(n - len(axes), n)) else ()
    return Mapped(chain("reduction", *order, into, op, ops.Reshape(a.shape, keep=0)))


rule("reduce_max")(lambda a: _last(a, ops.Max()))
rule("reduce_min")(lambda a: _last(a, ops.Min()))
rule("reduce_prod")(lambda a: _last(a, ops.Prod()))


def _scan(op: Callable[[int], Op], *, negated: bool = False) -> Callable[[Operands], Mapped]:
    def of(a: Operands) -> Mapped:
        axis, turned = a.params["axis"], a.params["reverse"]
        flip = (ops.Flip(axis),) if turned else ()
        minus = (ops.Scale(-1.0),) if negated else ()
        return Mapped(chain("scan", *minus, *flip, op(axis), *flip, *minus))

    return of


rule("cumsum")(_scan(ops.CumulativeSum))
rule("cumprod")(_scan(ops.CumulativeProduct))
rule("cumlogsumexp")(_scan(CumulativeLogSumExp))
rule("cummax")(_scan(ops.CumulativeMax))
rule("cummin")(_scan(ops.CumulativeMax, negated=True))


def _windows(a: Operands, make: Callable[..., Op]) -> Mapped:
    """Windows over up to three axes; the others are neither windowed nor padded."""
    p, shape = a.params, a.ins[0].shape
    each = list(zip(p["window_dimensions"], p["window_strides"], p["padding"],
                    p["window_dilation"], strict=True))  # fmt: skip
    if any(k != 1 for k in p["base_dilation"]):
        raise UnmappedError("base_dilation")
    over = [
        i for i, (k, s, pad, d) in enumerate(each) if (k, s, tuple(pad), d) != (1, 1, (0, 0), 1)
    ]
    if not 1 <= len(over) <= 3:
        raise UnmappedError(f"windows over {len(over)} axes")
    rest = [i for i in range(len(shape)) if i not in over]
    op = make(*(tuple(tuple(x) if isinstance(x, tuple | list) else int(x) for x in column)
                for column in zip(*(each[i] for i in over), strict=True)))  # fmt: skip
    order = (*rest, *over)
    into = (1, math.prod(shape[i] for i in rest), *(shape[i] for i in over))
    after = tuple(a.shape[i] for i in order)
    back = tuple(map(int, np.argsort(order)))
    moves = ops.Transpose(order), ops.Reshape(into, keep=0)
    return Mapped(chain("windows", *moves, op, ops.Reshape(after, keep=0), ops.Transpose(back)))


@rule("reduce_window_max")
def _(a: Operands) -> Mapped:
    return _windows(a, lambda k, s, pad, d: ops.MaxPool(k, s, pad, d))


@rule("reduce_window_min")
def _(a: Operands) -> Mapped:
    def least(k: Any, s: Any, pad: Any, d: Any) -> Op:
        minus = ops.Scale(-1.0)
        return chain("least", minus, ops.MaxPool(k, s, pad, d), minus)

    return _windows(a, least)


@rule("reduce_window_sum")
def _(a: Operands) -> Mapped:
    def summed(k: Any, s: Any, pad: Any, d: Any) -> Op:
        if any(x != 1 for x in d):
            raise UnmappedError("dilated windows")
        return ops.AvgPool(k, s, pad, divisor=1)

    return _windows(a, summed)
