"""Parameters of two programs whose weights were not ported yet: which is which, in which layout."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradparity as gp
from gradparity.comparisons.aligning.parameters.layouts import kinship

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")

import jax.numpy as jnp  # noqa: E402

pytestmark = pytest.mark.usefixtures("in_float64")

F = torch.nn.functional
IMAGES = torch.tensor(np.random.default_rng(0).standard_normal((6, 3, 8, 8)))
WORDS = torch.tensor(np.random.default_rng(1).standard_normal((2, 5, 16)))
LABELS = torch.tensor([0, 1, 2, 1, 0, 2])
CONVOLVED = {"padding": "SAME", "dimension_numbers": ("NHWC", "HWIO", "NHWC")}


def drawn(**shapes: Any) -> dict[str, Any]:
    """Weights as a library draws them: random matrices, scales of one and biases of zero."""
    rng = np.random.default_rng(2)
    params = {name: 0.3 * rng.standard_normal(shape) for name, shape in shapes.items()}
    params |= {name: np.ones(s) for name, s in shapes.items() if name.endswith("scale")}
    params |= {name: np.zeros(s) for name, s in shapes.items() if name.endswith("bias")}
    return jax.tree.map(jnp.asarray, params)


def moved(module: Any, f: Any, g: Any, params: Any) -> tuple[gp.ParameterMap, float]:
    """The map, and how far the losses are apart once it has moved the weights."""
    one = gp.record(f, module, name="torch", keep=True)
    mapping = gp.map_parameters(one, gp.record(g, params, name="jax", keep=True))
    with torch.no_grad():
        loss = float(f(module))
    ported = gp.transfer(module, mapping, like=params)
    return mapping, abs(float(g(ported)) - loss) / abs(loss)


def layouts(mapping: gp.ParameterMap) -> dict[str, str]:
    return {" + ".join(m.one): f"{' + '.join(m.other)}: {m.layout}" for m in mapping.matches}


class Images(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = torch.nn.Conv2d(3, 8, 3, padding=1), torch.nn.BatchNorm2d(8)
        self.again = torch.nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.hidden, self.head = torch.nn.Linear(8, 8), torch.nn.Linear(8, 3)

    def forward(self, x: Any) -> Any:
        x = torch.relu(self.norm(self.conv(x)))
        x = torch.relu(self.again(x)).mean((2, 3))
        return self.head(torch.tanh(self.hidden(x)))


def images(
    eps: float = 1e-5, activation: Callable[..., Any] = jax.nn.relu, strides: int = 1
) -> Any:
    x = jnp.asarray(IMAGES.numpy().transpose(0, 2, 3, 1))

    def loss(p: Any) -> Any:
        h = jax.lax.conv_general_dilated(x, p["kernel"], (strides, strides), **CONVOLVED)
        h = h + p["conv_bias"]
        h = (h - h.mean((0, 1, 2))) / jnp.sqrt(h.var((0, 1, 2)) + eps)
        h = activation(h * p["norm_scale"] + p["norm_bias"])
        h = jax.lax.conv_general_dilated(h, p["again"], (1, 1), **CONVOLVED)
        h = jax.nn.relu(h).mean((1, 2))
        h = jnp.tanh(h @ p["hidden"] + p["hidden_bias"]) @ p["head"] + p["head_bias"]
        return -jax.nn.log_softmax(h)[jnp.arange(6), LABELS.numpy()].mean()

    return loss


def images_drawn() -> dict[str, Any]:
    return drawn(
        kernel=(3, 3, 3, 8), conv_bias=8, norm_scale=8, norm_bias=8, again=(3, 3, 8, 8),
        hidden=(8, 8), hidden_bias=8, head=(8, 3), head_bias=3,
    )  # fmt: skip


def image_loss(module: Any) -> Any:
    return F.cross_entropy(module(IMAGES), LABELS)


IMAGE_LAYOUTS = {
    "conv.weight": "kernel: axes (2, 3, 1, 0)",
    "norm.weight": "norm_scale: same",
    "norm.bias": "norm_bias: same",
    "again.weight": "again: axes (2, 3, 1, 0)",
    "hidden.weight": "hidden: transposed",
    "hidden.bias": "hidden_bias: same",
    "head.weight": "head: transposed",
    "head.bias": "head_bias: same",
}


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def test_a_network_of_convolutions() -> None:
    mapping, apart = moved(Images().double(), image_loss, images(), images_drawn())
    assert layouts(mapping) == {**IMAGE_LAYOUTS, "conv.bias": "conv_bias: same"}
    assert {match.proof for match in mapping.matches} == {"replays"}
    assert mapping.is_proved
    assert apart < 1e-12


def test_another_eps_leaves_the_map_without_a_proof() -> None:
    mapping, apart = moved(Images().double(), image_loss, images(1e-3), images_drawn())
    assert layouts(mapping).items() >= IMAGE_LAYOUTS.items()
    assert not mapping.is_proved
    assert "not proved" in str(mapping)
    assert 1e-9 < apart < 0.1


@pytest.mark.sample(1)
@pytest.mark.parametrize(
    ("change", "found"),
    [({"activation": jnp.cos}, {"conv.weight", "conv.bias", "norm.weight", "norm.bias"}),
     ({"strides": 2}, set())],
)  # fmt: skip
def test_where_the_programs_part_the_rest_is_guessed(change: Any, found: set[str]) -> None:
    module = Images().double()
    one = gp.record(image_loss, module, keep=True)
    mapping = gp.map_parameters(one, gp.record(images(**change), images_drawn(), keep=True))
    assert layouts(mapping) == {**IMAGE_LAYOUTS, "conv.bias": "conv_bias: same"}
    assert {m.one[0] for m in mapping.matches if m.proof == "replays"} == found
    assert {m.one[0] for m in mapping.matches if m.proof == "shape and name"} == {
        *layouts(mapping)
    } - found
    assert not mapping.is_proved


class Block(torch.nn.Module):
    """Attention with packed projections."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.qkv = torch.nn.LayerNorm(16), torch.nn.Linear(16, 48)
        self.out = torch.nn.Linear(16, 16)

    def forward(self, x: Any) -> Any:
        heads = (
            h.unflatten(-1, (4, 4)).transpose(1, 2) for h in self.qkv(self.norm(x)).chunk(3, -1)
        )
        y = F.scaled_dot_product_attention(*heads, is_causal=True)
        return x + self.out(y.transpose(1, 2).flatten(2))


def attention(p: Any, x: Any) -> Any:
    """Attention with a kernel for each, with an axis of heads; the keys come first."""
    h = (x - x.mean(-1, keepdims=True)) / jnp.sqrt(x.var(-1, keepdims=True) + 1e-5)
    h = h * p["scale"] + p["bias"]
    k = jnp.einsum("btd,dhk->bthk", h, p["key"]) + p["key_bias"]
    q = jnp.einsum("btd,dhk->bthk", h, p["query"]) + p["query_bias"]
    v = jnp.einsum("btd,dhk->bthk", h, p["values"]) + p["values_bias"]
    scores = jnp.einsum("bthk,bshk->bhts", q, k) / 2
    scores = jnp.where(jnp.tril(jnp.ones((5, 5), bool)), scores, -jnp.inf)
    y = jnp.einsum("bhts,bshk->bthk", jax.nn.softmax(scores), v)
    return x + jnp.einsum("bthk,hkd->btd", y, p["out"]) + p["out_bias"]


def test_packed_projections_of_two_blocks() -> None:
    shapes = {"scale": 16, "bias": 16, "out": (4, 4, 16), "out_bias": 16}
    for name in ("key", "query", "values"):
        shapes |= {name: (16, 4, 4), f"{name}_bias": (4, 4)}
    params = [drawn(**shapes), jax.tree.map(lambda a: 1.1 * a, drawn(**shapes))]

    def loss(params: Any) -> Any:
        x = jnp.asarray(WORDS.numpy())
        for p in params:
            x = attention(p, x)
        return (x**3).mean()

    model = torch.nn.Sequential(Block(), Block()).double()
    mapping, apart = moved(model, lambda m: (m(WORDS) ** 3).mean(), loss, params)
    assert mapping.is_proved
    assert mapping["0.qkv.weight"] == ("0.query", "0.key", "0.values")
    assert mapping["1.qkv.bias"] == ("1.query_bias", "1.key_bias", "1.values_bias")
    assert apart < 1e-12


def test_two_biases_that_are_one() -> None:
    def loss(p: Any) -> Any:
        h = c = jnp.zeros((2, 4))
        for x in jnp.asarray(WORDS.numpy()).swapaxes(0, 1):
            i, f, g, o = jnp.split(x @ p["w"] + h @ p["u"] + p["bias"], 4, -1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h**3).sum()

    def original(lstm: Any) -> Any:
        return (lstm(WORDS)[1][0] ** 3).sum()

    lstm = torch.nn.LSTM(16, 4, batch_first=True).double()
    mapping, apart = moved(lstm, original, loss, drawn(w=(16, 16), u=(4, 16), bias=16))
    assert layouts(mapping)["bias_ih_l0 + bias_hh_l0"] == "bias: summed"
    assert mapping.is_proved
    assert apart < 1e-12


def test_a_mirrored_kernel() -> None:
    layer = torch.nn.ConvTranspose2d(3, 5, 3, bias=False).double()
    x = jnp.asarray(IMAGES.numpy().transpose(0, 2, 3, 1))

    def loss(p: Any) -> Any:
        dims = CONVOLVED["dimension_numbers"]
        return (
            jax.lax.conv_transpose(x, p["w"], (1, 1), "VALID", dimension_numbers=dims) ** 3
        ).sum()

    params = drawn(w=(3, 3, 3, 5))
    mapping, apart = moved(layer, lambda m: (m(IMAGES) ** 3).sum(), loss, params)
    assert "mirrored along (2, 3)" in layouts(mapping)["weight"]
    assert apart < 1e-12


def test_what_was_ported_stays() -> None:
    """Of a model that is ported in part, the rest is found."""
    module, params = Images().double(), images_drawn()
    params["hidden"] = jnp.asarray(module.hidden.weight.detach().numpy().T)
    mapping, apart = moved(module, image_loss, images(), params)
    assert mapping.is_proved
    assert len(mapping.matches) == 9
    assert apart < 1e-12


class Decoder(torch.nn.Module):
    """Blocks that all take what an encoder gives; all their matrices are square."""

    def __init__(self) -> None:
        super().__init__()
        self.enc = torch.nn.ModuleList(torch.nn.Linear(16, 16) for _ in range(2))
        self.dec = torch.nn.ModuleList(
            torch.nn.ModuleDict({n: torch.nn.Linear(16, 16) for n in "qkvo"}) for _ in range(3)
        )

    def forward(self, words: Any) -> Any:
        memory, y = words, words.flip(1).cos()
        for layer in self.enc:
            memory = memory + torch.tanh(layer(memory))
        for block in self.dec:
            scores = block["q"](y) @ block["k"](memory).mT
            y = y + block["o"](torch.softmax(scores / 4, -1) @ block["v"](memory))
        return y


def decoded(activation: Callable[..., Any] = jnp.tanh, turned: bool = False) -> Any:
    words = jnp.asarray(WORDS.numpy())

    def linear(p: Any, x: Any) -> Any:
        return x @ (p["weight"] if turned else p["weight"].T) + p["bias"]

    def loss(p: Any) -> Any:
        memory, y = words, jnp.cos(words[:, ::-1])
        for layer in p["enc"]:
            memory = memory + activation(linear(layer, memory))
        for block in p["dec"]:
            scores = linear(block["q"], y) @ linear(block["k"], memory).mT
            y = y + linear(block["o"], jax.nn.softmax(scores / 4) @ linear(block["v"], memory))
        return (y**3).mean()

    return loss


def decoded_drawn() -> dict[str, Any]:
    names = [f"enc.{i}" for i in range(2)] + [f"dec.{i}.{n}" for i in range(3) for n in "qkvo"]
    flat = drawn(**{f"{n}.weight": (16, 16) for n in names}, **{f"{n}.bias": 16 for n in names})
    layers = {n: {w: flat[f"{n}.{w}"] for w in ("weight", "bias")} for n in names}
    blocks = [{n: layers[f"dec.{i}.{n}"] for n in "qkvo"} for i in range(3)]
    return {"enc": [layers["enc.0"], layers["enc.1"]], "dec": blocks}


@pytest.mark.sample(1)
@pytest.mark.parametrize("turned", [False, True])
def test_blocks_that_take_what_an_encoder_gives(turned: bool) -> None:
    params = decoded_drawn()
    mapping, apart = moved(
        Decoder().double(), lambda m: (m(WORDS) ** 3).mean(), decoded(turned=turned), params
    )
    assert mapping.is_proved
    assert {m.one: m.other for m in mapping.matches} == {m.one: m.one for m in mapping.matches}
    layout = "transposed" if turned else "same"
    assert {m.layout for m in mapping.matches if "weight" in m.one[0]} == {layout}
    assert apart < 1e-12


@pytest.mark.sample(1)
@pytest.mark.parametrize("turned", [False, True])
def test_a_guess_has_the_layout_that_was_proved_for_its_kind(turned: bool) -> None:
    """The second layer of the encoder is another one; the first one's matrix is proved."""
    calls = iter([jnp.tanh, jnp.cos])
    f = decoded(lambda x: next(calls)(x), turned)
    one = gp.record(lambda m: (m(WORDS) ** 3).mean(), Decoder().double(), keep=True)
    mapping = gp.map_parameters(one, gp.record(f, decoded_drawn(), keep=True))
    guessed = [m for m in mapping.matches if m.proof == "shape and name"]
    assert len(guessed) > 10
    assert {m.layout for m in guessed if "weight" in m.one[0]} == {
        "transposed" if turned else "same"
    }
    assert all(m.one == m.other for m in guessed)


def test_a_guess_without_a_proof_has_the_layout_of_the_names() -> None:
    both = "layer.weight", "other.layer.weight"
    assert kinship(both, (0, 1), []) > kinship(both, (1, 0), [])
    turned = "layer.weight", "layer.kernel"
    assert kinship(turned, (1, 0), []) > kinship(turned, (0, 1), [])
    known = [(("0.layer.weight", "1.layer.weight"), (1, 0))]
    assert kinship(both, (1, 0), known) > kinship(both, (0, 1), known)


def test_the_nodes_of_a_function_are_in_the_order_in_which_they_ran() -> None:
    seen = gp.record(decoded(), decoded_drawn(), keep=True)
    assert [call.place.node for call in seen.calls] == seen.order()
