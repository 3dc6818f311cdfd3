"""Regions in which a function of a framework loses digits, as data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from .curves import Curve

__all__ = ["Region", "RegionChange", "Smooth", "changed_regions"]

#: A region has changed when its worst loss differs by more digits than this.
CHANGED = 0.5


@dataclass(frozen=True)
class Region:
    """Neighbouring numbers at which one function loses more than a few digits.

    Attributes
    ----------
    adapter, spelling, function : the adapter, the call as a user writes it, and the formula's name.
    quantity : "value" or "derivative".
    dtype, modes : the number format, and the ways to evaluate in which it loses them.
    low, high, points : the first and last of the numbers, and how many were measured.
    users : "common", "seen" or "rare": how often networks meet the most usual of the numbers.
    lost, digits : the most digits that are lost at one of them, infinite for a result that is not
        finite; and the digits of the format.
    ulps : the error there in units in the last place of the true result.
    at, got, true : that number, the result and the true result, rounded to float64.
    ill : whether a change of the number's last place changes the true result as much.
    """

    adapter: str
    spelling: str
    function: str
    quantity: str
    dtype: str
    modes: tuple[str, ...]
    low: float
    high: float
    points: int
    users: str
    lost: float
    digits: float
    ulps: float
    at: float
    got: float
    true: float
    ill: bool

    @property
    def key(self) -> tuple[str, ...]:
        """The fields by which a region is found again in another atlas."""
        return self.adapter, self.spelling, self.quantity, self.dtype

    @property
    def said(self) -> str:
        """The loss at the worst number."""
        numbers = f"at {self.at:.9g}: {self.got:.5g}, true {self.true:.5g}"
        if math.isinf(self.lost):
            return f"infinitely wrong {numbers}"
        return f"{self.lost:.1f} of {self.digits:.1f} digits lost {numbers}"

    def meets(self, other: Region) -> bool:
        """Whether both are of one function, in a common mode, and have common numbers."""
        return (
            self.key == other.key
            and not set(self.modes).isdisjoint(other.modes)
            and self.low <= other.high
            and other.low <= self.high
        )


@dataclass(frozen=True)
class Smooth:
    """The measured digits of functions of one number.

    Attributes
    ----------
    regions : sorted by users, then by the digits lost.
    uncovered : adapter -> functions for which there is no formula.
    unsupported : calls that raise in a dtype and mode, with the reason.
    functions, results : how many functions and numbers were compared.
    missing : adapter -> libraries that are not installed, so that their functions are missing.
    curves : the digits that each function loses, by intervals; older atlases have none.
    measured : adapter -> the calls that were measured; empty where that is not known.
    """

    regions: tuple[Region, ...]
    uncovered: dict[str, tuple[str, ...]]
    unsupported: tuple[str, ...]
    functions: int
    results: int
    missing: dict[str, tuple[str, ...]] = field(default_factory=dict)
    curves: tuple[Curve, ...] = ()
    measured: dict[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class RegionChange:
    """A region before and after, None where there is none."""

    before: Region | None
    after: Region | None

    def __str__(self) -> str:
        one = self.after or self.before
        assert one is not None
        between = f"from {one.low:.4g} to {one.high:.4g}"
        where = f"{one.adapter}: {one.spelling}, {one.quantity} in {one.dtype} {between}"
        if self.before is None:
            return f"{where}: appeared, {one.said}"
        if self.after is None:
            return f"{where}: disappeared, was {one.said}"
        return f"{where}: {self.before.said} -> {self.after.said}"


def changed_regions(before: Sequence[Region], after: Sequence[Region]) -> list[RegionChange]:
    """The regions that appeared, disappeared, or lose clearly more or fewer digits."""
    changes, left = list[RegionChange](), list(after)
    for region in before:
        partners = [other for other in left if region.meets(other)]
        partner = min(partners, key=lambda r: abs(r.at - region.at), default=None)
        if partner is None:
            changes.append(RegionChange(region, None))
            continue
        left.remove(partner)
        if region.lost != partner.lost and not abs(region.lost - partner.lost) <= CHANGED:
            changes.append(RegionChange(region, partner))
    return changes + [RegionChange(None, region) for region in left]
