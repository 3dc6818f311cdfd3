"""The adapter protocol, the registry of adapters, and helpers that make a trace."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from ..core.arithmetic.arrays import NDArray
from ..core.arithmetic.received import received
from ..core.network.case import Case
from ..core.network.network import Network
from ..core.network.nodes import DIV, Edge, Step
from ..core.network.trace import Trace

__all__ = [
    "Adapter",
    "AdapterError",
    "Bits",
    "DeviceError",
    "InPlaceError",
    "Trainer",
    "available",
    "get_adapter",
    "one_line",
    "own_taps",
    "required",
    "risk",
    "taps",
    "walk",
]

GROUP = "gradparity.adapters"

#: Adapter of this package -> the command that installs its framework.
INSTALL = {"torch": 'pip install "gradparity[torch]"', "jax": 'pip install "gradparity[jax]"'}


class AdapterError(RuntimeError):
    """An adapter is unknown, its framework is missing, or it cannot express an op."""


class InPlaceError(AdapterError):
    """A user's function wrote into an array that is still in use."""


class DeviceError(AdapterError):
    """The device does not exist on this machine, so nothing can be run on it."""


#: Longer messages are cut in the middle, because the reason may be at either end.
LONG = 400


def one_line(error: BaseException) -> str:
    """The message of an error on one line, shortened if it is long.

    >>> one_line(ValueError("two\\n  lines"))
    'two lines'
    """
    try:
        said = " ".join(str(error).split())
    except Exception:  # a user's exception whose __str__ raises
        return "its message cannot be printed"
    return said if len(said) <= LONG else f"{said[: LONG // 2]} ... {said[-LONG // 2 :]}"


def required(function: Callable[..., Any]) -> int | None:
    """The number of positional arguments a function needs; None if unknown or any number."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # built into a framework
        return None
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return None
    by_place = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return sum(p.default is p.empty for p in by_place)


class Bits(NamedTuple):
    """An array of any dtype, also of those that NumPy lacks, such as bfloat16.

    Attributes
    ----------
    array : its elements as unsigned integers.
    dtype : the name of its dtype.
    """

    array: NDArray
    dtype: str


class Trainer(NamedTuple):
    """A framework's own training loop, one update at a time: W <- W - eta dErr/dW.

    ``step(rows)`` updates the parameters on these samples of the case and returns the loss before
    the update; `gradparity.core.network.batch.sample_rows` takes the rows of each input that has a
    batch axis.  ``params()`` returns the current parameters by name, as NumPy arrays.
    """

    step: Callable[[Any], float]
    params: Callable[[], dict[str, Any]]


@runtime_checkable
class Adapter(Protocol):
    """The interface of an adapter.  Only `run`, `name` and `versions` are needed to check a case.

    Optional:

    * ``trainer(case, eta)``, for `gradparity train`: a `Trainer` that starts from the case's
      parameters and trains on its samples;
    * ``kinks()``, for `gradparity probe`: see `gradparity.adapters.kinks.Kinks`;
    * ``with_overrides(overrides, name=None)``: a new adapter of the same framework that uses these
      functions in place of its own, by name of a node or class of op; see `NativeAdapter`;
    * ``vjp(function, arguments, dz)``, for a single function: (z, gradients), where the framework
      differentiates ``z = function(*arguments)`` against the cotangent dz.  All are NumPy arrays;
      gradients is a tuple with one array per argument, zeros where z does not depend on it.
      Further options, if supported: ``frozen=`` (indices of arguments that require no gradient)
      and ``compiled=``;
    * ``call(function, arguments)``: z alone, without differentiation; ``compiled=`` if supported;
    * ``compiles = True`` if `run_all` compiles, which takes long: used to estimate the time left.

    An adapter first asks an op for a function (`Op.native_function`, with the adapter's framework),
    and only then uses a layer of its own.
    """

    name: str

    def versions(self) -> dict[str, str]:
        """Names and versions of the framework and of other packages that affect results."""
        ...

    def run(self, case: Case, *, dtype: Any = None, device: str | None = None) -> Trace:
        """Compute the case with the framework, in `dtype` (the case's own by default)."""
        ...

    def run_all(
        self, cases: Sequence[Case], *, dtype: Any = None, device: str | None = None
    ) -> list[Trace]:
        """The traces of many cases in order, compiled together where that is cheaper."""
        ...

    def build(self, network: Network, params: Mapping[str, Any]) -> Any:
        """The native network a user would migrate to, with exactly these parameters.

        An adapter with several functions for one op accepts ``twin=`` too, as `Case.twin`.
        """
        ...

    def export(self, network: Network, native: Any) -> dict[str, Any]:
        """The parameters of a native network, as NumPy arrays under the network's names."""
        ...


def walk(
    network: Network,
    x: Any,
    call: Callable[[Step, list[Any], dict[str, Any]], Any],
    see: Callable[[str | Edge, Any], Any] = lambda key, value: value,
    parameters: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Run the forward pass of a native network in order; adapters supply the functions.

    Parameters
    ----------
    x : the input, or all inputs by name.
    call : ``call(step, y, given)`` evaluates one node natively: y is a list of its inputs, given a
        dict of shared parameters by letter.  It returns the value, or a tuple of outputs and
        states.
    see : ``see(key, value)`` is called with every value by name and every use of it by edge, and
        returns the value to pass on: unchanged in use, with a tap added when tracing.
    parameters : parameters that nodes share, by name.

    Returns
    -------
    dict of every value by name; ``"Div"`` is the input of the divergence.
    """
    inputs = x if isinstance(x, Mapping) else {network.inputs[0]: x}
    value = {name: see(name, inputs[name]) for name in network.inputs}
    value |= {name: see(name, p) for name, p in (parameters or {}).items()}

    def used(name: str, edge: Edge | None) -> Any:
        return value[name] if edge is None else see(edge, value[name])

    for step in network.body:
        y = [used(name, edge) for name, edge in step.taken]
        by_letter = zip(step.op.parameter_shapes(), step.edges[len(y) :], strict=False)
        given = {k: used(step.given[k], edge) for k, edge in by_letter if k in step.given}
        found = step.named(call(step, y, given))
        value |= {name: see(name, found[name]) for name in step.outputs}
        value |= {name: found[name] for name in step.states}
    if network.divergence is not None:
        value[DIV] = see(Edge(network.output, DIV), value[network.output])
    return value


def taps(case: Case) -> dict[str | Edge, Any]:
    """Zeros to add to every value, to every use of one, and to Div in `walk`.

    The derivative by such a zero is the gradient at that point.

    Returns
    -------
    name of a value, edge, or "Div" -> zeros of its shape, in the dtype of the case.

    >>> from gradparity.core import L2, ReLU, layered
    >>> found = taps(Case.random(layered([ReLU()], L2()), batch=4, width=3))
    >>> {tuple(key) if isinstance(key, Edge) else key: zero.shape for key, zero in found.items()}
    {('x', 'y1'): (4, 3), ('y1', 'Div'): (4, 3), 'y1': (4, 3), 'Div': (4,)}
    """
    network, shapes = case.network, {**case.shapes, **case.network.parameter_shapes}
    integers = {name for name, a in case.inputs.items() if a.dtype.kind != "f"}
    source: dict[str | Edge, str] = {
        edge: edge.source for edge in network.edges if edge.source not in integers
    }
    source |= {name: name for step in network.body for name in step.outputs}
    if network.divergence is not None:
        source[DIV] = DIV
    return {key: np.zeros(shapes[y], case.dtype) for key, y in source.items()}


def own_taps(network: Network, key: str | Edge) -> bool:
    """Whether `taps` has a zero for this key of `walk`.

    It has none for inputs, nor for a parameter that is used once.
    """
    if isinstance(key, Edge):
        return network.has_own_uses(key.source)
    return key not in network.inputs and key not in network.parameters


def risk(network: Network, Div: Any, weights: Any = None) -> Any:
    """Err of a framework's Div, by its own mean or sum; weights are already part of Div."""
    if network.reduction == "sum":
        Err = Div.sum()
    else:
        Err = Div.mean() if weights is None else Div.sum() / weights.sum()
    return Err if network.scale == 1.0 else network.scale * Err


@cache
def _entry_points() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


def available() -> list[str]:
    """Names of the registered adapters, installed frameworks or not, in alphabetical order.

    >>> available()[-2:]
    ['jax', 'torch']
    """
    return sorted(_entry_points())


def get_adapter(name: str) -> Adapter:
    """The adapter registered under this name.

    Raises
    ------
    AdapterError : the adapter is unknown, or its framework is missing; the message says what to do.
    """
    if not isinstance(name, str):
        raise AdapterError(f"no adapter is called {received(name)}; valid names: {available()}")
    return loaded_adapter(name)


@cache
def loaded_adapter(name: str) -> Adapter:
    """As `get_adapter`; an adapter is loaded once."""
    points = _entry_points()
    if name not in points:
        raise AdapterError(f"no adapter is called {received(name)}; registered are {available()}")
    try:
        found = points[name].load()()
    except (Exception, SystemExit) as error:  # third-party code may do anything when it is loaded
        remedy = INSTALL.get(name, f"install what the package of {points[name].value!r} needs")
        raise AdapterError(
            f"the adapter {name!r} is not usable ({_in_words(error)}); {remedy}"
        ) from error
    if not isinstance(found, Adapter):
        missing = [m for m in ("name", "versions", "run", "run_all", "build", "export")
                   if not hasattr(found, m)]  # fmt: skip
        raise AdapterError(f"the adapter {name!r} ({points[name].value}) lacks {missing}")
    return found


def _in_words(error: BaseException) -> str:
    return f"it exits with {error.code!r}" if isinstance(error, SystemExit) else str(error)


def installed() -> dict[str, Adapter]:
    """Every adapter that can be used; a broken one is left out with a warning."""
    found = {}
    for name in available():
        try:
            found[name] = get_adapter(name)
        except AdapterError as error:
            # No warning for a framework of this package that is merely not installed.
            if name not in INSTALL or not isinstance(error.__cause__, ModuleNotFoundError):
                warnings.warn(str(error), stacklevel=2)
    return found
