"""`check_optimizer`: right optimizers pass, and planted mistakes are named."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import gradparity as gp
from gradparity import optimizers as rules
from gradparity.comparisons import Finding, Report, Verdict

torch = pytest.importorskip("torch")

State = dict[str, Any]
Step = Callable[[Any, Any, State, int], None]


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


class ByHand(torch.optim.Optimizer):
    """An optimizer whose step is a function of the parameter, gradient, state and step number."""

    def __init__(self, params: Any, step: Step):
        super().__init__(params, {})
        self.made, self.of = 0, step

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        self.made += 1
        for group in self.param_groups:
            for p in group["params"]:
                self.of(p, p.grad.clone(), self.state[p], self.made)


def parameters(dtype: Any = torch.float32) -> list[Any]:
    return [torch.nn.Parameter(torch.randn(n, dtype=dtype)) for n in (40, 7)]


def wrong(report: Report) -> list[Finding]:
    return [f for run in report.runs for f in run.findings if f.parity is False]


def notes(report: Report) -> set[str]:
    return {f.note for f in wrong(report)}


# ---- right ones ---------------------------------------------------------------------------------

RIGHT: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "maximize": True}),
    ("Adam", {}),
    ("Adam", {"betas": (0.5, 0.75), "weight_decay": 0.1, "amsgrad": True}),
    ("AdamW", {"lr": 0.01, "weight_decay": 0.3}),
    ("NAdam", {"weight_decay": 0.1}),
    ("RAdam", {"betas": (0.8, 0.9)}),
    ("RMSprop", {"centered": True, "momentum": 0.9, "alpha": 0.5}),
    ("Adagrad", {"lr_decay": 0.1}),
    ("Adadelta", {"weight_decay": 0.1}),
    ("Adamax", {}),
]


@pytest.mark.parametrize(("name", "settings"), RIGHT)
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "float16"])
@pytest.mark.parametrize("how", ["for loop", "foreach", "fused"])
def test_pytorch_is_right(name: str, settings: dict[str, Any], dtype: str, how: str) -> None:
    how_set = {
        "for loop": {"foreach": False},
        "foreach": {"foreach": True},
        "fused": {"fused": True},
    }
    ps = parameters(getattr(torch, dtype))
    try:
        optimizer = getattr(torch.optim, name)(ps, **settings, **how_set[how])
    except (TypeError, RuntimeError):
        pytest.skip("PyTorch has no such implementation")
    if name == "SGD" and how == "fused" and dtype.endswith("16"):
        pytest.skip("PyTorch is wrong: see test_a_known_fault_of_pytorch_is_found")
    report = gp.check_optimizer(optimizer)
    assert wrong(report) == []
    judged = [f for run in report.runs for f in run.findings if f.final]
    assert len(judged) == 2 * 5
    if not dtype.endswith("16"):  # there, most steps are smaller than the parameter's rounding
        assert report.exit_code == 0
        assert all(f.verdict in (Verdict.EXACT, Verdict.ROUNDING) for f in judged)


@pytest.mark.skipif(not torch.__version__.startswith("2.13.0"), reason="fixed, or not there yet")
def test_a_known_fault_of_pytorch_is_found() -> None:
    """https://github.com/pytorch/pytorch/issues/191763: whole vectors are left as they are."""
    model = torch.nn.Linear(64, 1).to(torch.bfloat16)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5, fused=True)
    report = gp.check_optimizer(optimizer, model)
    assert {str(f.quantity) for f in wrong(report)} == {"update weight"}
    assert notes(report) == {"the parameter is not moved"}


def test_a_step_has_a_finding_for_the_change_and_for_each_state() -> None:
    model = torch.nn.Linear(3, 2)
    report = gp.check_optimizer(torch.optim.AdamW(model.parameters()), model, steps=2, name="mine")
    assert [run.case for run in report.runs] == ["mine, step 1", "mine, step 2"]
    assert {str(f.quantity) for f in report.runs[0].findings} == {
        f"{kind} {p}{state}"
        for p in ("weight", "bias")
        for kind, state in (("update", ""), ("value", ".exp_avg"), ("value", ".exp_avg_sq"))
    }
    assert all(f.power is not None for run in report.runs for f in run.findings if f.final)


def test_the_optimizer_and_its_parameters_stay_as_they_are() -> None:
    ps = parameters()
    optimizer = torch.optim.Adam(ps)
    for p in ps:
        p.grad = torch.randn_like(p)
    optimizer.step()
    before = copy.deepcopy((ps, optimizer.state_dict(), [p.grad for p in ps]))
    random = torch.random.get_rng_state()
    assert gp.check_optimizer(optimizer).exit_code == 0
    for one, other in zip(before[0], ps, strict=True):
        assert torch.equal(one, other)
    for one, other in zip(before[2], ps, strict=True):
        assert torch.equal(one, other.grad)
    assert str(before[1]) == str(optimizer.state_dict())
    assert torch.equal(random, torch.random.get_rng_state())


def test_groups_have_settings_of_their_own_and_the_tensor_of_a_rate_counts() -> None:
    one, two = parameters()
    optimizer = torch.optim.AdamW(
        [{"params": [one], "lr": torch.tensor(0.5), "weight_decay": 0.0}, {"params": [two]}],
        foreach=False,
    )
    assert gp.check_optimizer(optimizer).exit_code == 0


def test_what_a_derived_class_keeps_is_copied_too() -> None:
    class Keeping(torch.optim.SGD):
        def __init__(self, params: Any) -> None:
            super().__init__(params, lr=0.1)
            self.own = [p for group in self.param_groups for p in group["params"]]

        @torch.no_grad()
        def step(self, closure: Any = None) -> None:
            for p in self.own:
                p -= 0.1 * p.grad

    ps = parameters()
    before = copy.deepcopy(ps)
    assert gp.check_optimizer(Keeping(ps)).exit_code == 0
    assert all(torch.equal(one, other) for one, other in zip(before, ps, strict=True))


def test_a_scheduler_of_the_optimizer_is_not_told() -> None:
    ps = parameters()
    optimizer = torch.optim.SGD(ps, lr=0.1)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5)
    before = copy.deepcopy(ps)
    report = gp.check_optimizer(optimizer, steps=2)
    assert report.exit_code == 0
    assert scheduler.get_last_lr() == [0.1]
    assert all(torch.equal(one, other) for one, other in zip(before, ps, strict=True))


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("name", ["RAdam", "SGD", "Adam"])
def test_every_step_of_a_small_parameter_is_tested_in_float32(name: str, seed: int) -> None:
    ps = [torch.nn.Parameter(torch.rand(n) - 0.5) for n in (1, 2, 40)]
    report = gp.check_optimizer(getattr(torch.optim, name)(ps, lr=1e-3), seed=seed)
    assert report.exit_code == 0
    judged = [f for run in report.runs for f in run.findings if f.final]
    assert {f.verdict for f in judged} <= {Verdict.EXACT, Verdict.ROUNDING}


def test_a_rate_of_zero_in_some_step_is_right_where_the_parameter_stays() -> None:
    def rate(t: int) -> float:
        return 0.1 * t

    def step(p: Any, g: Any, state: State, t: int) -> None:
        p -= rate(t - 1) * g

    report = gp.check_optimizer(ByHand(parameters(), step), rule=rules.SGD(rate))
    assert report.exit_code == 0
    assert {f.note for f in report.runs[0].findings} == {"lr is 0 in this step"}

    def moving(p: Any, g: Any, state: State, t: int) -> None:
        p -= (rate(t - 1) or 0.1) * g

    assert gp.check_optimizer(ByHand(parameters(), moving), rule=rules.SGD(rate)).exit_code == 1


def test_a_rate_that_is_always_zero_tests_nothing_and_says_so() -> None:
    report = gp.check_optimizer(torch.optim.SGD(parameters(), lr=0.0))
    assert report.exit_code == 2
    assert "lr is 0, so that nothing is tested" in report.diagnosis()


@pytest.mark.parametrize("name", ["SGD", "AdamW"])
def test_an_infinite_gradient_leaves_steps_undecided_and_the_reason_is_given(name: str) -> None:
    ps = parameters()
    for p in ps:
        p.grad = torch.ones_like(p)
    ps[0].grad[3] = float("inf")
    report = gp.check_optimizer(getattr(torch.optim, name)(ps, lr=0.1), steps=1)
    assert report.exit_code == 2
    undecided = [f for f in report.runs[0].findings if f.parity is None]
    assert {f.node for f in undecided} == {"parameter_1"}
    assert {f.note for f in undecided} == {"the gradient held inf or NaN before the step"}


# ---- planted mistakes ---------------------------------------------------------------------------


def adam(
    p: Any,
    g: Any,
    state: State,
    t: int,
    *,
    lr: float = 1e-2,
    b: float = 0.9,
    c: float = 0.999,
    eps: float = 1e-6,
    root: float = 0.0,
    correct: bool = True,
    only: str = "mv",
    correct_eps: bool = True,
    coupled: float = 0.0,
    decoupled: float = 0.0,
    stale: bool = False,
    stale_m: bool = False,
    scale: float = 1.0,
    moved: float = 1.0,
    late: int = 0,
) -> None:
    """A step of Adam with the mistakes that are asked for."""
    g = g * scale + coupled * p
    m = state.get("exp_avg", torch.zeros_like(p))
    v = state.get("exp_avg_sq", torch.zeros_like(p))
    new_m, new_v = b * m + (1 - b) * g, c * v + (1 - c) * g * g
    state["exp_avg"], state["exp_avg_sq"] = new_m, new_v
    if not stale:
        m, v = m if stale_m else new_m, new_v
    t = t + late
    one, two = (1 - b**t, 1 - c**t) if correct else (1.0, 1.0)
    one, two = one if "m" in only else 1.0, two if "v" in only else 1.0
    early = two if correct_eps else 1.0  # eps is added to the corrected root, or before
    down = ((v / early + root).sqrt() + eps) / (two / early) ** 0.5
    p -= lr * decoupled * p
    p -= moved * lr * (m / one) / down


def sgd(
    p: Any,
    g: Any,
    state: State,
    t: int,
    *,
    lr: float = 0.1,
    momentum: float = 0.9,
    dampening: float = 0.0,
    nesterov: bool = False,
    decay: float = 0.0,
) -> None:
    g = g + decay * p
    new = g if "momentum_buffer" not in state else (1 - dampening) * g
    state["momentum_buffer"] = momentum * state.get("momentum_buffer", torch.zeros_like(p)) + new
    p -= lr * (g + momentum * state["momentum_buffer"] if nesterov else state["momentum_buffer"])


def with_(step: Any, **mistake: Any) -> Step:
    return lambda p, g, state, t: step(p, g, state, t, **mistake)


ADAM = rules.Adam(1e-2, eps=1e-6)
ADAMW = rules.AdamW(1e-2, eps=1e-6, weight_decay=0.1)
COUPLED = replace(ADAM, weight_decay=0.1)
SGD = rules.SGD(0.1, momentum=0.9)

PLANTED: list[tuple[Step, rules.Rule, str]] = [
    (with_(adam, eps=0.0, root=1e-6), ADAM, "eps is added inside of the root"),
    (with_(adam, eps=0.0, root=1e-12), ADAM, "eps^2 is added inside of the root"),
    (with_(adam, eps=0.0), ADAM, "eps is left out"),
    (with_(adam, correct_eps=False), ADAM, "eps is added before the root is corrected for bias"),
    (with_(adam, correct=False), ADAM, "m and v are not corrected for bias"),
    (with_(adam, only="v"), ADAM, "m is not corrected for bias"),
    (with_(adam, only="m"), ADAM, "v is not corrected for bias"),
    (with_(adam, b=0.95), ADAM, "betas[0] is 0.95, not 0.9"),
    (with_(adam, c=0.99), ADAM, "betas[1] is 0.99, not 0.999"),
    (with_(adam, b=0.876), ADAM, "betas[0] is 0.876, not 0.9"),
    (with_(adam, eps=1e-8), ADAM, "eps is 1e-08, not 1e-06"),
    (with_(adam, eps=1e-3), ADAM, "eps is 0.001, not 1e-06"),
    (with_(adam, stale_m=True), ADAM,
     "the parameter is moved by exp_avg before the step, which is one step old"),
    (with_(adam, moved=-1.0), ADAM, "the step ascends: its sign is wrong"),
    (with_(adam, moved=-1.0, decoupled=0.1), ADAMW, "the step ascends: its sign is wrong"),
    (with_(adam, moved=2.0, decoupled=0.1), ADAMW,
     "the step without the weight decay is 2 times as large as it should be"),
    (with_(adam, lr=2e-2, decoupled=0.1), ADAMW,
     "the step is 2 times as large as it should be, as with lr=0.02"),
    (with_(sgd, momentum=0.8), SGD, "momentum is 0.8, not 0.9"),
    (with_(adam, b=0.999, c=0.9), ADAM, "the betas are exchanged"),
    (with_(adam, coupled=0.1), ADAMW, "the weight decay is added to the gradient"),
    (with_(adam), ADAMW, "the weight decay is left out"),
    (with_(adam, decoupled=10.0), ADAMW, "the weight decay is not multiplied by lr"),
    (with_(adam, decoupled=0.1), COUPLED, "the weight decay is taken off the parameter itself"),
    (with_(adam, coupled=-0.1), COUPLED, "the weight decay has the wrong sign"),
    (with_(adam, late=1), ADAM,
     "the number of the step is too high by one in the bias correction or the schedule"),
    (with_(adam, scale=-1.0), ADAM, "the step ascends: its sign is wrong"),
    (with_(adam, scale=0.5), ADAM, "the gradient is multiplied by 0.5 before it is taken"),
    (with_(adam, lr=2e-2), ADAM, "the step is 2 times as large as it should be, as with lr=0.02"),
    (with_(adam, lr=0.0), ADAM, "the parameter is not moved"),
    (with_(sgd), replace(SGD, nesterov=True), "the momentum is not Nesterov's"),
    (with_(sgd, nesterov=True), SGD, "the momentum is Nesterov's"),
    (with_(sgd, dampening=0.9), SGD, "the gradient is dampened by 1 - momentum"),
    (with_(sgd), replace(SGD, dampening=0.5), "the gradient is not dampened"),
    (with_(sgd, decay=-0.1), replace(SGD, weight_decay=0.1),
     "the weight decay has the wrong sign"),
]  # fmt: skip


@pytest.mark.sample(11)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("step", "rule", "cause"), [pytest.param(*p, id=f"{p[1].name}: {p[2]}") for p in PLANTED]
)
def test_a_planted_mistake_is_named(step: Step, rule: Any, cause: str, dtype: str) -> None:
    report = gp.check_optimizer(ByHand(parameters(getattr(torch, dtype)), step), rule=rule)
    assert report.exit_code == 1
    assert notes(report) == {cause}
    assert cause in report.diagnosis()


def test_a_stale_state_is_named() -> None:
    """In the first step the state before is zero: 0 / eps moves nothing."""
    ps = parameters()
    report = gp.check_optimizer(ByHand(ps, with_(adam, stale=True)), rule=ADAM)
    cause = "the parameter is moved by the state before the step, which is one step old"
    assert notes(report) == {cause}


def test_a_stale_momentum_is_named() -> None:
    def step(p: Any, g: Any, state: State, t: int) -> None:
        old = state.get("momentum_buffer", g).clone()
        state["momentum_buffer"] = 0.9 * state["momentum_buffer"] + g if t > 1 else g
        p -= 0.1 * old

    report = gp.check_optimizer(ByHand(parameters(), step), rule=SGD)
    cause = "the parameter is moved by the state before the step, which is one step old"
    assert notes(report) == {cause}


@pytest.mark.parametrize(
    ("step", "rule"),
    [
        (with_(adam), ADAM),
        (with_(adam, decoupled=0.1), ADAMW),
        (with_(adam, coupled=0.1), COUPLED),
        (with_(sgd, nesterov=True, dampening=0.5), replace(SGD, nesterov=True, dampening=0.5)),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_without_the_mistake_it_is_right(step: Step, rule: Any, dtype: str) -> None:
    report = gp.check_optimizer(ByHand(parameters(getattr(torch, dtype)), step), rule=rule)
    assert wrong(report) == []


@pytest.mark.parametrize("kind", ["Adam", "AdamW"])
def test_a_step_size_in_float32_is_named(kind: str) -> None:
    """PyTorch computes with a tensor for lr in the number format of that tensor."""
    ps = parameters(torch.float64)
    for dtype, causes in ((torch.float64, set()), (torch.float32, {"float32"})):
        optimizer = getattr(torch.optim, kind)(
            ps, lr=torch.tensor(0.01, dtype=dtype), foreach=False
        )
        found = notes(gp.check_optimizer(optimizer))
        assert {"float32" for note in found if "computed in float32" in note} == causes
        assert len(found) == len(causes)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_another_decoupled_weight_decay_is_named(decay: float, dtype: str) -> None:
    rule = replace(ADAMW, weight_decay=decay)
    step = with_(adam, decoupled=0.3)
    (cause,) = notes(gp.check_optimizer(ByHand(parameters(getattr(torch, dtype)), step), rule=rule))
    words, _, value = cause.rpartition("weight_decay=")
    assert words.startswith("the weight decay is " if decay else "the parameter is decayed besides")
    assert float(value) == pytest.approx(0.3, rel=1e-3)


def test_another_decay_is_named_where_no_state_is_known() -> None:
    """Names of states that are not PyTorch's are not known."""

    def step(p: Any, g: Any, state: State, t: int) -> None:
        state.setdefault("mine", torch.zeros_like(p)).mul_(0.95).add_(g)
        p -= 0.1 * state["mine"]

    report = gp.check_optimizer(ByHand(parameters(), step), rule=SGD)
    assert notes(report) == {"momentum is 0.95, not 0.9"}


def test_a_mistake_in_a_large_parameter_is_named_only_if_it_explains_all_of_it() -> None:
    def broken(p: Any, g: Any, state: State, t: int) -> None:
        adam(p, g, state, t, eps=1e-4)
        p[-1] += 0.5

    for step, said in ((with_(adam, eps=1e-4), "eps is 0.0001, not 1e-06"), (broken, "")):
        ps = [torch.nn.Parameter(torch.randn(9000))]
        assert notes(gp.check_optimizer(ByHand(ps, step), rule=ADAM, steps=2)) == {said}


def test_an_own_mistake_is_a_mismatch_without_a_cause() -> None:
    def step(p: Any, g: Any, state: State, t: int) -> None:
        p -= 0.1 * g.abs().sqrt()

    report = gp.check_optimizer(ByHand(parameters(), step), rule=rules.SGD(0.1))
    assert report.exit_code == 1
    assert notes(report) == {""}


def test_elements_that_are_left_out_are_counted() -> None:
    def step(p: Any, g: Any, state: State, t: int) -> None:
        p[1:] -= 0.1 * g[1:]

    (p,) = ps = [torch.nn.Parameter(torch.randn(10))]
    p.grad = torch.ones(10)
    report = gp.check_optimizer(ByHand(ps, step), rule=rules.SGD(0.1), steps=1)
    assert notes(report) == {"1 of 10 elements are not moved"}


def test_only_the_wrong_parameter_is_accused() -> None:
    model = torch.nn.Linear(5, 4)

    def step(p: Any, g: Any, state: State, t: int) -> None:
        adam(p, g, state, t, lr=1e-2 if p.ndim == 2 else 2e-2)

    report = gp.check_optimizer(ByHand(model.parameters(), step), model, rule=ADAM)
    assert {str(f.quantity) for f in wrong(report)} == {"update bias"}


def test_a_wrong_state_is_not_blamed_on_the_parameter() -> None:
    def step(p: Any, g: Any, state: State, t: int) -> None:
        state.setdefault("momentum_buffer", torch.zeros_like(p)).mul_(0.8).add_(g)
        p -= 0.1 * state["momentum_buffer"]

    report = gp.check_optimizer(ByHand(parameters(), step), rule=SGD)
    assert {str(f.quantity).rpartition(".")[2] for f in wrong(report)} == {"momentum_buffer"}


# ---- Optax --------------------------------------------------------------------------------------


@pytest.fixture(name="optax")
def _optax() -> Any:
    return pytest.importorskip("optax")


PARAMS = {"layer": {"w": np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)},
          "b": np.ones(4, np.float32)}  # fmt: skip

OPTAX: list[tuple[Callable[[Any], Any], rules.Rule]] = [
    (lambda o: o.sgd(0.1), rules.SGD(0.1)),
    (lambda o: o.sgd(0.1, momentum=0.9, nesterov=True),
     rules.SGD(0.1, momentum=0.9, nesterov=True)),
    (lambda o: o.adam(1e-2), rules.Adam(1e-2)),
    (lambda o: o.adamw(1e-2, weight_decay=0.3), rules.AdamW(1e-2, weight_decay=0.3)),
    (lambda o: o.nadam(1e-2), rules.Adam(1e-2, nesterov=True)),
    (lambda o: o.amsgrad(1e-2), rules.Adam(1e-2, amsgrad=True, amsgrad_corrected=True)),
    (lambda o: o.rmsprop(1e-2, decay=0.9), rules.RMSProp(1e-2, alpha=0.9, eps_inside=True)),
    (lambda o: o.adagrad(1e-2), rules.Adagrad(1e-2, initial=0.1, eps=1e-7, eps_inside=True)),
    (lambda o: o.adadelta(0.5), rules.Adadelta(0.5)),
    (lambda o: o.lion(1e-2, weight_decay=0.1), rules.Lion(1e-2, weight_decay=0.1)),
    (lambda o: o.adam(o.cosine_decay_schedule(1e-2, 10)),
     rules.Adam(lambda t: 1e-2 * 0.5 * (1 + np.cos(np.pi * t / 10)))),
]  # fmt: skip


@pytest.mark.sample(3)
@pytest.mark.parametrize(("make", "rule"), OPTAX, ids=[f"{i}-{e[1].name}" for i, e in
                                                       enumerate(OPTAX)])  # fmt: skip
def test_optax_is_right(optax: Any, make: Any, rule: Any) -> None:
    report = gp.check_optimizer(make(optax), PARAMS, rule=rule)
    assert wrong(report) == []
    assert report.exit_code == 0
    assert {f.node for run in report.runs for f in run.findings} == {"layer.w", "b"}


CLIP = rules.ClipByNorm(0.1, eps=0.0)


def chained(*parts: str) -> Callable[[Any], Any]:
    def make(optax: Any) -> Any:
        known = {
            "norm": lambda: optax.clip_by_global_norm(0.1),
            "value": lambda: optax.clip(0.1),
            "decay": lambda: optax.add_decayed_weights(0.5),
            "sgd": lambda: optax.sgd(0.1),
        }
        return optax.chain(*(known[part]() for part in parts))

    return make


@pytest.mark.sample(4)
@pytest.mark.parametrize(
    ("make", "clip", "decay", "cause"),
    [
        (chained("norm", "decay", "sgd"), CLIP, 0.5, None),
        (chained("value", "sgd"), rules.ClipByValue(0.1), 0.0, None),
        (chained("decay", "norm", "sgd"), CLIP, 0.5,
         "the gradient is clipped after the weight decay is added to it"),
        (chained("decay", "sgd"), CLIP, 0.5, "the gradient is not clipped"),
        (chained("value", "sgd"), CLIP, 0.0, "the gradient is clipped by value, not by norm"),
        (chained("norm", "sgd"), rules.ClipByValue(0.1), 0.0,
         "the gradient is clipped by norm, not by value"),
        (chained("norm", "sgd"), replace(CLIP, each=True), 0.0,
         "the gradient is clipped by one norm for all tensors"),
    ],
)  # fmt: skip
def test_the_order_of_clipping(
    optax: Any, make: Any, clip: Any, decay: float, cause: str | None
) -> None:
    rule = rules.SGD(0.1, weight_decay=decay)
    report = gp.check_optimizer(make(optax), PARAMS, rule=rule, clip=clip)
    assert notes(report) == ({cause} if cause else set())
    assert report.exit_code == (1 if cause else 0)


# ---- arguments ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p: gp.check_optimizer(p), "optimizer is"),
        (lambda p: gp.check_optimizer(torch.optim.SGD(p), steps=0), "steps is 0"),
        (lambda p: gp.check_optimizer(torch.optim.SGD(p), seed="a"), "seed is 'a'; give 0 or"),
        (lambda p: gp.check_optimizer(torch.optim.SGD(p), seed=-1), "seed is -1; give 0 or more"),
        (lambda p: gp.check_optimizer(torch.optim.SGD(p), seed=True), "seed is True"),
        (lambda p: gp.check_optimizer(torch.optim.SGD(p), torch.nn.Linear(2, 2)),
         "params is a Linear with none of the parameters of the SGD"),
        (lambda p: gp.check_optimizer(torch.optim.SGD(p), rule="Adam"), "rule is"),
        (lambda p: gp.check_optimizer(torch.optim.SGD(p), clip=1.0), "clip is"),
        (lambda p: gp.check_optimizer(torch.optim.SGD(p), clip=CLIP), "are for Optax"),
        (lambda p: gp.check_optimizer(torch.optim.SGD(p), p), "give the module"),
        (lambda p: gp.check_optimizer(ByHand(p, with_(sgd))), "there is no rule for ByHand"),
    ],
)  # fmt: skip
def test_an_argument_that_does_not_fit_is_refused(call: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        call(parameters())


def test_optax_needs_a_rule_and_parameters(optax: Any) -> None:
    with pytest.raises(TypeError, match="give rule="):
        gp.check_optimizer(optax.sgd(0.1), PARAMS)
    with pytest.raises(TypeError, match="params is None"):
        gp.check_optimizer(optax.sgd(0.1), rule=rules.SGD(0.1))


@pytest.mark.parametrize(
    ("gradients", "message"),
    [
        ({"layer": {"v": np.ones((3, 4))}, "b": np.ones(4)}, "in the same pytree"),
        ([np.ones((3, 4)), np.ones(4)], "in the same pytree"),
        ({"layer": {"w": np.ones((4, 3))}, "b": np.ones(4)},
         r"the gradient of 'layer.w' has shape \(4, 3\), and the parameter \(3, 4\)"),
    ],
)  # fmt: skip
def test_gradients_of_another_tree_or_shape_are_refused(
    optax: Any, gradients: Any, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        gp.check_optimizer(optax.sgd(0.1), PARAMS, gradients, rule=rules.SGD(0.1))


def test_gradients_of_the_tree_of_the_parameters_are_taken(optax: Any) -> None:
    gradients = {"layer": {"w": np.ones((3, 4), np.float32)}, "b": np.ones(4, np.float32)}
    assert gp.check_optimizer(optax.sgd(0.1), PARAMS, gradients, rule=rules.SGD(0.1)).exit_code == 0


def test_parameters_of_integers_are_refused_by_name(optax: Any) -> None:
    with pytest.raises(TypeError, match="the parameter 'n' is of dtype int32"):
        gp.check_optimizer(optax.sgd(0.1), {"n": np.ones(3, np.int32)}, rule=rules.SGD(0.1))


def test_a_module_may_have_only_some_of_the_parameters() -> None:
    model, other = torch.nn.Linear(3, 2), torch.nn.Parameter(torch.randn(4))
    optimizer = torch.optim.SGD([model.weight, other], lr=0.1)
    report = gp.check_optimizer(optimizer, model)
    assert report.exit_code == 0
    assert {f.node for f in report.runs[0].findings} == {"weight", "parameter_2"}
