"""Wrong gradients, planted by kind: which checker calls them wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import cache, partial

import numpy as np

import gradparity as gp
from gradparity.core import Case, Trace

from .checkers import AGAINST, FUNCTIONS, end_to_end, final, node_by_node, reference, said
from .networks import SCALES, architecture, case_of
from .planted import FAULTS, KIND_OF_NETWORK, planted
from .tables import markdown, stamp
from .tally import Tally

__all__ = ["DTYPES", "measure", "tables"]

DTYPES = ("float32", "float64")
KINDS = ("ReLU", "tanh", "softmax", "DAG", "deep", "all-positive", "exact kinks", "small")


class Planted:
    """What was counted, by dtype, by fault and by loss scale."""

    def __init__(self) -> None:
        self.by_fault = {dtype: Tally() for dtype in DTYPES}
        self.by_scale = {dtype: Tally() for dtype in DTYPES}
        self.equivalent: Counter[tuple[str, str]] = Counter()

    def add(self, dtype: str, fault: str, scale: float, checker: str, what: str) -> None:
        self.by_fault[dtype].add(fault, checker, what)
        self.by_scale[dtype].add(_power(scale), checker, what)


def _power(scale: float) -> str:
    return f"2^{int(np.log2(scale))}"


def cases(networks: int, first: int = 0) -> Iterator[tuple[str, float, int, Case]]:
    """(kind, loss scale, seed, case): the same numbers under every scale."""
    for kind in KINDS:
        for seed in range(first, first + networks):
            for scale in SCALES:
                yield kind, scale, seed, case_of(architecture(kind, seed, scale), seed)


def measure(networks: int, first: int = 0) -> Planted:
    """Every fault in every network, under every loss scale, in both dtypes."""
    counted = Planted()
    torch = gp.adapter("torch")
    for kind, scale, seed, case in cases(networks, first):
        both = {dtype: case.astype(dtype) for dtype in DTYPES}
        traces = {dtype: torch.run(both[dtype]) for dtype in DTYPES}
        for number, fault in enumerate(FAULTS):
            if kind != "small" and KIND_OF_NETWORK.get(fault, kind) != kind:
                continue
            wrong = {d: planted(both[d], traces[d], fault, 100 * seed + number) for d in DTYPES}
            for dtype in DTYPES:
                trace = wrong[dtype]
                if trace is None:
                    continue
                if _equal(traces[dtype], trace, both[dtype]):
                    counted.equivalent[dtype, fault] += 1
                    continue
                add = partial(counted.add, dtype, fault, scale)
                in_float64 = (both["float64"], cache(lambda t=wrong["float64"]: t))
                for checker, what in verdicts(both[dtype], trace, in_float64, kind == "small"):
                    add(checker, what)
    return counted


def _equal(right: Trace, wrong: Trace, case: Case) -> bool:
    """Whether everything a user trains with is the same, bit by bit (but for the sign of 0)."""
    a, b = final(case, right), final(case, wrong)
    return all(np.array_equal(a[p], b[p], equal_nan=True) for p in a)


def verdicts(case: Case, trace: Trace, in_float64: tuple, small: bool) -> Iterator[tuple[str, str]]:
    """(checker, what it says) of every checker; finite differences only where they are quick."""
    other = None if case.dtype == np.float64 else in_float64
    yield "node by node", said(node_by_node(case, trace, other))
    yield "end to end", said(end_to_end(case, trace, other))
    got, want = final(case, trace), reference(case)
    for name, against in AGAINST.items():
        if against:
            yield name, against(got, want)
    for name, (check, dtypes) in FUNCTIONS.items():
        if small and case.dtype.name in dtypes:
            yield name, check(case, got)


def tables(quick: bool) -> str:
    networks = 1 if quick else 4
    counted = measure(networks)
    parts = [f"Wrong gradients called wrong, of those planted ({stamp(quick, _seeds(networks))})."]
    for dtype in DTYPES:
        equivalent = ("equivalent", lambda fault, d=dtype: _equivalent(counted, d, fault))
        parts.append(f"**{dtype}, by fault**")
        parts.append(counted.by_fault[dtype].table("fault", FAULTS, [equivalent]))
        parts.append(f"**{dtype}, by loss scale**")
        parts.append(counted.by_scale[dtype].table("loss times", map(_power, SCALES)))
    rows = [[what, *numbers] for what, *numbers in _networks(networks)]
    parts += ["**Networks**", markdown(["kind", "networks", "loss scales"], rows)]
    return "\n\n".join(parts)


def _networks(networks: int) -> list[tuple[str, int, int]]:
    return [(kind, networks, len(SCALES)) for kind in KINDS]


def _seeds(networks: int) -> str:
    return f"network seeds 0 to {networks - 1}"


def _equivalent(counted: Planted, dtype: str, fault: str | None) -> int:
    return sum(n for (d, f), n in counted.equivalent.items() if d == dtype and fault in (None, f))
