"""Some channels of a large matrix product or convolution, to be judged in place of all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np

from ...core.arithmetic.arrays import NDArray
from ...core.arithmetic.received import received
from ...core.formulas.attention import Attention
from ...core.formulas.layers import Affine
from ...core.formulas.op import Op
from ...core.formulas.windows import Conv
from ...core.network.calls import Call
from ...core.network.quantity import Quantity
from ...core.vocabulary.contractions import MatMul
from ..findings.finding import Finding

__all__ = ["Thinned", "check_sample", "thinned"]

#: The index of z among the axes of a part; inputs have theirs.
Z = -1


class Part(NamedTuple):
    """A smaller op of the same kind that gives some elements of some results.

    Attributes
    ----------
    op : it.
    axes : input, or `Z`, -> the axis along which it keeps what was chosen; others are whole.
    gives : the inputs whose gradients are right in it, and `Z`.
    """

    op: Op
    axes: dict[int, int]
    gives: tuple[int, ...]


class Thinned(NamedTuple):
    """A call on some channels.

    Attributes
    ----------
    call : the smaller one.
    at : name of a result -> the axis that was thinned out, and which of its channels are there.
    """

    call: Call
    at: dict[Quantity, tuple[int, NDArray]]

    def placed(self, f: Finding) -> Finding:
        """The finding with the indices that the whole has."""
        axis, chosen = self.at[f.quantity]

        def of_whole(index: tuple[int, ...] | None) -> Any:
            if not index:
                return index
            own = list(index)
            own[axis] = int(chosen[own[axis]])
            return tuple(own)

        worst = tuple(replace(e, index=of_whole(e.index)) for e in f.worst)
        return replace(f, index=of_whole(f.index), worst=worst)


def check_sample(who: str, sample: Any) -> None:
    """Require a positive number of channels, or None."""
    whole = isinstance(sample, int | np.integer) and not isinstance(sample, bool)
    if sample is not None and not (whole and sample > 0):
        raise ValueError(
            f"{who}: sample is {received(sample)}; give a positive number of channels, such as "
            "64, or None for all"
        )


def thinned(call: Call, sample: int) -> list[Thinned]:
    """The calls that decide about so many channels of each result; none if it is not large.

    The outputs of an affine layer have their weights each, and so have its inputs in the gradient
    that leaves through it: every row of the batch is in the sample.
    """
    if call.is_function or call.fused or call.remark:
        return []
    rng = np.random.default_rng(crc32(call.place.node.encode()))

    def choice(n: int) -> NDArray:
        return np.sort(rng.choice(n, min(n, sample), replace=False))

    shapes = [operand.array.shape for operand in call.inputs]
    kinds: dict[type, Callable[..., Iterable[tuple[NDArray, Part]]]] = {
        Affine: _affine, MatMul: _matmul, Conv: _conv, Attention: _attention
    }  # fmt: skip
    parts = kinds.get(type(call.op))
    if parts is None:
        return []
    return [
        _thinned(call, chosen, part)
        for chosen, part in parts(call.op, shapes, choice, sample)
        if any(call.inputs[i].asked for i in part.gives if i != Z) or Z in part.gives
    ]


Choice = Callable[[int], NDArray]
Shapes = Sequence[tuple[int, ...]]


def _affine(op: Affine, shapes: Shapes, choice: Choice, sample: int) -> Iterator[Any]:
    if min(op.n_in, op.n_out) <= sample:
        return
    last = len(shapes[0]) - 1
    bias = {2: 0} if op.bias else {}
    chosen = choice(op.n_out)
    own = replace(op, n_out=len(chosen))
    yield chosen, Part(own, {1: 1, **bias, Z: last}, (1, *bias, Z))
    chosen = choice(op.n_in)
    yield chosen, Part(replace(op, n_in=len(chosen)), {0: last, 1: 0}, (0,))


def _matmul(op: MatMul, shapes: Shapes, choice: Choice, sample: int) -> Iterator[Any]:
    a, b = shapes
    if len(a) != len(b) or len(a) < 2 or min(a[-1], b[-1]) <= sample:
        return
    last = len(a) - 1
    yield choice(b[-1]), Part(op, {1: last, Z: last}, (1, Z))
    yield choice(a[-1]), Part(op, {0: last, 1: last - 1}, (0,))


def _conv(op: Conv, shapes: Shapes, choice: Choice, sample: int) -> Iterator[Any]:
    if op.groups != 1 or min(op.c_in, op.c_out) <= sample:
        return
    bias = {2: 0} if op.bias else {}
    chosen = choice(op.c_out)
    yield chosen, Part(replace(op, c_out=len(chosen)), {1: 0, **bias, Z: 1}, (1, *bias, Z))
    chosen = choice(op.c_in)
    yield chosen, Part(replace(op, c_in=len(chosen)), {0: 1, 1: 1}, (0,))


def _attention(op: Attention, shapes: Shapes, choice: Choice, sample: int) -> Iterator[Any]:
    """Heads, each of which is whole; so many that their widths are the sample."""
    q = shapes[0]
    heads = max(1, sample // max(1, q[-1]))
    if op.mask or len(q) < 3 or q[-3] <= heads:
        return
    axis = len(q) - 3
    chosen = choice(q[-3])[:heads]
    yield chosen, Part(op, dict.fromkeys((0, 1, 2, Z), axis), (0, 1, 2, Z))


def _thinned(call: Call, chosen: NDArray, part: Part) -> Thinned:
    node = call.place.node

    def taken(a: NDArray | None, i: int) -> NDArray | None:
        return a if a is None or i not in part.axes else np.take(a, chosen, part.axes[i])

    inputs = []
    at = {}
    for i, operand in enumerate(call.inputs):
        gives = i in part.gives
        array, gradient = taken(operand.array, i), taken(operand.gradient if gives else None, i)
        assert array is not None
        asked = operand.asked and gives
        inputs.append(replace(operand, array=array, gradient=gradient, asked=asked))
        if gives and operand.source:
            at[Quantity.through(operand.source, node)] = part.axes[i], chosen
    if Z in part.gives:
        at[Quantity.value(node)] = part.axes[Z], chosen

    def again() -> Call | None:
        wide = None if call.again is None else call.again()
        return None if wide is None else _thinned(wide, chosen, part).call

    smaller = replace(
        call,
        op=part.op,
        inputs=tuple(inputs),
        z=tuple(taken(z, Z) if Z in part.gives else None for z in call.z),
        dz=tuple(taken(dz, Z) for dz in call.dz),
        added=tuple(taken(added, Z) for added in call.added),
        again=None if call.again is None else again,
    )
    return Thinned(smaller, at)
