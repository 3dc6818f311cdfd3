"""Kinks and ties to measure: a site for every op of the core that has any."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

from ... import core
from ...adapters.kinks import TIES
from ...adapters.valid_sets import Singular
from ...core.formulas.op import Compound, Kinked, Op
from ...core.vocabulary import kinked, pointwise, special

__all__ = ["Site", "core_sites", "site_of"]


@dataclass(frozen=True)
class Site:
    """A function and its kinks: an op of the core, or one of a framework's own functions."""

    name: str
    core: bool
    points: tuple[float, ...] = ()
    ties: tuple[tuple[float, ...], ...] = ()
    singular: Singular = ()
    #: The modes and dtypes in which it is measured; empty for all.
    modes: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ()
    #: The op for inputs of this width; or the native function.
    op: Callable[[int], Op | Compound] | None = field(default=None, compare=False)
    #: Which of a framework's functions for the op, as in `Case.twin`; "" for the first.
    twin: str = ""
    function: Callable[[Any], Any] | None = field(default=None, compare=False)

    def rows(self, width: int) -> list[tuple[float, ...]]:
        """The ties or singular points of so many numbers."""
        every = self.ties or [point for point, _ in self.singular]
        return [row for row in every if len(row) == width]


def site_of(op: Op | Compound, twin: str = "") -> Site | None:
    maxima = core.Max | core.MaxSubsets | core.Maxout
    name = _name(op) + (f" as {twin}" if twin else "")
    if isinstance(op, maxima) and type(op).__module__ == core.Max.__module__:
        whole = core.Max(ties=op.ties)
        return Site(name, True, ties=TIES, op=lambda width: whole, twin=twin)
    if isinstance(op, Kinked) and op.kinks and not op.random and not op.parameter_shapes():
        points = tuple(k.at for k in op.kinks)
        return Site(name, True, points, op=lambda width: op, twin=twin)
    return None


def core_sites() -> list[Site]:
    """Every op of the core with a kink or ties, found by its class.

    >>> [site.name for site in core_sites()][:3]
    ['Abs', 'ELU(a=2)', 'Hardshrink']
    """
    made: dict[type, Op] = {
        core.ELU: core.ELU(2.0),
        core.RandomizedLeakyReLU: core.RandomizedLeakyReLU(training=False),
    }
    named = {k: v for module in (pointwise, kinked, special, core) for k, v in vars(module).items()}
    kinds = [
        kind for _, kind in sorted(named.items())
        if isinstance(kind, type) and issubclass(kind, Kinked) and kind is not Kinked
    ]  # fmt: skip
    ops = [made.get(kind) or kind() for kind in kinds]
    asked = [(op, "") for op in [*ops, core.Max()]]
    asked += [(core.ReLU(), "maximum"), (core.ReLU(), "clamp"), (core.Max(), "amax")]
    sites = [site for op, twin in asked if (site := site_of(op, twin))]
    subsets = Site("MaxSubsets", True, ties=TIES, op=lambda k: core.MaxSubsets([range(k)]))
    return [*sites, subsets]


def _name(op: Any) -> str:
    """The op with those arguments that differ from their defaults."""
    said = []
    for each in fields(op):
        value = getattr(op, each.name)
        if each.default is not MISSING and value != each.default:
            said.append(f"{each.name}={f'{value:g}' if type(value) is float else repr(value)}")
    return type(op).__name__ + (f"({', '.join(said)})" if said else "")
