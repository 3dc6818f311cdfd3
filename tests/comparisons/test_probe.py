"""The atlas: measured against autodiff called directly, judged, stored, compared, documented."""

from __future__ import annotations

import dataclasses
import json
import platform
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gradparity import core, ops
from gradparity.adapters.base import get_adapter
from gradparity.adapters.kinks import TIES, Answer, NativeKink
from gradparity.adapters.singular import SINGULAR, exactly, shares
from gradparity.adapters.valid_sets import Ball, Box, Unjudged
from gradparity.comparisons.atlas.as_text import changes_text, text
from gradparity.comparisons.atlas.probe import core_sites, probe, usual
from gradparity.comparisons.atlas.rules import set_rule, slope_rule, tie_rule
from gradparity.comparisons.atlas.stored import SCHEMA, Atlas, Entry
from gradparity.core.formulas.op import Kinked

DOCUMENT = Path(__file__).parents[2] / "docs" / "reference" / "kinks.md"


class Hand:
    """The core itself as an adapter, whose slopes can be scaled: a lie."""

    def __init__(self, factor: float = 1.0) -> None:
        self.name, self.factor = f"hand{factor:g}", factor

    def versions(self) -> dict[str, str]:
        return {self.name: "1.0", "hand threads": "2"}

    def run(self, case: Any, *, dtype: Any = None, device: Any = None) -> Any:
        trace = core.backprop(case)
        at_kinks = (case.x == 0) if case.x.shape[1] > 4 else np.ones_like(case.x, bool)
        trace.grad["x"] = np.where(at_kinks, self.factor, trace.grad["x"]).astype(case.dtype) \
            if self.factor != 1 else trace.grad["x"]  # fmt: skip
        return trace

    def run_all(self, cases: Any, *, dtype: Any = None, device: Any = None) -> Any:
        return [self.run(case) for case in cases]

    def build(self, network: Any, params: Any, twin: Any = None) -> Any:
        return network

    def export(self, network: Any, native: Any) -> Any:
        return {}


class WithKinks(Hand):
    """Also has spellings of its own, one of which cannot be differentiated."""

    def kinks(self) -> Any:
        return self

    @property
    def spellings(self) -> list[NativeKink]:
        return [NativeKink("abs(z)", np.abs, (0.0,)), NativeKink("hopeless(z)", np.sign, (0.0,)),
                NativeKink("max(z)", lambda z: z.max(-1), ties=TIES)]  # fmt: skip

    def modes(self, compile: bool) -> tuple[str, ...]:
        return ("by hand",)

    def function(self, native: Any) -> Any:
        raise NotImplementedError("no networks")

    def answers(self, questions: Any, mode: str) -> list[Any]:
        found: list[Any] = []
        for q in questions:
            if q.function is np.sign:
                found.append(RuntimeError("no derivative\nat all"))
            elif q.elementwise:
                found.append(Answer(np.abs(q.z), np.sign(q.z)))
            else:
                found.append(Answer(q.z.max(-1), (q.z == q.z.max(-1, keepdims=True)) * 1.0))
        return found


@cache
def of(name: str, names: tuple[str, ...] = ()) -> Atlas:
    pytest.importorskip(name)
    return probe(name, names=names)


def at(atlas: Atlas, spelling: str, point: tuple[float, ...], **where: Any) -> list[Entry]:
    found = [
        e for e in atlas.entries
        if e.spelling == spelling and str(e.point) == str(point)
        and all(getattr(e, k) == v for k, v in where.items())
    ]  # fmt: skip
    assert found
    return found


class TestAgainstDirectMeasurement:
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_in_torch(self, dtype: str) -> None:
        torch = pytest.importorskip("torch")
        functions = {
            "relu(z)": torch.relu,
            "clamp(z, min=0)": lambda z: z.clamp(min=0),
            "maximum(z, 0)": lambda z: torch.maximum(z, torch.zeros_like(z)),
            "leaky_relu(z)": torch.nn.LeakyReLU(),
            "elu(z, 2)": torch.nn.ELU(2.0),
            "selu(z)": torch.nn.SELU(),
            "abs(z)": torch.abs,
        }
        for name, function in functions.items():
            z = torch.zeros(1, dtype=getattr(torch, dtype), requires_grad=True)
            (direct,) = torch.autograd.grad(function(z), z)
            for e in at(of("torch"), name, (0.0,), mode="reverse", dtype=dtype):
                assert e.taken == (direct.item(),), name
        for name, op in {"max(z, dim)": lambda z: z.max(-1)[0], "amax(z, dim)": torch.amax}.items():
            for tied in TIES:
                z = torch.tensor(tied, dtype=getattr(torch, dtype), requires_grad=True)
                (direct,) = torch.autograd.grad(op(z), z)
                for e in at(of("torch"), name, tied, mode="reverse", dtype=dtype):
                    assert e.taken == tuple(direct.tolist()), (name, tied)

    def test_in_torch_forward(self) -> None:
        torch = pytest.importorskip("torch")
        with torch.autograd.forward_ad.dual_level():
            z = torch.autograd.forward_ad.make_dual(torch.zeros(1), torch.ones(1))
            change = torch.autograd.forward_ad.unpack_dual(torch.fmax(z, torch.zeros(1))).tangent
        for e in at(of("torch"), "fmax(z, 0)", (0.0,), mode="forward", dtype="float32"):
            assert e.taken == (change.item(),)

    def test_singular_points_in_torch(self) -> None:
        torch = pytest.importorskip("torch")
        functions = {
            ("vector_norm(z)", (0.0, 0.0, 0.0)): torch.linalg.vector_norm,
            ("logsumexp(z)", (-np.inf, -np.inf, -np.inf)): lambda z: z.logsumexp(-1),
            ("prod(z)", (0.0, 2.0, 3.0)): torch.prod,
            ("log_softmax(z)[0]", (-np.inf, 0.0, 0.0)): lambda z: z.log_softmax(-1)[0],
            ("where(False, sqrt(z), 0)", (0.0,)): lambda z: torch.where(z < 0, z.sqrt(), 0.0),
            ("sqrt(z), limits", (-0.0,)): torch.sqrt,
            ("relu(z), ends", (np.inf,)): torch.relu,
        }
        for (name, point), function in functions.items():
            z = torch.tensor(point, dtype=torch.float64, requires_grad=True)
            (direct,) = torch.autograd.grad(function(z).sum(), z)
            (e,) = at(of("torch"), name, point, mode="reverse", dtype="float64")
            assert np.array_equal(e.taken, direct.numpy(), equal_nan=True), name
            assert e.valid_set == dict(next(k.singular for k in get_adapter("torch").kinks()
                                            .spellings if k.name == name))[point]  # fmt: skip
            if np.isnan(direct.numpy()).any():
                assert (e.valid, e.rule) == (False, "outside")

    def test_singular_points_in_jax(self) -> None:
        jax = pytest.importorskip("jax")
        atlas = of("jax", ("linalg.norm(z) at 0", "cumprod(z)"))
        for e in at(atlas, "linalg.norm(z) at 0", (0.0, 0.0, 0.0)):
            direct = jax.grad(jax.numpy.linalg.norm)(jax.numpy.zeros(3))
            assert np.array_equal(e.taken, direct, equal_nan=True)
            assert e.valid is bool(np.isfinite(direct).all())
        modes = {(e.mode, e.dtype, e.valid) for e in atlas.entries if e.spelling == "cumprod(z)"}
        assert modes == {(m, "float32", True) for m in ("jit reverse", "jit forward")}

    def test_in_jax(self) -> None:
        jax = pytest.importorskip("jax")
        functions = {
            "nn.relu(z)": jax.nn.relu,
            "clip(z, 0)": lambda z: jax.numpy.clip(z, 0),
        }
        atlas = of("jax", tuple(functions))
        for name, function in functions.items():
            for e in at(atlas, name, (0.0,), dtype="float32"):
                assert e.taken == (float(jax.grad(function)(0.0)),), name
        direct = jax.grad(lambda z: z.max())(jax.numpy.array([1.0, 1.0]))
        assert (usual(get_adapter("jax"), core.Max()) == "even") is (direct.tolist() == [0.5, 0.5])

    @pytest.mark.parametrize("name", ["torch", "jax"])
    def test_the_usual_choice(self, name: str) -> None:
        pytest.importorskip(name)
        one = get_adapter(name)
        for op in (core.LeakyReLU(), core.Hardtanh()):
            found = usual(one, op)
            assert isinstance(found, dict)
            assert set(found) == {k.at for k in op.kinks}
            x = np.array([[k.at] for k in op.kinks])
            net = core.layered([op], core.LinearLoss(), reduction="sum")
            grad = one.run(core.Case(net, {}, x, np.ones_like(x))).grad["x"]
            assert list(found.values()) == grad[:, 0].tolist()


class TestEverything:
    def test_of_the_core_is_asked(self) -> None:
        kinds = {c.__name__ for c in vars(ops).values()
                 if isinstance(c, type) and issubclass(c, Kinked) and c is not Kinked}  # fmt: skip
        asked = {site.name.partition("(")[0].partition(" as ")[0] for site in core_sites()}
        assert kinds | {"Max", "MaxSubsets"} == asked
        assert sum(site.name.startswith("ReLU") for site in core_sites()) == 3

    def test_is_asked_in_every_mode_and_dtype_at_both_zeros(self) -> None:
        atlas = of("torch")
        for mode in ("trace", "reverse", "forward"):
            for dtype, tiny in (("float32", 1e-39), ("float64", 5e-310)):
                for point in (0.0, -0.0, tiny, -tiny):
                    at(atlas, "ReLU", (point,), mode=mode, dtype=dtype)
        assert len({e.key for e in atlas.entries}) == len(atlas.entries)

    def test_an_op_takes_what_its_spelling_takes(self) -> None:
        for e in at(of("torch"), "ReLU as clamp", (0.0,), mode="reverse"):
            (other,) = at(of("torch"), "clamp(z, min=0)", (0.0,), mode="reverse", dtype=e.dtype)
            assert (e.taken, e.interval, e.rule) == (other.taken, other.interval, other.rule)

    def test_twice_is_the_same(self) -> None:
        pytest.importorskip("torch")
        assert probe("torch", names=["relu"]).to_json() == probe("torch", names=["relu"]).to_json()


class TestJudgement:
    def test_of_the_core_is_valid_everywhere(self) -> None:
        atlas = probe(Hand())
        assert atlas.versions == {"hand1": {"hand1": "1.0"}}
        jumps = {e.spelling for e in atlas.entries if e.rule == "jump"}
        assert jumps == {"Hardshrink"}  # its values jump, so no slope is valid or wrong
        assert all(e.valid for e in atlas.entries if e.spelling not in jumps)

    def test_of_a_lie_is_outside(self) -> None:
        atlas = probe(Hand(1.7))
        relu = at(atlas, "ReLU", (0.0,))
        assert [(e.taken, e.rule, e.valid) for e in relu] == [
            ((1.7 if e.dtype == "float64" else float(np.float32(1.7)),), "outside", False)
            for e in relu
        ]
        assert all(e.valid is False for e in at(atlas, "Max", TIES[0]))
        assert "1.7 OUTSIDE" in text(atlas)

    def test_what_has_no_answer_is_told(self) -> None:
        entries = probe(WithKinks()).entries
        hopeless = [e for e in entries if e.spelling == "hopeless(z)"]
        assert {e.note for e in hopeless} == {"unsupported: RuntimeError: no derivative"}
        assert len(hopeless) == 8  # two dtypes, zeros and subnormals of both signs
        built = [e for e in entries if e.core and e.mode == "by hand"]
        assert {e.note for e in built} == {"unsupported: NotImplementedError: no networks"}
        to_all = {(e.rule, e.valid) for e in entries if e.spelling == "max(z)"}
        assert to_all == {("all", False)}

    @pytest.mark.parametrize(
        ("taken", "sides", "values", "rule", "valid"),
        [
            ((0.0,), [(0.0,), (1.0,)], (0, 0), "left", True),
            ((1.0,), [(0.0,), (1.0,)], (0, 0), "right", True),
            ((0.3,), [(0.0,), (1.0,)], (0, 0), "between", True),
            ((0.3,), [(1.0,), (0.0,)], (0, 0), "between", True),
            ((1.01,), [(0.0,), (1.0,)], (0, 0), "outside", False),
            ((np.nan,), [(0.0,), (1.0,)], (0, 0), "outside", False),
            ((0.0, 1.7), [(0.0,), (1.0,)], (0, 0), "outside", False),
            ((1.0,), [(1.0,), (1.0,)], (0, 0), "smooth", True),
            ((1.0,), [(0.0,), (1.0,)], (0, 0.5), "jump", None),
            ((np.inf,), [(np.nan,), (5.0,)], (0, 0), "singular", None),
        ],
    )
    def test_of_slopes(self, taken: Any, sides: Any, values: Any, rule: str, valid: Any) -> None:
        found = slope_rule(taken, sides, values, "float32")
        assert (found["rule"], found["valid"]) == (rule, valid)

    @pytest.mark.parametrize(
        ("weights", "rule", "valid"),
        [
            ((1, 0, 0, 0), "first", True),
            ((0, 0, 0, 1), "last", True),
            ((1 / 3, 0, 1 / 3, 1 / 3), "even", True),
            ((0.5, 0, 0.25, 0.25), "mixed", True),
            ((1, 0, 1, 1), "all", False),
            ((0.5, 0.5, 0, 0), "outside", False),
            ((1.5, 0, 0, -0.5), "outside", False),
            ((0.5, 0, 0, 0), "outside", False),
            ((np.nan, 0, 0, 0), "outside", False),
        ],
    )
    def test_of_ties(self, weights: Any, rule: str, valid: bool) -> None:
        tied = np.array([True, False, True, True])
        assert tie_rule(np.array(weights, float), tied, "float64") == (rule, valid)

    @pytest.mark.parametrize(
        ("valid", "inside", "outside"),
        [
            (Ball(2.0), [(0, 0), (0.6, -0.8)], [(0.8, 0.8), (np.nan, 0), (np.inf, 0)]),
            (Ball(np.inf), [(1, -1)], [(1.01, 0)]),
            (Ball(1.0), [(0.5, -0.5)], [(1, 1)]),
            (Ball(2.0, 0.5, 0.0), [(0, 0), (0.3, -0.3)], [(0.3, 0.3), (0.5, -0.5)]),
            (exactly(np.inf), [(np.inf,)], [(-np.inf,), (1e30,), (np.nan,)]),
            (exactly(0.0, 1.0), [(0, 1)], [(0, 1.001), (1e-4, 1), (0, np.nan)]),
            (Box((-np.inf,), (np.inf,)), [(np.inf,), (0,)], [(np.nan,)]),
            (shares(1.0, 1.0, 0.0), [(0.5, 0.5, 0), (1, 0, 0)], [(1, 1, 0), (0.5, 0.4, 0.1)]),
            (shares(1.0, 1.0, total=(0.0, 1.0)), [(0, 0), (1, 0)], [(1, 1), (-0.1, 0)]),
        ],
    )
    def test_of_sets(self, valid: Any, inside: Any, outside: Any) -> None:
        for gradient in inside:
            assert set_rule([gradient], valid, "float32") == ("inside", True), gradient
            assert set_rule([gradient], Unjudged("no limit"), "float32") == ("unjudged", None)
        for gradient in outside:
            assert set_rule([inside[0], gradient], valid, "float32") == ("outside", False)

    def test_of_the_table_has_sets_as_wide_as_their_points(self) -> None:
        for name, points in SINGULAR.items():
            for point, valid in points:
                assert not isinstance(valid, Box) or len(valid.low) == len(point), name

    def test_the_usual_of_no_kink_is_none(self) -> None:
        assert usual(Hand(), core.Tanh()) is None
        assert usual(Hand(), core.RandomizedLeakyReLU()) is None
        assert usual(Hand(), core.ELU(1.0)) is None
        assert usual(Hand(), core.ReLU(subgradient=0.25)) == {0.0: 0.25}
        assert usual(Hand(), core.Max(ties="last")) == "last"


class TestStored:
    def test_comes_back_as_it_was(self) -> None:
        atlas = of("torch")
        again = Atlas.from_json(atlas.to_json())
        assert again.to_json() == atlas.to_json()
        assert f'"schema": "{SCHEMA}"' in atlas.to_json()
        assert not atlas.diff(again)
        assert not again.diff(atlas)

    @pytest.mark.parametrize(
        ("document", "said"),
        [("[]", "schema"), ("{}", "schema"), ('{"schema": "gradparity/report/1"}', "report/1"),
         (f'{{"schema": "{SCHEMA}"}}', "versions"), ("{", "Expecting")],
    )  # fmt: skip
    def test_something_else_is_refused(self, document: str, said: str) -> None:
        with pytest.raises(ValueError, match=said):
            Atlas.from_json(document)

    def test_older_files_have_no_valid_sets(self) -> None:
        atlas = probe(Hand())
        document = json.loads(atlas.to_json())
        for entry in document["entries"]:
            del entry["valid_set"]
        assert Atlas.from_json(json.dumps(document)) == atlas

    def test_another_valid_set_is_a_change(self) -> None:
        atlas = of("torch")
        one = next(e for e in atlas.entries if isinstance(e.valid_set, Ball))
        other = dataclasses.replace(one, valid_set=Ball(7.0))
        entries = tuple(other if e is one else e for e in atlas.entries)
        (change,) = atlas.diff(dataclasses.replace(atlas, entries=entries))
        assert str(change).endswith(f"valid {one.valid_set} -> ball 7")

    def test_a_wrong_entry_is_refused_with_its_place(self) -> None:
        document = json.loads(probe(Hand()).to_json())
        document["entries"][1]["interval"] = [0.0]
        with pytest.raises(ValueError, match=r"expected 2 items, received 1 @ .*entries\[1\]"):
            Atlas.from_json(json.dumps(document))

    def test_a_change_is_told_from_what_to_what(self) -> None:
        before = probe(Hand())
        first = next(e for e in before.entries if e.spelling == "ReLU")
        changed = dataclasses.replace(first, taken=(0.0,), rule="left")
        rest = tuple(e for e in before.entries if e is not first)
        after = dataclasses.replace(before, entries=(*rest, changed))
        (change,) = before.diff(after)
        assert str(change) == "hand1: ReLU at 0, trace float64: 1 -> 0"
        (gone,) = before.diff(dataclasses.replace(before, entries=rest))
        assert str(gone) == "hand1: ReLU at 0, trace float64: disappeared, was 1"
        (new,) = dataclasses.replace(before, entries=rest).diff(before)
        assert str(new) == "hand1: ReLU at 0, trace float64: appeared, 1"
        said = changes_text(before.compared(after), before, after).splitlines()[-1]
        assert said.startswith(f"1 of {len(before.entries)} entries, 0 of ")

    def test_others_are_not_compared(self) -> None:
        with pytest.raises(ValueError, match=r"hand1.*hand1\.7"):
            probe(Hand()).diff(probe(Hand(1.7)))
        with pytest.raises(ValueError, match="--compile"):
            probe(Hand()).diff(probe(Hand(), compile=True))


def documented() -> str:
    said = DOCUMENT.read_text(encoding="utf-8")
    return said.partition("<!-- atlas -->\n```text\n")[2].partition("\n```\n<!-- end of")[0]


def stamp(*names: str) -> str:
    parts = [f"{k} {v}" for n in names for k, v in probe(n, names=["?"]).versions[n].items()]
    return " · ".join([*parts, platform.machine()])


class TestDocumented:
    def test_has_its_parts(self) -> None:
        for part in ("ops of the core", "torch: its own functions", "jax: its own functions",
                     "at subnormal numbers", "entries, "):  # fmt: skip
            assert part in documented()
        assert all(len(line) <= 80 for line in documented().splitlines())

    @pytest.mark.skipif(not (find_spec("torch") and find_spec("jax")), reason="needs both")
    def test_of_torch_is_what_is_measured(self) -> None:
        if stamp("jax", "torch") != documented().splitlines()[0]:
            pytest.skip("other versions than those of the document")
        start = "torch: its own functions"
        ours = text(of("torch")).partition(start)[2].partition("\n\ntorch, at subnormal")[0]
        assert ours
        assert ours == documented().partition(start)[2].partition("\n\njax, at subnormal")[0]

    @pytest.mark.slow
    @pytest.mark.skipif(not (find_spec("torch") and find_spec("jax")), reason="needs both")
    def test_is_what_is_measured(self) -> None:
        if stamp("jax", "torch") != documented().splitlines()[0]:
            pytest.skip("other versions than those of the document")
        assert text(probe("jax", "torch")) == documented()
