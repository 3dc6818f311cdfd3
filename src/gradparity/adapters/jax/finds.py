"""Python that shows wrong results of JAX and Optax."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ..finds import Asked, Told, arrays, spaced_call

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
UPSTREAM = {"linalg.norm(": f"{ISSUES}21723", "nn.logsumexp(": f"{ISSUES}6811"}
TOLD: tuple[Told, ...] = ()


class JaxFinds:
    """See `gradparity.adapters.finds.Finds`."""

    package = "jax"
    calls: Mapping[str, str] = CALLS
    told: Sequence[Told] = TOLD
    documented: Mapping[str, str] = DOCUMENTED
    upstream: Mapping[str, str] = UPSTREAM

    def package_of(self, spelling: str) -> str:
        return "optax" if spelling.startswith("optax.") else self.package

    def of_region(self, asked: Asked) -> Iterator[str]:
        call = spaced_call(asked.call, SPACES)
        for one in dict.fromkeys([call, arrays(call, "jnp.full_like")]):
            function = f"lambda x: {one}"
            for jit in ("", "jit "):
                for mode in ("reverse", "forward"):
                    if jit + mode not in asked.modes:
                        continue
                    for n in (0, VECTOR):
                        yield _line(function, asked, jit + mode, n)

    def of_point(self, call: str, point: Sequence[float], dtype: str, mode: str, valid: str) -> str:
        z = ", ".join(_number(p) for p in point)
        slope = "jax.jacfwd" if mode.endswith("forward") else "jax.grad"
        slope = f"{slope}(lambda z: ({call}).sum())"
        slope = f"jax.jit({slope})" if mode.startswith("jit") else slope
        made = f"z = jnp.array([{z}], jnp.{dtype})"
        return f"{_imports(call, dtype)}; {made}; print({slope}(z).tolist(), {valid!r})"


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
    return "import jax, jax.numpy as jnp" + ", optax" * ("optax." in call) + wide


def _number(p: float) -> str:
    return repr(p) if abs(p) < float("inf") else f"float('{p}')"
