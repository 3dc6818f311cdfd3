"""`check_optimizer` on Adafactor: PyTorch's and Optax's pass, and planted mistakes are named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import gradparity as gp
from crossed import crossed
from gradparity.optimizers import Adafactor

torch = pytest.importorskip("torch")

SHAPES = ((40,), (6, 9), (3, 2, 4, 5))


def parameters(dtype: str, shapes: Any = SHAPES) -> list[Any]:
    torch.manual_seed(0)
    return [torch.nn.Parameter(torch.randn(s, dtype=getattr(torch, dtype))) for s in shapes]


def wrong(report: Any) -> list[Any]:
    return [f for run in report.runs for f in run.findings if f.parity is False]


@pytest.mark.sample(9)
@pytest.mark.parametrize(
    "settings",
    [{}, {"weight_decay": 0.1, "lr": 0.3, "d": 1.5, "eps": (1e-6, 0.1)},
     {"maximize": True, "beta2_decay": -0.5}],
)  # fmt: skip
@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
@pytest.mark.parametrize("foreach", [False, True])
def test_pytorch_is_right(settings: dict[str, Any], dtype: str, foreach: bool) -> None:
    optimizer = torch.optim.Adafactor(parameters(dtype), **settings, foreach=foreach)
    report = gp.check_optimizer(optimizer)
    assert wrong(report) == []
    assert sum(f.final for run in report.runs for f in run.findings) == 5 * len(SHAPES)
    if dtype in ("float64", "float32"):
        assert report.exit_code == 0


def test_each_state_that_a_parameter_has_is_judged() -> None:
    report = gp.check_optimizer(torch.optim.Adafactor(parameters("float32")), steps=1)
    assert [str(f.quantity) for f in report.runs[0].findings] == [
        "update parameter_1", "value parameter_1.variance",
        "update parameter_2", "value parameter_2.row_var", "value parameter_2.col_var",
        "update parameter_3", "value parameter_3.row_var", "value parameter_3.col_var",
    ]  # fmt: skip


def test_a_large_matrix_is_judged_as_a_whole() -> None:
    optimizer = torch.optim.Adafactor(parameters("float32", [(600, 700)]))
    assert gp.check_optimizer(optimizer, steps=2).exit_code == 0


def test_parameters_of_two_formats_in_one_group_take_the_eps_of_the_first() -> None:
    """PyTorch's documentation says that it is that of each parameter."""
    ps = [*parameters("float32", [(6, 9)]), *parameters("float64", [(6, 9)])]
    for p in ps:
        p.grad = torch.full_like(p, 1e-5)
    report = gp.check_optimizer(torch.optim.Adafactor(ps, d=1e9, foreach=False), steps=1)
    assert {(str(f.quantity), f.note) for f in wrong(report)} == {
        ("update parameter_2", "eps[0] is 1.19209e-07, not that of the number format")
    }


def test_a_recording_judges_its_step() -> None:
    model, x = torch.nn.Linear(4, 3), torch.randn(5, 4)
    optimizer = torch.optim.Adafactor(model.parameters())
    with gp.record() as step:
        model(x).square().sum().backward()
        optimizer.step()
    assert gp.check(step).exit_code == 0
    judged = {str(f.quantity) for f in step.report().runs[0].findings if f.node == "Adafactor_1"}
    assert "value weight.row_var by Adafactor_1" in judged


# ---- planted mistakes ---------------------------------------------------------------------------


def adafactor(
    p: Any,
    g: Any,
    state: dict[str, Any],
    t: int,
    *,
    lr: float = 0.3,
    power: float = -0.8,
    eps: float = 1e-4,
    least: float = 1e-3,
    d: float | None = 1.0,
    decay: float = 0.0,
    axes: tuple[int, int] = (-2, -1),
    has_mean: bool = True,
    has_scale: bool = True,
    is_relative: bool = True,
    is_added: bool = False,
    late: int = 0,
) -> None:
    """A step of Adafactor with the mistakes that are asked for."""
    w = (t + late) ** power
    squares = g * g + (eps if is_added else 0.0)
    if p.ndim > 1:
        column, row = (squares.mean(axis, keepdim=True) for axis in axes)
        state["row_var"] = r = (1 - w) * state.get("row_var", 0 * row) + w * row
        state["col_var"] = c = (1 - w) * state.get("col_var", 0 * column) + w * column
        middle = r.mean(axes[0], keepdim=True)
        v = r * c / (middle if is_added else middle.clamp(min=eps)) if has_mean else r * c
    else:
        state["variance"] = v = (1 - w) * state.get("variance", 0 * g) + w * squares
    u = g / (v if is_added else v.clamp(min=eps**2)).sqrt()
    if d is not None:
        u = u / max(1.0, u.square().mean().sqrt().item() / d)
    size = min(lr, (t + late) ** -0.5) if is_relative else lr
    size *= max(least, p.square().mean().sqrt().item()) if has_scale else 1.0
    p *= 1 - lr * decay
    p -= size * u


RULE = Adafactor(0.3, eps=(1e-4, 1e-3))
LARGE = replace(RULE, eps=(1e-4, 2.0))
DECAYED = replace(RULE, weight_decay=0.1)
FAST = replace(RULE, lr=0.9)

PLANTED: list[tuple[dict[str, Any], Adafactor, str]] = [
    ({"eps": 1e-3}, RULE, "eps[0] is 0.001, not 0.0001"),
    ({"eps": 0.0}, replace(RULE, eps=(1e-2, 1e-3)), "eps[0] is left out"),
    ({"is_added": True}, RULE, "eps[0] is added to g^2, and not the least of v"),
    ({"least": 1e-2}, RULE, "eps[1] is 0.01, not 0.001"),
    ({"least": 0.0}, LARGE, "eps[1] is left out"),
    ({"power": -0.5}, RULE, "beta2_decay is -0.5, not -0.8"),
    ({"power": -0.77}, RULE, "beta2_decay is -0.77, not -0.8"),
    ({"d": None}, RULE, "the update is not clipped"),
    ({"axes": (0, 1)}, RULE, "the second moment is factored over the first two axes"),
    ({"has_mean": False}, RULE, "the second moment is not divided by the mean of its rows"),
    ({"has_scale": False}, RULE, "the step is not multiplied by the rms of the parameter"),
    ({"is_relative": False, "lr": 0.9}, FAST, "the rate is not at most 1 / sqrt(t)"),
    ({}, DECAYED, "the weight decay is left out"),
    ({"decay": 0.1 / 0.3}, DECAYED, "the weight decay is not multiplied by lr"),
    ({"late": 1}, RULE,
     "the number of the step is too high by one in the bias correction or the schedule"),
    ({"lr": 0.15}, RULE, "the step is 0.5 times as large as it should be, as with lr=0.15"),
]  # fmt: skip


class ByHand(torch.optim.Optimizer):
    """Adafactor by hand, with a mistake."""

    def __init__(self, params: Any, **mistake: Any) -> None:
        super().__init__(params, {})
        self.made, self.mistake = 0, mistake

    @torch.no_grad()
    def step(self, closure: Any = None) -> None:
        self.made += 1
        for p in self.param_groups[0]["params"]:
            adafactor(p, p.grad.clone(), self.state[p], self.made, **self.mistake)


def large(ps: list[Any]) -> list[Any]:
    """The parameters with gradients, of which some are small."""
    for p in ps:
        p.grad = torch.randn_like(p) * 10.0 ** torch.randint(-4, 1, p.shape)
    return ps


@pytest.mark.sample(9)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("mistake", "rule", "cause"), [pytest.param(*p, id=p[2]) for p in PLANTED])
def test_a_planted_mistake_is_named(
    mistake: dict[str, Any], rule: Adafactor, cause: str, dtype: str
) -> None:
    shape = (3, 2, 4, 5) if "axes" in cause else (6, 9)
    ps = large(parameters(dtype, [shape]))
    if cause == "eps[1] is 0.01, not 0.001":
        ps[0].data *= 1e-4
    report = gp.check_optimizer(ByHand(ps, **mistake), rule=rule)
    assert report.exit_code == 1
    assert {f.node for f in wrong(report)} == {"parameter_1"}
    assert {f.note for f in wrong(report)} == {cause}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    ("settings", "rule"),
    [({}, RULE), ({"lr": 0.9}, FAST), ({"decay": 0.1}, DECAYED),
     ({"is_added": True, "is_relative": False},
      replace(RULE, eps_added=True, relative_step=False))],
)  # fmt: skip
def test_without_the_mistake_it_is_right(
    settings: dict[str, Any], rule: Adafactor, dtype: str
) -> None:
    report = gp.check_optimizer(ByHand(large(parameters(dtype)), **settings), rule=rule)
    assert wrong(report) == []


# ---- Optax --------------------------------------------------------------------------------------

OF_OPTAX: dict[str, Any] = {
    "eps": (1e-30, 1e-3), "eps_added": True, "relative_step": False, "largest_axes": True,
    "decay_by_lr": False, "decay_in_float32": True,
}  # fmt: skip

Make = Callable[[Any], Any]
OPTAX: list[tuple[Make, Adafactor]] = [
    (lambda o: o.adafactor(0.1), Adafactor(0.1, least_size=128, **OF_OPTAX)),
    (lambda o: o.adafactor(0.1, min_dim_size_to_factor=4),
     Adafactor(0.1, least_size=4, **OF_OPTAX)),
    (lambda o: o.adafactor(0.1, min_dim_size_to_factor=2, weight_decay_rate=0.1,
                           clipping_threshold=None),
     Adafactor(0.1, least_size=2, weight_decay=0.1, d=None, **OF_OPTAX)),
    (lambda o: o.adafactor(lambda t: 0.1 * 0.5**t, multiply_by_parameter_scale=False,
                           factored=False, decay_rate=0.6),
     Adafactor(lambda t: 0.1 * 0.5**t, scale_parameter=False, factored=False, beta2_decay=-0.6,
               **OF_OPTAX)),
]  # fmt: skip


def pytree(jnp: Any, dtype: str) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    shapes = {"b": (40,), "w": (6, 9), "t": (9, 6), "c": (6, 2, 4, 3)}
    return {name: jnp.asarray(rng.normal(size=s), dtype) for name, s in shapes.items()}


@pytest.mark.sample(1)
@crossed("made, dtype", OPTAX, ["float32", "float64", "bfloat16", "float16"])
def test_optax_is_right(made: tuple[Make, Adafactor], dtype: str) -> None:
    make, rule = made
    jax, optax = pytest.importorskip("jax"), pytest.importorskip("optax")
    with jax.enable_x64(dtype == "float64"):
        report = gp.check_optimizer(make(optax), pytree(jax.numpy, dtype), rule=rule)
    assert wrong(report) == []
    assert report.exit_code == 0 or dtype == "float16"  # whose squares underflow


@pytest.mark.parametrize(
    ("settings", "mistake", "cause"),
    [
        ({"largest_axes": False}, {}, "the second moment is factored over the two longest axes"),
        ({"d": 2.0}, {"clipping_threshold": None}, "the update is not clipped"),
        ({"beta2_decay": -0.7}, {}, "beta2_decay is -0.8, not -0.7"),
        ({"weight_decay": 0.1}, {}, "the weight decay is left out"),
    ],
)
def test_a_mistake_in_optax_is_named(
    settings: dict[str, Any], mistake: dict[str, Any], cause: str
) -> None:
    jnp, optax = pytest.importorskip("jax.numpy"), pytest.importorskip("optax")
    rule = Adafactor(0.1, least_size=2, **{**OF_OPTAX, **settings})
    made = optax.adafactor(0.1, min_dim_size_to_factor=2, **mistake)
    report = gp.check_optimizer(made, {"c": pytree(jnp, "float32")["c"]}, rule=rule)
    assert report.exit_code == 1
    assert {f.note for f in wrong(report)} == {cause}


def test_a_decay_in_float32_is_named_in_float64() -> None:
    jax, optax = pytest.importorskip("jax"), pytest.importorskip("optax")
    rule = Adafactor(0.1, **{**OF_OPTAX, "decay_in_float32": False})
    with jax.enable_x64(True):
        made = optax.adafactor(0.1, min_dim_size_to_factor=0)
        report = gp.check_optimizer(made, pytree(jax.numpy, "float64"), rule=rule)
    said = "the decay of the second moment is computed in float32"
    assert {f.note for f in wrong(report)} == {said}
