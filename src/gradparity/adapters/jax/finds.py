"""Python that shows wrong results of JAX and Optax."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from ..finds import (
    Asked,
    AskedOfVector,
    Told,
    arrays,
    begins,
    filled,
    listed,
    spaced_call,
    stacked,
    waited,
)
from ..structures import NativeEdge
from .structured_edges import EDGES

__all__ = ["JaxFinds"]

SPACES = {
    "nn": "jax.nn", "special": "jax.scipy.special", "lax": "jax.lax", "optax": "optax.losses",
}  # fmt: skip
#: Elements of a vector.
VECTOR = 64

CALLS = {
    "linalg.norm(z)": "jnp.linalg.norm(z)",
    "linalg.norm(z) at 0": "jnp.linalg.norm(z)",
    "linalg.norm(z, 3)": "jnp.linalg.norm(z, 3)",
    "linalg.norm(z, 1.5)": "jnp.linalg.norm(z, 1.5)",
    "std((z, 0))": "jnp.std(jnp.stack([z, jnp.zeros_like(z)]), axis=0)",
    "std(z)": "jnp.std(z)",
    "std(z, ddof=1)": "jnp.std(z, ddof=1)",
    "clip(z, 0, 0)": "jnp.clip(z, 0, 0)",
    "nn.squareplus(z, 0)": "jax.nn.squareplus(z, 0)",
    "power(z, array(0))": "jnp.power(z, jnp.zeros_like(z))",
    "scipy.special.ndtri(z)": "jax.scipy.special.ndtri(z)",
    "xlogy(z, z)": "jax.scipy.special.xlogy(z, z)",
    "xlogy(0, z)": "jax.scipy.special.xlogy(0.0, z)",
    "xlog1py(0, z)": "jax.scipy.special.xlog1py(0.0, z)",
    "scipy.special.rel_entr(z, 1/2)": "jax.scipy.special.rel_entr(z, 0.5)",
    "nn.gelu(z), ends": "jax.nn.gelu(z)",
    "nn.gelu(z, False), ends": "jax.nn.gelu(z, approximate=False)",
    "nn.silu(z), ends": "jax.nn.silu(z)",
    "nn.mish(z), ends": "jax.nn.mish(z)",
    "nn.squareplus(z), ends": "jax.nn.squareplus(z)",
    "nn.sparse_plus(z), ends": "jax.nn.sparse_plus(z)",
    "nn.soft_sign(z), ends": "jax.nn.soft_sign(z)",
    "nn.hard_swish(z), ends": "jax.nn.hard_swish(z)",
    "nn.logsumexp(z)": "jax.nn.logsumexp(z)",
    "lax.cumlogsumexp(z)[-1]": "jax.lax.cumlogsumexp(z)[-1]",
    "logaddexp(z1, z2)": "jnp.logaddexp(z[0], z[1])",
    "logaddexp2(z1, z2)": "jnp.logaddexp2(z[0], z[1])",
}
DOCUMENTED = {"linalg.norm(": "NaN where the gradient is not unique works as intended"}
ISSUES = "https://github.com/jax-ml/jax/issues/"
UPSTREAM = {
    "linalg.norm(": f"{ISSUES}21723",
    "nn.logsumexp(": f"{ISSUES}6811",
    "nn.standardize(": f"{ISSUES}37281",
    "nn.tanh(": f"{ISSUES}40388",
    "nn.elu(": f"{ISSUES}39795",
    "nn.selu(": f"{ISSUES}39796",
    "jnp.expm1(": f"{ISSUES}39794",
    "jnp.sinc(": f"{ISSUES}34139",
    "special.i0(": f"{ISSUES}40628",
    "special.loggamma(": f"{ISSUES}21284",
    "std(": f"{ISSUES}11716",
    "optax.softmax_cross_entropy_with_integer_labels(":
        "https://github.com/google-deepmind/optax/issues/1185",
}  # fmt: skip
TOLD = (
    Told("special.exp1(x)", "value", "float32", "(1e-20, 1e-25)", "rare", waited(
        "import jax, jax.numpy as jnp; "
        "f = lambda x: jax.scipy.special.exp1(jnp.array(x, jnp.float32)).tolist()",
        "[1.0, 2.0]", "[1e-20, 1e-25]", "[45.47448622671386, 56.987411640408126]")),
)  # fmt: skip
FAST = "use_fast_variance, on by default, is faster but numerically less stable"
DOCUMENTED |= dict.fromkeys((
    "linen.LayerNorm()", "linen.GroupNorm(1)", "linen.BatchNorm()", "nnx.LayerNorm(16)",
    "nnx.GroupNorm(16, 1)",
), FAST)  # fmt: skip
BARE = "epsilon=1e-5, use_bias=False, use_scale=False"
EQX = "eps=1e-5, use_weight=False, use_bias=False"
#: Functions of a vector as they are called.
OF_VECTORS = {
    "optax.softmax_cross_entropy_with_integer_labels(x, 2)":
        "optax.softmax_cross_entropy_with_integer_labels(x, jnp.asarray(2))",
    "linen.LayerNorm()(x)": f"linen.LayerNorm({BARE}).apply({{}}, x)",
    "linen.LayerNorm(use_fast_variance=False)(x)":
        f"linen.LayerNorm({BARE}, use_fast_variance=False).apply({{}}, x)",
    "linen.GroupNorm(1)(x)": f"linen.GroupNorm(1, {BARE}).apply({{}}, x[None])[0]",
    "linen.BatchNorm()(x)":
        f"linen.BatchNorm(False, {BARE}).apply({{}}, x[:, None], mutable=['batch_stats'])[0][:, 0]",
    "linen.RMSNorm()(x)": "linen.RMSNorm(epsilon=1e-5, use_scale=False).apply({}, x)",
    "nnx.LayerNorm(16)(x)": f"nnx.LayerNorm(16, {BARE}, rngs=nnx.Rngs(0))(x)",
    "nnx.LayerNorm(16, use_fast_variance=False)(x)":
        f"nnx.LayerNorm(16, {BARE}, use_fast_variance=False, rngs=nnx.Rngs(0))(x)",
    "nnx.GroupNorm(16, 1)(x)":
        f"nnx.GroupNorm(16, num_groups=1, {BARE}, rngs=nnx.Rngs(0))(x[None])[0]",
    "nnx.RMSNorm(16)(x)": "nnx.RMSNorm(16, epsilon=1e-5, use_scale=False, rngs=nnx.Rngs(0))(x)",
    "eqx.nn.LayerNorm(16)(x)": f"eqx.nn.LayerNorm(16, {EQX})(x)",
    "eqx.nn.GroupNorm(1)(x)": "eqx.nn.GroupNorm(1, channelwise_affine=False, eps=1e-5)(x)",
    "eqx.nn.RMSNorm(16)(x)": f"eqx.nn.RMSNorm(16, {EQX})(x)",
}  # fmt: skip
#: The beginning of a spelling -> the package, where that is not JAX.
PACKAGES = {"optax.": "optax", "linen.": "flax", "nnx.": "flax", "eqx.": "equinox",
            "keras.": "keras"}  # fmt: skip
#: Python that imports what a call needs beside JAX.
IMPORTS = {
    "optax.": ", optax", "linen.": ", flax.linen as linen", "nnx.": ", flax.nnx as nnx",
    "eqx.": ", equinox as eqx",
    "keras.": "; import os; os.environ['KERAS_BACKEND'] = 'jax'; import keras",
}  # fmt: skip


class JaxFinds:
    """See `gradparity.adapters.finds.Finds`."""

    package = "jax"
    calls: Mapping[str, str] = CALLS
    told: Sequence[Told] = TOLD
    structured: Mapping[tuple[str, str], Told] = {}
    edges: Sequence[NativeEdge] = EDGES
    written: Collection[str] = ()
    documented: Mapping[str, str] = DOCUMENTED
    upstream: Mapping[str, str] = UPSTREAM

    def package_of(self, spelling: str) -> str:
        return begins(spelling, PACKAGES) or self.package

    def of_region(self, asked: Asked) -> Iterator[str]:
        call = spaced_call(asked.call, SPACES)
        for one in dict.fromkeys([call, arrays(call, "jnp.full_like")]):
            function = f"lambda x: {stacked(one, 'jnp.stack', 'jnp.full_like')}"
            for jit in ("", "jit "):
                for mode in ("reverse", "forward"):
                    if jit + mode not in asked.modes:
                        continue
                    for n in (0, VECTOR):
                        yield _line(function, asked, jit + mode, n)

    def of_vector(self, asked: AskedOfVector) -> Iterator[str]:
        call = OF_VECTORS.get(asked.call) or spaced_call(asked.call, SPACES)
        kind = f"jnp.{asked.dtype}"
        w = f"jnp.array({[*asked.weights]}, {kind})"
        function = f"lambda x: {call.replace(', w)', f', {w})')}"
        made = f"x = {filled(asked.numbers, 'jnp.array', 'jnp.full', kind)})"
        got = f"({function})"
        if asked.quantity == "derivative":
            weighted = f"jax.vjp({function}, x)[1]({w})[0]"
            got = f"(lambda x: {weighted})" if asked.several else f"jax.grad({function})"
        last = "" if asked.element is None else f"[{asked.element}]"
        for mode in ("reverse", "jit reverse"):
            if mode in asked.modes:
                one = f"jax.jit({got})(x)" if mode.startswith("jit") else f"{got}(x)"
                one = one if one != f"({function})(x)" else function.removeprefix("lambda x: ")
                yield (f"{_imports(function, asked.dtype)}; {made}; "
                       f"print({one}{last}.item(), {asked.true})")  # fmt: skip

    def of_edge(self, call: str, arrays: Mapping[str, Any], truth: str) -> str:
        made = "; ".join(f"{name} = {_array(a)}" for name, a in arrays.items())
        return f"{_imports(call, 'float32')}; {made}; print({call}.tolist(), {truth!r})"

    def of_point(self, call: str, point: Sequence[float], dtype: str, mode: str, valid: str) -> str:
        z = ", ".join(_number(p) for p in point)
        slope = "jax.jacfwd" if mode.endswith("forward") else "jax.grad"
        slope = f"{slope}(lambda z: ({call}).sum())"
        slope = f"jax.jit({slope})" if mode.startswith("jit") else slope
        made = f"z = jnp.array([{z}], jnp.{dtype})"
        return f"{_imports(call, dtype)}; {made}; print({slope}(z).tolist(), {valid!r})"


def _array(a: Any) -> str:
    return f"jnp.array({listed(a)})" if a.size else f"jnp.zeros({a.shape})"


def _line(function: str, asked: Asked, mode: str, n: int) -> str:
    shape = f"({n},)" if n else "()"
    made = f"x = jnp.full({shape}, {asked.at}, jnp.{asked.dtype})"
    if asked.quantity == "value":
        got = f"({function})"
    elif mode.endswith("forward"):
        got = f"(lambda x: jax.jvp({function}, (x,), (jnp.ones_like(x),))[1])"
    elif n:
        got = f"jax.grad(lambda x: ({function})(x).sum())"
    else:
        got = f"jax.grad({function})"
    got = f"jax.jit({got})(x)" if mode.startswith("jit") else f"{got}(x)"
    if got == f"({function})(x)":
        got = function.removeprefix("lambda x: ")
    last = "[0]" if n else ""
    return f"{_imports(function, asked.dtype)}; {made}; print({got}{last}.item(), {asked.true})"


def _imports(call: str, dtype: str) -> str:
    wide = "; jax.config.update('jax_enable_x64', True)" if dtype == "float64" else ""
    others = "".join(more for name, more in IMPORTS.items() if name in call)
    return f"import jax, jax.numpy as jnp{others}{wide}"


def _number(p: float) -> str:
    return repr(p) if abs(p) < float("inf") else f"float('{p}')"
