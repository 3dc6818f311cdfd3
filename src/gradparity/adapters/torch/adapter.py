"""PyTorch: a `torch.nn.Module` of the framework's own layers, and its trace."""

from __future__ import annotations

import contextlib
import functools
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor, nn

from ...core.network.batch import sample_rows
from ...core.network.case import Case
from ...core.network.given import checked_params
from ...core.network.network import Network
from ...core.network.nodes import DIV, Edge, Step
from ...core.network.trace import Trace
from ..base import AdapterError, DeviceError, Trainer, risk, walk
from ..by_class import native_name
from ..finds import Finds
from ..kinks import Kinks
from ..overrides import NativeAdapter, Overrides
from ..smooth import Smooth
from ..structures import Structures
from .layers import NATIVE, layer, layout, loss, without_parameters
from .precision import matrix_products, native_dtype
from .vjp import call, to_numpy, vjp

__all__ = ["TorchAdapter", "TorchNetwork"]


class TorchAdapter(NativeAdapter):
    """Builds and traces networks in PyTorch."""

    name = "torch"
    overrides = Overrides("torch")

    def with_overrides(self, overrides: Mapping[Any, Any], name: str | None = None) -> Self:
        """See `NativeAdapter`; a function may be an autograd `Function.apply`, or a module.

        Raises
        ------
        TypeError : also for a module with parameters.
        """
        adapter = super().with_overrides(overrides, name)
        for key, function in overrides.items():
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
        self,
        network: Network,
        params: Mapping[str, Any],
        *,
        device: str | None = None,
        twin: Mapping[str, str] | None = None,
    ) -> TorchNetwork:
        """A module with these parameters; ``forward(x)`` gives Y.

        The parameter W of node `z1` is ``module.z1.weight``, shape (out, in): W transposed.  Shared
        parameters are in ``module.shared``.  `twin` is as in `Case`.
        """
        params = checked_params(network, params)
        return TorchNetwork(network, params, device, self.overrides, twin or {})

    def export(self, network: Network, native: nn.Module) -> dict[str, Any]:
        """The parameters by the network's names, W as (in, out); a bitwise copy."""
        return {name: to_numpy(tensor) for name, tensor in _parameters(network, native).items()}

    def run(self, case: Case, *, dtype: Any = None, device: str | None = None) -> Trace:
        case = case if dtype is None else case.astype(dtype)
        network, random = case.network, _generators(device)
        several = {name for step in network.body if len(step.values) > 1 for name in step.outputs}
        seen: dict[str | Edge, Tensor] = {}

        def see(key: str | Edge, value: Tensor) -> Tensor:
            if not value.is_floating_point():
                return value
            # A value detached from its inputs still has a gradient.
            value = value if value.requires_grad else value.detach().requires_grad_()
            # One view per use of a value, so that each use has its own gradient; and one per
            # output of several, because one may be computed from another.
            apart = isinstance(key, Edge) or key in several
            seen[key] = value.view_as(value) if apart else value
            return seen[key]

        with (
            torch.inference_mode(False),
            torch.enable_grad(),
            torch.random.fork_rng(random),
            matrix_products(case) as prepare,
        ):
            torch.manual_seed(
                next((getattr(s.op, "seed", 0) for s in network.body if s.op.random), 0)
            )
            module = self.build(network, case.params, device=device, twin=case.twin)
            module = module.to(native_dtype(case))
            prepare(module)
            inputs = {name: _input(case, name, device) for name in network.inputs}
            value = module.trace(inputs, see)
            Div, Err = self._loss(case, module, value, inputs, device)
            wanted: dict[str | Edge, Tensor] = dict(seen)
            wanted |= {n: p for n, p in _leaves(network, module).items() if p.requires_grad}
            if Div is not None:
                wanted[DIV] = Div
            wanted = {key: tensor for key, tensor in wanted.items() if tensor.requires_grad}
            gradients = torch.autograd.grad(Err, list(wanted.values()), allow_unused=True)
            found = {
                key: torch.zeros_like(tensor) if gradient is None else gradient
                for (key, tensor), gradient in zip(wanted.items(), gradients, strict=True)
            }
        return self._trace(case, value, Div, Err, found)

    def _loss(
        self,
        case: Case,
        module: TorchNetwork,
        value: Mapping[str, Tensor],
        inputs: Mapping[str, Tensor],
        device: str | None,
    ) -> tuple[Tensor | None, Tensor]:
        """Div, and the scalar to differentiate."""
        network = case.network
        if network.divergence is None:
            ends = (factor * value[name] for name, factor in network.ends.items())
            return None, functools.reduce(operator.add, ends)
        Div = module.divergence(value[DIV], _target(case, device, self.overrides))
        Div, weights = _weighted(network, Div, inputs)
        Div = Div if Div.requires_grad else Div.detach().requires_grad_()
        return Div, risk(network, Div, weights)

    def _trace(
        self,
        case: Case,
        value: Mapping[str, Tensor],
        Div: Tensor | None,
        Err: Tensor,
        found: Mapping[str | Edge, Tensor],
    ) -> Trace:
        """The trace of these tensors as NumPy arrays."""
        network, edges = case.network, set(case.network.edges)
        letters = {n: (s.op, k) for s in network.body for k, n in s.own.items()}
        grad = {}
        for key, gradient in found.items():
            if not isinstance(key, Edge) and key not in network.fixed:
                op, letter = letters.get(key, (None, ""))
                grad[key] = to_numpy(gradient if op is None else layout(op, letter, gradient))
        return Trace(
            Err=float(Err.detach()) if Div is not None else None,  # type: ignore[arg-type]
            Div=to_numpy(Div) if Div is not None else None,  # type: ignore[arg-type]
            precision=case.precision.name,
            value={n: to_numpy(value[n]) for step in network.body for n in step.values},
            grad=grad,
            edge_grad={k: to_numpy(g) for k, g in found.items() if k in edges},
            adapter=self.name,
            versions=self.versions(),
        )

    def kinks(self) -> Kinks:
        """PyTorch's functions with kinks, for `gradparity probe`."""
        from .kinks import TorchKinks

        return TorchKinks()

    def smooth(self) -> Smooth:
        """PyTorch's functions of one number, for `gradparity probe --smooth`."""
        from .smooth import TorchSmooth

        return TorchSmooth()

    def structures(self) -> Structures:
        """PyTorch on tensors stored in other ways, for `gradparity probe --structures`."""
        from .structures import Parts, TorchStructures

        return TorchStructures(self, Parts(_leaves, _target, _weighted, _tensor))

    def finds(self) -> Finds:
        """Python that shows wrong results of PyTorch, for `gradparity finds`."""
        from .finds import TorchFinds

        return TorchFinds()

    def trainer(self, case: Case, eta: float) -> Trainer:
        """Eager training with `torch.optim.SGD`; see `Trainer`."""
        network, module = case.network, self.build(case.network, case.params, twin=case.twin)
        d = _target(case, None, self.overrides)
        taken = sample_rows(case, {name: _tensor(a, None) for name, a in case.inputs.items()})
        optimizer = torch.optim.SGD(module.parameters(), lr=eta)

        def step(rows: Any) -> float:
            chosen = torch.tensor(rows)
            with torch.enable_grad(), _one_thread():
                inputs = taken(chosen)
                Div = module.divergence(module(inputs), d[chosen])
                Err = risk(network, *_weighted(network, Div, inputs))
                optimizer.zero_grad()
                Err.backward()
                optimizer.step()
            return float(Err.detach())

        return Trainer(step, lambda: self.export(network, module))


class TorchNetwork(nn.Module):
    """The native twin: one submodule per node, under the node's name.

    ``module(x)`` is Y for x or all inputs by name; ``module.divergence(Y, d)`` is Div.
    """

    def __init__(
        self,
        network: Network,
        params: Mapping[str, Any],
        device: str | None,
        overrides: Overrides,
        twin: Mapping[str, str],
    ) -> None:
        super().__init__()
        overrides.check(network)
        _check_names(network)
        device = device or str(torch.get_default_device())
        self.network = network
        if network.divergence is not None:
            self.divergence = loss(network.divergence, overrides)
        for step in network.body:
            native = layer(step, overrides, twin.get(step.name, ""))
            for letter, full in step.own.items():
                array = layout(step.op, letter, np.asarray(params[full]))
                _register(native, step, letter, _tensor(array, device))
            self.add_module(step.name, native)
        shared = {n: nn.Parameter(_tensor(params[n], device)) for n in network.parameters}
        self.shared: Any = nn.ParameterDict(shared) if shared else {}

    def forward(self, x: Any) -> Tensor:
        found: Tensor = walk(self.network, x, self._call, parameters=self.shared)[
            self.network.output
        ]
        return found

    def trace(self, x: Any, see: Callable[[str | Edge, Tensor], Tensor]) -> dict[str, Any]:
        """The forward pass, with every value and every use of it passed to `see`."""
        return walk(self.network, x, self._out_of_place, see, self.shared)

    def _call(self, step: Step, y: list[Tensor], given: dict[str, Tensor]) -> Any:
        module = self.get_submodule(step.name)
        if not given:
            return module(*y)
        named = {
            native_name(step.op, letter, NATIVE): layout(step.op, letter, tensor)
            for letter, tensor in given.items()
        }
        return torch.func.functional_call(module, named, tuple(y))

    def _out_of_place(self, step: Step, y: list[Tensor], given: dict[str, Tensor]) -> Any:
        before = [t._version for t in y]
        out = self._call(step, y, given)
        if [t._version for t in y] != before:
            raise AdapterError(
                f"node {step.name!r} changed its input in place, which destroys the value that the "
                "backward pass is judged on; use the out-of-place function (inplace=False)"
            )
        return out


#: Names that a submodule cannot have: attributes of `torch.nn.Module` and of `TorchNetwork`.
TAKEN = frozenset(dir(nn.Module())) | {"network", "divergence", "shared", "trace"}


def _check_names(network: Network) -> None:
    """Refuse nodes and letters that cannot be names of submodules or of parameters."""
    letters = {letter for step in network.body for letter in step.op.parameter_shapes()}
    for name in (*(step.name for step in network.body), *letters):
        if name in TAKEN:
            raise AdapterError(
                f"{name!r} is the name of an attribute of torch.nn.Module; give the node or the "
                "parameter another one"
            )


def _register(module: nn.Module, step: Step, letter: str, tensor: Tensor) -> None:
    owner, _, name = native_name(step.op, letter, NATIVE).rpartition(".")
    if owner and not hasattr(module, owner):  # a user's function, for a layer with layers inside
        module.add_module(owner, nn.Module())
    module = module.get_submodule(owner)
    if letter in step.op.buffers:
        module.register_buffer(name, tensor)
    else:
        module.register_parameter(name, nn.Parameter(tensor))


@contextlib.contextmanager
def _one_thread() -> Iterator[None]:
    """Use one thread: for tiny steps on a busy machine, several cost 20 times as much time."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _generators(device: str | None) -> list[torch.device]:
    """The devices other than the CPU whose random state a run must preserve.

    Raises
    ------
    DeviceError : PyTorch cannot use the device.
    """
    try:
        place = torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:
        said = str(error).splitlines()[0]
        raise DeviceError(f"torch cannot use the device {device!r}: {said}") from error
    return [place] if place.type == "cuda" else []


def _leaves(network: Network, module: TorchNetwork) -> dict[str, Tensor]:
    """Every parameter and buffer by the network's name, in the module's layout."""
    found: dict[str, Tensor] = dict(module.shared.items())
    for step in network.body:
        for letter, name in step.own.items():
            native = native_name(step.op, letter, NATIVE)
            found[name] = operator.attrgetter(native)(module.get_submodule(step.name))
    return found


def _parameters(network: Network, module: TorchNetwork) -> dict[str, Tensor]:
    """Every parameter and buffer in the lecture's layout, in the order of the network."""
    letters = {name: (s.op, k) for s in network.body for k, name in s.own.items()}
    found = _leaves(network, module)
    return {
        name: found[name] if name not in letters else layout(*letters[name], found[name])
        for name in network.parameter_shapes
    }


def _input(case: Case, name: str, device: str | None) -> Tensor:
    array = case.inputs[name]
    if array.dtype.kind != "f":
        return _tensor(array if array.dtype.kind == "b" else array.astype(np.int64), device)
    tensor = _tensor(array, device).to(native_dtype(case))
    # Not a leaf: on leaves PyTorch itself refuses in-place functions, without naming the node.
    return tensor if name in case.network.fixed else tensor.requires_grad_().clone()


def _tensor(array: Any, device: str | None) -> Tensor:
    return torch.tensor(np.array(array, order="C"), device=device)  # a copy, always


def _weighted(
    network: Network, Div: Tensor, inputs: Mapping[str, Tensor]
) -> tuple[Tensor, Tensor | None]:
    """Div with the weights of the samples in it, and these weights, if there are any."""
    if network.weights is None:
        return Div, None
    weights = inputs[network.weights].expand(Div.shape)
    return torch.where(weights == 0, 0, Div * weights), weights


def _target(case: Case, device: str | None, overrides: Overrides) -> Tensor:
    """The targets: class labels where PyTorch's loss takes them, otherwise (T, L)."""
    if overrides.take_labels(case):
        return _tensor(case.d.astype(np.int64), device)
    return _tensor(case.desired, device).to(native_dtype(case))
