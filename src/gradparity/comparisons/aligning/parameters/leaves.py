"""The parameters of a recorded program."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ....core.arithmetic.arrays import NDArray
from ..programs.values import Program

__all__ = ["Leaves"]


@dataclass(frozen=True, eq=False)
class Leaves:
    """The parameters of a program: values and gradients by name, and whose arrays they are.

    Attributes
    ----------
    names : also of those of which a loop has only ever taken a slice, so that the whole is unknown.
    """

    framework: str
    names: tuple[str, ...]
    value: Mapping[str, NDArray]
    gradient: Mapping[str, NDArray]
    near: float

    @classmethod
    def of(cls, program: Program) -> Leaves:
        """The leaves of a recorded program."""
        value, leaves = dict(program.leaves), program.recording.leaves
        gradient = {n: t.got for n, t in leaves.items() if n in value}
        names = tuple({**value, **leaves})
        return cls(program.recording.framework, names, value, gradient, program.near)
