"""Proofs that stand alone: what writing them takes, their size, and how long Python checks them.

    python benchmarks/proofs.py
    python -m benchmarks.proofs --settings mnist-2x200:0.01 --images 0:20 --limit 60

Each result that is proved within the limit is written as a proof (docs/proofs.md), and checked by a
process that has nothing but Python's standard library. Seconds are the processor's. It ends with 1
if one does not hold.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
from tabulate import tabulate

import bnnopt
from benchmarks.ground import binary_network
from benchmarks.record import FOLDER, write
from bnnopt import datasets
from bnnopt.cli.images import parse_indices
from bnnopt.datasets.catalog import COUNTS
from bnnopt.proof import check
from bnnopt.proof.writing import NoProofError, write_proof

TITLE = (__doc__ or "").split("\n", 1)[0]
SETTINGS = "mnist-2x100:0.01,fashion-mnist-2x100:0.01"


def prove(
    network: bnnopt.BinarizedNetwork, x: Any, arguments: argparse.Namespace, folder: Path
) -> dict[str, Any]:
    """Attack an image, write the proof and check it: CPU seconds of each, and the proof's bytes."""
    network.with_rows().save(folder / "network.npz")
    np.save(folder / "image.npy", x)
    flips = {"target": "untargeted", "goal": "flip"}
    goal: dict[str, Any] = flips if arguments.flips else {}
    began = time.process_time()
    epsilon = arguments.epsilon
    result = bnnopt.attack(network, x, epsilon, method="bab", time_limit=arguments.limit, **goal)
    row: dict[str, Any] = {"status": result.status.value, "search": time.process_time() - began}
    began = time.process_time()
    try:
        instance = bnnopt.AttackInstance(network, x, epsilon, **goal)
        write_proof(instance, result, folder / "proof.gz")
    except NoProofError as error:
        return row | {"none": str(error)}
    row |= {"writing": time.process_time() - began, "bytes": (folder / "proof.gz").stat().st_size}
    files = [str(folder / name) for name in ("network.npz", "image.npy", "proof.gz")]
    began = _seconds_of_children()
    command = [sys.executable, "-I", "-S", check.__file__, *files]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    return row | {
        "checking": _seconds_of_children() - began,
        "holds": run.returncode == 0,
        "said": (run.stdout + run.stderr).strip(),
    }


def _seconds_of_children() -> float:
    """CPU seconds of the processes that have ended."""
    times = os.times()
    return times.children_user + times.children_system


def summarized(setting: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    """A row of the table."""
    with_proof = [row for row in rows if "bytes" in row]
    kinds = ("search", "writing", "checking")
    if not with_proof:
        return {"setting": setting, "images": len(rows), "proofs": 0}
    times = {kind: [row[kind] for row in with_proof] for kind in kinds}
    return {
        "setting": setting,
        "images": len(rows),
        "proofs": len(with_proof),
        "hold": sum(row["holds"] for row in with_proof),
        "search (s, all)": sum(times["search"]),
        "writing (s, all)": sum(times["writing"]),
        "median kB": median(row["bytes"] for row in with_proof) / 1000,
        "largest kB": max(row["bytes"] for row in with_proof) / 1000,
        "checking (s, median)": median(times["checking"]),
        "checking (s, most)": max(times["checking"]),
    }


def warm_up() -> None:
    """Compile what searches and writers call."""
    network, x = bnnopt.zoo.load("fashion-mnist-2x100"), datasets.embedded().x(0)
    with tempfile.TemporaryDirectory() as folder:
        for goal in ("margin", "flip"):
            result = bnnopt.attack(network, x, "0.01", goal=goal, proof=Path(folder) / "proof.gz")
            assert result.proof is not None


def main() -> None:
    parser = argparse.ArgumentParser(description=TITLE)
    parser.add_argument("--settings", default=SETTINGS, help="networks, or files, and epsilons")
    parser.add_argument("--images", default="0:20")
    parser.add_argument("--limit", type=float, default=60.0, help="seconds of a search")
    parser.add_argument("--flips", action="store_true", help="any flip instead of the margin")
    parser.add_argument("--out", type=Path, default=FOLDER / "proofs.json")
    arguments = parser.parse_args()
    indices = parse_indices(arguments.images, COUNTS["test"])
    summary, records = [], []
    warm_up()
    for setting in arguments.settings.split(","):
        name, arguments.epsilon = setting.rsplit(":", 1)
        is_file = name.endswith(".npz")
        network = binary_network(Path(name)) if is_file else bnnopt.zoo.load(name)
        images = datasets.for_indices(network.dataset or "mnist", indices)
        rows = []
        for index in indices:
            with tempfile.TemporaryDirectory() as folder:
                row = prove(network, images.x(index), arguments, Path(folder))
            rows.append({"setting": setting, "image": index} | row)
            print(rows[-1], flush=True)
        records += rows
        summary.append(summarized(setting, rows))
        write(arguments.out, TITLE, arguments, summary, records)
    print(tabulate(summary, headers="keys", floatfmt=".3g"))
    sys.exit(any(not row.get("holds", True) for row in records))


if __name__ == "__main__":
    main()
