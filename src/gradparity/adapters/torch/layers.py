"""PyTorch's own layer for every op, and its own loss for every divergence."""

from __future__ import annotations

import copy
import functools
import operator
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  (its universal name)
from torch import Tensor, nn

from ... import core
from ...core.network.nodes import Step
from ...core.vocabulary.metric_losses import LossOfTwo
from ..by_class import Names, for_class, native_name, twins_of
from ..operators import OPERATORS
from ..overrides import Overrides, no_function
from ..user_function import Override, label
from . import sequences, vocabulary

__all__ = [
    "NATIVE",
    "Function",
    "OverrideLayer",
    "layer",
    "layout",
    "loss",
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
    **sequences.NATIVE,
}
#: Parameters that PyTorch has as (out, in), where the lecture has (in, out).
TRANSPOSED: dict[type[core.Op], Collection[str]] = {
    core.Affine: "W",
    core.LSTMCell: "WU",
    **sequences.TRANSPOSED,
}


def layer(step: Step, overrides: Overrides, twin: str = "") -> nn.Module:
    """The layer of a node, without its parameters' numbers: an override, or PyTorch's own.

    `twin` selects one of PyTorch's functions, where it has several for one op.

    Raises
    ------
    AdapterError : PyTorch has no layer or function for the op; the message says what to add.
    """
    override = overrides.at(step)
    return _module(step.op, twin) if override is None else OverrideLayer(override, step)


def loss(divergence: core.Divergence, overrides: Overrides) -> Callable[[Tensor, Tensor], Tensor]:
    """The function (Y, d) -> Div, shape (T,), of a divergence; see `layer`."""
    return overrides.loss(divergence, LOSSES)


def layout(op: core.Op, letter: str, array: Any) -> Any:
    """Convert a parameter between the lecture's layout and PyTorch's, as a view; its own inverse.

    W is (in, out) in the lecture, and (out, in) in PyTorch's linear layers.
    """
    return array.T if letter in (for_class(TRANSPOSED, op) or "") else array


def without_parameters(where: str, function: Any) -> None:
    """Raise TypeError for a module with parameters of its own: the case's parameters are tested."""
    own = [n for n, _ in function.named_parameters()] if isinstance(function, nn.Module) else []
    if own:
        raise TypeError(
            f"{where}: {type(function).__name__} has parameters of its own ({', '.join(own)}); "
            "give a function that takes them after the inputs: z = f(*y, *parameters)"
        )


class OverrideLayer(nn.Module):
    """A user's function, z = f(*y, *parameters), with the parameters of its node."""

    def __init__(self, override: Override, step: Step) -> None:
        super().__init__()
        without_parameters(f"node {step.name!r}", override.function)
        if isinstance(override.function, nn.Module):  # a copy, for `to` changes its dtype
            self._module = copy.deepcopy(override.function)
            override = replace(override, function=self._module)
        self._override, self._op = override, step.op

    def forward(self, *y: Tensor) -> Any:
        """One tensor, or a tuple where the op has several outputs."""
        return self._override(*y, *map(self._parameter, self._op.parameter_shapes()))

    def _parameter(self, letter: str) -> Tensor:
        """The parameter in the lecture's layout; gradients pass through."""
        tensor: Tensor = operator.attrgetter(native_name(self._op, letter, NATIVE))(self)
        return layout(self._op, letter, tensor)

    def extra_repr(self) -> str:
        return label(self._override.function)


class Function(nn.Module):
    """An op that PyTorch has as a function of its inputs and parameters, not as a layer."""

    def __init__(self, op: core.Op, twin: str = "") -> None:
        super().__init__()
        self.op, self.twin = op, twin
        twins = twins_of(op, twin, TWINS, "torch")
        found = twins[twin or next(iter(twins))] if twins else for_class(FUNCTIONS, op)
        if found is None:
            raise no_function(op, "torch")
        self.function: Callable[..., Tensor] = found

    def forward(self, *y: Tensor) -> Tensor:
        # Not `get_parameter`: a parameter that several nodes share is given as a plain tensor.
        given = (getattr(self, letter) for letter in self.op.parameter_shapes())
        return self.function(self.op, *y, *given)

    def extra_repr(self) -> str:
        return repr(self.op) + (f", by {self.twin}" if self.twin else "")

    def __reduce__(self) -> Any:
        """Leave the function out: lambdas cannot be pickled, and the op determines it."""
        state = {name: value for name, value in vars(self).items() if name != "function"}
        return Function, (self.op, self.twin), state


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
    """`F.batch_norm`; in training it returns the updated running statistics too."""

    def __init__(self, op: core.BatchNorm) -> None:
        if not op.unbiased:
            raise no_function(op, "torch")
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
    """The value, padded here where PyTorch's function cannot, and the padding left for it to do."""
    pads = windows.pads(tuple(y.shape[2:]))
    if all(low == high for low, high in pads) and (fill == 0.0 or _allowed(windows, pads)):
        return y, tuple(low for low, _ in pads)
    return F.pad(y, [p for pair in reversed(pads) for p in pair], value=fill), 0


def _allowed(windows: core.Windows, pads: Any) -> bool:
    """Whether PyTorch's pooling accepts these pads: half of the kernel at most."""
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
    return F.scaled_dot_product_attention(q, k, v, added, is_causal=causal, scale=op.scale)


def _module(op: core.Op, twin: str) -> nn.Module:
    """PyTorch's own layer for an op; where there is none, its smallest primitives."""
    twins = tuple(twins_of(op, twin, TWINS, "torch"))
    make = for_class(LAYERS, op)
    if make is not None and twin in ("", *twins[:1]):
        return make(op)
    return Function(op, twin)


def _take(indices: Sequence[int], z: Tensor) -> Tensor:
    return z.index_select(-1, torch.tensor(indices, device=z.device))


def _by_max(z: Tensor, axis: int) -> Tensor:
    return z.max(axis, keepdim=True).values


def _by_amax(z: Tensor, axis: int) -> Tensor:
    return z.amax(axis, keepdim=True)


def _max(largest: Callable[[Tensor, int], Tensor], op: core.Max, z: Tensor) -> Tensor:
    parts = z.split(list(op.sizes), op.axis) if op.sizes else [z]
    return torch.cat([largest(part, op.axis) for part in parts], op.axis)


def _max_subsets(
    largest: Callable[[Tensor, int], Tensor], op: core.MaxSubsets, z: Tensor
) -> Tensor:
    return torch.cat([largest(_take(each, z), -1) for each in op.subsets], -1)


#: Op -> PyTorch's layer for it; parameters are on the device "meta", which allocates no memory.
LAYERS: dict[type[core.Op], Callable[[Any], nn.Module]] = {
    core.Affine: lambda op: nn.Linear(op.n_in, op.n_out, op.bias, device="meta"),
    core.Conv: Convolution,
    core.Embedding: lambda op: nn.Embedding(op.n, op.d, op.padding_idx, device="meta"),
    core.LayerNorm: lambda op: nn.LayerNorm(op.n, op.eps, device="meta"),
    core.BatchNorm: BatchNorm,
    core.LSTMCell: lambda op: LSTMCell(),
    **sequences.LAYERS,
    core.Identity: lambda op: nn.Identity(),
    core.Sigmoid: lambda op: nn.Sigmoid(),
    core.Tanh: lambda op: nn.Tanh(),
    core.ReLU: lambda op: nn.ReLU(),
    core.LeakyReLU: lambda op: nn.LeakyReLU(op.a),
    # fork_rng around the trace keeps the user's generator where it was.
    core.RandomizedLeakyReLU: lambda op: nn.RReLU(op.l, op.u).train(op.training),
    # Without a threshold nn.Softplus is another function: the identity above 20.
    core.Softplus: lambda op: (
        Function(op) if op.threshold is None else nn.Softplus(threshold=op.threshold)
    ),
    core.ELU: lambda op: nn.ELU(op.a),
    core.SELU: lambda op: nn.SELU(),
    core.SiLU: lambda op: nn.SiLU() if op.b == 1.0 else Function(op),
    core.GELU: lambda op: nn.GELU(op.approximate),
    core.Hardtanh: lambda op: nn.Hardtanh(op.low, op.high),
    core.Softmax: lambda op: nn.Softmax(op.axis),
    core.LogSoftmax: lambda op: nn.LogSoftmax(op.axis),
}

#: Op -> a function (op, *y, *parameters) -> z, where PyTorch has no layer.
FUNCTIONS: dict[type[core.Op], Callable[..., Tensor]] = {
    **OPERATORS,
    **vocabulary.FUNCTIONS,
    core.SiLU: lambda op, z: z * torch.sigmoid(op.b * z),
    core.MaxPool: _max_pool,
    core.Attention: _attention,
    core.Softplus: lambda op, z: torch.logaddexp(z, z.new_zeros(())),
    core.Maximum: lambda op, a, b: torch.maximum(a, b),
    core.Transpose: lambda op, y: y.transpose(-1, -2) if op.axes is None else y.permute(op.axes),
    core.Select: lambda op, y: y.select(op.axis, op.index),
    core.Broadcast: lambda op, y: y.expand(op.shape),
    core.Norm: lambda op, y: torch.linalg.vector_norm(y, dim=-1),
    core.Take: lambda op, z: _take(op.indices, z),
    core.Products: lambda op, z: _take(op.sides[0], z) * _take(op.sides[1], z),
    core.Concatenate: lambda op, *y: torch.cat(y, op.axis),
    LossOfTwo: lambda op, y, d: _loss_of_two(op, y, d),
}

#: Op -> PyTorch's functions for it by name, the default first; see `Case.twin`.
TWINS: dict[type[core.Op], dict[str, Callable[..., Tensor]]] = {
    core.ReLU: {
        "relu": lambda op, z: torch.relu(z),
        "maximum": lambda op, z: torch.maximum(z, z.new_zeros(())),
        "clamp": lambda op, z: torch.clamp(z, min=0),
    },
    core.Max: {
        "max": functools.partial(_max, _by_max),
        "amax": functools.partial(_max, _by_amax),
    },
    core.MaxSubsets: {
        "max": functools.partial(_max_subsets, _by_max),
        "amax": functools.partial(_max_subsets, _by_amax),
    },
}


def _binary(divergence: core.BinaryCrossEntropy, y: Tensor, d: Tensor) -> Tensor:
    on_logits = divergence.on == "logits"
    loss = F.binary_cross_entropy_with_logits if on_logits else F.binary_cross_entropy
    div = loss(y, d, reduction="none")
    if isinstance(divergence, core.BinaryKL):
        div = div + torch.xlogy(d, d) + torch.xlogy(1 - d, 1 - d)
    return div.sum(-1)


def _cross_entropy(divergence: core.CrossEntropy, z: Tensor, d: Tensor) -> Tensor:
    if divergence.on == "probabilities":
        return _cross_entropy_from_log(divergence, z, d)
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


def _l2(divergence: core.L2, y: Tensor, d: Tensor) -> Tensor:
    return 0.5 * F.mse_loss(y, d, reduction="none").sum(-1)


def _loss_of_two(op: LossOfTwo, y: Tensor, d: Tensor) -> Tensor:
    own = for_class(LOSSES, op.loss)
    if own is None:
        raise no_function(op.loss, "torch")
    return own(op.loss, y, d)


def _linear(divergence: core.LinearLoss, y: Tensor, d: Tensor) -> Tensor:
    return (d * y).sum(-1)


#: Divergence -> PyTorch's loss for it per sample: (divergence, Y, d) -> Div, shape (T,).
LOSSES: dict[type[core.Divergence], Callable[..., Tensor]] = {
    core.L2: _l2,
    core.LinearLoss: _linear,
    core.BinaryCrossEntropy: _binary,
    core.CrossEntropy: _cross_entropy,
    core.KL: _cross_entropy_from_log,
    **vocabulary.LOSSES,
}
