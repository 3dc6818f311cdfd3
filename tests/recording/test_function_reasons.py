"""Reasons that need more than one call of a function, more than one output, or its constants."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

import gradparity as gp

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.usefixtures("seeded")


def wrong_notes(step: Any) -> dict[str, str]:
    """The note of every gradient that is wrong, by its name."""
    return {str(f.quantity): f.note for _, f in gp.check(step).findings() if f.parity is False}


class Held(torch.autograd.Function):
    """Its backward reads what the last forward pass has left."""

    held: ClassVar[dict[str, Any]] = {}

    @staticmethod
    def forward(ctx: Any, x: Any, w: Any) -> Any:
        Held.held = {"x": x, "w": w}
        ctx.save_for_backward(x, w)
        return x * x * w

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        x, w = Held.held["x"], ctx.saved_tensors[1]
        return 2 * g * x * w, g * x * x


class HeldAndScaled(Held):
    """Its gradient is that of no call."""

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        x, w = Held.held["x"], ctx.saved_tensors[1]
        return 2 * g * x * w + g, g * x * x


class TestNumbersOfAnotherCall:
    @staticmethod
    def notes(function: Any, *, calls: int = 2) -> dict[str, str]:
        given = [[torch.randn(3, 4, requires_grad=True) for _ in range(2)] for _ in range(calls)]
        with gp.record() as step:
            sum(function.apply(*each).tanh().sum() for each in given).backward()
        return wrong_notes(step)

    def test_are_named_with_the_call(self) -> None:
        notes = self.notes(Held)
        assert {*notes} == {"grad input_1", "grad input_2"}
        for note in notes.values():
            assert note.startswith("right if tensor argument 1 were that of Held_2:")

    def test_of_all_inputs(self) -> None:
        class All(Held):
            @staticmethod
            def backward(ctx: Any, g: Any) -> Any:
                x, w = Held.held["x"], Held.held["w"]
                return 2 * g * x * w, None

        assert self.notes(All)["grad input_1"].startswith(
            "right if its inputs were those of All_2:"
        )

    def test_of_one_call_alone_are_right(self) -> None:
        assert not self.notes(Held, calls=1)

    def test_are_not_named_for_a_gradient_of_no_call(self) -> None:
        notes = self.notes(HeldAndScaled)
        assert "grad input_1" in notes
        assert "were that of" not in notes["grad input_1"]


class Cell(torch.autograd.Function):
    """An LSTM cell; `share` of the gradient of the cell state arrives."""

    @staticmethod
    def forward(ctx: Any, i: Any, f: Any, o: Any, g: Any, c: Any, share: float) -> Any:
        i, f, o, g = i.sigmoid(), f.sigmoid(), o.sigmoid(), g.tanh()
        new = f * c + i * g
        t = new.tanh()
        ctx.save_for_backward(i, f, o, g, c, t)
        ctx.share = share
        return o * t, new

    @staticmethod
    def backward(ctx: Any, dh: Any, dc: Any) -> Any:
        i, f, o, g, c, t = ctx.saved_tensors
        d = dh * o * (1 - t * t) + ctx.share * dc
        gates = d * g * i * (1 - i), d * c * f * (1 - f), dh * t * o * (1 - o), d * i * (1 - g * g)
        return *gates, d * f, None


@pytest.mark.parametrize("share", [1.0, 0.0, 0.5])
def test_the_gradient_of_an_output_is_left_out(share: float) -> None:
    w = torch.randn(4, 20, requires_grad=True)
    with gp.record() as step:
        h = c = torch.zeros(3, 5)
        for _ in range(2):
            h, c = Cell.apply(*(torch.randn(3, 4) @ w).chunk(4, 1), c, share)
        (h.square().sum() + c.sum()).backward()
    notes = wrong_notes(step)
    assert bool(notes) == (share != 1.0)
    told = [note.startswith("right if no gradient arrived at output 2:") for note in notes.values()]
    assert all(told) if share == 0.0 else not any(told)


def rotated(x: Any, cos: Any, sin: Any) -> Any:
    a, b = x.chunk(2, -1)
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


class Rotary(torch.autograd.Function):
    """A rotation whose backward turns by `turn` times the sine."""

    @staticmethod
    def forward(ctx: Any, x: Any, cos: Any, sin: Any, turn: float) -> Any:
        ctx.save_for_backward(cos, sin)
        ctx.turn = turn
        return rotated(x, cos, sin)

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        cos, sin = ctx.saved_tensors
        return rotated(g, cos, ctx.turn * sin), None, None, None


class OfPositions(torch.autograd.Function):
    """The same rotation, with the angles computed inside."""

    @staticmethod
    def forward(ctx: Any, x: Any, positions: Any, turn: float) -> Any:
        ctx.angle, ctx.turn = positions[:, None] * 10.0 ** (-torch.arange(4) / 4), turn
        return rotated(x, ctx.angle.cos(), ctx.angle.sin())

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return rotated(g, ctx.angle.cos(), ctx.turn * ctx.angle.sin()), None, None


@pytest.mark.parametrize("turn", [-1.0, 1.0, 0.5])
@pytest.mark.parametrize("inside", [True, False])
def test_a_rotation_the_wrong_way(turn: float, inside: bool) -> None:
    x, angle = torch.randn(2, 5, 8, requires_grad=True), torch.arange(5.0)[:, None] * torch.rand(4)
    with gp.record() as step:
        if inside:
            y = OfPositions.apply(x, torch.arange(5), turn)
        else:
            y = Rotary.apply(x, angle.cos(), angle.sin(), turn)
        y.square().sin().sum().backward()
    notes = wrong_notes(step)
    assert bool(notes) == (turn != -1.0)
    which = "a constant of shape [5, 4]" if inside else "tensor argument 3"
    told = [note.startswith(f"right if {which} had the other sign") for note in notes.values()]
    assert all(told) if turn == 1.0 else not any(told)


def test_a_gradient_of_the_other_sign_as_a_whole_is_no_constant_of_the_other_sign() -> None:
    class Times(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any, a: Any) -> Any:
            ctx.save_for_backward(x, a)
            return x * x * a

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            x, a = ctx.saved_tensors
            return -2 * g * x * a, None

    x = torch.randn(3, 4, requires_grad=True)
    with gp.record() as step:
        Times.apply(x, torch.rand(4)).tanh().sum().backward()
    (note,) = wrong_notes(step).values()
    assert "had the other sign" not in note
