"""`check`: every case through every implementation and dtype, float64 first."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache, partial
from typing import Any

import numpy as np

from ..adapters.base import Adapter, AdapterError, adapter, available, installed
from ..core.case import Case
from ..core.network import INPUT, Network
from ..core.trace import Trace
from .finding import Finding, exit_code
from .judge import judge
from .report import Difference, Report, Run, environment

__all__ = ["check"]

DTYPES = ("float64", "float32")

Implementation = str | Adapter | Callable[[Case], Trace]


def check(
    cases: Case | Network | Sequence[Case],
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
    chosen = [_implementation(i) for i in implementations] or list(installed().values())
    skipped = {}
    if not implementations:
        present = {a.name for a in chosen}
        skipped = {name: "not installed" for name in available() if name not in present}
    runs: list[Run] = []
    differences: list[Difference] = []
    findings: dict[tuple[str, str], list[list[Finding]]] = {}
    for dtype in dtypes:
        traces: dict[str, list[Trace]] = {}
        rounded = [case.astype(dtype) for case in cases]
        for each in chosen:
            progress(f"{each.name} {dtype}")
            traces[each.name] = _run_all(each, rounded, device)
            evidence = _evidence(each, cases, findings.get((each.name, "float64")), device)
            findings[each.name, dtype] = [
                judge(case, trace, evidence[i])
                for i, (case, trace) in enumerate(zip(rounded, traces[each.name], strict=True))
            ]
        for i, case in enumerate(cases):
            said = (about or {}).get(case.name, "")
            runs += [
                Run(case.name, each.name, dtype, tuple(findings[each.name, dtype][i]), said)
                for each in chosen
            ]
            for a, b in itertools.combinations([each.name for each in chosen], 2):
                both = findings[a, dtype][i], findings[b, dtype][i]
                differences.append(
                    _difference(rounded[i], (a, b), (traces[a][i], traces[b][i]), both)
                )
    versions = {k: v for each in chosen for k, v in each.versions().items()}
    return Report(tuple(runs), tuple(differences), skipped, {**environment(), **versions})


def _run_all(each: Any, cases: list[Case], device: str | None) -> list[Trace]:
    """Whatever an implementation raises is its own: it is named, and no verdict is given."""
    try:
        return list(each.run_all(cases, device=device))
    except AdapterError:
        raise
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        raise AdapterError(f"the implementation {each.name!r} failed with {said}") from error


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
) -> list[Callable[[], dict[str, Finding]]]:
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


def _difference(
    case: Case,
    names: tuple[str, str],
    traces: tuple[Trace, Trace],
    findings: tuple[list[Finding], list[Finding]],
) -> Difference:
    codes = {exit_code(f) for f in findings}
    parity = False if 1 in codes else None if 2 in codes else True
    unit = 0.5 * float(np.finfo(case.dtype).eps)
    worst, where = 0.0, "none"
    for name in (*case.network.parameter_shapes, INPUT):
        a, b = (np.asarray(t.grad[name], np.float64) for t in traces)
        scale = float(np.abs(a).max(initial=0.0)) * unit
        with np.errstate(all="ignore"):
            apart = float(np.abs(a - b).max(initial=0.0))
        units = apart / scale if scale else (0.0 if apart == 0.0 else float("inf"))
        if not units <= worst:
            worst, where = units, f"grad {name}"
    took = [{f.quantity: f.kinks.taken for f in found if f.kinks} for found in findings]
    choices = took[0] != took[1] or any(step.op.random for step in case.network.steps)
    return Difference(case.name, str(case.dtype), *names, parity, where, worst, choices)


def _cases(cases: Case | Network | Iterable[Case]) -> list[Case]:
    if isinstance(cases, Network):
        return [Case.random(cases)]
    found = [cases] if isinstance(cases, Case) else list(cases)
    for case in found:
        if not isinstance(case, Case):
            raise TypeError(f"check was given {type(case).__name__}; give a Case or a Network")
    names = [case.name for case in found]
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"two cases are named {twice!r}; give each a name of its own")
    return found


def _dtypes(dtypes: Sequence[Any]) -> list[str]:
    names = [np.dtype(d).name for d in ([dtypes] if isinstance(dtypes, str) else dtypes)]
    for name in names:
        if name not in DTYPES:
            raise ValueError(f"dtype {name!r} cannot be judged yet; give any of {DTYPES}")
    return [d for d in DTYPES if d in names]  # float64 first


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
