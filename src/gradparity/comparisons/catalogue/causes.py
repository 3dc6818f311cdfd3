"""Regions and points that have one cause."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ...adapters.smooth import parts
from ...adapters.valid_sets import Box
from ...core.arithmetic.precision import Precision
from ..atlas.smooth.formulas.vectors import VECTORS
from ..atlas.smooth.regions import Region
from ..atlas.stored import Entry
from .find import Find

__all__ = ["of_one_cause", "once", "users_of", "worst_first", "wrong_points"]

#: Regions whose sizes of numbers are nearer than this factor have one cause.
NEAR = 10.0
#: Numbers below so many times the smallest normal one are left out: hardware may flush them.
FLUSHED = 4.0
#: Formulas that are one function where both are defined.
SAME = {
    "loggamma": "lgamma", "pow(x, -1)": "reciprocal", "pow(x, 2)": "square", "pow(x, 0.5)": "sqrt",
    "pow(x, -0.5)": "rsqrt", "pow(2, x)": "exp2",
}  # fmt: skip
USERS = ("common", "seen", "rare")
#: Arguments in the atlas of kinks that choose another function.
OPTIONS = ("amax", "prod", "tanh")
#: Functions whose further arguments are settings, of which 0 and infinity are degenerate.
SETTINGS = ("clamp", "clip", "softshrink", "hardshrink", "squareplus", "power", "cdist")
#: Formats in the order in which a find is shown.
SHOWN = ("float32", "bfloat16", "float16", "float64")


def of_one_cause(regions: Iterable[Region]) -> list[list[Region]]:
    """Group regions of one function whose numbers are neighbours, or are equally small or large.

    Both signs, values and slopes, all modes, formats, further arguments and names of the function
    are together: several causes at one size of numbers count as one.  Regions that are
    ill-conditioned, or of numbers and results that hardware may flush to 0, are left out.
    """
    by_function: dict[tuple[str, str], list[list[Region]]] = {}
    for region in regions:
        if region.ill or _flushed(region):
            continue
        groups = by_function.setdefault((region.adapter, _named(region)), [])
        same = [g for g in groups if any(_near(region, other) for other in g)]
        joined = [region, *(other for g in same for other in g)]
        groups[:] = [g for g in groups if all(g is not other for other in same)] + [joined]
    return [worst_first(group) for groups in by_function.values() for group in groups]


def once(finds: Iterable[Find]) -> list[Find]:
    """Leave out what another adapter of the same framework has found."""
    first: dict[tuple[str, ...], Find] = {}
    for f in finds:
        first.setdefault((f.package, f.spelling, f.found, f.quantity, f.dtype, f.at), f)
    return [*first.values()]


def worst_first(group: Sequence[Region]) -> list[Region]:
    """Sort by users, then by the part of the digits that is lost, in tenths.

    True results that overflow come last.  Of equals the numbers nearer to 1 come first, then the
    most usual format, and the function with fewer arguments.
    """

    def order(r: Region) -> Any:
        part = 2.0 if np.isinf(r.lost) else round(r.lost / r.digits, 1)
        far = bool(r.at) and abs(np.log10(abs(r.at))) > NEAR
        over = abs(r.true) > Precision.of(r.dtype).largest
        ties = SHOWN.index(r.dtype), r.spelling.count(","), r.at > 0
        return USERS.index(r.users), over, -part, far, *ties

    return sorted(group, key=order)


def _named(region: Region) -> str:
    """The formula of a number; of vectors the function itself, because one formula has several."""
    if region.function in VECTORS:
        return region.spelling.partition("(")[0]
    same = SAME.get(region.function, region.function)
    return parts(same)[0]


def _flushed(region: Region) -> bool:
    tiny = 2.0**-1022 if region.dtype == "float64" else 2.0**-126
    return any(0 < abs(x) < FLUSHED * tiny for x in (region.at, region.true))


def _near(one: Region, other: Region) -> bool:
    (a, b), (c, d) = _sizes(one), _sizes(other)
    return (a <= NEAR * d and c <= NEAR * b) or _zone(one) == _zone(other)


def _sizes(region: Region) -> tuple[float, float]:
    low, high = sorted((abs(region.low), abs(region.high)))
    return (0.0 if region.low <= 0 <= region.high else low), high


def _zone(region: Region) -> str:
    """Where squares lose their meaning: near 0, far out, or neither."""
    precision = Precision.of(region.dtype)
    size = abs(region.at)
    if size < np.sqrt(precision.unit):
        return "small"
    return "large" if size > np.sqrt(precision.largest) / 2 else "middle"


def wrong_points(entries: Iterable[Entry]) -> list[list[Entry]]:
    """Group entries outside of the valid gradients by function, the most usual input first.

    Left out: subnormal numbers; -0, where the sign of an infinite slope is that of the zero; and
    points where every number is valid, because the value jumps.
    """
    groups: dict[tuple[str, ...], list[Entry]] = {}
    for entry in entries:
        kept = all(not np.signbit(p) if p == 0 else abs(p) > 1e-30 for p in entry.point)
        if entry.valid is False and not entry.core and kept and not _all_valid(entry):
            groups.setdefault((entry.adapter, *_function(entry.spelling)), []).append(entry)
    return [
        sorted(
            group, key=lambda e: (USERS.index(users_of(e.point, e.spelling)), SHOWN.index(e.dtype))
        )
        for group in groups.values()
    ]


def _all_valid(entry: Entry) -> bool:
    box = entry.valid_set
    return isinstance(box, Box) and box.total is None and set(box.low) | set(box.high) == {
        -np.inf, np.inf
    }  # fmt: skip


def _function(spelling: str) -> tuple[str, ...]:
    """The name, and options that choose another function.

    >>> _function("norm(z, 3)"), _function("scatter_reduce(z, amax), empty")
    (('norm',), ('scatter_reduce', 'amax'))
    """
    name, _, inside = spelling.partition("(")
    return name, *(word for word in re.findall("[a-z]+", inside.split(")")[0]) if word in OPTIONS)


def users_of(point: Sequence[float], spelling: str = "") -> str:
    """How often networks meet an input: masks are rows of -inf, and other infinities are rare.

    So are limits, thresholds and exponents of 0 and norms of infinite order; outputs of which
    nothing is a part are seen.

    >>> users_of((0.0,)), users_of((-np.inf, 0.0)), users_of((-np.inf,))
    ('common', 'seen', 'rare')
    >>> users_of((0.0,), "clamp(z, 0, 0)"), users_of((0.0,), "scatter_reduce(z, prod), empty")
    ('rare', 'seen')
    """
    name, _, inside = spelling.partition("(")
    settings = set(re.findall(r"\b(?:0|inf)\b", inside)) if name.endswith(SETTINGS) else set()
    least = "rare" if settings else "seen" if spelling.endswith(", empty") else "common"
    return max(least, _by_size(point), key=USERS.index)


def _by_size(point: Sequence[float]) -> str:
    if np.inf in point or point == (-np.inf,):
        return "rare"
    if -np.inf in point:
        return "seen"
    largest = max(map(abs, point))
    return "common" if largest < 10 else "seen" if largest < 100 else "rare"
