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
