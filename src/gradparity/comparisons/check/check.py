"""`check`: every case through every implementation and dtype, float64 first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from itertools import combinations
from typing import Any

import numpy as np

from ...adapters.base import available
from ...core.arithmetic.precision import PRECISIONS, precisions
from ...core.arithmetic.received import check_flag, cut, printable, received
from ...core.formulas.divergences import Divergence
from ...core.network.backprop import forward
from ...core.network.case import Case
from ...core.network.network import Network
from ...core.network.quantity import Quantity
from ..explain.allowed import parse_allowed
from ..findings.finding import Finding
from ..findings.quantities import EVERYTHING
from ..recording.recording import Recording
from ..report.differences import difference
from ..report.graph import graph_of
from ..report.records import Difference, Run, environment
from ..report.report import Report
from ..running.implementations import Implementation, check_device, is_own, resolved
from ..running.progress import Progress, Steps, silent
from .under_test import UnderTest
from .unexercised import unexercised

__all__ = ["check", "recordings_among"]

DTYPES = ("float64", "float32")


def check(
    cases: Case | Network | Recording | Sequence[Case | Network] | Sequence[Recording],
    *implementations: Implementation,
    dtypes: Sequence[Any] | Mapping[str, Sequence[Any]] = DTYPES,
    device: str | None = None,
    progress: Progress | None = silent,
    about: Mapping[str, str] | None = None,
    allow: Sequence[str] = (),
    strict: bool = False,
) -> Report:
    """Do the implementations compute the hand-derived gradient?

    Parameters
    ----------
    cases : a case, several, or a network (which is given random numbers); or a recording or
        several, which were judged while they ran, so that no other argument applies.
    *implementations : names of adapters, adapters, or functions from a `Case` to a `Trace`, or to
        some results such as ``{"Err": ..., "value z1": ..., "grad W1": ...}``, which are judged
        node by node where they allow it and else end to end; every installed adapter by default.
    dtypes : any of "float64", "float32", "tf32", "float16" and "bfloat16"; or case name -> these,
        for cases that are not checked in float64 and float32.
    device : as the framework calls it; its default if None.  Your own functions choose theirs.
    progress : told what is being done, and which part of the whole is: ``progress("jax float64",
        0.25)``, from 0 to 1 and never falling; None: off.
    about : case name -> what it is, for the report.
    allow : conventions that pass, such as "sum" or "weight-decay=0.001".
    strict : whether `lossy` fails: a result that is right for a usual form of the formula
        and keeps fewer than half of the digits of some element.

    Returns
    -------
    Report : true exactly if there is parity everywhere.

    Raises
    ------
    AdapterError : an implementation named here is unknown, its framework is missing, or it has no
        such device.
    ValueError, TypeError : a dtype that is not supported, something that is no implementation, or
        a device where every implementation is a function, which chooses its own.

    An implementation that raises, returns what cannot be compared, or writes into what it was given
    becomes a finding, and the rest is judged.

    >>> from gradparity.core import *
    >>> from gradparity.core import backprop
    >>> report = check(layered([Affine(3, 2), Tanh()], L2()), backprop)
    >>> bool(report), report.exit_code
    (True, 0)
    """
    recordings = recordings_among(cases)
    if recordings:
        return _of_recordings(
            recordings,
            implementations,
            device=device,
            about=about,
            allow=allow,
            strict=strict,
            dtypes=None if dtypes == DTYPES else dtypes,
        )
    parse_allowed(allow)
    check_flag("strict", strict)
    if about is not None and not isinstance(about, Mapping):
        raise TypeError(
            f"about is {received(about)}; give a dict of case name -> what it is, or None"
        )
    about = {cut(str(name)): printable(str(text)) for name, text in (about or {}).items()}
    cases = _cases(cases)
    asked = _by_dtype(cases, dtypes)
    chosen = resolved(implementations)
    check_device(device, chosen)
    skipped = {}
    if not implementations:
        present = {a.name for a in chosen}
        skipped = {name: "not installed" for name in available() if name not in present}
    tested = [UnderTest(each, device, allow, bool(strict)) for each in chosen]
    steps = Steps(progress)
    for each in tested:
        steps.plan(each.name, sum(map(len, asked.values())), each.cost)
    runs: list[Run] = []
    idle = [unexercised(case) for case in cases]
    differences: list[Difference] = []
    by_dtype = {dtype: [_rounded(cases[i], dtype) for i in which] for dtype, which in asked.items()}
    begun = [each.begun(by_dtype.values()) for each in tested]
    for dtype, rounded in by_dtype.items():
        judged = []
        for each, outcomes in zip(tested, begun, strict=True):
            steps.say(f"{each.name} {dtype}")
            judged.append(each.judged(rounded, outcomes, steps))
            if dtype == next(iter(asked)) and rounded and is_own(each.implementation):
                _, arrays, findings = judged[-1]
                findings[0] += each.second_call(rounded[0], arrays[0], findings[0])
        for k, (i, case) in enumerate(zip(asked[dtype], rounded, strict=True)):
            said = about.get(case.name, "")
            for name, _, findings in judged:
                found = tuple(findings[k])
                missing = _missing(case, found)
                runs.append(Run(case.name, name, dtype, found, said, missing, idle[i]))
            differences += [difference(case, k, a, b) for a, b in combinations(judged, 2)]
    steps.end()
    versions = {k: v for each in chosen for k, v in each.versions().items()}
    graphs = {case.name: graph_of(case) for case in cases}
    return Report(tuple(runs), tuple(differences), skipped, {**environment(), **versions}, graphs)


def _by_dtype(
    cases: Sequence[Case], dtypes: Sequence[Any] | Mapping[str, Sequence[Any]]
) -> dict[str, list[int]]:
    """Dtype -> the positions of the cases that are checked in it, float64 first."""
    every = range(len(cases))
    if not isinstance(dtypes, Mapping):
        return {precision.name: [*every] for precision in precisions(dtypes)}
    unknown = dtypes.keys() - {case.name for case in cases}
    if unknown:
        raise ValueError(f"dtypes names {received(min(unknown))}, which is none of the cases")
    of = [precisions(dtypes.get(case.name, DTYPES)) for case in cases]
    found = {p.name: [i for i in every if p in of[i]] for p in PRECISIONS.values()}
    return {name: which for name, which in found.items() if which}


def recordings_among(given: Any) -> list[Recording]:
    """The recordings that were given; none if they are cases."""
    if isinstance(given, Recording):
        return [given]
    if not isinstance(given, Sequence) or not any(isinstance(g, Recording) for g in given):
        return []
    if not all(isinstance(g, Recording) for g in given):
        raise TypeError("check was given recordings and others; check them apart")
    return list(given)


def _of_recordings(
    recordings: Sequence[Recording], implementations: Sequence[Implementation], **others: Any
) -> Report:
    given = [name for name, value in others.items() if value]
    if implementations or given:
        what = "implementations" if implementations else f"{given[0]}="
        raise TypeError(
            f"check was given a recording and {what}; a recording was judged while it ran: give "
            "allow= and strict= to record, and leave out the rest"
        )
    reports = []
    names = [recording.name for recording in recordings]
    for i, recording in enumerate(recordings):
        if not recording.closed:
            raise ValueError(
                f"the recording {recording.name!r} has not ended, or its body raised an error; "
                "call check after the with block"
            )
        several = names.count(recording.name) > 1
        reports.append(recording.report(f"{recording.name} ({i + 1})" if several else ""))
    runs = tuple(run for report in reports for run in report.runs)
    about = {k: v for report in reports for k, v in report.environment.items()}
    graphs = {k: v for report in reports for k, v in report.graphs.items()}
    return Report(runs, (), {}, about, graphs)


def _missing(case: Case, findings: Sequence[Finding]) -> tuple[Quantity, ...]:
    """Final gradients without a finding, where there is one of anything else."""
    there = {f.quantity for f in findings}
    wanted = map(Quantity.grad, [*case.network.trained, *case.differentiated])
    return () if EVERYTHING in there else tuple(q for q in wanted if q not in there)


def _cases(given: Any) -> list[Case]:
    """The cases, each under a name of its own; a network is given random numbers."""
    if isinstance(given, AbstractContextManager):
        raise TypeError(
            "check was given a context manager; write 'with gp.record() as step:' before the code, "
            "and give check(step) after the block"
        )
    kinds = "a Case, a Network, or a recording of gp.record()"
    if not isinstance(given, Case | Network | Iterable):
        raise TypeError(f"check was given {type(given).__name__}; give {kinds}")
    found: list[Case] = []
    for each in [given] if isinstance(given, Case | Network) else list(given):
        if not isinstance(each, Case | Network):
            raise TypeError(f"check was given {type(each).__name__}; give {kinds}")
        case = Case.random(each) if isinstance(each, Network) else each
        if case.precision.name not in PRECISIONS:
            raise ValueError(
                f"{case.name!r} has dtype {case.dtype}, which cannot be judged; "
                "give case.astype('float64') or 'float32'"
            )
        found.append(case if case.name == cut(case.name) else replace(case, name=cut(case.name)))
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
