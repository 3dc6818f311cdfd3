"""Ops that every array library writes alike: by operators and methods of its arrays."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from typing import Any

from .. import core

__all__ = ["OPERATORS"]

#: Op -> a function (op, *y) -> z.
OPERATORS: dict[type[core.Op], Callable[..., Any]] = {
    core.Reshape: lambda op, y: y.reshape(*y.shape[: op.keep], *op.shape),
    core.Mean: lambda op, y: y.mean(op.axis),
    core.Sum: lambda op, y: y.sum(op.axis),
    core.Add: lambda op, *y: functools.reduce(operator.add, y),
    core.Multiply: lambda op, y1, y2: y1 * y2,
}
