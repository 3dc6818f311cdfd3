"""The table: ATen op -> op of the core, and which of its arguments are the inputs of that op."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import torch

from .... import mapped
from ....mapped import UnmappedError, chain

__all__ = [
    "RULES",
    "Arguments",
    "Mapped",
    "UnmappedError",
    "chain",
    "constant",
    "name_of",
    "rule",
    "rule_of",
]


class Arguments:
    """The arguments of a call as attributes, and what it returned as `outs`.

    `written_after` has what those arguments held afterwards that the op wrote into.
    """

    def __init__(
        self,
        given: dict[str, Any],
        outs: Sequence[torch.Tensor | None],
        written_after: Mapping[str, torch.Tensor] | None = None,
    ) -> None:
        self.given, self.outs = given, outs
        self.written_after = written_after or {}

    def __getattr__(self, name: str) -> Any:
        try:
            return self.given[name]
        except KeyError:
            raise AttributeError(name) from None

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the first output."""
        out = self.outs[0]
        assert out is not None
        return tuple(out.shape)


@dataclass(frozen=True)
class Mapped(mapped.Mapped):
    """An ATen op as an op of the core.

    Attributes
    ----------
    inputs : for each of its inputs the name of an argument, (name, position) in a list, or numbers.
    outputs : for each of its outputs and states the position of the tensor returned, or the name of
        an argument that is written into.
    """

    inputs: tuple[Any, ...] = ("self",)


Rule = Callable[[Arguments], Mapped]
RULES: dict[str, Rule] = {}


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Register a rule for these ATen ops: "add" for all overloads, or "max.dim" for one."""

    def put(of: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, of))
        return of

    return put


def name_of(op: Any) -> str | None:
    """The name in the table of an overload.

    In-place ops have that of the op itself, and so have copies of a view ("diagonal_copy").  Ops
    of other libraries have their namespace in front: "mylib::fused_op".
    """
    space, _, rest = str(op).partition(".")
    if rest.count("."):  # "mylib.fused_op.default"
        name, _, overload = rest.partition(".")
        name = name if space == "aten" else f"{space}::{name}"
    else:  # "aten.add", or "add.Tensor"
        name, overload = (rest, "") if space == "aten" else (space, rest)
    name = re.sub(r"(?<!_)_$", "", name)
    names = (name, name.removesuffix("_copy"))
    return next((n for name in names for n in (f"{name}.{overload}", name) if n in RULES), None)


def rule_of(op: Any) -> Rule | None:
    """The rule of an overload."""
    name = name_of(op)
    return None if name is None else RULES[name]


def constant(value: float, like: torch.Tensor) -> Any:
    """A number as PyTorch holds it beside this tensor."""
    kind = np.float64 if like.dtype == torch.float64 else np.float32
    return np.asarray(value, kind)


def product(sizes: Sequence[int]) -> int:
    """The product of sizes."""
    return reduce(lambda a, b: a * b, sizes, 1)
