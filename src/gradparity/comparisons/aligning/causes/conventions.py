"""Conventions of losses, pools, dropout and norms that two programs may differ in, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ....core.arithmetic.arrays import Array, NDArray
from ....core.formulas.movements import Mean, Sum
from ....core.formulas.op import Op
from ....core.formulas.windows import MaxPool
from ....core.network.calls import Call
from ....core.network.composed import Composed
from ....core.programs.parts import ClassNLL
from ....core.vocabulary.normalisation import GroupNorm
from ....core.vocabulary.pooling import AvgPool
from ..programs.edits import Edit

__all__ = ["conventions", "dropout_rate"]

#: Label smoothing that people use.
SMOOTHING = (0.1, 0.05, 0.2, 0.01)
#: The most labels and the most numbers of groups that are tried.
LABELS, GROUPS = 12, 64


def conventions(call: Call, y: Sequence[NDArray], numbers: Sequence[float]) -> Iterator[Edit]:
    """Another label smoothing, ignored label, dropout, kind or rounding of a pool, or reduction."""
    yield from _smoothed(call, y, numbers)
    yield from (Edit(said, op) for said, op in _other_ops(call.op, y))
    if isinstance(call.op, Composed):
        for step in call.op.network.body:
            for said, op in _other_ops(step.op, ()):
                try:
                    changed = call.op.with_op(step.name, op)
                except (ValueError, TypeError):
                    continue
                yield Edit(f"{step.op.name}: {said}", changed)


def _other_ops(op: Op, y: Sequence[NDArray]) -> Iterator[tuple[str, Op]]:
    """(words, op) that people take in the place of an op."""
    if isinstance(op, Mean):
        yield "it is a mean {here} and a sum {there}", Sum(op.axis)
    elif type(op) is Sum:
        yield "it is a sum {here} and a mean {there}", Mean(op.axis)
    if isinstance(op, ClassNLL):
        for reduction in ("mean", "sum"):
            if op.reduction in ("mean", "sum") and reduction != op.reduction:
                said = f"reduction is {op.reduction} {{here}} and {reduction} {{there}}"
                yield said, replace(op, reduction=reduction)
        own = "none" if op.ignore_index in (None, -100) else op.ignore_index
        labels = [int(i) for i in np.unique(y[0])[:LABELS]] if y else []
        for label in [None, *labels]:
            if label != op.ignore_index:
                there = "none" if label is None else label
                said = f"the ignored label, ignore_index, is {own} {{here}} and {there} {{there}}"
                yield said, replace(op, ignore_index=label)
    if isinstance(op, GroupNorm):
        for groups in range(1, min(op.n, GROUPS) + 1):
            if not op.n % groups and groups != op.groups:
                said = f"groups is {op.groups} {{here}} and {groups} {{there}}"
                yield said, replace(op, groups=groups)
    if isinstance(op, MaxPool | AvgPool):
        yield from _other_pools(op, y)


def _other_pools(op: MaxPool | AvgPool, y: Sequence[NDArray]) -> Iterator[tuple[str, Op]]:
    rest: dict[str, Any] = {"stride": op.stride, "padding": op.padding}
    if isinstance(op, AvgPool):
        yield "it is an average {here} and a maximum {there}", MaxPool(op.kernel, **rest)
    elif op.dilation in (1, (1,) * len(op.kernel)):
        yield "it is a maximum {here} and an average {there}", AvgPool(op.kernel, **rest)
    if not isinstance(op.padding, tuple) or not y or y[0].ndim != len(op.kernel) + 2:
        return
    ends: dict[str, Any] = {"count_include_pad": False} if isinstance(op, AvgPool) else {}
    stride = op.stride if isinstance(op.stride, tuple) else (op.stride,) * len(op.kernel)
    if all(isinstance(p, tuple) for p in op.padding):
        padding: Any = tuple(
            (p, q + (-(n + p + q - k)) % s)
            for n, k, s, (p, q) in zip(y[0].shape[2:], op.kernel, stride, op.padding, strict=True)
        )
        if padding != op.padding:
            said = f"padding is {op.padding} {{here}} and {padding} {{there}}, as with ceil_mode"
            yield said, replace(op, padding=padding, **ends)
        even: Any = tuple((p, p) for p, _ in op.padding)
        if even != op.padding and all(q >= p for p, q in op.padding):
            said = f"padding is {op.padding} {{here}}, as with ceil_mode or same, and {even} "
            yield said + "{there}", replace(op, padding=even)


@dataclass(frozen=True)
class _Smoothed(Op):
    """The loss of class labels with label smoothing.

    Attributes
    ----------
    op : without.
    share : of all classes, or of all others.
    others : whether the share is that of the other classes alone.
    """

    op: ClassNLL
    share: float
    others: bool

    def forward(self, *y: Array) -> Array:
        labels, weights, logs = (np.asarray(a) for a in y)
        K = logs.shape[1 if logs.ndim > 1 else 0]
        share = self.share * K / (K - 1) if self.others else self.share
        kept = labels != self.op.ignore_index
        mean = -(logs * weights.reshape(-1, *[1] * max(logs.ndim - 2, 0))).mean(
            1 if logs.ndim > 1 else 0
        )
        mean = np.where(kept, mean, 0.0)
        if self.op.reduction != "none":
            mean = mean.sum()
        if self.op.reduction == "mean":
            mean = mean / np.where(kept, weights[np.where(kept, labels, 0)], 0.0).sum()
        return (1 - share) * np.asarray(self.op.forward(*y)) + share * mean


def _smoothed(call: Call, y: Sequence[NDArray], numbers: Sequence[float]) -> Iterator[Edit]:
    """Another label smoothing, by the loss or by its constant target."""
    shares = dict.fromkeys((*SMOOTHING, *(n for n in numbers if 0 < n < 0.5)))
    if isinstance(call.op, ClassNLL):
        for share in shares:
            yield Edit(_of_smoothing("0", share, False), _Smoothed(call.op, share, False))
            yield Edit(_of_smoothing("0", share, True), _Smoothed(call.op, share, True))
        return
    for i, (o, a) in enumerate(zip(call.inputs, y, strict=True)):
        if o.source or a.ndim < 2 or a.dtype.kind != "f" or a.shape[-1] < 2:
            continue
        if a.min() < 0 or not np.allclose(a.sum(-1), 1.0, rtol=0, atol=1e-6):
            continue
        K, low = a.shape[-1], float(a.min())
        whole = np.eye(K)[a.argmax(-1)]
        if not np.allclose(a, np.where(whole > 0, 1 - (K - 1) * low, low), rtol=0, atol=1e-6):
            continue
        own = f"{low * K:.6g}" if low else "0"
        usual = [any(abs(a - b) < 1e-6 for b in shares) for a in (low * K, low * (K - 1))]
        if usual == [False, True]:
            own = f"{low * (K - 1):.6g}, shared among the other classes alone,"
        for share in (0.0, *shares):
            for others in (False, True) if share else (False,):
                each = share / (K - 1) if others else share / K
                if abs(each - low) > 1e-9:
                    target = np.where(whole > 0, 1 - (K - 1) * each, each)
                    said = _of_smoothing(own, share, others)
                    yield Edit(said, call.op, {i: target}, far=True)


def _of_smoothing(own: str, share: float, others: bool) -> str:
    more = ", shared among the other classes alone" if others else ""
    return f"label smoothing is {own} {{here}} and {share:.6g} {{there}}{more}"


def dropout_rate(a: NDArray) -> float | None:
    """The rate of a dropout by its mask; None if it is not one."""
    if a.size < 4 or a.dtype.kind != "f" or a.min() != 0:
        return None
    rest = np.unique(a[a != 0])
    if not rest.size or rest[-1] - rest[0] > 1e-5 * rest[-1] or rest[0] <= 1:
        return None
    return float(1 - 1 / rest[-1])
