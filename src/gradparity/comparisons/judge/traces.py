"""A trace is checked for completeness before it is judged: nothing is skipped in silence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...core.arithmetic.received import received
from ...core.formulas.arguments import did_you_mean
from ...core.network.case import Case
from ...core.network.nodes import DIV, ERR
from ...core.network.trace import Trace
from ..findings.quantities import edges_of

__all__ = ["check_trace"]


def check_trace(case: Case, trace: Trace) -> None:
    """Every quantity there, of the right shape and dtype.

    Raises
    ------
    TypeError : not a Trace, or an array of another dtype than the case.
    ValueError : a quantity is missing, or has another shape.
    """
    if not isinstance(trace, Trace):
        raise TypeError(f"an implementation returned {type(trace).__name__}; return a Trace")
    if case.network.divergence is not None and not _is_number(trace.Err):
        raise TypeError(
            f"the trace of {trace.adapter!r}: Err is {received(trace.Err)}; give a float"
        )
    if trace.precision not in ("", case.precision.name):
        raise TypeError(
            f"the trace of {trace.adapter!r} is of {trace.precision}, the case of "
            f"{case.precision.name}; compute in the case's precision"
        )
    for kind in ("value", "grad", "edge_grad"):
        if not isinstance(getattr(trace, kind), Mapping):
            said = type(getattr(trace, kind)).__name__
            raise TypeError(f"the trace of {trace.adapter!r}: {kind} is {said}; give a dict")
    network, shapes = case.network, {**case.shapes, **case.network.parameter_shapes}
    values = {name: shapes[name] for step in network.body for name in step.values}
    drawn = {step.draw: shapes[step.draw] for step in network.body if step.draw}
    outputs = [name for step in network.body for name in step.outputs]
    grads = [*case.differentiated, *outputs, *network.trained]
    edges = {edge: shapes[edge.source] for edge in edges_of(case)}
    _check(trace.adapter, "value", trace.value, values, case.dtype, drawn)
    loss = {DIV: shapes[DIV]} if network.divergence is not None else {}
    ends = {name: () for name in network.ends if name != ERR}
    wanted = {name: shapes[name] for name in grads if name not in ends} | loss
    _check(trace.adapter, "grad", trace.grad, wanted, case.dtype, ends)
    _check(trace.adapter, "edge_grad", trace.edge_grad, edges, case.dtype)
    if loss:
        _check(trace.adapter, "Div", {DIV: trace.Div}, loss, case.dtype)


def _is_number(Err: Any) -> bool:
    """Whether it is one float, or an array that holds just one."""
    return np.ndim(Err) == 0 and np.asarray(Err).dtype.kind == "f"


def _check(
    adapter: str,
    kind: str,
    arrays: Any,
    shapes: Any,
    dtype: np.dtype[Any],
    optional: Mapping[str, Any] | None = None,
) -> None:
    missing = [name for name in shapes if name not in arrays]
    if missing:
        raise ValueError(f"the trace of {adapter!r} has no {kind} of {_plain(missing[0])!r}")
    there = {name: shape for name, shape in (optional or {}).items() if name in arrays}
    shapes = {**shapes, **there}
    unknown = [name for name in arrays if name not in shapes]
    if unknown:
        names = [_plain(name) for name in shapes]
        raise ValueError(
            f"unexpected {kind} of {unknown[0]!r} in the trace of {adapter!r};"
            f"{did_you_mean(str(unknown[0]), map(str, names))} valid names: {names}"
        )
    for name, shape in shapes.items():
        array = arrays[name]
        if not isinstance(array, np.ndarray):
            raise TypeError(
                f"the trace of {adapter!r}: {kind} of {_plain(name)!r} is a "
                f"{type(array).__name__}; give a NumPy array, such as np.array(...)"
            )
        if isinstance(array, np.ma.MaskedArray):
            raise TypeError(
                f"the trace of {adapter!r}: {kind} of {_plain(name)!r} is a masked array, whose "
                "masked elements would not be compared; give a plain array, such as "
                "result.filled(0.0)"
            )
        if array.shape != tuple(shape):
            raise ValueError(
                f"the trace of {adapter!r}: {kind} of {_plain(name)!r} has shape {array.shape}, "
                f"expected {tuple(shape)}"
            )
        if array.dtype != dtype:
            raise TypeError(
                f"the trace of {adapter!r}: {kind} of {name!r} has dtype {array.dtype}, the case "
                f"{dtype}; an implementation must compute in the case's dtype"
            )


def _plain(name: Any) -> Any:
    """An edge as the plain pair that a user writes."""
    return tuple(name) if isinstance(name, tuple) else name
