"""A report: the findings of every run, what they were found with, and what follows."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..findings.finding import Finding
from ..findings.shown import PRINTERS, Shown
from .graph import Graph
from .records import Difference, Run

__all__ = ["Report"]


@dataclass(frozen=True)
class Report(Shown):
    """Everything `check` found.  ``bool(report)`` is parity; ``print(report)`` tells all.

    Attributes
    ----------
    runs : one per case, implementation and dtype.
    differences : implementation against implementation.
    skipped : adapter -> why it was not used.
    environment : versions and threads.
    graphs : case -> its network, for a picture.
    """

    runs: tuple[Run, ...]
    differences: tuple[Difference, ...] = ()
    skipped: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    graphs: dict[str, Graph] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """0 parity; 1 a mismatch, convention or imprecise; 2 unknown, or nothing was compared."""
        codes = [run.exit_code for run in self.runs]
        if 1 in codes:
            return 1
        return 2 if not codes or 2 in codes else 0

    def __bool__(self) -> bool:
        return self.exit_code == 0

    def findings(self) -> list[tuple[Run, Finding]]:
        """Every finding with the run it belongs to."""
        return [(run, finding) for run in self.runs for finding in run.findings]

    def __repr__(self) -> str:
        return f"<Report: {self.shown('headline')}>"

    def diagnosis(self) -> str:
        """Explain the faults in short: where and why, the worst first, each once."""
        return self.shown("diagnosis")

    def to_html(self, *, title: str = "") -> str:
        """The report as one page of HTML, which needs no script and no network."""
        return self.shown("html", title=title)

    @staticmethod
    def from_json(text: str) -> Report:
        """The report that `to_json` wrote; raises ValueError for anything else."""
        report: Report = PRINTERS[Report, "from json"](text)
        return report
