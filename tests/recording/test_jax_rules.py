"""Every rule of the table of primitives, held to JAX by a small program."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradparity as gp

jax = pytest.importorskip("jax")

import jax.numpy as jnp  # noqa: E402

from gradparity.adapters.jax.record import primitives  # noqa: E402, F401
from gradparity.adapters.jax.record.primitives.table import RULES  # noqa: E402

from .jax_programs import PROGRAMS, Program  # noqa: E402

NAMES = [
    f"{i}-{program.ops.replace(' ', '-') or getattr(program.f, '__name__', 'f')}"
    for i, program in enumerate(PROGRAMS)
]
#: Which primitives these names stand for depends on the version of JAX.
SPELLINGS = {"add_any", "copy", "copy_p", "expand_dims", "scatter_add", "stack", "unstack", "tile",
             "square", "stop_gradient", "split", "squeeze"}  # fmt: skip


def recorded(program: Program, dtype: str) -> Any:
    """The recording of a program whose results are multiplied by random numbers."""
    rng = np.random.default_rng(3)
    given = [jnp.asarray(draw(rng), dtype) for draw in program.given]

    def f(*given: Any) -> Any:
        weights = np.random.default_rng(5)
        outs = [o for o in jax.tree.leaves(program.f(*given)) if o.dtype.kind == "f"]
        sent = [jnp.asarray(weights.standard_normal(o.shape), o.dtype) for o in outs]
        return sum((o * w).sum() for o, w in zip(outs, sent, strict=True))

    return gp.record(f, *given, argnums=tuple(range(len(given))))


@pytest.mark.sample(60)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("program", PROGRAMS, ids=NAMES)
def test_a_rule_agrees_with_jax(program: Program, dtype: str) -> None:
    with jax.enable_x64(dtype == "float64"):
        step = recorded(program, dtype)
    assert [(u.place.function, u.why) for u in step.unjudged] == []
    assert [str(f) for f in step.findings if f.parity is False] == []
    assert [str(f) for f in step.findings if f.verdict == "inconclusive"] == []
    assert step.findings
    seen = {place.function for place in step.places.values()}
    assert seen >= set(program.ops.split()) - SPELLINGS


def test_every_rule_has_a_program() -> None:
    exercised = {name for program in PROGRAMS for name in program.ops.split()}
    assert set(RULES) == exercised


def test_a_value_has_the_sum_of_gradients_behind_its_reshapes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """XLA fuses these with the sum, and computes it anew for the reader."""
    from gradparity.adapters.jax.record import recorder

    calls, original = {}, recorder.calls_of

    def spied(*given: Any) -> Any:
        for call in original(*given):
            calls.setdefault(call.place.function, call)
            yield call

    monkeypatch.setattr(recorder, "calls_of", spied)

    def f(x: Any) -> Any:
        y = jnp.sin(x).reshape(2, 6).T
        return (2 * y - jnp.exp(y)).sum()

    x = jnp.arange(12.0).reshape(3, 4) / 12
    assert gp.check(gp.record(f, x)).exit_code == 0
    want = 2 + np.exp(np.sin(np.asarray(x)))
    np.testing.assert_allclose(calls["sin"].added[0], want, rtol=1e-5)
    np.testing.assert_allclose(calls["reshape"].added[0], want.reshape(2, 6), rtol=1e-5)
    np.testing.assert_allclose(calls["transpose"].added[0], want.reshape(2, 6).T, rtol=1e-5)
    assert calls["exp"].added[0] is None
