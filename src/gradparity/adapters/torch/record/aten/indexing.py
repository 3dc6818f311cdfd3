"""Elements chosen, put and added by integers."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ..... import ops
from .....core.network.composed import Composed
from .....core.network.nodes import Node
from .....core.programs.embeddings import MeanEmbedding
from .....core.programs.indexing import Index, PutAt
from ....mapped import put
from .table import Arguments, Mapped, UnmappedError, constant, rule
from .tensors import numbers

__all__: list[str] = []


@rule("embedding")
def _(a: Arguments) -> Mapped:
    n, d = a.weight.shape
    row = a.padding_idx if a.padding_idx >= 0 else None
    op = MeanEmbedding if a.given.get("scale_grad_by_freq") else ops.Embedding
    return Mapped(op(n, d, row), ("indices", "weight"))


def _ids(tensors: Any, shape: Any) -> list[Any]:
    """Arrays of integers for NumPy: not negative, and a mask as the places where it is true."""
    found: list[Any] = []
    axis = 0
    for t in tensors:
        if t is None:
            axis += 1
        elif t.dtype in (torch.bool, torch.uint8):
            found += list(np.nonzero(numbers(t)))
            axis += t.ndim
        else:
            ids = numbers(t)
            found.append(np.where(ids < 0, ids + shape[axis], ids))
            axis += 1
    return found


def _taken(tensors: Any) -> tuple[bool, ...]:
    found: list[bool] = []
    for t in tensors:
        masks = t is not None and t.dtype in (torch.bool, torch.uint8)
        found += [True] * t.ndim if masks else [t is not None]
    return tuple(found)


@rule("index.Tensor")
def _(a: Arguments) -> Mapped:
    return Mapped(Index(_taken(a.indices)), (*_ids(a.indices, a.self.shape), "self"))


@rule("index_put", "_index_put_impl")
def _(a: Arguments) -> Mapped:
    ids = _ids(a.indices, a.self.shape)
    if a.accumulate:
        return Mapped(PutAt(_taken(a.indices), True), (*ids, "self", "values"))
    return _written(a, _taken(a.indices), ids, "values")


def _written(a: Arguments, taken: tuple[bool, ...], ids: Any, part: Any) -> Mapped:
    """Numbers, or those of an argument, written into `self`."""
    x = numbers(a.given[part]) if isinstance(part, str) else part
    out = a.outs[0]
    assert out is not None
    mapped = put(taken, ids, ("self", numbers(out)), (part, x))
    return Mapped(mapped.op, mapped.inputs)


def _along(a: Arguments) -> tuple[bool, ...]:
    if a.self.ndim == 0:
        raise UnmappedError("an index into a scalar")
    return (*(False,) * (a.dim % a.self.ndim), True)


def _line(a: Arguments) -> Any:
    """The indices along an axis; a scalar stands for one of them."""
    return np.atleast_1d(numbers(a.index))


@rule("index_select")
def _(a: Arguments) -> Mapped:
    return Mapped(Index(_along(a)), (_line(a), "self"))


@rule("index_add")
def _(a: Arguments) -> Mapped:
    put, names = PutAt(_along(a), True), (_line(a), "self", "source")
    if a.alpha == 1:
        return Mapped(put, names)
    nodes = Node("scaled", ops.Scale(float(a.alpha)), "x"), Node("z", put, "i", "y", "scaled")
    return Mapped(Composed("index_add", *nodes, inputs=("i", "y", "x"), fixed=("i",)), names)


@rule("index_copy")
def _(a: Arguments) -> Mapped:
    return _written(a, _along(a), (_line(a),), "source")


def _once(index: torch.Tensor) -> Any:
    """The places that are filled, each once."""
    return np.unique(numbers(index))


@rule("index_fill.int_Scalar")
def _(a: Arguments) -> Mapped:
    return Mapped(PutAt(_along(a)), (_once(a.index), "self", constant(a.value, a.self)))


@rule("index_fill.int_Tensor")
def _(a: Arguments) -> Mapped:
    return Mapped(PutAt(_along(a)), (_once(a.index), "self", "value"))


@rule("masked_scatter")
def _(a: Arguments) -> Mapped:
    """Put the first elements of the source, in order, where the mask is true."""
    mask = np.broadcast_to(numbers(a.mask), a.self.shape)
    places = np.nonzero(mask)
    names = [f"i{k}" for k in range(len(places))]
    nodes = (
        Node("flat", ops.Reshape((a.source.numel(),), keep=0), "x"),
        Node("first", ops.Slice(0, len(places[0])), "flat"),
        Node("z", PutAt((True,) * a.self.ndim), *names, "y", "first"),
    )
    op = Composed("masked_scatter", *nodes, inputs=(*names, "y", "x"), fixed=names)
    return Mapped(op, (*places, "self", "source"))


@rule("masked_select")
def _(a: Arguments) -> Mapped:
    mask = np.broadcast_to(numbers(a.mask), a.self.shape)
    return Mapped(Index((True,) * a.self.ndim), (*np.nonzero(mask), "self"))


@rule("_pack_padded_sequence")
def _(a: Arguments) -> Mapped:
    """Step by step, the sequences that are not over."""
    lengths = numbers(a.lengths)
    time, sequence = np.nonzero(np.arange(lengths.max())[:, np.newaxis] < lengths)
    places = (sequence, time) if a.batch_first else (time, sequence)
    return Mapped(Index((True, True)), (*places, "input"), (0,))


def _by_element(a: Arguments) -> list[Any]:
    """The indices of gather and scatter as one array for every axis."""
    ids = numbers(a.index)
    at: list[Any] = list(np.indices(ids.shape, sparse=True))
    at[a.dim % a.self.ndim] = ids
    return [np.broadcast_to(i, ids.shape) for i in at]


@rule("gather")
def _(a: Arguments) -> Mapped:
    if a.self.ndim == 0:
        return Mapped(ops.Reshape(a.shape, keep=0))
    return Mapped(Index((True,) * a.self.ndim), (*_by_element(a), "self"))


def _part(a: Arguments, name: str, *, add: bool = False) -> Mapped:
    """Scatter takes as much of its source as there are indices."""
    if a.self.ndim == 0:
        raise UnmappedError("an index into a scalar")
    source, shape = a.given[name], tuple(a.index.shape)
    ids, every = _by_element(a), (True,) * a.self.ndim
    part: Any = name
    if not isinstance(source, torch.Tensor):
        part = constant(float(source), a.self)
    elif tuple(source.shape) != shape:  # such a source can have no gradient
        part = numbers(source)[tuple(map(slice, shape))]
    if add:
        return Mapped(PutAt(every, True), (*ids, "self", part))
    return _written(a, every, ids, part)


rule("scatter.src")(lambda a: _part(a, "src"))
rule("scatter.value")(lambda a: _part(a, "value"))
rule("scatter_add")(lambda a: _part(a, "src", add=True))


@rule("scatter_reduce.two")
def _(a: Arguments) -> Mapped:
    if a.reduce != "sum" or not a.include_self:
        raise UnmappedError(f"reduce={a.reduce!r}, include_self={a.include_self}")
    return _part(a, "src", add=True)
