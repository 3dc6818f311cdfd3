"""User functions that replace an adapter's own: an op's `native_function`, or `with_overrides`.

All are called as ``z = f(*y, *parameters)``: the parameters in the order of
``op.parameter_shapes()`` and in the lecture's layout, where W is (n_in, n_out).  z is a tuple if
the op has several outputs or states.  A function that replaces a loss is called as
``Div = f(y, d)`` with outputs and targets (T, L).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Self, TypeVar

import numpy as np

from ..core import Divergence, VectorActivation
from ..core.arithmetic.received import received
from ..core.formulas.op import Compound, Op, Shape
from ..core.network.case import Case
from ..core.network.network import Network
from ..core.network.nodes import Step
from ..core.network.trace import Trace
from .base import AdapterError, one_line

__all__ = [
    "Names",
    "NativeAdapter",
    "Override",
    "Overrides",
    "described",
    "for_class",
    "label",
    "native_name",
    "no_function",
    "twins_of",
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


def label(function: Any) -> str:
    """The name of a function: "MyReLU" for `MyReLU.apply`."""
    while isinstance(function, partial):
        function = function.func
    owner = getattr(function, "__self__", None)
    if isinstance(owner, type):
        return owner.__name__
    return str(getattr(function, "__name__", type(function).__name__))


def _short(key: Any, function: Any) -> str:
    name, where = label(function), key if isinstance(key, str) else key.__name__
    if isinstance(key, str) or name == "<lambda>":
        return f"{name.strip('<>')} for {where}"
    return name


Found = TypeVar("Found")

#: Op -> the names that a framework has for its parameters, by the lecture's letters.
Names = Mapping[type[Op], Mapping[str, str]]


def for_class(table: Mapping[Any, Found], thing: object) -> Found | None:
    """The entry of a table for the class of `thing`, or else for its nearest base class.

    >>> for_class({int: "whole", object: "any"}, True)
    'whole'
    """
    return next((table[kind] for kind in type(thing).__mro__ if kind in table), None)


def twins_of(
    op: Op, twin: str, known: Mapping[type[Op], Mapping[str, Callable[..., Any]]], framework: str
) -> Mapping[str, Callable[..., Any]]:
    """A framework's functions for an op by name, the default first; empty if it has only one.

    Raises
    ------
    AdapterError : `twin` is not among them.
    """
    found = for_class(known, op) or {}
    if twin and twin not in found:
        names = ", ".join(found) or "one"
        raise AdapterError(f"twin {twin!r} of {op.name}: {framework} has {names}")
    return found


def native_name(op: Op, letter: str, known: Names) -> str:
    """The framework's name of a parameter; its letter where the framework has none."""
    return (for_class(known, op) or {}).get(letter, letter)


@dataclass(frozen=True)
class Override:
    """A user's function at a node; errors name the node and the function.

    `op` and `n`, the number of its inputs, determine what the function must return: one array, or a
    tuple with one array per output and state.  For a divergence `op` is None.
    """

    function: Callable[..., Any]
    who: str
    remedy: str = ""
    op: Op | None = None
    n: int = 1

    def __call__(self, *arguments: Any) -> Any:
        try:
            found = self.function(*arguments)
        except AdapterError:
            raise
        except Exception as error:
            said = f"{self.who} failed ({type(error).__name__}: {one_line(error)})"
            raise AdapterError("; ".join(filter(None, (said, self.remedy)))) from error
        expected = self._expected(arguments)
        if len(expected) == 1:
            values = (found,)
        elif isinstance(found, tuple | list) and len(found) == len(expected):
            values = tuple(found)
        else:
            raise AdapterError(f"{self.who} returned {described(found)}; {_wanted(expected)}")
        dtype = next((y.dtype for y in arguments if _is_floating(y.dtype)), None)
        for value, (name, shape) in zip(values, expected, strict=True):
            place = f" as {name}" if len(expected) > 1 else ""
            plain = isinstance(value, np.ndarray) and not isinstance(arguments[0], np.ndarray)
            if plain or not hasattr(value, "dtype") or tuple(value.shape) != shape:
                raise AdapterError(
                    f"{self.who} returned {described(value)}{place}; {_wanted(expected)}"
                )
            if dtype is not None and value.dtype != dtype:
                raise AdapterError(
                    f"{self.who} returned {value.dtype}{place}, and was given {dtype}; compute in "
                    "the dtype of its inputs"
                )
        return values if len(expected) > 1 else found

    def _expected(self, arguments: Sequence[Any]) -> list[tuple[str, Shape]]:
        """Name and shape of each value to return, in order: outputs, then states."""
        if self.op is None:
            return [("Div", tuple(arguments[0].shape[:-1]))]
        own = tuple(self.op.parameter_shapes().values())
        shapes = self.op.output_shape(*(tuple(y.shape) for y in arguments[: self.n]), *own)
        names = [name or "z" for name in (*self.op.outputs, *self.op.states)]
        shapes = shapes if len(names) > 1 else (shapes,)
        return [(name, tuple(shape)) for name, shape in zip(names, shapes, strict=True)]


def _wanted(expected: Sequence[tuple[str, Shape]]) -> str:
    """Describe the arrays that a function has to return.

    >>> _wanted([("h", (4, 3)), ("c", (4, 3))])
    'return a tuple of 2 arrays, h of shape (4, 3), c of shape (4, 3), in this order, of the ...'
    """
    if len(expected) == 1:
        what = f"one array of shape {expected[0][1]}"
    else:
        each = ", ".join(f"{name} of shape {shape}" for name, shape in expected)
        what = f"a tuple of {len(expected)} arrays, {each}, in this order"
    return f"return {what}, of the framework that it was given"


def _is_floating(dtype: Any) -> bool:
    """Whether a framework's dtype is floating; NumPy calls bfloat16's kind "V".

    >>> _is_floating(np.dtype("float16")), _is_floating(np.dtype("int64"))
    (True, False)
    """
    return bool(getattr(dtype, "is_floating_point", getattr(dtype, "kind", "f") not in "biu"))


def _changed(kind: type, formulas: tuple[str, ...]) -> bool:
    """Whether a user's class defines one of the formulas, so that an adapter's own is wrong."""
    owner = next((k for k in kind.__mro__ if any(f in vars(k) for f in formulas)), kind)
    return not owner.__module__.startswith("gradparity.")


def _remedy(op: Op, framework: str) -> str:
    if not isinstance(op, VectorActivation):
        return f"see {op.name}.native_function({framework!r})"
    given = f"VectorActivation(..., native={{{framework!r}: ...}})"
    return f"give the same function written for it: {given}"


def described(found: Any) -> str:
    """Describe the result of a function for a message.

    >>> described((1.0, None))
    'a tuple of 2 (float, NoneType)'
    """
    if isinstance(found, tuple | list):
        kinds = ", ".join(type(each).__name__ for each in found)
        return f"a {type(found).__name__} of {len(found)} ({kinds})"
    if hasattr(found, "shape"):
        return f"{type(found).__name__} of shape {tuple(found.shape)}"
    return type(found).__name__


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
