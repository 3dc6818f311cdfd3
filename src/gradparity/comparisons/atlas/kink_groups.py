"""The kinks of an adapter in groups, each of which can be measured alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ...adapters.base import Adapter, AdapterError
from ..running.progress import Steps, silent
from ..running.units import Unit
from .kink_points import Site
from .probe import (
    DTYPES,
    TOGETHER,
    asked_of,
    entries_of,
    measured_sites,
    modes_of,
    plan_sites,
    sites_of,
)
from .stored import Entry

__all__ = ["Groups"]


class Groups:
    """Groups of as many sites as are asked about together."""

    def __init__(self, adapter: Adapter, compile: bool, names: Sequence[str] = ()) -> None:
        self.adapter, self.compile = adapter, compile
        self.ours, self.own = sites_of(adapter, names)

    def units(self) -> list[Unit]:
        sites, name = [*self.ours, *self.own], self.adapter.name
        return [
            Unit("kinks", name, dtype, str(i), len(sites[i : i + TOGETHER]))
            for dtype in DTYPES
            for i in range(0, len(sites), TOGETHER)
        ]

    def _of(self, unit: Unit) -> tuple[list[Site], list[Site]]:
        first = int(unit.name)
        some = [*self.ours, *self.own][first : first + TOGETHER]
        return [s for s in some if s.core], [s for s in some if not s.core]

    def measured(self, unit: Unit) -> tuple[Entry, ...]:
        """Measure one group in one format."""
        steps, sites = Steps(silent), self._of(unit)
        plan_sites(self.adapter, self.compile, sites, steps)
        return tuple(measured_sites(self.adapter, unit.dtype, self.compile, sites, steps))

    def lost(self, unit: Unit, why: str) -> tuple[Entry, ...]:
        """The entries of a group that has no result, with the reason."""
        reason, name, dtype = AdapterError(why), self.adapter.name, unit.dtype
        return tuple(
            replace(entry, note=f"unsupported: {why}")
            for mode, sites in modes_of(self.adapter, self.compile, self._of(unit))
            for one in asked_of(sites, dtype, mode)
            for entry in entries_of(name, one, reason, mode, dtype)
        )

    @property
    def spellings(self) -> tuple[str, ...]:
        """All functions, by name."""
        return tuple(dict.fromkeys(site.name for site in (*self.ours, *self.own)))
