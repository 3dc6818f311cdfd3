"""Branches that the numbers of a case never reach, where a fault would not be seen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import numpy as np

from ...core import Case, Divergence
from ...core.arithmetic.arrays import NDArray
from ...core.formulas.risk import Weighted
from ...core.network.backprop import forward
from ...core.network.nodes import DIV
from ...core.vocabulary import losses, margins

__all__ = ["unexercised"]

#: The branches of a loss: what to say where none is taken, and where it is taken.
Branches: TypeAlias = Iterator[tuple[str, NDArray]]


def unexercised(case: Case) -> tuple[str, ...]:
    """List what the numbers of a case never exercise, by node; the branches of the loss last."""
    with np.errstate(all="ignore"):
        value = forward(case.network, case.given)
    found = []
    for step in case.network.body:
        y = tuple(np.asarray(value[name]) for name in step.inputs if name != step.draw)
        said = step.op.unexercised(y)
        found += [f"{step.name} ({step.op.name}): {said}"] if said else []
    loss = case.network.divergence
    loss = loss.inner if isinstance(loss, Weighted) else loss
    if loss is not None:
        said = _of_loss(loss, np.asarray(value[case.network.output]), np.asarray(case.desired))
        found += [f"{DIV} ({loss.name}): {said}"] if said else []
    return tuple(found)


def _of_loss(loss: Divergence, y: NDArray, d: NDArray) -> str:
    """Describe the branches of a loss that no element takes; "" if there are none."""
    said = [loss.unexercised((y, d))] if y.size else []
    branches = BRANCHES.get(type(loss))
    if branches is not None and y.size:
        said += [text for text, taken in branches(loss, y, d) if not taken.any()]
    left_out = getattr(loss, "ignore_index", None)
    if left_out is not None and d.ndim == y.ndim and d.any(axis=-1).all():
        said.append(f"no label is ignore_index = {left_out}")
    return " and ".join(filter(None, said))


def _of_l1(loss: Any, y: NDArray, d: NDArray) -> Branches:
    yield "no output is below its target", y < d
    yield "no output is above its target", y > d


def _of_huber(loss: Any, y: NDArray, d: NDArray) -> Branches:
    name = "delta" if isinstance(loss, losses.Huber) else "beta"
    end, r = getattr(loss, name), np.abs(y - d)
    yield f"no output is within {name} = {end:g} of its target", r < end
    yield f"no output is farther than {name} = {end:g} from its target", r > end


def _of_hinge(loss: Any, y: NDArray, d: NDArray) -> Branches:
    yield "no output is inside the margin", d * y < 1
    yield "no output is outside the margin", d * y > 1


def _of_hinge_embedding(loss: Any, y: NDArray, d: NDArray) -> Branches:
    yield "no target is 1", d > 0
    unlike = f"no output with the target -1 is {{}} margin = {loss.margin:g}"
    yield unlike.format("below"), (d < 0) & (y < loss.margin)
    yield unlike.format("above"), (d < 0) & (y > loss.margin)


def _of_multi_margin(loss: Any, y: NDArray, d: NDArray) -> Branches:
    own = np.where(d > 0, y, 0).sum(axis=-1, keepdims=True)
    excess, others = loss.margin - own + y, d == 0
    yield "no other class is inside the margin", others & (excess > 0)
    yield "no other class is outside the margin", others & (excess < 0)


#: The losses that have branches.
BRANCHES: dict[type[Divergence], Callable[[Any, NDArray, NDArray], Branches]] = {
    losses.L1: _of_l1,
    losses.Huber: _of_huber,
    losses.SmoothL1: _of_huber,
    margins.HingeLoss: _of_hinge,
    margins.SquaredHinge: _of_hinge,
    margins.HingeEmbedding: _of_hinge_embedding,
    margins.MultiMargin: _of_multi_margin,
}
