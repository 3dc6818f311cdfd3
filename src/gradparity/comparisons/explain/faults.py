"""The catalogue of faults that `gradparity selftest` plants: mistakes people make, by name.

A fault of an array is what went wrong with a result (a sign, a factor, an element, an axis); a
fault of a formula is a wrong derivation (a term left out, a stale value), evaluated on the numbers
the implementation had.  One that cannot apply, such as transposing what is not square, gives None.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from ... import core
from ...core import Case, Divergence, Network, Node, Op, Ties
from ...core.arithmetic.arrays import Array, NDArray, scatter_add
from ...core.arithmetic.precision import rounded_to
from ...core.formulas.op import attributes

__all__ = ["ARRAY", "BACKWARD", "DIVERGENCE", "GRADIENTS", "Place", "faulty", "nudged", "with_op"]


def faulty(op: Op, **methods: Callable[..., Any]) -> Op:
    """The op with some of its methods replaced; each is given the right method first.

    >>> from gradparity.core import Tanh
    >>> twice = faulty(Tanh(), backward=lambda right, *args: tuple(2 * g for g in right(*args)))
    >>> twice.backward(np.ones((1, 1)), {}, (np.zeros((1, 1)),), np.zeros((1, 1)))
    (array([[2.]]),)
    """

    def wrong(name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        right = getattr(type(op), name)
        return lambda self, *args: method(lambda *a: right(self, *a), *args)

    kind = type(op)
    body = {name: wrong(name, method) for name, method in methods.items()}
    twin: Op = object.__new__(type(f"Faulty{kind.__name__}", (kind,), body))
    for field, value in attributes(op).items():
        object.__setattr__(twin, field, value)
    return twin


def with_op(case: Case, name: str, op: Op) -> Case:
    """The case with another op at one node."""
    network = case.network
    nodes = [Node(n.name, op if n.name == name else n.op, *n.inputs) for n in network.nodes]
    changed = Network(
        *nodes,
        divergence=network.divergence,
        output=network.output,
        reduction=network.reduction,
        scale=network.scale,
    )
    return dataclasses.replace(case, network=changed)


# Faults of an array -----------------------------------------------------------------------------


class Place(NamedTuple):
    """What the fault of an array needs to know of where it is planted.

    `smooth` marks the elements for which one value alone is right: neither at a kink nor drawn at
    random, so that another is surely wrong.
    """

    T: int
    smooth: NDArray


#: A single wrong element is off by this share of itself, or the nearest thing the dtype can tell.
STEP = {"float64": 1e-11, "float32": 1e-5}


def nudged(g: NDArray, smooth: NDArray | None = None) -> NDArray:
    """The largest element moved by 1e-5 (float32) or 1e-11 (float64) of itself.

    The largest, for an element born of cancellation may be wrong by more and still be right.

    >>> nudged(np.array([1.0, -3.0])) == np.array([1.0, -3.0])
    array([ True, False])
    """
    return _at_largest(g, smooth, lambda x: x * x.dtype.type(1 + STEP[x.dtype.name]))


def _at_largest(
    g: NDArray, smooth: NDArray | None, change: Callable[[NDArray], Any], every: bool = False
) -> NDArray:
    sizes = np.where(np.isfinite(g) & (True if smooth is None else smooth), np.abs(g), -1.0)
    one = np.arange(g.size).reshape(g.shape) == int(np.argmax(sizes))
    one = one & (sizes > 0 if not every else sizes >= 0)
    return np.where(one, change(g), g).astype(g.dtype)


def _smooth_only(change: Callable[[NDArray], Any]) -> ArrayFault:
    """A change of one element where one value alone is right."""
    return lambda g, at: _at_largest(g, at.smooth, change)


def _transposed(g: NDArray, at: Place) -> NDArray | None:
    return g.T if g.ndim == 2 and g.shape[0] == g.shape[1] > 1 else None


def _wrong_axis(g: NDArray, at: Place) -> NDArray | None:
    """The sum over the other axis, broadcast back to where it came from."""
    if g.ndim == 0 or g.shape[-1] < 2:
        return None
    return np.broadcast_to(g.sum(axis=-1, keepdims=True), g.shape)


def _swapped(g: NDArray, at: Place) -> NDArray | None:
    if g.ndim == 0:
        return None
    order = np.arange(len(g))
    order[:2] = order[:2][::-1]
    return g[order]


def _rolled(g: NDArray, at: Place) -> NDArray | None:
    return np.roll(g, 1, -1) if g.ndim and g.shape[-1] > 1 else None


def _through(digits: int) -> ArrayFault:
    """A round trip through float32 rounded to fewer digits."""
    return lambda g, at: rounded_to(g.astype(np.float32), digits) if digits < 24 else _float32(g)


def _float32(g: NDArray) -> NDArray:
    return g.astype(np.float32)


ArrayFault = Callable[[NDArray, Place], NDArray | None]

#: Faults of any result.
ARRAY: dict[str, ArrayFault] = {
    "0.1 % too large": lambda g, at: g * g.dtype.type(1.001),
    "doubled": lambda g, at: 2 * g,
    "wrong sign": lambda g, at: -g,
    "all zero": lambda g, at: np.zeros_like(g),
    "one element off": lambda g, at: nudged(g, at.smooth),
    "one element zero": _smooth_only(np.zeros_like),
    "one element NaN": lambda g, at: _at_largest(g, None, lambda x: x * np.nan, every=True),
    "transposed": _transposed,
    "1/T left out": lambda g, at: g * at.T,
    "summed over the wrong axis": _wrong_axis,
    "two rows swapped": _swapped,
    "off by one column": _rolled,
    "through bfloat16": _through(8),
    "through float16": lambda g, at: g.astype(np.float16),
    "through float32": _through(24),
}


# Faults of a backward formula -------------------------------------------------------------------
# (op, dz, p, y, z) -> the gradients by the inputs, or by the parameters under their letters


def _previous(v: Array) -> Array:
    return np.roll(v, 1, 0)


def _cut(op: Op, dz: Array, p: Any, y: Any, z: Array) -> Any:
    """Guided backpropagation: a ReLU that passes no negative gradient either."""
    return op.backward(np.maximum(dz, 0), p, y, z) if isinstance(op, core.ReLU) else None


def _first_left_out(dz: Array) -> Array:
    return dz * (np.arange(len(dz)) > 0)[:, None].astype(dz.dtype)


def _exchanged(op: Op, dz: Array, p: Any, y: Any, z: Array) -> Any:
    """f'(y) for f'(z)."""
    same = isinstance(op, core.Activation) and y[0].shape == z.shape
    return op.backward(dz, p, (z,), y[0]) if same else None


def _inputs_exchanged(op: Op, dz: Array, p: Any, y: Any, z: Array) -> Any:
    """The gradient of one input sent to the other."""
    if len(y) < 2:
        return None
    parts = op.backward(dz, p, y, z)
    return parts[1:] + parts[:1] if all(g.shape == parts[0].shape for g in parts) else None


def _diagonal_alone(op: Op, dz: Array, p: Any, y: Any, z: Array) -> Any:
    """A Jacobian of which only the diagonal is used."""
    match op:
        case core.Softmax():
            return (dz * z * (1 - z),)
        case core.LogSoftmax():
            return (dz * (1 - np.exp(z)),)
    return None


def _square_left_out(op: Op, dz: Array, p: Any, y: Any, z: Array) -> Any:
    return (dz * (1 - z),) if isinstance(op, core.Tanh) else None


def _sign_of_gradient(op: Op, dz: Array, p: Any, y: Any, z: Array) -> Any:
    """A ReLU whose mask asks the gradient that arrives, not its input."""
    return (np.maximum(dz, 0),) if isinstance(op, core.ReLU) else None


def _output_left_out(op: Op, dz: Array, p: Any, y: Any, z: Array) -> Any:
    kept = (np.arange(dz.shape[-1]) < dz.shape[-1] - 1).astype(dz.dtype)
    return op.backward(dz * kept, p, y, z)


def _wrong_weight(op: Op, dz: Array, p: Any, y: Any, z: Array) -> Any:
    """0.7 above the largest slope that is valid at a kink; at a tie the whole to each winner."""
    valid = op.subdifferential(p, y[0], float(np.finfo(dz.dtype).tiny))
    right = op.backward(dz, p, y, z)
    if valid is None:
        return right if isinstance(op, core.Kinked | core.Max) else None
    if isinstance(valid, Ties):
        return (np.where(valid.winners, np.repeat(dz, valid.sizes, axis=-1), 0),)
    slope = (valid.high + 0.7).astype(dz.dtype)
    return (np.where(valid.at, slope * dz, right[0]), *right[1:])


def _term_left_out(op: Op, dz: Array, p: Any, y: Any, z: Array) -> Any:
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
            return (dz * core.Sigmoid().f(v),)
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
            return op.backward(dz * kept.astype(dz.dtype), p, y, z)
    return None


def _not_transposed(op: Op, dz: Array, p: Any, y: Any, z: Array) -> Any:
    square = isinstance(op, core.Affine) and op.n_in == op.n_out
    return (dz @ p["W"],) if square else None


def _other_formula(op: Op, dz: Array, p: Any, y: Any, z: Array) -> Any:
    """The derivative of a function that is easily taken for this one."""
    match op:
        case core.GELU(approximate=a):
            other: Op = core.GELU("tanh" if a == "none" else "none")
        case core.LogSoftmax():
            return core.Softmax().backward(dz, p, y, np.exp(z))
        case core.SELU():
            other = core.ELU()
        case core.SiLU() | core.Softplus():
            other = core.Sigmoid()
        case core.Max():
            return core.Max(op.sizes).backward(dz, p, (-y[0],), z)  # the smallest
        case core.LeakyReLU():
            other = core.ReLU()
        case _:
            return None
    return other.backward(dz, p, y, other.forward(p, *y))


def _derivative_left_out(op: Op, dz: Array, p: Any, y: Any, z: Array) -> Any:
    same = len(y) == 1 and y[0].shape == z.shape and not isinstance(op, core.Affine)
    return (dz,) if same else None


Backward = Callable[[Op, Array, Any, tuple[Array, ...], Array], Any]

#: Faults of dDiv/dy.
BACKWARD: dict[str, Backward] = {
    "stale input": lambda op, dz, p, y, z: op.backward(dz, p, tuple(map(_previous, y)), z),
    "stale output": lambda op, dz, p, y, z: op.backward(dz, p, y, _previous(z)),
    "stale gradient": lambda op, dz, p, y, z: op.backward(_previous(dz), p, y, z),
    "an instance left out": lambda op, dz, p, y, z: op.backward(_first_left_out(dz), p, y, z),
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
}


def _axis_of_b(op: Op, dz: Array, p: Any, y: Any, z: Array) -> Mapping[str, Array]:
    """The sum over features, as far as it fits, or of everything."""
    if not isinstance(op, core.Affine) or not op.bias:
        return {}
    over = dz.sum(axis=1) if dz.shape[0] == dz.shape[1] else dz.sum()
    return {"b": np.broadcast_to(over, p["b"].shape)}


def _other_way_round(op: Op, dz: Array, p: Any, y: Any, z: Array) -> Mapping[str, Array]:
    """dz^T y for y^T dz."""
    square = isinstance(op, core.Affine) and op.n_in == op.n_out
    return {"W": dz.T @ y[0]} if square else {}


def _stale_gradient(op: Op, dz: Array, p: Any, y: Any, z: Array) -> Mapping[str, Array]:
    """Not of b, nor of any that does not look at y: another order of the instances is right."""
    stale, right = op.gradients(_previous(dz), p, y, z), op.gradients(dz, p, y, z)
    alone = op.gradients(dz, p, tuple(map(_previous, y)), _previous(z))
    return {letter: g for letter, g in stale.items() if (alone[letter] != right[letter]).any()}


#: Faults of dDiv/dp, for every parameter of an op.
GRADIENTS: dict[str, Backward] = {
    "stale input": lambda op, dz, p, y, z: op.gradients(dz, p, tuple(map(_previous, y)), z),
    "stale gradient": _stale_gradient,
    "an instance left out": lambda op, dz, p, y, z: op.gradients(_first_left_out(dz), p, y, z),
    "bias summed over features": _axis_of_b,
    "matrix not transposed": _other_way_round,
}


# Faults of a divergence's gradient --------------------------------------------------------------
# (divergence, dDiv, y, d, Div) -> dErr/dy


def _unsmoothed(div: Divergence, dDiv: Array, y: Array, d: Array, Div: Array) -> Array | None:
    smoothed = isinstance(div, core.CrossEntropy) and div.eps > 0
    if not smoothed:
        return None
    return dataclasses.replace(div, eps=0.0).backward(dDiv, y, d, Div)  # type: ignore[type-var]


def _half(div: Divergence, dDiv: Array, y: Array, d: Array, Div: Array) -> Array | None:
    """One of two summands: -d / y without (1 - d) / (1 - y), or the output without the target."""
    if isinstance(div, core.BinaryCrossEntropy):
        part = -d / y if div.on == "probabilities" else core.Sigmoid().f(y)
    elif isinstance(div, core.L2):
        part = y
    elif isinstance(div, core.CrossEntropy) and div.on == "logits":
        part = core.Softmax().f(y)
    else:
        return None
    return np.expand_dims(dDiv, -1) * part


def _no_activation(div: Divergence, dDiv: Array, y: Array, d: Array, Div: Array) -> Array | None:
    """y - d on logits: the softmax or sigmoid is forgotten."""
    return np.expand_dims(dDiv, -1) * (y - d) if getattr(div, "on", "") == "logits" else None


DivergenceFault = Callable[[Divergence, Array, Array, Array, Array], Array | None]

#: Faults of dErr/dY, the divergence's own gradient.
DIVERGENCE: dict[str, DivergenceFault] = {
    "stale input": lambda div, dDiv, y, d, Div: div.backward(dDiv, _previous(y), d, Div),
    "targets of other instances": lambda div, dDiv, y, d, Div: div.backward(
        dDiv, y, _previous(d), Div
    ),
    "smoothing left out": _unsmoothed,
    "a term left out": _half,
    "another's formula": _no_activation,
}
