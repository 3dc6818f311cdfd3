"""`align`: do two recorded programs compute the same, and where do they first part?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from ..findings.finding import Finding
from ..recording.recording import Recording
from ..report.records import ALIGNED, Run
from ..report.report import Report
from .answer import answer, formats_in_words, unknown_in_words
from .causes.search import Found, Search, lost_in, parted_of
from .causes.shares import other_shares
from .inputs import other_inputs, parse_inputs, rounded_in_words
from .kinks import Choices
from .of_gradients import GradientsOf, choices_at_kinks, in_float64
from .of_values import Difference, findings_on_losses, findings_on_values, notes_of
from .padding import untested_padding
from .parameters.mapped import Mapped, by_names, parse_parameters
from .parameters.mapping import ParameterMap
from .programs.checked import check_recordings
from .programs.effort import Effort
from .programs.partners import Known
from .programs.side import Side
from .programs.values import Program, nearness
from .states import findings_on_states

__all__ = ["align"]

#: The most differences that are looked for, each corrected before the next.
SEVERAL = 6
#: The share of the values without a partner that pair with a change which says something.
WEAK = 0.05
SPENT = "; not every change was tried, as there are too many"
BROKEN = "; a part of the search for the cause failed, please report it: {}"


def align(
    one: Recording,
    other: Recording,
    *,
    inputs: Mapping[str, str] | None = None,
    parameters: ParameterMap | Mapping[str, str | Sequence[str]] | None = None,
) -> Report:
    """Compare two recorded programs: PyTorch and JAX, a model and its port, before and after.

    Values are paired by their elements in whatever layout; the first value of `one` that has no
    partner in `other`, although all that it is made of has, is where they part.  There other
    numbers, modes and arrangements of its op are tried, and what makes it pair is the cause: it is
    corrected in `one`, and the next difference is looked for.  Gradients by parameters, and states
    such as running statistics after the step, are compared if all values pair.

    Parameters
    ----------
    one, other : recorded with ``keep=True``, of the same numbers, in float64 for the sharpest
        answer.
    inputs : which inputs of `other` those of `one` are, name -> name: also arguments without a
        gradient, such as "arg1" or "arg1.mask".  Without it inputs are paired by their numbers.
        One that holds other numbers in the other program is told first, and corrected.
    parameters : which parameters of `other` those of `one` are: a map of `map_parameters`, or name
        -> name or names.  Their gradients are then compared with each other alone; without a map
        any gradient of the same numbers is a partner.

    Returns
    -------
    Report : a run with the verdict on each recording by itself, and one of the two against each
        other.

    Raises
    ------
    TypeError : something else than two recordings, or than a map.
    ValueError : a recording has not ended, or has not kept its numbers; it has no such parameter.

    >>> import gradparity as gp, torch
    >>> x = torch.linspace(-2, 2, 12, dtype=torch.float64).reshape(3, 4).requires_grad_()
    >>> def loss(x, approximate):
    ...     return (torch.nn.functional.gelu(torch.sin(x), approximate=approximate) ** 3).sum()
    >>> one, other = (gp.record(loss, x, how, keep=True) for how in ("none", "tanh"))
    >>> report = gp.align(one, other)
    >>> report.exit_code
    1
    >>> [f.note for _, f in report.findings() if f.parity is False]
    ["approximate is none here and tanh there; with it, it pairs with 'gelu_1'..."]
    """
    check_recordings("align", one, other)
    programs = Program.of(one), Program.of(other)
    named = parse_inputs(inputs, *programs)
    mapped = {**_with_gradients(named, *programs), **parse_parameters(parameters, *programs)}
    mapped = {**by_names(*programs), **mapped}
    reports = [one.report(), other.report()]
    choices = choices_at_kinks(reports)
    alignment = _Alignment(*programs, mapped, named, choices)
    findings = tuple(alignment.findings())
    name = f"{one.name} against {other.name}"
    about = answer(one, other, findings)
    own = {
        recording: report.runs[0] for recording, report in zip((one, other), reports, strict=True)
    }
    about += "".join(unknown_in_words(recording, run) for recording, run in own.items())
    untested = {**alignment.untested, **untested_padding(alignment.sides[1])}
    about += "".join(f"; {why}" for why in untested.values())
    about += rounded_in_words(alignment.rounded)
    about += formats_in_words(*programs, alignment.sides[0].near)
    about += SPENT if alignment.effort.is_spent else ""
    about += BROKEN.format(alignment.effort.failed) if alignment.effort.failed else ""
    for recording, report in zip((one, other), reports, strict=True):
        about += f"; {recording.name!r} is not right by itself" if report.exit_code == 1 else ""
    run = Run(name, f"{one.framework} and {other.framework}", ALIGNED, findings, about=about)
    graph = {name: reports[0].graphs[one.name]}
    runs = [run, *(_named(r.runs[0], which) for r, which in zip(reports, ("one", "other"),
                                                                strict=True))]  # fmt: skip
    versions = {**reports[0].environment, **reports[1].environment}
    return Report(tuple(runs), (), {}, versions, graph)


def _named(run: Run, which: str) -> Run:
    return replace(run, case=f"{which}: {run.case}")


def _with_gradients(inputs: Mapping[str, str], one: Program, other: Program) -> dict[str, Mapped]:
    """The inputs of a map that both programs have a gradient by."""
    both = ((n, m) for n, m in inputs.items() if n in one.leaves and m in other.leaves)
    return {name: Mapped((name,), (there,)) for name, there in both}


class _Alignment:
    """The pairing of one program's values with another's."""

    def __init__(
        self,
        one: Program,
        other: Program,
        mapped: Mapping[str, Mapped],
        inputs: Mapping[str, str],
        choices: Choices | None,
    ) -> None:
        self.mapped, self.choices = mapped, choices
        near = nearness(one, other)
        known = Known(one.value, one.leaves, other.value, other.leaves)
        one, self.inputs, self.rounded = other_inputs(one, other, inputs, near, known)
        self.effort = Effort()
        self.sides = self._as_sides(one, other, near, known)
        self.found: list[Difference] = []
        self.shares = other_shares(*self.sides)
        self.untested = untested_padding(self.sides[0])

    def _as_sides(
        self, one: Program, other: Program, near: float, known: Known
    ) -> tuple[Side, Side]:
        return Side(one, near, known, self.effort), Side(other, near, known, self.effort)

    def findings(self) -> Iterator[Finding]:
        """One for every value, and for every gradient and state where all values pair."""
        if not self.shares and all(each.fits for each in self.inputs):
            self._correct()
        left = parted_of(self.sides)
        notes = self._notes(left)
        yield from findings_on_values(*self.sides, notes)
        if not any(left):
            yield from findings_on_losses(*self.sides)
        if not self.found and not self.inputs and not any(left):
            # Those recorded are of weights that are not rounded.
            sides = (in_float64(self.sides) if self.rounded else None) or self.sides
            gradients = GradientsOf(sides, self.mapped, self.untested, self.choices)
            yield from gradients.findings()
            yield from findings_on_states(*self.sides)

    def _notes(self, left: tuple[list[str], list[str]]) -> dict[str, str]:
        """Node -> what is different there."""
        if self.shares:
            return dict([self.shares])
        fit = all(each.fits for each in self.inputs)
        # Nothing that is made of other data can be compared.
        return notes_of(self.sides, self.inputs, self.found, left if fit else ([], []))

    def _correct(self) -> None:
        """Find the differences one after the other, in either program, and correct each there.

        What a change of little effect leads to counts only if all pairs in the end.
        """
        if any(parted_of(self.sides)):
            self.sides = self.sides[0].open(), self.sides[1].open()
        sure: tuple[int, tuple[Side, Side]] | None = None
        for _ in range(SEVERAL):
            parted = parted_of(self.sides)
            best = Search(self.sides, parted).found() if any(parted) else None
            if best is None:
                break
            if sure is None and self._is_weak(best):
                sure = len(self.found), self.sides
            which, node, edit, made, _ = best
            at = node if which == 0 else self._explained(made, parted[0])
            self.found.append(Difference(which, node, edit, at))
            self.sides = (made, self.sides[1]) if which == 0 else (self.sides[0], made)
        if sure is not None and any(parted_of(self.sides)):
            del self.found[sure[0] :]
            self.sides = sure[1]

    def _explained(self, made: Side, parted: list[str]) -> str:
        """Where this program parts from the other one, and pairs with a changed one."""
        one = self.sides[0]
        before, left = ([c.place.node for c in one.lost(x).values()] for x in (self.sides[1], made))
        return next((n for n in [*parted, *before] if n not in left), (parted or [""])[0])

    def _is_weak(self, best: Found) -> bool:
        """Whether a change that may fit by chance leaves nearly all values without a partner."""
        return not best.edit.plain and best.lost > (1 - WEAK) * lost_in(*self.sides)
