"""`check_function`: functions that are wrong in one setting only, and others that are right."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import pytest

import gradparity as gp
from gradparity.comparisons.report.as_text import text

torch = pytest.importorskip("torch")


class Kind(NamedTuple):
    """A class of functions, and examples for it.

    `said` is in the diagnosis of a wrong one; `only` are words of the settings that show it: of
    all the runs in which something is wrong, every one has one of them in its name.
    """

    function: Any
    examples: tuple[Any, ...]
    said: str = ""
    only: tuple[str, ...] = ()


RIGHT: dict[str, Callable[[], Kind]] = {}
WRONG: dict[str, Callable[[], Kind]] = {}


def drawn(*shape: int) -> Any:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(5))


def made(name: str, forward: Any, backward: Any, **more: Any) -> Any:
    methods = {"forward": forward, "backward": backward, **more}
    members = {n: staticmethod(m) if callable(m) else m for n, m in methods.items()}
    return type(name, (torch.autograd.Function,), members)


def right(name: str, forward: Any, backward: Any, *examples: Any, **more: Any) -> None:
    kind = made(name, forward, backward, **more)
    RIGHT[name] = lambda: Kind(kind, examples or (drawn(3, 4),))


def wrong(
    name: str, said: str, forward: Any, backward: Any, *examples: Any,
    only: tuple[str, ...] = (), **more: Any,
) -> None:  # fmt: skip
    kind = made(name, forward, backward, **more)
    WRONG[name] = lambda: Kind(kind, examples or (drawn(3, 4),), said, only)


def keep(ctx: Any, *tensors: Any) -> Any:
    ctx.save_for_backward(*tensors)
    return tensors[0]


def of(ctx: Any) -> Any:
    return ctx.saved_tensors if len(ctx.saved_tensors) > 1 else ctx.saved_tensors[0]


# ---- right --------------------------------------------------------------------------------------

TWO = drawn(3, 4), drawn(4, 3).t().contiguous() + 3

right("Square", lambda c, x: keep(c, x) * x, lambda c, d: 2 * of(c) * d)
right("Tanh", lambda c, x: keep(c, x.tanh()), lambda c, d: d * (1 - of(c) ** 2))
right("Softplus", lambda c, x: (keep(c, x).exp() + 1).log(), lambda c, d: d * of(c).sigmoid())
right("Quotient", lambda c, a, b: keep(c, a, b) / b,
      lambda c, d: (d / of(c)[1], -d * of(c)[0] / of(c)[1] ** 2), *TWO)  # fmt: skip
right("MeanOfRows", lambda c, x: keep(c, x).mean(0),
      lambda c, d: (d / of(c).shape[0]).expand(of(c).shape))  # fmt: skip
right("Absolute", lambda c, x: keep(c, x).abs(), lambda c, d: d * of(c).sign())
right("LeakyOtherChoice", lambda c, x: torch.where(keep(c, x) > 0, x, 0.1 * x),
      lambda c, d: torch.where(of(c) >= 0, d, 0.1 * d))  # fmt: skip
right("MaxEven", lambda c, x: keep(c, x).amax(-1),
      lambda c, d: d[:, None] * even(of(c)))  # fmt: skip
right("Power", lambda c, x, n: later(c, n, keep(c, x)) ** n,
      lambda c, d: (d * c.n * of(c) ** (c.n - 1), None), drawn(3, 4), 4)  # fmt: skip
right("Distance", lambda c, a, b: distance(c, a, b), lambda c, d: distance_back(c, d), *TWO)
right("Both", lambda c, x: (keep(c, x).exp(), x.sin()),
      lambda c, a, b: a * of(c).exp() + b * of(c).cos())  # fmt: skip
right("NoneArrives", lambda c, x: unmaterialised(c, x),
      lambda c, a, b: sum(g * s for g, s in ((a, 2 * of(c)), (b, of(c).cos()))
                          if g is not None))  # fmt: skip
right("WithIndices", lambda c, x: with_indices(c, x),
      lambda c, d, _: torch.zeros_like(of(c)[0]).scatter(-1, of(c)[1], d))  # fmt: skip
right("InPlace", lambda c, x: in_place(c, x), lambda c, d: 2 * d)
right("Rows", lambda c, w, ids: keep(c, w, ids)[ids],
      lambda c, d: (torch.zeros_like(of(c)[0]).index_add(0, of(c)[1], d), None),
      drawn(5, 3), torch.tensor([0, 2, 2, 4]))  # fmt: skip
right("OldStyleSetup", lambda x: x.sin(), lambda c, d: d * of(c).cos(),
      setup_context=lambda ctx, inputs, output: ctx.save_for_backward(inputs[0]))  # fmt: skip
right("View", lambda c, x: later(c, x.shape, x).reshape(-1), lambda c, d: d.reshape(c.n))
right("Wide", lambda c, x: keep(c, x).double().exp().to(x),
      lambda c, d: (d.double() * of(c).double().exp()).to(d))  # fmt: skip
right("LogSumExpOfBatch", lambda c, x: keep(c, x).logsumexp(0),
      lambda c, d: d * of(c).softmax(0))  # fmt: skip
right("VarianceOfBatch", lambda c, x: keep(c, x).var(0),
      lambda c, d: 2 * d * (of(c) - of(c).mean(0)) / (len(of(c)) - 1 or float("nan")),
      drawn(5, 3))  # fmt: skip
right("NormOfBatch", lambda c, x: keep(c, x).norm(dim=0),
      lambda c, d: d * torch.nan_to_num(of(c) / of(c).norm(dim=0)))  # fmt: skip
right("ProductOfBatch", lambda c, x: keep(c, x).prod(0), lambda c, d: d * others(of(c)))
right("Bins", lambda c, x: torch.nn.functional.adaptive_avg_pool1d(keep(c, x), 2),
      lambda c, d: d.repeat_interleave(2, -1) / 2, drawn(3, 2, 4))  # fmt: skip
right("BatchNorm", lambda c, x: centred(keep(c, x))[0], lambda c, d: normed_back(of(c), d),
      drawn(6, 4))  # fmt: skip
right("RootBySteps", lambda c, x: keep(c, by_steps(x)), lambda c, d: d / (2 * of(c)),
      drawn(3, 4).abs() + 0.1)  # fmt: skip
right("NanAtRowsOfZeros", lambda c, x: keep(c, x).norm(dim=-1),
      lambda c, d: d[:, None] * of(c) / of(c).norm(dim=-1, keepdim=True), drawn(4, 1))  # fmt: skip
right("OtherBranchAbove50", lambda c, x: torch.where(keep(c, x) > 50, x, x.exp().log1p()),
      lambda c, d: torch.where(of(c) > 50, d, d * of(c).sigmoid()), 30 * drawn(3, 4))  # fmt: skip
right("ParabolaBelow50", lambda c, x: torch.where(keep(c, x).abs() > 50, 100 * x.abs(), x * x),
      lambda c, d: d * torch.where(of(c).abs() > 50, 100 * of(c).sign(), 2 * of(c)),
      40 * drawn(3, 4))  # fmt: skip


def by_steps(x: Any) -> Any:
    y = torch.ones_like(x)
    for _ in range(40):
        y = (y + x / y) / 2
    return y


def others(x: Any) -> Any:
    """Of each row, the product of all other rows."""
    rows = [torch.cat([x[:i], x[i + 1 :]]).prod(0) for i in range(len(x))]
    return torch.stack(rows) if rows else x


def centred(x: Any) -> Any:
    r = (x.var(0, unbiased=False) + 1e-3).rsqrt()
    return (x - x.mean(0)) * r, r


def normed_back(x: Any, d: Any) -> Any:
    h, r = centred(x)
    return r * (d - d.mean(0) - h * (d * h).mean(0))


def later(ctx: Any, n: Any, x: Any) -> Any:
    ctx.n = n
    return x


def even(x: Any) -> Any:
    top = (x == x.amax(-1, keepdim=True)).to(x)
    return top / top.sum(-1, keepdim=True)


def distance(ctx: Any, a: Any, b: Any) -> Any:
    r = ((a - b) ** 2).sum(-1).sqrt()
    ctx.save_for_backward(a, b, r)
    return r


def distance_back(ctx: Any, d: Any) -> Any:
    a, b, r = ctx.saved_tensors
    part = torch.where(r > 0, d / r, 0.0)[:, None] * (a - b)
    return part, -part


def unmaterialised(ctx: Any, x: Any) -> Any:
    ctx.set_materialize_grads(False)
    keep(ctx, x)
    return x * x, x.sin()


def with_indices(ctx: Any, x: Any) -> Any:
    values, indices = x.sort(-1)
    ctx.save_for_backward(x, indices)
    ctx.mark_non_differentiable(indices)
    return values, indices


def in_place(ctx: Any, x: Any) -> Any:
    ctx.mark_dirty(x)
    return x.mul_(2)


# ---- wrong --------------------------------------------------------------------------------------


def as_contiguous(d: Any) -> Any:
    """What a kernel reads that takes any memory for contiguous."""
    n = d.untyped_storage().size() // d.element_size()
    whole = d.as_strided((n,), (1,), 0)
    return whole.repeat(d.numel() // n + 1)[: d.numel()].reshape(d.shape)


wrong("AsIfContiguous", "", lambda c, x: keep(c, x) * x,
      lambda c, d: 2 * of(c) * as_contiguous(d), only=("transposed", "strided"))  # fmt: skip
wrong("SavedAsIfContiguous", "", lambda c, x: keep(c, x) * x,
      lambda c, d: 2 * as_contiguous(of(c)) * d, only=("transposed", "strided"))  # fmt: skip
wrong("ExpandedAsScalar", "", lambda c, x: keep(c, x) * x,
      lambda c, d: 2 * of(c) * (d if d.stride(0) else d * d.shape[0]),
      only=("expanded",))  # fmt: skip
wrong("BatchOfOne", "", lambda c, x: keep(c, x) * x,
      lambda c, d: 2 * of(c) * d / (1 + (len(d) == 1)),
      only=("batch of one",))  # fmt: skip
wrong("TakesTheOther", "", lambda c, a, b: keep(c, a, b) * b,
      lambda c, d: (d * of(c)[1], d * of(c)[0]) if c.needs_input_grad[0]
      else (None, d * of(c)[1]), *TWO, only=("input 2 alone",))  # fmt: skip
wrong("SlopeAtZero", "at a kink", lambda c, x: torch.where(keep(c, x) > 0, x, 0.1 * x),
      lambda c, d: d * (of(c) > 0) + 0.1 * d * (of(c) < 0) + 3 * d * (of(c) == 0),
      only=("zeros", "thresholds"))  # fmt: skip
wrong("NoSlopeAtZero", "", lambda c, x: keep(c, x) * x.sigmoid(),
      lambda c, d: d * (of(c) != 0) * (lambda x, s: s + x * s * (1 - s))(of(c), of(c).sigmoid()),
      only=("zeros",))  # fmt: skip
wrong("TwiceAtZero", "", lambda c, x: keep(c, x).exp(),
      lambda c, d: d * of(c).exp() * (1 + (of(c) == 0)), only=("zeros",))  # fmt: skip
wrong("NanWhereItIsSmooth", "its gradient is nan, and the slope", lambda c, x: keep(c, x) * x,
      lambda c, d: d * 2 * of(c) ** 2 / of(c), only=("zeros",))  # fmt: skip
wrong("SlopeAtThreshold", "", lambda c, x: keep(c, x).clamp(max=0.7),
      lambda c, d: d * (of(c) < 0.7) - d * (of(c).float() == torch.tensor(0.7)),
      only=("thresholds",))  # fmt: skip
wrong("AllTies", "", lambda c, x: keep(c, x).amax(-1),
      lambda c, d: d[:, None] * (of(c) == of(c).amax(-1, keepdim=True)),
      only=("equal", "zeros", "thresholds"))  # fmt: skip
wrong("OnlyInFloat32", "", lambda c, x: keep(c, x).exp(),
      lambda c, d: d * of(c).exp() * (1.01 if d.dtype == torch.float32 else 1.0))  # fmt: skip
wrong(
    "ClassHolds",
    "that of the call in between",
    lambda c, x: held(x),
    lambda c, d: 2 * d * Held.x,
    only=("another call",),
)


class Held:
    """State between calls."""

    x: Any = None
    n = 0
    buffer: ClassVar[dict[Any, Any]] = {}


def held(x: Any) -> Any:
    Held.x = x.detach().clone()
    return x * x


def counted(ctx: Any, x: Any) -> Any:
    Held.n += 1
    ctx.n = Held.n
    return x * float(Held.n)


def buffered(ctx: Any, x: Any) -> Any:
    out = Held.buffer.setdefault((x.shape, x.dtype), torch.zeros(x.shape, dtype=x.dtype))
    out.copy_(x)
    out.mul_(3)
    return out.detach()


def forward_writes(ctx: Any, x: Any) -> Any:
    keep(ctx, x.clone())
    x.data.add_(1)
    return of_data(ctx, x)


def of_data(ctx: Any, x: Any) -> Any:
    return (x - 1) * 2


wrong("Counts", "keeps a state", counted, lambda c, d: d * c.n, only=("another call",))
wrong("Buffer", "writes into what an earlier one", buffered, lambda c, d: 3 * d,
      only=("another call",))  # fmt: skip
wrong("WritesInput", "forward pass writes into it without mark_dirty", forward_writes,
      lambda c, d: 2 * d)  # fmt: skip
wrong("WritesInputBackward", "backward pass writes into it", lambda c, x: keep(c, x) * x,
      lambda c, d: 2 * d * of(c).clone() + 0 * of(c).data.mul_(2))  # fmt: skip
wrong("WritesCotangent", "writes into the gradient that arrives", lambda c, x: keep(c, x) * x,
      lambda c, d: d.mul_(2 * of(c)) if d.is_contiguous() else 2 * d * of(c))  # fmt: skip
wrong("SharesMemory", "lies in its memory", lambda c, x: x.data, lambda c, d: d)
wrong("FirstOutputOnly", "", lambda c, x: (keep(c, x).exp(), x.sin()),
      lambda c, a, b: a * of(c).exp() + (b * of(c).cos() if a.any() else b),
      only=("output 2 alone",))  # fmt: skip
wrong("OnesOnly", "", lambda c, x: keep(c, x).sum(-1),
      lambda c, d: torch.ones_like(of(c)) * d.flatten()[0])  # fmt: skip
wrong("NoneForTheSecond", "every element is zero", lambda c, a, b: keep(c, a, b) / b,
      lambda c, d: (d / of(c)[1], None), *TWO)  # fmt: skip


def checked(kind: Kind, **options: Any) -> gp.Report:
    Held.n = 0
    Held.buffer = {}
    return gp.check_function(kind.function, *kind.examples, **options)


@pytest.mark.sample(8)
@pytest.mark.parametrize("name", RIGHT)
def test_a_right_function_has_parity(name: str) -> None:
    report = checked(RIGHT[name]())
    assert report.exit_code == 0, report.diagnosis()
    assert {run.dtype for run in report.runs} == {"float64", "float32"}


@pytest.mark.sample(10)
@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_function_is_named_where_it_is_wrong(name: str) -> None:
    kind = WRONG[name]()
    report = checked(kind)
    assert report.exit_code == 1
    wrong = [(run, f) for run, f in report.findings() if f.parity is False]
    assert {f.node.rpartition("_")[0] for _, f in wrong} == {name}
    assert any(kind.said in f.note for _, f in wrong), report.diagnosis()
    runs = {run.case for run, _ in wrong}
    if kind.only:
        assert all(any(word in run for word in kind.only) for run in runs), runs
    else:
        assert "as given" in runs


def test_only_float32_is_wrong() -> None:
    report = checked(WRONG["OnlyInFloat32"]())
    assert {run.dtype for run, f in report.findings() if f.parity is False} == {"float32"}


def test_there_are_enough_of_them() -> None:
    assert len(RIGHT) >= 15
    assert len(WRONG) >= 15


class TestArguments:
    SQUARE = made("Square", lambda c, x: keep(c, x) * x, lambda c, d: 2 * of(c) * d)

    def test_the_class_its_apply_and_a_function_that_uses_it_are_the_same(self) -> None:
        x = drawn(2, 3)
        for f in (self.SQUARE, self.SQUARE.apply, lambda x: self.SQUARE.apply(x).tanh()):
            report = gp.check_function(f, x, dtypes=["float64"])
            assert report.exit_code == 0
            assert any(f.node == "Square_1" for _, f in report.findings())

    def test_a_dtype_that_it_refuses_is_told(self) -> None:
        def only_in_float64(ctx: Any, x: Any) -> Any:
            if x.dtype != torch.float64:
                raise TypeError("float64 alone")
            return keep(ctx, x) * x

        kind = made("Refuses", only_in_float64, lambda c, d: 2 * of(c) * d)
        report = gp.check_function(kind, drawn(2, 3))
        assert report.exit_code == 0
        assert report.skipped["float32"] == "TypeError: float64 alone"
        with pytest.raises(ValueError, match="float64 alone"):
            gp.check_function(kind, drawn(2, 3), dtypes=["float32"])

    def test_a_backward_that_raises_leaves_it_unknown(self) -> None:
        kind = made("Views", lambda c, x: keep(c, x) * x,
                    lambda c, d: 2 * of(c) * d.view(-1).view(d.shape))  # fmt: skip
        report = gp.check_function(kind, drawn(2, 3), dtypes=["float64"])
        assert report.exit_code == 2
        wrong = {run.case for run in report.runs if run.exit_code}
        assert wrong == {"expanded gradients", "transposed", "strided"}

    def test_half_precisions_on_request(self) -> None:
        formats = ["float64", "bfloat16", "float16"]
        report = gp.check_function(self.SQUARE, drawn(2, 3), dtypes=formats)
        assert report.exit_code == 0
        assert {run.dtype for run in report.runs} == set(formats)

    @pytest.mark.parametrize("convention", ["gradient-reversal", "straight-through"])
    def test_what_is_meant_to_differ_is_allowed(self, convention: str) -> None:
        kind = (
            made("Reverse", lambda c, x: x.view_as(x), lambda c, d: -d)
            if convention == "gradient-reversal"
            else made("Round", lambda c, x: x.round(), lambda c, d: d)
        )
        assert gp.check_function(kind, drawn(3, 4)).exit_code == 1
        assert gp.check_function(kind, drawn(3, 4), allow=[convention]).exit_code == 0

    def test_nothing_is_left_behind(self) -> None:
        x = drawn(2, 3).requires_grad_()
        before, state = x.detach().clone(), torch.random.get_rng_state()
        gp.check_function(self.SQUARE, x)
        assert x.grad is None
        assert torch.equal(x.detach(), before)
        assert torch.equal(torch.random.get_rng_state(), state)
        assert "apply" not in vars(torch.autograd.function._SingleLevelFunction)

    @pytest.mark.parametrize(
        ("f", "examples", "options", "error", "said"),
        [
            (3, (torch.ones(2),), {}, TypeError, "give a function"),
            (abs, (), {}, TypeError, "at least one tensor"),
            (abs, (torch.ones(2) * 1j,), {}, TypeError, "received Tensor of torch.complex64"),
            (abs, (torch.eye(2).to_sparse(),), {}, TypeError, "1 is sparse_coo.*give dense tens"),
            (abs, (torch.ones(2), torch.ones(2, device="meta")), {}, TypeError, "2 is on the dev"),
            (
                abs,
                (torch.ones(2),),
                {"allow": ["gradient-reversal=abc"]},
                ValueError,
                "give 'gradient-reversal=0.001'",
            ),
            (abs, (torch.ones(2),), {"dtypes": "float64"}, ValueError, "dtypes"),
            (abs, (torch.ones(2),), {"dtypes": ["float8"]}, ValueError, "float8"),
            (lambda x: x.detach(), (torch.ones(2),), {}, ValueError, "requires a gradient"),
        ],
    )
    def test_errors(self, f: Any, examples: Any, options: Any, error: Any, said: str) -> None:
        with pytest.raises(error, match=said):
            gp.check_function(f, *examples, **options)


def back(of_saved: Any) -> Any:
    return lambda c, d: of_saved(c.saved_tensors[0], d)


def rows_alone(x: Any, d: Any) -> Any:
    return d / (x.var(0, unbiased=False) + 1e-5).sqrt()


def attention(ctx: Any, q: Any, k: Any) -> Any:
    ctx.save_for_backward(q, k)
    return q @ k.mT / 2


REASONS: dict[str, tuple[Any, Any, tuple[Any, ...], str]] = {
    "Sizes": (lambda c, x: keep(c, x).sin(), back(lambda x, d: x.cos() * d.abs()), (),
              "|g| stands for g"),
    "Softmax": (lambda c, x: keep(c, x).softmax(-1), back(lambda x, d: d * x.softmax(-1)), (),
                "at Softmax: a term left out"),
    "Diagonal": (lambda c, x: keep(c, x).softmax(-1),
                 back(lambda x, d: d * x.softmax(-1) * (1 - x.softmax(-1))), (),
                 "at Softmax: the Jacobian's diagonal alone"),
    "Cumsum": (lambda c, x: keep(c, x).cumsum(-1), back(lambda x, d: d.cumsum(-1)), (),
               "in reverse order along axis 1"),
    "LayerNorm": (lambda c, x: torch.nn.functional.layer_norm(keep(c, x), (4,)),
                  back(lambda x, d: d / (x.var(-1, unbiased=False, keepdim=True) + 1e-5).sqrt()),
                  (), "the mean and the variance taken for constants"),
    "Centred": (lambda c, x: (keep(c, x) - x.mean(0)) / (x.var(0, unbiased=False) + 1e-5).sqrt(),
                back(rows_alone), (), "the terms through Mean and through Variance are left out"),
    "Leaky": (lambda c, x: torch.nn.functional.leaky_relu(keep(c, x), 0.1),
              back(lambda x, d: torch.where(x > 0, d, 0.01 * d)), (drawn(4, 6),),
              "0.1 times the formula only where the input is < 0"),
    "Border": (lambda c, x: torch.nn.functional.pad(keep(c, x), (1, 1), mode="replicate"),
               back(lambda x, d: d[..., 1:-1]), (drawn(2, 3, 8),),
               "only in slices of axis 2 at 0 and 7"),
    "Scale": (attention, lambda c, d: (d @ of(c)[1], d.mT @ of(c)[0]),
              (drawn(2, 3, 4), drawn(2, 5, 4)), "every element is 2 times the formula"),
    "Rounded": (lambda c, x: keep(c, x) ** 3,
                back(lambda x, d: (3 * d * x**2).bfloat16().to(d)), (),
                "a number of bfloat16"),
}  # fmt: skip


@pytest.mark.sample(3)
@pytest.mark.parametrize("name", REASONS)
def test_the_reason_of_a_wrong_backward(name: str) -> None:
    forward, backward, examples, said = REASONS[name]
    report = gp.check_function(made(name, forward, backward), *(examples or (drawn(3, 4),)))
    (first, *_) = (run for run in report.runs if run.dtype == "float64")
    notes = [f.note for f in first.findings if f.parity is False]
    assert notes
    assert all(said in note for note in notes), notes
    assert not any("the batch" in note or "float16 " in note for note in notes)


def test_one_cause_is_one_paragraph() -> None:
    kind = made("Cube", lambda c, x: keep(c, x) ** 3, lambda c, d: 2 * of(c) ** 2 * d)
    said = gp.check_function(kind, drawn(2, 3)).diagnosis()
    assert said.count("MISMATCH") == 1
    assert "0.666667 times the formula" in said
    assert "case 'as given'" in said.splitlines()[0]


class TestAtKinks:
    """In a recording: a choice is held to the slopes near by, whatever the ops take."""

    @pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
    @pytest.mark.parametrize(
        ("at_zero", "verdict"), [(0.0, "exact"), (0.5, "subgradient"), (1.0, "subgradient"),
                                 (1.5, "mismatch"), (-0.5, "mismatch")],
    )  # fmt: skip
    def test_a_mask(self, at_zero: float, verdict: str, dtype: Any) -> None:
        kind = made("Mask", lambda c, x: keep(c, x) * (x > 0),
                    lambda c, d: d * (of(c) > 0) + at_zero * d * (of(c) == 0))  # fmt: skip
        x = torch.tensor([[0.0, 1.0, -1.0, 0.0]], dtype=dtype, requires_grad=True)
        with gp.record() as step:
            kind.apply(x).backward(torch.tensor([[1.5, -2.0, 0.5, -0.25]], dtype=dtype))
        found = {f.quantity: str(f.verdict) for f in step.findings}
        assert found["grad input_1 -> Mask_1"] == verdict

    def test_a_norm_at_zero(self) -> None:
        def slope(ctx: Any, d: Any, at_zero: float) -> Any:
            x = of(ctx)
            r = x.norm(dim=-1, keepdim=True)
            return d[:, None] * torch.where(r > 0, x / r, at_zero)

        for at_zero, verdict in ((0.0, "subgradient"), (9.0, "mismatch")):
            kind = made("Norm", lambda c, x: (keep(c, x) ** 2).sum(-1).sqrt(),
                        lambda c, d, at=at_zero: slope(c, d, at))  # fmt: skip
            x = torch.zeros(2, 3, requires_grad=True)
            with gp.record() as step:
                kind.apply(x).backward(torch.tensor([1.5, -0.5]))
            found = {f.quantity: str(f.verdict) for f in step.findings}
            assert found["grad input_1 -> Norm_1"] == verdict


def test_only_what_requires_gradients_is_asked_for() -> None:
    class Masked(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any, mask: Any) -> Any:
            ctx.save_for_backward(mask)
            return x * mask

        @staticmethod
        def backward(ctx: Any, d: Any) -> Any:
            return d * ctx.saved_tensors[0], None

    x, mask = torch.randn(3, 4, requires_grad=True), torch.ones(3, 4)
    assert gp.check_function(Masked, x, mask).exit_code == 0
    assert gp.check_function(Masked, x.detach(), mask).exit_code == 1


@pytest.mark.parametrize("factor", [2, 3])
def test_its_report_has_one_line_per_setting(factor: float) -> None:
    square = made(
        "Square",
        lambda ctx, x: (ctx.save_for_backward(x), x * x)[1],
        lambda ctx, g: factor * g * ctx.saved_tensors[0],
    )
    report = gp.check_function(square, drawn(3, 4))
    assert report.exit_code == (0 if factor == 2 else 1)
    lines = str(report).splitlines()
    for run in report.runs:
        assert sum(line.startswith(run.case) for line in lines) == 1, run.case
    assert not any(line.startswith("(no module)") for line in lines)
    assert "1 of 1 nodes judged" in text(report, detail="all")


def test_its_report_says_what_was_judged_by_values() -> None:
    rounded = made(
        "Through",
        lambda ctx, x: torch.from_numpy(x.detach().numpy() * 2.0),
        lambda ctx, g: g * 2.0,
    )
    report = gp.check_function(rounded, drawn(3, 4))
    assert report.exit_code == 0
    (line,) = {run.coverage for run in report.runs if run.case == "as given"}
    assert line.partition(";")[2].strip()
    assert line in str(report).replace("\n", " ")
