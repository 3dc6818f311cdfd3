"""Wrong derivations of a formula: mistakes people make, by name.

`gradparity selftest` plants them, and `mistakes` recognises them.  Each is evaluated on the numbers
that the implementation had: (op, dz, y, z) -> the gradients by all inputs; None where it cannot
apply.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ... import core
from ...core import Divergence, Op, Slopes
from ...core.arithmetic.arrays import Array, scatter_add

__all__ = ["BACKWARD", "GRADIENTS", "values_of"]

Fault = Callable[[Op, Any, tuple[Array, ...], Any], Any]


def values_of(op: Op, y: Sequence[Any]) -> int:
    """How many of an op's inputs are values, and not parameters or a draw."""
    return len(y) - len(op.parameter_shapes()) - bool(op.random)


def _previous(v: Any) -> Any:
    """Shift the array by one sample: stale values."""
    if isinstance(v, tuple):
        return tuple(map(_previous, v))
    return np.roll(v, 1, 0) if np.ndim(v) else v


def _stale_input(op: Op, dz: Any, y: tuple[Array, ...], z: Any) -> Any:
    n = values_of(op, y)
    return op.vjp(dz, (*map(_previous, y[:n]), *y[n:]), z)


def _cut(op: Op, dz: Array, y: Any, z: Array) -> Any:
    """Guided backpropagation: a ReLU that passes no negative gradient either."""
    return op.vjp(np.maximum(dz, 0), y, z) if isinstance(op, core.ReLU) else None


def _first_left_out(dz: Any) -> Any:
    """Set the gradient of the first sample to zero."""
    if isinstance(dz, tuple):
        return tuple(map(_first_left_out, dz))
    kept = (np.arange(len(dz)) > 0) if np.ndim(dz) else np.zeros(())
    return dz * kept.reshape(-1, *[1] * (dz.ndim - 1)).astype(dz.dtype)


def _exchanged(op: Op, dz: Array, y: Any, z: Array) -> Any:
    """f'(y) for f'(z); where f' is usually written in the output, its formula of the input."""
    if not isinstance(op, core.Activation) or len(y) != 1 or y[0].shape != z.shape:
        return None
    v = y[0]
    match op:
        case core.Sigmoid():
            return (dz * (v * (1 - v)),)
        case core.Tanh():
            return (dz * (1 - v * v),)
        case core.ELU(a=a):
            return (np.where(z > 0, dz, (v + a) * dz),)
    return op.vjp(dz, (z,), v)


def _inputs_exchanged(op: Op, dz: Any, y: Any, z: Any) -> Any:
    """The gradient of one input sent to the other."""
    n, parts = values_of(op, y), op.vjp(dz, y, z)
    mine = parts[:n]
    if n < 2 or any(g is None or g.shape != parts[0].shape for g in mine):
        return None
    return (*mine[1:], *mine[:1], *parts[n:])


def _diagonal_alone(op: Op, dz: Array, y: Any, z: Array) -> Any:
    """A Jacobian of which only the diagonal is used."""
    match op:
        case core.Softmax():
            return (dz * z * (1 - z),)
        case core.LogSoftmax():
            return (dz * (1 - np.exp(z)),)
    return None


def _square_left_out(op: Op, dz: Array, y: Any, z: Array) -> Any:
    return (dz * (1 - z),) if isinstance(op, core.Tanh) else None


def _sign_of_gradient(op: Op, dz: Array, y: Any, z: Array) -> Any:
    """A ReLU whose mask asks the gradient that arrives, not its input."""
    return (np.maximum(dz, 0),) if isinstance(op, core.ReLU) else None


def _output_left_out(op: Op, dz: Any, y: Any, z: Any) -> Any:
    if isinstance(dz, tuple):
        return op.vjp((np.zeros_like(dz[0]), *dz[1:]), y, z)
    if dz.ndim < 2:  # its only axis is the samples
        return None
    kept = (np.arange(dz.shape[-1]) < dz.shape[-1] - 1).astype(dz.dtype)
    return op.vjp(dz * kept, y, z)


def _wrong_weight(op: Op, dz: Any, y: Any, z: Any) -> Any:
    """0.7 above the largest slope that is valid at a kink; at a tie the whole to each winner."""
    if isinstance(dz, tuple) or dz.dtype.kind != "f":
        return None
    valid = op.subdifferential(y, float(np.finfo(dz.dtype).tiny))
    right = op.vjp(dz, y, z)
    if valid is None:
        kinked = isinstance(op, core.Kinked) or op.routes_of(y) is not None
        return right if kinked else None
    if isinstance(valid, Slopes):
        slope = (valid.high + 0.7).astype(dz.dtype)
        i = valid.input
        at_kinks = np.where(valid.at, slope * op.reaching(dz, y), right[i])
        return (*right[:i], at_kinks, *right[i + 1 :])
    at = valid.groups(dz.size).reshape(dz.shape)
    found = [None if g is None else g.copy() for g in op.vjp(np.where(at, 0, dz), y, z)]
    for i in set(valid.input.tolist()):
        mine = valid.input == i
        np.add.at(found[i].reshape(-1), valid.element[mine], dz.ravel()[valid.group[mine]])
    return tuple(found)


def _term_left_out(op: Op, dz: Array, y: Any, z: Array) -> Any:
    """A derivation that forgets one summand, which only some formulas have."""
    v = y[0]
    match op:
        case core.Softmax():
            return (z * dz,)  # without the sum: the Jacobian's rank-one part
        case core.LogSoftmax():
            return (dz,)
        case core.Sigmoid():
            return (dz * z,)
        case core.Tanh():
            return (-dz * z * z,)
        case core.SiLU():
            return (dz * core.Sigmoid().f(op.b * v),)
        case core.GELU():
            return (dz * (0.5 * (1 + op._t(v))),)
        case core.ELU():
            return (np.where(v > 0, dz, z * dz),)
        case core.Products(pairs=pairs):
            other = np.take(v, tuple(b for _, b in pairs), axis=-1)
            return (scatter_add(dz * other, tuple(a for a, _ in pairs), v.shape[-1]),)
        case core.Take(indices=indices):  # the last use overwrites instead of adding up
            last = {source: k for k, source in enumerate(indices)}
            kept = np.isin(np.arange(len(indices)), list(last.values()))
            return op.vjp(dz * kept.astype(dz.dtype), y, z)
        case core.BinaryCrossEntropy():  # -d / y without (1 - d) / (1 - y), or no target
            part = -y[1] / v if op.on == "probabilities" else core.Sigmoid().f(v)
        case core.L2():
            part = v
        case core.CrossEntropy(on="logits"):
            part = core.Softmax().f(v)
        case _:
            return None
    return (np.expand_dims(dz, -1) * part, None)


def _not_transposed(op: Op, dz: Array, y: Any, z: Array) -> Any:
    if not isinstance(op, core.Affine) or op.n_in != op.n_out:
        return None
    dW = dz.reshape(-1, op.n_out).T @ y[0].reshape(-1, op.n_in)
    return (dz @ y[1], dW, *op.vjp(dz, y, z)[2:])


def _other_formula(op: Op, dz: Array, y: Any, z: Array) -> Any:
    """The derivative of a function that is easily taken for this one."""
    match op:
        case core.GELU(approximate=a):
            other: Op = core.GELU("tanh" if a == "none" else "none")
        case core.LogSoftmax():
            return core.Softmax().vjp(dz, y, np.exp(z))
        case core.SELU():
            other = core.ELU()
        case core.SiLU() | core.Softplus():
            other = core.Sigmoid()
        case core.Max():
            return core.Max(op.sizes, axis=op.axis).vjp(dz, (-y[0],), z)  # the smallest
        case core.LeakyReLU():
            other = core.ReLU()
        case core.Divergence() if getattr(op, "on", "") == "logits":
            # y - d: the softmax or sigmoid is forgotten.
            return (np.expand_dims(dz, -1) * (y[0] - y[1]), None)
        case _:
            return None
    return other.vjp(dz, y, other.forward(*y))


def _derivative_left_out(op: Op, dz: Any, y: Any, z: Any) -> Any:
    same = len(y) == 1 and not isinstance(dz, tuple) and y[0].shape == z.shape
    return (dz,) if same and dz.ndim else None


def _targets_of_others(op: Op, dz: Any, y: Any, z: Any) -> Any:
    return op.vjp(dz, (y[0], _previous(y[1]), *y[2:]), z) if isinstance(op, Divergence) else None


def _unsmoothed(op: Op, dz: Any, y: Any, z: Any) -> Any:
    if not isinstance(op, core.CrossEntropy) or not op.eps:
        return None
    return dataclasses.replace(op, eps=0.0).vjp(dz, y, z)


def _constant_statistics(which: str) -> Fault:
    """A normalisation in training that does not differentiate its mean, its variance, or both."""

    def fault(op: Op, dz: Any, y: tuple[Array, ...], z: Any) -> Any:
        if not isinstance(op, core.LayerNorm | core.BatchNorm):
            return None
        if isinstance(op, core.BatchNorm) and not op.training:
            return None
        right = op.vjp(dz, y, z)
        dz = dz[0] if isinstance(dz, tuple) else dz
        axes, shape = op._axes(y[0]) if isinstance(op, core.BatchNorm) else (-1, (-1,))
        c, r, *_ = op._centred(y[0], axes)
        dh = dz * y[1].reshape(*shape)
        mean = 0.0 if "mean" in which else dh.mean(axis=axes, keepdims=True)
        h = c * r
        spread = 0.0 if "variance" in which else h * (dh * h).mean(axis=axes, keepdims=True)
        return (r * (dh - mean - spread), *right[1:])

    return fault


#: Faults of the gradient by a value.
BACKWARD: dict[str, Fault] = {
    "stale input": _stale_input,
    "stale output": lambda op, dz, y, z: op.vjp(dz, y, _previous(z)),
    "stale gradient": lambda op, dz, y, z: op.vjp(_previous(dz), y, z),
    "a sample left out": lambda op, dz, y, z: op.vjp(_first_left_out(dz), y, z),
    "an output left out": _output_left_out,
    "the derivative left out": _derivative_left_out,
    "input and output exchanged": _exchanged,
    "gradients of the inputs exchanged": _inputs_exchanged,
    "a term left out": _term_left_out,
    "a square left out": _square_left_out,
    "the Jacobian's diagonal alone": _diagonal_alone,
    "another's formula": _other_formula,
    "matrix not transposed": _not_transposed,
    "negative gradients cut": _cut,
    "the sign of the gradient asked": _sign_of_gradient,
    "wrong weight at a kink": _wrong_weight,
    "targets of other samples": _targets_of_others,
    "smoothing left out": _unsmoothed,
    "the mean and the variance taken for constants": _constant_statistics("mean and variance"),
    "the variance taken for a constant": _constant_statistics("variance"),
}


def _axis_of_b(op: Op, dz: Array, y: Any, z: Array) -> Any:
    """The sum over features, as far as it fits, or of everything."""
    if not isinstance(op, core.Affine) or not op.bias:
        return None
    rows = dz.reshape(-1, op.n_out)
    over = rows.sum(axis=1) if rows.shape[0] == rows.shape[1] else rows.sum()
    return (*op.vjp(dz, y, z)[:-1], np.broadcast_to(over, y[-1].shape))


def _stale_gradient(op: Op, dz: Any, y: tuple[Array, ...], z: Any) -> Any:
    """Not of b, nor of any that does not look at y: another order of the samples is right."""
    stale, right = op.vjp(_previous(dz), y, z), op.vjp(dz, y, z)
    n = values_of(op, y)
    alone = op.vjp(dz, (*map(_previous, y[:n]), *y[n:]), _previous(z))
    return tuple(
        s if s is not None and (a != r).any() else r
        for s, a, r in zip(stale, alone, right, strict=True)
    )


def _parameters_exchanged(op: Op, dz: Any, y: tuple[Array, ...], z: Any) -> Any:
    """The gradients of two parameters of one shape, such as a scale and a shift, exchanged."""
    n, found = values_of(op, y), [*op.vjp(dz, y, z)]
    slots = [i for i in range(n, len(found)) if found[i] is not None]
    pairs = ((i, j) for i in slots for j in slots if i < j and found[i].shape == found[j].shape)
    i, j = next(pairs, (0, 0))
    if i == j:
        return None
    found[i], found[j] = found[j], found[i]
    return tuple(found)


#: Faults of the gradient by a parameter.
GRADIENTS: dict[str, Fault] = {
    "stale input": _stale_input,
    "stale gradient": _stale_gradient,
    "a sample left out": lambda op, dz, y, z: op.vjp(_first_left_out(dz), y, z),
    "bias summed over features": _axis_of_b,
    "gradients of two parameters exchanged": _parameters_exchanged,
    "matrix not transposed": _not_transposed,
}
