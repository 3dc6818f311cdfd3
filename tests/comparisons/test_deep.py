"""Networks as people build them: no false alarm, and a fault in each kind of op is named there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest

from crossed import crossed
from gradparity.adapters import get_adapter
from gradparity.comparisons import Verdict, judge
from gradparity.comparisons.cases.deep import (
    conv_net,
    gpt,
    lstm,
    resnet,
    tagger,
    transformer,
    u_net,
    vit,
)
from gradparity.comparisons.cases.vocabulary import VOCABULARY
from gradparity.comparisons.cases.vocabulary.shaped import SHAPED
from gradparity.comparisons.explain.fault_sites import FaultSite, fault_sites
from gradparity.comparisons.explain.replay import plant
from gradparity.core import Case, Trace, backprop

pytest.importorskip("sklearn")

NETWORKS: dict[str, Callable[..., Case]] = {
    "conv-net": conv_net,
    "resnet": resnet,
    "u-net": u_net,
    "transformer": transformer,
    "vit": vit,
    "gpt": gpt,
    "lstm": lstm,
    "tagger": tagger,
}
#: Faults of a result, and of a formula.
FAULTS = ("0.1 % too large", "one element off", "stale input")
#: More than this many are planted of each.
LEAST = {"0.1 % too large": 18, "one element off": 18, "stale input": 6}
#: These have six kinds of op whose gradient depends on an input.
SIX_KINDS = {"resnet", "u-net"}
#: Zero by structure: a bias before batch norm, a first state of zeros, an unused output.
VACUOUS = {
    "conv-net": {"grad b1"},
    "lstm": {"grad U -> l0", "grad l7.c"},
    "tagger": {"grad Uf -> f0", "grad Ub -> b5"},
}


@cache
def ran(name: str, framework: str, dtype: str) -> tuple[Case, Trace]:
    case = NETWORKS[name](batch=4).astype(dtype)
    if framework == "numpy":
        return case, backprop(case)
    pytest.importorskip(framework)
    return case, get_adapter(framework).run(case)


def wrong(case: Case, trace: Trace) -> dict[str, str]:
    """Quantity -> node, of what is not right."""
    return {f.quantity: f.node for f in judge(case, trace, explain=False) if f.parity is False}


@pytest.mark.sample(2)
@crossed(
    "name, framework, dtype", list(NETWORKS), ["numpy", "torch", "jax"], ["float64", "float32"]
)
def test_no_false_alarm(name: str, framework: str, dtype: str) -> None:
    case, trace = ran(name, framework, dtype)
    found = judge(case, trace)
    assert not [str(f) for f in found if f.parity is False]
    assert not [str(f) for f in found if f.verdict is Verdict.INCONCLUSIVE]
    final = {f.quantity for f in found if f.final}
    assert final == {f"grad {n}" for n in (*case.network.trained, *case.differentiated)}
    vacuous = {f.quantity for f in found if f.verdict is Verdict.VACUOUS}
    assert vacuous <= VACUOUS.get(name, set())


def each_kind_of_op(case: Case) -> Iterator[FaultSite]:
    """A site of every kind for each class of op."""
    seen = set()
    for site in fault_sites(case):
        op = type(site.step.op).__name__ if site.step else ""
        if (op, site.kind, site.slot) not in seen:
            seen.add((op, site.kind, site.slot))
            yield site


@pytest.mark.sample(2)
@crossed("name, fault", list(NETWORKS), FAULTS, every=2)
def test_a_fault_in_each_kind_of_op_is_named_there(name: str, fault: str) -> None:
    case, trace = ran(name, "numpy", "float64")
    planted = 0
    vacuous = {f.quantity for f in judge(case, trace) if f.verdict is Verdict.VACUOUS}
    assert vacuous <= VACUOUS.get(name, set())
    for site in (s for s in each_kind_of_op(case) if s.quantity not in vacuous):
        mutant = plant(case, trace, site, fault)
        if mutant is None:
            continue
        planted += 1
        found = wrong(case, mutant)
        assert site.quantity in found, site.quantity
        assert set(found.values()) == {site.node}, (site.quantity, found)
    assert planted > LEAST[fault] - (fault == "stale input" and name in SIX_KINDS)


def test_every_op_of_the_networks_is_alone_in_the_suite_too() -> None:
    alone = {type(shaped.op) for shaped in (SHAPED | VOCABULARY).values()}
    from gradparity.comparisons.cases.suite import OPS

    alone |= {type(op) for op, _ in OPS.values()}
    used = {type(node.op) for make in NETWORKS.values() for node in make(batch=2).network.nodes}
    assert used <= alone


def test_an_lstm_shares_its_parameters_and_every_step_is_judged() -> None:
    case, trace = ran("lstm", "numpy", "float64")
    found = {f.quantity for f in judge(case, trace)}
    uses = {f"grad {letter} -> l{t}" for letter in "WUb" for t in range(8)}
    assert uses | {"grad W", "grad U", "grad b"} <= found


def test_each_way_of_a_bidirectional_cell_shares_its_parameters() -> None:
    case, trace = ran("tagger", "torch", "float64")
    found = {f.quantity for f in judge(case, trace)}
    for way in "fb":
        uses = {f"grad {letter}{way} -> {way}{t}" for letter in "WUbc" for t in range(6)}
        assert uses | {f"grad {letter}{way}" for letter in "WUbc"} <= found


def test_padding_has_no_gradient() -> None:
    case, trace = ran("tagger", "numpy", "float64")
    padding = case.inputs["ids"] == 0
    assert padding.any()
    assert not (padding & (case.inputs["w"] != 0)).any()
    assert not trace.grad["z"][padding].any()
    assert not trace.grad["E_e"][0].any()


def test_a_tied_embedding_is_the_sum_of_its_two_uses() -> None:
    case, trace = ran("gpt", "torch", "float64")
    found = {f.quantity for f in judge(case, trace)}
    assert {"grad E -> r0", "grad E_T", "grad E"} <= found


def test_running_statistics_are_compared() -> None:
    case, trace = ran("conv-net", "torch", "float64")
    quantities = {f.quantity for f in judge(case, trace)}
    assert {"value n1.mean", "value n1.var"} <= quantities
    site = next(s for s in fault_sites(case) if s.quantity == "value n1.var")
    mutant: Any = plant(case, trace, site, "0.1 % too large")
    assert wrong(case, mutant) == {"value n1.var": "n1"}
