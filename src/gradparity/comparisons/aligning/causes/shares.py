"""A mean over a batch that one program takes in parts, such as micro-batches, of other weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ....core.network.calls import Call
from ....core.programs.parts import ClassNLL
from ..programs.edits import values_of
from ..programs.side import Side

__all__ = ["other_shares"]


class _Mean(NamedTuple):
    """One mean of a loss.

    Attributes
    ----------
    node : where it is taken.
    over : how many numbers it is over, or the sum of their weights.
    value : of the mean.
    factor : its share in the loss: the gradient that arrives.
    """

    node: str
    over: float
    value: float
    factor: float


def other_shares(one: Side, other: Side) -> tuple[str, str] | None:
    """The node of `one`, and why: the parts of a mean do not count by their sizes.

    None if neither program takes a mean of the other one in parts, or if they do.
    """
    here, there = _means(one), _means(other)
    if len(here) == 1 < len(there):
        whole, parts, where = here[0], there, "there"
    elif len(there) == 1 < len(here):
        whole, parts, where = there[0], here, "here"
    else:
        return None
    near, total = one.near_recorded(other), sum(p.over for p in parts)
    together = sum(p.over * p.value for p in parts) / total if total else np.nan
    if not np.isclose(total, whole.over) or not np.isclose(together, whole.value, near, 0.0):
        return None
    shares = [whole.factor * p.over / total for p in parts]
    if np.allclose([p.factor for p in parts], shares, near, 0.0):
        return None
    said = f"its mean over {whole.over:g} is taken {where} in parts of "
    said += f"{_listed([p.over for p in parts])}, such as micro-batches, which count "
    said += f"{_listed([p.factor for p in parts])} times in the loss; "
    return here[0].node, f"{said}by their sizes they count {_listed(shares)} times"


def _means(side: Side) -> list[_Mean]:
    """The means of losses in a program, in its order."""
    found = []
    for call in side.program.calls:
        arrived = call.dz[0] if call.dz else None
        if getattr(call.op, "reduction", "") == "mean" and arrived is not None:
            value = float(np.reshape(side.value[call.names[0]], ()))
            factor = float(np.reshape(np.asarray(arrived, np.float64), ()))
            found.append(_Mean(call.place.node, _over(call, side), value, factor))
    return found


def _over(call: Call, side: Side) -> float:
    """How many numbers a mean is over, each of them by its weight."""
    y: Any = values_of(call, side.value)
    if not isinstance(call.op, ClassNLL):
        return float(y[0].size)
    labels = np.asarray(y[0])
    kept = labels[labels != call.op.ignore_index]
    return float(np.asarray(y[1])[kept].sum())


def _listed(numbers: Sequence[float]) -> str:
    each = [f"{n:.4g}" for n in numbers]
    return f"{', '.join(each[:-1])} and {each[-1]}"
