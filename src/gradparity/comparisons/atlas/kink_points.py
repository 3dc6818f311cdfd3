"""Where there are kinks and ties: a site for every op of the core that has any."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields
from typing import Any

from ... import core
from ...adapters.kinks import TIES
from ...core.formulas.op import Compound, Kinked, Op

__all__ = ["Site", "core_sites", "site_of"]


@dataclass(frozen=True)
class Site:
    """A function and where it has kinks: of the core, or a framework's own spelling."""

    name: str
    core: bool
    points: tuple[float, ...] = ()
    ties: tuple[tuple[float, ...], ...] = ()
    #: The op for inputs of this width; or the native function.
    op: Callable[[int], Op | Compound] | None = field(default=None, compare=False)
    function: Callable[[Any], Any] | None = field(default=None, compare=False)


def site_of(op: Op | Compound) -> Site | None:
    maxima = core.Max | core.MaxSubsets | core.Maxout
    if isinstance(op, maxima) and type(op).__module__ == core.Max.__module__:
        whole = core.Max(ties=op.ties, spelling=op.spelling)
        return Site(_name(op), True, ties=TIES, op=lambda width: whole)
    if isinstance(op, Kinked) and op.kinks and not op.random and not op.parameter_shapes():
        return Site(_name(op), True, tuple(k.at for k in op.kinks), op=lambda width: op)
    return None


def core_sites() -> list[Site]:
    """Every op of the core with a kink or ties, found by its class.

    >>> [site.name for site in core_sites()][:3]
    ['ELU(a=2)', 'Hardtanh', 'LeakyReLU']
    """
    made: dict[type, list[Op]] = {
        core.ReLU: [core.ReLU(spelling=s) for s in ("relu", "maximum", "clamp")],
        core.ELU: [core.ELU(2.0)],
        core.RandomizedLeakyReLU: [core.RandomizedLeakyReLU(training=False)],
    }
    kinds = [
        kind for _, kind in sorted(vars(core).items())
        if isinstance(kind, type) and issubclass(kind, Kinked) and kind is not Kinked
    ]  # fmt: skip
    ops = [op for kind in kinds for op in made.get(kind) or [kind()]]
    ops += [core.Max(), core.Max(spelling="amax")]
    sites = [site for op in ops if (site := site_of(op))]
    subsets = Site("MaxSubsets", True, ties=TIES, op=lambda k: core.MaxSubsets([range(k)]))
    return [*sites, subsets]


def _name(op: Any) -> str:
    """The op with what is not its default."""
    said = []
    for each in fields(op):
        value = getattr(op, each.name)
        if each.default is not MISSING and value != each.default:
            said.append(f"{each.name}={value:g}" if type(value) is float
                        else f"{each.name}={value!r}")  # fmt: skip
    return type(op).__name__ + (f"({', '.join(said)})" if said else "")
