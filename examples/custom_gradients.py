"""A gradient written by hand in PyTorch, its twin in JAX, and one mistake in both.

`torch.autograd.Function` and `jax.custom_vjp` replace what the framework would derive by what one
has derived oneself; here SiLU, which keeps its input and nothing else.  Each is held against the
formula alone, where implementations differ, and inside a network, node by node.

    python examples/custom_gradients.py                             # the diagnoses
    python examples/custom_gradients.py --write examples/README.md  # and into this page
"""

from __future__ import annotations

import jax
import torch

import gradparity as gp
from gradparity.core import Affine, CrossEntropy, SiLU
from gradparity.testing import diagnosis

from pages import main


class LeanSiLU(torch.autograd.Function):
    """y = z s(z), dz = dy s (1 + z (1 - s)): the sigmoid s is computed again, not stored."""

    @staticmethod
    def forward(ctx, z):
        ctx.save_for_backward(z)
        return z * torch.sigmoid(z)

    @staticmethod
    def backward(ctx, dy):
        (z,) = ctx.saved_tensors
        s = torch.sigmoid(z)
        return dy * s * (1 + z * (1 - s))


class ForgetfulSiLU(LeanSiLU):
    """The product rule without its second term."""

    @staticmethod
    def backward(ctx, dy):
        (z,) = ctx.saved_tensors
        return dy * torch.sigmoid(z)


@jax.custom_vjp
def lean_silu(z):
    return z * jax.nn.sigmoid(z)


def _backward(z, dy):
    s = jax.nn.sigmoid(z)
    return (dy * s * (1 + z * (1 - s)),)


lean_silu.defvjp(lambda z: (lean_silu(z), z), _backward)


@jax.custom_vjp
def forgetful_silu(z):
    return z * jax.nn.sigmoid(z)


forgetful_silu.defvjp(lambda z: (forgetful_silu(z), z), lambda z, dy: (dy * jax.nn.sigmoid(z),))

NETWORK = gp.layered([Affine(8, 16), SiLU(), Affine(16, 4)], CrossEntropy(eps=0.01))


def alone() -> dict[str, gp.Report]:
    """Each function against the formula of SiLU, the frameworks differentiating."""
    return {
        "LeanSiLU": gp.check_op(LeanSiLU.apply, "torch", reference=SiLU(), name="LeanSiLU"),
        "lean_silu": gp.check_op(lean_silu, "jax", reference=SiLU()),
        "ForgetfulSiLU": gp.check_op(
            ForgetfulSiLU.apply, "torch", reference=SiLU(), name="Forgetful"
        ),
        "forgetful_silu": gp.check_op(forgetful_silu, "jax", reference=SiLU()),
    }


def in_a_network() -> dict[str, gp.Report]:
    """Each in the place of the framework's own SiLU, both frameworks side by side."""
    right = (
        gp.get_adapter("torch").with_overrides({SiLU: LeanSiLU.apply}, name="torch, lean"),
        gp.get_adapter("jax").with_overrides({SiLU: lean_silu}, name="jax, lean"),
    )
    wrong = (
        gp.get_adapter("torch").with_overrides(
            {SiLU: ForgetfulSiLU.apply}, name="torch, forgetful"
        ),
        gp.get_adapter("jax").with_overrides({SiLU: forgetful_silu}, name="jax, forgetful"),
    )
    return {"both lean": gp.check(NETWORK, *right), "both forgetful": gp.check(NETWORK, *wrong)}


def my_model(case):
    """The same from end to end: a model of one's own, and PyTorch's own loss."""
    p = {name: torch.tensor(array, requires_grad=True) for name, array in case.params.items()}
    z1 = torch.tensor(case.x) @ p["W1"] + p["b1"]
    z2 = LeanSiLU.apply(z1) @ p["W2"] + p["b2"]
    Err = torch.nn.functional.cross_entropy(z2, torch.tensor(case.d), label_smoothing=4 * 0.01)
    Err.backward()
    return {"Err": Err, **{f"grad {name}": p[name].grad for name in p}}


def text() -> str:
    """What is said of each, as Markdown."""
    parts = []
    for name, report in {
        **alone(),
        **in_a_network(),
        "my_model": gp.check(NETWORK, my_model),
    }.items():
        said = str(report).splitlines()[-1] if report else diagnosis(report)
        parts.append(f"`{name}`:\n\n```\n{said}\n```")
    return "\n\n".join(parts)


if __name__ == "__main__":
    main(__doc__, custom_gradients=text)
