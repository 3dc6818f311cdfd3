"""A program that is computed by the core with other parameters, as far as these are known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf

import numpy as np

from ....core.arithmetic.arrays import NDArray
from ....core.formulas.op import Movement
from ....core.network.calls import Call
from ..programs.edits import computed, values_of
from ..programs.masks import Above
from ..programs.partners import sorted_elements
from ..programs.values import Program

__all__ = ["Computed", "Nearest"]

#: Values of fewer elements than this are near another one only if they are the same.
FEW = 16


class Computed:
    """A program, computed by the core as far as its inputs are known.

    Attributes
    ----------
    value : name -> numbers, of parameters and of what was computed.
    on_data : the names of the values that depend on more than parameters.
    compared : these values, without those that are only moved.
    """

    def __init__(self, program: Program, value: dict[str, NDArray]) -> None:
        self.program, self.value = program, value
        self.compared: dict[str, NDArray] = {}
        self.on_data: set[str] = set()
        self._todo = list(program.calls)

    def on(self, most: int | None = None) -> None:
        """Compute all that can be, or so many values that are compared."""
        left: list[Call] = []
        for k, call in enumerate(self._todo):
            if most is not None and len(self.compared) >= most:
                left += self._todo[k:]
                break
            if any(o.name and o.name not in self.value for o in call.inputs):
                left.append(call)
            else:
                self._compute(call)
        self._todo = left

    def _compute(self, call: Call) -> None:
        z = computed(call.op, values_of(call, self.value), self.value)
        takes_data = self._takes_data(call)
        for name, array in zip(call.names, z, strict=False):
            if name in self.program.value:
                self.value[name] = array
                if takes_data:
                    self.on_data.add(name)
                if takes_data and not isinstance(call.op, Movement | Above):
                    self.compared[name] = array

    def waits_for(self) -> str | None:
        """The first unknown parameter without which nothing more can be computed of the data.

        Those without any gradient, such as running statistics, do not count.
        """
        return self._first_unknown(self._takes_a_value) or self._first_unknown(self._takes_data)

    def _first_unknown(self, takes_data: Callable[[Call], bool]) -> str | None:
        totals = self.program.recording.leaves
        of_parameters = {
            name: name
            for name in self.program.leaves
            if name not in self.value and np.any(totals[name].got)
        }
        for call in self._todo:
            missing = [o.source for o in call.inputs if o.source and o.source not in self.value]
            if not all(name in of_parameters for name in missing):
                continue
            if takes_data(call):
                return of_parameters[missing[0]] if missing else None
            of_parameters |= {name: of_parameters[missing[0]] for name in call.names if missing}
        return None

    def _takes_a_value(self, call: Call) -> bool:
        """Whether a call takes something that was computed of the data."""
        return any(o.source in self.on_data for o in call.inputs)

    def _takes_data(self, call: Call) -> bool:
        """Whether a call takes more than parameters."""
        return any(
            o.source in self.on_data or (not o.source and o.array.size > 1) for o in call.inputs
        )

    def with_more(self, numbers: Mapping[str, NDArray]) -> Computed:
        """The run so far, with more parameters."""
        run = Computed(self.program, {**self.value, **numbers})
        run.on_data, run._todo = set(self.on_data), self._todo
        return run


class Nearest:
    """Values by their sorted elements, to measure how near another one is to the nearest."""

    def __init__(self, value: Mapping[str, NDArray], same: float) -> None:
        self.same = same
        self._by_size: dict[int, list[NDArray]] = {}
        for array in value.values():
            if np.isfinite(array).all():
                self._by_size.setdefault(array.size, []).append(sorted_elements(array))

    def nearest(self, value: Mapping[str, NDArray]) -> float:
        """The least distance of any of these values, relative to the largest element."""
        return min((self._to(array) for array in value.values()), default=inf)

    def _to(self, array: NDArray) -> float:
        own = sorted_elements(array)
        size = np.abs(own).max(initial=0.0)
        if not np.isfinite(size) or not size or (own.size > 1 and own[0] == own[-1]):
            return inf
        each = [np.abs(own - a).max() / size for a in self._by_size.get(own.size, ())]
        found = float(min(each, default=inf))
        return found if own.size >= FEW or found <= self.same else inf
