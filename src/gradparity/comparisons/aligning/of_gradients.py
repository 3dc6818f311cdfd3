"""The gradients of two programs whose values all pair: the same, different, or both valid."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np

from ...core.network.calls import Place
from ...core.network.quantity import Quantity
from ..findings.finding import STRUCTURE, Finding, KinkSummary, Verdict
from ..report.report import Report
from .detached import detached
from .gradients import (
    Unpaired,
    cut_of,
    parting_of_gradients,
    unpaired_gradients,
)
from .kinks import Choices, Hidden, kinks_in_words, nearby
from .parameters.mapped import Mapped
from .programs.backward import turns, with_gradients_in_float64
from .programs.noise import is_noise, is_rounding
from .programs.side import Side
from .programs.values import NEAR
from .rerouted import rerouted
from .said import finding_on, where
from .weighted import other_weights

__all__ = ["GradientsOf", "choices_at_kinks", "in_float64"]

#: Verdicts by which a gradient is that of the formulas, up to rounding and what kinks leave open.
RIGHT = (Verdict.EXACT, Verdict.ROUNDING, Verdict.LOSSY, Verdict.SUBGRADIENT, Verdict.VACUOUS)
MISSING = "the other program has no such gradient, although all values pair"


def choices_at_kinks(reports: Sequence[Report]) -> Choices | None:
    """Return the choices of each program at its kinks; None if one is not right by itself."""
    each = [[f for _, f in report.findings()] for report in reports]
    if not all(f.verdict in RIGHT for findings in each for f in findings):
        return None
    one, other = (_choices(findings) for findings in each)
    return one, other


def _choices(findings: Sequence[Finding]) -> dict[str, KinkSummary]:
    told = (f for f in findings if f.kinks is not None and f.kinks.taken)
    return {f.node: f.kinks for f in told if f.kinks is not None}


def in_float64(sides: tuple[Side, Side]) -> tuple[Side, Side] | None:
    """Two programs with gradients computed anew by formulas; None if one has no such gradients."""
    one, other = (with_gradients_in_float64(side.program) for side in sides)
    if one is None or other is None:
        return None
    near, known, effort = sides[0].near, sides[0].known, sides[0].effort
    return Side(one, near, known, effort), Side(other, near, known, effort)


class GradientsOf:
    """The gradients of two programs, paired in any layout, packed or not.

    Parameters
    ----------
    mapped : the parameters that a map pairs.
    untested : parameter -> what is not tested of it.
    choices : what each program takes at kinks; None if one of them is not right by itself.
    """

    def __init__(
        self,
        sides: tuple[Side, Side],
        mapped: Mapping[str, Mapped],
        untested: Mapping[str, str],
        choices: Choices | None,
    ) -> None:
        self.sides, self.mapped = sides, mapped
        self.untested, self.choices = untested, choices
        self.unpaired = unpaired_gradients(*sides)
        #: Parameters whose gradients differ, although both are valid; and why.
        self.valid: set[str] = set()
        self.valid_there: list[str] = []
        self.kinks = ""
        self.told: set[str] = set()

    def findings(self) -> Iterator[Finding]:
        """One for every gradient by parameters and inputs."""
        if self._part(self.sides, self.unpaired):
            node, said = self._explained()
        else:
            node, said = "", ""
            yield from self._hidden()
        one, other = self.sides
        mine, theirs, alone = self.unpaired
        if alone and not said:
            node, said = self._parting(self.sides, False)
        places = one.program.recording.places
        for name, total in one.program.recording.leaves.items():
            if name in self.told:
                continue
            place = places.get(node, Place(name)) if name in mine else Place(name)
            found = finding_on(Quantity.grad(name), place, "", total.got.size, final=True)
            if name in self.valid:
                yield replace(found, verdict=Verdict.SUBGRADIENT, note=self.kinks)
            elif name in mine:
                yield replace(found, verdict=Verdict.MISMATCH, note=said or MISSING)
            elif name in alone:
                note = "the other program has no gradient by it, so it is not compared"
                note += f"; {said}" if "through" in said else ""
                yield replace(found, verdict=Verdict.INCONCLUSIVE, note=note)
            elif is_noise(one, name):
                yield replace(found, verdict=Verdict.VACUOUS, note=STRUCTURE)
            elif name in self.mapped and (by_map := self.mapped[name].note(one, other)) is not None:
                verdict = Verdict.MISMATCH if by_map else found.verdict
                same = f"it is that of {self.mapped[name]} of the other program"
                yield replace(found, verdict=verdict, note=by_map or same)
            else:
                yield replace(found, note=self.untested.get(name, ""))
        for name in (n for n in alone if n not in one.program.got):
            size = other.program.recording.leaves[name].got.size
            found = finding_on(Quantity.grad(name), Place(name), "", size, final=True)
            note = "of the other program: this one has no gradient by it, so it is not compared, "
            note += "such as where it is frozen or detached"
            yield replace(found, verdict=Verdict.INCONCLUSIVE, note=note)
        for name in [*([] if mine else theirs), *self.valid_there]:
            valid = name in self.valid_there
            note = self.kinks if valid else f"{said}; this program has no such gradient"
            size = other.program.recording.leaves[name].got.size
            found = finding_on(Quantity.grad(name), Place(name), "", size, final=True)
            verdict = Verdict.SUBGRADIENT if valid else Verdict.MISMATCH
            yield replace(found, verdict=verdict, note=f"of the other program: {note}")

    def _hidden(self) -> Iterator[Finding]:
        """Yield findings on differences that the recorded numbers hide, such as zeros and ones.

        Only where one change makes the programs the same there too: what a program chose by its
        values may be another choice there.
        """
        near = nearby(self.sides, self.mapped, sure=True) if self._may_hide() else None
        if near is None:
            return
        one = self.sides[0].program
        if isinstance(near, Hidden):
            names, node, said = [*one.leaves][:1], near.node, near.said
        else:
            unpaired = unpaired_gradients(*near)
            parts = self._part(near, unpaired)
            node, said = detached(near, unpaired_gradients) if parts else ("", "")
            names = unpaired[0] or [*one.leaves][:1]
        for name in names if said else ():
            place = one.recording.places.get(node, Place(name))
            found = finding_on(Quantity.grad(name), place, "", one.leaves[name].size, final=True)
            self.told.add(name)
            yield replace(found, verdict=Verdict.MISMATCH, note=said)

    def _may_hide(self) -> bool:
        """Whether a parameter is zeros or ones, a gradient zero, or something at a kink."""
        hides = any(
            (a == a.flat[0]).all() or not np.any(side.program.got[name])
            for side in self.sides
            for name, a in side.program.leaves.items()
            if a.size and name in side.program.got
        )
        return hides or any(self.choices or ())

    def _part(self, sides: tuple[Side, Side], unpaired: Unpaired) -> bool:
        mine, theirs, _ = unpaired
        return bool(mine or theirs) or any(m.note(*sides) for m in self.mapped.values())

    def _explained(self) -> tuple[str, str]:
        """The node at which gradients part, and why; ("", "") if they do not after all."""
        if self.choices is not None and self._by_formulas():
            return "", ""
        near = nearby(self.sides, self.mapped)
        mine, theirs, _ = self.unpaired
        if near is None:
            return self._parting(self.sides, bool(mine)) if mine or theirs else ("", "")
        if isinstance(near, Hidden):
            return (near.node, near.said) if near.said else self._parting(self.sides, bool(mine))
        unpaired = unpaired_gradients(*near)
        if self.choices is not None:
            self._excuse(near, unpaired)
        if not self._part(near, unpaired):
            shown = self.valid or self.valid_there
            return ("", "") if shown else self._parting(self.sides, bool(mine))
        for proved in (detached, other_weights, rerouted):
            node, said = proved(near, unpaired_gradients)
            if said:
                return node, said
        return self._parting(near, bool(unpaired[0]))

    def _excuse(self, near: tuple[Side, Side], unpaired: Unpaired) -> None:
        """Set apart the gradients that differ by choices at kinks alone: they pair close by."""
        assert self.choices is not None
        self.kinks = kinks_in_words(self.sides, near, self.choices)
        if not self.kinks:
            return
        mine, theirs, alone = self.unpaired
        one, other = self.sides
        differ = [n for n, m in self.mapped.items() if m.note(one, other) and not m.note(*near)]
        self.valid = {n for n in (*mine, *differ) if n not in unpaired[0]}
        self.valid_there = [] if mine else [n for n in theirs if n not in unpaired[1]]
        self.unpaired = unpaired[0], unpaired[1], alone

    def _by_formulas(self) -> bool:
        """Whether the gradients computed anew in float64 are the same, which are taken then.

        Each recorded gradient is right by itself; in fewer digits they differ where terms cancel,
        and behind a kink that the two programs have on different sides.
        """
        programs = [side.program for side in self.sides]
        if all(program.near <= NEAR["float64"] for program in programs):
            return False
        sides = in_float64(self.sides)
        if sides is None or not (self._round_alone(sides) or any(map(turns, programs))):
            return False
        unpaired = unpaired_gradients(*sides)
        if self._part(sides, unpaired):
            return False
        self.sides, self.unpaired = sides, unpaired
        return True

    def _round_alone(self, sides: tuple[Side, Side]) -> bool:
        """Whether the gradients that part are those in float64 but for rounding of their terms."""
        each = zip(self.sides, sides, self.unpaired[:2], strict=True)
        return all(
            is_rounding(side, name, side.program.got[name] - anew.program.got[name])
            for side, anew, names in each
            for name in names
        )

    def _parting(self, sides: tuple[Side, Side], mine: bool) -> tuple[str, str]:
        """The node of `one` at which gradients part, and why."""
        one, other = sides
        found = cut_of(other, one)
        if found:
            there = where(other.nodes[found.node].place)
            said = f"the gradient of {found.name or 'an input'} through {found.through} is missing "
            said += f"there: it is a constant at {there} of the other program, such as after "
            return found.through, f"{said}detach or stop_gradient"
        found = cut_of(one, other)
        if found:
            there = where(other.nodes[found.through].place)
            said = "the gradient of an input is missing here: it is a constant, such as after "
            said += "detach or stop_gradient; in the other program "
            name = f"it is {found.name!r}, which" if found.name else "what it is computed from"
            return found.node, f"{said}{name} has a gradient through {there}"
        node, said = parting_of_gradients(one, other) if mine else ("", "")
        said = said.format(here="here", there="there")
        if "through" not in said:
            back, reason = parting_of_gradients(other, one)
            if reason and ("through" in reason or not said):
                reason = reason.format(here="there", there="here")
                said = f"at {where(other.nodes[back].place) if back in other.nodes else back} of "
                said += f"the other program: {reason}"
        return node, said
