"""Elements that are moved by the number of their place: turned, taken, put and unpooled."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..... import ops
from .....core.network.composed import Composed
from .....core.network.nodes import Node
from .....core.programs.duplicates import PutOne, winners
from .....core.programs.indexing import Index, PutAt
from .table import Arguments, Mapped, UnmappedError, constant, rule
from .tensors import numbers

__all__: list[str] = []


def _numbered(shape: Any) -> Any:
    """The number of every element."""
    return np.arange(math.prod(shape)).reshape(tuple(shape))


def _picked(a: Arguments, places: Any, title: str) -> Mapped:
    """The elements in these places."""
    flat = Node("flat", ops.Reshape((a.self.numel(),), keep=0), "x")
    op = Composed(title, flat, Node("z", Index((True,)), "i", "flat"), inputs=("i", "x"),
                  fixed=("i",))  # fmt: skip
    return Mapped(op, (places, "self"))


def _put(
    a: Arguments, places: Any, whole: Any, part: str, title: str, accumulate: bool = False
) -> Mapped:
    """A whole with a part in these places."""
    if not accumulate and np.bincount(np.ravel(places)).max(initial=0) > 1:
        out, x = a.outs[0], numbers(a.given[part])
        assert out is not None
        return Mapped(PutOne(), (places, winners(places, x, numbers(out)), whole, part))
    nodes = (
        Node("flat", ops.Reshape((math.prod(a.shape),), keep=0), "y"),
        Node("put", PutAt((True,), accumulate), "i", "flat", "x"),
        Node("z", ops.Reshape(a.shape, keep=0), "put"),
    )
    fixed = ("i",) if isinstance(whole, str) else ("i", "y")
    op = Composed(title, *nodes, inputs=("i", "y", "x"), fixed=fixed)
    return Mapped(op, (places, whole, part))


def _zeros(a: Arguments, like: Any) -> Any:
    return np.zeros(a.shape, constant(0.0, like).dtype)


@rule("rot90")
def _(a: Arguments) -> Mapped:
    return _picked(a, np.rot90(_numbered(a.self.shape), a.k, tuple(a.dims)), "rot90")


@rule("as_strided")
def _(a: Arguments) -> Mapped:
    """The elements in these places of the memory."""
    x, first = a.self, a.storage_offset
    held = _strided(x.shape, x.stride())
    taken = _strided(a.size, a.stride)
    out = a.outs[0]
    assert out is not None
    if first is not None:
        if out.untyped_storage().data_ptr() != x.untyped_storage().data_ptr():
            raise UnmappedError("an offset into memory that was written into")
        taken = taken + first - x.storage_offset()
    order = np.argsort(held, axis=None)
    found = np.minimum(np.searchsorted(held.ravel()[order], taken), held.size - 1)
    places = order[found]
    alone = np.unique(held).size == held.size
    if not alone or not np.array_equal(held.ravel()[places], taken):
        raise UnmappedError("memory that is shared by elements, or that is not the tensor's own")
    if not np.array_equal(numbers(x).ravel()[places], numbers(out), equal_nan=True):
        raise UnmappedError("strides of a tensor that was written into")
    return _picked(a, places, "as_strided")


def _strided(shape: Any, strides: Any) -> Any:
    """The place in memory of every element, from that of the first one."""
    places: Any = np.zeros((), int)
    for n, step in zip(shape, strides, strict=True):
        places = places[..., None] + np.arange(n) * step
    return places


@rule("take")
def _(a: Arguments) -> Mapped:
    return _picked(a, numbers(a.index), "take")


@rule("trace")
def _(a: Arguments) -> Mapped:
    nodes = Node("diagonal", ops.Diagonal(), "x"), Node("z", ops.Sum(), "diagonal")
    return Mapped(Composed("trace", *nodes, inputs=("x",)))


@rule("put")
def _(a: Arguments) -> Mapped:
    places = numbers(a.index) % a.self.numel()  # -1 is the last element
    return _put(a, places, "self", "source", "put", bool(a.accumulate))


@rule("diag_embed")
def _(a: Arguments) -> Mapped:
    places = np.diagonal(_numbered(a.shape), a.offset, a.dim1, a.dim2)
    return _put(a, places, _zeros(a, a.self), "self", "diag_embed")


@rule("diagonal_scatter")
def _(a: Arguments) -> Mapped:
    places = np.diagonal(_numbered(a.shape), a.offset, a.dim1, a.dim2)
    return _put(a, places, "self", "src", "diagonal_scatter")


@rule("select_scatter")
def _(a: Arguments) -> Mapped:
    places = np.take(_numbered(a.shape), a.index, a.dim)
    return _put(a, places, "self", "src", "select_scatter")


@rule("slice_scatter")
def _(a: Arguments) -> Mapped:
    lead = (slice(None),) * (a.dim % len(a.shape))
    places = _numbered(a.shape)[(*lead, slice(a.start, a.end, a.step))]
    return _put(a, places, "self", "src", "slice_scatter")


@rule("max_unpool2d")
def _(a: Arguments) -> Mapped:
    planes = a.shape[:-2]
    first = _numbered(planes).reshape(*planes, 1, 1) * math.prod(a.shape[-2:])
    return _put(a, numbers(a.indices) + first, _zeros(a, a.self), "self", "max_unpool2d")


@rule("_embedding_bag")
def _(a: Arguments) -> Mapped:
    """Sums or means of the rows of each bag, without those of the padding."""
    ids, starts = numbers(a.indices), numbers(a.offsets)
    if a.mode > 1 or a.scale_grad_by_freq:
        raise UnmappedError("largest elements of bags, or gradients that are scaled")
    kept = np.flatnonzero(ids != a.padding_idx)
    bag = (np.searchsorted(starts, np.arange(ids.size), side="right") - 1)[kept]
    inputs: dict[str, Any] = {"i": ids[kept], "w": "weight", "b": bag, "zero": _zeros(a, a.weight)}
    nodes = [Node("rows", Index((True,)), "i", "w")]
    if a.per_sample_weights is not None:
        inputs |= {"k": kept, "p": "per_sample_weights"}
        nodes += [
            Node("kept", Index((True,)), "k", "p"),
            Node("column", ops.Reshape((kept.size, 1), keep=0), "kept"),
            Node("weighted", ops.Multiply(), "rows", "column"),
        ]
    nodes.append(Node("sums", PutAt((True,), True), "b", "zero", nodes[-1].name))
    if a.mode == 1:
        counts = np.maximum(np.bincount(bag, minlength=a.shape[0]), 1)[: a.shape[0], None]
        nodes.append(Node("means", ops.Divide(), "sums", "n"))
        inputs["n"] = counts.astype(constant(0.0, a.weight).dtype)
    fixed = [name for name in inputs if name not in ("w", "p")]
    op = Composed("embedding_bag", *nodes, inputs=tuple(inputs), fixed=fixed)
    return Mapped(op, tuple(inputs.values()))
