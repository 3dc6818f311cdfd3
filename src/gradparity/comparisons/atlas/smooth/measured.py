"""Measure where the frameworks' functions of one number lose digits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from ....adapters.base import Adapter
from ....adapters.smooth import Answer, NativeSmooth
from ....adapters.smooth import Smooth as Native
from ....core.arithmetic.precision import Precision
from ...running.progress import Progress, Steps, silent
from ...running.units import Unit
from .curves import QUANTITIES, Curve, curves_of, joined
from .errors import Errors, digits_of, errors, threshold
from .points import FORMATS, points
from .regions import Region, Smooth
from .truth import FORMULAS, truth
from .vectors import columns

__all__ = ["Functions", "Part", "measured", "together"]

#: So many good numbers between bad ones do not part a region.
GAP = 2
#: Numbers that networks meet, and numbers that they meet seldom; the rest is rare.
COMMON, SEEN = 10.0, 100.0
USERS = ("common", "seen", "rare")
#: Regions of two modes are one if the digits they lose differ by less than this.
SAME = 0.3


class Row(NamedTuple):
    """The numbers at which one function is measured in one format, and the true results."""

    blank: Region
    z: Any
    precision: Precision


@dataclass(frozen=True)
class Part:
    """The results of one unit: see `Smooth`."""

    regions: tuple[Region, ...] = ()
    unsupported: tuple[str, ...] = ()
    results: int = 0
    curves: tuple[Curve, ...] = ()


class Functions:
    """The functions of one adapter whose formulas are known, by formula."""

    def __init__(self, adapter: Adapter, names: Sequence[str] = ()) -> None:
        self.adapter, self.native = adapter.name, _native(adapter)
        self.by_formula = dict[str, list[NativeSmooth]]()
        self.vectors = set[str]()
        self.uncovered: tuple[str, ...] | None = None
        if self.native is None:
            return
        found, vectors = self.native.found(FORMULAS), _vectors(self.native)
        self.uncovered, self.vectors = found.uncovered, {one.name for one in vectors}
        for one in (*found.functions, *vectors):
            if not names or any(name in one.spelling for name in names):
                self.by_formula.setdefault(one.name, []).append(one)

    def __len__(self) -> int:
        return sum(map(len, self.by_formula.values()))

    def units(self, dtypes: Sequence[str]) -> list[Unit]:
        """All units, those of a format together: programs of several formats fill the memory."""
        return [
            Unit("smooth", self.adapter, dtype, formula, len(calls))
            for dtype in dtypes
            for formula, calls in self.by_formula.items()
        ]

    def lost(self, unit: Unit, why: str) -> Part:
        """The part of a unit that has no result, with the reason."""
        calls = (one.spelling for one in self.by_formula[unit.name])
        return Part(unsupported=tuple(f"{self.adapter}: {c}, {unit.dtype}: {why}" for c in calls))

    @property
    def spellings(self) -> tuple[str, ...]:
        """All calls, as a user writes them."""
        return tuple(one.spelling for calls in self.by_formula.values() for one in calls)

    def measured(self, unit: Unit, compile: bool) -> Part:
        """Measure one unit."""
        parts, known = list[Part](), list[Answer]()
        for one in self.by_formula[unit.name]:
            asked = self.adapter, self.native, one, unit.dtype, compile
            vector = one.name in self.vectors
            parts.append(_vector(*asked) if vector else _function(*asked, known))
        return Part(*_all_of(parts), tuple(curve for part in parts for curve in part.curves))


def measured(
    *adapters: Adapter,
    compile: bool = False,
    names: Sequence[str] = (),
    dtypes: Sequence[str] = FORMATS,
    progress: Progress = silent,
) -> Smooth:
    """Measure the digits that every function loses whose formula is known.

    Parameters
    ----------
    *adapters : those without ``smooth()`` (`gradparity.adapters.smooth.Smooth`) have no functions.
    compile : whether slow compilers are measured too.
    names : only functions whose spelling contains one of these; all by default.
    dtypes : number formats.
    progress : called with a description of the current step and the fraction done.

    Raises
    ------
    ImportError : mpmath is missing.
    """
    steps, parts = Steps(progress), list[Part]()
    work = [Functions(adapter, names) for adapter in adapters]
    for functions in work:
        steps.plan(functions.adapter, len(functions.units(dtypes)))
    for functions in work:
        for unit in functions.units(dtypes):
            parts.append(functions.measured(unit, compile))
            steps.did(unit.adapter, f"{unit.adapter} {unit.dtype}, {unit.name}")
    steps.end()
    return together(work, parts)


def together(work: Sequence[Functions], parts: Sequence[Part]) -> Smooth:
    """The results of all units, given in their order."""
    regions, unsupported, results = _all_of(parts)
    uncovered = {one.adapter: one.uncovered for one in work if one.uncovered is not None}
    curves = joined(curve for part in parts for curve in part.curves)
    functions = sum(map(len, work))
    return Smooth(_sorted(regions), uncovered, unsupported, functions, results, curves=curves)


def _all_of(parts: Sequence[Part]) -> tuple[tuple[Region, ...], tuple[str, ...], int]:
    """Regions, unsupported calls and the number of results of several parts."""
    regions = tuple(region for part in parts for region in part.regions)
    unsupported = tuple(said for part in parts for said in part.unsupported)
    return regions, unsupported, sum(part.results for part in parts)


def _native(adapter: Adapter) -> Native | None:
    offer = getattr(adapter, "smooth", None)
    return None if offer is None else offer()


def _vectors(native: Any) -> Sequence[NativeSmooth]:
    offer = getattr(native, "vectors", None)
    return () if offer is None else offer()


def _vector(name: str, native: Any, one: NativeSmooth, dtype: str, compile: bool) -> Part:
    """As `_function`, of a function of a vector that one number moves."""
    precision, count = Precision.of(dtype), 0
    regions, refused = dict[tuple[str, bool], list[Region]](), list[str]()
    lost = list[tuple[str, Any, Any]]()
    for column in columns(native, one, dtype, compile):
        if isinstance(column, str):
            refused.append(f"{name}: {column}"[:200])
            continue
        count += int((~np.isnan(column.compared.lost)).sum())
        sound = np.where(column.ill, np.nan, column.compared.lost)
        lost.append((column.quantity, column.x, sound))
        for ill in (False, True):
            of_kind = np.where(column.ill == ill, column.compared.lost, 0.0)
            row = Row(_blank(name, one, column.quantity, dtype, ill), column.x, precision)
            compared = Errors(column.compared.ulps, of_kind)
            found = regions.setdefault((column.quantity, ill), [])
            found += _regions(row, column.mode, column.got, column.true, compared)
    every = tuple(r for found in regions.values() for r in _together(found))
    return Part(every, tuple(refused), count, curves_of(name, one, dtype, lost))


def _blank(name: str, one: NativeSmooth, quantity: str, dtype: str, ill: bool = False) -> Region:
    return Region(name, one.spelling, one.name, quantity, dtype, (), 0, 0, 0, "", 0,
                  digits_of(Precision.of(dtype)), 0, 0, 0, 0, ill)  # fmt: skip


def _function(
    name: str,
    native: Any,
    one: NativeSmooth,
    dtype: str,
    compile: bool,
    known: list[Answer],
) -> Part:
    """The regions and the curve of a function in one format, and the modes that raise.

    `known` : the first answers of other functions of this formula, to which this one's is added;
    one that gives the same numbers is the same function by another name, and is not asked more.
    """
    formula, precision = FORMULAS[one.name], Precision.of(dtype)
    z = points(dtype)
    z = z[(z > formula.low) & (z < formula.high)]
    if not len(z):
        return Part()
    answers, refused = dict[str, Answer](), list[str]()
    for mode in native.modes(compile):
        try:
            answers[mode] = native.answer(one.function, z, dtype, mode)
        except Exception as error:  # frameworks raise anything for what they do not support
            said = (str(error).strip().splitlines() or [type(error).__name__])[0]
            refused.append(f"{name}: {one.spelling}, {mode} {dtype}: {said}"[:200])
            continue
        if len(answers) == 1:
            if any(_same(answers[mode], other) for other in known):
                return Part()
            known.append(answers[mode])
    regions, count, sound = list[Region](), 0, list[tuple[str, Any, Any]]()
    quantities = QUANTITIES if one.slope else QUANTITIES[:1]
    for quantity, results in zip(quantities, zip(*answers.values(), strict=True), strict=False):
        blank = _blank(name, one, quantity, dtype)
        row, right = Row(blank, z, precision), truth(one.name, quantity, z, precision)
        of_modes, lost = list[Region](), list[Any]()
        for mode, got in zip(answers, results, strict=True):
            compared = errors(got, right, precision)
            lost.append(compared.lost)
            count += int((~np.isnan(compared.lost)).sum())
            of_modes += _regions(row, mode, got, right.nearest, compared)
        found = [replace(each, ill=_ill(each)) for each in _together(of_modes)]
        regions += found
        sound += [(quantity, z, _sound(found, z, each, precision)) for each in lost]
    return Part(tuple(regions), tuple(refused), count, curves_of(name, one, dtype, sound))


def _sound(regions: Sequence[Region], z: Any, lost: Any, precision: Precision) -> Any:
    """The digits lost, NaN where they belong to ill-conditioned regions alone."""
    inside = {ill: np.zeros(len(z), bool) for ill in (False, True)}
    for r in regions:
        inside[r.ill] |= (z >= r.low) & (z <= r.high)
    alone = inside[True] & ~inside[False] & (lost >= threshold(precision))
    return np.where(alone, np.nan, lost)


def _same(one: Answer, other: Answer) -> bool:
    return all(np.array_equal(a, b, equal_nan=True) for a, b in zip(one, other, strict=True))


def _regions(row: Row, mode: str, got: Any, true: Any, compared: Errors) -> Iterator[Region]:
    """Runs of neighbouring numbers with the same fault."""
    bad = np.flatnonzero(compared.lost >= threshold(row.precision))
    runs = list[list[int]]()
    for i in bad:
        new = not runs or i - runs[-1][-1] > GAP + 1
        if new or np.isinf(compared.lost[i]) != np.isinf(compared.lost[runs[-1][-1]]):
            runs.append([])
        runs[-1].append(int(i))
    for run in runs:
        usual = min(run, key=lambda i: (USERS.index(_users(row, row.z[i])), -compared.lost[i]))
        users = _users(row, row.z[usual])
        near = [i for i in run if _users(row, row.z[i]) == users]
        worst = max(near, key=lambda i: (compared.lost[i], -abs(row.z[i])))
        yield replace(
            row.blank, modes=(mode,), low=float(row.z[run[0]]), high=float(row.z[run[-1]]),
            points=len(run), users=users, lost=float(compared.lost[worst]),
            ulps=float(compared.ulps[worst]), at=float(row.z[worst]), got=float(got[worst]),
            true=float(true[worst]),
        )  # fmt: skip


def _users(row: Row, z: float) -> str:
    """How often networks meet a number: judged by its size alone."""
    if 0 < abs(z) < max(1e-30, row.precision.tiny):
        return "rare"
    return "common" if abs(z) < COMMON else "seen" if abs(z) < SEEN else "rare"


def _together(regions: Sequence[Region]) -> list[Region]:
    """Join the regions of several modes that are the same fault."""
    joined = list[Region]()
    for region in regions:
        for i, other in enumerate(joined):
            same = region.lost == other.lost or abs(region.lost - other.lost) < SAME
            if same and region.modes[0] not in other.modes and _overlap(region, other):
                joined[i] = replace(
                    other, modes=(*other.modes, *region.modes), low=min(region.low, other.low),
                    high=max(region.high, other.high), points=max(region.points, other.points),
                )  # fmt: skip
                break
        else:
            joined.append(region)
    return joined


def _overlap(one: Region, other: Region) -> bool:
    return one.low <= other.high and other.low <= one.high


def _ill(region: Region) -> bool:
    """Whether a last place of the number moves the true result as far as the result is off.

    Beside a pole it moves it without limit.
    """
    if not np.isfinite(region.true) or region.at == 0:
        return False
    formula, precision = FORMULAS[region.function], Precision.of(region.dtype)
    step = 2 * precision.unit
    with np.errstate(over="ignore"):
        spread = np.array([region.at * (1 + step), region.at * (1 - step)])
        beside = np.asarray(precision.round(spread), np.float64)
    near = truth(region.function, region.quantity, beside.tolist()).nearest
    asked = (beside > formula.low) & (beside < formula.high) & ~np.isin(beside, formula.kinks)
    if not np.isfinite(near[asked]).all():
        return True
    moved = np.abs(near[asked] - region.true)
    return bool(abs(region.got - region.true) <= np.max(moved, initial=0.0))


def _sorted(regions: Sequence[Region]) -> tuple[Region, ...]:
    """Sort by how often networks meet them, then by digits lost, the ill-conditioned last."""

    def order(r: Region) -> Any:
        ties = r.adapter, FORMATS.index(r.dtype), r.spelling, r.quantity, r.low, r.modes
        return USERS.index(r.users), r.ill, -r.lost, *ties

    return tuple(sorted(regions, key=order))
