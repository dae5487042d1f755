"""Every error that bnnopt raises on purpose: what is wrong, and what would be right.

Each class inherits from :class:`BnnoptError` and from the standard exception that a caller
would expect, so that both ``except BnnoptError`` and ``except ValueError`` work.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

__all__ = [
    "BnnoptError",
    "CampaignError",
    "DataError",
    "ExportError",
    "ImportDisagreesError",
    "InputError",
    "MissingDependencyError",
    "NetworkFormatError",
    "PluginError",
    "SolverFailureError",
    "SolverMissingError",
    "StoreError",
    "UnknownNameError",
]


class BnnoptError(Exception):
    """Base class of bnnopt's errors; the message is one sentence with cause and remedy."""

    def __reduce__(self) -> tuple[Any, ...]:
        # By the message, not by the arguments that it was made of: a worker's error comes home.
        return _rebuild, (type(self), str(self))


class InputError(BnnoptError, ValueError):
    """An argument is outside what the call accepts (shape, range, NaN, unknown class)."""


class NetworkFormatError(BnnoptError, ValueError):
    """A network, or a network file, is not a valid binarized network."""


class DataError(BnnoptError, OSError):
    """A data set is missing, damaged, or cannot be downloaded."""


class ExportError(BnnoptError, RuntimeError):
    """The folded network disagrees with the trained network that it came from."""


class ImportDisagreesError(BnnoptError, RuntimeError):
    """A network that was read disagrees with its file, beyond what rounding explains."""


class MissingDependencyError(BnnoptError, ImportError):
    """An optional package is not installed.

    Parameters
    ----------
    package : str
        What is not installed.
    purpose : str
        What needs it.
    extra : str
        Of this package, which brings it.
    """

    def __init__(self, package: str, purpose: str, extra: str) -> None:
        super().__init__(
            f"{purpose} needs {package}, which is not installed: pip install 'bnnopt[{extra}]'"
        )


class PluginError(BnnoptError, ImportError):
    """An attack or a formulation of another package does not load, or is not one."""


class SolverMissingError(BnnoptError, ImportError):
    """The solver that was asked for is not installed, or does not start."""


class SolverFailureError(BnnoptError, RuntimeError):
    """A solver failed, or cannot take the model (its size, an option)."""


class CampaignError(BnnoptError, RuntimeError):
    """A campaign cannot go on; what is finished is in its store."""


class StoreError(BnnoptError, OSError):
    """A campaign's store cannot be read or written, or fails its check."""


class UnknownNameError(BnnoptError, ValueError):
    """A name is not among the known ones; the message lists them and suggests the nearest.

    Parameters
    ----------
    kind : str
        What the name stands for, such as ``"network"``.
    name : str
        What was asked for.
    known : iterable of str
        The names that exist.
    remedy : str
        What else would be right, appended to the message.
    """

    def __init__(self, kind: str, name: str, known: Iterable[str], remedy: str = "") -> None:
        choices = list(known)
        close = difflib.get_close_matches(str(name), choices, n=1, cutoff=0.5)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        super().__init__(
            f"unknown {kind} {str(name)!r}{hint}: choose from {', '.join(choices)}{remedy}"
        )


def _rebuild(kind: type[BnnoptError], message: str) -> BnnoptError:
    error = kind.__new__(kind, message)
    Exception.__init__(error, message)
    return error
