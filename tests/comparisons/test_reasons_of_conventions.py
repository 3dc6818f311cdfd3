"""A reference that follows another convention is named, with the number or word of the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradparity as gp
from gradparity import ops
from gradparity.comparisons.explain.hints import hint

torch = pytest.importorskip("torch")
F = torch.nn.functional

Function = Callable[..., Any]


def notes(f: Function, op: Any, shape: Any = None, backward: Any = "torch") -> dict[str, str]:
    """The note on every quantity that is wrong at random points in float64."""
    given = {} if shape is None else {"shape": shape}
    report = gp.check_op(f, backward, reference=op, dtypes=["float64"], **given)
    (run,) = (run for run in report.runs if run.case == "random_points")
    return {str(found.quantity): found.note for found in run.findings if found.parity is False}


def heads(
    n: int = 3,
    scale: float | None = None,
    order: Any = (0, 1, 2),
    layout: str = "",
    offset: Any = None,
) -> Function:
    """Attention with n heads, by the framework's own function."""

    def apart(a: Any) -> Any:
        B, T, D = a.shape
        if layout == "interleaved":
            return a.view(B, T, D // n, n).permute(0, 3, 1, 2)
        return a.view(B, T, n, D // n).transpose(1, 2)

    def f(x: Any, W: Any, b: Any, V: Any, c: Any) -> Any:
        B, T, D = x.shape
        s = x @ W + b
        if layout == "by head":
            q, k, v = s.view(B, T, n, 3, D // n).permute(3, 0, 2, 1, 4)
        else:
            parts = s.chunk(3, -1)
            q, k, v = (apart(parts[i]) for i in order)
        mask = None if offset is None else torch.ones(T, T, dtype=torch.bool).tril(offset)
        z = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=scale)
        z = z.permute(0, 2, 3, 1) if layout == "interleaved" else z.transpose(1, 2)
        return z.reshape(B, T, D) @ V + c

    return f


def gru(x: Any, W: Any, U: Any, b: Any, c: Any = None, *, after: bool) -> Any:
    """A GRU whose reset gate acts before or after the product with U."""
    n = W.shape[1] // 3
    h, out = torch.zeros(len(x), n, dtype=x.dtype), []
    c = torch.zeros_like(b) if c is None else c
    for t in range(x.shape[1]):
        X, H = (x[:, t] @ W + b).chunk(3, -1), (h @ U + c).chunk(3, -1)
        r, u = (X[0] + H[0]).sigmoid(), (X[1] + H[1]).sigmoid()
        inner = r * H[2] if after else (r * h) @ U[:, 2 * n :] + c[2 * n :]
        h = (1 - u) * (X[2] + inner).tanh() + u * h
        out.append(h)
    return torch.stack(out, 1)


def lstm(x: Any, W: Any, U: Any, b: Any, c: Any, *, more: float = 0.0, new: Any = None) -> Any:
    """An LSTM with a larger bias of the forget gate, or another function of its new state."""
    h = cell = torch.zeros(len(x), W.shape[1] // 4, dtype=x.dtype)
    out = []
    for t in range(x.shape[1]):
        i, f, g, o = (x[:, t] @ W + h @ U + b + c).chunk(4, -1)
        cell = (f + more).sigmoid() * cell + i.sigmoid() * g.tanh()
        h = o.sigmoid() * (new or torch.tanh)(cell)
        out.append(h)
    return torch.stack(out, 1)


def rnn(x: Any, W: Any, U: Any, b: Any, c: Any, *, of: Function, back: bool = False) -> Any:
    """An RNN with this function, from the last step to the first if asked."""
    h, out = torch.zeros(len(x), W.shape[1], dtype=x.dtype), []
    for t in range(x.shape[1])[:: -1 if back else 1]:
        h = of(x[:, t] @ W + h @ U + b + c)
        out.append(h)
    return torch.stack(out[:: -1 if back else 1], 1)


def rotated(y: Any, c: Any, s: Any, sign: int = 1) -> Any:
    a, b = y.chunk(2, -1)
    return torch.cat([a * c - sign * b * s, b * c + sign * a * s], -1)


def padded(mode: str) -> Function:
    return lambda x, W, b: F.conv2d(F.pad(x, (1,) * 4, mode=mode), W, b)


def grouped(n: int) -> Function:
    return lambda y, g, b: F.group_norm(y, n, g, b)


CONV, GROUPS = ops.Conv(2, 3, (3, 3), padding=1), ops.GroupNorm(4, 2)
MHA = ops.MultiHeadAttention(6, 3)
ATTENTION = ops.Attention(causal=True)
QKV = [(5, 4), (5, 4), (5, 2)]
SEQUENCE = (4, 3)

ARGUMENTS = {
    "heads": (heads(2), MHA, (5, 6), "heads = 2, where the network has heads = 3"),
    "groups": (grouped(4), GROUPS, (4, 3, 2), "groups = 4, where the network has groups = 2"),
    "one group": (grouped(1), GROUPS, (4, 3, 2), "groups = 1"),
    "nearest": (
        lambda z: F.interpolate(z, size=(7, 5)), ops.Resize((7, 5), "linear"), (2, 4, 3),
        "mode = 'nearest', where the network has mode = 'linear'",
    ),
    "corners": (
        lambda z: F.interpolate(z, size=(7, 5), mode="bilinear", align_corners=True),
        ops.Resize((7, 5)), (2, 4, 3), "mode = 'linear' and align_corners = True",
    ),
    "pad": (
        lambda z: F.pad(z, (1, 2), mode="replicate"), ops.Pad(((1, 2),), "reflect"), (2, 4),
        "mode = 'replicate'",
    ),
    "low": (
        lambda x, W, b: F.conv1d(F.pad(x, (1, 0)), W, b, stride=2),
        ops.Conv(2, 3, (2,), stride=2, padding="same"), (2, 5), "padding = ((1, 0),)",
    ),
    "layout": (rotated, ops.Rotary("pairs"), [(5, 4), (5, 2), (5, 2)], "layout = 'halves'"),
    "scale": (
        lambda q, k, v: F.scaled_dot_product_attention(q, k, v, scale=1.0), ops.Attention(), QKV,
        "scale = 1.0",
    ),
    "reset after": (
        lambda *y: gru(*y, after=True), ops.GRU(3, 2, reset_after=False), SEQUENCE,
        "reset_after = True",
    ),
    "reset before": (
        lambda *y: gru(*y, after=False), ops.GRU(3, 2), SEQUENCE,
        "reset_after = False, where the network has reset_after = True, and c added to b",
    ),
}  # fmt: skip

OTHERS = {
    "scale of heads": (heads(scale=0.3), MHA, (5, 6), "with a scale of 0.3"),
    "scale of d": (heads(scale=6**-0.5), MHA, (5, 6), "a scale of 1 / sqrt(d) = 0.408248"),
    "order": (heads(order=(0, 2, 1)), MHA, (5, 6), "blocks in the order q, v, k"),
    "turned": (heads(order=(2, 0, 1)), MHA, (5, 6), "blocks in the order k, v, q"),
    "interleaved": (heads(layout="interleaved"), MHA, (5, 6), "its heads interleaved"),
    "by head": (heads(layout="by head"), MHA, (5, 6), "q, k and v of one head side by side"),
    "mask of heads": (
        heads(offset=1), ops.MultiHeadAttention(6, 3, causal=True), (5, 6), "positions up to t + 1",
    ),
    "mask": (
        lambda q, k, v: F.scaled_dot_product_attention(
            q, k, v, attn_mask=torch.ones(5, 5, dtype=torch.bool).tril(1)
        ), ATTENTION, QKV, "positions up to t + 1",
    ),
    "sine": (
        lambda y, c, s: rotated(y, c, s, -1), ops.Rotary(), [(5, 4), (5, 2), (5, 2)],
        "its third input has the other sign",
    ),
    "forget": (
        lambda *y: lstm(*y, more=1.0), ops.LSTM(3, 2), SEQUENCE, "the forget gate larger by 1",
    ),
    "no tanh": (
        lambda *y: lstm(*y, new=lambda s: s), ops.LSTM(3, 2), SEQUENCE, "no tanh at the new cell",
    ),
    "relu": (lambda *y: rnn(*y, of=torch.relu), ops.RNN(3, 2), SEQUENCE, "relu in place of tanh"),
    "backwards": (
        lambda *y: rnn(*y, of=torch.tanh, back=True), ops.RNN(3, 2), SEQUENCE,
        "it runs backwards along axis 1",
    ),
    "exclusive": (lambda z: z.cumsum(-1) - z, ops.CumulativeSum(), (4, 3), "an exclusive scan"),
    "products": (
        lambda z: torch.cat([torch.ones_like(z[..., :1]), z.cumprod(-1)[..., :-1]], -1),
        ops.CumulativeProduct(), (4, 3), "an exclusive scan",
    ),
    "halves": (
        lambda z: F.glu(torch.cat(z.chunk(2, -1)[::-1], -1)), ops.GLU(), (4,),
        "its halves along axis 1 exchanged",
    ),
    "quick": (lambda z: z * torch.sigmoid(1.702 * z), ops.GELU(), None, "as SiLU(b=1.702)"),
    "swish": (F.silu, ops.Hardswish(), None, "as SiLU(b=1.0), where the network has Hardswish"),
    "plus one": (
        lambda x, g: F.rms_norm(x, x.shape[-1:], 1 + g, 1e-5), ops.RMSNorm(5), (3, 5),
        "g_z + 1 stands for g_z",
    ),
    "norm": (
        lambda x, g: F.layer_norm(x, x.shape[-1:], g), ops.RMSNorm(5), (3, 5), "as LayerNorm(n=5",
    ),
    "reflect": (padded("reflect"), CONV, (2, 4, 5), "with reflect padding"),
    "circular": (padded("circular"), CONV, (2, 4, 5), "with circular padding"),
}  # fmt: skip


class TestConventions:
    @pytest.mark.sample(4)
    @pytest.mark.parametrize("name", ARGUMENTS)
    def test_another_argument(self, name: str) -> None:
        f, op, shape, words = ARGUMENTS[name]
        found = notes(f, op, shape)
        assert found
        assert all(note.startswith(f"right with {words}") for note in found.values()), found

    @pytest.mark.sample(4)
    @pytest.mark.parametrize("name", OTHERS)
    def test_that_no_argument_names(self, name: str) -> None:
        f, op, shape, words = OTHERS[name]
        found = notes(f, op, shape)
        assert found
        assert all(note.startswith("right ") and words in note for note in found.values()), found

    def test_a_momentum_of_three_features(self) -> None:
        net = gp.layered([ops.BatchNorm(3)], ops.L2())
        case = gp.Case.random(net, x=np.random.default_rng(0).standard_normal((6, 3)))
        other = gp.layered([ops.BatchNorm(3, momentum=0.03)], ops.L2())

        def mine(given: Any) -> Any:
            return gp.core.backprop(gp.Case(other, given.params, given.x, given.d))

        report = gp.check(case, mine, dtypes=["float64"])
        found = {str(f.quantity): f.note for _, f in report.findings() if f.parity is False}
        assert set(found) == {"value z1.mean", "value z1.var"}
        assert all("right with momentum = 0.03" in note for note in found.values())


WRONG = {
    "heads": (MHA, (5, 6)),
    "groups": (GROUPS, (4, 3, 2)),
    "conv": (CONV, (2, 4, 5)),
    "gelu": (ops.GELU(), None),
    "scan": (ops.CumulativeSum(), (4, 3)),
    "rotary": (ops.Rotary(), [(5, 4), (5, 2), (5, 2)]),
    "lstm": (ops.LSTM(3, 2), SEQUENCE),
}


class TestNoConvention:
    @pytest.mark.sample(3)
    @pytest.mark.parametrize("name", WRONG)
    def test_a_wrong_gradient_stays_without_a_convention(self, name: str) -> None:
        op, shape = WRONG[name]

        def backward(dz: Any, *y: Any) -> Any:
            first, *others = op.vjp(dz, y, op.forward(*y))
            return (first + 0.1 * np.tanh(first) * np.cos(y[0]), *others)

        found = notes(op.forward, op, shape, backward)
        assert len(found) == 1
        assert not any("right with" in note or "right as" in note for note in found.values())

    @pytest.mark.sample(3)
    @pytest.mark.parametrize("name", WRONG)
    def test_a_right_one_is_not_accused(self, name: str) -> None:
        op, shape = WRONG[name]

        def backward(dz: Any, *y: Any) -> Any:
            return op.vjp(dz, y, op.forward(*y))

        assert not notes(op.forward, op, shape, backward)

    def test_of_a_right_framework(self) -> None:
        assert not notes(heads(), MHA, (5, 6))
        assert not notes(lambda *y: gru(*y, after=True), ops.GRU(3, 2), SEQUENCE)
        assert not notes(padded("constant"), CONV, (2, 4, 5))


class TestSentences:
    def test_of_factors_of_slices_is_whole(self) -> None:
        want = np.random.default_rng(0).standard_normal((3, 4, 6))
        said = hint(want * np.arange(2.0, 8.0), want, np.full(want.shape, 1e-14))
        words = "every slice of axis 2 is a multiple of the formula, by factors of their own: "
        assert said.startswith(words)

    def test_nan_is_one_finding(self) -> None:
        """It is no fault of the batch nor of linearity."""
        report = gp.check_op(
            lambda z: F.lp_pool2d(z, 3, (2, 2), 2), "torch", reference=ops.LpPool(3, (2, 2), 2),
            shape=(2, 4, 6), dtypes=["float64"],
        )  # fmt: skip
        assert report.exit_code == 1
        found = [(run.case, f.note) for run, f in report.findings() if f.parity is False]
        assert any(case == "finite" and note.startswith("it is nan") for case, note in found)
        assert not {"linearity", "batch_split", "permutation"} & {case for case, _ in found}

    def test_nan_of_a_gradient_is_one_finding(self) -> None:
        report = gp.check_op(torch.hypot, "torch", reference=ops.Hypot(), dtypes=["float64"])
        cases = {run.case for run, f in report.findings() if f.parity is False}
        assert "finite" in cases
        assert not {"linearity", "batch_split", "permutation"} & cases

    def test_nan_in_one_batch_alone_is_accused(self) -> None:
        """A sample that is NaN because of others is a fault of the batch."""

        def forward(z: Any) -> Any:
            return np.where(len(z) > 5, np.nan, 1.0) * z

        report = gp.check_op(
            forward, lambda dz, z: dz, reference=ops.Identity(), dtypes=["float64"]
        )
        cases = {run.case for run, f in report.findings() if f.parity is False}
        assert "batch_split" in cases
