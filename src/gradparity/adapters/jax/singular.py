"""JAX's functions with singular points, and further spellings of kinks and ties."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import jax
import jax.numpy as jnp
import optax

from ..kinks import LOWEST, MIDDLE, TIES

__all__ = ["FURTHER_POINTS", "FURTHER_TIES", "SINGULAR_POINTS"]

Function = Callable[[Any], Any]


def _masked(function: Function) -> Function:
    """A function in the branch of `where` that is not taken."""
    return lambda z: jnp.where(jnp.zeros(z.shape, bool), function(z), 0)


def _power(exponent: float) -> Function:
    return lambda z: jnp.power(z, jnp.full_like(z, exponent))


def _norm(order: float) -> Function:
    return lambda z: jnp.linalg.norm(z, order, axis=-1)


def _columns(z: Any) -> list[Any]:
    return [z[:, i] for i in range(z.shape[-1])]


def _pair(function: Any) -> Function:
    return lambda z: function(z[:, 0], z[:, 1])


def _classes(z: Any) -> Any:
    return jnp.zeros(len(z), int)


def _attention(z: Any) -> Any:
    q = z[:, None, None]
    mask = jnp.zeros((1, 1, 1, 1), bool)
    return jax.nn.dot_product_attention(q, jnp.ones_like(q), jnp.ones_like(q), mask=mask)


def _segments(function: Any) -> Function:
    """Reduce elements 0 and 1, no element, and element 2."""
    return lambda z: function(z.T, jnp.array([0, 0, 2]), num_segments=3).T


def _segment_means(z: Any) -> Any:
    sums, sizes = (_segments(jax.ops.segment_sum)(x) for x in (z, jnp.ones_like(z)))
    return jnp.where(sizes > 0, sums / sizes, 0)


def _one_segment(function: Any) -> Function:
    return lambda z: function(z.T, jnp.zeros(z.shape[-1], int), num_segments=1)[0]


def _windows(z: Any) -> Any:
    return jax.lax.reduce_window(z, -jnp.inf, jax.lax.max, (1, 2), (1, 1), "VALID")


def _clamped(z: Any) -> Any:
    zero = jnp.zeros((), z.dtype)
    return jax.lax.clamp(zero, z, zero)


#: (as written, kinks, function)
FURTHER_POINTS: list[tuple[str, tuple[float, ...], Function]] = [
    ("clip(z, 0, 0)", (0.0,), lambda z: jnp.clip(z, 0, 0)),
    ("lax.clamp(0, z, 0)", (0.0,), _clamped),
    ("clip(z, max=0)", (0.0,), lambda z: jnp.clip(z, max=0)),
    ("clip(z, 0, 1)", (0.0, 1.0), lambda z: jnp.clip(z, 0, 1)),
    ("nn.leaky_relu(z, -1)", (0.0,), lambda z: jax.nn.leaky_relu(z, -1.0)),
    ("nn.leaky_relu(z, 0)", (0.0,), lambda z: jax.nn.leaky_relu(z, 0.0)),
    ("nn.elu(z, 0.5)", (0.0,), lambda z: jax.nn.elu(z, 0.5)),
    ("maximum(z, -z)", (0.0,), lambda z: jnp.maximum(z, -z)),
    ("minimum(z, 2z)", (0.0,), lambda z: jnp.minimum(z, 2 * z)),
    ("minimum(z, 1 - z)", (0.5,), lambda z: jnp.minimum(z, 1 - z)),
    ("nn.relu(z)^2", (0.0,), lambda z: jax.nn.relu(z) ** 2),
    ("fabs(z)", (0.0,), jnp.fabs),
    ("hypot(z, 0)", (0.0,), lambda z: jnp.hypot(z, jnp.zeros_like(z))),
    ("copysign(z, 1)", (0.0,), lambda z: jnp.copysign(z, jnp.ones_like(z))),
    ("sign(z)", (0.0,), jnp.sign),
    ("heaviside(z, 1/2)", (0.0,), lambda z: jnp.heaviside(z, 0.5)),
    ("floor(z)", (0.0, 1.0), jnp.floor),
    ("ceil(z)", (0.0, 1.0), jnp.ceil),
    ("round(z)", (0.5, 1.5), jnp.round),
    ("trunc(z)", (1.0,), jnp.trunc),
    ("remainder(z, 1)", (0.0, 1.0), lambda z: jnp.remainder(z, 1)),
    ("fmod(z, 1)", (1.0,), lambda z: jnp.fmod(z, 1)),
    ("optax.huber_loss(z) at joints", (-1.0, 1.0), optax.huber_loss),
    ("optax.perceptron_loss(z, 1)", (0.0,),
     lambda z: optax.losses.perceptron_loss(z, jnp.ones_like(z))),
    ("nn.squareplus(z, 0)", (0.0,), lambda z: jax.nn.squareplus(z, 0.0)),
    ("logaddexp(z, z)", (0.0,), lambda z: jnp.logaddexp(z, z)),
]  # fmt: skip

#: (as written, tied inputs, function)
FURTHER_TIES: list[tuple[str, tuple[tuple[float, ...], ...], Function]] = [
    ("sort(z)[0]", LOWEST, lambda z: jnp.sort(z, -1)[:, 0]),
    ("sort(z, descending)[0]", TIES, lambda z: jnp.sort(z, -1, descending=True)[:, 0]),
    ("lax.cummin(z)[-1]", LOWEST, lambda z: jax.lax.cummin(z, 1)[:, -1]),
    ("minimum(...(z1, z2), ...)", LOWEST, lambda z: reduce(jnp.minimum, _columns(z))),
    ("fmin(...(z1, z2), ...)", LOWEST, lambda z: reduce(jnp.fmin, _columns(z))),
    ("nanmin(z, axis)", LOWEST, lambda z: jnp.nanmin(z, -1)),
    ("quantile(z, 1)", TIES, lambda z: jnp.quantile(z, 1.0, axis=-1)),
    ("quantile(z, 0)", LOWEST, lambda z: jnp.quantile(z, 0.0, axis=-1)),
    ("quantile(z, 1/2)", MIDDLE, lambda z: jnp.quantile(z, 0.5, axis=-1)),
    ("nanmedian(z, axis)", MIDDLE, lambda z: jnp.nanmedian(z, -1)),
    ("max(z, both axes)", TIES, lambda z: z.reshape(-1, 2, 2).max((1, 2))),
    ("ops.segment_min(z)", LOWEST, _one_segment(jax.ops.segment_min)),
    ("z[argmin(z)]", LOWEST, lambda z: jnp.take_along_axis(z, z.argmin(-1, keepdims=True), -1)),
]  # fmt: skip

#: (as written, name in `gradparity.adapters.singular.SINGULAR`, function)
SINGULAR_POINTS: list[tuple[str, str, Function]] = [
    ("sqrt(z), limits", "to inf", jnp.sqrt),
    ("z ** 0.5", "to inf", lambda z: z**0.5),
    ("power(z, array(0.5))", "to inf", _power(0.5)),
    ("lax.rsqrt(z)", "to -inf", jax.lax.rsqrt),
    ("cbrt(z)", "to inf", jnp.cbrt),
    ("log(z)", "to inf", jnp.log),
    ("log2(z)", "to inf", jnp.log2),
    ("log10(z)", "to inf", jnp.log10),
    ("log1p(z)", "to inf at -1", jnp.log1p),
    ("1 / z", "to -inf", lambda z: 1 / z),
    ("z ** -1", "to -inf", lambda z: z**-1),
    ("z ** -2", "cusp", lambda z: z**-2),
    ("z ** 0", "power zero", lambda z: z**0),
    ("power(z, array(0))", "power zero", _power(0.0)),
    ("z ** 1", "power one", lambda z: z**1),
    ("power(z, array(1))", "power one", _power(1.0)),
    ("z ** 1.5", "flat at 0", lambda z: z**1.5),
    ("power(z, array(1.5))", "flat at 0", _power(1.5)),
    ("z ** 2", "square", lambda z: z**2),
    ("power(z, array(2))", "square", _power(2.0)),
    ("square(z)", "square", jnp.square),
    ("z ** 3", "cube", lambda z: z**3),
    ("power(z, array(3))", "cube", _power(3.0)),
    ("power(0, z)", "zero to the z", lambda z: jnp.power(0.0, z)),
    ("power(array(0), z)", "zero to the z", lambda z: jnp.power(jnp.zeros_like(z), z)),
    ("power(array(-2), z)", "negative to the z", lambda z: jnp.power(jnp.full_like(z, -2), z)),
    ("abs(z) ** 0.5", "cusp", lambda z: jnp.abs(z) ** 0.5),
    ("abs(z) ** 1.5", "flat at 0", lambda z: jnp.abs(z) ** 1.5),
    ("arcsin(z)", "to inf at both ones", jnp.arcsin),
    ("arccos(z)", "to -inf at both ones", jnp.arccos),
    ("arctanh(z)", "to inf at both ones", jnp.arctanh),
    ("arccosh(z)", "to inf at 1", jnp.arccosh),
    ("lax.erf_inv(z)", "to inf at both ones", jax.lax.erf_inv),
    ("scipy.special.logit(z)", "to inf at 0 and 1", jax.scipy.special.logit),
    ("scipy.special.ndtri(z)", "to inf at 0 and 1", jax.scipy.special.ndtri),
    ("z * log(z)", "to -inf", lambda z: z * jnp.log(z)),
    ("xlogy(z, z)", "to -inf", lambda z: jax.scipy.special.xlogy(z, z)),
    ("xlogy(z, 2)", "log 2 at 0", lambda z: jax.scipy.special.xlogy(z, jnp.full_like(z, 2))),
    ("xlogy(0, z)", "flat at 0", lambda z: jax.scipy.special.xlogy(jnp.zeros_like(z), z)),
    ("xlog1py(0, z)", "flat at -1", lambda z: jax.scipy.special.xlog1py(jnp.zeros_like(z), z)),
    ("entr(z)", "to inf", jax.scipy.special.entr),
    ("sinc(z)", "flat at 0", jnp.sinc),
    ("sin(z) / z", "flat at 0", lambda z: jnp.sin(z) / z),
    ("expm1(z) / z", "half at 0", lambda z: jnp.expm1(z) / z),
    ("where(z == 0, 1, sin(z) / z)", "flat at 0", lambda z: jnp.where(z == 0, 1, jnp.sin(z) / z)),
    ("log(1 + exp(z))", "one at 1000", lambda z: jnp.log(1 + jnp.exp(z))),
    ("log(nn.sigmoid(z))", "one at -1000", lambda z: jnp.log(jax.nn.sigmoid(z))),
    ("where(False, sqrt(z), 0)", "flat at 0", _masked(jnp.sqrt)),
    ("where(False, z ** 0.5, 0)", "flat at 0", _masked(lambda z: z**0.5)),
    ("where(False, log(z), 0)", "flat at 0", _masked(jnp.log)),
    ("where(False, 1 / z, 0)", "flat at 0", _masked(lambda z: 1 / z)),
    ("where(False, exp(z), 0)", "flat at 1000", _masked(jnp.exp)),
    ("where(False, arcsin(z), 0)", "flat at 2", _masked(jnp.arcsin)),
    ("nn.relu(z), ends", "gate", jax.nn.relu),
    ("nn.leaky_relu(z), ends", "leak", jax.nn.leaky_relu),
    ("nn.elu(z), ends", "gate", jax.nn.elu),
    ("nn.celu(z), ends", "gate", jax.nn.celu),
    ("nn.selu(z), ends", "selu", jax.nn.selu),
    ("nn.gelu(z), ends", "gate", jax.nn.gelu),
    ("nn.gelu(z, False), ends", "gate", lambda z: jax.nn.gelu(z, approximate=False)),
    ("nn.silu(z), ends", "gate", jax.nn.silu),
    ("nn.mish(z), ends", "gate", jax.nn.mish),
    ("nn.softplus(z), ends", "gate", jax.nn.softplus),
    ("nn.squareplus(z), ends", "gate", jax.nn.squareplus),
    ("nn.sparse_plus(z), ends", "gate", jax.nn.sparse_plus),
    ("nn.log_sigmoid(z), ends", "gate down", jax.nn.log_sigmoid),
    ("maximum(z, 0), ends", "gate", lambda z: jnp.maximum(z, 0)),
    ("minimum(z, 0), ends", "gate down", lambda z: jnp.minimum(z, 0)),
    ("nn.hard_swish(z), ends", "gate", jax.nn.hard_swish),
    ("nn.sigmoid(z), ends", "flat", jax.nn.sigmoid),
    ("tanh(z), ends", "flat", jnp.tanh),
    ("lax.erf(z), ends", "flat", jax.lax.erf),
    ("arctan(z), ends", "flat", jnp.arctan),
    ("nn.soft_sign(z), ends", "flat", jax.nn.soft_sign),
    ("nn.hard_tanh(z), ends", "flat", jax.nn.hard_tanh),
    ("nn.hard_sigmoid(z), ends", "flat", jax.nn.hard_sigmoid),
    ("nn.relu6(z), ends", "flat", jax.nn.relu6),
    ("clip(z, -1, 1), ends", "flat", lambda z: jnp.clip(z, -1, 1)),
    ("1 / z, ends", "flat", lambda z: 1 / z),
    ("abs(z), ends", "abs", jnp.abs),
    ("square(z), ends", "square at inf", jnp.square),
    ("exp(z), ends", "exp", jnp.exp),
    ("sqrt(z), inf", "flat at inf", jnp.sqrt),
    ("log(z), inf", "flat at inf", jnp.log),
    ("optax.sigmoid_bce(z, 0)", "logits of 0",
     lambda z: optax.sigmoid_binary_cross_entropy(z, jnp.zeros_like(z))),
    ("optax.sigmoid_bce(z, 1)", "logits of 1",
     lambda z: optax.sigmoid_binary_cross_entropy(z, jnp.ones_like(z))),
    ("scipy.special.rel_entr(z, 1/2)", "to -inf",
     lambda z: jax.scipy.special.rel_entr(z, jnp.full_like(z, 0.5))),
    ("linalg.norm(z, 1) at 0", "norm 1", _norm(1)),
    ("linalg.norm(z) at 0", "norm 2", lambda z: jnp.linalg.norm(z, axis=-1)),
    ("linalg.norm(z, inf) at 0", "norm inf", _norm(jnp.inf)),
    ("linalg.norm(z, 3)", "norm 3", _norm(3)),
    ("linalg.norm(z, 1.5)", "norm 1.5", _norm(1.5)),
    ("optax.safe_norm(z, 0) at 0", "norm 2", lambda z: optax.safe_norm(z, 0.0, axis=-1)),
    ("abs(z).sum", "norm 1", lambda z: jnp.abs(z).sum(-1)),
    ("(z * z).sum", "norm squared", lambda z: (z * z).sum(-1)),
    ("linalg.norm(z) ** 2", "norm squared", lambda z: jnp.linalg.norm(z, axis=-1) ** 2),
    ("std(z, ddof=1)", "equal, std", lambda z: z.std(-1, ddof=1)),
    ("std(z)", "equal, population std", lambda z: z.std(-1)),
    ("var(z)", "equal, var", lambda z: z.var(-1)),
    ("hypot(z1, z2)", "hypot", _pair(jnp.hypot)),
    ("abs(complex(z1, z2))", "hypot", lambda z: jnp.abs(jax.lax.complex(z[:, 0], z[:, 1]))),
    ("arctan2(z1, z2)", "atan2", _pair(jnp.arctan2)),
    ("prod(z)", "prod", lambda z: z.prod(-1)),
    ("cumprod(z)", "cumprod", lambda z: jnp.cumprod(z, -1)),
    ("linalg.det(z)", "det", lambda z: jnp.linalg.det(z.reshape(-1, 2, 2))),
    ("lax.top_k(z, 2)", "first two", lambda z: jax.lax.top_k(z, 2)[0]),
    ("sort(z)[-2:]", "first two", lambda z: jnp.sort(z, -1)[:, -2:]),
    ("sort(z)", "all sorted", lambda z: jnp.sort(z, -1)),
    ("lax.cummax(z)", "running maximum", lambda z: jax.lax.cummax(z, 1)),
    ("lax.reduce_window(z, max, 2, 1)", "overlapping", _windows),
    ("max(z, axis), ends", "largest", lambda z: z.max(-1)),
    ("sort(z)[-1], ends", "largest", lambda z: jnp.sort(z, -1)[:, -1]),
    ("nn.softmax(z)[0]", "softmax", lambda z: jax.nn.softmax(z)[:, 0]),
    ("nn.log_softmax(z)[0]", "log_softmax", lambda z: jax.nn.log_softmax(z)[:, 0]),
    ("log(nn.softmax(z))[0]", "log_softmax", lambda z: jnp.log(jax.nn.softmax(z))[:, 0]),
    ("optax.softmax_ce(z, 0)", "cross_entropy",
     lambda z: optax.softmax_cross_entropy_with_integer_labels(z, _classes(z))),
    ("optax.softmax_ce(z, one-hot)", "cross_entropy",
     lambda z: optax.softmax_cross_entropy(z, jax.nn.one_hot(_classes(z), 3))),
    ("nn.logsumexp(z)", "logsumexp", lambda z: jax.nn.logsumexp(z, -1)),
    ("lax.cumlogsumexp(z)[-1]", "logsumexp", lambda z: jax.lax.cumlogsumexp(z, 1)[:, -1]),
    ("log(exp(z).sum)", "logsumexp", lambda z: jnp.log(jnp.exp(z).sum(-1))),
    ("logaddexp(z1, z2)", "logaddexp", _pair(jnp.logaddexp)),
    ("logaddexp2(z1, z2)", "logaddexp", _pair(jnp.logaddexp2)),
    ("nn.softmax(where(False, z, -inf))", "fully masked",
     lambda z: jax.nn.softmax(jnp.where(jnp.zeros(z.shape, bool), z, -jnp.inf))[:, 0]),
    ("nn.softmax(z, where=False)", "fully masked",
     lambda z: jax.nn.softmax(z, where=jnp.zeros(z.shape, bool))[:, 0]),
    ("nn.dot_product_attention(z, mask)", "fully masked", _attention),
    ("ops.segment_max(z), empty", "segment maxima", _segments(jax.ops.segment_max)),
    ("ops.segment_sum(z), empty", "segment sums", _segments(jax.ops.segment_sum)),
    ("ops.segment_prod(z), empty", "segment products", _segments(jax.ops.segment_prod)),
    ("segment_sum / sizes, empty", "segment means", _segment_means),
]  # fmt: skip
