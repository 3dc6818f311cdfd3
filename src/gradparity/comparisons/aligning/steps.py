"""`align_steps`: do two trainings stay together, and at which step do they part?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ...core.arithmetic.arrays import NDArray
from ...core.arithmetic.received import received
from ...core.network.quantity import Quantity
from ..findings.finding import Finding, Verdict
from ..report.records import ALIGNED, Run, environment
from ..report.report import Report
from .align import align
from .digits import apart_in_words, times_in_words
from .lockstep import LOSS, Compared, Training, lockstep
from .parameters.mapping import ParameterMap
from .parameters.names import Names

__all__ = ["align_steps"]

#: What parted without a fault.
KINK = (
    "from the same parameters each step is the same; from their own they part at step {}, as where "
    "a kink or rounding that grows parts two correct programs"
)

#: A weight decay explains a difference but for `eps`, where it is among the gradients of Adam.
NEARLY_ALL = 1e-3
DECOUPLED = (
    "another weight decay, or one that is coupled, as in Adam, in one of the two, and decoupled, "
    "as in AdamW, in the other"
)
RATE = "another learning rate or momentum"
#: A factor that is as near to 1 is not that of another setting.
NEARLY_ONE = 1e-5
DIGITS = (
    "a learning rate that is computed in float32, or 1e-6 that is added to the norm by which "
    "gradients are clipped, in one of the two"
)
NORMS = (
    "gradients clipped by one norm of all in one of the two, and by a norm of each tensor in the "
    "other"
)
CLIPPED = (
    "gradients clipped before the weight decay is added in one of the two, and after it in the "
    "other, or with another learning rate and weight decay"
)
CHECK = "`check_optimizer` tells what is wrong with an optimizer, such as where eps is added"
#: A cause that a few signs of Adam's steps hide explains so much of a parameter, at least.
MOST = 0.75
LOST = "at step {}: it is not a finite number in both, so that nothing tells whether it is the same"
#: What is farther apart than rounding has driven the other runs, and not much.
NEARLY = (
    "it differs by {:.3g} roundings of its largest number, a fault or a form that loses digits; "
    "compare in float64, or `align` recordings of this step"
)


def align_steps(
    one: Callable[[], Any],
    other: Callable[[], Any],
    *,
    steps: int = 20,
    parameters: ParameterMap | Mapping[str, str] | None = None,
) -> Report:
    """Compare two trainings step by step: PyTorch and JAX, or before and after a change.

    Both make all steps from their own start.  How far they may be apart is measured: `one` is also
    run from starts in which every number is moved to one of its neighbours, and what is farther
    apart than these runs get is not rounding.  Where the two part, all is run once more, every step
    of `other` from the parameters of `one`: a kink that had parted them does not do so then, and is
    not accused; a step that is another one still is.

    Parameters
    ----------
    one, other : functions that start a training anew and return ``(parameters, step)``: arrays by
        name, or a pytree of JAX, and a function ``step(t, given)`` that makes step t (1, 2, ...),
        first setting its parameters to `given`, of the same form, unless that is None, and returns
        ``(loss, parameters)`` after it, or ``(loss, parameters, recording)``.  Running statistics
        and states of an optimizer may be among the parameters.
    steps : how many to make.
    parameters : which parameters of `other` those of `one` are: a map of `map_parameters`, or name
        -> name.  None: those of the same name.

    Returns
    -------
    Report with the loss and every parameter; where two recordings of the step at which they part
    are there, what `align` says of them, too.

    Raises
    ------
    TypeError, ValueError : an argument that does not fit, or something else is returned.

    >>> import gradparity as gp, numpy as np
    >>> def training(rate):
    ...     def make():
    ...         w = np.ones(3)
    ...         def step(t, given):
    ...             w[:] = w if given is None else given["w"]
    ...             loss = float((w**4).sum())
    ...             w[:] = w - (rate if t > 2 else 0.01) * 4 * w**3
    ...             return loss, {"w": w}
    ...         return {"w": w}, step
    ...     return make
    >>> gp.align_steps(training(0.01), training(0.01), steps=5).exit_code
    0
    >>> wrong = gp.align_steps(training(0.01), training(0.02), steps=5)
    >>> wrong.findings()[1][1].note
    'at step 3: it moves 2 times as far there, as with another learning rate or momentum'
    """
    for which, make in (("one", one), ("other", other)):
        if not callable(make):
            raise TypeError(
                f"align_steps: {which} is {received(make)}; give a function that returns "
                "(parameters, step)"
            )
    if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
        raise ValueError(f"align_steps: steps is {received(steps)}; give 1 or more")
    a, b = Training("one", one).values, Training("other", other).values
    names = Names(a, b, parameters)
    return _Steps(one, other, steps, parameters, names).report(_starts(names.moved(a), b))


def _starts(one: Mapping[str, NDArray], other: Mapping[str, NDArray]) -> list[str]:
    """The names of parameters and states that start from other numbers, beyond a cast."""
    return [
        name
        for name, a in one.items()
        if not np.array_equal(a.astype(other[name].dtype), other[name].astype(a.dtype))
        and not np.array_equal(a, other[name].astype(a.dtype))
    ]


class _Steps:
    def __init__(self, one: Any, other: Any, steps: int, parameters: Any, names: Names) -> None:
        self.one, self.other, self.steps, self.names = one, other, steps, names
        self.parameters = parameters

    def report(self, apart_at_start: list[str]) -> Report:
        """The answer: the start, the steps of both, and if they part, from the same parameters."""
        if apart_at_start:
            found = [self._finding(n, Verdict.MISMATCH, 1, "it starts from other numbers there")
                     for n in apart_at_start]  # fmt: skip
            return self._made(found, "the two start from other numbers")
        made = self._run(together=False)
        if any(c.lost for c in made):
            return self._lost(made)
        if not made[-1].apart:
            said = f"the two are the same for {self.steps} steps"
            return self._made(self._same(made), said)
        parted = made[-1].step
        made = self._run(together=True)
        if made[-1].surely:
            return self._parted(made[-1])
        if any(c.apart for c in made):
            return self._nearly(made)
        said = KINK.format(parted)
        return self._made(self._same(made, said), f"the two are the same: {said}")

    def _run(self, together: bool) -> list[Compared]:
        """The steps up to the first at which they part, surely if they are made together."""
        made = []
        for compared in lockstep(
            self.one,
            self.other,
            lambda a, b: Names(a, b, self.parameters),
            self.steps,
            together,
        ):
            made.append(compared)
            if compared.surely if together else compared.apart:
                break
        return made

    def _same(self, made: list[Compared], note: str = "") -> list[Finding]:
        found = []
        for name, a in made[0].one.items():
            silent = all(c.is_silent(name) for c in made)
            verdict = Verdict.VACUOUS if silent else Verdict.ROUNDING
            said = "rounding alone moves it as far as the steps do" if silent else note
            found.append(self._finding(name, verdict, a.size * len(made), said))
        return found

    def _lost(self, made: list[Compared]) -> Report:
        """The report where both have NaN, which are not the same nor others."""
        first = {n: c.step for c in reversed(made) for n in c.lost}
        found = [
            replace(f, verdict=Verdict.INCONCLUSIVE, note=LOST.format(first[name]))
            if name in first
            else f
            for f, name in zip(self._same(made), made[0].one, strict=True)
        ]
        name = min(first, key=lambda n: first[n])
        note = f"at step {first[name]}, {name!r} is not a finite number in both"
        return self._made(found, f"it is unknown whether the two are the same: {note}")

    def _nearly(self, made: list[Compared]) -> Report:
        """The report where a step differs by little more than rounding."""
        found, first = [], {n: c for c in reversed(made) for n in c.apart}
        for f, name in zip(self._same(made), made[0].one, strict=True):
            if name in first:
                c = first[name]
                note = f"at step {c.step}: {NEARLY.format(c.units(name))}"
                f = replace(f, verdict=Verdict.INCONCLUSIVE, note=note)
            found.append(f)
        note = next(f.note for f in found if f.verdict is Verdict.INCONCLUSIVE)
        return self._made(found, f"it is unknown whether the two are the same: {note}")

    def _parted(self, c: Compared) -> Report:
        """The report on the step at which they part, from the same parameters."""
        found, apart = [], c.apart
        first = Quantity.value(LOSS) if LOSS in apart else ""
        for name, a in c.one.items():
            if name not in apart:
                found.append(self._finding(name, Verdict.ROUNDING, a.size))
                continue
            said = f"at step {c.step}: {self._cause(c, name)}"
            follows = first if name != LOSS else ""
            found.append(self._finding(name, Verdict.MISMATCH, a.size, said, follows))
        wrong = [f for f in found if f.parity is False]
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        about = f"the two part {wrong[0].note.replace(': ', f', {wrong[0].node!r}: ', 1)}{more}"
        if c.recordings is None:
            return self._made(found, about)
        aligned = align(*c.recordings, parameters=self.parameters)
        report = self._made(found, f"{about}; {aligned.runs[0].about}")
        versions = {**report.environment, **aligned.environment}
        return Report((*report.runs, *aligned.runs), (), {}, versions, aligned.graphs)

    def _cause(self, c: Compared, name: str) -> str:
        """The cause of a difference, if a simple one explains it; its size otherwise."""
        if name == LOSS:
            n = self._other_batch(c)
            if n:
                return f"it is the loss of step {n} there: the data come in another order"
            here, there = apart_in_words(float(c.one[LOSS][0]), float(c.other[LOSS][0]), 9)
            return f"it is {here} here and {there} there from the same parameters"
        before, a, b = _moved(c, name)
        if not b.any():
            return "it does not change there"
        k = _factor(c, name)
        if k:
            said = f"it moves {times_in_words(k)} times as far there, "
            if _several(c):
                return f"{said}and others by other factors, as with {NORMS}"
            return f"{said}as with {DIGITS if abs(k - 1.0) < NEARLY_ONE else RATE}"
        k = _share(before, b - a)
        if k and _fits(k * before, b - a, c.bound[name]):
            return f"it moves by {k:.6g} times itself more there, as with another weight decay"
        if k and _fits(k * before, b - a, NEARLY_ALL * float(np.abs(b - a).max())):
            return f"it moves by {k:.4g} times itself more there, as with {DECOUPLED}"
        times, more = _two_shares(a, before, b)
        if times and _fits(times * a + more * before, b, c.bound[name] * max(1.0, abs(times))):
            said = f"it moves {times_in_words(times)} times as far there and by {more:.4g} times "
            cause = DIGITS if abs(times - 1.0) < NEARLY_ONE else CLIPPED
            return f"{said}itself more, as with {cause}"
        k, count = _mostly(before, b - a)
        if count:
            said = f"{count} of {b.size} elements move by {k:.4g} times themselves more there"
            return f"{said}, as with {DECOUPLED}"
        return f"it differs by up to {np.abs(b - a).max():.3g}; the step moves it by " \
               f"{np.abs(a).max():.3g}; {CHECK}"  # fmt: skip

    def _other_batch(self, c: Compared) -> int:
        """Another step of `other` that has this loss from the same parameters; 0 if none."""
        for n in range(1, self.steps + 1):
            if n != c.step:
                loss = Training("other", self.other).step(n, c.before).loss
                if _fits(loss, c.one[LOSS], c.bound[LOSS]):
                    return n
        return 0

    def _finding(
        self, name: str, verdict: Verdict, elements: int, note: str = "", follows: str = ""
    ) -> Finding:
        own = LOSS if name == LOSS else self.names.of[name]
        return Finding(
            Quantity.value(own), own, "steps", verdict, elements, note=note, follows=follows
        )

    def _made(self, found: list[Finding], about: str) -> Report:
        if self.names.alone:
            about += f"; not compared: {', '.join(self.names.alone)}"
        run = Run("one against other", "steps", ALIGNED, tuple(found), about=about)
        return Report((run,), (), {}, environment())


def _moved(c: Compared, name: str) -> tuple[NDArray, NDArray, NDArray]:
    """A parameter before the step, and how far it is moved in either training."""
    before, mine, theirs = (np.asarray(v[name], np.float64) for v in (c.before, c.one, c.other))
    return before, mine - before, theirs - before


def _factor(c: Compared, name: str) -> float:
    """How many times as far a parameter moves in the other training; 0 if it is not that."""
    _, a, b = _moved(c, name)
    k = _share(a, b)
    return k if _fits(k * a, b, c.bound[name] * max(1.0, abs(k))) else 0.0


def _several(c: Compared) -> bool:
    """Whether parameters move by factors that are not one."""
    found = []
    for name in c.apart:
        k = _factor(c, name) if name != LOSS else 0.0
        if k:
            found.append((k, c.bound[name] * max(1.0, abs(k)) / np.abs(_moved(c, name)[1]).max()))
    return any(abs(k - found[0][0]) > error + found[0][1] for k, error in found)


def _two_shares(a: NDArray, before: NDArray, b: NDArray) -> tuple[float, float]:
    """Return the factors of two arrays whose sum is nearest to another; 0 if they are too few."""
    columns = np.stack([a.ravel(), before.ravel()], axis=1)
    finite = np.isfinite(columns).all() and np.isfinite(b).all()
    if not finite or b.size < 2 * columns.shape[1] or np.linalg.matrix_rank(columns) < 2:
        return 0.0, 0.0
    (times, more), *_ = np.linalg.lstsq(columns, b.ravel(), rcond=None)
    return float(times), float(more)


def _mostly(of: NDArray, what: NDArray) -> tuple[float, int]:
    """The factor between most elements of two arrays, and of how many; 0 if there is none."""
    some = of != 0
    if not some.any():
        return 0.0, 0
    k = float(np.median(what[some] / of[some]))
    count = int((np.abs(what - k * of) <= NEARLY_ALL * np.abs(k * of))[some].sum())
    return (k, count) if k and count >= MOST * of.size else (0.0, 0)


def _share(of: NDArray, what: NDArray) -> float:
    """The factor that brings one array nearest to another."""
    size = float((of * of).sum())
    return float((of * what).sum()) / size if size else 0.0


def _fits(a: NDArray, b: NDArray, bound: float) -> bool:
    return bool((np.abs(a - b) <= bound).all())
