"""Records of a report: runs, differences, and the environment they were made in."""

from __future__ import annotations

import math
import os
import platform
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version

from ...core.network.quantity import Quantity
from ..findings.finding import Finding, Verdict, exit_code

__all__ = ["Difference", "Run", "environment", "share"]


@dataclass(frozen=True)
class Run:
    """One case, one implementation, one dtype.

    Attributes
    ----------
    case, adapter, dtype : the names of the three.
    findings : one per quantity.
    about : what the case is for.
    missing : gradients of parameters and of x that were not returned, and so not compared.
    """

    case: str
    adapter: str
    dtype: str
    findings: tuple[Finding, ...]
    about: str = ""
    missing: tuple[Quantity, ...] = ()

    @property
    def column(self) -> str:
        """Implementation and dtype, which head a column of the report."""
        return f"{self.adapter} {self.dtype}"

    @property
    def worst(self) -> Finding:
        """The finding with the worst verdict, and among those the one nearest to its bound."""
        return max(self.findings, key=lambda f: (f.verdict.badness, share(f)))

    @property
    def verdict(self) -> Verdict:
        """The worst verdict; vacuous only if nothing else was found (it is a note per quantity)."""
        telling = [f.verdict for f in self.findings if f.verdict is not Verdict.VACUOUS]
        return max(telling, key=lambda v: v.badness, default=Verdict.VACUOUS)

    @property
    def exit_code(self) -> int:
        """As `Report.exit_code`; a run none of whose final gradients is above zero tested none."""
        code = exit_code(list(self.findings))
        final = {f.verdict for f in self.findings if f.final}
        chosen = any(f.verdict is Verdict.SUBGRADIENT for f in self.findings)
        return 2 if code == 0 and final == {Verdict.VACUOUS} and not chosen else code

    @property
    def nearest(self) -> float:
        """The largest share of its bound that any quantity used."""
        return max((share(f) for f in self.findings), default=0.0)


@dataclass(frozen=True)
class Difference:
    """Two implementations side by side: a conclusion from their verdicts, and the plain difference.

    Attributes
    ----------
    case, dtype : what both were given.
    first, second : the names of the two.
    parity : both agree with the hand-derived gradient, hence with each other; None if unknown.
    quantity, units : the final gradient that differs most, in u of its largest element.
    choices : they took different valid choices, at a kink or of a random slope: no rounding.
    why : in words, where they took different choices at a kink.
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
    """Versions and threads, without importing anything."""
    return dict(_environment())


def share(finding: Finding) -> float:
    """The error as a share of its bound; infinite for NaN."""
    if not finding.bound:
        return math.inf if finding.error else 0.0
    part = finding.error / finding.bound
    return math.inf if math.isnan(part) else part
