"""Find the parameters of a layer and their gradients, and convert their shapes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from ...core.arithmetic.arrays import NDArray
from ...core.arithmetic.received import received
from ...core.network.nodes import Step
from ...core.network.quantity import Quantity
from ..base import AdapterError

__all__ = ["Parameters", "Placed"]

MISSING = object()


class Placed(NamedTuple):
    """A layer, its position in the stack, and the node that it computes."""

    place: int
    layer: Any
    step: Step

    def __str__(self) -> str:
        return f"layers[{self.place}] ({type(self.layer).__name__}) at node {self.step.name!r}"

    def method(self, name: str) -> Callable[..., Any]:
        found = getattr(self.layer, name, None)
        if not callable(found):
            raise AdapterError(f"{self} has no method {name!r}; a layer has forward and backward")
        return found  # type: ignore[no-any-return]


class Parameters:
    """The names of parameters and gradients in the layers, and the layout of matrices.

    Parameters
    ----------
    given : letter -> (name of the parameter, name of its gradient), if not W and dLdW.
    out_in : whether matrices are (out, in); here they are (in, out).

    Raises
    ------
    TypeError : the names are not two strings.

    >>> Parameters({"b": ("bias", "grad.bias")}, out_in=True).names("W")
    ('W', 'dLdW')
    """

    def __init__(self, given: Mapping[str, tuple[str, str]], out_in: bool) -> None:
        example = '{"W": ("weight", "grad_weight")}'
        if not isinstance(given, Mapping):
            raise TypeError(f"parameters is {received(given)}; give a dict such as {example}")
        for letter, names in given.items():
            two = isinstance(names, tuple | list) and len(names) == 2
            if not two or not all(isinstance(name, str) and name for name in names):
                said = f"parameters has {received(names)} for {letter!r}"
                raise TypeError(f"{said}; give two names, such as {example}")
        self.given = {letter: tuple(names) for letter, names in given.items()}
        self.out_in = out_in

    def names(self, letter: str) -> tuple[str, ...]:
        """The attribute names of a parameter and of its gradient."""
        return self.given.get(letter, (letter, f"dLd{letter}"))

    def set(self, one: Placed, params: Mapping[str, NDArray]) -> None:
        """Give a layer copies of the parameters of its node.

        Raises
        ------
        AdapterError : the layer lacks a parameter of the node, or has it in another shape.
        """
        known = {self.names(letter)[0] for letter in one.step.parameters}
        for letter in sorted({"W", "b", *self.given} - set(one.step.parameters)):
            name, _ = self.names(letter)
            if name not in known and isinstance(_at(one.layer, name), np.ndarray):
                raise AdapterError(
                    f"{one} has a parameter {name!r}, and {one.step.op!r} has no {letter}; change "
                    "one of them"
                )
        for letter, full in one.step.parameters.items():
            name, gradient = self.names(letter)
            found = _at(one.layer, name)
            if found is None:
                raise AdapterError(
                    f"{one} has {received(name)}, which is None; make it an array of the "
                    "parameter's shape "
                    "before the layer is used"
                )
            if found is MISSING:
                raise AdapterError(
                    f"{one} has no {name!r}, and {one.step.op!r} has a parameter {letter}; say "
                    f"where it is, parameters={{{letter!r}: ({name!r}, {gradient!r})}}"
                )
            _put(one, name, self._laid_out(one, name, np.shape(found), params[full]))

    def left_by(self, one: Placed) -> Iterator[tuple[Quantity, Any]]:
        """The gradients that a layer's backward pass stored, by quantity.

        Raises
        ------
        AdapterError : a gradient is missing.
        """
        for letter, full in one.step.parameters.items():
            name, gradient = self.names(letter)
            found = _at(one.layer, gradient)
            if found is MISSING:
                raise AdapterError(
                    f"{one} has no {gradient!r} after backward, the gradient of {name!r}; say "
                    f"where it is, parameters={{{letter!r}: ({name!r}, {gradient!r})}}"
                )
            shape = one.step.op.parameter_shapes()[letter]
            if len(shape) == 1 and np.shape(found) in _vectors(shape[0]):
                found = np.reshape(found, shape)
            elif len(shape) == 2 and self._turns(one) and np.ndim(found) == 2:
                found = np.transpose(found)
            found = np.array(found) if isinstance(found, np.ndarray) else found
            yield Quantity.grad(full), found

    def _turns(self, one: Placed) -> bool:
        """Whether a layer's matrices are (out, in); a table of an embedding has no such order."""
        return self.out_in and not one.step.op.integers

    def _laid_out(self, one: Placed, name: str, shape: tuple[int, ...], p: NDArray) -> NDArray:
        """A copy of a parameter in the shape of the layer's own."""
        if p.ndim == 1:
            if shape not in _vectors(p.size):
                there = " or ".join(map(str, _vectors(p.size)))
                raise AdapterError(f"{one} has {received(name)} of shape {shape}, expected {there}")
            return np.array(p).reshape(shape)
        p = p.T if self._turns(one) and p.ndim == 2 else p
        if shape != p.shape:
            axes = "out, in" if self.out_in else "in, out"
            other = "in, out" if self.out_in else "out, in"
            turned = f"; give weights={other!r}" if shape == p.shape[::-1] else ""
            raise AdapterError(
                f"{one} has {received(name)} of shape {shape}, expected {p.shape} for "
                f"{one.step.op!r} and "
                f"weights={axes!r}{turned}"
            )
        return np.array(p, order="C")


def _vectors(n: int) -> tuple[tuple[int, ...], ...]:
    """The shapes of a vector of n numbers."""
    return (n,), (1, n), (n, 1)


def _at(thing: Any, path: str) -> Any:
    """The attribute or item at a path such as "W", "params.W" or "params.0"; else MISSING."""
    for part in path.split("."):
        if isinstance(thing, Mapping):
            thing = thing.get(part, MISSING)
        elif isinstance(thing, list | tuple):
            thing = thing[int(part)] if part.isdigit() and int(part) < len(thing) else MISSING
        else:
            thing = getattr(thing, part, MISSING)
    return thing


def _put(one: Placed, path: str, array: NDArray) -> None:
    *holders, last = path.split(".")
    holder = _at(one.layer, ".".join(holders)) if holders else one.layer
    try:
        if isinstance(holder, list | tuple | Mapping):
            holder[int(last) if isinstance(holder, list | tuple) else last] = array  # type: ignore[index]
        else:
            setattr(holder, last, array)
    except (AttributeError, TypeError) as error:
        raise AdapterError(f"{one}: {path!r} cannot be set ({error})") from error
