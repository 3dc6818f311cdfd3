"""A course's layers as an implementation: what does not fit is told, with layer and node."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import gradparity as gp
from course_layers import (
    HalfSquares,
    Linear,
    ReLU,
    Tanh,
    layers_of,
    net,
    two,
)
from gradparity import core
from gradparity.adapters import AdapterError

Array = Any


class Broken(ReLU):
    def backward(self, dLdA: Array) -> Array:
        raise ZeroDivisionError("of mine")


class TestErrors:
    @pytest.mark.parametrize(
        ("layers", "loss", "settings", "message"),
        [
            (3, HalfSquares, {}, "layers is 3; give a list"),
            ([], 3, {}, "loss is 3; give an object with forward"),
            ([], (np.sum,), {}, "loss is .*a pair of functions"),
            ([], HalfSquares, {"weights": "row"}, "weights is 'row'; give 'out, in' or 'in, out'"),
            ([], HalfSquares, {"samples": "T"}, "samples is 'T'; give 'rows' or 'columns'"),
            ([], HalfSquares, {"targets": "d"}, "targets is 'd'; give 'desired' or 'labels'"),
            ([], HalfSquares, {"parameters": "W"}, "parameters is 'W'; give a dict"),
            ([], HalfSquares, {"parameters": {"W": "weight"}}, "'weight' for 'W'; give two names"),
        ],
    )
    def test_of_arguments(self, layers: Any, loss: Any, settings: Any, message: str) -> None:
        with pytest.raises((TypeError, ValueError), match=message):
            gp.LayerStack(layers, loss, **settings)

    @pytest.mark.parametrize(
        ("layers", "settings", "message"),
        [
            ([Linear(5, 4), ReLU()], {},
             r"2 layers \(Linear, ReLU\) were given for 3 nodes, z1 \(Affine\)"),
            ([Linear(5, 4), ReLU(), Tanh()], {}, r"layers\[2\] \(Tanh\) at node 'z2' has no 'W'"),
            ([Linear(5, 4, None), ReLU(), Linear(4, 3)], {}, "'z1' has 'b', which is None"),
            ([Linear(5, 4), Linear(4, 4), Linear(4, 3)], {},
             r"layers\[1\] \(Linear\) at node 'y1' has a parameter 'W', and ReLU"),
            ([Linear(4, 5), ReLU(), Linear(3, 4)], {},
             r"'z1' has 'W' of shape \(5, 4\), expected \(4, 5\).*give weights='in, out'"),
            ([Linear(5, 4), ReLU(), Linear(4, 3)], {"weights": "in, out"},
             r"'W' of shape \(4, 5\), expected \(5, 4\).*give weights='out, in'"),
            ([Linear(6, 4), ReLU(), Linear(4, 3)], {}, r"shape \(4, 6\), expected \(4, 5\)"),
            ([Linear(5, 4), ReLU(), Linear(4, 3)], {"parameters": {"b": ("bias", "dLdb")}},
             r"'z1' has no 'bias', .* parameter b; say where it is, parameters=\{'b'"),
            ([Linear(5, 4), ReLU(), Linear(4, 3)], {"parameters": {"b": ("b", "db")}},
             r"layers\[2\] .* has no 'db' after backward, the gradient of 'b'"),
            ([Linear(5, 4), ReLU(), Linear(4, 3)], {"parameters": {"b": ("W", "db")}},
             r"'W' of shape \(4, 5\), expected \(4,\) or \(1, 4\) or \(4, 1\)"),
            ([Linear(5, 4), object(), Linear(4, 3)], {},
             r"layers\[1\] \(object\) at node 'y1' has no "),
            ([Linear(5, 4), ReLU(), Linear(4, 3)], {"targets": "labels"},
             "targets='labels', and d"),
            ([Linear(5, 4), Broken(), Linear(4, 3)], {},
             r"layers\[1\] \(Broken\) at node 'y1', backward: ZeroDivisionError: of mine"),
        ],
    )  # fmt: skip
    def test_of_layers(self, layers: Any, settings: Any, message: str) -> None:
        own = gp.LayerStack(layers, HalfSquares, **settings)
        with pytest.raises(RuntimeError, match=message):
            own(two())
        report = gp.check(two(), own)  # and told by a report
        assert report.exit_code == 2
        assert [f.quantity for _, f in report.findings()] == ["everything"] * 2

    def test_the_line_of_ones_own_code(self) -> None:
        own = gp.LayerStack([Linear(5, 4), Broken(), Linear(4, 3)], HalfSquares)
        (note,) = {f.note for _, f in gp.check(two(), own).findings()}
        assert "test_layers_errors.py:" in note
        assert "in backward)" in note

    def test_of_tuples(self) -> None:
        fixed = SimpleNamespace(params=(np.zeros((4, 4)), np.zeros(4)), layers=None)
        del fixed.layers
        own = gp.LayerStack(
            [fixed], HalfSquares, parameters={"W": ("params.0", "g"), "b": ("params.1", "g")}
        )
        with pytest.raises(AdapterError, match=r"'z1': 'params.0' cannot be set"):
            own(net(core.Affine(4, 4)))

    def test_one_layer_for_two_nodes(self) -> None:
        twice = Linear(4, 4)
        case = net(core.Affine(4, 4), core.Tanh(), core.Affine(4, 4))
        with pytest.raises(AdapterError, match="is the layer of node 'z1' too"):
            gp.LayerStack([twice, Tanh(), twice], HalfSquares)(case)

    def test_of_a_loss(self) -> None:
        with pytest.raises(AdapterError, match=r"the loss returned float64; return \(Err"):
            gp.LayerStack(layers_of, lambda A, Y: np.sum(A))(two())
        with pytest.raises(gp.adapters.LayerError, match="the loss, forward: AttributeError"):
            gp.LayerStack(layers_of, (lambda A, Y: A.nothing, lambda: 0))(two())

    def test_of_networks(self) -> None:
        branch = gp.Network(
            gp.Node("z1", core.Affine(5, 4), "x"), gp.Node("y1", core.Tanh(), "z1"),
            gp.Node("s1", core.Add(), "z1", "y1"), divergence=core.L2(),
        )  # fmt: skip
        inner = gp.Network(
            gp.Node("z1", core.Affine(5, 4), "x"), gp.Node("y1", core.Tanh(), "z1"),
            divergence=core.L2(), output="z1",
        )  # fmt: skip
        own = gp.LayerStack(layers_of, HalfSquares)
        with pytest.raises(
            AdapterError, match="not a row of layers: node 's1' takes z1, y1 and not y1 alone"
        ):
            own(gp.Case.random(branch))
        several = gp.Network(
            gp.Node("z1", core.Affine(5, 4), "a"), gp.Node("s1", core.Add(), "z1", "b"),
            gp.Node("y1", core.Tanh(), "s1"), divergence=core.L2(), inputs=("a", "b"),
        )  # fmt: skip
        x = {"a": np.ones((3, 5)), "b": np.ones((3, 4))}
        with pytest.raises(
            AdapterError,
            match="not a row of layers: the inputs are a, b; node 's1' takes z1, b and not z1 "
            "alone; return results by name, from a function of the case",
        ):
            own(gp.Case.random(several, x=x))
        weighed = gp.Network(
            gp.Node("z1", core.Affine(5, 4), "x"), divergence=core.L2(), inputs=("x", "w"),
            weights="w",
        )  # fmt: skip
        with pytest.raises(
            AdapterError, match="the inputs are x, w, and the first layer takes one"
        ):
            own(gp.Case.random(weighed, x={"x": np.ones((3, 5)), "w": np.ones(3)}))
        ended = gp.Network(gp.Node("s", core.Sum(), "x"), ends={"s": 1.0})
        with pytest.raises(AdapterError, match="the network ends at s and has no divergence"):
            own(gp.Case.random(ended, width=3))
        with pytest.raises(AdapterError, match="the output is 'z1' and not the last node, 'y1'"):
            own(gp.Case.random(inner))
        maxout = net(core.Affine(5, 4), core.Maxout(4, 3, 2))
        with pytest.raises(AdapterError, match=r"2 layers \(Linear, ReLU\) were given for 3 nodes"):
            gp.LayerStack([Linear(5, 4), ReLU()], HalfSquares)(maxout)


def test_a_layer_that_returns_several_things_is_named() -> None:
    class Several(ReLU):
        def backward(self, dLdA: Array) -> Any:
            return super().backward(dLdA), dLdA

    case = gp.Case.random(gp.layered([core.ReLU()], core.L2()), width=3)
    report = gp.check(case, gp.LayerStack([Several()], HalfSquares), dtypes=["float64"])
    assert report.exit_code == 2
    assert "Several" in str(report)
    assert "backward returned a tuple of 2; return one array" in " ".join(str(report).split())
