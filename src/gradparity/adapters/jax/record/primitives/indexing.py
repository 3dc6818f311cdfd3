"""Elements chosen, put and added by integers."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..... import ops
from .....core.arithmetic.arrays import NDArray
from .....core.network.composed import Composed
from .....core.network.nodes import Node
from .....core.programs.parts import Index, PutAt
from ....mapped import Mapped, UnmappedError
from .table import Operands, rule

__all__: list[str] = []


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
    """For every element that is taken its index along each axis, and whether it is inside.

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


@rule("scatter", "scatter-add", "scatter_add")
def _(a: Operands) -> Mapped:
    y, _, x = a.ins
    d = _AsGather(a.params["dimension_numbers"])
    dropped = {*d.collapsed_slice_dims, *d.operand_batching_dims}
    window = iter(x.shape[i] for i in d.offset_dims)
    sizes = tuple(1 if axis in dropped else next(window) for axis in range(y.ndim))
    at, inside = _positions(a, d, sizes, a.params["mode"])
    combined = a.params.get("update_jaxpr")
    adds = combined is not None and "add" in str(combined)
    if not inside.all():
        return _dropped(y.ndim, at, inside, adds)
    return Mapped(PutAt((True,) * y.ndim, adds), (*at, 0, 2))


def _dropped(rank: int, at: Any, inside: NDArray, adds: bool) -> Mapped:
    """A scatter with some indices out of range, whose updates have no effect and no gradient."""
    to, kept = [i[inside] for i in at], np.nonzero(inside)
    got, put = [f"i{j}" for j in range(inside.ndim)], [f"o{j}" for j in range(rank)]
    op = Composed(
        "scatter",
        Node("u", Index((True,) * inside.ndim), *got, "x"),
        Node("z", PutAt((True,) * rank, adds), *put, "y", "u"),
        inputs=(*got, *put, "y", "x"),
        fixed=(*got, *put),
    )
    return Mapped(op, (*kept, *to, 0, 2))


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
