"""The sample of `crossed` leaves out no value, and nothing is lost."""

from __future__ import annotations

import pytest

from crossed import crossed


@pytest.mark.parametrize(
    "lengths", [(1,), (3,), (2, 2), (2, 3), (3, 2, 2), (4, 4, 4), (2, 2, 2, 2), (66, 2, 3), (1, 5)]
)
def test_every_value_is_sampled_and_every_combination_is_there(lengths: tuple[int, ...]) -> None:
    axes = [range(n) for n in lengths]
    given = crossed(",".join("abcd"[: len(lengths)]), *axes).args[1]
    assert len({each.values for each in given}) == len(given)
    sample = [each.values for each in given if not each.marks]
    assert len(sample) <= max(lengths)
    for k, axis in enumerate(axes):
        assert {values[k] for values in sample} == set(axis)


def test_a_part_of_the_sample() -> None:
    names, ones = list("abcdef"), [0, 1]
    whole, part = (crossed("a, b", names, ones, every=n).args[1] for n in (1, 3))
    assert [given.values for given in part] == [given.values for given in whole]
    chosen = [{given.values for given in each if not given.marks} for each in (whole, part)]
    assert len(chosen[1]) == 2
    assert chosen[1] < chosen[0]
