"""The rules of optimizers against torch.optim and Optax, with 60 digits, and their bounds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from gradparity import optimizers as rules
from gradparity.core import Bounded, Rounding

from .oracle import Real

STEPS = 6
Rule = rules.Rule


def gradients(seed: int, shape: tuple[int, ...] = (4, 3)) -> list[Any]:
    rng = np.random.default_rng(seed)
    return [
        10.0 ** rng.uniform(-6, 0, shape) * rng.choice([-1.0, 1.0], shape) for _ in range(STEPS)
    ]


def start(seed: int, shape: tuple[int, ...] = (4, 3)) -> Any:
    return np.random.default_rng(seed + 100).normal(size=shape)


def run(rule: Rule, p: Any, taken: list[Any]) -> tuple[Any, Any]:
    state = rule.start(p)
    if p.dtype == object:
        state = {name: Real.array(a) for name, a in state.items()}
    for t, g in enumerate(taken, 1):
        p, state = rule.step(p, g, state, t)
    return p, state


#: A class of torch.optim, its settings, and the rule with the same ones.
TORCH: list[tuple[str, dict[str, Any], Rule]] = [
    ("SGD", {"lr": 0.1}, rules.SGD(0.1)),
    ("SGD", {"lr": 0.1, "weight_decay": 0.2, "maximize": True},
     rules.SGD(0.1, weight_decay=0.2, maximize=True)),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3},
     rules.SGD(0.1, momentum=0.9, dampening=0.3)),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1},
     rules.SGD(0.1, momentum=0.9, nesterov=True, weight_decay=0.1)),
    ("Adam", {}, rules.Adam(1e-3)),
    ("Adam", {"lr": 0.1, "betas": (0.5, 0.5), "eps": 1e-4, "weight_decay": 0.1},
     rules.Adam(0.1, betas=(0.5, 0.5), eps=1e-4, weight_decay=0.1)),
    ("Adam", {"lr": 0.1, "betas": (0.0, 0.1), "amsgrad": True, "maximize": True},
     rules.Adam(0.1, betas=(0.0, 0.1), amsgrad=True, maximize=True)),
    ("AdamW", {}, rules.AdamW(1e-3)),
    ("AdamW", {"lr": 0.1, "weight_decay": 0.5, "amsgrad": True, "betas": (0.9, 0.3)},
     rules.AdamW(0.1, weight_decay=0.5, amsgrad=True, betas=(0.9, 0.3))),
    ("NAdam", {}, rules.NAdam(2e-3)),
    ("NAdam", {"lr": 0.1, "momentum_decay": 0.3, "weight_decay": 0.1},
     rules.NAdam(0.1, momentum_decay=0.3, weight_decay=0.1)),
    ("NAdam", {"lr": 0.1, "weight_decay": 0.1, "decoupled_weight_decay": True},
     rules.NAdam(0.1, weight_decay=0.1, decoupled=True)),
    ("RAdam", {}, rules.RAdam(1e-3)),
    ("RAdam", {"lr": 0.1, "betas": (0.8, 0.9), "weight_decay": 0.1},
     rules.RAdam(0.1, betas=(0.8, 0.9), weight_decay=0.1)),
    ("RMSprop", {}, rules.RMSProp(1e-2)),
    ("RMSprop", {"lr": 0.1, "alpha": 0.5, "centered": True, "eps": 1e-3},
     rules.RMSProp(0.1, alpha=0.5, centered=True, eps=1e-3)),
    ("RMSprop", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1},
     rules.RMSProp(0.1, momentum=0.9, weight_decay=0.1)),
    ("Adagrad", {}, rules.Adagrad(1e-2)),
    ("Adagrad", {"lr": 0.1, "lr_decay": 0.3, "initial_accumulator_value": 0.2},
     rules.Adagrad(0.1, lr_decay=0.3, initial=0.2)),
    ("Adadelta", {}, rules.Adadelta(1.0)),
    ("Adadelta", {"lr": 0.3, "rho": 0.5, "eps": 1e-3, "weight_decay": 0.1},
     rules.Adadelta(0.3, rho=0.5, eps=1e-3, weight_decay=0.1)),
    ("Adamax", {}, rules.Adamax(2e-3)),
    ("Adamax", {"lr": 0.1, "betas": (0.5, 0.6), "weight_decay": 0.1, "eps": 1e-3},
     rules.Adamax(0.1, betas=(0.5, 0.6), weight_decay=0.1, eps=1e-3)),
    ("Adafactor", {}, rules.Adafactor()),
    ("Adafactor", {"lr": 0.9, "beta2_decay": -0.5, "eps": (1e-3, 2.0), "weight_decay": 0.1},
     rules.Adafactor(0.9, beta2_decay=-0.5, eps=(1e-3, 2.0), weight_decay=0.1)),
    ("Adafactor", {"lr": 0.1, "d": 1.5, "maximize": True},
     rules.Adafactor(0.1, d=1.5, maximize=True)),
]  # fmt: skip

#: What Optax's Adafactor does otherwise than PyTorch's.
OF_OPTAX: dict[str, Any] = {
    "eps": (1e-30, 1e-3), "eps_added": True, "relative_step": False, "largest_axes": True,
    "decay_by_lr": False, "decay_in_float32": True,
}  # fmt: skip

#: A function of Optax, its settings, and the rule with the same ones.
OPTAX: list[tuple[str, dict[str, Any], Rule]] = [
    ("sgd", {"learning_rate": 0.1}, rules.SGD(0.1)),
    ("sgd", {"learning_rate": 0.1, "momentum": 0.9}, rules.SGD(0.1, momentum=0.9)),
    ("sgd", {"learning_rate": 0.1, "momentum": 0.9, "nesterov": True},
     rules.SGD(0.1, momentum=0.9, nesterov=True)),
    ("adam", {"learning_rate": 0.1}, rules.Adam(0.1)),
    ("adam", {"learning_rate": 0.1, "b1": 0.5, "b2": 0.7, "eps": 1e-4, "eps_root": 1e-5},
     rules.Adam(0.1, betas=(0.5, 0.7), eps=1e-4, eps_root=1e-5)),
    ("nadam", {"learning_rate": 0.1}, rules.Adam(0.1, nesterov=True)),
    ("adamw", {"learning_rate": 0.1, "weight_decay": 0.3}, rules.AdamW(0.1, weight_decay=0.3)),
    ("amsgrad", {"learning_rate": 0.1, "b2": 0.2},
     rules.Adam(0.1, betas=(0.9, 0.2), amsgrad=True, amsgrad_corrected=True)),
    ("radam", {"learning_rate": 0.1, "b2": 0.8},
     rules.RAdam(0.1, betas=(0.9, 0.8), eps_corrected=True)),
    ("rmsprop", {"learning_rate": 0.1, "decay": 0.9, "eps": 1e-4},
     rules.RMSProp(0.1, alpha=0.9, eps=1e-4, eps_inside=True)),
    ("rmsprop", {"learning_rate": 0.1, "decay": 0.9, "centered": True, "momentum": 0.8},
     rules.RMSProp(0.1, alpha=0.9, eps_inside=True, centered=True, momentum=0.8)),
    ("adagrad", {"learning_rate": 0.1, "initial_accumulator_value": 0.1, "eps": 1e-7},
     rules.Adagrad(0.1, initial=0.1, eps=1e-7, eps_inside=True)),
    ("adadelta", {"learning_rate": 0.5, "rho": 0.9, "eps": 1e-6}, rules.Adadelta(0.5)),
    ("adamax", {"learning_rate": 0.1}, rules.Adamax(0.1)),
    ("lion", {"learning_rate": 0.1, "weight_decay": 0.2}, rules.Lion(0.1, weight_decay=0.2)),
    ("adafactor", {"learning_rate": 0.1}, rules.Adafactor(0.1, least_size=128, **OF_OPTAX)),
    ("adafactor", {"learning_rate": 0.1, "min_dim_size_to_factor": 2, "weight_decay_rate": 0.1,
                   "clipping_threshold": None},
     rules.Adafactor(0.1, least_size=2, weight_decay=0.1, d=None, **OF_OPTAX)),
    ("adafactor", {"learning_rate": 0.1, "min_dim_size_to_factor": 2, "decay_rate": 0.6,
                   "eps": 1e-6, "multiply_by_parameter_scale": False},
     rules.Adafactor(0.1, least_size=2, beta2_decay=-0.6, scale_parameter=False,
                     **{**OF_OPTAX, "eps": (1e-6, 1e-3)})),
]  # fmt: skip


def named(entries: list[tuple[str, dict[str, Any], Rule]]) -> list[Any]:
    return [
        pytest.param(*e, id=f"{e[0]}-{'-'.join(map(str, e[1])) or 'defaults'}") for e in entries
    ]


@pytest.mark.parametrize(("name", "settings", "rule"), named(TORCH))
@pytest.mark.parametrize("foreach", [False, True])
def test_a_rule_does_what_pytorch_does(
    name: str, settings: dict[str, Any], rule: Rule, foreach: bool
) -> None:
    torch = pytest.importorskip("torch")
    taken = gradients(0)
    p = torch.nn.Parameter(torch.from_numpy(start(0)))
    optimizer = getattr(torch.optim, name)([p], **settings, foreach=foreach)
    for g in taken:
        p.grad = torch.from_numpy(g.copy())
        optimizer.step()
    found, state = run(rule, start(0), taken)
    rtol = 1e-6 if name == "NAdam" else 1e-11  # whose mu_product is float32
    np.testing.assert_allclose(found, p.detach().numpy(), rtol=rtol, atol=1e-14)
    for of, value in state.items():
        kept = np.asarray(optimizer.state[p][of])
        np.testing.assert_allclose(np.asarray(value), kept, rtol=rtol, atol=1e-25)


@pytest.mark.sample(6)
@pytest.mark.parametrize(("name", "settings", "rule"), named(OPTAX))
def test_a_rule_does_what_optax_does(name: str, settings: dict[str, Any], rule: Rule) -> None:
    jax, optax = pytest.importorskip("jax"), pytest.importorskip("optax")
    taken = gradients(1)
    with jax.enable_x64(True):
        p = jax.numpy.asarray(start(1))
        made = getattr(optax, name)(**settings)
        state = made.init(p)
        for g in taken:
            change, state = made.update(jax.numpy.asarray(g), state, p)
            p = optax.apply_updates(p, change)
        wanted = np.asarray(p)
    assert wanted.dtype == np.float64
    np.testing.assert_allclose(run(rule, start(1), taken)[0], wanted, rtol=1e-7, atol=1e-9)


ALL = [rule for _, _, rule in TORCH + OPTAX]
IDS = [f"{i}-{rule.name}" for i, rule in enumerate(ALL)]


def shapes(rule: Rule, n: int) -> list[tuple[int, ...]]:
    """Shapes to try a rule with: an elementwise one takes every element by itself."""
    return [(n,)] if rule.elementwise else [(n,), (n, 4), (2, n, 3)]


#: Rules, and a small and a large shape of the parameter.
SHAPED = [
    pytest.param(r, small, large, id=f"{i}-{small}")
    for r, i in zip(ALL, IDS, strict=True)
    for small, large in zip(shapes(r, 3), shapes(r, 200), strict=True)
]


@pytest.mark.parametrize(("rule", "shape", "_large"), SHAPED)
def test_with_60_digits_nothing_else_comes_out(
    rule: Rule, shape: tuple[int, ...], _large: tuple[int, ...]
) -> None:
    taken = gradients(2, shape)
    exact, _ = run(rule, Real.array(start(2, shape)), [Real.array(g) for g in taken])
    found, _ = run(rule, start(2, shape), taken)
    np.testing.assert_allclose(found, exact.astype(float), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("rule", "_small", "shape"), SHAPED)
@pytest.mark.parametrize("format_of", [np.float32, np.float64])
def test_the_bound_covers_an_evaluation_in_the_number_format(
    rule: Rule, _small: tuple[int, ...], shape: tuple[int, ...], format_of: Any
) -> None:
    rounding = Rounding.of(np.dtype(format_of).name)
    p = start(3, shape).astype(format_of)
    state = rule.start(p)
    for t, g in enumerate((g.astype(format_of) for g in gradients(3, shape)), 1):
        old = {name: Bounded.exactly(np.asarray(a), rounding) for name, a in state.items()}
        bounded, new = rule.step(Bounded.exactly(p, rounding), Bounded.exactly(g, rounding), old, t)
        p, state = rule.step(p, g, state, t)
        p = p.astype(format_of)  # a scalar of NumPy may have made it float64
        for want, got in ((bounded, p), *((new[name], state[name]) for name in state)):
            assert np.all(np.abs(np.asarray(want.value) - got) <= want.full_error())


class TestMean:
    """A running mean may be computed as a linear interpolation."""

    @pytest.mark.parametrize("beta", [0.0, 0.5, 0.25, 0.9, 0.999])
    def test_the_bound_covers_every_form(self, beta: float) -> None:
        rng = np.random.default_rng(0)
        old, new = (rng.normal(size=5000).astype(np.float32) for _ in range(2))
        rounding, b = Rounding.of("float32"), np.float32(beta)
        want = rules.Adam(0.1, betas=(beta, 0.9)).advance(
            Bounded.exactly(new, rounding),
            {"exp_avg": Bounded.exactly(old, rounding), "exp_avg_sq": 0 * old},
            1,
        )["exp_avg"]
        w = np.float32(1 - beta)
        for got in (b * old + w * new, old + w * (new - old), new - (new - old) * b):
            assert np.all(np.abs(got - want.value) <= want.full_error())


class TestClipping:
    def test_by_norm_with_60_digits(self) -> None:
        g = [start(4), start(5)]
        exact = rules.ClipByNorm(0.5).clip([Real.array(a) for a in g])
        for found, want in zip(rules.ClipByNorm(0.5).clip(g), exact, strict=True):
            np.testing.assert_allclose(found, want.astype(float), rtol=1e-14)

    @pytest.mark.parametrize("order", [1.0, 2.0, float("inf")])
    @pytest.mark.parametrize("most", [0.5, 1e9])
    def test_by_norm_as_pytorch_does(self, order: float, most: float) -> None:
        torch = pytest.importorskip("torch")
        g = [start(4), start(5)]
        ps = [torch.nn.Parameter(torch.zeros(4, 3, dtype=torch.float64)) for _ in g]
        for p, a in zip(ps, g, strict=True):
            p.grad = torch.from_numpy(a.copy())
        torch.nn.utils.clip_grad_norm_(ps, most, norm_type=order)
        for p, found in zip(ps, rules.ClipByNorm(most, order=order).clip(g), strict=True):
            np.testing.assert_allclose(found, p.grad.numpy(), rtol=1e-14)

    def test_each_by_its_own_norm(self) -> None:
        one, two = rules.ClipByNorm(1.0, eps=0.0, each=True).clip([np.full(4, 3.0), np.ones(1)])
        np.testing.assert_allclose(one, 0.5)
        np.testing.assert_allclose(two, 1.0)

    def test_by_value(self) -> None:
        (found,) = rules.ClipByValue(0.5).clip([np.array([-2.0, 0.25, 3.0])])
        np.testing.assert_array_equal(found, [-0.5, 0.25, 0.5])


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: rules.SGD(-1.0),
        lambda: rules.SGD(float("nan")),
        lambda: rules.SGD("0.1"),
        lambda: rules.SGD(0.1, momentum=-0.5),
        lambda: rules.Adam(0.1, betas=(1.0, 0.5)),
        lambda: rules.Adam(0.1, betas=0.9),
        lambda: rules.Adam(0.1, eps=-1.0),
        lambda: rules.Adamax(0.1, betas=(0.5, -0.1)),
        lambda: rules.Lion(0.1, betas=(0.5, 1.0)),
        lambda: rules.RMSProp(0.1, alpha=1.0),
        lambda: rules.Adafactor(beta2_decay=0.8),
        lambda: rules.Adafactor(beta2_decay="a"),
        lambda: rules.Adafactor(eps=1e-30),
        lambda: rules.Adafactor(eps=(1e-30, None)),
        lambda: rules.Adafactor(d=0.0),
        lambda: rules.Adafactor(least_size=-1),
        lambda: rules.ClipByNorm(-1.0),
        lambda: rules.ClipByNorm(1.0, order=3),
        lambda: rules.ClipByValue(True),
    ],
)
def test_settings_that_no_optimizer_has_are_refused(wrong: Callable[[], Any]) -> None:
    with pytest.raises(ValueError, match="give"):
        wrong()


def test_a_schedule_gives_the_rate_of_each_step() -> None:
    rule = rules.SGD(lambda made: 0.5**made)
    found, _ = run(rule, np.zeros(1), [np.ones(1)] * 3)
    np.testing.assert_array_equal(found, [-1.75])


@pytest.mark.parametrize("rule", ALL, ids=IDS)
def test_every_mistake_is_another_rule(rule: Rule) -> None:
    taken, right = gradients(6), run(rule, start(6), gradients(6))[0]
    words = [said for said, _ in rule.variants()]
    assert len(set(words)) == len(words)
    assert any(np.any(run(wrong, start(6), taken)[0] != right) for _, wrong in rule.variants())
