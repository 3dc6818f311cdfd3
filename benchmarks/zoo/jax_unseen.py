"""Functions of JAX that were written after all rules, and that none was ever mended for."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from .jax_inputs import Zoo, array, installed, integers

__all__ = ["groups"]


def groups() -> tuple[Callable[[], Zoo], ...]:
    """Plain functions, functions of solvers and of gradients, and layers of libraries."""
    return (_sequences, _science, _representations, _modules)


def _sequences() -> Zoo:
    def llama() -> Any:
        jax, jnp = import_module("jax"), import_module("jax.numpy")
        angles = jnp.arange(6)[:, None] * 10000.0 ** (-jnp.arange(2) / 2)

        def norm(x: Any, g: Any) -> Any:
            return x * jax.lax.rsqrt((x**2).mean(-1, keepdims=True) + 1e-6) * g

        def turned(x: Any) -> Any:
            a, b = jnp.split(x, 2, -1)
            cos, sin = jnp.cos(angles)[:, None], jnp.sin(angles)[:, None]
            return jnp.concatenate([a * cos - b * sin, a * sin + b * cos], -1).astype(x.dtype)

        def f(p: Any) -> Any:
            x = p["tokens"][integers(2, 6, most=9)]
            h = norm(x, p["g"])
            q = turned((h @ p["q"]).reshape(2, 6, 4, 4))
            k = jnp.repeat(turned((h @ p["k"]).reshape(2, 6, 2, 4)), 2, 2)
            v = jnp.repeat((h @ p["v"]).reshape(2, 6, 2, 4), 2, 2)
            x = x + jax.nn.dot_product_attention(q, k, v, is_causal=True).reshape(2, 6, 16)
            return x + (jax.nn.silu(x @ p["gate"]) * (x @ p["up"])) @ p["down"]

        shapes = {"tokens": (9, 16), "g": (16,), "q": (16, 16), "k": (16, 8), "v": (16, 8),
                  "gate": (16, 24), "up": (16, 24), "down": (24, 16)}  # fmt: skip
        return f, {n: 0.3 * array(*s, seed=i) for i, (n, s) in enumerate(shapes.items())}

    def associative() -> Any:
        jax, jnp = import_module("jax"), import_module("jax.numpy")

        def f(p: Any) -> Any:
            x = array(12, 4)
            decay, new = jax.nn.sigmoid(x @ p[0]), jnp.tanh(x @ p[1])
            join = lambda a, b: (a[0] * b[0], a[1] * b[0] + b[1])  # noqa: E731
            return jax.lax.associative_scan(join, (decay, (1 - decay) * new))[1]

        return f, [array(4, 4, seed=i) for i in (3, 4)]

    def viterbi() -> Any:
        jax = import_module("jax")

        def f(p: Any) -> Any:
            emitted = array(7, 5) @ p["emit"]

            def step(a: Any, e: Any) -> Any:
                a = jax.nn.logsumexp(a[:, None] + p["move"], 0) + e
                return a, a.max()

            last, best = jax.lax.scan(step, emitted[0], emitted[1:])
            return jax.nn.logsumexp(last) - best

        return f, {"emit": array(5, 3), "move": array(3, 3, seed=5)}

    def remat() -> Any:
        jax, jnp = import_module("jax"), import_module("jax.numpy")

        def f(p: Any) -> Any:
            @jax.checkpoint
            def layer(x: Any, w: Any) -> Any:
                return x + jnp.tanh(x @ w), x.mean()

            return jax.lax.scan(layer, array(3, 6), p)

        return f, 0.5 * array(4, 6, 6)

    return {"unseen/Llama": llama, "unseen/AssociativeScan": associative,
            "unseen/ForwardAlgorithm": viterbi, "unseen/Remat": remat}  # fmt: skip


def _science() -> Zoo:
    def ode() -> Any:
        jax, jnp = import_module("jax"), import_module("jax.numpy")

        def f(p: Any) -> Any:
            def slope(y: Any, t: Any) -> Any:
                return jnp.tanh(y @ p["a"] + t * p["b"]) @ p["c"]

            def step(y: Any, t: Any) -> Any:
                h = 0.1
                k1 = slope(y, t)
                k2 = slope(y + h / 2 * k1, t + h / 2)
                k3 = slope(y + h / 2 * k2, t + h / 2)
                return y + h / 6 * (k1 + 2 * k2 + 2 * k3 + slope(y + h * k3, t + h)), y

            return jax.lax.scan(step, array(3, 2), jnp.arange(5) * jnp.asarray(0.1, p["b"].dtype))

        return f, {"a": array(2, 8), "b": array(8, seed=2), "c": array(8, 2, seed=3)}

    def pinn() -> Any:
        jax, jnp = import_module("jax"), import_module("jax.numpy")

        def f(p: Any) -> Any:
            def u(x: Any) -> Any:
                return jnp.tanh(jnp.tanh(x * p[0]) @ p[1]) @ p[2]

            return jax.vmap(lambda x: jax.grad(jax.grad(u))(x) + jnp.sin(u(x)))(array(7))

        return f, [array(6), array(6, 6, seed=2), array(6, seed=3)]

    def kalman() -> Any:
        jax, jnp = import_module("jax"), import_module("jax.numpy")

        def f(p: Any) -> Any:
            a, noise = p["a"] * 0.5, jnp.exp(p["noise"])

            def step(state: Any, y: Any) -> Any:
                m, cov = a @ state[0], a @ state[1] @ a.T + jnp.eye(2, dtype=a.dtype)
                s = cov + noise * jnp.eye(2, dtype=a.dtype)
                gain = jnp.linalg.solve(s, cov).T
                miss = y - m
                said = miss @ jnp.linalg.solve(s, miss) + jnp.linalg.slogdet(s)[1]
                return (m + gain @ miss, cov - gain @ cov), said

            start = jnp.zeros(2, a.dtype), jnp.eye(2, dtype=a.dtype)
            return jax.lax.scan(step, start, array(5, 2))[1]

        return f, {"a": array(2, 2), "noise": array()}

    def sinkhorn() -> Any:
        jax, jnp = import_module("jax"), import_module("jax.numpy")

        def f(p: Any) -> Any:
            cost = ((array(5, 3)[:, None] - p) ** 2).sum(-1)

            def step(_: int, uv: Any) -> Any:
                u = -jax.nn.logsumexp(uv[1] - cost, 1)
                return u, -jax.nn.logsumexp(u[:, None] - cost, 0)

            u, v = jax.lax.fori_loop(
                0, 6, step, (jnp.zeros_like(cost[:, 0]), jnp.zeros_like(cost[0]))
            )
            return jnp.exp(u[:, None] + v - cost) * cost

        return f, array(4, 3, seed=6)

    return {"unseen/RungeKutta": ode, "unseen/PINN": pinn, "unseen/Kalman": kalman,
            "unseen/Sinkhorn": sinkhorn}  # fmt: skip


def _representations() -> Zoo:
    def info_nce() -> Any:
        jax, jnp = import_module("jax"), import_module("jax.numpy")

        def f(p: Any) -> Any:
            a, b = array(6, 8) @ p["w"], array(6, 8, seed=3) @ p["w"]
            a, b = (x / jnp.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
            scores = a @ b.T * jnp.exp(p["t"])
            return jnp.diagonal(jax.nn.log_softmax(scores, 0) + jax.nn.log_softmax(scores, 1))

        return f, {"w": array(8, 5), "t": array()}

    def graph() -> Any:
        jax, jnp = import_module("jax"), import_module("jax.numpy")

        def f(p: Any) -> Any:
            at, to = integers(2, 14, most=6)
            x = jnp.tanh(array(6, 4) @ p["w"])
            score = jax.nn.leaky_relu((x[at] * p["a"] + x[to] * p["b"]).sum(-1))
            score = jnp.exp(score - jax.ops.segment_max(score, to, 6)[to])
            share = score / jax.ops.segment_sum(score, to, 6)[to]
            return jax.ops.segment_sum(share[:, None] * x[at], to, 6)

        return f, {"w": array(4, 5), "a": array(5, seed=2), "b": array(5, seed=3)}

    def experts() -> Any:
        jax, jnp = import_module("jax"), import_module("jax.numpy")

        def f(p: Any) -> Any:
            x = array(8, 6)
            share, chosen = jax.lax.top_k(jax.nn.softmax(x @ p["route"]), 2)
            taken = jax.nn.one_hot(chosen, 4, dtype=x.dtype) * share[..., None]
            made = jax.nn.gelu(jnp.einsum("bd,edh->beh", x, p["up"]))
            return jnp.einsum("bke,beh,ehd->bd", taken, made, p["down"])

        return f, {
            "route": array(6, 4),
            "up": array(4, 6, 5, seed=2),
            "down": array(4, 5, 6, seed=3),
        }

    def mixture() -> Any:
        jax, jnp = import_module("jax"), import_module("jax.numpy")

        def f(p: Any) -> Any:
            h = jnp.sin(array(9, 3) @ p["w"]) @ p["v"]
            share, mean, scale = jnp.split(h, 3, -1)
            far = (array(9, 1, seed=4) - mean) / jax.nn.softplus(scale)
            each = jax.nn.log_softmax(share) - 0.5 * far**2 - jnp.log(jax.nn.softplus(scale))
            return -jax.nn.logsumexp(each, -1)

        return f, {"w": array(3, 7), "v": array(7, 12, seed=2)}

    return {"unseen/InfoNCE": info_nce, "unseen/GraphAttention": graph,
            "unseen/TopTwoExperts": experts, "unseen/MixtureDensity": mixture}  # fmt: skip


def _modules() -> Zoo:
    installed("flax", "equinox")

    def autoencoder() -> Any:
        jnp, nnx = import_module("jax.numpy"), import_module("flax.nnx")
        x, dtype = array(3, 8, 8, 2), array().dtype
        how = {"rngs": nnx.Rngs(0), "param_dtype": dtype, "dtype": dtype}
        made = nnx.Sequential(
            nnx.Conv(2, 4, (4, 4), strides=2, **how),
            nnx.GroupNorm(4, num_groups=2, **how),
            nnx.silu,
            nnx.ConvTranspose(4, 2, (4, 4), strides=2, **how),
        )
        graph, params = nnx.split(made)
        return (lambda p: jnp.abs(nnx.merge(graph, p)(x) - x)), params

    def recurrent() -> Any:
        jax, eqx = import_module("jax"), import_module("equinox")
        cells = [eqx.nn.LSTMCell(3, 4, key=jax.random.key(i), dtype=array().dtype) for i in (0, 1)]
        params, static = eqx.partition(cells, eqx.is_inexact_array)
        x = array(6, 3)

        def f(p: Any) -> Any:
            forward, back = eqx.combine(p, static)
            zero = x[:2, 0].sum() * 0 + array(4) * 0

            def run(cell: Any, xs: Any) -> Any:
                return jax.lax.scan(lambda s, v: ((c := cell(v, s)), c[0]), (zero, zero), xs)[1]

            return run(forward, x), run(back, x[::-1])[::-1]

        return f, params

    def attention_pool() -> Any:
        linen = import_module("flax.linen")
        x = array(2, 5, 8)
        model = linen.MultiHeadDotProductAttention(2, param_dtype=x.dtype)
        query = array(2, 1, 8, seed=7)
        params = model.init(import_module("jax").random.key(0), query, x)
        return (lambda p: linen.gelu(model.apply(p, query, x))), params

    return {"unseen/Autoencoder": autoencoder, "unseen/BidirectionalLSTM": recurrent,
            "unseen/AttentionPool": attention_pool}  # fmt: skip
