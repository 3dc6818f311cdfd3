"""A mask that hides a whole row is one entry of the report, and the rest follows from it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradparity as gp
from gradparity.comparisons import Verdict
from gradparity.core import (
    L2,
    Add,
    Affine,
    Attention,
    Case,
    LayerNorm,
    LinearLoss,
    LogSoftmax,
    Network,
    Node,
    Quantity,
    Softmax,
    backprop,
)

HIDDEN = [1, 2]


def transformer(layers: int = 2, hide: bool = True) -> Case:
    nodes, last = [], "x"
    for i in range(layers):
        q, k, v, a, h = (f"{name}{i}" for name in "qkvah")
        nodes += [Node(name, Affine(6, 6), last) for name in (q, k, v)]
        nodes += [Node(a, Attention(mask=True), q, k, v, "mask"), Node(h, LayerNorm(6), a)]
        last = h
    nodes.append(Node("out", Affine(6, 2), last))
    network = Network(*nodes, divergence=L2(), inputs=("x", "mask"), fixed=("mask",))
    mask = np.zeros((3, 4, 4))
    if hide:
        mask[tuple(HIDDEN)] = -np.inf
    x = np.random.default_rng(0).standard_normal((3, 4, 6))
    return Case.random(network, x={"x": x, "mask": mask})


def results(case: Case) -> dict[Quantity, Any]:
    trace = backprop(case)
    found = {Quantity.grad(p): trace.grad[p] for p in case.network.trained}
    return found | {Quantity("Err"): trace.Err}


@pytest.mark.parametrize("mine", [backprop, results], ids=["trace", "results"])
def test_it_is_one_entry_which_names_the_row_and_counts_the_rest(mine):
    report = gp.check(transformer(), mine)
    assert report.exit_code == 2
    undecided = [f for _, f in report.findings() if f.verdict is Verdict.INCONCLUSIVE]
    causes = [f for f in undecided if "hidden by the mask" in f.note]
    assert len({f.quantity for f in causes}) == 1
    assert f"row {HIDDEN} of the softmax at node 'a0'" in causes[0].note
    assert mine is results or (causes[0].quantity, causes[0].node) == ("value a0", "a0")
    others = {f.quantity: f.note for f in undecided if f not in causes}
    assert set(others.values()) == {f"it follows from {causes[0].quantity}"}
    said = gp.testing.diagnosis(report)
    assert said.count("INCONCLUSIVE") == 1
    assert f"{len(others)} more, the first " in said
    assert "follow from it and cannot be decided" in said
    assert f"  {len(undecided)} of " in said
    assert str(report).count("INCONCLUSIVE") == 1


def test_what_is_wrong_besides_stays_an_entry_of_its_own():
    def mine(case: Case) -> Any:
        trace = backprop(case)
        trace.value["q0"] = trace.value["q0"] * case.dtype.type(1.1)
        return trace

    report = gp.check(transformer(), mine, dtypes=["float64"])
    assert report.exit_code == 1
    said = gp.testing.diagnosis(report)
    assert said.startswith("mismatch in value q0 at node 'q0'")
    assert said.count("INCONCLUSIVE") == 1


def test_without_a_hidden_row_nothing_is_said():
    assert gp.check(transformer(hide=False), backprop, dtypes=["float64"]).exit_code == 0


@pytest.mark.parametrize("op", [Softmax(), LogSoftmax()])
def test_a_softmax_of_a_sum_with_a_mask(op):
    nodes = [Node("a", Affine(4, 5), "x"), Node("m", Add(), "a", "mask"), Node("p", op, "m")]
    network = Network(*nodes, divergence=L2(), inputs=("x", "mask"), fixed=("mask",))
    mask = np.zeros((3, 5))
    mask[2] = -np.inf
    x = np.random.default_rng(0).standard_normal((3, 4))
    case = Case.random(network, x={"x": x, "mask": mask})
    said = gp.testing.diagnosis(gp.check(case, backprop, dtypes=["float64"]))
    assert "row [2] of the softmax at node 'p' is hidden by the mask" in said
    assert said.count("hidden by the mask") == 1
    assert "NaN here" not in said


@pytest.mark.parametrize("adapter", ["torch", "jax"])
def test_a_mask_that_is_added_is_exact(adapter):
    nodes = [Node("a", Affine(4, 5), "x"), Node("m", Add(), "a", "mask"), Node("p", Softmax(), "m")]
    network = Network(*nodes, divergence=L2(), inputs=("x", "mask"), fixed=("mask",))
    mask = np.where(np.tri(3, 5, dtype=bool), 0.0, -np.inf)
    x = np.random.default_rng(0).standard_normal((3, 4))
    case = Case.random(network, x={"x": x, "mask": mask})
    report = gp.check(case, adapter)
    assert report.exit_code == 0, gp.testing.diagnosis(report)

    def shown(case: Case) -> Any:
        trace = backprop(case)
        trace.value["m"] = np.where(np.isinf(trace.value["m"]), -30.0, trace.value["m"])
        return trace

    found = [f for _, f in gp.check(case, shown, dtypes=["float64"]).findings() if not f.parity]
    assert (str(found[0].quantity), found[0].verdict) == ("value m", Verdict.MISMATCH)


def test_the_hidden_rows_of_a_causal_attention_with_a_mask_that_is_broadcast():
    q = np.zeros((2, 3, 4))
    mask = np.array([-np.inf, 0.0, 0.0])
    hidden = Attention(causal=True, mask=True).hidden_rows(q, q, q, mask)
    assert hidden.tolist() == [[True, False, False]] * 2
    assert not Attention(causal=True).hidden_rows(q, q, q).any()
    assert Affine(4, 2).hidden_rows(q) is None


@pytest.mark.parametrize("framework", ["torch", "jax"])
def test_a_mask_may_fill_with_minus_infinity(framework: str) -> None:
    pytest.importorskip(framework)
    network = Network(
        Node("s", Affine(5, 5), "x"),
        Node("m", gp.ops.MaskedFill(-np.inf), "mask", "s"),
        Node("p", Softmax(), "m"),
        divergence=LinearLoss(),
        inputs=("mask", "x"),
    )
    rng = np.random.default_rng(0)
    mask = (rng.random((4, 5)) < 0.4).astype(np.int64)
    mask[:, 0] = 0
    case = Case.random(network, x={"mask": mask, "x": rng.standard_normal((4, 5))})
    assert gp.check(case, framework).exit_code == 0
