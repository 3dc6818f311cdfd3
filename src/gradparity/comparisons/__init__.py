"""The comparison suite: Case -> adapter -> Trace -> judge -> Findings -> Report.

Node by node
    expected     what a correct implementation may have computed at one node (Bounded formulas)
    levels       under which arithmetic, from the sharpest bound to the widest, and coarser ones
    kinks        what is valid at a kink, and what was taken there;  power: what would be caught
    judge        from a trace to a verdict on every quantity
From end to end
    whole        what is expected of final results, and how far the whole network rounds them
    branches, multipliers   what may have been taken at kinks that are not seen
    end_to_end   from some final results to a verdict on each
Conventions
    choices      other ops and losses;  alternatives: other cases and tensors
    conventions  which named alternative explains a quantity;  whole_conventions: final results
Everything together
    check        every case through every implementation and dtype
    report       the findings together;  finding: one of them;  render: as text and JSON
    suite        the built-in cases;  digits: real images;  traces, results: checked on the way in
Around it
    probe, atlas, atlas_rules, atlas_text         what the frameworks take at kinks, measured
    selftest, faults, planting, subjects, selftest_text   faults planted in order to be caught
    trajectories, twins                           whole training runs;  formulas: read off the code
"""

from .check import check
from .end_to_end import judge_end_to_end
from .finding import Census, Finding, Power, Verdict
from .judge import judge
from .probe import probe
from .report import Difference, Report, Run
from .selftest import selftest

__all__ = [
    "Census",
    "Difference",
    "Finding",
    "Power",
    "Report",
    "Run",
    "Verdict",
    "check",
    "judge",
    "judge_end_to_end",
    "probe",
    "selftest",
]
