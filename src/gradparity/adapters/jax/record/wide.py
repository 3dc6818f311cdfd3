"""Evaluate a jaxpr in float64, whatever the number formats of its own values and parameters are."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr

from ...mapped import UnmappedError
from .equations import bind, is_complex, is_float, is_key
from .needed import INLINED, closed

__all__ = ["MOST_STEPS", "evaluated", "parts_of_loop", "where_going", "wide_params"]

#: The most steps of a loop that ends by a condition.
MOST_STEPS = 2000
#: Parameters of primitives that are dtypes of results.
DTYPES = ("preferred_element_type", "new_dtype", "out_dtype", "dtype")


def wide_params(eqn: Any) -> dict[str, Any]:
    """The parameters of an equation, with float64 for float dtypes, also in jaxprs among them."""
    return {name: _wide(name, value) for name, value in eqn.params.items()}


def _wide(name: str, value: Any) -> Any:
    if name in DTYPES and value is not None:
        return _wide_dtype(value)
    if isinstance(value, jax.core.ShapedArray):  # of a callback's results
        return value.update(dtype=_wide_dtype(value.dtype))
    if isinstance(value, Jaxpr) and not value.constvars:
        return _traced(value, ()).jaxpr
    if isinstance(value, ClosedJaxpr):
        return _traced(*closed(value))
    if isinstance(value, tuple):
        parts = [_wide("", each) for each in value]
        return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
    return value


def _wide_dtype(dtype: Any) -> Any:
    """The wide dtype in place of one of floats or complex numbers; any other itself."""
    if jnp.issubdtype(dtype, jnp.complexfloating):
        return np.dtype("complex128")
    return np.dtype("float64") if jnp.issubdtype(dtype, jnp.floating) else dtype


def _traced(jaxpr: Any, consts: Sequence[Any]) -> Any:
    """The jaxpr that takes and gives float64 in place of its own floats."""
    avals = [v.aval for v in jaxpr.invars]
    wide = [a if is_key(a) else jax.ShapeDtypeStruct(a.shape, _wide_dtype(a.dtype)) for a in avals]
    return jax.make_jaxpr(lambda *args: evaluated(jaxpr, consts, args))(*wide)


def evaluated(jaxpr: Any, consts: Sequence[Any], args: Sequence[Any]) -> list[Any]:
    """The results of a jaxpr in float64; to be called where JAX has float64.

    A cast to another float format keeps all digits, so the results are a smooth function of the
    arguments wherever the program is one in exact arithmetic.
    """
    env = dict(zip(jaxpr.constvars, map(_as_wide, consts), strict=True))
    env |= dict(zip(jaxpr.invars, map(_as_wide, args), strict=True))

    def read(v: Any) -> Any:
        return _as_wide(np.asarray(v.val, v.aval.dtype)) if hasattr(v, "val") else env[v]

    for eqn in jaxpr.eqns:
        outs = _results(eqn, [read(v) for v in eqn.invars])
        env |= dict(zip(eqn.outvars, map(_as_wide, outs), strict=True))
    return [read(v) for v in jaxpr.outvars]


def _as_wide(x: Any) -> Any:
    return jnp.asarray(x, _wide_dtype(jnp.result_type(x))) if is_float(x) or is_complex(x) else x


def _results(eqn: Any, ins: list[Any]) -> list[Any]:
    """The results of one equation."""
    name = eqn.primitive.name
    inner = eqn.params.get("call_jaxpr") if name.startswith("custom_") else None
    if name in INLINED or inner is not None:
        return evaluated(*closed(inner if inner is not None else eqn.params[INLINED[name]]), ins)
    if name == "reduce_precision":
        return ins
    if name == "bitcast_convert_type":  # of the bits of the format itself
        return bind(eqn, jnp.asarray(ins[0], eqn.invars[0].aval.dtype))
    traced = any(isinstance(x, jax.core.Tracer) for x in ins)
    if name == "cond" and not traced:
        return evaluated(*closed(eqn.params["branches"][int(ins[0])]), ins[1:])
    if name == "scan":
        return _steps(eqn.params, ins)
    if name == "while" and not traced:
        return _repeated(eqn.params, ins)
    return bind(eqn, *ins, **wide_params(eqn))


def parts_of_loop(
    params: dict[str, Any], ins: Sequence[Any]
) -> tuple[list[Any], list[Any], list[Any]]:
    """The constants of a loop's condition, those of its body, and what it starts with."""
    a = params["cond_nconsts"]
    b = a + params["body_nconsts"]
    return [*ins[:a]], [*ins[a:b]], [*ins[b:]]


def _repeated(params: dict[str, Any], ins: Sequence[Any]) -> list[Any]:
    """The results of a loop that ends by a condition."""
    ends, body, outs = parts_of_loop(params, ins)
    step = _compiled_step(params["cond_jaxpr"], params["body_jaxpr"])
    for _ in range(MOST_STEPS):
        goes_on, new = step(ends, body, outs)
        if not goes_on:
            return outs
        outs = new
    raise UnmappedError(f"its loop takes more than {MOST_STEPS} steps")


@lru_cache(64)
def _compiled_step(cond: ClosedJaxpr, body: ClosedJaxpr) -> Any:
    """A function of a loop's constants and values: whether it goes on, and the values after."""

    def step(ends: list[Any], of_body: list[Any], outs: list[Any]) -> tuple[Any, list[Any]]:
        on = jnp.asarray(evaluated(*closed(cond), [*ends, *outs])[0])
        new = evaluated(*closed(body), [*of_body, *outs])
        return on.any(), [where_going(on, *pair)[0] for pair in zip(new, outs, strict=True)]

    return jax.jit(step)


def where_going(on: Any, new: Any, old: Any) -> tuple[Any, Any]:
    """The values after a step of a loop, which some entries of a batch no longer take, and a mask.

    Parameters
    ----------
    on : the loop's condition, one for each entry of the first axes.
    """
    mask = jnp.broadcast_to(on.reshape(on.shape + (1,) * (jnp.ndim(new) - on.ndim)), jnp.shape(new))
    return jnp.where(mask, new, old), mask


def _steps(p: dict[str, Any], ins: Sequence[Any]) -> list[Any]:
    """The results of a scan, one step after the other."""
    nc, nk, length = p["num_consts"], p["num_carry"], p["length"]
    consts, carry, xs = ins[:nc], ins[nc : nc + nk], ins[nc + nk :]
    ys: list[list[Any]] = []
    for i in range(length)[::-1] if p["reverse"] else range(length):
        outs = evaluated(*closed(p["jaxpr"]), [*consts, *carry, *(x[i] for x in xs)])
        carry, ys = outs[:nk], [*ys, outs[nk:]]
    ys = ys[::-1] if p["reverse"] else ys
    return [*carry, *map(jnp.stack, zip(*ys, strict=True))]
