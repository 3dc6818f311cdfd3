"""JAX's own function for every op, and Optax's own loss for every divergence."""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ... import core
from ...core.network.nodes import Step
from ..base import AdapterError
from ..overrides import Names, Overrides, native_name, no_function

__all__ = ["NATIVE", "affine", "function", "loss"]


#: Flax's names for parameters; all keep the lecture's layout, W being (in, out).
NATIVE: Names = {
    core.Affine: {"W": "kernel", "b": "bias"},
    core.Conv: {"W": "kernel", "b": "bias"},
    core.Embedding: {"E": "embedding"},
    core.LayerNorm: {"g": "scale", "b": "bias"},
    core.BatchNorm: {"g": "scale", "b": "bias", "m": "mean", "v": "var"},
}


#: Op -> JAX's functions for it, the first by default; see `Case.twin`.
TWINS: dict[type[core.Op], tuple[str, ...]] = {
    core.ReLU: ("relu", "maximum", "clamp"),
    core.Max: ("max", "amax"),  # one function under two names
    core.MaxSubsets: ("max", "amax"),
}


def function(step: Step, overrides: Overrides, affine: Any, twin: str = "") -> Any:
    """The function of a node, (parameters, *inputs) -> value.

    It is another's, or JAX's own; `affine` is that of an affine map, and `twin` says which of JAX's
    functions, where it has several for one op.

    Raises
    ------
    AdapterError : there is none; the message says what to add.
    """
    called = overrides.at(step)
    if called is not None:
        names = [native_name(step.op, letter, NATIVE) for letter in step.op.parameter_shapes()]
        return lambda p, *y: called(*y, *(p[name] for name in names))
    if isinstance(step.op, core.Affine):
        return affine
    with_parameters = _with_parameters(step.op)
    if with_parameters is not None:
        return with_parameters
    own = _parameterless(step.op, twin)
    return lambda p, *y: own(*y)


def loss(divergence: core.Divergence, overrides: Overrides) -> Any:
    """(Y, d) -> Div, shape (T,); as `function`."""
    return overrides.of(divergence) or _divergence(divergence)


def _with_parameters(op: core.Op) -> Any:
    """(parameters, *inputs) -> value, for ops with parameters; None for others."""
    match op:
        case core.Conv():
            return functools.partial(_conv, op)
        case core.Embedding(padding_idx=None):
            return lambda p, ids: p["embedding"][ids]
        case core.LayerNorm():
            return functools.partial(_layer_norm, op)
        case core.BatchNorm():
            return functools.partial(_batch_norm, op)
        case core.LSTMCell():
            return functools.partial(_lstm_cell, op)
    return None


def _conv(op: core.Conv, p: Any, y: Any) -> Any:
    axes = "DHW"[-len(op.kernel) :]
    z = jax.lax.conv_general_dilated(
        y,
        p["kernel"],
        op.stride,
        op.windows.pads(y.shape[2:]),
        rhs_dilation=op.dilation,
        dimension_numbers=(f"NC{axes}", f"OI{axes}", f"NC{axes}"),
        feature_group_count=op.groups,
    )
    return z + p["bias"].reshape(1, -1, *[1] * len(op.kernel)) if op.bias else z


def _max_pool(op: core.MaxPool, y: Any) -> Any:
    one, pads = (1, 1), op.windows.pads(y.shape[2:])
    return jax.lax.reduce_window(
        y,
        -jnp.inf,
        jax.lax.max,
        (*one, *op.kernel),
        (*one, *op.stride),
        ((0, 0), (0, 0), *pads),
        window_dilation=(*one, *op.dilation),
    )


def _layer_norm(op: core.LayerNorm, p: Any, x: Any) -> Any:
    mean, var = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) * (jax.lax.rsqrt(var + op.eps) * p["scale"]) + p["bias"]


def _batch_norm(op: core.BatchNorm, p: Any, x: Any) -> Any:
    axes, shape = (0, *range(2, x.ndim)), (1, -1, *[1] * (x.ndim - 2))
    mean, var = (x.mean(axes), x.var(axes)) if op.training else (p["mean"], p["var"])
    scale = (jax.lax.rsqrt(var + op.eps) * p["scale"]).reshape(shape)
    z = (x - mean.reshape(shape)) * scale + p["bias"].reshape(shape)
    if not op.training:
        return z
    k, N = op.momentum, x.size // op.n
    running = var * (N / (N - 1)) if op.unbiased else var
    return z, (1 - k) * p["mean"] + k * mean, (1 - k) * p["var"] + k * running


def _attention(op: core.Attention, q: Any, k: Any, v: Any, *mask: Any) -> Any:
    logits = q @ jnp.swapaxes(k, -1, -2) * q.shape[-1] ** -0.5
    if op.causal:
        logits = jnp.where(jnp.tri(q.shape[-2], k.shape[-2], dtype=bool), logits, -jnp.inf)
    return jax.nn.softmax(logits + mask[0] if mask else logits) @ v


def _lstm_cell(op: core.LSTMCell, p: Any, x: Any, h: Any, c: Any) -> Any:
    i, f, g, o = jnp.split(x @ p["W"] + h @ p["U"] + p["b"], 4, axis=-1)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    return jax.nn.sigmoid(o) * jnp.tanh(c), c


def affine(p: Any, y: Any) -> Any:
    return y @ p["kernel"] + p["bias"] if "bias" in p else y @ p["kernel"]


def _parameterless(op: core.Op, twin: str) -> Any:
    known = TWINS.get(type(op), ())
    if twin and twin not in known:
        raise AdapterError(f"twin {twin!r} of {op.name}: jax has {', '.join(known) or 'one'}")
    match op:
        case core.Identity():
            return lambda z: z
        case core.Sigmoid():
            return jax.nn.sigmoid
        case core.Tanh():
            return jnp.tanh
        case core.ReLU() if twin == "maximum":
            return lambda z: jnp.maximum(z, 0)
        case core.ReLU() if twin == "clamp":
            return lambda z: jnp.clip(z, 0)
        case core.ReLU():
            return jax.nn.relu
        case core.LeakyReLU():
            return lambda z: jax.nn.leaky_relu(z, op.a)
        case core.RandomizedLeakyReLU():
            return functools.partial(_randomized_leaky_relu, op)
        case core.Softplus(threshold=None):
            return jax.nn.softplus
        case core.Softplus():
            return lambda z: jnp.where(z > op.threshold, z, jax.nn.softplus(z))
        case core.ELU():
            return lambda z: jax.nn.elu(z, op.a)
        case core.SELU():
            return jax.nn.selu
        case core.SiLU():
            return jax.nn.silu
        case core.GELU():
            return lambda z: jax.nn.gelu(z, approximate=op.approximate == "tanh")
        case core.Hardtanh():
            return jax.nn.hard_tanh
        case core.Softmax():
            return functools.partial(jax.nn.softmax, axis=op.axis)
        case core.LogSoftmax():
            return functools.partial(jax.nn.log_softmax, axis=op.axis)
        case core.Max():
            return functools.partial(_max, op.sizes, op.axis)
        case core.MaxSubsets():
            return functools.partial(_max_subsets, op.subsets)
        case core.Maximum():
            return jnp.maximum
        case core.MaxPool():
            return functools.partial(_max_pool, op)
        case core.Attention():
            return functools.partial(_attention, op)
        case core.Reshape():
            return lambda y: y.reshape(*y.shape[: op.keep], *op.shape)
        case core.Transpose():
            return lambda y: jnp.swapaxes(y, -1, -2) if op.axes is None else y.transpose(op.axes)
        case core.Select():
            return lambda y: jnp.take(y, op.index, axis=op.axis)
        case core.Broadcast():
            return lambda y: jnp.broadcast_to(y, op.shape)
        case core.Norm():
            return lambda y: jnp.sqrt((y * y).sum(-1))
        case core.Mean():
            return lambda y: y.mean(op.axis)
        case core.Sum():
            return lambda y: y.sum(op.axis)
        case core.Take():
            return functools.partial(_take, op.indices)
        case core.Products():
            j, l = op.sides  # noqa: E741
            return lambda z: _take(j, z) * _take(l, z)
        case core.Add():
            return lambda *y: functools.reduce(operator.add, y)
        case core.Multiply():
            return operator.mul
        case core.Concatenate():
            return lambda *y: jnp.concatenate(y, axis=op.axis)
    raise no_function(op, "jax")


def _randomized_leaky_relu(op: core.RandomizedLeakyReLU, z: Any) -> Any:
    """JAX has none of its own; composed, the slopes drawn by JAX."""
    if not op.training:
        return jax.nn.leaky_relu(z, (op.l + op.u) / 2)
    slopes = jax.random.uniform(jax.random.key(op.seed), z.shape, z.dtype, op.l, op.u)
    return jnp.where(z > 0, z, slopes * z)


def _max(sizes: tuple[int, ...] | None, axis: int, z: Any) -> Any:
    parts = jnp.split(z, np.cumsum(sizes)[:-1], axis=axis) if sizes else [z]
    return jnp.concatenate([g.max(axis=axis, keepdims=True) for g in parts], axis=axis)


def _max_subsets(subsets: Sequence[Sequence[int]], z: Any) -> Any:
    best = [_take(tuple(each), z).max(axis=-1, keepdims=True) for each in subsets]
    return jnp.concatenate(best, axis=-1)


def _take(indices: tuple[int, ...], z: Any) -> Any:
    return z[..., np.array(indices)]


def _divergence(divergence: core.Divergence) -> Any:
    """Optax's own loss, per instance: (Y, d) -> Div, shape (T,)."""
    match divergence:
        case core.L2():
            return lambda y, d: optax.l2_loss(y, d).sum(-1)
        case core.LinearLoss():
            return lambda y, d: (d * y).sum(-1)
        case core.BinaryCrossEntropy():  # and BinaryKL
            return functools.partial(_binary, divergence)
        case core.CrossEntropy():  # and KL
            return functools.partial(_cross_entropy, divergence)
    raise no_function(divergence, "jax")


def _binary(divergence: core.BinaryCrossEntropy, y: Any, d: Any) -> Any:
    if divergence.on == "logits":
        div = optax.sigmoid_binary_cross_entropy(y, d)
    else:  # Optax has it on logits only
        log_y, log_not = _log_where(d > 0, y), _log_where(d < 1, 1 - y)
        div = -(d * log_y + (1 - d) * log_not)
    if isinstance(divergence, core.BinaryKL):
        div = div + jax.scipy.special.xlogy(d, d) + jax.scipy.special.xlogy(1 - d, 1 - d)
    return div.sum(-1)


def _cross_entropy(divergence: core.CrossEntropy, y: Any, d: Any) -> Any:
    K, is_kl = y.shape[-1], isinstance(divergence, core.KL)
    labels = jnp.issubdtype(d.dtype, jnp.integer)
    if labels and divergence.on == "logits" and not divergence.eps and not is_kl:
        return optax.softmax_cross_entropy_with_integer_labels(y, d)
    t = jax.nn.one_hot(d, K, dtype=y.dtype) if labels else d
    t = optax.smooth_labels(t, divergence.uniform(K)) if divergence.eps else t
    if divergence.on == "logits":
        if is_kl:
            return optax.losses.kl_divergence(jax.nn.log_softmax(y), t)
        return optax.softmax_cross_entropy(y, t)
    log_y = _log_where(t > 0, y)
    return optax.losses.kl_divergence(log_y, t) if is_kl else -(t * log_y).sum(-1)


def _log_where(needed: Any, y: Any) -> Any:
    """log y where it is needed, for the gradient too: 0 log 0 = 0."""
    return jnp.log(jnp.where(needed, y, 1))
