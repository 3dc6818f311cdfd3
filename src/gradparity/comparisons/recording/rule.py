"""`rule`: what an op of the user's computes, as an op of the core."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...core.arithmetic.received import check_text, received
from ...core.formulas.op import Op

__all__ = ["rule"]


def rule(*names: str) -> Callable[[Callable[[Any], Any]], Callable[[Any], Any]]:
    """Say what an op computes that recordings have no formula for.

    The decorated function is given the arguments of a call as attributes, and returns an op of
    `gradparity.ops` or an `Op` of your own.  Its inputs are the tensors among the arguments in
    order; return ``(op, names)`` for others, with one name of an argument for each input.

    Parameters
    ----------
    *names : ops of PyTorch or of `torch.library` with their namespace, such as "mylib::fused_op";
        "mylib::fused_op.out" is one overload.

    Raises
    ------
    TypeError, ValueError : a name that is not text, has no namespace or is not that of an op.

    >>> import gradparity as gp
    >>> @gp.rule("mylib::scaled_silu")
    ... def _(call):
    ...     return gp.ops.SiLU(call.beta)
    """
    for name in names:
        check_text("name", name)
        namespace, _, op = name.partition("::")
        if not namespace or not op:
            raise ValueError(f"rule: {name!r} has no namespace; give a name such as "
                             "'mylib::fused_op'")  # fmt: skip
        if "::" in op or op.count(".") > 1 or any(map(str.isspace, name)):
            raise ValueError(f"rule: {name!r} is not the name of an op; give its namespace and its "
                             "name, such as 'mylib::fused_op', or one overload, such as "
                             "'mylib::fused_op.out'")  # fmt: skip
    if not names:
        raise TypeError("rule: give the name of an op, such as 'mylib::fused_op'")

    def put(of: Callable[[Any], Any]) -> Callable[[Any], Any]:
        if not callable(of):
            raise TypeError(f"rule: it decorates a function, not {received(of)}")
        from ...adapters.torch.record.aten import table

        table.rule(*(name.removeprefix("aten::") for name in names))(lambda a: _mapped(of, a))
        return of

    return put


def _mapped(of: Callable[[Any], Any], call: Any) -> Any:
    from ...adapters.torch.record.aten.table import Mapped, UnmappedError
    from ...adapters.torch.record.aten.tensors import tensors_in

    found = of(call)
    op, inputs = found if isinstance(found, tuple) else (found, None)
    if not isinstance(op, Op):
        raise UnmappedError(f"its rule returned {received(op)}; return an op of gradparity.ops")
    if inputs is None:
        paths: list[Any] = []
        for name, value in call.given.items():
            several = isinstance(value, list | tuple)
            each = list(tensors_in(value))
            paths += [(name, i) for i in range(len(each))] if several else [name] * len(each)
        inputs = tuple(paths)
    n = len(op.outputs) + len(op.states)
    return Mapped(op, tuple(inputs), tuple(range(n)))
