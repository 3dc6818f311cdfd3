"""One function, differentiated by its framework: NumPy arrays in, NumPy arrays out."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradparity as gp
from gradparity.adapters.base import AdapterError

from .frameworks import each_framework

DTYPES = ("float64", "float32", "float16")
each_dtype = pytest.mark.parametrize("dtype", DTYPES)


def affine(y: Any, W: Any, b: Any) -> Any:
    return y @ W + b


def arrays(dtype: str) -> tuple[list[np.ndarray], np.ndarray]:
    """Small whole numbers: everything is exact in every dtype."""
    rng = np.random.default_rng(0)
    y, W, b, dz = (rng.integers(-3, 4, s).astype(dtype) for s in ((4, 3), (3, 2), (2,), (4, 2)))
    return [y, W, b], dz


@each_framework
class TestVjp:
    @each_dtype
    def test_value_and_gradients(self, name: str, dtype: str) -> None:
        (y, W, b), dz = arrays(dtype)
        z, gradients = gp.get_adapter(name).vjp(affine, (y, W, b), dz)
        np.testing.assert_array_equal(z, y @ W + b, strict=True)
        for got, want in zip(gradients, (dz @ W.T, y.T @ dz, dz.sum(0)), strict=True):
            np.testing.assert_array_equal(got, want, strict=True)

    def test_in_bfloat16(self, name: str) -> None:
        args, dz = arrays("float32")
        z, gradients = gp.get_adapter(name).vjp(affine, args, dz, dtype="bfloat16")
        assert z.dtype == gradients[0].dtype == np.float32
        np.testing.assert_array_equal(gradients[1], args[0].T @ dz)
        one = np.ones(1, "float32")
        third, _ = gp.get_adapter(name).vjp(lambda y: y / 3, [one], one,
                                        dtype="bfloat16")  # fmt: skip
        assert third[0] == np.float32(0.333984375)

    @each_dtype
    def test_what_is_not_used_has_zeros(self, name: str, dtype: str) -> None:
        args, dz = arrays(dtype)
        _, gradients = gp.get_adapter(name).vjp(lambda y, W, b: y @ W, args, dz)
        np.testing.assert_array_equal(gradients[2], np.zeros(2, dtype), strict=True)

        def ones(y: Any, W: Any, b: Any) -> Any:
            if name == "torch":
                return y.new_ones((4, 2))
            import jax.numpy as jnp

            return jnp.ones((4, 2), y.dtype)

        z, gradients = gp.get_adapter(name).vjp(ones, args, dz)
        assert (z == 1).all()
        assert not any(g.any() for g in gradients)
        assert [g.shape for g in gradients] == [a.shape for a in args]

    def test_the_arrays_are_copied(self, name: str) -> None:
        args, dz = arrays("float64")
        for array in (*args, dz):
            array.flags.writeable = False
        before = [array.copy() for array in (*args, dz)]
        z, gradients = gp.get_adapter(name).vjp(lambda y, W, b: y @ W + 0 * b, args, dz)
        for array in (z, *gradients):
            array[...] = 9.0
        for array, was in zip((*args, dz), before, strict=True):
            np.testing.assert_array_equal(array, was)

    @pytest.mark.parametrize(
        ("function", "said"),
        [
            (lambda y, W, b: (y, W), r"<lambda> returned a tuple of 2 .*return one \w+ of shape"),
            (lambda y, W, b: None, r"returned NoneType; return one \w+ of shape \(4, 2\)"),
            (lambda y, W, b: (y @ W).sum(0), r"returned \w+ of shape \(2,\); return one"),
        ],
    )
    def test_what_is_no_value_is_named(self, name: str, function: Any, said: str) -> None:
        args, dz = arrays("float64")
        with pytest.raises(AdapterError, match=said):
            gp.get_adapter(name).vjp(function, args, dz)

    def test_layouts_of_all_kinds(self, name: str) -> None:
        (y, W, b), dz = arrays("float64")
        wide = np.zeros((8, 6))
        wide[::2, ::2] = y
        layouts = (
            np.asfortranarray(y),
            wide[::2, ::2],
            y[::-1][::-1],
            np.ascontiguousarray(y[::-1])[::-1],
            np.ascontiguousarray(y.T).T,
        )
        for laid_out in layouts:
            _, gradients = gp.get_adapter(name).vjp(affine, (laid_out, W, b), dz)
            np.testing.assert_array_equal(gradients[1], y.T @ dz)
        row = np.broadcast_to(y[:1], y.shape)
        _, gradients = gp.get_adapter(name).vjp(affine, (row, W, b), dz)
        np.testing.assert_array_equal(gradients[0], dz @ W.T)


class TestTorch:
    torch: Any = pytest.importorskip("torch")

    def seen(self, *arrays: np.ndarray) -> list[Any]:
        kept: list[Any] = []

        def keep(*tensors: Any) -> Any:
            kept.extend(tensors)
            return sum(t.sum() for t in tensors)

        gp.get_adapter("torch").vjp(keep, arrays, np.array(1.0))
        return kept

    def test_tensors_are_laid_out_as_the_arrays_were(self) -> None:
        wide = np.arange(48.0).reshape(8, 6)
        for array in (wide, wide.T, wide[::2, 1::3], wide[:, 0], np.float32(wide).T,
                      np.broadcast_to(wide[0], (3, 6))):  # fmt: skip
            (tensor,) = self.seen(array)
            assert tensor.requires_grad
            assert tensor.stride() == tuple(s // array.itemsize for s in array.strides)
            np.testing.assert_array_equal(tensor.detach().numpy(), array)

    def test_what_torch_has_not_is_contiguous(self) -> None:
        overlapping = np.lib.stride_tricks.sliding_window_view(np.arange(6.0), 3)
        odd = np.zeros(4, dtype=[("a", "f4"), ("b", "f8")])["b"]
        for array in (np.arange(6.0)[::-1], overlapping, odd):
            (tensor,) = self.seen(array)
            np.testing.assert_array_equal(tensor.detach().numpy(), array)

    def test_changes_in_place_are_named(self) -> None:
        torch = self.torch

        class Clamping(torch.autograd.Function):
            @staticmethod
            def forward(ctx: Any, z: Any) -> Any:
                return z.clamp_(min=0).clone()

            @staticmethod
            def backward(ctx: Any, dy: Any) -> Any:
                return dy

        class Doubling(Clamping):
            @staticmethod
            def forward(ctx: Any, z: Any) -> Any:
                return z.clone()

            @staticmethod
            def backward(ctx: Any, dy: Any) -> Any:
                return dy.mul_(2)

        z = np.ones((2, 2))
        with pytest.raises(AdapterError, match="Clamping wrote into argument 1"):
            gp.get_adapter("torch").vjp(Clamping.apply, (z,), z)
        with pytest.raises(AdapterError, match="Doubling wrote into the cotangent"):
            gp.get_adapter("torch").vjp(Doubling.apply, (z,), z)

    def test_under_inference_mode(self) -> None:
        with self.torch.inference_mode():
            _, (dz,) = gp.get_adapter("torch").vjp(lambda z: z * z, (np.full(2, 3.0),), np.ones(2))
        np.testing.assert_array_equal(dz, [6.0, 6.0])


def test_jax_keeps_its_configuration_and_takes_a_rule_of_ones_own() -> None:
    jax = pytest.importorskip("jax")

    @jax.custom_vjp
    def cube(z: Any) -> Any:
        return z**3

    cube.defvjp(lambda z: (cube(z), z), lambda z, dy: (7 * z * dy,))
    before = jax.config.jax_enable_x64
    for function in (cube, jax.jit(cube)):
        z, (dz,) = gp.get_adapter("jax").vjp(function, (np.array([1 + 2.0**-40]),), np.ones(1))
        assert dz[0] == 7 * (1 + 2.0**-40)
        assert z.dtype == np.float64
    assert jax.config.jax_enable_x64 == before
