"""The atlas, as data: kinks, smooth regions and structured inputs.  See `probe`."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..findings.stored import parsed, plain, record
from .compared import AnyChange, Comparison, compared
from .entry import Change, Entry, point_name
from .smooth.regions import Smooth
from .structures.departures import Structures

__all__ = ["SCHEMA", "Atlas", "Change", "Entry", "point_name"]

SCHEMA = "gradparity/atlas/2"
SOURCE = "`gradparity probe --json FILE`"


@dataclass(frozen=True)
class Atlas:
    """Every entry, stamped with the versions it was measured with.

    Attributes
    ----------
    versions : adapter -> name -> version, as the adapter gives them.
    machine : the processor's architecture.
    compile : whether slow compilers were measured too.
    entries : the kinks, in the order of measurement; none where they were not measured.
    smooth : the smooth regions; None where they were not measured.
    structures : the results on structured inputs; None where they were not measured.
    names : the functions were chosen whose name contains one of these; all where there is none.
    """

    versions: Mapping[str, Mapping[str, str]]
    machine: str
    compile: bool
    entries: tuple[Entry, ...]
    smooth: Smooth | None = None
    structures: Structures | None = None
    names: tuple[str, ...] = ()

    @property
    def option(self) -> str:
        """The option of `gradparity probe` that measures this atlas; empty for kinks."""
        if self.smooth is not None:
            return "--smooth" if self.structures is None else "--all"
        return "" if self.structures is None else "--structures"

    def to_json(self) -> str:
        """JSON, an entry a line, so that two files can also be compared by eye.

        Infinities and NaN, for which JSON has no literal, are strings.
        """
        head = {
            "schema": SCHEMA,
            "versions": {name: dict(found) for name, found in self.versions.items()},
            "machine": self.machine,
            "compile": self.compile,
            "names": list(self.names),
        }
        lines = [json.dumps(plain(e), allow_nan=False) for e in self.entries]
        opened = json.dumps(head, allow_nan=False, indent=1).removesuffix("\n}")
        return f'{opened},\n "entries": [\n' + ",\n".join(lines) + "\n ]" + self._others() + "\n}"

    def _others(self) -> str:
        """The smooth regions and the structures as JSON; what is last in the object."""
        smooth = _listed("smooth", self.smooth, "regions")
        return smooth + _listed("structures", self.structures, "departures")

    @classmethod
    def from_json(cls, text: str) -> Atlas:
        """Read an atlas that `to_json` wrote.

        Raises
        ------
        ValueError : the text is not JSON, has another schema, or is not a complete atlas.

        >>> atlas = Atlas({"mine": {"mine": "1.0"}}, "x86_64", False, ())
        >>> Atlas.from_json(atlas.to_json()) == atlas
        True
        """
        atlas = record(cls, parsed(text), SCHEMA, SOURCE)
        for region in () if atlas.smooth is None else atlas.smooth.regions:
            if math.isnan(region.lost):
                raise ValueError(
                    f"the region of {region.spelling} in {region.dtype} has lost nan, not a number "
                    f"of digits or inf; write it again with {SOURCE}"
                )
        return atlas

    def diff(self, other: Atlas) -> list[AnyChange]:
        """Differences of `other`; see `compared`."""
        return self.compared(other).changes

    def compared(self, other: Atlas) -> Comparison:
        """Compare what both atlases measured.

        Numbers are compared to six digits: beyond, processors differ.

        Raises
        ------
        ValueError : the atlases are of different adapters, only one was measured with compilers,
            they were measured with other options of these: --smooth, --structures, --all; or no
            function was measured in both.
        """
        if set(self.versions) != set(other.versions):
            raise ValueError(
                f"one atlas is of {sorted(self.versions)}, the other of {sorted(other.versions)}"
            )
        if self.compile != other.compile:
            raise ValueError("one atlas was measured with --compile, the other without")
        if self.option != other.option:
            first, second = (f"with {a.option}" if a.option else "of kinks" for a in (self, other))
            raise ValueError(
                f"one atlas was measured {first}, the other {second}; give two of one kind"
            )
        return compared(self, other)


def _listed(name: str, found: Any, field: str) -> str:
    """A field of the atlas as JSON, with one of its own fields last, an item a line."""
    if found is None:
        return f',\n "{name}": null'
    head = {k: v for k, v in plain(found).items() if k != field}
    lines = [json.dumps(plain(one), allow_nan=False) for one in getattr(found, field)]
    opened = json.dumps(head, allow_nan=False, indent=1).removesuffix("\n}")
    return f',\n "{name}": {opened},\n "{field}": [\n' + ",\n".join(lines) + "\n ]}"
