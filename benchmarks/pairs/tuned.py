"""The pairs that the comparison was tuned on."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from torch import nn

from .pair import (
    Fault,
    Pair,
    Pairs,
    array,
    conv,
    dense,
    hwio,
    jax_side,
    norm_of,
    normal,
    stirred,
    tensor,
    torch_side,
)

F = nn.functional

__all__ = ["PAIRS"]

PAIRS = Pairs()
pair = PAIRS.add


# ---- the fifteen cases ----------------------------------------------------------------------


class CNN(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.c1, self.bn = nn.Conv2d(3, 8, 3, stride=2, padding=1), nn.BatchNorm2d(8)
        self.c2, self.fc, self.out = (
            nn.Conv2d(8, 8, 3, padding=1),
            nn.Linear(128, 16),
            nn.Linear(16, 16),
        )

    def forward(self, x: Any) -> Any:
        x = torch.relu(self.bn(self.c1(x)))
        x = F.max_pool2d(F.gelu(self.c2(x)), 2)
        return self.out(torch.tanh(self.fc(x.flatten(1))))


@pair
def cnn() -> Pair:
    torch.manual_seed(0)
    m, x, c = stirred(CNN()), normal(4, 3, 16, 16), normal(4, 16, seed=1)
    params = {
        "c1": hwio(m.c1),
        "bn": norm_of(m.bn),
        "c2": hwio(m.c2),
        "fc": dense(m.fc),
        "out": dense(m.out),
    }

    def port(p: Any, fault: str) -> Any:
        x1 = jnp.asarray(x.transpose(0, 2, 3, 1))
        x1 = conv(x1, p["c1"]["w"], 2, "SAME" if fault == "SAME" else [(1, 1), (1, 1)])
        x1 = x1 if fault == "bias before a norm" else x1 + p["c1"]["b"]
        mean, v = x1.mean((0, 1, 2)), x1.var((0, 1, 2))
        inv = jax.lax.rsqrt(v + (1e-6 if fault == "eps" else 1e-5))
        x1 = jax.nn.relu((x1 - mean) * inv * p["bn"]["scale"] + p["bn"]["bias"])
        x1 = jax.nn.gelu(
            conv(x1, p["c2"]["w"], 1, "SAME") + p["c2"]["b"], approximate=fault == "gelu"
        )
        x1 = jax.lax.reduce_window(x1, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
        x1 = (x1 if fault == "flatten" else x1.transpose(0, 3, 1, 2)).reshape(len(x1), -1)
        x1 = jnp.tanh(x1 @ p["fc"]["w"] + p["fc"]["b"])
        return x1 @ (p["out"]["w"].T if fault == "transpose" else p["out"]["w"]) + p["out"]["b"]

    return Pair(
        lambda: torch_side(lambda m: (m(tensor(x)) * tensor(c)).sum(), m),
        lambda fault: jax_side(lambda p: (port(p, fault) * c).sum(), params),
        {
            "gelu": Fault("gelu|GELU", "approximate|tanh"),
            "eps": Fault("batch_norm|BatchNorm", "1e-06|1e-6"),
            "transpose": Fault("addmm_2|dot_general_2", "transposed"),
            "SAME": Fault("convolution_1|conv", "padding"),
            "flatten": Fault("addmm_1|dot_general_1", "flatten|order"),
        },
        ("bias before a norm",),
    )


class Block(nn.Module):
    def __init__(self, d: int = 16, h: int = 4) -> None:
        super().__init__()
        self.h, self.ln1, self.ln2 = h, nn.LayerNorm(d), nn.LayerNorm(d)
        self.qkv, self.proj = nn.Linear(d, 3 * d), nn.Linear(d, d)
        self.up, self.down = nn.Linear(d, 4 * d), nn.Linear(4 * d, d)

    def forward(self, x: Any) -> Any:
        b, t, d = x.shape
        q, k, v = self.qkv(self.ln1(x)).view(b, t, 3, self.h, d // self.h).permute(2, 0, 3, 1, 4)
        a = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.proj(a.transpose(1, 2).reshape(b, t, d))
        return x + self.down(F.gelu(self.up(self.ln2(x))))


def layer_norm(x: Any, p: Any, eps: float) -> Any:
    m = x.mean(-1, keepdims=True)
    return (x - m) / jnp.sqrt(((x - m) ** 2).mean(-1, keepdims=True) + eps) * p["scale"] + p["bias"]


@pair
def block() -> Pair:
    torch.manual_seed(0)
    m, x, c, d, h = stirred(Block()), normal(2, 6, 16), normal(2, 6, 16, seed=1), 16, 4
    w, b = array(m.qkv.weight), array(m.qkv.bias)
    heads = {
        name: {
            "w": w[i * d : (i + 1) * d].T.reshape(d, h, -1),
            "b": b[i * d : (i + 1) * d].reshape(h, -1),
        }
        for i, name in enumerate("qkv")
    }
    params = {
        "ln1": norm_of(m.ln1),
        "ln2": norm_of(m.ln2),
        **heads,
        "proj": dense(m.proj),
        "up": dense(m.up),
        "down": dense(m.down),
    }

    def port(p: Any, fault: str) -> Any:
        x1, t, eps = jnp.asarray(x), 6, 1e-6 if fault == "eps" else 1e-5
        y = layer_norm(x1, p["ln1"], eps)
        q, k, v = (jnp.einsum("btd,dhc->bthc", y, p[n]["w"]) + p[n]["b"] for n in "qkv")
        if fault == "swap":
            q, k = k, q
        s = jnp.einsum("bthc,bshc->bhts", q, k) / (1.0 if fault == "scale" else np.sqrt(d // h))
        s = jnp.where(np.tril(np.ones((t, t), bool)) if fault != "mask" else True, s, -jnp.inf)
        a = jnp.einsum("bhts,bshc->bthc", jax.nn.softmax(s, axis=-1), v).reshape(2, t, d)
        w = p["proj"]["w"].T if fault == "transpose" else p["proj"]["w"]
        x1 = x1 + a @ w + (0 if fault == "bias" else p["proj"]["b"])
        y = layer_norm(x1, p["ln2"], eps) @ p["up"]["w"] + p["up"]["b"]
        return x1 + jax.nn.gelu(y, approximate=fault == "gelu") @ p["down"]["w"] + p["down"]["b"]

    return Pair(
        lambda: torch_side(lambda m: (m(tensor(x)) * tensor(c)).sum(), m),
        lambda fault: jax_side(lambda p: (port(p, fault) * c).sum(), params),
        {
            "gelu": Fault("gelu|GELU", "approximate|tanh"),
            "eps": Fault("layer_norm_1|LayerNorm", "1e-06|1e-6"),
            "transpose": Fault("addmm_2|dot_general", "transposed"),
            "bias": Fault("addmm_2|add", "bias|left out|not applied|skipped"),
            "swap": Fault("attention|dot_general", "exchanged|order"),
            "scale": Fault("attention|div", "scale|skipped|left out|times"),
            "mask": Fault("attention|where|select", "causal|mask|skipped|left out"),
        },
    )


# ---- pairs that nothing was tuned on ----------------------------------------------------------


class UNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.down, self.norm = nn.Conv2d(2, 4, 3, padding=1), nn.GroupNorm(2, 4)
        self.mid, self.up = nn.Conv2d(4, 8, 3, padding=1), nn.ConvTranspose2d(8, 4, 2, stride=2)
        self.out = nn.Conv2d(8, 2, 3, padding=1)

    def forward(self, x: Any) -> Any:
        skip = F.silu(self.norm(self.down(x)))
        x = F.silu(self.mid(F.max_pool2d(skip, 2)))
        return self.out(torch.cat([skip, self.up(x)], 1))


@pair
def unet() -> Pair:
    m, x, c = stirred(UNet()), normal(2, 2, 8, 8), normal(2, 2, 8, 8, seed=1)
    up = {"w": array(m.up.weight).transpose(2, 3, 0, 1), "b": array(m.up.bias)}  # H W I O
    params = {
        "down": hwio(m.down),
        "norm": norm_of(m.norm),
        "mid": hwio(m.mid),
        "up": up,
        "out": hwio(m.out),
    }

    def port(p: Any, fault: str) -> Any:
        def same(x: Any, q: Any) -> Any:
            return conv(x, q["w"], 1, "SAME") + q["b"]

        y = same(jnp.asarray(x.transpose(0, 2, 3, 1)), p["down"]).reshape(2, 8, 8, 2, 2)
        mean, var = y.mean((1, 2, 4), keepdims=True), y.var((1, 2, 4), keepdims=True)
        y = ((y - mean) / jnp.sqrt(var + (1e-3 if fault == "eps" else 1e-5))).reshape(2, 8, 8, 4)
        skip = jax.nn.silu(y * p["norm"]["scale"] + p["norm"]["bias"])
        y = jax.lax.reduce_window(skip, -jnp.inf, jax.lax.max, (1, 2, 2, 1), (1, 2, 2, 1), "VALID")
        y = jax.nn.silu(same(y, p["mid"]))
        w = p["up"]["w"] if fault == "mirrored" else p["up"]["w"][::-1, ::-1]
        y = jax.lax.conv_transpose(
            y, w, (2, 2), "VALID", dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
        y = y + p["up"]["b"]
        return same(jnp.concatenate([y, skip] if fault == "concat" else [skip, y], -1), p["out"])

    ct = c.transpose(0, 2, 3, 1)
    return Pair(
        lambda: torch_side(lambda m: (m(tensor(x)) * tensor(c)).sum(), m),
        lambda fault: jax_side(lambda p: (port(p, fault) * ct).sum(), params),
        {
            "eps": Fault("group_norm|GroupNorm", "0.001|1e-03|1e-3"),
            "mirrored": Fault("convolution_3|ConvTranspose|conv", "mirrored|flipped"),
            "concat": Fault("convolution_4|cat|conv", "order|exchanged"),
        },
    )


@pair
def lstm() -> Pair:
    m, x, c = stirred(nn.LSTM(3, 4)), normal(5, 2, 3), normal(5, 2, 4, seed=1)
    n = dict(m.named_parameters())
    params = {
        "wi": array(n["weight_ih_l0"]).T, "wh": array(n["weight_hh_l0"]).T,
        "b": array(n["bias_ih_l0"] + n["bias_hh_l0"]),
    }  # fmt: skip

    def port(p: Any, fault: str) -> Any:
        def step(carry: Any, x1: Any) -> Any:
            h, s = carry
            h = jax.lax.stop_gradient(h) if fault == "truncated" else h
            z = x1 @ p["wi"] + h @ p["wh"] + (0.0 if fault == "bias" else p["b"])
            i, f, g, o = jnp.split(z, 4, -1)
            if fault == "gates":
                f, g = g, f
            s = jax.nn.sigmoid(f) * s + jax.nn.sigmoid(i) * jnp.tanh(g)
            h = jax.nn.sigmoid(o) * jnp.tanh(s)
            return (h, s), h

        zero = jnp.zeros((2, 4))
        return jax.lax.scan(step, (zero, zero), jnp.asarray(x))[1]

    return Pair(
        lambda: torch_side(lambda m: (m(tensor(x))[0] * tensor(c)).sum(), m),
        lambda fault: jax_side(lambda p: (port(p, fault) * c).sum(), params),
        {
            "bias": Fault("lstm|LSTM|add", "bias|left out|b_ih|skipped"),
            "gates": Fault(
                "lstm|LSTM|sigmoid|split|slice|logistic|tanh", "gates|exchanged|instead"
            ),
            "truncated": Fault("lstm|LSTM|dot_general|weight_hh", "gradient"),
        },
    )


@pair
def gru() -> Pair:
    m, x, c = stirred(nn.GRUCell(3, 4)), normal(3, 2, 3), normal(2, 4, seed=1)
    n = dict(m.named_parameters())
    params = {
        "wi": array(n["weight_ih"]).T, "wh": array(n["weight_hh"]).T,
        "bi": array(n["bias_ih"]), "bh": array(n["bias_hh"]),
    }  # fmt: skip

    def plain(m: Any) -> Any:
        h = tensor(normal(2, 4, seed=3))
        for each in tensor(x):
            h = m(each, h)
        return (h * tensor(c)).sum()

    def port(p: Any, fault: str) -> Any:
        h = jnp.asarray(normal(2, 4, seed=3))
        for each in x:
            ri, zi, ni = jnp.split(each @ p["wi"] + p["bi"], 3, -1)
            bh = 0.0 if fault == "bias" else p["bh"]
            rh, zh, nh = jnp.split(h @ p["wh"] + bh, 3, -1)
            r, z = jax.nn.sigmoid(ri + rh), jax.nn.sigmoid(zi + zh)
            new = jnp.tanh(ni + nh) if fault == "reset" else jnp.tanh(ni + r * nh)
            h = z * new + (1 - z) * h if fault == "update" else (1 - z) * new + z * h
        return (h * c).sum()

    return Pair(
        lambda: torch_side(plain, m),
        lambda fault: jax_side(lambda p: port(p, fault), params),
        {
            "bias": Fault("gru|GRU|add|addmm", "bias|left out|skipped"),
            "reset": Fault("gru|GRU|mul", "reset|skipped|left out|1"),
            "update": Fault("gru|GRU|mul|lerp", "1 - z|exchanged|instead"),
        },
    )


class Patches(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.norm, self.head = (
            nn.Conv2d(3, 8, 4, stride=4),
            nn.LayerNorm(8),
            nn.Linear(8, 5),
        )
        self.cls, self.pos = nn.Parameter(torch.zeros(1, 1, 8)), nn.Parameter(torch.zeros(1, 5, 8))

    def forward(self, x: Any) -> Any:
        x = self.embed(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls.expand(len(x), -1, -1), x], 1) + self.pos
        return self.head(torch.tanh(self.norm(x)).mean(1))


@pair
def vit() -> Pair:
    m, x = stirred(Patches()), normal(2, 3, 8, 8)
    w = array(m.embed.weight).transpose(2, 3, 1, 0).reshape(48, 8)
    params = {
        "embed": {"w": w, "b": array(m.embed.bias)}, "norm": norm_of(m.norm), "head": dense(m.head),
        "cls": array(m.cls), "pos": array(m.pos),
    }  # fmt: skip
    labels = np.array([3, 1])

    def port(p: Any, fault: str) -> Any:
        x1 = jnp.asarray(x).reshape(2, 3, 2, 4, 2, 4)
        order = (0, 2, 4, 5, 3, 1) if fault == "pixels" else (0, 2, 4, 3, 5, 1)
        x1 = x1.transpose(order).reshape(2, 4, 48) @ p["embed"]["w"] + p["embed"]["b"]
        x1 = jnp.concatenate([jnp.broadcast_to(p["cls"], (2, 1, 8)), x1], 1)
        x1 = x1 if fault == "positions" else x1 + p["pos"]
        y = jnp.tanh(layer_norm(x1, p["norm"], 1e-5))
        z = (y[:, 0] if fault == "pooling" else y.mean(1)) @ p["head"]["w"] + p["head"]["b"]
        return -jnp.take_along_axis(jax.nn.log_softmax(z), labels[:, None], 1).mean()

    return Pair(
        lambda: torch_side(lambda m: F.cross_entropy(m(tensor(x)), tensor(labels)), m),
        lambda fault: jax_side(lambda p: port(p, fault), params),
        {
            "pixels": Fault("convolution|dot_general|conv", "order|mirrored|transposed"),
            "positions": Fault("add", "skipped|left out"),
            "pooling": Fault("mean|slice|gather|squeeze", "instead|mean|Slice|slice"),
        },
    )


class Llama(nn.Module):
    def __init__(self, d: int = 8, h: int = 2) -> None:
        super().__init__()
        self.h, self.n1, self.n2 = h, nn.RMSNorm(d, eps=1e-5), nn.RMSNorm(d, eps=1e-5)
        self.q, self.k = nn.Linear(d, d, bias=False), nn.Linear(d, d, bias=False)
        self.v, self.o = nn.Linear(d, d, bias=False), nn.Linear(d, d, bias=False)
        self.gate, self.up = nn.Linear(d, 12, bias=False), nn.Linear(d, 12, bias=False)
        self.down = nn.Linear(12, d, bias=False)

    def forward(self, x: Any) -> Any:
        b, t, d = x.shape
        y = self.n1(x)
        q, k, v = (w(y).view(b, t, self.h, -1).transpose(1, 2) for w in (self.q, self.k, self.v))
        cos, sin = (tensor(a) for a in angles(t, d // self.h))

        def turned(a: Any) -> Any:
            one, two = a.chunk(2, -1)
            return a * cos + torch.cat([-two, one], -1) * sin

        a = F.scaled_dot_product_attention(turned(q), turned(k), v, is_causal=True)
        x = x + self.o(a.transpose(1, 2).reshape(b, t, d))
        y = self.n2(x)
        return x + self.down(F.silu(self.gate(y)) * self.up(y))


def angles(t: int, d: int) -> Any:
    angle = np.arange(t)[:, None] * 10000.0 ** (-np.arange(0, d, 2) / d)
    angle = np.concatenate([angle, angle], -1)
    return np.cos(angle), np.sin(angle)


@pair
def llama() -> Pair:
    m, x, c = stirred(Llama()), normal(2, 5, 8), normal(2, 5, 8, seed=1)
    params = {n.removesuffix(".weight"): array(p).T for n, p in m.named_parameters()}

    def port(p: Any, fault: str) -> Any:
        def rms(a: Any, w: Any, eps: float = 1e-5) -> Any:
            return a * jax.lax.rsqrt((a * a).mean(-1, keepdims=True) + eps) * w

        x1 = jnp.asarray(x)
        y = rms(x1, p["n1"])
        q, k, v = ((y @ p[n]).reshape(2, 5, 2, 4) for n in "qkv")
        cos, sin = (jnp.asarray(a)[:, None] for a in angles(5, 4))

        def turned(a: Any) -> Any:
            one, two = jnp.split(a, 2, -1)
            if fault == "rotary":
                pairs = jnp.stack([-a[..., 1::2], a[..., ::2]], -1).reshape(a.shape)
                return a * cos + pairs * sin
            return a * cos + jnp.concatenate([-two, one], -1) * sin

        s = jnp.einsum("bthc,bshc->bhts", turned(q), turned(k)) / 2.0
        s = jnp.where(np.tril(np.ones((5, 5), bool)), s, -jnp.inf)
        a = jnp.einsum("bhts,bshc->bthc", jax.nn.softmax(s, -1), v).reshape(2, 5, 8)
        x1 = x1 + a @ p["o"]
        y = rms(x1, p["n2"], 1e-6 if fault == "eps" else 1e-5)
        gate, up = y @ p["gate"], y @ p["up"]
        if fault == "gate":
            gate, up = up, gate
        out = (jax.nn.silu(gate) * up) @ p["down"]
        return out if fault == "residual" else x1 + out

    return Pair(
        lambda: torch_side(lambda m: (m(tensor(x)) * tensor(c)).sum(), m),
        lambda fault: jax_side(lambda p: (port(p, fault) * c).sum(), params),
        {
            "eps": Fault("rms_norm|RMSNorm|add", "1e-06|1e-6"),
            "rotary": Fault("cat|mul|concat|add|neg", "order|interleaved|instead"),
            "gate": Fault("silu|mul|logistic", "exchanged|instead"),
            "residual": Fault("add", "skipped|left out"),
        },
    )


class VAE(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.enc, self.mu, self.log_var, self.dec = (
            nn.Linear(6, 5),
            nn.Linear(5, 3),
            nn.Linear(5, 3),
            nn.Linear(3, 6),
        )

    def forward(self, x: Any, noise: Any) -> Any:
        h = F.elu(self.enc(x))
        mu, log_var = self.mu(h), self.log_var(h)
        out = self.dec(mu + noise * torch.exp(0.5 * log_var))
        kl = -0.5 * (1 + log_var - mu**2 - log_var.exp()).sum(1).mean()
        return F.mse_loss(out, x) + 0.1 * kl


@pair
def vae() -> Pair:
    m, x, noise = stirred(VAE()), normal(4, 6), normal(4, 3, seed=1)
    params = {n: dense(getattr(m, n)) for n in ("enc", "mu", "log_var", "dec")}

    def port(p: Any, fault: str) -> Any:
        def layer(a: Any, n: str) -> Any:
            return a @ p[n]["w"] + p[n]["b"]

        h = jax.nn.elu(layer(x, "enc"))
        mu, log_var = layer(h, "mu"), layer(h, "log_var")
        sigma = jnp.exp(log_var if fault == "sigma" else log_var / 2)
        out = layer(
            (jax.lax.stop_gradient(mu) if fault == "detached" else mu) + noise * sigma, "dec"
        )
        terms = jnp.exp(log_var) + mu * mu - 1 - log_var
        kl = 0.5 * (terms.mean(1) if fault == "reduction" else terms.sum(1)).mean()
        return ((out - x) ** 2).mean() + 0.1 * kl

    return Pair(
        lambda: torch_side(lambda m: m(tensor(x), tensor(noise)), m),
        lambda fault: jax_side(lambda p: port(p, fault), params),
        {
            "sigma": Fault("mul|exp|div", "skipped|left out|0.5|times"),
            "reduction": Fault("sum|mean|div", "times|mean|factor"),
            "detached": Fault("mu|add", "gradient"),
        },
    )


@pair
def contrastive() -> Pair:
    enc, a, b = stirred(nn.Linear(6, 4)), normal(5, 6), normal(5, 6, seed=1)
    params = dense(enc)

    def plain(m: Any) -> Any:
        u, v = F.normalize(m(tensor(a)), dim=1), F.normalize(m(tensor(b)), dim=1)
        logits = u @ v.T / 0.07
        target = torch.arange(5)
        return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2

    def port(p: Any, fault: str) -> Any:
        def unit(t: Any) -> Any:
            z = t @ p["w"] + p["b"]
            return z if fault == "norm" else z / jnp.linalg.norm(z, axis=1, keepdims=True)

        logits = unit(a) @ unit(b).T / (0.1 if fault == "temperature" else 0.07)
        rows, columns = jax.nn.log_softmax(logits, 1), jax.nn.log_softmax(logits, 0)
        if fault == "one way":
            return -jnp.diag(rows).mean()
        return -(jnp.diag(rows).mean() + jnp.diag(columns).mean()) / 2

    return Pair(
        lambda: torch_side(plain, enc),
        lambda fault: jax_side(lambda p: port(p, fault), params),
        {
            "norm": Fault("div|norm", "skipped|left out"),
            "temperature": Fault("div", "0.07|0.1"),
            "one way": Fault("add|div|neg", "skipped|left out|instead"),
        },
    )


@pair
def losses() -> Pair:
    m, x = stirred(nn.Linear(4, 6)), normal(8, 4)
    params, labels = dense(m), np.array([0, 2, -100, 5, 1, -100, 3, 3])

    def port(p: Any, fault: str) -> Any:
        logp = jax.nn.log_softmax(x @ p["w"] + p["b"])
        kept = labels != -100
        target = jax.nn.one_hot(np.where(kept, labels, 0), 6)
        e = 0.2 if fault == "smoothing" else 0.1
        each = -(((1 - e) * target + e / 6) * logp).sum(1)
        if fault == "ignored":
            return each.mean()
        each = jnp.where(kept, each, 0.0)
        return each.sum() if fault == "sum" else each.sum() / kept.sum()

    def plain(m: Any) -> Any:
        return F.cross_entropy(m(tensor(x)), tensor(labels), label_smoothing=0.1)

    return Pair(
        lambda: torch_side(plain, m),
        lambda fault: jax_side(lambda p: port(p, fault), params),
        {
            "smoothing": Fault("nll|entropy|mul|add|log_softmax", "smoothing|0.2"),
            "ignored": Fault("nll|where|select|div|sum", "ignore|skipped|left out"),
            "sum": Fault("div|nll|mean|sum|add_1", "times|skipped|left out|reduction"),
        },
    )


@pair
def refactored_attention() -> Pair:
    m, x, c = stirred(Block()), normal(2, 6, 16), normal(2, 6, 16, seed=1)

    def composed(m: Any, fault: str) -> Any:
        x1 = tensor(x)
        q, k, v = m.qkv(m.ln1(x1)).view(2, 6, 3, 4, 4).permute(2, 0, 3, 1, 4)
        s = q @ k.transpose(-2, -1) * (0.25 if fault == "scale" else 0.5)
        s = s if fault == "mask" else s.masked_fill(~torch.ones(6, 6).tril().bool(), float("-inf"))
        a = (s.softmax(-2).nan_to_num() if fault == "axis" else s.softmax(-1)) @ v
        x1 = x1 + m.proj(a.transpose(1, 2).reshape(2, 6, 16))
        return x1 + m.down(F.gelu(m.up(m.ln2(x1))))

    return Pair(
        lambda: torch_side(lambda m: (m(tensor(x)) * tensor(c)).sum(), m),
        lambda fault: torch_side(
            lambda m: (composed(m, fault) * tensor(c)).sum(), m, name="composed"
        ),
        {
            "scale": Fault("attention|mul", "scale|0.25"),
            "mask": Fault("attention|fill", "causal|mask"),
            "axis": Fault("attention|softmax|Softmax", "axis"),
        },
    )


@pair
def split_projection() -> Pair:
    m, x, c = stirred(Block()), normal(2, 6, 16), normal(2, 6, 16, seed=1)
    parts = [nn.Linear(16, 16).double() for _ in range(3)]
    with torch.no_grad():
        for i, p in enumerate(parts):
            p.weight.copy_(m.qkv.weight[16 * i : 16 * i + 16])
            p.bias.copy_(m.qkv.bias[16 * i : 16 * i + 16])

    def split(m: Any, fault: str) -> Any:
        x1 = tensor(x)
        y = m.ln1(x1)
        q, k, v = (
            F.linear(y, p.weight, None if fault == "bias" and i == 2 else p.bias)
            for i, p in enumerate(parts)
        )
        if fault == "swap":
            k, v = v, k
        q, k, v = (a.view(2, 6, 4, 4).transpose(1, 2) for a in (q, k, v))
        a = (
            F.scaled_dot_product_attention(q, k, v, is_causal=True)
            .transpose(1, 2)
            .reshape(2, 6, 16)
        )
        w = m.proj.weight.T if fault == "transpose" else m.proj.weight
        x1 = F.linear(a, w, m.proj.bias) + x1
        return m.down(F.gelu(m.up(m.ln2(x1)))) + x1

    return Pair(
        lambda: torch_side(lambda m: (m(tensor(x)) * tensor(c)).sum(), m),
        lambda fault: torch_side(lambda m: (split(m, fault) * tensor(c)).sum(), m, name="split"),
        {
            "bias": Fault("addmm_1|mm|addmm_3", "bias|slice"),
            "swap": Fault("attention", "exchanged"),
            "transpose": Fault("addmm", "transposed"),
        },
    )


@pair
def reordered() -> Pair:
    m, x = stirred(nn.ModuleList([nn.Linear(6, 6) for _ in range(3)])), normal(4, 6)

    def first(m: Any) -> Any:
        h = tensor(x)
        a, b = F.leaky_relu(m[0](h), 0.01), torch.sin(m[1](h))
        return ((h + a + b) * m[2](h)).pow(2).mean()

    def second(m: Any, fault: str) -> Any:
        h = tensor(x)
        a = F.leaky_relu(m[0](h), 0.2 if fault == "slope" else 0.01)
        b = torch.sin(h @ m[1].weight.T + m[1].bias)
        s = a + b if fault == "residual" else h + (b + a)
        s = s + a if fault == "twice" else s
        z = m[2].bias + h @ m[2].weight.t()
        return (z * s).square().sum() / (6 if fault == "mean" else 24)

    return Pair(
        lambda: torch_side(first, m),
        lambda fault: torch_side(lambda m: second(m, fault), m, name="reordered"),
        {
            "slope": Fault("leaky", "0.2"),
            "residual": Fault("add", "skipped|left out"),
            "twice": Fault("add", "skipped|left out|twice|2"),
            "mean": Fault("mean|div", "times|6"),
        },
    )


@pair
def unrolled() -> Pair:
    params = {
        "w": jnp.asarray(normal(4, 4) / 2),
        "u": jnp.asarray(normal(3, 4, seed=1)),
        "b": jnp.asarray(normal(4, seed=2)),
    }
    x = normal(5, 2, 3, seed=3)

    def scan(p: Any) -> Any:
        def step(h: Any, x1: Any) -> Any:
            h = jnp.tanh(h @ p["w"] + x1 @ p["u"] + p["b"])
            return 0.9 * h, h

        return (jax.lax.scan(step, jnp.ones((2, 4)), jnp.asarray(x))[1] ** 2).sum()

    def loop(p: Any, fault: str) -> Any:
        h, total = jnp.ones((2, 4)), 0.0
        projected = jnp.asarray(x) @ p["u"] + p["b"]
        for t in range(5):
            s = projected[4 - t if fault == "reversed" else t] + h @ (
                p["w"].T if fault == "transpose" else p["w"]
            )
            h = jnp.tanh(s)
            total = total + (h**2).sum()
            h = h * (0.8 if fault == "decay" else 0.9)
        return total

    return Pair(
        lambda: jax_side(scan, params, name="scan"),
        lambda fault: jax_side(lambda p: loop(p, fault), params, name="loop"),
        {
            "reversed": Fault("add|slice|dot_general|tanh", "instead|order"),
            "transpose": Fault("dot_general", "transposed"),
            "decay": Fault("mul", "0.8"),
        },
    )


@pair
def statistics() -> Pair:
    m, x, c = stirred(nn.BatchNorm1d(4)), normal(6, 4) + 2, normal(6, 4, seed=1)
    w = tensor(normal(4, 4, seed=2)).requires_grad_()

    def composed(m: Any, w: Any, fault: str) -> Any:
        y = tensor(x) @ w
        mean, var = y.mean(0), y.var(0, unbiased=fault == "unbiased")
        var = var.detach() if fault == "detached" else var
        y = (y - mean) / torch.sqrt(var + (1e-3 if fault == "eps" else 1e-5))
        return (torch.sin(y * m.weight + m.bias) * tensor(c)).sum()

    return Pair(
        lambda: torch_side(lambda m, w: (torch.sin(m(tensor(x) @ w)) * tensor(c)).sum(), m, w),
        lambda fault: torch_side(lambda m, w: composed(m, w, fault), m, w, name="composed"),
        {
            "eps": Fault("batch_norm|add", "0.001|1e-03|1e-3"),
            "unbiased": Fault("batch_norm|var|Variance", "unbiased|correction|n - 1"),
            "detached": Fault("w|mm|batch_norm|args", "gradient"),
        },
    )


class Windows(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = (
            nn.Conv2d(4, 4, 3, padding=2, dilation=2, groups=4),
            nn.Conv2d(4, 6, 3, stride=2, padding=1),
        )

    def forward(self, x: Any) -> Any:
        return F.avg_pool2d(F.softplus(self.b(F.relu6(4 * self.a(x)))), 3, 1, 1)


@pair
def windows() -> Pair:
    m, x, c = stirred(Windows()), normal(2, 4, 8, 8), normal(2, 6, 4, 4, seed=1)
    params = {"a": hwio(m.a), "b": hwio(m.b)}

    def port(p: Any, fault: str) -> Any:
        y = jnp.asarray(x.transpose(0, 2, 3, 1))
        d = 1 if fault == "dilation" else 2
        y = conv(y, p["a"]["w"], 1, [(d, d)] * 2, dilation=d, groups=4) + p["a"]["b"]
        y = jnp.clip(4 * y, 0, 1 if fault == "limit" else 6)
        y = jax.nn.softplus(conv(y, p["b"]["w"], 2, [(1, 1)] * 2) + p["b"]["b"])

        def pool(a: Any) -> Any:
            return jax.lax.reduce_window(a, 0.0, jax.lax.add, (1, 3, 3, 1), (1, 1, 1, 1), "SAME")

    ct = c.transpose(0, 2, 3, 1)
    return Pair(
        lambda: torch_side(lambda m: (m(tensor(x)) * tensor(c)).sum(), m),
        lambda fault: jax_side(lambda p: (port(p, fault) * ct).sum(), params),
        {
            "dilation": Fault("conv", "dilation"),
            "limit": Fault("relu6|hardtanh|clamp|ReLU6|clip|min", "1"),
            "counted": Fault("avg_pool|AvgPool|AveragePool|div", "count|padd|pad"),
        },
    )
