"""The settings that a function is applied in: number formats, layouts, subsets, sizes, kinks."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ....core.network.calls import Listener
from .aten.tensors import tensors_in
from .observer import observing

__all__ = ["Applied", "RefusedError", "Setting", "apply", "fork_random", "settings", "unsuitable"]

#: The most subsets of the inputs that are asked for gradients, and the most thresholds of a kink.
SUBSETS, THRESHOLDS = 8, 12
#: Ops that compare with a number, at which a function may have a kink.
COMPARING = {
    *(f"aten::{name}" for name in ("gt", "lt", "ge", "le", "eq", "ne", "clamp", "clamp_min")),
    *(f"aten::{name}" for name in ("clamp_max", "threshold", "hardtanh", "clip")),
}
#: How far two calls on the same numbers may be apart, relative to the largest number.
SAME = {torch.float64: 1e-10, torch.float32: 1e-4, torch.float16: 3e-2, torch.bfloat16: 0.2}


class RefusedError(Exception):
    """The function does not take these inputs; the message is its own."""


@dataclass(frozen=True)
class Setting:
    """One way to apply a function.

    Attributes
    ----------
    name : in words, such as "transposed".
    layout : of tensors: "", "transposed" or "strided"; of gradients that arrive also "expanded".
    asked : the positions of the tensors that require a gradient; None for all.
    batch : the length of the first axis of the tensors that have the batch there; None as given.
    values : "", "zeros", "equal" or "thresholds".
    output : the only output that a gradient arrives at; None for all.
    edge : whether it may have nothing to test, and may be refused.
    twice : whether another call comes before the first backward pass.
    """

    name: str
    layout: str = ""
    asked: tuple[int, ...] | None = None
    batch: int | None = None
    values: str = ""
    output: int | None = None
    edge: bool = False
    twice: bool = False


@dataclass(frozen=True)
class Applied:
    """Faults of one application that its ops do not show.

    Attributes
    ----------
    outputs : how many outputs have a gradient.
    faults : pairs of the name of an input, or "" for the function, and what is wrong.
    error : what its backward pass raised; "" if nothing.
    """

    outputs: int
    faults: tuple[tuple[str, str], ...] = ()
    error: str = ""


def fork_random() -> Any:
    """Leave the state of the random numbers as it was."""
    return torch.random.fork_rng()


def unsuitable(examples: Sequence[Any]) -> str:
    """Say which example cannot be copied and laid out anew, and what to do; "" if all can."""
    for i, a in enumerate(examples):
        if not isinstance(a, torch.Tensor) or (a.layout is torch.strided and not a.is_nested):
            if not getattr(a, "is_meta", False):
                continue
            return f"tensor {i + 1} is on the device 'meta', without numbers; give one on 'cpu'"
        kind = "nested" if a.is_nested else str(a.layout).removeprefix("torch.")
        return (
            f"tensor {i + 1} is {kind}, which is not judged; give dense tensors, and let f make it "
            f"{'nested' if a.is_nested else 'sparse'} from them"
        )
    return ""


def names_of(f: Callable[..., Any], n: int) -> list[str]:
    """Names of the arguments of a function, without its context."""
    own = getattr(f, "__self__", None)
    forward = getattr(own, "forward", f) if isinstance(own, type) else f
    try:
        names = [
            p.name
            for p in inspect.signature(forward).parameters.values()
            if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        ]
    except (TypeError, ValueError):
        names = []
    separate = "setup_context" in getattr(own, "__dict__", {})
    if isinstance(own, type) and not separate:
        names = names[1:]
    return [names[i] if i < len(names) else f"input_{i + 1}" for i in range(n)]


def settings(f: Callable[..., Any], examples: Sequence[Any], outputs: int) -> Iterator[Setting]:
    """Every setting beyond the first one, which takes the examples as they are."""
    tensors = _floats(examples)
    yield Setting("another call in between", twice=True)
    if any(examples[i].ndim > 1 for i in tensors):
        yield Setting("transposed", layout="transposed")
    yield Setting("strided", layout="strided")
    yield Setting("expanded gradients", layout="expanded")
    names = [f"input {i + 1}" for i in range(len(examples))]
    subsets = [s for k in range(1, len(tensors)) for s in combinations(tensors, k)]
    for subset in subsets[:SUBSETS]:
        listed = " and ".join(names[i] for i in subset)
        yield Setting(f"gradient of {listed} alone", asked=subset)
    if outputs > 1:
        for k in range(outputs):
            yield Setting(f"output {k + 1} alone", output=k, edge=True)
    if any(examples[i].ndim and len(examples[i]) > 1 for i in tensors):
        yield Setting("a batch of one", batch=1, edge=True)
    if any(examples[i].ndim for i in tensors):
        yield Setting("an empty batch", batch=0, edge=True)
    yield Setting("zeros", values="zeros", edge=True)
    yield Setting("equal elements", values="equal", edge=True)
    if _thresholds(f, examples):
        yield Setting("thresholds", values="thresholds", edge=True)


def apply(
    f: Callable[..., Any],
    examples: Sequence[Any],
    dtype: str,
    setting: Setting,
    listener: Listener,
) -> Applied:
    """Apply a function afresh to clones of the examples, and differentiate, under a recording.

    Raises
    ------
    RefusedError : its forward pass raised, or there is nothing of this kind to try.
    """
    kind = getattr(torch, dtype)
    rng = torch.Generator().manual_seed(1)
    numbers = [_numbers(a, kind, setting, f, examples) for a in examples]
    names = names_of(f, len(examples))
    floats = _floats(examples)
    asked = floats if setting.asked is None else setting.asked

    def leaves(turned: bool = False) -> list[Any]:
        made = []
        for i, value in enumerate(numbers):
            if isinstance(value, torch.Tensor):
                value = value.flip(tuple(range(value.ndim))) if turned and i in floats else value
                value = _laid_out(value, setting.layout)
                value = value.requires_grad_() if i in asked else value
            made.append(value)
        return made

    given = leaves()
    again = leaves(turned=True) if setting.twice else []
    named = {names[i]: given[i] for i in asked}
    named |= {f"{names[i]}_2": again[i] for i in asked if again}
    faults: list[tuple[str, str]] = []
    with observing(listener, named):
        through, outs = _called(f, given)
        outputs = [t for t in tensors_in(outs) if t.requires_grad]
        if not outputs:
            raise RefusedError("nothing that it returns requires a gradient")
        faults += _written(names, through, numbers, outs)
        faults += _shared(names, through, outs)
        kept = [t.detach().clone() for t in outputs]
        others: list[torch.Tensor] = []
        if setting.twice:
            others = [t for t in tensors_in(_called(f, again)[1]) if t.requires_grad]
            if not all(map(_equal, kept, [t.detach() for t in outputs])):
                faults.append(("", "a later call writes into what an earlier one has returned"))
        chosen = outputs if setting.output is None else [outputs[setting.output]]
        sent = [_cotangent(t, setting.layout, rng) for t in chosen]
        error = _backward(chosen, sent, faults)
        if others and not error:
            error = _backward(others, [_cotangent(t, "", rng) for t in others], [])
    if not error:
        dirty = _written(names, through, numbers, outs)
        faults += [(n, w.replace("forward", "backward")) for n, w in dirty if (n, w) not in faults]
    if setting.twice and not error:
        found = _otherwise(f, leaves(), names, asked, given, kept, sent, kind)
        if any(name for name, _ in found):
            found = _of_which_call(f, leaves(turned=True), names, given, sent, found, kind)
        faults += found
    return Applied(len(outputs), tuple(dict.fromkeys(faults)), error)


def _floats(examples: Sequence[Any]) -> list[int]:
    """The positions of the examples that are asked for gradients.

    They are those that require them, or all floats if none does.
    """
    tensors = [
        i for i, a in enumerate(examples) if isinstance(a, torch.Tensor) and a.is_floating_point()
    ]
    return [i for i in tensors if examples[i].requires_grad] or tensors


def _called(f: Callable[..., Any], given: list[Any]) -> tuple[list[Any], Any]:
    """The inputs and outputs; a function that writes into its inputs is not given leaves."""
    torch.manual_seed(0)
    try:
        return given, f(*given)
    except Exception as error:
        if "leaf Variable" not in str(error):
            raise RefusedError(f"{type(error).__name__}: {error}") from error
    through = [a.clone() if isinstance(a, torch.Tensor) and a.requires_grad else a for a in given]
    try:
        return through, f(*through)
    except Exception as error:
        raise RefusedError(f"{type(error).__name__}: {error}") from error


def _numbers(
    value: Any, dtype: Any, setting: Setting, f: Callable[..., Any], examples: Sequence[Any]
) -> Any:
    """An example with other numbers, or of another length."""
    if not isinstance(value, torch.Tensor):
        return value
    made = value.detach().clone()
    floats = made.is_floating_point()
    if setting.batch is not None:
        lengths = [len(examples[i]) for i in _floats(examples) if examples[i].ndim]
        made = made[: setting.batch] if made.ndim and len(made) == lengths[0] else made
    if not floats:
        return made
    if setting.values == "zeros":
        made.reshape(-1)[::2] = 0.0
    if setting.values == "equal" and made.numel():
        made = torch.full_like(made, float(made.reshape(-1)[0]))
    if setting.values == "thresholds":
        at = _thresholds(f, examples)
        made = made.double()
        half = made.reshape(-1)[::2]
        half[:] = torch.tensor(at, dtype=torch.float64).repeat(len(half) // len(at) + 1)[
            : len(half)
        ]
    return made.to(dtype)


class _Thresholds(TorchDispatchMode):  # type: ignore[misc]  # torch is not followed
    """Collects the numbers that values are compared with."""

    def __init__(self) -> None:
        super().__init__()
        self.found: dict[float, None] = {}

    def __torch_dispatch__(self, op: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if op._schema.name in COMPARING:
            for value in [*args[1:], *(kwargs or {}).values()]:
                if isinstance(value, int | float) and not isinstance(value, bool):
                    self.found[float(value)] = None
        return op(*args, **(kwargs or {}))


def _thresholds(f: Callable[..., Any], examples: Sequence[Any]) -> list[float]:
    seen = _Thresholds()
    try:
        with torch.no_grad(), seen:
            f(*[a.detach().clone() if isinstance(a, torch.Tensor) else a for a in examples])
    except Exception:  # the settings say what it raises
        return []
    return [at for at in seen.found if abs(at) < 1e4][:THRESHOLDS]


def _laid_out(value: torch.Tensor, layout: str) -> torch.Tensor:
    """The same numbers in another place in memory."""
    if layout == "transposed" and value.ndim > 1:
        return value.transpose(0, -1).contiguous().transpose(0, -1)
    if layout == "strided" and value.ndim:
        wide = torch.full((*value.shape[:-1], 2 * value.shape[-1] + 1), 7.0).to(value)
        wide[..., 1::2] = value
        return wide[..., 1::2]
    return value.clone()


def _cotangent(out: torch.Tensor, layout: str, rng: torch.Generator) -> torch.Tensor:
    shape = out.shape
    if layout == "expanded":
        shape = torch.Size([1, *shape[1:]]) if len(shape) > 1 else torch.Size([1] * len(shape))
    drawn = torch.randn(shape, generator=rng, dtype=torch.float64).to(out.device, out.dtype)
    return drawn.expand(out.shape) if layout == "expanded" else _laid_out(drawn, layout)


def _backward(
    outs: list[torch.Tensor], sent: list[torch.Tensor], faults: list[tuple[str, str]]
) -> str:
    """Run a backward pass; report an exception, and a write into the gradients it was given."""
    before = [g.clone() for g in sent]
    try:
        torch.autograd.backward(outs, sent)
    except Exception as error:
        return f"its backward pass raised {type(error).__name__}: {error}"
    if not all(map(_equal, before, sent)):
        faults.append(("", "its backward pass writes into the gradient that arrives"))
    return ""


def _equal(a: torch.Tensor, b: torch.Tensor) -> bool:
    return torch.equal(a, b) or bool(((a == b) | ((a != a) & (b != b))).all())


def _written(
    names: list[str], given: list[Any], numbers: list[Any], outs: Any
) -> list[tuple[str, str]]:
    """The inputs that no longer hold what they did, without those that were marked as dirty."""
    marked = {id(t) for t in tensors_in(outs)}
    wrong = []
    for name, now, before in zip(names, given, numbers, strict=True):
        if not isinstance(now, torch.Tensor) or id(now) in marked:
            continue
        if not _equal(now.detach(), before):
            wrong.append((name, "its forward pass writes into it without mark_dirty"))
    return wrong


def _shared(names: list[str], given: list[Any], outs: Any) -> list[tuple[str, str]]:
    """The inputs that an output lies in the memory of, without that autograd knows of it."""
    wrong = []
    for name, value in zip(names, given, strict=True):
        if not isinstance(value, torch.Tensor) or not value.numel():
            continue
        for out in tensors_in(outs):
            same = out.untyped_storage().data_ptr() == value.untyped_storage().data_ptr()
            if same and out is not value and out._base is None and out.requires_grad:
                wrong.append((name, "what it returns lies in its memory, and is no view of it"))
    return wrong


def _otherwise(
    f: Callable[..., Any],
    again: list[Any],
    names: list[str],
    asked: Sequence[int],
    given: list[Any],
    before: list[torch.Tensor],
    sent: list[torch.Tensor],
    dtype: Any,
) -> list[tuple[str, str]]:
    """Report results that differ in a second call on the same numbers."""
    outs = [t for t in tensors_in(_called(f, again)[1]) if t.requires_grad]
    wrong = []
    if len(outs) != len(before) or not all(map(_close, outs, before, [dtype] * len(outs))):
        wrong.append(("", "a further call on the same numbers returns others: it keeps a state"))
        return wrong
    if _backward(outs, sent, []):
        return []
    for i in asked:
        one, two = given[i].grad, again[i].grad
        lost = (one is None) != (two is None)
        if lost or (one is not None and not _close(one, two, dtype)):
            said = "a further call on the same numbers has another gradient: it keeps a state"
            wrong.append((names[i], said))
    return wrong


def _of_which_call(
    f: Callable[..., Any],
    others: list[Any],
    names: list[str],
    given: list[Any],
    sent: list[torch.Tensor],
    faults: list[tuple[str, str]],
    dtype: Any,
) -> list[tuple[str, str]]:
    """The same faults; where a gradient is that of the call in between, they say so."""
    outs = [t for t in tensors_in(_called(f, others)[1]) if t.requires_grad]
    if _backward(outs, sent, []):
        return faults
    said = "its gradient is that of the call in between; keep tensors with ctx.save_for_backward"
    of_other = {
        name: said
        for name, one, other in zip(names, given, others, strict=True)
        if isinstance(other, torch.Tensor) and one.grad is not None and other.grad is not None
        if _close(one.grad, other.grad, dtype)
    }
    return [(name, of_other.get(name, what)) for name, what in faults]


def _close(a: torch.Tensor, b: torch.Tensor, dtype: Any) -> bool:
    a, b = a.detach().double(), b.detach().double()
    if a.shape != b.shape:
        return False
    scale = float(torch.nan_to_num(b, posinf=0.0, neginf=0.0).abs().max()) if b.numel() else 0.0
    tol = SAME.get(dtype, 1e-4) * (scale or 1.0)
    return bool(torch.allclose(a, b, rtol=0.0, atol=tol, equal_nan=True))
