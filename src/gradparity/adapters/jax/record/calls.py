"""Equations of a tapped run as calls of the core, and the gradients between them as sums."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ....core.arithmetic.arrays import NDArray
from ....core.network.calls import Call, NoFormula, Operand, Place, Sum, Unjudged
from ...mapped import UnmappedError
from . import primitives  # noqa: F401  # the rules
from .equations import Choice, Equation, Key, Scan, bind, is_float, numbers
from .functions import function_call
from .needed import FUNCTIONS
from .primitives.table import Operands, is_coarse, rule_of
from .remade import Remade
from .taps import Walk
from .unmapped import by_values, evaluated
from .wide import wide_params

__all__ = ["calls_of", "preparations_of", "samples_of", "sums_of"]

#: Steps of a scan that are judged: all of a short one, else both ends and some between.
STEPS = 64
#: Primitives that move elements one to one, or round them.
MOVES = {"reshape", "squeeze", "expand_dims", "transpose", "convert_element_type"}
FORMATS = ("float64", "float32", "float16", "bfloat16")


def format_of(*arrays: Any) -> str:
    """The coarsest number format among the floats."""
    found = [str(jnp.result_type(a)) for a in arrays if a is not None]
    return max((f for f in found if f in FORMATS), key=FORMATS.index, default="float64")


def steps_of(lengths: tuple[int, ...]) -> list[tuple[int, ...]]:
    """The steps of a scan that are judged, or of scans in each other."""
    n = math.prod(lengths)
    some: Sequence[int] = range(n)
    if n > STEPS:
        between = np.random.default_rng(0).choice(np.arange(2, n - 2), STEPS - 4, replace=False)
        some = [0, 1, *sorted(map(int, between)), n - 2, n - 1]
    return [tuple(map(int, np.unravel_index(i, lengths))) for i in some]


def calls_of(
    walk: Walk, values: dict[Key, Any], grads: Mapping[Key, Any]
) -> Iterator[Call | Unjudged]:
    """Yield every equation as a call of the core, in the order of the program.

    Its values are taken out, which frees their memory.
    """
    remade = Remade(walk)
    for key, equation in walk.equations.items():
        ins, outs = values.pop(key)
        remade.keep(key, ins)
        for step in steps_of(equation.lengths) if equation.lengths else [()]:
            if _ran(equation, values, step):
                found = _call(equation, key, ins, outs, {} if equation.aside else grads, step)
                if isinstance(found, Call):
                    yield _compiled(found, walk, grads, step, remade)
                elif not equation.idle:
                    yield found
        remade.forget(key)


def preparations_of(walk: Walk, values: dict[Key, Any]) -> Iterator[Call]:
    """Yield every equation on what has no gradient that has a formula, in the program's order."""
    for key, equation in walk.preparations.items():
        ins, outs = values.pop(key)
        found = _call(equation, key, ins, outs, {}, ())
        if isinstance(found, Call) and any(z is not None and z.size > 1 for z in found.z):
            yield replace(found, again=None)


def samples_of(walk: Walk) -> Iterator[tuple[str, int, int]]:
    """Yield each scan that is judged at some steps only: its node, all steps, and those judged."""
    for key, scan in walk.scans.items():
        inside = [e.lengths for path, e in walk.equations.items() if path[: len(key)] == key]
        steps = max((math.prod(lengths[: scan.depth + 1]) for lengths in inside), default=0)
        if steps > STEPS:
            yield scan.node, steps, STEPS


def _compiled(
    call: Call, walk: Walk, grads: Mapping[Key, Any], step: tuple[int, ...], remade: Remade
) -> Call:
    """The call with what XLA may compute anew for it: its inputs, and sums of gradients."""
    inputs = tuple(replace(o, made=remade.of(o, step)) for o in call.inputs)
    added = [_summed(walk, grads, name, step) for name in call.names]
    return replace(call, inputs=inputs, added=tuple(added))


def _summed(
    walk: Walk, grads: Mapping[Key, Any], name: str, step: tuple[int, ...]
) -> NDArray | None:
    """The sum of the sizes of the gradients by the uses of a value; None if there is no sum.

    A sum of n terms takes n - 1 roundings each time that XLA computes it, so two results differ by
    at most 2 (n - 1) u times this sum of sizes.  The bound allows 2 u times what is returned: the
    sum of sizes times n / 2, which is less for n > 2 and the same for n = 2.  XLA fuses reshapes,
    transposes and casts with what comes before, so a value that only they use has the sum of the
    value behind them.
    """
    uses = walk.uses.get(name, [])
    each = [np.abs(numbers(grads[key])) for key, _ in uses]
    each = [a[step] if step else a for a in each]
    if len(each) != 1:
        return sum(each[1:], each[0]) * (max(len(each), 2) / 2) if each else None
    reader = walk.equations.get(uses[0][0][:-2])
    if reader is None or reader.eqn.primitive.name not in MOVES or len(reader.names) != 1:
        return None
    if bool(reader.lengths) != bool(step):
        return None
    behind = _summed(walk, grads, reader.names[0], step)
    if behind is None:
        return None
    if reader.eqn.primitive.name == "transpose":
        return np.transpose(behind, np.argsort(reader.eqn.params["permutation"]))
    if reader.eqn.primitive.name == "convert_element_type":
        taken, given = (v.aval.dtype for v in (reader.eqn.invars[0], reader.eqn.outvars[0]))
        behind = behind * max(float(jnp.finfo(given).eps / jnp.finfo(taken).eps), 1.0)
    return behind.reshape(each[0].shape)


def _ran(equation: Equation, values: Mapping[Key, Any], step: tuple[int, ...]) -> bool:
    """Whether the conditions that an equation is in took its branch at this step."""
    return all(
        int(values[key][step[: values[key].ndim]]) == branch for key, branch in equation.branches
    )


def _call(
    equation: Equation,
    key: Key,
    ins: Any,
    outs: Any,
    grads: Mapping[Key, Any],
    step: tuple[int, ...],
) -> Call | Unjudged:
    place, name = equation.place, equation.eqn.primitive.name
    if step:
        place = replace(place, node=f"{place.node}.step{'_'.join(map(str, step))}")

    def at(x: Any) -> Any:
        return x[step] if x is not None and step else x

    def gradient(side: str, k: int) -> Any:
        found = grads.get((*key, side, k))
        return None if found is None else at(found)

    ins, outs = [at(x) for x in ins], [at(x) for x in outs]
    sources = tuple(filter(None, equation.sources))
    if any(x is not None and jnp.iscomplexobj(x) for x in (*ins, *outs)):
        return Unjudged(place, "complex numbers are not judged", sources)
    left = [gradient("in", k) for k in range(len(ins))]
    given = Operands(
        [None if x is None else numbers(x) for x in ins],  # type: ignore[misc]
        [None if x is None else numbers(x) for x in outs],  # type: ignore[misc]
        equation.eqn.params,
        equation.sources,
        [None if x is None else x.dtype for x in ins],
    )
    if name not in MOVES and any(x is not None and is_coarse(x.dtype) for x in (*ins, *outs)):
        return Unjudged(place, f"{name}: arithmetic in 8 bits or fewer is not judged", sources)
    is_function, evaluate, searches = name in FUNCTIONS, None, False
    covered: set[int] = set()
    try:
        if is_function:
            moves = [g is not None and bool(jnp.any(g)) for g in left]
            mapped, evaluate, shares, searches = function_call(equation.eqn, given, moves)
            for k, others in shares.items():
                covered |= {*others}
                left[k] = _added([left[k], *(left[j] for j in others)])
        else:
            rule = rule_of(name)
            mapped = by_values(equation.eqn, given) if rule is None else rule(given)
    except (UnmappedError, ValueError) as why:
        return Unjudged(place, f"{place.function}: {why}", sources)
    if isinstance(mapped.op, NoFormula) and not is_function:
        evaluate = partial(evaluated, equation, given, mapped.outputs)
    covered |= {which for which in mapped.inputs if isinstance(which, int)}
    without = [k for k, source in enumerate(equation.sources) if source and k not in covered]
    if any(left[k] is not None and jnp.any(left[k]) for k in without):
        return Unjudged(
            place, f"{place.function}: there is no formula for input {without[0]}", sources
        )

    def operand(which: Any) -> Operand:
        if isinstance(which, np.ndarray):
            return Operand(which)
        source, array = equation.sources[which], given.ins[which]
        if not source:
            return Operand(array)
        g = left[which]
        return Operand(array, source, None if g is None else numbers(g), True)

    dz = [gradient("out", i) for i in range(len(outs))]
    arrived = [dz[i] for i in mapped.outputs]
    return Call(
        place,
        mapped.op,
        tuple(map(operand, mapped.inputs)),
        tuple(given.outs[i] for i in mapped.outputs),
        tuple(None if g is None else numbers(g) for g in arrived),
        format_of(*(outs[i] for i in mapped.outputs), *left),
        again=None if is_function else lambda: _in_float64(equation, given, left, dz, step),
        evaluate=evaluate,
        names=tuple(equation.names[i] for i in mapped.outputs),
        is_function=is_function,
        fused=True,
        searches=searches,
    )


def _added(gradients: Sequence[Any]) -> Any:
    """The sum of gradients by one value, rounded once; None if there is none."""
    each = [g for g in gradients if g is not None]
    if not each:
        return None
    return jnp.asarray(sum(numbers(g).astype(np.float64) for g in each), each[0].dtype)


def _in_float64(
    equation: Equation, given: Operands, left: list[Any], dz: list[Any], step: tuple[int, ...]
) -> Call | None:
    """The same equation on the same numbers in float64, by itself; None where it does not run."""
    eqn = equation.eqn
    floats = [k for k, x in enumerate(given.ins) if x is not None and x.dtype.kind == "f"]
    params = wide_params(eqn)
    try:
        with jax.enable_x64(True):
            ins = [None if x is None else jnp.asarray(x) for x in given.ins]
            wide = [jnp.asarray(given.ins[k], jnp.float64) for k in floats]

            def f(*some: Any) -> Any:
                full = list(ins)
                for k, x in zip(floats, some, strict=True):
                    full[k] = x
                return bind(eqn, *full, **params)

            outs, pull = jax.vjp(f, *wide)
            arrived = [
                jnp.zeros(z.shape, jax.dtypes.float0)
                if not is_float(z)
                else jnp.zeros_like(z) if g is None else jnp.asarray(g, jnp.float64)
                for z, g in zip(outs, dz, strict=True)
            ]  # fmt: skip
            found = dict(zip(floats, pull(arrived), strict=True))
            values = [*ins]
            for k, x in zip(floats, wide, strict=True):
                values[k] = x
            key: Key = ("again",)
            grads = {(*key, "in", k): g for k, g in found.items() if left[k] is not None}
            grads |= {(*key, "out", k): g for k, g in enumerate(arrived) if is_float(outs[k])}
            call = _call(replace(equation, lengths=()), key, values, outs, grads, ())
    except Exception:  # a primitive that has other dtypes
        return None
    return call if isinstance(call, Call) and call.precision == "float64" else None


def sums_of(
    walk: Walk, leaves: Mapping[str, Any], grads: Mapping[Key, Any], ends: Mapping[str, float]
) -> Iterator[Sum]:
    """The gradient of every value and leaf, with those of its uses; those in a scan at all steps.

    Parameters
    ----------
    leaves : name of an input -> its gradient.
    ends : name of a value -> the factor with which it is differentiated.
    """
    for name, uses in walk.uses.items():
        if uses[0][0] in walk.shared:
            continue  # the gradient of its one use is that of the value
        arrival = walk.arrivals.get(name)
        got = leaves.get(name, None if arrival is None else grads[arrival])
        if got is None:
            continue
        parts = [grads[key] for key, _ in uses]
        nodes = [node for _, node in uses]
        if name in ends:
            parts.append(jnp.full_like(got, ends[name]))
            nodes.append("the loss")
        place = Place(name) if arrival is None else _place(walk, arrival)
        yield _sum(place, name, parts, nodes, got, final=name in leaves)
    for key, scan in walk.scans.items():
        yield from _links(walk, scan, key, grads)
    for key, choice in walk.choices.items():
        yield from _links_of_branches(choice, key, grads)


def _sum(
    place: Place, name: str, parts: list[Any], nodes: list[str], got: Any, *, final: bool = False
) -> Sum:
    precision = format_of(got, *parts)
    return Sum(
        place,
        name,
        tuple(map(numbers, parts)),
        tuple(nodes),
        numbers(got),
        precision,
        final,
        hookable=False,
    )


def _place(walk: Walk, key: Key) -> Place:
    path = key[:-2]
    if path in walk.equations:
        return walk.equations[path].place
    if path in walk.scans:
        return walk.scans[path].place
    return walk.choices[path if path in walk.choices else path[:-1]].place


def _links(walk: Walk, scan: Scan, key: Key, grads: Mapping[Key, Any]) -> Iterator[Sum]:
    """The sums of gradients around a scan: between steps, into its body, and out of it."""
    axis, node = scan.depth, scan.node

    def linked(name: str, parts: list[Any], got: Any) -> Sum:
        return _sum(scan.place, f"{node}.{name}", parts, [node] * len(parts), got)

    def gradient(side: str, k: int) -> Any:
        return grads.get((*key, side, k))

    def by_use(side: str, k: int) -> list[Any]:
        """The gradients by the uses inside, or their sum; at each step, in a first axis.

        XLA adds them up for the tap, and once more for the step before.
        """
        uses = walk.uses.get(f"{node}.{side}{k}", [])
        found = [gradient(side, k)] if len(uses) < 2 else [grads[use] for use, _ in uses]
        return [jnp.moveaxis(each, axis, 0) for each in found]

    n = max((k[-1] for k in grads if k[:-2] == key), default=-1) + 1
    for k in range(n):
        outside = gradient("in", k)
        if outside is not None and k < scan.constants:
            inside = [step for each in by_use("const", k) for step in each]
            # The gradient of a scan of no steps is zero.
            yield linked(f"in{k}", inside or [jnp.zeros_like(outside)], outside)
        elif outside is not None and k >= scan.constants + scan.carries:
            yield linked(f"in{k}", [jnp.moveaxis(x, 0, axis) for x in by_use("xs", k)], outside)
    for i in range(scan.carries):
        k = scan.constants + i
        result = gradient("res", i)
        if gradient("carry", k) is None or result is None:
            continue
        carry, result = by_use("carry", k), jnp.moveaxis(result, axis, 0)
        if not len(result):
            continue  # a scan of no steps
        if scan.reverse:
            carry, result = [each[::-1] for each in carry], result[::-1]
        yield linked(f"carry{i}", [each[1:] for each in carry], result[:-1])
        first, last = gradient("in", k), gradient("out", i)
        if first is not None:
            yield linked(f"in{k}", [each[0] for each in carry], first)
        if last is not None:
            yield linked(f"res{i}", [last], result[-1])
    for i in range(scan.carries, n):
        inner, outer = gradient("res", i), gradient("out", i)
        if inner is not None and outer is not None:
            yield linked(f"res{i}", [outer], inner)


def _links_of_branches(choice: Choice, key: Key, grads: Mapping[Key, Any]) -> Iterator[Sum]:
    """The sums of gradients around a condition; zero for branches that were not taken."""
    for (*path, side, k), outer in grads.items():
        if tuple(path) != key:
            continue
        inner = [
            found
            for (*within, end, i), found in grads.items()
            if (tuple(within[:-1]), end, i) == (key, "arg" if side == "in" else "res", k)
        ]
        if not inner:
            continue
        name = f"{choice.node}.{side}{k}"
        nodes = [choice.node] * len(inner)
        if side == "in":
            yield _sum(choice.place, name, inner, nodes, outer)
        else:
            yield _sum(choice.place, name, [outer], nodes[:1], sum(inner[1:], inner[0]))
