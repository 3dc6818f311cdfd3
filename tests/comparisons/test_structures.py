"""Structured inputs: faults planted in each structure are listed, right functions are not."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from gradparity.adapters.structures import NativeEdge, Way
from gradparity.comparisons.atlas.as_text import changes_text, text
from gradparity.comparisons.atlas.stored import Atlas
from gradparity.comparisons.structures.cases import SIZES, structured_cases
from gradparity.comparisons.structures.edges import ERROR, QUESTIONS, Edge, agrees
from gradparity.comparisons.structures.probe import probe_structures
from gradparity.core import Case, Trace, backprop
from gradparity.core.vocabulary.pointwise import Exp

NAMES = ("softmax", "layer-norm", "std", "gather", "exp", "masked-fill", "embedding", "loss ce")
WAYS = (Way("plain"), Way("strided"), Way("zero stride", equal=True))


def exact(edge: Edge) -> Any:
    """The answers of a right function."""
    if edge.truth is ERROR:
        raise IndexError("out of range")
    return edge.truth


class Native:
    """Right in all ways, but for what is planted."""

    documented: Mapping[tuple[str, str], str] = {}

    def __init__(self, wrong: str = "", edges: tuple[NativeEdge, ...] = ()) -> None:
        self.wrong, self.edges = wrong, edges

    def ways(self, compile: bool) -> tuple[Way, ...]:
        return WAYS

    def run(self, case: Case, way: str) -> dict[str, Any]:
        if way == self.wrong == "strided":
            raise RuntimeError("strided tensors are not supported")
        trace = backprop(case)
        y = trace.value[case.network.output]
        if self.wrong == "each sample alone" and case.T == 1:
            y = y * (1 + 1e-3)
        if way == self.wrong:
            y = y * (1 + 1e-3)
        return {f"value {case.network.output}": y}


class Mine:
    name = "mine"

    def __init__(
        self, planted: Callable[[Case, Trace], Trace] | None = None, native: Native | None = None
    ) -> None:
        self.planted, self.native = planted, native or Native()

    def versions(self) -> dict[str, str]:
        return {"mine": "1.0"}

    def structures(self) -> Native:
        return self.native

    def run(self, case: Case, *, dtype: Any = None, device: str | None = None) -> Trace:
        trace = backprop(case)
        return trace if self.planted is None else self.planted(case, trace)

    def run_all(self, cases: Any, *, dtype: Any = None, device: str | None = None) -> list[Trace]:
        return [self.run(case) for case in cases]

    def build(self, network: Any, params: Any) -> Any:
        return None

    def export(self, network: Any, native: Any) -> dict[str, Any]:
        return {}


def atlas(mine: Mine, names: tuple[str, ...] = NAMES, **given: Any) -> Atlas:
    return probe_structures(mine, names=names, dtypes=["float32"], **given)


def planted(structure: str) -> Callable[[Case, Trace], Trace]:
    """One element of every gradient of the input wrong by one part in a hundred, on a structure."""

    def wrong(case: Case, trace: Trace) -> Trace:
        if not case.name.endswith(structure) or not case.differentiated:
            return trace
        name = case.differentiated[0]
        edge_grad = dict(trace.edge_grad)
        for edge, gradient in trace.edge_grad.items():
            if edge.source == name:
                changed = gradient.copy()
                changed.flat[np.argmax(np.abs(changed))] *= 1.01
                edge_grad[edge] = changed
        return replace(trace, edge_grad=edge_grad)

    return wrong


def test_a_right_framework_departs_nowhere() -> None:
    found = atlas(Mine()).structures
    assert found is not None
    assert not found.departures
    assert not found.unsupported
    assert found.cases > 60
    assert found.results > 300


STRUCTURES = sorted({one.structure for one in structured_cases(NAMES)})


@pytest.mark.parametrize("structure", STRUCTURES)
def test_a_planted_fault_is_listed_with_its_structure(structure: str) -> None:
    found = atlas(Mine(planted(structure))).structures
    assert found is not None
    assert {one.structure for one in found.departures} == {structure}
    assert {one.status for one in found.departures} <= {"wrong", "imprecise"}
    assert {one.quantity.split(" ")[0] for one in found.departures} == {"grad"}


def test_every_structure_is_met() -> None:
    met = {one.structure for one in structured_cases()}
    sizes = {f"{size} elements" for size in SIZES}
    assert met == sizes | {
        "equal values", "large offset", "equal indices", "equal indices, the least",
        "fully masked row", "batch of one",
    }  # fmt: skip
    assert len({one.function for one in structured_cases()}) > 250


def test_a_wrong_way_is_listed_and_one_that_raises() -> None:
    found = atlas(Mine(native=Native("zero stride")), ("gather",)).structures
    assert found is not None
    assert {(d.way, d.status, d.structure) for d in found.departures} == {
        ("zero stride", "wrong", "equal samples")
    }
    refused = atlas(Mine(native=Native("strided")), ("gather",)).structures
    assert refused is not None
    assert {(d.way, d.status, d.structure) for d in refused.departures} == {
        ("strided", "refused", "random numbers"), ("strided", "refused", "batch of one")
    }  # fmt: skip
    assert "strided tensors are not supported" in refused.departures[0].note


def test_a_sample_that_differs_from_its_batch_is_listed() -> None:
    found = atlas(Mine(native=Native("each sample alone")), ("exp", "batch-norm")).structures
    assert found is not None
    alone = [d for d in found.departures if d.structure == "random numbers"]
    assert {(d.way, d.status, d.quantity) for d in alone} == {
        ("each sample alone", "wrong", "value y1")
    }
    # Statistics of a batch depend on all of it, so its samples alone have other values.
    functions = {d.function for d in alone}
    assert "exp" in functions
    assert "batch-norm" not in functions


@pytest.mark.parametrize("kind", QUESTIONS)
def test_exact_answers_and_errors(kind: str) -> None:
    """A function that is right everywhere is not listed; one wrong answer each is."""
    edges = QUESTIONS[kind]
    for wrong in (None, *range(len(edges))):
        calls = iter(range(len(edges)))

        def function(*arrays: Any, wrong: int | None = wrong, calls: Any = calls) -> Any:
            i = next(calls)
            return np.full(1, 7.5) if i == wrong else exact(edges[i])

        native = Native(edges=(NativeEdge("f(x)", kind, function),))
        found = atlas(Mine(native=native), ("f(x)",)).structures
        assert found is not None
        want = [] if wrong is None else [edges[wrong].structure]
        assert [one.structure for one in found.departures] == want
        assert all(one.status == "wrong" and one.got == "[7.5]" for one in found.departures)


def test_an_exception_where_there_is_an_answer_and_a_documented_choice() -> None:
    def function(*arrays: Any) -> Any:
        raise ValueError("no elements")

    native = Native(edges=(NativeEdge("f(x)", "sum", function),))
    (one,) = atlas(Mine(native=native), ("f(x)",)).structures.departures  # type: ignore[union-attr]
    assert (one.status, one.got, one.true) == ("refused", "ValueError", "[0 0]")
    said = {"index -1": "counts from the end"}
    native = Native(edges=(NativeEdge("f(x)", "along", lambda x, ids: x[ids[:, 0]], said),))
    (one,) = atlas(Mine(native=native), ("f(x)",)).structures.departures  # type: ignore[union-attr]
    assert (one.status, one.note) == ("documented", "counts from the end")


def test_not_a_number_is_right_for_the_mean_of_nothing() -> None:
    assert agrees(np.full(2, np.nan), QUESTIONS["mean"][0])
    assert not agrees(np.zeros(2), QUESTIONS["mean"][0])


def test_stored_and_compared() -> None:
    before = atlas(Mine(), ("gather",))
    after = atlas(Mine(planted("batch of one")), ("gather",))
    assert Atlas.from_json(after.to_json()) == after
    assert not after.diff(after)
    changes = before.diff(after)
    assert changes
    assert "appeared, wrong" in str(changes[0])
    assert "gather" in changes_text(before.compared(after), before, after)
    assert "0 documented" in text(after)
    with pytest.raises(ValueError, match="--structures"):
        before.diff(replace(before, structures=None))


def test_older_files_are_read() -> None:
    kinks = replace(atlas(Mine(), ("gather",)), structures=None)
    document = json.loads(kinks.to_json())
    del document["structures"]
    assert Atlas.from_json(json.dumps(document)) == kinks


def test_torch_on_other_storage() -> None:
    """PyTorch agrees with itself; code that reads storage as it lies does not."""
    torch = pytest.importorskip("torch")
    from gradparity.adapters.torch.adapter import TorchAdapter

    class Careless(torch.autograd.Function):  # type: ignore[misc,name-defined,no-any-unimported]
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            stored = x.as_strided(x.shape, torch.empty(x.shape).stride())
            ctx.save_for_backward(stored)
            return stored.exp()

        @staticmethod
        def backward(ctx: Any, dy: Any) -> Any:
            (stored,) = ctx.saved_tensors
            return dy.as_strided(dy.shape, torch.empty(dy.shape).stride()) * stored.exp()

    right = probe_structures(TorchAdapter(), names=["exp"], dtypes=["float32"]).structures
    assert right is not None
    assert not [d for d in right.departures if d.way != "trace"]
    careless = TorchAdapter().with_overrides({Exp: Careless.apply}, "careless")
    wrong = probe_structures(careless, names=["exp"], dtypes=["float32"]).structures
    assert wrong is not None
    ways = {d.way for d in wrong.departures}
    assert {"transposed", "strided", "gradient transposed"} <= ways


def test_jax_with_and_without_jit() -> None:
    pytest.importorskip("jax")
    found = probe_structures("jax", names=["embedding", "one_hot", "x[ids]"]).structures
    assert found is not None
    assert not found.unsupported
    assert {d.status for d in found.departures} == {"documented"}
    assert {d.function for d in found.departures} == {"jax.nn.one_hot(labels, 4)", "x[ids]"}


def test_batch_norm_of_one_sample_stored_within_positions() -> None:
    """The atlas lists PyTorch's batch norm exactly where it differs from itself."""
    torch = pytest.importorskip("torch")
    norm, dy = torch.nn.BatchNorm2d(2).double(), torch.arange(8.0, dtype=torch.float64)
    x = torch.rand(1, 2, 2, 2, dtype=torch.float64)
    norm(x).backward(dy.as_strided((1, 2, 2, 2), (2, 1, 4, 2)))
    wrong = norm.bias.grad.tolist() != [12.0, 16.0]
    found = probe_structures("torch", names=["batch-norm"], dtypes=["float64"]).structures
    assert found is not None
    ways = {(d.way, d.structure, d.status) for d in found.departures if "grad b" in d.quantity}
    listed = {("batch inside", "batch of one", "wrong")}
    listed |= {("gradient batch inside", "batch of one", "wrong")}
    assert ways == (listed if wrong else set())


@pytest.mark.parametrize("wrong", [False, True])
def test_class_weights_with_smoothing(wrong: bool) -> None:
    """The mean must be over the weights of the labels; a mean over samples is listed."""

    def loss(x: Any, labels: Any, weights: Any) -> tuple[Any, Any]:
        kept = labels != -100
        p = np.exp(x - x.max(-1, keepdims=True)).astype(np.float64)
        p /= p.sum(-1, keepdims=True)
        t = 0.75 * np.eye(4)[labels * kept] * weights + 0.0625 * weights
        t = kept[:, np.newaxis] * t / (kept.sum() if wrong else weights[labels[kept]].sum() + 0.0)
        gradient = t.sum(-1, keepdims=True) * p - t
        return np.float32(-(t * np.log(p)).sum()), gradient.astype(np.float32)

    native = Native(edges=(NativeEdge("f(x)", "weighted labels", loss),))
    found = atlas(Mine(native=native), ("f(x)",)).structures
    assert found is not None
    assert found.results >= 4
    # The first structure's weights sum to the number of its samples.
    structures = {"class weights, smoothing and an ignored label"} if wrong else set()
    assert {d.structure for d in found.departures} == structures
