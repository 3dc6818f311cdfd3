"""The conformance suite for adapters: what every adapter promises, asked of one.

The author of an adapter calls `check_adapter`, or writes a test class on `AdapterConformance`;
`checks` are the single checks both are made of.  Nothing here knows a framework.

subject        the adapter under examination
trace          the protocol, and what a trace has to show
boundary       copies, running, errors, global state
networks       every op and divergence, branches, kinks, number formats, what is optional
suite          all of them by name;  results: asked in a row;  under_pytest: each a test
"""

from .results import CheckResult, CheckResults, check_adapter
from .suite import checks
from .under_pytest import AdapterConformance

__all__ = ["AdapterConformance", "CheckResult", "CheckResults", "check_adapter", "checks"]
