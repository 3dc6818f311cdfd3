"""Forward and backward pass, scalar form (lecture, section 5): one unit at a time.

The second implementation, deliberately slow: Python floats in loops over instances t and units i,
j, with the lecture's own table of f and f' and of dy_j/dz_i.  It shares no formula with the vector
form (`backprop`), which is tested against it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ..arithmetic.arrays import NDArray
from ..formulas import activations as act
from ..formulas import cross_entropies as entropy
from ..formulas import divergences as div
from ..formulas import layers as lay
from ..formulas import maxima
from ..formulas import piecewise as pieces
from ..formulas.embedding import Embedding
from ..formulas.op import Kinked, Op
from ..network.case import Case, check_case
from ..network.nodes import Edge
from ..network.trace import Trace

__all__ = ["scalar_backprop"]

Row = list[float]  # one instance: a number per unit
Rows = list[Row]  # a row per instance, per input, or of a matrix

SELU_A, SELU_S = 1.6732632423543772, 1.0507009873554805
VECTOR = (lay.Softmax, lay.LogSoftmax, lay.Products, lay.VectorActivation, maxima.Max,
          maxima.MaxSubsets, maxima.Take)  # fmt: skip


def scalar_backprop(case: Case) -> Trace:
    """The trace of `backprop`, computed unit by unit in float64.

    Parameters
    ----------
    case : of dtype float64; a network of any inputs (T, D), or integers (T,) for an `Embedding`,
        whose values are (T, D).

    Returns
    -------
    Trace, with the same names as `backprop` gives.

    Raises
    ------
    ValueError : for a case of another dtype.
    TypeError : an op or a divergence without a scalar form, such as a `VectorActivation` given by
        its `pullback`; values of other shapes, or a network without a divergence.

    >>> from gradparity.core import *
    >>> net = layered([Affine(1, 1), ReLU()], L2())
    >>> trace = scalar_backprop(Case(net, {"W1": [[2.0]], "b1": [0.5]}, x=[[1.0]], d=[[2.0]]))
    >>> trace.Err, trace.grad["W1"], trace.grad["x"]
    (0.125, array([[0.5]]), array([[1.]]))
    """
    check_case("scalar_backprop", case)
    if case.dtype != np.float64:
        raise ValueError(
            f"the case is of dtype {case.dtype}, the scalar form is float64 only; "
            "give case.astype(np.float64)"
        )
    network, instances = case.network, range(case.T)
    _refuse_other_shapes(case)
    d: Rows = case.desired.tolist()

    # Forward: node by node, instance by instance; everything is stored.
    value: dict[str, Rows] = {name: rows_of(a) for name, a in case.inputs.items()}
    backward: dict[str, list[Callable[[Row], Rows]]] = {}  # dDiv/dy from dDiv/dz, by instance
    for step in network.body:
        own = {letter: case.params[name].tolist() for letter, name in step.parameters.items()}
        a = negative_slopes(step.op, value[step.inputs[0]])
        layers = [
            layer(step.op, own, [value[name][t] for name, _ in step.taken], a[t]) for t in instances
        ]
        value[step.name] = [z for z, _ in layers]
        backward[step.name] = [back for _, back in layers]
    Y = value[network.output]
    assert network.divergence is not None
    Divs = [divergence(network.divergence, Y[t], d[t]) for t in instances]
    w = [1.0 for _ in instances]
    if network.weights is not None:
        w = np.broadcast_to(case.inputs[network.weights], (case.T,)).tolist()
    Div = [w[t] * Divs[t][0] if w[t] else 0.0 for t in instances]
    dDiv = network.scale / (sum(w) if network.reduction == "mean" else 1.0)
    Err = dDiv * sum(Div)

    # Backward: dDiv/dY, then for k = N..1; a value with several uses sums over them.
    free = {*value} - ({*case.inputs} - {*case.differentiated})
    grad: dict[str, Rows] = {n: [[0.0 for _ in row] for row in value[n]] for n in free}
    grad_p: dict[str, NDArray] = {}
    edge_grad: dict[Edge | tuple[str, str], NDArray] = {}

    def use(edge: Edge, dy: Rows) -> None:
        edge_grad[edge] = np.array(dy)
        for t in instances:
            for i in range(len(dy[t])):
                grad[edge.source][t][i] += dy[t][i]

    dY = [[dDiv * w[t] * g if w[t] else 0.0 for g in Divs[t][1]] for t in instances]
    use(Edge(network.output, "Div"), dY)
    for step in reversed(network.body):
        dz = grad[step.name]
        edges = dict(zip(step.op.parameter_shapes(), step.edges[len(step.taken) :], strict=False))
        for letter, g in parameter_gradients(step.op, value[step.inputs[0]], dz).items():
            name, edge = step.parameters[letter], edges[letter]
            grad_p[name] = np.array(g) + grad_p.get(name, 0.0)
            if edge is not None and network.has_own_uses(name):
                edge_grad[edge] = np.array(g)
        dy = [backward[step.name][t](dz[t]) for t in instances]
        for slot, (_, edge) in enumerate(step.taken):
            if edge is not None and edge.source in free:
                use(edge, [dy[t][slot] for t in instances])

    gradients = {n: np.array(rows).reshape(case.shapes[n]) for n, rows in grad.items()}
    for name in network.trained:  # zero where nothing takes it
        gradients[name] = grad_p.get(name, np.zeros(case.params[name].shape))
    gradients["Div"] = np.array([dDiv for _ in instances])
    values = {name: np.array(z) for name, z in value.items() if name not in case.inputs}
    versions = {"numpy": np.__version__}
    return Trace(Err, np.array(Div), values, gradients, edge_grad, "numpy scalar", versions)


def _refuse_other_shapes(case: Case) -> None:
    """The loops are over samples and units."""
    network = case.network
    if network.divergence is None:
        raise _refused(f"the network ends at {', '.join(network.ends)} and has no divergence")
    T = case.desired.shape[0]
    for step in network.body:
        if len(step.values) > 1:
            raise _refused(f"node {step.name!r} ({step.op.name}) gives {', '.join(step.values)}")
        for name in (*(name for name, _ in step.taken), step.name):
            shape, given = case.shapes[name], case.inputs.get(name)
            ids = given is not None and given.dtype.kind in "iu" and step.op.integers
            if name in network.parameters:
                raise _refused(f"node {step.name!r} takes the parameter {name!r} as a value")
            if not (len(shape) == 2 or (ids and len(shape) == 1)) or shape[0] != T:
                raise _refused(f"{name!r} has shape {shape}, and there are {T} samples")
        other = [n for letter, n in step.given.items() if letter not in step.parameters]
        if other:
            raise _refused(f"node {step.name!r} takes the value {other[0]!r} as a parameter")
        widths = {case.shapes[name] for name, _ in step.taken}
        if isinstance(step.op, lay.Add | lay.Multiply) and len(widths) > 1:
            shapes = " and ".join(map(str, sorted(widths)))
            raise _refused(f"node {step.name!r} ({step.op.name}) takes values of shapes {shapes}")


def _refused(received: str) -> TypeError:
    return TypeError(
        f"{received}; the scalar form takes networks with a divergence, one value (T, D) per node, "
        "Add and Multiply of equal shapes, and parameters as they are; use `backprop`, which takes "
        "any network"
    )


def rows_of(array: NDArray) -> Rows:
    """A row per instance; of integers (T,), rows of one."""
    rows: Rows = array.reshape(len(array), -1).tolist()
    return rows


def parameter_gradients(op: Op, y: Rows, dz: Rows) -> dict[str, Any]:
    """The gradients of a node's parameters by letter.

    dDiv/dw_ij = sum_t y_i dz_j and dDiv/db_j = sum_t dz_j; dDiv/de_ij = sum_{t: id_t = i} dz_j.
    """
    instances = range(len(y))
    if isinstance(op, Embedding):
        chosen = [[t for t in instances if y[t][0] == i != op.padding_idx] for i in range(op.n)]
        return {"E": [[sum(dz[t][j] for t in ts) for j in range(op.d)] for ts in chosen]}
    if not isinstance(op, lay.Affine):
        return {}
    ins, outs = range(op.n_in), range(op.n_out)
    dW = [[sum(y[t][i] * dz[t][j] for t in instances) for j in outs] for i in ins]
    db = [sum(dz[t][j] for t in instances) for j in outs]
    return {"W": dW, "b": db} if op.bias else {"W": dW}


def layer(op: Op, p: dict[str, Any], y: Rows, a: Row) -> tuple[Row, Callable[[Row], Rows]]:
    """One instance: z from one row y per input, and dDiv/dy of each input from dDiv/dz."""
    ins = range(len(y[0]))
    match op:
        case lay.Affine():  # z_j = sum_i w_ij y_i + b_j; dDiv/dy_i = sum_j w_ij dDiv/dz_j
            W, outs = p["W"], range(op.n_out)
            b = p["b"] if op.bias else [0.0] * op.n_out
            z = [sum(W[i][j] * y[0][i] for i in ins) + b[j] for j in outs]
            return z, lambda dz: [[sum(W[i][j] * dz[j] for j in outs) for i in ins]]
        case Embedding():  # z = row `id` of E; an id has no gradient
            return list(p["E"][int(y[0][0])]), lambda dz: [[]]
        case lay.Add():
            return [sum(row[i] for row in y) for i in ins], lambda dz: [dz for _ in y]
        case lay.Multiply():
            z = [y[0][i] * y[1][i] for i in ins]
            return z, lambda dz: [[dz[i] * y[other][i] for i in ins] for other in (1, 0)]
        case lay.Concatenate():
            starts = [sum(len(row) for row in y[:k]) for k in range(len(y))]
            spans = [range(s, s + len(row)) for s, row in zip(starts, y, strict=True)]
            return [y_i for row in y for y_i in row], lambda dz: [[dz[i] for i in s] for s in spans]
        case Op() if isinstance(op, VECTOR):  # dDiv/dz_i = sum_j dDiv/dy_j dy_j/dz_i
            z, J = vector(op, y[0])
            return z, lambda dz: [[sum(dz[j] * J[j][i] for j in range(len(dz))) for i in ins]]
    # dDiv/dz_i = f'(z_i) dDiv/dy_i
    f, df = zip(*(scalar(op, y[0][i], a[i]) for i in ins), strict=True)
    return list(f), lambda dz: [[df[i] * dz[i] for i in ins]]


def scalar(op: Op, z: float, a: float) -> tuple[float, float]:
    """y = f(z) and f'(z), the table of section 2; a is the slope of a leaky unit for z < 0."""
    match op:
        case act.Identity():
            return z, 1.0
        case act.Sigmoid():
            return sigmoid(z), sigmoid(z) * sigmoid(-z)
        case act.Tanh():
            t = math.exp(-2 * abs(z))  # 1 - tanh^2 z cancels
            return math.tanh(z), 4 * t / (1 + t) ** 2
        case pieces.ReLU():
            return max(z, 0.0), slope(op, z, 0.0, 1.0)
        case pieces.LeakyReLU() | pieces.RandomizedLeakyReLU():
            return z if z > 0 else a * z, slope(op, z, a, 1.0)
        case act.Softplus() if op.threshold is not None and z > op.threshold:
            return z, 1.0
        case act.Softplus():
            return log1p_exp(z), sigmoid(z)
        case pieces.ELU():
            e = math.exp(min(z, 0.0))
            return z if z > 0 else op.a * math.expm1(z), slope(op, z, op.a * e, 1.0)
        case pieces.SELU():
            s, sa, e = SELU_S, SELU_S * SELU_A, math.exp(min(z, 0.0))
            return s * z if z > 0 else sa * math.expm1(z), slope(op, z, sa * e, s)
        case act.SiLU():
            t = op.b * z
            s = sigmoid(t)
            return z * s, s + t * s * sigmoid(-t)
        case act.GELU() if op.approximate == "none":
            Phi = math.erfc(-z / math.sqrt(2)) / 2
            return z * Phi, Phi + z * math.exp(-z * z / 2) / math.sqrt(2 * math.pi)
        case act.GELU():
            c = math.sqrt(2 / math.pi)
            t = math.tanh(c * (z + 0.044715 * z * z * z))
            dt = (1 - t * t) * c * (1 + 3 * 0.044715 * z * z)
            return z * (1 + t) / 2, (1 + t) / 2 + z * dt / 2
        case pieces.Hardtanh():
            low, high = op.low, op.high
            left, right = slope(op, z, 0.0, 1.0, at=low), slope(op, z, 1.0, 0.0, at=high)
            return min(max(z, low), high), left if z < high else right
    raise no_scalar_form(op)


def slope(op: Kinked, z: float, left: float, right: float, at: float = 0.0) -> float:
    """The one-sided slope, or at the kink the element of the subdifferential that the op names."""
    if z != at:
        return right if z > at else left
    if isinstance(op.subgradient, str):
        return {"left": left, "right": right}[op.subgradient]
    return float(op.subgradient)


def negative_slopes(op: Op, z: Rows) -> Rows:
    """The slope for z < 0 of every unit of every instance; 0 for units that are not leaky."""
    if isinstance(op, pieces.RandomizedLeakyReLU):
        rows = np.array(z)
        drawn: Rows = (op.sample(rows) if op.training else np.full_like(rows, op.mean)).tolist()
        return drawn
    return [[op.a if isinstance(op, pieces.LeakyReLU) else 0.0 for _ in row] for row in z]


def vector(op: Op, z: Row) -> tuple[Row, Rows]:
    """y = f(z) of a vector activation and its Jacobian J[j][i] = dy_j/dz_i, one instance."""
    units = range(len(z))
    match op:
        case lay.Softmax():  # dy_i/dz_j = y_i (delta_ij - y_j)
            y = [math.exp(z_i - log_sum_exp(z)) for z_i in z]
            return y, [[y[i] * (delta(i, j) - y[j]) for j in units] for i in units]
        case lay.LogSoftmax():  # dy_i/dz_j = delta_ij - e^{y_j}
            y = [z_i - log_sum_exp(z) for z_i in z]
            return y, [[delta(i, j) - math.exp(y[j]) for j in units] for i in units]
        case maxima.Max() | maxima.MaxSubsets():
            # 1 for the largest of the group; at a tie the weights that the op names
            y, J = [], []
            for k, group in enumerate(groups_of(op, len(z))):
                y.append(max(z[j] for j in group))
                tied = [j for j in group if z[j] == y[k]]
                won = {"first": tied[:1], "last": tied[-1:], "even": tied}[op.ties]
                J.append([1 / len(won) if i in won else 0.0 for i in units])
            return y, J
        case maxima.Take():
            return [z[k] for k in op.indices], [[delta(k, i) for i in units] for k in op.indices]
        case lay.Products():  # d(z_j z_k)/dz_j = z_k and d(z_j z_k)/dz_k = z_j; 2 z_j where k = j
            J = [[delta(i, j) * z[k] + delta(i, k) * z[j] for i in units] for j, k in op.pairs]
            return [z[j] * z[k] for j, k in op.pairs], J
        case lay.VectorActivation() if op.jacobian is not None:
            one = np.array([z])
            y, J = (np.asarray(f(one))[0].tolist() for f in (op.function, op.jacobian))
            return y, J
        case lay.VectorActivation():
            raise TypeError("VectorActivation: the scalar form needs jacobian=, this has pullback=")
    raise no_scalar_form(op)


def groups_of(op: maxima.Max | maxima.MaxSubsets, n: int) -> Any:
    """The indices of each group of a maximum over n units."""
    if isinstance(op, maxima.MaxSubsets):
        return op.subsets
    sizes = (n,) if op.sizes is None else op.sizes
    return [range(sum(sizes[:k]), sum(sizes[: k + 1])) for k in range(len(sizes))]


def divergence(op: div.Divergence, y: Row, d: Row) -> tuple[float, Row]:
    """Div(Y, d) of one instance and dDiv/dY_i, the table of section 3."""
    if isinstance(op, entropy.CrossEntropy):  # the smoothed target; a soft d is a mixture of such
        K, eps = len(d), op.eps
        d = [d_i * (1 - (K - 1) * eps) + (1 - d_i) * eps for d_i in d]
    pairs = list(zip(y, d, strict=True))
    match op:
        case div.L2():
            Div = sum((y_i - d_i) ** 2 for y_i, d_i in pairs) / 2
            dY = [y_i - d_i for y_i, d_i in pairs]
        case div.LinearLoss():
            Div, dY = sum(d_i * y_i for y_i, d_i in pairs), list(d)
        case entropy.BinaryCrossEntropy() if op.on == "logits":  # -log sigmoid(z) = log(1 + e^-z)
            Div = sum(d_i * log1p_exp(-z) + (1 - d_i) * log1p_exp(z) for z, d_i in pairs)
            dY = [sigmoid(z) - d_i for z, d_i in pairs]
        case entropy.BinaryCrossEntropy():
            Div = sum(-d_log(d_i, y_i) - d_log(1 - d_i, 1 - y_i) for y_i, d_i in pairs)
            dY = [over(1 - d_i, 1 - y_i) - over(d_i, y_i) for y_i, d_i in pairs]
        case entropy.CrossEntropy() if op.on == "logits":  # dDiv/dz_i = y_i sum_j d_j - d_i
            Div = sum(d_i * (log_sum_exp(y) - z) for z, d_i in pairs)
            dY = [math.exp(z - log_sum_exp(y)) * sum(d) - d_i for z, d_i in pairs]
        case entropy.CrossEntropy():
            Div = sum(-d_log(d_i, y_i) for y_i, d_i in pairs)
            dY = [-over(d_i, y_i) for y_i, d_i in pairs]
        case _:
            raise no_scalar_form(op)
    match op:  # KL is cross-entropy minus the entropy of d
        case entropy.BinaryKL():
            Div += sum(d_log(d_i, d_i) + d_log(1 - d_i, 1 - d_i) for d_i in d)
        case entropy.KL():
            Div += sum(d_log(d_i, d_i) for d_i in d)
    return Div, dY


def sigmoid(z: float) -> float:
    """1 / (1 + e^-z)."""
    return 1 / (1 + math.exp(-z)) if z >= 0 else math.exp(z) / (1 + math.exp(z))


def log1p_exp(z: float) -> float:
    """log(1 + e^z) = z + log(1 + e^-z)."""
    return z + math.log1p(math.exp(-z)) if z > 0 else math.log1p(math.exp(z))


def log_sum_exp(z: Row) -> float:
    """log sum_j e^{z_j}."""
    return max(z) + math.log(sum(math.exp(z_j - max(z)) for z_j in z))


def d_log(d: float, y: float) -> float:
    """d log y, with 0 log 0 = 0."""
    if d == 0:
        return 0.0
    return d * math.log(y) if y > 0 else -math.inf if y == 0 else math.nan


def over(d: float, y: float) -> float:
    """d / y, with 0 / 0 = 0."""
    return 0.0 if d == 0 else d / y if y else math.copysign(math.inf, y)


def delta(i: int, j: int) -> float:
    return 1.0 if i == j else 0.0


def no_scalar_form(op: Op | div.Divergence) -> TypeError:
    return TypeError(
        f"{op.name} has no scalar form: it is written for the ops and divergences of "
        "gradparity.core alone; use `backprop`, which takes any"
    )
