"""The values of a recording by name, and which of two recordings are the same numbers.

Every value is computed anew in float64, so that the formats and kernels of two frameworks make no
difference.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ....core.arithmetic.arrays import NDArray
from ....core.arithmetic.precision import Precision
from ....core.formulas.op import Movement
from ....core.network.calls import Call
from ....core.vocabulary.rearranging import Split
from ...recording.recording import Recording
from .edits import computed, values_of
from .lines import groups
from .masks import Above, with_masks
from .partners import HIDES
from .prepared import with_preparations
from .roles import numbers_by_role
from .unrolled import unrolled

__all__ = ["Program", "are_near", "is_rounded", "nearness"]

#: Recorded values are the same if they differ by less than this, relative to the largest element.
NEAR, COARSE = {"float64": 1e-9, "float32": 2e-4}, 2e-2
#: Values computed in float64 are, where a number as programs write it is rounded to a format.
ROUNDED, ROUNDED_COARSE = {"float64": 1e-9, "float32": 1e-6}, 1e-2
#: Formats of few bits, and the fewest numbers that show that they are rounded to one.
FEW_BITS, SEVERAL = ("bfloat16", "float16"), 2
#: The name of a value of a step of a loop.
IN_STEP = re.compile(r"\.step\d")
#: The largest whole number up to which bfloat16 has all.
WHOLE = 256
#: A value computed in float64 may be this far from the recorded one, relative to the largest.
REPLAYED = 0.1


def are_near(a: NDArray, b: NDArray, near: float) -> bool:
    """Whether two arrays of one shape are the same within a tolerance, in their order."""
    if a.shape != b.shape:
        return False
    finite = np.isfinite(a) & np.isfinite(b)
    if not finite.all():
        if not np.array_equal(a[~finite], b[~finite], equal_nan=True):
            return False
        a, b = a[finite], b[finite]
    size = max(np.abs(a).max(initial=0.0), np.abs(b).max(initial=0.0))
    return bool(np.abs(a - b).max(initial=0.0) <= near * size)


def is_rounded(a: NDArray, b: NDArray) -> bool:
    """Whether one of two arrays is the other one rounded to few bits, as to bfloat16."""
    if a.shape != b.shape or a.dtype.kind != "f" or b.dtype.kind != "f" or a.size < SEVERAL:
        return False
    each = [np.asarray(x, np.float64) for x in (a, b)]
    return any(
        np.array_equal(short, Precision.of(kind).round(long)) and not np.array_equal(short, long)
        for kind in FEW_BITS
        for long, short in (each, each[::-1])
    )


@dataclass(frozen=True, eq=False)
class Program:
    """The values of a recorded program.

    Attributes
    ----------
    recording : it.
    calls : in the order in which they ran, with a name for what they gave.
    value : name -> numbers, of all that calls gave; in float64, or as recorded.
    formats : the number formats of those as recorded.
    users : name -> the nodes that take it.
    leaves : name -> numbers, of the parameters and inputs with a gradient.
    losses : the names of what the program was differentiated from.
    preparations : the nodes that run on what has no gradient.
    got : name -> the gradient by each parameter and input.
    """

    recording: Recording
    calls: tuple[Call, ...]
    value: Mapping[str, NDArray]
    formats: frozenset[str]
    users: Mapping[str, tuple[str, ...]]
    leaves: Mapping[str, NDArray]
    losses: tuple[str, ...]
    preparations: frozenset[str]
    got: Mapping[str, NDArray]

    @classmethod
    def of(cls, recording: Recording) -> Program:
        """The program of a recording that has kept its numbers."""
        calls = with_masks(with_preparations(recording.preparations, unrolled(recording)))
        value, formats = _in_float64(calls)
        users: dict[str, tuple[str, ...]] = {}
        for call in calls:
            for o in call.inputs:
                if name := o.name:
                    users[name] = (*users.get(name, ()), call.place.node)
        leaves = {
            o.source: o.array for call in calls for o in call.inputs if o.source in recording.leaves
        }
        ends = [
            name
            for call in calls
            for name, dz in zip(call.names, call.dz, strict=False)
            if dz is not None
            and name in value
            and value[name].size == 1
            and name not in users
            and np.any(dz)
        ]
        # A step of a loop may give a number that is taken under another name.
        ends = [n for n in ends if not IN_STEP.search(n)] or ends
        first = frozenset(call.place.node for call in recording.preparations)
        got = {name: total.got for name, total in recording.leaves.items()}
        return cls(recording, calls, value, formats, users, leaves, tuple(ends), first, got)

    def gives(self, call: Call) -> Iterator[str]:
        """The names of the values that a call gave, without masks, which are not compared."""
        return (n for n in call.names if n in self.value and not isinstance(call.op, Above))

    def uses(self, name: str) -> Iterator[Call]:
        """The calls that take a value, or a mask that is made of it."""
        for node in self.users.get(name, ()):
            call = self.nodes[node]
            if isinstance(call.op, Above):
                yield from self.uses(call.names[0])
            else:
                yield call

    @cached_property
    def nodes(self) -> Mapping[str, Call]:
        """The call of each node."""
        return {call.place.node: call for call in self.calls}

    @cached_property
    def layouts(self) -> Mapping[str, str]:
        """The parameters, and what is one of them in another layout or a part of it: its name."""
        found = {name: name for name in self.leaves}
        for call in self.calls:
            sources = [o.source for o in call.inputs if o.source]
            if isinstance(call.op, Movement | Split) and all(s in found for s in sources):
                found.update(dict.fromkeys(call.names, "+".join(found[s] for s in sources)))
        return found

    @cached_property
    def roles(self) -> Mapping[str, tuple[float, ...]]:
        """The numbers that it was written with, by role."""
        return numbers_by_role(self.calls, self.layouts)

    @cached_property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        """The values that one line gave, such as in the steps of a loop."""
        return groups(self.calls)

    @property
    def near(self) -> float:
        """The tolerance for equal numbers that were recorded, at this program's precision."""
        kinds = {call.precision for call in self.calls}
        return max((NEAR.get(kind, COARSE) for kind in kinds), default=NEAR["float64"])

    @cached_property
    def constants(self) -> Mapping[bytes, NDArray]:
        """The floats that calls take and that are no values, by their bits."""
        return {
            o.array.tobytes(): o.array
            for call in self.calls
            for o in call.inputs
            if not o.name and o.array.dtype.kind == "f"
        }


def nearness(one: Program, other: Program) -> float:
    """The tolerance for equal values of two programs, computed in float64.

    A constant that both have makes no difference, nor do whole numbers, which every format has.
    Another that a program has alone may be another's rounded to its format, and an array may be
    made of such: a table of angles, for example.
    """
    near = [NEAR.get(kind, COARSE) for kind in one.formats | other.formats]
    constants = {**one.constants, **other.constants}
    for key in one.constants.keys() ^ other.constants.keys():
        array = constants[key]
        if _is_whole(array):
            continue
        single = bool((array == array.flat[0]).all())
        table, coarse = (ROUNDED, ROUNDED_COARSE) if single else (NEAR, COARSE)
        near.append(table.get(array.dtype.name, coarse))
        if key in one.constants and any(is_rounded(array, b) for b in other.constants.values()):
            near.append(ROUNDED_COARSE)
    return max(near, default=NEAR["float64"])


def _is_whole(a: NDArray) -> bool:
    """Whether an array has small whole numbers, which no format rounds, and what hides others."""
    shown = a[np.isfinite(a) & (a > HIDES)]
    return bool((np.abs(shown) <= WHOLE).all() and (shown == np.round(shown)).all())


def _in_float64(calls: Sequence[Call]) -> tuple[dict[str, NDArray], frozenset[str]]:
    """The values of calls computed in float64, and the formats of those kept as recorded.

    That is where no formula is known, or where the value jumps, as that of a rounding.
    """
    value: dict[str, NDArray] = {}
    formats: set[str] = set()
    for call in calls:
        z = computed(call.op, values_of(call, value), value)
        made = dict(zip(call.names, z, strict=False))
        for name, own in zip(call.names, call.z, strict=False):
            if own is None or not name:
                continue
            if isinstance(call.op, Above):
                value[name] = made.get(name, own)
            elif own.dtype.kind == "f":
                if name in made and _is_like(own, made[name]):
                    value[name] = made[name]
                else:
                    value[name] = own
                    formats.add(call.precision)
    return value, frozenset(formats)


def _is_like(own: NDArray, made: NDArray) -> bool:
    """Whether a value is the recorded one but for rounding."""
    finite = np.isfinite(own)
    return np.array_equal(finite, np.isfinite(made)) and are_near(
        np.where(finite, own, 0.0), np.where(finite, made, 0.0), REPLAYED
    )
