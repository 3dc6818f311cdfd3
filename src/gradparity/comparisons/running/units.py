"""One piece of a long measurement, which can be measured alone."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Unit"]


@dataclass(frozen=True)
class Unit:
    """A part of the work that is measured in one piece.

    Attributes
    ----------
    part : of the atlas: "kinks", "smooth" or "structures".
    adapter, dtype : the adapter and the number format; no format where the unit has several.
    name : of the formula or group, unique among the units of this part, adapter and format.
    functions : how many functions it has; each may take as long as the limit says.
    """

    part: str
    adapter: str
    dtype: str
    name: str
    functions: int

    def __str__(self) -> str:
        return " ".join(filter(None, (self.adapter, self.dtype))) + f", {self.part} {self.name}"
