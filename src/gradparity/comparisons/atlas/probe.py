"""Measure and judge the subgradients that every framework takes at kinks.

The valid subgradients are measured too.  For a function of one number they are the interval between
the slopes just beside the kink; for ties, weights >= 0 that sum to one over the tied elements.  At
a singular point, where slopes may be infinite or have no limit, the adapter's table gives the set.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np

from ... import core
from ...adapters.base import Adapter, AdapterError
from ...adapters.kinks import Answer, Kinks, Question
from ...core.formulas.op import Compound, Op
from ...core.network.case import Case
from ...core.network.network import layered
from ...core.network.nodes import INPUT
from ..running.progress import COMPILED, Progress, Steps, silent
from .chosen import chosen_adapters, versions_of
from .kink_points import Site, core_sites, site_of
from .rules import set_rule, slope_rule, tie_rule
from .stored import SCHEMA, Atlas, Change, Entry, point_name

__all__ = ["SCHEMA", "Atlas", "Change", "Entry", "core_sites", "point_name", "probe", "usual"]

DTYPES = ("float64", "float32")
#: Below the smallest normal number.
SUBNORMAL = {"float64": 5e-310, "float32": 1e-39}
#: Every point is measured in many places: vector units and leftovers have code of their own.
SHAPE = (12, 8)
#: Number of rows for ties of one width: one shape for all, compiled once.
ROWS = 8
#: Number of questions per call.
TOGETHER = 16
#: First guess of a slow compiler's time per question, in questions that JAX compiles.
SLOW = 10.0


#: Sites of the core, and of the adapter's own functions.
Sites = tuple[list[Site], list[Site]]


class Asked(NamedTuple):
    """One question about a site: an input, (T, k)."""

    site: Site
    z: Any


def probe(
    *adapters: str | Adapter,
    compile: bool = False,
    names: Sequence[str] = (),
    progress: Progress = silent,
) -> Atlas:
    """Measure the subgradients of adapters at the kinks of the core's ops and of own functions.

    Parameters
    ----------
    *adapters : names or adapters; every installed one by default.  Any adapter is measured through
        `run`; one with ``kinks()`` (`gradparity.adapters.kinks.Kinks`) in all its modes.
    compile : whether slow compilers, such as `torch.compile`, are measured too.
    names : measure only functions whose name contains one of these; all by default.
    progress : called with a description of the current step and the fraction done.

    Raises
    ------
    AdapterError : an adapter named here is unknown or its framework is missing, or none is named
        and no framework is installed.
    ValueError : two adapters have the same name.

    >>> class Mine:
    ...     name, versions = "mine", lambda self: {"mine": "1.0"}
    ...     def run(self, case, *, dtype=None, device=None):
    ...         return core.backprop(case)
    >>> relu = next(e for e in probe(Mine()).entries if e.spelling == "ReLU")
    >>> relu.taken, relu.interval, relu.rule, relu.valid
    ((1.0,), (0.0, 1.0), 'right', True)
    """
    chosen = chosen_adapters(adapters)
    entries: list[Entry] = []
    steps = Steps(progress)
    work = [(each, sites_of(each, names)) for each in chosen]
    for each, sites in work:
        plan_sites(each, compile, sites, steps)
    for each, sites in work:
        for dtype in DTYPES:
            entries += measured_sites(each, dtype, compile, sites, steps)
    steps.end()
    return Atlas(versions_of(chosen), platform.machine(), compile, tuple(entries))


def usual(adapter: Adapter, op: Op | Compound, twin: str = "") -> Taken:
    """Measure the subgradients of this adapter's framework at the kinks of an op.

    Returns
    -------
    kink -> slope in float64; for an op with ties the name of its rule ("first", "last", "even",
    "mixed", ...); None where there is no kink, nothing can be measured, or the two dtypes differ.
    Kept per adapter and op.

    >>> class Mine:
    ...     name = "mine"
    ...     def run(self, case, *, dtype=None, device=None):
    ...         return core.backprop(case)
    >>> usual(Mine(), core.Hardtanh()), usual(Mine(), core.Max(ties="even"))
    ({-1.0: 1.0, 1.0: 1.0}, 'even')
    """
    try:
        kept = _USUAL.setdefault(adapter, {})
    except TypeError:  # not hashable, so its results cannot be kept
        kept = {}
    key = type(op), repr(op), getattr(op, "kinks", ()), twin
    if key not in kept:
        kept[key] = _usual(adapter, op, twin)
    found = kept[key]
    return dict(found) if isinstance(found, dict) else found


Taken = dict[float, float] | str | None
_USUAL: WeakKeyDictionary[Adapter, dict[Any, Taken]] = WeakKeyDictionary()


def _usual(adapter: Adapter, op: Op | Compound, twin: str) -> Taken:
    overrides = getattr(adapter, "overrides", None)
    if overrides is not None and overrides.names:
        return None  # user functions may take other subgradients
    try:
        site = site_of(op, twin)
        entries = [] if site is None else [
            e for dtype in DTYPES for e in _traced(adapter, [site], dtype)
        ]  # fmt: skip
    except ValueError:  # a user's op that takes values of one width
        return None
    if site is None:
        return None
    if any(e.note or len(set(e.taken)) > 1 for e in entries if site.points) or not entries:
        return None
    if site.ties:
        rules = {e.rule for e in entries if e.rule != "single"}
        return None if "" in rules else rules.pop() if len(rules) == 1 else "mixed"
    found: dict[float, float] = {}
    for at in site.points:
        double, single = (e.taken[0] for e in entries if e.point == (at,) and _positive(e))
        if not np.isclose(double, single, rtol=1e-6, atol=0, equal_nan=True):
            return None
        found[at] = double
    return found


def _positive(entry: Entry) -> bool:
    """Whether the point is not -0, which has an entry beside that of 0."""
    return point_name(entry.point) != "-0"


def plan_sites(each: Adapter, compile: bool, sites: Sites, steps: Steps) -> None:
    """Plan the questions in all modes."""
    ours, own = sites
    cost = COMPILED if getattr(each, "compiles", False) else 1.0
    for dtype in DTYPES:
        steps.plan((each.name, "trace"), len(asked_of(ours, dtype)), cost)
        if (native := _kinks(each)) is not None:
            quick = native.modes(False)
            for mode in native.modes(compile):
                n = len(asked_of([*ours, *own], dtype, mode))
                steps.plan((each.name, mode), n, cost if mode in quick else SLOW * COMPILED)


def modes_of(each: Adapter, compile: bool, sites: Sites) -> Iterator[tuple[str, list[Site]]]:
    """Every mode of an adapter with the sites that are measured in it."""
    ours, own = sites
    yield "trace", ours
    if (native := _kinks(each)) is not None:
        yield from ((mode, [*ours, *own]) for mode in native.modes(compile))


def measured_sites(
    each: Adapter, dtype: str, compile: bool, wanted: Sites, steps: Steps
) -> Iterator[Entry]:
    """All modes of one adapter in one dtype."""
    ours, own = wanted
    steps.say(f"{each.name} {dtype}")
    yield from _traced(each, ours, dtype)
    steps.did((each.name, "trace"), f"{each.name} {dtype}", len(asked_of(ours, dtype)))
    native = _kinks(each)
    if native is None:
        return
    sites = [*ours, *own]
    functions_of: dict[tuple[int, int], Any] = {}
    for mode in native.modes(compile):
        asked = asked_of(sites, dtype, mode)
        for one in asked:
            key = id(one.site), one.z.shape[1]
            if key not in functions_of:
                functions_of[key] = _function(each, native, one)
        functions = [functions_of[id(one.site), one.z.shape[1]] for one in asked]
        said = f"{each.name} {dtype}, {mode}"
        steps.say(said)
        for i in range(0, len(asked), TOGETHER):
            some = list(zip(asked, functions, strict=True))[i : i + TOGETHER]
            for (one, _), answer in zip(some, _answers(native, some, mode), strict=True):
                yield from entries_of(each.name, one, answer, mode, dtype)
            steps.did((each.name, mode), said, len(some))


def _answers(
    native: Kinks, some: Sequence[tuple[Asked, Any]], mode: str
) -> Iterator[Answer | Exception]:
    """Answers in order; where the function could not be built, the exception."""
    possible = [
        Question(function, one.z, bool(one.site.points))
        for one, function in some
        if not isinstance(function, Exception)
    ]
    answers = iter(native.answers(possible, mode))
    for _, function in some:
        yield function if isinstance(function, Exception) else next(answers)


def _kinks(each: Adapter) -> Kinks | None:
    offer = getattr(each, "kinks", None)
    return None if offer is None else offer()


def sites_of(each: Adapter, names: Sequence[str]) -> Sites:
    """The sites of the core, and those of the adapter's own functions."""
    native = _kinks(each)
    own = [
        Site(kink.name, False, tuple(kink.points), tuple(kink.ties), tuple(kink.singular),
             tuple(kink.modes), tuple(kink.dtypes), function=kink.function)
        for kink in (native.spellings if native else ())
    ]  # fmt: skip
    return _wanted(core_sites(), names), _wanted(own, names)


def _wanted(sites: Sequence[Site], names: Sequence[str]) -> list[Site]:
    return [site for site in sites if not names or any(name in site.name for name in names)]


def asked_of(sites: Iterable[Site], dtype: str, mode: str = "trace") -> list[Asked]:
    wanted = (
        site for site in sites
        if mode in (site.modes or [mode]) and dtype in (site.dtypes or [dtype])
    )  # fmt: skip
    return [Asked(site, z) for site in wanted for z in _inputs(site, dtype)]


def _inputs(site: Site, dtype: str) -> list[Any]:
    if not site.points:
        every = site.ties or [point for point, _ in site.singular]
        return [_repeated(site.rows(k), dtype) for k in sorted({len(row) for row in every})]
    near = [z for at in site.points for z in (*_points(at, dtype), *_beside(at, dtype))]
    # An odd number, repeated, meets every place in a vector unit.
    return [np.resize(np.array(near + near[: 1 - len(near) % 2], dtype), SHAPE)]


def _repeated(rows: Sequence[tuple[float, ...]], dtype: str) -> Any:
    """These rows, repeated; numbers alone in as many places as a kink."""
    width, few = len(rows[0]), -(-len(rows) // ROWS) * ROWS
    if width == 1:
        rows, few = [*rows, *rows[: 1 - len(rows) % 2]], SHAPE[0] * SHAPE[1]
    return np.resize(np.array(rows, dtype), (few, width))


def _points(at: float, dtype: str) -> tuple[float, ...]:
    tiny = SUBNORMAL[dtype]
    return (0.0, -0.0, tiny, -tiny) if at == 0 else (at,)


def _beside(at: float, dtype: str) -> tuple[float, float]:
    """Points so close that the slope is the limit; at zero, squares must not underflow."""
    step = 2.0**-60 if at == 0 else 4 * abs(at) * float(np.finfo(dtype).eps)
    return at - step, at + step


def _function(each: Adapter, native: Kinks, one: Asked) -> Any:
    """The function to differentiate, or the exception of the adapter that builds it."""
    if one.site.function is not None:
        return one.site.function
    network = _network(one)
    try:
        twin = {"twin": {network.output: one.site.twin}} if one.site.twin else {}
        return native.function(each.build(network, {}, **twin))
    except Exception as error:
        return error


def _traced(each: Adapter, sites: Sequence[Site], dtype: str) -> Iterator[Entry]:
    """Measure as `check` does: a network of this one op, with cotangents of one."""
    asked = asked_of(sites, dtype)
    cases = [_case(one) for one in asked]
    answers: list[Any]
    try:
        answers = list(each.run_all(cases))
    except Exception:  # run them one by one to find which fails
        answers = []
        for case in cases:
            try:
                answers.append(each.run(case))
            except Exception as error:
                answers.append(error)
    for one, case, answer in zip(asked, cases, answers, strict=True):
        if not isinstance(answer, Exception):
            answer = Answer(answer.value[case.network.output], answer.grad[INPUT])
        yield from entries_of(each.name, one, answer, "trace", dtype)


def _network(one: Asked) -> core.Network:
    assert one.site.op is not None
    return layered([one.site.op(one.z.shape[1])], core.LinearLoss(), reduction="sum")


def _case(one: Asked) -> Case:
    network = _network(one)
    shape = network.shapes({INPUT: one.z.shape})[network.output]
    twin = {network.output: one.site.twin} if one.site.twin else {}
    d = np.ones(shape, one.z.dtype)
    return Case(network, {}, one.z, d, name=one.site.name, twin=twin)


def entries_of(
    name: str, one: Asked, answer: Answer | Exception, mode: str, dtype: str
) -> Iterator[Entry]:
    blank = Entry(name, one.site.name, one.site.core, (), mode, dtype)
    if not isinstance(answer, Exception):
        y, dz = (np.asarray(a, np.float64) for a in answer)
        if one.site.singular and dz.shape == one.z.shape:
            yield from _singular(blank, one, dz)
            return
        if dz.shape == one.z.shape and y.size == (dz.size if one.site.points else len(dz)):
            judged = _slopes if one.site.points else _weights
            yield from judged(blank, one, y.reshape(-1), dz)
            return
        answer = AdapterError(f"shapes {y.shape} and {dz.shape} for an input {one.z.shape}")
    note = f"unsupported: {_reason(answer)}"
    points: Sequence[tuple[float, ...]]
    if one.site.points:
        points = [(p,) for at in one.site.points for p in _points(at, dtype)]
    else:
        points = one.site.rows(one.z.shape[1])
    sets = {point_name(point): valid for point, valid in one.site.singular}
    for point in points:
        yield replace(blank, point=point, note=note, valid_set=sets.get(point_name(point)))


def _reason(error: Exception) -> str:
    said = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {said}"[:200]


def _slopes(blank: Entry, one: Asked, y: Any, dz: Any) -> Iterator[Entry]:
    """An entry for each point: the slope there against those just beside it."""
    z, dz = one.z.reshape(-1), dz.reshape(-1)

    def there(array: Any, at: float) -> tuple[float, ...]:
        x = z.dtype.type(at)
        same = array[(z == x) & (np.signbit(z) == np.signbit(x))]
        return tuple(np.unique(same + 0.0).tolist())

    for at in one.site.points:
        beside = _beside(at, blank.dtype)
        sides = [there(dz, x) for x in beside]
        values = [there(y, x)[0] for x in beside]
        for point in _points(at, blank.dtype):
            found = slope_rule(there(dz, point), sides, values, blank.dtype)
            yield replace(blank, point=(point,), **found)


def _weights(blank: Entry, one: Asked, y: Any, dz: Any) -> Iterator[Entry]:
    """An entry for each tied input: the weights of its elements."""
    for row, point in enumerate(one.site.rows(one.z.shape[1])):
        rule, valid = tie_rule(dz[row], one.z[row] == y[row], blank.dtype)
        taken = tuple((dz[row] + 0.0).tolist())
        yield replace(blank, point=point, taken=taken, rule=rule, valid=valid)


def _singular(blank: Entry, one: Asked, dz: Any) -> Iterator[Entry]:
    """An entry for each singular point: its gradient against the valid set."""
    sets = {point_name(point): valid for point, valid in one.site.singular}
    rows = one.site.rows(one.z.shape[1])
    cycle = len(rows) + (dz.shape[1] == 1 and len(rows) % 2 == 0)  # see `_repeated`
    for row, point in enumerate(rows):
        valid = sets[point_name(point)]
        found = dz[row::cycle] + 0.0 if dz.shape[1] == 1 else dz[row : row + 1] + 0.0
        rule, inside = set_rule(found, valid, blank.dtype)
        taken = tuple((np.unique(found) if dz.shape[1] == 1 else found[0]).tolist())
        yield replace(blank, point=point, taken=taken, rule=rule, valid=inside, valid_set=valid)
