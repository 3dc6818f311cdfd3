"""Large products and convolutions are judged on some channels where that was asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import gradparity as gp
from gradparity.comparisons.recording.calls import findings_of_call
from gradparity.comparisons.recording.thinned import thinned

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

pytestmark = pytest.mark.usefixtures("seeded")


def affine(dtype: Any) -> Callable[[], Any]:
    layer = nn.Linear(48, 56, dtype=dtype)
    x = torch.randn(3, 5, 48, dtype=dtype, requires_grad=True)
    return lambda: layer(x).square().sum().backward()


def product(dtype: Any) -> Callable[[], Any]:
    a = nn.Parameter(torch.randn(2, 6, 40, dtype=dtype))
    b = nn.Parameter(torch.randn(2, 40, 48, dtype=dtype))
    return lambda: (a @ b).square().sum().backward()


def convolution(dtype: Any) -> Callable[[], Any]:
    layer = nn.Conv2d(24, 32, 3, padding=1, stride=2, dtype=dtype)
    x = torch.randn(2, 24, 7, 7, dtype=dtype, requires_grad=True)
    return lambda: layer(x).square().sum().backward()


def attention(dtype: Any) -> Callable[[], Any]:
    q, k, v = (nn.Parameter(torch.randn(2, 12, 9, 4, dtype=dtype)) for _ in range(3))
    attend = nn.functional.scaled_dot_product_attention
    return lambda: attend(q, k, v).square().sum().backward()


#: Large ops, and how many results of each are thinned out.
LARGE = {affine: 4, product: 3, convolution: 4, attention: 4}


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
@pytest.mark.parametrize("large", LARGE)
def test_a_sample_says_what_all_channels_say(large: Any, dtype: str) -> None:
    step = large(getattr(torch, dtype))
    with gp.record() as full:
        step()
    with gp.record(sample=16) as seen:
        step()
    assert gp.check(seen).exit_code == gp.check(full).exit_code == 0
    mine, whole = ({f.quantity: f for f in each.findings} for each in (seen, full))
    assert {*whole} <= {*mine}  # what was added to .grad is there besides
    fewer = [q for q in whole if mine[q].elements < whole[q].elements]
    assert len(fewer) == LARGE[large]
    assert all(mine[q].power for q in fewer)


@pytest.mark.parametrize("large", LARGE)
def test_the_coverage_says_so(large: Any) -> None:
    step = large(torch.float64)
    with gp.record(sample=16) as seen:
        step()
    assert "; 16 channels of each were judged: aten." in seen.coverage_in_words
    assert seen.coverage == 1.0
    with gp.record(sample=4096) as seen:
        step()
    assert "channels" not in seen.coverage_in_words


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The calls of what is recorded."""
    from gradparity.adapters.torch.record import backward

    kept: list[Any] = []
    plain = backward.call_of

    def noted(*args: Any) -> Any:
        kept.append(plain(*args))
        return kept[-1]

    monkeypatch.setattr(backward, "call_of", noted)
    return kept


@pytest.mark.parametrize("large", LARGE)
def test_a_wrong_element_of_any_result_has_its_index_in_the_whole(
    large: Any, calls: list[Any]
) -> None:
    with gp.record():
        large(torch.float64)()
    (call,) = (c for c in calls if thinned(c, 16))
    results = [(o.gradient, str(o.source)) for o in call.inputs if o.asked]
    results.append((call.z[0], f"value {call.place.node}"))
    assert len(results) == LARGE[large]
    for array, named in results:
        places = [(p, q) for p in thinned(call, 16) for q in p.at if named in str(q)]
        ((part, q),) = places
        axis, chosen = part.at[q]
        index = [1] * array.ndim
        index[axis] = int(chosen[len(chosen) // 2])
        right = array[tuple(index)]
        array[tuple(index)] += 1.0
        wrong = [
            part.placed(f)
            for part in thinned(call, 16)
            for f in findings_of_call(part.call)
            if f.parity is False
        ]
        assert tuple(index) in [f.index for f in wrong if f.quantity == q]
        assert [[e.index for e in f.worst] for f in wrong if f.quantity == q] == [[tuple(index)]]
        array[tuple(index)] = right


def test_a_guard_takes_it_too() -> None:
    step, guard = affine(torch.float64), gp.guard(sample=16)
    with guard:
        step()
    (report,) = guard.reports.values()
    assert "16 channels" in str(report)


@pytest.mark.parametrize("sample", [0, -1, 1.5, True, "all"])
def test_what_is_no_number_of_channels_is_refused(sample: Any) -> None:
    for take in (gp.record, gp.guard):
        with pytest.raises(ValueError, match="give a positive number of channels"):
            take(sample=sample)


def test_it_is_for_pytorch() -> None:
    jnp = pytest.importorskip("jax.numpy")
    with pytest.raises(TypeError, match="sample is for PyTorch"):
        gp.record(lambda x: jnp.exp(x).sum(), jnp.ones(3), sample=16)


class TestProgress:
    def test_it_rises_to_the_end_in_both_frameworks(self) -> None:
        jnp = pytest.importorskip("jax.numpy")
        told: list[tuple[str, float]] = []
        step = convolution(torch.float64)
        with gp.record(progress=lambda message, done: told.append((message, done))):
            step()
        assert self.rises(told)
        assert told[0][0].startswith("judging ")
        told.clear()
        gp.record(
            lambda x: jnp.tanh(jnp.exp(x)).sum(),
            jnp.ones(3),
            progress=lambda message, done: told.append((message, done)),
        )
        assert self.rises(told)

    @staticmethod
    def rises(told: list[tuple[str, float]]) -> bool:
        shares = [done for _, done in told]
        return len(shares) > 2 and shares == sorted(shares) and shares[-1] == 1.0 > shares[0]

    def test_one_that_is_no_function_is_refused(self) -> None:
        with pytest.raises(TypeError, match="progress is 3"), gp.record(progress=3):
            pass
