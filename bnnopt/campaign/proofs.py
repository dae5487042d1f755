"""Proofs of a campaign's results: written by workers, kept in the store, checked with the rest."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from bnnopt.instance import AttackInstance
from bnnopt.network import BinarizedNetwork
from bnnopt.proof import check
from bnnopt.result import AttackResult, Status

__all__ = ["complaints_about", "is_proof", "npy_content", "proof_of", "rows_content"]

KEPT = "sha256:"
"""How a result begins to say what proof it has."""


def proof_of(
    instance: AttackInstance, result: AttackResult, time_limit: float
) -> tuple[AttackResult, bytes]:
    """The content of a proof, or nothing; and the result that names it, or says why there is none.

    Parameters
    ----------
    instance : AttackInstance
        What was asked.
    result : AttackResult
        Of it.
    time_limit : float
        Seconds for the proof.
    """
    from bnnopt.proof.writing import NoProofError, proof_content  # compiles its own functions

    try:
        content = proof_content(instance, result, time_limit)
    except NoProofError as error:
        return replace(result, proof=f"none: {error}"), b""
    return replace(result, proof=KEPT + hashlib.sha256(content).hexdigest()), content


def is_proof(said: str | None) -> bool:
    """Whether what a result says of its proof names one.

    Parameters
    ----------
    said : str or None
        `AttackResult.proof`.
    """
    return said is not None and said.startswith(KEPT)


def complaints_about(
    content: bytes, instance: AttackInstance, x: npt.NDArray[Any], record: dict[str, Any]
) -> Iterator[str]:
    """What is wrong with the proof of a record.

    Parameters
    ----------
    content : bytes
        Of the proof; they may be anything.
    instance : AttackInstance
        What the record answers.
    x : array, shape (n,)
        Its image: whole levels if of integers, else values in [0, 1].
    record : dict
        `AttackResult.as_dict`.
    """
    from bnnopt.proof.writing import statement_of

    if record["proof"] != KEPT + hashlib.sha256(content).hexdigest():
        yield "its proof is not the one that was stored"
        return
    file = io.BytesIO(rows_content(instance.network))
    try:
        check.check(file, npy_content(x), io.BytesIO(content))
    except check.Rejected as error:
        yield f"its proof does not hold: {error}"
        return
    with gzip.open(io.BytesIO(content), "rt", encoding="ascii") as stream:
        about = json.loads(stream.readline())
    expected = statement_of(instance, about["network"])  # whose digest has been checked
    if any(about[name] != value for name, value in expected.items()):
        yield "its proof is about another question"
    claim = "robust" if record["status"] == Status.INFEASIBLE else "flip"
    if instance.sought.is_margin:
        claim = "margin"
        if about["bound"] is None or Fraction(about["bound"]) != Fraction(record["bound"]):
            yield f"its proof is of a bound of {about['bound']}, not {record['bound']!r}"
    if about["claim"] != claim:
        yield f"its proof claims {about['claim']!r}, not {claim!r}"


@lru_cache(maxsize=8)
def rows_content(network: BinarizedNetwork) -> bytes:
    """A network's file as ``check.py`` reads it; remembered, as many proofs are of one network.

    Parameters
    ----------
    network : BinarizedNetwork
        Of any layers.
    """
    return network.with_rows().to_bytes()


def npy_content(x: npt.NDArray[Any]) -> bytes:
    """An image's file as ``check.py`` reads it.

    Parameters
    ----------
    x : array, shape (n,)
        Whole levels if of integers, else values in [0, 1].
    """
    stream = io.BytesIO()
    np.save(stream, x)
    return stream.getvalue()
