"""Ops that the table has no rule for: they are evaluated at other numbers, by themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from ....core.arithmetic.arrays import NDArray
from ....core.network.calls import NoFormula
from .aten.table import Mapped
from .aten.tensors import numbers, tensors_in, with_numbers
from .observed import Observed, Path

__all__ = ["by_values", "evaluated"]


#: Ops whose gradient is not that of their values: that of CTC is right behind a log-softmax alone.
NO_DERIVATIVE = {"aten::_ctc_loss", "aten::_cudnn_ctc_loss"}
#: An argument of embeddings that asks for another gradient.
BY_FREQUENCY = "scale_grad_by_freq"


def by_values(observed: Observed, why: str) -> Mapped | None:
    """An op without a formula, its tensors in order; None where it cannot be evaluated again.

    Parameters
    ----------
    why : the reason why there is no formula.
    """
    op = observed.op
    if observed.function is not None and observed.function.has_wrong_rule:
        return None
    if observed.function is None:
        random = op is None or torch.Tag.nondeterministic_seeded in op.tags
        if random or op._schema.is_mutable or observed.written_path is not None:
            return None
        if op._schema.name in NO_DERIVATIVE or observed.given.get(BY_FREQUENCY):
            return None
    outputs = tuple(i for i, number in enumerate(observed.numbers) if number is not None)
    if not outputs or any(observed.outs[i] is None for i in outputs):
        return None
    return Mapped(NoFormula(observed.place.function, why), tuple(_paths(observed)), outputs)


def _paths(observed: Observed) -> Iterator[Path]:
    """Yield the path of every tensor among the arguments."""
    for name, value in observed.given.items():
        if isinstance(value, torch.Tensor):
            yield name, None
        elif isinstance(value, list):
            yield from ((name, i) for i, each in enumerate(value) if isinstance(each, torch.Tensor))


def evaluated(observed: Observed, arrays: Sequence[NDArray]) -> list[NDArray] | None:
    """The outputs of an op for other numbers in float64; None where it does not run there."""
    given = iter(arrays)
    try:
        with torch.no_grad(), torch._C._DisableAutocast():
            arguments = {n: with_numbers(value, given) for n, value in observed.given.items()}
            out = list(tensors_in(observed.op(**arguments)))
    except Exception:  # of the op, on numbers that it did not expect
        return None
    kept = [i for i, number in enumerate(observed.numbers) if number is not None]
    return [numbers(out[i]) for i in kept] if kept and kept[-1] < len(out) else None
