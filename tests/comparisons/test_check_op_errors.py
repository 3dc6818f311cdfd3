"""Exceptions and wrong returned objects become findings with a note."""

from __future__ import annotations

from itertools import count
from typing import Any

import numpy as np
import pytest

import gradparity as gp
from gradparity.comparisons import Finding, Report, Verdict
from gradparity.core import Affine, Embedding, ReLU, Tanh

from own_layers import linear, linear_backward, relu, relu_backward, tanh

Array = Any


def boom(*arguments: Array) -> Array:
    raise RuntimeError("out of luck")


def findings(report: Report, check: str, quantity: str) -> Finding:
    return next(f for run, f in report.findings() if run.case == check and f.quantity == quantity)


class TestRaising:
    def test_backward(self) -> None:
        report = gp.check_op(relu, boom, reference=ReLU())
        assert report.exit_code == 2
        found = findings(report, "shape_and_dtype", "gradients")
        assert found.verdict is Verdict.INCONCLUSIVE
        assert found.note.startswith("backward raised RuntimeError: out of luck (test_check_op_err")
        assert found.note.endswith("in boom)")
        # The other checks ran, and the value was judged.
        assert findings(report, "random_points", "value z").parity is True
        assert findings(report, "linearity", "gradients").note == "as in shape_and_dtype"

    def test_forward(self) -> None:
        report = gp.check_op(boom, relu_backward, reference=ReLU())
        assert report.exit_code == 2
        assert "forward raised RuntimeError" in findings(report, "shape_and_dtype", "value z").note

    def test_inside_of_numpy_the_users_line_is_named(self) -> None:
        report = gp.check_op(relu, lambda dz, y: np.stack([dz, y[:1]]), reference=ReLU())
        note = findings(report, "shape_and_dtype", "gradients").note
        assert "ValueError" in note
        assert "test_check_op_errors.py:" in note

    def test_for_a_batch_of_one_alone(self) -> None:
        def only_many(y: Array) -> Array:
            return relu(y) if len(y) > 1 else boom()

        report = gp.check_op(only_many, relu_backward, reference=ReLU(), dtypes="float64")
        bad = {run.case for run, f in report.findings() if f.parity is not True}
        assert bad == {"batch_split", "batch_of_one"}

    def test_leaving_the_program(self) -> None:
        def leaves(dz: Array, y: Array) -> Array:
            raise SystemExit(3)

        report = gp.check_op(relu, leaves, reference=ReLU())
        assert "SystemExit: 3" in findings(report, "shape_and_dtype", "gradients").note

    @pytest.mark.parametrize("n", [3, 5])
    def test_now_and_then(self, n: int) -> None:
        calls = count(1)

        def moody(y: Array) -> Array:
            return relu(y) if next(calls) % n else boom()

        report = gp.check_op(moody, relu_backward, reference=ReLU(), dtypes="float64")
        assert report.exit_code == 2
        notes = [f.note for run, f in report.findings() if f.parity is not True]
        assert any("forward raised RuntimeError" in note for note in notes)
        assert not any("writes into" in note for note in notes)


@pytest.mark.parametrize(
    ("sampled", "said"),
    [
        (lambda self, rng, shape: None, "sample_integers returned NoneType; return integers of"),
        (lambda self, rng, shape: rng.random(shape), r"returned float64 of shape \(2, 4\); return"),
        (lambda self, rng, shape: rng.integers(0, 5, 3), r"int64 of shape \(3,\); return"),
        (lambda self, rng, shape: rng.integers(7, 9, shape), "check_integers refuses: .* 5 rows"),
        (lambda self, rng: 0, "sample_integers: TypeError: .* positional argument"),
    ],
)
def test_integers_that_do_not_fit(sampled: Any, said: str) -> None:
    own = type("Own", (Embedding,), {"sample_integers": sampled})
    with pytest.raises(ValueError, match=f"Own.*{said}"):
        gp.check_op(lambda y, E: E[y], lambda dz, y, E: E, reference=own(5, 3))


def with_db(db: Any) -> Any:
    """The backward function of an affine map, with another gradient of b."""

    def backward(dz: Array, y: Array, W: Array, b: Array) -> Any:
        return *linear_backward(dz, y, W, b)[:2], db(dz)

    return backward


@pytest.mark.parametrize(
    ("backward", "quantity", "said"),
    [
        (lambda dz, y, W, b: None, "gradients",
         r"backward returned None, expected the tuple \(dy, dW, db\); is there no return\?"),
        (lambda dz, y, W, b: dz @ W.T, "gradients", "returned a ndarray, expected the tuple"),
        (lambda dz, y, W, b: linear_backward(dz, y, W, b)[:2], "gradients", "returned 2 objects"),
        (with_db(lambda dz: dz.sum(0, keepdims=True)), "grad b",
         r"db of shape \(1, 3\), expected \(3,\)"),
        (with_db(lambda dz: dz.sum(0).tolist()), "grad b",
         r"db as a list, expected an array of shape \(3,\)"),
        (with_db(lambda dz: None), "grad b", "db as None, .* is there no return"),
        (with_db(lambda dz: dz.sum()), "grad b", r"db as a float64, expected an array"),
        (with_db(lambda dz: dz.sum(0).astype(complex)), "grad b", "as complex128, expected float"),
        (with_db(lambda dz: dz.sum(0).astype(object)), "grad b", "db as object, expected float64"),
        (with_db(lambda dz: dz.sum(0).astype(np.float16)), "grad b", "db as float16, expected"),
    ],
)  # fmt: skip
def test_what_is_returned_otherwise(backward: Any, quantity: str, said: str) -> None:
    import re

    report = gp.check_op(linear, backward, reference=Affine(4, 3), dtypes="float64")
    assert report.exit_code == 1
    found = findings(report, "shape_and_dtype", quantity)
    assert found.verdict is Verdict.MISMATCH
    assert re.search(said, found.note), found.note
    assert findings(report, "random_points", "value z").parity is True


class TestDtype:
    def test_wider_than_what_was_given(self) -> None:
        """The numbers are right, and judged; the dtype is not."""
        half = np.full((1, 4), 1.0)
        report = gp.check_op(lambda y: tanh(y) * half, lambda dz, y: dz * (1 - tanh(y) ** 2) * half,
                             reference=Tanh())  # fmt: skip
        for run, f in report.findings():
            told = f.quantity == "dtype"
            if run.case == "shape_and_dtype":
                assert (f.verdict is Verdict.MISMATCH) == told
        note = next(f.note for run, f in report.findings() if f.verdict is Verdict.MISMATCH)
        assert note.startswith("z of forward and dy of backward are float64, expected float32")
        assert {run.dtype for run, f in report.findings() if f.quantity == "dtype"} == {"float32"}
        assert report.exit_code == 1

    def test_integers(self) -> None:
        report = gp.check_op(
            relu, lambda dz, y: (y > 0).astype(int), reference=ReLU(), dtypes="float64"
        )
        note = findings(report, "shape_and_dtype", "grad y").note
        assert note.startswith("backward returned dy as int64, expected float64")


class TestNumbers:
    @pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
    def test_not_finite(self, bad: float) -> None:
        def backward(dz: Array, y: Array) -> Array:
            dy = relu_backward(dz, y)
            dy[0, 0] = bad
            return dy

        report = gp.check_op(relu, backward, reference=ReLU())
        assert report.exit_code == 1
        assert findings(report, "random_points", "grad y").parity is False

    @pytest.mark.parametrize("where", ["y", "W", "b", "dz"])
    def test_writing_into_arguments(self, where: str) -> None:
        def backward(dz: Array, y: Array, W: Array, b: Array) -> Any:
            found = linear_backward(dz, y, W, b)
            {"dz": dz, "y": y, "W": W, "b": b}[where][...] *= 1
            {"dz": dz, "y": y, "W": W, "b": b}[where].flat[0] += 1
            return found

        report = gp.check_op(linear, backward, reference=Affine(4, 3), dtypes="float64")
        changed = findings(report, "inputs_unchanged", f"argument {where} of backward")
        assert changed.verdict is Verdict.MISMATCH
        assert f"backward writes into the {where} it is given" in changed.note
        refused = findings(report, "read_only", "gradients")
        assert f"it writes into {where}: " in refused.note
        bad = {run.case for run, f in report.findings() if f.parity is False}
        assert bad == {"inputs_unchanged", "read_only"}

    def test_writing_into_what_forward_was_given(self) -> None:
        """A layer that stores its input, and spoils it on the way back."""

        class Spoiling:
            def forward(self, y: Array) -> Array:
                self.y = y
                return relu(y)

            def backward(self, dz: Array) -> Array:
                self.y[...] = self.y > 0
                return dz * self.y

        layer = Spoiling()
        report = gp.check_op(layer.forward, layer.backward, reference=ReLU(), dtypes="float64")
        bad = {run.case for run, f in report.findings() if f.parity is False}
        assert bad == {"inputs_unchanged", "read_only"}
