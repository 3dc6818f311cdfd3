"""check_op: correct layers pass, however they are written, and the way in says what is wrong."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest

import gradparity as gp
from gradparity.adapters.base import AdapterError
from gradparity.comparisons import Report, Verdict
from gradparity.core import (
    Activation,
    Add,
    Affine,
    Concatenate,
    CrossEntropy,
    Identity,
    Max,
    Maxout,
    MaxSubsets,
    Multiply,
    Op,
    RandomizedLeakyReLU,
    ReLU,
    Sigmoid,
    Softmax,
    Tanh,
)

from own_layers import (
    linear,
    linear_backward,
    missing,
    of_the_core,
    own_ops,
    relu,
    relu_backward,
    sigmoid,
    softmax,
    softmax_backward,
)

Array = Any
OWN = own_ops()


def complaints(report: Report) -> list[str]:
    """What is not parity, in words; what says nothing is no complaint."""
    quiet = (Verdict.VACUOUS,)
    bad = [(r, f) for r, f in report.findings() if f.parity is not True and f.verdict not in quiet]
    return [f"{r.case}, {r.dtype}: {f}" for r, f in bad]


class TestCorrect:
    """No false alarm."""

    def test_every_op_of_the_suite_has_a_pair(self) -> None:
        assert not missing()

    @pytest.mark.parametrize("seed", [0, 1])
    @pytest.mark.parametrize("name", OWN)
    def test_independent_numpy(self, name: str, seed: int) -> None:
        own = OWN[name]
        report = gp.check_op(
            own.forward, own.backward, like=own.like, width=own.width, seed=seed, name=name
        )
        assert report, complaints(report)
        assert {run.dtype for run in report.runs} == {"float64", "float32"}
        assert {run.adapter for run in report.runs} == {name}

    @pytest.mark.parametrize("name", [name for name in OWN if not OWN[name].like.random])
    def test_the_cores_own_formulas(self, name: str) -> None:
        own = OWN[name]
        report = gp.check_op(*of_the_core(own.like), like=own.like, width=own.width, seed=5)
        assert report, complaints(report)

    @pytest.mark.parametrize("name", ["affine", "relu", "softmax", "multiply", "max-even"])
    def test_low_precision(self, name: str) -> None:
        own = OWN[name]
        pair = of_the_core(own.like)
        report = gp.check_op(*pair, like=own.like, dtypes=("tf32", "float16", "bfloat16"))
        assert report, complaints(report)
        assert [run.dtype for run in report.runs[:3]] == ["tf32", "float16", "bfloat16"]

    def test_the_random_op_is_judged_on_the_slopes_it_drew(self) -> None:
        own = OWN["rrelu"]
        report = gp.check_op(own.forward, own.backward, like=own.like)
        assert report
        assert set(report.skipped) == {"determinism", "linearity", "batch_split", "permutation"}
        assert "draws new numbers" in report.skipped["determinism"]
        # Slopes outside of the range are no draw of it.
        wrong = gp.check_op(lambda y: 1.5 * y, lambda dz: 1.5 * dz, like=RandomizedLeakyReLU())
        assert wrong.exit_code == 1


# Correct, but unusual ----------------------------------------------------------------------------


def in_blocks(y: Array, W: Array, b: Array) -> Array:
    """Two accumulators, from the last column to the first."""
    z = np.zeros((len(y), W.shape[1]), y.dtype)
    for rows in (slice(None, None, -2), slice(-2, None, -2)):
        z = z + sum(np.outer(y[:, i], W[i]) for i in range(len(W))[rows])
    return z + b


def one_by_one(dz: Array, y: Array, W: Array, b: Array) -> Any:
    """Instance after instance, the last one first."""
    dW, db = np.zeros_like(W), np.zeros_like(b)
    for t in reversed(range(len(y))):
        dW += np.outer(y[t], dz[t])
        db += dz[t]
    return np.array([[row @ w for w in W] for row in dz], dz.dtype), dW, db


def flushed(array: Array) -> Array:
    """As XLA on a CPU: what is subnormal is zero."""
    return np.where(np.abs(array) < np.finfo(array.dtype).tiny, 0, array).astype(array.dtype)


def frozen(array: Array) -> Array:
    array = np.array(array, order="F")
    array.flags.writeable = False
    return array


class Buffered:
    """A layer that returns the same array at every call."""

    def __init__(self) -> None:
        self.z: dict[Any, Array] = {}

    def forward(self, y: Array) -> Array:
        self.y = y
        return np.maximum(y, 0, out=self.z.setdefault((y.shape, y.dtype), np.empty_like(y)))

    def backward(self, dz: Array) -> Array:
        return dz * (self.y > 0)


class WithSwitch(Buffered):
    """A backward function with more arguments, all of which have defaults."""

    def backward(self, dz: Array, retain: bool = False) -> Array:
        return super().backward(dz)


_buffered, _switch = Buffered(), WithSwitch()
UNUSUAL: dict[str, tuple[Callable[..., Any], Callable[..., Any], Op]] = {
    "blocks": (in_blocks, one_by_one, Affine(9, 4)),
    "float64 inside": (
        lambda y, W, b: (y.astype(np.float64) @ W + b).astype(y.dtype),
        linear_backward,
        Affine(20, 4),
    ),
    "views": (lambda y: y[:], lambda dz, y: dz[:, ::-1][:, ::-1], Identity()),
    "the argument itself": (lambda y: y, lambda dz, y: dz, Identity()),
    "read-only and Fortran": (
        lambda y: frozen(relu(y)),
        lambda dz, y: frozen(relu_backward(dz, y)),
        ReLU(),
    ),
    "a slope of one half at the kink": (
        relu,
        lambda dz, y: dz * np.heaviside(y, y.dtype.type(0.5)),
        ReLU(),
    ),
    "ties shared": (OWN["max"].forward, OWN["max-even"].backward, Max()),
    "the last of those tied": (
        OWN["max"].forward,
        lambda dz, y: OWN["max"].backward(dz, y[:, ::-1])[:, ::-1],
        Max(),
    ),
    "subnormals flushed": (
        lambda y: flushed(sigmoid(flushed(y))),
        lambda dz, y: flushed(dz * flushed(sigmoid(flushed(y)) * sigmoid(-flushed(y)))),
        Sigmoid(),
    ),
    "the same buffer": (_buffered.forward, _buffered.backward, ReLU()),
    "defaults": (_switch.forward, _switch.backward, ReLU()),
    "warnings": (
        lambda y: 1 / (1 + np.exp(-y)),  # overflows, to a result that is right
        lambda dz, y: dz * sigmoid(y) * sigmoid(-y),
        Sigmoid(),
    ),
    "clipped at 500": (
        lambda y: 1 / (1 + np.exp(-np.clip(y, -500, 500))),
        lambda dz, y: dz * sigmoid(y) * (1 - sigmoid(y)),
        Sigmoid(),
    ),
    "a list": (OWN["multiply"].forward, OWN["multiply"].backward, Multiply()),
    "a tuple of one": (softmax, lambda dz, y: (softmax_backward(dz, y),), Softmax()),
}


@pytest.mark.parametrize("seed", [0, 3])
@pytest.mark.parametrize("name", UNUSUAL)
def test_what_is_right_but_unusual_is_not_accused(name: str, seed: int) -> None:
    forward, backward, like = UNUSUAL[name]
    report = gp.check_op(forward, backward, like=like, seed=seed)
    assert report, complaints(report)


def test_another_choice_at_a_kink_is_shown() -> None:
    forward, backward, like = UNUSUAL["a slope of one half at the kink"]
    report = gp.OwnOp(forward, backward, like=like).checks()["at_kinks"]()
    (found,) = [f for run, f in report.findings() if run.dtype == "float64" and f.kinks]
    assert found.verdict is Verdict.SUBGRADIENT
    assert found.kinks is not None
    assert list(found.kinks.taken) == ["0.5"]


# Layers that keep what they were given -----------------------------------------------------------


class Linear:
    """A course's layer: W is (n_out, n_in), b (n_out, 1), and gradients are attributes."""

    def __init__(self, n_in: int, n_out: int) -> None:
        self.W, self.b = np.zeros((n_out, n_in)), np.zeros((n_out, 1))

    def forward(self, A: Array) -> Array:
        self.A = A
        return A @ self.W.T + self.b.T

    def backward(self, dLdZ: Array) -> Array:
        self.dLdW, self.dLdb = dLdZ.T @ self.A, dLdZ.sum(axis=0)[:, np.newaxis]
        return dLdZ @ self.W


def test_a_course_layer_in_another_layout() -> None:
    layer = Linear(4, 3)

    def forward(y: Array, W: Array, b: Array) -> Array:
        layer.W, layer.b = W.T, b[:, None]
        return layer.forward(y)

    def backward(dz: Array) -> Any:
        dy = layer.backward(dz)
        return dy, layer.dLdW.T, layer.dLdb[:, 0]

    report = gp.check_op(forward, backward, like=Affine(4, 3))
    assert report, complaints(report)


def test_bound_methods_of_a_layer() -> None:
    layer = Buffered()
    own = gp.OwnOp(layer.forward, layer.backward, like=ReLU())
    assert own.name == "Buffered"
    assert own.checks()["random_points"]()


# Frameworks --------------------------------------------------------------------------------------


class Differentiating:
    """An adapter by its one method that counts here: PyTorch differentiates the function."""

    name = "torch"

    def versions(self) -> dict[str, str]:
        import torch

        return {"torch": torch.__version__}

    def vjp(self, function: Any, arguments: Any, dz: Array) -> tuple[Array, tuple[Array, ...]]:
        import torch

        given = [torch.from_numpy(np.ascontiguousarray(a)).requires_grad_() for a in arguments]
        z = function(*given)
        found = torch.autograd.grad(z, given, torch.from_numpy(np.ascontiguousarray(dz)))
        return z.detach().numpy(), tuple(g.numpy() for g in found)


class TestDifferentiated:
    @pytest.mark.parametrize("name", ["relu", "gelu", "softmax", "affine", "multiply", "max"])
    def test_by_a_framework(self, name: str) -> None:
        torch = pytest.importorskip("torch")
        functions = {
            "relu": torch.relu,
            "gelu": torch.nn.functional.gelu,
            "softmax": lambda y: torch.softmax(y, -1),
            "affine": lambda y, W, b: torch.nn.functional.linear(y, W.T, b),
            "multiply": torch.mul,
            "max": lambda y: y.max(-1, keepdim=True).values,
        }
        like = OWN[name].like
        report = gp.check_op(functions[name], Differentiating(), like=like, seed=2)
        assert report, complaints(report)
        assert report.environment["torch"] == torch.__version__

    def test_a_custom_function_that_is_wrong(self) -> None:
        torch = pytest.importorskip("torch")

        class Guided(torch.autograd.Function):
            @staticmethod
            def forward(ctx: Any, y: Any) -> Any:
                ctx.save_for_backward(y)
                return y.clamp(min=0)

            @staticmethod
            def backward(ctx: Any, dz: Any) -> Any:
                (y,) = ctx.saved_tensors
                return dz.clamp(min=0) * (y > 0)

        report = gp.check_op(Guided.apply, Differentiating(), like=ReLU())
        assert report.exit_code == 1
        assert any("guided" in said for said in complaints(report))

    def test_what_it_raises_is_a_finding(self) -> None:
        pytest.importorskip("torch")
        report = gp.check_op(np.tanh, Differentiating(), like=Tanh(), dtypes="float64")
        assert report.exit_code != 0
        assert "raised" in complaints(report)[0]

    def test_an_adapter_that_is_not_there(self) -> None:
        with pytest.raises(AdapterError, match="no adapter is called 'tensorflow'"):
            gp.check_op(np.tanh, "tensorflow", like=Tanh())


# Ops of a user's own -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Log(Activation):
    """No number at zero and below: points are chosen where it has one."""

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

    def width(self, *widths: int) -> int:
        if widths != (3, 5):
            raise ValueError(f"Gate takes widths 3 and 5, received {widths}")
        return 5

    def forward(self, p: Any, *y: Array) -> Array:
        return (y[0] @ p["W"]) * y[1]

    def backward(self, dz: Array, p: Any, y: Any, z: Array) -> tuple[Array, ...]:
        return (dz * y[1]) @ p["W"].T, dz * (y[0] @ p["W"])

    def gradients(self, dz: Array, p: Any, y: Any, z: Array) -> dict[str, Array]:
        return {"W": y[0].T @ (dz * y[1])}


class TestOpsOfOnesOwn:
    def test_where_they_are_defined(self) -> None:
        assert gp.check_op(np.log, lambda dz, y: dz / y, like=Log())
        assert gp.check_op(np.log, lambda dz, y: dz * y, like=Log()).exit_code == 1

    def test_of_several_inputs_and_parameters(self) -> None:
        def gate(a: Array, b: Array, W: Array) -> Array:
            return b * np.einsum("ti,ij->tj", a, W)

        def backward(dz: Array, a: Array, b: Array, W: Array) -> Any:
            return np.einsum("tj,tj,ij->ti", dz, b, W), dz * (a @ W), (b * dz).T.dot(a).T

        own = gp.OwnOp(gate, backward, like=Gate())
        assert own.width == (3, 5)
        assert gp.check_op(gate, backward, like=Gate())
        wrong = gp.check_op(
            gate, lambda dz, a, b, W: (dz @ W.T, *backward(dz, a, b, W)[1:]), like=Gate()
        )
        assert {f.quantity for _, f in wrong.findings() if f.parity is False} == {"grad y1"}


class TestWidths:
    def test_as_many_inputs_as_the_function_takes(self) -> None:
        two = gp.OwnOp(lambda a, b: a + b, lambda dz, a, b: (dz, dz), like=Add())
        assert len(two.widths) == 2
        assert len(gp.OwnOp(np.add, lambda dz, a, b: (dz, dz), like=Add()).widths) == 2
        own = gp.OwnOp(OWN["concatenate"].forward, OWN["concatenate"].backward, like=Concatenate())
        assert own.width == (3, 2, 4)

    @pytest.mark.parametrize(
        ("like", "width", "said"),
        [
            (Affine(4, 3), 5, "width is 5: Affine takes a value of width 4"),
            (Multiply(), (3, 4), "values of one width"),
            (Multiply(), (3, 3, 3), "takes 2 value"),
            (ReLU(), 0, "width is 0"),
            (ReLU(), "4", "width is '4'"),
        ],
    )
    def test_that_do_not_fit(self, like: Op, width: Any, said: str) -> None:
        with pytest.raises(ValueError, match=said):
            gp.check_op(lambda *a: a[0], lambda dz, *a: dz, like=like, width=width)

    def test_of_one_and_of_many(self) -> None:
        assert gp.check_op(relu, relu_backward, like=ReLU(), width=1)
        assert gp.check_op(linear, linear_backward, like=Affine(64, 2))


class TestArguments:
    @pytest.mark.parametrize(
        ("like", "said"),
        [
            (Maxout(4, 2), r"one by one: like=Affine\(.*\) and like=Max\("),
            (MaxSubsets(((0, 1),)), r"one by one: like=Take\(.*\) and like=Max\("),
            (ReLU, r"like is the class ReLU; give an op, such as ReLU\(\)"),
            (CrossEntropy(), "give an op such as"),
            ("relu", "like is 'relu'"),
            (None, "like is None"),
        ],
    )
    def test_like(self, like: Any, said: str) -> None:
        with pytest.raises(TypeError, match=said):
            gp.check_op(relu, relu_backward, like=like)

    @pytest.mark.parametrize(
        ("forward", "backward", "said"),
        [
            (relu, None, "backward is None; give a function, or"),
            (None, relu_backward, "forward is None; give a function"),
            (relu, 3, "backward is 3"),
            (linear, relu_backward, r"forward is called as forward\(y\), but takes \(y.*, W"),
            (relu, linear_backward, r"backward is called as backward\(dz, y\), or as backward\(dz"),
        ],
    )
    def test_functions(self, forward: Any, backward: Any, said: str) -> None:
        with pytest.raises(TypeError, match=said):
            gp.check_op(forward, backward, like=ReLU())

    def test_an_adapter_that_cannot_differentiate(self) -> None:
        class Old:
            name = "old"

            def run(self) -> None: ...

        with pytest.raises(TypeError, match="the adapter 'old', which cannot differentiate"):
            gp.check_op(relu, Old(), like=ReLU())

    @pytest.mark.parametrize("dtypes", ["int32", ["float64", "complex64"], [], "longdouble"])
    def test_dtypes(self, dtypes: Any) -> None:
        with pytest.raises(ValueError, match=r"give any of \('float64'"):
            gp.check_op(relu, relu_backward, like=ReLU(), dtypes=dtypes)

    @pytest.mark.parametrize("seed", [-1, 0.5, "0", True])
    def test_seed(self, seed: Any) -> None:
        with pytest.raises(ValueError, match="seed is"):
            gp.check_op(relu, relu_backward, like=ReLU(), seed=seed)

    def test_conventions_that_are_meant(self) -> None:
        def mean(dz: Array, y: Array, W: Array, b: Array) -> Any:
            return dz @ W.T, y.T @ dz / len(y), dz.mean(0)

        def decayed(dz: Array, y: Array, W: Array, b: Array) -> Any:
            return dz @ W.T, y.T @ dz + 0.01 * W, dz.sum(0) + 0.01 * b

        for backward, meant in ((mean, "mean"), (decayed, "weight-decay=0.01")):
            assert gp.check_op(linear, backward, like=Affine(4, 3)).exit_code == 1
            report = gp.check_op(linear, backward, like=Affine(4, 3), expected=[meant])
            assert report, complaints(report)
        with pytest.raises(ValueError, match="unknown"):
            gp.check_op(linear, mean, like=Affine(4, 3), expected=["median"])


class TestChecks:
    def test_are_listed_by_name_in_a_stable_order(self) -> None:
        names = list(gp.OwnOp(np.tanh, lambda dz, y: dz, like=Tanh()).checks())
        assert names == [
            *("shape_and_dtype", "inputs_unchanged", "determinism", "zero_cotangent"),
            *("linearity", "batch_split", "permutation", "random_points", "special_points"),
            *("batch_of_one", "non_contiguous", "read_only"),
        ]
        kinked = list(gp.OwnOp(relu, relu_backward, like=ReLU()).checks())
        assert [name for name in kinked if name not in names] == ["at_kinks"]

    def test_each_gives_a_run_per_dtype(self) -> None:
        own = gp.OwnOp(relu, relu_backward, like=ReLU(), name="mine")
        report = own.checks(dtypes=("float32", "float64"))["linearity"]()
        said = [(run.case, run.adapter, run.dtype) for run in report.runs]
        assert said == [("linearity", "mine", "float64"), ("linearity", "mine", "float32")]

    def test_the_same_seed_gives_the_same_report(self) -> None:
        first, second = (gp.check_op(relu, relu_backward, like=ReLU(), seed=4) for _ in range(2))
        other = gp.check_op(relu, relu_backward, like=ReLU(), seed=5)
        assert first.runs == second.runs
        assert first.runs != other.runs

    def test_the_report_shows_a_row_per_check(self) -> None:
        report = gp.check_op(np.tanh, lambda dz, y: dz * (1 - np.tanh(y) ** 2), like=Tanh())
        text = str(report)
        for name in gp.OwnOp(np.tanh, lambda dz, y: dz, like=Tanh()).checks():
            assert name in text
        assert "at_kinks: Tanh has no kinks" in " ".join(text.split())
        assert "PARITY" in text
