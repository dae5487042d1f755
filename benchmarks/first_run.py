"""What the first run on a machine takes, where no code is compiled yet, and what later ones do.

    python benchmarks/first_run.py

Each command is a process of its own and says what it took in wall and CPU seconds, its imports
among them; the commands share a cache that is empty at first (NUMBA_CACHE_DIR in a temporary
folder). "so far" adds up the CPU seconds of the first commands, beyond what each takes once warm.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
from tabulate import tabulate

from benchmarks.record import FOLDER, write

TITLE = (__doc__ or "").split("\n", 1)[0]

PYTHON = {
    "import": "import bnnopt",
    "compile": "from bnnopt.search.warm_up import warm_up; warm_up()",
}
"""Of a process of its own each: an empty cache for the latter."""

COMMANDS = {
    "attack": "attack {network} --images {image}",
    "verify": "verify {network} --images {image}",
    "pattern": "attack {network} --images {image} --method pattern --effort 20",
    "iprop": "attack {network} --images {image} --method iprop --effort 1",
    "goal l1": "attack {network} --images {image} --goal l1",
}
"""What a new user may try, in this order."""


def run(command: list[str], cache: str) -> dict[str, float]:
    """Wall and CPU seconds of a process, with a cache of compiled code."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    environment = os.environ | {"NUMBA_CACHE_DIR": cache}
    subprocess.run(
        [sys.executable, *command], env=environment, check=True, capture_output=True, text=True
    )
    wall = time.perf_counter() - began
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    user, system = after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime
    return {"wall": wall, "cpu": user + system}


def runs(command: list[str], cache: str, repeats: int) -> dict[str, list[float]]:
    """Those of several, one after the other."""
    measured = [run(command, cache) for _ in range(repeats)]
    return {name: [one[name] for one in measured] for name in ("wall", "cpu")}


def row(name: str, first: dict[str, float], warm: dict[str, list[float]]) -> dict[str, Any]:
    """The first run, and the medians of later ones."""
    wall, cpu = float(np.median(warm["wall"])), float(np.median(warm["cpu"]))
    return {
        "run": name,
        "first: wall s": first["wall"],
        "CPU s": first["cpu"],
        "later: wall s": wall,
        "later: CPU s": cpu,
        "beyond later: CPU s": first["cpu"] - cpu,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=TITLE)
    parser.add_argument("--network", default="mnist-2x100")
    parser.add_argument("--image", type=int, default=0)
    parser.add_argument("--repeats", type=int, default=5, help="warm runs of each")
    parser.add_argument("--out", type=Path, default=FOLDER / "first-run.json")
    arguments = parser.parse_args()
    rows, so_far = [], 0.0
    for name, code in PYTHON.items():
        with tempfile.TemporaryDirectory() as cache:
            command = ["-c", code]
            rows.append(row(name, run(command, cache), runs(command, cache, arguments.repeats)))
    with tempfile.TemporaryDirectory() as cache:
        for name, text in COMMANDS.items():
            words = text.format(network=arguments.network, image=arguments.image).split()
            command = ["-m", "bnnopt", *words]
            rows.append(row(name, run(command, cache), runs(command, cache, arguments.repeats)))
            so_far += rows[-1]["beyond later: CPU s"]
            rows[-1]["so far: CPU s"] = so_far
            write(arguments.out, TITLE, arguments, rows)
    print(tabulate(rows, headers="keys", floatfmt=".2f"))


if __name__ == "__main__":
    main()
