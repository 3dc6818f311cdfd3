"""Small JAX programs, one or more for every primitive that has a rule, with unusual parameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.ad_checkpoint import checkpoint_name

__all__ = ["PROGRAMS", "Program"]

Draw = Callable[[np.random.Generator], Any]


def n(*shape: int) -> Draw:
    """Normal numbers."""
    return lambda rng: rng.standard_normal(shape)


def pos(*shape: int) -> Draw:
    """Numbers between 0.4 and 1.9."""
    return lambda rng: rng.uniform(0.4, 1.9, shape)


def unit(*shape: int) -> Draw:
    """Numbers between -0.9 and 0.9."""
    return lambda rng: rng.uniform(-0.9, 0.9, shape)


def apart(*shape: int) -> Draw:
    """Distinct numbers, exact in every format, in random order."""
    size = int(np.prod(shape))
    return lambda rng: (rng.permutation(size) - size / 2 + 0.25).reshape(shape)


@dataclass(frozen=True)
class Program:
    """A function of arrays that have gradients.

    Attributes
    ----------
    ops : the primitives in the table of rules that it exercises, separated by spaces.
    f : the program; returns one array or several.
    given : draws of its inputs.
    """

    ops: str
    f: Callable[..., Any]
    given: Sequence[Draw]


PROGRAMS: list[Program] = []


def p(ops: str, f: Callable[..., Any], *given: Draw) -> None:
    PROGRAMS.append(Program(ops, f, given))


M, V = n(3, 4), n(4)
for name in ("exp", "exp2", "expm1", "tanh", "logistic", "sin", "cos", "tan", "atan", "sinh",
             "cosh", "asinh", "erf", "erfc", "square", "neg", "abs"):  # fmt: skip
    p(name, getattr(lax, name), M)
for name in ("log", "log1p", "lgamma", "digamma", "sqrt", "rsqrt", "cbrt"):
    p(name, getattr(lax, name), pos(3, 4))
for name in ("asin", "acos", "atanh", "erf_inv"):
    p(name, getattr(lax, name), unit(3, 4))
for name in ("add", "sub", "mul", "div", "max", "min", "atan2", "rem"):
    p(name, getattr(lax, name), n(3, 4), pos(3, 4))
p("acosh", lambda x: lax.acosh(1 + x), pos(3, 4))
p("bessel_i0e bessel_i1e", lambda x: jax.scipy.special.i0e(x) * jax.scipy.special.i1e(x), M)
p("cbrt", jnp.cbrt, M)
p("pow", lax.pow, pos(3, 4), n(3, 4))
p("pow", lambda x: lax.pow(x, 3), pos(5))
p("integer_pow", lambda x: x**3 + x**-1 + x**-3 + x**5, pos(3, 4))
p("integer_pow square", lambda x: lax.integer_pow(x, 1) + lax.integer_pow(x, 2), M)
p("sign floor", lambda x: x * jnp.sign(x) * jnp.floor(x), pos(3, 4))
p("ceil round", lambda x: x * jnp.ceil(x) * jnp.round(x), pos(3, 4))
p("rem", jnp.remainder, n(3, 4), pos(4))
p("rem", jnp.fmod, n(3, 4), n(3, 4))
p("add_any", lambda x: x * x + x, M)
p("stop_gradient", lambda x: x * lax.stop_gradient(jnp.exp(x)), M)
p("convert_element_type", lambda x: jnp.exp(x.astype(jnp.float16)), M)
p("reduce_precision", lambda x: lax.reduce_precision(x, 11, 52) * x, M)
p("copy", lambda x: jnp.exp(jnp.copy(x)), M)
p("copy_p", lambda x: jnp.exp(jnp.array(x)), M)
p("optimization_barrier", lambda x: jnp.exp(lax.optimization_barrier(x)), M)
p("optimization_barrier", lambda x, y: jax.tree.map(jnp.exp, lax.optimization_barrier((x, y))), M,
  V)  # fmt: skip
p("device_put", lambda x: jnp.exp(jax.device_put(x)), M)
p("device_put", lambda x, y: jax.tree.map(jnp.multiply, *[jax.device_put([x, 2, y])] * 2), M, V)
p("name", lambda x: checkpoint_name(jnp.exp(x), "kept"), M)
p("select_n", lambda x, y: jnp.where(x > 0, x, y), M, M)
p("select_n", lambda x, y: jnp.where(jnp.array([True, False, True, True]), x, y), M, n(1, 4))
p("select_n", lambda x, y, z: lax.select_n(jnp.arange(12).reshape(3, 4) % 3, x, y, z), M, M, M)
p("clamp", lambda x: lax.clamp(-0.5, x, 0.5), apart(5))
p("clamp", lambda lo, x, hi: lax.clamp(lo - 1, x, hi), unit(3, 4), n(3, 4), pos(3, 4))
p("reshape expand_dims squeeze", lambda x: jnp.exp(lax.expand_dims(x.reshape(2, 6), (0, 3)))[0], M)
p("squeeze", lambda x: jnp.exp(jnp.squeeze(x)), n(1, 3, 1))
p("broadcast_in_dim", lambda x: x[:, None, :] * jnp.ones((3, 2, 4)), M)
p("broadcast_in_dim", lambda x: lax.broadcast_in_dim(x, (3, 2, 4), (0, 2)), n(1, 4))
p("broadcast_in_dim", lambda x: lax.broadcast(x, (2, 3)), n())
p("transpose", lambda x: jnp.exp(jnp.transpose(x, (2, 0, 1))), n(2, 3, 4))
p("slice", lambda x: jnp.exp(x[1:3, ::2]), M)
p("slice", lambda x: jnp.exp(lax.slice(x, (0, 1), (3, 4), (2, 3))), M)
p("rev", lambda x: jnp.exp(lax.rev(x, (0, 1))), M)
p("concatenate", lambda x, y: jnp.exp(lax.concatenate([x, y, x], 1)), M, n(3, 2))
p("stack", lambda x, y: jnp.exp(jnp.stack([x, y], 1)), M, M)
p("stack", lambda x: jnp.exp(jnp.stack([x], -1)), M)
p("unstack", lambda x: jnp.prod(jnp.stack(jnp.unstack(x, axis=1)), 0), M)
p("unstack", lambda x: jnp.exp(jnp.unstack(x)[0]), n(1, 4))
p("tile", lambda x: jnp.exp(jnp.tile(x, (2, 3))), M)
p("split", lambda x: [jnp.exp(y) for y in jnp.split(x, [1, 2], 1)], M)
p("split", lambda x: lax.split(x, (4,), 1), M)
p("pad", lambda x, v: lax.pad(x, 0.5, [(1, 2, 1), (-1, 1, 0)]) * v, M, n())
p("pad", lambda x: lax.pad(x, 0.0, [(-1, -1, 2), (0, -2, 0)]), n(4, 5))
p("reduce_sum", lambda x: jnp.exp(x.sum((0, 2))), n(2, 3, 4))
p("psum", jax.vmap(lambda x: jnp.exp(x - lax.pmean(x, "batch")), axis_name="batch"), M)
p("reduce_max", lambda x: x.max(1) * x.max(), apart(3, 4))
p("reduce_max", lambda x: x.max((0, 2)), apart(2, 3, 4))
p("reduce_max", jnp.max, lambda rng: np.ones((2, 2)))
p("reduce_min", lambda x: x.min((0,)), apart(3, 4))
p("reduce_prod", lambda x: x.prod(0) * x.prod(), M)
p("reduce_prod", jnp.prod, lambda rng: np.array([1.0, 0.0, 2.0]))
p("cumsum cumprod", lambda x: lax.cumsum(x, 1) * lax.cumprod(x, 0, reverse=True), M)
p("cummax cummin", lambda x: lax.cummax(x, 1) * lax.cummin(x, 0, reverse=True), apart(3, 4))
p("polygamma", lambda x: jax.scipy.special.polygamma(2, x), pos(3, 4))
p("cumlogsumexp", lambda x: lax.cumlogsumexp(x, 1) * lax.cumlogsumexp(x, 0, reverse=True), M)
p("dot_general", jnp.matmul, n(2, 3, 4), n(4, 5))
p("dot_general", lambda x, y: jnp.einsum("bij,bkj,->bik", x, y, 2.0), n(2, 3, 4), n(2, 5, 4))
p("dot_general", jnp.dot, n(4), n(4))
p("dot_general", lambda x, y: lax.dot_general(x, y, (((0, 2), (1, 0)), ((), ()))), n(2, 3, 4),
  n(4, 2, 5))  # fmt: skip
p("dot_general", lambda x, y: jnp.tensordot(x, y, 0), n(2), n(3))
p("conv_general_dilated", lambda x, w: lax.conv_general_dilated(
    x, w, (2, 1), [(1, -1), (0, 2)], (2, 1), (1, 2), feature_group_count=2), n(2, 4, 6, 5),
    n(6, 2, 3, 2))  # fmt: skip
p("conv_general_dilated", lambda x, w: lax.conv_general_dilated(
    x, w, (1,), "SAME", dimension_numbers=("NWC", "WIO", "NWC")),
    n(2, 6, 3), n(3, 3, 2))  # fmt: skip
p("conv_general_dilated", lambda x, w: lax.conv_transpose(x, w, (2, 2), "VALID"), n(1, 3, 3, 2),
  n(3, 3, 2, 4))  # fmt: skip
p("conv_general_dilated", lambda x, w: lax.conv_general_dilated(x, w, (1, 1, 1), "VALID"),
  n(1, 2, 3, 3, 3), n(2, 2, 2, 2, 2))  # fmt: skip
p("conv_general_dilated", lambda x, w: lax.conv_general_dilated(
    x, w, (1, 2), "SAME", batch_group_count=2), n(4, 3, 4, 5), n(6, 3, 2, 3))  # fmt: skip
p("ragged_dot_general", lambda x, w: lax.ragged_dot(x, w, jnp.array([2, 0, 3])), n(6, 4),
  n(3, 4, 2))  # fmt: skip
p("reduce_window_min", lambda x: lax.reduce_window(x, np.inf, lax.min, (2, 3), (1, 2), "SAME"),
  apart(3, 6))  # fmt: skip
p("reduce_window_max", lambda x: lax.reduce_window(x, -np.inf, lax.max, (1, 3), (1, 2), "SAME"),
  apart(3, 6))  # fmt: skip
p("reduce_window_sum", lambda x: lax.reduce_window(x, 0.0, lax.add, (2, 3), (2, 1), "SAME"),
  n(4, 5))  # fmt: skip
p("dynamic_slice", lambda x: lax.dynamic_slice(x, (jnp.int32(2), jnp.int32(-9)), (2, 2)), n(3, 4))
p("dynamic_update_slice", lambda x, y: lax.dynamic_update_slice(x, y, (2, 1)) * 2, M, n(2, 2))
p("gather", lambda x: x[jnp.array([2, 0, 2])], M)
p("gather", lambda x: x[:, jnp.array([[1, -1]])], M)
p("gather", lambda x: jnp.take_along_axis(x, jnp.array([[0], [3], [1]]), 1), M)
p("gather", lambda x: x.at[jnp.array([0, 7])].get(mode="fill", fill_value=1.5) * 2, M)
p("gather", lambda x: x.at[jnp.array([0, 7])].get(mode="clip"), M)
p("gather", lambda x: jax.vmap(lambda r, i: r[i])(x, jnp.array([0, 3, 1])), M)
p("gather", lambda x: jax.vmap(lambda r, i: lax.dynamic_slice(r, (i,), (2,)))(
    x, jnp.array([0, 3, 1])), M)  # fmt: skip
p("scatter", lambda x, y: x.at[jnp.array([2, 0])].set(y) * x, M, n(2, 4))
p("scatter", lambda x, y: x.at[:, 1].set(y), M, n(3))
p("scatter", lambda x, y: x.at[jnp.array([2, 9])].set(y, mode="drop") * x, M, n(2, 4))
p("scatter-add scatter_add", lambda x, y: x.at[jnp.array([0, 0, 2])].add(y), M, n(3, 4))
p("scatter-add", lambda x, y: x.at[jnp.array([0, 9, 2])].add(y, mode="drop"), M, n(3, 4))
p("scatter-max", lambda x, y: x.at[jnp.array([0, 2])].max(y), M, n(2, 4))
p("scatter-min", lambda x, y: x.at[jnp.array([0, 9])].min(y, mode="drop") * x, M, n(2, 4))
p("scatter-mul", lambda x, y: x.at[jnp.array([0, 2])].multiply(y, unique_indices=True), M, n(2, 4))
p("scatter-add", lambda x: jax.ops.segment_sum(x, jnp.array([1, 0, 1]), 2), M)
p("sort", lambda x: lax.sort(x, dimension=0) * x, apart(3, 4))
p("sort", lambda x: lax.sort((jnp.arange(12).reshape(3, 4) % 5, x), dimension=1, num_keys=1)[1], M)
p("top_k", lambda x: lax.top_k(x, 2)[0], apart(3, 4))


def together(given: Draw | tuple[Draw, ...], *functions: Callable[..., Any]) -> None:
    """Several functions of the same inputs in one program, which compiles faster."""
    draws = given if isinstance(given, tuple) else (given,)
    p("", lambda *xs: [f(*xs) for f in functions], *draws)


# Functions that emit several of them.
together(M, jax.nn.celu, jax.nn.elu, jax.nn.gelu, jax.nn.glu, jax.nn.hard_silu, jax.nn.hard_swish,
          jax.nn.hard_tanh, jax.nn.leaky_relu, jax.nn.log_sigmoid, jax.nn.log_softmax,
          jax.nn.logsumexp, jax.nn.mish, jax.nn.relu, jax.nn.relu6, jax.nn.selu, jax.nn.sigmoid,
          jax.nn.silu, jax.nn.soft_sign, jax.nn.softmax, jax.nn.softplus, jax.nn.sparse_plus,
          jax.nn.sparse_sigmoid, jax.nn.squareplus, jax.nn.standardize, jnp.sinc, jnp.std,
          jnp.ptp, jnp.diff, jnp.triu, jnp.nancumsum, jnp.nanmean, jnp.deg2rad, jnp.ravel,
          jax.scipy.special.expit, jax.scipy.special.log_ndtr, jax.scipy.special.ndtr,
          jax.scipy.special.i0, jax.scipy.special.i1)  # fmt: skip
TWO = pos(3, 4), pos(3, 4)
together(TWO, jnp.hypot, jnp.logaddexp, jnp.logaddexp2, jnp.heaviside, jnp.fmax, jnp.fmin, jnp.kron,
          jnp.outer, jnp.inner, jnp.vdot, jnp.copysign, jnp.float_power)  # fmt: skip
together(pos(3, 4), jax.scipy.special.entr, jax.scipy.special.gammaln, jnp.log2, jnp.log10)
together(TWO, jax.scipy.special.kl_div, jax.scipy.special.rel_entr, jax.scipy.special.xlogy,
          jax.scipy.special.xlog1py, jax.scipy.special.betaln)  # fmt: skip
p("", jax.scipy.special.logit, lambda rng: rng.uniform(0.1, 0.9, (3, 4)))
p("", jax.scipy.special.ndtri, lambda rng: rng.uniform(0.1, 0.9, (3, 4)))
p("", lambda x: jax.nn.gelu(x, approximate=False), M)
p("", lambda x: jnp.convolve(x, jnp.array([1.0, 2.0, 3.0], x.dtype), "same"), n(7))
p("", lambda x: jnp.interp(x, jnp.array([0.0, 1.0, 2.0]), jnp.array([0.0, 3.0, 1.0])), pos(5))
p("", lambda x: jnp.linalg.norm(x, axis=1) + jnp.linalg.norm(x, 1, axis=1), M)
p("", lambda x: jax.image.resize(x, (6, 8), "bilinear"), M)
p("", lambda x: jnp.roll(jnp.rot90(x), 2, 1), M)
p("", lambda x, y: jnp.cross(x, y), n(2, 3), n(2, 3))
p("", lambda x: jnp.quantile(x, 0.3, axis=1), apart(3, 4))
