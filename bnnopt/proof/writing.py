"""Writing a proof of a result: a header, cuts, and a tree for each target (docs/proofs.md)."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import time
from collections.abc import Iterator
from fractions import Fraction
from itertools import chain
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from bnnopt.files import write_atomically
from bnnopt.instance import AttackInstance
from bnnopt.network import GRID, BinarizedNetwork
from bnnopt.processes import products_on_one_thread
from bnnopt.proof import check
from bnnopt.proof.cuts import Cuts, NoCutError
from bnnopt.proof.statement import geometry_of, problem_of
from bnnopt.proof.tree import TargetTree
from bnnopt.proof.warm_up import warm_up
from bnnopt.result import AttackResult, Status

__all__ = ["NoProofError", "proof_content", "proof_lines", "statement_of", "write_proof"]

MOST_FLIPS = 512
"""Of more neurons that can flip no tree is begun."""

_READ: WeakKeyDictionary[BinarizedNetwork, Any] = WeakKeyDictionary()


class NoProofError(Exception):
    """Why there is no proof of a result."""


def write_proof(
    instance: AttackInstance, result: AttackResult, path: str | os.PathLike[str]
) -> None:
    """Write a proof of a result, whole or not at all.

    Parameters
    ----------
    instance : AttackInstance
    result : AttackResult
        Of it.
    path : path

    Raises
    ------
    NoProofError
        If there is none: it says why.
    """
    write_atomically(path, proof_content(instance, result))


def proof_content(
    instance: AttackInstance, result: AttackResult, time_limit: float | None = None
) -> bytes:
    """The content of the file of a proof, compressed as its lines come.

    Parameters
    ----------
    instance : AttackInstance
    result : AttackResult
        Of it.
    time_limit : float, optional
        Seconds; looked at after each line.

    Raises
    ------
    NoProofError
        If there is none, or not in time: it says why.
    """
    warm_up()
    began, content = time.monotonic(), io.BytesIO()
    try:
        # Without a time in it, equal proofs are equal files.
        with (
            products_on_one_thread(),
            gzip.GzipFile(fileobj=content, mode="wb", mtime=0) as file,
        ):
            for line in proof_lines(instance, result):
                file.write(f"{line}\n".encode())
                if time_limit is not None and time.monotonic() - began > time_limit:
                    raise NoProofError(f"its proof took more than {time_limit:g} s")
    except NoCutError as error:
        raise NoProofError(str(error)) from None
    return content.getvalue()


def proof_lines(instance: AttackInstance, result: AttackResult) -> Iterator[str]:
    """The lines of a proof.

    Raises
    ------
    NoProofError, NoCutError
        As for `write_proof`; also while lines are taken.
    """
    claim = _claim(instance, result)
    network = _as_checked(instance.network)
    about = _header(instance, result, claim, network.digest)
    header = json.dumps(about | {"claim": claim})
    if claim == "flip":
        return iter([header, "end"])
    geometry = geometry_of(instance)
    if len(geometry.neurons) > MOST_FLIPS:
        raise NoProofError(f"{len(geometry.neurons)} neurons of the first layer can flip")
    cuts = Cuts(geometry)
    trees = (_tree(instance, about, network.unit, cuts, c) for c in instance.targets)
    return chain([header], cuts.lines(), chain.from_iterable(trees), ["end"])


def _claim(instance: AttackInstance, result: AttackResult) -> str:
    """What is proved: that there is a flip, that there is none, or that a margin is the largest."""
    if instance.within is not None or instance.max_pixels is not None:
        raise NoProofError("proofs have no limits of single pixels, nor a number of pixels")
    if result.status is Status.INFEASIBLE:
        return "robust"
    if result.status is Status.OPTIMAL and not instance.sought.stages:
        return "flip"
    if result.status is Status.OPTIMAL and instance.sought.is_margin and result.bound is not None:
        return "margin"
    raise NoProofError(f"the goal {instance.goal} is {result.status}")


def _as_checked(network: BinarizedNetwork) -> Any:
    """The network as the checker reads it."""
    if network not in _READ:
        _READ[network] = check.Network(io.BytesIO(network.with_rows().to_bytes()))
    return _READ[network]


def _header(
    instance: AttackInstance, result: AttackResult, claim: str, digest: str
) -> dict[str, Any]:
    level = _level(instance)
    image = (instance.levels * level).astype(np.int64)
    found = (instance.network.levels_of(result.adversarial)[0] * level).astype(np.int64)
    changed = [[int(i), int(found[i])] for i in np.flatnonzero(found != image)]
    return statement_of(instance, digest) | {
        "bound": str(Fraction(result.bound))
        if claim == "margin" and result.bound is not None
        else None,
        "witness": None if claim == "robust" else changed,
    }


def _level(instance: AttackInstance) -> float:
    """Steps of a level in which a proof counts."""
    return GRID if instance.domain == "continuous" else 1.0


def statement_of(instance: AttackInstance, digest: str) -> dict[str, Any]:
    """What a proof about an instance says that it is about; `digest` is of the network."""
    image = (instance.levels * _level(instance)).astype(np.int64)
    fixed = [] if instance.mask is None else np.flatnonzero(~np.ravel(instance.mask)).tolist()
    return {
        "format": check.VERSION,
        "network": digest,
        "image": hashlib.sha256(repr(image.tolist()).encode()).hexdigest(),
        "epsilon": str(instance.exact_epsilon),
        "domain": instance.domain,
        "direction": instance.direction,
        "fixed": fixed,
        "l1": None if instance.exact_l1 is None else str(instance.exact_l1),
        "source": instance.source,
        "targets": list(instance.targets),
        "ties": instance.ties,
    }


def _tree(
    instance: AttackInstance, about: dict[str, Any], unit: Fraction, cuts: Cuts, target: int
) -> Iterator[str]:
    """The lines of one target: no set has the least margin that the claim denies it."""
    problem = problem_of(instance, cuts.geometry, target, float(unit))
    wanted = 0 if instance.of_margins.wins_ties(target) else 1
    if about["bound"] is not None:
        wanted = int(Fraction(about["bound"]) // unit) + 1
    step = int(np.gcd.reduce(problem.gain)) or 1
    wanted += (problem.constant - wanted) % step
    yield f"target {target}"
    yield from TargetTree(problem, cuts, wanted).lines()
