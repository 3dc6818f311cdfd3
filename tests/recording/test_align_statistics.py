"""Running statistics of a batch norm and a port: wrong ones are accused, rounding is not."""

from __future__ import annotations

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


def one_norm(
    change: Callable[[Any], Any],
    n: int = 16,
    dtype: str = "float64",
    share: float = 0.1,
    biased: bool = False,
    fast: bool = False,
    offset: float = 1.0,
    seed: int = 0,
) -> tuple[Any, Any]:
    """A batch norm behind a layer, and a port of which the new statistics are changed."""
    generator = torch.Generator().manual_seed(seed)
    kind = getattr(torch, dtype)
    x = (torch.randn(n, 4, generator=generator) + offset).to(kind)
    w = torch.randn(4, 5, generator=generator).to(kind)
    norm = torch.nn.BatchNorm1d(5, momentum=share).to(kind)

    def port(p: Any, old: Any, x: Any) -> Any:
        h = x @ p["w"]
        mean = h.mean(0)
        var = (h * h).mean(0) - mean * mean if fast else h.var(0)
        seen = {"mean": mean, "var": var if biased else var * n / (n - 1)}
        new = {k: (1 - share) * old[k] + share * seen[k] for k in seen}
        y = (h - mean) / jnp.sqrt(var + 1e-5) * p["scale"] + p["bias"]
        return (jnp.tanh(y) ** 3).mean(), {**new, **change(new)}

    def original(w: Any, norm: Any, x: Any) -> Any:
        return torch.tanh(norm(x @ w)).pow(3).mean()

    zeros, ones = np.zeros(5, dtype), np.ones(5, dtype)
    p, old = {"w": w.numpy(), "scale": ones, "bias": zeros}, {"mean": zeros, "var": ones}
    one = gp.record(original, w.clone().requires_grad_(), norm, x, keep=True)
    return one, gp.record(port, p, old, x.numpy(), has_aux=True, keep=True)


WRONG: list[tuple[Callable[[Any], Any], str, str]] = [
    (lambda new: {"var": jnp.ones(5, new["var"].dtype)}, "var", "does not change there"),
    (lambda new: {"mean": 0 * new["mean"]}, "mean", "does not change there"),
    (lambda new: {"var": 1.5 * new["var"]}, "var", "is 1.5 times as large there"),
    (lambda new: {"var": 1.0001 * new["var"]}, "var", "is 1.0001 times as large there"),
    (lambda new: {"var": jnp.sqrt(new["var"])}, "var", "its root there, as a standard deviation"),
    (lambda new: {"var": new["var"] + 1e-4 * jnp.arange(5)}, "var", "differs by up to 0.0004"),
]


@pytest.mark.sample(13)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(("change", "name", "said"), WRONG)
def test_statistics_that_are_wrong_are_accused(
    change: Callable[[Any], Any], name: str, said: str, turned: bool, dtype: str
) -> None:
    found = other_states(*[*one_norm(change, dtype=dtype)][:: -1 if turned else 1])
    assert [each.removeprefix("arg1.").removeprefix("running_") for each in found] == [name]
    if not turned:
        assert said in next(iter(found.values()))


@pytest.mark.parametrize("n", [16, 512, 2048])
@pytest.mark.parametrize("turned", [False, True])
def test_a_biased_variance_of_many_numbers_in_float32(n: int, turned: bool) -> None:
    both = one_norm(lambda new: {}, n, "float32", biased=True)
    (note,) = other_states(*both[:: -1 if turned else 1]).values()
    assert f"the {'biased' if turned else 'unbiased'} variance of {n} numbers here" in note


@pytest.mark.sample(5)
@pytest.mark.parametrize("share", [0.01, 0.1, 0.9])
@pytest.mark.parametrize("fast", [False, True])
@pytest.mark.parametrize(("n", "offset"), [(4, 0.0), (64, 10.0), (3000, 1.0), (3000, 4.0)])
def test_right_statistics_in_float32_are_not_accused(
    n: int, offset: float, fast: bool, share: float
) -> None:
    for seed in range(2):
        both = one_norm(lambda new: {}, n, "float32", share, fast=fast, offset=offset, seed=seed)
        assert not other_states(*both)
        assert len(paired_states(*both)) == 2
