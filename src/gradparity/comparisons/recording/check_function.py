"""`check_function`: a function with a backward pass of its own, in many settings."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from ...core.arithmetic.precision import PRECISIONS
from ...core.arithmetic.received import check_flag, received
from ...core.network.quantity import Quantity
from ..explain.allowed import parse_allowed
from ..findings.finding import Finding, Verdict
from ..report.graph import Graph
from ..report.records import Run, environment
from ..report.report import Report
from .functions import is_not_finite_at_kink
from .recording import Recording

__all__ = ["check_function"]

#: The setting that takes the examples as they are.
FIRST = "as given"


def check_function(
    f: Any,
    *examples: Any,
    dtypes: Sequence[str] = ("float64", "float32"),
    allow: Sequence[str] = (),
    strict: bool = False,
) -> Report:
    """Judge a `torch.autograd.Function`, or a custom op, in every setting that may matter.

    The function is applied to clones of the examples under a recording, and every gradient is held
    to backprop through the ops of its forward pass.  Each dtype is tried with random gradients
    arriving, in other memory layouts (transposed, strided, gradients with strides of zero), with
    every subset of the inputs requiring gradients, with some outputs unused, with a batch of one
    and an empty one, at zeros, equal elements and thresholds, and with another call between forward
    and backward pass.  Inputs and arriving gradients must not be written into, and a further call
    must give the same.

    Parameters
    ----------
    f : a subclass of `torch.autograd.Function`, its ``apply``, or any function of tensors, such as
        an op of `torch.library`.
    *examples : what it is given: tensors, and other arguments, which are passed as they are.
    dtypes : number formats that the floating-point tensors are converted to; one that `f` refuses
        is listed in ``Report.skipped``.
    allow : conventions that pass, such as "straight-through".
    strict : whether `lossy` fails.

    Returns
    -------
    Report with one run per dtype and setting; settings that `f` refuses are in ``skipped``.

    Raises
    ------
    RuntimeError : PyTorch has not been imported.
    TypeError, ValueError : an argument that does not fit; `f` raises in every dtype, or returns
        nothing that requires a gradient.

    >>> import gradparity as gp, torch
    >>> class Cube(torch.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x ** 3
    ...     @staticmethod
    ...     def backward(ctx, d):
    ...         (x,) = ctx.saved_tensors
    ...         return 2 * x ** 2 * d
    >>> report = gp.check_function(Cube, torch.linspace(1, 2, 6).reshape(2, 3))
    >>> report.exit_code
    1
    >>> report.diagnosis().splitlines()[0]
    "mismatch in grad x at node 'Cube_1' (...): torch, float64, case 'as given'"
    """
    check_flag("strict", strict)
    parse_allowed(allow)
    if "torch" not in sys.modules:
        raise RuntimeError("check_function judges PyTorch, which is not imported; import torch")
    function, name = _function(f)
    unknown = [d for d in dtypes if d not in PRECISIONS]
    if isinstance(dtypes, str) or unknown or not dtypes:
        given = unknown[0] if unknown and not isinstance(dtypes, str) else dtypes
        raise ValueError(f"check_function: dtypes has {received(given)}; give some of "
                         f"{', '.join(PRECISIONS)}")  # fmt: skip
    if not any(hasattr(a, "is_floating_point") and a.is_floating_point() for a in examples):
        of = ", ".join(map(_kind, examples)) or "nothing"
        raise TypeError("check_function: give at least one tensor of floating-point numbers after "
                        f"the function; it received {of}")  # fmt: skip
    from ...adapters.torch.record.settings import fork_random, unsuitable

    if said := unsuitable(examples):
        raise TypeError(f"check_function: {said}")
    with fork_random():
        return _Check(function, name, examples, allow, strict).report(dtypes)


def _kind(example: Any) -> str:
    name, dtype = type(example).__name__, getattr(example, "dtype", None)
    return name if dtype is None else f"{name} of {dtype}"


def _function(f: Any) -> tuple[Callable[..., Any], str]:
    """The callable under test, and its name."""
    import torch

    if isinstance(f, type) and issubclass(f, torch.autograd.Function):
        return f.apply, f.__name__  # type: ignore[attr-defined]
    if not callable(f):
        raise TypeError(f"check_function: f is {received(f)}; give a function of tensors")
    own = getattr(f, "__self__", None)
    if isinstance(own, type):
        return f, own.__name__
    return f, str(getattr(f, "__name__", type(f).__name__)).strip("<>")


class _Check:
    """One function in all of its settings."""

    def __init__(
        self, f: Any, name: str, examples: Sequence[Any], allow: Sequence[str], strict: bool
    ) -> None:
        self.f, self.name, self.examples = f, name, examples
        self.allow, self.strict = allow, strict
        self.skipped: dict[str, str] = {}
        self.graphs: dict[str, Graph] = {}
        self.environment = environment()

    def report(self, dtypes: Sequence[str]) -> Report:
        runs = tuple(run for dtype in dtypes for run in self._runs(dtype))
        if not runs:
            raise ValueError(f"check_function: {self.name} could not be judged: "
                             f"{next(iter(self.skipped.values()))}")  # fmt: skip
        return Report(runs, (), self.skipped, self.environment, self.graphs)

    def _runs(self, dtype: str) -> Iterator[Run]:
        from ...adapters.torch.record.settings import Setting, settings

        outputs, run = self._run(dtype, Setting(FIRST))
        if run is None:
            self.skipped[dtype] = self.skipped.pop(f"{dtype}, {FIRST}")
            return
        yield run
        if all(f.verdict is Verdict.INCONCLUSIVE and not f.elements for f in run.findings):
            return  # no other setting would be judged
        for setting in settings(self.f, self.examples, outputs):
            _, run = self._run(dtype, setting)
            if run is not None:
                yield run

    def _run(self, dtype: str, setting: Any) -> tuple[int, Run | None]:
        """The number of outputs, and the run; None if the function refuses the setting."""
        from ...adapters.torch.record.settings import RefusedError, apply

        recording = Recording(setting.name, allow=self.allow, strict=self.strict)
        try:
            applied = apply(self.f, self.examples, dtype, setting, recording)
            recording.finish()
        except RefusedError as why:
            self.skipped[f"{dtype}, {setting.name}"] = str(why)
            return 0, None
        report = recording.report()
        (run,) = report.runs
        at = next((n for n in recording.places if n.startswith(self.name)), self.name)
        findings = [self._strictly(f) for f in run.findings]
        findings += [self._fault(at, *fault) for fault in applied.faults]
        if applied.error:
            findings.append(self._raised(at, applied.error))
        if setting.edge:
            findings = [_at_edge(f) for f in findings]
            if all(f.verdict is Verdict.VACUOUS for f in findings):
                if setting.batch != 0:
                    self.skipped[f"{dtype}, {setting.name}"] = "there is nothing to test"
                return applied.outputs, None
        if setting.layout == "expanded":
            findings = [_where_zero_is_right(f) for f in findings]
        self.environment |= report.environment
        if setting.name == FIRST:
            self.graphs |= report.graphs
        run = replace(run, case=setting.name, dtype=dtype, findings=tuple(findings))
        return applied.outputs, run

    def _strictly(self, f: Finding) -> Finding:
        """A node without a formula leaves the function unknown, however many others there are."""
        unjudged = not f.elements and f.note.startswith("not judged")
        return replace(f, verdict=Verdict.INCONCLUSIVE) if unjudged else f

    def _fault(self, at: str, source: str, what: str) -> Finding:
        q = Quantity.value(source or at)
        return Finding(q, at, self.name, Verdict.MISMATCH, 0, note=what, strict=self.strict)

    def _raised(self, at: str, what: str) -> Finding:
        q = Quantity.value(f"{at}.backward")
        return Finding(q, at, self.name, Verdict.INCONCLUSIVE, 0, note=what)


def _at_edge(f: Finding) -> Finding:
    """Where the inputs are special, a gradient may be zero or undecided."""
    undecided = (f.verdict is Verdict.INCONCLUSIVE and f.elements) or is_not_finite_at_kink(f)
    f = replace(f, verdict=Verdict.VACUOUS) if undecided else f
    return replace(f, final=False) if f.verdict is Verdict.VACUOUS else f


def _where_zero_is_right(f: Finding) -> Finding:
    """Where the gradients that arrive are all the same, that of a normalisation is zero."""
    return replace(f, final=False) if f.verdict is Verdict.VACUOUS else f
