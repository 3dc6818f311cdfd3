"""How a record is printed: printers register here, so that no record imports its own printer.

A module that prints a record says ``@printer(Report, "text")``; the record inherits from `Shown`
and asks for the form by name.  Importing `gradparity.comparisons` imports every printer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["Shown", "printer"]

F = TypeVar("F", bound=Callable[..., Any])

#: (record, form) -> the function that prints it.
PRINTERS: dict[tuple[type, str], Callable[..., Any]] = {}


def printer(record: type, form: str) -> Callable[[F], F]:
    """A decorator: this function prints records of this class in this form."""

    def register(function: F) -> F:
        PRINTERS[record, form] = function
        return function

    return register


class Shown:
    """A record that can be printed."""

    def __str__(self) -> str:
        return self.shown("text")

    def to_json(self) -> str:
        """The record as JSON with a versioned schema; see docs/reference/json.md."""
        return self.shown("json")

    def shown(self, form: str, **options: Any) -> str:
        """The record in a form that has a printer: "text", "json", ..."""
        printed: str = PRINTERS[type(self), form](self, **options)
        return printed
