"""Evaluate a jaxpr with a tap on every edge: the gradient by a tap is that through the edge.

A tap is -0.0, which changes no number that it is added to.  Calls are inlined, except those with a
derivative of their own; a scan stays one scan, whose taps and values are scanned over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp

from ....core.network.calls import Place

__all__ = ["Equation", "Key", "Value", "Walk", "is_float"]

#: The parameter that holds the jaxpr of a call which is inlined.
INLINED = {
    "jit": "jaxpr", "pjit": "jaxpr", "closed_call": "call_jaxpr", "core_call": "call_jaxpr",
    "remat2": "jaxpr", "checkpoint": "jaxpr", "remat": "jaxpr",
}  # fmt: skip

#: Where a tap is: the path of its equation, "in" or "out", and the position.
Key: TypeAlias = tuple[Any, ...]


class Value(NamedTuple):
    """A value of the program: its numbers, its name, and whether it depends on what varies."""

    x: Any
    name: str = ""
    active: bool = False


@dataclass
class Equation:
    """One equation, and the names of what it takes.

    Attributes
    ----------
    eqn : JAX's.
    sources : for each input the name of the value, "" for one that has no gradient.
    length : how often it runs in the scan that it is in; 0 outside of one.
    """

    eqn: Any
    place: Place
    sources: tuple[str, ...]
    length: int = 0
    names: tuple[str, ...] = field(default=())


def is_float(x: Any) -> bool:
    """Whether it has a gradient by its dtype."""
    return bool(jnp.issubdtype(jnp.result_type(x), jnp.floating))


def is_key(x: Any) -> bool:
    """Whether it holds random keys, which are no arrays."""
    return bool(jnp.issubdtype(jnp.result_type(x), jax.dtypes.prng_key))


def closed(inner: Any) -> tuple[Any, Sequence[Any]]:
    """A jaxpr and its constants."""
    return (inner.jaxpr, inner.consts) if hasattr(inner, "consts") else (inner, ())


def bind(eqn: Any, *ins: Any) -> list[Any]:
    """The results of an equation for other inputs."""
    given = eqn.primitive.get_bind_params(eqn.params)
    functions, params = given if isinstance(given, tuple) else ((), given)
    outs = eqn.primitive.bind(*functions, *ins, **params)
    return list(outs) if eqn.primitive.multiple_results else [outs]


class Walk:
    """One evaluation of a jaxpr; the first, without taps, finds out which there are.

    Attributes
    ----------
    equations : by path, those with a gradient.
    shapes : of every tap.
    uses : name of a value -> the taps through which it is used.
    arrivals : name of a value -> the tap at which its gradient arrives.
    """

    def __init__(self, barrier: bool = True) -> None:
        self.barrier = barrier
        self.equations: dict[Key, Equation] = {}
        self.shapes: dict[Key, Any] = {}
        self.uses: dict[str, list[tuple[Key, str]]] = {}
        self.arrivals: dict[str, Key] = {}
        self._numbers: dict[str, int] = {}
        self._length = 0

    def tap(self, key: Key, value: Value, taps: Mapping[Key, Any] | None) -> Any:
        """The value with its tap added; without taps the shape of the tap is noted."""
        x = value.x
        if taps is None:
            shape, dtype = jnp.shape(x), jnp.result_type(x)
            self.shapes[key] = jax.ShapeDtypeStruct(
                (self._length, *shape) if self._length else shape, dtype
            )
            return x
        x = x + taps[key]
        return jax.lax.optimization_barrier(x) if self.barrier else x

    def run(
        self,
        jaxpr: Any,
        consts: Sequence[Any],
        args: Sequence[Value],
        path: Key,
        taps: Mapping[Key, Any] | None,
        values: dict[Key, Any],
    ) -> list[Value]:
        """The results of a jaxpr; `values` receives the inputs and results of its equations."""
        env: dict[Any, Value] = dict(zip(jaxpr.constvars, map(Value, consts), strict=True))
        env |= dict(zip(jaxpr.invars, args, strict=True))

        def read(v: Any) -> Value:
            return Value(v.val) if hasattr(v, "val") else env[v]

        for i, eqn in enumerate(jaxpr.eqns):
            here, name = (*path, i), eqn.primitive.name
            ins = [read(v) for v in eqn.invars]
            if name in INLINED:
                inner, own = closed(eqn.params[INLINED[name]])
                outs = self.run(inner, own, ins, here, taps, values)
            elif name == "scan" and any(v.active for v in ins):
                outs = self.scan(eqn, ins, here, taps, values)
            elif not any(v.active for v in ins):
                outs = [Value(x) for x in bind(eqn, *(v.x for v in ins))]
            else:
                outs = self.equation(eqn, ins, here, taps, values)
            env |= dict(zip(eqn.outvars, outs, strict=True))
        return [read(v) for v in jaxpr.outvars]

    def equation(
        self,
        eqn: Any,
        ins: list[Value],
        here: Key,
        taps: Mapping[Key, Any] | None,
        values: dict[Key, Any],
    ) -> list[Value]:
        """One equation with a tap at every input and result that has a gradient."""
        taken = [
            self.tap((*here, "in", k), v, taps) if v.active else v.x for k, v in enumerate(ins)
        ]
        outs = bind(eqn, *taken)
        if taps is None:
            self._note(eqn, ins, outs, here)
        names = self.equations[here].names
        found = []
        for k, (x, name) in enumerate(zip(outs, names, strict=True)):
            if name:
                x = self.tap((*here, "out", k), Value(x, name, True), taps)
            found.append(Value(x, name, bool(name)))
        kept = [None if is_key(x) else x for x in taken]
        values[here] = kept, [None if is_key(v.x) else v.x for v in found]
        return found

    def _note(self, eqn: Any, ins: list[Value], outs: list[Any], here: Key) -> None:
        """Name an equation and its results, and note the uses of what it takes."""
        node = self._named(eqn.primitive.name)
        floats = [is_float(x) for x in outs]
        names = tuple(
            (node if len(outs) == 1 else f"{node}.{k}") if f else "" for k, f in enumerate(floats)
        )
        place = Place(node, eqn.primitive.name, _module(eqn), _source(eqn))
        sources = tuple(v.name if v.active else "" for v in ins)
        self.equations[here] = Equation(eqn, place, sources, self._length, names)
        for k, v in enumerate(ins):
            if v.active:
                self.uses.setdefault(v.name, []).append(((*here, "in", k), node))
        for k, name in enumerate(names):
            if name:
                self.arrivals[name] = (*here, "out", k)

    def _named(self, name: str) -> str:
        self._numbers[name] = self._numbers.get(name, 0) + 1
        return f"{name}_{self._numbers[name]}"

    def scan(
        self,
        eqn: Any,
        ins: list[Value],
        here: Key,
        taps: Mapping[Key, Any] | None,
        values: dict[Key, Any],
    ) -> list[Value]:
        """One scan, its taps scanned over; what passes from step to step is active throughout."""
        p = eqn.params
        nc, nk, length = p["num_consts"], p["num_carry"], p["length"]
        body, own = closed(p["jaxpr"])
        consts, carry, xs = ins[:nc], ins[nc : nc + nk], ins[nc + nk :]
        before, self._length = self._length, length
        inner = {} if taps is None else {k: v for k, v in taps.items() if k[: len(here)] == here}
        names: list[Value] = []

        def named(values: Sequence[Value], arrays: Sequence[Any], active: Any) -> list[Value]:
            return [
                Value(x, v.name or f"carry{i}", (v.active or active(v)) and is_float(x))
                for i, (v, x) in enumerate(zip(values, arrays, strict=True))
            ]

        def step(state: Any, given: Any) -> Any:
            some, own_taps = given
            kept: dict[Key, Any] = {}
            args = [
                *consts,
                *named(carry, state, lambda v: True),
                *named(xs, some, lambda v: False),
            ]
            outs = self.run(body, own, args, here, None if taps is None else own_taps, kept)
            names[:] = outs
            return [v.x for v in outs[:nk]], ([v.x for v in outs[nk:]], kept)

        state, (ys, kept) = jax.lax.scan(
            step, [v.x for v in carry], ([v.x for v in xs], inner or None), length=length,
            reverse=p["reverse"],
        )  # fmt: skip
        self._length = before
        values |= kept
        return [Value(x, v.name, v.active) for x, v in zip([*state, *ys], names, strict=True)]


def _module(eqn: Any) -> str:
    """The name stack without transformations, as a path: "GPT.Dense_0"."""
    parts = str(eqn.source_info.name_stack).split("/")
    return ".".join(part for part in parts if part and "(" not in part)


def _source(eqn: Any) -> str:
    """File and line of the user's code, such as "model.py:92"."""
    try:
        from jax._src.source_info_util import summarize

        said = str(summarize(eqn.source_info))
    except Exception:  # a private name of JAX
        return ""
    line = said.split(" ")[0].rpartition("/")[2]
    parts = line.split(":")
    return ":".join(parts[:2]) if len(parts) > 1 else ""
