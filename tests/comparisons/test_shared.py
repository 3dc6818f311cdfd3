"""Parameters that several nodes share, as they are or transposed, and results by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradparity as gp
from gradparity.comparisons import Verdict
from gradparity.core import L2, Affine, Case, LayerNorm, LinearLoss, Network, Node, Tanh, backprop


def tied(name: str) -> Case:
    a, b = Affine(3, 3), Affine(3, 3)
    nodes = (Node("a", a, "x", W="E"), Node("b", b, "a", W=name))
    network = Network(*nodes, divergence=L2(), parameters={"E": (3, 3)})
    return Case.random(network, x=np.random.default_rng(0).standard_normal((4, 3)))


@pytest.mark.parametrize("name", ["E", "E.T"])
@pytest.mark.parametrize("uses", ["all", "last"])
def test_a_wrong_gradient_of_a_shared_parameter_is_a_mismatch_there(name: str, uses: str) -> None:
    case = tied(name)

    def mine(case: Case) -> dict[str, Any]:
        trace = backprop(case)
        if uses == "all":
            return {"grad E": 1.3 * trace.grad["E"]}
        (first, _) = case.network.consumers("E")
        return {"grad E": trace.edge_grad[first]}

    found = gp.check(case, mine, dtypes=["float64"]).findings()
    assert [(f.quantity, f.verdict) for _, f in found] == [("grad E", Verdict.MISMATCH)]


def test_a_right_value_by_a_transposed_parameter_is_judged_at_its_node() -> None:
    nodes = (Node("t", Tanh(), "x"), Node("z", Affine(3, 4, bias=False), "t", W="E.T"))
    network = Network(*nodes, divergence=L2(), parameters={"E": (4, 3)})
    case = Case.random(network, x=np.random.default_rng(0).standard_normal((2, 3)))

    def mine(case: Case) -> dict[str, Any]:
        E, t = case.params["E"], 1.001 * np.tanh(case.x)
        z = t @ E.T
        dz = (z - case.desired) / 2
        return {"value t": t, "value z": z, "grad z": dz, "grad t": dz @ E}

    found = gp.check(case, mine, dtypes=["float64"]).findings()
    assert {f.quantity for _, f in found if f.parity is False} == {"value t"}


def test_what_rounding_decides_does_not_overflow() -> None:
    network = Network(Node("z", LayerNorm(4), "x"), divergence=LinearLoss())
    x = 1e15 * np.random.default_rng(0).standard_normal((3, 1)) * np.ones((3, 4))
    report = gp.check(Case.random(network, x=x), backprop, dtypes=["float64"])
    assert report.exit_code == 2
    notes = {f.note for _, f in report.findings() if f.verdict.parity is None}
    assert "rounding decides the result at this dtype here, so it has no finite bound" in notes
    assert not [note for note in notes if "overflow" in note]


@pytest.mark.parametrize("framework", ["torch", "jax"])
def test_one_parameter_for_two_letters_of_a_node(framework: str) -> None:
    """Its gradient through each letter is a quantity of its own."""
    pytest.importorskip(framework)
    network = Network(
        Node("z", Affine(3, 3), "x"),
        Node("n", LayerNorm(3), "z", g="v", b="v"),
        divergence=LinearLoss(),
        parameters={"v": (3,)},
    )
    report = gp.check(Case.random(network, batch=4), framework)
    found = {f.quantity: f for _, f in report.findings()}
    assert {"grad v -> n[1]", "grad v -> n[2]", "grad v"} <= set(found)
    assert {f.verdict for f in found.values()} <= {Verdict.EXACT, Verdict.ROUNDING}


def test_advice_names_no_node_that_the_user_has_not_written() -> None:
    """`W="E.T"` stands for a node, which has a name of the package's own."""
    nodes = (
        Node("h", Affine(3, 4, bias=False), "x", W="E"),
        Node("t", Tanh(), "h"),
        Node("z", Affine(4, 3, bias=False), "t", W="E.T"),
    )
    network = Network(*nodes, divergence=L2(), parameters={"E": (3, 4)})
    case = Case.random(network, batch=5)

    def mine(case: Case) -> dict[str, Any]:
        trace = backprop(case)
        return {"grad E": 1.3 * trace.grad["E"], "grad t": trace.grad["t"], "Err": trace.Err}

    (found,) = (f for _, f in gp.check(case, mine, dtypes=["float64"]).findings() if not f.parity)
    assert "check" in found.note
    assert "the transpose of 'E'" in found.note
    assert "E_T" not in found.note


def test_a_parameter_and_an_input_that_nothing_uses_have_a_gradient_of_zero() -> None:
    network = Network(
        Node("z", Affine(3, 2), "x"),
        divergence=L2(),
        inputs=("x", "u"),
        parameters={"E": (2, 2)},
    )
    case = Case.random(network, x={"x": np.ones((4, 3)), "u": np.ones((4, 3))})

    def mine(case: Case) -> dict[str, Any]:
        ones = np.ones((4, 3), case.dtype)
        return {
            "grad E": backprop(case).grad["E"],
            "grad W_z": ones.T @ ones[:, :2],
            "grad u": ones,
        }

    report = gp.check(case, mine)
    for _, f in report.findings():
        assert f.verdict is (Verdict.VACUOUS if f.quantity == "grad E" else Verdict.MISMATCH)
