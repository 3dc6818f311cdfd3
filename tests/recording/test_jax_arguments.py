"""What a recording of a JAX function says of arguments and results that do not fit."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

import gradparity as gp

jax = pytest.importorskip("jax")

import jax.numpy as jnp  # noqa: E402

X = jnp.ones(3)


def loss(x: Any, *others: Any) -> Any:
    return jnp.sin(x).sum()


def by_keyword(x: Any, *, scale: float) -> Any:
    return scale * loss(x)


class Model:
    def loss(self, x: Any) -> Any:
        return loss(x)


#: Name -> a call that is refused, and what the message says: what was given, and what to do.
REFUSED: dict[str, tuple[Callable[[], Any], str, str]] = {
    "integers": (lambda: gp.record(loss, jnp.arange(3)),
                 "argument 0 is an array of int32, shape (3,), which", "give floats there"),
    "booleans": (lambda: gp.record(loss, X, jnp.ones(3, bool), argnums=(0, 1)),
                 "argument 1 is an array of bool, shape (3,), which", "give floats there"),
    "None": (lambda: gp.record(loss, None, X), "argument 0 is None, which", "give floats there"),
    "a string": (lambda: gp.record(loss, "x", X), "argument 0 is 'x', which", "give floats there"),
    "complex numbers": (lambda: gp.record(loss, {"a": X, "b": X * 1j}),
                        "an array of complex64, shape (3,)", "leave the argument out of argnums"),
    "no flag": (lambda: gp.record(loss, X, has_aux="no"),  # type: ignore[call-overload]
                "has_aux is 'no'", "give True or False"),
    "argnums past the end": (lambda: gp.record(loss, X, argnums=1),
                             "argnums is 1, and f was given 1 argument", "give positions"),
    "a name in argnums": (lambda: gp.record(loss, X, argnums="x"),  # type: ignore[call-overload]
                          "argnums is 'x'", "give positions"),
    "a flag in argnums": (lambda: gp.record(loss, X, argnums=False),
                          "argnums is False", "give positions"),
    "no argnums": (lambda: gp.record(loss, X, argnums=()), "argnums is ()", "give positions"),
    "a list of losses": (lambda: gp.record(lambda x: [x.sum(), x.sum()], X),
                         "f returned a list of 2: an array of float32, shape ()",
                         "return one real scalar"),
    "a pair": (lambda: gp.record(lambda x: (x.sum(), x), X), "f returned a tuple of 2",
               "has_aux=True"),
    "a vector": (lambda: gp.record(jnp.exp, X), "f returned an array of float32, shape (3,)",
                 "such as its mean or its sum"),
    "no array": (lambda: gp.record(lambda x: None, X), "f returned None", "return one real scalar"),
    "a complex loss": (lambda: gp.record(lambda x: (x * 1j).sum(), X),
                       "f returned an array of complex64, shape ()", "return one real scalar"),
    "no pair": (lambda: gp.record(loss, X, has_aux=True), "f returned an array of float32",
                "return a pair"),
    "a vector in a pair": (lambda: gp.record(lambda x: (x, 1), X, has_aux=True),
                           "a pair that begins with an array of float32, shape (3,)", "its mean"),
    "inside of jit": (lambda: jax.jit(lambda x: gp.record(loss, x))(X), "argument 0 has no numbers",
                      "outside of jax.jit"),
    "inside of grad": (lambda: jax.grad(lambda x: gp.record(loss, X, x))(X),
                       "argument 1 has no numbers", "outside of jax.jit"),
    "around what is traced": (lambda: jax.grad(lambda y: gp.record(lambda x: (x * y).sum(), X))(X),
                              "f closes over an array that JAX traces", "outside of jax.jit"),
    "by keyword": (lambda: gp.record(by_keyword, X), "f(x", "functools.partial"),
    "too many": (lambda: gp.record(Model().loss, X, X), "called with 2 arguments",
                 "give every argument that f needs"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_named_with_what_to_do(name: str) -> None:
    call, given, do = REFUSED[name]
    with pytest.raises(TypeError) as raised:
        call()
    said = str(raised.value)
    assert said.startswith("record: ")
    assert "\n" not in said
    assert given in said
    assert do in said


def test_nothing_runs_before_the_arguments_are_found_to_fit() -> None:
    def never(x: Any, y: Any) -> Any:
        raise AssertionError

    for args, argnums in [((X, 2), 1), ((X, X * 1j), 1), ((X, X), 2), ((X,), 0)]:
        with pytest.raises(TypeError, match="record: "):
            gp.record(never, *args, argnums=argnums)


@pytest.mark.parametrize("f", [Model().loss, partial(by_keyword, scale=2.0), jax.jit(loss)])
def test_functions_of_other_kinds(f: Any) -> None:
    assert gp.check(gp.record(f, X)).exit_code == 0
