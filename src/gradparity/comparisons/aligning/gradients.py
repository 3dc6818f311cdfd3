"""The gradients of two programs whose values all pair: of parameters, and where they first part."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np

from ...core.arithmetic.arrays import NDArray
from ...core.formulas.layers import Add
from ...core.formulas.op import Movement
from .side import Side
from .values import Partners, sorted_elements

__all__ = ["arrived", "is_noise", "parting_of_gradients", "together", "unpaired_gradients"]

#: The most arrays of one size that are tried together.
MOST_PACKED = 24
#: How many nodes after a parameter are looked at for the terms of its gradient.
NEARBY = 4


def together(arrays: Mapping[str, NDArray]) -> dict[str, NDArray]:
    """Each array, and two or three of one size as one: q, k and v may be packed."""
    found = dict(arrays)
    by_size: dict[int, list[str]] = {}
    for name, array in arrays.items():
        by_size.setdefault(array.size, []).append(name)
    for names in by_size.values():
        for n in (2, 3):
            if len(names) <= MOST_PACKED:
                for some in combinations(names, n):
                    joined = [arrays[name].ravel() for name in some]
                    found["+".join(some)] = np.concatenate(joined)
    return found


def is_noise(side: Side, name: str) -> bool:
    """Whether a gradient is zero but for rounding: its terms cancel, or there are none."""
    got = side.program.recording.leaves[name].got
    largest, names = 0.0, [name]
    for _ in range(NEARBY):
        calls = [side.nodes[node] for n in names for node in side.program.users.get(n, ())]
        for call in calls:
            terms = [np.abs(dz).max(initial=0.0) for dz in call.dz if dz is not None]
            others = [
                np.abs(o.array).max(initial=0.0)
                for o in call.inputs
                if o.source not in names and o.array.dtype.kind == "f"
                if np.isfinite(o.array).all()
            ]
            largest = max(largest, max(terms, default=0.0) * max([1.0, *others]))
        names = [n for call in calls if isinstance(call.op, Movement) for n in call.names]
        names += [n for call in calls if isinstance(call.op, Add) for n in call.names]
    return bool(np.abs(got).max(initial=0.0) <= side.near * largest)


def unpaired_gradients(one: Side, other: Side) -> tuple[list[str], list[str], list[str]]:
    """The gradients by leaves of `one` without a partner, of `other`, and what is not compared.

    Gradients that are zero by structure are left out; one that is not compared is by a leaf that
    the other program does not differentiate by.
    """
    own, there = _got(one), _got(other)
    mine = [n for n in _without(own, there, one.near) if not is_noise(one, n)]
    theirs = [n for n in _without(there, own, one.near) if not is_noise(other, n)]
    if mine and not theirs:
        silent = _silent(other)
        held = Partners({n: other.program.leaves[n] for n in there if n in other.program.leaves},
                        one.near)  # fmt: skip
        alone = [
            n for n in mine
            if n in one.program.leaves and not held.of(one.program.leaves[n]) and not silent
        ]  # fmt: skip
        return [n for n in mine if n not in alone], theirs, alone
    if theirs and not mine:
        b, a, alone = unpaired_gradients(other, one)
        return a, b, alone
    return mine, theirs, []


def _silent(side: Side) -> list[str]:
    """The leaves of a program whose gradient is zero."""
    return [n for n, got in _got(side).items() if not np.any(got)]


def _got(side: Side) -> dict[str, NDArray]:
    return {name: total.got for name, total in side.program.recording.leaves.items()}


def _without(own: Mapping[str, NDArray], there: Mapping[str, NDArray], near: float) -> list[str]:
    """The names of the gradients that the other program has not, alone, packed or split."""
    packed, single = Partners(together(there), near), Partners(there, near)
    lacking = [name for name, got in own.items() if not packed.of(got)]
    if not lacking:
        return []
    parts = {
        part
        for names, joined in together(own).items()
        if "+" in names and single.of(joined)
        for part in names.split("+")
    }
    return [name for name in lacking if name not in parts]


def arrived(side: Side) -> dict[str, NDArray]:
    """The gradient that arrived at each value."""
    return {
        name: dz
        for call in side.program.calls
        for name, dz in zip(call.names, call.dz, strict=False)
        if name in side.value and dz is not None
    }


def parting_of_gradients(one: Side, other: Side) -> tuple[str, str]:
    """The node nearest to the loss after which gradients part, and what is known about it.

    A value whose gradient has no partner, although it and what depends on it have: its uses are
    tried one by one without their gradient, which may be detached in the other program.
    """
    own, there = arrived(one), arrived(other)
    pool = Partners({**there, **_got(other)}, one.near)
    totals = {**own, **_got(one)}
    values = {**one.program.leaves, **one.value}
    order = [n for call in reversed(one.program.calls) for n in one.program.gives(call)]
    for name in [*order, *one.program.recording.leaves]:
        total = totals.get(name)
        if total is None or not np.any(total) or pool.of(total):
            continue
        if name in values and not other.partners.of(values[name]):
            continue
        uses = [
            (call.place.node, o.gradient)
            for call in one.program.calls
            for o in call.inputs
            if o.source == name and o.gradient is not None
        ]
        for node, gradient in uses:
            rest = total - gradient.reshape(total.shape) if gradient.size == total.size else None
            if rest is None:
                continue
            if len(uses) > 1 and pool.of(rest):
                return node, f"the gradient of {name} through {node} is missing {{there}}"
            if pool.of(total + gradient.reshape(total.shape)):
                return node, f"the gradient of {name} through {node} counts twice {{there}}"
        for partner in other.partners.of(values[name]) if name in values else ():
            got = {**there, **_got(other)}.get(partner)
            if got is not None and np.any(got) and got.size == total.size:
                a, b = sorted_elements(total), sorted_elements(got)
                i = int(np.abs(a).argmax())
                times = float(b[i] / a[i])
                if np.allclose(a * times, b, rtol=0, atol=one.near * np.abs(b).max()):
                    return name, f"the gradient of {name} is {times:.6g} times as large {{there}}"
        node = uses[0][0] if uses else name
        return node, f"the gradient of {name} differs, although all values are the same"
    return "", ""
