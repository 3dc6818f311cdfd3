"""Run the vocabulary on structured inputs, stored and compiled in every way, and judge it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from ...adapters.base import Adapter, one_line
from ...adapters.structures import NativeEdge
from ...adapters.structures import Structures as Native
from ...core import Case
from ..atlas.structures.departures import Departure, Structures
from ..check.check import check
from ..findings.finding import Finding, Verdict
from ..findings.quantities import EVERYTHING
from ..judge.by_name import judge_results
from ..running.progress import COMPILED, Progress, Steps, silent
from ..running.units import Unit
from .alone import ALONE, as_batch, independent, samples
from .cases import Structured, equal_samples, plain_cases, structured_cases
from .edges import QUESTIONS, Edge, agrees, in_words
from .weighted import WEIGHTS, weighted_cases

__all__ = ["DTYPES", "Ops", "measured", "together"]

DTYPES = ("float64", "float32", "bfloat16", "float16")
#: The formats measured of an adapter that compiles, which takes minutes for each.
FEW = ("float32",)
#: Cases per call.
TOGETHER = 50
#: The way that `check` runs a case.
TRACE = "trace"
STATUS = {Verdict.MISMATCH: "wrong", Verdict.CONVENTION: "wrong", Verdict.IMPRECISE: "imprecise"}


class Tally(NamedTuple):
    """The results found so far."""

    departures: list[Departure]
    unsupported: dict[str, str]
    counts: dict[str, int]

    def add(self, departures: Sequence[Departure], results: int) -> None:
        self.departures.extend(departures)
        self.counts["cases"] += 1
        self.counts["results"] += results

    def cannot(self, blank: Departure, reason: str) -> None:
        """Note an op that a framework does not support in a format."""
        self.unsupported.setdefault(f"{blank.adapter}: {blank.function}, {blank.dtype}", reason)


def measured(
    *adapters: Adapter,
    compile: bool = False,
    names: Sequence[str] = (),
    dtypes: Sequence[str] = (),
    progress: Progress = silent,
) -> Structures:
    """Measure every op of the vocabulary on structured inputs.

    Parameters
    ----------
    *adapters : those without ``structures()`` (`gradparity.adapters.structures.Structures`) are
        measured against the formulas alone.
    compile : whether slow compilers are measured too.
    names : only ops and functions whose name contains one of these; all by default.
    dtypes : number formats; by default `DTYPES`, and float32 alone of an adapter that compiles.
    progress : called with a description of the current step and the fraction done.
    """
    steps, work = Steps(progress), [Ops(adapter, compile, names, dtypes) for adapter in adapters]
    for ops in work:
        for unit in ops.units():
            steps.plan((unit.adapter, unit.name.split()[0]), unit.functions, ops.cost)
    found = list[Structures]()
    for ops in work:
        for unit in ops.units():
            found.append(ops.measured(unit))
            steps.did((unit.adapter, unit.name.split()[0]), str(unit), unit.functions)
    steps.end()
    return together(found)


class Ops:
    """The cases of one adapter, in groups that can be measured alone."""

    def __init__(
        self, adapter: Adapter, compile: bool, names: Sequence[str], dtypes: Sequence[str]
    ) -> None:
        self.adapter, self.compile, self.native = adapter, compile, _native(adapter)
        self.compiles = bool(getattr(adapter, "compiles", False))
        self.cost = COMPILED if self.compiles else 1.0
        self.dtypes = dtypes or (FEW if self.compiles else DTYPES)
        self.structured, self.plain = [*structured_cases(names)], [*plain_cases(names)]
        edges = () if self.native is None else self.native.edges
        self.edges = [e for e in edges if not names or any(name in e.spelling for name in names)]

    def units(self) -> list[Unit]:
        """Cases against formulas, ways of cases, and functions with exact answers."""
        name, units = self.adapter.name, list[Unit]()
        for dtype in self.dtypes:
            for kind, every in (("formulas", self.structured), ("ways", self.plain)):
                for i in range(0, len(every), TOGETHER):
                    n = len(every[i : i + TOGETHER])
                    units.append(Unit("structures", name, dtype, f"{kind} {i}", n))
        every_edge = range(len(self.edges))
        return units + [Unit("structures", name, "", f"edges {i}", 1) for i in every_edge]

    def measured(self, unit: Unit) -> Structures:
        """Measure one group."""
        kind, first = unit.name.split()
        tally = Tally([], {}, {"cases": 0, "results": 0})
        some = slice(int(first), int(first) + unit.functions)
        if kind == "formulas":
            _against_formulas(self.adapter, self.native, self.structured[some], unit.dtype, tally)
        elif kind == "ways":
            for one in self.plain[some]:
                self._ways(one._replace(case=one.case.astype(unit.dtype)), tally)
        for edge in self.edges[some] if kind == "edges" else ():
            ask = _weighted if edge.kind == "weighted labels" else _edges
            ask(self.adapter.name, edge, tally)
        unsupported = tuple(f"{what}: {why}"[:200] for what, why in tally.unsupported.items())
        return Structures(
            tuple(tally.departures), unsupported, tally.counts["cases"], tally.counts["results"]
        )

    def _ways(self, one: Structured, tally: Tally) -> None:
        single = one.structure == "batch of one"
        if self.native is None or (single and self.compiles):
            return
        plain = _ways(self.adapter.name, self.native, one, self.compile, tally)
        if plain and one.case.T > 1 and not self.compiles:
            _apart(self.adapter.name, self.native, one, plain, tally)

    def lost(self, unit: Unit, why: str) -> Structures:
        """The result of a group that has none, with the reason."""
        kind, first = unit.name.split()
        every = {"formulas": self.structured, "ways": self.plain}.get(kind, ())
        some = every[int(first) : int(first) + unit.functions]
        names = [one.function for one in some] or [self.edges[int(first)].spelling]
        where = f", {unit.dtype}" * bool(unit.dtype)
        lines = tuple(f"{unit.adapter}: {name}{where}: {why}" for name in dict.fromkeys(names))
        return Structures((), lines, 0, 0)

    @property
    def spellings(self) -> tuple[str, ...]:
        """All ops and functions, by name."""
        names = (one.function for one in (*self.structured, *self.plain))
        return tuple(dict.fromkeys([*names, *(edge.spelling for edge in self.edges)]))


def together(found: Sequence[Structures]) -> Structures:
    """The results of all groups, given in their order; of an op in a format the first reason."""
    departures = tuple(one for each in found for one in each.departures)
    reasons = dict[str, str]()
    for each in found:
        for said in each.unsupported:
            adapter, op, _ = (said + ": ").split(": ", 2)
            reasons.setdefault(f"{adapter}: {op}", said)
    cases, results = (sum(getattr(each, n) for each in found) for n in ("cases", "results"))
    return Structures(departures, tuple(reasons.values()), cases, results)


def _native(adapter: Adapter) -> Native | None:
    offer = getattr(adapter, "structures", None)
    return None if offer is None else offer()


def _against_formulas(
    each: Adapter, native: Native | None, some: Sequence[Structured], dtype: str, tally: Tally
) -> None:
    """Run and judge cases as `check` does."""
    report = check([one.case for one in some], each, dtypes=[dtype])
    for one, run in zip(some, report.runs, strict=True):
        blank = _blank(each.name, one, TRACE, dtype)
        if native is not None:
            said = native.documented.get((one.function, one.structure), "")
            blank = replace(blank, status="documented" if said else "", note=said)
        tally.add([*_departures(blank, run.findings, tally)], len(run.findings))


def _blank(adapter: str, one: Structured, way: str, dtype: str = "") -> Departure:
    dtype = dtype or one.case.precision.name
    return Departure(
        adapter, one.function, one.structure, way, dtype, "", "", _given(one.case), "", ""
    )


def _departures(blank: Departure, findings: Sequence[Finding], tally: Tally) -> Iterator[Departure]:
    """The findings that are wrong at their own node."""
    for finding in findings:
        if finding.quantity == EVERYTHING:
            tally.cannot(blank, finding.note)
        elif finding.verdict in STATUS and not finding.follows:
            at = list(finding.index or ())
            yield replace(
                blank,
                quantity=str(finding.quantity),
                status=blank.status or STATUS[finding.verdict],
                got=f"{finding.got + 0.0:.9g} at {at}",
                true=f"{finding.expected + 0.0:.9g}",
                note=blank.note or finding.note,
            )


def _ways(
    adapter: str, native: Native, one: Structured, compile: bool, tally: Tally
) -> Mapping[str, Any]:
    """Compare all ways to run a case with the plain one; where bits differ, judge both.

    Returns the results of the plain way, none if it raises.
    """
    if any(step.op.random for step in one.case.network.body):
        return {}  # other storage may draw other numbers
    first, *others = native.ways(compile)
    equal = one._replace(structure="equal samples", case=equal_samples(one.case))
    plain: dict[bool, Mapping[str, Any]] = {}
    for way in others:
        own = equal if way.equal else one
        if way.equal not in plain:
            try:
                plain[way.equal] = native.run(own.case, first.name)
            except Exception as error:  # frameworks raise anything for what they do not support
                tally.cannot(_blank(adapter, own, way.name), one_line(error))
                return {}
        there = plain[way.equal]
        tally.add([*_way(native, own, _blank(adapter, own, way.name), there, tally)], len(there))
    return plain.get(False, {})


def _apart(
    adapter: str, native: Native, one: Structured, plain: Mapping[str, Any], tally: Tally
) -> None:
    """Compare the batch with each of its samples alone."""
    way = native.ways(False)[0].name
    found = [*_alone(native, one, _blank(adapter, one, ALONE), way, plain, tally)]
    tally.add(found, len(plain))


def _alone(
    native: Native,
    one: Structured,
    blank: Departure,
    way: str,
    plain: Mapping[str, Any],
    tally: Tally,
) -> Iterator[Departure]:
    """Yield results that are wrong where each sample is run alone, and right in the batch."""
    asked = independent(one.case)
    if not asked:
        return

    def found(case: Case) -> dict[str, Any]:
        apart = as_batch(case, [native.run(sample, way) for sample in samples(case)])
        return {name: a.astype(case.dtype) for name, a in apart.items() if name in asked}

    try:
        alone = found(one.case)
    except Exception as error:  # frameworks raise anything for what they do not support
        yield replace(blank, quantity="value", status="refused", got=type(error).__name__,
                      true="an answer", note=one_line(error))  # fmt: skip
        return
    if all(_same(a, plain.get(name)) for name, a in alone.items()):
        return

    def evidence() -> Mapping[str, Finding]:
        wide = one.case.astype("float64")
        return {f.quantity: f for f in judge_results(wide, found(wide))}

    yield from _not_known(one.case, plain, judge_results(one.case, alone, evidence), blank, tally)


def _not_known(
    case: Case,
    plain: Mapping[str, Any],
    judged: Sequence[Finding],
    blank: Departure,
    tally: Tally,
) -> Iterator[Departure]:
    """The departures of a way that the plain way does not have."""
    known = {f.quantity for f in judge_results(case, plain) if f.verdict in STATUS}
    yield from _departures(blank, [f for f in judged if f.quantity not in known], tally)


def _way(
    native: Native, one: Structured, blank: Departure, plain: Mapping[str, Any], tally: Tally
) -> Iterator[Departure]:
    """Yield results that are wrong in this way and right in the plain one."""
    case = one.case
    try:
        found = native.run(case, blank.way)
    except Exception as error:
        yield replace(blank, quantity="value", status="refused", got=type(error).__name__,
                      true="an answer", note=one_line(error))  # fmt: skip
        return
    if found.keys() == plain.keys() and all(_same(a, plain[q]) for q, a in found.items()):
        return

    def evidence() -> Mapping[str, Finding]:
        wide = case.astype("float64")
        return {f.quantity: f for f in judge_results(wide, native.run(wide, blank.way))}

    yield from _not_known(case, plain, judge_results(case, found, evidence), blank, tally)


def _same(a: Any, b: Any) -> bool:
    return np.array_equal(a, b, equal_nan=True)


def _edges(adapter: str, native: NativeEdge, tally: Tally) -> None:
    """Ask a function for what has an exact answer, or none."""
    for edge in QUESTIONS[native.kind]:
        found: Any
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the answer counts
                found = np.asarray(native.function(*(a.copy() for a in edge.arrays)))
        except Exception as error:  # an error is an answer here
            found = error
        tally.add([] if agrees(found, edge) else [_edge(adapter, native, edge, found)], 1)


def _weighted(adapter: str, native: NativeEdge, tally: Tally) -> None:
    """Judge a loss and its gradient by the logits, with class weights and label smoothing."""
    for structure, (case, labels) in weighted_cases().items():
        blank = _blank(adapter, Structured(native.spelling, structure, case), "eager")
        given = case.x.copy(), labels.copy(), WEIGHTS.astype(np.float32)
        try:
            err, gradient = native.function(*given)
        except Exception as error:  # frameworks raise anything for what they do not support
            tally.cannot(blank, one_line(error))
            continue
        findings = judge_results(case, {"Err": err, "grad x": gradient})
        tally.add([*_departures(blank, findings, tally)], len(findings))


def _edge(adapter: str, native: NativeEdge, edge: Edge, found: Any) -> Departure:
    documented = native.documented.get(edge.structure, "")
    refused = "refused" if isinstance(found, Exception) else "wrong"
    note = documented or (one_line(found) if isinstance(found, Exception) else "")
    given = ", ".join(f"{in_words(a)}" if a.size else f"shape {a.shape}" for a in edge.arrays)
    return Departure(
        adapter, native.spelling, edge.structure, "eager", "float32", "value",
        "documented" if documented else refused, given, in_words(found), in_words(edge.truth), note,
    )  # fmt: skip


def _given(case: Case) -> str:
    """The inputs in a few words: their shapes, and the least and largest numbers.

    >>> from gradparity.core import Case, LinearLoss, Tanh, layered
    >>> _given(Case(layered([Tanh()], LinearLoss()), {}, np.ones((2, 3)), np.ones((2, 3))))
    'x (2, 3) of 1'
    """
    said = []
    for name, a in case.inputs.items():
        low, high = a.min(), a.max()
        said.append(f"{name} {a.shape} of {low:.4g}" + (f" to {high:.4g}" if low < high else ""))
    return ", ".join(said)
