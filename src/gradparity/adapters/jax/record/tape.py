"""Evaluate a jaxpr equation by equation, and differentiate each of them alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from .equations import Key, Value, bind, is_float, is_key
from .taps import Walk

__all__ = ["Tape"]


class Entry(NamedTuple):
    """One entry of the tape: an equation, or a scan, that was evaluated as a unit.

    Attributes
    ----------
    key : the path of its equation.
    pull : gives the gradients by the inputs and by the taps inside, from those of the results.
    sources : names of the inputs by which it is differentiated, with their positions.
    outs : names of the results that have a gradient, with their positions.
    zeros : of these results.
    """

    key: Key
    pull: Callable[[list[Any]], tuple[Sequence[Any], Mapping[Key, Any]]]
    sources: list[tuple[int, str]]
    outs: list[tuple[int, str]]
    zeros: list[Any]


class Tape(Walk):
    """The evaluation of a jaxpr whose taps another walk has found.

    A scan, and a condition inside of one, is evaluated as a whole, with its own taps.
    """

    def __init__(self, walk: Walk) -> None:
        super().__init__()
        self.__dict__.update(vars(walk))
        self.entries: list[Entry] = []

    def back(self, ends: Mapping[str, float]) -> tuple[dict[Key, Any], dict[str, Any]]:
        """The gradients by all taps, and by all values with a name; the tape is used up.

        Parameters
        ----------
        ends : name of a value -> the factor with which it is differentiated.
        """
        grads: dict[Key, Any] = {}
        by_name: dict[str, Any] = dict(ends)
        while self.entries:
            key, pull, sources, outs, zeros = self.entries.pop()
            if not any(name in by_name for _, name in outs):  # the loss is not made of these
                grads |= self._zeros(key)
                continue
            arrived = [
                z if (found := by_name.get(name)) is None else jnp.asarray(found, z.dtype)
                for (_, name), z in zip(outs, zeros, strict=True)
            ]
            ended = zip(outs, arrived, strict=True)
            grads |= {(*key, "out", k): g for (k, _), g in ended if is_float(g)}
            left, inside = pull(arrived)
            grads |= inside
            for (k, name), g in zip(sources, left, strict=True):
                if is_float(g):
                    grads[(*key, "in", k)] = g
                by_name[name] = by_name[name] + g if name in by_name else g
        return self.with_shared(grads), by_name

    def _zeros(self, key: Key) -> dict[Key, Any]:
        """The gradients by the taps of an equation at which none arrives."""
        own = {tap: s for tap, s in self.shapes.items() if tap[: len(key)] == key}
        return {tap: jnp.zeros(s.shape, s.dtype) for tap, s in own.items()}

    def equation(
        self,
        eqn: Any,
        ins: list[Value],
        here: Key,
        taps: Mapping[Key, Any] | None,
        values: dict[Key, Any],
        asked: Sequence[bool],
    ) -> list[Value]:
        if self._lengths:
            return super().equation(eqn, ins, here, taps, values, asked)
        ins = self.uncut(eqn, ins)
        names = self.equations[here].names
        active = [k for k, v in enumerate(ins) if v.active]
        numbers = [v.x for v in ins]

        def alone(xs: Sequence[Any]) -> Any:
            given = list(numbers)
            for k, x in zip(active, xs, strict=True):
                given[k] = x
            outs = bind(eqn, *given)
            return [x for x, name in zip(outs, names, strict=True) if name], outs

        floats, pull, outs = jax.vjp(alone, [numbers[k] for k in active], has_aux=True)
        entry = Entry(
            here,
            lambda arrived: (pull(arrived)[0], {}),
            [(k, ins[k].name) for k in active],
            [(k, name) for k, name in enumerate(names) if name],
            [jnp.zeros_like(x) for x in floats],
        )
        self.entries.append(entry)
        kept = [[None if is_key(x) else x for x in each] for each in (numbers, outs)]
        values[here] = kept[0], kept[1]
        return [
            Value(x, name, bool(name), self.cuts(eqn, ins))
            for x, name in zip(outs, names, strict=True)
        ]

    def scan(self, *args: Any) -> list[Value]:
        return self._whole(super().scan, *args)

    def choice(self, *args: Any) -> list[Value]:
        return self._whole(super().choice, *args)

    def _whole(
        self,
        evaluate: Callable[..., list[Value]],
        eqn: Any,
        ins: list[Value],
        here: Key,
        taps: Mapping[Key, Any] | None,
        values: dict[Key, Any],
        asked: Sequence[bool],
    ) -> list[Value]:
        """An equation that holds others, as one program with its own taps."""
        if self._lengths:
            return evaluate(eqn, ins, here, taps, values, asked)
        mine = {
            key: jnp.full(s.shape, -0.0, s.dtype)
            for key, s in self.shapes.items()
            if key[: len(here)] == here
        }
        active = [k for k, v in enumerate(ins) if v.active]
        numbers = [v.x for v in ins]
        keys = list(mine)
        gave: list[Value] = []
        order: list[Key] = []

        def alone(xs: Sequence[Any], tapped: Sequence[Any], rest: Sequence[Any]) -> Any:
            given = [v._replace(x=x) for v, x in zip(ins, rest, strict=True)]
            for k, x in zip(active, xs, strict=True):
                given[k] = given[k]._replace(x=x)
            own: dict[Key, Any] = {}
            gave[:] = evaluate(eqn, given, here, dict(zip(keys, tapped, strict=True)), own, asked)
            order[:] = list(own)
            outs = [v.x for v in gave]
            return [x for x, v in zip(outs, gave, strict=True) if v.active], (outs, [*own.values()])

        varied = [numbers[k] for k in active]
        rest = [None if v.active else v.x for v in ins]
        floats, pull, (outs, kept) = jax.vjp(
            jax.jit(alone), varied, [*mine.values()], rest, has_aux=True
        )
        values |= dict(zip(order, kept, strict=True))

        def pulled(arrived: list[Any]) -> tuple[Sequence[Any], Mapping[Key, Any]]:
            left, inside, _ = pull(arrived)
            return left, dict(zip(keys, inside, strict=True))

        found = [v._replace(x=x) for v, x in zip(gave, outs, strict=True)]
        entry = Entry(
            here,
            pulled,
            [(k, ins[k].name) for k in active],
            [(k, v.name) for k, v in enumerate(found) if v.active],
            [jnp.zeros_like(x) for x in floats],
        )
        self.entries.append(entry)
        return found
