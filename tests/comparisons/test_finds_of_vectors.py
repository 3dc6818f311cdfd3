"""Finds of functions of vectors and of structures."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from gradparity.adapters.finds import Told
from gradparity.adapters.structures import NativeEdge
from gradparity.comparisons.atlas.smooth.formulas.vectors import VECTORS, WEIGHTS
from gradparity.comparisons.atlas.smooth.regions import Region, Smooth
from gradparity.comparisons.atlas.smooth.vector_truth import rows, vector_truth
from gradparity.comparisons.atlas.stored import Atlas
from gradparity.comparisons.atlas.structures.departures import Departure, Structures
from gradparity.comparisons.catalogue.catalogue import catalogue
from gradparity.comparisons.catalogue.causes import of_one_cause
from gradparity.comparisons.catalogue.confirmed import vector_true_again
from gradparity.comparisons.catalogue.find import Catalogue
from gradparity.comparisons.catalogue.vectors import beyond_sums, vector
from own_finds import Mine

#: A norm that is 0 where the squares underflow.
NORM = Region("mine", "norm(x)", "norm", "value", "float32", ("reverse",), 1e-10, 1e-9, 3,
              "common", 7.2, 7.2, 1e7, 1e-10, 0.0, 4.9953e-10, False)  # fmt: skip


def true_norm() -> float:
    return math.sqrt(sum(x * x for x in vector(NORM)))


def found(
    got: str,
    *regions: Region,
    departures: tuple[Departure, ...] = (),
    structured: dict[tuple[str, str], Told] | None = None,
    edges: tuple[NativeEdge, ...] = (),
) -> Catalogue:
    smooth = Smooth(regions, {}, (), 1, 1)
    structures = Structures(departures, (), 1, 1)
    atlases = [
        Atlas({"mine": {"mine": "1.0"}}, "x86_64", False, (), smooth),
        Atlas({"mine": {"mine": "1.0"}}, "x86_64", False, (), structures=structures),
    ]
    mine = Mine(got)
    mine.natives.structured, mine.natives.edges = structured or {}, edges  # type: ignore[misc]
    return catalogue(mine, atlases=atlases)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", VECTORS)
def test_the_truth_again_is_the_truth(name: str) -> None:
    v = rows(name, "float32")[2]
    for quantity in ("value", "derivative"):
        true = vector_truth(name, quantity, [v]).nearest[0]
        for element in {0, len(true) - 1}:
            again = vector_true_again(name, quantity, v.tolist(), element)
            assert float(again.nearest[0]) == pytest.approx(true[element], rel=1e-14)


def test_a_wrong_element_is_a_find() -> None:
    region = replace(NORM, true=true_norm())
    (find,) = found("0.0", region).finds
    assert (find.at, find.got) == ("16 numbers, spread 1e-10", "0")
    assert float(find.true) == pytest.approx(true_norm(), rel=1e-4)
    assert (find.found, find.lost) == ("smooth", pytest.approx(7.2, abs=0.05))


@pytest.mark.parametrize("got", ["1e-10", "sum(a * a for a in x) ** 0.5"])
def test_a_line_that_prints_another_result_is_no_find(got: str) -> None:
    made = found(got, replace(NORM, true=true_norm()))
    assert (made.finds, made.unconfirmed) == ((), ("mine: norm(x)",))


def test_a_region_whose_true_result_is_not_the_truth_is_no_find() -> None:
    assert found("0.0", replace(NORM, true=4e-10)).finds == ()


def test_a_gradient_is_of_the_weights() -> None:
    v = rows("normalize", "float32")[20]
    again = vector_true_again("normalize", "derivative", v.tolist(), 3)
    size = np.linalg.norm(v)
    by_hand = (WEIGHTS[3] - v[3] * (v @ WEIGHTS) / size**2) / size
    assert float(again.nearest[0]) == pytest.approx(by_hand, rel=1e-12)


def test_what_a_plain_sum_loses_is_no_candidate() -> None:
    """A variance of numbers near 1e6 is right if it is off by what their last places move it."""
    var = replace(NORM, spelling="var(x)", function="var", at=1e6, low=1e6, high=1e6)
    true = float(vector_truth("var", "value", [vector(var)]).nearest[0][0])
    assert not beyond_sums(replace(var, got=true + 1e-4, true=true))
    assert beyond_sums(replace(var, got=true + 10, true=true))
    assert beyond_sums(replace(var, got=math.nan, true=true))
    kept = found("0", replace(var, got=true + 1e-4, true=true))
    assert (kept.finds, kept.unconfirmed) == ((), ())


def test_functions_of_one_formula_are_several_finds() -> None:
    one = replace(NORM, spelling="LayerNorm()(x)", function="layernorm", at=1e3, low=1e3, high=1e5)
    other = replace(one, spelling="GroupNorm(1)(x)")
    assert len(of_one_cause([one, other])) == 2
    assert len(of_one_cause([one, replace(one, spelling="LayerNorm(fast=True)(x)")])) == 1


# Structures.

WRONG = Departure("mine", "take(x, ids)", "index 3", "eager", "float32", "value", "wrong",
                  "x", "[0 1 2 3]", "an error")  # fmt: skip
EDGES = (NativeEdge("take(x, ids)", "rows", len),)


def test_an_answer_where_an_error_is_due_is_a_find() -> None:
    (find,) = found("[0, 1, 2, 3]", departures=(WRONG,), edges=EDGES).finds
    assert (find.at, find.got, find.true) == ("index 3", "0 1 2 3", "an error")
    assert (find.found, find.documented, find.lost) == ("structure", "", math.inf)


def test_another_answer_than_the_atlas_has_is_no_find() -> None:
    made = found("[0, 1, 2, 4]", departures=(WRONG,), edges=EDGES)
    assert (made.finds, made.unconfirmed) == ((), ("mine: take(x, ids)",))


def test_a_documented_choice_says_so_and_a_wrong_answer_comes_first() -> None:
    said = replace(WRONG, status="documented", note="it clamps")
    (find,) = found("[0, 1, 2, 3]", departures=(said,), edges=EDGES).finds
    assert find.documented == "it clamps"
    (find,) = found("[0, 1, 2, 3]", departures=(said, WRONG), edges=EDGES).finds
    assert find.documented == ""
    from_end = replace(said, structure="index -1")
    assert found("[0, 1, 2, 3]", departures=(from_end,), edges=EDGES).finds == ()


def told(code: str) -> dict[tuple[str, str], Told]:
    line = Told("norm(x), one sample", "derivative", "float64", "one sample", "common", code)
    return {("batch-norm", "batch of one"): line}


NORM_OF_ONE = replace(WRONG, function="batch-norm", structure="batch of one", way="batch inside")


def test_an_op_of_the_vocabulary_is_shown_by_its_own_line() -> None:
    both = (NORM_OF_ONE, replace(NORM_OF_ONE, dtype="float64"))
    (find,) = found("", departures=both, structured=told("print(1.0, 2.0)")).finds
    assert (find.spelling, find.dtypes) == ("norm(x), one sample", ("float32", "float64"))
    right = found("", departures=both, structured=told("print(2.0, 2.0)"))
    assert (right.finds, right.unconfirmed) == ((), ("mine: norm(x), one sample",))
    assert found("", structured=told("print(1.0, 2.0)")).finds == ()


def test_ops_without_a_line_are_named_and_imprecise_ones_left_out() -> None:
    imprecise = replace(NORM_OF_ONE, status="imprecise", function="outer")
    composed = replace(NORM_OF_ONE, function="squareplus")
    made = found("", departures=(NORM_OF_ONE, imprecise, composed))
    assert (made.finds, made.unconfirmed) == ((), ("mine: batch-norm",))


def test_numbers_alone_are_the_atlas_of_accuracys() -> None:
    large = replace(WRONG, function="norm-op", structure="large offset")
    line = Told("norm(x, 3)", "value", "float32", "large", "rare", "print(1.0, 2.0)")
    lines = {("norm-op", "large offset"): line}
    assert len(found("", departures=(large,), structured=lines).finds) == 1
    both = found("0.0", replace(NORM, true=true_norm()), departures=(large,), structured=lines)
    assert [find.spelling for find in both.finds] == ["norm(x)"]


# The frameworks.


@pytest.mark.slow
def test_pytorch() -> None:
    """Each is listed exactly if PyTorch does it."""
    torch = pytest.importorskip("torch")
    made = catalogue("torch", names=["take_along_dim", "channels last", "log_softmax"])
    listed = {find.spelling: find for find in made.finds}
    x, ids = torch.arange(12.0).reshape(3, 4), torch.full((1, 4), 3)
    try:
        wraps = bool(torch.take_along_dim(x, ids, 0)[0, 1] == 1)
    except (IndexError, RuntimeError):
        wraps = False
    assert ("torch.take_along_dim(x, ids, 0)" in listed) == wraps
    norm, dy = torch.nn.BatchNorm2d(2).double(), torch.arange(8.0, dtype=torch.float64)
    norm(torch.rand(1, 2, 2, 2).double()).backward(dy.as_strided((1, 2, 2, 2), (2, 1, 4, 2)))
    wrong = norm.bias.grad.tolist() != [12.0, 16.0]
    assert ("F.batch_norm(x), channels last" in listed) == wrong
    z = torch.tensor([40.0, 0.0])
    assert ("F.log_softmax(x, 0)" in listed) == (z.log_softmax(0)[0].item() == 0)


@pytest.mark.slow
def test_jax() -> None:
    jax = pytest.importorskip("jax")
    names = ["nn.standardize", "one_hot", "with_integer_labels(x, labels)"]
    listed = {find.spelling: find for find in catalogue("jax", names=names).finds}
    assert listed["jax.nn.one_hot(labels, 4)"].documented
    labels = listed["optax.softmax_cross_entropy_with_integer_labels(x, labels).mean()"]
    assert (labels.package, labels.documented) == ("optax", "")
    x = jax.numpy.full((16,), 1e4) + np.array([1, -1] * 8)
    one_pass = abs(float(jax.nn.standardize(x)[0]) - 1) > 1e-2
    assert any(name.startswith("nn.standardize") for name in listed) == one_pass
