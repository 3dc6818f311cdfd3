"""Tables of a framework by class of op: its functions, and its names of parameters."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from ..core.formulas.op import Op
from .base import AdapterError

__all__ = [
    "Names",
    "for_class",
    "native_name",
    "twins_of",
]


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
