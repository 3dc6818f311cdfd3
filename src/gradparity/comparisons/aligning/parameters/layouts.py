"""List the forms of a parameter in another program: whole, split, packed, summed, in any order."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise, permutations, takewhile

import numpy as np

from ....core.arithmetic.arrays import NDArray
from ....core.formulas.op import Shape

__all__ = ["STACKED", "Layout", "Layouts", "Numbers", "Part", "alike", "kinship",
           "without_digits"]  # fmt: skip

#: Into how many parts a parameter may be split, or from how many packed.
PARTS = 4
#: The most layers or experts that are stacked in one array.
STACKED = 128
#: The orders of axes that frameworks have: (out, in) and (in, out), OIHW and HWIO.
USUAL = ((1, 0), (2, 3, 1, 0), (3, 2, 0, 1), (2, 1, 0), (2, 3, 4, 1, 0), (4, 3, 0, 1, 2))


@dataclass(frozen=True, eq=False)
class Numbers:
    """The numbers of a parameter, and marks that tell its elements from all others."""

    value: NDArray
    mark: NDArray

    @classmethod
    def drawn(cls, rng: np.random.Generator, a: NDArray) -> Numbers:
        """Random ones of the size of those recorded."""
        spread = max(float(np.std(a)), 0.1) if a.size else 0.1
        value = np.mean(a, dtype=np.float64) + spread * rng.standard_normal(a.shape)
        return cls(value, rng.standard_normal(a.shape))


@dataclass(frozen=True)
class Part:
    """One of `count` parts along an axis of a parameter, with its axes in another order."""

    name: str
    axis: int = 0
    count: int = 1
    index: int = 0

    def of(self, a: NDArray) -> NDArray:
        """The part of an array."""
        return np.split(a, self.count, self.axis)[self.index] if self.count > 1 else a

    def overlaps(self, other: Part) -> bool:
        """Whether both have elements in common."""
        cuts = (self.axis, self.count), (other.axis, other.count)
        return self.name == other.name and (cuts[0] != cuts[1] or self.index == other.index)


@dataclass(frozen=True)
class Layout:
    """A form that a parameter of the second program may have: parts of those of the first one.

    Attributes
    ----------
    order, mirrored : of the axes of each part.
    shape : of the whole.
    axis : along which several parts are packed; None if they are summed.
    own : without parts, the parameter's own numbers, which are a constant of the first program.
    shuffled : an axis of each part, and the order of its elements, as another flattening has them.
    """

    parts: tuple[Part, ...]
    order: tuple[int, ...]
    shape: Shape
    mirrored: tuple[int, ...] = ()
    axis: int | None = 0
    own: NDArray | None = field(default=None, compare=False)
    shuffled: tuple[int, tuple[int, ...]] | None = None

    def of(self, numbers: Mapping[str, Numbers]) -> Numbers:
        """Its numbers."""
        if self.own is not None:
            return Numbers(self.own, self.own)
        first = numbers[self.parts[0].name]
        value = self._array([part.of(numbers[part.name].value) for part in self.parts])
        if self.axis is None:
            return Numbers(value, self._array([first.mark, np.zeros_like(first.mark)]))
        return Numbers(value, self._array([p.of(numbers[p.name].mark) for p in self.parts]))

    def _array(self, parts: Sequence[NDArray]) -> NDArray:
        each = [np.flip(a, self.mirrored) if self.mirrored else a for a in parts]
        if self.shuffled is not None:
            axis, order = self.shuffled
            each = [np.take(a, order, axis) for a in each]
        each = [np.transpose(a, self.order) for a in each]
        if self.axis is None:
            return np.asarray(sum(each)).reshape(self.shape)
        shape = list(self.shape)
        if len(each) > 1:
            shape[self.axis] //= len(each)
        return np.concatenate([a.reshape(shape) for a in each], self.axis if shape else None
                              ).reshape(self.shape)  # fmt: skip

    @property
    def likeness(self) -> tuple[object, ...]:
        """A key that is equal for the layouts of corresponding parameters of different layers."""
        parts = [(without_digits(p.name), p.axis, p.count, p.index) for p in self.parts]
        return (*parts, self.order, self.mirrored, self.axis, self.shuffled)

    @property
    def is_plain(self) -> bool:
        """Whether it is one whole parameter, whose axes have other places at most."""
        is_whole = len(self.parts) == 1 and self.parts[0].count == 1
        return is_whole and not self.mirrored and self.shuffled is None


class Layouts:
    """The parameters of the first program, to list what one of the second may be.

    Parameters
    ----------
    numbers : by name.
    free : the names of those that may be used, in the order in which the program uses them.
    flattened : the shapes of what the program flattens.
    """

    def __init__(
        self, numbers: Mapping[str, Numbers], free: Sequence[str], flattened: Iterable[Shape] = ()
    ) -> None:
        self.numbers, self.free = numbers, free
        self.flattened: dict[int, list[tuple[int, ...]]] = {}
        for shape in dict.fromkeys(flattened):
            orders = self.flattened.setdefault(int(np.prod(shape)), [])
            orders += [order for order in _flattenings(shape) if order not in orders]

    def of(self, shape: Shape, taken: Sequence[Part]) -> list[Layout]:
        """All layouts that a parameter of this shape may have, the likeliest first."""
        position = {name: i for i, name in enumerate(self.free)}
        return sorted(self._all(shape, taken), key=lambda each: position[each.parts[0].name])

    def shuffled(self, shape: Shape, taken: Sequence[Part]) -> Iterator[Layout]:
        """The matrices that are applied to what the other program flattens in another order."""
        size = int(np.prod(shape))
        for part in _untaken([Part(n) for n in self.free], taken):
            own = self.numbers[part.name].value.shape
            if len(own) != 2 or int(np.prod(own)) != size:
                continue
            for axis, length in enumerate(own):
                for shuffle in self.flattened.get(length, ()):
                    for order, _ in _orders(own, shape):
                        yield Layout((part,), order, shape, shuffled=(axis, shuffle))

    def copies(self, shape: Shape, taken: Sequence[Part]) -> list[Layout]:
        """The matrices that are taken already, which the other program may have more than once."""
        whole = {part.name for part in taken if part.count == 1}
        arrays = {n: self.numbers[n].value for n in whole}
        size = int(np.prod(shape))
        each = [(n, a.shape) for n, a in arrays.items() if a.ndim > 1 and a.size == size]
        return [Layout((Part(n),), o, shape, m) for n, own in each for o, m in _orders(own, shape)]

    def _all(self, shape: Shape, taken: Sequence[Part]) -> Iterator[Layout]:
        size = int(np.prod(shape))
        wholes = [Part(n) for n in self.free if self.numbers[n].value.size == size]
        for part in _untaken([*wholes, *self._splits(size)], taken):
            own = part.of(self.numbers[part.name].value).shape
            for order, mirrored in _orders(own, shape):
                yield Layout((part,), order, shape, mirrored)
        yield from self._packed(shape, size, taken)
        yield from self._stacked(shape, size, taken)
        for one, two in pairwise(_untaken(wholes, taken)):
            if self.numbers[one.name].value.shape == self.numbers[two.name].value.shape:
                n = self.numbers[one.name].value.ndim
                yield Layout((one, two), tuple(range(n)), shape, axis=None)

    def _splits(self, size: int) -> Iterator[Part]:
        for n in self.free:
            own = self.numbers[n].value.shape
            for axis, length in enumerate(own):
                for count in range(2, PARTS + 1):
                    if length % count == 0 and self.numbers[n].value.size == count * size:
                        yield from (Part(n, axis, count, i) for i in range(count))

    def _packed(self, shape: Shape, size: int, taken: Sequence[Part]) -> Iterator[Layout]:
        for count in range(2, PARTS + 1):
            fitting = [Part(n) for n in self.free if self.numbers[n].value.size * count == size]
            fitting = _untaken(fitting, taken)
            for k in range(len(fitting) - count + 1):
                parts = tuple(fitting[k : k + count])
                shapes = {self.numbers[part.name].value.shape for part in parts}
                for axis, length in enumerate(shape):
                    if len(shapes) == 1 and length % count == 0:
                        part_shape = (*shape[:axis], length // count, *shape[axis + 1 :])
                        for order, mirrored in _orders(shapes.copy().pop(), part_shape):
                            yield Layout(parts, order, shape, mirrored, axis)

    def _stacked(self, shape: Shape, size: int, taken: Sequence[Part]) -> Iterator[Layout]:
        """One parameter of each of many layers, whose names differ by a number."""
        if len(shape) < 2 or not PARTS < shape[0] <= STACKED:
            return
        fitting = [Part(n) for n in self.free if self.numbers[n].value.size * shape[0] == size]
        layers: dict[str, list[Part]] = {}
        for part in _untaken(fitting, taken):
            layers.setdefault(without_digits(part.name), []).append(part)
        for parts in layers.values():
            if len(parts) == shape[0]:
                own = self.numbers[parts[0].name].value.shape
                for order, mirrored in _orders(own, (1, *shape[1:])):
                    yield Layout(tuple(parts), order, shape, mirrored)


def alike(one: str, other: str) -> tuple[int, int]:
    """How many words two names have in common, and how many initials, as `bh` and `bias_hh` do."""
    words = [re.split(r"[\W_]+", name.lower()) for name in (one, other)]
    initials = [w[0] if len(w) == 1 else "".join(part[:1] for part in w) for w in words]
    common, first = ((Counter(a) & Counter(b)).total() for a, b in (words, initials))
    return common, first


def kinship(
    names: tuple[str, str],
    order: tuple[int, ...],
    known: Iterable[tuple[tuple[str, str], tuple[int, ...]]],
) -> tuple[int, bool]:
    """How much speaks for an order of the axes of a parameter with these names in both programs.

    First the order of the parameter whose names end alike, such as that of another layer; and else
    that a parameter with one name, such as `weight`, has one layout.

    Parameters
    ----------
    known : such names and orders of other parameters.
    """
    own = [_words(name) for name in names]
    shared = 0
    for others, axes in known:
        if axes == order:
            each = (_ending(a, _words(b)) for a, b in zip(own, others, strict=True))
            shared = max(shared, min(each))
    is_same = order == tuple(range(len(order)))
    return shared, is_same == (own[0][-1:] == own[1][-1:])


def _words(name: str) -> list[str]:
    return [word for word in re.split(r"[\W_\d]+", name.lower()) if word]


def _ending(one: Sequence[str], other: Sequence[str]) -> int:
    """How many words at their ends two names have in common."""
    pairs = zip(reversed(one), reversed(other), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def without_digits(name: str) -> str:
    """The name without numbers, which is equal for corresponding parameters of layers."""
    return re.sub(r"\d+", "", name)


def _untaken(parts: Sequence[Part], taken: Sequence[Part]) -> list[Part]:
    return [part for part in parts if not any(part.overlaps(each) for each in taken)]


def _flattenings(shape: Shape) -> Iterator[tuple[int, ...]]:
    """The orders in which the elements of an array come if its axes are flattened in another."""
    index = np.arange(int(np.prod(shape))).reshape(shape)
    own = tuple(range(index.size))
    for axes in permutations(range(len(shape))):
        order = tuple(map(int, index.transpose(axes).ravel()))
        if order != own:
            yield order


def _orders(own: Shape, shape: Shape) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """(order, mirrored axes) of the axes with which an array has a shape; any if none has."""
    n = len(own)
    if n > 5:
        return
    each = sorted(permutations(range(n)), key=lambda order: order not in USUAL)
    wanted = [k for k in shape if k != 1]
    fitting = [o for o in each if [own[i] for i in o if own[i] != 1] == wanted]
    for order in fitting or (each if n < 4 else each[:1]):
        yield order, ()
    if n > 2:
        for order in fitting:
            yield order, tuple(range(2, n))
