"""The states that two programs leave: paired, and why they differ."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradparity as gp

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")
jnp = jax.numpy

from .side_by_side import other_states, paired_states  # noqa: E402

pytestmark = pytest.mark.usefixtures("in_float64")

MOMENTUM = "momentum is the share of the new in PyTorch"


def network() -> Any:
    torch.manual_seed(0)
    nn = torch.nn
    layers = nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 5), nn.BatchNorm1d(5)
    return nn.Sequential(*layers).double()


def batch() -> Any:
    return torch.randn(6, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def cubed(model: Any, x: Any) -> Any:
    return (model(x) ** 3).sum()


def recorded(change: Callable[[Any], None] = lambda model: None, x: Any = None) -> Any:
    model = network()
    change(model)
    return gp.record(cubed, model, batch() if x is None else x, keep=True)


def to_jax(tensors: Any) -> dict[str, Any]:
    return {name: jnp.asarray(t.detach().numpy()) for name, t in tensors}


def ported(
    keep: float = 0.9,
    unbiased: bool = True,
    returned: str = "new",
    start: tuple[float, float] = (0.0, 1.0),
) -> Any:
    """The network in JAX, with running statistics that it returns."""
    old = {f"bn{i}": {"mean": jnp.full(5, start[0]), "var": jnp.full(5, start[1])} for i in (1, 4)}

    def loss(p: Any, old: Any, x: Any) -> Any:
        new, raw, h = {}, [], x
        for i in (1, 4):
            h = h @ p[f"{i - 1}.weight"].T + p[f"{i - 1}.bias"]
            mean, var = h.mean(0), ((h - h.mean(0)) ** 2).mean(0)
            s, n = old[f"bn{i}"], len(h)
            seen = {"mean": mean, "var": var * n / (n - 1) if unbiased else var}
            new[f"bn{i}"] = {k: keep * s[k] + (1 - keep) * seen[k] for k in seen}
            raw.append(seen)
            h = (h - mean) / jnp.sqrt(var + 1e-5) * p[f"{i}.weight"] + p[f"{i}.bias"]
            h = jnp.tanh(h) if i == 1 else h
        aux = {"new": {"batch_stats": new}, "raw": raw, "output": h, "old": old}[returned]
        return (h**3).sum(), aux

    args = to_jax(network().named_parameters()), old, jnp.asarray(batch().numpy())
    return gp.record(loss, *args, has_aux=True, keep=True)


@pytest.mark.parametrize("turned", [False, True])
def test_a_right_port_leaves_the_same_states(turned: bool) -> None:
    both = [recorded(), ported()][:: -1 if turned else 1]
    assert not other_states(*both)
    assert len(paired_states(*both)) == 4
    assert "4 of" in gp.align(*both).runs[0].about


@pytest.mark.parametrize("turned", [False, True])
def test_the_convention_of_momentum_is_named(turned: bool) -> None:
    both = [recorded(), ported(keep=0.1)][:: -1 if turned else 1]
    found = other_states(*both)
    here, there = (0.1, 0.9) if turned else (0.9, 0.1)
    assert len(found) == 4
    assert all(f"keeps {here} of what it was here and {there} there" in n for n in found.values())
    assert all(MOMENTUM in note for note in found.values())


@pytest.mark.parametrize("turned", [False, True])
def test_a_biased_running_variance_is_named(turned: bool) -> None:
    found = other_states(*[recorded(), ported(unbiased=False)][:: -1 if turned else 1])
    said = "biased variance of 6 numbers here, the unbiased" if turned else "unbiased variance of 6"
    assert len(found) == 2
    assert all(name.endswith("var") and said in note for name, note in found.items())
    assert not any("keeps" in note for note in found.values())


def test_another_momentum_and_a_biased_variance_are_told_apart() -> None:
    found = other_states(recorded(), ported(keep=0.99, unbiased=False))
    assert {name for name, note in found.items() if "biased" in note} == {
        "1.running_var",
        "4.running_var",
    }
    assert all("keeps 0.9 of what it was here and 0.99 there" in note for note in found.values())
    assert not any(MOMENTUM in note for note in found.values())


def test_other_numbers_at_the_start_are_named() -> None:
    found = other_states(recorded(), ported(start=(0.5, 2.0)))
    assert len(found) == 4
    assert all("starts from other numbers" in note for note in found.values())


@pytest.mark.sample(4)
@pytest.mark.parametrize("turned", [False, True])
def test_what_is_no_new_state_is_not_accused(turned: bool) -> None:
    both = [recorded(), ported(returned="output")][:: -1 if turned else 1]
    assert not other_states(*both)
    assert not paired_states(*both)


@pytest.mark.parametrize("turned", [False, True])
def test_what_may_be_the_new_state_leaves_it_unknown(turned: bool) -> None:
    report = gp.align(*[recorded(), ported(returned="raw")][:: -1 if turned else 1])
    found = [f for f in report.runs[0].findings if f.quantity.is_state and f.parity is None]
    unknown = [f for f in found if f.verdict == "inconclusive"]
    assert report.exit_code == 2
    assert len(unknown) == 4
    assert all(("running_mean" if turned else "0.mean") in f.note for f in unknown)
    assert "unknown whether the states" in report.runs[0].about


@pytest.mark.parametrize("turned", [False, True])
def test_states_that_a_port_never_updates_are_accused(turned: bool) -> None:
    found = other_states(*[recorded(), ported(returned="old")][:: -1 if turned else 1])
    assert len(found) == 4
    where = "here" if turned else "there"
    assert all(f"does not change {where}" in note for note in found.values())


def test_two_jax_programs_without_an_op_for_the_statistics() -> None:
    assert not other_states(ported(), ported())
    found = other_states(ported(), ported(keep=0.8))
    assert len(found) == 4
    assert "moves 2 times as far there" in found["batch_stats.bn1.mean"]
    assert "keeps 0.9 of what it was here and 0.8 there" in found["batch_stats.bn1.var"]


def test_two_models_of_pytorch_by_name() -> None:
    def later(model: Any) -> None:
        model[4].num_batches_tracked += 4

    assert not other_states(recorded(), recorded())
    found = other_states(recorded(), recorded(later))
    assert found == {"4.num_batches_tracked": "it is 1 here and 5 there after the step"}
    names = {"1.running_mean", "1.running_var"}
    found = other_states(recorded(), recorded(lambda model: setattr(model[1], "momentum", 0.0)))
    assert {*found} == names
    assert all(note == "it does not change there, as in evaluation" for note in found.values())


def test_other_names_are_not_paired_by_name() -> None:
    class Renamed(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = network()

        def forward(self, x: Any) -> Any:
            return self.layers(x)

    def counted(model: Any) -> None:
        model.layers[1].num_batches_tracked += 4

    model = Renamed()
    counted(model)
    other = gp.record(cubed, model, batch(), keep=True)
    assert not other_states(recorded(), other)
    assert not other_states(other, recorded())


class Centred(torch.nn.Module):
    """A layer that keeps the mean of its input, which a wrong one keeps in reverse order."""

    def __init__(self, flip: bool = False, order: Any = None) -> None:
        super().__init__()
        self.flip = flip
        w = torch.randn(5, 5, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
        order = range(5) if order is None else order
        self.w = torch.nn.Parameter(w[list(order)])
        self.register_buffer("mean", torch.zeros(5, dtype=torch.float64))

    def forward(self, x: Any) -> Any:
        z = x @ self.w.T
        with torch.no_grad():
            mean = z.mean(0)
            self.mean.mul_(0.9).add_(0.1 * (mean.flip(0) if self.flip else mean))
        return torch.tanh(z)


def centred(**given: Any) -> Any:
    x = torch.randn(6, 5, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    return gp.record(cubed, Centred(**given), x, keep=True)


def test_a_state_of_one_name_in_another_order_is_accused() -> None:
    assert paired_states(centred(), centred()) == ["mean"]
    assert "in another order" in other_states(centred(), centred(flip=True))["mean"]
    assert "in another order" in other_states(centred(flip=True), centred())["mean"]


def test_a_state_that_follows_the_order_of_its_parameter_is_not_accused() -> None:
    assert paired_states(centred(), centred(order=(2, 0, 4, 1, 3))) == ["mean"]


def test_two_updates_in_a_step_are_not_accused() -> None:
    def twice(model: Any, x: Any) -> Any:
        return cubed(model, x) + cubed(model, 2 * x.cos())

    model = network()
    one = gp.record(twice, model, batch(), keep=True)
    other = gp.record(lambda m, x: twice(m, x), copy.deepcopy(network()), batch(), keep=True)
    assert not other_states(one, other)
    assert len(paired_states(one, other)) == 6


def averaged(decay: float, transposed: bool = False) -> Any:
    """A parameter and its average, in PyTorch."""
    torch.manual_seed(2)
    w, old = torch.randn(4, 3).double(), torch.randn(4, 3).double()
    x = batch()

    def loss(w: Any, average: Any) -> Any:
        with torch.no_grad():
            average["w"].mul_(decay).add_(w, alpha=1 - decay)
        return torch.tanh(x @ (w.T if transposed else w)).pow(3).sum()

    w, old = (a.T.contiguous() if transposed else a for a in (w, old))
    return gp.record(loss, w.requires_grad_(), {"w": old}, keep=True)


def averaged_in_jax(decay: float) -> Any:
    torch.manual_seed(2)
    w, old = (jnp.asarray(torch.randn(4, 3).double().numpy()) for _ in range(2))
    x = jnp.asarray(batch().numpy())

    def loss(p: Any, average: Any) -> Any:
        new = {"w": decay * average["w"] + (1 - decay) * p["w"]}
        return (jnp.tanh(x @ p["w"]) ** 3).sum(), {"ema": new}

    return gp.record(loss, {"w": w}, {"w": old}, has_aux=True, keep=True)


@pytest.mark.parametrize("transposed", [False, True])
def test_averages_of_parameters(transposed: bool) -> None:
    one = averaged(0.99, transposed)
    assert not other_states(one, averaged_in_jax(0.99))
    assert paired_states(one, averaged_in_jax(0.99)) == ["arg1.w"]
    assert not other_states(averaged_in_jax(0.99), averaged_in_jax(0.99))
    if not transposed:
        (note,) = other_states(one, averaged_in_jax(0.9)).values()
        assert "keeps 0.99 of what it was here and 0.9 there" in note
    (note,) = other_states(one, averaged(0.9)).values()
    assert "0.99 of what it was here and 0.9 there" in note or "10 times as far there" in note


def test_two_averages_of_one_parameter_are_not_exchanged() -> None:
    def made(*decays: float) -> Any:
        torch.manual_seed(4)
        w, old = torch.randn(4, 3).double().requires_grad_(), torch.randn(4, 3).double()
        x = batch()

        def loss(w: Any, averages: Any) -> Any:
            with torch.no_grad():
                for decay, (_, average) in zip(decays, averages.items(), strict=True):
                    average.mul_(decay).add_(w, alpha=1 - decay)
            return torch.tanh(x @ w).pow(3).sum()

        names = [f"average{decay}".replace(".", "_") for decay in decays]
        return gp.record(loss, w, {name: old.clone() for name in names}, keep=True)

    assert not other_states(made(0.9, 0.99), made(0.99, 0.9))
    assert not other_states(made(0.9, 0.99), made(0.99))
    assert not other_states(made(0.99), made(0.9, 0.99))


def test_states_of_half_precision_are_compared_by_name_alone() -> None:
    def half(change: float) -> Any:
        model = network().to(torch.bfloat16)
        model[4].momentum = change
        return gp.record(cubed, model, batch().to(torch.bfloat16), keep=True)

    assert not other_states(half(0.1), half(0.1))
    assert {*other_states(half(0.1), half(0.9))} == {"4.running_mean", "4.running_var"}


def test_states_that_pytorch_returns() -> None:
    def loss(w: Any, state: Any, keep: float) -> Any:
        h = batch() @ w
        new = {"mean": keep * state["mean"] + (1 - keep) * h.mean(0).detach()}
        return (h - h.mean(0)).pow(3).sum(), new

    def made(keep: float) -> Any:
        torch.manual_seed(3)
        w, mean = torch.randn(4, 3).double().requires_grad_(), torch.randn(3).double()
        return gp.record(loss, w, {"mean": mean}, keep, keep=True)

    assert not other_states(made(0.9), made(0.9))
    (note,) = other_states(made(0.9), made(0.8)).values()
    assert "keeps 0.9 of what it was here and 0.8 there" in note


def test_other_results_beside_the_loss_are_not_accused() -> None:
    def loss(w: Any, inner: bool) -> Any:
        h = batch() @ w
        y = torch.tanh(h)
        return y.pow(3).sum(), h.sin() if inner else y.cos()

    w = torch.randn(4, 3, generator=torch.Generator().manual_seed(5)).double().requires_grad_()
    one, other = (gp.record(loss, w, inner, keep=True) for inner in (True, False))
    assert {*one.states} == {*other.states} == {"0"}
    assert not other_states(one, other)


def test_float32() -> None:
    def single(momentum: float) -> Any:
        model = network().float()
        model[1].momentum = momentum
        return gp.record(cubed, model, batch().float(), keep=True)

    assert not other_states(single(0.1), single(0.1))
    found = other_states(single(0.1), single(0.3))
    assert {*found} == {"1.running_mean", "1.running_var"}
    assert all("keeps 0.9 of what it was here and 0.7 there" in n for n in found.values())


def test_states_are_kept_only_with_the_numbers() -> None:
    model = network()
    assert not gp.record(cubed, model, batch()).states
    assert model[1].num_batches_tracked == 1
    with gp.record(keep=True) as step:
        cubed(model, batch()).backward()
    assert step.states["1.num_batches_tracked"].before[0] == 1
    assert step.states["1.num_batches_tracked"].after == 2


def test_arguments_that_are_no_floats_stay_as_they_are() -> None:
    def loss(p: Any, stats: Any, n: int) -> Any:
        more = p["w"] * 2 if p["n"] > 2 else p["w"]
        new = {"mean": stats["mean"] + more.mean(), "note": "text", "n": n + 1, "key": stats["key"]}
        return jnp.sin(more).sum(), new

    p = {"w": jnp.arange(1.0, 4.0), "n": np.array(3)}
    stats = {"mean": jnp.zeros(()), "key": jax.random.key(0)}
    found = gp.record(loss, p, stats, 3, has_aux=True, keep=True).states
    assert {*found} == {"mean"}
    assert found["mean"].is_known
    assert found["mean"].after == 4.0
