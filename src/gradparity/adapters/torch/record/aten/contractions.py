"""Matrix products and convolutions."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..... import ops
from .....core.formulas.op import Op
from .....core.network.composed import Composed
from .....core.network.nodes import Node
from .....core.programs.indexing import Index
from .....core.programs.parts import PlusProduct
from ....mapped import norm_of
from .table import Arguments, Mapped, UnmappedError, rule

__all__: list[str] = []


@rule("mm", "bmm")
def _(a: Arguments) -> Mapped:
    return Mapped(ops.MatMul(), ("self", "mat2"))


@rule("_grouped_mm")
def _(a: Arguments) -> Mapped:
    """The rows of each group times a matrix of its own."""
    x, w, ends = a.self, a.mat2, a.given.get("offs")
    if a.given.get("bias") is not None or x.ndim != 2 or w.ndim != 3 or ends is None:
        raise UnmappedError("other groups than those of rows, without biases")
    stops = [int(end) for end in ends]
    if stops[-1] != x.shape[0]:
        raise UnmappedError("rows that are in no group")
    nodes, parts = [], []
    for i, (start, stop) in enumerate(zip([0, *stops], stops, strict=False)):
        if start < stop:
            nodes += [
                Node(f"x{i}", ops.Slice(start, stop, 1, 0), "x"),
                Node(f"w{i}", ops.Select(i, 0), "w"),
                Node(f"z{i}", ops.MatMul(), f"x{i}", f"w{i}"),
            ]
            parts.append(f"z{i}")
    if len(parts) > 1:
        nodes.append(Node("z", ops.Concatenate(0), *parts))
    if not parts:
        raise UnmappedError("groups without rows")
    return Mapped(Composed("grouped product", *nodes, inputs=("x", "w")), ("self", "mat2"))


@rule("dot", "vdot")
def _(a: Arguments) -> Mapped:
    return Mapped(ops.MatMul(), ("self", "tensor" if "tensor" in a.given else "other"))


@rule("mv")
def _(a: Arguments) -> Mapped:
    return Mapped(ops.MatMul(), ("self", "vec"))


def _plus_product(a: Arguments, first: str, second: str) -> Mapped:
    """beta * self + alpha * first @ second."""
    alpha, beta = float(a.alpha), float(a.beta)
    x, w = a.given[first], a.given[second]
    names = (first, second, "self")
    if (alpha, beta) == (1.0, 1.0) and a.self.shape == w.shape[-1:] and w.ndim == 2:
        return Mapped(ops.Affine(x.shape[-1], w.shape[-1]), names)
    if beta == 0.0:
        return Mapped(_scaled_product(alpha), names[:2])
    return Mapped(PlusProduct(beta, alpha), names)


def _scaled_product(alpha: float) -> Op:
    """alpha * first @ second."""
    if alpha == 1.0:
        return ops.MatMul()
    nodes = Node("p", ops.MatMul(), "x", "w"), Node("z", ops.Scale(alpha), "p")
    return Composed("scaled product", *nodes, inputs=("x", "w"))


rule("addmm", "addmv")(
    lambda a: _plus_product(a, "mat1" if "mat1" in a.given else "mat",
                            "mat2" if "mat2" in a.given else "vec")
)  # fmt: skip
rule("baddbmm")(lambda a: _plus_product(a, "batch1", "batch2"))


@rule("convolution", "convolution_overrideable", "_conv_depthwise2d")
def _(a: Arguments) -> Mapped:
    x, w = a.input, a.weight
    n = w.ndim - 2
    bias = a.given.get("bias") is not None
    names = ("input", "weight", "bias") if bias else ("input", "weight")

    def full(name: str) -> tuple[int, ...]:
        given = tuple(a.given[name])
        return given * n if len(given) == 1 else given

    stride, padding, dilation = map(full, ("stride", "padding", "dilation"))
    kernel, groups = tuple(w.shape[2:]), a.groups
    channels = x.shape[1 if x.ndim == n + 2 else 0]
    if a.transposed:
        op: Op = ops.ConvTranspose(
            channels, w.shape[1] * groups, kernel, stride, padding, full("output_padding"),
            dilation, groups, bias,
        )  # fmt: skip
    else:
        op = ops.Conv(channels, w.shape[0], kernel, stride, padding, dilation, groups, bias)
    if x.ndim == n + 2:
        return Mapped(op, names)
    return _without_batch(a, op, names)


def _without_batch(a: Arguments, op: Op, names: tuple[str, ...]) -> Mapped:
    """A convolution of one sample without a batch axis."""
    letters: dict[str, Any] = dict(zip(op.parameter_shapes(), ("w", "b"), strict=False))
    nodes = (
        Node("batch", ops.Reshape((1, *a.input.shape), keep=0), "x"),
        Node("c", op, "batch", **letters),
        Node("z", ops.Reshape(a.shape, keep=0), "c"),
    )
    return Mapped(Composed("convolution", *nodes, inputs=("x", "w", "b")[: len(names)]), names)


@rule("addr")
def _(a: Arguments) -> Mapped:
    """beta * self + alpha * the outer product."""
    nodes = (
        Node("c", ops.Reshape((a.vec1.numel(), 1), keep=0), "x"),
        Node("p", ops.Multiply(), "c", "y"),
        Node("p_scaled", ops.Scale(float(a.alpha)), "p"),
        Node("b_scaled", ops.Scale(float(a.beta)), "b"),
        Node("z", ops.Add(), "p_scaled", "b_scaled"),
    )
    return Mapped(Composed("addr", *nodes, inputs=("x", "y", "b")), ("vec1", "vec2", "self"))


@rule("addbmm")
def _(a: Arguments) -> Mapped:
    """beta * self + alpha * the sum of the products."""
    nodes = (
        Node("p", ops.MatMul(), "x", "y"),
        Node("s", ops.Sum((0,)), "p"),
        Node("s_scaled", ops.Scale(float(a.alpha)), "s"),
        Node("b_scaled", ops.Scale(float(a.beta)), "b"),
        Node("z", ops.Add(), "s_scaled", "b_scaled"),
    )
    return Mapped(Composed("addbmm", *nodes, inputs=("x", "y", "b")), ("batch1", "batch2", "self"))


@rule("_trilinear")
def _(a: Arguments) -> Mapped:
    """The sum over some axes of the product of three values, to which axes are added."""
    nodes: list[Node] = []
    for i in (1, 2, 3):
        shape = list(a.given[f"i{i}"].shape)
        for axis in sorted(a.given[f"expand{i}"]):
            shape.insert(axis, 1)
        nodes.append(Node(f"x{i}", ops.Reshape(tuple(shape), keep=0), f"i{i}"))
    nodes += [
        Node("p", ops.Multiply(), "x1", "x2"),
        Node("q", ops.Multiply(), "p", "x3"),
        Node("z", ops.Sum(tuple(a.sumdim)), "q"),
    ]
    names = ("i1", "i2", "i3")
    return Mapped(Composed("trilinear", *nodes, inputs=names), names)


def _distances(p: float, before: list[Node], title: str, inputs: dict[str, Any]) -> Mapped:
    """The p-norm of differences."""
    nodes = [*before, Node("r", ops.Subtract(), "a", "b"),
             Node("z", norm_of(p), "r")]  # fmt: skip
    fixed = [name for name, given in inputs.items() if not isinstance(given, str)]
    return Mapped(Composed(title, *nodes, inputs=tuple(inputs), fixed=fixed), (*inputs.values(),))


@rule("_cdist_forward")
def _(a: Arguments) -> Mapped:
    x, y = a.x1.shape, a.x2.shape
    before = [
        Node("a", ops.Reshape((*x[:-1], 1, x[-1]), keep=0), "x"),
        Node("b", ops.Reshape((*y[:-2], 1, *y[-2:]), keep=0), "y"),
    ]
    return _distances(float(a.p), before, "cdist", {"x": "x1", "y": "x2"})


@rule("_pdist_forward")
def _(a: Arguments) -> Mapped:
    i, j = np.triu_indices(a.self.shape[0], 1)
    rows = Index((True,))
    before = [Node("a", rows, "i", "x"), Node("b", rows, "j", "x")]
    return _distances(float(a.p), before, "pdist", {"i": i, "j": j, "x": "self"})


@rule("dist")
def _(a: Arguments) -> Mapped:
    whole = np.broadcast_shapes(a.self.shape, a.other.shape)
    flat = ops.Reshape((math.prod(whole),), keep=0)
    before = [
        Node("xs", ops.Broadcast(whole), "x"),
        Node("ys", ops.Broadcast(whole), "y"),
        Node("a", flat, "xs"),
        Node("b", flat, "ys"),
    ]
    return _distances(float(a.p), before, "dist", {"x": "self", "y": "other"})
