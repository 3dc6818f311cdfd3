"""`gradparity.rule` and ops of `torch.library`, from outside the package."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import gradparity as gp
from gradparity.core import Op

torch = pytest.importorskip("torch")
from gradparity.adapters.torch.record.aten.table import RULES  # noqa: E402

#: Name of the op -> the factor by which its gradient is wrong.
FACTORS = {"right": 1.0, "wrong": 1.5}


def custom(name: str, kernel: Any, slope: Any) -> Any:
    """A custom op of one tensor and a number, with autograd."""
    op = torch.library.custom_op(
        f"gradparity_tests::{name}", kernel, mutates_args=(),
        schema="(Tensor x, float beta=1.0) -> Tensor",
    )  # fmt: skip

    def setup(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(inputs[0])
        ctx.beta = inputs[1]

    op.register_autograd(
        lambda ctx, d: (d * slope(ctx.saved_tensors[0], ctx.beta), None), setup_context=setup
    )
    return op


def silu(x: Any, beta: float = 1.0) -> Any:
    return x * torch.sigmoid(beta * x)


def hidden(x: Any, beta: float = 1.0) -> Any:
    """The same in NumPy: no op is seen."""
    a = x.detach().numpy()
    return torch.from_numpy(a / (1 + np.exp(-beta * a)))


def slope(x: Any, beta: float) -> Any:
    s = torch.sigmoid(beta * x)
    return s + beta * x * s * (1 - s)


OPS = {
    (kind, seen): custom(
        f"{kind}_{seen}", {"seen": silu, "hidden": hidden}[seen],
        lambda x, beta, c=factor: c * slope(x, beta),
    )
    for kind, factor in FACTORS.items()
    for seen in ("seen", "hidden")
}  # fmt: skip


@pytest.fixture(autouse=True)
def _rules_as_before() -> Iterator[None]:
    before = dict(RULES)
    yield
    RULES.clear()
    RULES.update(before)


def recorded(op: Any) -> Any:
    torch.manual_seed(0)
    x = torch.randn(3, 4, requires_grad=True)
    with gp.record() as step:
        y = op(x, 1.7)
        (y * torch.randn_like(y)).sum().backward()
    return step


@pytest.mark.parametrize("kind", FACTORS)
def test_a_custom_op_is_held_to_the_ops_of_its_kernel(kind: str) -> None:
    step = recorded(OPS[kind, "seen"])
    assert not step.unjudged
    wrong = {f.node for f in step.findings if f.parity is False}
    assert wrong == (set() if kind == "right" else {f"gradparity_tests_{kind}_seen_1"})
    assert step.places[f"gradparity_tests_{kind}_seen_1"].function.startswith("gradparity_tests.")


def test_the_numbers_are_those_of_the_plain_run() -> None:
    def run() -> Any:
        torch.manual_seed(0)
        x = torch.randn(3, 4, requires_grad=True)
        OPS["right", "seen"](x, 1.7).sum().backward()
        return x.grad

    plain = run()
    with gp.record():
        watched = run()
    assert torch.equal(plain, watched)


@pytest.mark.parametrize("kind", FACTORS)
def test_a_kernel_without_visible_ops(kind: str) -> None:
    op = OPS[kind, "hidden"]
    step = recorded(op)
    assert step.by_values == {f"gradparity_tests.{kind}_hidden.default": 1}
    assert gp.check(step).exit_code == (0 if kind == "right" else 1)
    with gp.record(strict=True) as strictly:
        op(torch.randn(3, 4, requires_grad=True), 1.7).sum().backward()
    (unjudged,) = strictly.unjudged
    assert f"gradparity.rule('gradparity_tests::{kind}_hidden')" in unjudged.why
    gp.rule(f"gradparity_tests::{kind}_hidden")(lambda call: gp.ops.SiLU(call.beta))
    step = recorded(op)
    assert not step.unjudged
    assert gp.check(step).exit_code == (0 if kind == "right" else 1)


@dataclass(frozen=True)
class Swish(Op):
    """An op of the user's."""

    beta: float

    def forward(self, y: Any) -> Any:
        return y / (1 + np.exp(-self.beta * y))

    def vjp(self, dz: Any, inputs: Any, z: Any) -> Any:
        (y,) = inputs
        s = 1 / (1 + np.exp(-self.beta * y))
        return (dz * (s + self.beta * y * (s * (1 - s))),)


@pytest.mark.parametrize("returned", [lambda c: Swish(c.beta), lambda c: (Swish(c.beta), ("x",))])
def test_an_op_of_the_users_own(returned: Any) -> None:
    gp.rule("gradparity_tests::right_hidden", "gradparity_tests::wrong_hidden")(returned)
    assert gp.check(recorded(OPS["right", "hidden"])).exit_code == 0
    assert gp.check(recorded(OPS["wrong", "hidden"])).exit_code == 1


def test_a_rule_that_says_something_else_is_seen_in_the_values() -> None:
    gp.rule("gradparity_tests::right_hidden")(lambda call: gp.ops.SiLU(1.0))
    wrong = [f for f in recorded(OPS["right", "hidden"]).findings if f.parity is False]
    assert any(f.quantity.is_value for f in wrong)


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        (lambda call: None, "return an op of gradparity.ops"),
        (lambda call: gp.ops.SiLU(call.gamma), "gamma"),
        (lambda call: gp.ops.Transpose((1, 0)), "shape"),
        (lambda call: gp.ops.Multiply(), ""),
    ],
    ids=["nothing", "no such argument", "another shape", "other inputs"],
)
def test_a_rule_that_does_not_fit_is_told_and_ends_nothing(returned: Any, said: str) -> None:
    gp.rule("gradparity_tests::right_hidden")(returned)
    (unjudged,) = recorded(OPS["right", "hidden"]).unjudged
    assert said in unjudged.why
    assert "IndexError" not in unjudged.why


@pytest.mark.parametrize(
    ("names", "error"),
    [((), TypeError), (("silu",), ValueError), (("a::b::c",), ValueError),
     (("a::b.c.d",), ValueError), (("a:: b",), ValueError)],
)  # fmt: skip
def test_names_that_are_those_of_no_op(names: Any, error: Any) -> None:
    with pytest.raises(error, match="mylib::fused_op"):
        gp.rule(*names)


def test_nodes_of_copied_views_are_those_of_their_ops() -> None:
    x = torch.randn(3, 3, requires_grad=True)
    with gp.record() as step:
        (torch.diag(x).sum() + torch.transpose_copy(x, 0, 1).exp().sum()).backward()
        torch.select_copy(x, 0, 1).sum().backward()
        torch.expand_copy(x, (2, 3, 3)).sum().backward()
    assert not step.unjudged
    assert gp.check(step).exit_code == 0
