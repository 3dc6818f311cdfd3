"""The comparison suite: Case -> adapter -> Trace -> judge -> Findings -> Report.

expected   what a correct implementation may have computed at one node (Bounded formulas)
kinks      what is valid at a kink, and what was taken there
judge      from a trace to a verdict on every quantity
check      every case through every implementation and dtype
report     the findings together;  render: as text and JSON
suite      the built-in cases;  digits: real images;  traces: a trace is complete
"""

from .check import check
from .finding import Census, Finding, Verdict
from .judge import judge
from .report import Difference, Report, Run

__all__ = ["Census", "Difference", "Finding", "Report", "Run", "Verdict", "check", "judge"]
