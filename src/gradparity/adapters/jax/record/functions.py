"""Functions with a derivative of their own: `custom_jvp` and `custom_vjp`.

The equations of the primal function make a network of the core's ops, and the derivative is held to
backprop through that network.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .... import ops
from ....core.arithmetic.arrays import NDArray
from ....core.formulas.op import Op
from ....core.network.calls import NoFormula
from ....core.network.composed import Composed
from ....core.network.nodes import Node, values_of_node
from ....core.vocabulary.pointwise import Scale
from ...mapped import Mapped, UnmappedError
from .equations import bind, is_complex, is_float, numbers
from .needed import INLINED, closed
from .places import function_name
from .primitives.table import Operands, rule_of
from .wide import MOST_STEPS, evaluated, parts_of_loop, where_going

__all__ = ["Function", "function_call"]

#: Functions of JAX with a derivative of their own, by where they are defined, and their op.
OF_JAX = {r"logaddexp at .*jax.*other\.py": ops.LogAddExp()}
#: Where JAX has the function that `jax.lax.custom_root` calls.
ROOT = r"_custom_root at .*jax.*solves\.py"
#: Why the gradient of a root is not judged.
UNSHARED = (
    "the equation and its solver close over different values, so the solver's result says nothing "
    "of the equation's gradient; let both close over the same ones"
)
#: The most equations whose composition is evaluated.
MOST = 2000


class _Composition:
    """The network of a function's equations, while it is built."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.constants: dict[str, NDArray] = {}
        self.steps = 0

    def run(self, jaxpr: Any, consts: Sequence[Any], args: list[Any]) -> list[Any]:
        """The results of a jaxpr: numbers, and names of values that depend on the inputs."""
        env = dict(zip(jaxpr.constvars, [(c, "") for c in consts], strict=True))
        env |= dict(zip(jaxpr.invars, args, strict=True))

        def read(v: Any) -> Any:
            return (np.asarray(v.val, v.aval.dtype), "") if hasattr(v, "val") else env[v]

        for eqn in jaxpr.eqns:
            ins, name = [read(v) for v in eqn.invars], eqn.primitive.name
            inner = eqn.params.get("call_jaxpr") if name.startswith("custom_") else None
            if name in INLINED or inner is not None:
                own = closed(inner if inner is not None else eqn.params[INLINED[name]])
                outs = self.run(*own, ins)
            elif name == "cond":
                outs = self.run(*closed(eqn.params["branches"][int(ins[0][0])]), ins[1:])
            elif name == "scan" and any(given for _, given in ins):
                outs = self.unrolled(eqn, ins)
            elif name == "while" and any(given for _, given in ins):
                outs = self.repeated(eqn.params, ins)
            else:
                outs = self.equation(eqn, ins)
            env |= dict(zip(eqn.outvars, outs, strict=True))
        return [read(v) for v in jaxpr.outvars]

    def unrolled(self, eqn: Any, ins: list[Any]) -> list[Any]:
        """The steps of a scan, one after the other."""
        p = eqn.params
        nc, nk, length = p["num_consts"], p["num_carry"], p["length"]
        consts, carry, xs = ins[:nc], ins[nc : nc + nk], ins[nc + nk :]
        steps = range(length)[::-1] if p["reverse"] else range(length)
        each: dict[int, list[Any]] = {}
        for i in steps:
            given = [self.entry(x, i) for x in xs]
            outs = self.run(*closed(p["jaxpr"]), [*consts, *carry, *given])
            carry, each[i] = outs[:nk], outs[nk:]
        ys = [
            self.stacked([each[i][k] for i in range(length)])
            for k in range(len(p["jaxpr"].out_avals) - nk)
        ]
        return [*carry, *ys]

    def repeated(self, params: dict[str, Any], ins: list[Any]) -> list[Any]:
        """The steps of a loop that ends by a condition, as many as it takes at these numbers.

        Under `vmap` the condition has a batch axis, and what has ended keeps its values.
        """
        ends, body, carry = parts_of_loop(params, ins)

        def going() -> NDArray:
            given = [(x, "") for x, _ in (*ends, *carry)]
            return np.asarray(self.run(*closed(params["cond_jaxpr"]), given)[0][0])

        while (on := going()).any():
            stepped = self.run(*closed(params["body_jaxpr"]), [*body, *carry])
            pairs = zip(stepped, carry, strict=True)
            carry = stepped if on.all() else [self.chosen(on, *pair) for pair in pairs]
            self.steps += 1
            if self.steps > MOST_STEPS:
                raise UnmappedError(f"its loop takes more than {MOST_STEPS} steps")
        return carry

    def chosen(self, on: NDArray, new: Any, old: Any) -> Any:
        """One value where a condition holds along the first axes, and another where it does not."""
        values, names = zip(new, old, strict=True)
        if new is old or (names[0] and names[0] == names[1]):
            return old
        value, mask = where_going(on, *values)
        if not any(names):
            return value, ""
        each = (name or self.constant(numbers(x)) for x, name in (new, old))
        return value, self.added(ops.Where(), self.constant(numbers(mask)), *each)

    def entry(self, x: Any, i: int) -> Any:
        """One entry of the first axis."""
        array, name = x
        return array[i], name and self.added(ops.Select(i, 0), name)

    def stacked(self, parts: list[Any]) -> Any:
        """Values along a new first axis."""
        whole = jnp.stack([x for x, _ in parts])
        if not any(name for _, name in parts):
            return whole, ""
        names = [name or self.constant(numbers(x)) for x, name in parts]
        if len(names) == 1:
            return whole, self.added(ops.Reshape(whole.shape, keep=0), *names)
        return whole, self.added(ops.Stack(0), *names)

    def added(self, op: Op, *names: str) -> str:
        """The name of the value that a new node gives."""
        if len(self.nodes) >= MOST:
            raise UnmappedError(f"it has more than {MOST} equations")
        self.nodes.append(Node(f"a{len(self.nodes) + 1}", op, *names))
        return self.nodes[-1].name

    def equation(self, eqn: Any, ins: list[Any]) -> list[Any]:
        results = bind(eqn, *(x for x, _ in ins))
        if any(name for _, name in ins) and any(map(is_complex, results)):
            raise UnmappedError("it has complex numbers in it")
        floats = [is_float(x) for x in results]
        if not any(name for _, name in ins) or not any(floats):
            return [(x, "") for x in results]
        rule = rule_of(eqn.primitive.name)
        if rule is None:
            raise UnmappedError(f"there is no formula for {eqn.primitive.name} in it")
        if len(self.nodes) >= MOST:
            raise UnmappedError(f"it has more than {MOST} equations")
        arrays = [numbers(x) for x, _ in ins]
        sources = [name for _, name in ins]
        formats = [jnp.result_type(x) for x, _ in ins]
        gives = [numbers(x) for x in results]
        mapped = rule(Operands(arrays, gives, eqn.params, sources, formats))
        names = [self._source(which, ins, arrays) for which in mapped.inputs]
        letters = tuple(mapped.op.parameter_shapes())
        values = names[: len(names) - len(letters)]
        given = dict(zip(letters, names[len(values) :], strict=True))
        node = Node(f"a{len(self.nodes) + 1}", mapped.op, *values, **given)
        self.nodes.append(node)
        outs = [(x, "") for x in results]
        for name, i in zip(values_of_node(node), mapped.outputs, strict=False):
            outs[i] = (results[i], name)
        return outs

    def _source(self, which: Any, ins: list[Any], arrays: list[NDArray]) -> str:
        if not isinstance(which, np.ndarray):
            if ins[which][1]:
                return str(ins[which][1])
            which = arrays[which]
        return self.constant(which)

    def read_by(self, results: Sequence[str]) -> set[str]:
        """The names of everything that these values are made of."""
        found = set(results)
        for node in reversed(self.nodes):
            if found & set(values_of_node(node)):
                found |= {*node.inputs, *(name for _, name in node.given)}
        return found

    def clamp_of(self, name: str) -> Op | None:
        """The ReLU or clamp of an input that it is, such as `jax.nn.relu6`; None if it is none."""
        low, high = -math.inf, math.inf
        for node in self.nodes:
            bounds = [np.unique(self.constants[n]) for n in node.inputs if n in self.constants]
            if name not in node.inputs or [b.size for b in bounds] != [1]:
                return None
            if not isinstance(node.op, ops.Maximum | ops.Minimum):
                return None
            bound, name = float(bounds[0][0]), node.name
            choose = max if isinstance(node.op, ops.Maximum) else min
            low, high = choose(low, bound), choose(high, bound)
        if not low < high or (low, high) == (-math.inf, math.inf):
            return None
        return ops.ReLU() if (low, high) == (0.0, math.inf) else ops.Hardtanh(low, high)

    def constant(self, array: NDArray) -> str:
        """The name of an input that has no gradient."""
        name = f"c{len(self.constants)}"
        self.constants[name] = array
        return name


class Function(NamedTuple):
    """A function as one call.

    Attributes
    ----------
    mapped : the composition of its equations.
    evaluate : the function itself, in float64.
    shares : position of an input -> those of others that are the same value, and whose gradient is
        to be added to that of this one.
    searches : whether it has a loop that ends by a condition.
    """

    mapped: Mapped
    evaluate: Callable[[Sequence[NDArray]], list[NDArray] | None]
    shares: dict[int, list[int]]
    searches: bool = False


def function_call(eqn: Any, given: Operands, moves: Sequence[bool]) -> Function:
    """A function with a derivative of its own as one call.

    Parameters
    ----------
    moves : for each input whether a gradient that is not zero left by it.

    Raises
    ------
    UnmappedError : one of its equations has no formula; the function cannot be held to one.
    """
    inner, consts = closed(eqn.params.get("call_jaxpr") or eqn.params["fun_jaxpr"])
    known = next((op for source, op in OF_JAX.items() if _is_of(inner, source)), None)
    if known is not None:
        everything = tuple(range(len(given.ins)))
        evaluate = _evaluation(inner, consts, given, everything, (0,), {})
        return Function(Mapped(known, everything), evaluate, {})
    names = [f"y{i}" for i in range(len(given.ins))]
    floats = [x.dtype.kind == "f" for x in given.ins]
    build = _Composition()
    own = [_stored_as(x, v.aval.dtype) for x, v in zip(given.ins, inner.invars, strict=True)]
    args = [(x, n if f else "") for x, n, f in zip(own, names, floats, strict=True)]
    try:
        outs = build.run(inner, consts, args)
    except UnmappedError as why:
        if _is_of(inner, ROOT):
            raise
        return _by_values(eqn, given, inner, consts, str(why))
    gives, kept = [], []
    for i, (_, name) in enumerate(outs):
        if not name:
            continue
        if name.startswith("y") or name in gives:
            build.nodes.append(Node(f"out{i}", Scale(1.0), name))
            name = f"out{i}"
        gives.append(name)
        kept.append(i)
    if not gives:
        raise UnmappedError("its result does not depend on its inputs")
    clamps = [(i, op) for i, n in enumerate(names) if (op := build.clamp_of(n)) is not None]
    if len(clamps) == 1 and kept == [0] and gives == [build.nodes[-1].name]:
        # Every choice at its kinks is known, however many elements are there.
        i, clamp = clamps[0]
        evaluate = _evaluation(inner, consts, given, (i,), kept, {})
        return Function(Mapped(clamp, (i,)), evaluate, {})
    shares: dict[int, list[int]] = {}
    if _is_of(inner, ROOT):
        used = build.read_by(gives)
        shares = _shares(given.sources, [n in used for n in names], moves)
    extra = {k for others in shares.values() for k in others}
    floats = [f and i not in extra for i, f in enumerate(floats)]
    inputs = [n for n, f in zip(names, floats, strict=True) if f]
    op = Composed(function_name(eqn), *build.nodes, inputs=(*inputs, *build.constants), gives=gives,
                  fixed=tuple(build.constants))  # fmt: skip
    positions = tuple(i for i, f in enumerate(floats) if f)

    mapped = Mapped(op, (*positions, *build.constants.values()), tuple(kept))
    evaluate = _evaluation(inner, consts, given, positions, kept, shares)
    return Function(mapped, evaluate, shares, build.steps > 0)


def _stored_as(x: NDArray, dtype: Any) -> Any:
    """An array of the program, in its own number format."""
    return x if jnp.issubdtype(dtype, jax.dtypes.extended) else np.asarray(x, dtype)


def _by_values(eqn: Any, given: Operands, inner: Any, consts: Any, why: str) -> Function:
    """A function with an equation without a formula: it is held to differences of its values."""
    positions = tuple(i for i, x in enumerate(given.ins) if x.dtype.kind == "f")
    kept = tuple(i for i, v in enumerate(inner.outvars) if is_float(v.aval))
    mapped = Mapped(NoFormula(function_name(eqn), why), positions, kept)
    return Function(mapped, _evaluation(inner, consts, given, positions, kept, {}), {})


def _evaluation(
    inner: Any,
    consts: Any,
    given: Operands,
    positions: Sequence[int],
    kept: Sequence[int],
    shares: Mapping[int, Sequence[int]],
) -> Callable[[Sequence[NDArray]], list[NDArray] | None]:
    """The function itself in float64, of the inputs at `positions`."""

    def evaluate(arrays: Sequence[NDArray]) -> list[NDArray] | None:
        full = list(given.ins)
        for i, array in zip(positions, arrays, strict=False):
            for k in (i, *shares.get(i, ())):
                full[k] = np.asarray(array, np.float64)
        try:
            with jax.enable_x64(True):
                out = evaluated(inner, consts, [jnp.asarray(x) for x in full])
                return [np.asarray(out[i]) for i in kept]
        except Exception:  # a function that takes float32 alone
            return None

    return evaluate


def _is_of(jaxpr: Any, source: str) -> bool:
    """Whether a jaxpr was traced from a function of JAX that is defined there."""
    info = getattr(jaxpr, "debug_info", None)
    return re.match(source, str(getattr(info, "func_src_info", ""))) is not None


def _shares(
    sources: Sequence[str], used: Sequence[bool], moves: Sequence[bool]
) -> dict[int, list[int]]:
    """Match the values that the equation of a root closes over with the same ones in its solver.

    The gradient is that of the equation, and the result is made by the solver: of a value that
    both close over, the gradient is that of the result.  No such thing can be said of values of
    which one depends on the other.
    """
    positions = [k for k, source in enumerate(sources) if source]
    of_equation = {sources[k] for k in positions if moves[k] or not used[k]}
    of_solver = {sources[k] for k in positions if used[k]}
    if of_equation != of_solver:
        raise UnmappedError(UNSHARED)
    found: dict[int, list[int]] = {}
    for k in positions:
        same = [j for j in positions if sources[j] == sources[k]]
        first = next((j for j in same if used[j]), same[0])
        if first != k:
            found.setdefault(first, []).append(k)
    return found
