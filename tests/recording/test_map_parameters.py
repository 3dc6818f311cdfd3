"""Maps of parameters that are found by running both programs again: masks, loops, tied weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradparity as gp

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")
jnp = jax.numpy

pytestmark = pytest.mark.usefixtures("in_float64")

F = torch.nn.functional
X = np.random.default_rng(0).standard_normal((7, 6))
WORDS = np.random.default_rng(1).integers(0, 9, (5, 4))
IMAGES = np.random.default_rng(4).standard_normal((2, 2, 5, 6))
LABELS = np.array([0, 2, 1, 1, 0])


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


def drawn(**shapes: Any) -> dict[str, Any]:
    """Weights that are not those of the original, with biases of zero."""
    rng = np.random.default_rng(2)
    each = {n: 0.4 * rng.standard_normal(s) * (np.ndim(s) > 0) for n, s in shapes.items()}
    return {n: jnp.zeros(s) if np.ndim(s) == 0 else jnp.asarray(each[n]) for n, s in shapes.items()}


def maps(f: Any, model: Any, g: Any, params: Any) -> gp.ParameterMap:
    one = gp.record(f, model, name="torch", keep=True)
    return gp.map_parameters(one, gp.record(g, params, name="jax", keep=True))


def pairs(mapping: gp.ParameterMap) -> dict[str, str]:
    return {" + ".join(m.one): f"{' + '.join(m.other)}: {m.layout}" for m in mapping.matches}


def parts_by(mapping: gp.ParameterMap, f: Any, model: Any, g: Any, params: Any) -> float:
    """How far the losses are apart once the map has moved the weights."""
    ported = gp.transfer(model, mapping, like=params)
    loss = float(f(model).detach())
    return abs(float(g(ported)) - loss) / abs(loss)


def written(name: str) -> Callable[[Any], Any]:
    return {
        "leaky": lambda h: jnp.where(h >= 0, h, 0.01 * h),
        "turned": lambda h: jnp.where(h < 0, 0.01 * h, h),
        "elu": jax.nn.elu,
        "factor": lambda h: h * (h > 0),
        "six": lambda h: jnp.where(h > 0.5, 0.5, jnp.where(h > 0, h, 0.0)),
        "two": lambda h: jnp.where(h > 0.1 * h, h, 0.1 * h),
        "slope": lambda h: jnp.where(h >= 0, h, 0.02 * h),
        "place": lambda h: jnp.where(h >= 0.3, h, 0.01 * h),
    }[name]


ACTIVATIONS = {
    "leaky": F.leaky_relu,
    "turned": F.leaky_relu,
    "elu": F.elu,
    "factor": torch.relu,
    "six": lambda h: h.clamp(0, 0.5),
    "two": lambda h: F.leaky_relu(h, 0.1),
    "slope": F.leaky_relu,
    "place": F.leaky_relu,
}


def network(name: str) -> tuple[Any, Any, Any, Any]:
    model = torch.nn.Sequential(torch.nn.Linear(6, 8), torch.nn.Linear(8, 3)).double()
    x = torch.tensor(X)

    def loss(m: Any) -> Any:
        return (m[1](ACTIVATIONS[name](m[0](x))) ** 2).mean()

    def port(p: Any) -> Any:
        return ((written(name)(X @ p["w1"] + p["b1"]) @ p["w2"] + p["b2"]) ** 2).mean()

    return loss, model, port, drawn(w1=(6, 8), b1=8, w2=(8, 3), b2=3)


@pytest.mark.sample(4)
@pytest.mark.parametrize("name", ["leaky", "turned", "elu", "factor", "six", "two"])
def test_masks_of_values_are_computed_anew(name: str) -> None:
    parts = network(name)
    mapping = maps(*parts)
    assert mapping.is_proved
    assert {m.proof for m in mapping.matches} == {"replays"}
    assert pairs(mapping)["1.weight"] == "w2: transposed"
    assert parts_by(mapping, *parts) < 1e-12


@pytest.mark.parametrize("name", ["slope", "place"])
def test_another_slope_or_place_of_a_mask_is_not_proved(name: str) -> None:
    parts = network(name)
    mapping = maps(*parts)
    assert not mapping.is_proved
    assert parts_by(mapping, *parts) > 1e-9


class Words(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table, self.lstm = torch.nn.Embedding(9, 6), torch.nn.LSTM(6, 5, batch_first=True)
        self.head = torch.nn.Linear(5, 3)

    def forward(self, ids: Any) -> Any:
        return self.head(self.lstm(self.table(ids))[1][0][-1])


def of_words(order: str = "ifgo", forget: float = 0.0, reverse: bool = False) -> Any:
    def loss(p: Any) -> Any:
        def step(carry: Any, x: Any) -> Any:
            h, c = carry
            z = jnp.split(x @ p["wx"] + h @ p["wh"] + p["bias"], 4, -1)
            i, f, g, o = (z[order.index(gate)] for gate in "ifgo")
            c = jax.nn.sigmoid(f + forget) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            return (jax.nn.sigmoid(o) * jnp.tanh(c), c), None

        x, zeros = p["table"][WORDS].swapaxes(0, 1), jnp.zeros((5, 5))
        (h, _), _ = jax.lax.scan(step, (zeros, zeros), x, reverse=reverse)
        return -jax.nn.log_softmax(h @ p["head"] + p["head_bias"])[jnp.arange(5), LABELS].mean()

    return loss


def words_loss(m: Any) -> Any:
    return F.cross_entropy(m(torch.tensor(WORDS)), torch.tensor(LABELS))


def words_drawn() -> Any:
    return drawn(table=(9, 6), wx=(6, 20), wh=(5, 20), bias=20, head=(5, 3), head_bias=3)


FOUND = {
    "table.weight": "table: same",
    "lstm.weight_ih_l0": "wx: transposed",
    "lstm.weight_hh_l0": "wh: transposed",
    "lstm.bias_ih_l0 + lstm.bias_hh_l0": "bias: summed",
    "head.weight": "head: transposed",
    "head.bias": "head_bias: same",
}


def test_parameters_that_a_scan_takes_from_outside() -> None:
    """Every step takes them, from a carry and biases of zero on."""
    parts = words_loss, Words().double(), of_words(), words_drawn()
    mapping = maps(*parts)
    assert mapping.is_proved
    assert pairs(mapping) == FOUND
    assert parts_by(mapping, *parts) < 1e-12


@pytest.mark.sample(1)
@pytest.mark.parametrize("change", [{"forget": 1.0}, {"reverse": True}])
def test_another_scan_is_not_proved(change: Any) -> None:
    """What is behind the change is proposed by shapes and names."""
    mapping = maps(words_loss, Words().double(), of_words(**change), words_drawn())
    assert not mapping.is_proved
    assert pairs(mapping)["head.weight"] == "head: transposed"
    assert not mapping.only_other


def layers_loss(m: Any) -> Any:
    h = torch.tensor(X)
    for layer in m:
        h = torch.tanh(layer(h))
    return (h**3).sum()


def of_layers(reverse: bool) -> Any:
    def loss(p: Any) -> Any:
        def step(h: Any, p: Any) -> Any:
            return jnp.tanh(h @ p["w"] + p["b"]), None

        return (jax.lax.scan(step, jnp.asarray(X), p, reverse=reverse)[0] ** 3).sum()

    return loss


@pytest.mark.parametrize("depth", [3, 6])
def test_a_scan_over_layers(depth: int) -> None:
    model = torch.nn.Sequential(*(torch.nn.Linear(6, 6) for _ in range(depth))).double()
    params = drawn(w=(depth, 6, 6), b=(depth, 6))
    parts = layers_loss, model, of_layers(reverse=False), params
    mapping = maps(*parts)
    assert mapping.is_proved
    assert not mapping.only_other
    assert parts_by(mapping, *parts) < 1e-12


def test_a_scan_over_layers_from_the_last_one() -> None:
    model = torch.nn.Sequential(*(torch.nn.Linear(6, 6) for _ in range(3))).double()
    own = [{n: a.detach().numpy() for n, a in layer.named_parameters()} for layer in model[::-1]]
    params = {
        "w": jnp.stack([a["weight"].T for a in own]),
        "b": jnp.stack([a["bias"] for a in own]),
    }
    mapping = maps(layers_loss, model, of_layers(reverse=True), params)
    assert mapping.is_proved
    assert pairs(mapping.inverse())["b"] == "2.bias + 1.bias + 0.bias: split along axis 0"
    assert parts_by(mapping, layers_loss, model, of_layers(reverse=True), params) < 1e-12


def test_a_parameter_that_a_scan_begins_with() -> None:
    class Started(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.start, self.step = torch.nn.Parameter(torch.randn(4, 6)), torch.nn.Linear(6, 6)

    def loss(m: Any) -> Any:
        h = m.start
        for x in torch.tensor(X):
            h = torch.tanh(m.step(h) + x)
        return (h**3).sum()

    def port(p: Any) -> Any:
        def step(h: Any, x: Any) -> Any:
            return jnp.tanh(h @ p["w"] + p["b"] + x), None

        return (jax.lax.scan(step, p["h"], jnp.asarray(X))[0] ** 3).sum()

    parts = loss, Started().double(), port, drawn(w=(6, 6), b=6, h=(4, 6))
    mapping = maps(*parts)
    assert mapping.is_proved
    assert pairs(mapping)["start"] == "h: same"
    assert parts_by(mapping, *parts) < 1e-12


def test_a_map_with_parameters_missing_on_both_sides_is_not_proved() -> None:
    w = torch.randn(6, 6).double().requires_grad_()
    v, x = torch.randn(5, 6).double().requires_grad_(), torch.tensor(X)

    def loss(w: Any) -> Any:
        return torch.tanh(w.T @ w + x.T @ x).sum()

    one, other = (gp.record(loss, a, keep=True) for a in (w, v))
    mapping = gp.map_parameters(one, other)
    assert mapping.only_one == mapping.only_other == ("arg0",)
    assert not mapping.is_proved
    assert "not proved" in str(mapping)
    assert not mapping.inverse().is_proved


class Tied(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table, self.mid = torch.nn.Embedding(9, 6), torch.nn.Linear(6, 6)
        self.head = torch.nn.Linear(6, 9, bias=False)
        self.head.weight = self.table.weight

    def forward(self, ids: Any) -> Any:
        return self.head(torch.tanh(self.mid(self.table(ids))))


def tied_loss(m: Any) -> Any:
    return F.cross_entropy(m(torch.tensor(WORDS)).flatten(0, 1), torch.tensor(WORDS).flatten())


def of_tied(scale: float = 1.0) -> Any:
    def loss(p: Any) -> Any:
        h = jnp.tanh(p["e"][WORDS.ravel()] @ p["w"] + p["b"])
        logits = scale * h @ (p["h"] if "h" in p else p["e"].T)
        return -jax.nn.log_softmax(logits)[jnp.arange(WORDS.size), WORDS.ravel()].mean()

    return loss


def untied() -> Any:
    return drawn(e=(9, 6), w=(6, 6), b=6, h=(6, 9))


def test_an_untied_port_of_tied_weights() -> None:
    """First with weights of its own, then with those of the original."""
    model, params = Tied().double(), untied()
    mapping = maps(tied_loss, model, of_tied(), params)
    assert mapping.is_proved
    assert mapping["table.weight"] == ("e", "h")
    assert mapping.tied == {"table.weight": ("e", "h")}
    assert mapping.inverse().tied == {}
    assert "tied in the first program: table.weight is e and h" in str(mapping)
    assert "tied in the second program: table.weight is e and h" in str(mapping.inverse())
    assert parts_by(mapping, tied_loss, model, of_tied(), params) < 1e-12
    ported = gp.transfer(model, mapping, like=params)
    again = maps(tied_loss, model, of_tied(), ported)
    assert again.tied == mapping.tied
    assert again.is_proved
    assert {m.proof for m in again.matches} == {"values and gradients"}
    back = gp.transfer(ported, again.inverse(), like=model)
    assert torch.equal(back["table.weight"], model.table.weight)
    with pytest.raises(ValueError, match="is several parameters of the first program"):
        gp.transfer({**ported, "h": ported["h"] + 1}, again.inverse())


def test_tied_weights_of_both_are_one() -> None:
    params = untied()
    del params["h"]
    mapping = maps(tied_loss, Tied().double(), of_tied(), params)
    assert mapping.is_proved
    assert not mapping.tied
    assert mapping["table.weight"] == ("e",)


def test_a_copy_with_another_gradient_is_not_tied() -> None:
    """The same numbers are not enough: the gradients of the copies have to add up to the one."""
    model, params = Tied().double(), untied()
    ported = gp.transfer(model, maps(tied_loss, model, of_tied(), params), like=params)
    wrong = maps(tied_loss, model, of_tied(1.5), ported)
    assert not wrong.is_proved
    assert not any(m.proof == "values and gradients" for m in wrong.matches)


def flat_loss(m: Any) -> Any:
    return (m(torch.tensor(IMAGES)) ** 3).mean()


def of_images(axes: tuple[int, ...], flip: bool = False) -> Any:
    def loss(p: Any) -> Any:
        x = jnp.asarray(IMAGES.transpose(0, 2, 3, 1))
        dims = ("NHWC", "HWIO", "NHWC")
        h = jax.lax.conv_general_dilated(x, p["kernel"], (1, 1), "VALID", dimension_numbers=dims)
        h = jax.nn.relu(h + p["kernel_bias"])
        h = (h[:, ::-1] if flip else h).transpose(0, *axes).reshape(2, -1)
        return ((h @ p["w"] + p["b"]) ** 3).mean()

    return loss


def of_flat() -> tuple[Any, Any]:
    parts = torch.nn.Conv2d(2, 4, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(48, 3)
    return torch.nn.Sequential(*parts).double(), drawn(
        kernel=(3, 3, 2, 4), kernel_bias=4, w=(48, 3), b=3
    )


@pytest.mark.parametrize("axes", [(3, 1, 2), (1, 2, 3), (2, 1, 3), (3, 2, 1)])
def test_features_that_are_flattened_in_another_order(axes: tuple[int, ...]) -> None:
    """Also where some features are zero in all of the batch, so that their numbers are equal."""
    model, params = of_flat()
    mapping = maps(flat_loss, model, of_images(axes), params)
    assert mapping.is_proved
    found = "transposed" if axes == (3, 1, 2) else "other order"
    assert pairs(mapping)["3.weight"] == f"w: {found}"
    assert parts_by(mapping, flat_loss, model, of_images(axes), params) < 1e-12
    back = gp.transfer(gp.transfer(model, mapping), mapping.inverse())
    assert all(torch.equal(back[name], a) for name, a in model.state_dict().items())


def test_features_that_are_no_flattening_are_not_proved() -> None:
    model, params = of_flat()
    mapping = maps(flat_loss, model, of_images((1, 2, 3), flip=True), params)
    assert not mapping.is_proved
    assert pairs(mapping)["3.weight"] == "w: transposed"


@pytest.mark.parametrize("is_ported", [False, True])
def test_a_convolution_of_one_pixel_has_the_layout_that_gives_the_shape(is_ported: bool) -> None:
    model, params = torch.nn.Conv2d(2, 4, 1, bias=False).double(), drawn(kernel=(1, 1, 2, 4))
    if is_ported:
        params = {"kernel": jnp.asarray(model.weight.detach().numpy().transpose(2, 3, 1, 0))}
    x = jnp.asarray(IMAGES.transpose(0, 2, 3, 1))
    mapping = maps(flat_loss, model, lambda p: ((x @ p["kernel"][0, 0]) ** 3).mean(), params)
    assert pairs(mapping) == {"weight": "kernel: axes (2, 3, 1, 0)"}
    assert mapping.inverse().matches[0].layout == "axes (3, 2, 0, 1)"
