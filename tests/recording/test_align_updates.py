"""New parameters of two programs after a step of an optimizer."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradparity as gp

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")
optax = pytest.importorskip("optax")
jnp = jax.numpy

pytestmark = pytest.mark.usefixtures("in_float64")

ADAM = torch.optim.Adam


def parts(dtype: Any = None) -> tuple[Any, Any]:
    torch.manual_seed(0)
    dtype = dtype or torch.float64
    return torch.nn.Linear(4, 3).to(dtype), torch.randn(5, 4).to(dtype)


def stepped(make: Any = ADAM, dtype: Any = None, step: bool = True, **settings: Any) -> Any:
    model, x = parts(dtype)
    optimizer = make(model.parameters(), **{"lr": 1e-2, **settings})
    with gp.record(keep=True) as one:
        torch.tanh(model(x)).pow(2).sum().backward()
        if step:
            optimizer.step()
    return one


def updated(optimizer: Any, dtype: Any = None) -> Any:
    """The step in JAX, which returns new parameters and states."""
    model, x = parts(dtype)
    p = {"w": model.weight.detach().numpy().T.copy(), "b": model.bias.detach().numpy().copy()}

    def loss(p: Any, x: Any) -> Any:
        return (jnp.tanh(x @ p["w"] + p["b"]) ** 2).sum()

    def step(p: Any, s: Any, x: Any) -> Any:
        value, grads = jax.value_and_grad(loss)(p, x)
        changes, s = optimizer.update(grads, s, p)
        return value, (optax.apply_updates(p, changes), s)

    return gp.record(step, p, optimizer.init(p), x.numpy(), has_aux=True, keep=True)


def wrong(one: Any, other: Any) -> dict[str, str]:
    found = gp.align(one, other).runs[0].findings
    return {f.node: f.note for f in found if f.parity is False}


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("turned", [False, True])
def test_the_same_steps_leave_the_same(turned: bool, dtype: Any) -> None:
    both = stepped(dtype=dtype), updated(optax.adam(1e-2), dtype)
    report = gp.align(*both[:: -1 if turned else 1])
    paired = [f.node for f in report.runs[0].findings if f.quantity.is_state and f.parity]
    assert report.exit_code == 0
    assert len(paired) == 6


OTHERS = [
    (optax.adam(1e-2, eps=1e-3), {}, "eps is 0.001, not 1e-08"),
    (optax.adam(2e-2), {}, "as with lr=0.02"),
    (
        optax.adamw(1e-2, weight_decay=0.1),
        {"weight_decay": 0.1},
        "decay is taken off the parameter itself",
    ),
]


@pytest.mark.sample(3)
@pytest.mark.parametrize(("optimizer", "settings", "cause"), OTHERS)
@pytest.mark.parametrize("turned", [False, True])
def test_other_settings_are_named(optimizer: Any, settings: Any, cause: str, turned: bool) -> None:
    both = stepped(**settings), updated(optimizer)
    found = wrong(*both[:: -1 if turned else 1])
    assert {"0.w", "0.b"} <= {*found} if turned else {"weight", "bias"} <= {*found}
    said = found["0.w" if turned else "weight"]
    assert f"after the step: {'here' if turned else 'there'} " in said
    assert cause in said


def test_two_steps_of_pytorch() -> None:
    assert not wrong(stepped(), stepped())
    found = wrong(stepped(), stepped(amsgrad=True, eps=1e-4))
    assert {*found} == {"weight", "bias"}
    found = wrong(stepped(), stepped(betas=(0.8, 0.999)))
    assert {*found} == {"weight.exp_avg", "bias.exp_avg"}
    assert all("moves 2 times as far there" in note for note in found.values())


def test_float32_accuses_no_step_of_rounding() -> None:
    found = gp.align(stepped(dtype=torch.float32), stepped(dtype=torch.float32, eps=1e-2))
    assert found.exit_code == 2
    assert "unknown whether the states weight after the step" in found.runs[0].about


@pytest.mark.parametrize("turned", [False, True])
def test_a_step_of_one_program_alone_leaves_it_unknown(turned: bool) -> None:
    both = [stepped(), stepped(step=False)][:: -1 if turned else 1]
    report = gp.align(*both)
    assert report.exit_code == 2
    assert "unknown whether the states weight, bias after the step" in report.runs[0].about
    found = [f for f in report.runs[0].findings if f.verdict == "inconclusive"]
    assert {f.node for f in found} == {"weight", "bias"}
    assert all("leaves no parameter after a step" in f.note for f in found)
    assert gp.align(stepped(step=False), stepped(step=False)).exit_code == 0


def test_a_step_before_the_backward_pass_leaves_it_unknown() -> None:
    model, x = parts()
    optimizer = ADAM(model.parameters(), lr=1e-2)
    with gp.record(keep=True) as early:
        optimizer.step()
        torch.tanh(model(x)).pow(2).sum().backward()
    assert gp.align(stepped(), early).exit_code == 2


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("make", [torch.optim.SGD, ADAM])
def test_a_parameter_that_the_optimizer_was_not_given_is_accused(make: Any, turned: bool) -> None:
    def of(given: Any) -> Any:
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Tanh(), torch.nn.Linear(4, 3))
        model, x = model.double(), torch.randn(5, 4, dtype=torch.float64)
        optimizer = make(given(model).parameters(), lr=0.1)
        with gp.record(keep=True) as one:
            model(x).pow(3).sum().backward()
            optimizer.step()
        return one

    assert not wrong(of(lambda m: m), of(lambda m: m))
    assert not wrong(of(lambda m: m[0]), of(lambda m: m[0]))
    both = [of(lambda m: m), of(lambda m: m[0])]
    report = gp.align(*both[:: -1 if turned else 1])
    found = {f.node: f.note for f in report.runs[0].findings if f.parity is False}
    assert report.exit_code == 1
    assert {*found} == {"2.weight", "2.bias"}
    assert all(f"does not change {'here' if turned else 'there'}" in n for n in found.values())


@pytest.mark.parametrize("turned", [False, True])
def test_a_step_that_jax_alone_returns_leaves_it_unknown(turned: bool) -> None:
    both = [updated(optax.adam(1e-2)), stepped(step=False)][:: -1 if turned else 1]
    assert gp.align(*both).exit_code == 2


def test_an_update_that_is_left_out_is_accused() -> None:
    left = optax.set_to_zero()
    found = wrong(stepped(), updated(left))
    assert {*found} == {"weight", "bias"}
    assert all("does not change there" in note for note in found.values())


def test_of_several_arguments_that_with_the_shortest_path_was_there_before() -> None:
    states = updated(optax.adam(1e-2)).states
    assert states["0.w"].is_known
    assert np.array_equal(states["0.w"].before[0], parts()[0].weight.detach().numpy().T)


def test_a_block_around_a_step_of_optax_says_what_to_do() -> None:
    optimizer, p = optax.sgd(0.1), {"w": jnp.ones(3)}
    said = (
        r"gp\.record\(loss, params, batch\).*\(loss, new_params\), with has_aux=True.*align_steps"
    )
    with pytest.raises(RuntimeError, match=said), gp.record():
        optax.apply_updates(p, optimizer.update({"w": jnp.ones(3)}, optimizer.init(p), p)[0])


def test_a_state_that_jax_stores_in_float32_gives_no_warning() -> None:
    def loss(p: Any, mean: Any) -> Any:
        h = jnp.tanh(p)
        return (h**3).sum(), {"mean": mean.at[...].set(0.9 * mean + 0.1 * h)}

    p = jnp.linspace(-1.0, 1.0, 5, dtype=jnp.float64)
    seen = gp.record(loss, p, jnp.zeros(5, jnp.float32), has_aux=True, keep=True)
    assert gp.check(seen).exit_code == 0
    assert seen.states["mean"].after.dtype == np.float32


def test_a_row_without_a_gradient_leaves_a_step_decided() -> None:
    """Adam's root has an infinite derivative at its second moment of 0, which nobody takes."""
    torch.manual_seed(0)
    rows, taken = torch.nn.Embedding(5, 3).double(), torch.tensor([0, 1, 2, 3])
    p = {"e": jnp.asarray(rows.weight.detach().numpy().copy())}
    adam, theirs = ADAM(rows.parameters(), lr=1e-2), optax.adam(1e-2)
    with gp.record(keep=True) as one:
        rows(taken).pow(3).sum().backward()
        adam.step()

    def step(p: Any, s: Any) -> Any:
        value, grads = jax.value_and_grad(lambda p: (p["e"][taken.numpy()] ** 3).sum())(p)
        changes, s = theirs.update(grads, s, p)
        return value, (optax.apply_updates(p, changes), s)

    report = gp.align(one, gp.record(step, p, theirs.init(p), has_aux=True, keep=True))
    assert report.exit_code == 0
    assert sum(f.quantity.is_state for f in report.runs[0].findings) == 3
