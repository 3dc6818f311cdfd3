"""Settings of the whole process, set to unusual values so that every change is detected.

An adapter that always sets the same value would go unnoticed if that was the value before; so each
setting is tried with two values, one after the other.
"""

from __future__ import annotations

import random
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from typing import Any, NamedTuple

import numpy as np

__all__ = ["unusual"]


class Setting(NamedTuple):
    """Functions that read and write one setting, and two values for it."""

    what: str
    read: Callable[[], Any]
    write: Callable[[Any], object]
    values: Sequence[Any]

    @classmethod
    def of(cls, what: str, owner: Any, name: str, values: Sequence[Any]) -> Setting:
        """The setting that is an attribute of an object."""
        return cls(
            what,
            lambda: getattr(owner, name),
            lambda value: setattr(owner, name, value),
            values,
        )


@contextmanager
def unusual(which: int) -> Iterator[Callable[[], list[str]]]:
    """Set every setting to one of its two values, and restore it afterwards.

    Yields a function that lists the settings changed since.

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
            with suppress(AttributeError):  # a version with other settings
                for setting in settings(sys.modules[name]):
                    setting.write(setting.read())
                    found.append(setting)
    return found


def _of_numpy() -> Iterator[Setting]:
    states = [random.Random(seed).getstate() for seed in SEEDS]
    yield Setting("Python's random numbers", random.getstate, random.setstate, states)
    states = [_plain(np.random.RandomState(seed).get_state()) for seed in SEEDS]
    yield Setting(
        "NumPy's random numbers",
        lambda: _plain(np.random.get_state()),
        np.random.set_state,
        states,
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
        printed,
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
        yield Setting(f"{what} of torch", read, write, values)


def _of_jax(jax: Any) -> Iterator[Setting]:
    for name, values in (
        ("jax_enable_x64", (False, True)),
        ("jax_default_matmul_precision", (None, "float32")),
        ("jax_disable_jit", (False, False)),
        ("jax_debug_nans", (False, False)),
    ):

        def write(value: Any, name: str = name) -> None:
            jax.config.update(name, value)

        yield Setting(name, partial(getattr, jax.config, name), write, values)


def _of_tinygrad(tinygrad: Any) -> Iterator[Setting]:
    yield Setting.of("seed of tinygrad", tinygrad.Tensor, "_seed", SEEDS)
    default = tinygrad.helpers.DEFAULT_FLOAT
    yield Setting.of("default dtype of tinygrad", default, "value", ("float32", "float64"))


#: Seeds that nobody else is likely to use.
SEEDS = (1972301, 1972302)

#: Framework -> its settings, given its module.
OF_FRAMEWORKS: dict[str, Callable[[Any], Iterator[Setting]]] = {
    "torch": _of_torch,
    "jax": _of_jax,
    "tinygrad": _of_tinygrad,
}


def _plain(state: Any) -> tuple[Any, ...]:
    """A state of NumPy's generator in a form that can be compared."""
    return tuple(tuple(part.tolist()) if isinstance(part, np.ndarray) else part for part in state)
