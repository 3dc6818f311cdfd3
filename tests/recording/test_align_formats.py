"""Programs in other number formats, and gradients of packed parameters of many layers."""

from __future__ import annotations

from typing import Any

import pytest

import gradparity as gp

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.usefixtures("seeded")

F = torch.nn.functional


def recorded(f: Any, *args: Any, name: str = "one") -> gp.Recording:
    return gp.record(f, *args, name=name, keep=True)


def differences(one: gp.Recording, other: gp.Recording) -> list[str]:
    return [f.note for f in gp.align(one, other).runs[0].findings if f.parity is False]


class Norms(torch.nn.Module):
    """A network of which a part may be in another format."""

    def __init__(self, eps: float = 1e-5, inside: Any = None) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(*(torch.nn.Linear(12, 12) for _ in range(4)))
        self.eps, self.inside = eps, inside

    def forward(self, x: Any) -> Any:
        for layer in self.layers:
            h = F.layer_norm(layer(x), (12,), eps=self.eps)
            x = x + torch.tanh(h.to(self.inside or h.dtype)).to(h.dtype)
        return (x**3).mean()


def norms(dtype: Any, **settings: Any) -> gp.Recording:
    torch.manual_seed(0)
    model = Norms(**settings)
    x = torch.randn(6, 12)
    return recorded(lambda m: m(x.to(dtype)), model.to(dtype), name=str(settings or dtype))


class TestFormats:
    @pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
    def test_a_part_in_a_coarser_format_hides_no_other_eps(self, dtype: Any) -> None:
        settings = {"inside": torch.float32 if dtype == torch.float64 else torch.bfloat16}
        same = norms(dtype, **settings), norms(dtype, **settings)
        assert differences(*same) == []
        (note,) = differences(norms(dtype, **settings), norms(dtype, eps=1e-6, **settings))
        assert "eps is 1e-05 here and 1e-06 there" in note

    def test_in_float32_and_bfloat16_a_model_is_the_same(self) -> None:
        """The inputs are rounded, and no value is the same to the last digit."""
        x = torch.randn(6, 12).bfloat16()
        model = Norms().bfloat16()
        half = recorded(lambda m: m(x), model)
        single = recorded(lambda m: m(x.float()), Norms().float().requires_grad_(), name="other")
        assert differences(half, single)  # of other parameters
        copied = Norms().float()
        copied.load_state_dict({n: a.float() for n, a in model.state_dict().items()})
        assert differences(half, recorded(lambda m: m(x.float()), copied)) == []

    def test_a_constant_that_one_program_rounds_lets_gradients_differ_as_much(self) -> None:
        x, w = torch.randn(6, 12, dtype=torch.float64), torch.ones(12, dtype=torch.float64)

        def loss(x: Any, w: Any) -> Any:
            return (torch.tanh(x * w) * w).pow(3).sum()

        one, other = (recorded(loss, each, w.requires_grad_()) for each in (x, x.float()))
        assert differences(one, other) == []
        assert differences(other, one) == []


class Heads(torch.nn.Module):
    """Layers of attention whose projections are packed, or on their own."""

    def __init__(self, layers: int, packed: bool, cut: int = -1) -> None:
        super().__init__()
        n = 1 if packed else 3
        self.packed, self.cut = packed, cut
        self.into = torch.nn.ModuleList(
            torch.nn.ModuleList(torch.nn.Linear(8, 24 // n) for _ in range(n))
            for _ in range(layers)
        )

    def forward(self, x: Any) -> Any:
        for i, layers in enumerate(self.into):
            projected = torch.cat([layer(x) for layer in layers], -1)
            q, k, v = (p.unflatten(-1, (2, 4)).transpose(1, 2) for p in projected.chunk(3, -1))
            v = v.detach() if i == self.cut else v
            x = x + F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        return (x**3).mean()

    def split(self, cut: int = -1) -> Heads:
        """The same with a projection for each."""
        made = Heads(len(self.into), packed=False, cut=cut).to(self.into[0][0].weight.dtype)
        for own, parts in zip(self.into, made.into, strict=True):
            for name in ("weight", "bias"):
                pieces = getattr(own[0], name).detach().chunk(3)
                for part, piece in zip(parts, pieces, strict=True):
                    getattr(part, name).data = piece.clone()
        return made


class TestPackedGradients:
    @pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
    def test_of_many_layers_are_those_of_the_parts(self, dtype: Any) -> None:
        model, x = Heads(9, packed=True).to(dtype), torch.randn(2, 5, 8).to(dtype)
        one, other = recorded(lambda m: m(x), model), recorded(lambda m: m(x), model.split())
        assert differences(one, other) == []
        assert differences(other, one) == []

    def test_one_that_is_cut_in_one_layer_is_told(self) -> None:
        model, x = Heads(9, packed=True).double(), torch.randn(2, 5, 8).double()
        one, other = recorded(lambda m: m(x), model), recorded(lambda m: m(x), model.split(cut=4))
        for here, there in ((one, other), (other, one)):
            report = gp.align(here, there)
            assert report.exit_code == 1
            assert "into.4" in str(report) or "scaled_dot_product" in report.runs[0].about
