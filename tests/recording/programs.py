"""Small programs, one or more for every ATen op that has a rule, with unusual arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

__all__ = ["ON_DEVICES", "PROGRAMS", "Program"]

aten: Any = torch.ops.aten
Draw = Callable[[torch.Generator], Tensor]


def n(*shape: int) -> Draw:
    """Normal numbers."""
    return lambda rng: torch.randn(shape, generator=rng, dtype=torch.float64)


def pos(*shape: int) -> Draw:
    """Numbers between 0.4 and 1.9."""
    return lambda rng: 0.4 + 1.5 * torch.rand(shape, generator=rng, dtype=torch.float64)


def unit(*shape: int) -> Draw:
    """Numbers between -0.9 and 0.9."""
    return lambda rng: 1.8 * torch.rand(shape, generator=rng, dtype=torch.float64) - 0.9


def prob(*shape: int) -> Draw:
    """Numbers between 0.05 and 0.95."""
    return lambda rng: 0.05 + 0.9 * torch.rand(shape, generator=rng, dtype=torch.float64)


def apart(*shape: int) -> Draw:
    """Distinct numbers, exact in every format, in random order."""
    size = int(torch.tensor(shape).prod()) if shape else 1
    return lambda rng: (torch.randperm(size, generator=rng).double() - size / 2 + 0.25).reshape(
        shape
    )


def gaps(value: float, *shape: int) -> Draw:
    """Normal numbers, every third replaced."""
    return lambda rng: torch.where(mask(*shape), value, n(*shape)(rng))


@dataclass(frozen=True)
class Program:
    """A function of tensors that require gradients.

    Attributes
    ----------
    ops : the names in the table of rules that it exercises, separated by spaces.
    f : the program; returns one tensor or several.
    given : draws of its inputs.
    low : whether it runs in bfloat16 too.
    off : verdicts on what PyTorch itself computes wrongly, by number format.
    """

    ops: str
    f: Callable[..., Any]
    given: Sequence[Draw]
    low: bool = True
    off: Mapping[str, str] = field(default_factory=dict)


PROGRAMS: list[Program] = []


def add(ops: str, f: Callable[..., Any], *given: Draw, low: bool = True, **off: str) -> None:
    """Add one program."""
    PROGRAMS.append(Program(ops, f, given, low, off))


def ids(*numbers: Any) -> Tensor:
    """Integers."""
    return torch.tensor(numbers[0] if len(numbers) == 1 else numbers, dtype=torch.long)


def grouped(x: Tensor, w: Tensor, *ends: int) -> Tensor:
    """Rows times a matrix for each group of them; there is no such kernel for float64."""
    offs = torch.tensor(ends, dtype=torch.int32)
    return torch._grouped_mm(x.float(), w.float(), offs=offs)


def mask(*shape: int) -> Tensor:
    """Every third element."""
    return (torch.arange(int(torch.tensor(shape).prod())) % 3 == 0).reshape(shape)


# ---- elementwise --------------------------------------------------------------------------------

for _name in (
    "abs exp expm1 sin cos atan sinc tanh sigmoid erf erfc special_log_ndtr special_i0e special_i1e"
    " neg relu"
).split():
    add(_name, getattr(torch, _name.removeprefix("special_"), None)
        or getattr(torch.special, _name.removeprefix("special_")), n(2, 3),
        low=_name not in ("special_log_ndtr", "special_i1e"))  # fmt: skip
for _name in "log log1p log2 log10 sqrt rsqrt reciprocal lgamma digamma".split():
    add(_name, getattr(torch, _name), pos(2, 3))
add("add", lambda x, y: x.float() + y.double(), n(2, 3), n(2, 3))
add("sub", lambda x, y: x.double() - y.float(), n(2, 3), n(3))
add("mul", lambda x, y: x.float() * y.double(), n(2, 3), n(2, 1))
add("maximum", lambda x, y: torch.maximum(x.float(), y.double()), n(2, 3), n(2, 3))
add("exp", torch.exp, n())
add("exp", lambda x: torch.exp_(x.clone()), n(2, 3))
add("tanh", lambda x: torch.tanh(x.t()), n(2, 3))
add("abs", lambda x: (x * 1).abs_(), n(3))
add("erfinv", torch.erfinv, unit(5))
# Its backward pass multiplies by 1/6 in float32, in float64 too; that of CELU by 1/a.
add("hardsigmoid", F.hardsigmoid, n(3, 4), float64="mismatch")
for _act in ("silu", "mish", "hardswish", "hardshrink", "softshrink", "celu", "elu"):
    add(_act, getattr(F, _act), n(3, 4))
add("elu", F.selu, n(3, 4))
add("elu", lambda x: F.elu(x, 0.7), n(3, 4))
add("celu", lambda x: F.celu(x, 1.7), n(3, 4), float64="mismatch")
add("log_sigmoid_forward", F.logsigmoid, n(3, 4))
add("gelu", F.gelu, n(3, 4))
add("gelu", lambda x: F.gelu(x, approximate="tanh"), n(3, 4))
add("leaky_relu", F.leaky_relu, n(3, 4))
add("leaky_relu", lambda x: F.leaky_relu(x.clone(), 0.3, inplace=True), n(3, 4))
add("relu", lambda x: F.relu((x * 1), inplace=True), n(3, 4))
add("hardtanh", F.relu6, n(3, 4))
add("hardtanh", lambda x: F.hardtanh(x, -0.5, 0.75), n(3, 4))
add("hardshrink", lambda x: F.hardshrink(x, 0.25), n(3, 4))
add("softshrink", lambda x: F.softshrink(x, 0.25), n(3, 4))
add("threshold", lambda x: F.threshold(x, 0.25, -3.0), n(3, 4))
add("softplus", F.softplus, n(3, 4))
add("softplus", lambda x: F.softplus(x, beta=2.5, threshold=1.0), n(3, 4))
add("_prelu_kernel", F.prelu, n(2, 3, 4), n(3))
add("_prelu_kernel", F.prelu, n(2, 3), n(1))
add("clamp", lambda x: torch.clamp(x, -0.5, 0.5), n(3, 4))
add("clamp", lambda x: torch.clamp(x, max=0.5), n(3, 4))
add("clamp", lambda x, a, b: torch.clamp(x, a, a + b), n(3, 4), n(4), pos(3, 1))
add("clamp", lambda x, a: torch.clamp(x, min=a), n(3, 4), n(4))
add("clamp_min", lambda x: torch.clamp_min(x, 0.1), n(3, 4))
add("clamp_max", lambda x: torch.clamp_max(x, 0.1), n(3, 4))
add("clamp_min", torch.clamp_min, n(3, 4), n(1))
add("clamp_max", torch.clamp_max, n(3, 4), n(3, 1))
for _p in (2, 3, -2, 0.5, -0.5, 1, -1, 1.5):
    add("pow.Tensor_Scalar", lambda x, p=_p: x**p, pos(3))  # type: ignore[misc]
add("pow.Tensor_Scalar", lambda x: x**3, n(3))
add("pow.Tensor_Scalar", torch.square, n(3))
add("pow.Tensor_Tensor", torch.pow, pos(2, 3), n(3))
add("pow.Scalar", lambda x: 2**x, n(3))
add("pow.Scalar", lambda x: 0.3**x, n())
add("add", lambda x: x + 2, n(3))
add("add", lambda x: 2.5 + x, n())
add("add", torch.add, n(2, 1), n(3))
add("add", lambda x, y: torch.add(x, y, alpha=-0.75), n(2, 1), n(3))
add("add", lambda x: torch.add(x, 2.0, alpha=3), n(2, 1))
add("add", lambda x: torch.add(x, x.new_tensor([1.0, 2.0, 3.0])), n(2, 1))
add("add", lambda x, y: (x * 1).add_(y, alpha=2), n(2, 3), n(3))
add("sub", lambda x: x - 2, n(3))
add("sub", torch.sub, n(2, 1), n())
add("sub", lambda x, y: torch.sub(x, y, alpha=0.5), n(2, 1), n(3))
add("sub", lambda x: (x * 1).sub_(1.5), n(2, 3))
add("rsub", lambda x: 1 - x, n(3))
add("rsub", lambda x, y: torch.rsub(x, y, alpha=3), n(2, 1), n(3))
add("rsub", lambda x, y: torch.rsub(x, y), n(2, 1), n(3))
add("mul", lambda x: x * -3, n(3))
add("mul", torch.mul, n(2, 1), n(4, 1, 3))
add("mul", lambda x: x * x, n(3))
add("mul", lambda x: 0.1 * x, n())
add("mul", lambda x, y: (x * 1).mul_(y), n(2, 3), n())
add("div", lambda x: x / 3, n(3))
add("div", lambda x: (x * 1).div_(0.3), n(3))
add("reciprocal mul", lambda x: 3 / x, pos(3))
add("div", torch.div, n(2, 3), pos(3))
add("div", torch.div, n(), pos(3))
add("maximum", torch.maximum, n(2, 3), n(3))
add("maximum", torch.max, n(2, 3), n(2, 3))
add("minimum", torch.minimum, n(2, 3), n(3))
add("minimum", torch.min, n(2, 3), n(2, 1))
add("fmax", torch.fmax, n(2, 3), n(3))
add("fmin", torch.fmin, n(2, 3), n(3))
add("atan2", torch.atan2, n(2, 3), n(3))
add("hypot", torch.hypot, n(2, 3), n(3))
add("logaddexp", torch.logaddexp, n(2, 3), n(3))
add("lerp.Tensor", torch.lerp, n(2, 3), n(3), prob(2, 1))
add("lerp.Scalar", lambda x, y: torch.lerp(x, y, 0.3), n(2, 3), n(3))
add("lerp.Scalar", lambda x, y: (x * 1).lerp_(y, 0.7), n(2, 3), n(3))
add("addcmul", torch.addcmul, n(3), n(2, 3), n(2, 1))
add("addcmul", lambda a, b, c: torch.addcmul(a, b, c, value=-0.5), n(3), n(2, 3), n(2, 1))
add("addcdiv", torch.addcdiv, n(3), n(2, 3), pos(2, 1))
add("addcdiv", lambda a, b, c: torch.addcdiv(a, b, c, value=2), n(3), n(2, 3), pos(2, 1))
add("where.self", lambda x, y: torch.where(mask(2, 3), x, y), n(2, 3), n(3))
add("where.self", lambda x: torch.where(mask(2, 3), x, 1.5), n(2, 3))
add("where.self", lambda x: torch.where(mask(3), 0.0, x), n(2, 3))
add("masked_fill", lambda x: x.masked_fill(mask(3), -1.5), n(2, 3))
add("masked_fill", lambda x: x.masked_fill(mask(2, 3), float("-inf"))[:, 1:], n(2, 3))
add("masked_fill", lambda x, v: x.masked_fill(mask(2, 1), v), n(2, 3), n())
add("masked_fill", lambda x: (x * 1).masked_fill_(mask(2, 3), 2), n(2, 3))
add("native_dropout", lambda x: torch.native_dropout(x, 0.4, True)[0], n(3, 4))
add("glu", F.glu, n(2, 6))
add("glu", lambda x: F.glu(x, 0), n(4, 3))

for _name in "tan sinh cosh asinh sign floor ceil round trunc frac deg2rad rad2deg exp2".split():
    add(_name, getattr(torch, _name), n(2, 3))
for _name in "asin acos atanh".split():
    add(_name, getattr(torch, _name), unit(2, 3))
add("acosh", lambda x: torch.acosh(1 + x), pos(2, 3))
add("logit", torch.logit, prob(2, 3))
add("logit", lambda x: torch.logit(x, 0.1), prob(2, 3))
add("xlogy.Tensor", torch.xlogy, n(2, 1), pos(3))
add("xlogy.Tensor", lambda x: torch.xlogy(mask(3).to(x), x), pos(2, 3))
add("special_xlog1py", torch.special.xlog1py, n(2, 1), pos(3))
add("special_entr", torch.special.entr, pos(2, 3))
add("nan_to_num", lambda x: torch.nan_to_num(x, 1.5, 7.0, -7.0), gaps(float("nan"), 2, 3))
add("nan_to_num", lambda x: torch.nan_to_num(x, posinf=7.0), gaps(float("inf"), 2, 3))
add("rrelu_with_noise", F.rrelu, n(3, 4))

# ---- reductions ---------------------------------------------------------------------------------

for _name, _f in {"sum": torch.sum, "mean": torch.mean, "var": torch.var, "std": torch.std,
                  "amax": torch.amax, "amin": torch.amin}.items():  # fmt: skip
    add(_name, _f, n(2, 3, 4))
    add(_name, lambda x, f=_f: f(x, dim=(-1, 0)), n(2, 3, 4))  # type: ignore[misc]
    add(_name, lambda x, f=_f: f(x, dim=1, keepdim=True), n(2, 3, 4))  # type: ignore[misc]
for _name, _f in {"sum": torch.sum, "mean": torch.mean, "amax": torch.amax, "prod": torch.prod,
                  "max": torch.max, "min": torch.min}.items():  # fmt: skip
    add(_name, _f, n())
add("sum", lambda x: x.sum(dim=()), n(2, 3))
add("sum", lambda x: x.expand(4, 3).sum(-1), n(1, 3))
add("var", lambda x: x.var(0, correction=0), n(3, 2))
add("std", lambda x: x.std(dim=(0, -1), correction=0, keepdim=True), n(3, 2, 2))
add("var", lambda x: x.var(0, unbiased=False), n(3, 2))
add("logsumexp", lambda x: torch.logsumexp(x, (0, -1)), n(2, 3, 4))
add("logsumexp", lambda x: torch.logsumexp(x, -2, keepdim=True), n(2, 3, 4))
add("prod", torch.prod, n(2, 3))
add("prod", lambda x: x.prod(-2, keepdim=True), n(2, 3, 2))
add("max", torch.max, apart(2, 3))
add("min", torch.min, apart(2, 3))
add("max.dim", lambda x: x.max(-2).values, apart(2, 3, 2))
add("max.dim", lambda x: x.max(0, keepdim=True)[0], apart(2, 3))
add("min.dim", lambda x: x.min(-1, keepdim=True)[0], apart(2, 3))
add("amax", lambda x: x.amax(0), lambda rng: torch.ones(3, 2, dtype=torch.float64))
add("linalg_vector_norm", torch.norm, n(2, 3))
add("linalg_vector_norm", lambda x: torch.linalg.vector_norm(x, dim=(0, -1)), n(2, 3, 2))
add("linalg_vector_norm", lambda x: torch.linalg.vector_norm(x, 1, 0, keepdim=True), n(2, 3))
add("linalg_vector_norm", lambda x: torch.linalg.vector_norm(x, 3, -1), n(2, 3))
add("linalg_vector_norm", lambda x: torch.linalg.vector_norm(x, float("inf"), (0, 1)), n(2, 3, 2))
add("linalg_vector_norm", lambda x: torch.linalg.vector_norm(x, -float("inf"), 0), n(2, 3))
add("linalg_vector_norm clamp_min", lambda x: F.normalize(x, dim=-1), n(2, 3))
for _name in ("i0", "special_i1", "special_erfcx"):
    add(_name, getattr(torch.special, _name.removeprefix("special_")), n(2, 3), low=False)
add("special_ndtri", torch.special.ndtri, prob(2, 3), low=False)
add("special_zeta", lambda x: torch.special.zeta(3.0, x), pos(2, 3), low=False)
for _order in range(4):
    add("polygamma", lambda x, k=_order: torch.polygamma(k, x), pos(2, 3), low=False)  # type: ignore[misc]
add("mvlgamma", lambda x: torch.special.multigammaln(x + 2, 3), pos(2, 3))
add("logcumsumexp", lambda x: x.logcumsumexp(1), n(2, 3))
add("logcumsumexp", lambda x: x.logcumsumexp(0), n())
for _name, _f in {"_softmax": F.softmax, "_log_softmax": F.log_softmax, "cumsum": torch.cumsum,
                  "cumprod": torch.cumprod}.items():  # fmt: skip
    add(_name, lambda x, f=_f: f(x, dim=-1), n(2, 3))  # type: ignore[misc]
    add(_name, lambda x, f=_f: f(x, dim=0), n(3, 2, 2))  # type: ignore[misc]
    add(_name, lambda x, f=_f: f(x, dim=0), n())  # type: ignore[misc]
add("_log_softmax", lambda x: F.log_softmax(x, 1), n(1, 3, 2))
add("_softmax", lambda x: F.softmax(x, -1, dtype=torch.float64), n(2, 3))
add("_safe_softmax", lambda x: aten._safe_softmax(x, -1), n(2, 3))
add("cummax", lambda x: torch.cummax(x, -1).values, n(2, 4))
add("cummax", lambda x: torch.cummax(x, 0).values, n())
add("sort", lambda x: torch.sort(x).values, apart(2, 4))
add("sort", lambda x: torch.sort(x, 0, descending=True).values, apart(3, 2))
add("sort", lambda x: torch.sort(x, dim=0, stable=True).values, apart(3, 2))
add("topk", lambda x: torch.topk(x, 2).values, apart(2, 4))
add("topk", lambda x: torch.topk(x, 2, dim=0, largest=False, sorted=False).values, apart(3, 2))

add("norm", lambda x: F.pairwise_distance(x, 0 * x.detach()), n(3, 4))
add("nansum", torch.nansum, gaps(float("nan"), 2, 3))
add("nansum", lambda x: torch.nansum(x, -1, keepdim=True), n(2, 3))
add("std_mean", lambda x: torch.std_mean(x, (0, -1), keepdim=True), n(3, 2, 2))
add("var_mean", lambda x: torch.var_mean(x, -1, correction=0), n(3, 4))
add("aminmax", lambda x: torch.aminmax(x, dim=0), apart(3, 4))
add("cummin", lambda x: torch.cummin(x, 0).values, apart(3, 4))
add("kthvalue", lambda x: torch.kthvalue(x, 2, 0, keepdim=True)[0], apart(3, 4))
add("median", torch.median, apart(3, 4))
add("median.dim", lambda x: torch.median(x, -2)[0], apart(3, 4, 2))

# ---- movements ----------------------------------------------------------------------------------

add("view", lambda x: x.view(-1, 2), n(2, 3, 2))
add("view", lambda x: x.reshape(()), n(1, 1))
add("view", lambda x: x.flatten(1), n(2, 3, 2))
add("view", lambda x: x.unflatten(-1, (2, 3)), n(2, 6))
add("_unsafe_view clone", lambda x: x.t().reshape(-1), n(2, 3))
add("_reshape_alias", lambda x: aten._reshape_alias(x, [3, 2], [2, 1]), n(2, 3))
add("alias", lambda x: aten.alias(x), n(2, 3))
add("lift_fresh", lambda x: aten.lift_fresh(x * 1), n(2, 3))
add("unsqueeze", lambda x: x.unsqueeze(-2), n(2, 3))
add("squeeze", lambda x: x.squeeze(), n(1, 3, 1))
add("squeeze", lambda x: x.squeeze(-1), n(2, 1))
add("squeeze", lambda x: x.squeeze((0, 1)), n(1, 3, 1))
add("clone", lambda x: x.clone(memory_format=torch.channels_last), n(1, 2, 3, 3))
add("_to_copy", lambda x: x.half().double(), n(2, 3))
add("_to_copy", lambda x: x.to(torch.float16), n(2, 3))
add("copy", lambda x, y: (x * 1).copy_(y), n(2, 3), n(3))
add("copy", lambda x, y: (x * 1).copy_(y.double()), n(2, 3), n(2, 3))
add("fill.Scalar", lambda x: (x * 1).fill_(2.0) + x, n(2))
add("fill.Tensor", lambda x, v: (x * 1).fill_(v) * x, n(2, 3), n())
add("zero", lambda x: (x * 1).zero_() + x, n(2))
add("t", lambda x: x.t(), n(2, 3))
add("t", lambda x: x.t(), n(3))
add("transpose", lambda x: x.transpose(-1, 0), n(2, 3, 4))
add("transpose", lambda x: x.transpose(0, -1), n())
add("transpose", lambda x: x.mT, n(2, 3, 4))
add("permute", lambda x: x.permute(-1, 0, 1), n(2, 3, 4))
add("expand", lambda x: x.expand(4, -1, 3), n(2, 1))
add("expand", lambda x: x.expand(2, 2), n())
add("select.int", lambda x: x[:, -1], n(2, 3))
add("select.int", lambda x: x.select(-2, 1), n(2, 3, 2))
add("slice.Tensor", lambda x: x[:, 1:-1:2], n(2, 7))
add("slice.Tensor", lambda x: x[:, -2:100], n(2, 5))
add("slice.Tensor", lambda x: x.narrow(-1, 1, 2), n(2, 5))
add("slice.Tensor", lambda x: x[3:2], n(4, 2))
add("split.Tensor", lambda x: x.split(2, -1), n(2, 5))
add("split.Tensor", lambda x: x.chunk(3), n(5, 2))
add("split.Tensor", lambda x: x.split(9), n(5, 2))
add("split_with_sizes", lambda x: x.split([1, 3, 0, 1], -1)[:2], n(2, 5))
add("unsafe_split.Tensor", lambda x: x.unsafe_split(2, 1), n(2, 5))
add("unsafe_split_with_sizes", lambda x: x.unsafe_split_with_sizes([2, 3], -1), n(2, 5))
add("unbind.int", lambda x: x.unbind(-1), n(2, 3))
add("unbind.int", lambda x: x.unbind(), n(1, 3))
add("unbind.int", lambda x: list(x)[1:], n(3))
add("cat", lambda x, y: torch.cat([x, y, x], -1), n(2, 1), n(2, 3))
add("cat", lambda x, y: torch.cat([x.new_zeros(0), x, y]), n(2, 3), n(1, 3))
add("cat", lambda x: torch.cat([x]), n(2, 3))
add("cat", lambda x: torch.cat([x, x.new_ones(1, 3)]), n(2, 3))
add("stack", lambda x, y: torch.stack([x, y], -1), n(2, 3), n(2, 3))
add("stack", lambda x: torch.stack([x]), n())
add("flip", lambda x: x.flip(-1, 0), n(2, 3))
add("flip", lambda x: x.flip(()), n(2, 3))
add("roll", lambda x: x.roll((1, -2), (-1, 0)), n(3, 4))
add("roll", lambda x: x.roll(2), n(3, 4))
add("repeat", lambda x: x.repeat(2, 1, 3), n(2, 2))
add("repeat", lambda x: x.repeat(3), n())
add("constant_pad_nd", lambda x: F.pad(x, (1, 2, 0, 1), value=-1.5), n(2, 3))
add("constant_pad_nd", lambda x: F.pad(x, (-1, 2)), n(2, 3))
add("constant_pad_nd", lambda x: F.pad(x, (-1, -1, 1, -1)), n(3, 4))
add("reflection_pad1d", lambda x: F.pad(x, (2, 1), "reflect"), n(2, 4))
add("reflection_pad2d", lambda x: F.pad(x, (2, 1, 0, 3), "reflect"), n(1, 2, 4, 4))
add("reflection_pad3d", lambda x: F.pad(x, (1, 1, 0, 1, 1, 0), "reflect"), n(1, 2, 2, 3, 3))
add("replication_pad1d", lambda x: F.pad(x, (2, 1), "replicate"), n(1, 2, 4))
add("replication_pad2d", lambda x: F.pad(x, (5, 1, 0, 3), "replicate"), n(2, 4, 3))
add("replication_pad3d", lambda x: F.pad(x, (1, 1, 0, 1, 1, 0), "replicate"), n(1, 2, 2, 3, 3))
add("replication_pad1d", lambda x: F.pad(x, (-1, 1), "replicate"), n(1, 2, 4))
add("diagonal", lambda x: x.diagonal(1, -1, 0), n(3, 2, 4))
add("diagonal", lambda x: x.diagonal(-1), n(3, 4))
add("tril", lambda x: x.tril(-1), n(2, 3, 4))
add("triu", lambda x: x.triu(1), n(3, 4))
add("pixel_shuffle", lambda x: F.pixel_shuffle(x, 2), n(2, 8, 2, 3))
add("pixel_unshuffle", lambda x: F.pixel_unshuffle(x, 2), n(2, 4, 6))
add("channel_shuffle", lambda x: F.channel_shuffle(x, 2), n(2, 6, 3))
add("unfold", lambda x: x.unfold(-1, 3, 2), n(2, 8))
add("unfold", lambda x: x.unfold(0, 2, 1), n(4, 3))
add("unfold", lambda x: x.unfold(0, 3, 1), n(3, 2))
add("as_strided", lambda x: x.as_strided((2, 3), (1, 2)), n(2, 4))
add("as_strided", lambda x: x.T[1:].as_strided((2, 2), (1, 4), 2), n(2, 4))
add("as_strided", lambda x: (2 * x).as_strided_((2, 3, 1, 1), (3, 1, 3, 3)), n(2, 3, 1, 1))
add("im2col", lambda x: F.unfold(x, (2, 3), 2, (1, 0), (1, 2)), n(2, 2, 5, 6))
add("im2col", lambda x: F.unfold(x, 2), n(2, 3, 4))
add("col2im", lambda x: F.fold(x, (4, 5), (2, 2), padding=(1, 0), stride=2), n(2, 8, 6))
add("col2im", lambda x: F.fold(x, (3, 3), 2, dilation=1), n(8, 4))

# ---- integers -----------------------------------------------------------------------------------

add("embedding", lambda w: F.embedding(ids([[0, 2], [2, 1]]), w), n(4, 3))
add("embedding", lambda w: F.embedding(ids([0, 2, 2]), w, padding_idx=-2), n(4, 3))
add("embedding", lambda w: F.embedding(ids(3), w), n(4, 3))
add("index.Tensor", lambda x: x[ids(0, -1, 0)], n(3, 2))
add("index.Tensor", lambda x: x[:, ids([[0, 1], [1, 1]])], n(3, 2))
add("index.Tensor", lambda x: x[ids(0, 1), :, ids([1], [0])], n(3, 2, 2))
add("index.Tensor", lambda x: x[torch.zeros(0, dtype=torch.long)], n(3, 2))
add("index.Tensor", lambda x: x[mask(3, 2)], n(3, 2, 2))
add("index.Tensor", lambda x: x[:, mask(3)], n(2, 3))
add("index.Tensor", lambda x: x[None, mask(3), ids(1, 1)[:1]], n(3, 2))
add("index_put", lambda x, v: torch.index_put(x, (ids(0, 2),), v), n(3, 2), n(2))
add("index_put", lambda x, v: x.index_put((ids(0, -1, 0),), v, accumulate=True), n(3, 2), n(3, 2))
add("_index_put_impl", lambda x, v: aten._index_put_impl_((x * 1), [ids(0, 1)], v), n(3), n(2))


def _put(x: Tensor, v: Any) -> Tensor:
    x = x * 1
    x[:, mask(3)] = v
    return x


add("index_put", _put, n(2, 3), n())
add("index_select", lambda x: x.index_select(-1, ids(1, 1, 0)), n(2, 3))
add("index_select", lambda x: x.index_select(0, ids(1).reshape(())), n(2, 3))
add("index_add", lambda x, s: x.index_add(0, ids(1, 1, 0), s), n(3, 2), n(3, 2))
add("index_add", lambda x, s: x.index_add(-1, ids(1, 0), s, alpha=-2), n(3, 2), n(3, 2))
add("index_copy", lambda x, s: x.index_copy(-1, ids(1, 0), s), n(2, 3), n(2, 2))
add("index_fill.int_Scalar", lambda x: x.index_fill(-1, ids(2, 2), -1.5), n(2, 3))
add("index_fill.int_Tensor", lambda x, v: x.index_fill(0, ids(1, 1), v), n(2, 3), n())
add("masked_select", lambda x: x.masked_select(mask(3)), n(2, 3))
add("masked_scatter", lambda x, s: x.masked_scatter(mask(2, 3), s), n(2, 3), n(4))
add("gather", lambda x: x.gather(-1, ids([[0, 0], [2, 1]])), n(3, 3))
add("gather", lambda x: x.gather(0, ids(0)), n())
add("scatter.src", lambda x, s: x.scatter(1, ids([[0, 2]]), s), n(2, 3), n(1, 2))
add("scatter.src", lambda x, s: x.scatter(-1, ids([[0, 2], [1, 0]]), s), n(2, 3), n(2, 2))
add("scatter.value", lambda x: x.scatter(0, ids([[0, 1]]), 2.5), n(2, 3))
add("scatter_add", lambda x, s: x.scatter_add(0, ids([[0, 0], [0, 1]]), s), n(2, 3), n(2, 2))
add("scatter.src", lambda x: x.scatter(1, ids([[0, 2]]), x.detach() * 2), n(2, 3))
add("scatter_reduce.two sum", lambda x, s: x.scatter_reduce(0, ids(0, 0, 1), s, "sum").sum(),
    n(3), n(3))  # fmt: skip

add("rot90", lambda x: torch.rot90(x, -1, (1, 0)), n(2, 3, 2))
add("take", lambda x: torch.take(x, ids([[0, -1], [5, 0]])), n(2, 3))
add("trace", torch.trace, n(3, 4))
add("put", lambda x, s: x.put(ids([[0, 4]]), s), n(2, 3), n(1, 2))
add("put", lambda x, s: x.put(ids(1, 1), s, accumulate=True), n(2, 3), n(2))
add("diag_embed", lambda x: torch.diag_embed(x, -1, 0, -1), n(2, 3))
add("diagonal_scatter", lambda x, s: x.diagonal_scatter(s, 1), n(3, 4), n(3))
add("select_scatter", lambda x, s: x.select_scatter(s, -1, -1), n(2, 3), n(2))
add("slice_scatter", lambda x, s: x.slice_scatter(s, -1, 0, 3, 2), n(2, 4), n(2, 2))
add("max_unpool2d", lambda x: F.max_unpool2d(x, ids([[[0, 3], [8, 15]]]), 2), n(1, 2, 2))
add("_embedding_bag", lambda w: F.embedding_bag(ids([[0, 2], [2, 2]]), w), n(4, 3))
add("_embedding_bag", lambda w: F.embedding_bag(ids(0, 1, 1, 3), w, ids(0, 1, 1), mode="sum"),
    n(4, 3))  # fmt: skip

# ---- products and convolutions ------------------------------------------------------------------

add("mm", torch.mm, n(2, 3), n(3, 4))
add("mm t", lambda x, w: F.linear(x, w), n(2, 3), n(4, 3))
add("bmm", torch.bmm, n(2, 2, 3), n(2, 3, 4))
add("_grouped_mm", lambda x, w: grouped(x, w, 3, 3, 8), n(8, 4), n(3, 4, 8))
add("_grouped_mm", lambda x, w: grouped(x, w, 0, 4), n(4, 8), n(2, 8, 4))
add("mm", torch.matmul, n(2, 2, 3), n(3, 4))
add("bmm", lambda x, w: x @ w, n(2, 1, 2, 3), n(3, 3, 1))
add("dot", torch.dot, n(3), n(3))
add("vdot", torch.vdot, n(3), n(3))
add("mv", torch.mv, n(2, 3), n(3))
add("addmm t", F.linear, n(2, 3), n(4, 3), n(4))
add("addmm", lambda b, x, w: torch.addmm(b, x, w, beta=0.5, alpha=-2), n(2, 1), n(2, 3), n(3, 4))
add("addmm", lambda x, w: torch.addmm(x.new_ones(()), x, w, beta=0), n(2, 3), n(3, 4))
add("addmm", lambda b, x, w: torch.addmm(b, x, w, alpha=2), n(), n(2, 3), n(3, 4))
add("addmv", lambda b, x, w: torch.addmv(b, x, w), n(2), n(2, 3), n(3))
add("addmv", lambda b, x, w: torch.addmv(b, x, w, beta=2, alpha=3), n(1), n(2, 3), n(3))
add("baddbmm", torch.baddbmm, n(1, 4), n(2, 2, 3), n(2, 3, 4))
add("baddbmm", lambda b, x, w: torch.baddbmm(b, x, w, beta=2, alpha=0.5), n(2, 2, 4), n(2, 2, 3),
    n(2, 3, 4))  # fmt: skip
add("bmm", lambda x, w: torch.einsum("bij,bjk->bik", x, w), n(2, 2, 3), n(2, 3, 2))
add("convolution", F.conv1d, n(2, 2, 5), n(3, 2, 3), n(3))
add("convolution", lambda x, w: F.conv1d(x, w, padding="same", dilation=2), n(1, 2, 6), n(3, 2, 3))
add("convolution", lambda x, w, b: F.conv2d(x, w, b, (2, 1), (1, 2), (1, 2), groups=2),
    n(2, 4, 5, 6), n(6, 2, 2, 3), n(6))  # fmt: skip
add("convolution", lambda x, w: F.conv2d(x.contiguous(memory_format=torch.channels_last), w),
    n(2, 3, 4, 4), n(2, 3, 2, 2))  # fmt: skip
add("convolution", F.conv2d, n(2, 4, 4), n(3, 2, 3, 3))
add("convolution", lambda x, w: F.conv2d(x, w, groups=3), n(1, 3, 4, 4), n(3, 1, 2, 2))
add("convolution", lambda x, w, b: F.conv3d(x, w, b, stride=2, padding=1), n(1, 2, 3, 3, 4),
    n(2, 2, 2, 2, 3), n(2))  # fmt: skip
add("convolution", lambda x, w, b: F.conv_transpose1d(x, w, b, 2, 1, 1, 1, 2), n(2, 4, 4),
    n(4, 2, 3), n(2))  # fmt: skip
add("convolution", lambda x, w, b: F.conv_transpose1d(x, w, b, 2, 1, 1, 2, 2), n(2, 4, 4),
    n(4, 3, 3), n(6))  # fmt: skip
add("convolution", lambda x, w: F.conv_transpose2d(x, w, stride=(2, 1), padding=(0, 1)),
    n(2, 2, 3, 3), n(2, 3, 2, 3))  # fmt: skip
add("convolution", F.conv_transpose3d, n(1, 2, 2, 2, 2), n(2, 1, 2, 2, 2))

add("addr", lambda b, x, y: torch.addr(b, x, y, beta=2, alpha=0.5), n(3), n(2), n(3))
add("addbmm", lambda b, x, y: torch.addbmm(b, x, y, beta=2, alpha=0.5), n(3), n(2, 2, 4),
    n(2, 4, 3))  # fmt: skip
add("_trilinear add", F.bilinear, n(3, 4), n(3, 5), n(2, 4, 5), n(2))
add("_cdist_forward", torch.cdist, n(2, 3, 4), n(2, 2, 4), low=False)
add("_cdist_forward", lambda x, y: torch.cdist(x, y, 3.0), n(3, 4), n(2, 4), low=False)
add("_pdist_forward", F.pdist, n(4, 3), low=False)
add("dist", torch.dist, n(2, 3), n(3))

# ---- normalisations -----------------------------------------------------------------------------

add("native_batch_norm", lambda x, w, b: F.batch_norm(x, torch.zeros(3).to(x), torch.ones(3).to(x),
    w, b, True, 0.3), n(2, 3, 4), n(3), n(3))  # fmt: skip
add("native_batch_norm", lambda x: F.batch_norm(x, None, None, training=True), n(4, 3))
add("native_batch_norm", lambda x, w, b: F.batch_norm(x, torch.full((3,), 0.2).to(x),
    torch.full((3,), 1.5).to(x), w, b, False), n(2, 3, 2, 2), n(3), n(3))  # fmt: skip
add("native_batch_norm", lambda x, w, b: F.batch_norm(x.contiguous(
    memory_format=torch.channels_last), None, None, w, b, True), n(1, 3, 2, 3), n(3),
    n(3))  # fmt: skip
add("native_batch_norm", lambda x: F.instance_norm(x), n(2, 3, 4))
add("_native_batch_norm_legit", lambda x, w, b: aten._native_batch_norm_legit(
    x, w, b, torch.zeros(3).to(x), torch.ones(3).to(x), True, 0.1, 1e-5)[0], n(4, 3), n(3),
    n(3))  # fmt: skip
add("_native_batch_norm_legit", lambda x, w, b: aten._native_batch_norm_legit(
    x, w, b, True, 0.1, 1e-5)[0], n(4, 3), n(3),
    n(3))  # fmt: skip
add("_batch_norm_with_update", lambda x, w, b: aten._batch_norm_with_update(
    x, w, b, torch.zeros(3).to(x), torch.ones(3).to(x), 0.1, 1e-5)[0], n(4, 3), n(3),
    n(3))  # fmt: skip
add("_batch_norm_no_update", lambda x, w, b: aten._batch_norm_no_update(
    x, w, b, torch.zeros(3).to(x), torch.ones(3).to(x), 0.1, 1e-5)[0], n(4, 3), n(3),
    n(3))  # fmt: skip
# It sums in bfloat16.
add("native_layer_norm", lambda x, w, b: F.layer_norm(x, (3,), w, b), n(2, 4, 3), n(3), n(3),
    bfloat16="imprecise")  # fmt: skip
add("native_layer_norm", lambda x: F.layer_norm(x, (4, 3), eps=0.1), n(2, 4, 3))
add("native_layer_norm", lambda x, w, b: F.layer_norm(x, (4, 3), w, b), n(1, 4, 3), n(4, 3),
    n(4, 3))  # fmt: skip
add("native_layer_norm", lambda x, w: F.layer_norm(x, (3,), w), n(2, 3), n(3))
add("rsqrt", lambda x, w: F.rms_norm(x, (3,), w), n(2, 3), n(3))
add("native_group_norm", lambda x, w, b: F.group_norm(x, 2, w, b), n(2, 4, 3), n(4), n(4))
add("native_group_norm", lambda x: F.group_norm(x, 1, eps=0.01), n(1, 4, 3, 2))
add("_weight_norm_interface", lambda v, g: torch._weight_norm(v, g, 0), n(3, 4), n(3, 1))
add("_weight_norm_interface", lambda v, g: torch._weight_norm(v, g, 2), n(2, 3, 4), n(1, 1, 4))

# ---- windows ------------------------------------------------------------------------------------

add("max_pool2d_with_indices", lambda x: F.max_pool1d(x, 2), apart(2, 2, 5))
add("max_pool2d_with_indices", lambda x: F.max_pool2d(x, 2), apart(2, 2, 4, 5))
add("max_pool2d_with_indices", lambda x: F.max_pool2d(x, 3, 2, 1, ceil_mode=True),
    apart(1, 2, 6, 7))  # fmt: skip
add("max_pool2d_with_indices", lambda x: F.max_pool2d(x, (2, 3), (1, 2), (1, 0), (2, 1)),
    apart(1, 2, 5, 6))  # fmt: skip
add("max_pool2d_with_indices", lambda x: F.max_pool2d(x, 2), apart(2, 4, 5))
add("max_pool2d_with_indices", lambda x: F.max_pool2d(x.relu(), 2), n(1, 2, 4, 4))
add("max_pool3d_with_indices", lambda x: F.max_pool3d(x, 2, 1, 1), apart(1, 1, 2, 3, 3))
add("avg_pool2d", lambda x: F.avg_pool1d(x, 2, 1, 1), n(2, 2, 5))
add("avg_pool2d", lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False), n(1, 2, 5, 5))
add("avg_pool2d", lambda x: F.avg_pool2d(x, 2, ceil_mode=True), n(1, 2, 5, 5))
add("avg_pool2d", lambda x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True), n(1, 2, 6, 6))
add("avg_pool2d", lambda x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True, count_include_pad=False),
    n(1, 2, 6, 6))  # fmt: skip
add("avg_pool2d", lambda x: F.avg_pool2d(x, (2, 1), divisor_override=3), n(2, 4, 5))
add("avg_pool3d", lambda x: F.avg_pool3d(x, 2, (1, 2, 1)), n(1, 2, 3, 4, 2), low=False)
add("mean", lambda x: F.adaptive_avg_pool2d(x, 1), n(2, 2, 5, 6))
add("_adaptive_avg_pool2d", lambda x: F.adaptive_avg_pool1d(x, 3), n(2, 2, 5))
add("_adaptive_avg_pool2d", lambda x: F.adaptive_avg_pool2d(x, (3, None)), n(2, 2, 5, 6))
add("_adaptive_avg_pool3d", lambda x: F.adaptive_avg_pool3d(x, (2, 1, 3)), n(2, 3, 2, 4),
    bfloat16="imprecise")  # fmt: skip
add("adaptive_max_pool2d", lambda x: F.adaptive_max_pool1d(x, 3), apart(2, 2, 5))
add("adaptive_max_pool2d", lambda x: F.adaptive_max_pool2d(x, (3, 2)), apart(2, 5, 4))
add("adaptive_max_pool3d", lambda x: F.adaptive_max_pool3d(x, (2, 1, 3)), apart(1, 2, 3, 2, 4))
for _n, _mode in ((1, "linear"), (2, "bilinear"), (3, "trilinear")):
    _shape = (1, 2, *(3, 4, 2)[:_n])
    for _nearest in ("nearest", "nearest-exact"):
        _op = "upsample_nearest" if _nearest == "nearest" else "_upsample_nearest_exact"
        add(f"{_op}{_n}d", lambda x, m=_nearest: F.interpolate(x, scale_factor=2, mode=m),  # type: ignore[misc]
            n(*_shape))  # fmt: skip
        add(f"{_op}{_n}d", lambda x, m=_nearest, k=_n: F.interpolate(x, (5, 3, 3)[:k], mode=m),  # type: ignore[misc]
            n(*_shape))  # fmt: skip
    for _corners in (False, True):
        add(f"upsample_{_mode}{_n}d", lambda x, m=_mode, c=_corners, k=_n: F.interpolate(  # type: ignore[misc]
            x, (5, 3, 3)[:k], mode=m, align_corners=c), n(*_shape))  # fmt: skip
add("upsample_bicubic2d", lambda x: F.interpolate(x, (5, 3), mode="bicubic"), n(1, 2, 3, 4))
add("upsample_bicubic2d", lambda x: F.interpolate(x, scale_factor=(2, 1.5), mode="bicubic",
    align_corners=True), n(1, 2, 3, 4))  # fmt: skip
for _mode in ("bilinear", "bicubic"):
    add(f"_upsample_{_mode}2d_aa", lambda x, m=_mode: F.interpolate(  # type: ignore[misc]
        x, (5, 3), mode=m, antialias=True), n(1, 2, 3, 4), low=False)  # fmt: skip
add("upsample_bilinear2d", lambda x: F.interpolate(x, scale_factor=0.5, mode="bilinear"),
    n(1, 2, 4, 6))  # fmt: skip

# ---- losses -------------------------------------------------------------------------------------

for _r in ("mean", "sum", "none"):
    add("nll_loss_forward", lambda x, r=_r: F.nll_loss(x, ids(0, 2, 2), reduction=r), n(3, 4))  # type: ignore[misc]
    add("nll_loss2d_forward", lambda x, r=_r: F.nll_loss(x, ids([[0, 1], [3, -100]])[:, None],  # type: ignore[misc]
        reduction=r), n(2, 4, 1, 2))  # fmt: skip
    add("mse_loss", lambda x, y, r=_r: F.mse_loss(x, y, reduction=r), n(2, 3), n(2, 3))  # type: ignore[misc]
    add("abs", lambda x, y, r=_r: F.l1_loss(x, y, reduction=r), n(2, 3), n(2, 3))  # type: ignore[misc]
    add("smooth_l1_loss", lambda x, r=_r: F.smooth_l1_loss(x, 0 * x.detach(), beta=0.5,  # type: ignore[misc]
        reduction=r), n(2, 3))  # fmt: skip
    add("huber_loss", lambda x, r=_r: F.huber_loss(x, 0 * x.detach(), delta=0.7, reduction=r),  # type: ignore[misc]
        n(2, 3))  # fmt: skip
    add("soft_margin_loss", lambda x, r=_r: F.soft_margin_loss(x, 1 - 2 * mask(2, 3).to(x),  # type: ignore[misc]
        reduction=r), n(2, 3))  # fmt: skip
    add("binary_cross_entropy", lambda x, r=_r: F.binary_cross_entropy(x, mask(2, 3).to(x),  # type: ignore[misc]
        reduction=r), prob(2, 3))  # fmt: skip
    add("binary_cross_entropy_with_logits", lambda x, r=_r: F.binary_cross_entropy_with_logits(  # type: ignore[misc]
        x, mask(2, 3).to(x), reduction=r), n(2, 3))  # fmt: skip
    add("_log_softmax _ctc_loss", lambda x, r=_r: F.ctc_loss(x.log_softmax(-1),  # type: ignore[misc]
        ids([[1, 1, 2], [3, 1, 0]]), ids(6, 4), ids(3, 2), reduction=r), n(6, 2, 4),
        low=False)  # fmt: skip
for _p in (1, 2):
    add("multi_margin_loss", lambda x, p=_p: F.multi_margin_loss(  # type: ignore[misc]
        x, ids(0, 3, 1), p, 0.75, x.new_tensor([1.0, 2.0, 0.5, 1.0])), n(3, 4),
        low=False)  # fmt: skip
add("multilabel_margin_loss_forward", lambda x: F.multilabel_margin_loss(
    x, ids([[0, 2, -1, 1], [3, -1, 0, 0]])), n(2, 4), low=False)  # fmt: skip
add("_pack_padded_sequence", lambda x: torch._pack_padded_sequence(x, ids(4, 2, 1), False)[0],
    n(4, 3, 2))  # fmt: skip
add("_pack_padded_sequence", lambda x: torch._pack_padded_sequence(x, ids(4, 2, 1), True)[0],
    n(3, 4, 2))  # fmt: skip
add("_log_softmax _ctc_loss", lambda x: F.ctc_loss(x.log_softmax(-1), ids(1, 1, 2, 3), [4, 3],
    [3, 1], blank=0, zero_infinity=True), n(4, 2, 4), low=False)  # fmt: skip
add("_log_softmax _ctc_loss", lambda x: F.ctc_loss(x.log_softmax(-1), ids([[1, 1, 2], [3, 3, 3]]),
    [5, 3], [3, 2], blank=4, zero_infinity=True, reduction="sum"), n(5, 2, 5),
    low=False)  # fmt: skip
add("nll_loss_forward", lambda x: F.nll_loss(x, ids(0, 1, 2), x.new_tensor([1.0, 2.0, 0.5, 1.0]),
    ignore_index=1), n(3, 4))  # fmt: skip
add("nll_loss_forward", lambda x: F.nll_loss(x, ids(2)), n(4))
add("nll_loss_forward _log_softmax", lambda x: F.cross_entropy(x, ids(0, 1, 2),
    label_smoothing=0.1), n(3, 4))  # fmt: skip
add("mse_loss", lambda x: F.mse_loss(x, 0.5 * x.detach()), n())
add("smooth_l1_loss", lambda x, y: F.smooth_l1_loss(x, y), n(2, 3), n(2, 3))
add("huber_loss", lambda x, y: F.huber_loss(x, y), n(2, 3), n(2, 3))
add("binary_cross_entropy", lambda x, y: F.binary_cross_entropy(x, y), prob(2, 3), prob(2, 3))
add("binary_cross_entropy", lambda x: F.binary_cross_entropy(x, mask(2, 3).to(x),
    x.new_tensor([1.0, 2.0, 0.5])), prob(2, 3))  # fmt: skip
add("binary_cross_entropy_with_logits", lambda x: F.binary_cross_entropy_with_logits(
    x, mask(2, 3).to(x), x.new_tensor([[1.0], [0.5]])), n(2, 3))  # fmt: skip
add("binary_cross_entropy_with_logits", lambda x: F.binary_cross_entropy_with_logits(
    x, mask(2, 3).to(x), pos_weight=x.new_tensor([1.0, 2.0, 0.5])), n(2, 3))  # fmt: skip
add("binary_cross_entropy_with_logits", F.binary_cross_entropy_with_logits, n(2, 3), prob(2, 3))

# ---- attention and recurrent layers -------------------------------------------------------------

_ATTENTION = "_scaled_dot_product_flash_attention_for_cpu"
add(_ATTENTION, F.scaled_dot_product_attention, n(1, 2, 3, 4), n(1, 2, 5, 4), n(1, 2, 5, 4))
add(_ATTENTION, lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=0.3),
    n(2, 1, 4, 4), n(2, 1, 4, 4), n(2, 1, 4, 4))  # fmt: skip
add(_ATTENTION, lambda q, k, v: F.scaled_dot_product_attention(q, k, v, mask(3, 5) | True),
    n(1, 2, 3, 4), n(1, 2, 5, 4), n(1, 2, 5, 4))  # fmt: skip
add(_ATTENTION, lambda q, k, v: F.scaled_dot_product_attention(
    q, k, v, torch.linspace(-1, 1, 15).reshape(3, 5).to(q)), n(1, 2, 3, 4), n(1, 2, 5, 4),
    n(1, 2, 5, 4))  # fmt: skip
add("_safe_softmax", lambda q, k, v, m: F.scaled_dot_product_attention(q, k, v, m), n(1, 2, 3, 4),
    n(1, 2, 5, 4), n(1, 2, 5, 4), n(3, 5))  # fmt: skip


def _lstm(x: Tensor, *weights: Tensor) -> Any:
    h, w, u, b, c = weights
    zero = torch.zeros(1, 2, 3).to(x)
    return torch.lstm(x, (h, zero), (w, u, b, c), True, 1, 0.0, False, False, False)


add("mkldnn_rnn_layer", lambda *a: _lstm(*a) if a[0].dtype == torch.float32 else a[0] * 1,
    n(3, 2, 2), n(1, 2, 3), n(12, 2), n(12, 3), n(12), n(12), low=False)  # fmt: skip

#: Ops that only accelerators run, and what they are held to there.
ON_DEVICES = (
    "_scaled_dot_product_flash_attention _scaled_dot_product_efficient_attention"
    " _scaled_dot_product_cudnn_attention _scaled_dot_product_fused_attention_overrideable"
    " cudnn_batch_norm miopen_batch_norm _fused_rms_norm _conv_depthwise2d convolution_overrideable"
).split()
