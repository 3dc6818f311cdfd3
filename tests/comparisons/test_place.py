"""From end to end, the node with the fault is always among the few that are named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradparity as gp
from crossed import crossed
from gradparity.comparisons import Verdict
from gradparity.comparisons.check.check import check
from gradparity.comparisons.explain.derivations import values_of
from gradparity.comparisons.findings.finding import Finding
from gradparity.comparisons.judge.by_name import judge_results
from gradparity.comparisons.judge.end_to_end import judge_end_to_end
from gradparity.comparisons.judge.location import Places, placed
from gradparity.core import (
    L2,
    Add,
    Affine,
    Case,
    Multiply,
    Network,
    Node,
    Sigmoid,
    Tanh,
    backprop,
    layered,
)
from gradparity.core.network.backprop import backward_pass, forward_pass

from random_cases import random_dag

Results = dict[str, Any]
KINDS = ["passes back", "one input", "everything", "a parameter"]


class Wrong:
    """An op whose backward pass is wrong: what it passes back, a parameter's gradient, or both."""

    def __init__(self, op: Any, kind: str, rng: np.random.Generator) -> None:
        self.op, self.kind = op, kind
        self.which = int(rng.integers(10))

    def vjp(self, dz: Any, y: Any, z: Any) -> tuple[Any, ...]:
        found = self.op.vjp(dz, y, z)
        n = values_of(self.op, y)
        values, parameters = list(range(n)), list(range(n, len(found)))
        wrong = {
            "passes back": values,
            "one input": values[self.which % n : self.which % n + 1],
            "everything": values + parameters,
            "a parameter": parameters and [parameters[self.which % len(parameters)]],
        }[self.kind]
        return tuple(1.5 * g if i in wrong else g for i, g in enumerate(found))


def planted(case: Case, node: str, kind: str, rng: np.random.Generator) -> Results:
    """All gradients of the core, with one op's backward pass wrong."""
    passed = forward_pass(case.network, case.given)
    op = next(step.op for step in case.network.steps if step.name == node)
    grad = backward_pass(passed, {node: Wrong(op, kind, rng)}).grad
    grads = {f"grad {name}": g for name, g in grad.items() if name not in ("Div", "Err")}
    return {"Err": passed.value["Err"], **grads}


def chain(rng: np.random.Generator) -> Case:
    depth = int(rng.integers(2, 6))
    ops = [op for _ in range(depth) for op in (Affine(5, 5), Tanh())]
    return Case.random(layered([*ops, Affine(5, 3)], L2()), batch=7, seed=int(rng.integers(100)))


def graph(rng: np.random.Generator) -> Case:
    """Smooth ops on values of one width, wired at random; the last takes all that is not used."""
    names, nodes = ["x"], []
    for k in range(int(rng.integers(4, 12))):
        op = [Affine(4, 4), Affine(4, 4), Tanh(), Sigmoid(), Add(), Multiply()][rng.integers(6)]
        nodes.append(
            Node(f"n{k}", op, *map(str, rng.choice(names[-4:], 2 if op.n_inputs != 1 else 1)))
        )
        names.append(f"n{k}")
    unused = [v for v in names if not any(v in node.inputs for node in nodes)]
    if len(unused) > 1:
        nodes.append(Node("joined", Add(), *unused))
    nodes.append(Node("out", Affine(4, 3), nodes[-1].name))
    network = Network(*nodes, divergence=L2())
    return Case.random(network, batch=7, width=4, seed=int(rng.integers(100)))


def some(case: Case, results: Results, rng: np.random.Generator) -> Results:
    """The gradients of the parameters and x, and a few of those on the way, in any order."""
    final = {"Err", "grad x", *(f"grad {p}" for p in case.params)}
    given = [q for q in results if q in final or rng.random() < 0.2]
    return {str(q): results[str(q)] for q in rng.permutation(given)}


def blamed(case: Case, results: Results) -> tuple[list[Finding], Places]:
    found = judge_end_to_end(case, results)
    return found, Places(case.network, found, results)


def wrong(found: list[Finding]) -> list[Finding]:
    return [f for f in found if f.verdict is Verdict.MISMATCH]


def telling(found: list[Finding]) -> list[Finding]:
    """Those that say where to look."""
    return [f for f in found if "check" in f.note]


@pytest.mark.sample(2)
@crossed("made, kind", [chain, graph], KINDS)
def test_the_true_node_is_always_named_and_few_others(made: Any, kind: str) -> None:
    counts, shares = [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        case = made(rng)
        nodes = [s.name for s in case.network.body if kind != "a parameter" or s.parameters]
        node = str(rng.choice(nodes))
        found, places = blamed(case, some(case, planted(case, node, kind, rng), rng))
        bad = wrong(found)
        if not bad:  # nothing that was returned is made of it
            continue
        for f in bad:
            suspects = places.suspects(f.quantity).nodes
            assert node in suspects, (seed, node, f.quantity, suspects)
            assert "judged from end to end" in f.note
        assert telling(bad)
        for f in telling(bad):
            assert repr(node) in f.note or " nodes from " in f.note
            counts.append(len(places.suspects(f.quantity).nodes))
            shares.append(counts[-1] / len(case.network.nodes))
        if made is chain:
            assert sum("check the formula of" not in f.note for f in telling(bad)) <= 1
    assert len(counts) > 10
    # Of 7 nodes in a chain; of 9 in a graph, a third of which have parameters.
    assert np.mean(counts) < (3.0 if made is chain else 6.0)
    assert np.mean(shares) < (0.5 if made is chain else 0.6)


@pytest.mark.sample(4)
@pytest.mark.parametrize("seed", range(16))
def test_in_graphs_of_every_op(seed: int) -> None:
    rng = np.random.default_rng(seed)
    case = random_dag(seed, "normal")
    if any(step.op.random for step in case.network.steps):
        pytest.skip("an op draws numbers of its own")
    node = str(rng.choice([step.name for step in case.network.body]))
    found, places = blamed(case, some(case, planted(case, node, "everything", rng), rng))
    for f in wrong(found):
        assert node in places.suspects(f.quantity).nodes


def deep() -> Case:
    ops = [Affine(5, 6), Tanh(), Affine(6, 6), Tanh(), Affine(6, 3)]
    return Case.random(layered(ops, L2()), batch=7)


def notes(results: Results, case: Case | None = None) -> dict[str, str]:
    found = judge_results(case or deep(), results)
    return {f.quantity: f.note for f in found if f.verdict is Verdict.MISMATCH}


RNG = np.random.default_rng(0)


def finals(node: str, kind: str = "passes back") -> Results:
    case = deep()
    results = planted(case, node, kind, RNG)
    return {q: results[q] for q in [*(f"grad {p}" for p in case.params), "grad x"]}


def test_a_layer_with_a_wrong_activation() -> None:
    found = notes(finals("y1"))
    assert found["grad W1"].endswith(
        "judged from end to end: the gradient at 'z2' is right, so check the backward pass of "
        "'z2', 'y1' and 'z1'; "
        'return "value z1", "value y1", "grad z1", "grad y1", "grad z2" to locate the fault'
    )
    for q in ("grad b1", "grad x"):
        said = (
            "judged from end to end: it follows from the fault behind grad W1, or is wrong itself"
        )
        assert found[q].endswith(said)


def test_what_it_asks_for_gets_it_named() -> None:
    """And nothing else has to be returned."""
    case, results = deep(), planted(deep(), "y1", "passes back", RNG)
    asked = [f"grad {p}" for p in case.params] + ["grad z1", "grad y1", "grad z2"]
    values = {f"value {name}": backprop(case).value[name] for name in ("z1", "y1")}
    found = judge_results(case, {**{q: results[q] for q in asked}, **values})
    (fault,) = wrong(found)
    assert (fault.quantity, fault.node) == ("grad z1", "y1")
    assert "end to end" not in fault.note


def test_a_parameter_alone() -> None:
    case = deep()
    results = finals("z3")
    for q in case.params:
        results[f"grad {q}"] = backprop(case).grad[q]
    results["grad x"] = backprop(case).grad["x"]
    results["grad W2"] = 1.5 * results["grad W2"]
    found = notes(results)
    assert list(found) == ["grad W2"]
    assert (
        "the gradient at 'z2' is right, so check the formula of grad W2; return"
        in (found["grad W2"])
    )


def test_where_nothing_is_right_the_forward_pass_may_be_it() -> None:
    results = {q: 1.5 * g for q, g in finals("z3").items()}
    found = notes(results)
    assert "check 'Div' and 'z3', or the forward pass; return \"Err\"" in found["grad W3"]
    results["Err"] = backprop(deep()).Err
    assert "forward pass" not in notes(results)["grad W3"]


def test_wrong_values_come_first() -> None:
    case = deep()
    other = Case(case.network, {**case.params, "W2": case.params["W2"] * 1.5}, case.x, case.d)
    trace = backprop(other)
    given = {f"value {n}": trace.value[n] for n in ("y1", "z3")}
    given |= {"Err": trace.Err, **{f"grad {p}": trace.grad[p] for p in case.params}}
    found = notes(given)
    assert found["value z3"].endswith(
        "judged from end to end: the value of 'y1' is right, so check 'z3', 'y2' and 'z2'; "
        'return "value y2", "value z2" to locate the fault'
    )
    assert found["grad W3"].endswith("it follows from value z3, or is wrong itself")
    assert "it follows from" in found["grad W1"]


def test_beside_results_that_were_judged_at_their_node() -> None:
    case, results = deep(), planted(deep(), "y2", "passes back", RNG)
    trace = backprop(case)
    given = {q: results[q] for q in ("grad z3", "grad y2", "grad z2", "grad W1", "grad W3")}
    given |= {"value z2": trace.value["z2"], "value y2": trace.value["y2"]}
    found = notes(given)
    assert "end to end" not in found["grad z2"]  # at its node
    assert "follows from the fault behind grad z2" in found["grad W1"]


def test_nothing_is_said_where_nothing_is_wrong() -> None:
    case = deep()
    results = {f"grad {p}": backprop(case).grad[p] for p in case.params}
    found = judge_end_to_end(case, results)
    assert placed(case.network, found, results) == found
    assert not any("end to end" in f.note for f in found)
    report = check(case, lambda case: {q: 1 * g for q, g in finals("y1").items()}, dtypes=[float])
    assert "sum over uses" not in gp.testing.diagnosis(report)
