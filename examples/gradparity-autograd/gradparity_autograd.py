"""HIPS autograd as an adapter of gradparity: functions of `autograd.numpy`, and their trace."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import version
from typing import Any, NamedTuple

import autograd.numpy as anp
import numpy as np
from autograd import make_vjp
from autograd.scipy import special
from autograd.tracer import getval

from gradparity import Case, Network, Trace, core
from gradparity.adapters import (
    AdapterError,
    DeviceError,
    NativeAdapter,
    Overrides,
    no_function,
    risk,
    taps,
    walk,
)

__all__ = ["AutogradAdapter", "AutogradNetwork"]


class AutogradNetwork(NamedTuple):
    """The native twin: ``apply(params, x)`` is Y, ``divergence(Y, d)`` is Div, shape (T,)."""

    apply: Callable[[Mapping[str, Any], Any], Any]
    params: dict[str, Any]
    divergence: Callable[[Any, Any], Any]


class AutogradAdapter(NativeAdapter):
    """Builds and traces networks in autograd."""

    name = "autograd"
    overrides = Overrides("autograd")

    def versions(self) -> dict[str, str]:
        return {"autograd": version("autograd"), "scipy": version("scipy")}

    def build(
        self, network: Network, params: Mapping[str, Any], *, twin: Mapping[str, str] | None = None
    ) -> AutogradNetwork:
        """A pure function and its parameters, under the network's own names."""
        if network.divergence is None or network.weights is not None:
            raise AdapterError("the autograd adapter needs a divergence, and takes no weights")
        self.overrides.check(network)
        twin = twin or {}
        call = {
            step.name: self.overrides.at(step) or _function(step.op, twin.get(step.name, ""))
            for step in network.body
        }
        divergence = self.overrides.of(network.divergence) or _divergence(network.divergence)

        def apply(params: Mapping[str, Any], x: Any, see: Any = lambda key, y: y) -> Any:
            def node(step: Any, y: list[Any], given: dict[str, Any]) -> Any:
                own = {letter: params[full] for letter, full in step.own.items()} | given
                return call[step.name](*y, *(own[letter] for letter in step.op.parameter_shapes()))

            shared = {name: params[name] for name in network.parameters}
            return walk(network, x, node, see, shared)["Div"]

        return AutogradNetwork(apply, core.checked_params(network, params), divergence)

    def export(self, network: Network, native: AutogradNetwork) -> dict[str, Any]:
        """Copies of the parameters."""
        return {name: np.array(native.params[name]) for name in network.parameter_shapes}

    def run(self, case: Case, *, dtype: Any = None, device: str | None = None) -> Trace:
        case = case if dtype is None else case.astype(dtype)
        if device not in (None, "cpu"):
            raise DeviceError(f"autograd cannot use the device {device!r}: it is NumPy, on 'cpu'")
        if case.precision.name not in ("float64", "float32"):
            raise AdapterError(f"autograd has no {case.precision.name}; give float64 or float32")
        network, native = case.network, self.build(case.network, case.params, twin=case.twin)
        Div, value, zeros = None, {}, taps(case)
        free = {name: case.inputs[name] for name in case.differentiated}

        def err(given: dict[Any, Any]) -> Any:
            nonlocal Div

            def see(key: Any, y: Any) -> Any:
                # Adding a zero that is differentiated shows the gradient that passes here.
                if key in zeros:
                    y = y + given[key]
                    value[key] = getval(y)
                return y

            Y = native.apply(given, {**case.inputs, **{name: given[name] for name in free}}, see)
            Div = native.divergence(Y, np.array(case.desired)) + given["Div"]
            return risk(network, Div)

        # NumPy warns of what overflows and is then not used, as log(1 + e^z) at 1000.
        with np.errstate(all="ignore"):
            differentiate, Err = make_vjp(err)({**native.params, **free, **zeros})
            grad = differentiate(case.dtype.type(1))
        return Trace(
            Err=float(Err),
            Div=np.array(getval(Div)),
            value={step.name: np.array(value[step.name]) for step in network.body},
            grad={key: np.array(g) for key, g in grad.items() if key not in network.edges},
            edge_grad={edge: np.array(grad[edge]) for edge in network.edges},
            adapter=self.name,
            versions=self.versions(),
            precision=case.precision.name,
        )

    def vjp(
        self, function: Callable[..., Any], arguments: Sequence[Any], dz: Any
    ) -> tuple[Any, tuple[Any, ...]]:
        """z = function(*arguments) and its gradients against the cotangent dz."""
        given = tuple(np.array(array) for array in arguments)
        differentiate, z = make_vjp(lambda given: function(*given))(given)
        return np.array(z), tuple(np.array(g) for g in differentiate(np.array(dz)))


#: Under these names the functions of other frameworks differ; see `Case.twin`.
TWINS: dict[type[core.Op], tuple[str, ...]] = {
    core.ReLU: ("relu", "maximum", "clamp"),
    core.Max: ("max", "amax"),
    core.MaxSubsets: ("max", "amax"),
}


def _function(op: core.Op, twin: str = "") -> Callable[..., Any]:
    """autograd's own function for an op, of its inputs and then its parameters."""
    if twin and twin not in TWINS.get(type(op), ()):
        raise AdapterError(f"autograd has no function {twin!r} for {op.name}")
    match op:
        case core.Affine():
            return lambda y, W, b=None: anp.dot(y, W) if b is None else anp.dot(y, W) + b
        case core.Identity():
            return lambda z: z
        case core.Sigmoid():
            return special.expit
        case core.Tanh():
            return anp.tanh
        case core.ReLU() if twin == "clamp":
            return lambda z: anp.clip(z, 0, np.inf)
        case core.ReLU():  # its examples write relu so
            return lambda z: anp.maximum(0, z)
        case core.LeakyReLU():
            return lambda z: anp.where(z > 0, z, op.a * z)
        case core.RandomizedLeakyReLU():
            return functools.partial(_randomized_leaky_relu, op)
        case core.Softplus():
            return functools.partial(_softplus, op.threshold)
        case core.ELU():
            return lambda z: anp.where(z > 0, z, op.a * _expm1_where(z <= 0, z))
        case core.SELU():
            return _selu
        case core.SiLU():
            return lambda z: z * special.expit(op.b * z)
        case core.GELU(approximate="none"):
            return lambda z: z * (0.5 * (1 + special.erf(z * 0.5**0.5)))
        case core.GELU():
            return lambda z: z * (0.5 * (1 + anp.tanh((2 / np.pi) ** 0.5 * (z + 0.044715 * z**3))))
        case core.Hardtanh():
            return lambda z: anp.clip(z, op.low, op.high)
        case core.Softmax():
            return lambda z: anp.exp(_log_softmax(op.axis, z))
        case core.LogSoftmax():
            return functools.partial(_log_softmax, op.axis)
        case core.Max():
            return functools.partial(_max, op.sizes, op.axis)
        case core.MaxSubsets():
            return functools.partial(_max_subsets, op.subsets)
        case core.Maximum():
            return anp.maximum
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
            return lambda *y: anp.concatenate(y, axis=op.axis)
        case core.Reshape():
            return lambda y: anp.reshape(y, (*y.shape[: op.keep], *op.shape))
        case core.Transpose():
            return lambda y: anp.swapaxes(y, -1, -2) if op.axes is None else y.transpose(op.axes)
        case core.Mean():  # a Sum too
            return lambda y: anp.mean(y, axis=op.axis)
        case core.Sum():
            return lambda y: anp.sum(y, axis=op.axis)
    raise no_function(op, "autograd")


def _randomized_leaky_relu(op: core.RandomizedLeakyReLU, z: Any) -> Any:
    """The slopes are drawn by a generator of its own, so that nobody's random numbers move."""
    slopes: Any = (op.l + op.u) / 2
    if op.training:
        draw = np.random.default_rng(op.seed).uniform(op.l, op.u, z.shape)
        slopes = draw.astype(getval(z).dtype)
    return anp.where(z > 0, z, slopes * z)


def _softplus(threshold: float | None, z: Any) -> Any:
    y = anp.logaddexp(z, 0)
    return y if threshold is None else anp.where(z > threshold, z, y)


def _selu(z: Any) -> Any:
    a, s = 1.6732632423543772, 1.0507009873554805
    return s * anp.where(z > 0, z, a * _expm1_where(z <= 0, z))


def _expm1_where(needed: Any, z: Any) -> Any:
    """e^z - 1 where it is needed; `minimum(z, 0)` would do it too, with half the slope at 0."""
    return anp.expm1(anp.where(needed, z, 0))


def _log_softmax(axis: int, z: Any) -> Any:
    return z - special.logsumexp(z, axis=axis, keepdims=True)


def _max(sizes: tuple[int, ...] | None, axis: int, z: Any) -> Any:
    parts = anp.split(z, np.cumsum(sizes)[:-1], axis=axis) if sizes else [z]
    return anp.concatenate([anp.max(g, axis=axis, keepdims=True) for g in parts], axis=axis)


def _max_subsets(subsets: Sequence[tuple[int, ...]], z: Any) -> Any:
    return anp.concatenate([anp.max(_take(s, z), axis=-1, keepdims=True) for s in subsets], axis=-1)


def _take(indices: tuple[int, ...], z: Any) -> Any:
    return z[..., np.array(indices)]


def _divergence(divergence: core.Divergence) -> Callable[[Any, Any], Any]:
    """Per instance, (Y, d) -> Div, shape (T,): composed, for autograd has no losses of its own."""
    kind = type(divergence)  # a loss derived from one of these is another one
    if kind is core.L2:
        return lambda y, d: 0.5 * anp.sum((y - d) ** 2, axis=-1)
    if kind is core.LinearLoss:
        return lambda y, d: anp.sum(d * y, axis=-1)
    if kind in (core.BinaryCrossEntropy, core.BinaryKL):
        return functools.partial(_binary, divergence)
    if kind in (core.CrossEntropy, core.KL):
        return functools.partial(_cross_entropy, divergence)
    raise no_function(divergence, "autograd")


def _binary(divergence: core.BinaryCrossEntropy, y: Any, d: Any) -> Any:
    if divergence.on == "logits":
        div = d * anp.logaddexp(0, -y) + (1 - d) * anp.logaddexp(0, y)
    else:
        div = -(d * _log_where(d > 0, y) + (1 - d) * _log_where(d < 1, 1 - y))
    if isinstance(divergence, core.BinaryKL):
        div = div + d * _log_where(d > 0, d) + (1 - d) * _log_where(d < 1, 1 - d)
    return anp.sum(div, axis=-1)


def _cross_entropy(divergence: core.CrossEntropy, y: Any, d: Any) -> Any:
    K, a = y.shape[-1], divergence.uniform(y.shape[-1])
    t = (1 - a) * d + a / K if a else d
    log_y = _log_softmax(-1, y) if divergence.on == "logits" else _log_where(t > 0, y)
    if isinstance(divergence, core.KL):
        log_y = log_y - _log_where(t > 0, t)
    return -anp.sum(t * log_y, axis=-1)


def _log_where(needed: Any, y: Any) -> Any:
    """log y where it is needed, for the gradient too: 0 log 0 = 0."""
    return anp.log(anp.where(needed, y, 1))
