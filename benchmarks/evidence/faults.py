"""Wrong gradients, planted by kind: which checkers detect them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache, partial

import numpy as np

import gradparity as gp
from gradparity.core import Case, Trace

from .checkers import AGAINST, FUNCTIONS, end_to_end, final, node_by_node, reference, said
from .networks import SCALES, architecture, case_of
from .planted import FAULTS, KIND_OF_NETWORK, planted
from .tables import markdown, stamp
from .tally import Tally

__all__ = ["DTYPES", "cases", "measure", "tables"]

DTYPES = ("float32", "float64")
#: Stands for no fault: whoever objects raises a false alarm.
NONE = "none"
KINDS = ("ReLU", "tanh", "softmax", "DAG", "deep", "all-positive", "exact kinks", "small")


class Planted:
    """The counts by dtype, by fault and by loss scale."""

    def __init__(self) -> None:
        self.by_fault = {dtype: Tally() for dtype in DTYPES}
        self.by_scale = {dtype: Tally() for dtype in DTYPES}
        self.right = {dtype: Tally() for dtype in DTYPES}
        self.equivalent: Counter[tuple[str, str]] = Counter()

    def add(self, dtype: str, fault: str, scale: float, checker: str, what: str) -> None:
        if fault == NONE:
            self.right[dtype].add(_power(scale), checker, what)
            return
        self.by_fault[dtype].add(fault, checker, what)
        self.by_scale[dtype].add(_power(scale), checker, what)


def _power(scale: float) -> str:
    return f"2^{int(np.log2(scale))}"


def cases(
    networks: int, kinds: Collection[str] = KINDS, scales: Sequence[float] = SCALES
) -> Iterator[tuple[str, float, int, Case]]:
    """Yield (kind, loss scale, seed, case), with the same numbers at every scale."""
    for kind in kinds:
        for seed in range(number_of(kind, networks)):
            for scale in scales:
                yield kind, scale, seed, case_of(architecture(kind, seed, scale), seed)


def number_of(kind: str, networks: int) -> int:
    """Return the number of networks of a kind: more if only this kind can have some fault."""
    return 3 * networks if kind in KIND_OF_NETWORK.values() else networks


def measure(given: Iterable[tuple[str, float, int, Case]], ends: Collection[str]) -> Planted:
    """Measure every fault in every case, in both dtypes.

    Parameters
    ----------
    given : what `cases` gives.
    ends : kinds whose first network is judged end to end as well.
    """
    counted = Planted()
    torch = gp.get_adapter("torch")
    for kind, scale, seed, case in given:
        both = {dtype: case.astype(dtype) for dtype in DTYPES}
        right = {dtype: torch.run(both[dtype]) for dtype in DTYPES}
        want = {dtype: reference(both[dtype]) for dtype in DTYPES}
        for number, fault in enumerate((NONE, *FAULTS)):
            if kind != "small" and KIND_OF_NETWORK.get(fault, kind) != kind:
                continue
            wrong: dict[str, Trace | None] = {**right}
            if fault != NONE:
                place = 100 * seed + number
                wrong = {d: planted(both[d], right[d], fault, place) for d in DTYPES}
            for dtype, trace in wrong.items():
                alone = wrong["float64"]
                if trace is None or alone is None:
                    continue
                if fault != NONE and _equal(right[dtype], trace, both[dtype]):
                    counted.equivalent[dtype, fault] += 1
                    continue
                in_float64 = (both["float64"], cache(partial(_same, alone)))
                asked = both[dtype], trace, want[dtype], in_float64
                for checker, what in verdicts(*asked, kind in ends and seed == 0, kind == "small"):
                    counted.add(dtype, fault, scale, checker, what)
    return counted


def _same(trace: Trace) -> Trace:
    return trace


def _equal(right: Trace, wrong: Trace, case: Case) -> bool:
    """Whether the parameter gradients are equal bit by bit, except for the sign of 0."""
    a, b = final(case, right), final(case, wrong)
    return all(np.array_equal(a[p], b[p], equal_nan=True) for p in a)


def verdicts(
    case: Case,
    trace: Trace,
    want: Mapping[str, np.ndarray],
    in_float64: tuple[Case, Callable[[], Trace]],
    end: bool,
    small: bool,
) -> Iterator[tuple[str, str]]:
    """Yield (checker, answer) of every checker; finite differences only on small networks."""
    other = None if case.dtype == np.float64 else in_float64
    yield "node by node", said(node_by_node(case, trace, other))
    if end:
        yield "end to end", said(end_to_end(case, trace, other))
    got = final(case, trace)
    for name, against in AGAINST.items():
        if against:
            yield name, against(got, want)
    for name, (check, dtypes) in FUNCTIONS.items():
        if small and case.dtype.name in dtypes:
            yield name, check(case, got)


def tables(quick: bool) -> str:
    networks = 1 if quick else 3
    counted = measure(cases(networks), ("ReLU", "small") if quick else KINDS)
    parts = [f"Wrong gradients called wrong, of those planted ({stamp(quick, _seeds(networks))})."]
    for dtype in DTYPES:
        equivalent = ("equivalent", lambda fault, d=dtype: _equivalent(counted, d, fault))
        parts.append(f"**{dtype}, by fault**")
        parts.append(counted.by_fault[dtype].table("fault", FAULTS, [equivalent]))
        parts.append(f"**{dtype}, by loss scale**")
        parts.append(counted.by_scale[dtype].table("loss times", map(_power, SCALES)))
        parts.append(f"**{dtype}, nothing planted: the right gradients called wrong**")
        parts.append(counted.right[dtype].table("loss times", map(_power, SCALES)))
    rows = [[kind, number_of(kind, networks), len(SCALES)] for kind in KINDS]
    parts += ["**Networks**", markdown(["kind", "networks", "loss scales"], rows)]
    return "\n\n".join(parts)


def _seeds(networks: int) -> str:
    return f"seeds from 0, {networks} or more networks of a kind"


def _equivalent(counted: Planted, dtype: str, fault: str | None) -> int:
    return sum(n for (d, f), n in counted.equivalent.items() if d == dtype and fault in (None, f))
