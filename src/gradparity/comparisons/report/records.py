"""Records of a report: runs, differences, and the environment they were made in."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version

from ...core.network.quantity import Quantity
from ..findings.finding import ONLY_AT_KINKS, SUM, Finding, Verdict, exit_code
from ..findings.layout import grouped

__all__ = [
    "ALIGNED",
    "PARITY",
    "WORD",
    "Difference",
    "Run",
    "by_case",
    "columns_of",
    "environment",
    "quantities",
    "share",
]

#: The "dtype" of a run in which two programs are compared with each other; its `about` is the
#: answer in one sentence.
ALIGNED = "values"
#: Meaning of an exit code.
PARITY = {0: True, 1: False, 2: None}
WORD = {0: "PARITY", 1: "NO PARITY", 2: "UNKNOWN"}


@dataclass(frozen=True)
class Run:
    """One case, one implementation, one dtype.

    Attributes
    ----------
    case, adapter, dtype : the names of the three.
    findings : one per quantity.
    about : the purpose of the case.
    missing : gradients of parameters and of x that were not returned, so not compared.
    unexercised : what the data never exercises, such as the negative side of a ReLU.
    coverage : of a recording, how many of its nodes were judged; "" for a written network.
    """

    case: str
    adapter: str
    dtype: str
    findings: tuple[Finding, ...]
    about: str = ""
    missing: tuple[Quantity, ...] = ()
    unexercised: tuple[str, ...] = ()
    coverage: str = ""

    @property
    def column(self) -> str:
        """Implementation and dtype, the heading of a column of the report."""
        return f"{self.adapter} {self.dtype}"

    @property
    def answer(self) -> str:
        """One sentence on whether two compared programs are the same; "" for any other run."""
        return self.about if self.dtype == ALIGNED else ""

    @property
    def worst(self) -> Finding:
        """The finding with the worst verdict, and among those the one nearest to its bound."""
        return max(self.findings, key=lambda f: (f.verdict.badness, share(f)))

    @property
    def verdict(self) -> Verdict:
        """The worst verdict; vacuous only if every finding is."""
        telling = [f.verdict for f in self.findings if f.verdict is not Verdict.VACUOUS]
        return max(telling, key=lambda v: v.badness, default=Verdict.VACUOUS)

    @property
    def exit_code(self) -> int:
        """As `Report.exit_code`; also 2 if a final gradient, or every one, was not tested."""
        code = exit_code(list(self.findings))
        return 2 if code == 0 and (self.untested or self.all_zero) else code

    @property
    def untested(self) -> tuple[Quantity, ...]:
        """Final gradients that test nothing, without those that are zero by structure."""
        return tuple(f.quantity for f in self.findings if f.untested)

    @property
    def all_zero(self) -> bool:
        """Whether every final gradient is zero or below its own bound."""
        final = [f for f in self.findings if f.final]
        silent = [f.verdict is Verdict.VACUOUS or ONLY_AT_KINKS in f.note for f in final]
        return bool(final) and all(silent)

    @property
    def nearest(self) -> float:
        """The largest share of its bound that any quantity used."""
        return max((share(f) for f in self.findings), default=0.0)


@dataclass(frozen=True)
class Difference:
    """Two implementations side by side: the conclusion from their verdicts, and the difference.

    Attributes
    ----------
    case, dtype : the input of both.
    first, second : the names of the two.
    parity : whether both agree with the hand-derived gradient, hence with each other; None if
        unknown.
    quantity, units : the final gradient that differs most, in u of its largest element.
    choices : whether they took different valid choices, at a kink or of a random slope; the
        difference is then not rounding.
    why : descriptions of the kinks where their choices differ.
    """

    case: str
    dtype: str
    first: str
    second: str
    parity: bool | None
    quantity: Quantity
    units: float
    choices: bool
    why: tuple[str, ...] = ()


@cache
def _environment() -> tuple[tuple[str, str], ...]:
    found = {
        "gradparity": version("gradparity"),
        "python": platform.python_version(),
        "numpy": version("numpy"),
        "platform": f"{platform.system()} {platform.machine()}",
        "cpus": str(os.cpu_count()),
    }
    return tuple(found.items())


def environment() -> dict[str, str]:
    """Versions and number of CPUs; no framework is imported for it."""
    return dict(_environment())


def by_case(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """The runs of each case, in the order of the report."""
    return grouped((run.case, run) for run in runs)


def columns_of(runs: Sequence[Run]) -> list[str]:
    """The headings of all columns, each once."""
    return list(dict.fromkeys(run.column for run in runs))


def quantities(runs: Sequence[Run]) -> Iterator[tuple[Quantity, list[Finding | None]]]:
    """Each quantity with its finding in every run, None where it was not returned.

    An exact sum over uses is left out: with a single use it repeats the gradient of that use.
    """
    found = [{f.quantity: f for f in run.findings} for run in runs]
    for quantity in dict.fromkeys(q for findings in found for q in findings):
        row = [findings.get(quantity) for findings in found]
        if any(f and (f.op != SUM or f.verdict is not Verdict.EXACT) for f in row):
            yield quantity, row


def share(finding: Finding) -> float:
    """The error as a share of its bound; infinite for NaN."""
    if not finding.bound:
        return math.inf if finding.error else 0.0
    part = finding.error / finding.bound
    return math.inf if math.isnan(part) else part
