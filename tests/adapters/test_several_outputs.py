"""Functions of others in place of an adapter's own: several outputs, and integers as inputs."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")

import jax.numpy as jnp  # noqa: E402

import gradparity as gp  # noqa: E402
from gradparity.adapters.base import AdapterError  # noqa: E402
from gradparity.core import (  # noqa: E402
    L2,
    BatchNorm,
    Case,
    Embedding,
    LinearLoss,
    LSTMCell,
    Multiply,
    Network,
    Node,
    Op,
)

from .frameworks import each_framework  # noqa: E402

SIGMOID = {"torch": torch.sigmoid, "jax": jax.nn.sigmoid}
TANH = {"torch": torch.tanh, "jax": jnp.tanh}
LOWER: dict[str, Callable[[Any], Any]] = {
    "torch": lambda a: a.float(),
    "jax": lambda a: a.astype(jnp.float32),
}


def normal(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape)


def replaced(name: str, overrides: Any, case: Case, dtype: str = "float64") -> gp.Report:
    return gp.check(case, gp.get_adapter(name).with_overrides(overrides), dtypes=[dtype])


def accused(report: gp.Report) -> set[str]:
    return {finding.node for _, finding in report.findings() if finding.parity is False}


class Halves(Op):
    """Two outputs of its own: u = 2 a, w = a a."""

    outputs = ("u", "w")

    def output_shape(self, *shapes: Any) -> Any:
        return shapes[0], shapes[0]

    def forward(self, *y: Any) -> Any:
        return 2.0 * y[0], y[0] * y[0]

    def vjp(self, dz: Any, y: Any, z: Any) -> Any:
        return (2.0 * dz[0] + 2.0 * y[0] * dz[1],)

    def native_function(self, framework: str) -> Any:
        return lambda a: (2.0 * a, a * a)


class Counted(Halves):
    """A third value, which has no gradient."""

    states = ("n",)

    def output_shape(self, *shapes: Any) -> Any:
        return shapes[0], shapes[0], shapes[0][1:]

    def forward(self, *y: Any) -> Any:
        return (*super().forward(*y), 3.0 * y[0][0])

    def native_function(self, framework: str) -> Any:
        return lambda a: [2.0 * a, a * a, 3.0 * a[0]]


def of_two(op: Op) -> Case:
    net = Network(Node("r", op, "x"), Node("m", Multiply(), "r.u", "r.w"), divergence=L2())
    return Case.random(net, x=normal(3, 4))


@each_framework
class TestAnOwnOp:
    @pytest.mark.sample(3)
    @pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
    def test_of_two_outputs_has_parity(self, name: str, dtype: str) -> None:
        report = gp.check(of_two(Halves()), name, dtypes=[dtype])
        assert report, report

    def test_with_a_state_has_parity(self, name: str) -> None:
        case = of_two(Counted())
        report = gp.check(case, name, dtypes=["float64"])
        assert report, report
        assert gp.get_adapter(name).run(case).value["r.n"].shape == (4,)

    def test_that_returns_its_input_and_one_value_twice(self, name: str) -> None:
        class Copies(Halves):
            def forward(self, *y: Any) -> Any:
                return y[0], y[0]

            def vjp(self, dz: Any, y: Any, z: Any) -> Any:
                return (dz[0] + dz[1],)

            def native_function(self, framework: str) -> Any:
                return lambda a: (a, a)

        report = gp.check(of_two(Copies()), name, dtypes=["float64"])
        assert report, report

    def test_that_swaps_its_outputs_is_a_mismatch(self, name: str) -> None:
        class Swapped(Halves):
            def native_function(self, framework: str) -> Any:
                return lambda a: (a * a, 2.0 * a)

        assert accused(gp.check(of_two(Swapped()), name, dtypes=["float64"])) == {"r"}


def lstm() -> Case:
    net = Network(
        Node("n", LSTMCell(2, 3), "x", "h", "c"),
        Node("m", Multiply(), "n.h", "n.c"),
        divergence=LinearLoss(),
        inputs=("x", "h", "c"),
    )
    return Case.random(net, x={"x": normal(4, 2), "h": normal(4, 3), "c": normal(4, 3)})


def cell_of(name: str, leaves: Callable[[Any, Any], Any] = lambda h, c: (h, c)) -> Any:
    """An LSTM cell that returns what `leaves` makes of h and c."""
    sigmoid, tanh = SIGMOID[name], TANH[name]

    def cell(x: Any, h: Any, c: Any, W: Any, U: Any, b: Any) -> Any:
        s = x @ W + h @ U + b
        i, f, g, o = (s[:, 3 * k : 3 * k + 3] for k in range(4))
        c = sigmoid(f) * c + sigmoid(i) * tanh(g)
        return leaves(sigmoid(o) * tanh(c), c)

    return cell


@each_framework
class TestAnLSTMCell:
    @pytest.mark.sample(3)
    @pytest.mark.parametrize("kind", [tuple, list])
    def test_that_is_right_has_parity(self, name: str, kind: Any) -> None:
        report = replaced(name, {LSTMCell: cell_of(name, lambda h, c: kind((h, c)))}, lstm())
        assert report, report

    def test_that_returns_c_in_place_of_h_is_a_mismatch_at_its_node(self, name: str) -> None:
        report = replaced(name, {LSTMCell: cell_of(name, lambda h, c: (c, c))}, lstm())
        assert accused(report) == {"n"}

    @pytest.mark.parametrize(
        ("leaves", "received"),
        [
            (lambda h, c: h, r"\w+ of shape \(4, 3\)"),
            (lambda h, c: (h,), r"a tuple of 1 \(\w+\)"),
            (lambda h, c: [h, c, c], r"a list of 3 \(\w+, \w+, \w+\)"),
            (lambda h, c: None, "NoneType"),
            (lambda h, c: (h, None), "NoneType as c"),
            (lambda h, c: (h, c[:, :2]), r"\w+ of shape \(4, 2\) as c"),
            (lambda h, c: (h[0], c), r"\w+ of shape \(3,\) as h"),
            (lambda h, c: (np.zeros((4, 3)), c), r"ndarray of shape \(4, 3\) as h"),
        ],
    )
    def test_that_returns_something_else_is_told_what_and_in_which_order(
        self, name: str, leaves: Any, received: str
    ) -> None:
        wanted = re.escape(
            "return a tuple of 2 arrays, h of shape (4, 3), c of shape (4, 3), in this order"
        )
        ours = gp.get_adapter(name).with_overrides({LSTMCell: cell_of(name, leaves)})
        with pytest.raises(AdapterError, match=rf"node 'n': cell returned {received}; {wanted}"):
            ours.run(lstm())

    def test_one_output_of_another_dtype_is_named(self, name: str) -> None:
        cell = cell_of(name, lambda h, c: (h, LOWER[name](c)))
        with pytest.raises(AdapterError, match=r"cell returned \S*float32 as c, and was given"):
            gp.get_adapter(name).with_overrides({LSTMCell: cell}).run(lstm())


def batch_norm(op: BatchNorm, count: int = 3) -> Any:
    def normed(x: Any, g: Any, b: Any, m: Any, v: Any) -> Any:
        mean, N = x.mean(0), len(x)
        var = ((x - mean) ** 2).mean(0)
        if not op.training:
            return (x - m) / (v + op.eps) ** 0.5 * g + b
        z, k = (x - mean) / (var + op.eps) ** 0.5 * g + b, op.momentum
        return (z, (1 - k) * m + k * mean, (1 - k) * v + k * var * N / (N - 1))[:count]

    return normed


@each_framework
class TestABatchNorm:
    @pytest.mark.sample(3)
    @pytest.mark.parametrize("training", [True, False])
    def test_that_is_right_has_parity(self, name: str, training: bool) -> None:
        op = BatchNorm(3, training=training)
        case = Case.random(Network(Node("n", op, "x"), divergence=LinearLoss()), x=normal(4, 3))
        report = replaced(name, {BatchNorm: batch_norm(op)}, case)
        assert report, report

    def test_without_its_running_variance_is_told_what_to_return(self, name: str) -> None:
        op = BatchNorm(3)
        case = Case.random(Network(Node("n", op, "x"), divergence=LinearLoss()), x=normal(4, 3))
        ours = gp.get_adapter(name).with_overrides({BatchNorm: batch_norm(op, count=2)})
        said = (
            r"returned a tuple of 2 \(\w+, \w+\); return a tuple of 3 arrays, z of shape \(4, 3\), "
            r"mean of shape \(3,\), var of shape \(3,\), in this order"
        )
        with pytest.raises(AdapterError, match=said):
            ours.run(case)


@each_framework
class TestAnEmbedding:
    def case(self) -> Case:
        net = Network(Node("e", Embedding(5, 3), "ids"), divergence=LinearLoss(), inputs=("ids",))
        return Case.random(net, x={"ids": np.array([[0, 1]])})

    @pytest.mark.sample(4)
    @pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
    def test_that_is_right_has_parity(self, name: str, dtype: str) -> None:
        report = replaced(name, {Embedding: lambda ids, E: E[ids]}, self.case(), dtype)
        assert report, report

    def test_that_is_wrong_is_a_mismatch(self, name: str) -> None:
        report = replaced(name, {Embedding: lambda ids, E: E[ids + 1]}, self.case())
        assert accused(report) == {"e"}

    def test_its_dtype_is_that_of_its_rows(self, name: str) -> None:
        ours = gp.get_adapter(name).with_overrides({Embedding: lambda ids, E: LOWER[name](E)[ids]})
        with pytest.raises(AdapterError, match=r"returned \S*float32, and was given \S*float64"):
            ours.run(self.case())
