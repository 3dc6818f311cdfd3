"""Right implementations that check_op must not accuse, and shapes that suit an op."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradparity as gp
from gradparity import ops
from gradparity.core import Affine, BatchNorm, Op, ReLU

from own_layers import complaints

Array = Any


def formulas(op: Op) -> tuple[Any, Any]:
    """The op's own formulas as a pair."""

    def backward(dz: Any, *y: Array) -> Any:
        found = op.vjp(dz, y, op.forward(*y))
        return found if len(found) > 1 else found[0]

    return lambda *y: op.forward(*y), backward


class TestShapes:
    @pytest.mark.parametrize(
        ("op", "shapes"),
        [
            (ReLU(), ((4,),)),
            (Affine(3, 2), ((3,),)),
            (BatchNorm(5), ((5,),)),
            (ops.Triangle(), ((4, 5),)),
            (ops.Triangle(upper=True, offset=-20), ((4, 5),)),
            (ops.Diagonal(), ((4, 5),)),
            (ops.Softmax(-2), ((4,),)),
            (ops.Attention(), ((4,),) * 3),
            (ops.Resize((3, 3)), ((4, 5),)),
            (ops.Resize((3, 3, 3)), ((4, 6, 5),)),
            (ops.PixelShuffle(2), ((4, 6, 5),)),
            (ops.ConvTranspose(2, 3, (2, 2, 2)), ((2, 4, 6, 5),)),
            (ops.MatMul(), ((8, 9), (9, 8))),
        ],
        ids=str,
    )
    def test_of_which_axis_0_is_the_batch(self, op: Op, shapes: Any) -> None:
        assert gp.OwnOp(*formulas(op), reference=op).shapes == shapes

    @pytest.mark.parametrize("op", [ops.Triangle(), ops.Diagonal(), ops.MatMul()], ids=str)
    def test_right_formulas_pass_on_them(self, op: Op) -> None:
        report = gp.check_op(*formulas(op), reference=op)
        assert report, complaints(report)
        assert {"batch_split", "permutation"} <= {run.case for run in report.runs}

    @pytest.mark.parametrize(
        ("op", "shape", "said"),
        [
            (ops.Triangle(), (4,), r"shape is \(4,\): Triangle.* such as \(4, 5\)"),
            (ops.Diagonal(), (7,), r"shape is \(7,\): Diagonal.* more axes, such as \(4, 5\)"),
            (ops.Resize((3, 3, 3)), (4, 4), r"shape is \(4, 4\): Resize.* such as \(4, 6, 5\)"),
        ],
        ids=str,
    )
    def test_that_mix_up_the_batch(self, op: Op, shape: Any, said: str) -> None:
        with pytest.raises(ValueError, match=said):
            gp.OwnOp(*formulas(op), reference=op, shape=shape)


class TestSteps:
    @pytest.mark.parametrize("to", ["sign", "floor", "step"])
    def test_a_gradient_of_zero_by_definition(self, to: str) -> None:
        op = ops.Step(to)
        report = gp.check_op(*formulas(op), reference=op)
        assert report, complaints(report)

    def test_another_gradient(self) -> None:
        report = gp.check_op(np.sign, lambda dz, y: 1e-3 * dz, reference=ops.Step())
        assert report.exit_code == 1

    def test_zeros_in_place_of_a_gradient(self) -> None:
        report = gp.check_op(np.tanh, lambda dz, y: np.zeros_like(dz), reference=ops.Tanh())
        assert report.exit_code == 1


def special_points(forward: Any, op: Op, dtype: str) -> gp.Report:
    own = gp.OwnOp(forward, "torch", reference=op)
    return own.checks(dtypes=dtype)["special_points"]()


class TestTorch:
    torch: Any = pytest.importorskip("torch")

    @pytest.mark.parametrize(
        ("function", "op", "dtype"),
        [
            ("sinc", ops.Sinc(), "float32"),
            ("nn.functional.softsign", ops.Softsign(), "float32"),
            ("arctan2", ops.Arctan2(), "float32"),
        ],
        ids=str,
    )
    def test_lost_digits(self, function: str, op: Op, dtype: str) -> None:
        forward: Any = self.torch
        for name in function.split("."):
            forward = getattr(forward, name)
        report = special_points(forward, op, dtype)
        assert report, complaints(report)
        assert "lossy" in {f.verdict for _, f in report.findings()}

    def test_a_square_that_nearly_overflows(self) -> None:
        def squareplus(y: Any) -> Any:
            return 0.5 * (y + self.torch.sqrt(y * y + 4))

        report = special_points(squareplus, ops.Squareplus(), "float64")
        assert report, complaints(report)

    def test_a_step_with_a_stopped_gradient(self) -> None:
        op = ops.Step(straight_through=True)
        report = special_points(lambda y: y + (y.sign() - y).detach(), op, "float32")
        assert report, complaints(report)

    @pytest.mark.parametrize("factor", [1.001, 0.9])
    def test_a_wrong_slope_is_not_excused(self, factor: float) -> None:
        def softsign(y: Any) -> Any:
            return y / (1 + factor * y.abs())

        assert special_points(softsign, ops.Softsign(), "float32").exit_code == 1
