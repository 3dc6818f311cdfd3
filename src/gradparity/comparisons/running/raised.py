"""Describe an exception of a user's code in one line: the error, and its place in their code."""

from __future__ import annotations

import traceback
from pathlib import Path

from ...adapters.base import one_line

__all__ = ["raised"]

#: Frames below here are ours, and those of installed packages are nobody's to mend.
OURS = str(Path(__file__).parents[1])


def raised(error: BaseException) -> str:
    """The error, and the innermost line of the caller's own code that led to it.

    >>> def layer(z):
    ...     return z @ None
    >>> try:
    ...     layer(1.0)
    ... except TypeError as error:
    ...     print(raised(error))
    raised TypeError: unsupported operand type(s) for @: 'float' and 'NoneType' (... in layer)
    """
    said = f"raised {type(error).__name__}"
    message = one_line(error)
    said += f": {message}" if message else ""
    frames = traceback.extract_tb(error.__traceback__)
    own = [
        f for f in frames if not f.filename.startswith(OURS) and "site-packages" not in f.filename
    ]
    if not own:
        return said
    at = own[-1]
    return f"{said} ({Path(at.filename).name}:{at.lineno} in {at.name})"
