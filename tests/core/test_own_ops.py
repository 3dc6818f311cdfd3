"""An op of a user's own whose formulas do not fit is told so at once, by node and formula."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import gradparity as gp
from gradparity.comparisons import Verdict, judge, judge_end_to_end, selftest
from gradparity.comparisons.explain.faults import faulty
from gradparity.comparisons.lecture.formulas import formulas
from gradparity.core import (
    L2,
    Activation,
    Affine,
    Case,
    CrossEntropy,
    Divergence,
    Multiply,
    Network,
    Node,
    Op,
    Slopes,
    backprop,
    layered,
)
from gradparity.core import scalar_backprop as by_units
from gradparity.core.network.contract import FormulaError

from own_ops import Huber, LayerNorm, Swish


class Cube(Op):
    def forward(self, *y: Any) -> Any:
        return y[0] ** 3

    def vjp(self, dz: Any, y: Any, z: Any) -> Any:
        return (dz * (3 * y[0] ** 2),)


class Scaled(Cube):
    def parameter_shapes(self) -> Any:
        return {"s": (1,)}

    def forward(self, *y: Any) -> Any:
        return y[1] * y[0]

    def vjp(self, dz: Any, y: Any, z: Any) -> Any:
        return y[1] * dz, (dz * y[0]).reshape(-1, 1).sum(axis=0)


class Halves(Op):
    """Two outputs and a state."""

    outputs = ("low", "high")
    states = ("mean",)

    def output_shape(self, *shapes: Any) -> Any:
        half = (*shapes[0][:-1], shapes[0][-1] // 2)
        return half, half, ()

    def forward(self, *y: Any) -> Any:
        n = y[0].shape[-1] // 2
        return y[0][..., :n], y[0][..., n:], y[0].mean()

    def vjp(self, dz: Any, y: Any, z: Any) -> Any:
        return (np.concatenate(dz, axis=-1),)


def having(kind: type, **methods: Any) -> Any:
    """An instance of a class like this one, as if written here, with other methods."""
    return type(kind.__name__, (kind,), {**methods, "__module__": __name__})()


def float64(dz: Any) -> Any:
    return dz * np.ones(dz.shape)


WRONG = [
    (Cube, {"vjp": lambda self, dz, y, z: dz}, "Cube.vjp returned ndarray; return a tuple of 1"),
    (Cube, {"vjp": lambda self, dz, y, z: (dz, dz)}, "returned 2; return a tuple of 1"),
    (Cube, {"vjp": lambda self, dz, y, z: (dz.sum(0),)}, r"dy of shape \(4,\), expected"),
    (Cube, {"vjp": lambda self, dz, y, z: (float64(dz),)}, "dy of dtype float64 for"),
    (Cube, {"vjp": lambda self, dz, y, z: (y[1],)}, "Cube.vjp: IndexError: tuple index"),
    (Cube, {"vjp": lambda self, dz, y, z: (None,)}, "returned None for dy; return an array"),
    (Cube, {"vjp": lambda self, dz, y, z: (3.0,)}, "returned float for dy; return an array"),
    (Cube, {"forward": lambda self, *y: y[0].sum(1)}, r"z of shape \(3,\), expected \(3, 4\)"),
    (Cube, {"forward": lambda self, *y: None}, "returned NoneType for z; return an array"),
    (Scaled, {"vjp": lambda self, dz, y, z: ()}, "returned 0; return a tuple of 2"),
    (Scaled, {"vjp": lambda self, dz, y, z: {"s": dz}}, "returned dict; return a tuple of 2"),
    (Scaled, {"vjp": lambda self, dz, y, z: (dz, dz)}, r"ds of shape \(3, 4\), expected \(1,\)"),
    (Scaled, {"vjp": lambda self, dz, y, z: (dz, None)}, "returned None for ds; return an array"),
]

#: Of an op with several outputs.
WRONG_HALVES = [
    ({"forward": lambda self, y: y}, "forward returned ndarray; return a tuple of 3"),
    ({"forward": lambda self, y: (y, y)}, "forward returned 2; return a tuple of 3"),
    ({"forward": lambda self, y: (y, y, y)}, r"z of shape \(3, 4\), expected \(3, 2\)"),
    ({"vjp": lambda self, dz, y, z: dz}, "vjp returned 2; return a tuple of 1"),
    ({"vjp": lambda self, dz, y, z: (dz[0],)}, r"dy of shape \(3, 2\), expected \(3, 4\)"),
]


def gives(found: Any) -> Any:
    return lambda self, *shapes: found


#: What an op declares, and what is said of it.
DECLARED = [
    (Cube, {"parameter_shapes": gives(["W"])}, r"returned \['W'\]; return a dict of letter ->"),
    (Cube, {"parameter_shapes": gives(None)}, "returned None; return a dict of letter -> shape"),
    (Cube, {"parameter_shapes": gives({"W": 3})}, "shape 3 for 'W'; give a tuple of whole numbers"),
    (Cube, {"parameter_shapes": gives({"W": "ab"})}, "shape 'ab' for 'W'; give a tuple"),
    (Cube, {"parameter_shapes": gives({"W": (-3,)})}, r"shape \(-3,\) for 'W'; give a tuple"),
    (Cube, {"parameter_shapes": gives({3: (3,)})}, "a parameter named 3; give a string"),
    (Cube, {"parameter_shapes": lambda self: 1 / 0}, "Cube.parameter_shapes: ZeroDivisionError"),
    (Cube, {"output_shape": gives(None)}, r"returned None for inputs of shapes \(32, 4\); return"),
    (Cube, {"output_shape": gives((2.0, 3))}, r"returned \(2.0, 3\) .*return a shape, a tuple of"),
    (Cube, {"output_shape": gives((-2, 3))}, r"returned \(-2, 3\) .*return a shape, a tuple of"),
    (Cube, {"output_shape": lambda self, y: 1 / 0}, "Cube.output_shape: ZeroDivisionError: "),
    (Cube, {"output_shape": lambda self: (2,)}, "Cube.output_shape: TypeError: .* positional"),
    (Halves, {"output_shape": gives(((2,), (2,)))}, "return 3 shapes, one per output and state"),
    (Halves, {"output_shape": gives((2, 3, 4))}, "return 3 shapes, one per output and state"),
    (Cube, {"n_inputs": "2"}, "Cube.n_inputs is '2', a string; give a whole number >= 1, or None"),
    (Cube, {"outputs": "h"}, r"Cube.outputs is 'h'; give a tuple of names, such as \('h',\)"),
    (Cube, {"outputs": ()}, r"Cube.outputs is \(\); give a tuple of names, such as \('h', 'c'\)"),
    (Cube, {"buffers": "m"}, r"Cube.buffers is 'm'; give a tuple of names, such as \('m',\)"),
    (Cube, {"buffers": ("r",)}, "Cube.buffers names 'r', which .*; valid names: none"),
    (Cube, {"outputs": ("a", "b c")}, "'b c' is not a Python identifier; give names such as 'h'"),
    (Cube, {"states": ("class",)}, "Cube.states is .* 'class' is not a Python identifier"),
]


class TestADeclarationThatDoesNotFit:
    @pytest.mark.parametrize(("kind", "methods", "said"), DECLARED)
    def test_is_named_with_its_node(self, kind: type, methods: Any, said: str) -> None:
        with pytest.raises(FormulaError, match=said) as raised:
            Case.random(
                Network(Node("o", having(kind, **methods), "x"), divergence=L2(),
                        output="o.low" if kind is Halves else None), width=4,
            )  # fmt: skip
        assert f"node 'o', {kind.__name__}." in str(raised.value)

    def test_is_named_in_a_chain_too(self) -> None:
        with pytest.raises(FormulaError, match=r"layered, Cube.parameter_shapes returned None"):
            layered([having(Cube, parameter_shapes=gives(None))], L2())


class TestAFormulaThatDoesNotFit:
    @pytest.mark.parametrize(("kind", "methods", "said"), WRONG)
    def test_is_named_when_the_case_is_made(self, kind: type, methods: Any, said: str) -> None:
        network = layered([Affine(2, 4), having(kind)], L2())
        assert backprop(Case.random(network, dtype="float32")).value
        network = layered([Affine(2, 4), having(kind, **methods)], L2())
        with pytest.raises(FormulaError, match=said) as raised:
            Case.random(network, dtype="float32")
        assert f"node {network.output!r}, {kind.__name__}." in str(raised.value)

    @pytest.mark.parametrize(("methods", "said"), WRONG_HALVES)
    def test_so_is_that_of_an_op_of_several_outputs(self, methods: Any, said: str) -> None:
        def network(op: Op) -> Network:
            halves = Node("h", op, "x")
            return Network(halves, Node("m", Multiply(), "h.low", "h.high"), divergence=L2())

        trace = backprop(Case.random(network(Halves()), width=4, dtype="float32"))
        assert {"h.low", "h.high", "h.mean", "m"} == {*trace.value}
        assert {"h.low", "h.high", "m", "x", "Div"} == {*trace.grad}
        with pytest.raises(FormulaError, match=said) as raised:
            Case.random(network(having(Halves, **methods)), width=4, dtype="float32")
        assert "node 'h', Halves." in str(raised.value)

    def test_so_is_that_of_a_divergence(self) -> None:
        for methods, said in (
            ({"forward": lambda self, y, d: (y - d).sum()}, r"z of shape \(\), expected \(3,\)"),
            ({"gradient": lambda self, y, d: y.no_such}, "L1.vjp: AttributeError"),
        ):
            right = {"forward": lambda self, y, d: abs(y - d).sum(axis=-1),
                     "gradient": lambda self, y, d: y - d}  # fmt: skip
            loss = type("L1", (Divergence,), {**right, **methods, "__module__": __name__})()
            with pytest.raises(FormulaError, match=said):
                Case.random(layered([Affine(2, 2)], loss))

    def test_what_is_not_written_yet_is_not_missed(self) -> None:
        class Forward(Op):
            def forward(self, *y: Any) -> Any:
                return y[0]

        case = Case.random(layered([Forward()], L2()), width=2)
        with pytest.raises(NotImplementedError):
            backprop(case)

    def test_a_function_without_a_bound_is_named_with_its_node(self) -> None:
        class Sinh(Activation):
            def f(self, z: Any) -> Any:
                return np.sinh(z)

            def df(self, dy: Any, z: Any, y: Any) -> Any:
                return dy * np.cosh(z)

        case = Case.random(layered([Affine(2, 2), Sinh()], L2()))
        results = {"grad W1": backprop(case).grad["W1"]}  # on plain numbers it needs none
        with pytest.raises(FormulaError, match=r"node 'y1', Sinh.forward: .*for np.sinh"):
            judge_end_to_end(case, results)

    @pytest.mark.parametrize("letter", ["x", "params", "a b", "_s", "class", ""])
    def test_a_parameter_has_a_name_that_every_framework_can_have(self, letter: str) -> None:
        op = having(Scaled, parameter_shapes=lambda self: {letter: (1,)})
        with pytest.raises(ValueError, match=r"Scaled has a parameter .* reserved"):
            layered([op], L2())


class TestWithoutADataclass:
    def test_it_is_shown_by_what_it_was_given(self) -> None:
        assert repr(Cube()) == "Cube()"
        assert repr(LayerNorm(3)) == "LayerNorm(n=3, eps=1e-05, made_with=[3, 1e-05])"
        assert repr(Huber(2.0)) == "Huber(delta=2.0)"

    def test_faults_are_planted_in_it(self) -> None:
        @dataclass(frozen=True, slots=True)
        class Slotted(Cube):
            n: int = 2

        y = np.ones((1, 1))
        for op in (LayerNorm(1), Slotted(5), Cube(), Swish(1)):
            wrong = faulty(op, vjp=lambda right, *args: tuple(2 * g for g in right(*args)))
            assert isinstance(wrong, type(op))
            assert getattr(wrong, "n", None) == getattr(op, "n", None)
            inputs = (y, *(np.ones(shape) for shape in op.parameter_shapes().values()))
            gradients = (o.vjp(y, inputs, y) for o in (op, wrong))
            for right, twice in zip(*gradients, strict=True):
                np.testing.assert_array_equal(twice, 2 * right)

    def test_the_scalar_form_says_what_to_do(self) -> None:
        with pytest.raises(TypeError, match=r"Cube has no scalar form: .* use `backprop`"):
            by_units(Case.random(layered([Cube()], L2()), width=2))


class TestItsFormulas:
    def test_are_read_off_its_code(self) -> None:
        norm, huber = formulas(LayerNorm, Huber)
        gradients = "dy = ((d - own - normal * along) / deviation, (dz * normal).sum(axis=0), dz"
        assert norm.backward[-1].startswith(gradients)
        assert norm.forward == ("z = g * _normal(y)[0] + b",)
        assert any("_normal(y)" in line for line in norm.where)
        assert huber.name == "Huber"
        with pytest.raises(TypeError, match="is not a class of op"):
            formulas(int)


class PReLU(Op):
    """y if y > 0, else a y, with a trained slope a (n,): its kink depends on a parameter."""

    def __init__(self, n: int, at_zero: str = "right") -> None:
        self.n, self.at_zero = n, at_zero

    def parameter_shapes(self):
        return {"a": (self.n,)}

    def forward(self, y, a):
        return np.where(y > 0, y, a * y)

    def vjp(self, dz, inputs, z):
        y, a = inputs
        above = y >= 0 if self.at_zero == "right" else y > 0
        return np.where(above, dz, a * dz), (dz * np.minimum(y, 0)).sum(axis=0)

    def subdifferential(self, inputs, tiny):
        y, a = inputs
        at, a = np.abs(y) < tiny, np.broadcast_to(a, y.shape)
        return Slopes(at, np.minimum(a, 1), np.maximum(a, 1)) if at.any() else None


class TestAKinkThatDependsOnAParameter:
    @staticmethod
    def case(op: Op) -> Case:
        net = layered([op, Affine(4, 2)], CrossEntropy())
        case = Case.random(net, batch=6, width=4)
        x = np.array(case.x)
        x[3:] = 0.0
        params = {**case.params, "a1": np.array([0.25, 0.5, -1.0, 2.0])}
        return Case(net, params, x, case.d)

    @pytest.mark.parametrize("dtype", ["float64", "float32"])
    def test_any_slope_between_the_two_is_valid(self, dtype: str) -> None:
        case = self.case(PReLU(4)).astype(dtype)
        left = Case(self.case(PReLU(4, "left")).network, case.params, case.x, case.d)
        verdicts = {f.quantity: f.verdict for f in judge(case, backprop(left))}
        assert verdicts["grad x -> z1"] is Verdict.SUBGRADIENT
        assert set(verdicts.values()) <= {Verdict.EXACT, Verdict.ROUNDING, Verdict.SUBGRADIENT}

    def test_a_slope_outside_is_a_mismatch_for_the_unit_it_is_outside_of(self) -> None:
        case = self.case(PReLU(4))
        trace = backprop(case)
        dy = trace.grad["z1"][3:]
        trace.edge_grad["x", "z1"][3:] = 1.5 * dy  # valid where a is 2, and nowhere else
        trace.grad["x"] = trace.edge_grad["x", "z1"].copy()
        found = {f.quantity: f for f in judge(case, trace)}["grad x -> z1"]
        assert found.verdict is Verdict.MISMATCH
        assert found.outside == 3 * 3

    def test_check_op_and_the_self_test_know_the_kink(self) -> None:
        def backward(dz, y, a):
            return np.where(y > 0, dz, a * dz), (dz * np.minimum(y, 0)).sum(axis=0)

        def steep(dz, y, a):
            dy, da = backward(dz, y, a)
            return np.where(y == 0, 3 * dz, dy), da

        def forward(y, a):
            return np.where(y > 0, y, a * y)

        assert gp.check_op(forward, backward, reference=PReLU(4), width=4)
        report = gp.check_op(forward, steep, reference=PReLU(4), width=4)
        assert {run.case for run in report.runs if run.exit_code} >= {"at_kinks"}
        assert "at_kinks" not in report.skipped
        assert selftest(self.case(PReLU(4)), backprop, dtypes=["float64"])
