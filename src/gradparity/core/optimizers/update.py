"""One step of an optimizer as plain arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..arithmetic.arrays import NDArray
from .clipping import Clip
from .rule import Rule

__all__ = ["ChangedGradient", "Clipping", "Moved", "Update"]


@dataclass(frozen=True, eq=False)
class Moved:
    """One parameter in one step.

    Attributes
    ----------
    name : of the parameter.
    before, gradient, after : its numbers before and after, and the gradient that the step took.
    old, new : its state before and after, by the names of the rule; what is missing is not known.
    precision : the number format of the parameter.
    previous : the step before, from which an unknown state is computed; None for the first.
    later : the gradient after the step, where the step may have taken this one instead.
    """

    name: str
    before: NDArray
    gradient: NDArray
    after: NDArray
    old: Mapping[str, NDArray]
    new: Mapping[str, NDArray]
    precision: str
    previous: Moved | None = None
    later: NDArray | None = None


@dataclass(frozen=True, eq=False)
class Update:
    """One step with one rule.

    Attributes
    ----------
    rule : with the settings of this step.
    step : 1 for the first.
    parameters : all that the step changed.
    clip : what was done to the gradients before; None for nothing.
    """

    rule: Rule
    step: int
    parameters: tuple[Moved, ...]
    clip: Clip | None = None


@dataclass(frozen=True, eq=False)
class Clipping:
    """Gradients that were clipped by themselves.

    Attributes
    ----------
    before, after : the gradients by the name of the parameter.
    """

    clip: Clip
    before: Mapping[str, NDArray]
    after: Mapping[str, NDArray]
    precisions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class ChangedGradient:
    """A gradient that was changed while a step ran, and not by a clipping.

    Attributes
    ----------
    name : of the parameter.
    step : the function that ran, such as "SGD.step".
    before, after : the gradient; None for none.
    precision : the number format of the parameter.
    hooks : the names of the hooks that changed it.
    by_step : whether the step's own code changed it, too.
    """

    name: str
    step: str
    before: NDArray | None
    after: NDArray | None
    precision: str
    hooks: tuple[str, ...] = ()
    by_step: bool = True
