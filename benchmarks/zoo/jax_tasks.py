"""Losses of common tasks in plain JAX: contrast, diffusion, reinforcement, labels, equilibria."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from .jax_inputs import Zoo, array, installed, integers, key

__all__ = ["groups"]


def groups() -> tuple[Callable[[], Zoo], ...]:
    """The functions; a group fails where a library is not installed."""
    return (_learning, _structure, _numerics)


def _learning() -> Zoo:
    def modules() -> tuple[Any, Any]:
        return import_module("jax"), import_module("jax.numpy")

    def contrastive() -> Any:
        """Images and texts, each to find its partner."""
        jax, jnp = modules()

        def f(p: Any) -> Any:
            images, texts = array(6, 5) @ p["image"], array(6, 4, seed=2) @ p["text"]
            images = images / jnp.linalg.norm(images, axis=1, keepdims=True)
            texts = texts / jnp.linalg.norm(texts, axis=1, keepdims=True)
            logits = jnp.exp(p["scale"]) * images @ texts.T
            each = [jnp.diagonal(jax.nn.log_softmax(logits, axis)) for axis in (0, 1)]
            return -(each[0] + each[1]) / 2

        return f, {"image": array(5, 3), "text": array(4, 3), "scale": array()}

    def diffusion() -> Any:
        jax, jnp = modules()

        def f(p: Any) -> Any:
            x, noise, t = array(4, 6), array(4, 6, seed=5), integers(4, most=50)
            kept = jnp.cumprod(1 - jnp.linspace(1e-4, 0.05, 50))[t][:, None]
            noisy = jnp.sqrt(kept) * x + jnp.sqrt(1 - kept) * noise
            angle = t[:, None] * jnp.exp(-jnp.arange(4) / 2)
            when = jnp.concatenate([jnp.sin(angle), jnp.cos(angle)], 1).astype(x.dtype)
            h = jax.nn.silu(noisy @ p["in"] + when @ p["time"])
            return jnp.minimum(1 / (1 - kept), 5.0) * (h @ p["out"] - noise) ** 2

        return f, {"in": array(6, 8), "time": array(8, 8), "out": array(8, 6)}

    def critic() -> Any:
        """A critic with a penalty of its gradient: a derivative of a derivative."""
        jax, jnp = modules()

        def f(p: Any) -> Any:
            def score(x: Any) -> Any:
                return (jax.nn.softplus(x @ p["w"] + p["b"]) @ p["v"])[0]

            real, fake = array(5, 3), array(5, 3, seed=2)
            slope = jax.vmap(jax.grad(score))(0.3 * real + 0.7 * fake)
            penalty = (jnp.sqrt((slope**2).sum(1) + 1e-8) - 1) ** 2
            return jax.vmap(score)(fake) - jax.vmap(score)(real) + 10 * penalty

        return f, {"w": array(3, 8), "b": array(8), "v": array(8, 1)}

    def dqn() -> Any:
        """Double Q-learning: a target that is stopped, a Huber loss, actions gathered."""
        jax, jnp = modules()
        installed("optax")

        def f(p: Any) -> Any:
            def q(w: Any, s: Any) -> Any:
                return jax.nn.relu(s @ w[0]) @ w[1]

            s, after, a = array(6, 4), array(6, 4, seed=3), integers(6, most=3)
            fixed = [array(4, 8, seed=7), array(8, 3, seed=8)]
            best = q(p, after).argmax(-1)[:, None]
            target = array(6, seed=9) + 0.9 * jnp.take_along_axis(q(fixed, after), best, 1)[:, 0]
            error = q(p, s)[jnp.arange(6), a] - jax.lax.stop_gradient(target)
            return import_module("optax").huber_loss(error)

        return f, [array(4, 8), array(8, 3)]

    def ppo() -> Any:
        """Clipped ratios, advantages by a reversed scan, an entropy bonus and a value loss."""
        jax, jnp = modules()

        def f(p: Any) -> Any:
            s, a, reward = array(7, 4), integers(7, most=3), array(7, seed=4)
            value = jnp.tanh(s @ p["value"])[:, 0]
            fixed = jax.lax.stop_gradient(value)
            delta = reward + 0.9 * jnp.append(fixed[1:], 0) - fixed

            def back(c: Any, d: Any) -> Any:
                return d + 0.8 * c, d + 0.8 * c

            gain = jax.lax.scan(back, jnp.zeros((), s.dtype), delta, reverse=True)[1]
            log = jax.nn.log_softmax(jnp.tanh(s @ p["policy"]))
            ratio = jnp.exp(log[jnp.arange(7), a] + 1.1)
            surrogate = jnp.minimum(ratio * gain, jnp.clip(ratio, 0.8, 1.2) * gain)
            entropy = -(jnp.exp(log) * log).sum(-1)
            return -surrogate + 0.5 * (value - fixed - gain) ** 2 - 0.01 * entropy

        return f, {"policy": array(4, 3), "value": array(4, 1)}

    def adapted() -> Any:
        """Meta-learning: the loss after two steps of gradient descent."""
        jax, jnp = modules()

        def f(p: Any) -> Any:
            def loss(p: Any, x: Any, y: Any) -> Any:
                return ((jnp.tanh(x @ p["a"]) @ p["b"] - y) ** 2).mean()

            for _ in range(2):
                slope = jax.grad(loss)(p, array(4, 3), array(4, 1))
                p = jax.tree.map(lambda w, d: w - 0.1 * d, p, slope)
            return loss(p, array(4, 3, seed=6), array(4, 1, seed=6))

        return f, {"a": array(3, 5), "b": array(5, 1)}

    def private() -> Any:
        """Losses of every sample by themselves, the largest few of them weighted down."""
        jax, jnp = modules()

        def f(p: Any) -> Any:
            def one(x: Any, y: Any) -> Any:
                return jax.nn.logsumexp(x @ p) - (x @ p)[y]

            each = jax.vmap(one)(array(6, 4), integers(6, most=3))
            return each * jax.lax.stop_gradient(jnp.minimum(1, 1 / each))

        return f, array(4, 3)

    return {
        "plain/Contrastive": contrastive, "plain/Diffusion": diffusion, "plain/Critic": critic,
        "plain/DQN": dqn, "plain/PPO": ppo, "plain/MetaLearning": adapted,
        "plain/PerSample": private,
    }  # fmt: skip


def _structure() -> Zoo:
    def modules() -> tuple[Any, Any]:
        return import_module("jax"), import_module("jax.numpy")

    def labelling() -> Any:
        """A conditional random field: forward scores by a scan, minus those of the labels."""
        jax, jnp = modules()

        def f(p: Any) -> Any:
            emitted, tags = array(7, 5) @ p["emit"], integers(7, most=4)

            def step(a: Any, e: Any) -> Any:
                return jax.nn.logsumexp(a[:, None] + p["move"], 0) + e, None

            total = jax.nn.logsumexp(jax.lax.scan(step, emitted[0], emitted[1:])[0])
            path = emitted[jnp.arange(7), tags].sum() + p["move"][tags[:-1], tags[1:]].sum()
            return total - path

        return f, {"emit": array(5, 4), "move": array(4, 4)}

    def attended() -> Any:
        """Attention over a graph: softmax over the edges of each node."""
        jax, _ = modules()

        def f(p: Any) -> Any:
            ends = integers(2, 14, most=5)
            h = array(5, 4) @ p["w"]
            score = jax.nn.leaky_relu(h[ends[0]] @ p["a"] + h[ends[1]] @ p["b"], 0.2)
            most = jax.lax.stop_gradient(jax.ops.segment_max(score, ends[1], 5))
            score = jax.numpy.exp(score - most[ends[1]])
            total = jax.ops.segment_sum(score, ends[1], 5)
            return jax.ops.segment_sum((score / total[ends[1]])[:, None] * h[ends[0]], ends[1], 5)

        return f, {"w": array(4, 6), "a": array(6), "b": array(6, seed=2)}

    def masked() -> Any:
        """Attention with lengths, a bias of distance and a window."""
        jax, jnp = modules()

        def f(p: Any) -> Any:
            q, k, v = (jnp.einsum("btd,dhe->bhte", array(2, 6, 8), w) for w in p["qkv"])
            at = jnp.arange(6)
            inside = (abs(at[:, None] - at) < 3) & (at < jnp.array([6, 4])[:, None, None, None])
            far = abs(at[:, None] - at) * jnp.exp(p["slope"])[:, None, None]
            logits = jnp.einsum("bhte,bhse->bhts", q, k) / 2 - far
            weights = jax.nn.softmax(jnp.where(inside, logits, -1e9))
            return jnp.einsum("bhts,bhse->bthe", weights, v)

        return f, {"qkv": [array(8, 2, 4, seed=i) for i in range(3)], "slope": array(2)}

    def selective() -> Any:
        """A selective state space by an associative scan, and a gated output."""
        jax, jnp = modules()

        def f(p: Any) -> Any:
            x = array(8, 3)
            step = jax.nn.softplus(x @ p["step"])
            decay = jnp.exp(-step[..., None] * jnp.exp(p["log_a"]))
            into = (step * x)[..., None] * (x @ p["b"])[:, None]

            def both(a: Any, b: Any) -> Any:
                return a[0] * b[0], b[0] * a[1] + b[1]

            h = jax.lax.associative_scan(both, (decay, into))[1]
            return jnp.einsum("tdn,tn->td", h, x @ p["c"]) * jax.nn.silu(x)

        return f, {"step": array(3, 3), "log_a": array(3, 4), "b": array(3, 4), "c": array(3, 4)}

    def linear_attention() -> Any:
        """Attention with a state that decays, step by step."""
        jax, jnp = modules()

        def f(p: Any) -> Any:
            q, k, v = (array(9, 5) @ w for w in p["qkv"])
            kept = jax.nn.sigmoid(p["decay"])

            def step(state: Any, qkv: Any) -> Any:
                q, k, v = qkv
                state = kept[:, None] * state + jnp.outer(jax.nn.elu(k) + 1, v)
                return state, (jax.nn.elu(q) + 1) @ state

            return jax.lax.scan(step, jnp.zeros((4, 4), q.dtype), (q, k, v))[1]

        return f, {"qkv": [array(5, 4, seed=i) for i in range(3)], "decay": array(4)}

    return {
        "plain/CRF": labelling, "plain/GraphAttention": attended, "plain/Masked": masked,
        "plain/SelectiveScan": selective, "plain/LinearAttention": linear_attention,
    }  # fmt: skip


def _numerics() -> Zoo:
    def modules() -> tuple[Any, Any]:
        return import_module("jax"), import_module("jax.numpy")

    def equilibrium() -> Any:
        """A fixed point, differentiated by the implicit function theorem."""
        jax, jnp = modules()

        def f(p: Any) -> Any:
            x = array(4)

            def off(z: Any) -> Any:
                return jnp.tanh(0.1 * p["w"] @ z + p["u"] @ x) - z

            def solve(g: Any, z: Any) -> Any:
                return jax.lax.fori_loop(0, 60, lambda _, z: z + g(z), z)

            def linear(g: Any, y: Any) -> Any:
                return jnp.linalg.solve(jax.jacobian(g)(y), y)

            return jax.lax.custom_root(off, jnp.zeros(4, x.dtype), solve, linear)

        return f, {"w": array(4, 4), "u": array(4, 4, seed=3)}

    def quantised() -> Any:
        """Weights of eight levels, with the gradient of the identity."""
        jax, jnp = modules()

        def f(p: Any) -> Any:
            scale = abs(p["w"]).max() / 4
            w = p["w"] / scale
            w = scale * (w + jax.lax.stop_gradient(jnp.clip(jnp.round(w), -4, 3) - w))
            return jnp.tanh(array(3, 5) @ w) @ p["v"]

        return f, {"w": array(5, 6), "v": array(6, 2)}

    def recomputed() -> Any:
        """Layers recomputed in the backward pass, each by another policy."""
        jax, jnp = modules()

        def f(p: Any) -> Any:
            policies = jax.checkpoint_policies
            kept = (policies.nothing_saveable, policies.everything_saveable,
                    policies.save_only_these_names("inner"))  # fmt: skip

            def layer(x: Any, w: Any) -> Any:
                inner = jax.ad_checkpoint.checkpoint_name(x @ w, "inner")
                return x + jnp.sin(inner) * jax.nn.sigmoid(inner)

            x = array(3, 6)
            for w, policy in zip(p, kept, strict=True):
                x = jax.checkpoint(layer, policy=policy)(x, w)
            return x

        import_module("jax.ad_checkpoint")
        return f, [array(6, 6, seed=i) for i in range(3)]

    def mixed() -> Any:
        """bfloat16 products with sums in float32, and a loss that is scaled up."""
        jax, jnp = modules()

        def f(p: Any) -> Any:
            x = array(4, 6).astype(jnp.bfloat16)
            for w in p:
                w = w.astype(jnp.bfloat16)
                x = jnp.matmul(x, w, preferred_element_type=jnp.float32)
                x = jax.nn.relu(x).astype(jnp.bfloat16)
            return 128 * jax.nn.log_softmax(x.astype(jnp.float32))

        return f, [array(6, 8), array(8, 3)]

    def ode() -> Any:
        """A neural ODE by four slopes a step, with its own time."""
        jax, jnp = modules()

        def f(p: Any) -> Any:
            def slope(t: Any, y: Any) -> Any:
                return jnp.tanh(y @ p["a"] + t * p["t"]) @ p["b"]

            def step(y: Any, t: Any) -> Any:
                k1 = slope(t, y)
                k2 = slope(t + 0.05, y + 0.05 * k1)
                k3 = slope(t + 0.05, y + 0.05 * k2)
                k4 = slope(t + 0.1, y + 0.1 * k3)
                return y + (0.1 / 6) * (k1 + 2 * k2 + 2 * k3 + k4), None

            return jax.lax.scan(step, array(2, 3), jnp.arange(6) * 0.1)[0]

        return f, {"a": array(3, 6), "b": array(6, 3), "t": array(6)}

    def transport() -> Any:
        """Optimal transport by Sinkhorn's iteration in logarithms."""
        jax, jnp = modules()

        def f(p: Any) -> Any:
            x, y = array(5, 3) @ p, array(6, 2, seed=4)
            cost = ((x[:, None] - y) ** 2).sum(-1)

            def step(fg: Any, _: Any) -> Any:
                a, b = fg
                a = -jax.nn.logsumexp(b - cost - jnp.log(6.0), 1)
                b = -jax.nn.logsumexp(a[:, None] - cost - jnp.log(5.0), 0)
                return (a, b), None

            zero = jnp.zeros(5, x.dtype), jnp.zeros(6, x.dtype)
            a, b = jax.lax.scan(step, zero, None, length=8)[0]
            return cost * jnp.exp(a[:, None] + b - cost)

        return f, array(3, 2)

    def hamiltonian() -> Any:
        """A network whose gradient moves a state, by leapfrog steps."""
        jax, jnp = modules()

        def f(p: Any) -> Any:
            def energy(q: Any) -> Any:
                return jax.nn.softplus(q @ p["a"]) @ p["b"]

            def step(state: Any, _: Any) -> Any:
                q, v = state
                v = v - 0.05 * jax.grad(energy)(q)
                q = q + 0.1 * v
                return (q, v - 0.05 * jax.grad(energy)(q)), jnp.dot(v, v)

            return jax.lax.scan(step, (array(3), array(3, seed=2)), None, length=5)

        return f, {"a": array(3, 6), "b": array(6)}

    def dropped() -> Any:
        """Noise by a key that is split: dropout and Gumbel-softmax."""
        jax, _ = modules()

        def f(p: Any) -> Any:
            first, second = jax.random.split(key(4))
            x = array(4, 6) * jax.random.bernoulli(first, 0.7, (4, 6)) / 0.7
            logits = x @ p["logits"]
            soft = jax.nn.softmax((logits + jax.random.gumbel(second, logits.shape)) / 0.5)
            hard = jax.nn.one_hot(soft.argmax(-1), 3, dtype=soft.dtype)
            return (hard + soft - jax.lax.stop_gradient(soft)) @ p["values"]

        return f, {"logits": array(6, 3), "values": array(3, 5)}

    return {
        "plain/Equilibrium": equilibrium, "plain/Quantised": quantised, "plain/Remat": recomputed,
        "plain/Bfloat16": mixed, "plain/RungeKutta": ode, "plain/Sinkhorn": transport,
        "plain/Hamiltonian": hamiltonian, "plain/Gumbel": dropped,
    }  # fmt: skip
