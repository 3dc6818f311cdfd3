"""`check`: every case through every implementation and dtype, float64 first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from itertools import combinations, count
from typing import Any, NamedTuple

import numpy as np

from ..adapters.base import Adapter, AdapterError, adapter, available, installed
from ..core.backprop import forward
from ..core.case import Case
from ..core.divergences import Divergence
from ..core.network import INPUT, Network
from ..core.trace import Trace
from .finding import Finding, exit_code
from .judge import Evidence, judge
from .report import Difference, Report, Run, environment

__all__ = ["check"]

DTYPES = ("float64", "float32")

Implementation = str | Adapter | Callable[[Case], Trace]


def check(
    cases: Case | Network | Sequence[Case | Network],
    *implementations: Implementation,
    dtypes: Sequence[Any] = DTYPES,
    device: str | None = None,
    progress: Callable[[str], None] = lambda message: None,
    about: Mapping[str, str] | None = None,
) -> Report:
    """Do the implementations compute the hand-derived gradient?

    Parameters
    ----------
    cases : a case, several, or a network (which is given random numbers).
    *implementations : names of adapters, adapters, or functions from a `Case` to a `Trace`; every
        installed adapter by default.
    dtypes : any of "float64" and "float32".
    device : as the framework calls it; its default if None.
    progress : told what is being done.
    about : case name -> what it is, for the report.

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
            evidence = _evidence(each, cases, in_float64.get(each.name), device)
            judged.append(_judged(each, rounded, evidence, device))
            if dtype == "float64":
                in_float64[each.name] = judged[-1].findings
        for i, case in enumerate(rounded):
            said = (about or {}).get(case.name, "")
            runs += [Run(case.name, j.name, dtype, tuple(j.findings[i]), said) for j in judged]
            differences += [_difference(case, i, a, b) for a, b in combinations(judged, 2)]
    versions = {k: v for each in chosen for k, v in each.versions().items()}
    return Report(tuple(runs), tuple(differences), skipped, {**environment(), **versions})


class Judged(NamedTuple):
    """One implementation in one dtype: a trace and its findings for every case."""

    name: str
    traces: list[Trace]
    findings: list[list[Finding]]


def _judged(each: Any, cases: list[Case], evidence: list[Evidence], device: str | None) -> Judged:
    traces = _run_all(each, cases, device)
    judged = zip(cases, traces, evidence, strict=True)
    return Judged(each.name, traces, [judge(*one) for one in judged])


def _run_all(each: Any, cases: list[Case], device: str | None) -> list[Trace]:
    """Whatever an implementation raises is its own: it is named, and no verdict is given."""
    try:
        traces = list(each.run_all(cases, device=device))
    except AdapterError:
        raise
    except (Exception, SystemExit) as error:
        said = f"{type(error).__name__}: {error}"
        raise AdapterError(f"the implementation {each.name!r} failed with {said}") from error
    # A function may have started from another's trace: what is wrong with it is its own.
    return [replace(t, adapter=each.name) if isinstance(t, Trace) else t for t in traces]


class Function:
    """A user's function from a case to a trace, as an adapter."""

    def __init__(self, function: Callable[[Case], Trace], name: str) -> None:
        self.function, self.name = function, name

    def versions(self) -> dict[str, str]:
        return {}

    def run(self, case: Case, *, dtype: Any = None, device: str | None = None) -> Trace:
        return self.function(case if dtype is None else case.astype(dtype))

    def run_all(
        self, cases: Sequence[Case], *, dtype: Any = None, device: str | None = None
    ) -> list[Trace]:
        return [self.run(case, dtype=dtype) for case in cases]


def _evidence(
    each: Any, cases: list[Case], known: list[list[Finding]] | None, device: str | None
) -> list[Evidence]:
    """The float64 findings of an implementation, computed only if somebody asks."""

    @cache
    def of(i: int) -> dict[str, Finding]:
        if known is None:
            case = cases[i].astype(np.float64)
            found = judge(case, each.run(case, device=device))
        else:
            found = known[i]
        return {finding.quantity: finding for finding in found}

    return [partial(of, i) for i in range(len(cases))]


def _difference(case: Case, i: int, first: Judged, second: Judged) -> Difference:
    """Two implementations of case number i: both right, hence equal; and how far apart."""
    findings = first.findings[i], second.findings[i]
    codes = {exit_code(f) for f in findings}
    parity = False if 1 in codes else None if 2 in codes else True
    unit = 0.5 * float(np.finfo(case.dtype).eps)
    worst, where = 0.0, "none"
    for name in (*case.network.parameter_shapes, INPUT):
        a, b = (j.traces[i].grad[name].astype(np.float64) for j in (first, second))
        scale = float(np.abs(a).max(initial=0.0)) * unit
        with np.errstate(all="ignore"):
            apart = float(np.abs(a - b).max(initial=0.0))
        units = apart / scale if scale else (0.0 if apart == 0.0 else float("inf"))
        if not units <= worst:
            worst, where = units, f"grad {name}"
    took = [{f.quantity: f.kinks.taken for f in found if f.kinks} for found in findings]
    choices = took[0] != took[1] or any(step.op.random for step in case.network.steps)
    names = first.name, second.name
    return Difference(case.name, str(case.dtype), *names, parity, where, worst, choices)


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
        if case.dtype not in DTYPES:
            raise ValueError(
                f"{case.name!r} has dtype {case.dtype}, which cannot be judged yet; "
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
    names = []
    for given in [dtypes] if isinstance(dtypes, str | type | np.dtype) else dtypes:
        try:
            names.append(np.dtype(given).name)
        except TypeError:
            names.append(str(given))
    for name in names:
        if name not in DTYPES:
            raise ValueError(f"dtype {name!r} cannot be judged yet; give any of {DTYPES}")
    return [d for d in DTYPES if d in names]  # float64 first


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
