"""The comparison suite: Case -> adapter -> Trace -> judge -> Findings -> Report.

cases/      the built-in cases: a suite, and real images of digits
findings/   what was found about one quantity
measure/    references, their bounds, kinks, and what would have been caught
explain/    which convention, mistake or known fault explains a mismatch
recording/  what a real program did, judged while it runs
aligning/   two such programs side by side, and which parameter is which
optimizers/ the step of an optimizer against its rule
judge/      from numbers to findings: node by node, by name, end to end
report/     findings together, as text, JSON and a page; what changed between two reports
running/    implementations under test, and their progress
check/      every case through every implementation and dtype;  check_op/: one op of a user's own
atlas/      `probe`: what the frameworks take at kinks, measured
selftest/   faults planted in order to be caught
lecture/    formulas read off the code, and whole training runs side by side
"""

from .aligning.align import align
from .aligning.parameters.mapping import Match, ParameterMap, map_parameters
from .aligning.parameters.transfer import transfer
from .aligning.steps import align_steps
from .atlas.probe import probe
from .check.check import check
from .check_op.own_op import OwnOp, check_op
from .findings.finding import Finding, KinkSummary, Power, Verdict
from .judge.end_to_end import judge_end_to_end
from .judge.node_by_node import judge
from .optimizers.check_optimizer import check_optimizer
from .optimizers.check_schedule import check_schedule
from .recording.check_function import check_function
from .recording.guard import GradientError, Guard, guard
from .recording.record import record
from .recording.recording import Recording
from .recording.rule import rule
from .report.change_records import Changes
from .report.changes import compare
from .report.records import Difference, Run
from .report.report import Report
from .selftest.run import selftest

# Each of these registers the printer of a record.
from .report import as_json as as_json, as_text as as_text, changes_text as changes_text  # isort: skip
from .report import diagnosis as diagnosis  # isort: skip
from .report.page import html as html  # isort: skip
from .selftest import as_text as selftest_text  # isort: skip  # noqa: F401

__all__ = [
    "Changes",
    "Difference",
    "Finding",
    "GradientError",
    "Guard",
    "KinkSummary",
    "Match",
    "OwnOp",
    "ParameterMap",
    "Power",
    "Recording",
    "Report",
    "Run",
    "Verdict",
    "align",
    "align_steps",
    "check",
    "check_function",
    "check_op",
    "check_optimizer",
    "check_schedule",
    "compare",
    "guard",
    "judge",
    "judge_end_to_end",
    "map_parameters",
    "probe",
    "record",
    "rule",
    "selftest",
    "transfer",
]
