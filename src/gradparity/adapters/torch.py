"""PyTorch: a `torch.nn.Module` of the framework's own layers, and its trace."""

from __future__ import annotations

import contextlib
import functools
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  (its universal name)
from torch import Tensor, nn

from .. import core
from ..core.case import Case, checked_params
from ..core.network import Edge, Network, Step
from ..core.trace import Trace
from .base import AdapterError, Trainer, native_function, risk, walk
from .kinks import Kinks
from .torch_precision import matrix_products, native_dtype

__all__ = ["TorchAdapter", "TorchNetwork"]


#: PyTorch's names for the parameters of a linear layer; its weight is W transposed.
NATIVE = {"W": "weight", "b": "bias"}


class TorchAdapter:
    """Builds and traces networks in PyTorch."""

    name = "torch"

    def versions(self) -> dict[str, str]:
        return {"torch": str(torch.__version__), "torch threads": str(torch.get_num_threads())}

    def build(
        self, network: Network, params: Mapping[str, Any], *, device: str | None = None
    ) -> TorchNetwork:
        """A module with these parameters; ``forward(x)`` gives Y.

        Parameters of node `z1` live in ``module.z1.weight``, shape (out, in): W transposed.
        """
        return TorchNetwork(network, checked_params(network, params), device)

    def export(self, network: Network, native: nn.Module) -> dict[str, Any]:
        """The parameters by the network's names, W as (in, out); a bitwise copy."""
        params = {}
        for step, letter, tensor in _parameters(network, native):
            params[step.parameters[letter]] = _layout(letter, _array(tensor))
        return params

    def run(self, case: Case, *, dtype: Any = None, device: str | None = None) -> Trace:
        case = case if dtype is None else case.astype(dtype)
        network, random = case.network, _generators(device)
        seen: dict[str | Edge, Tensor] = {}

        def see(key: str | Edge, value: Tensor) -> Tensor:
            # One view per use of a value, so that each use has a gradient of its own.
            seen[key] = value.view_as(value) if isinstance(key, Edge) else value
            return seen[key]

        with (
            torch.inference_mode(False),
            torch.enable_grad(),
            torch.random.fork_rng(random),
            matrix_products(case) as prepare,
        ):
            torch.manual_seed(
                next((getattr(s.op, "seed", 0) for s in network.steps if s.op.random), 0)
            )
            module = self.build(network, case.params, device=device).to(native_dtype(case))
            prepare(module)
            # Not a leaf: there PyTorch itself refuses what is in place, naming no node.
            x = _tensor(case.x, device).to(native_dtype(case)).requires_grad_().clone()
            Y = module.trace(x, see)
            Div = module.divergence(Y, _target(case, device))
            Err = risk(network, Div)
            parameters = _parameters(network, module)
            wanted = [*seen.values(), Div, *(tensor for _, _, tensor in parameters)]
            gradients = torch.autograd.grad(Err, wanted, allow_unused=True)
            found = [
                torch.zeros_like(tensor) if gradient is None else gradient
                for tensor, gradient in zip(wanted, gradients, strict=True)
            ]
        return self._trace(case, seen, Div, Err, found)

    def _trace(
        self,
        case: Case,
        seen: dict[str | Edge, Tensor],
        Div: Tensor,
        Err: Tensor,
        gradients: list[Tensor],
    ) -> Trace:
        """The same as NumPy arrays; gradients come as those of `seen`, Div, and the parameters."""
        network = case.network
        letters = [(letter, full) for s in network.steps for letter, full in s.parameters.items()]
        keys = [*seen, "Div", *(full for _, full in letters)]
        found = dict(zip(keys, map(_array, gradients), strict=True))
        for letter, full in letters:
            found[full] = _layout(letter, found[full])
        return Trace(
            Err=float(Err.detach()),
            Div=_array(Div),
            precision=case.precision.name,
            value={step.name: _array(seen[step.name]) for step in network.steps},
            grad={key: g for key, g in found.items() if not isinstance(key, Edge)},
            edge_grad={key: g for key, g in found.items() if isinstance(key, Edge)},
            adapter=self.name,
            versions=self.versions(),
        )

    def run_all(
        self, cases: Sequence[Case], *, dtype: Any = None, device: str | None = None
    ) -> list[Trace]:
        return [self.run(case, dtype=dtype, device=device) for case in cases]

    def kinks(self) -> Kinks:
        """PyTorch's own spellings of kinks, for `gradparity probe`."""
        from .torch_kinks import TorchKinks

        return TorchKinks()

    def trainer(self, case: Case, eta: float) -> Trainer:
        """Eager training with `torch.optim.SGD`; see `Trainer`."""
        network, module = case.network, self.build(case.network, case.params)
        x, d = _tensor(case.x, None), _target(case, None)
        optimizer = torch.optim.SGD(module.parameters(), lr=eta)

        def step(rows: Any) -> float:
            chosen = torch.tensor(rows)
            with torch.enable_grad(), _one_thread():
                Div = module.divergence(module(x[chosen]), d[chosen])
                Err = risk(network, Div)
                optimizer.zero_grad()
                Err.backward()
                optimizer.step()
            return float(Err.detach())

        return Trainer(step, lambda: self.export(network, module))


class TorchNetwork(nn.Module):
    """The native twin: one submodule per node, under the node's name.

    ``module(x)`` is Y, shape (T, L); ``module.divergence(Y, d)`` is Div, shape (T,).
    """

    def __init__(self, network: Network, params: Mapping[str, Any], device: str | None) -> None:
        super().__init__()
        device = device or str(torch.get_default_device())
        self.network = network
        self.divergence = _divergence(network.divergence)
        for step in network.steps:
            layer = _module(step.op)
            for letter, full in step.parameters.items():
                weight = _tensor(_layout(letter, np.asarray(params[full])), device)
                setattr(layer, NATIVE[letter], nn.Parameter(weight))
            self.add_module(step.name, layer)

    def forward(self, x: Tensor) -> Tensor:
        return walk(self.network, x, lambda step, y: self.get_submodule(step.name)(*y))

    def trace(self, x: Tensor, see: Callable[[str | Edge, Tensor], Tensor]) -> Tensor:
        """The forward pass, with every value and every use of it shown to `see`."""
        return walk(self.network, x, self._out_of_place, see)

    def _out_of_place(self, step: Step, inputs: list[Tensor]) -> Tensor:
        before = [t._version for t in inputs]
        out: Tensor = self.get_submodule(step.name)(*inputs)
        if [t._version for t in inputs] != before:
            raise AdapterError(
                f"node {step.name!r} changed its input in place, which destroys the value that the "
                "backward pass is judged on; use the out-of-place spelling (inplace=False)"
            )
        return out


class Function(nn.Module):
    """An op that PyTorch has as a function, not as a layer."""

    def __init__(self, function: Callable[..., Tensor], label: str) -> None:
        super().__init__()
        self.function, self.label = function, label

    def forward(self, *y: Tensor) -> Tensor:
        return self.function(*y)

    def extra_repr(self) -> str:
        return self.label


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """For tiny steps: on a busy machine threads that wait for each other cost 20 times the work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _module(op: core.Op) -> nn.Module:
    """PyTorch's own layer for an op; where there is none, its smallest primitives."""
    match op:
        case core.Affine():
            return nn.Linear(op.n_in, op.n_out, op.bias, device="meta")  # no numbers yet
        case core.Identity():
            return nn.Identity()
        case core.Sigmoid():
            return nn.Sigmoid()
        case core.Tanh():
            return nn.Tanh()
        case core.ReLU(spelling="relu"):
            return nn.ReLU()
        case core.ReLU(spelling="maximum"):
            return Function(_maximum, "maximum(z, 0)")
        case core.ReLU(spelling="clamp"):
            return Function(functools.partial(torch.clamp, min=0), "clamp(z, min=0)")
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
            return nn.Softmax(-1)
        case core.LogSoftmax():
            return nn.LogSoftmax(-1)
        case core.Max():
            return Function(functools.partial(_max, op.sizes, op.spelling), repr(op))
        case core.Take():
            return Function(functools.partial(_take, op.indices), repr(op))
        case core.Products():
            return Function(functools.partial(_products, *op.sides), repr(op))
        case core.VectorActivation():
            return Function(native_function(op, "torch"), "the user's function")
        case core.Add():
            return Function(_add, "y1 + y2 + ...")
        case core.Multiply():
            return Function(operator.mul, "y1 * y2")
        case core.Concatenate():
            return Function(_concatenate, "cat(y, -1)")
    raise AdapterError(f"the torch adapter has no layer for {op.name}")


def _max(sizes: tuple[int, ...] | None, spelling: str, z: Tensor) -> Tensor:
    parts = z.split(list(sizes), -1) if sizes else [z]
    if spelling == "amax":
        return torch.cat([g.amax(-1, keepdim=True) for g in parts], -1)
    return torch.cat([g.max(-1, keepdim=True).values for g in parts], -1)


# Functions of this module rather than lambdas, so that a module can be pickled.


def _maximum(z: Tensor) -> Tensor:
    return torch.maximum(z, z.new_zeros(()))


def _softplus(z: Tensor) -> Tensor:
    return torch.logaddexp(z, z.new_zeros(()))


def _take(indices: tuple[int, ...], z: Tensor) -> Tensor:
    return z.index_select(-1, torch.tensor(indices, device=z.device))


def _products(j: tuple[int, ...], l: tuple[int, ...], z: Tensor) -> Tensor:  # noqa: E741
    return _take(j, z) * _take(l, z)


def _add(*y: Tensor) -> Tensor:
    return functools.reduce(operator.add, y)


def _concatenate(*y: Tensor) -> Tensor:
    return torch.cat(y, -1)


def _divergence(divergence: core.Divergence) -> Callable[[Tensor, Tensor], Tensor]:
    """PyTorch's own loss, per instance: (Y, d) -> Div, shape (T,)."""
    match divergence:
        case core.L2():
            return _l2
        case core.InnerProduct():
            return _inner_product
        case core.BinaryCrossEntropy():  # and BinaryKL
            return functools.partial(_binary, divergence)
        case core.CrossEntropy(on="logits") if not isinstance(divergence, core.KL):
            return functools.partial(_cross_entropy, divergence)
        case core.CrossEntropy():
            return functools.partial(_cross_entropy_from_log, divergence)
    raise AdapterError(f"the torch adapter has no loss for {divergence.name}")


def _l2(y: Tensor, d: Tensor) -> Tensor:
    return 0.5 * F.mse_loss(y, d, reduction="none").sum(-1)


def _inner_product(y: Tensor, d: Tensor) -> Tensor:
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


def _generators(device: str | None) -> list[torch.device]:
    """The devices, other than the CPU, whose random state a run has to leave as it was.

    Raises
    ------
    AdapterError : PyTorch has no such device here.
    """
    try:
        place = torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:
        said = str(error).splitlines()[0]
        raise AdapterError(f"torch cannot use the device {device!r}: {said}") from error
    return [place] if place.type == "cuda" else []


def _parameters(network: Network, module: nn.Module) -> list[tuple[Step, str, Tensor]]:
    """(node, letter, tensor) for every parameter."""
    return [
        (step, letter, module.get_parameter(f"{step.name}.{NATIVE[letter]}"))
        for step in network.steps
        for letter in step.parameters
    ]


def _layout(letter: str, array: Any) -> Any:
    """Between the lecture's W, (in, out), and PyTorch's weight, (out, in); its own inverse."""
    return array.T.copy() if letter == "W" else array


def _array(tensor: Tensor) -> Any:
    tensor = tensor.detach().cpu()
    # NumPy has no bfloat16; float32 holds every number of it.
    return (tensor.float() if tensor.dtype is torch.bfloat16 else tensor).numpy().copy()


def _tensor(array: Any, device: str | None) -> Tensor:
    return torch.tensor(np.ascontiguousarray(array), device=device)  # a copy, always


def _target(case: Case, device: str | None) -> Tensor:
    """Class labels stay labels (PyTorch has a path of its own for them); the rest is (T, L)."""
    labels = isinstance(case.network.divergence, core.CrossEntropy) and case.d.ndim == 1
    if labels:
        return _tensor(case.d.astype(np.int64), device)
    return _tensor(case.desired, device).to(native_dtype(case))
