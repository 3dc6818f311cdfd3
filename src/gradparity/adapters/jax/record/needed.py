"""Find the equations of a jaxpr whose results are on the way to a gradient that is needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp

__all__ = ["FUNCTIONS", "INLINED", "closed", "needed", "of_every_step"]

#: The parameter that holds the jaxpr of a call which is inlined.
INLINED = {
    "jit": "jaxpr", "pjit": "jaxpr", "closed_call": "call_jaxpr", "core_call": "call_jaxpr",
    "remat2": "jaxpr", "checkpoint": "jaxpr", "remat": "jaxpr",
}  # fmt: skip

#: Primitives with a derivative of their own.
FUNCTIONS = ("custom_jvp_call", "custom_vjp_call", "custom_vjp_call_jaxpr")


def closed(inner: Any) -> tuple[Any, Sequence[Any]]:
    """A jaxpr and its constants."""
    return (inner.jaxpr, inner.consts) if hasattr(inner, "consts") else (inner, ())


def needed(jaxpr: Any, outs: Sequence[bool]) -> tuple[list[bool], dict[int, list[bool]]]:
    """The inputs of a jaxpr whose gradient is needed for that of the results in `outs`.

    Also by position of each equation which of its results are needed, without the others.
    A gradient goes through floats and complex numbers alone, and ends at `stop_gradient`.
    """
    found: dict[int, list[bool]] = {}
    want = {v for v, out in zip(jaxpr.outvars, outs, strict=True) if out and not hasattr(v, "val")}
    for i in reversed(range(len(jaxpr.eqns))):
        eqn = jaxpr.eqns[i]
        own = [v in want and _has_gradient(v) for v in eqn.outvars]
        if any(own):
            found[i] = own
            taken = zip(eqn.invars, _inputs(eqn, own), strict=True)
            want |= {v for v, yes in taken if yes and not hasattr(v, "val")}
    return [v in want for v in jaxpr.invars], found


def _inputs(eqn: Any, outs: list[bool]) -> list[bool]:
    """The inputs of one equation whose gradient is needed."""
    name, params = eqn.primitive.name, eqn.params
    if name == "stop_gradient":
        return [False] * len(eqn.invars)
    if name in INLINED:
        return needed(closed(params[INLINED[name]])[0], outs)[0]
    if name == "cond":
        each = [needed(closed(branch)[0], outs)[0] for branch in params["branches"]]
        return [False, *map(any, zip(*each, strict=True))]
    if name == "scan":
        return needed(closed(params["jaxpr"])[0], of_every_step(params, outs))[0]
    return [_has_gradient(v) for v in eqn.invars]


def of_every_step(params: dict[str, Any], outs: Sequence[bool]) -> list[bool]:
    """The results of a scan's body that are needed, also by the steps that come after."""
    body, nc, nk = closed(params["jaxpr"])[0], params["num_consts"], params["num_carry"]
    outs = list(outs)
    while True:
        carried = needed(body, outs)[0][nc : nc + nk]
        wider = [a or b for a, b in zip(outs[:nk], carried, strict=True)] + outs[nk:]
        if wider == outs:
            return outs
        outs = wider


def _has_gradient(v: Any) -> bool:
    return bool(jnp.issubdtype(v.aval.dtype, jnp.inexact))
