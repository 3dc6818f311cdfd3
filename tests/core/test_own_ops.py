"""An op of a user's own whose formulas do not fit is told so at once, by node and formula."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from gradparity.comparisons import judge_end_to_end
from gradparity.comparisons.formulas import formulas
from gradparity.comparisons.selftest.faults import faulty
from gradparity.core import L2, Activation, Affine, Case, Divergence, Op, backprop, layered
from gradparity.core import scalar_backprop as by_units
from gradparity.core.contract import FormulaError

from own_ops import Huber, LayerNorm, Swish


class Cube(Op):
    def forward(self, p: Any, *y: Any) -> Any:
        return y[0] ** 3

    def backward(self, dz: Any, p: Any, y: Any, z: Any) -> Any:
        return (dz * (3 * y[0] ** 2),)


class Scaled(Cube):
    def parameter_shapes(self) -> Any:
        return {"s": (1,)}

    def forward(self, p: Any, *y: Any) -> Any:
        return p["s"] * y[0]

    def backward(self, dz: Any, p: Any, y: Any, z: Any) -> Any:
        return (p["s"] * dz,)

    def gradients(self, dz: Any, p: Any, y: Any, z: Any) -> Any:
        return {"s": (dz * y[0]).reshape(-1, 1).sum(axis=0)}


def having(kind: type, **methods: Any) -> Any:
    """An instance of a class like this one, as if written here, with other methods."""
    return type(kind.__name__, (kind,), {**methods, "__module__": __name__})()


def float64(dz: Any) -> Any:
    return dz * np.ones(dz.shape)


WRONG = [
    (Cube, {"backward": lambda self, dz, p, y, z: dz}, "Cube.backward returned ndarray; return a"),
    (Cube, {"backward": lambda self, dz, p, y, z: (dz, dz)}, "returned 2; return a tuple of 1"),
    (Cube, {"backward": lambda self, dz, p, y, z: (dz.sum(0),)}, r"dy of shape \(4,\), expected"),
    (Cube, {"backward": lambda self, dz, p, y, z: (float64(dz),)}, "dy of dtype float64 for"),
    (Cube, {"backward": lambda self, dz, p, y, z: (p["W"],)}, "Cube.backward: KeyError: 'W'"),
    (Cube, {"forward": lambda self, p, *y: y[0].sum(1)}, r"z of shape \(3,\), expected \(3, 4\)"),
    (Cube, {"forward": lambda self, p, *y: None}, "returned NoneType for z; return an array"),
    (Scaled, {"gradients": lambda self, *a: {}}, r"gradients returned \[\]; return a dict"),
    (Scaled, {"gradients": lambda self, *a: {"t": 1}}, r"\['t'\].*the parameters \['s'\]"),
    (Scaled, {"gradients": lambda self, dz, *a: {"s": dz}}, "ds of shape"),
]


class TestAFormulaThatDoesNotFit:
    @pytest.mark.parametrize(("kind", "methods", "said"), WRONG)
    def test_is_named_when_the_case_is_made(self, kind: type, methods: Any, said: str) -> None:
        network = layered([Affine(2, 4), having(kind)], L2())
        assert backprop(Case.random(network, dtype="float32")).value
        network = layered([Affine(2, 4), having(kind, **methods)], L2())
        with pytest.raises(FormulaError, match=said) as raised:
            Case.random(network, dtype="float32")
        assert f"node {network.output!r}, {kind.__name__}." in str(raised.value)

    def test_so_is_that_of_a_divergence(self) -> None:
        for methods, said in (
            ({"forward": lambda self, y, d: (y - d).sum()}, r"Div of shape \(\), expected \(3,\)"),
            ({"gradient": lambda self, y, d: y.no_such}, "L1.gradient: AttributeError"),
        ):
            right = {"forward": lambda self, y, d: abs(y - d).sum(axis=-1),
                     "gradient": lambda self, y, d: y - d}  # fmt: skip
            loss = type("L1", (Divergence,), {**right, **methods, "__module__": __name__})()
            with pytest.raises(FormulaError, match=said):
                Case.random(layered([Affine(2, 2)], loss))

    def test_what_is_not_written_yet_is_not_missed(self) -> None:
        class Forward(Op):
            def forward(self, p: Any, *y: Any) -> Any:
                return y[0]

        case = Case.random(layered([Forward()], L2()), width=2)
        with pytest.raises(NotImplementedError):
            backprop(case)

    def test_a_function_without_a_bound_is_named_with_its_node(self) -> None:
        class Sine(Activation):
            def f(self, z: Any) -> Any:
                return np.sin(z)

            def df(self, dy: Any, z: Any, y: Any) -> Any:
                return dy * np.cos(z)

        case = Case.random(layered([Affine(2, 2), Sine()], L2()))
        results = {"grad W1": backprop(case).grad["W1"]}  # on plain numbers it needs none
        with pytest.raises(FormulaError, match=r"node 'y1', Sine.forward: .*for np.sin"):
            judge_end_to_end(case, results)

    @pytest.mark.parametrize("letter", ["forward", "type", "a b", "_s", "class", ""])
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
            wrong = faulty(op, backward=lambda right, *args: tuple(2 * g for g in right(*args)))
            assert isinstance(wrong, type(op))
            assert getattr(wrong, "n", None) == getattr(op, "n", None)
            p = {name: np.ones(shape) for name, shape in op.parameter_shapes().items()}
            (right,), (twice,) = (o.backward(y, p, (y,), y) for o in (op, wrong))
            np.testing.assert_array_equal(twice, 2 * right)

    def test_the_scalar_form_says_what_to_do(self) -> None:
        with pytest.raises(TypeError, match=r"Cube has no scalar form: .* use `backprop`"):
            by_units(Case.random(layered([Cube()], L2()), width=2))


class TestItsFormulas:
    def test_are_read_off_its_code(self) -> None:
        norm, huber = formulas(LayerNorm, Huber)
        assert norm.backward[-1].startswith("dp = {'g': (dz * _normal(y[0])[0]).sum(axis=0)")
        assert norm.forward == ("z = p['g'] * _normal(y[0])[0] + p['b']",)
        assert any("_normal(y)" in line for line in norm.where)
        assert huber.name == "Huber"
        with pytest.raises(TypeError, match="is no class of op"):
            formulas(int)
