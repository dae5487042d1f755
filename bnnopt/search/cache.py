"""Where numba keeps the compiled kernel for later processes; where it cannot, it still runs."""

from __future__ import annotations

import atexit
import hashlib
import logging
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from itertools import chain
from pathlib import Path

import numba

__all__ = ["ensure_cache_folder", "run_though_unsaved"]

HERE = Path(__file__).parent
TOLERANCES = HERE.parent / "tolerances.py"

_FOLDERS: set[Path] = set()
"""Where numba has saved what this process uses, if not of other sources."""

MOST_FUNCTIONS = 200
"""More than the kernel has."""

NOTICE = (
    "bnnopt: the compiled search kernel cannot be kept (%s), so every process compiles it, which "
    "takes half a minute: set NUMBA_CACHE_DIR to a folder that can be written and has room"
)


def ensure_cache_folder() -> None:
    """Give numba a temporary folder where it finds none, instead of an error at each function.

    It finds none where neither the folder of this package nor the user's cache can be written.
    To be called before the functions of the kernel are decorated.
    """
    if numba.config.DISABLE_JIT:
        return
    try:
        forget_other_sources(_folder(), HERE)
    except RuntimeError as error:
        logging.getLogger(__name__).warning(NOTICE, str(error).partition(":")[0])
        folder = tempfile.mkdtemp(prefix="bnnopt-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        numba.config.CACHE_DIR = folder


def _probe() -> None:
    pass


def run_though_unsaved(work: Callable[[], None]) -> None:
    """Do work that compiles functions, also where numba cannot save or read them.

    On a full disk numba compiles a function, makes it callable, and then fails to save it; where
    an earlier version of this package saved functions whose modules are no more, it fails to read
    them. Such a call ends with an error; the next one finds that function, or compiles it anew.
    """
    for attempt in range(MOST_FUNCTIONS):
        try:
            work()
            return
        except (ImportError, AttributeError):
            if attempt > 0:
                raise
            for folder in _FOLDERS:
                _forget(folder)
        except OSError as error:
            if attempt == 0:
                logging.getLogger(__name__).warning(NOTICE, error)
            elif attempt == MOST_FUNCTIONS - 1:
                raise


def forget_other_sources(folder: Path, home: Path) -> None:
    """Remove what numba has saved of other sources than those that are here, once a process.

    For each function numba looks at the file that it is in, not at those of what it calls.

    Parameters
    ----------
    folder : path
        Where numba saves functions of a package.
    home : path
        The package, which may call the kernel.
    """
    if folder in _FOLDERS:
        return
    _FOLDERS.add(folder)
    homes = sorted({HERE, home})
    sources = [*chain.from_iterable(sorted(each.glob("*.py")) for each in homes), TOLERANCES]
    now = hashlib.sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
    mark = folder / "sources"
    with suppress(OSError):
        if not mark.is_file() or mark.read_text() != now:
            _forget(folder)
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.write_text(now)


def _forget(folder: Path) -> None:
    """Remove what numba has saved in a folder."""
    for index in folder.glob("*.nbi"):
        index.unlink(missing_ok=True)


def _folder() -> Path:
    return Path(str(numba.njit(cache=True)(_probe).stats.cache_path))
