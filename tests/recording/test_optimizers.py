"""Steps of optimizers and clipped gradients in recordings of PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread
from typing import Any

import pytest

import gradparity as gp
from gradparity.comparisons import Finding, Report, Verdict

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.optim import optimizer as hooks  # noqa: E402

Make = Callable[[Any], Any]


def network(dtype: Any = torch.float32) -> Any:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)).to(dtype)


def loss_of(model: Any) -> Any:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(5, 4, generator=generator).to(next(model.parameters()).dtype)
    return nn.functional.cross_entropy(model(x), torch.tensor([0, 1, 2, 0, 1]))


def trained(model: Any, optimizer: Any, steps: int = 3, clip: float | None = None) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        loss_of(model).backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()


def recorded(
    make: Make, dtype: Any = torch.float32, train: Callable[[Any, Any], None] = trained
) -> Report:
    model = network(dtype)
    optimizer = make(model.parameters())
    with gp.record() as recording:
        train(model, optimizer)
    return recording.report()


def of_steps(report: Report) -> list[Finding]:
    return [f for run in report.runs for f in run.findings if " by " in str(f.quantity)]


def wrong(report: Report) -> set[str]:
    return {str(f.quantity) for run in report.runs for f in run.findings if f.parity is False}


OPTIMIZERS: list[tuple[str, Make]] = [
    ("SGD", lambda ps: torch.optim.SGD(ps, lr=0.1)),
    ("Nesterov", lambda ps: torch.optim.SGD(ps, lr=0.1, momentum=0.9, nesterov=True)),
    ("Adam", lambda ps: torch.optim.Adam(ps, weight_decay=0.1, foreach=True)),
    ("AdamW", lambda ps: torch.optim.AdamW(ps, fused=True)),
    ("AdamW, for loop", lambda ps: torch.optim.AdamW(ps, amsgrad=True, foreach=False)),
    ("NAdam", lambda ps: torch.optim.NAdam(ps)),
    ("RAdam", lambda ps: torch.optim.RAdam(ps)),
    ("RMSprop", lambda ps: torch.optim.RMSprop(ps, momentum=0.9, centered=True)),
    ("Adagrad", lambda ps: torch.optim.Adagrad(ps)),
    ("Adadelta", lambda ps: torch.optim.Adadelta(ps)),
    ("Adamax", lambda ps: torch.optim.Adamax(ps)),
]
EACH = pytest.mark.parametrize("make", [m for _, m in OPTIMIZERS], ids=[n for n, _ in OPTIMIZERS])


@pytest.mark.sample(15)
@EACH
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_right_steps_pass_and_say_what_would_have_been_seen(make: Make, dtype: Any) -> None:
    report = recorded(make, dtype)
    assert report.exit_code == 0
    found = of_steps(report)
    changes = [f for f in found if str(f.quantity).startswith("update ")]
    assert len(changes) == 3 * 4
    assert all(f.verdict in (Verdict.EXACT, Verdict.ROUNDING) and f.power for f in changes)
    assert len({str(f.quantity) for f in found}) == len(found)
    kind = found[0].node.partition("_")[0]
    assert {f.node for f in found} == {f"{kind}_{i}" for i in (1, 2, 3)}
    assert any(str(f.quantity) == f"update 0.weight by {kind}_1" for f in changes)
    assert all("test_optimizers.py" in f.source for f in found)


@pytest.mark.sample(12)
@EACH
@pytest.mark.parametrize("clip", [None, 0.01])
def test_the_run_is_bitwise_what_it_is_without_the_recording(
    make: Make, clip: float | None
) -> None:
    states = []
    for watched in (False, True):
        model = network()
        optimizer = make(model.parameters())
        if watched:
            with gp.record():
                trained(model, optimizer, 5, clip)
        else:
            trained(model, optimizer, 5, clip)
        kept = [optimizer.state[p] for p in model.parameters()]
        states.append((list(model.parameters()), kept, torch.random.get_rng_state()))
    for one, other in zip(states[0][0], states[1][0], strict=True):
        assert torch.equal(one, other)
        assert torch.equal(one.grad, other.grad)
    for left, right in zip(states[0][1], states[1][1], strict=True):
        assert left.keys() == right.keys()
        for name in left:
            assert left[name] is right[name] is None or torch.equal(left[name], right[name])
    assert torch.equal(states[0][2], states[1][2])


def installed() -> tuple[Any, ...]:
    return (
        len(hooks._global_optimizer_pre_hooks),
        len(hooks._global_optimizer_post_hooks),
        nn.utils.clip_grad_value_,
        nn.utils.clip_grad._get_total_norm,
        nn.utils.clip_grad._clip_grads_with_norm_,
        nn.utils.clip_grad.clip_grad_value_,
    )


def test_nothing_stays_behind() -> None:
    before = installed()
    recorded(lambda ps: torch.optim.AdamW(ps))
    assert installed() == before


def test_nothing_stays_behind_when_the_program_raises() -> None:
    before = installed()

    def program() -> None:
        with gp.record():
            assert installed() != before
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        program()
    assert installed() == before


# ---- planted mistakes ---------------------------------------------------------------------------


class Shrinking(torch.optim.AdamW):
    """Multiplies one parameter by 0.999 before the step of its base."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        self.param_groups[0]["params"][0].mul_(0.999)
        return super().step(closure)


class Coupled(torch.optim.AdamW):
    """Adds the weight decay to the gradient."""

    def __init__(self, params: Any) -> None:
        super().__init__(params, weight_decay=0.1, eps=1e-6)

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        group = self.param_groups[0]
        for p in group["params"]:
            state = self.state[p]
            if not state:
                state["step"] = torch.tensor(0.0)
                state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(p), torch.zeros_like(p)
            state["step"] += 1
            t, g = int(state["step"]), p.grad + 0.1 * p
            state["exp_avg"].mul_(0.9).add_(0.1 * g)
            state["exp_avg_sq"].mul_(0.999).add_(0.001 * g * g)
            root = (state["exp_avg_sq"] / (1 - 0.999**t)).sqrt() + 1e-6
            p -= group["lr"] * state["exp_avg"] / (1 - 0.9**t) / root


def test_a_wrong_derived_class_is_accused_at_its_parameter() -> None:
    torch.optim.AdamW([nn.Parameter(torch.ones(1))])  # PyTorch has wrapped the step of the base
    report = recorded(Shrinking)
    assert report.exit_code == 1
    assert wrong(report) == {f"update 0.weight by Shrinking_{i}" for i in (1, 2, 3)}
    assert "update 0.weight by Shrinking_1" in report.diagnosis()
    assert "test_optimizers.py" in report.diagnosis()


def test_the_mistake_of_a_derived_class_is_named() -> None:
    report = recorded(Coupled)
    assert report.exit_code == 1
    found = [f for f in of_steps(report) if f.parity is False]
    assert {f.note for f in found} == {"the weight decay is added to the gradient"}


def test_a_derived_class_that_also_decays_is_named() -> None:
    class Decays(torch.optim.Adam):
        @torch.no_grad()
        def step(self, closure: Any = None) -> Any:
            for p in self.param_groups[0]["params"]:
                p.mul_(1 - 1e-3 * 0.1)
            return super().step(closure)

    report = recorded(Decays, torch.float64)
    assert report.exit_code == 1
    found = {f.note for f in of_steps(report) if f.parity is False}
    assert found == {"the parameter is decayed besides, as by a decoupled weight_decay=0.1"}


def test_a_derived_class_that_changes_nothing_is_right() -> None:
    class Same(torch.optim.AdamW):
        def step(self, closure: Any = None) -> Any:
            return super().step(closure)

    report = recorded(Same)
    assert report.exit_code == 0
    assert {f.node for f in of_steps(report)} == {"Same_1", "Same_2", "Same_3"}


@pytest.mark.parametrize("name", ["clip_grad_norm_", "clip_grad_value_"])
def test_right_clipping_passes(name: str) -> None:
    def train(model: Any, optimizer: Any) -> None:
        loss_of(model).backward()
        getattr(nn.utils, name)(model.parameters(), 0.01)
        optimizer.step()

    report = recorded(lambda ps: torch.optim.SGD(ps, lr=0.1), train=train)
    assert report.exit_code == 0
    clipped = [f for f in of_steps(report) if f.node == f"{name.rstrip('_')}_1"]
    assert {str(f.quantity) for f in clipped} == {
        f"value {p}.grad by {name.rstrip('_')}_1"
        for p in ("0.weight", "0.bias", "2.weight", "2.bias")
    }
    assert all(f.power for f in clipped)


@pytest.mark.parametrize("order", [1.0, 2.0, float("inf")])
@pytest.mark.parametrize("foreach", [False, True])
def test_the_order_of_the_norm_is_seen(order: float, foreach: bool) -> None:
    def train(model: Any, optimizer: Any) -> None:
        loss_of(model).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.01, norm_type=order, foreach=foreach)

    report = recorded(lambda ps: torch.optim.SGD(ps, lr=0.1), train=train)
    assert report.exit_code == 0
    assert len(of_steps(report)) == 4


def test_a_norm_of_another_order_is_not_judged() -> None:
    def train(model: Any, optimizer: Any) -> None:
        loss_of(model).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.01, norm_type=3.0)

    model = network()
    with gp.record() as recording:
        train(model, None)
    assert of_steps(recording.report()) == []
    assert "not judged: clip_grad_norm" in recording.coverage_in_words


def test_a_wrong_clip_by_hand_is_accused(monkeypatch: pytest.MonkeyPatch) -> None:
    @torch.no_grad()
    def by_the_norm_of_each(parameters: Any, most: float, *args: Any, **kwargs: Any) -> None:
        for p in parameters:
            p.grad.mul_(min(1.0, most / (float(p.grad.norm()) + 1e-6)))

    monkeypatch.setattr(nn.utils.clip_grad, "_clip_grads_with_norm_", by_the_norm_of_each)

    def train(model: Any, optimizer: Any) -> None:
        loss_of(model).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.01)
        optimizer.step()

    report = recorded(lambda ps: torch.optim.SGD(ps, lr=0.1), train=train)
    assert report.exit_code == 1
    assert "value 0.weight.grad by clip_grad_norm_1" in wrong(report)
    assert not any("SGD" in name for name in wrong(report))  # its step took what it was given


# ---- what is not judged -------------------------------------------------------------------------


class Unknown(torch.optim.Optimizer):
    def __init__(self, params: Any) -> None:
        super().__init__(params, {"lr": 0.1})

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for p in self.param_groups[0]["params"]:
            p -= 0.1 * p.grad.sign()


class OwnSettings(torch.optim.AdamW):
    def __init__(self, params: Any) -> None:
        super().__init__(params)
        self.defaults["centre"] = True


def coverage(make: Make, train: Callable[[Any, Any], None] = trained) -> str:
    model = network()
    optimizer = make(model.parameters())
    with gp.record() as recording:
        train(model, optimizer)
    assert recording.report().exit_code == 0
    assert not [f for f in of_steps(recording.report()) if "clip" not in f.node]
    return str(recording.coverage_in_words)


@pytest.mark.parametrize("kind", [Unknown, OwnSettings])
def test_an_unknown_optimizer_is_not_judged_and_this_is_said(kind: Any) -> None:
    assert f"not judged: {kind.__name__}.step (there is no rule for it" in coverage(kind)


def by_closure(model: Any, optimizer: Any) -> None:
    for _ in range(3):
        optimizer.step(closure=lambda: closure_of(model, optimizer))


def closure_of(model: Any, optimizer: Any) -> Any:
    optimizer.zero_grad()
    loss = loss_of(model)
    loss.backward()
    nn.utils.clip_grad_norm_(model.parameters(), 0.1)
    return loss


class Twice(torch.optim.SGD):
    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        with torch.enable_grad():
            closure()
        return super().step(closure)


class Never(torch.optim.SGD):
    def step(self, closure: Any = None) -> Any:
        return super().step()


def test_an_optimizer_without_a_rule_is_not_judged_by_closure_either() -> None:
    assert "LBFGS.step (there is no rule" in coverage(lambda ps: torch.optim.LBFGS(ps), by_closure)


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (Twice, "it calls its closure more than once"),
        (Never, "it does not call its closure"),
        (Shrinking, "it changes a parameter before its closure"),
    ],
)
def test_an_unusual_use_of_a_closure_is_not_judged(kind: Any, why: str) -> None:
    def train(model: Any, optimizer: Any) -> None:
        loss_of(model).backward()
        by_closure(model, optimizer)

    assert f"{kind.__name__}.step ({why}" in coverage(lambda ps: kind(ps, lr=0.1), train)


@pytest.mark.sample(10)
@pytest.mark.parametrize(("name", "make"), OPTIMIZERS, ids=[name for name, _ in OPTIMIZERS])
def test_a_step_by_a_closure_is_judged_and_runs_as_it_would(name: str, make: Make) -> None:
    model = network()
    by_closure(model, make(model.parameters()))
    report = recorded(make, train=by_closure)
    assert report.exit_code == 0
    updates = [str(f.quantity) for f in of_steps(report) if "update" in str(f.quantity)]
    assert len(updates) == 3 * 4
    judged = network()
    with gp.record():
        by_closure(judged, make(judged.parameters()))
    assert all(
        torch.equal(a, b) for a, b in zip(model.parameters(), judged.parameters(), strict=True)
    )


def test_a_mistake_in_a_step_by_a_closure_is_named() -> None:
    class Late(Coupled):
        def step(self, closure: Any = None) -> None:
            closure()
            super().step()

    report = recorded(Late, train=by_closure)
    assert report.exit_code == 1
    assert {f.note for f in of_steps(report) if f.parity is False} == {
        "the weight decay is added to the gradient"
    }


def test_a_sparse_gradient_is_not_judged() -> None:
    table = nn.Embedding(5, 3, sparse=True)
    optimizer = torch.optim.SGD(table.parameters(), lr=0.1)
    with gp.record() as recording:
        table(torch.tensor([1, 2])).sum().backward()
        optimizer.step()
    assert "not a dense array" in recording.coverage_in_words
    assert of_steps(recording.report()) == []


def test_a_step_in_another_thread_is_not_watched() -> None:
    p = nn.Parameter(torch.ones(2))
    p.grad = torch.ones(2)
    optimizer = torch.optim.SGD([p], lr=0.1)

    def train(model: Any, _: Any) -> None:
        loss_of(model).backward()
        thread = Thread(target=optimizer.step)
        thread.start()
        thread.join()

    said = coverage(lambda ps: torch.optim.SGD(ps), train)
    assert "not judged: SGD.step (it runs in another thread)" in said
    assert p.tolist() == pytest.approx([0.9, 0.9])


@pytest.mark.parametrize("value", [float("inf"), float("nan")])
@pytest.mark.parametrize("elements", [1, 32])
def test_what_is_added_to_a_gradient_that_is_infinite_is_judged(
    value: float, elements: int
) -> None:
    model = network()
    model[0].weight.grad = torch.ones(8, 4)
    model[0].weight.grad.view(-1)[:elements] = value
    with gp.record() as recording:
        loss_of(model).backward()
    report = recording.report()
    assert report.exit_code == 0
    (found,) = (f for f in report.runs[0].findings if str(f.quantity) == "value 0.weight.grad")
    assert found.note.startswith(f"{elements} of 32 elements are inf or NaN")


def test_writing_over_an_infinite_gradient_is_a_mismatch() -> None:
    model = network()
    model[0].weight.grad = torch.full((8, 4), float("inf"))

    def writing(gradient: Any) -> None:
        model[0].weight.grad[0, 0] = 1.0

    model[0].bias.register_hook(writing)
    with gp.record() as recording:
        loss_of(model).backward()
    assert recording.report().exit_code != 0


# ---- usual programs -----------------------------------------------------------------------------


def test_parameters_without_a_gradient_and_several_groups() -> None:
    model = network()
    model[0].requires_grad_(False)
    optimizer = torch.optim.AdamW(
        [
            {"params": model[0].parameters()},
            {"params": [model[2].weight], "weight_decay": 0.5, "lr": 0.1},
            {"params": [model[2].bias], "weight_decay": 0.0},
        ]
    )
    with gp.record() as recording:
        trained(model, optimizer, 2)
    assert recording.report().exit_code == 0
    changed = [f for f in of_steps(recording.report()) if str(f.quantity).startswith("update")]
    assert [str(f.quantity).split()[1] for f in changed] == ["2.weight", "2.bias"] * 2
    assert len({f.node for f in changed}) == 4


@pytest.mark.parametrize("tensor", [False, True])
def test_a_schedule_of_the_learning_rate(tensor: bool) -> None:
    model = network()
    lr = torch.tensor(0.1) if tensor else 0.1
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, foreach=False)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 4)
    with gp.record() as recording:
        for _ in range(3):
            trained(model, optimizer, 1)
            scheduler.step()
    assert recording.report().exit_code == 0
    assert len(of_steps(recording.report())) == 3 * 4 * 3


@pytest.mark.parametrize("fused", [False, True])
def test_a_grad_scaler(fused: bool) -> None:
    model = network()
    optimizer = torch.optim.AdamW(model.parameters(), fused=fused)
    scaler = torch.amp.GradScaler("cpu")
    with gp.record() as recording:
        for i in range(2):
            optimizer.zero_grad()
            scaler.scale(loss_of(model)).backward()
            if i:  # the second step is left out
                model[0].weight.grad[0, 0] = float("inf")
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), 0.1)
            scaler.step(optimizer)
            scaler.update()
    assert not wrong(recording.report())
    made = {f.node for f in of_steps(recording.report()) if f.node.startswith("AdamW")}
    assert made == (set() if fused else {"AdamW_1"})
    assert ("GradScaler" in recording.coverage_in_words) is fused


def test_steps_go_on_after_one_that_raised() -> None:
    class Raising(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            if not self.state:
                self.state["raised"] = True
                raise ZeroDivisionError
            return super().step(closure)

    model = network()
    optimizer = Raising(model.parameters(), lr=0.1)
    with gp.record() as recording:
        loss_of(model).backward()
        with pytest.raises(ZeroDivisionError):
            optimizer.step()
        optimizer.step()
    assert recording.report().exit_code == 0
    assert len(of_steps(recording.report())) == 4


def test_two_optimizers_have_names_of_their_own() -> None:
    model = network()
    one = torch.optim.SGD(model[0].parameters(), lr=0.1)
    two = torch.optim.SGD(model[2].parameters(), lr=0.2)
    with gp.record() as recording:
        loss_of(model).backward()
        one.step()
        two.step()
    assert recording.report().exit_code == 0
    assert {f.node for f in of_steps(recording.report())} == {"SGD_1", "SGD_2"}


def test_in_place_changes_of_parameters_by_a_step_do_not_accuse_the_next_pass() -> None:
    report = recorded(lambda ps: torch.optim.SGD(ps, lr=0.1, momentum=0.9))
    assert not wrong(report)
    assert report.exit_code == 0


def test_recordings_nest() -> None:
    model = network()
    optimizer = torch.optim.AdamW(model.parameters())
    before = installed()
    with gp.record() as outer:
        trained(model, optimizer, 1, 0.1)
        with gp.record() as inner:
            trained(model, optimizer, 1, 0.1)
    assert installed() == before
    for recording, steps in ((outer, 2), (inner, 1)):
        assert recording.report().exit_code == 0
        assert len(of_steps(recording.report())) == steps * (4 + 12)


# ---- gradients that are changed while a step runs -----------------------------------------------


def tripling(optimizer: Any, args: Any, kwargs: Any) -> None:
    for p in optimizer.param_groups[0]["params"]:
        p.grad.mul_(3)


class Tripled(torch.optim.SGD):
    """Multiplies the gradients by 3 before the step of its base."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        tripling(self, (), {})
        return super().step(closure)


class Assigned(torch.optim.SGD):
    """Assigns other gradients before the step of its base."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> Any:
        for p in self.param_groups[0]["params"]:
            p.grad = p.grad * 3
        return super().step(closure)


class Removing(torch.optim.SGD):
    """Takes a gradient away before the step of its base."""

    def step(self, closure: Any = None) -> Any:
        self.param_groups[0]["params"][0].grad = None
        return super().step(closure)


class Decaying(torch.optim.SGD):
    """Adds the weight decay to the gradient itself, in a step of its own."""

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        for p in self.param_groups[0]["params"]:
            p.grad.add_(p, alpha=0.1)
            p.sub_(p.grad, alpha=0.1)


def with_hook(hook: Any, after: bool = False) -> Make:
    def make(ps: Any) -> Any:
        optimizer = torch.optim.SGD(ps, lr=0.1)
        how = "register_step_post_hook" if after else "register_step_pre_hook"
        getattr(optimizer, how)(hook)
        return optimizer

    return make


def changes(report: Report) -> list[Finding]:
    found = [f for f in of_steps(report) if str(f.quantity).startswith("value ")]
    return [f for f in found if ".grad by " in str(f.quantity)]


PARAMETERS = ("0.weight", "0.bias", "2.weight", "2.bias")


@pytest.mark.parametrize("kind", [Tripled, Assigned])
@pytest.mark.parametrize("base_was_made", [False, True])
def test_a_step_that_changes_its_own_gradients_is_a_mismatch(
    kind: Any, base_was_made: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = getattr(torch.optim.SGD.step, "__wrapped__", torch.optim.SGD.step)
    if getattr(torch.optim.SGD.step, "hooked", False):
        monkeypatch.setattr(torch.optim.SGD, "step", step)
    if base_was_made:
        torch.optim.SGD([nn.Parameter(torch.ones(1))])
    report = recorded(lambda ps: kind(ps, lr=0.1))
    assert report.exit_code == 1
    found = [f for f in changes(report) if f.node == f"{kind.__name__}_1"]
    assert {str(f.quantity) for f in found} == {
        f"value {p}.grad by {kind.__name__}_1" for p in PARAMETERS
    }
    assert all(f.verdict is Verdict.MISMATCH and f.parity is False for f in found)
    assert found[0].note == (
        f"the gradient of 0.weight was changed while {kind.__name__}.step ran, and not by a "
        "clipping that was seen"
    )
    assert all("test_optimizers.py" in f.source for f in found)
    assert not any(q.startswith("update") for q in wrong(report))  # by the gradient that it took


def test_a_hook_before_a_step_is_named_and_may_be_allowed() -> None:
    model = network()
    optimizer = with_hook(tripling)(model.parameters())
    for allow, code in ((["gradient-hook"], 0), ([], 1)):
        with gp.record(allow=allow) as recording:
            trained(model, optimizer, 2)
        report = recording.report()
        assert report.exit_code == code
        found = changes(report)
        assert len(found) == 2 * 4
        assert {f.convention for f in found} == {"gradient-hook"}
        assert found[0].note.endswith("while SGD.step ran, by its hook tripling")
        assert not any(q.startswith("update") for q in wrong(report))


def test_a_global_hook_before_a_step_is_named() -> None:
    handle = hooks.register_optimizer_step_pre_hook(tripling)
    try:
        report = recorded(lambda ps: torch.optim.SGD(ps, lr=0.1))
    finally:
        handle.remove()
    assert report.exit_code == 1
    assert {f.convention for f in changes(report)} == {"gradient-hook"}
    assert len(wrong(report)) == 3 * 4


def test_a_hook_and_the_step_itself_are_told_as_the_step() -> None:
    def make(ps: Any) -> Any:
        optimizer = Tripled(ps, lr=0.1)
        optimizer.register_step_pre_hook(tripling)
        return optimizer

    report = recorded(make)
    assert report.exit_code == 1
    assert {f.verdict for f in changes(report)} == {Verdict.MISMATCH}


@pytest.mark.parametrize("kind", [Removing, Decaying])
def test_gradients_that_are_removed_or_decayed_by_a_step_are_a_mismatch(kind: Any) -> None:
    report = recorded(lambda ps: kind(ps, lr=0.1), train=lambda m, o: trained(m, o, 1))
    assert report.exit_code == 1
    names = ("0.weight",) if kind is Removing else PARAMETERS
    assert {str(f.quantity) for f in changes(report)} == {
        f"value {p}.grad by {kind.__name__}_1" for p in names
    }


def test_a_hook_after_a_step_that_changes_gradients_is_named() -> None:
    report = recorded(with_hook(tripling, after=True))
    assert report.exit_code == 1
    assert {f.convention for f in changes(report)} == {"gradient-hook"}
    assert not any(q.startswith("update") for q in wrong(report))


@pytest.mark.parametrize("to_none", [False, True])
def test_a_step_may_clear_the_gradients_that_it_has_used(to_none: bool) -> None:
    class Clearing(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            out = super().step(closure)
            self.zero_grad(set_to_none=to_none)
            return out

    def clearing(optimizer: Any, args: Any, kwargs: Any) -> None:
        optimizer.zero_grad(set_to_none=to_none)

    for make in (lambda ps: Clearing(ps, lr=0.1), with_hook(clearing, after=True)):
        report = recorded(make)
        assert report.exit_code == 0
        assert changes(report) == []
        assert len([f for f in of_steps(report) if str(f.quantity).startswith("update")]) == 3 * 4


@pytest.mark.parametrize("base", ["SGD", "Adam"])
@pytest.mark.parametrize("base_was_made", [False, True])
def test_a_step_that_changes_gradients_and_clears_them_is_found(
    base: str, base_was_made: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = getattr(torch.optim, base)
    if getattr(kind.step, "hooked", False):
        monkeypatch.setattr(kind, "step", kind.step.__wrapped__)
    if base_was_made:
        kind([nn.Parameter(torch.ones(1))])

    class Clearing(kind):  # type: ignore[misc, valid-type]
        def step(self, closure: Any = None) -> Any:
            tripling(self, (), {})
            out = super().step(closure)
            self.zero_grad()
            return out

    assert recorded(lambda ps: Clearing(ps, lr=0.1)).exit_code == 1


def test_zeroing_before_the_step_of_the_base_is_not_clearing() -> None:
    class Frozen(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            self.zero_grad(set_to_none=False)
            return super().step(closure)

    assert recorded(lambda ps: Frozen(ps, lr=0.1)).exit_code == 1


@pytest.mark.parametrize("name", ["clip_grad_norm_", "clip_grad_value_"])
def test_clipping_inside_of_a_step_is_seen(name: str) -> None:
    class Clipping(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            getattr(nn.utils, name)(self.param_groups[0]["params"], 0.01)
            return super().step(closure)

    def clipping(optimizer: Any, args: Any, kwargs: Any) -> None:
        getattr(nn.utils, name)(optimizer.param_groups[0]["params"], 0.01)

    for make in (lambda ps: Clipping(ps, lr=0.1), with_hook(clipping)):
        report = recorded(make)
        assert report.exit_code == 0
        assert any(str(f.quantity).startswith("update") for f in of_steps(report))


def test_gradients_that_a_clipping_left_and_a_hook_changed_are_told() -> None:
    def clipped_and_tripled(optimizer: Any, args: Any, kwargs: Any) -> None:
        nn.utils.clip_grad_value_(optimizer.param_groups[0]["params"], 0.01)
        tripling(optimizer, args, kwargs)

    report = recorded(with_hook(clipped_and_tripled), train=lambda m, o: trained(m, o, 1))
    assert report.exit_code == 1
    found = [f for f in changes(report) if f.node == "SGD_1"]
    assert {f.convention for f in found} == {"gradient-hook"}


def scaled(model: Any) -> None:
    for p in model.parameters():
        p.grad.mul_(0.5)


def by_norm(model: Any) -> None:
    norm = torch.stack([p.grad.norm() for p in model.parameters()]).norm()
    for p in model.parameters():
        p.grad *= min(1.0, 0.01 / float(norm))


def frozen(model: Any) -> None:
    model[0].weight.grad.zero_()


def assigned(model: Any) -> None:
    for p in model.parameters():
        p.grad = p.grad * 0.5


@pytest.mark.parametrize("change", [scaled, by_norm, frozen, assigned])
@pytest.mark.parametrize("name", ["SGD", "AdamW"])
def test_gradients_that_the_program_changes_between_passes_and_steps_pass(
    change: Any, name: str
) -> None:
    model = network()
    optimizer = getattr(torch.optim, name)(model.parameters(), lr=0.1)
    with gp.record() as recording:
        for _ in range(2):
            optimizer.zero_grad()
            loss_of(model).backward()
            change(model)
            optimizer.step()
    assert recording.report().exit_code == 0
    names = "0.weight" if change is frozen else ", ".join(PARAMETERS)
    assert recording.coverage_in_words.endswith(
        f"; gradients changed by the program between backward and step: {names}"
    )


@pytest.mark.parametrize("clip", [None, 0.01])
def test_gradients_that_nothing_but_a_clipping_changes_are_not_spoken_of(
    clip: float | None,
) -> None:
    model = network()
    optimizer = torch.optim.AdamW(model.parameters())
    with gp.record() as recording:
        trained(model, optimizer, 2, clip)
        loss_of(model).backward()  # accumulated
        optimizer.step()
    assert recording.report().exit_code == 0
    assert "changed" not in recording.coverage_in_words


def test_hooks_are_put_back_also_after_a_step_that_raised() -> None:
    def raising(optimizer: Any, args: Any, kwargs: Any) -> None:
        raise ZeroDivisionError

    model = network()
    optimizer = with_hook(raising)(model.parameters())
    other = with_hook(tripling)(model.parameters())
    with gp.record() as outer:
        loss_of(model).backward()
        with pytest.raises(ZeroDivisionError):
            optimizer.step()
        with gp.record() as inner:
            loss_of(model).backward()
            other.step()
    assert list(optimizer._optimizer_step_pre_hooks.values()) == [raising]
    assert list(other._optimizer_step_pre_hooks.values()) == [tripling]
    for recording in (outer, inner):
        found = changes(recording.report())
        assert [f.node for f in found] == ["SGD_1"] * 4
        assert {f.note.rpartition(" ")[2] for f in found} == {"tripling"}


def test_an_optimizer_without_a_rule_may_change_gradients_itself() -> None:
    class Own(torch.optim.Optimizer):
        def __init__(self, params: Any) -> None:
            super().__init__(params, {"lr": 0.1})

        @torch.no_grad()
        def step(self, closure: Any = None) -> None:
            for p in self.param_groups[0]["params"]:
                p.grad.add_(p, alpha=0.1)
                p.sub_(p.grad, alpha=0.1)

    report = recorded(Own)
    assert report.exit_code == 0
    assert changes(report) == []
