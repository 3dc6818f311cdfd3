"""Test the judge: plant faults in results and report those that it does not detect.

`selftest` runs every implementation once per case and dtype, `_Input` plants faults in its traces
and judges them, and `SelfTest` holds the outcomes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, cached_property, lru_cache
from typing import Any

import numpy as np

from ...adapters.base import Adapter, AdapterError, get_adapter, installed
from ...core import Case, Network, Trace
from ...core.arithmetic.precision import precisions
from ...core.arithmetic.received import received
from ...core.network.backprop import backprop
from ..explain.fault_sites import FaultSite, fault_sites, quantity
from ..explain.replay import mutants, replay
from ..findings.finding import Finding, Verdict
from ..judge.node_by_node import judge
from ..measure.kept import KeptReferences
from ..report.records import environment
from ..running.progress import COMPILED, Progress, Steps, silent
from .networks import Subject, builtin_subjects, elsewhere
from .results import ALLOWED, Result, SelfTest

__all__ = ["DTYPES", "selftest"]

DTYPES = ("float64", "float32")

#: First guess of the time to judge all faults at one site, in runs of a case.
PLANTED = {"float64": 25.0, "float32": 50.0}


def selftest(
    case: Case | Network | Sequence[Case | Network] | None = None,
    *adapters: str | Adapter | Callable[[Case], Trace],
    dtypes: Sequence[str] = DTYPES,
    seed: int = 0,
    progress: Progress = silent,
) -> SelfTest:
    """Plant faults in correct gradients and report which of them are caught.

    Parameters
    ----------
    case : a case or several (a network gets random numbers); by default every op and divergence,
        each on random numbers and exactly at its kinks and ties.
    *adapters : names, adapters, or functions from a `Case` to a `Trace`; by default the core's own
        formulas and every installed adapter.
    dtypes : any of "float64" and "float32".
    seed : seed of the random inputs.
    progress : called with a description of the current step and the fraction done.

    Raises
    ------
    ValueError, TypeError : a dtype or an object that cannot be tested.
    AdapterError : an adapter is unknown or its framework is missing.

    >>> from gradparity.core import *
    >>> from gradparity.core import backprop
    >>> case = Case.random(layered([Affine(3, 3), Tanh()], L2()), batch=3)
    >>> bool(selftest(case, backprop, dtypes=["float64"]))
    True
    """
    dtypes = _dtypes(dtypes)
    subjects = list(builtin_subjects(seed)) if case is None else _own(case, seed)
    results: list[Result] = []
    alarms: list[str] = []
    versions: dict[str, str] = {}
    implementations, steps = _implementations(adapters), Steps(progress)
    for each in implementations:
        each.plan(subjects, dtypes, steps)
    for each in implementations:
        versions |= each.versions
        for subject, inputs in each.inputs(subjects, dtypes, steps):
            for dtype in dtypes:
                mine = inputs[dtype]
                alarms += [alarm for one in mine for alarm in one.alarms(subject.name)]
                for site in _places(subject):
                    results += _plant_all(subject, site, mine)
                    steps.did(dtype, f"{each.name} {dtype}, planting faults: {subject.name}")
    steps.end()
    return SelfTest(tuple(results), tuple(alarms), {**environment(), **versions})


def _places(subject: Subject) -> Iterator[FaultSite]:
    """The fault sites of a network under test."""
    case, nodes = subject.cases[0], subject.nodes
    for site in fault_sites(case):
        alone = site.kind == "sum" and len(case.network.consumers(site.key)) == 1
        if (nodes is None or site.node in nodes) and (subject.sums or not alone):
            yield site


def _plant_all(subject: Subject, site: FaultSite, inputs: list[_Input]) -> Iterator[Result]:
    """Plant every fault that applies at a site, in one input after another until one decides."""
    decided: dict[str, Result] = {}
    for one in inputs:
        if site.quantity in one.accused:
            continue  # a second fault here would prove nothing
        for fault, wrong in mutants(one.case, one.trace, site):
            if wrong is None:
                decided.setdefault(fault, one.unchanged(subject, site, fault))
            elif fault not in decided or decided[fault].undecided:
                decided[fault] = one.changed(subject, site, fault, wrong)
    for fault, result in decided.items():
        if result.equivalent and subject.own:
            yield _on_other_inputs(subject, inputs[0], site, fault, result)
        else:
            yield result


@dataclass
class _Input:
    """The trace of one implementation for one case in one dtype, and in float64."""

    case: Case
    trace: Trace
    in_float64: _Input | None = None

    @cached_property
    def clean(self) -> dict[str, Finding]:
        """The findings without a fault."""
        twin = self.in_float64
        findings = judge(self.case, self.trace, None if twin is None else lambda: twin.clean)
        return {f.quantity: f for f in findings}

    @cached_property
    def accused(self) -> set[str]:
        return {f.quantity for f in self.clean.values() if f.verdict.parity is False}

    def alarms(self, subject: str) -> list[str]:
        where = f"{subject}, {self.trace.adapter} {self.case.dtype}"
        return [f"{where}: {self.clean[q]}" for q in self.clean if q in self.accused]

    def judged(self, site: FaultSite, fault: str, wrong: Any = None) -> dict[str, Finding]:
        """The findings with the fault planted, and with it in float64 too as evidence."""
        if wrong is None:
            wrong = dict(mutants(self.case, self.trace, site)).get(fault)
        key = site.kind, site.quantity, None if wrong is None else wrong.tobytes()
        if key in self._known:
            return self._known[key]
        planted = self.trace if wrong is None else replay(self.case, self.trace, site, wrong)
        twin = self.in_float64
        evidence = None if twin is None else cache(lambda: twin.judged(site, fault))
        findings = judge(self.case, planted, evidence, explain=False, kept=self._references)
        found: dict[str, Finding] = {f.quantity: f for f in findings}
        if twin is None:  # float32 asks again for what was found in float64
            self._known[key] = found
        return found

    @cached_property
    def _references(self) -> KeptReferences:
        return KeptReferences()

    @cached_property
    def _known(self) -> dict[Any, dict[str, Finding]]:
        return {}

    def changed(self, subject: Subject, site: FaultSite, fault: str, wrong: Any) -> Result:
        found = self.judged(site, fault, wrong)
        bad = {q: f.node for q, f in found.items() if f.verdict.parity is False}
        bad = {q: node for q, node in bad.items() if q not in self.accused}
        note = "" if bad else _limit(found[site.quantity])
        # The gradient at a node may use its wrong value; this is still the right node.
        named = site.quantity in bad and set(bad.values()) == {site.node}
        result = self._result(subject, site, fault, note)
        return replace(result, caught=bool(bad), named_rightly=named)

    def unchanged(self, subject: Subject, site: FaultSite, fault: str) -> Result:
        note = "no bit changed on any input tried"
        return replace(self._result(subject, site, fault, note), equivalent=True)

    def _result(self, subject: Subject, site: FaultSite, fault: str, note: str) -> Result:
        run = subject.name, self.trace.adapter, self.case.dtype.name
        return Result(fault, site.quantity, site.node, site.kind, *run, caught=False, note=note)


def _limit(f: Finding) -> str:
    """The reason why a change was not detected."""
    if f.verdict is Verdict.VACUOUS:
        return "the value there is below its own bound"
    if f.verdict is Verdict.INCONCLUSIVE:
        return f"inconclusive: {f.note}"
    if f.verdict is Verdict.SUBGRADIENT:
        return ALLOWED
    if f.verdict is Verdict.LOSSY:
        return f"lossy: {f.note}"
    return f"off by {f.error:.2g} u, within the bound there, {f.bound:.2g} u"


def _on_other_inputs(
    subject: Subject, one: _Input, site: FaultSite, fault: str, result: Result
) -> Result:
    """Call a fault on a user's case equivalent only if it has no effect on other inputs either."""
    for case, trace in _elsewhere(subject, one.case.dtype.name):
        wrong = dict(mutants(case, trace, site)).get(fault)
        if wrong is not None:
            note = f"{_silence(one, site, fault)}; on other inputs it would change it"
            return replace(result, equivalent=False, note=note)
    return result


@lru_cache(maxsize=2)
def _elsewhere(subject: Subject, dtype: str) -> list[tuple[Case, Trace]]:
    return [(case, backprop(case)) for case in (c.astype(dtype) for c in elsewhere(subject))]


def _silence(one: _Input, site: FaultSite, fault: str) -> str:
    """The reason why a fault changed nothing on these inputs."""
    if fault == "wrong weight at a kink":
        return "no element is exactly at a kink"
    if not np.any(quantity(one.trace, site)):
        return "zero there: a dead or saturated unit, or no gradient arrives"
    if one.case.T == 1:
        return "a batch of one sample"
    return "it changes nothing on these numbers"


# What is tested ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Implementation:
    """Something that turns cases into traces."""

    name: str
    run_all: Callable[[list[Case]], list[Trace]]
    versions: dict[str, str] = field(default_factory=dict)
    frugal: bool = True  # run only the first inputs of a network, to save time
    compiles: bool = False

    def plan(self, subjects: list[Subject], dtypes: Sequence[str], steps: Steps) -> None:
        """Plan the runs and the sites where faults are planted."""
        cost = COMPILED if self.compiles else 1.0
        n = sum(len(mine) for mine in self._chosen(subjects))
        steps.plan(self.name, n * len(_with_float64(dtypes)), cost)
        places = sum(len(list(_places(subject))) for subject in subjects)
        for dtype in dtypes:
            steps.plan(dtype, places, PLANTED[dtype])

    def inputs(
        self, subjects: list[Subject], dtypes: Sequence[str], steps: Steps
    ) -> Iterator[tuple[Subject, dict[str, list[_Input]]]]:
        """Every network under test with its traces by dtype; each case is run once per dtype."""
        chosen = self._chosen(subjects)
        ran: dict[str, Iterator[tuple[Case, Trace]]] = {}
        for dtype in _with_float64(dtypes):
            steps.say(f"{self.name} {dtype}, running")
            cases = [case.astype(dtype) for mine in chosen for case in mine]
            ran[dtype] = zip(cases, self._traces(cases), strict=True)
            steps.did(self.name, f"{self.name} {dtype}, running", len(cases))
        for subject, mine in zip(subjects, chosen, strict=True):
            wide = [_Input(*next(ran["float64"])) for _ in mine]
            found = {"float64": wide}
            if "float32" in ran:
                found["float32"] = [_Input(*next(ran["float32"]), one) for one in wide]
            yield subject, found

    def _chosen(self, subjects: list[Subject]) -> list[tuple[Case, ...]]:
        return [s.cases[:2] if self.frugal else s.cases for s in subjects]

    def _traces(self, cases: list[Case]) -> list[Trace]:
        try:
            traces = list(self.run_all(cases))
        except AdapterError:
            raise
        except (Exception, SystemExit) as error:  # a user's code may raise anything
            said = f"{type(error).__name__}: {error}"
            raise AdapterError(f"the implementation {self.name!r} failed with {said}") from error
        for t in traces:
            if not isinstance(t, Trace):
                raise TypeError(f"{self.name!r} returned {type(t).__name__}; return a Trace")
        return [replace(trace, adapter=self.name) for trace in traces]


def _with_float64(dtypes: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(("float64", *dtypes)))  # float64 is evidence


def _implementations(given: Sequence[Any]) -> list[_Implementation]:
    if not given:
        core = _Implementation("numpy", lambda cases: list(map(backprop, cases)), frugal=False)
        return [core, *map(_of_adapter, installed().values())]
    found = map(_implementation, given)
    return list({each.name: each for each in found}.values())


def _implementation(given: Any) -> _Implementation:
    if isinstance(given, str | Adapter):
        return _of_adapter(get_adapter(given) if isinstance(given, str) else given)
    if callable(given):
        name = getattr(given, "__name__", type(given).__name__)
        return _Implementation(name, lambda cases: list(map(given, cases)))
    raise TypeError(f"implementation is {received(given)}; give a name, an adapter or a function")


def _of_adapter(each: Adapter) -> _Implementation:
    compiles = getattr(each, "compiles", False)
    return _Implementation(each.name, each.run_all, each.versions(), compiles=compiles)


def _dtypes(given: Sequence[str]) -> list[str]:
    names = [precision.name for precision in precisions(given)]
    if not set(names) <= set(DTYPES):
        raise ValueError(f"dtypes are {names}; a self-test plants faults in any of {DTYPES}")
    return [d for d in DTYPES if d in names]


def _own(given: Any, seed: int) -> list[Subject]:
    """The user's cases, each tested at every site."""
    several = list(given) if isinstance(given, list | tuple) else [given]
    found = []
    for each in several:
        if not isinstance(each, Case | Network):
            raise TypeError(f"selftest was given {type(each).__name__}; give a Case or a Network")
        case = Case.random(each, seed=seed) if isinstance(each, Network) else each
        found.append(Subject(case.name, (case,), own=True, seed=seed))
    return found
