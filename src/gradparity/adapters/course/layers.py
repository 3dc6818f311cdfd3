"""Layers with a forward and a backward pass each, as courses write them.

`LayerStack` is called with a case, gives every layer the parameters of its node, runs the layers
and the loss forward and backward, and returns their results.  `parameters` finds the parameters of
a layer and converts their shapes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from typing import Any, NamedTuple

import numpy as np

from ...core.arithmetic.received import check_text, received
from ...core.network.case import Case
from ...core.network.network import Network
from ...core.network.nodes import DIV, ERR, Edge
from ...core.network.quantity import Quantity
from ...core.network.trace import Trace
from ..base import AdapterError, one_line, required, risk
from .backward import Backward
from .parameters import Parameters, Placed

__all__ = ["LayerError", "LayerStack"]


class LayerError(RuntimeError):
    """A layer or a loss raised an exception; the message names it, its node and the exception."""


class LayerStack:
    """A chain of layers and a loss, as an implementation for `check` and similar functions.

    The first layer takes the network's only input, under any name: floats, or integers as for an
    `Embedding`, whose ``backward`` may then return None.  One sample may have any shape.

    Parameters
    ----------
    layers : one for each node, in order.  A layer has ``forward(A)`` and ``backward(dLdA)``, which
        returns the gradient of the layer's input and stores those of its parameters in attributes.
        An elementwise layer may have ``backward()``, ``derivative()`` or ``derivative(Z)`` instead,
        which returns dA/dZ at each element; Z is the layer's input.
        Give a list; an object with ``.layers``, whose own forward and backward are not called; or a
        function (or class) without arguments, or of the case, that makes either anew for every run.
        Anything but a function is copied for every run, so that cases do not affect each other.
    loss : ``forward(A, Y)`` returns Err, or Div of each sample, and ``backward()`` dErr/dA, which
        includes the 1/T.  Give an object, or a class or function without arguments that makes one;
        a pair of functions, of which the second may also take (A, Y), or a 1; or one function of
        (A, Y) that returns both, (Err, dErr/dA).
    weights : the axes of every matrix, "out, in" (Z = A W^T) or "in, out" (Z = A W).  A square
        matrix of the wrong layout is not detected.
    samples : "rows", A is (T, D); or "columns", A is (D, T).  An array with another number of axes
        always has the samples on axis 0.
    targets : the form of Y: "desired", floats (T, L), one-hot where the case has labels; or
        "labels", whole numbers (T,).
    parameters : letter -> the names of a parameter and of its gradient in the layers, ``{"W":
        ("weight", "grad_weight")}``; by default ("W", "dLdW"), ("b", "dLdb") and so on.  A dot
        leads into an attribute, a dict or a list: ``{"W": ("params.0", "grads.0")}``.  A vector may
        be (out,), (1, out) or (out, 1), and keeps the shape that the layer has.
    name : the name of the implementation; by default that of the function that makes the layers.

    Raises
    ------
    TypeError, ValueError : an argument is none of these.
    AdapterError : at a run, if layers and nodes do not match, or a parameter is missing.
    LayerError : at a run, if a layer or the loss raises.

    >>> import gradparity as gp
    >>> from gradparity.core import L2, ReLU
    >>> class Rectifier:
    ...     def forward(self, Z):
    ...         self.Z = Z
    ...         return np.maximum(Z, 0)
    ...     def backward(self, dLdA):
    ...         return dLdA * (self.Z > 0)
    >>> def half_squares(A, Y):
    ...     return ((A - Y) ** 2).sum() / 2 / len(A), (A - Y) / len(A)
    >>> case = gp.Case.random(gp.layered([ReLU()], L2()), width=3)
    >>> mine = gp.LayerStack([Rectifier()], half_squares)
    >>> list(mine(case))
    ['value y1', 'Err', 'grad y1', 'grad x']
    >>> bool(gp.check(case, mine))
    True
    """

    def __init__(
        self,
        layers: Any,
        loss: Any,
        *,
        weights: str = "out, in",
        samples: str = "rows",
        targets: str = "desired",
        parameters: Mapping[str, tuple[str, str]] | None = None,
        name: str | None = None,
    ) -> None:
        _one_of("samples", samples, ("rows", "columns"))
        _one_of("targets", targets, ("desired", "labels"))
        _one_of("weights", weights, ("out, in", "in, out"))
        self.layers = layers if _makes(layers, "layers") else _flat(layers)
        self.loss = loss if _makes(loss, "forward") else _Loss.of(loss)
        self.columns, self.labels = samples == "columns", targets == "labels"
        self.parameters = Parameters(
            {} if parameters is None else parameters, out_in=weights == "out, in"
        )
        makes = getattr(layers, "func", layers)  # a partial's
        named = str(getattr(makes, "__name__", "<lambda>"))
        if name is not None:
            check_text("name", name)
        self.name = name or (type(self).__name__ if named == "<lambda>" else named)
        self.__name__ = self.name  # reports use it as the name, as for a function

    def __repr__(self) -> str:
        return f"LayerStack({self.name!r})"

    def __call__(self, case: Case) -> dict[Quantity, Any]:
        """Every value, Err or Div, and every gradient by name, in the order of computation.

        A result of the wrong shape is the last one: nothing more is computed after it.
        """
        return dict(self._results(case))

    def trace(self, case: Case) -> Trace:
        """All results as a `Trace`, as `selftest` needs.

        If the loss returns Err alone, Div is its result for each sample alone; dErr/dDiv, which
        such a loss does not compute, is 1/T.

        Raises
        ------
        AdapterError : a result is missing or has the wrong shape; `check` says which.
        """
        results, network = self(case), case.network
        names = [step.name for step in network.body]
        wanted = [Quantity.value(network.output)]
        wanted += [Quantity.grad(n) for n in (*case.differentiated, *network.trained)]
        lacking = [q for q in wanted if q not in results]
        if lacking:
            said = f"{self.name!r} has no trace: {lacking[0]} was not reached"
            raise AdapterError(f"{said}; gp.check(case, {self.name}) says why")
        value = {name: results[Quantity.value(name)] for name in names}
        Div = results.get(Quantity(DIV))
        Div = self._one_by_one(case, value[network.output]) if Div is None else Div
        Err = results[Quantity(ERR)] if ERR in results else risk(network, Div)
        grad = {q.name: g for q, g in results.items() if q.is_gradient}
        each = network.scale / (Div.size if network.reduction == "mean" else 1)
        grad[DIV] = np.full(Div.shape, each, case.dtype)
        edge_grad: dict[Edge | tuple[str, str], Any] = {
            edge: grad[edge.source].copy() for edge in network.edges if edge.source in grad
        }
        versions = {"numpy": np.__version__}
        precision = case.precision.name
        return Trace(float(Err), Div, value, grad, edge_grad, self.name, versions, precision)

    def _results(self, case: Case) -> Iterator[tuple[Quantity, Any]]:
        _check_chain(case.network)
        layers, loss = self._made(case)
        placed = _placed(case.network, layers)
        for one in placed:
            self.parameters.set(one, case.params)
        (A,) = map(self._turned, case.inputs.values())
        passes, z = [Backward.of(one) for one in placed], []
        for one, back in zip(placed, passes, strict=True):
            z.append(np.array(A) if back.takes == "z" else None)
            A = _one_array(f"{one}, forward", _called(f"{one}, forward", one.method("forward"), A))
            yield Quantity.value(one.step.name), self._kept(A)
            if np.shape(self._turned(A)) != case.shapes[one.step.name]:
                return
        L, dLdA = loss.run(A, self._turned(self._targets(case)), case.dtype)
        yield _err_or_div(L, case.shapes[DIV])
        yield Quantity.grad(case.network.output), self._kept(dLdA)
        for one, back, own in zip(reversed(placed), passes[::-1], z[::-1], strict=True):
            if np.shape(self._turned(dLdA)) != case.shapes[one.step.name]:
                return
            arguments = {"dLdA": (dLdA,), "z": (own,)}.get(back.takes, ())
            found = _one_array(back.name, _called(back.name, back.function, *arguments))
            dLdA = back.chained(found, dLdA)
            yield from self.parameters.left_by(one)
            source = one.step.taken[0][0]
            if source not in case.inputs or source in case.differentiated:
                yield Quantity.grad(source), self._kept(dLdA)

    def _made(self, case: Case) -> tuple[list[Any], _Loss]:
        """Fresh layers and a fresh loss."""
        try:  # together, since one may hold the other; functions and classes are not copied
            layers, loss = deepcopy((self.layers, self.loss))
        except Exception as error:
            said = f"the layers or the loss cannot be copied ({one_line(error)})"
            raise AdapterError(f"{said}; give functions that make them") from error
        if not isinstance(layers, list):
            layers = _flat(layers(case) if required(layers) == 1 else layers())
        return layers, loss if isinstance(loss, _Loss) else _Loss.of(loss())

    def _targets(self, case: Case) -> Any:
        if not self.labels:
            return case.desired
        if case.d.ndim != 1 or case.d.dtype.kind not in "iu":
            raise AdapterError(
                f"targets='labels', and d of case {received(case.name)} has shape "
                f"{case.d.shape} and dtype "
                f"{case.d.dtype}; give a case with class labels (T,), or targets='desired'"
            )
        return case.d

    def _one_by_one(self, case: Case, Y: Any) -> Any:
        """Div (T,), from a loss that returns Err."""
        _, loss = self._made(case)
        desired, Div = self._targets(case), np.empty(case.T, case.dtype)
        for t in range(case.T):
            one = self._turned(Y[t : t + 1]), self._turned(desired[t : t + 1])
            Err, _ = loss.run(*one, case.dtype)
            Div[t] = _scalar(Err) / case.network.scale
        return Div

    def _turned(self, A: Any) -> Any:
        """Convert between samples in rows, as here, and in the layers' layout."""
        return A.T if self.columns and np.ndim(A) == 2 else A

    def _kept(self, A: Any) -> Any:
        """A copy, because the next layer may write into it; other objects are unchanged."""
        return np.array(self._turned(A)) if isinstance(A, np.ndarray) else A


class _Loss(NamedTuple):
    """A loss in any of the accepted forms; `backward` is None if `forward` returns both."""

    forward: Callable[..., Any]
    backward: Callable[..., Any] | None

    @classmethod
    def of(cls, given: Any) -> _Loss:
        both = getattr(given, "forward", given), getattr(given, "backward", None)
        pair = tuple(given) if isinstance(given, tuple | list) else both
        if len(pair) == 2 and all(map(callable, pair)):
            return cls(*pair)
        if callable(given) and required(given) == 2:
            return cls(given, None)
        raise TypeError(
            f"loss is {received(given)}; give an object with forward(A, Y) and backward(), "
            "a pair of "
            "functions, or a function of (A, Y) that returns (Err, dErr/dA)"
        )

    def run(self, A: Any, Y: Any, dtype: Any) -> tuple[Any, Any]:
        """Err or Div, and dErr/dA."""
        L = _called("the loss, forward", self.forward, A, Y)
        if self.backward is None:
            if not isinstance(L, tuple | list) or len(L) != 2:
                said = f"the loss returned {type(L).__name__}; return (Err, dErr/dA)"
                raise AdapterError(f"{said}, or give a pair of functions")
            return L[0], L[1]
        arguments = {1: (np.dtype(dtype).type(1),), 2: (A, Y)}.get(required(self.backward) or 0, ())
        return L, _called("the loss, backward", self.backward, *arguments)


def _makes(given: Any, attribute: str) -> bool:
    """Whether this is a class or function that makes layers or a loss, not a loss itself."""
    if isinstance(given, type):
        return True
    if not callable(given) or hasattr(given, attribute):
        return False
    return attribute == "layers" or required(given) == 0


def _flat(layers: Any) -> list[Any]:
    """The layers of a list, or of an object with ``.layers``, nested or not."""
    inner = getattr(layers, "layers", layers)
    if isinstance(inner, Mapping):
        inner = inner.values()
    try:
        inner = list(inner)
    except TypeError:
        raise TypeError(
            f"layers is {received(layers)}; give a list of layers, an object with .layers, "
            "or a function "
            "that makes either"
        ) from None
    return [one for each in inner for one in (_flat(each) if hasattr(each, "layers") else [each])]


def _check_chain(network: Network) -> None:
    """Refuse a network that is not a row of layers, with the nodes that are not in a row."""
    before, found = network.inputs[0], []
    for step in network.body:
        taken = (*(name for name, _ in step.taken), *step.given.values())
        if taken != (before,):
            found.append(f"node {step.name!r} takes {', '.join(taken)} and not {before} alone")
        if len(step.values) > 1:
            found.append(f"node {step.name!r} gives {', '.join(step.values)} and not one value")
        before = step.name
    inputs = ", ".join(network.inputs)
    if len(network.inputs) > 1 and not found:
        found.append(f"the inputs are {inputs}, and the first layer takes one")
    elif len(network.inputs) > 1:
        found.insert(0, f"the inputs are {inputs}")
    if found:
        raise AdapterError(
            f"the network is not a row of layers: {'; '.join(found)}; return results by name, from "
            "a function of the case"
        )
    if network.divergence is None:
        raise AdapterError(
            f"the network ends at {', '.join(network.ends)} and has no divergence, which the loss "
            "of the layers computes; return results by name, from a function of the case"
        )
    if network.output != before:
        raise AdapterError(
            f"the output is {received(network.output)} and not the last node, {before!r}"
        )


def _placed(network: Network, layers: list[Any]) -> list[Placed]:
    """Every layer with its node."""
    if len(layers) != len(network.body):
        nodes = ", ".join(f"{step.name} ({step.op.name})" for step in network.body)
        there = ", ".join(type(layer).__name__ for layer in layers)
        raise AdapterError(
            f"{len(layers)} layers ({there or 'none'}) were given for {len(network.body)} nodes, "
            f"{nodes}; give one layer for each node"
        )
    placed = [
        Placed(i, layer, step)
        for i, (layer, step) in enumerate(zip(layers, network.body, strict=True))
    ]
    for i, one in enumerate(placed):
        twin = next((other for other in placed[:i] if other.layer is one.layer), None)
        if twin is not None and one.step.parameters:
            raise AdapterError(
                f"{one} is the layer of node {twin.step.name!r} too; give each its own"
            )
    return placed


def _one_array(who: str, found: Any) -> Any:
    if isinstance(found, tuple | list):
        said = f"{who} returned a {type(found).__name__} of {len(found)}; return one array"
        raise LayerError(f"{said} (gradients of parameters are read from attributes)")
    return found


def _called(what: str, function: Callable[..., Any], *arguments: Any) -> Any:
    """Call a user's function."""
    try:
        return function(*arguments)
    except Exception as error:
        said = f"{what}: {type(error).__name__}: {one_line(error)}"
        # With the frames of the user's code, so that the report can name the line.
        raise LayerError(said).with_traceback(error.__traceback__) from error


def _err_or_div(L: Any, shape: tuple[int, ...]) -> tuple[Quantity, Any]:
    """The result of a loss, under its name."""
    if np.size(L) == 1:
        return Quantity(ERR), _scalar(L)
    if np.shape(L) in (shape, (1, *shape), (*shape, 1)):
        return Quantity(DIV), np.array(L).reshape(shape)
    return Quantity(ERR), L


def _scalar(L: Any) -> Any:
    """A single number of any shape as a scalar."""
    return L.reshape(())[()] if isinstance(L, np.ndarray) and L.size == 1 else L


def _one_of(name: str, value: Any, choices: tuple[str, str]) -> None:
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name} is {received(value)}; give {choices[0]!r} or {choices[1]!r}")
