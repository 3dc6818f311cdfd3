"""Gradients that a map of the parameters pairs by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradparity as gp

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")
jnp = jax.numpy

pytestmark = pytest.mark.usefixtures("in_float64")

X = np.random.default_rng(0).standard_normal((5, 4))
NAMES = {"0.weight": "w1", "1.weight": "s1", "3.weight": "w2", "4.weight": "s2", "4.bias": "b2"}


class Norm(torch.nn.Module):
    """A scale and a shift, which start as those of every other one."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(4))
        self.bias = torch.nn.Parameter(torch.zeros(4))

    def forward(self, x: Any) -> Any:
        return x * self.weight + self.bias


def network() -> Any:
    torch.manual_seed(0)
    nn = torch.nn
    bare = nn.Linear(4, 4, bias=False), nn.Linear(4, 4, bias=False)
    return nn.Sequential(bare[0], Norm(), nn.Tanh(), bare[1], Norm()).double()


def one() -> Any:
    model, x = network(), torch.tensor(X)
    return gp.record(lambda m: (m(x) ** 3).sum(), model, name="torch", keep=True)


def other(scales: tuple[str, str] = ("s1", "s2")) -> Any:
    own = {n: p.detach().numpy() for n, p in network().named_parameters()}
    p = {"w1": own["0.weight"].T, "w2": own["3.weight"].T, "b1": own["1.bias"], "b2": own["4.bias"]}
    p |= {"s1": own["1.weight"], "s2": own["4.weight"]}

    def loss(p: Any) -> Any:
        h = jnp.tanh(X @ p["w1"] * p[scales[0]] + p["b1"])
        return ((h @ p["w2"] * p[scales[1]] + p["b2"]) ** 3).sum()

    return gp.record(loss, {n: jnp.asarray(a) for n, a in p.items()}, name="jax", keep=True)


def wrong(report: Any) -> dict[str, str]:
    return {f.quantity.name: f.note for f in report.runs[0].findings if f.parity is False}


def test_a_right_port_is_paired_by_both_names() -> None:
    report = gp.align(one(), other(), parameters=NAMES)
    assert report.exit_code == 0
    found = {f.quantity.name: f.note for f in report.runs[0].findings if f.quantity.is_gradient}
    assert all(repr(there) in found[name] for name, there in NAMES.items())
    assert not found["1.bias"]


def test_equal_parameters_that_were_exchanged_show_by_their_names_alone() -> None:
    exchanged = other(("s2", "s1"))
    assert gp.align(one(), exchanged).exit_code == 0
    report = gp.align(one(), exchanged, parameters=NAMES)
    assert report.exit_code == 1
    assert {*wrong(report)} == {"1.weight", "4.weight"}
    assert "it is that of 's2'" in wrong(report)["1.weight"]
    assert "gradients first part at" in report.runs[0].about
    known = {name: there for name, there in NAMES.items() if not name.endswith("weight")}
    assert not wrong(gp.align(one(), exchanged, parameters=known))


def test_a_map_that_was_found_names_the_pairs() -> None:
    mapping = gp.map_parameters(one(), other())
    report = gp.align(one(), other(), parameters=mapping)
    assert report.exit_code == 0
    (note,) = (f.note for f in report.runs[0].findings if f.quantity == "grad 0.weight")
    assert "'w1'" in note
    back = gp.align(other(), one(), parameters=mapping.inverse())
    assert back.exit_code == 0
    assert wrong(gp.align(one(), other(("s2", "s1")), parameters=mapping))


def test_packed_split_and_summed_parameters() -> None:
    rng = np.random.default_rng(1)
    a, b, bias = rng.standard_normal((4, 3)), rng.standard_normal((4, 3)), rng.standard_normal(6)
    x = torch.tensor(X)

    def packed(w: Any, bias: Any) -> Any:
        return torch.tanh(x @ w + bias).pow(3).sum()

    def split(p: Any) -> Any:
        h = jnp.concatenate([X @ p["a"], X @ p["b"]], -1) + p["c"] + p["d"]
        return (jnp.tanh(h) ** 3).sum()

    given = [torch.tensor(n).requires_grad_() for n in (np.concatenate([a, b], -1), bias)]
    one = gp.record(packed, *given, keep=True)
    c = rng.standard_normal(6)
    p = {"a": a, "b": b, "c": c, "d": bias - c}
    other = gp.record(split, {n: jnp.asarray(v) for n, v in p.items()}, keep=True)
    w, bias_name = sorted(one.leaves, key=lambda n: -one.leaves[n].got.size)
    names = {w: ("a", "b"), bias_name: ("c", "d")}
    assert gp.align(one, other, parameters=names).exit_code == 0
    back = {there: name for name, several in names.items() for there in several}
    assert gp.align(other, one, parameters=back).exit_code == 0


def test_other_numbers_by_design_are_not_accused() -> None:
    x = torch.tensor(X)
    w = torch.tensor([0.3, -0.2, 0.5, 0.1], dtype=torch.float64)
    one = gp.record(lambda w: torch.tanh(x * w.exp()).sum(), w.requires_grad_(), keep=True)
    scale = jnp.exp(jnp.asarray(w.detach().numpy()))
    other = gp.record(lambda s: jnp.tanh(X * s["s"]).sum(), {"s": scale}, keep=True)
    plain, mapped = gp.align(one, other), gp.align(one, other, parameters={"arg0": "s"})
    assert wrong(plain) == wrong(mapped)


def test_what_is_no_map_is_refused() -> None:
    first, second = one(), other()
    with pytest.raises(TypeError, match="map_parameters"):
        gp.align(first, second, parameters=["0.weight"])
    with pytest.raises(TypeError, match="give names"):
        gp.align(first, second, parameters={"0.weight": 3})
    with pytest.raises(ValueError, match=r"'jax' has no parameter 'w3'.*did you mean 'w"):
        gp.align(first, second, parameters={"0.weight": "w3"})
    with pytest.raises(ValueError, match="'torch' has no parameter"):
        gp.align(first, second, parameters={"weight": "w1"})


@pytest.mark.parametrize(
    ("given", "shapes"),
    [({"0.weight": "s1"}, (r"'0\.weight', of shape \(4, 4\)", r"'s1', of shape \(4,\)")),
     ({"0.weight": "w1", "4.bias": "w2"}, (r"'4\.bias', of shape \(4,\)", "'w2', of")),
     ({"0.weight": ("w1", "w2", "b1")}, (r"'0\.weight', of .*", r"'w1', .*, and 'b1', of")),
     ({"0.weight": "s1", "3.weight": "s1"}, (r"'0\.weight', .*, and '3\.weight', .*", "'s1', of"))],
)  # fmt: skip
def test_parameters_of_other_sizes_are_refused(given: Any, shapes: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match=", to ".join(shapes)):
        gp.align(one(), other(), parameters=given)


def attended(order: tuple[int, int, int] = (0, 1, 2)) -> tuple[Any, Any]:
    """Attention with biases of zero, and its port, which takes them in another order."""
    torch.manual_seed(0)
    x, w = torch.tensor(X.reshape(1, 5, 4)), torch.randn(4, 12, dtype=torch.float64)
    p = {"w": w, "b": torch.zeros(12, dtype=torch.float64)}

    def loss(m: Any) -> Any:
        q, k, v = (x @ m["w"] + m["b"]).chunk(3, -1)
        return (torch.softmax(q @ k.transpose(1, 2) / 2, -1) @ v).pow(3).sum()

    def ported(p: Any) -> Any:
        biases = jnp.split(p["b"], 3)
        q, k, v = (
            a + biases[i] for a, i in zip(jnp.split(x.numpy() @ p["w"], 3, -1), order, strict=True)
        )
        return ((jax.nn.softmax(q @ k.swapaxes(1, 2) / 2) @ v) ** 3).sum()

    given = torch.nn.ParameterDict({n: torch.nn.Parameter(a) for n, a in p.items()})
    one = gp.record(loss, given, name="torch", keep=True)
    params = {n: jnp.asarray(a.numpy()) for n, a in p.items()}
    return one, gp.record(ported, params, name="jax", keep=True)


@pytest.mark.parametrize("named", [False, True])
def test_a_gradient_in_another_order_is_not_that_of_a_parameter_of_equal_numbers(
    named: bool,
) -> None:
    given = {"parameters": {"w": "w", "b": "b"}} if named else {}
    assert gp.align(*attended(), **given).exit_code == 0
    report = gp.align(*attended((1, 0, 2)), **given)
    assert report.exit_code == 1
    assert {*wrong(report)} == {"b"}
    assert "but for the order of its elements" in wrong(report)["b"]


def test_a_map_of_equal_numbers_is_proved_by_the_gradients() -> None:
    assert gp.map_parameters(*attended()).is_proved
    one, other = attended((1, 0, 2))
    mapping = gp.map_parameters(one, other)
    assert not mapping.is_proved
    assert "not proved" in str(mapping)
    assert {*wrong(gp.align(one, other, parameters=mapping))} == {"b"}


@pytest.mark.parametrize(("there", "differs"), [("w", False), ("w.T", False), ("reversed", True)])
def test_a_symmetric_matrix_may_be_transposed_and_no_more(there: str, differs: bool) -> None:
    x, w = torch.tensor(X), torch.eye(4, dtype=torch.float64).requires_grad_()
    laid = {"w": lambda w: w, "w.T": lambda w: w.T, "reversed": lambda w: w[::-1, ::-1]}[there]
    one = gp.record(lambda p: (torch.tanh(x @ p["w"]) ** 3).sum(), {"w": w}, name="o", keep=True)

    def loss(p: Any) -> Any:
        return (jnp.tanh(X @ laid(p["w"])) ** 3).sum()

    other = gp.record(loss, {"w": jnp.eye(4)}, name="p", keep=True)
    names = dict(zip(one.leaves, other.leaves, strict=True))
    report = gp.align(one, other, parameters=names)
    assert report.exit_code == differs, report


def test_a_bias_of_zeros_follows_the_order_of_the_rows_of_the_weight() -> None:
    order, x = np.array([2, 0, 3, 1]), torch.tensor(X)
    w = np.random.default_rng(2).standard_normal((4, 4))
    weight = np.arange(1.0, 5.0)
    given = {"w": torch.tensor(w), "b": torch.zeros(4, dtype=torch.float64)}

    def ported(p: Any) -> Any:
        h = jnp.tanh(X @ p["w"][np.argsort(order)].T + p["b"][np.argsort(order)])
        return (h**3 * weight).sum()

    def loss(p: Any) -> Any:
        return ((torch.tanh(x @ p["w"].T + p["b"]) ** 3) * torch.tensor(weight)).sum()

    model = torch.nn.ParameterDict({n: torch.nn.Parameter(a) for n, a in given.items()})
    one = gp.record(loss, model, keep=True)
    params = {"w": jnp.asarray(w[order]), "b": jnp.zeros(4)}
    other = gp.record(ported, params, keep=True)
    assert gp.align(one, other).exit_code == 0
    assert gp.align(one, other, parameters={"w": "w", "b": "b"}).exit_code == 0


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_parts_of_equal_numbers_are_packed_in_the_order_of_the_map(order: tuple[int, int]) -> None:
    x, weight = torch.tensor(X[:, :2]), torch.arange(1.0, 5.0).double()
    b = torch.zeros(4, dtype=torch.float64).requires_grad_()
    y = torch.cat([x, x * x], -1)
    one = gp.record(lambda b: (torch.tanh(y + b) ** 3 * weight).sum(), b, keep=True)

    def loss(p: Any) -> Any:
        bias = jnp.concatenate([p["ab"[i]] for i in order])
        return (jnp.tanh(y.numpy() + bias) ** 3 * weight.numpy()).sum()

    other = gp.record(loss, {"a": jnp.zeros(2), "b": jnp.zeros(2)}, keep=True)
    report = gp.align(one, other, parameters={"arg0": ("a", "b")})
    assert report.exit_code == (order != (0, 1)), report
