"""Which code is mutated, which tests must notice, and which mutants change no claim."""

from __future__ import annotations

import hashlib
import tomllib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path

from tests.mutants.edits import KINDS
from tests.mutants.mutations import Mutant, mutants_of

__all__ = ["HERE", "ROOT", "Code", "Equivalent", "codes", "equivalents", "fixed_sample", "stale"]

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

SHARE, LEAST = 20, 3
"""One mutant in so many of a file is in the sample, and at least so many of each file."""


@dataclass(frozen=True)
class Code:
    """A file whose errors could make a false claim.

    Parameters
    ----------
    path : str
        From the root of the repository.
    tests : tuple of str
        Test modules, the quickest to notice first.
    only : tuple of str
        Functions; all of them if it is empty.
    """

    path: str
    tests: tuple[str, ...]
    only: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """Its content."""
        return (ROOT / self.path).read_text()

    def mutants(self) -> list[Mutant]:
        """All of them."""
        return mutants_of(self.path, self.text, self.only)


@dataclass(frozen=True)
class Equivalent:
    """Mutants that change no claim: those of a line, or the one that makes it another line.

    A line that a function has twice may be told by its number, from 0.
    """

    file: str
    before: str
    reason: str
    function: str = ""
    after: str | None = None
    number: int | None = None

    def is_of(self, mutant: Mutant) -> bool:
        """Whether it speaks of a mutant."""
        mine = self.file, self.function, self.before
        theirs = mutant.file, mutant.function, mutant.before
        is_there = mine == theirs and self.number in (None, mutant.number)
        return is_there and self.after in (None, mutant.after)


def codes() -> list[Code]:
    """What `files.toml` says."""
    rows = tomllib.loads((HERE / "files.toml").read_text())["code"]
    return [Code(row["path"], tuple(row["tests"]), tuple(row.get("only", ()))) for row in rows]


def equivalents() -> list[Equivalent]:
    """What `equivalent.toml` says."""
    rows = tomllib.loads((HERE / "equivalent.toml").read_text()).get("mutant", [])
    return [Equivalent(**row) for row in rows]


def stale(listed: Iterable[Equivalent], mutants: Iterable[Mutant]) -> list[Equivalent]:
    """Entries that speak of no mutant, since the code has changed."""
    mutants = list(mutants)
    return [entry for entry in listed if not any(entry.is_of(mutant) for mutant in mutants)]


def fixed_sample(mutants: list[Mutant], seed: int = 0) -> list[Mutant]:
    """A share of each file's mutants, its kinds in turn.

    What is drawn hangs on the text of a line alone, so that a change elsewhere draws the same.
    """
    files = defaultdict[str, list[Mutant]](list)
    for mutant in mutants:
        files[mutant.file].append(mutant)
    sample: list[Mutant] = []
    for members in files.values():
        count = max(LEAST, round(len(members) / SHARE))
        sample += _kinds_in_turn(sorted(members, key=lambda m: _draw(m, seed)))[:count]
    return sample


def _kinds_in_turn(mutants: list[Mutant]) -> list[Mutant]:
    first = [mutant.kind for mutant in mutants]
    kinds = sorted(KINDS, key=lambda kind: first.index(kind) if kind in first else len(first))
    columns = [[mutant for mutant in mutants if mutant.kind == kind] for kind in kinds]
    return [mutant for mutant in chain.from_iterable(zip_longest(*columns)) if mutant is not None]


def _draw(mutant: Mutant, seed: int) -> str:
    return hashlib.sha256(f"{seed} {mutant.name}".encode()).hexdigest()
