"""An observed op as a call of the core: its formula, and its tensors in the formula's order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch

from ....core.arithmetic.arrays import NDArray
from ....core.network.calls import Call, Operand, Unjudged
from ....core.programs.indexing import Within
from . import aten  # noqa: F401  # the rules
from .aten.table import Arguments, Mapped, UnmappedError, rule_of
from .aten.tensors import format_of, is_plain, numbers, tensors_in
from .observed import Observed, Path
from .unmapped import by_values, evaluated

__all__ = ["call_of"]


def call_of(
    observed: Observed,
    left: Sequence[torch.Tensor | None],
    arrived: Sequence[torch.Tensor | None],
    asked: Sequence[bool],
) -> Call | Unjudged:
    """The call that an op was, with what its backward did.

    Parameters
    ----------
    left : the gradient through each edge of its node.
    arrived : the gradient of each output of its node.
    asked : of each edge, whether the engine was asked for its gradient.
    """
    place, sources = observed.place, tuple(observed.sources.values())
    if not all(map(is_plain, observed.tensors())):
        return Unjudged(place, "sparse, complex or quantised tensors are not judged", sources)
    mapped, why = _formula(observed)
    evaluate = None if observed.function is None else observed.function.evaluate
    if mapped is None:
        mapped = by_values(observed, why)
        if mapped is None:
            return Unjudged(place, why, sources)
        evaluate = evaluate or partial(evaluated, observed)
    found = [observed.outs[i] if isinstance(i, int) else observed.written_after.get(i)
             for i in mapped.outputs]  # fmt: skip
    shapes = "" if why else _other_shape(mapped, observed, found)
    if shapes:
        return Unjudged(place, shapes, sources)
    inside = () if observed.function is None else observed.function.formats.values()
    precision = format_of(*found, *left, *inside)

    def operand(which: Any) -> Operand:
        if isinstance(which, np.ndarray):
            return Operand(which)  # a constant
        path: Path = which if isinstance(which, tuple) else (which, None)
        array = _argument(observed, path)
        k = observed.slots.get(path)
        if k is None:
            return Operand(array)
        gradient = None if left[k] is None else numbers(left[k])
        return Operand(array, observed.sources[path], gradient, asked[k])

    def arrived_at(i: Any) -> NDArray | None:
        slot = observed.numbers[i] if isinstance(i, int) else None
        got = None if slot is None or slot >= len(arrived) else arrived[slot]
        return None if got is None else numbers(got)

    return Call(
        place,
        mapped.op,
        tuple(map(operand, mapped.inputs)),
        tuple(None if z is None else numbers(z) for z in found),
        tuple(arrived_at(i) for i in mapped.outputs),
        precision,
        again=lambda: _in_float64(observed, left, arrived, asked),
        evaluate=evaluate,
        is_function=observed.function is not None,
        names=tuple(_name_of(observed, i) for i in mapped.outputs),
        remark=f"its {observed.overwritten} after it ran" if observed.overwritten else "",
    )


def _formula(observed: Observed) -> tuple[Mapped | None, str]:
    """The op of the core that this op is; or None and the reason."""
    if observed.why or observed.mapped is not None:
        return (None if observed.why else observed.mapped), observed.why
    rule = rule_of(observed.op)
    if rule is None:
        return None, f"there is no formula for {observed.op}"
    try:
        return _mapped(rule, observed), ""
    except (UnmappedError, ValueError) as why:  # or an argument that the op of the core refuses
        return None, f"{observed.op}: {why}"


def _name_of(observed: Observed, i: Any) -> str:
    """An output as the inputs of other ops name it."""
    slot = observed.numbers[i] if isinstance(i, int) and i < len(observed.numbers) else None
    if slot is None:
        return ""
    several = sum(n is not None for n in observed.numbers) > 1
    return f"{observed.place.node}.{slot}" if several else observed.place.node


def _mapped(rule: Any, observed: Observed) -> Mapped:
    """Apply a rule of the table; an op that wrote into a view is applied within its base."""
    path, index = observed.written_path, observed.written_index
    if path is None or index is None:
        found: Mapped = rule(Arguments(observed.given, observed.outs, observed.written_after))
        return found
    base = observed.given[path[0]]
    part = base.reshape(-1)[torch.from_numpy(np.asarray(index))]
    inner: Mapped = rule(Arguments({**observed.given, path[0]: part}, [part]))
    if path[0] not in inner.inputs:
        raise UnmappedError("written into a view, whose old elements it does not take")
    op = Within(inner.op, index, inner.inputs.index(path[0]))
    return replace(inner, op=op)


def _other_shape(mapped: Mapped, observed: Observed, found: Sequence[torch.Tensor | None]) -> str:
    """The reason if the formula's results have other shapes; "" if the shapes agree."""
    given = [
        which.shape if isinstance(which, np.ndarray)
        else tuple(_tensor(observed, which if isinstance(which, tuple) else (which, None)).shape)
        for which in mapped.inputs
    ]  # fmt: skip
    try:
        want = mapped.op.output_shape(*given)
    except (TypeError, ValueError):
        return ""  # the formula itself says what does not fit
    shapes = list(want) if want and isinstance(want[0], tuple) else [want]  # states too
    for shape, z in zip(shapes, found, strict=False):
        if z is not None and tuple(z.shape) != tuple(shape):
            said = f"its result has shape {tuple(z.shape)}, and that of {mapped.op.name}"
            return f"{observed.place.function}: {said} has {tuple(shape)}"
    return ""


def _tensor(observed: Observed, path: Path) -> torch.Tensor:
    name, i = path
    found: torch.Tensor = observed.given[name] if i is None else observed.given[name][i]
    return found


def _argument(observed: Observed, path: Path) -> NDArray:
    return numbers(_tensor(observed, path))


def _in_float64(
    observed: Observed,
    left: Sequence[torch.Tensor | None],
    arrived: Sequence[torch.Tensor | None],
    asked: Sequence[bool],
) -> Call | None:
    """The same op on the same numbers in float64, by itself; None where it does not run there."""
    if observed.mapped is not None or observed.written_path is not None:
        return None
    if torch.Tag.nondeterministic_seeded in observed.op.tags:
        return None
    again = Observed.__new__(Observed)
    again.__dict__.update(observed.__dict__)
    leaves: dict[Path, torch.Tensor] = {}

    def wide(value: Any, path: Path) -> Any:
        if isinstance(value, list):
            return [wide(each, (path[0], i)) for i, each in enumerate(value)]
        if not isinstance(value, torch.Tensor) or not value.is_floating_point():
            return value
        value = value.to(torch.float64, copy=True)
        if path in observed.slots:
            leaves[path] = value.requires_grad_()
            return value.clone() if observed.op._schema.is_mutable else value
        return value

    try:
        with torch.enable_grad():
            given = {name: wide(value, (name, None)) for name, value in observed.given.items()}
            inputs = {a.name: given[a.name] for a in observed.op._schema.arguments}
            out = observed.op(**inputs)
            outs = list(tensors_in(out))
            came = [
                None if k is None or k >= len(arrived) else arrived[k] for k in observed.numbers
            ]
            pairs = [
                (z, dz.to(torch.float64))
                for z, dz in zip(outs, came, strict=False)
                if dz is not None
            ]
            found = torch.autograd.grad(
                [z for z, _ in pairs], list(leaves.values()), [dz for _, dz in pairs],
                allow_unused=True,
            ) if pairs and leaves else ()  # fmt: skip
    except (RuntimeError, NotImplementedError, TypeError):
        return None
    again.given = {n: _detached(v) for n, v in given.items()}
    again.outs = [t.detach() for t in outs]
    wide_left: list[Any] = [None] * len(left)
    for path, gradient in zip(leaves, found, strict=False):
        wide_left[observed.slots[path]] = gradient
    wide_arrived = [None if a is None else a.to(torch.float64) for a in arrived]
    call = call_of(again, wide_left, wide_arrived, asked)
    return call if isinstance(call, Call) and call.precision == "float64" else None


def _detached(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.detach()
    return [_detached(each) for each in value] if isinstance(value, list) else value
