"""Run many cases a group at a time; frameworks that compile do so while others are judged."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from typing import Any

from ...core.network.case import Case
from .implementations import Outcome, outcomes

__all__ = ["run_in_groups"]

#: A group, of which JAX makes one program, has at most so many cases, and nodes and numbers in all
#: its networks, unless it is a single case.
CASES, NODES, NUMBERS = 16, 64, 2**22
#: Groups that an adapter compiles at the same time, and those begun before they are judged.
AT_ONCE, AHEAD = 2, 8

Group = Sequence[Case]


def run_in_groups(
    implementation: Any, cases: Iterable[Sequence[Case]], device: str | None
) -> Iterator[Outcome]:
    """The outcomes of all cases in their order; an adapter that compiles begins at once.

    Each sequence of cases has one number format, and no group has cases of two.
    """
    run = partial(outcomes, implementation, device=device)
    groups = [group for some in cases for group in _groups(some)]
    ahead = getattr(implementation, "compiles", False)
    return chain.from_iterable(_ahead(run, groups) if ahead else map(run, groups))


def _groups(cases: Sequence[Case]) -> Iterator[Group]:
    group: list[Case] = []
    nodes = numbers = 0
    for case in cases:
        size = sum(a.size for a in (*case.params.values(), *case.inputs.values()))
        nodes, numbers = nodes + len(case.network.body), numbers + size
        if group and (len(group) == CASES or nodes > NODES or numbers > NUMBERS):
            yield group
            group, nodes, numbers = [], len(case.network.body), size
        group.append(case)
    if group:
        yield group


def _ahead(
    run: Callable[[Group], list[Outcome]], groups: Sequence[Group]
) -> Iterator[list[Outcome]]:
    """The outcomes of groups; a few run in threads before they are asked for."""
    pool = ThreadPoolExecutor(AT_ONCE)
    waiting = deque(pool.submit(run, group) for group in groups[:AHEAD])

    def each() -> Iterator[list[Outcome]]:
        try:
            for group in (*groups[AHEAD:], *(None,) * len(waiting)):
                ran = waiting.popleft().result()
                if group is not None:
                    waiting.append(pool.submit(run, group))
                yield ran
        finally:
            pool.shutdown(cancel_futures=True)

    return each()
