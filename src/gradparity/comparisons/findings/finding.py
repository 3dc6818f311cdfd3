"""A finding: the verdict on one quantity that one implementation computed."""

from __future__ import annotations

import re
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from enum import StrEnum

from ...core.arithmetic.received import printable
from ...core.network.nodes import DIV, ERR
from ...core.network.quantity import Quantity
from .elements import Element, side_by_side

__all__ = [
    "FOLLOWS",
    "ONLY_AT_KINKS",
    "SILENT",
    "STRUCTURE",
    "SUM",
    "Evidence",
    "Finding",
    "KinkSummary",
    "Power",
    "Verdict",
    "as_written",
    "choice_in_words",
    "exit_code",
]


#: The "op" of a finding that tests the distributed chain rule.
SUM = "sum over uses"


#: The note of a quantity of which no element exceeds its bound.
SILENT = "the signal is zero, or below its own bound"
#: The note of a final gradient that is zero whatever the data, so that nothing can be tested.
STRUCTURE = "zero by structure: its terms cancel for all data"
#: Marker in notes of final gradients that are valid, but zero in every element.
ONLY_AT_KINKS = "every element is zero, which is valid only because of a choice at the kinks"
#: Marker in notes of findings that may only be a consequence of a fault closer to the loss.
FOLLOWS = "it follows from"


class Verdict(StrEnum):
    """The whole vocabulary, best first."""

    #: Bitwise what rounding the reference gives.
    EXACT = "exact"
    #: Inside what a correct implementation at this precision can return.
    ROUNDING = "rounding"
    #: At a kink: a valid choice, shown, other than the one the network names.
    SUBGRADIENT = "subgradient"
    #: Right for a usual form of the formula, which loses more than half of the digits somewhere.
    LOSSY = "lossy"
    #: Says nothing: the signal is zero, or below its own bound.
    VACUOUS = "vacuous"
    #: Cannot be decided, with the reason.
    INCONCLUSIVE = "inconclusive"
    #: Right in float64, worse at this dtype than a correct implementation.
    IMPRECISE = "imprecise"
    #: Exactly right for a named alternative; passes where it is expected.
    CONVENTION = "convention"
    #: None of these, or non-finite where the formula is finite.
    MISMATCH = "mismatch"

    @property
    def parity(self) -> bool | None:
        """True for the first four, False for the last three, None where nothing is known."""
        if self in (Verdict.VACUOUS, Verdict.INCONCLUSIVE):
            return None
        return self.badness <= Verdict.LOSSY.badness

    @property
    def badness(self) -> int:
        """Position in the vocabulary: the worst of several verdicts has the largest."""
        return POSITION[self]


POSITION = {verdict: i for i, verdict in enumerate(Verdict)}


#: Choices that are no longer listed one by one.
MANY = 4


def choice_in_words(choice: str) -> str:
    """A choice at a kink as reports show it."""
    return "no single choice: elements differ" if choice == "mixed" else choice


@dataclass(frozen=True)
class KinkSummary:
    """The kinks met in one gradient: how many, what was taken there, and what is valid.

    Attributes
    ----------
    count : elements (or tied groups) exactly at a kink.
    taken : what the implementation took -> how often; slopes such as "0" or "0.5", or the rule
        "first", "last", "even", "mixed" for ties (no single rule).
    reference : what the network's op takes.
    valid : the subdifferential in words, such as "[0, 1]".
    undetermined : those where the gradient arriving is zero, so that any choice gives the same.
    usual : what the framework takes at such a kink anywhere, as measured; "" if that is unknown.
    """

    count: int
    taken: dict[str, int]
    reference: str
    valid: str
    undetermined: int = 0
    usual: str = ""

    @property
    def choice(self) -> str:
        """The choice, in a few words."""
        few = len(self.taken) < MANY
        return " or ".join(map(choice_in_words, self.taken)) if few else f"{len(self.taken)} values"

    def __str__(self) -> str:
        taken = ", ".join(f"{n} take {choice_in_words(what)}" for what, n in self.taken.items())
        unknown = f"{self.undetermined} undetermined" if self.undetermined else ""
        said = ", ".join(part for part in (taken, unknown) if part)
        known = f"network: {self.reference}; valid: {self.valid}"
        known += f"; usual there: {choice_in_words(self.usual)}" if self.usual else ""
        return f"{self.count} at a kink: {said} ({known})"


@dataclass(frozen=True)
class Power:
    """The smallest relative faults that a comparison would have caught.

    Attributes
    ----------
    median, worst : in a single element, over the elements of the tensor.
    tensor : in the whole tensor, multiplied by one factor.
    untested : elements of which no fault below 1 would have been seen: smaller than their bound.
    """

    median: float
    worst: float
    tensor: float
    untested: int = 0

    @classmethod
    def worst_of(cls, powers: Sequence[Power]) -> Power:
        """Combine several quantities: the median of the medians, and the worst of the rest."""
        median = statistics.median(p.median for p in powers)
        worst, tensor = max(p.worst for p in powers), max(p.tensor for p in powers)
        return cls(median, worst, tensor, sum(p.untested for p in powers))


@dataclass(frozen=True)
class Finding:
    """The verdict on one quantity.

    Attributes
    ----------
    quantity : the name of the result, as `Quantity` has it; a plain string becomes one.
    node : the node whose formula was tested, "Div" or "Err": the place to look.
    op : its op, as written.
    elements, outside : how many were compared, and how many lie outside their bound.
    index, got, expected : the element nearest to (or furthest beyond) its bound.
    error, bound : there, in units of roundoff: 1 u is the unit roundoff times the largest
        element of the tensor.
    kinks : the kink summary, where the op met any.
    note : an explanation in words.
    power : what would have been caught, where there is parity.
    convention : the name of the alternative that explains it, such as "sum".
    declared : the user said that this convention is expected.
    final : it is the gradient of a parameter or of the input x: what a user trains with.
    worst : some elements outside their bound, the furthest first.
    follows : the quantity whose fault this one follows from, or may; "" for a fault of its own.
    strict : whether the user asked that lossy fails.
    module, source : of a recording, the module that ran and the line of the user's code.
    """

    quantity: Quantity
    node: str
    op: str
    verdict: Verdict
    elements: int
    outside: int = 0
    index: tuple[int, ...] | None = None
    got: float = 0.0
    expected: float = 0.0
    error: float = 0.0
    bound: float = 0.0
    kinks: KinkSummary | None = field(default=None)
    note: str = ""
    power: Power | None = None
    convention: str = ""
    declared: bool = False
    final: bool = False
    worst: tuple[Element, ...] = ()
    follows: str = ""
    strict: bool = False
    module: str = ""
    source: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "quantity", Quantity(printable(self.quantity)))
        object.__setattr__(self, "note", printable(self.note))

    @property
    def parity(self) -> bool | None:
        """The parity of the verdict; an allowed convention is parity, strictly lossy is not."""
        if self.strict and self.verdict is Verdict.LOSSY:
            return False
        return True if self.declared else self.verdict.parity

    @property
    def structural(self) -> bool:
        """Whether it is zero whatever the data: nothing can be tested there."""
        return self.verdict is Verdict.VACUOUS and self.note == STRUCTURE

    @property
    def untested(self) -> bool:
        """Whether it is a final gradient that tests nothing, although it could."""
        return self.final and self.verdict is Verdict.VACUOUS and not self.structural

    @property
    def place(self) -> str:
        """The node in words, such as "at node 'z1'", or the loss, which is not a user's node."""
        if self.node in (DIV, ERR):
            return "at the loss"
        where = ", ".join(filter(None, (self.module, self.source)))
        return f"at node {self.node!r}{where and f' ({where})'}" if self.node else ""

    def __str__(self) -> str:
        text = f"{self.verdict.upper() if self.parity is False else self.verdict}"
        text += " (allowed)  " if self.declared else "  "
        if not self.elements:  # there was nothing to compare
            return f"{text}{self.quantity}: {self.note}"
        text += f"{self.quantity}: {self.error:.2g} u (bound {self.bound:.2g} u)"
        if self.outside:
            place = list(self.index or ())
            at = self.place.replace("at node ", "at ")
            got, expected = side_by_side(self.got, self.expected)
            text += (
                f", {self.outside} of {self.elements} elements outside, worst {place}: "
                f"{got}, the formula of {self.op} {at} gives {expected}"
            )
        if self.kinks:
            text += f"; {self.kinks}"
        return f"{text}; {self.note}" if self.note else text


#: Gives the findings of the same implementation in float64, by quantity; asked only where needed.
Evidence = Callable[[], Mapping[str, Finding]]


def as_written(op: object) -> str:
    """An op or a divergence as a user writes it, without addresses and without defaults.

    >>> from gradparity.core import Affine, Conv
    >>> as_written(Affine(3, 2)), as_written(Affine(3, 2, bias=False)), as_written(as_written)
    ('Affine(3, 2)', 'Affine(3, 2, bias=False)', '<function as_written>')
    >>> as_written(Conv(1, 8, (3, 3), padding=1))
    'Conv(1, 8, (3, 3), padding=1)'
    """
    return re.sub(r" at 0x[0-9a-fA-F]+", "", _call(op) if is_dataclass(op) else repr(op))


def _alike(value: object) -> object:
    """Several numbers that are all the same as one, as a user writes a stride."""
    each = [_alike(entry) for entry in value] if isinstance(value, tuple) else []
    numbers = [entry for entry in each if isinstance(entry, int)]
    same = bool(each) and len(numbers) == len(each) and len({*numbers}) == 1
    return each[0] if same else value


def _call(op: object) -> str:
    """The shortest call that makes a dataclass."""
    given = []
    for argument in fields(op):  # type: ignore[arg-type]
        value = getattr(op, argument.name)
        if argument.default is MISSING and argument.default_factory is MISSING:
            given.append(repr(value))
        elif _alike(value) != argument.default:
            given.append(f"{argument.name}={_alike(value)!r}")
    return f"{type(op).__name__}({', '.join(given)})"


def exit_code(findings: list[Finding]) -> int:
    """0 parity, 1 a difference, 2 unknown (inconclusive, only vacuous, or nothing compared)."""
    parities = {finding.parity for finding in findings}
    if False in parities:
        return 1
    if True not in parities or any(f.verdict is Verdict.INCONCLUSIVE for f in findings):
        return 2
    return 0
