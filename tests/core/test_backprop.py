"""The backward pass of a network: distributed chain rule, edges, dead ends, training."""

from __future__ import annotations

import numpy as np
import pytest

from gradparity.core import (
    GELU,
    KL,
    L2,
    SELU,
    Add,
    Affine,
    Case,
    Concatenate,
    CrossEntropy,
    Identity,
    LinearLoss,
    Maxout,
    Multiply,
    Network,
    Node,
    Products,
    ReLU,
    Sigmoid,
    Softmax,
    Tanh,
    backprop,
    layered,
)
from gradparity.core.network.backprop import training_gradients

from .oracle import evaluate, flat, given_of


def test_the_lectures_numbers():
    """One unit by hand: z = w x + b = 2.5, y = z, Div = (y - d)^2 / 2, dDiv/dw = (y - d) x."""
    net = layered([Affine(1, 1), Identity()], L2())
    trace = backprop(Case(net, {"W1": [[2.0]], "b1": [0.5]}, [[1.0], [3.0]], [[2.0], [0.5]]))
    assert trace.value["z1"].tolist() == [[2.5], [6.5]]
    assert trace.Div.tolist() == [0.125, 18.0]
    assert trace.Err == 9.0625
    assert trace.grad["Div"].tolist() == [0.5, 0.5]
    assert trace.grad["z1"].tolist() == [[0.25], [3.0]]
    assert trace.grad["W1"].tolist() == [[0.25 * 1 + 3.0 * 3]]
    assert trace.grad["b1"].tolist() == [3.25]
    assert trace.grad["x"].tolist() == [[0.5], [6.0]]


@pytest.mark.parametrize(("reduction", "factor"), [("mean", 4), ("sum", 1)])
def test_every_gradient_is_of_err(reduction, factor):
    ops = [Affine(3, 2), Tanh()]
    case = Case.random(layered(ops, L2(), reduction=reduction), batch=4, seed=1)
    total = backprop(Case(layered(ops, L2(), reduction="sum"), case.params, case.x, case.d))
    trace = backprop(case)
    assert trace.Err == total.Err / factor
    for name, g in trace.grad.items():
        assert np.array_equal(g, total.grad[name] / factor), name  # a power of two: exact


def diamond(op):
    return Network(
        Node("z1", Affine(3, 3), "x"),
        Node("y1", Tanh(), "z1"),
        Node("g1", Sigmoid(), "z1"),
        Node("m1", op, "y1", "g1"),
        Node("s1", Add(), "m1", "z1", "x"),
        divergence=L2(),
    )


@pytest.mark.parametrize("op", [Multiply(), Add()])
def test_a_nodes_gradient_is_the_sum_over_its_uses(op):
    net = diamond(op)
    trace = backprop(Case.random(net, batch=4, seed=2))
    assert set(trace.edge_grad) == set(net.edges)
    for name in ("x", *trace.value):
        uses = [trace.edge_grad[edge] for edge in net.consumers(name)]
        assert np.allclose(trace.grad[name], np.stack(uses).sum(axis=0), 1e-14, 1e-16), name
    assert len(net.consumers("z1")) == 3
    assert len(net.consumers("x")) == 2


def test_the_distributed_chain_rule_by_hand():
    """y = x^2 + 3x by two paths: dy/dx = 2x + 3."""
    net = Network(
        Node("square", Multiply(), "x", "x"),
        Node("three", Affine(1, 1, bias=False), "x"),
        Node("y", Add(), "square", "three"),
        divergence=LinearLoss(),
        reduction="sum",
    )
    x = np.array([[2.0], [-1.0], [0.0]])
    trace = backprop(Case(net, {"W_three": [[3.0]]}, x, np.ones((3, 1))))
    assert trace.value["y"].tolist() == (x * x + 3 * x).tolist()
    assert trace.grad["x"].tolist() == (2 * x + 3).tolist()
    assert trace.edge_grad["x", "square[0]"].tolist() == x.tolist()
    assert trace.edge_grad["x", "square[1]"].tolist() == x.tolist()
    assert trace.edge_grad["x", "three"].tolist() == [[3.0]] * 3


def test_the_same_value_twice_in_one_node_has_two_edges():
    net = Network(
        Node("a", Tanh(), "x"),
        Node("m", Concatenate(), "a", "x", "a"),
        divergence=LinearLoss(),
        reduction="sum",
    )
    d = np.array([[1.0, 2.0, 3.0]])
    trace = backprop(Case(net, {}, np.array([[0.5]]), d))
    assert set(trace.edge_grad) == {
        ("x", "a"), ("a", "m[0]"), ("x", "m"), ("a", "m[2]"), ("m", "Div"),
    }  # fmt: skip
    assert trace.edge_grad["a", "m[0]"].tolist() == [[1.0]]
    assert trace.edge_grad["x", "m"].tolist() == [[2.0]]
    assert trace.edge_grad["a", "m[2]"].tolist() == [[3.0]]
    assert trace.grad["a"].tolist() == [[4.0]]


def test_the_same_value_in_all_of_several_slots():
    net = Network(Node("m", Add(), "x", "x", "x"), divergence=LinearLoss(), reduction="sum")
    trace = backprop(Case(net, {}, np.array([[0.5]]), np.array([[2.0]])))
    assert set(trace.edge_grad) == {("x", "m[0]"), ("x", "m[1]"), ("x", "m[2]"), ("m", "Div")}
    assert trace.grad["x"].tolist() == [[6.0]]


def test_dead_ends_have_a_gradient_of_zero():
    net = Network(
        Node("z1", Affine(2, 2), "x"),
        Node("dead", Tanh(), "z1"),
        Node("deader", Affine(2, 5), "dead"),
        Node("y1", Tanh(), "z1"),
        divergence=L2(),
        output="y1",
    )
    alive = Network(Node("z1", Affine(2, 2), "x"), Node("y1", Tanh(), "z1"), divergence=L2())
    case = Case.random(net, batch=3, seed=0)
    trace = backprop(case)
    for name in ("dead", "deader", "W_deader", "b_deader"):
        assert not trace.grad[name].any()
    assert trace.grad["deader"].shape == (3, 5)
    assert trace.grad["W_deader"].shape == (2, 5)
    assert not trace.edge_grad["z1", "dead"].any()
    same = backprop(Case(alive, {k: case.params[k] for k in ("W1", "b1")}, case.x, case.d))
    assert np.array_equal(trace.grad["W1"], same.grad["W1"])
    assert np.array_equal(trace.grad["x"], same.grad["x"])


def test_an_input_that_is_not_used_downstream_of_the_output():
    """Output in the middle: what comes after it is a dead end too."""
    net = Network(Node("a", Tanh(), "x"), Node("b", Affine(2, 2), "a"), divergence=L2(), output="a")
    trace = backprop(Case.random(net, batch=2, width=2))
    assert not trace.grad["b"].any()
    assert trace.grad["x"].any()


NETWORKS = {
    "layered": layered([Affine(3, 4), ReLU(), Affine(4, 3), Tanh(), Affine(3, 3)], CrossEntropy()),
    "sum": layered([Affine(3, 4), SELU(), Affine(4, 3)], KL(eps=0.1), reduction="sum"),
    "no bias": layered([Affine(3, 4, bias=False), GELU(), Affine(4, 3, bias=False)], L2()),
    "diamond": diamond(Multiply()),
    "before the first parameter": layered([Tanh(), Products([(0, 1), (2, 2)]), Affine(2, 1)], L2()),
    "maxout": layered([Maxout(3, 2, pieces=3), Affine(2, 2), Softmax()], L2()),
    "no parameters": layered([Tanh()], L2()),
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS.keys())
def test_training_gradients_are_backprops_bit_for_bit(network, dtype):
    case = Case.random(network, batch=5, seed=3, width=3, dtype=dtype)
    trace = backprop(case)
    Div, gradients = training_gradients(network, case.params, case.x, case.desired)
    assert np.array_equal(Div, trace.Div)
    assert set(gradients) == set(network.parameter_shapes)
    for name, g in gradients.items():
        assert g.tobytes() == trace.grad[name].tobytes(), name


def test_training_gradients_of_a_parameter_that_reaches_no_output():
    """A dead parameter must still get a gradient, of zeros, or a training step would miss it."""
    net = Network(
        Node("z1", Affine(2, 2), "x"), Node("z2", Affine(2, 2), "x"), divergence=L2(), output="z1"
    )
    case = Case.random(net, batch=2)
    _, gradients = training_gradients(net, case.params, case.x, case.desired)
    trace = backprop(case)
    assert not trace.grad["W2"].any()
    for name, g in gradients.items():
        assert np.array_equal(g, trace.grad[name])


def test_the_oracles_evaluator_is_backprop():
    """The tests' generic walk and the package's own give the same bits."""
    case = Case.random(diamond(Multiply()), batch=4, seed=2)
    generic = evaluate(case.network, given_of(case))
    own = flat(backprop(case))
    assert generic.keys() == own.keys()
    for name, value in own.items():
        assert np.array_equal(value, generic[name]), name


def test_the_trace_says_who_computed_it():
    trace = backprop(Case.random(diamond(Add()), batch=1))
    assert trace.adapter == "numpy"
    assert trace.versions == {"numpy": np.__version__}
    assert isinstance(trace.Err, float)
