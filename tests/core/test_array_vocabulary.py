"""Contractions, pooling and resizing: NumPy's values, arguments, and how sharp the bounds are."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest

from gradparity import ops
from gradparity.core import Ball, Bounded, Conv, Rounding, Ties

from .oracle import inside

RNG = np.random.default_rng(0)


def drawn(*shape: int, dtype: str = "float64") -> np.ndarray:
    return RNG.standard_normal(shape).astype(dtype)


@pytest.mark.parametrize(
    ("a", "b"),
    [((3,), (3,)), ((3,), (3, 2)), ((2, 3), (3,)), ((5, 2, 3), (3,)), ((3,), (5, 3, 2)),
     ((5, 1, 2, 3), (4, 3, 2)), ((2, 3), (5, 3, 4))],
)  # fmt: skip
def test_matmul_takes_values_of_any_rank(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    y, op = (drawn(*a), drawn(*b)), ops.MatMul()
    z = op.forward(*y)
    np.testing.assert_allclose(z, np.matmul(*y), rtol=1e-13)
    assert op.output_shape(a, b) == z.shape
    dz = drawn(*z.shape)
    v = drawn(*a), drawn(*b)
    found = op.vjp(dz, y, z)
    assert [g.shape for g in found] == [a, b]
    along = (dz * (op.forward(v[0], y[1]) + op.forward(y[0], v[1]))).sum()
    assert along == pytest.approx(sum((g * w).sum() for g, w in zip(found, v, strict=True)))


@pytest.mark.parametrize(
    ("equation", "a", "b"),
    [("ij,jk->ik", (2, 3), (3, 4)), ("bi,bj->bij", (2, 3), (2, 4)), ("ij,ij->", (2, 3), (2, 3)),
     ("bikl,bkjm->jb", (2, 3, 4, 2), (2, 4, 5, 2)), ("i,j->ji", (2,), (3,)),
     ("bij,jb->bij", (2, 3, 4), (4, 2)), ("Ab,bA->A", (2, 3), (3, 2)), ("i,j->i", (2,), (3,))],
)  # fmt: skip
def test_einsum_is_numpys(equation: str, a: tuple[int, ...], b: tuple[int, ...]) -> None:
    y, op = (drawn(*a), drawn(*b)), ops.Einsum(equation)
    z = op.forward(*y)
    np.testing.assert_allclose(z, np.einsum(equation, *y), rtol=1e-12)
    assert op.output_shape(a, b) == np.shape(z)
    one, other = equation.partition("->")[0].split(",")
    dz, out = drawn(*np.shape(z)), op.terms[2]
    da, db = op.vjp(dz, y, z)
    ones = {x: np.ones(n) for x, n in zip(one + other, a + b, strict=True)}

    def pulled(term: str, partner: str, value: np.ndarray) -> np.ndarray:
        alone = [x for x in term if x not in out + partner]
        operands = [ones[x] for x in alone]
        left = ",".join([out, partner, *alone])
        return np.einsum(f"{left}->{term}", dz, value, *operands)

    np.testing.assert_allclose(da, pulled(one, other, y[1]), rtol=1e-12)
    np.testing.assert_allclose(db, pulled(other, one, y[0]), rtol=1e-12)


@pytest.mark.parametrize("given", [
    {"kernel": (3,), "stride": 2}, {"kernel": (3, 2), "padding": ((1, 0), 1), "groups": 2},
    {"kernel": (2, 3), "stride": (3, 2), "output_padding": (2, 1), "dilation": 2},
])  # fmt: skip
def test_conv_transpose_is_the_adjoint_of_conv(given: dict[str, object]) -> None:
    """<conv_transpose(y), v> = <y, conv(v)>."""
    op = ops.ConvTranspose(4, 6, **given, bias=False)
    y, W = drawn(2, 4, *(5,) * len(op.kernel)), drawn(*op.parameter_shapes()["W"])
    z = op.forward(y, W)
    v = drawn(*z.shape)
    conv = Conv(6, 4, op.kernel, op.stride, op.padding, op.dilation, op.groups, bias=False)
    assert (z * v).sum() == pytest.approx((y * conv.forward(v, W)).sum())


@pytest.mark.parametrize("statistical", [False, True])
def test_the_bias_of_a_transposed_convolution_may_come_first(statistical: bool) -> None:
    """It is then in every partial sum of n terms."""
    op, n = ops.ConvTranspose(400, 1, (1,)), 400
    # Equal terms are all rounded the same way, which only the worst case covers.
    terms = 2.0**-22 * RNG.standard_normal(n) if statistical else np.full(n, 2.0**-25)
    y = terms.astype(np.float32).reshape(1, n, 1)
    W, b = np.ones((n, 1, 1), np.float32), np.ones(1, np.float32)
    first = b[0]
    for term in y.ravel():
        first = first + term
    rounding = Rounding.of("float32", statistical=statistical)
    z = op.forward(*(Bounded.exactly(a, rounding) for a in (y, W, b)))
    assert inside(np.full((1, 1, 1), first), z).all()


def test_bins_are_pytorchs() -> None:
    y = np.arange(5.0).reshape(1, 1, 5)
    assert ops.AdaptiveAvgPool(3).forward(y).tolist() == [[[0.5, 2.0, 3.5]]]
    assert ops.AdaptiveMaxPool(3).forward(y).tolist() == [[[1.0, 3.0, 4.0]]]
    assert ops.AdaptiveAvgPool(10).forward(y).tolist() == [[[0, 0, 1, 1, 2, 2, 3, 3, 4, 4]]]
    ties = ops.AdaptiveMaxPool(3).subdifferential((np.array([[[1.0, 1, 0, 2, 2]]]),), 0.0)
    assert isinstance(ties, Ties)
    assert (ties.group.tolist(), ties.element.tolist()) == ([0, 0, 2, 2], [0, 1, 3, 4])


def test_an_average_counts_padding_or_not() -> None:
    y = np.ones((1, 1, 4))
    assert ops.AvgPool(2, 2, 1).forward(y).tolist() == [[[0.5, 1.0, 0.5]]]
    assert ops.AvgPool(2, 2, 1, count_include_pad=False).forward(y).tolist() == [[[1, 1, 1]]]
    assert ops.AvgPool(2, 2, 1, divisor=4).forward(y).tolist() == [[[0.25, 0.5, 0.25]]]


def test_a_norm_of_a_window_does_not_overflow_and_may_be_zero() -> None:
    y = np.array([[[3e30, -4e30, 0, 0, 1e-30, 0]]], np.float32)
    for p, first in ((2, 5e30), (3, 91 ** (1 / 3) * 1e30)):
        op = ops.LpPool(p, 2, 2)
        z = op.forward(y)
        np.testing.assert_allclose(z, [[[first, 0.0, 1e-30]]], rtol=1e-6)
        (dy,) = op.vjp(np.ones_like(z), (y,), z)
        assert np.isfinite(dy).all()
        assert dy[0, 0, 2:].tolist() == [0, 0, 1, 0]
        ball = op.subdifferential((y,), 0.0 + np.finfo(np.float32).tiny)
        assert isinstance(ball, Ball)
        assert (ball.order, ball.element.tolist()) == (p / (p - 1), [2, 3])
    ball = ops.LpPool(1, 2, 2).subdifferential((y,), np.finfo(np.float32).tiny)
    assert isinstance(ball, Ball)
    assert (ball.order, ball.element.tolist()) == (math.inf, [2, 3, 5])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("corners", [False, True])
@pytest.mark.parametrize("mode", ["linear", "cubic"])
def test_a_weight_of_an_interpolation_is_known_to_a_few_roundings(
    mode: str, corners: bool, dtype: str
) -> None:
    """Positions of any rounding are covered; a weight that is off by 1e-4 in float32 is not."""
    op, fault = ops.Resize((16,), mode, corners), 1e-4 if dtype == "float32" else 1e-12
    rounding, n = Rounding.of(dtype), 11
    for j in range(n):  # the weights of element j
        y = np.zeros((1, n), dtype)
        y[0, j] = 1
        z = op.forward(Bounded.exactly(y, rounding))
        assert inside(op.forward(y), z).all()
        assert not inside(z.value + fault, z).any()
        assert not inside(z.value - fault, z).any()


def test_a_position_may_be_rounded_across_an_element() -> None:
    """x = 3 may come out just below: then element 2 has a small weight, and 3 one below 1."""
    op = ops.Resize((22,), "linear", align_corners=True)
    y = np.eye(8)[2:3].astype(np.float32)
    z = op.forward(Bounded.exactly(y, Rounding.of("float32")))
    assert z.value[0, 9] == 0  # x = 9 * 7 / 21 = 3
    assert inside(np.where(np.arange(22) == 9, np.float32(2e-7), z.value), z).all()


def test_nearest_elements_are_found_in_whole_numbers() -> None:
    y = np.arange(14.0)[None]
    assert ops.Resize((46,)).forward(y)[0].tolist() == [i * 14 // 46 for i in range(46)]
    exact = ops.Resize((46,), "nearest-exact").forward(y)[0]
    assert exact.tolist() == [(2 * i + 1) * 14 // 92 for i in range(46)]


REFUSED = [
    (lambda: ops.Einsum("ij,jk"), "Einsum(equation='ij,jk'): give two operands and the output"),
    (lambda: ops.Einsum("i...,j->ij"), "give two operands and the output"),
    (lambda: ops.Einsum("ij,jk,kl->il"), "give two operands and the output"),
    (lambda: ops.Einsum(3), "Einsum(equation=3): give two operands"),
    (lambda: ops.Einsum("ii,ij->j"), "give each letter once in 'ii'"),
    (lambda: ops.Einsum("ij,jk->iz"), "give letters of the operands in the output"),
    (lambda: ops.Einsum("ij,jk->ik").output_shape((2, 3), (4, 5)), "does not fit shapes (2, 3)"),
    (lambda: ops.Einsum("ij,jk->ik").output_shape((2, 3), (3,)), "does not fit shapes (2, 3)"),
    (lambda: ops.MatMul().output_shape((2, 3), (4, 5)), "MatMul does not fit shapes (2, 3)"),
    (lambda: ops.MatMul().output_shape((), (4,)), "MatMul does not fit shapes () and (4,)"),
    (lambda: ops.ConvTranspose(3, 4, 2, padding="same"), "ConvTranspose(padding='same'): give"),
    (lambda: ops.ConvTranspose(3, 4, 2, padding=-1), "for a longer result give output_padding"),
    (lambda: Conv(3, 4, 2, padding=-1), "to crop the value, put a node with Slice before it"),
    (lambda: ops.Min(2), "Min(sizes=2): give the groups' sizes, whole numbers >= 1"),
    (lambda: ops.Min((2, 1)).output_shape((4, 5)), "(4, 5), whose axis -1 has length 5"),
    (lambda: ops.Dropout(1.5), "Dropout(p=1.5): give the probability that an element is left out"),
    (lambda: ops.Dropout(1), "Dropout(p=1): give the probability"),
    (lambda: ops.Scatter(2).sample_integers(RNG, (4, 3)), "3 ids of a line cannot differ"),
    (lambda: ops.Scatter(2).output_shape((4, 3), (4, 2), (4, 3)), "give 2 ids at most, or accum"),
    (lambda: ops.ConvTranspose(3, 4, 2, output_padding=1), "(output_padding=1): give whole"),
    (lambda: ops.ConvTranspose(3, 4, 2, groups=2), "ConvTranspose(groups=2) must divide c_in=3"),
    (lambda: ops.ConvTranspose(3, 4, 2).output_shape((5, 2, 3)), "takes a value (N, 3, *1 axes)"),
    (lambda: ops.ConvTranspose(3, 4, 2, padding=3).output_shape((5, 3, 4)), "leaves nothing"),
    (lambda: ops.AvgPool(2, divisor=0), "AvgPool(divisor=0): give a whole number >= 1"),
    (lambda: ops.AvgPool(2, count_include_pad=1), "AvgPool(count_include_pad=1): give True"),
    (lambda: ops.AvgPool(2, stride=0), "AvgPool(stride=0): give a whole number >= 1"),
    (
        lambda: ops.AvgPool(1, padding=1, count_include_pad=False).output_shape((1, 1, 3)),
        "a window holds padding alone",
    ),
    (lambda: ops.LpPool(0, 2), "LpPool(p=0): give a whole number >= 1"),
    (lambda: ops.LpPool(1, 3, 2), "LpPool(stride=(2,)): give stride >= kernel for p = 1"),
    (lambda: ops.AdaptiveAvgPool(0), "AdaptiveAvgPool(size=0): give one, two or three whole"),
    (lambda: ops.AdaptiveMaxPool((2, 2)).output_shape((1, 1, 3)), "take a value (N, C, *2 axes)"),
    (lambda: ops.Resize(0), "Resize(size=0): give one to 3 whole numbers >= 1"),
    (lambda: ops.Resize((2, 2, 2), "cubic"), "give one to 2 whole numbers >= 1"),
    (lambda: ops.Resize(2, "area"), "Resize(mode='area'): give 'nearest'"),
    (lambda: ops.Resize(2, align_corners=True), "give False, or mode='linear' or 'cubic'"),
    (lambda: ops.Resize((2, 2)).output_shape((3,)), "does not fit a value of shape (3,)"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "said"), REFUSED)
def test_what_an_op_refuses(call, said) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        call()
