"""JAX: a pure `apply(params, x)` over a pytree of parameters, and its trace."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ...core.arithmetic.precision import Precision
from ...core.network.case import Case, checked_params
from ...core.network.network import INPUT, Edge, Network
from ...core.network.trace import Trace
from ..base import AdapterError, DeviceError, Trainer, risk, walk
from ..kinks import Kinks
from ..natives import NativeAdapter, Natives, described, label, native_name
from .functions import NATIVE, affine, function, loss
from .precision import affine_in_tf32

__all__ = ["JaxAdapter", "JaxNetwork"]


class JaxNetwork(NamedTuple):
    """The native twin: ``apply(params, x)`` is Y for x of shape (T, D_0) or (D_0,).

    ``divergence(Y, d)`` is Div.  `params` is ``{"z1": {"kernel": ..., "bias": ...}, ...}``.
    """

    apply: Callable[[Any, Any], Any]
    params: dict[str, dict[str, Any]]
    divergence: Callable[[Any, Any], Any]


class JaxAdapter(NativeAdapter):
    """Builds and traces networks in JAX."""

    name = "jax"
    compiles = True
    natives = Natives("jax")

    def vjp(
        self,
        function: Callable[..., Any],
        arguments: Sequence[Any],
        dz: Any,
        *,
        dtype: Any = None,
        compiled: bool = False,
    ) -> tuple[Any, tuple[Any, ...]]:
        """z = function(*arguments) and its gradients against the cotangent dz, by `jax.vjp`.

        Parameters
        ----------
        function : of JAX arrays; gives one array of dz's shape.
        arguments, dz : float arrays, of which the function is given copies.
        dtype : a number format to compute in, such as "bfloat16", if not the arrays' own.
        compiled : under `jax.jit`, where the function sees no numbers.

        Returns
        -------
        z, gradients : NumPy arrays (bfloat16 as float32), one gradient per argument.

        Raises
        ------
        AdapterError : the function returned something else.

        >>> a, b = np.array([2.0]), np.array([3.0])
        >>> JaxAdapter().vjp(lambda a, b: a * b, (a, b), np.array([1.0]))
        (array([6.]), (array([3.]), array([2.])))
        """

        def differentiated(cotangent: Any, *inputs: Any) -> tuple[Any, tuple[Any, ...]]:
            z, pull = jax.vjp(function, *inputs)
            if getattr(z, "shape", None) != cotangent.shape:
                raise AdapterError(
                    f"{label(function)} returned {described(z)}; return one array of shape "
                    f"{cotangent.shape}"
                )
            return z, pull(cotangent.astype(z.dtype))

        z, gradients = _evaluated(differentiated, (dz, *arguments), dtype, compiled)
        return z, tuple(gradients)

    def call(
        self,
        function: Callable[..., Any],
        arguments: Sequence[Any],
        *,
        dtype: Any = None,
        compiled: bool = False,
    ) -> Any:
        """z = function(*arguments) and no derivative of it, as a NumPy array; otherwise as `vjp`.

        >>> JaxAdapter().call(lambda a, b: a * b, (np.array([2.0]), np.array([3.0])))
        array([6.])
        """

        def alone(*inputs: Any) -> Any:
            z = function(*inputs)
            if not hasattr(z, "shape"):
                raise AdapterError(f"{label(function)} returned {described(z)}; return one array")
            return z

        return _evaluated(alone, arguments, dtype, compiled)

    def versions(self) -> dict[str, str]:
        return {"jax": jax.__version__, "optax": optax.__version__}

    def build(self, network: Network, params: Mapping[str, Any]) -> JaxNetwork:
        """A pure function and its parameters; usable under jit, grad and vmap.

        The parameters keep their dtype: float64 ones need ``jax.enable_x64(True)`` around their
        use, so give ``case.astype("float32").params`` where that is not meant.
        """
        params = checked_params(network, params)
        call = _calls(network, self.natives)

        def apply(params: Any, x: Any) -> Any:
            return walk(network, x, lambda step, y: call[step.name](params.get(step.name), *y))

        dtypes = {np.asarray(p).dtype for p in params.values()}
        with _precision(max(dtypes, key=lambda t: t.itemsize, default=np.dtype(np.float32))):
            divergence = loss(network.divergence, self.natives)
            return JaxNetwork(apply, _nested(network, params), divergence)

    def export(self, network: Network, native: Any) -> dict[str, Any]:
        """The parameters by the network's names; `native` is the pytree or a `JaxNetwork`."""
        tree = native.params if isinstance(native, JaxNetwork) else native
        return {
            full: np.array(tree[step.name][native_name(step.op, letter, NATIVE)])
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
                program = _program(networks, self.natives, on_cpu, each.name == "tf32")
                out = program([self._arguments(cases[i]) for i in chosen])
                out = jax.tree.map(_array, out)
            for i, (auxiliary, gradients) in zip(chosen, out, strict=True):
                traces[i] = self._trace(cases[i], auxiliary, gradients)
        return [traces[i] for i in range(len(cases))]

    def kinks(self) -> Kinks:
        """JAX's own spellings of kinks, for `gradparity probe`."""
        from .kinks import JaxKinks

        return JaxKinks()

    def trainer(self, case: Case, eta: float) -> Trainer:
        """Training with a compiled step, `jax.value_and_grad` and plain SGD; see `Trainer`."""
        network, native = case.network, self.build(case.network, case.params)
        with _precision(case.dtype):
            params, x, d = self._arguments(case)

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

    def _arguments(self, case: Case) -> tuple[Any, Any, Any]:
        labels = self.natives.take_labels(case)
        d = case.d.astype(np.int32) if labels else case.desired
        dtype = jnp.bfloat16 if case.precision.name == "bfloat16" else case.dtype
        x, d = jnp.array(case.x, dtype), jnp.array(d, None if labels else dtype)
        return _nested(case.network, case.params, dtype), x, d

    def _trace(self, case: Case, auxiliary: Any, gradients: Any) -> Trace:
        network = case.network
        Err, Div, value = auxiliary
        params, x, taps = gradients
        grad = {
            full: params[step.name][native_name(step.op, letter, NATIVE)]
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


def _evaluated(
    function: Callable[..., Any], arguments: Sequence[Any], dtype: Any, compiled: bool
) -> Any:
    """What a function of JAX arrays gives for NumPy arrays, as NumPy arrays."""
    given = [np.asarray(array) for array in arguments]
    native = None if dtype is None else getattr(jnp, Precision.of(dtype).name)
    with _precision(max((a.dtype for a in given), key=lambda t: t.itemsize)):
        inputs = [jnp.array(array, native) for array in given]
        return jax.tree.map(_array, (jax.jit(function) if compiled else function)(*inputs))


def _place(device: str | None) -> contextlib.AbstractContextManager[Any]:
    """The first device of this platform; raises AdapterError if JAX has none here."""
    if device is None:
        return contextlib.nullcontext()
    try:
        return jax.default_device(jax.devices(device)[0])  # type: ignore[no-any-return]
    except RuntimeError as error:
        raise DeviceError(f"jax cannot use the device {device!r}: {error}") from error


def _array(x: Any) -> Any:
    """A copy; NumPy has no bfloat16 of its own, float32 holds every number of it."""
    return np.array(x, dtype=np.float32 if x.dtype == jnp.bfloat16 else x.dtype)


@functools.lru_cache(maxsize=64)
def _program(networks: tuple[Network, ...], natives: Natives, on_cpu: bool, tf32: bool) -> Any:
    """One compiled function for all the networks: (arguments, ...) -> (values, gradients), ..."""

    def everything(arguments: list[Any]) -> list[Any]:
        with jax.default_matmul_precision("tensorfloat32") if tf32 else contextlib.nullcontext():
            pairs = zip(networks, arguments, strict=True)
            return [_traced(n, natives, tf32 and on_cpu, *a) for n, a in pairs]

    # On the CPU, XLA drops the barriers before it fuses: x x - max, fused, is not (x x) - max.
    keep = {"xla_disable_hlo_passes": "cse_barrier_expander"} if on_cpu else None
    return jax.jit(everything, compiler_options=keep)


def _traced(
    network: Network, natives: Natives, emulate_tf32: bool, params: Any, x: Any, d: Any
) -> Any:
    call = _calls(network, natives, affine_in_tf32 if emulate_tf32 else affine)
    divergence = loss(network.divergence, natives)

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


def _nested(
    network: Network, params: Mapping[str, Any], dtype: Any = None
) -> dict[str, dict[str, Any]]:
    return {
        step.name: {
            native_name(step.op, p, NATIVE): jnp.array(params[full], dtype)
            for p, full in step.parameters.items()
        }
        for step in network.steps
        if step.parameters
    }


def _calls(network: Network, natives: Natives, affine: Any = affine) -> dict[str, Any]:
    natives.check(network)
    return {step.name: function(step, natives, affine) for step in network.steps}
