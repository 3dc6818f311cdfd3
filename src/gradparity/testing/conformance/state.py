"""Settings of the whole process, put somewhere unusual, so that a change to anything is seen.

What is set to the same every time leaves no trace the second time; so each setting is given two
values, one after the other, and no change can be to both.
"""

from __future__ import annotations

import random
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, NamedTuple

import numpy as np

__all__ = ["unusual"]


class Setting(NamedTuple):
    """How one is read, as what can be compared, and written; and two values for it."""

    what: str
    read: Callable[[], Any]
    write: Callable[[Any], object]
    values: tuple[Any, Any]


@contextmanager
def unusual(which: int) -> Iterator[Callable[[], list[str]]]:
    """Every setting at one of its two values, and afterwards as it was.

    Gives a function that tells which have been changed since.

    >>> with unusual(0) as changed:
    ...     random.seed(1)
    ...     changed()
    ["Python's random numbers"]
    """
    settings = _settings()
    with ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings(record=True))
        warnings.resetwarnings()  # so that one that is appended is seen too
        warnings.filterwarnings("once", message=f"gradparity {which}")
        for setting in settings:
            stack.callback(setting.write, setting.read())
            setting.write(setting.values[which])
        filters = list(warnings.filters)
        before = [setting.read() for setting in settings]

        def changed() -> list[str]:
            pairs = zip(settings, before, strict=True)
            found = [setting.what for setting, value in pairs if setting.read() != value]
            same = list(warnings.filters) == filters
            return found if same else [*found, "the warning filters"]

        yield changed


def _settings() -> list[Setting]:
    found = list(_of_numpy())
    for name, settings in OF_FRAMEWORKS.items():
        if name in sys.modules:
            with suppress(AttributeError):  # of another version, whose settings we do not know
                for setting in settings(sys.modules[name]):
                    setting.write(setting.read())
                    found.append(setting)
    return found


def _of_numpy() -> Iterator[Setting]:
    states = [random.Random(seed).getstate() for seed in SEEDS]
    yield Setting("Python's random numbers", random.getstate, random.setstate, _pair(states))
    states = [_plain(np.random.RandomState(seed).get_state()) for seed in SEEDS]
    yield Setting(
        "NumPy's random numbers",
        lambda: _plain(np.random.get_state()),
        np.random.set_state,
        _pair(states),
    )
    quiet = {"divide": "ignore", "over": "warn", "under": "ignore", "invalid": "ignore"}
    yield Setting(
        "NumPy's error handling (np.seterr)",
        np.geterr,
        lambda how: np.seterr(**how),
        ({**quiet, "divide": "raise", "invalid": "raise"}, quiet),
    )
    now = np.get_printoptions()
    printed = [
        {**now, "precision": 11 + i, "threshold": 777 + i, "linewidth": 71 + i} for i in (0, 1)
    ]
    yield Setting(
        "NumPy's printing options",
        np.get_printoptions,
        lambda how: np.set_printoptions(**how),
        _pair(printed),
    )


def _of_torch(torch: Any) -> Iterator[Setting]:
    def write_state(state: bytes) -> None:
        torch.set_rng_state(torch.tensor(list(state), dtype=torch.uint8))

    for what, read, write, values in (
        ("default dtype", torch.get_default_dtype, torch.set_default_dtype,
         (torch.float32, torch.float64)),
        ("number of threads", torch.get_num_threads, torch.set_num_threads, (1, 2)),
        ("grad mode", torch.is_grad_enabled, torch.set_grad_enabled, (True, True)),
        ("matmul precision", torch.get_float32_matmul_precision,
         torch.set_float32_matmul_precision, ("highest", "high")),
        ("deterministic algorithms", torch.are_deterministic_algorithms_enabled,
         torch.use_deterministic_algorithms, (False, False)),
        ("random numbers", lambda: torch.get_rng_state().numpy().tobytes(), write_state,
         [torch.Generator().manual_seed(seed).get_state().numpy().tobytes() for seed in SEEDS]),
    ):  # fmt: skip
        yield Setting(f"{what} of torch", read, write, _pair(values))


def _of_jax(jax: Any) -> Iterator[Setting]:
    for name, values in (
        ("jax_enable_x64", (False, True)),
        ("jax_default_matmul_precision", (None, "float32")),
        ("jax_disable_jit", (False, False)),
        ("jax_debug_nans", (False, False)),
    ):

        def read(name: str = name) -> Any:
            return getattr(jax.config, name)

        def write(value: Any, name: str = name) -> None:
            jax.config.update(name, value)

        yield Setting(name, read, write, _pair(values))


def _of_tinygrad(tinygrad: Any) -> Iterator[Setting]:
    for what, owner, name, values in (
        ("seed", tinygrad.Tensor, "_seed", SEEDS),
        ("default dtype", tinygrad.helpers.DEFAULT_FLOAT, "value", ("float32", "float64")),
    ):

        def read(owner: Any = owner, name: str = name) -> Any:
            return getattr(owner, name)

        def write(value: Any, owner: Any = owner, name: str = name) -> None:
            setattr(owner, name, value)

        yield Setting(f"{what} of tinygrad", read, write, _pair(values))


#: Of random numbers; nobody uses them.
SEEDS = (1972301, 1972302)

#: A framework's settings, where it is loaded.
OF_FRAMEWORKS: dict[str, Callable[[Any], Iterator[Setting]]] = {
    "torch": _of_torch,
    "jax": _of_jax,
    "tinygrad": _of_tinygrad,
}


def _plain(state: Any) -> tuple[Any, ...]:
    """A state of NumPy's generator as what can be compared."""
    return tuple(tuple(part.tolist()) if isinstance(part, np.ndarray) else part for part in state)


def _pair(values: Any) -> tuple[Any, Any]:
    first, second = values
    return first, second
