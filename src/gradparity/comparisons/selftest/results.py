"""Records of a self-test: the outcome of each planted fault."""

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
    fault, quantity, node, place : the fault and its site; `place` is the kind of quantity.
    case, adapter, dtype : the run in which it was planted.
    caught : some quantity failed that passes without the fault.
    named_rightly : the planted quantity failed, and nothing at another node.
    equivalent : the fault changed no bit on any input tried.
    note : the reason why it survived or is equivalent.
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
        """Whether the input showed no difference or a valid one, so that others should be tried."""
        return self.equivalent or self.note == ALLOWED

    @property
    def survived(self) -> bool:
        """Whether the fault was not caught although it has an effect, here or on other inputs."""
        return not self.caught and not self.equivalent


@dataclass(frozen=True)
class SelfTest(Shown):
    """The planted faults; true if all were caught and nothing failed without a fault.

    Attributes
    ----------
    results : one per fault, site, implementation and dtype.
    alarms : findings without a planted fault (false positives).
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
        """0 all caught, 1 a survivor or an accusation without a fault, 2 nothing was planted."""
        if self.survivors or self.alarms:
            return 1
        return 0 if any(r.caught for r in self.results) else 2

    def __bool__(self) -> bool:
        return self.exit_code == 0
