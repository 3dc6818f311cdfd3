"""Networks: order, names, edges, widths, and every refusal with the value received."""

from __future__ import annotations

import re

import numpy as np
import pytest

from gradparity.core import (
    L2,
    Add,
    Affine,
    Case,
    Concatenate,
    Edge,
    LSTMCell,
    Max,
    Maxout,
    MaxSubsets,
    Multiply,
    Network,
    Node,
    Products,
    ReLU,
    Softmax,
    Sum,
    Take,
    Tanh,
    VectorActivation,
    backprop,
    layered,
)
from gradparity.core.network.nodes import RESERVED


def chain(*names, op=Tanh()):  # noqa: B008
    nodes = [Node(n, op, before) for n, before in zip(names, ("x", *names), strict=False)]
    return Network(*nodes, divergence=L2())


def test_nodes_may_come_in_any_order_and_a_given_order_is_kept():
    a, b, c = Node("a", Tanh(), "x"), Node("b", Tanh(), "a"), Node("c", Add(), "a", "b")
    shuffled = Network(c, b, a, divergence=L2(), output="c")
    assert [n.name for n in shuffled.nodes] == ["a", "b", "c"]
    second = Node("second", Tanh(), "x")
    kept = Network(a, second, b, c, divergence=L2())
    assert [n.name for n in kept.nodes] == ["a", "second", "b", "c"]


def test_the_output_is_the_last_node_given_unless_named():
    a, b = Node("a", Tanh(), "x"), Node("b", Tanh(), "a")
    assert Network(a, b, divergence=L2()).output == "b"
    assert Network(b, a, divergence=L2()).output == "a"
    assert Network(a, b, divergence=L2(), output="a").output == "a"


def test_layered_names_are_the_lectures():
    net = layered([Affine(4, 3), ReLU(), Affine(3, 2), Softmax()], L2())
    assert [n.name for n in net.nodes] == ["z1", "y1", "z2", "y2"]
    assert net.parameter_shapes == {"W1": (4, 3), "b1": (3,), "W2": (3, 2), "b2": (2,)}
    assert layered([Softmax()], L2()).nodes[0].name == "y1"
    maxout = layered([Maxout(4, 3, pieces=2), Affine(3, 1, bias=False)], L2())
    assert maxout.parameter_shapes == {"W1": (4, 6), "b1": (6,), "W2": (3, 1)}
    names = [n.name for n in layered([Tanh(), Tanh(), Affine(2, 2), Tanh(), Tanh()], L2()).nodes]
    assert len(set(names)) == 5


def test_parameters_are_named_by_letter_and_node():
    net = Network(
        Node("z1", Affine(2, 2), "x"), Node("hidden", Affine(2, 1), "z1"), divergence=L2()
    )
    assert set(net.parameter_shapes) == {"W1", "b1", "W_hidden", "b_hidden"}


def test_edges_and_consumers():
    net = Network(
        Node("a", Tanh(), "x"),
        Node("m", Multiply(), "a", "a"),
        Node("s", Add(), "m", "a"),
        divergence=L2(),
    )
    assert net.consumers("a") == (Edge("a", "m[0]"), Edge("a", "m[1]"), Edge("a", "s"))
    assert net.consumers("s") == (Edge("s", "Div"),)
    assert net.edges[0] == ("x", "a")


def test_compound_ops_are_expanded():
    net = Network(Node("pool", MaxSubsets([[0, 1], [1, 2]]), "x"), divergence=L2())
    assert [n.name for n in net.nodes] == ["pool"]  # one op
    net = Network(Node("z1", Maxout(2, 3), "x"), divergence=L2())
    assert [n.name for n in net.nodes] == ["z1_pieces", "z1"]
    assert net.output == "z1"
    assert net.parameter_shapes == {"W_z1_pieces": (2, 6), "b_z1_pieces": (6,)}


def test_shapes_and_the_input_width():
    net = layered([Affine(4, 3), ReLU()], L2())
    own = {"W1": (4, 3), "b1": (3,)}
    assert net.shapes({"x": (5, 4)}) == {"x": (5, 4), "z1": (5, 3), "y1": (5, 3), **own}
    tokens = net.shapes({"x": (5, 2, 4)})
    assert tokens == {"x": (5, 2, 4), "z1": (5, 2, 3), "y1": (5, 2, 3), **own}
    assert net.input_width() == 4
    assert layered([Softmax()], L2()).input_width() is None


def test_a_repr_shows_the_ops():
    assert "z1=Affine(n_in=2, n_out=1, bias=True)" in repr(layered([Affine(2, 1)], L2()))


# --- refusals --------------------------------------------------------------------------------


def refused(message, *nodes, error=ValueError, **kwargs):
    with pytest.raises(error, match=message):
        Network(*nodes, **({"divergence": L2()} | kwargs))


def test_no_nodes():
    refused("at least one node")


def test_a_cycle_is_shown():
    refused(
        "cycle: (a -> b -> c -> a|b -> c -> a -> b|c -> a -> b -> c); unroll",
        Node("a", Add(), "x", "c"),
        Node("b", Tanh(), "a"),
        Node("c", Tanh(), "b"),
    )
    refused("cycle: a -> a", Node("a", Add(), "x", "a"))


def test_an_unknown_name():
    said = "'b' takes 'q', which is not a node; valid names: 'x'; an input is"
    refused(said, Node("b", Tanh(), "q"))
    refused("'b' takes 'Div'", Node("b", Tanh(), "Div"))


def test_a_name_given_twice():
    refused("two nodes are named 'a'", Node("a", Tanh(), "x"), Node("a", ReLU(), "x"))
    pieces = Node("a", Maxout(2, 2), "x")
    refused("two nodes are named 'a_pieces'", pieces, Node("a_pieces", ReLU(), "x"))


def test_a_name_taken_by_a_parameter():
    refused("'W1' of a parameter of 'z1' is taken", Node("z1", Affine(2, 2), "x"),
            Node("W1", Tanh(), "z1"))  # fmt: skip


@pytest.mark.parametrize("name", ["z 1", "1z", "z.1", "", "lambda", "class", "None", 3])
def test_names_that_are_no_identifiers_or_keywords(name):
    refused(f"node name {re.escape(repr(name))}.*identifier", Node(name, Tanh(), "x"))


@pytest.mark.parametrize("name", ["x", "d", "Div", "Err", "params", "_z", "__z__"])
def test_reserved_names(name):
    refused(f"'{name}' is reserved", Node(name, Tanh(), "x"))


def test_names_that_a_framework_keeps_for_itself_are_refused_by_its_adapter_alone():
    torch = pytest.importorskip("torch")
    from gradparity.adapters import AdapterError, get_adapter

    public = {name for name in dir(torch.nn.Module()) if not name.startswith("_")}
    assert {"type", "forward", "train"} <= public
    for name in sorted(public - RESERVED):
        case = Case.random(Network(Node(name, Affine(2, 2), "x"), divergence=L2()), batch=2)
        assert name in backprop(case).value
        with pytest.raises(AdapterError, match=name):
            get_adapter("torch").build(case.network, case.params)


@pytest.mark.parametrize(
    ("op", "inputs", "message"),
    [
        (Tanh(), ("x", "x"), r"'a': Tanh takes 1 value\(s\), received 2"),
        (Add(), ("x",), "'a': Add takes two or more values, received 1"),
        (Concatenate(), ("x",), "Concatenate takes two or more values, received 1"),
        (Multiply(), ("x",), r"Multiply takes 2 value\(s\), received 1"),
        (Multiply(), ("x", "x", "x"), r"Multiply takes 2 value\(s\), received 3"),
        (Affine(2, 2), ("x", "x"), r"Affine takes 1 value\(s\), received 2"),
        (MaxSubsets([[0]]), ("x", "x"), r"takes 1 value\(s\), received 2"),
    ],
)
def test_a_wrong_number_of_inputs(op, inputs, message):
    refused(message, Node("a", op, *inputs))


def test_a_node_without_op_or_inputs():
    for make, message in [
        (lambda: Node("a", Tanh, "x"), "'a': op is <class .*give an op such as ReLU"),
        (lambda: Node("a", "tanh", "x"), "op is 'tanh'"),
        (lambda: Node("a", Tanh()), r"'a': inputs are \(\).*such as 'x'"),
        (lambda: Node("a", Tanh(), 3), r"inputs are \(3,\)"),
        (lambda: Node("a", Tanh(), Node("b", Tanh(), "x")), "inputs are"),
    ]:
        with pytest.raises(TypeError, match=message):
            make()


def test_a_bad_divergence_output_or_reduction():
    node = Node("a", Tanh(), "x")
    refused("divergence is <class .*give one such as", node, divergence=L2, error=TypeError)
    refused("divergence is 'mse'", node, divergence="mse", error=TypeError)
    refused("output is 'b'; valid names: \\['a'\\]", node, output="b")
    refused(r"reduction='none'\): give 'mean' or 'sum'", node, reduction="none")


@pytest.mark.parametrize(
    ("ends", "message", "error"),
    [
        ("y", r"ends is 'y'; give name -> factor, such as \{'loss': 1.0\}", TypeError),
        (["y"], r"ends is \['y'\]; give name -> factor", TypeError),
        ({}, r"ends is \{\}, so nothing would be differentiated; give name -> factor", ValueError),
        ({"y": None}, "the factor of 'y' is None; give a finite number != 0", ValueError),
        ({"y": "1"}, "the factor of 'y' is '1'; give a finite number", ValueError),
        ({"y": float("inf")}, "the factor of 'y' is inf; give a finite number", ValueError),
        ({"y": float("nan")}, "the factor of 'y' is nan; give a finite number", ValueError),
        ({"y": 0.0}, "the factor of 'y' is 0.0; give a number != 0", ValueError),
    ],
)
def test_bad_ends(ends, message, error):
    refused(message, Node("y", Sum(), "x"), divergence=None, ends=ends, error=error)


def test_a_last_node_with_several_outputs():
    said = "node 'y' has the outputs h and c; give output='y.h' or output='y.c'"
    node = Node("y", LSTMCell(2, 2), "x", "h", "c")
    refused(said, node, inputs=("x", "h", "c"))
    assert Network(node, divergence=L2(), inputs=("x", "h", "c"), output="y.h").output == "y.h"


def test_weights_without_a_divergence():
    refused(
        "weights is 'w' together with ends=; weights belong to a divergence",
        Node("y", Sum(), "x"),
        divergence=None,
        ends={"y": 1.0},
        inputs=("x", "w"),
        weights="w",
        error=TypeError,
    )


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        (
            [Node("a", Affine(3, 2), "x")],
            r"node 'a' <- x: .*width 3, received shape \(2, 4\)",
        ),
        (
            [Node("a", Affine(4, 2), "x"), Node("b", Add(), "a", "x")],
            r"node 'b' <- a, x: Add: the shapes \(2, 2\) and \(2, 4\) do not broadcast",
        ),
        ([Node("a", Take((0, 4)), "x")], r"index 4 of a value of shape \(2, 4\).*0 to 3"),
        ([Node("a", Products([(0, 4)]), "x")], r"index 4 of a value of shape \(2, 4\)"),
        (
            [Node("a", Max((2, 3)), "x")],
            r"Max\(sizes=\(2, 3\)\) takes a value of width 5.*received shape",
        ),
        ([Node("a", MaxSubsets([[0, 7]]), "x")], r"index 7 of a value of shape \(2, 4\)"),
    ],
)
def test_a_width_that_does_not_fit(nodes, message):
    net = Network(*nodes, divergence=L2())
    with pytest.raises(ValueError, match=message):
        net.shapes({"x": (2, 4)})


def test_a_vector_activation_is_checked():
    with pytest.raises(ValueError, match="exactly one of jacobian= and pullback="):
        VectorActivation(np.tanh, n_in=2, n_out=2)
    with pytest.raises(ValueError, match="exactly one"):
        VectorActivation(np.tanh, jacobian=np.tanh, pullback=np.tanh, n_in=2, n_out=2)
    with pytest.raises(ValueError, match="n_in=0"):
        VectorActivation(np.tanh, jacobian=np.tanh, n_in=0, n_out=2)
    wrong = VectorActivation(np.tanh, jacobian=lambda z: z, n_in=2, n_out=2)
    z = np.ones((3, 2))
    with pytest.raises(ValueError, match=r"jacobian returned shape \(3, 2\), expected \(3, 2, 2\)"):
        wrong.df(z, z, z)
    with pytest.raises(ValueError, match=r"function returned shape \(3, 2\), expected \(3, 5\)"):
        VectorActivation(np.tanh, jacobian=lambda z: z, n_in=2, n_out=5).f(z)
    with pytest.raises(ValueError, match=r"pullback returned shape \(3, 1\), expected \(3, 2\)"):
        VectorActivation(np.tanh, pullback=lambda dy, z: z[:, :1], n_in=2, n_out=2).df(z, z, z)
