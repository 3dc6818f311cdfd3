"""Reshapes, slices, joins, pads: elements in another place."""

from __future__ import annotations

from ..... import ops
from .....core.formulas.op import Op
from .....core.programs.indexing import Dilate, Unstack
from ....mapped import Mapped, chain
from .table import Operands, rule

__all__: list[str] = []


@rule("reshape", "squeeze", "expand_dims")
def _(a: Operands) -> Mapped:
    """`dimensions` is an order of the axes before the elements are read."""
    order = (
        a.params.get("dimensions")
        if len(a.params.get("dimensions") or ()) == a.ins[0].ndim
        else None
    )
    turned = () if order is None else (ops.Transpose(tuple(order)),)
    return Mapped(chain("reshape", *turned, ops.Reshape(a.shape, keep=0)))


@rule("broadcast_in_dim")
def _(a: Operands) -> Mapped:
    """The axes of the operand stand at `broadcast_dimensions`."""
    places = a.params["broadcast_dimensions"]
    sizes = dict(zip(places, a.ins[0].shape, strict=True))
    beside = tuple(sizes.get(i, 1) for i in range(len(a.shape)))
    stretched = (ops.Broadcast(a.shape),) if beside != a.shape else ()
    return Mapped(chain("broadcast", ops.Reshape(beside, keep=0), *stretched))


@rule("transpose")
def _(a: Operands) -> Mapped:
    return Mapped(ops.Transpose(tuple(a.params["permutation"])))


@rule("slice")
def _(a: Operands) -> Mapped:
    starts, stops = a.params["start_indices"], a.params["limit_indices"]
    steps = a.params["strides"] or (1,) * len(starts)
    cuts: list[Op] = [
        ops.Slice(lo, hi, step, axis)
        for axis, (lo, hi, step) in enumerate(zip(starts, stops, steps, strict=True))
        if (lo, hi, step) != (0, a.ins[0].shape[axis], 1)
    ]
    return Mapped(chain("slice", *cuts))


@rule("rev")
def _(a: Operands) -> Mapped:
    return Mapped(chain("rev", *(ops.Flip(axis) for axis in a.params["dimensions"])))


@rule("concatenate")
def _(a: Operands) -> Mapped:
    several = tuple(range(len(a.ins)))
    if len(several) == 1:
        return Mapped(ops.Identity())
    return Mapped(ops.Concatenate(a.params["dimension"]), several)


@rule("stack")
def _(a: Operands) -> Mapped:
    axis = a.params["axis"]
    if len(a.ins) == 1:
        return Mapped(ops.Reshape(a.shape, keep=0))
    return Mapped(ops.Stack(axis), tuple(range(len(a.ins))))


@rule("unstack")
def _(a: Operands) -> Mapped:
    axis = a.params["axis"]
    n = a.ins[0].shape[axis]
    if n == 1:
        return Mapped(ops.Reshape(a.shape, keep=0))
    return Mapped(Unstack(n, axis), outputs=tuple(range(n)))


@rule("tile")
def _(a: Operands) -> Mapped:
    return Mapped(chain("tile", *(ops.Tile(n, axis) for axis, n in enumerate(a.params["reps"]))))


@rule("split")
def _(a: Operands) -> Mapped:
    sizes = tuple(a.params["sizes"])
    if len(sizes) == 1:
        return Mapped(ops.Identity())
    return Mapped(ops.Split(sizes, a.params["axis"]), outputs=tuple(range(len(sizes))))


@rule("pad")
def _(a: Operands) -> Mapped:
    """(low, high, interior) per axis; negative numbers cut."""
    config = a.params["padding_config"]
    gaps = tuple(inner for _, _, inner in config)
    fill = float(a.ins[1])
    moves: list[Op] = [Dilate(tuple(g + 1 for g in gaps), fill)] if any(gaps) else []
    for axis, (low, high, _) in enumerate(config):
        if low < 0 or high < 0:
            moves.append(ops.Slice(max(-low, 0), None if high >= 0 else high, 1, axis))
    grown = tuple((max(low, 0), max(high, 0)) for low, high, _ in config)
    if any(map(any, grown)):
        moves.append(ops.Pad(grown, fill=fill))
    return Mapped(chain("pad", *moves))
