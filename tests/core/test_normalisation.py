"""Normalisations beyond the lecture's: relations among them, zeros, and arguments refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from gradparity.core import LayerNorm
from gradparity.core.vocabulary.normalisation import GroupNorm, InstanceNorm, L2Normalise, RMSNorm

RNG = np.random.default_rng(0)


def passes(op: Any, *y: Any) -> list[Any]:
    """The value and all gradients, for one dz."""
    z = op.forward(*y)
    dz = np.cos(np.arange(z.size)).reshape(z.shape)
    return [z, *op.vjp(dz, y, z)]


def test_group_norm_of_one_group_is_layer_norm_of_the_channels() -> None:
    x, g, b = RNG.standard_normal((5, 6)), RNG.standard_normal(6), RNG.standard_normal(6)
    for one, other in zip(
        passes(GroupNorm(6, 1), x, g, b), passes(LayerNorm(6), x, g, b), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-13, atol=1e-14)


def test_instance_norm_is_group_norm_of_single_channels() -> None:
    x = RNG.standard_normal((5, 4, 3, 2))
    g, b = RNG.standard_normal(4), RNG.standard_normal(4)
    pairs = zip(passes(InstanceNorm(4), x, g, b), passes(GroupNorm(4, 4), x, g, b), strict=True)
    assert all(np.array_equal(one, other) for one, other in pairs)


def test_rms_norm_is_layer_norm_of_numbers_with_mean_zero() -> None:
    """Their values are equal; the gradients differ by the mean that layer norm takes out."""
    x = RNG.standard_normal((5, 6))
    x -= x.mean(axis=-1, keepdims=True)
    g = np.ones(6)
    z, dx, dg = passes(RMSNorm(6), x, g)
    layer_z, layer_dx, layer_dg, _ = passes(LayerNorm(6), x, g, 0 * g)
    np.testing.assert_allclose(z, layer_z, rtol=1e-12)
    np.testing.assert_allclose(dg, layer_dg, rtol=1e-12)
    np.testing.assert_allclose(dx - dx.mean(axis=-1, keepdims=True), layer_dx, atol=1e-13)


def test_normalised_vectors_have_length_one_and_no_gradient_along_themselves() -> None:
    y = RNG.standard_normal((4, 5, 3)) * 1e150
    z, dy = passes(L2Normalise(1), y)
    np.testing.assert_allclose((z * z).sum(axis=1), 1.0, rtol=1e-14)
    np.testing.assert_allclose((dy * z).sum(axis=1), 0.0, atol=1e-164)


def test_vectors_shorter_than_eps_are_divided_by_it() -> None:
    y = np.array([[0.0, 0.0], [0.03, 0.04], [3.0, 4.0]])
    op = L2Normalise(eps=0.5)
    z = op.forward(y)
    assert z.ravel() == pytest.approx([0.0, 0.0, 0.06, 0.08, 0.6, 0.8])
    (dy,) = op.vjp(np.ones_like(y), (y,), z)
    assert dy.ravel() == pytest.approx([2.0, 2.0, 2.0, 2.0, 0.16 / 5, -0.12 / 5])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GroupNorm(6, 4), "give a divisor of n = 6"),
        (lambda: GroupNorm(6, 0), "whole number >= 1"),
        (lambda: GroupNorm(4, 2).output_shape((3, 6)), r"4 channels on axis 1, .* \(3, 6\)"),
        (lambda: GroupNorm(4, 4).output_shape((3, 4)), "one number per group"),
        (lambda: InstanceNorm(4).output_shape((3, 4, 1)), "one number per group"),
        (lambda: InstanceNorm(4, eps=-1.0), "give a number >= 0"),
        (lambda: RMSNorm(4).output_shape((3, 5)), "width 4"),
        (lambda: L2Normalise(eps=0.0), "give a number > 0"),
        (lambda: L2Normalise(2).output_shape((3, 5)), "does not fit"),
    ],
)
def test_wrong_arguments_are_named(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make()
