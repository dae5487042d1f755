"""Where numba keeps the compiled kernel for later processes; where it cannot, it still runs."""

from __future__ import annotations

import atexit
import logging
import shutil
import tempfile
from collections.abc import Callable

import numba

__all__ = ["ensure_cache_folder", "run_though_unsaved"]

MOST_FUNCTIONS = 200
"""More than the kernel has."""

NOTICE = (
    "bnnopt: the compiled search kernel cannot be kept (%s), so every process compiles it, which "
    "takes a minute or two: set NUMBA_CACHE_DIR to a folder that can be written and has room"
)


def ensure_cache_folder() -> None:
    """Give numba a temporary folder where it finds none, instead of an error at each function.

    It finds none where neither the folder of this package nor the user's cache can be written.
    To be called before the functions of the kernel are decorated.
    """
    try:
        numba.njit(cache=True)(_probe)
    except RuntimeError as error:
        logging.getLogger(__name__).warning(NOTICE, str(error).partition(":")[0])
        folder = tempfile.mkdtemp(prefix="bnnopt-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        numba.config.CACHE_DIR = folder


def _probe() -> None:
    pass


def run_though_unsaved(work: Callable[[], None]) -> None:
    """Do work that compiles functions, also where numba cannot save them, as on a full disk.

    numba compiles a function, makes it callable, and then saves it; where that fails, the call
    ends with an OSError. The next call finds that function, and fails at a later one at most.
    """
    for attempt in range(MOST_FUNCTIONS):
        try:
            work()
            return
        except OSError as error:
            if attempt == 0:
                logging.getLogger(__name__).warning(NOTICE, error)
            elif attempt == MOST_FUNCTIONS - 1:
                raise
