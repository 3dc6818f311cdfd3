"""Records of a self-test: what became of each planted fault."""

from __future__ import annotations

from dataclasses import dataclass, field

from ...core.network.quantity import Quantity
from ..findings.shown import Shown

__all__ = ["ALLOWED", "Result", "SelfTest"]

ALLOWED = "what it gives at these kinks is another valid subgradient"


@dataclass(frozen=True)
class Result:
    """The outcome of one planted fault.

    Attributes
    ----------
    fault, quantity, node, place : what was planted where; `place` is the kind of quantity.
    case, adapter, dtype : into what.
    caught : some quantity was accused that is innocent without the fault.
    named_rightly : the planted quantity was accused, and nothing at another node.
    equivalent : the fault changed no bit on any input that was tried.
    note : if it survived, why; if it was equivalent, on how many inputs.
    """

    fault: str
    quantity: Quantity
    node: str
    place: str
    case: str
    adapter: str
    dtype: str
    caught: bool
    named_rightly: bool = False
    equivalent: bool = False
    note: str = ""

    @property
    def undecided(self) -> bool:
        """Other inputs may tell: this one showed no difference, or one that is allowed there."""
        return self.equivalent or self.note == ALLOWED

    @property
    def survived(self) -> bool:
        """It made a difference, or would on other inputs, and nobody noticed."""
        return not self.caught and not self.equivalent


@dataclass(frozen=True)
class SelfTest(Shown):
    """Every fault that was planted; true exactly if all were caught and nothing else accused.

    Attributes
    ----------
    results : one for each fault, place, implementation and dtype.
    alarms : accusations where no fault was planted.
    environment : versions.
    """

    results: tuple[Result, ...]
    alarms: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def survivors(self) -> list[Result]:
        return [r for r in self.results if r.survived]

    @property
    def exit_code(self) -> int:
        """0 all caught, 1 a survivor or a false alarm, 2 nothing was planted."""
        if self.survivors or self.alarms:
            return 1
        return 0 if any(r.caught for r in self.results) else 2

    def __bool__(self) -> bool:
        return self.exit_code == 0
