"""Changes between two reports: every kind is planted, and reported as that kind."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gradparity as gp
from gradparity.comparisons import compare
from gradparity.comparisons.report.change_records import Kind
from gradparity.comparisons.report.changes_text import text, to_json, told, verdict_line
from gradparity.core import Affine, CrossEntropy, ReLU, Tanh

NET = gp.layered([Affine(4, 3), ReLU(), Affine(3, 2)], CrossEntropy(eps=0.01))
CASE = gp.Case.random(NET, batch=5, seed=1)


def report(change=lambda trace: None, case=CASE, dtypes=("float64",), **options) -> gp.Report:
    def mine(case: gp.Case) -> gp.Trace:
        trace = gp.backprop(case)
        change(trace)
        return trace

    return gp.check(case, mine, dtypes=dtypes, **options)


def in_cases(n: int, case: gp.Case, change) -> gp.Report:
    """The report of one case under n names, as if there were so many."""
    (run,) = (one := report(change, case)).runs
    return replace(one, runs=tuple(replace(run, case=f"case-{i}") for i in range(n)))


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


def without(given: gp.Report, quantity: str) -> gp.Report:
    """With one quantity that is not returned, in no run."""
    runs = [
        replace(run, findings=tuple(f for f in run.findings if f.quantity != quantity))
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
        assert "WORSE  grad b1 at node 'z1'" in said

    def test_what_is_not_known_any_more_is_worse(self) -> None:
        for verdict in (gp.Verdict.VACUOUS, gp.Verdict.INCONCLUSIVE, gp.Verdict.IMPRECISE):
            after = edited(RIGHT, "grad W2", verdict=verdict)
            assert kinds(RIGHT, after) == [("worse", "grad W2")] * 2
            assert kinds(after, RIGHT) == [("better", "grad W2")] * 2

    def test_an_expectation_withdrawn_is_worse(self) -> None:
        def summed(trace: gp.Trace) -> None:
            for name in ("W1", "b1", "W2", "b2"):
                trace.grad[name] *= 5

        meant, not_meant = report(summed, allow=["sum"]), report(summed)
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
            assert not compare(lost, before)
        blind = edited(RIGHT, "grad W1", power=None)
        assert {kind for kind, _ in kinds(RIGHT, blind)} == {"weaker"}

    def test_an_error_that_nears_its_bound_is_told_and_no_change(self) -> None:
        changes = compare(_used(0.3), _used(0.9))
        assert not changes
        assert changes.exit_code == 0
        assert "the error of grad W1 grew most: from 30% to 90%" in text(changes)
        assert compare(_used(0.3), _used(0.5)).growth is None

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


class TestFailedRuns:
    """A run that raised is told as such, and not once more for everything it lacks."""

    @staticmethod
    def raising(trace: gp.Trace) -> None:
        raise RuntimeError("no kernel")

    def test_is_worse_and_its_mending_better(self) -> None:
        failed, right = report(self.raising), report()
        assert kinds(right, failed) == [("worse", "everything")]
        assert kinds(failed, right) == [("better", "everything")]
        changes = compare(right, failed)
        assert changes.exit_code == 1  # though the two have no quantity in common
        assert "no kernel" in text(changes)

    def test_what_is_wrong_in_the_mended_run_is_told(self) -> None:
        def triple(trace: gp.Trace) -> None:
            trace.grad["b1"] *= 3

        assert kinds(report(self.raising), report(triple)) == [
            ("worse", "grad b1"),
            ("better", "everything"),
        ]

    def test_two_that_failed_have_nothing_to_compare(self) -> None:
        changes = compare(report(self.raising), report(self.raising))
        assert changes.exit_code == 2
        assert text(changes).splitlines()[-1].startswith("UNKNOWN  no quantity was compared")

    def test_for_another_reason(self) -> None:
        def failing(why: str) -> gp.Report:
            def fail(trace: gp.Trace) -> None:
                raise RuntimeError(why)

            return report(fail)

        said = "no kernel", "no memory at 0x7f21 for 12 bytes", "no memory at 0xbeef for 16 bytes"
        again = [failing(why) for why in said]
        assert kinds(again[0], again[1]) == [("another reason", "everything")]
        assert not kinds(again[1], again[2])

    def test_an_accusation_withdrawn_is_better(self) -> None:
        calls: list[int] = []

        def adds_up(case: gp.Case) -> gp.Trace:
            trace = gp.backprop(case)
            trace.grad["b1"] *= 1 + len(calls)
            calls.append(1)
            return trace

        def right(case: gp.Case) -> gp.Trace:
            return gp.backprop(case)

        right.__name__ = "adds_up"
        before = gp.check(CASE, adds_up, dtypes=["float64"])
        after = gp.check(CASE, right, dtypes=["float64"])
        assert kinds(before, after) == [("better", "grad b1, second call")]
        assert kinds(after, before) == [("worse", "grad b1, second call")]


class TestWrongOtherwise:
    """Wrong before and after, but not in the same way."""

    @pytest.mark.parametrize(
        ("one", "other", "told_as"),
        [
            ("every element is 3 times the formula", "every element is 3.5 times the formula", []),
            ("every element is 3 times the formula", "a stale value", ["another reason"] * 2),
        ],
    )
    def test_the_reason_of_a_mismatch(self, one: str, other: str, told_as: list[str]) -> None:
        before, after = (
            edited(RIGHT, "grad W1", verdict=gp.Verdict.MISMATCH, note=note, error=9.0, bound=1.0)
            for note in (one, other)
        )
        assert [kind for kind, _ in kinds(before, after)] == told_as

    def test_the_parameter_of_a_convention(self) -> None:
        def decayed(amount: float):
            def change(trace: gp.Trace) -> None:
                trace.grad["W1"] += amount * CASE.params["W1"]

            return report(change, allow=["weight-decay"])

        one, other = decayed(0.001), decayed(0.002)
        assert one
        assert other
        assert kinds(one, other) == [("another convention", "grad W1")]
        assert kinds(report(), one) == [("another convention", "grad W1")]
        assert not kinds(one, decayed(0.001))

    def test_a_fault_ten_times_further_off(self) -> None:
        for verdict in (gp.Verdict.MISMATCH, gp.Verdict.IMPRECISE):
            near, nearly, far, nan = (
                edited(RIGHT, "grad W1", verdict=verdict, error=error, bound=1.0)
                for error in (3.0, 29.0, 31.0, float("nan"))
            )
            assert not kinds(near, nearly)
            assert kinds(near, far) == kinds(near, nan) == [("worse", "grad W1")] * 2
            assert kinds(far, near) == kinds(nan, near) == [("better", "grad W1")] * 2


class TestChoices:
    CENSUS = gp.comparisons.KinkSummary(4, {"0": 4}, "1", "[0, 1]")

    def changed(self, before: dict[str, int], after: dict[str, int], dtype: str) -> bool:
        one, other = (
            replace(
                edited(report(), "grad z1 -> y1", kinks=replace(self.CENSUS, taken=taken)),
            )
            for taken in (before, after)
        )
        one, other = (
            replace(r, runs=tuple(replace(run, dtype=dtype) for run in r.runs))
            for r in (one, other)
        )
        found = kinds(one, other)
        assert found in ([], [("another choice", "grad z1 -> y1")])
        assert found == kinds(other, one)
        return bool(found)

    @pytest.mark.parametrize(
        ("before", "after", "dtype", "changed"),
        [
            ({"0": 4}, {"1": 4}, "float64", True),
            ({"0": 4}, {"0": 3, "1": 1}, "float64", True),
            ({"0": 3, "1": 1}, {"0": 1, "1": 3}, "float64", True),
            ({"first": 2}, {"even": 2}, "float64", True),
            ({"0.01": 4}, {"0.02": 4}, "bfloat16", True),
            ({"1.051": 2, "1.05": 2}, {"1.758": 4}, "bfloat16", True),
            # Rounding moved elements off the kink, or let no gradient arrive.
            ({"0": 4}, {"0": 3}, "float64", False),
            ({"0": 4}, {}, "float64", False),
            # Slopes are quotients of rounded numbers.
            ({"1.758": 3, "1.759": 1}, {"1.757": 1, "1.758": 1, "1.761": 2}, "bfloat16", False),
            ({"1.758": 4}, {"1.771": 4}, "float32", True),
        ],
    )
    def test_what_is_another(
        self, before: dict[str, int], after: dict[str, int], dtype: str, changed: bool
    ) -> None:
        assert self.changed(before, after, dtype) == changed

    def test_the_same_choice_elsewhere_is_said_so(self) -> None:
        one, other = (
            edited(RIGHT, "grad z1 -> y1", kinks=replace(self.CENSUS, taken=taken))
            for taken in ({"0": 3, "1": 1}, {"0": 1, "1": 3})
        )
        assert "takes 0 or 1, in other places" in text(compare(one, other))


class TestNetworks:
    def test_how_it_changed_is_said(self) -> None:
        def other(op: object, batch: int = 5) -> gp.Report:
            net = gp.layered([Affine(4, 3), op, Affine(3, 2)], CrossEntropy(eps=0.01))
            return report(case=gp.Case.random(net, batch=batch, seed=1))

        def said(after: gp.Report) -> str:
            found = compare(report(), after).changes
            return next(c.said for c in found if c.kind is Kind.NETWORK)

        assert said(other(Tanh())).startswith("y1: ReLU() -> Tanh(); the numbers")
        assert said(other(ReLU(), batch=6)).startswith("x: (5, 4) -> (6, 4)")

    def test_of_one_op_alone(self) -> None:
        def checked(like: ReLU) -> gp.Report:
            return gp.check_op(lambda y: y * (y > 0), lambda dz, y: dz * (y > 0), reference=like)

        found = compare(checked(ReLU()), checked(ReLU(subgradient="left"))).changes
        assert {c.said.partition(";")[0] for c in found if c.kind is Kind.NETWORK} == {
            "ReLU() -> ReLU(subgradient='left')"
        }

    def test_power_in_another_network_is_no_change(self) -> None:
        power = next(f.power for _, f in RIGHT.findings() if f.quantity == "grad W1")
        weak = edited(RIGHT, "grad W1", power=replace(power, tensor=1.0))
        graph = replace(RIGHT.graphs[CASE.name], inputs={"x": (6, 4)})
        assert [kind for kind, _ in kinds(RIGHT, replace(weak, graphs={CASE.name: graph}))] == [
            "another network"
        ]


def test_runs_of_one_name_are_all_compared() -> None:
    """As where two reports were put together by hand."""
    twice = replace(RIGHT, runs=(RIGHT.runs[0], RIGHT.runs[0]))
    wrong = edited(RIGHT, "grad W1", verdict=gp.Verdict.MISMATCH).runs[0]
    for runs in ((wrong, RIGHT.runs[0]), (RIGHT.runs[0], wrong)):
        assert kinds(twice, replace(RIGHT, runs=runs)) == [("worse", "grad W1")]


def _used(share: float) -> gp.Report:
    """With an error that takes up so much of its bound."""
    return edited(RIGHT, "grad W1", verdict=gp.Verdict.ROUNDING, error=share * 10, bound=10.0)


class TestTold:
    def test_one_cause_is_told_once(self) -> None:
        def off(trace: gp.Trace) -> None:
            trace.grad["W1"] = trace.grad["W1"] * 2

        before, after = (in_cases(30, CASE, c) for c in (lambda trace: None, off))
        changes = compare(before, after)
        assert len(changes.changes) == 30
        assert len(told(changes)) == 1
        said = text(changes)
        assert "and 26 more" in said
        assert len(said.splitlines()) < 20

    def test_a_cause_in_many_ops_and_an_adapter_that_is_gone_are_short(self) -> None:
        layers = [op for _ in range(25) for op in (Affine(3, 3), Tanh())]
        deep = gp.Case.random(gp.layered([*layers, Affine(3, 2)], CrossEntropy()), batch=2)

        def off(trace: gp.Trace) -> None:
            for name in trace.grad:
                trace.grad[name] = trace.grad[name] * (2 if name.startswith("W") else 1)

        before, after = (in_cases(8, deep, c) for c in (lambda trace: None, off))
        changes = compare(before, after)
        assert len(changes.changes) == 8 * 26
        assert "WORSE  208 quantities of Affine: " in text(changes)
        assert len(text(changes).splitlines()) < 20
        gone = compare(before, replace(before, runs=before.runs[:1]))
        assert "GONE  7 runs of mine: was run before, and is not now" in text(gone)
        assert len(text(gone).splitlines()) < 10

    def test_a_cause_comes_before_what_follows(self) -> None:
        def stale(trace: gp.Trace) -> None:
            trace.edge_grad[gp.core.Edge("y1", "z2")] *= 2

        found = compare(report(), report(stale)).changes
        ops = [c.after.op for c in found if c.kind is Kind.WORSE]
        assert ops
        assert ops == sorted(ops, key=lambda op: op == "sum over uses")

    def test_many_kinds_fit_on_the_last_line(self) -> None:
        found = compare(RIGHT, edited(RIGHT, "grad W1", verdict=gp.Verdict.MISMATCH))
        every = tuple(replace(found.changes[0], kind=kind) for kind in Kind for _ in range(1234))
        for some in (every, every[: 4 * 1234]):
            line = text(replace(found, changes=some)).splitlines()[-1]
            assert line.startswith("CHANGED  1234 worse, 1234 gone, ")
            assert len(line) <= 80

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
        assert document["growth"] is None
        assert json.loads(to_json(compare(*map(_used, (0.1, 0.8)))))["growth"]["after"] == 0.8

    def test_in_the_page(self) -> None:
        from gradparity.comparisons.report.page.html import html

        wrong = edited(RIGHT, "grad W1", verdict=gp.Verdict.MISMATCH)
        page = html(wrong, changes=compare(RIGHT, wrong))
        assert '<h2 id="changes">What changed</h2>' in page
        assert "worse: grad W1 at node &#39;z1&#39;" in page
        assert "NO CHANGE" in html(RIGHT, changes=compare(RIGHT, RIGHT))


QUANTITIES = sorted({f.quantity for _, f in RIGHT.findings()})


VERDICTS = st.sampled_from([*gp.Verdict, None])


@given(
    edits=st.lists(
        st.tuples(st.sampled_from(QUANTITIES), VERDICTS, st.booleans()), min_size=1, max_size=6
    )
)
def test_no_change_of_parity_is_ever_silent(
    edits: list[tuple[str, gp.Verdict | None, bool]],
) -> None:
    """A quantity of the one report has another verdict in the other, or is not returned (None)."""
    after = RIGHT
    for quantity, verdict, declared in edits:
        if verdict is None:
            after = without(after, quantity)
        else:
            meant = declared and verdict is gp.Verdict.CONVENTION  # nothing else is ever declared
            after = edited(after, quantity, verdict=verdict, declared=meant)
    earlier, later = (
        {(run.dtype, f.quantity): f.parity for run, f in r.findings()} for r in (RIGHT, after)
    )
    there, back = (
        {(c.dtype, c.quantity): c.kind for c in compare(*pair).changes}
        for pair in ((RIGHT, after), (after, RIGHT))
    )
    for place, parity in earlier.items():
        if place not in later:
            assert (there[place], back[place]) == (Kind.GONE, Kind.NEW)
        elif later[place] is not parity:
            assert (there[place], back[place]) == (Kind.WORSE, Kind.BETTER)
    if after.exit_code != RIGHT.exit_code and any(run.findings for run in after.runs):
        assert compare(RIGHT, after).exit_code == compare(after, RIGHT).exit_code == 1
