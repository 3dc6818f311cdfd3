"""`guard`: steps of a training loop judged now and then."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest

import gradparity as gp
from gradparity.comparisons import GradientError

torch = pytest.importorskip("torch")


class Loop:
    """A small model that is trained; from step `wrong` on a hook changes a gradient."""

    def __init__(self, wrong: int = 10**9) -> None:
        torch.manual_seed(0)
        self.model = torch.nn.Sequential(
            torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 2)
        )
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=0.1)
        self.wrong, self.step, self.fired = wrong, 0, 0

    def change(self, gradient: Any) -> Any:
        self.fired += 1
        return gradient * 1.01

    def loss(self) -> Any:
        self.step += 1
        h = self.model[:2](torch.randn(5, 3))
        if self.step >= self.wrong:
            h.register_hook(self.change)
        return self.model[2](h).square().mean()

    def run(self, guard: Any, steps: int) -> None:
        for _ in range(steps):
            with guard:
                self.optimizer.zero_grad()
                self.loss().backward()
                self.optimizer.step()

    @property
    def numbers(self) -> list[list[float]]:
        return [p.detach().flatten().tolist() for p in self.model.parameters()]


class TestWhichSteps:
    @pytest.mark.parametrize(
        ("every", "first", "judged"),
        [
            (3, True, [1, 3, 6]),
            (3, False, [3, 6]),
            (1, True, [1, 2, 3, 4, 5, 6, 7]),
            (9, True, [1]),
        ],
    )
    def test_the_first_and_every_nth(self, every: int, first: bool, judged: list[int]) -> None:
        guard = gp.guard(every=every, first=first)
        Loop().run(guard, 7)
        assert list(guard.reports) == judged
        assert (guard.steps, guard.judged) == (7, len(judged))
        assert all(guard.reports.values())
        assert guard.reports[judged[0]].runs[0].case == f"step {judged[0]}"

    def test_a_step_without_a_backward_pass_passes_it_on_to_the_next(self) -> None:
        guard, loop = gp.guard(every=2, first=False), Loop()
        for step in range(1, 6):
            with guard:
                if step != 2:
                    loop.loss().backward()
        assert list(guard.reports) == [3, 4]

    def test_so_does_a_step_that_raises(self) -> None:
        guard, loop = gp.guard(every=5), Loop()
        with pytest.raises(OSError, match="no data"), guard:  # noqa: PT012
            loop.loss().backward()
            raise OSError("no data")
        loop.run(guard, 2)
        assert list(guard.reports) == [2]

    def test_only_some_reports_with_parity_are_kept(self) -> None:
        guard = gp.guard(every=1, on_fault="warn")
        loop = Loop(wrong=1)
        with pytest.warns(RuntimeWarning):
            loop.run(guard, 1)
        loop.wrong = 10**9
        loop.run(guard, 14)
        assert list(guard.reports) == [1, *range(6, 16)]
        assert guard.judged == 15


class TestTheProgram:
    def test_it_computes_the_same_bits(self) -> None:
        guarded = Loop()
        guarded.run(gp.guard(every=2), 6)
        plain = Loop()
        plain.run(nullcontext(), 6)
        assert guarded.numbers == plain.numbers

    def test_no_mode_and_no_hook_outside_of_the_judged_steps(self) -> None:
        from torch.nn.modules import module
        from torch.utils._python_dispatch import _get_current_dispatch_mode_stack

        guard, loop, seen = gp.guard(every=2, first=False), Loop(), []
        for _ in range(4):
            with guard:
                hooks = len(module._global_forward_hooks)
                seen.append((len(_get_current_dispatch_mode_stack()), hooks))
                loop.loss().backward()
        assert seen == [(0, 0), (1, 1), (0, 0), (1, 1)]
        assert not _get_current_dispatch_mode_stack()
        assert not module._global_forward_hooks


class TestFaults:
    def test_raise_is_the_default(self) -> None:
        guard, loop = gp.guard(every=2), Loop(wrong=2)
        with pytest.raises(GradientError, match="step 2: convention") as raised:
            loop.run(guard, 4)
        assert loop.fired == 1
        assert raised.value.step == 2
        assert raised.value.report is guard.reports[2]
        assert raised.value.report.exit_code == 1
        loop.wrong = 10**9
        loop.run(guard, 2)  # the loop may go on
        assert list(guard.reports) == [1, 2, 4]

    def test_warn(self) -> None:
        guard, loop = gp.guard(every=2, on_fault="warn"), Loop(wrong=2)
        with pytest.warns(RuntimeWarning, match="step 2: convention") as warned:
            loop.run(guard, 3)
        assert loop.fired == 2
        (one,) = warned
        assert one.filename == __file__

    def test_a_function(self) -> None:
        told: list[tuple[int, gp.Report]] = []
        guard = gp.guard(every=2, on_fault=lambda step, report: told.append((step, report)))
        Loop(wrong=3).run(guard, 4)
        ((step, report),) = told
        assert (step, report) == (4, guard.reports[4])
        assert report.exit_code == 1


class TestArguments:
    @pytest.mark.parametrize(
        ("given", "error"),
        [
            ({"every": 0}, ValueError),
            ({"every": 2.0}, TypeError),
            ({"every": True}, TypeError),
            ({"on_fault": "stop"}, ValueError),
            ({"on_fault": None}, ValueError),
            ({"first": "yes"}, TypeError),
            ({"name": 3}, TypeError),
            ({"allow": ["nonsense"]}, ValueError),
        ],
    )
    def test_refused(self, given: dict[str, Any], error: type[Exception]) -> None:
        with pytest.raises(error):
            gp.guard(**given)

    def test_its_block_inside_itself_is_refused(self) -> None:
        guard = gp.guard()
        with guard, pytest.raises(RuntimeError, match="inside itself"), guard:
            pass
