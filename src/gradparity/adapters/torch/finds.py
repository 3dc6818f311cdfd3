"""Python that shows wrong results of PyTorch."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from ..finds import Asked, AskedOfVector, Told, arrays, filled, listed, spaced_call, stacked
from ..structures import NativeEdge
from .structured_edges import EDGES

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

SLEEF = "the library Sleef, which may be used, rounds very large results to infinity"
DOCUMENTED = {
    "torch.sinh(": SLEEF,
    "torch.cosh(": SLEEF,
    "F.cosine_similarity(": "norms are at least eps, 1e-8 by default",
    "F.binary_cross_entropy(": "logarithms are clamped at -100, denominators of slopes at 1e-12",
    "F.softplus(": "the identity is taken above the threshold of 20",
    "F.interpolate(x, size=46)": "the mode 'nearest' has known issues that 'nearest-exact' mends",
    "F.lp_pool1d(x, 3, 2)": "powers of negative elements are summed with their signs",
}
ISSUES = "https://github.com/pytorch/pytorch/issues/"
UPSTREAM = {
    "F.tanh(": f"{ISSUES}195685",
    "F.sigmoid(": f"{ISSUES}195681",
    "special.expm1(": f"{ISSUES}192406",
    "torch.sinh(": f"{ISSUES}48641",
    "torch.cosh(": f"{ISSUES}183765",
    "F.log_softmax(": f"{ISSUES}113708",
    "torch.take_along_dim(": f"{ISSUES}196106",
    "det(": f"{ISSUES}104675",
    "clamp(": f"{ISSUES}184574",
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


def _large(spelling: str, dtype: str, quantity: str, code: str) -> Told:
    return Told(spelling, quantity, dtype, "all numbers 1024", "rare", code)


NORM = Told(
    "F.batch_norm(x), channels last",
    "derivative",
    "float64",
    "a batch of one, gradients with channels last",
    "common",
    "import torch; n = torch.nn.BatchNorm2d(2).double(); "
    "x = torch.rand(1, 2, 2, 2, dtype=torch.float64, requires_grad=True); "
    "n(x).backward(torch.arange(8.0, dtype=torch.float64).as_strided((1, 2, 2, 2), "
    "(2, 1, 4, 2))); print(n.bias.grad.tolist(), [12.0, 16.0])",
)
#: (op of the vocabulary, structure) -> what shows that it is wrong there.
STRUCTURED = {
    ("batch-norm", "batch of one"): NORM,
    ("batch-norm-eval", "batch of one"): NORM,
    ("loss bce", "large offset"):
        Told("F.binary_cross_entropy(x, 0)", "derivative", "float64", "1", "common",
             "import torch, torch.nn.functional as F; "
             "x = torch.ones(1, dtype=torch.float64, requires_grad=True); "
             "F.binary_cross_entropy(x, torch.zeros_like(x)).backward(); "
             "print(x.grad.item(), float('inf'))"),
    ("loss soft-margin", "large offset"):
        Told("F.soft_margin_loss(x, y)", "value", "float32", "-1024", "rare",
             "import torch, torch.nn.functional as F; "
             "print(F.soft_margin_loss(torch.tensor([-1024.0]), torch.ones(1)).item(), 1024.0)"),
    ("logsumexp", "large offset"):
        _large("torch.logsumexp(x, 0)", "bfloat16", "derivative",
               "import torch; x = torch.full((2,), 1024.0, dtype=torch.bfloat16, "
               "requires_grad=True); x.logsumexp(0).backward(); print(x.grad[0].item(), 0.5)"),
    ("logsumexp-axis", "large offset"):
        _large("torch.logsumexp(x, 0)", "bfloat16", "derivative",
               "import torch; x = torch.full((2,), 1024.0, dtype=torch.bfloat16, "
               "requires_grad=True); x.logsumexp(0).backward(); print(x.grad[0].item(), 0.5)"),
    ("lp-pool-2", "large offset"):
        _large("F.lp_pool2d(x, 2, 2)", "float16", "value",
               "import torch, torch.nn.functional as F; "
               "x = torch.full((1, 1, 2, 2), 1024.0, dtype=torch.float16); "
               "print(F.lp_pool2d(x, 2, 2).item(), 2048.0)"),
    ("lp-pool-3", "large offset"):
        _large("F.lp_pool1d(x, 3, 3)", "float16", "value",
               "import torch, torch.nn.functional as F; "
               "x = torch.full((1, 1, 3), 1024.0, dtype=torch.float16); "
               "print(F.lp_pool1d(x, 3, 3).item(), 1024 * 3 ** (1 / 3))"),
    ("vector-norm-3", "large offset"):
        _large("linalg.vector_norm(x, 3)", "float16", "derivative",
               "import torch; x = torch.full((2,), 1024.0, dtype=torch.float16, "
               "requires_grad=True); torch.linalg.vector_norm(x, 3).backward(); "
               "print(x.grad[0].item(), 0.6299605249474366)"),
}  # fmt: skip
#: Functions of several numbers, of which some are labels, as they are called.
OF_NUMBERS = {
    "F.local_response_norm([[x]], 1)": "F.local_response_norm(x.view(-1, 1, 1), 1)",
    "F.multi_margin_loss([x, 0], 0)": "F.multi_margin_loss([x, 0], torch.zeros_like(x).long())",
    "F.multilabel_margin_loss([x, 0], [0, -1])":
        "F.multilabel_margin_loss([x, 0], [0, -1].long())",
    "F.prelu(x, 0.01)": "F.prelu(x, torch.full((1,), 0.01).to(x))",
    "torch.cdist([[x, 1]], [[0, 0]])": "torch.cdist([x, 1], torch.zeros(1, 2).to(x))",
}  # fmt: skip
#: Functions of a vector as they are called.
OF_VECTORS = {
    "F.cross_entropy(x, 2)": "F.cross_entropy(x, torch.tensor(2))",
    "linalg.vector_norm(x)": "torch.linalg.vector_norm(x)",
    "F.group_norm(x, 1)": "F.group_norm(x.reshape(1, 2, 8), 1).reshape(-1)",
    "F.instance_norm(x)": "F.instance_norm(x.reshape(1, 1, 16)).reshape(-1)",
    "F.batch_norm(x, None, None, training=True)":
        "F.batch_norm(x[:, None], None, None, training=True)[:, 0]",
}  # fmt: skip


class TorchFinds:
    """See `gradparity.adapters.finds.Finds`."""

    package = "torch"
    calls: Mapping[str, str] = CALLS
    told: Sequence[Told] = TOLD
    structured: Mapping[tuple[str, str], Told] = STRUCTURED
    edges: Sequence[NativeEdge] = EDGES
    written: Collection[str] = ("squareplus",)
    documented: Mapping[str, str] = DOCUMENTED
    upstream: Mapping[str, str] = UPSTREAM

    def package_of(self, spelling: str) -> str:
        return self.package

    def of_region(self, asked: Asked) -> Iterator[str]:
        call = spaced_call(OF_NUMBERS.get(asked.call, asked.call), SPACES)
        both = call, arrays(call, "torch.full_like")
        plain = dict.fromkeys(stacked(one, "torch.stack", "torch.full_like") for one in both)
        each = [f"{one.removesuffix(')')}, reduction='none')" for one in plain]
        for n in (1, VECTOR):
            for one in [*plain, *(each if n > 1 else [])]:
                if "reverse" in asked.modes or "one element" in asked.modes:
                    yield _reverse(one, asked, n)
                if "forward" in asked.modes:
                    yield _forward(one, asked, n)

    def of_vector(self, asked: AskedOfVector) -> Iterator[str]:
        if "reverse" not in asked.modes:
            return
        call = OF_VECTORS.get(asked.call, asked.call)
        kind = f"dtype=torch.{asked.dtype}"
        w = f"torch.tensor({[*asked.weights]}, {kind})"
        call = call.replace(", w,", f", {w},")
        last = "" if asked.element is None else f"[{asked.element}]"
        x = filled(asked.numbers, "torch.tensor", "torch.full", kind)
        made = f"{_imports(call)}; x = {x}"
        if asked.quantity == "value":
            yield f"{made}); print({call}{last}.item(), {asked.true})"
            return
        back = f"{call}.backward({w if asked.several else ''})"
        yield f"{made}, requires_grad=True); {back}; print(x.grad{last}.item(), {asked.true})"

    def of_edge(self, call: str, arrays: Mapping[str, Any], truth: str) -> str:
        made = "; ".join(f"{name} = {_tensor(a)}" for name, a in arrays.items())
        return f"{_imports(call)}; {made}; print({call}.tolist(), {truth!r})"

    def of_point(self, call: str, point: Sequence[float], dtype: str, mode: str, valid: str) -> str:
        z = ", ".join(_number(p) for p in point)
        made = f"z = torch.tensor([{z}], dtype=torch.{dtype}"
        if mode == "forward":
            asked = f"torch.func.jacfwd(lambda z: ({call}).sum())(z).tolist()"
            return f"{_imports(call)}; {made}); print({asked}, {valid!r})"
        back = f"({call}).sum().backward(); print(z.grad.tolist(), {valid!r})"
        return f"{_imports(call)}; {made}, requires_grad=True); {back}"


def _tensor(a: Any) -> str:
    return f"torch.tensor({listed(a)})" if a.size else f"torch.zeros({a.shape})"


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
