"""Faults that hide: at kinks in one layout, at zero parameters, behind buffers, under tracing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradparity as gp
from crossed import crossed
from gradparity.comparisons import Report
from gradparity.core import Affine, Max, Multiply, Op, ReLU, Tanh

from own_layers import (
    Own,
    caught,
    complaints,
    linear,
    linear_backward,
    maximum,
    maximum_backward,
    maximum_even,
    relu,
    relu_backward,
    report_of,
    tanh,
)

Array = Any
AFFINE = Affine(4, 3)


def at_zero(slope: Any) -> Any:
    """A ReLU's backward function, with this slope at zero."""
    return lambda dz, y: np.where(y == 0, dz * slope(dz, y), dz * (y > 0)).astype(dz.dtype)


def all_tied_alone(dz: Array, y: Array) -> Array:
    return dz * (y == y.max(1, keepdims=True)) if len(y) == 1 else maximum_backward(dz, y)


def last_tied_in_fortran(dz: Array, y: Array) -> Array:
    if y.flags.c_contiguous:
        return maximum_backward(dz, y)
    return maximum_backward(dz, y[:, ::-1])[:, ::-1]


def one_buffer() -> Any:
    buffers: dict[Any, Array] = {}

    def backward(dz: Array, y: Array) -> Array:
        buffer = buffers.setdefault((y.shape, y.dtype), np.empty_like(y))
        return np.multiply(dz, y > 0, out=buffer)

    return relu, backward


def overwritten_value() -> Any:
    buffers: dict[Any, Array] = {}

    def forward(y: Array) -> Array:
        buffer = buffers.setdefault((y.shape, y.dtype), np.empty_like(y))
        return np.maximum(y, 0, out=buffer)

    def backward(dz: Array, y: Array) -> Array:
        buffer = buffers[y.shape, y.dtype]
        np.multiply(dz, y > 0, out=buffer)
        return buffer.copy()

    return forward, backward


def with_weights(**changed: Any) -> Any:
    def backward(dz: Array, y: Array, W: Array, b: Array) -> Any:
        dy, dW, db = linear_backward(dz, y, W, b)
        given = {"dy": dy, "dW": dW, "db": db}
        given |= {name: f(given[name], dz, y, W, b) for name, f in changed.items()}
        return tuple(given.values())

    return backward


def twice_if_equal(dz: Array, a: Array, b: Array) -> Any:
    return dz * b, dz * a * (2 if np.array_equal(a, b) else 1)


HIDDEN: dict[str, tuple[Own, str, str]] = {
    "slope 3 at zero for one instance": (
        Own(relu, at_zero(lambda dz, y: 3 if len(y) == 1 else 1), ReLU()),
        "batch_of_one", "grad y"),
    "the same, seen by the split": (
        Own(relu, at_zero(lambda dz, y: 3 if len(y) == 1 else 1), ReLU()), "batch_split", "grad y"),
    "slope 5 at zero in another layout": (
        Own(relu, at_zero(lambda dz, y: 1 if y.flags.c_contiguous else 5), ReLU()),
        "non_contiguous", "grad y"),
    "a valid slope, but by the layout": (
        Own(relu, at_zero(lambda dz, y: 1 if y.flags.c_contiguous else 0), ReLU()),
        "non_contiguous", "grad y"),
    "a valid slope, but by what can be written": (
        Own(relu, at_zero(lambda dz, y: 1 if y.flags.writeable else 0), ReLU()),
        "read_only", "grad y"),
    "all that are tied, for one instance": (
        Own(maximum, all_tied_alone, Max()), "batch_of_one", "grad y"),
    "the last of those tied, in Fortran order": (
        Own(maximum, last_tied_in_fortran, Max()), "non_contiguous", "grad y"),
    "a slope that is drawn at zero": (
        Own(relu, at_zero(lambda dz, y: np.random.default_rng().random(y.shape)), ReLU()),
        "determinism", "grad y"),
    "the sign of dz at zero": (
        Own(relu, at_zero(lambda dz, y: dz > 0), ReLU()), "linearity", "grad y"),
    "the mean of all at zero": (
        Own(relu, at_zero(lambda dz, y: y.mean() > 0), ReLU()), "batch_split", "grad y"),
    "the mean of all at zero, the other way": (
        Own(relu, at_zero(lambda dz, y: y.mean() >= 0), ReLU()), "batch_split", "grad y"),
    "the place at zero": (
        Own(relu, at_zero(lambda dz, y: np.arange(len(y))[:, None] > 2), ReLU()),
        "permutation", "grad y"),
    "what does not depend on dz, at zero": (
        Own(relu, lambda dz, y: dz * (y > 0) + 0.1 * (y == 0), ReLU()), "zero_cotangent", "grad y"),
    "one buffer for dy": (Own(*one_buffer(), ReLU()), "results_kept", "grad y"),
    "backward overwrites z": (Own(*overwritten_value(), ReLU()), "results_kept", "value z"),
    "equal inputs": (
        Own(lambda a, b: a * b, twice_if_equal, Multiply()), "special_points", "grad y2"),
    "the same array twice": (
        Own(lambda a, b: a * b, lambda dz, a, b: (dz * b, dz * a * (2 if a is b else 1)),
            Multiply()), "special_points", "grad y2"),
    "dW where W is not 0": (
        Own(linear, with_weights(dW=lambda g, dz, y, W, b: g * (W != 0)), AFFINE),
        "special_points", "grad W"),
    "db where b is not 0": (
        Own(linear, with_weights(db=lambda g, dz, y, W, b: g * (b != 0)), AFFINE),
        "special_points", "grad b"),
    "a dz of stride 0": (
        Own(linear, with_weights(dy=lambda g, dz, *_: g * (2 if 0 in dz.strides else 1)), AFFINE),
        "non_contiguous", "grad y"),
    "a dz of one number": (
        Own(linear, with_weights(dy=lambda g, dz, *_: g * (1 + (dz.strides == (0, 0)))), AFFINE),
        "non_contiguous", "grad y"),
    "negative strides": (
        Own(linear, with_weights(dW=lambda g, dz, y, *_: g * (2 if min(y.strides) < 0 else 1)),
            AFFINE), "non_contiguous", "grad W"),
    "W alone in Fortran order": (
        Own(linear, with_weights(dy=lambda g, dz, y, W, b: g * (
            2 if y.flags.c_contiguous and not W.flags.c_contiguous else 1)), AFFINE),
        "non_contiguous", "grad y"),
}  # fmt: skip


@crossed("fault, seed", list(HIDDEN), [0, 1, 2])
def test_what_hides_is_caught(fault: str, seed: int) -> None:
    own, check, quantity = HIDDEN[fault]
    caught(report_of(own, check, seed=seed), quantity)


# No false alarm ---------------------------------------------------------------------------------


@pytest.mark.sample(2)
@crossed(
    "pair, seed",
    [
        (relu, at_zero(lambda dz, y: 0.5), ReLU()),
        (relu, at_zero(lambda dz, y: 1 - np.signbit(y)), ReLU()),
        (relu, at_zero(lambda dz, y: np.arange(y.shape[1]) % 2), ReLU()),
        (maximum, maximum_even, Max()),
        (maximum, lambda dz, y: maximum_backward(dz, y[:, ::-1])[:, ::-1], Max()),
        (lambda a, b: a * b, lambda dz, a, b: (dz * b, dz * a), Multiply()),
    ],
    range(6),
)
def test_any_choice_of_its_own_instance_is_right(pair: tuple[Any, Any, Op], seed: int) -> None:
    forward, backward, like = pair
    report = gp.check_op(forward, backward, reference=like, seed=seed)
    assert report, complaints(report)


class Larger(Op):
    """z = max(y1, y2), which has a kink where they are equal, that no subdifferential tells."""

    n_inputs = 2

    def forward(self, *y: Array) -> Array:
        return np.where(y[0] > y[1], y[0], y[1])

    def vjp(self, dz: Array, y: Any, z: Array) -> Any:
        zero = 0.0 * dz
        return np.where(y[0] > y[1], dz, zero), np.where(y[0] > y[1], zero, dz)


class Magnified(Op):
    """z = |s| y, with a kink where its parameter is zero."""

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        return {"s": ()}

    def forward(self, *y: Array) -> Array:
        return np.abs(y[1]) * y[0]

    def vjp(self, dz: Array, y: Any, z: Array) -> Any:
        slope = np.where(y[1] >= 0, dz * y[0], -(dz * y[0]))
        return np.abs(y[1]) * dz, slope.sum(axis=-1).sum(axis=-1)


def test_kinks_that_an_op_does_not_tell_are_left_out() -> None:
    own = Own(np.maximum, lambda dz, a, b: (dz * (a >= b), dz * (a < b)), Larger())
    for seed in range(4):
        report = gp.check_op(own.forward, own.backward, reference=own.reference, seed=seed)
        assert report, complaints(report)

    def backward(dz: Array, y: Array, s: Array) -> Any:
        return np.abs(s) * dz, np.sign(s) * (dz * y).sum()

    report = gp.check_op(lambda y, s: abs(s) * y, backward, reference=Magnified(), name="magnified")
    assert report, complaints(report)


def test_a_layer_that_keeps_its_gradients_in_place() -> None:
    """dW and db are the layer's own, and are read before the next call."""
    dW, db = np.zeros((4, 3)), np.zeros(3)

    def backward(dz: Array, y: Array, W: Array, b: Array) -> Any:
        dy, *found = linear_backward(dz, y, W, b)
        dW[...], db[...] = found
        return dy, dW, db

    assert gp.check_op(linear, backward, reference=AFFINE, dtypes="float64")


# What is said -----------------------------------------------------------------------------------


def lead(report: Report) -> tuple[str, str]:
    """The check and the note of the first finding that is wrong."""
    return next((run.case, f.note) for run, f in report.findings() if f.parity is False)


def test_nan_is_told_as_nan() -> None:
    report = gp.check_op(tanh, lambda dz, y: np.full_like(y, np.nan), reference=Tanh())
    check, note = lead(report)
    assert check == "finite"
    assert note.startswith("it is nan at [0, 0], where the formulas are finite (28 of 28")
    said = {run.case: f.parity for run, f in report.findings() if f.quantity == "grad y"}
    assert said["determinism"] is None  # the same NaN again; nothing is compared
    assert not any("draw random" in f.note for _, f in report.findings())


def test_at_kinks_is_said() -> None:
    own, check, quantity = HIDDEN["the sign of dz at zero"]
    assert caught(report_of(own, check), quantity).endswith("; at kinks")


def test_what_cannot_be_converted_is_a_finding() -> None:
    torch = pytest.importorskip("torch")
    meta = lambda dz, y: torch.empty(y.shape, dtype=torch.float64, device="meta")  # noqa: E731
    report = gp.check_op(relu, meta, reference=ReLU(), dtypes="float64")
    check, note = lead(report)
    assert check == "shape_and_dtype"
    assert note.startswith("backward returned dy as a Tensor, which is not an array: raised")


def test_a_sparse_result_is_read_as_a_dense_one() -> None:
    torch = pytest.importorskip("torch")
    right = lambda dz, y: torch.tensor(np.where(y > 0, dz, 0)).to_sparse()  # noqa: E731
    wrong = lambda dz, y: torch.zeros(y.shape, dtype=torch.float64).to_sparse()  # noqa: E731
    assert gp.check_op(relu, right, reference=ReLU(), dtypes="float64")
    report = gp.check_op(relu, wrong, reference=ReLU(), dtypes="float64")
    assert lead(report)[0] == "random_points"


def test_an_array_that_is_deleted_is_a_finding() -> None:
    jnp = pytest.importorskip("jax.numpy")

    def deleted(dz: Array, y: Array) -> Any:
        found = jnp.asarray(y)
        found.delete()
        return found

    _, note = lead(gp.check_op(relu, deleted, reference=ReLU(), dtypes="float32"))
    assert "which is not an array: raised RuntimeError" in note


class Scale(Op):
    """z = s y, with a single number s."""

    def __init__(self, shape: tuple[int, ...] = ()) -> None:
        self.shape = shape

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        return {"s": self.shape}

    def forward(self, *y: Array) -> Array:
        return y[1] * y[0]

    def vjp(self, dz: Array, y: Any, z: Array) -> Any:
        return y[1] * dz, (dz * y[0]).sum(axis=-1).sum(axis=-1)


class TestScalarParameter:
    def test_check_op(self) -> None:
        def backward(dz: Array, y: Array, s: Array) -> Any:
            return s * dz, (dz * y).sum()

        assert gp.check_op(lambda y, s: s * y, backward, reference=Scale())
        wrong = gp.check_op(
            lambda y, s: s * y, lambda dz, y, s: (s * dz, (dz * y).mean()), reference=Scale()
        )
        assert wrong.exit_code == 1

    @pytest.mark.slow
    def test_self_test(self) -> None:
        from gradparity.comparisons import selftest
        from gradparity.core import L2, Case, backprop, layered

        case = Case.random(layered([Affine(3, 2), Scale()], L2()), batch=4)
        assert selftest(case, backprop, dtypes=["float64"])

    def test_one_without_a_number_is_refused(self) -> None:
        from gradparity.core import L2, layered

        with pytest.raises(
            ValueError, match=r"parameter 's' of .* has shape \(0,\), which holds no"
        ):
            layered([Scale((0,))], L2())


class TestEdge:
    def test_an_op_without_formulas(self) -> None:
        class Empty(Op):
            pass

        class Half(Op):
            def forward(self, *y: Array) -> Array:
                return y[0]

        with pytest.raises(TypeError, match="Empty has no formula forward; write forward"):
            gp.check_op(relu, relu_backward, reference=Empty())
        with pytest.raises(TypeError, match="Half has no formula vjp; write vjp"):
            gp.check_op(relu, relu_backward, reference=Half())

    def test_a_value_with_a_default_is_given(self) -> None:
        def backward(dz: Array, y: Array = None) -> Array:
            return relu_backward(dz, y)

        assert gp.check_op(relu, backward, reference=ReLU())
        assert gp.check_op(lambda y: np.maximum(y, 0), backward, reference=ReLU())

    def test_a_value_by_keyword_alone_is_refused(self) -> None:
        with pytest.raises(
            TypeError, match=r"or as backward\(dz\), all by place, but takes \(dz, \*"
        ):
            gp.check_op(relu, lambda dz, *, y: relu_backward(dz, y), reference=ReLU())

    @pytest.mark.parametrize("width", [1.5, (1.5,), None.__class__, "x"])
    def test_width(self, width: Any) -> None:
        with pytest.raises(ValueError, match=r"width is .*give a whole number"):
            gp.check_op(relu, relu_backward, reference=ReLU(), width=width)

    def test_a_divergence(self) -> None:
        from gradparity.core import L2

        with pytest.raises(TypeError, match=r"a divergence; .* as docs/how-to/own-network.md"):
            gp.check_op(relu, relu_backward, reference=L2())
