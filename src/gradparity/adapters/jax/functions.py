"""JAX's own function for every op, and Optax's own loss for every divergence."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ... import core
from ...core.network.nodes import Step
from ...core.vocabulary.metric_losses import LossOfTwo
from ..by_class import Names, for_class, native_name, twins_of
from ..operators import OPERATORS
from ..overrides import Overrides, no_function
from . import vocabulary

__all__ = ["NATIVE", "affine", "function", "loss"]


#: Flax's names for parameters; all keep the lecture's layout, W being (in, out).
NATIVE: Names = {
    core.Affine: {"W": "kernel", "b": "bias"},
    core.Conv: {"W": "kernel", "b": "bias"},
    core.Embedding: {"E": "embedding"},
    core.LayerNorm: {"g": "scale", "b": "bias"},
    core.BatchNorm: {"g": "scale", "b": "bias", "m": "mean", "v": "var"},
}


def function(step: Step, overrides: Overrides, affine: Any, twin: str = "") -> Any:
    """The function of a node, (parameters, *inputs) -> value: an override, or JAX's own.

    `affine` is the function of an affine map; `twin` selects one of JAX's functions, where it has
    several for one op.

    Raises
    ------
    AdapterError : JAX has no function for the op; the message says what to add.
    """
    op, override = step.op, overrides.at(step)
    if override is not None:
        names = [native_name(op, letter, NATIVE) for letter in op.parameter_shapes()]
        return lambda p, *y: override(*y, *(p[name] for name in names))
    twins = twins_of(op, twin, TWINS, "jax")
    if isinstance(op, core.Affine):
        return affine
    with_parameters = for_class(WITH_PARAMETERS, op)
    if with_parameters is not None:
        return functools.partial(with_parameters, op)
    own = twins[twin or next(iter(twins))] if twins else for_class(FUNCTIONS, op)
    if own is None:
        raise no_function(op, "jax")
    letters = [native_name(op, letter, NATIVE) for letter in op.parameter_shapes()]
    return lambda p, *y: own(op, *y, *(p[letter] for letter in letters))


def loss(divergence: core.Divergence, overrides: Overrides) -> Any:
    """The function (Y, d) -> Div, shape (T,), of a divergence; see `function`."""
    return overrides.loss(divergence, LOSSES)


def _softplus(op: core.Softplus, z: Any) -> Any:
    z_plus = jax.nn.softplus(z)
    return z_plus if op.threshold is None else jnp.where(z > op.threshold, z, z_plus)


def _hardtanh(op: core.Hardtanh, z: Any) -> Any:
    """`hard_tanh`, `relu6`, or `clip` with other bounds."""
    own = {(-1.0, 1.0): jax.nn.hard_tanh, (0.0, 6.0): jax.nn.relu6}.get((op.low, op.high))
    return jnp.clip(z, op.low, op.high) if own is None else own(z)


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
    if any(step > 1 for step in op.dilation):
        return _dilated_max_pool(op, jnp.pad(y, ((0, 0), (0, 0), *pads), constant_values=-jnp.inf))
    return jax.lax.reduce_window(
        y,
        -jnp.inf,
        jax.lax.max,
        (*one, *op.kernel),
        (*one, *op.stride),
        ((0, 0), (0, 0), *pads),
    )


def _dilated_max_pool(op: core.MaxPool, padded: Any) -> Any:
    """The largest of shifted slices, because JAX cannot differentiate a dilated `reduce_window`."""
    counts = [
        (n - reach) // stride + 1
        for n, reach, stride in zip(padded.shape[2:], op.windows.reach, op.stride, strict=True)
    ]
    shifts = itertools.product(
        *(range(0, k * d, d) for k, d in zip(op.kernel, op.dilation, strict=True))
    )
    slices = [
        tuple(
            slice(first, first + (n - 1) * stride + 1, stride)
            for first, n, stride in zip(shift, counts, op.stride, strict=True)
        )
        for shift in shifts
    ]
    return jnp.stack([padded[:, :, *each] for each in slices], axis=-1).max(axis=-1)


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
    scale = q.shape[-1] ** -0.5 if op.scale is None else op.scale
    logits = q @ jnp.swapaxes(k, -1, -2) * scale
    if op.causal:
        logits = jnp.where(jnp.tri(q.shape[-2], k.shape[-2], dtype=bool), logits, -jnp.inf)
    return jax.nn.softmax(logits + mask[0] if mask else logits) @ v


def _lstm_cell(op: core.LSTMCell, p: Any, x: Any, h: Any, c: Any) -> Any:
    i, f, g, o = jnp.split(x @ p["W"] + h @ p["U"] + p["b"], 4, axis=-1)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    return jax.nn.sigmoid(o) * jnp.tanh(c), c


def affine(p: Any, y: Any) -> Any:
    return y @ p["kernel"] + p["bias"] if "bias" in p else y @ p["kernel"]


def _randomized_leaky_relu(op: core.RandomizedLeakyReLU, z: Any) -> Any:
    """Composed here, with slopes drawn by JAX, because JAX has no such function."""
    if not op.training:
        return jax.nn.leaky_relu(z, (op.l + op.u) / 2)
    slopes = jax.random.uniform(jax.random.key(op.seed), z.shape, z.dtype, op.l, op.u)
    return jnp.where(z > 0, z, slopes * z)


def _embedding(op: core.Embedding, p: Any, ids: Any) -> Any:
    """Rows of the table; JAX has no option for a padding row, so its gradient is stopped here."""
    E, at = p["embedding"], op.padding_idx
    return (E if at is None else E.at[at].set(jax.lax.stop_gradient(E[at])))[ids]


def _max(op: core.Max, z: Any) -> Any:
    parts = jnp.split(z, np.cumsum(op.sizes)[:-1], axis=op.axis) if op.sizes else [z]
    return jnp.concatenate([g.max(axis=op.axis, keepdims=True) for g in parts], axis=op.axis)


def _max_subsets(op: core.MaxSubsets, z: Any) -> Any:
    best = [_take(each, z).max(axis=-1, keepdims=True) for each in op.subsets]
    return jnp.concatenate(best, axis=-1)


def _take(indices: Sequence[int], z: Any) -> Any:
    return z[..., np.array(indices)]


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


def _loss_of_two(op: LossOfTwo, y: Any, d: Any) -> Any:
    own = for_class(LOSSES, op.loss)
    if own is None:
        raise no_function(op.loss, "jax")
    return own(op.loss, y, d)


def _log_where(needed: Any, y: Any) -> Any:
    """log y where `needed`, and 0 elsewhere, in the gradient too: 0 log 0 = 0."""
    return jnp.log(jnp.where(needed, y, 1))


#: Op with parameters -> JAX's function (op, parameters, *inputs) -> value.
WITH_PARAMETERS: dict[type[core.Op], Callable[..., Any]] = {
    core.Conv: _conv,
    core.Embedding: _embedding,
    core.LayerNorm: _layer_norm,
    core.BatchNorm: _batch_norm,
    core.LSTMCell: _lstm_cell,
}

#: Op -> JAX's function (op, *inputs, *parameters) -> value.
FUNCTIONS: dict[type[core.Op], Callable[..., Any]] = {
    **OPERATORS,
    **vocabulary.FUNCTIONS,
    core.Identity: lambda op, z: z,
    core.Sigmoid: lambda op, z: jax.nn.sigmoid(z),
    core.Tanh: lambda op, z: jnp.tanh(z),
    core.LeakyReLU: lambda op, z: jax.nn.leaky_relu(z, op.a),
    core.RandomizedLeakyReLU: _randomized_leaky_relu,
    core.Softplus: _softplus,
    core.ELU: lambda op, z: jax.nn.elu(z, op.a),
    core.SELU: lambda op, z: jax.nn.selu(z),
    core.SiLU: lambda op, z: jax.nn.silu(z) if op.b == 1.0 else z * jax.nn.sigmoid(op.b * z),
    core.GELU: lambda op, z: jax.nn.gelu(z, approximate=op.approximate == "tanh"),
    core.Hardtanh: _hardtanh,
    core.Softmax: lambda op, z: jax.nn.softmax(z, axis=op.axis),
    core.LogSoftmax: lambda op, z: jax.nn.log_softmax(z, axis=op.axis),
    core.Maximum: lambda op, a, b: jnp.maximum(a, b),
    core.MaxPool: _max_pool,
    core.Attention: _attention,
    core.Transpose: lambda op, y: (
        jnp.swapaxes(y, -1, -2) if op.axes is None else y.transpose(op.axes)
    ),
    core.Select: lambda op, y: jnp.take(y, op.index, axis=op.axis),
    core.Broadcast: lambda op, y: jnp.broadcast_to(y, op.shape),
    core.Norm: lambda op, y: jnp.sqrt((y * y).sum(-1)),
    core.Take: lambda op, z: _take(op.indices, z),
    core.Products: lambda op, z: _take(op.sides[0], z) * _take(op.sides[1], z),
    core.Concatenate: lambda op, *y: jnp.concatenate(y, axis=op.axis),
    LossOfTwo: lambda op, y, d: _loss_of_two(op, y, d),
}

#: Op -> JAX's functions for it by name, the default first; see `Case.twin`.
TWINS: dict[type[core.Op], dict[str, Callable[..., Any]]] = {
    core.ReLU: {
        "relu": lambda op, z: jax.nn.relu(z),
        "maximum": lambda op, z: jnp.maximum(z, 0),
        "clamp": lambda op, z: jnp.clip(z, 0),
    },
    core.Max: {"max": _max, "amax": _max},  # one function under two names
    core.MaxSubsets: {"max": _max_subsets, "amax": _max_subsets},
}

#: Divergence -> Optax's loss for it per sample: (divergence, Y, d) -> Div, shape (T,).
LOSSES: dict[type[core.Divergence], Callable[..., Any]] = {
    core.L2: lambda divergence, y, d: optax.l2_loss(y, d).sum(-1),
    core.LinearLoss: lambda divergence, y, d: (d * y).sum(-1),
    core.BinaryCrossEntropy: _binary,  # and BinaryKL
    core.CrossEntropy: _cross_entropy,  # and KL
    **vocabulary.LOSSES,
}
