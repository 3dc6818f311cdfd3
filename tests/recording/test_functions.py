"""Functions with a backward pass of their own, held to the ops of their forward pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradparity as gp

torch = pytest.importorskip("torch")

FUNCTIONS: dict[str, tuple[str, Any, tuple[tuple[int, ...], ...]]] = {}


def function(
    name: str, expected: str, forward: Callable[..., Any], backward: Callable[..., Any],
    *shapes: tuple[int, ...],
) -> None:  # fmt: skip
    """A function under this name, and what it is: "right", "wrong", a convention or "unknown"."""
    methods = {"forward": staticmethod(forward), "backward": staticmethod(backward)}
    kind = type(name, (torch.autograd.Function,), methods)
    FUNCTIONS[name] = (expected, kind, shapes or ((3, 4),))


def saved(ctx: Any, *tensors: Any) -> Any:
    ctx.save_for_backward(*tensors)
    return tensors[0]


def of(ctx: Any) -> Any:
    return ctx.saved_tensors if len(ctx.saved_tensors) > 1 else ctx.saved_tensors[0]


def cube(ctx: Any, x: Any) -> Any:
    return saved(ctx, x) ** 3


function("Cube", "right", cube, lambda ctx, d: d * 3 * of(ctx) ** 2)
function("CubeFactor", "wrong", cube, lambda ctx, d: d * of(ctx) ** 2)
function("CubePower", "wrong", cube, lambda ctx, d: d * 3 * of(ctx))
function("CubeSign", "wrong", cube, lambda ctx, d: -d * 3 * of(ctx) ** 2)
function("CubeNone", "wrong", cube, lambda ctx, d: None)
function("CubeWide", "right", cube, lambda ctx, d: (d.double() * 3 * of(ctx).double() ** 2).to(d))


def product(ctx: Any, a: Any, b: Any) -> Any:
    saved(ctx, a, b)
    return a * b


TWO = (3, 4), (3, 4)
function("Product", "right", product, lambda ctx, d: (d * of(ctx)[1], d * of(ctx)[0]), *TWO)
function("Exchanged", "wrong", product, lambda ctx, d: (d * of(ctx)[0], d * of(ctx)[1]), *TWO)
function("OneLost", "wrong", product, lambda ctx, d: (d * of(ctx)[1], None), *TWO)
function("Detached", "wrong", product,
         lambda ctx, d: (d * of(ctx)[1], torch.zeros_like(d)), *TWO)  # fmt: skip
ROW = (3, 4), (4,)
function("Broadcast", "right", product,
         lambda ctx, d: (d * of(ctx)[1], (d * of(ctx)[0]).sum(0)), *ROW)  # fmt: skip
function("SummedByTheEngine", "right", product,
         lambda ctx, d: (d * of(ctx)[1], d * of(ctx)[0]), (3, 4), (1, 4))  # fmt: skip
function("MeanForSum", "wrong", product,
         lambda ctx, d: (d * of(ctx)[1], (d * of(ctx)[0]).mean(0)), *ROW)  # fmt: skip


def needed(ctx: Any, d: Any) -> Any:
    a, b = of(ctx)
    wants = ctx.needs_input_grad
    return d * b if wants[0] else None, d * a if wants[1] else None


function("AsNeeded", "right", product, needed, *TWO)


def linear(ctx: Any, x: Any, w: Any, b: Any) -> Any:
    saved(ctx, x, w)
    return x @ w.t() + b


LINEAR = (3, 4), (5, 4), (5,)


def linear_backward(ctx: Any, d: Any) -> Any:
    x, w = of(ctx)
    return d @ w, d.t() @ x, d.sum(0)


function("Linear", "right", linear, linear_backward, *LINEAR)
function("LinearMean", "wrong", linear,
         lambda ctx, d: (*linear_backward(ctx, d)[:2], d.mean(0)), *LINEAR)  # fmt: skip
function("LinearStale", "wrong", linear,
         lambda ctx, d: (d @ (of(ctx)[1] + 1e-3), d.t() @ of(ctx)[0], d.sum(0)),
         *LINEAR)  # fmt: skip


def softmax(ctx: Any, x: Any) -> Any:
    return saved(ctx, torch.softmax(x, -1))


function("Softmax", "right", softmax,
         lambda ctx, d: of(ctx) * (d - (d * of(ctx)).sum(-1, keepdim=True)))  # fmt: skip
function("SoftmaxDiagonal", "wrong", softmax, lambda ctx, d: of(ctx) * (d - d * of(ctx)))
function("SoftmaxOtherAxis", "wrong", softmax,
         lambda ctx, d: of(ctx) * (d - (d * of(ctx)).sum(0, keepdim=True)))  # fmt: skip


def norm(ctx: Any, x: Any, g: Any) -> Any:
    m = x.mean(-1, keepdim=True)
    r = (x.var(-1, unbiased=False, keepdim=True) + 1e-5).rsqrt()
    h = (x - m) * r
    ctx.save_for_backward(h, r, g)
    return h * g


def norm_backward(ctx: Any, d: Any, *, mean: bool = True, through: bool = True) -> Any:
    h, r, g = ctx.saved_tensors
    dh = d * g
    dx = dh - dh.mean(-1, keepdim=True) if mean else dh
    dx = dx - h * (dh * h).mean(-1, keepdim=True) if through else dx
    return r * dx, (d * h).sum(0)


NORM = (3, 4), (4,)
function("LayerNorm", "right", norm, norm_backward, *NORM)
function("LayerNormNoMean", "wrong", norm,
         lambda ctx, d: norm_backward(ctx, d, mean=False), *NORM)  # fmt: skip
function("LayerNormDetached", "wrong", norm,
         lambda ctx, d: norm_backward(ctx, d, mean=False, through=False), *NORM)  # fmt: skip


def relu(ctx: Any, x: Any) -> Any:
    return saved(ctx, x).clamp(min=0)


function("ReLU", "right", relu, lambda ctx, d: d * (of(ctx) > 0))
function("ReLUMirrored", "wrong", relu, lambda ctx, d: d * (of(ctx) < 0))


def swish_in_place(ctx: Any, x: Any) -> Any:
    y = x.clone()
    saved(ctx, x)
    y.sigmoid_()
    return y.mul_(x)


def swish_backward(ctx: Any, d: Any) -> Any:
    s = torch.sigmoid(of(ctx))
    return d * s * (1 + of(ctx) * (1 - s))


function("SwishInPlace", "right", swish_in_place, swish_backward)
function("SwishTermLost", "wrong", swish_in_place, lambda ctx, d: d * torch.sigmoid(of(ctx)))


def both(ctx: Any, x: Any) -> Any:
    saved(ctx, x)
    return x.sin(), x.cos()


function("SinCos", "right", both, lambda ctx, a, b: a * of(ctx).cos() - b * of(ctx).sin())
function("SinCosOneLost", "wrong", both, lambda ctx, a, b: a * of(ctx).cos())


def bisection(ctx: Any, x: Any) -> Any:
    """Sparsemax, searched for."""
    high = x.max(-1, keepdim=True).values
    low = high - 1
    for _ in range(60):
        middle = (low + high) / 2
        more = (x - middle).clamp(min=0).sum(-1, keepdim=True) > 1
        low, high = torch.where(more, middle, low), torch.where(more, high, middle)
    return saved(ctx, (x - low).clamp(min=0))


def bisection_backward(ctx: Any, d: Any) -> Any:
    s = (of(ctx) > 0).to(d.dtype)
    return s * (d - (d * s).sum(-1, keepdim=True) / s.sum(-1, keepdim=True))


function("Sparsemax", "right", bisection, bisection_backward)
function("SparsemaxWrong", "wrong", bisection, lambda ctx, d: 1.1 * bisection_backward(ctx, d))


def newton(ctx: Any, x: Any) -> Any:
    y = torch.ones_like(x)
    for _ in range(40):
        y = 0.5 * (y + (x.abs() + 1) / y)
    ctx.save_for_backward(x, y)
    return y


function("NewtonRoot", "right", newton, lambda ctx, d: d * of(ctx)[0].sign() / (2 * of(ctx)[1]))


def same(ctx: Any, x: Any) -> Any:
    return x.view_as(x)


function("Identity", "right", same, lambda ctx, d: d)
function("Reversal", "gradient-reversal", same, lambda ctx, d: -0.5 * d)
function("Scaled", "gradient-scale", same, lambda ctx, d: 3 * d)
function("Clipped", "gradient-clipping", same, lambda ctx, d: d.clamp(-0.1, 0.1))
function("StraightThrough", "straight-through", lambda ctx, x: (x > 0).to(x.dtype) + 0 * x,
         lambda ctx, d: d)  # fmt: skip


def in_numpy(ctx: Any, x: Any) -> Any:
    return torch.from_numpy(np.sinh(saved(ctx, x).detach().numpy()))


function("NumPy", "right", in_numpy, lambda ctx, d: d * of(ctx).cosh())
function("NumPyWrong", "wrong", in_numpy, lambda ctx, d: d * of(ctx).sinh())


def applied(name: str, dtype: str, **options: Any) -> tuple[Any, list[Any]]:
    """The report of one application, and the findings of the function's gradients."""
    torch.manual_seed(0)
    _, kind, shapes = FUNCTIONS[name]
    xs = [torch.randn(s, dtype=getattr(torch, dtype), requires_grad=True) for s in shapes]
    with gp.record(**options) as seen:
        out = kind.apply(*xs)
        each = out if isinstance(out, tuple) else (out,)
        sum((z * torch.randn_like(z)).sum() for z in each).backward()
    report = gp.check(seen)
    findings = [f for _, f in report.findings() if f.node == f"{name}_1"]
    return report, [f for f in findings if f.quantity.is_gradient or not f.elements]


@pytest.mark.sample(9)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_of_a_function(name: str, dtype: str) -> None:
    expected = FUNCTIONS[name][0]
    report, gradients = applied(name, dtype)
    verdicts = {f.verdict for f in gradients}
    if expected == "right":
        assert report.exit_code == 0, report.diagnosis()
    elif expected == "wrong":
        assert report.exit_code == 1
        assert gp.Verdict.MISMATCH in verdicts
        wrong = {f.node for _, f in report.findings() if f.parity is False}
        assert wrong == {f"{name}_1"}  # at the function alone
    else:
        assert {f.convention for f in gradients} == {expected}
        assert report.exit_code == 1
        assert applied(name, dtype, allow=[expected])[0].exit_code == 0


def test_there_are_enough_of_them() -> None:
    assert len(FUNCTIONS) >= 38
    assert sum(expected == "wrong" for expected, *_ in FUNCTIONS.values()) >= 16


@pytest.mark.sample(2)
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("CubeFactor", "1/3 of the formula"),
        ("CubeSign", "-1 times the formula"),
        ("Exchanged", "gradients of the inputs exchanged"),
        ("OneLost", "every element is zero"),
        ("Sparsemax", "not the derivative of its ops, but of the function"),
        ("SparsemaxWrong", "along a line its gradient gives"),
        ("Reversal", "it is multiplied by -0.5"),
    ],
)
def test_reasons(name: str, said: str) -> None:
    _, gradients = applied(name, "float64")
    assert any(said in f.note for f in gradients), [f.note for f in gradients]


def test_a_function_that_computes_in_bfloat16_is_held_to_that() -> None:
    class Coarse(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            return (x.bfloat16() * 3).float()

        @staticmethod
        def backward(ctx: Any, d: Any) -> Any:
            return d * 3

    x = torch.randn(3, 4, requires_grad=True)
    with gp.record() as seen:
        Coarse.apply(x).sum().backward()
    assert gp.check(seen).exit_code == 0


def test_nothing_of_the_user_runs_inside_of_the_step() -> None:
    """A function that keeps something of its own must find it as without a recording."""
    stack: list[Any] = []

    class HalfReLU(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            stack.append(x.clone())
            return x.relu()

        @staticmethod
        def backward(ctx: Any, d: Any) -> Any:
            x = stack.pop()
            return d * torch.where(x == 0, 0.5, (x > 0).float())

    def gradient() -> Any:
        x = torch.tensor([0.0, 1, -1, 2], requires_grad=True)
        inner = HalfReLU.apply(x) * torch.tensor([3.0, -1, 2, 1])
        HalfReLU.apply(inner).sum().backward()
        return x.grad

    plain = gradient()
    with gp.record() as seen:
        watched = gradient()
    assert torch.equal(plain, watched)
    assert gp.check(seen).exit_code == 0


def test_a_batch_of_one_and_no_elements_at_all() -> None:
    _, kind, _ = FUNCTIONS["Linear"]
    for batch in (1, 0):
        x = torch.randn(batch, 4, requires_grad=True)
        w, b = torch.randn(5, 4, requires_grad=True), torch.randn(5, requires_grad=True)
        with gp.record() as seen:
            kind.apply(x, w, b).sum().backward()
        assert all(f.parity is not False for f in seen.findings)


def test_an_arriving_gradient_with_strides_of_zero() -> None:
    _, kind, _ = FUNCTIONS["Cube"]
    x = torch.randn(3, 4, requires_grad=True)
    with gp.record() as seen:
        kind.apply(x).sum().backward()  # expands a one
    assert gp.check(seen).exit_code == 0


def sparsemax(ctx: Any, x: Any) -> Any:
    k = torch.arange(1, x.shape[-1] + 1, dtype=x.dtype)
    z = x.sort(-1, descending=True).values
    total = z.cumsum(-1)
    size = (1 + k * z > total).sum(-1, keepdim=True)
    tau = (total.gather(-1, size - 1) - 1) / size
    p = (x - tau).clamp(min=0)
    ctx.save_for_backward(p > 0)
    return p


class SparsemaxWithoutItsMean(torch.autograd.Function):
    forward = staticmethod(sparsemax)

    @staticmethod
    def backward(ctx: Any, d: Any) -> Any:
        return d * ctx.saved_tensors[0]


@pytest.mark.parametrize(
    ("x", "loss"),
    [
        ([[1.0, 0.9, -3.0, -2.0]], lambda p: p.square().sum()),  # zero outside of the support
        ([[0.1, 0.2, 0.15, 0.05]], lambda p: p.square().sum()),  # all in the support
        ([[0.1, 0.2, 0.15, 0.05]], lambda p: p.sum() * 2),  # whose derivative is zero
    ],
)
def test_a_missing_term_is_not_straight_through(x: Any, loss: Any) -> None:
    leaf = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    with gp.record() as seen:
        loss(SparsemaxWithoutItsMean.apply(leaf)).backward()
    (wrong,) = [f for f in seen.findings if f.parity is False]
    assert (wrong.verdict, wrong.convention) == ("mismatch", "")


class Bisection(torch.autograd.Function):
    """The cube root, by halving an interval."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        low, high = torch.full_like(x, -4.0), torch.full_like(x, 4.0)
        for _ in range(60):
            middle = (low + high) / 2
            below = middle**3 < x
            low, high = torch.where(below, middle, low), torch.where(below, high, middle)
        return saved(ctx, (low + high) / 2)

    @staticmethod
    def backward(ctx: Any, d: Any) -> Any:
        return d / (3 * of(ctx) ** 2)


class WrongBisection(Bisection):
    @staticmethod
    def backward(ctx: Any, d: Any) -> Any:
        return d / (2 * of(ctx) ** 2)


def test_a_search_is_held_to_differences() -> None:
    """Its result is picked by comparisons, and has no gradient by the ops of its forward pass."""
    leaf = torch.rand(3, 4, dtype=torch.float64, requires_grad=True)
    with gp.record() as seen:
        Bisection.apply(leaf).sum().backward()
    assert gp.check(seen).exit_code == 0
    assert seen.coverage == 1.0
    with gp.record() as seen:
        WrongBisection.apply(leaf).sum().backward()
    (wrong,) = [f for f in seen.findings if f.parity is False]
    assert wrong.verdict == "mismatch"
    assert "and differences of the values -" in wrong.note


class Sign(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        saved(ctx, x)
        return x.sign()

    @staticmethod
    def backward(ctx: Any, d: Any) -> Any:
        return d * (of(ctx).abs() <= 1)


class Quantised(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        saved(ctx, x)
        return x.clamp(-1, 1).mul(7).round().div(7)

    @staticmethod
    def backward(ctx: Any, d: Any) -> Any:
        return d * ((of(ctx) >= -1) & (of(ctx) <= 1))


class Spike(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        saved(ctx, x)
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, d: Any) -> Any:
        return d / (1 + 10 * of(ctx).abs()) ** 2


class Hole(Sign):
    """What passes lies on both sides of what does not."""

    @staticmethod
    def backward(ctx: Any, d: Any) -> Any:
        return d * (of(ctx).abs() >= 1)


class Leaky(torch.autograd.Function):
    """Not flat where the gradient passes."""

    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        saved(ctx, x)
        return x * 2

    @staticmethod
    def backward(ctx: Any, d: Any) -> Any:
        return d * (of(ctx).abs() <= 1)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    ("function", "convention"),
    [(Sign, "straight-through"), (Quantised, "straight-through"), (Spike, "surrogate-gradient"),
     (Hole, "surrogate-gradient"), (Leaky, "")],
)  # fmt: skip
def test_what_passes_in_a_window_and_surrogates(function: Any, convention: str, dtype: str) -> None:
    leaf = torch.linspace(-2, 2.5, 24, dtype=getattr(torch, dtype)).requires_grad_()
    weights = torch.linspace(1, 3, 24, dtype=leaf.dtype)

    def found(allow: list[str]) -> Any:
        with gp.record(allow=allow) as seen:
            (function.apply(leaf) * weights).sum().backward()
        return [f for f in seen.findings if f.parity is not True]

    (wrong,) = found([])
    assert wrong.convention == convention
    assert wrong.verdict == ("convention" if convention else "mismatch")
    if function in (Sign, Quantised):
        assert "-0.8261 to 0.9348, and passes inside" in wrong.note
    if convention:
        assert not found([convention])
    assert not found([f"own-gradient={function.__name__}"])
    assert found(["own-gradient=Another"])


def test_a_function_in_a_recording_inside_another() -> None:
    leaf = torch.rand(3, 4, dtype=torch.float64, requires_grad=True)
    apply = Cube.apply
    with gp.record() as outer, gp.record() as inner:
        apply(leaf).sum().backward()
    assert gp.check([outer, inner]).exit_code == 0
    assert outer.coverage == inner.coverage == 1.0


class Cube(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        saved(ctx, x)
        return x**3

    @staticmethod
    def backward(ctx: Any, d: Any) -> Any:
        return 3 * d * of(ctx) ** 2


class Long(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any) -> Any:
        for _ in range(50):
            x = torch.tanh(x)
        return x

    @staticmethod
    def backward(ctx: Any, d: Any) -> Any:
        return d


def test_a_long_composition_names_a_few_of_its_ops() -> None:
    leaf = torch.rand(3, 4, dtype=torch.float64, requires_grad=True)
    with gp.record() as seen:
        Long.apply(leaf).sum().backward()
    (wrong,) = [f for f in seen.findings if f.parity is False]
    assert wrong.op.count("tanh") <= 12
    assert "(38 more)" in wrong.op


class Rectified(torch.autograd.Function):
    """A convolution and ReLU in one, with the slope of frameworks at 0."""

    @staticmethod
    def forward(ctx: Any, x: Any, w: Any) -> Any:
        y = torch.nn.functional.conv2d(x, w, padding=1).relu()
        ctx.save_for_backward(x, w, y)
        return y

    @staticmethod
    def backward(ctx: Any, d: Any) -> Any:
        x, w, y = ctx.saved_tensors
        d = d * (y > 0)
        grad = torch.nn.grad
        return (
            grad.conv2d_input(x.shape, w, d, padding=1),
            grad.conv2d_weight(x, w.shape, d, padding=1),
        )


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_the_slopes_of_frameworks_at_the_kinks_inside_are_valid(dtype: str) -> None:
    own = getattr(torch, dtype)
    x = torch.randn(2, 3, 7, 7, dtype=own)
    x[:, :, :3] = 0  # a black border, where every output is 0
    x.requires_grad_()
    w = torch.randn(4, 3, 3, 3, dtype=own, requires_grad=True)
    with gp.record() as seen:
        (Rectified.apply(x, w) - 1).square().sum().backward()
    report = gp.check(seen)
    assert report.exit_code == 0, report.diagnosis()
    assert any(f.verdict is gp.Verdict.SUBGRADIENT for _, f in report.findings())


@pytest.mark.parametrize("factor", [1.0, 1 + 1e-3, 1 + 1e-5])
def test_a_tie_excuses_no_wrong_gradient_elsewhere(factor: float) -> None:
    """Another choice at a tie is right; a factor that every gradient has is not."""

    class Largest(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            ctx.save_for_backward(x)
            return x.amax(1)

        @staticmethod
        def backward(ctx: Any, dy: Any) -> Any:
            (x,) = ctx.saved_tensors
            last = x.shape[1] - 1 - (x == x.amax(1, keepdim=True)).flip(1).int().argmax(1)
            return factor * torch.nn.functional.one_hot(last, x.shape[1]) * dy[:, None]

    rows = [[1.0, 3.0, 3.0], [2.0, 0.0, 1.0], [5.0, 5.0, 5.0], [0.0, 1.0, 2.0]]
    x = torch.tensor(rows, dtype=torch.float64, requires_grad=True)
    dy = torch.tensor([0.3, -1.2, 0.7, 0.9], dtype=torch.float64)
    report = gp.check(gp.record(lambda x: (Largest.apply(x) * dy).sum(), x))
    wrong = [(f.quantity, f.node) for _, f in report.findings() if f.parity is False]
    assert wrong == ([] if factor == 1 else [("grad arg0", "Largest_1")])
