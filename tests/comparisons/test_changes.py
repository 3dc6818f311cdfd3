"""What changed between two reports: every kind is planted, told, and of its kind."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gradparity as gp
from gradparity.comparisons import compare
from gradparity.comparisons.changes import Kind
from gradparity.comparisons.changes_text import text, to_json, told, verdict_line
from gradparity.core import Affine, CrossEntropy, ReLU, Tanh

NET = gp.layered([Affine(4, 3), ReLU(), Affine(3, 2)], CrossEntropy(eps=0.01))
CASE = gp.Case.random(NET, batch=5, seed=1)


def report(change=lambda trace: None, case=CASE, dtypes=("float64",), **options) -> gp.Report:
    def mine(case: gp.Case) -> gp.Trace:
        trace = gp.backprop(case)
        change(trace)
        return trace

    return gp.check(case, mine, dtypes=dtypes, **options)


def edited(given: gp.Report, quantity: str, **changes: object) -> gp.Report:
    """With one finding changed, in every run."""
    runs = [
        replace(
            run,
            findings=tuple(
                replace(f, **changes) if f.quantity == quantity else f for f in run.findings
            ),
        )
        for run in given.runs
    ]
    return replace(given, runs=tuple(runs))


def kinds(before: gp.Report, after: gp.Report) -> list[tuple[str, str]]:
    return [(str(c.kind), c.quantity) for c in compare(before, after).changes]


RIGHT = report(dtypes=("float64", "float32"))


class TestKinds:
    def test_the_same_is_no_change(self) -> None:
        changes = compare(RIGHT, RIGHT)
        assert not changes
        assert changes.exit_code == 0
        assert text(changes) == f"NO CHANGE  {len(RIGHT.findings())} quantities in 2 runs"

    def test_a_fault_of_code_is_worse_and_its_mending_better(self) -> None:
        def triple(trace: gp.Trace) -> None:
            trace.grad["b1"] *= 3

        wrong = report(triple)
        right = report()
        assert kinds(right, wrong) == [("worse", "grad b1")]
        assert kinds(wrong, right) == [("better", "grad b1")]
        said = text(compare(right, wrong))
        assert "3 times the formula" in said
        assert "WORSE  grad b1 at node z1" in said

    def test_what_is_not_known_any_more_is_worse(self) -> None:
        for verdict in (gp.Verdict.VACUOUS, gp.Verdict.INCONCLUSIVE, gp.Verdict.IMPRECISE):
            after = edited(RIGHT, "grad W2", verdict=verdict)
            assert kinds(RIGHT, after) == [("worse", "grad W2")] * 2
            assert kinds(after, RIGHT) == [("better", "grad W2")] * 2

    def test_an_expectation_withdrawn_is_worse(self) -> None:
        def summed(trace: gp.Trace) -> None:
            for name in ("W1", "b1", "W2", "b2"):
                trace.grad[name] *= 5

        meant, not_meant = report(summed, expected=["sum"]), report(summed)
        assert {kind for kind, _ in kinds(meant, not_meant)} == {"worse"}
        assert {kind for kind, _ in kinds(not_meant, meant)} == {"better"}

    def test_another_convention(self) -> None:
        one = edited(RIGHT, "grad b2", verdict=gp.Verdict.CONVENTION, convention="sum")
        other = edited(RIGHT, "grad b2", verdict=gp.Verdict.CONVENTION, convention="mean")
        assert kinds(one, other) == [("another convention", "grad b2")] * 2

    def test_another_choice_at_a_kink(self) -> None:
        def case(choice: float) -> gp.Case:
            net = gp.layered([ReLU(subgradient=choice), Affine(4, 2)], CrossEntropy())
            return replace(gp.Case.random(net, batch=3, width=4), x=np.zeros((3, 4)))

        before, after = (report(case=case(choice)) for choice in (1.0, 0.5))
        changes = compare(before, after)
        choice = [c for c in changes.changes if c.kind is Kind.CHOICE]
        assert choice
        assert choice[0].said == "takes 1 -> 0.5"
        assert "another network" in {str(c.kind) for c in changes.changes}  # its op says which

    def test_a_run_a_quantity_and_a_network_that_went_or_came(self) -> None:
        less = report()
        assert kinds(RIGHT, less) == [("gone", "")]
        assert kinds(less, RIGHT) == [("new", "")]
        run = RIGHT.runs[0]
        without = tuple(f for f in run.findings if f.quantity != "grad W1")
        lacking = replace(RIGHT, runs=(replace(run, findings=without), *RIGHT.runs[1:]))
        assert kinds(RIGHT, lacking) == [("gone", "grad W1")]
        assert kinds(lacking, RIGHT) == [("new", "grad W1")]
        other = gp.Case.random(gp.layered([Affine(4, 2), Tanh()], CrossEntropy()), batch=5)
        assert ("another network", "") in kinds(report(), report(case=other))

    def test_something_wrong_that_was_not_there_is_worse(self) -> None:
        run = RIGHT.runs[0]
        raised = gp.comparisons.Finding("inputs", "", "", gp.Verdict.MISMATCH, 0, note="written")
        after = replace(run, findings=(*run.findings, raised))
        assert kinds(RIGHT, replace(RIGHT, runs=(after, RIGHT.runs[1]))) == [("worse", "inputs")]

    def test_power_that_is_lost(self) -> None:
        power = next(f.power for _, f in RIGHT.findings() if f.quantity == "grad W1")
        for name in ("median", "tensor"):
            weak = replace(power, **{name: 11 * getattr(power, name)})
            near = replace(power, **{name: 9 * getattr(power, name)})
            before, lost, kept = (edited(RIGHT, "grad W1", power=p) for p in (power, weak, near))
            assert {kind for kind, _ in kinds(before, lost)} == {"weaker"}
            assert not compare(before, kept)

    def test_rounding_alone_is_no_change_but_counted(self) -> None:
        after = edited(RIGHT, "grad W1", verdict=gp.Verdict.ROUNDING, error=0.5)
        after = edited(after, "grad W2", verdict=gp.Verdict.EXACT, error=0.0)
        before = edited(RIGHT, "grad W1", verdict=gp.Verdict.EXACT, error=0.0)
        changes = compare(edited(before, "grad W2", verdict=gp.Verdict.EXACT), after)
        assert not changes
        assert changes.bits == 2
        assert "2 quantities are bitwise right in one of the two alone" in text(changes)

    def test_versions_are_told_and_change_nothing(self) -> None:
        after = replace(RIGHT, environment={**RIGHT.environment, "numpy": "9.0"})
        changes = compare(RIGHT, after)
        assert not changes
        assert f"numpy {RIGHT.environment['numpy']} -> 9.0" in text(changes)

    def test_nothing_in_common_is_unknown(self) -> None:
        assert compare(RIGHT, gp.Report(())).exit_code == 2
        assert compare(gp.Report(()), gp.Report(())).exit_code == 2
        assert text(compare(gp.Report(()), RIGHT)).splitlines()[-1].startswith("UNKNOWN")


class TestTold:
    def test_one_cause_is_told_once(self) -> None:
        cases = [replace(CASE, name=f"case-{i}") for i in range(30)]

        def off(trace: gp.Trace) -> None:
            trace.grad["W1"] = trace.grad["W1"] * 2

        before, after = (report(c, case=cases) for c in (lambda trace: None, off))
        changes = compare(before, after)
        assert len(changes.changes) == 30
        assert len(told(changes)) == 1
        said = text(changes)
        assert "and 26 more" in said
        assert len(said.splitlines()) < 20

    @pytest.mark.parametrize("after", [RIGHT, edited(RIGHT, "grad W1", note="x" * 500)])
    def test_lines_fit_and_the_last_is_the_verdict(self, after: gp.Report) -> None:
        wrong = edited(after, "grad W1", verdict=gp.Verdict.MISMATCH)
        for changes in (compare(RIGHT, wrong), compare(RIGHT, RIGHT)):
            lines = text(changes).splitlines()
            assert max(map(len, lines)) <= 80
            assert lines[-1] == verdict_line(changes)

    def test_json(self) -> None:
        wrong = edited(RIGHT, "grad W1", verdict=gp.Verdict.MISMATCH, error=float("nan"))
        document = json.loads(to_json(compare(RIGHT, wrong)))
        assert document["schema"] == "gradparity/changes/1"
        assert document["exit_code"] == 1
        assert document["changes"][0]["after"]["error"] == "nan"

    def test_in_the_page(self) -> None:
        from gradparity.comparisons.page.page import html

        wrong = edited(RIGHT, "grad W1", verdict=gp.Verdict.MISMATCH)
        page = html(wrong, changes=compare(RIGHT, wrong))
        assert '<h2 id="changes">What changed</h2>' in page
        assert "worse: grad W1 at node z1" in page
        assert "NO CHANGE" in html(RIGHT, changes=compare(RIGHT, RIGHT))


QUANTITIES = sorted({f.quantity for _, f in RIGHT.findings()})


@given(
    edits=st.lists(
        st.tuples(st.sampled_from(QUANTITIES), st.sampled_from(list(gp.Verdict)), st.booleans()),
        max_size=6,
    )
)
def test_no_change_of_parity_is_ever_silent(
    edits: list[tuple[str, gp.Verdict, bool]],
) -> None:
    after = RIGHT
    for quantity, verdict, declared in edits:
        after = edited(after, quantity, verdict=verdict, declared=declared)
    earlier = {(r.dtype, f.quantity): f.parity for r, f in RIGHT.findings()}
    moved = {
        (r.dtype, f.quantity): f.parity
        for r, f in after.findings()
        if f.parity is not earlier[r.dtype, f.quantity]
    }
    changes = {(c.dtype, c.quantity): c.kind for c in compare(RIGHT, after).changes}
    back = {(c.dtype, c.quantity): c.kind for c in compare(after, RIGHT).changes}
    for place, parity in moved.items():
        worse = parity is not True and earlier[place] is True
        assert changes[place] is (Kind.WORSE if worse else changes[place])
        assert back[place] is (Kind.BETTER if worse else back[place])
