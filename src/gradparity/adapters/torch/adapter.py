"""PyTorch: a `torch.nn.Module` of the framework's own layers, and its trace."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from ...core.network.case import Case, checked_params
from ...core.network.network import Edge, Network, Step
from ...core.network.trace import Trace
from ..base import AdapterError, DeviceError, Trainer, risk, walk
from ..kinks import Kinks
from ..natives import NativeAdapter, Natives, native_name
from .layers import NATIVE, layer, layout, loss, without_parameters
from .precision import matrix_products, native_dtype
from .vjp import call, to_numpy, vjp

__all__ = ["TorchAdapter", "TorchNetwork"]


class TorchAdapter(NativeAdapter):
    """Builds and traces networks in PyTorch."""

    name = "torch"
    natives = Natives("torch")

    def replacing(self, natives: Mapping[Any, Any], name: str | None = None) -> Self:
        """As every adapter's; a function may be the `apply` of an autograd `Function`, or a module.

        Raises
        ------
        TypeError : also for a module that has parameters of its own.
        """
        adapter = super().replacing(natives, name)
        for key, function in natives.items():
            without_parameters(key if isinstance(key, str) else key.__name__, function)
        return adapter

    def vjp(
        self,
        function: Callable[..., Any],
        arguments: Sequence[Any],
        dz: Any,
        *,
        dtype: Any = None,
        frozen: Sequence[int] = (),
    ) -> tuple[Any, tuple[Any, ...]]:
        """Value and gradients of one function of tensors; see `gradparity.adapters.torch.vjp`."""
        return vjp(function, arguments, dz, dtype, frozen)

    def call(
        self, function: Callable[..., Any], arguments: Sequence[Any], *, dtype: Any = None
    ) -> Any:
        """The value alone, without autograd; see `gradparity.adapters.torch.vjp`."""
        return call(function, arguments, dtype)

    def versions(self) -> dict[str, str]:
        return {"torch": str(torch.__version__), "torch threads": str(torch.get_num_threads())}

    def build(
        self, network: Network, params: Mapping[str, Any], *, device: str | None = None
    ) -> TorchNetwork:
        """A module with these parameters; ``forward(x)`` gives Y.

        Parameters of node `z1` live in ``module.z1.weight``, shape (out, in): W transposed.
        """
        return TorchNetwork(network, checked_params(network, params), device, self.natives)

    def export(self, network: Network, native: nn.Module) -> dict[str, Any]:
        """The parameters by the network's names, W as (in, out); a bitwise copy."""
        params = {}
        for step, letter, tensor in _parameters(network, native):
            params[step.parameters[letter]] = layout(step.op, letter, to_numpy(tensor))
        return params

    def run(self, case: Case, *, dtype: Any = None, device: str | None = None) -> Trace:
        case = case if dtype is None else case.astype(dtype)
        network, random = case.network, _generators(device)
        seen: dict[str | Edge, Tensor] = {}

        def see(key: str | Edge, value: Tensor) -> Tensor:
            # What a function has cut off from its inputs still has a gradient of its own.
            value = value if value.requires_grad else value.detach().requires_grad_()
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
            Div = module.divergence(Y, _target(case, device, self.natives))
            Div = Div if Div.requires_grad else Div.detach().requires_grad_()
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
        letters = [(s.op, *names) for s in network.steps for names in s.parameters.items()]
        keys = [*seen, "Div", *(full for *_, full in letters)]
        found = dict(zip(keys, map(to_numpy, gradients), strict=True))
        for op, letter, full in letters:
            found[full] = layout(op, letter, found[full])
        return Trace(
            Err=float(Err.detach()),
            Div=to_numpy(Div),
            precision=case.precision.name,
            value={step.name: to_numpy(seen[step.name]) for step in network.steps},
            grad={key: g for key, g in found.items() if not isinstance(key, Edge)},
            edge_grad={key: g for key, g in found.items() if isinstance(key, Edge)},
            adapter=self.name,
            versions=self.versions(),
        )

    def kinks(self) -> Kinks:
        """PyTorch's own spellings of kinks, for `gradparity probe`."""
        from .kinks import TorchKinks

        return TorchKinks()

    def trainer(self, case: Case, eta: float) -> Trainer:
        """Eager training with `torch.optim.SGD`; see `Trainer`."""
        network, module = case.network, self.build(case.network, case.params)
        x, d = _tensor(case.x, None), _target(case, None, self.natives)
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

    def __init__(
        self,
        network: Network,
        params: Mapping[str, Any],
        device: str | None,
        natives: Natives,
    ) -> None:
        super().__init__()
        natives.check(network)
        device = device or str(torch.get_default_device())
        self.network = network
        self.divergence = loss(network.divergence, natives)
        for step in network.steps:
            native = layer(step, natives)
            for letter, full in step.parameters.items():
                weight = _tensor(layout(step.op, letter, np.asarray(params[full])), device)
                native.register_parameter(
                    native_name(step.op, letter, NATIVE), nn.Parameter(weight)
                )
            self.add_module(step.name, native)

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


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """For tiny steps: on a busy machine threads that wait for each other cost 20 times the work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


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
        raise DeviceError(f"torch cannot use the device {device!r}: {said}") from error
    return [place] if place.type == "cuda" else []


def _parameters(network: Network, module: nn.Module) -> list[tuple[Step, str, Tensor]]:
    """(node, letter, tensor) for every parameter."""
    return [
        (step, letter, module.get_parameter(f"{step.name}.{native_name(step.op, letter, NATIVE)}"))
        for step in network.steps
        for letter in step.parameters
    ]


def _tensor(array: Any, device: str | None) -> Tensor:
    return torch.tensor(np.array(array, order="C"), device=device)  # a copy, always


def _target(case: Case, device: str | None, natives: Natives) -> Tensor:
    """Class labels stay labels (PyTorch has a path of its own for them); the rest is (T, L)."""
    if natives.take_labels(case):
        return _tensor(case.d.astype(np.int64), device)
    return _tensor(case.desired, device).to(native_dtype(case))
