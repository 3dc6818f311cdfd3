"""`align_steps` of trainings in JAX whose parameters are pytrees."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest

import gradparity as gp

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")
jnp = jax.numpy

pytestmark = pytest.mark.usefixtures("in_float64")

RNG = np.random.default_rng(0)
X = RNG.standard_normal((5, 4))
WEIGHTS = [RNG.standard_normal((4, 4)) / 2 for _ in range(2)]


class Layer(NamedTuple):
    weight: Any
    bias: Any


FORMS: dict[str, Callable[[Any, Any], Any]] = {
    "dictionaries": lambda one, two: {"0": one, "1": two},
    "list": lambda one, two: [one, two],
    "layers": lambda one, two: [Layer(**one), Layer(**two)],
    "dictionary of layers": lambda one, two: {"0": Layer(**one), "1": Layer(**two)},
}


def of_torch() -> Any:
    layers = torch.nn.Linear(4, 4).double(), torch.nn.Linear(4, 4).double()
    model = torch.nn.Sequential(*layers)
    with torch.no_grad():
        for layer, a in zip(layers, WEIGHTS, strict=True):
            layer.weight.copy_(torch.tensor(a))
            layer.bias.zero_()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def step(t: int, given: Any) -> Any:
        if given is not None:
            model.load_state_dict({n: torch.tensor(a) for n, a in given.items()})
        optimizer.zero_grad()
        loss = (layers[1](torch.tanh(layers[0](torch.tensor(X)))) ** 2).mean()
        loss.backward()
        optimizer.step()
        return loss, model.state_dict()

    return model.state_dict(), step


def of_jax(form: Callable[[Any, Any], Any], rate: float = 0.1, turned: bool = False) -> Any:
    def loss(p: Any) -> Any:
        leaves = jax.tree.leaves(p)
        biases, weights = (sorted(leaves, key=jnp.ndim)[k : k + 2] for k in (0, 2))
        one, two = (w if turned else w.T for w in weights)
        return ((jnp.tanh(X @ one + biases[0]) @ two + biases[1]) ** 2).mean()

    def begin() -> Any:
        weights = [jnp.asarray(a.T if turned else a) for a in WEIGHTS]
        p = form(*({"weight": a, "bias": jnp.zeros(4)} for a in weights))
        start = jax.tree.structure(p)

        def step(t: int, given: Any) -> Any:
            nonlocal p
            if given is not None:
                assert jax.tree.structure(given) == start
                p = given
            value, g = jax.value_and_grad(loss)(p)
            rates = form(*({"weight": k, "bias": 0.1} for k in (0.1, rate if t > 2 else 0.1)))
            p = jax.tree.map(lambda a, g, k: a - k * g, p, g, rates)
            return value, p

        return p, step

    begin.loss = loss  # type: ignore[attr-defined]
    return begin


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_right_steps_stay_together(form: Any) -> None:
    report = gp.align_steps(of_torch, of_jax(form), steps=5)
    assert report.exit_code == 0
    names = {f"{i}.{n}" for i in range(2) for n in ("weight", "bias")}
    assert {f.node for f in report.runs[0].findings} == {"loss", *names}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("turned", [False, True])
def test_another_rate_of_one_parameter_is_accused_at_it(form: Any, turned: bool) -> None:
    first, second = of_jax(form, 0.1), of_jax(form, 0.2)
    both = (second, first) if turned else (first, second)
    wrong = [f for f in gp.align_steps(*both, steps=5).runs[0].findings if f.parity is False]
    assert [f.node for f in wrong] == ["1.weight"]
    factor = "0.5" if turned else "2"
    assert f"at step 3: it moves {factor} times as far there" in wrong[0].note


def test_a_map_of_layouts_goes_with_pytrees() -> None:
    def loss(model: Any) -> Any:
        return (model[1](torch.tanh(model[0](torch.tensor(X)))) ** 2).mean()

    model = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Linear(4, 4)).double()
    model.load_state_dict(of_torch()[0])
    other = of_jax(FORMS["layers"], turned=True)
    two = gp.record(other.loss, other()[0], keep=True)
    mapping = gp.map_parameters(gp.record(loss, model, keep=True), two)
    assert gp.align_steps(of_torch, other, steps=3, parameters=mapping).exit_code == 0
    wrong = of_jax(FORMS["layers"], 0.2, turned=True)
    found = gp.align_steps(of_torch, wrong, steps=5, parameters=mapping).runs[0].findings
    assert [f.node for f in found if f.parity is False] == ["1.weight"]
