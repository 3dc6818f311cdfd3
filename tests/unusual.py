"""Right but unusual implementations of ops, and wrong ones inside their tails and rare branches."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from gradparity import core
from gradparity.core import (
    ELU,
    GELU,
    SELU,
    Affine,
    Attention,
    Conv,
    Embedding,
    LayerNorm,
    LeakyReLU,
    LogSoftmax,
    Max,
    Maximum,
    MaxPool,
    Mean,
    Multiply,
    Norm,
    ReLU,
    Sigmoid,
    SiLU,
    Softmax,
    Softplus,
    Tanh,
)

__all__ = ["RIGHT", "WRONG", "Pair"]


class Pair(NamedTuple):
    """An op, and functions that are meant to be it."""

    op: core.Op
    forward: Callable[..., Any]
    backward: Callable[..., Any]
    shape: tuple[int, ...] | None = None


RIGHT: dict[str, Pair] = {}
WRONG: dict[str, Pair] = {}


def _erf(z: Any) -> Any:
    return np.vectorize(math.erf, otypes=[float])(z).astype(z.dtype)


def _erfc(z: Any) -> Any:
    return np.vectorize(math.erfc, otypes=[float])(z).astype(z.dtype)


def _wide(f: Callable[..., Any]) -> Callable[..., Any]:
    """The same in float64 inside, rounded at the end."""

    def wide(*arrays: Any) -> Any:
        dtype = next(a.dtype for a in arrays if a.dtype.kind == "f")
        found = f(*(a.astype(np.float64) if a.dtype.kind == "f" else a for a in arrays))
        if isinstance(found, tuple):
            return tuple(None if a is None else np.asarray(a).astype(dtype) for a in found)
        return np.asarray(found).astype(dtype)

    return wide


# --- sigmoid and its relatives ------------------------------------------------------------------


def _stable(z: Any) -> Any:
    e = np.exp(-np.abs(z))
    return np.where(z >= 0, 1, e) / (1 + e)


def _slope(z: Any) -> Any:
    e = np.exp(-np.abs(z))
    return e / np.square(1 + e)


SIGMOIDS: dict[str, Callable[[Any], Any]] = {
    "1/(1 + e^-z)": lambda z: 1 / (1 + np.exp(-z)),
    "by cases": lambda z: np.where(
        z >= 0, 1 / (1 + np.exp(-np.maximum(z, 0))),
        np.exp(np.minimum(z, 0)) / (1 + np.exp(np.minimum(z, 0)))),
    "(1 + tanh(z/2))/2": lambda z: (1 + np.tanh(z / 2)) / 2,
    "tanh(z/2)/2 + 1/2": lambda z: 0.5 * np.tanh(0.5 * z) + z.dtype.type(0.5),
    "e^-log(1 + e^-z)": lambda z: np.exp(-np.logaddexp(0, -z)).astype(z.dtype),
    "stable": _stable,
    "1/(1 + expm1(-z) + 1)": lambda z: 1 / (np.expm1(-z) + 2),
    "in float64": _wide(lambda z: 1 / (1 + np.exp(-z))),
}  # fmt: skip
for name, f in SIGMOIDS.items():
    RIGHT[f"sigmoid {name}, y(1 - y)"] = Pair(
        Sigmoid(), f, lambda dz, z, f=f: dz * f(z) * (1 - f(z))
    )
RIGHT["sigmoid, slope by exponentials"] = Pair(Sigmoid(), _stable, lambda dz, z: dz * _slope(z))
RIGHT["sigmoid, y - y^2"] = Pair(
    Sigmoid(), _stable, lambda dz, z: dz * (_stable(z) - _stable(z) ** 2)
)
RIGHT["sigmoid, sigmoid(z) sigmoid(-z)"] = Pair(
    Sigmoid(), _stable, lambda dz, z: dz * _stable(z) * _stable(-z)
)
RIGHT["sigmoid, (1 - tanh^2)/4"] = Pair(
    Sigmoid(), _stable, lambda dz, z: dz * (1 - np.tanh(z / 2) ** 2) / 4
)

# --- tanh ---------------------------------------------------------------------------------------

TANHS: dict[str, Callable[[Any], Any]] = {
    "np.tanh": np.tanh,
    "2 sigmoid(2z) - 1": lambda z: 2 / (1 + np.exp(-2 * z)) - 1,
    "sign (1 - e)/(1 + e)": lambda z: (
        np.sign(z) * (1 - np.exp(-2 * np.abs(z))) / (1 + np.exp(-2 * np.abs(z)))
    ),
    "-expm1/(2 + expm1)": lambda z: (
        -np.sign(z) * np.expm1(-2 * np.abs(z)) / (2 + np.expm1(-2 * np.abs(z)))
    ),
    "1 - 2/(1 + e^2z)": lambda z: 1 - 2 / (1 + np.exp(2 * z)),
    "in float64": _wide(np.tanh),
}
for name, f in TANHS.items():
    RIGHT[f"tanh {name}"] = Pair(Tanh(), f, lambda dz, z, f=f: dz * (1 - f(z) ** 2))
RIGHT["tanh, (1 - y)(1 + y)"] = Pair(
    Tanh(), np.tanh, lambda dz, z: dz * (1 - np.tanh(z)) * (1 + np.tanh(z))
)
RIGHT["tanh, dz - dz y^2"] = Pair(Tanh(), np.tanh, lambda dz, z: dz - dz * np.tanh(z) ** 2)
RIGHT["tanh, 4 e/(1 + e)^2"] = Pair(
    Tanh(),
    np.tanh,
    lambda dz, z: dz * 4 * np.exp(-2 * np.abs(z)) / np.square(1 + np.exp(-2 * np.abs(z))),
)

# --- softplus, SiLU, GELU -----------------------------------------------------------------------

SOFTPLUS: dict[str, Callable[[Any], Any]] = {
    "logaddexp": lambda z: np.logaddexp(0, z).astype(z.dtype),
    "max + log1p": lambda z: np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z))),
    "where": lambda z: np.where(
        z > 0, z + np.log1p(np.exp(-np.abs(z))), np.log1p(np.exp(np.minimum(z, 0)))),
    "relu(z) - log sigmoid|z|": lambda z: np.maximum(z, 0) - np.log(_stable(np.abs(z))),
    "in float64": _wide(lambda z: np.logaddexp(0, z)),
}  # fmt: skip
for name, f in SOFTPLUS.items():
    RIGHT[f"softplus {name}"] = Pair(Softplus(), f, lambda dz, z: dz * _stable(z))
RIGHT["SiLU z sigmoid"] = Pair(
    SiLU(), lambda z: z * _stable(z),
    lambda dz, z: dz * (_stable(z) * (1 + z * (1 - _stable(z)))),
)  # fmt: skip
RIGHT["SiLU z/(1 + e^-z)"] = Pair(
    SiLU(), lambda z: z / (1 + np.exp(-z)), lambda dz, z: dz * (_stable(z) + z * _slope(z))
)
RIGHT["SiLU y + s(1 - y)"] = Pair(
    SiLU(), lambda z: z * _stable(z),
    lambda dz, z: dz * (z * _stable(z) + _stable(z) * (1 - z * _stable(z))),
)  # fmt: skip
RIGHT["SiLU z/2 (1 + tanh)"] = Pair(
    SiLU(), lambda z: 0.5 * z * (1 + np.tanh(0.5 * z)),
    lambda dz, z: dz * (_stable(z) + z * _stable(z) * _stable(-z)),
)  # fmt: skip


def _phi(z: Any) -> Any:
    return np.exp(-0.5 * z * z) * z.dtype.type(1 / math.sqrt(2 * math.pi))


ROOT = 1 / math.sqrt(2.0)
RIGHT["GELU by erf"] = Pair(
    GELU(), lambda z: 0.5 * z * (1 + _erf(z * z.dtype.type(ROOT))),
    lambda dz, z: dz * (0.5 * (1 + _erf(z * z.dtype.type(ROOT))) + z * _phi(z)),
)  # fmt: skip
RIGHT["GELU by erfc"] = Pair(
    GELU(), lambda z: 0.5 * z * _erfc(-z * z.dtype.type(ROOT)),
    lambda dz, z: dz * (0.5 * _erfc(-z * z.dtype.type(ROOT)) + z * _phi(z)),
)  # fmt: skip
RIGHT["GELU z - z Q"] = Pair(
    GELU(), lambda z: z - 0.5 * z * _erfc(z * z.dtype.type(ROOT)),
    lambda dz, z: dz * (0.5 * _erfc(-z * z.dtype.type(ROOT)) + z * _phi(z)),
)  # fmt: skip

C = math.sqrt(2 / math.pi)


def _inner(z: Any) -> Any:
    return z.dtype.type(C) * (z + z.dtype.type(0.044715) * z * z * z)


def _inner_slope(z: Any) -> Any:
    return z.dtype.type(C) * (1 + z.dtype.type(3 * 0.044715) * z * z)


RIGHT["GELU by tanh"] = Pair(
    GELU("tanh"), lambda z: 0.5 * z * (1 + np.tanh(_inner(z))),
    lambda dz, z: dz * (
        0.5 * (1 + np.tanh(_inner(z)))
        + 0.5 * z * (1 - np.tanh(_inner(z)) ** 2) * _inner_slope(z)),
)  # fmt: skip
RIGHT["GELU tanh by the sigmoid"] = Pair(
    GELU("tanh"), lambda z: z * _stable(2 * _inner(z)),
    lambda dz, z: dz * (
        _stable(2 * _inner(z)) + z * _slope(2 * _inner(z)) * 2 * _inner_slope(z)),
)  # fmt: skip
RIGHT["softplus, slope 1 - sigmoid(-z)"] = Pair(
    Softplus(), SOFTPLUS["logaddexp"], lambda dz, z: dz * (1 - _stable(-z))
)
RIGHT["softplus, slope from the output"] = Pair(
    Softplus(), SOFTPLUS["logaddexp"], lambda dz, z: dz * -np.expm1(-np.logaddexp(0, z))
)

# --- piecewise ----------------------------------------------------------------------------------

RELUS: dict[str, Callable[[Any], Any]] = {
    "maximum": lambda z: np.maximum(z, 0),
    "where": lambda z: np.where(z > 0, z, 0).astype(z.dtype),
    "z (z > 0)": lambda z: z * (z > 0),
    "(z + |z|)/2": lambda z: (z + np.abs(z)) / 2,
    "clip": lambda z: np.clip(z, 0, None),
    "z - min": lambda z: z - np.minimum(z, 0),
}
for name, f in RELUS.items():
    RIGHT[f"ReLU {name}"] = Pair(ReLU(), f, lambda dz, z: np.where(z > 0, dz, 0).astype(dz.dtype))
RIGHT["ReLU, half at zero"] = Pair(
    ReLU(), RELUS["maximum"], lambda dz, z: dz * np.heaviside(z, z.dtype.type(0.5))
)
RIGHT["leaky by max"] = Pair(
    LeakyReLU(0.1), lambda z: np.maximum(z, z.dtype.type(0.1) * z),
    lambda dz, z: np.where(z > 0, dz, z.dtype.type(0.1) * dz),
)  # fmt: skip
RIGHT["leaky as relu(z) - a relu(-z)"] = Pair(
    LeakyReLU(0.1), lambda z: np.maximum(z, 0) - z.dtype.type(0.1) * np.maximum(-z, 0),
    lambda dz, z: dz * np.where(z > 0, z.dtype.type(1), z.dtype.type(0.1)),
)  # fmt: skip
RIGHT["ELU by expm1 of min"] = Pair(
    ELU(), lambda z: np.maximum(z, 0) + np.expm1(np.minimum(z, 0)),
    lambda dz, z: dz * np.exp(np.minimum(z, 0)),
)  # fmt: skip
RIGHT["ELU by e^z - 1"] = Pair(
    ELU(), lambda z: np.where(z > 0, z, np.exp(np.minimum(z, 0)) - 1),
    lambda dz, z: np.where(z > 0, dz, dz * np.exp(np.minimum(z, 0))),
)  # fmt: skip
RIGHT["ELU, y + a"] = Pair(
    ELU(), lambda z: np.where(z > 0, z, np.exp(np.minimum(z, 0)) - 1),
    lambda dz, z: np.where(z > 0, dz, dz * ((np.exp(np.minimum(z, 0)) - 1) + 1)),
)  # fmt: skip
S, A = 1.0507009873554805, 1.6732632423543772
RIGHT["SELU"] = Pair(
    SELU(), lambda z: z.dtype.type(S) * np.where(
        z > 0, z, z.dtype.type(A) * np.expm1(np.minimum(z, 0))),
    lambda dz, z: dz * np.where(
        z > 0, z.dtype.type(S), z.dtype.type(S * A) * np.exp(np.minimum(z, 0))),
)  # fmt: skip

# --- softmax ------------------------------------------------------------------------------------


def _softmax(z: Any) -> Any:
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def _lse(z: Any) -> Any:
    m = z.max(-1, keepdims=True)
    return m + np.log(np.exp(z - m).sum(-1, keepdims=True))


def _online(z: Any) -> Any:
    """Largest and sum in one pass over the columns."""
    m = np.full(z.shape[:-1], -np.inf, z.dtype)
    s = np.zeros(z.shape[:-1], z.dtype)
    for k in range(z.shape[-1]):
        larger = np.maximum(m, z[..., k])
        s = s * np.exp(m - larger) + np.exp(z[..., k] - larger)
        m = larger
    return np.exp(z - m[..., None]) / s[..., None]


def _softmax_back(dz: Any, z: Any) -> Any:
    y = _softmax(z)
    return y * (dz - (dz * y).sum(-1, keepdims=True))


def _jacobian(dz: Any, z: Any) -> Any:
    y = _softmax(z)
    J = y[..., None] * np.eye(y.shape[-1], dtype=y.dtype) - y[..., None] * y[..., None, :]
    return (J @ dz[..., None])[..., 0]


SOFTMAXES: dict[str, Callable[[Any], Any]] = {
    "shifted": _softmax,
    "e^(z - lse)": lambda z: np.exp(z - _lse(z)),
    "online": _online,
    "by reciprocal": lambda z: (
        np.exp(z - z.max(-1, keepdims=True))
        * (1 / np.exp(z - z.max(-1, keepdims=True)).sum(-1, keepdims=True))
    ),
    "in float64": _wide(_softmax),
    "summed backward": lambda z: (
        np.exp(z - z.max(-1, keepdims=True))
        / np.exp(z - z.max(-1, keepdims=True))[..., ::-1].cumsum(-1)[..., -1:]
    ),
}
for name, f in SOFTMAXES.items():
    RIGHT[f"softmax {name}"] = Pair(Softmax(), f, _softmax_back)
RIGHT["softmax by its Jacobian"] = Pair(Softmax(), _softmax, _jacobian)
RIGHT["softmax, dz y - y (dz . y)"] = Pair(
    Softmax(), _softmax,
    lambda dz, z: dz * _softmax(z)
    - _softmax(z) * np.einsum("...i,...i->...", dz, _softmax(z))[..., None],
)  # fmt: skip
RIGHT["log-softmax"] = Pair(
    LogSoftmax(), lambda z: z - _lse(z),
    lambda dz, z: dz - _softmax(z) * dz.sum(-1, keepdims=True),
)  # fmt: skip
RIGHT["log-softmax shifted"] = Pair(
    LogSoftmax(),
    lambda z: (z - z.max(-1, keepdims=True)) - np.log(
        np.exp(z - z.max(-1, keepdims=True)).sum(-1, keepdims=True)),
    lambda dz, z: dz - np.exp(z - _lse(z)) * dz.sum(-1, keepdims=True),
)  # fmt: skip

# --- products and sums --------------------------------------------------------------------------


def _loops(a: Any, b: Any) -> Any:
    out = np.zeros((*a.shape[:-1], b.shape[-1]), a.dtype)
    for k in range(a.shape[-1]):
        out += a[..., k, None] * b[k]
    return out


def _blocks(a: Any, b: Any) -> Any:
    h = max(a.shape[-1] // 2, 1)
    return a[..., :h] @ b[:h] + a[..., h:] @ b[h:]


def _kahan(a: Any, b: Any) -> Any:
    out = np.zeros((*a.shape[:-1], b.shape[-1]), a.dtype)
    c = np.zeros_like(out)
    for k in range(a.shape[-1]):
        term = a[..., k, None] * b[k] - c
        total = out + term
        c = (total - out) - term
        out = total
    return out


PRODUCTS: dict[str, Callable[[Any, Any], Any]] = {
    "@": lambda a, b: a @ b,
    "einsum": lambda a, b: np.einsum("...i,ij->...j", a, b),
    "tensordot": lambda a, b: np.tensordot(a, b, axes=(-1, 0)),
    "loops": _loops,
    "loops backward": lambda a, b: _loops(a[..., ::-1], b[::-1]),
    "blocks": _blocks,
    "compensated": _kahan,
    "transposed": lambda a, b: np.swapaxes(b.T @ np.swapaxes(a, -1, -2), -1, -2),
    "in float64": _wide(lambda a, b: a @ b),
}
for name, product in PRODUCTS.items():

    def affine_back(dz: Any, y: Any, W: Any, b: Any, product: Any = product) -> Any:
        rows, given = dz.reshape(-1, dz.shape[-1]), y.reshape(-1, y.shape[-1])
        return product(dz, np.ascontiguousarray(W.T)), product(given.T, rows), rows.sum(0)

    RIGHT[f"affine {name}"] = Pair(
        Affine(5, 3), lambda y, W, b, product=product: product(y, W) + b, affine_back
    )
RIGHT["affine, the bias first"] = Pair(
    Affine(5, 3),
    lambda y, W, b: (
        np.concatenate([np.ones((*y.shape[:-1], 1), y.dtype), y], -1) @ np.concatenate([b[None], W])
    ),
    RIGHT["affine @"].backward,
)
RIGHT["affine in micro-batches"] = Pair(
    Affine(5, 3), RIGHT["affine @"].forward,
    lambda dz, y, W, b: (
        np.concatenate([dz[i : i + 3] @ W.T for i in range(0, len(dz), 3)]),
        sum(y[i : i + 3].T @ dz[i : i + 3] for i in range(0, len(dz), 3)),
        sum(dz[i : i + 3].sum(0) for i in range(0, len(dz), 3))),
)  # fmt: skip
RIGHT["product by logarithms of signs"] = Pair(
    Multiply(), lambda a, b: np.sign(a) * np.sign(b) * (np.abs(a) * np.abs(b)),
    lambda dz, a, b: (dz * b, dz * a),
)  # fmt: skip
RIGHT["mean by dot"] = Pair(
    Mean(-1), lambda y: y @ np.full(y.shape[-1], 1 / y.shape[-1], y.dtype),
    lambda dz, y: np.broadcast_to(dz[..., None] / y.dtype.type(y.shape[-1]), y.shape).copy(),
)  # fmt: skip

# --- norms --------------------------------------------------------------------------------------


def _ln_parts(x: Any, eps: float = 1e-5) -> tuple[Any, Any]:
    c = x - x.mean(-1, keepdims=True)
    return c, 1 / np.sqrt((c * c).mean(-1, keepdims=True) + x.dtype.type(eps))


def _ln(x: Any, g: Any, b: Any) -> Any:
    c, r = _ln_parts(x)
    return c * r * g + b


def _ln_back(dz: Any, x: Any, g: Any, b: Any) -> Any:
    c, r = _ln_parts(x)
    h, dh = c * r, dz * g
    dx = r * (dh - dh.mean(-1, keepdims=True) - h * (dh * h).mean(-1, keepdims=True))
    axes = tuple(range(dz.ndim - 1))
    return dx, (dz * h).sum(axes), dz.sum(axes)


def _ln_long(dz: Any, x: Any, g: Any, b: Any) -> Any:
    """By the gradients of the variance and the mean, as textbooks have it."""
    n = x.dtype.type(x.shape[-1])
    c, r = _ln_parts(x)
    dh = dz * g
    dvar = (dh * c * -0.5 * r**3).sum(-1, keepdims=True)
    dmean = -(dh * r).sum(-1, keepdims=True) + dvar * -2 * c.mean(-1, keepdims=True)
    axes = tuple(range(dz.ndim - 1))
    return dh * r + dvar * 2 * c / n + dmean / n, (dz * c * r).sum(axes), dz.sum(axes)


RIGHT["layer norm"] = Pair(LayerNorm(6), _ln, _ln_back)
RIGHT["layer norm, the long backward"] = Pair(LayerNorm(6), _ln, _ln_long)
RIGHT["layer norm by np.var"] = Pair(
    LayerNorm(6),
    lambda x, g, b: (x - x.mean(-1, keepdims=True))
    / np.sqrt(x.var(-1, keepdims=True) + x.dtype.type(1e-5)) * g + b,
    _ln_back,
)  # fmt: skip
RIGHT["layer norm, N times the terms"] = Pair(
    LayerNorm(6), _ln,
    lambda dz, x, g, b: (
        _ln_parts(x)[1] / x.dtype.type(x.shape[-1]) * (
            x.dtype.type(x.shape[-1]) * dz * g - (dz * g).sum(-1, keepdims=True)
            - _ln_parts(x)[0] * _ln_parts(x)[1] * (
                dz * g * _ln_parts(x)[0] * _ln_parts(x)[1]).sum(-1, keepdims=True)),
        *_ln_back(dz, x, g, b)[1:]),
)  # fmt: skip
RIGHT["layer norm in float64"] = Pair(LayerNorm(6), _wide(_ln), _wide(_ln_back))
RIGHT["norm by dot"] = Pair(
    Norm(), lambda y: np.sqrt(np.einsum("...i,...i->...", y, y)),
    lambda dz, y: np.where(
        (y == 0).all(-1, keepdims=True), 0,
        y * (dz / np.where((y == 0).all(-1), 1, np.sqrt((y * y).sum(-1))))[..., None],
    ).astype(y.dtype),
)  # fmt: skip

# --- layers of networks -------------------------------------------------------------------------


def _patches(y: Any, k: int) -> Any:
    """(n, c, p, k) windows of (n, c, l)."""
    return np.stack([y[..., i : i + k] for i in range(y.shape[-1] - k + 1)], -2)


def _conv(y: Any, W: Any, b: Any) -> Any:
    return np.einsum("ncpk,ock->nop", _patches(y, W.shape[-1]), W) + b[:, None]


def _conv_back(dz: Any, y: Any, W: Any, b: Any) -> Any:
    k, n = W.shape[-1], y.shape[-1]
    dW = np.einsum("nop,ncpk->ock", dz, _patches(y, k))
    dy = np.zeros_like(y)
    for i in range(k):
        dy[..., i : i + n - k + 1] += np.einsum("nop,oc->ncp", dz, W[..., i])
    return dy, dW, dz.sum((0, 2))


def _conv_full(dz: Any, y: Any, W: Any, b: Any) -> Any:
    """dy as a full convolution with the mirrored kernel."""
    k = W.shape[-1]
    padded = np.pad(dz, ((0, 0), (0, 0), (k - 1, k - 1)))
    dy = np.einsum("nopk,ock->ncp", _patches(padded, k), W[..., ::-1])
    return dy, *_conv_back(dz, y, W, b)[1:]


def _conv_loops(y: Any, W: Any, b: Any) -> Any:
    n = y.shape[-1] - W.shape[-1] + 1
    out = np.zeros((len(y), len(W), n), y.dtype)
    for i in range(W.shape[-1]):
        for c in range(W.shape[1]):
            out += y[:, c, None, i : i + n] * W[None, :, c, i, None]
    return out + b[:, None]


def _conv_matmul(y: Any, W: Any, b: Any) -> Any:
    columns = np.moveaxis(_patches(y, W.shape[-1]), 2, 1).reshape(len(y), -1, W[0].size)
    return np.swapaxes(columns @ W.reshape(len(W), -1).T + b, 1, 2)


def _toeplitz(y: Any, W: Any, b: Any) -> Any:
    """The convolution as one large matrix."""
    (o, c, k), n = W.shape, y.shape[-1]
    M = np.zeros((c, n, o, n - k + 1), y.dtype)
    for p in range(n - k + 1):
        M[:, p : p + k, :, p] = W.transpose(1, 2, 0)
    return np.tensordot(y, M, axes=2) + b[:, None]


CONV = Conv(2, 3, (3,))
for name, f in {
    "patches": _conv, "loops": _conv_loops, "matmul": _conv_matmul, "toeplitz": _toeplitz,
    "in float64": _wide(_conv),
}.items():  # fmt: skip
    RIGHT[f"conv by {name}"] = Pair(CONV, f, _conv_back, (2, 9))
RIGHT["conv, the mirrored kernel back"] = Pair(CONV, _conv, _conv_full, (2, 9))


def _attend(q: Any, k: Any, v: Any) -> Any:
    return _softmax(q @ np.swapaxes(k, -1, -2) / np.sqrt(q.dtype.type(q.shape[-1]))) @ v


def _attend_back(dz: Any, q: Any, k: Any, v: Any) -> Any:
    s = 1 / np.sqrt(q.dtype.type(q.shape[-1]))
    P = _softmax(q @ np.swapaxes(k, -1, -2) * s)
    dP = dz @ np.swapaxes(v, -1, -2)
    dS = P * (dP - (dP * P).sum(-1, keepdims=True)) * s
    return dS @ k, np.swapaxes(dS, -1, -2) @ q, np.swapaxes(P, -1, -2) @ dz


def _attend_flash(q: Any, k: Any, v: Any) -> Any:
    """Over blocks of two keys, the largest logit and the sum carried along."""
    s = 1 / np.sqrt(q.dtype.type(q.shape[-1]))
    m = np.full((*q.shape[:-1], 1), -np.inf, q.dtype)
    total, out = np.zeros_like(m), np.zeros((*q.shape[:-1], v.shape[-1]), q.dtype)
    for i in range(0, k.shape[-2], 2):
        logits = q @ np.swapaxes(k[..., i : i + 2, :], -1, -2) * s
        larger = np.maximum(m, logits.max(-1, keepdims=True))
        e, old = np.exp(logits - larger), np.exp(m - larger)
        total, out = total * old + e.sum(-1, keepdims=True), out * old + e @ v[..., i : i + 2, :]
        m = larger
    return out / total


def _attend_delta(dz: Any, q: Any, k: Any, v: Any) -> Any:
    """The row sums as dz . z, as fused kernels have them."""
    s = 1 / np.sqrt(q.dtype.type(q.shape[-1]))
    P = _softmax(q @ np.swapaxes(k, -1, -2) * s)
    delta = (dz * (P @ v)).sum(-1, keepdims=True)
    dS = P * (dz @ np.swapaxes(v, -1, -2) - delta) * s
    return dS @ k, np.swapaxes(dS, -1, -2) @ q, np.swapaxes(P, -1, -2) @ dz


RIGHT["attention"] = Pair(Attention(), _attend, _attend_back)
RIGHT["attention, q scaled first"] = Pair(
    Attention(),
    lambda q, k, v: _softmax(
        (q / np.sqrt(q.dtype.type(q.shape[-1]))) @ np.swapaxes(k, -1, -2)) @ v,
    _attend_back,
)  # fmt: skip
RIGHT["attention in blocks of keys"] = Pair(Attention(), _attend_flash, _attend_back)
RIGHT["attention, sums as dz . z"] = Pair(Attention(), _attend, _attend_delta)
RIGHT["attention in float64"] = Pair(Attention(), _wide(_attend), _wide(_attend_back))


def _pool(y: Any) -> Any:
    return y.reshape(*y.shape[:-1], -1, 2).max(-1)


def _pool_back(dz: Any, y: Any) -> Any:
    w = y.reshape(*y.shape[:-1], -1, 2)
    first = np.arange(2) == w.argmax(-1)[..., None]
    return (dz[..., None] * first).reshape(y.shape)


def _pool_share(dz: Any, y: Any) -> Any:
    w = y.reshape(*y.shape[:-1], -1, 2)
    top = w == w.max(-1, keepdims=True)
    return (dz[..., None] * top / top.sum(-1, keepdims=True).astype(y.dtype)).reshape(y.shape)


POOL = MaxPool((2,), stride=2)
RIGHT["max pool by reshape"] = Pair(POOL, _pool, _pool_back, (3, 6))
RIGHT["max pool by two slices"] = Pair(
    POOL, lambda y: np.maximum(y[..., ::2], y[..., 1::2]), _pool_back, (3, 6)
)
RIGHT["max pool, shares at ties"] = Pair(POOL, _pool, _pool_share, (3, 6))


def _one_hot(ids: Any, E: Any) -> Any:
    return (ids[..., None] == np.arange(len(E))).astype(E.dtype)


def _scatter(dz: Any, ids: Any, E: Any) -> Any:
    out = np.zeros_like(E)
    np.add.at(out, ids, dz)
    return None, out


def _last(dz: Any, ids: Any, E: Any) -> Any:
    out = np.zeros_like(E)
    out[ids] = dz
    return out


RIGHT["embedding by index"] = Pair(Embedding(7, 3), lambda ids, E: E[ids], _scatter)
RIGHT["embedding by a product"] = Pair(
    Embedding(7, 3), lambda ids, E: _one_hot(ids, E) @ E,
    lambda dz, ids, E: (
        None, _one_hot(ids, E).reshape(-1, len(E)).T @ dz.reshape(-1, dz.shape[-1])),
)  # fmt: skip
RIGHT["embedding, sorted ids"] = Pair(
    Embedding(7, 3), lambda ids, E: np.take(E, ids, axis=0),
    lambda dz, ids, E: (None, np.stack([
        dz.reshape(-1, dz.shape[-1])[ids.ravel() == i].sum(0) for i in range(len(E))])),
)  # fmt: skip

# --- maxima -------------------------------------------------------------------------------------

RIGHT["max by partition"] = Pair(
    Max((4,)), lambda y: np.partition(y, -1, -1)[..., -1:],
    lambda dz, y: dz * (np.arange(4) == 3 - y[..., ::-1].argmax(-1)[..., None]),
)  # fmt: skip
RIGHT["max by sort"] = Pair(
    Max((4,)), lambda y: np.sort(y, -1)[..., -1:],
    lambda dz, y: dz * (np.arange(4) == y.argmax(-1)[..., None]),
)  # fmt: skip
RIGHT["max, shares at ties"] = Pair(
    Max((4,)), lambda y: y.max(-1, keepdims=True),
    lambda dz, y: dz * (y == y.max(-1, keepdims=True))
    / (y == y.max(-1, keepdims=True)).sum(-1, keepdims=True).astype(y.dtype),
)  # fmt: skip
RIGHT["maximum by where"] = Pair(
    Maximum(), lambda a, b: np.where(a > b, a, b),
    lambda dz, a, b: (dz * (a > b), dz * (a <= b)),
)  # fmt: skip
RIGHT["maximum by relu"] = Pair(
    Maximum(), lambda a, b: np.where(np.isinf(a - b), np.maximum(a, b), b + np.maximum(a - b, 0)),
    lambda dz, a, b: (dz * (a >= b), dz * (a < b)),
)  # fmt: skip

# --- wrong in tails, at thresholds, in rare branches ----------------------------------------------

Mask = Callable[[Any], Any]


def _where(op: core.Op, f: Any, df: Any, name: str, where: Mask, times: float, value: bool) -> None:
    """A value or a slope that is `times` the right one where a mask says."""

    def off(z: Any, y: Any) -> Any:
        return np.where(where(z), z.dtype.type(times) * y, y).astype(z.dtype)

    if value:
        WRONG[name] = Pair(op, lambda z: off(z, f(z)), lambda dz, z: dz * df(z))
    else:
        WRONG[name] = Pair(op, f, lambda dz, z: dz * off(z, df(z)))


MASKS: dict[str, Mask] = {
    "beyond 30": lambda z: z > 30,
    "below -30": lambda z: z < -30,
    "in (-5.6, -5.5)": lambda z: (z > -5.6) & (z < -5.5),
    "in (5, 6)": lambda z: (z > 5) & (z < 6),
    "at small z": lambda z: (np.abs(z) < 1e-6) & (z != 0),
    "beyond 1e6": lambda z: z > 1e6,
}
for op, f, df in (
    (Sigmoid(), _stable, _slope),
    (Tanh(), np.tanh, lambda z: 4 * _slope(2 * z)),
    (Softplus(), SOFTPLUS["max + log1p"], _stable),
    (SiLU(), lambda z: z * _stable(z), lambda z: _stable(z) + z * _slope(z)),
    (GELU(), RIGHT["GELU by erfc"].forward,
     lambda z: 0.5 * _erfc(-z * z.dtype.type(ROOT)) + z * _phi(z)),
    (ELU(), RIGHT["ELU by expm1 of min"].forward, lambda z: np.exp(np.minimum(z, 0))),
    (ReLU(), RELUS["maximum"], lambda z: (z > 0).astype(z.dtype)),
    (LeakyReLU(0.1), RIGHT["leaky by max"].forward,
     lambda z: np.where(z > 0, z.dtype.type(1), z.dtype.type(0.1))),
):  # fmt: skip
    for said, mask in MASKS.items():
        # What is off has to be seen: neither zero there, nor below the smallest normal number.
        for value in (True, False):
            g, name = (f if value else df), f"{op.name} {'value' if value else 'slope'} {said}"
            probe = np.concatenate([-np.logspace(-7, 8, 600), np.logspace(-7, 8, 600)])
            with np.errstate(all="ignore"):
                seen = np.abs(g(probe)[mask(probe)])
            if (seen > 1e-30).any():
                _where(op, f, df, name, mask, 1.5, value)


def _only(times: Callable[..., Any], pair: Pair, slot: int) -> Pair:
    """The gradient by one input multiplied where a condition on the arguments holds."""

    def backward(dz: Any, *y: Any) -> Any:
        found = pair.backward(dz, *y)
        if not isinstance(found, tuple):
            return (found * times(dz, *y)).astype(dz.dtype)
        parts = list(found)
        parts[slot] = (parts[slot] * times(dz, *y)).astype(dz.dtype)
        return tuple(parts)

    return pair._replace(backward=backward)


WRONG["affine, a batch of one"] = _only(
    lambda dz, *y: dz.dtype.type(2 if len(dz) == 1 else 1), RIGHT["affine @"], 1
)
WRONG["affine, negative dz"] = _only(
    lambda dz, *y: np.where(dz.sum() < 0, 1.001, 1).astype(dz.dtype), RIGHT["affine @"], 2
)
WRONG["softmax, only the last row"] = _only(
    lambda dz, z: 1 + 0.01 * (np.arange(len(dz)) == len(dz) - 1)[:, None],
    RIGHT["softmax shifted"], 0,
)  # fmt: skip
WRONG["softmax, a bias of 1e-6"] = _only(
    lambda dz, z: dz.dtype.type(1 + 1e-6), RIGHT["softmax shifted"], 0
)
WRONG["layer norm, a bias of 2e-6"] = _only(
    lambda dz, *y: dz.dtype.type(1 + 2e-6), RIGHT["layer norm"], 0
)
WRONG["max, the whole to each winner"] = Pair(
    Max((4,)), lambda y: y.max(-1, keepdims=True),
    lambda dz, y: dz * (y == y.max(-1, keepdims=True)),
)  # fmt: skip
WRONG["maximum, both at a tie"] = Pair(
    Maximum(), np.maximum, lambda dz, a, b: (dz * (a >= b), dz * (a <= b))
)
WRONG["ReLU, twice at zero"] = Pair(
    ReLU(), RELUS["maximum"], lambda dz, z: dz * np.heaviside(z, z.dtype.type(2))
)
WRONG["norm, NaN at zero"] = Pair(
    Norm(), RIGHT["norm by dot"].forward,
    lambda dz, y: y * (dz / np.sqrt((y * y).sum(-1)))[..., None],
)  # fmt: skip
WRONG["conv, the last position"] = _only(
    lambda dz, y, W, b: 1 + 0.01 * (np.arange(y.shape[-1]) == y.shape[-1] - 1),
    RIGHT["conv by patches"], 0,
)  # fmt: skip
WRONG["embedding, twice is once"] = Pair(
    Embedding(7, 3), lambda ids, E: E[ids],
    lambda dz, ids, E: (None, _last(dz, ids, E)),
)  # fmt: skip
WRONG["max pool, the whole to each winner"] = Pair(
    POOL, _pool,
    lambda dz, y: (dz[..., None] * (
        y.reshape(*y.shape[:-1], -1, 2) == _pool(y)[..., None])).reshape(y.shape), (3, 6),
)  # fmt: skip
WRONG["attention, the scale left out of dk"] = _only(
    lambda dz, q, k, v: np.sqrt(q.dtype.type(q.shape[-1])), RIGHT["attention"], 1
)
WRONG["sigmoid, NaN beyond 709"] = Pair(
    Sigmoid(), lambda z: np.exp(z) / (1 + np.exp(z)), lambda dz, z: dz * _slope(z)
)
WRONG["softmax, not shifted"] = Pair(
    Softmax(), lambda z: np.exp(z) / np.exp(z).sum(-1, keepdims=True), _softmax_back
)
