"""One implementation under test: run on cases and judged, with float64 as evidence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from ...core.arithmetic.arrays import NDArray
from ...core.arithmetic.precision import Precision
from ...core.network.case import Case
from ...core.network.contract import FormulaError
from ...core.network.nodes import ERR
from ...core.network.quantity import Quantity
from ...core.network.trace import Trace
from ..atlas.probe import usual
from ..findings.finding import Finding, Verdict
from ..findings.quantities import EVERYTHING, GRADIENTS
from ..judge.by_name import judge_results, judge_trace, precision_of, results_of
from ..judge.dtypes import DTYPE, finding_of_dtypes
from ..judge.returned import Results
from ..judge.zeros import with_untested
from ..report.differences import Judged
from ..running.implementations import Function, Outcome, outcomes
from ..running.in_groups import run_in_groups
from ..running.progress import COMPILED, Steps

__all__ = ["UnderTest"]

#: The note of a quantity that was right at the first call.
SECOND = (
    "right at the first call, and not at a second with the same numbers: does it keep something"
)


class UnderTest:
    """An implementation with the device it runs on and the conventions it may have.

    Parameters
    ----------
    implementation : an adapter, or a `Function`.
    device : as the framework calls it; its default if None.
    allow : conventions that pass.
    strict : whether `lossy` fails.
    """

    def __init__(
        self, implementation: Any, device: str | None, allow: Sequence[str], strict: bool = False
    ) -> None:
        self.implementation, self.device, self.allow = implementation, device, allow
        self.strict = strict
        self.name: str = implementation.name
        self.cost = COMPILED if getattr(implementation, "compiles", False) else 1.0
        self._in_float64: dict[str, list[Finding]] = {}

    def begun(self, cases: Iterable[Sequence[Case]]) -> Iterator[Outcome]:
        """The outcomes of cases, those of each dtype together; what compiles begins at once."""
        return run_in_groups(self.implementation, cases, self.device)

    def judged(self, cases: Sequence[Case], outcomes: Iterator[Outcome], steps: Steps) -> Judged:
        """The results and findings of these cases, each in its own dtype."""
        arrays, findings = [], []
        for case, ran in zip(cases, outcomes, strict=False):  # those of other dtypes may follow
            findings.append([self._reported(f, case) for f in self._findings(case, ran)])
            arrays.append(results_of(case, ran.result).arrays)
            steps.did(self.name, f"{self.name} {case.precision.name}")
        return Judged(self.name, arrays, findings)

    def second_call(
        self, case: Case, arrays: Mapping[Quantity, NDArray], first: Sequence[Finding]
    ) -> list[Finding]:
        """Findings of a second identical call that differ from the first call's.

        Some code adds to the gradients of the call before.  `arrays` and `first` are the results
        of the first call and its findings.
        """
        kept = {q: a.copy() for q, a in arrays.items()}  # the second call may write into them
        (ran,) = outcomes(self.implementation, [case], self.device)
        if not ran.changed and _same(kept, results_of(case, ran.result)):
            return []
        second, before = self._findings(case, ran), {(f.quantity, f.verdict) for f in first}
        bad = [f for f in second if f.parity is not True and f.verdict is not Verdict.VACUOUS]
        bad = [f for f in bad if (f.quantity, f.verdict) not in before]
        there = {f.quantity for f in second}
        if EVERYTHING not in there:
            gone = [f for f in first if f.quantity not in there]
            bad += [replace(f, verdict=Verdict.INCONCLUSIVE, note="not returned") for f in gone]
        return [
            replace(
                f,
                quantity=Quantity(f"{f.quantity}, second call"),
                note=f"{SECOND}; {f.note.partition('; judged from end to end')[0]}",
                power=None,
                final=False,
                strict=self.strict,
            )
            for f in bad
        ]

    def _findings(self, case: Case, ran: Outcome) -> list[Finding]:
        """Findings of one run; returned results are judged, whatever else is wrong."""
        found = list(_problems(ran))
        if not ran.failed:
            try:
                found += self._judged(case, ran.result)
            except FormulaError as error:  # the network's own: there is no referee for this case
                found.append(_unknown(EVERYTHING, str(error)))
            if not any(f.final or f.quantity == EVERYTHING for f in found):
                said = "no parameter or input gradient was returned, so no gradient was checked"
                found.append(_unknown(GRADIENTS, said))
            found += _too_fine(case, ran.result)
        if case.precision.name == "float64":
            self._in_float64.setdefault(case.name, found)
        return found

    def _judged(self, case: Case, result: Any) -> list[Finding]:
        """The verdicts on results; those that are all of a coarser dtype are judged as that dtype.

        The dtype is then a finding of its own.
        """
        precision = precision_of(case, result)
        narrow = precision is not case.precision
        own = case.astype(precision.name) if narrow else case
        if narrow and isinstance(result, Trace):
            result = replace(result, precision="")
        judge = judge_trace if isinstance(result, Trace) else judge_results
        evidence = None if narrow else partial(self._evidence, case)
        judged = judge(own, result, evidence, self.allow)
        found = with_untested(own, results_of(own, result).arrays, judged)
        if narrow:
            coarser = results_of(case, result).coarser
            found += finding_of_dtypes(case, coarser, coarser)
        return found

    def _evidence(self, case: Case) -> dict[str, Finding]:
        """The float64 findings of a case by quantity, computed only if the judge asks.

        A result of another dtype there is no evidence: code that computes in float32 whatever it is
        given is judged in float32 alone.
        """
        if case.name not in self._in_float64:
            wide = case.astype(np.float64)
            (ran,) = outcomes(self.implementation, [wide], self.device)
            self._findings(wide, ran)
        found = {f.quantity: f for f in self._in_float64[case.name]}
        return {} if DTYPE in found else {q: f for q, f in found.items() if f.elements}

    def _reported(self, finding: Finding, case: Case) -> Finding:
        """The finding as the report has it; evidence in float64 is never strict."""
        return replace(self._with_default(finding, case), strict=self.strict)

    def _with_default(self, finding: Finding, case: Case) -> Finding:
        """Add the framework's default at such a kink, measured now."""
        if finding.kinks is None or isinstance(self.implementation, Function):
            return finding
        op = next(step.op for step in case.network.steps if step.name == finding.node)
        taken = usual(self.implementation, op, case.twin.get(finding.node, ""))
        if taken is None:
            return finding
        slopes = {} if isinstance(taken, str) else set(taken.values())
        said = taken if isinstance(taken, str) else " or ".join(f"{s:.4g}" for s in slopes)
        return replace(finding, kinks=replace(finding.kinks, usual=said))


def _same(arrays: Mapping[Quantity, NDArray], second: Results) -> bool:
    """Whether a second call returned the same numbers, and nothing that cannot be compared."""
    return (
        bool(arrays)
        and not second.problems
        and not second.turned
        and arrays.keys() == second.arrays.keys()
        and all(np.array_equal(a, second.arrays[q], equal_nan=True) for q, a in arrays.items())
    )


def _problems(ran: Outcome) -> Iterator[Finding]:
    if ran.changed:
        yield Finding(Quantity("inputs"), "", "", Verdict.MISMATCH, 0, note=ran.changed)
    if ran.failed:
        yield _unknown(EVERYTHING, ran.failed)


def _too_fine(case: Case, result: Any) -> Iterator[Finding]:
    """A finding that says nothing about parity, where bfloat16 results have too many digits.

    They are stored as float32, which code that computes in float32 fills.
    """
    if case.precision.name != "bfloat16":
        return
    arrays = {q: a for q, a in results_of(case, result).arrays.items() if q != ERR}
    finer = [q for q, a in arrays.items() if not _fits_in(case.precision, a)]
    if finer:
        note = (
            f"{len(finer)} of {len(arrays)} results have more digits than bfloat16, such as "
            f"{finer[0]!r}, so they were not rounded to bfloat16"
        )
        yield Finding(Quantity("number format"), "", "", Verdict.VACUOUS, 0, note=note)


def _fits_in(precision: Precision, array: NDArray) -> bool:
    """Whether rounding changes nothing."""
    with np.errstate(all="ignore"):
        return bool(np.array_equal(precision.round(array), array, equal_nan=True))


def _unknown(q: Quantity, note: str) -> Finding:
    return Finding(q, "", "", Verdict.INCONCLUSIVE, 0, note=note)
