"""The comparison suite: Case -> adapter -> Trace -> judge -> Findings -> Report.

check         every case through every implementation and dtype
ops/          one op of a user's own: `check_op`
nodes/        node by node: from a trace to a verdict on every quantity, each on its own inputs
whole/        end to end: from some final results to a verdict on each
conventions/  which named alternative explains a quantity
report        the findings together;  finding: one of them;  elements, graph: what it keeps
render        as text;  stored: as JSON and back;  page/: as one page of HTML
changes       from one report to another;  changes_text: in words
diagnosis     what is wrong, in words
power         what would have been caught;  hints: what a mismatch looks like
suite         the built-in cases;  digits: real images;  formulas: read off the code
atlas/        `probe`: what the frameworks take at kinks, measured
selftest/     faults planted in order to be caught
training/     whole training runs side by side
"""

from .atlas.probe import probe
from .changes import Changes, compare
from .check import check
from .finding import Census, Finding, Power, Verdict
from .nodes.judge import judge
from .ops.own_op import OwnOp, check_op
from .report import Difference, Report, Run
from .selftest.selftest import selftest
from .whole.end_to_end import judge_end_to_end

__all__ = [
    "Census",
    "Changes",
    "Difference",
    "Finding",
    "OwnOp",
    "Power",
    "Report",
    "Run",
    "Verdict",
    "check",
    "check_op",
    "compare",
    "judge",
    "judge_end_to_end",
    "probe",
    "selftest",
]
