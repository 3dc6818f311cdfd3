"""The way into check_op: own ops, widths, arguments, conventions, the list of checks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest

import gradparity as gp
from gradparity.core import (
    Activation,
    Add,
    Affine,
    Broadcast,
    Concatenate,
    CrossEntropy,
    Max,
    Maxout,
    Mean,
    Multiply,
    Op,
    ReLU,
    Select,
    Sum,
    Tanh,
    Transpose,
)

from own_layers import (
    complaints,
    linear,
    linear_backward,
    own_ops,
    relu,
    relu_backward,
)

Array = Any
OWN = own_ops()


@dataclass(frozen=True)
class Log(Activation):
    """A logarithm is undefined at zero and below: points are chosen where it is defined."""

    def f(self, z: Array) -> Array:
        return np.log(z)

    def df(self, dy: Array, z: Array, y: Array) -> Array:
        return dy / z


@dataclass(frozen=True)
class Gate(Op):
    """z = (y1 W) * y2, of widths that have to be found."""

    n_inputs: ClassVar[int | None] = 2

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        return {"W": (3, 5)}

    def output_shape(self, *shapes: Any) -> Any:
        widths = tuple(shape[-1] for shape in shapes[:2])
        if widths != (3, 5):
            raise ValueError(f"Gate takes widths 3 and 5, received {widths}")
        return shapes[1]

    def forward(self, *y: Array) -> Array:
        a, b, W = y
        return (a @ W) * b

    def vjp(self, dz: Array, y: Any, z: Array) -> tuple[Array, ...]:
        a, b, W = y
        return (dz * b) @ W.T, dz * (a @ W), a.T @ (dz * b)


class TestOpsOfOnesOwn:
    def test_where_they_are_defined(self) -> None:
        assert gp.check_op(np.log, lambda dz, y: dz / y, reference=Log())
        assert gp.check_op(np.log, lambda dz, y: dz * y, reference=Log()).exit_code == 1

    def test_of_several_inputs_and_parameters(self) -> None:
        def gate(a: Array, b: Array, W: Array) -> Array:
            return b * np.einsum("ti,ij->tj", a, W)

        def backward(dz: Array, a: Array, b: Array, W: Array) -> Any:
            return np.einsum("tj,tj,ij->ti", dz, b, W), dz * (a @ W), (b * dz).T.dot(a).T

        own = gp.OwnOp(gate, backward, reference=Gate())
        assert own.shapes == ((3,), (5,))
        assert gp.check_op(gate, backward, reference=Gate())
        wrong = gp.check_op(
            gate, lambda dz, a, b, W: (dz @ W.T, *backward(dz, a, b, W)[1:]), reference=Gate()
        )
        assert {f.quantity for _, f in wrong.findings() if f.parity is False} == {"grad y1"}


class TestWidths:
    def test_as_many_inputs_as_the_function_takes(self) -> None:
        two = gp.OwnOp(lambda a, b: a + b, lambda dz, a, b: (dz, dz), reference=Add())
        assert len(two.shapes) == 2
        assert len(gp.OwnOp(np.add, lambda dz, a, b: (dz, dz), reference=Add()).shapes) == 2
        own = gp.OwnOp(
            OWN["concatenate"].forward, OWN["concatenate"].backward, reference=Concatenate()
        )
        assert own.shapes == ((3,), (2,), (4,))

    @pytest.mark.parametrize(
        ("like", "width", "said"),
        [
            (Affine(4, 3), 5, "width is 5: node 'z' <- y: Affine takes a value of width 4"),
            (Multiply(), (3, 4), "Multiply: the shapes .* do not broadcast"),
            (Multiply(), (3, 3, 3), "takes 2 value"),
            (ReLU(), 0, "width is 0"),
            (ReLU(), "4", "width is '4'"),
            (ReLU(), True, "width is True; .* give a whole number"),
            (ReLU(), 10**12, "width is 1000000000000: a sample holds .* give at most 1000000"),
        ],
    )
    def test_that_do_not_fit(self, like: Op, width: Any, said: str) -> None:
        with pytest.raises(ValueError, match=said):
            gp.check_op(lambda *a: a[0], lambda dz, *a: dz, reference=like, width=width)

    def test_of_one_and_of_many(self) -> None:
        assert gp.check_op(relu, relu_backward, reference=ReLU(), width=1)
        assert gp.check_op(linear, linear_backward, reference=Affine(64, 2))


class TestShapes:
    def test_one_number_per_sample(self) -> None:
        def forward(y: Array) -> Array:
            return y.sum(1)

        def backward(dz: Array, y: Array) -> Array:
            return np.repeat(dz[:, None], y.shape[1], axis=1)

        report = gp.check_op(forward, backward, reference=Sum(1), shape=(4,))
        assert report, complaints(report)
        wrong = gp.check_op(
            forward, lambda dz, y: backward(dz, y) / 4, reference=Sum(1), shape=(4,)
        )
        assert wrong.exit_code == 1
        assert {f.quantity for _, f in wrong.findings() if f.parity is False} == {"grad y"}

    def test_a_dz_of_one_axis_and_stride_0(self) -> None:
        def backward(dz: Array, y: Array) -> Array:
            dy = np.repeat(dz[:, None], y.shape[1], axis=1)
            return dy if dz.strides != (0,) else 2 * dy

        wrong = gp.check_op(lambda y: y.sum(1), backward, reference=Sum(1), shape=(4,))
        assert {run.case for run, f in wrong.findings() if f.parity is False} == {"non_contiguous"}

    def test_axis_0_is_not_that_of_the_samples(self) -> None:
        def mean_backward(dz: Array, y: Array) -> Array:
            return np.broadcast_to(dz / y.dtype.type(len(y)), y.shape).copy()

        def select_backward(dz: Array, y: Array) -> Array:
            dy = np.zeros_like(y)
            dy[1] = dz
            return dy

        def turned(a: Array) -> Array:
            return a.swapaxes(0, 1).copy()

        pairs: list[tuple[Op, Any, Any]] = [
            (Mean(0), lambda y: y.mean(0), mean_backward),
            (Select(1, axis=0), lambda y: y[1].copy(), select_backward),
            (Transpose((1, 0, 2)), turned, lambda dz, y: turned(dz)),
        ]
        for op, forward, backward in pairs:
            own = gp.OwnOp(forward, backward, reference=op, shape=(3, 4))
            assert {"batch_split", "permutation"} <= set(own.skipped())
            report = gp.check_op(forward, backward, reference=op, shape=(3, 4))
            assert report, complaints(report)

            def doubled(dz: Array, y: Array, backward: Any = backward) -> Array:
                return 2 * backward(dz, y)

            wrong = gp.check_op(forward, doubled, reference=op, shape=(3, 4), dtypes="float64")
            assert {f.quantity for _, f in wrong.findings() if f.parity is False} == {"grad y"}

    def test_kinks_along_the_batch(self) -> None:
        def forward(y: Array) -> Array:
            return y.max(0, keepdims=True)

        def backward(dz: Array, y: Array) -> Array:
            first = np.arange(len(y)).reshape(-1, *[1] * (y.ndim - 1)) == y.argmax(0)
            return dz * first.astype(y.dtype)

        report = gp.check_op(forward, backward, reference=Max(axis=0), shape=(3, 4))
        assert report, complaints(report)

        def to_all(dz: Array, y: Array) -> Array:
            return dz * (y == forward(y)).astype(y.dtype)

        wrong = gp.check_op(forward, to_all, reference=Max(axis=0), shape=(3, 4))
        assert "at_kinks" in {run.case for run, f in wrong.findings() if f.parity is False}

    def test_refused_with_a_remedy(self) -> None:
        op = Broadcast((2, 3, 4))
        with pytest.raises(ValueError, match=r"does not take 5 samples: .* gp\.check"):
            gp.check_op(lambda y: y, lambda dz, y: dz, reference=op, shape=(3, 4))

    @pytest.mark.parametrize("shape", [6, "ab", (0, 6), (3.5,), (True, 6), [(3, 4), 5]])
    def test_not_a_shape(self, shape: Any) -> None:
        with pytest.raises(ValueError, match="whole numbers > 0 of one sample's axes"):
            gp.check_op(relu, relu_backward, reference=ReLU(), shape=shape)


class TestArguments:
    @pytest.mark.parametrize(
        ("like", "said"),
        [
            (Maxout(4, 2), r"one by one: reference=Affine\(.*\) and reference=Max\("),
            (ReLU, r"reference is the class ReLU; give an instance of it"),
            (CrossEntropy(), "give an op such as"),
            ("relu", "reference is 'relu'"),
            (None, "reference is None"),
        ],
    )
    def test_like(self, like: Any, said: str) -> None:
        with pytest.raises(TypeError, match=said):
            gp.check_op(relu, relu_backward, reference=like)

    @pytest.mark.parametrize(
        ("forward", "backward", "said"),
        [
            (relu, None, "backward is None; give a function, or"),
            (None, relu_backward, "forward is None; give a function"),
            (relu, 3, "backward is 3"),
            (
                linear,
                relu_backward,
                r"forward is called as forward\(y\), all by place, but takes \(y.*, W",
            ),
            (relu, linear_backward, r"backward is called as backward\(dz, y\), or as backward\(dz"),
        ],
    )
    def test_functions(self, forward: Any, backward: Any, said: str) -> None:
        with pytest.raises(TypeError, match=said):
            gp.check_op(forward, backward, reference=ReLU())

    def test_an_adapter_that_cannot_differentiate(self) -> None:
        class Old:
            name = "old"

            def run(self) -> None: ...

        with pytest.raises(TypeError, match="the adapter 'old', which cannot differentiate"):
            gp.check_op(relu, Old(), reference=ReLU())

    @pytest.mark.parametrize("dtypes", ["int32", ["float64", "complex64"], [], "longdouble"])
    def test_dtypes(self, dtypes: Any) -> None:
        with pytest.raises(ValueError, match=r"give any of \('float64'"):
            gp.check_op(relu, relu_backward, reference=ReLU(), dtypes=dtypes)

    @pytest.mark.parametrize("seed", [-1, 0.5, "0", True])
    def test_seed(self, seed: Any) -> None:
        with pytest.raises(ValueError, match="seed is"):
            gp.check_op(relu, relu_backward, reference=ReLU(), seed=seed)

    def test_conventions_that_are_meant(self) -> None:
        def mean(dz: Array, y: Array, W: Array, b: Array) -> Any:
            return dz @ W.T, y.T @ dz / len(y), dz.mean(0)

        def decayed(dz: Array, y: Array, W: Array, b: Array) -> Any:
            return dz @ W.T, y.T @ dz + 0.01 * W, dz.sum(0) + 0.01 * b

        for backward, meant in ((mean, "mean"), (decayed, "weight-decay=0.01")):
            assert gp.check_op(linear, backward, reference=Affine(4, 3)).exit_code == 1
            report = gp.check_op(linear, backward, reference=Affine(4, 3), allow=[meant])
            assert report, complaints(report)
        with pytest.raises(ValueError, match="unknown"):
            gp.check_op(linear, mean, reference=Affine(4, 3), allow=["median"])


class TestChecks:
    def test_are_listed_by_name_in_a_stable_order(self) -> None:
        names = list(gp.OwnOp(np.tanh, lambda dz, y: dz, reference=Tanh()).checks())
        assert names == [
            *("shape_and_dtype", "finite", "inputs_unchanged", "determinism"),
            *("independent_calls", "results_kept", "zero_cotangent"),
            *("linearity", "batch_split", "permutation", "random_points", "special_points"),
            *("batch_of_one", "non_contiguous", "read_only"),
        ]
        kinked = list(gp.OwnOp(relu, relu_backward, reference=ReLU()).checks())
        assert [name for name in kinked if name not in names] == ["at_kinks"]

    def test_each_gives_a_run_per_dtype(self) -> None:
        own = gp.OwnOp(relu, relu_backward, reference=ReLU(), name="mine")
        report = own.checks(dtypes=("float32", "float64"))["linearity"]()
        said = [(run.case, run.adapter, run.dtype) for run in report.runs]
        assert said == [("linearity", "mine", "float64"), ("linearity", "mine", "float32")]

    def test_the_same_seed_gives_the_same_report(self) -> None:
        first, second = (
            gp.check_op(relu, relu_backward, reference=ReLU(), seed=4) for _ in range(2)
        )
        other = gp.check_op(relu, relu_backward, reference=ReLU(), seed=5)
        assert first.runs == second.runs
        assert first.runs != other.runs

    def test_the_report_shows_a_row_per_check(self) -> None:
        report = gp.check_op(np.tanh, lambda dz, y: dz * (1 - np.tanh(y) ** 2), reference=Tanh())
        text = str(report)
        for name in gp.OwnOp(np.tanh, lambda dz, y: dz, reference=Tanh()).checks():
            assert name in text
        assert "at_kinks: Tanh has no kinks" in " ".join(text.split())
        assert "PARITY" in text
