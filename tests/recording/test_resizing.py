"""Recordings judge resizing by any factor and with antialiasing by its formula."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import gradparity as gp
from gradparity import ops
from gradparity.comparisons.recording.calls import findings_of_call
from gradparity.core.programs.resizing import ScaledResize, SmoothResize

torch = pytest.importorskip("torch")

F = torch.nn.functional
DTYPES = pytest.mark.parametrize("dtype", ["float64", "float32"])
pytestmark = pytest.mark.usefixtures("seeded")


def resized(x: Any, **how: Any) -> gp.Recording:
    return gp.record(lambda x: F.interpolate(x * 1, **how).square().sum(), x, keep=True)


def image(*shape: int, dtype: str = "float64") -> Any:
    return torch.randn(1, 2, *shape, dtype=getattr(torch, dtype), requires_grad=True)


@DTYPES
@pytest.mark.parametrize("mode", ["nearest", "nearest-exact", "bilinear", "bicubic"])
@pytest.mark.parametrize("factor", [0.6, 1.7, (2.05, 0.45), (0.301, 2.62)])
def test_factors_that_give_no_whole_sizes(mode: str, factor: Any, dtype: str) -> None:
    step = resized(image(10, 7, dtype=dtype), mode=mode, scale_factor=factor)
    report = gp.check(step)
    assert report.exit_code == 0, report.diagnosis()
    assert not step.by_values


@DTYPES
@pytest.mark.parametrize("mode", ["bilinear", "bicubic"])
@pytest.mark.parametrize("corners", [False, True])
@pytest.mark.parametrize("how", [{"size": (4, 13)}, {"size": (23, 7)}, {"scale_factor": 0.37}])
def test_antialiasing(mode: str, corners: bool, how: Any, dtype: str) -> None:
    x = image(10, 7, dtype=dtype)
    step = resized(x, mode=mode, antialias=True, align_corners=corners, **how)
    report = gp.check(step)
    assert report.exit_code == 0, report.diagnosis()
    assert not step.by_values


@pytest.mark.parametrize("how", [{"scale_factor": 1.7}, {"size": (4, 5), "antialias": True}])
def test_a_wrong_gradient_is_accused(how: Any) -> None:
    step = resized(image(10, 7), mode="bilinear", **how)
    call = step.calls[1]
    right = np.asarray(call.inputs[0].gradient)
    for wrong in (right[..., ::-1], right * 1.0001, np.roll(right, 1, axis=-2)):
        planted = replace(call, inputs=[replace(call.inputs[0], gradient=wrong)])
        found = findings_of_call(planted)
        assert {f.parity for f in found if f.quantity.is_gradient} == {False}


def test_the_weights() -> None:
    """By hand: halves of a line of four, by tents that are two elements wide on each side."""
    y = np.eye(4)
    z = SmoothResize((2,), "linear").forward(y).T
    assert z == pytest.approx(np.array([[3, 3, 1, 0], [0, 1, 3, 3]]) / 7)
    assert SmoothResize((4,), "cubic").forward(y).tolist() == y.tolist()
    scaled = ScaledResize((3,), "linear", scales=(1.5,)).forward(np.array([[0.0, 3.0]]))
    assert scaled == pytest.approx(np.array([[0.0, 1.5, 3.0]]))
    whole = ops.Resize((3,), "linear").forward(np.array([[0.0, 3.0]]))
    assert whole == pytest.approx(scaled)


def wrong_in(step: gp.Recording) -> set[tuple[str, bool]]:
    found = gp.check(step).findings()
    return {(f.node, f.quantity.is_gradient) for _, f in found if f.parity is False}


def test_a_backward_pass_that_uses_a_factor_that_the_forward_pass_ignored() -> None:
    """A width that stays 4 is left alone by PyTorch's forward pass, and not by its gradient."""
    how = {"scale_factor": (0.65, 1.2), "mode": "bilinear", "antialias": True}
    node = "_upsample_bilinear2d_aa_1"
    assert wrong_in(resized(image(9, 4), **how)) == {(node, True)}


def test_antialiasing_to_a_width_of_1_takes_one_row() -> None:
    """PyTorch gives the first row in every row."""
    x = image(6, 3)
    wrong = wrong_in(resized(x, size=(5, 1), mode="bilinear", antialias=True))
    assert ("_upsample_bilinear2d_aa_1", False) in wrong
    turned = resized(x.detach().mT.contiguous().requires_grad_(), size=(1, 5), mode="bilinear",
                     antialias=True)  # fmt: skip
    assert not wrong_in(turned)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ScaledResize((3,), "linear", scales=(0.0,)), "1 numbers > 0"),
        (lambda: ScaledResize((3,), "linear", True, scales=(2.0,)), "corners leave no place"),
        (lambda: SmoothResize((3, 2), scales=(1.0,)), "2 numbers > 0"),
        (lambda: SmoothResize((3,)).output_shape(()), "does not fit a value of shape"),
    ],
)
def test_wrong_arguments_are_named(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
