"""A report: the findings of every run, the environment, and the conclusion."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..findings.finding import Finding
from ..findings.shown import PRINTERS, Shown
from .graph import Graph
from .records import Difference, Run

__all__ = ["Report"]


@dataclass(frozen=True)
class Report(Shown):
    """Everything `check` found.  ``bool(report)`` is parity; ``print(report)`` shows all.

    Attributes
    ----------
    runs : one per case, implementation and dtype.
    differences : implementation against implementation.
    skipped : adapter -> the reason why it was not used.
    environment : versions and number of CPUs.
    graphs : case -> its network, for a picture.
    """

    runs: tuple[Run, ...]
    differences: tuple[Difference, ...] = ()
    skipped: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    graphs: dict[str, Graph] = field(default_factory=dict)

    @property
    def exit_code(self) -> int:
        """0 for parity, 1 for a fault or a convention that is not allowed, 2 for unknown."""
        codes = {run.exit_code for run in self.runs}
        return 1 if 1 in codes else max(codes, default=2)

    def __bool__(self) -> bool:
        return self.exit_code == 0

    def findings(self) -> list[tuple[Run, Finding]]:
        """Every finding with the run it belongs to."""
        return [(run, finding) for run in self.runs for finding in run.findings]

    def __repr__(self) -> str:
        return f"<Report: {self.shown('headline')}>"

    def diagnosis(self) -> str:
        """Explain each fault once: where and why, the earliest first."""
        return self.shown("diagnosis")

    def to_html(self, *, title: str = "") -> str:
        """The report as one page of HTML, without scripts or requests."""
        return self.shown("html", title=title)

    @staticmethod
    def from_json(text: str) -> Report:
        """Read a report that `to_json` wrote; raise ValueError for anything else."""
        report: Report = PRINTERS[Report, "from json"](text)
        return report
