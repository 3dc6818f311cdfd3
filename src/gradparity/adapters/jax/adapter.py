"""JAX: a pure `apply(params, x)` over a pytree of parameters, and its trace."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ...core.arithmetic.precision import Precision
from ...core.network.batch import sample_rows
from ...core.network.case import Case
from ...core.network.given import checked_params
from ...core.network.network import Network
from ...core.network.trace import Trace
from ..base import AdapterError, DeviceError, Trainer, risk, walk
from ..by_class import native_name
from ..finds import Finds
from ..kinks import Kinks
from ..overrides import NativeAdapter, Overrides
from ..smooth import Smooth
from ..structures import Structures
from ..user_function import described, label
from .functions import NATIVE, loss
from .libraries import library_versions
from .program import (
    SHARED,
    called_with,
    calls_of,
    compiled_program,
    flat_parameters,
    nested,
    tap_name,
    weighted,
)

__all__ = [
    "JaxAdapter",
    "JaxNetwork",
]


class JaxNetwork(NamedTuple):
    """The native twin: ``apply(params, x)`` is Y for x of shape (T, D_0) or (D_0,).

    ``divergence(Y, d)`` is Div.  `params` is ``{"z1": {"kernel": ..., "bias": ...}, ...}``.
    """

    apply: Callable[[Any, Any], Any]
    params: dict[str, dict[str, Any]]
    divergence: Callable[[Any, Any], Any] | None


class JaxAdapter(NativeAdapter):
    """Builds and traces networks in JAX."""

    name = "jax"
    compiles = True
    overrides = Overrides("jax")

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
        function : takes JAX arrays and returns one array of dz's shape, or a tuple of several.
        arguments, dz : arrays, of which the function receives copies; dz is a tuple where the
            function returns several arrays.
        dtype : number format to compute in, such as "bfloat16"; by default the arrays' own.
        compiled : whether to use `jax.jit`, under which the function sees no numbers.

        Returns
        -------
        z, gradients : NumPy arrays (bfloat16 as float32), z a tuple where dz is one; one gradient
            per argument, None for integers.

        Raises
        ------
        AdapterError : the function did not return one array of dz's shape, or as many as dz.

        >>> a, b = np.array([2.0]), np.array([3.0])
        >>> JaxAdapter().vjp(lambda a, b: a * b, (a, b), np.array([1.0]))
        (array([6.]), (array([3.]), array([2.])))
        """

        several = isinstance(dz, tuple | list)
        cotangents = list(dz) if several else [dz]
        n = len(cotangents)

        def differentiated(*given: Any) -> tuple[Any, Any]:
            cotangents, inputs = given[:n], given[n:]
            z, pull = jax.vjp(function, *inputs)
            values, shapes = list(z) if several else [z], [c.shape for c in cotangents]
            if [getattr(value, "shape", None) for value in values] != shapes:
                wanted = f"each of {', '.join(map(str, shapes))}" if several else shapes[0]
                raise AdapterError(
                    f"{label(function)} returned {described(z)}; return one array of shape {wanted}"
                )
            pairs = zip(values, cotangents, strict=True)
            cast = tuple(c.astype(value.dtype) for value, c in pairs)
            gradients = pull(type(z)(cast) if several else cast[0])
            # By an integer JAX gives zeros of a type that holds no number.
            return z, [None if g.dtype == jax.dtypes.float0 else g for g in gradients]

        z, gradients = _evaluated(differentiated, (*cotangents, *arguments), dtype, compiled)
        return z, tuple(gradients)

    def call(
        self,
        function: Callable[..., Any],
        arguments: Sequence[Any],
        *,
        dtype: Any = None,
        compiled: bool = False,
    ) -> Any:
        """z = function(*arguments) without its derivative, as a NumPy array; otherwise as `vjp`.

        >>> JaxAdapter().call(lambda a, b: a * b, (np.array([2.0]), np.array([3.0])))
        array([6.])
        """

        def alone(*inputs: Any) -> Any:
            z = function(*inputs)
            several = isinstance(z, tuple | list)
            if not all(hasattr(each, "shape") for each in (z if several else [z])):
                raise AdapterError(
                    f"{label(function)} returned {described(z)}; return one array, or a tuple of "
                    "several for an op of several outputs"
                )
            return z

        return _evaluated(alone, arguments, dtype, compiled)

    def versions(self) -> dict[str, str]:
        return {"jax": jax.__version__, "optax": optax.__version__}

    def libraries(self) -> dict[str, str]:
        """Libraries on JAX whose functions are measured, with their versions; "" if missing."""
        return library_versions()

    def build(
        self, network: Network, params: Mapping[str, Any], *, twin: Mapping[str, str] | None = None
    ) -> JaxNetwork:
        """A pure function and its parameters; usable under jit, grad and vmap.

        The parameters keep their dtype.  Use float64 parameters under ``jax.enable_x64(True)``, or
        give ``case.astype("float32").params``.  `twin` is as in `Case`.
        """
        params = checked_params(network, params)
        call = calls_of(network, self.overrides, twin or {})

        def apply(params: Any, x: Any) -> Any:
            value = walk(network, x, called_with(call, params), parameters=params.get(SHARED))
            return value[network.output]

        dtypes = {np.asarray(p).dtype for p in params.values()}
        with _precision(max(dtypes, key=lambda t: t.itemsize, default=np.dtype(np.float32))):
            own = network.divergence
            divergence = None if own is None else loss(own, self.overrides)
            return JaxNetwork(apply, nested(network, params), divergence)

    def export(self, network: Network, native: Any) -> dict[str, Any]:
        """The parameters by the network's names; `native` is the pytree or a `JaxNetwork`."""
        tree = native.params if isinstance(native, JaxNetwork) else native
        found = flat_parameters(network, tree)
        return {name: np.array(found[name]) for name in network.parameter_shapes}

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
                networks = tuple((cases[i].network, _key(cases[i].twin)) for i in chosen)
                program = compiled_program(networks, self.overrides, on_cpu, each.name == "tf32")
                out = program([self._arguments(cases[i]) for i in chosen])
                out = jax.tree.map(_array, out)
            for i, (auxiliary, gradients) in zip(chosen, out, strict=True):
                traces[i] = self._trace(cases[i], auxiliary, gradients)
        return [traces[i] for i in range(len(cases))]

    def kinks(self) -> Kinks:
        """JAX's functions with kinks, for `gradparity probe`."""
        from .kinks import JaxKinks

        return JaxKinks()

    def smooth(self) -> Smooth:
        """JAX's functions of one number, for `gradparity probe --smooth`."""
        from .smooth import JaxSmooth

        return JaxSmooth()

    def structures(self) -> Structures:
        """JAX compiled and not, for `gradparity probe --structures`."""
        from .structures import JaxStructures, Parts

        return JaxStructures(self, Parts(_array, flat_parameters, _precision, weighted))

    def finds(self) -> Finds:
        """Python that shows wrong results of JAX, for `gradparity finds`."""
        from .finds import JaxFinds

        return JaxFinds()

    def trainer(self, case: Case, eta: float) -> Trainer:
        """Training with a compiled step, `jax.value_and_grad` and plain SGD; see `Trainer`."""
        network, native = case.network, self.build(case.network, case.params, twin=case.twin)
        with _precision(case.dtype):
            params, free, fixed, d = self._arguments(case)
        # Rows are taken in NumPy: outside of the compiled step, JAX takes ten times as long.
        taken = sample_rows(case, {n: np.asarray(a) for n, a in {**free, **fixed}.items()})
        d = np.asarray(d)

        def err(params: Any, inputs: Any, d: Any) -> Any:
            assert native.divergence is not None
            Div = native.divergence(native.apply(params, inputs), d)
            return risk(network, *weighted(network, Div, inputs))

        def update(params: Any, inputs: Any, d: Any) -> Any:
            Err, gradient = jax.value_and_grad(err)(params, inputs, d)
            moved = jax.tree.map(lambda p, g: p - eta * g, params, gradient)
            for step in network.body:  # running statistics are not trained
                for letter in step.op.buffers:
                    own = letter in step.own
                    where = step.name if own else SHARED
                    name = native_name(step.op, letter, NATIVE) if own else step.given[letter]
                    if name in moved.get(where, ()):  # not a value of another node
                        moved[where][name] = params[where][name]
            return Err, moved

        compiled = jax.jit(update)

        def step(rows: Any) -> float:
            nonlocal params
            with _precision(case.dtype):
                Err, params = compiled(params, taken(rows), d[rows])
            return float(Err)

        return Trainer(step, lambda: self.export(network, params))

    def _arguments(self, case: Case) -> tuple[Any, Any, Any, Any]:
        """Parameters, inputs that are differentiated, other inputs, and targets."""
        dtype = jnp.bfloat16 if case.precision.name == "bfloat16" else case.dtype

        def array(a: Any) -> Any:
            return jnp.array(a, dtype if a.dtype.kind == "f" else None)

        free = {name: array(case.inputs[name]) for name in case.differentiated}
        rest = {name: array(a) for name, a in case.inputs.items() if name not in free}
        d = None
        if case.network.divergence is not None:
            labels = self.overrides.take_labels(case)
            d = jnp.array(case.d.astype(np.int32)) if labels else array(case.desired)
        return nested(case.network, case.params, dtype), free, rest, d

    def _trace(self, case: Case, auxiliary: Any, gradients: Any) -> Trace:
        network = case.network
        risk_of, Div, value = auxiliary
        params, inputs, taps = gradients
        flat = flat_parameters(network, params)
        edges = {tap_name(edge): edge for edge in network.edges}
        grad = {name: flat[name] for name in network.trained}
        grad |= {name: g for name, g in taps.items() if name not in edges}
        grad |= inputs
        edge_grad: dict[Any, Any] = {edges[name]: g for name, g in taps.items() if name in edges}
        Err: Any = None if Div is None else float(risk_of)
        return Trace(
            Err, Div, value, grad, edge_grad, self.name, self.versions(), case.precision.name
        )


@contextlib.contextmanager
def _precision(dtype: np.dtype[Any]) -> Iterator[None]:
    """Enable float64 inside this context if needed; the user's configuration is restored."""
    with jax.enable_x64(dtype.itemsize > 4):
        yield


def _evaluated(
    function: Callable[..., Any], arguments: Sequence[Any], dtype: Any, compiled: bool
) -> Any:
    """Call a function of JAX arrays with NumPy arrays; return NumPy arrays."""
    given = [np.asarray(array) for array in arguments]
    native = None if dtype is None else getattr(jnp, Precision.of(dtype).name)
    floats = (a.dtype for a in given if a.dtype.kind == "f")
    with _precision(max(floats, key=lambda t: t.itemsize)):
        inputs = [jnp.array(a, native if a.dtype.kind == "f" else None) for a in given]
        return jax.tree.map(_array, (jax.jit(function) if compiled else function)(*inputs))


def _place(device: str | None) -> contextlib.AbstractContextManager[Any]:
    """Use the first device of this platform; raise DeviceError if JAX finds none."""
    if device is None:
        return contextlib.nullcontext()
    try:
        return jax.default_device(jax.devices(device)[0])  # type: ignore[no-any-return]
    except RuntimeError as error:
        raise DeviceError(f"jax cannot use the device {device!r}: {error}") from error


def _array(x: Any) -> Any:
    """A NumPy copy; bfloat16, which NumPy lacks, becomes float32 exactly."""
    return np.array(x, dtype=np.float32 if x.dtype == jnp.bfloat16 else x.dtype)


def _key(twin: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(twin.items()))
