"""`check`: every case through every implementation and dtype, float64 first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from itertools import combinations, count
from typing import Any, NamedTuple

import numpy as np

from ..adapters.base import Adapter, AdapterError, adapter, available, installed
from ..core.arrays import NDArray
from ..core.backprop import forward
from ..core.case import Case
from ..core.divergences import Divergence
from ..core.network import INPUT, Edge, Network
from ..core.precision import PRECISIONS, Precision
from ..core.trace import Trace
from .atlas.probe import usual
from .conventions.local import parse_expected
from .finding import Finding, Verdict, exit_code
from .nodes.judge import Evidence, judge
from .report import Difference, Report, Run, environment
from .whole.end_to_end import judge_end_to_end

__all__ = ["check"]

DTYPES = ("float64", "float32")

#: What an implementation gives: everything, or some of the final results by name.
Result = Trace | Mapping[str, Any]
Implementation = str | Adapter | Callable[[Case], Result]


def check(
    cases: Case | Network | Sequence[Case | Network],
    *implementations: Implementation,
    dtypes: Sequence[Any] = DTYPES,
    device: str | None = None,
    progress: Callable[[str], None] = lambda message: None,
    about: Mapping[str, str] | None = None,
    expected: Sequence[str] = (),
) -> Report:
    """Do the implementations compute the hand-derived gradient?

    Parameters
    ----------
    cases : a case, several, or a network (which is given random numbers).
    *implementations : names of adapters, adapters, or functions from a `Case` to a `Trace`, or to
        some final results such as ``{"Err": ..., "grad W1": ...}``, which are judged end to end;
        every installed adapter by default.
    dtypes : any of "float64", "float32", "tf32", "float16" and "bfloat16".
    device : as the framework calls it; its default if None.
    progress : told what is being done.
    about : case name -> what it is, for the report.
    expected : conventions that are meant, such as "sum" or "weight-decay=0.001": they pass.

    Returns
    -------
    Report : true exactly if there is parity everywhere.

    Raises
    ------
    AdapterError : an implementation named here is unknown or its framework is missing.
    ValueError, TypeError : a dtype that is not supported, or an implementation that returned
        something else than a complete trace.

    >>> from gradparity.core import *
    >>> from gradparity.core import backprop
    >>> report = check(layered([Affine(3, 2), Tanh()], L2()), backprop)
    >>> bool(report), report.exit_code
    (True, 0)
    """
    parse_expected(expected)
    cases = _cases(cases)
    dtypes = _dtypes(dtypes)
    chosen = _chosen(implementations)
    skipped = {}
    if not implementations:
        present = {a.name for a in chosen}
        skipped = {name: "not installed" for name in available() if name not in present}
    runs: list[Run] = []
    differences: list[Difference] = []
    in_float64: dict[str, list[list[Finding]]] = {}
    for dtype in dtypes:
        rounded = [_rounded(case, dtype) for case in cases]
        judged = []
        for each in chosen:
            progress(f"{each.name} {dtype}")
            evidence = _evidence(each, cases, in_float64.get(each.name), device, expected)
            judged.append(_judged(each, rounded, evidence, device, expected))
            if dtype == "float64":
                in_float64[each.name] = judged[-1].findings
        for i, case in enumerate(rounded):
            said = (about or {}).get(case.name, "")
            runs += [Run(case.name, j.name, dtype, tuple(j.findings[i]), said) for j in judged]
            differences += [_difference(case, i, a, b) for a, b in combinations(judged, 2)]
    versions = {k: v for each in chosen for k, v in each.versions().items()}
    return Report(tuple(runs), tuple(differences), skipped, {**environment(), **versions})


class Judged(NamedTuple):
    """One implementation in one dtype: what it gave and its findings, for every case."""

    name: str
    results: list[Result | None]
    findings: list[list[Finding]]


def _judged(
    each: Any,
    cases: list[Case],
    evidence: list[Evidence],
    device: str | None,
    expected: Sequence[str],
) -> Judged:
    results = _run_all(each, cases, device)
    found = [
        [_not_run(result)]
        if isinstance(result, AdapterError)
        else _findings(case, result, float64, expected)
        for case, result, float64 in zip(cases, results, evidence, strict=True)
    ]
    found = [
        [_with_usual(finding, case, each) for finding in findings]
        for case, findings in zip(cases, found, strict=True)
    ]
    given = [None if isinstance(result, AdapterError) else result for result in results]
    return Judged(each.name, given, found)


def _findings(
    case: Case, result: Result, float64: Evidence | None, expected: Sequence[str]
) -> list[Finding]:
    """Node by node where there is a trace, end to end where there are only final results."""
    if isinstance(result, Mapping):
        return judge_end_to_end(case, result, float64, expected)
    return judge(case, result, float64, expected)


def _with_usual(finding: Finding, case: Case, each: Any) -> Finding:
    """With what this framework takes at such a kink anywhere, measured now."""
    if finding.kinks is None or isinstance(each, Function):
        return finding
    op = next(step.op for step in case.network.steps if step.name == finding.node)
    taken = usual(each, op)
    if taken is None:
        return finding
    said = taken if isinstance(taken, str) else " or ".join(f"{s:.4g}" for s in set(taken.values()))
    return replace(finding, kinks=replace(finding.kinks, usual=said))


def _not_run(why: AdapterError) -> Finding:
    return Finding("everything", "", "", Verdict.INCONCLUSIVE, 0, note=str(why))


def _run_all(each: Any, cases: list[Case], device: str | None) -> list[Result | AdapterError]:
    """Whatever an implementation raises is its own: it is named, and no verdict is given.

    Where a framework has no such op in low precision, the other cases are judged all the same.
    """
    try:
        results = _called(each, cases, device)
    except AdapterError:
        if cases[0].precision.digits > LOW or len(cases) == 1:
            raise
        results = []
        for case in cases:
            try:
                results += _called(each, [case], device)
            except AdapterError as error:
                results.append(error)
    return results


#: Digits of float16, the most that frameworks leave ops out of.
LOW = 11


def _called(each: Any, cases: list[Case], device: str | None) -> list[Any]:
    try:
        # A copy for each, for some write through the arrays they are given.
        results = list(each.run_all([replace(case) for case in cases], device=device))
    except AdapterError:
        raise
    except (Exception, SystemExit) as error:
        said = f"{type(error).__name__}: {error}"
        raise AdapterError(f"the implementation {each.name!r} failed with {said}") from error
    # A function may have started from another's trace: what is wrong with it is its own.
    return [replace(t, adapter=each.name) if isinstance(t, Trace) else t for t in results]


class Function:
    """A user's function from a case to what it computed, as an adapter."""

    def __init__(self, function: Callable[[Case], Result], name: str) -> None:
        self.function, self.name = function, name

    def versions(self) -> dict[str, str]:
        return {}

    def run(self, case: Case, *, dtype: Any = None, device: str | None = None) -> Result:
        return self.function(case if dtype is None else case.astype(dtype))

    def run_all(
        self, cases: Sequence[Case], *, dtype: Any = None, device: str | None = None
    ) -> list[Result]:
        return [self.run(case, dtype=dtype) for case in cases]


def _evidence(
    each: Any,
    cases: list[Case],
    known: list[list[Finding]] | None,
    device: str | None,
    expected: Sequence[str],
) -> list[Evidence]:
    """The float64 findings of an implementation, computed only if somebody asks."""

    @cache
    def of(i: int) -> dict[str, Finding]:
        if known is None:
            case = cases[i].astype(np.float64)
            try:
                (result,) = _called(each, [case], device)
            except AdapterError:
                return {}  # it has no float64: no evidence
            found = _findings(case, result, None, expected)
        else:
            found = known[i]
        return {finding.quantity: finding for finding in found}

    return [partial(of, i) for i in range(len(cases))]


def _difference(case: Case, i: int, first: Judged, second: Judged) -> Difference:
    """Two implementations of case number i: both right, hence equal; and how far apart."""
    findings = first.findings[i], second.findings[i]
    codes = {exit_code(f) for f in findings}
    parity = False if 1 in codes else None if 2 in codes else True
    unit = case.precision.unit
    worst, where = 0.0, "none"
    for name in (*case.network.parameter_shapes, INPUT):
        a, b = (_gradient(j.results[i], name) for j in (first, second))
        if a is None or b is None or a.shape != b.shape:
            continue
        scale = float(np.abs(a).max(initial=0.0)) * unit
        with np.errstate(all="ignore"):
            apart = float(np.abs(a - b).max(initial=0.0))
        units = apart / scale if scale else (0.0 if apart == 0.0 else float("inf"))
        if not units <= worst:
            worst, where = units, f"grad {name}"
    names = first.name, second.name
    why = tuple(_attributed(case, i, first, second))
    choices = bool(why) or any(step.op.random for step in case.network.steps)
    return Difference(case.name, case.precision.name, *names, parity, where, worst, choices, why)


def _attributed(case: Case, i: int, first: Judged, second: Judged) -> Iterator[str]:
    """In words: which gradients differ because the two took something else at a kink."""
    kinks = {f.quantity: f for f in second.findings[i] if f.kinks}
    edges = {f"grad {edge.source} -> {edge.target}": edge for edge in case.network.edges}
    for f in first.findings[i]:
        other = kinks.get(f.quantity)
        if f.kinks is None or other is None or other.kinks is None:
            continue
        same = f.kinks.taken == other.kinks.taken
        if same or f.quantity not in edges or "Random" in f.op:  # drawn, not chosen
            continue
        a, b = (_edge(j.results[i], edges[f.quantity]) for j in (first, second))
        tells = f" where {first.name} takes {f.kinks.choice} and {second.name} {other.kinks.choice}"
        n = int((a != b).sum())
        yield f"{n} elements of {f.quantity} differ at the kink of {f.op},{tells}"


def _edge(result: Result | None, edge: Edge) -> NDArray:
    assert isinstance(result, Trace)  # only there a kink is seen
    return result.edge_grad[edge]


def _gradient(result: Result | None, name: str) -> NDArray | None:
    """A final gradient as float64, where it was given."""
    given = result.grad if isinstance(result, Trace) else result or {}
    found = given.get(name if isinstance(result, Trace) else f"grad {name}")
    return None if found is None else np.asarray(found, dtype=np.float64)


def _cases(given: Case | Network | Iterable[Case | Network]) -> list[Case]:
    """The cases, each under a name of its own; a network is given random numbers."""
    if not isinstance(given, Case | Network | Iterable):
        raise TypeError(f"check was given {type(given).__name__}; give a Case or a Network")
    alone = isinstance(given, Case | Network)
    found: list[Case] = []
    for each in [given] if alone else list(given):  # type: ignore[arg-type]
        if not isinstance(each, Case | Network):
            raise TypeError(f"check was given {type(each).__name__}; give a Case or a Network")
        case = Case.random(each) if isinstance(each, Network) else each
        if case.precision.name not in PRECISIONS:
            raise ValueError(
                f"{case.name!r} has dtype {case.dtype}, which cannot be judged; "
                "give case.astype('float64') or 'float32'"
            )
        found.append(case)
    names = [case.name for case in found]
    return [
        replace(case, name=f"{case.name} ({i + 1})") if names.count(case.name) > 1 else case
        for i, case in enumerate(found)
    ]


def _rounded(case: Case, dtype: str) -> Case:
    """The case in another dtype; its divergence must be defined for its outputs."""
    case = case.astype(dtype)
    divergence = case.network.divergence
    if type(divergence).check_output is not Divergence.check_output:
        with np.errstate(all="ignore"):
            value = forward(case.network, case.params, case.x)
        divergence.check_output(value[case.network.output])
    return case


def _dtypes(dtypes: Sequence[Any]) -> list[str]:
    alone = isinstance(dtypes, str | type | np.dtype | Precision)
    names = [Precision.of(given).name for given in ([dtypes] if alone else dtypes)]
    for name, given in zip(names, [dtypes] if alone else dtypes, strict=True):
        if name not in PRECISIONS:
            raise ValueError(f"dtype {given!r} cannot be judged; give any of {tuple(PRECISIONS)}")
    return [name for name in PRECISIONS if name in names]  # float64 first


def _chosen(implementations: Sequence[Implementation]) -> list[Any]:
    """The implementations, each under a name of its own; one given twice is run once."""
    if not implementations:
        return list(installed().values())
    chosen: list[Any] = []
    for given in implementations:
        each = _implementation(given)
        if any(each is other for other in chosen):
            continue
        names = [other.name for other in chosen]
        if each.name in names:
            if not isinstance(each, Function):
                raise ValueError(f"two implementations are named {each.name!r}; rename one")
            each.name = next(name for i in count(2) if (name := f"{each.name} ({i})") not in names)
        chosen.append(each)
    return chosen


def _implementation(given: Implementation) -> Any:
    if isinstance(given, str):
        return adapter(given)
    if isinstance(given, Adapter):
        return given
    if hasattr(given, "run"):  # the one method that counts
        return Function(given.run, getattr(given, "name", type(given).__name__))
    if callable(given):
        return Function(given, getattr(given, "__name__", type(given).__name__))
    raise TypeError(f"implementation is {given!r}; give a name, an adapter or a function of a case")
