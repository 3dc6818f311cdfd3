"""A PyTorch step watched as it is: whatever people do in one."""

from __future__ import annotations

import gc
import math
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradparity as gp

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.utils.checkpoint import checkpoint  # noqa: E402

pytestmark = pytest.mark.usefixtures("seeded")


def parameter(*shape: int) -> Any:
    return nn.Parameter(torch.randn(*shape, dtype=torch.float64))


torch.manual_seed(0)
W = parameter(4, 4)
X = torch.randn(3, 4, dtype=torch.float64)


def in_place() -> None:
    y = X @ W
    y = y.mul_(2.0).relu_()
    (y * y).sum().backward()


def into_a_view() -> None:
    y = X @ W
    y[:, 0] *= 3.0
    (y * y).sum().backward()


def written_whole() -> None:
    z = torch.zeros(3, 4, dtype=torch.float64)
    z[:, :] = X @ W
    (z * z).sum().backward()


def written_into_a_row() -> None:
    y = X @ W
    z = torch.zeros(3, 4, dtype=torch.float64)
    z[1] = y[0]
    z[2].add_(y[1])
    (z * z).sum().backward()


def several_uses() -> None:
    y = X @ W
    (y * y + torch.tanh(y)).sum().backward()


def checkpointed() -> None:
    checkpoint(lambda t: torch.tanh(t @ W) * t, X @ W, use_reentrant=False).sum().backward()


def checkpointed_twice() -> None:
    """The parameter of a reentrant checkpoint is used outside of it too, and it holds another."""

    def inner(t: Any) -> Any:
        return torch.tanh(t @ W)

    def outer(t: Any) -> Any:
        return checkpoint(inner, t.sin(), use_reentrant=True) @ W

    checkpoint(outer, X @ W, use_reentrant=True).square().sum().backward()


def hidden_row() -> None:
    mask = torch.ones(3, 3, dtype=torch.bool)
    mask[0] = False
    x = (X @ W)[None, None]
    nn.functional.scaled_dot_product_attention(x, x, x, attn_mask=mask).square().sum().backward()


def unset_memory() -> None:
    """Memory that holds anything, NaN among it, until all of it is written."""
    z = torch.full((3, 6), float("nan"), dtype=torch.float64)
    z[1:, 5] = -math.inf
    z[:, 4].copy_(z[:, 5])
    z[:, :4].copy_(X @ W)
    z[:, 4:] = X[:, :2]
    z[0, 0] = W[0, 0]
    z.square().sum().backward()


def checkpointed_reentrant() -> None:
    checkpoint(lambda t: torch.tanh(t @ W) * t, X @ W, use_reentrant=True).sum().backward()


def attention() -> None:
    q = (X @ W).view(1, 1, 3, 4)
    nn.functional.scaled_dot_product_attention(q, q, q, is_causal=True).square().sum().backward()


def accumulated() -> None:
    for part in X.split(1):
        torch.tanh(part @ W).sum().backward()


def without_gradients() -> None:
    with torch.no_grad():
        c = (X @ W).tanh()
    ((X @ W) * c).sum().backward()


def two_losses() -> None:
    y = X @ W
    y.tanh().sum().backward(retain_graph=True)
    y.exp().sum().backward()


def stepped() -> None:
    optimiser = torch.optim.Adam([W], lr=0.0)
    (X @ W).tanh().sum().backward()
    nn.utils.clip_grad_norm_([W], 1e9)
    optimiser.step()


def evaluated_too() -> None:
    ((X @ W).tanh().sum() * 2).item()  # never meets a backward
    (X @ W).exp().mean().backward()


def loss_scale() -> None:
    ((X @ W).tanh().sum() * 65536.0).backward()


def parts() -> None:
    a, b = (X @ W).split(2, 1)
    (a.exp().sum() + torch.cat([b, a], 0).sin().sum()).backward()


def tied() -> None:
    ((X @ W).tanh() @ W.t()).square().sum().backward()


STEPS = [
    in_place, into_a_view, written_whole, written_into_a_row, several_uses, checkpointed, attention,
    checkpointed_reentrant, checkpointed_twice, hidden_row, unset_memory,
    accumulated, without_gradients, two_losses, stepped,
    evaluated_too, loss_scale, parts, tied,
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:None of the inputs have requires_grad")
@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.__name__)
def test_a_step_is_judged_and_its_gradients_are_those_of_the_plain_run(
    step: Callable[[], None],
) -> None:
    W.grad = None
    step()
    plain, W.grad = W.grad, None
    with gp.record() as seen:
        step()
    assert torch.equal(plain, W.grad)
    report = gp.check(seen)
    assert report.exit_code == 0, report.diagnosis()
    assert seen.coverage == 1.0
    finals = [f for _, f in report.findings() if f.final]
    several = {accumulated: 3, two_losses: 2, checkpointed_reentrant: 3, checkpointed_twice: 5}
    assert len(finals) == several.get(step, 1)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_a_mask_of_infinities_is_exact(dtype: str) -> None:
    own = getattr(torch, dtype)
    layer = nn.MultiheadAttention(4, 2, batch_first=True, dtype=own)
    mask = nn.Transformer.generate_square_subsequent_mask(3, dtype=own)
    x = X[None].to(own)
    with gp.record() as seen:
        layer(x, x, x, attn_mask=mask)[0].square().sum().backward()
    assert gp.check(seen).exit_code == 0
    assert seen.coverage == 1.0


def test_what_is_added_to_a_gradient_is_judged_too() -> None:
    W.grad = torch.ones_like(W)
    with gp.record() as seen:
        (X @ W).tanh().sum().backward()
    (added,) = [f for f in seen.findings if f.quantity == "value parameter_1.grad"]
    assert added.parity


def test_gradients_by_autograd_grad_are_final() -> None:
    with gp.record() as seen:
        torch.autograd.grad((X @ W).tanh().sum(), [W])
    (final,) = [f for _, f in gp.check(seen).findings() if f.final]
    assert final.quantity == "grad parameter_1"
    assert final.parity


def test_inputs_of_backward_are_asked_for_alone() -> None:
    other = parameter(4)
    with gp.record() as seen:
        ((X @ W) @ other).sum().backward(inputs=[W])
    report = gp.check(seen)
    assert report.exit_code == 0
    assert [f.quantity for _, f in report.findings() if f.final] == ["grad parameter_1"]


def test_a_frozen_parameter_has_no_gradient() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2))
    model[0].requires_grad_(False)
    with gp.record() as seen:
        model(X.float()).sum().backward()
    report = gp.check(seen)
    assert report
    finals = {f.quantity for _, f in report.findings() if f.final}
    assert finals == {"grad 2.weight", "grad 2.bias"}


def test_places_are_the_module_and_the_line() -> None:
    model = nn.Sequential(nn.Linear(4, 3), nn.Sequential(nn.Tanh()))
    with gp.record() as seen:
        model(X.float()).sum().backward()
    tanh = seen.places["tanh_1"]
    assert tanh.module == "1.0"
    assert tanh.source.startswith("test_step.py:")
    assert tanh.function == "aten.tanh.default"


def test_a_module_that_is_used_twice_is_one_place() -> None:
    block = nn.Linear(4, 4)
    with gp.record() as seen:
        block(block(X.float())).sum().backward()
    final = [f for _, f in gp.check(seen).findings() if f.final]
    assert {f.quantity for f in final} == {"grad weight", "grad bias"}


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16", "float16"])
def test_every_precision(dtype: str) -> None:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Softmax(-1), nn.Linear(16, 4))
    model.to(getattr(torch, dtype))
    x = torch.randn(32, 8, dtype=getattr(torch, dtype))
    with gp.record() as seen:
        nn.functional.cross_entropy(model(x), torch.arange(32) % 4).backward()
    report = gp.check(seen)
    assert report.exit_code == 0, report.diagnosis()
    assert report.runs[0].dtype == dtype


def test_pytorch_adds_up_the_bias_of_a_layer_norm_in_low_precision() -> None:
    """Its CPU kernel keeps the sum over rows in the format of the result."""
    model = nn.LayerNorm(16).to(torch.bfloat16)
    with gp.record() as seen:
        x = torch.randn(256, 16, dtype=torch.bfloat16)
        (model(x) * torch.randn(256, 16, dtype=torch.bfloat16)).sum().backward()
    report = gp.check(seen)
    wrong = {(f.quantity, f.verdict) for _, f in report.findings() if f.parity is False}
    assert wrong == {("grad bias", gp.Verdict.IMPRECISE)}
    assert "as far as summing in bfloat16" in report.diagnosis()


def test_autocast_has_casts_between_precisions() -> None:
    model = nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 4))
    with gp.record() as seen, torch.autocast("cpu", torch.bfloat16):
        model(torch.randn(32, 8)).float().square().mean().backward()
    report = gp.check(seen)
    assert report.exit_code == 0, report.diagnosis()
    assert any(node.startswith("_to_copy") for node in seen.places)


def test_channels_last() -> None:
    conv = nn.Conv2d(3, 4, 3).to(memory_format=torch.channels_last)
    x = torch.randn(2, 3, 6, 6).to(memory_format=torch.channels_last)
    with gp.record() as seen:
        conv(x).square().sum().backward()
    assert gp.check(seen).exit_code == 0


def test_sparse_gradients_are_read() -> None:
    embedding = nn.Embedding(5, 3, sparse=True)
    with gp.record() as seen:
        embedding(torch.tensor([0, 1, 0])).square().sum().backward()
    assert gp.check(seen).exit_code == 0
    assert embedding.weight.grad.is_sparse


def test_what_a_reentrant_checkpoint_computes_again_is_judged() -> None:
    class Wrong(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x.sin()

        @staticmethod
        def backward(ctx: Any, d: Any) -> Any:
            return d * ctx.saved_tensors[0].cos() * 1.5

    with gp.record() as seen:
        checkpoint(lambda t: Wrong.apply(t @ W), X @ W, use_reentrant=True).sum().backward()
    wrong = {f.node for _, f in gp.check(seen).findings() if f.parity is False}
    assert "Wrong_1" in wrong
    assert not [node for node in wrong if node.startswith(("mm", "sum"))]


def test_an_error_in_what_a_checkpoint_computes_again_is_the_program_s() -> None:
    calls: list[int] = []

    def once(x: Any) -> Any:
        calls.append(1)
        if len(calls) > 1:
            raise ZeroDivisionError
        return x.sin()

    with pytest.raises(ZeroDivisionError), gp.record():
        checkpoint(once, X @ W, use_reentrant=True).sum().backward()
    checkpointed_reentrant()  # nothing of the recording is left


class TestWhatIsNotJudged:
    def test_a_jagged_tensor(self) -> None:
        with gp.record() as seen:
            parts = [torch.randn(2, 3), torch.randn(4, 3)]
            ragged = torch.nested.nested_tensor(parts, layout=torch.jagged, requires_grad=True)
            (ragged * 2).values().sum().backward()
        assert seen.coverage < 1.0
        assert not [f for f in seen.findings if f.parity is False]

    def test_a_double_backward(self) -> None:
        with gp.record() as seen:
            (g,) = torch.autograd.grad((X @ W).tanh().sum(), [W], create_graph=True)
            g.square().sum().backward()
        report = gp.check(seen)
        assert report.exit_code == 2
        assert "double backward" in report.diagnosis()

    def test_a_transform(self) -> None:
        x = torch.randn(3, requires_grad=True)

        def transformed() -> None:
            torch.func.grad(lambda z: z.tanh().sum())(x)

        with gp.record() as seen:
            x.exp().sum().backward()
            transformed()
        (what,) = seen.unjudged
        assert what.place.function == "torch.func"
        assert what.place.source.startswith("test_step.py:")
        assert "call backward() or torch.autograd.grad instead" in what.why
        assert gp.check(seen).exit_code == 2
        with (
            pytest.raises(RuntimeError, match=r"nothing was differentiated.*torch\.func"),
            gp.record(),
        ):
            transformed()

    def test_vmap_alone_is_no_such_transform(self) -> None:
        x = torch.randn(3, 4, requires_grad=True)
        with gp.record() as seen:
            torch.func.vmap(lambda z: z.tanh().sum())(x).sum().backward()
        assert gp.check(seen).exit_code == 0
        assert seen.coverage == 1.0

    def test_a_step_on_another_thread(self) -> None:
        x, y = (torch.randn(3, requires_grad=True) for _ in range(2))

        def elsewhere(run: Callable[[], None]) -> None:
            thread = threading.Thread(target=run)
            thread.start()
            thread.join()

        with gp.record() as seen:
            x.exp().sum().backward()
            elsewhere(lambda: y.tanh().sum().backward())
        (what,) = seen.unjudged
        assert "open record() on that thread" in what.why
        with pytest.raises(RuntimeError, match=r"nothing was differentiated.*thread"), gp.record():
            elsewhere(lambda: x.tanh().sum().backward())
        with gp.record() as seen:  # only the backward pass
            elsewhere(x.tanh().sum().backward)
        assert gp.check(seen).exit_code == 0
        assert seen.coverage == 1.0

    def test_complex_numbers(self) -> None:
        with gp.record() as seen:
            torch.fft.fft(X @ W).abs().sum().backward()
        report = gp.check(seen)
        assert report.exit_code == 2
        assert "complex" in report.diagnosis()

    def test_an_op_without_a_formula_leaves_the_rest_decided(self) -> None:
        with gp.record() as seen:
            y = X @ W
            for _ in range(30):
                y = y.tanh()
            torch._standard_gamma(y.abs() + 1).sum().backward()
        assert len(seen.unjudged) == 1
        report = gp.check(seen)
        assert report.exit_code == 0
        assert "_standard_gamma" in report.runs[0].coverage

    def test_strictly_every_node_counts(self) -> None:
        with gp.record(strict=True) as seen:
            y = X @ W
            for _ in range(30):
                y = y.tanh()
            torch.linalg.inv(y[:3, :3] + torch.eye(3)).sum().backward()
        assert gp.check(seen).exit_code == 2


class Product(torch.autograd.Function):
    """x @ w, whose backward also calls `write` with the gradient of w."""

    @staticmethod
    def forward(ctx: Any, x: Any, w: Any, write: Any) -> Any:
        ctx.save_for_backward(x)
        ctx.write = write
        return x @ w

    @staticmethod
    def backward(ctx: Any, d: Any) -> Any:
        (x,) = ctx.saved_tensors
        g = x.t() @ d
        ctx.write(g)
        return None, g, None


class TestGradOfLeaves:
    """What `.grad` holds after a pass is what it held before, and what arrived."""

    @staticmethod
    def replaces(own: Any, g: Any) -> None:
        own.grad = g.clone()

    @staticmethod
    def adds(own: Any, g: Any) -> None:
        own.grad = g.clone() if own.grad is None else own.grad.add_(g)

    @staticmethod
    def adds_through_data(own: Any, g: Any) -> None:
        own.grad.data.add_(g)

    @staticmethod
    def clears(own: Any, g: Any) -> None:
        own.grad = None

    @pytest.mark.parametrize(
        ("how", "before"),
        [("replaces", None), ("adds", None), ("replaces", 1.0), ("adds", 1.0),
         ("adds_through_data", 1.0), ("clears", 1.0)],
    )  # fmt: skip
    def test_a_function_that_writes_it_itself(self, how: str, before: float | None) -> None:
        own = parameter(4, 4)
        if before is not None:
            own.grad = torch.full_like(own, before)

        def step(write: Any) -> Any:
            with gp.record() as seen:
                Product.apply(X, own, write).tanh().sum().backward()
            return gp.check(seen)

        assert step(lambda g: None).exit_code == 0
        own.grad = None if before is None else torch.full_like(own, before)
        report = step(lambda g: getattr(self, how)(own, g))
        assert report.exit_code == 1
        (wrong,) = [f for _, f in report.findings() if f.parity is False]
        assert wrong.quantity == "value parameter_1.grad"
        who = "something" if how == "adds_through_data" else "the backward of Product_1"
        assert f"{who} wrote into .grad during the pass" in wrong.note
        assert wrong.index is None  # the number before is not known

    def test_a_hook_on_another_tensor(self) -> None:
        own = parameter(4, 4)

        def spoil(g: Any) -> None:
            own.grad = torch.ones_like(own)

        with gp.record() as seen:
            y = X @ own
            y.register_hook(spoil)
            y.tanh().sum().backward()
        report = gp.check(seen)
        assert report.exit_code == 1
        assert "something wrote into .grad" in report.diagnosis()

    def test_a_hook_after_the_accumulation(self) -> None:
        own = parameter(4, 4)

        def doubles(p: Any) -> None:
            p.grad.mul_(2)

        own.register_post_accumulate_grad_hook(doubles)
        for allow in ([], ["gradient-hook"]):
            own.grad = None
            with gp.record(allow=allow) as seen:
                (X @ own).tanh().sum().backward()
            assert gp.check(seen).exit_code == (0 if allow else 1)
            (found,) = [f for f in seen.findings if f.convention]
            assert "doubles, a hook of it, changes .grad" in found.note
            assert found.got == 2 * found.expected != 0.0

    def test_a_hook_after_the_accumulation_that_only_looks(self) -> None:
        own = parameter(4, 4)
        own.register_post_accumulate_grad_hook(lambda p: None)
        with gp.record() as seen:
            (X @ own).tanh().sum().backward()
        assert gp.check(seen).exit_code == 0
        assert not [f for f in seen.findings if f.convention]

    @pytest.mark.parametrize("to_none", [True, False])
    def test_an_optimizer_in_a_hook(self, to_none: bool) -> None:
        model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 2)).double()
        optimizers = {p: torch.optim.SGD([p], 0.1) for p in model.parameters()}

        def step(p: Any) -> None:
            optimizers[p].step()
            optimizers[p].zero_grad(set_to_none=to_none)

        for p in model.parameters():
            p.register_post_accumulate_grad_hook(step)
        for _ in range(2):
            with gp.record() as seen:
                model(X).square().sum().backward()
            assert gp.check(seen).exit_code == 0

    def test_several_passes_with_everything_between_them(self) -> None:
        own = parameter(4, 4)
        optimizer = torch.optim.SGD([own], 0.1)
        with gp.record() as seen:
            for _ in range(2):
                for part in X.split(1):
                    torch.tanh(part @ own).sum().backward()
                own.grad.mul_(0.5)
                nn.utils.clip_grad_norm_([own], 1e-3)
                own.grad.data.add_(1.0)
                optimizer.step()
                optimizer.zero_grad()
        assert gp.check(seen).exit_code == 0


def sparse_product() -> None:
    s = torch.eye(3, dtype=torch.float64).to_sparse()
    torch.sparse.mm(s, X @ W).sum().backward()


def sparse_operand() -> None:
    s = torch.eye(3, dtype=torch.float64).to_sparse().requires_grad_()
    (s @ (X @ W)).sum().backward()


def sparse_rows() -> None:
    (torch.eye(3, dtype=torch.float64).to_sparse_csr() @ (X @ W)).sum().backward()


def made_sparse() -> None:
    torch.sparse.sum((X @ W).to_sparse()).backward()


def quantised() -> None:
    q = torch.quantize_per_tensor(X.float(), 0.1, 0, torch.qint8)
    ((X @ W) * q.dequantize()).sum().backward()


def jagged() -> None:
    nested = torch.nested.nested_tensor_from_jagged(X @ W, torch.tensor([0, 1, 3]))
    (nested * 2).values().sum().backward()


def nested() -> None:
    made = torch.nested.nested_tensor([X[:1], X], requires_grad=True)
    (made * 2).to_padded_tensor(0.0).sum().backward()


def fake() -> None:
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        t = torch.randn(3, 3, requires_grad=True)
        (t @ t).sum().backward()


def meta() -> None:
    t = torch.randn(3, 3, device="meta", requires_grad=True)
    (t @ t).sum().backward()


def transformed() -> None:
    y = X @ W
    torch.func.grad(lambda t: (t.sin() * y).sum())(y).sum().backward()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_forms_at_few_elements_say_the_same(dtype: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """GELU in its tail, as PyTorch computes it, is explained by a usual form alone."""
    from gradparity.comparisons.explain import forms
    from gradparity.comparisons.measure import at_node

    asked = []
    some = at_node._at

    def counted(mask: Any, *args: Any) -> Any:
        asked.append(mask.sum())
        return some(mask, *args)

    monkeypatch.setattr(at_node, "_at", counted)
    x = torch.cat([torch.randn(4000), torch.linspace(-8, -4, 200)]).to(dtype).requires_grad_()
    found = []
    for large in (2**60, 1):
        x.grad = None
        monkeypatch.setattr(forms, "LARGE", large)
        with gp.record() as seen:
            (nn.functional.gelu(x) * torch.arange(4200.0).sin()).sum().backward()
        assert bool(asked) == (large == 1)
        found.append([(str(f.quantity), f.verdict, f.outside, f.note, f.bound, f.power)
                      for f in seen.findings])  # fmt: skip
    assert found[0] == found[1]


class TestTensorsWithoutMemory:
    @pytest.mark.filterwarnings("ignore")
    @pytest.mark.parametrize(
        "step",
        [sparse_product, sparse_operand, sparse_rows, made_sparse, quantised, jagged, nested, fake,
         meta, transformed],
    )  # fmt: skip
    def test_they_are_not_judged_and_the_program_runs(self, step: Callable[[], None]) -> None:
        W.grad = torch.ones_like(W)
        with gp.record() as seen:
            step()
            (X @ W).tanh().sum().backward()
        report = gp.check(seen)
        assert report.exit_code == (0 if step is quantised else 2)
        assert "in gradparity" not in report.diagnosis()
        assert any(f.parity for f in seen.findings)


@pytest.mark.parametrize(
    "at",
    ["_before", "_after", "_connect", "_arrived", "_left", "overwritten", "_adopt_graph",
     "_tell_of_sum"],
)  # fmt: skip
def test_an_error_of_the_observer_is_not_the_program_s(
    at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gradparity.adapters.torch.record.backward import Backward
    from gradparity.adapters.torch.record.observer import Observer
    from gradparity.adapters.torch.record.waiting import Waiting

    def wrong(*args: Any) -> Any:
        raise ZeroDivisionError("planted")

    W.grad = None
    in_place()
    plain, W.grad = W.grad, None
    (owner,) = (each for each in (Observer, Backward, Waiting) if at in vars(each))
    monkeypatch.setattr(owner, at, wrong)
    with gp.record() as seen:
        in_place()
    assert torch.equal(W.grad, plain)
    assert any("ZeroDivisionError in gradparity: planted" in u.why for u in seen.unjudged)
    W.grad = None


class TestOverwritten:
    def test_through_data(self) -> None:
        with gp.record() as seen:
            y = X @ W
            z = y.exp()
            w = z * y
            y.data.mul_(2)
            w.sum().backward()
        report = gp.check(seen)
        assert report.exit_code == 1
        assert "its input was overwritten at test_step.py" in report.diagnosis()

    def test_through_numpy(self) -> None:
        x, w = torch.randn(5, 4), nn.Parameter(torch.randn(4, 4))
        with gp.record() as seen:
            loss = (x @ w).square().mean()
            x.numpy()[:] *= 2
            loss.backward()
        (wrong,) = [f for f in seen.findings if f.parity is False]
        assert wrong.quantity.is_value
        assert wrong.note.startswith("its inputs or its result were overwritten after it ran")
        assert "every element is 0.5 times the formula" in wrong.note

    def test_what_is_right_in_float64_is_not_told_of_it(self) -> None:
        """Computed again, nothing is overwritten, so that it says nothing."""
        w = nn.Parameter(torch.randn(4, 4))
        with gp.record() as seen:
            y = X.float() @ w
            z = y.exp() * y
            y.data.mul_(2)
            z.sum().backward()
        wrong = [f for f in seen.findings if f.parity is False]
        assert wrong
        for f in wrong:
            assert f.verdict == "mismatch"
            assert "its input was overwritten" in f.note
            assert "right in float64" not in f.note

    @pytest.mark.parametrize("name", ["running_var", "weight"])
    def test_of_a_norm_says_which_tensor(self, name: str) -> None:
        norm = nn.BatchNorm1d(4).double().eval()
        with gp.record() as seen:
            loss = norm(X @ W).square().sum()
            getattr(norm, name).data.mul_(3.0)
            loss.backward()
        wrong = [f for f in seen.findings if f.parity is False]
        assert {f.node for f in wrong} == {"native_batch_norm_1"}
        assert all(f"its {name} was overwritten at test_step.py" in f.note for f in wrong)

    def test_a_norm_that_trains_writes_its_statistics_itself(self) -> None:
        norm = nn.BatchNorm1d(4).double()
        norm.weight.register_hook(lambda g: g * 2)
        with gp.record() as seen:
            loss = norm(X @ W).square().sum()
            norm(X)
            loss.backward()
        (wrong,) = [f for f in seen.findings if f.parity is False]
        assert "overwritten" not in wrong.note

    def test_of_a_result_says_so(self) -> None:
        with gp.record() as seen:
            y = (X @ W).exp()
            loss = (y + 1).sum()
            y.data.mul_(2)
            loss.backward()
        (wrong,) = [f for f in seen.findings if f.parity is False]
        assert "its result was overwritten at test_step.py" in wrong.note

    def test_what_no_backward_needs_may_be_overwritten(self) -> None:
        with gp.record() as seen:
            y = X @ W
            z = y + 1
            y.add_(5)
            z.tanh().sum().backward()
        assert gp.check(seen).exit_code == 0


class TestNothingIsLeftBehind:
    def test_state_is_as_it_was(self) -> None:
        modules = torch.nn.modules.module
        hooks = modules._global_forward_pre_hooks, modules._global_forward_hooks
        apply = torch.autograd.Function.__dict__["apply"]
        rng = torch.random.get_rng_state()
        before = [dict(h) for h in hooks]
        with gp.record():
            (X @ W).sum().backward()
        assert [dict(h) for h in hooks] == before
        assert torch.autograd.Function.__dict__["apply"] is apply
        assert torch.equal(rng, torch.random.get_rng_state())
        assert torch.is_grad_enabled()
        assert torch._C._len_torch_dispatch_stack() == 0

    def test_also_if_the_body_raises(self) -> None:
        apply = torch.autograd.Function.__dict__["apply"]
        with pytest.raises(RuntimeError, match="shapes cannot be multiplied"), gp.record() as seen:
            (X @ W) @ X
        assert torch.autograd.Function.__dict__["apply"] is apply
        assert torch._C._len_torch_dispatch_stack() == 0
        with pytest.raises(ValueError, match="has not ended"):
            gp.check(seen)

    def test_a_forward_pass_without_a_backward_is_freed(self) -> None:
        with gp.record() as seen:
            y = (X @ W).tanh()
            memory = weakref.ref(y.untyped_storage())
            del y
            gc.collect()
            assert memory() is None
            (X @ W).sum().backward()
        assert seen.coverage == 1.0

    def test_nothing_is_kept_of_a_step_that_has_ended(self) -> None:
        y = (X @ W).tanh()
        with gp.record():
            y = (X @ W).tanh()
            y.sum().backward()
        node = weakref.ref(y)
        del y
        gc.collect()
        assert node() is None

    def test_no_mode_is_there_while_the_engine_runs(self) -> None:
        """With one, autograd adds gradients up out of place, in other layouts than without."""
        seen: list[int] = []
        with gp.record():
            y = X @ W
            y.register_hook(lambda g: seen.append(torch._C._len_torch_dispatch_stack()))
            (y * y + y.tanh()).sum().backward()
            seen.append(torch._C._len_torch_dispatch_stack())
        assert seen == [0, 1]

    @pytest.mark.filterwarnings("ignore:Using `torch.compile.module.`:UserWarning")
    def test_a_module_may_be_compiled_inside(self) -> None:
        model = torch.compile(nn.Sequential(nn.Linear(4, 3), nn.Tanh()), backend="aot_eager")
        with gp.record() as seen:
            model(X.float()).sum().backward()
        assert seen.places

    def test_compilation_works_as_before(self) -> None:
        compiled = torch.compile(lambda t: torch.tanh(t @ W).square().sum(), backend="aot_eager")
        with gp.record():
            compiled(X).backward()
        W.grad = None
        compiled(X).backward()
        assert type(compiled(X).grad_fn).__name__ == "CompiledFunctionBackward"
        again = W.grad.clone()
        W.grad = None
        torch.tanh(X @ W).square().sum().backward()
        np.testing.assert_allclose(again, W.grad)


class TestSeveralRecordings:
    def test_one_inside_another_sees_the_same(self) -> None:
        with gp.record(name="outer") as outer:
            (X @ W).sum().backward()
            with gp.record(name="inner") as inner:
                (X @ W).square().sum().backward()
        assert gp.check(outer).exit_code == gp.check(inner).exit_code == 0
        assert outer.coverage == inner.coverage == 1.0
        assert (len(outer.places), len(inner.places)) == (5, 3)

    def test_a_graph_of_one_in_the_backward_pass_of_another(self) -> None:
        with gp.record():
            y = (X @ W).tanh()
            y.sum().backward(retain_graph=True)
        with gp.record() as seen:
            (y * y).sum().backward()
        assert [u.why for u in seen.unjudged if "before the recording" in u.why]
        wrong = [f for _, f in gp.check(seen).findings() if f.parity is False]
        assert not wrong

    def test_make_one_report(self) -> None:
        def step() -> None:
            (X @ W).tanh().sum().backward()

        recordings = []
        for _ in range(2):
            with gp.record() as seen:
                step()
            recordings.append(seen)
        report = gp.check(recordings)
        assert report.exit_code == 0
        assert [run.case for run in report.runs] == ["step (1)", "step (2)"]
        with pytest.raises(TypeError, match="recordings and others"):
            gp.check([recordings[0], 3])  # type: ignore[list-item]

    def test_one_that_raised_is_none(self) -> None:
        with pytest.raises(ZeroDivisionError), gp.record() as seen:
            _ = 1 / 0
        with pytest.raises(ValueError, match="or its body raised an error"):
            gp.check(seen)


class TestErrors:
    def test_backward_alone(self) -> None:
        loss = (X @ W).sum()
        with pytest.raises(RuntimeError, match="let the block hold the forward pass"), gp.record():
            loss.backward()

    def test_nothing_at_all(self) -> None:
        with pytest.raises(RuntimeError, match="nothing was differentiated"), gp.record():
            pass

    def test_a_second_block_needs_a_recording_of_its_own(self) -> None:
        watched = gp.record()
        with watched as step:
            (X @ W).sum().backward()
        with pytest.raises(RuntimeError, match="for each with block"), watched:
            pass
        assert gp.check(step).exit_code == 0

    def test_check_says_what_to_do_with_a_context_manager(self) -> None:
        with pytest.raises(TypeError, match="before the code, and give check"):
            gp.check(gp.record())  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="a Case, a Network, or a recording"):
            gp.check(None)  # type: ignore[arg-type]

    @pytest.mark.parametrize("value", [3, "x"])
    def test_something_that_is_no_function(self, value: Any) -> None:
        with pytest.raises(TypeError, match="give a function that returns the loss"):
            gp.record(value)

    def test_a_result_without_a_gradient(self) -> None:
        with pytest.raises(ValueError, match="requires no gradient; give it a module"):
            gp.record(lambda w: (w * 2).sum(), torch.ones(3))

    def test_a_result_that_is_no_scalar(self) -> None:
        with pytest.raises(ValueError, match=r"f returned \(3, 4\); return a scalar"):
            gp.record(lambda w: X @ w, W)

    def test_a_recording_takes_no_more_arguments(self) -> None:
        with gp.record() as seen:
            (X @ W).sum().backward()
        with pytest.raises(TypeError, match="a recording and implementations"):
            gp.check(seen, "torch")
        with pytest.raises(TypeError, match="a recording and strict="):
            gp.check(seen, strict=True)

    def test_an_unknown_convention(self) -> None:
        with pytest.raises(ValueError, match="convention 'hook' is unknown"):
            gp.record(allow=["hook"])


def test_the_short_form_leaves_gradients_as_they_were() -> None:
    model = nn.Linear(4, 2)
    model.weight.grad = torch.ones(2, 4)
    seen = gp.record(lambda model, x: (model(x).square().mean(), "more"), model, X.float())
    assert gp.check(seen)
    assert torch.equal(model.weight.grad, torch.ones(2, 4))
    assert model.bias.grad is None
