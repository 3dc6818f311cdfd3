"""User functions that replace an adapter's own: an op's `native_function`, or `with_overrides`.

All are called as ``z = f(*y, *parameters)``: the parameters in the order of
``op.parameter_shapes()`` and in the lecture's layout, where W is (n_in, n_out).  z is a tuple if
the op has several outputs or states.  A function that replaces a loss is called as
``Div = f(y, d)`` with outputs and targets (T, L).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Self

from ..core import Divergence, VectorActivation
from ..core.arithmetic.received import received
from ..core.formulas.op import Compound, Op
from ..core.network.case import Case
from ..core.network.network import Network
from ..core.network.nodes import Step
from ..core.network.trace import Trace
from .base import AdapterError
from .by_class import for_class
from .user_function import Override, label

__all__ = [
    "NativeAdapter",
    "Overrides",
    "no_function",
]

_GIVE = "give a dict such as {ReLU: MyReLU.apply}"
#: The key of the divergence, as in the edges of a trace.
DIV = "Div"


class Overrides:
    """User functions that override an adapter's own.

    Compared by identity, so compiled programs are never shared.

    Parameters
    ----------
    framework : its name, as `Op.native_function` is given it.
    given : name of a node or class of op -> function; "Div" or a class of divergence for the loss.
        A name takes precedence over a class, and a class over its base classes.

    Raises
    ------
    TypeError : another kind of key, or a value that is not a function.

    >>> from gradparity.core import *
    >>> overrides = Overrides("mine", {ReLU: abs})
    >>> [overrides.at(step) for step in layered([Affine(1, 1)], L2()).body]
    [None]
    >>> [overrides.at(step).function for step in layered([ReLU()], L2()).body]
    [<built-in function abs>]
    """

    def __init__(self, framework: str, given: Mapping[Any, Any] | None = None) -> None:
        given = {} if given is None else given
        if not isinstance(given, Mapping):
            raise TypeError(f"overrides is {received(given)}; {_GIVE}")
        for key, function in given.items():
            _check_key(key)
            _check_function(key, function)
        self.framework = framework
        self.given: dict[str | type, Callable[..., Any]] = dict(given)

    def with_(self, given: Mapping[Any, Any]) -> Overrides:
        """A copy with further overrides, which take precedence."""
        if given is None:
            raise TypeError(f"overrides is None; {_GIVE}")
        return Overrides(self.framework, {**self.given, **Overrides(self.framework, given).given})

    def at(self, step: Step) -> Override | None:
        """The function to use at a node in place of the adapter's own, or None.

        Raises
        ------
        AdapterError : a user's op changes the formula of the core's op it is derived from, and has
            no function for this framework.
        """
        op, function = step.op, self._given(step.name, type(step.op))
        if function is not None:
            who = f"node {step.name!r}: {label(function)}"
            return Override(function, who, op=op, n=len(step.taken))
        function = op.native_function(self.framework)
        if function is not None:
            _check_function(f"{op.name}.native_function({self.framework!r})", function)
            who = f"node {step.name!r}: the {self.framework} function of {op.name}"
            return Override(function, who, _remedy(op, self.framework), op, len(step.taken))
        if _changed(type(op), ("forward", "f")):
            raise no_function(op, self.framework)
        return None

    def of(self, divergence: Divergence) -> Override | None:
        """The function ``Div = f(y, d)`` to use for the divergence, d being (T, L), or None."""
        function = self._given(DIV, type(divergence))
        if function is None:
            function = divergence.native_function(self.framework)
        if function is not None:
            return Override(function, f"the {self.framework} function of {divergence.name}")
        if _changed(type(divergence), ("forward",)):
            raise no_function(divergence, self.framework)
        return None

    def loss(
        self, divergence: Divergence, own: Mapping[type[Divergence], Callable[..., Any]]
    ) -> Callable[[Any, Any], Any]:
        """The function (Y, d) -> Div: an override, or that of `own`, (divergence, Y, d) -> Div.

        Raises
        ------
        AdapterError : neither has one.
        """
        override = self.of(divergence)
        if override is not None:
            return override
        found = for_class(own, divergence)
        if found is None:
            raise no_function(divergence, self.framework)
        return partial(found, divergence)

    def take_labels(self, case: Case) -> bool:
        """Whether the framework's own loss is called with class labels as they are.

        A user's loss is always called with targets (T, L).
        """
        divergence = case.network.divergence
        if divergence is None or not divergence.classes:
            return False
        return case.d.ndim < case.desired.ndim and self.of(divergence) is None

    def _given(self, name: str, kind: type) -> Callable[..., Any] | None:
        keys = (name, *kind.__mro__)
        return next((self.given[key] for key in keys if key in self.given), None)

    @property
    def names(self) -> list[str]:
        """The names of nodes among the keys."""
        return [key for key in self.given if isinstance(key, str) and key != DIV]

    def check(self, network: Network) -> None:
        """Raise AdapterError for overrides that the network does not use, and so would not test."""
        nodes = [step.name for step in network.body]
        unknown = [name for name in self.names if name not in nodes]
        if unknown:
            raise AdapterError(
                f"unknown node {unknown[0]!r} in overrides; valid names: {nodes} and 'Div'"
            )
        divergence = network.divergence
        used = any(self.at(step) for step in network.body)
        used = used or (divergence is not None and self.of(divergence) is not None)
        if self.given and not used:
            ops = sorted({step.op.name for step in network.body})
            given = ", ".join(getattr(key, "__name__", str(key)) for key in self.given)
            raise AdapterError(
                f"{given} replaces nothing here: the network has {', '.join(ops)}, and "
                f"{divergence.name if divergence else 'none'} as its divergence"
            )

    def called(self, name: str) -> str:
        """The name of an adapter with these overrides, such as "torch with MyReLU"."""
        said = dict.fromkeys(_short(key, function) for key, function in self.given.items())
        return f"{name} with {', '.join(said)}" if said else name


class NativeAdapter:
    """Base class of the adapters of frameworks: `with_overrides`, and `run_all` one by one.

    A subclass sets `name` and `overrides`, and defines the rest of `Adapter`.  Its `build` calls
    ``self.overrides.check(network)``, and uses ``self.overrides.at(step)`` and
    ``self.overrides.of(divergence)`` before its own functions.
    """

    name: str
    overrides: Overrides

    def __init__(self, overrides: Overrides | None = None, name: str | None = None) -> None:
        self.overrides = type(self).overrides if overrides is None else overrides
        self.name = type(self).name if name is None else name

    def with_overrides(self, overrides: Mapping[Any, Any], name: str | None = None) -> Self:
        """A new adapter of the same framework that uses these functions in place of its own.

        Parameters
        ----------
        overrides : name of a node or class of op -> ``f(*y, *parameters)`` on the framework's
            values, such as a function with a custom derivative; "Div" or a class of divergence ->
            ``f(y, d)``.  W is (n_in, n_out).  For an op of several outputs, such as `LSTMCell`, the
            function returns a tuple of them in order, states such as running statistics last.
        name : of the new adapter, in reports.

        Raises
        ------
        TypeError : another kind of key, or a value that cannot be called.

        >>> from gradparity.core import ReLU
        >>> class MineAdapter(NativeAdapter):
        ...     name, overrides = "mine", Overrides("mine")
        >>> MineAdapter().with_overrides({ReLU: abs}).name
        'mine with abs'
        """
        merged = self.overrides.with_(overrides)
        return type(self)(merged, merged.called(type(self).name) if name is None else name)

    def run(self, case: Case, *, dtype: Any = None, device: str | None = None) -> Trace:
        """See `Adapter.run`."""
        raise NotImplementedError

    def run_all(
        self, cases: Sequence[Case], *, dtype: Any = None, device: str | None = None
    ) -> list[Trace]:
        """The traces in order."""
        return [self.run(case, dtype=dtype, device=device) for case in cases]


def _check_key(key: Any) -> None:
    kind = key if isinstance(key, type) else type(None)
    if issubclass(kind, Compound):
        raise TypeError(
            f"{kind.__name__} is expanded into ops of its own; name one of those, or a node"
        )
    if not isinstance(key, str) and not issubclass(kind, Op | Divergence):
        raise TypeError(
            f"cannot replace {key!r}; give the name of a node such as 'y1', a class of op such as "
            "ReLU, 'Div', or a class of divergence"
        )


def _check_function(key: Any, function: Any) -> None:
    where = key if isinstance(key, str) else key.__name__
    if isinstance(function, type):
        kind = function.__name__
        remedy = f"{kind}.apply" if hasattr(function, "setup_context") else f"an instance, {kind}()"
        raise TypeError(f"{where}: {kind} is a class; give {remedy}")
    if not callable(function):
        raise TypeError(
            f"{where}: {function!r} cannot be called; give a function z = f(*y, *parameters)"
        )


def _short(key: Any, function: Any) -> str:
    name, where = label(function), key if isinstance(key, str) else key.__name__
    if isinstance(key, str) or name == "<lambda>":
        return f"{name.strip('<>')} for {where}"
    return name


def _changed(kind: type, formulas: tuple[str, ...]) -> bool:
    """Whether a user's class defines one of the formulas, so that an adapter's own is wrong."""
    owner = next((k for k in kind.__mro__ if any(f in vars(k) for f in formulas)), kind)
    return not owner.__module__.startswith("gradparity.")


def _remedy(op: Op, framework: str) -> str:
    if not isinstance(op, VectorActivation):
        return f"see {op.name}.native_function({framework!r})"
    given = f"VectorActivation(..., native={{{framework!r}: ...}})"
    return f"give the same function written for it: {given}"


def no_function(thing: Op | Divergence, framework: str) -> AdapterError:
    """The error for an op or a divergence that an adapter does not know, with what to add.

    >>> from gradparity.core import ReLU
    >>> raise no_function(ReLU(), "mine")
    Traceback (most recent call last):
    ...
    gradparity.adapters.base.AdapterError: the mine adapter has no function for ReLU; ...
    """
    is_loss = isinstance(thing, Divergence)
    what, takes = ("loss", "Div = f(y, d)") if is_loss else ("function", "z = f(*y, *parameters)")
    return AdapterError(
        f"the {framework} adapter has no {what} for {thing.name}; give it one: a method "
        f"native_function(self, framework) of {thing.name} that returns, for {framework!r}, "
        f"{takes} on {framework}'s values; or adapter.with_overrides({{{thing.name}: f}})"
    )
