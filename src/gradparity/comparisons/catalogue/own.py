"""The parts of a stored atlas whose Python may be run: what the adapters themselves find.

A file may come from anyone, and a spelling is Python.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import cache

from ...adapters.base import Adapter
from ..atlas.smooth.regions import Region
from ..atlas.smooth.truth import FORMULAS
from ..atlas.stored import Atlas, Entry
from .causes import SHOWN

__all__ = ["known_to", "own_part"]

#: So many characters of a spelling are shown.
LENGTH = 80
Known = Callable[[Region | Entry], bool]


def known_to(chosen: Sequence[Adapter]) -> Known:
    """Whether a result is of a function and a number format that one of these adapters has.

    Names at kinks are looked up in a table of Python, and are not Python themselves.
    """
    by_name = {each.name: each for each in chosen}

    @cache
    def functions(name: str) -> frozenset[tuple[str, str]]:
        return _functions(by_name[name])

    def known(one: Region | Entry) -> bool:
        if one.adapter not in by_name or one.dtype not in SHOWN:
            return False
        return isinstance(one, Entry) or (one.spelling, one.function) in functions(one.adapter)

    return known


def own_part(atlas: Atlas, known: Known, adapters: Collection[str]) -> tuple[Atlas, list[str]]:
    """The atlas without results of unknown functions, and the names of these adapters' ones."""
    regions = () if atlas.smooth is None else atlas.smooth.regions
    every: list[Region | Entry] = [*regions, *atlas.entries]
    left = [one for one in every if one.adapter in adapters and not known(one)]
    entries = tuple(filter(known, atlas.entries))
    smooth = atlas.smooth
    if smooth is not None:
        smooth = replace(smooth, regions=tuple(filter(known, regions)))
    said = dict.fromkeys(_shortened(f"{one.adapter}: {one.spelling}") for one in left)
    return replace(atlas, entries=entries, smooth=smooth), [*said]


def _functions(adapter: Adapter) -> frozenset[tuple[str, str]]:
    """The spellings and formulas that an adapter's introspection and tables give."""
    offer = getattr(adapter, "smooth", None)
    if offer is None:
        return frozenset()
    native = offer()
    found = (*native.found(FORMULAS).functions, *getattr(native, "vectors", tuple)())
    return frozenset((one.spelling, one.name) for one in found)


def _shortened(said: str) -> str:
    said = said if said.isprintable() else ascii(said)
    return said if len(said) <= LENGTH else f"{said[:LENGTH]}..."
