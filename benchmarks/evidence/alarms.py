"""Right gradients: which checkers reject them."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cache

import numpy as np

import gradparity as gp
from gradparity.comparisons.explain.fault_sites import fault_sites, quantity
from gradparity.comparisons.findings.finding import Finding, Verdict
from gradparity.core import Case, Trace, backprop

from .checkers import (
    AGAINST,
    FUNCTIONS,
    RIGHT,
    WRONG,
    end_to_end,
    final,
    node_by_node,
    reference,
    said,
)
from .networks import KINDS, architecture, case_of
from .orders import ORDERS, summing
from .tables import markdown, stamp
from .tally import Tally

__all__ = ["FULL", "QUICK", "Counted", "measure", "tables"]

#: kind -> (architectures, numbers for each, how many of those are judged end to end as well)
FULL = {
    "ReLU": (8, 60, 3), "tanh": (6, 40, 3), "softmax": (6, 40, 3), "DAG": (10, 48, 3),
    "deep": (6, 20, 1), "wide": (4, 4, 1), "deep and wide": (2, 2, 0), "all-positive": (6, 30, 3),
    "saturated": (6, 30, 3), "exact kinks": (6, 30, 1), "scaled": (6, 30, 2),
    "summation order": (6, 8, 1), "small": (8, 30, 3),
}  # fmt: skip
QUICK = {kind: (min(n, 3), min(m, 2), min(e, 1)) for kind, (n, m, e) in FULL.items()} | {
    "deep and wide": (0, 0, 0),
    "wide": (1, 1, 0),
}
#: Finite differences: as many numbers of every small network.
DIFFERENCES = 2
PRECISIONS = ("float64", "float32")
LOW = ("float16", "bfloat16")
Run = Callable[[list[Case]], list[Trace]]


@dataclass
class Counted:
    """The counts by kind and dtype, and every alarm in full."""

    tally: dict[str, Tally] = field(default_factory=lambda: {d: Tally() for d in PRECISIONS + LOW})
    quantities: Counter[str] = field(default_factory=Counter)  # by verdict
    low: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    by_run: Counter[tuple[str, str]] = field(default_factory=Counter)
    alarms: list[str] = field(default_factory=list)

    def triples(self) -> int:
        """Number of (network, implementation, dtype) triples; every quantity of each is judged."""
        return sum(tally.judged("node by node") for tally in self.tally.values())


def implementations(kind: str) -> dict[str, Run]:
    """The implementations that compute the right gradients of a kind."""
    if kind == "summation order":
        return {order: _one_by_one(summing(order)) for order in ORDERS}
    runs: dict[str, Run] = {"core": _one_by_one(backprop)}
    return runs | {name: gp.get_adapter(name).run_all for name in ("torch", "jax")}


def _one_by_one(run: Callable[[Case], Trace]) -> Run:
    return lambda cases: [run(case) for case in cases]


def measure(plan: dict[str, tuple[int, int, int]], first: int = 0) -> Counted:
    """Measure the whole plan: seeds of architectures from 0, seeds of numbers from `first`."""
    counted = Counted()
    for kind, (networks, numbers, ends) in plan.items():
        built = [architecture(kind, seed) for seed in range(networks)]
        for seed in range(first, first + numbers) if networks else ():
            cases = [case_of(a, seed) for a in built]
            for name, run in implementations(kind).items():
                _measure(counted, kind, name, run, cases, seed - first < ends)
            if kind in ("small", "exact kinks") and seed - first < DIFFERENCES:
                _differences(counted, kind, cases)
        print(f"{kind}: {counted.triples()} triples so far, {len(counted.alarms)} alarms",
              file=sys.stderr, flush=True)  # fmt: skip
    return counted


def _measure(
    counted: Counted, kind: str, name: str, run: Run, cases: list[Case], ends: bool
) -> None:
    """Measure one implementation on one case of every architecture of a kind."""
    double = [case.astype("float64") for case in cases]
    known = list(zip(double, run(double), strict=True))
    for i, (case, trace) in enumerate(known):
        _judge(counted, kind, name, case, trace, known[i], ends)
    for dtype in ("float32", *(LOW if kind == "scaled" else ())):
        rounded = [case.astype(dtype) for case in cases]
        for i, (case, trace) in enumerate(zip(rounded, run(rounded), strict=True)):
            _judge(counted, kind, name, case, trace, known[i], ends)


def _judge(
    counted: Counted,
    kind: str,
    name: str,
    case: Case,
    trace: Trace,
    known: tuple[Case, Trace],
    ends: bool,
) -> None:
    """Run all checkers on one trace, and record each alarm in full."""
    dtype = case.precision.name
    tally = counted.tally[dtype]
    other = None if dtype == "float64" else (known[0], cache(lambda: known[1]))
    findings = node_by_node(case, trace, other)
    counted.by_run[kind, name] += 1
    if dtype in LOW:
        _low(counted, case, trace, findings, name)
        alarms = [f for f in findings if f.parity is False and f.verdict is not Verdict.IMPRECISE]
        tally.add(kind, "node by node", WRONG if alarms else RIGHT)
    else:
        counted.quantities.update(str(f.verdict) for f in findings)
        alarms = [f for f in findings if f.parity is False]
        tally.add(kind, "node by node", said(findings))
    where = f"{case.name}, {name} {dtype}, {case.network.scale:g}"
    counted.alarms += [f"node by node, {where}: {f}" for f in alarms]
    if dtype in LOW:
        return
    if ends:
        found = end_to_end(case, trace, other)
        tally.add(kind, "end to end", said(found))
        counted.alarms += [f"end to end, {where}: {f}" for f in found if f.parity is False]
    got, want = final(case, trace), reference(case)
    for checker, against in AGAINST.items():
        if against:
            tally.add(kind, checker, against(got, want))


def _low(counted: Counted, case: Case, trace: Trace, findings: list[Finding], name: str) -> None:
    """Count the verdicts in low precision, and non-finite results that pass."""
    arrays = {site.quantity: quantity(trace, site) for site in fault_sites(case)}
    for f in findings:
        dtype = case.precision.name
        counted.low[name, dtype, str(f.verdict)] += 1
        if not np.isfinite(arrays[f.quantity]).all():
            counted.low[name, dtype, "not finite"] += 1
            if f.parity:
                counted.low[name, dtype, "not finite, passed"] += 1
                counted.alarms.append(f"passed though not finite, {case.name}, {name} {dtype}: {f}")


def _differences(counted: Counted, kind: str, cases: list[Case]) -> None:
    """Run the finite-difference checkers on small networks, with gradients from PyTorch."""
    for dtype in PRECISIONS:
        for case in (case.astype(dtype) for case in cases):
            if sum(p.size for p in case.params.values()) > 1500:
                continue
            got = final(case, gp.get_adapter("torch").run(case))
            for checker, (check, dtypes) in FUNCTIONS.items():
                if dtype in dtypes:
                    counted.tally[dtype].add(kind, checker, check(case, got))


def tables(quick: bool) -> str:
    plan = QUICK if quick else FULL
    counted = measure(plan)
    n, alarms = counted.triples(), len(counted.alarms)
    ends = sum(alarm.startswith("end to end") for alarm in counted.alarms)
    parts = [
        f"Right gradients called wrong, of those judged ({stamp(quick, _seeds(plan))}). "
        f"{n} (network, implementation, dtype) triples, {counted.quantities.total()} quantities "
        f"in float64 and float32 node by node; false alarms of gradparity, in quantities: "
        f"{alarms - ends} node by node, {ends} end to end."
    ]
    for dtype in ("float32", "float64"):
        tally = counted.tally[dtype]
        parts += [f"**{dtype}, by kind**", tally.table("kind", (k for k in plan if plan[k][0]))]
    parts += ["**Verdicts, float64 and float32**", _verdicts(counted)]
    parts += ["**Low precision (loss scaled), quantities by verdict**", _low_table(counted)]
    parts += ["**Who computed them**", _runs(counted, plan)]
    if alarms:
        parts += ["**Every alarm**", "\n".join(f"- {alarm}" for alarm in counted.alarms[:100])]
    return "\n\n".join(parts)


def _seeds(plan: dict[str, tuple[int, int, int]]) -> str:
    numbers = max(m for _, m, _ in plan.values())
    return f"seeds of architectures from 0, of numbers 0 to {numbers - 1}"


def _verdicts(counted: Counted) -> str:
    return markdown(["verdict", "quantities"], sorted(counted.quantities.items()))


def _low_table(counted: Counted) -> str:
    rows = sorted({(name, dtype) for name, dtype, _ in counted.low})
    columns = [*map(str, Verdict), "not finite", "not finite, passed"]
    body = [[f"{n} {d}", *(counted.low[n, d, column] for column in columns)] for n, d in rows]
    return markdown(["implementation", *columns], body)


def _runs(counted: Counted, plan: dict[str, tuple[int, int, int]]) -> str:
    def rows() -> Iterator[list[object]]:
        for kind in (k for k in plan if plan[k][0]):
            by = {name: n for (k, name), n in counted.by_run.items() if k == kind}
            said = ", ".join(f"{name} {n}" for name, n in by.items())
            yield [
                f"{kind}: {KINDS[kind][0]}",
                plan[kind][0],
                plan[kind][1],
                sum(by.values()),
                said,
            ]

    head = ["kind", "architectures", "numbers for each", "triples", "by implementation"]
    return markdown(head, rows())
