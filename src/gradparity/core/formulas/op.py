"""The contract of an op: a hand-derived pair of formulas, its kinks, and what is valid there.

The letters are the lecture's: an op takes values ``y`` and gives ``z``; the gradient of the loss
arrives as ``dz`` and leaves as one gradient per input.  Parameters are inputs too, the last ones,
which a network may own.  Values are whole arrays of any shape; axis 0 is the batch by habit only.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeAlias

import numpy as np

from ..arithmetic.arrays import Array, NDArray, moved, moved_back
from .choices import Choice, Kink, Slopes, Ties

__all__ = [
    "Activation",
    "Compound",
    "Kinked",
    "Movement",
    "Op",
    "Shape",
    "attributes",
]

Shape: TypeAlias = tuple[int, ...]


def attributes(thing: Any) -> dict[str, Any]:
    """The arguments that an op was made with, by name; it need not be a dataclass."""
    slots = (getattr(kind, "__slots__", ()) for kind in reversed(type(thing).__mro__))
    names = [name for slot in slots for name in ([slot] if isinstance(slot, str) else slot)]
    kept = {name: getattr(thing, name) for name in names if hasattr(thing, name)}
    return kept | getattr(thing, "__dict__", {})


class Op:
    """One formula pair.  Subclasses are frozen dataclasses, so an op is a value.

    `forward` and `vjp` must be written with the NumPy functions that `Bounded` supports, must not
    write in place, and must return the dtype they are given.  Anybody may write a subclass:
    docs/how-to/own-op.md shows how.

    >>> class Cube(Op):
    ...     def forward(self, y):
    ...         return y**3
    ...     def vjp(self, dz, y, z):
    ...         return (dz * (3 * y[0] ** 2),)
    >>> Cube().vjp(np.ones((1, 1)), (np.full((1, 1), 2.0),), np.full((1, 1), 8.0))
    (array([[12.]]),)
    """

    #: How many values the op takes before its parameters; None means two or more.
    n_inputs: ClassVar[int | None] = 1
    #: Names of its outputs: values "a.h" and "a.c" at a node "a"; the empty one is the node itself.
    outputs: ClassVar[tuple[str, ...]] = ("",)
    #: Further outputs, which have no gradient, such as running statistics.
    states: ClassVar[tuple[str, ...]] = ()
    #: Whether its first input holds integers, such as the indices of an embedding.
    integers: ClassVar[bool] = False
    #: Those of its parameters that have no gradient.
    buffers: ClassVar[tuple[str, ...]] = ()
    #: Whether each element of its result depends on one element alone, in a formula without sums.
    elementwise: ClassVar[bool] = False
    #: Whether its formula is a function that a user gives, which others may have multiplied out.
    given: ClassVar[bool] = False
    #: About how many ops lie inside it one after another; the smallest fault that float32 shows is
    #: so many times larger than that of one op.
    ops_inside: ClassVar[int] = 1

    def __repr__(self) -> str:
        given = (f"{name}={value!r}" for name, value in attributes(self).items())
        return f"{self.name}({', '.join(given)})"

    @property
    def name(self) -> str:
        """The name of its class."""
        return type(self).__name__

    @property
    def random(self) -> bool:
        """Whether its last input is a draw of random numbers; see `sample` and `draw`."""
        return False

    def parameter_shapes(self) -> dict[str, Shape]:
        """Shape of each parameter and buffer by its letter: the trailing inputs, in this order."""
        return {}

    def output_shape(self, *shapes: Shape) -> Any:
        """Shape of the output for those of all inputs; a tuple of shapes where there are several.

        Raises
        ------
        ValueError : the shapes do not fit; the message names them.
        """
        return shapes[0]

    def forward(self, *y: Array) -> Any:
        """The value z, or a tuple with one entry per output and state."""
        raise self._unwritten("forward(self, *y)")

    def vjp(self, dz: Any, y: tuple[Array, ...], z: Any) -> tuple[Any, ...]:
        """One gradient per input, linear in dz; None for an input that has none.

        Parameters
        ----------
        dz : the gradient of the loss by the output, or one per output, zeros for an unused one.
        y : all inputs.
        z : what `forward` returned for them.
        """
        raise self._unwritten("vjp(self, dz, y, z)")

    def vjp_parameters(self, dz: Any, y: tuple[Array, ...], z: Any) -> tuple[Any, ...]:
        """The gradients by the parameters alone: all that the first layer needs in training."""
        return self.vjp(dz, y, z)[len(y) - len(self.parameter_shapes()) :]

    def _unwritten(self, formula: str) -> NotImplementedError:
        return NotImplementedError(
            f"{self.name} has no formula {formula.partition('(')[0]}; write {formula}, as "
            "docs/how-to/own-op.md shows"
        )

    def subdifferential(self, y: tuple[NDArray, ...], tiny: float) -> Choice | None:
        """The elements at which the op is not differentiable, and the gradients valid there.

        Numbers below `tiny`, the smallest normal number, count as zero: XLA flushes them.
        """
        return None

    @property
    def hides(self) -> bool:
        """Whether it puts infinities where it hides elements, which are no overflow then."""
        return False

    @property
    def zero_gradient(self) -> bool:
        """Whether its gradient is zero by definition, as that of a step function is."""
        return False

    @property
    def thresholds(self) -> tuple[float, ...]:
        """Sizes of an element, or of a norm, at which the formula changes, other than 0."""
        return ()

    def reaching(self, dz: Any, y: tuple[Array, ...]) -> Array:
        """The factors of dz that multiply `Slopes`, in the shape of the input that has them."""
        return dz

    def unexercised(self, y: tuple[NDArray, ...]) -> str:
        """Describe what these inputs never exercise; "" if there is nothing to say."""
        has_ties = self.routes_of(y) is not None
        return "ties did not occur" if has_ties and not self.subdifferential(y, 0.0) else ""

    def routes(self, *shapes: Shape) -> Ties | None:
        """Every route by which a maximum may send a gradient: all inputs of all groups."""
        return None

    def routes_of(self, y: tuple[NDArray, ...]) -> Ties | None:
        """The same for these inputs, whose integers may say which inputs a group has."""
        return self.routes(*(a.shape for a in y))

    def sample(self, *y: Array) -> Array:
        """The draw that this package itself uses: the last input of a random op."""
        raise self._unwritten("sample(self, *y)")

    def draw(self, y: tuple[Array, ...], z: Any) -> Array:
        """The draw that an implementation must have used to get z from the other inputs."""
        raise self._unwritten("draw(self, y, z)")

    def initial(self, letter: str, rng: np.random.Generator, shape: Shape) -> NDArray:
        """Numbers for a parameter of a random case: of variance 2 / n_in for a matrix."""
        fan_in = shape[0] if len(shape) == 2 else math.prod(shape[1:])
        drawn: NDArray = rng.standard_normal(shape)
        return drawn * (math.sqrt(2 / fan_in) if len(shape) > 1 else 0.1)

    def sample_integers(self, rng: np.random.Generator, shape: Shape) -> NDArray:
        """Integers that its first input may hold, to test it on: by default 0 and 1."""
        return rng.integers(0, 2, shape)

    def check_integers(self, y: NDArray) -> None:
        """Raises ValueError where its first input holds integers that it is not defined for."""

    def check_parameter(self, letter: str, name: str, p: NDArray) -> None:
        """Raises ValueError where a parameter holds numbers that the op is not defined for.

        The message starts with `name`, the parameter's in its network.
        """

    def hidden_rows(self, *y: NDArray) -> NDArray | None:
        """True where a softmax has no finite input, so that the formula is 0/0; None without one.

        The array has the axes of the softmax's result but the one it runs along.
        """
        return None

    def without_value(self, *y: NDArray) -> str:
        """Describe where the formula has no finite value for these inputs; "" if unknown."""
        return ""

    def native_function(self, framework: str) -> Callable[..., Any] | None:
        """The op's own function of a framework's values, or None where it has none.

        ``z = f(*y, *parameters)``, the parameters in the order of `parameter_shapes` and in the
        lecture's layout.  The framework differentiates it.  Adapters ask it before they look for a
        layer of their own; `framework` is the adapter's: "torch", "jax", ...

        >>> Op().native_function("torch") is None
        True
        """
        return None


class Movement(Op):
    """An op that rearranges elements: `move`, and its adjoint `move_back`, both on plain arrays."""

    #: What stands in new places.
    fill: float = 0.0

    def move(self, a: NDArray, fill: float) -> NDArray:
        """The rearranged array, with `fill` where no element comes from the input."""
        raise self._unwritten("move(self, a, fill)")

    def move_back(self, dz: NDArray, shape: Shape) -> NDArray:
        """Every element back where it came from, in the input's shape; several add up."""
        raise self._unwritten("move_back(self, dz, shape)")

    def output_shape(self, *shapes: Shape) -> Shape:
        return self.move(np.broadcast_to(np.float32(0), shapes[0]), 0.0).shape

    def forward(self, *y: Array) -> Array:
        return moved(y[0], self.move, self.fill)

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array, ...]:
        return (moved_back(dz, lambda a: self.move_back(a, y[0].shape)),)


class Activation(Op):
    """An op on one value: ``y = f(z)`` and ``dz = df(dy, z, y)``, in the letters of section 2."""

    def f(self, z: Array) -> Array:
        """The value y."""
        raise self._unwritten("f(self, z)")

    def df(self, dy: Array, z: Array, y: Array) -> Array:
        """dDiv/dz, given dy = dDiv/dy, what came in and what went out."""
        raise self._unwritten("df(self, dy, z, y)")

    def forward(self, *y: Array) -> Array:
        return self.f(y[0])

    def vjp(self, dz: Array, y: tuple[Array, ...], z: Array) -> tuple[Array, ...]:
        return (self.df(dz, y[0], z),)


@dataclass(frozen=True)
class Kinked(Activation):
    """A scalar activation with kinks; ``subgradient`` names the element it takes there.

    Parameters
    ----------
    subgradient : "right" or "left" for that one-sided slope, or the slope itself, which must lie in
        the subdifferential.  For ReLU, "right" is the lecture's equation (1 at 0) and "left" the
        choice of the frameworks' `relu` (0).
    """

    elementwise: ClassVar[bool] = True

    subgradient: float | str = field(default="right", kw_only=True)

    def __post_init__(self) -> None:
        for kink in self.kinks:
            (low, high), given = kink.interval, self.subgradient
            real = isinstance(given, int | float | np.integer | np.floating)
            if real and low <= given <= high:  # type: ignore[operator]
                # A NumPy scalar would force its own dtype on the formula.
                object.__setattr__(self, "subgradient", float(given))
            elif not isinstance(given, str) or given not in ("left", "right"):
                raise ValueError(
                    f"{self.name}(subgradient={self.subgradient!r}): at {kink.at:g} give 'left' "
                    f"({kink.left:g}), 'right' ({kink.right:g}) or a number in [{low:g}, {high:g}]"
                )

    @property
    def kinks(self) -> tuple[Kink, ...]:
        """The points where the one-sided slopes differ."""
        raise NotImplementedError

    @property
    def thresholds(self) -> tuple[float, ...]:
        return tuple(abs(kink.at) for kink in self.kinks if kink.at)

    def slope(self, dy: Array, z: Array, y: Array) -> Array:
        """dDiv/dz away from the kinks, and with the left slope at them."""
        raise NotImplementedError

    def df(self, dy: Array, z: Array, y: Array) -> Array:
        dz = self.slope(dy, z, y)
        for kink in self.kinks:
            if self.taken_at(kink) != kink.left:  # `slope` takes the left one
                dz = np.where(z == kink.at, self.taken_at(kink) * dy, dz)
        return dz

    def taken_at(self, kink: Kink) -> float:
        """The slope this op takes at the kink."""
        if isinstance(self.subgradient, str):
            return kink.left if self.subgradient == "left" else kink.right
        return self.subgradient

    def unexercised(self, y: tuple[NDArray, ...]) -> str:
        ends = sorted(kink.at for kink in self.kinks)
        if not ends or not y[0].size:
            return ""
        below = [] if (y[0] < ends[0]).any() else [f"below {ends[0]:g}"]
        above = [] if (y[0] > ends[-1]).any() else [f"above {ends[-1]:g}"]
        sides = " or ".join(below + above)
        return f"no input is {sides}" if sides else ""

    def subdifferential(self, y: tuple[NDArray, ...], tiny: float) -> Slopes | None:
        z = y[0]
        met = [(kink, np.abs(z) < tiny if kink.at == 0.0 else z == kink.at) for kink in self.kinks]
        if not any(here.any() for _, here in met):
            return None
        at = np.any([here for _, here in met], axis=0)
        low: Any = sum(np.where(here, kink.interval[0], 0.0) for kink, here in met)
        high: Any = sum(np.where(here, kink.interval[1], 0.0) for kink, here in met)
        return Slopes(at, low, high)


class Compound:
    """An op with an inner kink, expanded into ops so that each is judged on its own."""

    def chain(self) -> tuple[tuple[str, Op], ...]:
        """(suffix of the node's name, op) in order; the last suffix is empty."""
        raise NotImplementedError

    def graph(self) -> tuple[tuple[str, Op, tuple[int | str, ...]], ...]:
        """The same with what each op takes: inputs of the node by number, others by their suffix.

        By default, the first op takes the first input, and each takes the result before it.
        """
        chain = self.chain()
        before: tuple[int | str, ...] = (0, *(suffix for suffix, _ in chain))
        return tuple((suffix, op, (y,)) for (suffix, op), y in zip(chain, before, strict=False))
