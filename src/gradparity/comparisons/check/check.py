"""`check`: every case through every implementation and dtype, float64 first."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from itertools import combinations
from typing import Any

import numpy as np

from ...adapters.base import available
from ...core.arithmetic.precision import PRECISIONS, precisions
from ...core.formulas.divergences import Divergence
from ...core.network.backprop import forward
from ...core.network.case import Case
from ...core.network.contract import FormulaError
from ...core.network.network import Network
from ...core.network.quantity import Quantity
from ...core.network.trace import Trace
from ..atlas.probe import usual
from ..explain.allowed import parse_allowed
from ..findings.finding import Evidence, Finding, Verdict
from ..findings.quantities import EVERYTHING, GRADIENTS
from ..judge.by_name import judge_results, judge_trace, named_arrays
from ..report.differences import Judged, difference
from ..report.graph import graph_of
from ..report.records import Difference, Run, environment
from ..report.report import Report
from ..running.implementations import Function, Implementation, Outcome, is_own, outcomes, resolved
from ..running.progress import COMPILED, Progress, Steps, silent

__all__ = ["check"]

DTYPES = ("float64", "float32")
#: Cases that are run together before the next are: JAX compiles as many in one program.
TOGETHER = 16


def check(
    cases: Case | Network | Sequence[Case | Network],
    *implementations: Implementation,
    dtypes: Sequence[Any] = DTYPES,
    device: str | None = None,
    progress: Progress = silent,
    about: Mapping[str, str] | None = None,
    allow: Sequence[str] = (),
) -> Report:
    """Do the implementations compute the hand-derived gradient?

    Parameters
    ----------
    cases : a case, several, or a network (which is given random numbers).
    *implementations : names of adapters, adapters, or functions from a `Case` to a `Trace`, or to
        some results such as ``{"Err": ..., "value z1": ..., "grad W1": ...}``, which are judged
        node by node where they allow it and else end to end; every installed adapter by default.
    dtypes : any of "float64", "float32", "tf32", "float16" and "bfloat16".
    device : as the framework calls it; its default if None.
    progress : told what is being done, and which part of the whole is: ``progress("jax float64",
        0.25)``, from 0 to 1 and never falling.
    about : case name -> what it is, for the report.
    allow : conventions that pass, such as "sum" or "weight-decay=0.001".

    Returns
    -------
    Report : true exactly if there is parity everywhere.

    Raises
    ------
    AdapterError : an implementation named here is unknown, its framework is missing, or it has no
        such device.
    ValueError, TypeError : a dtype that is not supported, or something that is no implementation.

    An implementation that raises, returns what cannot be compared, or writes into what it was given
    is told by a finding, and the rest is judged.

    >>> from gradparity.core import *
    >>> from gradparity.core import backprop
    >>> report = check(layered([Affine(3, 2), Tanh()], L2()), backprop)
    >>> bool(report), report.exit_code
    (True, 0)
    """
    parse_allowed(allow)
    cases = _cases(cases)
    names = [precision.name for precision in precisions(dtypes)]
    chosen = resolved(implementations)
    skipped = {}
    if not implementations:
        present = {a.name for a in chosen}
        skipped = {name: "not installed" for name in available() if name not in present}
    runs: list[Run] = []
    differences: list[Difference] = []
    in_float64: dict[str, list[list[Finding]]] = {}
    steps = Steps(progress)
    for each in chosen:
        cost = COMPILED if getattr(each, "compiles", False) else 1.0
        steps.plan(each.name, len(names) * len(cases), cost)
    for dtype in names:
        rounded = [_rounded(case, dtype) for case in cases]
        judged = []
        for each in chosen:
            steps.say(f"{each.name} {dtype}")
            evidence = _evidence(each, cases, in_float64.get(each.name), device, allow)
            judged.append(_judged(each, rounded, evidence, device, allow, steps))
            if dtype == names[0] and rounded and is_own(each):
                again = _again(each, rounded[0], evidence[0], device, allow)
                judged[-1].findings[0] += _other(again, judged[-1].findings[0])
            if dtype == "float64":
                in_float64[each.name] = judged[-1].findings
        for i, case in enumerate(rounded):
            said = (about or {}).get(case.name, "")
            for name, _, findings in judged:
                found = tuple(findings[i])
                runs.append(Run(case.name, name, dtype, found, said, _missing(case, found)))
            differences += [difference(case, i, a, b) for a, b in combinations(judged, 2)]
    steps.end()
    versions = {k: v for each in chosen for k, v in each.versions().items()}
    graphs = {case.name: graph_of(case) for case in cases}
    return Report(tuple(runs), tuple(differences), skipped, {**environment(), **versions}, graphs)


def _judged(
    each: Any,
    cases: list[Case],
    evidence: list[Evidence],
    device: str | None,
    allow: Sequence[str],
    steps: Steps,
) -> Judged:
    arrays, found = [], []
    for some, float64 in _batches(cases, evidence):
        for case, outcome, wide in zip(some, outcomes(each, some, device), float64, strict=True):
            findings = _findings(case, outcome, wide, allow)
            found.append([_with_usual(f, case, each) for f in findings])
            arrays.append(named_arrays(case, outcome.result))
        steps.did(each.name, f"{each.name} {some[-1].precision.name}", len(some))
    return Judged(each.name, arrays, found)


def _batches(
    cases: list[Case], evidence: list[Evidence]
) -> Iterator[tuple[list[Case], list[Evidence]]]:
    for i in range(0, len(cases), TOGETHER):
        yield cases[i : i + TOGETHER], evidence[i : i + TOGETHER]


def _findings(
    case: Case, ran: Outcome, float64: Evidence | None, allow: Sequence[str]
) -> list[Finding]:
    """Findings of one run; returned results are judged, whatever else is wrong."""
    found = []
    if ran.changed:
        found.append(Finding(Quantity("inputs"), "", "", Verdict.MISMATCH, 0, note=ran.changed))
    if ran.failed:
        return [*found, Finding(EVERYTHING, "", "", Verdict.INCONCLUSIVE, 0, note=ran.failed)]
    judged = judge_trace if isinstance(ran.result, Trace) else judge_results
    try:
        found += judged(case, ran.result, float64, allow)
    except FormulaError as error:  # the network's own: there is no referee for this case
        return [*found, Finding(EVERYTHING, "", "", Verdict.INCONCLUSIVE, 0, note=str(error))]
    if not any(f.final or f.quantity == EVERYTHING for f in found):
        said = "that of no parameter and not of x was returned, so none was compared"
        found.append(Finding(GRADIENTS, "", "", Verdict.INCONCLUSIVE, 0, note=said))
    return found


def _missing(case: Case, findings: Sequence[Finding]) -> tuple[Quantity, ...]:
    """Final gradients without a finding, where there is one of anything else."""
    there = {f.quantity for f in findings}
    wanted = map(Quantity.grad, [*case.network.trained, *case.differentiated])
    return () if EVERYTHING in there else tuple(q for q in wanted if q not in there)


def _again(
    each: Any, case: Case, float64: Evidence, device: str | None, allow: Sequence[str]
) -> list[Finding]:
    """Findings of a second identical call: some code adds to the gradients of the call before."""
    (ran,) = outcomes(each, [case], device)
    return _findings(case, ran, float64, allow)


def _other(second: Iterable[Finding], first: Iterable[Finding]) -> list[Finding]:
    """Findings of a second identical call that differ from the first call's."""
    second, before = list(second), {(f.quantity, f.verdict) for f in first}
    bad = [f for f in second if f.parity is not True and f.verdict is not Verdict.VACUOUS]
    bad = [f for f in bad if (f.quantity, f.verdict) not in before]
    there = {f.quantity for f in second}
    if EVERYTHING not in there:
        gone = [f for f in first if f.quantity not in there]
        bad += [replace(f, verdict=Verdict.INCONCLUSIVE, note="not returned") for f in gone]
    said = {f.quantity: f.note.partition("; judged from end to end")[0] for f in bad}
    return [
        replace(
            f,
            quantity=Quantity(f"{f.quantity}, second call"),
            note=f"{SECOND}; {said[f.quantity]}",
            power=None,
            final=False,
        )
        for f in bad
    ]


#: Of what was right at the first call.
SECOND = (
    "right at the first call, and not at a second with the same numbers: does it keep something"
)


def _with_usual(finding: Finding, case: Case, each: Any) -> Finding:
    """With what this framework takes at such a kink anywhere, measured now."""
    if finding.kinks is None or isinstance(each, Function):
        return finding
    op = next(step.op for step in case.network.steps if step.name == finding.node)
    taken = usual(each, op, case.twin.get(finding.node, ""))
    if taken is None:
        return finding
    said = taken if isinstance(taken, str) else " or ".join(f"{s:.4g}" for s in set(taken.values()))
    return replace(finding, kinks=replace(finding.kinks, usual=said))


def _evidence(
    each: Any,
    cases: list[Case],
    known: list[list[Finding]] | None,
    device: str | None,
    allow: Sequence[str],
) -> list[Evidence]:
    """The float64 findings of an implementation, computed only if somebody asks."""

    @cache
    def of(i: int) -> dict[str, Finding]:
        if known is None:
            case = cases[i].astype(np.float64)
            (ran,) = outcomes(each, [case], device)
            found = _findings(case, ran, None, allow)
        else:
            found = known[i]
        return {finding.quantity: finding for finding in found}

    return [partial(of, i) for i in range(len(cases))]


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
    if divergence and type(divergence).check_output is not Divergence.check_output:
        with np.errstate(all="ignore"):
            value = forward(case.network, {**case.params, **case.inputs})
        divergence.check_output(value[case.network.output])
    return case
