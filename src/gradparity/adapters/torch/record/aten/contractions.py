"""Matrix products and convolutions."""

from __future__ import annotations

from typing import Any

from ..... import ops
from .....core.formulas.op import Op
from .....core.network.composed import Composed
from .....core.network.nodes import Node
from .table import Arguments, Mapped, rule

__all__: list[str] = []


@rule("mm", "bmm")
def _(a: Arguments) -> Mapped:
    return Mapped(ops.MatMul(), ("self", "mat2"))


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
    nodes = [Node("p", ops.MatMul(), "x", "w")]
    if alpha != 1.0:
        nodes.append(Node("p_scaled", ops.Scale(alpha), "p"))
    product = nodes[-1].name
    if beta == 0.0:
        return Mapped(Composed("scaled product", *nodes, inputs=("x", "w")), names[:2])
    before = "b"
    if beta != 1.0:
        nodes.append(Node("b_scaled", ops.Scale(beta), "b"))
        before = "b_scaled"
    nodes.append(Node("z", ops.Add(), product, before))
    return Mapped(Composed("product and sum", *nodes, inputs=("x", "w", "b")), names)


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
