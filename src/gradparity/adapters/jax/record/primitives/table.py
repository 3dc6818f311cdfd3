"""The table: primitive of a jaxpr -> op of the core, and which of its operands are its inputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import jax.numpy as jnp

from .....core.arithmetic.arrays import NDArray
from ....mapped import Mapped

__all__ = ["RULES", "Operands", "Rule", "is_coarse", "rule", "rule_of"]


@dataclass(frozen=True)
class Operands:
    """An equation with its numbers.

    Attributes
    ----------
    ins, outs : what it took and gave; None for random keys.
    params : of the primitive.
    sources : names of the inputs with a gradient, "" for others; none if it is not known.
    formats : the dtypes of the inputs in the program; by default those of the arrays.
    """

    ins: Sequence[NDArray]
    outs: Sequence[NDArray]
    params: dict[str, Any]
    sources: Sequence[str] = ()
    formats: Sequence[Any] = ()

    @property
    def dtypes(self) -> Sequence[Any]:
        """The dtypes of the inputs in the program."""
        return self.formats or [x.dtype for x in self.ins]

    def active(self, k: int) -> bool:
        """Whether this input has a gradient."""
        return bool(self.sources[k : k + 1] and self.sources[k])

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the first result."""
        return tuple(self.outs[0].shape)


Rule: TypeAlias = Callable[[Operands], Mapped]
RULES: dict[str, Rule] = {}


def rule(*names: str) -> Callable[[Rule], Rule]:
    """Register a rule for these primitives."""

    def put(of: Rule) -> Rule:
        RULES.update(dict.fromkeys(names, of))
        return of

    return put


def rule_of(name: str) -> Rule | None:
    """The rule of a primitive."""
    return RULES.get(name)


def is_coarse(dtype: Any) -> bool:
    """Whether it is a float format of 8 bits or fewer."""
    return bool(jnp.issubdtype(dtype, jnp.floating)) and jnp.finfo(dtype).bits <= 8
