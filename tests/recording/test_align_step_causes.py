"""Two trainings that part in their optimizers: what is said of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradparity as gp

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")
optax = pytest.importorskip("optax")
jnp = jax.numpy

pytestmark = pytest.mark.usefixtures("in_float64")

Make = Callable[[], Any]


def plain(optimizer: Callable[[list[Any]], Any], clip: float = 0.0) -> Make:
    """Two parameters in PyTorch with gradients of other sizes, which are clipped if asked for."""

    def start() -> Any:
        generator = torch.Generator().manual_seed(0)
        ps = {n: torch.randn(6, k, generator=generator).double() for n, k in (("a", 4), ("b", 3))}
        held = optimizer([p.requires_grad_() for p in ps.values()])

        def step(t: int, given: Any) -> Any:
            for name in given or ():
                ps[name].data.copy_(torch.tensor(np.asarray(given[name])))
            held.zero_grad()
            loss = torch.sin(3 * ps["a"]).sum() + 0.1 * torch.sin(ps["b"]).sum()
            loss.backward()
            if clip:
                torch.nn.utils.clip_grad_norm_(list(ps.values()), clip)
            held.step()
            return loss, {n: p.detach().clone() for n, p in ps.items()}

        return {n: p.detach().clone() for n, p in ps.items()}, step

    return start


def plain_in_jax(optimizer: Any) -> Make:
    def start() -> Any:
        p = {n: jnp.asarray(a.numpy()) for n, a in plain(torch.optim.SGD)()[0].items()}
        state = optimizer.init(p)

        def loss_of(p: Any) -> Any:
            return jnp.sin(3 * p["a"]).sum() + 0.1 * jnp.sin(p["b"]).sum()

        def step(t: int, given: Any) -> Any:
            nonlocal p, state
            p = p if given is None else {n: jnp.asarray(a) for n, a in given.items()}
            loss, grads = jax.value_and_grad(loss_of)(p)
            changes, state = optimizer.update(grads, state, p)
            p = optax.apply_updates(p, changes)
            return loss, p

        return p, step

    return start


def sgd(ps: Any) -> Any:
    return torch.optim.SGD(ps, lr=0.01, weight_decay=0.1)


CLIP_AND_DECAY = optax.clip_by_global_norm(0.5), optax.add_decayed_weights(0.1)
OPTIMIZERS: dict[str, tuple[Make, Any, str]] = {
    "same": (plain(sgd), optax.chain(CLIP_AND_DECAY[1], optax.sgd(0.01)), ""),
    "norm": (
        plain(sgd, 0.5),
        optax.chain(*CLIP_AND_DECAY, optax.sgd(0.01)),
        "1e-6 that is added to the norm",
    ),
    "order": (
        plain(sgd, 0.5),
        optax.chain(*CLIP_AND_DECAY[::-1], optax.sgd(0.01)),
        "clipped before the weight decay is added in one",
    ),
    "norms": (
        plain(lambda ps: torch.optim.SGD(ps, lr=0.01), 0.05),
        optax.chain(optax.clip_by_block_rms(0.05), optax.sgd(0.01)),
        "others by other factors, as with gradients clipped by one norm of all",
    ),
    "decay": (
        plain(lambda ps: torch.optim.Adam(ps, lr=0.01, weight_decay=0.01)),
        optax.adamw(0.01, weight_decay=0.01),
        "in Adam, in one of the two, and decoupled",
    ),
    "eps": (
        plain(lambda ps: torch.optim.RMSprop(ps, lr=0.01)),
        optax.rmsprop(0.01, decay=0.99),
        "`check_optimizer` tells",
    ),
    "float32": (
        plain(lambda ps: torch.optim.SGD(ps, lr=0.01)),
        optax.sgd(float(np.float32(0.01))),
        "it moves 0.99999998 times as far there, as with a learning rate that is computed in",
    ),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_difference_of_optimizers_is_told(name: str) -> None:
    one, optimizer, words = OPTIMIZERS[name]
    report = gp.align_steps(one, plain_in_jax(optimizer), steps=3)
    assert report.exit_code == bool(words)
    assert words in report.runs[0].about
