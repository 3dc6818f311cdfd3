"""Products and convolutions."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..... import ops
from .....core.formulas.op import Op
from .....core.network.composed import Composed
from .....core.network.nodes import Node
from .....core.programs.indexing import Dilate, Index, PutAt
from ....mapped import Mapped, UnmappedError
from .table import Operands, rule

__all__: list[str] = []

LETTERS = "abcdefghijklmnopqrstuvwxyz"


@rule("dot_general")
def _(a: Operands) -> Mapped:
    """The axes of the result: those of the batch, those of the left alone, those of the right."""
    (ca, cb), (ba, bb) = a.params["dimension_numbers"]
    letters = iter(LETTERS)
    left: list[str] = [""] * a.ins[0].ndim
    right: list[str] = [""] * a.ins[1].ndim
    for i, j in (*zip(ba, bb, strict=True), *zip(ca, cb, strict=True)):
        left[i] = right[j] = next(letters)
    left = [x or next(letters) for x in left]
    right = [x or next(letters) for x in right]
    batch = [left[i] for i in ba]
    out = [*batch, *(x for i, x in enumerate(left) if i not in (*ba, *ca)),
           *(x for j, x in enumerate(right) if j not in (*bb, *cb))]  # fmt: skip
    if _is_matmul(left, right, out):
        return Mapped(ops.MatMul(), (0, 1))
    equation = f"{''.join(left)},{''.join(right)}->{''.join(out)}"
    return Mapped(ops.Einsum(equation), (0, 1))


def _is_matmul(left: list[str], right: list[str], out: list[str]) -> bool:
    if not len(left) == len(right) >= 2:
        return False
    lead = left[:-2]
    return left[-1] == right[-2] and lead == right[:-2] and out == [*lead, left[-2], right[-1]]


@rule("ragged_dot_general")
def _(a: Operands) -> Mapped:
    """Rows of x times the matrix of their group; rows behind the last group give zeros."""
    p = a.params
    numbers = p["ragged_dot_dimension_numbers"]
    plain = ((1,), (1,)), ((), ())
    given = tuple(tuple(map(tuple, pair)) for pair in numbers.dot_dimension_numbers)
    if given != plain or tuple(numbers.lhs_ragged_dimensions) != (0,):
        raise UnmappedError("other axes than those of ragged_dot")
    sizes = np.asarray(a.ins[2])
    group = np.repeat(np.arange(len(sizes)), sizes)
    rows = np.arange(len(group))
    op = Composed(
        "ragged_dot",
        Node("xs", Index((True,)), "rows", "x"),
        Node("ws", Index((True,)), "group", "w"),
        Node("zs", ops.Einsum("mk,mkn->mn"), "xs", "ws"),
        Node("z", PutAt((True,)), "rows", "fill", "zs"),
        inputs=("rows", "group", "fill", "x", "w"),
        fixed=("rows", "group", "fill"),
    )
    return Mapped(op, (rows, group, np.zeros(a.shape, a.outs[0].dtype), 0, 1))


@rule("conv_general_dilated")
def _(a: Operands) -> Mapped:
    """With `batch_group_count`, parts of the batch become groups of channels."""
    p, d = a.params, a.params["dimension_numbers"]
    x, w = (np.transpose(v, spec) for v, spec in zip(a.ins, (d.lhs_spec, d.rhs_spec), strict=True))
    n = x.ndim - 2
    if not 1 <= n <= 3:
        raise UnmappedError(f"{n} spatial axes")
    nodes: list[Node] = [
        Node("xs", ops.Transpose(tuple(d.lhs_spec)), "x"),
        Node("ws", ops.Transpose(tuple(d.rhs_spec)), "w"),
    ]
    before, parts = "xs", p["batch_group_count"]
    if parts != 1:
        size, channels, *rest = x.shape
        x = x.reshape(parts, size // parts, channels, *rest).swapaxes(0, 1)
        order = (1, 0, *range(2, x.ndim))
        x = x.reshape(size // parts, parts * channels, *rest)
        nodes += [
            Node("xp", ops.Reshape((parts, size // parts, channels, *rest), keep=0), "xs"),
            Node("xt", ops.Transpose(order), "xp"),
            Node("xg", ops.Reshape(x.shape, keep=0), "xt"),
        ]
        before = "xg"
    if any(k != 1 for k in p["lhs_dilation"]):
        nodes.append(Node("xd", Dilate((1, 1, *p["lhs_dilation"])), "xs"))
        before = "xd"
    cuts, pads = _padding(p["padding"])
    for i, cut in enumerate(cuts):
        nodes.append(Node(f"xc{i}", cut, before))
        before = f"xc{i}"
    conv: Op = ops.Conv(
        x.shape[1], w.shape[0], tuple(w.shape[2:]), tuple(p["window_strides"]), pads,
        tuple(p["rhs_dilation"]), p["feature_group_count"] * parts, bias=False,
    )  # fmt: skip
    nodes.append(Node("zs", conv, before, W="ws"))
    nodes.append(Node("z", ops.Transpose(tuple(map(int, np.argsort(d.out_spec)))), "zs"))
    return Mapped(Composed("convolution", *nodes, inputs=("x", "w")), (0, 1))


def _padding(padding: Any) -> tuple[list[Op], tuple[tuple[int, int], ...]]:
    """Slices for negative padding, and what is left."""
    cuts: list[Op] = [
        ops.Slice(max(-low, 0), None if high >= 0 else high, 1, axis)
        for axis, (low, high) in enumerate(padding, start=2)
        if low < 0 or high < 0
    ]
    return cuts, tuple((max(int(low), 0), max(int(high), 0)) for low, high in padding)
