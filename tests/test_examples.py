"""The examples: each runs, and what it claims holds on small settings."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import gradparity as gp
from gradparity.core import Case

pytest.importorskip("torch")
pytest.importorskip("sklearn")

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture(scope="module")
def example() -> ModuleType:
    """`examples/relu_at_zero.py` as a module."""
    sys.path.insert(0, str(EXAMPLES))  # as a script has it
    spec = importlib.util.spec_from_file_location("relu_at_zero", EXAMPLES / "relu_at_zero.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["relu_at_zero"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    yield module
    sys.path.remove(str(EXAMPLES))
    del sys.modules["relu_at_zero"]


def planted(example: ModuleType, precision: str, T: int = 16) -> Case:
    """Unit 2 of the first layer is exactly zero for every instance."""
    network = example.relu_network((8, 8), n_in=6)
    params = example.default_parameters(network, [1])
    params["W1"][:, 2], params["b1"][2] = 0.0, 0.0
    x = np.random.default_rng(0).standard_normal((T, 6)).astype(np.float32)
    return Case(network, params, x, np.arange(T) % 10).astype(precision)


@pytest.mark.parametrize("precision", ["float16", "bfloat16", "float32", "float64"])
def test_a_planted_zero_is_counted_and_makes_the_gradients_differ(example, precision):
    case = planted(example, precision)
    trace = gp.get_adapter("torch").run(case)
    assert example.zeros_in_kink_summary(case) == case.T == int((trace.value["z1"] == 0).sum())
    assert example.makes_a_difference(case, trace)
    assert example.gradients_differ(case)


def test_a_zero_at_which_no_gradient_arrives_makes_none(example):
    case = planted(example, "float64")
    params = {name: array.copy() for name, array in case.params.items()}
    params["W2"][2] = 0.0  # nobody listens to the unit
    case = Case(case.network, params, case.x, case.d)
    trace = gp.get_adapter("torch").run(case)
    assert (trace.value["z1"] == 0).sum() == case.T
    assert not example.makes_a_difference(case, trace)
    assert not example.gradients_differ(case)


def test_in_float64_random_real_inputs_meet_no_zero(example):
    rng = np.random.default_rng(0)
    batches = [(rng.standard_normal((64, 20)).astype(np.float32), np.arange(64) % 10)] * 2
    row = example.count(example.Row((16, 16), "float64", 0), batches, runs=5, seed=0)
    assert (row.runs, row.differ, row.zeros) == (5, 0, 0)
    assert row.checked == row.agreed >= 1


@pytest.mark.parametrize("precision", ["float16", "bfloat16", "float32"])
def test_the_shortcut_is_the_literal_comparison(example, precision):
    """Inputs of few digits, so that zeros are common; some networks meet one and some do not."""
    rng, seen = np.random.default_rng(0), set()
    network = example.relu_network((6, 6), n_in=3)
    for seed in range(12):
        params = example.default_parameters(network, [seed])
        params = {name: np.round(array * 8) / 8 for name, array in params.items()}
        x = rng.integers(-1, 2, (2, 3)).astype(np.float32)
        case = Case(network, params, x, np.array([0, 1])).astype(precision)
        differ = example.makes_a_difference(case, gp.get_adapter("torch").run(case))
        assert differ == example.gradients_differ(case)
        seen.add(differ)
    assert seen == {False, True}


def test_the_adapter_with_a_slope_is_torch_and_the_published_code_is_no_subgradient(example):
    case = example.planted_zero()
    assert gp.check(case, example.torch_with_slope(1.0), dtypes=["float64"])
    report = gp.check(case, example.torch_with_slope(1.0, overwrite=True), dtypes=["float64"])
    wrong = [f for _, f in report.findings() if f.verdict == gp.Verdict.MISMATCH]
    assert {f.node for f in wrong} == {"y1"}
    harmless = example.torch_with_slope(0.0, overwrite=True)  # 0 times anything is 0
    assert gp.check(case, harmless, dtypes=["float64"])


def test_the_whole_script_on_a_tiny_setting(example, tmp_path, capsys):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- relu_at_zero -->\nold\n<!-- /relu_at_zero -->\nafter\n")
    options = "--by width --largest 16 --runs 2 --seconds 0 --images 300 --write".split()
    rows = example.main([*options, str(page)])
    assert [row.precision for row in rows] == list(example.PRECISIONS)
    assert all(row.runs == 2 and row.checked == row.agreed >= 1 for row in rows)
    assert rows[-1].differ == 0  # float64
    text = page.read_text()
    assert text.startswith("before\n<!-- relu_at_zero -->\n|")
    assert text.endswith("<!-- /relu_at_zero -->\nafter\n")
    assert "old" not in text
    assert "| 3 x 16 | float32 | 0.021 |" in capsys.readouterr().out


def test_without_markers_nothing_is_written(example, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("mine")
    with pytest.raises(SystemExit, match="no lines"):
        example.write_between_markers(page, "text", "relu_at_zero")
    assert page.read_text() == "mine"


def test_the_interval(example):
    low, high = example.wilson(50, 100)
    assert low == pytest.approx(0.404, abs=1e-3)
    assert high == pytest.approx(0.596, abs=1e-3)
    assert example.wilson(0, 40)[0] == 0.0
