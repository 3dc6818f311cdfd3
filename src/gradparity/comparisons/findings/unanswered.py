"""Functions without an answer, read from the lines in which an atlas keeps them.

A line is "adapter: function, mode format: reason".  A function that did not return or ended its
process has no mode, because none of its modes was measured; it may also have no format.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from .layout import grouped

__all__ = ["Reasons", "answers_again", "by_reason", "covers", "no_answers", "no_longer", "reasons"]

#: Mode and format, such as "reverse float32" -> the reason.
Reasons = Mapping[str, str]


def reasons(lines: Sequence[str], adapter: str, function: str) -> Reasons:
    """Where a function has no answer, and why.

    >>> reasons(["a: f(x), reverse float32: no", "a: f(x), g(x), float16: no"], "a", "f(x)")
    {'reverse float32': 'no'}
    """
    found = dict[str, str]()
    for line in lines:
        for end in (", ", ": "):
            if line.startswith(start := f"{adapter}: {function}{end}"):
                rest = line.removeprefix(start)
                where, _, why = rest.partition(": ") if end == ", " else ("", "", rest)
                if "(" not in where and "," not in where:
                    found[where] = why
    return found


def covers(one: str, other: str) -> bool:
    """Whether there is no answer at the second place where there is none at the first.

    >>> covers("float32", "reverse float32"), covers("reverse float32", "float32")
    (True, False)
    """
    return not one or one == other or other.endswith(f" {one}")


def no_longer(before: Reasons, after: Reasons) -> Reasons:
    """The places that have no answer any more."""
    return {w: why for w, why in after.items() if not any(covers(b, w) for b in before)}


def answers_again(before: Reasons, after: Reasons) -> Reasons:
    """The places that had no answer and have one now."""
    return {
        w: why for w, why in before.items()
        if not any(covers(w, a) or covers(a, w) for a in after)
    }  # fmt: skip


def no_answers(lines: Sequence[str]) -> Iterator[str]:
    """Lines as text, those of one function and reason together.

    >>> [*no_answers(["a: f(x), float32: no", "a: f(x), float16: no"])]
    ['  a: f(x), float32, float16: no']
    """
    parts = [_parts(line) for line in lines]
    for (who, why), places in grouped(((who, why), where) for who, where, why in parts).items():
        yield f"  {', '.join([who, *filter(None, places)])}: {why}"


def _parts(line: str) -> tuple[str, str, str]:
    """The function with its adapter, the place and the reason; no place if it cannot be told."""
    adapter, _, rest = line.partition(": ")
    named, _, why = rest.partition(": ")
    function, _, where = named.rpartition(", ")
    if function and not {*"()[]"} & {*where}:
        return f"{adapter}: {function}", where, why
    return f"{adapter}: {named}", "", why


def by_reason(found: Reasons) -> Iterator[tuple[str, str]]:
    """Each reason, with the places that share it as text."""
    for why, places in grouped((why, where) for where, why in found.items()).items():
        yield why, f" in {', '.join(places)}" if any(places) else ""
