"""A correct adapter written with the core, and what is wrong with each that is derived from it."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from gradparity import core, ops
from gradparity.adapters import AdapterError, DeviceError, Trainer
from gradparity.core import Case, Compound, Divergence, Network, Op, Trace, backprop, checked_params

ZOO: dict[str, tuple[type, str]] = {}


class Sound:
    """An adapter of the core itself: it keeps every promise."""

    name = "sound"

    def versions(self) -> dict[str, str]:
        return {"sound": "1.0"}

    def run(self, case: Case, *, dtype: Any = None, device: str | None = None) -> Trace:
        case = case if dtype is None else case.astype(dtype)
        if device not in (None, "cpu"):
            raise DeviceError(f"sound cannot use the device {device!r}")
        if case.precision.name not in ("float64", "float32"):
            raise AdapterError(f"sound has no {case.precision.name}")
        self.build(case.network, case.params)
        return self.computed(case)

    def computed(self, case: Case) -> Trace:
        trace = backprop(case)
        Err: Any = None if trace.Err is None else float(trace.Err)
        trace = replace(trace, Err=Err, adapter=self.name, versions=self.versions())
        for group in (trace.value, trace.grad, trace.edge_grad):
            for key, array in group.items():
                group[key] = np.array(array)
        return trace

    def run_all(self, cases: Any, *, dtype: Any = None, device: str | None = None) -> Any:
        return [self.run(case, dtype=dtype, device=device) for case in cases]

    def build(self, network: Network, params: Any) -> Any:
        known = [*vars(core).values(), *vars(ops).values()]
        for node in network.nodes:
            if type(node.op) not in known:
                raise AdapterError(f"the sound adapter has no function for {node.op.name}")
        if network.divergence is not None and type(network.divergence) not in known:
            raise AdapterError(f"the sound adapter has no loss for {network.divergence.name}")
        return checked_params(network, params)

    def export(self, network: Network, native: Any) -> Any:
        return {name: p.copy() for name, p in native.items()}


def fails(check: str, message: str) -> Callable[[type], type]:
    """This adapter fails that check, with such a message."""

    def register(broken: type) -> type:
        ZOO[f"{check}: {broken.__name__}"] = broken, message
        return broken

    return register


def changed(**how: Callable[[Case, Trace], Any]) -> type:
    """`Sound`, whose trace has these attributes computed otherwise."""

    class Changed(Sound):
        def computed(self, case: Case) -> Trace:
            trace = super().computed(case)
            return replace(trace, **{name: f(case, trace) for name, f in how.items()})

    return Changed


def without(mapping: Any, *keys: Any) -> Any:
    return {key: value for key, value in mapping.items() if key not in keys}


def wrong_at(select: Callable[[Network], set[str]], factor: float = 1.01) -> type:
    """The gradient that leaves these nodes (or "Div") backwards is too large."""

    def edges(case: Case, trace: Trace) -> Any:
        nodes = select(case.network)
        return {
            edge: g * factor if edge.target.split("[")[0] in nodes else g
            for edge, g in trace.edge_grad.items()
        }

    return changed(edge_grad=edges)


def wrong_value_of(op: Op) -> type:
    """The values of this op are too large, with the gradients of that."""

    def values(case: Case, trace: Trace) -> Any:
        wrong = {name for s in case.network.body if s.op == op for name in s.values}
        factor = {name: 1.01 if name in wrong else 1.0 for name in trace.value}
        return {name: v * v.dtype.type(factor[name]) for name, v in trace.value.items()}

    return changed(value=values)


def nodes_with(op: Op | Compound) -> Callable[[Network], set[str]]:
    ops = [part for _, part in op.chain()][-1:] if isinstance(op, Compound) else [op]
    return lambda network: {node.name for node in network.nodes if node.op in ops}


def refusing(op: Op | Compound | Divergence) -> type:
    """`Sound` that has not heard of one op or divergence."""
    ops = [part for _, part in op.chain()] if isinstance(op, Compound) else [op]

    class Refusing(Sound):
        def build(self, network: Network, params: Any) -> Any:
            for thing in (*(node.op for node in network.nodes), network.divergence):
                if thing in ops:
                    raise AdapterError(f"the sound adapter has no {type(thing).__name__}")
            return super().build(network, params)

    return Refusing


def knowing(*kinds: type) -> type:
    """`Sound` that has nothing but these ops and divergences."""

    class Knowing(Sound):
        def build(self, network: Network, params: Any) -> Any:
            for thing in (*(step.op for step in network.body), network.divergence):
                if type(thing) not in kinds:
                    raise AdapterError(f"the sound adapter has no {thing.name}")
            return super().build(network, params)

    return Knowing


# --- the protocol -------------------------------------------------------------------------------


@fails("protocol", r"missing: def versions.*\n.*missing: def run_all")
class OnlyRun:
    name = "sound"
    run, build, export = Sound.run, Sound.build, Sound.export


@fails("protocol", r"run cannot be called with dtype= and device=")
class NoKeywords(Sound):
    def run(self, case: Case) -> Trace:  # type: ignore[override]
        return self.computed(case)


@fails(
    "entry-point", r'nothing is registered as \'nobody\'.*\n.*entry-points."gradparity.adapters"'
)
class Unregistered(Sound):
    name = "nobody"


@fails("entry-point", "is registered as .*which makes a Sound")
class SomebodyElsesName(Sound):
    pass


@fails("name", "name is 7; give a plain, non-empty str")
class NumberedName(Sound):
    name = 7  # type: ignore[assignment]


class _Version(str):
    __slots__ = ()


@fails("versions", "versions.* has .*plain, non-empty str")
class VersionObject(Sound):
    def versions(self) -> dict[str, str]:
        return {"sound": _Version("1.0")}


# --- the trace ----------------------------------------------------------------------------------


@fails("trace-complete", r"grad lacks \['x', 'W1'\]\nedge_grad lacks \[\('y1', 'z2'\)\]")
class Incomplete(Sound):
    def computed(self, case: Case) -> Trace:
        trace = super().computed(case)
        edges = without(trace.edge_grad, ("y1", "z2"))
        return replace(trace, grad=without(trace.grad, "x", "W1"), edge_grad=edges)


@fails("trace-complete", r"value has \['softmax'\], which the network does not have")
class TooMuch(changed(value=lambda case, t: {**t.value, "softmax": t.value["z1"]})):
    pass


@fails("trace-complete", "run returned dict; return a gradparity.Trace")
class NoTrace(Sound):
    def computed(self, case: Case) -> Any:
        return {"Err": 1.0}


@fails("trace-arrays", r"value z1 is a .*Matrix; give np.array")
class Subclassed(Sound):
    def computed(self, case: Case) -> Trace:
        class Matrix(np.ndarray):
            pass

        trace = super().computed(case)
        return replace(trace, value={k: v.view(Matrix) for k, v in trace.value.items()})


@fails("trace-arrays", "has dtype float64, expected float32")
class AlwaysFloat64(changed(Div=lambda case, t: t.Div.astype(np.float64))):
    pass


@fails("trace-arrays", r"grad W1 has shape \(4, 3\), expected \(3, 4\)")
class Transposed(changed(grad=lambda case, t: {**t.grad, "W1": t.grad["W1"].T.copy()})):
    pass


@fails("trace-arrays", r"Err is a ndarray; give float\(Err\)")
class ErrArray(changed(Err=lambda case, t: np.array(t.Err))):
    pass


@fails("trace-label", "adapter is 'numpy', expected 'sound'")
class Anonymous(changed(adapter=lambda case, t: "numpy")):
    pass


@fails("trace-label", r"versions is \{\}, expected")
class NoVersions(changed(versions=lambda case, t: {})):
    pass


# --- copies -------------------------------------------------------------------------------------


@fails("copies-trace", "value z1 and grad z1")
class SharedMemory(changed(grad=lambda case, t: {**t.grad, "z1": t.value["z1"]})):
    pass


@fails("copies-trace", "is read-only")
class ReadOnly(Sound):
    def computed(self, case: Case) -> Trace:
        trace = super().computed(case)
        trace.value["z1"].flags.writeable = False
        return trace


@fails("copies-trace", "writing into a trace changed a later one")
class Caching(Sound):
    def __init__(self) -> None:
        self.known: dict[Any, Trace] = {}

    def computed(self, case: Case) -> Trace:
        return self.known.setdefault(case, super().computed(case))


@fails("copies-case", r"running changed \['x'\] of the case")
class WritesX(Sound):
    def computed(self, case: Case) -> Trace:
        trace = super().computed(case)
        case.x.flags.writeable = True
        case.x[0] += 1
        return trace


@fails("copies-case", "grad W1 of the trace and W1 of the case")
class HandsOutParameters(changed(grad=lambda case, t: {**t.grad, "W1": case.params["W1"]})):
    pass


@fails("copies-build", "writing into the parameters given to build reached it")
class BuildsOnViews(Sound):
    def build(self, network: Network, params: Any) -> Any:
        return dict(params)


@fails("copies-build", "writing into exported parameters reached what was built")
class ExportsViews(Sound):
    def export(self, network: Network, native: Any) -> Any:
        return dict(native)


@fails("round-trip", "export returned .*'W_hidden'.* expected a dict with")
class ExportsTooMuch(Sound):
    def export(self, network: Network, native: Any) -> Any:
        return {**super().export(network, native), "b_hidden": np.zeros(5)}


@fails("round-trip", "W1 is .*, expected")
class LosesTheSignOfZero(Sound):
    def build(self, network: Network, params: Any) -> Any:
        return {name: p + 0 for name, p in super().build(network, params).items()}


# --- running ------------------------------------------------------------------------------------


@fails("deterministic", "run twice, differ in .*value y1")
class RandomSlopes(Sound):
    def computed(self, case: Case) -> Trace:
        nodes = [
            replace(n.op, seed=random.getrandbits(16)) if n.op.random else n.op
            for n in case.network.nodes
        ]
        net = core.layered(nodes, case.network.divergence)
        return super().computed(Case(net, case.params, case.x, case.d))


@fails("dtype-argument", "and run.case.astype.* differ")
class DtypeIgnored(Sound):
    def run(self, case: Case, *, dtype: Any = None, device: str | None = None) -> Trace:
        return super().run(case, device=device)


@fails("dtype-argument", r"the adapter raised KeyError.* \(broken_adapters.py:\d+ in run\)")
class DtypeByName(Sound):
    def run(self, case: Case, *, dtype: Any = None, device: str | None = None) -> Trace:
        table = {None: None, "float64": np.float64, "float32": np.float32}
        return super().run(case, dtype=table[dtype], device=device)


@fails("run-all", "keep the order and each case's dtype")
class Reversed(Sound):
    def run_all(self, cases: Any, *, dtype: Any = None, device: str | None = None) -> Any:
        return super().run_all(cases[::-1], dtype=dtype, device=device)


@fails("run-all", r"run_all\(\[\]\) is None")
class NoneOfNone(Sound):
    def run_all(self, cases: Any, *, dtype: Any = None, device: str | None = None) -> Any:
        return super().run_all(cases, dtype=dtype, device=device) if cases else None


@fails("unknown-op", "run accepted 'Unheard'; raise AdapterError")
class TakesAnyOp(Sound):
    def build(self, network: Network, params: Any) -> Any:
        return checked_params(network, params)


@fails("unknown-op", "run raised KeyError.*raise AdapterError naming 'Unheard'")
class OpByTable(Sound):
    def build(self, network: Network, params: Any) -> Any:
        for node in network.nodes:
            vars(core)[node.op.name]
        return super().build(network, params)


@fails("unknown-divergence", "refused with 'no'; raise AdapterError naming 'UnheardDivergence'")
class MutteringDivergence(Sound):
    def build(self, network: Network, params: Any) -> Any:
        if network.divergence.name not in vars(core):
            raise AdapterError("no")
        return super().build(network, params)


@fails("unknown-device", "run accepted 'abacus'")
class AnyDevice(Sound):
    def run(self, case: Case, *, dtype: Any = None, device: str | None = None) -> Trace:
        return super().run(case, dtype=dtype)


@fails("unknown-device", "run raised AdapterError: .*; raise DeviceError naming 'abacus'")
class OtherError(Sound):
    def run(self, case: Case, *, dtype: Any = None, device: str | None = None) -> Trace:
        if device is not None:
            raise AdapterError(f"no {device}")
        return super().run(case, dtype=dtype)


class _Leaving(Sound):
    """Leaves something behind."""

    def computed(self, case: Case) -> Trace:
        self.leave()
        return super().computed(case)

    def leave(self) -> None:
        raise NotImplementedError


@fails("global-state", "changed NumPy's random numbers")
class DrawsGlobally(_Leaving):
    def leave(self) -> None:
        np.random.standard_normal()


@fails("global-state", "changed Python's random numbers")
class DrawsFromPython(_Leaving):
    def leave(self) -> None:
        random.random()


@fails("global-state", "changed NumPy's error handling")
class Hushes(_Leaving):
    def leave(self) -> None:
        np.seterr(all="ignore")


@fails("global-state", "changed the warning filters")
class Silences(_Leaving):
    def leave(self) -> None:
        warnings.simplefilter("ignore", DeprecationWarning)


@fails("global-state", "changed Python's random numbers")
class SeedsPython(_Leaving):
    def leave(self) -> None:
        random.seed(0)


@fails("global-state", "changed NumPy's random numbers")
class Seeds(_Leaving):
    def leave(self) -> None:
        np.random.seed(0)


@fails("global-state", "changed NumPy's printing options")
class Shortens(_Leaving):
    def leave(self) -> None:
        np.set_printoptions(precision=3)


@fails("global-state", "changed the warning filters")
class SilencesAtTheEnd(_Leaving):
    def leave(self) -> None:
        warnings.filterwarnings("ignore", "overflow", append=True)


@fails("float32-after-float64", "before and after a run in float64")
class Remembers(Sound):
    wide = False

    def computed(self, case: Case) -> Trace:
        trace = super().computed(case)
        if self.wide:
            trace.grad["W1"] *= trace.dtype.type(1 + 1e-6)
        self.wide = case.dtype == np.float64
        return trace


# --- networks -----------------------------------------------------------------------------------


class _Foreign:
    """A framework's own array, as far as the test goes."""

    def __mul__(self, other: Any) -> Any:
        return self


@fails("op-vector-activation", "the op has a native function for this framework")
class NativeIgnored(Sound):
    def build(self, network: Network, params: Any) -> Any:
        for node in network.nodes:
            if isinstance(node.op, core.VectorActivation):
                node.op.function(_Foreign())
        return checked_params(network, params)


def _is(name: str) -> Callable[[Network], set[str]]:
    return lambda network: {n.name for n in network.nodes if type(n.op).__name__ == name}


@fails("dtype-float32", "AdapterError|float32")
class Float32Off(Sound):
    def computed(self, case: Case) -> Trace:
        trace = super().computed(case)
        if case.dtype == np.float32:
            trace.grad["W1"] *= np.float32(1.001)
        return trace


@fails("dtype-float64", "neither float64 nor float32|W1")
class Float64Off(Sound):
    def computed(self, case: Case) -> Trace:
        trace = super().computed(case)
        trace.grad["W1"] *= trace.dtype.type(1.001)
        return trace


@fails("dtype-bfloat16", "gave traces of .*give precision=")
class Bfloat16Unsaid(Sound):
    def run(self, case: Case, *, dtype: Any = None, device: str | None = None) -> Trace:
        case = case if dtype is None else case.astype(dtype)
        return super().run(replace(case, precision=None) if case.dtype == np.float32 else case)


@fails("dtype-float16", "the adapter raised TypeError.*has to be an AdapterError")
class Float16Raises(Sound):
    def run(self, case: Case, *, dtype: Any = None, device: str | None = None) -> Trace:
        if case.precision.name == "float16":
            raise TypeError("no half")
        return super().run(case, dtype=dtype, device=device)


@fails("op-affine", "grad W1")
class SumsRightMeanWrong(changed(grad=lambda c, t: {k: g * c.T if k[0] == "W" else g
                                                    for k, g in t.grad.items()})):  # fmt: skip
    pass


@fails("targets-labels", "has no labels")
class NoLabels(Sound):
    def computed(self, case: Case) -> Trace:
        if case.d.dtype.kind == "u":
            raise AdapterError("sound has no labels of that dtype")
        return super().computed(case)


@fails("targets-soft", "Div")
class OnlyLabels(Sound):
    def computed(self, case: Case) -> Trace:
        if isinstance(case.network.divergence, core.CrossEntropy):
            case = Case(case.network, case.params, case.x, case.desired.argmax(1))
        return super().computed(case)


@fails("branch-several-uses", "z1 -> g1")
class OneUseShown(Sound):
    def computed(self, case: Case) -> Trace:
        trace = super().computed(case)
        if ("z1", "g1") in trace.edge_grad:
            trace.edge_grad["z1", "g1"] = trace.grad["z1"].copy()
        return trace


@fails("branch-used-twice", r"z1 -> q1\[1\]")
class TwiceIsOnce(Sound):
    def computed(self, case: Case) -> Trace:
        trace = super().computed(case)
        if ("z1", "q1[1]") in trace.edge_grad:
            trace.edge_grad["z1", "q1[1]"] = 0 * trace.edge_grad["z1", "q1[1]"]
        return trace


@fails("parameters-shared", "grad E ")
class LastUseOnly(Sound):
    def computed(self, case: Case) -> Trace:
        trace = super().computed(case)
        uses = [edge for edge in trace.edge_grad if edge[0] == "E"]
        for edge in uses[:1]:
            trace.grad["E"] = trace.edge_grad[edge].copy()
        return trace


@fails("inputs-several", "grad position")
class NotSummedOverTheBatch(Sound):
    def computed(self, case: Case) -> Trace:
        trace = super().computed(case)
        for edge, grad in trace.edge_grad.items():
            if edge[0] == "position":
                trace.edge_grad[edge] = grad / case.T  # type: ignore[index]
                trace.grad["position"] = trace.edge_grad[edge]
        return trace


@fails("loss-ends", "grad a")
class EndsWithoutFactors(Sound):
    def computed(self, case: Case) -> Trace:
        trace = super().computed(case)
        if case.network.divergence is None:
            trace.grad["a"] = np.ones_like(trace.grad["a"])
        return trace


@fails("loss-weights", "grad z1 -> Div")
class WithoutWeights(Sound):
    def computed(self, case: Case) -> Trace:
        name = case.network.weights
        if name is not None:
            inputs = {**case.inputs, name: np.ones_like(case.inputs[name])}
            case = replace(case, x=inputs)
        return super().computed(case)


@fails("branch-dead-end", r"\['aside', 'more'.*\] do not reach Div")
class DeadEndsLive(Sound):
    def computed(self, case: Case) -> Trace:
        trace = super().computed(case)
        trace.grad.update({k: g + 1 for k, g in trace.grad.items() if not g.any()})
        return trace


@fails("branch-input", "grad x")
class InputOnce(Sound):
    def computed(self, case: Case) -> Trace:
        trace = super().computed(case)
        edges = [edge for edge in trace.edge_grad if edge[0] == "x"]
        trace.grad["x"] = trace.edge_grad[edges[0]].copy()
        return trace


def _wrong_if(condition: Callable[[Case], bool]) -> type:
    """The gradient of W1 is too large where this holds."""

    def grad(case: Case, trace: Trace) -> Any:
        if not condition(case):
            return trace.grad
        return {k: g * g.dtype.type(1.01) if k == "W1" else g for k, g in trace.grad.items()}

    return changed(grad=grad)


@fails("large", "grad W1")
class ManyInstances(_wrong_if(lambda case: case.T > 40)):
    pass


@fails("large", "grad W1")
class ManyUnits(_wrong_if(lambda c: max(c.shapes[n.name][-1] for n in c.network.nodes) > 64)):
    pass


@fails("large", "grad W1")
class OtherSmoothing(_wrong_if(lambda c: getattr(c.network.divergence, "eps", 0) == 0.03)):
    pass


@fails("batch-of-one", "IndexError")
class NeedsTwo(Sound):
    def computed(self, case: Case) -> Trace:
        case.x[1]
        return super().computed(case)


class SlopeAtZero(wrong_at(_is("ReLU"))):
    """A ReLU whose slope at 0 is 1.7."""

    def computed(self, case: Case) -> Trace:
        trace = Sound.computed(self, case)
        for node in case.network.nodes:
            if isinstance(node.op, core.ReLU):
                source = node.inputs[0]
                z = case.x if source == "x" else trace.value[source]
                g = trace.edge_grad[source, node.name]
                g[z == 0] *= z.dtype.type(1.7)
        return trace


fails("kinks", "1.7")(SlopeAtZero)


class _Optional(Sound):
    """Has all the optional parts, and they are right."""

    def trainer(self, case: Case, eta: float) -> Trainer:
        params = {name: p.copy() for name, p in case.params.items()}

        def step(rows: Any) -> float:
            trace = backprop(Case(case.network, params, case.x[rows], case.d[rows]))
            for name, p in params.items():
                p -= eta * trace.grad[name]
            return float(trace.Err)

        return Trainer(step, lambda: {name: p.copy() for name, p in params.items()})

    def vjp(self, function: Any, arguments: Any, dz: Any) -> Any:
        a, b = arguments  # the only function it has to differentiate here is a b + a
        return function(a, b), (dz * (b + 1), dz * a)


@fails("optional-trainer", "after a step W1 is")
class StepTooLarge(_Optional):
    def trainer(self, case: Case, eta: float) -> Trainer:
        return super().trainer(case, 2 * eta)


@fails("optional-trainer", "return a Trainer")
class NoTrainer(_Optional):
    def trainer(self, case: Case, eta: float) -> Any:
        return None


@fails("optional-kinks", "see gradparity.adapters.kinks.Kinks")
class NoKinks(_Optional):
    def kinks(self) -> Any:
        return []


@fails("optional-vjp", "vjp of a b . a: db is .*, expected")
class VjpSwapped(_Optional):
    def vjp(self, function: Any, arguments: Any, dz: Any) -> Any:
        z, (da, _) = super().vjp(function, arguments, dz)
        return z, (da, da)


@fails("optional-with_overrides", "did not use the function")
class ReplacesNothing(_Optional):
    def with_overrides(self, overrides: Any, name: str | None = None) -> Any:
        return self
