"""Programs that JAX has compiled, kept for the next command."""

from __future__ import annotations

import os

import platformdirs

__all__ = ["keep_compiled"]

#: JAX's settings: where, and that small and quick programs are kept too.
FOLDER = "JAX_COMPILATION_CACHE_DIR"
SETTINGS = {
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}


def keep_compiled() -> None:
    """Let JAX keep what it compiles in the user's folder for caches, unless the user says where.

    It has an effect before JAX is imported, on this process and those it starts.  Nothing is kept
    where the folder cannot be made, or JAX_COMPILATION_CACHE_DIR is empty.
    """
    if FOLDER in os.environ:
        return
    folder = platformdirs.user_cache_path("gradparity") / "jax"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return
    if os.access(folder, os.W_OK):
        os.environ |= {FOLDER: str(folder), **SETTINGS}
