"""`check_op` on ops of several outputs, of integers, and of one number for the whole batch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest

import gradparity as gp
from gradparity.core import (
    Affine,
    Attention,
    BatchNorm,
    Embedding,
    LayerNorm,
    LSTMCell,
    Mean,
    Op,
    Sum,
    Tanh,
)
from gradparity.core.network.batch import op_keeps_samples

Array = Any
LSTM = LSTMCell(3, 2)
ONE = ("float64",)


def failed(report: gp.Report) -> dict[str, set[str]]:
    """Quantity -> the checks in which it is not right."""
    found: dict[str, set[str]] = {}
    for run, f in report.findings():
        if f.parity is False:
            found.setdefault(str(f.quantity), set()).add(run.case)
    return found


def sigmoid(a: Array) -> Array:
    return 1 / (1 + np.exp(-a))


def gates(x: Array, h: Array, W: Array, U: Array, b: Array) -> list[Array]:
    i, f, g, o = np.split(x @ W + h @ U + b, 4, axis=1)
    return [sigmoid(i), sigmoid(f), np.tanh(g), sigmoid(o)]


def lstm(x: Array, h: Array, c: Array, W: Array, U: Array, b: Array) -> Any:
    i, f, g, o = gates(x, h, W, U, b)
    c = f * c + i * g
    return o * np.tanh(c), c


def lstm_backward(dz: Any, x: Array, h: Array, c: Array, W: Array, U: Array, b: Array) -> Any:
    (dh, dc), (i, f, g, o) = dz, gates(x, h, W, U, b)
    t = np.tanh(f * c + i * g)
    dc = dc + dh * o * (1 - t * t)
    ds = [dc * g * i * (1 - i), dc * c * f * (1 - f), dc * i * (1 - g * g), dh * t * o * (1 - o)]
    s = np.concatenate(ds, axis=1)
    return s @ W.T, s @ U.T, dc * f, x.T @ s, h.T @ s, s.sum(0)


@dataclass(frozen=True)
class SquareAndTwice(Op):
    """y^2 and 2 y."""

    outputs: ClassVar[tuple[str, ...]] = ("square", "twice")

    def output_shape(self, *shapes: tuple[int, ...]) -> Any:
        return shapes[0], shapes[0]

    def forward(self, *y: Array) -> Any:
        return y[0] * y[0], 2 * y[0]

    def vjp(self, dz: Any, y: Any, z: Any) -> Any:
        return (2 * (dz[0] * y[0] + dz[1]),)


class Layer:
    """A layer of a course, whose backward takes the gradients by both outputs."""

    def forward(self, *y: Array) -> Any:
        self.y = y
        return lstm(*y)

    def backward(self, dz: Any) -> Any:
        return lstm_backward(dz, *self.y)


class TestSeveralOutputs:
    def test_right(self) -> None:
        report = gp.check_op(lstm, lstm_backward, reference=LSTM, dtypes=["float32"])
        assert report.exit_code == 0, failed(report)
        values = {str(f.quantity) for _, f in report.findings() if not f.quantity.is_gradient}
        assert {"value z.h", "value z.c"} <= values

    def test_a_layer_that_stores_its_inputs(self) -> None:
        layer = Layer()
        report = gp.check_op(layer.forward, layer.backward, reference=LSTM, dtypes=ONE)
        assert report.exit_code == 0, failed(report)

    @pytest.mark.sample(1)
    @pytest.mark.parametrize("framework", ["torch", "jax"])
    def test_differentiated_by_a_framework(self, framework: str) -> None:
        pytest.importorskip(framework)
        op, once = SquareAndTwice(), {"width": 2, "dtypes": ONE}
        report = gp.check_op(lambda y: (y * y, 2 * y), framework, reference=op, **once)
        assert report.exit_code == 0, failed(report)
        wrong = gp.check_op(lambda y: (y * y, 3 * y), framework, reference=op, **once)
        assert set(failed(wrong)) == {"value z.twice", "grad y"}
        told = gp.check_op(lambda y: y * y, framework, reference=op, **once)
        notes = {f.note for _, f in told.findings() if f.note}
        assert any("return one" in note and "each of (7, 2), (7, 2)" in note for note in notes)

    @pytest.mark.parametrize("framework", ["torch", pytest.param("jax", marks=pytest.mark.slow)])
    def test_a_cell_differentiated_by_a_framework(self, framework: str) -> None:
        if framework == "torch":
            import torch as xp

            cut: Any = lambda s: xp.chunk(s, 4, -1)  # noqa: E731
            smooth: Any = xp.sigmoid
        else:
            import jax
            import jax.numpy as xp

            cut, smooth = lambda s: xp.split(s, 4, -1), jax.nn.sigmoid

        def forward(x: Array, h: Array, c: Array, W: Array, U: Array, b: Array) -> Any:
            i, f, g, o = cut(x @ W + h @ U + b)
            c = smooth(f) * c + smooth(i) * xp.tanh(g)
            return smooth(o) * xp.tanh(c), c

        report = gp.check_op(forward, framework, reference=LSTM, dtypes=ONE)
        assert report.exit_code == 0, failed(report)

    def test_a_wrong_path_is_found_in_the_gradients_it_reaches(self) -> None:
        def through_c_alone(dz: Any, *y: Array) -> Any:
            return lstm_backward((0 * dz[0], dz[1]), *y)

        found = failed(gp.check_op(lstm, through_c_alone, reference=LSTM, dtypes=ONE))
        assert {f"grad {name}" for name in ("y1", "y2", "y3", "W", "U", "b")} <= set(found)
        assert not {"value z.h", "value z.c"} & set(found)

    def test_one_wrong_output_is_named(self) -> None:
        def forward(*y: Array) -> Any:
            h, c = lstm(*y)
            return h, np.tanh(c)

        found = failed(gp.check_op(forward, lstm_backward, reference=LSTM, dtypes=ONE))
        assert set(found) == {"value z.c"}

    def test_exchanged_outputs(self) -> None:
        def forward(*y: Array) -> Any:
            return lstm(*y)[::-1]

        found = failed(gp.check_op(forward, lstm_backward, reference=LSTM, dtypes=ONE))
        assert {"value z.h", "value z.c"} <= set(found)

    @pytest.mark.parametrize(
        ("returned", "said"),
        [
            (lambda h, c: h, "forward returned a ndarray, expected the tuple (h, c)"),
            (lambda h, c: (h,), "forward returned 1 objects, expected the tuple (h, c)"),
            (lambda h, c: None, "forward returned None, expected the tuple (h, c)"),
            (lambda h, c: (h, c[:1]), "forward returned c of shape (1, 2), expected (7, 2)"),
        ],
    )
    def test_not_one_array_per_output(self, returned: Any, said: str) -> None:
        own = gp.OwnOp(lambda *y: returned(*lstm(*y)), lstm_backward, reference=LSTM)
        report = own.checks(ONE)["shape_and_dtype"]()
        assert report.exit_code == 1
        assert any(f.note.startswith(said) for _, f in report.findings())


def look_up(ids: Array, E: Array) -> Array:
    return E[ids]


def add_up(dz: Array, ids: Array, E: Array) -> Array:
    dE = np.zeros_like(E)
    np.add.at(dE, ids, dz)
    return dE


class TestIntegers:
    @pytest.mark.parametrize("shape", [(), (4,), (2, 3)])
    def test_right(self, shape: tuple[int, ...]) -> None:
        report = gp.check_op(look_up, add_up, reference=Embedding(5, 3), shape=shape)
        assert report.exit_code == 0, failed(report)
        assert "batch_split" not in report.skipped

    def test_none_may_be_returned_for_them(self) -> None:
        backward: Any = lambda dz, ids, E: (None, add_up(dz, ids, E))  # noqa: E731
        report = gp.check_op(look_up, backward, reference=Embedding(5, 3), dtypes=ONE)
        assert report.exit_code == 0, failed(report)

    def test_assigned_instead_of_added(self) -> None:
        def assigned(dz: Array, ids: Array, E: Array) -> Array:
            dE = np.zeros_like(E)
            dE[ids] += dz
            return dE

        found = failed(gp.check_op(look_up, assigned, reference=Embedding(5, 3), dtypes=ONE))
        assert set(found) == {"grad E"}
        assert "random_points" in found["grad E"]

    def test_a_padding_row_that_is_trained(self) -> None:
        op = Embedding(5, 3, padding_idx=2)
        found = failed(gp.check_op(look_up, add_up, reference=op, dtypes=ONE))
        assert set(found) == {"grad E"}

        def kept(dz: Array, ids: Array, E: Array) -> Array:
            return add_up(np.where(ids[..., None] == 2, 0, dz), ids, E)

        report = gp.check_op(look_up, kept, reference=op, dtypes=ONE)
        assert report.exit_code == 0, failed(report)

    def test_of_torch(self) -> None:
        import torch

        forward: Any = torch.nn.functional.embedding
        report = gp.check_op(forward, "torch", reference=Embedding(5, 3), shape=(4,))
        assert report.exit_code == 0, failed(report)
        padded = gp.check_op(
            lambda ids, E: forward(ids, E, padding_idx=2),
            "torch",
            reference=Embedding(5, 3, padding_idx=2),
            dtypes=ONE,
        )
        assert padded.exit_code == 0, failed(padded)

    def test_of_jax(self) -> None:
        report = gp.check_op(look_up, "jax", reference=Embedding(5, 3), shape=(4,), dtypes=ONE)
        assert report.exit_code == 0, failed(report)

    def test_an_op_of_ones_own_with_integers_and_floats(self) -> None:
        @dataclass(frozen=True)
        class Scaled(Op):
            """z = y where the integer is 1, and 2 y where it is 0."""

            n_inputs: ClassVar[int] = 2
            integers: ClassVar[bool] = True

            def output_shape(self, *shapes: tuple[int, ...]) -> tuple[int, ...]:
                return shapes[1]

            def forward(self, *y: Array) -> Array:
                return np.where(y[0] == 1, y[1], 2 * y[1])

            def vjp(self, dz: Array, y: Any, z: Array) -> Any:
                return None, np.where(y[0] == 1, dz, 2 * dz)

        def forward(k: Array, y: Array) -> Array:
            return np.where(k == 1, y, 2 * y)

        def backward(dz: Array, k: Array, y: Array) -> Array:
            return np.where(k == 1, dz, 2 * dz)

        report = gp.check_op(forward, backward, reference=Scaled(), width=3)
        assert report.exit_code == 0, failed(report)
        wrong = gp.check_op(forward, lambda dz, k, y: dz, reference=Scaled(), width=3)
        assert set(failed(wrong)) == {"grad y2"}

    def test_whether_samples_stay_apart(self) -> None:
        ids, E = np.array([[0, 1], [2, 3], [4, 0]]), np.arange(10.0).reshape(5, 2)
        assert op_keeps_samples(Embedding(5, 2), ids, E)

        class Summed(Embedding):
            def forward(self, *y: Array) -> Array:
                return y[1][y[0]] + y[1][y[0]].sum(axis=0)

        assert not op_keeps_samples(Summed(5, 2), ids, E)


class TestInputsWithoutAGradient:
    """A mask is a constant for most code: its gradient is left out, None, or zero."""

    SHAPES = ((4, 3), (4, 3), (4, 3), (4, 4))

    @staticmethod
    def forward(q: Array, k: Array, v: Array, mask: Array) -> Array:
        s = q @ k.swapaxes(-1, -2) / q.dtype.type(q.shape[-1] ** 0.5) + mask
        e = np.exp(s - s.max(-1, keepdims=True))
        return e / e.sum(-1, keepdims=True) @ v

    def backward(self, dz: Array, q: Array, k: Array, v: Array, mask: Array) -> Any:
        root = q.dtype.type(q.shape[-1] ** 0.5)
        s = q @ k.swapaxes(-1, -2) / root + mask
        e = np.exp(s - s.max(-1, keepdims=True))
        P = e / e.sum(-1, keepdims=True)
        dP = dz @ v.swapaxes(-1, -2)
        dS = P * (dP - (dP * P).sum(-1, keepdims=True)) / root
        return dS @ k, dS.swapaxes(-1, -2) @ q, P.swapaxes(-1, -2) @ dz

    @pytest.mark.parametrize("rest", [(), (None,)])
    def test_right(self, rest: Any) -> None:
        op, fixed = Attention(mask=True), ["y4"]
        given = {"reference": op, "shape": self.SHAPES, "fixed": fixed, "dtypes": ONE}
        report = gp.check_op(self.forward, lambda *y: (*self.backward(*y), *rest), **given)
        assert report.exit_code == 0, failed(report)
        assert not any("y4" in f.quantity for _, f in report.findings() if f.quantity.is_gradient)

    def test_wrong_in_another_shape_than_that_of_dz(self) -> None:
        """Nothing is said of the numbers at an index that has another meaning in them."""
        op = Attention(mask=True)
        report = gp.check_op(
            lambda q, k, v, m: self.forward(q, k, v, -m),
            lambda dz, q, k, v, m: (*self.backward(dz, q, k, v, -m), np.ones_like(m)),
            reference=op, shape=self.SHAPES, dtypes=ONE,
        )  # fmt: skip
        assert report.exit_code == 1
        assert not any("where y1" in f.note for _, f in report.findings())

    @pytest.mark.parametrize(
        ("fixed", "error", "said"),
        [
            ("y", TypeError, "fixed is 'y'; give a list of names"),
            (["x"], ValueError, "fixed: 'x' is not an input; valid names: 'y'"),
        ],
    )
    def test_bad_names(self, fixed: Any, error: type[Exception], said: str) -> None:
        with pytest.raises(error, match=said):
            gp.OwnOp(np.tanh, lambda dz, y: dz, reference=Tanh(), fixed=fixed)


def test_a_law_without_a_bound_is_not_tested() -> None:
    """In bfloat16 the sum of 64 terms may lose all digits: no mismatch."""
    torch = pytest.importorskip("torch")
    norm: Any = torch.nn.functional.layer_norm
    report = gp.check_op(
        lambda x, g, b: norm(x, (64,), g, b),
        "torch",
        reference=LayerNorm(64),
        dtypes=["bfloat16"],
    )
    assert report.exit_code == 0, failed(report)


@pytest.mark.parametrize(
    ("op", "shapes"),
    [
        (LayerNorm(65), [(65,)]),
        (BatchNorm(128), [(128,)]),
        (LSTMCell(128, 16), [(128,), (16,), (16,)]),
        (Affine(784, 10), [(784,)]),
    ],
)
def test_the_width_is_one_of_the_ops_own_numbers(op: Op, shapes: Any) -> None:
    assert list(gp.OwnOp(lambda *y: y, "torch", reference=op).shapes) == shapes


def test_running_statistics_are_named_as_not_checked() -> None:
    own = gp.OwnOp(lambda y, g, b: y, "torch", reference=BatchNorm(3))
    assert "in a network" in own.skipped()["running_statistics"]


class TestOneNumber:
    """Ops whose value is a single number for the whole batch."""

    @pytest.mark.parametrize("n", [1, 12])
    def test_right_and_wrong(self, n: int) -> None:
        op = Sum() if n == 1 else Mean()
        divided = (lambda y: 1) if n == 1 else (lambda y: y.size)

        def forward(y: Array) -> Array:
            return y.sum() / y.dtype.type(divided(y))

        def backward(dz: Array, y: Array) -> Array:
            return np.full_like(y, dz / y.dtype.type(divided(y)))

        for value in (forward, lambda y: float(forward(y))):
            report = gp.check_op(value, backward, reference=op, shape=(3, 4))
            assert report.exit_code == 0, failed(report)
        assert {"batch_split", "permutation"} <= set(report.skipped)
        wrong = gp.check_op(forward, lambda dz, y: backward(dz, y) / 2, reference=op, shape=(3, 4))
        assert set(failed(wrong)) == {"grad y"}
