"""The numbers an op is tested on: random, special, and exactly at its kinks."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import wraps
from typing import Any, TypeVar, cast

import numpy as np

from ...core import Case, Kinked, Op
from ...core.arithmetic.arrays import NDArray, split
from ...core.arithmetic.precision import Precision
from ...core.arithmetic.rounding import Rounding
from ...core.formulas.op import Shape
from ...core.network.contract import sampled_integers
from ...core.network.quantity import Quantity
from ..cases.points import POINTS, whole_range
from .setting import Setting, network_of

__all__ = ["PARTS", "SOME", "Points"]

#: The built-in points, and one at which the exponential overflows in float64.
SPECIAL = (*POINTS, 800.0)
#: Sizes of batches: few of them, because a framework may compile for each.
SOME, MANY = 7, len(SPECIAL) + 8
#: The largest batch.
LARGE = 64
#: At this distance an op without a kink has about the same gradient.
NEAR = 2.0**-40
#: Numbers below this are ordinary even where their squares overflow, as in float16.
SQUARE = 1e4
#: The parts that a batch is split into.
PARTS = (slice(0, 1), slice(1, 3), slice(3, SOME))
#: Maximum number of redraws until the first sample has a nonzero gradient (or hits a kink).
TRIES = 50


Made = TypeVar("Made")
#: Sizes of samples in units of a threshold.
AROUND = (0.3, 0.8, 0.99, 1.01, 1.5, 3.0)


def kept(make: Callable[..., Made]) -> Callable[..., Made]:
    """Cache the result, because many checks use the same settings and their reference values."""

    @wraps(make)
    def once(self: Points, *arguments: Any) -> Made:
        key = make.__name__, *arguments
        if key not in self.made:
            self.made[key] = make(self, *arguments)
        return cast(Made, self.made[key])

    return once


class Points:
    """Settings of one op: float64 numbers in which the op is finite in `precision` too."""

    def __init__(
        self,
        op: Op,
        shapes: Sequence[Shape],
        precision: Precision,
        seed: int,
        fixed: Sequence[str] = (),
    ) -> None:
        self.op, self.precision, self.seed = op, precision, seed
        self.shapes, self.network = tuple(shapes), network_of(op, len(shapes), fixed)
        #: Of the inputs of floats, which are the columns of one array x.
        self.widths = tuple(map(math.prod, shapes[int(op.integers) :]))
        self.width = sum(self.widths)
        self.made: dict[Any, Any] = {}
        self.square = min(max(3, math.prod(shapes[0])), LARGE)

    @kept
    def random(self, T: int = SOME, draw: int = 0) -> Setting:
        """Normal inputs and weights of T samples; the first sample has a nonzero gradient."""
        where = f"at random points, {T} sample{'s' if T > 1 else ''}"
        for i in range(TRIES):
            rng = np.random.default_rng((self.seed, T, draw, i))
            found = self._setting(rng, self._reaching * rng.standard_normal((T, self.width)), where)
            edges = [edge for name, edge in found.step.taken if name in found.inputs]
            if all(np.any(found.core.edge_grad[edge][0]) for edge in edges if edge):
                break
        return found

    @kept
    def special(self) -> Setting:
        """Zeros of both signs, kinks, saturation and tiny numbers, among random ones."""
        rng = np.random.default_rng((self.seed, 1))
        n = len(SPECIAL)
        x = rng.standard_normal((MANY, self.width)) * rng.choice([1.0, 5.0, 30.0], (MANY, 1))
        x[:n] = rng.permutation(np.resize(SPECIAL, n * self.width)).reshape(n, self.width)
        x = np.concatenate([x, *self._around_thresholds(rng)])
        return self._setting(rng, self._apart(x, rng), "at special points")

    @property
    def _reaching(self) -> float:
        """A factor that takes normal numbers beyond every threshold of the op."""
        return max(1.0, 1.5 * max(self.op.thresholds, default=0.0))

    @property
    def _beyond(self) -> list[float]:
        """Numbers beyond the thresholds that small whole numbers do not reach."""
        return [sign * 2 * t for t in self.op.thresholds if t > 1 for sign in (-1.0, 1.0)]

    def _around_thresholds(self, rng: np.random.Generator) -> Iterator[NDArray]:
        """Samples whose largest element, or whose norm, is below or above a threshold."""
        for t in self.op.thresholds:
            x = rng.standard_normal((len(AROUND), self.width))
            factors = t * np.array(AROUND)[:, np.newaxis]
            yield factors * x / np.abs(x).max(axis=1, keepdims=True)
            yield factors * x / np.linalg.norm(x, axis=1, keepdims=True)

    @kept
    def whole_range(self) -> tuple[Setting, ...]:
        """Settings over the whole range of the dtype; none if the op is not elementwise.

        The last has the numbers whose square overflows, and smaller ones.  Points at which the op
        has no finite value or gradient in this precision are left out.
        """
        first = self.random(2)
        one_input = len(self.shapes) == 1 and not self.op.parameter_shapes()
        if not one_input or not first.is_elementwise((0,) * first.y[0].ndim):
            return ()
        z = whole_range(self.precision)
        z = z[~self._lost(self._at_points(z)).ravel()[: z.size]]
        square = max(SQUARE, 0.25 * math.sqrt(self.precision.largest))
        # A gradient may underflow at all of the large numbers; at those of half their digits it is
        # seen whether its errors have one factor.
        near, far = z[np.abs(z) < square], z[np.abs(z) >= math.sqrt(square)]
        far = far if np.any(np.abs(far) >= square) else far[:0]
        return tuple(self._at_points(part) for part in (near, far) if part.size)

    def _at_points(self, z: NDArray) -> Setting:
        """These numbers, repeated to fill whole samples."""
        rng = np.random.default_rng((self.seed, 7))
        x = np.resize(z, (-(-z.size // self.width), self.width))
        return self._settings(rng, len(x), "over the whole range of the dtype")(x)

    def _apart(self, x: NDArray, rng: np.random.Generator) -> NDArray:
        """Make all inputs differ, because ops may have kinks at equal inputs without saying so."""
        inputs = np.split(x, np.cumsum(self.widths)[:-1], axis=1)
        for i, y in enumerate(inputs):
            for other in (o for o in inputs[:i] if o.shape == y.shape):
                y[...] = np.where(y == other, rng.standard_normal(y.shape), y)
        return np.concatenate(inputs, axis=1)

    @kept
    def kinks(self) -> Setting | None:
        """Small whole numbers and the exact kinks; None if the op has no kink there."""
        rng = np.random.default_rng((self.seed, 2))
        whole = [-2.0, -1.0, 0.0, -0.0, 1.0, 2.0, *self._at * 3, *self._beyond]
        x = rng.choice(whole, (MANY, self.width))
        x[0], x[1] = 0.0, -0.0
        found = self._setting(rng, x, "at kinks")
        return found if self._has_kinks(found) else None

    @kept
    def few_at_kinks(self) -> Setting | None:
        """A few samples at kinks: zeros, then none below zero, then none above it.

        A mean, sum or maximum over samples then differs in sign between the parts and the whole.
        """
        found = None
        for i in range(TRIES):
            rng = np.random.default_rng((self.seed, 5, i))
            whole = [0.0, 0.0, 1.0, 2.0, *self._at * 2, *self._beyond]
            drawn = rng.choice(whole, (SOME, self.width))
            sign = np.where(np.arange(SOME) < PARTS[-1].start, 1.0, -1.0)[:, None]
            x = sign * np.abs(drawn)
            x[0] = 0.0
            here = self._setting(rng, x, "at kinks")
            found = here if self._has_kinks(here) else found
            if found and all(self._has_kinks(here.rows(rows)) for rows in PARTS):
                break
            if i > 2 and found is None:  # the op has no kinks
                break
        return found

    @kept
    def zero_parameters(self) -> list[Setting]:
        """Settings with some, then all parameters 0 or -0, if the op is differentiable there."""
        usual = self.random()
        case, rng = usual.case, np.random.default_rng((self.seed, 6))
        trained = {n: p for n, p in case.params.items() if n in self.network.trained}
        zero = {name: rng.choice([0.0, -0.0], np.shape(p)) for name, p in trained.items()}
        some = {name: rng.random(np.shape(p)) < 0.5 for name, p in trained.items()}
        every = {name: np.ones(np.shape(p), bool) for name, p in trained.items()}
        found = []
        for said, chosen in (("some", some), ("all", every)):

            def put(h: float, chosen: Any = chosen, said: str = said) -> Setting:
                params = {n: np.where(chosen[n], zero[n] + h, p) for n, p in trained.items()}
                params = {**case.params, **params}
                where = f"with {said} parameters zero"
                return Setting(Case(self.network, params, case.inputs, case.d), where)

            if trained and self._differentiable(put(0.0), put(NEAR), put(-NEAR)):
                found.append(put(0.0))
        return found

    @kept
    def equal_inputs(self) -> Setting | None:
        """A setting with equal inputs, if the op has several and is differentiable there."""
        usual = self.random()
        n = len(usual.inputs)
        if n < 2 or len({usual.arguments[y].shape for y in usual.inputs}) > 1:
            return None
        first = usual.arguments[usual.inputs[0]]

        def put(h: float) -> Setting:
            equal = dict.fromkeys(usual.inputs, first) | {usual.inputs[0]: first * (1 + h)}
            inputs = {**usual.case.inputs, **equal}
            case = Case(self.network, usual.case.params, inputs, usual.case.d)
            return Setting(case, "with equal inputs")

        return put(0.0) if self._differentiable(put(0.0), put(NEAR), put(-NEAR)) else None

    @kept
    def constant(self) -> list[Setting]:
        """Samples of equal numbers, as padding is, and equal samples, if the op is differentiable.

        A variance is 0 there, and every probability the same.
        """
        rng = np.random.default_rng((self.seed, 8))
        drawn, aside = rng.standard_normal((2, SOME, self.width))
        within = np.repeat([[0.0], [1.0], *rng.standard_normal((SOME - 3, 1))], self.width, axis=1)
        within = np.concatenate([within, drawn[:1]])
        found = []
        for x, what in ((within, "numbers in a sample"), (drawn[:1].repeat(SOME, 0), "samples")):
            put = self._settings(np.random.default_rng((self.seed, 9)), SOME, f"with equal {what}")
            here, *near = (put(x + h * aside) for h in (0.0, NEAR, -NEAR))
            found += [here] * self._differentiable(here, *near)
        return found

    def _differentiable(self, here: Setting, *near: Setting) -> bool:
        """Whether the formulas are finite here, with the same gradient on either side."""
        rounding = Rounding.of(self.precision)
        with np.errstate(all="ignore"):
            bounds = here.bounds(rounding)
            finite = all(
                np.all(np.abs(want.value) + want.full_error() < rounding.largest)
                for want in bounds.values()
            )
            return finite and all(
                np.allclose(there[name].value, want.value)
                for there in (setting.bounds(rounding) for setting in near)
                for name, want in bounds.items()
            )

    @property
    def _at(self) -> list[float]:
        """The kinks that this precision represents exactly."""
        at = [kink.at for kink in self.op.kinks] if isinstance(self.op, Kinked) else []
        return [a for a in at if float(self.precision.round(a)) == a]

    def _has_kinks(self, setting: Setting) -> bool:
        return self.op.subdifferential(setting.y, self.precision.tiny) is not None

    def _named(self, x: NDArray, integers: Sequence[NDArray]) -> dict[str, NDArray]:
        """The inputs by name: integers, and the columns of x."""
        arrays = [*integers, *split(x, self.widths, 1)]
        named = zip(self.network.inputs, arrays, self.shapes, strict=True)
        return {name: a.reshape(len(x), *shape) for name, a, shape in named}

    def _setting(self, rng: np.random.Generator, x: NDArray, where: str) -> Setting:
        return self._finite(self._settings(rng, len(x), where), x, rng)

    def _settings(
        self, rng: np.random.Generator, T: int, where: str
    ) -> Callable[[NDArray], Setting]:
        """Settings of T samples that differ in x alone."""
        shapes = self.network.parameter_shapes.items()
        params = {name: self._parameter(rng, name, shape) for name, shape in shapes}
        given = {n: (T, *s) for n, s in zip(self.network.inputs, self.shapes, strict=True)}
        integers = [
            sampled_integers(self.op, rng, given[name])
            for name in self.network.inputs[: int(self.op.integers)]
        ]
        shape = self.network.shapes(given)[self.network.output]
        d = rng.choice([-1.0, 1.0], shape) * rng.uniform(0.5, 1.5, shape)

        def setting(x: NDArray) -> Setting:
            return Setting(Case(self.network, params, self._named(x, integers), d), where)

        return setting

    def _parameter(self, rng: np.random.Generator, name: str, shape: Shape) -> NDArray:
        """Random numbers for a parameter; those of a vector are larger than in a random case."""
        if type(self.op).initial is Op.initial and len(shape) < 2:
            drawn: NDArray = 0.5 * rng.standard_normal(shape)
            return drawn
        letter = next(k for k, full in self.network.body[0].parameters.items() if full == name)
        return self.op.initial(letter, rng, shape)

    def _finite(
        self, setting: Callable[[NDArray], Setting], x: NDArray, rng: np.random.Generator
    ) -> Setting:
        """Replace numbers at which the op has no finite value or gradient in this precision.

        A logarithm of a negative number, or an overflow, does not test anybody's code.
        """
        for other, rows in self._others(x, rng):
            found = setting(x)
            lost = self._lost(found)
            if not lost.any():
                return found
            x = np.where(lost.any(axis=-1, keepdims=True) if rows else lost, other, x)
        found = setting(x)
        if self._lost(found).any():
            raise ValueError(
                f"{self.op!r} gives no finite numbers in {self.precision.name} even for inputs "
                "between 0 and 1; give reference= an op that does"
            )
        return found

    @staticmethod
    def _others(x: NDArray, rng: np.random.Generator) -> Iterator[tuple[NDArray, bool]]:
        """Replacements to try in turn, and whether to replace whole rows."""
        yield np.abs(x), False
        yield rng.standard_normal(x.shape), False
        yield rng.standard_normal(x.shape), True
        yield rng.uniform(0.05, 0.95, x.shape), True

    def _lost(self, setting: Setting) -> NDArray:
        """A mask of the numbers in x, (T, D_0), for which a quantity is not finite."""
        rounding = Rounding.of(self.precision)
        lost = np.zeros((setting.case.T, self.width), dtype=bool)
        values = map(Quantity.value, setting.z_shapes)
        by_row = {*values, *map(Quantity.grad, setting.inputs)}
        with np.errstate(all="ignore"):
            for name, want in setting.bounds(rounding).items():
                bad = ~(np.abs(want.value) + want.full_error() < rounding.largest)
                if name in by_row and bad.shape[:1] != lost.shape[:1]:  # not one row per sample
                    lost |= bad.any()
                elif name in by_row:
                    bad = bad.reshape(len(bad), -1)
                    alone = bad.shape == lost.shape and name != Quantity.grad("y1")
                    lost |= bad if alone else bad.any(axis=-1, keepdims=True)
        return lost
