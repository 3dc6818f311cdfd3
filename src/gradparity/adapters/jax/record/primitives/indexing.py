"""Elements chosen, put and added by integers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..... import ops
from .....core.arithmetic.arrays import NDArray
from .....core.network.composed import Composed
from .....core.network.nodes import Node
from .....core.programs.duplicates import PutOne, winners
from .....core.programs.extremes import ExtremeAt
from .....core.programs.indexing import Index, PutAt
from ....mapped import Mapped, UnmappedError
from .table import Operands, rule

__all__: list[str] = []

#: The most elements of the table in which the updates of each element stand side by side.
MOST = 2**24
#: The most constants that are multiplied to one element.
MOST_FACTORS = 64


def _dynamic(shape: tuple[int, ...], starts: Any, sizes: tuple[int, ...]) -> tuple[int, ...]:
    """The start of a slice of a given size, clamped to the array as JAX does."""
    each = zip(starts, shape, sizes, strict=True)
    return tuple(int(np.clip(int(s), 0, n - k)) for s, n, k in each)


@rule("dynamic_slice")
def _(a: Operands) -> Mapped:
    sizes = tuple(a.params["slice_sizes"])
    starts = _dynamic(a.ins[0].shape, a.ins[1:], sizes)
    cuts = [
        ops.Slice(s, s + k, 1, axis) for axis, (s, k) in enumerate(zip(starts, sizes, strict=True))
    ]
    nodes = [Node(f"c{i}", cut, f"c{i - 1}" if i else "x") for i, cut in enumerate(cuts)]
    return Mapped(Composed("dynamic_slice", *nodes, inputs=("x",)) if nodes else ops.Identity())


@rule("dynamic_update_slice")
def _(a: Operands) -> Mapped:
    y, x = a.ins[:2]
    starts = _dynamic(y.shape, a.ins[2:], x.shape)
    at = np.indices(x.shape)
    ids = [i + s for i, s in zip(at, starts, strict=True)]
    if not ids:
        raise UnmappedError("a scalar")
    return Mapped(PutAt((True,) * y.ndim), (*ids, 0, 1))


def _positions(a: Operands, numbers: Any, sizes: tuple[int, ...], mode: Any) -> Any:
    """The index along each axis of every element that is taken, and whether it is inside.

    The axes of the result are those of the indices, and the offset axes in their places.
    """
    shape, indices = a.ins[0].shape, np.asarray(a.ins[1])
    batching = tuple(getattr(numbers, "operand_batching_dims", ()) or ())
    index_batching = tuple(getattr(numbers, "start_indices_batching_dims", ()) or ())
    dropped = {*numbers.collapsed_slice_dims, *batching}
    kept = [axis for axis in range(len(shape)) if axis not in dropped]
    rank = indices.ndim - 1 + len(numbers.offset_dims)
    batch_axes = [i for i in range(rank) if i not in numbers.offset_dims]
    out = [0] * rank
    for i, n in zip(batch_axes, indices.shape[:-1], strict=True):
        out[i] = n
    for i, axis in zip(numbers.offset_dims, kept, strict=True):
        out[i] = sizes[axis]

    def beside(values: NDArray, axes: list[int]) -> NDArray:
        """An array over some axes of the result, in a shape that broadcasts to it."""
        full = [1] * rank
        for i, n in zip(axes, values.shape, strict=True):
            full[i] = n
        return values.reshape(full)

    start = {axis: np.zeros((1,) * rank, int) for axis in range(len(shape))}
    inside = np.ones((1,) * rank, bool)
    clip = "CLIP" in str(mode).upper()
    for k, axis in enumerate(numbers.start_index_map):
        at = beside(indices[..., k].astype(np.int64), batch_axes)
        most = shape[axis] - sizes[axis]
        if clip:
            at = np.clip(at, 0, most)
        inside = inside & (at >= 0) & (at <= most)
        start[axis] = at
    for axis, index_axis in zip(batching, index_batching, strict=True):
        n = indices.shape[index_axis]
        start[axis] = beside(np.arange(n), [batch_axes[index_axis]])
    found = []
    offsets = dict(zip(kept, numbers.offset_dims, strict=True))
    for axis in range(len(shape)):
        at = start[axis]
        if axis in offsets:
            at = at + beside(np.arange(sizes[axis]), [offsets[axis]])
        found.append(np.broadcast_to(at, out))
    return found, np.broadcast_to(inside, out)


@rule("gather")
def _(a: Operands) -> Mapped:
    sizes = tuple(a.params["slice_sizes"])
    at, inside = _positions(a, a.params["dimension_numbers"], sizes, a.params["mode"])
    if not at:
        return Mapped(ops.Identity())
    if not inside.all():
        return _filled(a, at, inside)
    return Mapped(Index((True,) * a.ins[0].ndim), (*at, 0))


def _filled(a: Operands, at: Any, inside: NDArray) -> Mapped:
    """A gather with some indices out of range; what JAX fills in there has no gradient."""
    taken, kept = [i[inside] for i in at], np.nonzero(inside)
    k, n = a.ins[0].ndim, inside.ndim
    got, put = [f"i{j}" for j in range(k)], [f"o{j}" for j in range(n)]
    op = Composed(
        "gather",
        Node("u", Index((True,) * k), *got, "y"),
        Node("z", PutAt((True,) * n), *put, "fill", "u"),
        inputs=(*got, *put, "fill", "y"),
        fixed=(*got, *put, "fill"),
    )
    return Mapped(op, (*taken, *kept, np.where(inside, 0, a.outs[0]), 0))


class _AsGather:
    """The dimension numbers of a scatter as those of the gather that it is the inverse of."""

    def __init__(self, d: Any) -> None:
        self.offset_dims = d.update_window_dims
        self.collapsed_slice_dims = d.inserted_window_dims
        self.start_index_map = d.scatter_dims_to_operand_dims
        self.operand_batching_dims = getattr(d, "operand_batching_dims", ())
        self.start_indices_batching_dims = getattr(d, "scatter_indices_batching_dims", ())


def _targets(a: Operands) -> Any:
    """The target of each update of a scatter, and whether it is in range."""
    y, _, x = a.ins
    d = _AsGather(a.params["dimension_numbers"])
    dropped = {*d.collapsed_slice_dims, *d.operand_batching_dims}
    window = iter(x.shape[i] for i in d.offset_dims)
    sizes = tuple(1 if axis in dropped else next(window) for axis in range(y.ndim))
    return _positions(a, d, sizes, a.params["mode"])


@rule("scatter", "scatter-add", "scatter_add")
def _(a: Operands) -> Mapped:
    rank = a.ins[0].ndim
    at, inside = _targets(a)
    combined = a.params.get("update_jaxpr")
    adds = combined is not None and "add" in str(combined)
    if not adds and (several := _duplicates(a, at, inside)):
        return several
    if not inside.all():
        return _dropped(rank, at, inside, adds)
    return Mapped(PutAt((True,) * rank, adds), (*at, 0, 2))


def _duplicates(a: Operands, at: Any, inside: NDArray) -> Mapped | None:
    """A scatter some of whose updates share an element, which keeps one; None for others."""
    places = np.full(inside.shape, -1)
    places[inside] = _flat([i[inside] for i in at], int(inside.sum()), a.ins[0].shape)
    if np.bincount(places[inside]).max(initial=0) <= 1:
        return None
    kept = winners(places, np.asarray(a.ins[2]), np.asarray(a.outs[0]))
    return Mapped(PutOne(), (places, kept, 0, 2))


def _extreme(a: Operands, *, least: bool) -> Mapped:
    """The largest or smallest of an element and of the updates that go to it."""
    at, inside = _targets(a)
    shape = a.ins[0].shape
    ids = _flat([i[inside] for i in at], int(inside.sum()), shape)
    if int(np.bincount(ids).max(initial=0) + 1) * a.ins[0].size > MOST:
        raise UnmappedError("too many updates go to one element")
    row, kept = _in_range(inside)
    op = Composed("scatter", *row, Node("z", ExtremeAt(least), "ids", "y", "u"),
                  inputs=("kept", "ids", "y", "x"), fixed=("kept", "ids"))  # fmt: skip
    return Mapped(op, (kept, ids, 0, 2))


def _in_range(inside: NDArray) -> tuple[tuple[Node, ...], NDArray]:
    """Nodes that put the updates x that are in range into a row u, and their positions."""
    flat = Node("flat", ops.Reshape((inside.size,), keep=0), "x")
    return (flat, Node("u", Index((True,)), "kept", "flat")), np.flatnonzero(inside)


rule("scatter-max")(lambda a: _extreme(a, least=False))
rule("scatter-min")(lambda a: _extreme(a, least=True))


@rule("scatter-mul")
def _(a: Operands) -> Mapped:
    """A product with the updates in their places, of which no two go to one element."""
    at, inside = _targets(a)
    taken = tuple(i[inside] for i in at)
    factors = np.ones_like(a.ins[0])
    if not a.active(2):
        return _times(a.ins[0], taken, a.ins[2][inside])
    row, kept = _in_range(inside)
    put = [f"o{j}" for j in range(len(at))]
    op = Composed(
        "scatter",
        *row,
        Node("f", PutAt((True,) * len(at)), *put, "ones", "u"),
        Node("z", ops.Multiply(), "y", "f"),
        inputs=("kept", *put, "ones", "y", "x"),
        fixed=("kept", *put, "ones"),
    )
    return Mapped(op, (kept, *taken, factors, 0, 2))


def _flat(taken: Sequence[NDArray], n: int, shape: tuple[int, ...]) -> NDArray:
    """The positions of n elements, which these integers index, in an array of this shape."""
    return np.ravel_multi_index(tuple(taken), shape) if shape else np.zeros(n, int)


def _times(y: NDArray, taken: Sequence[NDArray], x: NDArray) -> Mapped:
    """A product with constants, one after the other where several go to one element."""
    ids, layers = _flat(taken, x.size, y.shape), list[NDArray]()
    while ids.size:
        put, first = np.unique(ids, return_index=True)
        layers.append(np.ones_like(y))
        layers[-1].reshape(-1)[put] = x[first]
        ids, x = np.delete(ids, first), np.delete(x, first)
        if len(layers) > MOST_FACTORS:
            raise UnmappedError(f"more than {MOST_FACTORS} updates go to one element")
    names = [f"f{k}" for k in range(len(layers))]
    nodes = [
        Node(f"z{k}", ops.Multiply(), f"z{k - 1}" if k else "y", f) for k, f in enumerate(names)
    ]
    if not nodes:
        return Mapped(ops.Identity())
    return Mapped(Composed("scatter", *nodes, inputs=("y", *names), fixed=names), (0, *layers))


def _dropped(rank: int, at: Any, inside: NDArray, adds: bool) -> Mapped:
    """A scatter with some indices out of range, whose updates have no effect and no gradient."""
    row, kept = _in_range(inside)
    put = [f"o{j}" for j in range(rank)]
    op = Composed("scatter", *row, Node("z", PutAt((True,) * rank, adds), *put, "y", "u"),
                  inputs=("kept", *put, "y", "x"), fixed=("kept", *put))  # fmt: skip
    return Mapped(op, (kept, *(i[inside] for i in at), 0, 2))


@rule("sort")
def _(a: Operands) -> Mapped:
    if len(a.ins) != 1:
        return _sorted_together(a)
    return Mapped(ops.Sort(a.params["dimension"]))


def _sorted_together(a: Operands) -> Mapped:
    """Several operands in the order of the first: each takes its elements from where they were."""
    axis = a.params["dimension"]
    order = np.argsort(a.ins[0], axis=axis, kind="stable")
    at: list[Any] = list(np.indices(a.ins[0].shape, sparse=True))
    at[axis] = order
    floats = [i for i, x in enumerate(a.ins) if x.dtype.kind == "f"]
    if len(floats) != 1:
        raise UnmappedError(f"{len(floats)} operands with gradients")
    (k,) = floats
    ids = tuple(np.broadcast_to(i, a.ins[0].shape) for i in at)
    return Mapped(Index((True,) * a.ins[0].ndim), (*ids, k), (k,))


@rule("top_k")
def _(a: Operands) -> Mapped:
    return Mapped(ops.Sort(-1, True, a.params["k"]))
