"""JAX compiled as one program, and without compilation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from ...core.network.case import Case
from ...core.network.nodes import DIV
from ..base import risk
from ..structures import NativeEdge, Way
from .structured_edges import EDGES

__all__ = ["JaxStructures"]


class JaxStructures:
    """See `gradparity.adapters.structures.Structures`."""

    edges: Sequence[NativeEdge] = EDGES
    documented: Mapping[tuple[str, str], str] = {}

    def __init__(self, adapter: Any) -> None:
        self.adapter = adapter

    def ways(self, compile: bool) -> Sequence[Way]:
        return Way("eager"), Way("jit")

    def run(self, case: Case, way: str) -> Mapping[str, Any]:
        from .adapter import _array, _flat, _precision, _weighted

        network, adapter = case.network, self.adapter
        with _precision(case.dtype):
            params, free, rest, d = adapter._arguments(case)
            native = adapter.build(network, case.params, twin=case.twin)

            def err(params: Any, free: Any) -> Any:
                inputs = {**free, **rest}
                y = native.apply(params, inputs if len(inputs) > 1 else next(iter(inputs.values())))
                Div, weights = _weighted(network, native.divergence(y, d), inputs)
                return risk(network, Div, weights), (y, Div)

            gradient = jax.value_and_grad(err, argnums=(0, 1), has_aux=True)
            called = jax.jit(gradient) if way == "jit" else gradient
            (Err, (y, Div)), (by_params, by_inputs) = called(params, free)
            flat = _flat(network, by_params)
            results = {"Err": np.array(Err), DIV: _array(Div)}
            results |= {f"value {network.output}": _array(y)}
            results |= {f"grad {name}": _array(flat[name]) for name in network.trained}
            return results | {f"grad {name}": _array(g) for name, g in by_inputs.items()}
