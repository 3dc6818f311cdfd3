"""Evaluate a jaxpr with a tap on every edge: the gradient by a tap is that through the edge.

A tap is -0.0, which changes no number that it is added to.  Calls are inlined, except those with a
derivative of their own; a scan stays one scan, whose taps and values are scanned over.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from ....core.network.calls import DATA
from .equations import (
    Choice,
    Equation,
    Key,
    Scan,
    Value,
    bind,
    distinct_leaves,
    is_complex,
    is_float,
    is_key,
)
from .needed import FUNCTIONS, INLINED, closed, needed, of_every_step
from .places import function_name, place_of
from .primitives.table import rule_of

__all__ = ["Walk"]

#: Taps of a scan that are not scanned over, and of a condition that are not in its branches.
OUTSIDE = ("in", "out")


#: Equations without results that tell the program's user something, which a recording does not.
SILENT = ("debug_callback", "debug_print")


class Walk:
    """One evaluation of a jaxpr; the first, without taps, finds out which there are.

    Attributes
    ----------
    equations : by path, those with a gradient.
    preparations : those on what has none, such as on data, outside of scans.
    shapes : of every tap.
    uses : name of a value -> the taps through which it is used.
    arrivals : name of a value -> the tap at which its gradient arrives.
    shared : taps of values with one use -> the tap at which their gradient arrives, which is the
        same.
    scans : by path.
    choices : conditions in scans, by path.
    branches : of conditions by path, which one is taken; `indices` are those that are asked for.

    Parameters
    ----------
    barrier : keep XLA from fusing across a tap.
    leaves : names of the inputs, which no equation gets.
    prepares : whether to note preparations.
    """

    def __init__(
        self, barrier: bool = True, leaves: Collection[str] = (), prepares: bool = False
    ) -> None:
        self.barrier, self.prepares = barrier, prepares
        self._leaves = {*leaves} | {name.split(".")[0] for name in leaves}
        self.equations: dict[Key, Equation] = {}
        self.preparations: dict[Key, Equation] = {}
        self.shapes: dict[Key, Any] = {}
        self.uses: dict[str, list[tuple[Key, str]]] = {}
        self.arrivals: dict[str, Key] = {}
        self.shared: dict[Key, Key] = {}
        self.scans: dict[Key, Scan] = {}
        self.choices: dict[Key, Choice] = {}
        self.branches: dict[Key, int] = {}
        self.indices: dict[Key, Any] = {}
        #: Whether the indices of conditions are asked for.
        self.asks = False
        self._numbers: dict[str, int] = {}
        self._lengths: tuple[int, ...] = ()
        self._within: tuple[tuple[Key, int], ...] = ()

    def tap(self, key: Key, value: Value, taps: Mapping[Key, Any] | None) -> Any:
        """The value with its tap added; without taps the shape of the tap is noted.

        Complex values have no tap.
        """
        x = value.x
        if is_complex(x):
            return x
        if taps is None:
            shape, dtype = jnp.shape(x), jnp.result_type(x)
            self.shapes[key] = jax.ShapeDtypeStruct((*self._lengths, *shape), dtype)
            return x
        if key in self.shared:
            return x
        x = x + taps[key]
        return jax.lax.optimization_barrier(x) if self.barrier else x

    def share(self, ends: Collection[str]) -> None:
        """Give a value with one use one tap, but those at which the program is differentiated."""
        for name, uses in self.uses.items():
            if len(uses) == 1 and name in self.arrivals and name not in ends:
                ((key, _),) = uses
                del self.shapes[key]
                self.shared[key] = self.arrivals[name]

    def with_shared(self, grads: dict[Key, Any]) -> dict[Key, Any]:
        """The gradients by all taps, from those by the taps that are there."""
        there = {key: grads[tap] for key, tap in self.shared.items() if tap in grads}
        return {**there, **grads}

    def run(
        self,
        jaxpr: Any,
        consts: Sequence[Any],
        args: Sequence[Value],
        path: Key,
        taps: Mapping[Key, Any] | None,
        values: dict[Key, Any],
        outs: Sequence[bool] | None = None,
    ) -> list[Value]:
        """The results of a jaxpr; `values` receives the inputs and results of its equations.

        The gradients of the results in `outs` are needed; by default all are.
        """
        live = needed(jaxpr, [True] * len(jaxpr.outvars) if outs is None else outs)[1]
        env: dict[Any, Value] = dict(zip(jaxpr.constvars, map(Value, consts), strict=True))
        env |= dict(zip(jaxpr.invars, args, strict=True))

        def read(v: Any) -> Value:
            return Value(v.val) if hasattr(v, "val") else env[v]

        for i, eqn in enumerate(jaxpr.eqns):
            here, name = (*path, i), eqn.primitive.name
            ins = [read(v) for v in eqn.invars]
            asked = live.get(i, [False] * len(eqn.outvars))
            if name in SILENT:
                gave = []
            elif name in INLINED:
                inner, own = closed(eqn.params[INLINED[name]])
                gave = self.run(inner, own, ins, here, taps, values, asked)
            elif name == "scan" and any(v.active for v in ins):
                gave = self.scan(eqn, ins, here, taps, values, asked)
            elif name == "cond" and any(v.active for v in ins):
                gave = self.cond(eqn, ins, here, taps, values, asked)
            elif not any(v.active for v in ins) or not any(
                _has_gradient(v.aval) for v in eqn.outvars
            ):
                gave = self.preparation(eqn, ins, here, values)
            elif rule_of(name) is None and name not in FUNCTIONS and _is_idle(ins, asked):
                kept = [jax.lax.stop_gradient(v.x) if v.active else v.x for v in ins]
                gave = [Value(x) for x in bind(eqn, *kept)]
            else:
                gave = self.equation(eqn, ins, here, taps, values, asked)
            env |= dict(zip(eqn.outvars, gave, strict=True))
        return [read(v) for v in jaxpr.outvars]

    def equation(
        self,
        eqn: Any,
        ins: list[Value],
        here: Key,
        taps: Mapping[Key, Any] | None,
        values: dict[Key, Any],
        asked: Sequence[bool],
    ) -> list[Value]:
        """One equation with a tap at every input and result that has a gradient."""
        ins = self.uncut(eqn, ins)
        taken = [
            self.tap((*here, "in", k), v, taps) if v.active else v.x for k, v in enumerate(ins)
        ]
        outs = bind(eqn, *taken)
        cut = self.cuts(eqn, ins)
        if taps is None:
            self._note(eqn, ins, outs, here)
            self.equations[here].idle = _is_idle(ins, asked)
            self.equations[here].aside = not any(asked)
        names = self.equations[here].names
        found = []
        for k, (x, name) in enumerate(zip(outs, names, strict=True)):
            if name:
                x = self.tap((*here, "out", k), Value(x, name, True), taps)
            found.append(Value(x, name, bool(name), cut))
        kept = [None if is_key(x) else x for x in taken]
        values[here] = kept, [None if is_key(v.x) else v.x for v in found]
        return found

    def preparation(
        self, eqn: Any, ins: list[Value], here: Key, values: dict[Key, Any]
    ) -> list[Value]:
        """One equation on what has no gradient."""
        taken = [v.x for v in ins]
        outs = bind(eqn, *taken)
        known = rule_of(eqn.primitive.name) is not None and not any(v.active for v in ins)
        known &= any(map(is_float, outs)) and not any(map(is_key, (*taken, *outs)))
        if self.prepares and known and not self._lengths:
            if here not in self.preparations:
                node = self._named(DATA + function_name(eqn))
                names = tuple(node if len(outs) == 1 else f"{node}.{k}" for k in range(len(outs)))
                sources = ("",) * len(ins)
                self.preparations[here] = Equation(eqn, place_of(eqn, node), sources, (), names)
            values[here] = taken, outs
        return [Value(x) for x in outs]

    @staticmethod
    def uncut(eqn: Any, ins: Sequence[Value]) -> list[Value]:
        """The inputs, without a gradient by those of which JAX would refuse it."""
        return [
            Value(jax.lax.stop_gradient(v.x)) if v.cut and k < _closed_over(eqn) else v
            for k, v in enumerate(ins)
        ]

    @staticmethod
    def cuts(eqn: Any, ins: Sequence[Value]) -> bool:
        """Whether the results of an equation have no gradient in the program itself."""
        return eqn.primitive.name == "stop_gradient" or not any(v.varies for v in ins)

    def _note(self, eqn: Any, ins: list[Value], outs: list[Any], here: Key) -> None:
        """Name an equation and its results, and note the uses of what it takes."""
        node = self._named(function_name(eqn))
        floats = [_has_gradient(x) for x in outs]
        names = tuple(
            (node if len(outs) == 1 else f"{node}.{k}") if f else "" for k, f in enumerate(floats)
        )
        place = place_of(eqn, node)
        sources = tuple(v.name if v.active else "" for v in ins)
        self.equations[here] = Equation(eqn, place, sources, self._lengths, names, self._within)
        for k, v in enumerate(ins):
            if v.active and is_float(v.x):
                self.uses.setdefault(v.name, []).append(((*here, "in", k), node))
        for k, name in enumerate(names):
            if name and is_float(outs[k]):
                self.arrivals[name] = (*here, "out", k)

    def _named(self, name: str) -> str:
        while True:
            self._numbers[name] = self._numbers.get(name, 0) + 1
            if (found := f"{name}_{self._numbers[name]}") not in self._leaves:
                return found

    def scan(
        self,
        eqn: Any,
        ins: list[Value],
        here: Key,
        taps: Mapping[Key, Any] | None,
        values: dict[Key, Any],
        asked: Sequence[bool],
    ) -> list[Value]:
        """One scan, its taps scanned over; what passes from step to step is active throughout."""
        p = eqn.params
        nc, nk, length = p["num_consts"], p["num_carry"], p["length"]
        body, own = closed(p["jaxpr"])
        node = self.scans[here].node if here in self.scans else self._named("scan")
        taken = [self._used(here, "in", k, v, node, taps) for k, v in enumerate(ins)]
        active = [v.active or (nc <= k < nc + nk and _has_gradient(v.x)) for k, v in enumerate(ins)]
        kinds = ["const"] * nc + ["carry"] * nk + ["xs"] * (len(ins) - nc - nk)
        outer, self._lengths = self._lengths, (*self._lengths, length)
        mine = [k for k in taps or () if k[: len(here)] == here and k[len(here)] not in OUTSIDE]
        inner = None if taps is None else [taps[k] for k in mine]
        kept_keys: list[Key] = []
        gave: list[Value] = []
        restores: list[Callable[[Sequence[Any]], Any]] = []

        def step(state: Any, given: Any) -> Any:
            some, tapped = given
            own_taps = None if taps is None else dict(zip(mine, tapped, strict=True))
            kept: dict[Key, Any] = {}
            args = [
                self._made(here, kinds[k], k, x, f"{node}.{kinds[k]}{k}", active[k], own_taps)
                for k, x in enumerate([*taken[:nc], *state, *some])
            ]
            found = self.run(body, own, args, here, own_taps, kept, of_every_step(p, asked))
            outs = [self._used(here, "res", k, v, node, own_taps) for k, v in enumerate(found)]
            gave[:], kept_keys[:] = found, list(kept)
            distinct, restore = distinct_leaves(list(kept.values()))
            restores.append(restore)
            return outs[:nk], (outs[nk:], distinct)

        state, (ys, kept) = jax.lax.scan(
            step, taken[nc : nc + nk], (taken[nc + nk :], inner), length=length,
            reverse=p["reverse"],
        )  # fmt: skip
        self._lengths = outer
        values |= dict(zip(kept_keys, restores[-1](kept), strict=True))
        place = place_of(eqn, node)
        self.scans[here] = Scan(node, place, nc, nk, p["reverse"], len(outer))
        return [
            self._made(here, "out", k, x, f"{node}.{k}", v.active and _has_gradient(x), taps)
            for k, (x, v) in enumerate(zip([*state, *ys], gave, strict=True))
        ]

    def _used(
        self, here: Key, side: str, k: int, v: Value, node: str, taps: Mapping[Key, Any] | None
    ) -> Any:
        """A value that something takes, with a tap if it has a gradient."""
        if not v.active:
            return v.x
        if taps is None and is_float(v.x):
            self.uses.setdefault(v.name, []).append(((*here, side, k), node))
        return self.tap((*here, side, k), v, taps)

    def _made(
        self, here: Key, side: str, k: int, x: Any, name: str, active: bool,
        taps: Mapping[Key, Any] | None,
    ) -> Value:  # fmt: skip
        """A value that something gives, with a tap if it has a gradient."""
        if not active:
            return Value(x)
        if taps is None and is_float(x):
            self.arrivals[name] = (*here, side, k)
        return Value(self.tap((*here, side, k), Value(x), taps), name, True)

    def cond(
        self,
        eqn: Any,
        ins: list[Value],
        here: Key,
        taps: Mapping[Key, Any] | None,
        values: dict[Key, Any],
        asked: Sequence[bool],
    ) -> list[Value]:
        """The branch that is taken at these inputs, inlined; first its index is asked for."""
        if here in self.branches:
            inner, own = closed(eqn.params["branches"][self.branches[here]])
            return self.run(inner, own, ins[1:], here, taps, values, asked)
        if self._lengths:
            return self.choice(eqn, ins, here, taps, values, asked)
        if not self.asks:
            return self.equation(eqn, ins, here, taps, values, asked)
        self.indices[here] = ins[0].x
        outs = bind(eqn, *(v.x for v in ins))
        return [Value(x, "unknown", _has_gradient(x)) for x in outs]

    def choice(
        self,
        eqn: Any,
        ins: list[Value],
        here: Key,
        taps: Mapping[Key, Any] | None,
        values: dict[Key, Any],
        asked: Sequence[bool],
    ) -> list[Value]:
        """A condition whose branch differs from step to step: all are tapped, one runs."""
        node = self.choices[here].node if here in self.choices else self._named("cond")
        index, *others = ins
        taken = [self._used(here, "in", k, v, node, taps) for k, v in enumerate(others)]
        mine = [k for k in taps or () if k[: len(here)] == here and k[len(here)] not in OUTSIDE]
        inner = None if taps is None else [taps[k] for k in mine]
        found: list[list[Value]] = []
        kept_keys: list[list[Key]] = []

        def branch(b: int, xs: Sequence[Any], tapped: Any) -> Any:
            body, own = closed(eqn.params["branches"][b])
            own_taps = None if taps is None else dict(zip(mine, tapped, strict=True))
            kept: dict[Key, Any] = {}
            args = [
                self._made((*here, b), "arg", k, x, f"{node}.{b}.arg{k}", v.active, own_taps)
                for k, (x, v) in enumerate(zip(xs, others, strict=True))
            ]
            around, self._within = self._within, (*self._within, (here, b))
            outs = self.run(body, own, args, (*here, b), own_taps, kept, asked)
            self._within = around
            gave = [self._used((*here, b), "res", k, v, node, own_taps)
                    for k, v in enumerate(outs)]  # fmt: skip
            found.append(outs)
            kept_keys.append(list(kept))
            return gave, list(kept.values())

        traced = [
            jax.make_jaxpr(partial(branch, b), return_shape=True)(taken, inner)
            for b in range(len(eqn.params["branches"]))
        ]
        flat = jax.tree.leaves((taken, inner))

        def one(b: int) -> Any:
            program, shape = traced[b]
            leaves = jax.core.eval_jaxpr(program.jaxpr, program.consts, *flat)
            gave, kept = jax.tree.unflatten(jax.tree.structure(shape), leaves)
            empty = [jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), each[1][1])
                     for each in traced]  # fmt: skip
            empty[b] = kept
            return gave, empty

        gave, kept = jax.lax.switch(index.x, [partial(one, b) for b in range(len(traced))])
        for keys, given in zip(kept_keys, kept, strict=True):
            values |= dict(zip(keys, given, strict=True))
        values[here] = jnp.clip(jnp.asarray(index.x, jnp.int32), 0, len(traced) - 1)
        self.choices[here] = Choice(node, place_of(eqn, node))
        active = [any(outs[k].active for outs in found) for k in range(len(gave))]
        return [
            self._made(here, "out", k, x, f"{node}.{k}", a and _has_gradient(x), taps)
            for k, (x, a) in enumerate(zip(gave, active, strict=True))
        ]


def _is_idle(ins: Sequence[Value], asked: Sequence[bool]) -> bool:
    """Whether no gradient goes through an equation: none is asked for, or none goes on."""
    return not any(asked) or not any(v.varies for v in ins)


def _closed_over(eqn: Any) -> int:
    """Count the operands that a function with a derivative of its own closes over.

    JAX refuses to differentiate by them, also where only a tap would have the gradient.
    """
    return int(eqn.params.get("num_consts", 0)) if eqn.primitive.name.startswith("custom_") else 0


def _has_gradient(x: Any) -> bool:
    """Whether a value has a gradient by its dtype, with a tap or, as of complex ones, without."""
    return is_float(x) or is_complex(x)
