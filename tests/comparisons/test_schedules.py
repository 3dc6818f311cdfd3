"""`check_schedule`: right schedules pass, and planted mistakes are named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradparity as gp
from gradparity.comparisons import Report
from gradparity.optimizers import (
    Cosine,
    Exponential,
    Joined,
    Linear,
    OneCycle,
    Schedule,
    StepDecay,
)

torch = pytest.importorskip("torch")
of = torch.optim.lr_scheduler


def optimizer(lr: float = 0.1) -> Any:
    return torch.optim.SGD([torch.nn.Parameter(torch.ones(2))], lr=lr)


def note(report: Report) -> str:
    assert report.exit_code == 1
    (found,) = [f for _, f in report.findings()]
    return found.note


def warmup(o: Any) -> Any:
    parts = [of.LinearLR(o, 0.01, 1.0, 7), of.CosineAnnealingLR(o, 31, 1e-3)]
    return of.SequentialLR(o, parts, [7])


TORCH: list[tuple[str, Callable[[Any], Any]]] = [
    ("StepLR", lambda o: of.StepLR(o, 7, 0.3)),
    ("ExponentialLR", lambda o: of.ExponentialLR(o, 0.97)),
    ("LinearLR", lambda o: of.LinearLR(o, 0.2, 1.0, 13)),
    ("LinearLR down", lambda o: of.LinearLR(o, 1.0, 0.0, 13)),
    ("CosineAnnealingLR", lambda o: of.CosineAnnealingLR(o, 37, 1e-3)),
    ("CosineAnnealingLR to 0", lambda o: of.CosineAnnealingLR(o, 37)),
    ("OneCycleLR", lambda o: of.OneCycleLR(o, 0.5, total_steps=121)),
    ("warmup and cosine", warmup),
]


@pytest.mark.parametrize("make", [m for _, m in TORCH], ids=[n for n, _ in TORCH])
def test_schedulers_of_pytorch_are_right_by_their_own_settings(make: Callable[[Any], Any]) -> None:
    scheduler = make(optimizer())
    report = gp.check_schedule(scheduler, steps=120)
    (found,) = [f for _, f in report.findings()]
    assert report.exit_code == 0, str(report)
    assert found.elements == 120
    assert found.power is not None
    assert found.power.median < 1e-10
    assert scheduler.last_epoch == 0


def test_every_parameter_group_is_judged() -> None:
    groups = [{"params": [torch.nn.Parameter(torch.ones(1))], "lr": lr} for lr in (0.1, 0.3)]
    report = gp.check_schedule(of.StepLR(torch.optim.SGD(groups), 5), steps=20)
    assert [str(f.quantity) for _, f in report.findings()] == [
        "value lr_of_group_1",
        "value lr_of_group_2",
    ]
    assert report.exit_code == 0


@pytest.mark.slow
def test_schedules_of_optax_are_right() -> None:
    optax = pytest.importorskip("optax")
    pairs: list[tuple[Any, Schedule]] = [
        (optax.cosine_decay_schedule(0.1, 50, 0.1), Cosine(0.1, 50, 0.01)),
        (optax.linear_schedule(0.0, 0.1, 20), Linear(0.0, 0.1, 20)),
        (optax.exponential_decay(0.1, 10, 0.9), Exponential(0.1, 0.9, 10)),
        (optax.exponential_decay(0.1, 10, 0.9, staircase=True), StepDecay(0.1, 0.9, 10)),
        (optax.cosine_onecycle_schedule(100, 0.5), OneCycle(0.5, 30, 100)),
        (
            optax.warmup_cosine_decay_schedule(0.0, 0.1, 10, 60, 0.001),
            Joined((Linear(0.0, 0.1, 10), Cosine(0.1, 50, 0.001)), (10,)),
        ),
    ]
    for schedule, rule in pairs:
        report = gp.check_schedule(schedule, rule, steps=120)
        assert report.exit_code == 0, f"{rule}: {report}"
        ((_, found),) = report.findings()
        assert found.power is not None
        assert found.power.median < 1e-4


def test_a_scheduler_of_pytorch_and_a_schedule_of_optax_have_one_formula_each() -> None:
    optax = pytest.importorskip("optax")
    rule = Cosine(0.1, 40, 0.01)
    here = gp.check_schedule(of.CosineAnnealingLR(optimizer(), 40, 0.01), rule, steps=41)
    there = gp.check_schedule(optax.cosine_decay_schedule(0.1, 40, 0.1), rule, steps=41)
    assert here.exit_code == there.exit_code == 0
    later = gp.check_schedule(of.CosineAnnealingLR(optimizer(), 40, 0.01), rule, steps=60)
    assert note(later) == "it goes up again after its steps"


WARM = Joined((Linear(0.0, 0.1, 10), Cosine(0.1, 50, 0.001)), (10,))
PLANTED: list[tuple[str, Callable[[int], float], Schedule]] = [
    ("it is one step ahead", lambda t: Cosine(0.1, 60)(t + 1), Cosine(0.1, 60)),
    ("it is one step behind", lambda t: WARM(max(t - 1, 0)), WARM),
    ("it takes 59 steps, and not 60", Cosine(0.1, 59), Cosine(0.1, 60)),
    ("its floor is 0.0123", Cosine(0.1, 60, 0.0123), Cosine(0.1, 60, 0.01)),
    ("the floor is left out", Cosine(0.1, 60), Cosine(0.1, 60, 0.01)),
    ("it goes along a line", Linear(0.1, 0.01, 60), Cosine(0.1, 60, 0.01)),
    ("it advances once in 5 steps", lambda t: Cosine(0.1, 60)(t // 5), Cosine(0.1, 60)),
    ("it advances 8 steps at a time", lambda t: Cosine(0.1, 60)(8 * t), Cosine(0.1, 60)),
    ("it is 0.1 times", Exponential(0.01, 0.98), Exponential(0.1, 0.98)),
    ("it decays between the steps, too", Exponential(0.1, 0.5, 8), StepDecay(0.1, 0.5, 8)),
    (
        "it counts from 1 to 11, in the part number 1",
        lambda t: 0.1 * (t + 1) / 11 if t < 10 else WARM(t),
        WARM,
    ),
    (
        "it counts from 1, in the part number 1",
        lambda t: 0.1 * (t + 1) / 10 if t < 10 else WARM(t),
        WARM,
    ),
    ("the part number 2 begins one step later", Joined(WARM.parts, (11,)), WARM),
    ("its peak and its end are one step later", OneCycle(0.5, 30, 100), OneCycle(0.5, 29, 99)),
]


@pytest.mark.sample(3)
@pytest.mark.parametrize(("words", "schedule", "rule"), PLANTED, ids=[p[0] for p in PLANTED])
def test_a_planted_mistake_is_named(
    words: str, schedule: Callable[[int], float], rule: Schedule
) -> None:
    assert note(gp.check_schedule(schedule, rule)).startswith(words)
    single = gp.check_schedule(lambda t: np.float32(schedule(t)), rule)
    assert note(single).startswith(words)


def test_a_mistake_without_a_name_is_a_mismatch() -> None:
    report = gp.check_schedule(lambda t: 0.1 if t != 40 else 0.1 + 1e-9, Linear(0.1, 0.1, 9))
    assert note(report) == ""
    ((_, found),) = report.findings()
    assert found.index == (40,)
    assert found.outside == 1


def test_a_right_schedule_is_no_mistake_of_another_scheduler() -> None:
    class Late(of.ExponentialLR):
        def get_lr(self) -> list[float]:
            return [lr * self.gamma ** max(self.last_epoch - 1, 0) for lr in self.base_lrs]

    report = gp.check_schedule(Late(optimizer(), 0.9), Exponential(0.1, 0.9))
    assert note(report) == "it is one step behind"


def test_errors_name_what_was_given() -> None:
    with pytest.raises(TypeError, match="does not tell its settings; give rule="):
        gp.check_schedule(lambda t: 0.1)
    with pytest.raises(TypeError, match="schedule is 3; give one of"):
        gp.check_schedule(3)
    with pytest.raises(TypeError, match="rule is 3; give one of"):
        gp.check_schedule(lambda t: 0.1, 3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="steps is 0; give 1 or more"):
        gp.check_schedule(lambda t: 0.1, Linear(0.0, 1.0, 2), steps=0)
    with pytest.raises(TypeError, match=r"the function returned .*; return a single number"):
        gp.check_schedule(lambda t: np.ones(2), Linear(0.0, 1.0, 2))
    with pytest.raises(TypeError, match="no rule for LambdaLR; give rule="):
        gp.check_schedule(of.LambdaLR(optimizer(), lambda t: 1.0))
    scheduler = of.StepLR(optimizer(), 2)
    scheduler.optimizer.step()
    scheduler.step()
    with pytest.raises(ValueError, match="has made 1 steps already; give a new one"):
        gp.check_schedule(scheduler)
    with pytest.raises(ValueError, match="Cosine: steps is 0; give 1 or more steps"):
        Cosine(0.1, 0)
    with pytest.raises(ValueError, match="Joined: starts is"):
        Joined((Linear(0.0, 1.0, 2),), (3,))
    with pytest.raises(ValueError, match="OneCycle: ends is 2; give more than rises, 3"):
        OneCycle(0.1, 3, 2)
