"""One cell of a campaign: everything that defines an attack, and nothing else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Self

import numpy.typing as npt

from bnnopt.instance import AttackInstance
from bnnopt.network import BinarizedNetwork

__all__ = ["Cell", "most_seconds"]

FIRST_EDITION: dict[str, Any] = {"ties": "never", "effort": None, "proof": False}
"""What a definition means that lacks these keys."""


def most_seconds(time_limit: float, proof: bool) -> float:
    """Seconds that a cell may take: a proof may take as long again as the attack.

    Parameters
    ----------
    time_limit : float
        Seconds, of the attack.
    proof : bool
        Whether a proof is wanted.
    """
    return 2 * time_limit if proof else time_limit


@dataclass(frozen=True)
class Cell:
    """The arguments of one attack, the network by its content and the image by its index.

    Parameters
    ----------
    network : str
        `bnnopt.network.fingerprint` of the network.
    dataset : str
        Whose test set has the image.
    image : int
        Test-set index.
    epsilon, target, domain, goal, method, start, seed, threads, ties, effort
        As for `bnnopt.attack`.
    options : mapping
        Of the method's class; JSON values only.
    solver, formulation : str or None
        None where neither the method nor its start takes one.
    time_limit : float
        Seconds.
    proof : bool
        Whether a proof of the result is wanted.
    """

    network: str
    dataset: str
    image: int
    epsilon: float
    target: int | str
    domain: str
    goal: str
    method: str
    options: Mapping[str, Any]
    solver: str | None
    formulation: str | None
    start: str
    seed: int
    time_limit: float
    threads: int
    ties: str = FIRST_EDITION["ties"]
    effort: int | None = FIRST_EDITION["effort"]
    proof: bool = FIRST_EDITION["proof"]

    @cached_property
    def definition(self) -> str:
        """The cell as canonical JSON: sorted keys, no spaces.

        What the first edition could not say is left out where it has the meaning of that time.
        """
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        for name, meaning in FIRST_EDITION.items():
            if values[name] == meaning:
                del values[name]
        return json.dumps(values, sort_keys=True, separators=(",", ":"), allow_nan=False)

    @cached_property
    def key(self) -> str:
        """SHA-256 of the definition, in hexadecimal."""
        return hashlib.sha256(self.definition.encode()).hexdigest()

    def instance(self, network: BinarizedNetwork, x: npt.NDArray[Any]) -> AttackInstance:
        """The question that the cell asks of its network and image."""
        return AttackInstance(
            network,
            x,
            self.epsilon,
            self.target,
            self.domain,  # type: ignore[arg-type]
            goal=self.goal,
            ties=self.ties,  # type: ignore[arg-type]
        )

    @classmethod
    def from_definition(cls, definition: str) -> Self:
        """The cell that has this definition."""
        return cls(**json.loads(definition))
