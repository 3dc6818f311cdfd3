"""Record a JAX function: one program with all taps, and what every equation of it did."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp

from ....core.network.calls import Listener, Unjudged
from .arguments import OUTSIDE, array, checked_loss, positions, quiet
from .calls import calls_of, preparations_of, samples_of, sums_of
from .equations import Key, Value, distinct_leaves, is_float
from .released import release
from .returned import tell_of_given, tell_of_returned
from .tape import Tape
from .taps import Walk
from .trees import leaf_names

__all__ = ["observe"]

#: Why a function cannot be recorded whose derivative rule uses what is outside of it.
LEAKED = (
    "record: the rule of a custom_jvp or custom_vjp function in f uses a value of f that is no "
    "argument of the function, so it cannot be traced, nor can jax.grad(jax.jit(f)); make the "
    "value an argument, or return it from the forward rule as a residual"
)


@dataclass(frozen=True)
class _Program:
    """A function as a jaxpr of the float leaves by which it is differentiated.

    Attributes
    ----------
    chosen : positions of the arguments that hold them.
    names, varied : of these leaves, and they themselves.
    rest : the constants of the jaxpr.
    """

    chosen: tuple[int, ...]
    jaxpr: Any
    names: list[str]
    varied: list[Any]
    rest: list[Any]

    @classmethod
    def traced(
        cls,
        f: Callable[..., Any],
        args: Sequence[Any],
        argnums: int | Sequence[int],
        has_aux: bool,
    ) -> _Program:
        """Trace a function."""
        chosen = positions(args, argnums)
        flat, tree = jax.tree_util.tree_flatten_with_path(tuple(args))
        arrays = [array(leaf) for _, leaf in flat]
        active = [
            i for i, x in enumerate(arrays)
            if x is not None and flat[i][0][0].idx in chosen and is_float(x)
        ]  # fmt: skip
        names = leaf_names({i: flat[i][0] for i in active})

        def of_arrays(*xs: Any) -> Any:
            leaves = [leaf for _, leaf in flat]
            for i, x in zip(active, xs, strict=True):  # the others may be anything
                leaves[i] = x
            return checked_loss(f(*jax.tree_util.tree_unflatten(tree, leaves)), has_aux)

        closed = jax.make_jaxpr(of_arrays)(*(arrays[i] for i in active))
        if any(isinstance(x, jax.core.Tracer) for x in closed.consts):
            raise TypeError(f"record: f closes over an array that JAX traces; {OUTSIDE}")
        varied = [jnp.asarray(arrays[i]) for i in active]
        return cls(chosen, closed.jaxpr, names, varied, list(closed.consts))

    def run(
        self, walk: Walk, varied: Sequence[Any], rest: Sequence[Any], taps: Any, values: Any
    ) -> Value:
        """Evaluate it on a walk, given leaves, constants and taps, and fill in the values."""
        given = [Value(x, name, True) for x, name in zip(varied, self.names, strict=True)]
        (loss,) = walk.run(self.jaxpr, rest, given, (), taps, values)
        return loss

    def surveyed(self, barrier: bool, prepares: bool) -> tuple[Walk, dict[str, float]]:
        """A walk that knows all taps, and the name of the loss with its factor."""
        walk = Walk(barrier, self.names, prepares)
        walk.branches = _branches(
            lambda asking: self.run(asking, self.varied, self.rest, None, {}), self.jaxpr
        )
        ends: dict[str, float] = {}

        def shaped(varied: Any, rest: Any) -> Any:
            loss = self.run(walk, varied, rest, None, {})
            if loss.active:
                ends[loss.name] = 1.0
            return loss.x

        jax.eval_shape(shaped, self.varied, self.rest)
        if not ends:
            raise TypeError(
                "record: the result of f does not depend on the floats of the arguments at argnums"
            )
        walk.share(ends)
        return walk, ends


def observe(
    listener: Listener,
    f: Callable[..., Any],
    args: Sequence[Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    barrier: bool = True,
    taps: bool = True,
) -> None:
    """Tell a listener of every equation of a function, and of its gradient.

    Parameters
    ----------
    f, args, argnums, has_aux : as for `jax.grad`.
    barrier : keep XLA from fusing across a tap.
    taps : whether f is compiled as one program, with a tap on every edge; else each equation is
        evaluated and differentiated alone.

    Raises
    ------
    TypeError : `f` does not return one real scalar.
    """
    f = quiet(f)
    program = _Program.traced(f, args, argnums, has_aux)
    walk, ends = program.surveyed(barrier, listener.keeps_states)
    try:
        values, grads, leaves = (_together if taps else _apart)(walk, program, ends)
    except jax.errors.UnexpectedTracerError as error:
        raise TypeError(LEAKED) from error
    _tell(listener, walk, values, grads, leaves, ends)
    if listener.keeps_states:
        tell_of_given(listener, args, program.chosen)
    if has_aux and listener.keeps_states:
        tell_of_returned(listener, f, args, program.chosen)


def _tell(
    listener: Listener,
    walk: Walk,
    values: dict[Key, Any],
    grads: Mapping[Key, Any],
    leaves: Mapping[str, Any],
    ends: Mapping[str, float],
) -> None:
    """Tell a listener of every equation, of the scans that are sampled, and of every sum.

    The values are used up.
    """
    listener.expected(sum(getattr(x, "size", 0) for x in jax.tree.leaves(values)))
    for call in preparations_of(walk, values):
        listener.prepared(call)
    for found in calls_of(walk, values, grads):
        if isinstance(found, Unjudged):
            listener.not_judged(found)
        else:
            try:
                listener.called(found)
            except Exception as error:
                said = f"{type(error).__name__} in gradparity: {error}"
                listener.not_judged(Unjudged(found.place, said))
    for node, steps, judged in samples_of(walk):
        listener.sampled(node, steps, judged)
    for total in sums_of(walk, leaves, grads, ends):
        listener.summed(total)


def _together(
    walk: Walk, program: _Program, ends: Mapping[str, float]
) -> tuple[dict[Key, Any], dict[Key, Any], dict[str, Any]]:
    """The values of all equations, and the gradients by all taps and by the leaves."""
    order = (*walk.equations, *walk.choices, *walk.preparations)
    restores: list[Callable[[Sequence[Any]], Any]] = []

    def tapped(varied: Any, taps: Any, rest: Any) -> Any:
        values: dict[Any, Any] = {}
        loss = program.run(walk, varied, rest, dict(zip(walk.shapes, taps, strict=True)), values)
        distinct, restore = distinct_leaves([values[key] for key in order])
        restores.append(restore)
        return loss.x, distinct

    def both(varied: Any, rest: Any) -> Any:
        taps = [jnp.full(s.shape, -0.0, s.dtype) for s in walk.shapes.values()]
        differentiated = jax.value_and_grad(tapped, (0, 1), has_aux=True)
        (_, distinct), (by_leaf, by_tap) = differentiated(varied, taps, rest)
        return distinct, by_leaf, by_tap

    jitted = jax.jit(both)
    jitted.lower(program.varied, program.rest).compile()  # the call takes it from there
    release()
    distinct, by_leaf, by_tap = jitted(program.varied, program.rest)
    values = dict(zip(order, restores[-1](distinct), strict=True))
    grads = walk.with_shared(dict(zip(walk.shapes, by_tap, strict=True)))
    return values, grads, dict(zip(program.names, by_leaf, strict=True))


def _apart(
    walk: Walk, program: _Program, ends: Mapping[str, float]
) -> tuple[dict[Key, Any], dict[Key, Any], dict[str, Any]]:
    """The same of each equation alone."""
    tape = Tape(walk)
    values: dict[Key, Any] = {}
    program.run(tape, program.varied, program.rest, {}, values)
    grads, by_name = tape.back(ends)
    leaves = zip(program.names, program.varied, strict=True)
    return values, grads, {name: by_name.get(name, jnp.zeros_like(x)) for name, x in leaves}


def _branches(run: Callable[[Walk], Value], jaxpr: Any) -> dict[tuple[Any, ...], int]:
    """Find the branch that each condition takes, outer conditions first."""
    found: dict[tuple[Any, ...], int] = {}
    while _has_conditions(jaxpr):
        asking = Walk(False)
        asking.asks, asking.branches = True, found

        def indices(asking: Walk = asking) -> list[Any]:
            run(asking)
            return list(asking.indices.values())

        new = [int(i) for i in jax.jit(indices)()]
        if not new:
            break
        found |= dict(zip(asking.indices, new, strict=True))
    return found


def _has_conditions(jaxpr: Any) -> bool:
    """Whether there is one in a jaxpr, or in those of its calls."""
    for eqn in jaxpr.eqns:
        if eqn.primitive.name == "cond":
            return True
        for value in eqn.params.values():
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns") and _has_conditions(inner):
                return True
    return False
