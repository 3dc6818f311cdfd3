"""`align` where programs differ in what they do to data, before anything has a gradient."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import gradparity as gp

torch = pytest.importorskip("torch")
jax = pytest.importorskip("jax")
jnp = jax.numpy

pytestmark = pytest.mark.usefixtures("in_float64")

RNG = np.random.default_rng(5)
X, W = RNG.standard_normal((4, 5)), RNG.standard_normal((5, 3))


def in_torch(x: Any, w: Any) -> Any:
    centred = x - x.mean(0, keepdim=True)
    spread = (centred * centred).mean(0, keepdim=True)
    return (torch.tanh(centred / torch.sqrt(spread + 1e-5) @ w) ** 2).sum()


def recorded(f: Any = in_torch, x: Any = X) -> Any:
    return gp.record(f, torch.tensor(x), torch.tensor(W, requires_grad=True), keep=True)


def ported(eps: float = 1e-5, ddof: int = 0, times: float = 1.0) -> Any:
    def loss(w: Any, x: Any) -> Any:
        centred = x - x.mean(0, keepdims=True)
        scaled = times * centred / jnp.sqrt(x.var(0, keepdims=True, ddof=ddof) + eps)
        return (jnp.tanh(scaled @ w) ** 2).sum()

    return gp.record(loss, jnp.asarray(W), jnp.asarray(X), keep=True)


def notes(report: Any) -> list[str]:
    return [f.note for _, f in report.findings() if f.parity is False]


def nodes(recording: Any) -> list[str]:
    return [call.place.node for call in recording.preparations]


def test_what_is_done_to_data_is_kept_in_its_order() -> None:
    expected = "mean_1 sub_1 mul_1 mean_2 add_1 sqrt_1 div_1".split()
    assert nodes(recorded()) == [f"data.{name}" for name in expected]
    assert [call.z[0].shape for call in recorded().preparations][-1] == (4, 5)


def test_the_data_of_a_port_is_prepared_alike() -> None:
    for one, other in ((recorded(), ported()), (ported(), recorded())):
        assert gp.align(one, other).exit_code == 0


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"eps": 1e-3}, ("1e-05", "0.001")),
        ({"times": 3.0}, ("3",)),
    ],
)
@pytest.mark.parametrize("turned", [False, True])
def test_a_difference_is_told_at_what_prepares_the_data(
    how: dict[str, Any], said: tuple[str, ...], turned: bool
) -> None:
    pair = recorded(), ported(**how)
    (note,) = notes(gp.align(*(pair[::-1] if turned else pair)))
    assert all(part in note for part in said)


def test_a_variance_of_data_without_its_correction() -> None:
    report = gp.align(recorded(), ported(ddof=1))
    assert report.exit_code == 1
    assert all(f.node.startswith("data.") for _, f in report.findings() if f.parity is False)


def test_statistics_of_a_buffer_in_one_op_and_in_several() -> None:
    """A norm that predicts, and the same folded into a product, whose eps is on buffers alone."""
    norm = torch.nn.BatchNorm1d(3).double().eval()
    norm.running_var.copy_(torch.tensor([0.5, 2.0, 1.5]))
    x = torch.tensor(X[:, :3])

    def plain(norm: Any) -> Any:
        return (norm(torch.tanh(x)) ** 3).sum()

    def folded(norm: Any, eps: float = 1e-5) -> Any:
        gain = norm.weight / (norm.running_var + eps).sqrt()
        return ((torch.tanh(x) * gain + (norm.bias - norm.running_mean * gain)) ** 3).sum()

    one = gp.record(plain, norm, keep=True)
    assert gp.align(one, gp.record(folded, norm, keep=True)).exit_code == 0
    other = gp.record(folded, norm, 1e-3, keep=True)
    for pair in ((one, other), (other, one)):
        assert any("0.001" in note for note in notes(gp.align(*pair)))


def test_data_prepared_outside_is_a_constant() -> None:
    """One program is given what the other one computes."""

    def given(x: Any, w: Any) -> Any:
        return (torch.tanh(x @ w) ** 2).sum()

    centred = X - X.mean(0)
    scaled = centred / np.sqrt((centred**2).mean(0) + 1e-5)
    assert gp.align(recorded(), recorded(given, scaled)).exit_code == 0
    assert gp.align(recorded(given, scaled), recorded()).exit_code == 0
    (note,) = notes(gp.align(recorded(), recorded(given, scaled + 1)))
    assert "1 larger there" in note


def test_ops_in_place_and_after_the_backward_pass() -> None:
    x, w = torch.tensor(X), torch.tensor(W, requires_grad=True)
    with gp.record(keep=True) as recording:
        x = x.mul_(2).clamp_(min=-1)
        loss = (x @ w).square().sum()
        loss.backward()
        with torch.no_grad():
            w.sub_(0.1 * w.grad)
    assert nodes(recording) == ["data.mul_1", "data.clamp_1"]
    first = recording.preparations[0]
    assert np.array_equal(first.inputs[0].array, X)
    assert np.array_equal(first.z[0], 2 * X)


def test_nothing_of_it_is_kept_without_being_asked() -> None:
    args = torch.tensor(X), torch.tensor(W, requires_grad=True)
    assert not gp.record(in_torch, *args).preparations
    plain, kept = (gp.record(in_torch, *args, keep=keep) for keep in (False, True))
    assert np.array_equal(plain.leaves["arg1"].got, kept.leaves["arg1"].got)
    assert len(plain.findings) == len(kept.findings)


def test_steps_of_a_loop_and_keys_of_random_numbers_are_left_out() -> None:
    def loss(w: Any, x: Any) -> Any:
        noise = jax.random.normal(jax.random.PRNGKey(0), x.shape)

        def step(carry: Any, row: Any) -> Any:
            return carry + (jnp.sin(row) * w[:, 0]).sum(), jnp.cos(row)

        total, _ = jax.lax.scan(step, 0.0, x + 0.1 * noise)
        return total**2

    recording = gp.record(loss, jnp.asarray(W), jnp.asarray(X), keep=True)
    assert gp.check(recording).exit_code == 0
    assert gp.align(recording, recording).exit_code == 0
    assert nodes(recording)
    assert not any(".step" in node for node in nodes(recording))
