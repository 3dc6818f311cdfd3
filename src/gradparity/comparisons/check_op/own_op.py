"""`check_op`: check a user's forward and backward function against an op's formulas."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from functools import partial
from itertools import count
from typing import Any

import numpy as np

from ...adapters.base import AdapterError, available, get_adapter
from ...core import Op
from ...core.arithmetic.precision import PRECISIONS, Precision, precisions
from ...core.arithmetic.received import check_flag, check_text, received
from ...core.formulas.op import Shape
from ...core.network.batch import op_keeps_samples
from ..explain.allowed import parse_allowed
from ..findings.finding import Finding, Verdict
from ..report.records import Run, environment
from ..report.report import Report
from . import against_formulas as formulas
from . import algebra, calls, frameworks
from .arguments import (
    BATCHES,
    check_batches,
    check_callable,
    check_fixed,
    check_reference,
    check_signature,
    name_of,
)
from .calling import Pair
from .points import Points
from .setting import letters_of, names_of_inputs
from .task import Check, Task
from .widths import shapes_of, stand_alone, suggested

__all__ = [
    "OwnOp",
    "check_op",
]

DTYPES = ("float64", "float32")

#: Checks that do not apply to an op that draws new random numbers at every call.
REPEATED = ("determinism", "independent_calls", "linearity", "batch_split", "permutation")


@dataclass(frozen=True)
class OwnOp:
    """A user's forward and backward function, and the op they must compute.

    Parameters
    ----------
    forward : ``z = forward(*y, *parameters)``: `relu(z)`, `multiply(y1, y2)`, `linear(y, W, b)`;
        values are (T, D), W is (n_in, n_out) and b (n_out,).  An op of several outputs returns them
        as a tuple.
    backward : ``backward(dz, *y, *parameters)`` returns the gradients in the same order: an array,
        or a tuple of several.  For an op of several outputs dz is a tuple.  Integers have no
        gradient: leave it out, or return None.  A function of dz alone is called as
        ``backward(dz)`` after forward, like that of a layer which has stored its inputs.
        Alternatively "torch", "jax" or an adapter, whose framework then differentiates `forward`.
    reference : the op, such as ``ReLU()`` or ``Affine(4, 3)``.
    name : the name in reports; by default that of the forward function.
    width : the width of the inputs, a tuple if they differ; by default the op's own, or the first
        that fits it.
    shape : the shape of one sample of the input, if it is not a vector, such as (3, 8, 8); a list
        of shapes for several inputs.  Give either `width` or `shape`.
    fixed : inputs without a gradient, such as a mask: "y" alone, or of "y1", "y2", ...
    allow : conventions that pass, such as "mean" or "weight-decay=0.001".
    strict : whether `lossy` fails, as for `check`.

    Raises
    ------
    TypeError, ValueError : `reference` is not a single op; `forward` or `backward` is not a
        function or takes other arguments; a width does not fit; an input or a convention is
        unknown.
    AdapterError : the adapter is unknown, or its framework is not installed.

    >>> from gradparity.core import Tanh
    >>> own = OwnOp(np.tanh, lambda dz, y: dz * (1 - np.tanh(y) ** 2), reference=Tanh())
    >>> list(own.checks())[:4]
    ['shape_and_dtype', 'finite', 'inputs_unchanged', 'determinism']
    >>> bool(own.checks()["linearity"]())
    True
    """

    forward: Callable[..., Any]
    backward: Any
    _: KW_ONLY
    reference: Op
    name: str = ""
    width: int | Sequence[int] | None = None
    shape: Sequence[Any] | None = None
    fixed: Sequence[str] = ()
    allow: Sequence[str] = ()
    strict: bool = False

    def __post_init__(self) -> None:
        check_reference(self.reference)
        parse_allowed(self.allow)
        check_callable("forward", self.forward)
        if isinstance(self.backward, str):
            if self.backward not in available():
                get_adapter(self.backward)  # raises an error with the valid names
        elif not hasattr(self.backward, "vjp"):
            check_callable("backward", self.backward)
        try:
            shapes = shapes_of(self.reference, self.forward, self.width, self.shape)
            object.__setattr__(self, "shape", shapes)
            check_fixed(self.fixed, len(shapes))
            check_batches(self.reference, shapes)
            self._points(PRECISIONS["float64"], 0).random(2)
            self._check_samples()
        except NotImplementedError as error:
            raise TypeError(
                f"reference is {received(self.reference)}, which cannot be checked: {error}"
            ) from None
        check_text("name", self.name)
        check_flag("strict", self.strict)
        object.__setattr__(self, "name", self.name or name_of(self.forward, self.reference))
        letters = names_of_inputs(len(self.shapes))
        letters += letters_of(self.reference)
        check_signature("forward", self.forward, letters, letters)
        by_hand = not isinstance(self.backward, str) and not self.pair.differentiated
        if by_hand:
            given = ["dz"] if self.pair.stateful else ["dz", *letters]
            check_signature("backward", self.backward, given, letters)

    @property
    def pair(self) -> Pair:
        """The two functions; an adapter given by name is loaded only here, when it is needed."""
        named = isinstance(self.backward, str)
        return Pair(self.forward, get_adapter(self.backward) if named else self.backward)

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """The shape of one sample of every input."""
        return self.shape  # type: ignore[return-value]  # set above

    def _apart(self) -> bool:
        """Whether no sample influences another; in a batch longer than any other axis.

        A batch as long as another axis could pass for samples that stay apart.
        """
        T = next(T for T in count(3) if all(T not in shape for shape in self.shapes))
        y = self._points(PRECISIONS["float64"], 0).random(T).y
        return op_keeps_samples(self.reference, *y)

    def _check_samples(self) -> None:
        """Raise ValueError where samples stay apart, but depend on their place in the batch."""
        op = self.reference
        y = self._points(PRECISIONS["float64"], 0).random(max(BATCHES)).y
        if op.random or stand_alone(op, *y) or not self._apart():
            return
        given = self.shapes[0] if len(self.shapes) == 1 else list(self.shapes)
        raise ValueError(
            f"shape is {given}: {op!r} takes the axis of the batch for one of its own, so a "
            "sample's result depends on its place in the batch; give a shape with more axes"
            f"{suggested(op, self.shapes)}"
        )

    def _points(self, precision: Precision, seed: int) -> Points:
        return Points(self.reference, self.shapes, precision, seed, self.fixed)

    def skipped(self) -> dict[str, str]:
        """Checks that do not apply to this op -> reason."""
        found = {}
        if self.reference.random:
            why = f"{self.reference.name} draws new numbers at every call"
            found = dict.fromkeys(REPEATED, why)
        points = self._points(PRECISIONS["float64"], 0)
        if self.reference.states:
            why = f"functions of {self.reference.name} do not return them; check them in a network"
            found["running_statistics"] = why
        if points.kinks() is None:
            found["at_kinks"] = f"{self.reference.name} has no kinks"
        try:
            points.random(1)
        except ValueError as error:
            found["batch_of_one"] = f"{self.reference.name} does not accept it: {error}"
        if not self.reference.random and not self._apart():
            why = f"the samples of {self.reference.name} influence each other"
            found |= dict.fromkeys(("batch_split", "permutation"), why)
        by_hand = not isinstance(self.backward, str) and not self.pair.differentiated
        if by_hand and self.pair.stateful and not self.reference.random:
            found["independent_calls"] = "backward takes dz alone, so it holds its last input"
        return found

    def _all_checks(self) -> dict[str, Check]:
        """Every check for functions of this kind: by hand, or differentiated by an adapter."""
        found = {**calls.CHECKS, **algebra.CHECKS, **formulas.CHECKS}
        try:
            pair = self.pair
        except AdapterError:  # not installed, which is reported when it is used
            return found
        if pair.differentiated:
            del found[
                "results_kept"
            ]  # adapters return copies; independent_calls finds a reused buffer
            found |= frameworks.offered(pair, self.reference)
        return found

    def checks(
        self, dtypes: Sequence[Any] = DTYPES, seed: int = 0, strict: bool = False
    ) -> dict[str, Callable[[], Report]]:
        """Every check that applies by its name, the cheapest first; each returns a report.

        Parameters
        ----------
        dtypes : any of "float64", "float32", "tf32", "float16" and "bfloat16".
        seed : the seed of the numbers that the op is tested on.
        strict : whether `lossy` fails, whatever the op says.
        """
        chosen = precisions(dtypes)
        if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
            raise ValueError(f"seed is {received(seed)}; give a whole number >= 0")
        check_flag("strict", strict)
        left_out = self.skipped()
        points = [self._points(each, int(seed)) for each in chosen]
        return {
            name: partial(self._report, name, check, points, bool(self.strict or strict))
            for name, check in self._all_checks().items()
            if name not in left_out
        }

    def _report(self, name: str, check: Check, points: Sequence[Points], strict: bool) -> Report:
        runs = []
        for each in points:
            task = Task(self.pair, each, each.precision, self.allow)
            judged = [replace(f, strict=strict) for f in check(task)]
            if self.reference.zero_gradient:
                judged = list(map(_with_exact_zeros, judged))
            found = tuple(_worst_of_each(judged))
            runs.append(Run(name, self.name, each.precision.name, found))
        pair = self.pair
        versions = pair.backward.versions() if pair.differentiated else {}
        return Report(tuple(runs), (), {}, {**environment(), **versions})


def check_op(
    forward: Callable[..., Any],
    backward: Any,
    *,
    reference: Op,
    dtypes: Sequence[Any] = DTYPES,
    seed: int = 0,
    width: int | Sequence[int] | None = None,
    shape: Sequence[Any] | None = None,
    fixed: Sequence[str] = (),
    allow: Sequence[str] = (),
    strict: bool = False,
    name: str = "",
) -> Report:
    """Check whether a user's forward and backward function compute an op and its gradient.

    The first checks hold for every op: shapes and dtypes, unchanged arguments, determinism, a zero
    cotangent, linearity in dz, independence of samples.  The others test the op's formulas: at
    random and special points, exactly at its kinks, with a batch of one, and on arrays that are not
    contiguous or are read-only.

    Parameters
    ----------
    forward, backward, reference, width, shape, fixed, allow, strict, name : as for `OwnOp`.
    dtypes : any of "float64", "float32", "tf32", "float16" and "bfloat16".
    seed : the seed of the numbers that the op is tested on.

    Returns
    -------
    Report : true exactly if every check passes; one run per check and dtype.

    Raises
    ------
    TypeError, ValueError, AdapterError : as for `OwnOp`, or an unknown dtype.  An exception of the
        functions themselves becomes a finding.

    >>> from gradparity.core import ReLU
    >>> def relu(y):
    ...     return np.maximum(y, 0)
    >>> bool(check_op(relu, lambda dz, y: dz * (y > 0), reference=ReLU()))
    True
    >>> report = check_op(relu, lambda dz, y: np.maximum(dz, 0) * (y > 0), reference=ReLU())
    >>> next(f.note for run, f in report.findings() if run.case == "linearity" and f.note)
    'backward(-dz) is not -backward(dz) at [...]: 0 and ...; it treats negative cotangents ...'
    """
    own = OwnOp(
        forward,
        backward,
        reference=reference,
        name=name,
        width=width,
        shape=shape,
        fixed=fixed,
        allow=allow,
        strict=strict,
    )
    reports = [check() for check in own.checks(dtypes, seed).values()]
    runs = [run for report in reports for run in report.runs]
    return replace(reports[0], runs=tuple(_told_once(runs)), skipped=own.skipped())


def _told_once(runs: Sequence[Run]) -> Iterator[Run]:
    """Leave out problems that the first check already reported."""
    seen: dict[tuple[str, str], str] = {}  # (dtype, note) -> the check that reported it
    for run in runs:
        findings = []
        for f in run.findings:
            known = next((c for (d, n), c in seen.items() if d == run.dtype and n in f.note), "")
            if known and known != run.case:
                f = replace(f, note=f"as in {known}")
            elif f.parity is not True and not f.bound and f.note:
                seen.setdefault((run.dtype, f.note), run.case)
            findings.append(f)
        yield replace(run, findings=tuple(findings))


def _with_exact_zeros(finding: Finding) -> Finding:
    """Count a gradient of zeros as exact, for an op whose gradient is zero by definition."""
    zero = finding.verdict is Verdict.VACUOUS and finding.quantity.is_gradient and not finding.error
    return replace(finding, verdict=Verdict.EXACT, note="") if zero else finding


def _worst_of_each(findings: Iterable[Finding]) -> list[Finding]:
    """The worst finding of each quantity; a vacuous one only if there is no other."""
    found: dict[str, Finding] = {}
    for finding in findings:
        kept = found.get(finding.quantity)
        if kept is None or _badness(finding) > _badness(kept):
            found[finding.quantity] = finding
    return list(found.values())


def _badness(finding: Finding) -> tuple[int, float]:
    if finding.verdict is Verdict.VACUOUS:
        return -1, 0.0
    if finding.parity is not True:
        return finding.verdict.badness, 0.0  # the first wrong one is reported
    badness = 0 if finding.declared else finding.verdict.badness
    return badness, finding.error / finding.bound if finding.bound else 0.0
