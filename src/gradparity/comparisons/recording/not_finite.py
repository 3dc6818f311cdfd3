"""The place where the first NaN or inf of a recording enters; what follows from it is named so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from ...core.arithmetic.arrays import NDArray
from ...core.network.calls import Call
from ..findings.finding import FOLLOWS, SUM, Finding, Verdict
from ..judge.hidden_rows import LOST, hidden_row
from ..measure.levels import NAN, OVERFLOWS

__all__ = ["NotFinite"]

#: The notes of findings that a number that is not finite leaves undecided.
UNDECIDED = (NAN, LOST, OVERFLOWS)


class _Counted(NamedTuple):
    """How many elements of an array are NaN, or inf if none is NaN, and where they come from."""

    kind: str
    number: int
    size: int
    source: str
    shape: tuple[int, ...]

    @classmethod
    def of(cls, array: NDArray | None, source: str = "") -> _Counted | None:
        """The count; None if every element is finite."""
        if array is None or np.isfinite(array).all():
            return None
        nans = int(np.isnan(array).sum())
        count = nans or int(np.isinf(array).sum())
        return cls("NaN" if nans else "inf", count, array.size, source, array.shape)

    def among(self, what: str) -> str:
        verb = "is" if self.number == 1 else "are"
        return f"{self.number} of {self.size} elements of {what} {verb} {self.kind}"


class _Seen(NamedTuple):
    """Numbers at one node that are not finite.

    Attributes
    ----------
    inputs, values : forward.
    gradient : the gradient that it makes of finite ones.
    at_zero : whether its input is 0 in every such element.
    hidden : the row of a softmax that is hidden, in words.
    """

    inputs: list[_Counted]
    values: list[_Counted]
    gradient: _Counted | None
    at_zero: bool
    hidden: str

    @property
    def made(self) -> _Counted | None:
        """The worst of its values."""
        return max(self.values, key=lambda each: each.kind == "NaN", default=None)

    @property
    def taken(self) -> _Counted | None:
        """The worst of its inputs."""
        return max(self.inputs, key=lambda each: each.kind == "NaN", default=None)


class NotFinite:
    """Where numbers that are not finite were seen, by node."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}

    def look(self, call: Call) -> None:
        """Note what is not finite at a call."""
        values = [each for z in call.z if (each := _Counted.of(z))]
        left = [each for o in call.inputs if (each := _Counted.of(o.gradient, o.source))]
        if not values and not left:
            return
        inputs = [each for o in call.inputs if (each := _Counted.of(o.array, o.source))]
        own = not inputs and not values and all(_Counted.of(dz) is None for dz in call.dz)
        arrays = [o.array for o in call.inputs]
        hidden = hidden_row(call.op, arrays, call.place.node) if values else ""
        made = left[0] if left and own else None
        self._seen[call.place.node] = _Seen(
            inputs, values, made, made is not None and _only_at_zero(call), hidden
        )

    def explained(self, found: Sequence[Finding], order: Sequence[str]) -> list[Finding]:
        """The findings, with what is undecided attributed to the first number that is not finite.

        Parameters
        ----------
        order : the nodes in the order of the program.
        """
        undecided = [f for f in found if _is_undecided(f)]
        if not undecided or not self._seen:
            return list(found)
        position = {node: i for i, node in enumerate(order)}
        undecided.sort(key=lambda f: position.get(f.node, len(position)))
        values = [f for f in undecided if f.quantity.is_value and self._meets(f.node)]
        gradients = [f for f in undecided if not f.quantity.is_value]
        told: dict[int, Finding] = {}
        causes: list[tuple[int, Finding]] = []
        while values:
            cause, below = values[0], self._below(values[0].node, order)
            told |= {id(f): _following(f, cause) for f in values if f.node in below}
            told[id(cause)] = replace(cause, note=self._where(cause.node))
            causes.append((max(position.get(node, 0) for node in below), cause))
            values = [f for f in values if f.node not in below]
        if causes:
            _, last = max(causes, key=lambda each: each[0])  # it reaches the loss
            told |= {id(f): _following(f, last) for f in gradients}
            return [told.get(id(f), f) for f in found]
        seen = [f for f in gradients if f.node in self._seen]
        made = [f for f in seen if self._seen[f.node].gradient is not None]
        if made:
            cause = made[-1]
            told = {id(f): _following(f, cause) for f in gradients}
            told[id(cause)] = replace(cause, note=self._where_gradient(cause.node))
        return [told.get(id(f), f) for f in found]

    def _meets(self, node: str) -> bool:
        """Whether a node has values or inputs that are not finite."""
        seen = self._seen.get(node)
        return seen is not None and bool(seen.values or seen.inputs)

    def _below(self, node: str, order: Sequence[str]) -> set[str]:
        """A node, and all that it hands numbers on to that are not finite."""
        found = {node}
        for other in order:
            inputs = self._seen[other].inputs if other in self._seen else []
            if any(each.source.partition(".")[0] in found for each in inputs):
                found.add(other)
        return found

    def _where(self, node: str) -> str:
        """Where the first number that is not finite enters, seen from the first undecided node."""
        here, first = self._seen[node], node
        if here.hidden:
            return here.hidden
        start = here.made
        while here.taken is not None:
            source = here.taken.source.partition(".")[0]
            if source not in self._seen or self._seen[source].made is None:
                what = here.taken.source or f"an input of shape {list(here.taken.shape)}"
                said = f"{here.taken.kind} enters {_at(first, node)}: {here.taken.among(what)}"
                return said + _becomes(here.taken, start, node)
            here, first = self._seen[source], source
        assert here.made is not None
        said = f"{here.made.kind} begins {_at(first, node)}: {here.made.among('the result')}"
        return f"{said}, and every input is finite{_becomes(here.made, start, node)}"

    def _where_gradient(self, node: str) -> str:
        made = self._seen[node].gradient
        assert made is not None
        rest = "its inputs and the gradient that arrives are finite"
        zero = "; its input is 0 there, as at a norm of zeros" if self._seen[node].at_zero else ""
        return f"{made.kind} begins here: {made.among('this gradient')}, and {rest}{zero}"


def _only_at_zero(call: Call) -> bool:
    """Whether gradients by inputs are not finite only where the input is 0."""
    return all(
        o.gradient is None
        or o.gradient.shape != o.array.shape
        or not np.any(o.array[~np.isfinite(o.gradient)])
        for o in call.inputs
    )


def _is_undecided(f: Finding) -> bool:
    if f.verdict is not Verdict.INCONCLUSIVE or not f.elements or f.follows:
        return False
    return f.note in UNDECIDED or (f.op == SUM and not f.note)


def _following(f: Finding, cause: Finding) -> Finding:
    return replace(f, note=f"{FOLLOWS} {cause.quantity}", follows=cause.quantity)


def _at(place: str, node: str) -> str:
    return "here" if place == node else f"at {place}"


def _becomes(origin: _Counted, here: _Counted | None, node: str) -> str:
    """The words for inf that has become NaN."""
    if here is None or origin.kind == here.kind:
        return ""
    return f"; {node} makes {here.kind} of it"
