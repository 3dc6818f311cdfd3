"""Test the tester: a wrong gradient is found, and exactly its op, node and edge are named."""

from __future__ import annotations

import numpy as np
import pytest

from gradparity.comparisons import Verdict, judge
from gradparity.comparisons.cases.suite import OPS, builtin_cases
from gradparity.core import (
    Add,
    Affine,
    Case,
    CrossEntropy,
    Multiply,
    Network,
    Node,
    ReLU,
    Sigmoid,
    Tanh,
    backprop,
    layered,
)

from faults import faulty, with_op

CASES = {name: case for name, case in builtin_cases().items() if name.startswith("net-")}


def mismatches(case: Case, trace) -> set[tuple[str, str]]:
    """The wrong findings; some faults have a name of their own, such as the sum for the mean."""
    return {(f.node, f.quantity) for f in judge(case, trace, explain=False) if f.parity is False}


def batch_of_five(name: str, dtype: str) -> Case:
    """The op in a network; more than one instance, so that a wrong axis shows."""
    op, width = OPS[name]
    from gradparity.core import LinearLoss

    alone = layered([op], LinearLoss())
    m = alone.shapes({"x": (5, width)})[alone.output][-1]
    network = layered([Affine(3, width), op, Affine(m, 4)], CrossEntropy(eps=0.01))
    return Case.random(network, batch=5, seed=1, dtype=dtype)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", OPS)
def test_the_right_gradient_is_never_accused(name, dtype):
    case = batch_of_five(name, dtype)
    findings = judge(case, backprop(case))
    assert not [f for f in findings if f.verdict.parity is False]
    assert sum(f.verdict.parity is True for f in findings) > 8


WRONG = {
    "factor": lambda right, dz, y, z: tuple(1.001 * g for g in right(dz, y, z)),
    "sign": lambda right, dz, y, z: tuple(-g for g in right(dz, y, z)),
    "zero": lambda right, dz, y, z: tuple(0 * g for g in right(dz, y, z)),
    "rows shifted": lambda right, dz, y, z: tuple(np.roll(g, 1, 0) for g in right(dz, y, z)),
    "columns reversed": lambda right, dz, y, z: tuple(g[:, ::-1] for g in right(dz, y, z)),
    "one element": lambda right, dz, y, z: tuple(nudged(g) for g in right(dz, y, z)),
    "stale upstream": lambda right, dz, y, z: right(np.roll(dz, 1, 0), y, z),
}


def of_values(step, fault):
    """The fault in what is passed back alone: the gradients by parameters stay right."""
    n = len(step.taken)

    def vjp(right, dz, y, z):
        return *fault(lambda *args: right(*args)[:n], dz, y, z), *right(dz, y, z)[n:]

    return vjp


def nudged(g: np.ndarray) -> np.ndarray:
    """One element moved by 1e-5 (float32) or 1e-11 (float64) of the largest."""
    step = 1e-5 if g.dtype == np.float32 else 1e-11
    i = np.unravel_index(int(np.argmax(np.abs(g))), g.shape)
    return np.where(np.arange(g.size).reshape(g.shape) == np.ravel_multi_index(i, g.shape),
                    g * g.dtype.type(1 + step), g)  # fmt: skip


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("fault", WRONG)
@pytest.mark.parametrize("name", OPS)
def test_a_fault_in_a_backward_pass_names_its_op_node_and_edge(name, fault, dtype):
    case = batch_of_five(name, dtype)
    # The last node before the output's affine map is the op (or the last part of a compound).
    step = case.network.body[-2]
    wrong = with_op(case, step.name, faulty(step.op, vjp=of_values(step, WRONG[fault])))
    trace = backprop(wrong)
    edge = step.edges[0]
    right = backprop(case).edge_grad[edge]
    if np.array_equal(trace.edge_grad[edge], right):
        pytest.fail("the planted fault changed nothing: this test would assert nothing")
    assert mismatches(case, trace) == {(step.name, f"grad {edge.source} -> {edge.target}")}


PARAMETER_FAULTS = {
    "W transposed upstream": ("W", lambda g: 1.0001 * g),
    "b summed over the wrong axis": ("b", lambda g: np.full_like(g, g.mean())),
    "W missing an instance": ("W", lambda g: 0.8 * g),
    "b not averaged": ("b", lambda g: 5 * g),
}


@pytest.mark.parametrize("fault", PARAMETER_FAULTS)
def test_a_fault_in_a_parameter_gradient_names_the_parameter(fault):
    letter, wrong = PARAMETER_FAULTS[fault]
    case = batch_of_five("tanh", "float64")

    def vjp(right, dz, y, z):
        dy, dW, db = right(dz, y, z)
        return (dy, wrong(dW), db) if letter == "W" else (dy, dW, wrong(db))

    op = faulty(case.network.steps[0].op, vjp=vjp)
    trace = backprop(with_op(case, "z1", op))
    assert mismatches(case, trace) == {("z1", f"grad {letter}1")}


def test_a_forward_fault_names_the_node_and_nothing_downstream():
    case = batch_of_five("tanh", "float64")
    op = faulty(case.network.steps[1].op, forward=lambda right, *y: right(*y) * (1 + 1e-12))
    found = mismatches(case, backprop(with_op(case, "y1", op)))
    assert ("y1", "value y1") in found
    assert {node for node, _ in found} == {"y1"}  # its own gradient may use the wrong value too


def deep_dag(depth: int = 20) -> Network:
    """Residual blocks with a gate: every value after the first has three consumers."""
    nodes = [Node("r0", Affine(6, 6), "x")]
    for k in range(1, depth + 1):
        before = f"r{k - 1}"
        nodes += [
            Node(f"z{k}", Affine(6, 6), before),
            Node(f"y{k}", ReLU() if k % 2 else Tanh(), f"z{k}"),
            Node(f"g{k}", Sigmoid(), before),
            Node(f"m{k}", Multiply(), f"y{k}", f"g{k}"),
            Node(f"r{k}", Add(), f"m{k}", before),
        ]
    return Network(*nodes, divergence=CrossEntropy(eps=0.01))


@pytest.mark.sample(3)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("node", ["m7", "r13", "y1", "g20"])
def test_a_fault_in_one_edge_of_a_twenty_deep_dag_names_that_edge(node, dtype):
    case = Case.random(deep_dag(), batch=8, seed=2, dtype=dtype)
    step = next(s for s in case.network.steps if s.name == node)
    slot = len(step.taken) - 1

    def vjp(right, dz, y, z):
        dy = list(right(dz, y, z))
        dy[slot] = nudged(dy[slot])
        return tuple(dy)

    trace = backprop(with_op(case, node, faulty(step.op, vjp=vjp)))
    edge = step.edges[slot]
    assert mismatches(case, trace) == {(node, f"grad {edge.source} -> {edge.target}")}


def test_a_use_left_out_of_the_sum_names_the_value():
    case = Case.random(deep_dag(3), batch=4)
    trace = backprop(case)
    trace.grad["r1"] = trace.grad["r1"] - trace.edge_grad["r1", "g2"]
    assert ("r1", "grad r1") in mismatches(case, trace)


@pytest.mark.parametrize("what", ["Err", "Div", "grad Div"])
def test_a_fault_in_the_risk_is_named(what):
    case = batch_of_five("relu", "float64")
    trace = backprop(case)
    if what == "Err":
        trace.Err *= 5
    elif what == "Div":
        trace.Div = trace.Div * (1 + 1e-11)
    else:
        trace.grad["Div"] = trace.grad["Div"] * 5
    assert ("Div" if what == "Div" else "Err", what) in mismatches(case, trace)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_non_finite_element_is_a_mismatch(bad):
    case = batch_of_five("relu", "float64")
    trace = backprop(case)
    trace.grad["W1"][0, 0] = bad
    found = [f for f in judge(case, trace) if f.verdict is Verdict.MISMATCH]
    assert [(f.quantity, f.index) for f in found] == [("grad W1", (0, 0))]
