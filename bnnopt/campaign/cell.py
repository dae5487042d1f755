"""One cell of a campaign: everything that defines an attack, and nothing else."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from bnnopt.network import BinarizedNetwork

__all__ = ["Cell", "fingerprint"]


FIRST_EDITION: dict[str, Any] = {"ties": "never", "effort": None}
"""What a definition means that lacks these keys."""


@dataclass(frozen=True)
class Cell:
    """The arguments of one attack, the network by its content and the image by its index.

    Parameters
    ----------
    network : str
        `fingerprint` of the network.
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

    @classmethod
    def from_definition(cls, definition: str) -> Self:
        """The cell that has this definition."""
        return cls(**json.loads(definition))


def fingerprint(network: BinarizedNetwork) -> str:
    """SHA-256, in hexadecimal, of what the network computes: not its name, not its recipe.

    It does not depend on how a layer is kept: a convolution, its rows in CSR and the same rows
    with zeros have one. Networks of ±1 throughout keep that of the first edition.

    Parameters
    ----------
    network : BinarizedNetwork
        Of any kind.
    """
    hidden, output = network.given
    if output.is_binary and all(layer.is_dense for layer in hidden):
        return _first_edition(network)
    digest = hashlib.sha256(b"bnnopt network 2")
    head = [network.levels, network.input_shape, network.widths, network.num_classes]
    digest.update(json.dumps(head).encode())
    for layer in network.hidden:
        _add(digest, layer.threshold.astype("<i8"))
        rows = layer.weight
        if isinstance(rows, np.ndarray):
            _add(digest, np.packbits(rows > 0))
            continue
        for part, kind in ((rows.data, "<i2"), (rows.indices, "<i4"), (rows.indptr, "<i4")):
            _add(digest, part.astype(kind, copy=False))
    for values in (network.output.weight, network.output.scale, network.output.bias):
        _add(digest, values.astype("<f8") + 0.0)  # -0.0 is 0.0
    return digest.hexdigest()


def _add(digest: Any, array: npt.NDArray[Any]) -> None:
    """An array with its type and size, so that no two sequences of arrays read the same."""
    digest.update(f"{array.dtype.str} {array.shape}".encode())
    digest.update(np.ascontiguousarray(array).data)


def _first_edition(network: BinarizedNetwork) -> str:
    digest = hashlib.sha256()
    head = [network.levels, network.input_shape, network.widths, network.num_classes]
    digest.update(json.dumps(head).encode())
    hidden, output = network.given
    for layer in hidden:
        digest.update(np.packbits(np.asarray(layer.weight) > 0).tobytes())
        digest.update(layer.threshold.astype("<i8").tobytes())
    digest.update(np.packbits(output.weight > 0).tobytes())
    for values in (output.scale, output.bias):
        digest.update(values.astype("<f8").tobytes())
    return digest.hexdigest()
