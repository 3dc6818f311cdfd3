"""Work of the recording itself, which is not part of the program that is watched."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch.utils._python_dispatch import _disable_current_modes

from ....core.network.calls import Listener, Place, Unjudged
from .places import Names

__all__ = ["Quiet", "failed"]


class Quiet:
    """Runs what is ours: no mode sees it, and the program does not see its errors.

    Parameters
    ----------
    listener : told of a node that an error of ours keeps from being judged.

    Attributes
    ----------
    on : whether such work runs now.
    """

    def __init__(self, listener: Listener, names: Names) -> None:
        self.listener, self.names = listener, names
        self.on = False

    @contextlib.contextmanager
    def __call__(self, what: Any = "") -> Iterator[None]:
        """Run what is inside quietly.

        Parameters
        ----------
        what : the op or the place that is not judged if it raises an error.
        """
        before, self.on = self.on, True
        try:
            with _disable_current_modes(), torch.no_grad():
                yield
        except Exception as error:
            if not isinstance(what, Place):
                what = Place(self.names.numbered("unseen"), str(what), self.names.module)
            self.listener.not_judged(failed(what, error))
        finally:
            self.on = before


def failed(place: Place, error: Exception, sources: tuple[str, ...] = ()) -> Unjudged:
    """A node that an error of this package keeps from being judged."""
    said = str(error).partition("\n")[0][:200]
    return Unjudged(place, f"{type(error).__name__} in gradparity: {said}", sources, failed=True)
