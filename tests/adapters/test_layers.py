"""A course's layers as an implementation: many styles, and mistakes named at their node."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import pytest

import gradparity as gp
from course_layers import (
    Columns,
    CrossEntropyLoss,
    HalfSquares,
    InOut,
    Linear,
    ReLU,
    Scale,
    Tanh,
    Writes,
    bad,
    chain,
    everything,
    in_columns,
    label_loss,
    layers_of,
    net,
    styles,
    two,
)
from gradparity import core
from gradparity.adapters import AdapterError
from gradparity.comparisons.selftest.run import selftest

Array = Any


class TestRightOnesPass:
    @pytest.mark.parametrize("seed", range(40))
    def test_random_chains(self, seed: int) -> None:
        case = chain(seed, square=seed % 3 == 0)
        report = gp.check(case, gp.LayerStack(layers_of, HalfSquares))
        assert report.exit_code != 1, report
        assert all(f.parity is not False for _, f in report.findings())
        assert {f.quantity for _, f in report.findings()} == everything(case) | {"Err"}

    @pytest.mark.parametrize("seed", range(8))
    def test_of_cross_entropy(self, seed: int) -> None:
        case = chain(seed, core.CrossEntropy())
        assert not bad(gp.check(case, gp.LayerStack(layers_of, CrossEntropyLoss)))

    @pytest.mark.parametrize("bias", [(-1,), (1, -1), (-1, 1)])
    def test_any_shape_of_a_bias(self, bias: tuple[int, ...]) -> None:
        own = gp.LayerStack(partial(layers_of, Affine=partial(Linear, bias=bias)), HalfSquares)
        assert gp.check(two(), own)

    def test_no_bias(self) -> None:
        case = net(core.Affine(5, 4, bias=False), core.Tanh())
        assert gp.check(case, gp.LayerStack([Linear(5, 4, None), Tanh()], HalfSquares))

    def test_one_of_each_other_style(self) -> None:
        for name, (case, own) in styles().items():
            report = gp.check(case, own)
            assert report, f"{name}\n{report}"

    def test_the_frameworks_of_a_test_suite(self) -> None:
        own = gp.OwnNetwork(two(), gp.LayerStack(layers_of, HalfSquares))
        assert own.name == "layers_of"
        assert all(check() for check in own.checks().values())


class TestInColumns:
    def test_with_a_mean_in_the_layers(self) -> None:
        dicts = {"W": ("params.W", "grads.W"), "b": ("params.b", "grads.b")}
        own = gp.LayerStack(
            partial(layers_of, Affine=Columns), in_columns, samples="columns", parameters=dicts
        )
        assert gp.check(two(), own, allow=["sum", "mean"])
        found = gp.check(two(), own)
        assert {f.convention for _, f in found.findings() if not f.parity} == {"sum", "mean"}


# --- mistakes -------------------------------------------------------------------------------------


class Averaging(Linear):
    def backward(self, dLdZ: Array) -> Array:
        dLdA = super().backward(dLdZ)
        self.dLdb = self.dLdb / len(dLdZ)
        return dLdA


class Turned(Linear):
    def backward(self, dLdZ: Array) -> Array:
        dLdA = super().backward(dLdZ)
        self.dLdW = self.dLdW.T
        return dLdA


class NoGradient(Linear):
    def backward(self, dLdZ: Array) -> Array:
        dLdA = super().backward(dLdZ)
        self.dLdW = None
        return dLdA


class OfItsOutput(ReLU):
    def backward(self, dLdA: Array) -> Array:
        return dLdA * (self.A >= 0)


class Halves(Tanh):
    def forward(self, Z: Array) -> Array:
        return super().forward(Z) / 2


class Slow(Tanh):
    def backward(self, dLdA: Array) -> Array:
        return dLdA * (1 - self.A)


class Summing(HalfSquares):
    def backward(self) -> Array:
        return self.A - self.Y


class Tall(Tanh):
    def forward(self, Z: Array) -> Array:
        return super().forward(Z).T


class Nothing(Tanh):
    def backward(self, dLdA: Array) -> Array:
        super().backward(dLdA)


class TestMistakes:
    @pytest.mark.parametrize("square", [False, True])
    @pytest.mark.parametrize(
        ("instead", "quantities"),
        [
            ({"Affine": Averaging}, {"grad b1": "z1", "grad b2": "z2", "grad b3": "z3"}),
            ({"Affine": Turned}, {"grad W1": "z1", "grad W2": "z2", "grad W3": "z3"}),
            ({"ReLU": OfItsOutput}, {"grad z1": "y1"}),
            ({"Tanh": Halves}, {"value y2": "y2"}),  # and its slope is right for its value
            ({"Tanh": Slow}, {"grad z2": "y2"}),
        ],
        ids=lambda p: next(iter(p.values())).__name__ if callable(next(iter(p.values()))) else "",
    )
    def test_each_is_named_at_its_node(
        self, instead: dict[str, Any], quantities: dict[str, str], square: bool
    ) -> None:
        widths = [4, 4, 4, 4] if square else [6, 5, 4, 3]
        relu = core.ReLU(subgradient="left")
        first, second, third = (core.Affine(*widths[i : i + 2]) for i in range(3))
        case = net(first, relu, second, core.Tanh(), third)
        own = gp.LayerStack(partial(layers_of, **instead), HalfSquares)
        assert bad(gp.check(case, own)) == quantities

    def test_of_a_loss(self) -> None:
        report = gp.check(two(), gp.LayerStack(layers_of, Summing))
        assert bad(report) == {"grad z2": "Div"}
        assert "the sum over the batch of 6" in str(report).replace("\n", " ")

    def test_what_comes_before_another_shape_is_judged(self) -> None:
        case = net(core.Affine(5, 4), core.Tanh(), core.Affine(4, 3))
        report = gp.check(case, gp.LayerStack(partial(layers_of, Tanh=Tall), HalfSquares))
        found = {f.quantity: f for f in report.runs[0].findings}
        assert found["value z1"].parity
        assert found["value y1"].parity is False
        assert set(found) <= {"value z1", "value y1", "gradients"}  # which were not reached
        assert "has shape (4, 6), expected (6, 4)" in found["value y1"].note

    def test_nothing_returned(self) -> None:
        case = net(core.Affine(5, 4), core.Tanh(), core.Affine(4, 3))
        for instead, quantity in (
            ({"Tanh": Nothing}, "grad z1"),
            ({"Affine": NoGradient}, "grad W1"),
        ):
            report = gp.check(case, gp.LayerStack(partial(layers_of, **instead), HalfSquares))
            assert quantity in bad(report)
            assert "is None, expected an array" in str(report)
            assert report.exit_code == 1

    def test_another_dtype(self) -> None:
        wide = net(core.Affine(5, 4), core.ReLU())
        lists = {"W": ("params.0", "grads.0"), "b": ("params.1", "grads.1")}
        layers = [InOut(5, 4), ReLU()]
        own = gp.LayerStack(layers, HalfSquares, weights="in, out", parameters=lists)
        assert not bad(gp.check(wide, own, dtypes=["float64"]))
        report = gp.check(wide, own, dtypes=["float32"])
        assert set(bad(report)) == {"dtype"}
        assert "2 of 8 results, such as grad W1, have dtype float64" in report.diagnosis()

    def test_square_weights_are_not_guessed(self) -> None:
        case = net(core.Affine(4, 4), core.Tanh())
        found = bad(gp.check(case, gp.LayerStack(layers_of, HalfSquares, weights="in, out")))
        assert found["value z1"] == "z1"


# --- one run and the next -------------------------------------------------------------------------


class Counting(Tanh):
    def __init__(self) -> None:
        self.calls = 0

    def forward(self, Z: Array) -> Array:
        self.calls += 1
        return super().forward(Z) if self.calls == 1 else Z


class TestNothingIsLeft:
    def test_of_layers_that_are_given(self) -> None:
        case, layers, loss = (
            net(core.Affine(5, 4), core.Tanh()),
            [Linear(5, 4), Counting()],
            HalfSquares(),
        )
        own = gp.LayerStack(layers, loss)
        assert gp.check(case, own)
        assert gp.check(case, own)
        assert layers[1].calls == 0
        assert not layers[0].W.any()
        assert not hasattr(loss, "A")

    def test_of_layers_that_are_made(self) -> None:
        case = net(core.Affine(5, 4), core.Tanh())
        assert gp.check(case, gp.LayerStack(lambda: [Linear(5, 4), Counting()], HalfSquares))

    def test_the_case_is_not_written_into(self) -> None:
        network = gp.layered([Scale(), core.Affine(4, 3)], core.L2())
        case = gp.Case.random(network, width=4)
        own = gp.LayerStack(
            [Writes(4), Linear(4, 3)], HalfSquares, parameters={"g": ("weight", "grad")}
        )
        report = gp.check(case, own)
        assert "inputs" in bad(report)  # x is what the first layer is given

    def test_what_cannot_be_copied(self) -> None:
        relu = ReLU()
        relu.np = np  # type: ignore[attr-defined]
        with pytest.raises(
            AdapterError, match=r"cannot be copied \(.*give functions that make them"
        ):
            gp.LayerStack([Linear(5, 4), relu], HalfSquares)(net(core.Affine(5, 4), core.ReLU()))


class TestTrace:
    @pytest.mark.parametrize("dtype", ["float64", "float32"])
    @pytest.mark.parametrize(("reduction", "scale"), [("mean", 1.0), ("mean", 4.0), ("sum", 1.0)])
    def test_is_that_of_the_core(self, dtype: str, reduction: str, scale: float) -> None:
        case = net(core.Affine(5, 4), core.Tanh(), reduction=reduction, scale=scale).astype(dtype)
        weight = scale / case.T if reduction == "mean" else scale

        def loss(A: Array, Y: Array) -> tuple[Array, Array]:
            w = scale / len(A) if reduction == "mean" else scale
            return w * ((A - Y) ** 2).sum() / 2, w * (A - Y)

        trace, right = gp.LayerStack(layers_of, loss).trace(case), gp.backprop(case)
        assert not [f for f in gp.judge(case, trace) if not f.parity]
        assert trace.dtype == case.dtype
        assert np.isclose(trace.Err, right.Err)
        assert set(trace.grad) == set(right.grad)
        assert set(trace.edge_grad) == set(right.edge_grad)
        assert np.allclose(trace.grad["Div"], weight)

    def test_of_div_of_each_instance(self) -> None:
        case = net(core.Affine(5, 4), core.Tanh(), loss=core.CrossEntropy())
        trace = gp.LayerStack(layers_of, label_loss, targets="labels").trace(case)
        assert not [f for f in gp.judge(case, trace) if not f.parity]

    def test_for_a_selftest(self) -> None:
        found = selftest(two(), gp.LayerStack(layers_of, HalfSquares).trace, dtypes=["float64"])
        assert not found.alarms
        assert {r.fault for r in found.survivors} <= {"wrong weight at a kink"}
        assert not selftest(two(), gp.LayerStack(layers_of, Summing).trace, dtypes=["float64"])

    def test_of_what_stops(self) -> None:
        case = net(core.Affine(5, 4), core.Tanh(), core.Affine(4, 3))
        with pytest.raises(AdapterError, match=r"'mine' has no trace: value z2 was not reached"):
            gp.LayerStack(partial(layers_of, Tanh=Tall), HalfSquares, name="mine").trace(case)


@pytest.mark.parametrize(("convention", "of"), [("mse", "size"), ("half", "__len__")])
def test_losses_of_courses(convention: str, of: str) -> None:
    """As docs/how-to/own-network.md has them."""

    def loss(A: Array, Y: Array) -> tuple[Array, Array]:
        n = A.size if of == "size" else len(A)
        return ((A - Y) ** 2).sum() / n, 2 * (A - Y) / n

    own = gp.LayerStack(layers_of, loss)
    assert gp.check(two(), own, allow=[convention])
    assert {f.convention for _, f in gp.check(two(), own).findings() if not f.parity} == {
        convention
    }


class Lookup:
    """An embedding, whose input has no gradient."""

    def __init__(self, n: int, d: int) -> None:
        self.E = np.zeros((n, d))  # though the matrices of `Linear` are (out, in)

    def forward(self, ids: Array) -> Array:
        self.ids = ids
        return self.E[ids]

    def backward(self, dLdZ: Array) -> None:
        self.dLdE = np.zeros(self.E.shape, dLdZ.dtype)
        np.add.at(self.dLdE, self.ids, dLdZ)


class Doubled(Lookup):
    """Counts an id once where it occurs twice: wrong."""

    def backward(self, dLdZ: Array) -> None:
        self.dLdE = np.zeros(self.E.shape, dLdZ.dtype)
        self.dLdE[self.ids] += dLdZ


class Total:
    """The sum over the tokens of a sequence."""

    def forward(self, A: Array) -> Array:
        self.shape = A.shape
        return A.sum(axis=1)

    def backward(self, dLdA: Array) -> Array:
        return np.broadcast_to(dLdA[:, None], self.shape)


class Token(Linear):
    """An affine map of every token."""

    def backward(self, dLdZ: Array) -> Array:
        self.dLdW = np.einsum("tso,tsi->oi", dLdZ, self.A)
        self.dLdb = dLdZ.sum(axis=(0, 1)).reshape(self.b.shape)
        return dLdZ @ self.W


def of_ids(last: int = 3) -> gp.Case:
    network = gp.Network(
        gp.Node("e", core.Embedding(7, 4), "ids"), gp.Node("t", core.Tanh(), "e"),
        gp.Node("s", core.Sum((1,)), "t"), gp.Node("o", core.Affine(4, last), "s"),
        divergence=core.L2(), inputs=("ids",),
    )  # fmt: skip
    ids = np.random.default_rng(0).integers(0, 7, (6, 5))
    return gp.Case.random(network, x={"ids": ids})


class TestInputs:
    def test_integers(self) -> None:
        case, own = (
            of_ids(),
            gp.LayerStack([Lookup(7, 4), Tanh(), Total(), Linear(4, 3)], HalfSquares),
        )
        report = gp.check(case, own)
        assert report, report
        trace, right = own.trace(case), gp.backprop(case)
        assert set(trace.grad) == set(right.grad)
        assert set(trace.edge_grad) == set(right.edge_grad)
        assert not [f for f in gp.judge(case, trace) if not f.parity]

    def test_a_table_that_has_the_name_of_a_matrix(self) -> None:
        class Table(Lookup):
            @property
            def W(self) -> Array:
                return self.E

            @W.setter
            def W(self, E: Array) -> None:
                self.E = E

            @property
            def dLdW(self) -> Array:
                return self.dLdE

        layers = [Table(7, 4), Tanh(), Total(), Linear(4, 3)]
        own = gp.LayerStack(layers, HalfSquares, parameters={"E": ("W", "dLdW")})
        assert gp.check(of_ids(), own)

    def test_a_mistake_at_integers(self) -> None:
        own = gp.LayerStack([Doubled(7, 4), Tanh(), Total(), Linear(4, 3)], HalfSquares)
        assert bad(gp.check(of_ids(), own)) == {"grad E_e": "e"}

    def test_another_name_and_images(self) -> None:
        network = gp.Network(
            gp.Node("z", core.Affine(4, 3), "tokens"), gp.Node("y", core.ReLU(), "z"),
            gp.Node("s", core.Sum((1,)), "y"), divergence=core.L2(), inputs=("tokens",),
        )  # fmt: skip
        x = np.random.default_rng(0).standard_normal((6, 5, 4))
        case = gp.Case.random(network, x={"tokens": x})
        own = gp.LayerStack([Token(4, 3, (-1,)), ReLU(), Total()], HalfSquares)
        results = own(case)
        assert list(results)[-1] == "grad tokens"
        assert results["grad tokens"].shape == (6, 5, 4)
        assert gp.check(case, own)
        assert not [f for f in gp.judge(case, own.trace(case)) if not f.parity]


class Smooth:
    """A smooth activation; its form is in the subclasses."""

    def forward(self, Z: Array) -> Array:
        self.Z = Z
        return np.tanh(Z)

    def slope(self) -> Array:
        return 1 - np.tanh(self.Z) ** 2


class SlopeAlone(Smooth):
    def backward(self) -> Array:
        return self.slope()


class Derivative(Smooth):
    def derivative(self) -> Array:
        return self.slope()


class DerivativeAt(Smooth):
    def forward(self, Z: Array) -> Array:
        A = np.tanh(Z)
        Z[...] = np.nan  # the derivative is taken at the input as it was
        return A

    def derivative(self, Z: Array) -> Array:
        return 1 - np.tanh(Z) ** 2


class DerivativeOrStored(Smooth):
    def derivative(self, Z: Array | None = None) -> Array:
        return 1 - np.tanh(self.Z if Z is None else Z) ** 2


class TestLocalSlopes:
    CASE = net(core.Affine(5, 4), core.Tanh(), core.Affine(4, 3))
    FORMS = SlopeAlone, Derivative, DerivativeAt, DerivativeOrStored

    @pytest.mark.parametrize("form", FORMS)
    def test_an_elementwise_layer_may_return_its_slope(self, form: type) -> None:
        def layers() -> list[Any]:
            return [Linear(5, 4), form(), Linear(4, 3)]

        report = gp.check(self.CASE, gp.LayerStack(layers, HalfSquares))
        assert report, report
        assert "grad z1" in {f.quantity for _, f in report.findings()}

    def test_a_wrong_slope_is_found(self) -> None:
        class Wrong(SlopeAlone):
            def backward(self) -> Array:
                return 1 + np.tanh(self.Z) ** 2

        own = gp.LayerStack([Linear(5, 4), Wrong(), Linear(4, 3)], HalfSquares)
        assert bad(gp.check(self.CASE, own, dtypes=["float64"])) == {"grad z1": "y1"}

    def test_what_is_no_slope_is_refused_in_words(self) -> None:
        class Jacobian(SlopeAlone):
            def backward(self) -> Array:
                return np.eye(4) * super().backward()[:, None]

        class Number(SlopeAlone):
            def backward(self) -> Any:
                return 1.0

        class Many(Smooth):
            def backward(self, dLdA: Array, A: Array, Z: Array) -> Array:
                return dLdA

        said = {
            Jacobian: r"'y1', backward returned an array of shape \(6, 4, 4\), and the layer's",
            Number: "'y1', backward returned a float, and the layer's output has shape",
            Many: r"'y1', backward takes .*dLdA.*, A.*, Z.*; write backward\(dLdA\)",
            Smooth: r"'y1' has no method 'backward' and no 'derivative'; write backward\(dLdA\)",
        }
        for form, message in said.items():
            own = gp.LayerStack([Linear(5, 4), form(), Linear(4, 3)], HalfSquares)
            with pytest.raises(AdapterError, match=message):
                own(self.CASE)
