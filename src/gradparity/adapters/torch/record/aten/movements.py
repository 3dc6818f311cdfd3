"""Views, copies, casts, joins and splits: elements in another place."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..... import ops
from .....core.formulas.op import Op
from .....core.network.composed import Composed
from .....core.network.nodes import Node
from .....core.programs.indexing import Overwrite, Unstack
from .....core.programs.parts import Cast
from .table import Arguments, Mapped, UnmappedError, chain, rule

__all__: list[str] = []


@rule(
    *("view", "_unsafe_view", "_reshape_alias", "unsqueeze", "squeeze", "clone", "alias"),
    "lift_fresh",
)
def _(a: Arguments) -> Mapped:
    return Mapped(ops.Reshape(a.shape, keep=0))


@rule("_to_copy")
def _(a: Arguments) -> Mapped:
    return Mapped(Cast())


@rule("copy")
def _(a: Arguments) -> Mapped:
    return Mapped(Overwrite(), ("self", "src"))


@rule("fill.Tensor")
def _(a: Arguments) -> Mapped:
    return Mapped(Overwrite(), ("self", "value"))


@rule("fill.Scalar", "zero")
def _(a: Arguments) -> Mapped:
    return Mapped(ops.Scale(0.0, float(a.given.get("value", 0.0))))


@rule("t")
def _(a: Arguments) -> Mapped:
    return Mapped(ops.Transpose() if a.self.ndim > 1 else ops.Reshape(a.shape, keep=0))


@rule("transpose")
def _(a: Arguments) -> Mapped:
    axes = list(range(a.self.ndim))
    if axes:
        axes[a.dim0], axes[a.dim1] = axes[a.dim1], axes[a.dim0]
    return Mapped(ops.Transpose(tuple(axes)))


@rule("permute")
def _(a: Arguments) -> Mapped:
    return Mapped(ops.Transpose(tuple(d % a.self.ndim for d in a.dims)))


@rule("expand")
def _(a: Arguments) -> Mapped:
    return Mapped(ops.Broadcast(a.shape))


@rule("select.int")
def _(a: Arguments) -> Mapped:
    return Mapped(ops.Select(a.index, a.dim))


@rule("slice.Tensor")
def _(a: Arguments) -> Mapped:
    stop = None if a.end is None or a.end >= a.self.shape[a.dim] else a.end
    return Mapped(ops.Slice(a.start, stop, a.step, a.dim))


@rule("split.Tensor", "split_with_sizes", "unsafe_split.Tensor", "unsafe_split_with_sizes")
def _(a: Arguments) -> Mapped:
    axis = a.dim % a.self.ndim
    sizes = tuple(out.shape[axis] for out in a.outs if out is not None)
    if len(sizes) == 1:
        return Mapped(ops.Reshape(a.shape, keep=0))
    if 0 not in sizes:
        return Mapped(ops.Split(sizes, axis), outputs=tuple(range(len(sizes))))
    ends = np.cumsum(sizes).tolist()
    nodes = [Node(f"part{i}", ops.Slice(end - size, end, 1, axis), "x")
             for i, (size, end) in enumerate(zip(sizes, ends, strict=True))]  # fmt: skip
    gives = [node.name for node in nodes]
    return Mapped(Composed("split", *nodes, inputs=("x",), gives=gives),
                  outputs=tuple(range(len(sizes))))  # fmt: skip


@rule("unbind.int")
def _(a: Arguments) -> Mapped:
    n = len(a.outs)
    return Mapped(Unstack(n, a.dim), outputs=tuple(range(n)))


def _several(a: Arguments, op: Op) -> Mapped:
    """All tensors of a list as the inputs of an op."""
    names = tuple(("tensors", i) for i, t in enumerate(a.tensors) if t.numel() or t.ndim > 1)
    return Mapped(ops.Reshape(a.shape, keep=0) if len(names) == 1 else op, names)


@rule("cat")
def _(a: Arguments) -> Mapped:
    return _several(a, ops.Concatenate(a.dim))


@rule("stack")
def _(a: Arguments) -> Mapped:
    return _several(a, ops.Stack(a.dim))


@rule("flip")
def _(a: Arguments) -> Mapped:
    return Mapped(chain("flip", *(ops.Flip(axis) for axis in a.dims)))


@rule("roll")
def _(a: Arguments) -> Mapped:
    if a.dims:
        return Mapped(chain("roll", *map(ops.Roll, a.shifts, a.dims)))
    flat = ops.Reshape((a.self.numel(),), keep=0)
    return Mapped(chain("roll", flat, ops.Roll(a.shifts[0], 0), ops.Reshape(a.shape, keep=0)))


@rule("repeat")
def _(a: Arguments) -> Mapped:
    lead = (1,) * (len(a.repeats) - a.self.ndim)
    tiles = (ops.Tile(n, axis) for axis, n in enumerate(a.repeats) if n > 1)
    return Mapped(chain("repeat", ops.Reshape((*lead, *a.self.shape), keep=0), *tiles))


def _cuts(pairs: list[tuple[int, int]]) -> list[Op]:
    """Negative padding: elements that are left out at the ends of the last axes."""
    return [
        ops.Slice(max(-low, 0), None if high >= 0 else high, 1, i - len(pairs))
        for i, (low, high) in enumerate(pairs)
        if low < 0 or high < 0
    ]


@rule("constant_pad_nd")
def _(a: Arguments) -> Mapped:
    pairs = list(zip(a.pad[::2], a.pad[1::2], strict=True))[::-1]
    grown = tuple((max(low, 0), max(high, 0)) for low, high in pairs)
    return Mapped(
        chain("pad", *_cuts(pairs), ops.Pad(grown, fill=float(a.given.get("value") or 0.0)))
    )


def _mode(mode: str) -> Any:
    def padded(a: Arguments) -> Mapped:
        pairs = list(zip(a.padding[::2], a.padding[1::2], strict=True))[::-1]
        grown = tuple((max(low, 0), max(high, 0)) for low, high in pairs)
        return Mapped(chain("pad", ops.Pad(grown, mode), *_cuts(pairs)))

    return padded


rule("reflection_pad1d", "reflection_pad2d", "reflection_pad3d")(_mode("reflect"))
rule("replication_pad1d", "replication_pad2d", "replication_pad3d")(_mode("replicate"))


@rule("diagonal")
def _(a: Arguments) -> Mapped:
    n = a.self.ndim
    last = [a.dim1 % n, a.dim2 % n]
    axes = tuple([i for i in range(n) if i not in last] + last)
    return Mapped(chain("diagonal", ops.Transpose(axes), ops.Diagonal(a.offset)))


@rule("tril")
def _(a: Arguments) -> Mapped:
    return Mapped(ops.Triangle(False, a.diagonal))


@rule("triu")
def _(a: Arguments) -> Mapped:
    return Mapped(ops.Triangle(True, a.diagonal))


@rule("pixel_shuffle")
def _(a: Arguments) -> Mapped:
    lead = math.prod(a.self.shape[:-3])
    into = ops.Reshape((lead, *a.self.shape[-3:]), keep=0)
    shuffled = ops.PixelShuffle(a.upscale_factor)
    return Mapped(chain("pixel_shuffle", into, shuffled, ops.Reshape(a.shape, keep=0)))


@rule("pixel_unshuffle")
def _(a: Arguments) -> Mapped:
    *_, C, H, W = a.self.shape
    r, lead = a.downscale_factor, math.prod(a.self.shape[:-3])
    parts = ops.Reshape((lead, C, H // r, r, W // r, r), keep=0)
    order = ops.Transpose((0, 1, 3, 5, 2, 4))
    return Mapped(chain("pixel_unshuffle", parts, order, ops.Reshape(a.shape, keep=0)))


@rule("channel_shuffle")
def _(a: Arguments) -> Mapped:
    N, C, *rest = a.self.shape
    parts = ops.Reshape((N, a.groups, C // a.groups, *rest), keep=0)
    order = ops.Transpose((0, 2, 1, *range(3, 3 + len(rest))))
    return Mapped(chain("channel_shuffle", parts, order, ops.Reshape(a.shape, keep=0)))


@rule("unfold")
def _(a: Arguments) -> Mapped:
    """Windows along one axis, whose elements come last."""
    n, axis = a.self.ndim, a.dimension % a.self.ndim
    count = a.shape[axis]
    parts = [ops.Slice(i * a.step, i * a.step + a.size, 1, axis) for i in range(count)]
    if count > 512:
        raise UnmappedError(f"{count} windows")
    order = ops.Transpose((*(i for i in range(n + 1) if i != axis + 1), axis + 1))
    nodes = [Node(f"w{i}", part, "x") for i, part in enumerate(parts)]
    joined = Node("s", ops.Stack(axis), *(f"w{i}" for i in range(count)))
    if count == 1:
        joined = Node(
            "s", ops.Reshape((*a.self.shape[:axis], 1, *parts_shape(a, axis)), keep=0), "w0"
        )
    return Mapped(Composed("unfold", *nodes, joined, Node("z", order, "s"), inputs=("x",)))


def parts_shape(a: Arguments, axis: int) -> tuple[int, ...]:
    """The axes of one window from its own on."""
    return (a.size, *a.self.shape[axis + 1 :])


@rule("im2col")
def _(a: Arguments) -> Mapped:
    op = ops.Unfold(tuple(a.kernel_size), tuple(a.stride), tuple(a.padding), tuple(a.dilation))
    return _in_batches(a, op, 4, "im2col")


@rule("col2im")
def _(a: Arguments) -> Mapped:
    op = ops.Fold(tuple(a.output_size), tuple(a.kernel_size), tuple(a.stride), tuple(a.padding),
                  tuple(a.dilation))  # fmt: skip
    return _in_batches(a, op, 3, "col2im")


def _in_batches(a: Arguments, op: Op, ndim: int, title: str) -> Mapped:
    """An op on values with a batch axis, for one with or without it."""
    if a.self.ndim == ndim:
        return Mapped(op)
    into = ops.Reshape((1, *a.self.shape), keep=0)
    return Mapped(chain(title, into, op, ops.Reshape(a.shape, keep=0)))
