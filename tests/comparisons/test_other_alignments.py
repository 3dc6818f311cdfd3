"""Conventions of CTC are recovered: another class of the blank, and a mean over labels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gradparity import ops
from gradparity.comparisons import Verdict, judge
from gradparity.comparisons.findings.finding import Finding
from gradparity.core import Case, LinearLoss, Network, Node, Trace, backprop

LABELS = np.array([[1, 2], [2, 3], [3, -1], [1, 1]])
Y = np.random.default_rng(0).standard_normal((4, 6, 5))


def case(op: ops.CTC) -> Case:
    network = Network(
        Node("loss", op, "ids", "y"), Node("z", ops.Reshape((1,)), "loss"),
        divergence=LinearLoss(), inputs=("ids", "y"),
    )  # fmt: skip
    return Case(network, {}, {"ids": LABELS, "y": Y}, np.ones((4, 1)))


def wrong(asked: Case, trace: Trace) -> list[Finding]:
    return [f for f in judge(asked, trace) if f.verdict is Verdict.MISMATCH]


@pytest.mark.parametrize(("network", "computed"), [(0, 4), (4, 0)])
def test_another_blank_is_named(network: int, computed: int) -> None:
    found = wrong(case(ops.CTC(5, network)), backprop(case(ops.CTC(5, computed))))
    said = f"right with blank = {computed}, where the network has blank = {network}"
    assert {str(f.quantity) for f in found} == {"value loss", "grad y -> loss"}
    assert {f.note for f in found} == {said}


def per_label(times: float = 1.0) -> Trace:
    """The trace of a loss that is divided by the number of labels, and times a number."""
    trace = backprop(case(ops.CTC(5)))
    share = times / (LABELS >= 0).sum(axis=1)
    value = trace.value["loss"] * share
    gradient = trace.grad["y"] * share[:, None, None]
    edges = {e: gradient if e.source == "y" else g for e, g in trace.edge_grad.items()}
    changed = {**trace.value, "loss": value, "z": value[:, None]}
    return replace(trace, value=changed, grad={**trace.grad, "y": gradient}, edge_grad=edges)


def test_a_loss_for_each_label_is_named() -> None:
    notes = {str(f.quantity): f.note for f in wrong(case(ops.CTC(5)), per_label())}
    assert "divided by the number of labels" in notes["value loss"]
    assert "divided by the number of labels" in notes["grad y -> loss"]


def test_another_factor_is_not_told_as_that() -> None:
    found = wrong(case(ops.CTC(5)), per_label(1.25))
    assert found
    assert not any("number of labels" in f.note for f in found)
