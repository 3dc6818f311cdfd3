"""`Arming`: which training step is recorded, and how PyTorch is left."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from gradparity.comparisons import Recording
from gradparity.comparisons.recording.arming import Arming

torch = pytest.importorskip("torch")


class Armed:
    """An arming, and the recordings that it has made and handed over."""

    def __init__(self) -> None:
        self.judged: list[Recording] = []
        self.armings: list[Arming] = []

    def __call__(
        self, step: int = 1, kind: type[Recording] | None = None, together: int = 1
    ) -> Arming:
        def new() -> Recording:
            return (kind or Recording)("step")

        arming = Arming(new, self.judged.append, step, together)
        self.armings.append(arming)
        arming.arm()
        return arming

    @property
    def recording(self) -> Recording:
        """What was judged by now."""
        (recording,) = self.judged
        assert recording.closed
        return recording

    @property
    def nodes(self) -> list[str]:
        """The nodes of the step; the program has ended."""
        self.armings[-1].wait()
        return [*self.recording.places]


@pytest.fixture
def armed() -> Iterator[Armed]:
    """Makes armings, and checks that PyTorch is left as it was."""
    from torch.nn.modules import module
    from torch.utils._python_dispatch import _get_current_dispatch_mode_stack

    before = torch.autograd.backward, torch.autograd.grad
    made = Armed()
    yield made
    for arming in made.armings:
        arming.disarm()
    assert (torch.autograd.backward, torch.autograd.grad) == before
    assert not _get_current_dispatch_mode_stack()
    assert not module._global_forward_hooks


def leaf() -> Any:
    return torch.linspace(-1.0, 1.0, 4, dtype=torch.float64).requires_grad_()


class TestWhichPass:
    def test_the_first(self, armed: Armed) -> None:
        arming = armed()
        leaf().tanh().sum().backward()
        leaf().exp().sum().backward()
        assert armed.nodes == ["sum_1", "tanh_1"]
        assert arming.passes == 1
        assert armed.judged[0].report().exit_code == 0

    def test_the_third_alone(self, armed: Armed) -> None:
        armed(step=3)
        for f in ("tanh", "exp", "sin", "cos"):
            getattr(leaf(), f)().sum().backward()
        assert armed.nodes == ["sum_1", "sin_1"]

    def test_autograd_grad_counts(self, armed: Armed) -> None:
        armed()
        x = leaf()
        torch.autograd.grad(x.tanh().sum(), [x])
        assert armed.nodes == ["sum_1", "tanh_1"]

    def test_a_pass_that_makes_a_graph_belongs_to_the_next(self, armed: Armed) -> None:
        arming = armed()
        x = leaf()
        (g,) = torch.autograd.grad(x.tanh().sum(), x, None, None, True)
        (h,) = torch.autograd.grad(x.exp().sum(), x, create_graph=True)
        assert (arming.passes, armed.judged) == (0, [])
        (g.sum() + h.sum()).backward()
        assert arming.passes == 1
        assert {"tanh_1", "exp_1"} <= {*armed.nodes}

    def test_one_inside_of_another_does_not_count(self, armed: Armed) -> None:
        """Checkpointing with `use_reentrant` calls backward in a backward pass."""
        from torch.utils.checkpoint import checkpoint

        arming = armed(step=2)
        for _ in range(2):
            x = leaf()
            checkpoint(torch.tanh, x, use_reentrant=True).sum().backward()
        assert arming.passes == 2
        assert "tanh_1" in armed.nodes

    def test_one_that_raises_does_not_count_and_begins_anew(self, armed: Armed) -> None:
        arming = armed()
        with pytest.raises(RuntimeError, match="scalar"):
            leaf().tanh().backward()
        assert (arming.passes, armed.judged) == (0, [])
        leaf().exp().sum().backward()
        assert armed.nodes == ["sum_1", "exp_1"]

    def test_what_pytorch_refuses_is_refused_as_ever(self, armed: Armed) -> None:
        armed()
        with pytest.raises(TypeError):
            torch.autograd.backward()

    def test_one_on_another_thread_is_not_watched(self, armed: Armed) -> None:
        arming = armed()
        x = leaf()
        thread = threading.Thread(target=lambda: x.tanh().sum().backward())
        thread.start()
        thread.join()
        assert (arming.passes, arming.elsewhere, armed.judged) == (0, 1, [])
        assert x.grad is not None


def stepped(kind: Any = torch.optim.SGD, **options: Any) -> tuple[Any, Any]:
    """A parameter, and an optimizer of it."""
    w = leaf()
    return w, kind([w], lr=0.1, **options)


class TestTheStep:
    def test_an_optimizer_ends_it(self, armed: Armed) -> None:
        armed()
        w, optimizer = stepped(torch.optim.Adam)
        w.exp().sum().backward()
        torch.nn.utils.clip_grad_norm_([w], 0.1)
        assert armed.judged == []
        optimizer.step()
        report = armed.recording.report()
        assert {"clip_grad_norm_1", "Adam_1"} <= {f.node for f in armed.recording.findings}
        assert report.exit_code == 0

    def test_a_wrong_step_is_accused(self, armed: Armed) -> None:
        armed()
        w, optimizer = stepped()
        optimizer.register_step_post_hook(lambda *_: w.data.mul_(1.001))
        w.exp().sum().backward()
        optimizer.step()
        wrong = [f for f in armed.recording.findings if f.parity is False]
        assert [f.node for f in wrong] == ["SGD_1"]

    def test_the_step_of_the_pass_before_is_not_of_it(self, armed: Armed) -> None:
        armed(step=2)
        w, optimizer = stepped()
        for rate in (0.1, 0.2):
            optimizer.zero_grad()
            w.exp().sum().backward()
            optimizer.param_groups[0]["lr"] = rate
            optimizer.step()
        assert len({f.node for f in armed.recording.findings if f.node.startswith("SGD")}) == 1

    def test_the_last_of_several_passes_ends_it(self, armed: Armed) -> None:
        armed(step=4, together=2)
        one, two = stepped(), stepped()
        for _ in range(2):
            y = one[0].exp()
            y.detach().mul(two[0]).sum().backward()
            two[1].step()
            y.mul(two[0]).sum().backward()
            one[1].step()
        nodes = {f.node for f in armed.recording.findings}
        assert {"exp_1", "mul_1", "mul_2"} <= nodes
        assert sum(node.startswith("SGD") for node in nodes) == 2
        assert "exp_2" not in nodes
        assert armed.recording.report().exit_code == 0

    def test_an_update_by_hand_ends_with_the_next_pass(self, armed: Armed) -> None:
        armed()
        w = leaf()
        for f in (torch.exp, torch.sin):
            assert armed.judged == []
            f(w).sum().backward()
            with torch.no_grad():
                w -= 0.1 * w.grad
                w.grad = None
        assert armed.nodes == ["sum_1", "exp_1"]
        assert armed.recording.report().exit_code == 0

    def test_hooks_that_the_program_registered_later_run(self, armed: Armed) -> None:
        from torch.optim.optimizer import register_optimizer_step_post_hook

        armed()
        w, optimizer = stepped()
        w.exp().sum().backward()
        ran: list[str] = []
        own = optimizer.register_step_post_hook(lambda *_: ran.append("own"))
        everyone = register_optimizer_step_post_hook(lambda *_: ran.append("everyone"))
        try:
            optimizer.step()
        finally:
            own.remove()
            everyone.remove()
        assert ran == ["own", "everyone"]
        assert {"exp_1", "sum_1"} == {*armed.nodes}
        assert "SGD_1" in {f.node for f in armed.recording.findings}

    def test_a_closure_that_makes_passes(self, armed: Armed) -> None:
        armed()
        w, optimizer = stepped(torch.optim.LBFGS, max_iter=3)

        def closure() -> Any:
            optimizer.zero_grad()
            loss = w.square().sum()
            loss.backward()
            return loss

        optimizer.step(closure)
        assert len(armed.nodes) == 2


class TestTheProgram:
    def test_modes_of_the_program_are_left_in_its_own_order(self, armed: Armed) -> None:
        from torch.utils._python_dispatch import TorchDispatchMode, _get_current_dispatch_mode_stack

        class Counting(TorchDispatchMode):
            seen = 0

            def __torch_dispatch__(
                self, op: Any, types: Any, args: Any = (), kwargs: Any = None
            ) -> Any:
                self.seen += 1
                return op(*args, **(kwargs or {}))

        armed(step=2)
        with Counting() as one:
            leaf().tanh().sum().backward()  # the recording begins
            assert _get_current_dispatch_mode_stack()[-1] is one
        with Counting() as two:
            leaf().exp().sum().backward()
        with Counting() as three:
            leaf().sin().sum().backward()  # it has ended
            assert _get_current_dispatch_mode_stack() == [three]
        assert min(one.seen, two.seen, three.seen) > 2
        assert armed.nodes == ["sum_1", "exp_1"]

    def test_an_error_of_the_judge_does_not_reach_it(self, armed: Armed) -> None:
        class Broken(Recording):
            told = 0

            def called(self, call: Any) -> None:
                Broken.told += 1
                raise ZeroDivisionError("of the judge")

        arming = armed(kind=Broken)
        x = leaf()
        x.tanh().sum().backward()
        assert Broken.told == 1
        arming.wait()
        assert isinstance(arming.error, ZeroDivisionError)
        assert x.grad is not None
        assert len(armed.judged) == 1

    def test_what_was_recorded_is_dropped_by_disarm(self, armed: Armed) -> None:
        arming = armed()
        y = leaf().tanh().sum()
        arming.disarm()
        y.backward()
        assert (arming.passes, armed.judged) == (0, [])

    @pytest.mark.parametrize("step", [1, 2])
    def test_gradients_are_bitwise_those_of_the_plain_run(self, step: int, armed: Armed) -> None:
        def gradients() -> list[Any]:
            found = []
            for _ in range(3):
                x = leaf()
                (x.exp() @ x.tanh()).square().backward()
                found.append(x.grad)
            return found

        plain = gradients()
        armed(step=step)
        assert all(map(torch.equal, gradients(), plain))
        assert armed.judged
