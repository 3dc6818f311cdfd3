"""tinygrad as an adapter of gradparity: methods of `Tensor`, and their trace."""

from __future__ import annotations

import contextlib
import functools
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import Any, NamedTuple

import numpy as np
from tinygrad import Device, Tensor
from tinygrad.helpers import DEV, Context

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

__all__ = ["TinygradAdapter", "TinygradNetwork"]

#: The names of `tinygrad.nn.Linear`; its weight is W transposed.
NATIVE = {"W": "weight", "b": "bias"}
#: The key of the parameters that nodes share.
SHARED = "shared"


class TinygradNetwork(NamedTuple):
    """The native twin: ``apply(x)`` is Y for x or all inputs by name, and ``divergence(Y, d)`` Div.

    `params` is ``{"z1": {"weight": ..., "bias": ...}, ...}``, as `nn.state.get_state_dict` has it.
    """

    apply: Callable[..., Tensor]
    params: dict[str, dict[str, Tensor]]
    divergence: Callable[[Tensor, Tensor], Tensor]


class TinygradAdapter(NativeAdapter):
    """Builds and traces networks in tinygrad."""

    name = "tinygrad"
    overrides = Overrides("tinygrad")

    def versions(self) -> dict[str, str]:
        return {"tinygrad": version("tinygrad"), "tinygrad device": _opened(DEV.device)}

    def build(
        self, network: Network, params: Mapping[str, Any], *, twin: Mapping[str, str] | None = None
    ) -> TinygradNetwork:
        """A function and its parameters; that of node `z1` is ``params["z1"]["weight"]``.

        Those that nodes share are ``params["shared"]``.
        """
        if network.divergence is None or network.weights is not None:
            raise AdapterError("the tinygrad adapter needs a divergence, and takes no weights")
        self.overrides.check(network)
        twin = twin or {}
        call = {
            step.name: self.overrides.at(step) or _function(step.op, twin.get(step.name, ""))
            for step in network.body
        }
        divergence = self.overrides.of(network.divergence) or _divergence(network.divergence)
        params = core.checked_params(network, params)
        tensors: dict[str, dict[str, Tensor]] = {step.name: {} for step in network.body}
        with _on(None):
            tensors[SHARED] = {name: _tensor(params[name]) for name in network.parameters}
            for step in network.body:
                for letter, full in step.own.items():
                    array = _layout(step.op, letter, params[full])
                    tensors[step.name][NATIVE.get(letter, letter)] = _tensor(array)

        def apply(x: Any, see: Callable[..., Tensor] = lambda key, y: y) -> Tensor:
            def node(step: Any, y: list[Tensor], given: dict[str, Tensor]) -> Tensor:
                own = zip(step.own, tensors[step.name].values(), strict=True)
                weights = {letter: _layout(step.op, letter, a) for letter, a in own} | given
                return call[step.name](*y, *(weights[name] for name in step.op.parameter_shapes()))

            return walk(network, x, node, see, tensors[SHARED])["Div"]

        return TinygradNetwork(apply, tensors, divergence)

    def export(self, network: Network, native: TinygradNetwork) -> dict[str, Any]:
        """The parameters by the network's names, W as (in, out); a bitwise copy."""
        return {
            full: _layout(op, letter, _array(tensor))
            for full, op, letter, tensor in _parameters(network, native)
        }

    def run(self, case: Case, *, dtype: Any = None, device: str | None = None) -> Trace:
        case = case if dtype is None else case.astype(dtype)
        if case.precision.name not in ("float64", "float32"):
            raise AdapterError(f"no {case.precision.name} here; give float64 or float32")
        with _on(device):
            return self._traced(case)

    def _traced(self, case: Case) -> Trace:
        network = case.network
        native = self.build(network, case.params, twin=case.twin)
        zeros = {key: _tensor(zero) for key, zero in taps(case).items()}
        value: dict[Any, Tensor] = {}

        def see(key: Any, y: Tensor) -> Tensor:
            # Adding a zero that is differentiated shows the gradient that passes here; stored, lest
            # tinygrad fuse the value into its uses and compute it anew there, rounded otherwise.
            if key in zeros:
                value[key] = y = (y + zeros[key]).contiguous()
            return y

        inputs = {name: _tensor(a) for name, a in case.inputs.items()}
        # Class labels stay labels: tinygrad has a path of its own for them.
        d = case.d.astype(np.int32) if self.overrides.take_labels(case) else case.desired
        Div = native.divergence(native.apply(inputs, see), _tensor(d)) + zeros["Div"]
        Err = risk(network, Div)
        parameters = _parameters(network, native)
        wanted = {name: inputs[name] for name in case.differentiated} | zeros
        wanted |= {full: tensor for full, _, _, tensor in parameters}
        found = dict(zip(wanted, Err.gradient(*wanted.values()), strict=True))
        # A gradient that is constant has no memory yet, and numpy() would look for a CPU for it.
        found = {key: g.clone(Device.DEFAULT) for key, g in found.items()}
        Err.realize(Div, *value.values(), *found.values())
        grad = {key: _array(g) for key, g in found.items()}
        grad |= {full: _layout(op, letter, grad[full]) for full, op, letter, _ in parameters}
        return Trace(
            Err=float(Err.item()),
            Div=_array(Div),
            value={step.name: _array(value[step.name]) for step in network.body},
            grad={key: g for key, g in grad.items() if key not in network.edges},
            edge_grad={edge: grad[edge] for edge in network.edges},
            adapter=self.name,
            versions=self.versions(),
            precision=case.precision.name,
        )

    def vjp(
        self, function: Callable[..., Any], arguments: Sequence[Any], dz: Any
    ) -> tuple[Any, tuple[Any, ...]]:
        """z = function(*arguments) and its gradients against the cotangent dz."""
        with _on(None):
            inputs = [_tensor(array) for array in arguments]
            z = function(*inputs)
            gradients = z.gradient(*inputs, gradient=_tensor(dz))
            return _array(z), tuple(_array(g.clone(Device.DEFAULT)) for g in gradients)


@contextlib.contextmanager
def _on(device: str | None) -> Iterator[None]:
    """New tensors go to this device; the user's setting stays as it is."""
    with Context(DEV=_opened(device or DEV.device)):
        yield


@functools.cache
def _opened(device: str) -> str:
    """The device itself, or where none is named tinygrad's choice; its interpreter, which needs
    no compiler, where it finds none.

    Raises
    ------
    DeviceError : tinygrad cannot open this device here.
    """
    try:
        name = Device.canonicalize(device or Device.DEFAULT)
        Device[name]
    except Exception as error:  # whatever its parts raise: no module, no compiler, no driver
        if not device:
            return "PYTHON"
        raise DeviceError(f"tinygrad cannot use the device {device!r}: {error}") from error
    return name


def _parameters(
    network: Network, native: TinygradNetwork
) -> list[tuple[str, core.Op | None, str, Tensor]]:
    """(the network's name for it, op, letter, tensor) of every parameter; no op if it is shared."""
    own = [
        (full, step.op, letter, native.params[step.name][NATIVE.get(letter, letter)])
        for step in network.body
        for letter, full in step.own.items()
    ]
    return [*own, *((name, None, "", tensor) for name, tensor in native.params[SHARED].items())]


def _layout(op: core.Op | None, letter: str, array: Any) -> Any:
    """Between the lecture's W, (in, out), and a linear layer's weight; its own inverse."""
    return array.T if isinstance(op, core.Affine) and letter == "W" else array


def _array(tensor: Tensor) -> Any:
    return np.array(tensor.numpy())


def _tensor(array: Any) -> Tensor:
    return Tensor(np.array(array, order="C")).realize()


#: tinygrad's functions for an op, the first by default; see `Case.twin`.
TWINS: dict[type[core.Op], tuple[str, ...]] = {
    core.ReLU: ("relu", "maximum", "clamp"),
    core.Max: ("max", "amax"),  # one function under two names
    core.MaxSubsets: ("max", "amax"),
}


def _function(op: core.Op, twin: str = "") -> Callable[..., Tensor]:
    """tinygrad's own function for an op, of its inputs and then its parameters."""
    if twin and twin not in TWINS.get(type(op), ()):
        raise AdapterError(f"tinygrad has no function {twin!r} for {op.name}")
    match op:
        case core.Affine():
            return Tensor.linear  # of y, W as (in, out), and b
        case core.Identity():
            return lambda z: z
        case core.Sigmoid():
            return Tensor.sigmoid
        case core.Tanh():
            return Tensor.tanh
        case core.ReLU() if twin == "maximum":
            return lambda z: z.maximum(0)
        case core.ReLU() if twin == "clamp":
            return lambda z: z.clamp(min_=0)
        case core.ReLU():
            return Tensor.relu
        case core.LeakyReLU():
            return lambda z: z.leaky_relu(op.a)
        case core.RandomizedLeakyReLU():
            return functools.partial(_randomized_leaky_relu, op)
        case core.Softplus(threshold=None):
            return Tensor.softplus
        case core.Softplus():
            return lambda z: (z > op.threshold).where(z, z.softplus())
        case core.ELU():
            return lambda z: z.elu(op.a)
        case core.SELU():
            return Tensor.selu
        case core.SiLU():
            return lambda z: z * (op.b * z).sigmoid()
        case core.GELU():
            return lambda z: z.gelu(op.approximate)
        case core.Hardtanh():
            return lambda z: z.hardtanh(op.low, op.high)
        case core.Softmax():
            return lambda z: z.softmax(op.axis)
        case core.LogSoftmax():
            return lambda z: z.log_softmax(op.axis)
        case core.Max():
            return functools.partial(_max, op.sizes, op.axis)
        case core.MaxSubsets():
            return functools.partial(_max_subsets, op.subsets)
        case core.Maximum():
            return Tensor.maximum
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
            return lambda *y: Tensor.cat(*y, dim=op.axis)
        case core.Reshape():
            return lambda y: y.reshape(*y.shape[: op.keep], *op.shape)
        case core.Transpose():
            return lambda y: y.transpose(-1, -2) if op.axes is None else y.permute(op.axes)
        case core.Mean():  # a Sum too
            return lambda y: y.mean(op.axis)
        case core.Sum():
            return lambda y: y.sum(op.axis)
    raise no_function(op, "tinygrad")


def _randomized_leaky_relu(op: core.RandomizedLeakyReLU, z: Tensor) -> Tensor:
    """The slopes are drawn by NumPy: `Tensor.rand` would move the user's random numbers."""
    slopes: Any = (op.l + op.u) / 2
    if op.training:
        draw = np.random.default_rng(op.seed).uniform(op.l, op.u, z.shape)
        slopes = _tensor(draw).cast(z.dtype)
    return (z > 0).where(z, slopes * z)


def _max(sizes: tuple[int, ...] | None, axis: int, z: Tensor) -> Tensor:
    parts = z.split(list(sizes), dim=axis) if sizes else [z]
    return Tensor.cat(*(g.max(axis=axis, keepdim=True) for g in parts), dim=axis)


def _max_subsets(subsets: Sequence[tuple[int, ...]], z: Tensor) -> Tensor:
    return Tensor.cat(*(_take(s, z).max(axis=-1, keepdim=True) for s in subsets), dim=-1)


def _take(indices: tuple[int, ...], z: Tensor) -> Tensor:
    return z[..., list(indices)]


def _divergence(divergence: core.Divergence) -> Callable[[Tensor, Tensor], Tensor]:
    """tinygrad's own loss, per instance: (Y, d) -> Div, shape (T,)."""
    kind = type(divergence)  # a loss derived from one of these is another one
    if kind is core.L2:
        return lambda y, d: 0.5 * (y - d).square().sum(-1)
    if kind is core.LinearLoss:
        return lambda y, d: (d * y).sum(-1)
    if kind in (core.BinaryCrossEntropy, core.BinaryKL):
        return functools.partial(_binary, divergence)
    if kind in (core.CrossEntropy, core.KL):
        return functools.partial(_cross_entropy, divergence)
    raise no_function(divergence, "tinygrad")


def _binary(divergence: core.BinaryCrossEntropy, y: Tensor, d: Tensor) -> Tensor:
    on_logits = divergence.on == "logits"
    loss = y.binary_crossentropy_logits if on_logits else y.binary_crossentropy
    div = loss(d, reduction="none")
    if isinstance(divergence, core.BinaryKL):
        div = div + d * _log_where(d > 0, d) + (1 - d) * _log_where(d < 1, 1 - d)
    return div.sum(-1)


def _cross_entropy(divergence: core.CrossEntropy, y: Tensor, d: Tensor) -> Tensor:
    K, a = y.shape[-1], divergence.uniform(y.shape[-1])
    if divergence.on == "logits" and not isinstance(divergence, core.KL):
        return y.cross_entropy(d, reduction="none", label_smoothing=a)
    # tinygrad has the others not at all: its smallest primitives.
    t = d if d.is_floating_point() else d.one_hot(K).cast(y.dtype)
    t = (1 - a) * t + a / K if a else t
    log_y = y.log_softmax() if divergence.on == "logits" else _log_where(t > 0, y)
    if isinstance(divergence, core.KL):
        log_y = log_y - _log_where(t > 0, t)
    return -(t * log_y).sum(-1)


def _log_where(needed: Tensor, y: Tensor) -> Tensor:
    """log y where it is needed, for the gradient too: 0 log 0 = 0."""
    return needed.where(y, 1).log()
