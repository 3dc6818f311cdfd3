"""Python that shows wrong results of PyTorch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ..finds import Asked, Told, arrays, spaced_call

__all__ = ["TorchFinds"]

SPACES = {"special": "torch.special"}
IMPORT, FUNCTIONAL = "import torch", ", torch.nn.functional as F"
#: Elements of a vector: code for vectors differs from that for what is left over.
VECTOR = 64

CALLS = {
    "clamp(z, 0, 0)": "torch.clamp(z, 0, 0)",
    "clamp(z, tensor(0), tensor(0))": "torch.clamp(z, z.new_zeros(()), z.new_zeros(()))",
    "softshrink(z, 0)": "F.softshrink(z, 0.0)",
    "hardshrink(z, 0)": "F.hardshrink(z, 0.0)",
    "hypot(z, 0)": "torch.hypot(z, torch.zeros_like(z))",
    "hypot(z1, z2)": "torch.hypot(z[0], z[1])",
    "std((z, 0))": "torch.stack([z, torch.zeros_like(z)]).std(0)",
    "xlogy(z, z)": "torch.xlogy(z, z)",
    "xlogy(0, z)": "torch.xlogy(torch.zeros_like(z), z)",
    "special.xlog1py(0, z)": "torch.special.xlog1py(torch.zeros_like(z), z)",
    "gelu(z), ends": "F.gelu(z)",
    "gelu(z, tanh), ends": "F.gelu(z, approximate='tanh')",
    "silu(z), ends": "F.silu(z)",
    "mish(z), ends": "F.mish(z)",
    "softsign(z), ends": "F.softsign(z)",
    "kl_div(log(1/2), z)":
        "F.kl_div(torch.full_like(z, 0.5).log(), z, reduction='sum')",
    "cdist(z, 0, inf)":
        "torch.cdist(z[None], torch.zeros_like(z)[None], float('inf'))",
    "det(z)": "torch.linalg.det(z.reshape(2, 2))",
    "logsumexp(z)": "z.logsumexp(-1)",
    "logcumsumexp(z)[-1]": "z.logcumsumexp(-1)[-1]",
    "logaddexp(z1, z2)": "torch.logaddexp(z[0], z[1])",
    "logaddexp2(z1, z2)": "torch.logaddexp2(z[0], z[1])",
    "bce_with_logits(z, 0)": "F.binary_cross_entropy_with_logits(z, torch.zeros_like(z))",
    "bce_with_logits(z, 1)": "F.binary_cross_entropy_with_logits(z, torch.ones_like(z))",
    "scatter_reduce(z, amax), empty":
        "z.new_zeros(3).scatter_reduce(0, torch.tensor([0, 0, 2]), z, 'amax', include_self=False)",
    "scatter_reduce(z, prod), empty":
        "z.new_zeros(3).scatter_reduce(0, torch.tensor([0, 0, 2]), z, 'prod', include_self=False)",
}  # fmt: skip

DOCUMENTED = {
    "F.binary_cross_entropy(": "logarithms are clamped at -100, denominators of slopes at 1e-12",
    "F.softplus(": "the identity is taken above the threshold of 20",
    "F.lp_pool1d(": "powers of negative elements are summed with their signs",
}
ISSUES = "https://github.com/pytorch/pytorch/issues/"
UPSTREAM = {
    "optim.SGD(": f"{ISSUES}191763",
    "F.gelu(x)": f"{ISSUES}187806",
    "special.ndtr(": "https://github.com/pytorch/pytorch/pull/189234",
    "logsumexp(": f"{ISSUES}49724",
}

TOLD = (
    Told("F.celu(x, 0.7)", "derivative", "float64", "-1", "common",
         "import torch, torch.nn.functional as F; "
         "x = torch.tensor([-1.0], dtype=torch.float64, requires_grad=True); "
         "F.celu(x, 0.7).backward(); print(x.grad.item(), 0.23965103644177582)"),
    Told("F.interpolate(x, size=46)", "derivative", "float64", "14 elements, element 23", "common",
         "import torch, torch.nn.functional as F; "
         "x = torch.zeros(1, 1, 14, dtype=torch.float64, requires_grad=True); "
         "F.interpolate(x, size=46)[0, 0, 23].backward(); "
         "print(x.grad.argmax().item(), 23 * 14 // 46)"),
    Told("F.lp_pool1d(x, 3, 2)", "value", "float64", "(-3, 2)", "common",
         "import torch, torch.nn.functional as F; "
         "print(F.lp_pool1d(torch.tensor([[[-3.0, 2.0]]], dtype=torch.float64), 3, 2).item(), "
         "35 ** (1 / 3))"),
    Told("F.batch_norm(x), channels last", "derivative", "float64",
         "a batch of one, gradients with channels last", "common",
         "import torch; n = torch.nn.BatchNorm2d(2).double(); "
         "x = torch.rand(1, 2, 2, 2, dtype=torch.float64, requires_grad=True); "
         "n(x).backward(torch.arange(8.0, dtype=torch.float64).as_strided((1, 2, 2, 2), "
         "(2, 1, 4, 2))); print(n.bias.grad.tolist(), [12.0, 16.0])"),
    Told("F.instance_norm(x), channels last", "derivative", "float64",
         "a batch of one, gradients with channels last, constant in each channel", "common",
         "import torch, torch.nn.functional as F; "
         "x = (torch.arange(16.0).double() ** 2).reshape(1, 4, 2, 2).requires_grad_(); "
         "dy = torch.arange(4.0, dtype=torch.float64).reshape(1, 4, 1, 1).expand(1, 4, 2, 2); "
         "F.instance_norm(x).backward(dy.contiguous(memory_format=torch.channels_last)); "
         "print(x.grad.abs().max().item(), 0.0)"),
    Told("optim.SGD(fused=True)", "value", "bfloat16", "a step of 1 from 1", "common",
         "import torch; p = torch.nn.Parameter(torch.ones(64, dtype=torch.bfloat16)); "
         "p.grad = torch.ones_like(p); torch.optim.SGD([p], lr=1.0, fused=True).step(); "
         "print(p[0].item(), 0.0)"),
)  # fmt: skip


class TorchFinds:
    """See `gradparity.adapters.finds.Finds`."""

    package = "torch"
    calls: Mapping[str, str] = CALLS
    told: Sequence[Told] = TOLD
    documented: Mapping[str, str] = DOCUMENTED
    upstream: Mapping[str, str] = UPSTREAM

    def package_of(self, spelling: str) -> str:
        return self.package

    def of_region(self, asked: Asked) -> Iterator[str]:
        call = spaced_call(asked.call, SPACES)
        several = arrays(call, "torch.full_like")
        plain = dict.fromkeys([call, several])
        each = [f"{one.removesuffix(')')}, reduction='none')" for one in plain]
        for n in (1, VECTOR):
            for one in [*plain, *(each if n > 1 else [])]:
                if "reverse" in asked.modes or "one element" in asked.modes:
                    yield _reverse(one, asked, n)
                if "forward" in asked.modes:
                    yield _forward(one, asked, n)

    def of_point(self, call: str, point: Sequence[float], dtype: str, mode: str, valid: str) -> str:
        z = ", ".join(_number(p) for p in point)
        made = f"z = torch.tensor([{z}], dtype=torch.{dtype}"
        if mode == "forward":
            asked = f"torch.func.jacfwd(lambda z: ({call}).sum())(z).tolist()"
            return f"{_imports(call)}; {made}); print({asked}, {valid!r})"
        back = f"({call}).sum().backward(); print(z.grad.tolist(), {valid!r})"
        return f"{_imports(call)}; {made}, requires_grad=True); {back}"


def _reverse(call: str, asked: Asked, n: int) -> str:
    made = f"x = torch.full(({n},), {asked.at}, dtype=torch.{asked.dtype}"
    if asked.quantity == "value":
        return f"{_imports(call)}; {made}); print({call}.max().item(), {asked.true})"
    back = f"{call}.sum().backward(); print(x.grad[0].item(), {asked.true})"
    return f"{_imports(call)}; {made}, requires_grad=True); {back}"


def _forward(call: str, asked: Asked, n: int) -> str:
    made = f"x = torch.full(({n},), {asked.at}, dtype=torch.{asked.dtype})"
    which = 0 if asked.quantity == "value" else 1
    pushed = f"torch.func.jvp(lambda x: {call}, (x,), (torch.ones_like(x),))[{which}]"
    return f"{_imports(call)}; {made}; print({pushed}.max().item(), {asked.true})"


def _imports(call: str) -> str:
    return IMPORT + FUNCTIONAL * ("F." in call)


def _number(p: float) -> str:
    return repr(p) if abs(p) < float("inf") else f"float('{p}')"
