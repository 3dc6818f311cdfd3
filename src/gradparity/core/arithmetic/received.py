"""Values and texts of a user in messages: on one line, cut, and able to be written."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["check_flag", "check_text", "cut", "printable", "received"]

#: Maximum number of characters of a value in a message.
LONG = 120


def received(value: Any) -> str:
    """A value as a message shows it: its repr on one line, cut if it is long.

    >>> received([1, 2]), received(10**5000)
    ('[1, 2]', 'an int that is too long to print')
    >>> len(received("x" * 1000))
    120
    """
    try:
        said = repr(value)
    except Exception:  # a user's __repr__, or an integer of more than 4300 digits
        kind = type(value).__name__
        return "an int that is too long to print" if kind == "int" else f"a {kind} without a repr"
    return cut(printable(" ".join(said.split())))


def cut(text: str, most: int = LONG) -> str:
    """A text without its middle, if it is longer than this.

    >>> cut("abcdefghij", 7)
    'ab...ij'
    """
    if len(text) <= most:
        return text
    end = (most - 3) // 2
    return f"{text[: most - 3 - end]}...{text[-end:]}"


def printable(text: str) -> str:
    """A text in which a lone surrogate, which cannot be written to a file, is an escape.

    >>> printable("a\\ud800")
    'a\\\\ud800'
    """
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def check_flag(what: str, value: Any) -> None:
    """Raise TypeError for a setting that is neither true nor false."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{what} is {received(value)}; give True or False")


def check_text(what: str, value: Any) -> str:
    """Return a name that a report shows.

    Raises
    ------
    TypeError, ValueError : not a string, or one with a lone surrogate, which no file can hold.
    """
    if not isinstance(value, str):
        raise TypeError(f"{what} is {received(value)}; give a string")
    if printable(value) != value:
        raise ValueError(
            f"{what} is {received(value)}, which has a lone surrogate and cannot be written; give "
            "other characters"
        )
    return value
