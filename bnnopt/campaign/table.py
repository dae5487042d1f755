"""Reading a TOML table key by key; every complaint names the key."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from bnnopt.errors import BnnoptError, InputError

__all__ = ["Table"]

REQUIRED = object()
KINDS = {
    bool: "true or false",
    str: "a string",
    int: "an integer",
    float: "a number",
    list: "an array",
    dict: "a table",
    object: "a value",
}


class Table:
    """A TOML table of which every key must be taken.

    Parameters
    ----------
    content : dict
    where : str
        How messages call it, such as ``"paper.toml: methods[1]"``.
    joint : str
        Between that and a key.
    """

    def __init__(self, content: dict[str, Any], where: str, joint: str = ".") -> None:
        self._content = content
        self._where = where
        self._joint = joint
        self._taken: list[str] = []

    def place(self, key: str) -> str:
        """How messages call a key."""
        return f"{self._where}{self._joint}{key}"

    def take(self, key: str, kind: type, default: Any = REQUIRED) -> Any:
        """The value of a key; an integer passes for a number.

        Raises
        ------
        InputError
            If it is missing without a default, or of another kind.
        """
        self._taken.append(key)
        if key not in self._content:
            if default is REQUIRED:
                raise InputError(f"{self.place(key)} is missing: give {KINDS[kind]}")
            return default
        return self._checked(self.place(key), self._content[key], kind)

    def take_list(self, key: str, kind: type, default: Any = REQUIRED) -> list[Any]:
        """A non-empty array of values of one kind, each once.

        Raises
        ------
        InputError
            Also if the array is empty or holds a value twice.
        """
        values = self.take(key, list, default)
        if key not in self._content:
            return values  # type: ignore[no-any-return]
        if not values:
            raise InputError(f"{self.place(key)} is empty: give at least one value")
        checked = [self._checked(f"{self.place(key)}[{i}]", v, kind) for i, v in enumerate(values)]
        for i, value in enumerate(checked):
            if kind is not dict and value in checked[:i]:
                raise InputError(f"{self.place(key)}[{i}] repeats {value!r}")
        return checked

    def finish(self) -> None:
        """Complain of a key that nobody took.

        Raises
        ------
        InputError
            With the nearest key that there is.
        """
        for key in self._content:
            if key not in self._taken:
                close = difflib.get_close_matches(key, self._taken, n=1, cutoff=0.5)
                hint = f" (did you mean {close[0]!r}?)" if close else ""
                known = ", ".join(self._taken)
                raise InputError(f"{self.place(key)} is no key{hint}: choose from {known}")

    def check(self, key: str, test: Callable[[Any], Any], *values: Any) -> None:
        """Run a test on each value; its complaint is about this key."""
        for value in values:
            with self.about(key):
                test(value)

    @contextmanager
    def about(self, key: str) -> Iterator[None]:
        """Turn bnnopt's errors within into errors that name the key."""
        try:
            yield
        except BnnoptError as error:
            raise InputError(f"{self.place(key)}: {error}") from None

    @staticmethod
    def _checked(place: str, value: Any, kind: type) -> Any:
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise InputError(f"{place} must be {KINDS[kind]}, not {value!r}")
        return value
