"""Measure any part of the atlas in units, and put the units together."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...adapters.base import Adapter
from ..atlas.chosen import missing_of, refuse_unknown, versions_of
from ..atlas.kink_groups import Groups
from ..atlas.smooth.measured import Functions, Part
from ..atlas.smooth.measured import together as smooth_together
from ..atlas.smooth.points import FORMATS
from ..atlas.smooth.truth import contexts
from ..atlas.stored import Atlas, Entry
from ..atlas.structures.departures import Structures
from ..running.units import Unit
from ..structures.measured import Ops
from ..structures.measured import together as structures_together

__all__ = ["PARTS", "Measured", "Measuring"]

#: The parts of an atlas, in the order in which they are measured.
PARTS = ("kinks", "smooth", "structures")


@dataclass(frozen=True)
class Measured:
    """The results of one unit; those of one part."""

    unit: Unit
    entries: tuple[Entry, ...] = ()
    smooth: Part | None = None
    structures: Structures | None = None


class Measuring:
    """The adapters, parts of the atlas and options to measure; it can be pickled."""

    def __init__(
        self,
        adapters: Sequence[Adapter],
        parts: Sequence[str] = PARTS,
        compile: bool = False,
        names: Sequence[str] = (),
        dtypes: Sequence[str] = (),
    ) -> None:
        unknown = [part for part in parts if part not in PARTS]
        if unknown or not parts:
            raise ValueError(f"the parts are {list(parts)}; valid parts: {', '.join(PARTS)}")
        if "" in names:
            raise ValueError("a name of functions is ''; give a part of a name, such as 'gelu'")
        self.given = (adapters, parts, compile, names, dtypes)
        self.adapters, self.parts, self.compile, self.names, self.dtypes = self.given
        self._areas: dict[tuple[str, str], Any] | None = None

    def __reduce__(self) -> Any:
        return Measuring, self.given  # functions that were found cannot be pickled

    def prepare(self) -> dict[tuple[str, str], Any]:
        """Find the functions of every part and adapter, once."""
        if self._areas is None:
            made = {"kinks": self._kinks, "smooth": self._smooth, "structures": self._structures}
            self._areas = {
                (part, each.name): made[part](each)
                for part in PARTS if part in self.parts
                for each in self.adapters
            }  # fmt: skip
        return self._areas

    def _kinks(self, each: Adapter) -> Groups:
        return Groups(each, self.compile, self.names)

    def _smooth(self, each: Adapter) -> Functions:
        contexts()  # where mpmath is missing, that is said before anything is measured
        return Functions(each, self.names)

    def _structures(self, each: Adapter) -> Ops:
        return Ops(each, self.compile, self.names, self.dtypes)

    def units(self) -> list[Unit]:
        """All units, in the order in which their results are put together."""
        units = list[Unit]()
        for area in self.prepare().values():
            smooth = isinstance(area, Functions)
            units += area.units(self.dtypes or FORMATS) if smooth else area.units()
        return units

    def __call__(self, unit: Unit) -> Measured:
        """Measure one unit."""
        area = self.prepare()[unit.part, unit.adapter]
        if isinstance(area, Functions):
            return Measured(unit, smooth=area.measured(unit, self.compile))
        return _result(unit, area.measured(unit))

    def lost(self, unit: Unit, why: str) -> Measured:
        """The results of a unit that has none, with the reason."""
        return _result(unit, self.prepare()[unit.part, unit.adapter].lost(unit, why))

    def spellings(self) -> dict[tuple[str, str], tuple[str, ...]]:
        """The functions of every part and adapter, by name."""
        return {key: area.spellings for key, area in self.prepare().items()}

    def refuse_unknown(self) -> None:
        """Raise ValueError where a name that was given is part of no function's."""
        known = [name for names in self.spellings().values() for name in names]
        lost = [name for name in self.names if not any(name in one for one in known)]
        if lost:
            every = Measuring(self.adapters, self.parts, self.compile, (), self.dtypes)
            refuse_unknown(lost, [name for names in every.spellings().values() for name in names])

    def _functions(self, part: str) -> dict[str, tuple[str, ...]]:
        return {name: found for (each, name), found in self.spellings().items() if each == part}

    def atlas(self, found: Mapping[Unit, Measured]) -> Atlas:
        """The atlas of the results of all units."""
        order = [found[unit] for unit in self.units()]
        functions = [a for a in self.prepare().values() if isinstance(a, Functions)]
        smooth = smooth_together(functions, [one.smooth for one in order if one.smooth])
        missing = missing_of(self.adapters)
        smooth = replace(smooth, missing=missing, measured=self._functions("smooth"))
        structures = structures_together([one.structures for one in order if one.structures])
        structures = replace(structures, measured=self._functions("structures"))
        return Atlas(
            versions_of(self.adapters), platform.machine(), self.compile,
            tuple(entry for one in order for entry in one.entries),
            smooth if "smooth" in self.parts else None,
            structures if "structures" in self.parts else None,
            tuple(self.names),
        )  # fmt: skip


def _result(unit: Unit, found: Any) -> Measured:
    if unit.part == "kinks":
        return Measured(unit, entries=found)
    if unit.part == "smooth":
        return Measured(unit, smooth=found)
    return Measured(unit, structures=found)
