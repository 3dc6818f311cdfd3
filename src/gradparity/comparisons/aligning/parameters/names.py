"""The parameters of one training in the form of another one, along a map of names or layouts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ....core.arithmetic.arrays import NDArray
from ....core.arithmetic.received import received
from ....core.formulas.arguments import did_you_mean
from .mapping import ParameterMap
from .transfer import moved_arrays

__all__ = ["Names"]


class Names:
    """Which parameters of `other` those of `one` are.

    Attributes
    ----------
    alone : the names of what has no partner, in either program.
    of : name in `other` -> in `one`.

    Raises
    ------
    TypeError, ValueError : a map that does not fit the parameters.
    """

    def __init__(
        self, one: Mapping[str, NDArray], other: Mapping[str, NDArray], given: Any
    ) -> None:
        self._map = given if isinstance(given, ParameterMap) else None
        plain: Mapping[str, str] = {}
        if self._map is None and given is not None:
            plain = _checked(given, one, other)
        mapped = {n: " + ".join(m.one) for m in self._matches for n in m.other}
        mine = {*plain, *(n for m in self._matches for n in m.one)}
        theirs = {*plain.values(), *mapped}
        rest = {n: n for n in one if n in other and n not in mine and n not in theirs}
        self._renamed = {**plain, **rest}
        self.of = {**mapped, **{there: here for here, there in self._renamed.items()}}
        found = (mine | {*rest}, theirs | {*rest})
        self.alone = [
            *(n for n in one if n not in found[0]),
            *(n for n in other if n not in found[1]),
        ]
        if self.alone and given is None:
            raise ValueError(
                f"align_steps: {', '.join(map(repr, self.alone))} is in one program alone; give "
                "parameters=, a map of the names in one to those in other, or of gp.map_parameters"
            )
        for name, array in self.moved(one).items():
            if name not in other or array.shape != other[name].shape:
                there = other[name].shape if name in other else "not there"
                raise ValueError(
                    f"align_steps: {self.of[name]!r} has shape {array.shape}, and {name!r} of the "
                    f"other program is {there}; give parameters=gp.map_parameters(one, other), "
                    "which knows layouts"
                )

    @property
    def _matches(self) -> tuple[Any, ...]:
        return self._map.matches if self._map is not None else ()

    def moved(self, values: Mapping[str, NDArray]) -> dict[str, NDArray]:
        """The parameters of `one` in the names and layouts of `other`."""
        found = moved_arrays(values, self._map) if self._map is not None else {}
        return {**found, **{there: values[here] for here, there in self._renamed.items()}}


def _checked(
    given: Any, one: Mapping[str, NDArray], other: Mapping[str, NDArray]
) -> Mapping[str, str]:
    if not isinstance(given, Mapping) or not all(isinstance(n, str) for n in given.values()):
        raise TypeError(
            f"align_steps: parameters is {received(given)}; give a mapping of the names in one to "
            "those in other, or gp.map_parameters(one, other) for other layouts"
        )
    for names, known, which in ((given, one, "one"), (given.values(), other, "other")):
        for name in names:
            if name not in known:
                raise ValueError(
                    f"align_steps: {which} has no parameter {name!r};"
                    f"{did_you_mean(name, known)} it has {', '.join(known)}"
                )
    return given
