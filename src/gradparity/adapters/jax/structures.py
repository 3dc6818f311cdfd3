"""JAX compiled as one program, and without compilation."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import jax
import numpy as np

from ...core.network.case import Case
from ...core.network.nodes import DIV
from ..base import risk
from ..structures import NativeEdge, Way
from .structured_edges import EDGES

__all__ = ["JaxStructures", "Parts"]


class Parts(NamedTuple):
    """Functions of the adapter that a run is made of."""

    array: Callable[[Any], Any]
    flat: Callable[..., dict[str, Any]]
    precision: Callable[..., AbstractContextManager[None]]
    weighted: Callable[..., tuple[Any, Any]]


class JaxStructures:
    """See `gradparity.adapters.structures.Structures`."""

    edges: Sequence[NativeEdge] = EDGES
    documented: Mapping[tuple[str, str], str] = {}

    def __init__(self, adapter: Any, parts: Parts) -> None:
        self.adapter, self.parts = adapter, parts

    def ways(self, compile: bool) -> Sequence[Way]:
        return Way("eager"), Way("jit")

    def run(self, case: Case, way: str) -> Mapping[str, Any]:
        network, adapter = case.network, self.adapter
        with self.parts.precision(case.dtype):
            params, free, rest, d = adapter._arguments(case)
            native = adapter.build(network, case.params, twin=case.twin)

            def err(params: Any, free: Any) -> Any:
                inputs = {**free, **rest}
                y = native.apply(params, inputs if len(inputs) > 1 else next(iter(inputs.values())))
                Div, weights = self.parts.weighted(network, native.divergence(y, d), inputs)
                return risk(network, Div, weights), (y, Div)

            gradient = jax.value_and_grad(err, argnums=(0, 1), has_aux=True)
            called = jax.jit(gradient) if way == "jit" else gradient
            (Err, (y, Div)), (by_params, by_inputs) = called(params, free)
            flat = self.parts.flat(network, by_params)
            results = {"Err": np.array(Err), DIV: self.parts.array(Div)}
            results |= {f"value {network.output}": self.parts.array(y)}
            results |= {f"grad {name}": self.parts.array(flat[name]) for name in network.trained}
            return results | {f"grad {name}": self.parts.array(g) for name, g in by_inputs.items()}
