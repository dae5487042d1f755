"""Answers, as a process of its own, what `benchmarks.ground` asks of one version of the code.

Reads a JSON line, writes a JSON line; so that two versions can be asked in turn.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from functools import cache
from typing import Any

import bnnopt
from bnnopt.training.loop import train
from bnnopt.training.recipe import Recipe


@cache
def _network(name: str) -> bnnopt.BinarizedNetwork:
    return bnnopt.zoo.load(name)


def prove(network: str, epsilon: float, image: int, limit: float) -> dict[str, Any]:
    """Branch and bound on one image: CPU seconds, nodes and what it found."""
    loaded = _network(network)
    x = bnnopt.datasets.for_indices(loaded.dataset, [image]).x(image)
    began = time.process_time()
    result = bnnopt.attack(loaded, x, epsilon, method="bab", time_limit=limit)
    return {
        "cpu": time.process_time() - began,
        "status": result.status.value,
        "objective": result.objective,
        "nodes": result.iterations,
    }


def epoch(dataset: str, depth: int, width: int) -> dict[str, Any]:
    """One epoch of training on the CPU: its wall seconds."""
    run = train(Recipe(dataset, depth, width, epochs=1), device="cpu")
    return {"seconds": run.seconds}


QUESTIONS: dict[str, Callable[..., dict[str, Any]]] = {"prove": prove, "epoch": epoch}


def main() -> None:
    for line in sys.stdin:
        question = json.loads(line)
        print(json.dumps(QUESTIONS[question.pop("question")](**question)), flush=True)


if __name__ == "__main__":
    main()
