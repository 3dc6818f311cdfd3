"""JAX: a pure `apply(params, x)` over a pytree of parameters, and its trace."""

from __future__ import annotations

import contextlib
import functools
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from .. import core
from ..core.case import Case, checked_params
from ..core.network import INPUT, Edge, Network
from ..core.trace import Trace
from .base import AdapterError, Trainer, native_function, risk, walk
from .jax_precision import affine_in_tf32
from .kinks import Kinks

__all__ = ["JaxAdapter", "JaxNetwork"]

#: Flax's names for the parameters of a dense layer; W keeps the lecture's layout (in, out).
NATIVE = {"W": "kernel", "b": "bias"}


class JaxNetwork(NamedTuple):
    """The native twin: ``apply(params, x)`` is Y for x of shape (T, D_0) or (D_0,).

    ``divergence(Y, d)`` is Div.  `params` is ``{"z1": {"kernel": ..., "bias": ...}, ...}``.
    """

    apply: Callable[[Any, Any], Any]
    params: dict[str, dict[str, Any]]
    divergence: Callable[[Any, Any], Any]


class JaxAdapter:
    """Builds and traces networks in JAX."""

    name = "jax"

    def versions(self) -> dict[str, str]:
        return {"jax": jax.__version__, "optax": optax.__version__}

    def build(self, network: Network, params: Mapping[str, Any]) -> JaxNetwork:
        """A pure function and its parameters; usable under jit, grad and vmap.

        The parameters keep their dtype: float64 ones need ``jax.enable_x64(True)`` around their
        use, so give ``case.astype("float32").params`` where that is not meant.
        """
        params = checked_params(network, params)
        call = _calls(network)

        def apply(params: Any, x: Any) -> Any:
            return walk(network, x, lambda step, y: call[step.name](params.get(step.name), *y))

        dtypes = {np.asarray(p).dtype for p in params.values()}
        with _precision(max(dtypes, key=lambda t: t.itemsize, default=np.dtype(np.float32))):
            return JaxNetwork(apply, _nested(network, params), _divergence(network.divergence))

    def export(self, network: Network, native: Any) -> dict[str, Any]:
        """The parameters by the network's names; `native` is the pytree or a `JaxNetwork`."""
        tree = native.params if isinstance(native, JaxNetwork) else native
        return {
            full: np.array(tree[step.name][NATIVE[letter]])
            for step in network.steps
            for letter, full in step.parameters.items()
        }

    def run(self, case: Case, *, dtype: Any = None, device: str | None = None) -> Trace:
        return self.run_all([case], dtype=dtype, device=device)[0]

    def run_all(
        self, cases: Sequence[Case], *, dtype: Any = None, device: str | None = None
    ) -> list[Trace]:
        """All cases of one dtype in a single compilation."""
        cases = [case if dtype is None else case.astype(dtype) for case in cases]
        traces: dict[int, Trace] = {}
        for each in dict.fromkeys(case.precision for case in cases):
            chosen = [i for i, case in enumerate(cases) if case.precision == each]
            with _precision(each.dtype), _place(device):
                on_cpu = jax.devices(device)[0].platform == "cpu"
                networks = tuple(cases[i].network for i in chosen)
                program = _program(networks, on_cpu, each.name == "tf32")
                out = program([_arguments(cases[i]) for i in chosen])
                out = jax.tree.map(_array, out)
            for i, (auxiliary, gradients) in zip(chosen, out, strict=True):
                traces[i] = self._trace(cases[i], auxiliary, gradients)
        return [traces[i] for i in range(len(cases))]

    def kinks(self) -> Kinks:
        """JAX's own spellings of kinks, for `gradparity probe`."""
        from .jax_kinks import JaxKinks

        return JaxKinks()

    def trainer(self, case: Case, eta: float) -> Trainer:
        """Training with a compiled step, `jax.value_and_grad` and plain SGD; see `Trainer`."""
        network, native = case.network, self.build(case.network, case.params)
        with _precision(case.dtype):
            params, x, d = _arguments(case)

        def err(params: Any, x: Any, d: Any) -> Any:
            Div = native.divergence(native.apply(params, x), d)
            return risk(network, Div)

        def update(params: Any, x: Any, d: Any, rows: Any) -> Any:
            Err, gradient = jax.value_and_grad(err)(params, x[rows], d[rows])
            return Err, jax.tree.map(lambda p, g: p - eta * g, params, gradient)

        compiled = jax.jit(update)

        def step(rows: Any) -> float:
            nonlocal params
            with _precision(case.dtype):
                Err, params = compiled(params, x, d, rows)
            return float(Err)

        return Trainer(step, lambda: self.export(network, params))

    def _trace(self, case: Case, auxiliary: Any, gradients: Any) -> Trace:
        network = case.network
        Err, Div, value = auxiliary
        params, x, taps = gradients
        grad = {
            full: params[step.name][NATIVE[letter]]
            for step in network.steps
            for letter, full in step.parameters.items()
        }
        edges = {_tap_name(edge): edge for edge in network.edges}
        grad |= {name: g for name, g in taps.items() if name not in edges}
        edge_grad: dict[Any, Any] = {edge: taps[name] for name, edge in edges.items()}
        grad[INPUT] = x
        return Trace(
            float(Err), Div, value, grad, edge_grad, self.name, self.versions(), case.precision.name
        )


@contextlib.contextmanager
def _precision(dtype: np.dtype[Any]) -> Iterator[None]:
    """float64 only exists inside this context; the user's configuration stays as it is."""
    with jax.enable_x64(dtype.itemsize > 4):
        yield


def _place(device: str | None) -> contextlib.AbstractContextManager[Any]:
    """The first device of this platform; raises AdapterError if JAX has none here."""
    if device is None:
        return contextlib.nullcontext()
    try:
        return jax.default_device(jax.devices(device)[0])  # type: ignore[no-any-return]
    except RuntimeError as error:
        raise AdapterError(f"jax cannot use the device {device!r}: {error}") from error


def _array(x: Any) -> Any:
    """A copy; NumPy has no bfloat16 of its own, float32 holds every number of it."""
    return np.array(x, dtype=np.float32 if x.dtype == jnp.bfloat16 else x.dtype)


@functools.lru_cache(maxsize=64)
def _program(networks: tuple[Network, ...], on_cpu: bool, tf32: bool) -> Any:
    """One compiled function for all the networks: (arguments, ...) -> (values, gradients), ..."""

    def everything(arguments: list[Any]) -> list[Any]:
        with jax.default_matmul_precision("tensorfloat32") if tf32 else contextlib.nullcontext():
            pairs = zip(networks, arguments, strict=True)
            return [_traced(n, tf32 and on_cpu, *a) for n, a in pairs]

    # On the CPU, XLA drops the barriers before it fuses: x x - max, fused, is not (x x) - max.
    keep = {"xla_disable_hlo_passes": "cse_barrier_expander"} if on_cpu else None
    return jax.jit(everything, compiler_options=keep)


def _traced(network: Network, emulate_tf32: bool, params: Any, x: Any, d: Any) -> Any:
    call = _calls(network, affine_in_tf32 if emulate_tf32 else _affine)
    divergence = _divergence(network.divergence)

    def err(params: Any, x: Any, taps: Any) -> Any:
        value = {}

        def see(key: str | Edge, y: Any) -> Any:
            # Adding a zero that is differentiated shows the gradient that passes here.
            if key == INPUT:
                return y
            # The barrier keeps XLA from computing the value anew, rounded otherwise, at its uses.
            y = jax.lax.optimization_barrier(y + taps[_tap_name(key)]) if taps else y
            value[_tap_name(key)] = y
            return y

        Y = walk(network, x, lambda step, y: call[step.name](params.get(step.name), *y), see)
        Div = divergence(Y, d)
        Div = jax.lax.optimization_barrier(Div + taps["Div"]) if taps else Div
        Err = risk(network, Div)
        return Err, (Err, Div, {**value, "Div": Div})

    shapes = jax.eval_shape(err, params, x, None)[1][2]
    taps = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
    gradient = jax.value_and_grad(err, argnums=(0, 1, 2), has_aux=True)
    (_, (Err, Div, value)), gradients = gradient(params, x, taps)
    return (Err, Div, {step.name: value[step.name] for step in network.steps}), gradients


def _tap_name(key: str | Edge) -> str:
    return f"{key.source} -> {key.target}" if isinstance(key, Edge) else key


def _arguments(case: Case) -> tuple[Any, Any, Any]:
    labels = isinstance(case.network.divergence, core.CrossEntropy) and case.d.ndim == 1
    d = case.d.astype(np.int32) if labels else case.desired
    dtype = jnp.bfloat16 if case.precision.name == "bfloat16" else case.dtype
    x, d = jnp.array(case.x, dtype), jnp.array(d, None if labels else dtype)
    return _nested(case.network, case.params, dtype), x, d


def _nested(
    network: Network, params: Mapping[str, Any], dtype: Any = None
) -> dict[str, dict[str, Any]]:
    return {
        step.name: {
            NATIVE[p]: jnp.array(params[full], dtype) for p, full in step.parameters.items()
        }
        for step in network.steps
        if step.parameters
    }


def _calls(network: Network, affine: Any = None) -> dict[str, Callable[..., Any]]:
    return {step.name: _function(step.op, affine or _affine) for step in network.steps}


def _function(op: core.Op, affine: Any) -> Any:
    """JAX's own function for an op, as (parameters, *inputs) -> value, along the last axis."""
    if isinstance(op, core.Affine):
        return affine
    function = _parameterless(op)
    return lambda p, *y: function(*y)


def _affine(p: Any, y: Any) -> Any:
    return y @ p["kernel"] + p["bias"] if "bias" in p else y @ p["kernel"]


def _parameterless(op: core.Op) -> Any:
    match op:
        case core.Identity():
            return lambda z: z
        case core.Sigmoid():
            return jax.nn.sigmoid
        case core.Tanh():
            return jnp.tanh
        case core.ReLU(spelling="relu"):
            return jax.nn.relu
        case core.ReLU(spelling="maximum"):
            return lambda z: jnp.maximum(z, 0)
        case core.ReLU(spelling="clamp"):
            return lambda z: jnp.clip(z, 0)
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
            return jax.nn.softmax
        case core.LogSoftmax():
            return jax.nn.log_softmax
        case core.Max():
            return functools.partial(_max, op.sizes)
        case core.Take():
            return functools.partial(_take, op.indices)
        case core.Products():
            j, l = op.sides  # noqa: E741
            return lambda z: _take(j, z) * _take(l, z)
        case core.VectorActivation():
            return native_function(op, "jax")
        case core.Add():
            return lambda *y: functools.reduce(operator.add, y)
        case core.Multiply():
            return operator.mul
        case core.Concatenate():
            return lambda *y: jnp.concatenate(y, axis=-1)
    raise AdapterError(f"the jax adapter has no function for {op.name}")


def _randomized_leaky_relu(op: core.RandomizedLeakyReLU, z: Any) -> Any:
    """JAX has none of its own; composed, the slopes drawn by JAX."""
    if not op.training:
        return jax.nn.leaky_relu(z, (op.l + op.u) / 2)
    slopes = jax.random.uniform(jax.random.key(op.seed), z.shape, z.dtype, op.l, op.u)
    return jnp.where(z > 0, z, slopes * z)


def _max(sizes: tuple[int, ...] | None, z: Any) -> Any:
    parts = jnp.split(z, np.cumsum(sizes)[:-1], axis=-1) if sizes else [z]
    return jnp.concatenate([g.max(axis=-1, keepdims=True) for g in parts], axis=-1)


def _take(indices: tuple[int, ...], z: Any) -> Any:
    return z[..., np.array(indices)]


def _divergence(divergence: core.Divergence) -> Any:
    """Optax's own loss, per instance: (Y, d) -> Div, shape (T,)."""
    match divergence:
        case core.L2():
            return lambda y, d: optax.l2_loss(y, d).sum(-1)
        case core.InnerProduct():
            return lambda y, d: (d * y).sum(-1)
        case core.BinaryCrossEntropy():  # and BinaryKL
            return functools.partial(_binary, divergence)
        case core.CrossEntropy():  # and KL
            return functools.partial(_cross_entropy, divergence)
    raise AdapterError(f"the jax adapter has no loss for {divergence.name}")


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
