"""Checks of the arguments of check_op, and the name of a user's op."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

from ...core import Compound, Divergence, Op
from ...core.arithmetic.received import received
from ...core.formulas.op import Shape
from .setting import names_of_inputs, network_of, shapes_of_z

__all__ = [
    "BATCHES",
    "check_batches",
    "check_callable",
    "check_fixed",
    "check_reference",
    "check_signature",
    "name_of",
]


def check_reference(reference: Any) -> None:
    """Raise TypeError for a reference that is not one op."""
    if isinstance(reference, Compound):
        parts = " and ".join(f"reference={op!r}" for _, op in reference.chain())
        raise TypeError(
            f"{reference!r} stands for a chain of ops, each with inner kinks of its own; "
            f"check them one by one: {parts}"
        )
    if inspect.isclass(reference) and issubclass(reference, Op):
        raise TypeError(f"reference is the class {reference.__name__}; give an instance of it")
    if isinstance(reference, Divergence):
        raise TypeError(
            f"reference is {received(reference)}, a divergence; give an op such as ReLU().  Check "
            "a loss of your own in a network, by gp.check, as docs/how-to/own-network.md shows"
        )
    if not isinstance(reference, Op):
        raise TypeError(
            f"reference is {received(reference)}; give an op such as ReLU() or Affine(4, 3)"
        )


#: Sizes of batches that the checks draw.
BATCHES = (2, 5, 7, 9)


def check_batches(reference: Op, shapes: Sequence[Shape]) -> None:
    """Raise ValueError for an op that takes only one size of batch."""
    network = network_of(reference, len(shapes))
    for T in BATCHES:
        try:
            shapes_of_z(network, [(T, *shape) for shape in shapes])
        except ValueError as error:
            raise ValueError(
                f"check_op draws batches of several sizes, and {reference!r} does not take "
                f"{T} samples: {error}; check it in a network, by gp.check "
                "(docs/how-to/own-network.md)"
            ) from None


def check_fixed(fixed: Any, n: int) -> None:
    """Raise TypeError or ValueError unless these are names among those of n inputs."""
    names = names_of_inputs(n)
    valid = ", ".join(map(repr, names))
    if isinstance(fixed, str) or not isinstance(fixed, Sequence):
        raise TypeError(
            f"fixed is {received(fixed)}; give a list of names, such as [{names[-1]!r}]"
        )
    unknown = [name for name in fixed if name not in names]
    if unknown:
        raise ValueError(f"fixed: {unknown[0]!r} is not an input; valid names: {valid}")


def check_callable(what: str, given: Any) -> None:
    """Raise TypeError for what is not a function."""
    if callable(given):
        return
    if hasattr(given, "run"):
        raise TypeError(
            f"{what} is the adapter {getattr(given, 'name', given)!r}, which cannot differentiate "
            "a function (it has no vjp); give a backward function"
        )
    other = ', or "torch", "jax" or an adapter' if what == "backward" else ""
    raise TypeError(f"{what} is {received(given)}; give a function{other}")


def check_signature(
    what: str, function: Callable[..., Any], given: list[str], letters: list[str]
) -> None:
    """Raise TypeError for a function that cannot be called with these arguments by place."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # built into a framework
        return
    try:
        signature.bind(*given)
    except TypeError as error:
        called = f"{what}({', '.join(letters)})"
        if what == "backward":
            called = f"backward({', '.join(['dz', *letters])}), or as backward(dz)"
        raise TypeError(
            f"{what} is called as {called}, all by place, but takes {signature} ({error})"
        ) from None


def name_of(forward: Any, reference: Op) -> str:
    """The name of a user's op, as its functions have it, or else after the reference."""
    owner = getattr(forward, "__self__", None)
    if inspect.isclass(owner):  # MyReLU.apply
        return owner.__name__
    if inspect.ismethod(forward) and owner is not None:
        return type(owner).__name__
    name = getattr(forward, "__name__", "")
    return name if name.isidentifier() else f"own {reference.name}"
