"""Record the gradient of a JAX function, beside the plain gradient."""

from __future__ import annotations

import os
import time
from collections import Counter
from typing import Any

from .discrepancies import discrepancy_of
from .run import Result, in_a_line, why

__all__ = ["measure"]

#: Set before JAX is imported: one thread, and the backend of Keras.
SETTINGS = {
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
    "NPROC": "1",
    "KERAS_BACKEND": "jax",
    "JAX_PLATFORMS": "cpu",
}


def measure(name: str, dtype: str, build: Any) -> Result:
    """Run the plain function and the recorded one, each with the time to compile it."""
    os.environ.update(SETTINGS)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[-1]})
    import jax

    with jax.enable_x64(dtype == "float64"):
        return _measured(name, dtype, build)


def _measured(name: str, dtype: str, build: Any) -> Result:
    import jax
    import jax.numpy as jnp
    import numpy as np

    import gradparity as gp

    f, params = build()
    rng = np.random.default_rng(0)

    def drawn(x: Any) -> Any:
        """A leaf with noise: behind weights that begin at zero every gradient is zero."""
        if not jnp.issubdtype(jnp.result_type(x), jnp.floating):
            return x
        return jnp.asarray(np.asarray(x) + 0.05 * rng.standard_normal(np.shape(x)), dtype)

    def loss(params: Any) -> Any:
        outs = [o for o in jax.tree.leaves(f(params)) if jnp.issubdtype(o.dtype, jnp.floating)]
        return sum(
            jnp.mean(jnp.sin(7 * jnp.arange(o.size) + 1).reshape(o.shape).astype(o.dtype) * o)
            for o in outs
        )

    params = jax.tree.map(drawn, params)
    start = time.perf_counter()
    want = jax.block_until_ready(jax.jit(jax.value_and_grad(loss, allow_int=True))(params))[1]
    plain = time.perf_counter() - start
    start = time.perf_counter()
    recording: Any = gp.record(loss, params)
    found = gp.check(recording).runs[0].findings
    wall = time.perf_counter() - start
    wrong = [g for g in found if g.parity is False]
    known = [discrepancy_of("jax", recording.places[g.node].function, _format(g, dtype), g.note)
             if g.node in recording.places else None for g in wrong]  # fmt: skip
    nearest = max((g for g in found if g.bound and g.parity is True),
                  key=lambda g: g.error / g.bound, default=None)  # fmt: skip
    plain_leaves = [x for x in jax.tree.leaves(want) if jnp.issubdtype(x.dtype, jnp.floating)]
    got = [total.got for total in recording.leaves.values()]
    by_shape = Counter(np.asarray(x).tobytes() for x in plain_leaves if np.any(x))
    by_shape.subtract(Counter(np.asarray(x).tobytes() for x in got if np.any(x)))
    return Result(
        name,
        dtype,
        nodes=len(recording.places),
        results=sum(1 for g in found if g.elements),
        unjudged=dict(Counter(why(u) for u in recording.unjudged)),
        alarms=[in_a_line(g) for g, k in zip(wrong, known, strict=True) if k is None],
        known=dict(Counter(k.function for k in known if k)),
        unknown=[in_a_line(g) for g in found if g.verdict == "inconclusive" and g.elements],
        same=not any(by_shape.values()),
        share=nearest.error / nearest.bound if nearest else 0.0,
        sharpest=f"{nearest.op}: {in_a_line(nearest)}" if nearest else "",
        seconds=plain,
        ratio=wall / plain,
    )


def _format(finding: Any, dtype: str) -> str:
    """The number format of a finding: that of the function unless it names a coarser one."""
    return "bfloat16" if "bfloat16" in finding.note else dtype
