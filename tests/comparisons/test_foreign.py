"""Correct code that real repositories contain: each way of writing it must pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import gradparity as gp
from crossed import crossed
from gradparity.core import (
    ELU,
    L2,
    SELU,
    Affine,
    BatchNorm,
    BinaryCrossEntropy,
    Case,
    Conv,
    CrossEntropy,
    Network,
    Node,
    Op,
    ReLU,
    Reshape,
    Sigmoid,
    Softmax,
    Tanh,
    backprop,
    layered,
)

Formula = Callable[[Any], Any]


def _sign_tanh(z: Any) -> Any:
    e = np.exp(-2 * np.abs(z))
    return np.sign(z) * (1 - e) / (1 + e)


def _sigmoid(z: Any) -> Any:
    return 1 / (1 + np.exp(-z))


FORMS: dict[str, tuple[Op, Formula, Formula]] = {
    "tanh by two exponentials": (
        Tanh(),
        lambda z: (np.exp(z) - np.exp(-z)) / (np.exp(z) + np.exp(-z)),
        lambda y: 1 - y**2,
    ),
    "tanh by one exponential of -2|z|": (Tanh(), _sign_tanh, lambda y: 1 - y**2),
    "tanh by the sigmoid": (Tanh(), lambda z: 2 * _sigmoid(2 * z) - 1, lambda y: 1 - y**2),
    "sigmoid by tanh": (Sigmoid(), lambda z: (1 + np.tanh(z / 2)) / 2, lambda y: y * (1 - y)),
    "sigmoid by one exponential": (
        Sigmoid(),
        lambda z: np.exp(z) / (1 + np.exp(z)),
        lambda y: y * (1 - y),
    ),
    "ELU by e^z - 1": (
        ELU(),
        lambda z: np.where(z > 0, z, np.exp(z) - 1),
        lambda y: np.where(y > 0, 1, y + 1),
    ),
    "SELU by e^z - 1": (
        SELU(),
        lambda z: 1.0507009873554805 * np.where(z > 0, z, 1.6732632423543772 * (np.exp(z) - 1)),
        lambda y: np.where(y > 0, 1.0507009873554805, y + 1.0507009873554805 * 1.6732632423543772),
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_another_form_of_an_activation(form: str) -> None:
    op, f, df = FORMS[form]
    net = layered([Affine(5, 4), op], L2())
    case = Case.random(net, batch=16)

    def mine(case: Case) -> dict[str, Any]:
        z = case.x @ case.params["W1"] + case.params["b1"]
        y = f(z).astype(z.dtype)
        dy = (y - case.desired) / case.dtype.type(len(y))
        dz = (dy * df(y)).astype(z.dtype)
        named = {"value z1": z, "value y1": y, "grad y1": dy, "grad z1": dz}
        return {**named, "grad W1": case.x.T @ dz, "grad b1": dz.sum(0)}

    assert gp.check(case, mine)


@pytest.mark.parametrize("added", [1e-12, 1e-9, 1e-7])
def test_a_logarithm_with_a_small_number_added(added: float) -> None:
    """It is another value of the loss: a convention with its number, and no mistake."""
    case = Case.random(
        layered([Affine(5, 4), Softmax()], CrossEntropy(on="probabilities")), batch=16
    )
    trace = backprop(case)
    trace.Div = -np.log(trace.value["y1"] + added)[np.arange(16), case.d]
    trace.Err = float(trace.Div.mean())
    found = [f for f in gp.comparisons.judge(case, trace) if f.parity is False]
    assert {str(f.verdict) for f in found} == {"convention"}


LOGS: dict[str, tuple[Any, Formula]] = {
    "log-eps=1e-12": (CrossEntropy(), lambda p: p + 1e-12),
    "log-eps=1e-08": (BinaryCrossEntropy(), lambda p: p + 1e-8),
    "log-clip=0.001": (CrossEntropy(), lambda p: np.clip(p, 0.001, 1 - 0.001)),
    "log-clip=1e-07": (BinaryCrossEntropy(), lambda p: np.clip(p, 1e-7, 1 - 1e-7)),
}


@pytest.mark.sample(2)
@pytest.mark.parametrize("with_div", [True, False])
@pytest.mark.parametrize("allowed", LOGS)
def test_a_kept_logarithm_is_allowed_with_its_number(allowed: str, with_div: bool) -> None:
    divergence, kept = LOGS[allowed]
    case = Case.random(layered([Affine(5, 4)], divergence), batch=16)
    case = Case(case.network, {n: 4 * p for n, p in case.params.items()}, 2 * case.x, case.d)

    def mine(case: Case) -> dict[str, Any]:
        trace = backprop(case)
        z, d = trace.value["z1"], case.desired
        if isinstance(divergence, BinaryCrossEntropy):
            p, q = _sigmoid(z), _sigmoid(-z)
            div = -(d * np.log(kept(p)) + (1 - d) * np.log(kept(q))).sum(-1)
        else:
            e = np.exp(z - z.max(-1, keepdims=True))
            div = -(d * np.log(kept(e / e.sum(-1, keepdims=True)))).sum(-1)
        div = div.astype(z.dtype)
        loss = {"Div": div, "Err": div.mean()} if with_div else {"Err": div.mean()}
        return {**loss, "value z1": z, "grad W1": trace.grad["W1"], "grad b1": trace.grad["b1"]}

    if with_div or "clip" not in allowed:
        report = gp.check(case, mine, dtypes=["float64"], allow=[allowed])
        assert report, str(report)
        named = {f.convention for _, f in report.findings() if f.declared}
        assert named == {allowed.partition("=")[0]}
    assert not gp.check(case, mine, dtypes=["float64"])
    assert not gp.check(case, mine, dtypes=["float64"], allow=["log-eps=2e-12", "log-clip=0.002"])


def test_batch_norm_as_a_pair_of_ones_own() -> None:
    op = BatchNorm(3)

    def parts(x: Any) -> tuple[Any, Any]:
        mean = x.mean(0)
        r = 1 / np.sqrt(((x - mean) ** 2).mean(0) + op.eps)
        return (x - mean) * r, r

    def forward(x: Any, g: Any, b: Any) -> Any:
        return parts(x)[0] * g + b

    def backward(dz: Any, x: Any, g: Any, b: Any) -> Any:
        n, r = parts(x)
        dn = dz * g
        dx = (dn - dn.mean(0) - n * (dn * n).mean(0)) * r
        return dx, (dz * n).sum(0), dz.sum(0)

    report = gp.check_op(forward, backward, reference=op)
    assert report, str(report)

    def forgetful(dz: Any, x: Any, g: Any, b: Any) -> Any:
        """The mean and the variance held constant, as in evaluation."""
        n, r = parts(x)
        return dz * g * r, (dz * n).sum(0), dz.sum(0)

    wrong = gp.check_op(forward, forgetful, reference=op)
    assert {f.quantity for _, f in wrong.findings() if f.parity is False} == {"grad y"}


def test_batch_norm_of_pytorch() -> None:
    torch = pytest.importorskip("torch")

    def forward(x: Any, g: Any, b: Any) -> Any:
        return torch.nn.functional.batch_norm(x, None, None, g, b, training=True)

    report = gp.check_op(forward, "torch", reference=BatchNorm(3), shape=(3, 4, 2))
    assert report, str(report)


def test_code_of_float32_alone_with_a_convention_that_is_allowed() -> None:
    case = Case.random(layered([Affine(5, 4), Tanh()], L2()), batch=16)

    def mine(case: Case) -> dict[str, Any]:
        given = backprop(case.astype("float32"))
        return {"grad W1": given.grad["W1"] * np.float32(16)}

    assert gp.check(case, mine, dtypes=["float32"], allow=["sum"])


def test_a_function_of_pytorch_within_a_pair_for_numpy() -> None:
    torch = pytest.importorskip("torch")

    def forward(z: Any) -> Any:
        return torch.relu(torch.from_numpy(z)).numpy()

    def backward(dz: Any, z: Any) -> Any:
        return dz * (z > 0)

    report = gp.check_op(forward, backward, reference=ReLU(subgradient="left"))
    assert report, str(report)


def test_results_in_the_other_byte_order() -> None:
    case = Case.random(layered([Affine(5, 4), Tanh()], L2()), batch=16)

    def mine(case: Case) -> dict[str, Any]:
        return {name: g.astype(g.dtype.newbyteorder(">")) for name, g in _gradients(case).items()}

    assert gp.check(case, mine)


def _gradients(case: Case) -> dict[str, Any]:
    grad = backprop(case).grad
    return {f"grad {name}": grad[name] for name in ("W1", "b1")}


def _strassen(a: Any, b: Any, level: int) -> Any:
    if not level:
        return a @ b
    h = len(a) // 2
    a11, a12, a21, a22 = a[:h, :h], a[:h, h:], a[h:, :h], a[h:, h:]
    b11, b12, b21, b22 = b[:h, :h], b[:h, h:], b[h:, :h], b[h:, h:]

    def product(x: Any, y: Any) -> Any:
        return _strassen(x, y, level - 1)

    m1 = product(a11 + a22, b11 + b22)
    m2 = product(a21 + a22, b11)
    m3 = product(a11, b12 - b22)
    m4 = product(a22, b21 - b11)
    m5 = product(a11 + a12, b22)
    m6 = product(a21 - a11, b11 + b12)
    m7 = product(a12 - a22, b21 + b22)
    return np.block([[m1 + m4 - m5 + m7, m3 + m5], [m2 + m4, m1 - m2 + m3 + m6]])


@pytest.mark.parametrize("level", [1, 2, 3])
def test_matrix_products_of_strassen(level: int) -> None:
    case = Case.random(layered([Affine(64, 64, bias=False), Tanh()], L2()), batch=64)

    def mine(case: Case) -> dict[str, Any]:
        z = _strassen(case.x, case.params["W1"], level)
        y = np.tanh(z)
        dz = (y - case.desired) / len(y) * (1 - y**2)
        dW = _strassen(np.ascontiguousarray(case.x.T), dz.astype(z.dtype), level)
        return {"value z1": z, "value y1": y, "grad z1": dz.astype(z.dtype), "grad W1": dW}

    assert gp.check(case, mine)


@pytest.mark.sample(3)
@crossed(
    "level, fault, dtype",
    [0, 1, 3],
    ["far off", "by 1e3 bounds", "a row", "a factor", "a bias"],
    ["float64", "float32"],
)
def test_a_wrong_product_is_no_product_of_strassen(level: int, fault: str, dtype: str) -> None:
    case = Case.random(layered([Affine(64, 64, bias=False), Tanh()], L2()), batch=64, dtype=dtype)

    def mine(case: Case) -> dict[str, Any]:
        x, W = case.x, case.params["W1"]
        z = _strassen(x, W, level)
        bound = (64 * np.finfo(z.dtype).eps / 2 * np.abs(x) @ np.abs(W)).astype(z.dtype)
        if fault == "far off":
            z[3, 5] += 1
        elif fault == "by 1e3 bounds":
            z[np.unravel_index(np.argmin(bound), z.shape)] += 1e3 * bound.min()
        elif fault == "a row":
            z[7] += 2 * bound[7]
        elif fault == "a factor":
            z *= 1 + 16 * np.finfo(z.dtype).eps * 64
        else:
            z += 2 * bound.max()
        return {"value z1": z, "grad W1": backprop(case).grad["W1"]}

    found = gp.check(case, mine, dtypes=[dtype]).findings()
    assert {str(f.verdict) for _, f in found if f.quantity == "value z1"} <= {"mismatch"}


@pytest.mark.parametrize("shape", [(3, 12, 12), (2, 16, 16)])
def test_convolution_by_fft(shape: tuple[int, ...]) -> None:
    conv = Node("z", Conv(shape[0], 4, (3, 3), padding=1), "x")
    net = Network(conv, Node("v", Reshape((-1,)), "z"), divergence=L2())
    case = Case.random(net, x=np.random.default_rng(0).standard_normal((4, *shape)))

    def mine(case: Case, wrong: float = 0.0) -> dict[str, Any]:
        x, W = case.x, case.params["W_z"]
        n = x.shape[-1] + 2
        f = np.fft.rfft2(np.pad(x, [(0, 0), (0, 0), (1, 1), (1, 1)]))
        g = np.conj(np.fft.rfft2(W, (n, n)))
        z = np.fft.irfft2(np.einsum("tcij,kcij->tkij", f, g), (n, n))[..., :-2, :-2]
        z = (z + case.params["b_z"][:, None, None]).astype(x.dtype)
        z[1, 2, 3, 4] += wrong
        return {"value z": z}

    def of_z(implementation: Any) -> set[bool | None]:
        found = gp.check(case, implementation).findings()
        return {f.parity for _, f in found if f.quantity == "value z"}

    assert of_z(mine) == {True}
    assert of_z(lambda case: mine(case, 1e-3)) == {False}


def test_autocast_to_bfloat16_is_named_once() -> None:
    torch = pytest.importorskip("torch")
    case = Case.random(layered([Affine(32, 16), Tanh()], L2()), batch=16, dtype="float32")

    def mine(case: Case) -> dict[str, Any]:
        W, b = (torch.tensor(case.params[n], requires_grad=True) for n in ("W1", "b1"))
        with torch.autocast("cpu", torch.bfloat16):
            y = torch.tanh(torch.nn.functional.linear(torch.tensor(case.x), W.T, b))
        loss = ((y.float() - torch.tensor(case.desired)) ** 2).sum(-1).mean() / 2
        loss.backward()
        return {"grad W1": W.grad.numpy(), "grad b1": b.grad.numpy()}

    report = gp.check(case, mine, dtypes=["float32"])
    assert {f.note for _, f in report.findings()} == {"matrix products in bfloat16"}


def test_a_run_in_bfloat16_that_is_finer_is_told() -> None:
    case = Case.random(layered([Affine(5, 4), Tanh()], L2()), batch=16, dtype="bfloat16")

    def fine(case: Case) -> dict[str, Any]:
        y = np.tanh(case.x @ case.params["W1"] + case.params["b1"])
        dz = (y - case.desired) / np.float32(len(y)) * (1 - y**2)
        return {"grad W1": case.x.T @ dz}

    def rounded(case: Case) -> dict[str, Any]:
        return {name: case.precision.round(g) for name, g in fine(case).items()}

    def told(implementation: Any) -> list[str]:
        report = gp.check(case, implementation, dtypes=["bfloat16"])
        assert report, str(report)
        return [f.note for _, f in report.findings() if f.quantity == "number format"]

    assert "more digits than bfloat16" in told(fine)[0]
    assert not told(rounded)


#: A network in which a value is used by the next node, and its gradient by the one before.
TWO = layered([Affine(5, 4), Tanh(), Affine(4, 3)], L2())


def _traced(case: Case, cast: Any = None, only: str = "", twice: str = "") -> dict[str, Any]:
    """All results by hand; cast to a dtype, all or one alone, and one of them doubled."""

    def kept(name: str, array: Any) -> Any:
        array = 2 * array if name == twice else array
        return array.astype(cast) if cast and only in ("", name) else array

    p, x, d = case.params, case.x, case.desired
    found: dict[str, Any] = {}

    def add(name: str, array: Any) -> Any:
        found[name] = kept(name, array)
        return found[name].astype(x.dtype)

    z1 = add("value z1", x @ p["W1"] + p["b1"])
    y1 = add("value y1", np.tanh(z1))
    z2 = add("value z2", y1 @ p["W2"] + p["b2"])
    dz2 = add("grad z2", (z2 - d) / len(x))
    add("grad W2", y1.T @ dz2)
    dy1 = add("grad y1", dz2 @ p["W2"].T)
    dz1 = add("grad z1", dy1 * (1 - y1 * y1))
    add("grad W1", x.T @ dz1)
    return {**found, "grad b1": kept("grad b1", dz1.sum(0)), "grad b2": kept("grad b2", dz2.sum(0))}


def _in_float64(case: Case, **options: Any) -> dict[str, Any]:
    return _traced(case.astype(np.float64), **options)


def _wrong(report: gp.Report) -> list[tuple[str, bool]]:
    """The quantities that are no parity, and whether their numbers were judged."""
    return [(f.quantity, bool(f.elements)) for _, f in report.findings() if f.parity is not True]


def test_a_finer_dtype_is_told_once_and_hides_no_wrong_number() -> None:
    case = Case.random(TWO, batch=16)
    report = gp.check(case, lambda c: _in_float64(c, twice="grad z1"), dtypes=["float32"])
    assert _wrong(report) == [("grad z1", True), ("dtype", False)]
    first, second = report.diagnosis().split("\n\n")[1:3]
    assert "grad z1" in first
    assert "every element is 2 times the formula" in first
    assert "10 of 10 results, such as value z1, have dtype float64, expected float32" in second
    assert _wrong(gp.check(case, _in_float64, dtypes=["float32"])) == [("dtype", False)]
    assert gp.check(case, _in_float64, dtypes=["float32"]).exit_code == 1


@pytest.mark.parametrize("traces", [True, False])
def test_results_of_a_coarser_dtype_are_judged_as_that_dtype(traces: bool) -> None:
    case = Case.random(TWO, batch=16)

    def mine(case: Case, twice: str = "") -> Any:
        case = case.astype(np.float32)
        trace = backprop(case)
        if twice:
            trace.grad[twice] *= 2
        return trace if traces else _traced(case, twice=f"grad {twice}")

    assert _wrong(gp.check(case, mine, dtypes=["float64"])) == [("dtype", False)]
    report = gp.check(case, lambda c: mine(c, "W1"), dtypes=["float64"])
    assert _wrong(report) == [("grad W1", True), ("dtype", False)]
    assert gp.check(case, mine, dtypes=["float32"])


@pytest.mark.sample(4)
@pytest.mark.parametrize("used", [True, False])
@pytest.mark.parametrize("only", ["value z1", "value y1", "grad z2", "grad y1", "grad W1"])
def test_one_result_of_a_coarser_dtype_makes_no_other_a_mismatch(only: str, used: bool) -> None:
    """Whether it was cast before it was used, or only as it was returned."""
    case = Case.random(TWO, batch=16)

    def mine(case: Case) -> Any:
        if used:
            return _traced(case, np.float32, only)
        found = _traced(case)
        return {**found, only: found[only].astype(np.float32)}

    assert _wrong(gp.check(case, mine, dtypes=["float64"])) == [(only, False)]


@pytest.mark.parametrize("only", ["value y1", "grad z2", "grad W1"])
def test_one_wrong_result_of_a_coarser_dtype_is_found(only: str) -> None:
    case = Case.random(TWO, batch=16)

    def mine(case: Case) -> Any:
        return _traced(case, np.float32, only, twice=only)

    assert _wrong(gp.check(case, mine, dtypes=["float64"])) == [(only, True)]


def test_a_wrong_result_next_to_one_of_a_coarser_dtype_is_found() -> None:
    case = Case.random(TWO, batch=16)

    def mine(case: Case) -> Any:
        return _traced(case, np.float32, "value y1", twice="grad W1")

    found = _wrong(gp.check(case, mine, dtypes=["float64"]))
    assert sorted(found) == [("grad W1", True), ("value y1", False)]


def _tanh_in(dtype: Any, factor: float = 1.0) -> tuple[Formula, Callable[..., Any]]:
    """A hand-written tanh and its backward pass, which compute in this dtype."""

    def backward(dz: Any, y: Any) -> Any:
        return factor * dz.astype(dtype) * (1 - np.tanh(y.astype(dtype)) ** 2)

    return lambda y: np.tanh(y.astype(dtype)), backward


@pytest.mark.parametrize(
    ("dtype", "asked", "right"),
    [
        (np.float64, "float32", [("dtype", False)]),
        (np.float32, "float64", [("grad y", False), ("value z", False)]),
    ],
)
def test_check_op_tells_a_wrong_dtype_and_a_wrong_number(
    dtype: Any, asked: str, right: list[tuple[str, bool]]
) -> None:
    def wrong(factor: float) -> dict[str, set[tuple[str, bool]]]:
        report = gp.check_op(*_tanh_in(dtype, factor), reference=Tanh(), dtypes=[asked])
        found: dict[str, set[tuple[str, bool]]] = {}
        for run, f in report.findings():
            if f.parity is False:
                found.setdefault(run.case, set()).add((f.quantity, f.outside > 0))
        return found

    assert wrong(1.0)["random_points"] == set(right)
    assert wrong(1.0)["shape_and_dtype"] == set(right)
    assert wrong(2.0)["random_points"] == {*right, ("grad y", True)} - {("grad y", False)}
