"""PyTorch's own layer for every op, and its own loss for every divergence."""

from __future__ import annotations

import copy
import functools
import operator
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  (its universal name)
from torch import Tensor, nn

from ... import core
from ...core.network.nodes import Step
from ..base import AdapterError
from ..overrides import Names, Override, Overrides, label, native_name, no_function

__all__ = [
    "NATIVE",
    "Foreign",
    "Function",
    "layer",
    "layout",
    "loss",
    "transposed",
    "without_parameters",
]


#: PyTorch's names for parameters.
NATIVE: Names = {
    core.Affine: {"W": "weight", "b": "bias"},
    core.Conv: {"W": "weight", "b": "bias"},
    core.Embedding: {"E": "weight"},
    core.LayerNorm: {"g": "weight", "b": "bias"},
    core.BatchNorm: {"g": "weight", "b": "bias", "m": "running_mean", "v": "running_var"},
    core.LSTMCell: {"W": "weight_ih", "U": "weight_hh", "b": "bias_ih"},
}
#: Those that PyTorch has transposed, as (out, in).
TRANSPOSED: dict[type[core.Op], str] = {core.Affine: "W", core.LSTMCell: "WU"}


def layer(step: Step, overrides: Overrides, twin: str = "") -> nn.Module:
    """The layer of a node, its parameters still to be set: another's function, or PyTorch's own.

    `twin` says which of PyTorch's functions, where it has several for one op.

    Raises
    ------
    AdapterError : there is none; the message says what to add.
    """
    called = overrides.at(step)
    return _module(step.op, twin) if called is None else Foreign(called, step)


def loss(divergence: core.Divergence, overrides: Overrides) -> Callable[[Tensor, Tensor], Tensor]:
    """(Y, d) -> Div, shape (T,); as `layer`."""
    return overrides.of(divergence) or _divergence(divergence)


def transposed(op: core.Op, letter: str) -> bool:
    """Whether PyTorch has this parameter as (out, in), where the lecture has (in, out)."""
    return letter in next((TRANSPOSED[k] for k in type(op).__mro__ if k in TRANSPOSED), "")


def layout(op: core.Op, letter: str, array: Any) -> Any:
    """Between the lecture's W, (in, out), and a linear layer's weight; its own inverse."""
    return array.T.copy() if transposed(op, letter) else array


def without_parameters(where: str, function: Any) -> None:
    """Raises TypeError for a module with parameters of its own: the case's count, not those."""
    own = [n for n, _ in function.named_parameters()] if isinstance(function, nn.Module) else []
    if own:
        raise TypeError(
            f"{where}: {type(function).__name__} has parameters of its own ({', '.join(own)}); "
            "give a function that takes them after the inputs: z = f(*y, *parameters)"
        )


class Foreign(nn.Module):
    """A function of another's, z = f(*y, *parameters), with the parameters of its node."""

    def __init__(self, called: Override, step: Step) -> None:
        super().__init__()
        without_parameters(f"node {step.name!r}", called.function)
        if isinstance(called.function, nn.Module):  # a copy, for `to` changes its dtype
            self._module = copy.deepcopy(called.function)
            called = replace(called, function=self._module)
        self._called, self._op, self._letters = called, step.op, tuple(step.op.parameter_shapes())

    def forward(self, *y: Tensor) -> Any:
        """One tensor, or a tuple where the op has several outputs."""
        return self._called(*y, *map(self._parameter, self._letters))

    def _parameter(self, letter: str) -> Tensor:
        """Return the tensor in the lecture's layout; gradients pass through."""
        tensor: Tensor = getattr(self, native_name(self._op, letter, NATIVE))
        return tensor.T if transposed(self._op, letter) else tensor

    def extra_repr(self) -> str:
        return label(self._called.function)


class Function(nn.Module):
    """An op that PyTorch has as a function, not as a layer."""

    def __init__(self, function: Callable[..., Tensor], label: str) -> None:
        super().__init__()
        self.function, self.label = function, label

    def forward(self, *y: Tensor) -> Tensor:
        return self.function(*y)

    def extra_repr(self) -> str:
        return self.label


class Convolution(nn.Module):
    """`F.conv1d`, `conv2d` or `conv3d`, padded beforehand where they cannot."""

    def __init__(self, op: core.Conv) -> None:
        super().__init__()
        self.op = op
        self.register_parameter("weight", None)
        self.register_parameter("bias", None)

    def forward(self, y: Tensor) -> Tensor:
        op, n = self.op, len(self.op.kernel)
        y, padding = _padded(op.windows, y, 0.0)
        convolve: Any = (F.conv1d, F.conv2d, F.conv3d)[n - 1]
        found: Tensor = convolve(
            y, self.weight, self.bias, op.stride, padding, op.dilation, op.groups
        )
        return found

    def extra_repr(self) -> str:
        return repr(self.op)


class BatchNorm(nn.Module):
    """`F.batch_norm`; in training with the running statistics that it leaves."""

    def __init__(self, op: core.BatchNorm) -> None:
        super().__init__()
        self.op = op

    def forward(self, x: Tensor) -> Any:
        op = self.op
        mean, var = self.running_mean.clone(), self.running_var.clone()
        z = F.batch_norm(x, mean, var, self.weight, self.bias, op.training, op.momentum, op.eps)
        return (z, mean, var) if op.training else z


class LSTMCell(nn.Module):
    """`torch.lstm_cell`, whose second bias is zero."""

    def forward(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        b = self.bias_ih
        found = torch.lstm_cell(x, (h, c), self.weight_ih, self.weight_hh, b, torch.zeros_like(b))
        return found[0], found[1]


def _padded(windows: core.Windows, y: Tensor, fill: float) -> tuple[Tensor, Any]:
    """The value, and the padding that is left to the function itself."""
    pads = windows.pads(tuple(y.shape[2:]))
    if all(low == high for low, high in pads) and (fill == 0.0 or _allowed(windows, pads)):
        return y, tuple(low for low, _ in pads)
    return F.pad(y, [p for pair in reversed(pads) for p in pair], value=fill), 0


def _allowed(windows: core.Windows, pads: Any) -> bool:
    """PyTorch's pooling pads by half of the kernel at most."""
    return all(low <= k // 2 for (low, _), k in zip(pads, windows.kernel, strict=True))


def _max_pool(op: core.MaxPool, y: Tensor) -> Tensor:
    y, padding = _padded(op.windows, y, -torch.inf)
    pool: Any = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[len(op.kernel) - 1]
    found: Tensor = pool(y, op.kernel, op.stride, padding, op.dilation)
    return found


def _attention(op: core.Attention, q: Tensor, k: Tensor, v: Tensor, *mask: Tensor) -> Tensor:
    if op.causal and mask:
        hidden = torch.ones(q.shape[-2], k.shape[-2], dtype=torch.bool).tril()
        mask = (mask[0].masked_fill(~hidden.to(mask[0].device), -torch.inf),)
    causal = op.causal and not mask
    added = mask[0] if mask else None
    return F.scaled_dot_product_attention(q, k, v, added, is_causal=causal)


#: Op -> PyTorch's functions for it, the first by default; see `Case.twin`.
TWINS: dict[type[core.Op], tuple[str, ...]] = {
    core.ReLU: ("relu", "maximum", "clamp"),
    core.Max: ("max", "amax"),
    core.MaxSubsets: ("max", "amax"),
}


def _module(op: core.Op, twin: str) -> nn.Module:
    """PyTorch's own layer for an op; where there is none, its smallest primitives."""
    known = TWINS.get(type(op), ())
    if twin and twin not in known:
        raise AdapterError(f"twin {twin!r} of {op.name}: torch has {', '.join(known) or 'one'}")
    match op:
        case core.Affine():
            return nn.Linear(op.n_in, op.n_out, op.bias, device="meta")  # no numbers yet
        case core.Conv():
            return Convolution(op)
        case core.MaxPool():
            return Function(functools.partial(_max_pool, op), repr(op))
        case core.Embedding():
            return nn.Embedding(op.n, op.d, op.padding_idx, device="meta")
        case core.LayerNorm():
            return nn.LayerNorm(op.n, op.eps, device="meta")
        case core.BatchNorm(unbiased=True):
            return BatchNorm(op)
        case core.Attention():
            return Function(functools.partial(_attention, op), repr(op))
        case core.LSTMCell():
            return LSTMCell()
        case core.Identity():
            return nn.Identity()
        case core.Sigmoid():
            return nn.Sigmoid()
        case core.Tanh():
            return nn.Tanh()
        case core.ReLU() if twin == "maximum":
            return Function(_maximum, "maximum(z, 0)")
        case core.ReLU() if twin == "clamp":
            return Function(functools.partial(torch.clamp, min=0), "clamp(z, min=0)")
        case core.ReLU():
            return nn.ReLU()
        case core.LeakyReLU():
            return nn.LeakyReLU(op.a)
        case core.RandomizedLeakyReLU():
            # fork_rng around the trace keeps the user's generator where it was.
            return nn.RReLU(op.l, op.u).train(op.training)
        case core.Softplus(threshold=None):
            # nn.Softplus is another function: the identity above its threshold.
            return Function(_softplus, "logaddexp(z, 0)")
        case core.Softplus():
            return nn.Softplus(threshold=op.threshold)
        case core.ELU():
            return nn.ELU(op.a)
        case core.SELU():
            return nn.SELU()
        case core.SiLU():
            return nn.SiLU()
        case core.GELU():
            return nn.GELU(op.approximate)
        case core.Hardtanh():
            return nn.Hardtanh()
        case core.Softmax():
            return nn.Softmax(op.axis)
        case core.LogSoftmax():
            return nn.LogSoftmax(op.axis)
        case core.Max():
            return Function(functools.partial(_max, op.sizes, op.axis, twin), repr(op))
        case core.MaxSubsets():
            return Function(functools.partial(_max_subsets, op.subsets, twin), repr(op))
        case core.Maximum():
            return Function(torch.maximum, "maximum(a, b)")
        case core.Reshape():
            return Function(functools.partial(_reshape, op.shape, op.keep), repr(op))
        case core.Transpose():
            return Function(functools.partial(_transpose, op.axes), repr(op))
        case core.Select():
            return Function(functools.partial(_select, op.axis, op.index), repr(op))
        case core.Broadcast():
            return Function(functools.partial(_broadcast, op.shape), repr(op))
        case core.Norm():
            return Function(functools.partial(torch.linalg.vector_norm, dim=-1), repr(op))
        case core.Mean():
            return Function(functools.partial(torch.mean, dim=op.axis), repr(op))
        case core.Sum():
            return Function(functools.partial(torch.sum, dim=op.axis), repr(op))
        case core.Take():
            return Function(functools.partial(_take, op.indices), repr(op))
        case core.Products():
            return Function(functools.partial(_products, *op.sides), repr(op))
        case core.Add():
            return Function(_add, "y1 + y2 + ...")
        case core.Multiply():
            return Function(operator.mul, "y1 * y2")
        case core.Concatenate():
            return Function(functools.partial(_concatenate, op.axis), f"cat(y, {op.axis})")
    raise no_function(op, "torch")


# Functions of this module rather than lambdas, so that a module can be pickled.


def _maximum(z: Tensor) -> Tensor:
    return torch.maximum(z, z.new_zeros(()))


def _softplus(z: Tensor) -> Tensor:
    return torch.logaddexp(z, z.new_zeros(()))


def _max(sizes: tuple[int, ...] | None, axis: int, twin: str, z: Tensor) -> Tensor:
    parts = z.split(list(sizes), axis) if sizes else [z]
    if twin == "amax":
        return torch.cat([g.amax(axis, keepdim=True) for g in parts], axis)
    return torch.cat([g.max(axis, keepdim=True).values for g in parts], axis)


def _max_subsets(subsets: Sequence[Sequence[int]], twin: str, z: Tensor) -> Tensor:
    return torch.cat([_max(None, -1, twin, _take(tuple(each), z)) for each in subsets], -1)


def _reshape(shape: tuple[int, ...], keep: int, y: Tensor) -> Tensor:
    return y.reshape(*y.shape[:keep], *shape)


def _transpose(axes: tuple[int, ...] | None, y: Tensor) -> Tensor:
    return y.transpose(-1, -2) if axes is None else y.permute(axes)


def _select(axis: int, index: int, y: Tensor) -> Tensor:
    return y.select(axis, index)


def _broadcast(shape: tuple[int, ...], y: Tensor) -> Tensor:
    return y.expand(shape)


def _take(indices: tuple[int, ...], z: Tensor) -> Tensor:
    return z.index_select(-1, torch.tensor(indices, device=z.device))


def _products(j: tuple[int, ...], l: tuple[int, ...], z: Tensor) -> Tensor:  # noqa: E741
    return _take(j, z) * _take(l, z)


def _add(*y: Tensor) -> Tensor:
    return functools.reduce(operator.add, y)


def _concatenate(axis: int, *y: Tensor) -> Tensor:
    return torch.cat(y, axis)


def _divergence(divergence: core.Divergence) -> Callable[[Tensor, Tensor], Tensor]:
    """PyTorch's own loss, per instance: (Y, d) -> Div, shape (T,)."""
    match divergence:
        case core.L2():
            return _l2
        case core.LinearLoss():
            return _linear
        case core.BinaryCrossEntropy():  # and BinaryKL
            return functools.partial(_binary, divergence)
        case core.CrossEntropy(on="logits") if not isinstance(divergence, core.KL):
            return functools.partial(_cross_entropy, divergence)
        case core.CrossEntropy():
            return functools.partial(_cross_entropy_from_log, divergence)
    raise no_function(divergence, "torch")


def _l2(y: Tensor, d: Tensor) -> Tensor:
    return 0.5 * F.mse_loss(y, d, reduction="none").sum(-1)


def _linear(y: Tensor, d: Tensor) -> Tensor:
    return (d * y).sum(-1)


def _binary(divergence: core.BinaryCrossEntropy, y: Tensor, d: Tensor) -> Tensor:
    on_logits = divergence.on == "logits"
    loss = F.binary_cross_entropy_with_logits if on_logits else F.binary_cross_entropy
    div = loss(y, d, reduction="none")
    if isinstance(divergence, core.BinaryKL):
        div = div + torch.xlogy(d, d) + torch.xlogy(1 - d, 1 - d)
    return div.sum(-1)


def _cross_entropy(divergence: core.CrossEntropy, z: Tensor, d: Tensor) -> Tensor:
    a = divergence.uniform(z.shape[-1])
    if z.ndim > 2:  # PyTorch has the classes on axis 1
        z, d = z.movedim(-1, 1), d.movedim(-1, 1) if d.is_floating_point() else d
    return F.cross_entropy(z, d, reduction="none", label_smoothing=a)


def _cross_entropy_from_log(divergence: core.CrossEntropy, y: Tensor, d: Tensor) -> Tensor:
    """Cross-entropy on probabilities, and KL: PyTorch has them only for log-probabilities."""
    K, a = y.shape[-1], divergence.uniform(y.shape[-1])
    t = d if d.is_floating_point() else F.one_hot(d, K).to(y.dtype)
    t = t * (1 - a) + a / K if a else t
    # 0 log 0 = 0, for the gradient too: a probability without mass in the target is not looked at.
    log_y = F.log_softmax(y, -1) if divergence.on == "logits" else torch.where(t > 0, y, 1).log()
    if isinstance(divergence, core.KL):
        return F.kl_div(log_y, t, reduction="none").sum(-1)
    return -(t * log_y).sum(-1)
