"""Helpers of the adapters' tests: the frameworks, small cases, comparisons of traces."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

from gradparity.adapters.base import Adapter
from gradparity.core import (
    L2,
    Affine,
    Case,
    CrossEntropy,
    LinearLoss,
    Network,
    Node,
    Tanh,
    Trace,
    layered,
)

FRAMEWORKS = [
    pytest.param(name, marks=pytest.mark.skipif(not find_spec(name), reason=f"no {name}"))
    for name in ("torch", "jax")
]
DTYPES = ("float32", "float64")
U = {"float32": 2.0**-24, "float64": 2.0**-53}

each_framework = pytest.mark.parametrize("name", FRAMEWORKS)
each_dtype = pytest.mark.parametrize("dtype", DTYPES)

#: Inputs at zeros of both signs and away from them, and a gradient of the output for each.
AT_A_KINK = (
    ((0.0, -0.0, 1.5, -1.5), (-0.0, 0.0, -2.0, 2.0)),
    ((1.0, 2.0, -3.0, 5.0), (-1.0, -4.0, 1.0, 7.0)),
)


def gradient_at(
    adapter: Adapter, op: Any, x: Any, d: Any, dtype: str, twin: str = ""
) -> np.ndarray:
    """dx, with the output's gradient d; of the framework's function `twin`, if one is named."""
    x, d = np.array(x, dtype), np.array(d, dtype)
    net = layered([op], LinearLoss(), reduction="sum")
    named = {net.output: twin} if twin else {}
    return adapter.run(Case(net, {}, x, d, twin=named)).grad["x"]


def with_a_named_layer() -> Network:
    """A network whose parameters have the lecture's names, W1 and b1, or their node's."""
    return Network(
        Node("z1", Affine(4, 3), "x"),
        Node("y1", Tanh(), "z1"),
        Node("hidden", Affine(3, 5, bias=False), "y1"),
        divergence=L2(),
    )


def small(dtype: str = "float64", **how: Any) -> Case:
    net = layered([Affine(3, 4), Tanh(), Affine(4, 2)], CrossEntropy(eps=0.01))
    return Case.random(net, batch=5, seed=1, dtype=dtype, **how)


def arrays(trace: Trace) -> dict[Any, np.ndarray]:
    """Every array of a trace under a name of its own."""
    kinds = {"value": trace.value, "grad": trace.grad, "edge": trace.edge_grad}
    return {"Div": trace.Div} | {(k, n): a for k, group in kinds.items() for n, a in group.items()}


def assert_same(a: Trace, b: Trace, units: float = 0.0) -> None:
    """Bitwise the same, or within so many u of the largest element of each tensor."""
    first, second = arrays(a), arrays(b)
    assert list(first) == list(second)
    for key, x in first.items():
        y = second[key]
        assert x.dtype == y.dtype
        if units:
            scale = max(float(np.abs(x).max(initial=0)), float(np.finfo(x.dtype).tiny))
            apart = float(np.abs(x - y).max(initial=0))
            assert apart <= units * U[x.dtype.name] * scale, key
        else:
            np.testing.assert_array_equal(x, y, err_msg=str(key))
    assert a.Err == pytest.approx(b.Err, rel=max(units, 1) * U[first["Div"].dtype.name])
