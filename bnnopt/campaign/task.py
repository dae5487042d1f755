"""What a worker does with one cell: attack, and hand back the record and the exact point."""

from __future__ import annotations

import os
import resource
import socket
import sys
import time
import zlib
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from bnnopt import api
from bnnopt.attacks import attack_class
from bnnopt.campaign.cell import Cell
from bnnopt.campaign.proofs import proof_of
from bnnopt.errors import BnnoptError
from bnnopt.network import BinarizedNetwork

__all__ = [
    "Outcome",
    "Task",
    "decode_levels",
    "decode_network",
    "encode_levels",
    "run_task",
]

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Task:
    """A cell with all that a worker needs, so that it needs no file.

    Parameters
    ----------
    key : str
        The cell's.
    cell : Cell
    network : bytes
        By `BinarizedNetwork.to_bytes`.
    x : array, shape (n,)
        The image: whole levels if of integers, else values in [0, 1].
    label : int
        Its true class.
    """

    key: str
    cell: Cell
    network: bytes
    x: npt.NDArray[Any]
    label: int


@dataclass(frozen=True, eq=False)
class Outcome:
    """What became of a task.

    Parameters
    ----------
    record : dict or None
        ``AttackResult.as_dict()``; None if the attack brought none.
    levels : bytes
        The adversarial point, by `encode_levels`.
    seconds : float
        Wall time in the worker, loading included.
    worker : str
        ``host:process``.
    peak_memory : int
        Most bytes that the worker has held so far.
    error : str
        Why the attack failed; empty if it did not.
    proof : bytes
        The content of its file; empty where there is none.
    """

    record: dict[str, Any] | None
    levels: bytes
    seconds: float
    worker: str
    peak_memory: int
    error: str = ""
    proof: bytes = b""


def run_task(task: Task) -> Outcome:
    """Attack. An error of the attack, memory included, is an outcome like any other."""
    began = time.perf_counter()
    record, levels, proof, error = None, b"", b"", ""
    try:
        record, levels, proof, error = _attack(task)
    except BnnoptError as failure:
        error = str(failure)
    except MemoryError:
        error = "out of the worker's memory"
    except Exception as failure:  # noqa: BLE001 - a campaign outlives every bug of an attack
        error = f"{type(failure).__name__}: {failure}"
    worker = f"{socket.gethostname()}:{os.getpid()}"
    return Outcome(
        record,
        levels,
        time.perf_counter() - began,
        worker,
        _peak_memory(),
        " ".join(error.split()),
        proof,
    )


def _attack(task: Task) -> tuple[dict[str, Any] | None, bytes, bytes, str]:
    cell, network = task.cell, decode_network(task.network)
    named: dict[str, Any] = {"solver": cell.solver, "formulation": cell.formulation}
    for method in {cell.method, cell.start} - {"none"}:
        attack_class(method)  # imports do not count against the time limit
    result = api.attack(
        network,
        task.x,
        cell.epsilon,
        method=cell.method,
        target=cell.target,
        domain=cell.domain,  # type: ignore[arg-type]
        goal=cell.goal,
        ties=cell.ties,  # type: ignore[arg-type]
        effort=cell.effort,
        start=cell.start,
        options=cell.options,
        time_limit=cell.time_limit,
        threads=cell.threads,
        seed=cell.seed,
        index=cell.image,
        label=task.label,
        **{name: value for name, value in named.items() if value is not None},
    )
    # What a failed attack has found before is kept with it.
    error = result.message or ("interrupted" if result.interrupted else "")
    proof = b""
    if cell.proof and not error:
        result, proof = proof_of(cell.instance(network, task.x), result, cell.time_limit)
    levels = encode_levels(network.levels_of(result.adversarial)[0])
    return result.as_dict(), levels, proof, error


def encode_levels(levels: FloatArray) -> bytes:
    """Levels, shape (n,), compressed without loss."""
    return zlib.compress(levels.astype("<f8").tobytes())


def decode_levels(content: bytes) -> FloatArray:
    """The inverse of `encode_levels`.

    Raises
    ------
    ValueError
        If the bytes are damaged.
    """
    try:
        return np.frombuffer(zlib.decompress(content), dtype="<f8")
    except zlib.error as error:
        raise ValueError(f"damaged levels: {error}") from None


@lru_cache(maxsize=32)
def decode_network(content: bytes) -> BinarizedNetwork:
    """`BinarizedNetwork.from_bytes`, remembered: a worker attacks the same network many times.

    Raises
    ------
    NetworkFormatError
        If the bytes are damaged.
    """
    return BinarizedNetwork.from_bytes(content)


def _peak_memory() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
