"""Parameters moved from one program to another and back, bit by bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import gradparity as gp

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")

import jax.numpy as jnp  # noqa: E402

#: The function by which `transfer` sees whether safetensors is installed.
FIND = "gradparity.comparisons.aligning.parameters.transfer.find_spec"
rng = np.random.default_rng(0)
X = rng.standard_normal((4, 6))


pytestmark = pytest.mark.usefixtures("in_float64")


def maps(module: Any, f: Any, params: Any, g: Any) -> Any:
    """The map from a module to a pytree."""
    one = gp.record(f, module, name="torch", keep=True)
    return gp.map_parameters(one, gp.record(g, params, name="jax", keep=True))


def array(a: Any) -> Any:
    return jnp.asarray(a.detach().numpy())


def stirred(module: Any, dtype: Any = torch.float64) -> Any:
    torch.manual_seed(1)
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(torch.randn(p.shape))
    return module.to(dtype)


def there_and_back(module: Any, mapping: Any, params: Any) -> None:
    """The state dict becomes the pytree, and the pytree the state dict; other numbers move, too."""
    own = {n: p.detach().clone() for n, p in module.named_parameters()}
    found = gp.transfer(module, mapping)
    same = jax.tree.map(lambda a, b: a.dtype == b.dtype and bool((a == b).all()), found, params)
    assert all(jax.tree.leaves(same))
    back = gp.transfer(found, mapping.inverse())
    assert {n: (p.dtype, p.shape) for n, p in back.items()} == {
        n: (p.dtype, p.shape) for n, p in own.items()
    }
    assert all(torch.equal(back[n], p) for n, p in own.items())
    others = {n: torch.randn_like(p) for n, p in own.items()}
    again = gp.transfer(gp.transfer(others, mapping), mapping.inverse(), like=module)
    assert all(torch.equal(again[n], p) for n, p in others.items())
    assert list(again) == list(module.state_dict())


class Packed(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv = torch.nn.Linear(6, 12)

    def forward(self, x: Any) -> Any:
        return torch.nn.functional.scaled_dot_product_attention(*self.qkv(x).split(4, -1))


def attention(p: Any, x: Any) -> Any:
    q, k, v = (x @ p[n]["w"] + p[n]["b"] for n in "qkv")
    return jax.nn.softmax(q @ k.T / 2) @ v


def test_transposed_split_and_packed() -> None:
    module = stirred(Packed())
    w, b = module.qkv.weight, module.qkv.bias
    params = {
        n: {"w": array(w[4 * i : 4 * i + 4].T), "b": array(b[4 * i : 4 * i + 4])}
        for i, n in enumerate("qkv")
    }
    x, c = torch.tensor(X), rng.standard_normal((4, 4))
    mapping = maps(
        module,
        lambda m: (m(x) * torch.tensor(c)).sum(),
        params,
        lambda p: (attention(p, X) * c).sum(),
    )
    there_and_back(module, mapping, params)
    assert mapping.inverse().inverse() == mapping


class Images(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv2d(2, 3, 3)
        self.norm = torch.nn.BatchNorm2d(3)
        self.up = torch.nn.ConvTranspose2d(3, 2, 2)
        self.head = torch.nn.Linear(2 * 4 * 4, 5)

    def forward(self, x: Any) -> Any:
        return self.head(self.up(torch.tanh(self.norm(self.conv(x)))).flatten(1))


def of_images(p: Any, x: Any) -> Any:
    dims = ("NHWC", "HWIO", "NHWC")
    y = jnp.asarray(x.transpose(0, 2, 3, 1))
    y = jax.lax.conv_general_dilated(y, p["conv"], (1, 1), "VALID", dimension_numbers=dims)
    y = y + p["conv_bias"]
    y = (y - y.mean((0, 1, 2))) / jnp.sqrt(y.var((0, 1, 2)) + 1e-5)
    y = jnp.tanh(y * p["scale"].reshape(3) + p["shift"])
    pad = [(1, 1), (1, 1)]
    y = jax.lax.conv_general_dilated(y, p["up"], (1, 1), pad, dimension_numbers=dims)
    y = y + p["up_bias"]
    return y.reshape(len(y), -1) @ p["head"] + p["head_bias"]


def test_images_mirrored_kernels_and_another_flattening() -> None:
    module = stirred(Images())
    flat = module.head.weight.reshape(5, 2, 4, 4).permute(2, 3, 1, 0).reshape(-1, 5)
    params = {
        "conv": array(module.conv.weight.permute(2, 3, 1, 0)),
        "conv_bias": array(module.conv.bias),
        "scale": array(module.norm.weight).reshape(1, 1, 3),
        "shift": array(module.norm.bias),
        "up": array(module.up.weight.flip(2, 3).permute(2, 3, 0, 1)),
        "up_bias": array(module.up.bias),
        "head": array(flat),
        "head_bias": array(module.head.bias),
    }
    x, c = rng.standard_normal((3, 2, 5, 5)), rng.standard_normal((3, 5))
    mapping = maps(
        module,
        lambda m: (torch.sin(m(torch.tensor(x))) * torch.tensor(c)).sum(),
        params,
        lambda p: (jnp.sin(of_images(p, x)) * c).sum(),
    )
    assert "other order" in {match.layout for match in mapping.matches}
    there_and_back(module, mapping, params)


@pytest.mark.sample(1)
@pytest.mark.parametrize("depth", [3, 6])
def test_stacked_layers(depth: int) -> None:
    module = stirred(torch.nn.ModuleList(torch.nn.Linear(6, 6) for _ in range(depth)))
    params = {
        "w": jnp.stack([array(m.weight.T) for m in module]),
        "b": jnp.stack([array(m.bias) for m in module]),
    }

    def loss(m: Any) -> Any:
        h = torch.tensor(X)
        for layer in m:
            h = torch.sin(layer(h))
        return (h**2).sum()

    def looped(p: Any) -> Any:
        h = jnp.asarray(X)
        for i in range(depth):
            h = jnp.sin(h @ p["w"][i] + p["b"][i])
        return (h**2).sum()

    def scanned(p: Any) -> Any:
        def step(h: Any, p: Any) -> Any:
            return jnp.sin(h @ p["w"] + p["b"]), None

        return (jax.lax.scan(step, jnp.asarray(X), p)[0] ** 2).sum()

    for f in (looped, scanned):
        there_and_back(module, maps(module, loss, params, f), params)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_low_precision_and_special_numbers_keep_their_bits(dtype: Any) -> None:
    module = stirred(torch.nn.Linear(6, 3), dtype)
    params = {
        "w": jnp.asarray(module.weight.detach().float().numpy().T).astype(str(dtype)[6:]),
        "b": jnp.asarray(module.bias.detach().float().numpy()).astype(str(dtype)[6:]),
    }
    x = torch.tensor(X).to(dtype)
    there = jnp.asarray(x.float().numpy()).astype(str(dtype)[6:])
    mapping = maps(
        module,
        lambda m: torch.sin(m(x)).sum(),
        params,
        lambda p: jnp.sin(there @ p["w"] + p["b"]).sum(),
    )
    given = {n: torch.randn_like(p) for n, p in module.named_parameters()}
    given["weight"][0, :4] = torch.tensor([float("nan"), -0.0, float("inf"), 6e-8]).to(dtype)
    found = gp.transfer(given, mapping)
    assert found["w"].dtype.name == str(dtype)[6:]
    back = gp.transfer(found, mapping.inverse())
    bits = torch.int32 if dtype == torch.float32 else torch.int16
    assert all(torch.equal(back[n].view(bits), p.view(bits)) for n, p in given.items())


class Summed(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = torch.nn.Linear(6, 3), torch.nn.Linear(6, 3)

    def forward(self, x: Any) -> Any:
        return torch.sin(self.a(x) + self.b(torch.cos(x)))


def summed() -> tuple[Any, Any, Any]:
    module = stirred(Summed())
    params = {"a": array(module.a.weight.T), "b": array(module.b.weight.T),
              "bias": array(module.a.bias + module.b.bias)}  # fmt: skip
    x = torch.tensor(X)
    mapping = maps(
        module,
        lambda m: (m(x) ** 2).sum(),
        params,
        lambda p: (jnp.sin(X @ p["a"] + jnp.cos(X) @ p["b"] + p["bias"]) ** 2).sum(),
    )
    return module, params, mapping


def test_summed_biases_have_no_way_back() -> None:
    module, params, mapping = summed()
    found = gp.transfer(module, mapping)
    assert jax.tree.all(jax.tree.map(lambda a, b: bool((a == b).all()), found, params))
    with pytest.raises(ValueError, match=r"'bias' is the sum of .* does not tell its terms"):
        gp.transfer(found, mapping.inverse())


class Tied(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = torch.nn.Embedding(7, 6)
        self.norm = torch.nn.BatchNorm1d(6)
        self.head = torch.nn.Linear(6, 7, bias=False)
        self.head.weight = self.table.weight

    def forward(self, x: Any) -> Any:
        return self.head(self.norm(self.table(x)))


def tied() -> tuple[Any, Any, Any]:
    module, ids = stirred(Tied()), np.array([0, 3, 1, 6, 6, 2])
    params = {"table": array(module.table.weight), "scale": array(module.norm.weight),
              "shift": array(module.norm.bias)}  # fmt: skip

    def loss(p: Any) -> Any:
        h = p["table"][ids]
        h = (h - h.mean(0)) / jnp.sqrt(h.var(0) + 1e-5) * p["scale"] + p["shift"]
        return jnp.sin(h @ p["table"].T).sum()

    x = torch.tensor(ids)
    return module, params, maps(module, lambda m: torch.sin(m(x)).sum(), params, loss)


def test_a_state_dict_is_whole_with_like() -> None:
    module, params, mapping = tied()
    changed = jax.tree.map(lambda a: a + 1, params)
    state = gp.transfer(changed, mapping.inverse(), like=module)
    fresh = Tied().double()
    fresh.load_state_dict(state)
    assert torch.equal(fresh.head.weight, module.table.weight + 1)
    assert torch.equal(fresh.norm.running_mean, module.norm.running_mean)
    more = {"params": params, "step": 3, "ema": jnp.zeros(2)}
    found = gp.transfer(module, mapping, like=params)
    assert jax.tree.structure(found) == jax.tree.structure(params)
    with pytest.raises(ValueError, match="like has no parameter 'table'"):
        gp.transfer(module, mapping, like=more)


def test_what_cannot_be_moved_is_refused_in_words() -> None:
    module, _, mapping = tied()
    state = dict(module.state_dict())
    with pytest.raises(ValueError, match=r"no parameter 'norm.weight' is given"):
        gp.transfer({n: a for n, a in state.items() if n != "norm.weight"}, mapping)
    with pytest.raises(ValueError, match=r"has the shape \(5,\), and the recorded one \(6,\)"):
        gp.transfer({**state, "norm.bias": torch.zeros(5)}, mapping)
    with pytest.raises(ValueError, match=r"no parameter .* is given, which the map has; none is"):
        gp.transfer({}, mapping)
    with pytest.raises(ValueError, match=r"those given are table\.weight, norm\.weight"):
        gp.transfer({n: a for n, a in state.items() if n != "norm.bias"}, mapping)
    with pytest.raises(ValueError, match="give a module or a state dict"):
        gp.transfer(3, mapping)
    with pytest.raises(TypeError, match=r"give gp.map_parameters"):
        gp.transfer(module, {})
    jax.config.update("jax_enable_x64", False)
    with pytest.raises(ValueError, match="jax_enable_x64"):
        gp.transfer(module, mapping)


def exchanged(f: Any) -> tuple[Any, dict[str, Any]]:
    """The map of a program that may exchange two of its equal parameters, and the parameters."""
    a, b, c = (torch.ones(6, dtype=torch.float64).requires_grad_() for _ in range(3))
    one = gp.record(lambda: (f(c) * a + f(c) * b).sum(), keep=True)
    return gp.map_parameters(one, one), {"input_1": c, "input_2": a, "input_3": b}


def test_equal_parameters_that_may_be_exchanged() -> None:
    mapping, params = exchanged(lambda c: torch.sin(torch.tensor(X) * c))
    found = gp.transfer(params, mapping)
    assert mapping.is_proved
    assert {name: (a == 1).all().item() for name, a in found.items()} == dict.fromkeys(params, True)


def test_equal_parameters_that_nothing_tells_apart() -> None:
    """What they meet has no formula, so that the program cannot be computed anew."""
    x = torch.tensor(X)
    mapping, params = exchanged(lambda c: torch.linalg.eigvalsh(x.T @ x + torch.diag(c)).sum())
    with pytest.raises(ValueError, match=r"nothing tells .* apart"):
        gp.transfer(params, mapping)


def test_what_the_map_lacks_has_to_be_given() -> None:
    extra, x = torch.ones(2, dtype=torch.float64).requires_grad_(), torch.tensor(X)
    w = stirred(torch.nn.Linear(6, 2))
    one = gp.record(lambda m: torch.sin(m(x)).sum(), w, keep=True)
    other = gp.record(lambda m: torch.sin(m(x)).sum() + (3 * extra).sum(), w, keep=True)
    with pytest.raises(ValueError, match="nothing for input_1; give like="):
        gp.transfer(w, gp.map_parameters(one, other))


def test_files_without_safetensors(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    module, _, mapping = tied()
    monkeypatch.setattr(FIND, lambda _: None)
    for given, to in ((tmp_path / "a.safetensors", None), (module, tmp_path / "a.safetensors")):
        with pytest.raises(ImportError, match="pip install safetensors"):
            gp.transfer(given, mapping, to=to)


def test_files_of_tied_weights(tmp_path: Path) -> None:
    """PyTorch's have each weight once, as `save_model` writes them and `load_model` reads them."""
    of_numpy = pytest.importorskip("safetensors.numpy")
    of_torch = pytest.importorskip("safetensors.torch")
    module, params, mapping = tied()
    path, port = str(tmp_path / "model.safetensors"), str(tmp_path / "port.safetensors")
    of_torch.save_model(module, path)
    found = gp.transfer(path, mapping, to=port)
    assert jax.tree.structure(found) == jax.tree.structure(params)
    written = of_numpy.load_file(port)
    assert {n: a.dtype for n, a in written.items()} == {n: a.dtype for n, a in params.items()}
    assert all(np.array_equal(written[name], params[name]) for name in params)
    assert torch.equal(gp.transfer(port, mapping.inverse())["table.weight"], module.table.weight)
    back = str(tmp_path / "back.safetensors")
    gp.transfer(port, mapping.inverse(), like=module, to=back)
    fresh = Tied().double()
    of_torch.load_model(fresh, back)
    assert fresh.head.weight is fresh.table.weight
    for name, tensor in module.state_dict().items():
        assert torch.equal(fresh.state_dict()[name], tensor)
    assert gp.transfer(back, mapping).keys() == params.keys()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_files_keep_every_bit(tmp_path: Path, dtype: Any) -> None:
    """Also of a transposed weight, of a part of another tensor, and without 64 bits in JAX."""
    of_torch = pytest.importorskip("safetensors.torch")
    layer = stirred(torch.nn.Linear(6, 3))
    params, x = {"w": array(layer.weight).T, "b": array(layer.bias)}, torch.tensor(X)
    mapping = maps(layer, lambda m: torch.sin(m(x)).sum(), params,
                   lambda p: jnp.sin(jnp.asarray(X) @ p["w"] + p["b"]).sum())  # fmt: skip
    state = {"weight": torch.randn(4, 6).to(dtype)[1:], "bias": torch.randn(3).to(dtype)}
    path, port = str(tmp_path / "model.safetensors"), str(tmp_path / "port.safetensors")
    gp.transfer(state, mapping, to=port)
    written = of_torch.load_file(port)
    assert torch.equal(written["w"], state["weight"].T)
    with jax.enable_x64(False):
        back = gp.transfer(port, mapping.inverse(), to=path)
    for found in (back, of_torch.load_file(path)):
        assert {n: a.dtype for n, a in found.items()} == dict.fromkeys(state, dtype)
        assert all(torch.equal(found[name], state[name]) for name in state)
    again = gp.transfer(path, mapping, like=params)
    assert again["w"].dtype.name == str(dtype).removeprefix("torch.")
    whole = {"weight": state["weight"], "bias": state["bias"], "rest": torch.ones(2, 3).T}
    gp.transfer(port, mapping.inverse(), like=whole, to=path)
    assert torch.equal(of_torch.load_file(path)["rest"], whole["rest"])
