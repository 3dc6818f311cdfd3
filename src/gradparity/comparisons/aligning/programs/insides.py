"""The values inside of one op, which another program may compute one by one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ....core.arithmetic.arrays import NDArray
from ....core.formulas.attention import Attention
from ....core.formulas.layers import Affine
from ....core.formulas.norms import BatchNorm, LayerNorm
from ....core.formulas.op import Movement, Op
from ....core.formulas.windows import Conv
from ....core.network.backprop import forward_pass
from ....core.network.composed import Composed

__all__ = ["insides"]


def insides(op: Op, y: Sequence[NDArray], z: NDArray) -> Iterator[tuple[str, NDArray]]:
    """Yield (words, value) of what an op computes between its inputs and its first result.

    Before the bias or the shift, before the scale, the scores and the weights of attention, and
    the steps of a composition.

    Parameters
    ----------
    y, z : the inputs and the result, in float64.
    """
    with np.errstate(all="ignore"):
        if isinstance(op, Attention):
            yield from _of_attention(op, y)
        elif isinstance(op, Composed):
            yield from _of_steps(op, y)
        elif isinstance(op, Affine | Conv) and len(y) == 3:
            yield "before its bias", z - _beside(y[2], z, op)
        elif isinstance(op, LayerNorm | BatchNorm):
            before = z - _beside(y[2], z, op)
            yield "before its shift", before
            if (y[1] != 0).all():
                yield "before its scale", before / _beside(y[1], z, op)


def _beside(a: NDArray, z: NDArray, op: Op) -> NDArray:
    """A number of each channel in the shape that broadcasts to a result."""
    return a if isinstance(op, Affine | LayerNorm) else a.reshape(1, -1, *[1] * (z.ndim - 2))


def _of_attention(op: Attention, y: Sequence[NDArray]) -> Iterator[tuple[str, NDArray]]:
    q, k = y[:2]
    scores = q @ k.mT
    yield "the scores", scores
    scale = float(q.shape[-1] ** -0.5) if op.scale is None else op.scale
    yield "the scaled scores", scores * scale
    T, S = scores.shape[-2:]
    hidden = np.where(np.tri(T, S, dtype=bool), 0.0, -np.inf) if op.causal else 0.0
    masked = scores * scale + hidden + (y[3] if op.mask else 0.0)
    if op.causal or op.mask:
        yield "the masked scores", masked
    weights = np.exp(masked - masked.max(-1, keepdims=True))
    yield "the weights", weights / weights.sum(-1, keepdims=True)


def _of_steps(op: Composed, y: Sequence[NDArray]) -> Iterator[tuple[str, NDArray]]:
    value = forward_pass(op.network, dict(zip(op.network.inputs, y, strict=True))).value
    for step in op.network.body[:-1]:
        if not isinstance(step.op, Movement):
            yield f"{step.op.name} ({step.name})", np.asarray(value[step.name])
